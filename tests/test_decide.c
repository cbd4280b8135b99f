/*
 * Is a write decided by what its key has at that very moment: in the index, or by what the writes
 * before it in the same commit will have done?
 */
#include <CUnit/CUnit.h>

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "storage/os.h"
#include "tests/ask.h"
#include "tests/fault_os.h"
#include "tests/seed.h"
#include "tests/suites.h"

#define KIB ((size_t)1024)

/* ---------------------------------------------------------------- conditions */

static void conditions_see_the_index(void)
{
    fixture_t f;
    fixture_start_sized(&f, FIXTURE_SEGMENT_BYTES);
    static const cairn_write_op_t ops[] = {CAIRN_WRITE_PUT, CAIRN_WRITE_DELETE, CAIRN_WRITE_INCR,
                                           CAIRN_WRITE_APPEND};
    for (size_t i = 0; i < sizeof(ops) / sizeof(ops[0]); ++i) {
        char key[8];
        snprintf(key, sizeof(key), "k%zu", i);
        ask_t ask = {.op = ops[i], .key = key, .value = text("2"), .by = 1};
        cairn_conditions_t stale = ask_if_match(1000000);
        /* nothing there */
        ask.conditions = &ask_if_match_any;
        ask_t out = ask_alone(&f, ask);
        CU_ASSERT_EQUAL(out.err, CAIRN_ERR_PRECONDITION);
        CU_ASSERT_FALSE(out.existed);
        CU_ASSERT_EQUAL(out.version, 0);

        uint64_t version = ask_put(&f, key, "1", 0).version;
        cairn_conditions_t fresh = ask_if_match(version);
        const cairn_conditions_t *failing[] = {&stale, &ask_if_none};
        for (size_t j = 0; j < 2; ++j) {
            ask.conditions = failing[j];
            out = ask_alone(&f, ask);
            CU_ASSERT_EQUAL(out.err, CAIRN_ERR_PRECONDITION);
            CU_ASSERT(out.existed);
            CU_ASSERT_EQUAL(out.version, version);
            CU_ASSERT(fixture_has(&f, key, "1"));
        }
        ask.conditions = &fresh;
        out = ask_alone(&f, ask);
        CU_ASSERT_EQUAL(out.err, CAIRN_OK);
        CU_ASSERT(out.version > version);
        /* what has changed is not met again */
        ask.conditions = &fresh;
        CU_ASSERT_EQUAL(ask_alone(&f, ask).err, CAIRN_ERR_PRECONDITION);
    }
    CU_ASSERT(fixture_has(&f, "k0", "2"));
    CU_ASSERT(fixture_has(&f, "k1", NULL));
    CU_ASSERT(fixture_has(&f, "k2", "2"));
    CU_ASSERT(fixture_has(&f, "k3", "12"));
    fixture_dispose(&f);
}

static void conditions_see_the_commit(void)
{
    fixture_t f;
    ask_t asks[11];
    fixture_start_sized(&f, FIXTURE_SEGMENT_BYTES);
    for (int round = 0; round < 2; ++round) {
        cairn_durability_t durability = round == 0 ? CAIRN_SYNC : CAIRN_ASYNC;
        uint64_t first = cairn_store_last_version(f.store) + 2; /* after the gate's */
        cairn_conditions_t is_first = ask_if_match(first), is_second = ask_if_match(first + 1);
        for (size_t i = 0; i < 11; ++i)
            asks[i] = (ask_t){.op = CAIRN_WRITE_PUT,
                              .key = round ? "b" : "a",
                              .value = text(&"0123456789x"[i]),
                              .durability = durability};
        asks[0].conditions = &ask_if_none;
        asks[1].conditions = &ask_if_none; /* the first one won */
        asks[2].conditions = &is_first;
        asks[3].conditions = &is_first; /* again */
        asks[4].conditions = &is_second;
        asks[4].op = CAIRN_WRITE_DELETE;
        asks[5].conditions = &ask_if_match_any;
        asks[6].op = CAIRN_WRITE_DELETE;
        asks[7].conditions = &ask_if_none;
        asks[8].conditions = &ask_if_none;
        asks[9].op = CAIRN_WRITE_APPEND;
        asks[9].value = text("!");
        asks[9].conditions = &ask_if_match_any;
        asks[10].op = CAIRN_WRITE_APPEND;
        asks[10].conditions = &is_first;
        CU_ASSERT(ask_together(&f, asks, 11) <= 2);
        static const struct {
            cairn_err_t err;
            bool existed;
            int version; /* beyond the first; -1 for none */
        } expected[] = {{CAIRN_OK, false, 0},
                        {CAIRN_ERR_PRECONDITION, true, 0},
                        {CAIRN_OK, true, 1},
                        {CAIRN_ERR_PRECONDITION, true, 1},
                        {CAIRN_OK, true, 2},
                        {CAIRN_ERR_PRECONDITION, false, -1},
                        {CAIRN_ERR_NOT_FOUND, false, -1},
                        {CAIRN_OK, false, 3},
                        {CAIRN_ERR_PRECONDITION, true, 3},
                        {CAIRN_OK, true, 4},
                        {CAIRN_ERR_PRECONDITION, true, 4}};
        for (size_t i = 0; i < 11; ++i) {
            CU_ASSERT_EQUAL(asks[i].err, expected[i].err);
            CU_ASSERT_EQUAL(asks[i].existed, expected[i].existed);
            CU_ASSERT_EQUAL(asks[i].version,
                            expected[i].version < 0 ? 0 : first + (uint64_t)expected[i].version);
        }
        fixture_restart(&f);
        CU_ASSERT(fixture_has(&f, round ? "b" : "a", "789x!"));
    }
    fixture_dispose(&f);
}

static void of_many_that_race_one_wins(void)
{
    static ask_t asks[1000];
    fixture_t f;
    fixture_start_sized(&f, 1024 * KIB);
    for (size_t i = 0; i < 1000; ++i)
        asks[i] = (ask_t){.op = CAIRN_WRITE_PUT,
                          .key = "k",
                          .value = text("v"),
                          .conditions = &ask_if_none,
                          .durability = i % 2 ? CAIRN_SYNC : CAIRN_ASYNC};
    CU_ASSERT(ask_together(&f, asks, 1000) <= 2);
    size_t won = 0;
    for (size_t i = 0; i < 1000; ++i) {
        won += asks[i].err == CAIRN_OK;
        CU_ASSERT(asks[i].err == CAIRN_OK || asks[i].err == CAIRN_ERR_PRECONDITION);
        CU_ASSERT_EQUAL(asks[i].version, 2);
    }
    CU_ASSERT_EQUAL(won, 1);
    CU_ASSERT_EQUAL(cairn_store_last_version(f.store), 2);
    fixture_dispose(&f);
}

/* ---------------------------------------------------------------- expiry */

static _Atomic uint64_t staged_ms;
static cairn_os_t staged_os;

static uint64_t now_staged(void)
{
    return staged_ms;
}

#define NOON UINT64_C(1700000000000)

/** a store that lives at NOON until `staged_ms` is set to another time */
static void start_at_noon(fixture_t *f)
{
    staged_os = cairn_os_real;
    staged_os.now_ms = now_staged;
    staged_ms = NOON;
    cairn_os = &staged_os;
    fixture_start_sized(f, FIXTURE_SEGMENT_BYTES);
}

static void end_of_day(fixture_t *f)
{
    fixture_dispose(f);
    cairn_os = &cairn_os_real;
}

static uint64_t expiry_of(fixture_t *f, const char *key)
{
    cairn_value_t value;
    return fixture_get(f, text(key), &value) == CAIRN_OK ? value.expiry_ms : 1;
}

static void what_has_expired_is_gone(void)
{
    static const char *const keys[] = {"get", "put", "delete", "incr", "append", "match", "none"};
    fixture_t f;
    start_at_noon(&f);
    for (size_t i = 0; i < 7; ++i)
        ask_put(&f, keys[i], "5", 1000);
    for (int round = 0; round < 2; ++round) {
        for (size_t i = 0; i < 7; ++i)
            CU_ASSERT_EQUAL(expiry_of(&f, keys[i]), NOON + 1000);
        fixture_restart(&f);
    }
    staged_ms = NOON + 999;
    CU_ASSERT(fixture_has(&f, "get", "5"));
    staged_ms = NOON + 1000;
    CU_ASSERT(fixture_has(&f, "get", NULL));
    CU_ASSERT_EQUAL(fixture_delete(&f, "delete").err, CAIRN_ERR_NOT_FOUND);
    ask_t ask = {.op = CAIRN_WRITE_PUT, .key = "match", .conditions = &ask_if_match_any};
    ask_t out = ask_alone(&f, ask);
    CU_ASSERT(out.err == CAIRN_ERR_PRECONDITION && !out.existed && out.version == 0);
    ask.key = "none";
    ask.conditions = &ask_if_none;
    out = ask_alone(&f, ask);
    CU_ASSERT(out.err == CAIRN_OK && !out.existed);
    CU_ASSERT_FALSE(ask_put(&f, "put", "6", 0).existed);
    out = ask_incr(&f, "incr", 1);
    CU_ASSERT(out.number == 1 && !out.existed);
    CU_ASSERT_FALSE(ask_append(&f, "append", "6", 1).existed);
    for (int round = 0; round < 2; ++round) {
        CU_ASSERT(fixture_has(&f, "get", NULL));
        CU_ASSERT(fixture_has(&f, "put", "6"));
        CU_ASSERT(fixture_has(&f, "delete", NULL));
        CU_ASSERT(fixture_has(&f, "incr", "1"));
        CU_ASSERT(fixture_has(&f, "append", "6"));
        CU_ASSERT(fixture_has(&f, "match", NULL));
        CU_ASSERT(fixture_has(&f, "none", ""));
        CU_ASSERT_EQUAL(expiry_of(&f, "incr"), 0);
        CU_ASSERT_EQUAL(expiry_of(&f, "append"), 0);
        fixture_restart(&f);
    }
    end_of_day(&f);
}

static void who_keeps_an_expiry(void)
{
    fixture_t f;
    uint8_t *noise = ask_noise(10000);
    start_at_noon(&f);
    ask_put(&f, "put", "1", 1000);
    ask_put(&f, "incr", "1", 1000);
    ask_put(&f, "append", "1", 1000);
    ask_put(&f, "incr anew", "1", 1000);
    ask_put(&f, "append anew", "1", 1000);
    staged_ms = NOON + 10;
    ask_put(&f, "put", "2", 0);
    ask_incr(&f, "incr", 1);
    ask_append(&f, "append", noise, 10000);
    ask_alone(&f, (ask_t){.op = CAIRN_WRITE_INCR, .key = "incr anew", .by = 1, .ttl_ms = 5000});
    ask_alone(&f, (ask_t){.op = CAIRN_WRITE_APPEND, .key = "append anew", .ttl_ms = 1});
    ask_t asks[] = {
        {.op = CAIRN_WRITE_PUT, .key = "one commit", .value = {noise, 5000}, .ttl_ms = 300},
        {.op = CAIRN_WRITE_APPEND, .key = "one commit", .value = {noise + 5000, 5000}},
        {.op = CAIRN_WRITE_INCR, .key = "counter", .by = 2, .ttl_ms = 300},
        {.op = CAIRN_WRITE_INCR, .key = "counter", .by = 2},
        {.op = CAIRN_WRITE_APPEND, .key = "counter", .value = text("0")},
    };
    ask_together(&f, asks, 5);
    for (int round = 0; round < 2; ++round) {
        CU_ASSERT_EQUAL(expiry_of(&f, "put"), 0);
        CU_ASSERT_EQUAL(expiry_of(&f, "incr"), NOON + 1000);
        CU_ASSERT_EQUAL(expiry_of(&f, "append"), NOON + 1000);
        CU_ASSERT_EQUAL(expiry_of(&f, "incr anew"), NOON + 10 + 5000);
        CU_ASSERT_EQUAL(expiry_of(&f, "append anew"), NOON + 10 + 1);
        CU_ASSERT_EQUAL(expiry_of(&f, "one commit"), NOON + 10 + 300);
        CU_ASSERT(ask_has_bytes(&f, "one commit", noise, 10000));
        CU_ASSERT_EQUAL(expiry_of(&f, "counter"), NOON + 10 + 300);
        CU_ASSERT(fixture_has(&f, "counter", "40"));
        fixture_restart(&f);
    }
    free(noise);
    end_of_day(&f);
}

static void a_clock_set_back_revives_nothing(void)
{
    fixture_t f;
    start_at_noon(&f);
    ask_put(&f, "k", "v", 1000);
    staged_ms = NOON + 2000;
    ask_put(&f, "later", "v", 0);
    staged_ms = NOON - 86400000;
    CU_ASSERT(fixture_has(&f, "k", NULL));
    CU_ASSERT_EQUAL(cairn_store_now_ms(f.store), NOON + 2000);
    CU_ASSERT_EQUAL(fixture_delete(&f, "k").err, CAIRN_ERR_NOT_FOUND);
    /* nor does a value live longer for it, or look older than it is */
    ask_put(&f, "k", "w", 500);
    CU_ASSERT_EQUAL(expiry_of(&f, "k"), NOON + 2500);
    for (int round = 0; round < 2; ++round) {
        fixture_restart(&f);
        CU_ASSERT_EQUAL(cairn_store_now_ms(f.store), NOON + 2000);
        cairn_value_t value;
        CU_ASSERT_EQUAL_FATAL(fixture_get(&f, text("k"), &value), CAIRN_OK);
        CU_ASSERT_EQUAL(value.written_ms, NOON + 2000);
    }
    staged_ms = NOON + 2500;
    CU_ASSERT(fixture_has(&f, "k", NULL));
    end_of_day(&f);
}

static void what_a_read_called_gone_stays_gone(void)
{
    fixture_t f;
    start_at_noon(&f);
    ask_put(&f, "k", "v", 1000);
    staged_ms = NOON + 2000;
    CU_ASSERT(fixture_has(&f, "k", NULL)); /* nothing is written after this */
    staged_ms = NOON + 500;
    CU_ASSERT(fixture_has(&f, "k", NULL));
    CU_ASSERT_FALSE(ask_put(&f, "k", "w", 0).existed);
    end_of_day(&f);
}

static void what_a_batch_called_gone_stays_gone(void)
{
    fixture_t f;
    cairn_value_t values[2];
    cairn_err_t errs[2];
    start_at_noon(&f);
    ask_put(&f, "k", "v", 1000);
    ask_put(&f, "stays", "v", 5000);
    const cairn_key_t keys[] = {cairn_store_key(f.store, "k", 1),
                                cairn_store_key(f.store, "stays", 5)};
    staged_ms = NOON + 2000;
    cairn_store_get_batch(f.store, 2, keys, values, errs);
    CU_ASSERT_EQUAL(errs[0], CAIRN_ERR_NOT_FOUND);
    CU_ASSERT_EQUAL(errs[1], CAIRN_OK);
    staged_ms = NOON + 500;
    cairn_store_get_batch(f.store, 2, keys, values, errs);
    CU_ASSERT_EQUAL(errs[0], CAIRN_ERR_NOT_FOUND);
    CU_ASSERT(fixture_has(&f, "k", NULL));
    CU_ASSERT_FALSE(ask_put(&f, "k", "w", 0).existed);
    end_of_day(&f);
}

/* ---------------------------------------------------------------- durability */

static uint64_t syncs_of(fixture_t *f)
{
    cairn_store_stats_t stats = ask_stats(f);
    uint64_t count = 0;
    for (size_t i = 0; i < CAIRN_HISTOGRAM_BUCKETS; ++i)
        count += stats.syncs[i];
    return count;
}

static void a_sync_makes_what_was_async_durable(void)
{
    fixture_t f;
    fixture_start_sized(&f, FIXTURE_SEGMENT_BYTES); /* async syncs are a minute away */
    ask_t ask = {.op = CAIRN_WRITE_INCR, .key = "n", .by = 1, .durability = CAIRN_ASYNC};
    ask_put(&f, "first", "v", 0);
    for (int i = 0; i < 10; ++i)
        ask.version = ask_alone(&f, ask).version;
    CU_ASSERT_EQUAL(ask.version, 11);
    CU_ASSERT_EQUAL(ask_stats(&f).durable_version, 1);
    uint64_t before = syncs_of(&f);
    /* what is on disk already waits for nothing */
    CU_ASSERT_EQUAL(ask_alone(&f, (ask_t){.op = CAIRN_WRITE_SYNC, .version = 1}).err, CAIRN_OK);
    CU_ASSERT_EQUAL(ask_stats(&f).durable_version, 1);
    CU_ASSERT_EQUAL(syncs_of(&f), before);
    CU_ASSERT_EQUAL(ask_alone(&f, (ask_t){.op = CAIRN_WRITE_SYNC, .version = 2}).err, CAIRN_OK);
    CU_ASSERT_EQUAL(ask_stats(&f).durable_version, 11);
    CU_ASSERT_EQUAL(syncs_of(&f), before + 1);
    CU_ASSERT_EQUAL(ask_stats(&f).last_version, 11); /* it wrote nothing itself */
    fixture_dispose(&f);
}

static void a_sync_among_other_writes(void)
{
    fixture_t f;
    fixture_start_sized(&f, FIXTURE_SEGMENT_BYTES);
    uint64_t before = ask_put(&f, "k", "v", 0).version;
    ask_t asks[] = {
        {.op = CAIRN_WRITE_PUT, .key = "k", .value = text("1"), .durability = CAIRN_ASYNC},
        {.op = CAIRN_WRITE_SYNC, .version = before + 2}, /* of the one before it, in this commit */
        {.op = CAIRN_WRITE_APPEND, .key = "k", .value = text("2"), .durability = CAIRN_ASYNC},
        {.op = CAIRN_WRITE_DELETE, .key = "none"},
    };
    CU_ASSERT(ask_together(&f, asks, 4) <= 2);
    CU_ASSERT_EQUAL(asks[0].version, before + 2);
    CU_ASSERT_EQUAL(asks[1].err, CAIRN_OK);
    CU_ASSERT_EQUAL(asks[3].err, CAIRN_ERR_NOT_FOUND);
    CU_ASSERT_EQUAL(ask_stats(&f).durable_version, before + 3);
    CU_ASSERT(fixture_has(&f, "k", "12"));
    fixture_dispose(&f);
}

static void a_sync_that_fails_is_said_to(void)
{
    fixture_t f;
    fixture_init(&f, TEMP_DIR_IN_MEMORY);
    fault_os_install();
    CU_ASSERT_EQUAL_FATAL(fixture_open(&f), CAIRN_OK);
    fault_os_wait_until_quiet();
    ask_t ask = {.op = CAIRN_WRITE_PUT, .key = "k", .value = text("v"), .durability = CAIRN_ASYNC};
    uint64_t version = ask_alone(&f, ask).version;
    fault_os_fail(FAULT_sync, 1, EIO, true);
    CU_ASSERT_EQUAL(ask_alone(&f, (ask_t){.op = CAIRN_WRITE_SYNC, .version = version}).err,
                    CAIRN_ERR_UNKNOWN);
    cairn_write_t *late = cairn_write_create_sync(version);
    CU_ASSERT_PTR_NOT_NULL_FATAL(late);
    CU_ASSERT_EQUAL(cairn_store_submit(f.store, late), CAIRN_ERR_FAILED);
    cairn_write_destroy(late);
    CU_ASSERT_EQUAL(fixture_close(&f), CAIRN_ERR_FAILED);
    fault_os_remove();
    fixture_dispose(&f);
}

void suite_decide(void)
{
    CU_pSuite s = CU_add_suite("decide: what comes of a write", NULL, NULL);
    CU_add_test(s, "conditions see what the index has", conditions_see_the_index);
    CU_add_test(s, "conditions see the writes before in the commit", conditions_see_the_commit);
    CU_add_test(s, "of a thousand that race one wins", of_many_that_race_one_wins);
    CU_add_test(s, "what has expired is gone for everyone", what_has_expired_is_gone);
    CU_add_test(s, "incr and append keep an expiry, put does not", who_keeps_an_expiry);
    CU_add_test(s, "a clock set back revives nothing", a_clock_set_back_revives_nothing);
    CU_add_test(s, "what a read called gone stays gone", what_a_read_called_gone_stays_gone);
    CU_add_test(s, "what gets side by side called gone stays gone",
                what_a_batch_called_gone_stays_gone);
    CU_add_test(s, "a sync makes what was async durable", a_sync_makes_what_was_async_durable);
    CU_add_test(s, "a sync among other writes", a_sync_among_other_writes);
    CU_add_test(s, "a sync that fails is said to", a_sync_that_fails_is_said_to);
}
