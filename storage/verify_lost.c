/*
 * storage/verify_lost.c - which keys a store knows to have lost, without its index.
 *
 * LOST records are met in the walk over all segments; a later record of the same key has mended it.
 * They are few, so their keys are kept, as hashes.
 */
#include <string.h>

#include "storage/lost.h"
#include "storage/os.h"
#include "storage/verify_internal.h"

static cairn_verify_lost_key_t *place_of(cairn_verify_lost_key_t *keys, size_t room, uint64_t hash)
{
    size_t at = hash & (room - 1);
    while (keys[at].version != 0 && keys[at].hash != hash)
        at = (at + 1) & (room - 1);
    return &keys[at];
}

static bool make_room(cairn_verify_lost_t *lost)
{
    if (2 * (lost->count + 1) <= lost->room)
        return true;
    size_t room = lost->room != 0 ? 2 * lost->room : 64;
    cairn_verify_lost_key_t *keys = cairn_os->calloc(room, sizeof(*keys));
    if (keys == NULL)
        return false;
    for (size_t i = 0; i < lost->room; ++i)
        if (lost->keys[i].version != 0)
            *place_of(keys, room, lost->keys[i].hash) = lost->keys[i];
    cairn_os->free(lost->keys);
    lost->keys = keys;
    lost->room = room;
    return true;
}

void cairn_verify_note_lost(cairn_verify_t *v, const cairn_record_t *r)
{
    cairn_verify_lost_t *lost = &v->lost;
    bool is_lost = cairn_record_type(r) == CAIRN_RECORD_LOST;
    if (!is_lost && lost->count == 0)
        return;
    if (is_lost && !make_room(lost)) {
        v->is_out_of_memory = true;
        return;
    }
    uint64_t hash = cairn_key(v->dir.hash_seed, cairn_record_key(r), r->key_bytes).hash;
    cairn_verify_lost_key_t *key = place_of(lost->keys, lost->room, hash);
    if (key->version >= r->version || (!is_lost && key->version == 0))
        return;
    lost->count += key->version == 0;
    *key = (cairn_verify_lost_key_t){.hash = hash, .version = r->version, .is_mended = !is_lost};
}

void cairn_verify_end_lost(cairn_verify_t *v)
{
    for (size_t i = 0; i < v->lost.room; ++i)
        v->result->damage.lost_keys += v->lost.keys[i].version != 0 && !v->lost.keys[i].is_mended;
    cairn_os->free(v->lost.keys);
    v->lost.keys = NULL;
}
