/*
 * server/pipeline.c - clients that send many requests without waiting for the answers.
 */
#include "server/pipeline.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>

/** requests of one connection in one turn of the loop: a millisecond's worth, about */
#define SHARE 128

static void set_cork(cairn_conn_t *conn, int on)
{
    setsockopt(h2o_socket_get_fd(conn->sock), IPPROTO_TCP, TCP_CORK, &on, sizeof(on));
    conn->is_corked = on;
}

void cairn_pipeline_flush(cairn_conn_t *conn)
{
    if (conn->is_corked)
        set_cork(conn, 0);
}

static bool begins_with(const char *at, size_t count, const char *text, size_t text_count)
{
    return count >= text_count && memcmp(at, text, text_count) == 0;
}

/**
 * Whether a whole request without a body lies behind this one. One with a body might not be whole,
 * and what has been answered would wait for the rest of it.
 */
static bool another_is_here(const h2o_req_t *req, const cairn_conn_t *conn)
{
    const h2o_buffer_t *input = conn->sock->input;
    const char *end = input->bytes + input->size, *next;
    if (req->entity.base != NULL) {
        next = req->entity.base + req->entity.len;
    } else {
        next = input->bytes + conn->head.bytes;
    }
    if (next >= end)
        return false;
    size_t left = (size_t)(end - next);
    return (begins_with(next, left, H2O_STRLIT("GET ")) ||
            begins_with(next, left, H2O_STRLIT("HEAD "))) &&
           memmem(next, left, H2O_STRLIT("\r\n\r\n")) != NULL;
}

static void handle_now(cairn_conn_t *conn, h2o_req_t *req, void (*handle)(h2o_req_t *req))
{
    bool more = another_is_here(req, conn);
    if (more && !conn->is_corked)
        set_cork(conn, 1);
    handle(req);
    /* the request may be gone; an answer that was sent lies in the socket, and others may follow */
    if (!more)
        cairn_pipeline_flush(conn);
}

static void on_turn(h2o_timeout_entry_t *entry)
{
    cairn_conn_t *conn = H2O_STRUCT_FROM_MEMBER(cairn_conn_t, turn_entry, entry);
    h2o_req_t *req = conn->waiting_req;
    conn->waiting_req = NULL;
    handle_now(conn, req, conn->handle_waiting);
}

void cairn_pipeline_handle(h2o_req_t *req, void (*handle)(h2o_req_t *req))
{
    cairn_conn_t *conn = cairn_conn_of(req);
    cairn_worker_t *worker = conn->worker;
    if (conn->turn != worker->turn) {
        conn->turn = worker->turn;
        conn->handled_in_turn = 0;
    }
    if (++conn->handled_in_turn <= SHARE) {
        handle_now(conn, req, handle);
        return;
    }
    cairn_pipeline_flush(conn);
    conn->waiting_req = req;
    conn->handle_waiting = handle;
    conn->turn_entry.cb = on_turn;
    h2o_timeout_link(worker->ctx.loop, &worker->turn_timeout, &conn->turn_entry);
}

void cairn_pipeline_dispose(cairn_conn_t *conn)
{
    if (conn->waiting_req != NULL)
        h2o_timeout_unlink(&conn->turn_entry);
}
