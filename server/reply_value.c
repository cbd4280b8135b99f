/*
 * server/reply_value.c - answers that carry a value, or a part of one, or say that it has not
 * changed.
 *
 * Conditions first, then the range, in the order of RFC 9110, section 13.2.2.
 */
#include "server/reply.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "server/conn.h"
#include "server/decimal.h"
#include "server/head.h"
#include "server/pending.h"
#include "server/range.h"
#include "server/sender.h"

/** values up to this size are copied, so that a slow reader holds no segment */
#define COPY_BYTES_MAX 16384
/** a number in quotes */
#define ETAG_BYTES_MAX (CAIRN_DECIMAL_BYTES_MAX + 2)

void cairn_reply_add_etag(h2o_req_t *req, uint64_t version)
{
    char *etag = h2o_mem_alloc_pool(&req->pool, ETAG_BYTES_MAX);
    size_t count = 1 + cairn_decimal_write(etag + 1, version);
    etag[0] = etag[count] = '"';
    h2o_add_header(&req->pool, &req->res.headers, H2O_TOKEN_ETAG, NULL, etag, count + 1);
}

/** the headers a client stored with the value but Cache-Control; copied, since the map may go
 * before the answer has */
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

static void add_text(h2o_req_t *req, const h2o_token_t *token, const char *text, size_t count)
{
    h2o_add_header(&req->pool, &req->res.headers, token, NULL, text, count);
}

static void add_date(h2o_req_t *req, const h2o_token_t *token, uint64_t ms)
{
    char *text = h2o_mem_alloc_pool(&req->pool, H2O_TIMESTR_RFC1123_LEN);
    memcpy(text, cairn_head_date(ms / 1000), H2O_TIMESTR_RFC1123_LEN);
    add_text(req, token, text, H2O_TIMESTR_RFC1123_LEN);
}

static void add_stored_cache_control(h2o_req_t *req, cairn_bytes_t meta)
{
    cairn_meta_tag_t tag;
    cairn_bytes_t content;
    for (size_t at = 0; cairn_meta_next(meta, &at, &tag, &content);)
        if (tag == CAIRN_META_CACHE_CONTROL)
            add_text(req, H2O_TOKEN_CACHE_CONTROL,
                     h2o_strdup(&req->pool, content.base, content.count).base, content.count);
}

/** how long a cache may keep it. An expiry may have come later than a Cache-Control that was
 * stored, by an incr with a time to live, and then is what counts */
static void add_freshness(h2o_req_t *req, const cairn_value_t *value)
{
    if (value->expiry_ms == 0) {
        add_stored_cache_control(req, value->meta);
        return;
    }
    uint64_t now_ms = cairn_store_now_ms(cairn_pending_store(req));
    uint64_t left_ms = value->expiry_ms > now_ms ? value->expiry_ms - now_ms : 0;
    char *text = h2o_mem_alloc_pool(&req->pool, sizeof("max-age=18446744073709551615"));
    int n =
        snprintf(text, sizeof("max-age=18446744073709551615"), "max-age=%" PRIu64, left_ms / 1000);
    add_date(req, H2O_TOKEN_EXPIRES, value->expiry_ms);
    add_text(req, H2O_TOKEN_CACHE_CONTROL, text, (size_t)n);
}

/** what a 200, 206 or 304 says of the value */
static void add_validators(h2o_req_t *req, const cairn_value_t *value)
{
    cairn_reply_add_etag(req, value->version);
    add_date(req, H2O_TOKEN_LAST_MODIFIED, value->written_ms);
    add_freshness(req, value);
}

static void add_value_headers(h2o_req_t *req, const cairn_value_t *value)
{
    if (value->meta.count == 0 || !add_meta(req, value->meta))
        add_text(req, H2O_TOKEN_CONTENT_TYPE, H2O_STRLIT(CAIRN_CONTENT_TYPE_DEFAULT));
    add_validators(req, value);
    add_text(req, H2O_TOKEN_ACCEPT_RANGES, H2O_STRLIT("bytes"));
}

/* ---------------------------------------------------------------- conditions and ranges */

/** the headers that change what a GET answers */
typedef struct st_asked_t {
    cairn_condition_texts_t conditions;
    cairn_bytes_t range;
    cairn_bytes_t if_range;
} asked_t;

/** several lines of one name are a list in pieces (RFC 9110, 5.3); of a header that is no list that
 * makes a text that is none */
static cairn_bytes_t join(h2o_req_t *req, cairn_bytes_t before, h2o_iovec_t more)
{
    h2o_iovec_t all = h2o_concat(&req->pool, h2o_iovec_init(before.base, before.count),
                                 h2o_iovec_init(H2O_STRLIT(", ")), more);
    return (cairn_bytes_t){all.base, all.len};
}

/** one walk over the headers, which mostly have none of these */
static bool find_asked(h2o_req_t *req, asked_t *asked)
{
    bool found = false;
    memset(asked, 0, sizeof(*asked));
    for (size_t i = 0; i < req->headers.size; ++i) {
        const h2o_header_t *header = &req->headers.entries[i];
        const h2o_iovec_t *name = header->name;
        cairn_bytes_t *text =
            name == &H2O_TOKEN_IF_MATCH->buf              ? &asked->conditions.if_match
            : name == &H2O_TOKEN_IF_NONE_MATCH->buf       ? &asked->conditions.if_none_match
            : name == &H2O_TOKEN_IF_MODIFIED_SINCE->buf   ? &asked->conditions.if_modified_since
            : name == &H2O_TOKEN_IF_UNMODIFIED_SINCE->buf ? &asked->conditions.if_unmodified_since
            : name == &H2O_TOKEN_RANGE->buf               ? &asked->range
            : name == &H2O_TOKEN_IF_RANGE->buf            ? &asked->if_range
                                                          : NULL;
        if (text == NULL)
            continue;
        *text = text->base == NULL ? (cairn_bytes_t){header->value.base, header->value.len}
                                   : join(req, *text, header->value);
        found = true;
    }
    return found;
}

bool cairn_reply_condition_texts(h2o_req_t *req, cairn_condition_texts_t *texts)
{
    asked_t asked;
    find_asked(req, &asked);
    *texts = asked.conditions;
    return texts->if_match.base != NULL || texts->if_none_match.base != NULL ||
           texts->if_modified_since.base != NULL || texts->if_unmodified_since.base != NULL;
}

/** true if the conditions forbid the value, and that has been answered */
static bool answer_conditions(h2o_req_t *req, const asked_t *asked, const cairn_value_t *value)
{
    cairn_conditions_t conditions;
    const char *fault = cairn_conditions_parse(&asked->conditions, &conditions);
    if (fault != NULL) {
        cairn_reply_problem(req, CAIRN_PROBLEM_BAD_CONDITION, "%s", fault);
        return true;
    }
    switch (cairn_conditions_check_read(&conditions, value->version, value->written_ms)) {
    case CAIRN_CONDITION_FAILED:
        cairn_reply_add_etag(req, value->version);
        cairn_reply_err(req, CAIRN_ERR_PRECONDITION);
        return true;
    case CAIRN_CONDITION_NOT_MODIFIED:
        add_validators(req, value);
        cairn_reply_empty(req, 304, "Not Modified");
        return true;
    case CAIRN_CONDITION_PASSED:
        break;
    }
    return false;
}

/**
 * Whether a range may be served: If-Range names this very value, or was not sent. A date names
 * none: two values may have been written in its second, and the client would join parts of both
 * (RFC 9110, 8.8.2.2 and 13.1.5).
 */
static bool range_applies(const asked_t *asked, const cairn_value_t *value)
{
    uint64_t version;
    if (asked->range.base == NULL)
        return false;
    if (asked->if_range.base == NULL)
        return true;
    return cairn_conditions_parse_etag(asked->if_range, &version) && version == value->version;
}

/** narrows the value to what was asked for; true if it is outside, and that has been answered */
static bool answer_range(h2o_req_t *req, const asked_t *asked, cairn_value_t *value)
{
    uint64_t first, last, size = value->count;
    if (!range_applies(asked, value) || !cairn_method_is(req, "GET"))
        return false;
    cairn_range_result_t result = cairn_range_parse(asked->range, size, &first, &last);
    if (result == CAIRN_RANGE_WHOLE)
        return false;
    char *text = h2o_mem_alloc_pool(&req->pool, 80);
    if (result == CAIRN_RANGE_UNSATISFIABLE) {
        int n = snprintf(text, 80, "bytes */%" PRIu64, size);
        add_text(req, H2O_TOKEN_CONTENT_RANGE, text, (size_t)n);
        cairn_reply_add_etag(req, value->version);
        cairn_reply_problem(req, CAIRN_PROBLEM_RANGE_NOT_SATISFIABLE,
                            "the value has %" PRIu64 " bytes", size);
        return true;
    }
    int n = snprintf(text, 80, "bytes %" PRIu64 "-%" PRIu64 "/%" PRIu64, first, last, size);
    add_text(req, H2O_TOKEN_CONTENT_RANGE, text, (size_t)n);
    req->res.status = 206;
    req->res.reason = "Partial Content";
    value->bytes += first;
    value->count = last - first + 1;
    return false;
}

/* ---------------------------------------------------------------- sending */

/** gives the value a meta in memory of our own; false if the disk cannot read it */
static bool copy_meta(h2o_req_t *req, cairn_value_t *value)
{
    if (value->meta.count == 0)
        return true;
    void *copy = h2o_mem_alloc_pool(&req->pool, value->meta.count);
    bool is_read = cairn_value_copy_meta(value, copy);
    value->meta.base = copy;
    return is_read;
}

/** nothing is stored with it, and it is sent whole, at once: as most are */
static bool is_plain_200(const h2o_req_t *req, const cairn_value_t *value)
{
    return req->res.status == 200 && value->meta.count == 0 && value->expiry_ms == 0 &&
           value->count <= COPY_BYTES_MAX && req->res.headers.size == 0;
}

void cairn_reply_value(h2o_req_t *req, const cairn_value_t *whole)
{
    asked_t asked;
    cairn_value_t value = *whole;
    if (!copy_meta(req, &value)) {
        cairn_reply_err(req, CAIRN_ERR_IO);
        return;
    }
    req->res.status = 200;
    req->res.reason = "OK";
    if (find_asked(req, &asked) &&
        (answer_conditions(req, &asked, &value) || answer_range(req, &asked, &value)))
        return;
    bool is_head = cairn_method_is(req, "HEAD"), is_plain = !is_head && is_plain_200(req, &value);
    if (!is_plain)
        add_value_headers(req, &value);
    if (is_head) {
        cairn_reply_body(req, NULL, value.count);
    } else if (value.count > COPY_BYTES_MAX) {
        cairn_metrics_add(&cairn_worker_of(req)->metrics.value_bytes_out, value.count);
        cairn_sender_start(req, &value);
    } else if (cairn_reply_copy(req, &value, is_plain)) {
        cairn_metrics_add(&cairn_worker_of(req)->metrics.value_bytes_out, value.count);
    } else {
        req->res.headers.size = 0; /* of a value that will not be sent */
        cairn_reply_err(req, CAIRN_ERR_IO);
    }
}
