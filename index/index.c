/*
 * index/index.c - finding, putting, removing.
 *
 * A find, without a lock and without a store:
 *   1. read the stripe's sequence word
 *   2. read the table, and from the cursor which of its two generations holds the fingerprint
 *   3. look through the home bucket and those after it, until a bucket says that the search is over
 *   4. look through the stash, if the sequence word said that there is one
 *   5. nothing? believe it if the sequence word was quiet and still is the same; else from 1
 * A key that matches is believed at once: its location was true at some moment since the find
 * began. Why a miss may be believed: between 1 and 5 entries have only been pushed away from their
 * homes, which is the way the search goes, or out of the table into the stash, which is looked at
 * last; or their unit was copied elsewhere, and what was searched is as it was at that moment.
 *
 * A change takes the stripe's lock, looks as a find does, and stores. With the lock dropped it may
 * take one step of a sweep: growth.c.
 */
#include "index/index_internal.h"

#include <assert.h>
#include <sched.h>

/* so many finds pass for one that is counted */
#define SAMPLE_EVERY 1024
/* after so many tries in vain the changer has probably lost its processor: let it have ours */
#define SPINS_MAX 64
/* lines on their way at a time: more than a core's miss buffers hold gains nothing */
#define BATCH 32

/* what a thread remembers between finds, so that counting them touches nobody else's cache line */
static _Thread_local struct {
    uint32_t finds;
    uint32_t lane; /* 0: not chosen yet */
} self;

static void sample(cairn_index_t *index, unsigned lines)
{
    static _Atomic uint32_t lanes;

    if (self.lane == 0)
        self.lane = 1 + atomic_fetch_add_explicit(&lanes, 1, memory_order_relaxed);
    cairn_sample_t *its = &index->samples[self.lane % CAIRN_SAMPLE_LANES];
    atomic_fetch_add_explicit(&its->probes, lines, memory_order_relaxed);
    atomic_fetch_add_explicit(&its->finds, 1, memory_order_relaxed);
}

static void wait_a_moment(unsigned tries)
{
    if (tries > SPINS_MAX)
        sched_yield();
#if defined(__x86_64__) || defined(__i386__)
    else
        __builtin_ia32_pause();
#endif
}

bool cairn_index_find(cairn_index_t *index, uint64_t hash, cairn_index_match_cb is_match, void *ctx,
                      cairn_loc_t *loc)
{
    uint64_t fingerprint = cairn_fingerprint(index, hash);
    cairn_stripe_view_t *view = &index->views[cairn_stripe_of(index, fingerprint)];
    unsigned lines = 0;
    bool found;

    for (unsigned tries = 0;; ++tries) {
        /* acquire: pairs with the release in cairn_moving_end() */
        uint64_t before = atomic_load_explicit(&view->sequence, memory_order_acquire);
        cairn_place_t place = cairn_place(cairn_table(index), fingerprint);

        found = cairn_block_find(&place, is_match, ctx, loc, &lines) != NULL ||
                ((before & CAIRN_SEQUENCE_STASH) != 0 &&
                 cairn_stash_find(view, fingerprint, is_match, ctx, loc, &lines) != NULL);
        /* the loads of slots are acquire loads and keep this one behind them; who read a slot that
         * cairn_block_remove() stored sees here that a move had begun */
        if (found || ((before & CAIRN_SEQUENCE_MOVING) == 0 &&
                      atomic_load_explicit(&view->sequence, memory_order_acquire) == before))
            break;
        wait_a_moment(tries);
    }
    if (__builtin_expect(++self.finds % SAMPLE_EVERY == 0, 0))
        sample(index, lines);
    return found;
}

/* the first location whose signature fits, without asking anyone; 0 when none does in the home
 * bucket */
static cairn_loc_t likely_location(const cairn_place_t *place)
{
    const cairn_bucket_t *bucket = &place->block[place->home];
    unsigned found = cairn_bucket_match(bucket, cairn_signature(place->tag, 0));

    return found != 0 ? cairn_slot_loc(cairn_slot_load(&bucket->slots[__builtin_ctz(found)])) : 0;
}

/* the lines of some keys' homes on their way, then, through `prefetch`, what lies at the likely
 * locations, which it writes, 0 where there is none. Without `ctxs` all have `ctx`. */
static void ask_ahead(cairn_index_t *index, size_t count, const uint64_t *hashes, void *const *ctxs,
                      void *ctx, cairn_index_prefetch_cb prefetch, cairn_loc_t *locs)
{
    const cairn_table_t *table = cairn_table(index);
    cairn_place_t places[BATCH];

    for (size_t i = 0; i < count; ++i) {
        places[i] = cairn_place(table, cairn_fingerprint(index, hashes[i]));
        __builtin_prefetch(&places[i].block[places[i].home]);
    }
    for (size_t i = 0; i < count; ++i) {
        locs[i] = likely_location(&places[i]);
        if (locs[i] != 0 && prefetch != NULL)
            prefetch(ctxs != NULL ? ctxs[i] : ctx, locs[i]);
        if (locs[i] == 0)
            __builtin_prefetch(&places[i].block[cairn_ring_next(&places[i], places[i].home)]);
    }
}

static void find_some(cairn_index_t *index, size_t count, const uint64_t *hashes, void *const *ctxs,
                      cairn_index_match_cb is_match, cairn_index_prefetch_cb prefetch,
                      cairn_loc_t *locs)
{
    ask_ahead(index, count, hashes, ctxs, NULL, prefetch, locs);
    for (size_t i = 0; i < count; ++i) {
        if (locs[i] != 0 && is_match(ctxs[i], locs[i]))
            continue;
        if (!cairn_index_find(index, hashes[i], is_match, ctxs[i], &locs[i]))
            locs[i] = 0;
    }
}

void cairn_index_find_batch(cairn_index_t *index, size_t count, const uint64_t *hashes,
                            void *const *ctxs, cairn_index_match_cb is_match,
                            cairn_index_prefetch_cb prefetch, cairn_loc_t *locs)
{
    for (size_t done = 0; done < count; done += BATCH)
        find_some(index, count - done < BATCH ? count - done : BATCH, hashes + done, ctxs + done,
                  is_match, prefetch, locs + done);
}

void cairn_index_prefetch(cairn_index_t *index, size_t count, const uint64_t *hashes,
                          cairn_index_prefetch_cb prefetch, void *ctx)
{
    cairn_loc_t locs[BATCH];

    for (size_t done = 0; done < count; done += BATCH)
        ask_ahead(index, count - done < BATCH ? count - done : BATCH, hashes + done, NULL, ctx,
                  prefetch, locs);
}

/* ---- changes */

/* a stripe, locked, and what was found in it */
typedef struct st_change_t {
    cairn_table_t *table;
    uint64_t fingerprint;
    unsigned stripe;
    cairn_place_t place;
    cairn_slot_t *slot;         /* where the key is, if it is in the table */
    cairn_stash_entry_t *entry; /* or in the stash */
    cairn_loc_t loc;            /* the location it has there */
} change_t;

static change_t change_begin(cairn_index_t *index, uint64_t hash, cairn_index_match_cb is_match,
                             void *ctx)
{
    change_t change = {.fingerprint = cairn_fingerprint(index, hash)};
    unsigned lines = 0;

    change.stripe = cairn_stripe_of(index, change.fingerprint);
    /* on its way while the lock is taken; if the unit moves in between that was for nothing */
    change.place = cairn_place(cairn_table(index), change.fingerprint);
    __builtin_prefetch(&change.place.block[change.place.home], 1);
    /* half of the inserts look further than their home */
    __builtin_prefetch(&change.place.block[cairn_ring_next(&change.place, change.place.home)], 1);
    pthread_mutex_lock(&index->stripe[change.stripe].lock);
    /* under the lock no unit of this stripe moves, so the place holds until the lock is dropped */
    change.table = cairn_table(index);
    change.place = cairn_place(change.table, change.fingerprint);
    change.slot = cairn_block_find(&change.place, is_match, ctx, &change.loc, &lines);
    if (change.slot == NULL)
        change.entry = cairn_stash_find(&index->views[change.stripe], change.fingerprint, is_match,
                                        ctx, &change.loc, &lines);
    return change;
}

static bool change_found(const change_t *change)
{
    return change->slot != NULL || change->entry != NULL;
}

static void change_end(cairn_index_t *index, change_t *change, int64_t keys)
{
    cairn_stripe_t *stripe = &index->stripe[change->stripe];
    bool due = false;

    if (keys != 0) {
        /* relaxed: it is a count, and the lock orders those who decide by it */
        uint64_t before = atomic_load_explicit(&stripe->keys, memory_order_relaxed);
        /* a forged dump may have more entries than it counts; ours never gets there */
        if (keys > 0 || before > 0)
            atomic_store_explicit(&stripe->keys, before + (uint64_t)keys, memory_order_relaxed);
        due = cairn_growth_due(index, change->stripe, change->table, keys > 0);
    }
    pthread_mutex_unlock(&stripe->lock);
    if (due)
        cairn_growth_step(index);
}

static void change_store(change_t *change, cairn_loc_t loc)
{
    if (change->slot != NULL)
        cairn_slot_store(change->slot, (cairn_slot_peek(change->slot) & ~CAIRN_LOC_MAX) | loc);
    else
        /* release: pairs with the acquire in cairn_stash_find() */
        atomic_store_explicit(&change->entry->loc, loc, memory_order_release);
}

/* a key that was not there; false without memory */
static bool insert_locked(cairn_index_t *index, change_t *change, cairn_loc_t loc)
{
    cairn_plan_t plan;

    cairn_block_plan(&change->place, loc, &plan);
    if (plan.overflow) {
        const cairn_view_t *view = cairn_view_of(change->table, change->fingerprint);
        uint64_t block = change->fingerprint >> view->span_bits << view->span_bits;
        uint64_t begin = cairn_home_begin(view, plan.homeless_home);

        if (!cairn_stash_reserve(index, change->stripe, 1))
            return false;
        /* into the stash before it is overwritten in the table: readers look in that order */
        cairn_stash_insert(index, change->stripe,
                           block | cairn_rebuild(view, begin, cairn_slot_tag(plan.homeless)),
                           cairn_slot_loc(plan.homeless));
    }
    cairn_block_apply(&plan);
    return true;
}

static void remove_locked(cairn_index_t *index, change_t *change)
{
    cairn_stripe_view_t *view = &index->views[change->stripe];

    if (change->entry != NULL) {
        cairn_moving_begin(view);
        cairn_stash_remove(index, change->stripe, change->entry);
        cairn_moving_end(view);
        return;
    }

    uint32_t bucket = (uint32_t)((size_t)((char *)change->slot - (char *)change->place.block) /
                                 sizeof(cairn_bucket_t));
    if (!cairn_block_remove_moves(&change->place, bucket)) {
        cairn_slot_store(change->slot, 0);
        return;
    }
    cairn_moving_begin(view);
    cairn_block_remove(&change->place, bucket, change->slot);
    cairn_moving_end(view);
}

cairn_index_result_t cairn_index_put(cairn_index_t *index, uint64_t hash,
                                     cairn_index_match_cb is_match, void *ctx, cairn_loc_t loc,
                                     cairn_loc_t *old)
{
    assert(loc != 0 && loc <= CAIRN_LOC_MAX);

    change_t change = change_begin(index, hash, is_match, ctx);
    *old = change_found(&change) ? change.loc : 0;
    if (change_found(&change)) {
        change_store(&change, loc);
        change_end(index, &change, 0);
        return CAIRN_INDEX_REPLACED;
    }

    bool inserted = insert_locked(index, &change, loc);
    change_end(index, &change, inserted ? 1 : 0);
    return inserted ? CAIRN_INDEX_INSERTED : CAIRN_INDEX_NOMEM;
}

static bool is_at(void *ctx, cairn_loc_t loc)
{
    return *(const cairn_loc_t *)ctx == loc;
}

cairn_index_result_t cairn_index_replace_if_at(cairn_index_t *index, uint64_t hash,
                                               cairn_loc_t from, cairn_loc_t to)
{
    assert(to != 0 && to <= CAIRN_LOC_MAX);

    change_t change = change_begin(index, hash, is_at, &from);
    bool found = change_found(&change);

    if (found)
        change_store(&change, to);
    change_end(index, &change, 0);
    return found ? CAIRN_INDEX_REPLACED : CAIRN_INDEX_ABSENT;
}

cairn_index_result_t cairn_index_remove(cairn_index_t *index, uint64_t hash,
                                        cairn_index_match_cb is_match, void *ctx, cairn_loc_t *old)
{
    change_t change = change_begin(index, hash, is_match, ctx);
    bool found = change_found(&change);

    *old = found ? change.loc : 0;
    if (found)
        remove_locked(index, &change);
    change_end(index, &change, found ? -1 : 0);
    return found ? CAIRN_INDEX_REPLACED : CAIRN_INDEX_ABSENT;
}

/* ---- what operators see */

void cairn_index_stats(cairn_index_t *index, cairn_index_stats_t *stats)
{
    const cairn_table_t *table = cairn_table(index);
    uint64_t cursor = cairn_cursor(table);
    uint64_t from_slots = ((uint64_t)table->from.buckets * CAIRN_BUCKET_SLOTS)
                          << (table->unit_bits - table->from.span_bits);
    uint64_t to_slots = ((uint64_t)table->to.buckets * CAIRN_BUCKET_SLOTS)
                        << (table->unit_bits - table->to.span_bits);

    *stats = (cairn_index_stats_t){
        .keys = cairn_index_keys(index),
        .bytes = (uint64_t)atomic_load_explicit(&index->bytes, memory_order_relaxed),
        .slots = cursor * to_slots + (table->units - cursor) * from_slots};
    for (unsigned i = 0; i < CAIRN_SAMPLE_LANES; ++i) {
        stats->probes += atomic_load_explicit(&index->samples[i].probes, memory_order_relaxed);
        stats->finds += atomic_load_explicit(&index->samples[i].finds, memory_order_relaxed);
    }
}
