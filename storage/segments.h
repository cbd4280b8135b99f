/*
 * storage/segments.h - the live segments, in order of version.
 *
 * Threads: any; the lock is held for the walk over an array, never across I/O.
 */
#ifndef CAIRN_STORAGE_SEGMENTS_H
#define CAIRN_STORAGE_SEGMENTS_H

#include <pthread.h>

#include "storage/segment.h"

typedef struct st_cairn_segments_t {
    pthread_mutex_t mutex;
    cairn_segment_t **list; /* guarded by mutex, as is all below */
    size_t count;
    size_t room;
    uint64_t retired_bytes;   /* of files that have been replaced and not yet been removed */
    uint64_t dropped_version; /* highest of a delete or expired value that compaction dropped */
} cairn_segments_t;

void cairn_segments_init(cairn_segments_t *segments);

/** Closes every segment and frees the list. */
void cairn_segments_dispose(cairn_segments_t *segments);

/** Makes sure that the next add finds room. Errors: NOMEM. */
cairn_err_t cairn_segments_reserve(cairn_segments_t *segments);

/** Adds the newest segment; room has been reserved. */
void cairn_segments_add(cairn_segments_t *segments, cairn_segment_t *segment);

/**
 * Puts `output` in the place of the `count` neighbours that begin with `first`. Threads: upkeep.
 */
void cairn_segments_replace(cairn_segments_t *segments, const cairn_segment_t *first, size_t count,
                            cairn_segment_t *output);

/** segments that stay while somebody looks at them, in order of version */
typedef struct st_cairn_segments_pinned_t {
    cairn_segment_t **list;
    size_t count;
} cairn_segments_pinned_t;

/**
 * All there are at one moment, each pinned. Undone by cairn_segments_unpin(). Errors: NOMEM.
 * Threads: any.
 */
cairn_err_t cairn_segments_pin_all(cairn_segments_t *segments, cairn_segments_pinned_t *pinned);
void cairn_segments_unpin(cairn_segments_pinned_t *pinned);

/** Bytes of the files of all segments, and of those that have been replaced and are still there. */
uint64_t cairn_segments_bytes(cairn_segments_t *segments);
uint64_t cairn_segments_retired_bytes(cairn_segments_t *segments);
void cairn_segments_retire_bytes(cairn_segments_t *segments, int64_t more);

/** The newest, NULL if there is none. */
cairn_segment_t *cairn_segments_newest(cairn_segments_t *segments);

/**
 * The segment that has, or will have, this version, pinned; NULL if there is none. `*last` becomes
 * the last version it covers, UINT64_MAX for the newest one; `*dropped_version` what
 * cairn_segments_dropped_version() gives. Threads: any that is online to QSBR.
 */
cairn_segment_t *cairn_segments_pin_at(cairn_segments_t *segments, uint64_t version, uint64_t *last,
                                       uint64_t *dropped_version);

/**
 * Pins the sealed segments up to the first one that is not, and puts them into `list`, which has
 * room for `room`. Returns how many there are; if that is more than `room`, none is pinned. `*last`
 * becomes the last version they cover, UINT64_MAX if there is none that is not sealed. Threads: any
 * that is online to QSBR.
 */
size_t cairn_segments_pin_sealed(cairn_segments_t *segments, cairn_segment_t **list, size_t room,
                                 uint64_t *last);

/**
 * The highest version of a delete or an expired value that compaction has ever dropped, 0 if none:
 * before it, not all deletes are there any more. Raised before the segment that lacks them is in
 * the list.
 */
uint64_t cairn_segments_dropped_version(cairn_segments_t *segments);
void cairn_segments_raise_dropped_version(cairn_segments_t *segments, uint64_t version);

#endif
