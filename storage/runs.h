/*
 * storage/runs.h - the keys of segments that have no key table yet, sorted when a listing asks.
 *
 * The tail of the log changes too fast for a table. A listing sorts what has come since the last
 * one into a new run, and puts runs together as they pile up; what is sorted is kept for the next
 * listing, four bytes a record, until the segment has its table. Of records that are damaged, what
 * is proven of them is kept beside (storage/runs_damage.c).
 *
 * Threads: any; the lock is held for a walk over a short list, never across I/O or sorting.
 */
#ifndef CAIRN_STORAGE_RUNS_H
#define CAIRN_STORAGE_RUNS_H

#include <pthread.h>

#include "storage/keysort.h"
#include "storage/segments.h"

/** each is at least twice as long as the next: more do not come about */
#define CAIRN_RUNS_MAX 40

/** places of records in the order of their keys, of each key the last one; does not change */
typedef struct st_cairn_run_t {
    _Atomic uint32_t references;
    size_t count;
    cairn_place_t places[];
} cairn_run_t;

/** a key of which a write is damaged: what it has is to be looked up */
typedef struct st_cairn_wound_t {
    struct st_cairn_wound_t *next; /* in the order of keys */
    size_t key_bytes;
    uint8_t key[];
} cairn_wound_t;

/** what is damaged among the records of a segment; does not change */
typedef struct st_cairn_wounds_t {
    _Atomic uint32_t references;
    cairn_err_t left_out; /* OK; DAMAGED, IO: there may have been writes whose keys nobody knows */
    cairn_wound_t *first;
} cairn_wounds_t;

/** all records of a segment from its start up to an offset */
typedef struct st_cairn_runs_t {
    uint64_t salt; /* of the segment */
    uint64_t end;
    cairn_wounds_t *wounds; /* NULL: nothing is damaged */
    size_t count;
    cairn_run_t *list[CAIRN_RUNS_MAX];
} cairn_runs_t;

/** those of all segments; part of the store */
typedef struct st_cairn_runs_kept_t {
    pthread_mutex_t mutex;
    cairn_runs_t *list; /* guarded by mutex, as is all below */
    size_t count;
    size_t room;
} cairn_runs_kept_t;

void cairn_runs_init(cairn_runs_kept_t *kept);
void cairn_runs_dispose(cairn_runs_kept_t *kept);

/**
 * The runs of a segment up to where it has been written, made as far as they are not there.
 * `*sorted` becomes how many records had to be sorted for it.
 *
 * Owner: released by cairn_runs_release(). The segment is pinned; the thread may wait for the disk
 * and is online to QSBR. Errors: IO, NOMEM. What is damaged is in runs->wounds.
 */
cairn_err_t cairn_runs_get(cairn_runs_kept_t *kept, cairn_segment_t *segment, cairn_runs_t *runs,
                           size_t *sorted);
void cairn_runs_release(cairn_runs_t *runs);

/** Lets go of what is kept for a segment: a record in it has been damaged since, or what could not
 * be read may be read now. */
void cairn_runs_forget(cairn_runs_kept_t *kept, uint64_t salt);

/** Lets go of what is kept for segments that are not among these, or have a table. */
void cairn_runs_keep_only(cairn_runs_kept_t *kept, const cairn_segments_pinned_t *pinned);

/* ---------------------------------------------------------------- runs_damage.c */

struct st_cairn_walk_t;

/**
 * A look of the walk has come to `err`, DAMAGED or IO: notes what is proven of what it stands at
 * among `*wounds`, which are the caller's alone, or NULL, and goes on behind it. Errors: NOMEM.
 */
cairn_err_t cairn_wounds_add(cairn_wounds_t **wounds, struct st_cairn_walk_t *walk,
                             cairn_err_t err);

/** A copy that more can be added to; of NULL it is NULL. False: no memory. */
bool cairn_wounds_copy(cairn_wounds_t **to, const cairn_wounds_t *from);
void cairn_wounds_release(cairn_wounds_t *wounds);

#endif
