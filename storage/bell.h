/*
 * storage/bell.h - one thread sleeps, others wake it, and ringing costs nothing while it is awake.
 *
 * The sleeper: cairn_bell_prepare(), look once more whether there is work, cairn_bell_wait().
 * The others: publish the work, cairn_bell_ring().
 */
#ifndef CAIRN_STORAGE_BELL_H
#define CAIRN_STORAGE_BELL_H

#include <stdatomic.h>
#include <stdint.h>
#include <time.h>

#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

typedef struct st_cairn_bell_t {
    _Atomic uint32_t asleep;
} cairn_bell_t;

static inline void cairn_bell_prepare(cairn_bell_t *bell)
{
    /* both sides read-modify-write, seq_cst: either the sleeper, looking after this, sees the work,
     * or the ringer sees it asleep */
    atomic_exchange(&bell->asleep, 1);
}

/** there is work after all */
static inline void cairn_bell_cancel(cairn_bell_t *bell)
{
    atomic_store(&bell->asleep, 0);
}

/** Sleeps until rung or `timeout_ns` (UINT64_MAX: no end) have passed. May wake for no reason. */
static inline void cairn_bell_wait(cairn_bell_t *bell, uint64_t timeout_ns)
{
    struct timespec timeout = {.tv_sec = (time_t)(timeout_ns / 1000000000),
                               .tv_nsec = (long)(timeout_ns % 1000000000)};
    syscall(SYS_futex, &bell->asleep, FUTEX_WAIT_PRIVATE, 1,
            timeout_ns == UINT64_MAX ? NULL : &timeout, NULL, 0);
    cairn_bell_cancel(bell);
}

static inline void cairn_bell_ring(cairn_bell_t *bell)
{
    if (atomic_fetch_or(&bell->asleep, 0) != 0 && atomic_exchange(&bell->asleep, 0) != 0)
        syscall(SYS_futex, &bell->asleep, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

#endif
