/*
 * What do incr and append make of what is there, in the index or earlier in the same commit?
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

static const cairn_bytes_t nothing;

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
    fixture_start_sized(&f, FIXTURE_SEGMENT_BYTES);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); ++i) {
        snprintf(key, sizeof(key), "%zu", i);
        uint64_t version = rows[i].before != NULL ? ask_put(&f, key, rows[i].before, 0).version : 0;
        uint64_t last = cairn_store_last_version(f.store);
        ask_t out = ask_incr(&f, key, rows[i].by);
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
    fixture_start_sized(&f, 1024 * KIB);
    for (size_t i = 0; i < TOGETHER_MAX; ++i)
        asks[i] = (ask_t){.op = CAIRN_WRITE_INCR,
                          .key = "n",
                          .by = 3,
                          .durability = i % 3 ? CAIRN_SYNC : CAIRN_ASYNC};
    CU_ASSERT(ask_together(&f, asks, TOGETHER_MAX) <= 2);
    for (size_t i = 0; i < TOGETHER_MAX; ++i) {
        CU_ASSERT_EQUAL(asks[i].err, CAIRN_OK);
        CU_ASSERT_EQUAL(asks[i].existed, i != 0);
        CU_ASSERT_EQUAL(asks[i].number, 3 * (int64_t)(i + 1));
    }
    for (int round = 0; round < 2; ++round) {
        CU_ASSERT(fixture_has(&f, "n", "3072"));
        fixture_restart(&f);
    }
    CU_ASSERT_EQUAL(ask_incr(&f, "n", 0).number, 3072);
    fixture_dispose(&f);
}

static void increments_see_the_commit(void)
{
    fixture_t f;
    fixture_start_sized(&f, FIXTURE_SEGMENT_BYTES);
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
    CU_ASSERT(ask_together(&f, asks, 8) <= 2);
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
    fixture_start_sized(&f, FIXTURE_SEGMENT_BYTES);
    ask_t asks[] = {
        {.op = CAIRN_WRITE_PUT, .key = "n", .value = text(digits)},
        {.op = CAIRN_WRITE_INCR, .key = "n", .by = 1},
    };
    CU_ASSERT(ask_together(&f, asks, 2) <=
              2); /* its pieces are joined: it need not wait for the next */
    CU_ASSERT(asks[1].err == CAIRN_OK && asks[1].number == 42);
    CU_ASSERT(fixture_has(&f, "n", "42"));
    fixture_dispose(&f);
}

/* ---------------------------------------------------------------- append */

static void every_size_is_appended_to_every_size(void)
{
    fixture_t f;
    char key[16];
    uint8_t *noise = ask_noise(40000);
    fixture_start_sized(&f, 256 * KIB);
    for (size_t i = 0; i < ASK_SIZES * ASK_SIZES; ++i) {
        size_t before = ask_sizes[i / ASK_SIZES], more = ask_sizes[i % ASK_SIZES];
        snprintf(key, sizeof(key), "%zu", i);
        CU_ASSERT_EQUAL(ask_append(&f, key, noise, before).err, CAIRN_OK);
        CU_ASSERT(ask_has_bytes(&f, key, noise, before));
        ask_t out = ask_append(&f, key, noise + before, more);
        CU_ASSERT(out.err == CAIRN_OK && out.existed);
        CU_ASSERT(ask_has_bytes(&f, key, noise, before + more));
    }
    for (int round = 0; round < 2; ++round) {
        fixture_restart(&f);
        for (size_t i = 0; i < ASK_SIZES * ASK_SIZES; ++i) {
            snprintf(key, sizeof(key), "%zu", i);
            CU_ASSERT(
                ask_has_bytes(&f, key, noise, ask_sizes[i / ASK_SIZES] + ask_sizes[i % ASK_SIZES]));
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
    uint8_t *noise = ask_noise(60000);
    fixture_start_sized(&f, 256 * KIB);
    for (size_t i = 0; i < ASK_SIZES * ASK_SIZES; ++i) {
        size_t a = ask_sizes[i / ASK_SIZES], b = ask_sizes[i % ASK_SIZES], c = i % 2 ? 10 : 5000;
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
        ask_together(&f, asks, 5);
        for (size_t j = 0; j < 5; ++j) {
            CU_ASSERT_EQUAL(asks[j].err, CAIRN_OK);
            CU_ASSERT_EQUAL(asks[j].version, first + j); /* none has overtaken another */
        }
        CU_ASSERT(!asks[0].existed && asks[2].existed && asks[3].existed);
        CU_ASSERT(ask_has_bytes(&f, key, noise, a + b + c));
    }
    fixture_restart(&f);
    for (size_t i = 0; i < ASK_SIZES * ASK_SIZES; ++i) {
        snprintf(key, sizeof(key), "%zu", i);
        CU_ASSERT(ask_has_bytes(&f, key, noise,
                                ask_sizes[i / ASK_SIZES] + ask_sizes[i % ASK_SIZES] +
                                    (i % 2 ? 10 : 5000)));
    }
    free(noise);
    fixture_dispose(&f);
}

/** the copies of one value fill segment after segment: an append is decided for one, logged in the
 * next */
static void a_value_grows_over_many_segments(void)
{
    fixture_t f;
    uint8_t *noise = ask_noise(60000);
    fixture_start_sized(&f, FIXTURE_SEGMENT_BYTES);
    size_t count = 0;
    for (size_t i = 0; count + 997 <= 60000; ++i, count += 997)
        CU_ASSERT_EQUAL(ask_append(&f, "k", noise + count, 997).err, CAIRN_OK);
    CU_ASSERT(ask_has_bytes(&f, "k", noise, count));
    cairn_store_stats_t stats;
    cairn_store_stats(f.store, &stats);
    CU_ASSERT(stats.segments > 20);
    /* it would not fit any segment */
    ask_t out = ask_append(&f, "k", noise, 997 * 4);
    CU_ASSERT_EQUAL(out.err, CAIRN_ERR_TOO_LARGE);
    fixture_restart(&f);
    CU_ASSERT(ask_has_bytes(&f, "k", noise, count));
    free(noise);
    fixture_dispose(&f);
}

static void appends_keep_to_the_limit(void)
{
    fixture_t f;
    uint8_t *noise = ask_noise(30000);
    fixture_init(&f, TEMP_DIR_IN_MEMORY);
    f.options.value_bytes_max = 10000;
    CU_ASSERT_EQUAL_FATAL(fixture_open(&f), CAIRN_OK);
    CU_ASSERT_EQUAL(ask_append(&f, "k", noise, 9000).err, CAIRN_OK);
    uint64_t version = ask_append(&f, "k", noise + 9000, 999).version;
    CU_ASSERT_EQUAL(ask_append(&f, "k", noise, 2).err, CAIRN_ERR_TOO_LARGE);
    CU_ASSERT_EQUAL(ask_append(&f, "k", noise + 9999, 1).err, CAIRN_OK);
    CU_ASSERT_EQUAL(ask_append(&f, "k", noise, 1).err, CAIRN_ERR_TOO_LARGE);
    ask_t out = ask_append(&f, "k", noise, 0);
    CU_ASSERT(out.err == CAIRN_OK && out.version == version + 2);
    /* and by what the same commit has made of it */
    ask_t asks[] = {{.op = CAIRN_WRITE_PUT, .key = "s", .value = {noise, 9000}},
                    {.op = CAIRN_WRITE_APPEND, .key = "s", .value = {noise, 1001}},
                    {.op = CAIRN_WRITE_APPEND, .key = "s", .value = {noise + 9000, 1000}}};
    ask_together(&f, asks, 3);
    CU_ASSERT_EQUAL(asks[1].err, CAIRN_ERR_TOO_LARGE);
    CU_ASSERT_EQUAL(asks[2].err, CAIRN_OK);
    fixture_restart(&f);
    CU_ASSERT(ask_has_bytes(&f, "k", noise, 10000));
    CU_ASSERT(ask_has_bytes(&f, "s", noise, 10000));
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
    uint8_t *noise = ask_noise(20000);
    fixture_start_sized(&f, 256 * KIB);
    static const cairn_write_op_t ops[] = {CAIRN_WRITE_INCR, CAIRN_WRITE_APPEND};
    for (size_t i = 0; i < 2; ++i) {
        cairn_bytes_t old_meta = {old.bytes, old.count}, new_meta = {new.bytes, new.count};
        const char *kept = i ? "kept by append" : "kept by incr";
        const char *made = i ? "made by append" : "made by incr";
        ask_alone(
            &f, (ask_t){.op = CAIRN_WRITE_PUT, .key = kept, .value = text("1"), .meta = old_meta});
        ask_t ask = {.op = ops[i], .key = kept, .value = text("2"), .by = 11, .meta = new_meta};
        CU_ASSERT_EQUAL(ask_alone(&f, ask).err, CAIRN_OK);
        ask.key = made;
        CU_ASSERT_EQUAL(ask_alone(&f, ask).err, CAIRN_OK);
        CU_ASSERT_EQUAL(ask_alone(&f, ask).err, CAIRN_OK);
        /* in one commit with what made it */
        ask_t asks[] = {{.op = CAIRN_WRITE_DELETE, .key = kept}, ask, ask};
        asks[1].key = asks[2].key = kept;
        asks[1].meta = old_meta;
        CU_ASSERT(ask_together(&f, asks, 3) <= 2);
    }
    ask_t asks[] = {{.op = CAIRN_WRITE_PUT,
                     .key = "large",
                     .value = {noise, 10000},
                     .meta = {old.bytes, old.count}},
                    {.op = CAIRN_WRITE_APPEND,
                     .key = "large",
                     .value = {noise + 10000, 10000},
                     .meta = {new.bytes, new.count}}};
    ask_together(&f, asks, 2);
    for (int round = 0; round < 2; ++round) {
        CU_ASSERT(has_meta(&f, "kept by incr", &old));
        CU_ASSERT(fixture_has(&f, "kept by incr", "22"));
        CU_ASSERT(has_meta(&f, "kept by append", &old));
        CU_ASSERT(fixture_has(&f, "kept by append", "22"));
        CU_ASSERT(has_meta(&f, "made by incr", &new));
        CU_ASSERT(has_meta(&f, "made by append", &new));
        CU_ASSERT(has_meta(&f, "large", &old));
        CU_ASSERT(ask_has_bytes(&f, "large", noise, 20000));
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
    uint8_t *noise = ask_noise(20000);
    fixture_start_sized(&f, 256 * KIB);
    for (size_t i = 0; i < 2; ++i) {
        snprintf(key, sizeof(key), "%zu", i);
        ask_append(&f, key, noise, damaged[i]);
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
        CU_ASSERT_EQUAL(ask_append(&f, key, "x", 1).err, CAIRN_ERR_DAMAGED);
        CU_ASSERT_EQUAL(ask_incr(&f, key, 1).err, CAIRN_ERR_DAMAGED);
        CU_ASSERT(ask_put(&f, key, "new", 0).existed);
        CU_ASSERT_EQUAL(ask_append(&f, key, "er", 2).err, CAIRN_OK);
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
    uint8_t *noise = ask_noise(300 * KIB);
    fixture_init(&f, TEMP_DIR_ON_DISK);
    f.options.segment_bytes = 4096 * KIB;
    fault_os_install();
    CU_ASSERT_EQUAL_FATAL(fixture_open(&f), CAIRN_OK);
    ask_append(&f, "large", noise, 300 * KIB);
    ask_append(&f, "small", noise, 1000);
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
    /* nor does a load for what it shares blocks with, which is asked for */
    CU_ASSERT_EQUAL(peeked(&f, "small", true), CAIRN_ERR_COLD);
    fault_os_heal();
    CU_ASSERT_EQUAL(peeked(&f, "large", true), CAIRN_OK);
    CU_ASSERT_EQUAL(peeked(&f, "small", true), CAIRN_OK);
    /* the writer itself waits for what is cold */
    fixture_drop_caches(&f);
    CU_ASSERT_EQUAL(ask_append(&f, "large", noise, 1).err, CAIRN_OK);
    CU_ASSERT_EQUAL(ask_append(&f, "small", noise + 1000, 1000).err, CAIRN_OK);
    CU_ASSERT(ask_has_bytes(&f, "small", noise, 2000));
    CU_ASSERT_EQUAL(fixture_close(&f), CAIRN_OK);
    fault_os_remove();
    fixture_dispose(&f);
    free(noise);
}

void suite_decide_values(void)
{
    CU_pSuite s =
        CU_add_suite("decide_values: what incr and append make of what is there", NULL, NULL);
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
}
