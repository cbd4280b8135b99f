/*
 * tests/test_index_model.c - random changes to the index and to a simple map.
 */
#include "tests/index_keys.h"

#include <pthread.h>

#include "tests/suites.h"

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

/* ---- the suite */

void suite_index_model(void)
{
    CU_pSuite s =
        CU_add_suite("index_model: beside a simple map", join_grace_periods, leave_grace_periods);

    CU_add_test(s, "random changes agree with a simple map, checked after each",
                model_checked_each_step);
    CU_add_test(s, "random changes agree when four keys share each hash", model_hashes_shared);
    CU_add_test(s, "random changes agree when all keys have one tag", model_one_tag);
    CU_add_test(s, "random changes agree when buckets overflow", model_crowded);
    CU_add_test(s, "millions of random changes agree with a simple map", model_millions);
}
