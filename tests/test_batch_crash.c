/*
 * Is an atomic batch whole or none when the process dies in it, its file is torn, or the disk
 * fails?
 */
#include <CUnit/CUnit.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/fault_os.h"
#include "tests/queued.h"
#include "tests/suites.h"

#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
#define STRIDE 40
#else
#define STRIDE 8
#endif

enum { CRASH_KEYS = 5 };

/* whether the five keys are all there with one value, or all absent; `*n` becomes the value */
static bool is_whole(fixture_t *f, long *n)
{
    *n = -1;
    for (size_t i = 0; i < CRASH_KEYS; ++i) {
        char key[8], copy[16] = "";
        cairn_value_t value;
        snprintf(key, sizeof(key), "k%zu", i);
        cairn_err_t err = fixture_get(f, text(key), &value);
        if (err == CAIRN_OK && value.count < sizeof(copy))
            memcpy(copy, value.bytes, value.count);
        long here = err == CAIRN_OK ? strtol(copy, NULL, 10) : -1;
        if (i != 0 && here != *n)
            return false;
        *n = here;
    }
    return true;
}

static void put_all(fixture_t *f, long n, cairn_durability_t durability)
{
    char value[16];
    snprintf(value, sizeof(value), "%ld", n);
    queued_begin(f);
    queued.durability = durability;
    for (size_t i = 0; i < CRASH_KEYS; ++i) {
        char key[8];
        snprintf(key, sizeof(key), "k%zu", i);
        queued_put(key, value);
    }
}

static void dies_anywhere(void)
{
    for (uint64_t after = 0; after < 60; after += STRIDE / 8) {
        fixture_t f;
        long acknowledged = -1, n;
        fixture_init(&f, TEMP_DIR_IN_MEMORY);
        fault_os_install();
        fault_os_freeze_after(after, after % 3 != 0);
        if (fixture_open(&f) == CAIRN_OK) {
            for (long i = 0; i < 8; ++i) {
                put_all(&f, i, CAIRN_SYNC);
                if (queued_run(true) == CAIRN_OK && queued.ops[0]->err == CAIRN_OK)
                    acknowledged = i;
                for (size_t k = 1; k < CRASH_KEYS; ++k)
                    CU_ASSERT_EQUAL(queued.ops[k]->err, queued.ops[0]->err);
                queued_end();
            }
            fixture_close(&f);
        }
        fault_os_remove();
        CU_ASSERT_EQUAL_FATAL(fixture_open(&f), CAIRN_OK);
        CU_ASSERT(is_whole(&f, &n));
        CU_ASSERT(n >= acknowledged);
        fixture_dispose(&f);
    }
}

/* where the records of the only segment end, once that is behind `from`: async answers come earlier
 */
static uint64_t end_after(fixture_t *f, uint64_t from)
{
    cairn_segment_info_t info = {.end = 0};
    do {
        CU_ASSERT_EQUAL_FATAL(cairn_store_segments(f->store, 0, &info, 1), 1);
    } while (info.end <= from);
    return info.end;
}

/* the file ends in the middle of the batch, at each place where it could */
static void torn_anywhere(void)
{
    fixture_t f;
    char name[32];
    size_t bytes;
    fixture_start_sized(&f, FIXTURE_SEGMENT_BYTES);
    put_all(&f, 1, CAIRN_ASYNC);
    CU_ASSERT_EQUAL_FATAL(queued_run(true), CAIRN_OK);
    queued_end();
    uint64_t from = end_after(&f, 4096);
    put_all(&f, 2, CAIRN_ASYNC);
    CU_ASSERT_EQUAL_FATAL(queued_run(true), CAIRN_OK);
    queued_end();
    uint64_t last = end_after(&f, from);
    /* async answers do not wait for its name either */
    bool is_named = fixture_segment_name(&f, 0, name);
    for (int tries = 0; !is_named && tries < 3000; ++tries) {
        usleep(1000);
        is_named = fixture_segment_name(&f, 0, name);
    }
    CU_ASSERT_FATAL(is_named);
    uint8_t *whole = read_file(fixture_path(&f, name), &bytes);
    for (uint64_t cut = from; cut <= last; cut += STRIDE) {
        fixture_t torn;
        long n;
        fixture_init(&torn, TEMP_DIR_IN_MEMORY);
        copy_dir(f.options.path, torn.options.path);
        memset(whole + cut, 0, bytes - cut);
        write_file(fixture_path(&torn, name), whole, bytes);
        free(whole);
        whole = read_file(fixture_path(&f, name), &bytes);
        cairn_err_t err = fixture_open(&torn);
        CU_ASSERT_EQUAL(err, CAIRN_OK);
        if (err == CAIRN_OK) {
            CU_ASSERT(is_whole(&torn, &n));
            CU_ASSERT_EQUAL(n, cut < last ? 1 : 2);
        }
        fixture_dispose(&torn);
    }
    free(whole);
    fixture_dispose(&f);
}

static void disk_fails(void)
{
    static const struct {
        fault_function_t function;
        int error;
        cairn_err_t err;
    } cases[] = {{FAULT_pwritev, ENOSPC, CAIRN_ERR_DISK_FULL},
                 {FAULT_pwritev, EIO, CAIRN_ERR_UNKNOWN},
                 {FAULT_sync, EIO, CAIRN_ERR_UNKNOWN}};
    for (size_t c = 0; c < sizeof(cases) / sizeof(cases[0]); ++c) {
        fixture_t f;
        long n;
        fault_os_install();
        fixture_start_sized(&f, FIXTURE_SEGMENT_BYTES);
        put_all(&f, 1, CAIRN_SYNC);
        CU_ASSERT_EQUAL_FATAL(queued_run(true), CAIRN_OK);
        queued_end();
        fault_os_wait_until_quiet();
        fault_os_fail(cases[c].function, 1, cases[c].error, false);
        put_all(&f, 2, CAIRN_SYNC);
        queued_get("k1");
        CU_ASSERT_EQUAL_FATAL(queued_run(true), CAIRN_OK);
        for (size_t i = 0; i < queued.count; ++i)
            CU_ASSERT_EQUAL(queued.ops[i]->err, cases[c].err);
        queued_end();
        CU_ASSERT(is_whole(&f, &n));
        CU_ASSERT_EQUAL(n, 1);
        fixture_close(&f);
        fault_os_remove();
        CU_ASSERT_EQUAL_FATAL(fixture_open(&f), CAIRN_OK);
        CU_ASSERT(is_whole(&f, &n));
        fixture_dispose(&f);
    }
}

void suite_batch_crash(void)
{
    CU_pSuite s = CU_add_suite("batch_crash: atomic batches and what goes wrong", NULL, NULL);
    CU_add_test(s, "the process dies anywhere in atomic batches", dies_anywhere);
    CU_add_test(s, "a torn atomic batch is none", torn_anywhere);
    CU_add_test(s, "the disk fails under an atomic batch", disk_fails);
}
