/*
 * server/watchdog.h - what one client may not do to the others.
 *
 * Reading so slowly that the answer holds its segment for hours: who takes less than
 * limits.read_rate of an answer on average is cut off. Filling the memory with bodies: libh2o keeps
 * a body whole before anyone can look at the request, so when those that are arriving come to more
 * than limits.body_bytes together, the largest are refused with 503.
 *
 * A look at all connections of a worker, twice a second. Threads: the worker.
 */
#ifndef CAIRN_SERVER_WATCHDOG_H
#define CAIRN_SERVER_WATCHDOG_H

#include "server/worker.h"

/** Begins to look, on the worker's own loop. */
void cairn_watchdog_start(cairn_worker_t *worker);

#endif
