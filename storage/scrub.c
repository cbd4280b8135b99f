/*
 * storage/scrub.c - reading what nobody reads, to find rot before somebody does.
 */
#include "storage/scrub.h"

#include <inttypes.h>

#include "index/qsbr.h"
#include "storage/os.h"

/** upkeep looks for work four times a second: so much has to be done at once */
#define PIECES_A_SECOND 4
#define PIECE_BYTES_MAX ((uint64_t)8 << 20)
/** between two passes over a store that takes little time */
#define PAUSE_NS (600 * 1000000000ull)
/** damaged places that a pass tells of one by one */
#define LINES_MAX 16

void cairn_scrub_init(cairn_scrub_t *scrub, cairn_segments_t *segments, cairn_health_t *health,
                      cairn_index_t *index, uint64_t hash_seed, uint64_t rate)
{
    scrub->segments = segments;
    scrub->health = health;
    scrub->index = index;
    scrub->hash_seed = hash_seed;
    scrub->rate = rate;
    scrub->version = 1;
}

static bool is_location(void *ctx, cairn_loc_t loc)
{
    return loc == *(const cairn_loc_t *)ctx;
}

/** whether a reader can meet it; of a gap nobody knows */
static bool is_live(const cairn_scrub_t *scrub, const cairn_segment_t *segment,
                    const cairn_survey_piece_t *piece)
{
    if (piece->record == NULL || piece->record->key_bytes == 0)
        return piece->record == NULL;
    cairn_loc_t wanted = cairn_segment_loc(segment, piece->offset), found;
    cairn_key_t key =
        cairn_key(scrub->hash_seed, cairn_record_key(piece->record), piece->record->key_bytes);
    return cairn_index_find(scrub->index, key.hash, is_location, &wanted, &found);
}

static void take_damaged(cairn_scrub_t *scrub, const cairn_segment_t *segment,
                         const cairn_survey_piece_t *piece)
{
    char name[CAIRN_SEGMENT_NAME_BYTES];
    if (!is_live(scrub, segment, piece))
        return;
    cairn_segment_name(name, segment->first_version, segment->generation);
    if (++scrub->found <= LINES_MAX)
        cairn_health_log(scrub->health, CAIRN_LOG_ERROR,
                         "scrub: %s: bytes %" PRIu64 " to %" PRIu64
                         " are damaged or cannot be read: what has its value there answers with an "
                         "error until it is written anew",
                         name, piece->offset, piece->end);
    if (scrub->found > atomic_load_explicit(&scrub->damaged, memory_order_relaxed))
        atomic_store_explicit(&scrub->damaged, scrub->found, memory_order_relaxed);
}

/** walks on in a segment, pinned, up to `bytes` further; false at its end */
static bool walk(cairn_scrub_t *scrub, const cairn_segment_t *segment, uint64_t bytes)
{
    cairn_survey_piece_t piece;
    uint64_t begin = scrub->survey.at, end = begin + bytes;
    bool goes_on = true;
    cairn_os->will_need(segment->map + begin,
                        scrub->survey.bytes - begin < bytes ? scrub->survey.bytes - begin : bytes);
    while (scrub->survey.at < end && goes_on) {
        /* the segment is pinned, and others need not wait until a page has come from the disk */
        rcu_thread_offline();
        goes_on = cairn_survey_next(&scrub->survey, &piece);
        rcu_thread_online();
        if (goes_on && piece.kind != CAIRN_SURVEY_WHOLE)
            take_damaged(scrub, segment, &piece);
    }
    atomic_fetch_add_explicit(&scrub->bytes, scrub->survey.at - begin, memory_order_relaxed);
    return goes_on && scrub->survey.at < scrub->survey.bytes;
}

static void end_pass(cairn_scrub_t *scrub, uint64_t now_ns)
{
    if (scrub->found > LINES_MAX)
        cairn_health_log(scrub->health, CAIRN_LOG_ERROR,
                         "scrub: %" PRIu64 " places are damaged in all", scrub->found);
    atomic_store_explicit(&scrub->damaged, scrub->found, memory_order_relaxed);
    atomic_fetch_add_explicit(&scrub->passes, 1, memory_order_relaxed);
    scrub->found = 0;
    scrub->version = 1;
    scrub->salt = 0;
    scrub->due_ns = now_ns + PAUSE_NS;
}

bool cairn_scrub_job(void *ctx, cairn_upkeep_t *upkeep)
{
    cairn_scrub_t *scrub = ctx;
    uint64_t now_ns = cairn_os->monotonic_ns(), last, dropped;
    (void)upkeep;
    if (scrub->rate == 0 || now_ns < scrub->due_ns)
        return false;
    uint64_t bytes = scrub->rate / PIECES_A_SECOND + 1;
    if (bytes > PIECE_BYTES_MAX)
        bytes = PIECE_BYTES_MAX;
    cairn_segment_t *segment =
        cairn_segments_pin_at(scrub->segments, scrub->version, &last, &dropped);
    /* acquire: pairs with the release of maintenance, which has sealed it */
    if (segment == NULL || !atomic_load_explicit(&segment->sealed, memory_order_acquire)) {
        if (segment != NULL)
            cairn_segment_unpin(segment);
        end_pass(scrub, now_ns);
        return false;
    }
    if (segment->salt != scrub->salt) {
        /* the next one, or what has taken the place of the one before */
        cairn_survey_init(&scrub->survey, segment->map,
                          atomic_load_explicit(&segment->end, memory_order_acquire), segment->salt);
        scrub->salt = segment->salt;
    }
    if (!walk(scrub, segment, bytes))
        scrub->version = last + 1;
    cairn_segment_unpin(segment);
    scrub->due_ns = now_ns + bytes * 1000000000 / scrub->rate;
    return true;
}
