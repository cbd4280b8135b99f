/*
 * Does the store keep what it was given, and give it back, to one thread and to many?
 */
#include "tests/store_fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <CUnit/CUnit.h>

#include "storage/os.h"
#include "tests/seed.h"
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

/* ---------------------------------------------------------------- one key */

static void put_get_delete(void)
{
    fixture_t f;
    fixture_start(&f, TEMP_DIR_IN_MEMORY);
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
    fixture_start(&f, TEMP_DIR_IN_MEMORY);
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
    fixture_start(&f, TEMP_DIR_IN_MEMORY);
    uint8_t key[CAIRN_KEY_BYTES_MAX];
    for (int round = 0; round < 2; ++round) {
        for (size_t i = 0; i < SIZES; ++i)
            for (int fill_byte = 0; fill_byte < 256; fill_byte += 85) {
                memset(key, fill_byte, sizes[i]);
                cairn_bytes_t k = {key, sizes[i]};
                uint64_t seed = i * 1000 + (uint64_t)fill_byte;
                if (round == 0)
                    CU_ASSERT_EQUAL(fixture_put_filled(&f, k, 10, seed, CAIRN_SYNC).err, CAIRN_OK);
                CU_ASSERT(fixture_has_filled(&f, k, 10, seed));
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
        CU_ASSERT_EQUAL(fixture_put_filled(&f, text(key), value_sizes[i], i, CAIRN_SYNC).err,
                        CAIRN_OK);
        CU_ASSERT(fixture_has_filled(&f, text(key), value_sizes[i], i));
    }
    fixture_restart(&f);
    for (int round = 0; round < 2; ++round)
        for (size_t i = 0; i < VALUE_SIZES; ++i) {
            snprintf(key, sizeof(key), "%zu", value_sizes[i]);
            CU_ASSERT(fixture_has_filled(&f, text(key), value_sizes[i], i));
        }
    fixture_dispose(&f);
}

static void the_largest_that_fits(void)
{
    fixture_t f;
    fixture_start(&f, TEMP_DIR_IN_MEMORY);
    /* a segment of its own: header, LINK, MARK, record, footer */
    size_t most = FIXTURE_SEGMENT_BYTES - 4096 - 88 - 88 - 256 - 48 - 8;
    for (uint64_t i = 1; i <= 3; ++i) {
        CU_ASSERT_EQUAL(fixture_put_filled(&f, text("12345678"), most, i, CAIRN_SYNC).err,
                        CAIRN_OK);
        CU_ASSERT(fixture_has_filled(&f, text("12345678"), most, i));
    }
    CU_ASSERT_EQUAL(fixture_put_filled(&f, text("12345678"), most + 1, 4, CAIRN_SYNC).err,
                    CAIRN_ERR_TOO_LARGE);
    fixture_restart(&f);
    CU_ASSERT(fixture_has_filled(&f, text("12345678"), most, 3));
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
    random_t random = random_from(c->number, 0);
    uint64_t expected[50] = {0}; /* 0: absent */
    uint64_t last_version = 0;
    cairn_thread_register();
    for (unsigned i = 1; i <= c->ops; ++i) {
        char key[32];
        uint64_t n = random_next(&random);
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
            random_fill(i, bytes, size);
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
            random_fill(e >> 12, bytes, e & 0xfff);
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
    fixture_start(&f, TEMP_DIR_IN_MEMORY);
    for (unsigned i = 0; i < THREADS; ++i) {
        crowd[i] = (crowd_t){&f, i, is_soak() ? 20000 : 1000 / STRIDE, &wrong};
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
    CU_ASSERT(fixture_segment_count(&f) > 4);
    fixture_restart(&f);
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
        CU_ASSERT_EQUAL(fixture_put_filled(&f, text(key), value_sizes[i], i, CAIRN_SYNC).err,
                        CAIRN_OK);
    }
    fixture_restart(&f); /* nothing is stamped any more, and nothing is mapped that was */
    CU_ASSERT_EQUAL(fixture_close(&f), CAIRN_OK);
    CU_ASSERT_EQUAL_FATAL(fixture_open(&f), CAIRN_OK);
    for (size_t i = 0; i < VALUE_SIZES; ++i) {
        snprintf(key, sizeof(key), "%zu", value_sizes[i]);
        fixture_drop_caches(&f);
        CU_ASSERT(fixture_has_filled(&f, text(key), value_sizes[i], i));
    }
    cairn_store_stats_t stats;
    cairn_store_stats(f.store, &stats);
    /* the large ones at least: they are verified by a load before they are given out */
    CU_ASSERT(stats.loads >= 6);
    fixture_dispose(&f);
}

static uint64_t loads_of(const fixture_t *f)
{
    cairn_store_stats_t stats;
    cairn_store_stats(f->store, &stats);
    return stats.loads;
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

/* a machine in whose memory is what was brought in, and nothing else */
static struct {
    uintptr_t from, to;
} brought_in[16];
static size_t brought_in_count;

static int noted_populate(const void *base, size_t bytes)
{
    if (brought_in_count == sizeof(brought_in) / sizeof(brought_in[0]))
        return -1;
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE), at = (uintptr_t)base;
    brought_in[brought_in_count].from = at / page * page;
    brought_in[brought_in_count++].to = (at + bytes + page - 1) / page * page;
    return cairn_os_real.populate(base, bytes);
}

static bool was_brought_in(const void *base, size_t bytes)
{
    uintptr_t at = (uintptr_t)base;
    for (size_t i = 0; i < brought_in_count; ++i)
        if (at >= brought_in[i].from && at + bytes <= brought_in[i].to)
            return true;
    return false;
}

static cairn_os_t staged;

/** a machine where this says what is in memory; until cairn_os is the real one again */
static void stage(bool (*is_resident)(const void *base, size_t bytes))
{
    staged = cairn_os_real;
    staged.coarse_ms = later_ms;
    staged.populate = noted_populate;
    staged.is_resident = is_resident;
    cairn_os = &staged;
    days_later_ms = 0;
    brought_in_count = 0;
}

/* to take a page for loaded because one near it was would stall an event loop */
static void neighbours_of_what_is_loaded_are_cold(void)
{
    fixture_t f;
    stage(was_brought_in);
    fixture_start(&f, TEMP_DIR_IN_MEMORY);
    fixture_put_filled(&f, text("before"), 1000, 1, CAIRN_SYNC);
    fixture_put_filled(&f, text("filler 1"), 12000, 2, CAIRN_SYNC);
    fixture_put_filled(&f, text("loaded"), 1000, 3, CAIRN_SYNC);
    fixture_put_filled(&f, text("filler 2"), 12000, 4, CAIRN_SYNC);
    fixture_put_filled(&f, text("behind"), 1000, 5, CAIRN_SYNC);
    days_later_ms = 100000;
    uint64_t loads = loads_of(&f);
    CU_ASSERT(fixture_has_filled(&f, text("loaded"), 1000, 3));
    CU_ASSERT_EQUAL(loads_of(&f), loads + 1);
    CU_ASSERT(fixture_has_filled(&f, text("before"), 1000, 1));
    CU_ASSERT_EQUAL(loads_of(&f), loads + 2);
    CU_ASSERT(fixture_has_filled(&f, text("behind"), 1000, 5));
    CU_ASSERT_EQUAL(loads_of(&f), loads + 3);
    /* now they are there, each by itself */
    CU_ASSERT(fixture_has_filled(&f, text("before"), 1000, 1));
    CU_ASSERT(fixture_has_filled(&f, text("loaded"), 1000, 3));
    CU_ASSERT_EQUAL(loads_of(&f), loads + 3);
    fixture_dispose(&f);
    cairn_os = &cairn_os_real;
}

/** the end of a sealed file is no whole block, and behind it there is no file any more */
static void hot_reads_seldom_ask_the_kernel(void)
{
    fixture_t f;
    cairn_segment_info_t info = {.sealed = false};
    stage(counted_is_resident);
    fixture_start(&f, TEMP_DIR_IN_MEMORY);
    fixture_put_filled(&f, text("filler"), 20000, 2, CAIRN_SYNC);
    fixture_put_filled(&f, text("sealed"), 3000, 1, CAIRN_SYNC);
    fixture_put_filled(&f, text("newest"), 50000, 3, CAIRN_SYNC);
    CU_ASSERT_EQUAL(fixture_segment_count(&f), 2);
    for (int i = 0; i < 2000 && !info.sealed; ++i) {
        usleep(1000);
        CU_ASSERT_EQUAL_FATAL(cairn_store_segments(f.store, 0, &info, 1), 1);
    }
    CU_ASSERT_FATAL(info.sealed);
    days_later_ms = 100000; /* what the writer stamped is stale */
    residency_questions = 0;
    for (int i = 0; i < 100; ++i)
        CU_ASSERT(fixture_has_filled(&f, text("sealed"), 3000, 1));
    CU_ASSERT(residency_questions >= 1 && residency_questions < 20);
    fixture_dispose(&f);
    cairn_os = &cairn_os_real;
}

static bool nothing_is_resident(const void *base, size_t bytes)
{
    (void)base;
    (void)bytes;
    ++residency_questions;
    return false;
}

/* what is written today says nothing of what was written before it into the same block */
static void writing_does_not_make_old_neighbours_hot(void)
{
    fixture_t f;
    stage(nothing_is_resident);
    fixture_start(&f, TEMP_DIR_IN_MEMORY);
    fixture_put_filled(&f, text("old"), 1000, 1, CAIRN_SYNC);
    days_later_ms = 100000;
    fixture_put_filled(&f, text("new"), 1000, 2, CAIRN_SYNC);
    residency_questions = 0;
    uint64_t loads = loads_of(&f);
    CU_ASSERT(fixture_has_filled(&f, text("old"), 1000, 1));
    CU_ASSERT(residency_questions != 0);
    CU_ASSERT_EQUAL(loads_of(&f), loads + 1);
    fixture_dispose(&f);
    cairn_os = &cairn_os_real;
}

static _Atomic bool memory_is_lost;

static bool is_resident_unless_lost(const void *base, size_t bytes)
{
    return !memory_is_lost && cairn_os_real.is_resident(base, bytes);
}

/** by this thread, not by those of upkeep or of the I/O pool */
static _Thread_local size_t own_populates, own_populated_bytes;

static int counted_populate(const void *base, size_t bytes)
{
    ++own_populates;
    own_populated_bytes += bytes;
    return cairn_os_real.populate(base, bytes);
}

/** time stands still but for days: a slow machine makes no stamp old */
static uint64_t still_ms(void)
{
    return 1000000 + days_later_ms;
}

static void stage_real_memory(void)
{
    stage(is_resident_unless_lost);
    staged.coarse_ms = still_ms;
    staged.populate = counted_populate;
    memory_is_lost = false;
    own_populates = own_populated_bytes = 0;
}

/** "hot" and, in another segment, "other", written long ago */
static void start_with_old_values(fixture_t *f)
{
    stage_real_memory();
    fixture_start(f, TEMP_DIR_IN_MEMORY);
    fixture_put_filled(f, text("hot"), 20000, 1, CAIRN_SYNC);
    fixture_put_filled(f, text("filler"), 40000, 2, CAIRN_SYNC);
    fixture_put_filled(f, text("other"), 30000, 3, CAIRN_SYNC);
    days_later_ms = 100000;
}

/* an event loop that believed in what was there a moment ago would wait for the disk */
static void once_something_was_brought_in_memory_is_asked_for_again(void)
{
    fixture_t f;
    start_with_old_values(&f);
    uint64_t loads = loads_of(&f);
    CU_ASSERT(fixture_has_filled(&f, text("hot"), 20000, 1));
    CU_ASSERT_EQUAL(loads_of(&f), loads);
    memory_is_lost = true;
    CU_ASSERT(fixture_has_filled(&f, text("other"), 30000, 3));
    CU_ASSERT_EQUAL(loads_of(&f), loads + 1);
    CU_ASSERT(fixture_has_filled(&f, text("hot"), 20000, 1));
    CU_ASSERT_EQUAL(loads_of(&f), loads + 2);
    fixture_dispose(&f);
    cairn_os = &cairn_os_real;
}

static void a_large_value_that_left_memory_is_brought_in_again(void)
{
    fixture_t f;
    stage_real_memory();
    fixture_start_sized(&f, 1 << 20);
    fixture_put_filled(&f, text("large"), 300000, 1, CAIRN_SYNC);
    fixture_put_filled(&f, text("filler"), 150000, 3, CAIRN_SYNC);
    fixture_put_filled(&f, text("other"), 1000, 2, CAIRN_SYNC);
    days_later_ms = 100000;
    uint64_t loads = loads_of(&f);
    CU_ASSERT(fixture_has_filled(&f, text("large"), 300000, 1)); /* to be verified */
    CU_ASSERT(fixture_has_filled(&f, text("large"), 300000, 1));
    CU_ASSERT_EQUAL(loads_of(&f), loads + 1);
    CU_ASSERT(fixture_has_filled(&f, text("other"), 1000, 2));
    CU_ASSERT_EQUAL(own_populates, 0); /* nothing had to be brought in */
    days_later_ms = 200000;
    CU_ASSERT(fixture_has_filled(&f, text("large"), 300000, 1));
    CU_ASSERT_EQUAL(loads_of(&f), loads + 2);
    memory_is_lost = true;
    CU_ASSERT(fixture_has_filled(&f, text("other"), 1000, 2));
    CU_ASSERT(fixture_has_filled(&f, text("large"), 300000, 1));
    CU_ASSERT_EQUAL(loads_of(&f), loads + 4);
    fixture_dispose(&f);
    cairn_os = &cairn_os_real;
}

/* reads through the map do not count as use by themselves */
static void what_is_used_while_memory_may_be_short_is_told_to_the_kernel(void)
{
    fixture_t f;
    start_with_old_values(&f);
    CU_ASSERT(fixture_has_filled(&f, text("hot"), 20000, 1));
    CU_ASSERT_EQUAL(own_populates, 0);
    memory_is_lost = true;
    CU_ASSERT(fixture_has_filled(&f, text("other"), 30000, 3));
    memory_is_lost = false;
    uint64_t loads = loads_of(&f);
    CU_ASSERT(fixture_has_filled(&f, text("hot"), 20000, 1));
    CU_ASSERT_EQUAL(loads_of(&f), loads);
    CU_ASSERT_EQUAL(own_populates, 1);
    CU_ASSERT(own_populated_bytes >= 20000);
    days_later_ms = 200000; /* nothing has had to be brought in for long */
    CU_ASSERT(fixture_has_filled(&f, text("hot"), 20000, 1));
    CU_ASSERT_EQUAL(own_populates, 1);
    fixture_dispose(&f);
    cairn_os = &cairn_os_real;
}

static void peek_says_what_a_write_would_wait_for(void)
{
    fixture_t f;
    uint64_t loc = 0;
    fixture_start(&f, TEMP_DIR_ON_DISK);
    cairn_key_t key = cairn_store_key(f.store, "k", 1),
                other = cairn_store_key(f.store, "other", 5);
    CU_ASSERT_EQUAL(cairn_store_peek(f.store, &other, false, &loc), CAIRN_OK);
    fixture_put_filled(&f, text("k"), 1000, 1, CAIRN_SYNC);
    CU_ASSERT_EQUAL(cairn_store_peek(f.store, &key, false, &loc), CAIRN_OK);
    fixture_dispose(&f);
}

static void pinned_values_stay(void)
{
    fixture_t f;
    cairn_value_t value;
    fixture_start(&f, TEMP_DIR_IN_MEMORY);
    fixture_put_filled(&f, text("k"), 10000, 1, CAIRN_SYNC);
    CU_ASSERT_EQUAL_FATAL(fixture_get(&f, text("k"), &value), CAIRN_OK);
    cairn_value_pin(&value);
    for (uint64_t i = 2; i < 50; ++i)
        fixture_put_filled(&f, text("k"), 10000, i, CAIRN_SYNC);
    cairn_thread_quiescent();
    uint8_t expected[10000];
    random_fill(1, expected, sizeof(expected));
    CU_ASSERT(memcmp(value.bytes, expected, 10000) == 0);
    cairn_value_unpin(&value);
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
    CU_add_test(s, "many threads write and read at once", many_threads);
    CU_add_test(s, "cold values are loaded", cold_values_are_loaded);
    CU_add_test(s, "the neighbours of what is loaded are cold",
                neighbours_of_what_is_loaded_are_cold);
    CU_add_test(s, "once something was brought in memory is asked for again",
                once_something_was_brought_in_memory_is_asked_for_again);
    CU_add_test(s, "a large value that left memory is brought in again",
                a_large_value_that_left_memory_is_brought_in_again);
    CU_add_test(s, "what is used while memory may be short is told to the kernel",
                what_is_used_while_memory_may_be_short_is_told_to_the_kernel);
    CU_add_test(s, "writing does not make old neighbours hot",
                writing_does_not_make_old_neighbours_hot);
    CU_add_test(s, "hot reads seldom ask the kernel", hot_reads_seldom_ask_the_kernel);
    CU_add_test(s, "peek finds nothing to wait for in memory",
                peek_says_what_a_write_would_wait_for);
    CU_add_test(s, "a pinned value stays while the key changes", pinned_values_stay);
}
