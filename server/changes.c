/*
 * server/changes.c - what has changed: GET /v1/changes.
 *
 * A page is made whole: some changes, or after waiting none, and where to go on. A stream is made
 * piece by piece, and the next piece only when the client has taken the one before: what a client
 * has not read lies in the log and nowhere else. So a slow one costs no more than any other, holds
 * nobody up, and is let go when it takes nothing at all for limits.stall.
 *
 * The event loop reads what has just been written; long walks, what is not in memory and large
 * values are for the I/O pool. What waits is kept by server/followers.c.
 */
#include "server/changes.h"

#include <inttypes.h>
#include <stdio.h>
#include <sys/socket.h>

#include "server/changes_request.h"
#include "server/changes_text.h"
#include "server/conn.h"
#include "server/followers.h"
#include "server/gate.h"
#include "server/pending.h"
#include "server/reply.h"

/* a step on the event loop, in a fraction of a millisecond */
#define QUICK_RECORDS 256
#define QUICK_BYTES ((size_t)16 << 10)
/* and one on the I/O pool, after which others have the thread */
#define LONG_RECORDS 65536
/** a page ends, though the limit has not been reached, behind the change that comes to this */
#define PAGE_BYTES ((size_t)4 << 20)
/** what is given to a socket at once */
#define PIECE_BYTES ((size_t)64 << 10)
/** a stream says something at least so often, or proxies take it for dead */
#define HEARTBEAT_MS 15000
#define HEARTBEAT ":\n\n"

typedef enum en_state_t {
    LOOKING, /* for changes, on the event loop: not for long */
    WAITING, /* for the log to go on */
    WORKING, /* on the I/O pool */
    SENDING  /* a piece that the client has not taken yet */
} state_t;

typedef struct st_changes_t {
    h2o_generator_t super;
    cairn_follower_t follower;
    cairn_pending_job_t job;
    h2o_req_t *req;
    cairn_store_t *store;
    cairn_changes_request_t asked;
    cairn_feed_t feed;
    state_t state;
    /* what the last step came to */
    cairn_feed_result_t result;
    cairn_err_t err;
    cairn_json_text_t text; /* made and not yet taken */
    size_t sent;            /* bytes of it that are taken, or are the piece on its way */
    size_t count;           /* changes in it */
    uint64_t seen;          /* if it came to the end, it saw all that there was up to here */
    bool is_begun;          /* the head of the answer has been sent */
    bool has_gone;          /* the client has closed its side */
    bool is_slow;           /* the client took nothing for limits.stall */
    bool has_waited;        /* as long as it wanted */
    uint64_t tables_heard;  /* of tokens, when it was last judged whether it may be told */
} changes_t;

static cairn_metrics_t *metrics_of(const changes_t *c)
{
    return &cairn_worker_of(c->req)->metrics;
}

/* ---------------------------------------------------------------- one step */

/** adds changes until there is no more, or enough */
static void read_some(changes_t *c, size_t bytes_max, bool may_wait)
{
    cairn_feed_options_t options = {.prefix = c->asked.prefix,
                                    .wants_values = c->asked.wants_values,
                                    .may_wait = may_wait,
                                    .records_max = may_wait ? LONG_RECORDS : QUICK_RECORDS};
    cairn_feed_reader_t reader;
    cairn_change_t change;
    c->result = CAIRN_FEED_PAUSED;
    c->seen = cairn_feed_newest(c->store);
    cairn_feed_begin(&reader, c->store, &c->feed, &options);
    while (c->text.count < bytes_max && (c->asked.is_stream || c->count < c->asked.limit) &&
           (c->result = cairn_feed_next(&reader, &change)) == CAIRN_FEED_CHANGE) {
        cairn_changes_text_add(&c->text, &change, c->asked.is_stream, c->asked.wants_values);
        ++c->count;
        c->result = CAIRN_FEED_PAUSED;
    }
    c->err = reader.err;
    cairn_feed_end(&reader);
}

static void judge(changes_t *c);

static void work(cairn_pending_job_t *job)
{
    changes_t *c = H2O_STRUCT_FROM_MEMBER(changes_t, job, job);
    read_some(c, c->asked.is_stream ? PIECE_BYTES : PAGE_BYTES, true);
}

static void on_worked(cairn_pending_job_t *job)
{
    changes_t *c = H2O_STRUCT_FROM_MEMBER(changes_t, job, job);
    c->state = LOOKING;
    judge(c);
}

static void go_to_pool(changes_t *c)
{
    c->state = WORKING;
    c->job.req = c->req;
    c->job.work = work;
    c->job.on_worked = on_worked;
    cairn_pending_run(&c->job);
}

static void look(changes_t *c)
{
    c->state = LOOKING;
    read_some(c, QUICK_BYTES, false);
    judge(c);
}

/* ---------------------------------------------------------------- ending */

/** the answer is about to end, and the request with it */
static void let_go(changes_t *c)
{
    cairn_follower_leave(&c->follower);
    cairn_conn_unpark(cairn_conn_of(c->req));
    if (cairn_worker_of(c->req)->is_stopping || c->has_gone)
        c->req->http1_is_persistent = 0;
}

static void add_version_header(h2o_req_t *req, uint64_t version)
{
    char *text = h2o_mem_alloc_pool(&req->pool, sizeof("18446744073709551615"));
    int n = sprintf(text, "%" PRIu64, version);
    h2o_add_header_by_str(&req->pool, &req->res.headers, H2O_STRLIT("cairn-version"), 0, NULL, text,
                          (size_t)n);
}

static void add_type(h2o_req_t *req, const char *type)
{
    req->res.status = 200;
    req->res.reason = "OK";
    h2o_add_header(&req->pool, &req->res.headers, H2O_TOKEN_CONTENT_TYPE, NULL, type, strlen(type));
    h2o_add_header(&req->pool, &req->res.headers, H2O_TOKEN_CACHE_CONTROL, NULL,
                   H2O_STRLIT("no-store"));
}

/** sends the next piece of the text; `last` is the state that goes with the last one */
static void send_piece(changes_t *c, h2o_send_state_t last)
{
    size_t left = c->text.count - c->sent, count = left < PIECE_BYTES ? left : PIECE_BYTES;
    h2o_iovec_t piece = h2o_iovec_init(c->text.bytes + c->sent, count);
    c->sent += count;
    h2o_send(c->req, &piece, count != 0, count == left ? last : H2O_SEND_STATE_IN_PROGRESS);
}

static void reply_page(changes_t *c)
{
    let_go(c);
    add_type(c->req, "application/x-ndjson");
    add_version_header(c->req, c->feed.version);
    cairn_changes_request_add_next(c->req, &c->asked, &c->feed);
    cairn_metrics_add(&metrics_of(c)->changes_sent, c->count);
    if (cairn_method_is(c->req, "HEAD")) {
        cairn_reply_body(c->req, c->text.bytes, c->text.count);
        return;
    }
    c->req->res.content_length = c->text.count;
    cairn_reply_start(c->req, &c->super);
    send_piece(c, H2O_SEND_STATE_FINAL);
}

static void reply_failure(changes_t *c)
{
    let_go(c);
    if (c->err == CAIRN_ERR_COMPACTED)
        cairn_reply_problem(c->req, CAIRN_PROBLEM_COMPACTED,
                            "deletes after version %" PRIu64
                            " have been compacted away; read anew from since=0",
                            c->feed.version);
    else
        cairn_reply_err(c->req, c->err);
}

static void begin_stream(changes_t *c);

/** the client is gone, or has closed its side and still listens: what is under way ends as it can
 */
static void abandon(changes_t *c)
{
    if (!c->asked.is_stream) {
        reply_page(c);
        return;
    }
    h2o_send_state_t end = c->is_begun ? H2O_SEND_STATE_ERROR : H2O_SEND_STATE_FINAL;
    let_go(c);
    if (!c->is_begun)
        begin_stream(c);
    h2o_send(c->req, NULL, 0, end);
}

static void on_gone(void *ctx)
{
    changes_t *c = ctx;
    c->has_gone = true;
    if (c->state == SENDING)
        cairn_conn_shutdown(cairn_conn_of(c->req), SHUT_RDWR);
    else if (c->state == WAITING)
        cairn_follower_be_due(&c->follower); /* not from within the socket's callback */
}

/* ---------------------------------------------------------------- streams */

static void begin_stream(changes_t *c)
{
    c->is_begun = true;
    add_type(c->req, "text/event-stream");
    /* nginx would keep events back until it has a bufferful */
    h2o_add_header_by_str(&c->req->pool, &c->req->res.headers, H2O_STRLIT("x-accel-buffering"), 0,
                          NULL, H2O_STRLIT("no"));
    /* thousands may follow. The connection closes with the stream, which without chunks, for
     * HTTP/1.0, is also what ends it */
    cairn_conn_forget_input(c->req);
    cairn_reply_start(c->req, &c->super);
}

static void go_on_sending(changes_t *c)
{
    c->state = SENDING;
    cairn_follower_set_deadline(&c->follower, cairn_worker_of(c->req)->limits.stall_ms);
    send_piece(c, H2O_SEND_STATE_IN_PROGRESS);
}

static void send_text(changes_t *c)
{
    if (!c->is_begun)
        begin_stream(c);
    cairn_metrics_add(&metrics_of(c)->changes_sent, c->count);
    c->count = c->sent = 0;
    go_on_sending(c);
}

static void end_stream(changes_t *c)
{
    h2o_iovec_t piece = h2o_iovec_init(c->text.bytes, c->text.count);
    let_go(c);
    h2o_send(c->req, &piece, piece.len != 0, H2O_SEND_STATE_FINAL);
}

/** the token has been taken away, or narrowed: nothing more is told, not even what has been read */
static void refuse(changes_t *c, cairn_verdict_t verdict)
{
    if (!c->is_begun) {
        let_go(c);
        cairn_gate_refuse(c->req, verdict);
        return;
    }
    cairn_json_text_dispose(&c->text);
    cairn_changes_text_add_end(&c->text, "error",
                               cairn_problem_code(cairn_gate_problem_of(verdict)), c->feed.version);
    end_stream(c);
}

/** false, and the answer has ended, if its client is gone or may not be told any more */
static bool has_listener(changes_t *c)
{
    if (c->has_gone) {
        abandon(c);
        return false;
    }
    cairn_verdict_t verdict = cairn_gate_judge_again(c->req, c->asked.prefix, &c->tables_heard);
    if (verdict != CAIRN_VERDICT_ALLOWED)
        refuse(c, verdict);
    return verdict == CAIRN_VERDICT_ALLOWED;
}

/** false, and the stream has ended, if it is over */
static bool may_go_on(changes_t *c)
{
    if (!has_listener(c))
        return false;
    if (c->is_slow)
        cairn_changes_text_add_end(&c->text, "overflow", "too_slow", c->feed.version);
    else if (!cairn_worker_of(c->req)->is_stopping)
        return true;
    end_stream(c);
    return false;
}

/** all of the text has been taken */
static void on_sent(changes_t *c)
{
    cairn_json_text_dispose(&c->text);
    c->state = LOOKING;
    if (!may_go_on(c))
        return;
    cairn_follower_set_deadline(&c->follower, HEARTBEAT_MS);
    if (c->result == CAIRN_FEED_UP_TO_DATE) {
        c->state = WAITING;
        cairn_follower_wait(&c->follower, c->seen);
    } else {
        cairn_follower_be_due(&c->follower);
    }
}

/** the client has taken the last piece */
static void on_proceed(h2o_generator_t *super, h2o_req_t *req)
{
    changes_t *c = (changes_t *)super;
    (void)req;
    if (!c->asked.is_stream)
        send_piece(c, H2O_SEND_STATE_FINAL);
    else if (c->sent == c->text.count)
        on_sent(c);
    else if (c->has_gone)
        abandon(c);
    else
        go_on_sending(c);
}

static void judge_stream(changes_t *c)
{
    bool has_failed = c->result == CAIRN_FEED_FAILED && c->err != CAIRN_ERR_COLD;
    if (has_failed && !c->is_begun) {
        reply_failure(c);
    } else if (has_failed) {
        cairn_changes_text_add_end(&c->text, "error", cairn_problem_code(cairn_problem_of(c->err)),
                                   c->feed.version);
        end_stream(c);
    } else if (c->count != 0 || (!c->is_begun && c->result != CAIRN_FEED_FAILED)) {
        send_text(c);
    } else if (c->result == CAIRN_FEED_UP_TO_DATE) {
        c->state = WAITING;
        cairn_follower_wait(&c->follower, c->seen);
    } else {
        go_to_pool(c); /* not in memory; or nothing of the last ones was wanted */
    }
}

/** nothing has been sent for a while */
static void send_heartbeat(changes_t *c)
{
    if (cairn_conn_has_gone(cairn_conn_of(c->req))) {
        abandon(c);
        return;
    }
    cairn_json_text_add(&c->text, HEARTBEAT);
    send_text(c);
}

/** the client has taken nothing for limits.stall */
static void on_stall(changes_t *c)
{
    if (c->is_slow) {
        cairn_conn_shutdown(cairn_conn_of(c->req), SHUT_RDWR);
        return;
    }
    /* it may still take what is there, and then is told why it ends; but not for ever */
    c->is_slow = true;
    cairn_metrics_add(&metrics_of(c)->followers_dropped, 1);
    cairn_follower_set_deadline(&c->follower, cairn_worker_of(c->req)->limits.stall_ms);
}

/* ---------------------------------------------------------------- pages */

static void judge_page(changes_t *c)
{
    bool is_full = c->count >= c->asked.limit || c->text.count >= PAGE_BYTES;
    bool has_failed = c->result == CAIRN_FEED_FAILED && c->err != CAIRN_ERR_COLD;
    bool may_wait =
        c->asked.wait_ms != 0 && !c->has_waited && !cairn_worker_of(c->req)->is_stopping;
    if (has_failed && c->count == 0) {
        reply_failure(c);
    } else if (has_failed || is_full) {
        reply_page(c); /* what failed is told to who asks for what comes next */
    } else if (c->result != CAIRN_FEED_UP_TO_DATE) {
        go_to_pool(c);
    } else if (c->count != 0 || !may_wait) {
        reply_page(c);
    } else {
        c->state = WAITING;
        cairn_follower_wait(&c->follower, c->seen);
    }
}

/* ---------------------------------------------------------------- the request */

static void judge(changes_t *c)
{
    if (!has_listener(c))
        return;
    if (c->asked.is_stream)
        judge_stream(c);
    else
        judge_page(c);
}

static void on_stream_turn(changes_t *c, bool is_late)
{
    if (c->state == SENDING) {
        if (is_late)
            on_stall(c);
    } else if (c->state == WORKING) {
        if (is_late)
            cairn_follower_set_deadline(&c->follower, HEARTBEAT_MS);
    } else if (may_go_on(c)) {
        if (is_late)
            send_heartbeat(c);
        else
            look(c);
    }
}

/** the log has gone on, a deadline has passed, the client is gone or the server stops */
static void on_turn(cairn_follower_t *follower)
{
    changes_t *c = H2O_STRUCT_FROM_MEMBER(changes_t, follower, follower);
    bool is_late = follower->is_late;
    follower->is_late = false;
    if (c->asked.is_stream) {
        on_stream_turn(c, is_late);
        return;
    }
    c->has_waited |= is_late;
    if (c->state != WORKING)
        look(c);
}

static void on_dispose(void *p)
{
    changes_t *c = p;
    cairn_follower_leave(&c->follower);
    cairn_json_text_dispose(&c->text);
    cairn_metrics_add(&metrics_of(c)->followers_open, (uint64_t)-1);
}

static void get(h2o_req_t *req)
{
    cairn_changes_request_t asked;
    if (!cairn_changes_request_read(req, &asked))
        return;
    changes_t *c = h2o_mem_alloc_shared(&req->pool, sizeof(*c), on_dispose);
    *c = (changes_t){.super = {.proceed = on_proceed},
                     .req = req,
                     .store = cairn_pending_store(req),
                     .asked = asked,
                     .feed = asked.feed,
                     .tables_heard = cairn_worker_of(req)->tables_heard};
    cairn_follower_init(&c->follower, cairn_worker_of(req), on_turn);
    cairn_metrics_add(&metrics_of(c)->followers_open, 1);
    cairn_conn_park_and_watch(cairn_conn_of(req), on_gone, c);
    if (asked.is_stream) /* else the head would wait for a change */
        cairn_json_text_add(&c->text, HEARTBEAT);
    if (asked.wait_ms != 0 && !asked.is_stream)
        cairn_follower_set_deadline(&c->follower, asked.wait_ms);
    look(c);
}

bool cairn_changes_handle(h2o_req_t *req, h2o_iovec_t path)
{
    if (!h2o_memis(path.base, path.len, H2O_STRLIT("/v1/changes")))
        return false;
    cairn_conn_of(req)->op = CAIRN_OP_CHANGES;
    if (cairn_method_is(req, "GET") || cairn_method_is(req, "HEAD"))
        get(req);
    else
        cairn_reply_method_not_allowed(req, "GET, HEAD");
    return true;
}
