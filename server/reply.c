/*
 * server/reply.c - answers.
 */
#include "server/reply.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <jansson.h>

#include "server/conn.h"
#include "server/head.h"

typedef struct st_problem_row_t {
    int status;
    const char *code;
    const char *title;
} problem_row_t;

static const problem_row_t problems[CAIRN_PROBLEM_COUNT] = {
#define X(name, status, code, title) {status, code, title},
    CAIRN_PROBLEMS(X)
#undef X
};

static const char *reason_of(int status)
{
    switch (status) {
    case 400:
        return "Bad Request";
    case 401:
        return "Unauthorized";
    case 403:
        return "Forbidden";
    case 404:
        return "Not Found";
    case 405:
        return "Method Not Allowed";
    case 409:
        return "Conflict";
    case 410:
        return "Gone";
    case 411:
        return "Length Required";
    case 412:
        return "Precondition Failed";
    case 413:
        return "Content Too Large";
    case 414:
        return "URI Too Long";
    case 416:
        return "Range Not Satisfiable";
    case 417:
        return "Expectation Failed";
    case 431:
        return "Request Header Fields Too Large";
    case 500:
        return "Internal Server Error";
    case 503:
        return "Service Unavailable";
    default:
        return "Insufficient Storage";
    }
}

/** a worker that stops lets connections go with the answer; and HTTP/1.0 knows no chunks: a body
 * without a length ends with the connection */
static void begin(h2o_req_t *req)
{
    bool has_body = req->res.status != 204 && req->res.status != 304;
    bool is_stopping = cairn_worker_of(req)->is_stopping;
    if (is_stopping || (req->version < 0x101 && has_body && req->res.content_length == SIZE_MAX))
        req->http1_is_persistent = 0;
    if (is_stopping)
        cairn_conn_linger_if_more(req);
}

void cairn_reply_start(h2o_req_t *req, h2o_generator_t *generator)
{
    begin(req);
    h2o_start_response(req, generator);
}

void cairn_reply_start_with(h2o_req_t *req, h2o_generator_t *generator, h2o_iovec_t piece,
                            h2o_send_state_t state)
{
    begin(req);
    cairn_head_send_first(req, generator, cairn_head_make(req, 0), piece, state);
}

/** sends a body that outlives the request, or none (count 0) */
static void send_all(h2o_req_t *req, const char *bytes, size_t count)
{
    begin(req);
    cairn_head_send(req, cairn_head_make(req, 0), bytes, count);
}

void cairn_reply_body(h2o_req_t *req, const char *bytes, size_t count)
{
    bool is_head = cairn_method_is(req, "HEAD");
    req->res.content_length = count;
    send_all(req, bytes, is_head ? 0 : count);
}

bool cairn_reply_copy(h2o_req_t *req, const cairn_value_t *value, bool is_plain)
{
    req->res.content_length = value->count;
    begin(req);
    h2o_iovec_t head =
        is_plain ? cairn_head_make_plain(req, value->version, value->written_ms, value->count)
                 : cairn_head_make(req, value->count);
    char *body = head.base + head.len;
    if (!cairn_value_copy(value, 0, body, value->count))
        return false;
    cairn_head_send(req, head, body, value->count);
    return true;
}

void cairn_reply_written(h2o_req_t *req, uint64_t version, bool existed)
{
    req->res.status = existed ? 204 : 201;
    req->res.reason = existed ? "No Content" : "Created";
    req->res.content_length = existed ? SIZE_MAX : 0; /* a 204 has none (RFC 9110, 8.6) */
    begin(req);
    cairn_head_send(req, cairn_head_make_written(req, version), NULL, 0);
}

/** `line` is 0 where the problem is not one of a line */
static h2o_iovec_t problem_body(h2o_mem_pool_t *pool, const problem_row_t *row, size_t line,
                                const char *detail)
{
    json_t *json = json_pack("{s:s, s:i, s:s, s:s}", "title", row->title, "status", row->status,
                             "detail", detail, "code", row->code);
    if (line != 0)
        json_object_set_new(json, "line", json_integer((json_int_t)line));
    char *text = json != NULL ? json_dumps(json, JSON_COMPACT) : NULL;
    h2o_iovec_t body = text != NULL ? h2o_strdup(pool, text, SIZE_MAX)
                                    : h2o_iovec_init(H2O_STRLIT("{\"code\":\"internal\"}"));
    free(text);
    json_decref(json);
    return body;
}

static void reply_problem(h2o_req_t *req, cairn_problem_t problem, size_t line, const char *format,
                          va_list args)
{
    const problem_row_t *row = &problems[problem];
    char detail[512];
    vsnprintf(detail, sizeof(detail), format, args);

    h2o_iovec_t body = problem_body(&req->pool, row, line, detail);
    req->res.status = row->status;
    req->res.reason = reason_of(row->status);
    h2o_add_header(&req->pool, &req->res.headers, H2O_TOKEN_CONTENT_TYPE, NULL,
                   H2O_STRLIT("application/problem+json"));
    /* what only a restart mends is not worth asking for again */
    if (row->status == 503 && problem != CAIRN_PROBLEM_READ_ONLY)
        h2o_add_header(&req->pool, &req->res.headers, H2O_TOKEN_RETRY_AFTER, NULL, H2O_STRLIT("1"));
    cairn_reply_body(req, body.base, body.len);
}

void cairn_reply_problem(h2o_req_t *req, cairn_problem_t problem, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    reply_problem(req, problem, 0, format, args);
    va_end(args);
}

void cairn_reply_problem_at_line(h2o_req_t *req, cairn_problem_t problem, size_t line,
                                 const char *format, ...)
{
    va_list args;
    va_start(args, format);
    reply_problem(req, problem, line, format, args);
    va_end(args);
}

int cairn_problem_status(cairn_problem_t problem)
{
    return problems[problem].status;
}

const char *cairn_problem_code(cairn_problem_t problem)
{
    return problems[problem].code;
}

cairn_problem_t cairn_problem_of(cairn_err_t err)
{
    static const struct {
        cairn_err_t err;
        cairn_problem_t problem;
    } rows[] = {
        {CAIRN_ERR_NOT_FOUND, CAIRN_PROBLEM_NOT_FOUND},
        {CAIRN_ERR_PRECONDITION, CAIRN_PROBLEM_PRECONDITION_FAILED},
        {CAIRN_ERR_COMPACTED, CAIRN_PROBLEM_COMPACTED},
        {CAIRN_ERR_IN_MEMORY, CAIRN_PROBLEM_IN_MEMORY},
        {CAIRN_ERR_TOO_LARGE, CAIRN_PROBLEM_VALUE_TOO_LARGE},
        {CAIRN_ERR_NOT_A_NUMBER, CAIRN_PROBLEM_NOT_A_NUMBER},
        {CAIRN_ERR_OVERFLOW, CAIRN_PROBLEM_OVERFLOW},
        {CAIRN_ERR_DAMAGED, CAIRN_PROBLEM_DAMAGED},
        {CAIRN_ERR_IO, CAIRN_PROBLEM_READ_FAILED},
        {CAIRN_ERR_NOMEM, CAIRN_PROBLEM_NO_MEMORY},
        {CAIRN_ERR_NO_FILES, CAIRN_PROBLEM_NO_FILES},
        {CAIRN_ERR_QUEUE_FULL, CAIRN_PROBLEM_QUEUE_FULL},
        {CAIRN_ERR_DISK_FULL, CAIRN_PROBLEM_DISK_FULL},
        {CAIRN_ERR_FAILED, CAIRN_PROBLEM_READ_ONLY},
        {CAIRN_ERR_UNKNOWN, CAIRN_PROBLEM_OUTCOME_UNKNOWN},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); ++i)
        if (rows[i].err == err)
            return rows[i].problem;
    return CAIRN_PROBLEM_INTERNAL;
}

size_t cairn_reply_format_problem(char *answer, size_t room, cairn_problem_t problem,
                                  const char *detail)
{
    char body[400];
    const problem_row_t *row = &problems[problem];
    int body_bytes = snprintf(body, sizeof(body),
                              "{\"title\":\"%s\",\"status\":%d,\"detail\":\"%s\",\"code\":\"%s\"}",
                              row->title, row->status, detail, row->code);
    int bytes = snprintf(answer, room,
                         "HTTP/1.1 %d %s\r\nConnection: close\r\nRetry-After: 1\r\n"
                         "Content-Type: application/problem+json\r\nContent-Length: %d\r\n\r\n%s",
                         row->status, reason_of(row->status), body_bytes, body);
    assert(body_bytes < (int)sizeof(body) && bytes < (int)room);
    return (size_t)bytes;
}

void cairn_reply_err(h2o_req_t *req, cairn_err_t err)
{
    const cairn_worker_t *worker = cairn_worker_of(req);
    if (err == CAIRN_ERR_TOO_LARGE)
        cairn_reply_problem(
            req, CAIRN_PROBLEM_VALUE_TOO_LARGE,
            "the value would be larger than limits.value_bytes, %" PRIu64,
            atomic_load_explicit(&worker->server->value_bytes_max, memory_order_relaxed));
    else if (err == CAIRN_ERR_QUEUE_FULL)
        cairn_reply_problem(req, CAIRN_PROBLEM_QUEUE_FULL,
                            "limits.queue_ops, %" PRIu64 ", or limits.queue_bytes, %" PRIu64
                            ", is reached",
                            worker->limits.queue_ops, worker->limits.queue_bytes);
    else
        cairn_reply_problem(req, cairn_problem_of(err), "%s", cairn_strerror(err));
}

void cairn_reply_method_not_allowed(h2o_req_t *req, const char *allow)
{
    h2o_add_header(&req->pool, &req->res.headers, H2O_TOKEN_ALLOW, NULL, allow, strlen(allow));
    cairn_reply_problem(req, CAIRN_PROBLEM_METHOD_NOT_ALLOWED, "this path takes %s", allow);
}

void cairn_reply_empty(h2o_req_t *req, int status, const char *reason)
{
    req->res.status = status;
    req->res.reason = reason;
    if (status == 204 || status == 304)
        send_all(req, NULL, 0); /* these have no Content-Length (RFC 9110, 8.6) */
    else
        cairn_reply_body(req, NULL, 0);
}

void cairn_reply_text(h2o_req_t *req, const char *content_type, const char *text, size_t bytes)
{
    h2o_iovec_t copy = h2o_strdup(&req->pool, text, bytes);
    req->res.status = 200;
    req->res.reason = "OK";
    h2o_add_header(&req->pool, &req->res.headers, H2O_TOKEN_CONTENT_TYPE, NULL, content_type,
                   strlen(content_type));
    cairn_reply_body(req, copy.base, copy.len);
}

/* ---------------------------------------------------------------- libh2o's own errors */

typedef struct st_lib_error_t {
    h2o_ostream_t super;
    h2o_iovec_t body;
} lib_error_t;

static void send_instead(h2o_ostream_t *super, h2o_req_t *req, h2o_iovec_t *bufs, size_t buf_count,
                         h2o_send_state_t state)
{
    lib_error_t *self = (lib_error_t *)super;
    (void)bufs;
    h2o_ostream_send_next(&self->super, req, &self->body, buf_count != 0 ? 1 : 0, state);
}

static void on_setup_lib_error(h2o_filter_t *self, h2o_req_t *req, h2o_ostream_t **slot)
{
    const cairn_worker_t *worker = cairn_worker_of(req);
    char detail[256];
    cairn_problem_t problem = CAIRN_PROBLEM_BAD_REQUEST;
    snprintf(detail, sizeof(detail), "the request could not be read: %s", req->res.reason);
    if (req->res.status == 413) {
        problem = CAIRN_PROBLEM_VALUE_TOO_LARGE;
        snprintf(detail, sizeof(detail), "the body is larger than limits.value_bytes, %" PRIu64,
                 atomic_load_explicit(&worker->server->value_bytes_max, memory_order_relaxed));
    } else if (req->res.status == 417) {
        problem = CAIRN_PROBLEM_EXPECTATION_FAILED;
        snprintf(detail, sizeof(detail), "the one expectation known is 100-continue");
    } else if (req->res.status == 404) {
        problem = CAIRN_PROBLEM_NO_SUCH_PATH;
        snprintf(detail, sizeof(detail), "there is nothing at this target");
    }
    lib_error_t *error = (lib_error_t *)h2o_add_ostream(req, sizeof(*error), slot);
    error->super.do_send = send_instead;
    error->body = problem_body(&req->pool, &problems[problem], 0, detail);
    req->res.reason = reason_of(req->res.status);
    req->res.content_length = error->body.len;
    memset(&req->res.headers, 0, sizeof(req->res.headers));
    h2o_add_header(&req->pool, &req->res.headers, H2O_TOKEN_CONTENT_TYPE, NULL,
                   H2O_STRLIT("application/problem+json"));
    if (!req->http1_is_persistent)
        cairn_conn_linger(cairn_conn_of(req));
    h2o_setup_next_ostream(req, &error->super.next);
    (void)self;
}

void cairn_reply_register_lib_errors(h2o_pathconf_t *path)
{
    h2o_filter_t *filter = h2o_create_filter(path, sizeof(*filter));
    filter->on_setup_ostream = on_setup_lib_error;
}
