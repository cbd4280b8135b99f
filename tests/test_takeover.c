/*
 * Can one server follow another on its port and its data without a client seeing an error?
 *
 * What a client may see is what HTTP lets it retry by itself: a kept connection that the server
 * closed between two requests, without a byte of an answer. Those retries are counted too, and
 * bounded by the connections there are. Anything else is an error.
 */
#include <CUnit/CUnit.h>

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <jansson.h>

#include "tests/program.h"
#include "tests/site.h"
#include "tests/suites.h"

#define CLIENTS 6
#define WORKERS 2

typedef struct st_traffic_t {
    uint16_t port;
    const char *path; /* of a Unix socket; NULL for TCP */
    _Atomic bool is_over;
    _Atomic unsigned answers, retries, errors, next_client;
    pthread_t threads[CLIENTS];
} traffic_t;

static bool open_one(const traffic_t *traffic, http_conn_t *conn)
{
    return traffic->path != NULL ? http_open_unix(conn, traffic->path)
                                 : http_open(conn, traffic->port);
}

static void note_error(traffic_t *traffic, http_conn_t *conn)
{
    fprintf(stderr, "\n    a client's error: %s", conn->error);
    atomic_fetch_add(&traffic->errors, 1);
}

/* one exchange; `is_kept` is whether the connection has served before and is open still */
static void ask(traffic_t *traffic, http_conn_t *conn, bool *is_kept, bool is_put)
{
    const char *method = is_put ? "PUT" : "GET";
    http_response_t res;
    for (bool may_retry = *is_kept;; may_retry = false) {
        if (conn->fd < 0 && !open_one(traffic, conn)) {
            note_error(traffic, conn);
            return;
        }
        if (http_request(conn, method, "/v1/kv/a", NULL, is_put ? "x" : NULL, is_put, &res))
            break;
        if (!may_retry || !conn->is_server_gone || conn->_in.count != conn->_in_at) {
            note_error(traffic, conn);
            http_close(conn);
            *is_kept = false;
            return;
        }
        atomic_fetch_add(&traffic->retries, 1);
        http_close(conn);
    }
    if (res.status / 100 != 2)
        atomic_fetch_add(&traffic->errors, 1);
    const char *connection = http_header(&res, "connection");
    *is_kept = connection == NULL || strcmp(connection, "close") != 0;
    atomic_fetch_add(&traffic->answers, 1);
    http_response_dispose(&res);
}

/* half of the clients keep their connections, half open one for each request */
static void *run_client(void *arg)
{
    traffic_t *traffic = arg;
    unsigned number = atomic_fetch_add(&traffic->next_client, 1);
    http_conn_t conn = {.fd = -1};
    bool is_kept = false;
    for (unsigned i = 0; !atomic_load(&traffic->is_over); ++i) {
        ask(traffic, &conn, &is_kept, i % 4 == 0);
        if (number % 2 == 0 || !is_kept) {
            http_close(&conn);
            is_kept = false;
        }
        if (number < 2)
            sleep_ms(1);
    }
    http_close(&conn);
    return NULL;
}

static void start_traffic(traffic_t *traffic)
{
    for (int i = 0; i != CLIENTS; ++i)
        CU_ASSERT_EQUAL_FATAL(pthread_create(&traffic->threads[i], NULL, run_client, traffic), 0);
}

static void end_traffic(traffic_t *traffic)
{
    atomic_store(&traffic->is_over, true);
    for (int i = 0; i != CLIENTS; ++i)
        pthread_join(traffic->threads[i], NULL);
}

/* ---------------------------------------------------------------- the operator */

typedef struct st_operator_t {
    pid_t old;
    uint16_t port;
    const char *path;
    ino_t old_ino;
} operator_t;

static int listener_count(uint16_t port)
{
    char line[512];
    unsigned local_port, state;
    int count = 0;
    FILE *file = fopen("/proc/net/tcp", "r");
    while (file != NULL && fgets(line, sizeof(line), file) != NULL)
        count += sscanf(line, " %*d: %*[0-9A-F]:%x %*[0-9A-F]:%*x %x", &local_port, &state) == 2 &&
                 local_port == port && state == 0x0a;
    if (file != NULL)
        fclose(file);
    return count;
}

static bool new_one_listens(const operator_t *operator)
{
    struct stat st;
    if (operator->path == NULL)
        return listener_count(operator->port) == 2 * WORKERS;
    return stat(operator->path, &st) == 0 && st.st_ino != operator->old_ino;
}

/* sees that the new one waits, lets the old one serve a while longer, and stops it */
static void *operate(void *arg)
{
    operator_t *operator= arg;
    for (int64_t deadline_ms = monotonic_ms() + 30000;
         monotonic_ms() < deadline_ms && !new_one_listens(operator); sleep_ms(5))
        ;
    sleep_ms(300);
    kill(operator->old, SIGTERM);
    return NULL;
}

static void change(site_t *site, traffic_t *traffic, const char *listen_flag)
{
    const char *const extra[] = {listen_flag, "--takeover=yes", "--workers=2", "--log.level=error",
                                 NULL};
    server_process_t next = {0};
    struct stat st = {.st_ino = 0};
    pthread_t thread;
    if (traffic->path != NULL)
        stat(traffic->path, &st);
    operator_t operator= {site->server.pid, traffic->port, traffic->path, st.st_ino};
    CU_ASSERT_EQUAL_FATAL(pthread_create(&thread, NULL, operate, &operator), 0);
    bool has_started = server_start(&next, site->data, extra);
    if (!has_started)
        fprintf(stderr, "\n    %s", next.error);
    pthread_join(thread, NULL);
    CU_ASSERT_TRUE_FATAL(has_started);
    CU_ASSERT_PTR_NOT_NULL(strstr(server_output(&next), "takeover: waiting for the other cairn"));
    CU_ASSERT_EQUAL(server_stop(&site->server), 0);
    server_dispose(&site->server);
    site->server = next;
}

/* two changes in a row: the second follows one that has itself taken over */
static void change_under_traffic(site_t *site, traffic_t *traffic, const char *listen_flag)
{
    start_traffic(traffic);
    for (int i = 0; i != 2; ++i) {
        sleep_ms(100);
        unsigned before = atomic_load(&traffic->answers);
        change(site, traffic, listen_flag);
        sleep_ms(200);
        CU_ASSERT(atomic_load(&traffic->answers) > before);
    }
    end_traffic(traffic);
    CU_ASSERT_EQUAL(atomic_load(&traffic->errors), 0);
    CU_ASSERT(atomic_load(&traffic->retries) <= 2 * CLIENTS);
}

static void over_tcp(void)
{
    static const char *const extra[] = {"--workers=2", NULL};
    site_t site;
    traffic_t traffic = {.path = NULL};
    char flag[64];
    CU_ASSERT_EQUAL_FATAL(site_start(&site, TEMP_DIR_ON_DISK, extra), 0);
    traffic.port = site.server.port;
    snprintf(flag, sizeof(flag), "--listen=127.0.0.1:%u", traffic.port);
    change_under_traffic(&site, &traffic, flag);
    CU_ASSERT_EQUAL(site.server.port, traffic.port);
    CU_ASSERT_EQUAL(site_end(&site), 0);
}

/* gets that the server has answered with a value */
static json_int_t gets_of(const site_t *site)
{
    http_conn_t conn;
    http_response_t res;
    json_int_t gets = 0;
    site_open(site, &conn);
    exchange(&conn, "GET", "/v1/stats", NULL, NULL, 0, &res);
    json_t *stats = json_loads(res.body, 0, NULL);
    CU_ASSERT_EQUAL(json_unpack(stats, "{s:{s:{s:I}}}", "requests", "get", "2xx", &gets), 0);
    json_decref(stats);
    http_response_dispose(&res);
    http_close(&conn);
    return gets;
}

/* wrk reports errors of any kind in lines of their own, and none if there were none */
static bool saw_no_error(const program_t *wrk)
{
    char *output = program_output(wrk);
    bool saw_none = strstr(output, "requests in") != NULL &&
                    strstr(output, "Socket errors") == NULL && strstr(output, "Non-2xx") == NULL;
    if (!saw_none)
        fprintf(stderr, "\n%s", output);
    free(output);
    return saw_none;
}

/* wrk keeps its connections and always has a request under way on each */
static void under_wrk(void)
{
    static const char *const extra[] = {"--workers=2", NULL};
    site_t site;
    program_t wrk;
    http_conn_t conn;
    char flag[64], url[64];
    CU_ASSERT_EQUAL_FATAL(site_start(&site, TEMP_DIR_ON_DISK, extra), 0);
    site_open(&site, &conn);
    CU_ASSERT_EQUAL(exchange_status(&conn, "PUT", "/v1/kv/a", NULL, "x", 1), 201);
    http_close(&conn);
    traffic_t traffic = {.port = site.server.port};
    snprintf(flag, sizeof(flag), "--listen=127.0.0.1:%u", traffic.port);
    snprintf(url, sizeof(url), "http://127.0.0.1:%u/v1/kv/a", traffic.port);
    const char *const argv[] = {"wrk", "-t2", "-c16", "-d3s", "--timeout", "30s", url, NULL};
    CU_ASSERT_TRUE_FATAL(program_start(&wrk, argv));
    sleep_ms(500);
    CU_ASSERT(gets_of(&site) > 0);
    change(&site, &traffic, flag);
    CU_ASSERT_EQUAL(program_wait(&wrk, 60000), 0);
    CU_ASSERT(saw_no_error(&wrk));
    CU_ASSERT(gets_of(&site) > 0); /* the new one has served it as well */
    program_end(&wrk);
    CU_ASSERT_EQUAL(site_end(&site), 0);
}

static void over_a_unix_socket(void)
{
    temp_dir_t dir;
    char path[100], flag[128];
    CU_ASSERT_TRUE_FATAL(temp_dir_create(&dir, TEMP_DIR_ON_DISK));
    snprintf(path, sizeof(path), "%.80s/s", dir.path);
    snprintf(flag, sizeof(flag), "--listen=unix:%s", path);
    const char *const extra[] = {flag, "--workers=2", NULL};
    site_t site;
    traffic_t traffic = {.path = path};
    CU_ASSERT_EQUAL_FATAL(site_start(&site, TEMP_DIR_ON_DISK, extra), 0);
    change_under_traffic(&site, &traffic, flag);
    CU_ASSERT_EQUAL(site_end(&site), 0);
    CU_ASSERT_NOT_EQUAL(access(path, F_OK), 0);
    CU_ASSERT(temp_dir_remove(&dir));
}

static void nothing_to_take_over(void)
{
    static const char *const extra[] = {"--takeover", "yes", NULL};
    static const char *const memory[] = {"serve", "--data", ":memory:", "--takeover", "yes", NULL};
    site_t site;
    int ended;
    char *output;
    CU_ASSERT_EQUAL_FATAL(site_start(&site, TEMP_DIR_ON_DISK, extra), 0);
    CU_ASSERT(site_answers(&site));
    CU_ASSERT_EQUAL(site_end(&site), 0);
    CU_ASSERT_TRUE_FATAL(run_cairn(memory, &ended, &output));
    CU_ASSERT_EQUAL(ended, 2);
    CU_ASSERT_PTR_NOT_NULL(strstr(output, "--takeover: what is in memory"));
    free(output);
}

/* SIGKILL while it waits: the old one never notices */
static void one_that_dies_waiting(void)
{
    static const char *const extra[] = {"--workers=2", NULL};
    site_t site;
    char flag[64];
    server_process_t next = {0};
    CU_ASSERT_EQUAL_FATAL(site_start(&site, TEMP_DIR_ON_DISK, extra), 0);
    snprintf(flag, sizeof(flag), "--listen=127.0.0.1:%u", site.server.port);
    const char *const args[] = {flag, "--takeover=yes", "--workers=2", NULL};
    CU_ASSERT_EQUAL(server_start_and_kill(&next, site.data, args, 500000), -SIGKILL);
    server_dispose(&next);
    for (int i = 0; i != 50; ++i)
        CU_ASSERT(site_answers(&site));
    CU_ASSERT_EQUAL(site_end(&site), 0);
}

void suite_takeover(void)
{
    CU_pSuite s = CU_add_suite("takeover", NULL, NULL);
    CU_add_test(s, "on a TCP port no client sees an error", over_tcp);
    CU_add_test(s, "a run of wrk across the change sees no error", under_wrk);
    CU_add_test(s, "on a Unix socket no client sees an error", over_a_unix_socket);
    CU_add_test(s, "with nobody there it just starts; in memory it is refused",
                nothing_to_take_over);
    CU_add_test(s, "one that dies while it waits harms nobody", one_that_dies_waiting);
}
