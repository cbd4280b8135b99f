/*
 * tests/test_index_races.c - readers, walks and writers at the same time.
 */
#include "tests/index_keys.h"

#include <pthread.h>

#include "tests/suites.h"

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

/* ---- the suite */

void suite_index_races(void)
{
    CU_pSuite s = CU_add_suite("index_races: readers beside writers", join_grace_periods,
                               leave_grace_periods);

    CU_add_test(s, "readers, a walk and two writers race through small tables",
                racing_small_tables);
    CU_add_test(s, "readers, a walk and two writers race through large tables",
                racing_large_tables);
    CU_add_test(s, "a reader finds keys while others push them on and let them back",
                racing_a_chain);
}
