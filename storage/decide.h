/*
 * storage/decide.h - what comes of a write, given what its key has at this moment.
 *
 * Threads: the writer alone. Deciding again, after the state has changed, starts from what the
 * client asked for and not from what was decided before.
 */
#ifndef CAIRN_STORAGE_DECIDE_H
#define CAIRN_STORAGE_DECIDE_H

#include "storage/overlay.h"

typedef enum en_cairn_decision_t {
    CAIRN_DECIDED_LOG,    /* its record is framed: log it */
    CAIRN_DECIDED_ANSWER, /* `err` says what to answer; nothing is logged */
    CAIRN_DECIDED_LATER   /* no memory to join the pieces of a value in this commit: ask in the next
                           */
} cairn_decision_t;

typedef struct st_cairn_decide_limits_t {
    uint64_t value_bytes_max; /* these two bound the result of an append */
    uint64_t span_max;
    bool is_atomic; /* it is part of an atomic batch: it cannot be put off, and damage must show now
                     */
} cairn_decide_limits_t;

/** Decides a write against the index and the commit so far, at the time `now_ms`. */
cairn_decision_t cairn_decide(cairn_write_t *write, cairn_index_t *index,
                              const cairn_space_t *space, const cairn_overlay_t *overlay,
                              const cairn_decide_limits_t *limits, uint64_t now_ms);

#endif
