/*
 * What is left of a compaction when the process dies at one of its steps, or the system fails it?
 *
 * One store is made, in which each segment has something to free and all of them together fit one;
 * it is compacted over and over on copies of it, each time with another step being the last, or
 * another call failing. Whatever happens, what was acknowledged is there, what was deleted,
 * replaced or had expired is not, and once the system is well again compaction works.
 */
#include <CUnit/CUnit.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "storage/os.h"
#include "storage/store_internal.h"
#include "tests/fault_os.h"
#include "tests/later.h"
#include "tests/seed.h"
#include "tests/store_fixture.h"
#include "tests/suites.h"

/* every STRIDE-th step or call, and which ones depends on the seed; a soak tries each */
#if defined(__SANITIZE_THREAD__)
#define STRIDE 37
#elif defined(__SANITIZE_ADDRESS__)
#define STRIDE 17
#else
#define STRIDE 11
#endif

#define ROUNDS 6
#define KEYS_A_ROUND 8
#define FILLERS 50
#define KEYS (ROUNDS * KEYS_A_ROUND + 2)
/** replaced all the time, and written while the system fails */
#define FILLER (KEYS - 2)
#define LATE (KEYS - 1)
#define VALUE_BYTES 1000
#define TTL_MS 1000
/** longer than a failed compaction waits for its next try */
#define RETRY_MS 6000

static int set_up(void)
{
    fault_os_install();
    later_install();
    return 0;
}

static int tear_down(void)
{
    later_remove();
    fault_os_remove();
    return 0;
}

static uint64_t stride(void)
{
    return is_soak() ? 1 : STRIDE;
}

/** of what is numbered from 1, the first to be tried; `of` differs from function to function */
static uint64_t first_of(uint64_t of)
{
    return 1 + (seed_of_run() + of * 3) % stride();
}

/* ---------------------------------------------------------------- the model */

/** what each key has: the number of its value, 0 for none */
typedef struct st_model_t {
    unsigned number[KEYS];
    unsigned maybe; /* LATE may have this one instead: nobody knows what became of it */
    unsigned last;
} model_t;

static cairn_bytes_t key_of(unsigned key, char room[16])
{
    snprintf(room, 16, "key %u", key);
    return text(room);
}

static outcome_t put(fixture_t *f, model_t *m, unsigned key, uint64_t ttl_ms)
{
    char room[16];
    uint8_t value[VALUE_BYTES];
    waiter_t waiter;
    outcome_t outcome = {.err = CAIRN_ERR_NOMEM};
    random_fill(++m->last, value, sizeof(value));
    waiter_init(&waiter);
    cairn_write_t *write = fixture_frame(&waiter, CAIRN_WRITE_PUT, key_of(key, room),
                                         (cairn_bytes_t){value, sizeof(value)}, CAIRN_SYNC);
    if (write != NULL) {
        write->ttl_ms = ttl_ms;
        outcome.err = cairn_store_submit(f->store, write);
        if (outcome.err == CAIRN_OK)
            outcome.err = waiter_take(&waiter, 1)->err;
        cairn_write_destroy(write);
    }
    waiter_dispose(&waiter);
    if (outcome.err == CAIRN_OK)
        m->number[key] = m->last;
    return outcome;
}

static bool has_number(const cairn_value_t *value, unsigned number)
{
    uint8_t expected[VALUE_BYTES];
    random_fill(number, expected, sizeof(expected));
    return value->count == sizeof(expected) && memcmp(value->bytes, expected, value->count) == 0;
}

/** with `is_failing`, a read may say that it cannot, but nothing wrong */
static bool is_right(fixture_t *f, const model_t *m, unsigned key, bool is_failing)
{
    char room[16];
    cairn_value_t value;
    cairn_err_t err = fixture_get(f, key_of(key, room), &value);
    unsigned maybe = key == LATE ? m->maybe : 0;
    if (err == CAIRN_ERR_NOT_FOUND)
        return m->number[key] == 0;
    if (err != CAIRN_OK)
        return is_failing && (err == CAIRN_ERR_IO || err == CAIRN_ERR_NOMEM);
    return (m->number[key] != 0 && has_number(&value, m->number[key])) ||
           (maybe != 0 && has_number(&value, maybe));
}

static bool check(fixture_t *f, const model_t *m, bool is_failing, const char *when)
{
    bool all = true;
    for (unsigned key = 0; key < KEYS; ++key) {
        bool right = is_right(f, m, key, is_failing);
        if (!right)
            printf("\n  %s: key %u is wrong", when, key);
        all &= right;
    }
    CU_ASSERT(all);
    return all;
}

/* ---------------------------------------------------------------- the store */

static void init(fixture_t *f, uint64_t checkpoint_bytes)
{
    fixture_init(f, TEMP_DIR_IN_MEMORY);
    f->options.upkeep_by_hand = true;
    f->options.no_compaction = false;
    f->options.checkpoint_bytes = checkpoint_bytes;
}

/** about a segment of it: some that stays, much that is replaced, one key that is deleted and one
 * that expires, both of which have a value in the round before */
static void write_round(fixture_t *f, model_t *m, unsigned round)
{
    char room[16];
    unsigned first = round * KEYS_A_ROUND, next = (round + 1) % ROUNDS * KEYS_A_ROUND;
    unsigned deleted = first, expiring = first + 1;
    for (unsigned i = 2; i < KEYS_A_ROUND; ++i)
        CU_ASSERT_EQUAL_FATAL(put(f, m, first + i, 0).err, CAIRN_OK);
    for (unsigned i = 0; i < FILLERS; ++i)
        CU_ASSERT_EQUAL_FATAL(put(f, m, FILLER, 0).err, CAIRN_OK);
    if (round != 0) {
        CU_ASSERT_EQUAL(fixture_delete(f, (const char *)key_of(deleted, room).base).err, CAIRN_OK);
        CU_ASSERT_EQUAL_FATAL(put(f, m, expiring, TTL_MS).err, CAIRN_OK);
        m->number[deleted] = m->number[expiring] = 0;
    }
    if (round + 1 < ROUNDS) {
        CU_ASSERT_EQUAL_FATAL(put(f, m, next, 0).err, CAIRN_OK);
        CU_ASSERT_EQUAL_FATAL(put(f, m, next + 1, 0).err, CAIRN_OK);
    }
}

/** a store with all that to free; `has_checkpoint`: the index was written down when all of it was
 * there */
static void make_origin(fixture_t *f, model_t *m, bool has_checkpoint)
{
    memset(m, 0, sizeof(*m));
    init(f, has_checkpoint ? 1000 : 0);
    f->options.no_compaction = true;
    CU_ASSERT_EQUAL_FATAL(fixture_open(f), CAIRN_OK);
    for (unsigned round = 0; round < ROUNDS; ++round)
        write_round(f, m, round);
    for (unsigned i = 0; i < FILLERS; ++i)
        CU_ASSERT_EQUAL_FATAL(put(f, m, FILLER, 0).err, CAIRN_OK);
    fault_os_wait_until_quiet();
    cairn_store_upkeep(f->store);
    CU_ASSERT_EQUAL(fixture_close(f), CAIRN_OK);
    later_by(TTL_MS + 1);
}

/** what it does after an open is not among the steps; nothing is written, so there is no idle mark
 * to wait for */
static void wait_for_maintenance(void)
{
    uint64_t before;
    do {
        before = fault_os_changes();
        usleep(4000);
    } while (fault_os_changes() != before);
}

static void open_copy(fixture_t *f, const fixture_t *origin, uint64_t checkpoint_bytes)
{
    init(f, checkpoint_bytes);
    copy_dir(origin->dir.path, f->dir.path);
    CU_ASSERT_EQUAL_FATAL(fixture_open(f), CAIRN_OK);
    wait_for_maintenance();
    fault_os_reset();
}

static void compact(fixture_t *f)
{
    cairn_store_compact(f->store);
    cairn_store_upkeep(f->store);
}

static uint64_t compactions(const fixture_t *f)
{
    cairn_compaction_stats_t stats;
    cairn_compaction_stats(f->store->compaction, &stats);
    return stats.runs;
}

static size_t count_segments(const fixture_t *f)
{
    cairn_segment_info_t infos[64];
    return cairn_store_segments(f->store, 0, infos, 64);
}

static bool open_again(fixture_t *f, const char *when)
{
    cairn_err_t err = fixture_open(f);
    if (err != CAIRN_OK)
        printf("\n  %s: %s\n", when, f->errmsg);
    CU_ASSERT_EQUAL(err, CAIRN_OK);
    return err == CAIRN_OK;
}

/** twice, because the first open may have tidied up; then compaction comes to its end after all */
static bool check_afterwards(fixture_t *f, model_t *m, const char *when)
{
    bool is_good = true;
    for (int i = 0; i < 2 && is_good; ++i) {
        is_good = open_again(f, when) && check(f, m, false, when);
        if (is_good)
            fixture_close(f);
    }
    if (!is_good || !open_again(f, when))
        return false;
    compact(f);
    is_good = check(f, m, false, when);
    CU_ASSERT(count_segments(f) <= 4);
    CU_ASSERT_EQUAL(put(f, m, FILLER, 0).err, CAIRN_OK);
    fixture_close(f);
    is_good = is_good && open_again(f, when) && check(f, m, false, when);
    if (f->store != NULL)
        fixture_close(f);
    return is_good;
}

/* ---------------------------------------------------------------- it dies */

/** the store as it is when all goes well: that is what the others are cut short of */
static uint64_t changes_of_all(const fixture_t *origin, const model_t *m, uint64_t checkpoint_bytes)
{
    fixture_t f;
    open_copy(&f, origin, checkpoint_bytes);
    size_t before = count_segments(&f);
    compact(&f);
    uint64_t changes = fault_os_changes();
    CU_ASSERT(before > ROUNDS);
    /* each by itself, and then a few of the outputs into one */
    CU_ASSERT(compactions(&f) > before - 2);
    CU_ASSERT(count_segments(&f) <= 4);
    check(&f, m, false, "nothing fails");
    fixture_dispose(&f);
    return changes;
}

static void die_at_every_step(bool has_checkpoint, uint64_t checkpoint_bytes)
{
    fixture_t origin, f;
    model_t begin;
    bool is_good = true;
    make_origin(&origin, &begin, has_checkpoint);
    uint64_t changes = changes_of_all(&origin, &begin, checkpoint_bytes);
    CU_ASSERT(changes > 50);
    for (uint64_t step = first_of(0); step <= changes && is_good; step += stride()) {
        char when[80];
        model_t m = begin;
        snprintf(when, sizeof(when), "dead after change %u of %u", (unsigned)step,
                 (unsigned)changes);
        open_copy(&f, &origin, checkpoint_bytes);
        fault_os_freeze_after(step, step % 2 != 0);
        compact(&f);
        fixture_close(&f);
        fault_os_reset();
        is_good = check_afterwards(&f, &m, when);
        fixture_dispose(&f);
    }
    fixture_dispose(&origin);
}

static void without_a_checkpoint(void)
{
    die_at_every_step(false, 0);
}

static void with_a_checkpoint_from_before(void)
{
    die_at_every_step(true, 0);
}

static void with_checkpoints_meanwhile(void)
{
    die_at_every_step(true, 1000);
}

/* ---------------------------------------------------------------- it fails */

static void write_late(fixture_t *f, model_t *m)
{
    if (put(f, m, LATE, 0).err == CAIRN_ERR_UNKNOWN)
        m->maybe = m->last;
}

/** whether the staged failure was met */
static bool fail_one(const fixture_t *origin, const model_t *begin, fault_function_t function,
                     int error, bool for_good, uint64_t nth)
{
    char when[80];
    fixture_t f;
    model_t m = *begin;
    snprintf(when, sizeof(when), "%s fails with %d %s, call %u", fault_os_name(function), error,
             for_good ? "for good" : "once", (unsigned)nth);
    open_copy(&f, origin, nth % 3 == 0 ? 0 : (uint64_t)100000);
    size_t descriptors = open_descriptors();
    fault_os_fail(function, nth, error, for_good);
    compact(&f);
    bool was_met = fault_os_has_fired();
    check(&f, &m, true, when);
    write_late(&f, &m);
    fault_os_reset();
    if (!cairn_store_has_failed(f.store)) {
        later_by(RETRY_MS);
        compact(&f);
        check(&f, &m, false, when);
        CU_ASSERT(compactions(&f) != 0);
        CU_ASSERT_EQUAL(put(&f, &m, FILLER, 0).err, CAIRN_OK);
        CU_ASSERT(open_descriptors() <= descriptors + 2); /* a spare and the log, as before */
    }
    fixture_close(&f);
    check_afterwards(&f, &m, when);
    fixture_dispose(&f);
    return was_met;
}

static const struct {
    fault_function_t function;
    int error;
} faults[] = {
    {FAULT_open, EMFILE},   {FAULT_open, ENOSPC},         {FAULT_close, EIO},
    {FAULT_size, EIO},      {FAULT_preallocate, EIO},     {FAULT_preallocate, ENOSPC},
    {FAULT_truncate, EIO},  {FAULT_make_readonly, EPERM}, {FAULT_pread, EIO},
    {FAULT_pwritev, EIO},   {FAULT_pwritev, ENOSPC},      {FAULT_sync, EIO},
    {FAULT_sync, ENOSPC},   {FAULT_sync_dir, EIO},        {FAULT_rename, EIO},
    {FAULT_rename, ENOSPC}, {FAULT_unlink, EIO},          {FAULT_map, ENOMEM},
    {FAULT_unmap, ENOMEM},  {FAULT_will_need, EIO},       {FAULT_populate, EFAULT},
    {FAULT_alloc, ENOMEM},  {FAULT_calloc, ENOMEM},       {FAULT_alloc_pages, ENOMEM},
    {FAULT_random, EIO},    {FAULT_turns, ENOENT},
};
#define FAULTS (sizeof(faults) / sizeof(faults[0]))

static void each_call_fails(bool for_good)
{
    fixture_t origin;
    model_t begin;
    unsigned runs = 0;
    unsigned failures = CU_get_number_of_failures();
    make_origin(&origin, &begin, true);
    for (size_t i = 0; i < FAULTS; ++i) {
        uint64_t nth = first_of(i);
        while (fail_one(&origin, &begin, faults[i].function, faults[i].error, for_good, nth) &&
               CU_get_number_of_failures() < failures + 10) {
            nth += stride();
            ++runs;
        }
    }
    printf("\n    %u calls failed ", runs);
    CU_ASSERT(runs > 100 / stride());
    fixture_dispose(&origin);
}

static void each_call_fails_once(void)
{
    each_call_fails(false);
}

static void each_call_fails_for_good(void)
{
    each_call_fails(true);
}

void suite_compaction_faults(void)
{
    CU_pSuite s = CU_add_suite("compaction: deaths and failures", set_up, tear_down);
    CU_add_test(s, "the process dies at each change on disk", without_a_checkpoint);
    CU_add_test(s, "so it does with a checkpoint from before", with_a_checkpoint_from_before);
    CU_add_test(s, "and with checkpoints meanwhile", with_checkpoints_meanwhile);
    CU_add_test(s, "each call fails once", each_call_fails_once);
    CU_add_test(s, "each call fails for good, until it is healed", each_call_fails_for_good);
}
