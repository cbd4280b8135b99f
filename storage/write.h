/*
 * storage/write.h - framing a write as the record it will be.
 *
 * A record under way is up to four pieces: head, key, meta and what was copied of the value, in one
 * buffer; a large value that is appended to; a value borrowed from the submitter; padding.
 */
#ifndef CAIRN_STORAGE_WRITE_H
#define CAIRN_STORAGE_WRITE_H

#include "storage/segment.h"
#include "storage/store.h"

/** Makes the write a PUT of this number, with the meta of `present` (NULL if there is none). */
void cairn_write_frame_number(cairn_write_t *write, const cairn_record_t *present, int64_t number);

/**
 * Makes the write a PUT of the value of `present` (NULL if there is none) and what was given to
 * append to it, with the meta of `present`. A large value is copied if `is_in_map`: a page that the
 * disk cannot deliver is met here, under the guard of who decides, and not by the write of the log.
 *
 * Errors: NOMEM.
 */
cairn_err_t cairn_write_frame_append(cairn_write_t *write, const cairn_record_t *present,
                                     bool is_in_map);

/**
 * The record of a write that is in the commit, in one piece; NULL when there is no memory. It stays
 * until cairn_write_unframe().
 */
const cairn_record_t *cairn_write_whole(cairn_write_t *write);

/** The get has found the record at `loc`; `segment` is pinned until it is destroyed. */
void cairn_write_found(cairn_write_t *get, cairn_loc_t loc, cairn_segment_t *segment);

/** Lets go of what a get has found: it is to be decided again. Harmless when repeated. */
void cairn_write_unfind(cairn_write_t *get);

/** Lets go of what framing has borrowed or copied. Harmless when repeated. */
void cairn_write_unframe(cairn_write_t *write);

#endif
