/*
 * bench/index_load.h - what the files of bench-index put on an index, and beside it.
 *
 * Threads: each that touches an index is registered with QSBR.
 */
#ifndef CAIRN_BENCH_INDEX_LOAD_H
#define CAIRN_BENCH_INDEX_LOAD_H

#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "index/index.h"
#include "index/qsbr.h"

#define MILLION 1000000u

/** the hash of a key */
static inline uint64_t index_load_mix(uint64_t x)
{
    x += 0x9e3779b97f4a7c15u;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

/** is_match of an index in which a location is the key itself */
static inline bool index_load_is_key(void *ctx, cairn_loc_t loc)
{
    return loc == *(const uint64_t *)ctx;
}

static inline double index_load_now_ns(clockid_t clock)
{
    struct timespec time;

    clock_gettime(clock, &time);
    return (double)time.tv_sec * 1e9 + (double)time.tv_nsec;
}

/** a new key; ends the program if it cannot be put */
static inline void index_load_insert(cairn_index_t *index, uint64_t key)
{
    cairn_loc_t old;

    if (cairn_index_put(index, index_load_mix(key), index_load_is_key, &key, key, &old) !=
        CAIRN_INDEX_INSERTED) {
        fprintf(stderr, "key %llu could not be put\n", (unsigned long long)key);
        exit(EXIT_FAILURE);
    }
}

/** reclaims every five milliseconds, as the database's maintenance does */
typedef struct st_index_helper_t {
    cairn_index_t *index;
    _Atomic bool stop;
    pthread_t thread;
} index_helper_t;

void index_helper_start(index_helper_t *helper, cairn_index_t *index);

/** The calling thread is offline meanwhile. */
void index_helper_stop(index_helper_t *helper);

/** Prints how long the longest inserts take while an index grows to so many keys. */
void bench_index_waits(uint64_t keys);

#endif
