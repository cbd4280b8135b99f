/*
 * storage/feed.c - what has changed after a version, in the order of versions.
 *
 * A reader finds the segment that has the version it is to give next, and the place in it: by the
 * feed's own hint, which is right as long as the tail is followed; by the segment's key table; by a
 * mark that others have left; else from the segment's start. From there it walks.
 */
#include "storage/feed.h"

#include <string.h>

#include "index/qsbr.h"
#include "storage/guard.h"
#include "storage/keytable.h"
#include "storage/os.h"
#include "storage/residency.h"
#include "storage/store_internal.h"

/** a search longer than this, in versions, is not for an event loop */
#define SEARCH_VERSIONS_MAX 256
/** values larger than this are not for an event loop either */
#define QUICK_VALUE_BYTES 65536
/** the disk is waited for in pieces of this size */
#define BRING_IN_BYTES ((uint64_t)1 << 20)

/** one that has been given nothing yet misses no delete, whenever that was dropped, if what has
 * been replaced by now is not given to it */
static void take_base(const cairn_store_t *store, cairn_feed_t *feed, uint64_t dropped_version)
{
    if (feed->version == 0 && feed->base < dropped_version)
        feed->base = cairn_feed_newest(store);
}

cairn_feed_t cairn_feed_from(cairn_store_t *store, uint64_t since)
{
    cairn_feed_t feed = {.version = since};
    take_base(store, &feed, cairn_segments_dropped_version(&store->segments));
    return feed;
}

uint64_t cairn_feed_newest(const cairn_store_t *store)
{
    return cairn_watches_version(&store->watches);
}

void cairn_feed_add_watch(cairn_store_t *store, cairn_watch_t *watch)
{
    cairn_watches_add(&store->watches, watch);
}

bool cairn_feed_arm(cairn_store_t *store, cairn_watch_t *watch, uint64_t seen)
{
    return cairn_watches_arm(&store->watches, watch, seen);
}

/* ---------------------------------------------------------------- finding the place */

static void leave(cairn_feed_reader_t *reader)
{
    if (reader->_segment != NULL)
        cairn_segment_unpin(reader->_segment);
    reader->_segment = NULL;
}

/** where in the segment what comes after the feed's version begins, or a little before that */
static cairn_err_t find_place(cairn_feed_reader_t *reader)
{
    const cairn_segment_t *segment = reader->_segment;
    const cairn_feed_t *feed = reader->_feed;
    /* acquire: pairs with upkeep's release when it has made the table */
    const cairn_keytable_t *keys = atomic_load_explicit(&segment->keys, memory_order_acquire);
    if (feed->_salt == segment->salt) {
        reader->_at = feed->_offset;
    } else if (keys != NULL) {
        reader->_at = cairn_keytable_offset_of(keys, feed->version + 1);
    } else if (!cairn_feed_marks_find(&reader->_store->feed_marks, segment->salt, feed->version,
                                      &reader->_at)) {
        reader->_at = CAIRN_SEGMENT_HEADER_BYTES;
        if (!reader->_options->may_wait &&
            feed->version - (segment->first_version - 1) > SEARCH_VERSIONS_MAX)
            return CAIRN_ERR_COLD;
    }
    /* acquire: pairs with the writer's release */
    reader->_end = atomic_load_explicit(&segment->end, memory_order_acquire);
    reader->_brought_in = reader->_at;
    return CAIRN_OK;
}

/** enters the segment of the next version; NOT_FOUND if there is none yet */
static cairn_err_t enter(cairn_feed_reader_t *reader)
{
    cairn_feed_t *feed = reader->_feed;
    uint64_t dropped_version;
    reader->_segment = cairn_segments_pin_at(&reader->_store->segments, feed->version + 1,
                                             &reader->_last, &dropped_version);
    if (reader->_segment == NULL)
        return CAIRN_ERR_NOT_FOUND;
    take_base(reader->_store, feed, dropped_version);
    uint64_t known = feed->version > feed->base ? feed->version : feed->base;
    if (feed->version != 0 && dropped_version > known)
        return CAIRN_ERR_COMPACTED;
    /* what has been replaced is told by the index, and that may touch other records */
    if (feed->version < feed->base && !reader->_options->may_wait)
        return CAIRN_ERR_COLD;
    return find_place(reader);
}

/**
 * At the end of a segment: goes on in the next one. NOT_FOUND if this is the newest, and a last
 * look has found nothing more in it.
 */
static cairn_err_t go_on(cairn_feed_reader_t *reader)
{
    cairn_feed_t *feed = reader->_feed;
    const cairn_segment_t *segment = reader->_segment;
    bool was_newest = reader->_last == UINT64_MAX;
    if (!was_newest && feed->version < reader->_last)
        feed->version = reader->_last;
    leave(reader);
    cairn_err_t err = enter(reader);
    bool is_same = err == CAIRN_OK && reader->_segment == segment;
    return is_same && reader->_at >= reader->_end ? CAIRN_ERR_NOT_FOUND : err;
}

/* ---------------------------------------------------------------- looking at records */

/** waits for the disk to bring in what comes next: some more than is asked for */
static cairn_err_t bring_in(cairn_feed_reader_t *reader, uint64_t bytes)
{
    const cairn_segment_t *segment = reader->_segment;
    uint64_t left = reader->_end - reader->_at;
    if (reader->_at + bytes <= reader->_brought_in)
        return CAIRN_OK;
    if (bytes < BRING_IN_BYTES)
        bytes = left < BRING_IN_BYTES ? left : BRING_IN_BYTES;
    /* a disk may take long, and memory that others gave back would wait for it */
    rcu_thread_offline();
    cairn_os->will_need(segment->map + reader->_at, bytes);
    int populated = cairn_os->populate(segment->map + reader->_at, bytes);
    rcu_thread_online();
    reader->_brought_in = reader->_at + bytes;
    return populated < 0 ? CAIRN_ERR_IO : CAIRN_OK;
}

/**
 * Copies from the next record, of which the first `offset + count` bytes must be there: what the
 * disk has said may be judged only where it does not change any more.
 */
static cairn_err_t copy(cairn_feed_reader_t *reader, uint64_t offset, void *to, uint64_t count)
{
    cairn_segment_t *segment = reader->_segment;
    if (count == 0)
        return CAIRN_OK;
    if (offset + count > reader->_end - reader->_at)
        return CAIRN_ERR_DAMAGED;
    if (!reader->_options->may_wait &&
        cairn_residency_check(segment, reader->_at, offset + count) == 0)
        return CAIRN_ERR_COLD;
    cairn_err_t err = reader->_options->may_wait ? bring_in(reader, offset + count) : CAIRN_OK;
    if (err == CAIRN_OK && !cairn_guard_copy(to, segment->map + reader->_at + offset, count))
        err = CAIRN_ERR_IO;
    return err;
}

/** the head, key and meta of the record that comes next */
static cairn_err_t look(cairn_feed_reader_t *reader, const cairn_record_t **record)
{
    cairn_record_t *r = &reader->_head.record;
    cairn_err_t err = copy(reader, 0, r, CAIRN_RECORD_HEAD_BYTES);
    if (err != CAIRN_OK)
        return err;
    size_t more = (size_t)r->key_bytes + r->meta_bytes;
    if (more > sizeof(reader->_head) - CAIRN_RECORD_HEAD_BYTES)
        return CAIRN_ERR_DAMAGED;
    err = copy(reader, CAIRN_RECORD_HEAD_BYTES, r + 1, more);
    *record = r;
    if (err == CAIRN_OK && !cairn_record_head_is_valid(r, reader->_end - reader->_at,
                                                       reader->_segment->salt, reader->_at))
        err = CAIRN_ERR_DAMAGED;
    return err;
}

static void step_over(cairn_feed_reader_t *reader, const cairn_record_t *r)
{
    cairn_feed_t *feed = reader->_feed;
    reader->_at += cairn_record_bytes(r);
    if (r->version > feed->version)
        feed->version = r->version;
    feed->_salt = reader->_segment->salt;
    feed->_offset = reader->_at;
    cairn_feed_marks_leave(&reader->_store->feed_marks, feed->_salt, r->version, reader->_at);
}

/** whether a feed is to be given this record */
static bool is_wanted(cairn_feed_reader_t *reader, const cairn_record_t *r)
{
    const cairn_feed_t *feed = reader->_feed;
    const cairn_feed_options_t *options = reader->_options;
    cairn_record_type_t type = cairn_record_type(r);
    if (!cairn_record_is_data(r) || r->version <= feed->version)
        return false;
    if (options->prefix.count != 0 &&
        (r->key_bytes < options->prefix.count ||
         memcmp(cairn_record_key(r), options->prefix.base, options->prefix.count) != 0))
        return false;
    bool is_news = type == CAIRN_RECORD_DELETE || r->version > feed->base;
    if (is_news && type != CAIRN_RECORD_LOST)
        return true;
    if (!options->may_wait) { /* of what is lost is told only while nothing has replaced it */
        reader->err = CAIRN_ERR_COLD;
        return false;
    }
    cairn_key_t key = cairn_store_key(reader->_store, cairn_record_key(r), r->key_bytes);
    bool is_doubtful; /* even if it has been replaced, it was what the key had */
    return cairn_store_is_live(reader->_store, reader->_segment, reader->_at, &key, r->version,
                               &is_doubtful);
}

static cairn_err_t make_room(cairn_feed_reader_t *reader, size_t bytes)
{
    if (bytes <= reader->_value_room)
        return CAIRN_OK;
    cairn_os->free(reader->_value);
    reader->_value = cairn_os->alloc(bytes);
    reader->_value_room = reader->_value != NULL ? bytes : 0;
    return reader->_value != NULL ? CAIRN_OK : CAIRN_ERR_NOMEM;
}

static cairn_err_t take_value(cairn_feed_reader_t *reader, const cairn_record_t *r,
                              cairn_bytes_t *value)
{
    if (!reader->_options->may_wait && r->value_bytes > QUICK_VALUE_BYTES)
        return CAIRN_ERR_COLD;
    size_t head = (size_t)r->key_bytes + r->meta_bytes;
    cairn_err_t err = make_room(reader, r->value_bytes);
    if (err == CAIRN_OK)
        err = copy(reader, CAIRN_RECORD_HEAD_BYTES + head, reader->_value, r->value_bytes);
    if (err != CAIRN_OK)
        return err;
    *value = (cairn_bytes_t){reader->_value, r->value_bytes};
    const cairn_bytes_t pieces[] = {{cairn_record_key(r), head}, *value};
    return cairn_record_body_sum(pieces, 2) == r->body_sum ? CAIRN_OK : CAIRN_ERR_DAMAGED;
}

static cairn_err_t fill(cairn_feed_reader_t *reader, const cairn_record_t *r,
                        cairn_change_t *change)
{
    uint64_t expiry_ms = cairn_record_expiry_ms(r);
    bool has_expired = expiry_ms != 0 && expiry_ms <= reader->_now_ms;
    *change = (cairn_change_t){
        .version = r->version,
        .is_delete = cairn_record_type(r) == CAIRN_RECORD_DELETE || has_expired,
        .key = {cairn_record_key(r), r->key_bytes},
    };
    /* what has once been said to be gone stays gone, though the clock be set back */
    if (has_expired)
        cairn_clock_raise(&reader->_store->clock, reader->_now_ms);
    if (change->is_delete)
        return CAIRN_OK;
    if (cairn_record_type(r) == CAIRN_RECORD_LOST)
        return CAIRN_ERR_DAMAGED;
    change->meta = (cairn_bytes_t){cairn_record_meta(r), r->meta_bytes};
    change->value_bytes = r->value_bytes;
    change->expiry_ms = expiry_ms;
    return reader->_options->wants_values ? take_value(reader, r, &change->value) : CAIRN_OK;
}

/* ---------------------------------------------------------------- the steps */

void cairn_feed_begin(cairn_feed_reader_t *reader, cairn_store_t *store, cairn_feed_t *feed,
                      const cairn_feed_options_t *options)
{
    /* not the room for a head, which is larger than all else */
    memset(reader, 0, offsetof(cairn_feed_reader_t, _head));
    reader->_store = store;
    reader->_feed = feed;
    reader->_options = options;
    reader->_records_left = options->records_max;
    reader->_until = cairn_feed_newest(store);
    reader->_now_ms = cairn_store_now_ms(store);
}

/** the record that comes next; NOT_FOUND if there is none that may be told */
static cairn_err_t next_record(cairn_feed_reader_t *reader, const cairn_record_t **record)
{
    cairn_err_t err = reader->_segment == NULL ? enter(reader) : CAIRN_OK;
    /* a segment that compaction has left empty is walked through like any other */
    while (err == CAIRN_OK && reader->_at >= reader->_end)
        err = go_on(reader);
    if (err == CAIRN_OK)
        err = look(reader, record);
    if (err == CAIRN_OK && (*record)->version > reader->_until)
        err = CAIRN_ERR_NOT_FOUND;
    return err;
}

cairn_feed_result_t cairn_feed_next(cairn_feed_reader_t *reader, cairn_change_t *change)
{
    while (reader->_feed->version < reader->_until) {
        const cairn_record_t *r;
        if (reader->_records_left == 0)
            return CAIRN_FEED_PAUSED;
        reader->err = next_record(reader, &r);
        if (reader->err == CAIRN_ERR_NOT_FOUND) {
            /* what there was between has been compacted away */
            reader->_feed->version = reader->_until;
            return CAIRN_FEED_UP_TO_DATE;
        }
        --reader->_records_left;
        bool is_wanted_one = reader->err == CAIRN_OK && is_wanted(reader, r);
        if (is_wanted_one)
            reader->err = fill(reader, r, change);
        if (reader->err != CAIRN_OK)
            return CAIRN_FEED_FAILED;
        step_over(reader, r);
        if (is_wanted_one)
            return CAIRN_FEED_CHANGE;
    }
    return CAIRN_FEED_UP_TO_DATE;
}

void cairn_feed_end(cairn_feed_reader_t *reader)
{
    leave(reader);
    cairn_os->free(reader->_value);
    reader->_value = NULL;
}
