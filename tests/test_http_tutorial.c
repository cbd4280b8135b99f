/*
 * Does the tutorial's API (/set, /get, /delete) take what browsers, forms and curl send it, and
 * nothing that a page of another site makes a browser send?
 */
#include <CUnit/CUnit.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/site.h"
#include "tests/suites.h"
#include "tests/worker_cost.h"

#define FORM "Content-Type: application/x-www-form-urlencoded\r\n"
#define JSON "Content-Type: application/json\r\n"

static site_t site;

static int start(void)
{
    return site_start(&site, TEMP_DIR_IN_MEMORY, NULL);
}

static int end(void)
{
    return site_end(&site);
}

/* an exchange whose body, if any, is a text */
static void say(http_conn_t *conn, const char *method, const char *target, const char *headers,
                const char *body, http_response_t *res)
{
    exchange(conn, method, target, headers, body, body != NULL ? strlen(body) : 0, res);
}

static int status_of(http_conn_t *conn, const char *method, const char *target, const char *headers,
                     const char *body)
{
    return exchange_status(conn, method, target, headers, body, body != NULL ? strlen(body) : 0);
}

static bool answers(http_conn_t *conn, const char *method, const char *target, const char *headers,
                    const char *body, const char *expected)
{
    http_response_t res;
    say(conn, method, target, headers, body, &res);
    bool is_right = res.status == 200 && body_is(&res, expected, strlen(expected));
    http_response_dispose(&res);
    return is_right;
}

static bool is_refused(http_conn_t *conn, const char *method, const char *target,
                       const char *headers, const char *body, int status, const char *code)
{
    http_response_t res;
    say(conn, method, target, headers, body, &res);
    bool is_right = is_problem(&res, status, code);
    http_response_dispose(&res);
    return is_right;
}

/* ---------------------------------------------------------------- what works */

static void address_bar(void)
{
    http_conn_t conn;
    http_response_t res;
    site_open(&site, &conn);
    say(&conn, "GET", "/set?key=foo&value=bar", NULL, NULL, &res);
    CU_ASSERT_EQUAL(res.status, 201);
    /* a GET that writes: no cache may answer the next one */
    CU_ASSERT(header_is(&res, "cache-control", "no-store"));
    uint64_t first = version_of(&res);
    CU_ASSERT(first != 0);
    http_response_dispose(&res);
    say(&conn, "GET", "/get?key=foo", NULL, NULL, &res);
    CU_ASSERT_EQUAL(res.status, 200);
    CU_ASSERT(body_is(&res, "bar", 3));
    CU_ASSERT_EQUAL(version_of(&res), first);
    /* a browser shows it rather than save it */
    CU_ASSERT(header_is(&res, "content-type", "text/plain; charset=utf-8"));
    http_response_dispose(&res);
    CU_ASSERT_EQUAL(status_of(&conn, "GET", "/set?value=baz&key=foo", NULL, NULL), 204);
    CU_ASSERT(answers(&conn, "GET", "/get?key=foo", NULL, NULL, "baz"));
    CU_ASSERT_EQUAL(status_of(&conn, "GET", "/delete?key=foo", NULL, NULL), 204);
    CU_ASSERT(is_refused(&conn, "GET", "/get?key=foo", NULL, NULL, 404, "not_found"));
    CU_ASSERT(is_refused(&conn, "GET", "/delete?key=foo", NULL, NULL, 404, "not_found"));
    http_close(&conn);
}

static void post_with_a_query(void)
{
    http_conn_t conn;
    site_open(&site, &conn);
    CU_ASSERT_EQUAL(status_of(&conn, "POST", "/set?key=p&value=1", NULL, NULL), 201);
    CU_ASSERT_EQUAL(status_of(&conn, "POST", "/set?key=p&value=2", NULL, ""), 204);
    CU_ASSERT(answers(&conn, "POST", "/get?key=p", NULL, NULL, "2"));
    CU_ASSERT_EQUAL(status_of(&conn, "POST", "/delete?key=p", NULL, NULL), 204);
    CU_ASSERT_EQUAL(status_of(&conn, "GET", "/set?key=p&value=3", NULL, NULL), 201);
    CU_ASSERT_EQUAL(status_of(&conn, "DELETE", "/delete?key=p", NULL, NULL), 204);
    CU_ASSERT(is_refused(&conn, "DELETE", "/delete?key=p", NULL, NULL, 404, "not_found"));
    http_close(&conn);
}

static void queries_are_decoded(void)
{
    http_conn_t conn;
    site_open(&site, &conn);
    CU_ASSERT_EQUAL(status_of(&conn, "GET", "/set?key=a+b%2B%26&value=x+y%2bz%3D=%00", NULL, NULL),
                    201);
    http_response_t res;
    say(&conn, "GET", "/get?key=a%20b%2b%26", NULL, NULL, &res);
    CU_ASSERT(body_is(&res, "x y+z==\0", 8));
    http_response_dispose(&res);
    say(&conn, "GET", "/v1/kv/a%20b+&", NULL, NULL, &res);
    CU_ASSERT(body_is(&res, "x y+z==\0", 8));
    http_response_dispose(&res);
    /* a value may be empty; the first of two parameters counts */
    CU_ASSERT_EQUAL(status_of(&conn, "GET", "/set?key=e&value=", NULL, NULL), 201);
    CU_ASSERT(answers(&conn, "GET", "/get?key=e", NULL, NULL, ""));
    CU_ASSERT_EQUAL(status_of(&conn, "GET", "/set?key=e&key=f&value=1&value=2", NULL, NULL), 204);
    CU_ASSERT(answers(&conn, "GET", "/get?key=e", NULL, NULL, "1"));
    http_close(&conn);
}

static void json_bodies(void)
{
    http_conn_t conn;
    http_response_t res;
    site_open(&site, &conn);
    CU_ASSERT_EQUAL(status_of(&conn, "POST", "/set", JSON,
                              "{\"key\":\"j \\u00e9+\",\"value\":\"a\\u0000b\\n\"}"),
                    201);
    say(&conn, "POST", "/get", JSON, "{\"key\":\"j \xc3\xa9+\"}", &res);
    CU_ASSERT_EQUAL(res.status, 200);
    CU_ASSERT(body_is(&res, "a\0b\n", 4));
    http_response_dispose(&res);
    /* without a type, and with the one that curl -d gives everything */
    CU_ASSERT_EQUAL(
        status_of(&conn, "POST", "/set", NULL, " \r\n\t{ \"value\" : \"2\", \"key\" : \"j2\" }\n"),
        201);
    CU_ASSERT_EQUAL(status_of(&conn, "POST", "/set", FORM, "{\"key\":\"j2\",\"value\":\"3\"}"),
                    204);
    CU_ASSERT(answers(&conn, "POST", "/get", FORM, "{\"key\":\"j2\"}", "3"));
    /* members that nobody asked for are no error */
    CU_ASSERT(answers(&conn, "POST", "/get", JSON, "{\"key\":\"j2\",\"x\":[1,{}]}", "3"));
    CU_ASSERT_EQUAL(status_of(&conn, "POST", "/delete", JSON, "{\"key\":\"j2\"}"), 204);
    CU_ASSERT(is_refused(&conn, "POST", "/get", JSON, "{\"key\":\"j2\"}", 404, "not_found"));
    http_close(&conn);
}

static void form_bodies(void)
{
    http_conn_t conn;
    site_open(&site, &conn);
    CU_ASSERT_EQUAL(status_of(&conn, "POST", "/set", FORM, "key=f+1&value=x%2B+y"), 201);
    CU_ASSERT(answers(&conn, "POST", "/get", FORM, "key=f%201", "x+ y"));
    CU_ASSERT_EQUAL(status_of(&conn, "POST", "/set",
                              "Content-Type: Application/X-WWW-Form-URLencoded; charset=UTF-8\r\n",
                              "key=f+1&value=z"),
                    204);
    CU_ASSERT(answers(&conn, "GET", "/get?key=f+1", NULL, NULL, "z"));
    CU_ASSERT_EQUAL(status_of(&conn, "POST", "/delete", FORM, "key=f+1"), 204);
    http_close(&conn);
}

static void large_form(void)
{
    enum { BYTES = 3 << 20 };
    http_conn_t conn;
    http_response_t res;
    char *form = malloc(BYTES + 64);
    CU_ASSERT_PTR_NOT_NULL_FATAL(form);
    int head = sprintf(form, "key=large&value=");
    for (size_t i = 0; i != BYTES; i += 3)
        memcpy(form + head + i, "%fe", 3);
    site_open(&site, &conn);
    exchange(&conn, "POST", "/set", FORM, form, (size_t)head + BYTES, &res);
    CU_ASSERT_EQUAL(res.status, 201);
    http_response_dispose(&res);
    memset(form, 0xfe, BYTES / 3);
    say(&conn, "GET", "/get?key=large", NULL, NULL, &res);
    CU_ASSERT(body_is(&res, form, BYTES / 3));
    CU_ASSERT(header_is(&res, "content-type", "application/octet-stream")); /* it is not UTF-8 */
    http_response_dispose(&res);
    free(form);
    http_close(&conn);
}

static void same_store(void)
{
    http_conn_t conn;
    http_response_t res;
    site_open(&site, &conn);
    CU_ASSERT_EQUAL(status_of(&conn, "GET", "/set?key=s/1&value=a", NULL, NULL), 201);
    CU_ASSERT(answers(&conn, "GET", "/v1/kv/s/1", NULL, NULL, "a"));
    CU_ASSERT_EQUAL(
        status_of(&conn, "PUT", "/v1/kv/s/1", "Content-Type: x/y\r\nCairn-Meta-A: b\r\n", "c"),
        204);
    say(&conn, "GET", "/get?key=s/1", NULL, NULL, &res);
    CU_ASSERT(body_is(&res, "c", 1));
    CU_ASSERT(header_is(&res, "content-type", "x/y"));
    CU_ASSERT(header_is(&res, "cairn-meta-a", "b"));
    http_response_dispose(&res);
    say(&conn, "HEAD", "/get?key=s/1", NULL, NULL, &res);
    CU_ASSERT(res.status == 200 && header_is(&res, "content-length", "1"));
    http_response_dispose(&res);
    CU_ASSERT_EQUAL(status_of(&conn, "DELETE", "/v1/kv/s/1", NULL, NULL), 204);
    CU_ASSERT(is_refused(&conn, "GET", "/get?key=s/1", NULL, NULL, 404, "not_found"));
    http_close(&conn);
}

/* ---------------------------------------------------------------- what is refused */

static void missing_parameters(void)
{
    static const char *const paths[] = {"/set", "/get", "/delete"};
    http_conn_t conn;
    char target[64];
    site_open(&site, &conn);
    for (size_t i = 0; i != 3; ++i) {
        CU_ASSERT(is_refused(&conn, "GET", paths[i], NULL, NULL, 400, "key_missing"));
        CU_ASSERT(is_refused(&conn, "POST", paths[i], NULL, NULL, 400, "key_missing"));
        CU_ASSERT(is_refused(&conn, "POST", paths[i], JSON, "{}", 400, "key_missing"));
        CU_ASSERT(is_refused(&conn, "POST", paths[i], FORM, "value=1", 400, "key_missing"));
        snprintf(target, sizeof(target), "%s?value=1&Key=2", paths[i]);
        CU_ASSERT(is_refused(&conn, "GET", target, NULL, NULL, 400, "key_missing"));
        snprintf(target, sizeof(target), "%s?key=&value=1", paths[i]);
        CU_ASSERT(is_refused(&conn, "GET", target, NULL, NULL, 400, "key_empty"));
    }
    CU_ASSERT(is_refused(&conn, "GET", "/set?key=m", NULL, NULL, 400, "value_missing"));
    CU_ASSERT(is_refused(&conn, "POST", "/set", FORM, "key=m", 400, "value_missing"));
    CU_ASSERT(is_refused(&conn, "POST", "/set", JSON, "{\"key\":\"m\"}", 400, "value_missing"));
    CU_ASSERT(is_refused(&conn, "GET", "/get?key=m", NULL, NULL, 404, "not_found"));
    http_close(&conn);
}

static void bad_parameters(void)
{
    http_conn_t conn;
    http_response_t res;
    char target[2100] = "/set?value=1&key=";
    site_open(&site, &conn);
    CU_ASSERT(is_refused(&conn, "GET", "/get?key=%zz", NULL, NULL, 400, "bad_escape"));
    CU_ASSERT(is_refused(&conn, "GET", "/set?key=b&value=1%", NULL, NULL, 400, "bad_escape"));
    CU_ASSERT(is_refused(&conn, "POST", "/set", FORM, "key=b&value=%4", 400, "bad_escape"));
    say(&conn, "GET", "/set?key=b&value=12%x", NULL, NULL, &res);
    CU_ASSERT(detail_has(&res, "byte 2 of value"));
    http_response_dispose(&res);
    memset(target + strlen(target), 'k', 2049);
    CU_ASSERT(is_refused(&conn, "GET", target, NULL, NULL, 414, "key_too_long"));
    target[strlen(target) - 1] = '\0';
    CU_ASSERT_EQUAL(status_of(&conn, "GET", target, NULL, NULL), 201);
    CU_ASSERT(is_refused(&conn, "GET", "/get?key=b", NULL, NULL, 404, "not_found"));
    http_close(&conn);
}

static void bad_json(void)
{
    static const char *const bad[] = {
        "{",
        "{\"key\":\"a\"",
        "{\"key\":\"a\",}",
        "{\"key\":\"a\",\"value\":1}",
        "{\"key\":1,\"value\":\"a\"}",
        "{\"key\":null,\"value\":\"a\"}",
        "{\"key\":\"a\",\"value\":\"b\"} x",
        "{\"key\":\"a\",\"key\":\"b\",\"value\":\"c\"}",
        "{\"key\":\"\xff\",\"value\":\"c\"}",
        "{\"key\":\"\\ud800\",\"value\":\"c\"}",
        "[\"key\",\"a\"]",
        "\"key\"",
        "null",
        "key=a&value=b",
    };
    http_conn_t conn;
    http_response_t res;
    site_open(&site, &conn);
    for (size_t i = 0; i != sizeof(bad) / sizeof(bad[0]); ++i)
        CU_ASSERT(is_refused(&conn, "POST", "/set", JSON, bad[i], 400, "bad_json"));
    say(&conn, "POST", "/set", JSON, "{\"key\":\"a\",\n\n  value\":\"b\"}", &res);
    CU_ASSERT(is_problem(&res, 400, "bad_json") && detail_has(&res, "line 3"));
    http_response_dispose(&res);
    CU_ASSERT(is_refused(&conn, "GET", "/get?key=a", NULL, NULL, 404, "not_found"));
    /* nesting without end ends */
    char *deep = malloc(100001);
    CU_ASSERT_PTR_NOT_NULL_FATAL(deep);
    memset(deep, '[', 100000);
    deep[100000] = '\0';
    CU_ASSERT(is_refused(&conn, "POST", "/set", JSON, deep, 400, "bad_json"));
    free(deep);
    http_close(&conn);
}

static void values_over_the_limit(void)
{
    static const char *const extra[] = {"--limits.value_bytes", "10", NULL};
    site_t small;
    http_conn_t conn;
    CU_ASSERT_EQUAL_FATAL(site_start_in_memory(&small, extra), 0);
    site_open(&small, &conn);
    CU_ASSERT_EQUAL(status_of(&conn, "GET", "/set?key=a&value=1234567890", NULL, NULL), 201);
    CU_ASSERT(is_refused(&conn, "GET", "/set?key=a&value=12345678901", NULL, NULL, 413,
                         "value_too_large"));
    CU_ASSERT(is_refused(&conn, "POST", "/set", JSON, "{\"key\":\"a\",\"value\":\"12345678901\"}",
                         413, "value_too_large"));
    /* what counts is the value, not how it is spelled */
    CU_ASSERT_EQUAL(
        status_of(&conn, "POST", "/set", FORM, "key=a&value=%31%32%33%34%35%36%37%38%39%30"), 204);
    CU_ASSERT(answers(&conn, "GET", "/get?key=a", NULL, NULL, "1234567890"));
    http_close(&conn);
    CU_ASSERT_EQUAL(site_end(&small), 0);
}

/* ---------------------------------------------------------------- what it costs others */

/* {"k0":1,"k1":1,...}, and how many bytes; the caller frees it */
static char *many_members(size_t count, size_t *bytes)
{
    char *json = malloc(count * 16 + 2), *at = json;
    CU_ASSERT_PTR_NOT_NULL_FATAL(json);
    for (size_t i = 0; i != count; ++i)
        at += sprintf(at, "%c\"k%zu\":1", i == 0 ? '{' : ',', i);
    at = stpcpy(at, "}");
    *bytes = (size_t)(at - json);
    return json;
}

/* Reading a large body and writing its value takes the event loop some time whatever the path; what
 * JSON costs beside that is for the I/O pool. */
static void large_bodies_are_read_elsewhere(void)
{
    enum { BYTES = 8 << 20 };
    static const char *const args[] = {"--workers", "1", NULL};
    static const char front[] = "{\"key\":\"c\",\"value\":\"";
    char *body = malloc(BYTES);
    site_t own;
    http_conn_t conn;
    CU_ASSERT_PTR_NOT_NULL_FATAL(body);
    CU_ASSERT_EQUAL_FATAL(site_start_in_memory(&own, args), 0);
    site_open(&own, &conn);
    int worker = worker_cost_find(&conn, own.server.pid);
    CU_ASSERT_EQUAL(exchange_status(&conn, "PUT", "/v1/kv/c", NULL, "x", 1), 201);
    memset(body, 'v', BYTES);
    costed_t put = {"PUT", "/v1/kv/c", body, BYTES, 204};
    worker_cost_t usual = worker_cost_of(&conn, own.server.pid, worker, &put);
    memcpy(body, front, sizeof(front) - 1);
    memcpy(body + BYTES - 2, "\"}", 2);
    costed_t set = {"POST", "/set", body, BYTES, 204};
    worker_cost_t cost = worker_cost_of(&conn, own.server.pid, worker, &set);
    printf("\n    PUT %.2f ms of the event loop, JSON %.2f ms ", (double)usual.worker_ns / 1e6,
           (double)cost.worker_ns / 1e6);
    CU_ASSERT(WORKER_COST_MEANS_NOTHING || cost.worker_ns < 2 * usual.worker_ns + 1000000);
    CU_ASSERT(cost.worker_ns < cost.all_ns / 2);
    free(body);
    http_close(&conn);
    CU_ASSERT_EQUAL(site_end(&own), 0);
}

/* a parser would make something of every one of them before it finds that none is wanted */
static void members_without_end(void)
{
    static const char *const targets[] = {"/set", "/get", "/delete", "/v1/batch"};
    http_conn_t conn;
    http_response_t res;
    size_t bytes;
    char *json = many_members(300000, &bytes);
    site_open(&site, &conn);
    for (size_t i = 0; i != sizeof(targets) / sizeof(targets[0]); ++i) {
        int64_t began = monotonic_ms();
        exchange(&conn, "POST", targets[i], NULL, json, bytes, &res);
        CU_ASSERT(is_problem(&res, 400, "bad_json") && detail_has(&res, "this is not JSON as"));
        CU_ASSERT(detail_has(&res, "byte 8891")); /* that of the thousand and first part */
        CU_ASSERT(monotonic_ms() - began < 1000);
        http_response_dispose(&res);
    }
    free(json);
    json = many_members(999, &bytes);
    CU_ASSERT(is_refused(&conn, "POST", "/set", NULL, json, 400, "key_missing"));
    free(json);
    http_close(&conn);
}

/* what stands in a string is no part, whatever it looks like */
static void texts_that_look_like_json(void)
{
    enum { TIMES = 3000 };
    static const char part[] = ",{[\\\"\\\\\\\\\\\",:", meant[] = ",{[\"\\\\\",:";
    char *json = malloc(TIMES * sizeof(part) + 64), *at = json;
    char *value = malloc(TIMES * sizeof(meant) + 1), *end = value;
    CU_ASSERT_FATAL(json != NULL && value != NULL);
    at = stpcpy(at, "{\"key\":\"looks\",\"value\":\"");
    for (int i = 0; i != TIMES; ++i) {
        at = stpcpy(at, part);
        end = stpcpy(end, meant);
    }
    at = stpcpy(at, "\"}");
    http_conn_t conn;
    site_open(&site, &conn);
    CU_ASSERT_EQUAL(exchange_status(&conn, "POST", "/set", NULL, json, (size_t)(at - json)), 201);
    CU_ASSERT(exchange_gives_bytes(&conn, "/get?key=looks", value, (size_t)(end - value)));
    free(json);
    free(value);
    http_close(&conn);
}

static void other_methods(void)
{
    static const struct {
        const char *method, *target, *allow;
    } rows[] = {{"PUT", "/set?key=a&value=b", "GET, POST"},
                {"DELETE", "/set?key=a&value=b", "GET, POST"},
                {"HEAD", "/set?key=a&value=b", "GET, POST"},
                {"DELETE", "/get?key=a", "GET, HEAD, POST"},
                {"PUT", "/get?key=a", "GET, HEAD, POST"},
                {"HEAD", "/delete?key=a", "GET, POST, DELETE"},
                {"OPTIONS", "/delete?key=a", "GET, POST, DELETE"}};
    http_conn_t conn;
    http_response_t res;
    site_open(&site, &conn);
    for (size_t i = 0; i != sizeof(rows) / sizeof(rows[0]); ++i) {
        say(&conn, rows[i].method, rows[i].target, NULL, NULL, &res);
        CU_ASSERT(is_problem(&res, 405, "method_not_allowed"));
        CU_ASSERT(header_is(&res, "allow", rows[i].allow));
        http_response_dispose(&res);
    }
    CU_ASSERT(is_refused(&conn, "GET", "/get?key=a", NULL, NULL, 404, "not_found"));
    http_close(&conn);
}

/* ---------------------------------------------------------------- other sites */

static void other_sites(void)
{
    static const char *const foreign[] = {
        "Sec-Fetch-Site: cross-site\r\n",
        "Sec-Fetch-Site: same-site\r\n", /* a page of http://127.0.0.1:81 with an image */
        "Origin: http://evil.example\r\n",
        "Origin: null\r\n",
        "Origin: http://127.0.0.1.evil.example\r\n",
        "Origin: http://127.0.0.1:81\r\n",
        "Origin: http://127.0.0.1@evil.example\r\n",
        "Origin: 127.0.0.1\r\n",
        "Origin:\r\n",
        "Origin: http://127.0.0.1\r\nSec-Fetch-Site: cross-site\r\n",
        "Sec-Fetch-Site: same-origin\r\nOrigin: http://evil.example\r\n",
    };
    static const struct {
        const char *method, *target, *headers, *body;
    } requests[] = {
        {"GET", "/set?key=x&value=1", "", NULL},
        {"POST", "/set", FORM, "key=x&value=1"},
        {"POST", "/set", "Content-Type: text/plain\r\n", "{\"key\":\"x\",\"value\":\"1\"}"},
        {"GET", "/delete?key=kept", "", NULL},
        {"DELETE", "/delete?key=kept", "", NULL},
        {"GET", "/get?key=kept", "", NULL},
        {"PUT", "/v1/kv/x", "", "1"},
        {"DELETE", "/v1/kv/kept", "", NULL}};
    http_conn_t conn;
    site_open(&site, &conn);
    CU_ASSERT_EQUAL(status_of(&conn, "PUT", "/v1/kv/kept", NULL, "k"), 201);
    for (size_t i = 0; i != sizeof(foreign) / sizeof(foreign[0]); ++i)
        for (size_t j = 0; j != sizeof(requests) / sizeof(requests[0]); ++j) {
            char headers[256];
            snprintf(headers, sizeof(headers), "%s%s", foreign[i], requests[j].headers);
            CU_ASSERT(is_refused(&conn, requests[j].method, requests[j].target, headers,
                                 requests[j].body, 403, "cross_site"));
        }
    CU_ASSERT(is_refused(&conn, "GET", "/v1/kv/x", NULL, NULL, 404, "not_found"));
    CU_ASSERT(answers(&conn, "GET", "/v1/kv/kept", NULL, NULL, "k"));
    http_close(&conn);
}

static void own_site(void)
{
    /* the client's requests say Host: 127.0.0.1 */
    static const char *const own[] = {
        "Sec-Fetch-Site: same-origin\r\n", "Sec-Fetch-Site: none\r\n",
        "Origin: http://127.0.0.1\r\n",
        "Origin: https://127.0.0.1\r\nSec-Fetch-Site: same-origin\r\n"};
    http_conn_t conn;
    http_response_t res;
    site_open(&site, &conn);
    for (size_t i = 0; i != sizeof(own) / sizeof(own[0]); ++i) {
        CU_ASSERT_EQUAL(status_of(&conn, "GET", "/set?key=o&value=1", own[i], NULL),
                        i == 0 ? 201 : 204);
        CU_ASSERT_EQUAL(status_of(&conn, "PUT", "/v1/kv/o", own[i], "2"), 204);
        CU_ASSERT(answers(&conn, "POST", "/get", own[i], "{\"key\":\"o\"}", "2"));
    }
    static const char request[] = "POST /set?key=o&value=3 HTTP/1.1\r\nHost: LocalHost:8080\r\n"
                                  "Origin: http://localhost:8080\r\n\r\n";
    exchange_raw(&conn, request, sizeof(request) - 1, "POST", &res);
    CU_ASSERT_EQUAL(res.status, 204);
    http_response_dispose(&res);
    http_close(&conn);
}

void suite_http_tutorial(void)
{
    CU_pSuite s = CU_add_suite("http_tutorial: /set, /get, /delete", start, end);
    CU_add_test(s, "a browser's address bar is enough", address_bar);
    CU_add_test(s, "POST and DELETE take a query as well", post_with_a_query);
    CU_add_test(s, "a query's escapes and plusses are decoded", queries_are_decoded);
    CU_add_test(s, "POST takes JSON, whatever it is called", json_bodies);
    CU_add_test(s, "POST takes a form", form_bodies);
    CU_add_test(s, "a form may be large, and binary", large_form);
    CU_add_test(s, "it is the store of /v1/kv/", same_store);
    CU_add_test(s, "a missing key or value is named", missing_parameters);
    CU_add_test(s, "a bad escape and a long key are refused", bad_parameters);
    CU_add_test(s, "bad JSON is refused, with its line", bad_json);
    CU_add_test(s, "values have the same limit", values_over_the_limit);
    CU_add_test(s, "a large body is read beside the event loop", large_bodies_are_read_elsewhere);
    CU_add_test(s, "members without end are refused unread", members_without_end);
    CU_add_test(s, "strings may look like JSON", texts_that_look_like_json);
    CU_add_test(s, "other methods are told which there are", other_methods);
    CU_add_test(s, "a page of another site is refused", other_sites);
    CU_add_test(s, "a page of the own site is not", own_site);
}
