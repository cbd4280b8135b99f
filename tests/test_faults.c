/*
 * What does the store do when the system fails under it: once, for good, or when the process dies?
 *
 * One scenario is run over and over, each time with another call failing. Whatever happens, nothing
 * may crash or leak, and a store opened afterwards on a healthy system has every acknowledged
 * write.
 */
#include "tests/fault_os.h"

#include <CUnit/CUnit.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/store_fixture.h"
#include "tests/suites.h"

#define KEYS 12

/* under a sanitizer each run takes ten times as long: every STRIDE-th call is failed then, and
 * which ones differs from function to function */
#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
#define STRIDE 7
#else
#define STRIDE 1
#endif

static const cairn_bytes_t nothing;

/* ---------------------------------------------------------------- what may be there */

/** writes are numbered from 1; a set of numbers is a bit mask, and bit 0 is "no such key" */
typedef struct st_model_t {
    uint64_t visible[KEYS]; /* the number a read must give, as a bit */
    uint64_t allowed[KEYS]; /* those a restart may give */
    unsigned number;
} model_t;

static void model_init(model_t *m)
{
    memset(m, 0, sizeof(*m));
    for (int k = 0; k < KEYS; ++k)
        m->visible[k] = m->allowed[k] = 1;
}

/** all that has been answered is on disk: the log is one, and it was synced */
static void model_is_durable(model_t *m)
{
    for (int k = 0; k < KEYS; ++k)
        m->allowed[k] = m->visible[k];
}

static size_t value_bytes(unsigned number)
{
    static const size_t sizes[] = {3000, 11, 9000, 0, 5000, 20000, 64, 4097};
    return sizes[number % (sizeof(sizes) / sizeof(sizes[0]))];
}

static void fill(uint8_t *bytes, unsigned number)
{
    for (size_t i = 0; i < value_bytes(number); ++i)
        bytes[i] = (uint8_t)(number * 31 + i);
}

static cairn_bytes_t key_of(int k)
{
    static char keys[KEYS][8];
    snprintf(keys[k], sizeof(keys[k]), "key %d", k);
    return text(keys[k]);
}

/** the number of the write that a read gives, as a bit; 0 when it gives an error, ~0 when rubbish
 */
static uint64_t read_number(fixture_t *f, int k, uint64_t among)
{
    cairn_value_t value;
    cairn_err_t err = fixture_get(f, key_of(k), &value);
    if (err == CAIRN_ERR_NOT_FOUND)
        return 1;
    if (err == CAIRN_ERR_IO || err == CAIRN_ERR_NOMEM)
        return 0;
    for (unsigned n = 1; err == CAIRN_OK && n < 64; ++n) {
        uint8_t expected[20000];
        if ((among >> n & 1) == 0 || value.count != value_bytes(n))
            continue;
        fill(expected, n);
        if (memcmp(value.bytes, expected, value.count) == 0)
            return (uint64_t)1 << n;
    }
    return ~(uint64_t)0;
}

static outcome_t write_one(fixture_t *f, model_t *m, int k, bool is_delete,
                           cairn_durability_t durability)
{
    uint8_t bytes[20000];
    unsigned n = ++m->number;
    CU_ASSERT_FATAL(n < 64);
    fill(bytes, n);
    cairn_bytes_t value = {bytes, value_bytes(n)};
    outcome_t outcome = fixture_write(f, is_delete ? CAIRN_WRITE_DELETE : CAIRN_WRITE_PUT,
                                      key_of(k), nothing, is_delete ? nothing : value, durability);
    uint64_t bit = is_delete ? 1 : (uint64_t)1 << n;
    if (outcome.err == CAIRN_OK) {
        m->visible[k] = bit;
        m->allowed[k] |= bit;
        if (durability == CAIRN_SYNC)
            model_is_durable(m);
    } else if (outcome.err == CAIRN_ERR_UNKNOWN) {
        m->allowed[k] |= bit;
    } else if (outcome.err == CAIRN_ERR_NOT_FOUND) {
        CU_ASSERT(is_delete && m->visible[k] == 1);
    }
    return outcome;
}

static void check_visible(fixture_t *f, const model_t *m)
{
    for (int k = 0; k < KEYS; ++k) {
        uint64_t number = read_number(f, k, m->visible[k]);
        CU_ASSERT(number == 0 || number == m->visible[k]);
    }
}

/* ---------------------------------------------------------------- the scenario */

/** rolls a few times: puts of all sizes, overwritten and deleted, some of them async */
static void work(fixture_t *f, model_t *m)
{
    for (int i = 0; i < 40; ++i) {
        write_one(f, m, i * 5 % KEYS, i % 9 == 8, i % 4 == 3 ? CAIRN_ASYNC : CAIRN_SYNC);
        if (i % 10 == 9)
            check_visible(f, m);
    }
}

/** what a healthy system finds must be allowed, and must work */
static void check_afterwards(fixture_t *f, const model_t *m, const char *when)
{
    cairn_err_t err = fixture_open(f);
    if (err != CAIRN_OK)
        printf("\n%s: %s\n", when, f->errmsg);
    CU_ASSERT_EQUAL(err, CAIRN_OK);
    if (err != CAIRN_OK)
        return;
    for (int k = 0; k < KEYS; ++k) {
        uint64_t number = read_number(f, k, m->allowed[k]);
        if (number == 0 || (number & m->allowed[k]) == 0 || number == ~(uint64_t)0)
            printf("\n%s: key %d is %llx, may be %llx\n", when, k, (unsigned long long)number,
                   (unsigned long long)m->allowed[k]);
        CU_ASSERT(number != 0 && number != ~(uint64_t)0 && (number & m->allowed[k]) != 0);
    }
    /* recovery leaves nothing half done: all but the newest are sealed, and there is no spare name
     */
    cairn_segment_info_t infos[32];
    size_t count = cairn_store_segments(f->store, 0, infos, 32);
    for (size_t i = 0; i + 1 < count; ++i)
        CU_ASSERT(infos[i].sealed);
    for (size_t i = 0; i < count; ++i)
        CU_ASSERT_EQUAL(access(fixture_path(f, infos[i].name), F_OK), 0);
    CU_ASSERT_EQUAL(fixture_put(f, "afterwards", "works").err, CAIRN_OK);
    fixture_restart(f);
    CU_ASSERT(fixture_has(f, "afterwards", "works"));
    CU_ASSERT_EQUAL(fixture_close(f), CAIRN_OK);
}

/** one run with whatever is staged; `origin` is a directory to begin with, or NULL */
static void run(model_t *m, const char *origin, const char *when)
{
    fixture_t f;
    fixture_init(&f, TEMP_DIR_IN_MEMORY);
    if (origin != NULL)
        copy_dir(origin, f.dir.path);
    size_t descriptors = open_descriptors();
    cairn_err_t err = fixture_open(&f);
    if (err == CAIRN_OK) {
        work(&f, m);
        if (fixture_close(&f) == CAIRN_OK)
            model_is_durable(m);
    } else {
        if (err == CAIRN_ERR_CORRUPT)
            printf("\n%s: %s\n", when, f.errmsg);
        CU_ASSERT(f.errmsg[0] != '\0');
        CU_ASSERT(err == CAIRN_ERR_IO || err == CAIRN_ERR_NOMEM || err == CAIRN_ERR_DISK_FULL);
    }
    CU_ASSERT_EQUAL(open_descriptors(), descriptors);
    fault_os_remove();
    check_afterwards(&f, m, when);
    fixture_dispose(&f);
}

/** fails each call of `function` in turn until a run passes untouched; returns how many there were
 */
static unsigned fail_each(fault_function_t function, int error, bool for_good, const char *origin,
                          const model_t *begin)
{
    for (unsigned nth = 1 + (unsigned)function % STRIDE;; nth += STRIDE) {
        char when[100];
        model_t m = *begin;
        snprintf(when, sizeof(when), "%s fails with %d %s, call %u", fault_os_name(function), error,
                 for_good ? "for good" : "once", nth);
        fault_os_install();
        fault_os_pretend_in_place(nth % 2 == 0);
        fault_os_fail(function, nth, error, for_good);
        run(&m, origin, when);
        if (!fault_os_has_fired() || CU_get_number_of_failures() > 20)
            return nth / STRIDE;
    }
}

static const struct {
    fault_function_t function;
    int error;
} faults[] = {
    {FAULT_open_dir, EACCES},
    {FAULT_list, EIO},
    {FAULT_sync_dir, EIO},
    {FAULT_rename, EIO},
    {FAULT_rename, ENOSPC},
    {FAULT_unlink, EIO},
    {FAULT_lock, EIO},
    {FAULT_open, EMFILE},
    {FAULT_open, ENOSPC},
    {FAULT_close, EIO},
    {FAULT_size, EIO},
    {FAULT_preallocate, ENOSPC},
    {FAULT_preallocate, EIO},
    {FAULT_truncate, EIO},
    {FAULT_make_readonly, EPERM},
    {FAULT_pread, EIO},
    {FAULT_pwritev, EIO},
    {FAULT_pwritev, ENOSPC},
    {FAULT_sync, EIO},
    {FAULT_sync, ENOSPC},
    {FAULT_drop_cache, EIO},
    {FAULT_overwrites_in_place, EIO},
    {FAULT_reserve, ENOMEM},
    {FAULT_unreserve, EINVAL},
    {FAULT_map, ENOMEM},
    {FAULT_unmap, ENOMEM},
    {FAULT_will_need, EIO},
    {FAULT_populate, EFAULT},
    {FAULT_is_resident, EIO},
    {FAULT_alloc, ENOMEM},
    {FAULT_calloc, ENOMEM},
    {FAULT_random, EIO},
};
#define FAULTS (sizeof(faults) / sizeof(faults[0]))

static void each_call_fails_in_a_new_store(void)
{
    model_t begin;
    model_init(&begin);
    unsigned runs = 0;
    for (size_t i = 0; i < FAULTS; ++i)
        for (int for_good = 0; for_good < 2; ++for_good)
            runs += fail_each(faults[i].function, faults[i].error, for_good, NULL, &begin);
    CU_ASSERT(runs > 400 / STRIDE);
}

/** a directory that leaves recovery everything to do: a roll under way and a commit torn */
static void make_crashed(fixture_t *f, model_t *m, uint64_t after)
{
    fixture_init(f, TEMP_DIR_IN_MEMORY);
    fault_os_install();
    CU_ASSERT_EQUAL_FATAL(fixture_open(f), CAIRN_OK);
    fault_os_freeze_after(after, true);
    model_init(m);
    for (int i = 0; i < 20; ++i)
        write_one(f, m, i % KEYS, false, CAIRN_SYNC);
    fixture_close(f);
    fault_os_remove();
}

static void each_call_fails_in_recovery(void)
{
    unsigned runs = 0;
    /* which write is torn and how far the roll has come differs; each shape is tried */
    for (uint64_t after = 20; after < 50; after += 7) {
        fixture_t origin;
        model_t crashed;
        make_crashed(&origin, &crashed, after);
        crashed.number = 22;
        /* what was unknown stays so until it is read */
        fixture_t copy;
        fixture_init(&copy, TEMP_DIR_IN_MEMORY);
        copy_dir(origin.dir.path, copy.dir.path);
        CU_ASSERT_EQUAL_FATAL(fixture_open(&copy), CAIRN_OK);
        for (int k = 0; k < KEYS; ++k) {
            uint64_t number = read_number(&copy, k, crashed.allowed[k]);
            CU_ASSERT_FATAL(number != ~(uint64_t)0 && (number & crashed.allowed[k]) != 0);
            crashed.visible[k] = crashed.allowed[k] = number;
        }
        fixture_dispose(&copy);
        for (size_t i = (after - 20) / 7; i < FAULTS; i += 2)
            runs += fail_each(faults[i].function, faults[i].error, i % 4 < 2, origin.dir.path,
                              &crashed);
        fixture_dispose(&origin);
    }
    CU_ASSERT(runs > 400 / STRIDE);
}

/* ---------------------------------------------------------------- the process dies */

static void the_process_dies_at_each_change(void)
{
    unsigned deaths = 0;
    for (int tear = 0; tear < 2; ++tear)
        for (uint64_t after = 1;; after += STRIDE) {
            char when[100];
            model_t m;
            model_init(&m);
            snprintf(when, sizeof(when), "the process dies after change %u%s", (unsigned)after,
                     tear ? ", which is torn" : "");
            fault_os_install();
            fault_os_freeze_after(after, tear != 0);
            run(&m, NULL, when);
            if (fault_os_changes() < after || CU_get_number_of_failures() > 20)
                break;
            ++deaths;
        }
    CU_ASSERT(deaths > 150 / STRIDE);
}

static void the_process_dies_in_recovery(void)
{
    unsigned deaths = 0;
    for (uint64_t crash = 15; crash < 60; crash += 3) {
        fixture_t origin;
        model_t crashed;
        make_crashed(&origin, &crashed, crash);
        for (uint64_t after = 1; after < 60; after += STRIDE) {
            char when[100];
            model_t m = crashed;
            fixture_t f;
            snprintf(when, sizeof(when), "a crash after change %u and one in recovery after %u",
                     (unsigned)crash, (unsigned)after);
            fixture_init(&f, TEMP_DIR_IN_MEMORY);
            copy_dir(origin.dir.path, f.dir.path);
            fault_os_install();
            fault_os_freeze_after(after, after % 2 != 0);
            if (fixture_open(&f) == CAIRN_OK)
                fixture_close(&f);
            bool has_died = fault_os_changes() >= after;
            fault_os_remove();
            check_afterwards(&f, &m, when);
            fixture_dispose(&f);
            if (!has_died)
                break;
            ++deaths;
        }
        fixture_dispose(&origin);
    }
    CU_ASSERT(deaths > 50 / STRIDE);
}

/** the newest segment, known to STORE, lost its only commit: it is removed, and must not be missed
 */
static void the_process_dies_dropping_an_unused_segment(void)
{
    fixture_t f, origin;
    static uint8_t value[10000], zeroes[FIXTURE_SEGMENT_BYTES - 4096];
    fixture_init(&f, TEMP_DIR_IN_MEMORY);
    fixture_init(&origin, TEMP_DIR_IN_MEMORY);
    fault_os_install();
    CU_ASSERT_EQUAL_FATAL(fixture_open(&f), CAIRN_OK);
    cairn_store_stats_t stats = {0};
    fixture_put(&f, "k", "v");
    for (int i = 0; i < 20 && stats.segments < 2; ++i) {
        cairn_bytes_t v = {value, sizeof(value)};
        fixture_write(&f, CAIRN_WRITE_PUT, text("filler"), nothing, v, CAIRN_SYNC);
        cairn_store_stats(f.store, &stats);
    }
    fault_os_wait_until_quiet(); /* the roll is over and STORE replaced */
    copy_dir(f.dir.path, origin.dir.path);
    fixture_dispose(&f);
    fault_os_remove();
    char name[32];
    CU_ASSERT_FATAL(fixture_segment_name(&origin, 0, name));
    FILE *file = fopen(fixture_path(&origin, name), "r+b");
    CU_ASSERT_PTR_NOT_NULL_FATAL(file);
    CU_ASSERT(fseek(file, 4096, SEEK_SET) == 0 && fwrite(zeroes, sizeof(zeroes), 1, file) == 1);
    fclose(file);
    unlink(fixture_path(&origin, "next.seg"));
    unsigned deaths = 0;
    for (uint64_t after = 1; after < 100; ++after) {
        fixture_init(&f, TEMP_DIR_IN_MEMORY);
        copy_dir(origin.dir.path, f.dir.path);
        fault_os_install();
        fault_os_freeze_after(after, false);
        if (fixture_open(&f) == CAIRN_OK)
            fixture_close(&f);
        bool has_died = fault_os_changes() >= after;
        fault_os_remove();
        cairn_err_t err = fixture_open(&f);
        CU_ASSERT_EQUAL(err, CAIRN_OK);
        if (err == CAIRN_OK)
            CU_ASSERT(fixture_has(&f, "k", "v"));
        fixture_dispose(&f);
        if (!has_died)
            break;
        ++deaths;
    }
    CU_ASSERT(deaths >= 6); /* STORE is written, synced, renamed, synced; then the file goes */
    fixture_dispose(&origin);
}

void suite_faults(void)
{
    CU_pSuite s = CU_add_suite("faults", NULL, NULL);
    CU_add_test(s, "each call fails, once and for good, in a new store",
                each_call_fails_in_a_new_store);
    CU_add_test(s, "each call fails while a crash is recovered", each_call_fails_in_recovery);
    CU_add_test(s, "the process dies at each change on disk", the_process_dies_at_each_change);
    CU_add_test(s, "the process dies again while it recovers", the_process_dies_in_recovery);
    CU_add_test(s, "the process dies while it drops an unused segment",
                the_process_dies_dropping_an_unused_segment);
}
