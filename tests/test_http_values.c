/*
 * Does /v1/kv/ keep what docs/API promises of one value?
 *
 * Over real sockets, against the real program. Every test uses keys of its own.
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
/* the default of limits.value_bytes */
#define VALUE_BYTES_MAX (16 * MIB)
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

/* PUT of a text; the version it got, and whether the status was the one expected */
static uint64_t put(http_conn_t *conn, const char *target, const char *headers, const char *text,
                    int status)
{
    http_response_t res;
    exchange(conn, "PUT", target, headers, text, strlen(text), &res);
    uint64_t version = version_of(&res);
    CU_ASSERT_EQUAL(res.status, status);
    http_response_dispose(&res);
    return version;
}

static bool has_value(http_conn_t *conn, const char *target, const void *bytes, size_t count)
{
    http_response_t res;
    exchange(conn, "GET", target, NULL, NULL, 0, &res);
    bool has = res.status == 200 && body_is(&res, bytes, count);
    http_response_dispose(&res);
    return has;
}

static bool has_text(http_conn_t *conn, const char *target, const char *text)
{
    return has_value(conn, target, text, strlen(text));
}

/* whether the exchange ends in this problem, on a connection that lives on */
static bool is_refused(http_conn_t *conn, const char *method, const char *target,
                       const char *headers, const char *body, int status, const char *code)
{
    http_response_t res;
    exchange(conn, method, target, headers, body, body != NULL ? strlen(body) : 0, &res);
    bool is_right = is_problem(&res, status, code);
    http_response_dispose(&res);
    return is_right;
}

/* ---------------------------------------------------------------- the four methods */

static void put_get_head_delete(void)
{
    http_conn_t conn;
    http_response_t res;
    site_open(&site, &conn);
    CU_ASSERT(is_refused(&conn, "GET", "/v1/kv/life", NULL, NULL, 404, "not_found"));
    CU_ASSERT(is_refused(&conn, "HEAD", "/v1/kv/life", NULL, NULL, 404, "not_found"));
    CU_ASSERT(is_refused(&conn, "DELETE", "/v1/kv/life", NULL, NULL, 404, "not_found"));

    uint64_t first = put(&conn, "/v1/kv/life", NULL, "one", 201);
    uint64_t second = put(&conn, "/v1/kv/life", NULL, "three", 204);
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
    CU_ASSERT(is_refused(&conn, "GET", "/v1/kv/life", NULL, NULL, 404, "not_found"));
    CU_ASSERT(is_refused(&conn, "DELETE", "/v1/kv/life", NULL, NULL, 404, "not_found"));
    /* a deleted key counts as absent */
    CU_ASSERT(put(&conn, "/v1/kv/life", NULL, "again", 201) > second);
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
    CU_ASSERT(is_refused(&conn, "GET", "/v1/kv/a", NULL, NULL, 404, "not_found"));
    http_close(&conn);
}

static void put_without_a_body(void)
{
    http_conn_t conn;
    site_open(&site, &conn);
    CU_ASSERT(is_refused(&conn, "PUT", "/v1/kv/none", NULL, NULL, 411, "length_required"));
    CU_ASSERT(is_refused(&conn, "GET", "/v1/kv/none", NULL, NULL, 404, "not_found"));
    CU_ASSERT_EQUAL(exchange_status(&conn, "PUT", "/v1/kv/none", NULL, "", 0), 201);
    CU_ASSERT(has_value(&conn, "/v1/kv/none", "", 0));
    http_close(&conn);
}

static void chunked_put(void)
{
    static const char request[] = "PUT /v1/kv/chunks HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"
                                  "3\r\nabc\r\nA;x=y\r\n0123456789\r\n1\r\n\0\r\n"
                                  "0\r\nTrailer: t\r\n\r\n";
    static const char empty[] = "PUT /v1/kv/chunks HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"
                                "0\r\n\r\n";
    http_conn_t conn;
    http_response_t res;
    site_open(&site, &conn);
    exchange_raw(&conn, request, sizeof(request) - 1, "PUT", &res);
    CU_ASSERT_EQUAL(res.status, 201);
    http_response_dispose(&res);
    CU_ASSERT(has_value(&conn, "/v1/kv/chunks", "abc0123456789\0", 14));
    exchange_raw(&conn, empty, sizeof(empty) - 1, "PUT", &res);
    CU_ASSERT_EQUAL(res.status, 204);
    http_response_dispose(&res);
    CU_ASSERT(has_value(&conn, "/v1/kv/chunks", "", 0));
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
        uint64_t version = put(&conns[i % 2], target, NULL, "x", i < 7 ? 201 : 204);
        CU_ASSERT(version > last);
        last = version;
    }
    http_close(&conns[0]);
    http_close(&conns[1]);
}

/* ---------------------------------------------------------------- what is stored with it */

static void default_headers(void)
{
    http_conn_t conn;
    http_response_t res;
    site_open(&site, &conn);
    struct timespec before, after; /* not time(): it lags by up to a tick */
    clock_gettime(CLOCK_REALTIME, &before);
    put(&conn, "/v1/kv/plain", NULL, "x", 201);
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
    put(&conn, "/v1/kv/dressed",
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
    put(&conn, "/v1/kv/dressed", "Cairn-Meta-New: n\r\n", "y", 204);
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
    put(&conn, "/v1/kv/lists",
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
    CU_ASSERT(is_refused(&conn, "GET", "/v1/kv/meta2", NULL, NULL, 404, "not_found"));
    /* many small ones count together */
    char headers[4096] = "";
    for (int i = 0; i != 60; ++i)
        sprintf(headers + strlen(headers), "Cairn-Meta-%02d: 12345678901234567890\r\n", i);
    CU_ASSERT(is_refused(&conn, "PUT", "/v1/kv/meta2", headers, "x", 400, "meta_too_large"));
    http_close(&conn);
}

static void too_long_content_type(void)
{
    http_conn_t conn;
    char headers[6000] = "Content-Type: ";
    site_open(&site, &conn);
    memset(headers + strlen(headers), 't', 5000);
    strcat(headers, "\r\n");
    CU_ASSERT(is_refused(&conn, "PUT", "/v1/kv/type", headers, "x", 400, "meta_too_large"));
    http_close(&conn);
}

static void durability(void)
{
    http_conn_t conn;
    http_response_t res;
    site_open(&site, &conn);
    uint64_t first = put(&conn, "/v1/kv/d", "Cairn-Durability: sync\r\n", "1", 201);
    uint64_t second = put(&conn, "/v1/kv/d", "cairn-durability: async\r\n", "2", 204);
    CU_ASSERT(second > first);
    CU_ASSERT(has_text(&conn, "/v1/kv/d", "2"));
    static const char *const unknown[] = {"none", "", "SYNC", "sync, async", "synch"};
    for (size_t i = 0; i != sizeof(unknown) / sizeof(unknown[0]); ++i) {
        char headers[64];
        snprintf(headers, sizeof(headers), "Cairn-Durability: %s\r\n", unknown[i]);
        exchange(&conn, "PUT", "/v1/kv/d", headers, "3", 1, &res);
        CU_ASSERT(is_problem(&res, 400, "bad_request") && detail_has(&res, "Cairn-Durability"));
        http_response_dispose(&res);
    }
    CU_ASSERT(has_text(&conn, "/v1/kv/d", "2"));
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
    bool has = has_value(conn, target, key, key_bytes);
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
        put(&conn, targets[i], NULL, targets[i], 201);
    for (size_t i = 0; i != count; ++i)
        CU_ASSERT(has_text(&conn, targets[i], targets[i]));
    http_close(&conn);
}

static void one_key_in_many_spellings(void)
{
    http_conn_t conn;
    site_open(&site, &conn);
    put(&conn, "/v1/kv/s/a+b~c", NULL, "same", 201);
    CU_ASSERT(has_text(&conn, "/v1/kv/s%2Fa+b~c", "same"));
    CU_ASSERT(has_text(&conn, "/v1/kv/s%2fa%2Bb%7ec", "same"));
    CU_ASSERT(has_text(&conn, "/v1/kv/%73/%61%2b%62%7E%63", "same"));
    CU_ASSERT(has_text(&conn, "/v1/kv/s/a+b~c?", "same"));
    CU_ASSERT(has_text(&conn, "/v1/kv/s/a+b~c?key=other", "same"));
    CU_ASSERT(is_refused(&conn, "GET", "/v1/kv/s/a%20b~c", NULL, NULL, 404, "not_found"));
    /* bytes above 0x7f need no escape */
    put(&conn, "/v1/kv/s/\xc3\xa9", NULL, "e", 201);
    CU_ASSERT(has_text(&conn, "/v1/kv/s/%c3%A9", "e"));
    /* an escaped question mark belongs to the key */
    put(&conn, "/v1/kv/s/q%3Fkey=1", NULL, "q", 201);
    CU_ASSERT(is_refused(&conn, "GET", "/v1/kv/s/q?key=1", NULL, NULL, 404, "not_found"));
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
        CU_ASSERT(is_refused(&conn, methods[i], target, NULL, "x", 414, "key_too_long"));
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
        CU_ASSERT(is_refused(&conn, methods[i], "/v1/kv/", NULL, "x", 400, "key_empty"));
        CU_ASSERT(is_refused(&conn, methods[i], "/v1/kv/?a=b", NULL, "x", 400, "key_empty"));
        for (size_t j = 0; j != sizeof(bad) / sizeof(bad[0]); ++j) {
            char target[32];
            snprintf(target, sizeof(target), "/v1/kv/%s", bad[j]);
            CU_ASSERT(is_refused(&conn, methods[i], target, NULL, "x", 400, "bad_escape"));
        }
    }
    http_response_t res;
    exchange(&conn, "GET", "/v1/kv/ab%2", NULL, NULL, 0, &res);
    CU_ASSERT(detail_has(&res, "byte 2"));
    http_response_dispose(&res);
    http_close(&conn);
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
        CU_ASSERT(has_value(&conn, target, value, sizes[i]));
    }
    for (size_t i = 0; i != count; ++i) {
        snprintf(target, sizeof(target), "/v1/kv/size%zu", sizes[i]);
        CU_ASSERT(has_value(&conn, target, bytes + (VALUE_BYTES_MAX - sizes[i]) / 2, sizes[i]));
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
        is_chunked
            ? snprintf(head, sizeof(head),
                       "PUT /v1/kv/large HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n%zx\r\n",
                       bytes)
            : snprintf(head, sizeof(head),
                       "PUT /v1/kv/large HTTP/1.1\r\nContent-Length: %zu\r\n\r\n", bytes);
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
    CU_ASSERT(is_refused(&conn, "GET", "/v1/kv/large", NULL, NULL, 404, "not_found"));
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
                             "PUT /v1/kv/large HTTP/1.1\r\nContent-Length: %s\r\n"
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
    CU_ASSERT(has_value(&conn, "/v1/kv/a", bytes, 100));
    http_close(&conn);
    CU_ASSERT_EQUAL(site_end(&small), 0);
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
        bytes += (size_t)snprintf(requests + bytes, sizeof(requests) - bytes,
                                  "PUT /v1/kv/pipe HTTP/1.1\r\nContent-Length: 4\r\n\r\n%04d"
                                  "GET /v1/kv/pipe HTTP/1.1\r\n\r\n"
                                  "HEAD /v1/kv/pipe HTTP/1.1\r\n\r\n"
                                  "GET /v1/kv/absent HTTP/1.1\r\n\r\n"
                                  "DELETE /v1/kv/pipe HTTP/1.1\r\nContent-Length: 1\r\n\r\nx",
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
        int head_bytes =
            snprintf(head, sizeof(head), "PUT /v1/kv/big HTTP/1.1\r\nContent-Length: %zu\r\n\r\n",
                     400 * KIB);
        CU_ASSERT_TRUE_FATAL(http_send(&conn, head, (size_t)head_bytes) &&
                             http_send(&conn, bytes + i * 400 * KIB, 400 * KIB) &&
                             http_send(&conn, "GET /v1/kv/big HTTP/1.1\r\n\r\n", 27));
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

static void kept_alive(void)
{
    http_conn_t conn;
    site_open(&site, &conn);
    for (int i = 0; i != 500; ++i) {
        put(&conn, "/v1/kv/alive", NULL, "x", i == 0 ? 201 : 204);
        CU_ASSERT(has_text(&conn, "/v1/kv/alive", "x"));
        /* an error does not end it either */
        CU_ASSERT_EQUAL(exchange_status(&conn, "GET", "/v1/kv/%", NULL, NULL, 0), 400);
    }
    CU_ASSERT_FALSE(conn.is_server_gone);
    http_close(&conn);
}

static void closed_when_asked(void)
{
    static const char *const heads[] = {
        "GET /v1/kv/alive HTTP/1.1\r\nConnection: close\r\n\r\n",
        "GET /v1/kv/alive HTTP/1.0\r\n\r\n",
        "PUT /v1/kv/alive HTTP/1.0\r\nContent-Length: 1\r\n\r\nx",
        "DELETE /v1/kv/absent HTTP/1.1\r\nConnection: close\r\n\r\n",
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
    static const char head[] = "PUT /v1/kv/expected HTTP/1.1\r\nContent-Length: 5\r\n"
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
    CU_ASSERT(has_text(&conn, "/v1/kv/expected", "hello"));
    http_close(&conn);
}

static void slow_body(void)
{
    http_conn_t conn;
    http_response_t res;
    static const char request[] =
        "PUT /v1/kv/drip HTTP/1.1\r\nContent-Length: 10\r\n\r\n0123456789";
    site_open(&site, &conn);
    for (size_t i = 0; i != sizeof(request) - 1; ++i) {
        CU_ASSERT_TRUE_FATAL(http_send(&conn, request + i, 1));
        if (i % 8 == 0)
            sleep_ms(1);
    }
    CU_ASSERT_TRUE_FATAL(http_read_response(&conn, "PUT", &res));
    CU_ASSERT_EQUAL(res.status, 201);
    http_response_dispose(&res);
    CU_ASSERT(has_text(&conn, "/v1/kv/drip", "0123456789"));
    http_close(&conn);
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
                CU_ASSERT(is_refused(&conn, "GET", target, NULL, NULL, 404, "not_found"))
            else
                CU_ASSERT(has_text(&conn, target, target));
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
            uint64_t version =
                put(&conn, target, i % 2 ? "Cairn-Durability: async\r\n" : NULL, target, 201);
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
    uint64_t first = put(&conn, "/v1/kv/a", "Content-Type: text/plain\r\n", "1", 201);
    CU_ASSERT(put(&conn, "/v1/kv/a", "Cairn-Durability: sync\r\n", "2", 204) > first);
    CU_ASSERT(has_text(&conn, "/v1/kv/a", "2"));
    CU_ASSERT_EQUAL(exchange_status(&conn, "PUT", "/v1/kv/large", NULL, large, MIB), 201);
    CU_ASSERT(has_value(&conn, "/v1/kv/large", large, MIB));
    CU_ASSERT_EQUAL(exchange_status(&conn, "DELETE", "/v1/kv/a", NULL, NULL, 0), 204);
    exchange(&conn, "GET", "/v1/stats", NULL, NULL, 0, &res);
    CU_ASSERT_PTR_NOT_NULL(strstr(res.body, "\"in_memory\": true"));
    http_response_dispose(&res);
    http_close(&conn);
    CU_ASSERT_EQUAL(server_stop(&own.server), 0);
    site_start_again(&own, NULL);
    site_open(&own, &conn);
    CU_ASSERT(is_refused(&conn, "GET", "/v1/kv/large", NULL, NULL, 404, "not_found"));
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
    CU_add_test(s, "values of all sizes come back as they were", value_sizes);
    CU_add_test(s, "a value over the limit is told so while it is sent", values_over_the_limit);
    CU_add_test(s, "a value announced too large need not be sent", announced_but_not_sent);
    CU_add_test(s, "the limit on values is the config's", limit_of_the_config);
    CU_add_test(s, "pipelined requests are answered in order", pipelined);
    CU_add_test(s, "pipelined large values are answered in order", pipelined_large);
    CU_add_test(s, "a connection serves many requests", kept_alive);
    CU_add_test(s, "a connection is closed when asked to", closed_when_asked);
    CU_add_test(s, "HTTP/1.0 may keep its connection", http_1_0);
    CU_add_test(s, "a client that expects a 100 gets one", expect_continue);
    CU_add_test(s, "a request may come byte by byte", slow_body);
    CU_add_test(s, "a restart keeps everything, and versions go on", restart_keeps_everything);
    CU_add_test(s, "in memory all is the same until the restart", in_memory);
}
