/*
 * server/pages.c - pages for people: what this is, and how it is at a glance.
 */
#include "server/pages.h"

#include <assert.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include <openssl/evp.h>

#include "server/reply.h"

/* server/dashboard.html as it is; the Makefile knows that this file depends on it */
__asm__(".pushsection .rodata\n"
        ".global cairn_dashboard\n"
        ".global cairn_dashboard_bytes\n"
        "cairn_dashboard:\n"
        ".incbin \"server/dashboard.html\"\n"
        "cairn_dashboard_end:\n"
        ".balign 8\n"
        "cairn_dashboard_bytes: .quad cairn_dashboard_end - cairn_dashboard\n"
        ".popsection\n");
extern const char cairn_dashboard[];
extern const uint64_t cairn_dashboard_bytes;

#define ABOUT "cairn - a durable key-value database that speaks plain HTTP"

static const char front_text[] = ABOUT
    "\n"
    "\n"
    "  curl -T file    http://HOST/v1/kv/some/key      store a value\n"
    "  curl            http://HOST/v1/kv/some/key      read it\n"
    "  curl -X DELETE  http://HOST/v1/kv/some/key      remove it\n"
    "\n"
    "  curl -X POST    http://HOST/v1/incr/some/count  count\n"
    "\n"
    "  http://HOST/set?key=foo&value=bar   http://HOST/get?key=foo   http://HOST/delete?key=foo\n"
    "\n"
    "  /livez  /readyz     is it up, is it ready\n"
    "  /dashboard          how it is, for a browser\n"
    "  /v1/stats           how it is, as JSON\n"
    "  /metrics            the same for Prometheus\n";

static const char front_html[] =
    "<!doctype html>\n"
    "<html lang=\"en\">\n"
    "<meta charset=\"utf-8\">\n"
    "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
    "<meta name=\"color-scheme\" content=\"light dark\">\n"
    "<title>cairn</title>\n"
    "<h1>cairn</h1>\n"
    "<p>" ABOUT ".</p>\n"
    "<pre>\n"
    "curl -T file    http://HOST/v1/kv/some/key      # store a value\n"
    "curl            http://HOST/v1/kv/some/key      # read it\n"
    "curl -X DELETE  http://HOST/v1/kv/some/key      # remove it\n"
    "\n"
    "http://HOST/set?key=foo&amp;value=bar   http://HOST/get?key=foo   "
    "http://HOST/delete?key=foo\n"
    "</pre>\n"
    "<ul>\n"
    "<li><a href=\"/dashboard\">Dashboard</a>: how it is, at a glance\n"
    "<li><a href=\"/v1/stats\">/v1/stats</a>: the same as JSON\n"
    "<li><a href=\"/metrics\">/metrics</a>: the same for Prometheus\n"
    "<li><a href=\"/readyz\">/readyz</a>: nothing but 204 when it serves\n"
    "</ul>\n"
    "</html>\n";

static void add(h2o_req_t *req, const char *name, const char *value)
{
    h2o_add_header_by_str(&req->pool, &req->res.headers, name, strlen(name), 1, NULL, value,
                          strlen(value));
}

/** a page of the program itself: static memory, and nothing that a browser may take for more */
static void reply_page(h2o_req_t *req, const char *type, const char *policy, const char *page,
                       size_t bytes)
{
    req->res.status = 200;
    req->res.reason = "OK";
    add(req, "content-type", type);
    add(req, "cache-control", "no-cache");
    add(req, "content-security-policy", policy);
    add(req, "x-content-type-options", "nosniff");
    add(req, "referrer-policy", "no-referrer");
    cairn_reply_body(req, page, bytes);
}

static bool accepts_html(const h2o_req_t *req)
{
    ssize_t i = h2o_find_header(&req->headers, H2O_TOKEN_ACCEPT, -1);
    if (i < 0)
        return false;
    h2o_iovec_t accept = req->headers.entries[i].value;
    return h2o_strstr(accept.base, accept.len, H2O_STRLIT("text/html")) != SIZE_MAX;
}

void cairn_pages_reply_front(h2o_req_t *req)
{
    static const char policy[] = "default-src 'none'; base-uri 'none'; frame-ancestors 'none'";
    add(req, "vary", "accept");
    if (accepts_html(req))
        reply_page(req, "text/html; charset=utf-8", policy, front_html, sizeof(front_html) - 1);
    else
        reply_page(req, "text/plain; charset=utf-8", policy, front_text, sizeof(front_text) - 1);
}

/* ---------------------------------------------------------------- the dashboard */

/** of the dashboard: its one script and its one style may run, by their sums, and nothing else */
static char dashboard_policy[384];

/** the sum of what the page has between two tags, as a Content-Security-Policy names it */
static void sum_up(const char *begin, const char *end, char sum[48])
{
    uint8_t bytes[EVP_MAX_MD_SIZE];
    unsigned count = 0;
    const char *from = memmem(cairn_dashboard, cairn_dashboard_bytes, begin, strlen(begin));
    assert(from != NULL);
    from += strlen(begin);
    size_t left = cairn_dashboard_bytes - (size_t)(from - cairn_dashboard);
    const char *to = memmem(from, left, end, strlen(end));
    assert(to != NULL);
    if (EVP_Digest(from, (size_t)(to - from), bytes, &count, EVP_sha256(), NULL) != 1)
        h2o_fatal("no memory for a sum");
    EVP_EncodeBlock((unsigned char *)sum, bytes, (int)count);
}

static void make_policy(void)
{
    char script[48], style[48];
    sum_up("<script>", "</script>", script);
    sum_up("<style>", "</style>", style);
    int n = snprintf(dashboard_policy, sizeof(dashboard_policy),
                     "default-src 'none'; script-src 'sha256-%s'; style-src 'sha256-%s'; "
                     "img-src data:; connect-src 'self'; base-uri 'none'; form-action 'none'; "
                     "frame-ancestors 'none'",
                     script, style);
    assert(n > 0 && (size_t)n < sizeof(dashboard_policy));
    (void)n;
}

void cairn_pages_reply_dashboard(h2o_req_t *req)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, make_policy);
    reply_page(req, "text/html; charset=utf-8", dashboard_policy, cairn_dashboard,
               cairn_dashboard_bytes);
}
