/*
 * What clients do that die, or come in crowds: does the server live on with nothing left over?
 *
 * After each case the server must answer, and have as many descriptors open as before.
 */
#include <CUnit/CUnit.h>

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <jansson.h>

#include "tests/hostile.h"
#include "tests/suites.h"

#define KIB ((size_t)1 << 10)
#define MIB ((size_t)1 << 20)

/* ---------------------------------------------------------------- vanishing clients */

static void leave(http_conn_t *conn, int how)
{
    if (how == 0)
        http_close(conn);
    else
        http_reset(conn);
}

static void vanish_in_a_request(void)
{
    static const char *const requests[] = {
        "PUT /v1/kv/gone HTTP/1.1\r\nHost: t\r\nContent-Length: 10\r\n\r\n012345678",
        "PUT /v1/kv/gone HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: "
        "chunked\r\n\r\n3\r\nabc\r\n5\r\nab",
        "PUT /v1/kv/gone HTTP/1.1\r\nHost: t\r\nContent-Length: 10\r\nExpect: "
        "100-continue\r\n\r\n0123"};
    for (size_t i = 0; i != sizeof(requests) / sizeof(requests[0]); ++i)
        for (size_t bytes = 0; bytes <= strlen(requests[i]); ++bytes)
            for (int how = 0; how != 2; ++how) {
                http_conn_t conn;
                site_open(&hostile_site, &conn);
                CU_ASSERT(http_send(&conn, requests[i], bytes));
                leave(&conn, how);
            }
    http_conn_t conn;
    site_open(&hostile_site, &conn);
    CU_ASSERT_EQUAL(exchange_status(&conn, "GET", "/v1/kv/gone", NULL, NULL, 0), 404);
    http_close(&conn);
    check_unharmed();
}

static void vanish_in_a_large_body(void)
{
    char *body = noise(4 * MIB, 1);
    for (int i = 0; i != 8; ++i) {
        http_conn_t conn;
        char head[] = "PUT /v1/kv/gone HTTP/1.1\r\nHost: t\r\nContent-Length: 8000000\r\n\r\n";
        site_open(&hostile_site, &conn);
        CU_ASSERT(http_send(&conn, head, strlen(head)));
        CU_ASSERT(http_send(&conn, body, (4 * MIB) >> i));
        leave(&conn, i % 2);
    }
    free(body);
    check_unharmed();
}

static void vanish_after_a_put(void)
{
    http_conn_t conn;
    char request[128], target[32];
    for (int i = 0; i != 100; ++i) {
        int bytes = snprintf(
            request, sizeof(request),
            "PUT /v1/kv/left%d HTTP/1.1\r\nHost: t\r\nContent-Length: 4\r\n\r\n%04d", i, i);
        site_open(&hostile_site, &conn);
        CU_ASSERT(http_send(&conn, request, (size_t)bytes));
        leave(&conn, i % 2);
    }
    check_unharmed();
    /* a FIN behind a whole request takes nothing back; a reset may have overtaken it */
    site_open(&hostile_site, &conn);
    for (int i = 0; i < 100; i += 2) {
        snprintf(target, sizeof(target), "/v1/kv/left%d", i);
        CU_ASSERT_EQUAL(exchange_status(&conn, "GET", target, NULL, NULL, 0), 200);
    }
    http_close(&conn);
}

static void put_large(const char *target, const char *value, size_t bytes)
{
    http_conn_t conn;
    site_open(&hostile_site, &conn);
    CU_ASSERT_FATAL(exchange_status(&conn, "PUT", target, NULL, value, bytes) / 100 == 2);
    http_close(&conn);
}

static void vanish_in_an_answer(void)
{
    char *value = noise(12 * MIB, 2);
    put_large("/v1/kv/large", value, 12 * MIB);
    free(value);
    static const char request[] = "GET /v1/kv/large HTTP/1.1\r\nHost: t\r\n\r\n";
    static const size_t read_before[] = {0, 1, 1000, 100 * KIB, 3 * MIB};
    for (size_t i = 0; i != sizeof(read_before) / sizeof(read_before[0]); ++i)
        for (int how = 0; how != 2; ++how)
            for (int pipelined = 1; pipelined <= 3; pipelined += 2) {
                http_conn_t conn;
                char *sink = malloc(read_before[i] + 1);
                site_open(&hostile_site, &conn);
                for (int n = 0; n != pipelined; ++n)
                    CU_ASSERT(http_send(&conn, request, sizeof(request) - 1));
                CU_ASSERT_EQUAL(recv(conn.fd, sink, read_before[i], MSG_WAITALL),
                                (ssize_t)read_before[i]);
                free(sink);
                leave(&conn, how);
            }
    check_unharmed();
}

static void vanish_while_pipelining(void)
{
    enum { REQUESTS = 500 };
    static char requests[REQUESTS * 96];
    size_t bytes = 0;
    for (int i = 0; i != REQUESTS; ++i)
        bytes += (size_t)sprintf(requests + bytes,
                                 "PUT /v1/kv/p HTTP/1.1\r\nHost: t\r\nContent-Length: 1\r\n\r\nx"
                                 "GET /v1/kv/p HTTP/1.1\r\nHost: t\r\n\r\n");
    for (int how = 0; how != 2; ++how)
        for (int i = 0; i != 10; ++i) {
            http_conn_t conn;
            site_open(&hostile_site, &conn);
            CU_ASSERT(http_send(&conn, requests, bytes / (size_t)(i + 1)));
            leave(&conn, how);
        }
    check_unharmed();
}

static void half_close(void)
{
    static const char *const requests[] = {
        "GET /livez HTTP/1.1\r\nHost: t\r\n\r\n",
        "PUT /v1/kv/half HTTP/1.1\r\nHost: t\r\nContent-Length: 1\r\n\r\nx",
        "DELETE /v1/kv/half HTTP/1.1\r\nHost: t\r\n\r\n"};
    static const int statuses[] = {204, 201, 204};
    static const char get[] = "GET /v1/kv/half HTTP/1.1\r\nHost: t\r\n\r\n";
    http_conn_t conn;
    http_response_t res;
    for (size_t i = 0; i != 3; ++i) {
        site_open(&hostile_site, &conn);
        CU_ASSERT(http_send(&conn, requests[i], strlen(requests[i])) && http_half_close(&conn));
        CU_ASSERT_TRUE_FATAL(http_read_response(&conn, "GET", &res));
        CU_ASSERT_EQUAL(res.status, statuses[i]);
        http_response_dispose(&res);
        CU_ASSERT(http_server_closes_within(&conn, 2000));
        http_close(&conn);
    }
    char *value = noise(6 * MIB, 3);
    put_large("/v1/kv/half", value, 6 * MIB);
    site_open(&hostile_site, &conn);
    CU_ASSERT(http_send(&conn, get, sizeof(get) - 1) && http_half_close(&conn));
    CU_ASSERT_TRUE_FATAL(http_read_response(&conn, "GET", &res));
    CU_ASSERT(body_is(&res, value, 6 * MIB));
    http_response_dispose(&res);
    http_close(&conn);
    free(value);
    check_unharmed();
}

static void refused_and_never_leaving(void)
{
    /* who is refused in the middle of a body may stay, but the server does not wait for ever */
    enum { CLIENTS = 20 };
    http_conn_t conns[CLIENTS];
    http_response_t res;
    static const char head[] =
        "PUT /v1/kv/l HTTP/1.1\r\nHost: t\r\nContent-Length: 100000000\r\n\r\nabc";
    for (int i = 0; i != CLIENTS; ++i) {
        site_open(&hostile_site, &conns[i]);
        exchange_raw(&conns[i], head, sizeof(head) - 1, "PUT", &res);
        CU_ASSERT(is_problem(&res, 413, "value_too_large"));
        http_response_dispose(&res);
    }
    check_unharmed();
    for (int i = 0; i != CLIENTS; ++i)
        http_close(&conns[i]);
}

/* ---------------------------------------------------------------- crowds */

static json_int_t open_connections(http_conn_t *conn)
{
    http_response_t res;
    exchange(conn, "GET", "/v1/stats", NULL, NULL, 0, &res);
    json_t *json = json_loadb(res.body, res.body_bytes, 0, NULL);
    json_int_t count = json_integer_value(json_object_get(json, "connections"));
    json_decref(json);
    http_response_dispose(&res);
    return count;
}

static void crowd(void)
{
    struct rlimit limit;
    CU_ASSERT_EQUAL_FATAL(getrlimit(RLIMIT_NOFILE, &limit), 0);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    /* the server has the same limit and keeps some back */
    size_t count = limit.rlim_cur < 14000 ? (size_t)limit.rlim_cur / 2 : 10000;
    static const char request[] =
        "PUT /v1/kv/crowd HTTP/1.1\r\nHost: t\r\nContent-Length: 1\r\n\r\nx";
    http_conn_t *conns = calloc(count, sizeof(*conns));
    CU_ASSERT_PTR_NOT_NULL_FATAL(conns);
    for (size_t i = 0; i != count; ++i)
        site_open(&hostile_site, &conns[i]);
    /* all at once, so that all are waiting for an answer */
    for (size_t i = 0; i != count; ++i)
        CU_ASSERT_TRUE_FATAL(http_send(&conns[i], request, sizeof(request) - 1));
    uint64_t sum = 0;
    for (size_t i = 0; i != count; ++i) {
        http_response_t res;
        CU_ASSERT_TRUE_FATAL(http_read_response(&conns[i], "PUT", &res));
        sum += version_of(&res);
        http_response_dispose(&res);
    }
    CU_ASSERT(sum > count * (count - 1) / 2); /* each a version of its own */
    CU_ASSERT(open_connections(&conns[0]) >= (json_int_t)count);
    /* alive after that, and many more come and go */
    for (size_t i = 0; i < count; i += 3) {
        CU_ASSERT_EQUAL(exchange_status(&conns[i], "GET", "/v1/kv/crowd", NULL, NULL, 0), 200);
        http_reset(&conns[i]);
        site_open(&hostile_site, &conns[i]);
    }
    for (size_t i = 0; i != count; ++i) {
        CU_ASSERT_EQUAL(exchange_status(&conns[i], "GET", "/livez", NULL, NULL, 0), 204);
        http_reset(&conns[i]);
    }
    free(conns);
    check_unharmed();
}

/* whether the server answers on this connection in this time */
static bool is_served_within(http_conn_t *conn, int wait_ms)
{
    http_response_t res;
    conn->timeout_ms = wait_ms;
    bool is_served = http_read_response(conn, "GET", &res) && res.status == 204;
    conn->timeout_ms = 10000;
    http_response_dispose(&res);
    return is_served;
}

static void connection_limit(void)
{
    enum { LIMIT = 8, CLIENTS = 20 };
    static const char *const extra[] = {"--limits.connections", "8", "--workers", "1", NULL};
    static const char request[] = "GET /livez HTTP/1.1\r\nHost: t\r\n\r\n";
    site_t own;
    http_conn_t conns[CLIENTS];
    CU_ASSERT_EQUAL_FATAL(site_start_in_memory(&own, extra), 0);
    for (int i = 0; i != CLIENTS; ++i) {
        site_open(&own, &conns[i]);
        CU_ASSERT(http_send(&conns[i], request, sizeof(request) - 1));
    }
    for (int i = 0; i != LIMIT; ++i)
        CU_ASSERT(is_served_within(&conns[i], 5000));
    /* the others wait, and are served one by one as those before them leave */
    for (int i = LIMIT; i != CLIENTS; ++i) {
        CU_ASSERT_FALSE(is_served_within(&conns[i], i == LIMIT ? 50 : 1));
        leave(&conns[i - LIMIT], i % 2);
        CU_ASSERT(is_served_within(&conns[i], 5000));
    }
    for (int i = CLIENTS - LIMIT; i != CLIENTS; ++i)
        http_close(&conns[i]);
    CU_ASSERT(site_answers(&own));
    CU_ASSERT_EQUAL(site_end(&own), 0);
}

/* a script that runs the program with few descriptors, in its place for one test */
typedef struct st_narrow_t {
    temp_dir_t dir;
    char path[280];
    char *real_binary;
} narrow_t;

static void narrow_install(narrow_t *narrow, int fds)
{
    CU_ASSERT_TRUE_FATAL(temp_dir_create(&narrow->dir, TEMP_DIR_ON_DISK));
    snprintf(narrow->path, sizeof(narrow->path), "%s/narrow", narrow->dir.path);
    narrow->real_binary = realpath(getenv("CAIRN_BINARY"), NULL);
    FILE *file = fopen(narrow->path, "w");
    CU_ASSERT_FATAL(file != NULL && narrow->real_binary != NULL);
    fprintf(file, "#!/bin/sh\nulimit -n %d\nexec '%s' \"$@\"\n", fds, narrow->real_binary);
    fclose(file);
    CU_ASSERT_EQUAL_FATAL(chmod(narrow->path, 0700), 0);
    setenv("CAIRN_BINARY", narrow->path, 1);
}

static void narrow_remove(narrow_t *narrow)
{
    setenv("CAIRN_BINARY", narrow->real_binary, 1);
    free(narrow->real_binary);
    CU_ASSERT(temp_dir_remove(&narrow->dir));
}

/* seconds of processor time that a process has used */
static double cpu_seconds(pid_t pid)
{
    char path[64];
    unsigned long user = 0, system = 0;
    snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
    FILE *file = fopen(path, "r");
    CU_ASSERT_PTR_NOT_NULL_FATAL(file);
    CU_ASSERT_EQUAL(fscanf(file, "%*d (%*[^)]) %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu",
                           &user, &system),
                    2);
    fclose(file);
    return (double)(user + system) / (double)sysconf(_SC_CLK_TCK);
}

static void descriptors_run_out(void)
{
    /* so few that the server's own leave less room than it reckons with: accept() does fail */
    enum { FDS = 40, CLIENTS = 100 };
    static const char request[] = "GET /livez HTTP/1.1\r\nHost: t\r\n\r\n";
    narrow_t narrow;
    site_t own;
    http_conn_t conns[CLIENTS];
    narrow_install(&narrow, FDS);
    CU_ASSERT_EQUAL_FATAL(site_start(&own, TEMP_DIR_IN_MEMORY, NULL), 0);
    http_conn_t conn;
    site_open(&own, &conn);
    CU_ASSERT_EQUAL(exchange_status(&conn, "PUT", "/v1/kv/a", NULL, "x", 1), 201);
    http_close(&conn);
    size_t own_base_line = fd_base_line(own.server.pid);
    for (int i = 0; i != CLIENTS; ++i) {
        site_open(&own, &conns[i]);
        CU_ASSERT(http_send(&conns[i], request, sizeof(request) - 1));
    }
    int served = 0;
    for (int i = 0; i != CLIENTS; ++i)
        served += is_served_within(&conns[i], i == 0 ? 200 : 1);
    CU_ASSERT(served > 0 && served < CLIENTS);
    /* it waits rather than spin */
    double before = cpu_seconds(own.server.pid);
    sleep_ms(300);
    CU_ASSERT(cpu_seconds(own.server.pid) - before < 0.15);
    /* those who leave make room for those who wait, until all have been there */
    for (int i = 0; i != CLIENTS; ++i)
        leave(&conns[i], i % 2);
    CU_ASSERT(fd_count_comes_to(own.server.pid, own_base_line));
    site_open(&own, &conn);
    CU_ASSERT_EQUAL(exchange_status(&conn, "PUT", "/v1/kv/a", NULL, "x", 1), 204);
    http_close(&conn);
    CU_ASSERT_EQUAL(site_end(&own), 0);
    narrow_remove(&narrow);
}

static void stop_without_descriptors(void)
{
    enum { FDS = 40, CLIENTS = 60 };
    narrow_t narrow;
    site_t own;
    http_conn_t conns[CLIENTS];
    narrow_install(&narrow, FDS);
    CU_ASSERT_EQUAL_FATAL(site_start(&own, TEMP_DIR_IN_MEMORY, NULL), 0);
    for (int i = 0; i != CLIENTS; ++i)
        site_open(&own, &conns[i]);
    sleep_ms(50);
    CU_ASSERT_EQUAL(site_end(&own), 0);
    for (int i = 0; i != CLIENTS; ++i)
        http_close(&conns[i]);
    narrow_remove(&narrow);
}

/* ---------------------------------------------------------------- time */

static void idle_timeout(void)
{
    static const char *const extra[] = {"--limits.idle_timeout", "200ms", NULL};
    static const char *const beginnings[] = {"", "GET / HT",
                                             ("PUT /v1/kv/a HTTP/1.1\r\nHost: t\r\n"
                                              "Content-Length: 5\r\n\r\nabc")};
    site_t own;
    http_conn_t conns[4];
    CU_ASSERT_EQUAL_FATAL(site_start_in_memory(&own, extra), 0);
    int64_t began_ms = monotonic_ms();
    for (int i = 0; i != 3; ++i) {
        site_open(&own, &conns[i]);
        CU_ASSERT(http_send(&conns[i], beginnings[i], strlen(beginnings[i])));
    }
    site_open(&own, &conns[3]);
    CU_ASSERT_EQUAL(exchange_status(&conns[3], "GET", "/livez", NULL, NULL, 0), 204);
    CU_ASSERT_FALSE(http_server_closes_within(&conns[0], 100));
    for (int i = 0; i != 4; ++i) {
        CU_ASSERT(http_server_closes_within(&conns[i], 3000));
        http_close(&conns[i]);
    }
    CU_ASSERT(monotonic_ms() - began_ms >= 200);
    /* one that is used lives longer than that */
    site_open(&own, &conns[0]);
    for (int i = 0; i != 6; ++i) {
        sleep_ms(70);
        CU_ASSERT_EQUAL(exchange_status(&conns[0], "GET", "/livez", NULL, NULL, 0), 204);
    }
    http_close(&conns[0]);
    CU_ASSERT_EQUAL(site_end(&own), 0);
}

/* ---------------------------------------------------------------- memory */

/* what a sanitizer keeps back of freed memory is not the server's */
#ifdef __SANITIZE_ADDRESS__
#define MEMORY_SLACK (512 * MIB)
#else
#define MEMORY_SLACK (8 * MIB)
#endif

/* memory of the server's own, as it says itself */
static size_t own_bytes(void)
{
    http_conn_t conn;
    http_response_t res;
    site_open(&hostile_site, &conn);
    exchange(&conn, "GET", "/v1/stats", NULL, NULL, 0, &res);
    json_t *stats = json_loads(res.body, 0, NULL);
    json_int_t bytes = 0;
    CU_ASSERT_EQUAL(json_unpack(stats, "{s:{s:I}}", "memory", "own_bytes", &bytes), 0);
    json_decref(stats);
    http_response_dispose(&res);
    http_close(&conn);
    return (size_t)bytes;
}

static void attack(void)
{
    vanish_in_a_request();
    vanish_in_a_large_body();
    vanish_after_a_put();
    vanish_in_an_answer();
    vanish_while_pipelining();
}

/* heads as large as they may be, in one header and in the target, and framing with two meanings */
static void flood(void)
{
    enum { CLIENTS = 24, HEAD = 400 << 10 };
    static const char *const beginnings[] = {
        "GET / HTTP/1.1\r\nHost: t\r\nX: ", "GET /v1/kv/",
        ("PUT /v1/kv/f HTTP/1.1\r\nHost: t\r\nContent-Length: 1\r\n"
         "Content-Length: 2\r\nX: ")};
    static const char *const ends[] = {"\r\n\r\n", " HTTP/1.1\r\nHost: t\r\n\r\n", "\r\n\r\nx"};
    static const int statuses[] = {431, 414, 400};
    http_conn_t conns[CLIENTS];
    char *request = malloc(HEAD + 200);
    CU_ASSERT_PTR_NOT_NULL_FATAL(request);
    for (int i = 0; i != CLIENTS; ++i) {
        char *at = stpcpy(request, beginnings[i % 3]);
        memset(at, 'a', HEAD);
        at = stpcpy(at + HEAD, ends[i % 3]);
        site_open(&hostile_site, &conns[i]);
        CU_ASSERT(http_send(&conns[i], request, (size_t)(at - request)));
    }
    free(request);
    for (int i = 0; i != CLIENTS; ++i) {
        http_response_t res;
        CU_ASSERT_TRUE_FATAL(http_read_response(&conns[i], "GET", &res));
        CU_ASSERT_EQUAL(res.status, statuses[i % 3]);
        http_response_dispose(&res);
        leave(&conns[i], i % 2);
    }
    check_unharmed();
}

/* An allocator keeps what was needed at once, and how much that was depends on how the attacks met;
 * so it grows for some rounds, and then no more. A leak grows with each round. */
static bool memory_comes_back(void (*wave)(void), int waves)
{
    enum { GROUPS_MAX = 8 };
    size_t before = SIZE_MAX, after = SIZE_MAX;
    bool has_grown = true;
    for (int group = 0; group != GROUPS_MAX && has_grown; ++group) {
        for (int i = 0; i != waves; ++i)
            wave(); /* ends when the server has let go of every client */
        before = after;
        after = own_bytes();
        has_grown = group == 0 || after > before + MEMORY_SLACK;
    }
    if (has_grown)
        fprintf(stderr, "\n    %zu bytes, then %zu, after %d groups", before, after, GROUPS_MAX);
    return !has_grown;
}

static void memory_of_the_dead_comes_back(void)
{
    CU_ASSERT(memory_comes_back(attack, 3));
}

static void memory_of_floods_comes_back(void)
{
    CU_ASSERT(memory_comes_back(flood, 10));
}

static void memory_of_a_crowd_comes_back(void)
{
    CU_ASSERT(memory_comes_back(crowd, 1));
}

void suite_http_hostile(void)
{
    CU_pSuite s =
        CU_add_suite("http_hostile: clients that die, and crowds", hostile_start, hostile_end);
    CU_add_test(s, "clients vanish at every byte of a request", vanish_in_a_request);
    CU_add_test(s, "clients vanish in a large body", vanish_in_a_large_body);
    CU_add_test(s, "clients vanish right after a PUT", vanish_after_a_put);
    CU_add_test(s, "clients vanish while a large value is sent", vanish_in_an_answer);
    CU_add_test(s, "clients vanish with many requests under way", vanish_while_pipelining);
    CU_add_test(s, "a client that has said all still gets its answer", half_close);
    CU_add_test(s, "a refused client that stays is let go", refused_and_never_leaving);
    CU_add_test(s, "what they have taken comes back", memory_of_the_dead_comes_back);
    CU_add_test(s, "and what floods of headers have", memory_of_floods_comes_back);
    CU_add_test(s, "10,000 connections at once, and nothing is left of them",
                memory_of_a_crowd_comes_back);
    CU_add_test(s, "more clients than allowed wait for their turn", connection_limit);
    CU_add_test(s, "descriptors run out and come back", descriptors_run_out);
    CU_add_test(s, "a server without descriptors stops in order", stop_without_descriptors);
    CU_add_test(s, "a connection without a request is closed", idle_timeout);
}
