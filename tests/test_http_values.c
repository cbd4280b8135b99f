/*
 * Does /v1/kv/ keep what docs/openapi.yaml promises of one value?
 *
 * Over real sockets, against the real program. Every test uses keys of its own.
 */
#include <CUnit/CUnit.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "tests/site.h"
#include "tests/suites.h"

#define KIB ((size_t)1 << 10)
#define MIB ((size_t)1 << 20)
/* the default of limits.value_bytes */
#define VALUE_BYTES_MAX (16 * MIB)

static site_t site;

static int start(void)
{
    return site_start(&site, TEMP_DIR_IN_MEMORY, NULL);
}

static int end(void)
{
    return site_end(&site);
}

/* ---------------------------------------------------------------- the four methods */

static void put_get_head_delete(void)
{
    http_conn_t conn;
    http_response_t res;
    site_open(&site, &conn);
    CU_ASSERT(exchange_is_problem(&conn, "GET", "/v1/kv/life", NULL, NULL, 404, "not_found"));
    CU_ASSERT(exchange_is_problem(&conn, "HEAD", "/v1/kv/life", NULL, NULL, 404, "not_found"));
    CU_ASSERT(exchange_is_problem(&conn, "DELETE", "/v1/kv/life", NULL, NULL, 404, "not_found"));

    uint64_t first = exchange_version(&conn, "PUT", "/v1/kv/life", NULL, "one", 201);
    uint64_t second = exchange_version(&conn, "PUT", "/v1/kv/life", NULL, "three", 204);
    CU_ASSERT(first != 0 && second > first);

    exchange(&conn, "GET", "/v1/kv/life", NULL, NULL, 0, &res);
    CU_ASSERT_EQUAL(res.status, 200);
    CU_ASSERT_EQUAL(version_of(&res), second);
    CU_ASSERT(body_is(&res, "three", 5));
    CU_ASSERT_EQUAL(res.framing, HTTP_BODY_BY_LENGTH);
    http_response_dispose(&res);

    exchange(&conn, "HEAD", "/v1/kv/life", NULL, NULL, 0, &res);
    CU_ASSERT_EQUAL(res.status, 200);
    CU_ASSERT_EQUAL(version_of(&res), second);
    CU_ASSERT(header_is(&res, "content-length", "5"));
    http_response_dispose(&res);

    exchange(&conn, "DELETE", "/v1/kv/life", NULL, NULL, 0, &res);
    CU_ASSERT_EQUAL(res.status, 204);
    CU_ASSERT(version_of(&res) > second);
    http_response_dispose(&res);
    CU_ASSERT(exchange_is_problem(&conn, "GET", "/v1/kv/life", NULL, NULL, 404, "not_found"));
    CU_ASSERT(exchange_is_problem(&conn, "DELETE", "/v1/kv/life", NULL, NULL, 404, "not_found"));
    /* a deleted key counts as absent */
    CU_ASSERT(exchange_version(&conn, "PUT", "/v1/kv/life", NULL, "again", 201) > second);
    http_close(&conn);
}

static void answers_without_bodies(void)
{
    http_conn_t conn;
    http_response_t res;
    site_open(&site, &conn);
    exchange(&conn, "PUT", "/v1/kv/bodiless", NULL, "x", 1, &res);
    CU_ASSERT_EQUAL(res.status, 201);
    CU_ASSERT(header_is(&res, "content-length", "0"));
    http_response_dispose(&res);
    static const char *const methods[] = {"PUT", "DELETE"};
    for (size_t i = 0; i != 2; ++i) {
        exchange(&conn, methods[i], "/v1/kv/bodiless", NULL, "x", 1, &res);
        CU_ASSERT_EQUAL(res.status, 204);
        CU_ASSERT_PTR_NULL(http_header(&res, "content-length"));
        CU_ASSERT_PTR_NULL(http_header(&res, "transfer-encoding"));
        http_response_dispose(&res);
    }
    http_close(&conn);
}

static void head_is_get_without_body(void)
{
    static const char *const names[] = {"content-type",  "content-length",   "etag",
                                        "cairn-meta-a",  "content-encoding", "cache-control",
                                        "last-modified", "accept-ranges"};
    static const size_t sizes[] = {0, 1, 16 * KIB, 16 * KIB + 1, 300 * KIB};
    http_conn_t conn;
    http_response_t get, head;
    site_open(&site, &conn);
    for (size_t i = 0; i != sizeof(sizes) / sizeof(sizes[0]); ++i) {
        char *bytes = noise(sizes[i], i);
        exchange_status(&conn, "PUT", "/v1/kv/head",
                        "Content-Type: a/b\r\nCairn-Meta-A: c\r\nContent-Encoding: gzip\r\n"
                        "Cache-Control: no-store\r\n",
                        bytes, sizes[i]);
        exchange(&conn, "GET", "/v1/kv/head", NULL, NULL, 0, &get);
        exchange(&conn, "HEAD", "/v1/kv/head", NULL, NULL, 0, &head);
        CU_ASSERT(body_is(&get, bytes, sizes[i]));
        for (size_t j = 0; j != sizeof(names) / sizeof(names[0]); ++j) {
            CU_ASSERT_PTR_NOT_NULL_FATAL(http_header(&get, names[j]));
            CU_ASSERT(header_is(&head, names[j], http_header(&get, names[j])));
        }
        http_response_dispose(&get);
        http_response_dispose(&head);
        free(bytes);
    }
    http_close(&conn);
}

static void other_methods(void)
{
    static const char *const methods[] = {"POST", "PATCH", "OPTIONS", "TRACE",   "get",
                                          "Put",  "GETT",  "G",       "DELETES", "PROPFIND"};
    http_conn_t conn;
    http_response_t res;
    site_open(&site, &conn);
    for (size_t i = 0; i != sizeof(methods) / sizeof(methods[0]); ++i) {
        exchange(&conn, methods[i], "/v1/kv/a", NULL, "x", 1, &res);
        CU_ASSERT(is_problem(&res, 405, "method_not_allowed"));
        CU_ASSERT(header_is(&res, "allow", "GET, HEAD, PUT, DELETE"));
        http_response_dispose(&res);
    }
    CU_ASSERT(exchange_is_problem(&conn, "GET", "/v1/kv/a", NULL, NULL, 404, "not_found"));
    http_close(&conn);
}

static void put_without_a_body(void)
{
    http_conn_t conn;
    site_open(&site, &conn);
    CU_ASSERT(exchange_is_problem(&conn, "PUT", "/v1/kv/none", NULL, NULL, 411, "length_required"));
    CU_ASSERT(exchange_is_problem(&conn, "GET", "/v1/kv/none", NULL, NULL, 404, "not_found"));
    CU_ASSERT_EQUAL(exchange_status(&conn, "PUT", "/v1/kv/none", NULL, "", 0), 201);
    CU_ASSERT(exchange_gives_bytes(&conn, "/v1/kv/none", "", 0));
    http_close(&conn);
}

static void chunked_put(void)
{
    static const char request[] =
        "PUT /v1/kv/chunks HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n"
        "3\r\nabc\r\nA;x=y\r\n0123456789\r\n1\r\n\0\r\n"
        "0\r\nTrailer: t\r\n\r\n";
    static const char empty[] =
        "PUT /v1/kv/chunks HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n"
        "0\r\n\r\n";
    http_conn_t conn;
    http_response_t res;
    site_open(&site, &conn);
    exchange_raw(&conn, request, sizeof(request) - 1, "PUT", &res);
    CU_ASSERT_EQUAL(res.status, 201);
    http_response_dispose(&res);
    CU_ASSERT(exchange_gives_bytes(&conn, "/v1/kv/chunks", "abc0123456789\0", 14));
    exchange_raw(&conn, empty, sizeof(empty) - 1, "PUT", &res);
    CU_ASSERT_EQUAL(res.status, 204);
    http_response_dispose(&res);
    CU_ASSERT(exchange_gives_bytes(&conn, "/v1/kv/chunks", "", 0));
    http_close(&conn);
}

static void versions(void)
{
    http_conn_t conns[2];
    uint64_t last = 0;
    site_open(&site, &conns[0]);
    site_open(&site, &conns[1]);
    for (int i = 0; i != 200; ++i) {
        char target[32];
        snprintf(target, sizeof(target), "/v1/kv/v%d", i % 7);
        uint64_t version =
            exchange_version(&conns[i % 2], "PUT", target, NULL, "x", i < 7 ? 201 : 204);
        CU_ASSERT(version > last);
        last = version;
    }
    http_close(&conns[0]);
    http_close(&conns[1]);
}

/* ---------------------------------------------------------------- values */

static void value_sizes(void)
{
    /* around what is copied (16 KiB), what goes out in one piece (256 KiB), what a block holds */
    static const size_t sizes[] = {0,
                                   1,
                                   7,
                                   8,
                                   100,
                                   4096,
                                   16 * KIB - 1,
                                   16 * KIB,
                                   16 * KIB + 1,
                                   64 * KIB - 1,
                                   64 * KIB,
                                   64 * KIB + 1,
                                   256 * KIB - 1,
                                   256 * KIB,
                                   256 * KIB + 1,
                                   512 * KIB,
                                   MIB,
                                   VALUE_BYTES_MAX};
    size_t count = sizeof(sizes) / sizeof(sizes[0]);
    http_conn_t conn;
    char target[32];
    site_open(&site, &conn);
    char *bytes = noise(VALUE_BYTES_MAX, 1);
    for (size_t i = 0; i != count; ++i) {
        snprintf(target, sizeof(target), "/v1/kv/size%zu", sizes[i]);
        /* each begins elsewhere in the noise, so no value is the beginning of another */
        const char *value = bytes + (VALUE_BYTES_MAX - sizes[i]) / 2;
        CU_ASSERT_EQUAL(exchange_status(&conn, "PUT", target, NULL, value, sizes[i]), 201);
        CU_ASSERT(exchange_gives_bytes(&conn, target, value, sizes[i]));
    }
    for (size_t i = 0; i != count; ++i) {
        snprintf(target, sizeof(target), "/v1/kv/size%zu", sizes[i]);
        CU_ASSERT(exchange_gives_bytes(&conn, target, bytes + (VALUE_BYTES_MAX - sizes[i]) / 2,
                                       sizes[i]));
    }
    free(bytes);
    http_close(&conn);
}

/* what a body over the limit gets, however it is framed; the client says it all before it looks */
static void is_too_large(size_t bytes, bool is_chunked)
{
    http_conn_t conn;
    http_response_t res;
    char head[128];
    site_open(&site, &conn);
    char *body = noise(bytes, 2);
    int head_bytes =
        is_chunked ? snprintf(head, sizeof(head),
                              "PUT /v1/kv/large HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: "
                              "chunked\r\n\r\n%zx\r\n",
                              bytes)
                   : snprintf(head, sizeof(head),
                              "PUT /v1/kv/large HTTP/1.1\r\nHost: t\r\nContent-Length: %zu\r\n\r\n",
                              bytes);
    CU_ASSERT_TRUE_FATAL(http_send(&conn, head, (size_t)head_bytes));
    http_send(&conn, body, bytes);
    if (is_chunked)
        http_send(&conn, "\r\n0\r\n\r\n", 7);
    free(body);
    CU_ASSERT_TRUE_FATAL(http_read_response(&conn, "PUT", &res));
    CU_ASSERT(is_problem(&res, 413, "value_too_large"));
    CU_ASSERT(detail_has(&res, "limits.value_bytes") && detail_has(&res, "16777216"));
    http_response_dispose(&res);
    http_close(&conn);
}

static void values_over_the_limit(void)
{
    static const size_t sizes[] = {VALUE_BYTES_MAX + 1, VALUE_BYTES_MAX + 64 * KIB,
                                   VALUE_BYTES_MAX + 64 * KIB + 1, 3 * VALUE_BYTES_MAX};
    http_conn_t conn;
    for (size_t i = 0; i != sizeof(sizes) / sizeof(sizes[0]); ++i) {
        is_too_large(sizes[i], false);
        is_too_large(sizes[i], true);
    }
    site_open(&site, &conn);
    CU_ASSERT(exchange_is_problem(&conn, "GET", "/v1/kv/large", NULL, NULL, 404, "not_found"));
    http_close(&conn);
}

static void announced_but_not_sent(void)
{
    static const char *const lengths[] = {"100000000", "1000000000000", "9223372036854775807"};
    for (size_t i = 0; i != 3; ++i) {
        http_conn_t conn;
        http_response_t res;
        char head[160];
        site_open(&site, &conn);
        /* no 100 either: the client need not send what will be refused */
        int bytes = snprintf(head, sizeof(head),
                             "PUT /v1/kv/large HTTP/1.1\r\nHost: t\r\nContent-Length: %s\r\n"
                             "Expect: 100-continue\r\n\r\n",
                             lengths[i]);
        exchange_raw(&conn, head, (size_t)bytes, "PUT", &res);
        CU_ASSERT(is_problem(&res, 413, "value_too_large"));
        CU_ASSERT_EQUAL(res.interim_count, 0);
        http_response_dispose(&res);
        CU_ASSERT(http_server_closes_within(&conn, 1000));
        http_close(&conn);
    }
}

static void limit_of_the_config(void)
{
    static const char *const extra[] = {"--limits.value_bytes", "100", NULL};
    site_t small;
    http_conn_t conn;
    http_response_t res;
    char bytes[101] = "";
    CU_ASSERT_EQUAL_FATAL(site_start_in_memory(&small, extra), 0);
    site_open(&small, &conn);
    CU_ASSERT_EQUAL(exchange_status(&conn, "PUT", "/v1/kv/a", NULL, bytes, 100), 201);
    exchange(&conn, "PUT", "/v1/kv/a", NULL, bytes, 101, &res);
    CU_ASSERT(is_problem(&res, 413, "value_too_large") && detail_has(&res, "101"));
    http_response_dispose(&res);
    /* the body was taken whole, so the connection goes on */
    CU_ASSERT(exchange_gives_bytes(&conn, "/v1/kv/a", bytes, 100));
    http_close(&conn);
    CU_ASSERT_EQUAL(site_end(&small), 0);
}

/* ---------------------------------------------------------------- restarts */

static void restart_keeps_everything(void)
{
    site_t own;
    http_conn_t conn;
    http_response_t res;
    char target[32];
    char *large = noise(MIB, 5);
    CU_ASSERT_EQUAL_FATAL(site_start(&own, TEMP_DIR_ON_DISK, NULL), 0);
    uint64_t last = 0;
    for (int run = 0; run != 3; ++run) {
        site_open(&own, &conn);
        for (int i = 0; i != 20 * run; ++i) {
            snprintf(target, sizeof(target), "/v1/kv/%d", i);
            if (i % 5 == 4)
                CU_ASSERT(exchange_is_problem(&conn, "GET", target, NULL, NULL, 404, "not_found"))
            else
                CU_ASSERT(exchange_gives(&conn, target, target));
        }
        if (run != 0) {
            exchange(&conn, "GET", "/v1/kv/large", NULL, NULL, 0, &res);
            CU_ASSERT(body_is(&res, large, MIB));
            CU_ASSERT(header_is(&res, "content-type", "image/x-noise"));
            CU_ASSERT(header_is(&res, "cairn-meta-run", run == 1 ? "0" : "1"));
            CU_ASSERT(version_of(&res) != 0 && version_of(&res) <= last);
            http_response_dispose(&res);
        }
        for (int i = 20 * run; i != 20 * (run + 1); ++i) {
            snprintf(target, sizeof(target), "/v1/kv/%d", i);
            uint64_t version = exchange_version(
                &conn, "PUT", target, i % 2 ? "Cairn-Durability: async\r\n" : NULL, target, 201);
            CU_ASSERT(version > last);
            last = version;
            if (i % 5 == 4) {
                exchange(&conn, "DELETE", target, NULL, NULL, 0, &res);
                CU_ASSERT(version_of(&res) > last);
                last = version_of(&res);
                http_response_dispose(&res);
            }
        }
        char headers[80];
        snprintf(headers, sizeof(headers), "Content-Type: image/x-noise\r\nCairn-Meta-Run: %d\r\n",
                 run);
        exchange(&conn, "PUT", "/v1/kv/large", headers, large, MIB, &res);
        CU_ASSERT(version_of(&res) > last);
        last = version_of(&res);
        http_response_dispose(&res);
        http_close(&conn);
        /* in order once, and once as a crash: all writes were answered, the async ones a while ago
         */
        if (run == 1)
            sleep_ms(200);
        CU_ASSERT(run == 1 ? server_kill(&own.server) != 0 : server_stop(&own.server) == 0);
        site_start_again(&own, NULL);
    }
    free(large);
    CU_ASSERT_EQUAL(site_end(&own), 0);
}

static void in_memory(void)
{
    site_t own;
    http_conn_t conn;
    http_response_t res;
    char *large = noise(MIB, 6);
    CU_ASSERT_EQUAL_FATAL(site_start_in_memory(&own, NULL), 0);
    site_open(&own, &conn);
    uint64_t first =
        exchange_version(&conn, "PUT", "/v1/kv/a", "Content-Type: text/plain\r\n", "1", 201);
    CU_ASSERT(exchange_version(&conn, "PUT", "/v1/kv/a", "Cairn-Durability: sync\r\n", "2", 204) >
              first);
    CU_ASSERT(exchange_gives(&conn, "/v1/kv/a", "2"));
    CU_ASSERT_EQUAL(exchange_status(&conn, "PUT", "/v1/kv/large", NULL, large, MIB), 201);
    CU_ASSERT(exchange_gives_bytes(&conn, "/v1/kv/large", large, MIB));
    CU_ASSERT_EQUAL(exchange_status(&conn, "DELETE", "/v1/kv/a", NULL, NULL, 0), 204);
    exchange(&conn, "GET", "/v1/stats", NULL, NULL, 0, &res);
    CU_ASSERT_PTR_NOT_NULL(strstr(res.body, "\"in_memory\": true"));
    http_response_dispose(&res);
    http_close(&conn);
    CU_ASSERT_EQUAL(server_stop(&own.server), 0);
    site_start_again(&own, NULL);
    site_open(&own, &conn);
    CU_ASSERT(exchange_is_problem(&conn, "GET", "/v1/kv/large", NULL, NULL, 404, "not_found"));
    http_close(&conn);
    free(large);
    CU_ASSERT_EQUAL(site_end(&own), 0);
}

void suite_http_values(void)
{
    CU_pSuite s = CU_add_suite("http_values: one value under /v1/kv/", start, end);
    CU_add_test(s, "a value is put, read, replaced and deleted", put_get_head_delete);
    CU_add_test(s, "answers to writes have no body", answers_without_bodies);
    CU_add_test(s, "HEAD is GET without the body", head_is_get_without_body);
    CU_add_test(s, "other methods are told which there are", other_methods);
    CU_add_test(s, "a PUT without a body header is refused", put_without_a_body);
    CU_add_test(s, "a PUT in chunks is put together", chunked_put);
    CU_add_test(s, "versions rise over all keys", versions);
    CU_add_test(s, "values of all sizes come back as they were", value_sizes);
    CU_add_test(s, "a value over the limit is told so while it is sent", values_over_the_limit);
    CU_add_test(s, "a value announced too large need not be sent", announced_but_not_sent);
    CU_add_test(s, "the limit on values is the config's", limit_of_the_config);
    CU_add_test(s, "a restart keeps everything, and versions go on", restart_keeps_everything);
    CU_add_test(s, "in memory all is the same until the restart", in_memory);
}
