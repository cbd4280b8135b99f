/*
 * tests/worker_cost.h - what requests cost the event loop that answers them.
 *
 * Time on a processor is counted, not time that passes: what the clock shows depends on who else is
 * using the machine. The server has one worker.
 */
#ifndef CAIRN_TESTS_WORKER_COST_H
#define CAIRN_TESTS_WORKER_COST_H

#include "tests/site.h"

#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
#define WORKER_COST_MEANS_NOTHING true /* what a sanitizer adds is not the server's */
#else
#define WORKER_COST_MEANS_NOTHING false
#endif

/** a request for worker_cost_of() */
typedef struct st_costed_t {
    const char *method, *target;
    const void *body; /* NULL for none */
    size_t body_bytes;
    int status;
} costed_t;

typedef struct st_worker_cost_t {
    int64_t worker_ns;
    int64_t all_ns; /* of all threads of the process */
} worker_cost_t;

/** The id of the thread that answers: the one that many small requests keep busy. */
int worker_cost_find(http_conn_t *conn, pid_t pid);

/** The least that a request has cost in several runs: others on the machine make it dearer. */
worker_cost_t worker_cost_of(http_conn_t *conn, pid_t pid, int worker, const costed_t *request);

#endif
