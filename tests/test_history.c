/*
 * Does the store forget, reorder or invent anything when it is killed again and again under load?
 *
 * Clients on their own connections put, get and delete a shared set of keys, sync and async mixed,
 * many puts only if the key still has the version that was seen last,
 * until the server is killed; it starts again (sometimes it is killed while it does), every key is
 * read, and the whole history of what was asked and answered goes through tests/history.h. Then the
 * next history begins where this one ended. Now and then the end is an orderly one instead.
 *
 * The checker is tried as well: small histories, each with one thing that must not happen.
 */
#include <CUnit/CUnit.h>

#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "tests/history.h"
#include "tests/kv_call.h"
#include "tests/seed.h"
#include "tests/server_process.h"
#include "tests/suites.h"
#include "tests/temp_dir.h"

/* ---------------------------------------------------------------- the checker, tried */

/* what the checker says first; the word before its colon names the rule */
static void keep_first(void *ctx, const char *text)
{
    char *first = ctx;
    if (first[0] == '\0')
        snprintf(first, 256, "%s", text);
}

/*
 * Checks one history of two keys: key 0 has value 5 as version 5, key 1 none; the highest version
 * is 7. `rule` is the word that the checker must say, NULL for a history that could be.
 */
static void expect(const char *rule, const history_call_t *calls, size_t count)
{
    char first[256] = "";
    history_t history;
    history_init(&history, 2);
    history.keys[0] = (history_key_t){.value = 5, .version = 5};
    history.keys[1] = (history_key_t){.value = 0, .version = 7};
    history.highest = 7;
    history.on_violation = keep_first;
    history.ctx = first;
    history_add(&history, calls, count);
    history_check(&history);
    bool is_right = rule == NULL ? history.violations == 0
                                 : history.violations != 0 && first[strlen(rule)] == ':' &&
                                       strncmp(first, rule, strlen(rule)) == 0;
    if (!is_right)
        printf("\n    expected %s, got %zu: %s", rule != NULL ? rule : "nothing",
               history.violations, first);
    CU_ASSERT(is_right);
    history_dispose(&history);
}

#define EXPECT(rule, ...)                                                                          \
    expect(rule, (const history_call_t[]){__VA_ARGS__},                                            \
           sizeof((const history_call_t[]){__VA_ARGS__}) / sizeof(history_call_t))

/* calls, by begin and end; values are numbers of their own */
#define PUT(at, until, k, st, ver, val)                                                            \
    {                                                                                              \
        .op = HISTORY_PUT, .key = (k), .status = (st), .version = (ver), .value = (val),           \
        .begun_ns = (at), .ended_ns = (until)                                                      \
    }
#define DEL(at, until, k, st, ver)                                                                 \
    {                                                                                              \
        .op = HISTORY_DELETE, .key = (k), .status = (st), .version = (ver), .begun_ns = (at),      \
        .ended_ns = (until)                                                                        \
    }
#define GET(at, until, k, st, ver, val)                                                            \
    {                                                                                              \
        .op = HISTORY_GET, .key = (k), .status = (st), .version = (ver), .value = (val),           \
        .begun_ns = (at), .ended_ns = (until)                                                      \
    }
#define PUT_IF(at, until, k, st, ver, val, if_version)                                             \
    {                                                                                              \
        .op = HISTORY_PUT, .key = (k), .status = (st), .version = (ver), .value = (val),           \
        .wanted = (if_version), .begun_ns = (at), .ended_ns = (until)                              \
    }
#define PUT_LOST(at, k, val) PUT(at, HISTORY_NEVER, k, 0, 0, val)
#define DEL_LOST(at, k) DEL(at, HISTORY_NEVER, k, 0, 0)

static void histories_that_can_be(void)
{
    EXPECT(NULL, GET(1, 2, 0, 200, 5, 5), GET(1, 2, 1, 404, 0, 0));
    EXPECT(NULL, PUT(1, 2, 1, 201, 8, 80), GET(3, 4, 1, 200, 8, 80), DEL(5, 6, 1, 204, 9),
           DEL(7, 8, 1, 404, 0), GET(7, 8, 1, 404, 0, 0));
    /* side by side, any order will do */
    EXPECT(NULL, PUT(1, 9, 0, 204, 9, 90), PUT(1, 9, 0, 204, 8, 80), GET(2, 3, 0, 200, 8, 80),
           GET(4, 5, 0, 200, 9, 90));
    EXPECT(NULL, DEL(1, 9, 0, 204, 8), GET(2, 3, 0, 200, 5, 5), GET(4, 5, 0, 404, 0, 0));
    EXPECT(NULL, DEL(1, 9, 0, 204, 8), PUT(1, 9, 0, 201, 9, 90), GET(2, 3, 0, 404, 0, 0),
           GET(4, 5, 0, 200, 9, 90));
    /* without an answer: done, or not */
    EXPECT(NULL, PUT_LOST(1, 0, 80), GET(3, 4, 0, 200, 5, 5));
    EXPECT(NULL, PUT_LOST(1, 0, 80), GET(3, 4, 0, 200, 8, 80));
    EXPECT(NULL, DEL_LOST(1, 0), GET(3, 4, 0, 404, 0, 0));
    EXPECT(NULL, DEL_LOST(1, 0), GET(3, 4, 0, 200, 5, 5));
    EXPECT(NULL, DEL_LOST(1, 0), PUT(2, 3, 0, 201, 9, 90), GET(4, 5, 0, 200, 9, 90));
    EXPECT(NULL, PUT_LOST(1, 1, 80), PUT(2, 3, 1, 204, 9, 90), DEL(4, 5, 1, 204, 10));
}

static void lost_writes(void)
{
    EXPECT("stale", PUT(1, 2, 0, 204, 8, 80), GET(3, 4, 0, 200, 5, 5));
    EXPECT("missing", PUT(1, 2, 1, 201, 8, 80), GET(3, 4, 1, 404, 0, 0));
    EXPECT("stale", DEL(1, 2, 0, 204, 8), GET(3, 4, 0, 200, 5, 5));
    EXPECT("missing", GET(1, 2, 0, 404, 0, 0));
    EXPECT("missing", DEL(1, 2, 0, 404, 0));
    /* the delete began too late to be the reason */
    EXPECT("missing", GET(1, 2, 0, 404, 0, 0), DEL(3, 4, 0, 204, 8));
    EXPECT("missing", GET(1, 2, 0, 404, 0, 0), DEL_LOST(3, 0));
    /* or is of another key */
    EXPECT("missing", DEL_LOST(1, 1), GET(3, 4, 0, 404, 0, 0));
    /* what was read once stays, answered or not */
    EXPECT("stale", PUT_LOST(1, 0, 80), GET(3, 4, 0, 200, 8, 80), GET(5, 6, 0, 200, 5, 5));
    EXPECT("stale", DEL(1, 9, 0, 204, 8), GET(2, 3, 0, 404, 0, 0), GET(4, 5, 0, 200, 5, 5));
}

static void invented_values(void)
{
    EXPECT("unwritten", GET(1, 2, 0, 200, 8, 99));
    EXPECT("unwritten", PUT(1, 2, 0, 204, 8, 80), GET(3, 4, 1, 200, 8, 80));
    EXPECT("early", GET(1, 2, 0, 200, 8, 80), PUT(3, 4, 0, 204, 8, 80));
    EXPECT("version", PUT(1, 2, 0, 204, 8, 80), GET(3, 4, 0, 200, 9, 80));
    EXPECT("version", PUT_LOST(1, 0, 80), GET(3, 4, 0, 200, 8, 80), GET(5, 6, 0, 200, 9, 80));
}

static void versions_out_of_order(void)
{
    EXPECT("reused", PUT(1, 9, 0, 204, 8, 80), PUT(1, 9, 1, 201, 8, 81));
    EXPECT("reused", PUT(1, 2, 0, 204, 7, 80));
    EXPECT("reused", PUT_LOST(1, 1, 80), GET(3, 4, 1, 200, 6, 80));
    EXPECT("order", PUT(1, 2, 0, 204, 9, 90), PUT(3, 4, 1, 201, 8, 80));
    EXPECT("order", PUT(1, 2, 0, 204, 9, 90), DEL(3, 4, 0, 204, 8));
    EXPECT("order", PUT_LOST(1, 0, 90), GET(3, 4, 0, 200, 9, 90), PUT(5, 6, 1, 201, 8, 80));
}

static void wrong_existence(void)
{
    EXPECT("existence", PUT(1, 2, 0, 201, 8, 80));
    EXPECT("existence", PUT(1, 2, 1, 204, 8, 80));
    EXPECT("existence", DEL(1, 2, 1, 204, 8));
    EXPECT("existence", PUT(1, 2, 1, 201, 8, 80), PUT(3, 4, 1, 201, 9, 90));
    /* one without an answer explains it only if there is a version left for it */
    EXPECT("existence", PUT(1, 2, 1, 201, 8, 80), DEL_LOST(1, 1), PUT(3, 4, 1, 201, 9, 90));
    EXPECT("existence", PUT(1, 2, 1, 201, 8, 80), PUT(3, 4, 1, 201, 10, 90), DEL_LOST(5, 1));
    EXPECT("answer", PUT(1, 2, 0, 503, 0, 80));
    EXPECT("answer", PUT(1, 2, 0, 204, 0, 80));
    EXPECT("answer", GET(1, 2, 0, 200, 0, 5));
    EXPECT("answer", DEL(1, 2, 1, 404, 8));
}

static void conditions_not_exact(void)
{
    /* as it should be: done, refused, and refused beside a write that may have been first */
    EXPECT(NULL, PUT_IF(1, 2, 0, 204, 8, 80, 5), PUT_IF(3, 4, 0, 412, 0, 90, 5));
    EXPECT(NULL, PUT_IF(1, 9, 0, 412, 0, 80, 5), PUT(2, 8, 0, 204, 8, 90));
    EXPECT(NULL, PUT_LOST(1, 0, 80), PUT_IF(2, 3, 0, 412, 0, 90, 5));
    EXPECT(NULL, DEL_LOST(1, 0), PUT_IF(2, 3, 0, 412, 0, 90, 5));
    EXPECT(NULL, PUT_IF(1, 9, 0, 204, 9, 80, 8), PUT(1, 9, 0, 204, 8, 90));
    /* two that have seen the same, and both done: one write is lost */
    EXPECT("exact", PUT_IF(1, 9, 0, 204, 8, 80, 5), PUT_IF(1, 9, 0, 204, 9, 90, 5));
    EXPECT("exact", PUT(1, 2, 0, 204, 8, 80), PUT_IF(3, 4, 0, 204, 9, 90, 5));
    EXPECT("exact", DEL(1, 2, 0, 204, 8), PUT(3, 4, 0, 201, 9, 90),
           PUT_IF(5, 6, 0, 204, 10, 100, 5));
    /* one without an answer, that was read */
    EXPECT("exact", PUT(1, 2, 0, 204, 8, 80), PUT_IF(3, HISTORY_NEVER, 0, 0, 0, 90, 5),
           GET(5, 6, 0, 200, 9, 90));
    /* refused, though nobody had written anything else */
    EXPECT("exact", PUT_IF(1, 2, 0, 412, 0, 80, 5));
    EXPECT("exact", PUT_IF(1, 2, 0, 412, 0, 80, 5), PUT(3, 4, 0, 204, 8, 90));
    EXPECT("exact", PUT(1, 2, 0, 204, 8, 80), PUT_IF(3, 4, 0, 412, 0, 90, 8), PUT_LOST(5, 0, 100));
    EXPECT("answer", PUT_IF(1, 2, 0, 412, 9, 80, 5));
    EXPECT("answer", PUT_IF(1, 2, 0, 201, 8, 80, 5));
}

static void next_history(void)
{
    const history_call_t first[] = {PUT(1, 2, 0, 201, 1, 10), PUT(3, 4, 1, 201, 2, 20),
                                    DEL_LOST(5, 0),           PUT_LOST(5, 1, 40),
                                    GET(7, 8, 0, 404, 0, 0),  GET(7, 8, 1, 200, 3, 40)};
    const history_call_t second[] = {GET(9, 10, 0, 404, 0, 0), GET(9, 10, 1, 200, 3, 40)};
    history_t history;
    history_init(&history, 2);
    history_add(&history, first, sizeof(first) / sizeof(first[0]));
    history_check(&history);
    history_next(&history);
    CU_ASSERT_EQUAL(history.highest, 3);
    CU_ASSERT_EQUAL(history.keys[0].value, 0);
    CU_ASSERT_EQUAL(history.keys[1].value, 40);
    CU_ASSERT_EQUAL(history.keys[1].version, 3);
    history_add(&history, second, sizeof(second) / sizeof(second[0]));
    history_check(&history);
    CU_ASSERT_EQUAL(history.violations, 0);
    history_dispose(&history);
}

#undef PUT
#undef PUT_IF
#undef DEL
#undef GET

/* ---------------------------------------------------------------- the load */

#define CLIENTS 12
#define KEYS 192
/* half of the calls go to so few keys that several are under way for one at any time */
#define HOT_KEYS 6
/* of a client in one history; it rests when they are used up */
#define CALLS_MAX 8192
/* the log only grows: a new directory after so many kills keeps replays short */
#define KILLS_PER_STORE 25
#define VALUE_BYTES_MAX ((size_t)96 << 10)
#define FAILURES_PRINTED 10
/* for an answer, in a long run */
#define SOAK_TIMEOUT_MS 300000

typedef struct st_run_t run_t;

typedef struct st_client_t {
    run_t *run;
    unsigned index;
    random_t random;
    http_conn_t conn;
    pthread_t thread;
    history_call_t *calls;
    size_t count;
    uint64_t puts;       /* in all histories: values are never put twice */
    uint64_t seen[KEYS]; /* the version that each key had, by the last answer */
    uint8_t *value;
} client_t;

struct st_run_t {
    server_process_t server;
    temp_dir_t dir;
    history_t history;
    client_t clients[CLIENTS];
    char *targets[KEYS];
    random_t random;
    _Atomic bool is_ending; /* set before the server is ended: connections may break from then on */
    pthread_mutex_t print_lock;
    _Atomic size_t failures;
    unsigned kills;      /* under load */
    unsigned open_kills; /* while the store opened */
    unsigned stops;      /* orderly ends under load */
    size_t calls;
    size_t unanswered;
    size_t matched, refused; /* puts that were to be done only if the key had a version */
};

static void complain(void *ctx, const char *text)
{
    run_t *run = ctx;
    if (atomic_fetch_add(&run->failures, 1) >= FAILURES_PRINTED)
        return;
    pthread_mutex_lock(&run->print_lock);
    printf("\n    after %u kills: %s (CAIRN_SEED=%" PRIu64 ")", run->kills, text, seed_of_run());
    pthread_mutex_unlock(&run->print_lock);
}

static uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static void sleep_us(uint64_t us)
{
    nanosleep(&(struct timespec){.tv_sec = (time_t)(us / 1000000),
                                 .tv_nsec = (long)(us % 1000000) * 1000},
              NULL);
}

/* ---------------------------------------------------------------- values */

/* a value says which it is, and the rest of it follows from that */
typedef struct st_value_head_t {
    uint64_t value;
    uint64_t key;
} value_head_t;

/* most are small, some are sent from the map in pieces, and a few fill much of a segment */
static size_t value_bytes(uint64_t value)
{
    random_t random = random_from(value, 1);
    uint64_t kind = random_below(&random, 100);
    size_t most = kind < 85 ? 1024 : kind < 97 ? (size_t)20 << 10 : VALUE_BYTES_MAX;
    return sizeof(value_head_t) + random_below(&random, most - sizeof(value_head_t));
}

static size_t make_value(uint64_t value, uint32_t key, uint8_t *out)
{
    const value_head_t head = {.value = value, .key = key};
    size_t count = value_bytes(value);
    memcpy(out, &head, sizeof(head));
    random_fill(value, out + sizeof(head), count - sizeof(head));
    return count;
}

/* 0 when these bytes were never put under this key as a whole */
static uint64_t read_value(uint32_t key, const http_response_t *res, uint8_t *room)
{
    value_head_t head;
    if (res->body_bytes < sizeof(head))
        return 0;
    memcpy(&head, res->body, sizeof(head));
    if (value_bytes(head.value) != res->body_bytes ||
        make_value(head.value, key, room) != res->body_bytes ||
        memcmp(room, res->body, res->body_bytes) != 0)
        return 0;
    return head.value;
}

/* ---------------------------------------------------------------- clients */

static void note_answer(client_t *client, history_call_t *call, const http_response_t *res)
{
    char text[256];
    call->status = res->status;
    if (res->status == 412) { /* the version that it tells is no write's */
        call->version = 0;
        client->seen[call->key] = 0;
        return;
    }
    client->seen[call->key] = call->op == HISTORY_DELETE ? 0 : call->version;
    if (call->op != HISTORY_GET || res->status != 200)
        return;
    call->value = read_value(call->key, res, client->value);
    if (call->value != 0)
        return;
    snprintf(text, sizeof(text),
             "torn: key %" PRIu32 " has %zu bytes that nobody put, version %" PRIu64, call->key,
             res->body_bytes, call->version);
    complain(client->run, text);
}

/* `wanted`: the version that the key must have for a put; 0: any. False when there was no answer */
static bool make_call(client_t *client, history_op_t op, uint32_t key, uint64_t wanted,
                      bool is_async)
{
    static const char *const methods[] = {"GET", "PUT", "DELETE"};
    history_call_t *call = &client->calls[client->count++];
    http_response_t res;
    size_t count = 0;
    *call = (history_call_t){.op = op, .key = key, .wanted = wanted, .ended_ns = HISTORY_NEVER};
    if (op == HISTORY_PUT) {
        call->value = (uint64_t)(client->index + 1) << 40 | ++client->puts;
        count = make_value(call->value, key, client->value);
    }
    call->begun_ns = now_ns();
    if (!kv_call_if(&client->conn, methods[op], client->run->targets[key], wanted, is_async,
                    op == HISTORY_PUT ? client->value : NULL, count, &call->version, &res)) {
        client->seen[key] = 0;
        return false;
    }
    call->ended_ns = now_ns();
    note_answer(client, call, &res);
    http_response_dispose(&res);
    return true;
}

static bool make_random_call(client_t *client)
{
    random_t *random = &client->random;
    uint64_t dice = random_below(random, 100);
    history_op_t op = dice < 45 ? HISTORY_PUT : dice < 60 ? HISTORY_DELETE : HISTORY_GET;
    uint32_t key = (uint32_t)random_below(random, random_below(random, 2) ? HOT_KEYS : KEYS);
    uint64_t wanted = op == HISTORY_PUT && random_below(random, 2) ? client->seen[key] : 0;
    return make_call(client, op, key, wanted, random_below(random, 2));
}

static void *make_calls(void *arg)
{
    client_t *client = arg;
    while (client->count != CALLS_MAX)
        if (!make_random_call(client)) {
            if (!atomic_load(&client->run->is_ending))
                complain(client->run, client->conn.error);
            break;
        }
    return NULL;
}

static void *read_keys(void *arg)
{
    client_t *client = arg;
    for (uint32_t key = client->index; key < KEYS; key += CLIENTS)
        if (!make_call(client, HISTORY_GET, key, 0, false)) {
            complain(client->run, client->conn.error);
            break;
        }
    return NULL;
}

static void start_clients(run_t *run, void *(*work)(void *))
{
    for (unsigned i = 0; i != CLIENTS; ++i) {
        run->clients[i].count = 0;
        CU_ASSERT_FATAL(kv_open(&run->clients[i].conn, run->server.port));
        if (is_soak())
            run->clients[i].conn.timeout_ms = SOAK_TIMEOUT_MS;
    }
    for (unsigned i = 0; i != CLIENTS; ++i)
        CU_ASSERT_FATAL(pthread_create(&run->clients[i].thread, NULL, work, &run->clients[i]) == 0);
}

static void join_clients(run_t *run)
{
    for (unsigned i = 0; i != CLIENTS; ++i) {
        client_t *client = &run->clients[i];
        pthread_join(client->thread, NULL);
        http_close(&client->conn);
        history_add(&run->history, client->calls, client->count);
        run->calls += client->count;
        for (size_t call = 0; call != client->count; ++call) {
            run->matched += client->calls[call].wanted != 0 && client->calls[call].status == 204;
            run->refused += client->calls[call].status == 412;
        }
        run->unanswered += client->count != 0 && client->calls[client->count - 1].status == 0;
    }
}

/* ---------------------------------------------------------------- one history after the other */

/* small segments, so that kills meet rolls and seals; async writes stay unsynced for some time. No
 * connection ends but by a kill, though this machine be stopped for a while in a long run */
static const char *const server_args[] = {"--storage.segment_bytes",
                                          "256KiB",
                                          "--limits.value_bytes",
                                          "96KiB",
                                          "--storage.sync_interval",
                                          "50ms",
                                          "--limits.idle_timeout",
                                          "1h",
                                          NULL};

static void start(run_t *run)
{
    if (!server_start(&run->server, run->dir.path, server_args))
        complain(run, server_output(&run->server));
    CU_ASSERT_NOT_EQUAL_FATAL(run->server.pid, 0);
}

static void restart(run_t *run)
{
    /* a short run has one, too */
    while (run->open_kills == 0 || random_below(&run->random, 4) == 0) {
        int ended = server_start_and_kill(&run->server, run->dir.path, server_args,
                                          random_below(&run->random, 8000));
        if (ended != -SIGKILL)
            complain(run, server_output(&run->server));
        ++run->open_kills;
    }
    start(run);
}

static void end_under_load(run_t *run, uint64_t load_ms_max)
{
    bool is_kill = (run->kills + run->stops) % 10 != 1;
    sleep_us(1000 + random_below(&run->random, load_ms_max * 1000));
    atomic_store(&run->is_ending, true);
    int ended = is_kill ? server_kill(&run->server) : server_stop(&run->server);
    if (ended != (is_kill ? -SIGKILL : 0))
        complain(run, server_output(&run->server));
    run->kills += is_kill;
    run->stops += !is_kill;
}

static void run_history(run_t *run, uint64_t load_ms_max)
{
    atomic_store(&run->is_ending, false);
    start_clients(run, make_calls);
    end_under_load(run, load_ms_max);
    join_clients(run);
    restart(run);
    start_clients(run, read_keys);
    join_clients(run);
    history_check(&run->history);
    history_next(&run->history);
}

static void use_new_store(run_t *run)
{
    server_dispose(&run->server);
    CU_ASSERT_FATAL(temp_dir_remove(&run->dir));
    CU_ASSERT_FATAL(temp_dir_create(&run->dir, TEMP_DIR_ON_DISK));
    history_dispose(&run->history);
    history_init(&run->history, KEYS);
    run->history.on_violation = complain;
    run->history.ctx = run;
    start(run);
}

static void run_init(run_t *run)
{
    *run = (run_t){.print_lock = PTHREAD_MUTEX_INITIALIZER,
                   .random = random_from(seed_of_run(), UINT64_C(1) << 42)};
    for (uint32_t i = 0; i != KEYS; ++i) {
        char key[32];
        int count = snprintf(key, sizeof(key), "key/%" PRIu32 "?\xff", i);
        run->targets[i] = http_target("/v1/kv/", key, (size_t)count);
        CU_ASSERT_PTR_NOT_NULL_FATAL(run->targets[i]);
    }
    for (unsigned i = 0; i != CLIENTS; ++i) {
        client_t *client = &run->clients[i];
        client->run = run;
        client->index = i;
        client->random = random_from(seed_of_run(), i);
        client->calls = malloc(CALLS_MAX * sizeof(*client->calls));
        client->value = malloc(VALUE_BYTES_MAX);
        CU_ASSERT_FATAL(client->calls != NULL && client->value != NULL);
    }
}

static void run_dispose(run_t *run)
{
    for (unsigned i = 0; i != CLIENTS; ++i) {
        free(run->clients[i].calls);
        free(run->clients[i].value);
    }
    for (uint32_t i = 0; i != KEYS; ++i)
        free(run->targets[i]);
    history_dispose(&run->history);
    server_dispose(&run->server);
    CU_ASSERT(temp_dir_remove(&run->dir));
}

static void say_figures(run_t *run)
{
    printf("\n    %u kills under load, %u while opening, %u orderly stops; %zu operations, %zu "
           "without an answer, %zu done since the version was the one expected, %zu refused since "
           "it was "
           "not; %zu violations ",
           run->kills, run->open_kills, run->stops, run->calls, run->unanswered, run->matched,
           run->refused, atomic_load(&run->failures));
}

static void kills_under_load(void)
{
    unsigned kills = is_soak() ? 1000 : 3;
    uint64_t load_ms_max = is_soak() ? 300 : 800;
    run_t run;
    run_init(&run);
    printf("\n    seed %" PRIu64, seed_of_run());
    for (unsigned round = 0; run.kills < kills; ++round) {
        if (round % KILLS_PER_STORE == 0)
            use_new_store(&run);
        run_history(&run, load_ms_max);
        if (is_soak() && round % KILLS_PER_STORE == KILLS_PER_STORE - 1)
            say_figures(&run);
    }
    say_figures(&run);
    CU_ASSERT_EQUAL(atomic_load(&run.failures), 0);
    CU_ASSERT(run.matched != 0 && run.refused != 0);
    CU_ASSERT(run.unanswered != 0); /* else the kills came when nothing was going on */
    CU_ASSERT_EQUAL(server_stop(&run.server), 0);
    run_dispose(&run);
}

void suite_history(void)
{
    CU_pSuite s = CU_add_suite("history", NULL, NULL);
    CU_add_test(s, "the checker takes every history that can be", histories_that_can_be);
    CU_add_test(s, "the checker finds lost writes and stale reads", lost_writes);
    CU_add_test(s, "the checker finds values that were never put", invented_values);
    CU_add_test(s, "the checker finds versions out of order", versions_out_of_order);
    CU_add_test(s, "the checker finds answers that do not fit the order", wrong_existence);
    CU_add_test(s, "the checker finds conditions that were not exact", conditions_not_exact);
    CU_add_test(s, "the checker goes on from what was read last", next_history);
    CU_add_test(s, "nothing is lost, reordered or invented under load and kill -9",
                kills_under_load);
}
