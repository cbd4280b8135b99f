/*
 * server/tutorial.c - /set, /get, /delete: the API of the tutorial.
 *
 * Key and value come from the query string, from a form, or from JSON. GET works for all three so
 * that a browser's address bar does; hence a page of another site is refused here whatever the
 * method.
 */
#include "server/tutorial.h"

#include <string.h>

#include <jansson.h>

#include "server/conn.h"
#include "server/kv.h"
#include "server/reply.h"
#include "server/route.h"
#include "server/target.h"

typedef struct st_params_t {
    bool has_key, has_value;
    h2o_iovec_t key, value; /* decoded, in the request's pool */
} params_t;

/** false, and the request has been answered, on a bad escape */
static bool decode_param(h2o_req_t *req, h2o_iovec_t query, const char *name, bool *has,
                         h2o_iovec_t *out)
{
    const char *raw;
    size_t raw_count, at;
    *has = cairn_target_param(query.base, query.len, name, &raw, &raw_count);
    if (!*has)
        return true;
    char *bytes = h2o_mem_alloc_pool(&req->pool, raw_count + 1);
    if (cairn_target_decode(raw, raw_count, true, bytes, raw_count, &out->len, &at) ==
        CAIRN_DECODE_BAD_ESCAPE) {
        cairn_reply_problem(req, CAIRN_PROBLEM_BAD_ESCAPE,
                            "byte %zu of %s: %% is not followed by two hex digits", at, name);
        return false;
    }
    out->base = bytes;
    return true;
}

static bool read_form(h2o_req_t *req, h2o_iovec_t form, params_t *params)
{
    return decode_param(req, form, "key", &params->has_key, &params->key) &&
           decode_param(req, form, "value", &params->has_value, &params->value);
}

/** copies a string member, zero bytes and all, since the JSON goes before the request does */
static bool take_member(h2o_req_t *req, const json_t *json, const char *name, bool *has,
                        h2o_iovec_t *out)
{
    const json_t *member = json_object_get(json, name);
    *has = member != NULL;
    if (member == NULL)
        return true;
    if (!json_is_string(member)) {
        cairn_reply_problem(req, CAIRN_PROBLEM_BAD_JSON, "%s must be a string", name);
        return false;
    }
    *out = h2o_strdup(&req->pool, json_string_value(member), json_string_length(member));
    return true;
}

static bool read_json(h2o_req_t *req, params_t *params)
{
    json_error_t error;
    json_t *json = json_loadb(req->entity.base, req->entity.len,
                              JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &error);
    if (!json_is_object(json)) {
        if (json == NULL)
            cairn_reply_problem(req, CAIRN_PROBLEM_BAD_JSON,
                                "line %d, byte %d: this is not JSON as expected, "
                                "{\"key\":\"foo\",\"value\":\"bar\"}",
                                error.line, error.position);
        else
            cairn_reply_problem(req, CAIRN_PROBLEM_BAD_JSON,
                                "the body must be an object, {\"key\":\"foo\",\"value\":\"bar\"}");
        json_decref(json);
        return false;
    }
    bool ok = take_member(req, json, "key", &params->has_key, &params->key) &&
              take_member(req, json, "value", &params->has_value, &params->value);
    json_decref(json);
    return ok;
}

static bool is_form(const h2o_req_t *req)
{
    static const char form[] = "application/x-www-form-urlencoded";
    ssize_t i = h2o_find_header(&req->headers, H2O_TOKEN_CONTENT_TYPE, -1);
    if (i < 0)
        return false;
    h2o_iovec_t type = req->headers.entries[i].value;
    return type.len >= sizeof(form) - 1 &&
           h2o_lcstris(type.base, sizeof(form) - 1, form, sizeof(form) - 1);
}

/** a body of JSON whatever it calls itself; curl calls everything a form, so that looks like one */
static bool body_is_json(const h2o_req_t *req)
{
    size_t at = 0;
    while (at < req->entity.len && memchr(" \t\r\n", req->entity.base[at], 4) != NULL)
        ++at;
    bool looks_like_json = at < req->entity.len && req->entity.base[at] == '{';
    return looks_like_json || !is_form(req);
}

static bool read_params(h2o_req_t *req, params_t *params)
{
    *params = (params_t){.has_key = false};
    h2o_iovec_t query = h2o_iovec_init(NULL, 0);
    if (req->query_at != SIZE_MAX)
        query =
            h2o_iovec_init(req->path.base + req->query_at + 1, req->path.len - req->query_at - 1);
    if (!read_form(req, query, params))
        return false;
    if (params->has_key || !cairn_method_is(req, "POST") || req->entity.len == 0)
        return true;
    return body_is_json(req) ? read_json(req, params) : read_form(req, req->entity, params);
}

/** text gets a type that a browser shows; anything else is bytes */
static void set(h2o_req_t *req, const cairn_key_t *key, h2o_iovec_t value)
{
    static const char text_plain[] = "text/plain; charset=utf-8";
    cairn_meta_builder_t meta;
    meta.count = 0;
    json_t *as_text = json_stringn(value.base, value.len); /* NULL unless it is UTF-8 */
    if (as_text != NULL)
        cairn_meta_add(&meta, CAIRN_META_CONTENT_TYPE,
                       (cairn_bytes_t){text_plain, sizeof(text_plain) - 1});
    json_decref(as_text);
    cairn_kv_put(req, key, (cairn_bytes_t){meta.bytes, meta.count},
                 (cairn_bytes_t){value.base, value.len});
}

bool cairn_tutorial_handle(h2o_req_t *req, h2o_iovec_t path)
{
    bool is_set = h2o_memis(path.base, path.len, H2O_STRLIT("/set"));
    bool is_get = h2o_memis(path.base, path.len, H2O_STRLIT("/get"));
    bool is_delete = h2o_memis(path.base, path.len, H2O_STRLIT("/delete"));
    if (!is_set && !is_get && !is_delete)
        return false;
    bool is_head = cairn_method_is(req, "HEAD") && is_get;
    if (!cairn_method_is(req, "GET") && !cairn_method_is(req, "POST") && !is_head &&
        !(is_delete && cairn_method_is(req, "DELETE"))) {
        cairn_reply_method_not_allowed(req, is_delete ? "GET, POST, DELETE"
                                            : is_get  ? "GET, HEAD, POST"
                                                      : "GET, POST");
        return true;
    }
    if (cairn_route_is_cross_site(req)) {
        cairn_reply_problem(req, CAIRN_PROBLEM_CROSS_SITE,
                            "a page of another site may not use this path");
        return true;
    }
    if (!is_get) /* these write: a cache that answers the next one would keep that from us */
        h2o_add_header(&req->pool, &req->res.headers, H2O_TOKEN_CACHE_CONTROL, NULL,
                       H2O_STRLIT("no-store"));
    params_t params;
    cairn_key_t key;
    if (!read_params(req, &params))
        return true;
    if (!params.has_key)
        cairn_reply_problem(req, CAIRN_PROBLEM_KEY_MISSING, "give one: %.*s?key=foo%s",
                            (int)path.len, path.base, is_set ? "&value=bar" : "");
    else if (is_set && !params.has_value)
        cairn_reply_problem(req, CAIRN_PROBLEM_VALUE_MISSING, "give one: /set?key=foo&value=bar");
    else if (!cairn_kv_take_key(req, params.key.base, params.key.len, &key))
        return true;
    else if (is_set)
        set(req, &key, params.value);
    else if (is_get)
        cairn_kv_get(req, &key);
    else
        cairn_kv_delete(req, &key);
    return true;
}
