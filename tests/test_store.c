/*
 * Does the store keep what it was given, through restarts and from many threads, and refuse what it
 * cannot vouch for?
 */
#include "tests/store_fixture.h"

#include <CUnit/CUnit.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "storage/os.h"
#include "storage/record.h"
#include "tests/fault_os.h"
#include "tests/suites.h"

#define KIB ((size_t)1024)
#define MIB (1024 * KIB)

/* under a sanitizer opening a store takes ten times as long: fewer places are damaged then */
#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
#define STRIDE 5
#else
#define STRIDE 1
#endif

static const cairn_bytes_t nothing;

static void start(fixture_t *f, temp_dir_place_t place)
{
    fixture_init(f, place);
    cairn_err_t err = fixture_open(f);
    if (err != CAIRN_OK)
        fprintf(stderr, "\n%s\n", f->errmsg);
    CU_ASSERT_EQUAL_FATAL(err, CAIRN_OK);
}

/* splitmix64: small, and the same everywhere */
static uint64_t next_random(uint64_t *seed)
{
    uint64_t z = (*seed += UINT64_C(0x9e3779b97f4a7c15));
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

static void fill(uint8_t *bytes, size_t count, uint64_t seed)
{
    for (size_t i = 0; i < count; ++i) {
        if (i % 8 == 0)
            next_random(&seed);
        bytes[i] = (uint8_t)(seed >> 8 * (i % 8));
    }
}

static uint8_t *filled(size_t count, uint64_t seed)
{
    uint8_t *bytes = malloc(count + 1);
    CU_ASSERT_PTR_NOT_NULL_FATAL(bytes);
    fill(bytes, count, seed);
    return bytes;
}

static bool has_filled(fixture_t *f, cairn_bytes_t key, size_t count, uint64_t seed)
{
    cairn_value_t value;
    if (fixture_get(f, key, &value) != CAIRN_OK || value.count != count)
        return false;
    uint8_t *expected = filled(count, seed);
    bool same = memcmp(expected, value.bytes, count) == 0;
    free(expected);
    return same;
}

static outcome_t put_filled(fixture_t *f, cairn_bytes_t key, size_t count, uint64_t seed,
                            cairn_durability_t durability)
{
    uint8_t *bytes = filled(count, seed);
    outcome_t outcome =
        fixture_write(f, CAIRN_WRITE_PUT, key, nothing, (cairn_bytes_t){bytes, count}, durability);
    free(bytes);
    return outcome;
}

static uint64_t segment_count(fixture_t *f)
{
    cairn_store_stats_t stats;
    cairn_store_stats(f->store, &stats);
    return stats.segments;
}

/* ---------------------------------------------------------------- one key */

static void put_get_delete(void)
{
    fixture_t f;
    start(&f, TEMP_DIR_IN_MEMORY);
    CU_ASSERT(fixture_has(&f, "k", NULL));
    outcome_t first = fixture_put(&f, "k", "one");
    CU_ASSERT_EQUAL(first.err, CAIRN_OK);
    CU_ASSERT_FALSE(first.existed);
    CU_ASSERT_EQUAL(first.version, 1);
    CU_ASSERT(fixture_has(&f, "k", "one"));

    outcome_t second = fixture_put(&f, "k", "two and longer");
    CU_ASSERT_EQUAL(second.err, CAIRN_OK);
    CU_ASSERT(second.existed);
    CU_ASSERT_EQUAL(second.version, 2);
    CU_ASSERT(fixture_has(&f, "k", "two and longer"));

    outcome_t third = fixture_delete(&f, "k");
    CU_ASSERT_EQUAL(third.err, CAIRN_OK);
    CU_ASSERT_EQUAL(third.version, 3);
    CU_ASSERT(fixture_has(&f, "k", NULL));
    CU_ASSERT_EQUAL(fixture_delete(&f, "k").err, CAIRN_ERR_NOT_FOUND);
    CU_ASSERT_FALSE(fixture_put(&f, "k", "again").existed);

    cairn_store_stats_t stats;
    cairn_store_stats(f.store, &stats);
    CU_ASSERT_EQUAL(stats.keys, 1);
    CU_ASSERT_EQUAL(stats.last_version, 4);
    CU_ASSERT_EQUAL(stats.durable_version, 4);
    CU_ASSERT_EQUAL(stats.queued_ops, 0);
    CU_ASSERT_EQUAL(stats.queued_bytes, 0);
    /* "one", "two and longer" and the tombstone: 48 + 4, 48 + 15 and 48 + 1 bytes, padded to 8 */
    CU_ASSERT_EQUAL(stats.dead_bytes, 56 + 64 + 56);
    fixture_dispose(&f);
}

static void a_value_knows_when_and_which(void)
{
    fixture_t f;
    cairn_value_t value;
    start(&f, TEMP_DIR_IN_MEMORY);
    cairn_meta_builder_t meta = {0};
    CU_ASSERT(cairn_meta_add(&meta, CAIRN_META_CONTENT_TYPE, text("text/plain")));
    outcome_t outcome =
        fixture_write(&f, CAIRN_WRITE_PUT, text("k"), (cairn_bytes_t){meta.bytes, meta.count},
                      text("v"), CAIRN_SYNC);
    for (int round = 0; round < 2; ++round) {
        CU_ASSERT_EQUAL_FATAL(fixture_get(&f, text("k"), &value), CAIRN_OK);
        CU_ASSERT_EQUAL(value.version, outcome.version);
        CU_ASSERT(value.written_ms > UINT64_C(1600000000000));
        CU_ASSERT_EQUAL(value.expiry_ms, 0);
        CU_ASSERT_EQUAL_FATAL(value.meta.count, meta.count);
        CU_ASSERT(memcmp(value.meta.base, meta.bytes, meta.count) == 0);
        CU_ASSERT(value.count == 1 && value.bytes[0] == 'v');
        fixture_restart(&f);
    }
    fixture_dispose(&f);
}

static void keys_of_any_bytes(void)
{
    static const size_t sizes[] = {1, 2, 7, 8, 9, 255, 256, CAIRN_KEY_BYTES_MAX};
    enum { SIZES = sizeof(sizes) / sizeof(sizes[0]) };
    fixture_t f;
    start(&f, TEMP_DIR_IN_MEMORY);
    uint8_t key[CAIRN_KEY_BYTES_MAX];
    for (int round = 0; round < 2; ++round) {
        for (size_t i = 0; i < SIZES; ++i)
            for (int fill_byte = 0; fill_byte < 256; fill_byte += 85) {
                memset(key, fill_byte, sizes[i]);
                cairn_bytes_t k = {key, sizes[i]};
                uint64_t seed = i * 1000 + (uint64_t)fill_byte;
                if (round == 0)
                    CU_ASSERT_EQUAL(put_filled(&f, k, 10, seed, CAIRN_SYNC).err, CAIRN_OK);
                CU_ASSERT(has_filled(&f, k, 10, seed));
            }
        fixture_restart(&f);
    }
    fixture_dispose(&f);
}

/* around each size at which something is done in another way */
static const size_t value_sizes[] = {0,
                                     1,
                                     7,
                                     8,
                                     9,
                                     4095,
                                     CAIRN_WRITE_COPY_BYTES,
                                     4097,
                                     65535,
                                     65536,
                                     65537,
                                     192 * KIB - 64,
                                     192 * KIB,
                                     192 * KIB + 1,
                                     256 * KIB,
                                     1 * MIB - 1,
                                     1 * MIB,
                                     3 * MIB + 12345,
                                     5 * MIB};
#define VALUE_SIZES (sizeof(value_sizes) / sizeof(value_sizes[0]))

static void values_of_every_size(void)
{
    fixture_t f;
    char key[16];
    fixture_init(&f, TEMP_DIR_IN_MEMORY);
    f.options.segment_bytes = 8 * MIB;
    CU_ASSERT_EQUAL_FATAL(fixture_open(&f), CAIRN_OK);
    for (size_t i = 0; i < VALUE_SIZES; ++i) {
        snprintf(key, sizeof(key), "%zu", value_sizes[i]);
        CU_ASSERT_EQUAL(put_filled(&f, text(key), value_sizes[i], i, CAIRN_SYNC).err, CAIRN_OK);
        CU_ASSERT(has_filled(&f, text(key), value_sizes[i], i));
    }
    fixture_restart(&f);
    for (int round = 0; round < 2; ++round)
        for (size_t i = 0; i < VALUE_SIZES; ++i) {
            snprintf(key, sizeof(key), "%zu", value_sizes[i]);
            CU_ASSERT(has_filled(&f, text(key), value_sizes[i], i));
        }
    fixture_dispose(&f);
}

static void the_largest_that_fits(void)
{
    fixture_t f;
    start(&f, TEMP_DIR_IN_MEMORY);
    /* a segment of its own: header, LINK, MARK, record, footer */
    size_t most = FIXTURE_SEGMENT_BYTES - 4096 - 88 - 88 - 256 - 48 - 8;
    for (uint64_t i = 1; i <= 3; ++i) {
        CU_ASSERT_EQUAL(put_filled(&f, text("12345678"), most, i, CAIRN_SYNC).err, CAIRN_OK);
        CU_ASSERT(has_filled(&f, text("12345678"), most, i));
    }
    CU_ASSERT_EQUAL(put_filled(&f, text("12345678"), most + 1, 4, CAIRN_SYNC).err,
                    CAIRN_ERR_TOO_LARGE);
    fixture_restart(&f);
    CU_ASSERT(has_filled(&f, text("12345678"), most, 3));
    fixture_dispose(&f);
}

/* ---------------------------------------------------------------- many writes in one commit */

typedef struct st_step_t {
    cairn_write_op_t op;
    const char *key;
    const char *value;
    cairn_durability_t durability;
    cairn_err_t err; /* expected, as are the rest */
    bool existed;
} step_t;

/** submits all steps as one commit and checks each outcome; returns how often the sink was called
 */
static size_t one_commit(fixture_t *f, const step_t *steps, size_t count)
{
    gate_t gate;
    waiter_t waiter;
    cairn_write_t *writes[64];
    cairn_store_stats_t before, after;
    CU_ASSERT_FATAL(count <= 64);
    waiter_init(&waiter);
    gate_close(&gate, f);
    cairn_store_stats(f->store, &before);
    for (size_t i = 0; i < count; ++i) {
        writes[i] = fixture_frame(&waiter, steps[i].op, text(steps[i].key),
                                  steps[i].value != NULL ? text(steps[i].value) : nothing,
                                  steps[i].durability);
        CU_ASSERT_PTR_NOT_NULL_FATAL(writes[i]);
        CU_ASSERT_EQUAL_FATAL(cairn_store_submit(f->store, writes[i]), CAIRN_OK);
    }
    gate_open(&gate);
    waiter_take(&waiter, count);
    cairn_store_stats(f->store, &after);
    CU_ASSERT_EQUAL(after.commits, before.commits + 1);
    uint64_t version = before.last_version;
    for (size_t i = 0; i < count; ++i) {
        CU_ASSERT_EQUAL(writes[i]->err, steps[i].err);
        CU_ASSERT_EQUAL(writes[i]->existed, steps[i].existed);
        if (writes[i]->err == CAIRN_OK)
            CU_ASSERT_EQUAL(writes[i]->version, ++version);
        cairn_write_destroy(writes[i]);
    }
    CU_ASSERT_EQUAL(after.last_version, version);
    size_t calls = waiter.calls;
    waiter_dispose(&waiter);
    return calls;
}

static void a_commit_sees_its_own_writes(void)
{
    static const step_t steps[] = {
        {CAIRN_WRITE_PUT, "a", "1", CAIRN_SYNC, CAIRN_OK, false},
        {CAIRN_WRITE_PUT, "a", "2", CAIRN_SYNC, CAIRN_OK, true},
        {CAIRN_WRITE_DELETE, "b", NULL, CAIRN_SYNC, CAIRN_ERR_NOT_FOUND, false},
        {CAIRN_WRITE_PUT, "b", "1", CAIRN_SYNC, CAIRN_OK, false},
        {CAIRN_WRITE_DELETE, "b", NULL, CAIRN_SYNC, CAIRN_OK, true},
        {CAIRN_WRITE_DELETE, "b", NULL, CAIRN_SYNC, CAIRN_ERR_NOT_FOUND, false},
        {CAIRN_WRITE_PUT, "c", "1", CAIRN_SYNC, CAIRN_OK, false},
        {CAIRN_WRITE_DELETE, "c", NULL, CAIRN_SYNC, CAIRN_OK, true},
        {CAIRN_WRITE_PUT, "c", "2", CAIRN_SYNC, CAIRN_OK, false},
        {CAIRN_WRITE_DELETE, "old", NULL, CAIRN_SYNC, CAIRN_OK, true},
        {CAIRN_WRITE_PUT, "old", "new", CAIRN_SYNC, CAIRN_OK, false},
    };
    fixture_t f;
    start(&f, TEMP_DIR_IN_MEMORY);
    fixture_put(&f, "old", "old");
    CU_ASSERT_EQUAL(one_commit(&f, steps, sizeof(steps) / sizeof(steps[0])), 1);
    for (int round = 0; round < 2; ++round) {
        CU_ASSERT(fixture_has(&f, "a", "2"));
        CU_ASSERT(fixture_has(&f, "b", NULL));
        CU_ASSERT(fixture_has(&f, "c", "2"));
        CU_ASSERT(fixture_has(&f, "old", "new"));
        fixture_restart(&f);
    }
    fixture_dispose(&f);
}

static void sync_and_async_in_one_commit(void)
{
    static const step_t steps[] = {
        {CAIRN_WRITE_PUT, "sync last", "1", CAIRN_ASYNC, CAIRN_OK, false},
        {CAIRN_WRITE_PUT, "sync last", "2", CAIRN_SYNC, CAIRN_OK, true},
        {CAIRN_WRITE_PUT, "async last", "1", CAIRN_SYNC, CAIRN_OK, false},
        {CAIRN_WRITE_PUT, "async last", "2", CAIRN_ASYNC, CAIRN_OK, true},
        {CAIRN_WRITE_PUT, "between", "1", CAIRN_SYNC, CAIRN_OK, false},
        {CAIRN_WRITE_PUT, "between", "2", CAIRN_ASYNC, CAIRN_OK, true},
        {CAIRN_WRITE_PUT, "between", "3", CAIRN_SYNC, CAIRN_OK, true},
        {CAIRN_WRITE_DELETE, "deleted, then put", NULL, CAIRN_SYNC, CAIRN_OK, true},
        {CAIRN_WRITE_PUT, "deleted, then put", "2", CAIRN_ASYNC, CAIRN_OK, false},
        {CAIRN_WRITE_PUT, "put, then deleted", "2", CAIRN_SYNC, CAIRN_OK, true},
        {CAIRN_WRITE_DELETE, "put, then deleted", NULL, CAIRN_ASYNC, CAIRN_OK, true},
        {CAIRN_WRITE_DELETE, "put, then deleted", NULL, CAIRN_ASYNC, CAIRN_ERR_NOT_FOUND, false},
    };
    fixture_t f;
    start(&f, TEMP_DIR_IN_MEMORY);
    fixture_put(&f, "deleted, then put", "1");
    fixture_put(&f, "put, then deleted", "1");
    /* the async ones do not wait for the sync: two calls */
    CU_ASSERT_EQUAL(one_commit(&f, steps, sizeof(steps) / sizeof(steps[0])), 2);
    cairn_store_stats_t stats[2];
    for (int round = 0; round < 2; ++round) {
        CU_ASSERT(fixture_has(&f, "sync last", "2"));
        CU_ASSERT(fixture_has(&f, "async last", "2"));
        CU_ASSERT(fixture_has(&f, "between", "3"));
        CU_ASSERT(fixture_has(&f, "deleted, then put", "2"));
        CU_ASSERT(fixture_has(&f, "put, then deleted", NULL));
        cairn_store_stats(f.store, &stats[round]);
        fixture_restart(&f);
    }
    /* what died is counted the same by the writer and by the replay */
    CU_ASSERT_EQUAL(stats[0].dead_bytes, stats[1].dead_bytes);
    CU_ASSERT_EQUAL(stats[0].keys, stats[1].keys);
    fixture_dispose(&f);
}

static void what_a_failed_commit_decided_is_not_answered(void)
{
    fixture_t f;
    gate_t gate;
    waiter_t waiter;
    fixture_init(&f, TEMP_DIR_IN_MEMORY);
    fault_os_install();
    CU_ASSERT_EQUAL_FATAL(fixture_open(&f), CAIRN_OK);
    CU_ASSERT_EQUAL(fixture_put(&f, "k", "v").err, CAIRN_OK);
    waiter_init(&waiter);
    gate_close(&gate, &f);
    fault_os_wait_until_quiet(); /* the next sync is the commit's */
    for (int i = 0; i < 2; ++i) {
        cairn_write_t *write =
            fixture_frame(&waiter, CAIRN_WRITE_DELETE, text("k"), nothing, CAIRN_SYNC);
        CU_ASSERT_PTR_NOT_NULL_FATAL(write);
        CU_ASSERT_EQUAL_FATAL(cairn_store_submit(f.store, write), CAIRN_OK);
    }
    fault_os_fail(FAULT_sync, 1, EIO, true);
    gate_open(&gate);
    /* the second found no key because of the first, which may never have happened */
    for (cairn_write_t *w = waiter_take(&waiter, 2), *next; w != NULL; w = next) {
        next = w->next;
        CU_ASSERT_EQUAL(w->err, CAIRN_ERR_UNKNOWN);
        cairn_write_destroy(w);
    }
    CU_ASSERT(fixture_has(&f, "k", "v"));
    waiter_dispose(&waiter);
    fixture_dispose(&f);
    fault_os_remove();
}

static void answers_go_to_the_sink_that_asked(void)
{
    enum { SINKS = 5, WRITES = 40 };
    fixture_t f;
    gate_t gate;
    waiter_t waiters[SINKS];
    start(&f, TEMP_DIR_IN_MEMORY);
    for (int i = 0; i < SINKS; ++i)
        waiter_init(&waiters[i]);
    gate_close(&gate, &f);
    for (int i = 0; i < WRITES; ++i) {
        char key[16];
        snprintf(key, sizeof(key), "%d", i);
        cairn_write_t *write = fixture_frame(&waiters[i % SINKS], CAIRN_WRITE_PUT, text(key),
                                             text("v"), i % 3 == 0 ? CAIRN_ASYNC : CAIRN_SYNC);
        CU_ASSERT_PTR_NOT_NULL_FATAL(write);
        write->ctx = &waiters[i % SINKS];
        CU_ASSERT_EQUAL_FATAL(cairn_store_submit(f.store, write), CAIRN_OK);
    }
    gate_open(&gate);
    for (int i = 0; i < SINKS; ++i) {
        cairn_write_t *list = waiter_take(&waiters[i], WRITES / SINKS);
        size_t count = 0;
        while (list != NULL) {
            cairn_write_t *next = list->next;
            CU_ASSERT_PTR_EQUAL(list->ctx, &waiters[i]);
            CU_ASSERT_EQUAL(list->err, CAIRN_OK);
            cairn_write_destroy(list);
            list = next;
            ++count;
        }
        CU_ASSERT_EQUAL(count, WRITES / SINKS);
        waiter_dispose(&waiters[i]);
    }
    fixture_dispose(&f);
}

static void a_full_queue_refuses(void)
{
    fixture_t f;
    gate_t gate;
    waiter_t waiter;
    fixture_init(&f, TEMP_DIR_IN_MEMORY);
    f.options.queue_ops_max = 3; /* the gate's own write has left the queue when it is answered */
    f.options.queue_bytes_max = 4096;
    CU_ASSERT_EQUAL_FATAL(fixture_open(&f), CAIRN_OK);
    waiter_init(&waiter);
    gate_close(&gate, &f);
    cairn_err_t expected[] = {CAIRN_OK, CAIRN_OK, CAIRN_OK, CAIRN_ERR_QUEUE_FULL};
    for (int i = 0; i < 4; ++i) {
        cairn_write_t *write =
            fixture_frame(&waiter, CAIRN_WRITE_PUT, text("k"), text("v"), CAIRN_SYNC);
        CU_ASSERT_PTR_NOT_NULL_FATAL(write);
        cairn_err_t err = cairn_store_submit(f.store, write);
        CU_ASSERT_EQUAL(err, expected[i]);
        if (err != CAIRN_OK)
            cairn_write_destroy(write);
    }
    gate_open(&gate);
    for (cairn_write_t *w = waiter_take(&waiter, 3), *next; w != NULL; w = next) {
        next = w->next;
        cairn_write_destroy(w);
    }
    /* there is room again, also for one that is larger than the whole queue: alone it may pass */
    CU_ASSERT_EQUAL(put_filled(&f, text("large"), 10000, 1, CAIRN_SYNC).err, CAIRN_OK);
    CU_ASSERT(has_filled(&f, text("large"), 10000, 1));
    waiter_dispose(&waiter);
    fixture_dispose(&f);
}

/* ---------------------------------------------------------------- many threads */

typedef struct st_crowd_t {
    fixture_t *f;
    unsigned number;
    unsigned ops;
    _Atomic unsigned *wrong;
} crowd_t;

static void crowd_key(char key[32], unsigned thread, uint64_t n)
{
    snprintf(key, 32, "t%u-%u", thread, (unsigned)(n % 50));
}

static void *crowd_main(void *arg)
{
    crowd_t *c = arg;
    uint64_t seed = c->number;
    uint64_t expected[50] = {0}; /* 0: absent */
    uint64_t last_version = 0;
    cairn_thread_register();
    for (unsigned i = 1; i <= c->ops; ++i) {
        char key[32];
        uint64_t n = next_random(&seed);
        crowd_key(key, c->number, n);
        if (n >> 60 < 3) {
            outcome_t outcome = fixture_delete(c->f, key);
            if (outcome.err != (expected[n % 50] != 0 ? CAIRN_OK : CAIRN_ERR_NOT_FOUND))
                ++*c->wrong;
            expected[n % 50] = 0;
        } else if (n >> 60 < 10) {
            cairn_durability_t durability = n >> 59 & 1 ? CAIRN_SYNC : CAIRN_ASYNC;
            size_t size = n >> 32 & 0xfff;
            uint8_t bytes[4096];
            fill(bytes, size, i);
            outcome_t outcome = fixture_write(c->f, CAIRN_WRITE_PUT, text(key), nothing,
                                              (cairn_bytes_t){bytes, size}, durability);
            if (outcome.err != CAIRN_OK || outcome.existed != (expected[n % 50] != 0) ||
                outcome.version <= last_version)
                ++*c->wrong;
            last_version = outcome.version;
            expected[n % 50] = (uint64_t)i << 12 | size;
        } else {
            uint64_t e = expected[n % 50];
            cairn_value_t value;
            cairn_err_t err = fixture_get(c->f, text(key), &value);
            uint8_t bytes[4096];
            fill(bytes, e & 0xfff, e >> 12);
            if (e == 0 ? err != CAIRN_ERR_NOT_FOUND
                       : err != CAIRN_OK || value.count != (e & 0xfff) ||
                             memcmp(value.bytes, bytes, value.count) != 0)
                ++*c->wrong;
        }
    }
    cairn_thread_unregister();
    return NULL;
}

static void many_threads(void)
{
    enum { THREADS = 8 };
    fixture_t f;
    _Atomic unsigned wrong = 0;
    pthread_t threads[THREADS];
    crowd_t crowd[THREADS];
    start(&f, TEMP_DIR_IN_MEMORY);
    for (unsigned i = 0; i < THREADS; ++i) {
        crowd[i] = (crowd_t){&f, i, getenv("CAIRN_SOAK") != NULL ? 20000 : 1000 / STRIDE, &wrong};
        CU_ASSERT_EQUAL_FATAL(pthread_create(&threads[i], NULL, crowd_main, &crowd[i]), 0);
    }
    /* beside them somebody looks at the counters and the segments all the time */
    for (int i = 0; i < 200; ++i) {
        cairn_segment_info_t infos[64];
        cairn_store_stats_t stats;
        cairn_store_stats(f.store, &stats);
        CU_ASSERT(stats.durable_version <= stats.last_version);
        size_t count = cairn_store_segments(f.store, 0, infos, 64);
        for (size_t s = 1; s < count; ++s)
            CU_ASSERT(infos[s - 1].first_version < infos[s].first_version);
        cairn_thread_quiescent();
        usleep(200);
    }
    for (unsigned i = 0; i < THREADS; ++i)
        pthread_join(threads[i], NULL);
    CU_ASSERT_EQUAL(wrong, 0);
    CU_ASSERT(segment_count(&f) > 4);
    fixture_restart(&f);
    fixture_dispose(&f);
}

/* ---------------------------------------------------------------- restarts */

static void async_writes_survive_a_close(void)
{
    fixture_t f;
    start(&f, TEMP_DIR_IN_MEMORY);
    for (int i = 0; i < 100; ++i) {
        char key[16];
        snprintf(key, sizeof(key), "%d", i);
        CU_ASSERT_EQUAL(put_filled(&f, text(key), 100, (uint64_t)i, CAIRN_ASYNC).err, CAIRN_OK);
    }
    cairn_store_stats_t stats;
    cairn_store_stats(f.store, &stats);
    CU_ASSERT(stats.durable_version < stats.last_version);
    fixture_restart(&f);
    cairn_store_stats(f.store, &stats);
    CU_ASSERT_EQUAL(stats.keys, 100);
    CU_ASSERT_EQUAL(stats.last_version, 100);
    for (int i = 0; i < 100; ++i) {
        char key[16];
        snprintf(key, sizeof(key), "%d", i);
        CU_ASSERT(has_filled(&f, text(key), 100, (uint64_t)i));
    }
    fixture_dispose(&f);
}

static void async_writes_are_synced_in_time(void)
{
    fixture_t f;
    cairn_store_stats_t stats;
    fixture_init(&f, TEMP_DIR_IN_MEMORY);
    f.options.sync_interval_ms = 5;
    CU_ASSERT_EQUAL_FATAL(fixture_open(&f), CAIRN_OK);
    CU_ASSERT_EQUAL(put_filled(&f, text("k"), 10, 1, CAIRN_ASYNC).err, CAIRN_OK);
    for (int i = 0; i < 2000; ++i) {
        cairn_store_stats(f.store, &stats);
        if (stats.durable_version == stats.last_version)
            break;
        usleep(1000);
    }
    CU_ASSERT_EQUAL(stats.durable_version, 1);
    fixture_dispose(&f);
}

static void an_idle_store_marks_its_last_commit(void)
{
    fixture_t f;
    cairn_store_stats_t before, after;
    start(&f, TEMP_DIR_IN_MEMORY);
    fixture_put(&f, "k", "v");
    cairn_store_stats(f.store, &before);
    for (int i = 0; i < 2000; ++i) {
        cairn_store_stats(f.store, &after);
        if (after.commits > before.commits)
            break;
        usleep(1000);
    }
    CU_ASSERT_EQUAL(after.commits, before.commits + 1);
    CU_ASSERT_EQUAL(after.last_version, before.last_version);
    /* once is enough */
    usleep(60000);
    cairn_store_stats(f.store, &before);
    CU_ASSERT_EQUAL(after.commits, before.commits);
    fixture_dispose(&f);
}

static void empty_stores_open_again(void)
{
    fixture_t f;
    start(&f, TEMP_DIR_IN_MEMORY);
    for (int i = 0; i < 3; ++i)
        fixture_restart(&f);
    CU_ASSERT_EQUAL(segment_count(&f), 0);
    CU_ASSERT(fixture_has(&f, "k", NULL));
    CU_ASSERT_EQUAL(fixture_put(&f, "k", "v").version, 1);
    for (int i = 0; i < 3; ++i)
        fixture_restart(&f);
    CU_ASSERT(fixture_has(&f, "k", "v"));
    CU_ASSERT_EQUAL(segment_count(&f), 1);
    CU_ASSERT_EQUAL(fixture_close(&f), CAIRN_OK);
    CU_ASSERT_EQUAL(access(fixture_path(&f, "next.seg"), F_OK), -1); /* the spare goes with us */
    fixture_dispose(&f);
}

static void rolling_through_many_segments(void)
{
    enum { KEYS = 40, PUTS = 600 };
    fixture_t f;
    start(&f, TEMP_DIR_IN_MEMORY);
    for (uint64_t i = 0; i < PUTS; ++i) {
        char key[16];
        snprintf(key, sizeof(key), "%u", (unsigned)(i % KEYS));
        outcome_t outcome =
            put_filled(&f, text(key), 3000 + i, i, i % 5 == 0 ? CAIRN_ASYNC : CAIRN_SYNC);
        CU_ASSERT_EQUAL_FATAL(outcome.err, CAIRN_OK);
        CU_ASSERT_EQUAL(outcome.version, i + 1);
        if (i % 150 == 149)
            fixture_restart(&f);
    }
    CU_ASSERT(segment_count(&f) > 30);
    cairn_segment_info_t infos[8];
    uint64_t expected_first = 1;
    CU_ASSERT_EQUAL(cairn_store_segments(f.store, 0, infos, 8), 8);
    CU_ASSERT_EQUAL(infos[0].first_version, expected_first);
    CU_ASSERT(infos[0].sealed);
    CU_ASSERT_EQUAL(cairn_store_segments(f.store, segment_count(&f), infos, 8), 0);
    CU_ASSERT_EQUAL(cairn_store_segments(f.store, segment_count(&f) - 1, infos, 8), 1);
    CU_ASSERT_FALSE(infos[0].sealed);
    fixture_restart(&f);
    for (uint64_t i = PUTS - KEYS; i < PUTS; ++i) {
        char key[16];
        snprintf(key, sizeof(key), "%u", (unsigned)(i % KEYS));
        CU_ASSERT(has_filled(&f, text(key), 3000 + i, i));
    }
    fixture_dispose(&f);
}

static void another_segment_size_after_a_restart(void)
{
    static const uint64_t sizes[] = {65536, 1048576, 65536, 131072, 524288, 69632, 65541};
    fixture_t f;
    char key[16];
    start(&f, TEMP_DIR_IN_MEMORY);
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); ++i) {
        CU_ASSERT_EQUAL(fixture_close(&f), CAIRN_OK);
        f.options.segment_bytes = sizes[i];
        CU_ASSERT_EQUAL_FATAL(fixture_open(&f), CAIRN_OK);
        /* as large as a segment of this size takes, but not one of 64 KiB */
        snprintf(key, sizeof(key), "%zu", i);
        CU_ASSERT_EQUAL(put_filled(&f, text(key), sizes[i] - 5000, i, CAIRN_SYNC).err, CAIRN_OK);
        for (size_t j = 0; j <= i; ++j) {
            snprintf(key, sizeof(key), "%zu", j);
            CU_ASSERT(has_filled(&f, text(key), sizes[j] - 5000, j));
        }
    }
    fixture_dispose(&f);
}

static void memory_only(void)
{
    fixture_t f;
    fixture_init(&f, TEMP_DIR_IN_MEMORY);
    f.options.path = NULL;
    CU_ASSERT_EQUAL_FATAL(fixture_open(&f), CAIRN_OK);
    size_t descriptors = open_descriptors();
    for (uint64_t i = 0; i < 300; ++i) {
        char key[16];
        snprintf(key, sizeof(key), "%u", (unsigned)(i % 20));
        CU_ASSERT_EQUAL(put_filled(&f, text(key), 5000, i, i % 2 ? CAIRN_SYNC : CAIRN_ASYNC).err,
                        CAIRN_OK);
        CU_ASSERT(has_filled(&f, text(key), 5000, i));
    }
    CU_ASSERT(segment_count(&f) > 10);
    CU_ASSERT(open_descriptors() > descriptors);
    cairn_store_stats_t stats;
    cairn_store_stats(f.store, &stats);
    CU_ASSERT(stats.in_memory);
    fixture_restart(&f);
    CU_ASSERT(fixture_has(&f, "1", NULL));
    fixture_dispose(&f);
}

static void a_second_open_is_refused(void)
{
    fixture_t f;
    char errmsg[CAIRN_ERRMSG_BYTES];
    cairn_store_t *second = NULL;
    start(&f, TEMP_DIR_IN_MEMORY);
    cairn_thread_unregister();
    CU_ASSERT_EQUAL(cairn_store_open(&second, &f.options, errmsg), CAIRN_ERR_LOCKED);
    CU_ASSERT_PTR_NOT_NULL(strstr(errmsg, f.dir.path));
    cairn_thread_register();
    CU_ASSERT_EQUAL(fixture_put(&f, "k", "v").err, CAIRN_OK);
    fixture_restart(&f);
    CU_ASSERT(fixture_has(&f, "k", "v"));
    fixture_dispose(&f);
}

/* ---------------------------------------------------------------- cold reads */

static void cold_values_are_loaded(void)
{
    fixture_t f;
    char key[16];
    fixture_init(&f, TEMP_DIR_ON_DISK);
    f.options.segment_bytes = 8 * MIB;
    CU_ASSERT_EQUAL_FATAL(fixture_open(&f), CAIRN_OK);
    for (size_t i = 0; i < VALUE_SIZES; ++i) {
        snprintf(key, sizeof(key), "%zu", value_sizes[i]);
        CU_ASSERT_EQUAL(put_filled(&f, text(key), value_sizes[i], i, CAIRN_SYNC).err, CAIRN_OK);
    }
    fixture_restart(&f); /* nothing is stamped any more, and nothing is mapped that was */
    CU_ASSERT_EQUAL(fixture_close(&f), CAIRN_OK);
    CU_ASSERT_EQUAL_FATAL(fixture_open(&f), CAIRN_OK);
    for (size_t i = 0; i < VALUE_SIZES; ++i) {
        snprintf(key, sizeof(key), "%zu", value_sizes[i]);
        fixture_drop_caches(&f);
        CU_ASSERT(has_filled(&f, text(key), value_sizes[i], i));
    }
    cairn_store_stats_t stats;
    cairn_store_stats(f.store, &stats);
    /* the large ones at least: they are verified by a load before they are given out */
    CU_ASSERT(stats.loads >= 6);
    fixture_dispose(&f);
}

/* the real system on another day, counting who asks what is in memory */
static _Atomic uint64_t days_later_ms, residency_questions;

static uint64_t later_ms(void)
{
    return cairn_os_real.coarse_ms() + days_later_ms;
}

static bool counted_is_resident(const void *base, size_t bytes)
{
    ++residency_questions;
    return cairn_os_real.is_resident(base, bytes);
}

/** the end of a sealed file is no whole block, and behind it there is no file any more */
static void hot_reads_seldom_ask_the_kernel(void)
{
    static cairn_os_t os;
    fixture_t f;
    cairn_segment_info_t info = {.sealed = false};
    os = cairn_os_real;
    os.coarse_ms = later_ms;
    os.is_resident = counted_is_resident;
    cairn_os = &os;
    start(&f, TEMP_DIR_IN_MEMORY);
    put_filled(&f, text("filler"), 20000, 2, CAIRN_SYNC);
    put_filled(&f, text("sealed"), 3000, 1, CAIRN_SYNC);
    put_filled(&f, text("newest"), 50000, 3, CAIRN_SYNC);
    CU_ASSERT_EQUAL(segment_count(&f), 2);
    for (int i = 0; i < 2000 && !info.sealed; ++i) {
        usleep(1000);
        CU_ASSERT_EQUAL_FATAL(cairn_store_segments(f.store, 0, &info, 1), 1);
    }
    CU_ASSERT_FATAL(info.sealed);
    days_later_ms = 100000; /* what the writer stamped is stale */
    residency_questions = 0;
    for (int i = 0; i < 100; ++i)
        CU_ASSERT(has_filled(&f, text("sealed"), 3000, 1));
    CU_ASSERT(residency_questions >= 1 && residency_questions < 20);
    fixture_dispose(&f);
    cairn_os = &cairn_os_real;
}

static void peek_says_what_a_write_would_wait_for(void)
{
    fixture_t f;
    uint64_t loc = 0;
    start(&f, TEMP_DIR_ON_DISK);
    cairn_key_t key = cairn_store_key(f.store, "k", 1),
                other = cairn_store_key(f.store, "other", 5);
    CU_ASSERT_EQUAL(cairn_store_peek(f.store, &other, false, &loc), CAIRN_OK);
    put_filled(&f, text("k"), 1000, 1, CAIRN_SYNC);
    CU_ASSERT_EQUAL(cairn_store_peek(f.store, &key, false, &loc), CAIRN_OK);
    fixture_dispose(&f);
}

static void pinned_values_stay(void)
{
    fixture_t f;
    cairn_value_t value;
    start(&f, TEMP_DIR_IN_MEMORY);
    put_filled(&f, text("k"), 10000, 1, CAIRN_SYNC);
    CU_ASSERT_EQUAL_FATAL(fixture_get(&f, text("k"), &value), CAIRN_OK);
    cairn_value_pin(&value);
    for (uint64_t i = 2; i < 50; ++i)
        put_filled(&f, text("k"), 10000, i, CAIRN_SYNC);
    cairn_thread_quiescent();
    uint8_t *expected = filled(10000, 1);
    CU_ASSERT(memcmp(value.bytes, expected, 10000) == 0);
    free(expected);
    cairn_value_unpin(&value);
    fixture_dispose(&f);
}

/* ---------------------------------------------------------------- a model with restarts */

#define MODEL_KEYS 200

static void behaves_like_a_map(void)
{
    fixture_t f;
    struct {
        size_t size;
        uint64_t seed; /* 0: absent */
        uint64_t version;
    } model[MODEL_KEYS] = {0};
    const char *soak = getenv("CAIRN_SOAK");
    unsigned ops = soak != NULL ? 200000 : 10000 / STRIDE;
    uint64_t seed = soak != NULL ? (uint64_t)getpid() : 42, version = 0;
    fixture_init(&f, TEMP_DIR_IN_MEMORY);
    f.options.upkeep_by_hand = true; /* without key tables what is dead is known to the byte */
    CU_ASSERT_EQUAL_FATAL(fixture_open(&f), CAIRN_OK);
    for (unsigned i = 1; i <= ops; ++i) {
        uint64_t n = next_random(&seed);
        unsigned k = (unsigned)(n % MODEL_KEYS);
        char key[16];
        snprintf(key, sizeof(key), "key %u", k);
        switch (n >> 32 & 7) {
        case 0:
            CU_ASSERT_EQUAL(fixture_delete(&f, key).err,
                            model[k].seed != 0 ? CAIRN_OK : CAIRN_ERR_NOT_FOUND);
            version += model[k].seed != 0;
            model[k].seed = 0;
            break;
        case 1:
        case 2:
        case 3: {
            size_t size = n >> 40 & (n >> 36 & 1 ? 0x7f : 0x1fff);
            outcome_t outcome =
                put_filled(&f, text(key), size, i, n >> 37 & 1 ? CAIRN_SYNC : CAIRN_ASYNC);
            CU_ASSERT_EQUAL(outcome.err, CAIRN_OK);
            CU_ASSERT_EQUAL(outcome.existed, model[k].seed != 0);
            CU_ASSERT_EQUAL(outcome.version, ++version);
            model[k].size = size;
            model[k].seed = i;
            model[k].version = version;
            break;
        }
        default:
            if (model[k].seed != 0)
                CU_ASSERT(has_filled(&f, text(key), model[k].size, model[k].seed))
            else
                CU_ASSERT(fixture_has(&f, key, NULL));
        }
        if (next_random(&seed) % 700 == 0 || i == ops) {
            uint64_t keys = 0;
            cairn_store_stats_t before, after;
            cairn_store_stats(f.store, &before);
            fixture_restart(&f);
            cairn_store_stats(f.store, &after);
            for (k = 0; k < MODEL_KEYS; ++k) {
                snprintf(key, sizeof(key), "key %u", k);
                cairn_value_t value;
                cairn_err_t err = fixture_get(&f, text(key), &value);
                CU_ASSERT_EQUAL(err, model[k].seed != 0 ? CAIRN_OK : CAIRN_ERR_NOT_FOUND);
                if (err == CAIRN_OK)
                    CU_ASSERT_EQUAL(value.version, model[k].version);
                keys += model[k].seed != 0;
            }
            CU_ASSERT_EQUAL(after.keys, keys);
            CU_ASSERT_EQUAL(after.last_version, version);
            CU_ASSERT_EQUAL(after.dead_bytes, before.dead_bytes);
        }
    }
    fixture_dispose(&f);
}

/* ---------------------------------------------------------------- damage */

/** a closed store of a few keys, all in one segment, the last write being key "last" */
static void make_small(fixture_t *f, char name[32])
{
    start(f, TEMP_DIR_IN_MEMORY);
    fixture_put(f, "a", "value of a");
    fixture_put(f, "b", "value of b");
    fixture_put(f, "last", "first value of last");
    fixture_put(f, "last", "second value of last");
    CU_ASSERT_EQUAL(fixture_close(f), CAIRN_OK);
    CU_ASSERT_FATAL(fixture_segment_name(f, 0, name));
}

/** the store with STORE forgetting how far the log reached, as after a crash; a copy each */
static void reopen_damaged(const char *name, const uint8_t *bytes, size_t count,
                           const uint8_t *store, size_t store_count, unsigned *refused,
                           unsigned *earlier, unsigned *whole)
{
    fixture_t f;
    fixture_init(&f, TEMP_DIR_IN_MEMORY);
    write_file(fixture_path(&f, name), bytes, count);
    write_file(fixture_path(&f, "STORE"), store, store_count);
    cairn_err_t err = fixture_open(&f);
    if (err != CAIRN_OK) {
        CU_ASSERT_EQUAL(err, CAIRN_ERR_CORRUPT);
        CU_ASSERT(f.errmsg[0] != '\0');
        ++*refused;
    } else {
        /* a prefix of what was written, never anything else */
        bool has_second = fixture_has(&f, "last", "second value of last");
        bool has_first = fixture_has(&f, "last", "first value of last");
        bool has_b = fixture_has(&f, "b", "value of b");
        bool has_a = fixture_has(&f, "a", "value of a");
        CU_ASSERT(has_second || has_first || fixture_has(&f, "last", NULL));
        CU_ASSERT(has_b || fixture_has(&f, "b", NULL));
        CU_ASSERT(has_a || fixture_has(&f, "a", NULL));
        CU_ASSERT(has_b >= (has_first || has_second) && has_a >= has_b);
        ++*(has_second ? whole : earlier);
        /* and it goes on from there */
        CU_ASSERT_EQUAL(fixture_put(&f, "more", "more").err, CAIRN_OK);
        fixture_restart(&f);
        CU_ASSERT(fixture_has(&f, "more", "more"));
        CU_ASSERT_EQUAL(fixture_has(&f, "a", "value of a"), has_a);
        CU_ASSERT_EQUAL(fixture_has(&f, "b", "value of b"), has_b);
    }
    fixture_dispose(&f);
}

/** the STORE of a store that has only just been made: it does not know how far the log reached */
static uint8_t *early_store(fixture_t *f, size_t *count)
{
    fixture_init(f, TEMP_DIR_IN_MEMORY);
    CU_ASSERT_EQUAL_FATAL(fixture_open(f), CAIRN_OK);
    uint8_t *store = read_file(fixture_path(f, "STORE"), count);
    fixture_put(f, "a", "value of a");
    fixture_put(f, "b", "value of b");
    fixture_put(f, "last", "first value of last");
    fixture_put(f, "last", "second value of last");
    CU_ASSERT_EQUAL(fixture_close(f), CAIRN_OK);
    return store;
}

/** where the records of a closed store with one segment end: behind its last MARK */
static size_t records_end(const uint8_t *bytes, size_t count)
{
    while (count > 0 && bytes[count - 1] == 0)
        --count;
    return (count + 7) / 8 * 8;
}

static void cut_at_every_byte(void)
{
    fixture_t f;
    char name[32];
    size_t store_count, count;
    unsigned refused = 0, earlier = 0, whole = 0;
    uint8_t *store = early_store(&f, &store_count);
    CU_ASSERT_FATAL(fixture_segment_name(&f, 0, name));
    uint8_t *bytes = read_file(fixture_path(&f, name), &count);
    size_t end = records_end(bytes, count);
    for (size_t cut = end - 300; cut <= end; cut += STRIDE)
        reopen_damaged(name, bytes, cut, store, store_count, &refused, &earlier, &whole);
    /* a file that is shorter than it was made is a loss that can be seen */
    CU_ASSERT_EQUAL(refused, 300 / STRIDE + 1);
    free(bytes);
    free(store);
    fixture_dispose(&f);
}

static void zeroed_from_every_byte(void)
{
    fixture_t f;
    char name[32];
    size_t store_count, count;
    unsigned refused = 0, earlier = 0, whole = 0;
    uint8_t *store = early_store(&f, &store_count);
    CU_ASSERT_FATAL(fixture_segment_name(&f, 0, name));
    uint8_t *bytes = read_file(fixture_path(&f, name), &count);
    size_t end = records_end(bytes, count);
    /* what a crash leaves of a commit: its beginning, and zeroes */
    for (size_t cut = end; cut >= 4096; --cut) {
        bytes[cut] = 0;
        if (cut % STRIDE == 0)
            reopen_damaged(name, bytes, count, store, store_count, &refused, &earlier, &whole);
    }
    CU_ASSERT_EQUAL(refused, 0);
    CU_ASSERT(whole >= 80 / STRIDE && earlier > 300 / STRIDE);
    free(bytes);
    free(store);
    fixture_dispose(&f);
}

static void any_byte_flipped(void)
{
    fixture_t f;
    char name[32];
    size_t store_count, count;
    unsigned refused = 0, earlier = 0, whole = 0;
    uint8_t *store = early_store(&f, &store_count);
    CU_ASSERT_FATAL(fixture_segment_name(&f, 0, name));
    uint8_t *bytes = read_file(fixture_path(&f, name), &count);
    size_t end = records_end(bytes, count);
    for (size_t at = 0; at < end; at += STRIDE) {
        if (at >= 64 && at < 4080)
            at = 4080; /* zeroes of the header, all under one checksum */
        bytes[at] ^= (uint8_t)(1 << at % 8);
        reopen_damaged(name, bytes, count, store, store_count, &refused, &earlier, &whole);
        bytes[at] ^= (uint8_t)(1 << at % 8);
    }
    /* the last MARK proves every record; only what is wrong in itself is taken for a torn write
     * (its last eight bytes are zeroes, and so not among those flipped) */
    CU_ASSERT_EQUAL(earlier, 0);
    CU_ASSERT_EQUAL(whole, (CAIRN_MARK_SPAN - 8) / STRIDE);
    CU_ASSERT(refused > 400 / STRIDE);
    free(bytes);
    free(store);
    fixture_dispose(&f);
}

static void a_damaged_value_is_said(void)
{
    static const size_t sizes[] = {100, 20000, 300 * KIB};
    fixture_t f;
    char name[32], key[16];
    fixture_init(&f, TEMP_DIR_ON_DISK);
    f.options.segment_bytes = 1 * MIB;
    CU_ASSERT_EQUAL_FATAL(fixture_open(&f), CAIRN_OK);
    for (size_t i = 0; i < 3; ++i) {
        snprintf(key, sizeof(key), "%zu", i);
        put_filled(&f, text(key), sizes[i], i, CAIRN_SYNC);
    }
    fixture_restart(&f);
    CU_ASSERT_FATAL(fixture_segment_name(&f, 0, name));
    size_t count;
    uint8_t *bytes = read_file(fixture_path(&f, name), &count);
    FILE *file = fopen(fixture_path(&f, name), "r+b");
    CU_ASSERT_PTR_NOT_NULL_FATAL(file);
    for (size_t i = 0; i < 3; ++i) {
        uint8_t *value = filled(sizes[i], i);
        uint8_t *found = memmem(bytes, count, value, sizes[i]);
        CU_ASSERT_PTR_NOT_NULL_FATAL(found);
        fseek(file, found - bytes + (long)sizes[i] / 2, SEEK_SET);
        fputc(value[sizes[i] / 2] ^ 0x10, file);
        free(value);
    }
    fclose(file);
    free(bytes);
    for (int round = 0; round < 3; ++round)
        for (size_t i = 0; i < 3; ++i) {
            cairn_value_t value;
            snprintf(key, sizeof(key), "%zu", i);
            CU_ASSERT_EQUAL(fixture_get(&f, text(key), &value), CAIRN_ERR_DAMAGED);
        }
    /* the key can be written again */
    CU_ASSERT(put_filled(&f, text("2"), 300 * KIB, 7, CAIRN_SYNC).existed);
    CU_ASSERT(has_filled(&f, text("2"), 300 * KIB, 7));
    fixture_dispose(&f);
}

static void a_damaged_head_hides_no_older_value(void)
{
    fixture_t f;
    char name[32];
    start(&f, TEMP_DIR_ON_DISK);
    fixture_put(&f, "k", "older");
    fixture_put(&f, "k", "a newer and longer value");
    fixture_restart(&f);
    CU_ASSERT_FATAL(fixture_segment_name(&f, 0, name));
    size_t count;
    uint8_t *bytes = read_file(fixture_path(&f, name), &count);
    uint8_t *found = memmem(bytes, count, "ka newer", 8);
    CU_ASSERT_PTR_NOT_NULL_FATAL(found);
    FILE *file = fopen(fixture_path(&f, name), "r+b");
    CU_ASSERT_PTR_NOT_NULL_FATAL(file);
    fseek(file, found - bytes - 30, SEEK_SET);
    fputc(0xee, file);
    fclose(file);
    free(bytes);
    cairn_value_t value;
    CU_ASSERT_EQUAL(fixture_get(&f, text("k"), &value), CAIRN_ERR_DAMAGED);
    fixture_dispose(&f);
}

/* ---------------------------------------------------------------- lost files */

static void make_rolled(fixture_t *f)
{
    start(f, TEMP_DIR_IN_MEMORY);
    for (uint64_t i = 0; i < 30; ++i) {
        char key[16];
        snprintf(key, sizeof(key), "%u", (unsigned)i);
        put_filled(f, text(key), 10000, i, CAIRN_SYNC);
    }
    CU_ASSERT_FATAL(segment_count(f) >= 5);
}

static void a_missing_middle_segment_is_refused(void)
{
    fixture_t f;
    char name[32];
    make_rolled(&f);
    cairn_segment_info_t infos[3];
    CU_ASSERT_EQUAL_FATAL(cairn_store_segments(f.store, 0, infos, 3), 3);
    CU_ASSERT_EQUAL(fixture_close(&f), CAIRN_OK);
    snprintf(name, sizeof(name), "%s", infos[1].name);
    CU_ASSERT_EQUAL_FATAL(unlink(fixture_path(&f, name)), 0);
    CU_ASSERT_EQUAL(fixture_open(&f), CAIRN_ERR_CORRUPT);
    char begins[64], ends[64];
    snprintf(begins, sizeof(begins), "begins at version %llu",
             (unsigned long long)infos[2].first_version);
    snprintf(ends, sizeof(ends), "ends at %llu", (unsigned long long)infos[1].first_version - 1);
    CU_ASSERT_PTR_NOT_NULL(strstr(f.errmsg, begins));
    CU_ASSERT_PTR_NOT_NULL(strstr(f.errmsg, ends));
    CU_ASSERT_PTR_NOT_NULL(strstr(f.errmsg, infos[2].name));
    fixture_dispose(&f);
}

static void a_missing_first_segment_is_refused(void)
{
    fixture_t f;
    cairn_segment_info_t info;
    make_rolled(&f);
    CU_ASSERT_EQUAL_FATAL(cairn_store_segments(f.store, 0, &info, 1), 1);
    CU_ASSERT_EQUAL(fixture_close(&f), CAIRN_OK);
    CU_ASSERT_EQUAL_FATAL(unlink(fixture_path(&f, info.name)), 0);
    CU_ASSERT_EQUAL(fixture_open(&f), CAIRN_ERR_CORRUPT);
    fixture_dispose(&f);
}

static void a_lost_newest_segment_is_noticed(void)
{
    fixture_t f;
    char name[32];
    make_rolled(&f);
    CU_ASSERT_EQUAL(fixture_close(&f), CAIRN_OK);
    CU_ASSERT_FATAL(fixture_segment_name(&f, 0, name));
    CU_ASSERT_EQUAL_FATAL(unlink(fixture_path(&f, name)), 0);
    CU_ASSERT_EQUAL(fixture_open(&f), CAIRN_ERR_CORRUPT);
    CU_ASSERT_PTR_NOT_NULL(strstr(f.errmsg, "STORE"));
    fixture_dispose(&f);
}

static void a_newest_segment_lost_after_a_crash_is_noticed(void)
{
    fixture_t f, copy;
    char name[32];
    fault_os_install();
    make_rolled(&f);
    /* STORE is replaced a moment after the roll; a copy taken then is what a crash leaves */
    fault_os_wait_until_quiet();
    fixture_init(&copy, TEMP_DIR_IN_MEMORY);
    copy_dir(f.dir.path, copy.dir.path);
    CU_ASSERT_FATAL(fixture_segment_name(&copy, 0, name));
    CU_ASSERT_EQUAL_FATAL(unlink(fixture_path(&copy, name)), 0);
    CU_ASSERT_EQUAL(fixture_open(&copy), CAIRN_ERR_CORRUPT);
    CU_ASSERT_PTR_NOT_NULL(strstr(copy.errmsg, name));
    fixture_dispose(&copy);
    fixture_dispose(&f);
    fault_os_remove();
}

/** zeroes back to an earlier commit look like a log that ended there; STORE knows better */
static void a_lost_tail_is_noticed(void)
{
    fixture_t f;
    char name[32];
    make_small(&f, name);
    size_t count;
    uint8_t *bytes = read_file(fixture_path(&f, name), &count);
    uint8_t *last = memmem(bytes, count, "second value of last", 20);
    CU_ASSERT_PTR_NOT_NULL_FATAL(last);
    size_t record = (size_t)(last - bytes) - 4 - CAIRN_RECORD_HEAD_BYTES;
    memset(bytes + record - CAIRN_MARK_SPAN, 0, count - record + CAIRN_MARK_SPAN);
    write_file(fixture_path(&f, name), bytes, count);
    CU_ASSERT_EQUAL(fixture_open(&f), CAIRN_ERR_CORRUPT);
    CU_ASSERT_PTR_NOT_NULL(strstr(f.errmsg, "ends at version 3, but 4 was on disk"));
    free(bytes);
    fixture_dispose(&f);
}

static void all_segments_lost_is_noticed(void)
{
    fixture_t f;
    char name[32];
    make_small(&f, name);
    CU_ASSERT_EQUAL_FATAL(unlink(fixture_path(&f, name)), 0);
    CU_ASSERT_EQUAL(fixture_open(&f), CAIRN_ERR_CORRUPT);
    fixture_dispose(&f);
}

static void segments_of_another_store_are_refused(void)
{
    fixture_t f, other;
    char name[32], other_name[32];
    size_t count;
    make_small(&f, name);
    make_small(&other, other_name);
    CU_ASSERT_STRING_EQUAL(name, other_name);
    uint8_t *bytes = read_file(fixture_path(&other, name), &count);
    write_file(fixture_path(&f, name), bytes, count);
    free(bytes);
    CU_ASSERT_EQUAL(fixture_open(&f), CAIRN_ERR_CORRUPT);
    CU_ASSERT_PTR_NOT_NULL(strstr(f.errmsg, "another store"));
    fixture_dispose(&other);
    fixture_dispose(&f);
}

static void a_cut_sealed_segment_is_refused(void)
{
    fixture_t f;
    cairn_segment_info_t info;
    make_rolled(&f);
    CU_ASSERT_EQUAL_FATAL(cairn_store_segments(f.store, 0, &info, 1), 1);
    CU_ASSERT_EQUAL(fixture_close(&f), CAIRN_OK);
    size_t count;
    uint8_t *bytes = read_file(fixture_path(&f, info.name), &count);
    static const size_t lost[] = {1, 8, 255, 256, 257, 5000, 50000};
    for (size_t i = 0; i < sizeof(lost) / sizeof(lost[0]); ++i) {
        write_file(fixture_path(&f, info.name), bytes, count - lost[i]);
        CU_ASSERT_EQUAL(fixture_open(&f), CAIRN_ERR_CORRUPT);
    }
    write_file(fixture_path(&f, info.name), bytes, count);
    CU_ASSERT_EQUAL(fixture_open(&f), CAIRN_OK);
    free(bytes);
    fixture_dispose(&f);
}

void suite_store(void)
{
    CU_pSuite s = CU_add_suite("store", NULL, NULL);
    CU_add_test(s, "a key is put, got, replaced and deleted", put_get_delete);
    CU_add_test(s, "a value knows its version, time and meta", a_value_knows_when_and_which);
    CU_add_test(s, "keys are any bytes", keys_of_any_bytes);
    CU_add_test(s, "values of every size class come back", values_of_every_size);
    CU_add_test(s, "the largest value that fits a segment is taken", the_largest_that_fits);
    CU_add_test(s, "a commit sees its own earlier writes", a_commit_sees_its_own_writes);
    CU_add_test(s, "sync and async writes of one key in one commit", sync_and_async_in_one_commit);
    CU_add_test(s, "what a failed commit decided is not answered",
                what_a_failed_commit_decided_is_not_answered);
    CU_add_test(s, "answers go to the sink that asked", answers_go_to_the_sink_that_asked);
    CU_add_test(s, "a full queue refuses, an empty one takes anything", a_full_queue_refuses);
    CU_add_test(s, "many threads write and read at once", many_threads);
    CU_add_test(s, "async writes survive a close", async_writes_survive_a_close);
    CU_add_test(s, "async writes are synced within the interval", async_writes_are_synced_in_time);
    CU_add_test(s, "an idle store marks its last commit once", an_idle_store_marks_its_last_commit);
    CU_add_test(s, "an empty store opens again", empty_stores_open_again);
    CU_add_test(s, "the log rolls through many segments", rolling_through_many_segments);
    CU_add_test(s, "the segment size changes between starts", another_segment_size_after_a_restart);
    CU_add_test(s, "memory-only mode keeps nothing and works the same", memory_only);
    CU_add_test(s, "a second open is refused", a_second_open_is_refused);
    CU_add_test(s, "cold values are loaded", cold_values_are_loaded);
    CU_add_test(s, "hot reads seldom ask the kernel", hot_reads_seldom_ask_the_kernel);
    CU_add_test(s, "peek finds nothing to wait for in memory",
                peek_says_what_a_write_would_wait_for);
    CU_add_test(s, "a pinned value stays while the key changes", pinned_values_stay);
    CU_add_test(s, "the store behaves like a map, restarts and all", behaves_like_a_map);
    CU_add_test(s, "a segment cut at any byte is refused", cut_at_every_byte);
    CU_add_test(s, "a log zeroed from any byte on gives an earlier state", zeroed_from_every_byte);
    CU_add_test(s, "any flipped byte is noticed or harmless", any_byte_flipped);
    CU_add_test(s, "a damaged value is said to be", a_damaged_value_is_said);
    CU_add_test(s, "a damaged head uncovers no older value", a_damaged_head_hides_no_older_value);
    CU_add_test(s, "a missing middle segment is refused", a_missing_middle_segment_is_refused);
    CU_add_test(s, "a missing first segment is refused", a_missing_first_segment_is_refused);
    CU_add_test(s, "a lost newest segment is noticed", a_lost_newest_segment_is_noticed);
    CU_add_test(s, "a newest segment lost after a crash is noticed",
                a_newest_segment_lost_after_a_crash_is_noticed);
    CU_add_test(s, "a tail that was lost to zeroes is noticed", a_lost_tail_is_noticed);
    CU_add_test(s, "the loss of all segments is noticed", all_segments_lost_is_noticed);
    CU_add_test(s, "a segment of another store is refused", segments_of_another_store_are_refused);
    CU_add_test(s, "a sealed segment that was cut is refused", a_cut_sealed_segment_is_refused);
}
