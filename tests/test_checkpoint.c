/*
 * Does a checkpoint spare time, and never cost a record?
 *
 * tests/test_power_cut.c has checkpoints beside running writes and cuts at every step; here is what
 * becomes of a checkpoint that is damaged, foreign, old or too new, and what is read with a good
 * one.
 */
#include <CUnit/CUnit.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "storage/checkpoint.h"
#include "storage/keytable.h"
#include "storage/os.h"
#include "storage/store_internal.h"
#include "tests/ckpt_store.h"
#include "tests/fault_os.h"
#include "tests/seed.h"
#include "tests/suites.h"

/* ---------------------------------------------------------------- a good one */

static void nothing_is_replayed_after_a_clean_stop(void)
{
    ckpt_store_t s;
    ckpt_make_closed(&s);
    cairn_checkpoint_header_t header = ckpt_header(&s);
    CU_ASSERT(header.segment_count >= 3);
    for (int i = 0; i < 3; ++i) {
        ckpt_check_all(&s);
        CU_ASSERT(ckpt_is_restored(&s));
        CU_ASSERT(ckpt_has_said(&s, i == 0 ? ", 0 bytes of log" : "bytes of log"));
        /* the dump, and what is left of the newest segment */
        CU_ASSERT(s.bytes_total <= header.dump_bytes + FIXTURE_SEGMENT_BYTES);
        ckpt_write_some(&s, 20);
        CU_ASSERT_EQUAL(ckpt_count_wrong(&s), 0);
        ckpt_close(&s);
    }
    fixture_dispose(&s.f);
}

static void covered_segments_are_not_read(void)
{
    ckpt_store_t s;
    ckpt_make_closed(&s);
    ckpt_flip_in_oldest(&s);
    CU_ASSERT_EQUAL_FATAL(ckpt_open(&s), CAIRN_OK);
    CU_ASSERT(ckpt_is_restored(&s));
    CU_ASSERT(ckpt_count_wrong(&s) <= 1); /* and that one is an error, or has been overwritten */
    ckpt_close(&s);
    CU_ASSERT_EQUAL(unlink(ckpt_path(&s)), 0);
    CU_ASSERT_EQUAL(ckpt_open(&s), CAIRN_ERR_CORRUPT);
    fixture_dispose(&s.f);
}

static void what_came_later_is_replayed(void)
{
    ckpt_store_t s;
    ckpt_make_closed(&s);
    size_t count;
    uint8_t *old = read_file(ckpt_path(&s), &count);
    for (unsigned i = 0; i < 3; ++i) {
        ckpt_check_all(&s);
        ckpt_write_some(&s, 90 + i);
        ckpt_close(&s);
        /* as if the process had died before it wrote another one */
        write_file(ckpt_path(&s), old, count);
        ckpt_check_all(&s);
        CU_ASSERT(ckpt_is_restored(&s));
        ckpt_close(&s);
        write_file(ckpt_path(&s), old, count);
    }
    free(old);
    fixture_dispose(&s.f);
}

static void segments_of_another_size(void)
{
    ckpt_store_t s;
    ckpt_make_closed(&s);
    s.f.options.segment_bytes = FIXTURE_SEGMENT_BYTES / 2; /* fits the slots there are */
    ckpt_check_all(&s);
    CU_ASSERT(ckpt_is_restored(&s));
    ckpt_write_some(&s, 50);
    ckpt_close(&s);
    s.f.options.segment_bytes = FIXTURE_SEGMENT_BYTES * 4; /* does not */
    ckpt_check_all(&s);
    CU_ASSERT(ckpt_has_fallen_back(&s));
    ckpt_write_some(&s, 200);
    ckpt_close(&s);
    ckpt_check_all(&s);
    CU_ASSERT(ckpt_is_restored(&s));
    ckpt_close(&s);
    s.f.options.segment_bytes = FIXTURE_SEGMENT_BYTES;
    ckpt_check_all(&s);
    CU_ASSERT(ckpt_is_restored(&s));
    ckpt_close(&s);
    fixture_dispose(&s.f);
}

static void time_does_not_run_backwards_over_it(void)
{
    ckpt_store_t s;
    ckpt_make_closed(&s);
    CU_ASSERT(ckpt_header(&s).clock_ms != 0);
    CU_ASSERT_EQUAL_FATAL(ckpt_open(&s), CAIRN_OK);
    uint64_t floor = atomic_load(&s.f.store->clock.floor_ms);
    CU_ASSERT(floor >= ckpt_header(&s).clock_ms);
    ckpt_close(&s);
    fixture_dispose(&s.f);
}

/* ---------------------------------------------------------------- a damaged one */

static bool on_bytes(void *ctx, uint64_t bytes)
{
    *(uint64_t *)ctx += bytes;
    return true;
}

/** reads a checkpoint file with nothing but its own sums to judge it by; whether it is believed */
static bool is_believed(const cairn_dir_t *dir)
{
    cairn_checkpoint_image_t image;
    cairn_index_t *index = NULL;
    uint64_t read = 0;
    char why[CAIRN_ERRMSG_BYTES];
    cairn_err_t err = cairn_checkpoint_open(&image, dir, why);
    if (err != CAIRN_OK)
        return false;
    err = cairn_checkpoint_load(&image, on_bytes, &read, &index, why);
    if (err == CAIRN_OK)
        cairn_index_destroy(index);
    cairn_checkpoint_close(&image);
    return err == CAIRN_OK;
}

/** every byte of what describes it, and one in many of the tables, which blocks of sums cover */
static size_t next_to_flip(size_t at, const cairn_checkpoint_header_t *header, size_t count)
{
    size_t table_from = 2 * 4096, tail_from = CAIRN_CHECKPOINT_HEADER_BYTES + header->dump_bytes;
    size_t step = at < 256 ? 1 : at < table_from || at + 4096 > tail_from ? 61 : 5003;
    return at + 600 >= count ? at + 1 : at + step;
}

static void any_byte_flipped(void)
{
    ckpt_store_t s;
    cairn_dir_t dir;
    char why[CAIRN_ERRMSG_BYTES];
    size_t count;
    ckpt_make_closed(&s);
    cairn_checkpoint_header_t header = ckpt_header(&s);
    uint8_t *bytes = read_file(ckpt_path(&s), &count);
    CU_ASSERT_EQUAL_FATAL(cairn_dir_open(&dir, s.f.dir.path, why), CAIRN_OK);
    CU_ASSERT(is_believed(&dir));
    unsigned tried = 0, believed = 0;
    FILE *file = fopen(ckpt_path(&s), "r+b");
    CU_ASSERT_PTR_NOT_NULL_FATAL(file);
    for (size_t at = 0; at < count; at = next_to_flip(at, &header, count), ++tried) {
        for (int undo = 0; undo < 2; ++undo) {
            fseek(file, (long)at, SEEK_SET);
            fputc(undo ? bytes[at] : bytes[at] ^ (1 << at % 8), file);
            fflush(file);
            believed += undo == 0 && is_believed(&dir);
        }
    }
    CU_ASSERT(is_believed(&dir));
    printf("%u flips; ", tried);
    CU_ASSERT(tried > 900);
    CU_ASSERT_EQUAL(believed, 0);
    fclose(file);
    cairn_dir_close(&dir);
    free(bytes);
    fixture_dispose(&s.f);
}

static void any_length_cut(void)
{
    ckpt_store_t s;
    cairn_dir_t dir;
    char why[CAIRN_ERRMSG_BYTES];
    size_t count;
    ckpt_make_closed(&s);
    uint8_t *bytes = read_file(ckpt_path(&s), &count);
    CU_ASSERT_EQUAL_FATAL(cairn_dir_open(&dir, s.f.dir.path, why), CAIRN_OK);
    unsigned believed = 0;
    for (size_t cut = 1; cut <= count; cut += cut < 700 ? 1 : 1 + count / 300) {
        CU_ASSERT_EQUAL(truncate(ckpt_path(&s), (off_t)(count - cut)), 0);
        believed += is_believed(&dir);
    }
    CU_ASSERT_EQUAL(believed, 0);
    cairn_dir_close(&dir);
    write_file(ckpt_path(&s), bytes, count);
    free(bytes);
    ckpt_check_all(&s);
    CU_ASSERT(ckpt_is_restored(&s));
    ckpt_close(&s);
    fixture_dispose(&s.f);
}

/** damage in each part, and a longer and an empty file: the store opens as if there were none */
static void a_damaged_one_costs_nothing_but_time(void)
{
    ckpt_store_t s;
    size_t count;
    ckpt_make_closed(&s);
    uint8_t *bytes = read_file(ckpt_path(&s), &count);
    size_t spots[] = {0, 9, 20, 40, 70, 4090, 4096 + 3, 4096 * 3, count / 2, count - 70, count - 1};
    for (size_t i = 0; i < sizeof(spots) / sizeof(spots[0]); ++i) {
        bytes[spots[i]] ^= 0x10;
        write_file(ckpt_path(&s), bytes, count);
        bytes[spots[i]] ^= 0x10;
        ckpt_check_all(&s);
        CU_ASSERT(ckpt_has_fallen_back(&s));
        ckpt_close(&s);
    }
    write_file(ckpt_path(&s), bytes, count / 3);
    ckpt_check_all(&s);
    CU_ASSERT(ckpt_has_fallen_back(&s));
    ckpt_close(&s);
    write_file(ckpt_path(&s), bytes, 0);
    ckpt_check_all(&s);
    CU_ASSERT(ckpt_has_fallen_back(&s));
    ckpt_close(&s);
    /* and each close has written a good one again */
    ckpt_check_all(&s);
    CU_ASSERT(ckpt_is_restored(&s));
    ckpt_close(&s);
    free(bytes);
    fixture_dispose(&s.f);
}

/* ---------------------------------------------------------------- one that is not of this log */

static void one_of_another_store(void)
{
    ckpt_store_t s, other;
    size_t count;
    ckpt_make_closed(&s);
    ckpt_make_closed(&other);
    uint8_t *bytes = read_file(ckpt_path(&other), &count);
    write_file(ckpt_path(&s), bytes, count);
    free(bytes);
    ckpt_check_all(&s);
    CU_ASSERT(ckpt_has_fallen_back(&s));
    CU_ASSERT(ckpt_has_said(&s, "another store"));
    ckpt_close(&s);
    fixture_dispose(&other.f);
    fixture_dispose(&s.f);
}

/** the files of a copy from before, with the checkpoint of today */
static void restore(ckpt_store_t *s, const ckpt_store_t *today)
{
    size_t count;
    uint8_t *bytes = read_file(ckpt_path(today), &count);
    write_file(ckpt_path(s), bytes, count);
    free(bytes);
}

static void a_log_restored_from_before_it(void)
{
    /* a few writes stay within the newest segment, many go beyond it */
    for (unsigned more = 1; more < 200; more += more < 4 ? 1 : 97) {
        ckpt_store_t s, copy;
        ckpt_make_closed(&s);
        ckpt_init(&copy);
        copy_dir(s.f.dir.path, copy.f.dir.path);
        memcpy(copy.numbers, s.numbers, sizeof(copy.numbers));
        copy.number = s.number;
        ckpt_check_all(&s);
        ckpt_write_some(&s, more);
        ckpt_close(&s);
        restore(&copy, &s);
        ckpt_check_all(&copy);
        CU_ASSERT(ckpt_has_fallen_back(&copy));
        /* it goes another way from there, over the same versions */
        copy.number += 1000;
        ckpt_write_some(&copy, more);
        ckpt_close(&copy);
        ckpt_check_all(&copy);
        CU_ASSERT(ckpt_is_restored(&copy));
        ckpt_close(&copy);
        restore(&copy, &s);
        ckpt_check_all(&copy);
        CU_ASSERT(ckpt_has_fallen_back(&copy));
        ckpt_close(&copy);
        fixture_dispose(&copy.f);
        fixture_dispose(&s.f);
    }
}

static void a_lost_segment_is_missed(void)
{
    ckpt_store_t s;
    char name[32];
    ckpt_make_closed(&s);
    CU_ASSERT_FATAL(fixture_segment_name(&s.f, 1, name));
    CU_ASSERT_EQUAL(unlink(fixture_path(&s.f, name)), 0);
    CU_ASSERT_EQUAL(ckpt_open(&s), CAIRN_ERR_CORRUPT);
    CU_ASSERT(ckpt_has_said(&s, "not used"));
    fixture_dispose(&s.f);
}

/* ---------------------------------------------------------------- failures while it is written */

/** one more life of a copy; what goes wrong is staged by `stage` before it is closed */
static void live_once(const ckpt_store_t *origin, void (*stage)(unsigned), unsigned at,
                      bool *has_fired)
{
    ckpt_store_t s;
    ckpt_init(&s);
    copy_dir(origin->f.dir.path, s.f.dir.path);
    memcpy(s.numbers, origin->numbers, sizeof(s.numbers));
    s.number = origin->number;
    s.f.options.checkpoint_bytes = (uint64_t)1 << 40; /* none but at the end */
    fault_os_install();
    CU_ASSERT_EQUAL_FATAL(ckpt_open(&s), CAIRN_OK);
    ckpt_write_some(&s, 1500); /* enough for that to be worth while */
    fault_os_wait_until_quiet();
    stage(at);
    uint64_t before = fault_os_changes();
    fixture_close(&s.f);
    *has_fired = fault_os_has_fired() || fault_os_changes() - before > at;
    fault_os_remove();
    ckpt_check_all(&s);
    ckpt_close(&s);
    ckpt_check_all(&s);
    ckpt_close(&s);
    fixture_dispose(&s.f);
}

static void stage_death(unsigned at)
{
    fault_os_freeze_after(at, at % 2 != 0);
}

static void the_process_dies_at_each_step(void)
{
    ckpt_store_t origin;
    bool has_died = true;
    unsigned deaths = 0;
    ckpt_make_closed(&origin);
    while (has_died && deaths < 60) {
        live_once(&origin, stage_death, deaths, &has_died);
        deaths += has_died;
    }
    printf("%u deaths; ", deaths);
    CU_ASSERT(deaths >= 8 && deaths < 60);
    fixture_dispose(&origin.f);
}

static void stage_full(unsigned at)
{
    fault_os_fail(FAULT_pwritev, at, ENOSPC, true);
}

static void stage_no_sync_of_names(unsigned at)
{
    fault_os_fail(FAULT_sync_dir, at, EIO, true);
}

static void stage_no_rename(unsigned at)
{
    fault_os_fail(FAULT_rename, at, EIO, true);
}

static void a_disk_that_refuses_leaves_the_one_before(void)
{
    void (*stages[])(unsigned) = {stage_full, stage_no_sync_of_names, stage_no_rename};
    ckpt_store_t origin;
    ckpt_make_closed(&origin);
    for (size_t i = 0; i < sizeof(stages) / sizeof(stages[0]); ++i)
        for (unsigned at = 1; at < 4; ++at) {
            bool has_fired;
            live_once(&origin, stages[i], at, &has_fired);
        }
    fixture_dispose(&origin.f);
}

/* ---------------------------------------------------------------- what it names, and without it */

static void it_names_its_segments_until_it_is_dropped(void)
{
    ckpt_store_t s;
    ckpt_make_closed(&s);
    s.f.options.checkpoint_bytes = (uint64_t)1 << 40;
    CU_ASSERT_EQUAL_FATAL(ckpt_open(&s), CAIRN_OK);
    cairn_store_t *store = s.f.store;
    for (size_t i = 0; i < store->segments.count; ++i)
        CU_ASSERT(cairn_checkpoint_names(&store->checkpoint, store->segments.list[i]->salt));
    CU_ASSERT_FALSE(cairn_checkpoint_names(&store->checkpoint, 12345));
    CU_ASSERT_EQUAL(cairn_checkpoint_drop(&store->checkpoint), CAIRN_OK);
    for (size_t i = 0; i < store->segments.count; ++i)
        CU_ASSERT_FALSE(cairn_checkpoint_names(&store->checkpoint, store->segments.list[i]->salt));
    CU_ASSERT_NOT_EQUAL(access(ckpt_path(&s), F_OK), 0);
    CU_ASSERT_EQUAL(cairn_checkpoint_drop(&store->checkpoint), CAIRN_OK); /* there is none: fine */
    ckpt_close(&s);
    ckpt_check_all(&s);
    CU_ASSERT(!ckpt_is_restored(&s));
    ckpt_close(&s);
    fixture_dispose(&s.f);
}

static void upkeep_writes_it_while_the_store_runs(void)
{
    ckpt_store_t s;
    ckpt_init(&s);
    s.f.options.checkpoint_bytes = 200000;
    s.f.options.upkeep_by_hand = false;
    fault_os_install();
    CU_ASSERT_EQUAL_FATAL(ckpt_open(&s), CAIRN_OK);
    for (int i = 0; i < 400 && access(ckpt_path(&s), F_OK) != 0; ++i) {
        ckpt_write_some(&s, 30);
        usleep(5000);
    }
    CU_ASSERT_EQUAL_FATAL(access(ckpt_path(&s), F_OK), 0);
    ckpt_write_some(&s, 20);
    fault_os_freeze_after(0, false); /* the process dies */
    fixture_close(&s.f);
    fault_os_remove();
    ckpt_check_all(&s);
    CU_ASSERT(ckpt_is_restored(&s));
    ckpt_close(&s);
    fixture_dispose(&s.f);
}

void suite_checkpoint(void)
{
    CU_pSuite s = CU_add_suite("checkpoint", NULL, NULL);
    CU_add_test(s, "nothing is replayed after a clean stop",
                nothing_is_replayed_after_a_clean_stop);
    CU_add_test(s, "segments that it covers are not read", covered_segments_are_not_read);
    CU_add_test(s, "what came after it is replayed", what_came_later_is_replayed);
    CU_add_test(s, "segments of another size than when it was written", segments_of_another_size);
    CU_add_test(s, "time does not run backwards over it", time_does_not_run_backwards_over_it);
    CU_add_test(s, "with any byte flipped it is not believed", any_byte_flipped);
    CU_add_test(s, "cut to any length it is not believed", any_length_cut);
    CU_add_test(s, "a damaged one costs nothing but time", a_damaged_one_costs_nothing_but_time);
    CU_add_test(s, "one of another store is not used", one_of_another_store);
    CU_add_test(s, "nor one that is newer than a log restored from a copy",
                a_log_restored_from_before_it);
    CU_add_test(s, "a segment that is lost is missed all the same", a_lost_segment_is_missed);
    CU_add_test(s, "the process dies at each step of writing it", the_process_dies_at_each_step);
    CU_add_test(s, "a disk that refuses it leaves the one before",
                a_disk_that_refuses_leaves_the_one_before);
    CU_add_test(s, "it names its segments until it is dropped",
                it_names_its_segments_until_it_is_dropped);
    CU_add_test(s, "upkeep writes it while the store runs", upkeep_writes_it_while_the_store_runs);
}
