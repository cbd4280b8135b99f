/*
 * index/copy.c - one unit of a sweep is copied from one generation into the next.
 *
 * The fingerprint of every entry is rebuilt from where it stands; no key is read. All entries are
 * gathered first, counted by the homes they go to, and then laid out in one go, about as fast as
 * memory allows. A unit that does not fit its blocks that way is inserted entry by entry, and what
 * finds no room goes to the stash. The blocks it goes to are zeros, and nobody looks at them yet.
 */
#include "index/index_internal.h"

#include <string.h>

/* a unit is one block or two of either side */
#define UNIT_BUCKETS_MAX                                                                           \
    (CAIRN_BLOCK_BUCKETS_MAX > (2u << CAIRN_BLOCK_BITS_MAX) ? CAIRN_BLOCK_BUCKETS_MAX              \
                                                            : 2u << CAIRN_BLOCK_BITS_MAX)
#define UNIT_SLOTS_MAX (UNIT_BUCKETS_MAX * CAIRN_BUCKET_SLOTS)

/* all entries of a unit, on their way; homes are counted through the blocks they go to */
typedef struct st_copy_t {
    cairn_index_t *index;
    const cairn_view_t *from, *to;
    uint64_t from_blocks, to_blocks; /* so many on either side ... */
    uint64_t from_first, to_first;   /* ... and their first */
    size_t count;
    size_t homeless;                          /* how many found no room */
    uint32_t begins[CAIRN_BLOCK_BUCKETS_MAX]; /* cairn_home_begin() of each old home */
    uint16_t per_home[UNIT_BUCKETS_MAX];      /* entries */
    uint32_t next[UNIT_BUCKETS_MAX]; /* where in its block the next one of this home goes */
    uint16_t homes[UNIT_SLOTS_MAX];
    uint64_t slots[UNIT_SLOTS_MAX]; /* as at home */
} copy_t;

/* cairn_home_begin() of every home, without the division */
static void copy_begins(copy_t *copy)
{
    uint64_t span = (uint64_t)1 << copy->from->span_bits;
    uint64_t step = span / copy->from->buckets, remainder = span % copy->from->buckets;
    uint64_t begin = 0, fraction = 0;

    for (uint32_t home = 0; home < copy->from->buckets; ++home) {
        copy->begins[home] = (uint32_t)(begin + (fraction > 0));
        begin += step;
        fraction += remainder;
        if (fraction >= copy->from->buckets) {
            fraction -= copy->from->buckets;
            ++begin;
        }
    }
}

static void gather_block(copy_t *copy, uint64_t number)
{
    const cairn_view_t from = *copy->from, to = *copy->to;
    const cairn_bucket_t *block = from.base + number * from.buckets;
    uint64_t in_to = ((uint64_t)1 << to.span_bits) - 1;
    size_t count = copy->count;

    for (uint32_t at = 0; at < from.buckets; ++at)
        for (unsigned i = 0; i < CAIRN_BUCKET_SLOTS; ++i) {
            uint64_t value = cairn_slot_peek(&block[at].slots[i]);
            uint32_t home = cairn_ring_back(from.buckets, at, cairn_slot_walked(value));
            uint64_t fingerprint = number << from.span_bits |
                                   cairn_rebuild(&from, copy->begins[home], cairn_slot_tag(value));
            uint64_t to_block = (fingerprint >> to.span_bits) - copy->to_first;
            uint64_t to_home =
                to_block * to.buckets + ((fingerprint & in_to) * to.buckets >> to.span_bits);
            copy->slots[count] =
                cairn_slot_make(fingerprint & CAIRN_TAG_MASK, 0, cairn_slot_loc(value));
            copy->homes[count] = (uint16_t)to_home;
            /* an empty slot is overwritten by the next: cheaper than a branch that nobody can
             * foresee */
            count += value != 0;
            copy->per_home[to_home] = (uint16_t)(copy->per_home[to_home] + (value != 0));
        }
    copy->count = count;
}

/*
 * Lays a block out in order of homes, each entry at its home or right behind those before it, which
 * is what Robin Hood insertion comes to. What runs over the end of the ring stands before the first
 * home, so the second pass begins behind it. False when that is not enough: somebody would have to
 * walk too far, or the ring is so full that it bites its own tail.
 */
static bool lay_out(copy_t *copy, uint32_t first)
{
    uint32_t slots = copy->to->buckets * CAIRN_BUCKET_SLOTS, carried = 0, position = 0;

    for (int pass = 0; pass < 2; ++pass) {
        carried = position > slots ? position - slots : 0;
        position = carried;
        for (uint32_t home = 0; home < copy->to->buckets; ++home) {
            uint32_t count = copy->per_home[first + home];
            if (position < home * CAIRN_BUCKET_SLOTS)
                position = home * CAIRN_BUCKET_SLOTS;
            copy->next[first + home] = position;
            position += count;
            if (count != 0 && position - 1 >= (home + CAIRN_WALKED_MAX + 1) * CAIRN_BUCKET_SLOTS)
                return false;
        }
    }
    return (position > slots ? position - slots : 0) == carried;
}

static void place_all(copy_t *copy)
{
    uint32_t buckets = copy->to->buckets, slots = buckets * CAIRN_BUCKET_SLOTS;
    cairn_bucket_t *base = copy->to->base + copy->to_first * buckets;

    for (size_t i = 0; i < copy->count; ++i) {
        uint32_t home = copy->homes[i];
        uint32_t first = home < buckets ? 0 : buckets;
        uint32_t position = copy->next[home]++;
        uint64_t walked = position / CAIRN_BUCKET_SLOTS - (home - first);

        if (position >= slots)
            position -= slots;
        /* relaxed: nobody looks here before the cursor's release */
        atomic_store_explicit(
            &base[first + position / CAIRN_BUCKET_SLOTS].slots[position % CAIRN_BUCKET_SLOTS],
            copy->slots[i] | walked << CAIRN_LOC_BITS, memory_order_relaxed);
    }
}

static bool add_homeless(copy_t *copy, uint64_t fingerprint, cairn_loc_t loc)
{
    cairn_index_t *index = copy->index;

    if (copy->homeless == index->homeless_room) {
        size_t room = index->homeless_room == 0 ? 64 : index->homeless_room * 2;
        cairn_homeless_t *larger = cairn_memory_alloc(index, room * sizeof(*larger));
        if (larger == NULL)
            return false;
        if (copy->homeless != 0)
            memcpy(larger, index->homeless, copy->homeless * sizeof(*larger));
        cairn_memory_free(index, index->homeless, index->homeless_room * sizeof(*larger));
        index->homeless = larger;
        index->homeless_room = room;
    }
    index->homeless[copy->homeless++] = (cairn_homeless_t){fingerprint, loc};
    return true;
}

/* the long way, for a unit that does not fit its blocks: who finds no room goes to the stash */
static bool insert_all(copy_t *copy)
{
    const cairn_view_t *to = copy->to;
    cairn_plan_t plan;

    for (size_t i = 0; i < copy->count; ++i) {
        uint64_t block = copy->to_first + copy->homes[i] / to->buckets;
        cairn_place_t place = {.block = to->base + block * to->buckets,
                               .buckets = to->buckets,
                               .home = copy->homes[i] % to->buckets,
                               .tag = cairn_slot_tag(copy->slots[i])};

        cairn_block_plan(&place, cairn_slot_loc(copy->slots[i]), &plan);
        cairn_block_apply(&plan);
        if (!plan.overflow)
            continue;
        uint64_t begin = cairn_home_begin(to, plan.homeless_home);
        uint64_t in_block = cairn_rebuild(to, begin, cairn_slot_tag(plan.homeless));
        if (!add_homeless(copy, block << to->span_bits | in_block, cairn_slot_loc(plan.homeless)))
            return false;
    }
    return true;
}

bool cairn_unit_copy_locked(cairn_index_t *index, const cairn_table_t *table, uint64_t unit,
                            unsigned stripe)
{
    copy_t copy; /* large, and mostly filled as it goes: not worth clearing */
    bool fits = true;

    copy.index = index;
    copy.from = &table->from;
    copy.to = &table->to;
    copy.from_blocks = (uint64_t)1 << (table->unit_bits - table->from.span_bits);
    copy.to_blocks = (uint64_t)1 << (table->unit_bits - table->to.span_bits);
    copy.from_first = unit * copy.from_blocks;
    copy.to_first = unit * copy.to_blocks;
    copy.count = copy.homeless = 0;
    memset(copy.per_home, 0, sizeof(copy.per_home));

    copy_begins(&copy);
    for (uint64_t i = 0; i < copy.from_blocks; ++i)
        gather_block(&copy, copy.from_first + i);
    for (uint32_t i = 0; i < copy.to_blocks && fits; ++i)
        fits = lay_out(&copy, i * table->to.buckets);
    if (fits) {
        place_all(&copy);
        return true;
    }
    if (!insert_all(&copy) || !cairn_stash_reserve(index, stripe, copy.homeless)) {
        memset((void *)(table->to.base + copy.to_first * table->to.buckets), 0,
               copy.to_blocks * table->to.buckets * sizeof(cairn_bucket_t));
        return false;
    }
    for (size_t i = 0; i < copy.homeless; ++i)
        cairn_stash_insert(index, stripe, index->homeless[i].fingerprint, index->homeless[i].loc);
    return true;
}
