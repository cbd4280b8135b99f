/*
 * storage/compaction_copy.c - what of a segment is worth keeping, and where its entries go.
 */
#include <string.h>

#include "index/qsbr.h"
#include "storage/compaction_internal.h"
#include "storage/guard.h"
#include "storage/probe.h"
#include "storage/walk.h"

/** between two looks at the clock and the upkeep: who wants the processor meanwhile waits for a
 * tenth of a millisecond */
#define PIECE_BYTES ((uint64_t)64 << 10)
/** between two syncs of the copy: the last one is short then, and the disk is shared in small parts
 */
#define SYNC_BYTES ((uint64_t)2 << 20)
/** between two rests, of entries */
#define MOVED_AT_ONCE 256
/** an entry is moved in the time in which so many bytes are copied */
#define MOVED_AS_BYTES 128

/* ---------------------------------------------------------------- walking an input */

/** a record of an input, or of the copy */
typedef struct st_place_t {
    cairn_walk_t walk;
    cairn_key_t key; /* of the record looked at, if it has one */
    bool is_faulty;  /* what an error means: it is this segment's */
    uint64_t hash_seed;
} place_t;

static void begin(place_t *place, cairn_segment_t *segment, uint64_t hash_seed)
{
    cairn_walk_begin(&place->walk, segment, CAIRN_SEGMENT_HEADER_BYTES,
                     atomic_load_explicit(&segment->end, memory_order_acquire));
    place->is_faulty = false;
    place->hash_seed = hash_seed;
}

static cairn_err_t blame(place_t *place, cairn_err_t err)
{
    place->is_faulty = err == CAIRN_ERR_IO || err == CAIRN_ERR_DAMAGED;
    return err;
}

/** NOT_FOUND at the end */
static cairn_err_t look_at(place_t *place)
{
    const cairn_record_t *r = &place->walk.record;
    cairn_err_t err = cairn_walk_look(&place->walk);
    if (err == CAIRN_OK && r->key_bytes != 0)
        place->key = cairn_key(place->hash_seed, cairn_record_key(r), r->key_bytes);
    return blame(place, err);
}

/** rot is never copied under a sum that would make it good */
static cairn_err_t check_body(place_t *place)
{
    return blame(place, cairn_walk_check(&place->walk));
}

static cairn_loc_t loc_of(const place_t *place)
{
    return cairn_segment_loc(place->walk.segment, place->walk.at);
}

/* ---------------------------------------------------------------- judging a record */

static bool is_live(const cairn_copying_t *c, const place_t *place)
{
    cairn_loc_t here = loc_of(place), found;
    return cairn_index_find(c->parts->index, place->key.hash, cairn_probe_is_at, &here, &found);
}

/** whether no older record of any key can be on disk for which this one would have to stay */
static bool may_vanish(const cairn_copying_t *c, uint64_t version)
{
    return c->horizon_before >= version;
}

static void note_dropped(cairn_copying_t *c, uint64_t version)
{
    if (version > c->dropped_version)
        c->dropped_version = version;
}

/** whether the key has a newer value that no power cut can take: then its delete is no news */
static bool is_superseded(const cairn_copying_t *c, const place_t *place)
{
    cairn_probe_t probe = {.space = c->parts->space, .key = &place->key, .may_wait = true};
    cairn_loc_t loc;
    cairn_record_t there;
    return cairn_index_find(c->parts->index, place->key.hash, cairn_probe_match, &probe, &loc) &&
           (probe.fault == CAIRN_OK || probe.is_lost) &&
           cairn_guard_copy(&there, cairn_space_record(c->parts->space, loc), sizeof(there)) &&
           there.version > place->walk.record.version && there.version <= c->durable_version;
}

/* ---------------------------------------------------------------- copying */

/** a delete, as a record of its own */
typedef struct st_tombstone_t {
    cairn_record_t head;
    uint8_t key[CAIRN_KEY_BYTES_MAX + CAIRN_RECORD_ALIGN];
} tombstone_t;

static cairn_err_t add(cairn_copying_t *c, const cairn_record_t *head, const void *rest)
{
    uint64_t bytes = cairn_record_bytes(head);
    if (!cairn_segment_build_fits(&c->build, bytes))
        return CAIRN_ERR_TOO_LARGE;
    c->piece_bytes += bytes;
    return cairn_segment_build_add(&c->build, head, rest);
}

/** in the place of a value that has expired: an older one of the key may still be on disk */
static cairn_err_t add_tombstone(cairn_copying_t *c, const place_t *place)
{
    tombstone_t t = {.head = {.version = place->walk.record.version,
                              .key_bytes = place->walk.record.key_bytes,
                              .written = cairn_record_written_ms(&place->walk.record) |
                                         (uint64_t)CAIRN_RECORD_DELETE << 48}};
    memcpy(t.key, place->key.bytes, place->key.count);
    t.head.body_sum =
        cairn_record_body_sum(&(cairn_bytes_t){.base = t.key, .count = place->key.count}, 1);
    return add(c, &t.head, t.key);
}

static bool is_kept_for_feeds(const cairn_copying_t *c, uint64_t since_ms)
{
    return c->keep_since_ms != 0 && since_ms >= c->keep_since_ms;
}

static cairn_err_t copy_delete(cairn_copying_t *c, place_t *place)
{
    uint64_t version = place->walk.record.version;
    if (is_superseded(c, place))
        return CAIRN_OK;
    if (may_vanish(c, version) &&
        !is_kept_for_feeds(c, cairn_record_written_ms(&place->walk.record))) {
        note_dropped(c, version);
        return CAIRN_OK;
    }
    cairn_err_t err = check_body(place);
    return err == CAIRN_OK ? add(c, &place->walk.record, cairn_walk_in_map(&place->walk) + 1) : err;
}

static bool has_expired(const cairn_copying_t *c, const place_t *place)
{
    uint64_t expiry_ms = cairn_record_expiry_ms(&place->walk.record);
    return expiry_ms != 0 && expiry_ms <= c->now_ms;
}

/** its entry stays in the index until the copy has taken the input's place: until then it says that
 * this, and no older value, is what the key had */
static cairn_err_t copy_expired(cairn_copying_t *c, place_t *place)
{
    if (!may_vanish(c, place->walk.record.version) ||
        is_kept_for_feeds(c, cairn_record_expiry_ms(&place->walk.record)))
        return add_tombstone(c, place);
    note_dropped(c, place->walk.record.version);
    return CAIRN_OK;
}

static cairn_err_t copy_put(cairn_copying_t *c, place_t *place)
{
    if (!is_live(c, place))
        return CAIRN_OK;
    cairn_err_t err = check_body(place);
    if (err != CAIRN_OK)
        return err;
    if (has_expired(c, place))
        return copy_expired(c, place);
    return add(c, &place->walk.record, cairn_walk_in_map(&place->walk) + 1);
}

static cairn_err_t copy_record(cairn_copying_t *c, place_t *place)
{
    switch (cairn_record_type(&place->walk.record)) {
    case CAIRN_RECORD_PUT:
    case CAIRN_RECORD_LOST: /* which stays, like a value, until another one takes its place */
        return copy_put(c, place);
    case CAIRN_RECORD_DELETE:
        return copy_delete(c, place);
    default:
        return CAIRN_OK; /* MARK and LINK say how the log came to be; the footer says what it is */
    }
}

/** lets others have the disk and the processor, and hears whether to go on */
static cairn_err_t take_a_rest(cairn_copying_t *c)
{
    uint64_t bytes = c->piece_bytes;
    cairn_err_t err = CAIRN_OK;
    c->piece_bytes = 0;
    c->unsynced_bytes += bytes;
    rcu_quiescent_state();
    if (c->unsynced_bytes >= SYNC_BYTES) {
        c->unsynced_bytes = 0;
        err = cairn_segment_build_flush(&c->build);
    }
    if (err == CAIRN_OK && !c->go_on(c->go_on_ctx, bytes))
        err = CAIRN_ERR_CANCELLED;
    return err;
}

static cairn_err_t copy_input(cairn_copying_t *c, cairn_segment_t *input)
{
    place_t place;
    cairn_err_t err;
    uint64_t looked_from = CAIRN_SEGMENT_HEADER_BYTES;
    begin(&place, input, c->parts->dir->hash_seed);
    while ((err = look_at(&place)) == CAIRN_OK) {
        err = copy_record(c, &place);
        if (err != CAIRN_OK)
            break;
        cairn_walk_step(&place.walk);
        /* looking costs too, a few times less than writing */
        if (c->piece_bytes + (place.walk.at - looked_from) / 4 >= PIECE_BYTES) {
            looked_from = place.walk.at;
            err = take_a_rest(c);
            if (err != CAIRN_OK)
                return err;
        }
    }
    if (err == CAIRN_ERR_NOT_FOUND)
        return CAIRN_OK;
    if (place.is_faulty) {
        c->damaged = input;
        c->damaged_at = place.walk.at;
    }
    return err;
}

cairn_err_t cairn_compaction_copy(cairn_copying_t *c)
{
    cairn_err_t err = CAIRN_OK;
    for (size_t i = 0; i < c->count && err == CAIRN_OK; ++i)
        err = copy_input(c, c->inputs[i]);
    return err;
}

/* ---------------------------------------------------------------- moving */

static void count_dead(const place_t *place)
{
    if (cairn_record_type(&place->walk.record) == CAIRN_RECORD_LOST)
        atomic_fetch_sub_explicit(&place->walk.segment->lost_keys, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&place->walk.segment->dead_bytes,
                              cairn_record_bytes(&place->walk.record), memory_order_relaxed);
}

/** a delete has no entry, and a value that was replaced since it was copied has none any more */
static void move_entry(const cairn_copying_t *c, const place_t *origin, const place_t *copy)
{
    bool gives = cairn_record_type_gives(cairn_record_type(&copy->walk.record));
    if (!gives || cairn_index_replace_if_at(c->parts->index, copy->key.hash, loc_of(origin),
                                            loc_of(copy)) != CAIRN_INDEX_REPLACED)
        count_dead(copy);
}

/**
 * What has expired by a clock that never runs back is what no reader sees and every write takes for
 * absent: that its entry goes changes nothing for anyone.
 */
static void forget_expired(const cairn_copying_t *c, const place_t *origin)
{
    cairn_loc_t here = loc_of(origin), old;
    if (cairn_record_type_gives(cairn_record_type(&origin->walk.record)) && has_expired(c, origin))
        cairn_index_remove(c->parts->index, origin->key.hash, cairn_probe_is_at, &here, &old);
}

/** a step over a record of an input, and over its copy if there is one */
static cairn_err_t move_record(const cairn_copying_t *c, place_t *origin, place_t *copy)
{
    cairn_err_t err = look_at(copy);
    bool is_copied = err == CAIRN_OK && cairn_record_is_data(&origin->walk.record) &&
                     copy->walk.record.version == origin->walk.record.version;
    forget_expired(c, origin);
    if (is_copied) {
        move_entry(c, origin, copy);
        cairn_walk_step(&copy->walk);
    }
    cairn_walk_step(&origin->walk);
    return err == CAIRN_ERR_NOT_FOUND ? CAIRN_OK : err;
}

static cairn_err_t move_from(const cairn_copying_t *c, cairn_segment_t *input, place_t *copy)
{
    place_t origin;
    cairn_err_t err;
    size_t moved = 0;
    begin(&origin, input, c->parts->dir->hash_seed);
    while ((err = look_at(&origin)) == CAIRN_OK &&
           (err = move_record(c, &origin, copy)) == CAIRN_OK)
        if (++moved % MOVED_AT_ONCE == 0) {
            rcu_quiescent_state();
            /* half of it would not do, whoever wants to stop */
            c->go_on(c->go_on_ctx, MOVED_AT_ONCE * MOVED_AS_BYTES);
        }
    return err == CAIRN_ERR_NOT_FOUND ? CAIRN_OK : err;
}

bool cairn_compaction_move(cairn_copying_t *c, cairn_segment_t *output)
{
    place_t copy;
    cairn_err_t err = CAIRN_OK;
    begin(&copy, output, c->parts->dir->hash_seed);
    for (size_t i = 0; i < c->count && err == CAIRN_OK; ++i)
        err = move_from(c, c->inputs[i], &copy);
    /* each copy has met its origin: they stand in the same order */
    return err == CAIRN_OK && look_at(&copy) == CAIRN_ERR_NOT_FOUND;
}
