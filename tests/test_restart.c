/*
 * Is the port open while the store loads, and does it say how far it is?
 */
#include <CUnit/CUnit.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/http_client.h"
#include "tests/server_process.h"
#include "tests/site.h"
#include "tests/store_fixture.h"
#include "tests/suites.h"

#define KEYS 100000
#define SEGMENT_BYTES ((uint64_t)8 << 20)
/* so often is each key replaced for a client to have time to ask: under a sanitizer it has */
#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
#define ROUNDS_MORE 0
#else
#define ROUNDS_MORE 6
#endif

/* ---------------------------------------------------------------- a store that takes a while */

static void put_all(fixture_t *f, const char *what)
{
    char value[100] = {0};
    snprintf(value, sizeof(value), "%s", what);
    fixture_put_numbered(f, KEYS, (cairn_bytes_t){value, sizeof(value)});
}

/** a closed store of many keys, with a checkpoint if `checkpoint_bytes` says so */
static void make_store(fixture_t *f, uint64_t checkpoint_bytes)
{
    fixture_init(f, TEMP_DIR_IN_MEMORY);
    f->options.segment_bytes = SEGMENT_BYTES;
    f->options.checkpoint_bytes = checkpoint_bytes;
    CU_ASSERT_EQUAL_FATAL(fixture_open(f), CAIRN_OK);
    put_all(f, "a value of a hundred bytes");
    CU_ASSERT_EQUAL(fixture_close(f), CAIRN_OK);
}

/* ---------------------------------------------------------------- what the store tells */

typedef struct st_told_t {
    unsigned calls, backwards;
    uint64_t done, total;
    unsigned stop_at; /* the call that is answered with "stop"; 0: none */
} told_t;

static bool on_progress(void *ctx, uint64_t bytes_done, uint64_t bytes_total)
{
    told_t *told = ctx;
    told->backwards += bytes_done < told->done || bytes_done > bytes_total;
    told->done = bytes_done;
    told->total = bytes_total;
    return ++told->calls != told->stop_at;
}

static void progress_ends_with_all_of_it(void)
{
    static const uint64_t kinds[] = {0, 1}; /* from the records, from a checkpoint */
    for (size_t i = 0; i < 2; ++i) {
        fixture_t f;
        told_t told = {0};
        make_store(&f, kinds[i]);
        f.options.on_log = NULL;
        f.options.on_progress = on_progress;
        f.options.ctx = &told;
        CU_ASSERT_EQUAL_FATAL(fixture_open(&f), CAIRN_OK);
        CU_ASSERT(told.calls >= 2);
        CU_ASSERT_EQUAL(told.backwards, 0);
        CU_ASSERT_EQUAL(told.done, told.total);
        CU_ASSERT(told.total > 1000000);
        CU_ASSERT_EQUAL(fixture_close(&f), CAIRN_OK);
        fixture_dispose(&f);
    }
}

static void loading_can_be_stopped_at_any_point(void)
{
    static const uint64_t kinds[] = {0, 1};
    for (size_t i = 0; i < 2; ++i) {
        fixture_t f;
        cairn_err_t err = CAIRN_ERR_CANCELLED;
        make_store(&f, kinds[i]);
        f.options.on_log = NULL;
        f.options.on_progress = on_progress;
        for (unsigned stop_at = 1; err == CAIRN_ERR_CANCELLED && stop_at < 100; ++stop_at) {
            told_t told = {.stop_at = stop_at};
            f.options.ctx = &told;
            err = fixture_open(&f);
        }
        CU_ASSERT_EQUAL_FATAL(err, CAIRN_OK);
        CU_ASSERT_EQUAL(fixture_close(&f), CAIRN_OK);
        fixture_dispose(&f);
    }
}

/* ---------------------------------------------------------------- a long tail */

#define DELETED_EVERY 1000

static bool has(fixture_t *f, unsigned number, const char *what)
{
    char key[16], expected[100] = {0};
    cairn_value_t value;
    snprintf(key, sizeof(key), "key %u", number);
    if (what == NULL)
        return fixture_get(f, text(key), &value) == CAIRN_ERR_NOT_FOUND;
    snprintf(expected, sizeof(expected), "%s", what);
    return fixture_get(f, text(key), &value) == CAIRN_OK && value.count == sizeof(expected) &&
           memcmp(value.bytes, expected, sizeof(expected)) == 0;
}

/** all keys replaced behind the checkpoint, some of them deleted, some replaced once more */
static void a_long_tail_is_applied_in_order(void)
{
    fixture_t f;
    cairn_store_stats_t stats;
    char key[16];
    unsigned wrong = 0;
    make_store(&f, 1);
    f.options.checkpoint_bytes = 0; /* the one there is stays */
    f.options.no_compaction = true;
    CU_ASSERT_EQUAL_FATAL(fixture_open(&f), CAIRN_OK);
    put_all(&f, "replaced");
    put_all(&f, "replaced once more");
    for (unsigned i = 0; i < KEYS; i += DELETED_EVERY) {
        snprintf(key, sizeof(key), "key %u", i);
        CU_ASSERT_EQUAL(fixture_delete(&f, key).err, CAIRN_OK);
    }
    CU_ASSERT_EQUAL(fixture_close(&f), CAIRN_OK);
    CU_ASSERT_EQUAL(access(fixture_path(&f, "index.ckpt"), F_OK), 0);
    CU_ASSERT_EQUAL_FATAL(fixture_open(&f), CAIRN_OK);
    cairn_store_stats(f.store, &stats);
    CU_ASSERT_EQUAL(stats.keys, KEYS - KEYS / DELETED_EVERY);
    for (unsigned i = 0; i < KEYS; ++i)
        wrong += !has(&f, i, i % DELETED_EVERY == 0 ? NULL : "replaced once more");
    CU_ASSERT_EQUAL(wrong, 0);
    fixture_dispose(&f);
}

/* ---------------------------------------------------------------- what a client is told */

typedef struct st_client_t {
    uint16_t port;
    unsigned how_far; /* answers of /readyz that say so */
    unsigned refused; /* answers to others, that say when to come back */
    unsigned odd;     /* answers that say something else */
} client_t;

/** asks until the server is ready */
static void *ask(void *arg)
{
    client_t *c = arg;
    http_conn_t conn;
    bool is_ready = false;
    for (int i = 0; i < 10000 && !http_open(&conn, c->port); ++i)
        usleep(500);
    while (!is_ready) {
        http_response_t res;
        if (!http_request(&conn, "GET", "/readyz", NULL, NULL, 0, &res))
            break;
        uint64_t done, total;
        const char *detail = strstr(res.body, "replayed: ");
        is_ready = res.status == 204;
        if (res.status == 503 && http_header(&res, "retry-after") != NULL && detail != NULL &&
            sscanf(detail, "replayed: %" SCNu64 " of %" SCNu64 " bytes", &done, &total) == 2 &&
            done <= total)
            c->how_far += total != 0;
        else
            c->odd += !is_ready;
        http_response_dispose(&res);
        if (is_ready || !http_request(&conn, "GET", "/v1/kv/key%201", NULL, NULL, 0, &res))
            break;
        bool may_come_back = res.status == 503 && http_header(&res, "retry-after") != NULL;
        c->refused += may_come_back;
        c->odd += !may_come_back && res.status != 200; /* it may have got ready in between */
        http_response_dispose(&res);
    }
    http_close(&conn);
    return NULL;
}

static void clients_are_told_how_far_it_is(void)
{
    fixture_t f;
    server_process_t server = {0};
    client_t client = {.port = site_free_port()};
    char listen[32];
    const char *const args[] = {"--listen", listen, "--storage.segment_bytes", "8MiB", NULL};
    pthread_t thread;
    make_store(&f, 0);
    CU_ASSERT_EQUAL_FATAL(fixture_open(&f), CAIRN_OK);
    for (int i = 0; i < ROUNDS_MORE; ++i)
        put_all(&f, "once more");
    CU_ASSERT_EQUAL(fixture_close(&f), CAIRN_OK);
    snprintf(listen, sizeof(listen), "127.0.0.1:%u", client.port);
    CU_ASSERT_EQUAL_FATAL(pthread_create(&thread, NULL, ask, &client), 0);
    CU_ASSERT_FATAL(server_start(&server, f.dir.path, args));
    pthread_join(thread, NULL);
    CU_ASSERT(client.how_far >= 1);
    CU_ASSERT(client.refused >= 1);
    CU_ASSERT_EQUAL(client.odd, 0);
    CU_ASSERT_EQUAL(server_stop(&server), 0);
    server_dispose(&server);
    fixture_dispose(&f);
}

/* ---------------------------------------------------------------- what the log says */

/** starts, looks for a line in what it says, and stops or kills */
static void start_and_look(const char *path, const char *line, bool is_kill)
{
    server_process_t server = {0};
    const char *const args[] = {"--storage.segment_bytes", "8MiB", NULL};
    CU_ASSERT_FATAL(server_start(&server, path, args));
    if (is_kill)
        server_kill(&server);
    else
        CU_ASSERT_EQUAL(server_stop(&server), 0);
    CU_ASSERT_PTR_NOT_NULL(strstr(server_output(&server), line));
    server_dispose(&server);
}

static void each_start_says_where_its_index_is_from(void)
{
    fixture_t f;
    make_store(&f, 0);
    start_and_look(f.dir.path, "the index is from the records", false);
    start_and_look(f.dir.path, "from index.ckpt, 0 bytes of log", true);
    start_and_look(f.dir.path, "from index.ckpt, 0 bytes of log", false);
    CU_ASSERT_EQUAL(truncate(fixture_path(&f, "index.ckpt"), 5000), 0);
    start_and_look(f.dir.path, "index.ckpt: not used", true);
    start_and_look(f.dir.path, "the index is from the records", false);
    fixture_dispose(&f);
}

void suite_restart(void)
{
    CU_pSuite s = CU_add_suite("restart", NULL, NULL);
    CU_add_test(s, "progress ends with all of it", progress_ends_with_all_of_it);
    CU_add_test(s, "loading can be stopped at any point", loading_can_be_stopped_at_any_point);
    CU_add_test(s, "a long tail is applied in order", a_long_tail_is_applied_in_order);
    CU_add_test(s, "clients are told how far it is", clients_are_told_how_far_it_is);
    CU_add_test(s, "each start says where its index is from",
                each_start_says_where_its_index_is_from);
}
