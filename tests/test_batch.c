/*
 * Do operations queued as one see each other, share a commit, and happen whole or not at all?
 */
#include "tests/store_fixture.h"

#include <CUnit/CUnit.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "storage/record.h"
#include "tests/fault_os.h"
#include "tests/suites.h"

#define OPS_MAX 16384

#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
#define STRIDE 40
#else
#define STRIDE 8
#endif

static const cairn_bytes_t nothing;

/* a batch under construction, then what became of it */
typedef struct st_batch_t {
    fixture_t *f;
    waiter_t waiter;
    cairn_durability_t durability;
    size_t count;
    cairn_write_t *ops[OPS_MAX];
} batch_t;

static batch_t batch; /* large; tests run one after the other */

static void begin(fixture_t *f)
{
    memset(&batch, 0, sizeof(batch));
    batch.f = f;
    waiter_init(&batch.waiter);
}

static cairn_write_t *add(cairn_write_op_t op, const char *key, cairn_bytes_t value)
{
    cairn_write_t *write = fixture_frame(&batch.waiter, op, text(key), value, batch.durability);
    CU_ASSERT_PTR_NOT_NULL_FATAL(write);
    batch.ops[batch.count++] = write;
    return write;
}

static cairn_write_t *put(const char *key, const char *value)
{
    return add(CAIRN_WRITE_PUT, key, text(value));
}

static cairn_write_t *get(const char *key)
{
    return add(CAIRN_WRITE_GET, key, nothing);
}

/* queues the operations from `from` on as one batch */
static cairn_err_t queue(size_t from, bool is_atomic)
{
    for (size_t i = from; i < batch.count; ++i)
        batch.ops[i]->next = i + 1 < batch.count ? batch.ops[i + 1] : NULL;
    return cairn_store_enqueue_batch(batch.f->store, batch.ops[from], is_atomic);
}

static void finish(void)
{
    cairn_store_wake(batch.f->store);
    waiter_take(&batch.waiter, batch.count);
}

static cairn_err_t run(bool is_atomic)
{
    cairn_err_t err = queue(0, is_atomic);
    if (err == CAIRN_OK)
        finish();
    return err;
}

static void end(void)
{
    for (size_t i = 0; i < batch.count; ++i)
        cairn_write_destroy(batch.ops[i]);
    waiter_dispose(&batch.waiter);
}

static bool got(const cairn_write_t *write, cairn_bytes_t expected)
{
    cairn_value_t value;
    return write->err == CAIRN_OK &&
           cairn_write_value(batch.f->store, write, false, &value) == CAIRN_OK &&
           value.count == expected.count && value.version == write->version &&
           (value.count == 0 || memcmp(value.bytes, expected.base, value.count) == 0);
}

static bool got_text(const cairn_write_t *write, const char *expected)
{
    return got(write, text(expected));
}

static void start(fixture_t *f, uint64_t segment_bytes)
{
    fixture_init(f, TEMP_DIR_IN_MEMORY);
    f->options.segment_bytes = segment_bytes;
    cairn_err_t err = fixture_open(f);
    if (err != CAIRN_OK)
        fprintf(stderr, "\n%s\n", f->errmsg);
    CU_ASSERT_EQUAL_FATAL(err, CAIRN_OK);
}

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
    start(&f, FIXTURE_SEGMENT_BYTES);
    fixture_put(&f, "old", "there");
    begin(&f);
    cairn_write_t *first = get("a");
    put("a", "one");
    cairn_write_t *second = get("a");
    add(CAIRN_WRITE_APPEND, "a", text("two"));
    cairn_write_t *third = get("a");
    cairn_write_t *sum = add(CAIRN_WRITE_INCR, "n", nothing);
    sum->by = 41;
    cairn_write_t *sums = add(CAIRN_WRITE_INCR, "n", nothing);
    cairn_write_t *number = get("n");
    cairn_write_t *gone = add(CAIRN_WRITE_DELETE, "a", nothing);
    cairn_write_t *fourth = get("a");
    cairn_write_t *again = put("a", "three");
    again->conditions = &must_be_absent;
    cairn_write_t *old = get("old");
    CU_ASSERT_EQUAL_FATAL(run(is_atomic), CAIRN_OK);
    CU_ASSERT_EQUAL(first->err, CAIRN_ERR_NOT_FOUND);
    CU_ASSERT(got_text(second, "one"));
    CU_ASSERT(got_text(third, "onetwo"));
    CU_ASSERT_EQUAL(sum->number, 41);
    CU_ASSERT_EQUAL(sums->number, 42);
    CU_ASSERT(got_text(number, "42"));
    CU_ASSERT(gone->existed);
    CU_ASSERT_EQUAL(fourth->err, CAIRN_ERR_NOT_FOUND);
    CU_ASSERT_EQUAL(again->err, CAIRN_OK);
    CU_ASSERT_FALSE(again->existed);
    CU_ASSERT(got_text(old, "there"));
    CU_ASSERT_EQUAL(again->version, 7);
    end();
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
        start(&f, (uint64_t)1 << 20);
        for (size_t i = 0; i < sizeof(bytes); ++i)
            bytes[i] = (char)('a' + i * i % 26);
        uint64_t before = commits(&f);
        begin(&f);
        add(CAIRN_WRITE_PUT, "k", (cairn_bytes_t){bytes, LARGE});
        for (size_t i = 0; i < PIECES; ++i)
            add(CAIRN_WRITE_APPEND, "k", (cairn_bytes_t){bytes + LARGE + i * PIECE, PIECE});
        cairn_write_t *whole = get("k");
        CU_ASSERT_EQUAL_FATAL(run(is_atomic != 0), CAIRN_OK);
        CU_ASSERT(got(whole, (cairn_bytes_t){bytes, sizeof(bytes)}));
        CU_ASSERT(is_one_commit(&f, before));
        end();
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
    start(&f, FIXTURE_SEGMENT_BYTES);
    begin(&f);
    put("a", "text");
    cairn_write_t *missing = add(CAIRN_WRITE_DELETE, "missing", nothing);
    cairn_write_t *no_number = add(CAIRN_WRITE_INCR, "a", nothing);
    cairn_write_t *refused = put("a", "other");
    refused->conditions = &must_be_absent;
    cairn_write_t *last = put("b", "text");
    CU_ASSERT_EQUAL_FATAL(run(false), CAIRN_OK);
    CU_ASSERT_EQUAL(missing->err, CAIRN_ERR_NOT_FOUND);
    CU_ASSERT_EQUAL(no_number->err, CAIRN_ERR_NOT_A_NUMBER);
    CU_ASSERT_EQUAL(refused->err, CAIRN_ERR_PRECONDITION);
    CU_ASSERT_EQUAL(refused->version, 1);
    CU_ASSERT_EQUAL(last->version, 2);
    end();
    CU_ASSERT(fixture_has(&f, "a", "text"));
    fixture_dispose(&f);
}

/* ---------------------------------------------------------------- all or nothing */

static void each_position_fails(void)
{
    enum { COUNT = 6 };
    fixture_t f;
    start(&f, FIXTURE_SEGMENT_BYTES);
    fixture_put(&f, "k2", "before");
    for (size_t failing = 0; failing < COUNT; ++failing) {
        uint64_t records_before = records(&f);
        uint64_t version = cairn_store_last_version(f.store);
        begin(&f);
        for (size_t i = 0; i < COUNT; ++i) {
            char key[8];
            snprintf(key, sizeof(key), "k%zu", i);
            cairn_write_t *write = i == 4 ? get(key) : put(key, "after");
            if (i == failing)
                write->conditions = i == 2 ? &must_be_absent : &must_be_there;
        }
        CU_ASSERT_EQUAL_FATAL(run(true), CAIRN_OK);
        for (size_t i = 0; i < COUNT; ++i)
            CU_ASSERT_EQUAL(batch.ops[i]->err,
                            i == failing ? CAIRN_ERR_PRECONDITION : CAIRN_ERR_ABORTED);
        end();
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
    start(&f, FIXTURE_SEGMENT_BYTES);
    begin(&f);
    put("x", "1");
    CU_ASSERT_EQUAL_FATAL(queue(0, false), CAIRN_OK);
    add(CAIRN_WRITE_APPEND, "x", text("batch"));
    add(CAIRN_WRITE_DELETE, "x", nothing);
    put("y", "batch");
    add(CAIRN_WRITE_DELETE, "missing", nothing);
    CU_ASSERT_EQUAL_FATAL(queue(1, true), CAIRN_OK);
    cairn_write_t *x = get("x");
    cairn_write_t *y = put("y", "2");
    y->conditions = &must_be_absent;
    CU_ASSERT_EQUAL_FATAL(queue(5, true), CAIRN_OK);
    finish();
    CU_ASSERT_EQUAL(batch.ops[1]->err, CAIRN_ERR_ABORTED);
    CU_ASSERT_EQUAL(batch.ops[4]->err, CAIRN_ERR_NOT_FOUND);
    CU_ASSERT(got_text(x, "1"));
    CU_ASSERT_EQUAL(y->err, CAIRN_OK);
    CU_ASSERT_EQUAL(y->version, 2);
    end();
    fixture_restart(&f);
    CU_ASSERT(fixture_has(&f, "x", "1"));
    CU_ASSERT(fixture_has(&f, "y", "2"));
    fixture_dispose(&f);
}

static void atomic_gets(void)
{
    fixture_t f;
    start(&f, FIXTURE_SEGMENT_BYTES);
    fixture_put(&f, "a", "1");
    begin(&f);
    cairn_write_t *a = get("a"), *missing = get("missing");
    uint64_t before = records(&f);
    CU_ASSERT_EQUAL_FATAL(run(true), CAIRN_OK);
    CU_ASSERT(got_text(a, "1"));
    CU_ASSERT_EQUAL(missing->err, CAIRN_ERR_NOT_FOUND);
    CU_ASSERT_EQUAL(records(&f), before);
    end();
    begin(&f);
    get("a");
    get("a")->conditions = &must_be_absent;
    CU_ASSERT_EQUAL_FATAL(run(true), CAIRN_OK);
    CU_ASSERT_EQUAL(batch.ops[0]->err, CAIRN_ERR_ABORTED);
    CU_ASSERT_EQUAL(batch.ops[1]->err, CAIRN_ERR_PRECONDITION);
    end();
    fixture_dispose(&f);
}

static void across_segments(void)
{
    enum { BATCHES = 60, KEYS = 10 };
    static char value[1500];
    fixture_t f;
    start(&f, FIXTURE_SEGMENT_BYTES);
    for (size_t n = 0; n < BATCHES; ++n) {
        begin(&f);
        memset(value, 'a' + (int)(n % 26), sizeof(value) - 1);
        for (size_t i = 0; i < KEYS; ++i) {
            char key[16];
            snprintf(key, sizeof(key), "%zu-%zu", n, i);
            put(key, value);
        }
        CU_ASSERT_EQUAL_FATAL(run(true), CAIRN_OK);
        for (size_t i = 0; i < KEYS; ++i)
            CU_ASSERT_EQUAL(batch.ops[i]->err, CAIRN_OK);
        end();
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
    start(&f, FIXTURE_SEGMENT_BYTES);
    begin(&f);
    for (size_t i = 0; i < 4; ++i)
        put("k", value);
    CU_ASSERT_EQUAL(queue(0, true), CAIRN_ERR_TOO_LARGE);
    end();
    fixture_put(&f, "k", value);
    for (size_t shared = 0; shared < 2; ++shared) {
        begin(&f);
        if (shared != 0) {
            put("other", "1");
            CU_ASSERT_EQUAL_FATAL(queue(0, false), CAIRN_OK);
        }
        for (size_t i = 0; i < 5; ++i)
            add(CAIRN_WRITE_APPEND, "k", text("x"));
        CU_ASSERT_EQUAL_FATAL(queue(shared, true), CAIRN_OK);
        finish();
        for (size_t i = shared; i < batch.count; ++i)
            CU_ASSERT_EQUAL(batch.ops[i]->err, CAIRN_ERR_TOO_LARGE);
        end();
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
        start(&f, (uint64_t)64 << 20);
        uint64_t before = commits(&f);
        begin(&f);
        for (size_t i = 0; i < 10000; ++i) {
            char key[16];
            snprintf(key, sizeof(key), "k%zu", i);
            put(key, value);
        }
        CU_ASSERT_EQUAL_FATAL(run(is_atomic != 0), CAIRN_OK);
        for (size_t i = 0; i < batch.count; ++i)
            if (batch.ops[i]->err != CAIRN_OK || batch.ops[i]->version != i + 1)
                CU_FAIL("an operation failed or has a version that is not its own");
        CU_ASSERT(is_one_commit(&f, before));
        CU_ASSERT_EQUAL(batch.waiter.calls, 1);
        end();
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
    begin(&f);
    put("a", "1");
    CU_ASSERT_EQUAL_FATAL(queue(0, false), CAIRN_OK);
    for (size_t i = 0; i < 5; ++i)
        put("b", "2");
    cairn_err_t err = queue(1, false);
    /* the writer may have taken the first one by itself: alone a batch always passes */
    if (err != CAIRN_OK) {
        CU_ASSERT_EQUAL(err, CAIRN_ERR_QUEUE_FULL);
        cairn_store_wake(f.store);
        waiter_take(&batch.waiter, 1);
        do
            err = queue(1, false);
        while (err == CAIRN_ERR_QUEUE_FULL);
        cairn_store_wake(f.store);
        waiter_take(&batch.waiter, 5);
    } else {
        finish();
    }
    CU_ASSERT(fixture_has(&f, "b", "2"));
    end();
    fixture_dispose(&f);
}

static void expiry(void)
{
    fixture_t f;
    start(&f, FIXTURE_SEGMENT_BYTES);
    begin(&f);
    put("k", "short")->ttl_ms = 1;
    cairn_write_t *now = get("k");
    CU_ASSERT_EQUAL_FATAL(run(true), CAIRN_OK);
    CU_ASSERT_EQUAL(now->err, CAIRN_OK);
    end();
    uint64_t due = cairn_store_now_ms(f.store) + 2;
    while (cairn_store_now_ms(f.store) < due)
        ;
    begin(&f);
    cairn_write_t *later = get("k"), *created = put("k", "new");
    CU_ASSERT_EQUAL_FATAL(run(false), CAIRN_OK);
    CU_ASSERT_EQUAL(later->err, CAIRN_ERR_NOT_FOUND);
    CU_ASSERT_FALSE(created->existed);
    end();
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
    begin(&f);
    read_job_t job = {.super.run = read_cold, .f = &f, .waiter = &batch.waiter, .write = get("k1")};
    cairn_store_run(f.store, &job.super);
    waiter_take(&batch.waiter, 1);
    CU_ASSERT_EQUAL(job.right, 100);
    end();
    fixture_dispose(&f);
}

/* ---------------------------------------------------------------- crashes */

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
    begin(f);
    batch.durability = durability;
    for (size_t i = 0; i < CRASH_KEYS; ++i) {
        char key[8];
        snprintf(key, sizeof(key), "k%zu", i);
        put(key, value);
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
                if (run(true) == CAIRN_OK && batch.ops[0]->err == CAIRN_OK)
                    acknowledged = i;
                for (size_t k = 1; k < CRASH_KEYS; ++k)
                    CU_ASSERT_EQUAL(batch.ops[k]->err, batch.ops[0]->err);
                end();
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
    start(&f, FIXTURE_SEGMENT_BYTES);
    put_all(&f, 1, CAIRN_ASYNC);
    CU_ASSERT_EQUAL_FATAL(run(true), CAIRN_OK);
    end();
    uint64_t from = end_after(&f, 4096);
    put_all(&f, 2, CAIRN_ASYNC);
    CU_ASSERT_EQUAL_FATAL(run(true), CAIRN_OK);
    end();
    uint64_t last = end_after(&f, from);
    CU_ASSERT_FATAL(fixture_segment_name(&f, 0, name));
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
        start(&f, FIXTURE_SEGMENT_BYTES);
        put_all(&f, 1, CAIRN_SYNC);
        CU_ASSERT_EQUAL_FATAL(run(true), CAIRN_OK);
        end();
        fault_os_wait_until_quiet();
        fault_os_fail(cases[c].function, 1, cases[c].error, false);
        put_all(&f, 2, CAIRN_SYNC);
        get("k1");
        CU_ASSERT_EQUAL_FATAL(run(true), CAIRN_OK);
        for (size_t i = 0; i < batch.count; ++i)
            CU_ASSERT_EQUAL(batch.ops[i]->err, cases[c].err);
        end();
        CU_ASSERT(is_whole(&f, &n));
        CU_ASSERT_EQUAL(n, 1);
        fixture_close(&f);
        fault_os_remove();
        CU_ASSERT_EQUAL_FATAL(fixture_open(&f), CAIRN_OK);
        CU_ASSERT(is_whole(&f, &n));
        fixture_dispose(&f);
    }
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
    CU_add_test(s, "the process dies anywhere in atomic batches", dies_anywhere);
    CU_add_test(s, "a torn atomic batch is none", torn_anywhere);
    CU_add_test(s, "the disk fails under an atomic batch", disk_fails);
}
