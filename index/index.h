/*
 * index/index.h - where is this key?
 *
 * Maps the 64-bit hash of a key to an opaque location. The index never sees a file or a key: the
 * caller tells two keys of the same hash apart through `is_match`, which looks at what is stored at
 * a location. It starts no thread and knows none but its callers'.
 *
 * Threads: readers (find, find_batch, walk) may run beside each other and beside changes. A change
 * (put, replace_if_at, remove) takes the lock of the key's stripe; two changes of one stripe wait for
 * each other, never for a reader. A thread that calls any function here other than create and
 * destroy is registered with liburcu's QSBR flavour and announces a quiescent state now and then,
 * outside these calls: memory a reader may still look at is given back by cairn_index_reclaim().
 *
 * No function here keeps a pointer the caller passed in.
 */
#ifndef CAIRN_INDEX_INDEX_H
#define CAIRN_INDEX_INDEX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/** an opaque location of CAIRN_LOC_BITS bits; 0 means "nowhere" and is never stored */
typedef uint64_t cairn_loc_t;
#define CAIRN_LOC_BITS 40
#define CAIRN_LOC_MAX (((cairn_loc_t)1 << CAIRN_LOC_BITS) - 1)

typedef struct st_cairn_index_t cairn_index_t;

/**
 * Whether `loc` holds the key looked for. Must not call the index. In a change it runs with the
 * stripe locked, so keep it short. It may be asked about a location that another thread has just
 * replaced; what is stored there must stay readable until the asking thread's next quiescent state.
 */
typedef bool (*cairn_index_match_cb)(void *ctx, cairn_loc_t loc);

typedef enum en_cairn_index_result_t {
    CAIRN_INDEX_INSERTED, /* the key is new */
    CAIRN_INDEX_REPLACED, /* the key was there; its location has been replaced or removed */
    CAIRN_INDEX_ABSENT,   /* the key was not there (or not at the location asked for); no change */
    CAIRN_INDEX_NOMEM     /* no memory to grow; no change, the index stays as good as it was */
} cairn_index_result_t;

typedef struct st_cairn_index_stats_t {
    uint64_t keys;      /* live entries */
    uint64_t bytes;     /* memory held, all of it */
    uint64_t slots;     /* entries that the present tables could hold; load = keys / slots */
    uint64_t probes;    /* cache lines looked at by finds since the start (sampled or exact) */
    uint64_t finds;     /* the finds those probes belong to */
} cairn_index_stats_t;

/** Creates an empty index; NULL when there is no memory. */
cairn_index_t *cairn_index_create(void);

/** Frees everything. No other thread may be inside any function of this index any more. */
void cairn_index_destroy(cairn_index_t *index);

/**
 * Finds the location of a key. Writes `*loc` only when found.
 *
 * Threads: any reader.
 */
bool cairn_index_find(cairn_index_t *index, uint64_t hash, cairn_index_match_cb is_match, void *ctx,
                      cairn_loc_t *loc);

/**
 * Puts the key at `loc`, whether it was there or not. `*old` becomes the location it had, 0 if none.
 *
 * Returns INSERTED, REPLACED, or NOMEM (only for a key that was not there).
 */
cairn_index_result_t cairn_index_put(cairn_index_t *index, uint64_t hash,
                                     cairn_index_match_cb is_match, void *ctx, cairn_loc_t loc,
                                     cairn_loc_t *old);

/**
 * Moves an entry from `from` to `to` if it still is at `from`: what compaction does. Compares
 * locations and reads no key. Returns REPLACED or ABSENT.
 */
cairn_index_result_t cairn_index_replace_if_at(cairn_index_t *index, uint64_t hash,
                                               cairn_loc_t from, cairn_loc_t to);

/** Removes the key. `*old` becomes the location it had, 0 if none. Returns REPLACED or ABSENT. */
cairn_index_result_t cairn_index_remove(cairn_index_t *index, uint64_t hash,
                                        cairn_index_match_cb is_match, void *ctx, cairn_loc_t *old);

/**
 * Gives back memory that earlier growth retired, after waiting until every registered reader has
 * passed a quiescent state. May wait long: call it from a thread that may, never from an event loop
 * or the writer, and not with a lock held that a reader may want.
 */
void cairn_index_reclaim(cairn_index_t *index);

/** Sums the counters up; costs a walk over the stripes, not over the keys. */
void cairn_index_stats(cairn_index_t *index, cairn_index_stats_t *stats);

/**
 * Aborts with a message unless every invariant of the tables holds. Costs a walk over all of them;
 * for tests. Takes each stripe's lock in turn.
 */
void cairn_index_check(cairn_index_t *index);

#endif
