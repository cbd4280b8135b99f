/*
 * storage/clock.h - the wall clock, which never runs backwards, not even over a restart.
 *
 * Expiry is a point in time. Were the clock set back, or a machine started with the wrong date,
 * what had expired would come back; so time is at least what the log has seen, and what a reader
 * was told.
 */
#ifndef CAIRN_STORAGE_CLOCK_H
#define CAIRN_STORAGE_CLOCK_H

#include <stdatomic.h>

#include "storage/os.h"

typedef struct st_cairn_clock_t {
    _Atomic uint64_t floor_ms; /* relaxed: a point in time, nothing else hangs on it */
} cairn_clock_t;

/** Milliseconds since 1970. Threads: any. */
static inline uint64_t cairn_clock_now(const cairn_clock_t *clock)
{
    uint64_t now = cairn_os->now_ms();
    uint64_t floor = atomic_load_explicit(&clock->floor_ms, memory_order_relaxed);
    return now > floor ? now : floor;
}

/** How late it has been at least. Threads: any. */
static inline uint64_t cairn_clock_floor(const cairn_clock_t *clock)
{
    return atomic_load_explicit(&clock->floor_ms, memory_order_relaxed);
}

/**
 * It has been this late: the log says so, or somebody has been told that a value has expired.
 * Threads: any.
 */
static inline void cairn_clock_raise(cairn_clock_t *clock, uint64_t ms)
{
    uint64_t floor = atomic_load_explicit(&clock->floor_ms, memory_order_relaxed);
    while (ms > floor &&
           !atomic_compare_exchange_weak_explicit(&clock->floor_ms, &floor, ms,
                                                  memory_order_relaxed, memory_order_relaxed))
        ;
}

#endif
