/*
 * storage/residency.c - is this piece of a segment in memory?
 */
#include "storage/residency.h"

#include "storage/os.h"

/** ticks are this long; a stamp is believed for FRESH_TICKS of them */
#define TICK_MS 256
#define FRESH_TICKS 8

static uint32_t now_tick(void)
{
    return (uint32_t)(cairn_os->coarse_ms() / TICK_MS) + FRESH_TICKS + 1; /* 0 is never fresh */
}

bool cairn_residency_is_fresh(const cairn_segment_t *segment, uint64_t offset, uint64_t bytes)
{
    uint32_t now = now_tick();
    for (uint64_t b = offset / CAIRN_BLOCK_BYTES; b <= (offset + bytes - 1) / CAIRN_BLOCK_BYTES;
         ++b)
        if (now - atomic_load_explicit(&segment->stamps[b], memory_order_relaxed) > FRESH_TICKS)
            return false;
    return true;
}

void cairn_residency_stamp(cairn_segment_t *segment, uint64_t offset, uint64_t bytes)
{
    uint32_t now = now_tick();
    for (uint64_t b = offset / CAIRN_BLOCK_BYTES; b <= (offset + bytes - 1) / CAIRN_BLOCK_BYTES;
         ++b)
        if (atomic_load_explicit(&segment->stamps[b], memory_order_relaxed) != now)
            atomic_store_explicit(&segment->stamps[b], now, memory_order_relaxed);
}

bool cairn_residency_check(cairn_segment_t *segment, uint64_t offset, uint64_t bytes)
{
    if (cairn_residency_is_fresh(segment, offset, bytes))
        return true;
    uint64_t first = offset / CAIRN_BLOCK_BYTES * CAIRN_BLOCK_BYTES;
    uint64_t end = (offset + bytes + CAIRN_BLOCK_BYTES - 1) / CAIRN_BLOCK_BYTES * CAIRN_BLOCK_BYTES;
    /* behind the records there may be no file any more, or pages that nobody has read yet. Acquire:
     * pairs with the writer's release after it has written */
    uint64_t written = atomic_load_explicit(&segment->written, memory_order_acquire);
    if (end > written)
        end = written;
    if (cairn_os->is_resident(segment->map + first, end - first)) {
        cairn_residency_stamp(segment, offset, bytes);
        return true;
    }
    return cairn_os->is_resident(segment->map + offset, bytes);
}
