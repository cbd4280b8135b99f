/*
 * storage/upkeep.h - the thread for work that takes long: key tables, checkpoints, compaction.
 *
 * Jobs stand in order of urgency. Each does one bounded piece of its work when there is any; after
 * a piece the thread begins again with the first, so nothing urgent waits for long. What a roll
 * needs at once is not here but with maintenance (storage/maintenance.h), which never waits for
 * this.
 */
#ifndef CAIRN_STORAGE_UPKEEP_H
#define CAIRN_STORAGE_UPKEEP_H

#include <stdbool.h>
#include <stdint.h>

typedef struct st_cairn_upkeep_t cairn_upkeep_t;

/**
 * Does a piece of work if there is any; returns whether there was. Runs on the upkeep thread, which
 * is registered with QSBR and online; announces quiescent states itself if it takes long, and
 * returns soon once cairn_upkeep_is_stopping().
 */
typedef bool (*cairn_upkeep_job_cb)(void *ctx, cairn_upkeep_t *upkeep);

/** Makes it, without a thread and without jobs. NULL when there is no memory. */
cairn_upkeep_t *cairn_upkeep_create(void);

/** Adds a job behind those there are; before it is started. */
void cairn_upkeep_add(cairn_upkeep_t *upkeep, cairn_upkeep_job_cb job, void *ctx);

/** Starts the thread. False when there is none to be had. */
bool cairn_upkeep_start(cairn_upkeep_t *upkeep);

/** Asks the jobs to end and waits for the thread, if there is one. It may still be woken after. */
void cairn_upkeep_stop(cairn_upkeep_t *upkeep);

/** Frees it; nobody wakes it any more. It is not running. */
void cairn_upkeep_destroy(cairn_upkeep_t *upkeep);

/** There may be work. Threads: any. */
void cairn_upkeep_wake(cairn_upkeep_t *upkeep);

/**
 * Runs all jobs on the calling thread, which is registered with QSBR, until none has work. Only
 * where the thread was not started: tests want to say when.
 */
void cairn_upkeep_run(cairn_upkeep_t *upkeep);

/** Whether a job should return. Threads: that of the jobs. */
bool cairn_upkeep_is_stopping(cairn_upkeep_t *upkeep);

/** Rests between two pieces, offline to QSBR; false once it is stopping. Threads: as above. */
bool cairn_upkeep_rest(cairn_upkeep_t *upkeep, uint64_t ms);

#endif
