/*
 * storage/apply.c - what a record in the log does to the index.
 */
#include "storage/apply.h"

#include "storage/probe.h"

static void count_dead(cairn_segment_t *segment, const cairn_seen_t *dead)
{
    atomic_fetch_add_explicit(&segment->dead_bytes, dead->bytes, memory_order_relaxed);
    if (dead->is_lost)
        atomic_fetch_sub_explicit(&segment->lost_keys, 1, memory_order_relaxed);
}

void cairn_apply_dead(const cairn_space_t *space, cairn_loc_t loc)
{
    cairn_seen_t dead;
    if (cairn_probe_see(space, loc, &dead))
        count_dead(cairn_space_segment(space, loc), &dead);
}

cairn_err_t cairn_apply(cairn_index_t *index, const cairn_space_t *space, const cairn_key_t *key,
                        cairn_record_type_t type, cairn_loc_t loc, const cairn_seen_t *seen,
                        cairn_seen_t *before)
{
    cairn_probe_t probe = {.space = space, .key = key, .may_wait = true, .seen = seen};
    cairn_loc_t old = 0;
    *before = (cairn_seen_t){.loc = 0};
    if (type == CAIRN_RECORD_DELETE) {
        cairn_index_remove(index, key->hash, cairn_probe_match, &probe, &old);
        cairn_apply_dead(space, loc); /* a tombstone is never pointed to */
    } else if (cairn_index_put(index, key->hash, cairn_probe_match, &probe, loc, &old) ==
               CAIRN_INDEX_NOMEM) {
        return CAIRN_ERR_NOMEM;
    }
    if (old == 0)
        return CAIRN_OK;
    if (seen != NULL && cairn_probe_is_seen(space, seen, old))
        *before = *seen;
    else
        cairn_probe_see(space, old, before);
    count_dead(cairn_space_segment(space, old), before);
    return CAIRN_OK;
}

/** a copy in the place of what it was made from; of a value that had expired it is a delete */
static void put_copy(cairn_index_t *index, const cairn_space_t *space, const cairn_key_t *key,
                     cairn_loc_t origin, cairn_loc_t copy)
{
    cairn_seen_t before;
    if (cairn_record_type(cairn_space_record(space, copy)) == CAIRN_RECORD_DELETE)
        cairn_apply(index, space, key, CAIRN_RECORD_DELETE, copy, NULL, &before);
    else
        cairn_index_replace_if_at(index, key->hash, origin, copy);
}

cairn_err_t cairn_apply_entry(cairn_index_t *index, const cairn_space_t *space,
                              const cairn_key_t *key, cairn_record_type_t type, cairn_loc_t loc)
{
    cairn_probe_t probe = {.space = space, .key = key, .may_wait = true};
    cairn_loc_t old = 0;
    if (type == CAIRN_RECORD_DELETE)
        cairn_index_remove(index, key->hash, cairn_probe_match, &probe, &old);
    else if (cairn_index_put(index, key->hash, cairn_probe_match, &probe, loc, &old) ==
             CAIRN_INDEX_NOMEM)
        return CAIRN_ERR_NOMEM;
    if (old != 0)
        cairn_apply_dead(space, old);
    return CAIRN_OK;
}

cairn_err_t cairn_apply_newer(cairn_index_t *index, const cairn_space_t *space,
                              const cairn_key_t *key, cairn_loc_t loc)
{
    const cairn_record_t *r = cairn_space_record(space, loc);
    cairn_probe_t probe = {.space = space, .key = key, .may_wait = true};
    cairn_seen_t seen, before;
    cairn_loc_t present;
    if (!cairn_index_find(index, key->hash, cairn_probe_match, &probe, &present))
        return cairn_apply(index, space, key, cairn_record_type(r), loc, NULL, &before);
    /* of a damaged head nothing is known: what comes later in the log replaces it */
    bool is_known = probe.fault == CAIRN_OK || probe.is_lost;
    uint64_t version = is_known ? cairn_space_record(space, present)->version : 0;
    if (version < r->version) {
        /* found once, it need not be asked for its key again */
        bool is_seen = cairn_probe_see(space, present, &seen);
        return cairn_apply(index, space, key, cairn_record_type(r), loc, is_seen ? &seen : NULL,
                           &before);
    }
    if (version > r->version)
        cairn_apply_dead(space, loc);
    else if (present != loc)
        put_copy(index, space, key, present, loc);
    return CAIRN_OK;
}

void cairn_apply_copy(cairn_index_t *index, const cairn_space_t *space, const cairn_key_t *key,
                      cairn_loc_t loc)
{
    const cairn_record_t *r = cairn_space_record(space, loc);
    cairn_probe_t probe = {.space = space, .key = key, .may_wait = true};
    cairn_loc_t present;
    bool is_origin = cairn_index_find(index, key->hash, cairn_probe_match, &probe, &present) &&
                     (probe.fault == CAIRN_OK || probe.is_lost) &&
                     cairn_space_record(space, present)->version == r->version;
    if (!is_origin)
        cairn_apply_dead(space, loc);
    else if (present != loc)
        put_copy(index, space, key, present, loc);
}
