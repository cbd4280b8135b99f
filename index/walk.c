/*
 * index/walk.c - meeting every entry once, in the order of their fingerprints.
 *
 * The cursor is a fingerprint: entries stand in that order in every generation, so it means the
 * same however much the tables have grown since. A piece is some neighbouring homes and the buckets
 * that their entries may have walked on to. Like a find, it takes no lock: it is copied in the
 * direction in which entries are pushed, and copied again if some were pulled back meanwhile.
 */
#include "index/index_internal.h"

#include <sched.h>

#define PIECE_HOMES 32u
#define PIECE_ENTRIES ((PIECE_HOMES + CAIRN_WALKED_MAX) * CAIRN_BUCKET_SLOTS)

typedef struct st_piece_t {
    uint64_t begin, end; /* fingerprints */
    size_t count;
    cairn_homeless_t entries[PIECE_ENTRIES];
} piece_t;

/* homes from that of `begin` on, but so few that a ring's buckets are looked at once each */
static void piece_copy(piece_t *piece, const cairn_view_t *view, uint64_t begin)
{
    cairn_place_t place = cairn_view_place(view, begin);
    uint64_t block_begin = begin >> view->span_bits << view->span_bits;
    uint32_t homes = view->buckets - place.home;
    uint32_t at = place.home;

    if (homes > PIECE_HOMES)
        homes = PIECE_HOMES;
    if (homes > view->buckets - CAIRN_WALKED_MAX)
        homes = view->buckets - CAIRN_WALKED_MAX;
    piece->begin = begin;
    piece->end = block_begin + cairn_home_begin(view, place.home + homes);
    piece->count = 0;
    for (uint32_t i = 0; i < homes + CAIRN_WALKED_MAX; ++i, at = cairn_ring_next(&place, at))
        for (unsigned j = 0; j < CAIRN_BUCKET_SLOTS; ++j) {
            uint64_t value = cairn_slot_load(&place.block[at].slots[j]);
            if (value == 0)
                continue;
            uint32_t home = cairn_ring_back(view->buckets, at, cairn_slot_walked(value));
            uint64_t fingerprint = block_begin | cairn_rebuild(view, cairn_home_begin(view, home),
                                                               cairn_slot_tag(value));
            if (fingerprint >= piece->begin && fingerprint < piece->end)
                piece->entries[piece->count++] =
                    (cairn_homeless_t){fingerprint, cairn_slot_loc(value)};
        }
}

/* visited on the spot: a flooded stash may hold more than fits anywhere */
static void visit_stash(cairn_index_t *index, cairn_stripe_view_t *view, const piece_t *piece,
                        cairn_index_visit_cb visit, void *ctx)
{
    unsigned shift = 64 - index->fingerprint_bits;

    /* acquire: pairs with the releases in stash.c */
    for (cairn_stash_level_t *level = atomic_load_explicit(&view->stash, memory_order_acquire);
         level != NULL; level = atomic_load_explicit(&level->below, memory_order_acquire))
        for (uint32_t i = 0; i < (uint32_t)1 << level->capacity_bits; ++i) {
            cairn_stash_entry_t *entry = &level->entries[i];
            uint64_t stored = atomic_load_explicit(&entry->fingerprint, memory_order_acquire);
            uint64_t loc = atomic_load_explicit(&entry->loc, memory_order_acquire);
            if (stored > piece->begin && stored <= piece->end && loc != 0)
                visit(ctx, (stored - 1) << shift, loc);
        }
}

bool cairn_index_walk(cairn_index_t *index, uint64_t *cursor, cairn_index_visit_cb visit, void *ctx)
{
    unsigned shift = 64 - index->fingerprint_bits;
    uint64_t begin = *cursor;
    piece_t piece;

    if (begin >> index->fingerprint_bits != 0)
        return false;

    cairn_stripe_view_t *view = &index->views[cairn_stripe_of(index, begin)];
    for (;;) {
        /* acquire: pairs with the release in cairn_moving_end(), as in cairn_index_find() */
        uint64_t before = atomic_load_explicit(&view->sequence, memory_order_acquire);

        piece_copy(&piece, cairn_view_of(cairn_table(index), begin), begin);
        if ((before & CAIRN_SEQUENCE_STASH) != 0)
            visit_stash(index, view, &piece, visit, ctx);
        if ((before & CAIRN_SEQUENCE_MOVING) == 0 &&
            atomic_load_explicit(&view->sequence, memory_order_acquire) == before)
            break;
        sched_yield();
    }
    for (size_t i = 0; i < piece.count; ++i)
        visit(ctx, piece.entries[i].fingerprint << shift, piece.entries[i].loc);
    *cursor = piece.end;
    return piece.end >> index->fingerprint_bits == 0;
}
