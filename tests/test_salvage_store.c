/*
 * STORE is damaged or gone: is what it said taken from the other files, and is more said than they
 * prove?
 */
#include <CUnit/CUnit.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/fault_os.h"
#include "tests/salvage_tools.h"
#include "tests/suites.h"

static void write_text(const fixture_t *f, const char *name, const char *content)
{
    write_file(fixture_path(f, name), content, strlen(content));
}

static bool says(const fixture_t *f, const char *words)
{
    return strstr(f->errmsg, words) != NULL;
}

/** closed; and the next start needs no salvage any more, and is not degraded once it was looked at
 */
static void check_salvaged(fixture_t *f, bool is_kept)
{
    salvage_check(f, 0, 0);
    salvage_check_kept(f, "STORE", is_kept);
    CU_ASSERT_EQUAL(salvage_is_degraded(f), is_kept);
    fixture_restart(f);
    salvage_check(f, 0, 0);
    CU_ASSERT_EQUAL(salvage_is_degraded(f), is_kept);
    CU_ASSERT_EQUAL(fixture_close(f), CAIRN_OK);
    if (is_kept)
        CU_ASSERT_EQUAL(unlink(fixture_path(f, "quarantine/STORE")), 0);
    CU_ASSERT_EQUAL_FATAL(fixture_open(f), CAIRN_OK);
    CU_ASSERT_FALSE(salvage_is_degraded(f));
    CU_ASSERT_EQUAL(fixture_put(f, "new", "value").version, SALVAGE_KEYS + 1);
}

static void damaged_it_is_taken_from_the_segments(void)
{
    static const char *const contents[] = {"", "cairn store 1\n", "nonsense"};
    for (size_t i = 0; i < sizeof(contents) / sizeof(contents[0]); ++i) {
        fixture_t f;
        salvage_make_store(&f);
        write_text(&f, "STORE", contents[i]);
        CU_ASSERT_EQUAL(fixture_open(&f), CAIRN_ERR_CORRUPT);
        CU_ASSERT(says(&f, "STORE: not written by this version of cairn, or damaged"));
        CU_ASSERT(says(&f, "'cairn serve --salvage'"));
        unsigned errors = f.error_lines;
        CU_ASSERT_EQUAL_FATAL(salvage_open(&f), CAIRN_OK);
        CU_ASSERT_EQUAL(f.error_lines, errors + 1);
        check_salvaged(&f, true);
        fixture_dispose(&f);
    }
}

static void gone_it_is_taken_from_the_segments(void)
{
    fixture_t f;
    salvage_make_store(&f);
    CU_ASSERT_EQUAL(unlink(fixture_path(&f, "STORE")), 0);
    CU_ASSERT_EQUAL(fixture_open(&f), CAIRN_ERR_CORRUPT);
    CU_ASSERT(says(&f, "'cairn serve --salvage'"));
    CU_ASSERT_EQUAL_FATAL(salvage_open(&f), CAIRN_OK);
    check_salvaged(&f, false);
    fixture_dispose(&f);
}

/** the newest segment, and what else knows of it */
static void lose_newest_segment(const fixture_t *f)
{
    char name[32];
    CU_ASSERT_FATAL(fixture_segment_name(f, 0, name));
    CU_ASSERT_EQUAL(unlink(fixture_path(f, name)), 0);
}

/* a wrong bit is found by the sum: then nothing that it knew is lost, and what is lost is said */
static void one_wrong_bit_is_put_right(void)
{
    for (size_t bit = 0;; bit += 37) {
        fixture_t f;
        size_t count;
        salvage_make_store(&f);
        uint8_t *store = read_file(fixture_path(&f, "STORE"), &count);
        if (bit < 8 * count) {
            store[bit / 8] ^= (uint8_t)(1 << bit % 8);
            write_file(fixture_path(&f, "STORE"), store, count);
            lose_newest_segment(&f);
            CU_ASSERT_EQUAL(fixture_open(&f), CAIRN_ERR_CORRUPT);
            CU_ASSERT_EQUAL_FATAL(salvage_open(&f), CAIRN_OK);
            CU_ASSERT(salvage_told(&f).lost_last >= SALVAGE_KEYS);
            salvage_check_kept(&f, "STORE", true);
        }
        free(store);
        fixture_dispose(&f);
        if (bit >= 8 * count)
            break;
    }
}

/* the checkpoint knows how far the log went */
static void a_lost_segment_is_said_where_the_checkpoint_knows_it(void)
{
    for (int has_checkpoint = 0; has_checkpoint < 2; ++has_checkpoint) {
        fixture_t f;
        salvage_make_store(&f);
        f.options.checkpoint_bytes = has_checkpoint; /* one is written at the end */
        fixture_must_open(&f);
        CU_ASSERT_EQUAL(fixture_close(&f), CAIRN_OK);
        CU_ASSERT_EQUAL(access(fixture_path(&f, "index.ckpt"), F_OK) == 0, has_checkpoint);
        write_text(&f, "STORE", "nonsense");
        lose_newest_segment(&f);
        CU_ASSERT_EQUAL_FATAL(salvage_open(&f), CAIRN_OK);
        cairn_damage_t damage = salvage_told(&f);
        CU_ASSERT_EQUAL(damage.lost_versions != 0, has_checkpoint);
        CU_ASSERT_EQUAL(damage.lost_last >= SALVAGE_KEYS, has_checkpoint);
        /* and without it that it may be so: what is in quarantine/ has not been looked at */
        CU_ASSERT(salvage_is_degraded(&f));
        CU_ASSERT(fixture_has(&f, salvage_key(0), salvage_value(0)));
        fixture_dispose(&f);
    }
}

static void beside_other_damage(void)
{
    fixture_t f;
    salvage_make_store(&f);
    write_text(&f, "STORE", "nonsense");
    salvage_damage(&f, SALVAGE_FIRST, salvage_key(5), salvage_flip_body);
    CU_ASSERT_EQUAL_FATAL(salvage_open(&f), CAIRN_OK);
    salvage_check(&f, 5, 6);
    salvage_check_kept(&f, "STORE", true);
    salvage_check_kept(&f, SALVAGE_FIRST, true);
    fixture_dispose(&f);
}

static void files_of_two_stores_are_refused(void)
{
    fixture_t f, other;
    size_t count;
    char name[32];
    salvage_make_store(&f);
    salvage_make_store(&other);
    CU_ASSERT_FATAL(fixture_segment_name(&other, 0, name));
    uint8_t *content = read_file(fixture_path(&other, name), &count);
    write_file(fixture_path(&f, "00000000000000ff-0000.seg"), content, count);
    write_text(&f, "STORE", "nonsense");
    CU_ASSERT_EQUAL(salvage_open(&f), CAIRN_ERR_CORRUPT);
    CU_ASSERT(says(&f, "are of different stores"));
    salvage_check_kept(&f, "STORE", false);
    free(content);
    fixture_dispose(&other);
    fixture_dispose(&f);
}

static void where_nothing_proves_it_it_is_refused(void)
{
    fixture_t f;
    fixture_init(&f, TEMP_DIR_IN_MEMORY);
    write_text(&f, "STORE", "nonsense");
    CU_ASSERT_EQUAL(salvage_open(&f), CAIRN_ERR_CORRUPT);
    CU_ASSERT(says(&f, "no file there says whose directory this is"));
    write_text(&f, "next.seg", "nonsense");
    CU_ASSERT_EQUAL(unlink(fixture_path(&f, "STORE")), 0);
    CU_ASSERT_EQUAL(salvage_open(&f), CAIRN_ERR_CORRUPT);
    CU_ASSERT(says(&f, "no file there says whose directory this is"));
    fixture_dispose(&f);
}

/** a start after a salvage that ended somewhere: it refuses and is salvaged, or all is there */
static void start_or_salvage(fixture_t *f)
{
    cairn_err_t err = fixture_open(f);
    CU_ASSERT(err == CAIRN_OK || says(f, "STORE: not written by this version of cairn"));
    if (err != CAIRN_OK)
        CU_ASSERT_EQUAL_FATAL(salvage_open(f), CAIRN_OK);
    salvage_check(f, 0, 0);
}

/* until STORE has been written anew the store refuses to open, and can be salvaged again */
static void whatever_call_fails_nothing_is_lost(void)
{
    bool is_over = false;
    for (uint64_t i = 0; !is_over; ++i) {
        fixture_t f;
        salvage_make_store(&f);
        write_text(&f, "STORE", "nonsense");
        fault_os_install();
        fault_os_freeze_after(i / 2, i % 2 != 0);
        if (salvage_open(&f) == CAIRN_OK)
            fixture_close(&f);
        f.store = NULL;
        is_over = i % 2 != 0 && fault_os_changes() < i / 2;
        fault_os_remove();
        /* as if the process had died there */
        start_or_salvage(&f);
        salvage_check_kept(&f, "STORE", true);
        fixture_dispose(&f);
        CU_ASSERT_FATAL(i < 400);
    }
}

/* each call once, in turn, until one is not made any more */
static void if_a_call_fails_the_next_salvage_is_whole(void)
{
    for (fault_function_t function = 0; function < FAULT_FUNCTION_COUNT; ++function) {
        for (uint64_t nth = 1;; ++nth) {
            fixture_t f;
            salvage_make_store(&f);
            write_text(&f, "STORE", "nonsense");
            fault_os_install();
            fault_os_fail(function, nth, EIO, false);
            if (salvage_open(&f) == CAIRN_OK)
                fixture_close(&f);
            f.store = NULL;
            bool is_over = fault_os_calls(function) < nth;
            fault_os_remove();
            start_or_salvage(&f);
            CU_ASSERT_EQUAL(salvage_told(&f).lost_versions, 0);
            fixture_dispose(&f);
            if (is_over || nth == 60)
                break;
        }
    }
}

void suite_salvage_store(void)
{
    CU_pSuite s = CU_add_suite("salvage: STORE is damaged", NULL, NULL);
    CU_add_test(s, "damaged, it is taken from the segments", damaged_it_is_taken_from_the_segments);
    CU_add_test(s, "gone, it is taken from the segments", gone_it_is_taken_from_the_segments);
    CU_add_test(s, "one wrong bit is put right", one_wrong_bit_is_put_right);
    CU_add_test(s, "a lost segment is said where the checkpoint knows it",
                a_lost_segment_is_said_where_the_checkpoint_knows_it);
    CU_add_test(s, "beside other damage", beside_other_damage);
    CU_add_test(s, "files of two stores are refused", files_of_two_stores_are_refused);
    CU_add_test(s, "where nothing proves it, it is refused", where_nothing_proves_it_it_is_refused);
    CU_add_test(s, "whatever call fails, nothing is lost", whatever_call_fails_nothing_is_lost);
    CU_add_test(s, "if a call fails, the next salvage is whole",
                if_a_call_fails_the_next_salvage_is_whole);
}
