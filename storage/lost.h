/*
 * storage/lost.h - what salvages have not found again, of all segments.
 */
#ifndef CAIRN_STORAGE_LOST_H
#define CAIRN_STORAGE_LOST_H

#include "storage/damage.h"
#include "storage/segments.h"

/**
 * Counts the LOST records that the index points to, segment by segment; from then on whoever
 * changes the index keeps the count. Reads only segments that have any.
 * Threads: the one that opens the store, registered. Errors: CORRUPT, IO; `errmsg` says where.
 */
cairn_err_t cairn_lost_count(cairn_segments_t *segments, cairn_index_t *index, uint64_t hash_seed,
                             char *errmsg);

/** Adds up what there is, into `damage`. Threads: any. */
void cairn_lost_sum(cairn_segments_t *segments, cairn_damage_t *damage);

/** Adds what one segment has lost, keys apart. Segments come in order of version. */
void cairn_lost_add(cairn_damage_t *damage, const cairn_loss_t *loss, uint64_t first_version,
                    uint32_t generation);

#endif
