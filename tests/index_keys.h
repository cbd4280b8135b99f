/*
 * tests/index_keys.h - keys, hashes and locations for the suites of the index.
 *
 * A key is a small number; a location is the key with a version above it, so that is_match needs no
 * memory but its context. What makes a situation is the hash that a key is given, and the shape of
 * the tables: small ones grow after a few dozen keys. CAIRN_SOAK=1 makes the loops longer.
 */
#ifndef CAIRN_TESTS_INDEX_KEYS_H
#define CAIRN_TESTS_INDEX_KEYS_H

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include <CUnit/CUnit.h>

#include "index/index.h"
#include "index/index_internal.h"
#include "index/qsbr.h"
#include "tests/suites.h"

#define KEY_BITS 24
#define KEY_MASK (((uint64_t)1 << KEY_BITS) - 1)

#define TINY ((cairn_shape_t){.stripe_bits = 1, .block_bits = 3})
#define SMALL ((cairn_shape_t){.stripe_bits = 2, .block_bits = 5})

/* ---- keys, hashes, locations */

typedef uint64_t (*hash_fn)(uint64_t key);

static inline uint64_t mix(uint64_t x)
{
    x += 0x9e3779b97f4a7c15u;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

static inline uint64_t hash_good(uint64_t key)
{
    return mix(key);
}

/* four keys to each hash, all 64 bits of it */
static inline uint64_t hash_shared(uint64_t key)
{
    return mix(key / 4);
}

/* the same tag for all: only the home tells them apart */
static inline uint64_t hash_same_tag(uint64_t key)
{
    return mix(key) & ~(((uint64_t)1 << 48) - 1);
}

/* few homes, so that buckets overflow while others stay empty */
static inline uint64_t hash_crowded(uint64_t key)
{
    return (mix(key % 7) & 0xffff000000000000u) | mix(key) >> 16;
}

static inline uint64_t hash_one(uint64_t key)
{
    (void)key;
    return 0x0123456789abcdefu;
}

static inline cairn_loc_t loc_of(uint64_t key, uint64_t version)
{
    return (version & 0xffff) << KEY_BITS | key;
}

static inline bool is_key(void *ctx, cairn_loc_t loc)
{
    return (loc & KEY_MASK) == *(const uint64_t *)ctx;
}

static inline bool soak(void)
{
    return getenv("CAIRN_SOAK") != NULL;
}

/* ThreadSanitizer makes each step some thirty times as long, and learns nothing from a single
 * thread */
static inline uint64_t loop(uint64_t steps)
{
#ifdef CAIRN_TSAN
    steps = (steps + 15) / 16;
#endif
    return soak() ? steps * 10 : steps;
}

static inline cairn_loc_t found_at(cairn_index_t *index, hash_fn hash, uint64_t key)
{
    cairn_loc_t loc = 0;

    return cairn_index_find(index, hash(key), is_key, &key, &loc) ? loc : 0;
}

static inline cairn_index_result_t put(cairn_index_t *index, hash_fn hash, uint64_t key,
                                       uint64_t version, cairn_loc_t *old)
{
    return cairn_index_put(index, hash(key), is_key, &key, loc_of(key, version), old);
}

static inline cairn_index_result_t take(cairn_index_t *index, hash_fn hash, uint64_t key,
                                        cairn_loc_t *old)
{
    return cairn_index_remove(index, hash(key), is_key, &key, old);
}

/* puts keys from `begin` up to `end` and says whether all were new */
static inline bool put_range(cairn_index_t *index, hash_fn hash, uint64_t begin, uint64_t end)
{
    cairn_loc_t old;
    bool all = true;

    for (uint64_t key = begin; key < end; ++key)
        all &= put(index, hash, key, 1, &old) == CAIRN_INDEX_INSERTED && old == 0;
    return all;
}

static inline bool has_range(cairn_index_t *index, hash_fn hash, uint64_t begin, uint64_t end)
{
    bool all = true;

    for (uint64_t key = begin; key < end; ++key)
        all &= found_at(index, hash, key) == loc_of(key, 1);
    return all;
}

static inline bool take_range(cairn_index_t *index, hash_fn hash, uint64_t begin, uint64_t end)
{
    cairn_loc_t old;
    bool all = true;

    for (uint64_t key = begin; key < end; ++key)
        all &= take(index, hash, key, &old) == CAIRN_INDEX_REPLACED && old == loc_of(key, 1);
    return all;
}

static inline uint64_t keys_in(cairn_index_t *index)
{
    cairn_index_stats_t stats;

    cairn_index_stats(index, &stats);
    return stats.keys;
}

static inline unsigned generation_of(cairn_index_t *index)
{
    return cairn_table(index)->to.generation->number;
}

static inline uint64_t stash_count(cairn_index_t *index)
{
    uint64_t count = 0;

    for (unsigned i = 0; i < index->stripes; ++i)
        for (cairn_stash_level_t *level = index->views[i].stash; level != NULL;
             level = level->below)
            count += level->count;
    return count;
}

/* ---- what a walk meets */

typedef struct st_seen_t {
    uint8_t *times; /* by key */
    uint64_t keys;
    bool strangers;
} seen_t;

static inline void on_visit(void *ctx, uint64_t hash, cairn_loc_t loc)
{
    seen_t *seen = ctx;
    uint64_t key = loc & KEY_MASK;

    (void)hash;
    if (key > seen->keys)
        seen->strangers = true;
    else if (seen->times[key] < 255)
        ++seen->times[key];
}

/* ---- grace periods, which every suite of the index takes part in */

static inline int join_grace_periods(void)
{
    rcu_register_thread();
    return 0;
}

static inline int leave_grace_periods(void)
{
    cairn_memory_fail_after(-1);
    rcu_unregister_thread();
    return 0;
}
#endif
