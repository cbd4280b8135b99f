/*
 * index/index.h - where is this key?
 *
 * Maps the 64-bit hash of a key to an opaque location. The index never sees a file or a key: the
 * caller tells two keys of the same hash apart through `is_match`, which looks at what is stored at
 * a location. It starts no thread and knows none but its callers'.
 *
 * Only the upper 36 bits of a hash count, and the uppermost decide where an entry goes: the hash
 * must be a good one. Keys that share them are searched one by one.
 *
 * Threads: readers (find, find_batch, walk) may run beside each other and beside changes. A change
 * (put, replace_if_at, remove) takes the lock of the key's stripe; two changes of one stripe wait
 * for each other, never for a reader. A thread that calls any function here other than create, load
 * and destroy is registered with liburcu's QSBR flavour and announces a quiescent state now and
 * then, outside these calls: memory a reader may still look at is given back by
 * cairn_index_reclaim().
 *
 * The tables grow and shrink while changes are made, a piece of some microseconds at a time.
 * Somebody calls cairn_index_reclaim() every ten milliseconds or so: it makes the pages that growth
 * needs next and gives back those it has left. Without it all stays right, but growth pays for
 * pages itself and what it left stays held.
 *
 * No function here keeps a pointer the caller passed in, but for cairn_index_load(), which says so.
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

/** asks the processor for the memory of `loc`, which is_match may be asked about soon; never blocks
 */
typedef void (*cairn_index_prefetch_cb)(void *ctx, cairn_loc_t loc);

/**
 * An entry met by a walk. `hash` has the bits of the key's hash that the index keeps, the others
 * are 0: enough for cairn_index_replace_if_at(). No lock is held; it may call the index.
 */
typedef void (*cairn_index_visit_cb)(void *ctx, uint64_t hash, cairn_loc_t loc);

/** takes the next bytes of a dump; false ends the dump. No lock is held, and a quiescent state may
 * be announced here: writing takes long. */
typedef bool (*cairn_index_write_cb)(void *ctx, const void *bytes, size_t count);

typedef enum en_cairn_index_result_t {
    CAIRN_INDEX_INSERTED, /* the key is new */
    CAIRN_INDEX_REPLACED, /* the key was there; its location has been replaced or removed */
    CAIRN_INDEX_ABSENT,   /* the key was not there (or not at the location asked for); no change */
    CAIRN_INDEX_NOMEM     /* no memory to grow; no change, the index stays as good as it was */
} cairn_index_result_t;

/* what a dump or a load came to, and in words */
#define CAIRN_INDEX_DUMP_RESULTS(X)                                                                \
    X(CAIRN_INDEX_DUMP_OK, "ok")                                                                   \
    X(CAIRN_INDEX_DUMP_NOMEM, "out of memory")                                                     \
    X(CAIRN_INDEX_DUMP_STOPPED, "the writer of the dump gave up")                                  \
    X(CAIRN_INDEX_DUMP_FOREIGN, "not an index dump, or of another format version")                 \
    X(CAIRN_INDEX_DUMP_SIZE, "index dump: the length is not what its head says")                   \
    X(CAIRN_INDEX_DUMP_DAMAGED, "index dump: a checksum or a field is wrong")

typedef enum en_cairn_index_dump_result_t {
#define X(name, text) name,
    CAIRN_INDEX_DUMP_RESULTS(X)
#undef X
} cairn_index_dump_result_t;

typedef struct st_cairn_index_stats_t {
    uint64_t keys;   /* live entries */
    uint64_t bytes;  /* memory held, all of it */
    uint64_t slots;  /* entries that the present tables could hold; load = keys / slots */
    uint64_t probes; /* cache lines looked at by finds since the start, of those sampled */
    uint64_t finds;  /* the finds those probes belong to: one in a thousand or so */
} cairn_index_stats_t;

/** Creates an empty index; NULL when there is no memory. */
cairn_index_t *cairn_index_create(void);

/** Frees everything. No other thread may be inside any function of this index any more. */
void cairn_index_destroy(cairn_index_t *index);

/**
 * Finds the location of a key. Writes `*loc` only when found.
 *
 * Threads: any reader. Takes no lock; waits only while a removal shifts entries of the same stripe,
 *          and only when it has found nothing.
 */
bool cairn_index_find(cairn_index_t *index, uint64_t hash, cairn_index_match_cb is_match, void *ctx,
                      cairn_loc_t *loc);

/**
 * Finds many keys at once, with their cache lines on their way at the same time: key i has
 * hashes[i] and is compared with ctxs[i]. Writes all of `locs`, 0 for a key that is absent.
 * `prefetch` is called for likely locations before is_match is; it may be NULL. Each key's answer
 * is as that of a find during the call; together they are no snapshot.
 *
 * Threads: any reader.
 */
void cairn_index_find_batch(cairn_index_t *index, size_t count, const uint64_t *hashes,
                            void *const *ctxs, cairn_index_match_cb is_match,
                            cairn_index_prefetch_cb prefetch, cairn_loc_t *locs);

/**
 * Says that these keys will soon be asked for or changed: their cache lines set out, and `prefetch`
 * is called for likely locations. A hint; some tens of keys at a time are of use.
 *
 * Threads: any reader.
 */
void cairn_index_prefetch(cairn_index_t *index, size_t count, const uint64_t *hashes,
                          cairn_index_prefetch_cb prefetch, void *ctx);

/**
 * Visits a piece of the index, some hundred entries, in the order of their hashes; true while there
 * is more. Begin with *cursor = 0 and call again with what it has become: as long as it takes, from
 * any thread, across any growth. A key that stays from the first call to the last is visited at
 * least once, at a location it had during that call; one that comes or goes meanwhile may or may
 * not be.
 *
 * Threads: any reader.
 */
bool cairn_index_walk(cairn_index_t *index, uint64_t *cursor, cairn_index_visit_cb visit,
                      void *ctx);

/**
 * Puts the key at `loc`, whether it was there or not. `*old` becomes the location it had, 0 if
 * none.
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
 * Makes the pages that growth will need next, then gives back memory that it has left, after
 * waiting until every registered reader has passed a quiescent state. Returns at once when there is
 * nothing to do or another thread is in here. May wait long: call it from a thread that may, never
 * from an event loop or the writer, and not with a lock held that a reader may want.
 *
 * Returns whether there was anything to do: while the index grows there always is.
 */
bool cairn_index_reclaim(cairn_index_t *index);

/**
 * Writes the tables as they are, with checksums, through `write`. First ends the growth under way,
 * if any; until the dump is over no new one begins, so do not let it last. Changes go on meanwhile:
 * an entry that changes during the dump is dumped as it was at some moment of it, one that does not
 * is dumped as it is.
 *
 * Returns OK, STOPPED when `write` returned false, NOMEM.
 * Threads: one that may wait; not beside another dump of the same index.
 */
cairn_index_dump_result_t cairn_index_dump(cairn_index_t *index, cairn_index_write_cb write,
                                           void *ctx);

/**
 * Makes an index of a dump that lies in memory. Costs a checksum over the bytes, or, without
 * `verify`, nothing that grows with them; then do cairn_index_verify() on another mapping of the
 * file when there is time. A damaged dump that is used unverified makes finds miss, never worse:
 * is_match decides.
 *
 * Owner: `mapping` is a whole mmap of `count` bytes, private and writable (the file does not
 * change). On OK the index owns it and unmaps it in its own time; otherwise it stays the caller's.
 *
 * Returns OK and `*index`, or NOMEM, FOREIGN, SIZE, DAMAGED and leaves `*index` alone.
 */
cairn_index_dump_result_t cairn_index_load(void *mapping, size_t count, bool verify,
                                           cairn_index_t **index);

/** Reads a whole dump and says whether it is what was written: OK, FOREIGN, SIZE, DAMAGED. */
cairn_index_dump_result_t cairn_index_verify(const void *bytes, size_t count);

/**
 * The same for one part of `parts`, from 0 on, so that several threads share the work: the dump is
 * what was written if all of them are OK.
 */
cairn_index_dump_result_t cairn_index_verify_part(const void *bytes, size_t count, unsigned part,
                                                  unsigned parts);

/** Says a result in words for a log; lives for ever. */
const char *cairn_index_dump_text(cairn_index_dump_result_t result);

/** Sums the counters up; costs a walk over the stripes, not over the keys. */
void cairn_index_stats(cairn_index_t *index, cairn_index_stats_t *stats);

/**
 * Aborts with a message unless every invariant of the tables holds. Costs a walk over all of them;
 * for tests. Takes each stripe's lock in turn.
 */
void cairn_index_check(cairn_index_t *index);

#endif
