/*
 * Requests that are spelled in unusual ways: is what they ask for done, or refused, and never
 * something else?
 */
#include <CUnit/CUnit.h>

#include <stdio.h>
#include <string.h>

#include "tests/site.h"
#include "tests/suites.h"

static site_t site;

static int start(void)
{
    return site_start_in_memory(&site, NULL);
}

static int end(void)
{
    return site_end(&site);
}

/* ---------------------------------------------------------------- the query */

static void parameters_without_a_value(void)
{
    /* a name alone asks for something: it is never as if it were not there */
    static const struct {
        const char *method, *target, *body, *code;
    } rows[] = {
        {"POST", "/v1/batch?atomic", "{\"op\":\"put\",\"key\":\"q\",\"value\":\"1\"}",
         "bad_request"},
        {"PUT", "/v1/kv/q?ttl", "1", "bad_ttl"},
        {"PUT", "/v1/kv/q?x=y&ttl&z", "1", "bad_ttl"},
        {"POST", "/v1/incr/q?by", NULL, "bad_number"},
        {"GET", "/v1/keys?values", NULL, "bad_request"},
        {"GET", "/v1/keys?limit", NULL, "bad_number"},
        {"GET", "/v1/changes?since", NULL, "bad_version"},
        {"GET", "/v1/changes?wait", NULL, "bad_request"},
        {"GET", "/v1/sync?version", NULL, "bad_version"},
        {"GET", "/get?key", NULL, "key_empty"},
    };
    http_conn_t conn;
    site_open(&site, &conn);
    for (size_t i = 0; i != sizeof(rows) / sizeof(rows[0]); ++i)
        CU_ASSERT(exchange_is_problem(&conn, rows[i].method, rows[i].target, NULL, rows[i].body,
                                      400, rows[i].code));
    CU_ASSERT_EQUAL(exchange_status(&conn, "GET", "/v1/kv/q", NULL, NULL, 0), 404);
    CU_ASSERT_EQUAL(exchange_status(&conn, "GET", "/set?key=q&value", NULL, NULL, 0), 201);
    CU_ASSERT(exchange_gives(&conn, "/v1/kv/q", ""));
    http_close(&conn);
}

/* ---------------------------------------------------------------- headers */

static void space_around_a_header(void)
{
    /* RFC 9110, 5.5: it is no part of the value */
    http_conn_t conn;
    http_response_t res;
    site_open(&site, &conn);
    uint64_t version =
        exchange_version(&conn, "PUT", "/v1/kv/s",
                         "Cairn-TTL: \t1h \t\r\nCairn-Durability:async \r\n"
                         "Content-Type:  text/x  \r\nCairn-Meta-A:b\t \r\nCairn-Meta-B: \r\n",
                         "1", 201);
    char headers[96];
    snprintf(headers, sizeof(headers), "Range: bytes=0-0 \t\r\nIf-Range: \"%d\" \r\n",
             (int)version);
    exchange(&conn, "GET", "/v1/kv/s", headers, NULL, 0, &res);
    CU_ASSERT_EQUAL(res.status, 206);
    CU_ASSERT(header_is(&res, "content-type", "text/x") && header_is(&res, "cairn-meta-a", "b"));
    CU_ASSERT(header_is(&res, "cairn-meta-b", ""));
    CU_ASSERT_PTR_NOT_NULL(http_header(&res, "expires"));
    http_response_dispose(&res);
    CU_ASSERT_EQUAL(exchange_status(&conn, "GET", "/v1/kv/s", "If-None-Match:\t* \t \r\n", NULL, 0),
                    304);
    CU_ASSERT_EQUAL(exchange_status(&conn, "GET", "/set?key=s&value=1",
                                    "Sec-Fetch-Site: cross-site \r\n", NULL, 0),
                    403);
    http_close(&conn);
}

static void a_header_twice(void)
{
    /* which of them would count? */
    http_conn_t conn;
    site_open(&site, &conn);
    CU_ASSERT(exchange_is_problem(&conn, "PUT", "/v1/kv/t",
                                  "Cairn-Durability: async\r\nCairn-Durability: sync\r\n", "1", 400,
                                  "bad_request"));
    CU_ASSERT(exchange_is_problem(&conn, "PUT", "/v1/kv/t",
                                  "Cairn-TTL: 1s\r\nX: y\r\nCairn-TTL: 1h\r\n", "1", 400,
                                  "bad_ttl"));
    CU_ASSERT_EQUAL(exchange_status(&conn, "GET", "/v1/kv/t", NULL, NULL, 0), 404);
    http_close(&conn);
}

static void a_part_of_a_value(void)
{
    /* RFC 9110, 14.5: `curl -C 2 -T file` sends what is behind the second byte */
    static const char part[] = "Content-Range: bytes 2-3/4\r\n";
    http_conn_t conn;
    site_open(&site, &conn);
    CU_ASSERT(exchange_is_problem(&conn, "PUT", "/v1/kv/p", part, "34", 400, "bad_request"));
    CU_ASSERT_EQUAL(exchange_status(&conn, "GET", "/v1/kv/p", NULL, NULL, 0), 404);
    exchange_version(&conn, "PUT", "/v1/kv/p", NULL, "1234", 201);
    CU_ASSERT(exchange_is_problem(&conn, "PUT", "/v1/kv/p", part, "34", 400, "bad_request"));
    CU_ASSERT(exchange_gives(&conn, "/v1/kv/p", "1234"));
    http_close(&conn);
}

/* ---------------------------------------------------------------- targets */

static void whole_urls_as_targets(void)
{
    static const struct {
        const char *target;
        int status;
    } rows[] = {
        {"http://a/livez", 204}, {"HTTP://A:80/livez", 204}, {"hTTps://[::1]/livez?x", 204},
        {"http://a", 200},       {"HTTP://a?x=/livez", 200}, {"http://a/v1/kv/http://b/c", 404},
        {"http:/a/livez", 400},  {"ftp://a/livez", 400},     {"httpx://a/livez", 400},
    };
    http_conn_t conn;
    site_open(&site, &conn);
    for (size_t i = 0; i != sizeof(rows) / sizeof(rows[0]); ++i)
        CU_ASSERT_EQUAL(exchange_status(&conn, "GET", rows[i].target, NULL, NULL, 0),
                        rows[i].status);
    /* the host is the one in the target, whatever Host says: that is what Origin is held to */
    CU_ASSERT_EQUAL(
        exchange_status(&conn, "PUT", "http://a:1/v1/kv/u", "Origin: http://a:1\r\n", "1", 1), 201);
    CU_ASSERT(exchange_is_problem(&conn, "PUT", "http://a:1/v1/kv/u",
                                  "Origin: http://127.0.0.1\r\n", "1", 403, "cross_site"));
    http_close(&conn);
}

void suite_http_spelling(void)
{
    CU_pSuite s =
        CU_add_suite("http_spelling: requests that are spelled in unusual ways", start, end);
    CU_add_test(s, "a parameter without a value is not ignored", parameters_without_a_value);
    CU_add_test(s, "space around a header is no part of it", space_around_a_header);
    CU_add_test(s, "what may be sent once is refused twice", a_header_twice);
    CU_add_test(s, "a part of a value is not taken for the whole", a_part_of_a_value);
    CU_add_test(s, "a whole URL is a target", whole_urls_as_targets);
}
