/*
 * storage/apply.h - what a record in the log does to the index: a pure function of the log, the
 * same for the writer and for recovery.
 */
#ifndef CAIRN_STORAGE_APPLY_H
#define CAIRN_STORAGE_APPLY_H

#include "storage/segment.h"
#include "storage/store.h"

/**
 * Applies the record of `key` at `loc`, a PUT or DELETE, and keeps account of the bytes that died
 * by it: those of `*before`, which becomes what the key had. `seen`, which may be NULL, is a record
 * that is known to be the key's: if it still is, it is not read again.
 *
 * Errors: NOMEM (the index could not take it). Threads: the writer, or recovery before it.
 */
cairn_err_t cairn_apply(cairn_index_t *index, const cairn_space_t *space, const cairn_key_t *key,
                        cairn_record_type_t type, cairn_loc_t loc, const cairn_seen_t *seen,
                        cairn_seen_t *before);

/**
 * As cairn_apply(), unless what the index has for the key is as new or newer: for records that may
 * be met after what came behind them. Threads: recovery.
 */
cairn_err_t cairn_apply_newer(cairn_index_t *index, const cairn_space_t *space,
                              const cairn_key_t *key, cairn_loc_t loc);

/**
 * The record at `loc` is a copy, made by compaction, of one that the index has had: where the index
 * still has that one, it has the copy from now on. Threads: recovery.
 */
void cairn_apply_copy(cairn_index_t *index, const cairn_space_t *space, const cairn_key_t *key,
                      cairn_loc_t loc);

/**
 * The same for an operation whose record need not be looked at, and is newer than what the index
 * has. The bytes of a tombstone are the caller's to count. Errors: NOMEM. Threads: recovery.
 */
cairn_err_t cairn_apply_entry(cairn_index_t *index, const cairn_space_t *space,
                              const cairn_key_t *key, cairn_record_type_t type, cairn_loc_t loc);

/** The index does not point to the record at `loc` any more, or never will. */
void cairn_apply_dead(const cairn_space_t *space, cairn_loc_t loc);

#endif
