/*
 * server/pending.c - requests that wait.
 */
#include "server/pending.h"

#include <string.h>

#include "server/conn.h"
#include "server/pipeline.h"
#include "server/reply.h"

/** what a write leads back to; in the request's pool */
typedef struct st_waiting_t {
    h2o_req_t *req;
    cairn_pending_answer_cb on_written;
    cairn_pending_batch_cb on_batch; /* or, for a batch, this */
    void *ctx;
    size_t remaining; /* of the batch */
} waiting_t;

typedef struct st_load_t {
    cairn_load_t super;
    h2o_multithread_message_t message;
    h2o_req_t *req;
    cairn_key_t key;
    cairn_pending_resume_cb on_loaded; /* a read that goes on */
    cairn_write_t *write;              /* or a write that may be queued now */
} load_t;

cairn_store_t *cairn_pending_store(const h2o_req_t *req)
{
    /* acquire: pairs with main's release when the store is open */
    return atomic_load_explicit(&cairn_worker_of(req)->server->store, memory_order_acquire);
}

/* ---------------------------------------------------------------- loads */

/** on a thread of the I/O pool */
static void on_load_done(cairn_load_t *super)
{
    load_t *load = (load_t *)super;
    h2o_multithread_send_message(&cairn_worker_of(load->req)->loads, &load->message);
}

static load_t *new_load(h2o_req_t *req, const cairn_key_t *key, uint64_t loc)
{
    load_t *load = h2o_mem_alloc(sizeof(*load));
    cairn_pipeline_flush(cairn_conn_of(req));
    *load = (load_t){.super = {.loc = loc, .on_done = on_load_done}, .req = req, .key = *key};
    return load;
}

void cairn_pending_load(h2o_req_t *req, const cairn_key_t *key, uint64_t loc,
                        cairn_pending_resume_cb on_loaded)
{
    load_t *load = new_load(req, key, loc);
    load->on_loaded = on_loaded;
    cairn_store_load(cairn_pending_store(req), &load->super);
}

/* ---------------------------------------------------------------- writes */

void cairn_pending_init(cairn_worker_t *worker)
{
    worker->unqueued_tail = &worker->unqueued;
}

void cairn_pending_write(h2o_req_t *req, cairn_write_t *write, cairn_pending_answer_cb on_written)
{
    if (write == NULL) {
        cairn_reply_err(req, CAIRN_ERR_NOMEM);
        return;
    }
    cairn_worker_t *worker = cairn_worker_of(req);
    waiting_t *waiting = h2o_mem_alloc_pool(&req->pool, sizeof(*waiting));
    *waiting = (waiting_t){.req = req, .on_written = on_written};
    write->ctx = waiting;
    write->sink = &worker->sink;
    *worker->unqueued_tail = write;
    worker->unqueued_tail = &write->next;
    ++worker->write_count;
    cairn_conn_park(cairn_conn_of(req));
}

static h2o_req_t *req_of(const cairn_write_t *write)
{
    return ((const waiting_t *)write->ctx)->req;
}

/** false if the queue has not taken it; then it has its error, else it is the writer's */
static bool enqueue(cairn_store_t *store, cairn_write_t *write)
{
    cairn_err_t err = cairn_store_enqueue(store, write);
    if (err != CAIRN_OK)
        write->err = err;
    return err == CAIRN_OK;
}

/** answers what the queue has not taken */
static void refuse(void *ctx)
{
    cairn_write_t *write = ctx;
    h2o_req_t *req = req_of(write);
    cairn_err_t err = write->err;
    cairn_write_destroy(write);
    cairn_conn_unpark(cairn_conn_of(req));
    cairn_reply_err(req, err);
}

/** has what the writer will look at brought in, if it is not in memory; queues the write else */
static void submit(cairn_store_t *store, cairn_write_t *write)
{
    bool builds_upon_it = write->op == CAIRN_WRITE_INCR || write->op == CAIRN_WRITE_APPEND;
    uint64_t loc;
    if (write->op != CAIRN_WRITE_SYNC &&
        cairn_store_peek_write(store, write, builds_upon_it, &loc) == CAIRN_ERR_COLD) {
        load_t *load = new_load(req_of(write), &write->key, loc);
        load->write = write;
        cairn_store_load(store, &load->super);
    } else if (!enqueue(store, write)) {
        /* its answer is for the loop to finish, whose next turn must not wait: as if more came */
        ++cairn_worker_of(req_of(write))->write_count;
        cairn_pipeline_resume(cairn_conn_of(req_of(write)), refuse, write);
    }
}

void cairn_pending_submit(cairn_worker_t *worker)
{
    /* acquire: pairs with main's release when the store is open */
    cairn_store_t *store = atomic_load_explicit(&worker->server->store, memory_order_acquire);
    cairn_write_t *first = worker->unqueued;
    worker->write_count = 0;
    worker->unqueued = NULL; /* answering a refused one may bring the next one of its connection */
    worker->unqueued_tail = &worker->unqueued;
    cairn_store_prefetch(store, first);
    for (cairn_write_t *write = first, *next; write != NULL; write = next) {
        next = write->next;
        write->next = NULL;
        submit(store, write);
    }
    cairn_store_wake(store);
}

cairn_err_t cairn_pending_batch(h2o_req_t *req, cairn_write_t *first, size_t count, bool is_atomic,
                                cairn_pending_batch_cb on_batch, void *ctx)
{
    cairn_worker_t *worker = cairn_worker_of(req);
    waiting_t *waiting = h2o_mem_alloc_pool(&req->pool, sizeof(*waiting));
    *waiting = (waiting_t){.req = req, .on_batch = on_batch, .ctx = ctx, .remaining = count};
    for (cairn_write_t *write = first; write != NULL; write = write->next) {
        write->ctx = waiting;
        write->sink = &worker->sink;
    }
    cairn_err_t err = cairn_store_enqueue_batch(cairn_pending_store(req), first, is_atomic);
    if (err == CAIRN_OK) {
        ++worker->write_count;
        cairn_conn_park(cairn_conn_of(req));
    }
    return err;
}

/* ---------------------------------------------------------------- jobs */

/** on a thread of the I/O pool */
static void run_job(cairn_job_t *super)
{
    cairn_pending_job_t *job = H2O_STRUCT_FROM_MEMBER(cairn_pending_job_t, super, super);
    job->work(job);
    h2o_multithread_send_message(&cairn_worker_of(job->req)->jobs, &job->message);
}

void cairn_pending_run(cairn_pending_job_t *job)
{
    cairn_pipeline_flush(cairn_conn_of(job->req));
    job->super = (cairn_job_t){.run = run_job};
    memset(&job->message, 0, sizeof(job->message));
    cairn_store_run(cairn_pending_store(job->req), &job->super);
}

/* ---------------------------------------------------------------- messages */

typedef struct st_done_message_t {
    h2o_multithread_message_t super;
    cairn_write_t *list;
} done_message_t;

void cairn_pending_on_done(cairn_sink_t *sink, cairn_write_t *list)
{
    cairn_worker_t *worker = H2O_STRUCT_FROM_MEMBER(cairn_worker_t, sink, sink);
    done_message_t *message = h2o_mem_alloc(sizeof(*message));
    *message = (done_message_t){.list = list};
    h2o_multithread_send_message(&worker->writes, &message->super);
}

static void answer_write(void *ctx)
{
    cairn_write_t *write = ctx;
    waiting_t *waiting = write->ctx;
    waiting->on_written(waiting->req, write);
    cairn_write_destroy(write);
}

static void answer_batch(void *ctx)
{
    waiting_t *waiting = ctx;
    waiting->on_batch(waiting->req, waiting->ctx);
}

static void answer(cairn_write_t *write)
{
    waiting_t *waiting = write->ctx;
    cairn_conn_t *conn = cairn_conn_of(waiting->req);
    bool is_batch = waiting->on_batch != NULL;
    if (is_batch && --waiting->remaining != 0)
        return;
    cairn_conn_unpark(conn);
    if (is_batch)
        cairn_pipeline_resume(conn, answer_batch, waiting);
    else
        cairn_pipeline_resume(conn, answer_write, write);
}

void cairn_pending_on_writes(h2o_multithread_receiver_t *receiver, h2o_linklist_t *messages)
{
    (void)receiver;
    while (!h2o_linklist_is_empty(messages)) {
        done_message_t *message =
            H2O_STRUCT_FROM_MEMBER(done_message_t, super.link, messages->next);
        h2o_linklist_unlink(&message->super.link);
        for (cairn_write_t *write = message->list, *next; write != NULL; write = next) {
            next = write->next;
            answer(write);
        }
        free(message);
    }
}

/**
 * A read needs what was loaded to be whole. A write goes on with what is damaged or cannot be read:
 * it may be the very one that puts something whole in its place, and the writer decides.
 */
static void answer_load(load_t *load)
{
    cairn_err_t err = load->super.err;
    if (load->write != NULL && err == CAIRN_ERR_NOMEM) {
        load->write->err = err;
        refuse(load->write);
    } else if (load->write != NULL) {
        ++cairn_worker_of(load->req)->write_count;
        if (!enqueue(cairn_pending_store(load->req), load->write))
            refuse(load->write);
    } else if (err != CAIRN_OK) {
        cairn_reply_err(load->req, err);
    } else {
        load->on_loaded(load->req, &load->key, load->super.loc);
    }
}

void cairn_pending_on_loads(h2o_multithread_receiver_t *receiver, h2o_linklist_t *messages)
{
    (void)receiver;
    while (!h2o_linklist_is_empty(messages)) {
        load_t *load = H2O_STRUCT_FROM_MEMBER(load_t, message.link, messages->next);
        h2o_linklist_unlink(&load->message.link);
        answer_load(load);
        free(load);
    }
}

void cairn_pending_on_jobs(h2o_multithread_receiver_t *receiver, h2o_linklist_t *messages)
{
    (void)receiver;
    while (!h2o_linklist_is_empty(messages)) {
        cairn_pending_job_t *job =
            H2O_STRUCT_FROM_MEMBER(cairn_pending_job_t, message.link, messages->next);
        h2o_linklist_unlink(&job->message.link);
        job->on_worked(job);
    }
}
