/*
 * storage/keysort.h - puts the records of a segment into the order of their keys.
 */
#ifndef CAIRN_STORAGE_KEYSORT_H
#define CAIRN_STORAGE_KEYSORT_H

#include "storage/segment.h"

/** the place of a record: its offset in CAIRN_RECORD_ALIGN, so segments may have 32 GiB */
typedef uint32_t cairn_place_t;

typedef struct st_cairn_keyplace_t {
    uint64_t _word; /* the next bytes of its key, as a number that compares as they do */
    cairn_place_t place;
} cairn_keyplace_t;

/**
 * Sorts places by the bytes of their keys, a key before those that it begins; of a key that stands
 * there more than once only the last place stays. `*count` becomes how many are left.
 *
 * The places are those of records whose heads were valid, and all lie before `end`. Keys are
 * compared where they lie in the map, seven bytes at a time and each of them once: who has many
 * that begin alike pays for a comparison no more. Whatever keys strangers choose, it takes n log n.
 *
 * Threads: any that the segment stays for. False if the disk cannot read a key.
 */
bool cairn_keysort(const cairn_segment_t *segment, uint64_t end, cairn_keyplace_t *places,
                   size_t *count);

#endif
