/*
 * server/worker.h - one event loop, its listeners, its connections.
 *
 * A connection lives on the worker that accepted it, and all that concerns its requests happens on
 * that worker's thread. Other threads reach it by messages only: the writer with finished writes,
 * the I/O pool with finished loads, main with the wish to stop or with what a reload has changed.
 */
#ifndef CAIRN_SERVER_WORKER_H
#define CAIRN_SERVER_WORKER_H

#include <semaphore.h>

#include "server/http.h"

#include "server/config.h"
#include "server/listen.h"
#include "server/metrics.h"
#include "storage/feed.h"

typedef struct st_cairn_worker_t cairn_worker_t;

/** limits that a reload may change; each worker has its own, which nobody else looks at */
typedef struct st_cairn_limits_t {
    size_t connections; /* of all workers together */
    uint64_t queue_ops; /* the store's, here for who is told of them */
    uint64_t queue_bytes;
    uint64_t body_bytes;
    uint64_t read_rate;
    size_t batch_ops;
    uint64_t wait_ms;
    uint64_t stall_ms;
    uint64_t idle_timeout_ms;
} cairn_limits_t;

/** what all workers share; read-only once they run, but for the atomics */
typedef struct st_cairn_server_t {
    const cairn_config_t *config;
    h2o_globalconf_t globalconf;
    h2o_hostconf_t *host;
    /* NULL while the store is loading; release by main, acquire by workers */
    _Atomic(cairn_store_t *) store;
    _Atomic uint64_t load_done, load_total; /* bytes replayed, relaxed */
    _Atomic uint64_t value_bytes_max;       /* limits.value_bytes, which a reload may change */
    SSL_CTX *ssl_ctx;                       /* what workers begin with; NULL for plain HTTP */
    uint64_t started_ms;
    /* NULL until it is turned on, a ring a worker; release by main, acquire by workers */
    _Atomic(struct st_cairn_access_log_t *) access_log;
    struct st_cairn_auth_t *auth; /* main's reference to the tokens in force, see server/gate.h */
    cairn_worker_t **workers;
    size_t worker_count;
    _Atomic size_t conn_count; /* of all workers, relaxed */
    cairn_limits_t limits;     /* what workers begin with; main's after that */
} cairn_server_t;

struct st_cairn_worker_t {
    h2o_context_t ctx; /* first: a request leads to its context, that to the worker */
    cairn_server_t *server;
    size_t number;
    cairn_limits_t limits;
    bool logs_access;
    pthread_t thread;
    sem_t is_set_up;
    sem_t may_serve;
    int listen_fds[CAIRN_LISTEN_MAX]; /* -1 where there is none */
    cairn_metrics_t metrics;

    cairn_sink_t sink;             /* where the writer brings finished writes */
    size_t write_count;            /* writes of which the writer has not been told yet */
    cairn_write_t *unqueued;       /* those of them that are not queued yet, by `next` */
    cairn_write_t **unqueued_tail; /* where the next one goes */
    h2o_multithread_receiver_t writes;
    h2o_multithread_receiver_t loads;
    h2o_multithread_receiver_t jobs;
    h2o_multithread_receiver_t orders;      /* from main */
    h2o_multithread_receiver_t tables;      /* of tokens, from main */
    struct st_cairn_followers_t *followers; /* requests that wait for the log to go on */
    struct st_cairn_auth_t *auth;           /* the one in force */
    uint64_t tables_heard;                  /* of, so far */

    h2o_accept_ctx_t accept_ctx;
    h2o_socket_t *listeners[CAIRN_LISTEN_MAX]; /* NULL where there is none */
    bool is_paused;                            /* no listener is read */
    h2o_timeout_t accept_retry;                /* when no descriptor or connection was left */
    h2o_timeout_entry_t accept_retry_entry;
    h2o_timeout_t linger_timeout;
    h2o_timeout_t grace_timeout; /* for idle connections when it stops */
    h2o_timeout_entry_t grace_entry;
    h2o_timeout_t turn_timeout; /* after a connection has had its share */
    uint64_t turn;              /* of the loop, counted */
    uint64_t looked_turn;       /* in which the clock was looked at last, */
    uint64_t looked_ns;         /* and what it said */
    h2o_linklist_t conns;
    size_t conn_count;
    size_t lingerer_count;      /* ended connections that are listened to, server/conn.c */
    h2o_timeout_t look_timeout; /* of the watchdog */
    h2o_timeout_entry_t look_entry;
    _Atomic uint64_t arriving_bytes; /* of bodies; relaxed */
    bool is_stopping;                /* asked to; connections are being let go */
    bool is_abandoned;               /* they have been cut: who lingers is not waited for */
    _Atomic bool has_closed;  /* release by the worker, acquire by main: it listens no more */
    _Atomic bool has_stopped; /* release by the worker, acquire by main: no connection is left */
};

/**
 * Starts a worker on a thread of its own, which will serve `listen_fds`, its own from now on
 * (CAIRN_LISTEN_MAX of them, -1 where there is none). Returns when it is set up. It lives as long
 * as the process. NULL when there is no thread to be had.
 */
cairn_worker_t *cairn_worker_start(cairn_server_t *server, size_t number, const int *listen_fds);

/** Lets it begin, after the list of workers is complete: any of them may look at it. */
void cairn_worker_let_serve(cairn_worker_t *worker);

/** Asks the worker to take who has connected and to listen no more; it serves on. Threads: main. */
void cairn_worker_ask_to_close(cairn_worker_t *worker);

/** Asks the worker, which has been asked to close, to let its connections go and stop. Threads:
 * main. */
void cairn_worker_ask_to_stop(cairn_worker_t *worker);

/** A worker that stops looks in a moment for connections that are idle then, and lets them go.
 * Threads: the worker's. */
void cairn_worker_give_grace(cairn_worker_t *worker);

/**
 * What a reload changes on the worker: its limits, whether it logs requests (then the access log is
 * there), and the certificate for connections still to come. Owner: the worker takes a reference of
 * `ssl_ctx` for itself; NULL changes nothing. Threads: main.
 */
void cairn_worker_reload(cairn_worker_t *worker, SSL_CTX *ssl_ctx, const cairn_limits_t *limits,
                         bool logs_access);

/** Cuts what is left; the worker stops as soon as its requests have been answered. Threads: main.
 */
void cairn_worker_abandon(cairn_worker_t *worker);

/** A connection of the worker is gone: another may be accepted. Threads: the worker. */
void cairn_worker_on_conn_closed(cairn_worker_t *worker);

/** The worker of a request. */
static inline cairn_worker_t *cairn_worker_of(const h2o_req_t *req)
{
    return (cairn_worker_t *)req->conn->ctx;
}

#endif
