/*
 * server/kv.c - one value: get, put, delete, incr, append.
 */
#include "server/kv.h"

#include <inttypes.h>
#include <string.h>

#include "server/conn.h"
#include "server/gate.h"
#include "server/pending.h"
#include "server/reply.h"
#include "server/target.h"
#include "server/write_request.h"

static const cairn_bytes_t nothing = {NULL, 0};

/* ---------------------------------------------------------------- keys */

bool cairn_kv_take_key(h2o_req_t *req, const char *bytes, size_t count, cairn_key_t *key)
{
    if (count == 0) {
        cairn_reply_problem(req, CAIRN_PROBLEM_KEY_EMPTY, "a key has at least one byte");
        return false;
    }
    if (count > CAIRN_KEY_BYTES_MAX) {
        cairn_reply_problem(req, CAIRN_PROBLEM_KEY_TOO_LONG, "a key has at most %d bytes",
                            CAIRN_KEY_BYTES_MAX);
        return false;
    }
    if (!cairn_gate_allows_key(req, bytes, count))
        return false;
    *key = cairn_store_key(cairn_pending_store(req), bytes, count);
    return true;
}

/** decodes the key in a path into the request's pool; on failure the request has been answered */
static bool decode_key(h2o_req_t *req, h2o_iovec_t raw, cairn_key_t *key)
{
    size_t room = raw.len < CAIRN_KEY_BYTES_MAX ? raw.len : CAIRN_KEY_BYTES_MAX;
    char *bytes = h2o_mem_alloc_pool(&req->pool, room + 1);
    size_t count = 0, at = 0;
    switch (cairn_target_decode(raw.base, raw.len, false, bytes, room, &count, &at)) {
    case CAIRN_DECODE_BAD_ESCAPE:
        cairn_reply_problem(req, CAIRN_PROBLEM_BAD_ESCAPE,
                            "byte %zu of the key: %% is not followed by two hex digits", at);
        return false;
    case CAIRN_DECODE_TOO_LONG:
        count = CAIRN_KEY_BYTES_MAX + 1;
        break;
    case CAIRN_DECODE_OK:
        break;
    }
    return cairn_kv_take_key(req, bytes, count, key);
}

/* ---------------------------------------------------------------- get */

/** `loaded` is what a load has just brought in, 0 on the first try */
static void get(h2o_req_t *req, const cairn_key_t *key, uint64_t loaded)
{
    cairn_value_t value;
    cairn_err_t err = cairn_store_get(cairn_pending_store(req), key, loaded, &value);
    if (err == CAIRN_OK)
        cairn_reply_value(req, &value);
    else if (err == CAIRN_ERR_COLD)
        cairn_pending_load(req, key, value.loc, get);
    else
        cairn_reply_err(req, err);
}

void cairn_kv_get(h2o_req_t *req, const cairn_key_t *key)
{
    cairn_conn_of(req)->op = CAIRN_OP_GET;
    get(req, key, 0);
}

/* ---------------------------------------------------------------- answers to writes */

/** true if it failed, and that has been answered */
static bool answer_failure(h2o_req_t *req, const cairn_write_t *write)
{
    if (write->err == CAIRN_OK)
        return false;
    if (write->err == CAIRN_ERR_PRECONDITION && write->version != 0)
        cairn_reply_add_etag(req, write->version);
    cairn_reply_err(req, write->err);
    return true;
}

static void answer_put(h2o_req_t *req, const cairn_write_t *write)
{
    if (!answer_failure(req, write))
        cairn_reply_written(req, write->version, write->existed);
}

static void answer_delete(h2o_req_t *req, const cairn_write_t *write)
{
    if (!answer_failure(req, write))
        cairn_reply_written(req, write->version, true);
}

static void answer_incr(h2o_req_t *req, const cairn_write_t *write)
{
    char text[24];
    if (answer_failure(req, write))
        return;
    int n = snprintf(text, sizeof(text), "%" PRId64, write->number);
    cairn_reply_add_etag(req, write->version);
    cairn_reply_text(req, "text/plain", text, (size_t)n);
}

static void answer_sync(h2o_req_t *req, const cairn_write_t *write)
{
    if (!answer_failure(req, write))
        cairn_reply_empty(req, 204, "No Content");
}

/* ---------------------------------------------------------------- writes */

/** false, and the request has been answered, when a value is larger than is allowed */
static bool check_value(h2o_req_t *req, cairn_bytes_t value)
{
    cairn_worker_t *worker = cairn_worker_of(req);
    uint64_t most = atomic_load_explicit(&worker->server->value_bytes_max, memory_order_relaxed);
    if (value.count > most) {
        cairn_reply_problem(req, CAIRN_PROBLEM_VALUE_TOO_LARGE,
                            "the value has %zu bytes, limits.value_bytes is %" PRIu64, value.count,
                            most);
        return false;
    }
    cairn_metrics_add(&worker->metrics.value_bytes_in, value.count);
    return true;
}

static void queue(h2o_req_t *req, cairn_write_op_t op, const cairn_key_t *key, cairn_bytes_t meta,
                  cairn_bytes_t value, const cairn_write_request_t *asked)
{
    cairn_write_t *write = cairn_write_create(op, key, meta, value);
    cairn_write_request_apply(asked, write);
    cairn_pending_write(req, write, op == CAIRN_WRITE_DELETE ? answer_delete : answer_put);
}

void cairn_kv_put(h2o_req_t *req, const cairn_key_t *key, cairn_bytes_t meta, cairn_bytes_t value)
{
    cairn_write_request_t asked;
    cairn_conn_of(req)->op = CAIRN_OP_PUT;
    if (check_value(req, value) && cairn_write_request_read(req, &asked))
        queue(req, CAIRN_WRITE_PUT, key, meta, value, &asked);
}

void cairn_kv_delete(h2o_req_t *req, const cairn_key_t *key)
{
    cairn_write_request_t asked;
    cairn_conn_of(req)->op = CAIRN_OP_DELETE;
    if (cairn_write_request_read(req, &asked))
        queue(req, CAIRN_WRITE_DELETE, key, nothing, nothing, &asked);
}

/** `curl -C` sends the rest of a file so: taken for the whole, it would be all there is of it */
static bool is_partial(const h2o_req_t *req)
{
    return h2o_find_header(&req->headers, H2O_TOKEN_CONTENT_RANGE, -1) >= 0;
}

/** PUT and append: a value with what is stored beside it */
static void put_body(h2o_req_t *req, const cairn_key_t *key, cairn_write_op_t op)
{
    cairn_write_request_t asked;
    cairn_meta_builder_t meta;
    cairn_bytes_t value = {req->entity.base, req->entity.len};
    if (req->entity.base == NULL) {
        cairn_reply_problem(req, CAIRN_PROBLEM_LENGTH_REQUIRED,
                            "a body is needed: send Content-Length, 0 for an empty value");
        return;
    }
    if (op == CAIRN_WRITE_PUT && is_partial(req)) {
        cairn_reply_problem(req, CAIRN_PROBLEM_BAD_REQUEST,
                            "a value is put whole: with Content-Range it is only a part");
        return;
    }
    if (check_value(req, value) && cairn_write_request_read(req, &asked) &&
        cairn_write_request_meta(req, asked.ttl_ms != 0, &meta))
        queue(req, op, key, (cairn_bytes_t){meta.bytes, meta.count}, value, &asked);
}

static void incr(h2o_req_t *req, const cairn_key_t *key)
{
    static const char text_plain[] = "text/plain";
    cairn_write_request_t asked;
    cairn_meta_builder_t meta = {.count = 0};
    int64_t by = 1;
    h2o_iovec_t text;
    if (cairn_write_request_param(req, "by", &text)) {
        if (text.base == NULL)
            return;
        if (!cairn_number_parse(text.base, text.len, &by)) {
            cairn_reply_problem(req, CAIRN_PROBLEM_BAD_NUMBER,
                                "by is a decimal number that fits 64 bits, such as 1 or -5");
            return;
        }
    }
    if (!cairn_write_request_read(req, &asked))
        return;
    cairn_meta_add(&meta, CAIRN_META_CONTENT_TYPE,
                   (cairn_bytes_t){text_plain, sizeof(text_plain) - 1});
    cairn_write_t *write =
        cairn_write_create(CAIRN_WRITE_INCR, key, (cairn_bytes_t){meta.bytes, meta.count}, nothing);
    cairn_write_request_apply(&asked, write);
    if (write != NULL)
        write->by = by;
    cairn_pending_write(req, write, answer_incr);
}

/** /v1/sync?version=N: answered once everything up to N is on disk */
static void sync_up_to(h2o_req_t *req)
{
    h2o_iovec_t text;
    int64_t version = 0;
    bool is_given = cairn_write_request_param(req, "version", &text);
    if (is_given && text.base == NULL)
        return;
    uint64_t newest = cairn_store_last_version(cairn_pending_store(req));
    if (!is_given || !cairn_number_parse(text.base, text.len, &version) || version < 0 ||
        (uint64_t)version > newest)
        cairn_reply_problem(req, CAIRN_PROBLEM_BAD_VERSION,
                            "give a version there has been: /v1/sync?version=N, N up to %" PRIu64,
                            newest);
    else
        cairn_pending_write(req, cairn_write_create_sync((uint64_t)version), answer_sync);
}

/* ---------------------------------------------------------------- paths */

static void handle_value(h2o_req_t *req, h2o_iovec_t raw)
{
    cairn_key_t key;
    bool is_get = cairn_method_is(req, "GET") || cairn_method_is(req, "HEAD");
    bool is_put = cairn_method_is(req, "PUT");
    if (!is_get && !is_put && !cairn_method_is(req, "DELETE")) {
        cairn_reply_method_not_allowed(req, "GET, HEAD, PUT, DELETE");
        return;
    }
    cairn_conn_of(req)->op = is_get ? CAIRN_OP_GET : is_put ? CAIRN_OP_PUT : CAIRN_OP_DELETE;
    if (!decode_key(req, raw, &key))
        return;
    if (is_get)
        get(req, &key, 0);
    else if (is_put)
        put_body(req, &key, CAIRN_WRITE_PUT);
    else
        cairn_kv_delete(req, &key);
}

static void handle_post(h2o_req_t *req, h2o_iovec_t raw, cairn_op_t op)
{
    cairn_key_t key;
    if (!cairn_method_is(req, "POST")) {
        cairn_reply_method_not_allowed(req, "POST");
        return;
    }
    cairn_conn_of(req)->op = op;
    if (!decode_key(req, raw, &key))
        return;
    if (op == CAIRN_OP_INCR)
        incr(req, &key);
    else
        put_body(req, &key, CAIRN_WRITE_APPEND);
}

/** whether the path begins so; `*rest` becomes what follows */
static bool has_prefix(h2o_iovec_t path, const char *prefix, size_t bytes, h2o_iovec_t *rest)
{
    if (path.len < bytes || memcmp(path.base, prefix, bytes) != 0)
        return false;
    *rest = h2o_iovec_init(path.base + bytes, path.len - bytes);
    return true;
}

bool cairn_kv_handle(h2o_req_t *req, h2o_iovec_t path)
{
    h2o_iovec_t rest;
    if (has_prefix(path, H2O_STRLIT("/v1/kv/"), &rest))
        handle_value(req, rest);
    else if (has_prefix(path, H2O_STRLIT("/v1/incr/"), &rest))
        handle_post(req, rest, CAIRN_OP_INCR);
    else if (has_prefix(path, H2O_STRLIT("/v1/append/"), &rest))
        handle_post(req, rest, CAIRN_OP_APPEND);
    else if (!h2o_memis(path.base, path.len, H2O_STRLIT("/v1/sync")))
        return false;
    else if (!cairn_method_is(req, "GET"))
        cairn_reply_method_not_allowed(req, "GET");
    else
        sync_up_to(req);
    return true;
}
