/*
 * Does GET /v1/changes as a stream of events tell all of them, to thousands, to slow ones, and to
 * those who do not listen?
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

#include "index/tsan.h"
#include "tests/changes_call.h"
#include "tests/seed.h"
#include "tests/stream.h"
#include "tests/suites.h"

/* in which one who has stopped reading reads on */
#ifdef CAIRN_TSAN
#define STALL "5s"
#else
#define STALL "1s"
#endif

static site_t site;

static int start(void)
{
    return site_start(&site, TEMP_DIR_IN_MEMORY,
                      (const char *const[]){"--limits.stall", STALL, "--limits.wait", "5s", NULL});
}

static int end(void)
{
    return site_end(&site);
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
    uint64_t first = changes_put_text(&conn, "/v1/kv/stream/before", "v");
    snprintf(target, sizeof(target), CHANGES "?since=%" PRIu64 "&values=true", first - 1);
    open_stream(&all, target, "");
    open_stream(&some, CHANGES "?since=now&prefix=stream/b", "");
    CU_ASSERT_PTR_NOT_NULL(strstr(all.text, "HTTP/1.1 200 OK\r\n"));
    CU_ASSERT_PTR_NOT_NULL(strstr(all.text, "content-type: text/event-stream\r\n"));
    changes_put_text(&conn, "/v1/kv/stream/a", "two\nlines");
    changes_delete(&conn, "/v1/kv/stream/before");
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
    uint64_t version = changes_put_text(&conn, "/v1/kv/resume", "1");
    changes_put_text(&conn, "/v1/kv/resume", "2");
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
    changes_put_text(&conn, "/v1/kv/old", "v");
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
    double dropped = site_metric(&conn, "cairn_followers_dropped_total");
    size_t fds = fd_base_line(site.server.pid);
    open_stream(&slow, CHANGES "?since=now&values=true", "");
    open_stream(&quick, CHANGES "?since=now&prefix=slow/last", "");
    for (unsigned i = 0; i < 160; ++i) /* 53 MB: more than sockets take on both sides, 4 and 32 */
        changes_put(&conn, "/v1/kv/slow/value", value, 256 << 10);
    changes_put_text(&conn, "/v1/kv/slow/last", "v");
    CU_ASSERT(stream_wait_for(&quick, "\"key\":\"slow/last\"", PATIENCE_MS));
    CU_ASSERT(site_metric_comes_to(&conn, "cairn_followers_dropped_total", dropped + 1));
    CU_ASSERT(site_metric_comes_to(&conn, "cairn_followers", 1));
    stream_close(&quick);
    CU_ASSERT(site_metric_comes_to(&conn, "cairn_followers", 0));
    CU_ASSERT(fd_count_comes_to(site.server.pid, fds));
    stream_close(&slow);
    /* one that reads again in time is told why it ends */
    open_stream(&slow, CHANGES "?since=now&values=true", "");
    for (unsigned i = 0; i < 160; ++i)
        changes_put(&conn, "/v1/kv/slow/value", value, 256 << 10);
    CU_ASSERT(site_metric_comes_to(&conn, "cairn_followers_dropped_total", dropped + 2));
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
        version = changes_put(&conn, "/v1/kv/slow/value", value, 64 << 10);
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

/* ---------------------------------------------------------------- the end */

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
        if (i % 16 == 0 && site_metric(conn, name) >= value)
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
    changes_put_text(&conn, "/v1/kv/first", "v");
    size_t before = resident_bytes(own.server.pid);
    for (size_t i = 0; i < count; ++i)
        CU_ASSERT_FATAL(
            stream_open(&streams[i], own.server.port, CHANGES "?since=now", SSE, false));
    for (size_t i = 0; i < count; ++i)
        CU_ASSERT_FATAL(stream_wait_for(&streams[i], ":\n\n", PATIENCE_MS));
    CU_ASSERT(site_metric_comes_to(&conn, "cairn_followers", (double)count));
    size_t bytes = (resident_bytes(own.server.pid) - before) / count;
    int64_t begin = monotonic_ms();
    changes_put_text(&conn, "/v1/kv/all", "v");
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
    CU_ASSERT(site_metric_comes_to(&conn, "cairn_followers", 0));
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
        changes_put_text(&conn, target, target);
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
    uint64_t since = changes_newest(&conn);
    snprintf(target, sizeof(target), CHANGES "?since=%" PRIu64 "&prefix=busy/", since);
    for (size_t i = 0; i < 5; ++i)
        open_stream(&streams[i], target, "");
    for (uintptr_t i = 0; i < WRITERS; ++i)
        pthread_create(&writers[i], NULL, write_many, (void *)i);
    for (size_t i = 0; i < WRITERS; ++i)
        pthread_join(writers[i], NULL);
    uint64_t version = changes_newest(&conn);
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

void suite_http_streams(void)
{
    CU_pSuite s = CU_add_suite("http_streams: changes as they happen", start, end);
    CU_add_test(s, "a stream tells as it happens", a_stream_tells_as_it_happens);
    CU_add_test(s, "a stream is resumed by Last-Event-ID", a_stream_is_resumed);
    CU_add_test(s, "HTTP/1.0 streams until it closes", http_1_0_streams_until_it_closes);
    CU_add_test(s, "a stream that is not read is dropped", a_stream_that_is_not_read_is_dropped);
    CU_add_test(s, "a slow stream gets everything", a_slow_stream_gets_everything);
    CU_add_test(s, "streams agree under load", streams_agree_under_load);
    CU_add_test(s, "heartbeats keep a stream alive", heartbeats_keep_a_stream_alive);
    CU_add_test(s, "a stop ends streams and waits", a_stop_ends_streams_and_waits);
    CU_add_test(s, "thousands follow for little", thousands_follow_for_little);
}
