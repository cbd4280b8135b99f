/*
 * storage/damage.h - what has gone wrong with what is stored, and how that is said.
 */
#ifndef CAIRN_STORAGE_DAMAGE_H
#define CAIRN_STORAGE_DAMAGE_H

#include "storage/types.h"

/** any of it makes a store degraded: it serves, all but what is damaged */
typedef struct st_cairn_damage_t {
    uint64_t records;     /* found damaged by scrubbing, in the last pass or so far in this one */
    uint64_t quarantined; /* files in quarantine/ when the store was opened */
} cairn_damage_t;

/** Says in `why` (CAIRN_ERRMSG_BYTES) what there is of it; false, and nothing, if there is none. */
bool cairn_damage_text(const cairn_damage_t *damage, char *why);

#endif
