/*
 * storage/store.h - the door of storage: open a store, read a key, queue a write.
 *
 * A write, from the outside: cairn_write_create() frames it, cairn_store_submit() queues it, the
 * writer decides, logs and syncs it together with whatever else is waiting, and `on_done` of its
 * sink hands it back, decided. A read: cairn_store_get() finds the value in the map; if it is not
 * in memory (COLD), cairn_store_load() brings it in on the I/O pool and `on_done` says when.
 *
 * Threads: those that call get, load or submit are registered by cairn_thread_register() and
 * announce a quiescent state between requests; a value got is theirs until then, or for as long as
 * it is pinned.
 */
#ifndef CAIRN_STORAGE_STORE_H
#define CAIRN_STORAGE_STORE_H

#include <stdatomic.h>

#include <urcu/wfcqueue.h>

#include "storage/conditions.h"
#include "storage/damage.h"
#include "storage/iopool.h"
#include "storage/meta.h"
#include "storage/types.h"

typedef struct st_cairn_store_t cairn_store_t;

typedef enum en_cairn_durability_t {
    CAIRN_SYNC, /* answered after it is on disk */
    CAIRN_ASYNC /* answered after it is in the log; on disk within sync_interval_ms */
} cairn_durability_t;

typedef struct st_cairn_store_options_t {
    const char *path; /* the data directory; NULL for memory only */
    uint64_t segment_bytes;
    uint64_t value_bytes_max; /* what an append may grow a value to */
    uint64_t sync_interval_ms;
    uint64_t scrub_rate;       /* bytes a second that are verified in the background; 0: none */
    uint64_t checkpoint_bytes; /* log after which the index is written down; 0: never */
    uint64_t queue_ops_max;    /* writes that may wait at once */
    uint64_t queue_bytes_max;  /* and the bytes of their records */
    unsigned io_threads;
    /* that segments may take together, on disk or in memory; 0: as many as there are. At least four
     * times segment_bytes */
    uint64_t max_bytes;
    bool salvage;                    /* what is damaged is made to open, storage/salvage.h */
    bool accept_loss;                /* what is lost by now makes the store degraded no more */
    bool no_compaction;              /* nothing is rewritten, however much of it is dead */
    uint64_t tombstone_retention_ms; /* compaction keeps deletes so long, for feeds */
    bool upkeep_by_hand;             /* no upkeep thread: cairn_store_upkeep() does its work */
    /* called by cairn_store_open() now and then while it replays; false stops it; may be NULL */
    bool (*on_progress)(void *ctx, uint64_t bytes_done, uint64_t bytes_total);
    /* a line for the log, from any thread of storage; may be NULL */
    void (*on_log)(void *ctx, cairn_log_level_t level, const char *line);
    void *ctx;
} cairn_store_options_t;

/**
 * Opens a store, making it if it is not there, and replays it: every acknowledged write is in the
 * index when this returns OK. Starts the writer, maintenance and the I/O pool.
 *
 * The calling thread must not be registered; it is for the duration.
 * Errors: LOCKED, CORRUPT, IO, DISK_FULL, NOMEM, NO_FILES, CANCELLED (by on_progress); `errmsg`
 * (CAIRN_ERRMSG_BYTES) says what, where and what to do.
 */
cairn_err_t cairn_store_open(cairn_store_t **store, const cairn_store_options_t *options,
                             char *errmsg);

/**
 * Finishes what is queued, syncs, stops the threads and frees. Every thread has unregistered, every
 * pin is released and nobody submits any more. Returns whether all that was acknowledged is on
 * disk.
 */
cairn_err_t cairn_store_close(cairn_store_t *store);

/**
 * Changes options.value_bytes_max for the writes decided from now on. Values that are there stay.
 * It must leave room for the record in a segment. Threads: any.
 */
void cairn_store_set_value_bytes_max(cairn_store_t *store, uint64_t bytes);

/**
 * Changes options.queue_ops_max and queue_bytes_max for the writes that come from now on. Those in
 * the queue stay, also where there are more of them. Threads: any.
 */
void cairn_store_set_queue_max(cairn_store_t *store, uint64_t ops, uint64_t bytes);

/**
 * Does what upkeep there is to do, on the calling thread, which is registered. Only with
 * options.upkeep_by_hand, for those that want to say when: tests, and what works offline.
 */
void cairn_store_upkeep(cairn_store_t *store);

/**
 * Has every segment sealed so far rewritten in which there is anything to free, in the background,
 * as room and other writes allow. Threads: any.
 */
void cairn_store_compact(cairn_store_t *store);

/** Registers and unregisters the calling thread as one that reads or submits. */
void cairn_thread_register(void);
void cairn_thread_unregister(void);

/** The calling thread holds nothing it got from the store except what it pinned. */
void cairn_thread_quiescent(void);

/** A key as this store hashes it. Threads: any. */
cairn_key_t cairn_store_key(const cairn_store_t *store, const void *bytes, size_t count);

/* ---------------------------------------------------------------- reading */

/**
 * A value where it lies in the map. `bytes` and what `meta` points to are not touched as they are:
 * the disk may fail to deliver a page of them, which would end the process. They are copied with
 * the functions below, or given to a system call, which says EFAULT.
 */
typedef struct st_cairn_value_t {
    const uint8_t *bytes;
    size_t count;
    cairn_bytes_t meta; /* a copy of it is read with cairn_meta_next() */
    uint64_t version;
    uint64_t written_ms;
    uint64_t expiry_ms; /* 0: never */
    uint64_t loc;       /* names this very record; what a load brings in */
    struct st_cairn_segment_t *_segment;
} cairn_value_t;

/**
 * Finds the value of a key and makes sure that what it gives is what was put.
 *
 * `loaded` is the location a load has just brought in and verified, else 0. Does no I/O, unless the
 * kernel took a page away in the instant since it was seen in memory.
 *
 * Returns OK (the value stays until the thread's next quiescent state, longer if pinned);
 * NOT_FOUND; COLD (`value->loc` is to be loaded, by this thread, before its next quiescent state);
 * DAMAGED.
 */
cairn_err_t cairn_store_get(cairn_store_t *store, const cairn_key_t *key, uint64_t loaded,
                            cairn_value_t *value);

/**
 * Whether a write of this key would have to wait for the disk to see what is there now: its head,
 * or `whole` for a write that builds upon the value.
 *
 * Returns OK, or COLD with `*loc` to load before submitting.
 */
cairn_err_t cairn_store_peek(cairn_store_t *store, const cairn_key_t *key, bool whole,
                             uint64_t *loc);

/** The time that expiry is measured by: the wall clock, which never runs backwards here. Any
 * thread.
 */
uint64_t cairn_store_now_ms(const cairn_store_t *store);

/** Copies `count` bytes of a value, or all of its meta; false if the disk cannot read them. */
bool cairn_value_copy(const cairn_value_t *value, size_t from, void *to, size_t count);
bool cairn_value_copy_meta(const cairn_value_t *value, void *to);

/** Keeps a value got beyond the quiescent state; undone by cairn_value_unpin(), on any thread. */
void cairn_value_pin(const cairn_value_t *value);
void cairn_value_unpin(const cairn_value_t *value);

/** a record to be brought in; the caller's memory until on_done has been called */
typedef struct st_cairn_load_t cairn_load_t;
struct st_cairn_load_t {
    uint64_t loc;                        /* from a COLD answer */
    void (*on_done)(cairn_load_t *load); /* on a thread of the I/O pool */
    cairn_err_t err;                     /* out: OK, DAMAGED, IO */
    cairn_load_t *_next;
    cairn_store_t *_store;
    struct st_cairn_segment_t *_segment;
};

/** Queues a load. Threads: the one that got COLD, before its next quiescent state. */
void cairn_store_load(cairn_store_t *store, cairn_load_t *load);

/* ---------------------------------------------------------------- writing */

typedef enum en_cairn_write_op_t {
    CAIRN_WRITE_PUT,
    CAIRN_WRITE_DELETE,
    CAIRN_WRITE_INCR,   /* adds to a decimal number; a missing one counts as 0 */
    CAIRN_WRITE_APPEND, /* adds bytes at the end; to a missing value as PUT */
    CAIRN_WRITE_SYNC,   /* writes nothing: done once everything up to a version is on disk */
    CAIRN_WRITE_ROLL, /* writes nothing: all before it is on disk, in segments that are done with */
    CAIRN_WRITE_GET   /* writes nothing: finds the value as the writes before it leave it */
} cairn_write_op_t;

typedef struct st_cairn_write_t cairn_write_t;
typedef struct st_cairn_sink_t cairn_sink_t;

/** where finished writes go: one for each thread that submits; outlives what it submitted */
struct st_cairn_sink_t {
    /* takes a list of finished writes, linked by `next`, in the order they were decided; runs on
     * the writer thread, once a commit, and must not block */
    void (*on_done)(cairn_sink_t *sink, cairn_write_t *list);
    /* the writer's */
    cairn_write_t *_first;
    cairn_write_t **_last;
    cairn_sink_t *_next_touched;
};

/** a record that its submitter saw to be the key's */
typedef struct st_cairn_seen_t {
    uint64_t loc;  /* 0: none was seen */
    uint64_t salt; /* of its segment: another one may have come to lie there */
    uint64_t bytes;
    uint64_t expiry_ms;
    bool is_lost; /* it only says that there was a value */
} cairn_seen_t;

struct st_cairn_write_t {
    cairn_write_op_t op;
    cairn_durability_t durability;
    cairn_key_t key;
    cairn_sink_t *sink;
    void *ctx;                            /* the submitter's */
    const cairn_conditions_t *conditions; /* NULL: none. Borrowed until on_done */
    uint64_t ttl_ms;                      /* 0: none; incr and append then keep the one there is */
    int64_t by;                           /* incr */

    /* out: OK; NOT_FOUND (delete), PRECONDITION, NOT_A_NUMBER, OVERFLOW, TOO_LARGE (append),
     * DAMAGED (what it would build upon); ABORTED (another of its atomic batch failed);
     * DISK_FULL, FAILED, UNKNOWN, NOMEM */
    cairn_err_t err;
    bool existed;     /* out: there was a value before this */
    uint64_t version; /* out: of this write; of the present value if a condition failed (0: none).
                       * In for SYNC: up to which */
    int64_t number;   /* out: of incr */
    cairn_write_t *next; /* in: in a batch; out: in the list handed to on_done */

    /* the writer's */
    struct cds_wfcq_node _node; /* of a batch only the first is in the queue */
    _Atomic bool
        _submitted; /* release in submit, acquire in the writer: carries all of the above */
    cairn_seen_t _seen;
    bool _existed_later;   /* `existed` is not decided but found when it is applied */
    bool _logged;          /* it has a record in this commit */
    bool _superseded;      /* a later async write of this commit is already in the index */
    bool _more;            /* the next record belongs to the same atomic batch */
    uint32_t _batch_count; /* operations queued as one; 1 for a single one */
    uint32_t
        _atomic_count; /* operations, this one first, that are applied together or not at all */
    cairn_write_t *_same_key; /* the write of the same key before this one in the commit */
    uint64_t _loc;
    uint64_t _span;
    uint64_t _queued_bytes;
    struct st_cairn_record_t *_record; /* its head and what follows it in the same buffer */
    size_t _head_bytes;
    const void *_middle; /* a large value that is appended to */
    size_t _middle_bytes;
    void *_middle_copy; /* it, where it was in the map */
    const void *_tail;  /* a value too large to copy: borrowed from the submitter */
    size_t _tail_bytes;
    struct st_cairn_record_t *_whole;        /* a copy in one piece, for those that build upon it */
    struct st_cairn_segment_t *_got_segment; /* pinned: what a get has found is in it, at _loc */
    cairn_bytes_t _given;                    /* by the submitter, to put or to append */
    cairn_bytes_t _given_meta;               /* for a value that incr or append makes */
};

/** Reads a whole text as the decimal number that incr knows: -17, of 64 bits; false if it is none.
 */
bool cairn_number_parse(const void *text, size_t count, int64_t *number);

/** values up to this size are copied by cairn_write_create(), larger ones are borrowed */
#define CAIRN_WRITE_COPY_BYTES 4096

/**
 * Makes a write. `value` above CAIRN_WRITE_COPY_BYTES, and that of an append in any case, is
 * borrowed until the write has come back through the sink. The caller sets sink, ctx and what it
 * asks for.
 *
 * Owner: freed by cairn_write_destroy() before submit or after on_done. NULL when out of memory.
 */
cairn_write_t *cairn_write_create(cairn_write_op_t op, const cairn_key_t *key, cairn_bytes_t meta,
                                  cairn_bytes_t value);
cairn_write_t *cairn_write_create_sync(uint64_t version);
cairn_write_t *cairn_write_create_roll(void); /* not for batches */
void cairn_write_destroy(cairn_write_t *write);

/** Writes, linked by `next`, are about to be peeked at: what that will look at sets out from
 * memory. A hint. Threads: any reader. */
void cairn_store_prefetch(cairn_store_t *store, const cairn_write_t *first);

/**
 * As cairn_store_peek() for the key of a write that is about to be queued: leaves in it what was
 * seen, and if that is still so when the writer comes to it, the writer need not look again.
 */
cairn_err_t cairn_store_peek_write(cairn_store_t *store, cairn_write_t *write, bool whole,
                                   uint64_t *loc);

/**
 * Queues a write. On OK it is the writer's until on_done; on any other result still the caller's.
 *
 * Errors: QUEUE_FULL, TOO_LARGE (the record would not fit a segment), FAILED (read-only since a
 * failed sync).
 */
cairn_err_t cairn_store_submit(cairn_store_t *store, cairn_write_t *write);

/**
 * The two halves of submit, for a thread that has many writes at hand: enqueue each, then wake
 * once. The writer may take them earlier; without the wake it may take them never.
 */
cairn_err_t cairn_store_enqueue(cairn_store_t *store, cairn_write_t *write);
void cairn_store_wake(cairn_store_t *store);

/* ---------------------------------------------------------------- many at once */

/** operations that may be queued as one; an atomic batch is always one commit */
#define CAIRN_BATCH_OPS_MAX 16384

/**
 * Queues operations linked by `next`, 1 to CAIRN_BATCH_OPS_MAX of them, to be decided one after the
 * other with nothing between them, and as far as a commit goes in one commit. Each comes back
 * through its sink.
 *
 * `is_atomic`: one log commit, all or nothing, in a crash too. If one fails none is applied: it has
 * its error, the others have ABORTED. A get that finds nothing has not failed. They have one
 * durability. TOO_LARGE on all of them: together they do not fit a segment.
 *
 * Errors: as cairn_store_enqueue(); then all of them are still the caller's. To be followed by
 * cairn_store_wake().
 */
cairn_err_t cairn_store_enqueue_batch(cairn_store_t *store, cairn_write_t *first, bool is_atomic);

/**
 * The value that a get has found, once it has come back with OK; it stays until the get is
 * destroyed. `may_wait` for the disk: on a thread of the I/O pool only.
 *
 * Returns OK; COLD unless it may wait; DAMAGED, IO.
 */
cairn_err_t cairn_write_value(cairn_store_t *store, const cairn_write_t *get, bool may_wait,
                              cairn_value_t *value);

/** keys that cairn_store_get_batch() takes at once */
#define CAIRN_GET_BATCH_MAX 64

/** As cairn_store_get() for `count` keys; errs[i] is what it would return for keys[i]. */
void cairn_store_get_batch(cairn_store_t *store, size_t count, const cairn_key_t *keys,
                           cairn_value_t *values, cairn_err_t *errs);

/**
 * Runs a job on the I/O pool, on a thread that is registered and counts as a worker does: what it
 * got is its own until it announces a quiescent state, and at its end.
 */
void cairn_store_run(cairn_store_t *store, cairn_job_t *job);

/**
 * As cairn_store_get(), bringing in what is not in memory; this is a quiescent state.
 * Threads: inside a job of cairn_store_run().
 */
cairn_err_t cairn_store_get_waiting(cairn_store_t *store, const cairn_key_t *key,
                                    cairn_value_t *value);

/**
 * Brings in what cairn_store_peek() would look at; this is a quiescent state. Damage is for the
 * writer to find. Threads: inside a job of cairn_store_run().
 */
void cairn_store_warm(cairn_store_t *store, const cairn_key_t *key, bool whole);

/* ---------------------------------------------------------------- looking */

/** buckets are powers of two of microseconds: bucket i counts what took less than 2^i us */
#define CAIRN_HISTOGRAM_BUCKETS 24

/** what compaction has done since the start */
typedef struct st_cairn_compaction_stats_t {
    uint64_t runs;
    uint64_t bytes_read;      /* of the files that were rewritten */
    uint64_t bytes_written;   /* of those that took their place */
    uint64_t retired_bytes;   /* of files that somebody still reads, or a checkpoint needs */
    uint64_t dropped_version; /* a feed that begins before this may miss a delete; 0: none */
    uint64_t failures;
    bool is_running;
    bool is_asked; /* cairn_store_compact() has been called, and not all of it is done */
} cairn_compaction_stats_t;

typedef struct st_cairn_store_stats_t {
    uint64_t keys;
    uint64_t index_bytes;
    uint64_t index_slots;
    uint64_t index_finds;  /* sampled */
    uint64_t index_probes; /* cache lines that those looked at */
    uint64_t last_version;
    uint64_t durable_version;
    uint64_t segments;
    uint64_t disk_bytes; /* of the segments' records */
    uint64_t dead_bytes; /* of them, no longer pointed to */
    uint64_t queued_ops;
    uint64_t queued_bytes;
    uint64_t commits;
    uint64_t commit_records;
    uint64_t commit_bytes;
    uint64_t sync_ns_sum;
    uint64_t syncs[CAIRN_HISTOGRAM_BUCKETS];
    uint64_t loads;          /* cold records brought in */
    uint64_t scrubbed_bytes; /* verified in the background */
    uint64_t scrub_passes;   /* over all sealed segments */
    uint64_t read_faults;    /* pages of the process's maps that the disk could not deliver */
    bool disk_full;          /* no next segment can be made */
    bool failed;             /* poisoned: read-only */
    bool in_memory;
    cairn_compaction_stats_t compaction;
    cairn_damage_t damage;
} cairn_store_stats_t;

/** The version of the newest write in the log. Threads: any. */
uint64_t cairn_store_last_version(const cairn_store_t *store);

/** Threads: any registered. */
void cairn_store_damage(cairn_store_t *store, cairn_damage_t *damage);

/** Whether a write or sync of the log has failed: the store is read-only. Threads: any. */
bool cairn_store_has_failed(const cairn_store_t *store);

/** Threads: any registered. */
void cairn_store_stats(cairn_store_t *store, cairn_store_stats_t *stats);

typedef struct st_cairn_segment_info_t {
    char name[32];
    uint64_t first_version;
    uint32_t generation; /* how many times it has been compacted */
    uint64_t end;        /* bytes of header and records */
    uint64_t dead_bytes;
    bool sealed;
} cairn_segment_info_t;

/**
 * What there is of segments, in order of version: fills up to `count` of `infos` beginning with the
 * `from`th, returns how many. Threads: any registered.
 */
size_t cairn_store_segments(cairn_store_t *store, size_t from, cairn_segment_info_t *infos,
                            size_t count);

#endif
