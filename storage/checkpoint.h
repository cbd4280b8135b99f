/*
 * storage/checkpoint.h - the index written down, so that a start need not read the whole log.
 *
 * `index.ckpt` is a dump of the index beside running writes, the position in the log up to which it
 * is complete, and the segments that its entries may point into. What was written meanwhile may be
 * in the dump or not: a replay from the position compares versions. It takes the place of the one
 * before only when all that the dump can have seen is durable, so no entry ever dangles after a
 * power cut. Without it nothing is lost but time.
 *
 * docs/FORMAT.md has the bytes.
 */
#ifndef CAIRN_STORAGE_CHECKPOINT_H
#define CAIRN_STORAGE_CHECKPOINT_H

#include "storage/clock.h"
#include "storage/health.h"
#include "storage/position.h"
#include "storage/segments.h"

#define CAIRN_CHECKPOINT_NAME "index.ckpt"
#define CAIRN_CHECKPOINT_TMP_NAME "index.ckpt.tmp"
#define CAIRN_CHECKPOINT_FORMAT 2
/** bytes of the header; the dump begins here */
#define CAIRN_CHECKPOINT_HEADER_BYTES 4096

typedef struct st_cairn_checkpoint_header_t {
    char magic[8]; /* "CAIRNCKP" */
    uint32_t format;
    uint32_t header_bytes;
    uint8_t uuid[CAIRN_UUID_BYTES]; /* of the store */
    uint64_t dump_bytes;
    uint32_t segment_count; /* entries of the table behind the dump */
    uint32_t slot_shift;    /* what the locations mean: log2 of a slot's bytes */
    /* where replay begins, and what is known of the log there: a cairn_position_t */
    uint64_t position_first;
    uint64_t position_salt;
    uint64_t position_end;
    uint64_t mark_at;
    uint64_t covers_version; /* every record up to here is in the dump, or what replaced it */
    cairn_chain_t chain;
    cairn_segment_counts_t counts;
    uint64_t durable_version; /* nothing in the dump is newer, and all of it was on disk */
    uint64_t clock_ms;        /* it has been this late */
    uint64_t table_sum;       /* XXH3-64 of the table */
    uint8_t zeroes[3880];
    uint64_t sum; /* XXH3-64 of the 4088 bytes before */
} cairn_checkpoint_header_t;
static_assert(sizeof(cairn_checkpoint_header_t) == CAIRN_CHECKPOINT_HEADER_BYTES, "docs/FORMAT.md");
static_assert(offsetof(cairn_checkpoint_header_t, dump_bytes) == 32, "docs/FORMAT.md");
static_assert(offsetof(cairn_checkpoint_header_t, position_first) == 48, "docs/FORMAT.md");
static_assert(offsetof(cairn_checkpoint_header_t, covers_version) == 80, "docs/FORMAT.md");
static_assert(offsetof(cairn_checkpoint_header_t, counts) == 104, "docs/FORMAT.md");
static_assert(offsetof(cairn_checkpoint_header_t, durable_version) == 184, "docs/FORMAT.md");
static_assert(offsetof(cairn_checkpoint_header_t, sum) == 4088, "docs/FORMAT.md");

/** a segment that entries of the dump may point into */
typedef struct st_cairn_checkpoint_segment_t {
    uint64_t first_version;
    uint64_t salt;
    uint32_t generation;
    uint32_t slot;
    uint64_t end;  /* where its records end; 0 where they may have gone on: at or behind position */
    uint64_t fold; /* of its records, if end is not 0 */
    uint64_t dead_bytes;
    uint8_t zeroes[16];
} cairn_checkpoint_segment_t;
static_assert(sizeof(cairn_checkpoint_segment_t) == 64, "docs/FORMAT.md");
static_assert(offsetof(cairn_checkpoint_segment_t, end) == 24, "docs/FORMAT.md");

/* ---------------------------------------------------------------- writing */

/** what is known of the checkpoint on disk; memory that its owner gives */
typedef struct st_cairn_checkpoint_t {
    const cairn_dir_t *dir;
    pthread_mutex_t mutex; /* a leaf, never held across I/O */
    /* guarded by mutex: salts of the segments it names, and of those that the one being written
     * will name. Where both are empty none is on disk */
    uint64_t *named, *naming;
    size_t named_count, naming_count;
    /* of the thread that writes them: */
    uint64_t log_bytes; /* the position's cell had counted so many when the last was begun */
    uint64_t failed_ns; /* when the last try failed; 0 if it did not */
} cairn_checkpoint_t;

/** what a checkpoint is made of; all of it outlives the call */
typedef struct st_cairn_checkpoint_source_t {
    cairn_index_t *index;
    const cairn_space_t *space;
    cairn_segments_t *segments;
    cairn_position_cell_t *position;
    const cairn_clock_t *clock;
    const cairn_health_t *health; /* of a store that has failed none is made */
    /* makes durable everything written so far, says up to which version that is. Both are called
     * with the thread offline for QSBR */
    cairn_err_t (*make_durable)(void *ctx, uint64_t *version);
    /* asked after each piece that was written and synced; may rest; false gives up. May be NULL */
    bool (*go_on)(void *ctx);
    void *ctx;
} cairn_checkpoint_source_t;

void cairn_checkpoint_init(cairn_checkpoint_t *checkpoint, const cairn_dir_t *dir);
void cairn_checkpoint_dispose(cairn_checkpoint_t *checkpoint);

/**
 * Writes a checkpoint in the place of the one on disk. Whatever goes wrong, one of the two is there
 * and whole.
 *
 * Threads: one at a time, registered with QSBR and passing quiescent states here; no segment leaves
 * the list meanwhile.
 * Errors: DISK_FULL, IO, NOMEM, FAILED (the store has), CANCELLED (by go_on).
 */
cairn_err_t cairn_checkpoint_write(cairn_checkpoint_t *checkpoint,
                                   const cairn_checkpoint_source_t *source);

/** Bytes of log that a start from the checkpoint on disk would replay. Threads: the one that writes
 * them. */
uint64_t cairn_checkpoint_tail_bytes(cairn_checkpoint_t *checkpoint,
                                     cairn_position_cell_t *position);

/**
 * Whether a checkpoint on disk, or the one being written, names this segment: its file and its slot
 * must stay. Threads: any.
 */
bool cairn_checkpoint_names(cairn_checkpoint_t *checkpoint, uint64_t salt);

/**
 * Removes the checkpoint, so that it names nothing: for room on a full disk. The next start takes
 * longer. Threads: the one that writes them. Errors: IO; it may still be there.
 */
cairn_err_t cairn_checkpoint_drop(cairn_checkpoint_t *checkpoint);

/* ---------------------------------------------------------------- reading */

/** a checkpoint file whose header and table are believed; the dump is not yet */
typedef struct st_cairn_checkpoint_image_t {
    cairn_checkpoint_header_t header;
    cairn_checkpoint_segment_t *segments; /* header.segment_count of them */
    int fd;                               /* -1: none is open */
} cairn_checkpoint_image_t;

/**
 * Opens the file and reads header and table. `why` (CAIRN_ERRMSG_BYTES) says what is wrong.
 * Errors: NOT_FOUND (there is none), CORRUPT (damaged, or of another store or format), IO, NOMEM.
 */
cairn_err_t cairn_checkpoint_open(cairn_checkpoint_image_t *image, const cairn_dir_t *dir,
                                  char *why);

/** a dump that is being read and verified, on threads of its own if it is a large one */
typedef struct st_cairn_checkpoint_load_t cairn_checkpoint_load_t;

/**
 * Begins with it, and lets the caller do something else meanwhile. `only_waits`: the thread that
 * will finish it leaves its processor to something else as long as there are threads. The image is
 * to stay open until cairn_checkpoint_load_end(). NULL: no memory.
 */
cairn_checkpoint_load_t *cairn_checkpoint_load_begin(const cairn_checkpoint_image_t *image,
                                                     bool only_waits);

/**
 * Does a share of it, if it has threads at all, until nothing is left to be taken. `load` may be
 * NULL. Threads: any, which has returned before cairn_checkpoint_load_end() is called.
 */
void cairn_checkpoint_load_help(cairn_checkpoint_load_t *load);

/**
 * Waits until all of it has been read and verified, and makes the index. `on_bytes` is told of the
 * progress by the calling thread, and returns false to stop; the caller need not be registered.
 * `load` may be NULL: that is no memory. Errors: CORRUPT, IO, NOMEM, CANCELLED.
 */
cairn_err_t cairn_checkpoint_load_finish(cairn_checkpoint_load_t *load,
                                         bool (*on_bytes)(void *ctx, uint64_t bytes), void *ctx,
                                         cairn_index_t **index, char *why);

/** Stops what is under way and frees all but an index that has been made. `load` may be NULL. */
void cairn_checkpoint_load_end(cairn_checkpoint_load_t *load);

/** All of it, from the begin to the end. */
cairn_err_t cairn_checkpoint_load(const cairn_checkpoint_image_t *image,
                                  bool (*on_bytes)(void *ctx, uint64_t bytes), void *ctx,
                                  cairn_index_t **index, char *why);

/** What `salt` is in the table, NULL if it is not. */
const cairn_checkpoint_segment_t *cairn_checkpoint_find(const cairn_checkpoint_image_t *image,
                                                        uint64_t salt);

/** The checkpoint that was read is in use: it is the one on disk. Errors: NOMEM. */
cairn_err_t cairn_checkpoint_adopt(cairn_checkpoint_t *checkpoint,
                                   const cairn_checkpoint_image_t *image);

/** Closes the file, frees the table; harmless on one that was never opened. */
void cairn_checkpoint_close(cairn_checkpoint_image_t *image);

#endif
