/*
 * server/tutorial.c - /set, /get, /delete: the API of the tutorial.
 *
 * Key and value come from the query string, from a form, or from JSON. GET works for all three so
 * that a browser's address bar does; hence a page of another site is refused here whatever the
 * method.
 */
#include "server/tutorial.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "server/json_read.h"
#include "server/json_text.h"
#include "server/kv.h"
#include "server/pending.h"
#include "server/reply.h"
#include "server/route.h"
#include "server/target.h"

/** a larger body is read on the I/O pool */
#define QUICK_BODY_BYTES 16384

typedef enum en_action_t { SET, GET, DELETE } action_t;

/** what a request asks for, and what is wrong with it */
typedef struct st_asked_t {
    cairn_pending_job_t job;
    action_t action;
    bool has_key, has_value;
    cairn_bytes_t key, value; /* in the memory below */
    json_t *json;             /* of a body; NULL if it is none */
    char *texts[4];           /* key and value of the query, then of a form, decoded */
    bool is_text;             /* the value: UTF-8 */
    bool is_good;             /* else this is wrong with it: */
    cairn_problem_t problem;
    char detail[128];
} asked_t;

/* ---------------------------------------------------------------- reading, on whichever thread */

__attribute__((format(printf, 3, 4))) static bool refuse(asked_t *asked, cairn_problem_t problem,
                                                         const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(asked->detail, sizeof(asked->detail), format, args);
    va_end(args);
    asked->problem = problem;
    return false;
}

/** false on a bad escape; `*text` becomes what was decoded */
static bool decode_param(asked_t *asked, h2o_iovec_t form, const char *name, bool *has,
                         cairn_bytes_t *out, char **text)
{
    const char *raw;
    size_t raw_count, at;
    *has = cairn_target_param(form.base, form.len, name, &raw, &raw_count);
    if (!*has)
        return true;
    *text = h2o_mem_alloc(raw_count + 1);
    out->base = *text;
    return cairn_target_decode(raw, raw_count, true, *text, raw_count, &out->count, &at) ==
               CAIRN_DECODE_OK ||
           refuse(asked, CAIRN_PROBLEM_BAD_ESCAPE,
                  "byte %zu of %s: %% is not followed by two hex digits", at, name);
}

static bool read_form(asked_t *asked, h2o_iovec_t form, char **texts)
{
    return decode_param(asked, form, "key", &asked->has_key, &asked->key, &texts[0]) &&
           decode_param(asked, form, "value", &asked->has_value, &asked->value, &texts[1]);
}

static bool take_member(asked_t *asked, const char *name, bool *has, cairn_bytes_t *out)
{
    const json_t *member = json_object_get(asked->json, name);
    *has = member != NULL;
    *out = (cairn_bytes_t){json_string_value(member), json_string_length(member)};
    return member == NULL || json_is_string(member) ||
           refuse(asked, CAIRN_PROBLEM_BAD_JSON, "%s must be a string", name);
}

static bool read_json(asked_t *asked, h2o_iovec_t body)
{
    json_error_t error;
    asked->json = cairn_json_read(body.base, body.len, &error);
    if (asked->json == NULL)
        return refuse(asked, CAIRN_PROBLEM_BAD_JSON,
                      "line %d, byte %d: this is not JSON as expected, "
                      "{\"key\":\"foo\",\"value\":\"bar\"}",
                      error.line, error.position);
    if (!json_is_object(asked->json))
        return refuse(asked, CAIRN_PROBLEM_BAD_JSON,
                      "the body must be an object, {\"key\":\"foo\",\"value\":\"bar\"}");
    return take_member(asked, "key", &asked->has_key, &asked->key) &&
           take_member(asked, "value", &asked->has_value, &asked->value);
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

/** text gets a type that a browser shows; anything else is bytes */
static void note_text(asked_t *asked)
{
    asked->is_text = cairn_json_text_is_utf8(asked->value.base, asked->value.count);
}

static void read_body(cairn_pending_job_t *job)
{
    asked_t *asked = H2O_STRUCT_FROM_MEMBER(asked_t, job, job);
    asked->is_good = body_is_json(job->req) ? read_json(asked, job->req->entity)
                                            : read_form(asked, job->req->entity, &asked->texts[2]);
    note_text(asked);
}

/* ---------------------------------------------------------------- acting upon it */

static void set(const asked_t *asked, const cairn_key_t *key)
{
    static const char text_plain[] = "text/plain; charset=utf-8";
    cairn_meta_builder_t meta;
    meta.count = 0;
    if (asked->is_text)
        cairn_meta_add(&meta, CAIRN_META_CONTENT_TYPE,
                       (cairn_bytes_t){text_plain, sizeof(text_plain) - 1});
    cairn_kv_put(asked->job.req, key, (cairn_bytes_t){meta.bytes, meta.count}, asked->value);
}

static void act(cairn_pending_job_t *job)
{
    asked_t *asked = H2O_STRUCT_FROM_MEMBER(asked_t, job, job);
    h2o_req_t *req = job->req;
    cairn_key_t key;
    if (!asked->is_good)
        cairn_reply_problem(req, asked->problem, "%s", asked->detail);
    else if (!asked->has_key)
        cairn_reply_problem(req, CAIRN_PROBLEM_KEY_MISSING, "give one: /%s?key=foo%s",
                            asked->action == SET   ? "set"
                            : asked->action == GET ? "get"
                                                   : "delete",
                            asked->action == SET ? "&value=bar" : "");
    else if (asked->action == SET && !asked->has_value)
        cairn_reply_problem(req, CAIRN_PROBLEM_VALUE_MISSING, "give one: /set?key=foo&value=bar");
    else if (!cairn_kv_take_key(req, asked->key.base, asked->key.count, &key))
        return;
    else if (asked->action == SET)
        set(asked, &key);
    else if (asked->action == GET)
        cairn_kv_get(req, &key);
    else
        cairn_kv_delete(req, &key);
}

/* ---------------------------------------------------------------- the request */

static void on_dispose(void *p)
{
    asked_t *asked = p;
    json_decref(asked->json);
    for (size_t i = 0; i < sizeof(asked->texts) / sizeof(asked->texts[0]); ++i)
        free(asked->texts[i]);
}

static void read_and_act(h2o_req_t *req, action_t action)
{
    asked_t *asked = h2o_mem_alloc_shared(&req->pool, sizeof(*asked), on_dispose);
    *asked = (asked_t){.job = {.req = req, .work = read_body, .on_worked = act}, .action = action};
    h2o_iovec_t query = h2o_iovec_init(NULL, 0);
    if (req->query_at != SIZE_MAX)
        query =
            h2o_iovec_init(req->path.base + req->query_at + 1, req->path.len - req->query_at - 1);
    asked->is_good = read_form(asked, query, asked->texts);
    note_text(asked);
    bool wants_body = asked->is_good && !asked->has_key && cairn_method_is(req, "POST");
    if (wants_body && req->entity.len > QUICK_BODY_BYTES) {
        cairn_pending_run(&asked->job);
        return;
    }
    if (wants_body && req->entity.len != 0)
        read_body(&asked->job);
    act(&asked->job);
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
    read_and_act(req, is_set ? SET : is_get ? GET : DELETE);
    return true;
}
