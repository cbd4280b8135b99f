/*
 * Does POST /v1/admin/snapshot make a copy that a server starts on, while others write?
 */
#include <CUnit/CUnit.h>

#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <jansson.h>

#include "tests/site.h"
#include "tests/store_fixture.h"
#include "tests/suites.h"

#define SNAPSHOT "/v1/admin/snapshot"
#define KEYS 100

static site_t site;

static int start(void)
{
    return site_start(&site, TEMP_DIR_IN_MEMORY,
                      (const char *const[]){"--storage.segment_bytes", "1MiB", NULL});
}

static int end(void)
{
    return site_end(&site);
}

/* makes one; its JSON, or NULL and a failed test */
static json_t *make(http_conn_t *conn, const char *name)
{
    char target[128];
    http_response_t res;
    snprintf(target, sizeof(target), SNAPSHOT "?name=%s", name);
    exchange(conn, "POST", target, NULL, NULL, 0, &res);
    CU_ASSERT_EQUAL(res.status, 201);
    CU_ASSERT(header_is(&res, "content-type", "application/json"));
    json_t *json = json_loads(res.body, 0, NULL);
    if (res.status != 201)
        fprintf(stderr, "\n%s\n", res.body);
    http_response_dispose(&res);
    return json;
}

static json_int_t number(const json_t *json, const char *name)
{
    return json_integer_value(json_object_get(json, name));
}

static bool is_refused(http_conn_t *conn, const char *method, const char *query, int status,
                       const char *code)
{
    char target[256];
    http_response_t res;
    snprintf(target, sizeof(target), SNAPSHOT "%s", query);
    exchange(conn, method, target, NULL, NULL, 0, &res);
    bool is_right = is_problem(&res, status, code);
    http_response_dispose(&res);
    return is_right;
}

static void made_listed_removed(void)
{
    http_conn_t conn;
    http_response_t res;
    char expected[512];
    site_open(&site, &conn);
    CU_ASSERT_EQUAL(exchange_status(&conn, "PUT", "/v1/kv/a", NULL, "1", 1), 201);
    json_t *json = make(&conn, "first");
    CU_ASSERT_STRING_EQUAL(json_string_value(json_object_get(json, "name")), "first");
    CU_ASSERT(number(json, "version") >= 1);
    CU_ASSERT(number(json, "bytes") > 4096);
    snprintf(expected, sizeof(expected), "%s/snapshots/first", site.data);
    CU_ASSERT_STRING_EQUAL(json_string_value(json_object_get(json, "path")), expected);
    struct stat st;
    CU_ASSERT(stat(expected, &st) == 0 && S_ISDIR(st.st_mode));
    CU_ASSERT(is_refused(&conn, "POST", "?name=first", 409, "snapshot_exists"));
    exchange(&conn, "GET", SNAPSHOT, NULL, NULL, 0, &res);
    CU_ASSERT_EQUAL(res.status, 200);
    json_t *list = json_loads(res.body, 0, NULL);
    CU_ASSERT_EQUAL(json_array_size(list), 1);
    CU_ASSERT(json_equal(json_array_get(list, 0), json));
    json_decref(list);
    json_decref(json);
    http_response_dispose(&res);
    CU_ASSERT_EQUAL(exchange_status(&conn, "DELETE", SNAPSHOT "?name=first", NULL, NULL, 0), 204);
    CU_ASSERT(is_refused(&conn, "DELETE", "?name=first", 404, "no_such_snapshot"));
    CU_ASSERT(stat(expected, &st) != 0);
    http_close(&conn);
}

static void what_is_refused(void)
{
    static const char *const names[] = {
        "",           "?name=",      "?name=..", "?name=a%2Fb", "?name=a.tmp", "?name=.hidden",
        "?name=a%00", "?name=%C3%A9"};
    http_conn_t conn;
    site_open(&site, &conn);
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); ++i) {
        CU_ASSERT(is_refused(&conn, "POST", names[i], 400, "bad_name"));
        CU_ASSERT(is_refused(&conn, "DELETE", names[i], 400, "bad_name"));
    }
    CU_ASSERT(is_refused(&conn, "POST", "?name=%zz", 400, "bad_escape"));
    CU_ASSERT(is_refused(&conn, "PUT", "?name=a", 405, "method_not_allowed"));
    http_close(&conn);
}

static void memory_has_none(void)
{
    site_t own = {.data = ""};
    http_conn_t conn;
    CU_ASSERT_EQUAL_FATAL(site_start_in_memory(&own, NULL), 0);
    site_open(&own, &conn);
    CU_ASSERT(is_refused(&conn, "POST", "?name=a", 409, "in_memory"));
    CU_ASSERT(is_refused(&conn, "GET", "", 409, "in_memory"));
    http_close(&conn);
    CU_ASSERT_EQUAL(site_end(&own), 0);
}

/* ---------------------------------------------------------------- restored */

/* puts the numbers from 1 on, each under its key and with the version that it is told */
typedef struct st_writer_t {
    _Atomic bool is_to_stop;
    _Atomic uint64_t written;
    _Atomic uint64_t first_version; /* number n has version first_version + n - 1 */
} writer_t;

static void *write_on(void *arg)
{
    writer_t *w = arg;
    http_conn_t conn;
    http_response_t res;
    char target[64], value[32];
    site_open(&site, &conn);
    for (uint64_t n = 1; !w->is_to_stop; ++n) {
        snprintf(target, sizeof(target), "/v1/kv/restore/%u", (unsigned)(n % KEYS));
        int bytes = snprintf(value, sizeof(value), "%" PRIu64, n);
        exchange(&conn, "PUT", target, NULL, value, (size_t)bytes, &res);
        if (n == 1)
            w->first_version = version_of(&res);
        CU_ASSERT_EQUAL(version_of(&res), w->first_version + n - 1);
        http_response_dispose(&res);
        w->written = n;
    }
    http_close(&conn);
    return NULL;
}

/* whether the server has, of the numbers, those up to `last` and nothing later */
static bool has_numbers_up_to(const site_t *copy, uint64_t last)
{
    http_conn_t conn;
    http_response_t res;
    char target[64], value[32];
    bool is_right = true;
    site_open(copy, &conn);
    for (uint64_t n = last > KEYS ? last - KEYS + 1 : 1; n <= last; ++n) {
        snprintf(target, sizeof(target), "/v1/kv/restore/%u", (unsigned)(n % KEYS));
        int bytes = snprintf(value, sizeof(value), "%" PRIu64, n);
        exchange(&conn, "GET", target, NULL, NULL, 0, &res);
        bool is_it = res.status == 200 && body_is(&res, value, (size_t)bytes);
        if (!is_it)
            fprintf(stderr, "\n    %s: %d, %.*s instead of %s", target, res.status,
                    (int)res.body_bytes, res.body, value);
        is_right &= is_it;
        http_response_dispose(&res);
    }
    http_close(&conn);
    return is_right;
}

static void restore(const char *name, site_t *copy)
{
    char from[512];
    *copy = (site_t){.data = ""};
    CU_ASSERT_FATAL(temp_dir_create(&copy->dir, TEMP_DIR_IN_MEMORY));
    snprintf(copy->data, sizeof(copy->data), "%s/data", copy->dir.path);
    snprintf(from, sizeof(from), "%s/snapshots/%s", site.data, name);
    CU_ASSERT_EQUAL_FATAL(mkdir(copy->data, 0700), 0);
    copy_dir(from, copy->data);
    site_start_again(copy, NULL);
}

static void a_copy_is_that_version(void)
{
    writer_t writer = {.written = 0};
    pthread_t thread;
    http_conn_t conn;
    site_t copy;
    uint64_t versions[3];
    site_open(&site, &conn);
    conn.timeout_ms = 60000;
    pthread_create(&thread, NULL, write_on, &writer);
    for (unsigned i = 0; i < 3; ++i) {
        char name[16];
        snprintf(name, sizeof(name), "busy%u", i);
        sleep_ms(50);
        uint64_t before = writer.written;
        json_t *json = make(&conn, name);
        versions[i] = (uint64_t)number(json, "version");
        json_decref(json);
        CU_ASSERT(versions[i] + 1 >= writer.first_version + before);
    }
    writer.is_to_stop = true;
    pthread_join(thread, NULL);
    for (unsigned i = 0; i < 3; ++i) {
        char name[16];
        snprintf(name, sizeof(name), "busy%u", i);
        restore(name, &copy);
        CU_ASSERT(has_numbers_up_to(&copy, versions[i] - writer.first_version + 1));
        http_conn_t other;
        site_open(&copy, &other);
        http_response_t res;
        exchange(&other, "PUT", "/v1/kv/new", NULL, "v", 1, &res);
        CU_ASSERT_EQUAL(version_of(&res), versions[i] + 1);
        http_response_dispose(&res);
        http_close(&other);
        CU_ASSERT_EQUAL(site_end(&copy), 0);
    }
    http_close(&conn);
}

void suite_http_snapshot(void)
{
    CU_pSuite s = CU_add_suite("http_snapshot", start, end);
    CU_add_test(s, "made, listed, removed", made_listed_removed);
    CU_add_test(s, "what is refused", what_is_refused);
    CU_add_test(s, "a server in memory has none", memory_has_none);
    CU_add_test(s, "a server on a copy has exactly that version", a_copy_is_that_version);
}
