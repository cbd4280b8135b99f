/*
 * storage/reclaimer.h - the thread that the index needs beside it: makes pages before growth asks
 * for them, and frees what growth has left behind once no reader can see it any more.
 *
 * It waits for readers, which maintenance must not: a spare segment may be wanted meanwhile.
 */
#ifndef CAIRN_STORAGE_RECLAIMER_H
#define CAIRN_STORAGE_RECLAIMER_H

#include "index/index.h"

typedef struct st_cairn_reclaimer_t cairn_reclaimer_t;

/** Starts the thread. NULL when there is no memory or thread. */
cairn_reclaimer_t *cairn_reclaimer_start(cairn_index_t *index);

/** Ends the thread. Readers that are still registered go on announcing quiescent states meanwhile.
 */
void cairn_reclaimer_stop(cairn_reclaimer_t *reclaimer);

#endif
