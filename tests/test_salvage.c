/*
 * A damaged store, salvaged: is all served that can be proven, and nothing else? Is it still so
 * after a restart, a compaction, a checkpoint?
 */
#include <CUnit/CUnit.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "storage/feed.h"
#include "storage/listing.h"
#include "storage/search.h"
#include "storage/segment.h"
#include "storage/verify.h"
#include "tests/fault_os.h"
#include "tests/site.h"
#include "tests/store_fixture.h"
#include "tests/suites.h"

#define FIRST "0000000000000001-0000.seg"
#define KEYS 60
/** of a value: a segment has about twenty of them */
#define VALUE_BYTES 3000

/* ---------------------------------------------------------------- a store, and damage to it */

static const char *key_of(unsigned key)
{
    static _Thread_local char name[24];
    snprintf(name, sizeof(name), "key %u.", key);
    return name;
}

static const char *value_of(unsigned number)
{
    static _Thread_local char value[VALUE_BYTES + 1];
    memset(value, 'a' + (int)(number % 26), VALUE_BYTES);
    int n = snprintf(value, 24, "value %u.", number);
    value[n] = '-';
    value[VALUE_BYTES] = '\0';
    return value;
}

/** version 1 to KEYS: the keys in their order, over three segments, the first ones sealed; without
 * what would know the keys beside the records */
static void make_store(fixture_t *f)
{
    fixture_init(f, TEMP_DIR_IN_MEMORY);
    f->options.upkeep_by_hand = true; /* no key tables */
    CU_ASSERT_EQUAL_FATAL(fixture_open(f), CAIRN_OK);
    for (unsigned i = 0; i < KEYS; ++i)
        CU_ASSERT_EQUAL_FATAL(fixture_put(f, key_of(i), value_of(i)).version, i + 1);
    CU_ASSERT_EQUAL_FATAL(fixture_close(f), CAIRN_OK);
}

/** damage(content, where the record of this key begins) */
static void damage_file(const fixture_t *f, const char *name, const char *key,
                        void (*damage)(uint8_t *content, size_t at))
{
    char path[400];
    size_t bytes;
    snprintf(path, sizeof(path), "%s/%s", f->options.path, name);
    uint8_t *content = read_file(path, &bytes);
    uint8_t *found = key != NULL ? memmem(content, bytes, key, strlen(key)) : NULL;
    CU_ASSERT_FATAL(key == NULL || found != NULL);
    damage(content, found != NULL ? (size_t)(found - content) - CAIRN_RECORD_HEAD_BYTES : 0);
    chmod(path, 0600);
    write_file(path, content, bytes);
    free(content);
}

static void flip_body(uint8_t *content, size_t at)
{
    content[at + CAIRN_RECORD_HEAD_BYTES + 1000] ^= 4;
}

static void flip_head(uint8_t *content, size_t at)
{
    content[at + 9] ^= 16;
}

static void ruin_times(uint8_t *content, size_t at) /* more than a bit, and not the lengths */
{
    memset(content + at + 32, 0x5a, 6);
}

static void ruin_record(uint8_t *content, size_t at)
{
    memset(content + at, 0x5a, CAIRN_RECORD_HEAD_BYTES + 20);
}

static void ruin_head_and_body(uint8_t *content, size_t at)
{
    flip_head(content, at);
    flip_body(content, at);
}

static void flip_header(uint8_t *content, size_t at)
{
    content[at + 33] ^= 1;
}

static void ruin_header(uint8_t *content, size_t at)
{
    memset(content + at, 0, CAIRN_SEGMENT_HEADER_BYTES);
}

static cairn_err_t salvage(fixture_t *f)
{
    f->options.salvage = true;
    cairn_err_t err = fixture_open(f);
    f->options.salvage = false;
    return err;
}

static cairn_damage_t damage_of(fixture_t *f)
{
    cairn_damage_t damage;
    cairn_store_damage(f->store, &damage);
    return damage;
}

static bool is_degraded(fixture_t *f)
{
    char why[CAIRN_ERRMSG_BYTES];
    cairn_damage_t damage = damage_of(f);
    return cairn_damage_text(&damage, why);
}

static cairn_err_t get(fixture_t *f, const char *key)
{
    cairn_value_t value;
    return fixture_get(f, text(key), &value);
}

/** every key but these has its value; those are damaged */
static void check(fixture_t *f, unsigned damaged_from, unsigned damaged_to)
{
    for (unsigned i = 0; i < KEYS; ++i) {
        bool is_right = i >= damaged_from && i < damaged_to
                            ? get(f, key_of(i)) == CAIRN_ERR_DAMAGED
                            : fixture_has(f, key_of(i), value_of(i));
        CU_ASSERT(is_right);
    }
}

static void check_kept(const fixture_t *f, const char *name, bool is_there)
{
    char path[400];
    snprintf(path, sizeof(path), "%s/quarantine/%s", f->options.path, name);
    CU_ASSERT_EQUAL(access(path, F_OK) == 0, is_there);
}

/* ---------------------------------------------------------------- one record */

static void a_whole_store_is_left_as_it_is(void)
{
    fixture_t f;
    make_store(&f);
    CU_ASSERT_EQUAL_FATAL(salvage(&f), CAIRN_OK);
    CU_ASSERT_FALSE(is_degraded(&f));
    check_kept(&f, FIRST, false);
    check(&f, 0, 0);
    fixture_dispose(&f);
}

static void a_body_that_is_damaged_is_an_error_for_its_key(void)
{
    fixture_t f;
    make_store(&f);
    damage_file(&f, FIRST, key_of(5), flip_body);
    CU_ASSERT_EQUAL(fixture_open(&f), CAIRN_ERR_CORRUPT);
    CU_ASSERT_PTR_NOT_NULL(strstr(f.errmsg, FIRST));
    CU_ASSERT_PTR_NOT_NULL(strstr(f.errmsg, "versions 6 to 6"));
    CU_ASSERT_PTR_NOT_NULL(strstr(f.errmsg, "'cairn serve --salvage'"));
    CU_ASSERT_EQUAL_FATAL(salvage(&f), CAIRN_OK);
    check(&f, 5, 6);
    check_kept(&f, FIRST, true);
    CU_ASSERT_EQUAL(damage_of(&f).lost_keys, 1);
    CU_ASSERT_EQUAL(damage_of(&f).lost_versions, 0);
    CU_ASSERT_EQUAL(damage_of(&f).quarantined, 1);
    fixture_dispose(&f);
}

/* which bit it was is proven by the sums, and so are version and value */
static void a_head_with_a_wrong_bit_is_put_right(void)
{
    fixture_t f;
    make_store(&f);
    damage_file(&f, FIRST, key_of(5), flip_head);
    CU_ASSERT_EQUAL(fixture_open(&f), CAIRN_ERR_CORRUPT);
    CU_ASSERT_EQUAL_FATAL(salvage(&f), CAIRN_OK);
    check(&f, 0, 0);
    CU_ASSERT_EQUAL(damage_of(&f).lost_keys, 0);
    CU_ASSERT(is_degraded(&f)); /* somebody should look at the disk */
    fixture_dispose(&f);
}

static void a_record_of_which_head_and_body_are_wrong_still_has_its_key(void)
{
    fixture_t f;
    make_store(&f);
    damage_file(&f, FIRST, key_of(5), ruin_head_and_body);
    CU_ASSERT_EQUAL_FATAL(salvage(&f), CAIRN_OK);
    check(&f, 5, 6);
    CU_ASSERT_EQUAL(damage_of(&f).lost_versions, 0);
    fixture_dispose(&f);
}

/* the content fits its sum, so the key is proven; its version can only be the one that is missing
 */
static void a_ruined_head_with_good_content_still_has_its_key(void)
{
    fixture_t f;
    make_store(&f);
    damage_file(&f, FIRST, key_of(5), ruin_times);
    CU_ASSERT_EQUAL_FATAL(salvage(&f), CAIRN_OK);
    check(&f, 5, 6);
    CU_ASSERT_EQUAL(damage_of(&f).lost_keys, 1);
    CU_ASSERT_EQUAL(damage_of(&f).lost_versions, 0);
    fixture_dispose(&f);
}

/* of a record of which nothing is left, the store says that it has lost a version */
static void a_record_that_is_ruined_is_a_gap_that_is_said(void)
{
    fixture_t f;
    char why[CAIRN_ERRMSG_BYTES];
    make_store(&f);
    damage_file(&f, FIRST, key_of(5), ruin_record);
    CU_ASSERT_EQUAL_FATAL(salvage(&f), CAIRN_OK);
    CU_ASSERT_EQUAL(get(&f, key_of(5)), CAIRN_ERR_NOT_FOUND);
    for (unsigned i = 0; i < KEYS; ++i)
        CU_ASSERT(i == 5 || fixture_has(&f, key_of(i), value_of(i)));
    cairn_damage_t damage = damage_of(&f);
    CU_ASSERT_EQUAL(damage.lost_keys, 0);
    CU_ASSERT_EQUAL(damage.lost_versions, 1);
    CU_ASSERT(damage.lost_first == 6 && damage.lost_last == 6);
    CU_ASSERT(cairn_damage_text(&damage, why));
    CU_ASSERT_PTR_NOT_NULL(
        strstr(why, "lost up to 1 version, 6 to 6, in segment 0000000000000001-0001.seg"));
    fixture_dispose(&f);
}

/* where the segment has its key table, no key is unknown */
static void a_key_table_knows_what_was_in_a_gap(void)
{
    fixture_t f;
    make_store(&f);
    CU_ASSERT_EQUAL_FATAL(fixture_open(&f), CAIRN_OK);
    CU_ASSERT_EQUAL(fixture_delete(&f, key_of(30)).err, CAIRN_OK);
    cairn_store_upkeep(f.store);
    CU_ASSERT_EQUAL_FATAL(fixture_close(&f), CAIRN_OK);
    CU_ASSERT_EQUAL_FATAL(access(fixture_path(&f, "0000000000000001-0000.keys"), F_OK), 0);
    damage_file(&f, FIRST, key_of(5), ruin_record);
    damage_file(&f, FIRST, key_of(9), ruin_record);
    CU_ASSERT_EQUAL_FATAL(salvage(&f), CAIRN_OK);
    CU_ASSERT_EQUAL(get(&f, key_of(5)), CAIRN_ERR_DAMAGED);
    CU_ASSERT_EQUAL(get(&f, key_of(9)), CAIRN_ERR_DAMAGED);
    CU_ASSERT_EQUAL(damage_of(&f).lost_keys, 2);
    CU_ASSERT_EQUAL(damage_of(&f).lost_versions, 0);
    fixture_dispose(&f);
}

/* ---------------------------------------------------------------- whole files */

static void a_header_that_is_damaged_costs_nothing(void)
{
    for (int how = 0; how < 2; ++how) {
        fixture_t f;
        make_store(&f);
        damage_file(&f, FIRST, NULL, how == 0 ? flip_header : ruin_header);
        CU_ASSERT_EQUAL(fixture_open(&f), CAIRN_ERR_CORRUPT);
        CU_ASSERT_EQUAL_FATAL(salvage(&f), CAIRN_OK);
        check(&f, 0, 0);
        CU_ASSERT_EQUAL(damage_of(&f).lost_versions, 0);
        fixture_dispose(&f);
    }
}

static void a_missing_segment_is_a_gap_that_is_said(void)
{
    fixture_t f;
    char name[32];
    uint64_t first;
    uint32_t generation;
    make_store(&f);
    CU_ASSERT_FATAL(fixture_segment_name(&f, 1, name));
    CU_ASSERT_FATAL(cairn_segment_name_parse(name, &first, &generation));
    CU_ASSERT_EQUAL(unlink(fixture_path(&f, name)), 0);
    CU_ASSERT_EQUAL(fixture_open(&f), CAIRN_ERR_CORRUPT);
    CU_ASSERT_PTR_NOT_NULL(strstr(f.errmsg, "'cairn serve --salvage'"));
    CU_ASSERT_EQUAL_FATAL(salvage(&f), CAIRN_OK);
    cairn_damage_t damage = damage_of(&f);
    CU_ASSERT_EQUAL(damage.lost_first, first);
    CU_ASSERT_EQUAL(damage.lost_versions, damage.lost_last - first + 1);
    for (unsigned i = 0; i < KEYS; ++i)
        CU_ASSERT(i + 1 >= damage.lost_first && i + 1 <= damage.lost_last
                      ? get(&f, key_of(i)) == CAIRN_ERR_NOT_FOUND
                      : fixture_has(&f, key_of(i), value_of(i)));
    fixture_restart(&f);
    CU_ASSERT_EQUAL(damage_of(&f).lost_versions, damage.lost_versions);
    fixture_dispose(&f);
}

/* no version is given twice: what the lost file had may still be in somebody's If-Match */
static void a_newest_segment_that_is_missing_gives_no_version_twice(void)
{
    fixture_t f;
    char name[32];
    make_store(&f);
    CU_ASSERT_FATAL(fixture_segment_name(&f, 0, name));
    CU_ASSERT_EQUAL(unlink(fixture_path(&f, name)), 0);
    CU_ASSERT_EQUAL(fixture_open(&f), CAIRN_ERR_CORRUPT);
    CU_ASSERT_EQUAL_FATAL(salvage(&f), CAIRN_OK);
    CU_ASSERT(damage_of(&f).lost_last >= KEYS);
    CU_ASSERT(fixture_put(&f, "more", "value").version > KEYS);
    CU_ASSERT(fixture_has(&f, key_of(0), value_of(0)));
    fixture_restart(&f);
    CU_ASSERT(fixture_has(&f, "more", "value"));
    fixture_dispose(&f);
}

/* ---------------------------------------------------------------- what is not sealed */

static void rot_in_the_segment_that_was_being_written_is_salvaged(void)
{
    static void (*const damages[])(uint8_t *, size_t) = {flip_body, flip_head, ruin_record,
                                                         ruin_times, ruin_head_and_body};
    for (size_t i = 0; i < sizeof(damages) / sizeof(damages[0]); ++i) {
        fixture_t f;
        char name[32];
        make_store(&f);
        CU_ASSERT_FATAL(fixture_segment_name(&f, 0, name));
        damage_file(&f, name, key_of(KEYS - 4), damages[i]);
        CU_ASSERT_EQUAL(fixture_open(&f), CAIRN_ERR_CORRUPT);
        CU_ASSERT_EQUAL_FATAL(salvage(&f), CAIRN_OK);
        for (unsigned k = 0; k < KEYS; ++k)
            CU_ASSERT(k == KEYS - 4 || fixture_has(&f, key_of(k), value_of(k)));
        cairn_err_t err = get(&f, key_of(KEYS - 4));
        CU_ASSERT_EQUAL(err, damages[i] == flip_head     ? CAIRN_OK
                             : damages[i] == ruin_record ? CAIRN_ERR_NOT_FOUND
                                                         : CAIRN_ERR_DAMAGED);
        check_kept(&f, name, true);
        CU_ASSERT_EQUAL(fixture_put(&f, "more", "value").version, KEYS + 1);
        fixture_restart(&f);
        CU_ASSERT(fixture_has(&f, "more", "value"));
        fixture_dispose(&f);
    }
}

/* ---------------------------------------------------------------- never an older value */

/** key 5 has an older value in the first segment and one in the second that is damaged */
static void make_replaced(fixture_t *f)
{
    char name[32];
    make_store(f);
    CU_ASSERT_EQUAL_FATAL(fixture_open(f), CAIRN_OK);
    CU_ASSERT_EQUAL_FATAL(fixture_put(f, key_of(5), value_of(500)).err, CAIRN_OK);
    for (unsigned i = 0; i < 30; ++i)
        CU_ASSERT_EQUAL_FATAL(fixture_put(f, "filler", value_of(i)).err, CAIRN_OK);
    CU_ASSERT_EQUAL_FATAL(fixture_close(f), CAIRN_OK);
    for (size_t i = 0; fixture_segment_name(f, i, name); ++i) {
        size_t bytes;
        uint8_t *content = read_file(fixture_path(f, name), &bytes);
        bool is_there = memmem(content, bytes, "value 500.", 10) != NULL;
        free(content);
        if (is_there)
            break;
    }
    damage_file(f, name, key_of(5), flip_body);
    CU_ASSERT_EQUAL_FATAL(salvage(f), CAIRN_OK);
    check(f, 5, 6);
}

static void the_older_value_does_not_come_back(void)
{
    fixture_t f;
    make_replaced(&f);
    for (int i = 0; i < 3; ++i) {
        fixture_restart(&f);
        check(&f, 5, 6);
        CU_ASSERT_EQUAL(damage_of(&f).lost_keys, 1);
    }
    fixture_dispose(&f);
}

static void compact_all(fixture_t *f)
{
    cairn_compaction_stats_t stats;
    for (int i = 0; i < 4; ++i) {
        cairn_store_compact(f->store);
        cairn_store_upkeep(f->store);
        cairn_thread_quiescent();
    }
    cairn_store_stats_t all;
    cairn_store_stats(f->store, &all);
    stats = all.compaction;
    CU_ASSERT(stats.runs != 0);
    CU_ASSERT_EQUAL(stats.failures, 0);
}

static void nor_after_a_compaction(void)
{
    fixture_t f;
    make_replaced(&f);
    CU_ASSERT_EQUAL(fixture_close(&f), CAIRN_OK);
    f.options.no_compaction = false;
    CU_ASSERT_EQUAL_FATAL(fixture_open(&f), CAIRN_OK);
    /* something to free in each */
    for (unsigned i = 10; i < KEYS; i += 3)
        CU_ASSERT_EQUAL(fixture_put(&f, key_of(i), value_of(i)).err, CAIRN_OK);
    compact_all(&f);
    check(&f, 5, 6);
    CU_ASSERT_EQUAL(damage_of(&f).lost_keys, 1);
    fixture_restart(&f);
    check(&f, 5, 6);
    CU_ASSERT_EQUAL(damage_of(&f).lost_keys, 1);
    fixture_dispose(&f);
}

static void nor_after_a_start_from_a_checkpoint_or_from_key_tables(void)
{
    for (int with_checkpoint = 0; with_checkpoint < 2; ++with_checkpoint) {
        fixture_t f;
        make_replaced(&f);
        f.options.checkpoint_bytes = (uint64_t)with_checkpoint;
        for (int i = 0; i < 3; ++i) {
            fixture_restart(&f);
            cairn_store_upkeep(f.store);
            check(&f, 5, 6);
            CU_ASSERT_EQUAL(damage_of(&f).lost_keys, 1);
        }
        CU_ASSERT_EQUAL(access(fixture_path(&f, "index.ckpt"), F_OK) == 0, with_checkpoint);
        fixture_dispose(&f);
    }
}

static void lost_versions_stay_lost_after_a_compaction(void)
{
    fixture_t f;
    make_store(&f);
    damage_file(&f, FIRST, key_of(5), ruin_record);
    f.options.no_compaction = false;
    CU_ASSERT_EQUAL_FATAL(salvage(&f), CAIRN_OK);
    for (unsigned i = 10; i < KEYS; i += 3)
        CU_ASSERT_EQUAL(fixture_put(&f, key_of(i), value_of(i)).err, CAIRN_OK);
    compact_all(&f);
    CU_ASSERT_EQUAL(damage_of(&f).lost_versions, 1);
    fixture_restart(&f);
    CU_ASSERT_EQUAL(damage_of(&f).lost_versions, 1);
    CU_ASSERT(damage_of(&f).lost_first == 6 && damage_of(&f).lost_last == 6);
    fixture_dispose(&f);
}

/* ---------------------------------------------------------------- mending */

static void a_write_mends_the_key(void)
{
    for (int is_delete = 0; is_delete < 2; ++is_delete) {
        fixture_t f;
        make_replaced(&f);
        outcome_t outcome =
            is_delete ? fixture_delete(&f, key_of(5)) : fixture_put(&f, key_of(5), "mended");
        CU_ASSERT_EQUAL(outcome.err, CAIRN_OK);
        CU_ASSERT(outcome.existed);
        for (int i = 0; i < 2; ++i) {
            CU_ASSERT(fixture_has(&f, key_of(5), is_delete ? NULL : "mended"));
            CU_ASSERT_EQUAL(damage_of(&f).lost_keys, 0);
            fixture_restart(&f);
        }
        fixture_dispose(&f);
    }
}

static void nothing_is_built_upon_what_is_lost(void)
{
    fixture_t f;
    make_replaced(&f);
    CU_ASSERT_EQUAL(fixture_write(&f, CAIRN_WRITE_APPEND, text(key_of(5)), (cairn_bytes_t){0},
                                  text("more"), CAIRN_SYNC)
                        .err,
                    CAIRN_ERR_DAMAGED);
    check(&f, 5, 6);
    fixture_dispose(&f);
}

/* ---------------------------------------------------------------- lists, scans, feeds */

static void a_listing_names_the_key_and_says_that_its_value_is_lost(void)
{
    for (int with_tables = 0; with_tables < 2; ++with_tables) {
        fixture_t f;
        cairn_row_t row;
        cairn_err_t err;
        unsigned rows = 0, damaged = 0;
        cairn_listing_t listing;
        cairn_listing_options_t options = {.entries_max = 100000};
        make_replaced(&f);
        if (with_tables)
            cairn_store_upkeep(f.store);
        memset(&listing, 0, sizeof(listing));
        cairn_listing_reader_t *reader = cairn_listing_begin(f.store, &listing, &options);
        while (cairn_listing_next(reader, &row, &err) == CAIRN_LISTING_ROW) {
            ++rows;
            if (row.err == CAIRN_OK)
                continue;
            ++damaged;
            CU_ASSERT_EQUAL(row.err, CAIRN_ERR_DAMAGED);
            CU_ASSERT(row.key.count == 6 && memcmp(row.key.base, "key 5.", 6) == 0);
        }
        cairn_listing_end(reader);
        CU_ASSERT_EQUAL(rows, KEYS + 1);
        CU_ASSERT_EQUAL(damaged, 1);
        fixture_dispose(&f);
    }
}

static void a_scan_gives_a_row_for_it(void)
{
    fixture_t f;
    cairn_row_t row;
    cairn_err_t err;
    unsigned damaged = 0;
    cairn_search_place_t place = {.version = 0};
    cairn_search_options_t options = {.contains = text("nowhere"), .bytes_max = 1 << 30};
    make_replaced(&f);
    cairn_search_t *search = cairn_search_begin(f.store, &place, &options);
    while (cairn_search_next(search, &row, &err) == CAIRN_LISTING_ROW)
        damaged += row.err == CAIRN_ERR_DAMAGED;
    cairn_search_end(search);
    CU_ASSERT_EQUAL(damaged, 1);
    fixture_dispose(&f);
}

/** what ends a feed that begins here */
static cairn_err_t follow(fixture_t *f, uint64_t since)
{
    cairn_change_t change;
    cairn_feed_reader_t *reader = malloc(sizeof(*reader));
    cairn_feed_t feed = cairn_feed_from(f->store, since);
    cairn_feed_options_t options = {
        .wants_values = true, .may_wait = true, .records_max = UINT64_MAX};
    cairn_feed_result_t result;
    CU_ASSERT_PTR_NOT_NULL_FATAL(reader);
    cairn_feed_begin(reader, f->store, &feed, &options);
    while ((result = cairn_feed_next(reader, &change)) == CAIRN_FEED_CHANGE)
        ;
    cairn_err_t err = result == CAIRN_FEED_FAILED ? reader->err : CAIRN_OK;
    cairn_feed_end(reader);
    free(reader);
    return err;
}

static void a_feed_does_not_pass_over_it_until_it_is_mended(void)
{
    fixture_t f;
    make_replaced(&f);
    CU_ASSERT_EQUAL(follow(&f, 10), CAIRN_ERR_DAMAGED);
    CU_ASSERT_EQUAL(follow(&f, KEYS + 1), CAIRN_OK); /* has read it while it was whole */
    CU_ASSERT_EQUAL(fixture_put(&f, key_of(5), "mended").err, CAIRN_OK);
    CU_ASSERT_EQUAL(follow(&f, 10), CAIRN_OK);
    fixture_dispose(&f);
}

/* there may have been a delete in it */
static void a_feed_from_before_lost_versions_begins_anew(void)
{
    fixture_t f;
    make_store(&f);
    damage_file(&f, FIRST, key_of(5), ruin_record);
    CU_ASSERT_EQUAL_FATAL(salvage(&f), CAIRN_OK);
    CU_ASSERT_EQUAL(follow(&f, 3), CAIRN_ERR_COMPACTED);
    CU_ASSERT_EQUAL(follow(&f, 6), CAIRN_OK);
    CU_ASSERT_EQUAL(follow(&f, 0), CAIRN_OK);
    fixture_dispose(&f);
}

/* ---------------------------------------------------------------- once more, and with faults */

static void a_second_salvage_changes_nothing(void)
{
    fixture_t f;
    make_replaced(&f);
    CU_ASSERT_EQUAL(fixture_close(&f), CAIRN_OK);
    for (int i = 0; i < 2; ++i) {
        CU_ASSERT_EQUAL_FATAL(salvage(&f), CAIRN_OK);
        check(&f, 5, 6);
        CU_ASSERT_EQUAL(damage_of(&f).lost_keys, 1);
        CU_ASSERT_EQUAL(damage_of(&f).quarantined, 1);
        CU_ASSERT_EQUAL(fixture_close(&f), CAIRN_OK);
    }
    fixture_dispose(&f);
}

/* a salvaged segment that is damaged again: what was lost stays so, and something more is */
static void a_salvaged_segment_is_salvaged_again(void)
{
    fixture_t f;
    make_store(&f);
    damage_file(&f, FIRST, key_of(5), flip_body);
    CU_ASSERT_EQUAL_FATAL(salvage(&f), CAIRN_OK);
    CU_ASSERT_EQUAL(fixture_close(&f), CAIRN_OK);
    damage_file(&f, "0000000000000001-0001.seg", key_of(6), flip_body);
    CU_ASSERT_EQUAL_FATAL(salvage(&f), CAIRN_OK);
    check(&f, 5, 7);
    CU_ASSERT_EQUAL(damage_of(&f).lost_keys, 2);
    CU_ASSERT_EQUAL(damage_of(&f).quarantined, 2);
    fixture_dispose(&f);
}

/** three kinds of damage at once */
static void make_damaged(fixture_t *f)
{
    char name[32];
    make_store(f);
    damage_file(f, FIRST, key_of(5), flip_body);
    damage_file(f, FIRST, NULL, flip_header);
    CU_ASSERT_FATAL(fixture_segment_name(f, 0, name));
    damage_file(f, name, key_of(KEYS - 4), flip_body);
    CU_ASSERT_FATAL(fixture_segment_name(f, 1, name));
    CU_ASSERT_EQUAL(unlink(fixture_path(f, name)), 0);
}

static void check_damaged(fixture_t *f)
{
    cairn_damage_t damage = damage_of(f);
    CU_ASSERT_EQUAL(damage.lost_keys, 2);
    CU_ASSERT_EQUAL(damage.quarantined, 2);
    CU_ASSERT(damage.lost_versions > 10 && damage.lost_versions < 30);
    CU_ASSERT_EQUAL(get(f, key_of(5)), CAIRN_ERR_DAMAGED);
    CU_ASSERT_EQUAL(get(f, key_of(KEYS - 4)), CAIRN_ERR_DAMAGED);
    CU_ASSERT(fixture_has(f, key_of(0), value_of(0)));
    CU_ASSERT(fixture_has(f, key_of(KEYS - 1), value_of(KEYS - 1)));
}

static void a_crash_at_any_change_of_a_salvage_is_gone_on_from(void)
{
    fixture_t counted;
    make_damaged(&counted);
    fault_os_install();
    CU_ASSERT_EQUAL_FATAL(salvage(&counted), CAIRN_OK);
    uint64_t changes = fault_os_changes();
    CU_ASSERT_EQUAL(fixture_close(&counted), CAIRN_OK);
    fault_os_remove();
    fixture_dispose(&counted);
    CU_ASSERT_FATAL(changes > 20 && changes < 400);
    for (uint64_t i = 0; i < 2 * changes; ++i) {
        fixture_t f;
        make_damaged(&f);
        fault_os_install();
        fault_os_freeze_after(i / 2, i % 2 != 0);
        if (salvage(&f) == CAIRN_OK)
            fixture_close(&f);
        f.store = NULL;
        fault_os_remove();
        /* without being asked again it is not salvaged, unless all had been done */
        cairn_err_t err = fixture_open(&f);
        CU_ASSERT(err == CAIRN_OK || err == CAIRN_ERR_CORRUPT);
        if (err != CAIRN_OK)
            err = salvage(&f);
        CU_ASSERT_EQUAL_FATAL(err, CAIRN_OK);
        check_damaged(&f);
        fixture_dispose(&f);
    }
}

static void any_call_of_a_salvage_may_fail(void)
{
    for (int function = 0; function < FAULT_FUNCTION_COUNT; ++function) {
        bool has_fired = true;
        for (uint64_t nth = 1; has_fired && nth < 400; ++nth) {
            fixture_t f;
            make_damaged(&f);
            fault_os_install();
            fault_os_fail((fault_function_t)function, nth, EIO, nth % 2 != 0);
            cairn_err_t err = salvage(&f);
            has_fired = fault_os_has_fired();
            fault_os_heal();
            if (err == CAIRN_OK)
                fixture_close(&f);
            f.store = NULL;
            fault_os_remove();
            err = salvage(&f);
            CU_ASSERT_EQUAL_FATAL(err, CAIRN_OK);
            unsigned before = CU_get_number_of_failures();
            check_damaged(&f);
            if (CU_get_number_of_failures() != before)
                printf("\n    %s, call %llu\n", fault_os_name((fault_function_t)function),
                       (unsigned long long)nth);
            fixture_dispose(&f);
            nth += nth / 8; /* the first ones each, the many later ones here and there */
        }
    }
}

/* ---------------------------------------------------------------- what others say of it */

static void verify_says_that_it_is_degraded(void)
{
    fixture_t f;
    char errmsg[CAIRN_ERRMSG_BYTES];
    cairn_verify_result_t result;
    make_damaged(&f);
    cairn_verify_options_t options = {.path = f.options.path};
    CU_ASSERT_EQUAL(cairn_store_verify(&options, &result, errmsg), CAIRN_ERR_CORRUPT);
    CU_ASSERT_EQUAL_FATAL(salvage(&f), CAIRN_OK);
    cairn_damage_t damage = damage_of(&f);
    CU_ASSERT_EQUAL(fixture_close(&f), CAIRN_OK);
    CU_ASSERT_EQUAL(cairn_store_verify(&options, &result, errmsg), CAIRN_OK);
    CU_ASSERT_EQUAL(result.bad_files, 0);
    CU_ASSERT_EQUAL(result.damage.lost_keys, damage.lost_keys);
    CU_ASSERT_EQUAL(result.damage.lost_versions, damage.lost_versions);
    CU_ASSERT_EQUAL(result.damage.quarantined, damage.quarantined);
    /* a key that has been written since is not lost any more */
    CU_ASSERT_EQUAL_FATAL(fixture_open(&f), CAIRN_OK);
    CU_ASSERT_EQUAL(fixture_put(&f, key_of(5), "mended").err, CAIRN_OK);
    CU_ASSERT_EQUAL(fixture_close(&f), CAIRN_OK);
    CU_ASSERT_EQUAL(cairn_store_verify(&options, &result, errmsg), CAIRN_OK);
    CU_ASSERT_EQUAL(result.damage.lost_keys, 1);
    fixture_dispose(&f);
}

static void a_server_answers_500_and_says_that_it_is_degraded(void)
{
    static const char *const flags[] = {"--salvage", NULL};
    fixture_t f;
    site_t site;
    http_conn_t conn;
    http_response_t res;
    make_store(&f);
    damage_file(&f, FIRST, key_of(5), flip_body);
    CU_ASSERT_EQUAL_FATAL(site_start(&site, TEMP_DIR_IN_MEMORY, NULL), 0);
    CU_ASSERT_EQUAL(server_stop(&site.server), 0);
    snprintf(site.data, sizeof(site.data), "%s", f.options.path);
    for (int with_flag = 1; with_flag >= 0; --with_flag) {
        site_start_again(&site, with_flag ? flags : NULL);
        site_open(&site, &conn);
        exchange(&conn, "GET", "/readyz", NULL, NULL, 0, &res);
        CU_ASSERT_EQUAL(res.status, 204);
        CU_ASSERT(header_is(&res, "cairn-state", "degraded"));
        CU_ASSERT(header_is(&res, "cairn-state-reason",
                            "the value of 1 key is lost; quarantine/ has 1 file to be looked at"));
        http_response_dispose(&res);
        CU_ASSERT(exchange_is_problem(&conn, "GET", "/v1/kv/key%205.", NULL, NULL, 500, "damaged"));
        CU_ASSERT(exchange_gives(&conn, "/v1/kv/key%206.", value_of(6)));
        exchange(&conn, "GET", "/v1/stats", NULL, NULL, 0, &res);
        CU_ASSERT_PTR_NOT_NULL(strstr(res.body, "\"state\": \"degraded\""));
        CU_ASSERT_PTR_NOT_NULL(strstr(res.body, "\"lost_keys\": 1"));
        http_response_dispose(&res);
        exchange(&conn, "GET", "/metrics", NULL, NULL, 0, &res);
        CU_ASSERT_PTR_NOT_NULL(strstr(res.body, "\ncairn_lost_keys 1\n"));
        http_response_dispose(&res);
        if (!with_flag)
            CU_ASSERT_EQUAL(exchange_status(&conn, "PUT", "/v1/kv/key%205.", NULL, "new", 3), 204);
        if (!with_flag)
            CU_ASSERT(exchange_gives(&conn, "/v1/kv/key%205.", "new"));
        http_close(&conn);
        CU_ASSERT_EQUAL(server_stop(&site.server), 0);
    }
    site_start_again(&site, NULL);
    CU_ASSERT_EQUAL(site_end(&site), 0);
    fixture_dispose(&f);
}

void suite_salvage(void)
{
    CU_pSuite s = CU_add_suite("salvage: a damaged store is made to open", NULL, NULL);
    CU_add_test(s, "a whole store is left as it is", a_whole_store_is_left_as_it_is);
    CU_add_test(s, "a damaged body is an error for its key",
                a_body_that_is_damaged_is_an_error_for_its_key);
    CU_add_test(s, "a head with a wrong bit is put right", a_head_with_a_wrong_bit_is_put_right);
    CU_add_test(s, "where head and body are wrong the key is known",
                a_record_of_which_head_and_body_are_wrong_still_has_its_key);
    CU_add_test(s, "and where good content follows a ruined head",
                a_ruined_head_with_good_content_still_has_its_key);
    CU_add_test(s, "a ruined record is a gap that is said",
                a_record_that_is_ruined_is_a_gap_that_is_said);
    CU_add_test(s, "a key table knows what was in a gap", a_key_table_knows_what_was_in_a_gap);
    CU_add_test(s, "a damaged header costs nothing", a_header_that_is_damaged_costs_nothing);
    CU_add_test(s, "a missing segment is a gap that is said",
                a_missing_segment_is_a_gap_that_is_said);
    CU_add_test(s, "a missing newest segment gives no version twice",
                a_newest_segment_that_is_missing_gives_no_version_twice);
    CU_add_test(s, "rot in the segment that was being written",
                rot_in_the_segment_that_was_being_written_is_salvaged);
    CU_add_test(s, "salvage, then restart: the older value does not come back",
                the_older_value_does_not_come_back);
    CU_add_test(s, "salvage, then compaction: nor then", nor_after_a_compaction);
    CU_add_test(s, "salvage, then checkpoint or key tables: nor then",
                nor_after_a_start_from_a_checkpoint_or_from_key_tables);
    CU_add_test(s, "salvage, then compaction: lost versions stay lost",
                lost_versions_stay_lost_after_a_compaction);
    CU_add_test(s, "a write mends the key", a_write_mends_the_key);
    CU_add_test(s, "nothing is built upon what is lost", nothing_is_built_upon_what_is_lost);
    CU_add_test(s, "a listing names the key and says so",
                a_listing_names_the_key_and_says_that_its_value_is_lost);
    CU_add_test(s, "a scan gives a row for it", a_scan_gives_a_row_for_it);
    CU_add_test(s, "a feed does not pass over it until it is mended",
                a_feed_does_not_pass_over_it_until_it_is_mended);
    CU_add_test(s, "a feed from before lost versions begins anew",
                a_feed_from_before_lost_versions_begins_anew);
    CU_add_test(s, "salvage twice: nothing changes", a_second_salvage_changes_nothing);
    CU_add_test(s, "a salvaged segment is salvaged again", a_salvaged_segment_is_salvaged_again);
    CU_add_test(s, "a crash at any change of a salvage is gone on from",
                a_crash_at_any_change_of_a_salvage_is_gone_on_from);
    CU_add_test(s, "any call of a salvage may fail", any_call_of_a_salvage_may_fail);
    CU_add_test(s, "verify says that it is degraded", verify_says_that_it_is_degraded);
    CU_add_test(s, "a server answers 500 and says that it is degraded",
                a_server_answers_500_and_says_that_it_is_degraded);
}
