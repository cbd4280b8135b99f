/*
 * server/route.c - from a request to the code that answers it.
 *
 * Routing looks at the raw target: libh2o's normalised path has decoded %2F and climbed over "..",
 * and a key may contain both.
 */
#include "server/route.h"

#include <string.h>
#include <strings.h>
#include <time.h>

#include "server/access_log.h"
#include "server/admin.h"
#include "server/batch.h"
#include "server/changes.h"
#include "server/clock.h"
#include "server/conn.h"
#include "server/gate.h"
#include "server/kv.h"
#include "server/listing.h"
#include "server/pending.h"
#include "server/pipeline.h"
#include "server/reply.h"
#include "server/status.h"
#include "server/tutorial.h"

/** longest target; values that travel in a query string (/set) are what needs this much */
#define TARGET_BYTES_MAX 65536
/** all headers of a request, names and values */
#define HEADER_BYTES_MAX 32768

static void trim_end(h2o_iovec_t *value)
{
    while (value->len != 0 && memchr(" \t", value->base[value->len - 1], 2) != NULL)
        --value->len;
}

/** takes away what the library leaves behind values (RFC 9110, 5.5); returns the bytes that remain
 */
static size_t trim_headers(h2o_req_t *req)
{
    size_t bytes = 0;
    for (size_t i = 0; i < req->headers.size; ++i) {
        trim_end(&req->headers.entries[i].value);
        bytes += req->headers.entries[i].name->len + req->headers.entries[i].value.len;
    }
    trim_end(&req->input.authority);
    return bytes;
}

#define BIT(c) (UINT64_C(1) << ((c)&63))

/** whether all are letters, digits and -._~%!$&'()*+,;=:[] (RFC 3986, 3.2.2, and a port); every
 * request is asked */
static bool may_be_host(const h2o_iovec_t *host)
{
    static const uint64_t allowed[4] = {
        (UINT64_C(0x3ff) << ('0' & 63)) | BIT('-') | BIT('.') | BIT('%') | BIT('!') | BIT('$') |
            BIT('&') | BIT('\'') | BIT('(') | BIT(')') | BIT('*') | BIT('+') | BIT(',') | BIT(';') |
            BIT('=') | BIT(':'),
        (UINT64_C(0x3ffffff) << ('a' & 63)) | (UINT64_C(0x3ffffff) << ('A' & 63)) | BIT('_') |
            BIT('~') | BIT('[') | BIT(']')};
    uint64_t all = 1;
    for (size_t i = 0; i < host->len; ++i) {
        unsigned char c = (unsigned char)host->base[i];
        all &= allowed[c >> 6] >> (c & 63);
    }
    return all != 0;
}

/** HTTP/1.1 has a request say for which host it is (RFC 9112, 3.2); which one is the same to us */
static const char *host_fault(const h2o_req_t *req)
{
    if (cairn_conn_of(req)->head.hosts == 0)
        return req->version >= 0x101 ? "there is no Host header" : NULL;
    return may_be_host(&req->input.authority) ? NULL : "the Host header is not a host and a port";
}

/** same-site is another origin, too: another port of this machine, where anything may serve pages;
 * and an image or a link of such a page sends no Origin */
static bool is_foreign_site(h2o_iovec_t site)
{
    return h2o_memis(site.base, site.len, H2O_STRLIT("cross-site")) ||
           h2o_memis(site.base, site.len, H2O_STRLIT("same-site"));
}

/** ours is scheme://authority of this very request */
static bool is_foreign_origin(h2o_iovec_t origin, h2o_iovec_t host)
{
    size_t at = h2o_strstr(origin.base, origin.len, H2O_STRLIT("://"));
    return at == SIZE_MAX || origin.len - at - 3 != host.len ||
           strncasecmp(origin.base + at + 3, host.base, host.len) != 0;
}

bool cairn_route_is_cross_site(const h2o_req_t *req)
{
    for (size_t i = 0; i < req->headers.size; ++i) {
        const h2o_header_t *header = &req->headers.entries[i];
        h2o_iovec_t name = *header->name;
        if ((h2o_memis(name.base, name.len, H2O_STRLIT("sec-fetch-site")) &&
             is_foreign_site(header->value)) ||
            (h2o_memis(name.base, name.len, H2O_STRLIT("origin")) &&
             is_foreign_origin(header->value, req->input.authority)))
            return true;
    }
    return false;
}

static bool changes_something(const h2o_req_t *req)
{
    return !cairn_method_is(req, "GET") && !cairn_method_is(req, "HEAD");
}

/** what is wrong with any request, whatever its path; true if that has been answered */
static bool refuse(h2o_req_t *req)
{
    size_t bytes = trim_headers(req);
    const char *fault = cairn_conn_framing_fault(req);
    if (fault == NULL)
        fault = host_fault(req);
    if (fault != NULL) {
        req->http1_is_persistent = 0;
        cairn_conn_linger(cairn_conn_of(req));
        cairn_reply_problem(req, CAIRN_PROBLEM_BAD_FRAMING, "%s", fault);
    } else if (req->path.len == 0 || req->path.base[0] != '/') {
        cairn_reply_problem(req, CAIRN_PROBLEM_BAD_TARGET, "the target must begin with a slash");
    } else if (req->path.len > TARGET_BYTES_MAX) {
        cairn_reply_problem(req, CAIRN_PROBLEM_URI_TOO_LONG,
                            "the target has %zu bytes, %d are allowed", req->path.len,
                            TARGET_BYTES_MAX);
    } else if (bytes > HEADER_BYTES_MAX) {
        cairn_reply_problem(req, CAIRN_PROBLEM_HEADERS_TOO_LARGE,
                            "the headers have %zu bytes, %d are allowed", bytes, HEADER_BYTES_MAX);
    } else if (changes_something(req) && cairn_route_is_cross_site(req)) {
        cairn_reply_problem(req, CAIRN_PROBLEM_CROSS_SITE,
                            "a page of another site may not change anything here");
    } else {
        return false;
    }
    return true;
}

static void route(h2o_req_t *req)
{
    size_t path_bytes = req->query_at != SIZE_MAX ? req->query_at : req->path.len;
    h2o_iovec_t path = h2o_iovec_init(req->path.base, path_bytes);
    bool is_open = cairn_pending_store(req) != NULL;
    /* values first: they are most of what comes */
    if (is_open && cairn_kv_handle(req, path))
        return;
    if (cairn_status_handle(req, path))
        return;
    if (!is_open)
        cairn_status_reply_loading(req);
    else if (!cairn_batch_handle(req, path) && !cairn_changes_handle(req, path) &&
             !cairn_listing_handle(req, path) && !cairn_admin_handle(req, path) &&
             !cairn_tutorial_handle(req, path))
        cairn_reply_problem(req, CAIRN_PROBLEM_NO_SUCH_PATH,
                            "see / for what there is; values live under /v1/kv/");
}

/** bytes of the scheme that a target begins with, 0 if it is a path; case is the same to schemes */
static size_t scheme_bytes(const h2o_iovec_t *target)
{
    static const char http[] = "http://", https[] = "https://";
    if (target->len == 0 || target->base[0] == '/')
        return 0;
    if (target->len >= sizeof(http) - 1 && strncasecmp(target->base, http, sizeof(http) - 1) == 0)
        return sizeof(http) - 1;
    if (target->len >= sizeof(https) - 1 &&
        strncasecmp(target->base, https, sizeof(https) - 1) == 0)
        return sizeof(https) - 1;
    return 0;
}

/** `GET http://host/path`, as clients of proxies send it, is a request for /path of that host,
 * whatever the header Host says (RFC 9112, 3.2.2)
 */
static void strip_authority(h2o_req_t *req)
{
    h2o_iovec_t *path = &req->path;
    size_t scheme = scheme_bytes(path);
    if (scheme == 0)
        return;
    const char *slash = memchr(path->base + scheme, '/', path->len - scheme);
    size_t at = slash != NULL ? (size_t)(slash - path->base) : path->len;
    size_t end = at < req->query_at ? at : req->query_at;
    req->input.authority = h2o_iovec_init(path->base + scheme, end - scheme);
    if (slash == NULL || at > req->query_at) {
        *path = h2o_iovec_init(H2O_STRLIT("/")); /* a query of the root says nothing here */
        req->query_at = SIZE_MAX;
        return;
    }
    path->base += at;
    path->len -= at;
    if (req->query_at != SIZE_MAX)
        req->query_at -= at;
}

static void handle(h2o_req_t *req)
{
    strip_authority(req);
    if (!refuse(req) && cairn_gate_admit(req))
        route(req);
}

static uint64_t look_at_clock(cairn_worker_t *worker)
{
    worker->looked_turn = worker->turn;
    return worker->looked_ns = cairn_monotonic_ns();
}

/** a request begins with the turn of the loop that found it, or when the one before it ended, if
 * that was later: it waited until then, and the clock is asked half as often */
static uint64_t begin_ns(cairn_worker_t *worker)
{
    return worker->looked_turn == worker->turn ? worker->looked_ns : look_at_clock(worker);
}

static int on_req(h2o_handler_t *self, h2o_req_t *req)
{
    (void)self;
    cairn_conn_t *conn = cairn_conn_of(req);
    conn->request_began_ns = begin_ns(conn->worker);
    conn->op = CAIRN_OP_OTHER;
    conn->token = NULL;
    cairn_pipeline_handle(req, handle);
    return 0;
}

/** only a copy into the worker's ring: the line is made and written elsewhere */
static void log_request(const cairn_conn_t *conn, h2o_req_t *req, uint64_t ns)
{
    struct sockaddr_storage peer;
    bool has_peer = req->conn->callbacks->get_peername(req->conn, (struct sockaddr *)&peer) != 0;
    cairn_access_entry_t entry = {
        .duration_ns = ns,
        .bytes = req->bytes_sent,
        .status = req->res.status,
        .http_version = req->version,
        .peer = has_peer ? (struct sockaddr *)&peer : NULL,
        .method = req->method.base,
        .method_bytes = req->method.len,
        .target = req->input.path.base,
        .target_bytes = req->input.path.len,
        .token = conn->token != NULL ? conn->token->name : NULL,
    };
    clock_gettime(CLOCK_REALTIME, &entry.time);
    /* acquire: pairs with main's release when it was opened */
    cairn_access_log_add(
        atomic_load_explicit(&conn->worker->server->access_log, memory_order_acquire),
        conn->worker->number, &entry);
}

/** called by libh2o when a request is over, answered in whole or not */
static void on_request_end(h2o_logger_t *self, h2o_req_t *req)
{
    (void)self;
    cairn_conn_t *conn = cairn_conn_of(req);
    cairn_worker_t *worker = conn->worker;
    uint64_t now_ns = look_at_clock(worker);
    uint64_t ns = conn->request_began_ns != 0 ? now_ns - conn->request_began_ns : 0;
    cairn_metrics_request(&worker->metrics, conn->op, req->res.status, ns);
    if (worker->logs_access)
        log_request(conn, req, ns);
    conn->request_began_ns = 0;
    conn->op = CAIRN_OP_OTHER;
    conn->token = NULL;
    /* an answer begun before the stop has promised to keep the connection: now it is idle, and gets
     * the grace of those that were; its client may be asking again already */
    if (worker->is_stopping && req->http1_is_persistent)
        cairn_worker_give_grace(worker);
}

static void register_end(h2o_pathconf_t *path)
{
    h2o_logger_t *logger = h2o_create_logger(path, sizeof(*logger));
    logger->log_access = on_request_end;
}

void cairn_route_register(cairn_server_t *server)
{
    h2o_pathconf_t *path = h2o_config_register_path(server->host, "/", 0);
    h2o_handler_t *handler = h2o_create_handler(path, sizeof(*handler));
    handler->on_req = on_req;
    register_end(path);
    register_end(&server->host->fallback_path);
    cairn_reply_register_lib_errors(&server->host->fallback_path);
}
