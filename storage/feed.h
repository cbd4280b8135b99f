/*
 * storage/feed.h - what has changed after a version, in the order of versions.
 *
 * The log is the feed: a feed is nothing but a place in it, and whoever reads slowly holds nothing
 * up. A reader walks from that place on, one short step after the other: cairn_feed_begin(),
 * cairn_feed_next() until there is no more, cairn_feed_end(). Every record that is still there is a
 * change; a put that has expired is read as a delete. Only what is durable is read.
 *
 * Compaction takes overwritten records away, which loses nothing: a newer one of the same key
 * follows. When it takes a delete away, who has read less than that would never learn of it: such a
 * feed ends with COMPACTED and begins anew from 0.
 *
 * A feed from 0 knows no key yet. In a store that has ever dropped a delete, it is given no value
 * that has been replaced by the time it began (`base`): so it needs none of the deletes up to
 * there, whenever they go.
 *
 * Threads: any that is registered; a feed and its reader belong to one at a time.
 */
#ifndef CAIRN_STORAGE_FEED_H
#define CAIRN_STORAGE_FEED_H

#include "storage/record.h"
#include "storage/store.h"
#include "storage/watch.h"

/** where a feed stands; a plain value */
typedef struct st_cairn_feed_t {
    uint64_t version; /* all up to here has been given or passed over */
    uint64_t base;    /* no replaced value up to here has been given, nor will be; 0: all are */
    /* a hint: in the segment of this salt, the first record behind `version` is not before this */
    uint64_t _salt;
    uint64_t _offset;
} cairn_feed_t;

typedef struct st_cairn_change_t {
    uint64_t version;
    bool is_delete; /* the key was deleted, or its value has expired: then only the key is given */
    cairn_bytes_t key;
    cairn_bytes_t meta;
    uint64_t value_bytes;
    cairn_bytes_t value; /* if the reader wants values */
    uint64_t expiry_ms;  /* 0: never */
} cairn_change_t;

typedef struct st_cairn_feed_options_t {
    cairn_bytes_t prefix; /* only keys that begin so */
    bool wants_values;
    bool may_wait;      /* for the disk: inside a job of cairn_store_run() only */
    size_t records_max; /* to be looked at in this step */
} cairn_feed_options_t;

typedef struct st_cairn_feed_reader_t {
    cairn_err_t err; /* after FAILED */
    cairn_store_t *_store;
    cairn_feed_t *_feed;
    const cairn_feed_options_t *_options;
    size_t _records_left;
    uint64_t _until;                     /* what may be told */
    uint64_t _now_ms;                    /* what has expired by then has expired */
    struct st_cairn_segment_t *_segment; /* pinned; NULL between two */
    uint64_t _last;                      /* version it covers; UINT64_MAX: it is the newest */
    uint64_t _at;
    uint64_t _end;
    uint64_t _brought_in; /* up to here the disk has been waited for */
    void *_value;
    size_t _value_room;
    union { /* a copy of the head, key and meta of the record looked at */
        cairn_record_t record;
        uint8_t room[CAIRN_RECORD_HEAD_BYTES + CAIRN_KEY_BYTES_MAX + CAIRN_META_BYTES_MAX];
    } _head;
} cairn_feed_reader_t;

typedef enum en_cairn_feed_result_t {
    CAIRN_FEED_CHANGE,     /* there is one */
    CAIRN_FEED_UP_TO_DATE, /* there is no more for now */
    CAIRN_FEED_PAUSED,     /* records_max have been looked at */
    /* `err` says why: COLD (go on where waiting is allowed), COMPACTED, DAMAGED, IO */
    CAIRN_FEED_FAILED
} cairn_feed_result_t;

/** A feed of what comes after `since`; 0 begins with what there is. */
cairn_feed_t cairn_feed_from(cairn_store_t *store, uint64_t since);

/**
 * Begins a step; `feed` goes on with it. Feed and options outlive the reader.
 *
 * Threads: a reader that may wait passes quiescent states.
 */
void cairn_feed_begin(cairn_feed_reader_t *reader, cairn_store_t *store, cairn_feed_t *feed,
                      const cairn_feed_options_t *options);

/** The next change. What it gives stays until the next call. */
cairn_feed_result_t cairn_feed_next(cairn_feed_reader_t *reader, cairn_change_t *change);

/** Ends a step. */
void cairn_feed_end(cairn_feed_reader_t *reader);

/** How far a feed can read now. Threads: any. */
uint64_t cairn_feed_newest(const cairn_store_t *store);

/** Adds one who is to be told; it outlives the store. Threads: any. */
void cairn_feed_add_watch(cairn_store_t *store, cairn_watch_t *watch);

/** Asks to be told once when a feed can read beyond `seen`; false if it can. As
 * cairn_watches_arm(). */
bool cairn_feed_arm(cairn_store_t *store, cairn_watch_t *watch, uint64_t seen);

#endif
