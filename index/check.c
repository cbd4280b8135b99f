/*
 * index/check.c - the invariants, and the one function that asserts them.
 *
 *  1. A slot that is not empty holds a location other than 0.
 *  2. The fingerprint rebuilt from an entry's home and tag has that home.
 *  3. An entry that has walked finds every bucket between its home and its own full, ...
 *  4. ... and nobody there who has walked less than it had when it passed.
 *  5. Below the cursor entries are placed by the new generation; the unit at the cursor has nothing
 * in the new generation yet.
 *  6. A stripe's count of keys is the number of its entries in the table and in the stash.
 *  7. The stash is flagged in the sequence word if and only if there is one; no move is in progress
 *     while the lock is free.
 *  8. A stash entry belongs to its stripe, and a search from its position meets it.
 *  9. A level of the stash counts its entries and has an empty one.
 * 10. The memory held covers what is used: [held_begin, held_end) has every bucket of the unswept
 * part of the old generation and of the swept part of the new one.
 */
#include "index/index_internal.h"

#include <stdio.h>
#include <stdlib.h>

#define ENSURE(number, condition)                                                                  \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "index: invariant %d does not hold: %s (%s:%d)\n", (number),           \
                    #condition, __FILE__, __LINE__);                                               \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

static uint64_t slot_at(const cairn_view_t *view, uint64_t block, uint32_t bucket, unsigned slot)
{
    return cairn_slot_peek(&view->base[block * view->buckets + bucket].slots[slot]);
}

static void check_path(const cairn_view_t *view, uint64_t block, uint32_t home, unsigned walked)
{
    for (unsigned before = 0; before < walked; ++before)
        for (unsigned i = 0; i < CAIRN_BUCKET_SLOTS; ++i) {
            uint64_t other = slot_at(view, block, (home + before) % view->buckets, i);
            ENSURE(3, other != 0);
            ENSURE(4, cairn_slot_walked(other) >= before);
        }
}

/* counts the entries of a block */
static uint64_t check_block(const cairn_view_t *view, uint64_t block)
{
    uint64_t entries = 0;

    for (uint32_t at = 0; at < view->buckets; ++at)
        for (unsigned i = 0; i < CAIRN_BUCKET_SLOTS; ++i) {
            uint64_t value = slot_at(view, block, at, i);
            if (value == 0)
                continue;
            unsigned walked = cairn_slot_walked(value);
            uint32_t home = cairn_ring_back(view->buckets, at, walked);
            uint64_t in_block =
                cairn_rebuild(view, cairn_home_begin(view, home), cairn_slot_tag(value));
            ENSURE(1, cairn_slot_loc(value) != 0);
            ENSURE(2, in_block * view->buckets >> view->span_bits == home);
            check_path(view, block, home, walked);
            ++entries;
        }
    return entries;
}

static void check_untouched(const cairn_view_t *view, uint64_t block)
{
    for (uint32_t at = 0; at < view->buckets; ++at)
        for (unsigned i = 0; i < CAIRN_BUCKET_SLOTS; ++i)
            ENSURE(5, slot_at(view, block, at, i) == 0);
}

static uint64_t check_level(cairn_index_t *index, unsigned stripe, cairn_stash_level_t *level)
{
    uint32_t mask = ((uint32_t)1 << level->capacity_bits) - 1;
    uint64_t entries = 0;

    for (uint32_t i = 0; i <= mask; ++i) {
        uint64_t stored = level->entries[i].fingerprint;
        if (stored == 0)
            continue;
        ENSURE(8, cairn_stripe_of(index, stored - 1) == stripe);
        ENSURE(1, level->entries[i].loc != 0);
        for (uint32_t at = cairn_stash_position(level, stored - 1); at != i; at = (at + 1) & mask)
            ENSURE(8, level->entries[at].fingerprint != 0);
        ++entries;
    }
    ENSURE(9, entries == level->count);
    ENSURE(9, entries <= mask);
    return entries;
}

static uint64_t check_unit(const cairn_table_t *table, uint64_t unit)
{
    uint64_t cursor = cairn_cursor(table);
    const cairn_view_t *view = unit < cursor ? &table->to : &table->from;
    uint64_t blocks = (uint64_t)1 << (table->unit_bits - view->span_bits);
    uint64_t entries = 0;

    for (uint64_t block = unit * blocks; block < (unit + 1) * blocks; ++block)
        entries += check_block(view, block);
    if (table->sweeping && unit == cursor)
        check_untouched(&table->to, unit << (table->unit_bits - table->to.span_bits));
    return entries;
}

static void check_stripe_locked(cairn_index_t *index, const cairn_table_t *table, unsigned stripe)
{
    uint64_t units = table->units / index->stripes, entries = 0;
    uint64_t sequence = atomic_load_explicit(&index->views[stripe].sequence, memory_order_relaxed);
    cairn_stash_level_t *stash =
        atomic_load_explicit(&index->views[stripe].stash, memory_order_relaxed);

    ENSURE(7, (sequence & CAIRN_SEQUENCE_MOVING) == 0);
    ENSURE(7, ((sequence & CAIRN_SEQUENCE_STASH) != 0) == (stash != NULL));
    for (uint64_t unit = stripe * units; unit < (stripe + 1) * units; ++unit)
        entries += check_unit(table, unit);
    for (; stash != NULL; stash = atomic_load_explicit(&stash->below, memory_order_relaxed))
        entries += check_level(index, stripe, stash);
    ENSURE(6, entries == atomic_load_explicit(&index->stripe[stripe].keys, memory_order_relaxed));
}

static void check_memory_locked(cairn_index_t *index, const cairn_table_t *table)
{
    uint64_t cursor = cairn_cursor(table);
    size_t from_bytes = (sizeof(cairn_bucket_t) * table->from.buckets)
                        << (table->unit_bits - table->from.span_bits);
    size_t to_bytes = (sizeof(cairn_bucket_t) * table->to.buckets)
                      << (table->unit_bits - table->to.span_bits);

    ENSURE(10, table->from.generation->held_begin <= cursor * from_bytes);
    ENSURE(10, table->from.generation->held_end >= table->units * from_bytes);
    ENSURE(10, table->to.generation->held_begin == 0);
    ENSURE(10, table->to.generation->held_end >= cursor * to_bytes);
    ENSURE(10, atomic_load_explicit(&index->bytes, memory_order_relaxed) >=
                   (int64_t)(table->to.generation->held_end + sizeof(*index)));
}

void cairn_index_check(cairn_index_t *index)
{
    /* no sweep moves meanwhile; changes that find it busy do without */
    pthread_mutex_lock(&index->sweep);
    const cairn_table_t *table = cairn_table(index);

    check_memory_locked(index, table);
    for (unsigned stripe = 0; stripe < index->stripes; ++stripe) {
        pthread_mutex_lock(&index->stripe[stripe].lock);
        check_stripe_locked(index, table, stripe);
        pthread_mutex_unlock(&index->stripe[stripe].lock);
    }
    pthread_mutex_unlock(&index->sweep);
}
