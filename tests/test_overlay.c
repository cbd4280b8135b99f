/*
 * What the writes of a commit have done to their keys, beside an array that says the same. Commits
 * are small and large in turn, so that what one leaves behind lies in the way of the next.
 */
#include <CUnit/CUnit.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "storage/overlay.h"
#include "tests/seed.h"
#include "tests/suites.h"

#define KEYS 3000
#define WRITES_MAX ((size_t)(CAIRN_OVERLAY_SLOTS / 2))

typedef struct st_model_t {
    cairn_overlay_t overlay;
    cairn_write_t writes[WRITES_MAX]; /* of this commit, in order */
    size_t count;
    uint8_t names[KEYS][4];
    cairn_write_t *last[KEYS]; /* what the overlay is to say */
    random_t random;
} model_t;

/** keys of the same hash and keys whose hashes have the same low bits are among them */
static cairn_key_t key_at(model_t *m, size_t at)
{
    uint64_t hash = at % 3 == 0 ? at / 30 : (uint64_t)at << (at % 3 == 1 ? 0 : 20);
    return (cairn_key_t){.bytes = m->names[at], .count = sizeof(m->names[at]), .hash = hash};
}

static size_t key_of(const cairn_write_t *write)
{
    uint32_t at;
    memcpy(&at, write->key.bytes, sizeof(at));
    return at;
}

static void add(model_t *m, size_t at)
{
    cairn_write_t *write = &m->writes[m->count++];
    *write = (cairn_write_t){.key = key_at(m, at)};
    cairn_overlay_add(&m->overlay, write);
    CU_ASSERT_PTR_EQUAL(write->_same_key, m->last[at]);
    m->last[at] = write;
}

static void undo(model_t *m)
{
    cairn_write_t *write = &m->writes[--m->count];
    cairn_write_t *before = write->_same_key;
    cairn_overlay_undo(&m->overlay, write);
    m->last[key_of(write)] = before;
}

static bool says_the_same(model_t *m)
{
    for (size_t at = 0; at < KEYS; ++at) {
        cairn_key_t key = key_at(m, at);
        if (cairn_overlay_find(&m->overlay, &key) != m->last[at])
            return false;
    }
    return true;
}

static void begin(model_t *m, size_t writes)
{
    cairn_overlay_clear(&m->overlay, writes);
    memset(m->last, 0, sizeof(m->last));
    m->count = 0;
}

/** adds so many writes, some of which it takes back meanwhile */
static void commit(model_t *m, size_t writes)
{
    begin(m, writes);
    CU_ASSERT(says_the_same(m));
    while (m->count < writes) {
        add(m, random_below(&m->random, KEYS));
        for (uint64_t n = random_below(&m->random, 4); n > 1 && m->count != 0; --n)
            if (random_below(&m->random, 4) == 0)
                undo(m);
    }
    CU_ASSERT(says_the_same(m));
    while (m->count > writes / 2)
        undo(m);
    CU_ASSERT(says_the_same(m));
}

static model_t *new_model(void)
{
    model_t *m = calloc(1, sizeof(*m));
    for (uint32_t at = 0; m != NULL && at < KEYS; ++at)
        memcpy(m->names[at], &at, sizeof(at));
    if (m != NULL)
        m->random = random_from(seed_of_run(), 0x6f766572);
    return m;
}

static void small_and_large_commits_in_turn(void)
{
    model_t *m = new_model();
    CU_ASSERT_PTR_NOT_NULL_FATAL(m);
    unsigned failures = CU_get_number_of_failures();
    for (size_t i = 0; i < 200; ++i)
        commit(m, 1 + random_below(&m->random, i % 2 == 0 ? 20 : 2000));
    commit(m, WRITES_MAX);
    commit(m, 1);
    if (CU_get_number_of_failures() != failures)
        printf("\nCAIRN_SEED=%" PRIu64 "\n", seed_of_run());
    free(m);
}

/** the commits are numbered in 32 bits; none may take what was left 2^32 commits ago for its own */
static void the_numbers_of_commits_begin_again(void)
{
    model_t *m = new_model();
    CU_ASSERT_PTR_NOT_NULL_FATAL(m);
    for (size_t i = 0; i < 3; ++i) /* their numbers are 1 to 3, and will be again */
        commit(m, 1000);
    m->overlay.stamp = UINT32_MAX - 1;
    for (size_t i = 0; i < 5; ++i)
        commit(m, 10);
    CU_ASSERT(m->overlay.stamp < 5);
    free(m);
}

void suite_overlay(void)
{
    CU_pSuite s = CU_add_suite("overlay", NULL, NULL);
    CU_add_test(s, "small and large commits in turn", small_and_large_commits_in_turn);
    CU_add_test(s, "the numbers of commits begin again", the_numbers_of_commits_begin_again);
}
