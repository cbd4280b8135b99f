/*
 * storage/overlay.c - what the writes of the commit under construction have done to their keys.
 */
#include "storage/overlay.h"

#include <string.h>

void cairn_overlay_clear(cairn_overlay_t *overlay)
{
    if (++overlay->stamp == 0) {
        memset(overlay, 0, sizeof(*overlay));
        overlay->stamp = 1;
    }
}

static bool same_key(const cairn_key_t *a, const cairn_key_t *b)
{
    return a->hash == b->hash && a->count == b->count && memcmp(a->bytes, b->bytes, a->count) == 0;
}

/** the slot of the key, or the empty one where it would go */
static size_t find_slot(const cairn_overlay_t *overlay, const cairn_key_t *key)
{
    size_t slot = key->hash % CAIRN_OVERLAY_SLOTS;
    while (overlay->slots[slot].stamp == overlay->stamp &&
           !same_key(&overlay->slots[slot].write->key, key))
        slot = (slot + 1) % CAIRN_OVERLAY_SLOTS;
    return slot;
}

cairn_write_t *cairn_overlay_find(const cairn_overlay_t *overlay, const cairn_key_t *key)
{
    size_t slot = find_slot(overlay, key);
    return overlay->slots[slot].stamp == overlay->stamp ? overlay->slots[slot].write : NULL;
}

void cairn_overlay_add(cairn_overlay_t *overlay, cairn_write_t *write)
{
    size_t slot = find_slot(overlay, &write->key);
    bool taken = overlay->slots[slot].stamp == overlay->stamp;
    write->_same_key = taken ? overlay->slots[slot].write : NULL;
    overlay->slots[slot].stamp = overlay->stamp;
    overlay->slots[slot].write = write;
}

void cairn_overlay_undo(cairn_overlay_t *overlay, cairn_write_t *write)
{
    size_t slot = find_slot(overlay, &write->key);
    assert(overlay->slots[slot].write == write);
    /* last in, first out: no slot that was taken later can be reached only through this one */
    overlay->slots[slot].write = write->_same_key;
    if (write->_same_key == NULL)
        overlay->slots[slot].stamp = overlay->stamp - 1;
    write->_same_key = NULL;
}
