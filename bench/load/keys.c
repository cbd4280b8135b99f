/*
 * bench/load/keys.c - which key is asked for next, and what its name is.
 */
#include "bench/load/keys.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define ZIPF_THETA 0.99
/** scatters the popular keys over the whole range; a prime, so that no two fall together */
#define SCATTER 2654435761u
#define DIGITS 8

void key_space_init(key_space_t *space, uint64_t first, uint64_t count, bool is_zipf,
                    size_t value_bytes)
{
    *space = (key_space_t){.first = first, .count = count, .is_zipf = is_zipf};
    space->prefix_bytes =
        (size_t)snprintf(space->prefix, sizeof(space->prefix), "v%zu-", value_bytes);
    if (!is_zipf)
        return;
    for (uint64_t i = 1; i <= count; ++i)
        space->zeta += 1 / pow((double)i, ZIPF_THETA);
    double zeta_of_2 = 1 + pow(0.5, ZIPF_THETA);
    space->alpha = 1 / (1 - ZIPF_THETA);
    space->eta = (1 - pow(2.0 / (double)count, 1 - ZIPF_THETA)) / (1 - zeta_of_2 / space->zeta);
}

static uint64_t pick_rank(const key_space_t *space, uint64_t *random_state)
{
    double u = (double)(random_next(random_state) >> 11) * 0x1p-53;
    double uz = u * space->zeta;
    if (uz < 1)
        return 0;
    if (uz < 1 + pow(0.5, ZIPF_THETA))
        return 1;
    uint64_t rank =
        (uint64_t)((double)space->count * pow(space->eta * u - space->eta + 1, space->alpha));
    return rank < space->count ? rank : space->count - 1;
}

uint64_t key_space_pick(const key_space_t *space, uint64_t *random_state)
{
    if (space->is_zipf)
        return space->first + pick_rank(space, random_state) * SCATTER % space->count;
    return space->first + random_next(random_state) % space->count;
}

size_t key_space_name(const key_space_t *space, uint64_t number, char *out)
{
    memcpy(out, space->prefix, space->prefix_bytes);
    char *digits = out + space->prefix_bytes;
    for (int i = DIGITS - 1; i >= 0; --i, number /= 10)
        digits[i] = (char)('0' + number % 10);
    return space->prefix_bytes + DIGITS;
}
