/*
 * storage/overlay.c - what the writes of the commit under construction have done to their keys.
 */
#include "storage/overlay.h"

#include <string.h>

#define SLOTS_MIN 64

_Static_assert((CAIRN_OVERLAY_SLOTS & (CAIRN_OVERLAY_SLOTS - 1)) == 0, "slots are masked");

void cairn_overlay_clear(cairn_overlay_t *overlay, size_t writes)
{
    assert(writes <= CAIRN_OVERLAY_SLOTS / 2);
    if (++overlay->stamp == 0) {
        memset(overlay, 0, sizeof(*overlay));
        overlay->stamp = 1;
    }
    size_t slots = SLOTS_MIN;
    while (slots < 4 * writes && slots < CAIRN_OVERLAY_SLOTS)
        slots *= 2;
    overlay->mask = slots - 1;
}

static bool same_key(const cairn_key_t *a, const cairn_key_t *b)
{
    return a->hash == b->hash && a->count == b->count && memcmp(a->bytes, b->bytes, a->count) == 0;
}

/** the slot of the key, or the empty one where it would go */
static size_t find_slot(const cairn_overlay_t *overlay, const cairn_key_t *key)
{
    size_t slot = key->hash & overlay->mask;
    while (overlay->slots[slot].stamp == overlay->stamp &&
           !same_key(&overlay->slots[slot].write->key, key))
        slot = (slot + 1) & overlay->mask;
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
