/*
 * tests/salvage_tools.h - a store to be damaged, damage, and what a salvaged store must be.
 */
#ifndef CAIRN_TESTS_SALVAGE_TOOLS_H
#define CAIRN_TESTS_SALVAGE_TOOLS_H

#include "storage/segment.h"
#include "tests/store_fixture.h"

#define SALVAGE_FIRST "0000000000000001-0000.seg"
#define SALVAGE_KEYS 60
/** of a value: a segment has about twenty of them */
#define SALVAGE_VALUE_BYTES 3000

/** Names and values by number, in memory that the next call reuses. */
const char *salvage_key(unsigned key);
const char *salvage_value(unsigned number);

/**
 * A closed store: version 1 to SALVAGE_KEYS are the keys in their order, over a few segments, all
 * but the last sealed; without what would know the keys beside the records. Upkeep is by hand.
 */
void salvage_make_store(fixture_t *f);

/** damage(content of a file, where the first record of this key begins in it, or 0). */
void salvage_damage(const fixture_t *f, const char *name, const char *key,
                    void (*damage)(uint8_t *content, size_t at));
void salvage_flip_body(uint8_t *content, size_t at);
void salvage_flip_head(uint8_t *content, size_t at);  /* one bit of the body sum */
void salvage_ruin_times(uint8_t *content, size_t at); /* more than a bit, and not the lengths */
void salvage_ruin_record(uint8_t *content, size_t at);
void salvage_ruin_head_and_body(uint8_t *content, size_t at); /* a bit of each */
void salvage_flip_header(uint8_t *content, size_t at);
void salvage_ruin_header(uint8_t *content, size_t at);

/** The last record of this key in a file. */
size_t salvage_find_last(const uint8_t *content, size_t bytes, const char *key);

/** Opens it with options.salvage. */
cairn_err_t salvage_open(fixture_t *f);

/** What the open store says of its damage. */
cairn_damage_t salvage_told(fixture_t *f);
bool salvage_is_degraded(fixture_t *f);

cairn_err_t salvage_get(fixture_t *f, const char *key);

/** Asserts that every key has its value, but for these, which are damaged. */
void salvage_check(fixture_t *f, unsigned damaged_from, unsigned damaged_to);

/** Asserts that a file is in quarantine/, or is not. */
void salvage_check_kept(const fixture_t *f, const char *name, bool is_there);

/** Asserts that compactions go well, and that there is something to compact. */
void salvage_compact_all(fixture_t *f);

#endif
