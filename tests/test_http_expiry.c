/*
 * What has expired is gone for every request at the same instant, and does not come back, whatever
 * the clock does and however often the server is started.
 *
 * Over real sockets, against a server whose clock is staged (tests/staged_site.h).
 */
#include <CUnit/CUnit.h>

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/staged_site.h"
#include "tests/suites.h"

#define NOON_MS UINT64_C(1750000000000)
/* of every value with a time to live here, which is put at noon */
#define GONE_MS (NOON_MS + 10000)

static const char *const args[] = {"--storage.segment_bytes", "64KiB", NULL};

static staged_site_t staged;

static int put(http_conn_t *conn, const char *target, const char *body)
{
    return exchange_status(conn, "PUT", target, NULL, body, strlen(body));
}

/* ---------------------------------------------------------------- one key, asked for in every way
 */

typedef struct st_way_t {
    const char *method, *target, *headers, *body;
    int there, gone;                    /* the status */
    const char *there_text, *gone_text; /* in the body; NULL: anything */
} way_t;

/* Of a key with the value "needle"; none of them changes it. */
static const way_t ways[] = {
    {"GET", "/v1/kv/k", NULL, NULL, 200, 404, "needle", "not_found"},
    {"HEAD", "/v1/kv/k", NULL, NULL, 200, 404, NULL, NULL},
    {"GET", "/v1/kv/k", "Range: bytes=0-1\r\n", NULL, 206, 404, "ne", "not_found"},
    {"GET", "/v1/kv/k", "If-None-Match: *\r\n", NULL, 304, 404, NULL, "not_found"},
    {"GET", "/get?key=k", NULL, NULL, 200, 404, "needle", "not_found"},
    {"PUT", "/v1/kv/k", "If-Match: \"999\"\r\n", "x", 412, 412, NULL, NULL},
    {"DELETE", "/v1/kv/k", "If-Match: \"999\"\r\n", NULL, 412, 412, NULL, NULL},
    {"POST", "/v1/incr/k", "If-Match: \"999\"\r\n", NULL, 412, 412, NULL, NULL},
    {"POST", "/v1/append/k", "If-Match: \"999\"\r\n", "x", 412, 412, NULL, NULL},
    /* gets side by side, written as most clients do and otherwise; and gets through the writer */
    {"POST", "/v1/batch", NULL, "{\"op\":\"get\",\"key\":\"k\"}\n{\"op\":\"get\",\"key\":\"k\"}\n",
     200, 200, "needle", "{\"status\":404,\"code\":\"not_found\"}\n{\"status\":404"},
    {"POST", "/v1/batch", NULL, "{\"key\":\"k\", \"op\":\"get\"}", 200, 200, "needle", "404"},
    {"POST", "/v1/batch", NULL,
     "{\"op\":\"get\",\"key\":\"k\"}\n{\"op\":\"delete\",\"key\":\"none\"}\n", 200, 200, "needle",
     "{\"status\":404,\"code\":\"not_found\"}\n{\"status\":404"},
    {"POST", "/v1/batch", NULL, "{\"op\":\"get\",\"key\":\"k\",\"if_match\":\"*\"}", 200, 200,
     "needle", "412,\"code\":\"precondition_failed\"}"},
    {"POST", "/v1/batch?atomic=true", NULL,
     "{\"op\":\"get\",\"key\":\"k\"}\n{\"op\":\"delete\",\"key\":\"none\"}\n", 404, 404, NULL,
     NULL},
    {"POST", "/v1/batch", NULL, "{\"op\":\"delete\",\"key\":\"k\",\"if_match\":\"999\"}", 200, 200,
     "\"version\":", "412,\"code\":\"precondition_failed\"}"},
    {"GET", "/v1/keys?prefix=k", NULL, NULL, 200, 200, "{\"key\":\"k\",", ""},
    {"GET", "/v1/keys?prefix=k&values=true", NULL, NULL, 200, 200, "needle", ""},
    {"GET", "/v1/scan?contains=eedl", NULL, NULL, 200, 200, "{\"key\":\"k\",", ""},
    {"GET", "/v1/changes?since=0&prefix=k", NULL, NULL, 200, 200, "\"op\":\"put\"",
     "\"op\":\"delete\""},
    {"GET", "/v1/changes?since=0&prefix=k&values=true", NULL, NULL, 200, 200, "needle",
     "\"op\":\"delete\""},
};

/* an empty text stands for no body */
static bool has_text(const http_response_t *res, const char *text)
{
    return text == NULL ||
           (text[0] == '\0' ? res->body_bytes == 0 : strstr(res->body, text) != NULL);
}

static bool says(http_conn_t *conn, const way_t *way, bool is_there)
{
    http_response_t res;
    exchange(conn, way->method, way->target, way->headers, way->body,
             way->body != NULL ? strlen(way->body) : 0, &res);
    bool is_right = res.status == (is_there ? way->there : way->gone) &&
                    has_text(&res, is_there ? way->there_text : way->gone_text);
    /* the version of what is there is told with a 412, and none of what is gone */
    if (res.status == 412)
        is_right &= (http_header(&res, "etag") != NULL) == is_there;
    if (!is_right)
        fprintf(stderr, "\n    %s %s %s: %d %s", way->method, way->target,
                way->body != NULL ? way->body : "", res.status, res.body);
    http_response_dispose(&res);
    return is_right;
}

static bool all_say(http_conn_t *conn, bool is_there)
{
    bool all = true;
    for (size_t i = 0; i < sizeof(ways) / sizeof(ways[0]); ++i)
        all &= says(conn, &ways[i], is_there);
    return all;
}

/* so much that what was put before lies in a sealed segment, with a table of its keys */
static void seal(http_conn_t *conn)
{
    char *value = noise(40000, 1);
    char target[32], path[400];
    for (int i = 0; i < 4; ++i) {
        snprintf(target, sizeof(target), "/v1/kv/fill%d", i);
        CU_ASSERT_EQUAL(exchange_status(conn, "PUT", target, NULL, value, 40000), 201);
    }
    free(value);
    snprintf(path, sizeof(path), "%s/0000000000000001-0000.keys", staged.site.data);
    for (int i = 0; i < 10000 && access(path, F_OK) != 0; ++i)
        sleep_ms(1);
    CU_ASSERT_EQUAL(access(path, F_OK), 0);
}

/* the first time by each of them: the others have not been told yet that it is gone */
static void at_one_instant(void)
{
    for (int is_sealed = 0; is_sealed < 2; ++is_sealed) {
        http_conn_t conn;
        staged_site_start(&staged, args);
        staged_site_set_clock(&staged, NOON_MS);
        site_open(&staged.site, &conn);
        CU_ASSERT_EQUAL(put(&conn, "/v1/kv/k?ttl=10s", "needle"), 201);
        if (is_sealed)
            seal(&conn);
        for (size_t i = 0; i < sizeof(ways) / sizeof(ways[0]); ++i) {
            staged_site_set_clock(&staged, GONE_MS - 1 + 20000 * i);
            CU_ASSERT(all_say(&conn, true));
            staged_site_set_clock(&staged, GONE_MS + 20000 * i);
            CU_ASSERT(says(&conn, &ways[i], false));
            /* and what one of them was told, all are, though the clock be set back */
            staged_site_set_clock(&staged, NOON_MS + 1000);
            CU_ASSERT(all_say(&conn, false));
            staged_site_set_clock(&staged, NOON_MS + 20000 * (i + 1));
            CU_ASSERT_EQUAL(put(&conn, "/v1/kv/k?ttl=10s", "needle"), 201);
        }
        http_close(&conn);
        CU_ASSERT_EQUAL(server_stop(&staged.site.server), 0);
        staged_site_end(&staged);
    }
}

/* ---------------------------------------------------------------- writes */

typedef struct st_write_row_t {
    const char *method, *target, *headers, *body;
    int there, gone; /* the status */
} write_row_t;

static const write_row_t writes[] = {
    {"PUT", "/v1/kv/w0", NULL, "5", 204, 201},
    {"PUT", "/v1/kv/w1", "If-None-Match: *\r\n", "5", 412, 201},
    {"PUT", "/v1/kv/w2", "If-Match: *\r\n", "5", 204, 412},
    {"DELETE", "/v1/kv/w3", NULL, NULL, 204, 404},
    {"DELETE", "/v1/kv/w4", "If-Match: *\r\n", NULL, 204, 412},
    {"POST", "/v1/incr/w5", NULL, NULL, 200, 200},
    {"POST", "/v1/append/w6", NULL, "5", 204, 201},
    {"GET", "/set?key=w7&value=5", NULL, NULL, 204, 201},
    {"POST", "/delete?key=w8", NULL, NULL, 204, 404},
};
#define WRITES (sizeof(writes) / sizeof(writes[0]))

static void put_all(http_conn_t *conn)
{
    char target[32];
    for (size_t i = 0; i < WRITES; ++i) {
        snprintf(target, sizeof(target), "/v1/kv/w%zu?ttl=10s", i);
        int status = put(conn, target, "7");
        CU_ASSERT(status == 201 || status == 204);
    }
}

static void write_all(http_conn_t *conn, bool is_there)
{
    for (size_t i = 0; i < WRITES; ++i) {
        const write_row_t *w = &writes[i];
        int status = exchange_status(conn, w->method, w->target, w->headers, w->body,
                                     w->body != NULL ? strlen(w->body) : 0);
        if (status != (is_there ? w->there : w->gone))
            fprintf(stderr, "\n    %s %s: %d", w->method, w->target, status);
        CU_ASSERT_EQUAL(status, is_there ? w->there : w->gone);
    }
}

static void writes_see_the_same_instant(void)
{
    http_conn_t conn;
    staged_site_start(&staged, args);
    staged_site_set_clock(&staged, NOON_MS);
    site_open(&staged.site, &conn);
    put_all(&conn);
    staged_site_set_clock(&staged, GONE_MS - 1);
    write_all(&conn, true);
    CU_ASSERT(exchange_gives(&conn, "/v1/kv/w5", "8"));
    CU_ASSERT(exchange_gives(&conn, "/v1/kv/w6", "75"));
    /* incr and append have kept the time, PUT has removed it */
    staged_site_set_clock(&staged, GONE_MS);
    CU_ASSERT(exchange_gives(&conn, "/v1/kv/w0", "5"));
    CU_ASSERT_EQUAL(exchange_status(&conn, "GET", "/v1/kv/w5", NULL, NULL, 0), 404);
    CU_ASSERT_EQUAL(exchange_status(&conn, "GET", "/v1/kv/w6", NULL, NULL, 0), 404);

    put_all(&conn);
    staged_site_set_clock(&staged, GONE_MS + 10000);
    write_all(&conn, false);
    CU_ASSERT(exchange_gives(&conn, "/v1/kv/w5", "1"));
    CU_ASSERT(exchange_gives(&conn, "/v1/kv/w6", "5"));
    /* they are new values, without a time */
    staged_site_set_clock(&staged, GONE_MS + 1000000);
    CU_ASSERT(exchange_gives(&conn, "/v1/kv/w5", "1"));
    CU_ASSERT(exchange_gives(&conn, "/v1/kv/w6", "5"));
    http_close(&conn);
    CU_ASSERT_EQUAL(server_stop(&staged.site.server), 0);
    staged_site_end(&staged);
}

/* ---------------------------------------------------------------- the clock is set back */

/* what has expired by the clock stays so when the clock is set back, over a restart too */
static void over_restarts(void)
{
    http_conn_t conn;
    staged_site_start(&staged, args);
    staged_site_set_clock(&staged, NOON_MS);
    site_open(&staged.site, &conn);
    CU_ASSERT_EQUAL(put(&conn, "/v1/kv/k?ttl=10s", "needle"), 201);
    /* the log sees this time: a restart goes on from there, whatever the clock says */
    staged_site_set_clock(&staged, NOON_MS + 20000);
    CU_ASSERT_EQUAL(put(&conn, "/v1/kv/other", "1"), 201);
    http_close(&conn);
    for (int i = 0; i < 2; ++i) { /* after a crash, and after a stop */
        int ended = i == 0 ? server_kill(&staged.site.server) : server_stop(&staged.site.server);
        CU_ASSERT_EQUAL(ended == 0, i == 1);
        staged_site_set_clock(&staged, NOON_MS + 2000);
        staged_site_start_again(&staged, args);
        site_open(&staged.site, &conn);
        CU_ASSERT(all_say(&conn, false));
        http_close(&conn);
    }
    site_open(&staged.site, &conn);
    CU_ASSERT_EQUAL(put(&conn, "/v1/kv/k", "2"), 201); /* created: there was none */
    http_close(&conn);
    staged_site_end(&staged);
}

static double commits(http_conn_t *conn)
{
    return site_metric(conn, "cairn_commits_total");
}

/* commits when the writer has marked the last of them, which it does after 20 ms of rest */
static double settled_commits(http_conn_t *conn)
{
    double count;
    do {
        count = commits(conn);
        sleep_ms(300);
    } while (commits(conn) != count);
    return count;
}

/* Nothing was written since it expired, but somebody was told: the log learns of that, within a
 * second or so, and a crash forgets it no more than a stop. */
static void over_a_crash_after_reads_only(void)
{
    http_conn_t conn;
    staged_site_start(&staged, args);
    staged_site_set_clock(&staged, NOON_MS);
    site_open(&staged.site, &conn);
    CU_ASSERT_EQUAL(put(&conn, "/v1/kv/k?ttl=10s", "needle"), 201);
    double before = settled_commits(&conn);
    staged_site_set_clock(&staged, GONE_MS);
    CU_ASSERT_EQUAL(exchange_status(&conn, "GET", "/v1/kv/k", NULL, NULL, 0), 404);
    for (int i = 0; i < 1000 && commits(&conn) == before; ++i)
        sleep_ms(10);
    CU_ASSERT_EQUAL(commits(&conn), before + 1);
    /* once is enough */
    CU_ASSERT_EQUAL(exchange_status(&conn, "GET", "/v1/kv/k", NULL, NULL, 0), 404);
    sleep_ms(2500);
    CU_ASSERT_EQUAL(commits(&conn), before + 1);
    http_close(&conn);
    CU_ASSERT_EQUAL(server_kill(&staged.site.server), -SIGKILL);
    staged_site_set_clock(&staged, NOON_MS + 2000);
    staged_site_start_again(&staged, args);
    site_open(&staged.site, &conn);
    CU_ASSERT(all_say(&conn, false));
    http_close(&conn);
    staged_site_end(&staged);
}

/* a stop keeps the time that somebody was told at once */
static void over_a_stop_after_reads_only(void)
{
    http_conn_t conn;
    staged_site_start(&staged, args);
    staged_site_set_clock(&staged, NOON_MS);
    site_open(&staged.site, &conn);
    CU_ASSERT_EQUAL(put(&conn, "/v1/kv/k?ttl=10s", "needle"), 201);
    staged_site_set_clock(&staged, GONE_MS);
    CU_ASSERT_EQUAL(exchange_status(&conn, "GET", "/v1/kv/k", NULL, NULL, 0), 404);
    http_close(&conn);
    CU_ASSERT_EQUAL(server_stop(&staged.site.server), 0);
    staged_site_set_clock(&staged, NOON_MS + 2000);
    staged_site_start_again(&staged, args);
    site_open(&staged.site, &conn);
    CU_ASSERT(all_say(&conn, false));
    http_close(&conn);
    staged_site_end(&staged);
}

void suite_http_expiry(void)
{
    CU_pSuite s = CU_add_suite("http_expiry: gone for all at once, and for good", NULL, NULL);
    CU_add_test(s, "gone at one instant, by whichever way it is asked for", at_one_instant);
    CU_add_test(s, "writes see the same instant", writes_see_the_same_instant);
    CU_add_test(s, "a clock that is set back revives nothing, over restarts", over_restarts);
    CU_add_test(s, "nor over a crash if there were only reads", over_a_crash_after_reads_only);
    CU_add_test(s, "nor over a stop if there were only reads", over_a_stop_after_reads_only);
}
