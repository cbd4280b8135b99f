/*
 * storage/recovery_internal.h - what the files of recovery share. Threads: the one that opens the
 * store.
 */
#ifndef CAIRN_STORAGE_RECOVERY_INTERNAL_H
#define CAIRN_STORAGE_RECOVERY_INTERNAL_H

#include "storage/recovery.h"
#include "storage/scan.h"

#define CAIRN_RECOVERY_ADVICE                                                                      \
    "; nothing was changed. See all of it with 'cairn verify DIR'; restore the store from a "      \
    "backup or snapshot, or serve what can be proven with 'cairn serve --salvage'"

/** where the index comes from: what may be is tried in this order */
typedef enum en_cairn_recovery_source_t {
    CAIRN_RECOVERY_FROM_CHECKPOINT,
    CAIRN_RECOVERY_FROM_TABLES, /* key tables, and the records of what has none */
    CAIRN_RECOVERY_FROM_RECORDS
} cairn_recovery_source_t;

/** how much of a file is to be read */
typedef enum en_cairn_recovery_reading_t {
    CAIRN_READ_RECORDS, /* all of it */
    CAIRN_READ_REST,    /* from the checkpoint's position on */
    CAIRN_READ_FOOTER,  /* the checkpoint covers it: what it is, its footer says */
    CAIRN_READ_TABLE    /* the same, and its key table is taken instead of its records */
} cairn_recovery_reading_t;

typedef struct st_cairn_recovery_file_t {
    char name[CAIRN_SEGMENT_NAME_BYTES];
    uint64_t first_version; /* as the name says */
    uint32_t generation;    /* as the name says; 0: a log segment */
    bool is_spare;
    bool is_superseded; /* another file has taken its place */
    cairn_segment_t *segment;
    cairn_segment_open_t opened; /* its footer, if it has one */
    cairn_recovery_reading_t reading;
    bool is_new_copy;                  /* by compaction, since the checkpoint was written */
    struct st_cairn_keytable_t *table; /* to be taken */
    cairn_scan_t scan;
    bool is_sealed; /* a footer says so */
    cairn_scan_end_t end;
} cairn_recovery_file_t;

/** a thread that brings in what is to be read, while the index is being loaded and files before it
 * are replayed */
typedef struct st_cairn_recovery_ahead_t {
    pthread_t thread;
    bool is_started;
    pthread_mutex_t mutex;
    pthread_cond_t cond; /* it has come further */
    /* guarded by mutex: */
    size_t files; /* so many have been brought in */
    bool is_over; /* and there will be no more */
    bool stops;   /* it is to end */
} cairn_recovery_ahead_t;

typedef struct st_cairn_recovery_t {
    const cairn_recovery_parts_t *parts;
    cairn_dir_t *dir; /* of the parts, as are the next three */
    cairn_segments_t *segments;
    cairn_health_t *health;
    cairn_clock_t *clock;
    const cairn_store_options_t *options;
    cairn_recovered_t *out;
    char *errmsg;
    /* `count` of them in order of version, then those that are superseded */
    cairn_recovery_file_t *files;
    size_t count, superseded_count, room;
    bool failed_to_list;
    cairn_recovery_source_t source;
    cairn_checkpoint_image_t image; /* while the source is the checkpoint */
    uint64_t covers_version;        /* the index has all records up to here; 0: it was empty */
    unsigned table_count;           /* while the source is the key tables */
    uint64_t bytes_total, bytes_done;
    cairn_recovery_ahead_t ahead;
    cairn_checkpoint_load_t *load; /* of the image's index; changed only while `ahead` is not */
} cairn_recovery_t;

/** Says in the message to the person what is wrong; returns `err`. */
cairn_err_t cairn_recovery_fail(cairn_recovery_t *r, cairn_err_t err, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* ---------------------------------------------------------------- recovery_files.c */

/**
 * Lists the files of the log in order of version. The spare is among them only if the log has gone
 * on in it: a blank one is removed. Errors: IO, NOMEM.
 */
cairn_err_t cairn_recovery_list_files(cairn_recovery_t *r);

/**
 * Reserves address space in which each of the files fits a slot, as the checkpoint has them if that
 * is the source, and opens the files in it. Errors: CORRUPT, IO, NOMEM.
 */
cairn_err_t cairn_recovery_open_files(cairn_recovery_t *r);

/** Closes them, for another try. */
void cairn_recovery_close_files(cairn_recovery_t *r);

/** Whether a file that has been read continues `previous`, NULL for the first. Errors: CORRUPT. */
cairn_err_t cairn_recovery_check_link(cairn_recovery_t *r, const cairn_recovery_file_t *file,
                                      const cairn_recovery_file_t *previous);

/**
 * The newest file, and no record in it: the log was cut short at its birth. The log does not go on
 * in it even where it could: what is too large for it would roll to another file of the same name.
 */
bool cairn_recovery_is_unused(const cairn_recovery_t *r, const cairn_recovery_file_t *file);

/** Whether the log that has been read reaches as far as STORE knows. Errors: CORRUPT. */
cairn_err_t cairn_recovery_check_against_store(cairn_recovery_t *r);

/* ---------------------------------------------------------------- recovery_superseded.c */

/**
 * Sets the files aside, of those that have been opened, whose place a compacted one has taken: they
 * are no longer among `count`. Errors: CORRUPT (a compacted one is not whole).
 */
cairn_err_t cairn_recovery_set_aside(cairn_recovery_t *r);

/** Undoes it, for another try. */
void cairn_recovery_take_back(cairn_recovery_t *r);

/**
 * After all that counts has been read: an entry of the checkpoint that still points into a file set
 * aside is of a record that compaction has dropped, and goes. Errors: CORRUPT, IO.
 */
cairn_err_t cairn_recovery_clear_superseded(cairn_recovery_t *r);

/**
 * Hands what was set aside over in `out`, to be unlinked when no checkpoint names it, and removes
 * what compactions have left unfinished. Errors: NOMEM.
 */
cairn_err_t cairn_recovery_settle_superseded(cairn_recovery_t *r);

/* ---------------------------------------------------------------- recovery_checkpoint.c */

/** Whether there is a checkpoint to try; says in the log why one that is there is of no use. */
bool cairn_recovery_find_checkpoint(cairn_recovery_t *r);

/** Decides how much of each file that has been opened is to be read. Errors: CORRUPT. */
cairn_err_t cairn_recovery_plan(cairn_recovery_t *r);

/** Whether the log is at the checkpoint's position what it was when that was written; `file`, in
 * which it lies, has been brought in from its last MARK on. Errors: CORRUPT. */
cairn_err_t cairn_recovery_check_position(cairn_recovery_t *r, const cairn_recovery_file_t *file);

/** The checkpoint's index, verified. Errors: CORRUPT, IO, NOMEM, CANCELLED. */
cairn_err_t cairn_recovery_load_index(cairn_recovery_t *r);

/** The position in the checkpoint. */
cairn_position_t cairn_recovery_position(const cairn_recovery_t *r);

/* ---------------------------------------------------------------- recovery_tables.c */

/** Opens the key tables that there are, and plans to take them; how many that is. */
unsigned cairn_recovery_find_tables(cairn_recovery_t *r);

/**
 * Applies the entries of a file's table to the index, and closes it. Errors: DAMAGED (the records
 * are to be read after all), IO, NOMEM, CANCELLED.
 */
cairn_err_t cairn_recovery_take_table(cairn_recovery_t *r, cairn_recovery_file_t *file);

/* ---------------------------------------------------------------- recovery_replay.c */

/** What a sealed segment is, as its footer says. */
void cairn_recovery_use_footer(cairn_recovery_file_t *file);

/** So many more bytes have been read. Errors: CANCELLED. */
cairn_err_t cairn_recovery_progress(cairn_recovery_t *r, uint64_t bytes);

/** Brings in what is to be read of a file; an unreadable page is found here, not by a signal.
 * Errors: IO, CANCELLED. */
cairn_err_t cairn_recovery_bring_in(cairn_recovery_t *r, const cairn_recovery_file_t *file);

/**
 * Begins to bring in what is to be read behind the checkpoint, on a thread of its own. Without that
 * thread it all takes longer.
 */
void cairn_recovery_read_ahead(cairn_recovery_t *r);

/** Ends it, if it has not come to its end, before the files may be closed. */
void cairn_recovery_stop_reading_ahead(cairn_recovery_t *r);

/** Where reading of a file begins, and how many bytes of it are read. */
uint64_t cairn_recovery_read_from(const cairn_recovery_t *r, const cairn_recovery_file_t *file);

/**
 * Applies the records of a file to the index, as far as it has not seen them, up to where they are
 * no valid continuation of the log. Of a file that is known by its footer, only the LINK is read.
 * Errors: CORRUPT (the checkpoint does not fit), NOMEM.
 */
cairn_err_t cairn_recovery_replay(cairn_recovery_t *r, cairn_recovery_file_t *file);

/* ---------------------------------------------------------------- recovery_scan.c */

/** units that are applied one after the other; the index is asked for all of them at once */
#define CAIRN_RECOVERY_UNITS 32
/** how many batches the scan may be ahead of what is applied */
#define CAIRN_RECOVERY_BATCHES 32

typedef struct st_cairn_recovery_batch_t {
    cairn_scan_unit_t units[CAIRN_RECOVERY_UNITS];
    size_t count;
} cairn_recovery_batch_t;

/** a file being scanned while it is applied */
typedef struct st_cairn_recovery_scan_t {
    cairn_recovery_file_t *file; /* its scan is the thread's until that has ended */
    pthread_t thread;
    bool is_started;
    bool has_ended;                     /* nothing more is valid: of whoever scans */
    cairn_recovery_batch_t taken_batch; /* the replaying thread's */
    cairn_recovery_batch_t batches[CAIRN_RECOVERY_BATCHES];
    pthread_mutex_t mutex;
    pthread_cond_t cond; /* one waits for the other; guarded by mutex: */
    uint64_t filled;     /* so many batches have been scanned */
    uint64_t taken;      /* and so many taken, to be applied */
    bool is_over;        /* there will be no more */
    bool stops;          /* there is to be no more */
} cairn_recovery_scan_t;

/**
 * Begins to scan a file from where its scan is: on a thread of its own if that is worth it and to
 * be had. Threads, for all three: the one that replays.
 */
void cairn_recovery_scan_start(cairn_recovery_scan_t *scan, cairn_recovery_file_t *file);

/** The next valid units, up to the next call; NULL where they end. */
const cairn_recovery_batch_t *cairn_recovery_scan_next(cairn_recovery_scan_t *scan);

/** Ends it; the file's scan is then the caller's again. */
void cairn_recovery_scan_stop(cairn_recovery_scan_t *scan);

#endif
