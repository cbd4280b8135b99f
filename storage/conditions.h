/*
 * storage/conditions.h - what must be true of a key's present value for a write to happen.
 *
 * Decided by the writer at the moment of the write, so that of many that race exactly one can win.
 */
#ifndef CAIRN_STORAGE_CONDITIONS_H
#define CAIRN_STORAGE_CONDITIONS_H

#include "storage/types.h"

/** versions one condition may list */
#define CAIRN_VERSIONS_MAX 16

typedef struct st_cairn_version_list_t {
    enum { CAIRN_VERSIONS_NOT_ASKED, CAIRN_VERSIONS_ANY, CAIRN_VERSIONS_LISTED } kind;
    size_t count;
    uint64_t versions[CAIRN_VERSIONS_MAX];
} cairn_version_list_t;

typedef struct st_cairn_conditions_t {
    cairn_version_list_t if_match;      /* there is a value, of one of these versions */
    cairn_version_list_t if_none_match; /* there is none, or of another version */
    bool has_unmodified_since;
    bool has_modified_since;   /* of reads only */
    uint64_t unmodified_since; /* seconds since 1970 */
    uint64_t modified_since;
} cairn_conditions_t;

/** what a key has at the moment of the decision */
typedef struct st_cairn_current_t {
    bool exists; /* the rest is only meant if so */
    uint64_t version;
    uint64_t written_ms;
} cairn_current_t;

/** Whether a write under these conditions may happen. if_modified_since is not looked at. */
bool cairn_conditions_hold(const cairn_conditions_t *conditions, const cairn_current_t *current);

#endif
