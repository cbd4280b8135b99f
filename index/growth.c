/*
 * index/growth.c - the tables grow and shrink in eighths, in steps of a few microseconds.
 *
 * The normal path: a change notices that its stripe is too full (cairn_growth_due) and, with no
 * lock held, takes a step (cairn_growth_step). The first step maps the next generation and
 * publishes a table that sweeps; each of the following moves one unit, in order of fingerprints,
 * into it; the last publishes a table without a sweep and retires the old generation. One thread
 * steps at a time; the others go on with their changes. Shrinking is the same with a smaller
 * generation.
 *
 * A unit is copied (copy.c), under its stripe's lock, into memory nobody looks at yet; then the
 * cursor moves past it. Readers need not be told: who still reads the old place reads what was true
 * when the cursor moved, which is after that reader began.
 *
 * Pages: fresh memory is the slow part, a huge page can take milliseconds. cairn_index_reclaim()
 * makes them ready ahead of the cursor; where it was not called in time a step touches small pages,
 * only as many as its unit has.
 *
 * What can fail is memory: then no sweep begins, or the sweep stays where it is until a later step
 * has better luck. The tables just fill up meanwhile, and what finds no room goes to the stash.
 */
#include "index/index_internal.h"

#include <assert.h>
#include <sched.h>
#include <sys/mman.h>

#include "index/qsbr.h"

/* 82 of 100: a sweep that begins here ends before any unit is fuller than 86 */
#define GROW_PERCENT 82
/* a full stripe alone does not grow the tables: it may be full of keys that no growth takes apart
 */
#define GROW_TOTAL_PERCENT 70
/* less than what growing from GROW_TOTAL_PERCENT leaves, so that the two never chase each other */
#define SHRINK_PERCENT 56

#define CHUNK_BYTES ((size_t)64 << 10)
#define HUGE_CHUNK_BYTES ((size_t)2 << 20)
/* below this a generation has small pages: they cost less to get, and lookups hit the caches anyway
 */
#define HUGE_BYTES_MIN ((size_t)16 << 20)
/* while reclaim lags, one of so many steps is taken: just enough for the sweep to end before the
 * next must begin */
#define LAGGING_PACE 3
/* the part of a generation that may be left and still held before reclaim is said to lag */
#define HELD_SHARE 8
/* how far ahead of the sweep reclaim prepares: what ten milliseconds of inserting use */
#define PREPARE_BYTES ((size_t)8 << 20)

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif

/* ---- generations */

unsigned cairn_generation_span_bits(cairn_shape_t shape, unsigned number)
{
    return shape.block_bits + CAIRN_TAG_BITS - number / 8;
}

unsigned cairn_generation_buckets(cairn_shape_t shape, unsigned number)
{
    return (8 + number % 8) << (shape.block_bits - 3);
}

static uint64_t generation_blocks(cairn_shape_t shape, unsigned number)
{
    return (uint64_t)1 << (shape.stripe_bits + number / 8);
}

size_t cairn_generation_bytes(cairn_shape_t shape, unsigned number)
{
    return generation_blocks(shape, number) * cairn_generation_buckets(shape, number) *
           sizeof(cairn_bucket_t);
}

/* the memory up to `end` is now held: whole chunks of it */
static void generation_hold(cairn_index_t *index, cairn_generation_t *generation, size_t end)
{
    size_t rounded =
        (end + generation->chunk_bytes - 1) / generation->chunk_bytes * generation->chunk_bytes;

    if (rounded <= generation->held_end)
        return;
    atomic_fetch_add_explicit(&index->bytes, (int64_t)(rounded - generation->held_end),
                              memory_order_relaxed);
    generation->held_end = rounded;
}

static cairn_generation_t *generation_create(cairn_index_t *index, unsigned number)
{
    cairn_generation_t *generation = cairn_memory_alloc(index, sizeof(*generation));
    size_t bytes = cairn_generation_bytes(index->shape, number);

    if (generation == NULL)
        return NULL;
    generation->retired.kind = CAIRN_RETIRED_GENERATION;
    generation->number = number;
    generation->huge = bytes >= HUGE_BYTES_MIN;
    generation->chunk_bytes = generation->huge ? HUGE_CHUNK_BYTES : CHUNK_BYTES;
    if (bytes < generation->chunk_bytes)
        generation->chunk_bytes = 4096;
    generation->bytes =
        (bytes + generation->chunk_bytes - 1) / generation->chunk_bytes * generation->chunk_bytes;
    generation->mapping_bytes = generation->bytes;
    generation->mapping = cairn_memory_map(generation->bytes, generation->chunk_bytes);
    if (generation->mapping == NULL) {
        cairn_memory_free(index, generation, sizeof(*generation));
        return NULL;
    }
    generation->base = generation->mapping;
    return generation;
}

/* gives the pages from held_begin to `end` back, a chunk at a time: the kernel holds a lock that
 * page faults want while it does one */
static void generation_give_back(cairn_index_t *index, cairn_generation_t *generation, size_t end)
{
    size_t begin = atomic_load_explicit(&generation->held_begin, memory_order_relaxed);

    while (begin < end) {
        size_t bytes = end - begin < HUGE_CHUNK_BYTES ? end - begin : HUGE_CHUNK_BYTES;
        madvise((char *)generation->base + begin, bytes, MADV_DONTNEED);
        begin += bytes;
        /* relaxed: a count that steps pace themselves by */
        atomic_store_explicit(&generation->held_begin, begin, memory_order_relaxed);
        atomic_fetch_sub_explicit(&index->bytes, (int64_t)bytes, memory_order_relaxed);
    }
}

void cairn_generation_destroy(cairn_index_t *index, cairn_generation_t *generation)
{
    generation_give_back(index, generation, generation->held_end);
    /* a loaded generation lies in the caller's mapping, with a head and a tail that are ours too */
    atomic_fetch_sub_explicit(&index->bytes,
                              (int64_t)(generation->mapping_bytes - generation->bytes),
                              memory_order_relaxed);
    cairn_memory_unmap(generation->mapping, generation->mapping_bytes);
    cairn_memory_free(index, generation, sizeof(*generation));
}

/* ---- tables */

static cairn_view_t view_of_generation(cairn_shape_t shape, cairn_generation_t *generation)
{
    return (cairn_view_t){.base = generation->base,
                          .buckets = cairn_generation_buckets(shape, generation->number),
                          .span_bits = cairn_generation_span_bits(shape, generation->number),
                          .generation = generation};
}

cairn_table_t *cairn_table_create(cairn_index_t *index, cairn_generation_t *from,
                                  cairn_generation_t *to)
{
    cairn_table_t *table = cairn_memory_alloc(index, sizeof(*table));

    if (table == NULL)
        return NULL;
    table->retired = (cairn_retired_t){.kind = CAIRN_RETIRED_MALLOC, .bytes = sizeof(*table)};
    table->from = view_of_generation(index->shape, from);
    table->to = view_of_generation(index->shape, to);
    table->sweeping = from != to;
    table->unit_bits =
        table->from.span_bits > table->to.span_bits ? table->from.span_bits : table->to.span_bits;
    table->units = (uint64_t)1 << (index->fingerprint_bits - table->unit_bits);

    uint64_t stripe_slots = generation_blocks(index->shape, to->number) / index->stripes *
                            table->to.buckets * CAIRN_BUCKET_SLOTS;
    table->grow_at = stripe_slots * GROW_PERCENT / 100;
    table->shrink_at = to->number > 0 ? stripe_slots * SHRINK_PERCENT / 100 : 0;
    return table;
}

static void table_publish(cairn_index_t *index, cairn_table_t *table)
{
    /* release: pairs with the acquire in cairn_table() */
    atomic_store_explicit(&index->table, table, memory_order_release);
}

void cairn_retire(cairn_index_t *index, cairn_retired_t *retired)
{
    pthread_mutex_lock(&index->retire);
    retired->next = index->retired;
    index->retired = retired;
    pthread_mutex_unlock(&index->retire);
}

uint64_t cairn_index_keys(cairn_index_t *index)
{
    uint64_t keys = 0;

    for (unsigned i = 0; i < index->stripes; ++i)
        keys += atomic_load_explicit(&index->stripe[i].keys, memory_order_relaxed);
    return keys;
}

/* ---- create and destroy */

cairn_index_t *cairn_index_create_bare(cairn_shape_t shape)
{
    cairn_index_t *index = cairn_memory_alloc(NULL, sizeof(*index));

    if (index == NULL)
        return NULL;
    index->shape = shape;
    index->fingerprint_bits = shape.stripe_bits + shape.block_bits + CAIRN_TAG_BITS;
    index->stripes = 1u << shape.stripe_bits;
    index->preparing = SIZE_MAX;
    index->bytes = sizeof(*index);
    pthread_mutex_init(&index->sweep, NULL);
    pthread_mutex_init(&index->retire, NULL);
    pthread_mutex_init(&index->reclaim, NULL);
    for (unsigned i = 0; i < index->stripes; ++i)
        pthread_mutex_init(&index->stripe[i].lock, NULL);
    return index;
}

cairn_index_t *cairn_index_create_shaped(cairn_shape_t shape)
{
    cairn_index_t *index = cairn_index_create_bare(shape);
    cairn_generation_t *generation = NULL;
    cairn_table_t *table = NULL;

    if (index == NULL)
        return NULL;
    if ((generation = generation_create(index, 0)) == NULL ||
        (table = cairn_table_create(index, generation, generation)) == NULL)
        goto Error;
    generation_hold(index, generation, generation->bytes);
    table_publish(index, table);
    return index;

Error:
    if (generation != NULL)
        cairn_generation_destroy(index, generation);
    cairn_index_destroy(index);
    return NULL;
}

cairn_index_t *cairn_index_create(void)
{
    return cairn_index_create_shaped(CAIRN_SHAPE);
}

static void free_retired(cairn_index_t *index, cairn_retired_t *retired)
{
    while (retired != NULL) {
        cairn_retired_t *next = retired->next;
        if (retired->kind == CAIRN_RETIRED_GENERATION)
            cairn_generation_destroy(index, (cairn_generation_t *)retired);
        else
            cairn_memory_free(index, retired, retired->bytes);
        retired = next;
    }
}

static void free_stash(cairn_index_t *index, cairn_stripe_view_t *view)
{
    cairn_stash_level_t *level = atomic_load_explicit(&view->stash, memory_order_relaxed);

    while (level != NULL) {
        cairn_stash_level_t *below = atomic_load_explicit(&level->below, memory_order_relaxed);
        cairn_memory_free(index, level, level->retired.bytes);
        level = below;
    }
}

void cairn_index_destroy(cairn_index_t *index)
{
    if (index == NULL)
        return;

    cairn_table_t *table = cairn_table(index);
    free_retired(index, index->retired);
    if (table != NULL) {
        if (table->sweeping)
            cairn_generation_destroy(index, table->from.generation);
        cairn_generation_destroy(index, table->to.generation);
        cairn_memory_free(index, table, sizeof(*table));
    }
    for (unsigned i = 0; i < index->stripes; ++i) {
        free_stash(index, &index->views[i]);
        pthread_mutex_destroy(&index->stripe[i].lock);
    }
    cairn_memory_free(index, index->homeless, index->homeless_room * sizeof(*index->homeless));
    /* all that was counted has been freed, or the figure given to operators was wrong */
    assert(index->bytes == (int64_t)sizeof(*index));
    pthread_mutex_destroy(&index->sweep);
    pthread_mutex_destroy(&index->retire);
    pthread_mutex_destroy(&index->reclaim);
    cairn_memory_free(NULL, index, sizeof(*index));
}

/* ---- moving one unit */

/* the bytes that a unit takes in the generation of `view` */
static size_t unit_bytes(const cairn_table_t *table, const cairn_view_t *view)
{
    return (sizeof(cairn_bucket_t) * view->buckets) << (table->unit_bits - view->span_bits);
}

/* the memory that the unit goes to; false while reclaim makes its pages, which must not be touched
 * then: whoever touches a huge page waits for all of it */
static bool unit_memory(cairn_index_t *index, cairn_table_t *table, uint64_t unit)
{
    size_t end = (unit + 1) * unit_bytes(table, &table->to);

    if (index->preparing < end)
        return false;
    generation_hold(index, table->to.generation, end);
    return true;
}

/* whether reclaim is behind: pages are not ready, or too much that has been left is still held */
static bool reclaim_lags(const cairn_table_t *table)
{
    uint64_t cursor = cairn_cursor(table);
    cairn_generation_t *from = table->from.generation, *to = table->to.generation;
    size_t left = cursor * unit_bytes(table, &table->from) -
                  atomic_load_explicit(&from->held_begin, memory_order_relaxed);

    return (to->huge && (cursor + 1) * unit_bytes(table, &table->to) > to->held_end) ||
           left > from->bytes / HELD_SHARE;
}

static bool move_unit(cairn_index_t *index, cairn_table_t *table)
{
    uint64_t unit = cairn_cursor(table);
    unsigned stripe = cairn_stripe_of(index, unit << table->unit_bits);
    bool moved;

    if (!unit_memory(index, table, unit))
        return false;
    pthread_mutex_lock(&index->stripe[stripe].lock);
    moved = cairn_unit_copy_locked(index, table, unit, stripe);
    if (moved) {
        /* release: pairs with the acquire in cairn_cursor() */
        atomic_store_explicit(&table->cursor, unit + 1, memory_order_release);
        cairn_stash_drain(index, stripe, table);
    }
    pthread_mutex_unlock(&index->stripe[stripe].lock);
    return moved;
}

/* ---- sweeps */

static bool sweep_begin(cairn_index_t *index, cairn_table_t *table, unsigned number)
{
    cairn_generation_t *generation = generation_create(index, number);

    if (generation == NULL)
        return false;

    cairn_table_t *next = cairn_table_create(index, table->to.generation, generation);
    if (next == NULL) {
        cairn_generation_destroy(index, generation);
        return false;
    }
    table_publish(index, next);
    cairn_retire(index, &table->retired);
    return true;
}

static bool sweep_end(cairn_index_t *index, cairn_table_t *table)
{
    cairn_table_t *next = cairn_table_create(index, table->to.generation, table->to.generation);

    if (next == NULL)
        return false;
    table_publish(index, next);
    cairn_retire(index, &table->from.generation->retired);
    cairn_retire(index, &table->retired);
    return true;
}

static bool sweep_step(cairn_index_t *index, cairn_table_t *table)
{
    return cairn_cursor(table) < table->units ? move_unit(index, table) : sweep_end(index, table);
}

static uint64_t fullest_stripe(cairn_index_t *index)
{
    uint64_t fullest = 0;

    for (unsigned i = 0; i < index->stripes; ++i) {
        uint64_t keys = atomic_load_explicit(&index->stripe[i].keys, memory_order_relaxed);
        if (keys > fullest)
            fullest = keys;
    }
    return fullest;
}

static void sweep_begin_if_due(cairn_index_t *index, cairn_table_t *table)
{
    uint64_t keys = cairn_index_keys(index);
    unsigned number = table->to.generation->number;
    uint64_t slots = cairn_generation_bytes(index->shape, number) / sizeof(cairn_slot_t);

    if (fullest_stripe(index) > table->grow_at && keys * 100 >= slots * GROW_TOTAL_PERCENT) {
        if (number + 1 < CAIRN_GENERATIONS)
            sweep_begin(index, table, number + 1);
    } else if (number > 0 && keys * 100 < slots * SHRINK_PERCENT) {
        sweep_begin(index, table, number - 1);
    }
}

bool cairn_growth_due(cairn_index_t *index, unsigned stripe, const cairn_table_t *table,
                      bool inserted)
{
    cairn_stripe_t *its = &index->stripe[stripe];
    /* a unit has to be moved for every so many inserts as a block gains in an eighth, a tenth of
     * its slots; this is three times as often, so that LAGGING_PACE has something to give away */
    uint32_t pace = 1u << (index->shape.block_bits - 2);

    if (++its->changes % pace != 0)
        return false;
    if (table->sweeping)
        return true;
    uint64_t keys = atomic_load_explicit(&its->keys, memory_order_relaxed);
    return inserted ? keys > table->grow_at : keys < table->shrink_at;
}

void cairn_growth_step(cairn_index_t *index)
{
    /* busy: somebody else is at it, and one is enough */
    if (pthread_mutex_trylock(&index->sweep) != 0)
        return;
    if (index->paused == 0) {
        cairn_table_t *table = cairn_table(index);
        if (table->sweeping && (++index->steps % LAGGING_PACE == 0 || !reclaim_lags(table)))
            sweep_step(index, table);
        if (!table->sweeping)
            sweep_begin_if_due(index, table);
    }
    pthread_mutex_unlock(&index->sweep);
}

bool cairn_growth_finish_locked(cairn_index_t *index)
{
    cairn_table_t *table;

    while ((table = cairn_table(index))->sweeping) {
        if (sweep_step(index, table))
            continue;
        if (index->preparing == SIZE_MAX)
            return false;
        /* reclaim wants the sweep lock to say that its pages are ready */
        pthread_mutex_unlock(&index->sweep);
        sched_yield();
        pthread_mutex_lock(&index->sweep);
    }
    return true;
}

/* ---- memory back, and memory ahead */

static void touch(void *memory, size_t bytes)
{
    madvise(memory, bytes, MADV_HUGEPAGE);
    if (madvise(memory, bytes, MADV_POPULATE_WRITE) == 0)
        return;
    /* a kernel before 5.14 */
    for (size_t offset = 0; offset < bytes; offset += 4096)
        *((volatile char *)memory + offset) = 0;
}

/* makes one chunk's pages; false when enough are ready */
static bool prepare_chunk(cairn_index_t *index)
{
    cairn_generation_t *generation = NULL;
    size_t begin = 0;

    pthread_mutex_lock(&index->sweep);
    cairn_table_t *table = cairn_table(index);
    if (table->sweeping && table->to.generation->huge) {
        cairn_generation_t *to = table->to.generation;
        size_t ahead = to->bytes / 16 < PREPARE_BYTES ? to->bytes / 16 : PREPARE_BYTES;
        begin = to->held_end;
        if (begin < to->bytes &&
            begin <= cairn_cursor(table) * unit_bytes(table, &table->to) + ahead) {
            generation = to;
            index->preparing = begin;
        }
    }
    pthread_mutex_unlock(&index->sweep);
    if (generation == NULL)
        return false;

    /* the sweep cannot pass `preparing`, so the generation stays what it is meanwhile */
    touch((char *)generation->base + begin, generation->chunk_bytes);

    pthread_mutex_lock(&index->sweep);
    generation_hold(index, generation, begin + generation->chunk_bytes);
    index->preparing = SIZE_MAX;
    pthread_mutex_unlock(&index->sweep);
    return true;
}

/* how much of the generation being left no new reader looks at; NULL when none of it is worth a
 * wait */
static cairn_generation_t *passed_memory(cairn_index_t *index, size_t *end)
{
    cairn_table_t *table = cairn_table(index);

    if (!table->sweeping)
        return NULL;

    cairn_generation_t *generation = table->from.generation;
    *end = cairn_cursor(table) * unit_bytes(table, &table->from) / generation->chunk_bytes *
           generation->chunk_bytes;
    return *end > atomic_load_explicit(&generation->held_begin, memory_order_relaxed) ? generation
                                                                                      : NULL;
}

bool cairn_index_reclaim(cairn_index_t *index)
{
    if (pthread_mutex_trylock(&index->reclaim) != 0)
        return false;
    /* bounded: a sweep that is as fast as this must not keep what it has left from being given back
     */
    size_t made = 0;
    while (made < PREPARE_BYTES && prepare_chunk(index))
        made += HUGE_CHUNK_BYTES;

    pthread_mutex_lock(&index->retire);
    cairn_retired_t *retired = index->retired;
    index->retired = NULL;
    pthread_mutex_unlock(&index->retire);

    size_t end = 0;
    cairn_generation_t *passed = passed_memory(index, &end);
    bool was_needed = made != 0 || retired != NULL || passed != NULL;
    if (retired != NULL || passed != NULL) {
        synchronize_rcu();
        /* it may have been retired since, but only this function frees what was */
        if (passed != NULL)
            generation_give_back(index, passed, end);
        free_retired(index, retired);
    }
    pthread_mutex_unlock(&index->reclaim);
    return was_needed;
}
