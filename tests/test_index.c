/*
 * tests/test_index.c - the index against a simple map, and against readers that race it.
 *
 * A key is a small number; a location is the key with a version above it, so that is_match needs no
 * memory but its context. What makes a situation is the hash that a key is given, and the shape of
 * the tables: small ones grow after a few dozen keys. CAIRN_SOAK=1 makes the loops longer.
 */
#include "index/index.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <urcu-qsbr.h>
#include <CUnit/CUnit.h>

#include "index/index_internal.h"
#include "tests/suites.h"

#define KEY_BITS 24
#define KEY_MASK (((uint64_t)1 << KEY_BITS) - 1)

#define TINY ((cairn_shape_t){.stripe_bits = 1, .block_bits = 3})
#define SMALL ((cairn_shape_t){.stripe_bits = 2, .block_bits = 5})

/* ---- keys, hashes, locations */

typedef uint64_t (*hash_fn)(uint64_t key);

static uint64_t mix(uint64_t x)
{
    x += 0x9e3779b97f4a7c15u;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

static uint64_t hash_good(uint64_t key)
{
    return mix(key);
}

/* four keys to each hash, all 64 bits of it */
static uint64_t hash_shared(uint64_t key)
{
    return mix(key / 4);
}

/* the same tag for all: only the home tells them apart */
static uint64_t hash_same_tag(uint64_t key)
{
    return mix(key) & ~(((uint64_t)1 << 48) - 1);
}

/* few homes, so that buckets overflow while others stay empty */
static uint64_t hash_crowded(uint64_t key)
{
    return (mix(key % 7) & 0xffff000000000000u) | mix(key) >> 16;
}

static uint64_t hash_one(uint64_t key)
{
    (void)key;
    return 0x0123456789abcdefu;
}

static cairn_loc_t loc_of(uint64_t key, uint64_t version)
{
    return (version & 0xffff) << KEY_BITS | key;
}

static bool is_key(void *ctx, cairn_loc_t loc)
{
    return (loc & KEY_MASK) == *(const uint64_t *)ctx;
}

static bool soak(void)
{
    return getenv("CAIRN_SOAK") != NULL;
}

/* ThreadSanitizer makes each step some thirty times as long, and learns nothing from a single
 * thread */
static uint64_t loop(uint64_t steps)
{
#ifdef CAIRN_INDEX_TSAN
    steps = (steps + 15) / 16;
#endif
    return soak() ? steps * 10 : steps;
}

static cairn_loc_t found_at(cairn_index_t *index, hash_fn hash, uint64_t key)
{
    cairn_loc_t loc = 0;

    return cairn_index_find(index, hash(key), is_key, &key, &loc) ? loc : 0;
}

static cairn_index_result_t put(cairn_index_t *index, hash_fn hash, uint64_t key, uint64_t version,
                                cairn_loc_t *old)
{
    return cairn_index_put(index, hash(key), is_key, &key, loc_of(key, version), old);
}

static cairn_index_result_t take(cairn_index_t *index, hash_fn hash, uint64_t key, cairn_loc_t *old)
{
    return cairn_index_remove(index, hash(key), is_key, &key, old);
}

/* puts keys from `begin` up to `end` and says whether all were new */
static bool put_range(cairn_index_t *index, hash_fn hash, uint64_t begin, uint64_t end)
{
    cairn_loc_t old;
    bool all = true;

    for (uint64_t key = begin; key < end; ++key)
        all &= put(index, hash, key, 1, &old) == CAIRN_INDEX_INSERTED && old == 0;
    return all;
}

static bool has_range(cairn_index_t *index, hash_fn hash, uint64_t begin, uint64_t end)
{
    bool all = true;

    for (uint64_t key = begin; key < end; ++key)
        all &= found_at(index, hash, key) == loc_of(key, 1);
    return all;
}

static bool take_range(cairn_index_t *index, hash_fn hash, uint64_t begin, uint64_t end)
{
    cairn_loc_t old;
    bool all = true;

    for (uint64_t key = begin; key < end; ++key)
        all &= take(index, hash, key, &old) == CAIRN_INDEX_REPLACED && old == loc_of(key, 1);
    return all;
}

static uint64_t keys_in(cairn_index_t *index)
{
    cairn_index_stats_t stats;

    cairn_index_stats(index, &stats);
    return stats.keys;
}

static unsigned generation_of(cairn_index_t *index)
{
    return cairn_table(index)->to.generation->number;
}

static uint64_t stash_count(cairn_index_t *index)
{
    uint64_t count = 0;

    for (unsigned i = 0; i < index->stripes; ++i)
        for (cairn_stash_level_t *level = index->views[i].stash; level != NULL;
             level = level->below)
            count += level->count;
    return count;
}

/* ---- single steps */

static void empty_is_small(void)
{
    cairn_index_t *index = cairn_index_create();
    cairn_index_stats_t stats;

    CU_ASSERT_PTR_NOT_NULL_FATAL(index);
    CU_ASSERT_EQUAL(found_at(index, hash_good, 1), 0);
    CU_ASSERT_TRUE(put_range(index, hash_good, 1, 11));
    cairn_index_stats(index, &stats);
    CU_ASSERT_EQUAL(stats.keys, 10);
    CU_ASSERT_TRUE(stats.bytes < (3u << 20));
    cairn_index_check(index);
    cairn_index_destroy(index);
}

static void one_key(void)
{
    cairn_index_t *index = cairn_index_create();
    cairn_loc_t old = 7;

    CU_ASSERT_PTR_NOT_NULL_FATAL(index);
    CU_ASSERT_EQUAL(take(index, hash_good, 5, &old), CAIRN_INDEX_ABSENT);
    CU_ASSERT_EQUAL(old, 0);
    CU_ASSERT_EQUAL(put(index, hash_good, 5, 1, &old), CAIRN_INDEX_INSERTED);
    CU_ASSERT_EQUAL(found_at(index, hash_good, 5), loc_of(5, 1));
    CU_ASSERT_EQUAL(put(index, hash_good, 5, 2, &old), CAIRN_INDEX_REPLACED);
    CU_ASSERT_EQUAL(old, loc_of(5, 1));
    CU_ASSERT_EQUAL(cairn_index_replace_if_at(index, hash_good(5), loc_of(5, 1), loc_of(5, 3)),
                    CAIRN_INDEX_ABSENT);
    CU_ASSERT_EQUAL(found_at(index, hash_good, 5), loc_of(5, 2));
    CU_ASSERT_EQUAL(cairn_index_replace_if_at(index, hash_good(5), loc_of(5, 2), loc_of(5, 3)),
                    CAIRN_INDEX_REPLACED);
    CU_ASSERT_EQUAL(found_at(index, hash_good, 5), loc_of(5, 3));
    CU_ASSERT_EQUAL(take(index, hash_good, 5, &old), CAIRN_INDEX_REPLACED);
    CU_ASSERT_EQUAL(old, loc_of(5, 3));
    CU_ASSERT_EQUAL(found_at(index, hash_good, 5), 0);
    CU_ASSERT_EQUAL(keys_in(index), 0);
    cairn_index_check(index);
    cairn_index_destroy(index);
}

static void the_largest_location(void)
{
    cairn_index_t *index = cairn_index_create_shaped(TINY);
    uint64_t key = CAIRN_LOC_MAX & KEY_MASK;
    cairn_loc_t old, loc = 0;

    CU_ASSERT_PTR_NOT_NULL_FATAL(index);
    CU_ASSERT_EQUAL(cairn_index_put(index, UINT64_MAX, is_key, &key, CAIRN_LOC_MAX, &old),
                    CAIRN_INDEX_INSERTED);
    CU_ASSERT_TRUE(cairn_index_find(index, UINT64_MAX, is_key, &key, &loc));
    CU_ASSERT_EQUAL(loc, CAIRN_LOC_MAX);
    key = 1;
    CU_ASSERT_EQUAL(cairn_index_put(index, 0, is_key, &key, 1, &old), CAIRN_INDEX_INSERTED);
    CU_ASSERT_TRUE(cairn_index_find(index, 0, is_key, &key, &loc));
    CU_ASSERT_EQUAL(loc, 1);
    CU_ASSERT_TRUE(put_range(index, hash_good, 2, 3000));
    CU_ASSERT_TRUE(cairn_index_find(index, 0, is_key, &key, &loc));
    key = CAIRN_LOC_MAX & KEY_MASK;
    CU_ASSERT_TRUE(cairn_index_find(index, UINT64_MAX, is_key, &key, &loc));
    cairn_index_check(index);
    cairn_index_destroy(index);
}

static void thousands_one_after_the_other(void)
{
    const clock_t rounds = 2000;
    clock_t begin = clock();

    for (clock_t i = 0; i < rounds; ++i) {
        cairn_index_t *index = cairn_index_create();
        CU_ASSERT_PTR_NOT_NULL_FATAL(index);
        CU_ASSERT_TRUE(put_range(index, hash_good, 1, 11));
        cairn_index_destroy(index);
    }
    /* less than a millisecond each, of processor time: the machine may be busy */
    CU_ASSERT_TRUE((clock() - begin) / rounds < CLOCKS_PER_SEC / 1000);
}

/* ---- the stash */

static void a_crowd_of_one_hash(void)
{
    const uint64_t count = 300; /* a home and the seven buckets behind it hold 64 */
    cairn_index_t *index = cairn_index_create();
    cairn_loc_t old;

    CU_ASSERT_PTR_NOT_NULL_FATAL(index);
    CU_ASSERT_TRUE(put_range(index, hash_one, 1, count));
    CU_ASSERT_EQUAL(stash_count(index), count - 1 - 64);
    CU_ASSERT_TRUE(has_range(index, hash_one, 1, count));
    CU_ASSERT_EQUAL(found_at(index, hash_one, count), 0);
    for (uint64_t key = 1; key < count; ++key)
        CU_ASSERT_EQUAL(
            cairn_index_replace_if_at(index, hash_one(key), loc_of(key, 1), loc_of(key, 2)),
            CAIRN_INDEX_REPLACED);
    cairn_index_check(index);
    for (uint64_t key = 1; key < count; ++key) {
        CU_ASSERT_EQUAL(found_at(index, hash_one, key), loc_of(key, 2));
        CU_ASSERT_EQUAL(take(index, hash_one, key, &old), CAIRN_INDEX_REPLACED);
        CU_ASSERT_EQUAL(old, loc_of(key, 2));
        cairn_index_check(index);
    }
    CU_ASSERT_EQUAL(stash_count(index), 0);
    CU_ASSERT_EQUAL(keys_in(index), 0);
    cairn_index_reclaim(index);
    cairn_index_destroy(index);
}

/* all in one stripe, so that nothing but the stash has room for them for a while */
static uint64_t hash_flood(uint64_t key)
{
    return mix(key) >> 12;
}

static void a_flood_into_one_stripe(void)
{
    const uint64_t count = 30000;
    cairn_index_t *index = cairn_index_create_shaped(SMALL);
    cairn_index_stats_t stats;

    CU_ASSERT_PTR_NOT_NULL_FATAL(index);
    CU_ASSERT_TRUE(put_range(index, hash_flood, 1, count));
    CU_ASSERT_TRUE(stash_count(index) > 0);
    CU_ASSERT_TRUE(has_range(index, hash_flood, 1, count));
    cairn_index_check(index);
    cairn_index_reclaim(index);
    cairn_index_stats(index, &stats);
    /* growth cannot help, so it must not be tried for ever */
    CU_ASSERT_TRUE(stats.bytes < count * 100);
    CU_ASSERT_TRUE(take_range(index, hash_flood, 1, count));
    CU_ASSERT_EQUAL(stash_count(index), 0);
    cairn_index_check(index);
    cairn_index_destroy(index);
}

static void the_stash_empties_when_growth_makes_room(void)
{
    const uint64_t crowd = 120, end = 60000;
    cairn_index_t *index = cairn_index_create_shaped(SMALL);
    cairn_loc_t loc = 0, old;

    CU_ASSERT_PTR_NOT_NULL_FATAL(index);
    /* first a crowd that shares four homes and overflows, ... */
    for (uint64_t key = 1; key <= crowd; ++key)
        CU_ASSERT_EQUAL(cairn_index_put(index, key << 52, is_key, &key, loc_of(key, 1), &old),
                        CAIRN_INDEX_INSERTED);
    CU_ASSERT_TRUE(stash_count(index) > 0);
    /* ... then so many others that the tables grow and the crowd is taken apart */
    CU_ASSERT_TRUE(put_range(index, hash_good, crowd + 1, end));
    CU_ASSERT_TRUE(stash_count(index) < end / 2000);
    for (uint64_t key = 1; key <= crowd; ++key) {
        CU_ASSERT_TRUE(cairn_index_find(index, key << 52, is_key, &key, &loc));
        CU_ASSERT_EQUAL(loc, loc_of(key, 1));
    }
    cairn_index_check(index);
    cairn_index_destroy(index);
}

/* ---- the model */

typedef struct st_model_t {
    cairn_index_t *index;
    hash_fn hash;
    uint64_t keys;     /* keys are 1 .. keys */
    cairn_loc_t *locs; /* by key, 0 when absent */
    uint64_t present;
    uint64_t random;
} model_t;

static uint64_t draw(model_t *model)
{
    return mix(model->random++);
}

static void model_put(model_t *model, uint64_t key)
{
    cairn_loc_t old, loc = loc_of(key, draw(model) | 1);
    uint64_t ctx = key;
    cairn_index_result_t result =
        cairn_index_put(model->index, model->hash(key), is_key, &ctx, loc, &old);

    CU_ASSERT_EQUAL_FATAL(result, model->locs[key] ? CAIRN_INDEX_REPLACED : CAIRN_INDEX_INSERTED);
    CU_ASSERT_EQUAL_FATAL(old, model->locs[key]);
    model->present += model->locs[key] == 0;
    model->locs[key] = loc;
}

static void model_remove(model_t *model, uint64_t key)
{
    cairn_loc_t old;
    cairn_index_result_t result = take(model->index, model->hash, key, &old);

    CU_ASSERT_EQUAL_FATAL(result, model->locs[key] ? CAIRN_INDEX_REPLACED : CAIRN_INDEX_ABSENT);
    CU_ASSERT_EQUAL_FATAL(old, model->locs[key]);
    model->present -= model->locs[key] != 0;
    model->locs[key] = 0;
}

static void model_replace(model_t *model, uint64_t key)
{
    cairn_loc_t to = loc_of(key, draw(model) | 1);
    cairn_loc_t from = draw(model) % 4 == 0 ? loc_of(key, 2) : model->locs[key];
    bool expected = from != 0 && from == model->locs[key];

    if (from == 0)
        from = loc_of(key, 2);
    CU_ASSERT_EQUAL_FATAL(cairn_index_replace_if_at(model->index, model->hash(key), from, to),
                          expected ? CAIRN_INDEX_REPLACED : CAIRN_INDEX_ABSENT);
    if (expected)
        model->locs[key] = to;
}

/* `share` of a hundred changes are puts: above 50 the index fills, below it empties */
static void model_step(model_t *model, unsigned share)
{
    uint64_t key = 1 + draw(model) % model->keys;
    uint64_t what = draw(model) % 200;

    if (what < share)
        model_put(model, key);
    else if (what < 100)
        model_remove(model, key);
    else if (what < 120)
        model_replace(model, key);
    else
        CU_ASSERT_EQUAL_FATAL(found_at(model->index, model->hash, key), model->locs[key]);
}

static void model_compare(model_t *model)
{
    for (uint64_t key = 1; key <= model->keys; ++key)
        CU_ASSERT_EQUAL_FATAL(found_at(model->index, model->hash, key), model->locs[key]);
    CU_ASSERT_EQUAL_FATAL(keys_in(model->index), model->present);
    cairn_index_check(model->index);
}

/* rises and falls, so that the tables grow and shrink; `check_every` steps the invariants are
 * asserted */
static void model_run(cairn_index_t *index, hash_fn hash, uint64_t keys, uint64_t steps,
                      uint64_t check_every)
{
    static const unsigned shares[] = {90, 50, 15, 75, 5};
    const uint64_t phases = sizeof(shares) / sizeof(shares[0]);
    model_t model = {.index = index, .hash = hash, .keys = keys, .random = keys};

    CU_ASSERT_PTR_NOT_NULL_FATAL(index);
    model.locs = calloc(keys + 1, sizeof(*model.locs));
    CU_ASSERT_PTR_NOT_NULL_FATAL(model.locs);
    steps = loop(steps);
    for (uint64_t step = 0; step < steps; ++step) {
        model_step(&model, shares[step * phases / steps]);
        if (check_every != 0 && step % check_every == 0)
            cairn_index_check(index);
        if (step % 4096 == 0)
            cairn_index_reclaim(index);
        if (step % (steps / phases) == 0)
            model_compare(&model);
    }
    model_compare(&model);
    free(model.locs);
    cairn_index_destroy(index);
}

static void model_checked_each_step(void)
{
    model_run(cairn_index_create_shaped(TINY), hash_good, 300, 20000, 1);
    model_run(cairn_index_create_shaped(TINY), hash_good, 2000, 10000, 1);
    model_run(cairn_index_create_shaped(SMALL), hash_good, 4000, 5000, 1);
}

static void model_hashes_shared(void)
{
    model_run(cairn_index_create_shaped(TINY), hash_shared, 1000, 20000, 1);
    model_run(cairn_index_create(), hash_shared, 200000, 400000, 0);
}

static void model_one_tag(void)
{
    model_run(cairn_index_create_shaped(TINY), hash_same_tag, 1000, 20000, 1);
}

static void model_crowded(void)
{
    model_run(cairn_index_create_shaped(TINY), hash_crowded, 600, 20000, 1);
    model_run(cairn_index_create_shaped(SMALL), hash_crowded, 3000, 60000, 100);
    model_run(cairn_index_create_shaped(TINY), hash_one, 300, 10000, 1);
}

static void model_millions(void)
{
    model_run(cairn_index_create_shaped(TINY), hash_good, 100000, 1500000, 500000);
    model_run(cairn_index_create(), hash_good, 600000, 3000000, 1000000);
}

/* ---- growth, and walks across it */

typedef struct st_seen_t {
    uint8_t *times; /* by key */
    uint64_t keys;
    bool strangers;
} seen_t;

static void on_visit(void *ctx, uint64_t hash, cairn_loc_t loc)
{
    seen_t *seen = ctx;
    uint64_t key = loc & KEY_MASK;

    (void)hash;
    if (key > seen->keys)
        seen->strangers = true;
    else if (seen->times[key] < 255)
        ++seen->times[key];
}

static void a_quiet_walk(void)
{
    const uint64_t count = 5000;
    const hash_fn hashes[] = {hash_good, hash_shared, hash_flood};

    for (size_t i = 0; i < sizeof(hashes) / sizeof(hashes[0]); ++i) {
        cairn_index_t *index = cairn_index_create_shaped(TINY);
        seen_t seen = {.keys = count, .times = calloc(count + 1, 1)};
        uint64_t cursor = 0;

        CU_ASSERT_TRUE(put_range(index, hashes[i], 1, count + 1));
        while (cairn_index_walk(index, &cursor, on_visit, &seen))
            ;
        CU_ASSERT_FALSE(cairn_index_walk(index, &cursor, on_visit, &seen));
        CU_ASSERT_FALSE(seen.strangers);
        for (uint64_t key = 1; key <= count; ++key)
            CU_ASSERT_EQUAL(seen.times[key], 1);
        free(seen.times);
        cairn_index_destroy(index);
    }
}

/* moves every entry it meets: what compaction does with the hash it is given */
typedef struct st_mover_t {
    cairn_index_t *index;
    uint64_t moved;
} mover_t;

static void on_visit_move(void *ctx, uint64_t hash, cairn_loc_t loc)
{
    mover_t *mover = ctx;

    mover->moved += cairn_index_replace_if_at(mover->index, hash, loc, loc_of(loc & KEY_MASK, 9)) ==
                    CAIRN_INDEX_REPLACED;
}

static void a_walk_that_moves(void)
{
    cairn_index_t *index = cairn_index_create_shaped(SMALL);
    mover_t mover = {.index = index};
    uint64_t cursor = 0;

    CU_ASSERT_TRUE(put_range(index, hash_good, 1, 10001));
    while (cairn_index_walk(index, &cursor, on_visit_move, &mover))
        ;
    CU_ASSERT_EQUAL(mover.moved, 10000);
    for (uint64_t key = 1; key <= 10000; ++key)
        CU_ASSERT_EQUAL(found_at(index, hash_good, key), loc_of(key, 9));
    cairn_index_destroy(index);
}

/* one of several walks that go on while the tables change */
typedef struct st_runner_t {
    seen_t seen;
    uint64_t cursor;
    unsigned every; /* so many changes between two pieces */
    unsigned laps;
} runner_t;

static void runner_step(runner_t *runner, cairn_index_t *index, uint64_t step)
{
    if (step % runner->every != 0)
        return;
    if (cairn_index_walk(index, &runner->cursor, on_visit, &runner->seen))
        return;
    for (uint64_t key = 1; key <= runner->seen.keys; ++key)
        CU_ASSERT_TRUE(runner->seen.times[key] >= 1);
    memset(runner->seen.times, 0, runner->seen.keys + 1);
    runner->cursor = 0;
    ++runner->laps;
}

#define RUNNERS 4

static void walk_while(cairn_index_t *index, runner_t *runners, uint64_t begin, uint64_t end,
                       bool growing)
{
    cairn_loc_t old;

    for (uint64_t key = begin; key < end; ++key) {
        if (growing)
            CU_ASSERT_EQUAL_FATAL(put(index, hash_good, key, 1, &old), CAIRN_INDEX_INSERTED);
        if (!growing)
            CU_ASSERT_EQUAL_FATAL(take(index, hash_good, key, &old), CAIRN_INDEX_REPLACED);
        for (int i = 0; i < RUNNERS; ++i)
            runner_step(&runners[i], index, key);
        if (key % 1000 == 0)
            cairn_index_check(index);
        if (key % 512 == 0)
            cairn_index_reclaim(index);
    }
}

static void growth_with_walks(void)
{
    const uint64_t stay = 1000, end = soak() ? 200000 : 60000;
    cairn_index_t *index = cairn_index_create_shaped(TINY);
    runner_t runners[RUNNERS] = {{.every = 1}, {.every = 3}, {.every = 17}, {.every = 41}};
    unsigned largest;

    CU_ASSERT_PTR_NOT_NULL_FATAL(index);
    CU_ASSERT_TRUE(put_range(index, hash_good, 1, stay + 1));
    for (int i = 0; i < RUNNERS; ++i) {
        /* keys that come and go are no strangers: only those that stay are counted */
        runners[i].seen.keys = stay;
        runners[i].seen.times = calloc(stay + 1, 1);
    }
    walk_while(index, runners, stay + 1, end, true);
    largest = generation_of(index);
    CU_ASSERT_TRUE(largest >= 60);
    CU_ASSERT_TRUE(has_range(index, hash_good, 1, end));
    walk_while(index, runners, stay + 1, end, false);
    CU_ASSERT_TRUE(generation_of(index) < largest - 24);
    CU_ASSERT_TRUE(has_range(index, hash_good, 1, stay + 1));
    for (int i = 0; i < RUNNERS; ++i) {
        CU_ASSERT_TRUE(runners[i].laps >= 1);
        free(runners[i].seen.times);
    }
    cairn_index_destroy(index);
}

static void memory_follows_the_keys(void)
{
    const uint64_t count = 1000000;
    cairn_index_t *index = cairn_index_create();
    cairn_index_stats_t stats;
    cairn_loc_t old;

    CU_ASSERT_PTR_NOT_NULL_FATAL(index);
    for (uint64_t key = 1; key <= count; ++key) {
        put(index, hash_good, key, 1, &old);
        if (key % 5000 != 0)
            continue;
        cairn_index_reclaim(index);
        cairn_index_stats(index, &stats);
        if (key >= 300000) {
            CU_ASSERT_TRUE(stats.bytes <= key * 16);
            CU_ASSERT_TRUE(stats.slots * 9 >= key * 10);
        }
    }
    CU_ASSERT_EQUAL(stats.keys, count);
    cairn_index_check(index);
    /* sampled finds touch little more than one line each */
    CU_ASSERT_TRUE(has_range(index, hash_good, 1, count + 1));
    cairn_index_stats(index, &stats);
    CU_ASSERT_TRUE(stats.finds >= count / 2048);
    CU_ASSERT_TRUE(stats.probes <= stats.finds * 3 / 2);

    CU_ASSERT_TRUE(take_range(index, hash_good, 1, count + 1));
    cairn_index_reclaim(index);
    cairn_index_stats(index, &stats);
    CU_ASSERT_EQUAL(stats.keys, 0);
    CU_ASSERT_TRUE(stats.bytes < (6u << 20));
    cairn_index_destroy(index);
}

/* ---- many at once */

static uint64_t prefetched;

static void on_prefetch(void *ctx, cairn_loc_t loc)
{
    (void)ctx;
    (void)loc;
    ++prefetched;
}

static void batches(void)
{
    const hash_fn hashes[] = {hash_good, hash_shared, hash_crowded};
    uint64_t keys[100], hashed[100];
    void *ctxs[100];
    cairn_loc_t locs[100];

    for (size_t h = 0; h < sizeof(hashes) / sizeof(hashes[0]); ++h) {
        cairn_index_t *index = cairn_index_create_shaped(SMALL);
        CU_ASSERT_TRUE(put_range(index, hashes[h], 1, 2000));
        prefetched = 0;
        for (uint64_t begin = 1; begin < 4000; begin += 100) {
            for (size_t i = 0; i < 100; ++i) {
                keys[i] = begin + i;
                hashed[i] = hashes[h](keys[i]);
                ctxs[i] = &keys[i];
                locs[i] = 12345;
            }
            cairn_index_find_batch(index, begin % 97 + 3, hashed, ctxs, is_key,
                                   begin % 200 == 1 ? on_prefetch : NULL, locs);
            for (size_t i = 0; i < begin % 97 + 3; ++i)
                CU_ASSERT_EQUAL(locs[i], keys[i] < 2000 ? loc_of(keys[i], 1) : 0);
        }
        CU_ASSERT_TRUE(prefetched > 0);
        cairn_index_destroy(index);
    }
}

/** how often each key's location was given */
static void on_likely(void *ctx, cairn_loc_t loc)
{
    ++((unsigned *)ctx)[loc & KEY_MASK];
}

static void hints(void)
{
    enum { COUNT = 500, ALL = 2000 };
    cairn_index_t *index = cairn_index_create_shaped(SMALL);
    uint64_t hashed[COUNT];
    unsigned seen[ALL] = {0}, right = 0;
    for (size_t i = 0; i < COUNT; ++i)
        hashed[i] = hash_good(i + 1);
    cairn_index_prefetch(index, COUNT, hashed, on_likely, seen); /* of nothing, nothing */
    for (size_t key = 0; key < ALL; ++key)
        CU_ASSERT_EQUAL_FATAL(seen[key], 0);
    CU_ASSERT_TRUE(put_range(index, hash_good, 1, ALL));
    cairn_index_prefetch(index, COUNT, hashed, on_likely, seen);
    for (size_t key = 0; key < ALL; ++key)
        if (key >= 1 && key <= COUNT)
            right += seen[key] == 1;
        else
            CU_ASSERT_EQUAL(seen[key], 0);
    CU_ASSERT_TRUE(right > COUNT / 2); /* those that are at home */
    cairn_index_destroy(index);
}

/* ---- without memory */

static void create_without_memory(void)
{
    for (int64_t after = 0; after < 16; ++after) {
        cairn_memory_fail_after(after);
        cairn_index_t *index = cairn_index_create();
        cairn_memory_fail_after(-1);
        if (index != NULL) {
            CU_ASSERT_TRUE(after >= 3);
            cairn_index_destroy(index);
            return;
        }
    }
    CU_FAIL("the index could never be created");
}

/* fills an index whose n-th request for memory fails; nothing may be lost, whenever it is */
static void fill_without_memory(hash_fn hash, int64_t after)
{
    const uint64_t count = 4000;
    cairn_index_t *index = cairn_index_create_shaped(TINY);
    cairn_index_result_t result = CAIRN_INDEX_INSERTED;
    cairn_loc_t old;
    uint64_t end = 1;

    CU_ASSERT_PTR_NOT_NULL_FATAL(index);
    cairn_memory_fail_after(after);
    while (end < count && (result = put(index, hash, end, 1, &old)) == CAIRN_INDEX_INSERTED)
        ++end;
    if (result != CAIRN_INDEX_INSERTED)
        CU_ASSERT_EQUAL(result, CAIRN_INDEX_NOMEM);
    cairn_index_check(index);
    CU_ASSERT_EQUAL(keys_in(index), end - 1);
    CU_ASSERT_TRUE(has_range(index, hash, 1, end));
    /* without memory what is there can still be replaced and removed */
    if (end > 1) {
        CU_ASSERT_EQUAL(put(index, hash, 1, 1, &old), CAIRN_INDEX_REPLACED);
        CU_ASSERT_EQUAL(take(index, hash, 1, &old), CAIRN_INDEX_REPLACED);
        CU_ASSERT_EQUAL(put(index, hash, 1, 1, &old), CAIRN_INDEX_INSERTED);
    }
    cairn_memory_fail_after(-1);
    CU_ASSERT_TRUE(put_range(index, hash, end, count));
    CU_ASSERT_TRUE(has_range(index, hash, 1, count));
    cairn_index_check(index);
    cairn_index_destroy(index);
}

static void growth_without_memory(void)
{
    for (int64_t after = 0; after < 120; ++after)
        fill_without_memory(hash_good, after);
    for (int64_t after = 0; after < 20; ++after)
        fill_without_memory(hash_crowded, after);
}

/* ---- readers and writers at the same time */

#define STAY 20000u

typedef struct st_race_t {
    cairn_index_t *index;
    _Atomic bool stop;
    _Atomic uint64_t wrong;
    _Atomic uint64_t looked;
} race_t;

static void read_some(race_t *race, uint64_t *random)
{
    uint64_t keys[16], hashes[16];
    void *ctxs[16];
    cairn_loc_t locs[16];

    for (int i = 0; i < 16; ++i) {
        keys[i] = 1 + mix((*random)++) % STAY;
        hashes[i] = hash_good(keys[i]);
        ctxs[i] = &keys[i];
        if ((found_at(race->index, hash_good, keys[i]) & KEY_MASK) != keys[i])
            ++race->wrong;
    }
    cairn_index_find_batch(race->index, 16, hashes, ctxs, is_key, NULL, locs);
    for (int i = 0; i < 16; ++i)
        if ((locs[i] & KEY_MASK) != keys[i])
            ++race->wrong;
    race->looked += 32;
}

static void *reader(void *arg)
{
    race_t *race = arg;
    uint64_t random = 1;

    rcu_register_thread();
    while (!race->stop) {
        read_some(race, &random);
        rcu_quiescent_state();
    }
    rcu_unregister_thread();
    return NULL;
}

static void *walker(void *arg)
{
    race_t *race = arg;
    seen_t seen = {.keys = STAY, .times = calloc(STAY + 1, 1)};

    rcu_register_thread();
    while (!race->stop) {
        uint64_t cursor = 0;
        memset(seen.times, 0, STAY + 1);
        while (cairn_index_walk(race->index, &cursor, on_visit, &seen))
            rcu_quiescent_state();
        for (uint64_t key = 1; key <= STAY; ++key)
            race->wrong += seen.times[key] == 0;
    }
    rcu_unregister_thread();
    free(seen.times);
    return NULL;
}

static void *reclaimer(void *arg)
{
    race_t *race = arg;
    const struct timespec pause = {.tv_nsec = 1000000};

    rcu_register_thread();
    while (!race->stop) {
        cairn_index_reclaim(race->index);
        rcu_thread_offline();
        nanosleep(&pause, NULL);
        rcu_thread_online();
    }
    rcu_unregister_thread();
    return NULL;
}

/* keys of its own come and go; the ones that stay get new locations all the time */
typedef struct st_writer_t {
    race_t *race;
    uint64_t begin, end; /* keys that come and go */
    uint64_t stay_begin, stay_end;
    unsigned rounds;
} writer_t;

static void write_round(writer_t *writer, unsigned round)
{
    cairn_index_t *index = writer->race->index;
    cairn_loc_t old;

    for (uint64_t key = writer->begin; key < writer->end; ++key) {
        uint64_t stays = writer->stay_begin + key % (writer->stay_end - writer->stay_begin);
        writer->race->wrong += put(index, hash_good, key, 1, &old) != CAIRN_INDEX_INSERTED;
        writer->race->wrong +=
            put(index, hash_good, stays, round + 2, &old) != CAIRN_INDEX_REPLACED;
        if (key % 64 == 0)
            rcu_quiescent_state();
    }
    for (uint64_t key = writer->begin; key < writer->end; ++key) {
        writer->race->wrong += take(index, hash_good, key, &old) != CAIRN_INDEX_REPLACED;
        if (key % 64 == 0)
            rcu_quiescent_state();
    }
}

static void *write_all(void *arg)
{
    writer_t *writer = arg;

    rcu_register_thread();
    for (unsigned round = 0; round < writer->rounds; ++round)
        write_round(writer, round);
    rcu_unregister_thread();
    return NULL;
}

static void race(cairn_shape_t shape, uint64_t come_and_go, unsigned rounds)
{
    race_t shared = {.index = cairn_index_create_shaped(shape)};
    void *(*const others[])(void *) = {reader, reader, walker, reclaimer};
    pthread_t threads[4], writing[2];
    writer_t writers[2];
    cairn_loc_t old;

    CU_ASSERT_PTR_NOT_NULL_FATAL(shared.index);
    CU_ASSERT_TRUE_FATAL(put_range(shared.index, hash_good, 1, STAY + 1));
    for (int i = 0; i < 4; ++i)
        CU_ASSERT_EQUAL_FATAL(pthread_create(&threads[i], NULL, others[i], &shared), 0);
    for (unsigned i = 0; i < 2; ++i) {
        writers[i] = (writer_t){&shared,
                                STAY + 1 + i * come_and_go,
                                STAY + 1 + (i + 1) * come_and_go,
                                1 + i * (STAY / 2),
                                1 + (i + 1) * (STAY / 2),
                                soak() ? rounds * 10 : rounds};
        CU_ASSERT_EQUAL_FATAL(pthread_create(&writing[i], NULL, write_all, &writers[i]), 0);
    }
    /* this thread only waits: it must not hold up the grace periods of the others */
    rcu_thread_offline();
    for (int i = 0; i < 2; ++i)
        pthread_join(writing[i], NULL);
    shared.stop = true;
    for (int i = 0; i < 4; ++i)
        pthread_join(threads[i], NULL);
    rcu_thread_online();
    CU_ASSERT_EQUAL(shared.wrong, 0);
    CU_ASSERT_TRUE(shared.looked > 0);
    CU_ASSERT_EQUAL(keys_in(shared.index), STAY);
    cairn_index_check(shared.index);
    for (uint64_t key = 1; key <= STAY; ++key)
        CU_ASSERT_EQUAL(take(shared.index, hash_good, key, &old), CAIRN_INDEX_REPLACED);
    cairn_index_check(shared.index);
    cairn_index_destroy(shared.index);
}

static void racing_small_tables(void)
{
    race(TINY, 30000, 3);
}

static void racing_large_tables(void)
{
    race(CAIRN_SHAPE, 200000, 1);
}

/* keys of neighbouring homes, so that each one put in pushes a chain of others on. A ring of 8
 * buckets covers 2^24 fingerprints of 25 bits: home n begins at n << 60 of the first stripe's half.
 */
static uint64_t hash_chained(uint64_t key)
{
    return (key % 4) << 60 | mix(key) >> 8;
}

#define CHAINED_STAY 24u
#define CHAINED_END 44u

static void *chained_reader(void *arg)
{
    race_t *race = arg;
    uint64_t key = 0;

    rcu_register_thread();
    while (!race->stop) {
        for (int i = 0; i < 256; ++i) {
            key = key % CHAINED_STAY + 1;
            race->wrong += found_at(race->index, hash_chained, key) != loc_of(key, 1);
        }
        race->looked += 256;
        rcu_quiescent_state();
    }
    rcu_unregister_thread();
    return NULL;
}

static void racing_a_chain(void)
{
    race_t shared = {.index = cairn_index_create_shaped(TINY)};
    pthread_t thread;

    CU_ASSERT_PTR_NOT_NULL_FATAL(shared.index);
    CU_ASSERT_TRUE_FATAL(put_range(shared.index, hash_chained, 1, CHAINED_STAY + 1));
    CU_ASSERT_EQUAL_FATAL(pthread_create(&thread, NULL, chained_reader, &shared), 0);
    for (uint64_t round = 0; round < loop(100000); ++round) {
        shared.wrong += !put_range(shared.index, hash_chained, CHAINED_STAY + 1, CHAINED_END);
        shared.wrong += !take_range(shared.index, hash_chained, CHAINED_STAY + 1, CHAINED_END);
        rcu_quiescent_state();
    }
    shared.stop = true;
    rcu_thread_offline();
    pthread_join(thread, NULL);
    rcu_thread_online();
    CU_ASSERT_EQUAL(shared.wrong, 0);
    CU_ASSERT_EQUAL(generation_of(shared.index), 0);
    cairn_index_check(shared.index);
    cairn_index_destroy(shared.index);
}

/* ---- dumps */

typedef struct st_file_t {
    char *bytes;
    size_t count, room;
    size_t fail_at;                     /* gives up when it would grow beyond, 0: never */
    void (*between)(void *between_ctx); /* what happens between two pieces */
    void *between_ctx;
} file_t;

static bool on_write(void *ctx, const void *bytes, size_t count)
{
    file_t *file = ctx;

    if (file->fail_at != 0 && file->count + count > file->fail_at)
        return false;
    while (file->count + count > file->room) {
        file->room = file->room == 0 ? 1 << 16 : file->room * 2;
        file->bytes = realloc(file->bytes, file->room);
    }
    memcpy(file->bytes + file->count, bytes, count);
    file->count += count;
    if (file->between != NULL)
        file->between(file->between_ctx);
    return true;
}

static void *map_copy(const char *bytes, size_t count)
{
    void *mapping = mmap(NULL, count, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    CU_ASSERT_TRUE_FATAL(mapping != MAP_FAILED);
    memcpy(mapping, bytes, count);
    return mapping;
}

static cairn_index_t *load_copy(const file_t *file)
{
    cairn_index_t *index = NULL;
    void *mapping = map_copy(file->bytes, file->count);

    CU_ASSERT_EQUAL(cairn_index_verify(mapping, file->count), CAIRN_INDEX_DUMP_OK);
    CU_ASSERT_EQUAL_FATAL(cairn_index_load(mapping, file->count, true, &index),
                          CAIRN_INDEX_DUMP_OK);
    return index;
}

static void round_trip(cairn_shape_t shape, hash_fn hash, uint64_t count)
{
    cairn_index_t *index = cairn_index_create_shaped(shape), *loaded;
    file_t file = {0};

    CU_ASSERT_TRUE(put_range(index, hash, 1, count));
    CU_ASSERT_EQUAL(cairn_index_dump(index, on_write, &file), CAIRN_INDEX_DUMP_OK);
    cairn_index_check(index);
    loaded = load_copy(&file);
    cairn_index_check(loaded);
    CU_ASSERT_EQUAL(keys_in(loaded), count - 1);
    CU_ASSERT_EQUAL(stash_count(loaded), stash_count(index));
    CU_ASSERT_TRUE(has_range(loaded, hash, 1, count));
    /* both grow on, the loaded one out of the mapping it came in, and shrink */
    CU_ASSERT_TRUE(put_range(loaded, hash, count, 3 * count));
    cairn_index_reclaim(loaded);
    CU_ASSERT_TRUE(put_range(index, hash, count, 3 * count));
    CU_ASSERT_TRUE(has_range(loaded, hash, 1, 3 * count));
    cairn_index_check(loaded);
    CU_ASSERT_TRUE(take_range(loaded, hash, 1, 3 * count));
    cairn_index_check(loaded);
    cairn_index_destroy(loaded);
    cairn_index_destroy(index);
    free(file.bytes);
}

static void dumps_come_back(void)
{
    round_trip(TINY, hash_good, 1);
    for (uint64_t count = 50; count < 2500; count += 2500 / loop(48))
        round_trip(TINY, hash_good, count);
    round_trip(TINY, hash_crowded, 500);
    round_trip(SMALL, hash_one, 200);
    round_trip(CAIRN_SHAPE, hash_good, 300000);
}

static void a_loaded_index_is_dropped_at_once(void)
{
    cairn_index_t *index = cairn_index_create_shaped(SMALL);
    file_t file = {0};

    CU_ASSERT_TRUE(put_range(index, hash_good, 1, 1000));
    CU_ASSERT_EQUAL(cairn_index_dump(index, on_write, &file), CAIRN_INDEX_DUMP_OK);
    cairn_index_destroy(load_copy(&file));
    cairn_index_destroy(index);
    free(file.bytes);
}

typedef struct st_busy_t {
    cairn_index_t *index;
    uint64_t next;
} busy_t;

/* changes between two pieces of a dump: keys come, others go, others move */
static void be_busy(void *ctx)
{
    busy_t *busy = ctx;
    cairn_loc_t old;

    for (int i = 0; i < 2000; ++i, ++busy->next) {
        CU_ASSERT_EQUAL(put(busy->index, hash_good, 500000 + busy->next, 1, &old),
                        CAIRN_INDEX_INSERTED);
        if (busy->next >= 1000)
            CU_ASSERT_EQUAL(take(busy->index, hash_good, 500000 + busy->next - 1000, &old),
                            CAIRN_INDEX_REPLACED);
        CU_ASSERT_EQUAL(put(busy->index, hash_good, 100001 + busy->next % 100000, 2, &old),
                        CAIRN_INDEX_REPLACED);
    }
    rcu_quiescent_state();
}

static void dumps_beside_changes(void)
{
    cairn_index_t *index = cairn_index_create(), *loaded;
    busy_t busy = {index, 0};
    file_t file = {.between = be_busy, .between_ctx = &busy};

    CU_ASSERT_TRUE(put_range(index, hash_good, 1, 300001));
    CU_ASSERT_EQUAL(cairn_index_dump(index, on_write, &file), CAIRN_INDEX_DUMP_OK);
    cairn_index_check(index);
    loaded = load_copy(&file);
    cairn_index_check(loaded);
    CU_ASSERT_TRUE(has_range(loaded, hash_good, 1, 100001));
    for (uint64_t key = 100001; key <= 300000; ++key) {
        cairn_loc_t loc = found_at(loaded, hash_good, key);
        CU_ASSERT_TRUE(loc == loc_of(key, 1) || loc == loc_of(key, 2));
    }
    cairn_index_destroy(loaded);
    cairn_index_destroy(index);
    free(file.bytes);
}

static void a_dump_that_is_stopped(void)
{
    cairn_index_t *index = cairn_index_create_shaped(SMALL);
    file_t file = {0};

    CU_ASSERT_TRUE(put_range(index, hash_good, 1, 1000));
    for (size_t at = 1; at < 12000; at += 1500) {
        file.count = 0;
        file.fail_at = at;
        CU_ASSERT_EQUAL(cairn_index_dump(index, on_write, &file), CAIRN_INDEX_DUMP_STOPPED);
    }
    for (int64_t after = 0; after < 3; ++after) {
        file_t other = {0};
        cairn_memory_fail_after(after);
        CU_ASSERT_EQUAL(cairn_index_dump(index, on_write, &other), CAIRN_INDEX_DUMP_NOMEM);
        cairn_memory_fail_after(-1);
        free(other.bytes);
    }
    /* sweeps are no longer paused: the tables still grow */
    unsigned before = generation_of(index);
    CU_ASSERT_TRUE(put_range(index, hash_good, 1000, 8000));
    CU_ASSERT_TRUE(generation_of(index) > before);
    cairn_index_check(index);
    cairn_index_destroy(index);
    free(file.bytes);
}

static void expect_refused(char *mapping, size_t count)
{
    cairn_index_t *index = NULL;
    cairn_index_dump_result_t result = cairn_index_load(mapping, count, true, &index);

    CU_ASSERT_TRUE(result == CAIRN_INDEX_DUMP_FOREIGN || result == CAIRN_INDEX_DUMP_SIZE ||
                   result == CAIRN_INDEX_DUMP_DAMAGED);
    CU_ASSERT_PTR_NULL_FATAL(index);
    CU_ASSERT_EQUAL(cairn_index_verify(mapping, count), result);
    CU_ASSERT_TRUE(strlen(cairn_index_dump_text(result)) > 10);
}

static void damaged_dumps(void)
{
    cairn_index_t *index = cairn_index_create_shaped(TINY);
    file_t file = {0};

    CU_ASSERT_TRUE(put_range(index, hash_crowded, 1, 400));
    CU_ASSERT_TRUE(stash_count(index) > 0);
    CU_ASSERT_EQUAL(cairn_index_dump(index, on_write, &file), CAIRN_INDEX_DUMP_OK);
    char *mapping = map_copy(file.bytes, file.count);
    for (size_t at = 0; at < file.count; ++at) {
        mapping[at] = (char)(mapping[at] ^ (1 << at % 8));
        expect_refused(mapping, file.count);
        mapping[at] = file.bytes[at];
    }
    for (size_t count = 0; count < file.count; count += count < 5000 ? 97 : 1)
        expect_refused(mapping, count);
    munmap(mapping, file.count);
    cairn_index_destroy(index);
    free(file.bytes);
}

static bool is_anything(void *ctx, cairn_loc_t loc)
{
    return mix(*(uint64_t *)ctx ^ loc) % 4 == 0;
}

/* whatever the bytes say, nothing is read or written outside: the sanitizers watch */
static void forged_dumps(void)
{
    cairn_index_t *index = cairn_index_create_shaped(TINY);
    file_t file = {0};

    CU_ASSERT_TRUE(put_range(index, hash_good, 1, 700));
    CU_ASSERT_EQUAL(cairn_index_dump(index, on_write, &file), CAIRN_INDEX_DUMP_OK);
    size_t table_bytes = cairn_generation_bytes(TINY, generation_of(index));
    for (uint64_t seed = 0; seed < 40; ++seed) {
        uint64_t *mapping = map_copy(file.bytes, file.count), cursor = 0;
        cairn_index_t *forged = NULL;
        seen_t seen = {.keys = 0, .times = calloc(1, 1)};
        cairn_loc_t loc;

        for (size_t i = 4096 / 8; i < (4096 + table_bytes) / 8; ++i)
            if (mix(seed + i) % 4 < seed % 5)
                mapping[i] = mix(mapping[i] + seed);
        CU_ASSERT_EQUAL_FATAL(cairn_index_load(mapping, file.count, false, &forged),
                              CAIRN_INDEX_DUMP_OK);
        for (uint64_t key = 1; key < 3000; ++key) {
            uint64_t ctx = key + seed;
            cairn_index_find(forged, hash_good(key), is_anything, &ctx, &loc);
            cairn_index_put(forged, hash_good(key + 5000), is_anything, &ctx, key, &loc);
            cairn_index_remove(forged, hash_good(key), is_anything, &ctx, &loc);
        }
        while (cairn_index_walk(forged, &cursor, on_visit, &seen))
            ;
        free(seen.times);
        cairn_index_destroy(forged);
    }
    cairn_index_destroy(index);
    free(file.bytes);
}

/* ---- the suite */

static int join_grace_periods(void)
{
    rcu_register_thread();
    return 0;
}

static int leave_grace_periods(void)
{
    cairn_memory_fail_after(-1);
    rcu_unregister_thread();
    return 0;
}

void suite_index(void)
{
    CU_pSuite s = CU_add_suite("index", join_grace_periods, leave_grace_periods);

    CU_add_test(s, "an index of ten keys is small", empty_is_small);
    CU_add_test(s, "a key is put, found, replaced, moved and removed", one_key);
    CU_add_test(s, "the smallest and largest hash and location survive growth",
                the_largest_location);
    CU_add_test(s, "thousands of indexes are made and dropped one after the other",
                thousands_one_after_the_other);
    CU_add_test(s, "hundreds of keys of one hash go to the stash and come out of it",
                a_crowd_of_one_hash);
    CU_add_test(s, "a flood into one stripe is kept and does not grow the tables for ever",
                a_flood_into_one_stripe);
    CU_add_test(s, "the stash empties when growth makes room",
                the_stash_empties_when_growth_makes_room);
    CU_add_test(s, "random changes agree with a simple map, checked after each",
                model_checked_each_step);
    CU_add_test(s, "random changes agree when four keys share each hash", model_hashes_shared);
    CU_add_test(s, "random changes agree when all keys have one tag", model_one_tag);
    CU_add_test(s, "random changes agree when buckets overflow", model_crowded);
    CU_add_test(s, "millions of random changes agree with a simple map", model_millions);
    CU_add_test(s, "a walk of a quiet index meets every entry exactly once", a_quiet_walk);
    CU_add_test(s, "a walk may move what it meets", a_walk_that_moves);
    CU_add_test(s, "walks see every key that stays while the tables grow and shrink",
                growth_with_walks);
    CU_add_test(s, "memory follows the number of keys, up and down", memory_follows_the_keys);
    CU_add_test(s, "a batch finds what single finds find", batches);
    CU_add_test(s, "a hint names where keys are that are at home", hints);
    CU_add_test(s, "an index that gets no memory is not created", create_without_memory);
    CU_add_test(s, "growth that gets no memory loses nothing and goes on later",
                growth_without_memory);
    CU_add_test(s, "readers, a walk and two writers race through small tables",
                racing_small_tables);
    CU_add_test(s, "readers, a walk and two writers race through large tables",
                racing_large_tables);
    CU_add_test(s, "a reader finds keys while others push them on and let them back",
                racing_a_chain);
    CU_add_test(s, "a dump comes back as the index it was, at every size", dumps_come_back);
    CU_add_test(s, "a loaded index can be dropped at once", a_loaded_index_is_dropped_at_once);
    CU_add_test(s, "a dump beside changes has every key that stays", dumps_beside_changes);
    CU_add_test(s, "a dump that is stopped leaves the index growing", a_dump_that_is_stopped);
    CU_add_test(s, "a dump with any byte flipped, or cut short, is refused", damaged_dumps);
    CU_add_test(s, "a dump of forged tables harms nobody", forged_dumps);
}
