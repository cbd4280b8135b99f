/*
 * storage/writer_queue.c - how writes come to the writer, and how they go back.
 */
#include <string.h>

#include "storage/write.h"
#include "storage/writer_internal.h"

/* ---------------------------------------------------------------- coming: any thread */

/** counts what is about to be queued; false if that is too much */
static bool reserve_queue(cairn_writer_t *w, uint64_t ops, uint64_t bytes)
{
    uint64_t ops_before =
        atomic_fetch_add_explicit(&w->counters.queued_ops, ops, memory_order_relaxed);
    uint64_t bytes_before =
        atomic_fetch_add_explicit(&w->counters.queued_bytes, bytes, memory_order_relaxed);
    /* alone it may be larger than the queue: else it could never pass */
    if ((ops_before == 0 ||
         ops_before + ops <= atomic_load_explicit(&w->queue_ops_max, memory_order_relaxed)) &&
        (bytes_before == 0 ||
         bytes_before + bytes <= atomic_load_explicit(&w->queue_bytes_max, memory_order_relaxed)))
        return true;
    atomic_fetch_sub_explicit(&w->counters.queued_ops, ops, memory_order_relaxed);
    atomic_fetch_sub_explicit(&w->counters.queued_bytes, bytes, memory_order_relaxed);
    return false;
}

static void prepare(cairn_write_t *write)
{
    write->_queued_bytes = write->_span;
    write->_logged = write->_superseded = write->_more = false;
    write->_same_key = NULL;
    write->_batch_count = write->_atomic_count = 1;
}

static void push(cairn_writer_t *w, cairn_write_t *write)
{
    cds_wfcq_node_init(&write->_node);
    /* release: pairs with the acquire in cairn_writer_take() */
    atomic_store_explicit(&write->_submitted, true, memory_order_release);
    cds_wfcq_enqueue(&w->queue_head, &w->queue_tail, &write->_node);
}

cairn_err_t cairn_writer_enqueue(cairn_writer_t *w, cairn_write_t *write)
{
    if (cairn_health_has_failed(w->health))
        return CAIRN_ERR_FAILED;
    if (write->_span > cairn_writer_span_max(w))
        return CAIRN_ERR_TOO_LARGE;
    if (!reserve_queue(w, 1, write->_span))
        return CAIRN_ERR_QUEUE_FULL;
    prepare(write);
    push(w, write);
    return CAIRN_OK;
}

cairn_err_t cairn_writer_enqueue_batch(cairn_writer_t *w, cairn_write_t *first, bool is_atomic)
{
    uint64_t bytes = 0, log_bytes = 0;
    uint32_t count = 0;
    cairn_write_t *last_record = NULL;
    if (cairn_health_has_failed(w->health))
        return CAIRN_ERR_FAILED;
    for (cairn_write_t *write = first; write != NULL; write = write->next) {
        ++count;
        bytes += write->_span;
        if (write->op != CAIRN_WRITE_GET)
            log_bytes += write->_span;
        if ((is_atomic ? log_bytes : write->_span) > cairn_writer_span_max(w))
            return CAIRN_ERR_TOO_LARGE;
    }
    assert(count != 0 && count <= CAIRN_BATCH_OPS_MAX);
    if (!reserve_queue(w, count, bytes))
        return CAIRN_ERR_QUEUE_FULL;
    for (cairn_write_t *write = first; write != NULL; write = write->next) {
        prepare(write);
        write->_more = is_atomic;
        if (write->op != CAIRN_WRITE_GET)
            last_record = write;
    }
    /* every operation but a get leaves a record, or the batch leaves none */
    if (last_record != NULL)
        last_record->_more = false;
    first->_batch_count = count;
    first->_atomic_count = is_atomic ? count : 1;
    push(w, first);
    return CAIRN_OK;
}

void cairn_writer_wake(cairn_writer_t *w)
{
    cairn_bell_ring(&w->bell);
}

/* ---------------------------------------------------------------- coming: the writer */

void cairn_writer_take(cairn_writer_t *w)
{
    w->batch_count = 0;
    while (w->batch_count < CAIRN_COMMIT_RECORDS_MAX) {
        struct cds_wfcq_node *node = __cds_wfcq_dequeue_blocking(&w->queue_head, &w->queue_tail);
        if (node == NULL)
            break;
        cairn_write_t *write = (cairn_write_t *)((char *)node - offsetof(cairn_write_t, _node));
        /* acquire: pairs with the release in enqueue; the queue orders the same, but a race
         * detector cannot see into it */
        bool submitted = atomic_load_explicit(&write->_submitted, memory_order_acquire);
        assert(submitted);
        (void)submitted;
        for (uint32_t left = write->_batch_count; left != 0; --left, write = write->next)
            w->batch[w->batch_count++] = write;
    }
}

/* ---------------------------------------------------------------- going back */

void cairn_writer_settle(cairn_writer_t *w, size_t at)
{
    cairn_write_t *write = w->batch[at];
    cairn_sink_t *sink = write->sink;
    w->batch[at] = NULL;
    ++w->answered_ops;
    w->answered_bytes += write->_queued_bytes;
    cairn_write_unframe(write);
    write->next = NULL;
    if (sink->_first == NULL) {
        sink->_last = &sink->_first;
        sink->_next_touched = w->touched;
        w->touched = sink;
    }
    *sink->_last = write;
    sink->_last = &write->next;
}

void cairn_writer_answer(cairn_writer_t *w)
{
    /* once for all of them: the submitters' side of these counters is busy enough */
    atomic_fetch_sub_explicit(&w->counters.queued_ops, w->answered_ops, memory_order_relaxed);
    atomic_fetch_sub_explicit(&w->counters.queued_bytes, w->answered_bytes, memory_order_relaxed);
    w->answered_ops = w->answered_bytes = 0;
    while (w->touched != NULL) {
        cairn_sink_t *sink = w->touched;
        cairn_write_t *list = sink->_first;
        w->touched = sink->_next_touched;
        sink->_first = NULL;
        sink->on_done(sink, list);
    }
}

void cairn_writer_settle_all(cairn_writer_t *w, size_t from, size_t to, cairn_err_t err)
{
    for (size_t i = from; i < to; ++i)
        if (w->batch[i] != NULL) {
            if (w->batch[i]->err == CAIRN_OK)
                w->batch[i]->err = err;
            cairn_writer_settle(w, i);
        }
    cairn_writer_answer(w);
}

void cairn_writer_settle_failed(cairn_writer_t *w, size_t from, size_t to, cairn_err_t err)
{
    for (size_t i = from; i < to; ++i)
        if (w->batch[i] != NULL)
            w->batch[i]->err = err;
    cairn_writer_settle_all(w, from, to, err);
}
