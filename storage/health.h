/*
 * storage/health.h - the states a failure puts the store in, and the line that tells of it.
 *
 * Poisoned: a write or sync of the log failed. It is never retried (after a failed sync the kernel
 * forgets what it could not write, and the next one succeeds), reads go on, writes are refused
 * until a restart has looked at what is really on disk.
 */
#ifndef CAIRN_STORAGE_HEALTH_H
#define CAIRN_STORAGE_HEALTH_H

#include <stdatomic.h>
#include <stdbool.h>

#include "storage/types.h"

typedef struct st_cairn_health_t {
    _Atomic bool failed;    /* set once, never cleared */
    _Atomic bool disk_full; /* no room for the next segment; cleared when there is again */
    void (*on_log)(void *ctx, cairn_log_level_t level, const char *line);
    void *ctx;
} cairn_health_t;

/** A line for the log. Threads: any. */
void cairn_health_log(cairn_health_t *health, cairn_log_level_t level, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static inline bool cairn_health_has_failed(const cairn_health_t *health)
{
    return atomic_load_explicit(&health->failed, memory_order_acquire);
}

/** Poisons, and says why the first time. Threads: any. */
void cairn_health_fail(cairn_health_t *health, const char *why);

#endif
