/*
 * storage/keytable_internal.h - what reading and making key tables share.
 */
#ifndef CAIRN_STORAGE_KEYTABLE_INTERNAL_H
#define CAIRN_STORAGE_KEYTABLE_INTERNAL_H

#include "storage/keytable.h"

struct st_cairn_keytable_t {
    cairn_keytable_header_t header;
    uint8_t *map; /* the file */
    uint64_t map_bytes;
    void *index; /* what follows the blocks, in memory; some two bits a key. Its parts: */
    const cairn_keytable_block_t *blocks;
    const cairn_keytable_place_t *places;
    const uint8_t *keys;
    _Atomic bool is_damaged; /* a reader has found it to be; relaxed */
    /* one that was damaged and that this one has replaced: it may still be looked at, and is closed
     * with this one */
    cairn_keytable_t *older;
};

/** Reads the index of a table whose header is right, and checks it. Errors: CORRUPT, IO, NOMEM. */
cairn_err_t cairn_keytable_read_index(cairn_keytable_t *table, int fd);

/** Maps the file. Errors: NOMEM. */
cairn_err_t cairn_keytable_map(cairn_keytable_t *table, int fd);

#endif
