/*
 * server/pipeline.c - clients that send many requests without waiting for the answers.
 */
#include "server/pipeline.h"

#include <assert.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>

#include "server/text.h"

/** requests of one connection in one turn of the loop: a millisecond's worth, about */
#define SHARE 128
/** answers that are held together */
#define RUN_BYTES ((size_t)16 << 10)
/** heads that are compared with the one before; below libh2o's limit by far */
#define ALIKE_BYTES_MAX 4096

/* ---------------------------------------------------------------- looking ahead */

/** what libh2o takes as a target: up to a blank, no controls; NULL if there is no such end */
static const char *end_of_target(const char *at, const char *end)
{
    for (; at < end; ++at) {
        unsigned char c = (unsigned char)*at;
        if (c == ' ')
            return at;
        if (c < ' ' || c == 0x7f)
            return NULL;
    }
    return NULL;
}

/**
 * The bytes of the head behind this request's, if it is that of a GET of a value and differs from
 * this one in the key alone; else 0. libh2o has put the names of this one's headers in lower case.
 */
static size_t find_next(const h2o_req_t *req, const cairn_conn_t *conn)
{
    const h2o_buffer_t *input = conn->sock->input;
    const char *head_end = input->bytes + conn->head.bytes, *end = input->bytes + input->size;
    if (head_end >= end || req->entity.base != NULL)
        return 0;
    if ((size_t)(end - head_end) > ALIKE_BYTES_MAX)
        end = head_end + ALIKE_BYTES_MAX;
    if (!cairn_begins_with(head_end, (size_t)(end - head_end), H2O_STRLIT("GET /v1/kv/")))
        return 0;
    const char *rest = req->input.path.base + req->input.path.len;
    size_t rest_bytes = (size_t)(head_end - rest);
    const char *next_rest = end_of_target(head_end + strlen("GET "), end);
    if (next_rest == NULL || (size_t)(end - next_rest) < rest_bytes ||
        memcmp(rest, next_rest, strlen(" HTTP/1.1")) != 0 || /* not " http/1.1" */
        strncasecmp(rest, next_rest, rest_bytes) != 0)
        return 0;
    return (size_t)(next_rest - head_end) + rest_bytes;
}

/* ---------------------------------------------------------------- what is held */

static void drop_run(cairn_pipeline_t *pipeline)
{
    if (pipeline->run != NULL)
        h2o_mem_release_shared(pipeline->run);
    pipeline->run = NULL;
    pipeline->run_bytes = 0;
}

static void drop_flushed(cairn_pipeline_t *pipeline)
{
    if (pipeline->flushed != NULL)
        h2o_mem_release_shared(pipeline->flushed);
    pipeline->flushed = NULL;
}

static void on_flushed(h2o_socket_t *sock, const char *err)
{
    cairn_conn_t *conn = sock->on_close.data;
    cairn_pipeline_t *pipeline = &conn->pipeline;
    h2o_req_t *req = pipeline->late.req;
    /* the answer to come would be taken for an earlier one */
    if (err != NULL)
        cairn_conn_shutdown(conn, SHUT_RDWR);
    drop_flushed(pipeline);
    pipeline->late.req = NULL;
    if (req != NULL)
        h2o_send(req, pipeline->late.bufs, pipeline->late.count, pipeline->late.state);
}

void cairn_pipeline_flush(cairn_conn_t *conn)
{
    cairn_pipeline_t *pipeline = &conn->pipeline;
    if (pipeline->run_bytes == 0)
        return;
    h2o_iovec_t run = h2o_iovec_init(pipeline->run, pipeline->run_bytes);
    assert(pipeline->flushed == NULL);
    pipeline->flushed = pipeline->run;
    pipeline->run = NULL;
    pipeline->run_bytes = 0;
    h2o_socket_write(conn->sock, &run, 1, on_flushed);
}

/** whether a request whose answer has been given is ended for it; see end_request() */
static bool may_end(const h2o_req_t *req, const cairn_pipeline_t *pipeline)
{
    return pipeline->has_closed != NULL && req->http1_is_persistent;
}

static bool may_hold(const h2o_req_t *req, const cairn_pipeline_t *pipeline)
{
    return pipeline->next_bytes != 0 && pipeline->flushed == NULL && may_end(req, pipeline);
}

char *cairn_pipeline_room(h2o_req_t *req, size_t bytes)
{
    cairn_pipeline_t *pipeline = &cairn_conn_of(req)->pipeline;
    if (pipeline->run == NULL && may_hold(req, pipeline))
        pipeline->run = h2o_mem_alloc_shared(NULL, RUN_BYTES, NULL);
    if (pipeline->run != NULL && bytes <= RUN_BYTES - pipeline->run_bytes)
        return pipeline->run + pipeline->run_bytes;
    return h2o_mem_alloc_pool(&req->pool, bytes);
}

/** false if there is no room */
static bool hold(h2o_req_t *req, cairn_pipeline_t *pipeline, const h2o_iovec_t *bufs, size_t count)
{
    size_t bytes = bufs[0].len + (count > 1 ? bufs[1].len : 0);
    if (pipeline->run == NULL || bytes > RUN_BYTES - pipeline->run_bytes)
        return false;
    for (size_t i = 0; i < count; ++i) {
        char *at = pipeline->run + pipeline->run_bytes;
        if (bufs[i].base != at)
            memcpy(at, bufs[i].base, bufs[i].len);
        pipeline->run_bytes += bufs[i].len;
    }
    pipeline->ended = req;
    pipeline->is_held = true;
    return true;
}

/** returns how many there are then: one less if it lies right behind the last */
static size_t append(h2o_iovec_t *all, size_t count, h2o_iovec_t more)
{
    if (count != 0 && all[count - 1].base + all[count - 1].len == more.base) {
        all[count - 1].len += more.len;
        return count;
    }
    all[count] = more;
    return count + 1;
}

/**
 * Whether the socket has taken all of an answer; else `answer` is what is left of it. What libh2o
 * does for that, writev() and another visit to the connection, costs a fortieth of a small GET. An
 * error is for libh2o to find, with what is left.
 */
static bool send_now(h2o_socket_t *sock, h2o_iovec_t *answer)
{
    if (sock->ssl != NULL)
        return false;
    ssize_t n = send(h2o_socket_get_fd(sock), answer->base, answer->len, MSG_NOSIGNAL);
    if (n <= 0)
        return false;
    sock->bytes_written += (size_t)n; /* as libh2o counts what goes through it */
    answer->base += n;
    answer->len -= (size_t)n;
    return answer->len == 0;
}

void cairn_pipeline_send(h2o_req_t *req, const h2o_iovec_t *bufs, size_t count,
                         h2o_send_state_t state)
{
    cairn_conn_t *conn = cairn_conn_of(req);
    cairn_pipeline_t *pipeline = &conn->pipeline;
    h2o_iovec_t all[3];
    size_t all_count = 0;
    if (pipeline->flushed != NULL) {
        assert(pipeline->late.req == NULL);
        pipeline->late.req = req;
        pipeline->late.count = count;
        pipeline->late.state = state;
        memcpy(pipeline->late.bufs, bufs, count * sizeof(*bufs));
        return;
    }
    if (state == H2O_SEND_STATE_FINAL && may_hold(req, pipeline) &&
        hold(req, pipeline, bufs, count))
        return;
    if (pipeline->run != NULL) {
        all_count = append(all, all_count, h2o_iovec_init(pipeline->run, pipeline->run_bytes));
        h2o_mem_link_shared(&req->pool, pipeline->run);
        drop_run(pipeline);
    }
    for (size_t i = 0; i < count; ++i)
        all_count = append(all, all_count, bufs[i]);
    if (state == H2O_SEND_STATE_FINAL && all_count == 1 && may_end(req, pipeline) &&
        send_now(conn->sock, &all[0]))
        pipeline->ended = req;
    else
        h2o_send(req, all, all_count, state);
}

/* ---------------------------------------------------------------- one after the other */

static void on_turn(h2o_timeout_entry_t *entry);

static void wait_for_turn(cairn_conn_t *conn)
{
    cairn_pipeline_flush(conn);
    conn->pipeline.turn_entry.cb = on_turn;
    h2o_timeout_link(conn->worker->ctx.loop, &conn->worker->turn_timeout,
                     &conn->pipeline.turn_entry);
}

/** false if the connection has had its share */
static bool has_turn(cairn_conn_t *conn)
{
    cairn_pipeline_t *pipeline = &conn->pipeline;
    if (pipeline->turn != conn->worker->turn) {
        pipeline->turn = conn->worker->turn;
        pipeline->handled_in_turn = 0;
    }
    return ++pipeline->handled_in_turn <= SHARE;
}

/** `foreseen`: the bytes of its head if it is like the one before; else 0 */
static void handle_next(cairn_conn_t *conn, size_t foreseen)
{
    cairn_pipeline_t *pipeline = &conn->pipeline;
    h2o_req_t *req = pipeline->req;
    pipeline->req = NULL;
    if (foreseen != 0)
        conn->head.bytes = foreseen;
    else
        cairn_conn_read_head(req);
    pipeline->next_bytes = find_next(req, conn);
    pipeline->handle(req);
}

/**
 * Ends a request whose answer is held or gone; `foreseen` becomes what handle_next() wants to know
 * of the one behind it. False if there is none, or it has not been answered, or all is over.
 */
static bool end_request(cairn_conn_t *conn, const bool *has_closed, size_t *foreseen)
{
    cairn_pipeline_t *pipeline = &conn->pipeline;
    h2o_req_t *req = pipeline->ended;
    bool is_held = pipeline->is_held;
    if (req == NULL)
        return false;
    *foreseen = is_held ? pipeline->next_bytes : 0;
    pipeline->ended = NULL;
    pipeline->is_held = false;
    h2o_send(req, NULL, 0, H2O_SEND_STATE_FINAL);
    if (*has_closed)
        return false;
    /* better than answers out of order, should the library not have taken it after all */
    if (is_held && pipeline->req == NULL)
        cairn_conn_shutdown(conn, SHUT_RDWR);
    return pipeline->req != NULL;
}

/**
 * Ends what has been answered and handles what is here. Ending a request brings the next one at
 * once, from within h2o_send(), and leaves it in pipeline->req: a loop, where libh2o would go one
 * deeper with each.
 */
static void go_on(cairn_conn_t *conn, const bool *has_closed)
{
    size_t foreseen = 0;
    while (!*has_closed &&
           (conn->pipeline.req != NULL || end_request(conn, has_closed, &foreseen))) {
        if (!has_turn(conn)) {
            wait_for_turn(conn);
            break;
        }
        handle_next(conn, foreseen);
    }
    if (!*has_closed)
        conn->pipeline.has_closed = NULL;
}

static void handle_all(cairn_conn_t *conn)
{
    bool has_closed = false;
    conn->pipeline.has_closed = &has_closed;
    go_on(conn, &has_closed);
}

void cairn_pipeline_resume(cairn_conn_t *conn, void (*answer)(void *ctx), void *ctx)
{
    bool has_closed = false;
    assert(conn->pipeline.has_closed == NULL && conn->pipeline.req == NULL);
    conn->pipeline.has_closed = &has_closed;
    answer(ctx);
    go_on(conn, &has_closed);
}

static void on_turn(h2o_timeout_entry_t *entry)
{
    handle_all(H2O_STRUCT_FROM_MEMBER(cairn_conn_t, pipeline.turn_entry, entry));
}

void cairn_pipeline_handle(h2o_req_t *req, void (*handle)(h2o_req_t *req))
{
    cairn_conn_t *conn = cairn_conn_of(req);
    conn->pipeline.req = req;
    conn->pipeline.handle = handle;
    if (conn->pipeline.has_closed == NULL)
        handle_all(conn);
}

void cairn_pipeline_dispose(cairn_conn_t *conn)
{
    cairn_pipeline_t *pipeline = &conn->pipeline;
    if (pipeline->has_closed != NULL)
        *pipeline->has_closed = true;
    if (h2o_timeout_is_linked(&pipeline->turn_entry))
        h2o_timeout_unlink(&pipeline->turn_entry);
    drop_run(pipeline);
    drop_flushed(pipeline);
}
