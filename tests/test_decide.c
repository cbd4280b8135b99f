/*
 * Is a write decided by what its key has at that very moment: in the index, or by what the writes
 * before it in the same commit will have done?
 */
#include "tests/store_fixture.h"

#include <CUnit/CUnit.h>

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "storage/os.h"
#include "tests/fault_os.h"
#include "tests/seed.h"
#include "tests/suites.h"

#define KIB ((size_t)1024)
#define TOGETHER_MAX 1024

static const cairn_bytes_t nothing;

static void start(fixture_t *f, uint64_t segment_bytes)
{
    fixture_init(f, TEMP_DIR_IN_MEMORY);
    f->options.segment_bytes = segment_bytes;
    cairn_err_t err = fixture_open(f);
    if (err != CAIRN_OK)
        fprintf(stderr, "\n%s\n", f->errmsg);
    CU_ASSERT_EQUAL_FATAL(err, CAIRN_OK);
}

/* ---------------------------------------------------------------- asking */

/** a write as a test asks for it, and after it what came of it */
typedef struct st_ask_t {
    cairn_write_op_t op;
    const char *key;
    cairn_bytes_t value;
    cairn_bytes_t meta;
    const cairn_conditions_t *conditions;
    uint64_t ttl_ms;
    int64_t by; /* incr */
    cairn_durability_t durability;
    /* out */
    cairn_err_t err;
    bool existed;
    uint64_t version;
    int64_t number;
} ask_t;

static cairn_write_t *frame(const ask_t *ask)
{
    if (ask->op == CAIRN_WRITE_SYNC)
        return cairn_write_create_sync(ask->version);
    cairn_key_t key = cairn_key(0, ask->key, strlen(ask->key));
    bool is_delete = ask->op == CAIRN_WRITE_DELETE;
    return cairn_write_create(ask->op, &key, is_delete ? nothing : ask->meta,
                              is_delete ? nothing : ask->value);
}

static cairn_write_t *submit(fixture_t *f, waiter_t *waiter, const ask_t *ask)
{
    cairn_write_t *write = frame(ask);
    CU_ASSERT_PTR_NOT_NULL_FATAL(write);
    write->sink = &waiter->sink;
    write->conditions = ask->conditions;
    write->ttl_ms = ask->ttl_ms;
    write->by = ask->by;
    write->durability = ask->durability;
    CU_ASSERT_EQUAL_FATAL(cairn_store_submit(f->store, write), CAIRN_OK);
    return write;
}

static void take_outcome(ask_t *ask, cairn_write_t *write)
{
    ask->err = write->err;
    ask->existed = write->existed;
    ask->version = write->version;
    ask->number = write->number;
    cairn_write_destroy(write);
}

/** has these decided in one go, as far as one commit takes them; returns how many commits it took,
 * and one more if the writer was idle long enough to mark the last
 */
static uint64_t together(fixture_t *f, ask_t *asks, size_t count)
{
    static cairn_write_t *writes[TOGETHER_MAX];
    gate_t gate;
    waiter_t waiter;
    cairn_store_stats_t before, after;
    CU_ASSERT_FATAL(count <= TOGETHER_MAX);
    waiter_init(&waiter);
    gate_close(&gate, f);
    cairn_store_stats(f->store, &before);
    for (size_t i = 0; i < count; ++i)
        writes[i] = submit(f, &waiter, &asks[i]);
    gate_open(&gate);
    waiter_take(&waiter, count);
    cairn_store_stats(f->store, &after);
    CU_ASSERT_EQUAL(after.queued_ops, 0);
    CU_ASSERT_EQUAL(after.queued_bytes, 0);
    for (size_t i = 0; i < count; ++i)
        take_outcome(&asks[i], writes[i]);
    waiter_dispose(&waiter);
    return after.commits - before.commits;
}

static ask_t alone(fixture_t *f, ask_t ask)
{
    waiter_t waiter;
    waiter_init(&waiter);
    cairn_write_t *write = submit(f, &waiter, &ask);
    waiter_take(&waiter, 1);
    take_outcome(&ask, write);
    waiter_dispose(&waiter);
    return ask;
}

static ask_t put(fixture_t *f, const char *key, const char *value, uint64_t ttl_ms)
{
    return alone(
        f, (ask_t){.op = CAIRN_WRITE_PUT, .key = key, .value = text(value), .ttl_ms = ttl_ms});
}

static ask_t incr(fixture_t *f, const char *key, int64_t by)
{
    return alone(f, (ask_t){.op = CAIRN_WRITE_INCR, .key = key, .by = by});
}

static ask_t append(fixture_t *f, const char *key, const void *bytes, size_t count)
{
    return alone(f, (ask_t){.op = CAIRN_WRITE_APPEND, .key = key, .value = {bytes, count}});
}

static bool has_bytes(fixture_t *f, const char *key, const uint8_t *bytes, size_t count)
{
    cairn_value_t value;
    return fixture_get(f, text(key), &value) == CAIRN_OK && value.count == count &&
           (count == 0 || memcmp(value.bytes, bytes, count) == 0);
}

static cairn_conditions_t if_match(uint64_t version)
{
    return (cairn_conditions_t){
        .if_match = {.kind = CAIRN_VERSIONS_LISTED, .count = 1, .versions = {version}}};
}

static const cairn_conditions_t if_match_any = {.if_match = {.kind = CAIRN_VERSIONS_ANY}};
static const cairn_conditions_t if_none = {.if_none_match = {.kind = CAIRN_VERSIONS_ANY}};

/* ---------------------------------------------------------------- conditions */

static void conditions_see_the_index(void)
{
    fixture_t f;
    start(&f, FIXTURE_SEGMENT_BYTES);
    static const cairn_write_op_t ops[] = {CAIRN_WRITE_PUT, CAIRN_WRITE_DELETE, CAIRN_WRITE_INCR,
                                           CAIRN_WRITE_APPEND};
    for (size_t i = 0; i < sizeof(ops) / sizeof(ops[0]); ++i) {
        char key[8];
        snprintf(key, sizeof(key), "k%zu", i);
        ask_t ask = {.op = ops[i], .key = key, .value = text("2"), .by = 1};
        cairn_conditions_t stale = if_match(1000000);
        /* nothing there */
        ask.conditions = &if_match_any;
        ask_t out = alone(&f, ask);
        CU_ASSERT_EQUAL(out.err, CAIRN_ERR_PRECONDITION);
        CU_ASSERT_FALSE(out.existed);
        CU_ASSERT_EQUAL(out.version, 0);

        uint64_t version = put(&f, key, "1", 0).version;
        cairn_conditions_t fresh = if_match(version);
        const cairn_conditions_t *failing[] = {&stale, &if_none};
        for (size_t j = 0; j < 2; ++j) {
            ask.conditions = failing[j];
            out = alone(&f, ask);
            CU_ASSERT_EQUAL(out.err, CAIRN_ERR_PRECONDITION);
            CU_ASSERT(out.existed);
            CU_ASSERT_EQUAL(out.version, version);
            CU_ASSERT(fixture_has(&f, key, "1"));
        }
        ask.conditions = &fresh;
        out = alone(&f, ask);
        CU_ASSERT_EQUAL(out.err, CAIRN_OK);
        CU_ASSERT(out.version > version);
        /* what has changed is not met again */
        ask.conditions = &fresh;
        CU_ASSERT_EQUAL(alone(&f, ask).err, CAIRN_ERR_PRECONDITION);
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
    start(&f, FIXTURE_SEGMENT_BYTES);
    for (int round = 0; round < 2; ++round) {
        cairn_durability_t durability = round == 0 ? CAIRN_SYNC : CAIRN_ASYNC;
        uint64_t first = cairn_store_last_version(f.store) + 2; /* after the gate's */
        cairn_conditions_t is_first = if_match(first), is_second = if_match(first + 1);
        for (size_t i = 0; i < 11; ++i)
            asks[i] = (ask_t){.op = CAIRN_WRITE_PUT,
                              .key = round ? "b" : "a",
                              .value = text(&"0123456789x"[i]),
                              .durability = durability};
        asks[0].conditions = &if_none;
        asks[1].conditions = &if_none; /* the first one won */
        asks[2].conditions = &is_first;
        asks[3].conditions = &is_first; /* again */
        asks[4].conditions = &is_second;
        asks[4].op = CAIRN_WRITE_DELETE;
        asks[5].conditions = &if_match_any;
        asks[6].op = CAIRN_WRITE_DELETE;
        asks[7].conditions = &if_none;
        asks[8].conditions = &if_none;
        asks[9].op = CAIRN_WRITE_APPEND;
        asks[9].value = text("!");
        asks[9].conditions = &if_match_any;
        asks[10].op = CAIRN_WRITE_APPEND;
        asks[10].conditions = &is_first;
        CU_ASSERT(together(&f, asks, 11) <= 2);
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
    start(&f, 1024 * KIB);
    for (size_t i = 0; i < 1000; ++i)
        asks[i] = (ask_t){.op = CAIRN_WRITE_PUT,
                          .key = "k",
                          .value = text("v"),
                          .conditions = &if_none,
                          .durability = i % 2 ? CAIRN_SYNC : CAIRN_ASYNC};
    CU_ASSERT(together(&f, asks, 1000) <= 2);
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

/* ---------------------------------------------------------------- incr */

static void numbers_are_added(void)
{
    static const struct {
        const char *before; /* NULL: no such key */
        int64_t by;
        const char *after; /* NULL: refused with err */
        cairn_err_t err;
    } rows[] = {
        {NULL, 1, "1", CAIRN_OK},
        {NULL, 0, "0", CAIRN_OK},
        {NULL, -7, "-7", CAIRN_OK},
        {NULL, INT64_MIN, "-9223372036854775808", CAIRN_OK},
        {NULL, INT64_MAX, "9223372036854775807", CAIRN_OK},
        {"41", 1, "42", CAIRN_OK},
        {"5", -10, "-5", CAIRN_OK},
        {"-5", 5, "0", CAIRN_OK},
        {"-0", 0, "0", CAIRN_OK},
        {"007", 1, "8", CAIRN_OK},
        {"-007", 0, "-7", CAIRN_OK},
        {"00000000000000000000000000000000001", 1, "2", CAIRN_OK},
        {"9223372036854775806", 1, "9223372036854775807", CAIRN_OK},
        {"9223372036854775807", 0, "9223372036854775807", CAIRN_OK},
        {"-9223372036854775808", 0, "-9223372036854775808", CAIRN_OK},
        {"-9223372036854775808", INT64_MAX, "-1", CAIRN_OK},
        {"9223372036854775807", INT64_MIN, "-1", CAIRN_OK},
        {"9223372036854775807", 1, NULL, CAIRN_ERR_OVERFLOW},
        {"-9223372036854775808", -1, NULL, CAIRN_ERR_OVERFLOW},
        {"-1", INT64_MIN, NULL, CAIRN_ERR_OVERFLOW},
        {"9223372036854775808", 0, NULL, CAIRN_ERR_NOT_A_NUMBER},
        {"-9223372036854775809", 0, NULL, CAIRN_ERR_NOT_A_NUMBER},
        {"92233720368547758070", 0, NULL, CAIRN_ERR_NOT_A_NUMBER},
        {"18446744073709551617", 0, NULL, CAIRN_ERR_NOT_A_NUMBER},
        {"", 1, NULL, CAIRN_ERR_NOT_A_NUMBER},
        {"-", 1, NULL, CAIRN_ERR_NOT_A_NUMBER},
        {"--1", 1, NULL, CAIRN_ERR_NOT_A_NUMBER},
        {"+1", 1, NULL, CAIRN_ERR_NOT_A_NUMBER},
        {" 1", 1, NULL, CAIRN_ERR_NOT_A_NUMBER},
        {"1 ", 1, NULL, CAIRN_ERR_NOT_A_NUMBER},
        {"1\n", 1, NULL, CAIRN_ERR_NOT_A_NUMBER},
        {"1.0", 1, NULL, CAIRN_ERR_NOT_A_NUMBER},
        {"0x10", 1, NULL, CAIRN_ERR_NOT_A_NUMBER},
        {"1e3", 1, NULL, CAIRN_ERR_NOT_A_NUMBER},
        {"one", 1, NULL, CAIRN_ERR_NOT_A_NUMBER},
    };
    fixture_t f;
    char key[16];
    start(&f, FIXTURE_SEGMENT_BYTES);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); ++i) {
        snprintf(key, sizeof(key), "%zu", i);
        uint64_t version = rows[i].before != NULL ? put(&f, key, rows[i].before, 0).version : 0;
        uint64_t last = cairn_store_last_version(f.store);
        ask_t out = incr(&f, key, rows[i].by);
        CU_ASSERT_EQUAL(out.err, rows[i].err);
        CU_ASSERT_EQUAL(out.existed, rows[i].before != NULL);
        if (rows[i].after != NULL) {
            CU_ASSERT_EQUAL(out.number, strtoll(rows[i].after, NULL, 10));
            CU_ASSERT_EQUAL(out.version, last + 1);
            CU_ASSERT(fixture_has(&f, key, rows[i].after));
        } else {
            CU_ASSERT_EQUAL(cairn_store_last_version(f.store), last);
            CU_ASSERT(out.version == version && fixture_has(&f, key, rows[i].before));
        }
    }
    fixture_restart(&f);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); ++i) {
        snprintf(key, sizeof(key), "%zu", i);
        CU_ASSERT(fixture_has(&f, key, rows[i].after != NULL ? rows[i].after : rows[i].before));
    }
    fixture_dispose(&f);
}

static void many_increments_in_one_commit(void)
{
    static ask_t asks[TOGETHER_MAX];
    fixture_t f;
    start(&f, 1024 * KIB);
    for (size_t i = 0; i < TOGETHER_MAX; ++i)
        asks[i] = (ask_t){.op = CAIRN_WRITE_INCR,
                          .key = "n",
                          .by = 3,
                          .durability = i % 3 ? CAIRN_SYNC : CAIRN_ASYNC};
    CU_ASSERT(together(&f, asks, TOGETHER_MAX) <= 2);
    for (size_t i = 0; i < TOGETHER_MAX; ++i) {
        CU_ASSERT_EQUAL(asks[i].err, CAIRN_OK);
        CU_ASSERT_EQUAL(asks[i].existed, i != 0);
        CU_ASSERT_EQUAL(asks[i].number, 3 * (int64_t)(i + 1));
    }
    for (int round = 0; round < 2; ++round) {
        CU_ASSERT(fixture_has(&f, "n", "3072"));
        fixture_restart(&f);
    }
    CU_ASSERT_EQUAL(incr(&f, "n", 0).number, 3072);
    fixture_dispose(&f);
}

static void increments_see_the_commit(void)
{
    fixture_t f;
    start(&f, FIXTURE_SEGMENT_BYTES);
    ask_t asks[] = {
        {.op = CAIRN_WRITE_PUT, .key = "n", .value = text("x")},
        {.op = CAIRN_WRITE_INCR, .key = "n", .by = 1},
        {.op = CAIRN_WRITE_PUT, .key = "n", .value = text("9223372036854775807")},
        {.op = CAIRN_WRITE_INCR, .key = "n", .by = 1},
        {.op = CAIRN_WRITE_DELETE, .key = "n"},
        {.op = CAIRN_WRITE_INCR, .key = "n", .by = 4},
        {.op = CAIRN_WRITE_APPEND, .key = "n", .value = text("2")},
        {.op = CAIRN_WRITE_INCR, .key = "n", .by = -2},
    };
    CU_ASSERT(together(&f, asks, 8) <= 2);
    CU_ASSERT_EQUAL(asks[1].err, CAIRN_ERR_NOT_A_NUMBER);
    CU_ASSERT_EQUAL(asks[3].err, CAIRN_ERR_OVERFLOW);
    CU_ASSERT(asks[5].number == 4 && !asks[5].existed);
    CU_ASSERT(asks[6].existed);
    CU_ASSERT_EQUAL(asks[7].number, 40);
    fixture_restart(&f);
    CU_ASSERT(fixture_has(&f, "n", "40"));
    fixture_dispose(&f);
}

static void a_number_longer_than_is_copied(void)
{
    char digits[6001];
    memset(digits, '0', 6000);
    memcpy(digits + 5998, "41", 3);
    fixture_t f;
    start(&f, FIXTURE_SEGMENT_BYTES);
    ask_t asks[] = {
        {.op = CAIRN_WRITE_PUT, .key = "n", .value = text(digits)},
        {.op = CAIRN_WRITE_INCR, .key = "n", .by = 1},
    };
    CU_ASSERT(together(&f, asks, 2) <=
              2); /* its pieces are joined: it need not wait for the next */
    CU_ASSERT(asks[1].err == CAIRN_OK && asks[1].number == 42);
    CU_ASSERT(fixture_has(&f, "n", "42"));
    fixture_dispose(&f);
}

/* ---------------------------------------------------------------- append */

static uint8_t *noise_of(size_t count)
{
    uint8_t *bytes = malloc(count + 1);
    CU_ASSERT_PTR_NOT_NULL_FATAL(bytes);
    random_fill(seed_of_run(), bytes, count);
    return bytes;
}

static const size_t sizes[] = {0, 1, 100, 4095, 4096, 4097, 20000};
#define SIZES (sizeof(sizes) / sizeof(sizes[0]))

static void every_size_is_appended_to_every_size(void)
{
    fixture_t f;
    char key[16];
    uint8_t *noise = noise_of(40000);
    start(&f, 256 * KIB);
    for (size_t i = 0; i < SIZES * SIZES; ++i) {
        size_t before = sizes[i / SIZES], more = sizes[i % SIZES];
        snprintf(key, sizeof(key), "%zu", i);
        CU_ASSERT_EQUAL(append(&f, key, noise, before).err, CAIRN_OK);
        CU_ASSERT(has_bytes(&f, key, noise, before));
        ask_t out = append(&f, key, noise + before, more);
        CU_ASSERT(out.err == CAIRN_OK && out.existed);
        CU_ASSERT(has_bytes(&f, key, noise, before + more));
    }
    for (int round = 0; round < 2; ++round) {
        fixture_restart(&f);
        for (size_t i = 0; i < SIZES * SIZES; ++i) {
            snprintf(key, sizeof(key), "%zu", i);
            CU_ASSERT(has_bytes(&f, key, noise, sizes[i / SIZES] + sizes[i % SIZES]));
        }
    }
    free(noise);
    fixture_dispose(&f);
}

/** a put and two appends of one key, decided in one go */
static void appends_in_one_commit(void)
{
    fixture_t f;
    char key[16];
    uint8_t *noise = noise_of(60000);
    start(&f, 256 * KIB);
    for (size_t i = 0; i < SIZES * SIZES; ++i) {
        size_t a = sizes[i / SIZES], b = sizes[i % SIZES], c = i % 2 ? 10 : 5000;
        cairn_durability_t durability = i % 3 ? CAIRN_SYNC : CAIRN_ASYNC;
        snprintf(key, sizeof(key), "%zu", i);
        ask_t asks[] = {
            {.op = i % 2 ? CAIRN_WRITE_PUT : CAIRN_WRITE_APPEND, .key = key, .value = {noise, a}},
            {.op = CAIRN_WRITE_PUT, .key = "other", .value = {noise, b}},
            {.op = CAIRN_WRITE_APPEND,
             .key = key,
             .value = {noise + a, b},
             .durability = durability},
            {.op = CAIRN_WRITE_APPEND, .key = key, .value = {noise + a + b, c}},
            {.op = CAIRN_WRITE_APPEND, .key = key, .value = nothing},
        };
        uint64_t first = cairn_store_last_version(f.store) + 2;
        together(&f, asks, 5);
        for (size_t j = 0; j < 5; ++j) {
            CU_ASSERT_EQUAL(asks[j].err, CAIRN_OK);
            CU_ASSERT_EQUAL(asks[j].version, first + j); /* none has overtaken another */
        }
        CU_ASSERT(!asks[0].existed && asks[2].existed && asks[3].existed);
        CU_ASSERT(has_bytes(&f, key, noise, a + b + c));
    }
    fixture_restart(&f);
    for (size_t i = 0; i < SIZES * SIZES; ++i) {
        snprintf(key, sizeof(key), "%zu", i);
        CU_ASSERT(
            has_bytes(&f, key, noise, sizes[i / SIZES] + sizes[i % SIZES] + (i % 2 ? 10 : 5000)));
    }
    free(noise);
    fixture_dispose(&f);
}

/** the copies of one value fill segment after segment: an append is decided for one, logged in the
 * next */
static void a_value_grows_over_many_segments(void)
{
    fixture_t f;
    uint8_t *noise = noise_of(60000);
    start(&f, FIXTURE_SEGMENT_BYTES);
    size_t count = 0;
    for (size_t i = 0; count + 997 <= 60000; ++i, count += 997)
        CU_ASSERT_EQUAL(append(&f, "k", noise + count, 997).err, CAIRN_OK);
    CU_ASSERT(has_bytes(&f, "k", noise, count));
    cairn_store_stats_t stats;
    cairn_store_stats(f.store, &stats);
    CU_ASSERT(stats.segments > 20);
    /* it would not fit any segment */
    ask_t out = append(&f, "k", noise, 997 * 4);
    CU_ASSERT_EQUAL(out.err, CAIRN_ERR_TOO_LARGE);
    fixture_restart(&f);
    CU_ASSERT(has_bytes(&f, "k", noise, count));
    free(noise);
    fixture_dispose(&f);
}

static void appends_keep_to_the_limit(void)
{
    fixture_t f;
    uint8_t *noise = noise_of(30000);
    fixture_init(&f, TEMP_DIR_IN_MEMORY);
    f.options.value_bytes_max = 10000;
    CU_ASSERT_EQUAL_FATAL(fixture_open(&f), CAIRN_OK);
    CU_ASSERT_EQUAL(append(&f, "k", noise, 9000).err, CAIRN_OK);
    uint64_t version = append(&f, "k", noise + 9000, 999).version;
    CU_ASSERT_EQUAL(append(&f, "k", noise, 2).err, CAIRN_ERR_TOO_LARGE);
    CU_ASSERT_EQUAL(append(&f, "k", noise + 9999, 1).err, CAIRN_OK);
    CU_ASSERT_EQUAL(append(&f, "k", noise, 1).err, CAIRN_ERR_TOO_LARGE);
    ask_t out = append(&f, "k", noise, 0);
    CU_ASSERT(out.err == CAIRN_OK && out.version == version + 2);
    /* and by what the same commit has made of it */
    ask_t asks[] = {{.op = CAIRN_WRITE_PUT, .key = "s", .value = {noise, 9000}},
                    {.op = CAIRN_WRITE_APPEND, .key = "s", .value = {noise, 1001}},
                    {.op = CAIRN_WRITE_APPEND, .key = "s", .value = {noise + 9000, 1000}}};
    together(&f, asks, 3);
    CU_ASSERT_EQUAL(asks[1].err, CAIRN_ERR_TOO_LARGE);
    CU_ASSERT_EQUAL(asks[2].err, CAIRN_OK);
    fixture_restart(&f);
    CU_ASSERT(has_bytes(&f, "k", noise, 10000));
    CU_ASSERT(has_bytes(&f, "s", noise, 10000));
    free(noise);
    fixture_dispose(&f);
}

static bool has_meta(fixture_t *f, const char *key, const cairn_meta_builder_t *meta)
{
    cairn_value_t value;
    return fixture_get(f, text(key), &value) == CAIRN_OK && value.meta.count == meta->count &&
           memcmp(value.meta.base, meta->bytes, meta->count) == 0;
}

static void what_is_there_keeps_its_meta(void)
{
    fixture_t f;
    cairn_meta_builder_t old = {0}, new = {0};
    char much[CAIRN_META_BYTES_MAX - 4];
    memset(much, 'm', sizeof(much));
    CU_ASSERT(cairn_meta_add(&old, CAIRN_META_USER, (cairn_bytes_t){much, sizeof(much)}));
    CU_ASSERT(cairn_meta_add(&new, CAIRN_META_CONTENT_TYPE, text("text/new")));
    uint8_t *noise = noise_of(20000);
    start(&f, 256 * KIB);
    static const cairn_write_op_t ops[] = {CAIRN_WRITE_INCR, CAIRN_WRITE_APPEND};
    for (size_t i = 0; i < 2; ++i) {
        cairn_bytes_t old_meta = {old.bytes, old.count}, new_meta = {new.bytes, new.count};
        const char *kept = i ? "kept by append" : "kept by incr";
        const char *made = i ? "made by append" : "made by incr";
        alone(&f,
              (ask_t){.op = CAIRN_WRITE_PUT, .key = kept, .value = text("1"), .meta = old_meta});
        ask_t ask = {.op = ops[i], .key = kept, .value = text("2"), .by = 11, .meta = new_meta};
        CU_ASSERT_EQUAL(alone(&f, ask).err, CAIRN_OK);
        ask.key = made;
        CU_ASSERT_EQUAL(alone(&f, ask).err, CAIRN_OK);
        CU_ASSERT_EQUAL(alone(&f, ask).err, CAIRN_OK);
        /* in one commit with what made it */
        ask_t asks[] = {{.op = CAIRN_WRITE_DELETE, .key = kept}, ask, ask};
        asks[1].key = asks[2].key = kept;
        asks[1].meta = old_meta;
        CU_ASSERT(together(&f, asks, 3) <= 2);
    }
    ask_t asks[] = {{.op = CAIRN_WRITE_PUT,
                     .key = "large",
                     .value = {noise, 10000},
                     .meta = {old.bytes, old.count}},
                    {.op = CAIRN_WRITE_APPEND,
                     .key = "large",
                     .value = {noise + 10000, 10000},
                     .meta = {new.bytes, new.count}}};
    together(&f, asks, 2);
    for (int round = 0; round < 2; ++round) {
        CU_ASSERT(has_meta(&f, "kept by incr", &old));
        CU_ASSERT(fixture_has(&f, "kept by incr", "22"));
        CU_ASSERT(has_meta(&f, "kept by append", &old));
        CU_ASSERT(fixture_has(&f, "kept by append", "22"));
        CU_ASSERT(has_meta(&f, "made by incr", &new));
        CU_ASSERT(has_meta(&f, "made by append", &new));
        CU_ASSERT(has_meta(&f, "large", &old));
        CU_ASSERT(has_bytes(&f, "large", noise, 20000));
        fixture_restart(&f);
    }
    free(noise);
    fixture_dispose(&f);
}

static void a_damaged_value_is_not_built_upon(void)
{
    static const size_t damaged[] = {100, 20000};
    fixture_t f;
    char name[32], key[8];
    uint8_t *noise = noise_of(20000);
    start(&f, 256 * KIB);
    for (size_t i = 0; i < 2; ++i) {
        snprintf(key, sizeof(key), "%zu", i);
        append(&f, key, noise, damaged[i]);
    }
    fixture_restart(&f);
    CU_ASSERT_FATAL(fixture_segment_name(&f, 0, name));
    size_t count;
    uint8_t *bytes = read_file(fixture_path(&f, name), &count), *at = bytes;
    FILE *file = fopen(fixture_path(&f, name), "r+b");
    CU_ASSERT_PTR_NOT_NULL_FATAL(file);
    for (size_t i = 0; i < 2; ++i) {
        at = memmem(at, count - (size_t)(at - bytes), noise, damaged[i]);
        CU_ASSERT_PTR_NOT_NULL_FATAL(at);
        at += damaged[i];
        fseek(file, at - bytes - 1, SEEK_SET);
        fputc(at[-1] ^ 0x10, file);
    }
    fclose(file);
    free(bytes);
    for (size_t i = 0; i < 2; ++i) {
        snprintf(key, sizeof(key), "%zu", i);
        CU_ASSERT_EQUAL(append(&f, key, "x", 1).err, CAIRN_ERR_DAMAGED);
        CU_ASSERT_EQUAL(incr(&f, key, 1).err, CAIRN_ERR_DAMAGED);
        CU_ASSERT(put(&f, key, "new", 0).existed);
        CU_ASSERT_EQUAL(append(&f, key, "er", 2).err, CAIRN_OK);
        CU_ASSERT(fixture_has(&f, key, "newer"));
    }
    free(noise);
    fixture_dispose(&f);
}

static cairn_err_t peeked(fixture_t *f, const char *key_text, bool whole)
{
    cairn_key_t key = cairn_store_key(f->store, key_text, strlen(key_text));
    uint64_t loc = 0;
    cairn_thread_quiescent();
    cairn_err_t err = cairn_store_peek(f->store, &key, whole, &loc);
    CU_ASSERT((err == CAIRN_ERR_COLD) <= (loc != 0));
    return err;
}

static void what_a_write_would_wait_for(void)
{
    fixture_t f;
    cairn_value_t value;
    uint8_t *noise = noise_of(300 * KIB);
    fixture_init(&f, TEMP_DIR_ON_DISK);
    f.options.segment_bytes = 4096 * KIB;
    fault_os_install();
    CU_ASSERT_EQUAL_FATAL(fixture_open(&f), CAIRN_OK);
    append(&f, "large", noise, 300 * KIB);
    append(&f, "small", noise, 1000);
    CU_ASSERT_EQUAL(peeked(&f, "small", true), CAIRN_OK); /* just written */
    CU_ASSERT_EQUAL(peeked(&f, "large", true), CAIRN_OK);
    fixture_restart(&f);
    fault_os_fail(FAULT_is_resident, 1, EIO, true);
    CU_ASSERT_EQUAL(peeked(&f, "none", true), CAIRN_OK);
    CU_ASSERT_EQUAL(peeked(&f, "small", false), CAIRN_ERR_COLD);
    CU_ASSERT_EQUAL(peeked(&f, "small", true), CAIRN_ERR_COLD);
    CU_ASSERT_EQUAL(peeked(&f, "large", false), CAIRN_ERR_COLD);
    fault_os_heal();
    CU_ASSERT_EQUAL(peeked(&f, "large", false), CAIRN_OK);
    /* its head does not vouch for all of it */
    CU_ASSERT_EQUAL(peeked(&f, "large", true), CAIRN_ERR_COLD);
    fault_os_fail(FAULT_is_resident, 1, EIO, true);
    CU_ASSERT_EQUAL_FATAL(fixture_get(&f, text("large"), &value), CAIRN_OK);
    CU_ASSERT_EQUAL_FATAL(fixture_get(&f, text("small"), &value), CAIRN_OK);
    CU_ASSERT_EQUAL(peeked(&f, "large", true), CAIRN_OK);
    CU_ASSERT_EQUAL(peeked(&f, "small", true), CAIRN_OK);
    /* the writer itself waits for what is cold */
    fixture_drop_caches(&f);
    CU_ASSERT_EQUAL(append(&f, "large", noise, 1).err, CAIRN_OK);
    CU_ASSERT_EQUAL(append(&f, "small", noise + 1000, 1000).err, CAIRN_OK);
    CU_ASSERT(has_bytes(&f, "small", noise, 2000));
    CU_ASSERT_EQUAL(fixture_close(&f), CAIRN_OK);
    fault_os_remove();
    fixture_dispose(&f);
    free(noise);
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
    start(f, FIXTURE_SEGMENT_BYTES);
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
        put(&f, keys[i], "5", 1000);
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
    ask_t ask = {.op = CAIRN_WRITE_PUT, .key = "match", .conditions = &if_match_any};
    ask_t out = alone(&f, ask);
    CU_ASSERT(out.err == CAIRN_ERR_PRECONDITION && !out.existed && out.version == 0);
    ask.key = "none";
    ask.conditions = &if_none;
    out = alone(&f, ask);
    CU_ASSERT(out.err == CAIRN_OK && !out.existed);
    CU_ASSERT_FALSE(put(&f, "put", "6", 0).existed);
    out = incr(&f, "incr", 1);
    CU_ASSERT(out.number == 1 && !out.existed);
    CU_ASSERT_FALSE(append(&f, "append", "6", 1).existed);
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
    uint8_t *noise = noise_of(10000);
    start_at_noon(&f);
    put(&f, "put", "1", 1000);
    put(&f, "incr", "1", 1000);
    put(&f, "append", "1", 1000);
    put(&f, "incr anew", "1", 1000);
    put(&f, "append anew", "1", 1000);
    staged_ms = NOON + 10;
    put(&f, "put", "2", 0);
    incr(&f, "incr", 1);
    append(&f, "append", noise, 10000);
    alone(&f, (ask_t){.op = CAIRN_WRITE_INCR, .key = "incr anew", .by = 1, .ttl_ms = 5000});
    alone(&f, (ask_t){.op = CAIRN_WRITE_APPEND, .key = "append anew", .ttl_ms = 1});
    ask_t asks[] = {
        {.op = CAIRN_WRITE_PUT, .key = "one commit", .value = {noise, 5000}, .ttl_ms = 300},
        {.op = CAIRN_WRITE_APPEND, .key = "one commit", .value = {noise + 5000, 5000}},
        {.op = CAIRN_WRITE_INCR, .key = "counter", .by = 2, .ttl_ms = 300},
        {.op = CAIRN_WRITE_INCR, .key = "counter", .by = 2},
        {.op = CAIRN_WRITE_APPEND, .key = "counter", .value = text("0")},
    };
    together(&f, asks, 5);
    for (int round = 0; round < 2; ++round) {
        CU_ASSERT_EQUAL(expiry_of(&f, "put"), 0);
        CU_ASSERT_EQUAL(expiry_of(&f, "incr"), NOON + 1000);
        CU_ASSERT_EQUAL(expiry_of(&f, "append"), NOON + 1000);
        CU_ASSERT_EQUAL(expiry_of(&f, "incr anew"), NOON + 10 + 5000);
        CU_ASSERT_EQUAL(expiry_of(&f, "append anew"), NOON + 10 + 1);
        CU_ASSERT_EQUAL(expiry_of(&f, "one commit"), NOON + 10 + 300);
        CU_ASSERT(has_bytes(&f, "one commit", noise, 10000));
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
    put(&f, "k", "v", 1000);
    staged_ms = NOON + 2000;
    put(&f, "later", "v", 0);
    staged_ms = NOON - 86400000;
    CU_ASSERT(fixture_has(&f, "k", NULL));
    CU_ASSERT_EQUAL(cairn_store_now_ms(f.store), NOON + 2000);
    CU_ASSERT_EQUAL(fixture_delete(&f, "k").err, CAIRN_ERR_NOT_FOUND);
    /* nor does a value live longer for it, or look older than it is */
    put(&f, "k", "w", 500);
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
    put(&f, "k", "v", 1000);
    staged_ms = NOON + 2000;
    CU_ASSERT(fixture_has(&f, "k", NULL)); /* nothing is written after this */
    staged_ms = NOON + 500;
    CU_ASSERT(fixture_has(&f, "k", NULL));
    CU_ASSERT_FALSE(put(&f, "k", "w", 0).existed);
    end_of_day(&f);
}

static void what_a_batch_called_gone_stays_gone(void)
{
    fixture_t f;
    cairn_value_t values[2];
    cairn_err_t errs[2];
    start_at_noon(&f);
    put(&f, "k", "v", 1000);
    put(&f, "stays", "v", 5000);
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
    CU_ASSERT_FALSE(put(&f, "k", "w", 0).existed);
    end_of_day(&f);
}

/* ---------------------------------------------------------------- durability */

static cairn_store_stats_t stats_of(fixture_t *f)
{
    cairn_store_stats_t stats;
    cairn_store_stats(f->store, &stats);
    return stats;
}

static uint64_t syncs_of(fixture_t *f)
{
    cairn_store_stats_t stats = stats_of(f);
    uint64_t count = 0;
    for (size_t i = 0; i < CAIRN_HISTOGRAM_BUCKETS; ++i)
        count += stats.syncs[i];
    return count;
}

static void a_sync_makes_what_was_async_durable(void)
{
    fixture_t f;
    start(&f, FIXTURE_SEGMENT_BYTES); /* async syncs are a minute away */
    ask_t ask = {.op = CAIRN_WRITE_INCR, .key = "n", .by = 1, .durability = CAIRN_ASYNC};
    put(&f, "first", "v", 0);
    for (int i = 0; i < 10; ++i)
        ask.version = alone(&f, ask).version;
    CU_ASSERT_EQUAL(ask.version, 11);
    CU_ASSERT_EQUAL(stats_of(&f).durable_version, 1);
    uint64_t before = syncs_of(&f);
    /* what is on disk already waits for nothing */
    CU_ASSERT_EQUAL(alone(&f, (ask_t){.op = CAIRN_WRITE_SYNC, .version = 1}).err, CAIRN_OK);
    CU_ASSERT_EQUAL(stats_of(&f).durable_version, 1);
    CU_ASSERT_EQUAL(syncs_of(&f), before);
    CU_ASSERT_EQUAL(alone(&f, (ask_t){.op = CAIRN_WRITE_SYNC, .version = 2}).err, CAIRN_OK);
    CU_ASSERT_EQUAL(stats_of(&f).durable_version, 11);
    CU_ASSERT_EQUAL(syncs_of(&f), before + 1);
    CU_ASSERT_EQUAL(stats_of(&f).last_version, 11); /* it wrote nothing itself */
    fixture_dispose(&f);
}

static void a_sync_among_other_writes(void)
{
    fixture_t f;
    start(&f, FIXTURE_SEGMENT_BYTES);
    uint64_t before = put(&f, "k", "v", 0).version;
    ask_t asks[] = {
        {.op = CAIRN_WRITE_PUT, .key = "k", .value = text("1"), .durability = CAIRN_ASYNC},
        {.op = CAIRN_WRITE_SYNC, .version = before + 2}, /* of the one before it, in this commit */
        {.op = CAIRN_WRITE_APPEND, .key = "k", .value = text("2"), .durability = CAIRN_ASYNC},
        {.op = CAIRN_WRITE_DELETE, .key = "none"},
    };
    CU_ASSERT(together(&f, asks, 4) <= 2);
    CU_ASSERT_EQUAL(asks[0].version, before + 2);
    CU_ASSERT_EQUAL(asks[1].err, CAIRN_OK);
    CU_ASSERT_EQUAL(asks[3].err, CAIRN_ERR_NOT_FOUND);
    CU_ASSERT_EQUAL(stats_of(&f).durable_version, before + 3);
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
    uint64_t version = alone(&f, ask).version;
    fault_os_fail(FAULT_sync, 1, EIO, true);
    CU_ASSERT_EQUAL(alone(&f, (ask_t){.op = CAIRN_WRITE_SYNC, .version = version}).err,
                    CAIRN_ERR_UNKNOWN);
    cairn_write_t *late = cairn_write_create_sync(version);
    CU_ASSERT_PTR_NOT_NULL_FATAL(late);
    CU_ASSERT_EQUAL(cairn_store_submit(f.store, late), CAIRN_ERR_FAILED);
    cairn_write_destroy(late);
    CU_ASSERT_EQUAL(fixture_close(&f), CAIRN_ERR_FAILED);
    fault_os_remove();
    fixture_dispose(&f);
}

/* ---------------------------------------------------------------- against a model */

#define MODEL_KEYS 5
#define MODEL_BYTES_MAX 30000

/** what a key should have */
typedef struct st_model_t {
    bool exists;
    uint64_t version;
    size_t count;
    uint8_t bytes[MODEL_BYTES_MAX];
} model_t;

static bool model_number(const model_t *model, int64_t *number)
{
    char digits[32] = "";
    *number = 0;
    if (!model->exists)
        return true;
    if (model->count == 0 || model->count > 15)
        return false;
    memcpy(digits, model->bytes, model->count);
    *number = strtoll(digits, NULL, 10);
    return strspn(digits, "0123456789") == model->count;
}

static cairn_err_t model_write(model_t *model, const ask_t *ask, int64_t *number)
{
    bool reads = ask->op == CAIRN_WRITE_APPEND && model->exists;
    size_t kept = reads ? model->count : 0;
    if (ask->conditions == &if_match_any && !model->exists)
        return CAIRN_ERR_PRECONDITION;
    if (ask->conditions == &if_none && model->exists)
        return CAIRN_ERR_PRECONDITION;
    if (ask->conditions != NULL && ask->conditions->if_match.kind == CAIRN_VERSIONS_LISTED &&
        (!model->exists || ask->conditions->if_match.versions[0] != model->version))
        return CAIRN_ERR_PRECONDITION;
    if (ask->op == CAIRN_WRITE_DELETE) {
        bool existed = model->exists;
        model->exists = false;
        return existed ? CAIRN_OK : CAIRN_ERR_NOT_FOUND;
    }
    if (ask->op == CAIRN_WRITE_INCR) {
        if (!model_number(model, number))
            return CAIRN_ERR_NOT_A_NUMBER;
        *number += ask->by;
        model->count = (size_t)sprintf((char *)model->bytes, "%" PRId64, *number);
    } else {
        if (kept + ask->value.count > MODEL_BYTES_MAX)
            return CAIRN_ERR_TOO_LARGE;
        memcpy(model->bytes + kept, ask->value.base, ask->value.count);
        model->count = kept + ask->value.count;
    }
    model->exists = true;
    return CAIRN_OK;
}

static void a_random_ask(ask_t *ask, random_t *random, const uint8_t *noise,
                         cairn_conditions_t *listed, uint64_t last_version)
{
    static const char *const keys[MODEL_KEYS] = {"a", "b", "c", "d", "e"};
    static const cairn_write_op_t ops[] = {CAIRN_WRITE_PUT,    CAIRN_WRITE_DELETE,
                                           CAIRN_WRITE_INCR,   CAIRN_WRITE_INCR,
                                           CAIRN_WRITE_APPEND, CAIRN_WRITE_APPEND};
    *ask =
        (ask_t){.op = ops[random_below(random, 6)],
                .key = keys[random_below(random, MODEL_KEYS)],
                .by = (int64_t)random_below(random, 1000),
                .durability = random_below(random, 2) ? CAIRN_SYNC : CAIRN_ASYNC,
                .value = {noise + random_below(random, 1000), sizes[random_below(random, SIZES)]}};
    if (random_below(random, 4) == 0)
        ask->value = text("7");
    *listed = if_match(last_version - random_below(random, 4));
    const cairn_conditions_t *conditions[] = {NULL, NULL, &if_match_any, &if_none, listed};
    ask->conditions = conditions[random_below(random, 5)];
}

static void behaves_like_a_model(void)
{
    static model_t models[MODEL_KEYS];
    static ask_t asks[64], wanted[64];
    static cairn_conditions_t listed[64];
    fixture_t f;
    random_t random = random_from(seed_of_run(), 4);
    uint8_t *noise = noise_of(30000);
    unsigned wrong = 0;
    memset(models, 0, sizeof(models));
    fixture_init(&f, TEMP_DIR_IN_MEMORY);
    f.options.segment_bytes = 256 * KIB;
    f.options.value_bytes_max = MODEL_BYTES_MAX;
    CU_ASSERT_EQUAL_FATAL(fixture_open(&f), CAIRN_OK);
    for (int round = 0; round < 150; ++round) {
        size_t count = 1 + random_below(&random, 64);
        uint64_t version = cairn_store_last_version(f.store) + 1; /* of the gate's write */
        for (size_t i = 0; i < count; ++i) {
            a_random_ask(&asks[i], &random, noise, &listed[i], version + i);
            model_t *model = &models[asks[i].key[0] - 'a'];
            wanted[i] = asks[i];
            wanted[i].existed = model->exists;
        }
        /* decided in the order they were asked, however many commits that takes */
        for (size_t i = 0; i < count; ++i) {
            model_t *model = &models[asks[i].key[0] - 'a'];
            wanted[i].existed = model->exists;
            wanted[i].err = model_write(model, &asks[i], &wanted[i].number);
            if (wanted[i].err == CAIRN_OK)
                model->version = ++version;
            wanted[i].version = wanted[i].err == CAIRN_OK || wanted[i].existed ? model->version : 0;
        }
        together(&f, asks, count);
        for (size_t i = 0; i < count; ++i)
            wrong += asks[i].err != wanted[i].err || asks[i].existed != wanted[i].existed ||
                     asks[i].version != wanted[i].version ||
                     (asks[i].op == CAIRN_WRITE_INCR && asks[i].err == CAIRN_OK &&
                      asks[i].number != wanted[i].number);
        if (round % 10 == 0)
            fixture_restart(&f);
        for (size_t i = 0; i < MODEL_KEYS; ++i) {
            char key[2] = {(char)('a' + i), '\0'};
            wrong += models[i].exists ? !has_bytes(&f, key, models[i].bytes, models[i].count)
                                      : !fixture_has(&f, key, NULL);
        }
        CU_ASSERT_EQUAL(stats_of(&f).last_version, version);
        if (wrong != 0) {
            fprintf(stderr, "\n    CAIRN_SEED=%" PRIu64 ", round %d", seed_of_run(), round);
            break;
        }
    }
    CU_ASSERT_EQUAL(wrong, 0);
    free(noise);
    fixture_dispose(&f);
}

void suite_decide(void)
{
    CU_pSuite s = CU_add_suite("decide: what comes of a write", NULL, NULL);
    CU_add_test(s, "conditions see what the index has", conditions_see_the_index);
    CU_add_test(s, "conditions see the writes before in the commit", conditions_see_the_commit);
    CU_add_test(s, "of a thousand that race one wins", of_many_that_race_one_wins);
    CU_add_test(s, "numbers are added, and nothing else is", numbers_are_added);
    CU_add_test(s, "many increments of one key in one commit", many_increments_in_one_commit);
    CU_add_test(s, "increments see the writes before in the commit", increments_see_the_commit);
    CU_add_test(s, "a number longer than what is copied", a_number_longer_than_is_copied);
    CU_add_test(s, "every size is appended to every size", every_size_is_appended_to_every_size);
    CU_add_test(s, "a put and appends of one key in one commit", appends_in_one_commit);
    CU_add_test(s, "a value grows over many segments", a_value_grows_over_many_segments);
    CU_add_test(s, "appends keep to the limit", appends_keep_to_the_limit);
    CU_add_test(s, "what is there keeps its meta", what_is_there_keeps_its_meta);
    CU_add_test(s, "a damaged value is not built upon", a_damaged_value_is_not_built_upon);
    CU_add_test(s, "what a write would wait for", what_a_write_would_wait_for);
    CU_add_test(s, "what has expired is gone for everyone", what_has_expired_is_gone);
    CU_add_test(s, "incr and append keep an expiry, put does not", who_keeps_an_expiry);
    CU_add_test(s, "a clock set back revives nothing", a_clock_set_back_revives_nothing);
    CU_add_test(s, "what a read called gone stays gone", what_a_read_called_gone_stays_gone);
    CU_add_test(s, "what gets side by side called gone stays gone",
                what_a_batch_called_gone_stays_gone);
    CU_add_test(s, "a sync makes what was async durable", a_sync_makes_what_was_async_durable);
    CU_add_test(s, "a sync among other writes", a_sync_among_other_writes);
    CU_add_test(s, "a sync that fails is said to", a_sync_that_fails_is_said_to);
    CU_add_test(s, "random writes do what a model does", behaves_like_a_model);
}
