/*
 * storage/compaction_choose.c - which segments are worth rewriting.
 *
 * Cost-benefit, as log-structured file systems have it (Rosenblum and Ousterhout, 1992): what is
 * gained, times how long it will stay so, over what it costs: (1-u) * age / (1+u), where u is the
 * live share. Age counts since the segment was written, not since its data were: otherwise cold
 * segments that are nearly full would be cleaned again and again.
 */
#include "storage/compaction_internal.h"

/** live bytes over all bytes: below it, room is made. Above what is promised: beside what is here
 * there are a copy that is being made and what was written meanwhile */
#define LIVE_SHARE_LEAST 0.71
/** what is promised: below it, making room is urgent */
#define LIVE_SHARE_PROMISED 0.67
/** nor as long as all that is dead is less than this part of a segment, beside the one being
 * written and the spare: a small store that is overwritten all the time would be copied all the
 * time */
#define DEAD_PARTS 4
/** less than this is not worth a copy while there is room */
#define DEAD_SHARE_LEAST 0.25
/** after a day of its own, less is enough, so that no delete waits for ever for a segment before it
 */
#define CALM_MS ((uint64_t)24 * 3600 * 1000)
#define CALM_DEAD_SHARE 0.05
/** when the disk is full, or somebody asks: everything that frees more than the copy's own frame */
#define ANY_DEAD_BYTES ((uint64_t)2 * (CAIRN_SEGMENT_HEADER_BYTES + CAIRN_SEGMENT_FOOTER_BYTES))
#define ANY_DEAD_SHARE 0.01
/** so many neighbours are merged when all of them would make no more than a segment: each byte is
 * copied a few times at most, and the number of files stays near what it must be */
#define MERGE_COUNT 4

static uint64_t live_bytes(const cairn_candidate_t *c)
{
    return c->dead_bytes < c->bytes ? c->bytes - c->dead_bytes : 0;
}

static double dead_share(const cairn_candidate_t *c)
{
    return c->bytes != 0 ? (double)(c->bytes - live_bytes(c)) / (double)c->bytes : 0;
}

static bool frees_anything(const cairn_candidate_t *c)
{
    return c->dead_bytes > ANY_DEAD_BYTES && dead_share(c) > ANY_DEAD_SHARE;
}

/** whether less than `share` is live, and what is not is worth speaking of. What waits to be
 * unlinked takes room too */
static bool is_short_of(double share, const cairn_candidate_t *candidates, size_t count,
                        const cairn_pressure_t *pressure)
{
    uint64_t live = 0, all = pressure->retired_bytes;
    for (size_t i = 0; i < count; ++i) {
        live += live_bytes(&candidates[i]);
        all += candidates[i].bytes;
    }
    return all - live > pressure->segment_bytes / DEAD_PARTS && (double)live < share * (double)all;
}

bool cairn_compaction_is_urgent(const cairn_candidate_t *candidates, size_t count,
                                const cairn_pressure_t *pressure)
{
    return pressure->is_full || is_short_of(LIVE_SHARE_PROMISED, candidates, count, pressure);
}

static bool is_worth_it(const cairn_candidate_t *c, bool is_short, bool is_full)
{
    if (!c->is_usable || !frees_anything(c))
        return false;
    return is_full || c->is_asked || live_bytes(c) <= ANY_DEAD_BYTES ||
           (is_short && dead_share(c) >= DEAD_SHARE_LEAST) ||
           (c->age_ms >= CALM_MS && dead_share(c) >= CALM_DEAD_SHARE);
}

/** when the disk is full what counts is what is gained, and that the copy is small */
static double score(const cairn_candidate_t *c, bool is_full)
{
    double dead = dead_share(c);
    return is_full ? dead : dead * (double)(c->age_ms + 1) / (2 - dead);
}

static bool choose_one(const cairn_candidate_t *candidates, size_t count,
                       const cairn_pressure_t *pressure, size_t *best)
{
    bool is_found = false;
    bool is_short = is_short_of(LIVE_SHARE_LEAST, candidates, count, pressure);
    double highest = 0;
    for (size_t i = 0; i < count; ++i) {
        if (!is_worth_it(&candidates[i], is_short, pressure->is_full))
            continue;
        double s = score(&candidates[i], pressure->is_full);
        if (!is_found || s > highest) {
            is_found = true;
            highest = s;
            *best = i;
        }
    }
    return is_found;
}

/** neighbours from `from` on that fit one segment with room for what was not known to be live */
static size_t count_small(const cairn_candidate_t *candidates, size_t count, size_t from,
                          const cairn_pressure_t *pressure)
{
    uint64_t sum = 0;
    size_t n = 0;
    while (from + n < count && candidates[from + n].is_usable) {
        uint64_t bytes = candidates[from + n].bytes;
        if (bytes > pressure->segment_bytes / MERGE_COUNT || sum + bytes > pressure->segment_bytes)
            break;
        sum += bytes;
        ++n;
    }
    return n;
}

size_t cairn_compaction_choose(const cairn_candidate_t *candidates, size_t count,
                               const cairn_pressure_t *pressure, size_t *from)
{
    if (choose_one(candidates, count, pressure, from))
        return 1;
    for (*from = 0; *from < count; ++*from) {
        size_t n = count_small(candidates, count, *from, pressure);
        if (n >= MERGE_COUNT)
            return n;
    }
    return 0;
}
