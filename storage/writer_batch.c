/*
 * storage/writer_batch.c - deciding a batch that happens whole or not at all.
 *
 * Its operations are decided one after the other, each added to the commit and the overlay so that
 * the next one sees it. When one fails, or has no room, both are cut back to where they were:
 * nothing of the batch has left the writer by then. In the log its records follow each other in one
 * commit, all but the last with MORE, and recovery takes them together or not at all.
 */
#include "storage/writer_internal.h"

#include "storage/write.h"

/** takes `count` decided operations back, the last one first */
static void take_back(cairn_writer_t *w, size_t from, size_t count)
{
    for (size_t i = from + count; i-- > from;) {
        cairn_write_t *write = w->batch[i];
        if (write->_logged)
            cairn_overlay_undo(&w->overlay, write);
        write->_logged = false;
        cairn_write_unframe(write);
        cairn_write_unfind(write);
    }
}

/** one of them has failed: it has its error, the others are told so */
static void abort_batch(cairn_writer_t *w, size_t from, size_t failed, cairn_err_t err)
{
    size_t count = w->batch[from]->_atomic_count;
    for (size_t i = from; i < from + count; ++i)
        w->batch[i]->err = i == failed ? err : CAIRN_ERR_ABORTED;
}

/** all operations of a batch are too many together: each of them says so */
static void refuse_batch(cairn_writer_t *w, size_t from, cairn_err_t err)
{
    size_t count = w->batch[from]->_atomic_count;
    for (size_t i = from; i < from + count; ++i)
        w->batch[i]->err = err;
}

/**
 * One operation of an atomic batch, into a commit that `is_shared` with writes before the batch.
 * With ADMITTED, its err says whether it has failed.
 */
static admission_t admit_part(cairn_writer_t *w, cairn_write_t *write, bool is_shared,
                              uint64_t now_ms)
{
    if (cairn_writer_decide(w, write, true, now_ms) != CAIRN_DECIDED_LOG)
        return ADMITTED;
    if (!cairn_log_segment_fits(&w->log, write->_span + cairn_writer_reserve(w, write)))
        return SEGMENT_FULL;
    if (is_shared && !cairn_log_commit_takes(&w->log, write))
        return COMMIT_FULL;
    cairn_log_add(&w->log, write, now_ms);
    cairn_overlay_add(&w->overlay, write);
    return ADMITTED;
}

/** a get that finds nothing has been answered; everything else that fails, fails its batch */
static bool has_failed(const cairn_write_t *write)
{
    return write->err != CAIRN_OK &&
           !(write->op == CAIRN_WRITE_GET && write->err == CAIRN_ERR_NOT_FOUND);
}

/** whether the batch has the segment to itself: no other one will have more room for it */
static bool is_first_in_segment(const cairn_writer_t *w, bool is_shared)
{
    return !is_shared && w->log.end == CAIRN_SEGMENT_HEADER_BYTES;
}

/** decides the whole of a batch, or takes back what of it has been decided */
static admission_t admit_parts(cairn_writer_t *w, size_t from, bool is_shared, uint64_t now_ms)
{
    size_t count = w->batch[from]->_atomic_count;
    cairn_log_point_t before;
    cairn_log_save(&w->log, &before);
    for (size_t i = from; i < from + count; ++i) {
        cairn_write_t *write = w->batch[i];
        admission_t admission = admit_part(w, write, is_shared, now_ms);
        if (admission == ADMITTED && !has_failed(write))
            continue;
        cairn_err_t err = write->err;
        /* a version that the batch itself would have made is none that anybody may hear of */
        if (write->version > before.commit_version)
            write->version = 0;
        take_back(w, from, i - from + 1);
        cairn_log_cut(&w->log, &before);
        if (admission == SEGMENT_FULL && is_first_in_segment(w, is_shared)) {
            /* or it is smaller than others, for want of room */
            bool is_reserved = cairn_writer_reserve(w, write) != 0 ||
                               w->log.active->bytes_made < w->options.segment_bytes;
            refuse_batch(w, from, is_reserved ? CAIRN_ERR_DISK_FULL : CAIRN_ERR_TOO_LARGE);
            return ADMITTED;
        }
        if (admission == ADMITTED)
            abort_batch(w, from, i, err);
        return admission;
    }
    return ADMITTED;
}

static bool writes_something(const cairn_writer_t *w, size_t from)
{
    for (size_t i = from; i < from + w->batch[from]->_atomic_count; ++i)
        if (w->batch[i]->op != CAIRN_WRITE_GET)
            return true;
    return false;
}

/** a batch of gets: it needs no commit */
static void decide_gets(cairn_writer_t *w, size_t from, uint64_t now_ms)
{
    for (size_t i = from; i < from + w->batch[from]->_atomic_count; ++i) {
        cairn_writer_decide(w, w->batch[i], true, now_ms);
        if (has_failed(w->batch[i])) {
            cairn_err_t err = w->batch[i]->err;
            take_back(w, from, i - from + 1);
            abort_batch(w, from, i, err);
            return;
        }
    }
}

admission_t cairn_writer_admit_batch(cairn_writer_t *w, size_t from, bool *is_open, uint64_t now_ms)
{
    bool was_open = *is_open;
    if (!writes_something(w, from)) {
        decide_gets(w, from, now_ms);
        return ADMITTED;
    }
    if (!was_open) {
        if (!cairn_log_segment_takes(&w->log, 0))
            return SEGMENT_FULL;
        cairn_log_begin(&w->log, now_ms);
    }
    admission_t admission = admit_parts(w, from, was_open, now_ms);
    *is_open = was_open || w->log.commit_records != 0;
    if (!*is_open)
        cairn_log_cancel(&w->log);
    return admission;
}
