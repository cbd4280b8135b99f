/*
 * Is a batch that is wrong refused whole, with its line and its limit?
 *
 * Over real sockets, against the real program. Every test uses keys of its own.
 */
#include <CUnit/CUnit.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/batch_call.h"
#include "tests/suites.h"

static site_t site;

static int start(void)
{
    return site_start(&site, TEMP_DIR_IN_MEMORY, NULL);
}

static int end(void)
{
    return site_end(&site);
}

/* ---------------------------------------------------------------- refusals */

static void wrong_lines(void)
{
    static const struct {
        const char *line;
        const char *code;
    } rows[] = {
        {"{", "bad_json"},
        {"[]", "bad_json"},
        {"17", "bad_json"},
        {"{\"op\":\"get\",\"key\":\"w\"} {}", "bad_json"},
        {"{\"op\":\"get\",\"key\":\"w\",\"key\":\"x\"}", "bad_json"},
        {"{\"op\":\"get\",\"key\":\"\xff\"}", "bad_json"},
        {"{\"op\":\"get\",\"key\":\"\\ud800\"}", "bad_json"},
        {"{\"op\":\"incr\",\"key\":\"w\",\"by\":9223372036854775808}", "bad_json"},
        {"{\"op\":\"incr\",\"key\":\"w\",\"by\":1e999}", "bad_json"},
        {"{}", "bad_operation"},
        {"{\"op\":\"nop\",\"key\":\"w\"}", "bad_operation"},
        {"{\"op\":\"get\\u0000\",\"key\":\"w\"}", "bad_operation"},
        {"{\"op\":1,\"key\":\"w\"}", "bad_operation"},
        {"{\"op\":\"get\",\"key\":1}", "bad_operation"},
        {"{\"op\":\"get\",\"key\":null}", "bad_operation"},
        {"{\"op\":\"get\",\"key\":\"w\",\"value\":\"v\"}", "bad_operation"},
        {"{\"op\":\"get\",\"key\":\"w\",\"if_none_match\":\"*\"}", "bad_operation"},
        {"{\"op\":\"delete\",\"key\":\"w\",\"ttl\":\"1s\"}", "bad_operation"},
        {"{\"op\":\"put\",\"key\":\"w\",\"value\":\"v\",\"by\":1}", "bad_operation"},
        {"{\"op\":\"put\",\"key\":\"w\",\"value\":\"v\",\"other\\u00e9\":1}", "bad_operation"},
        {"{\"op\":\"put\",\"key\":\"w\",\"value\":\"v\",\"value_b64\":\"\"}", "bad_operation"},
        {"{\"op\":\"put\",\"key\":\"w\",\"key_b64\":\"YQ==\",\"value\":\"v\"}", "bad_operation"},
        {"{\"op\":\"put\",\"key\":\"w\",\"value\":\"v\",\"content_type\":\"a\\r\\nB: c\"}",
         "bad_operation"},
        {"{\"op\":\"put\",\"value\":\"v\"}", "key_missing"},
        {"{\"op\":\"get\",\"key\":\"\"}", "key_empty"},
        {"{\"op\":\"get\",\"key_b64\":\"\"}", "key_empty"},
        {"{\"op\":\"put\",\"key\":\"w\"}", "value_missing"},
        {"{\"op\":\"append\",\"key\":\"w\"}", "value_missing"},
        {"{\"op\":\"get\",\"key_b64\":\"YQ\"}", "bad_base64"},
        {"{\"op\":\"get\",\"key_b64\":\"YR==\"}", "bad_base64"},
        {"{\"op\":\"get\",\"key_b64\":\"Y===\"}", "bad_base64"},
        {"{\"op\":\"get\",\"key_b64\":\"====\"}", "bad_base64"},
        {"{\"op\":\"get\",\"key_b64\":\"Y Q=\"}", "bad_base64"},
        {"{\"op\":\"put\",\"key\":\"w\",\"value_b64\":\"YQ==YQ==\"}", "bad_base64"},
        {"{\"op\":\"put\",\"key\":\"w\",\"value\":\"v\",\"ttl\":\"90\"}", "bad_ttl"},
        {"{\"op\":\"put\",\"key\":\"w\",\"value\":\"v\",\"ttl\":\"0s\"}", "bad_ttl"},
        {"{\"op\":\"put\",\"key\":\"w\",\"value\":\"v\",\"ttl\":\"1s\\u0000\"}", "bad_ttl"},
        {"{\"op\":\"put\",\"key\":\"w\",\"value\":\"v\",\"if_match\":\"x\"}", "bad_condition"},
        {"{\"op\":\"put\",\"key\":\"w\",\"value\":\"v\",\"if_match\":\"\"}", "bad_condition"},
        {"{\"op\":\"put\",\"key\":\"w\",\"value\":\"v\",\"if_match\":\"1 2\"}", "bad_condition"},
        {"{\"op\":\"incr\",\"key\":\"w\",\"by\":\"1\"}", "bad_number"},
        {"{\"op\":\"incr\",\"key\":\"w\",\"by\":1.0}", "bad_number"},
    };
    http_conn_t conn;
    site_open(&site, &conn);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); ++i)
        for (int is_atomic = 0; is_atomic < 2; ++is_atomic) {
            char body[512];
            snprintf(body, sizeof(body), "{\"op\":\"put\",\"key\":\"w\",\"value\":\"v\"}\n\n%s\n{",
                     rows[i].line);
            CU_ASSERT(
                batch_refuses(&conn, is_atomic ? BATCH_ATOMIC : BATCH, body, 400, rows[i].code, 3));
        }
    static const char with_nul[] =
        "{\"op\":\"get\",\"key\":\"w\"}\n{\"op\":\"get\",\0\"key\":\"w\"}";
    CU_ASSERT(
        batch_refuses_bytes(&conn, BATCH, with_nul, sizeof(with_nul) - 1, 400, "bad_json", 2));
    CU_ASSERT(batch_has_none(&conn, "/v1/kv/w"));
    http_close(&conn);
}

static void hostile_json(void)
{
    enum { DEEP = 200000 };
    http_conn_t conn;
    site_open(&site, &conn);
    char *deep = malloc(DEEP + 1);
    memset(deep, '[', DEEP);
    deep[DEEP] = '\0';
    CU_ASSERT(batch_refuses(&conn, BATCH, deep, 400, "bad_json", 1));
    for (size_t i = 0; i + 5 < DEEP; i += 5)
        memcpy(deep + i, "{\"a\":", 5);
    CU_ASSERT(batch_refuses(&conn, BATCH, deep, 400, "bad_json", 1));
    memset(deep, '\n', DEEP);
    deep[DEEP - 1] = '9';
    CU_ASSERT(batch_refuses(&conn, BATCH, deep, 400, "bad_json", DEEP));
    memset(deep, '9', DEEP);
    CU_ASSERT(batch_refuses(&conn, BATCH, deep, 400, "bad_json", 1));
    free(deep);
    http_close(&conn);
}

static void wrong_requests(void)
{
    static const char body[] = "{\"op\":\"put\",\"key\":\"r\",\"value\":\"v\"}\n";
    http_conn_t conn;
    http_response_t res;
    site_open(&site, &conn);
    exchange(&conn, "GET", BATCH, NULL, NULL, 0, &res);
    CU_ASSERT(is_problem(&res, 405, "method_not_allowed"));
    CU_ASSERT(header_is(&res, "allow", "POST"));
    http_response_dispose(&res);
    exchange(&conn, "POST", BATCH, NULL, NULL, 0, &res);
    CU_ASSERT(is_problem(&res, 411, "length_required"));
    http_response_dispose(&res);
    static const char *const headers[] = {"If-Match: \"1\"\r\n", "Cairn-TTL: 90s\r\n",
                                          "Cairn-Durability: never\r\n"};
    for (size_t i = 0; i < sizeof(headers) / sizeof(headers[0]); ++i) {
        exchange(&conn, "POST", BATCH, headers[i], body, sizeof(body) - 1, &res);
        CU_ASSERT(is_problem(&res, 400, "bad_request"));
        http_response_dispose(&res);
    }
    CU_ASSERT(batch_refuses(&conn, "/v1/batch?atomic=yes", body, 400, "bad_request", 0));
    CU_ASSERT(batch_refuses(&conn, "/v1/batch?atomic=%", body, 400, "bad_escape", 0));
    CU_ASSERT(batch_has_none(&conn, "/v1/kv/r"));
    exchange(&conn, "POST", BATCH, "Cairn-Durability: async\r\n", body, sizeof(body) - 1, &res);
    CU_ASSERT_EQUAL(res.status, 200);
    http_response_dispose(&res);
    http_close(&conn);
}

static void limits(void)
{
    enum { ROOM = 1 << 20 };
    http_conn_t conn;
    http_response_t res;
    char *body = malloc(ROOM);
    site_open(&site, &conn);
    int n = sprintf(body, "{\"op\":\"get\",\"key\":\"a\"}\n{\"op\":\"get\",\"key\":\"");
    memset(body + n, 'k', 2049);
    strcpy(body + n + 2049, "\"}\n");
    CU_ASSERT(batch_refuses(&conn, BATCH, body, 414, "key_too_long", 2));
    strcpy(body + n + 2048, "\"}\n");
    char *answer = batch_ask(&conn, BATCH, body, strlen(body));
    CU_ASSERT_EQUAL(batch_line_count(answer), 2);
    free(answer);
    size_t at = 0;
    for (int i = 0; i < BATCH_OPS_MAX; ++i)
        at += (size_t)sprintf(body + at, "{\"op\":\"get\",\"key\":\"none\"}\n\n");
    answer = batch_ask(&conn, BATCH, body, at);
    CU_ASSERT_EQUAL(batch_line_count(answer), BATCH_OPS_MAX);
    free(answer);
    at += (size_t)sprintf(body + at, "{\"op\":\"get\",\"key\":\"none\"}");
    exchange(&conn, "POST", BATCH, NULL, body, at, &res);
    CU_ASSERT(is_problem(&res, 413, "batch_too_large"));
    CU_ASSERT(detail_has(&res, "limits.batch_ops"));
    http_response_dispose(&res);
    free(body);
    http_close(&conn);

    static const char *const args[] = {"--limits.batch_ops",
                                       "2",
                                       "--limits.value_bytes",
                                       "10",
                                       "--storage.segment_bytes",
                                       "64KiB",
                                       NULL};
    site_t small;
    CU_ASSERT_EQUAL_FATAL(site_start_in_memory(&small, args), 0);
    site_open(&small, &conn);
    CU_ASSERT(batch_refuses(&conn, BATCH_ATOMIC,
                            "{\"op\":\"get\",\"key\":\"a\"}\n{\"op\":\"get\",\"key\":\"a\"}\n"
                            "{\"op\":\"get\",\"key\":\"a\"}\n",
                            413, "batch_too_large", 3));
    CU_ASSERT(batch_refuses(&conn, BATCH,
                            "{\"op\":\"put\",\"key\":\"a\",\"value\":\"12345678901\"}", 413,
                            "value_too_large", 1));
    CU_ASSERT(batch_answers(&conn, BATCH,
                            "{\"op\":\"put\",\"key\":\"a\",\"value\":\"1234567890\"}\n"
                            "{\"op\":\"append\",\"key\":\"a\",\"value\":\"1\"}\n",
                            "{\"status\":201,\"version\":1}\n"
                            "{\"status\":413,\"code\":\"value_too_large\"}\n"));
    CU_ASSERT(batch_refuses(&conn, BATCH_ATOMIC,
                            "{\"op\":\"get\",\"key\":\"a\"}\n"
                            "{\"op\":\"append\",\"key\":\"a\",\"value\":\"1\"}\n",
                            413, "value_too_large", 2));
    http_close(&conn);
    site_end(&small);
}

void suite_http_batch_refusals(void)
{
    CU_pSuite s = CU_add_suite("http_batch_refusals: what is no batch", start, end);
    CU_add_test(s, "a wrong line is named, and nothing happens", wrong_lines);
    CU_add_test(s, "hostile JSON is refused", hostile_json);
    CU_add_test(s, "a wrong request is refused", wrong_requests);
    CU_add_test(s, "limits are named", limits);
}
