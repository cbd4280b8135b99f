/*
 * tests/test_index.c - the index, step by step: single changes, growth, walks, batches, no memory.
 */
#include "tests/index_keys.h"

#include <pthread.h>

#include "tests/suites.h"

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

/* ---- growth, and walks across it */

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

/* ---- the suite */

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
}
