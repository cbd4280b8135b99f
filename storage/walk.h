/*
 * storage/walk.h - the records of a segment one after the other, as copies.
 *
 * What is judged must not change under whoever judges it, and the disk may fail to deliver what was
 * there a moment ago. So head, key and meta are copied out of the map first.
 *
 * Threads: one that is registered with QSBR, is online and may wait for the disk; it is offline to
 * QSBR while it waits, so the segment must be pinned or otherwise stay.
 */
#ifndef CAIRN_STORAGE_WALK_H
#define CAIRN_STORAGE_WALK_H

#include "storage/segment.h"

typedef struct st_cairn_walk_t {
    cairn_segment_t *segment;
    uint64_t at;  /* where the record looked at begins */
    uint64_t end; /* of what may be looked at */
    uint64_t _brought_in;
    uint64_t _version; /* up to which a log segment has been passed; CAIRN_WALK_NO_VERSION */
    uint64_t _behind;  /* what a survey has found: where it ends */
    bool _is_lone; /* the record looked at has a place of its own: nothing behind it is wanted */
    union {        /* the record looked at: head, key and meta */
        cairn_record_t record;
        uint8_t _room[CAIRN_RECORD_HEAD_BYTES + CAIRN_KEY_BYTES_MAX + CAIRN_META_BYTES_MAX];
    };
} cairn_walk_t;

/** memory for a value, which grows as it must; zeroed, it is empty */
typedef struct st_cairn_room_t {
    void *bytes;
    size_t _capacity;
} cairn_room_t;

/** Makes sure that so many bytes fit; what was there before is gone. False: no memory. */
bool cairn_room_make(cairn_room_t *room, size_t bytes);
void cairn_room_dispose(cairn_room_t *room);

/** Begins at the record at `at`; all up to `end` has been written. */
void cairn_walk_begin(cairn_walk_t *walk, cairn_segment_t *segment, uint64_t at, uint64_t end);

/**
 * Looks at the record that the walk has come to.
 *
 * Returns OK, and walk->record is a valid head with its key and meta behind it; NOT_FOUND at the
 * end; DAMAGED; IO.
 */
cairn_err_t cairn_walk_look(cairn_walk_t *walk);

/** Goes on behind the record looked at. */
void cairn_walk_step(cairn_walk_t *walk);

#define CAIRN_WALK_NO_VERSION UINT64_MAX

/** what a survey finds where a record is damaged or cannot be read */
typedef enum en_cairn_walk_find_t {
    CAIRN_WALK_RECORD,   /* the head of a write and its key: walk->record has them */
    CAIRN_WALK_KEY,      /* the key of one: walk->record has it, and nothing else that is proven */
    CAIRN_WALK_NO_WRITE, /* that it was none */
    CAIRN_WALK_UNKNOWN   /* nothing: there may have been writes */
} cairn_walk_find_t;

/**
 * After a look that came to DAMAGED or IO: what is proven all the same of what is there.
 * `*behind` becomes the first version that can come behind it; CAIRN_WALK_NO_VERSION if that is not
 * known.
 */
cairn_walk_find_t cairn_walk_survey(cairn_walk_t *walk, uint64_t *behind);

/** Goes on behind what a survey has found. */
void cairn_walk_step_over(cairn_walk_t *walk);

/**
 * Looks at one record somewhere in the segment, whose place is known; not for one after the other:
 * no more is brought in than is needed. Errors as above, DAMAGED for a place behind the end.
 */
cairn_err_t cairn_walk_look_at(cairn_walk_t *walk, uint64_t at);

/** Copies the value of the record looked at and verifies it, bringing in as much ahead as the look
 * did. Errors: DAMAGED, IO, NOMEM. */
cairn_err_t cairn_walk_value(cairn_walk_t *walk, cairn_room_t *room);

/** The record looked at as it lies in the map, to be touched under a guard only. */
static inline const cairn_record_t *cairn_walk_in_map(const cairn_walk_t *walk)
{
    return (const cairn_record_t *)(walk->segment->map + walk->at);
}

/** Verifies key, meta, value and padding of the record looked at where they lie. Errors: DAMAGED,
 * IO. */
cairn_err_t cairn_walk_check(cairn_walk_t *walk);

#endif
