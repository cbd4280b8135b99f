/*
 * storage/listing.h - the live keys in the order of their bytes, a page at a time.
 *
 * A listing is nothing but a place among the keys. A reader goes on from there, one bounded step
 * after the other: cairn_listing_begin(), cairn_listing_next() until there is enough,
 * cairn_listing_end(). It merges the key tables of the sealed segments with the sorted tail, and
 * asks the index which of the keys it meets are live.
 *
 * A key that stays while it is listed is given exactly once, with a version it had meanwhile,
 * whatever is written beside it; one that comes or goes may or may not be given.
 *
 * Where a record is damaged in a segment that has no key table, its key is given with its error if
 * it is proven all the same. Where it is not, nobody can name the key that may be missing: then a
 * listing fails, unless it is content to be partial.
 *
 * Threads: inside a job of cairn_store_run(): it may wait for the disk, and passes quiescent
 * states. A listing and its reader belong to one thread at a time.
 */
#ifndef CAIRN_STORAGE_LISTING_H
#define CAIRN_STORAGE_LISTING_H

#include "storage/store.h"

/** where a listing stands: before the first key that is not less than this */
typedef struct st_cairn_listing_t {
    /* of a partial one: OK; DAMAGED, IO: keys that nobody can name may have been left out */
    cairn_err_t left_out;
    bool is_after; /* this is a key that has been dealt with, and a zero: what follows it at once */
    size_t count;
    uint8_t bytes[CAIRN_KEY_BYTES_MAX + 1];
} cairn_listing_t;

/** a live key; what it points to stays until the reader is asked for the next */
typedef struct st_cairn_row_t {
    /* OK; or DAMAGED, IO: what is asked of its value cannot be read. Key, and version and
     * value_bytes if the version is not 0, are good all the same */
    cairn_err_t err;
    cairn_bytes_t key;
    uint64_t version;
    uint64_t value_bytes;
    uint64_t expiry_ms; /* 0: never */
    cairn_bytes_t meta;
    cairn_bytes_t value; /* if the reader wants values */
} cairn_row_t;

typedef enum en_cairn_listing_result_t {
    CAIRN_LISTING_ROW,    /* there is one */
    CAIRN_LISTING_END,    /* there is no more */
    CAIRN_LISTING_PAUSED, /* entries_max have been looked at: go on in another step */
    CAIRN_LISTING_FAILED  /* see err: DAMAGED, IO, NOMEM */
} cairn_listing_result_t;

typedef struct st_cairn_listing_options_t {
    cairn_bytes_t prefix; /* only keys that begin so */
    bool wants_values;
    bool is_partial;    /* keys that nobody can name may be left out */
    size_t entries_max; /* of tables and runs, live or not, to be looked at in a step */
} cairn_listing_options_t;

typedef struct st_cairn_listing_reader_t cairn_listing_reader_t;

/** Begins with the first key that has this prefix and is greater than `after`, if that is not
 * empty. Both are at most CAIRN_KEY_BYTES_MAX long. */
void cairn_listing_from(cairn_listing_t *listing, cairn_bytes_t prefix, cairn_bytes_t after);

/** The key behind which the listing goes on; empty if it has not come to any. As long as it stays.
 */
cairn_bytes_t cairn_listing_after(const cairn_listing_t *listing);

/**
 * Begins a step of the listing, which with the options outlives the reader. NULL when there is no
 * memory.
 */
cairn_listing_reader_t *cairn_listing_begin(cairn_store_t *store, cairn_listing_t *listing,
                                            const cairn_listing_options_t *options);

/** The next row. After FAILED `*err` says why, and the listing stands before what failed. */
cairn_listing_result_t cairn_listing_next(cairn_listing_reader_t *reader, cairn_row_t *row,
                                          cairn_err_t *err);

/** Ends a step; NULL is fine. */
void cairn_listing_end(cairn_listing_reader_t *reader);

#endif
