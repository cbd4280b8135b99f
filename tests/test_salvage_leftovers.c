/*
 * A damaged store with files of earlier times in it: segments that a compacted one has replaced,
 * and what an earlier salvage has kept. Does a salvage go well, and is nothing lost by it?
 */
#include <CUnit/CUnit.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "storage/snapshot.h"
#include "tests/salvage_tools.h"
#include "tests/suites.h"

#define AGAIN "0000000000000001-0001.seg"

/** a file's content, to be put back later */
typedef struct st_saved_t {
    uint8_t *content;
    size_t bytes;
} saved_t;

static saved_t save(const fixture_t *f, const char *name)
{
    saved_t saved;
    saved.content = read_file(fixture_path(f, name), &saved.bytes);
    return saved;
}

static void put_back(const fixture_t *f, const char *name, saved_t saved)
{
    write_file(fixture_path(f, name), saved.content, saved.bytes);
    free(saved.content);
}

/** whether a file in quarantine/ has just this content */
static bool is_kept(const fixture_t *f, const char *name, saved_t saved)
{
    char path[100];
    size_t bytes;
    snprintf(path, sizeof(path), "quarantine/%s", name);
    if (access(fixture_path(f, path), R_OK) != 0)
        return false;
    uint8_t *content = read_file(fixture_path(f, path), &bytes);
    bool is_same = bytes == saved.bytes && memcmp(content, saved.content, bytes) == 0;
    free(content);
    return is_same;
}

/** damaged and salvaged, and closed: FIRST has been replaced by AGAIN */
static void make_salvaged(fixture_t *f, saved_t *first)
{
    salvage_make_store(f);
    salvage_damage(f, SALVAGE_FIRST, salvage_key(5), salvage_flip_body);
    *first = save(f, SALVAGE_FIRST);
    CU_ASSERT_EQUAL_FATAL(salvage_open(f), CAIRN_OK);
    CU_ASSERT_EQUAL_FATAL(fixture_close(f), CAIRN_OK);
}

/* of a file that does not count any more, an open wants the footer nevertheless */
static void a_replaced_segment_without_footer_is_in_nobodys_way(void)
{
    fixture_t f;
    saved_t first, again;
    make_salvaged(&f, &first);
    free(first.content);
    again = save(&f, AGAIN);
    salvage_damage(&f, AGAIN, salvage_key(6), salvage_flip_body);
    CU_ASSERT_EQUAL_FATAL(salvage_open(&f), CAIRN_OK);
    CU_ASSERT_EQUAL_FATAL(fixture_close(&f), CAIRN_OK);
    memset(again.content + again.bytes - CAIRN_SEGMENT_FOOTER_BYTES, 0, CAIRN_SEGMENT_FOOTER_BYTES);
    put_back(&f, AGAIN, again);
    CU_ASSERT_EQUAL(fixture_open(&f), CAIRN_ERR_CORRUPT);
    CU_ASSERT_EQUAL_FATAL(salvage_open(&f), CAIRN_OK);
    salvage_check(&f, 5, 7);
    CU_ASSERT_EQUAL(salvage_told(&f).quarantined, 3);
    fixture_restart(&f);
    salvage_check(&f, 5, 7);
    fixture_dispose(&f);
}

/* who has put a backup back has segments of the names that are in quarantine/ already */
static void a_file_in_quarantine_is_not_taken_for_another_one(void)
{
    fixture_t f;
    saved_t first, other;
    make_salvaged(&f, &first);
    CU_ASSERT_EQUAL(unlink(fixture_path(&f, AGAIN)), 0);
    write_file(fixture_path(&f, SALVAGE_FIRST), first.content, first.bytes);
    salvage_damage(&f, SALVAGE_FIRST, salvage_key(8), salvage_flip_body);
    other = save(&f, SALVAGE_FIRST);
    CU_ASSERT_EQUAL_FATAL(salvage_open(&f), CAIRN_OK);
    CU_ASSERT_EQUAL(salvage_told(&f).quarantined, 2);
    CU_ASSERT(is_kept(&f, SALVAGE_FIRST, other));
    CU_ASSERT(is_kept(&f, SALVAGE_FIRST ".1", first));
    free(first.content);
    free(other.content);
    fixture_dispose(&f);
}

/* what a compaction has replaced may still have what has rotted in the copy */
static void what_a_damaged_segment_has_replaced_is_kept_too(void)
{
    static void (*const damages[])(uint8_t *, size_t) = {salvage_flip_body, salvage_flip_header};
    for (size_t i = 0; i < sizeof(damages) / sizeof(damages[0]); ++i) {
        fixture_t f;
        saved_t first;
        make_salvaged(&f, &first);
        write_file(fixture_path(&f, SALVAGE_FIRST), first.content, first.bytes);
        CU_ASSERT_EQUAL(unlink(fixture_path(&f, "quarantine/" SALVAGE_FIRST)), 0);
        salvage_damage(&f, AGAIN, i == 0 ? salvage_key(6) : NULL, damages[i]);
        CU_ASSERT_EQUAL_FATAL(salvage_open(&f), CAIRN_OK);
        salvage_check(&f, 5, i == 0 ? 7 : 6);
        CU_ASSERT(is_kept(&f, SALVAGE_FIRST, first));
        salvage_check_kept(&f, AGAIN, true);
        free(first.content);
        fixture_dispose(&f);
    }
}

/* a snapshot seals the newest segment; the log has its next one and nothing in it when it stops */
static void a_newest_segment_without_records_is_not_missing(void)
{
    for (int is_damaged = 0; is_damaged < 2; ++is_damaged) {
        fixture_t f;
        cairn_snapshot_t snapshot;
        salvage_make_store(&f);
        CU_ASSERT_EQUAL_FATAL(fixture_open(&f), CAIRN_OK);
        CU_ASSERT_EQUAL_FATAL(cairn_store_snapshot(f.store, "one", &snapshot), CAIRN_OK);
        CU_ASSERT_EQUAL_FATAL(fixture_close(&f), CAIRN_OK);
        if (is_damaged)
            salvage_damage(&f, SALVAGE_FIRST, salvage_key(5), salvage_flip_body);
        CU_ASSERT_EQUAL_FATAL(salvage_open(&f), CAIRN_OK);
        salvage_check(&f, 5, is_damaged ? 6 : 5);
        CU_ASSERT_EQUAL(salvage_told(&f).lost_versions, 0);
        CU_ASSERT_EQUAL(salvage_told(&f).quarantined, (uint64_t)is_damaged);
        CU_ASSERT_EQUAL(fixture_put(&f, "more", "value").version, SALVAGE_KEYS + 1);
        fixture_dispose(&f);
    }
}

void suite_salvage_leftovers(void)
{
    CU_pSuite s = CU_add_suite("salvage: files of earlier times", NULL, NULL);
    CU_add_test(s, "a replaced segment without footer is in nobody's way",
                a_replaced_segment_without_footer_is_in_nobodys_way);
    CU_add_test(s, "a file in quarantine is not taken for another one",
                a_file_in_quarantine_is_not_taken_for_another_one);
    CU_add_test(s, "what a damaged segment has replaced is kept too",
                what_a_damaged_segment_has_replaced_is_kept_too);
    CU_add_test(s, "a newest segment without records is not missing",
                a_newest_segment_without_records_is_not_missing);
}
