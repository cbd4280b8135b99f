/*
 * A damaged store, salvaged: is all served that can be proven, and nothing else?
 */
#include <CUnit/CUnit.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "storage/keytable.h"
#include "storage/snapshot.h"
#include "storage/verify.h"
#include "tests/salvage_tools.h"
#include "tests/site.h"
#include "tests/suites.h"

/* ---------------------------------------------------------------- one record */

static void a_whole_store_is_left_as_it_is(void)
{
    fixture_t f;
    salvage_make_store(&f);
    CU_ASSERT_EQUAL_FATAL(salvage_open(&f), CAIRN_OK);
    CU_ASSERT_FALSE(salvage_is_degraded(&f));
    salvage_check_kept(&f, SALVAGE_FIRST, false);
    salvage_check(&f, 0, 0);
    fixture_dispose(&f);
}

static void a_body_that_is_damaged_is_an_error_for_its_key(void)
{
    fixture_t f;
    salvage_make_store(&f);
    salvage_damage(&f, SALVAGE_FIRST, salvage_key(5), salvage_flip_body);
    CU_ASSERT_EQUAL(fixture_open(&f), CAIRN_ERR_CORRUPT);
    CU_ASSERT_PTR_NOT_NULL(strstr(f.errmsg, SALVAGE_FIRST));
    CU_ASSERT_PTR_NOT_NULL(strstr(f.errmsg, "versions 6 to 6"));
    CU_ASSERT_PTR_NOT_NULL(strstr(f.errmsg, "'cairn serve --salvage'"));
    CU_ASSERT_EQUAL_FATAL(salvage_open(&f), CAIRN_OK);
    salvage_check(&f, 5, 6);
    salvage_check_kept(&f, SALVAGE_FIRST, true);
    CU_ASSERT_EQUAL(salvage_told(&f).lost_keys, 1);
    CU_ASSERT_EQUAL(salvage_told(&f).lost_versions, 0);
    CU_ASSERT_EQUAL(salvage_told(&f).quarantined, 1);
    fixture_dispose(&f);
}

/* which bit it was is proven by the sums, and so are version and value */
static void a_head_with_a_wrong_bit_is_put_right(void)
{
    fixture_t f;
    salvage_make_store(&f);
    salvage_damage(&f, SALVAGE_FIRST, salvage_key(5), salvage_flip_head);
    CU_ASSERT_EQUAL(fixture_open(&f), CAIRN_ERR_CORRUPT);
    CU_ASSERT_EQUAL_FATAL(salvage_open(&f), CAIRN_OK);
    salvage_check(&f, 0, 0);
    CU_ASSERT_EQUAL(salvage_told(&f).lost_keys, 0);
    CU_ASSERT(salvage_is_degraded(&f)); /* somebody should look at the disk */
    fixture_dispose(&f);
}

static void a_record_of_which_head_and_body_are_wrong_still_has_its_key(void)
{
    fixture_t f;
    salvage_make_store(&f);
    salvage_damage(&f, SALVAGE_FIRST, salvage_key(5), salvage_ruin_head_and_body);
    CU_ASSERT_EQUAL_FATAL(salvage_open(&f), CAIRN_OK);
    salvage_check(&f, 5, 6);
    CU_ASSERT_EQUAL(salvage_told(&f).lost_versions, 0);
    fixture_dispose(&f);
}

/* the content fits its sum, so the key is proven; its version can only be the one that is missing
 */
static void a_ruined_head_with_good_content_still_has_its_key(void)
{
    fixture_t f;
    salvage_make_store(&f);
    salvage_damage(&f, SALVAGE_FIRST, salvage_key(5), salvage_ruin_times);
    CU_ASSERT_EQUAL_FATAL(salvage_open(&f), CAIRN_OK);
    salvage_check(&f, 5, 6);
    CU_ASSERT_EQUAL(salvage_told(&f).lost_keys, 1);
    CU_ASSERT_EQUAL(salvage_told(&f).lost_versions, 0);
    fixture_dispose(&f);
}

/* of a record of which nothing is left, the store says that it has lost a version */
static void a_record_that_is_ruined_is_a_gap_that_is_said(void)
{
    fixture_t f;
    char why[CAIRN_ERRMSG_BYTES];
    salvage_make_store(&f);
    salvage_damage(&f, SALVAGE_FIRST, salvage_key(5), salvage_ruin_record);
    CU_ASSERT_EQUAL_FATAL(salvage_open(&f), CAIRN_OK);
    CU_ASSERT_EQUAL(salvage_get(&f, salvage_key(5)), CAIRN_ERR_NOT_FOUND);
    for (unsigned i = 0; i < SALVAGE_KEYS; ++i)
        CU_ASSERT(i == 5 || fixture_has(&f, salvage_key(i), salvage_value(i)));
    cairn_damage_t damage = salvage_told(&f);
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
    salvage_make_store(&f);
    CU_ASSERT_EQUAL_FATAL(fixture_open(&f), CAIRN_OK);
    CU_ASSERT_EQUAL(fixture_delete(&f, salvage_key(30)).err, CAIRN_OK);
    cairn_store_upkeep(f.store);
    CU_ASSERT_EQUAL_FATAL(fixture_close(&f), CAIRN_OK);
    CU_ASSERT_EQUAL_FATAL(access(fixture_path(&f, "0000000000000001-0000.keys"), F_OK), 0);
    salvage_damage(&f, SALVAGE_FIRST, salvage_key(5), salvage_ruin_record);
    salvage_damage(&f, SALVAGE_FIRST, salvage_key(9), salvage_ruin_record);
    CU_ASSERT_EQUAL_FATAL(salvage_open(&f), CAIRN_OK);
    CU_ASSERT_EQUAL(salvage_get(&f, salvage_key(5)), CAIRN_ERR_DAMAGED);
    CU_ASSERT_EQUAL(salvage_get(&f, salvage_key(9)), CAIRN_ERR_DAMAGED);
    CU_ASSERT_EQUAL(salvage_told(&f).lost_keys, 2);
    CU_ASSERT_EQUAL(salvage_told(&f).lost_versions, 0);
    fixture_dispose(&f);
}

/* a delete of which nothing is left: the table knows it was one; without it the key may come back,
 * and that it may is said */
static void a_delete_in_a_gap_is_known_by_the_key_table(void)
{
    for (int with_table = 0; with_table < 2; ++with_table) {
        fixture_t f;
        size_t bytes;
        fixture_init(&f, TEMP_DIR_IN_MEMORY);
        f.options.upkeep_by_hand = true;
        CU_ASSERT_EQUAL_FATAL(fixture_open(&f), CAIRN_OK);
        CU_ASSERT_EQUAL(fixture_put(&f, "gone", "value").err, CAIRN_OK);
        CU_ASSERT_EQUAL(fixture_delete(&f, "gone").version, 2);
        for (unsigned i = 0; i < SALVAGE_KEYS; ++i)
            CU_ASSERT_EQUAL_FATAL(fixture_put(&f, salvage_key(i), salvage_value(i)).err, CAIRN_OK);
        if (with_table) {
            fixture_restart(&f); /* it is sealed for certain */
            cairn_store_upkeep(f.store);
        }
        CU_ASSERT_EQUAL_FATAL(fixture_close(&f), CAIRN_OK);
        uint8_t *content = read_file(fixture_path(&f, SALVAGE_FIRST), &bytes);
        salvage_ruin_record(content, salvage_find_last(content, bytes, "gone"));
        chmod(fixture_path(&f, SALVAGE_FIRST), 0600);
        write_file(fixture_path(&f, SALVAGE_FIRST), content, bytes);
        free(content);
        CU_ASSERT_EQUAL_FATAL(salvage_open(&f), CAIRN_OK);
        CU_ASSERT_EQUAL(salvage_get(&f, "gone"), with_table ? CAIRN_ERR_NOT_FOUND : CAIRN_OK);
        CU_ASSERT_EQUAL(salvage_told(&f).lost_versions, with_table ? 0 : 1);
        CU_ASSERT_EQUAL(salvage_told(&f).lost_keys, 0);
        fixture_dispose(&f);
    }
}

/* ---------------------------------------------------------------- whole files */

static void a_footer_that_is_damaged_costs_nothing(void)
{
    fixture_t f;
    size_t bytes;
    salvage_make_store(&f);
    uint8_t *content = read_file(fixture_path(&f, SALVAGE_FIRST), &bytes);
    content[bytes - 100] ^= 1;
    chmod(fixture_path(&f, SALVAGE_FIRST), 0600);
    write_file(fixture_path(&f, SALVAGE_FIRST), content, bytes);
    free(content);
    CU_ASSERT_EQUAL(fixture_open(&f), CAIRN_ERR_CORRUPT);
    CU_ASSERT_EQUAL_FATAL(salvage_open(&f), CAIRN_OK);
    salvage_check(&f, 0, 0);
    CU_ASSERT_EQUAL(salvage_told(&f).lost_versions, 0);
    fixture_dispose(&f);
}

static void a_segment_that_is_cut_off_keeps_what_there_is(void)
{
    fixture_t f;
    size_t bytes;
    salvage_make_store(&f);
    uint8_t *content = read_file(fixture_path(&f, SALVAGE_FIRST), &bytes);
    chmod(fixture_path(&f, SALVAGE_FIRST), 0600);
    write_file(fixture_path(&f, SALVAGE_FIRST), content,
               salvage_find_last(content, bytes, salvage_key(10)) + 100);
    free(content);
    CU_ASSERT_EQUAL(fixture_open(&f), CAIRN_ERR_CORRUPT);
    CU_ASSERT_EQUAL_FATAL(salvage_open(&f), CAIRN_OK);
    cairn_damage_t damage = salvage_told(&f);
    CU_ASSERT_EQUAL(damage.lost_first, 11);
    CU_ASSERT_EQUAL(damage.lost_versions, damage.lost_last - 10);
    for (unsigned i = 0; i < SALVAGE_KEYS; ++i)
        CU_ASSERT(i + 1 >= damage.lost_first && i + 1 <= damage.lost_last
                      ? salvage_get(&f, salvage_key(i)) == CAIRN_ERR_NOT_FOUND
                      : fixture_has(&f, salvage_key(i), salvage_value(i)));
    fixture_dispose(&f);
}

/* most versions of a compacted one are gone in any case: what may be lost is as much as had room */
static void a_compacted_segment_says_how_much_may_be_lost(void)
{
    fixture_t f;
    size_t bytes;
    char name[CAIRN_SEGMENT_NAME_BYTES];
    salvage_make_store(&f);
    f.options.no_compaction = false;
    CU_ASSERT_EQUAL_FATAL(fixture_open(&f), CAIRN_OK);
    for (unsigned i = 1; i < SALVAGE_KEYS; i += 2)
        CU_ASSERT_EQUAL(fixture_delete(&f, salvage_key(i)).err, CAIRN_OK);
    salvage_compact_all(&f);
    CU_ASSERT_EQUAL_FATAL(fixture_close(&f), CAIRN_OK);
    uint32_t generation = 1;
    cairn_segment_name(name, 1, generation);
    while (access(fixture_path(&f, name), F_OK) != 0 && generation < 9)
        cairn_segment_name(name, 1, ++generation);
    uint8_t *content = read_file(fixture_path(&f, name), &bytes);
    size_t at = salvage_find_last(content, bytes, salvage_key(10));
    memset(content + at, 0, bytes - CAIRN_SEGMENT_FOOTER_BYTES - at); /* and to its end */
    chmod(fixture_path(&f, name), 0600);
    write_file(fixture_path(&f, name), content, bytes);
    free(content);
    char keys[CAIRN_KEYTABLE_NAME_BYTES];
    cairn_keytable_name(keys, 1, generation);
    unlink(fixture_path(&f, keys));
    CU_ASSERT_EQUAL_FATAL(salvage_open(&f), CAIRN_OK);
    for (unsigned i = 0; i < 10; i += 2)
        CU_ASSERT(fixture_has(&f, salvage_key(i), salvage_value(i)));
    CU_ASSERT_EQUAL(salvage_get(&f, salvage_key(10)), CAIRN_ERR_NOT_FOUND);
    cairn_damage_t damage = salvage_told(&f);
    CU_ASSERT(damage.lost_versions != 0);
    CU_ASSERT(damage.lost_first <= 11 && damage.lost_last >= 11);
    fixture_dispose(&f);
}

/* a crash came before it got its name */
static void a_spare_that_the_log_has_gone_on_in_is_salvaged(void)
{
    fixture_t f;
    char name[32], path[400];
    salvage_make_store(&f);
    CU_ASSERT_FATAL(fixture_segment_name(&f, 0, name));
    salvage_damage(&f, name, salvage_key(SALVAGE_KEYS - 4), salvage_flip_body);
    snprintf(path, sizeof(path), "%s", fixture_path(&f, name));
    CU_ASSERT_EQUAL(rename(path, fixture_path(&f, CAIRN_SPARE_NAME)), 0);
    CU_ASSERT_EQUAL(fixture_open(&f), CAIRN_ERR_CORRUPT);
    CU_ASSERT_EQUAL_FATAL(salvage_open(&f), CAIRN_OK);
    salvage_check(&f, SALVAGE_KEYS - 4, SALVAGE_KEYS - 3);
    salvage_check_kept(&f, name, true);
    fixture_dispose(&f);
}

static void a_header_that_is_damaged_costs_nothing(void)
{
    for (int how = 0; how < 2; ++how) {
        fixture_t f;
        salvage_make_store(&f);
        salvage_damage(&f, SALVAGE_FIRST, NULL,
                       how == 0 ? salvage_flip_header : salvage_ruin_header);
        CU_ASSERT_EQUAL(fixture_open(&f), CAIRN_ERR_CORRUPT);
        CU_ASSERT_EQUAL_FATAL(salvage_open(&f), CAIRN_OK);
        salvage_check(&f, 0, 0);
        CU_ASSERT_EQUAL(salvage_told(&f).lost_versions, 0);
        fixture_dispose(&f);
    }
}

static void a_missing_segment_is_a_gap_that_is_said(void)
{
    fixture_t f;
    char name[32];
    uint64_t first;
    uint32_t generation;
    salvage_make_store(&f);
    CU_ASSERT_FATAL(fixture_segment_name(&f, 1, name));
    CU_ASSERT_FATAL(cairn_segment_name_parse(name, &first, &generation));
    CU_ASSERT_EQUAL(unlink(fixture_path(&f, name)), 0);
    CU_ASSERT_EQUAL(fixture_open(&f), CAIRN_ERR_CORRUPT);
    CU_ASSERT_PTR_NOT_NULL(strstr(f.errmsg, "'cairn serve --salvage'"));
    CU_ASSERT_EQUAL_FATAL(salvage_open(&f), CAIRN_OK);
    cairn_damage_t damage = salvage_told(&f);
    CU_ASSERT_EQUAL(damage.lost_first, first);
    CU_ASSERT_EQUAL(damage.lost_versions, damage.lost_last - first + 1);
    for (unsigned i = 0; i < SALVAGE_KEYS; ++i)
        CU_ASSERT(i + 1 >= damage.lost_first && i + 1 <= damage.lost_last
                      ? salvage_get(&f, salvage_key(i)) == CAIRN_ERR_NOT_FOUND
                      : fixture_has(&f, salvage_key(i), salvage_value(i)));
    fixture_restart(&f);
    CU_ASSERT_EQUAL(salvage_told(&f).lost_versions, damage.lost_versions);
    fixture_dispose(&f);
}

/** the oldest segment but one, or the next one, is gone; salvaged, and closed */
static void lose_segment(fixture_t *f, size_t from_end)
{
    char name[32];
    CU_ASSERT_FATAL(fixture_segment_name(f, from_end, name));
    CU_ASSERT_EQUAL(unlink(fixture_path(f, name)), 0);
    CU_ASSERT_EQUAL_FATAL(salvage_open(f), CAIRN_OK);
    CU_ASSERT(salvage_is_degraded(f));
    CU_ASSERT_EQUAL(fixture_close(f), CAIRN_OK);
}

static void accept_loss(fixture_t *f)
{
    f->options.accept_loss = true;
    fixture_must_open(f);
    f->options.accept_loss = false;
}

/* until more is lost, whatever compaction, restarts and snapshots make of it */
static void a_loss_that_is_accepted_degrades_no_more(void)
{
    fixture_t f;
    cairn_snapshot_t snapshot;
    cairn_verify_result_t result;
    char errmsg[CAIRN_ERRMSG_BYTES], why[CAIRN_ERRMSG_BYTES], path[400];
    salvage_make_store(&f);
    lose_segment(&f, 1);
    fixture_must_open(&f);
    CU_ASSERT(salvage_is_degraded(&f));
    uint64_t lost = salvage_told(&f).lost_versions;
    CU_ASSERT_EQUAL(fixture_close(&f), CAIRN_OK);
    f.options.no_compaction = false;
    accept_loss(&f);
    for (int i = 0; i < 2; ++i) {
        CU_ASSERT_FALSE(salvage_is_degraded(&f));
        CU_ASSERT_EQUAL(salvage_told(&f).lost_versions, lost);
        fixture_restart(&f);
        for (unsigned key = 0; key < SALVAGE_KEYS; ++key)
            CU_ASSERT_EQUAL(fixture_put(&f, salvage_key(key), salvage_value(key)).err, CAIRN_OK);
        salvage_compact_all(&f);
    }
    CU_ASSERT_EQUAL(cairn_store_snapshot(f.store, "s", &snapshot), CAIRN_OK);
    CU_ASSERT_EQUAL(fixture_close(&f), CAIRN_OK);
    snprintf(path, sizeof(path), "%s", fixture_path(&f, "snapshots/s"));
    CU_ASSERT_EQUAL(cairn_store_verify(&(cairn_verify_options_t){.path = path}, &result, errmsg),
                    CAIRN_OK);
    CU_ASSERT_EQUAL(result.damage.lost_versions, lost);
    CU_ASSERT_FALSE(cairn_damage_text(&result.damage, why));
    lose_segment(&f, 0);
    fixture_must_open(&f);
    CU_ASSERT(salvage_told(&f).lost_versions > lost);
    CU_ASSERT(salvage_is_degraded(&f));
    fixture_dispose(&f);
}

/* there is a way out already: the key is written, or deleted */
static void a_value_that_is_lost_is_not_accepted(void)
{
    fixture_t f;
    salvage_make_store(&f);
    salvage_damage(&f, SALVAGE_FIRST, salvage_key(5), salvage_flip_body);
    CU_ASSERT_EQUAL_FATAL(salvage_open(&f), CAIRN_OK);
    CU_ASSERT_EQUAL(fixture_close(&f), CAIRN_OK);
    CU_ASSERT_EQUAL(unlink(fixture_path(&f, "quarantine/" SALVAGE_FIRST)), 0);
    accept_loss(&f);
    CU_ASSERT_EQUAL(salvage_told(&f).lost_keys, 1);
    CU_ASSERT(salvage_is_degraded(&f));
    CU_ASSERT_EQUAL(fixture_delete(&f, salvage_key(5)).err, CAIRN_OK);
    CU_ASSERT_FALSE(salvage_is_degraded(&f));
    fixture_dispose(&f);
}

/* no version is given twice: what the lost file had may still be in somebody's If-Match */
static void a_newest_segment_that_is_missing_gives_no_version_twice(void)
{
    fixture_t f;
    char name[32];
    salvage_make_store(&f);
    CU_ASSERT_FATAL(fixture_segment_name(&f, 0, name));
    CU_ASSERT_EQUAL(unlink(fixture_path(&f, name)), 0);
    CU_ASSERT_EQUAL(fixture_open(&f), CAIRN_ERR_CORRUPT);
    CU_ASSERT_EQUAL_FATAL(salvage_open(&f), CAIRN_OK);
    CU_ASSERT(salvage_told(&f).lost_last >= SALVAGE_KEYS);
    CU_ASSERT(fixture_put(&f, "more", "value").version > SALVAGE_KEYS);
    CU_ASSERT(fixture_has(&f, salvage_key(0), salvage_value(0)));
    fixture_restart(&f);
    CU_ASSERT(fixture_has(&f, "more", "value"));
    fixture_dispose(&f);
}

/* ---------------------------------------------------------------- what is not sealed */

/* a crash leaves the spare behind, and a STORE that knows less: neither is damage, nor may it hide
 * what comes behind some */
static void what_a_crash_leaves_is_no_damage(void)
{
    for (int is_damaged = 0; is_damaged < 2; ++is_damaged) {
        fixture_t f;
        temp_dir_t copy;
        char path[400], name[32];
        fixture_init(&f, TEMP_DIR_IN_MEMORY);
        f.options.upkeep_by_hand = true;
        CU_ASSERT_TRUE_FATAL(temp_dir_create(&copy, TEMP_DIR_IN_MEMORY));
        CU_ASSERT_EQUAL_FATAL(fixture_open(&f), CAIRN_OK);
        for (unsigned i = 0; i < SALVAGE_KEYS; ++i)
            CU_ASSERT_EQUAL_FATAL(fixture_put(&f, salvage_key(i), salvage_value(i)).err, CAIRN_OK);
        fixture_wait_until_rolled(&f);
        sleep_ms(100); /* the MARK of the idle writer */
        copy_dir(f.options.path, copy.path);
        CU_ASSERT_EQUAL(fixture_close(&f), CAIRN_OK);
        f.options.path = copy.path;
        snprintf(path, sizeof(path), "%s/" CAIRN_SPARE_NAME, copy.path);
        CU_ASSERT_EQUAL_FATAL(access(path, F_OK), 0);
        CU_ASSERT_FATAL(fixture_segment_name(&f, 0, name));
        if (is_damaged)
            salvage_damage(&f, name, salvage_key(SALVAGE_KEYS - 4), salvage_flip_body);
        CU_ASSERT_EQUAL_FATAL(salvage_open(&f), CAIRN_OK);
        salvage_check(&f, SALVAGE_KEYS - 4, SALVAGE_KEYS - 4 + (unsigned)is_damaged);
        CU_ASSERT_EQUAL(salvage_is_degraded(&f), is_damaged);
        salvage_check_kept(&f, name, is_damaged);
        CU_ASSERT_EQUAL(fixture_close(&f), CAIRN_OK);
        CU_ASSERT(temp_dir_remove(&copy));
        fixture_dispose(&f);
    }
}

static void rot_in_the_segment_that_was_being_written_is_salvaged(void)
{
    static void (*const damages[])(uint8_t *, size_t) = {salvage_flip_body, salvage_flip_head,
                                                         salvage_ruin_record, salvage_ruin_times,
                                                         salvage_ruin_head_and_body};
    for (size_t i = 0; i < sizeof(damages) / sizeof(damages[0]); ++i) {
        fixture_t f;
        char name[32];
        salvage_make_store(&f);
        CU_ASSERT_FATAL(fixture_segment_name(&f, 0, name));
        salvage_damage(&f, name, salvage_key(SALVAGE_KEYS - 4), damages[i]);
        CU_ASSERT_EQUAL(fixture_open(&f), CAIRN_ERR_CORRUPT);
        CU_ASSERT_EQUAL_FATAL(salvage_open(&f), CAIRN_OK);
        for (unsigned k = 0; k < SALVAGE_KEYS; ++k)
            CU_ASSERT(k == SALVAGE_KEYS - 4 || fixture_has(&f, salvage_key(k), salvage_value(k)));
        cairn_err_t err = salvage_get(&f, salvage_key(SALVAGE_KEYS - 4));
        CU_ASSERT_EQUAL(err, damages[i] == salvage_flip_head     ? CAIRN_OK
                             : damages[i] == salvage_ruin_record ? CAIRN_ERR_NOT_FOUND
                                                                 : CAIRN_ERR_DAMAGED);
        salvage_check_kept(&f, name, true);
        CU_ASSERT_EQUAL(fixture_put(&f, "more", "value").version, SALVAGE_KEYS + 1);
        fixture_restart(&f);
        CU_ASSERT(fixture_has(&f, "more", "value"));
        fixture_dispose(&f);
    }
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
    CU_add_test(s, "a key table knows a delete that was in a gap",
                a_delete_in_a_gap_is_known_by_the_key_table);
    CU_add_test(s, "a damaged footer costs nothing", a_footer_that_is_damaged_costs_nothing);
    CU_add_test(s, "a segment that is cut off keeps what there is",
                a_segment_that_is_cut_off_keeps_what_there_is);
    CU_add_test(s, "a compacted segment says how much may be lost",
                a_compacted_segment_says_how_much_may_be_lost);
    CU_add_test(s, "a spare that the log has gone on in",
                a_spare_that_the_log_has_gone_on_in_is_salvaged);
    CU_add_test(s, "a damaged header costs nothing", a_header_that_is_damaged_costs_nothing);
    CU_add_test(s, "a missing segment is a gap that is said",
                a_missing_segment_is_a_gap_that_is_said);
    CU_add_test(s, "a loss that is accepted degrades no more",
                a_loss_that_is_accepted_degrades_no_more);
    CU_add_test(s, "a value that is lost is not accepted", a_value_that_is_lost_is_not_accepted);
    CU_add_test(s, "a missing newest segment gives no version twice",
                a_newest_segment_that_is_missing_gives_no_version_twice);
    CU_add_test(s, "what a crash leaves is no damage", what_a_crash_leaves_is_no_damage);
    CU_add_test(s, "rot in the segment that was being written",
                rot_in_the_segment_that_was_being_written_is_salvaged);
}
