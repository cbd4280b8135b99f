/*
 * index/index_internal.h - what the files of this room share; never included from outside.
 *
 * Words used here and in docs/INDEX.md:
 *   fingerprint  the upper bits of a key's hash, all that the index keeps of the key
 *   block        consecutive buckets, a ring of its own; covers 2^span_bits fingerprints
 *   home         the bucket of its block in which an entry belongs by its fingerprint
 *   generation   the size of the tables; eight of them a doubling
 *   unit         what one step of a sweep moves: a block of the coarser generation
 *   stripe       one lock and what it guards: an equal share of the fingerprints
 *   stash        where a stripe keeps the entries that found no room near their home
 *
 * Lock order: sweep, then a stripe's lock, then retire. No lock is held while a grace period
 * passes.
 */
#ifndef CAIRN_INDEX_INDEX_INTERNAL_H
#define CAIRN_INDEX_INDEX_INTERNAL_H

#include <pthread.h>

#include "index/bucket.h"
#include "index/index.h"

#define CAIRN_STRIPE_BITS_MAX 7
#define CAIRN_STRIPES_MAX (1u << CAIRN_STRIPE_BITS_MAX)
#define CAIRN_BLOCK_BITS_MIN 3
#define CAIRN_BLOCK_BITS_MAX 8
/* a block has (8 + i) / 8 times 2^block_bits buckets, i from 0 to 7 */
#define CAIRN_BLOCK_BUCKETS_MAX (15u << (CAIRN_BLOCK_BITS_MAX - 3))
/* doublings from the first generation on; after them a bucket still covers a few fingerprints */
#define CAIRN_DOUBLINGS_MAX 17
#define CAIRN_GENERATIONS (CAIRN_DOUBLINGS_MAX * 8)
#define CAIRN_SAMPLE_LANES 32

/**
 * How many stripes, and how many buckets a block of the first generation has. With these the number
 * of fingerprint bits is fixed: stripe_bits + block_bits + CAIRN_TAG_BITS. Tests take small ones.
 */
typedef struct st_cairn_shape_t {
    unsigned stripe_bits;
    unsigned block_bits;
} cairn_shape_t;

/* 128 stripes of 256 buckets: 36 bits of fingerprint, so that of a thousand million keys one lookup
 * in a hundred asks is_match once too often; 2 MiB, touched page by page, for the smallest index.
 * Blocks of 256 buckets and more vary so little in load that the stash stays all but empty. */
#define CAIRN_SHAPE ((cairn_shape_t){CAIRN_STRIPE_BITS_MAX, CAIRN_BLOCK_BITS_MAX})

typedef enum en_cairn_retired_kind_t {
    CAIRN_RETIRED_MALLOC,    /* a table or a stash level */
    CAIRN_RETIRED_GENERATION /* a mapping, with its struct */
} cairn_retired_kind_t;

/* first member of all that readers may still look at after it has been replaced */
typedef struct st_cairn_retired_t {
    struct st_cairn_retired_t *next;
    cairn_retired_kind_t kind;
    size_t bytes; /* of the malloc; 0 for a generation, which counts its own */
} cairn_retired_t;

/* the memory of one generation's buckets: pages are held from held_begin to held_end */
typedef struct st_cairn_generation_t {
    cairn_retired_t retired;
    cairn_bucket_t *base;
    unsigned number;
    size_t bytes;              /* of the buckets, rounded up to whole chunks */
    size_t chunk_bytes;        /* what is taken, given back and counted at a time */
    _Atomic size_t held_begin; /* moved by reclaim alone */
    size_t held_end;           /* guarded by the sweep lock */
    void *mapping;
    size_t mapping_bytes;
    bool huge;
} cairn_generation_t;

/* how a generation places fingerprints */
typedef struct st_cairn_view_t {
    cairn_bucket_t *base;
    uint32_t buckets;   /* a block */
    uint32_t span_bits; /* a block covers 2^span_bits fingerprints */
    cairn_generation_t *generation;
} cairn_view_t;

/*
 * What readers find their way with. All but the cursor is constant; a new sweep publishes a new
 * table. Units below the cursor are placed by `to`, the others by `from`; without a sweep both are
 * the same.
 */
typedef struct st_cairn_table_t {
    cairn_retired_t retired;
    bool sweeping;
    uint64_t units;
    uint64_t grow_at;   /* keys of a stripe above which the tables are too full */
    uint64_t shrink_at; /* keys of a stripe below which they are too empty */
    alignas(64) cairn_view_t from;
    cairn_view_t to;
    uint32_t unit_bits;
    _Atomic uint64_t cursor; /* stored under the sweep lock and the lock of the unit's stripe */
} cairn_table_t;

/* a place in a view: where to start looking */
typedef struct st_cairn_place_t {
    cairn_bucket_t *block;
    uint32_t buckets;
    uint32_t home;
    uint64_t tag;
} cairn_place_t;

/* `fingerprint` is stored plus one, so that 0 means empty */
typedef struct st_cairn_stash_entry_t {
    _Atomic uint64_t fingerprint;
    _Atomic uint64_t loc;
} cairn_stash_entry_t;

/* an open hash table that never grows: when all levels are full a larger one is laid on top */
typedef struct st_cairn_stash_level_t {
    cairn_retired_t retired;
    _Atomic(struct st_cairn_stash_level_t *) below;
    unsigned capacity_bits;
    uint32_t count; /* guarded by the stripe's lock */
    cairn_stash_entry_t entries[];
} cairn_stash_level_t;

/* what readers need of a stripe, away from the lock so that changes elsewhere leave the line alone.
 * sequence: bit 0 entries are being moved towards their home, bit 1 the stash holds something. */
typedef struct st_cairn_stripe_view_t {
    alignas(64) _Atomic uint64_t sequence;
    _Atomic(cairn_stash_level_t *) stash;
} cairn_stripe_view_t;

#define CAIRN_SEQUENCE_MOVING 1u
#define CAIRN_SEQUENCE_STASH 2u
#define CAIRN_SEQUENCE_STEP 4u

typedef struct st_cairn_stripe_t {
    alignas(64) pthread_mutex_t lock;
    _Atomic uint64_t keys; /* stored under the lock, read by anyone */
    uint32_t changes;      /* paces the sweep */
    uint32_t drained;      /* where the last look through the stash ended */
} cairn_stripe_t;

typedef struct st_cairn_sample_t {
    alignas(64) _Atomic uint64_t probes;
    _Atomic uint64_t finds;
} cairn_sample_t;

typedef struct st_cairn_homeless_t {
    uint64_t fingerprint;
    cairn_loc_t loc;
} cairn_homeless_t;

struct st_cairn_index_t {
    _Atomic(cairn_table_t *) table;
    cairn_shape_t shape;
    unsigned fingerprint_bits;
    unsigned stripes;

    /* moving entries from one generation to the next; guards what follows */
    alignas(64) pthread_mutex_t sweep;
    uint32_t steps;  /* asked for */
    unsigned paused; /* dumps that want the tables to stay where they are */
    size_t
        preparing; /* offset in the new generation that reclaim is making pages for, or SIZE_MAX */
    cairn_homeless_t *homeless; /* entries of a unit that found no room; grows when needed */
    size_t homeless_room;

    alignas(64) pthread_mutex_t retire;
    cairn_retired_t *retired;
    pthread_mutex_t reclaim; /* only ever tried: whoever waited would hold up the grace period */

    _Atomic int64_t bytes; /* all memory held */
    cairn_stripe_view_t views[CAIRN_STRIPES_MAX];
    cairn_stripe_t stripe[CAIRN_STRIPES_MAX];
    cairn_sample_t samples[CAIRN_SAMPLE_LANES];
};

/* ---- finding one's way */

static inline uint64_t cairn_fingerprint(const cairn_index_t *index, uint64_t hash)
{
    return hash >> (64 - index->fingerprint_bits);
}

static inline unsigned cairn_stripe_of(const cairn_index_t *index, uint64_t fingerprint)
{
    return (unsigned)(fingerprint >> (index->fingerprint_bits - index->shape.stripe_bits));
}

/** acquire: pairs with the release of whoever publishes a table in growth.c or dump.c */
static inline cairn_table_t *cairn_table(cairn_index_t *index)
{
    return atomic_load_explicit(&index->table, memory_order_acquire);
}

/** acquire: pairs with the release in move_unit(): a moved unit is whole before it is used */
static inline uint64_t cairn_cursor(const cairn_table_t *table)
{
    return atomic_load_explicit(&table->cursor, memory_order_acquire);
}

static inline const cairn_view_t *cairn_view_of(const cairn_table_t *table, uint64_t fingerprint)
{
    return fingerprint >> table->unit_bits < cairn_cursor(table) ? &table->to : &table->from;
}

static inline cairn_place_t cairn_view_place(const cairn_view_t *view, uint64_t fingerprint)
{
    uint64_t in_block = fingerprint & (((uint64_t)1 << view->span_bits) - 1);

    return (cairn_place_t){.block = view->base + (fingerprint >> view->span_bits) * view->buckets,
                           .buckets = view->buckets,
                           .home = (uint32_t)(in_block * view->buckets >> view->span_bits),
                           .tag = fingerprint & CAIRN_TAG_MASK};
}

static inline cairn_place_t cairn_place(const cairn_table_t *table, uint64_t fingerprint)
{
    return cairn_view_place(cairn_view_of(table, fingerprint), fingerprint);
}

/** the smallest fingerprint of its block whose home is `home`; for home == buckets, the block's end
 */
static inline uint64_t cairn_home_begin(const cairn_view_t *view, uint64_t home)
{
    return ((home << view->span_bits) + view->buckets - 1) / view->buckets;
}

/**
 * The fingerprint, within its block, of an entry whose home begins at `begin`. A home covers at
 * most 2^CAIRN_TAG_BITS of them, so the tag leaves one choice. The mask is for bytes that were
 * never ours, a forged dump: it keeps them inside the block, in ours it changes nothing.
 */
static inline uint64_t cairn_rebuild(const cairn_view_t *view, uint64_t begin, uint64_t tag)
{
    return (begin + ((tag - begin) & CAIRN_TAG_MASK)) & (((uint64_t)1 << view->span_bits) - 1);
}

static inline uint32_t cairn_ring_next(const cairn_place_t *place, uint32_t bucket)
{
    return bucket + 1 == place->buckets ? 0 : bucket + 1;
}

/** the block of `place` as seen from the bucket `walked` further on */
static inline uint32_t cairn_ring_back(uint32_t buckets, uint32_t bucket, unsigned walked)
{
    return bucket >= walked ? bucket - walked : bucket + buckets - walked;
}

/**
 * Looks for a key in its block. Returns its slot and writes `*loc`; NULL when it is not there,
 * which a reader without the lock believes only under the rules of cairn_index_find(). Adds the
 * lines it looked at to `*lines`.
 */
static inline cairn_slot_t *cairn_block_find(const cairn_place_t *place,
                                             cairn_index_match_cb is_match, void *ctx,
                                             cairn_loc_t *loc, unsigned *lines)
{
    uint32_t at = place->home;

    for (unsigned walked = 0; walked <= CAIRN_WALKED_MAX; ++walked) {
        cairn_bucket_t *bucket = &place->block[at];
        uint32_t signature = cairn_signature(place->tag, walked);

        ++*lines;
        for (unsigned found = cairn_bucket_match(bucket, signature); found != 0;
             found &= found - 1) {
            cairn_slot_t *slot = &bucket->slots[__builtin_ctz(found)];
            /* read again: the bits told where to look, this is the load that counts */
            uint64_t value = cairn_slot_load(slot);
            if (cairn_slot_loc(value) != 0 && value >> CAIRN_LOC_BITS == signature &&
                is_match(ctx, cairn_slot_loc(value))) {
                *loc = cairn_slot_loc(value);
                return slot;
            }
        }
        if (walked == 0 ? cairn_bucket_empty(bucket) != 0 : cairn_bucket_has_richer(bucket, walked))
            break;
        at = cairn_ring_next(place, at);
    }
    return NULL;
}

/* ---- block.c: changes in one block, under its stripe's lock */

/* an insertion worked out and not done: the slots that get a new value, in the order of the walk */
typedef struct st_cairn_plan_t {
    size_t count;
    bool overflow;          /* the last one carried finds no room: it goes to the stash */
    uint32_t homeless_home; /* and this is where it belonged */
    uint64_t homeless;      /* as a slot */
    uint32_t filled;        /* the bucket whose empty slot is taken */
    struct {
        cairn_slot_t *slot;
        uint64_t value;
    } steps[CAIRN_BLOCK_BUCKETS_MAX + 1];
} cairn_plan_t;

void cairn_block_plan(const cairn_place_t *place, cairn_loc_t loc, cairn_plan_t *plan);
void cairn_block_apply(const cairn_plan_t *plan);

/** whether emptying a slot of this bucket moves entries back, which readers must be told about */
bool cairn_block_remove_moves(const cairn_place_t *place, uint32_t bucket);
void cairn_block_remove(const cairn_place_t *place, uint32_t bucket, cairn_slot_t *hole);

/* ---- stash.c: under the stripe's lock, but for cairn_stash_find() */

cairn_stash_entry_t *cairn_stash_find(cairn_stripe_view_t *view, uint64_t fingerprint,
                                      cairn_index_match_cb is_match, void *ctx, cairn_loc_t *loc,
                                      unsigned *lines);
/** where in a level the search for a fingerprint begins */
uint32_t cairn_stash_position(const cairn_stash_level_t *level, uint64_t fingerprint);
/** makes room for `count` more entries; false without memory */
bool cairn_stash_reserve(cairn_index_t *index, unsigned stripe, size_t count);
/** there is room: cairn_stash_reserve() came first */
void cairn_stash_insert(cairn_index_t *index, unsigned stripe, uint64_t fingerprint,
                        cairn_loc_t loc);
/** call between cairn_moving_begin() and cairn_moving_end(): entries behind it move up */
void cairn_stash_remove(cairn_index_t *index, unsigned stripe, cairn_stash_entry_t *entry);
/** tries a few entries of the stash again, now that their block may have room */
void cairn_stash_drain(cairn_index_t *index, unsigned stripe, const cairn_table_t *table);

/** tells readers that entries move towards their home, so that a miss may be no miss */
void cairn_moving_begin(cairn_stripe_view_t *view);
void cairn_moving_end(cairn_stripe_view_t *view);

/* ---- copy.c */

/** Copies a unit of a sweep to where it goes, its homeless to the stash; the sweep lock is held
 * too. False without memory: nothing has changed. Wants some 50 KiB of stack. */
bool cairn_unit_copy_locked(cairn_index_t *index, const cairn_table_t *table, uint64_t unit,
                            unsigned stripe);

/* ---- growth.c */

cairn_index_t *cairn_index_create_shaped(cairn_shape_t shape);
/** an index without tables, for cairn_index_create_shaped() and cairn_index_load() */
cairn_index_t *cairn_index_create_bare(cairn_shape_t shape);
unsigned cairn_generation_span_bits(cairn_shape_t shape, unsigned number);
unsigned cairn_generation_buckets(cairn_shape_t shape, unsigned number);
size_t cairn_generation_bytes(cairn_shape_t shape, unsigned number);
cairn_table_t *cairn_table_create(cairn_index_t *index, cairn_generation_t *from,
                                  cairn_generation_t *to);
/** what the caller does after a change and without a lock: a step of a sweep, if one is due */
void cairn_growth_step(cairn_index_t *index);
bool cairn_growth_due(cairn_index_t *index, unsigned stripe, const cairn_table_t *table,
                      bool inserted);
/** ends the sweep under way, if any; the sweep lock is held. False when there is no memory for it.
 */
bool cairn_growth_finish_locked(cairn_index_t *index);
void cairn_retire(cairn_index_t *index, cairn_retired_t *retired);
uint64_t cairn_index_keys(cairn_index_t *index);
void cairn_generation_destroy(cairn_index_t *index, cairn_generation_t *generation);

/* ---- memory.c: where all memory comes from, so that a test can say "the third one fails" */

/** zeroed; counted in index->bytes */
void *cairn_memory_alloc(cairn_index_t *index, size_t bytes);
void cairn_memory_free(cairn_index_t *index, void *memory, size_t bytes);
/** zeroed, aligned to `alignment`, nothing touched, nothing counted; NULL when refused */
void *cairn_memory_map(size_t bytes, size_t alignment);
void cairn_memory_unmap(void *memory, size_t bytes);
/** after `count` more the next request fails, and all that follow; a negative number: none fails */
void cairn_memory_fail_after(int64_t count);

#endif
