/*
 * storage/decide.c - what comes of a write, given what its key has at this moment.
 */
#include "storage/decide.h"

#include <string.h>

#include "storage/guard.h"
#include "storage/probe.h"
#include "storage/write.h"

/** what the key has */
typedef struct st_present_t {
    cairn_current_t current;
    bool is_unknown;   /* nobody has looked, since whatever it is the write is right */
    cairn_err_t fault; /* there is something, and it is DAMAGED, or the disk cannot read it: IO */
    bool has_no_whole; /* its value is in this commit in pieces, and there is no memory to join them
                        */
    const cairn_record_t *record; /* NULL if there is none */
    cairn_loc_t loc;
    cairn_segment_t *segment; /* NULL if the record is in this commit */
} present_t;

static void take_record(present_t *present, const cairn_record_t *r, uint64_t now_ms)
{
    uint64_t expiry_ms = cairn_record_expiry_ms(r);
    if (expiry_ms != 0 && expiry_ms <= now_ms)
        return;
    present->record = r;
    present->current = (cairn_current_t){
        .exists = true, .version = r->version, .written_ms = cairn_record_written_ms(r)};
}

/** whether what comes of it depends on the bytes of the value that is there */
static bool reads_value(const cairn_write_t *write)
{
    return write->op == CAIRN_WRITE_INCR || write->op == CAIRN_WRITE_APPEND;
}

/** a plain put: all it may want to know is whether there was a value, and that shows when it is
 * applied */
static bool takes_anything(const cairn_write_t *write, const cairn_decide_limits_t *limits)
{
    return write->op == CAIRN_WRITE_PUT && write->conditions == NULL && !limits->is_atomic;
}

/** a write being decided */
typedef struct st_deciding_t {
    cairn_write_t *write;
    cairn_index_t *index;
    const cairn_space_t *space;
    const cairn_overlay_t *overlay;
    const cairn_decide_limits_t *limits;
    uint64_t now_ms;
    cairn_decision_t decision;
} deciding_t;

static void look_up(present_t *present, const deciding_t *d)
{
    const cairn_write_t *write = d->write;
    *present = (present_t){.record = NULL};
    cairn_write_t *earlier = cairn_overlay_find(d->overlay, &write->key);
    if (earlier != NULL) {
        const cairn_record_t *r =
            reads_value(write) ? cairn_write_whole(earlier) : earlier->_record;
        present->has_no_whole = r == NULL;
        present->loc = earlier->_loc;
        if (earlier->op != CAIRN_WRITE_DELETE && r != NULL)
            take_record(present, r, d->now_ms);
        return;
    }
    if (takes_anything(write, d->limits)) {
        present->is_unknown = true;
        return;
    }
    cairn_probe_t probe = {.space = d->space, .key = &write->key, .may_wait = true};
    cairn_loc_t loc;
    if (!cairn_index_find(d->index, write->key.hash, cairn_probe_match, &probe, &loc))
        return;
    present->loc = loc;
    present->segment = cairn_space_segment(d->space, loc);
    if (probe.fault != CAIRN_OK) {
        present->fault = probe.fault;
        present->current.exists = true;
    } else {
        take_record(present, cairn_space_record(d->space, loc), d->now_ms);
    }
}

bool cairn_number_parse(const void *text, size_t count, int64_t *number)
{
    const uint8_t *digits = text;
    bool negative = count != 0 && digits[0] == '-';
    size_t at = negative ? 1 : 0;
    int64_t n = 0;
    if (at == count)
        return false;
    for (; at < count; ++at) {
        if (digits[at] < '0' || digits[at] > '9' || __builtin_mul_overflow(n, 10, &n) ||
            __builtin_sub_overflow(n, digits[at] - '0', &n))
            return false;
    }
    /* summed up below zero, where there is room for one more */
    return negative ? (*number = n, true) : !__builtin_sub_overflow(0, n, number);
}

static cairn_err_t decide_incr(cairn_write_t *write, const present_t *present)
{
    int64_t number = 0;
    const cairn_record_t *r = present->record;
    if (r != NULL && !cairn_number_parse(cairn_record_value(r), r->value_bytes, &number))
        return CAIRN_ERR_NOT_A_NUMBER;
    if (__builtin_add_overflow(number, write->by, &number))
        return CAIRN_ERR_OVERFLOW;
    cairn_write_frame_number(write, r, number);
    return CAIRN_OK;
}

static cairn_err_t decide_append(cairn_write_t *write, const present_t *present,
                                 const cairn_decide_limits_t *limits)
{
    const cairn_record_t *r = present->record;
    uint64_t bytes = write->_given.count + (r != NULL ? r->value_bytes : 0);
    size_t meta_bytes = r != NULL ? r->meta_bytes : write->_given_meta.count;
    if (bytes > limits->value_bytes_max ||
        cairn_record_span(write->key.count, meta_bytes, bytes) > limits->span_max)
        return CAIRN_ERR_TOO_LARGE;
    return cairn_write_frame_append(write, r, present->segment != NULL);
}

static cairn_err_t decide_get(cairn_write_t *get, const present_t *present,
                              const cairn_space_t *space, const cairn_decide_limits_t *limits)
{
    if (!present->current.exists)
        return CAIRN_ERR_NOT_FOUND;
    /* else damage is found by who reads the value, off this thread; but it must fail its batch */
    if (limits->is_atomic && present->segment != NULL &&
        !cairn_record_body_is_valid(present->record))
        return CAIRN_ERR_DAMAGED;
    cairn_write_unfind(get);
    cairn_write_found(get, present->loc, cairn_space_segment(space, present->loc));
    return CAIRN_OK;
}

static cairn_err_t decide(cairn_write_t *write, const present_t *present,
                          const cairn_space_t *space, const cairn_decide_limits_t *limits)
{
    bool is_get = write->op == CAIRN_WRITE_GET;
    if (present->fault != CAIRN_OK && (reads_value(write) || is_get || write->conditions != NULL))
        return present->fault;
    if (write->conditions != NULL && !cairn_conditions_hold(write->conditions, &present->current))
        return CAIRN_ERR_PRECONDITION;
    if (is_get)
        return decide_get(write, present, space, limits);
    if (write->op == CAIRN_WRITE_DELETE && !present->current.exists)
        return CAIRN_ERR_NOT_FOUND;
    /* what the checksum does not hold together is not built upon */
    if (reads_value(write) && present->segment != NULL && present->record != NULL &&
        !cairn_record_body_is_valid(present->record))
        return CAIRN_ERR_DAMAGED;
    if (write->op == CAIRN_WRITE_INCR)
        return decide_incr(write, present);
    if (write->op == CAIRN_WRITE_APPEND)
        return decide_append(write, present, limits);
    return CAIRN_OK;
}

/** under a guard: the disk may fail to deliver what is touched here of the map. The index is asked
 * under a guard of its own, so its locks are never left behind. */
static void decide_guarded(void *ctx)
{
    deciding_t *d = ctx;
    cairn_write_t *write = d->write;
    present_t present;
    look_up(&present, d);
    d->decision = CAIRN_DECIDED_LATER;
    if (present.has_no_whole && !d->limits->is_atomic)
        return;
    write->existed = present.current.exists;
    write->_existed_later = present.is_unknown;
    write->version = present.current.version; /* what a failed condition answers with */
    write->err =
        present.has_no_whole ? CAIRN_ERR_NOMEM : decide(write, &present, d->space, d->limits);
    d->decision = CAIRN_DECIDED_ANSWER;
    if (write->err != CAIRN_OK || write->op == CAIRN_WRITE_GET)
        return;
    bool keeps_expiry = reads_value(write) && write->ttl_ms == 0 && present.record != NULL;
    write->_record->expiry = write->ttl_ms != 0 ? d->now_ms + write->ttl_ms
                             : keeps_expiry     ? cairn_record_expiry_ms(present.record)
                                                : 0;
    d->decision = CAIRN_DECIDED_LOG;
}

cairn_decision_t cairn_decide(cairn_write_t *write, cairn_index_t *index,
                              const cairn_space_t *space, const cairn_overlay_t *overlay,
                              const cairn_decide_limits_t *limits, uint64_t now_ms)
{
    deciding_t d = {.write = write,
                    .index = index,
                    .space = space,
                    .overlay = overlay,
                    .limits = limits,
                    .now_ms = now_ms};
    if (cairn_guard_run(decide_guarded, &d))
        return d.decision;
    write->existed = true;
    write->version = 0;
    write->err = CAIRN_ERR_IO;
    return CAIRN_DECIDED_ANSWER;
}
