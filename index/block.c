/*
 * index/block.c - changes in one block: a ring of buckets in Robin Hood order.
 *
 * An entry lives in its home bucket or in one of the next CAIRN_WALKED_MAX. Who has walked further
 * has the better right to a slot, so entries stand in the order of their homes, and a lookup may
 * stop at the first bucket where somebody has walked less than it has, or where a slot is empty.
 *
 * Inserting pushes entries away from their homes, the last one of the chain first: each is stored
 * in its new slot before its old one is overwritten, and a reader walks the same way, so it meets
 * every entry at least once without being told. Removing pulls entries back towards their homes,
 * past a reader that may already have looked there; so it is announced (cairn_moving_begin).
 *
 * All functions here want the stripe's lock held, or a block that nobody else can see yet.
 */
#include "index/index_internal.h"

/* the entry of the bucket that has walked least: it has the least right to its slot */
static cairn_slot_t *richest(cairn_bucket_t *bucket, unsigned *walked)
{
    cairn_slot_t *slot = NULL;

    *walked = CAIRN_WALKED_MAX + 1;
    for (unsigned i = 0; i < CAIRN_BUCKET_SLOTS; ++i) {
        unsigned its = cairn_slot_walked(cairn_slot_peek(&bucket->slots[i]));
        if (its < *walked) {
            *walked = its;
            slot = &bucket->slots[i];
        }
    }
    return slot;
}

/* the entry that has walked furthest, NULL if all are at home or none is there */
static cairn_slot_t *poorest(cairn_bucket_t *bucket)
{
    cairn_slot_t *slot = NULL;
    unsigned walked = 0;

    for (unsigned i = 0; i < CAIRN_BUCKET_SLOTS; ++i) {
        unsigned its = cairn_slot_walked(cairn_slot_peek(&bucket->slots[i]));
        if (its > walked) {
            walked = its;
            slot = &bucket->slots[i];
        }
    }
    return slot;
}

static void plan_step(cairn_plan_t *plan, cairn_slot_t *slot, uint64_t value)
{
    plan->steps[plan->count].slot = slot;
    plan->steps[plan->count++].value = value;
}

void cairn_block_plan(const cairn_place_t *place, cairn_loc_t loc, cairn_plan_t *plan)
{
    uint64_t tag = place->tag;
    unsigned walked = 0;
    uint32_t at = place->home;

    plan->count = 0;
    plan->overflow = false;
    /* once round the ring at most: a second visit would plan with slots that already have a plan */
    for (uint32_t visited = 0; visited < place->buckets && walked <= CAIRN_WALKED_MAX; ++visited) {
        cairn_bucket_t *bucket = &place->block[at];
        unsigned empty = cairn_bucket_empty(bucket);

        if (empty != 0) {
            plan_step(plan, &bucket->slots[__builtin_ctz(empty)],
                      cairn_slot_make(tag, walked, loc));
            plan->filled = at;
            return;
        }

        unsigned its;
        cairn_slot_t *victim = richest(bucket, &its);
        if (its < walked) {
            uint64_t value = cairn_slot_peek(victim);
            plan_step(plan, victim, cairn_slot_make(tag, walked, loc));
            tag = cairn_slot_tag(value);
            loc = cairn_slot_loc(value);
            walked = its;
        }
        ++walked;
        at = cairn_ring_next(place, at);
    }
    plan->overflow = true;
    plan->homeless = cairn_slot_make(tag, 0, loc);
    plan->homeless_home = cairn_ring_back(place->buckets, at, walked);
}

void cairn_block_apply(const cairn_plan_t *plan)
{
    for (size_t i = plan->count; i-- > 0;)
        cairn_slot_store(plan->steps[i].slot, plan->steps[i].value);
}

bool cairn_block_remove_moves(const cairn_place_t *place, uint32_t bucket)
{
    return poorest(&place->block[cairn_ring_next(place, bucket)]) != NULL;
}

void cairn_block_remove(const cairn_place_t *place, uint32_t bucket, cairn_slot_t *hole)
{
    for (;;) {
        bucket = cairn_ring_next(place, bucket);
        cairn_slot_t *mover = poorest(&place->block[bucket]);
        if (mover == NULL)
            break;
        /* whoever has walked furthest belongs furthest back: that keeps the order of homes */
        uint64_t value = cairn_slot_peek(mover);
        cairn_slot_store(hole, cairn_slot_make(cairn_slot_tag(value), cairn_slot_walked(value) - 1,
                                               cairn_slot_loc(value)));
        hole = mover;
    }
    cairn_slot_store(hole, 0);
}
