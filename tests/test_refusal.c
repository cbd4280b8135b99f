/*
 * Does the store refuse what it cannot vouch for?
 */
#include "tests/store_fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <CUnit/CUnit.h>

#include "storage/record.h"
#include "tests/fault_os.h"
#include "tests/seed.h"
#include "tests/suites.h"

#define KIB ((size_t)1024)
#define MIB (1024 * KIB)

/* under a sanitizer opening a store takes ten times as long: fewer places are damaged then */
#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
#define STRIDE 5
#else
#define STRIDE 1
#endif

/* ---------------------------------------------------------------- damage */

/** a closed store of a few keys, all in one segment, the last write being key "last" */
static void make_small(fixture_t *f, char name[32])
{
    fixture_start(f, TEMP_DIR_IN_MEMORY);
    fixture_put(f, "a", "value of a");
    fixture_put(f, "b", "value of b");
    fixture_put(f, "last", "first value of last");
    fixture_put(f, "last", "second value of last");
    CU_ASSERT_EQUAL(fixture_close(f), CAIRN_OK);
    CU_ASSERT_FATAL(fixture_segment_name(f, 0, name));
}

/** the store with STORE forgetting how far the log reached, as after a crash; a copy each */
static void reopen_damaged(const char *name, const uint8_t *bytes, size_t count,
                           const uint8_t *store, size_t store_count, unsigned *refused,
                           unsigned *earlier, unsigned *whole)
{
    fixture_t f;
    fixture_init(&f, TEMP_DIR_IN_MEMORY);
    write_file(fixture_path(&f, name), bytes, count);
    write_file(fixture_path(&f, "STORE"), store, store_count);
    cairn_err_t err = fixture_open(&f);
    if (err != CAIRN_OK) {
        CU_ASSERT_EQUAL(err, CAIRN_ERR_CORRUPT);
        CU_ASSERT(f.errmsg[0] != '\0');
        ++*refused;
    } else {
        /* a prefix of what was written, never anything else */
        bool has_second = fixture_has(&f, "last", "second value of last");
        bool has_first = fixture_has(&f, "last", "first value of last");
        bool has_b = fixture_has(&f, "b", "value of b");
        bool has_a = fixture_has(&f, "a", "value of a");
        CU_ASSERT(has_second || has_first || fixture_has(&f, "last", NULL));
        CU_ASSERT(has_b || fixture_has(&f, "b", NULL));
        CU_ASSERT(has_a || fixture_has(&f, "a", NULL));
        CU_ASSERT(has_b >= (has_first || has_second) && has_a >= has_b);
        ++*(has_second ? whole : earlier);
        /* and it goes on from there */
        CU_ASSERT_EQUAL(fixture_put(&f, "more", "more").err, CAIRN_OK);
        fixture_restart(&f);
        CU_ASSERT(fixture_has(&f, "more", "more"));
        CU_ASSERT_EQUAL(fixture_has(&f, "a", "value of a"), has_a);
        CU_ASSERT_EQUAL(fixture_has(&f, "b", "value of b"), has_b);
    }
    fixture_dispose(&f);
}

/** the STORE of a store that has only just been made: it does not know how far the log reached */
static uint8_t *early_store(fixture_t *f, size_t *count)
{
    fixture_init(f, TEMP_DIR_IN_MEMORY);
    CU_ASSERT_EQUAL_FATAL(fixture_open(f), CAIRN_OK);
    uint8_t *store = read_file(fixture_path(f, "STORE"), count);
    fixture_put(f, "a", "value of a");
    fixture_put(f, "b", "value of b");
    fixture_put(f, "last", "first value of last");
    fixture_put(f, "last", "second value of last");
    CU_ASSERT_EQUAL(fixture_close(f), CAIRN_OK);
    return store;
}

/** where the records of a closed store with one segment end: behind its last MARK */
static size_t records_end(const uint8_t *bytes, size_t count)
{
    while (count > 0 && bytes[count - 1] == 0)
        --count;
    return (count + 7) / 8 * 8;
}

static void cut_at_every_byte(void)
{
    fixture_t f;
    char name[32];
    size_t store_count, count;
    unsigned refused = 0, earlier = 0, whole = 0;
    uint8_t *store = early_store(&f, &store_count);
    CU_ASSERT_FATAL(fixture_segment_name(&f, 0, name));
    uint8_t *bytes = read_file(fixture_path(&f, name), &count);
    size_t end = records_end(bytes, count);
    for (size_t cut = end - 300; cut <= end; cut += STRIDE)
        reopen_damaged(name, bytes, cut, store, store_count, &refused, &earlier, &whole);
    /* a file that is shorter than it was made is a loss that can be seen */
    CU_ASSERT_EQUAL(refused, 300 / STRIDE + 1);
    free(bytes);
    free(store);
    fixture_dispose(&f);
}

static void zeroed_from_every_byte(void)
{
    fixture_t f;
    char name[32];
    size_t store_count, count;
    unsigned refused = 0, earlier = 0, whole = 0;
    uint8_t *store = early_store(&f, &store_count);
    CU_ASSERT_FATAL(fixture_segment_name(&f, 0, name));
    uint8_t *bytes = read_file(fixture_path(&f, name), &count);
    size_t end = records_end(bytes, count);
    /* what a crash leaves of a commit: its beginning, and zeroes */
    for (size_t cut = end; cut >= 4096; --cut) {
        bytes[cut] = 0;
        if (cut % STRIDE == 0)
            reopen_damaged(name, bytes, count, store, store_count, &refused, &earlier, &whole);
    }
    CU_ASSERT_EQUAL(refused, 0);
    CU_ASSERT(whole >= 80 / STRIDE && earlier > 300 / STRIDE);
    free(bytes);
    free(store);
    fixture_dispose(&f);
}

static void any_byte_flipped(void)
{
    fixture_t f;
    char name[32];
    size_t store_count, count;
    unsigned refused = 0, earlier = 0, whole = 0;
    uint8_t *store = early_store(&f, &store_count);
    CU_ASSERT_FATAL(fixture_segment_name(&f, 0, name));
    uint8_t *bytes = read_file(fixture_path(&f, name), &count);
    size_t end = records_end(bytes, count);
    for (size_t at = 0; at < end; at += STRIDE) {
        if (at >= 64 && at < 4080)
            at = 4080; /* zeroes of the header, all under one checksum */
        bytes[at] ^= (uint8_t)(1 << at % 8);
        reopen_damaged(name, bytes, count, store, store_count, &refused, &earlier, &whole);
        bytes[at] ^= (uint8_t)(1 << at % 8);
    }
    /* the last MARK proves every record; only what is wrong in itself is taken for a torn write
     * (its last eight bytes are zeroes, and so not among those flipped) */
    CU_ASSERT_EQUAL(earlier, 0);
    CU_ASSERT_EQUAL(whole, (CAIRN_MARK_SPAN - 8) / STRIDE);
    CU_ASSERT(refused > 400 / STRIDE);
    free(bytes);
    free(store);
    fixture_dispose(&f);
}

static void a_damaged_value_is_said(void)
{
    static const size_t sizes[] = {100, 20000, 300 * KIB};
    fixture_t f;
    char name[32], key[16];
    fixture_init(&f, TEMP_DIR_ON_DISK);
    f.options.segment_bytes = 1 * MIB;
    CU_ASSERT_EQUAL_FATAL(fixture_open(&f), CAIRN_OK);
    for (size_t i = 0; i < 3; ++i) {
        snprintf(key, sizeof(key), "%zu", i);
        fixture_put_filled(&f, text(key), sizes[i], i, CAIRN_SYNC);
    }
    fixture_restart(&f);
    CU_ASSERT_FATAL(fixture_segment_name(&f, 0, name));
    size_t count;
    uint8_t *bytes = read_file(fixture_path(&f, name), &count);
    FILE *file = fopen(fixture_path(&f, name), "r+b");
    CU_ASSERT_PTR_NOT_NULL_FATAL(file);
    for (size_t i = 0; i < 3; ++i) {
        uint8_t *value = malloc(sizes[i]);
        CU_ASSERT_PTR_NOT_NULL_FATAL(value);
        random_fill(i, value, sizes[i]);
        uint8_t *found = memmem(bytes, count, value, sizes[i]);
        CU_ASSERT_PTR_NOT_NULL_FATAL(found);
        fseek(file, found - bytes + (long)sizes[i] / 2, SEEK_SET);
        fputc(value[sizes[i] / 2] ^ 0x10, file);
        free(value);
    }
    fclose(file);
    free(bytes);
    for (int round = 0; round < 3; ++round)
        for (size_t i = 0; i < 3; ++i) {
            cairn_value_t value;
            snprintf(key, sizeof(key), "%zu", i);
            CU_ASSERT_EQUAL(fixture_get(&f, text(key), &value), CAIRN_ERR_DAMAGED);
        }
    /* the key can be written again */
    CU_ASSERT(fixture_put_filled(&f, text("2"), 300 * KIB, 7, CAIRN_SYNC).existed);
    CU_ASSERT(fixture_has_filled(&f, text("2"), 300 * KIB, 7));
    fixture_dispose(&f);
}

static void a_damaged_head_hides_no_older_value(void)
{
    fixture_t f;
    char name[32];
    fixture_start(&f, TEMP_DIR_ON_DISK);
    fixture_put(&f, "k", "older");
    fixture_put(&f, "k", "a newer and longer value");
    fixture_restart(&f);
    CU_ASSERT_FATAL(fixture_segment_name(&f, 0, name));
    size_t count;
    uint8_t *bytes = read_file(fixture_path(&f, name), &count);
    uint8_t *found = memmem(bytes, count, "ka newer", 8);
    CU_ASSERT_PTR_NOT_NULL_FATAL(found);
    FILE *file = fopen(fixture_path(&f, name), "r+b");
    CU_ASSERT_PTR_NOT_NULL_FATAL(file);
    fseek(file, found - bytes - 30, SEEK_SET);
    fputc(0xee, file);
    fclose(file);
    free(bytes);
    cairn_value_t value;
    CU_ASSERT_EQUAL(fixture_get(&f, text("k"), &value), CAIRN_ERR_DAMAGED);
    fixture_dispose(&f);
}

/* ---------------------------------------------------------------- lost files */

static void make_rolled(fixture_t *f)
{
    fixture_start(f, TEMP_DIR_IN_MEMORY);
    for (uint64_t i = 0; i < 30; ++i) {
        char key[16];
        snprintf(key, sizeof(key), "%u", (unsigned)i);
        fixture_put_filled(f, text(key), 10000, i, CAIRN_SYNC);
    }
    CU_ASSERT_FATAL(fixture_segment_count(f) >= 5);
}

static void a_missing_middle_segment_is_refused(void)
{
    fixture_t f;
    char name[32];
    make_rolled(&f);
    cairn_segment_info_t infos[3];
    CU_ASSERT_EQUAL_FATAL(cairn_store_segments(f.store, 0, infos, 3), 3);
    CU_ASSERT_EQUAL(fixture_close(&f), CAIRN_OK);
    snprintf(name, sizeof(name), "%s", infos[1].name);
    CU_ASSERT_EQUAL_FATAL(unlink(fixture_path(&f, name)), 0);
    CU_ASSERT_EQUAL(fixture_open(&f), CAIRN_ERR_CORRUPT);
    char begins[64], ends[64];
    snprintf(begins, sizeof(begins), "begins at version %llu",
             (unsigned long long)infos[2].first_version);
    snprintf(ends, sizeof(ends), "ends at %llu", (unsigned long long)infos[1].first_version - 1);
    CU_ASSERT_PTR_NOT_NULL(strstr(f.errmsg, begins));
    CU_ASSERT_PTR_NOT_NULL(strstr(f.errmsg, ends));
    CU_ASSERT_PTR_NOT_NULL(strstr(f.errmsg, infos[2].name));
    fixture_dispose(&f);
}

static void a_missing_first_segment_is_refused(void)
{
    fixture_t f;
    cairn_segment_info_t info;
    make_rolled(&f);
    CU_ASSERT_EQUAL_FATAL(cairn_store_segments(f.store, 0, &info, 1), 1);
    CU_ASSERT_EQUAL(fixture_close(&f), CAIRN_OK);
    CU_ASSERT_EQUAL_FATAL(unlink(fixture_path(&f, info.name)), 0);
    CU_ASSERT_EQUAL(fixture_open(&f), CAIRN_ERR_CORRUPT);
    fixture_dispose(&f);
}

static void a_lost_newest_segment_is_noticed(void)
{
    fixture_t f;
    char name[32];
    make_rolled(&f);
    CU_ASSERT_EQUAL(fixture_close(&f), CAIRN_OK);
    CU_ASSERT_FATAL(fixture_segment_name(&f, 0, name));
    CU_ASSERT_EQUAL_FATAL(unlink(fixture_path(&f, name)), 0);
    CU_ASSERT_EQUAL(fixture_open(&f), CAIRN_ERR_CORRUPT);
    CU_ASSERT_PTR_NOT_NULL(strstr(f.errmsg, "STORE"));
    fixture_dispose(&f);
}

static void a_newest_segment_lost_after_a_crash_is_noticed(void)
{
    fixture_t f, copy;
    char name[32];
    fault_os_install();
    make_rolled(&f);
    /* STORE is replaced a moment after the roll; a copy taken then is what a crash leaves */
    fault_os_wait_until_quiet();
    fixture_init(&copy, TEMP_DIR_IN_MEMORY);
    copy_dir(f.dir.path, copy.dir.path);
    CU_ASSERT_FATAL(fixture_segment_name(&copy, 0, name));
    CU_ASSERT_EQUAL_FATAL(unlink(fixture_path(&copy, name)), 0);
    CU_ASSERT_EQUAL(fixture_open(&copy), CAIRN_ERR_CORRUPT);
    CU_ASSERT_PTR_NOT_NULL(strstr(copy.errmsg, name));
    fixture_dispose(&copy);
    fixture_dispose(&f);
    fault_os_remove();
}

/** zeroes back to an earlier commit look like a log that ended there; STORE knows better */
static void a_lost_tail_is_noticed(void)
{
    fixture_t f;
    char name[32];
    make_small(&f, name);
    size_t count;
    uint8_t *bytes = read_file(fixture_path(&f, name), &count);
    uint8_t *last = memmem(bytes, count, "second value of last", 20);
    CU_ASSERT_PTR_NOT_NULL_FATAL(last);
    size_t record = (size_t)(last - bytes) - 4 - CAIRN_RECORD_HEAD_BYTES;
    memset(bytes + record - CAIRN_MARK_SPAN, 0, count - record + CAIRN_MARK_SPAN);
    write_file(fixture_path(&f, name), bytes, count);
    CU_ASSERT_EQUAL(fixture_open(&f), CAIRN_ERR_CORRUPT);
    CU_ASSERT_PTR_NOT_NULL(strstr(f.errmsg, "ends at version 3, but 4 was on disk"));
    free(bytes);
    fixture_dispose(&f);
}

static void all_segments_lost_is_noticed(void)
{
    fixture_t f;
    char name[32];
    make_small(&f, name);
    CU_ASSERT_EQUAL_FATAL(unlink(fixture_path(&f, name)), 0);
    CU_ASSERT_EQUAL(fixture_open(&f), CAIRN_ERR_CORRUPT);
    fixture_dispose(&f);
}

static void segments_of_another_store_are_refused(void)
{
    fixture_t f, other;
    char name[32], other_name[32];
    size_t count;
    make_small(&f, name);
    make_small(&other, other_name);
    CU_ASSERT_STRING_EQUAL(name, other_name);
    uint8_t *bytes = read_file(fixture_path(&other, name), &count);
    write_file(fixture_path(&f, name), bytes, count);
    free(bytes);
    CU_ASSERT_EQUAL(fixture_open(&f), CAIRN_ERR_CORRUPT);
    CU_ASSERT_PTR_NOT_NULL(strstr(f.errmsg, "another store"));
    fixture_dispose(&other);
    fixture_dispose(&f);
}

static void a_cut_sealed_segment_is_refused(void)
{
    fixture_t f;
    cairn_segment_info_t info;
    make_rolled(&f);
    CU_ASSERT_EQUAL_FATAL(cairn_store_segments(f.store, 0, &info, 1), 1);
    CU_ASSERT_EQUAL(fixture_close(&f), CAIRN_OK);
    size_t count;
    uint8_t *bytes = read_file(fixture_path(&f, info.name), &count);
    static const size_t lost[] = {1, 8, 255, 256, 257, 5000, 50000};
    for (size_t i = 0; i < sizeof(lost) / sizeof(lost[0]); ++i) {
        write_file(fixture_path(&f, info.name), bytes, count - lost[i]);
        CU_ASSERT_EQUAL(fixture_open(&f), CAIRN_ERR_CORRUPT);
    }
    write_file(fixture_path(&f, info.name), bytes, count);
    CU_ASSERT_EQUAL(fixture_open(&f), CAIRN_OK);
    free(bytes);
    fixture_dispose(&f);
}

void suite_refusal(void)
{
    CU_pSuite s = CU_add_suite("refusal: damaged and lost files", NULL, NULL);
    CU_add_test(s, "a segment cut at any byte is refused", cut_at_every_byte);
    CU_add_test(s, "a log zeroed from any byte on gives an earlier state", zeroed_from_every_byte);
    CU_add_test(s, "any flipped byte is noticed or harmless", any_byte_flipped);
    CU_add_test(s, "a damaged value is said to be", a_damaged_value_is_said);
    CU_add_test(s, "a damaged head uncovers no older value", a_damaged_head_hides_no_older_value);
    CU_add_test(s, "a missing middle segment is refused", a_missing_middle_segment_is_refused);
    CU_add_test(s, "a missing first segment is refused", a_missing_first_segment_is_refused);
    CU_add_test(s, "a lost newest segment is noticed", a_lost_newest_segment_is_noticed);
    CU_add_test(s, "a newest segment lost after a crash is noticed",
                a_newest_segment_lost_after_a_crash_is_noticed);
    CU_add_test(s, "a tail that was lost to zeroes is noticed", a_lost_tail_is_noticed);
    CU_add_test(s, "the loss of all segments is noticed", all_segments_lost_is_noticed);
    CU_add_test(s, "a segment of another store is refused", segments_of_another_store_are_refused);
    CU_add_test(s, "a sealed segment that was cut is refused", a_cut_sealed_segment_is_refused);
}
