/*
 * server/batch.c - many operations in one request: POST /v1/batch.
 *
 * In steps: read the body; bring in what the writer would have to wait for; have the writer decide
 * it as one; answer. A batch of plain gets goes from the first step to the last, and is read by
 * server/batch_gets.c if it looks as most do. What takes long of
 * the first, second and last is done on the I/O pool, and the request waits meanwhile.
 */
#include "server/batch.h"

#include <inttypes.h>
#include <string.h>

#include "server/batch_answer.h"
#include "server/batch_gets.h"
#include "server/conn.h"
#include "server/pending.h"
#include "server/write_request.h"

/* what an event loop does itself, in well under a millisecond */
#define QUICK_BODY_BYTES 16384
#define QUICK_ANSWER_BYTES 65536
#define QUICK_ANSWER_OPS 256
#define QUICK_DISPOSE_OPS 1024
/** an answer goes out in pieces of about this size */
#define PIECE_BYTES 262144

typedef struct st_batch_t {
    h2o_generator_t super;
    cairn_pending_job_t job;
    h2o_req_t *req;
    cairn_store_t *store;
    cairn_batch_limits_t limits;
    bool is_atomic;
    cairn_batch_ops_t ops;
    bool is_good; /* the body; else the fault says what is wrong with it */
    cairn_batch_fault_t fault;
    cairn_batch_answer_t answer;
    bool is_begun; /* the head of the answer has been sent */
    bool is_last;  /* what the answer has now is the end of it */
} batch_t;

static batch_t *batch_of(cairn_pending_job_t *job)
{
    return H2O_STRUCT_FROM_MEMBER(batch_t, job, job);
}

static void run(batch_t *batch, void (*work)(cairn_pending_job_t *),
                void (*on_worked)(cairn_pending_job_t *))
{
    batch->job.work = work;
    batch->job.on_worked = on_worked;
    cairn_pending_run(&batch->job);
}

/* ---------------------------------------------------------------- answering */

static void send_piece(batch_t *batch)
{
    h2o_iovec_t piece = h2o_iovec_init(batch->answer.text.bytes, batch->answer.text.count);
    cairn_metrics_add(&cairn_worker_of(batch->req)->metrics.value_bytes_out,
                      batch->answer.value_bytes);
    batch->answer.value_bytes = 0;
    if (!batch->is_begun) {
        batch->is_begun = true;
        if (batch->is_last)
            batch->req->res.content_length = piece.len;
        cairn_reply_start(batch->req, &batch->super);
    }
    h2o_send(batch->req, &piece, piece.len != 0,
             batch->is_last ? H2O_SEND_STATE_FINAL : H2O_SEND_STATE_IN_PROGRESS);
}

static void make_piece(cairn_pending_job_t *job)
{
    batch_t *batch = batch_of(job);
    batch->is_last = cairn_batch_answer_fill(&batch->answer, batch->store, &batch->ops, PIECE_BYTES,
                                             SIZE_MAX, true);
}

static void on_piece_made(cairn_pending_job_t *job)
{
    send_piece(batch_of(job));
}

/** the last piece is on its way */
static void on_proceed(h2o_generator_t *super, h2o_req_t *req)
{
    batch_t *batch = (batch_t *)super;
    (void)req;
    batch->answer.text.count = 0;
    run(batch, make_piece, on_piece_made);
}

static void answer(batch_t *batch)
{
    batch->super.proceed = on_proceed;
    batch->req->res.status = 200;
    batch->req->res.reason = "OK";
    h2o_add_header(&batch->req->pool, &batch->req->res.headers, H2O_TOKEN_CONTENT_TYPE, NULL,
                   H2O_STRLIT("application/x-ndjson"));
    batch->is_last = cairn_batch_answer_fill(&batch->answer, batch->store, &batch->ops,
                                             QUICK_ANSWER_BYTES, QUICK_ANSWER_OPS, false);
    if (batch->is_last)
        send_piece(batch);
    else
        run(batch, make_piece, on_piece_made);
}

/** the operation that failed an atomic batch; NULL if none did */
static const cairn_batch_op_t *find_failed(const cairn_batch_ops_t *ops)
{
    for (size_t i = 0; i < ops->count; ++i) {
        const cairn_write_t *write = ops->list[i].write;
        bool is_answer = write->op == CAIRN_WRITE_GET && write->err == CAIRN_ERR_NOT_FOUND;
        if (write->err != CAIRN_OK && write->err != CAIRN_ERR_ABORTED && !is_answer)
            return &ops->list[i];
    }
    return NULL;
}

static void reply_too_large(const batch_t *batch)
{
    cairn_reply_problem(
        batch->req, CAIRN_PROBLEM_BATCH_TOO_LARGE,
        "an atomic batch must fit into a segment, storage.segment_bytes is %" PRIu64,
        cairn_worker_of(batch->req)->server->config->storage_segment_bytes);
}

/** one line is at fault; the version that its key has comes as with one value */
static void reply_failed_line(const batch_t *batch, const cairn_batch_op_t *op)
{
    const cairn_write_t *write = op->write;
    if (write->err != CAIRN_ERR_PRECONDITION || write->version == 0) {
        cairn_reply_problem_at_line(batch->req, cairn_problem_of(write->err), op->line, "%s",
                                    cairn_strerror(write->err));
        return;
    }
    cairn_reply_add_etag(batch->req, write->version);
    cairn_reply_problem_at_line(batch->req, CAIRN_PROBLEM_PRECONDITION_FAILED, op->line,
                                "%s, which is version %" PRIu64, cairn_strerror(write->err),
                                write->version);
}

/** the writer failed one operation, and so the batch; or all alike, and then no line is at fault */
static void reply_failed(const batch_t *batch, const cairn_batch_op_t *op)
{
    const cairn_write_t *write = op->write;
    const cairn_batch_op_t *list = batch->ops.list;
    bool is_alone =
        batch->ops.count == 1 || list[op == list ? 1 : 0].write->err == CAIRN_ERR_ABORTED;
    if (!is_alone && write->err == CAIRN_ERR_TOO_LARGE)
        reply_too_large(batch);
    else if (!is_alone)
        cairn_reply_err(batch->req, write->err);
    else
        reply_failed_line(batch, op);
}

/* ---------------------------------------------------------------- deciding */

static void on_decided(h2o_req_t *req, void *ctx)
{
    batch_t *batch = ctx;
    const cairn_batch_op_t *failed = batch->is_atomic ? find_failed(&batch->ops) : NULL;
    (void)req;
    if (failed != NULL)
        reply_failed(batch, failed);
    else
        answer(batch);
}

static void decide(batch_t *batch)
{
    cairn_err_t err = cairn_pending_batch(batch->req, batch->ops.list[0].write, batch->ops.count,
                                          batch->is_atomic, on_decided, batch);
    if (err == CAIRN_ERR_TOO_LARGE)
        reply_too_large(batch);
    else if (err != CAIRN_OK)
        cairn_reply_err(batch->req, err);
}

/** whether the writer will look at the bytes that are there, not only at their head */
static bool looks_at_whole(const batch_t *batch, const cairn_write_t *write)
{
    return write->op == CAIRN_WRITE_INCR || write->op == CAIRN_WRITE_APPEND ||
           (write->op == CAIRN_WRITE_GET && batch->is_atomic);
}

static bool is_warm(const batch_t *batch)
{
    uint64_t loc;
    for (size_t i = 0; i < batch->ops.count; ++i) {
        cairn_write_t *write = batch->ops.list[i].write;
        if (cairn_store_peek_write(batch->store, write, looks_at_whole(batch, write), &loc) !=
            CAIRN_OK)
            return false;
    }
    return true;
}

static void warm(cairn_pending_job_t *job)
{
    const batch_t *batch = batch_of(job);
    for (size_t i = 0; i < batch->ops.count; ++i) {
        const cairn_write_t *write = batch->ops.list[i].write;
        cairn_store_warm(batch->store, &write->key, looks_at_whole(batch, write));
    }
}

static void on_warm(cairn_pending_job_t *job)
{
    decide(batch_of(job));
}

/* ---------------------------------------------------------------- reading the body */

static void parse(batch_t *batch)
{
    cairn_bytes_t body = {batch->req->entity.base, batch->req->entity.len};
    batch->is_good =
        (!batch->is_atomic && cairn_batch_gets_parse(body, &batch->limits, &batch->ops)) ||
        cairn_batch_parse(body, &batch->limits, &batch->ops, &batch->fault);
    batch->ops.is_decided |= batch->is_atomic;
}

/** true if the body was no good, and that has been answered */
static bool reply_fault(batch_t *batch)
{
    const cairn_batch_fault_t *fault = &batch->fault;
    if (batch->is_good)
        cairn_metrics_add(&cairn_worker_of(batch->req)->metrics.value_bytes_in,
                          batch->ops.value_bytes);
    else
        cairn_reply_problem_at_line(batch->req, fault->problem, fault->line, "%s", fault->detail);
    return !batch->is_good;
}

static void parse_and_warm(cairn_pending_job_t *job)
{
    batch_t *batch = batch_of(job);
    parse(batch);
    if (batch->is_good && batch->ops.is_decided)
        warm(job);
}

static void on_parsed(cairn_pending_job_t *job)
{
    batch_t *batch = batch_of(job);
    if (reply_fault(batch))
        return;
    if (batch->ops.is_decided && batch->ops.count != 0)
        decide(batch);
    else
        answer(batch);
}

static void begin(batch_t *batch)
{
    if (batch->req->entity.len > QUICK_BODY_BYTES) {
        run(batch, parse_and_warm, on_parsed);
        return;
    }
    parse(batch);
    if (batch->is_good && batch->ops.is_decided && !is_warm(batch)) {
        if (!reply_fault(batch))
            run(batch, warm, on_warm);
        return;
    }
    on_parsed(&batch->job);
}

/* ---------------------------------------------------------------- the request */

/** what a request leaves behind */
typedef struct st_remains_t {
    cairn_job_t super;
    cairn_batch_ops_t ops;
} remains_t;

static void bury(cairn_job_t *super)
{
    remains_t *remains = (remains_t *)super;
    cairn_batch_ops_dispose(&remains->ops);
    free(remains);
}

static void on_dispose(void *p)
{
    batch_t *batch = p;
    cairn_batch_answer_dispose(&batch->answer);
    if (batch->ops.count <= QUICK_DISPOSE_OPS) {
        cairn_batch_ops_dispose(&batch->ops);
        return;
    }
    remains_t *remains = h2o_mem_alloc(sizeof(*remains));
    *remains = (remains_t){.super.run = bury, .ops = batch->ops}; /* the job owns them now */
    cairn_store_run(batch->store, &remains->super);
}

static void post(h2o_req_t *req)
{
    cairn_write_request_t asked;
    bool is_atomic;
    if (req->entity.base == NULL) {
        cairn_reply_problem(req, CAIRN_PROBLEM_LENGTH_REQUIRED,
                            "a body is needed: send Content-Length and an operation a line");
        return;
    }
    if (!cairn_write_request_flag(req, "atomic", &is_atomic) ||
        !cairn_write_request_read(req, &asked))
        return;
    if (asked.ttl_ms != 0 || asked.conditions != NULL) {
        cairn_reply_problem(req, CAIRN_PROBLEM_BAD_REQUEST,
                            "in a batch, time to live and conditions are members of an operation");
        return;
    }
    batch_t *batch = h2o_mem_alloc_shared(&req->pool, sizeof(*batch), on_dispose);
    memset(batch, 0, offsetof(batch_t, answer));
    cairn_batch_answer_init(&batch->answer);
    batch->is_begun = batch->is_last = false;
    batch->req = batch->job.req = req;
    batch->store = cairn_pending_store(req);
    batch->is_atomic = is_atomic;
    batch->limits = (cairn_batch_limits_t){
        .ops_max = cairn_worker_of(req)->limits.batch_ops,
        .value_bytes_max = atomic_load_explicit(&cairn_worker_of(req)->server->value_bytes_max,
                                                memory_order_relaxed),
        .durability = asked.durability,
        .store = batch->store,
        .token = cairn_conn_of(req)->token};
    begin(batch);
}

bool cairn_batch_handle(h2o_req_t *req, h2o_iovec_t path)
{
    if (!h2o_memis(path.base, path.len, H2O_STRLIT("/v1/batch")))
        return false;
    cairn_conn_of(req)->op = CAIRN_OP_BATCH;
    if (h2o_memis(req->method.base, req->method.len, H2O_STRLIT("POST")))
        post(req);
    else
        cairn_reply_method_not_allowed(req, "POST");
    return true;
}
