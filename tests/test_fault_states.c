/*
 * What becomes of a store of which a sync, a write or the room on the disk has failed: which state
 * it is in, what it still does, and whether that ends?
 */
#include "tests/fault_os.h"

#include <CUnit/CUnit.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "tests/store_fixture.h"
#include "tests/suites.h"

static const cairn_bytes_t nothing;

static void a_failed_sync_poisons(void)
{
    fixture_t f;
    cairn_store_stats_t stats;
    fixture_init(&f, TEMP_DIR_IN_MEMORY);
    fault_os_install();
    CU_ASSERT_EQUAL_FATAL(fixture_open(&f), CAIRN_OK);
    CU_ASSERT_EQUAL(fixture_put(&f, "before", "durable").err, CAIRN_OK);
    CU_ASSERT_EQUAL(fixture_put(&f, "k", "old").err, CAIRN_OK);
    fault_os_wait_until_quiet(); /* the next sync is the put's */
    fault_os_fail(FAULT_sync, 1, EIO, false);
    CU_ASSERT_EQUAL(fixture_put(&f, "k", "new").err, CAIRN_ERR_UNKNOWN);
    CU_ASSERT(fault_os_has_fired());
    CU_ASSERT(fixture_has(&f, "before", "durable"));
    CU_ASSERT(fixture_has(&f, "k", "old"));
    CU_ASSERT_EQUAL(fixture_put(&f, "k", "newer").err, CAIRN_ERR_FAILED);
    CU_ASSERT_EQUAL(fixture_delete(&f, "before").err, CAIRN_ERR_FAILED);
    cairn_store_stats(f.store, &stats);
    CU_ASSERT(stats.failed);
    usleep(50000); /* long enough for an idle mark, which must not come */
    CU_ASSERT_EQUAL(fixture_close(&f), CAIRN_ERR_FAILED);
    CU_ASSERT_EQUAL(fault_os_calls_since_fired(FAULT_sync), 1); /* itself, and none after it */
    fault_os_remove();
    CU_ASSERT_EQUAL_FATAL(fixture_open(&f), CAIRN_OK);
    CU_ASSERT(fixture_has(&f, "before", "durable"));
    CU_ASSERT(fixture_has(&f, "k", "old") || fixture_has(&f, "k", "new"));
    fixture_dispose(&f);
}

static void a_failed_sync_of_async_writes_poisons(void)
{
    fixture_t f;
    fixture_init(&f, TEMP_DIR_IN_MEMORY);
    f.options.sync_interval_ms = 20;
    fault_os_install();
    CU_ASSERT_EQUAL_FATAL(fixture_open(&f), CAIRN_OK);
    CU_ASSERT_EQUAL(fixture_put(&f, "first", "v").err, CAIRN_OK);
    fault_os_wait_until_quiet();
    fault_os_fail(FAULT_sync, 1, EIO, true);
    CU_ASSERT_EQUAL(
        fixture_write(&f, CAIRN_WRITE_PUT, text("k"), nothing, text("v"), CAIRN_ASYNC).err,
        CAIRN_OK);
    cairn_store_stats_t stats;
    for (int i = 0; i < 2000; ++i) {
        cairn_store_stats(f.store, &stats);
        if (stats.failed)
            break;
        usleep(1000);
    }
    CU_ASSERT(stats.failed);
    CU_ASSERT(stats.durable_version < stats.last_version);
    CU_ASSERT(fixture_has(&f, "k", "v"));
    CU_ASSERT_EQUAL(fixture_close(&f), CAIRN_ERR_FAILED);
    CU_ASSERT_EQUAL(fault_os_calls_since_fired(FAULT_sync), 1);
    fault_os_remove();
    fixture_dispose(&f);
}

static void a_full_disk_refuses_puts_and_heals(void)
{
    fixture_t f;
    cairn_store_stats_t stats;
    static uint8_t value[10000];
    cairn_bytes_t large = {value, sizeof(value)};
    fixture_init(&f, TEMP_DIR_IN_MEMORY);
    fault_os_install();
    CU_ASSERT_EQUAL_FATAL(fixture_open(&f), CAIRN_OK);
    CU_ASSERT_EQUAL(fixture_put(&f, "small", "v").err, CAIRN_OK);
    fault_os_fail(FAULT_preallocate, 1, ENOSPC, true);
    int taken = 0;
    cairn_err_t err = CAIRN_OK;
    while (err == CAIRN_OK && taken < 100) {
        char key[32];
        snprintf(key, sizeof(key), "large %d", taken++);
        err = fixture_write(&f, CAIRN_WRITE_PUT, text(key), nothing, large, CAIRN_SYNC).err;
    }
    CU_ASSERT_EQUAL(err, CAIRN_ERR_DISK_FULL);
    CU_ASSERT(taken < 30);
    cairn_store_stats(f.store, &stats);
    CU_ASSERT(stats.disk_full);
    CU_ASSERT_FALSE(stats.failed);
    CU_ASSERT(fixture_has(&f, "small", "v"));
    /* small puts too, once they would eat what deletes need */
    for (int i = 0; i < 3000 && err != CAIRN_OK; ++i)
        err = fixture_put(&f, "filler", "v").err;
    for (int i = 0; i < 3000 && err == CAIRN_OK; ++i)
        err = fixture_put(&f, "filler", "v").err;
    CU_ASSERT_EQUAL(err, CAIRN_ERR_DISK_FULL);
    CU_ASSERT_EQUAL(fixture_delete(&f, "large 0").err, CAIRN_OK);
    CU_ASSERT_EQUAL(fixture_delete(&f, "large 1").err, CAIRN_OK);
    CU_ASSERT(fixture_has(&f, "large 0", NULL));
    fault_os_heal();
    for (int i = 0; i < 300 && err != CAIRN_OK; ++i) {
        usleep(10000);
        err = fixture_write(&f, CAIRN_WRITE_PUT, text("large"), nothing, large, CAIRN_SYNC).err;
    }
    CU_ASSERT_EQUAL(err, CAIRN_OK);
    cairn_store_stats(f.store, &stats);
    CU_ASSERT_FALSE(stats.failed);
    fixture_restart(&f);
    CU_ASSERT(fixture_has(&f, "small", "v"));
    CU_ASSERT(fixture_has(&f, "large 1", NULL));
    fixture_dispose(&f);
    fault_os_remove();
}

static void a_full_disk_lets_a_store_open(void)
{
    fixture_t f;
    fixture_init(&f, TEMP_DIR_IN_MEMORY);
    CU_ASSERT_EQUAL_FATAL(fixture_open(&f), CAIRN_OK);
    fixture_put(&f, "k", "v");
    CU_ASSERT_EQUAL(fixture_close(&f), CAIRN_OK);
    for (int which = 0; which < 2; ++which) {
        fault_os_install();
        fault_os_fail(which == 0 ? FAULT_preallocate : FAULT_pwritev, 1, ENOSPC, true);
        CU_ASSERT_EQUAL_FATAL(fixture_open(&f), CAIRN_OK);
        CU_ASSERT(fixture_has(&f, "k", "v"));
        fixture_close(&f);
        fault_os_remove();
    }
    fixture_dispose(&f);
}

static void a_write_that_finds_no_room_leaves_no_trace(void)
{
    fixture_t f;
    fixture_init(&f, TEMP_DIR_IN_MEMORY);
    fault_os_install();
    CU_ASSERT_EQUAL_FATAL(fixture_open(&f), CAIRN_OK);
    outcome_t first = fixture_put(&f, "k", "v");
    CU_ASSERT_EQUAL(first.err, CAIRN_OK);
    fault_os_wait_until_quiet();
    fault_os_fail(FAULT_pwritev, 1, ENOSPC, false);
    CU_ASSERT_EQUAL(fixture_put(&f, "k", "w").err, CAIRN_ERR_DISK_FULL);
    CU_ASSERT(fixture_has(&f, "k", "v"));
    outcome_t third = fixture_put(&f, "k", "x");
    CU_ASSERT_EQUAL(third.err, CAIRN_OK);
    CU_ASSERT_EQUAL(third.version, first.version + 1);
    fixture_restart(&f);
    CU_ASSERT(fixture_has(&f, "k", "x"));
    fixture_dispose(&f);
    fault_os_remove();
}

static void an_unreadable_spare_is_not_called_damaged(void)
{
    static const uint8_t zeroes[20000];
    static const fault_function_t functions[] = {FAULT_open, FAULT_pread};
    fixture_t f;
    fixture_init(&f, TEMP_DIR_IN_MEMORY);
    CU_ASSERT_EQUAL_FATAL(fixture_open(&f), CAIRN_OK);
    CU_ASSERT_EQUAL(fixture_put(&f, "k", "v").err, CAIRN_OK);
    CU_ASSERT_EQUAL(fixture_close(&f), CAIRN_OK);
    for (int i = 0; i < 2; ++i)
        for (uint64_t nth = 1; nth < 4; ++nth) {
            /* a crash while it was being made: it has no header yet */
            write_file(fixture_path(&f, "next.seg"), zeroes, sizeof(zeroes));
            fault_os_install();
            fault_os_fail(functions[i], nth, EMFILE, false);
            cairn_err_t err = fixture_open(&f);
            CU_ASSERT(err == CAIRN_OK || err == CAIRN_ERR_IO);
            if (err == CAIRN_OK)
                fixture_close(&f);
            fault_os_remove();
            write_file(fixture_path(&f, "next.seg"), zeroes, sizeof(zeroes));
            CU_ASSERT_EQUAL_FATAL(fixture_open(&f), CAIRN_OK);
            CU_ASSERT(fixture_has(&f, "k", "v"));
            CU_ASSERT_EQUAL(fixture_close(&f), CAIRN_OK);
        }
    fixture_dispose(&f);
}

static void short_writes_are_finished(void)
{
    static uint8_t value[20000];
    fixture_t f;
    fixture_init(&f, TEMP_DIR_IN_MEMORY);
    fault_os_install();
    CU_ASSERT_EQUAL_FATAL(fixture_open(&f), CAIRN_OK);
    CU_ASSERT_EQUAL(fixture_put(&f, "first", "v").err, CAIRN_OK);
    fault_os_wait_until_quiet();
    for (size_t i = 1; i < sizeof(value); ++i)
        value[i] = (uint8_t)(i * 7);
    /* inside the MARK, inside the head, between the pieces, inside the value */
    static const size_t shorts[] = {1, 87, 88, 100, 139, 140, 5000, 20139};
    for (size_t i = 0; i < sizeof(shorts) / sizeof(shorts[0]); ++i) {
        value[0] = (uint8_t)i;
        fault_os_short_write(1, shorts[i]);
        cairn_bytes_t v = {value, sizeof(value)};
        CU_ASSERT_EQUAL(fixture_write(&f, CAIRN_WRITE_PUT, text("key"), nothing, v, CAIRN_SYNC).err,
                        CAIRN_OK);
        cairn_value_t found;
        CU_ASSERT_EQUAL(fixture_get(&f, text("key"), &found), CAIRN_OK);
        CU_ASSERT(found.count == sizeof(value) && memcmp(found.bytes, value, found.count) == 0);
        fixture_restart(&f);
        CU_ASSERT_EQUAL(fixture_get(&f, text("key"), &found), CAIRN_OK);
        CU_ASSERT(found.count == sizeof(value) && memcmp(found.bytes, value, found.count) == 0);
    }
    fixture_dispose(&f);
    fault_os_remove();
}

void suite_fault_states(void)
{
    CU_pSuite s = CU_add_suite("fault_states", NULL, NULL);
    CU_add_test(s, "a failed sync poisons and is never retried", a_failed_sync_poisons);
    CU_add_test(s, "a failed sync of async writes poisons too",
                a_failed_sync_of_async_writes_poisons);
    CU_add_test(s, "a full disk refuses puts, not reads and deletes, and heals",
                a_full_disk_refuses_puts_and_heals);
    CU_add_test(s, "a store opens on a full disk", a_full_disk_lets_a_store_open);
    CU_add_test(s, "a write that finds no room leaves no trace",
                a_write_that_finds_no_room_leaves_no_trace);
    CU_add_test(s, "a spare that cannot be read is not called damaged",
                an_unreadable_spare_is_not_called_damaged);
    CU_add_test(s, "short writes are finished", short_writes_are_finished);
}
