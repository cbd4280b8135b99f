/*
 * Does configs/haproxy.cfg do what it says: HTTP/2 and TLS for clients, kept HTTP/1.1 connections
 * to cairn, requests only when it is ready?
 */
#include <CUnit/CUnit.h>

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/program.h"
#include "tests/site.h"
#include "tests/store_fixture.h"
#include "tests/stream.h"
#include "tests/suites.h"
#include "tests/tls_client.h"

#define LARGE_BYTES ((size_t)12 << 20)
#define CURL_TIMEOUT_MS 60000
#define READY_TIMEOUT_MS 20000

static temp_dir_t dir;
static program_t haproxy;
static uint16_t plain_port, secure_port, cairn_port;

static const char *path_of(const char *name)
{
    static char paths[4][400];
    static size_t next;
    char *path = paths[next++ % 4];
    snprintf(path, sizeof(paths[0]), "%s/%s", dir.path, name);
    return path;
}

static void set_address(const char *name, uint16_t port)
{
    char address[32];
    snprintf(address, sizeof(address), "127.0.0.1:%u", port);
    setenv(name, address, 1);
}

static bool start_haproxy(void)
{
    static const char *const argv[] = {"haproxy", "-db", "-f", "configs/haproxy.cfg", NULL};
    plain_port = site_free_port();
    secure_port = site_free_port();
    cairn_port = site_free_port();
    set_address("PLAIN", plain_port);
    set_address("SECURE", secure_port);
    set_address("CAIRN", cairn_port);
    setenv("CERTIFICATE", path_of("pem"), 1);
    return program_start(&haproxy, argv);
}

static int start(void)
{
    if (!temp_dir_create(&dir, TEMP_DIR_IN_MEMORY) ||
        !tls_make_certificate("localhost", path_of("pem"), path_of("pem.key")) || !start_haproxy())
        return 1;
    http_conn_t conn;
    for (int64_t end_ms = monotonic_ms() + READY_TIMEOUT_MS; monotonic_ms() < end_ms; sleep_ms(5))
        if (http_open(&conn, plain_port)) {
            http_close(&conn);
            return 0;
        }
    fprintf(stderr, "haproxy does not listen: %s\n", program_output(&haproxy));
    return 1;
}

static int end(void)
{
    program_end(&haproxy);
    return temp_dir_remove(&dir) ? 0 : 1;
}

/* ---------------------------------------------------------------- asking through it */

typedef struct st_reply_t {
    int exit_status, status;
    char version[8]; /* of HTTP: "2", "1.1" */
} reply_t;

/* curl with these arguments, NULL behind the last; the body goes to the file `out` */
static reply_t ask(const char *target, bool is_secure, const char *const *more)
{
    const char *argv[24] = {
        "curl", "-sS", "-k", "-o", path_of("out"), "-w", "%{http_code} %{http_version}"};
    char url[128], *output = NULL;
    size_t count = 7;
    reply_t reply = {.status = 0};
    while (*more != NULL)
        argv[count++] = *more++;
    snprintf(url, sizeof(url), "%s://127.0.0.1:%u%s", is_secure ? "https" : "http",
             is_secure ? secure_port : plain_port, target);
    argv[count++] = url;
    argv[count] = NULL;
    reply.exit_status = program_run(argv, CURL_TIMEOUT_MS, &output);
    if (sscanf(output, "%d %7s", &reply.status, reply.version) != 2)
        fprintf(stderr, "\n    curl %s: %s", url, output);
    free(output);
    return reply;
}

#define ASK(target, is_secure, ...) ask(target, is_secure, (const char *const[]){__VA_ARGS__, NULL})

static bool is_answered(reply_t reply, int status, const char *version)
{
    bool is_right =
        reply.exit_status == 0 && reply.status == status && strcmp(reply.version, version) == 0;
    if (!is_right)
        fprintf(stderr, "\n    curl: %d, status %d, HTTP/%s", reply.exit_status, reply.status,
                reply.version);
    return is_right;
}

static bool out_is(const void *bytes, size_t count)
{
    size_t got;
    uint8_t *out = read_file(path_of("out"), &got);
    bool same = got == count && memcmp(out, bytes, count) == 0;
    free(out);
    return same;
}

/* a cairn where haproxy looks for one */
static void start_cairn(site_t *site, const char *const *more)
{
    char listen[32];
    const char *args[12] = {"--listen", listen};
    for (size_t i = 0; more != NULL && more[i] != NULL; ++i)
        args[2 + i] = more[i];
    snprintf(listen, sizeof(listen), "127.0.0.1:%u", cairn_port);
    CU_ASSERT_EQUAL_FATAL(site_start(site, TEMP_DIR_IN_MEMORY, args), 0);
}

/* whether this is soon what haproxy answers to a GET of /readyz */
static bool comes_to(int status)
{
    for (int64_t end_ms = monotonic_ms() + READY_TIMEOUT_MS; monotonic_ms() < end_ms;
         sleep_ms(20)) {
        http_conn_t conn;
        CU_ASSERT_FATAL(http_open(&conn, plain_port));
        int got = exchange_status(&conn, "GET", "/readyz", NULL, NULL, 0);
        http_close(&conn);
        if (got == status)
            return true;
    }
    return false;
}

/* ---------------------------------------------------------------- tests */

static void the_file_is_valid(void)
{
    static const char *const argv[] = {"haproxy", "-c", "-f", "configs/haproxy.cfg", NULL};
    char *output = NULL;
    CU_ASSERT_EQUAL(program_run(argv, 10000, &output), 0);
    CU_ASSERT_PTR_NULL(strstr(output, "WARNING"));
    free(output);
}

/* haproxy is there first, and finds cairn when it comes, goes and comes again */
static void it_follows_cairn(void)
{
    site_t site;
    CU_ASSERT(comes_to(503));
    start_cairn(&site, NULL);
    CU_ASSERT(comes_to(204));
    CU_ASSERT(is_answered(ASK("/v1/kv/a", false, "--http2-prior-knowledge", "-T", path_of("pem")),
                          201, "2"));
    CU_ASSERT_EQUAL(server_stop(&site.server), 0);
    CU_ASSERT(comes_to(503));
    char listen[32];
    snprintf(listen, sizeof(listen), "127.0.0.1:%u", cairn_port);
    const char *const args[] = {"--listen", listen, NULL};
    site_start_again(&site, args);
    CU_ASSERT(comes_to(204));
    CU_ASSERT(is_answered(ASK("/v1/kv/a", false, "--http2-prior-knowledge"), 200, "2"));
    CU_ASSERT_EQUAL(site_end(&site), 0);
}

static void http2_is_spoken(void)
{
    site_t site;
    char *large = noise(LARGE_BYTES, 5);
    write_file(path_of("large"), large, LARGE_BYTES);
    start_cairn(&site, NULL);
    CU_ASSERT(comes_to(204));
    for (int secure = 0; secure < 2; ++secure) {
        const char *how = secure ? "--http2" : "--http2-prior-knowledge";
        const char *target = secure ? "/v1/kv/large%2Fb//c" : "/v1/kv/large";
        CU_ASSERT(is_answered(ASK(target, secure, how, "-T", path_of("large")), 201, "2"));
        CU_ASSERT(is_answered(ASK(target, secure, how), 200, "2"));
        CU_ASSERT(out_is(large, LARGE_BYTES));
        CU_ASSERT(is_answered(ASK(target, secure, how, "-r", "100-4099"), 206, "2"));
        CU_ASSERT(out_is(large + 100, 4000));
        CU_ASSERT(is_answered(ASK(target, secure, how, "-H", "If-None-Match: *"), 304, "2"));
        CU_ASSERT(is_answered(ASK(target, secure, "--http1.1"), 200, "1.1"));
        CU_ASSERT(out_is(large, LARGE_BYTES));
    }
    /* the key came through as it was written, and cairn has it under that name */
    http_conn_t conn;
    site_open(&site, &conn);
    CU_ASSERT_EQUAL(exchange_status(&conn, "HEAD", "/v1/kv/large/b//c", NULL, NULL, 0), 200);
    http_close(&conn);
    CU_ASSERT_EQUAL(site_end(&site), 0);
    free(large);
}

/* connections that cairn has accepted so far */
static long connections_of(const site_t *site)
{
    http_conn_t conn;
    http_response_t res;
    site_open(site, &conn);
    exchange(&conn, "GET", "/v1/stats", NULL, NULL, 0, &res);
    const char *at = strstr(res.body, "\"connections_accepted\": ");
    CU_ASSERT_PTR_NOT_NULL_FATAL(at);
    long count = strtol(at + strlen("\"connections_accepted\": "), NULL, 10);
    http_response_dispose(&res);
    http_close(&conn);
    return count;
}

/* health checks are a few; a connection for each of the requests would be many more */
static void connections_are_kept(void)
{
    site_t site;
    http_conn_t conn;
    char target[32];
    start_cairn(&site, NULL);
    CU_ASSERT(comes_to(204));
    long before = connections_of(&site);
    CU_ASSERT_FATAL(http_open(&conn, plain_port));
    for (int i = 0; i < 300; ++i) {
        snprintf(target, sizeof(target), "/v1/kv/k%d", i % 10);
        CU_ASSERT_EQUAL(exchange_status(&conn, "PUT", target, NULL, "x", 1), i < 10 ? 201 : 204);
    }
    http_close(&conn);
    CU_ASSERT(connections_of(&site) - before < 100);
    CU_ASSERT_EQUAL(site_end(&site), 0);
}

/* ---------------------------------------------------------------- what comes as it happens */

/* whether a GET of /metrics of cairn has this line soon */
static bool metrics_come_to_have(http_conn_t *conn, const char *line)
{
    for (int64_t end_ms = monotonic_ms() + READY_TIMEOUT_MS; monotonic_ms() < end_ms; sleep_ms(5)) {
        http_response_t res;
        exchange(conn, "GET", "/metrics", NULL, NULL, 0, &res);
        bool has = strstr(res.body, line) != NULL;
        http_response_dispose(&res);
        if (has)
            return true;
    }
    fprintf(stderr, "\n    /metrics does not come to have %s", line);
    return false;
}

static bool comes_to_print(const program_t *program, const char *text)
{
    for (int64_t end_ms = monotonic_ms() + READY_TIMEOUT_MS; monotonic_ms() < end_ms; sleep_ms(5)) {
        char *output = program_output(program);
        bool has = strstr(output, text) != NULL;
        free(output);
        if (has)
            return true;
    }
    return false;
}

/* curl that follows the log over HTTP/2, and prints what comes */
static void start_follower(program_t *curl, bool is_secure, const char *query, const char *accept)
{
    char url[128];
    snprintf(url, sizeof(url), "%s://127.0.0.1:%u/v1/changes?%s", is_secure ? "https" : "http",
             is_secure ? secure_port : plain_port, query);
    const char *const argv[] = {"curl", "-sSkN", is_secure ? "--http2" : "--http2-prior-knowledge",
                                "-H",   accept,  url,
                                NULL};
    CU_ASSERT_FATAL(program_start(curl, argv));
}

/* an event is told when it happens, not when there is a bufferful, and who leaves is let go */
static void a_stream_is_a_stream(void)
{
    site_t site;
    http_conn_t conn;
    stream_t plain;
    program_t curl[2] = {{.pid = 0}, {.pid = 0}};
    start_cairn(&site, NULL);
    CU_ASSERT(comes_to(204));
    site_open(&site, &conn);
    CU_ASSERT_FATAL(
        stream_open(&plain, plain_port, "/v1/changes", "Accept: text/event-stream\r\n", false));
    for (int i = 0; i < 2; ++i)
        start_follower(&curl[i], i == 1, "since=0", "Accept: text/event-stream");
    CU_ASSERT(metrics_come_to_have(&conn, "\ncairn_followers 3\n"));
    for (int n = 0; n < 3; ++n) {
        char target[32], event[64];
        snprintf(target, sizeof(target), "/v1/kv/event%d", n);
        snprintf(event, sizeof(event), "\"op\":\"put\",\"key\":\"event%d\"", n);
        CU_ASSERT_EQUAL(exchange_status(&conn, "PUT", target, NULL, "x", 1), 201);
        CU_ASSERT(stream_wait_for(&plain, event, READY_TIMEOUT_MS));
        for (int i = 0; i < 2; ++i)
            CU_ASSERT(comes_to_print(&curl[i], event));
    }
    stream_close(&plain);
    for (int i = 0; i < 2; ++i)
        program_end(&curl[i]);
    CU_ASSERT(metrics_come_to_have(&conn, "\ncairn_followers 0\n"));
    http_close(&conn);
    CU_ASSERT_EQUAL(site_end(&site), 0);
}

static void a_wait_is_waited_for(void)
{
    site_t site;
    http_conn_t conn;
    program_t curl = {.pid = 0};
    start_cairn(&site, NULL);
    CU_ASSERT(comes_to(204));
    site_open(&site, &conn);
    start_follower(&curl, true, "since=0&wait=1m", "Accept: */*");
    CU_ASSERT(metrics_come_to_have(&conn, "\ncairn_followers 1\n"));
    CU_ASSERT_EQUAL(exchange_status(&conn, "PUT", "/v1/kv/awaited", NULL, "x", 1), 201);
    CU_ASSERT_EQUAL(program_wait(&curl, READY_TIMEOUT_MS), 0);
    char *output = program_output(&curl);
    CU_ASSERT_STRING_EQUAL(output,
                           "{\"version\":1,\"op\":\"put\",\"key\":\"awaited\",\"size\":1}\n");
    free(output);
    program_end(&curl);
    /* one that is over with nothing to tell is answered through haproxy, not cut by it */
    CU_ASSERT(is_answered(ASK("/v1/changes?since=1&wait=300ms", true, "--http2"), 200, "2"));
    CU_ASSERT(out_is("", 0));
    http_close(&conn);
    CU_ASSERT_EQUAL(site_end(&site), 0);
}

void suite_haproxy(void)
{
    CU_pSuite s = CU_add_suite("haproxy: HTTP/2 in front of cairn", start, end);
    CU_add_test(s, "the file is valid", the_file_is_valid);
    CU_add_test(s, "it is there before cairn, and follows it", it_follows_cairn);
    CU_add_test(s, "HTTP/2 is spoken, with TLS and without", http2_is_spoken);
    CU_add_test(s, "connections to cairn are kept", connections_are_kept);
    CU_add_test(s, "a stream is a stream through it", a_stream_is_a_stream);
    CU_add_test(s, "a wait is waited for", a_wait_is_waited_for);
}
