/*
 * Does GET /v1/changes tell what has changed, at once, or when it happens while one waits for it?
 */
#include <CUnit/CUnit.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>
#include <openssl/evp.h>

#include "tests/changes_call.h"
#include "tests/scratch.h"
#include "tests/stream.h"
#include "tests/suites.h"

static site_t site;

static int start(void)
{
    return site_start(&site, TEMP_DIR_IN_MEMORY,
                      (const char *const[]){"--limits.stall", "1s", "--limits.wait", "5s", NULL});
}

static int end(void)
{
    return site_end(&site);
}

/* whether the page is this; <N> stands for the version N behind `since` */
static bool page_is(http_conn_t *conn, uint64_t since, const char *query, const char *expected)
{
    char target[256], text[4096];
    http_response_t res;
    size_t n = 0;
    snprintf(target, sizeof(target), CHANGES "?since=%" PRIu64 "%s", since, query);
    changes_get(conn, target, &res);
    for (const char *at = expected; *at != '\0';) {
        if (*at == '<') {
            n += (size_t)sprintf(text + n, "%" PRIu64, since + strtoul(at + 1, NULL, 10));
            at = strchr(at, '>') + 1;
        } else {
            text[n++] = *at++;
        }
    }
    text[n] = '\0';
    bool is_right = strcmp(res.body, text) == 0;
    if (!is_right)
        fprintf(stderr, "\n%s\nexpected %s\ngot      %s\n", target, text, res.body);
    http_response_dispose(&res);
    return is_right;
}

/* ---------------------------------------------------------------- pages */

static void pages_say_what_changed(void)
{
    http_conn_t conn;
    site_open(&site, &conn);
    uint64_t since = changes_newest(&conn);
    http_response_t res;
    changes_put_text(&conn, "/v1/kv/page/a", "text");
    changes_put(&conn, "/v1/kv/page/%FF%00", "\x80\0", 2);
    changes_put_text(&conn, "/v1/kv/page/a", "again \"\\\n");
    changes_delete(&conn, "/v1/kv/page/a");
    exchange(&conn, "PUT", "/v1/kv/page/typed?ttl=1h", "Content-Type: text/x-é\r\n", "", 0, &res);
    http_response_dispose(&res);
    CU_ASSERT(page_is(&conn, since, "&limit=4",
                      "{\"version\":<1>,\"op\":\"put\",\"key\":\"page/a\",\"size\":4}\n"
                      "{\"version\":<2>,\"op\":\"put\",\"key_b64\":\"cGFnZS//AA==\",\"size\":2}\n"
                      "{\"version\":<3>,\"op\":\"put\",\"key\":\"page/a\",\"size\":9}\n"
                      "{\"version\":<4>,\"op\":\"delete\",\"key\":\"page/a\"}\n"));
    CU_ASSERT(page_is(&conn, since, "&limit=4&values=true&prefix=page/a",
                      "{\"version\":<1>,\"op\":\"put\",\"key\":\"page/a\",\"size\":4,"
                      "\"value\":\"text\"}\n"
                      "{\"version\":<3>,\"op\":\"put\",\"key\":\"page/a\",\"size\":9,"
                      "\"value\":\"again \\\"\\\\\\n\"}\n"
                      "{\"version\":<4>,\"op\":\"delete\",\"key\":\"page/a\"}\n"));
    CU_ASSERT(page_is(&conn, since + 1, "&limit=1&values=true",
                      "{\"version\":<1>,\"op\":\"put\",\"key_b64\":\"cGFnZS//AA==\",\"size\":2,"
                      "\"value_b64\":\"gAA=\"}\n"));
    CU_ASSERT(page_is(&conn, since + 5, "", ""));
    char target[64];
    snprintf(target, sizeof(target), CHANGES "?since=%" PRIu64, since + 4);
    changes_get(&conn, target, &res);
    json_t *json = json_loads(res.body, 0, NULL);
    CU_ASSERT_STRING_EQUAL(json_string_value(json_object_get(json, "content_type")), "text/x-é");
    CU_ASSERT(json_integer_value(json_object_get(json, "expires")) > 1700000000000);
    CU_ASSERT_EQUAL(json_integer_value(json_object_get(json, "size")), 0);
    json_decref(json);
    http_response_dispose(&res);
    exchange(&conn, "HEAD", target, NULL, NULL, 0, &res);
    CU_ASSERT_EQUAL(res.status, 200);
    CU_ASSERT_EQUAL(changes_looked_at(&res), since + 5);
    http_response_dispose(&res);
    http_close(&conn);
}

/* follows Link to the end; returns how many pages it took */
static size_t follow_pages(http_conn_t *conn, const char *first, size_t *lines, uint64_t *version)
{
    char target[512];
    size_t pages = 0;
    snprintf(target, sizeof(target), "%s", first);
    *lines = 0;
    for (bool more = true; more; ++pages) {
        http_response_t res;
        size_t before = *lines;
        changes_get(conn, target, &res);
        for (const char *at = res.body; (at = strchr(at, '\n')) != NULL; ++at)
            ++*lines;
        *version = changes_looked_at(&res);
        more = *lines != before;
        const char *link = http_header(&res, "link"), *close = NULL;
        CU_ASSERT_FATAL(link != NULL && link[0] == '<' && (close = strchr(link, '>')) != NULL &&
                        strcmp(close, ">; rel=\"next\"") == 0);
        snprintf(target, sizeof(target), "%.*s", (int)(close - link - 1), link + 1);
        http_response_dispose(&res);
    }
    return pages;
}

static void links_lead_to_the_end(void)
{
    http_conn_t conn;
    char target[64];
    size_t lines;
    uint64_t version;
    site_open(&site, &conn);
    uint64_t since = changes_newest(&conn);
    for (unsigned i = 0; i < 25; ++i) {
        snprintf(target, sizeof(target), "/v1/kv/%s%%26%%3E/%u", i % 5 == 0 ? "odd" : "link", i);
        changes_put_text(&conn, target, "v");
    }
    snprintf(target, sizeof(target), CHANGES "?since=%" PRIu64 "&limit=10", since);
    CU_ASSERT_EQUAL(follow_pages(&conn, target, &lines, &version), 4);
    CU_ASSERT_EQUAL(lines, 25);
    CU_ASSERT_EQUAL(version, since + 25);
    strcat(target, "&prefix=link%26%3E/");
    CU_ASSERT_EQUAL(follow_pages(&conn, target, &lines, &version), 3);
    CU_ASSERT_EQUAL(lines, 20);
    http_close(&conn);
}

/* what does not fit a page comes with the next one, and is made off the event loop */
static void large_values_come_in_more_pages(void)
{
    http_conn_t conn;
    char target[80], *value = noise(3 << 20, 7);
    size_t lines;
    uint64_t version;
    site_open(&site, &conn);
    uint64_t since = changes_newest(&conn);
    for (unsigned i = 0; i < 4; ++i) {
        snprintf(target, sizeof(target), "/v1/kv/large/%u", i);
        changes_put(&conn, target, value, 3 << 20);
    }
    snprintf(target, sizeof(target), CHANGES "?since=%" PRIu64 "&values=true", since);
    CU_ASSERT_EQUAL(follow_pages(&conn, target, &lines, &version), 5);
    CU_ASSERT_EQUAL(lines, 4);
    free(value);
    http_close(&conn);
}

static void what_is_refused(void)
{
    static const struct {
        const char *query;
        int status;
        const char *code;
    } cases[] = {
        {"since=", 400, "bad_version"},
        {"since=x", 400, "bad_version"},
        {"since=-1", 400, "bad_version"},
        {"since=1.5", 400, "bad_version"},
        {"since=+1", 400, "bad_version"},
        {"since=18446744073709551616", 400, "bad_version"},
        {"since=1&base=y", 400, "bad_version"},
        {"since=%zz", 400, "bad_escape"},
        {"limit=0", 400, "bad_number"},
        {"limit=10001", 400, "bad_number"},
        {"limit=99999999999999999999", 400, "bad_number"},
        {"limit=ten", 400, "bad_number"},
        {"wait=30", 400, "bad_request"},
        {"wait=soon", 400, "bad_request"},
        {"values=maybe", 400, "bad_request"},
        {"prefix=%4", 400, "bad_escape"},
    };
    http_conn_t conn;
    http_response_t res;
    char target[128];
    site_open(&site, &conn);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); ++i)
        for (int is_stream = 0; is_stream < 2; ++is_stream) {
            snprintf(target, sizeof(target), CHANGES "?%s", cases[i].query);
            exchange(&conn, "GET", target, is_stream ? SSE : NULL, NULL, 0, &res);
            CU_ASSERT(is_problem(&res, cases[i].status, cases[i].code));
            http_response_dispose(&res);
        }
    char *long_prefix = malloc(3000);
    int n = sprintf(long_prefix, CHANGES "?prefix=");
    memset(long_prefix + n, 'p', 2049);
    long_prefix[n + 2049] = '\0';
    exchange(&conn, "GET", long_prefix, NULL, NULL, 0, &res);
    CU_ASSERT(is_problem(&res, 414, "key_too_long"));
    http_response_dispose(&res);
    free(long_prefix);
    exchange(&conn, "GET", CHANGES, SSE "Last-Event-ID: 4x\r\n", NULL, 0, &res);
    CU_ASSERT(is_problem(&res, 400, "bad_version"));
    http_response_dispose(&res);
    exchange(&conn, "POST", CHANGES, NULL, "", 0, &res);
    CU_ASSERT(is_problem(&res, 405, "method_not_allowed"));
    CU_ASSERT(header_is(&res, "allow", "GET, HEAD"));
    http_response_dispose(&res);
    http_close(&conn);
}

/* ---------------------------------------------------------------- waiting */

/* sends the request, and does not read yet */
static void ask(http_conn_t *conn, const char *target)
{
    char request[256];
    site_open(&site, conn);
    conn->timeout_ms = PATIENCE_MS;
    int n = snprintf(request, sizeof(request), "GET %s HTTP/1.1\r\nHost: t\r\n\r\n", target);
    CU_ASSERT_FATAL(http_send(conn, request, (size_t)n));
}

static void a_wait_ends_with_a_change(void)
{
    http_conn_t conn, waiting, other;
    http_response_t res;
    char target[128];
    site_open(&site, &conn);
    uint64_t since = changes_newest(&conn);
    snprintf(target, sizeof(target), CHANGES "?since=%" PRIu64 "&wait=1h", since);
    ask(&waiting, target);
    strcat(target, "&prefix=wanted");
    ask(&other, target);
    CU_ASSERT(site_metric_comes_to(&conn, "cairn_followers", 2));
    changes_put_text(&conn, "/v1/kv/unwanted", "v");
    CU_ASSERT_FATAL(http_read_response(&waiting, "GET", &res));
    CU_ASSERT_PTR_NOT_NULL(strstr(res.body, "\"key\":\"unwanted\""));
    CU_ASSERT_EQUAL(changes_looked_at(&res), since + 1);
    http_response_dispose(&res);
    CU_ASSERT(site_metric_comes_to(&conn, "cairn_followers", 1));
    changes_put_text(&conn, "/v1/kv/wanted", "v");
    CU_ASSERT_FATAL(http_read_response(&other, "GET", &res));
    CU_ASSERT_PTR_NOT_NULL(strstr(res.body, "\"key\":\"wanted\""));
    CU_ASSERT_PTR_NULL(strstr(res.body, "unwanted"));
    CU_ASSERT_EQUAL(changes_looked_at(&res), since + 2);
    http_response_dispose(&res);
    /* the connection goes on */
    CU_ASSERT_EQUAL(exchange_status(&other, "GET", "/livez", NULL, NULL, 0), 204);
    http_close(&conn);
    http_close(&waiting);
    http_close(&other);
}

static void a_wait_ends_with_nothing(void)
{
    http_conn_t conn;
    http_response_t res;
    char target[128];
    site_open(&site, &conn);
    conn.timeout_ms = PATIENCE_MS;
    uint64_t since = changes_newest(&conn);
    int64_t begin = monotonic_ms();
    snprintf(target, sizeof(target), CHANGES "?since=%" PRIu64 "&wait=300ms", since);
    changes_get(&conn, target, &res);
    CU_ASSERT_EQUAL(res.body_bytes, 0);
    CU_ASSERT_EQUAL(changes_looked_at(&res), since);
    CU_ASSERT(monotonic_ms() - begin >= 300);
    http_response_dispose(&res);
    /* beyond what there is: waits too, and is not told of what is not behind that */
    snprintf(target, sizeof(target), CHANGES "?since=%" PRIu64 "&wait=200ms", since + 1000);
    changes_get(&conn, target, &res);
    CU_ASSERT_EQUAL(res.body_bytes, 0);
    CU_ASSERT_EQUAL(changes_looked_at(&res), since + 1000);
    http_response_dispose(&res);
    /* limits.wait */
    begin = monotonic_ms();
    snprintf(target, sizeof(target), CHANGES "?since=%" PRIu64 "&wait=365d", since);
    changes_get(&conn, target, &res);
    CU_ASSERT(monotonic_ms() - begin >= 5000 && monotonic_ms() - begin < PATIENCE_MS);
    http_response_dispose(&res);
    http_close(&conn);
}

/* many wait beyond what there is beside one that does not: nobody is in anybody's way */
static void waiting_far_ahead_disturbs_nobody(void)
{
    http_conn_t conn, ahead, waiting;
    http_response_t res;
    char target[128];
    site_open(&site, &conn);
    uint64_t since = changes_newest(&conn);
    snprintf(target, sizeof(target), CHANGES "?since=%" PRIu64 "&wait=3s", since + 2);
    ask(&ahead, target);
    CU_ASSERT(site_metric_comes_to(&conn, "cairn_followers", 1));
    snprintf(target, sizeof(target), CHANGES "?since=%" PRIu64 "&wait=3s", since);
    ask(&waiting, target);
    changes_put_text(&conn, "/v1/kv/ahead", "1");
    CU_ASSERT_FATAL(http_read_response(&waiting, "GET", &res));
    CU_ASSERT_EQUAL(changes_looked_at(&res), since + 1);
    http_response_dispose(&res);
    changes_put_text(&conn, "/v1/kv/ahead", "2");
    changes_put_text(&conn, "/v1/kv/ahead", "3");
    CU_ASSERT_FATAL(http_read_response(&ahead, "GET", &res));
    CU_ASSERT_EQUAL(changes_looked_at(&res), since + 3);
    http_response_dispose(&res);
    http_close(&conn);
    http_close(&ahead);
    http_close(&waiting);
}

static void who_vanishes_leaves_nothing(void)
{
    http_conn_t conn, gone[40];
    stream_t streams[20];
    site_open(&site, &conn);
    CU_ASSERT(site_metric_comes_to(&conn, "cairn_followers", 0));
    size_t fds = fd_base_line(site.server.pid);
    for (size_t i = 0; i < 40; ++i)
        ask(&gone[i], CHANGES "?since=1000000000&wait=5s");
    for (size_t i = 0; i < 20; ++i)
        CU_ASSERT_FATAL(
            stream_open(&streams[i], site.server.port, CHANGES "?since=now", SSE, false) &&
            stream_wait_for(&streams[i], ":\n\n", PATIENCE_MS));
    CU_ASSERT(site_metric_comes_to(&conn, "cairn_followers", 60));
    for (size_t i = 0; i < 40; ++i) {
        if (i % 2 != 0)
            http_reset(&gone[i]);
        else
            http_close(&gone[i]);
    }
    for (size_t i = 0; i < 20; ++i) {
        if (i % 2 != 0)
            http_reset(&streams[i].conn);
        stream_close(&streams[i]);
    }
    CU_ASSERT(site_metric_comes_to(&conn, "cairn_followers", 0));
    CU_ASSERT(fd_count_comes_to(site.server.pid, fds));
    http_close(&conn);
}

/* a client that has closed its side is not waited for, and one that still listens is told nothing
 * false: a page without changes, and where to go on */
static void who_has_said_all_gets_a_page(void)
{
    http_conn_t conn;
    http_response_t res;
    site_open(&site, &conn);
    int64_t began = monotonic_ms();
    ask(&conn, CHANGES "?since=1000000000&wait=5s");
    CU_ASSERT(http_half_close(&conn));
    CU_ASSERT_FATAL(http_read_response(&conn, "GET", &res));
    CU_ASSERT(monotonic_ms() - began < 4000);
    CU_ASSERT_EQUAL(res.status, 200);
    CU_ASSERT_EQUAL(res.body_bytes, 0);
    CU_ASSERT_EQUAL(changes_looked_at(&res), 1000000000);
    CU_ASSERT_PTR_NOT_NULL(http_header(&res, "link"));
    http_response_dispose(&res);
    CU_ASSERT(http_server_closes_within(&conn, 2000));
    http_close(&conn);
}

/* a request behind one that waits is read when that has been answered */
static void a_pipelined_request_waits_its_turn(void)
{
    static const char both[] =
        "GET " CHANGES "?since=1000000000&wait=300ms HTTP/1.1\r\nHost: t\r\n\r\n"
        "GET /livez HTTP/1.1\r\nHost: t\r\n\r\n";
    http_conn_t conn;
    http_response_t res;
    site_open(&site, &conn);
    exchange_raw(&conn, both, sizeof(both) - 1, "GET", &res);
    CU_ASSERT_EQUAL(res.status, 200);
    http_response_dispose(&res);
    CU_ASSERT_FATAL(http_read_response(&conn, "GET", &res));
    CU_ASSERT_EQUAL(res.status, 204);
    http_response_dispose(&res);
    http_close(&conn);
}

/* ---------------------------------------------------------------- servers of their own */

static void feeds_go_on_after_a_kill(void)
{
    site_t own = {.data = ""};
    http_conn_t conn;
    CU_ASSERT_EQUAL_FATAL(site_start(&own, TEMP_DIR_IN_MEMORY, NULL), 0);
    site_open(&own, &conn);
    changes_put_text(&conn, "/v1/kv/a", "1");
    changes_put_text(&conn, "/v1/kv/b", "2");
    http_close(&conn);
    server_kill(&own.server);
    site_start_again(&own, NULL);
    site_open(&own, &conn);
    changes_put_text(&conn, "/v1/kv/c", "3");
    CU_ASSERT(page_is(&conn, 1, "",
                      "{\"version\":<1>,\"op\":\"put\",\"key\":\"b\",\"size\":1}\n"
                      "{\"version\":<2>,\"op\":\"put\",\"key\":\"c\",\"size\":1}\n"));
    http_close(&conn);
    CU_ASSERT_EQUAL(site_end(&own), 0);
}

/* overwrites a few keys, so that what was written before lies in sealed segments, and has what is
 * dead compacted away until a delete has gone with it */
static double drop_deletes(http_conn_t *conn)
{
    char target[32], *value = noise(10000, 7);
    double dropped = 0;
    for (int i = 0; i < 20; ++i) {
        snprintf(target, sizeof(target), "/v1/kv/fill%d", i % 3);
        changes_put(conn, target, value, 10000);
    }
    free(value);
    for (int64_t until = monotonic_ms() + PATIENCE_MS; dropped == 0 && monotonic_ms() < until;) {
        CU_ASSERT_EQUAL(exchange_status(conn, "POST", "/v1/admin/compact", NULL, NULL, 0), 202);
        sleep_ms(50);
        dropped = site_metric(conn, "cairn_dropped_version");
    }
    return dropped;
}

/* who has read less than a delete that is gone is told so; who begins anew is told what there is */
static void a_feed_that_is_too_old(void)
{
    site_t own = {.data = ""};
    http_conn_t conn;
    http_response_t res;
    stream_t stream;
    char target[64];
    CU_ASSERT_EQUAL_FATAL(
        site_start(&own, TEMP_DIR_IN_MEMORY,
                   (const char *const[]){"--storage.segment_bytes", "64KiB",
                                         "--storage.tombstone_retention", "1ms", NULL}),
        0);
    site_open(&own, &conn);
    uint64_t first = changes_put_text(&conn, "/v1/kv/gone", "1");
    changes_delete(&conn, "/v1/kv/gone");
    sleep_ms(50); /* storage.tombstone_retention is over when its segment is compacted */
    double dropped = drop_deletes(&conn);
    CU_ASSERT_FATAL(dropped >= 2);
    snprintf(target, sizeof(target), CHANGES "?since=%" PRIu64, first);
    CU_ASSERT(exchange_is_problem(&conn, "GET", target, NULL, NULL, 410, "compacted"));
    CU_ASSERT_FATAL(stream_open(&stream, own.server.port, target, SSE, false));
    CU_ASSERT(stream_wait_for(&stream, "\"code\":\"compacted\"", PATIENCE_MS));
    CU_ASSERT_PTR_NOT_NULL(strstr(stream.text, "HTTP/1.1 410 "));
    stream_close(&stream);

    snprintf(target, sizeof(target), CHANGES "?since=%.0f", dropped);
    changes_get(&conn, target, &res);
    http_response_dispose(&res);
    changes_get(&conn, CHANGES "?since=0", &res);
    CU_ASSERT_PTR_NULL(strstr(res.body, "\"gone\""));
    for (int i = 0; i < 3; ++i) {
        snprintf(target, sizeof(target), "\"op\":\"put\",\"key\":\"fill%d\"", i);
        CU_ASSERT_PTR_NOT_NULL(strstr(res.body, target));
    }
    http_response_dispose(&res);
    http_close(&conn);
    CU_ASSERT_EQUAL(site_end(&own), 0);
}

static void tokens_narrow_the_feed(void)
{
    static const char secret[] = "secret", headers[] = "Authorization: Bearer secret\r\n";
    unsigned char sum[32];
    char config[512], hex[65];
    site_t own = {.data = ""};
    http_conn_t conn;
    http_response_t res;
    stream_t stream;
    EVP_Digest(secret, sizeof(secret) - 1, sum, NULL, EVP_sha256(), NULL);
    for (size_t i = 0; i < sizeof(sum); ++i)
        sprintf(hex + 2 * i, "%02x", sum[i]);
    int n = snprintf(config, sizeof(config),
                     "auth:\n  tokens:\n"
                     "    - {name: bound, sha256: %s, scope: write, prefix: shop/}\n",
                     hex);
    CU_ASSERT_EQUAL_FATAL(scratch_make(), 0);
    scratch_write(config, (size_t)n);
    CU_ASSERT_EQUAL_FATAL(
        site_start_in_memory(&own, (const char *const[]){"--config", scratch_file(), NULL}), 0);
    site_open(&own, &conn);
    static const struct {
        const char *query;
        int status;
    } cases[] = {{"?since=0", 200},       {"?prefix=sh", 200},    {"?prefix=shop/", 200},
                 {"?prefix=shop/a", 200}, {"?prefix=shed/", 403}, {"?prefix=a", 403},
                 {"?prefix=shop", 200},   {"?prefix=t", 403},     {"?prefix=%73hop/x", 200}};
    CU_ASSERT_EQUAL(exchange_status(&conn, "PUT", "/v1/kv/shop/a", headers, "v", 1), 201);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); ++i) {
        char target[64];
        snprintf(target, sizeof(target), CHANGES "%s", cases[i].query);
        exchange(&conn, "GET", target, headers, NULL, 0, &res);
        CU_ASSERT_EQUAL(res.status, cases[i].status);
        http_response_dispose(&res);
    }
    exchange(&conn, "GET", CHANGES "?prefix=sho", headers, NULL, 0, &res);
    CU_ASSERT(
        header_is(&res, "link", "</v1/changes?since=1&prefix=shop%2F&limit=1000>; rel=\"next\""));
    http_response_dispose(&res);
    exchange(&conn, "GET", CHANGES, NULL, NULL, 0, &res);
    CU_ASSERT_EQUAL(res.status, 401);
    http_response_dispose(&res);
    CU_ASSERT_FATAL(stream_open(&stream, own.server.port, CHANGES,
                                SSE "Authorization: Bearer secret\r\n", false));
    CU_ASSERT(stream_wait_for(&stream, "\"key\":\"shop/a\"", PATIENCE_MS));
    stream_close(&stream);
    http_close(&conn);
    CU_ASSERT_EQUAL(site_end(&own), 0);
    CU_ASSERT_EQUAL(scratch_remove(), 0);
}

void suite_http_changes(void)
{
    CU_pSuite s = CU_add_suite("http_changes", start, end);
    CU_add_test(s, "pages say what changed", pages_say_what_changed);
    CU_add_test(s, "links lead from page to page to the end", links_lead_to_the_end);
    CU_add_test(s, "large values come in more pages", large_values_come_in_more_pages);
    CU_add_test(s, "what is refused", what_is_refused);
    CU_add_test(s, "a wait ends with a change that is wanted", a_wait_ends_with_a_change);
    CU_add_test(s, "a wait ends with nothing when it is over", a_wait_ends_with_nothing);
    CU_add_test(s, "waiting far ahead disturbs nobody", waiting_far_ahead_disturbs_nobody);
    CU_add_test(s, "who vanishes leaves nothing behind", who_vanishes_leaves_nothing);
    CU_add_test(s, "who has closed its side gets a page", who_has_said_all_gets_a_page);
    CU_add_test(s, "a pipelined request waits its turn", a_pipelined_request_waits_its_turn);
    CU_add_test(s, "feeds go on after a kill", feeds_go_on_after_a_kill);
    CU_add_test(s, "a feed that is too old is told so", a_feed_that_is_too_old);
    CU_add_test(s, "tokens narrow the feed", tokens_narrow_the_feed);
}
