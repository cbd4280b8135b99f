/*
 * storage/position.h - how far the index has come in the log: where a replay onto it may begin.
 *
 * The writer says so after each commit, recovery before the first; whoever writes the index down
 * takes the latest. Everything up to `version` is in the index by then, durable or not.
 */
#ifndef CAIRN_STORAGE_POSITION_H
#define CAIRN_STORAGE_POSITION_H

#include <pthread.h>

#include "storage/segment.h"

typedef struct st_cairn_position_t {
    uint64_t first_version; /* of the segment it lies in; 0: the log is empty */
    uint64_t salt;          /* of that segment */
    uint64_t end;           /* a commit ends here */
    uint64_t mark_at;       /* that commit's MARK; 0: not known, and the segment is sealed here */
    uint64_t version;       /* of the last record before `end` */
    cairn_chain_t chain;    /* after it */
    cairn_segment_counts_t counts; /* of the segment up to `end` */
} cairn_position_t;

typedef struct st_cairn_position_cell_t {
    pthread_mutex_t mutex;     /* a leaf */
    cairn_position_t position; /* guarded by mutex, as is all below */
    uint64_t log_bytes;        /* that have come into the log since the checkpoint at the start */
} cairn_position_cell_t;

static inline void cairn_position_init(cairn_position_cell_t *cell)
{
    *cell = (cairn_position_cell_t){.log_bytes = 0};
    pthread_mutex_init(&cell->mutex, NULL);
}

static inline void cairn_position_dispose(cairn_position_cell_t *cell)
{
    pthread_mutex_destroy(&cell->mutex);
}

/** The index has come to here. Threads: the writer. */
static inline void cairn_position_set(cairn_position_cell_t *cell, const cairn_position_t *position)
{
    pthread_mutex_lock(&cell->mutex);
    bool is_further_on = cell->position.salt == position->salt;
    cell->log_bytes += position->end - (is_further_on ? cell->position.end : 0);
    cell->position = *position;
    pthread_mutex_unlock(&cell->mutex);
}

/** As recovery leaves it; so many bytes of log no checkpoint spares. Threads: recovery. */
static inline void cairn_position_begin(cairn_position_cell_t *cell,
                                        const cairn_position_t *position, uint64_t log_bytes)
{
    pthread_mutex_lock(&cell->mutex);
    cell->log_bytes = log_bytes;
    cell->position = *position;
    pthread_mutex_unlock(&cell->mutex);
}

/** Threads: any. */
static inline cairn_position_t cairn_position_get(cairn_position_cell_t *cell, uint64_t *log_bytes)
{
    pthread_mutex_lock(&cell->mutex);
    cairn_position_t position = cell->position;
    *log_bytes = cell->log_bytes;
    pthread_mutex_unlock(&cell->mutex);
    return position;
}

#endif
