#include "tests/histories.h"

#include <CUnit/CUnit.h>

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "storage/keytable.h"
#include "storage/snapshot.h"

#define SNAPSHOT "history"

void histories_init(histories_t *h, cairn_store_t *store, size_t count,
                    cairn_bytes_t (*name)(size_t key, char room[24]))
{
    CU_ASSERT_FATAL(count <= HISTORIES_KEYS_MAX);
    memset(h, 0, sizeof(*h));
    h->count = count;
    h->name = name;
    h->feed = cairn_feed_from(store, 0);
}

void histories_note(histories_t *h, size_t key, histories_key_t after)
{
    CU_ASSERT_FATAL(h->pending_count < HISTORIES_PENDING_MAX);
    h->pending[h->pending_count++] = (histories_change_t){.key = key, .after = after};
    h->keys[key] = after;
}

static bool is_there(const histories_key_t *key, uint64_t now_ms)
{
    return key->exists && (key->expiry_ms == 0 || key->expiry_ms > now_ms);
}

/** the number of a key by its name; `count` if it is none of ours */
static size_t number_of(const histories_t *h, cairn_bytes_t name)
{
    size_t low = 0, high = h->count;
    char room[24];
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = cairn_key_compare(h->name(middle, room), name);
        if (order == 0)
            return middle;
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return h->count;
}

/* ---------------------------------------------------------------- the listing */

/** the next row must be of `from` or a later key; those between must have gone. False: it is not */
static bool take_row(const histories_key_t *keys, const histories_t *h, const cairn_row_t *row,
                     uint64_t before_ms, size_t *from, bool *listed)
{
    size_t i = number_of(h, row->key);
    if (i < *from || i >= h->count || row->err != CAIRN_OK)
        return false;
    *from = i + 1;
    listed[i] = true;
    return is_there(&keys[i], before_ms) && row->version == keys[i].version &&
           row->value_bytes == keys[i].bytes && row->expiry_ms == keys[i].expiry_ms;
}

/** how many rows are not what these keys say, or are missing */
static uint64_t count_wrong_rows(histories_t *h, const histories_key_t *keys, cairn_store_t *store)
{
    cairn_listing_options_t options = {.entries_max = SIZE_MAX};
    cairn_listing_t listing;
    cairn_row_t row;
    cairn_err_t err;
    bool listed[HISTORIES_KEYS_MAX] = {false};
    uint64_t wrong = 0, before_ms = cairn_store_now_ms(store);
    size_t from = 0;
    cairn_listing_from(&listing, (cairn_bytes_t){"", 0}, (cairn_bytes_t){"", 0});
    cairn_listing_reader_t *reader = cairn_listing_begin(store, &listing, &options);
    CU_ASSERT_PTR_NOT_NULL_FATAL(reader);
    cairn_listing_result_t result;
    while ((result = cairn_listing_next(reader, &row, &err)) == CAIRN_LISTING_ROW) {
        ++h->rows;
        wrong += !take_row(keys, h, &row, before_ms, &from, listed);
    }
    cairn_listing_end(reader);
    uint64_t after_ms = cairn_store_now_ms(store);
    for (size_t i = 0; i < h->count; ++i)
        wrong += !listed[i] && is_there(&keys[i], after_ms);
    return wrong + (result != CAIRN_LISTING_END);
}

void histories_check_listing(histories_t *h, cairn_store_t *store)
{
    h->wrong_rows += count_wrong_rows(h, h->keys, store);
}

/* ---------------------------------------------------------------- the feed */

/** whether a change is what this one was, read between these times */
static bool is_change(const histories_t *h, const histories_change_t *expected,
                      const cairn_change_t *change, uint64_t before_ms, uint64_t after_ms)
{
    const histories_key_t *after = &expected->after;
    if (change->version != after->version || number_of(h, change->key) != expected->key)
        return false;
    return change->is_delete ? !is_there(after, after_ms)
                             : is_there(after, before_ms) && change->value_bytes == after->bytes;
}

/** what was replaced before it was told may have been compacted away */
static bool is_replaced_later(const histories_t *h, size_t at)
{
    for (size_t i = at + 1; i < h->pending_count; ++i)
        if (h->pending[i].key == h->pending[at].key)
            return true;
    return false;
}

static cairn_feed_result_t next_change(cairn_feed_reader_t *reader, cairn_change_t *change,
                                       histories_t *h)
{
    cairn_feed_result_t result = cairn_feed_next(reader, change);
    h->changes += result == CAIRN_FEED_CHANGE;
    return result;
}

void histories_check_feed(histories_t *h, cairn_store_t *store)
{
    cairn_feed_options_t options = {.may_wait = true, .records_max = SIZE_MAX};
    cairn_feed_reader_t reader;
    cairn_change_t change;
    cairn_feed_result_t result;
    uint64_t newest = cairn_feed_newest(store), before_ms = cairn_store_now_ms(store);
    size_t at = 0;
    cairn_feed_begin(&reader, store, &h->feed, &options);
    while ((result = next_change(&reader, &change, h)) == CAIRN_FEED_CHANGE) {
        while (at < h->pending_count && h->pending[at].after.version < change.version)
            h->wrong_changes += !is_replaced_later(h, at++);
        h->wrong_changes +=
            at == h->pending_count ||
            !is_change(h, &h->pending[at++], &change, before_ms, cairn_store_now_ms(store));
    }
    cairn_err_t err = reader.err;
    cairn_feed_end(&reader);
    if (result == CAIRN_FEED_FAILED && err == CAIRN_ERR_COMPACTED && h->pending_count != 0) {
        /* a delete that it has not been given has gone: it begins anew */
        ++h->restarted_feeds;
        histories_check_feed_from_0(h, store);
        h->feed = cairn_feed_from(store, cairn_feed_newest(store));
        newest = h->feed.version;
    } else {
        h->wrong_changes += result != CAIRN_FEED_UP_TO_DATE;
        while (at < h->pending_count && h->pending[at].after.version <= newest)
            h->wrong_changes += !is_replaced_later(h, at++);
    }
    while (at < h->pending_count && h->pending[at].after.version <= newest)
        ++at;
    h->pending_count -= at;
    memmove(h->pending, h->pending + at, h->pending_count * sizeof(h->pending[0]));
}

void histories_check_feed_from_0(histories_t *h, cairn_store_t *store)
{
    cairn_feed_options_t options = {.may_wait = true, .records_max = SIZE_MAX};
    cairn_feed_t feed = cairn_feed_from(store, 0);
    cairn_feed_reader_t reader;
    cairn_change_t change;
    cairn_feed_result_t result;
    uint64_t known[HISTORIES_KEYS_MAX] = {0}; /* versions of values */
    uint64_t last = 0, newest = cairn_feed_newest(store), before_ms = cairn_store_now_ms(store);
    cairn_feed_begin(&reader, store, &feed, &options);
    while ((result = next_change(&reader, &change, h)) == CAIRN_FEED_CHANGE) {
        size_t i = number_of(h, change.key);
        h->wrong_changes += change.version <= last || i >= h->count;
        last = change.version;
        if (i < h->count)
            known[i] = change.is_delete ? 0 : change.version;
    }
    cairn_feed_end(&reader);
    uint64_t after_ms = cairn_store_now_ms(store);
    h->wrong_changes += result != CAIRN_FEED_UP_TO_DATE;
    for (size_t i = 0; i < h->count; ++i) {
        const histories_key_t *key = &h->keys[i];
        if (key->version > newest) /* it is not durable yet, and not told */
            continue;
        h->wrong_changes += known[i] == 0 ? is_there(key, after_ms)
                                          : !is_there(key, before_ms) || known[i] != key->version;
    }
}

/* ---------------------------------------------------------------- snapshots */

static void check_snapshot(histories_t *h, fixture_t *f)
{
    fixture_t copy;
    char from[512];
    fixture_init(&copy, TEMP_DIR_IN_MEMORY);
    snprintf(from, sizeof(from), "%s/snapshots/" SNAPSHOT, f->options.path);
    mkdir(copy.options.path, 0700);
    copy_dir(from, copy.options.path);
    copy.options.segment_bytes = f->options.segment_bytes;
    copy.options.upkeep_by_hand = true;
    cairn_err_t err = fixture_open(&copy);
    if (err != CAIRN_OK)
        fprintf(stderr, "\na copy of a snapshot: %s\n", copy.errmsg);
    CU_ASSERT_EQUAL_FATAL(err, CAIRN_OK);
    h->wrong_snapshots += cairn_store_last_version(copy.store) != h->snapshot_version ||
                          count_wrong_rows(h, h->snapshot, copy.store) != 0;
    fixture_dispose(&copy);
}

void histories_take_or_check_snapshot(histories_t *h, fixture_t *f)
{
    cairn_snapshot_t snapshot;
    if (h->has_snapshot) {
        check_snapshot(h, f);
        CU_ASSERT_EQUAL(cairn_store_remove_snapshot(f->store, SNAPSHOT), CAIRN_OK);
    } else {
        CU_ASSERT_EQUAL_FATAL(cairn_store_snapshot(f->store, SNAPSHOT, &snapshot), CAIRN_OK);
        h->wrong_snapshots += snapshot.version != cairn_store_last_version(f->store);
        h->snapshot_version = snapshot.version;
        memcpy(h->snapshot, h->keys, sizeof(h->snapshot));
        ++h->snapshots;
    }
    h->has_snapshot = !h->has_snapshot;
}
