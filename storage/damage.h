/*
 * storage/damage.h - what has gone wrong with what is stored, and how that is said.
 */
#ifndef CAIRN_STORAGE_DAMAGE_H
#define CAIRN_STORAGE_DAMAGE_H

#include "storage/types.h"

/** any of it that is not accepted makes a store degraded: it serves, all but what is damaged */
typedef struct st_cairn_damage_t {
    uint64_t records;     /* found damaged by scrubbing, in the last pass or so far in this one */
    uint64_t quarantined; /* files in quarantine/ when the store was opened */
    uint64_t lost_keys;   /* keys of which a salvage knows no more than that they had a value */
    /* versions of which not even the key is known any more: at most so many, from the first of
     * `lost_segments` segments, which is named, to the last */
    uint64_t lost_versions, lost_first, lost_last, lost_segments;
    uint64_t accepted_versions; /* so many of them somebody has taken note of */
    char lost_segment[32];
} cairn_damage_t;

/** Says in `why` (CAIRN_ERRMSG_BYTES) what there is of it; false, and nothing, if there is none. */
bool cairn_damage_text(const cairn_damage_t *damage, char *why);

#endif
