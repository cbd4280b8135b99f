/*
 * Many clients that send pipelines at once, read slowly or die, while the server is told to reload
 * and to stop: what is answered is right and in order, and only a stop cuts it short.
 */
#include <CUnit/CUnit.h>

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "tests/pipelines.h"
#include "tests/suites.h"
#include "tests/tls_client.h"

#define CLIENTS 12
/** a token that all have; others come and go with each reload */
#define TOKEN "Authorization: Bearer secret\r\n"
#define TOKEN_SHA256 "2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b"

typedef struct st_storm_t {
    temp_dir_t dir;
    char config[300], data[300], certificate[300], key[300];
    bool is_tls;
    server_process_t server;
    _Atomic uint16_t port;  /* 0 while there is no server */
    _Atomic unsigned stops; /* odd while it stops, and until it has started again */
    atomic_bool is_over;
    atomic_uint answers, faults, cut_short;
} storm_t;

typedef struct st_client_t {
    storm_t *storm;
    random_t random;
    pipeline_t line;
    pthread_t thread;
} client_t;

/* ---------------------------------------------------------------- a client */

static bool open_any(client_t *client, http_conn_t *conn, unsigned *stops)
{
    storm_t *storm = client->storm;
    int few = 32768; /* with still less a sender waits a fifth of a second for each of a window */
    *stops = atomic_load(&storm->stops);
    uint16_t port = atomic_load(&storm->port);
    if (port == 0 || !(storm->is_tls ? tls_open(conn, port, NULL) : http_open(conn, port))) {
        sleep_ms(2);
        return false;
    }
    conn->timeout_ms = 60000;
    if (random_below(&client->random, 3) == 0)
        setsockopt(conn->fd, SOL_SOCKET, SO_RCVBUF, &few, sizeof(few));
    return true;
}

/** in pieces and with pauses, up to `bytes` */
static void send_some(client_t *client, http_conn_t *conn, size_t bytes)
{
    random_t *random = &client->random;
    bool is_whole = client->line.ends_in_error || random_below(random, 3) == 0;
    size_t most = is_whole ? bytes : 1 + random_below(random, 5000);
    for (size_t sent = 0, piece; sent != bytes; sent += piece) {
        piece = bytes - sent < most ? bytes - sent : most;
        if (!http_send(conn, client->line.text + sent, piece))
            return;
        if (random_below(random, 16) == 0)
            sleep_ms(1);
    }
}

/** false if there was none, or a wrong one, and that has been told */
static bool read_one(client_t *client, http_conn_t *conn, size_t i, unsigned stops)
{
    storm_t *storm = client->storm;
    const pipeline_expected_t *expected = &client->line.expected[i];
    http_response_t res;
    bool is_there = http_read_response(conn, expected->method, &res);
    bool is_right = is_there && pipeline_is_answer(&res, expected);
    bool is_cut = !is_there && conn->is_server_gone &&
                  (stops % 2 != 0 || atomic_load(&storm->stops) != stops);
    if (is_right)
        atomic_fetch_add(&storm->answers, 1);
    else if (is_cut)
        atomic_fetch_add(&storm->cut_short, 1);
    else if (atomic_fetch_add(&storm->faults, 1) == 0)
        fprintf(stderr, "\n    CAIRN_SEED=%llu: answer %zu of %zu: %d instead of %d; %s\n%.*s",
                (unsigned long long)seed_of_run(), i, client->line.count, res.status,
                expected->status, is_there ? "" : conn->error, (int)client->line.bytes,
                client->line.text);
    http_response_dispose(&res);
    return is_right;
}

static void one_pipeline(client_t *client)
{
    random_t *random = &client->random;
    http_conn_t conn;
    unsigned stops;
    if (!open_any(client, &conn, &stops))
        return;
    pipeline_fill(&client->line, random, TOKEN);
    bool dies = random_below(random, 4) == 0;
    size_t bytes = client->line.bytes, count = client->line.count;
    send_some(client, &conn, dies ? 1 + random_below(random, bytes) : bytes);
    if (dies) {
        sleep_ms((unsigned)random_below(random, 3));
        http_reset(&conn);
        return;
    }
    for (size_t i = 0; i != count && read_one(client, &conn, i, stops); ++i)
        if (random_below(random, 64) == 0)
            sleep_ms(1 + (unsigned)random_below(random, 4));
    http_close(&conn);
}

static void *client_main(void *arg)
{
    client_t *client = arg;
    while (!atomic_load(&client->storm->is_over))
        one_pipeline(client);
    return NULL;
}

/* ---------------------------------------------------------------- the server */

static void write_config(const storm_t *storm, unsigned n)
{
    FILE *file = fopen(storm->config, "w");
    CU_ASSERT_PTR_NOT_NULL_FATAL(file);
    fprintf(file,
            "workers: 2\nlimits:\n  idle_timeout: %us\n"
            "auth:\n  tokens:\n    - name: all\n      sha256: " TOKEN_SHA256
            "\n      scope: write\n"
            "    - name: other%u\n      sha256: %064u\n      scope: read\n",
            20 + n % 3, n, n);
    if (storm->is_tls)
        fprintf(file, "tls:\n  certificate: \"%s\"\n  key: \"%s\"\n", storm->certificate,
                storm->key);
    if (n % 2 != 0)
        fprintf(file, "log:\n  access: json\n  file: %s/access.log\n", storm->dir.path);
    CU_ASSERT_EQUAL(fclose(file), 0);
}

static void start(storm_t *storm)
{
    const char *const extra[] = {"--config", storm->config, NULL};
    http_conn_t conn;
    bool is_up = server_start(&storm->server, storm->data, extra);
    if (!is_up)
        fprintf(stderr, "\n    %s", storm->server.error);
    CU_ASSERT_TRUE_FATAL(is_up);
    uint16_t port = storm->server.port;
    CU_ASSERT_TRUE_FATAL(storm->is_tls ? tls_open(&conn, port, NULL) : http_open(&conn, port));
    pipeline_values_put(&conn, TOKEN);
    http_close(&conn);
    atomic_store(&storm->port, port);
}

static void stop(storm_t *storm)
{
    int ended = server_stop(&storm->server);
    if (ended != 0)
        fprintf(stderr, "\n    ended with %d: %s", ended, server_output(&storm->server));
    CU_ASSERT_EQUAL(ended, 0);
    server_dispose(&storm->server);
}

static void restart(storm_t *storm)
{
    atomic_fetch_add(&storm->stops, 1);
    atomic_store(&storm->port, 0);
    stop(storm);
    start(storm);
    atomic_fetch_add(&storm->stops, 1);
}

/* ---------------------------------------------------------------- the storm */

static void make(storm_t *storm, bool is_tls)
{
    *storm = (storm_t){.is_tls = is_tls};
    CU_ASSERT_TRUE_FATAL(temp_dir_create(&storm->dir, TEMP_DIR_IN_MEMORY));
    snprintf(storm->config, sizeof(storm->config), "%s/config.yaml", storm->dir.path);
    snprintf(storm->data, sizeof(storm->data), "%s/data", storm->dir.path);
    snprintf(storm->certificate, sizeof(storm->certificate), "%s/a.crt", storm->dir.path);
    snprintf(storm->key, sizeof(storm->key), "%s/a.key", storm->dir.path);
    CU_ASSERT_TRUE_FATAL(!is_tls ||
                         tls_make_certificate("storm.example", storm->certificate, storm->key));
    write_config(storm, 0);
    pipeline_values_make();
    start(storm);
}

static void rage(bool is_tls)
{
    static storm_t storm;
    static client_t clients[CLIENTS];
    make(&storm, is_tls);
    for (size_t i = 0; i != CLIENTS; ++i) {
        clients[i] = (client_t){.storm = &storm, .random = random_from(seed_of_run(), i)};
        CU_ASSERT_EQUAL_FATAL(pthread_create(&clients[i].thread, NULL, client_main, &clients[i]),
                              0);
    }
    int64_t end_ms = monotonic_ms() + (is_soak() ? 300000 : 1500);
    for (unsigned n = 1; monotonic_ms() < end_ms && atomic_load(&storm.faults) == 0; ++n) {
        sleep_ms(20);
        write_config(&storm, n);
        kill(storm.server.pid, SIGHUP);
        if (n % 20 == 0)
            restart(&storm);
    }
    atomic_store(&storm.is_over, true);
    for (size_t i = 0; i != CLIENTS; ++i)
        pthread_join(clients[i].thread, NULL);
    stop(&storm);
    CU_ASSERT_EQUAL(atomic_load(&storm.faults), 0);
    CU_ASSERT(atomic_load(&storm.answers) > 100);
    if (is_soak())
        fprintf(stderr, "\n    %u answers, %u pipelines cut short by a stop",
                atomic_load(&storm.answers), atomic_load(&storm.cut_short));
    pipeline_values_dispose();
    CU_ASSERT(temp_dir_remove(&storm.dir));
}

static void plain(void)
{
    rage(false);
}

static void over_tls(void)
{
    rage(true);
}

void suite_http_pipeline_storm(void)
{
    CU_pSuite s = CU_add_suite("http_pipeline_storm: pipelines from all sides", NULL, NULL);
    CU_add_test(s, "reloads, stops and dying clients put no answer out of order", plain);
    CU_add_test(s, "nor over TLS", over_tls);
}
