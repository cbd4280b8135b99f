/*
 * server/head.c - the head of an answer, written by us.
 */
#include "server/head.h"

#include <assert.h>
#include <string.h>

#include <h2o/version.h>

#include "server/decimal.h"
#include "server/pipeline.h"
#include "server/reply.h"

/* what stands in every head, and room for its numbers */
#define LINES_BYTES_MAX                                                                            \
    (sizeof("HTTP/1.1 200 \r\nDate: \r\nConnection: keep-alive\r\nContent-Length: \r\n"            \
            "Server: \r\n\r\n") +                                                                  \
     H2O_TIMESTR_RFC1123_LEN + CAIRN_DECIMAL_BYTES_MAX)

#define ETAG_LINE_BYTES_MAX (sizeof("etag: \"\"\r\n") + CAIRN_DECIMAL_BYTES_MAX)

/* and in that of a plain value, around its numbers */
#define PLAIN_TYPE_LINE "content-type: " CAIRN_CONTENT_TYPE_DEFAULT "\r\n"
#define PLAIN_MODIFIED "last-modified: "
#define PLAIN_RANGES_LINE "\r\naccept-ranges: bytes\r\n"
#define PLAIN_LINES_BYTES_MAX                                                                      \
    (sizeof(PLAIN_TYPE_LINE PLAIN_MODIFIED PLAIN_RANGES_LINE) + ETAG_LINE_BYTES_MAX +              \
     H2O_TIMESTR_RFC1123_LEN)

/* The last stream of an HTTP/1 connection in libh2o 0.13, lib/http1.c: it begins with a stream like
 * any other, behind which stands whether the head has been sent. */
static_assert(H2O_LIBRARY_VERSION_MAJOR == 0 && H2O_LIBRARY_VERSION_MINOR == 13,
              "look up how this libh2o notes that a head has been sent");
typedef struct st_last_stream_t {
    h2o_ostream_t super;
    int has_sent_head;
} last_stream_t;

/** dates of late, by their second: formatting one costs as much as finding a value */
const char *cairn_head_date(uint64_t seconds)
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

static char *add(char *at, const char *text, size_t count)
{
    memcpy(at, text, count);
    return at + count;
}

static size_t headers_bytes(const h2o_headers_t *headers)
{
    size_t bytes = 0;
    for (size_t i = 0; i < headers->size; ++i)
        bytes += headers->entries[i].name->len + headers->entries[i].value.len + 4;
    return bytes;
}

static char *add_header(char *at, const h2o_header_t *header)
{
    const char *name = header->orig_name != NULL ? header->orig_name : header->name->base;
    at = add(at, name, header->name->len);
    at = add(at, H2O_STRLIT(": "));
    at = add(at, header->value.base, header->value.len);
    return add(at, H2O_STRLIT("\r\n"));
}

/** a head that is being written */
typedef struct st_writing_t {
    char *head;
    char *at;
    size_t bytes_max;
} writing_t;

/** writes what stands in every head; `more` bytes at most are to follow it in this one, and `room`
 * behind it */
static writing_t begin(h2o_req_t *req, size_t more, size_t room)
{
    const h2o_res_t *res = &req->res;
    size_t reason_bytes = strlen(res->reason);
    const h2o_iovec_t *server = &req->conn->ctx->globalconf->server_name;
    size_t bytes_max = LINES_BYTES_MAX + reason_bytes + server->len + more;
    char *head = cairn_pipeline_room(req, bytes_max + room), *at = head;
    const struct timeval *now = h2o_get_timestamp(req->conn->ctx, NULL, NULL);

    at = add(at, H2O_STRLIT("HTTP/1.1 "));
    at += cairn_decimal_write(at, (uint64_t)res->status);
    *at++ = ' ';
    at = add(at, res->reason, reason_bytes);
    at = add(at, H2O_STRLIT("\r\nDate: "));
    at = add(at, cairn_head_date((uint64_t)now->tv_sec), H2O_TIMESTR_RFC1123_LEN);
    if (req->http1_is_persistent)
        at = add(at, H2O_STRLIT("\r\nConnection: keep-alive\r\n"));
    else
        at = add(at, H2O_STRLIT("\r\nConnection: close\r\n"));
    if (res->content_length != SIZE_MAX) {
        at = add(at, H2O_STRLIT("Content-Length: "));
        at += cairn_decimal_write(at, res->content_length);
        at = add(at, H2O_STRLIT("\r\n"));
    }
    at = add(at, H2O_STRLIT("Server: "));
    at = add(at, server->base, server->len);
    at = add(at, H2O_STRLIT("\r\n"));
    return (writing_t){.head = head, .at = at, .bytes_max = bytes_max};
}

static h2o_iovec_t end(writing_t *w)
{
    w->at = add(w->at, H2O_STRLIT("\r\n"));
    assert((size_t)(w->at - w->head) <= w->bytes_max);
    return h2o_iovec_init(w->head, w->at - w->head);
}

static char *add_headers(char *at, const h2o_headers_t *headers)
{
    for (size_t i = 0; i < headers->size; ++i)
        at = add_header(at, &headers->entries[i]);
    return at;
}

h2o_iovec_t cairn_head_make(h2o_req_t *req, size_t room)
{
    writing_t w = begin(req, headers_bytes(&req->res.headers), room);
    w.at = add_headers(w.at, &req->res.headers);
    return end(&w);
}

static char *add_etag(char *at, uint64_t version)
{
    at = add(at, H2O_STRLIT("etag: \""));
    at += cairn_decimal_write(at, version);
    return add(at, H2O_STRLIT("\"\r\n"));
}

h2o_iovec_t cairn_head_make_written(h2o_req_t *req, uint64_t version)
{
    writing_t w = begin(req, headers_bytes(&req->res.headers) + ETAG_LINE_BYTES_MAX, 0);
    w.at = add_headers(w.at, &req->res.headers);
    w.at = add_etag(w.at, version);
    return end(&w);
}

h2o_iovec_t cairn_head_make_plain(h2o_req_t *req, uint64_t version, uint64_t written_ms,
                                  size_t room)
{
    assert(req->res.headers.size == 0);
    writing_t w = begin(req, PLAIN_LINES_BYTES_MAX, room);
    w.at = add(w.at, H2O_STRLIT(PLAIN_TYPE_LINE));
    w.at = add_etag(w.at, version);
    w.at = add(w.at, H2O_STRLIT(PLAIN_MODIFIED));
    w.at = add(w.at, cairn_head_date(written_ms / 1000), H2O_TIMESTR_RFC1123_LEN);
    w.at = add(w.at, H2O_STRLIT(PLAIN_RANGES_LINE));
    return end(&w);
}

void cairn_head_send_first(h2o_req_t *req, h2o_generator_t *generator, h2o_iovec_t head,
                           h2o_iovec_t piece, h2o_send_state_t state)
{
    h2o_iovec_t bufs[2] = {head, piece};
    h2o_start_response(req, generator);
    last_stream_t *last = (last_stream_t *)req->_ostr_top;
    assert(last->super.next == NULL && last->has_sent_head == 0); /* no filter, and no head yet */
    last->has_sent_head = 1;
    req->bytes_sent = piece.len; /* the access log tells the bytes of the body */
    req->bytes_counted_by_ostream = 1;
    cairn_pipeline_send(req, bufs, piece.len != 0 ? 2 : 1, state);
}

void cairn_head_send(h2o_req_t *req, h2o_iovec_t head, const char *body, size_t count)
{
    static h2o_generator_t generator = {NULL, NULL};
    cairn_head_send_first(req, &generator, head, h2o_iovec_init(body, count), H2O_SEND_STATE_FINAL);
}
