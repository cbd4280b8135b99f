/*
 * server/conn.h - one client's connection, beyond what libh2o keeps of it.
 */
#ifndef CAIRN_SERVER_CONN_H
#define CAIRN_SERVER_CONN_H

#include "server/worker.h"

/** what the raw head of a request says that libh2o does not tell */
typedef struct st_cairn_conn_head_t {
    size_t bytes; /* with the empty line that ends it */
    unsigned hosts;
    unsigned lengths; /* Content-Length lines */
    unsigned codings; /* Transfer-Encoding lines */
} cairn_conn_head_t;

/** what server/pipeline.c keeps of it */
typedef struct st_cairn_pipeline_t {
    h2o_req_t *req; /* to be handled; NULL between requests and while one is answered */
    void (*handle)(h2o_req_t *req);
    bool *has_closed;  /* while requests are being handled: becomes true if it closes meanwhile */
    size_t next_bytes; /* of the head behind this one that will be handled at once; 0: none will */
    h2o_req_t *ended;  /* has been answered, and is to be ended */
    bool is_held;      /* the answer is in `run`; else it has been sent */
    char *run;         /* answers that have not been sent; shared memory, or NULL */
    size_t run_bytes;
    char *flushed; /* what is being sent ahead of the request under way; shared memory, or NULL */
    struct {       /* what that one sends as soon as it is gone */
        h2o_req_t *req;
        h2o_iovec_t bufs[2];
        size_t count;
        h2o_send_state_t state;
    } late;
    unsigned handled_in_turn;
    uint64_t turn; /* of the worker's loop, to which that belongs */
    h2o_timeout_entry_t turn_entry;
} cairn_pipeline_t;

typedef struct st_cairn_conn_t {
    h2o_linklist_t link; /* of the worker's conns */
    cairn_worker_t *worker;
    h2o_socket_t *sock;
    /* a reference, or NULL: libh2o looks at it when the first byte comes, and takes none itself */
    SSL_CTX *ssl_ctx;
    uint64_t request_began_ns; /* 0 between requests */
    cairn_op_t op;             /* of the request under way */
    cairn_conn_head_t head;    /* of the request under way */
    /* the request's token, NULL if none was needed; in the table, see server/gate.h */
    const struct st_cairn_config_token_t *token;
    struct st_cairn_auth_t *auth;
    bool is_parked;             /* polled but not read, while its request waits */
    void (*on_gone)(void *ctx); /* called when the client is gone meanwhile; NULL: it may be */
    void *on_gone_ctx;
    cairn_pipeline_t pipeline;
    /* a reader being watched, see server/watchdog.c */
    uint64_t watched_since_ms; /* 0: it is not */
    uint64_t watched_bytes;
    struct st_sender_t *sender; /* of the value under way, see server/sender.c; or NULL */
    int linger_fd;              /* -1, or a second descriptor that keeps the connection readable */
} cairn_conn_t;

/** Adopts an accepted socket, for which a place has been taken, and hands it to libh2o. */
void cairn_conn_accept(cairn_worker_t *worker, h2o_socket_t *sock);

/** The connection of a request. */
cairn_conn_t *cairn_conn_of(const h2o_req_t *req);

/** Whether no request is under way on it and no byte of one has come. */
bool cairn_conn_is_idle(const cairn_conn_t *conn);

/** Shuts the connection down: what libh2o notices as the client's leaving. `how` as in shutdown(2).
 */
void cairn_conn_shutdown(cairn_conn_t *conn, int how);

/**
 * A request whose answer takes a while: keeps the socket in the poll set without reading from it,
 * so that nothing is paid for taking it out and adding it again. Ended by cairn_conn_unpark(),
 * before the answer.
 */
void cairn_conn_park(cairn_conn_t *conn);
void cairn_conn_unpark(cairn_conn_t *conn);

/**
 * The same for a request that may wait for long, or be answered without end: `on_gone` is called
 * when the client has closed its side. A client that has sent something after the request is not
 * watched any more: ask cairn_conn_has_gone() now and then.
 */
void cairn_conn_park_and_watch(cairn_conn_t *conn, void (*on_gone)(void *ctx), void *ctx);

/**
 * Gives back the buffer that the request was read into, some 8 KiB, for an answer that may last:
 * the connection ends with it, headers are gone, and what was sent behind the request is not read.
 * What the access log asks of a request stays.
 */
void cairn_conn_forget_input(h2o_req_t *req);

/** Whether the client has closed its side, in order or not. */
bool cairn_conn_has_gone(const cairn_conn_t *conn);

/**
 * The answer about to be sent ends the connection although bytes of the request may still be
 * coming. Closing at once would reset it, and the client might never see the answer: keep it half
 * open until the client has closed or a moment has passed.
 */
void cairn_conn_linger(cairn_conn_t *conn);

/** The same if more has come behind this request, or may have, which will not be answered. */
void cairn_conn_linger_if_more(const h2o_req_t *req);

/** Reads the head of a request that has just come into conn->head; before it is handled. */
void cairn_conn_read_head(h2o_req_t *req);

/**
 * Whether the head of a request is framed in a way that other HTTP parsers might read differently
 * than libh2o did, which is how requests are smuggled past proxies: two lengths, a length beside a
 * transfer coding, two hosts, folded header lines. Returns what is wrong, or NULL.
 */
const char *cairn_conn_framing_fault(h2o_req_t *req);

#endif
