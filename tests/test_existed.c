/*
 * Is a write told rightly whether its key had a value, though nobody looked before it was applied?
 *
 * A plain put is decided without a look at the index, and what its submitter saw may be out of date
 * by then. Every sequence of a few writes to one key, in one commit, is held against a model.
 */
#include "tests/store_fixture.h"

#include <CUnit/CUnit.h>

#include "tests/suites.h"

#define OPS 3

static const cairn_bytes_t nothing;

/* what the key has before the commit */
typedef enum en_before_t { ABSENT, PRESENT, EXPIRED, BEFORE_COUNT } before_t;

typedef struct st_kind_t {
    cairn_write_op_t op;
    cairn_durability_t durability;
    uint64_t ttl_ms;
} kind_t;

static const kind_t kinds[] = {
    {CAIRN_WRITE_PUT, CAIRN_SYNC, 0},     {CAIRN_WRITE_PUT, CAIRN_ASYNC, 0},
    {CAIRN_WRITE_PUT, CAIRN_SYNC, 60000}, {CAIRN_WRITE_PUT, CAIRN_ASYNC, 60000},
    {CAIRN_WRITE_DELETE, CAIRN_SYNC, 0},  {CAIRN_WRITE_DELETE, CAIRN_ASYNC, 0},
    {CAIRN_WRITE_INCR, CAIRN_SYNC, 0},
};
#define KINDS (sizeof(kinds) / sizeof(kinds[0]))

static void wait_until_expired(fixture_t *f, const char *key)
{
    while (!fixture_has(f, key, NULL))
        cairn_thread_quiescent();
}

static cairn_write_t *write_one(fixture_t *f, waiter_t *waiter, const char *key, const kind_t *kind)
{
    uint64_t loc;
    bool is_put = kind->op == CAIRN_WRITE_PUT;
    cairn_write_t *write =
        fixture_frame(waiter, kind->op, text(key), is_put ? text("7") : nothing, kind->durability);
    CU_ASSERT_PTR_NOT_NULL_FATAL(write);
    write->ttl_ms = kind->ttl_ms;
    write->by = 1;
    CU_ASSERT_EQUAL(cairn_store_peek_write(f->store, write, false, &loc), CAIRN_OK);
    return write;
}

static void prepare(fixture_t *f, waiter_t *waiter, const char *key, before_t before)
{
    kind_t kind = {CAIRN_WRITE_PUT, CAIRN_SYNC, before == EXPIRED ? 1 : 0};
    if (before == ABSENT)
        return;
    cairn_write_t *write = write_one(f, waiter, key, &kind);
    CU_ASSERT_EQUAL_FATAL(cairn_store_submit(f->store, write), CAIRN_OK);
    waiter_take(waiter, 1);
    cairn_write_destroy(write);
    if (before == EXPIRED)
        wait_until_expired(f, key);
}

/* `code` says the kinds, a digit each; `is_batched` has them decided in one commit */
static void run_sequence(fixture_t *f, waiter_t *waiter, size_t code, before_t before,
                         bool is_batched)
{
    char key[32];
    cairn_write_t *writes[OPS];
    bool exists = before == PRESENT;
    snprintf(key, sizeof(key), "%zu-%d-%d", code, (int)before, is_batched);
    prepare(f, waiter, key, before);
    for (size_t i = 0, rest = code; i < OPS; ++i, rest /= KINDS)
        writes[i] = write_one(f, waiter, key, &kinds[rest % KINDS]);
    for (size_t i = 0; i < OPS; ++i)
        writes[i]->next = i + 1 < OPS ? writes[i + 1] : NULL;
    if (is_batched) {
        CU_ASSERT_EQUAL_FATAL(cairn_store_enqueue_batch(f->store, writes[0], false), CAIRN_OK);
        cairn_store_wake(f->store);
    } else {
        for (size_t i = 0; i < OPS; ++i)
            CU_ASSERT_EQUAL_FATAL(cairn_store_submit(f->store, writes[i]), CAIRN_OK);
    }
    waiter_take(waiter, OPS);
    for (size_t i = 0; i < OPS; ++i) {
        bool is_delete = writes[i]->op == CAIRN_WRITE_DELETE;
        CU_ASSERT_EQUAL(writes[i]->err, is_delete && !exists ? CAIRN_ERR_NOT_FOUND : CAIRN_OK);
        CU_ASSERT_EQUAL(writes[i]->existed, exists);
        exists = !is_delete;
        cairn_write_destroy(writes[i]);
    }
    CU_ASSERT_EQUAL(fixture_has(f, key, NULL), !exists);
}

static void every_sequence(void)
{
    fixture_t f;
    waiter_t waiter;
    size_t count = 1;
    for (size_t i = 0; i < OPS; ++i)
        count *= KINDS;
    fixture_init(&f, TEMP_DIR_IN_MEMORY);
    CU_ASSERT_EQUAL_FATAL(fixture_open(&f), CAIRN_OK);
    waiter_init(&waiter);
    for (int before = 0; before < BEFORE_COUNT; ++before)
        for (size_t code = 0; code < count; ++code)
            for (int is_batched = 0; is_batched < 2; ++is_batched)
                run_sequence(&f, &waiter, code, (before_t)before, is_batched != 0);
    waiter_dispose(&waiter);
    fixture_dispose(&f);
}

/* the record that was seen has gone, and another of the same key has come, before the put is
 * decided */
static void seen_out_of_date(void)
{
    fixture_t f;
    waiter_t waiter;
    gate_t gate;
    static const kind_t put = {CAIRN_WRITE_PUT, CAIRN_SYNC, 0};
    static const kind_t del = {CAIRN_WRITE_DELETE, CAIRN_SYNC, 0};
    fixture_init(&f, TEMP_DIR_IN_MEMORY);
    CU_ASSERT_EQUAL_FATAL(fixture_open(&f), CAIRN_OK);
    waiter_init(&waiter);
    fixture_put(&f, "k", "one");
    cairn_write_t *late[2] = {write_one(&f, &waiter, "k", &put), write_one(&f, &waiter, "k", &put)};
    cairn_write_t *gone = write_one(&f, &waiter, "k", &del);
    CU_ASSERT_EQUAL_FATAL(cairn_store_submit(f.store, gone), CAIRN_OK);
    waiter_take(&waiter, 1);
    gate_close(&gate, &f);
    CU_ASSERT_EQUAL_FATAL(cairn_store_submit(f.store, late[0]), CAIRN_OK);
    gate_open(&gate);
    waiter_take(&waiter, 1);
    CU_ASSERT_EQUAL_FATAL(cairn_store_submit(f.store, late[1]), CAIRN_OK);
    waiter_take(&waiter, 1);
    CU_ASSERT(gone->existed);
    CU_ASSERT_FALSE(late[0]->existed);
    CU_ASSERT(late[1]->existed);
    CU_ASSERT(fixture_has(&f, "k", "7"));
    cairn_write_destroy(gone);
    for (size_t i = 0; i < 2; ++i)
        cairn_write_destroy(late[i]);
    waiter_dispose(&waiter);
    cairn_store_stats_t stats;
    cairn_store_stats(f.store, &stats);
    CU_ASSERT_EQUAL(stats.keys, 2); /* and the gate's */
    fixture_restart(&f);
    fixture_dispose(&f);
}

void suite_existed(void)
{
    CU_pSuite s = CU_add_suite("existed: was there a value before?", NULL, NULL);
    CU_add_test(s, "every sequence of three writes to a key", every_sequence);
    CU_add_test(s, "what was seen is out of date", seen_out_of_date);
}
