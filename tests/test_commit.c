/*
 * What do writes see of each other that are decided in one commit, and who is told what?
 */
#include "tests/store_fixture.h"

#include <stdio.h>

#include <CUnit/CUnit.h>

#include "tests/fault_os.h"
#include "tests/suites.h"

static const cairn_bytes_t nothing;

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
    fixture_start(&f, TEMP_DIR_IN_MEMORY);
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
    fixture_start(&f, TEMP_DIR_IN_MEMORY);
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
    fixture_start(&f, TEMP_DIR_IN_MEMORY);
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
    cairn_err_t expected[] = {
        CAIRN_OK, CAIRN_OK, CAIRN_OK, CAIRN_ERR_QUEUE_FULL, CAIRN_OK, CAIRN_ERR_QUEUE_FULL};
    for (int i = 0; i < 6; ++i) {
        if (i == 4) /* one more than before */
            cairn_store_set_queue_max(f.store, 4, 4096);
        cairn_write_t *write =
            fixture_frame(&waiter, CAIRN_WRITE_PUT, text("k"), text("v"), CAIRN_SYNC);
        CU_ASSERT_PTR_NOT_NULL_FATAL(write);
        cairn_err_t err = cairn_store_submit(f.store, write);
        CU_ASSERT_EQUAL(err, expected[i]);
        if (err != CAIRN_OK)
            cairn_write_destroy(write);
    }
    gate_open(&gate);
    for (cairn_write_t *w = waiter_take(&waiter, 4), *next; w != NULL; w = next) {
        next = w->next;
        cairn_write_destroy(w);
    }
    /* there is room again, also for one that is larger than the whole queue: alone it may pass */
    CU_ASSERT_EQUAL(fixture_put_filled(&f, text("large"), 10000, 1, CAIRN_SYNC).err, CAIRN_OK);
    CU_ASSERT(fixture_has_filled(&f, text("large"), 10000, 1));
    waiter_dispose(&waiter);
    fixture_dispose(&f);
}

void suite_commit(void)
{
    CU_pSuite s = CU_add_suite("commit: many writes in one", NULL, NULL);
    CU_add_test(s, "a commit sees its own earlier writes", a_commit_sees_its_own_writes);
    CU_add_test(s, "sync and async writes of one key in one commit", sync_and_async_in_one_commit);
    CU_add_test(s, "what a failed commit decided is not answered",
                what_a_failed_commit_decided_is_not_answered);
    CU_add_test(s, "answers go to the sink that asked", answers_go_to_the_sink_that_asked);
    CU_add_test(s, "a full queue refuses, an empty one takes anything", a_full_queue_refuses);
}
