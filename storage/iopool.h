/*
 * storage/iopool.h - a few threads for what may wait for the disk.
 */
#ifndef CAIRN_STORAGE_IOPOOL_H
#define CAIRN_STORAGE_IOPOOL_H

#include "storage/types.h"

typedef struct st_cairn_iopool_t cairn_iopool_t;

/** something to do; the submitter's memory, free to reuse once `run` has been entered */
typedef struct st_cairn_job_t cairn_job_t;
struct st_cairn_job_t {
    void (*run)(cairn_job_t *job);
    bool is_reader; /* it reads the store: it runs as a thread that is online to QSBR */
    cairn_job_t *_next;
};

/** Starts the threads. NULL when there is no memory or no thread to be had. */
cairn_iopool_t *cairn_iopool_start(unsigned threads);

/** Runs what is queued, then ends the threads and frees the pool. */
void cairn_iopool_stop(cairn_iopool_t *pool);

/** Queues a job; first in, first out. Threads: any. */
void cairn_iopool_submit(cairn_iopool_t *pool, cairn_job_t *job);

#endif
