/*
 * storage/log.c - append and make durable.
 *
 * A commit is laid out in one buffer: its MARK, then head, key and meta of each record, small
 * values copied behind them, large ones spliced in by an iovec of their own. What is left when the
 * buffer is full is spliced too. The MARK speaks of the whole commit, so it is filled in last.
 */
#include "storage/log.h"

#include <errno.h>
#include <string.h>

#include "storage/os.h"

/** iovecs that the kernel takes in one call */
#define CALL_IOVS_MAX 1024

/* of a record's `written` */
#define TYPE_MASK ((uint64_t)0xff << 48)
#define MORE_BIT ((uint64_t)CAIRN_RECORD_MORE << 56)

static const uint8_t zeroes[CAIRN_RECORD_ALIGN];

cairn_err_t cairn_log_init(cairn_log_t *log)
{
    memset(log, 0, sizeof(*log));
    log->buffer = cairn_os->alloc(CAIRN_COMMIT_BUFFER_BYTES);
    log->iovs = cairn_os->alloc(CAIRN_COMMIT_IOVS_MAX * sizeof(*log->iovs));
    if (log->buffer != NULL && log->iovs != NULL)
        return CAIRN_OK;
    cairn_log_dispose(log);
    return CAIRN_ERR_NOMEM;
}

void cairn_log_dispose(cairn_log_t *log)
{
    cairn_os->free(log->buffer);
    cairn_os->free(log->iovs);
    memset(log, 0, sizeof(*log));
}

void cairn_log_resume(cairn_log_t *log, cairn_segment_t *active, uint64_t last_version,
                      const cairn_chain_t *chain)
{
    log->active = active;
    log->end = active != NULL ? atomic_load_explicit(&active->end, memory_order_relaxed) : 0;
    log->last_version = log->durable_version = last_version;
    log->chain = *chain;
    log->marked = true;
}

/** puts bytes at the end of the buffer, as a part of the last iovec where they adjoin it */
static uint8_t *buffer_take(cairn_log_t *log, size_t bytes)
{
    assert(bytes <= CAIRN_COMMIT_BUFFER_BYTES - log->buffer_used);
    uint8_t *at = log->buffer + log->buffer_used;
    size_t count = log->iov_count;
    if (count != 0 && (uint8_t *)log->iovs[count - 1].iov_base + log->iovs[count - 1].iov_len == at)
        log->iovs[count - 1].iov_len += bytes;
    else
        log->iovs[log->iov_count++] = (struct iovec){.iov_base = at, .iov_len = bytes};
    log->buffer_used += bytes;
    log->commit_end += bytes;
    return at;
}

void cairn_log_roll(cairn_log_t *log, cairn_segment_t *spare, const cairn_segment_t *previous)
{
    assert(log->unsynced_since_ns == 0);
    memset(&log->link, 0, sizeof(log->link));
    log->link.chain = log->chain;
    if (previous != NULL) {
        log->link.previous_first = previous->first_version;
        log->link.previous_end = atomic_load_explicit(&previous->end, memory_order_relaxed);
        log->link.previous_salt = previous->salt;
    }
    spare->first_version = log->last_version + 1;
    spare->counts.last_version = log->last_version;
    spare->counts.chain = log->chain;
    log->active = spare;
    log->end = CAIRN_SEGMENT_HEADER_BYTES;
}

static uint64_t commit_overhead(const cairn_log_t *log)
{
    return log->end == CAIRN_SEGMENT_HEADER_BYTES ? CAIRN_LINK_SPAN + CAIRN_MARK_SPAN
                                                  : CAIRN_MARK_SPAN;
}

bool cairn_log_segment_takes(const cairn_log_t *log, uint64_t span)
{
    return log->active != NULL &&
           log->end + commit_overhead(log) + span <= cairn_segment_capacity(log->active);
}

void cairn_log_begin(cairn_log_t *log, uint64_t now_ms)
{
    assert(cairn_log_segment_takes(log, 0));
    log->counts_before = log->active->counts;
    log->chain_before = log->chain;
    log->commit_end = log->end;
    log->commit_version = log->last_version;
    log->commit_records = 0;
    log->buffer_used = 0;
    log->iov_count = 0;
    if (log->end == CAIRN_SEGMENT_HEADER_BYTES) {
        cairn_record_t *r = (cairn_record_t *)buffer_take(log, CAIRN_LINK_SPAN);
        cairn_record_write_link(r, &log->link, log->last_version, now_ms, log->active->salt,
                                log->end);
        cairn_segment_count(log->active, r);
    }
    log->commit_start = log->commit_end;
    log->mark = (cairn_record_t *)buffer_take(log, CAIRN_MARK_SPAN);
}

bool cairn_log_segment_fits(const cairn_log_t *log, uint64_t span)
{
    return log->commit_end + span <= cairn_segment_capacity(log->active);
}

bool cairn_log_commit_takes(const cairn_log_t *log, const cairn_write_t *write)
{
    if (log->commit_records == 0)
        return true;
    return log->commit_records < CAIRN_COMMIT_RECORDS_MAX &&
           log->commit_end - log->commit_start + write->_span <= CAIRN_COMMIT_BYTES_MAX;
}

/** bytes that go out from where they lie */
static void splice(cairn_log_t *log, const void *base, size_t bytes)
{
    if (bytes == 0)
        return;
    assert(log->iov_count < CAIRN_COMMIT_IOVS_MAX);
    log->iovs[log->iov_count++] = (struct iovec){.iov_base = (void *)base, .iov_len = bytes};
    log->commit_end += bytes;
}

/** bytes that go out from the buffer, or from where they lie when it is full */
static void put(cairn_log_t *log, const void *base, size_t bytes)
{
    if (bytes > CAIRN_COMMIT_BUFFER_BYTES - log->buffer_used)
        splice(log, base, bytes);
    else if (bytes != 0)
        memcpy(buffer_take(log, bytes), base, bytes);
}

void cairn_log_add(cairn_log_t *log, cairn_write_t *write, uint64_t now_ms)
{
    cairn_record_t *r = write->_record;
    uint64_t offset = log->commit_end;
    r->version = ++log->commit_version;
    /* afresh: it may have been added before, to a commit it was taken back from */
    r->written =
        (r->written & TYPE_MASK) | (write->_more ? MORE_BIT : 0) | (now_ms & CAIRN_MS48_MAX);
    r->head_sum = cairn_record_head_sum(r, log->active->salt, offset);
    log->chain = cairn_chain_next(&log->chain, r);
    ++log->commit_records;

    put(log, r, write->_head_bytes);
    splice(log, write->_middle, write->_middle_bytes);
    splice(log, write->_tail, write->_tail_bytes);
    size_t pad = write->_span - write->_head_bytes - write->_middle_bytes - write->_tail_bytes;
    put(log, zeroes, pad);
    assert(log->commit_end == offset + write->_span);

    cairn_segment_count(log->active, r);
    write->version = r->version;
    write->_loc = cairn_segment_loc(log->active, offset);
    write->_logged = true;
}

void cairn_log_save(const cairn_log_t *log, cairn_log_point_t *point)
{
    *point = (cairn_log_point_t){.commit_end = log->commit_end,
                                 .commit_version = log->commit_version,
                                 .commit_records = log->commit_records,
                                 .buffer_used = log->buffer_used,
                                 .iov_count = log->iov_count,
                                 .last_iov = log->iovs[log->iov_count - 1],
                                 .counts = log->active->counts,
                                 .chain = log->chain};
}

void cairn_log_cut(cairn_log_t *log, const cairn_log_point_t *point)
{
    log->commit_end = point->commit_end;
    log->commit_version = point->commit_version;
    log->commit_records = point->commit_records;
    log->buffer_used = point->buffer_used;
    log->iov_count = point->iov_count;
    log->iovs[log->iov_count - 1] = point->last_iov;
    log->active->counts = point->counts;
    log->chain = point->chain;
}

void cairn_log_cancel(cairn_log_t *log)
{
    assert(log->commit_records == 0);
    log->active->counts = log->counts_before;
    log->chain = log->chain_before;
}

static void fill_mark(cairn_log_t *log, uint64_t now_ms)
{
    cairn_mark_t mark = {
        .durable_version = log->durable_version,
        .chain = log->chain,
        .commit_records = log->commit_records,
        .commit_bytes = (uint32_t)(log->commit_end - log->commit_start - CAIRN_MARK_SPAN),
    };
    cairn_record_write_mark(log->mark, &mark, log->last_version, now_ms, log->active->salt,
                            log->commit_start);
    log->active->counts.chain = log->chain;
}

/** drops what has been written from the front of the iovecs */
static void advance(struct iovec **iovs, int *count, size_t written)
{
    while (*count != 0 && written >= (*iovs)->iov_len) {
        written -= (*iovs)->iov_len;
        ++*iovs;
        --*count;
    }
    if (written != 0) {
        (*iovs)->iov_base = (uint8_t *)(*iovs)->iov_base + written;
        (*iovs)->iov_len -= written;
    }
}

cairn_err_t cairn_log_write(cairn_log_t *log, uint64_t now_ms)
{
    fill_mark(log, now_ms);
    struct iovec *iovs = log->iovs;
    int count = log->iov_count;
    uint64_t at = log->end;
    cairn_err_t err = CAIRN_OK;
    while (count != 0 && err == CAIRN_OK) {
        int n_iovs = count < CALL_IOVS_MAX ? count : CALL_IOVS_MAX;
        int64_t n = cairn_os->pwritev(log->active->fd, iovs, n_iovs, at);
        if (n > 0) {
            advance(&iovs, &count, (size_t)n);
            at += (uint64_t)n;
        } else {
            /* a commit that is partly in the file must not be overwritten by a shorter one: what
             * is left of it would be read as the commit's continuation */
            bool untouched = at == log->end && (n == -ENOSPC || n == -EDQUOT);
            err = untouched ? CAIRN_ERR_DISK_FULL : CAIRN_ERR_FAILED;
        }
    }
    if (err != CAIRN_OK) {
        log->active->counts = log->counts_before;
        log->chain = log->chain_before;
        return err;
    }
    assert(at == log->commit_end);
    log->end = at;
    log->last_version = log->commit_version;
    log->marked = log->commit_records == 0;
    if (log->unsynced_since_ns == 0)
        log->unsynced_since_ns = cairn_os->monotonic_ns();
    return CAIRN_OK;
}

cairn_err_t cairn_log_sync(cairn_log_t *log)
{
    if (!log->in_memory && cairn_os->sync(log->active->fd) < 0)
        return CAIRN_ERR_FAILED;
    log->durable_version = log->last_version;
    log->unsynced_since_ns = 0;
    return CAIRN_OK;
}

void cairn_log_synced(cairn_log_t *log, uint64_t version, uint64_t end, uint64_t since_ns)
{
    assert(end <= log->end);
    log->durable_version = version;
    log->unsynced_since_ns = end == log->end ? 0 : since_ns;
}

void cairn_log_publish(cairn_log_t *log)
{
    /* release: pairs with the acquire of those who walk the segment */
    atomic_store_explicit(&log->active->end, log->end, memory_order_release);
}
