/*
 * Requests that can be read in two ways, or not at all, or that are too much: is the answer clear?
 *
 * After each case the server must be unharmed. What libh2o decides alone, before any code of ours
 * runs, is asserted as it is and said to be so.
 */
#include <CUnit/CUnit.h>

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <jansson.h>

#include "tests/hostile.h"
#include "tests/suites.h"

#define KIB ((size_t)1 << 10)
#define MIB ((size_t)1 << 20)

/* a request told with printf, and its answer */
static void ask(const char *request, http_conn_t *conn, http_response_t *res)
{
    site_open(&hostile_site, conn);
    exchange_raw(conn, request, strlen(request), "GET", res);
}

/* whether the request gets this problem and, if so told, the connection is closed in order */
static bool is_refused(const char *request, int status, const char *code, bool closes)
{
    http_conn_t conn;
    http_response_t res;
    ask(request, &conn, &res);
    bool is_right = is_problem(&res, status, code);
    http_response_dispose(&res);
    is_right &= http_server_closes_within(&conn, closes ? 2000 : 0) == closes;
    is_right &= !conn.is_server_reset;
    if (!is_right)
        fprintf(stderr, "\n    %.100s", request);
    http_close(&conn);
    return is_right;
}

/*
 * Whether libh2o itself says 400 and closes. It does so when it cannot parse a head: a raw answer,
 * text/plain, without Date, which no code of ours sees.
 */
static bool is_raw_400(const char *request, size_t bytes)
{
    http_conn_t conn;
    http_response_t res;
    site_open(&hostile_site, &conn);
    http_send(&conn, request, bytes);
    bool is_right = http_read_response(&conn, "GET", &res) && res.status == 400 &&
                    http_server_closes_within(&conn, 2000);
    if (!is_right)
        fprintf(stderr, "\n    %s: %.100s", conn.error, request);
    http_response_dispose(&res);
    http_close(&conn);
    return is_right;
}

/* ---------------------------------------------------------------- framing */

/* each hides a second request; none may be obeyed, whatever the client's proxy thought */
static void ambiguous_lengths(void)
{
    static const char *const requests[] = {
        "PUT /v1/kv/f HTTP/1.1\r\nHost: t\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\nhello",
        "PUT /v1/kv/f HTTP/1.1\r\nHost: t\r\nContent-Length: 5\r\nContent-Length: 0\r\n\r\nhello",
        "PUT /v1/kv/f HTTP/1.1\r\nHost: t\r\nContent-Length: 0\r\nContent-Length: 40\r\n\r\n"
        "PUT /v1/kv/smuggled HTTP/1.1\r\nHost: t\r\nContent-Length: 0\r\n\r\n",
        "GET /v1/kv/f HTTP/1.1\r\nHost: t\r\nA: b\r\ncontent-LENGTH: 0\r\nX: y\r\nCONTENT-length: "
        "3\r\n\r\nabc",
        "PUT /v1/kv/f HTTP/1.1\r\nHost: t\r\nContent-Length: 5\r\nTransfer-Encoding: "
        "chunked\r\n\r\n0\r\n\r\n"
        "PUT /v1/kv/smuggled HTTP/1.1\r\nHost: t\r\nContent-Length: 0\r\n\r\n",
        "PUT /v1/kv/f HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\nContent-Length: "
        "5\r\n\r\n0\r\n\r\n"
        "PUT /v1/kv/smuggled HTTP/1.1\r\nHost: t\r\nContent-Length: 0\r\n\r\n",
        "GET /v1/kv/f HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\nContent-Length: "
        "0\r\n\r\n0\r\n\r\n",
        "PUT /v1/kv/f HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: "
        "chunked\r\n\r\n"
        "0\r\n\r\n",
        "PUT /v1/kv/f HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: gzip\r\nTransfer-Encoding: "
        "chunked\r\n\r\n"
        "0\r\n\r\n",
        "PUT /v1/kv/f HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "PUT /v1/kv/f HTTP/1.1\r\nHost: t\r\nX: a\r\n folded\r\nContent-Length: 1\r\n\r\nx",
        "PUT /v1/kv/f HTTP/1.1\r\nHost: t\r\nContent-Length: 1\r\n\tfolded\r\n\r\nx",
        "GET /v1/kv/f HTTP/1.1\r\nHost: t\r\nX: a\r\n Content-Length: 5\r\n\r\n",
        "GET /v1/kv/f HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        "GET /v1/kv/f HTTP/1.1\nhost: a\nX: y\nHOST: a\n\n",
        "PUT /v1/kv/f HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nHost: b\r\n\r\nx",
    };
    http_conn_t conn;
    for (size_t i = 0; i != sizeof(requests) / sizeof(requests[0]); ++i)
        CU_ASSERT(is_refused(requests[i], 400, "bad_framing", true));
    site_open(&hostile_site, &conn);
    CU_ASSERT_EQUAL(exchange_status(&conn, "GET", "/v1/kv/f", NULL, NULL, 0), 404);
    CU_ASSERT_EQUAL(exchange_status(&conn, "GET", "/v1/kv/smuggled", NULL, NULL, 0), 404);
    http_close(&conn);
    check_unharmed();
}

static void hosts(void)
{
    /* RFC 9112, 3.2: HTTP/1.1 names one, and nothing that is none */
    static const char *const bad[] = {
        "GET /livez HTTP/1.1\r\n\r\n",
        "GET /livez HTTP/1.2\r\n\r\n",
        "PUT /v1/kv/f HTTP/1.1\r\nContent-Length: 1\r\n\r\nx",
        "GET /livez HTTP/1.1\r\nX-Host: a\r\n\r\n",
        "GET http://a/livez HTTP/1.1\r\n\r\n",
        "GET /livez HTTP/1.1\r\nHost: a b\r\n\r\n",
        "GET /livez HTTP/1.1\r\nHost: a/b\r\n\r\n",
        "GET /livez HTTP/1.1\r\nHost: u@a\r\n\r\n",
        "GET /livez HTTP/1.1\r\nHost: a?b\r\n\r\n",
        "GET /livez HTTP/1.1\r\nHost: \xc3\xa4\r\n\r\n",
        "GET http://a\\b/livez HTTP/1.1\r\nHost: a\r\n\r\n",
    };
    static const char *const good[] = {
        "GET /livez HTTP/1.0\r\n\r\n",
        "GET /livez HTTP/1.1\r\nHost:\r\n\r\n",
        "GET /livez HTTP/1.1\r\nHost: \t t \t\r\n\r\n",
        "GET /livez HTTP/1.1\r\nHost: [::1]:8080\r\n\r\n",
        "GET /livez HTTP/1.1\r\nhOST: a_b.example:80\r\n\r\n",
        "GET /livez HTTP/1.1\r\nHost: %61!$&'()*+,;=~\r\n\r\n",
    };
    for (size_t i = 0; i != sizeof(bad) / sizeof(bad[0]); ++i)
        CU_ASSERT(is_refused(bad[i], 400, "bad_framing", true));
    for (size_t i = 0; i != sizeof(good) / sizeof(good[0]); ++i) {
        http_conn_t conn;
        http_response_t res;
        ask(good[i], &conn, &res);
        CU_ASSERT_EQUAL(res.status, 204);
        http_response_dispose(&res);
        http_close(&conn);
    }
    check_unharmed();
}

static void bad_lengths(void)
{
    static const char *const lengths[] = {"+5",
                                          "-1",
                                          "0x5",
                                          "5, 5",
                                          "",
                                          "5 5",
                                          "abc",
                                          "5;",
                                          "1e3",
                                          "5.0",
                                          "--",
                                          "18446744073709551616",
                                          "99999999999999999999999"};
    char request[128];
    for (size_t i = 0; i != sizeof(lengths) / sizeof(lengths[0]); ++i) {
        snprintf(request, sizeof(request),
                 "PUT /v1/kv/f HTTP/1.1\r\nHost: t\r\nContent-Length: %s\r\n\r\nhello", lengths[i]);
        CU_ASSERT(is_refused(request, 400, "bad_request", true));
    }
    check_unharmed();
}

static void bad_codings(void)
{
    static const char *const codings[] = {"gzip",     "gzip, chunked",     "chunked, chunked",
                                          "identity", "chunked, identity", "",
                                          "xchunked", "chunked;q=1",       "\"chunked\""};
    char request[128];
    for (size_t i = 0; i != sizeof(codings) / sizeof(codings[0]); ++i) {
        snprintf(request, sizeof(request),
                 "PUT /v1/kv/f HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: %s\r\n\r\n0\r\n\r\n",
                 codings[i]);
        CU_ASSERT(is_refused(request, 400, "bad_request", true));
    }
    check_unharmed();
}

static void bad_chunks(void)
{
    static const char *const chunks[] = {"zz\r\nab\r\n0\r\n\r\n", "-1\r\na\r\n0\r\n\r\n",
                                         "\r\n0\r\n\r\n",         " 1\r\na\r\n0\r\n\r\n",
                                         "1\r\nab\r\n0\r\n\r\n",  ";x\r\n0\r\n\r\n",
                                         "fffffffffffffffff\r\n", "4\r\nab\r\n0\r\n\r\n"};
    char request[160];
    for (size_t i = 0; i != sizeof(chunks) / sizeof(chunks[0]); ++i) {
        snprintf(request, sizeof(request),
                 "PUT /v1/kv/f HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n%s",
                 chunks[i]);
        CU_ASSERT(is_refused(request, 400, "bad_request", true));
    }
    check_unharmed();
}

static void expectations(void)
{
    static const char *const unknown[] = {"200-ok", "100-continues", "", "100-continue, x"};
    char request[128];
    http_conn_t conn;
    http_response_t res;
    for (size_t i = 0; i != sizeof(unknown) / sizeof(unknown[0]); ++i) {
        snprintf(request, sizeof(request),
                 "PUT /v1/kv/e HTTP/1.1\r\nHost: t\r\nContent-Length: 1\r\nExpect: %s\r\n\r\nx",
                 unknown[i]);
        CU_ASSERT(is_refused(request, 417, "expectation_failed", true));
    }
    /* libh2o looks at it only if there is a body to expect something of */
    ask("GET /v1/kv/e HTTP/1.1\r\nHost: t\r\nExpect: 200-ok\r\n\r\n", &conn, &res);
    CU_ASSERT(is_problem(&res, 404, "not_found"));
    http_response_dispose(&res);
    http_close(&conn);
    check_unharmed();
}

/* ---------------------------------------------------------------- heads */

static void garbage(void)
{
    static const struct {
        const char *bytes;
        size_t count;
    } rows[] = {
#define ROW(literal) {literal, sizeof(literal) - 1}
        ROW("\r\n\r\n\r\n\r\n"),
        ROW("hello\r\n\r\n"),
        ROW("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"), /* the beginning of a TLS handshake */
        ROW("\0\0\0\0\0\0\0\0\r\n\r\n"),
        ROW("GET /\r\n\r\n"), /* HTTP/0.9 */
        ROW("GET / HTTP/2.0\r\n\r\n"),
        ROW("GET / HTTP/1.1 \r\n\r\n"),
        ROW("GET / FTP/1.1\r\n\r\n"),
        ROW("GET  / HTTP/1.1\r\nHost: t\r\n\r\n"),
        ROW("GET / x HTTP/1.1\r\nHost: t\r\n\r\n"),
        ROW("GET /\x01 HTTP/1.1\r\nHost: t\r\n\r\n"),
        ROW("GET /\x7f HTTP/1.1\r\nHost: t\r\n\r\n"),
        ROW("GET / HTTP/1.1\r\nHost: t\r\nName : value\r\n\r\n"),
        ROW("GET / HTTP/1.1\r\nHost: t\r\nName\r\n\r\n"),
        ROW("GET / HTTP/1.1\r\nHost: t\r\n: value\r\n\r\n"),
        ROW("GET / HTTP/1.1\r\nHost: t\r\nName: a\0b\r\n\r\n"),
        ROW("GET / HTTP/1.1\r\nHost: t\r\nName: a\x7f\r\n\r\n"),
        ROW("GET / HTTP/1.1\r\nHost: t\r\nNa me: a\r\n\r\n"),
        ROW("GET / HTTP/1.1\rName: a\r\n\r\n"),
        ROW("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
#undef ROW
    };
    for (size_t i = 0; i != sizeof(rows) / sizeof(rows[0]); ++i)
        CU_ASSERT(is_raw_400(rows[i].bytes, rows[i].count));
    check_unharmed();
}

static void noise_of_all_kinds(void)
{
    /* most of it is refused, some of it waits for more: nothing else may come of it */
    for (uint64_t seed = 1; seed != 60; ++seed) {
        http_conn_t conn;
        http_response_t res;
        char *bytes = noise(200 * seed, seed);
        site_open(&hostile_site, &conn);
        http_send(&conn, bytes, 200 * seed);
        http_half_close(&conn);
        CU_ASSERT(!http_read_response(&conn, "GET", &res) || res.status == 400);
        CU_ASSERT(conn.is_server_gone || http_server_closes_within(&conn, 2000));
        http_response_dispose(&res);
        http_close(&conn);
        free(bytes);
    }
    check_unharmed();
}

/* a GET of / with so many headers beside Host, of so many bytes each, name and value */
static char *with_headers(size_t count, size_t bytes, size_t *request_bytes)
{
    char *request = malloc(64 + count * (bytes + 16)), *at = request;
    CU_ASSERT_PTR_NOT_NULL_FATAL(request);
    at = stpcpy(at, "GET / HTTP/1.1\r\nHost: t\r\n");
    for (size_t i = 0; i != count; ++i) {
        at += sprintf(at, "x%04zu: ", i);
        memset(at, 'v', bytes - 5);
        at = stpcpy(at + bytes - 5, "\r\n");
    }
    at = stpcpy(at, "\r\n");
    *request_bytes = (size_t)(at - request);
    return request;
}

static int status_with_headers(size_t count, size_t bytes)
{
    http_conn_t conn;
    http_response_t res;
    size_t request_bytes;
    char *request = with_headers(count, bytes, &request_bytes);
    site_open(&hostile_site, &conn);
    exchange_raw(&conn, request, request_bytes, "GET", &res);
    free(request);
    int status = res.status;
    if (status == 431) {
        CU_ASSERT(is_problem(&res, 431, "headers_too_large"));
        /* it was read whole: the connection goes on */
        CU_ASSERT_EQUAL(exchange_status(&conn, "GET", "/livez", NULL, NULL, 0), 204);
    }
    http_response_dispose(&res);
    http_close(&conn);
    return status;
}

static void many_headers(void)
{
    CU_ASSERT_EQUAL(status_with_headers(99, 20), 200);
    /* libh2o parses no more than a hundred, Host included, and says so raw */
    CU_ASSERT_EQUAL(status_with_headers(100, 20), 400);
    CU_ASSERT_EQUAL(status_with_headers(10000, 20), 400);
    CU_ASSERT_EQUAL(status_with_headers(32, 1024), 200);
    CU_ASSERT_EQUAL(status_with_headers(33, 1024), 431);
    CU_ASSERT_EQUAL(status_with_headers(1, 32 * KIB), 200);
    CU_ASSERT_EQUAL(status_with_headers(1, 32 * KIB + 1), 431);
    CU_ASSERT_EQUAL(status_with_headers(1, 300 * KIB), 431);
    check_unharmed();
}

static void long_header_name(void)
{
    http_conn_t conn;
    http_response_t res;
    char *request = malloc(410 * KIB);
    CU_ASSERT_PTR_NOT_NULL_FATAL(request);
    char *at = stpcpy(request, "GET / HTTP/1.1\r\nHost: t\r\n");
    /* libh2o puts names on the stack */
    memset(at, 'N', 400 * KIB);
    at = stpcpy(at + 400 * KIB, ": v\r\n\r\n");
    site_open(&hostile_site, &conn);
    exchange_raw(&conn, request, (size_t)(at - request), "GET", &res);
    CU_ASSERT(is_problem(&res, 431, "headers_too_large"));
    http_response_dispose(&res);
    http_close(&conn);
    free(request);
    check_unharmed();
}

static void head_without_end(void)
{
    http_conn_t conn;
    http_response_t res;
    /* libh2o keeps this much of a head, then says 400 and closes; with more on its way the close is
     * a reset that may overtake the answer */
    size_t bytes = 417792;
    char *request = malloc(bytes + 600 * KIB);
    CU_ASSERT_PTR_NOT_NULL_FATAL(request);
    memset(request, 'a', bytes + 600 * KIB);
    memcpy(request, "GET / HTTP/1.1\r\nHost: t\r\nX: ", 28);
    CU_ASSERT(is_raw_400(request, bytes));
    site_open(&hostile_site, &conn);
    http_send(&conn, request, bytes + 600 * KIB);
    CU_ASSERT(!http_read_response(&conn, "GET", &res) || res.status == 400);
    CU_ASSERT(http_server_closes_within(&conn, 2000));
    http_response_dispose(&res);
    http_close(&conn);
    free(request);
    check_unharmed();
}

static void targets_that_are_no_paths(void)
{
    static const char *const targets[] = {
        "*", "a:443", "v1/kv/a", "ftp://127.0.0.1/v1/kv/a", "?key=a", ".", "%2Fv1",
        "#", "\xff/", "&",       "localhost:8080"};
    static const char *const methods[] = {"GET", "HEAD", "OPTIONS", "CONNECT", "PUT"};
    char request[128];
    for (size_t i = 0; i != sizeof(targets) / sizeof(targets[0]); ++i)
        for (size_t j = 0; j != sizeof(methods) / sizeof(methods[0]); ++j) {
            http_conn_t conn;
            http_response_t res;
            int bytes = snprintf(request, sizeof(request),
                                 "%s %s HTTP/1.1\r\nHost: t\r\nContent-Length: 0\r\n\r\n",
                                 methods[j], targets[i]);
            site_open(&hostile_site, &conn);
            exchange_raw(&conn, request, (size_t)bytes, methods[j], &res);
            CU_ASSERT(is_problem(&res, 400, "bad_target"));
            http_response_dispose(&res);
            http_close(&conn);
        }
    check_unharmed();
}

static void long_targets(void)
{
    static const char *const prefixes[] = {"/", "/v1/kv/", "/get?key=", "/set?key=a&value="};
    char *target = malloc(300 * KIB);
    CU_ASSERT_PTR_NOT_NULL_FATAL(target);
    for (size_t i = 0; i != 4; ++i)
        for (size_t j = 0; j != 2; ++j) {
            static const size_t sizes[] = {64 * KIB + 1, 290 * KIB};
            http_conn_t conn;
            http_response_t res;
            memset(target, '%', sizes[j]);
            memcpy(target, prefixes[i], strlen(prefixes[i]));
            target[sizes[j]] = '\0';
            site_open(&hostile_site, &conn);
            exchange(&conn, "GET", target, NULL, NULL, 0, &res);
            CU_ASSERT(is_problem(&res, 414, "uri_too_long"));
            http_response_dispose(&res);
            CU_ASSERT_EQUAL(exchange_status(&conn, "GET", "/livez", NULL, NULL, 0), 204);
            http_close(&conn);
        }
    http_conn_t conn;
    site_open(&hostile_site, &conn);
    memset(target, 'v', 64 * KIB);
    memcpy(target, prefixes[3], strlen(prefixes[3]));
    target[64 * KIB] = '\0';
    CU_ASSERT_EQUAL(exchange_status(&conn, "GET", target, NULL, NULL, 0), 201);
    http_close(&conn);
    free(target);
    check_unharmed();
}

static void odd_but_good(void)
{
    /* what libh2o forgives, and we with it, since nobody can read it in two ways */
    static const char *const requests[] = {
        "\r\nGET /livez HTTP/1.1\r\nHost: t\r\n\r\n",
        "GET /livez HTTP/1.1\nHost: a\n\n",
        "GET http://a/livez HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET https://a:443/livez?x=/ HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /livez HTTP/1.2\r\nHost: a\r\n\r\n",
        "GET /livez HTTP/1.1\r\nHost: t\r\nX:\xff\xfe\r\n\r\n",
        ("GET /livez HTTP/1.1\r\nHost: t\r\nUpgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\n"
         "HTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n"),
        "GET /livez HTTP/1.1\r\nHost: t\r\nContent-Length: 3\r\n\r\nabc",
    };
    for (size_t i = 0; i != sizeof(requests) / sizeof(requests[0]); ++i) {
        http_conn_t conn;
        http_response_t res;
        ask(requests[i], &conn, &res);
        CU_ASSERT_EQUAL(res.status, 204);
        http_response_dispose(&res);
        http_close(&conn);
    }
    check_unharmed();
}

void suite_http_framing(void)
{
    CU_pSuite s = CU_add_suite("http_framing: requests that can be read in two ways, or not at all",
                               hostile_start, hostile_end);
    CU_add_test(s, "a length that can be read in two ways is refused", ambiguous_lengths);
    CU_add_test(s, "a request without a host, or with none that is one, is refused", hosts);
    CU_add_test(s, "a length that is no number is refused", bad_lengths);
    CU_add_test(s, "a coding that is not known is refused", bad_codings);
    CU_add_test(s, "a bad chunk is refused", bad_chunks);
    CU_add_test(s, "an unknown expectation is refused", expectations);
    CU_add_test(s, "garbage is refused", garbage);
    CU_add_test(s, "noise does nothing", noise_of_all_kinds);
    CU_add_test(s, "too many and too large headers are refused", many_headers);
    CU_add_test(s, "a header's name may be long", long_header_name);
    CU_add_test(s, "a head without end is cut off", head_without_end);
    CU_add_test(s, "a target that is no path is refused", targets_that_are_no_paths);
    CU_add_test(s, "a target over 64 KiB is refused", long_targets);
    CU_add_test(s, "what is odd but clear is answered", odd_but_good);
}
