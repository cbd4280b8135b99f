/*
 * What clients do that mean harm, or that die: is the answer clear, and does the server live on
 * with nothing left over?
 *
 * After each case the server must answer, and have as many descriptors open as before. What libh2o
 * decides alone, before any code of ours runs, is asserted as it is and said to be so.
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

#include "tests/site.h"
#include "tests/suites.h"

#define KIB ((size_t)1 << 10)
#define MIB ((size_t)1 << 20)

static site_t site;
static size_t base_line; /* descriptors of the server without clients */

static int start(void)
{
    if (site_start(&site, TEMP_DIR_IN_MEMORY, NULL) != 0)
        return 1;
    /* what is opened once and then kept is open after the first write */
    http_conn_t conn;
    http_response_t res;
    if (!http_open(&conn, site.server.port) ||
        !http_request(&conn, "PUT", "/v1/kv/first", NULL, "x", 1, &res))
        return 1;
    http_response_dispose(&res);
    http_close(&conn);
    sleep_ms(50);
    base_line = open_fd_count(site.server.pid);
    return 0;
}

static int end(void)
{
    return site_end(&site);
}

static void check_unharmed(void)
{
    CU_ASSERT(site_answers(&site));
    CU_ASSERT(fd_count_comes_to(site.server.pid, base_line));
}

/* a request told with printf, and its answer */
static void ask(const char *request, http_conn_t *conn, http_response_t *res)
{
    site_open(&site, conn);
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
    site_open(&site, &conn);
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
        "PUT /v1/kv/f HTTP/1.1\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\nhello",
        "PUT /v1/kv/f HTTP/1.1\r\nContent-Length: 5\r\nContent-Length: 0\r\n\r\nhello",
        "PUT /v1/kv/f HTTP/1.1\r\nContent-Length: 0\r\nContent-Length: 40\r\n\r\n"
        "PUT /v1/kv/smuggled HTTP/1.1\r\nContent-Length: 0\r\n\r\n",
        "GET /v1/kv/f HTTP/1.1\r\nA: b\r\ncontent-LENGTH: 0\r\nX: y\r\nCONTENT-length: "
        "3\r\n\r\nabc",
        "PUT /v1/kv/f HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
        "PUT /v1/kv/smuggled HTTP/1.1\r\nContent-Length: 0\r\n\r\n",
        "PUT /v1/kv/f HTTP/1.1\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n"
        "PUT /v1/kv/smuggled HTTP/1.1\r\nContent-Length: 0\r\n\r\n",
        "GET /v1/kv/f HTTP/1.1\r\nTransfer-Encoding: chunked\r\nContent-Length: 0\r\n\r\n0\r\n\r\n",
        "PUT /v1/kv/f HTTP/1.1\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n"
        "0\r\n\r\n",
        "PUT /v1/kv/f HTTP/1.1\r\nTransfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n"
        "0\r\n\r\n",
        "PUT /v1/kv/f HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "PUT /v1/kv/f HTTP/1.1\r\nX: a\r\n folded\r\nContent-Length: 1\r\n\r\nx",
        "PUT /v1/kv/f HTTP/1.1\r\nContent-Length: 1\r\n\tfolded\r\n\r\nx",
        "GET /v1/kv/f HTTP/1.1\r\nX: a\r\n Content-Length: 5\r\n\r\n",
        "GET /v1/kv/f HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        "GET /v1/kv/f HTTP/1.1\nhost: a\nX: y\nHOST: a\n\n",
        "PUT /v1/kv/f HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nHost: b\r\n\r\nx",
    };
    http_conn_t conn;
    for (size_t i = 0; i != sizeof(requests) / sizeof(requests[0]); ++i)
        CU_ASSERT(is_refused(requests[i], 400, "bad_framing", true));
    site_open(&site, &conn);
    CU_ASSERT_EQUAL(exchange_status(&conn, "GET", "/v1/kv/f", NULL, NULL, 0), 404);
    CU_ASSERT_EQUAL(exchange_status(&conn, "GET", "/v1/kv/smuggled", NULL, NULL, 0), 404);
    http_close(&conn);
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
                 "PUT /v1/kv/f HTTP/1.1\r\nContent-Length: %s\r\n\r\nhello", lengths[i]);
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
                 "PUT /v1/kv/f HTTP/1.1\r\nTransfer-Encoding: %s\r\n\r\n0\r\n\r\n", codings[i]);
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
                 "PUT /v1/kv/f HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n%s", chunks[i]);
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
                 "PUT /v1/kv/e HTTP/1.1\r\nContent-Length: 1\r\nExpect: %s\r\n\r\nx", unknown[i]);
        CU_ASSERT(is_refused(request, 417, "expectation_failed", true));
    }
    /* libh2o looks at it only if there is a body to expect something of */
    ask("GET /v1/kv/e HTTP/1.1\r\nExpect: 200-ok\r\n\r\n", &conn, &res);
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
        ROW("GET  / HTTP/1.1\r\n\r\n"),
        ROW("GET / x HTTP/1.1\r\n\r\n"),
        ROW("GET /\x01 HTTP/1.1\r\n\r\n"),
        ROW("GET /\x7f HTTP/1.1\r\n\r\n"),
        ROW("GET / HTTP/1.1\r\nName : value\r\n\r\n"),
        ROW("GET / HTTP/1.1\r\nName\r\n\r\n"),
        ROW("GET / HTTP/1.1\r\n: value\r\n\r\n"),
        ROW("GET / HTTP/1.1\r\nName: a\0b\r\n\r\n"),
        ROW("GET / HTTP/1.1\r\nName: a\x7f\r\n\r\n"),
        ROW("GET / HTTP/1.1\r\nNa me: a\r\n\r\n"),
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
        site_open(&site, &conn);
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

/* a GET of / with so many headers of so many bytes each, name and value */
static char *with_headers(size_t count, size_t bytes, size_t *request_bytes)
{
    char *request = malloc(64 + count * (bytes + 16)), *at = request;
    CU_ASSERT_PTR_NOT_NULL_FATAL(request);
    at = stpcpy(at, "GET / HTTP/1.1\r\n");
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
    site_open(&site, &conn);
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
    CU_ASSERT_EQUAL(status_with_headers(100, 20), 200);
    /* libh2o parses no more than a hundred, and says so raw */
    CU_ASSERT_EQUAL(status_with_headers(101, 20), 400);
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
    char *at = stpcpy(request, "GET / HTTP/1.1\r\n");
    /* libh2o puts names on the stack */
    memset(at, 'N', 400 * KIB);
    at = stpcpy(at + 400 * KIB, ": v\r\n\r\n");
    site_open(&site, &conn);
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
    memcpy(request, "GET / HTTP/1.1\r\nX: ", 19);
    CU_ASSERT(is_raw_400(request, bytes));
    site_open(&site, &conn);
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
            int bytes =
                snprintf(request, sizeof(request), "%s %s HTTP/1.1\r\nContent-Length: 0\r\n\r\n",
                         methods[j], targets[i]);
            site_open(&site, &conn);
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
            site_open(&site, &conn);
            exchange(&conn, "GET", target, NULL, NULL, 0, &res);
            CU_ASSERT(is_problem(&res, 414, "uri_too_long"));
            http_response_dispose(&res);
            CU_ASSERT_EQUAL(exchange_status(&conn, "GET", "/livez", NULL, NULL, 0), 204);
            http_close(&conn);
        }
    http_conn_t conn;
    site_open(&site, &conn);
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
        "\r\nGET /livez HTTP/1.1\r\n\r\n",
        "GET /livez HTTP/1.1\nHost: a\n\n",
        "GET http://a/livez HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET https://a:443/livez?x=/ HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /livez HTTP/1.2\r\n\r\n",
        "GET /livez HTTP/1.1\r\nX:\xff\xfe\r\n\r\n",
        ("GET /livez HTTP/1.1\r\nUpgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\n"
         "HTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n"),
        "GET /livez HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc",
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

/* ---------------------------------------------------------------- vanishing clients */

static void leave(http_conn_t *conn, int how)
{
    if (how == 0)
        http_close(conn);
    else
        http_reset(conn);
}

static void vanish_in_a_request(void)
{
    static const char *const requests[] = {
        "PUT /v1/kv/gone HTTP/1.1\r\nContent-Length: 10\r\n\r\n012345678",
        "PUT /v1/kv/gone HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n5\r\nab",
        "PUT /v1/kv/gone HTTP/1.1\r\nContent-Length: 10\r\nExpect: 100-continue\r\n\r\n0123"};
    for (size_t i = 0; i != sizeof(requests) / sizeof(requests[0]); ++i)
        for (size_t bytes = 0; bytes <= strlen(requests[i]); ++bytes)
            for (int how = 0; how != 2; ++how) {
                http_conn_t conn;
                site_open(&site, &conn);
                CU_ASSERT(http_send(&conn, requests[i], bytes));
                leave(&conn, how);
            }
    http_conn_t conn;
    site_open(&site, &conn);
    CU_ASSERT_EQUAL(exchange_status(&conn, "GET", "/v1/kv/gone", NULL, NULL, 0), 404);
    http_close(&conn);
    check_unharmed();
}

static void vanish_in_a_large_body(void)
{
    char *body = noise(4 * MIB, 1);
    for (int i = 0; i != 8; ++i) {
        http_conn_t conn;
        char head[] = "PUT /v1/kv/gone HTTP/1.1\r\nContent-Length: 8000000\r\n\r\n";
        site_open(&site, &conn);
        CU_ASSERT(http_send(&conn, head, strlen(head)));
        CU_ASSERT(http_send(&conn, body, (4 * MIB) >> i));
        leave(&conn, i % 2);
    }
    free(body);
    check_unharmed();
}

static void vanish_after_a_put(void)
{
    http_conn_t conn;
    char request[128], target[32];
    for (int i = 0; i != 100; ++i) {
        int bytes = snprintf(request, sizeof(request),
                             "PUT /v1/kv/left%d HTTP/1.1\r\nContent-Length: 4\r\n\r\n%04d", i, i);
        site_open(&site, &conn);
        CU_ASSERT(http_send(&conn, request, (size_t)bytes));
        leave(&conn, i % 2);
    }
    check_unharmed();
    /* a FIN behind a whole request takes nothing back; a reset may have overtaken it */
    site_open(&site, &conn);
    for (int i = 0; i < 100; i += 2) {
        snprintf(target, sizeof(target), "/v1/kv/left%d", i);
        CU_ASSERT_EQUAL(exchange_status(&conn, "GET", target, NULL, NULL, 0), 200);
    }
    http_close(&conn);
}

static void put_large(const char *target, const char *value, size_t bytes)
{
    http_conn_t conn;
    site_open(&site, &conn);
    CU_ASSERT_FATAL(exchange_status(&conn, "PUT", target, NULL, value, bytes) / 100 == 2);
    http_close(&conn);
}

static void vanish_in_an_answer(void)
{
    char *value = noise(12 * MIB, 2);
    put_large("/v1/kv/large", value, 12 * MIB);
    free(value);
    static const char request[] = "GET /v1/kv/large HTTP/1.1\r\n\r\n";
    static const size_t read_before[] = {0, 1, 1000, 100 * KIB, 3 * MIB};
    for (size_t i = 0; i != sizeof(read_before) / sizeof(read_before[0]); ++i)
        for (int how = 0; how != 2; ++how)
            for (int pipelined = 1; pipelined <= 3; pipelined += 2) {
                http_conn_t conn;
                char *sink = malloc(read_before[i] + 1);
                site_open(&site, &conn);
                for (int n = 0; n != pipelined; ++n)
                    CU_ASSERT(http_send(&conn, request, sizeof(request) - 1));
                CU_ASSERT_EQUAL(recv(conn.fd, sink, read_before[i], MSG_WAITALL),
                                (ssize_t)read_before[i]);
                free(sink);
                leave(&conn, how);
            }
    check_unharmed();
}

static void vanish_while_pipelining(void)
{
    enum { REQUESTS = 500 };
    static char requests[REQUESTS * 80];
    size_t bytes = 0;
    for (int i = 0; i != REQUESTS; ++i)
        bytes +=
            (size_t)sprintf(requests + bytes, "PUT /v1/kv/p HTTP/1.1\r\nContent-Length: 1\r\n\r\nx"
                                              "GET /v1/kv/p HTTP/1.1\r\n\r\n");
    for (int how = 0; how != 2; ++how)
        for (int i = 0; i != 10; ++i) {
            http_conn_t conn;
            site_open(&site, &conn);
            CU_ASSERT(http_send(&conn, requests, bytes / (size_t)(i + 1)));
            leave(&conn, how);
        }
    check_unharmed();
}

static void half_close(void)
{
    static const char *const requests[] = {"GET /livez HTTP/1.1\r\n\r\n",
                                           "PUT /v1/kv/half HTTP/1.1\r\nContent-Length: 1\r\n\r\nx",
                                           "DELETE /v1/kv/half HTTP/1.1\r\n\r\n"};
    static const int statuses[] = {204, 201, 204};
    static const char get[] = "GET /v1/kv/half HTTP/1.1\r\n\r\n";
    http_conn_t conn;
    http_response_t res;
    for (size_t i = 0; i != 3; ++i) {
        site_open(&site, &conn);
        CU_ASSERT(http_send(&conn, requests[i], strlen(requests[i])) && http_half_close(&conn));
        CU_ASSERT_TRUE_FATAL(http_read_response(&conn, "GET", &res));
        CU_ASSERT_EQUAL(res.status, statuses[i]);
        http_response_dispose(&res);
        CU_ASSERT(http_server_closes_within(&conn, 2000));
        http_close(&conn);
    }
    char *value = noise(6 * MIB, 3);
    put_large("/v1/kv/half", value, 6 * MIB);
    site_open(&site, &conn);
    CU_ASSERT(http_send(&conn, get, sizeof(get) - 1) && http_half_close(&conn));
    CU_ASSERT_TRUE_FATAL(http_read_response(&conn, "GET", &res));
    CU_ASSERT(body_is(&res, value, 6 * MIB));
    http_response_dispose(&res);
    http_close(&conn);
    free(value);
    check_unharmed();
}

static void refused_and_never_leaving(void)
{
    /* who is refused in the middle of a body may stay, but the server does not wait for ever */
    enum { CLIENTS = 20 };
    http_conn_t conns[CLIENTS];
    http_response_t res;
    static const char head[] = "PUT /v1/kv/l HTTP/1.1\r\nContent-Length: 100000000\r\n\r\nabc";
    for (int i = 0; i != CLIENTS; ++i) {
        site_open(&site, &conns[i]);
        exchange_raw(&conns[i], head, sizeof(head) - 1, "PUT", &res);
        CU_ASSERT(is_problem(&res, 413, "value_too_large"));
        http_response_dispose(&res);
    }
    check_unharmed();
    for (int i = 0; i != CLIENTS; ++i)
        http_close(&conns[i]);
}

/* ---------------------------------------------------------------- crowds */

static json_int_t open_connections(http_conn_t *conn)
{
    http_response_t res;
    exchange(conn, "GET", "/v1/stats", NULL, NULL, 0, &res);
    json_t *json = json_loadb(res.body, res.body_bytes, 0, NULL);
    json_int_t count = json_integer_value(json_object_get(json, "connections"));
    json_decref(json);
    http_response_dispose(&res);
    return count;
}

static void crowd(void)
{
    struct rlimit limit;
    CU_ASSERT_EQUAL_FATAL(getrlimit(RLIMIT_NOFILE, &limit), 0);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    /* the server has the same limit and keeps some back */
    size_t count = limit.rlim_cur < 14000 ? (size_t)limit.rlim_cur / 2 : 10000;
    static const char request[] = "PUT /v1/kv/crowd HTTP/1.1\r\nContent-Length: 1\r\n\r\nx";
    http_conn_t *conns = calloc(count, sizeof(*conns));
    CU_ASSERT_PTR_NOT_NULL_FATAL(conns);
    for (size_t i = 0; i != count; ++i)
        site_open(&site, &conns[i]);
    /* all at once, so that all are waiting for an answer */
    for (size_t i = 0; i != count; ++i)
        CU_ASSERT_TRUE_FATAL(http_send(&conns[i], request, sizeof(request) - 1));
    uint64_t sum = 0;
    for (size_t i = 0; i != count; ++i) {
        http_response_t res;
        CU_ASSERT_TRUE_FATAL(http_read_response(&conns[i], "PUT", &res));
        sum += version_of(&res);
        http_response_dispose(&res);
    }
    CU_ASSERT(sum > count * (count - 1) / 2); /* each a version of its own */
    CU_ASSERT(open_connections(&conns[0]) >= (json_int_t)count);
    /* alive after that, and many more come and go */
    for (size_t i = 0; i < count; i += 3) {
        CU_ASSERT_EQUAL(exchange_status(&conns[i], "GET", "/v1/kv/crowd", NULL, NULL, 0), 200);
        http_reset(&conns[i]);
        site_open(&site, &conns[i]);
    }
    for (size_t i = 0; i != count; ++i) {
        CU_ASSERT_EQUAL(exchange_status(&conns[i], "GET", "/livez", NULL, NULL, 0), 204);
        http_reset(&conns[i]);
    }
    free(conns);
    check_unharmed();
}

/* whether the server answers on this connection in this time */
static bool is_served_within(http_conn_t *conn, int wait_ms)
{
    http_response_t res;
    conn->timeout_ms = wait_ms;
    bool is_served = http_read_response(conn, "GET", &res) && res.status == 204;
    conn->timeout_ms = 10000;
    http_response_dispose(&res);
    return is_served;
}

static void connection_limit(void)
{
    enum { LIMIT = 8, CLIENTS = 20 };
    static const char *const extra[] = {"--limits.connections", "8", "--workers", "1", NULL};
    static const char request[] = "GET /livez HTTP/1.1\r\n\r\n";
    site_t own;
    http_conn_t conns[CLIENTS];
    CU_ASSERT_EQUAL_FATAL(site_start_in_memory(&own, extra), 0);
    for (int i = 0; i != CLIENTS; ++i) {
        site_open(&own, &conns[i]);
        CU_ASSERT(http_send(&conns[i], request, sizeof(request) - 1));
    }
    for (int i = 0; i != LIMIT; ++i)
        CU_ASSERT(is_served_within(&conns[i], 5000));
    /* the others wait, and are served one by one as those before them leave */
    for (int i = LIMIT; i != CLIENTS; ++i) {
        CU_ASSERT_FALSE(is_served_within(&conns[i], i == LIMIT ? 50 : 1));
        leave(&conns[i - LIMIT], i % 2);
        CU_ASSERT(is_served_within(&conns[i], 5000));
    }
    for (int i = CLIENTS - LIMIT; i != CLIENTS; ++i)
        http_close(&conns[i]);
    CU_ASSERT(site_answers(&own));
    CU_ASSERT_EQUAL(site_end(&own), 0);
}

/* a script that runs the program with few descriptors, in its place for one test */
typedef struct st_narrow_t {
    temp_dir_t dir;
    char path[280];
    char *real_binary;
} narrow_t;

static void narrow_install(narrow_t *narrow, int fds)
{
    CU_ASSERT_TRUE_FATAL(temp_dir_create(&narrow->dir, TEMP_DIR_ON_DISK));
    snprintf(narrow->path, sizeof(narrow->path), "%s/narrow", narrow->dir.path);
    narrow->real_binary = realpath(getenv("CAIRN_BINARY"), NULL);
    FILE *file = fopen(narrow->path, "w");
    CU_ASSERT_FATAL(file != NULL && narrow->real_binary != NULL);
    fprintf(file, "#!/bin/sh\nulimit -n %d\nexec '%s' \"$@\"\n", fds, narrow->real_binary);
    fclose(file);
    CU_ASSERT_EQUAL_FATAL(chmod(narrow->path, 0700), 0);
    setenv("CAIRN_BINARY", narrow->path, 1);
}

static void narrow_remove(narrow_t *narrow)
{
    setenv("CAIRN_BINARY", narrow->real_binary, 1);
    free(narrow->real_binary);
    CU_ASSERT(temp_dir_remove(&narrow->dir));
}

/* seconds of processor time that a process has used */
static double cpu_seconds(pid_t pid)
{
    char path[64];
    unsigned long user = 0, system = 0;
    snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
    FILE *file = fopen(path, "r");
    CU_ASSERT_PTR_NOT_NULL_FATAL(file);
    CU_ASSERT_EQUAL(fscanf(file, "%*d (%*[^)]) %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu",
                           &user, &system),
                    2);
    fclose(file);
    return (double)(user + system) / (double)sysconf(_SC_CLK_TCK);
}

static void descriptors_run_out(void)
{
    /* so few that the server's own leave less room than it reckons with: accept() does fail */
    enum { FDS = 40, CLIENTS = 100 };
    static const char request[] = "GET /livez HTTP/1.1\r\n\r\n";
    narrow_t narrow;
    site_t own;
    http_conn_t conns[CLIENTS];
    narrow_install(&narrow, FDS);
    CU_ASSERT_EQUAL_FATAL(site_start(&own, TEMP_DIR_IN_MEMORY, NULL), 0);
    CU_ASSERT(site_answers(&own));
    sleep_ms(20);
    size_t own_base_line = open_fd_count(own.server.pid);
    for (int i = 0; i != CLIENTS; ++i) {
        site_open(&own, &conns[i]);
        CU_ASSERT(http_send(&conns[i], request, sizeof(request) - 1));
    }
    int served = 0;
    for (int i = 0; i != CLIENTS; ++i)
        served += is_served_within(&conns[i], i == 0 ? 200 : 1);
    CU_ASSERT(served > 0 && served < CLIENTS);
    /* it waits rather than spin */
    double before = cpu_seconds(own.server.pid);
    sleep_ms(300);
    CU_ASSERT(cpu_seconds(own.server.pid) - before < 0.15);
    /* those who leave make room for those who wait, until all have been there */
    for (int i = 0; i != CLIENTS; ++i)
        leave(&conns[i], i % 2);
    CU_ASSERT(fd_count_comes_to(own.server.pid, own_base_line));
    http_conn_t conn;
    site_open(&own, &conn);
    CU_ASSERT_EQUAL(exchange_status(&conn, "PUT", "/v1/kv/a", NULL, "x", 1), 201);
    http_close(&conn);
    CU_ASSERT_EQUAL(site_end(&own), 0);
    narrow_remove(&narrow);
}

static void stop_without_descriptors(void)
{
    enum { FDS = 40, CLIENTS = 60 };
    narrow_t narrow;
    site_t own;
    http_conn_t conns[CLIENTS];
    narrow_install(&narrow, FDS);
    CU_ASSERT_EQUAL_FATAL(site_start(&own, TEMP_DIR_IN_MEMORY, NULL), 0);
    for (int i = 0; i != CLIENTS; ++i)
        site_open(&own, &conns[i]);
    sleep_ms(50);
    CU_ASSERT_EQUAL(site_end(&own), 0);
    for (int i = 0; i != CLIENTS; ++i)
        http_close(&conns[i]);
    narrow_remove(&narrow);
}

/* ---------------------------------------------------------------- time */

static void idle_timeout(void)
{
    static const char *const extra[] = {"--limits.idle_timeout", "200ms", NULL};
    static const char *const beginnings[] = {"", "GET / HT",
                                             ("PUT /v1/kv/a HTTP/1.1\r\n"
                                              "Content-Length: 5\r\n\r\nabc")};
    site_t own;
    http_conn_t conns[4];
    CU_ASSERT_EQUAL_FATAL(site_start_in_memory(&own, extra), 0);
    int64_t began_ms = monotonic_ms();
    for (int i = 0; i != 3; ++i) {
        site_open(&own, &conns[i]);
        CU_ASSERT(http_send(&conns[i], beginnings[i], strlen(beginnings[i])));
    }
    site_open(&own, &conns[3]);
    CU_ASSERT_EQUAL(exchange_status(&conns[3], "GET", "/livez", NULL, NULL, 0), 204);
    CU_ASSERT_FALSE(http_server_closes_within(&conns[0], 100));
    for (int i = 0; i != 4; ++i) {
        CU_ASSERT(http_server_closes_within(&conns[i], 3000));
        http_close(&conns[i]);
    }
    CU_ASSERT(monotonic_ms() - began_ms >= 200);
    /* one that is used lives longer than that */
    site_open(&own, &conns[0]);
    for (int i = 0; i != 6; ++i) {
        sleep_ms(70);
        CU_ASSERT_EQUAL(exchange_status(&conns[0], "GET", "/livez", NULL, NULL, 0), 204);
    }
    http_close(&conns[0]);
    CU_ASSERT_EQUAL(site_end(&own), 0);
}

void suite_http_hostile(void)
{
    CU_pSuite s = CU_add_suite("http_hostile: clients that mean harm, or die", start, end);
    CU_add_test(s, "a length that can be read in two ways is refused", ambiguous_lengths);
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
    CU_add_test(s, "clients vanish at every byte of a request", vanish_in_a_request);
    CU_add_test(s, "clients vanish in a large body", vanish_in_a_large_body);
    CU_add_test(s, "clients vanish right after a PUT", vanish_after_a_put);
    CU_add_test(s, "clients vanish while a large value is sent", vanish_in_an_answer);
    CU_add_test(s, "clients vanish with many requests under way", vanish_while_pipelining);
    CU_add_test(s, "a client that has said all still gets its answer", half_close);
    CU_add_test(s, "a refused client that stays is let go", refused_and_never_leaving);
    CU_add_test(s, "10,000 connections at once", crowd);
    CU_add_test(s, "more clients than allowed wait for their turn", connection_limit);
    CU_add_test(s, "descriptors run out and come back", descriptors_run_out);
    CU_add_test(s, "a server without descriptors stops in order", stop_without_descriptors);
    CU_add_test(s, "a connection without a request is closed", idle_timeout);
}
