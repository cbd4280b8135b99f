/*
 * tests/fuzz/records.c - the walk over the records of a segment: scan, and survey.
 *
 * The first byte says which records get good sums, so that the fuzzer gets past them.
 */
#include <string.h>

#include "storage/guard.h"
#include "storage/scan.h"
#include "storage/survey.h"
#include "tests/fuzz/fuzz.h"

#define MAP_BYTES ((size_t)64 << 10)
#define SALT 0x5a17

static _Alignas(8) uint8_t map[MAP_BYTES];

/** gives records good sums, one after the other, as far as they are of any length */
static void stamp(size_t end, uint8_t which)
{
    uint64_t at = CAIRN_SEGMENT_HEADER_BYTES;
    for (unsigned n = 0; at + CAIRN_RECORD_HEAD_BYTES <= end; ++n) {
        cairn_record_t *r = (cairn_record_t *)(map + at);
        r->key_bytes %= 64;
        r->meta_bytes %= 64;
        r->value_bytes %= 512;
        uint64_t bytes = cairn_record_bytes(r);
        if (at + bytes > end)
            return;
        cairn_bytes_t piece = {r + 1, (size_t)r->key_bytes + r->meta_bytes + r->value_bytes};
        memset((uint8_t *)(r + 1) + piece.count, 0, bytes - CAIRN_RECORD_HEAD_BYTES - piece.count);
        if ((which & 1u << n % 4) != 0)
            r->body_sum = cairn_record_body_sum(&piece, 1);
        if ((which & 16u << n % 4) != 0)
            r->head_sum = cairn_record_head_sum(r, SALT, at);
        at += bytes;
    }
}

static void scan_all(size_t end)
{
    cairn_scan_t scan;
    cairn_scan_unit_t unit;
    uint64_t proven, at = CAIRN_SEGMENT_HEADER_BYTES;
    cairn_scan_init(&scan, map, end, SALT, 0);
    while (cairn_scan_next(&scan, &unit)) {
        MUST(unit.offset == at && unit.end > at && unit.end <= end);
        at = unit.end;
    }
    MUST(scan.at == at && !scan.is_unreadable);
    cairn_scan_end_t verdict = cairn_scan_end(&scan, &proven);
    MUST(verdict == CAIRN_SCAN_CORRUPT || proven <= scan.last_version);
}

/* the pieces lie one behind the other to the end, and one that is whole is whole */
static void survey_all(size_t end)
{
    cairn_survey_t survey;
    cairn_survey_piece_t piece;
    uint64_t at = CAIRN_SEGMENT_HEADER_BYTES;
    cairn_survey_init(&survey, map, end, SALT);
    while (cairn_survey_next(&survey, &piece)) {
        MUST(piece.offset == at && piece.end > at && piece.end <= end);
        MUST((piece.record == NULL) == (piece.kind == CAIRN_SURVEY_GAP));
        if (piece.kind == CAIRN_SURVEY_WHOLE)
            MUST(cairn_record_body_is_valid((const cairn_record_t *)(map + at)));
        at = piece.end;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count)
{
    if (count == 0 || count > MAP_BYTES - CAIRN_SEGMENT_HEADER_BYTES)
        return 0;
    size_t end = CAIRN_SEGMENT_HEADER_BYTES + (count & ~(size_t)7);
    memset(map, 0, sizeof(map));
    memcpy(map + CAIRN_SEGMENT_HEADER_BYTES, bytes + 1, count - 1);
    stamp(end, bytes[0]);
    scan_all(end);
    survey_all(end);
    return 0;
}
