/*
 * server/pending.h - requests that wait: for the writer, or for a record to come from the disk.
 *
 * A request of HTTP/1, the only protocol spoken here, does not die before it is answered: libh2o
 * neither reads from its connection nor times it out. So what waits points to its request, and a
 * write borrows the body in place.
 */
#ifndef CAIRN_SERVER_PENDING_H
#define CAIRN_SERVER_PENDING_H

#include "server/worker.h"

/** The store, NULL while it is loading; requests for values are routed only once it is open. */
cairn_store_t *cairn_pending_store(const h2o_req_t *req);

/** goes on with a request whose record has been brought in and verified, and lies at `loaded` */
typedef void (*cairn_pending_resume_cb)(h2o_req_t *req, const cairn_key_t *key, uint64_t loaded);

/** Brings the record at `loc` in, then calls `on_loaded`, or answers that it cannot be read. */
void cairn_pending_load(h2o_req_t *req, const cairn_key_t *key, uint64_t loc,
                        cairn_pending_resume_cb on_loaded);

/** answers a request whose write has been decided */
typedef void (*cairn_pending_answer_cb)(h2o_req_t *req, const cairn_write_t *write);

/**
 * Has a write done for the request, which `on_written` answers: it is queued when the worker's
 * turns are over, see cairn_pending_submit(). A write that cannot be queued is answered by itself.
 *
 * Owner: takes `write`, and NULL for one there was no memory for.
 */
void cairn_pending_write(h2o_req_t *req, cairn_write_t *write, cairn_pending_answer_cb on_written);

/** called on the worker when every operation of a batch has been decided */
typedef void (*cairn_pending_batch_cb)(h2o_req_t *req, void *ctx);

/**
 * Queues operations linked by `next` as one, `count` of them. They stay the caller's; until
 * on_batch is called, which it is unless this fails, the writer works on them.
 */
cairn_err_t cairn_pending_batch(h2o_req_t *req, cairn_write_t *first, size_t count, bool is_atomic,
                                cairn_pending_batch_cb on_batch, void *ctx);

/** Makes a worker ready for writes. */
void cairn_pending_init(cairn_worker_t *worker);

/**
 * Queues the writes that have come in the last turns and wakes the writer. Together, since each key
 * has its place anywhere in memory: what will be looked at sets out at once for all of them. What
 * is not in memory is brought in first, so that the writer need not wait for the disk.
 */
void cairn_pending_submit(cairn_worker_t *worker);

/** work for a request that would hold up the event loop; the caller's memory */
typedef struct st_cairn_pending_job_t cairn_pending_job_t;
struct st_cairn_pending_job_t {
    cairn_job_t super;
    void (*work)(cairn_pending_job_t *job);      /* on a thread of the I/O pool, as a reader */
    void (*on_worked)(cairn_pending_job_t *job); /* then on the worker */
    h2o_req_t *req;
    h2o_multithread_message_t message;
};

/** Has `job`, of which work, on_worked and req are set, done; the request waits meanwhile. */
void cairn_pending_run(cairn_pending_job_t *job);

/** What a worker does with writes that come back, with loads, and with jobs. */
void cairn_pending_on_writes(h2o_multithread_receiver_t *receiver, h2o_linklist_t *messages);
void cairn_pending_on_loads(h2o_multithread_receiver_t *receiver, h2o_linklist_t *messages);
void cairn_pending_on_jobs(h2o_multithread_receiver_t *receiver, h2o_linklist_t *messages);

/** The on_done of a worker's sink; runs on the writer thread. */
void cairn_pending_on_done(cairn_sink_t *sink, cairn_write_t *list);

#endif
