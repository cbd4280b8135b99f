/*
 * Without a checkpoint, is the index that is made from key tables the same?
 */
#include <CUnit/CUnit.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "storage/keytable.h"
#include "storage/os.h"
#include "storage/store_internal.h"
#include "tests/ckpt_store.h"
#include "tests/seed.h"
#include "tests/suites.h"

/** a closed store without a checkpoint, whose sealed segments have key tables */
static void make_with_tables(ckpt_store_t *s)
{
    ckpt_init(s);
    s->f.options.checkpoint_bytes = 0;
    CU_ASSERT_EQUAL_FATAL(ckpt_open(s), CAIRN_OK);
    ckpt_write_some(s, 400);
    fixture_restart(&s->f); /* seals what a roll has left */
    cairn_segments_t *segments = &s->f.store->segments;
    for (size_t i = 0; i + 1 < segments->count; ++i) {
        cairn_keytable_t *table;
        CU_ASSERT_EQUAL_FATAL(
            cairn_keytable_make(&table, segments->list[i], &s->f.store->dir, NULL, NULL), CAIRN_OK);
        cairn_keytable_close(table);
    }
    CU_ASSERT_FATAL(segments->count >= 5);
    ckpt_close(s);
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
    ckpt_check_all(&s);
    CU_ASSERT(ckpt_has_said(&s, "key tables"));
    CU_ASSERT(s.bytes_total < 4 * FIXTURE_SEGMENT_BYTES); /* the last two, and the tables */
    uint64_t dead = dead_bytes_of(&s);
    ckpt_write_some(&s, 100);
    CU_ASSERT_EQUAL(ckpt_count_wrong(&s), 0);
    fixture_restart(&s.f);
    CU_ASSERT_EQUAL(ckpt_count_wrong(&s), 0);
    ckpt_close(&s);
    fixture_dispose(&s.f);
    /* what is dead is known about as well as from the records */
    make_with_tables(&s);
    for (size_t i = 0; table_path(&s, i) != NULL; ++i)
        unlink(table_path(&s, i));
    ckpt_check_all(&s);
    CU_ASSERT(ckpt_has_said(&s, "is from the records"));
    uint64_t exact = dead_bytes_of(&s);
    CU_ASSERT(dead > exact * 8 / 10 && dead < exact * 12 / 10);
    ckpt_close(&s);
    fixture_dispose(&s.f);
}

static void a_segment_without_a_table_is_read(void)
{
    ckpt_store_t s;
    make_with_tables(&s);
    for (size_t i = 2; table_path(&s, i) != NULL; i += 2)
        CU_ASSERT_EQUAL(unlink(table_path(&s, i)), 0);
    ckpt_check_all(&s);
    CU_ASSERT(ckpt_has_said(&s, "key tables"));
    ckpt_close(&s);
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
            ckpt_check_all(&s);
            CU_ASSERT(ckpt_has_said(&s, "reading its records"));
            ckpt_close(&s);
            bytes[at] ^= (uint8_t)(1 << at % 8);
        }
        write_file(table_path(&s, i), bytes, count / 2);
        ckpt_check_all(&s);
        ckpt_close(&s);
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
    ckpt_check_all(&s);
    CU_ASSERT(ckpt_has_said(&s, "reading its records"));
    ckpt_close(&s);
    fixture_dispose(&s.f);
}

/* the records have the last word: what they refuse, tables do not make good */
static void damage_that_the_tables_do_not_show(void)
{
    ckpt_store_t s;
    make_with_tables(&s);
    ckpt_flip_in_oldest(&s);
    CU_ASSERT_EQUAL_FATAL(ckpt_open(&s), CAIRN_OK);
    CU_ASSERT(ckpt_has_said(&s, "key tables"));
    CU_ASSERT(ckpt_count_wrong(&s) <= 1);
    ckpt_close(&s);
    for (size_t i = 0; table_path(&s, i) != NULL; ++i)
        unlink(table_path(&s, i));
    CU_ASSERT_EQUAL(ckpt_open(&s), CAIRN_ERR_CORRUPT);
    fixture_dispose(&s.f);
}

void suite_checkpoint_tables(void)
{
    CU_pSuite s = CU_add_suite("checkpoint_tables: key tables in its place", NULL, NULL);
    CU_add_test(s, "without one the index is from key tables",
                without_one_the_index_is_from_key_tables);
    CU_add_test(s, "a segment without a table is read", a_segment_without_a_table_is_read);
    CU_add_test(s, "damaged tables cost nothing but time", damaged_tables_cost_nothing_but_time);
    CU_add_test(s, "a table of another segment is not taken",
                a_table_of_another_segment_is_not_taken);
    CU_add_test(s, "damage that the tables do not show is found by the records",
                damage_that_the_tables_do_not_show);
}
