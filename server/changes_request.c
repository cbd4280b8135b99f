/*
 * server/changes_request.c - what a request for changes asks for.
 */
#include "server/changes_request.h"

#include <inttypes.h>
#include <stdio.h>

#include "server/list_request.h"
#include "server/pending.h"
#include "server/reply.h"
#include "server/target.h"
#include "server/units.h"
#include "server/write_request.h"

/** of a Link without its prefix */
#define LINK_BYTES_MAX 256

/* ---------------------------------------------------------------- where to begin */

/** false, and the request has been answered, if it is no version */
static bool parse_version(h2o_req_t *req, const char *name, h2o_iovec_t text, uint64_t *version)
{
    if (cairn_units_parse_count(text.base, text.len, version) == CAIRN_UNITS_OK)
        return true;
    cairn_reply_problem(req, CAIRN_PROBLEM_BAD_VERSION,
                        "%s is a version, a number such as 17, 0 for all there is%s", name,
                        strcmp(name, "since") == 0 ? ", or now" : "");
    return false;
}

/** true if there is such a parameter; base NULL: it was no good, and that has been answered */
static bool find_since(h2o_req_t *req, bool is_stream, const char **name, h2o_iovec_t *text)
{
    /* what a browser has seen last counts, the URL is still the one it began with */
    ssize_t i =
        is_stream ? h2o_find_header_by_str(&req->headers, H2O_STRLIT("last-event-id"), -1) : -1;
    *name = i >= 0 ? "Last-Event-ID" : "since";
    if (i < 0)
        return cairn_write_request_param(req, "since", text);
    *text = req->headers.entries[i].value;
    return true;
}

static bool read_feed(h2o_req_t *req, bool is_stream, cairn_feed_t *feed)
{
    cairn_store_t *store = cairn_pending_store(req);
    const char *name;
    h2o_iovec_t text, base;
    uint64_t since = 0;
    if (find_since(req, is_stream, &name, &text)) {
        if (text.base == NULL)
            return false;
        if (h2o_memis(text.base, text.len, H2O_STRLIT("now")))
            since = cairn_feed_newest(store);
        else if (!parse_version(req, name, text, &since))
            return false;
    }
    *feed = cairn_feed_from(store, since);
    if (since == 0 || !cairn_write_request_param(req, "base", &base))
        return true;
    return base.base != NULL && parse_version(req, "base", base, &feed->base);
}

/* ---------------------------------------------------------------- what, and how much */

static bool read_wait(h2o_req_t *req, uint64_t *wait_ms)
{
    uint64_t most_ms = cairn_worker_of(req)->limits.wait_ms;
    h2o_iovec_t text;
    *wait_ms = 0;
    if (!cairn_write_request_param(req, "wait", &text))
        return true;
    if (text.base == NULL)
        return false;
    cairn_units_result_t result = cairn_units_parse_ms(text.base, text.len, wait_ms);
    if (result != CAIRN_UNITS_OK && result != CAIRN_UNITS_TOO_BIG) {
        cairn_reply_problem(req, CAIRN_PROBLEM_BAD_REQUEST,
                            "wait is a number with ms, s, m, h or d, such as 30s");
        return false;
    }
    if (result == CAIRN_UNITS_TOO_BIG || *wait_ms > most_ms)
        *wait_ms = most_ms;
    return true;
}

static bool wants_stream(const h2o_req_t *req)
{
    ssize_t i = h2o_find_header(&req->headers, H2O_TOKEN_ACCEPT, -1);
    return i >= 0 && cairn_method_is(req, "GET") &&
           h2o_strstr(req->headers.entries[i].value.base, req->headers.entries[i].value.len,
                      H2O_STRLIT("text/event-stream")) != SIZE_MAX;
}

bool cairn_changes_request_read(h2o_req_t *req, cairn_changes_request_t *asked)
{
    *asked = (cairn_changes_request_t){.is_stream = wants_stream(req)};
    return read_feed(req, asked->is_stream, &asked->feed) &&
           cairn_list_request_prefix(req, &asked->prefix) &&
           cairn_list_request_limit(req, &asked->limit) && read_wait(req, &asked->wait_ms) &&
           cairn_write_request_flag(req, "values", &asked->wants_values);
}

/* ---------------------------------------------------------------- and what comes next */

void cairn_changes_request_add_next(h2o_req_t *req, const cairn_changes_request_t *asked,
                                    const cairn_feed_t *feed)
{
    char *link = h2o_mem_alloc_pool(&req->pool, LINK_BYTES_MAX + 3 * asked->prefix.count);
    int n = sprintf(link, "</v1/changes?since=%" PRIu64, feed->version);
    if (feed->base > feed->version)
        n += sprintf(link + n, "&base=%" PRIu64, feed->base);
    if (asked->prefix.count != 0) {
        n += sprintf(link + n, "&prefix=");
        n += (int)cairn_target_encode(asked->prefix.base, asked->prefix.count, link + n);
    }
    n += sprintf(link + n, "&limit=%zu", asked->limit);
    if (asked->wait_ms != 0)
        n += sprintf(link + n, "&wait=%" PRIu64 "ms", asked->wait_ms);
    n += sprintf(link + n, "%s>; rel=\"next\"", asked->wants_values ? "&values=true" : "");
    h2o_add_header(&req->pool, &req->res.headers, H2O_TOKEN_LINK, NULL, link, (size_t)n);
}
