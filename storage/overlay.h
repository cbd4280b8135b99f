/*
 * storage/overlay.h - what the writes of the commit under construction have done to their keys.
 *
 * The index knows nothing of them until they are durable, yet each must see the ones before it.
 * Threads: the writer alone.
 */
#ifndef CAIRN_STORAGE_OVERLAY_H
#define CAIRN_STORAGE_OVERLAY_H

#include "storage/log.h"

/** a power of two; at most half full */
#define CAIRN_OVERLAY_SLOTS (4 * CAIRN_COMMIT_RECORDS_MAX)

typedef struct st_cairn_overlay_t {
    uint32_t stamp; /* of the present commit; entries of others count as empty */
    size_t mask;    /* of the slots that it uses */
    struct {
        uint32_t stamp;
        cairn_write_t *write; /* the last one of its key */
    } slots[CAIRN_OVERLAY_SLOTS];
} cairn_overlay_t;

/**
 * Forgets everything, and is ready for a commit of up to so many writes. It is as small as they
 * are few: every write is looked up in it, and what was far away would be a wait for memory.
 */
void cairn_overlay_clear(cairn_overlay_t *overlay, size_t writes);

/** The last write of this key in the commit, NULL if there is none. */
cairn_write_t *cairn_overlay_find(const cairn_overlay_t *overlay, const cairn_key_t *key);

/** Adds a write and chains it to the one of the same key before it. */
void cairn_overlay_add(cairn_overlay_t *overlay, cairn_write_t *write);

/** Takes the write that was added last out again. */
void cairn_overlay_undo(cairn_overlay_t *overlay, cairn_write_t *write);

#endif
