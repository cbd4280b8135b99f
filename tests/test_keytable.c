/*
 * Has each sealed segment a table of its keys, in order, that is believed only where it is right?
 */
#include <CUnit/CUnit.h>

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <sys/stat.h>
#include <unistd.h>

#include "storage/keysort.h"
#include "storage/keytable_internal.h"
#include "storage/os.h"
#include "storage/store_internal.h"
#include "tests/fault_os.h"
#include "tests/seed.h"
#include "tests/store_fixture.h"
#include "tests/suites.h"

/** writes until the segment is full, with keys of all kinds, so that one sealed segment is there */
static void fill_a_segment(fixture_t *f, unsigned value_bytes, uint64_t salt)
{
    random_t random = random_from(seed_of_run(), salt);
    cairn_store_stats_t stats;
    char value[4096];
    memset(value, 'v', sizeof(value));
    do {
        char key[64];
        size_t n =
            (size_t)snprintf(key, sizeof(key), "key/%u", (unsigned)random_below(&random, 99));
        if (random_below(&random, 4) == 0)
            key[n++] = (char)random_below(&random, 256); /* any byte, NUL among them */
        cairn_write_op_t op = random_below(&random, 5) == 0 ? CAIRN_WRITE_DELETE : CAIRN_WRITE_PUT;
        size_t bytes = op == CAIRN_WRITE_PUT ? value_bytes : 0;
        fixture_write(f, op, (cairn_bytes_t){key, n}, (cairn_bytes_t){0},
                      (cairn_bytes_t){value, bytes}, CAIRN_ASYNC);
        cairn_store_stats(f->store, &stats);
    } while (stats.segments < 2);
}

static void wait_until_sealed(cairn_segment_t *segment)
{
    for (int i = 0; i < 5000 && !atomic_load(&segment->sealed); ++i)
        usleep(1000);
    CU_ASSERT_FATAL(atomic_load(&segment->sealed));
}

static void open_with_a_segment_of(fixture_t *f, uint64_t segment_bytes, unsigned value_bytes)
{
    fixture_init(f, TEMP_DIR_IN_MEMORY);
    f->options.segment_bytes = segment_bytes;
    f->options.upkeep_by_hand = true;
    f->options.no_compaction = true;
    CU_ASSERT_EQUAL_FATAL(fixture_open(f), CAIRN_OK);
    fill_a_segment(f, value_bytes, value_bytes);
    wait_until_sealed(f->store->segments.list[0]);
}

static void open_with_a_sealed_segment(fixture_t *f, unsigned value_bytes)
{
    open_with_a_segment_of(f, FIXTURE_SEGMENT_BYTES, value_bytes);
}

static cairn_segment_t *segment_of(fixture_t *f)
{
    return f->store->segments.list[0];
}

static const char *table_path(fixture_t *f)
{
    char name[CAIRN_KEYTABLE_NAME_BYTES];
    cairn_keytable_name(name, segment_of(f)->first_version, segment_of(f)->generation);
    return fixture_path(f, name);
}

/** the last record of a key in the segment, found by walking all of it; NULL if there is none */
static const cairn_record_t *last_record_of(const cairn_segment_t *segment, cairn_bytes_t key)
{
    const cairn_record_t *last = NULL;
    for (uint64_t at = CAIRN_SEGMENT_HEADER_BYTES; at < atomic_load(&segment->end);) {
        const cairn_record_t *r = (const cairn_record_t *)(segment->map + at);
        if (r->key_bytes == key.count && key.count != 0 &&
            memcmp(cairn_record_key(r), key.base, key.count) == 0)
            last = r;
        at += cairn_record_bytes(r);
    }
    return last;
}

/** keys of the segment, each counted once, by looking for a later record of the same key */
static uint64_t count_keys(const cairn_segment_t *segment)
{
    uint64_t count = 0;
    for (uint64_t at = CAIRN_SEGMENT_HEADER_BYTES; at < atomic_load(&segment->end);) {
        const cairn_record_t *r = (const cairn_record_t *)(segment->map + at);
        cairn_bytes_t key = {cairn_record_key(r), r->key_bytes};
        count += r->key_bytes != 0 && last_record_of(segment, key) == r;
        at += cairn_record_bytes(r);
    }
    return count;
}

static void check_entry(const cairn_segment_t *segment, const cairn_keytable_cursor_t *cursor)
{
    const cairn_record_t *r = last_record_of(segment, cursor->key);
    CU_ASSERT_PTR_NOT_NULL_FATAL(r);
    CU_ASSERT_PTR_EQUAL(r, segment->map + cursor->entry.offset);
    CU_ASSERT_EQUAL(cursor->entry.version, r->version);
    CU_ASSERT_EQUAL(cursor->entry.value_bytes, r->value_bytes);
    CU_ASSERT_EQUAL(cursor->entry.meta_bytes, r->meta_bytes);
    CU_ASSERT_EQUAL(cairn_keytable_type(&cursor->entry), cairn_record_type(r));
    CU_ASSERT_EQUAL(cairn_keytable_expiry_ms(&cursor->entry), cairn_record_expiry_ms(r));
}

static void it_has_the_last_record_of_each_key_in_order(void)
{
    fixture_t f;
    char before[CAIRN_KEY_BYTES_MAX] = "";
    size_t before_bytes = 0;
    uint64_t count = 0;
    open_with_a_sealed_segment(&f, 40);
    cairn_store_upkeep(f.store);
    const cairn_keytable_t *table = atomic_load(&segment_of(&f)->keys);
    CU_ASSERT_PTR_NOT_NULL_FATAL(table);
    CU_ASSERT_EQUAL(cairn_keytable_verify(table), CAIRN_OK);
    cairn_keytable_cursor_t cursor = {.table = table};
    cairn_err_t err;
    while ((err = cairn_keytable_next(&cursor)) == CAIRN_OK) {
        CU_ASSERT(cairn_key_compare((cairn_bytes_t){before, before_bytes}, cursor.key) < 0);
        check_entry(segment_of(&f), &cursor);
        memcpy(before, cursor.key.base, before_bytes = cursor.key.count);
        ++count;
    }
    CU_ASSERT_EQUAL(err, CAIRN_ERR_NOT_FOUND);
    CU_ASSERT_EQUAL(count, cairn_keytable_entry_count(table));
    CU_ASSERT_EQUAL(count, count_keys(segment_of(&f)));
    CU_ASSERT(count > 50);
    cairn_keytable_cursor_dispose(&cursor);
    fixture_dispose(&f);
}

static void a_seek_finds_the_first_key_that_is_not_less(void)
{
    fixture_t f;
    open_with_a_sealed_segment(&f, 40);
    cairn_store_upkeep(f.store);
    const cairn_keytable_t *table = atomic_load(&segment_of(&f)->keys);
    CU_ASSERT_PTR_NOT_NULL_FATAL(table);
    cairn_keytable_cursor_t cursor = {.table = table}, walk = {.table = table};
    cairn_bytes_t least, greatest;
    CU_ASSERT(cairn_keytable_bounds(table, &least, &greatest));
    CU_ASSERT_EQUAL(cairn_keytable_seek(&cursor, (cairn_bytes_t){"", 0}), CAIRN_OK);
    CU_ASSERT_EQUAL(cairn_key_compare(cursor.key, least), 0);
    /* to each key, and to what follows each key at once */
    cairn_err_t err = CAIRN_OK;
    while (err == CAIRN_OK && cairn_keytable_next(&walk) == CAIRN_OK) {
        char key[128];
        size_t n = walk.key.count;
        memcpy(key, walk.key.base, n);
        CU_ASSERT_EQUAL(cairn_keytable_seek(&cursor, walk.key), CAIRN_OK);
        CU_ASSERT_EQUAL(cairn_key_compare(cursor.key, walk.key), 0);
        key[n] = '\0';
        err = cairn_keytable_seek(&cursor, (cairn_bytes_t){key, n + 1});
        if (err == CAIRN_OK)
            CU_ASSERT(cairn_key_compare(cursor.key, walk.key) > 0);
    }
    CU_ASSERT_EQUAL(err, CAIRN_ERR_NOT_FOUND); /* behind the last one */
    CU_ASSERT_EQUAL(cairn_key_compare(walk.key, greatest), 0);
    cairn_keytable_cursor_dispose(&cursor);
    cairn_keytable_cursor_dispose(&walk);
    fixture_dispose(&f);
}

static void a_version_leads_to_a_place_just_before_its_record(void)
{
    fixture_t f;
    open_with_a_segment_of(&f, (uint64_t)256 << 10, 8);
    cairn_store_upkeep(f.store);
    const cairn_segment_t *segment = segment_of(&f);
    const cairn_keytable_t *table = atomic_load(&segment->keys);
    CU_ASSERT_PTR_NOT_NULL_FATAL(table);
    uint64_t last = segment->counts.last_version;
    CU_ASSERT_FATAL(last > CAIRN_KEYTABLE_PLACE_RECORDS);
    for (uint64_t version = segment->first_version; version <= last; ++version) {
        uint64_t at = cairn_keytable_offset_of(table, version), records = 0;
        const cairn_record_t *r;
        while (r = (const cairn_record_t *)(segment->map + at), r->version < version) {
            records += r->key_bytes != 0;
            at += cairn_record_bytes(r);
        }
        CU_ASSERT(r->version == version && records < CAIRN_KEYTABLE_PLACE_RECORDS);
    }
    CU_ASSERT_EQUAL(cairn_keytable_offset_of(table, 0), CAIRN_SEGMENT_HEADER_BYTES);
    fixture_dispose(&f);
}

/** whether a table that was tampered with is refused, or is as it was */
static bool is_noticed_or_harmless(fixture_t *f, const void *whole, const void *tampered,
                                   size_t count)
{
    char errmsg[CAIRN_ERRMSG_BYTES];
    cairn_keytable_t *table;
    cairn_err_t err = cairn_keytable_open(&table, segment_of(f), &f->store->dir, errmsg);
    if (err != CAIRN_OK)
        return err == CAIRN_ERR_CORRUPT && strstr(errmsg, ".keys: ") != NULL;
    err = cairn_keytable_verify(table);
    cairn_keytable_close(table);
    return err == CAIRN_ERR_DAMAGED || (count != 0 && memcmp(whole, tampered, count) == 0);
}

static void each_flipped_bit_is_noticed(void)
{
    fixture_t f;
    size_t count, missed = 0;
    open_with_a_sealed_segment(&f, 4000); /* few keys: a small table */
    cairn_store_upkeep(f.store);
    uint8_t *whole = read_file(table_path(&f), &count);
    CU_ASSERT_FATAL(count > 500 && count < 8000);
    uint8_t *tampered = malloc(count);
    memcpy(tampered, whole, count);
    for (size_t bit = 0; bit < count * 8; ++bit) {
        tampered[bit / 8] ^= (uint8_t)(1 << bit % 8);
        write_file(table_path(&f), tampered, count);
        missed += !is_noticed_or_harmless(&f, whole, tampered, count);
        tampered[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    CU_ASSERT_EQUAL(missed, 0);
    free(tampered);
    free(whole);
    fixture_dispose(&f);
}

static void each_truncation_is_noticed(void)
{
    fixture_t f;
    size_t count, missed = 0;
    open_with_a_sealed_segment(&f, 4000);
    cairn_store_upkeep(f.store);
    uint8_t *whole = read_file(table_path(&f), &count);
    for (size_t bytes = 0; bytes < count; ++bytes) {
        write_file(table_path(&f), whole, bytes);
        missed += !is_noticed_or_harmless(&f, whole, NULL, 0);
    }
    CU_ASSERT_EQUAL(missed, 0);
    free(whole);
    fixture_dispose(&f);
}

/** after a restart and upkeep, the segment has a whole table */
static void check_that_it_is_made_anew(fixture_t *f)
{
    fixture_restart(f);
    cairn_store_upkeep(f->store);
    const cairn_keytable_t *table = atomic_load(&segment_of(f)->keys);
    CU_ASSERT_PTR_NOT_NULL_FATAL(table);
    CU_ASSERT_EQUAL(cairn_keytable_verify(table), CAIRN_OK);
}

static void one_that_is_lost_damaged_or_foreign_is_made_anew(void)
{
    fixture_t f;
    size_t count, other_count;
    open_with_a_sealed_segment(&f, 40);
    cairn_store_upkeep(f.store);
    uint8_t *whole = read_file(table_path(&f), &count);
    CU_ASSERT_EQUAL(unlink(table_path(&f)), 0);
    check_that_it_is_made_anew(&f);
    uint8_t *again = read_file(table_path(&f), &other_count);
    CU_ASSERT(count == other_count && memcmp(whole, again, count) == 0);
    again[count / 2] ^= 1; /* in a block or in the index: found by reading it */
    write_file(table_path(&f), again, count / 3);
    check_that_it_is_made_anew(&f);
    free(again);

    fixture_t g;
    fixture_init(&g, TEMP_DIR_IN_MEMORY);
    g.options.upkeep_by_hand = true;
    CU_ASSERT_EQUAL_FATAL(fixture_open(&g), CAIRN_OK);
    fill_a_segment(&g, 40, 1);
    wait_until_sealed(segment_of(&g));
    cairn_store_upkeep(g.store);
    again = read_file(table_path(&g), &other_count);
    write_file(table_path(&f), again, other_count);
    check_that_it_is_made_anew(&f);
    free(again);
    free(whole);
    fixture_dispose(&g);
    fixture_dispose(&f);
}

static void a_block_found_to_be_damaged_has_the_table_made_anew(void)
{
    fixture_t f;
    open_with_a_sealed_segment(&f, 40);
    cairn_store_upkeep(f.store);
    cairn_keytable_t *table = atomic_load(&segment_of(&f)->keys);
    CU_ASSERT_PTR_NOT_NULL_FATAL(table);
    atomic_store(&table->is_damaged, true);
    cairn_store_upkeep(f.store);
    const cairn_keytable_t *anew = atomic_load(&segment_of(&f)->keys);
    CU_ASSERT_PTR_NOT_EQUAL(anew, table);
    CU_ASSERT_EQUAL(cairn_keytable_verify(anew), CAIRN_OK);
    CU_ASSERT_EQUAL(cairn_keytable_verify(table), CAIRN_OK); /* who still looks at it may */
    fixture_dispose(&f);
}

static void leftovers_are_removed(void)
{
    fixture_t f;
    open_with_a_sealed_segment(&f, 40);
    cairn_store_upkeep(f.store);
    write_file(fixture_path(&f, "0000000000000001-0000.keys.tmp"), "x", 1);
    write_file(fixture_path(&f, "00000000000000ff-0003.keys"), "x", 1);
    write_file(fixture_path(&f, "0000000000000001.keys"), "x", 1); /* not of ours */
    fixture_restart(&f);
    CU_ASSERT_EQUAL(access(fixture_path(&f, "0000000000000001-0000.keys.tmp"), F_OK), -1);
    CU_ASSERT_EQUAL(access(fixture_path(&f, "00000000000000ff-0003.keys"), F_OK), -1);
    CU_ASSERT_EQUAL(access(fixture_path(&f, "0000000000000001.keys"), F_OK), 0);
    CU_ASSERT_EQUAL(access(table_path(&f), F_OK), 0);
    fixture_dispose(&f);
}

/** a full segment of one key, sealed just now */
static void open_with_a_dead_segment(fixture_t *f, bool no_compaction)
{
    cairn_store_stats_t stats;
    char value[400] = {0};
    fixture_init(f, TEMP_DIR_IN_MEMORY);
    f->options.upkeep_by_hand = true;
    f->options.no_compaction = no_compaction;
    CU_ASSERT_EQUAL_FATAL(fixture_open(f), CAIRN_OK);
    do {
        fixture_write(f, CAIRN_WRITE_PUT, (cairn_bytes_t){"key", 3}, (cairn_bytes_t){0},
                      (cairn_bytes_t){value, sizeof(value)}, CAIRN_ASYNC);
        cairn_store_stats(f->store, &stats);
    } while (stats.segments < 2);
    wait_until_sealed(segment_of(f));
}

static void one_that_is_mostly_dead_is_left_to_compaction_for_a_while(void)
{
    fixture_t f;
    open_with_a_dead_segment(&f, false);
    segment_of(&f)->sealed_ms = cairn_os->now_ms(); /* however long the test was held up */
    CU_ASSERT_FALSE(cairn_store_keytable_job(f.store, f.store->upkeep));
    CU_ASSERT_PTR_NULL(atomic_load(&segment_of(&f)->keys));
    segment_of(&f)->sealed_ms -= 3000;
    CU_ASSERT_TRUE(cairn_store_keytable_job(f.store, f.store->upkeep));
    CU_ASSERT_PTR_NOT_NULL(atomic_load(&segment_of(&f)->keys));
    fixture_dispose(&f);
    /* there is nobody to leave it to */
    open_with_a_dead_segment(&f, true);
    CU_ASSERT_TRUE(cairn_store_keytable_job(f.store, f.store->upkeep));
    CU_ASSERT_PTR_NOT_NULL(atomic_load(&segment_of(&f)->keys));
    fixture_dispose(&f);
}

static void it_is_there_in_memory_too(void)
{
    fixture_t f;
    fixture_init(&f, TEMP_DIR_IN_MEMORY);
    f.options.path = NULL;
    f.options.upkeep_by_hand = true;
    CU_ASSERT_EQUAL_FATAL(fixture_open(&f), CAIRN_OK);
    fill_a_segment(&f, 40, 2);
    wait_until_sealed(segment_of(&f));
    cairn_store_upkeep(f.store);
    const cairn_keytable_t *table = atomic_load(&segment_of(&f)->keys);
    CU_ASSERT_PTR_NOT_NULL_FATAL(table);
    CU_ASSERT_EQUAL(cairn_keytable_verify(table), CAIRN_OK);
    CU_ASSERT_EQUAL(cairn_keytable_entry_count(table), count_keys(segment_of(&f)));
    fixture_dispose(&f);
}

static const struct {
    fault_function_t function;
    int error;
} faults[] = {{FAULT_open, EMFILE},   {FAULT_pwritev, ENOSPC}, {FAULT_pwritev, EIO},
              {FAULT_sync, EIO},      {FAULT_rename, EIO},     {FAULT_alloc, ENOMEM},
              {FAULT_calloc, ENOMEM}, {FAULT_pread, EIO},      {FAULT_reserve, ENOMEM},
              {FAULT_map, ENOMEM},    {FAULT_populate, EFAULT}};

/** the nth call of one function fails while a table is made; false once nothing has failed */
static bool survives(fixture_t *f, size_t fault, uint64_t nth)
{
    cairn_keytable_t *table = NULL;
    fault_os_reset();
    fault_os_fail(faults[fault].function, nth, faults[fault].error, false);
    cairn_err_t err = cairn_keytable_make(&table, segment_of(f), &f->store->dir, NULL, NULL);
    bool has_fired = fault_os_has_fired();
    fault_os_heal();
    /* what was not brought in ahead is read when it is touched: it may go well all the same */
    bool is_needed = faults[fault].function != FAULT_populate;
    CU_ASSERT(err != CAIRN_OK || !has_fired || !is_needed);
    if (err == CAIRN_OK) {
        CU_ASSERT_EQUAL(cairn_keytable_verify(table), CAIRN_OK);
        cairn_keytable_close(table);
    }
    char tmp[64];
    snprintf(tmp, sizeof(tmp), "%016llx-0000.keys.tmp",
             (unsigned long long)segment_of(f)->first_version);
    CU_ASSERT_EQUAL(access(fixture_path(f, tmp), F_OK), -1);
    return has_fired;
}

static void whatever_fails_while_it_is_made_leaves_nothing_behind(void)
{
    fixture_t f;
    fault_os_install();
    open_with_a_sealed_segment(&f, 400);
    fault_os_wait_until_quiet();
    size_t descriptors = open_descriptors();
    for (size_t i = 0; i < sizeof(faults) / sizeof(faults[0]); ++i)
        for (uint64_t nth = 1; nth < 200 && survives(&f, i, nth); ++nth)
            ;
    fault_os_reset();
    CU_ASSERT_EQUAL(open_descriptors(), descriptors);
    fixture_dispose(&f);
    fault_os_remove();
}

/** the process dies behind so many changes on disk while a table is made; whether it was made */
static bool dies_after(uint64_t step)
{
    fixture_t f;
    cairn_keytable_t *table = NULL;
    struct stat tmp;
    open_with_a_sealed_segment(&f, 400);
    uint64_t keys = count_keys(segment_of(&f));
    fault_os_wait_until_quiet();
    fault_os_freeze_after(step, step % 2 != 0);
    bool is_made =
        cairn_keytable_make(&table, segment_of(&f), &f.store->dir, NULL, NULL) == CAIRN_OK;
    if (is_made)
        cairn_keytable_close(table);
    fixture_close(&f);
    fault_os_reset();
    CU_ASSERT_EQUAL_FATAL(fixture_open(&f), CAIRN_OK);
    CU_ASSERT_EQUAL(stat(fixture_path(&f, "0000000000000001-0000.keys.tmp"), &tmp), -1);
    /* there is none, or a whole one; if there is none, upkeep makes one */
    cairn_store_upkeep(f.store);
    const cairn_keytable_t *found = cairn_keytable_of(segment_of(&f));
    CU_ASSERT_PTR_NOT_NULL_FATAL(found);
    CU_ASSERT_EQUAL(cairn_keytable_verify(found), CAIRN_OK);
    CU_ASSERT_EQUAL(cairn_keytable_entry_count(found), keys);
    fixture_dispose(&f);
    return is_made;
}

static void a_crash_at_any_step_leaves_none_or_a_whole_one(void)
{
    uint64_t step = 0;
    fault_os_install();
    while (!dies_after(step) && step < 200)
        ++step;
    printf("(%llu steps) ", (unsigned long long)step);
    CU_ASSERT(step >= 4 && step < 200); /* it is created, written, synced, renamed, synced */
    fault_os_remove();
}

/* ---------------------------------------------------------------- sorting */

/** a segment in memory of nothing but heads and keys, which is all that sorting looks at */
static uint64_t lay_out(uint8_t *map, cairn_keyplace_t *places, size_t count,
                        size_t (*make_key)(uint64_t number, uint8_t *key))
{
    uint64_t at = CAIRN_SEGMENT_HEADER_BYTES;
    for (size_t i = 0; i < count; ++i) {
        cairn_record_t *r = (cairn_record_t *)(map + at);
        memset(r, 0, sizeof(*r));
        r->key_bytes = (uint16_t)make_key(i, (uint8_t *)(r + 1));
        places[i].place = (cairn_place_t)(at / CAIRN_RECORD_ALIGN);
        at += cairn_record_bytes(r);
    }
    return at;
}

static cairn_bytes_t key_at(const uint8_t *map, cairn_place_t place)
{
    const cairn_record_t *r = (const cairn_record_t *)(map + (uint64_t)place * CAIRN_RECORD_ALIGN);
    return (cairn_bytes_t){cairn_record_key(r), r->key_bytes};
}

static size_t mixed_key(uint64_t number, uint8_t *key)
{
    random_t random = random_from(seed_of_run(), number % 3000); /* so some come again */
    size_t bytes = 1 + random_below(&random, 30);
    for (size_t i = 0; i < bytes; ++i)
        key[i] = (uint8_t)(random_below(&random, 3) * 127); /* 0, 127, 254: many begin alike */
    return bytes;
}

static size_t long_key(uint64_t number, uint8_t *key)
{
    memset(key, 'x', CAIRN_KEY_BYTES_MAX);
    memcpy(key + CAIRN_KEY_BYTES_MAX - 4, &(uint32_t){(uint32_t)(number * 2654435761u)}, 4);
    return number % 2 == 0 ? CAIRN_KEY_BYTES_MAX : 1 + number % (CAIRN_KEY_BYTES_MAX - 1);
}

static void check_sort(size_t count, size_t key_bytes_max,
                       size_t (*make_key)(uint64_t number, uint8_t *key))
{
    uint8_t *map = calloc(1, CAIRN_SEGMENT_HEADER_BYTES + count * (64 + key_bytes_max));
    cairn_keyplace_t *places = calloc(count, sizeof(*places));
    cairn_segment_t segment = {.map = map};
    uint64_t end = lay_out(map, places, count, make_key);
    size_t kept = count, wrong = 0;
    CU_ASSERT_FATAL(cairn_keysort(&segment, end, places, &kept));
    for (size_t i = 1; i < kept; ++i)
        wrong +=
            cairn_key_compare(key_at(map, places[i - 1].place), key_at(map, places[i].place)) >= 0;
    CU_ASSERT_EQUAL(wrong, 0);
    /* of each key the last place: walking on from it, there is no such key any more */
    for (size_t i = 0; i < kept; i += kept / 50 + 1)
        for (uint64_t at = (uint64_t)places[i].place * CAIRN_RECORD_ALIGN; at < end;) {
            const cairn_record_t *r = (const cairn_record_t *)(map + at);
            cairn_place_t place = (cairn_place_t)(at / CAIRN_RECORD_ALIGN);
            wrong += place != places[i].place &&
                     cairn_key_compare(key_at(map, place), key_at(map, places[i].place)) == 0;
            at += cairn_record_bytes(r);
        }
    CU_ASSERT_EQUAL(wrong, 0);
    CU_ASSERT(kept > count / 4);
    free(places);
    free(map);
}

static void keys_of_any_bytes_are_sorted_and_the_last_of_each_stays(void)
{
    check_sort(1, 31, mixed_key);
    check_sort(10000, 31, mixed_key);
    check_sort(2000, CAIRN_KEY_BYTES_MAX, long_key);
}

static size_t counted_key(uint64_t number, uint8_t *key)
{
    return (size_t)sprintf((char *)key, "user:%08u:name",
                           (unsigned)(number * 2654435761u % 100000000u));
}

static void half_a_million_keys_are_sorted_fast(void)
{
    const size_t count = 500000;
    uint8_t *map = calloc(1, CAIRN_SEGMENT_HEADER_BYTES + count * 80);
    cairn_keyplace_t *places = calloc(count, sizeof(*places));
    cairn_segment_t segment = {.map = map};
    uint64_t end = lay_out(map, places, count, counted_key);
    struct timespec begin, done;
    size_t kept = count;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &begin);
    CU_ASSERT(cairn_keysort(&segment, end, places, &kept));
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &done);
    double ms =
        (double)(done.tv_sec - begin.tv_sec) * 1e3 + (double)(done.tv_nsec - begin.tv_nsec) / 1e6;
    printf("(%zu keys in %.0f ms) ", count, ms);
    CU_ASSERT(ms < 5000); /* of the processor: about 100 without sanitizers, on a quiet machine */
    free(places);
    free(map);
}

void suite_keytable(void)
{
    CU_pSuite s = CU_add_suite("keytable", NULL, NULL);
    CU_add_test(s, "keys of any bytes are sorted, and the last of each stays",
                keys_of_any_bytes_are_sorted_and_the_last_of_each_stays);
    CU_add_test(s, "half a million keys are sorted fast", half_a_million_keys_are_sorted_fast);
    CU_add_test(s, "it has the last record of each key, in order",
                it_has_the_last_record_of_each_key_in_order);
    CU_add_test(s, "a seek finds the first key that is not less",
                a_seek_finds_the_first_key_that_is_not_less);
    CU_add_test(s, "a version leads to a place just before its record",
                a_version_leads_to_a_place_just_before_its_record);
    CU_add_test(s, "each flipped bit is noticed", each_flipped_bit_is_noticed);
    CU_add_test(s, "each truncation is noticed", each_truncation_is_noticed);
    CU_add_test(s, "one that is lost, damaged or foreign is made anew",
                one_that_is_lost_damaged_or_foreign_is_made_anew);
    CU_add_test(s, "a block found to be damaged has the table made anew",
                a_block_found_to_be_damaged_has_the_table_made_anew);
    CU_add_test(s, "leftovers are removed", leftovers_are_removed);
    CU_add_test(s, "one that is mostly dead is left to compaction for a while",
                one_that_is_mostly_dead_is_left_to_compaction_for_a_while);
    CU_add_test(s, "it is there in memory too", it_is_there_in_memory_too);
    CU_add_test(s, "whatever fails while it is made leaves nothing behind",
                whatever_fails_while_it_is_made_leaves_nothing_behind);
    CU_add_test(s, "a crash at any step leaves none or a whole one",
                a_crash_at_any_step_leaves_none_or_a_whole_one);
}
