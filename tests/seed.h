/*
 * tests/seed.h - chance that can be repeated, and how long a test may take.
 *
 * A test that draws numbers takes its seed from seed_of_run() and prints it with every failure:
 * CAIRN_SEED=<that number> then makes the same choices. What threads and kills add to it cannot be
 * repeated, but the same seed meets the same place again soon.
 *
 * Threads: any; a random_t belongs to one.
 */
#ifndef CAIRN_TESTS_SEED_H
#define CAIRN_TESTS_SEED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/** The number in $CAIRN_SEED, else one of its own; the same throughout a run. */
uint64_t seed_of_run(void);

/** Whether $CAIRN_SOAK is set: the long tests are wanted. */
bool is_soak(void);

typedef struct st_random_t {
    uint64_t state;
} random_t;

/** A stream of its own for each `salt`. */
random_t random_from(uint64_t seed, uint64_t salt);

uint64_t random_next(random_t *random);

/** From 0 to `count` - 1; `count` is at least 1. */
uint64_t random_below(random_t *random, uint64_t count);

/** Fills with bytes that follow from the seed alone. */
void random_fill(uint64_t seed, void *bytes, size_t count);

#endif
