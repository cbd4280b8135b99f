/*
 * server/write_request.c - what a request asks of a write beside key and value.
 */
#include "server/write_request.h"

#include <string.h>

#include "server/conditions.h"
#include "server/meta_json.h"
#include "server/reply.h"
#include "server/target.h"
#include "server/units.h"

bool cairn_write_request_param(h2o_req_t *req, const char *name, h2o_iovec_t *value)
{
    const char *raw;
    size_t raw_count, at;
    if (req->query_at == SIZE_MAX ||
        !cairn_target_param(req->path.base + req->query_at + 1, req->path.len - req->query_at - 1,
                            name, &raw, &raw_count))
        return false;
    value->base = h2o_mem_alloc_pool(&req->pool, raw_count + 1);
    if (cairn_target_decode(raw, raw_count, true, value->base, raw_count, &value->len, &at) !=
        CAIRN_DECODE_OK) {
        value->base = NULL;
        cairn_reply_problem(req, CAIRN_PROBLEM_BAD_ESCAPE,
                            "byte %zu of %s: %% is not followed by two hex digits", at, name);
    }
    return true;
}

bool cairn_write_request_flag(h2o_req_t *req, const char *name, bool *flag)
{
    h2o_iovec_t text;
    *flag = false;
    if (!cairn_write_request_param(req, name, &text))
        return true;
    if (text.base == NULL)
        return false;
    *flag = h2o_memis(text.base, text.len, H2O_STRLIT("true"));
    if (*flag || h2o_memis(text.base, text.len, H2O_STRLIT("false")))
        return true;
    cairn_reply_problem(req, CAIRN_PROBLEM_BAD_REQUEST, "%s is either true or false", name);
    return false;
}

/** a header; several lines of one name are a list in pieces (RFC 9110, 5.3); false if there is none
 */
static bool find_header(h2o_req_t *req, const char *name, size_t name_bytes, h2o_iovec_t *value)
{
    ssize_t i = h2o_find_header_by_str(&req->headers, name, name_bytes, -1);
    if (i < 0)
        return false;
    *value = req->headers.entries[i].value;
    while ((i = h2o_find_header_by_str(&req->headers, name, name_bytes, i)) >= 0)
        *value = h2o_concat(&req->pool, *value, h2o_iovec_init(H2O_STRLIT(", ")),
                            req->headers.entries[i].value);
    return true;
}

static bool read_durability(h2o_req_t *req, cairn_durability_t *durability)
{
    const cairn_config_t *config = cairn_worker_of(req)->server->config;
    *durability = config->storage_durability == CAIRN_DURABILITY_ASYNC ? CAIRN_ASYNC : CAIRN_SYNC;
    h2o_iovec_t value;
    if (!find_header(req, H2O_STRLIT("cairn-durability"), &value))
        return true;
    if (h2o_memis(value.base, value.len, H2O_STRLIT("sync"))) {
        *durability = CAIRN_SYNC;
    } else if (h2o_memis(value.base, value.len, H2O_STRLIT("async"))) {
        *durability = CAIRN_ASYNC;
    } else {
        cairn_reply_problem(req, CAIRN_PROBLEM_BAD_REQUEST,
                            "Cairn-Durability is either sync or async");
        return false;
    }
    return true;
}

static bool read_ttl(h2o_req_t *req, uint64_t *ttl_ms)
{
    h2o_iovec_t text;
    *ttl_ms = 0;
    if (cairn_write_request_param(req, "ttl", &text)) {
        if (text.base == NULL)
            return false;
    } else if (!find_header(req, H2O_STRLIT("cairn-ttl"), &text)) {
        return true;
    }
    if (cairn_units_parse_ms(text.base, text.len, ttl_ms) == CAIRN_UNITS_OK && *ttl_ms != 0 &&
        *ttl_ms <= CAIRN_TTL_MS_MAX)
        return true;
    cairn_reply_problem(
        req, CAIRN_PROBLEM_BAD_TTL,
        "a time to live is a number with ms, s, m, h or d, such as 90s, from 1ms to "
        "36525d");
    return false;
}

static bool read_conditions(h2o_req_t *req, const cairn_conditions_t **conditions)
{
    cairn_condition_texts_t texts;
    *conditions = NULL;
    if (!cairn_reply_condition_texts(req, &texts))
        return true;
    cairn_conditions_t *parsed = h2o_mem_alloc_pool(&req->pool, sizeof(*parsed));
    const char *fault = cairn_conditions_parse(&texts, parsed);
    if (fault != NULL) {
        cairn_reply_problem(req, CAIRN_PROBLEM_BAD_CONDITION, "%s", fault);
        return false;
    }
    *conditions = parsed;
    return true;
}

bool cairn_write_request_read(h2o_req_t *req, cairn_write_request_t *asked)
{
    return read_durability(req, &asked->durability) && read_ttl(req, &asked->ttl_ms) &&
           read_conditions(req, &asked->conditions);
}

void cairn_write_request_apply(const cairn_write_request_t *asked, cairn_write_t *write)
{
    if (write == NULL)
        return;
    write->durability = asked->durability;
    write->ttl_ms = asked->ttl_ms;
    write->conditions = asked->conditions;
}

static bool add_header(h2o_req_t *req, cairn_meta_builder_t *meta, cairn_meta_tag_t tag,
                       const h2o_token_t *token)
{
    h2o_iovec_t value;
    return !find_header(req, token->buf.base, token->buf.len, &value) ||
           cairn_meta_add(meta, tag, (cairn_bytes_t){value.base, value.len});
}

/** one field for each `Cairn-Meta-*` header: name, NUL, value */
static bool add_user_meta(h2o_req_t *req, cairn_meta_builder_t *meta)
{
    char field[CAIRN_USER_META_BYTES_MAX + 1];
    size_t total = 0;
    for (size_t i = 0; i < req->headers.size; ++i) {
        const h2o_header_t *header = &req->headers.entries[i];
        size_t prefix = sizeof(CAIRN_USER_META_PREFIX) - 1;
        if (header->name->len <= prefix ||
            memcmp(header->name->base, CAIRN_USER_META_PREFIX, prefix) != 0)
            continue;
        total += header->name->len + header->value.len;
        if (total > CAIRN_USER_META_BYTES_MAX)
            return false;
        size_t name_bytes = header->name->len;
        memcpy(field, header->name->base, name_bytes);
        field[name_bytes] = '\0';
        memcpy(field + name_bytes + 1, header->value.base, header->value.len);
        if (!cairn_meta_add(meta, CAIRN_META_USER,
                            (cairn_bytes_t){field, name_bytes + 1 + header->value.len}))
            return false;
    }
    return true;
}

bool cairn_write_request_meta(h2o_req_t *req, bool has_ttl, cairn_meta_builder_t *meta)
{
    meta->count = 0;
    if (add_header(req, meta, CAIRN_META_CONTENT_TYPE, H2O_TOKEN_CONTENT_TYPE) &&
        add_header(req, meta, CAIRN_META_CONTENT_ENCODING, H2O_TOKEN_CONTENT_ENCODING) &&
        (has_ttl || add_header(req, meta, CAIRN_META_CACHE_CONTROL, H2O_TOKEN_CACHE_CONTROL)) &&
        add_user_meta(req, meta))
        return true;
    cairn_reply_problem(req, CAIRN_PROBLEM_META_TOO_LARGE,
                        "Cairn-Meta-* headers have at most %d bytes together, and all that is "
                        "stored beside a value at most %d",
                        CAIRN_USER_META_BYTES_MAX, CAIRN_META_BYTES_MAX);
    return false;
}
