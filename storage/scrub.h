/*
 * storage/scrub.h - reading what nobody reads, to find rot before somebody does.
 *
 * A job of upkeep walks all sealed segments, over and over, at a set rate, and verifies each
 * record. What it finds is logged and counted; nothing is changed, and a reader of a damaged value
 * gets its error from the value's own sums in any case. Pages that are in memory are not read from
 * the disk again.
 */
#ifndef CAIRN_STORAGE_SCRUB_H
#define CAIRN_STORAGE_SCRUB_H

#include "storage/health.h"
#include "storage/segments.h"
#include "storage/survey.h"
#include "storage/upkeep.h"

typedef struct st_cairn_scrub_t {
    cairn_segments_t *segments;
    cairn_health_t *health;
    cairn_index_t *index;
    uint64_t hash_seed;
    uint64_t rate; /* bytes a second; 0: none */
    /* of the job: */
    uint64_t version; /* the segment that has it is the one being walked */
    uint64_t salt;    /* its, 0 before its first piece */
    cairn_survey_t survey;
    uint64_t due_ns;
    uint64_t found; /* damaged in this pass */
    /* what it has come to; relaxed */
    _Atomic uint64_t bytes;
    _Atomic uint64_t passes;
    _Atomic uint64_t damaged; /* records that keys point to, or gaps: in the last pass, or so far */
} cairn_scrub_t;

/** Begins at the oldest segment. All that it is given outlives it. */
void cairn_scrub_init(cairn_scrub_t *scrub, cairn_segments_t *segments, cairn_health_t *health,
                      cairn_index_t *index, uint64_t hash_seed, uint64_t rate);

/** The job of upkeep; `scrub` is a cairn_scrub_t. */
bool cairn_scrub_job(void *scrub, cairn_upkeep_t *upkeep);

#endif
