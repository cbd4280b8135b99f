/*
 * server/worker.c - one event loop, its listeners, its connections.
 */
#include "server/worker.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "server/conn.h"
#include "server/followers.h"
#include "server/gate.h"
#include "server/pending.h"
#include "server/watchdog.h"

/** the loop wakes at least this often to announce a quiescent state: memory that was replaced
    elsewhere is held until every worker has */
#define LOOP_WAIT_MS 100
/** with no descriptor left, a listener would be ready for ever: it rests for so long */
#define ACCEPT_RETRY_MS 100
/** how long a connection that was ended early is listened to (see cairn_conn_linger) */
#define LINGER_MS 2000
/** a client that sends something within this time of the stop still gets an answer, one that says
    that the connection closes; the others are let go after it */
#define GRACE_MS 300
/** the least that really leaves the loop to others: libh2o runs a timer of 0 ms in the same turn */
#define TURN_MS 1
/** turns in which writes are gathered before the writer is woken: the first of them waits no longer
 */
#define GATHER_TURNS_MAX 4
/** connections taken from a listener before others get their turn */
#define ACCEPTS_AT_ONCE 64

/* ---------------------------------------------------------------- accepting */

static void on_accept(h2o_socket_t *listener, const char *err);

static void pause_listeners(cairn_worker_t *worker)
{
    for (size_t i = 0; i < CAIRN_LISTEN_MAX; ++i)
        if (worker->listeners[i] != NULL && !worker->is_paused)
            h2o_socket_read_stop(worker->listeners[i]);
    worker->is_paused = true;
}

/** the connections are for all workers together: which one a client comes to is the kernel's choice
 */
static bool has_room(const cairn_worker_t *worker)
{
    return atomic_load_explicit(&worker->server->conn_count, memory_order_relaxed) <
           worker->limits.connections;
}

/** takes the place of one more connection, before it is accepted: a look and then an accept would
 * let in one more for each worker that has looked. False if all are taken */
static bool take_place(const cairn_worker_t *worker)
{
    _Atomic size_t *taken = &worker->server->conn_count;
    size_t n = atomic_load_explicit(taken, memory_order_relaxed);
    while (n < worker->limits.connections)
        if (atomic_compare_exchange_weak_explicit(taken, &n, n + 1, memory_order_relaxed,
                                                  memory_order_relaxed))
            return true;
    return false;
}

static void give_back_place(const cairn_worker_t *worker)
{
    atomic_fetch_sub_explicit(&worker->server->conn_count, 1, memory_order_relaxed);
}

static void retry_later(cairn_worker_t *worker)
{
    pause_listeners(worker);
    if (!h2o_timeout_is_linked(&worker->accept_retry_entry))
        h2o_timeout_link(worker->ctx.loop, &worker->accept_retry, &worker->accept_retry_entry);
}

static void resume_listeners(cairn_worker_t *worker)
{
    if (!worker->is_paused)
        return;
    for (size_t i = 0; i < CAIRN_LISTEN_MAX; ++i)
        if (worker->listeners[i] != NULL)
            h2o_socket_read_start(worker->listeners[i], on_accept);
    worker->is_paused = false;
}

static void on_accept_retry(h2o_timeout_entry_t *entry)
{
    cairn_worker_t *worker = H2O_STRUCT_FROM_MEMBER(cairn_worker_t, accept_retry_entry, entry);
    /* the connection that makes room may have been another worker's, which tells nobody */
    if (has_room(worker))
        resume_listeners(worker);
    else
        retry_later(worker);
}

/** has a place for it; true if there was one */
static bool accept_one(cairn_worker_t *worker, h2o_socket_t *listener)
{
    h2o_socket_t *sock = h2o_evloop_socket_accept(listener);
    if (sock != NULL) {
        cairn_conn_accept(worker, sock);
        return true;
    }
    give_back_place(worker);
    if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
        cairn_metrics_add(&worker->metrics.accept_failures, 1);
        retry_later(worker);
    }
    return false;
}

static void on_accept(h2o_socket_t *listener, const char *err)
{
    cairn_worker_t *worker = listener->data;
    if (err != NULL)
        return;
    for (size_t i = 0; i < ACCEPTS_AT_ONCE; ++i) {
        if (!take_place(worker)) {
            retry_later(worker); /* who comes now waits in the backlog */
            return;
        }
        if (!accept_one(worker, listener))
            return;
    }
}

void cairn_worker_on_conn_closed(cairn_worker_t *worker)
{
    --worker->conn_count;
    give_back_place(worker);
    if (worker->is_paused && has_room(worker)) {
        h2o_timeout_unlink(&worker->accept_retry_entry);
        resume_listeners(worker);
    }
}

/* ---------------------------------------------------------------- stopping */

void cairn_worker_give_grace(cairn_worker_t *worker)
{
    if (!h2o_timeout_is_linked(&worker->grace_entry))
        h2o_timeout_link(worker->ctx.loop, &worker->grace_timeout, &worker->grace_entry);
}

static void on_grace_over(h2o_timeout_entry_t *entry)
{
    cairn_worker_t *worker = H2O_STRUCT_FROM_MEMBER(cairn_worker_t, grace_entry, entry);
    for (h2o_linklist_t *l = worker->conns.next; l != &worker->conns; l = l->next) {
        cairn_conn_t *conn = H2O_STRUCT_FROM_MEMBER(cairn_conn_t, link, l);
        if (cairn_conn_is_idle(conn))
            cairn_conn_shutdown(conn, SHUT_RD);
        else if (conn->request_began_ns == 0)
            cairn_worker_give_grace(worker); /* what has come of a request may be none */
    }
}

static void cut_conns(cairn_worker_t *worker)
{
    worker->is_abandoned = true;
    for (h2o_linklist_t *l = worker->conns.next; l != &worker->conns; l = l->next)
        cairn_conn_shutdown(H2O_STRUCT_FROM_MEMBER(cairn_conn_t, link, l), SHUT_RDWR);
}

/** clients in the backlog have been accepted by the kernel: they are served, not reset */
static void close_listeners(cairn_worker_t *worker)
{
    for (size_t i = 0; i < CAIRN_LISTEN_MAX; ++i) {
        h2o_socket_t *listener = worker->listeners[i];
        if (listener == NULL)
            continue;
        while (has_room(worker) && accept_one(worker, listener))
            ;
        h2o_socket_close(listener);
        worker->listeners[i] = NULL;
    }
    h2o_timeout_unlink(&worker->accept_retry_entry);
    atomic_store_explicit(&worker->has_closed, true, memory_order_release);
}

static void begin_stop(cairn_worker_t *worker)
{
    worker->is_stopping = true;
    h2o_context_request_shutdown(&worker->ctx);
    cairn_worker_give_grace(worker);
    cairn_followers_wake(worker);
}

/* ---------------------------------------------------------------- orders from main */

typedef enum en_order_kind_t { ORDER_CLOSE, ORDER_STOP, ORDER_ABANDON, ORDER_RELOAD } order_kind_t;

typedef struct st_order_t {
    h2o_multithread_message_t super;
    order_kind_t kind;
    SSL_CTX *ssl_ctx;      /* of a reload: a reference that the worker takes over, or NULL */
    cairn_limits_t limits; /* of a reload, with the next */
    bool logs_access;
} order_t;

/** connections there are keep the context they began with: each has a reference */
static void reload(cairn_worker_t *worker, const order_t *order)
{
    worker->limits = order->limits;
    worker->logs_access = order->logs_access;
    worker->ctx.http1.req_timeout.timeout = order->limits.idle_timeout_ms;
    if (order->ssl_ctx != NULL) {
        SSL_CTX_free(worker->accept_ctx.ssl_ctx);
        worker->accept_ctx.ssl_ctx = order->ssl_ctx;
    }
}

/** other tokens: what follows the log is judged anew */
static void on_tables(h2o_multithread_receiver_t *receiver, h2o_linklist_t *messages)
{
    cairn_gate_on_tables(receiver, messages);
    cairn_followers_wake(H2O_STRUCT_FROM_MEMBER(cairn_worker_t, tables, receiver));
}

static void on_orders(h2o_multithread_receiver_t *receiver, h2o_linklist_t *messages)
{
    cairn_worker_t *worker = H2O_STRUCT_FROM_MEMBER(cairn_worker_t, orders, receiver);
    while (!h2o_linklist_is_empty(messages)) {
        order_t *order = H2O_STRUCT_FROM_MEMBER(order_t, super.link, messages->next);
        h2o_linklist_unlink(&order->super.link);
        if (order->kind == ORDER_RELOAD)
            reload(worker, order);
        else if (order->kind == ORDER_CLOSE)
            close_listeners(worker);
        else if (!worker->is_stopping)
            begin_stop(worker);
        if (order->kind == ORDER_ABANDON)
            cut_conns(worker);
        free(order);
    }
}

static void send_order(cairn_worker_t *worker, order_t content)
{
    order_t *order = h2o_mem_alloc(sizeof(*order));
    *order = content;
    h2o_multithread_send_message(&worker->orders, &order->super);
}

void cairn_worker_ask_to_close(cairn_worker_t *worker)
{
    send_order(worker, (order_t){.kind = ORDER_CLOSE});
}

void cairn_worker_ask_to_stop(cairn_worker_t *worker)
{
    send_order(worker, (order_t){.kind = ORDER_STOP});
}

void cairn_worker_reload(cairn_worker_t *worker, SSL_CTX *ssl_ctx, const cairn_limits_t *limits,
                         bool logs_access)
{
    if (ssl_ctx != NULL)
        SSL_CTX_up_ref(ssl_ctx);
    send_order(worker, (order_t){.kind = ORDER_RELOAD,
                                 .ssl_ctx = ssl_ctx,
                                 .limits = *limits,
                                 .logs_access = logs_access});
}

void cairn_worker_abandon(cairn_worker_t *worker)
{
    send_order(worker, (order_t){.kind = ORDER_ABANDON});
}

/* ---------------------------------------------------------------- the thread */

/**
 * Runs on the worker's own thread: libh2o keeps buffers for reuse by thread, and a socket made on
 * one thread and read on another takes them from the first one's, unlocked.
 */
static void set_up(cairn_worker_t *worker)
{
    h2o_loop_t *loop = h2o_evloop_create();
    h2o_context_init(&worker->ctx, loop, &worker->server->globalconf);
    h2o_multithread_register_receiver(worker->ctx.queue, &worker->writes, cairn_pending_on_writes);
    h2o_multithread_register_receiver(worker->ctx.queue, &worker->loads, cairn_pending_on_loads);
    h2o_multithread_register_receiver(worker->ctx.queue, &worker->jobs, cairn_pending_on_jobs);
    h2o_multithread_register_receiver(worker->ctx.queue, &worker->orders, on_orders);
    h2o_multithread_register_receiver(worker->ctx.queue, &worker->tables, on_tables);
    cairn_followers_init(worker);
    cairn_pending_init(worker);
    h2o_timeout_init(loop, &worker->accept_retry, ACCEPT_RETRY_MS);
    h2o_timeout_init(loop, &worker->linger_timeout, LINGER_MS);
    h2o_timeout_init(loop, &worker->turn_timeout, TURN_MS);
    h2o_timeout_init(loop, &worker->grace_timeout, GRACE_MS);
    worker->accept_retry_entry.cb = on_accept_retry;
    worker->grace_entry.cb = on_grace_over;
    h2o_linklist_init_anchor(&worker->conns);
    cairn_watchdog_start(worker);
    worker->accept_ctx.ctx = &worker->ctx;
    worker->accept_ctx.hosts = worker->server->globalconf.hosts;
    worker->accept_ctx.ssl_ctx = worker->server->ssl_ctx;
    if (worker->accept_ctx.ssl_ctx != NULL)
        SSL_CTX_up_ref(worker->accept_ctx.ssl_ctx);
    for (size_t i = 0; i < CAIRN_LISTEN_MAX; ++i) {
        if (worker->listen_fds[i] < 0)
            continue;
        worker->listeners[i] =
            h2o_evloop_socket_create(loop, worker->listen_fds[i], H2O_SOCKET_FLAG_DONT_READ);
        worker->listeners[i]->data = worker;
        h2o_socket_read_start(worker->listeners[i], on_accept);
    }
}

/**
 * A turn of the loop; then, if it brought writes, more turns as long as they bring some, and only
 * then the writer is woken. A wake costs as much as a small write, and a commit has a price of its
 * own, so both are shared by all writes that are there.
 */
static void take_turns(cairn_worker_t *worker)
{
    size_t before;
    int turns = 0;
    do {
        before = worker->write_count;
        ++worker->turn;
        h2o_evloop_run(worker->ctx.loop, before == 0 ? LOOP_WAIT_MS : 0);
    } while (worker->write_count != before && ++turns < GATHER_TURNS_MAX);
    if (worker->write_count != 0)
        cairn_pending_submit(worker);
}

static void wait_for(sem_t *sem)
{
    while (sem_wait(sem) != 0)
        ; /* interrupted */
}

/** a process that ends while somebody lingers resets the connection, the last answer with it */
static bool has_ended(const cairn_worker_t *worker)
{
    return worker->is_stopping && worker->conn_count == 0 &&
           (worker->lingerer_count == 0 || worker->is_abandoned);
}

static void *worker_main(void *arg)
{
    cairn_worker_t *worker = arg;
    pthread_setname_np(pthread_self(), "worker");
    set_up(worker);
    sem_post(&worker->is_set_up);
    wait_for(&worker->may_serve);
    cairn_thread_register();
    while (!has_ended(worker)) {
        take_turns(worker);
        cairn_thread_quiescent();
    }
    cairn_thread_unregister();
    atomic_store_explicit(&worker->has_stopped, true, memory_order_release);
    /* libh2o keeps what it may use again by thread, and frees none of it when a thread ends: this
     * one ends with the process */
    for (;;)
        pause();
    return NULL;
}

cairn_worker_t *cairn_worker_start(cairn_server_t *server, size_t number, const int *listen_fds)
{
    cairn_worker_t *worker = h2o_mem_alloc(sizeof(*worker));
    *worker = (cairn_worker_t){.server = server,
                               .number = number,
                               .limits = server->limits,
                               .logs_access = server->access_log != NULL,
                               .auth = cairn_auth_acquire(server->auth),
                               .sink = {.on_done = cairn_pending_on_done}};
    memcpy(worker->listen_fds, listen_fds, sizeof(worker->listen_fds));
    sem_init(&worker->is_set_up, 0, 0);
    sem_init(&worker->may_serve, 0, 0);
    if (pthread_create(&worker->thread, NULL, worker_main, worker) != 0) {
        free(worker);
        return NULL;
    }
    wait_for(&worker->is_set_up);
    return worker;
}

void cairn_worker_let_serve(cairn_worker_t *worker)
{
    sem_post(&worker->may_serve);
}
