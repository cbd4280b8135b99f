/*
 * storage/residency.c - is this piece of a segment in memory?
 */
#include "storage/residency.h"

#include <assert.h>

#include "storage/os.h"

/** ticks are this long; a stamp is believed for FRESH_TICKS of them */
#define TICK_MS 256
#define FRESH_TICKS 8

static uint32_t now_tick(void)
{
    return (uint32_t)(cairn_os->coarse_ms() / TICK_MS) + FRESH_TICKS + 1; /* 0 is never fresh */
}

static uint64_t block_before(uint64_t offset)
{
    return offset / CAIRN_BLOCK_BYTES;
}

static uint64_t block_after(uint64_t offset)
{
    return (offset + CAIRN_BLOCK_BYTES - 1) / CAIRN_BLOCK_BYTES;
}

/** acquire: pairs with the writer's release after it has written */
static uint64_t written(const cairn_segment_t *segment)
{
    return atomic_load_explicit(&segment->written, memory_order_acquire);
}

/** of the oldest stamp from block `first` up to, without it, block `end` */
static uint32_t age_of(const cairn_segment_t *segment, uint64_t first, uint64_t end, uint32_t now)
{
    uint32_t age = 0;
    for (uint64_t b = first; b < end; ++b) {
        uint32_t a = now - atomic_load_explicit(&segment->stamps[b], memory_order_relaxed);
        age = a > age ? a : age;
    }
    return age;
}

static uint32_t last_load(const cairn_segment_t *segment)
{
    return atomic_load_explicit(cairn_space_last_load(segment->space), memory_order_relaxed);
}

/** whether what was in memory so many ticks ago still is; a load in the same tick was later */
static bool is_believed(const cairn_segment_t *segment, uint32_t age, uint32_t now)
{
    return age <= FRESH_TICKS && (int32_t)(now - last_load(segment)) > (int32_t)age;
}

static void stamp(cairn_segment_t *segment, uint64_t first, uint64_t end)
{
    uint32_t now = now_tick();
    for (uint64_t b = first; b < end; ++b)
        if (atomic_load_explicit(&segment->stamps[b], memory_order_relaxed) != now)
            atomic_store_explicit(&segment->stamps[b], now, memory_order_relaxed);
}

void cairn_residency_stamp(cairn_segment_t *segment, uint64_t offset, uint64_t bytes)
{
    uint64_t end = offset + bytes;
    /* nothing lies behind the last record yet */
    stamp(segment, block_after(offset),
          end == written(segment) ? block_after(end) : block_before(end));
}

uint64_t cairn_residency_check(cairn_segment_t *segment, uint64_t offset, uint64_t bytes)
{
    uint64_t first = block_before(offset), end = block_after(offset + bytes);
    uint64_t from = first * CAIRN_BLOCK_BYTES, to = end * CAIRN_BLOCK_BYTES;
    uint32_t now = now_tick();
    if (is_believed(segment, age_of(segment, first, end, now), now))
        return to;
    /* behind the records there may be no file any more, or pages that nobody has read yet */
    uint64_t written_to = written(segment);
    if (to > written_to)
        to = written_to;
    if (cairn_os->is_resident(segment->map + from, to - from)) {
        stamp(segment, first, end);
        return to;
    }
    return cairn_os->is_resident(segment->map + offset, bytes) ? offset + bytes : 0;
}

bool cairn_residency_is_verified(cairn_segment_t *segment, uint64_t offset, uint64_t bytes)
{
    uint64_t first = block_after(offset), end = block_before(offset + bytes);
    uint64_t first_at = first * CAIRN_BLOCK_BYTES, end_at = end * CAIRN_BLOCK_BYTES;
    assert(first < end);
    uint32_t now = now_tick(), age = age_of(segment, first, end, now);
    return age <= FRESH_TICKS &&
           (is_believed(segment, age, now) ||
            cairn_os->is_resident(segment->map + first_at, end_at - first_at)) &&
           (first_at == offset || cairn_residency_check(segment, offset, first_at - offset) != 0) &&
           (end_at == offset + bytes ||
            cairn_residency_check(segment, end_at, offset + bytes - end_at) != 0);
}

void cairn_residency_note_load(const cairn_segment_t *segment)
{
    uint32_t now = now_tick();
    if (last_load(segment) != now)
        atomic_store_explicit(cairn_space_last_load(segment->space), now, memory_order_relaxed);
}

void cairn_residency_note_use(const cairn_segment_t *segment, uint64_t offset, uint64_t bytes)
{
    uint32_t load = last_load(segment);
    if (load != 0 && now_tick() - load <= FRESH_TICKS)
        cairn_os->populate(segment->map + offset, bytes);
}
