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
    case 403:
        return "Forbidden";
    case 404:
        return "Not Found";
    case 405:
        return "Method Not Allowed";
    case 411:
        return "Length Required";
    case 413:
        return "Content Too Large";
    case 414:
        return "URI Too Long";
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

/** sends a body that outlives the request; HEAD gets the headers only */
static void send_body(h2o_req_t *req, const char *bytes, size_t count)
{
    static h2o_generator_t generator = {NULL, NULL};
    h2o_iovec_t body = h2o_iovec_init(bytes, count);
    bool has_body = count != 0 && !h2o_memis(req->method.base, req->method.len, H2O_STRLIT("HEAD"));
    req->res.content_length = count;
    if (cairn_worker_of(req)->is_stopping)
        req->http1_is_persistent = 0;
    h2o_start_response(req, &generator);
    h2o_send(req, &body, has_body ? 1 : 0, H2O_SEND_STATE_FINAL);
}

static h2o_iovec_t problem_body(h2o_mem_pool_t *pool, const problem_row_t *row, const char *detail)
{
    json_t *json = json_pack("{s:s, s:i, s:s, s:s}", "title", row->title, "status", row->status,
                             "detail", detail, "code", row->code);
    char *text = json != NULL ? json_dumps(json, JSON_COMPACT) : NULL;
    h2o_iovec_t body = text != NULL ? h2o_strdup(pool, text, SIZE_MAX)
                                    : h2o_iovec_init(H2O_STRLIT("{\"code\":\"internal\"}"));
    free(text);
    json_decref(json);
    return body;
}

void cairn_reply_problem(h2o_req_t *req, cairn_problem_t problem, const char *format, ...)
{
    const problem_row_t *row = &problems[problem];
    char detail[512];
    va_list args;
    va_start(args, format);
    vsnprintf(detail, sizeof(detail), format, args);
    va_end(args);

    h2o_iovec_t body = problem_body(&req->pool, row, detail);
    req->res.status = row->status;
    req->res.reason = reason_of(row->status);
    h2o_add_header(&req->pool, &req->res.headers, H2O_TOKEN_CONTENT_TYPE, NULL,
                   H2O_STRLIT("application/problem+json"));
    if (row->status == 503)
        h2o_add_header(&req->pool, &req->res.headers, H2O_TOKEN_RETRY_AFTER, NULL,
                       H2O_STRLIT("1"));
    send_body(req, body.base, body.len);
}

void cairn_reply_err(h2o_req_t *req, cairn_err_t err)
{
    static const struct {
        cairn_err_t err;
        cairn_problem_t problem;
    } rows[] = {
        {CAIRN_ERR_NOT_FOUND, CAIRN_PROBLEM_NOT_FOUND},
        {CAIRN_ERR_DAMAGED, CAIRN_PROBLEM_DAMAGED},
        {CAIRN_ERR_IO, CAIRN_PROBLEM_READ_FAILED},
        {CAIRN_ERR_NOMEM, CAIRN_PROBLEM_NO_MEMORY},
        {CAIRN_ERR_QUEUE_FULL, CAIRN_PROBLEM_QUEUE_FULL},
        {CAIRN_ERR_DISK_FULL, CAIRN_PROBLEM_DISK_FULL},
        {CAIRN_ERR_TOO_LARGE, CAIRN_PROBLEM_VALUE_TOO_LARGE},
        {CAIRN_ERR_FAILED, CAIRN_PROBLEM_READ_ONLY},
        {CAIRN_ERR_UNKNOWN, CAIRN_PROBLEM_OUTCOME_UNKNOWN},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); ++i)
        if (rows[i].err == err) {
            cairn_reply_problem(req, rows[i].problem, "%s", cairn_strerror(err));
            return;
        }
    cairn_reply_problem(req, CAIRN_PROBLEM_INTERNAL, "%s", cairn_strerror(err));
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
    if (status != 204) {
        send_body(req, NULL, 0);
        return;
    }
    /* a 204 has no Content-Length (RFC 9110, 8.6) */
    static h2o_generator_t generator = {NULL, NULL};
    if (cairn_worker_of(req)->is_stopping)
        req->http1_is_persistent = 0;
    h2o_start_response(req, &generator);
    h2o_send(req, NULL, 0, H2O_SEND_STATE_FINAL);
}

void cairn_reply_text(h2o_req_t *req, const char *content_type, const char *text, size_t bytes)
{
    h2o_iovec_t copy = h2o_strdup(&req->pool, text, bytes);
    req->res.status = 200;
    req->res.reason = "OK";
    h2o_add_header(&req->pool, &req->res.headers, H2O_TOKEN_CONTENT_TYPE, NULL, content_type,
                   strlen(content_type));
    send_body(req, copy.base, copy.len);
}

/* ---------------------------------------------------------------- values */

/** values up to this size are copied, so that a slow reader holds no segment */
#define COPY_BYTES_MAX 16384
/** larger ones go out in pieces, so that one of them does not hold the loop */
#define PIECE_BYTES ((size_t)256 << 10)
/** "18446744073709551615" in quotes */
#define ETAG_BYTES_MAX 22

static size_t format_etag(char *out, uint64_t version)
{
    char digits[20];
    size_t n = 0;
    do
        digits[n++] = (char)('0' + version % 10);
    while ((version /= 10) != 0);
    size_t at = 0;
    out[at++] = '"';
    while (n != 0)
        out[at++] = digits[--n];
    out[at++] = '"';
    return at;
}

void cairn_reply_add_etag(h2o_req_t *req, uint64_t version)
{
    char *etag = h2o_mem_alloc_pool(&req->pool, ETAG_BYTES_MAX);
    h2o_add_header(&req->pool, &req->res.headers, H2O_TOKEN_ETAG, NULL, etag,
                   format_etag(etag, version));
}

/** HTTP dates of late, by their second: formatting one costs as much as finding the value */
static const char *http_date(uint64_t seconds)
{
    static __thread struct {
        uint64_t seconds;
        char text[H2O_TIMESTR_RFC1123_LEN + 1];
    } dates[64];
    size_t i = seconds % (sizeof(dates) / sizeof(dates[0]));
    if (dates[i].seconds != seconds || dates[i].text[0] == '\0') {
        time_t t = (time_t)seconds;
        struct tm tm;
        gmtime_r(&t, &tm);
        h2o_time2str_rfc1123(dates[i].text, &tm);
        dates[i].seconds = seconds;
    }
    return dates[i].text;
}

/** the headers a client stored with the value; copied, since the map may go before the answer has */
static bool add_meta(h2o_req_t *req, cairn_bytes_t meta)
{
    bool has_type = false;
    cairn_meta_tag_t tag;
    cairn_bytes_t content;
    for (size_t at = 0; cairn_meta_next(meta, &at, &tag, &content);) {
        h2o_iovec_t text = h2o_strdup(&req->pool, content.base, content.count);
        const h2o_token_t *token = NULL;
        if (tag == CAIRN_META_CONTENT_TYPE) {
            token = H2O_TOKEN_CONTENT_TYPE;
            has_type = true;
        } else if (tag == CAIRN_META_CONTENT_ENCODING) {
            token = H2O_TOKEN_CONTENT_ENCODING;
        } else if (tag == CAIRN_META_CACHE_CONTROL) {
            token = H2O_TOKEN_CACHE_CONTROL;
        } else if (tag == CAIRN_META_USER) {
            size_t name_bytes = strlen(text.base); /* h2o_strdup ends it for sure */
            if (name_bytes < text.len)
                h2o_add_header_by_str(&req->pool, &req->res.headers, text.base, name_bytes, 0, NULL,
                                      text.base + name_bytes + 1, text.len - name_bytes - 1);
        }
        if (token != NULL)
            h2o_add_header(&req->pool, &req->res.headers, token, NULL, text.base, text.len);
    }
    return has_type;
}

static void add_value_headers(h2o_req_t *req, const cairn_value_t *value)
{
    if (value->meta.count == 0 || !add_meta(req, value->meta))
        h2o_add_header(&req->pool, &req->res.headers, H2O_TOKEN_CONTENT_TYPE, NULL,
                       H2O_STRLIT("application/octet-stream"));
    char *text = h2o_mem_alloc_pool(&req->pool, ETAG_BYTES_MAX + H2O_TIMESTR_RFC1123_LEN);
    h2o_add_header(&req->pool, &req->res.headers, H2O_TOKEN_ETAG, NULL, text,
                   format_etag(text, value->version));
    char *date = text + ETAG_BYTES_MAX;
    memcpy(date, http_date(value->written_ms / 1000), H2O_TIMESTR_RFC1123_LEN);
    h2o_add_header(&req->pool, &req->res.headers, H2O_TOKEN_LAST_MODIFIED, NULL, date,
                   H2O_TIMESTR_RFC1123_LEN);
    h2o_add_header(&req->pool, &req->res.headers, H2O_TOKEN_ACCEPT_RANGES, NULL,
                   H2O_STRLIT("bytes"));
}

/** a large value on its way out of the map */
typedef struct st_sender_t {
    h2o_generator_t super;
    cairn_value_t value;
    size_t sent;
} sender_t;

static void on_sender_dispose(void *p)
{
    cairn_value_unpin(&((sender_t *)p)->value);
}

static void send_piece(h2o_generator_t *super, h2o_req_t *req)
{
    sender_t *sender = (sender_t *)super;
    size_t left = sender->value.count - sender->sent;
    size_t count = left < PIECE_BYTES ? left : PIECE_BYTES;
    h2o_iovec_t piece = h2o_iovec_init(sender->value.bytes + sender->sent, count);
    sender->sent += count;
    h2o_send(req, &piece, 1, count == left ? H2O_SEND_STATE_FINAL : H2O_SEND_STATE_IN_PROGRESS);
}

static void send_from_map(h2o_req_t *req, const cairn_value_t *value)
{
    sender_t *sender = h2o_mem_alloc_shared(&req->pool, sizeof(*sender), on_sender_dispose);
    *sender = (sender_t){.super = {.proceed = send_piece}, .value = *value};
    cairn_value_pin(value);
    req->res.content_length = value->count;
    if (cairn_worker_of(req)->is_stopping)
        req->http1_is_persistent = 0;
    h2o_start_response(req, &sender->super);
    send_piece(&sender->super, req);
}

void cairn_reply_value(h2o_req_t *req, const cairn_value_t *value)
{
    req->res.status = 200;
    req->res.reason = "OK";
    add_value_headers(req, value);
    bool is_head = h2o_memis(req->method.base, req->method.len, H2O_STRLIT("HEAD"));
    if (!is_head)
        cairn_metrics_add(&cairn_worker_of(req)->metrics.value_bytes_out, value->count);
    if (value->count > COPY_BYTES_MAX && !is_head) {
        send_from_map(req, value);
        return;
    }
    const char *copy = NULL;
    if (!is_head && value->count != 0) {
        char *bytes = h2o_mem_alloc_pool(&req->pool, value->count);
        memcpy(bytes, value->bytes, value->count);
        copy = bytes;
    }
    send_body(req, copy, value->count);
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
                 worker->server->config->limits_value_bytes);
    } else if (req->res.status == 417) {
        problem = CAIRN_PROBLEM_EXPECTATION_FAILED;
        snprintf(detail, sizeof(detail), "the one expectation known is 100-continue");
    } else if (req->res.status == 404) {
        problem = CAIRN_PROBLEM_NO_SUCH_PATH;
        snprintf(detail, sizeof(detail), "there is nothing at this target");
    }
    lib_error_t *error = (lib_error_t *)h2o_add_ostream(req, sizeof(*error), slot);
    error->super.do_send = send_instead;
    error->body = problem_body(&req->pool, &problems[problem], detail);
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
