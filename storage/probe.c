/*
 * storage/probe.c - what storage answers when the index asks whether a location holds a key.
 */
#include "storage/probe.h"

#include "storage/guard.h"
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

/** 0 if not; else the offset up to which all is */
static uint64_t head_is_in_memory(cairn_segment_t *segment, uint64_t offset, uint64_t available,
                                  const cairn_record_t *r)
{
    uint64_t to = cairn_residency_check(segment, offset, at_most(available, HEAD_GUESS_BYTES));
    if (to == 0)
        return 0;
    uint64_t head = CAIRN_RECORD_HEAD_BYTES + (uint64_t)r->key_bytes + r->meta_bytes;
    return head <= HEAD_GUESS_BYTES
               ? to
               : cairn_residency_check(segment, offset, at_most(available, head));
}

bool cairn_probe_is_seen(const cairn_space_t *space, const cairn_seen_t *seen, cairn_loc_t loc)
{
    /* no salt is used twice: it is the very record, and nothing else that came to lie there */
    return seen != NULL && seen->loc == loc && cairn_space_segment(space, loc)->salt == seen->salt;
}

/** a probe at work on a location */
typedef struct st_look_t {
    cairn_probe_t *probe;
    cairn_segment_t *segment;
    const cairn_record_t *record;
    uint64_t offset;
    uint64_t available;
    bool is_in_memory; /* known before */
    bool is_match;
} look_t;

/** under a guard: the disk may fail to deliver what is touched here */
static void look(void *ctx)
{
    look_t *l = ctx;
    cairn_probe_t *probe = l->probe;
    l->is_match = true;
    if (!l->is_in_memory)
        probe->in_memory_to = head_is_in_memory(l->segment, l->offset, l->available, l->record);
    if (!l->is_in_memory && probe->in_memory_to == 0)
        probe->cold = true;
    else if (!cairn_record_head_is_valid(l->record, l->available, l->segment->salt, l->offset))
        probe->fault = CAIRN_ERR_DAMAGED;
    else
        l->is_match = cairn_record_has_key(l->record, probe->key);
    if (!l->is_match || probe->cold || probe->fault != CAIRN_OK ||
        cairn_record_type(l->record) != CAIRN_RECORD_LOST)
        return;
    probe->is_lost = true;
    probe->fault = CAIRN_ERR_DAMAGED;
}

bool cairn_probe_match(void *ctx, cairn_loc_t loc)
{
    cairn_probe_t *probe = ctx;
    probe->in_memory_to = 0;
    if (cairn_probe_is_seen(probe->space, probe->seen, loc))
        return true;
    cairn_segment_t *segment = cairn_space_segment(probe->space, loc);
    uint64_t offset = cairn_segment_offset(segment, loc);
    look_t l = {.probe = probe,
                .segment = segment,
                .record = cairn_space_record(probe->space, loc),
                .offset = offset,
                .is_in_memory = probe->may_wait || loc == probe->loaded};
    prefetch(l.record);
    /* acquire: pairs with the writer's release after it has written */
    l.available = atomic_load_explicit(&segment->written, memory_order_acquire) - offset;
    if (!cairn_guard_run(look, &l)) {
        probe->fault = CAIRN_ERR_IO;
        return true;
    }
    return l.is_match;
}

bool cairn_probe_is_at(void *ctx, cairn_loc_t loc)
{
    return *(const cairn_loc_t *)ctx == loc;
}

void cairn_probe_prefetch(void *ctx, cairn_loc_t loc)
{
    const cairn_probe_t *probe = ctx;
    prefetch(cairn_space_record(probe->space, loc));
}

typedef struct st_measure_t {
    const cairn_record_t *record;
    uint64_t bytes;
} measure_t;

static void measure(void *ctx)
{
    measure_t *m = ctx;
    m->bytes = cairn_record_bytes(m->record);
}

bool cairn_probe_measure(const cairn_record_t *r, uint64_t *bytes)
{
    measure_t m = {.record = r};
    bool is_readable = cairn_guard_run(measure, &m);
    *bytes = m.bytes;
    return is_readable;
}

typedef struct st_see_t {
    const cairn_record_t *record;
    const cairn_segment_t *segment;
    uint64_t offset;
    cairn_seen_t *seen;
} see_t;

static void see(void *ctx)
{
    see_t *s = ctx;
    s->seen->bytes = cairn_record_bytes(s->record);
    s->seen->expiry_ms = cairn_record_expiry_ms(s->record);
    /* seldom; and any record may have rotted into one that looks so */
    s->seen->is_lost = cairn_record_type(s->record) == CAIRN_RECORD_LOST &&
                       cairn_record_head_is_valid(s->record, s->segment->bytes - s->offset,
                                                  s->segment->salt, s->offset);
}

bool cairn_probe_see(const cairn_space_t *space, cairn_loc_t loc, cairn_seen_t *seen)
{
    cairn_segment_t *segment = cairn_space_segment(space, loc);
    see_t s = {.record = cairn_space_record(space, loc),
               .segment = segment,
               .offset = cairn_segment_offset(segment, loc),
               .seen = seen};
    *seen = (cairn_seen_t){.loc = loc, .salt = segment->salt};
    bool is_readable = cairn_guard_run(see, &s);
    /* one that is damaged or cannot be read may be the very reason why it is looked at */
    if (!is_readable || seen->bytes > segment->bytes - cairn_segment_offset(segment, loc))
        seen->bytes = seen->expiry_ms = 0;
    return is_readable;
}
