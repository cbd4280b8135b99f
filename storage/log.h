/*
 * storage/log.h - append and make durable: the narrow door to the tail of the log.
 *
 * One commit is: cairn_log_begin(), cairn_log_add() for each record, cairn_log_write() (a
 * pwritev, or a few), cairn_log_sync() (one fdatasync), cairn_log_publish(). The outcomes are those
 * a log on another medium would have too: OK, full, failed.
 *
 * Knows versions, bytes and the active segment; knows neither keys nor conditions nor the index.
 * Threads: the writer alone (recovery before it starts).
 */
#ifndef CAIRN_STORAGE_LOG_H
#define CAIRN_STORAGE_LOG_H

#include <sys/uio.h>

#include "storage/segment.h"
#include "storage/store.h"

/* A commit is closed when it reaches any of these; what waits goes into the next. */
#define CAIRN_COMMIT_RECORDS_MAX CAIRN_BATCH_OPS_MAX
/** heads and small values are copied into one piece as long as there is room, else they go out from
 * where they lie */
#define CAIRN_COMMIT_BUFFER_BYTES ((size_t)4 << 20)
#define CAIRN_COMMIT_BYTES_MAX ((uint64_t)16 << 20) /* all; one record may be more */
/** head, middle, tail and padding of each record, and what comes before them */
#define CAIRN_COMMIT_IOVS_MAX (4 * CAIRN_COMMIT_RECORDS_MAX + 8)
/** what a commit costs beside its records, at most */
#define CAIRN_COMMIT_OVERHEAD_BYTES (CAIRN_LINK_SPAN + CAIRN_MARK_SPAN)

typedef struct st_cairn_log_t {
    cairn_segment_t *active; /* NULL until the first roll */
    uint64_t end;            /* of what has been written to it */
    uint64_t last_version;   /* given out and written */
    uint64_t durable_version;
    cairn_chain_t chain;        /* after all that has been written */
    uint64_t unsynced_since_ns; /* monotonic; 0 when everything written is durable */
    bool marked;                /* nothing has been logged that no MARK speaks of as durable */
    bool in_memory;             /* nothing to sync */
    cairn_link_t link;          /* of the active segment; written with its first commit */

    /* the commit under construction */
    uint64_t commit_end;   /* where its next record will lie */
    uint64_t commit_start; /* of its MARK */
    uint64_t commit_version;
    uint32_t commit_records;
    uint8_t *buffer;
    size_t buffer_used;
    struct iovec *iovs;
    int iov_count;
    cairn_record_t *mark; /* its place in the buffer */
    cairn_segment_counts_t counts_before;
    cairn_chain_t chain_before;
} cairn_log_t;

/** how far a commit had come */
typedef struct st_cairn_log_point_t {
    uint64_t commit_end;
    uint64_t commit_version;
    uint32_t commit_records;
    size_t buffer_used;
    int iov_count;
    struct iovec last_iov; /* it may have grown since */
    cairn_segment_counts_t counts;
    cairn_chain_t chain;
} cairn_log_point_t;

/** Takes the memory for commits. Errors: NOMEM. */
cairn_err_t cairn_log_init(cairn_log_t *log);
void cairn_log_dispose(cairn_log_t *log);

/** Continues at the published end of `active`, as recovery left it; NULL: the first roll opens one.
 */
void cairn_log_resume(cairn_log_t *log, cairn_segment_t *active, uint64_t last_version,
                      const cairn_chain_t *chain);

/**
 * Goes on in `spare`: its LINK is written with the next commit. Everything written to the segment
 * before is durable (the caller has synced). `previous` is what it links back to, NULL if none.
 */
void cairn_log_roll(cairn_log_t *log, cairn_segment_t *spare, const cairn_segment_t *previous);

/** Whether a new commit with `span` bytes of records fits the active segment. */
bool cairn_log_segment_takes(const cairn_log_t *log, uint64_t span);

/** Begins a commit in the active segment, which takes at least an empty one. */
void cairn_log_begin(cairn_log_t *log, uint64_t now_ms);

/** Whether a record of `span` bytes fits the active segment behind the commit so far. */
bool cairn_log_segment_fits(const cairn_log_t *log, uint64_t span);

/** Whether the commit so far is still short enough to take this record too. */
bool cairn_log_commit_takes(const cairn_log_t *log, const cairn_write_t *write);

/**
 * Adds a record: gives it its version and location. It fits the segment; and the commit takes it,
 * unless it belongs to an atomic batch, of which a commit of its own takes all.
 */
void cairn_log_add(cairn_log_t *log, cairn_write_t *write, uint64_t now_ms);

/** Notes how far the commit has come, and takes back what has been added since. */
void cairn_log_save(const cairn_log_t *log, cairn_log_point_t *point);
void cairn_log_cut(cairn_log_t *log, const cairn_log_point_t *point);

/** Takes back a commit that nothing has been added to. */
void cairn_log_cancel(cairn_log_t *log);

/**
 * Writes the commit. Errors: DISK_FULL (nothing of it is in the file; the log may go on), FAILED
 * (some of it may be; the log must not go on).
 */
cairn_err_t cairn_log_write(cairn_log_t *log, uint64_t now_ms);

/** Makes everything written durable. Errors: FAILED, after which the log must not go on. */
cairn_err_t cairn_log_sync(cairn_log_t *log);

/**
 * A sync that began at `since_ns`, when the log was at this version and end in the active segment,
 * has succeeded elsewhere. What has been written after is not durable yet.
 */
void cairn_log_synced(cairn_log_t *log, uint64_t version, uint64_t end, uint64_t since_ns);

/** Lets readers see up to the end of what has been written. */
void cairn_log_publish(cairn_log_t *log);

#endif
