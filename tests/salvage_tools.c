/*
 * tests/salvage_tools.c - a store to be damaged, damage, and what a salvaged store must be.
 */
#include "tests/salvage_tools.h"

#include <CUnit/CUnit.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

const char *salvage_key(unsigned key)
{
    static _Thread_local char name[24];
    snprintf(name, sizeof(name), "key %u.", key);
    return name;
}

const char *salvage_value(unsigned number)
{
    static _Thread_local char value[SALVAGE_VALUE_BYTES + 1];
    memset(value, 'a' + (int)(number % 26), SALVAGE_VALUE_BYTES);
    int n = snprintf(value, 24, "value %u.", number);
    value[n] = '-';
    value[SALVAGE_VALUE_BYTES] = '\0';
    return value;
}

/** version 1 to SALVAGE_KEYS: the keys in their order, over three segments, the first ones sealed;
 * without what would know the keys beside the records */
void salvage_make_store(fixture_t *f)
{
    fixture_init(f, TEMP_DIR_IN_MEMORY);
    f->options.upkeep_by_hand = true; /* no key tables */
    CU_ASSERT_EQUAL_FATAL(fixture_open(f), CAIRN_OK);
    for (unsigned i = 0; i < SALVAGE_KEYS; ++i)
        CU_ASSERT_EQUAL_FATAL(fixture_put(f, salvage_key(i), salvage_value(i)).version, i + 1);
    CU_ASSERT_EQUAL_FATAL(fixture_close(f), CAIRN_OK);
}

/** damage(content, where the record of this key begins) */
void salvage_damage(const fixture_t *f, const char *name, const char *key,
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

void salvage_flip_body(uint8_t *content, size_t at)
{
    content[at + CAIRN_RECORD_HEAD_BYTES + 1000] ^= 4;
}

void salvage_flip_head(uint8_t *content, size_t at)
{
    content[at + 9] ^= 16;
}

void salvage_ruin_times(uint8_t *content, size_t at) /* more than a bit, and not the lengths */
{
    memset(content + at + 32, 0x5a, 6);
}

void salvage_ruin_record(uint8_t *content, size_t at)
{
    memset(content + at, 0x5a, CAIRN_RECORD_HEAD_BYTES + 20);
}

void salvage_ruin_head_and_body(uint8_t *content, size_t at)
{
    salvage_flip_head(content, at);
    salvage_flip_body(content, at);
}

void salvage_flip_header(uint8_t *content, size_t at)
{
    content[at + 33] ^= 1;
}

void salvage_ruin_header(uint8_t *content, size_t at)
{
    memset(content + at, 0, CAIRN_SEGMENT_HEADER_BYTES);
}

cairn_err_t salvage_open(fixture_t *f)
{
    f->options.salvage = true;
    cairn_err_t err = fixture_open(f);
    f->options.salvage = false;
    return err;
}

cairn_damage_t salvage_told(fixture_t *f)
{
    cairn_damage_t damage;
    cairn_store_damage(f->store, &damage);
    return damage;
}

bool salvage_is_degraded(fixture_t *f)
{
    char why[CAIRN_ERRMSG_BYTES];
    cairn_damage_t damage = salvage_told(f);
    return cairn_damage_text(&damage, why);
}

cairn_err_t salvage_get(fixture_t *f, const char *key)
{
    cairn_value_t value;
    return fixture_get(f, text(key), &value);
}

/** every key but these has its value; those are damaged */
void salvage_check(fixture_t *f, unsigned damaged_from, unsigned damaged_to)
{
    for (unsigned i = 0; i < SALVAGE_KEYS; ++i) {
        bool is_right = i >= damaged_from && i < damaged_to
                            ? salvage_get(f, salvage_key(i)) == CAIRN_ERR_DAMAGED
                            : fixture_has(f, salvage_key(i), salvage_value(i));
        CU_ASSERT(is_right);
    }
}

void salvage_check_kept(const fixture_t *f, const char *name, bool is_there)
{
    char path[400];
    snprintf(path, sizeof(path), "%s/quarantine/%s", f->options.path, name);
    CU_ASSERT_EQUAL(access(path, F_OK) == 0, is_there);
}

void salvage_compact_all(fixture_t *f)
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

/** the last record of this key in a file */
size_t salvage_find_last(const uint8_t *content, size_t bytes, const char *key)
{
    const uint8_t *last = NULL, *at = content;
    while ((at = memmem(at, bytes - (size_t)(at - content), key, strlen(key))) != NULL)
        last = at++;
    CU_ASSERT_PTR_NOT_NULL_FATAL(last);
    return (size_t)(last - content) - CAIRN_RECORD_HEAD_BYTES;
}
