/*
 * Is every acknowledged file still there, byte for byte, after kill -9?
 *
 * The input is the machine's own tree: every file under /usr/include and /usr/share/doc, under its
 * path as key. 32 connections put all of them; then, in round after round, they put other values
 * under the same keys and delete some, and the server is killed somewhere in the middle. It starts
 * again on the same directory, and every key is read: there must be what was acknowledged last or,
 * for the one request of each connection that the kill left without an answer, what that one would
 * have done. Never anything older, never a mixture, never nothing.
 *
 * Each key belongs to one connection, so there is never a doubt about which write was the last.
 * `make test` takes a sample of the tree, CAIRN_SOAK=1 all of it. CAIRN_SEED repeats a sample.
 */
#include <CUnit/CUnit.h>

#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>

#include "tests/kv_call.h"
#include "tests/real_tree.h"
#include "tests/seed.h"
#include "tests/server_process.h"
#include "tests/suites.h"
#include "tests/temp_dir.h"

#define CONNECTIONS 32
#define FAILURES_PRINTED 10

/* what a test is made of; the sizes say how often a kill meets a roll or a seal */
typedef struct st_plan_t {
    const char *segment_bytes;
    const char *value_bytes;
    size_t file_bytes_max; /* leaves room for the label */
    size_t files_max;      /* of a sample */
    size_t sample_bytes_max;
    unsigned kills;
} plan_t;

typedef struct st_run_t {
    const plan_t *plan;
    real_tree_t tree;
    temp_dir_t dir;
    server_process_t server;
    unsigned round;
    _Atomic bool is_killed;      /* set before the kill: from then on connections may break */
    _Atomic size_t done;         /* writes answered in this round */
    _Atomic unsigned running;    /* connections at work */
    _Atomic uint64_t highest;    /* of all versions acknowledged or read */
    _Atomic size_t acknowledged; /* writes, in all rounds */
    size_t in_flight, landed;    /* writes without an answer; those of them that were found */
    pthread_mutex_t failures_lock;
    _Atomic size_t failures;
} run_t;

static void complain(run_t *run, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void complain(run_t *run, const char *format, ...)
{
    va_list args;
    pthread_mutex_lock(&run->failures_lock);
    if (atomic_fetch_add(&run->failures, 1) < FAILURES_PRINTED) {
        printf("\n    round %u: ", run->round);
        va_start(args, format);
        vprintf(format, args);
        va_end(args);
        printf(" (CAIRN_SEED=%" PRIu64 ")", seed_of_run());
    }
    pthread_mutex_unlock(&run->failures_lock);
}

/* ---------------------------------------------------------------- a round of writes */

static void raise_highest(run_t *run, uint64_t version)
{
    uint64_t seen = atomic_load(&run->highest);
    while (seen < version && !atomic_compare_exchange_weak(&run->highest, &seen, version))
        ;
}

typedef struct st_hand_t {
    run_t *run;
    size_t index;
    random_t random;
    http_conn_t conn;
    pthread_t thread;
} hand_t;

/* the file is as the answer says, if the answer is the one that must come */
static void take_answer(run_t *run, real_file_t *file, uint64_t version, const http_response_t *res)
{
    bool is_put = file->pending == PENDING_PUT;
    bool exists = file->round != 0;
    int expected = is_put ? (exists ? 204 : 201) : (exists ? 204 : 404);
    if (res->status != expected)
        complain(run, "%s %s: %d in place of %d: %.200s", is_put ? "PUT" : "DELETE", file->path,
                 res->status, expected, res->body);
    if ((version != 0) != (res->status < 300))
        complain(run, "%s: answered %d with version %" PRIu64, file->path, res->status, version);
    if (res->status < 300) {
        if (version <= file->pending_above)
            complain(run, "%s: version %" PRIu64 " after %" PRIu64 " had been acknowledged",
                     file->path, version, file->pending_above);
        file->round = is_put ? file->pending_round : 0;
        file->version = version;
        raise_highest(run, version);
        atomic_fetch_add(&run->acknowledged, 1);
    }
    file->pending = PENDING_NONE;
    atomic_fetch_add(&run->done, 1);
}

/* false when the connection is gone; then the file keeps what is pending */
static bool write_file(hand_t *hand, real_file_t *file)
{
    run_t *run = hand->run;
    bool is_first = run->round == 1;
    bool is_put = is_first || random_below(&hand->random, 12) != 0;
    bool is_async = !is_first && random_below(&hand->random, 8) == 0;
    size_t count = 0;
    uint64_t version;
    http_response_t res;
    uint8_t *value = is_put ? real_file_make_value(file, run->round, &count) : NULL;
    file->pending = is_put ? PENDING_PUT : PENDING_DELETE;
    file->pending_round = run->round;
    file->pending_above = atomic_load(&run->highest);
    bool is_answered = kv_call(&hand->conn, is_put ? "PUT" : "DELETE", file->target, is_async,
                               value, count, &version, &res);
    free(value);
    if (is_answered) {
        take_answer(run, file, version, &res);
        http_response_dispose(&res);
    } else if (!atomic_load(&run->is_killed)) {
        complain(run, "%s: %s, and nobody had killed the server", file->path, hand->conn.error);
    }
    return is_answered;
}

static void sleep_us(uint64_t us)
{
    nanosleep(&(struct timespec){.tv_sec = (time_t)(us / 1000000),
                                 .tv_nsec = (long)(us % 1000000) * 1000},
              NULL);
}

/* a server that ended by itself, or that somebody else ended, says so here */
static void complain_of_end(run_t *run)
{
    siginfo_t info = {0};
    sleep_us(100000); /* the connections break before the process is seen to end */
    bool has_ended =
        waitid(P_PID, (id_t)run->server.pid, &info, WEXITED | WNOHANG | WNOWAIT) == 0 &&
        info.si_pid != 0;
    printf("\n    the server %s %d; it has printed: %s",
           !has_ended                   ? "still runs:"
           : info.si_code == CLD_EXITED ? "ended with status"
                                        : "was ended by signal",
           has_ended ? info.si_status : run->server.pid, server_output(&run->server));
}

static void *write_share(void *arg)
{
    hand_t *hand = arg;
    run_t *run = hand->run;
    real_tree_t *tree = &run->tree;
    size_t share = (tree->count + CONNECTIONS - 1 - hand->index) / CONNECTIONS;
    /* its files are every 32nd, begun at another one each round */
    size_t first = share != 0 ? random_below(&hand->random, share) : 0;
    for (size_t i = 0; i != share; ++i)
        if (!write_file(hand, &tree->files[hand->index + (first + i) % share * CONNECTIONS]))
            break;
    atomic_fetch_sub(&run->running, 1);
    return NULL;
}

static void start_hands(run_t *run, hand_t hands[CONNECTIONS], void *(*work)(void *))
{
    atomic_store(&run->running, CONNECTIONS);
    for (size_t i = 0; i != CONNECTIONS; ++i) {
        hands[i] = (hand_t){.run = run,
                            .index = i,
                            .random = random_from(seed_of_run(), run->round * CONNECTIONS + i)};
        CU_ASSERT_FATAL(kv_open(&hands[i].conn, run->server.port));
    }
    for (size_t i = 0; i != CONNECTIONS; ++i)
        CU_ASSERT_FATAL(pthread_create(&hands[i].thread, NULL, work, &hands[i]) == 0);
}

static void join_hands(hand_t hands[CONNECTIONS])
{
    for (size_t i = 0; i != CONNECTIONS; ++i) {
        pthread_join(hands[i].thread, NULL);
        http_close(&hands[i].conn);
    }
}

/* waits for a moment in the middle of the round, which is not always right after an answer */
static void await_moment(run_t *run, random_t *random)
{
    size_t tenth = run->tree.count / 10;
    size_t done = tenth + random_below(random, 7 * tenth);
    while (atomic_load(&run->done) < done && atomic_load(&run->running) != 0)
        sleep_us(100);
    sleep_us(random_below(random, 1000));
}

static void write_round(run_t *run, bool with_kill)
{
    hand_t hands[CONNECTIONS];
    random_t random = random_from(seed_of_run(), UINT64_C(1) << 40 | run->round);
    atomic_store(&run->done, 0);
    atomic_store(&run->is_killed, false);
    start_hands(run, hands, write_share);
    if (with_kill) {
        await_moment(run, &random);
        if (atomic_load(&run->failures) != 0)
            complain_of_end(run);
        atomic_store(&run->is_killed, true);
        CU_ASSERT_EQUAL(server_kill(&run->server), -SIGKILL);
    }
    join_hands(hands);
    if (!with_kill && atomic_load(&run->done) != run->tree.count)
        complain_of_end(run);
    if (!with_kill)
        CU_ASSERT_EQUAL(atomic_load(&run->done), run->tree.count);
}

/* ---------------------------------------------------------------- looking at every key */

static bool pending_landed(const real_file_t *file, uint64_t version, const http_response_t *res)
{
    if (file->pending == PENDING_DELETE)
        return res->status == 404 && file->round != 0;
    return file->pending == PENDING_PUT && res->status == 200 && version > file->pending_above &&
           real_file_is_value(file, file->pending_round, res);
}

static bool is_acknowledged(const real_file_t *file, uint64_t version, const http_response_t *res)
{
    if (file->round == 0)
        return res->status == 404;
    return res->status == 200 && version == file->version &&
           real_file_is_value(file, file->round, res);
}

static void complain_of(run_t *run, const real_file_t *file, uint64_t version,
                        const http_response_t *res)
{
    unsigned found = 0;
    for (unsigned round = run->round; round != 0 && found == 0 && res->status == 200; --round)
        if (real_file_is_value(file, round, res))
            found = round;
    complain(run,
             "%s (%zu bytes): acknowledged was round %u as version %" PRIu64 ", pending %s; found "
             "%d, %zu bytes, version %" PRIu64 ", which is round %u",
             file->path, file->count, file->round, file->version,
             file->pending == PENDING_NONE  ? "nothing"
             : file->pending == PENDING_PUT ? "a put"
                                            : "a delete",
             res->status, res->body_bytes, version, found);
}

/* what is found becomes what is known; the counts of what was pending are summed up later */
static void look_at(hand_t *hand, real_file_t *file)
{
    uint64_t version;
    http_response_t res;
    run_t *run = hand->run;
    if (!kv_call(&hand->conn, "GET", file->target, false, NULL, 0, &version, &res)) {
        complain(run, "GET %s: %s", file->path, hand->conn.error);
        return;
    }
    if (pending_landed(file, version, &res)) {
        file->round = file->pending == PENDING_PUT ? file->pending_round : 0;
        file->version = version;
        raise_highest(run, version);
        pthread_mutex_lock(&run->failures_lock);
        ++run->landed;
        pthread_mutex_unlock(&run->failures_lock);
    } else if (!is_acknowledged(file, version, &res)) {
        complain_of(run, file, version, &res);
    }
    http_response_dispose(&res);
}

static void *look_at_share(void *arg)
{
    hand_t *hand = arg;
    for (size_t i = hand->index; i < hand->run->tree.count; i += CONNECTIONS)
        look_at(hand, &hand->run->tree.files[i]);
    return NULL;
}

static int by_version(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

/* two keys never have the same version */
static size_t check_distinct(run_t *run)
{
    size_t count = 0;
    uint64_t *versions = malloc((run->tree.count + 1) * sizeof(*versions));
    CU_ASSERT_PTR_NOT_NULL_FATAL(versions);
    for (size_t i = 0; i != run->tree.count; ++i)
        if (run->tree.files[i].round != 0)
            versions[count++] = run->tree.files[i].version;
    qsort(versions, count, sizeof(*versions), by_version);
    for (size_t i = 1; i < count; ++i)
        if (versions[i - 1] == versions[i])
            complain(run, "two files have version %" PRIu64, versions[i]);
    free(versions);
    return count;
}

/* and there is nothing else in the store */
static void check_key_count(run_t *run, size_t expected)
{
    http_conn_t conn;
    http_response_t res;
    uint64_t version;
    CU_ASSERT_FATAL(kv_open(&conn, run->server.port));
    CU_ASSERT_FATAL(kv_call(&conn, "GET", "/v1/stats", false, NULL, 0, &version, &res));
    const char *keys = strstr(res.body, "\"keys\":");
    CU_ASSERT_PTR_NOT_NULL_FATAL(keys);
    if (strtoull(keys + strlen("\"keys\":"), NULL, 10) != expected)
        complain(run, "%zu keys were found, stats has %.30s", expected, keys);
    http_response_dispose(&res);
    http_close(&conn);
}

static void look_at_all(run_t *run)
{
    hand_t hands[CONNECTIONS];
    for (size_t i = 0; i != run->tree.count; ++i)
        run->in_flight += run->tree.files[i].pending != PENDING_NONE;
    start_hands(run, hands, look_at_share);
    join_hands(hands);
    for (size_t i = 0; i != run->tree.count; ++i)
        run->tree.files[i].pending = PENDING_NONE;
    check_key_count(run, check_distinct(run));
}

/* ---------------------------------------------------------------- the runs */

static void start(run_t *run)
{
    const char *const args[] = {"--storage.segment_bytes", run->plan->segment_bytes,
                                "--limits.value_bytes", run->plan->value_bytes, NULL};
    if (!server_start(&run->server, run->dir.path, args))
        complain(run, "the server does not start: %s", run->server.error);
    CU_ASSERT_NOT_EQUAL_FATAL(run->server.pid, 0);
}

static void say_progress(const run_t *run)
{
    if (is_soak())
        printf("\n    round %u: %zu writes acknowledged, %zu in flight at a kill (%zu landed), "
               "%zu failures",
               run->round, atomic_load(&run->acknowledged), run->in_flight, run->landed,
               atomic_load(&run->failures));
}

static void load_files(run_t *run)
{
    random_t random = random_from(seed_of_run(), UINT64_C(1) << 41);
    size_t largest = 0;
    real_tree_load(&run->tree, run->plan->file_bytes_max);
    if (!is_soak())
        real_tree_sample(&run->tree, run->plan->files_max, run->plan->sample_bytes_max, &random);
    for (size_t i = 0; i != run->tree.count; ++i)
        if (run->tree.files[i].count > largest)
            largest = run->tree.files[i].count;
    printf("\n    seed %" PRIu64 ": %zu files, %zu of them binary, %zu KiB, the largest %zu KiB",
           seed_of_run(), run->tree.count, run->tree.binary_count, run->tree.bytes / 1024,
           largest / 1024);
    /* fewer than this and the test would say nothing */
    CU_ASSERT_FATAL(run->tree.count >= 10 * CONNECTIONS || run->tree.count >= run->plan->files_max);
}

static void run_plan(const plan_t *plan)
{
    run_t run = {.plan = plan, .failures_lock = PTHREAD_MUTEX_INITIALIZER};
    load_files(&run);
    CU_ASSERT_FATAL(temp_dir_create(&run.dir, TEMP_DIR_ON_DISK));
    start(&run);
    for (run.round = 1; run.round <= plan->kills + 2; ++run.round) {
        bool with_kill = run.round > 1 && run.round <= plan->kills + 1;
        write_round(&run, with_kill);
        if (!with_kill)
            look_at_all(&run); /* also without a restart between */
        if (!with_kill)
            CU_ASSERT_EQUAL(server_stop(&run.server), 0);
        start(&run);
        look_at_all(&run);
        say_progress(&run);
    }
    CU_ASSERT_EQUAL(server_stop(&run.server), 0);
    printf("\n    %u kills, %zu writes acknowledged, %zu in flight at a kill (%zu landed), %zu "
           "failures ",
           plan->kills, atomic_load(&run.acknowledged), run.in_flight, run.landed,
           atomic_load(&run.failures));
    CU_ASSERT_EQUAL(atomic_load(&run.failures), 0);
    CU_ASSERT(run.in_flight != 0); /* else the kills came when nothing was going on */
    server_dispose(&run.server);
    real_tree_dispose(&run.tree);
    CU_ASSERT(temp_dir_remove(&run.dir));
}

static void small_segments(void)
{
    plan_t plan = {.segment_bytes = "1MiB",
                   .value_bytes = "768KiB",
                   .file_bytes_max = ((size_t)768 << 10) - REAL_FILE_LABEL_BYTES_MAX,
                   .files_max = 1500,
                   .sample_bytes_max = (size_t)16 << 20,
                   .kills = is_soak() ? 8 : 3};
    run_plan(&plan);
}

static void default_segments(void)
{
    plan_t plan = {.segment_bytes = "64MiB",
                   .value_bytes = "16MiB",
                   .file_bytes_max = ((size_t)16 << 20) - REAL_FILE_LABEL_BYTES_MAX,
                   .files_max = 400,
                   .sample_bytes_max = (size_t)24 << 20,
                   .kills = is_soak() ? 4 : 1};
    run_plan(&plan);
}

void suite_real_tree(void)
{
    CU_pSuite s = CU_add_suite("real_tree", NULL, NULL);
    CU_add_test(s, "every acknowledged file survives kill -9 among rolls and seals",
                small_segments);
    CU_add_test(s, "every acknowledged file survives kill -9, the largest among them",
                default_segments);
}
