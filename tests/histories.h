/*
 * tests/histories.h - what a store shows of itself beside its values: its listing, its feed and its
 * snapshots, held against a model step by step.
 *
 * Keys are numbers below `count`, and stand in the order of their names. Whoever drives the store
 * tells each change (histories_note) and then asks whether everything agrees. What the clock
 * decides may go either way between two looks at it.
 */
#ifndef CAIRN_TESTS_HISTORIES_H
#define CAIRN_TESTS_HISTORIES_H

#include "storage/feed.h"
#include "storage/listing.h"
#include "tests/store_fixture.h"

#define HISTORIES_KEYS_MAX 128
/** changes that a feed may not have been given yet */
#define HISTORIES_PENDING_MAX 8192

typedef struct st_histories_key_t {
    bool exists;
    uint64_t version; /* of its last change */
    uint64_t bytes;   /* of its value */
    uint64_t expiry_ms;
} histories_key_t;

typedef struct st_histories_change_t {
    size_t key;
    histories_key_t after;
} histories_change_t;

typedef struct st_histories_t {
    size_t count;
    cairn_bytes_t (*name)(size_t key, char room[24]);
    histories_key_t keys[HISTORIES_KEYS_MAX];
    cairn_feed_t feed; /* one that follows */
    histories_change_t pending[HISTORIES_PENDING_MAX];
    size_t pending_count;
    bool has_snapshot;
    uint64_t snapshot_version;
    histories_key_t snapshot[HISTORIES_KEYS_MAX];
    /* so often it did not agree */
    uint64_t wrong_rows, wrong_changes, wrong_snapshots;
    /* and so much was looked at */
    uint64_t rows, changes, restarted_feeds, snapshots;
} histories_t;

/** Begins with an empty store. `name` gives the keys, in order. */
void histories_init(histories_t *h, cairn_store_t *store, size_t count,
                    cairn_bytes_t (*name)(size_t key, char room[24]));

/** The key has changed so. */
void histories_note(histories_t *h, size_t key, histories_key_t after);

/** Whether the listing has what there is, in order, and nothing else. */
void histories_check_listing(histories_t *h, cairn_store_t *store);

/** Whether a feed that has followed is given what has changed since, in order, and whether it comes
 * to an end where all that is durable is told. */
void histories_check_feed(histories_t *h, cairn_store_t *store);

/** Whether who reads from 0 comes to know what there is, and nothing of what has gone. */
void histories_check_feed_from_0(histories_t *h, cairn_store_t *store);

/** Takes a snapshot; if there is one, looks whether it still is what it was, on a copy, and removes
 * it. */
void histories_take_or_check_snapshot(histories_t *h, fixture_t *f);

#endif
