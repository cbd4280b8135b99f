/*
 * Expiry, incr, append and /v1/sync over real sockets. Every test uses keys of its own.
 */
#include <CUnit/CUnit.h>

#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "tests/kv_call.h"
#include "tests/seed.h"
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

/* ---------------------------------------------------------------- expiry */

/* the whole seconds that have passed since, and the two that rounding may add */
static long seconds_since(int64_t ms)
{
    return (long)((monotonic_ms() - ms) / 1000) + 2;
}

/* whether the answer says that the value has so many seconds left, but for those that may have
 * passed: it was given them no earlier than `since_ms` */
static bool has_seconds_left(http_conn_t *conn, const char *target, long seconds, int64_t since_ms)
{
    http_response_t res;
    long age = -1;
    int64_t asked_ms = monotonic_ms();
    exchange(conn, "GET", target, NULL, NULL, 0, &res);
    CU_ASSERT_EQUAL_FATAL(res.status, 200);
    const char *text = http_header(&res, "cache-control");
    CU_ASSERT_EQUAL(http_header_count(&res, "cache-control"), 1);
    bool is_right = text != NULL && sscanf(text, "max-age=%ld", &age) == 1 &&
                    http_header(&res, "expires") != NULL;
    if (is_right) {
        long until = (long)(date_of(&res, "expires") - time(NULL));
        is_right = age <= seconds && age >= seconds - seconds_since(since_ms) &&
                   labs(until - age) <= seconds_since(asked_ms);
    }
    if (!is_right)
        fprintf(stderr, "\n    %s: %s", target, text != NULL ? text : "no Cache-Control");
    http_response_dispose(&res);
    return is_right;
}

static bool never_expires(http_conn_t *conn, const char *target)
{
    http_response_t res;
    exchange(conn, "HEAD", target, NULL, NULL, 0, &res);
    bool never = res.status == 200 && http_header(&res, "expires") == NULL &&
                 http_header(&res, "cache-control") == NULL;
    http_response_dispose(&res);
    return never;
}

static void a_time_to_live_is_told(void)
{
    http_conn_t conn;
    int64_t since_ms = monotonic_ms();
    site_open(&site, &conn);
    exchange_version(&conn, "PUT", "/v1/kv/ttl?ttl=90s", NULL, "1", 201);
    CU_ASSERT(has_seconds_left(&conn, "/v1/kv/ttl", 90, since_ms));
    exchange_version(&conn, "PUT", "/v1/kv/ttl", "Cairn-TTL: 2h\r\nCache-Control: no-store\r\n",
                     "1", 204);
    CU_ASSERT(has_seconds_left(&conn, "/v1/kv/ttl", 7200, since_ms));
    exchange_version(&conn, "PUT", "/v1/kv/ttl?ttl=3m", "Cairn-TTL: 2h\r\n", "1", 204);
    CU_ASSERT(has_seconds_left(&conn, "/v1/kv/ttl", 180, since_ms));
    exchange_version(&conn, "PUT", "/v1/kv/ttl?a=b&ttl=36525d", NULL, "1", 204);
    CU_ASSERT(has_seconds_left(&conn, "/v1/kv/ttl", 36525L * 86400, since_ms));
    exchange_version(&conn, "PUT", "/v1/kv/ttl", NULL, "1", 204);
    CU_ASSERT(never_expires(&conn, "/v1/kv/ttl"));

    exchange_version(&conn, "PUT", "/v1/kv/ttl?ttl=1h", NULL, "1", 204);
    exchange_version(&conn, "POST", "/v1/incr/ttl", NULL, NULL, 200);
    CU_ASSERT(has_seconds_left(&conn, "/v1/kv/ttl", 3600, since_ms));
    exchange_version(&conn, "POST", "/v1/append/ttl", NULL, "0", 204);
    CU_ASSERT(has_seconds_left(&conn, "/v1/kv/ttl", 3600, since_ms));
    exchange_version(&conn, "POST", "/v1/incr/ttl?by=2&ttl=2h", NULL, NULL, 200);
    CU_ASSERT(has_seconds_left(&conn, "/v1/kv/ttl", 7200, since_ms));
    exchange_version(&conn, "POST", "/v1/append/ttl", "Cairn-TTL: 1m\r\n", "", 204);
    CU_ASSERT(has_seconds_left(&conn, "/v1/kv/ttl", 60, since_ms));
    CU_ASSERT(exchange_gives(&conn, "/v1/kv/ttl", "22"));
    http_close(&conn);
}

/* a Cache-Control stored without a TTL and a TTL that came later: the reader is told one of them */
static void one_cache_control_is_told(void)
{
    http_conn_t conn;
    int64_t since_ms = monotonic_ms();
    http_response_t res;
    site_open(&site, &conn);
    exchange_version(&conn, "PUT", "/v1/kv/control", "Cache-Control: public, max-age=999999\r\n",
                     "1", 201);
    exchange_version(&conn, "POST", "/v1/incr/control?ttl=50s", NULL, NULL, 200);
    CU_ASSERT(has_seconds_left(&conn, "/v1/kv/control", 50, since_ms));
    exchange(&conn, "GET", "/v1/kv/control", "If-None-Match: *\r\n", NULL, 0, &res);
    CU_ASSERT_EQUAL(res.status, 304);
    CU_ASSERT_EQUAL(http_header_count(&res, "cache-control"), 1);
    CU_ASSERT_PTR_NOT_NULL(http_header(&res, "expires"));
    http_response_dispose(&res);
    http_close(&conn);
}

static void an_expired_key_is_gone(void)
{
    static const char *const keys[] = {"get", "put", "delete", "incr", "append", "match"};
    http_conn_t conn;
    char target[64];
    site_open(&site, &conn);
    for (size_t i = 0; i < 6; ++i) {
        snprintf(target, sizeof(target), "/v1/kv/gone-%s", keys[i]);
        exchange_version(&conn, "PUT", target,
                         i % 2 ? "Cairn-TTL: 1s\r\n" : "Cairn-TTL: 1000ms\r\n", "5", 201);
        exchange_version(&conn, "GET", target, NULL, NULL, 200);
    }
    sleep_ms(1010);
    CU_ASSERT(exchange_is_problem(&conn, "GET", "/v1/kv/gone-get", NULL, NULL, 404, "not_found"));
    CU_ASSERT(exchange_is_problem(&conn, "HEAD", "/v1/kv/gone-get", NULL, NULL, 404, "not_found"));
    CU_ASSERT(
        exchange_is_problem(&conn, "DELETE", "/v1/kv/gone-delete", NULL, NULL, 404, "not_found"));
    CU_ASSERT_EQUAL(
        exchange_version(&conn, "PUT", "/v1/kv/gone-match", "If-Match: *\r\n", "6", 412), 0);
    exchange_version(&conn, "PUT", "/v1/kv/gone-match", "If-None-Match: *\r\n", "6", 201);
    exchange_version(&conn, "PUT", "/v1/kv/gone-put", NULL, "6", 201);
    exchange_version(&conn, "POST", "/v1/append/gone-append", NULL, "6", 201);
    exchange_version(&conn, "POST", "/v1/incr/gone-incr", NULL, NULL, 200);
    CU_ASSERT(exchange_gives(&conn, "/v1/kv/gone-append", "6"));
    CU_ASSERT(exchange_gives(&conn, "/v1/kv/gone-incr", "1"));
    CU_ASSERT(never_expires(&conn, "/v1/kv/gone-incr"));
    CU_ASSERT(never_expires(&conn, "/v1/kv/gone-put"));
    http_close(&conn);
}

static void a_time_to_live_that_is_none(void)
{
    static const char *const bad[] = {"",
                                      "90",
                                      "s",
                                      "0s",
                                      "0ms",
                                      "-1s",
                                      "1.5s",
                                      "1w",
                                      "1S",
                                      "1s1",
                                      "1%20s",
                                      "%201s",
                                      "1s%20",
                                      "1us",
                                      "1min",
                                      "36526d",
                                      "99999999999999999999s",
                                      "18446744073709551615ms",
                                      "18446744073709551616ms",
                                      "213503982335d"};
    http_conn_t conn;
    char target[96], line[64];
    site_open(&site, &conn);
    uint64_t version = exchange_version(&conn, "PUT", "/v1/kv/bad-ttl", NULL, "1", 201);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); ++i) {
        snprintf(target, sizeof(target), "/v1/kv/bad-ttl?ttl=%s", bad[i]);
        CU_ASSERT(exchange_is_problem(&conn, "PUT", target, NULL, "2", 400, "bad_ttl"));
        snprintf(target, sizeof(target), "/v1/incr/bad-ttl?ttl=%s", bad[i]);
        CU_ASSERT(exchange_is_problem(&conn, "POST", target, NULL, NULL, 400, "bad_ttl"));
        snprintf(target, sizeof(target), "/v1/append/bad-ttl?ttl=%s", bad[i]);
        CU_ASSERT(exchange_is_problem(&conn, "POST", target, NULL, "2", 400, "bad_ttl"));
        if (strchr(bad[i], '%') != NULL)
            continue;
        snprintf(line, sizeof(line), "Cairn-TTL: %s\r\n", bad[i]);
        CU_ASSERT(exchange_is_problem(&conn, "PUT", "/v1/kv/bad-ttl", line, "2", 400, "bad_ttl"));
    }
    CU_ASSERT(
        exchange_is_problem(&conn, "PUT", "/v1/kv/bad-ttl?ttl=%zz", NULL, "2", 400, "bad_escape"));
    CU_ASSERT_EQUAL(exchange_version(&conn, "HEAD", "/v1/kv/bad-ttl", NULL, NULL, 200), version);
    http_close(&conn);
}

/* ---------------------------------------------------------------- incr and append */

/* whether an increment answers with this number, as text and in what is stored */
static bool increments_to(http_conn_t *conn, const char *query, const char *number)
{
    http_response_t res;
    char target[96];
    snprintf(target, sizeof(target), "/v1/incr/n%s", query);
    exchange(conn, "POST", target, NULL, NULL, 0, &res);
    bool is_right = res.status == 200 && body_is(&res, number, strlen(number)) &&
                    header_is(&res, "content-type", "text/plain");
    uint64_t version = version_of(&res);
    http_response_dispose(&res);
    return is_right && exchange_version(conn, "HEAD", "/v1/kv/n", NULL, NULL, 200) == version &&
           exchange_gives(conn, "/v1/kv/n", number);
}

static void numbers_are_added(void)
{
    static const char *const bad[] = {"",
                                      "one",
                                      "1.5",
                                      "+5",
                                      "%2B5",
                                      "-",
                                      "--1",
                                      "0x1",
                                      "1%20",
                                      "5,",
                                      "9223372036854775808",
                                      "-9223372036854775809"};
    http_conn_t conn;
    http_response_t res;
    char target[96];
    site_open(&site, &conn);
    CU_ASSERT(increments_to(&conn, "", "1"));
    exchange(&conn, "GET", "/v1/kv/n", NULL, NULL, 0, &res);
    CU_ASSERT(header_is(&res, "content-type", "text/plain"));
    http_response_dispose(&res);
    CU_ASSERT(increments_to(&conn, "?by=41", "42"));
    CU_ASSERT(increments_to(&conn, "?by=-50", "-8"));
    CU_ASSERT(increments_to(&conn, "?by=0", "-8"));
    CU_ASSERT(increments_to(&conn, "?by=%38", "0"));
    CU_ASSERT(increments_to(&conn, "?by=9223372036854775807", "9223372036854775807"));
    CU_ASSERT(exchange_is_problem(&conn, "POST", "/v1/incr/n", NULL, NULL, 409, "overflow"));
    CU_ASSERT(increments_to(&conn, "?by=-9223372036854775808", "-1"));
    CU_ASSERT(increments_to(&conn, "?by=-9223372036854775807", "-9223372036854775808"));
    CU_ASSERT(exchange_is_problem(&conn, "POST", "/v1/incr/n?by=-1", NULL, NULL, 409, "overflow"));
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); ++i) {
        snprintf(target, sizeof(target), "/v1/incr/n?by=%s", bad[i]);
        CU_ASSERT(exchange_is_problem(&conn, "POST", target, NULL, NULL, 400, "bad_number"));
    }
    CU_ASSERT(
        exchange_is_problem(&conn, "POST", "/v1/incr/n?by=%4", NULL, NULL, 400, "bad_escape"));
    CU_ASSERT(exchange_is_problem(&conn, "POST", "/v1/incr/", NULL, NULL, 400, "key_empty"));
    CU_ASSERT(exchange_gives(&conn, "/v1/kv/n", "-9223372036854775808"));

    exchange_version(&conn, "PUT", "/v1/kv/n", "Content-Type: text/count\r\nCairn-Meta-A: b\r\n",
                     "five", 204);
    CU_ASSERT(exchange_is_problem(&conn, "POST", "/v1/incr/n", NULL, NULL, 409, "not_a_number"));
    exchange_version(&conn, "PUT", "/v1/kv/n", "Content-Type: text/count\r\nCairn-Meta-A: b\r\n",
                     "5", 204);
    CU_ASSERT(increments_to(&conn, "", "6"));
    exchange(&conn, "GET", "/v1/kv/n", NULL, NULL, 0, &res);
    CU_ASSERT(header_is(&res, "content-type", "text/count"));
    CU_ASSERT(header_is(&res, "cairn-meta-a", "b"));
    http_response_dispose(&res);
    http_close(&conn);
}

static void bytes_are_appended(void)
{
    http_conn_t conn;
    http_response_t res;
    site_open(&site, &conn);
    uint64_t first = exchange_version(&conn, "POST", "/v1/append/a%2Fb",
                                      "Content-Type: text/log\r\n", "one", 201);
    CU_ASSERT(exchange_version(&conn, "POST", "/v1/append/a/b", "Content-Type: x/y\r\n", ",two",
                               204) > first);
    CU_ASSERT(exchange_version(&conn, "POST", "/v1/append/a/b", NULL, "", 204) > first + 1);
    exchange(&conn, "GET", "/v1/kv/a/b", NULL, NULL, 0, &res);
    CU_ASSERT(body_is(&res, "one,two", 7));
    CU_ASSERT(header_is(&res, "content-type", "text/log"));
    http_response_dispose(&res);
    CU_ASSERT(
        exchange_is_problem(&conn, "POST", "/v1/append/a/b", NULL, NULL, 411, "length_required"));
    CU_ASSERT(exchange_is_problem(&conn, "POST", "/v1/append/", NULL, "x", 400, "key_empty"));
    http_close(&conn);
}

static void appends_keep_to_the_limit(void)
{
    static const char *const args[] = {"--limits.value_bytes", "64KiB", NULL};
    site_t own;
    http_conn_t conn;
    http_response_t res;
    char *bytes = noise(65 * KIB, 9);
    CU_ASSERT_EQUAL_FATAL(site_start_in_memory(&own, args), 0);
    site_open(&own, &conn);
    CU_ASSERT_EQUAL(exchange_status(&conn, "POST", "/v1/append/k", NULL, bytes, 60 * KIB), 201);
    for (int i = 0; i < 2; ++i) { /* each too much: both together, and the second alone */
        exchange(&conn, "POST", "/v1/append/k", NULL, bytes, i ? 65 * KIB : 4 * KIB + 1, &res);
        CU_ASSERT(is_problem(&res, 413, "value_too_large"));
        http_response_dispose(&res);
        if (i == 0)
            CU_ASSERT_EQUAL(
                exchange_status(&conn, "POST", "/v1/append/k", NULL, bytes + 60 * KIB, 4 * KIB),
                204);
    }
    http_close(&conn); /* it may have been closed: the last body was refused unread */
    site_open(&own, &conn);
    exchange(&conn, "GET", "/v1/kv/k", NULL, NULL, 0, &res);
    CU_ASSERT(body_is(&res, bytes, 64 * KIB));
    http_response_dispose(&res);
    http_close(&conn);
    free(bytes);
    CU_ASSERT_EQUAL(site_end(&own), 0);
}

/* ---------------------------------------------------------------- sync, methods, restarts */

static void a_sync_is_waited_for(void)
{
    static const char *const args[] = {"--storage.sync_interval", "1m", NULL};
    static const char *const bad[] = {"",
                                      "?",
                                      "?version=",
                                      "?version=x",
                                      "?version=-1",
                                      "?version=1.0",
                                      "?version=18446744073709551616",
                                      "?version=9223372036854775807",
                                      "?versions=1"};
    site_t own;
    http_conn_t conn;
    char target[64];
    CU_ASSERT_EQUAL_FATAL(site_start(&own, TEMP_DIR_ON_DISK, args), 0);
    site_open(&own, &conn);
    uint64_t version = 0;
    for (int i = 0; i < 5; ++i)
        version =
            exchange_version(&conn, "POST", "/v1/incr/n", "Cairn-Durability: async\r\n", NULL, 200);
    snprintf(target, sizeof(target), "/v1/sync?version=%" PRIu64, version + 1);
    CU_ASSERT(exchange_is_problem(&conn, "GET", target, NULL, NULL, 400, "bad_version"));
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); ++i) {
        snprintf(target, sizeof(target), "/v1/sync%s", bad[i]);
        CU_ASSERT(exchange_is_problem(&conn, "GET", target, NULL, NULL, 400, "bad_version"));
    }
    for (uint64_t v = version; v != 0; --v) {
        http_response_t res;
        snprintf(target, sizeof(target), "/v1/sync?version=%" PRIu64, v);
        CU_ASSERT_EQUAL(exchange_version(&conn, "GET", target, NULL, NULL, 204), 0);
        snprintf(target, sizeof(target), "\"durable_version\": %" PRIu64, version);
        exchange(&conn, "GET", "/v1/stats", NULL, NULL, 0, &res);
        CU_ASSERT_PTR_NOT_NULL(strstr(res.body, target));
        http_response_dispose(&res);
    }
    http_close(&conn);
    CU_ASSERT_EQUAL(site_end(&own), 0);
}

static void other_methods(void)
{
    static const struct {
        const char *target, *allow;
        const char *methods[6];
    } rows[] = {
        {"/v1/kv/x", "GET, HEAD, PUT, DELETE", {"POST", "PATCH", "OPTIONS"}},
        {"/v1/incr/x", "POST", {"GET", "HEAD", "PUT", "DELETE", "PATCH"}},
        {"/v1/append/x", "POST", {"GET", "HEAD", "PUT", "DELETE", "PATCH"}},
        {"/v1/sync?version=1", "GET", {"HEAD", "POST", "PUT", "DELETE"}},
    };
    http_conn_t conn;
    http_response_t res;
    site_open(&site, &conn);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); ++i)
        for (const char *const *method = rows[i].methods; *method != NULL; ++method) {
            exchange(&conn, *method, rows[i].target, NULL, NULL, 0, &res);
            CU_ASSERT(is_problem(&res, 405, "method_not_allowed"));
            CU_ASSERT(header_is(&res, "allow", rows[i].allow));
            http_response_dispose(&res);
        }
    CU_ASSERT(exchange_is_problem(&conn, "GET", "/v1/kv/x", NULL, NULL, 404, "not_found"));
    http_close(&conn);
}

static void a_crash_changes_nothing(void)
{
    site_t own;
    http_conn_t conn;
    int64_t since_ms = monotonic_ms();
    http_response_t res;
    char *large = noise(40 * KIB, 8);
    CU_ASSERT_EQUAL_FATAL(site_start(&own, TEMP_DIR_ON_DISK, NULL), 0);
    site_open(&own, &conn);
    exchange_version(&conn, "PUT", "/v1/kv/short?ttl=700ms", NULL, "x", 201);
    exchange_version(&conn, "PUT", "/v1/kv/long?ttl=1h", NULL, "40", 201);
    uint64_t counted = exchange_version(&conn, "POST", "/v1/incr/long?by=2", NULL, NULL, 200);
    for (size_t at = 0; at < 40 * KIB; at += 5 * KIB)
        CU_ASSERT_EQUAL(exchange_status(&conn, "POST", "/v1/append/grown",
                                        at % 2048 ? NULL : "Cairn-Durability: async\r\n",
                                        large + at, 5 * KIB),
                        at ? 204 : 201);
    uint64_t once = exchange_version(&conn, "PUT", "/v1/kv/once", "If-None-Match: *\r\n", "1", 201);
    exchange_version(&conn, "DELETE", "/v1/kv/long", "If-Match: \"1\"\r\n", NULL, 412);
    http_close(&conn);
    CU_ASSERT(server_kill(&own.server) != 0);
    sleep_ms(700);
    site_start_again(&own, NULL);

    site_open(&own, &conn);
    CU_ASSERT(exchange_is_problem(&conn, "GET", "/v1/kv/short", NULL, NULL, 404, "not_found"));
    CU_ASSERT(exchange_is_problem(&conn, "DELETE", "/v1/kv/short", NULL, NULL, 404, "not_found"));
    CU_ASSERT_EQUAL(exchange_version(&conn, "PUT", "/v1/kv/short", "If-Match: *\r\n", "y", 412), 0);
    CU_ASSERT(exchange_gives(&conn, "/v1/kv/long", "42"));
    CU_ASSERT(has_seconds_left(&conn, "/v1/kv/long", 3600, since_ms));
    CU_ASSERT_EQUAL(
        exchange_version(&conn, "GET", "/v1/kv/long", tagged("If-None-Match", counted), NULL, 304),
        counted);
    exchange(&conn, "GET", "/v1/kv/grown", NULL, NULL, 0, &res);
    CU_ASSERT(body_is(&res, large, 40 * KIB));
    http_response_dispose(&res);
    CU_ASSERT_EQUAL(exchange_version(&conn, "PUT", "/v1/kv/once", "If-None-Match: *\r\n", "2", 412),
                    once);
    CU_ASSERT(exchange_version(&conn, "PUT", "/v1/kv/once", tagged("If-Match", once), "2", 204) >
              once);
    exchange_version(&conn, "POST", "/v1/incr/long", NULL, NULL, 200);
    CU_ASSERT(exchange_gives(&conn, "/v1/kv/long", "43"));
    http_close(&conn);
    free(large);
    CU_ASSERT_EQUAL(site_end(&own), 0);
}

/* a segment whose end is gone: what lies there is an I/O error to whoever touches it */
static void a_write_upon_what_cannot_be_read(void)
{
    static const struct {
        const char *method, *target, *headers, *body;
    } rows[] = {{"GET", "/v1/kv/lost", NULL, NULL},
                {"POST", "/v1/append/lost", NULL, "x"},
                {"POST", "/v1/incr/lost", NULL, NULL},
                {"PUT", "/v1/kv/lost", "If-Match: *\r\n", "x"}};
    site_t own;
    http_conn_t conn;
    char path[400];
    char *large = noise(20 * KIB, 10);
    CU_ASSERT_EQUAL_FATAL(site_start(&own, TEMP_DIR_ON_DISK, NULL), 0);
    site_open(&own, &conn);
    CU_ASSERT_EQUAL(exchange_status(&conn, "PUT", "/v1/kv/before", NULL, large, 20 * KIB), 201);
    exchange_version(&conn, "PUT", "/v1/kv/lost", NULL, "5", 201);
    exchange_version(&conn, "PUT", "/v1/kv/also-lost", NULL, "5", 201);
    http_close(&conn);
    CU_ASSERT_EQUAL(server_stop(&own.server), 0);
    site_start_again(&own, NULL);
    snprintf(path, sizeof(path), "%s/0000000000000001-0000.seg", own.data);
    CU_ASSERT_EQUAL_FATAL(truncate(path, 8 * KIB), 0);

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); ++i) {
        site_open(&own, &conn);
        CU_ASSERT(exchange_is_problem(&conn, rows[i].method, rows[i].target, rows[i].headers,
                                      rows[i].body, 500, "read_failed"));
        http_close(&conn);
    }
    /* what needs nothing of it is done */
    site_open(&own, &conn);
    exchange_version(&conn, "PUT", "/v1/kv/lost", NULL, "mended", 204);
    CU_ASSERT(exchange_gives(&conn, "/v1/kv/lost", "mended"));
    exchange_version(&conn, "DELETE", "/v1/kv/also-lost", NULL, NULL, 204);
    CU_ASSERT(exchange_is_problem(&conn, "GET", "/v1/kv/also-lost", NULL, NULL, 404, "not_found"));
    http_close(&conn);
    CU_ASSERT(site_answers(&own));
    CU_ASSERT_EQUAL(server_kill(&own.server), -SIGKILL);
    server_dispose(&own.server);
    CU_ASSERT(temp_dir_remove(&own.dir));
    free(large);
}

void suite_http_contract(void)
{
    CU_pSuite s = CU_add_suite("http_contract: expiry, incr, append, sync", start, end);
    CU_add_test(s, "a time to live is told", a_time_to_live_is_told);
    CU_add_test(s, "one Cache-Control is told", one_cache_control_is_told);
    CU_add_test(s, "an expired key is gone", an_expired_key_is_gone);
    CU_add_test(s, "a time to live that is none", a_time_to_live_that_is_none);
    CU_add_test(s, "numbers are added", numbers_are_added);
    CU_add_test(s, "bytes are appended", bytes_are_appended);
    CU_add_test(s, "appends keep to the limit", appends_keep_to_the_limit);
    CU_add_test(s, "a sync is waited for", a_sync_is_waited_for);
    CU_add_test(s, "other methods are told which there are", other_methods);
    CU_add_test(s, "a crash changes nothing", a_crash_changes_nothing);
    CU_add_test(s, "a write upon what cannot be read", a_write_upon_what_cannot_be_read);
}
