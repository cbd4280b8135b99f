/*
 * storage/scan.h - walking the records of a segment, believing nothing.
 *
 * A scan stops at the first byte that is not a valid continuation of the log, and can then say what
 * kind of an end that is. Works on memory; asks nothing of the system.
 */
#ifndef CAIRN_STORAGE_SCAN_H
#define CAIRN_STORAGE_SCAN_H

#include "storage/position.h"

typedef struct st_cairn_scan_t {
    const uint8_t *map;
    uint64_t bytes; /* readable from map on */
    uint64_t salt;
    uint64_t at;            /* where the next record is looked for */
    uint64_t last_version;  /* of what has been accepted */
    uint64_t mark_at;       /* of the last MARK accepted, 0 if none has been */
    uint64_t commit_end;    /* where the commit that it begins is to end */
    uint64_t durable_seen;  /* the highest durable_version that an accepted MARK named */
    cairn_chain_t chain;    /* after what has been accepted */
    cairn_chain_t promised; /* by the last MARK, for the end of its commit */
    bool is_compacted;      /* no LINK, no MARK, versions rise and need not follow each other */
    bool has_link;
    bool chain_is_broken; /* a commit does not end as its MARK promised, and yet another follows */
    bool is_unreadable;   /* the disk could not deliver what is at `at` */
    cairn_link_t link;    /* once has_link */
} cairn_scan_t;

/** a piece of the log that stands or falls as one: a record, or an atomic batch */
typedef struct st_cairn_scan_unit_t {
    uint64_t offset; /* of its first record */
    uint64_t end;    /* behind its last */
} cairn_scan_unit_t;

/**
 * Begins at the records of a segment. `bytes` is as far as may be read; `last_version` what the log
 * before it ends with, which holds until a LINK says so itself.
 */
void cairn_scan_init(cairn_scan_t *scan, const uint8_t *map, uint64_t bytes, uint64_t salt,
                     uint64_t last_version);

/**
 * Goes on at a position that is known to be right, once the LINK has been taken. What follows is
 * judged as if all before it had been walked.
 */
void cairn_scan_resume(cairn_scan_t *scan, const cairn_position_t *position);

/** Begins at the records of a compacted segment, whose range begins at `first_version`. */
void cairn_scan_init_compacted(cairn_scan_t *scan, const uint8_t *map, uint64_t bytes,
                               uint64_t salt, uint64_t first_version);

/**
 * The next unit, all of it valid: heads, bodies, padding, versions in order, batch complete. False
 * where the log does not go on, or the disk cannot read it; `scan->at` stays there. Units of LINK
 * and MARK are given too.
 */
bool cairn_scan_next(cairn_scan_t *scan, cairn_scan_unit_t *unit);

typedef enum en_cairn_scan_end_t {
    CAIRN_SCAN_CLEAN,   /* the last commit is whole and nothing but zeroes follows */
    CAIRN_SCAN_TORN,    /* what follows was never acknowledged: a write was cut short */
    CAIRN_SCAN_SUSPECT, /* nothing proves that what follows was acknowledged, but no write that was
                           cut short leaves such bytes: it may have rotted since */
    CAIRN_SCAN_CORRUPT  /* something later proves that more had been acknowledged */
} cairn_scan_end_t;

/**
 * What kind of an end the scan came to. `*proven` becomes the version that is known to have been
 * durable, from MARKs behind the end.
 */
cairn_scan_end_t cairn_scan_end(cairn_scan_t *scan, uint64_t *proven);

#endif
