/*
 * Chance that can be repeated.
 */
#include "tests/seed.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static uint64_t seed;
static pthread_once_t seed_once = PTHREAD_ONCE_INIT;

/* splitmix64's output function: each bit of the input reaches each bit of the result */
static uint64_t mix(uint64_t z)
{
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

static void choose_seed(void)
{
    const char *given = getenv("CAIRN_SEED");
    struct timespec now;
    if (given != NULL) {
        seed = strtoull(given, NULL, 0);
        return;
    }
    clock_gettime(CLOCK_REALTIME, &now);
    /* short enough to be typed again */
    seed = mix((uint64_t)now.tv_nsec ^ (uint64_t)now.tv_sec << 30 ^ (uint64_t)getpid()) % 1000000;
}

uint64_t seed_of_run(void)
{
    pthread_once(&seed_once, choose_seed);
    return seed;
}

bool is_soak(void)
{
    return getenv("CAIRN_SOAK") != NULL;
}

random_t random_from(uint64_t from, uint64_t salt)
{
    return (random_t){mix(from + UINT64_C(0x9e3779b97f4a7c15)) ^ mix(salt)};
}

uint64_t random_next(random_t *random)
{
    return mix(random->state += UINT64_C(0x9e3779b97f4a7c15));
}

uint64_t random_below(random_t *random, uint64_t count)
{
    /* the bias is less than one in 2^32 for all that tests count */
    return random_next(random) % count;
}

void random_fill(uint64_t from, void *bytes, size_t count)
{
    random_t random = random_from(from, 0);
    uint8_t *at = bytes;
    while (count != 0) {
        uint64_t word = random_next(&random);
        size_t part = count < sizeof(word) ? count : sizeof(word);
        memcpy(at, &word, part);
        at += part;
        count -= part;
    }
}
