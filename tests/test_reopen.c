/*
 * Is a store that is opened again the one that was closed?
 */
#include "tests/store_fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <CUnit/CUnit.h>

#include "tests/fault_os.h"
#include "tests/seed.h"
#include "tests/suites.h"

/* under a sanitizer opening a store takes ten times as long: fewer places are damaged then */
#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
#define STRIDE 5
#else
#define STRIDE 1
#endif

/* ---------------------------------------------------------------- restarts */

static void async_writes_survive_a_close(void)
{
    fixture_t f;
    fixture_start(&f, TEMP_DIR_IN_MEMORY);
    for (int i = 0; i < 100; ++i) {
        char key[16];
        snprintf(key, sizeof(key), "%d", i);
        CU_ASSERT_EQUAL(fixture_put_filled(&f, text(key), 100, (uint64_t)i, CAIRN_ASYNC).err,
                        CAIRN_OK);
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
        CU_ASSERT(fixture_has_filled(&f, text(key), 100, (uint64_t)i));
    }
    fixture_dispose(&f);
}

/* whether an open of a copy of the directory reads the newest segment past the page cache */
static bool drops_the_cache(const fixture_t *f, const char *store_of)
{
    fixture_t copy;
    uint8_t *store;
    size_t count;
    fixture_init(&copy, TEMP_DIR_IN_MEMORY);
    copy_dir(f->dir.path, copy.dir.path);
    if (store_of != NULL) {
        store = read_file(store_of, &count);
        write_file(fixture_path(&copy, "STORE"), store, count);
        free(store);
    }
    uint64_t before = fault_os_calls(FAULT_drop_cache);
    fixture_must_open(&copy);
    CU_ASSERT(fixture_has(&copy, "k", "v"));
    bool drops = fault_os_calls(FAULT_drop_cache) != before;
    fixture_dispose(&copy);
    return drops;
}

/* what has been written since, or may have been, is read from the disk; a STORE that could not be
 * replaced does not hide it */
static void the_cache_is_believed_after_a_clean_stop_alone(void)
{
    fixture_t f;
    temp_dir_t aside;
    char kept[600];
    size_t count;
    fault_os_install();
    fixture_init(&f, TEMP_DIR_IN_MEMORY);
    CU_ASSERT_FATAL(temp_dir_create(&aside, TEMP_DIR_IN_MEMORY));
    snprintf(kept, sizeof(kept), "%s/STORE", aside.path);
    f.options.checkpoint_bytes = 0;
    fixture_must_open(&f);
    CU_ASSERT_EQUAL(fixture_put(&f, "k", "v").err, CAIRN_OK);
    CU_ASSERT(drops_the_cache(&f, NULL)); /* as after a kill */
    CU_ASSERT_EQUAL(fixture_close(&f), CAIRN_OK);
    CU_ASSERT_FALSE(drops_the_cache(&f, NULL));
    uint8_t *store = read_file(fixture_path(&f, "STORE"), &count);
    write_file(kept, store, count);
    free(store);
    fixture_must_open(&f);
    CU_ASSERT(drops_the_cache(&f, NULL));
    CU_ASSERT_FALSE(drops_the_cache(&f, kept)); /* it has not gone on since */
    CU_ASSERT_EQUAL(fixture_put(&f, "l", "v").err, CAIRN_OK);
    CU_ASSERT(drops_the_cache(&f, kept));
    fixture_dispose(&f);
    CU_ASSERT(temp_dir_remove(&aside));
    fault_os_remove();
}

static void async_writes_are_synced_in_time(void)
{
    fixture_t f;
    cairn_store_stats_t stats;
    fixture_init(&f, TEMP_DIR_IN_MEMORY);
    f.options.sync_interval_ms = 5;
    CU_ASSERT_EQUAL_FATAL(fixture_open(&f), CAIRN_OK);
    CU_ASSERT_EQUAL(fixture_put_filled(&f, text("k"), 10, 1, CAIRN_ASYNC).err, CAIRN_OK);
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
    fixture_start(&f, TEMP_DIR_IN_MEMORY);
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
    fixture_start(&f, TEMP_DIR_IN_MEMORY);
    for (int i = 0; i < 3; ++i)
        fixture_restart(&f);
    CU_ASSERT_EQUAL(fixture_segment_count(&f), 0);
    CU_ASSERT(fixture_has(&f, "k", NULL));
    CU_ASSERT_EQUAL(fixture_put(&f, "k", "v").version, 1);
    for (int i = 0; i < 3; ++i)
        fixture_restart(&f);
    CU_ASSERT(fixture_has(&f, "k", "v"));
    CU_ASSERT_EQUAL(fixture_segment_count(&f), 1);
    CU_ASSERT_EQUAL(fixture_close(&f), CAIRN_OK);
    CU_ASSERT_EQUAL(access(fixture_path(&f, "next.seg"), F_OK), -1); /* the spare goes with us */
    fixture_dispose(&f);
}

static void rolling_through_many_segments(void)
{
    enum { KEYS = 40, PUTS = 600 };
    fixture_t f;
    fixture_start(&f, TEMP_DIR_IN_MEMORY);
    for (uint64_t i = 0; i < PUTS; ++i) {
        char key[16];
        snprintf(key, sizeof(key), "%u", (unsigned)(i % KEYS));
        outcome_t outcome =
            fixture_put_filled(&f, text(key), 3000 + i, i, i % 5 == 0 ? CAIRN_ASYNC : CAIRN_SYNC);
        CU_ASSERT_EQUAL_FATAL(outcome.err, CAIRN_OK);
        CU_ASSERT_EQUAL(outcome.version, i + 1);
        if (i % 150 == 149)
            fixture_restart(&f);
    }
    CU_ASSERT(fixture_segment_count(&f) > 30);
    cairn_segment_info_t infos[8];
    uint64_t expected_first = 1;
    CU_ASSERT_EQUAL(cairn_store_segments(f.store, 0, infos, 8), 8);
    CU_ASSERT_EQUAL(infos[0].first_version, expected_first);
    CU_ASSERT(infos[0].sealed);
    CU_ASSERT_EQUAL(cairn_store_segments(f.store, fixture_segment_count(&f), infos, 8), 0);
    CU_ASSERT_EQUAL(cairn_store_segments(f.store, fixture_segment_count(&f) - 1, infos, 8), 1);
    CU_ASSERT_FALSE(infos[0].sealed);
    fixture_restart(&f);
    for (uint64_t i = PUTS - KEYS; i < PUTS; ++i) {
        char key[16];
        snprintf(key, sizeof(key), "%u", (unsigned)(i % KEYS));
        CU_ASSERT(fixture_has_filled(&f, text(key), 3000 + i, i));
    }
    fixture_dispose(&f);
}

static void another_segment_size_after_a_restart(void)
{
    static const uint64_t sizes[] = {65536, 1048576, 65536, 131072, 524288, 69632, 65541};
    fixture_t f;
    char key[16];
    fixture_start(&f, TEMP_DIR_IN_MEMORY);
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); ++i) {
        CU_ASSERT_EQUAL(fixture_close(&f), CAIRN_OK);
        f.options.segment_bytes = sizes[i];
        CU_ASSERT_EQUAL_FATAL(fixture_open(&f), CAIRN_OK);
        /* as large as a segment of this size takes, but not one of 64 KiB */
        snprintf(key, sizeof(key), "%zu", i);
        CU_ASSERT_EQUAL(fixture_put_filled(&f, text(key), sizes[i] - 5000, i, CAIRN_SYNC).err,
                        CAIRN_OK);
        for (size_t j = 0; j <= i; ++j) {
            snprintf(key, sizeof(key), "%zu", j);
            CU_ASSERT(fixture_has_filled(&f, text(key), sizes[j] - 5000, j));
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
        CU_ASSERT_EQUAL(
            fixture_put_filled(&f, text(key), 5000, i, i % 2 ? CAIRN_SYNC : CAIRN_ASYNC).err,
            CAIRN_OK);
        CU_ASSERT(fixture_has_filled(&f, text(key), 5000, i));
    }
    CU_ASSERT(fixture_segment_count(&f) > 10);
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
    fixture_start(&f, TEMP_DIR_IN_MEMORY);
    cairn_thread_unregister();
    CU_ASSERT_EQUAL(cairn_store_open(&second, &f.options, errmsg), CAIRN_ERR_LOCKED);
    CU_ASSERT_PTR_NOT_NULL(strstr(errmsg, f.dir.path));
    cairn_thread_register();
    CU_ASSERT_EQUAL(fixture_put(&f, "k", "v").err, CAIRN_OK);
    fixture_restart(&f);
    CU_ASSERT(fixture_has(&f, "k", "v"));
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
    unsigned ops = is_soak() ? 200000 : 10000 / STRIDE;
    random_t random = random_from(is_soak() ? seed_of_run() : 42, 0);
    uint64_t version = 0;
    fixture_init(&f, TEMP_DIR_IN_MEMORY);
    f.options.upkeep_by_hand = true; /* without key tables what is dead is known to the byte */
    CU_ASSERT_EQUAL_FATAL(fixture_open(&f), CAIRN_OK);
    for (unsigned i = 1; i <= ops; ++i) {
        uint64_t n = random_next(&random);
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
                fixture_put_filled(&f, text(key), size, i, n >> 37 & 1 ? CAIRN_SYNC : CAIRN_ASYNC);
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
                CU_ASSERT(fixture_has_filled(&f, text(key), model[k].size, model[k].seed))
            else
                CU_ASSERT(fixture_has(&f, key, NULL));
        }
        if (random_next(&random) % 700 == 0 || i == ops) {
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

void suite_reopen(void)
{
    CU_pSuite s = CU_add_suite("reopen: what a store is after it was closed", NULL, NULL);
    CU_add_test(s, "async writes survive a close", async_writes_survive_a_close);
    CU_add_test(s, "the page cache is believed after a clean stop alone",
                the_cache_is_believed_after_a_clean_stop_alone);
    CU_add_test(s, "async writes are synced within the interval", async_writes_are_synced_in_time);
    CU_add_test(s, "an idle store marks its last commit once", an_idle_store_marks_its_last_commit);
    CU_add_test(s, "an empty store opens again", empty_stores_open_again);
    CU_add_test(s, "the log rolls through many segments", rolling_through_many_segments);
    CU_add_test(s, "the segment size changes between starts", another_segment_size_after_a_restart);
    CU_add_test(s, "memory-only mode keeps nothing and works the same", memory_only);
    CU_add_test(s, "a second open is refused", a_second_open_is_refused);
    CU_add_test(s, "the store behaves like a map, restarts and all", behaves_like_a_map);
}
