/*
 * server/clock.h - how long things take: a clock that nobody sets.
 */
#ifndef CAIRN_SERVER_CLOCK_H
#define CAIRN_SERVER_CLOCK_H

#include <stdint.h>
#include <time.h>

/** Nanoseconds since some moment of the past, CLOCK_MONOTONIC. Threads: any. */
static inline uint64_t cairn_monotonic_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

/** The same in milliseconds. */
static inline uint64_t cairn_monotonic_ms(void)
{
    return cairn_monotonic_ns() / 1000000;
}

#endif
