/*
 * server/watchdog.c - what one client may not do to the others.
 */
#include "server/watchdog.h"

#include <linux/tcp.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "server/clock.h"
#include "server/conn.h"
#include "server/reply.h"

/** time between two looks */
#define LOOK_MS 500
/** a rate is told over this time at least */
#define WINDOW_MS 10000
/** on a Unix socket only whole pieces can be seen to go, and this is the largest */
#define PIECE_BYTES ((uint64_t)256 << 10)
/** a request that has fewer bytes is not worth refusing for its memory */
#define SMALL_BODY_BYTES ((size_t)64 << 10)

/* ---------------------------------------------------------------- slow readers */

/** bytes of answers that the client has taken, as far as can be told; `*step` is the least that can
 */
static uint64_t bytes_taken(const cairn_conn_t *conn, uint64_t *step)
{
    struct tcp_info info;
    socklen_t count = sizeof(info);
    memset(&info, 0, sizeof(info));
    if (getsockopt(h2o_socket_get_fd(conn->sock), IPPROTO_TCP, TCP_INFO, &info, &count) == 0 &&
        count >= offsetof(struct tcp_info, tcpi_bytes_acked) + sizeof(info.tcpi_bytes_acked)) {
        *step = 1;
        return info.tcpi_bytes_acked;
    }
    *step = PIECE_BYTES;
    return conn->sock->bytes_written;
}

/** only who leaves the kernel's buffer full is slow: all that was answered is in it otherwise, and
 * nothing is held */
static void watch_reader(cairn_worker_t *worker, cairn_conn_t *conn, uint64_t now_ms)
{
    uint64_t rate = worker->limits.read_rate, step;
    if (rate == 0 || !h2o_socket_is_writing(conn->sock)) {
        conn->watched_since_ms = 0;
        return;
    }
    uint64_t taken = bytes_taken(conn, &step);
    uint64_t window_ms = WINDOW_MS + step * 1000 / rate;
    if (conn->watched_since_ms == 0) {
        conn->watched_since_ms = now_ms;
        conn->watched_bytes = taken;
        return;
    }
    uint64_t elapsed_ms = now_ms - conn->watched_since_ms;
    if (elapsed_ms < window_ms)
        return;
    if (taken - conn->watched_bytes < rate * (elapsed_ms - step * 1000 / rate) / 1000) {
        cairn_metrics_add(&worker->metrics.slow_readers, 1);
        cairn_conn_shutdown(conn, SHUT_RDWR);
    }
    conn->watched_since_ms = now_ms;
    conn->watched_bytes = taken;
}

/* ---------------------------------------------------------------- bodies */

/** bytes of a body that is still arriving */
static size_t arriving_bytes(const cairn_conn_t *conn)
{
    size_t bytes = conn->sock->input->size;
    bool is_arriving = conn->request_began_ns == 0 && h2o_socket_is_reading(conn->sock) &&
                       !h2o_socket_is_writing(conn->sock);
    return is_arriving && bytes > SMALL_BODY_BYTES ? bytes : 0;
}

static cairn_conn_t *largest(cairn_worker_t *worker)
{
    cairn_conn_t *found = NULL;
    size_t most = 0;
    for (h2o_linklist_t *l = worker->conns.next; l != &worker->conns; l = l->next) {
        cairn_conn_t *conn = H2O_STRUCT_FROM_MEMBER(cairn_conn_t, link, l);
        size_t bytes = arriving_bytes(conn);
        if (bytes > most) {
            most = bytes;
            found = conn;
        }
    }
    return found;
}

/**
 * Answers before libh2o has a request to answer, and ends the connection as if the client had.
 * Inside TLS only the end can be told.
 */
static void refuse(cairn_conn_t *conn)
{
    cairn_metrics_add(&conn->worker->metrics.bodies_refused, 1);
    if (conn->sock->ssl == NULL) {
        char answer[600];
        size_t count = cairn_reply_format_problem(
            answer, sizeof(answer), CAIRN_PROBLEM_BODIES_FULL,
            "the bodies that are arriving come to more than limits.body_bytes");
        cairn_conn_linger(conn);
        /* nothing else is being sent on it: the socket takes so few bytes at once, or never */
        ssize_t sent =
            send(h2o_socket_get_fd(conn->sock), answer, count, MSG_DONTWAIT | MSG_NOSIGNAL);
        (void)sent;
    }
    conn->sock->_cb.read(conn->sock, "refused");
}

static uint64_t arriving_everywhere(const cairn_server_t *server)
{
    uint64_t bytes = 0;
    for (size_t i = 0; i < server->worker_count; ++i)
        bytes += atomic_load_explicit(&server->workers[i]->arriving_bytes, memory_order_relaxed);
    return bytes;
}

/** each worker refuses of its own until it keeps to its part: one of them is above it */
static void limit_bodies(cairn_worker_t *worker, uint64_t bytes)
{
    const cairn_server_t *server = worker->server;
    uint64_t most = worker->limits.body_bytes;
    atomic_store_explicit(&worker->arriving_bytes, bytes, memory_order_relaxed);
    if (arriving_everywhere(server) <= most)
        return;
    while (bytes > most / server->worker_count) {
        cairn_conn_t *conn = largest(worker);
        if (conn == NULL)
            break;
        bytes -= arriving_bytes(conn);
        refuse(conn);
    }
    atomic_store_explicit(&worker->arriving_bytes, bytes, memory_order_relaxed);
}

/* ---------------------------------------------------------------- the look */

static void on_look(h2o_timeout_entry_t *entry)
{
    cairn_worker_t *worker = H2O_STRUCT_FROM_MEMBER(cairn_worker_t, look_entry, entry);
    uint64_t now_ms = cairn_monotonic_ms(), arriving = 0;
    for (h2o_linklist_t *l = worker->conns.next; l != &worker->conns; l = l->next) {
        cairn_conn_t *conn = H2O_STRUCT_FROM_MEMBER(cairn_conn_t, link, l);
        watch_reader(worker, conn, now_ms);
        arriving += arriving_bytes(conn);
    }
    limit_bodies(worker, arriving);
    h2o_timeout_link(worker->ctx.loop, &worker->look_timeout, entry);
}

void cairn_watchdog_start(cairn_worker_t *worker)
{
    h2o_timeout_init(worker->ctx.loop, &worker->look_timeout, LOOK_MS);
    worker->look_entry.cb = on_look;
    h2o_timeout_link(worker->ctx.loop, &worker->look_timeout, &worker->look_entry);
}
