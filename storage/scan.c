/*
 * storage/scan.c - walking the records of a segment, believing nothing.
 */
#include "storage/scan.h"

#include <string.h>

#include "storage/guard.h"

/** what the disk writes at once: a cut leaves each of them as it was or as it was to be */
#define SECTOR_BYTES ((uint64_t)512)

void cairn_scan_init(cairn_scan_t *scan, const uint8_t *map, uint64_t bytes, uint64_t salt,
                     uint64_t last_version)
{
    *scan = (cairn_scan_t){.map = map,
                           .bytes = bytes,
                           .salt = salt,
                           .at = CAIRN_SEGMENT_HEADER_BYTES,
                           .last_version = last_version};
}

void cairn_scan_init_compacted(cairn_scan_t *scan, const uint8_t *map, uint64_t bytes,
                               uint64_t salt, uint64_t first_version)
{
    cairn_scan_init(scan, map, bytes, salt, first_version - 1);
    scan->is_compacted = true;
}

void cairn_scan_resume(cairn_scan_t *scan, const cairn_position_t *position)
{
    assert(scan->has_link || scan->is_compacted);
    scan->at = position->end;
    scan->mark_at = position->mark_at;
    scan->commit_end = position->end;
    scan->last_version = position->version;
    scan->chain = scan->promised = position->chain;
}

static const cairn_record_t *record_at(const cairn_scan_t *scan, uint64_t offset)
{
    const cairn_record_t *r = (const cairn_record_t *)(scan->map + offset);
    if (offset >= scan->bytes ||
        !cairn_record_head_is_valid(r, scan->bytes - offset, scan->salt, offset))
        return NULL;
    return r;
}

static bool accept_link(cairn_scan_t *scan, const cairn_record_t *r)
{
    if (scan->has_link)
        return false;
    cairn_record_read_link(r, &scan->link);
    scan->has_link = true;
    scan->last_version = r->version;
    scan->chain = scan->promised = scan->link.chain;
    return true;
}

/** whether the last commit ends as its MARK promised */
static bool commit_is_whole(const cairn_scan_t *scan)
{
    return memcmp(&scan->chain, &scan->promised, sizeof(scan->chain)) == 0;
}

static bool accept_mark(cairn_scan_t *scan, const cairn_record_t *r)
{
    cairn_mark_t mark;
    cairn_record_read_mark(r, &mark);
    if (!scan->has_link || r->version != scan->last_version ||
        mark.durable_version > scan->last_version)
        return false;
    if (!commit_is_whole(scan)) {
        scan->chain_is_broken = true;
        return false;
    }
    if (mark.durable_version > scan->durable_seen)
        scan->durable_seen = mark.durable_version;
    scan->promised = mark.chain;
    scan->mark_at = scan->at;
    scan->commit_end = scan->at + CAIRN_MARK_SPAN + mark.commit_bytes;
    return true;
}

/** accepts a run of records up to the one without MORE; 0 where it is broken or runs off the end */
static uint64_t accept_batch(cairn_scan_t *scan, uint64_t offset)
{
    uint64_t version = scan->last_version;
    cairn_chain_t chain = scan->chain;
    bool more = true;
    while (more) {
        const cairn_record_t *r = record_at(scan, offset);
        if (r == NULL || r->version != version + 1 || !cairn_record_body_is_valid(r))
            return 0;
        cairn_record_type_t type = cairn_record_type(r);
        if (type != CAIRN_RECORD_PUT && type != CAIRN_RECORD_DELETE)
            return 0;
        version = r->version;
        chain = cairn_chain_next(&chain, r);
        offset += cairn_record_bytes(r);
        more = (cairn_record_flags(r) & CAIRN_RECORD_MORE) != 0;
    }
    scan->last_version = version;
    scan->chain = chain;
    return offset;
}

static bool accept_copy(cairn_scan_t *scan, const cairn_record_t *r)
{
    if (!cairn_record_is_data(r) || cairn_record_flags(r) != 0 ||
        r->version <= scan->last_version || !cairn_record_body_is_valid(r))
        return false;
    scan->last_version = r->version;
    return true;
}

static bool next(cairn_scan_t *scan, cairn_scan_unit_t *unit)
{
    const cairn_record_t *r = record_at(scan, scan->at);
    if (r == NULL)
        return false;
    uint64_t end = scan->at + cairn_record_bytes(r);
    if (scan->is_compacted) {
        if (!accept_copy(scan, r))
            return false;
        *unit = (cairn_scan_unit_t){.offset = scan->at, .end = end};
        scan->at = end;
        return true;
    }
    switch (cairn_record_type(r)) {
    case CAIRN_RECORD_LINK:
        if (!cairn_record_body_is_valid(r) || !accept_link(scan, r))
            return false;
        break;
    case CAIRN_RECORD_MARK:
        if (!cairn_record_body_is_valid(r) || !accept_mark(scan, r))
            return false;
        break;
    default:
        end = scan->has_link ? accept_batch(scan, scan->at) : 0;
        if (end == 0)
            return false;
    }
    *unit = (cairn_scan_unit_t){.offset = scan->at, .end = end};
    scan->at = end;
    return true;
}

/** a step of a scan; the disk may fail to deliver what it touches */
typedef struct st_step_t {
    cairn_scan_t *scan;
    cairn_scan_unit_t *unit;
    bool goes_on;
} step_t;

static void take_step(void *ctx)
{
    step_t *step = ctx;
    step->goes_on = next(step->scan, step->unit);
}

bool cairn_scan_next(cairn_scan_t *scan, cairn_scan_unit_t *unit)
{
    step_t step = {.scan = scan, .unit = unit};
    if (cairn_guard_run(take_step, &step))
        return step.goes_on;
    scan->is_unreadable = true;
    return false;
}

static bool is_zero(const uint8_t *from, uint64_t bytes)
{
    return bytes == 0 || (from[0] == 0 && memcmp(from, from + 1, bytes - 1) == 0);
}

/** a record of the commit at the end of the log, of which something is not as it was written */
typedef struct st_piece_t {
    uint64_t end;         /* behind its padding; 0: where records begin is not known any more */
    uint64_t content_end; /* what follows is zero in any case and tells nothing */
    uint64_t proven_end;  /* what is before has a sum that says it is what was written */
} piece_t;

static piece_t piece_at(const cairn_scan_t *scan, uint64_t at)
{
    const cairn_record_t *r = record_at(scan, at);
    if (r == NULL)
        return (piece_t){.end = 0};
    uint64_t covered = at + CAIRN_RECORD_HEAD_BYTES + r->key_bytes + r->meta_bytes;
    piece_t piece = {.end = at + cairn_record_bytes(r),
                     .content_end = covered + r->value_bytes,
                     .proven_end = covered};
    if (cairn_record_body_is_valid(r))
        piece.proven_end = piece.end;
    return piece;
}

/** whether the bytes of a sector up to `to` may not all have been written; `piece` follows `to` */
static bool is_missing(const cairn_scan_t *scan, piece_t *piece, uint64_t from, uint64_t to)
{
    while (piece->end != 0 && piece->end < to)
        *piece = piece_at(scan, piece->end);
    if (piece->end != 0 && piece->content_end < to)
        to = piece->content_end;
    bool is_proven = piece->end != 0 && to <= piece->proven_end;
    return to > from && !is_proven && scan->map[to - 1] == 0;
}

/** where what was being written at the end of the log ends, as far as is known */
static uint64_t written_end(const cairn_scan_t *scan)
{
    if (scan->at < scan->commit_end)
        return scan->commit_end;
    /* not even its MARK is there: the sectors in which that lies */
    return (scan->at + CAIRN_MARK_SPAN + SECTOR_BYTES - 1) / SECTOR_BYTES * SECTOR_BYTES;
}

/**
 * Whether a write that was cut short explains what stands at the end of the log. The file was all
 * zeroes, so a sector that was not reached ends in one, and so does one that a short write has
 * reached in part. Where each sector of the commit ends in something else, or in what has its sum,
 * all of them were written.
 */
static bool is_cut_short(const cairn_scan_t *scan)
{
    uint64_t end = written_end(scan);
    if (end > scan->bytes || cairn_segment_begins_footer(scan->map + scan->at))
        return true;
    piece_t piece = {.end = scan->at < scan->commit_end ? scan->at : 0};
    if (piece.end != 0)
        piece = piece_at(scan, scan->at);
    for (uint64_t from = scan->at; from < end;) {
        uint64_t to = (from / SECTOR_BYTES + 1) * SECTOR_BYTES;
        if (to > end)
            to = end;
        if (is_missing(scan, &piece, from, to))
            return true;
        from = to;
    }
    return false;
}

static cairn_scan_end_t look_behind(const cairn_scan_t *scan, uint64_t *proven)
{
    *proven = scan->durable_seen;
    if (scan->at >= scan->bytes || is_zero(scan->map + scan->at, scan->bytes - scan->at))
        /* a commit that ends before its MARK said so was cut short, even if the cut shows nothing
         * but zeroes; a commit written behind it would not fit the chain */
        return commit_is_whole(scan) ? CAIRN_SCAN_CLEAN : CAIRN_SCAN_TORN;
    /* a head sum cannot be met by chance or by bytes of another file or place, so any record found
     * behind the end was written by us right there */
    for (uint64_t offset = scan->at; offset + CAIRN_MARK_SPAN <= scan->bytes;
         offset += CAIRN_RECORD_ALIGN) {
        const cairn_record_t *r = (const cairn_record_t *)(scan->map + offset);
        /* the type first: what a client wrote may look like a record at every step, and be long */
        if (cairn_record_type(r) != CAIRN_RECORD_MARK || record_at(scan, offset) == NULL ||
            !cairn_record_body_is_valid(r))
            continue;
        cairn_mark_t mark;
        cairn_record_read_mark(r, &mark);
        if (mark.durable_version > *proven)
            *proven = mark.durable_version;
    }
    if (scan->chain_is_broken || *proven > scan->last_version)
        return CAIRN_SCAN_CORRUPT;
    return is_cut_short(scan) ? CAIRN_SCAN_TORN : CAIRN_SCAN_SUSPECT;
}

typedef struct st_ending_t {
    const cairn_scan_t *scan;
    uint64_t *proven;
    cairn_scan_end_t end;
} ending_t;

static void find_end(void *ctx)
{
    ending_t *ending = ctx;
    ending->end = look_behind(ending->scan, ending->proven);
}

cairn_scan_end_t cairn_scan_end(cairn_scan_t *scan, uint64_t *proven)
{
    ending_t ending = {.scan = scan, .proven = proven};
    if (cairn_guard_run(find_end, &ending))
        return ending.end;
    scan->is_unreadable = true;
    return CAIRN_SCAN_CORRUPT;
}
