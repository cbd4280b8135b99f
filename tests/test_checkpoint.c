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
#include <sys/stat.h>
#include <unistd.h>

#include "storage/checkpoint.h"
#include "storage/keytable.h"
#include "storage/os.h"
#include "storage/store_internal.h"
#include "tests/fault_os.h"
#include "tests/seed.h"
#include "tests/store_fixture.h"
#include "tests/suites.h"

#define KEYS 60

/** a store that writes a checkpoint whenever it is closed, what is in it, and what it said */
typedef struct st_ckpt_store_t {
    fixture_t f;
    unsigned numbers[KEYS]; /* of the values; 0: no such key */
    unsigned number;
    char lines[4][CAIRN_ERRMSG_BYTES]; /* the newest, from the latest open on */
    unsigned line_count;
    uint64_t bytes_total; /* that the latest open had to read */
} ckpt_store_t;

static void on_line(void *ctx, const char *line)
{
    ckpt_store_t *s = ctx;
    snprintf(s->lines[s->line_count++ % 4], CAIRN_ERRMSG_BYTES, "%s", line);
}

static bool on_progress(void *ctx, uint64_t bytes_done, uint64_t bytes_total)
{
    ckpt_store_t *s = ctx;
    CU_ASSERT(bytes_done <= bytes_total);
    s->bytes_total = bytes_total;
    return true;
}

static void init(ckpt_store_t *s)
{
    memset(s, 0, sizeof(*s));
    fixture_init(&s->f, TEMP_DIR_IN_MEMORY);
    s->f.options.on_log = on_line;
    s->f.options.on_progress = on_progress;
    s->f.options.ctx = s;
    s->f.options.checkpoint_bytes = 1;
    s->f.options.upkeep_by_hand = true; /* nothing is made but where a test says so */
}

static cairn_err_t open_store(ckpt_store_t *s)
{
    s->line_count = 0;
    s->bytes_total = 0;
    return fixture_open(&s->f);
}

static bool has_said(const ckpt_store_t *s, const char *what)
{
    for (unsigned i = 0; i < s->line_count && i < 4; ++i)
        if (strstr(s->lines[i], what) != NULL)
            return true;
    return false;
}

static bool is_restored(const ckpt_store_t *s)
{
    return has_said(s, "is from index.ckpt");
}

static bool has_fallen_back(const ckpt_store_t *s)
{
    return has_said(s, "index.ckpt: not used") && !is_restored(s);
}

static size_t value_of(char *room, unsigned key, unsigned number)
{
    size_t bytes = 300 + number * 37 % 1200;
    memset(room, 'a' + (int)(number % 26), bytes);
    snprintf(room, bytes, "key %u, value %u", key, number);
    return bytes;
}

static void write_one(ckpt_store_t *s, unsigned key, bool is_delete)
{
    char name[16], room[2048];
    snprintf(name, sizeof(name), "key %u", key);
    if (is_delete) {
        cairn_err_t err = fixture_delete(&s->f, name).err;
        CU_ASSERT(err == CAIRN_OK || err == CAIRN_ERR_NOT_FOUND);
        s->numbers[key] = 0;
        return;
    }
    size_t bytes = value_of(room, key, ++s->number);
    CU_ASSERT_EQUAL(fixture_write(&s->f, CAIRN_WRITE_PUT, text(name), (cairn_bytes_t){0},
                                  (cairn_bytes_t){room, bytes}, CAIRN_SYNC)
                        .err,
                    CAIRN_OK);
    s->numbers[key] = s->number;
}

/** over several segments: new keys, overwritten ones, deleted ones */
static void write_some(ckpt_store_t *s, unsigned count)
{
    for (unsigned i = 0; i < count; ++i)
        write_one(s, i * 7 % KEYS, i % 5 == 4);
}

static unsigned count_wrong(ckpt_store_t *s)
{
    unsigned wrong = 0;
    for (unsigned key = 0; key < KEYS; ++key) {
        char name[16], room[2048];
        cairn_value_t value;
        snprintf(name, sizeof(name), "key %u", key);
        cairn_err_t err = fixture_get(&s->f, text(name), &value);
        if (s->numbers[key] == 0) {
            wrong += err != CAIRN_ERR_NOT_FOUND;
        } else {
            size_t bytes = value_of(room, key, s->numbers[key]);
            wrong +=
                err != CAIRN_OK || value.count != bytes || memcmp(value.bytes, room, bytes) != 0;
        }
    }
    return wrong;
}

/** opens and looks */
static void check_all(ckpt_store_t *s)
{
    cairn_err_t err = open_store(s);
    if (err != CAIRN_OK)
        fprintf(stderr, "\n%s\n", s->f.errmsg);
    CU_ASSERT_EQUAL_FATAL(err, CAIRN_OK);
    CU_ASSERT_EQUAL(count_wrong(s), 0);
}

static void close_store(ckpt_store_t *s)
{
    CU_ASSERT_EQUAL(fixture_close(&s->f), CAIRN_OK);
}

/** a closed store of some segments with a checkpoint */
static void make_closed(ckpt_store_t *s)
{
    init(s);
    CU_ASSERT_EQUAL_FATAL(open_store(s), CAIRN_OK);
    write_some(s, 300);
    close_store(s);
}

static const char *checkpoint_path(const ckpt_store_t *s)
{
    return fixture_path(&s->f, CAIRN_CHECKPOINT_NAME);
}

static cairn_checkpoint_header_t header_of(const ckpt_store_t *s)
{
    cairn_checkpoint_header_t header;
    size_t count;
    uint8_t *bytes = read_file(checkpoint_path(s), &count);
    CU_ASSERT_PTR_NOT_NULL_FATAL(bytes);
    CU_ASSERT_FATAL(count > sizeof(header));
    memcpy(&header, bytes, sizeof(header));
    free(bytes);
    return header;
}

/* ---------------------------------------------------------------- a good one */

static void nothing_is_replayed_after_a_clean_stop(void)
{
    ckpt_store_t s;
    make_closed(&s);
    cairn_checkpoint_header_t header = header_of(&s);
    CU_ASSERT(header.segment_count >= 3);
    for (int i = 0; i < 3; ++i) {
        check_all(&s);
        CU_ASSERT(is_restored(&s));
        CU_ASSERT(has_said(&s, i == 0 ? ", 0 bytes of log" : "bytes of log"));
        /* the dump, and what is left of the newest segment */
        CU_ASSERT(s.bytes_total <= header.dump_bytes + FIXTURE_SEGMENT_BYTES);
        write_some(&s, 20);
        CU_ASSERT_EQUAL(count_wrong(&s), 0);
        close_store(&s);
    }
    fixture_dispose(&s.f);
}

/** rot in the middle of the oldest segment, far from header and footer */
static void flip_in_oldest(const ckpt_store_t *s)
{
    char name[32];
    size_t count, from_end = 0;
    while (fixture_segment_name(&s->f, from_end, name))
        ++from_end;
    CU_ASSERT_FATAL(from_end >= 3 && fixture_segment_name(&s->f, from_end - 1, name));
    const char *path = fixture_path(&s->f, name);
    uint8_t *bytes = read_file(path, &count);
    CU_ASSERT_PTR_NOT_NULL_FATAL(bytes);
    bytes[count / 2] ^= 1;
    chmod(path, 0640);
    write_file(path, bytes, count);
    free(bytes);
}

static void covered_segments_are_not_read(void)
{
    ckpt_store_t s;
    make_closed(&s);
    flip_in_oldest(&s);
    CU_ASSERT_EQUAL_FATAL(open_store(&s), CAIRN_OK);
    CU_ASSERT(is_restored(&s));
    CU_ASSERT(count_wrong(&s) <= 1); /* and that one is an error, or has been overwritten */
    close_store(&s);
    CU_ASSERT_EQUAL(unlink(checkpoint_path(&s)), 0);
    CU_ASSERT_EQUAL(open_store(&s), CAIRN_ERR_CORRUPT);
    fixture_dispose(&s.f);
}

static void what_came_later_is_replayed(void)
{
    ckpt_store_t s;
    make_closed(&s);
    size_t count;
    uint8_t *old = read_file(checkpoint_path(&s), &count);
    for (unsigned i = 0; i < 3; ++i) {
        check_all(&s);
        write_some(&s, 90 + i);
        close_store(&s);
        /* as if the process had died before it wrote another one */
        write_file(checkpoint_path(&s), old, count);
        check_all(&s);
        CU_ASSERT(is_restored(&s));
        close_store(&s);
        write_file(checkpoint_path(&s), old, count);
    }
    free(old);
    fixture_dispose(&s.f);
}

static void segments_of_another_size(void)
{
    ckpt_store_t s;
    make_closed(&s);
    s.f.options.segment_bytes = FIXTURE_SEGMENT_BYTES / 2; /* fits the slots there are */
    check_all(&s);
    CU_ASSERT(is_restored(&s));
    write_some(&s, 50);
    close_store(&s);
    s.f.options.segment_bytes = FIXTURE_SEGMENT_BYTES * 4; /* does not */
    check_all(&s);
    CU_ASSERT(has_fallen_back(&s));
    write_some(&s, 200);
    close_store(&s);
    check_all(&s);
    CU_ASSERT(is_restored(&s));
    close_store(&s);
    s.f.options.segment_bytes = FIXTURE_SEGMENT_BYTES;
    check_all(&s);
    CU_ASSERT(is_restored(&s));
    close_store(&s);
    fixture_dispose(&s.f);
}

static void time_does_not_run_backwards_over_it(void)
{
    ckpt_store_t s;
    make_closed(&s);
    CU_ASSERT(header_of(&s).clock_ms != 0);
    CU_ASSERT_EQUAL_FATAL(open_store(&s), CAIRN_OK);
    uint64_t floor = atomic_load(&s.f.store->clock.floor_ms);
    CU_ASSERT(floor >= header_of(&s).clock_ms);
    close_store(&s);
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
    make_closed(&s);
    cairn_checkpoint_header_t header = header_of(&s);
    uint8_t *bytes = read_file(checkpoint_path(&s), &count);
    CU_ASSERT_EQUAL_FATAL(cairn_dir_open(&dir, s.f.dir.path, why), CAIRN_OK);
    CU_ASSERT(is_believed(&dir));
    unsigned tried = 0, believed = 0;
    FILE *file = fopen(checkpoint_path(&s), "r+b");
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
    make_closed(&s);
    uint8_t *bytes = read_file(checkpoint_path(&s), &count);
    CU_ASSERT_EQUAL_FATAL(cairn_dir_open(&dir, s.f.dir.path, why), CAIRN_OK);
    unsigned believed = 0;
    for (size_t cut = 1; cut <= count; cut += cut < 700 ? 1 : 1 + count / 300) {
        CU_ASSERT_EQUAL(truncate(checkpoint_path(&s), (off_t)(count - cut)), 0);
        believed += is_believed(&dir);
    }
    CU_ASSERT_EQUAL(believed, 0);
    cairn_dir_close(&dir);
    write_file(checkpoint_path(&s), bytes, count);
    free(bytes);
    check_all(&s);
    CU_ASSERT(is_restored(&s));
    close_store(&s);
    fixture_dispose(&s.f);
}

/** damage in each part, and a longer and an empty file: the store opens as if there were none */
static void a_damaged_one_costs_nothing_but_time(void)
{
    ckpt_store_t s;
    size_t count;
    make_closed(&s);
    uint8_t *bytes = read_file(checkpoint_path(&s), &count);
    size_t spots[] = {0, 9, 20, 40, 70, 4090, 4096 + 3, 4096 * 3, count / 2, count - 70, count - 1};
    for (size_t i = 0; i < sizeof(spots) / sizeof(spots[0]); ++i) {
        bytes[spots[i]] ^= 0x10;
        write_file(checkpoint_path(&s), bytes, count);
        bytes[spots[i]] ^= 0x10;
        check_all(&s);
        CU_ASSERT(has_fallen_back(&s));
        close_store(&s);
    }
    write_file(checkpoint_path(&s), bytes, count / 3);
    check_all(&s);
    CU_ASSERT(has_fallen_back(&s));
    close_store(&s);
    write_file(checkpoint_path(&s), bytes, 0);
    check_all(&s);
    CU_ASSERT(has_fallen_back(&s));
    close_store(&s);
    /* and each close has written a good one again */
    check_all(&s);
    CU_ASSERT(is_restored(&s));
    close_store(&s);
    free(bytes);
    fixture_dispose(&s.f);
}

/* ---------------------------------------------------------------- one that is not of this log */

static void one_of_another_store(void)
{
    ckpt_store_t s, other;
    size_t count;
    make_closed(&s);
    make_closed(&other);
    uint8_t *bytes = read_file(checkpoint_path(&other), &count);
    write_file(checkpoint_path(&s), bytes, count);
    free(bytes);
    check_all(&s);
    CU_ASSERT(has_fallen_back(&s));
    CU_ASSERT(has_said(&s, "another store"));
    close_store(&s);
    fixture_dispose(&other.f);
    fixture_dispose(&s.f);
}

/** the files of a copy from before, with the checkpoint of today */
static void restore(ckpt_store_t *s, const ckpt_store_t *today)
{
    size_t count;
    uint8_t *bytes = read_file(checkpoint_path(today), &count);
    write_file(checkpoint_path(s), bytes, count);
    free(bytes);
}

static void a_log_restored_from_before_it(void)
{
    /* a few writes stay within the newest segment, many go beyond it */
    for (unsigned more = 1; more < 200; more += more < 4 ? 1 : 97) {
        ckpt_store_t s, copy;
        make_closed(&s);
        init(&copy);
        copy_dir(s.f.dir.path, copy.f.dir.path);
        memcpy(copy.numbers, s.numbers, sizeof(copy.numbers));
        copy.number = s.number;
        check_all(&s);
        write_some(&s, more);
        close_store(&s);
        restore(&copy, &s);
        check_all(&copy);
        CU_ASSERT(has_fallen_back(&copy));
        /* it goes another way from there, over the same versions */
        copy.number += 1000;
        write_some(&copy, more);
        close_store(&copy);
        check_all(&copy);
        CU_ASSERT(is_restored(&copy));
        close_store(&copy);
        restore(&copy, &s);
        check_all(&copy);
        CU_ASSERT(has_fallen_back(&copy));
        close_store(&copy);
        fixture_dispose(&copy.f);
        fixture_dispose(&s.f);
    }
}

static void a_lost_segment_is_missed(void)
{
    ckpt_store_t s;
    char name[32];
    make_closed(&s);
    CU_ASSERT_FATAL(fixture_segment_name(&s.f, 1, name));
    CU_ASSERT_EQUAL(unlink(fixture_path(&s.f, name)), 0);
    CU_ASSERT_EQUAL(open_store(&s), CAIRN_ERR_CORRUPT);
    CU_ASSERT(has_said(&s, "not used"));
    fixture_dispose(&s.f);
}

/* ---------------------------------------------------------------- failures while it is written */

/** one more life of a copy; what goes wrong is staged by `stage` before it is closed */
static void live_once(const ckpt_store_t *origin, void (*stage)(unsigned), unsigned at,
                      bool *has_fired)
{
    ckpt_store_t s;
    init(&s);
    copy_dir(origin->f.dir.path, s.f.dir.path);
    memcpy(s.numbers, origin->numbers, sizeof(s.numbers));
    s.number = origin->number;
    s.f.options.checkpoint_bytes = (uint64_t)1 << 40; /* none but at the end */
    fault_os_install();
    CU_ASSERT_EQUAL_FATAL(open_store(&s), CAIRN_OK);
    write_some(&s, 1500); /* enough for that to be worth while */
    fault_os_wait_until_quiet();
    stage(at);
    uint64_t before = fault_os_changes();
    fixture_close(&s.f);
    *has_fired = fault_os_has_fired() || fault_os_changes() - before > at;
    fault_os_remove();
    check_all(&s);
    close_store(&s);
    check_all(&s);
    close_store(&s);
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
    make_closed(&origin);
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
    make_closed(&origin);
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
    make_closed(&s);
    s.f.options.checkpoint_bytes = (uint64_t)1 << 40;
    CU_ASSERT_EQUAL_FATAL(open_store(&s), CAIRN_OK);
    cairn_store_t *store = s.f.store;
    for (size_t i = 0; i < store->segments.count; ++i)
        CU_ASSERT(cairn_checkpoint_names(&store->checkpoint, store->segments.list[i]->salt));
    CU_ASSERT_FALSE(cairn_checkpoint_names(&store->checkpoint, 12345));
    CU_ASSERT_EQUAL(cairn_checkpoint_drop(&store->checkpoint), CAIRN_OK);
    for (size_t i = 0; i < store->segments.count; ++i)
        CU_ASSERT_FALSE(cairn_checkpoint_names(&store->checkpoint, store->segments.list[i]->salt));
    CU_ASSERT_NOT_EQUAL(access(checkpoint_path(&s), F_OK), 0);
    CU_ASSERT_EQUAL(cairn_checkpoint_drop(&store->checkpoint), CAIRN_OK); /* there is none: fine */
    close_store(&s);
    check_all(&s);
    CU_ASSERT(!is_restored(&s));
    close_store(&s);
    fixture_dispose(&s.f);
}

static void upkeep_writes_it_while_the_store_runs(void)
{
    ckpt_store_t s;
    init(&s);
    s.f.options.checkpoint_bytes = 200000;
    s.f.options.upkeep_by_hand = false;
    fault_os_install();
    CU_ASSERT_EQUAL_FATAL(open_store(&s), CAIRN_OK);
    for (int i = 0; i < 400 && access(checkpoint_path(&s), F_OK) != 0; ++i) {
        write_some(&s, 30);
        usleep(5000);
    }
    CU_ASSERT_EQUAL_FATAL(access(checkpoint_path(&s), F_OK), 0);
    write_some(&s, 20);
    fault_os_freeze_after(0, false); /* the process dies */
    fixture_close(&s.f);
    fault_os_remove();
    check_all(&s);
    CU_ASSERT(is_restored(&s));
    close_store(&s);
    fixture_dispose(&s.f);
}

/* ---------------------------------------------------------------- key tables in its place */

/** a closed store without a checkpoint, whose sealed segments have key tables */
static void make_with_tables(ckpt_store_t *s)
{
    init(s);
    s->f.options.checkpoint_bytes = 0;
    CU_ASSERT_EQUAL_FATAL(open_store(s), CAIRN_OK);
    write_some(s, 400);
    fixture_restart(&s->f); /* seals what a roll has left */
    cairn_segments_t *segments = &s->f.store->segments;
    for (size_t i = 0; i + 1 < segments->count; ++i) {
        cairn_keytable_t *table;
        CU_ASSERT_EQUAL_FATAL(
            cairn_keytable_make(&table, segments->list[i], &s->f.store->dir, NULL, NULL), CAIRN_OK);
        cairn_keytable_close(table);
    }
    CU_ASSERT_FATAL(segments->count >= 5);
    close_store(s);
}

/** the path of the table of the `from_end`th newest segment; lives until the next call */
static const char *table_path(const ckpt_store_t *s, size_t from_end)
{
    char name[32];
    if (!fixture_segment_name(&s->f, from_end, name))
        return NULL;
    snprintf(strstr(name, ".seg"), 6, ".keys");
    return fixture_path(&s->f, name);
}

static uint64_t dead_bytes_of(ckpt_store_t *s)
{
    cairn_store_stats_t stats;
    cairn_store_stats(s->f.store, &stats);
    CU_ASSERT(stats.dead_bytes < stats.disk_bytes);
    return stats.dead_bytes;
}

static void without_one_the_index_is_from_key_tables(void)
{
    ckpt_store_t s;
    make_with_tables(&s);
    check_all(&s);
    CU_ASSERT(has_said(&s, "key tables"));
    CU_ASSERT(s.bytes_total < 4 * FIXTURE_SEGMENT_BYTES); /* the last two, and the tables */
    uint64_t dead = dead_bytes_of(&s);
    write_some(&s, 100);
    CU_ASSERT_EQUAL(count_wrong(&s), 0);
    fixture_restart(&s.f);
    CU_ASSERT_EQUAL(count_wrong(&s), 0);
    close_store(&s);
    fixture_dispose(&s.f);
    /* what is dead is known about as well as from the records */
    make_with_tables(&s);
    for (size_t i = 0; table_path(&s, i) != NULL; ++i)
        unlink(table_path(&s, i));
    check_all(&s);
    CU_ASSERT(has_said(&s, "is from the records"));
    uint64_t exact = dead_bytes_of(&s);
    CU_ASSERT(dead > exact * 8 / 10 && dead < exact * 12 / 10);
    close_store(&s);
    fixture_dispose(&s.f);
}

static void a_segment_without_a_table_is_read(void)
{
    ckpt_store_t s;
    make_with_tables(&s);
    for (size_t i = 2; table_path(&s, i) != NULL; i += 2)
        CU_ASSERT_EQUAL(unlink(table_path(&s, i)), 0);
    check_all(&s);
    CU_ASSERT(has_said(&s, "key tables"));
    close_store(&s);
    fixture_dispose(&s.f);
}

static void damaged_tables_cost_nothing_but_time(void)
{
    ckpt_store_t s;
    unsigned tried = 0;
    make_with_tables(&s);
    for (size_t i = 2; i < 5; ++i) {
        size_t count;
        uint8_t *bytes = read_file(table_path(&s, i), &count);
        CU_ASSERT_PTR_NOT_NULL_FATAL(bytes);
        for (size_t at = i; at < count; at += 1 + count / 40, ++tried) {
            bytes[at] ^= (uint8_t)(1 << at % 8);
            write_file(table_path(&s, i), bytes, count);
            check_all(&s);
            CU_ASSERT(has_said(&s, "reading its records"));
            close_store(&s);
            bytes[at] ^= (uint8_t)(1 << at % 8);
        }
        write_file(table_path(&s, i), bytes, count / 2);
        check_all(&s);
        close_store(&s);
        write_file(table_path(&s, i), bytes, count);
        free(bytes);
    }
    CU_ASSERT(tried > 100);
    fixture_dispose(&s.f);
}

static void a_table_of_another_segment_is_not_taken(void)
{
    ckpt_store_t s;
    size_t count;
    make_with_tables(&s);
    uint8_t *bytes = read_file(table_path(&s, 3), &count);
    write_file(table_path(&s, 2), bytes, count);
    free(bytes);
    check_all(&s);
    CU_ASSERT(has_said(&s, "reading its records"));
    close_store(&s);
    fixture_dispose(&s.f);
}

/* the records have the last word: what they refuse, tables do not make good */
static void damage_that_the_tables_do_not_show(void)
{
    ckpt_store_t s;
    make_with_tables(&s);
    flip_in_oldest(&s);
    CU_ASSERT_EQUAL_FATAL(open_store(&s), CAIRN_OK);
    CU_ASSERT(has_said(&s, "key tables"));
    CU_ASSERT(count_wrong(&s) <= 1);
    close_store(&s);
    for (size_t i = 0; table_path(&s, i) != NULL; ++i)
        unlink(table_path(&s, i));
    CU_ASSERT_EQUAL(open_store(&s), CAIRN_ERR_CORRUPT);
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
    CU_add_test(s, "without one the index is from key tables",
                without_one_the_index_is_from_key_tables);
    CU_add_test(s, "a segment without a table is read", a_segment_without_a_table_is_read);
    CU_add_test(s, "damaged tables cost nothing but time", damaged_tables_cost_nothing_but_time);
    CU_add_test(s, "a table of another segment is not taken",
                a_table_of_another_segment_is_not_taken);
    CU_add_test(s, "damage that the tables do not show is found by the records",
                damage_that_the_tables_do_not_show);
}
