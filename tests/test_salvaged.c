/*
 * A store that has been salvaged: is what was lost still said to be, and nothing older given, after
 * a restart, a compaction, a checkpoint, in lists and feeds? And if a salvage itself is cut short?
 */
#include <CUnit/CUnit.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "storage/feed.h"
#include "storage/listing.h"
#include "storage/search.h"
#include "storage/snapshot.h"
#include "storage/verify.h"
#include "tests/fault_os.h"
#include "tests/program.h"
#include "tests/salvage_tools.h"
#include "tests/site.h"
#include "tests/suites.h"

/* ---------------------------------------------------------------- never an older value */

/** key 5 has an older value in the first segment and one in the second that is damaged */
static void make_replaced(fixture_t *f)
{
    char name[32];
    salvage_make_store(f);
    CU_ASSERT_EQUAL_FATAL(fixture_open(f), CAIRN_OK);
    CU_ASSERT_EQUAL_FATAL(fixture_put(f, salvage_key(5), salvage_value(500)).err, CAIRN_OK);
    for (unsigned i = 0; i < 30; ++i)
        CU_ASSERT_EQUAL_FATAL(fixture_put(f, "filler", salvage_value(i)).err, CAIRN_OK);
    CU_ASSERT_EQUAL_FATAL(fixture_close(f), CAIRN_OK);
    for (size_t i = 0; fixture_segment_name(f, i, name); ++i) {
        size_t bytes;
        uint8_t *content = read_file(fixture_path(f, name), &bytes);
        bool is_there = memmem(content, bytes, "value 500.", 10) != NULL;
        free(content);
        if (is_there)
            break;
    }
    salvage_damage(f, name, salvage_key(5), salvage_flip_body);
    CU_ASSERT_EQUAL_FATAL(salvage_open(f), CAIRN_OK);
    salvage_check(f, 5, 6);
}

static void the_older_value_does_not_come_back(void)
{
    fixture_t f;
    make_replaced(&f);
    for (int i = 0; i < 3; ++i) {
        fixture_restart(&f);
        salvage_check(&f, 5, 6);
        CU_ASSERT_EQUAL(salvage_told(&f).lost_keys, 1);
    }
    fixture_dispose(&f);
}

static void nor_after_a_compaction(void)
{
    fixture_t f;
    make_replaced(&f);
    CU_ASSERT_EQUAL(fixture_close(&f), CAIRN_OK);
    f.options.no_compaction = false;
    CU_ASSERT_EQUAL_FATAL(fixture_open(&f), CAIRN_OK);
    /* something to free in each */
    for (unsigned i = 10; i < SALVAGE_KEYS; i += 3)
        CU_ASSERT_EQUAL(fixture_put(&f, salvage_key(i), salvage_value(i)).err, CAIRN_OK);
    salvage_compact_all(&f);
    salvage_check(&f, 5, 6);
    CU_ASSERT_EQUAL(salvage_told(&f).lost_keys, 1);
    fixture_restart(&f);
    salvage_check(&f, 5, 6);
    CU_ASSERT_EQUAL(salvage_told(&f).lost_keys, 1);
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
            salvage_check(&f, 5, 6);
            CU_ASSERT_EQUAL(salvage_told(&f).lost_keys, 1);
        }
        CU_ASSERT_EQUAL(access(fixture_path(&f, "index.ckpt"), F_OK) == 0, with_checkpoint);
        fixture_dispose(&f);
    }
}

static void lost_versions_stay_lost_after_a_compaction(void)
{
    fixture_t f;
    salvage_make_store(&f);
    salvage_damage(&f, SALVAGE_FIRST, salvage_key(5), salvage_ruin_record);
    f.options.no_compaction = false;
    CU_ASSERT_EQUAL_FATAL(salvage_open(&f), CAIRN_OK);
    for (unsigned i = 10; i < SALVAGE_KEYS; i += 3)
        CU_ASSERT_EQUAL(fixture_put(&f, salvage_key(i), salvage_value(i)).err, CAIRN_OK);
    salvage_compact_all(&f);
    CU_ASSERT_EQUAL(salvage_told(&f).lost_versions, 1);
    fixture_restart(&f);
    CU_ASSERT_EQUAL(salvage_told(&f).lost_versions, 1);
    CU_ASSERT(salvage_told(&f).lost_first == 6 && salvage_told(&f).lost_last == 6);
    fixture_dispose(&f);
}

/* ---------------------------------------------------------------- mending */

static void a_write_mends_the_key(void)
{
    for (int is_delete = 0; is_delete < 2; ++is_delete) {
        fixture_t f;
        make_replaced(&f);
        outcome_t outcome = is_delete ? fixture_delete(&f, salvage_key(5))
                                      : fixture_put(&f, salvage_key(5), "mended");
        CU_ASSERT_EQUAL(outcome.err, CAIRN_OK);
        CU_ASSERT(outcome.existed);
        for (int i = 0; i < 2; ++i) {
            CU_ASSERT(fixture_has(&f, salvage_key(5), is_delete ? NULL : "mended"));
            CU_ASSERT_EQUAL(salvage_told(&f).lost_keys, 0);
            fixture_restart(&f);
        }
        fixture_dispose(&f);
    }
}

static void make_type_lost(uint8_t *content, size_t at)
{
    content[at + 38] = CAIRN_RECORD_LOST;
}

/* a head that has rotted says nothing: the key of such a record was never counted */
static void a_head_that_rots_into_a_lost_one_is_none(void)
{
    fixture_t f;
    salvage_make_store(&f);
    CU_ASSERT_EQUAL_FATAL(fixture_open(&f), CAIRN_OK);
    cairn_store_upkeep(f.store);
    CU_ASSERT_EQUAL_FATAL(fixture_close(&f), CAIRN_OK);
    salvage_damage(&f, SALVAGE_FIRST, salvage_key(5), make_type_lost);
    CU_ASSERT_EQUAL_FATAL(fixture_open(&f), CAIRN_OK); /* from its key table */
    CU_ASSERT_EQUAL(salvage_get(&f, salvage_key(5)), CAIRN_ERR_DAMAGED);
    CU_ASSERT_EQUAL(fixture_put(&f, salvage_key(5), "mended").err, CAIRN_OK);
    CU_ASSERT_EQUAL(salvage_told(&f).lost_keys, 0);
    CU_ASSERT_FALSE(salvage_is_degraded(&f));
    fixture_dispose(&f);
}

static void nothing_is_built_upon_what_is_lost(void)
{
    fixture_t f;
    make_replaced(&f);
    CU_ASSERT_EQUAL(fixture_write(&f, CAIRN_WRITE_APPEND, text(salvage_key(5)), (cairn_bytes_t){0},
                                  text("more"), CAIRN_SYNC)
                        .err,
                    CAIRN_ERR_DAMAGED);
    salvage_check(&f, 5, 6);
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
        CU_ASSERT_EQUAL(rows, SALVAGE_KEYS + 1);
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
    CU_ASSERT_EQUAL(follow(&f, SALVAGE_KEYS + 1), CAIRN_OK); /* has read it while it was whole */
    CU_ASSERT_EQUAL(fixture_put(&f, salvage_key(5), "mended").err, CAIRN_OK);
    CU_ASSERT_EQUAL(follow(&f, 10), CAIRN_OK);
    fixture_dispose(&f);
}

/* there may have been a delete in it */
static void a_feed_from_before_lost_versions_begins_anew(void)
{
    fixture_t f;
    salvage_make_store(&f);
    salvage_damage(&f, SALVAGE_FIRST, salvage_key(5), salvage_ruin_record);
    CU_ASSERT_EQUAL_FATAL(salvage_open(&f), CAIRN_OK);
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
        CU_ASSERT_EQUAL_FATAL(salvage_open(&f), CAIRN_OK);
        salvage_check(&f, 5, 6);
        CU_ASSERT_EQUAL(salvage_told(&f).lost_keys, 1);
        CU_ASSERT_EQUAL(salvage_told(&f).quarantined, 1);
        CU_ASSERT_EQUAL(fixture_close(&f), CAIRN_OK);
    }
    fixture_dispose(&f);
}

/* a salvaged segment that is damaged again: what was lost stays so, and something more is */
static void a_salvaged_segment_is_salvaged_again(void)
{
    fixture_t f;
    salvage_make_store(&f);
    salvage_damage(&f, SALVAGE_FIRST, salvage_key(5), salvage_flip_body);
    CU_ASSERT_EQUAL_FATAL(salvage_open(&f), CAIRN_OK);
    CU_ASSERT_EQUAL(fixture_close(&f), CAIRN_OK);
    salvage_damage(&f, "0000000000000001-0001.seg", salvage_key(6), salvage_flip_body);
    CU_ASSERT_EQUAL_FATAL(salvage_open(&f), CAIRN_OK);
    salvage_check(&f, 5, 7);
    CU_ASSERT_EQUAL(salvage_told(&f).lost_keys, 2);
    CU_ASSERT_EQUAL(salvage_told(&f).quarantined, 2);
    fixture_dispose(&f);
}

/* its key table would have told a start all that it wants to know, but not which keys are lost */
static void a_salvaged_segment_that_is_known_by_its_key_table_too(void)
{
    fixture_t f;
    salvage_make_store(&f);
    salvage_damage(&f, SALVAGE_FIRST, salvage_key(5), salvage_flip_body);
    CU_ASSERT_EQUAL_FATAL(salvage_open(&f), CAIRN_OK);
    cairn_store_upkeep(f.store);
    CU_ASSERT_EQUAL(fixture_close(&f), CAIRN_OK);
    CU_ASSERT_EQUAL_FATAL(access(fixture_path(&f, "0000000000000001-0001.keys"), F_OK), 0);
    salvage_damage(&f, "0000000000000001-0001.seg", salvage_key(6), salvage_flip_head);
    CU_ASSERT_EQUAL(fixture_open(&f), CAIRN_ERR_CORRUPT);
    CU_ASSERT_PTR_NOT_NULL(strstr(f.errmsg, "0000000000000001-0001.seg: damaged at byte "));
    CU_ASSERT_PTR_NOT_NULL(strstr(f.errmsg, "'cairn serve --salvage'"));
    CU_ASSERT_EQUAL_FATAL(salvage_open(&f), CAIRN_OK);
    salvage_check(&f, 5, 6);
    fixture_dispose(&f);
}

/** three kinds of damage at once */
static void make_damaged(fixture_t *f)
{
    char name[32];
    salvage_make_store(f);
    salvage_damage(f, SALVAGE_FIRST, salvage_key(5), salvage_flip_body);
    salvage_damage(f, SALVAGE_FIRST, NULL, salvage_flip_header);
    CU_ASSERT_FATAL(fixture_segment_name(f, 0, name));
    salvage_damage(f, name, salvage_key(SALVAGE_KEYS - 4), salvage_flip_body);
    CU_ASSERT_FATAL(fixture_segment_name(f, 1, name));
    CU_ASSERT_EQUAL(unlink(fixture_path(f, name)), 0);
}

static void check_damaged(fixture_t *f)
{
    cairn_damage_t damage = salvage_told(f);
    CU_ASSERT_EQUAL(damage.lost_keys, 2);
    CU_ASSERT_EQUAL(damage.quarantined, 2);
    CU_ASSERT(damage.lost_versions > 10 && damage.lost_versions < 30);
    CU_ASSERT_EQUAL(salvage_get(f, salvage_key(5)), CAIRN_ERR_DAMAGED);
    CU_ASSERT_EQUAL(salvage_get(f, salvage_key(SALVAGE_KEYS - 4)), CAIRN_ERR_DAMAGED);
    CU_ASSERT(fixture_has(f, salvage_key(0), salvage_value(0)));
    CU_ASSERT(fixture_has(f, salvage_key(SALVAGE_KEYS - 1), salvage_value(SALVAGE_KEYS - 1)));
}

static void a_crash_at_any_change_of_a_salvage_is_gone_on_from(void)
{
    fixture_t counted;
    make_damaged(&counted);
    fault_os_install();
    CU_ASSERT_EQUAL_FATAL(salvage_open(&counted), CAIRN_OK);
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
        if (salvage_open(&f) == CAIRN_OK)
            fixture_close(&f);
        f.store = NULL;
        fault_os_remove();
        /* without being asked again it is not salvaged, unless all had been done */
        cairn_err_t err = fixture_open(&f);
        CU_ASSERT(err == CAIRN_OK || err == CAIRN_ERR_CORRUPT);
        if (err != CAIRN_OK)
            err = salvage_open(&f);
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
            cairn_err_t err = salvage_open(&f);
            has_fired = fault_os_has_fired();
            fault_os_heal();
            if (err == CAIRN_OK)
                fixture_close(&f);
            f.store = NULL;
            fault_os_remove();
            err = salvage_open(&f);
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
    CU_ASSERT_EQUAL_FATAL(salvage_open(&f), CAIRN_OK);
    cairn_damage_t damage = salvage_told(&f);
    CU_ASSERT_EQUAL(fixture_close(&f), CAIRN_OK);
    CU_ASSERT_EQUAL(cairn_store_verify(&options, &result, errmsg), CAIRN_OK);
    CU_ASSERT_EQUAL(result.bad_files, 0);
    CU_ASSERT_EQUAL(result.damage.lost_keys, damage.lost_keys);
    CU_ASSERT_EQUAL(result.damage.lost_versions, damage.lost_versions);
    CU_ASSERT_EQUAL(result.damage.quarantined, damage.quarantined);
    /* a key that has been written since is not lost any more */
    CU_ASSERT_EQUAL_FATAL(fixture_open(&f), CAIRN_OK);
    CU_ASSERT_EQUAL(fixture_put(&f, salvage_key(5), "mended").err, CAIRN_OK);
    CU_ASSERT_EQUAL(fixture_close(&f), CAIRN_OK);
    CU_ASSERT_EQUAL(cairn_store_verify(&options, &result, errmsg), CAIRN_OK);
    CU_ASSERT_EQUAL(result.damage.lost_keys, 1);
    fixture_dispose(&f);
}

/* what is lost is lost in a snapshot too, and that is no reason not to use it */
static void a_snapshot_of_it_can_be_restored(void)
{
    fixture_t f, restored;
    cairn_snapshot_t snapshot;
    char *output = NULL, from[400], to[400];
    make_replaced(&f);
    CU_ASSERT_EQUAL_FATAL(cairn_store_snapshot(f.store, "one", &snapshot), CAIRN_OK);
    snprintf(from, sizeof(from), "%s", fixture_path(&f, "snapshots/one"));
    fixture_init(&restored, TEMP_DIR_IN_MEMORY);
    snprintf(to, sizeof(to), "%s", fixture_path(&restored, "copy"));
    const char *binary = getenv("CAIRN_BINARY");
    const char *argv[] = {binary != NULL ? binary : "build/cairn", "restore", from, to, NULL};
    CU_ASSERT_EQUAL(program_run(argv, 20000, &output), 0);
    CU_ASSERT(output != NULL && strstr(output, "copy is degraded, as the store was") != NULL);
    free(output);
    restored.options.path = to;
    CU_ASSERT_EQUAL_FATAL(fixture_open(&restored), CAIRN_OK);
    salvage_check(&restored, 5, 6);
    CU_ASSERT_EQUAL(salvage_told(&restored).lost_keys, 1);
    CU_ASSERT_EQUAL(salvage_told(&restored).quarantined, 0);
    fixture_dispose(&restored);
    fixture_dispose(&f);
}

static void a_server_answers_500_and_says_that_it_is_degraded(void)
{
    static const char *const flags[] = {"--salvage", NULL};
    fixture_t f;
    site_t site;
    http_conn_t conn;
    http_response_t res;
    salvage_make_store(&f);
    salvage_damage(&f, SALVAGE_FIRST, salvage_key(5), salvage_flip_body);
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
        CU_ASSERT(exchange_gives(&conn, "/v1/kv/key%206.", salvage_value(6)));
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

void suite_salvaged(void)
{
    CU_pSuite s = CU_add_suite("salvaged: what stays true of a salvaged store", NULL, NULL);
    CU_add_test(s, "salvage, then restart: the older value does not come back",
                the_older_value_does_not_come_back);
    CU_add_test(s, "salvage, then compaction: nor then", nor_after_a_compaction);
    CU_add_test(s, "salvage, then checkpoint or key tables: nor then",
                nor_after_a_start_from_a_checkpoint_or_from_key_tables);
    CU_add_test(s, "salvage, then compaction: lost versions stay lost",
                lost_versions_stay_lost_after_a_compaction);
    CU_add_test(s, "a write mends the key", a_write_mends_the_key);
    CU_add_test(s, "a head that rots into a LOST one is none",
                a_head_that_rots_into_a_lost_one_is_none);
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
    CU_add_test(s, "and is where a key table knows it",
                a_salvaged_segment_that_is_known_by_its_key_table_too);
    CU_add_test(s, "a crash at any change of a salvage is gone on from",
                a_crash_at_any_change_of_a_salvage_is_gone_on_from);
    CU_add_test(s, "any call of a salvage may fail", any_call_of_a_salvage_may_fail);
    CU_add_test(s, "verify says that it is degraded", verify_says_that_it_is_degraded);
    CU_add_test(s, "a snapshot of it can be restored", a_snapshot_of_it_can_be_restored);
    CU_add_test(s, "a server answers 500 and says that it is degraded",
                a_server_answers_500_and_says_that_it_is_degraded);
}
