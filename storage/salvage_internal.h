/*
 * storage/salvage_internal.h - what the files of a salvage share. Threads: the one that opens the
 * store.
 */
#ifndef CAIRN_STORAGE_SALVAGE_INTERNAL_H
#define CAIRN_STORAGE_SALVAGE_INTERNAL_H

#include "storage/salvage.h"
#include "storage/scan.h"
#include "storage/survey.h"

/** the shortest record: a key of one byte. So many bytes had at most so many records */
#define CAIRN_RECORD_BYTES_MIN (CAIRN_RECORD_HEAD_BYTES + CAIRN_RECORD_ALIGN)

typedef struct st_cairn_salvage_file_t {
    char name[CAIRN_SEGMENT_NAME_BYTES];
    uint64_t name_first; /* as the name says; UINT64_MAX: the spare, which has none yet */
    uint32_t generation; /* as the name says */
    bool is_spare;
    bool is_superseded;       /* another file has taken its place */
    cairn_segment_t *segment; /* mapped; NULL where no record of it can be found */
    uint64_t bytes;
    bool header_is_whole;
    bool is_sealed; /* a footer says so: */
    cairn_segment_footer_t footer;
    bool has_link; /* a good one: */
    cairn_link_t link;
    uint64_t link_version;
    /* what has come of looking at it */
    bool is_damaged;
    bool is_unused; /* the log has not gone on in it */
    uint64_t first, last;
    cairn_chain_t chain; /* at its end */
} cairn_salvage_file_t;

typedef struct st_cairn_salvage_t {
    const cairn_dir_t *dir;
    const cairn_store_options_t *options;
    cairn_health_t *health;
    char *errmsg;
    cairn_space_t *space;
    /* `count` of them in order of version, then those that are superseded */
    cairn_salvage_file_t *files;
    size_t count, superseded_count, room;
    bool failed_to_list;
    uint64_t bytes_total, bytes_done;
} cairn_salvage_t;

/** Says in the message what is wrong; returns `err`. */
cairn_err_t cairn_salvage_fail(cairn_salvage_t *s, cairn_err_t err, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/** So many more bytes have been looked at. Errors: CANCELLED. */
cairn_err_t cairn_salvage_progress(cairn_salvage_t *s, uint64_t bytes);

/* ---------------------------------------------------------------- salvage_file.c */

/**
 * Opens and maps a file of which anything may be damaged, and finds out what makes its records
 * recognisable. Errors: CORRUPT (it is whole, and none of ours), IO, NOMEM.
 */
cairn_err_t cairn_salvage_open(cairn_salvage_t *s, cairn_salvage_file_t *file);

/**
 * Looks at all of a file: whether it is damaged, and which versions it covers, given the last one
 * before it, and the file behind it, NULL if it is the newest. Errors: CANCELLED.
 */
cairn_err_t cairn_salvage_inspect(cairn_salvage_t *s, cairn_salvage_file_t *file,
                                  uint64_t last_before, const cairn_salvage_file_t *next);

/* ---------------------------------------------------------------- salvage_collect.c */

/** what is done with a piece of the file */
typedef enum en_cairn_salvage_fate_t {
    CAIRN_SALVAGE_PASS_OVER,
    CAIRN_SALVAGE_COPY,    /* it is whole */
    CAIRN_SALVAGE_RESTORE, /* all of it is proven, but it does not stand there so */
    CAIRN_SALVAGE_MAKE,    /* its key and version are */
    CAIRN_SALVAGE_GUESS,   /* its key is */
    CAIRN_SALVAGE_UNKNOWN
} cairn_salvage_fate_t;

/** a walk over the file, in order of version */
typedef struct st_cairn_salvage_walk_t {
    const cairn_salvage_file_t *file;
    cairn_survey_t survey;
    cairn_survey_piece_t piece;
    cairn_salvage_fate_t fate;
    uint64_t expected; /* all versions before it have been dealt with */
} cairn_salvage_walk_t;

/** Begins at the records of the file; one that is not mapped has none. */
void cairn_salvage_walk_begin(cairn_salvage_walk_t *walk, const cairn_salvage_file_t *file);

/** The next piece, and what is to be done with it; false at the end. */
bool cairn_salvage_walk_next(cairn_salvage_walk_t *walk);

/** The versions up to this one have been dealt with. */
void cairn_salvage_walk_step(cairn_salvage_walk_t *walk, uint64_t version);

/** The value of the record that the walk is at, in the map: under a guard only. */
const uint8_t *cairn_salvage_value(const cairn_salvage_walk_t *walk);

/** something that grows */
typedef struct st_cairn_salvage_pile_t {
    uint8_t *bytes;
    size_t used, room;
} cairn_salvage_pile_t;

/** a record to be made: a delete that is known, or LOST */
typedef struct st_cairn_salvage_made_t {
    uint64_t version;
    uint64_t written, expiry; /* as in a record */
    size_t key_at;            /* in the keys */
    uint16_t key_bytes;
    bool is_guess; /* its version: the key is proven, and it was one of these */
} cairn_salvage_made_t;

/** what is to be said beside the records that are whole */
typedef struct st_cairn_salvage_collected_t {
    cairn_salvage_pile_t made; /* cairn_salvage_made_t, in the end in order of version */
    cairn_salvage_pile_t keys;
    cairn_salvage_pile_t gaps; /* gap_t, in order */
    bool has_table;
    cairn_loss_t loss;
    uint64_t whole; /* a fold of the versions that are copied or restored: cairn_salvage_fold() */
} cairn_salvage_collected_t;

/** One more version, in their order: two walks over a file that find the same have the same. */
static inline uint64_t cairn_salvage_fold(uint64_t fold, uint64_t version)
{
    return (fold << 1 | fold >> 63) ^ version;
}

size_t cairn_salvage_made_count(const cairn_salvage_collected_t *c);
cairn_salvage_made_t *cairn_salvage_made_at(const cairn_salvage_collected_t *c, size_t at);

/** Collects it from a walk over the file, and from its key table. `to` is zeroed, and disposed of
 * by the caller in any case. Errors: NOMEM. */
cairn_err_t cairn_salvage_collect(cairn_salvage_t *s, const cairn_salvage_file_t *file,
                                  cairn_salvage_collected_t *to);
void cairn_salvage_collected_dispose(cairn_salvage_collected_t *c);

/* ---------------------------------------------------------------- salvage_copy.c */

/**
 * Writes what can be proven of a damaged file into one that takes its place, durably, and says in
 * the log what that was. Errors: DISK_FULL, IO (also where the disk has not read the same twice),
 * NOMEM.
 */
cairn_err_t cairn_salvage_rewrite(cairn_salvage_t *s, const cairn_salvage_file_t *file);

/** Makes a segment that says of all versions from `first` to `last` that they are lost. `chain`:
 * what the segment behind it begins with. Errors: DISK_FULL, IO, NOMEM. */
cairn_err_t cairn_salvage_fill(cairn_salvage_t *s, uint64_t first, uint64_t last,
                               const cairn_chain_t *chain);

#endif
