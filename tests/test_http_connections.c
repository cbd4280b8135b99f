/*
 * Requests that share a connection: pipelined, kept, closed, slow.
 */
#include <CUnit/CUnit.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#include "tests/site.h"
#include "tests/suites.h"

#define KIB ((size_t)1 << 10)
#define MIB ((size_t)1 << 20)

static site_t site;

static int start(void)
{
    return site_start(&site, TEMP_DIR_IN_MEMORY, NULL);
}

static int end(void)
{
    return site_end(&site);
}

/* ---------------------------------------------------------------- connections */

static void pipelined(void)
{
    enum { ROUNDS = 300 };
    http_conn_t conn;
    http_response_t res;
    static char requests[ROUNDS * 512];
    size_t bytes = 0;
    uint64_t last = 0;
    site_open(&site, &conn);
    for (int i = 0; i != ROUNDS; ++i)
        bytes +=
            (size_t)snprintf(requests + bytes, sizeof(requests) - bytes,
                             "PUT /v1/kv/pipe HTTP/1.1\r\nHost: t\r\nContent-Length: 4\r\n\r\n%04d"
                             "GET /v1/kv/pipe HTTP/1.1\r\nHost: t\r\n\r\n"
                             "HEAD /v1/kv/pipe HTTP/1.1\r\nHost: t\r\n\r\n"
                             "GET /v1/kv/absent HTTP/1.1\r\nHost: t\r\n\r\n"
                             "DELETE /v1/kv/pipe HTTP/1.1\r\nHost: t\r\nContent-Length: 1\r\n\r\nx",
                             i);
    CU_ASSERT_TRUE_FATAL(http_send(&conn, requests, bytes));
    for (int i = 0; i != ROUNDS; ++i) {
        char expected[8];
        snprintf(expected, sizeof(expected), "%04d", i);
        static const char *const methods[] = {"PUT", "GET", "HEAD", "GET", "DELETE"};
        static const int statuses[] = {201, 200, 200, 404, 204};
        for (int j = 0; j != 5; ++j) {
            CU_ASSERT_TRUE_FATAL(http_read_response(&conn, methods[j], &res));
            CU_ASSERT_EQUAL(res.status, statuses[j]);
            CU_ASSERT(j != 1 || body_is(&res, expected, 4));
            CU_ASSERT(version_of(&res) >= last || j == 3);
            last = j != 3 ? version_of(&res) : last;
            http_response_dispose(&res);
        }
    }
    http_close(&conn);
}

static void pipelined_large(void)
{
    enum { VALUES = 6 };
    http_conn_t conn;
    http_response_t res;
    char *bytes = noise(VALUES * 400 * KIB, 3);
    char head[128];
    site_open(&site, &conn);
    for (size_t i = 0; i != VALUES; ++i) {
        int head_bytes = snprintf(
            head, sizeof(head), "PUT /v1/kv/big HTTP/1.1\r\nHost: t\r\nContent-Length: %zu\r\n\r\n",
            400 * KIB);
        CU_ASSERT_TRUE_FATAL(http_send(&conn, head, (size_t)head_bytes) &&
                             http_send(&conn, bytes + i * 400 * KIB, 400 * KIB) &&
                             http_send(&conn, "GET /v1/kv/big HTTP/1.1\r\nHost: t\r\n\r\n", 36));
    }
    for (size_t i = 0; i != VALUES; ++i) {
        CU_ASSERT_TRUE_FATAL(http_read_response(&conn, "PUT", &res));
        CU_ASSERT_EQUAL(res.status, i == 0 ? 201 : 204);
        http_response_dispose(&res);
        CU_ASSERT_TRUE_FATAL(http_read_response(&conn, "GET", &res));
        CU_ASSERT(body_is(&res, bytes + i * 400 * KIB, 400 * KIB));
        http_response_dispose(&res);
    }
    free(bytes);
    http_close(&conn);
}

/* Behind a request lies something that takes longer: the rest of it has not come, or there is
 * nothing to tell yet. An answer is never held for that. A busy machine may be slow at times: but
 * not each time. */
static void answered_at_once(void)
{
    static const char *const behind[] = {
        "GET /v1/changes?since=now&wait=1s HTTP/1.1\r\nHost: t\r\n\r\n",
        "GET /livez HTTP/1.1\r\nHost: t\r\nX:",
        "PUT /v1/kv/late HTTP/1.1\r\nHost: t\r\nContent-Length: 5\r\n\r\nhal",
        "POST /v1/batch HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n",
    };
    /* answered by the event loop, by the writer, by the I/O pool */
    static const char *const first[] = {
        "GET /livez HTTP/1.1\r\nHost: t\r\n\r\n",
        "PUT /v1/kv/early HTTP/1.1\r\nHost: t\r\nContent-Length: 1\r\n\r\nx",
        "GET /v1/keys?prefix=none HTTP/1.1\r\nHost: t\r\n\r\n",
    };
    enum { TRIES = 20, SOON_MS = 100 };
    for (size_t f = 0; f != sizeof(first) / sizeof(first[0]); ++f)
        for (size_t b = 0; b != sizeof(behind) / sizeof(behind[0]); ++b) {
            int64_t least = INT64_MAX;
            for (int i = 0; i != TRIES && least >= SOON_MS; ++i) {
                char requests[512];
                http_conn_t conn;
                http_response_t res;
                int n =
                    snprintf(requests, sizeof(requests), "%s%s%s", first[f], first[0], behind[b]);
                site_open(&site, &conn);
                int64_t begin_ms = monotonic_ms();
                CU_ASSERT(http_send(&conn, requests, (size_t)n));
                for (int j = 0; j != 2; ++j) {
                    CU_ASSERT_TRUE_FATAL(http_read_response(&conn, "GET", &res));
                    CU_ASSERT(res.status / 100 == 2);
                    http_response_dispose(&res);
                }
                int64_t ms = monotonic_ms() - begin_ms;
                least = ms < least ? ms : least;
                http_reset(&conn);
            }
            if (least >= SOON_MS)
                fprintf(stderr, "\n    %lld ms: %s before %s", (long long)least, first[f],
                        behind[b]);
            CU_ASSERT(least < SOON_MS);
        }
}

static void kept_alive(void)
{
    http_conn_t conn;
    site_open(&site, &conn);
    for (int i = 0; i != 500; ++i) {
        exchange_version(&conn, "PUT", "/v1/kv/alive", NULL, "x", i == 0 ? 201 : 204);
        CU_ASSERT(exchange_gives(&conn, "/v1/kv/alive", "x"));
        /* an error does not end it either */
        CU_ASSERT_EQUAL(exchange_status(&conn, "GET", "/v1/kv/%", NULL, NULL, 0), 400);
    }
    CU_ASSERT_FALSE(conn.is_server_gone);
    http_close(&conn);
}

static void closed_when_asked(void)
{
    static const char *const heads[] = {
        "GET /v1/kv/alive HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n",
        "GET /v1/kv/alive HTTP/1.0\r\n\r\n",
        "PUT /v1/kv/alive HTTP/1.0\r\nContent-Length: 1\r\n\r\nx",
        "DELETE /v1/kv/absent HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n",
    };
    for (size_t i = 0; i != sizeof(heads) / sizeof(heads[0]); ++i) {
        http_conn_t conn;
        http_response_t res;
        site_open(&site, &conn);
        exchange_raw(&conn, heads[i], strlen(heads[i]), "GET", &res);
        CU_ASSERT(header_is(&res, "connection", "close"));
        CU_ASSERT(http_server_closes_within(&conn, 1000));
        CU_ASSERT_FALSE(conn.is_server_reset);
        http_response_dispose(&res);
        http_close(&conn);
    }
}

static void http_1_0(void)
{
    static const char head[] = "GET /v1/kv/old HTTP/1.0\r\nConnection: keep-alive\r\n\r\n";
    static const size_t sizes[] = {5, 300 * KIB};
    for (size_t i = 0; i != 2; ++i) {
        http_conn_t conn;
        http_response_t res;
        char *bytes = noise(sizes[i], 4);
        site_open(&site, &conn);
        exchange_status(&conn, "PUT", "/v1/kv/old", NULL, bytes, sizes[i]);
        for (int j = 0; j != 3; ++j) {
            exchange_raw(&conn, head, sizeof(head) - 1, "GET", &res);
            CU_ASSERT_EQUAL(res.status, 200);
            CU_ASSERT_EQUAL(res.framing, HTTP_BODY_BY_LENGTH);
            CU_ASSERT(body_is(&res, bytes, sizes[i]));
            http_response_dispose(&res);
        }
        free(bytes);
        http_close(&conn);
    }
}

static void expect_continue(void)
{
    static const char head[] = "PUT /v1/kv/expected HTTP/1.1\r\nHost: t\r\nContent-Length: 5\r\n"
                               "Expect: 100-continue\r\n\r\n";
    http_conn_t conn;
    http_response_t res;
    site_open(&site, &conn);
    CU_ASSERT_TRUE_FATAL(http_send(&conn, head, sizeof(head) - 1));
    /* the 100 comes before the body is sent; looking at it leaves it to be read */
    char interim[sizeof("HTTP/1.1 100 ") - 1];
    CU_ASSERT_EQUAL_FATAL(recv(conn.fd, interim, sizeof(interim), MSG_PEEK | MSG_WAITALL),
                          (ssize_t)sizeof(interim));
    CU_ASSERT(memcmp(interim, "HTTP/1.1 100 ", sizeof(interim)) == 0);
    CU_ASSERT_TRUE_FATAL(http_send(&conn, "hello", 5));
    CU_ASSERT_TRUE_FATAL(http_read_response(&conn, "PUT", &res));
    CU_ASSERT_EQUAL(res.status, 201);
    CU_ASSERT_EQUAL(res.interim_count, 1);
    http_response_dispose(&res);
    CU_ASSERT(exchange_gives(&conn, "/v1/kv/expected", "hello"));
    http_close(&conn);
}

static void slow_body(void)
{
    http_conn_t conn;
    http_response_t res;
    static const char request[] =
        "PUT /v1/kv/drip HTTP/1.1\r\nHost: t\r\nContent-Length: 10\r\n\r\n0123456789";
    site_open(&site, &conn);
    for (size_t i = 0; i != sizeof(request) - 1; ++i) {
        CU_ASSERT_TRUE_FATAL(http_send(&conn, request + i, 1));
        if (i % 8 == 0)
            sleep_ms(1);
    }
    CU_ASSERT_TRUE_FATAL(http_read_response(&conn, "PUT", &res));
    CU_ASSERT_EQUAL(res.status, 201);
    http_response_dispose(&res);
    CU_ASSERT(exchange_gives(&conn, "/v1/kv/drip", "0123456789"));
    http_close(&conn);
}

void suite_http_connections(void)
{
    CU_pSuite s = CU_add_suite("http_connections: pipelines, kept and closed ones", start, end);
    CU_add_test(s, "pipelined requests are answered in order", pipelined);
    CU_add_test(s, "pipelined large values are answered in order", pipelined_large);
    CU_add_test(s, "an answer does not wait for the next one", answered_at_once);
    CU_add_test(s, "a connection serves many requests", kept_alive);
    CU_add_test(s, "a connection is closed when asked to", closed_when_asked);
    CU_add_test(s, "HTTP/1.0 may keep its connection", http_1_0);
    CU_add_test(s, "a client that expects a 100 gets one", expect_continue);
    CU_add_test(s, "a request may come byte by byte", slow_body);
}
