/*
 * storage/lost.c - what salvages have not found again, of all segments.
 */
#include "storage/lost.h"

#include <inttypes.h>
#include <stdio.h>

#include "storage/probe.h"
#include "storage/walk.h"

/** one segment; LOST records are few, and heads are all that is looked at */
static cairn_err_t count_in(cairn_segment_t *segment, cairn_index_t *index, uint64_t hash_seed,
                            char *errmsg)
{
    char name[CAIRN_SEGMENT_NAME_BYTES];
    cairn_walk_t walk;
    cairn_err_t err;
    uint64_t count = 0;
    cairn_walk_begin(&walk, segment, CAIRN_SEGMENT_HEADER_BYTES,
                     atomic_load_explicit(&segment->end, memory_order_acquire));
    while ((err = cairn_walk_look(&walk)) == CAIRN_OK) {
        if (cairn_record_type(&walk.record) == CAIRN_RECORD_LOST) {
            cairn_key_t key =
                cairn_key(hash_seed, cairn_record_key(&walk.record), walk.record.key_bytes);
            cairn_loc_t here = cairn_segment_loc(segment, walk.at), found;
            count += cairn_index_find(index, key.hash, cairn_probe_is_at, &here, &found);
        }
        cairn_walk_step(&walk);
    }
    atomic_store_explicit(&segment->lost_keys, count, memory_order_relaxed);
    if (err == CAIRN_ERR_NOT_FOUND)
        return CAIRN_OK;
    cairn_segment_name(name, segment->first_version, segment->generation);
    snprintf(errmsg, CAIRN_ERRMSG_BYTES,
             "%s: %s at byte %" PRIu64
             ", and a salvage has left in it which keys are lost; restore "
             "the store from a backup or snapshot, or salvage it again with 'cairn serve "
             "--salvage'",
             name, err == CAIRN_ERR_IO ? "cannot be read" : "damaged", walk.at);
    return err == CAIRN_ERR_IO ? err : CAIRN_ERR_CORRUPT;
}

cairn_err_t cairn_lost_count(cairn_segments_t *segments, cairn_index_t *index, uint64_t hash_seed,
                             char *errmsg)
{
    cairn_err_t err = CAIRN_OK;
    for (size_t i = 0; i < segments->count && err == CAIRN_OK; ++i) {
        cairn_segment_t *segment = segments->list[i];
        /* those of others have been counted while the index was made, which says nothing yet */
        atomic_store_explicit(&segment->lost_keys, 0, memory_order_relaxed);
        if (segment->loss.keys != 0)
            err = count_in(segment, index, hash_seed, errmsg);
    }
    return err;
}

void cairn_lost_add(cairn_damage_t *damage, const cairn_loss_t *loss, uint64_t first_version,
                    uint32_t generation)
{
    if (loss->versions == 0)
        return;
    if (damage->lost_versions == 0) {
        damage->lost_first = loss->first;
        cairn_segment_name(damage->lost_segment, first_version, generation);
    }
    damage->lost_versions += loss->versions;
    damage->lost_last = loss->last;
    ++damage->lost_segments;
}

void cairn_lost_sum(cairn_segments_t *segments, cairn_damage_t *damage)
{
    pthread_mutex_lock(&segments->mutex);
    for (size_t i = 0; i < segments->count; ++i) {
        const cairn_segment_t *segment = segments->list[i];
        damage->lost_keys += atomic_load_explicit(&segment->lost_keys, memory_order_relaxed);
        /* what its footer says; acquire: pairs with the release of who seals it */
        if (atomic_load_explicit(&segment->sealed, memory_order_acquire))
            cairn_lost_add(damage, &segment->loss, segment->first_version, segment->generation);
    }
    pthread_mutex_unlock(&segments->mutex);
}
