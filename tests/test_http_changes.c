/*
 * Does GET /v1/changes tell what has changed, at once or when it happens, to thousands and to those
 * who do not listen?
 */
#include <CUnit/CUnit.h>

#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include <jansson.h>
#include <openssl/evp.h>

#include "tests/scratch.h"
#include "tests/seed.h"
#include "tests/site.h"
#include "tests/stream.h"
#include "tests/suites.h"

#define CHANGES "/v1/changes"
#define SSE "Accept: text/event-stream\r\n"
#define PATIENCE_MS 20000

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

/* ---------------------------------------------------------------- asking */

static uint64_t put(http_conn_t *conn, const char *target, const void *value, size_t bytes)
{
    http_response_t res;
    exchange(conn, "PUT", target, NULL, value, bytes, &res);
    CU_ASSERT(res.status == 201 || res.status == 204);
    uint64_t version = version_of(&res);
    http_response_dispose(&res);
    return version;
}

static uint64_t put_text(http_conn_t *conn, const char *target, const char *value)
{
    return put(conn, target, value, strlen(value));
}

static uint64_t delete (http_conn_t *conn, const char *target)
{
    http_response_t res;
    exchange(conn, "DELETE", target, NULL, NULL, 0, &res);
    CU_ASSERT_EQUAL(res.status, 204);
    uint64_t version = version_of(&res);
    http_response_dispose(&res);
    return version;
}

/* the version that the answer says to go on from */
static uint64_t looked_at(const http_response_t *res)
{
    const char *text = http_header(res, "cairn-version");
    return text != NULL ? strtoull(text, NULL, 10) : UINT64_MAX;
}

static void get(http_conn_t *conn, const char *target, http_response_t *res)
{
    exchange(conn, "GET", target, NULL, NULL, 0, res);
    if (res->status != 200)
        fprintf(stderr, "\n%s: %s\n", target, res->body);
    CU_ASSERT_EQUAL_FATAL(res->status, 200);
    CU_ASSERT(header_is(res, "content-type", "application/x-ndjson"));
    CU_ASSERT(header_is(res, "cache-control", "no-store"));
}

/* whether the page is this; <N> stands for the version N behind `since` */
static bool page_is(http_conn_t *conn, uint64_t since, const char *query, const char *expected)
{
    char target[256], text[4096];
    http_response_t res;
    size_t n = 0;
    snprintf(target, sizeof(target), CHANGES "?since=%" PRIu64 "%s", since, query);
    get(conn, target, &res);
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

static uint64_t newest(http_conn_t *conn)
{
    http_response_t res;
    get(conn, CHANGES "?since=now", &res);
    uint64_t version = looked_at(&res);
    http_response_dispose(&res);
    return version;
}

static double metric(http_conn_t *conn, const char *name)
{
    http_response_t res;
    exchange(conn, "GET", "/metrics", NULL, NULL, 0, &res);
    char line[64];
    snprintf(line, sizeof(line), "\n%s ", name);
    const char *at = strstr(res.body, line);
    double value = at != NULL ? strtod(at + strlen(line), NULL) : -1;
    http_response_dispose(&res);
    return value;
}

static bool metric_comes_to(http_conn_t *conn, const char *name, double value)
{
    for (int64_t until = monotonic_ms() + PATIENCE_MS; monotonic_ms() < until; sleep_ms(10))
        if (metric(conn, name) == value)
            return true;
    fprintf(stderr, "\n%s is %g\n", name, metric(conn, name));
    return false;
}

/* ---------------------------------------------------------------- pages */

static void pages_say_what_changed(void)
{
    http_conn_t conn;
    site_open(&site, &conn);
    uint64_t since = newest(&conn);
    http_response_t res;
    put_text(&conn, "/v1/kv/page/a", "text");
    put(&conn, "/v1/kv/page/%FF%00", "\x80\0", 2);
    put_text(&conn, "/v1/kv/page/a", "again \"\\\n");
    delete (&conn, "/v1/kv/page/a");
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
    get(&conn, target, &res);
    json_t *json = json_loads(res.body, 0, NULL);
    CU_ASSERT_STRING_EQUAL(json_string_value(json_object_get(json, "content_type")), "text/x-é");
    CU_ASSERT(json_integer_value(json_object_get(json, "expires")) > 1700000000000);
    CU_ASSERT_EQUAL(json_integer_value(json_object_get(json, "size")), 0);
    json_decref(json);
    http_response_dispose(&res);
    exchange(&conn, "HEAD", target, NULL, NULL, 0, &res);
    CU_ASSERT_EQUAL(res.status, 200);
    CU_ASSERT_EQUAL(looked_at(&res), since + 5);
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
        get(conn, target, &res);
        for (const char *at = res.body; (at = strchr(at, '\n')) != NULL; ++at)
            ++*lines;
        *version = looked_at(&res);
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
    uint64_t since = newest(&conn);
    for (unsigned i = 0; i < 25; ++i) {
        snprintf(target, sizeof(target), "/v1/kv/%s%%26%%3E/%u", i % 5 == 0 ? "odd" : "link", i);
        put_text(&conn, target, "v");
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
    uint64_t since = newest(&conn);
    for (unsigned i = 0; i < 4; ++i) {
        snprintf(target, sizeof(target), "/v1/kv/large/%u", i);
        put(&conn, target, value, 3 << 20);
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
    uint64_t since = newest(&conn);
    snprintf(target, sizeof(target), CHANGES "?since=%" PRIu64 "&wait=1h", since);
    ask(&waiting, target);
    strcat(target, "&prefix=wanted");
    ask(&other, target);
    CU_ASSERT(metric_comes_to(&conn, "cairn_followers", 2));
    put_text(&conn, "/v1/kv/unwanted", "v");
    CU_ASSERT_FATAL(http_read_response(&waiting, "GET", &res));
    CU_ASSERT_PTR_NOT_NULL(strstr(res.body, "\"key\":\"unwanted\""));
    CU_ASSERT_EQUAL(looked_at(&res), since + 1);
    http_response_dispose(&res);
    CU_ASSERT(metric_comes_to(&conn, "cairn_followers", 1));
    put_text(&conn, "/v1/kv/wanted", "v");
    CU_ASSERT_FATAL(http_read_response(&other, "GET", &res));
    CU_ASSERT_PTR_NOT_NULL(strstr(res.body, "\"key\":\"wanted\""));
    CU_ASSERT_PTR_NULL(strstr(res.body, "unwanted"));
    CU_ASSERT_EQUAL(looked_at(&res), since + 2);
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
    uint64_t since = newest(&conn);
    int64_t begin = monotonic_ms();
    snprintf(target, sizeof(target), CHANGES "?since=%" PRIu64 "&wait=300ms", since);
    get(&conn, target, &res);
    CU_ASSERT_EQUAL(res.body_bytes, 0);
    CU_ASSERT_EQUAL(looked_at(&res), since);
    CU_ASSERT(monotonic_ms() - begin >= 300);
    http_response_dispose(&res);
    /* beyond what there is: waits too, and is not told of what is not behind that */
    snprintf(target, sizeof(target), CHANGES "?since=%" PRIu64 "&wait=200ms", since + 1000);
    get(&conn, target, &res);
    CU_ASSERT_EQUAL(res.body_bytes, 0);
    CU_ASSERT_EQUAL(looked_at(&res), since + 1000);
    http_response_dispose(&res);
    /* limits.wait */
    begin = monotonic_ms();
    snprintf(target, sizeof(target), CHANGES "?since=%" PRIu64 "&wait=365d", since);
    get(&conn, target, &res);
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
    uint64_t since = newest(&conn);
    snprintf(target, sizeof(target), CHANGES "?since=%" PRIu64 "&wait=3s", since + 2);
    ask(&ahead, target);
    CU_ASSERT(metric_comes_to(&conn, "cairn_followers", 1));
    snprintf(target, sizeof(target), CHANGES "?since=%" PRIu64 "&wait=3s", since);
    ask(&waiting, target);
    put_text(&conn, "/v1/kv/ahead", "1");
    CU_ASSERT_FATAL(http_read_response(&waiting, "GET", &res));
    CU_ASSERT_EQUAL(looked_at(&res), since + 1);
    http_response_dispose(&res);
    put_text(&conn, "/v1/kv/ahead", "2");
    put_text(&conn, "/v1/kv/ahead", "3");
    CU_ASSERT_FATAL(http_read_response(&ahead, "GET", &res));
    CU_ASSERT_EQUAL(looked_at(&res), since + 3);
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
    CU_ASSERT(metric_comes_to(&conn, "cairn_followers", 0));
    size_t fds = fd_base_line(site.server.pid);
    for (size_t i = 0; i < 40; ++i)
        ask(&gone[i], CHANGES "?since=1000000000&wait=5s");
    for (size_t i = 0; i < 20; ++i)
        CU_ASSERT_FATAL(
            stream_open(&streams[i], site.server.port, CHANGES "?since=now", SSE, false) &&
            stream_wait_for(&streams[i], ":\n\n", PATIENCE_MS));
    CU_ASSERT(metric_comes_to(&conn, "cairn_followers", 60));
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
    CU_ASSERT(metric_comes_to(&conn, "cairn_followers", 0));
    CU_ASSERT(fd_count_comes_to(site.server.pid, fds));
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

/* ---------------------------------------------------------------- streams */

static void open_stream(stream_t *stream, const char *target, const char *more_headers)
{
    char headers[256];
    snprintf(headers, sizeof(headers), SSE "%s", more_headers);
    CU_ASSERT_FATAL(stream_open(stream, site.server.port, target, headers, false));
    CU_ASSERT_FATAL(stream_wait_for(stream, ":\n\n", PATIENCE_MS));
}

static void a_stream_tells_as_it_happens(void)
{
    http_conn_t conn;
    stream_t all, some;
    char target[128], expected[512];
    site_open(&site, &conn);
    uint64_t first = put_text(&conn, "/v1/kv/stream/before", "v");
    snprintf(target, sizeof(target), CHANGES "?since=%" PRIu64 "&values=true", first - 1);
    open_stream(&all, target, "");
    open_stream(&some, CHANGES "?since=now&prefix=stream/b", "");
    CU_ASSERT_PTR_NOT_NULL(strstr(all.text, "HTTP/1.1 200 OK\r\n"));
    CU_ASSERT_PTR_NOT_NULL(strstr(all.text, "content-type: text/event-stream\r\n"));
    put_text(&conn, "/v1/kv/stream/a", "two\nlines");
    delete (&conn, "/v1/kv/stream/before");
    CU_ASSERT(stream_wait_for(&all, "event: delete", PATIENCE_MS));
    CU_ASSERT(stream_wait_for(&some, "event: delete", PATIENCE_MS));
    snprintf(expected, sizeof(expected),
             "\r\n\r\n:\n\n"
             "id: %" PRIu64 "\nevent: put\ndata: {\"version\":%" PRIu64
             ",\"op\":\"put\",\"key\":\"stream/before\",\"size\":1,\"value\":\"v\"}\n\n"
             "id: %" PRIu64 "\nevent: put\ndata: {\"version\":%" PRIu64
             ",\"op\":\"put\",\"key\":\"stream/a\",\"size\":9,\"value\":\"two\\nlines\"}\n\n"
             "id: %" PRIu64 "\nevent: delete\ndata: {\"version\":%" PRIu64
             ",\"op\":\"delete\",\"key\":\"stream/before\"}\n\n",
             first, first, first + 1, first + 1, first + 2, first + 2);
    CU_ASSERT(stream_wait_for(&all, expected, PATIENCE_MS));
    CU_ASSERT_EQUAL(stream_count(&some, "event: "), 1);
    stream_close(&all);
    stream_close(&some);
    http_close(&conn);
}

static void a_stream_is_resumed(void)
{
    http_conn_t conn;
    stream_t stream;
    char header[64];
    site_open(&site, &conn);
    uint64_t version = put_text(&conn, "/v1/kv/resume", "1");
    put_text(&conn, "/v1/kv/resume", "2");
    snprintf(header, sizeof(header), "Last-Event-ID: %" PRIu64 "\r\n", version);
    open_stream(&stream, CHANGES "?since=0", header); /* the URL is the one it began with */
    snprintf(header, sizeof(header), "\nid: %" PRIu64 "\n", version + 1);
    CU_ASSERT(stream_wait_for(&stream, header, PATIENCE_MS));
    CU_ASSERT_EQUAL(stream_count(&stream, "event: "), 1);
    stream_close(&stream);
    http_close(&conn);
}

static void http_1_0_streams_until_it_closes(void)
{
    http_conn_t conn;
    stream_t stream;
    site_open(&site, &conn);
    CU_ASSERT_FATAL(stream_open(&stream, site.server.port, CHANGES "?since=now",
                                SSE "Connection: keep-alive\r\n", true));
    CU_ASSERT(stream_wait_for(&stream, "\r\n\r\n:\n\n", PATIENCE_MS));
    CU_ASSERT_PTR_NULL(strcasestr(stream.text, "transfer-encoding"));
    CU_ASSERT_PTR_NULL(strcasestr(stream.text, "connection: keep-alive"));
    put_text(&conn, "/v1/kv/old", "v");
    CU_ASSERT(stream_wait_for(&stream, "\"key\":\"old\"", PATIENCE_MS));
    stream_close(&stream);
    http_close(&conn);
}

/* a client that reads nothing is let go; one beside it misses nothing, and writes do not wait */
static void a_stream_that_is_not_read_is_dropped(void)
{
    http_conn_t conn;
    stream_t slow, quick;
    char *value = noise(256 << 10, 3);
    site_open(&site, &conn);
    double dropped = metric(&conn, "cairn_followers_dropped_total");
    size_t fds = fd_base_line(site.server.pid);
    open_stream(&slow, CHANGES "?since=now&values=true", "");
    open_stream(&quick, CHANGES "?since=now&prefix=slow/last", "");
    for (unsigned i = 0; i < 60; ++i) /* more than the socket's buffers on both sides take */
        put(&conn, "/v1/kv/slow/value", value, 256 << 10);
    put_text(&conn, "/v1/kv/slow/last", "v");
    CU_ASSERT(stream_wait_for(&quick, "\"key\":\"slow/last\"", PATIENCE_MS));
    CU_ASSERT(metric_comes_to(&conn, "cairn_followers_dropped_total", dropped + 1));
    CU_ASSERT(metric_comes_to(&conn, "cairn_followers", 1));
    stream_close(&quick);
    CU_ASSERT(metric_comes_to(&conn, "cairn_followers", 0));
    CU_ASSERT(fd_count_comes_to(site.server.pid, fds));
    stream_close(&slow);
    /* one that reads again in time is told why it ends */
    open_stream(&slow, CHANGES "?since=now&values=true", "");
    for (unsigned i = 0; i < 60; ++i)
        put(&conn, "/v1/kv/slow/value", value, 256 << 10);
    CU_ASSERT(metric_comes_to(&conn, "cairn_followers_dropped_total", dropped + 2));
    CU_ASSERT(stream_wait_for_end(&slow, PATIENCE_MS));
    CU_ASSERT_PTR_NOT_NULL(strstr(slow.text, "event: overflow\ndata: {\"code\":\"too_slow\""));
    stream_close(&slow);
    free(value);
    http_close(&conn);
}

/* a client that reads slowly, but reads, gets everything: it lies in the log */
static void a_slow_stream_gets_everything(void)
{
    site_t own = {.data = ""}; /* that is patient */
    http_conn_t conn;
    stream_t slow;
    char *value = noise(64 << 10, 4), id[64];
    CU_ASSERT_EQUAL_FATAL(
        site_start_in_memory(&own, (const char *const[]){"--limits.stall", "1m", NULL}), 0);
    site_open(&own, &conn);
    CU_ASSERT_FATAL(stream_open(&slow, own.server.port, CHANGES "?values=true", SSE, false));
    CU_ASSERT_FATAL(stream_wait_for(&slow, ":\n\n", PATIENCE_MS));
    uint64_t version = 0;
    for (unsigned i = 0; i < 100; ++i)
        version = put(&conn, "/v1/kv/slow/value", value, 64 << 10);
    snprintf(id, sizeof(id), "\nid: %" PRIu64 "\n", version);
    for (unsigned i = 0; i < 10 && !slow.has_ended; ++i) {
        stream_wait_for(&slow, "no such text", 1);
        sleep_ms(50);
    }
    CU_ASSERT(stream_wait_for(&slow, id, PATIENCE_MS));
    CU_ASSERT_EQUAL(stream_count(&slow, "\nevent: put\n"), 100);
    stream_close(&slow);
    free(value);
    http_close(&conn);
    CU_ASSERT_EQUAL(site_end(&own), 0);
}

static void heartbeats_keep_a_stream_alive(void)
{
    stream_t stream;
    if (!is_soak())
        return; /* 15 s apart */
    open_stream(&stream, CHANGES "?since=now", "");
    CU_ASSERT(stream_wait_for(&stream, ":\n\n:\n\n", 17000));
    CU_ASSERT(stream_wait_for(&stream, ":\n\n:\n\n:\n\n", 17000));
    stream_close(&stream);
}

/* ---------------------------------------------------------------- servers of their own */

static void feeds_go_on_after_a_kill(void)
{
    site_t own = {.data = ""};
    http_conn_t conn;
    CU_ASSERT_EQUAL_FATAL(site_start(&own, TEMP_DIR_IN_MEMORY, NULL), 0);
    site_open(&own, &conn);
    put_text(&conn, "/v1/kv/a", "1");
    put_text(&conn, "/v1/kv/b", "2");
    http_close(&conn);
    server_kill(&own.server);
    site_start_again(&own, NULL);
    site_open(&own, &conn);
    put_text(&conn, "/v1/kv/c", "3");
    CU_ASSERT(page_is(&conn, 1, "",
                      "{\"version\":<1>,\"op\":\"put\",\"key\":\"b\",\"size\":1}\n"
                      "{\"version\":<2>,\"op\":\"put\",\"key\":\"c\",\"size\":1}\n"));
    http_close(&conn);
    CU_ASSERT_EQUAL(site_end(&own), 0);
}

static void a_stop_ends_streams_and_waits(void)
{
    site_t own = {.data = ""};
    http_conn_t waiting;
    http_response_t res;
    stream_t stream;
    CU_ASSERT_EQUAL_FATAL(site_start_in_memory(&own, NULL), 0);
    CU_ASSERT_FATAL(stream_open(&stream, own.server.port, CHANGES, SSE, false));
    CU_ASSERT_FATAL(stream_wait_for(&stream, ":\n\n", PATIENCE_MS));
    site_open(&own, &waiting);
    static const char request[] = "GET " CHANGES "?wait=60s HTTP/1.1\r\nHost: t\r\n\r\n";
    CU_ASSERT_FATAL(http_send(&waiting, request, sizeof(request) - 1));
    sleep_ms(100);
    int64_t begin = monotonic_ms();
    CU_ASSERT_EQUAL(server_stop(&own.server), 0);
    CU_ASSERT(monotonic_ms() - begin < 5000);
    CU_ASSERT(stream_wait_for_end(&stream, PATIENCE_MS));
    CU_ASSERT_FALSE(stream.conn.is_server_reset); /* with its last chunk */
    CU_ASSERT_FATAL(http_read_response(&waiting, "GET", &res));
    CU_ASSERT_EQUAL(res.status, 200);
    CU_ASSERT(header_is(&res, "connection", "close"));
    http_response_dispose(&res);
    stream_close(&stream);
    http_close(&waiting);
    server_dispose(&own.server);
    temp_dir_remove(&own.dir);
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

/* ---------------------------------------------------------------- many */

static size_t resident_bytes(pid_t pid)
{
    char path[64], line[256];
    size_t kib = 0;
    snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
    FILE *file = fopen(path, "r");
    while (file != NULL && fgets(line, sizeof(line), file) != NULL)
        if (sscanf(line, "VmRSS: %zu kB", &kib) == 1)
            break;
    if (file != NULL)
        fclose(file);
    return kib * 1024;
}

static size_t raise_descriptors(void)
{
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    return limit.rlim_max;
}

#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
#define MANY_MAX 500 /* and what they cost says nothing */
#define IS_SANITIZED true
#else
#define MANY_MAX 10000
#define IS_SANITIZED false
#endif
#define FOLLOWER_BYTES_MAX 8192

/* how long the longest of GETs one after the other takes until the condition holds */
static int64_t longest_get_until(http_conn_t *conn, const char *name, double value)
{
    int64_t longest = 0, deadline = monotonic_ms() + PATIENCE_MS;
    for (unsigned i = 0; monotonic_ms() < deadline; ++i) {
        int64_t begin = monotonic_ms();
        exchange_status(conn, "GET", "/livez", NULL, NULL, 0);
        int64_t ms = monotonic_ms() - begin;
        longest = ms > longest ? ms : longest;
        if (i % 16 == 0 && metric(conn, name) >= value)
            return longest;
    }
    return -1;
}

static void thousands_follow_for_little(void)
{
    size_t fds = raise_descriptors(); /* the server keeps some for itself */
    size_t count = fds > MANY_MAX + 2000 ? MANY_MAX : fds / 2;
    stream_t *streams = calloc(count, sizeof(*streams));
    site_t own = {.data = ""};
    http_conn_t conn;
    CU_ASSERT_EQUAL_FATAL(site_start(&own, TEMP_DIR_IN_MEMORY, NULL), 0);
    site_open(&own, &conn);
    conn.timeout_ms = PATIENCE_MS;
    put_text(&conn, "/v1/kv/first", "v");
    size_t before = resident_bytes(own.server.pid);
    for (size_t i = 0; i < count; ++i)
        CU_ASSERT_FATAL(
            stream_open(&streams[i], own.server.port, CHANGES "?since=now", SSE, false));
    for (size_t i = 0; i < count; ++i)
        CU_ASSERT_FATAL(stream_wait_for(&streams[i], ":\n\n", PATIENCE_MS));
    CU_ASSERT(metric_comes_to(&conn, "cairn_followers", (double)count));
    size_t bytes = (resident_bytes(own.server.pid) - before) / count;
    int64_t begin = monotonic_ms();
    put_text(&conn, "/v1/kv/all", "v");
    int64_t longest = longest_get_until(&conn, "cairn_changes_sent_total", (double)count);
    int64_t told = monotonic_ms() - begin;
    CU_ASSERT(longest >= 0);
    size_t after = (resident_bytes(own.server.pid) - before) / count;
    printf("\n    %zu streams: %zu bytes each, %zu after an event; all told in %lld ms, a GET "
           "beside that took %lld ms at most ",
           count, bytes, after, (long long)told, (long long)longest);
    for (size_t i = 0; i < count; ++i)
        CU_ASSERT_FATAL(stream_wait_for(&streams[i], "\"key\":\"all\"", PATIENCE_MS));
    CU_ASSERT(IS_SANITIZED || (bytes < FOLLOWER_BYTES_MAX && after < FOLLOWER_BYTES_MAX));
    for (size_t i = 0; i < count; ++i)
        stream_close(&streams[i]);
    CU_ASSERT(metric_comes_to(&conn, "cairn_followers", 0));
    http_close(&conn);
    free(streams);
    CU_ASSERT_EQUAL(site_end(&own), 0);
}

#define WRITERS 3
#define WRITES 400

static void *write_many(void *arg)
{
    http_conn_t conn;
    char target[64];
    site_open(&site, &conn);
    for (unsigned i = 0; i < WRITES; ++i) {
        snprintf(target, sizeof(target), "/v1/kv/busy/%u/%u", (unsigned)(uintptr_t)arg, i % 50);
        put_text(&conn, target, target);
    }
    http_close(&conn);
    return NULL;
}

/* every event once and in order, on every stream, whatever they are doing */
static void streams_agree_under_load(void)
{
    http_conn_t conn;
    stream_t streams[5];
    pthread_t writers[WRITERS];
    char target[64], last[64];
    site_open(&site, &conn);
    uint64_t since = newest(&conn);
    snprintf(target, sizeof(target), CHANGES "?since=%" PRIu64 "&prefix=busy/", since);
    for (size_t i = 0; i < 5; ++i)
        open_stream(&streams[i], target, "");
    for (uintptr_t i = 0; i < WRITERS; ++i)
        pthread_create(&writers[i], NULL, write_many, (void *)i);
    for (size_t i = 0; i < WRITERS; ++i)
        pthread_join(writers[i], NULL);
    uint64_t version = newest(&conn);
    CU_ASSERT_EQUAL(version, since + WRITERS * WRITES);
    snprintf(last, sizeof(last), "\nid: %" PRIu64 "\n", version);
    for (size_t i = 0; i < 5; ++i) {
        CU_ASSERT(stream_wait_for(&streams[i], last, PATIENCE_MS));
        uint64_t expected = since;
        for (const char *at = streams[i].text; (at = strstr(at, "\nid: ")) != NULL; ++at)
            CU_ASSERT_EQUAL(strtoull(at + 5, NULL, 10), ++expected);
        CU_ASSERT_EQUAL(expected, version);
        stream_close(&streams[i]);
    }
    http_close(&conn);
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
    CU_add_test(s, "a pipelined request waits its turn", a_pipelined_request_waits_its_turn);
    CU_add_test(s, "a stream tells as it happens", a_stream_tells_as_it_happens);
    CU_add_test(s, "a stream is resumed by Last-Event-ID", a_stream_is_resumed);
    CU_add_test(s, "HTTP/1.0 streams until it closes", http_1_0_streams_until_it_closes);
    CU_add_test(s, "a stream that is not read is dropped", a_stream_that_is_not_read_is_dropped);
    CU_add_test(s, "a slow stream gets everything", a_slow_stream_gets_everything);
    CU_add_test(s, "streams agree under load", streams_agree_under_load);
    CU_add_test(s, "heartbeats keep a stream alive", heartbeats_keep_a_stream_alive);
    CU_add_test(s, "feeds go on after a kill", feeds_go_on_after_a_kill);
    CU_add_test(s, "a stop ends streams and waits", a_stop_ends_streams_and_waits);
    CU_add_test(s, "tokens narrow the feed", tokens_narrow_the_feed);
    CU_add_test(s, "thousands follow for little", thousands_follow_for_little);
}
