/*
 * Keys in paths, and what is stored with a value and given back. Every test uses keys of its own.
 */
#include <CUnit/CUnit.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "tests/site.h"
#include "tests/suites.h"

#define MIB ((size_t)1 << 20)
#define KEY_BYTES_MAX 2048

static site_t site;

static int start(void)
{
    return site_start(&site, TEMP_DIR_IN_MEMORY, NULL);
}

static int end(void)
{
    return site_end(&site);
}

/* ---------------------------------------------------------------- what is stored with it */

static void default_headers(void)
{
    http_conn_t conn;
    http_response_t res;
    site_open(&site, &conn);
    struct timespec before, after; /* not time(): it lags by up to a tick */
    clock_gettime(CLOCK_REALTIME, &before);
    exchange_version(&conn, "PUT", "/v1/kv/plain", NULL, "x", 201);
    clock_gettime(CLOCK_REALTIME, &after);
    exchange(&conn, "GET", "/v1/kv/plain", NULL, NULL, 0, &res);
    CU_ASSERT(header_is(&res, "content-type", "application/octet-stream"));
    CU_ASSERT(header_is(&res, "accept-ranges", "bytes"));
    CU_ASSERT_PTR_NULL(http_header(&res, "content-encoding"));
    CU_ASSERT_PTR_NULL(http_header(&res, "cache-control"));
    CU_ASSERT_PTR_NOT_NULL_FATAL(http_header(&res, "last-modified"));
    struct tm tm = {0};
    const char *rest =
        strptime(http_header(&res, "last-modified"), "%a, %d %b %Y %H:%M:%S GMT", &tm);
    CU_ASSERT_PTR_NOT_NULL_FATAL(rest);
    CU_ASSERT_EQUAL(*rest, '\0');
    time_t modified = timegm(&tm);
    CU_ASSERT(modified >= before.tv_sec && modified <= after.tv_sec);
    http_response_dispose(&res);
    http_close(&conn);
}

static void stored_headers(void)
{
    http_conn_t conn;
    http_response_t res;
    site_open(&site, &conn);
    exchange_version(&conn, "PUT", "/v1/kv/dressed",
                     "Content-Type: text/html; charset=utf-8\r\nContent-Encoding: gzip\r\n"
                     "Cache-Control: max-age=60, public\r\nCairn-Meta-Owner: J\xc3\xbcrgen Q.\r\n"
                     "CAIRN-META-TAG:   two  words \r\nCairn-Meta-Empty:\r\nCairn-Other: no\r\n",
                     "x", 201);
    exchange(&conn, "GET", "/v1/kv/dressed", NULL, NULL, 0, &res);
    CU_ASSERT(header_is(&res, "content-type", "text/html; charset=utf-8"));
    CU_ASSERT(header_is(&res, "content-encoding", "gzip"));
    CU_ASSERT(header_is(&res, "cache-control", "max-age=60, public"));
    CU_ASSERT(header_is(&res, "cairn-meta-owner", "J\xc3\xbcrgen Q."));
    CU_ASSERT(header_is(&res, "cairn-meta-tag", "two  words"));
    CU_ASSERT(header_is(&res, "cairn-meta-empty", ""));
    CU_ASSERT_PTR_NULL(http_header(&res, "cairn-other"));
    CU_ASSERT_EQUAL(http_header_count(&res, "content-type"), 1);
    http_response_dispose(&res);
    /* the next PUT replaces them all */
    exchange_version(&conn, "PUT", "/v1/kv/dressed", "Cairn-Meta-New: n\r\n", "y", 204);
    exchange(&conn, "GET", "/v1/kv/dressed", NULL, NULL, 0, &res);
    CU_ASSERT(header_is(&res, "content-type", "application/octet-stream"));
    CU_ASSERT_PTR_NULL(http_header(&res, "content-encoding"));
    CU_ASSERT_PTR_NULL(http_header(&res, "cache-control"));
    CU_ASSERT_PTR_NULL(http_header(&res, "cairn-meta-owner"));
    CU_ASSERT(header_is(&res, "cairn-meta-new", "n"));
    http_response_dispose(&res);
    http_close(&conn);
}

static void list_headers_in_several_lines(void)
{
    http_conn_t conn;
    http_response_t res;
    site_open(&site, &conn);
    exchange_version(
        &conn, "PUT", "/v1/kv/lists",
        "Cache-Control: no-cache\r\nContent-Encoding: deflate\r\nCache-Control: private\r\n"
        "Content-Encoding: gzip\r\nCairn-Meta-A: 1\r\nCairn-Meta-A: 2\r\n",
        "x", 201);
    exchange(&conn, "GET", "/v1/kv/lists", NULL, NULL, 0, &res);
    CU_ASSERT(header_is(&res, "cache-control", "no-cache, private"));
    CU_ASSERT(header_is(&res, "content-encoding", "deflate, gzip"));
    CU_ASSERT_EQUAL(http_header_count(&res, "cairn-meta-a"), 2);
    http_response_dispose(&res);
    http_close(&conn);
}

/* a PUT with one Cairn-Meta-* header of so many bytes, name and value together */
static int put_meta(http_conn_t *conn, const char *target, size_t bytes)
{
    static const char name[] = "Cairn-Meta-Long";
    char headers[2048];
    size_t value_bytes = bytes - strlen(name);
    int at = snprintf(headers, sizeof(headers), "%s: ", name);
    memset(headers + at, 'v', value_bytes);
    strcpy(headers + at + value_bytes, "\r\n");
    http_response_t res;
    exchange(conn, "PUT", target, headers, "x", 1, &res);
    int status = res.status;
    CU_ASSERT(status != 400 || is_problem(&res, 400, "meta_too_large"));
    http_response_dispose(&res);
    return status;
}

static void too_much_meta(void)
{
    http_conn_t conn;
    http_response_t res;
    site_open(&site, &conn);
    CU_ASSERT_EQUAL_FATAL(put_meta(&conn, "/v1/kv/meta", 1024), 201);
    exchange(&conn, "GET", "/v1/kv/meta", NULL, NULL, 0, &res);
    CU_ASSERT_EQUAL(strlen(http_header(&res, "cairn-meta-long")), 1024 - strlen("Cairn-Meta-Long"));
    http_response_dispose(&res);
    CU_ASSERT_EQUAL(put_meta(&conn, "/v1/kv/meta2", 1025), 400);
    CU_ASSERT(exchange_is_problem(&conn, "GET", "/v1/kv/meta2", NULL, NULL, 404, "not_found"));
    /* many small ones count together */
    char headers[4096] = "";
    for (int i = 0; i != 60; ++i)
        sprintf(headers + strlen(headers), "Cairn-Meta-%02d: 12345678901234567890\r\n", i);
    CU_ASSERT(
        exchange_is_problem(&conn, "PUT", "/v1/kv/meta2", headers, "x", 400, "meta_too_large"));
    http_close(&conn);
}

static void too_long_content_type(void)
{
    http_conn_t conn;
    char headers[6000] = "Content-Type: ";
    site_open(&site, &conn);
    memset(headers + strlen(headers), 't', 5000);
    strcat(headers, "\r\n");
    CU_ASSERT(
        exchange_is_problem(&conn, "PUT", "/v1/kv/type", headers, "x", 400, "meta_too_large"));
    http_close(&conn);
}

static void durability(void)
{
    http_conn_t conn;
    http_response_t res;
    site_open(&site, &conn);
    uint64_t first =
        exchange_version(&conn, "PUT", "/v1/kv/d", "Cairn-Durability: sync\r\n", "1", 201);
    uint64_t second =
        exchange_version(&conn, "PUT", "/v1/kv/d", "cairn-durability: async\r\n", "2", 204);
    CU_ASSERT(second > first);
    CU_ASSERT(exchange_gives(&conn, "/v1/kv/d", "2"));
    static const char *const unknown[] = {"none", "", "SYNC", "sync, async", "synch"};
    for (size_t i = 0; i != sizeof(unknown) / sizeof(unknown[0]); ++i) {
        char headers[64];
        snprintf(headers, sizeof(headers), "Cairn-Durability: %s\r\n", unknown[i]);
        exchange(&conn, "PUT", "/v1/kv/d", headers, "3", 1, &res);
        CU_ASSERT(is_problem(&res, 400, "bad_request") && detail_has(&res, "Cairn-Durability"));
        http_response_dispose(&res);
    }
    CU_ASSERT(exchange_gives(&conn, "/v1/kv/d", "2"));
    CU_ASSERT_EQUAL(
        exchange_status(&conn, "DELETE", "/v1/kv/d", "Cairn-Durability: async\r\n", NULL, 0), 204);
    CU_ASSERT_EQUAL(
        exchange_status(&conn, "DELETE", "/v1/kv/d", "Cairn-Durability: x\r\n", NULL, 0), 400);
    http_close(&conn);
}

/* ---------------------------------------------------------------- keys */

static void put_escaped(http_conn_t *conn, const void *key, size_t key_bytes, int status)
{
    char *target = http_target("/v1/kv/", key, key_bytes);
    CU_ASSERT_EQUAL(exchange_status(conn, "PUT", target, NULL, key, key_bytes), status);
    free(target);
}

static bool escaped_has_itself(http_conn_t *conn, const void *key, size_t key_bytes)
{
    char *target = http_target("/v1/kv/", key, key_bytes);
    bool has = exchange_gives_bytes(conn, target, key, key_bytes);
    free(target);
    return has;
}

static void keys_of_any_byte(void)
{
    http_conn_t conn;
    char every[256];
    site_open(&site, &conn);
    for (int c = 0; c != 256; ++c) {
        char key[] = {'k', (char)c};
        every[c] = (char)c;
        put_escaped(&conn, key, 2, 201);
    }
    put_escaped(&conn, every, sizeof(every), 201);
    for (int c = 0; c != 256; ++c) {
        char key[] = {'k', (char)c};
        CU_ASSERT(escaped_has_itself(&conn, key, 2));
    }
    CU_ASSERT(escaped_has_itself(&conn, every, sizeof(every)));
    http_close(&conn);
}

static void keys_are_not_normalised(void)
{
    static const char *const targets[] = {"/v1/kv/n/a//b",
                                          "/v1/kv/n/a/b",
                                          "/v1/kv/n/a///b",
                                          "/v1/kv/../x",
                                          "/v1/kv/./x",
                                          "/v1/kv/x",
                                          "/v1/kv//x",
                                          "/v1/kv/x/",
                                          "/v1/kv/n/..",
                                          "/v1/kv/n/a%00b",
                                          "/v1/kv/n/a+b",
                                          "/v1/kv/n/a%20b",
                                          "/v1/kv/n/A/b",
                                          "/v1/kv/n/a%2525",
                                          "/v1/kv/n/a#b",
                                          "/v1/kv/n/a;b=c&d",
                                          "/v1/kv/n/a%25",
                                          "/v1/kv/n/a%00",
                                          "/v1/kv/..",
                                          "/v1/kv/.",
                                          "/v1/kv//",
                                          "/v1/kv/%20",
                                          "/v1/kv/../../etc/passwd"};
    size_t count = sizeof(targets) / sizeof(targets[0]);
    http_conn_t conn;
    site_open(&site, &conn);
    /* they are all different, so each is created */
    for (size_t i = 0; i != count; ++i)
        exchange_version(&conn, "PUT", targets[i], NULL, targets[i], 201);
    for (size_t i = 0; i != count; ++i)
        CU_ASSERT(exchange_gives(&conn, targets[i], targets[i]));
    http_close(&conn);
}

static void one_key_in_many_spellings(void)
{
    http_conn_t conn;
    site_open(&site, &conn);
    exchange_version(&conn, "PUT", "/v1/kv/s/a+b~c", NULL, "same", 201);
    CU_ASSERT(exchange_gives(&conn, "/v1/kv/s%2Fa+b~c", "same"));
    CU_ASSERT(exchange_gives(&conn, "/v1/kv/s%2fa%2Bb%7ec", "same"));
    CU_ASSERT(exchange_gives(&conn, "/v1/kv/%73/%61%2b%62%7E%63", "same"));
    CU_ASSERT(exchange_gives(&conn, "/v1/kv/s/a+b~c?", "same"));
    CU_ASSERT(exchange_gives(&conn, "/v1/kv/s/a+b~c?key=other", "same"));
    CU_ASSERT(exchange_is_problem(&conn, "GET", "/v1/kv/s/a%20b~c", NULL, NULL, 404, "not_found"));
    /* bytes above 0x7f need no escape */
    exchange_version(&conn, "PUT", "/v1/kv/s/\xc3\xa9", NULL, "e", 201);
    CU_ASSERT(exchange_gives(&conn, "/v1/kv/s/%c3%A9", "e"));
    /* an escaped question mark belongs to the key */
    exchange_version(&conn, "PUT", "/v1/kv/s/q%3Fkey=1", NULL, "q", 201);
    CU_ASSERT(exchange_is_problem(&conn, "GET", "/v1/kv/s/q?key=1", NULL, NULL, 404, "not_found"));
    http_close(&conn);
}

static void key_lengths(void)
{
    http_conn_t conn;
    http_response_t res;
    char key[KEY_BYTES_MAX + 1];
    site_open(&site, &conn);
    memset(key, 'k', sizeof(key));
    put_escaped(&conn, key, KEY_BYTES_MAX, 201);
    CU_ASSERT(escaped_has_itself(&conn, key, KEY_BYTES_MAX));
    put_escaped(&conn, key, KEY_BYTES_MAX - 1, 201);
    /* the limit is on the key, not on how it is spelled */
    memset(key, '\xff', sizeof(key));
    put_escaped(&conn, key, KEY_BYTES_MAX, 201);
    CU_ASSERT(escaped_has_itself(&conn, key, KEY_BYTES_MAX));
    char *target = http_target("/v1/kv/", key, sizeof(key));
    static const char *const methods[] = {"GET", "HEAD", "PUT", "DELETE"};
    for (size_t i = 0; i != 4; ++i)
        CU_ASSERT(exchange_is_problem(&conn, methods[i], target, NULL, "x", 414, "key_too_long"));
    exchange(&conn, "GET", target, NULL, NULL, 0, &res);
    CU_ASSERT(detail_has(&res, "2048"));
    http_response_dispose(&res);
    free(target);
    http_close(&conn);
}

static void empty_keys_and_bad_escapes(void)
{
    static const char *const methods[] = {"GET", "HEAD", "PUT", "DELETE"};
    static const char *const bad[] = {"%", "%4", "%zz", "a%0", "a%gg", "%%30", "a/%2", "%u0041"};
    http_conn_t conn;
    site_open(&site, &conn);
    for (size_t i = 0; i != 4; ++i) {
        CU_ASSERT(exchange_is_problem(&conn, methods[i], "/v1/kv/", NULL, "x", 400, "key_empty"));
        CU_ASSERT(
            exchange_is_problem(&conn, methods[i], "/v1/kv/?a=b", NULL, "x", 400, "key_empty"));
        for (size_t j = 0; j != sizeof(bad) / sizeof(bad[0]); ++j) {
            char target[32];
            snprintf(target, sizeof(target), "/v1/kv/%s", bad[j]);
            CU_ASSERT(exchange_is_problem(&conn, methods[i], target, NULL, "x", 400, "bad_escape"));
        }
    }
    http_response_t res;
    exchange(&conn, "GET", "/v1/kv/ab%2", NULL, NULL, 0, &res);
    CU_ASSERT(detail_has(&res, "byte 2"));
    http_response_dispose(&res);
    http_close(&conn);
}

void suite_http_keys(void)
{
    CU_pSuite s =
        CU_add_suite("http_keys: keys in paths, and what is stored with a value", start, end);
    CU_add_test(s, "a value without headers gets the defaults", default_headers);
    CU_add_test(s, "headers are stored and replaced with the value", stored_headers);
    CU_add_test(s, "headers that are lists are stored whole", list_headers_in_several_lines);
    CU_add_test(s, "more than 1 KiB of metadata is refused", too_much_meta);
    CU_add_test(s, "a content type without end is refused", too_long_content_type);
    CU_add_test(s, "durability is sync or async", durability);
    CU_add_test(s, "a key holds any byte", keys_of_any_byte);
    CU_add_test(s, "keys are not normalised", keys_are_not_normalised);
    CU_add_test(s, "a key may be spelled in many ways", one_key_in_many_spellings);
    CU_add_test(s, "a key has at most 2,048 bytes", key_lengths);
    CU_add_test(s, "empty keys and bad escapes are refused", empty_keys_and_bad_escapes);
}
