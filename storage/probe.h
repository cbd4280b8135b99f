/*
 * storage/probe.h - what storage answers when the index asks whether a location holds a key.
 */
#ifndef CAIRN_STORAGE_PROBE_H
#define CAIRN_STORAGE_PROBE_H

#include "storage/segment.h"
#include "storage/store.h"

typedef struct st_cairn_probe_t {
    const cairn_space_t *space;
    const cairn_key_t *key;
    bool may_wait;      /* for the disk; else a record that is not in memory counts as a match */
    cairn_loc_t loaded; /* known to be in memory although no stamp says so; 0 for none */
    const cairn_seen_t *seen; /* known to have the key, and not looked at again; NULL for none */
    /* out */
    bool cold; /* the match was not looked at: it is not in memory */
    /* out: CAIRN_OK, or why the match's head could not be looked at, DAMAGED or IO: it may be of
     * any key of this fingerprint, and is taken for this one, so that no older value is ever given
     */
    cairn_err_t fault;
    bool is_lost; /* out: the head is good and says that the rest is lost; the fault is DAMAGED */
    uint64_t in_memory_to; /* out: offset up to which the match is known to be; 0 if it is not */
} cairn_probe_t;

/** Whether a location that the index has is that of the record that was seen. */
bool cairn_probe_is_seen(const cairn_space_t *space, const cairn_seen_t *seen, cairn_loc_t loc);

/** The cairn_index_match_cb of storage; `ctx` is a cairn_probe_t. */
bool cairn_probe_match(void *ctx, cairn_loc_t loc);

/** A cairn_index_match_cb that reads no record: whether it is the cairn_loc_t that `ctx` points to.
 */
bool cairn_probe_is_at(void *ctx, cairn_loc_t loc);

/** The cairn_index_prefetch_cb that goes with it. */
void cairn_probe_prefetch(void *ctx, cairn_loc_t loc);

/**
 * What there is at a location that the index has, as its head says; the bytes are 0 where they
 * cannot be right. False if the disk cannot read it.
 */
bool cairn_probe_see(const cairn_space_t *space, cairn_loc_t loc, cairn_seen_t *seen);

/** The bytes of a record as its head says, believed or not; false if the disk cannot read it. */
bool cairn_probe_measure(const cairn_record_t *r, uint64_t *bytes);

#endif
