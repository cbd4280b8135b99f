/*
 * storage/probe.c - what storage answers when the index asks whether a location holds a key.
 */
#include "storage/probe.h"

#include "storage/residency.h"

/** how much of a record is looked at before its lengths are known */
#define HEAD_GUESS_BYTES (CAIRN_RECORD_HEAD_BYTES + 64)

/** a small record has about this many: 48 bytes of head, key, value */
#define PREFETCH_LINES 3
#define LINE_BYTES 64

static uint64_t at_most(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/** the checks below read line after line, each only after the one before has been judged */
static void prefetch(const cairn_record_t *r)
{
    for (size_t line = 0; line < PREFETCH_LINES; ++line)
        __builtin_prefetch((const uint8_t *)r + line * LINE_BYTES);
}

static bool head_is_in_memory(cairn_segment_t *segment, uint64_t offset, uint64_t available,
                              const cairn_record_t *r)
{
    if (!cairn_residency_check(segment, offset, at_most(available, HEAD_GUESS_BYTES)))
        return false;
    uint64_t head = CAIRN_RECORD_HEAD_BYTES + (uint64_t)r->key_bytes + r->meta_bytes;
    return head <= HEAD_GUESS_BYTES ||
           cairn_residency_check(segment, offset, at_most(available, head));
}

bool cairn_probe_match(void *ctx, cairn_loc_t loc)
{
    cairn_probe_t *probe = ctx;
    cairn_segment_t *segment = cairn_space_segment(probe->space, loc);
    uint64_t offset = cairn_segment_offset(segment, loc);
    const cairn_record_t *r = cairn_space_record(probe->space, loc);
    prefetch(r);
    /* acquire: pairs with the writer's release after it has written */
    uint64_t available = atomic_load_explicit(&segment->written, memory_order_acquire) - offset;
    if (!probe->may_wait && loc != probe->loaded &&
        !head_is_in_memory(segment, offset, available, r)) {
        probe->cold = true;
        return true;
    }
    if (!cairn_record_head_is_valid(r, available, segment->salt, offset)) {
        probe->damaged = true;
        return true;
    }
    return cairn_record_has_key(r, probe->key);
}

void cairn_probe_prefetch(void *ctx, cairn_loc_t loc)
{
    const cairn_probe_t *probe = ctx;
    prefetch(cairn_space_record(probe->space, loc));
}
