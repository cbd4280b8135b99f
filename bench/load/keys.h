/*
 * bench/load/keys.h - which key is asked for next, and what its name is.
 *
 * Keys are numbered; number 7 of those with values of 100 bytes is "v100-00000007" for every peer.
 */
#ifndef CAIRN_BENCH_LOAD_KEYS_H
#define CAIRN_BENCH_LOAD_KEYS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/** "v1048576-00000007" and a NUL */
#define KEY_TEXT_BYTES_MAX 24

/** what all threads share */
typedef struct st_key_space_t {
    uint64_t first; /* numbers from here on */
    uint64_t count;
    bool is_zipf;
    double zeta; /* of a zipf distribution: the constants of Gray et al., "Quickly generating
                    billion-record synthetic databases", 1994, with theta 0.99 as YCSB has it */
    double alpha;
    double eta;
    char prefix[KEY_TEXT_BYTES_MAX];
    size_t prefix_bytes;
} key_space_t;

void key_space_init(key_space_t *space, uint64_t first, uint64_t count, bool is_zipf,
                    size_t value_bytes);

/** a fast generator of random numbers (xorshift64*); the seed is not 0 */
static inline uint64_t random_next(uint64_t *state)
{
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    return *state * 0x2545F4914F6CDD1Du;
}

/** The number of the next key at random. */
uint64_t key_space_pick(const key_space_t *space, uint64_t *random_state);

/** Writes the key's name without a NUL; returns its length. */
size_t key_space_name(const key_space_t *space, uint64_t number, char *out);

#endif
