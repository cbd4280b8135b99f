/*
 * Do operations queued as one see each other, share a commit, and happen whole or not at all?
 */
#include <CUnit/CUnit.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/queued.h"
#include "tests/suites.h"

static uint64_t commits(fixture_t *f)
{
    cairn_store_stats_t stats;
    cairn_store_stats(f->store, &stats);
    return stats.commits;
}

static uint64_t records(fixture_t *f)
{
    cairn_store_stats_t stats;
    cairn_store_stats(f->store, &stats);
    return stats.commit_records;
}

/* one commit more than before; a MARK that the idle writer has added by now counts as one too */
static bool is_one_commit(fixture_t *f, uint64_t before)
{
    uint64_t now = commits(f);
    return now == before + 1 || now == before + 2;
}

static const cairn_conditions_t must_be_absent = {.if_none_match.kind = CAIRN_VERSIONS_ANY};
static const cairn_conditions_t must_be_there = {.if_match.kind = CAIRN_VERSIONS_ANY};

/* ---------------------------------------------------------------- seeing what went before */

static void see_each_other(bool is_atomic)
{
    fixture_t f;
    fixture_start_sized(&f, FIXTURE_SEGMENT_BYTES);
    fixture_put(&f, "old", "there");
    queued_begin(&f);
    cairn_write_t *first = queued_get("a");
    queued_put("a", "one");
    cairn_write_t *second = queued_get("a");
    queued_add(CAIRN_WRITE_APPEND, "a", text("two"));
    cairn_write_t *third = queued_get("a");
    cairn_write_t *sum = queued_add(CAIRN_WRITE_INCR, "n", (cairn_bytes_t){NULL, 0});
    sum->by = 41;
    cairn_write_t *sums = queued_add(CAIRN_WRITE_INCR, "n", (cairn_bytes_t){NULL, 0});
    cairn_write_t *number = queued_get("n");
    cairn_write_t *gone = queued_add(CAIRN_WRITE_DELETE, "a", (cairn_bytes_t){NULL, 0});
    cairn_write_t *fourth = queued_get("a");
    cairn_write_t *again = queued_put("a", "three");
    again->conditions = &must_be_absent;
    cairn_write_t *old = queued_get("old");
    CU_ASSERT_EQUAL_FATAL(queued_run(is_atomic), CAIRN_OK);
    CU_ASSERT_EQUAL(first->err, CAIRN_ERR_NOT_FOUND);
    CU_ASSERT(queued_got_text(second, "one"));
    CU_ASSERT(queued_got_text(third, "onetwo"));
    CU_ASSERT_EQUAL(sum->number, 41);
    CU_ASSERT_EQUAL(sums->number, 42);
    CU_ASSERT(queued_got_text(number, "42"));
    CU_ASSERT(gone->existed);
    CU_ASSERT_EQUAL(fourth->err, CAIRN_ERR_NOT_FOUND);
    CU_ASSERT_EQUAL(again->err, CAIRN_OK);
    CU_ASSERT_FALSE(again->existed);
    CU_ASSERT(queued_got_text(old, "there"));
    CU_ASSERT_EQUAL(again->version, 7);
    queued_end();
    fixture_restart(&f);
    CU_ASSERT(fixture_has(&f, "a", "three"));
    CU_ASSERT(fixture_has(&f, "n", "42"));
    fixture_dispose(&f);
}

static void in_order(void)
{
    see_each_other(false);
}

static void in_order_atomic(void)
{
    see_each_other(true);
}

/* values in pieces: borrowed ones, appended to before they are anywhere in one piece */
static void large_values(void)
{
    enum { LARGE = 9000, PIECES = 20, PIECE = 300 };
    static char bytes[LARGE + PIECES * PIECE];
    for (int is_atomic = 0; is_atomic < 2; ++is_atomic) {
        fixture_t f;
        fixture_start_sized(&f, (uint64_t)1 << 20);
        for (size_t i = 0; i < sizeof(bytes); ++i)
            bytes[i] = (char)('a' + i * i % 26);
        uint64_t before = commits(&f);
        queued_begin(&f);
        queued_add(CAIRN_WRITE_PUT, "k", (cairn_bytes_t){bytes, LARGE});
        for (size_t i = 0; i < PIECES; ++i)
            queued_add(CAIRN_WRITE_APPEND, "k", (cairn_bytes_t){bytes + LARGE + i * PIECE, PIECE});
        cairn_write_t *whole = queued_get("k");
        CU_ASSERT_EQUAL_FATAL(queued_run(is_atomic != 0), CAIRN_OK);
        CU_ASSERT(queued_got(whole, (cairn_bytes_t){bytes, sizeof(bytes)}));
        CU_ASSERT(is_one_commit(&f, before));
        queued_end();
        fixture_restart(&f);
        cairn_value_t value;
        CU_ASSERT_EQUAL_FATAL(fixture_get(&f, text("k"), &value), CAIRN_OK);
        CU_ASSERT_EQUAL_FATAL(value.count, sizeof(bytes));
        CU_ASSERT_EQUAL(memcmp(value.bytes, bytes, sizeof(bytes)), 0);
        fixture_dispose(&f);
    }
}

static void own_answers(void)
{
    fixture_t f;
    fixture_start_sized(&f, FIXTURE_SEGMENT_BYTES);
    queued_begin(&f);
    queued_put("a", "text");
    cairn_write_t *missing = queued_add(CAIRN_WRITE_DELETE, "missing", (cairn_bytes_t){NULL, 0});
    cairn_write_t *no_number = queued_add(CAIRN_WRITE_INCR, "a", (cairn_bytes_t){NULL, 0});
    cairn_write_t *refused = queued_put("a", "other");
    refused->conditions = &must_be_absent;
    cairn_write_t *last = queued_put("b", "text");
    CU_ASSERT_EQUAL_FATAL(queued_run(false), CAIRN_OK);
    CU_ASSERT_EQUAL(missing->err, CAIRN_ERR_NOT_FOUND);
    CU_ASSERT_EQUAL(no_number->err, CAIRN_ERR_NOT_A_NUMBER);
    CU_ASSERT_EQUAL(refused->err, CAIRN_ERR_PRECONDITION);
    CU_ASSERT_EQUAL(refused->version, 1);
    CU_ASSERT_EQUAL(last->version, 2);
    queued_end();
    CU_ASSERT(fixture_has(&f, "a", "text"));
    fixture_dispose(&f);
}

/* ---------------------------------------------------------------- all or nothing */

static void each_position_fails(void)
{
    enum { COUNT = 6 };
    fixture_t f;
    fixture_start_sized(&f, FIXTURE_SEGMENT_BYTES);
    fixture_put(&f, "k2", "before");
    for (size_t failing = 0; failing < COUNT; ++failing) {
        uint64_t records_before = records(&f);
        uint64_t version = cairn_store_last_version(f.store);
        queued_begin(&f);
        for (size_t i = 0; i < COUNT; ++i) {
            char key[8];
            snprintf(key, sizeof(key), "k%zu", i);
            cairn_write_t *write = i == 4 ? queued_get(key) : queued_put(key, "after");
            if (i == failing)
                write->conditions = i == 2 ? &must_be_absent : &must_be_there;
        }
        CU_ASSERT_EQUAL_FATAL(queued_run(true), CAIRN_OK);
        for (size_t i = 0; i < COUNT; ++i)
            CU_ASSERT_EQUAL(queued.ops[i]->err,
                            i == failing ? CAIRN_ERR_PRECONDITION : CAIRN_ERR_ABORTED);
        queued_end();
        CU_ASSERT_EQUAL(cairn_store_last_version(f.store), version);
        CU_ASSERT_EQUAL(records(&f), records_before);
        CU_ASSERT(fixture_has(&f, "k0", NULL));
        CU_ASSERT(fixture_has(&f, "k2", "before"));
    }
    CU_ASSERT_EQUAL(fixture_put(&f, "next", "one").version, 2);
    fixture_restart(&f);
    CU_ASSERT(fixture_has(&f, "next", "one"));
    CU_ASSERT(fixture_has(&f, "k0", NULL));
    fixture_dispose(&f);
}

/* a batch that fails leaves no trace in the commit it would have shared */
static void failure_among_others(void)
{
    fixture_t f;
    fixture_start_sized(&f, FIXTURE_SEGMENT_BYTES);
    queued_begin(&f);
    queued_put("x", "1");
    CU_ASSERT_EQUAL_FATAL(queued_enqueue(0, false), CAIRN_OK);
    queued_add(CAIRN_WRITE_APPEND, "x", text("batch"));
    queued_add(CAIRN_WRITE_DELETE, "x", (cairn_bytes_t){NULL, 0});
    queued_put("y", "batch");
    queued_add(CAIRN_WRITE_DELETE, "missing", (cairn_bytes_t){NULL, 0});
    CU_ASSERT_EQUAL_FATAL(queued_enqueue(1, true), CAIRN_OK);
    cairn_write_t *x = queued_get("x");
    cairn_write_t *y = queued_put("y", "2");
    y->conditions = &must_be_absent;
    CU_ASSERT_EQUAL_FATAL(queued_enqueue(5, true), CAIRN_OK);
    queued_finish();
    CU_ASSERT_EQUAL(queued.ops[1]->err, CAIRN_ERR_ABORTED);
    CU_ASSERT_EQUAL(queued.ops[4]->err, CAIRN_ERR_NOT_FOUND);
    CU_ASSERT(queued_got_text(x, "1"));
    CU_ASSERT_EQUAL(y->err, CAIRN_OK);
    CU_ASSERT_EQUAL(y->version, 2);
    queued_end();
    fixture_restart(&f);
    CU_ASSERT(fixture_has(&f, "x", "1"));
    CU_ASSERT(fixture_has(&f, "y", "2"));
    fixture_dispose(&f);
}

static void atomic_gets(void)
{
    fixture_t f;
    fixture_start_sized(&f, FIXTURE_SEGMENT_BYTES);
    fixture_put(&f, "a", "1");
    queued_begin(&f);
    cairn_write_t *a = queued_get("a"), *missing = queued_get("missing");
    uint64_t before = records(&f);
    CU_ASSERT_EQUAL_FATAL(queued_run(true), CAIRN_OK);
    CU_ASSERT(queued_got_text(a, "1"));
    CU_ASSERT_EQUAL(missing->err, CAIRN_ERR_NOT_FOUND);
    CU_ASSERT_EQUAL(records(&f), before);
    queued_end();
    queued_begin(&f);
    queued_get("a");
    queued_get("a")->conditions = &must_be_absent;
    CU_ASSERT_EQUAL_FATAL(queued_run(true), CAIRN_OK);
    CU_ASSERT_EQUAL(queued.ops[0]->err, CAIRN_ERR_ABORTED);
    CU_ASSERT_EQUAL(queued.ops[1]->err, CAIRN_ERR_PRECONDITION);
    queued_end();
    fixture_dispose(&f);
}

static void across_segments(void)
{
    enum { BATCHES = 60, KEYS = 10 };
    static char value[1500];
    fixture_t f;
    fixture_start_sized(&f, FIXTURE_SEGMENT_BYTES);
    for (size_t n = 0; n < BATCHES; ++n) {
        queued_begin(&f);
        memset(value, 'a' + (int)(n % 26), sizeof(value) - 1);
        for (size_t i = 0; i < KEYS; ++i) {
            char key[16];
            snprintf(key, sizeof(key), "%zu-%zu", n, i);
            queued_put(key, value);
        }
        CU_ASSERT_EQUAL_FATAL(queued_run(true), CAIRN_OK);
        for (size_t i = 0; i < KEYS; ++i)
            CU_ASSERT_EQUAL(queued.ops[i]->err, CAIRN_OK);
        queued_end();
    }
    fixture_restart(&f);
    for (size_t n = 0; n < BATCHES; ++n)
        for (size_t i = 0; i < KEYS; ++i) {
            char key[16];
            snprintf(key, sizeof(key), "%zu-%zu", n, i);
            memset(value, 'a' + (int)(n % 26), sizeof(value) - 1);
            CU_ASSERT(fixture_has(&f, key, value));
        }
    fixture_dispose(&f);
}

/* too large at a glance, and too large only once it is decided; in a fresh segment and in a used
 * one */
static void too_large(void)
{
    static char value[20000];
    fixture_t f;
    memset(value, 'v', sizeof(value) - 1);
    fixture_start_sized(&f, FIXTURE_SEGMENT_BYTES);
    queued_begin(&f);
    for (size_t i = 0; i < 4; ++i)
        queued_put("k", value);
    CU_ASSERT_EQUAL(queued_enqueue(0, true), CAIRN_ERR_TOO_LARGE);
    queued_end();
    fixture_put(&f, "k", value);
    for (size_t shared = 0; shared < 2; ++shared) {
        queued_begin(&f);
        if (shared != 0) {
            queued_put("other", "1");
            CU_ASSERT_EQUAL_FATAL(queued_enqueue(0, false), CAIRN_OK);
        }
        for (size_t i = 0; i < 5; ++i)
            queued_add(CAIRN_WRITE_APPEND, "k", text("x"));
        CU_ASSERT_EQUAL_FATAL(queued_enqueue(shared, true), CAIRN_OK);
        queued_finish();
        for (size_t i = shared; i < queued.count; ++i)
            CU_ASSERT_EQUAL(queued.ops[i]->err, CAIRN_ERR_TOO_LARGE);
        queued_end();
        CU_ASSERT(fixture_has(&f, "k", value));
    }
    CU_ASSERT(fixture_has(&f, "other", "1"));
    fixture_restart(&f);
    CU_ASSERT(fixture_has(&f, "k", value));
    fixture_dispose(&f);
}

/* ---------------------------------------------------------------- many */

static void one_commit(void)
{
    static char value[1200];
    memset(value, 'v', sizeof(value) - 1);
    for (int is_atomic = 0; is_atomic < 2; ++is_atomic) {
        fixture_t f;
        fixture_start_sized(&f, (uint64_t)64 << 20);
        uint64_t before = commits(&f);
        queued_begin(&f);
        for (size_t i = 0; i < 10000; ++i) {
            char key[16];
            snprintf(key, sizeof(key), "k%zu", i);
            queued_put(key, value);
        }
        CU_ASSERT_EQUAL_FATAL(queued_run(is_atomic != 0), CAIRN_OK);
        for (size_t i = 0; i < queued.count; ++i)
            if (queued.ops[i]->err != CAIRN_OK || queued.ops[i]->version != i + 1)
                CU_FAIL("an operation failed or has a version that is not its own");
        CU_ASSERT(is_one_commit(&f, before));
        CU_ASSERT_EQUAL(queued.waiter.calls, 1);
        queued_end();
        fixture_restart(&f);
        CU_ASSERT(fixture_has(&f, "k0", value));
        CU_ASSERT(fixture_has(&f, "k5000", value));
        CU_ASSERT(fixture_has(&f, "k9999", value));
        fixture_dispose(&f);
    }
}

static void queue_limits(void)
{
    fixture_t f;
    fixture_init(&f, TEMP_DIR_IN_MEMORY);
    f.options.queue_ops_max = 4;
    CU_ASSERT_EQUAL_FATAL(fixture_open(&f), CAIRN_OK);
    queued_begin(&f);
    queued_put("a", "1");
    CU_ASSERT_EQUAL_FATAL(queued_enqueue(0, false), CAIRN_OK);
    for (size_t i = 0; i < 5; ++i)
        queued_put("b", "2");
    cairn_err_t err = queued_enqueue(1, false);
    /* the writer may have taken the first one by itself: alone a batch always passes */
    if (err != CAIRN_OK) {
        CU_ASSERT_EQUAL(err, CAIRN_ERR_QUEUE_FULL);
        cairn_store_wake(f.store);
        waiter_take(&queued.waiter, 1);
        do
            err = queued_enqueue(1, false);
        while (err == CAIRN_ERR_QUEUE_FULL);
        cairn_store_wake(f.store);
        waiter_take(&queued.waiter, 5);
    } else {
        queued_finish();
    }
    CU_ASSERT(fixture_has(&f, "b", "2"));
    queued_end();
    fixture_dispose(&f);
}

static void expiry(void)
{
    fixture_t f;
    fixture_start_sized(&f, FIXTURE_SEGMENT_BYTES);
    queued_begin(&f);
    queued_put("k", "short")->ttl_ms = 1;
    cairn_write_t *now = queued_get("k");
    CU_ASSERT_EQUAL_FATAL(queued_run(true), CAIRN_OK);
    CU_ASSERT_EQUAL(now->err, CAIRN_OK);
    queued_end();
    uint64_t due = cairn_store_now_ms(f.store) + 2;
    while (cairn_store_now_ms(f.store) < due)
        ;
    queued_begin(&f);
    cairn_write_t *later = queued_get("k"), *created = queued_put("k", "new");
    CU_ASSERT_EQUAL_FATAL(queued_run(false), CAIRN_OK);
    CU_ASSERT_EQUAL(later->err, CAIRN_ERR_NOT_FOUND);
    CU_ASSERT_FALSE(created->existed);
    queued_end();
    fixture_dispose(&f);
}

/* ---------------------------------------------------------------- reading side by side */

typedef struct st_read_job_t {
    cairn_job_t super;
    fixture_t *f;
    waiter_t *waiter;
    cairn_write_t *write; /* only to wake the waiter */
    size_t right;
} read_job_t;

static void read_cold(cairn_job_t *super)
{
    read_job_t *job = (read_job_t *)super;
    for (size_t i = 0; i < 100; ++i) {
        char text_of[16];
        cairn_value_t value;
        int n = snprintf(text_of, sizeof(text_of), "k%zu", i);
        cairn_key_t key = cairn_store_key(job->f->store, text_of, (size_t)n);
        cairn_store_warm(job->f->store, &key, true);
        if (cairn_store_get_waiting(job->f->store, &key, &value) == CAIRN_OK &&
            value.count == (size_t)n && memcmp(value.bytes, text_of, (size_t)n) == 0)
            ++job->right;
    }
    job->waiter->sink.on_done(&job->waiter->sink, job->write);
}

static void side_by_side(void)
{
    char names[CAIRN_GET_BATCH_MAX][16];
    cairn_key_t keys[CAIRN_GET_BATCH_MAX];
    cairn_value_t values[CAIRN_GET_BATCH_MAX];
    cairn_err_t errs[CAIRN_GET_BATCH_MAX];
    fixture_t f;
    fixture_init(&f, TEMP_DIR_ON_DISK);
    CU_ASSERT_EQUAL_FATAL(fixture_open(&f), CAIRN_OK);
    for (size_t i = 0; i < 100; ++i) {
        char name[16];
        snprintf(name, sizeof(name), "k%zu", i);
        fixture_put(&f, name, name);
    }
    for (size_t i = 0; i < CAIRN_GET_BATCH_MAX; ++i) {
        snprintf(names[i], sizeof(names[i]), "%s%zu", i % 3 == 0 ? "none" : "k", i);
        keys[i] = cairn_store_key(f.store, names[i], strlen(names[i]));
    }
    cairn_store_get_batch(f.store, CAIRN_GET_BATCH_MAX, keys, values, errs);
    for (size_t i = 0; i < CAIRN_GET_BATCH_MAX; ++i) {
        CU_ASSERT_EQUAL(errs[i], i % 3 == 0 ? CAIRN_ERR_NOT_FOUND : CAIRN_OK);
        if (errs[i] == CAIRN_OK)
            CU_ASSERT(values[i].count == keys[i].count &&
                      memcmp(values[i].bytes, names[i], values[i].count) == 0);
    }
    cairn_store_get_batch(f.store, 0, keys, values, errs);
    fixture_drop_caches(&f);
    queued_begin(&f);
    read_job_t job = {
        .super.run = read_cold, .f = &f, .waiter = &queued.waiter, .write = queued_get("k1")};
    cairn_store_run(f.store, &job.super);
    waiter_take(&queued.waiter, 1);
    CU_ASSERT_EQUAL(job.right, 100);
    queued_end();
    fixture_dispose(&f);
}

void suite_batch(void)
{
    CU_pSuite s = CU_add_suite("batch: many operations queued as one", NULL, NULL);
    CU_add_test(s, "operations see the ones before them", in_order);
    CU_add_test(s, "in an atomic batch too", in_order_atomic);
    CU_add_test(s, "large values are appended to within one commit", large_values);
    CU_add_test(s, "each operation has its own answer", own_answers);
    CU_add_test(s, "an atomic batch fails whole, wherever it fails", each_position_fails);
    CU_add_test(s, "one that fails leaves no trace in a shared commit", failure_among_others);
    CU_add_test(s, "an atomic batch of gets needs no commit", atomic_gets);
    CU_add_test(s, "atomic batches stay whole across segments", across_segments);
    CU_add_test(s, "what does not fit a segment is refused whole", too_large);
    CU_add_test(s, "ten thousand operations are one commit", one_commit);
    CU_add_test(s, "a batch counts in the queue", queue_limits);
    CU_add_test(s, "expiry", expiry);
    CU_add_test(s, "gets side by side, and cold ones", side_by_side);
}
