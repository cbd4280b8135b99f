/*
 * storage/compaction_copy.c - what of a segment is worth keeping, and where its entries go.
 */
#include <string.h>

#include <urcu-qsbr.h>

#include "storage/compaction_internal.h"
#include "storage/guard.h"
#include "storage/os.h"
#include "storage/probe.h"

/** between two looks at the clock and the upkeep: who wants the processor meanwhile waits for some
 * tenths of a millisecond */
#define PIECE_BYTES ((uint64_t)256 << 10)
/** between two syncs of the copy: the last one is short then, and the disk is shared in small parts
 */
#define SYNC_BYTES ((uint64_t)2 << 20)
/** between two rests, of entries */
#define MOVED_AT_ONCE 1024
/** an entry is moved in the time in which so many bytes are copied */
#define MOVED_AS_BYTES 128
/** pages are brought in ahead of the walk in pieces of this size */
#define READ_AHEAD_BYTES ((uint64_t)4 << 20)

/* ---------------------------------------------------------------- walking an input */

/** a place in an input; what it looks at has been checked */
typedef struct st_walk_t {
    cairn_segment_t *segment;
    uint64_t at;
    uint64_t end;
    uint64_t brought_in;
    const cairn_record_t *record; /* in the map: under a guard only */
    cairn_record_t head;          /* a copy */
    cairn_key_t key;              /* its bytes are in the map */
    bool is_faulty;               /* what an error means: it is this segment's */
    uint64_t hash_seed;
} walk_t;

static void begin_walk(walk_t *walk, cairn_segment_t *segment, uint64_t hash_seed)
{
    *walk = (walk_t){.segment = segment,
                     .at = CAIRN_SEGMENT_HEADER_BYTES,
                     .end = atomic_load_explicit(&segment->end, memory_order_acquire),
                     .brought_in = CAIRN_SEGMENT_HEADER_BYTES,
                     .hash_seed = hash_seed};
}

/** waits for the disk here, where it may, and not by a fault on page after page */
static void bring_in(walk_t *walk)
{
    uint64_t left = walk->end - walk->brought_in;
    uint64_t bytes = left < READ_AHEAD_BYTES ? left : READ_AHEAD_BYTES;
    const uint8_t *from = walk->segment->map + walk->brought_in;
    rcu_thread_offline();
    cairn_os->will_need(from, bytes);
    cairn_os->populate(from, bytes); /* an error shows again when it is touched */
    rcu_thread_online();
    walk->brought_in += bytes;
}

typedef struct st_look_t {
    walk_t *walk;
    bool is_valid;
} look_t;

static void look(void *ctx)
{
    look_t *l = ctx;
    walk_t *walk = l->walk;
    const cairn_record_t *r = walk->record;
    l->is_valid =
        cairn_record_head_is_valid(r, walk->end - walk->at, walk->segment->salt, walk->at);
    if (!l->is_valid)
        return;
    walk->head = *r;
    if (r->key_bytes != 0)
        walk->key = cairn_key(walk->hash_seed, cairn_record_key(r), r->key_bytes);
}

static cairn_err_t blame(walk_t *walk, cairn_err_t err)
{
    walk->is_faulty = true;
    return err;
}

/** the record at walk->at; NOT_FOUND at the end */
static cairn_err_t look_at(walk_t *walk)
{
    look_t l = {.walk = walk};
    if (walk->at >= walk->end)
        return CAIRN_ERR_NOT_FOUND;
    while (walk->brought_in < walk->end && walk->at + READ_AHEAD_BYTES / 2 > walk->brought_in)
        bring_in(walk);
    walk->record = (const cairn_record_t *)(walk->segment->map + walk->at);
    if (!cairn_guard_run(look, &l))
        return blame(walk, CAIRN_ERR_IO);
    return l.is_valid ? CAIRN_OK : blame(walk, CAIRN_ERR_DAMAGED);
}

static cairn_loc_t loc_of(const walk_t *walk)
{
    return cairn_segment_loc(walk->segment, walk->at);
}

static void step_over(walk_t *walk)
{
    walk->at += cairn_record_bytes(&walk->head);
}

/* ---------------------------------------------------------------- judging a record */

static bool is_live(const cairn_copying_t *c, const walk_t *walk)
{
    cairn_loc_t here = loc_of(walk), found;
    return cairn_index_find(c->parts->index, walk->key.hash, cairn_probe_is_at, &here, &found);
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
static bool is_superseded(const cairn_copying_t *c, const walk_t *walk)
{
    cairn_probe_t probe = {.space = c->parts->space, .key = &walk->key, .may_wait = true};
    cairn_loc_t loc;
    cairn_record_t there;
    return cairn_index_find(c->parts->index, walk->key.hash, cairn_probe_match, &probe, &loc) &&
           (probe.fault == CAIRN_OK || probe.is_lost) &&
           cairn_guard_copy(&there, cairn_space_record(c->parts->space, loc), sizeof(there)) &&
           there.version > walk->head.version && there.version <= c->durable_version;
}

typedef struct st_check_t {
    const cairn_record_t *record;
    bool is_valid;
} check_t;

static void check(void *ctx)
{
    check_t *c = ctx;
    c->is_valid = cairn_record_body_is_valid(c->record);
}

/** rot is never copied under a sum that would make it good */
static cairn_err_t check_body(walk_t *walk)
{
    check_t c = {.record = walk->record};
    while (walk->brought_in < walk->end &&
           walk->at + cairn_record_bytes(&walk->head) > walk->brought_in)
        bring_in(walk);
    if (!cairn_guard_run(check, &c))
        return blame(walk, CAIRN_ERR_IO);
    return c.is_valid ? CAIRN_OK : blame(walk, CAIRN_ERR_DAMAGED);
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
static cairn_err_t add_tombstone(cairn_copying_t *c, const walk_t *walk)
{
    tombstone_t t = {.head = {.version = walk->head.version,
                              .key_bytes = walk->head.key_bytes,
                              .written = cairn_record_written_ms(&walk->head) |
                                         (uint64_t)CAIRN_RECORD_DELETE << 48}};
    if (!cairn_guard_copy(t.key, walk->key.bytes, walk->key.count))
        return CAIRN_ERR_IO;
    t.head.body_sum =
        cairn_record_body_sum(&(cairn_bytes_t){.base = t.key, .count = walk->key.count}, 1);
    return add(c, &t.head, t.key);
}

static bool is_kept_for_feeds(const cairn_copying_t *c, uint64_t since_ms)
{
    return c->keep_since_ms != 0 && since_ms >= c->keep_since_ms;
}

static cairn_err_t copy_delete(cairn_copying_t *c, walk_t *walk)
{
    uint64_t version = walk->head.version;
    if (is_superseded(c, walk))
        return CAIRN_OK;
    if (may_vanish(c, version) && !is_kept_for_feeds(c, cairn_record_written_ms(&walk->head))) {
        note_dropped(c, version);
        return CAIRN_OK;
    }
    cairn_err_t err = check_body(walk);
    return err == CAIRN_OK ? add(c, &walk->head, walk->record + 1) : err;
}

static bool has_expired(const cairn_copying_t *c, const walk_t *walk)
{
    uint64_t expiry_ms = cairn_record_expiry_ms(&walk->head);
    return expiry_ms != 0 && expiry_ms <= c->now_ms;
}

/** its entry stays in the index until the copy has taken the input's place: until then it says that
 * this, and no older value, is what the key had */
static cairn_err_t copy_expired(cairn_copying_t *c, walk_t *walk)
{
    if (!may_vanish(c, walk->head.version) ||
        is_kept_for_feeds(c, cairn_record_expiry_ms(&walk->head)))
        return add_tombstone(c, walk);
    note_dropped(c, walk->head.version);
    return CAIRN_OK;
}

static cairn_err_t copy_put(cairn_copying_t *c, walk_t *walk)
{
    if (!is_live(c, walk))
        return CAIRN_OK;
    cairn_err_t err = check_body(walk);
    if (err != CAIRN_OK)
        return err;
    if (has_expired(c, walk))
        return copy_expired(c, walk);
    return add(c, &walk->head, walk->record + 1);
}

static cairn_err_t copy_record(cairn_copying_t *c, walk_t *walk)
{
    switch (cairn_record_type(&walk->head)) {
    case CAIRN_RECORD_PUT:
    case CAIRN_RECORD_LOST: /* which stays, like a value, until another one takes its place */
        return copy_put(c, walk);
    case CAIRN_RECORD_DELETE:
        return copy_delete(c, walk);
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
    walk_t walk;
    cairn_err_t err;
    uint64_t looked_from = CAIRN_SEGMENT_HEADER_BYTES;
    begin_walk(&walk, input, c->parts->dir->hash_seed);
    while ((err = look_at(&walk)) == CAIRN_OK) {
        err = copy_record(c, &walk);
        if (err != CAIRN_OK)
            break;
        step_over(&walk);
        /* looking costs too, a few times less than writing */
        if (c->piece_bytes + (walk.at - looked_from) / 4 >= PIECE_BYTES) {
            looked_from = walk.at;
            err = take_a_rest(c);
            if (err != CAIRN_OK)
                return err;
        }
    }
    if (err == CAIRN_ERR_NOT_FOUND)
        return CAIRN_OK;
    if (walk.is_faulty) {
        c->damaged = input;
        c->damaged_at = walk.at;
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

static void count_dead(const walk_t *walk)
{
    if (cairn_record_type(&walk->head) == CAIRN_RECORD_LOST)
        atomic_fetch_sub_explicit(&walk->segment->lost_keys, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&walk->segment->dead_bytes, cairn_record_bytes(&walk->head),
                              memory_order_relaxed);
}

/** a delete has no entry, and a value that was replaced since it was copied has none any more */
static void move_entry(const cairn_copying_t *c, const walk_t *origin, const walk_t *copy)
{
    bool gives = cairn_record_type_gives(cairn_record_type(&copy->head));
    if (!gives || cairn_index_replace_if_at(c->parts->index, copy->key.hash, loc_of(origin),
                                            loc_of(copy)) != CAIRN_INDEX_REPLACED)
        count_dead(copy);
}

/**
 * What has expired by a clock that never runs back is what no reader sees and every write takes for
 * absent: that its entry goes changes nothing for anyone.
 */
static void forget_expired(const cairn_copying_t *c, const walk_t *origin)
{
    cairn_loc_t here = loc_of(origin), old;
    if (cairn_record_type_gives(cairn_record_type(&origin->head)) && has_expired(c, origin))
        cairn_index_remove(c->parts->index, origin->key.hash, cairn_probe_is_at, &here, &old);
}

/** a step over a record of an input, and over its copy if there is one */
static cairn_err_t move_record(const cairn_copying_t *c, walk_t *origin, walk_t *copy)
{
    cairn_err_t err = look_at(copy);
    bool is_copied = err == CAIRN_OK && cairn_record_is_data(&origin->head) &&
                     copy->head.version == origin->head.version;
    forget_expired(c, origin);
    if (is_copied) {
        move_entry(c, origin, copy);
        step_over(copy);
    }
    step_over(origin);
    return err == CAIRN_ERR_NOT_FOUND ? CAIRN_OK : err;
}

static cairn_err_t move_from(const cairn_copying_t *c, cairn_segment_t *input, walk_t *copy)
{
    walk_t origin;
    cairn_err_t err;
    size_t moved = 0;
    begin_walk(&origin, input, c->parts->dir->hash_seed);
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
    walk_t copy;
    cairn_err_t err = CAIRN_OK;
    begin_walk(&copy, output, c->parts->dir->hash_seed);
    for (size_t i = 0; i < c->count && err == CAIRN_OK; ++i)
        err = move_from(c, c->inputs[i], &copy);
    /* each copy has met its origin: they stand in the same order */
    return err == CAIRN_OK && look_at(&copy) == CAIRN_ERR_NOT_FOUND;
}
