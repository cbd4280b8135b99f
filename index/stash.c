/*
 * index/stash.c - where a stripe keeps the entries that found no room near their home.
 *
 * As good as always empty. What it must survive is a flood: keys chosen so that their hashes agree.
 * So it is a hash table, and one that no operation ever has to rehash: levels of twice the size
 * each are laid on top of one another, an entry stays in the level it was put in, a level that has
 * become empty is retired. Only keys of one and the same fingerprint have to be searched one by
 * one.
 *
 * Readers follow `stash` and `below`; what they may look at is given back after a grace period.
 */
#include "index/index_internal.h"

#include <assert.h>

#define FIRST_CAPACITY_BITS 4
#define DRAIN_ENTRIES 64

static uint32_t level_capacity(const cairn_stash_level_t *level)
{
    return (uint32_t)1 << level->capacity_bits;
}

/* a quarter stays empty, so that a search soon meets an end */
static uint32_t level_room(const cairn_stash_level_t *level)
{
    return level_capacity(level) / 4 * 3 - level->count;
}

uint32_t cairn_stash_position(const cairn_stash_level_t *level, uint64_t fingerprint)
{
    return (uint32_t)(fingerprint * 0x9e3779b97f4a7c15u >> (64 - level->capacity_bits));
}

static size_t level_bytes(unsigned capacity_bits)
{
    return sizeof(cairn_stash_level_t) + (sizeof(cairn_stash_entry_t) << capacity_bits);
}

/* acquire: pairs with the release stores in cairn_stash_reserve() and level_unlink() */
static cairn_stash_level_t *level_top(cairn_stripe_view_t *view)
{
    return atomic_load_explicit(&view->stash, memory_order_acquire);
}

static cairn_stash_level_t *level_below(cairn_stash_level_t *level)
{
    return atomic_load_explicit(&level->below, memory_order_acquire);
}

/* the fingerprint last: pairs with the acquire in level_find() */
static void entry_store(cairn_stash_entry_t *entry, uint64_t stored_fingerprint, uint64_t loc)
{
    atomic_store_explicit(&entry->loc, loc, memory_order_release);
    atomic_store_explicit(&entry->fingerprint, stored_fingerprint, memory_order_release);
}

static uint64_t entry_fingerprint(cairn_stash_entry_t *entry)
{
    return atomic_load_explicit(&entry->fingerprint, memory_order_acquire);
}

static uint64_t entry_loc(cairn_stash_entry_t *entry)
{
    return atomic_load_explicit(&entry->loc, memory_order_acquire);
}

void cairn_moving_begin(cairn_stripe_view_t *view)
{
    uint64_t sequence = atomic_load_explicit(&view->sequence, memory_order_relaxed);

    assert((sequence & CAIRN_SEQUENCE_MOVING) == 0);
    /* what is moved is stored with release after this, so whoever sees it sees this too */
    atomic_store_explicit(&view->sequence, sequence | CAIRN_SEQUENCE_MOVING, memory_order_release);
}

void cairn_moving_end(cairn_stripe_view_t *view)
{
    uint64_t sequence = atomic_load_explicit(&view->sequence, memory_order_relaxed);
    uint64_t stash = level_top(view) != NULL ? CAIRN_SEQUENCE_STASH : 0;

    sequence &= ~(uint64_t)(CAIRN_SEQUENCE_STEP - 1);
    /* release: pairs with the acquire loads in cairn_index_find() and walk.c */
    atomic_store_explicit(&view->sequence, (sequence + CAIRN_SEQUENCE_STEP) | stash,
                          memory_order_release);
}

static cairn_stash_entry_t *level_find(cairn_stash_level_t *level, uint64_t fingerprint,
                                       cairn_index_match_cb is_match, void *ctx, cairn_loc_t *loc,
                                       unsigned *lines)
{
    uint32_t mask = level_capacity(level) - 1, at = cairn_stash_position(level, fingerprint);

    /* bounded, for a reader may run beside a change and never meet an end */
    for (uint32_t looked = 0; looked <= mask; ++looked, at = (at + 1) & mask) {
        cairn_stash_entry_t *entry = &level->entries[at];
        uint64_t stored = entry_fingerprint(entry);

        if (looked % 4 == 0)
            ++*lines;
        if (stored == 0)
            break;
        if (stored != fingerprint + 1)
            continue;
        cairn_loc_t candidate = entry_loc(entry);
        if (candidate != 0 && is_match(ctx, candidate)) {
            *loc = candidate;
            return entry;
        }
    }
    return NULL;
}

cairn_stash_entry_t *cairn_stash_find(cairn_stripe_view_t *view, uint64_t fingerprint,
                                      cairn_index_match_cb is_match, void *ctx, cairn_loc_t *loc,
                                      unsigned *lines)
{
    for (cairn_stash_level_t *level = level_top(view); level != NULL; level = level_below(level)) {
        cairn_stash_entry_t *entry = level_find(level, fingerprint, is_match, ctx, loc, lines);
        if (entry != NULL)
            return entry;
    }
    return NULL;
}

bool cairn_stash_reserve(cairn_index_t *index, unsigned stripe, size_t count)
{
    cairn_stripe_view_t *view = &index->views[stripe];
    cairn_stash_level_t *top = level_top(view);
    unsigned capacity_bits = top != NULL ? top->capacity_bits + 1 : FIRST_CAPACITY_BITS;
    size_t room = 0;

    for (cairn_stash_level_t *level = top; level != NULL; level = level_below(level))
        room += level_room(level);
    if (room >= count)
        return true;
    while (((size_t)1 << capacity_bits) / 4 * 3 + room < count)
        ++capacity_bits;

    cairn_stash_level_t *level = cairn_memory_alloc(index, level_bytes(capacity_bits));
    if (level == NULL)
        return false;
    level->retired =
        (cairn_retired_t){.kind = CAIRN_RETIRED_MALLOC, .bytes = level_bytes(capacity_bits)};
    level->capacity_bits = capacity_bits;
    atomic_store_explicit(&level->below, top, memory_order_relaxed);
    /* release: pairs with the acquire in level_top() */
    atomic_store_explicit(&view->stash, level, memory_order_release);
    /* readers look at the stash only when told so */
    cairn_moving_begin(view);
    cairn_moving_end(view);
    return true;
}

void cairn_stash_insert(cairn_index_t *index, unsigned stripe, uint64_t fingerprint,
                        cairn_loc_t loc)
{
    cairn_stash_level_t *level = level_top(&index->views[stripe]);

    while (level_room(level) == 0)
        level = level_below(level);

    uint32_t mask = level_capacity(level) - 1, at = cairn_stash_position(level, fingerprint);
    while (entry_fingerprint(&level->entries[at]) != 0)
        at = (at + 1) & mask;
    entry_store(&level->entries[at], fingerprint + 1, loc);
    ++level->count;
}

static cairn_stash_level_t *level_holding(cairn_stripe_view_t *view,
                                          const cairn_stash_entry_t *entry)
{
    cairn_stash_level_t *level = level_top(view);

    while (entry < level->entries || entry >= level->entries + level_capacity(level))
        level = level_below(level);
    return level;
}

/* takes the entry at `hole` out and lets those behind it move up, so that no search ends early */
static void level_remove(cairn_stash_level_t *level, uint32_t hole)
{
    uint32_t mask = level_capacity(level) - 1;

    for (uint32_t at = (hole + 1) & mask;; at = (at + 1) & mask) {
        uint64_t stored = entry_fingerprint(&level->entries[at]);
        if (stored == 0)
            break;
        uint32_t position = cairn_stash_position(level, stored - 1);
        /* it may move only if the hole lies between its position and where it is */
        if (((at - position) & mask) < ((at - hole) & mask))
            continue;
        entry_store(&level->entries[hole], stored, entry_loc(&level->entries[at]));
        hole = at;
    }
    entry_store(&level->entries[hole], 0, 0);
    --level->count;
}

static void level_unlink(cairn_index_t *index, cairn_stripe_view_t *view, cairn_stash_level_t *gone)
{
    _Atomic(cairn_stash_level_t *) *link = &view->stash;

    while (atomic_load_explicit(link, memory_order_relaxed) != gone)
        link = &atomic_load_explicit(link, memory_order_relaxed)->below;
    /* release: pairs with the acquire in level_top() and level_below(); `gone` keeps its own link
     * for readers that stand on it */
    atomic_store_explicit(link, level_below(gone), memory_order_release);
    cairn_retire(index, &gone->retired);
}

void cairn_stash_remove(cairn_index_t *index, unsigned stripe, cairn_stash_entry_t *entry)
{
    cairn_stripe_view_t *view = &index->views[stripe];
    cairn_stash_level_t *level = level_holding(view, entry);

    level_remove(level, (uint32_t)(entry - level->entries));
    if (level->count == 0)
        level_unlink(index, view, level);
}

/* back into the table, if its block has room; never pushes another one out into the stash */
static bool take_home(cairn_index_t *index, unsigned stripe, const cairn_table_t *table,
                      cairn_stash_entry_t *entry)
{
    cairn_place_t place = cairn_place(table, entry_fingerprint(entry) - 1);
    cairn_plan_t plan;

    cairn_block_plan(&place, entry_loc(entry), &plan);
    if (plan.overflow)
        return false;
    /* announced: a reader that has looked in the table would find it in neither place */
    cairn_moving_begin(&index->views[stripe]);
    cairn_block_apply(&plan);
    cairn_stash_remove(index, stripe, entry);
    cairn_moving_end(&index->views[stripe]);
    return true;
}

void cairn_stash_drain(cairn_index_t *index, unsigned stripe, const cairn_table_t *table)
{
    cairn_stash_level_t *level = level_top(&index->views[stripe]);

    if (level == NULL)
        return;

    /* the top level alone, for it is the one whose end frees most; the next look begins where this
     * one ends, so that all of a large level has its turn */
    uint32_t mask = level_capacity(level) - 1, at = index->stripe[stripe].drained & mask;
    for (unsigned looked = 0; looked < DRAIN_ENTRIES && looked <= mask; ++looked) {
        cairn_stash_entry_t *entry = &level->entries[at];
        bool last = level->count == 1;
        if (entry_fingerprint(entry) != 0 && take_home(index, stripe, table, entry)) {
            if (last)
                return;
            continue; /* another one may have moved up into its place */
        }
        at = (at + 1) & mask;
    }
    index->stripe[stripe].drained = at;
}
