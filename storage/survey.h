/*
 * storage/survey.h - walking a segment to its end, whatever is damaged on the way.
 *
 * A scan (storage/scan.h) stops where the log is not whole. A survey goes on: it tells records that
 * are whole from those that are damaged, finds the next good one behind a gap, and says of a
 * damaged head what it was where that can be proven: one wrong bit is found by trying each, and
 * content that fits its body sum proves the key. Pages that the disk cannot read are damage.
 */
#ifndef CAIRN_STORAGE_SURVEY_H
#define CAIRN_STORAGE_SURVEY_H

#include "storage/segment.h"

typedef enum en_cairn_survey_kind_t {
    CAIRN_SURVEY_WHOLE, /* head and content are what was written */
    CAIRN_SURVEY_BODY,  /* the head is good, the content is not */
    CAIRN_SURVEY_HEAD, /* the head is damaged; what it was is proven: all of it, or the key alone */
    CAIRN_SURVEY_GAP   /* what was here is not known */
} cairn_survey_kind_t;

typedef struct st_cairn_survey_piece_t {
    cairn_survey_kind_t kind;
    uint64_t offset;
    uint64_t end;
    /* head, key and meta, a copy put right where it was damaged; until the next piece. NULL: a gap
     */
    const cairn_record_t *record;
    bool key_only; /* of a HEAD: version, type and times are not proven */
} cairn_survey_piece_t;

typedef struct st_cairn_survey_t {
    const uint8_t *map;
    uint64_t bytes; /* the records end here at the latest */
    uint64_t salt;
    uint64_t at;
    _Alignas(cairn_record_t)
        uint8_t copy[CAIRN_RECORD_HEAD_BYTES + CAIRN_KEY_BYTES_MAX + CAIRN_META_BYTES_MAX];
} cairn_survey_t;

/** Begins at the records of a segment; they end at `bytes`, or before where zeroes follow. */
void cairn_survey_init(cairn_survey_t *survey, const uint8_t *map, uint64_t bytes, uint64_t salt);

/** The next piece; false at the end. */
bool cairn_survey_next(cairn_survey_t *survey, cairn_survey_piece_t *piece);

#endif
