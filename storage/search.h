/*
 * storage/search.h - the live values that contain some bytes, found by reading all of them.
 *
 * The log is walked in the order of versions, one bounded step after the other:
 * cairn_search_begin(), cairn_search_next() until there is enough, cairn_search_end(). The place is
 * a version, so a search goes on over restarts and compaction. A value that stays is met once; one
 * that is put again while the search goes on is met where it lies then.
 *
 * Threads: inside a job of cairn_store_run(): it waits for the disk, and passes quiescent states.
 */
#ifndef CAIRN_STORAGE_SEARCH_H
#define CAIRN_STORAGE_SEARCH_H

#include "storage/listing.h"

typedef struct st_cairn_search_options_t {
    cairn_bytes_t prefix;   /* only keys that begin so */
    cairn_bytes_t contains; /* only values that contain this; none: all of them */
    bool is_partial;        /* writes that nobody can name may be left out */
    uint64_t bytes_max;     /* of the log, to be read in a step, and what is left of a record */
} cairn_search_options_t;

/** where a search stands; a plain value */
typedef struct st_cairn_search_place_t {
    uint64_t version; /* all up to here has been met */
    /* of a partial search: OK; DAMAGED, IO: writes that nobody can name may have been left out */
    cairn_err_t left_out;
    /* a hint: in the segment of this salt, what comes next is not before this */
    uint64_t _salt;
    uint64_t _offset;
} cairn_search_place_t;

typedef struct st_cairn_search_t cairn_search_t;

/**
 * Begins a step; `place` goes on with it, and with the options outlives the search. NULL when there
 * is no memory. Where the place has nothing but a version, the first step looks for it in its
 * segment, which is no part of bytes_max.
 */
cairn_search_t *cairn_search_begin(cairn_store_t *store, cairn_search_place_t *place,
                                   const cairn_search_options_t *options);

/**
 * The next value that contains them, with its value; and each that cannot be read, with the error,
 * since it might. ROW, END, PAUSED; FAILED, and `*err` says why the log cannot be read on: there is
 * a record of which not even the key is proven, and the search is not to be partial.
 */
cairn_listing_result_t cairn_search_next(cairn_search_t *search, cairn_row_t *row,
                                         cairn_err_t *err);

/** Ends a step; NULL is fine. */
void cairn_search_end(cairn_search_t *search);

#endif
