/*
 * storage/listing.c - the live keys in the order of their bytes, a page at a time.
 *
 * A step pins all segments, finds its place in the table of each (or in the sorted runs of one that
 * has none), and takes from them the least key. Of all entries of a key the newest counts. It is
 * live if the index has exactly its place: no record is touched for that. If the index has another
 * one, the key has been written since the segments were pinned, or compaction has moved it, and it
 * is looked up as any reader would.
 */
#include "storage/listing.h"

#include <string.h>

#include "storage/guard.h"
#include "storage/keytable_internal.h"
#include "storage/os.h"
#include "storage/runs.h"
#include "storage/store_internal.h"
#include "storage/walk.h"

/** sorting so many records of the tail is a step of its own */
#define SORTED_MAX 16384

/** a table, a run or the damaged records beside it, and where in it the step stands */
typedef struct st_source_t {
    cairn_segment_t *segment;
    cairn_keytable_t *table; /* NULL: it is another */
    cairn_keytable_cursor_t cursor;
    const cairn_run_t *run;     /* NULL: it is another */
    const cairn_wound_t *wound; /* the next one */
    size_t next;                /* in the run */
    uint64_t run_end;           /* of the records it has */
    uint8_t *key_room;          /* of a run: the key, copied */
    cairn_keytable_entry_t entry;
    cairn_bytes_t key;
} source_t;

struct st_cairn_listing_reader_t {
    cairn_store_t *store;
    cairn_listing_t *listing;
    const cairn_listing_options_t *options;
    size_t entries_left;
    uint64_t now_ms; /* what has expired by then has expired */
    cairn_segments_pinned_t pinned;
    cairn_runs_t *runs; /* of segments without a table */
    size_t runs_count;
    source_t *sources;
    size_t source_count;
    source_t **heap; /* those that have more; the least key first, of one key the newest */
    size_t heap_count;
    cairn_err_t err;    /* of the beginning */
    bool has_forgotten; /* a run that was damaged: the next step makes it anew */
    bool is_paused;     /* the beginning was work enough for a step */
    cairn_walk_t walk;  /* at the record of the row */
    cairn_room_t value;
    cairn_room_t meta;
    size_t key_bytes;
    uint8_t key[CAIRN_KEY_BYTES_MAX]; /* of the row */
};

static void stand_after(cairn_listing_t *listing, const void *key, size_t count)
{
    memcpy(listing->bytes, key, count);
    listing->bytes[count] = 0;
    listing->count = count + 1;
    listing->is_after = true;
}

void cairn_listing_from(cairn_listing_t *listing, cairn_bytes_t prefix, cairn_bytes_t after)
{
    *listing = (cairn_listing_t){.count = 0};
    if (after.count != 0 && cairn_key_compare(after, prefix) >= 0) {
        stand_after(listing, after.base, after.count);
    } else if (prefix.count != 0) {
        memcpy(listing->bytes, prefix.base, prefix.count);
        listing->count = prefix.count;
    }
}

cairn_bytes_t cairn_listing_after(const cairn_listing_t *listing)
{
    return (cairn_bytes_t){listing->bytes, listing->is_after ? listing->count - 1 : 0};
}

static cairn_bytes_t place_of(const cairn_listing_reader_t *reader)
{
    return (cairn_bytes_t){reader->listing->bytes, reader->listing->count};
}

/* ---------------------------------------------------------------- runs as sources */

static cairn_err_t look_at_run(cairn_listing_reader_t *reader, source_t *s, size_t at)
{
    cairn_walk_t *walk = &reader->walk;
    cairn_walk_begin(walk, s->segment, CAIRN_SEGMENT_HEADER_BYTES, s->run_end);
    return cairn_walk_look_at(walk, (uint64_t)s->run->places[at] * CAIRN_RECORD_ALIGN);
}

static cairn_err_t next_of_run(cairn_listing_reader_t *reader, source_t *s)
{
    if (s->next == s->run->count)
        return CAIRN_ERR_NOT_FOUND;
    cairn_err_t err = look_at_run(reader, s, s->next);
    if (err != CAIRN_OK)
        return err;
    const cairn_record_t *r = &reader->walk.record;
    s->entry = (cairn_keytable_entry_t){.version = r->version,
                                        .offset = reader->walk.at,
                                        .expiry = cairn_record_expiry_ms(r) |
                                                  (uint64_t)cairn_record_type(r) << 48,
                                        .value_bytes = r->value_bytes,
                                        .key_bytes = r->key_bytes,
                                        .meta_bytes = r->meta_bytes};
    memcpy(s->key_room, cairn_record_key(r), r->key_bytes);
    s->key = (cairn_bytes_t){s->key_room, r->key_bytes};
    ++s->next;
    return CAIRN_OK;
}

static cairn_err_t seek_in_run(cairn_listing_reader_t *reader, source_t *s, cairn_bytes_t key)
{
    size_t low = 0, high = s->run->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        cairn_err_t err = look_at_run(reader, s, middle);
        if (err != CAIRN_OK)
            return err;
        const cairn_record_t *r = &reader->walk.record;
        cairn_bytes_t there = {cairn_record_key(r), r->key_bytes};
        if (cairn_key_compare(there, key) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    s->next = low;
    return next_of_run(reader, s);
}

/* ---------------------------------------------------------------- damaged records as sources */

/** at no place where a record can be: so what the key has is looked up */
static cairn_err_t next_of_wounds(source_t *s)
{
    if (s->wound == NULL)
        return CAIRN_ERR_NOT_FOUND;
    s->entry = (cairn_keytable_entry_t){.expiry = (uint64_t)CAIRN_RECORD_PUT << 48,
                                        .key_bytes = (uint16_t)s->wound->key_bytes};
    s->key = (cairn_bytes_t){s->wound->key, s->wound->key_bytes};
    s->wound = s->wound->next;
    return CAIRN_OK;
}

static cairn_err_t seek_in_wounds(source_t *s, cairn_bytes_t key)
{
    cairn_err_t err;
    while ((err = next_of_wounds(s)) == CAIRN_OK && cairn_key_compare(s->key, key) < 0)
        ;
    return err;
}

/* ---------------------------------------------------------------- sources */

/** what a table gives; one that turns out to be damaged is made anew, and meanwhile done without */
static cairn_err_t take_from_table(source_t *s, cairn_err_t err)
{
    s->entry = s->cursor.entry;
    s->key = s->cursor.key;
    if (err == CAIRN_ERR_DAMAGED || err == CAIRN_ERR_IO)
        atomic_store_explicit(&s->table->is_damaged, true, memory_order_relaxed);
    return err;
}

/** what a run gives; a record of it that has been damaged since is found when it is made anew */
static cairn_err_t take_from_run(cairn_listing_reader_t *reader, const source_t *s, cairn_err_t err)
{
    if (err != CAIRN_ERR_DAMAGED && err != CAIRN_ERR_IO)
        return err;
    cairn_runs_forget(&reader->store->runs, s->segment->salt);
    reader->has_forgotten = true;
    return err;
}

static cairn_err_t seek(cairn_listing_reader_t *reader, source_t *s)
{
    if (s->table != NULL)
        return take_from_table(s, cairn_keytable_seek(&s->cursor, place_of(reader)));
    return s->run != NULL ? take_from_run(reader, s, seek_in_run(reader, s, place_of(reader)))
                          : seek_in_wounds(s, place_of(reader));
}

static cairn_err_t advance(cairn_listing_reader_t *reader, source_t *s)
{
    if (reader->entries_left != 0)
        --reader->entries_left;
    if (s->table != NULL)
        return take_from_table(s, cairn_keytable_next(&s->cursor));
    return s->run != NULL ? take_from_run(reader, s, next_of_run(reader, s)) : next_of_wounds(s);
}

static bool is_before(const source_t *a, const source_t *b)
{
    int order = cairn_key_compare(a->key, b->key);
    return order != 0 ? order < 0 : a->entry.version > b->entry.version;
}

static void sift_down(cairn_listing_reader_t *reader, size_t at)
{
    source_t **heap = reader->heap, *moving = heap[at];
    for (size_t child; (child = 2 * at + 1) < reader->heap_count; at = child) {
        if (child + 1 < reader->heap_count && is_before(heap[child + 1], heap[child]))
            ++child;
        if (!is_before(heap[child], moving))
            break;
        heap[at] = heap[child];
    }
    heap[at] = moving;
}

/** the first source goes on */
static cairn_err_t advance_first(cairn_listing_reader_t *reader)
{
    cairn_err_t err = advance(reader, reader->heap[0]);
    if (err == CAIRN_ERR_NOT_FOUND) {
        reader->heap[0] = reader->heap[--reader->heap_count];
        err = CAIRN_OK;
    }
    if (err == CAIRN_OK && reader->heap_count != 0)
        sift_down(reader, 0);
    return err;
}

static bool begins_with(cairn_bytes_t key, cairn_bytes_t prefix)
{
    return key.count >= prefix.count &&
           (prefix.count == 0 || memcmp(key.base, prefix.base, prefix.count) == 0);
}

/** whether a table has no key that may be given: most have none where keys come in order */
static bool is_elsewhere(const cairn_listing_reader_t *reader, const cairn_keytable_t *table)
{
    cairn_bytes_t least, greatest, prefix = reader->options->prefix;
    if (!cairn_keytable_bounds(table, &least, &greatest) ||
        cairn_key_compare(greatest, place_of(reader)) < 0)
        return true;
    return cairn_key_compare(least, prefix) > 0 && !begins_with(least, prefix);
}

/* ---------------------------------------------------------------- beginning */

/** a listing never leaves keys out without saying so */
static cairn_err_t allow_left_out(cairn_listing_reader_t *reader, const cairn_runs_t *runs)
{
    cairn_err_t left_out = runs->wounds != NULL ? runs->wounds->left_out : CAIRN_OK;
    if (left_out == CAIRN_OK)
        return CAIRN_OK;
    reader->listing->left_out = left_out;
    if (reader->options->is_partial)
        return CAIRN_OK;
    /* what the disk could not read it may read the next time */
    if (left_out == CAIRN_ERR_IO)
        cairn_runs_forget(&reader->store->runs, runs->salt);
    return left_out;
}

/** sorts the keys of what has no table; a large one is enough for a step */
static cairn_err_t get_runs(cairn_listing_reader_t *reader, size_t *source_count)
{
    size_t sorted_sum = 0, sorted;
    cairn_err_t err = CAIRN_OK;
    reader->runs = cairn_os->calloc(reader->pinned.count + 1, sizeof(*reader->runs));
    if (reader->runs == NULL)
        return CAIRN_ERR_NOMEM;
    for (size_t i = 0; i < reader->pinned.count && err == CAIRN_OK; ++i) {
        if (cairn_keytable_of(reader->pinned.list[i]) != NULL) {
            ++*source_count;
            continue;
        }
        if (sorted_sum > SORTED_MAX) {
            reader->is_paused = true;
            break;
        }
        cairn_runs_t *runs = &reader->runs[reader->runs_count];
        err = cairn_runs_get(&reader->store->runs, reader->pinned.list[i], runs, &sorted);
        if (err != CAIRN_OK)
            break;
        ++reader->runs_count;
        *source_count += runs->count + (runs->wounds != NULL);
        sorted_sum += sorted;
        err = allow_left_out(reader, runs);
    }
    return err;
}

static cairn_err_t add_source(cairn_listing_reader_t *reader, const source_t *source)
{
    source_t *s = &reader->sources[reader->source_count++];
    *s = *source;
    if (s->run != NULL && (s->key_room = cairn_os->alloc(CAIRN_KEY_BYTES_MAX)) == NULL)
        return CAIRN_ERR_NOMEM;
    cairn_err_t err = seek(reader, s);
    if (err == CAIRN_OK)
        reader->heap[reader->heap_count++] = s;
    return err == CAIRN_ERR_NOT_FOUND ? CAIRN_OK : err;
}

static cairn_err_t add_runs(cairn_listing_reader_t *reader, cairn_segment_t *segment,
                            const cairn_runs_t *runs)
{
    cairn_err_t err = CAIRN_OK;
    for (size_t i = 0; i < runs->count && err == CAIRN_OK; ++i) {
        source_t source = {.segment = segment, .run = runs->list[i], .run_end = runs->end};
        err = add_source(reader, &source);
    }
    if (err == CAIRN_OK && runs->wounds != NULL)
        err = add_source(reader, &(source_t){.segment = segment, .wound = runs->wounds->first});
    return err;
}

/** the runs of a segment; NULL where it had a table when they were made */
static const cairn_runs_t *runs_of(const cairn_listing_reader_t *reader,
                                   const cairn_segment_t *segment)
{
    for (size_t i = 0; i < reader->runs_count; ++i)
        if (reader->runs[i].salt == segment->salt)
            return &reader->runs[i];
    return NULL;
}

static cairn_err_t add_sources(cairn_listing_reader_t *reader)
{
    cairn_err_t err = CAIRN_OK;
    for (size_t i = 0; i < reader->pinned.count && err == CAIRN_OK; ++i) {
        cairn_segment_t *segment = reader->pinned.list[i];
        const cairn_runs_t *runs = runs_of(reader, segment);
        /* what had a good one has one: damage is found by those who read it */
        cairn_keytable_t *table = atomic_load_explicit(&segment->keys, memory_order_acquire);
        source_t source = {.segment = segment, .table = table, .cursor = {.table = table}};
        if (runs != NULL)
            err = add_runs(reader, segment, runs);
        else if (!is_elsewhere(reader, table))
            err = add_source(reader, &source);
    }
    for (size_t i = reader->heap_count; i-- != 0;)
        sift_down(reader, i);
    return err;
}

static cairn_err_t begin(cairn_listing_reader_t *reader)
{
    size_t source_count = 0;
    cairn_err_t err = cairn_segments_pin_all(&reader->store->segments, &reader->pinned);
    if (err == CAIRN_OK)
        err = get_runs(reader, &source_count);
    if (err != CAIRN_OK || reader->is_paused)
        return err;
    cairn_runs_keep_only(&reader->store->runs, &reader->pinned);
    reader->sources = cairn_os->calloc(source_count + 1, sizeof(*reader->sources));
    reader->heap = cairn_os->alloc((source_count + 1) * sizeof(*reader->heap));
    if (reader->sources == NULL || reader->heap == NULL)
        return CAIRN_ERR_NOMEM;
    return add_sources(reader);
}

/** whether what failed was a table or a run, which the next step does without or makes anew */
static bool has_lost_a_source(const cairn_listing_reader_t *reader)
{
    if (reader->has_forgotten)
        return true;
    for (size_t i = 0; i < reader->source_count; ++i) {
        const cairn_keytable_t *table = reader->sources[i].table;
        if (table != NULL && atomic_load_explicit(&table->is_damaged, memory_order_relaxed))
            return true;
    }
    return false;
}

cairn_listing_reader_t *cairn_listing_begin(cairn_store_t *store, cairn_listing_t *listing,
                                            const cairn_listing_options_t *options)
{
    cairn_listing_reader_t *reader = cairn_os->calloc(1, sizeof(*reader));
    if (reader == NULL)
        return NULL;
    reader->store = store;
    reader->listing = listing;
    reader->options = options;
    reader->entries_left = options->entries_max;
    reader->now_ms = cairn_store_now_ms(store);
    reader->err = begin(reader);
    return reader;
}

/* ---------------------------------------------------------------- rows */

static bool has_expired(cairn_listing_reader_t *reader, uint64_t expiry_ms)
{
    if (expiry_ms == 0 || expiry_ms > reader->now_ms)
        return false;
    /* what has once been said to be gone stays gone, though the clock be set back */
    cairn_clock_raise(&reader->store->clock, reader->now_ms);
    return true;
}

/** what stands in the record beside what the table says */
static cairn_err_t read_record(cairn_listing_reader_t *reader, cairn_segment_t *segment,
                               const cairn_keytable_entry_t *entry, cairn_row_t *row)
{
    cairn_walk_t *walk = &reader->walk;
    uint64_t end = atomic_load_explicit(&segment->written, memory_order_acquire);
    if (entry->meta_bytes == 0 && !reader->options->wants_values)
        return CAIRN_OK;
    cairn_walk_begin(walk, segment, CAIRN_SEGMENT_HEADER_BYTES, end);
    cairn_err_t err = cairn_walk_look_at(walk, entry->offset);
    if (err != CAIRN_OK)
        return err;
    row->meta = (cairn_bytes_t){cairn_record_meta(&walk->record), walk->record.meta_bytes};
    if (!reader->options->wants_values)
        return CAIRN_OK;
    err = cairn_walk_value(walk, &reader->value);
    if (err == CAIRN_OK)
        row->value = (cairn_bytes_t){reader->value.bytes, walk->record.value_bytes};
    return err;
}

/** a key that has been written, or moved, since the segments were pinned */
static cairn_err_t look_up(cairn_listing_reader_t *reader, const cairn_key_t *key, cairn_row_t *row)
{
    cairn_value_t value;
    cairn_err_t err = cairn_store_get_waiting(reader->store, key, &value);
    if (err != CAIRN_OK)
        return err;
    row->version = value.version;
    row->value_bytes = value.count;
    row->expiry_ms = value.expiry_ms;
    if (!cairn_room_make(&reader->meta, value.meta.count) ||
        !cairn_room_make(&reader->value, value.count))
        return CAIRN_ERR_NOMEM;
    if (!cairn_value_copy_meta(&value, reader->meta.bytes) ||
        (reader->options->wants_values &&
         !cairn_value_copy(&value, 0, reader->value.bytes, value.count)))
        return CAIRN_ERR_IO;
    row->meta = (cairn_bytes_t){reader->meta.bytes, value.meta.count};
    if (reader->options->wants_values)
        row->value = (cairn_bytes_t){reader->value.bytes, value.count};
    return CAIRN_OK;
}

/** the row of the key that the listing has come to; NOT_FOUND if it is not live */
static cairn_err_t make_row(cairn_listing_reader_t *reader, cairn_segment_t *segment,
                            const cairn_keytable_entry_t *entry, cairn_row_t *row)
{
    if (!cairn_record_type_gives(cairn_keytable_type(entry)) ||
        has_expired(reader, cairn_keytable_expiry_ms(entry)))
        return CAIRN_ERR_NOT_FOUND;
    cairn_store_t *store = reader->store;
    cairn_key_t key = cairn_store_key(store, reader->key, reader->key_bytes);
    cairn_loc_t here = cairn_segment_loc(segment, entry->offset), found;
    *row = (cairn_row_t){.key = {key.bytes, key.count}};
    if (!cairn_index_find(store->index, key.hash, cairn_probe_is_at, &here, &found))
        return look_up(reader, &key, row);
    row->version = entry->version;
    row->value_bytes = entry->value_bytes;
    row->expiry_ms = cairn_keytable_expiry_ms(entry);
    if (cairn_keytable_type(entry) == CAIRN_RECORD_LOST)
        return CAIRN_ERR_DAMAGED;
    return read_record(reader, segment, entry, row);
}

/* ---------------------------------------------------------------- the steps */

/** takes the least key, the newest entry of it, and all sources beyond it */
static cairn_err_t take_first(cairn_listing_reader_t *reader, cairn_segment_t **segment,
                              cairn_keytable_entry_t *entry)
{
    const source_t *first = reader->heap[0];
    *segment = first->segment;
    *entry = first->entry;
    memcpy(reader->key, first->key.base, first->key.count);
    reader->key_bytes = first->key.count;
    cairn_bytes_t key = {reader->key, reader->key_bytes};
    cairn_err_t err = advance_first(reader);
    while (err == CAIRN_OK && reader->heap_count != 0 &&
           cairn_key_compare(reader->heap[0]->key, key) == 0)
        err = advance_first(reader);
    return err;
}

static cairn_listing_result_t fail(cairn_listing_reader_t *reader, cairn_err_t failure,
                                   cairn_err_t *err)
{
    *err = failure;
    return has_lost_a_source(reader) ? CAIRN_LISTING_PAUSED : CAIRN_LISTING_FAILED;
}

cairn_listing_result_t cairn_listing_next(cairn_listing_reader_t *reader, cairn_row_t *row,
                                          cairn_err_t *err)
{
    cairn_segment_t *segment;
    cairn_keytable_entry_t entry;
    if (reader->err != CAIRN_OK)
        return fail(reader, reader->err, err);
    while (!reader->is_paused && reader->entries_left != 0) {
        if (reader->heap_count == 0 || !begins_with(reader->heap[0]->key, reader->options->prefix))
            return CAIRN_LISTING_END;
        cairn_err_t result = CAIRN_OK;
        reader->err = take_first(reader, &segment, &entry);
        if (reader->err == CAIRN_OK)
            result = make_row(reader, segment, &entry, row);
        if (result == CAIRN_ERR_NOMEM)
            reader->err = result;
        /* the listing stays where it is, and the next step begins with this key again */
        if (reader->err != CAIRN_OK)
            return fail(reader, reader->err, err);
        stand_after(reader->listing, reader->key, reader->key_bytes);
        row->err = result;
        if (result != CAIRN_ERR_NOT_FOUND)
            return CAIRN_LISTING_ROW;
    }
    return CAIRN_LISTING_PAUSED;
}

void cairn_listing_end(cairn_listing_reader_t *reader)
{
    if (reader == NULL)
        return;
    for (size_t i = 0; i < reader->source_count; ++i) {
        cairn_keytable_cursor_dispose(&reader->sources[i].cursor);
        cairn_os->free(reader->sources[i].key_room);
    }
    for (size_t i = 0; i < reader->runs_count; ++i)
        cairn_runs_release(&reader->runs[i]);
    cairn_segments_unpin(&reader->pinned);
    cairn_room_dispose(&reader->value);
    cairn_room_dispose(&reader->meta);
    cairn_os->free(reader->heap);
    cairn_os->free(reader->sources);
    cairn_os->free(reader->runs);
    cairn_os->free(reader);
}
