/*
 * storage/search.c - the live values that contain some bytes, found by reading all of them.
 */
#include "storage/search.h"

#include <string.h>

#include "storage/keytable.h"
#include "storage/os.h"
#include "storage/store_internal.h"
#include "storage/walk.h"

struct st_cairn_search_t {
    cairn_store_t *store;
    cairn_search_place_t *place;
    const cairn_search_options_t *options;
    uint64_t bytes_left;
    uint64_t now_ms;          /* what has expired by then has expired */
    cairn_segment_t *segment; /* pinned; NULL between two */
    uint64_t last;            /* version it covers; UINT64_MAX: it is the newest */
    uint64_t passed; /* version that the walk has come to; CAIRN_WALK_NO_VERSION: not known */
    cairn_walk_t walk;
    bool is_damaged;   /* what the walk stands at is a damaged record with a proven key */
    cairn_err_t fault; /* of what is wanted there, instead of its value */
    cairn_room_t value;
};

/* ---------------------------------------------------------------- segments */

static void leave(cairn_search_t *s)
{
    if (s->segment != NULL)
        cairn_segment_unpin(s->segment);
    s->segment = NULL;
}

static void begin_walk(cairn_search_t *s, uint64_t at)
{
    /* acquire: pairs with the writer's release */
    cairn_walk_begin(&s->walk, s->segment, at,
                     atomic_load_explicit(&s->segment->written, memory_order_acquire));
}

/** enters the segment of the next version; NOT_FOUND if there is none yet */
static cairn_err_t enter(cairn_search_t *s)
{
    uint64_t wanted = s->place->version + 1, dropped_version;
    s->segment = cairn_segments_pin_at(&s->store->segments, wanted, &s->last, &dropped_version);
    if (s->segment == NULL)
        return CAIRN_ERR_NOT_FOUND;
    const cairn_keytable_t *table = cairn_keytable_of(s->segment);
    uint64_t at = CAIRN_SEGMENT_HEADER_BYTES;
    s->passed = CAIRN_WALK_NO_VERSION;
    if (s->place->_salt == s->segment->salt) {
        at = s->place->_offset;
        s->passed = s->place->version;
    } else if (table != NULL) {
        at = cairn_keytable_offset_of(table, wanted);
    }
    if (at == CAIRN_SEGMENT_HEADER_BYTES)
        s->passed = s->segment->first_version - 1;
    begin_walk(s, at);
    return CAIRN_OK;
}

/** at the end of a segment: on to the next one. NOT_FOUND at the end of the newest */
static cairn_err_t go_on(cairn_search_t *s)
{
    bool was_newest = s->last == UINT64_MAX;
    if (was_newest)
        return CAIRN_ERR_NOT_FOUND;
    if (s->place->version < s->last)
        s->place->version = s->last;
    leave(s);
    return enter(s);
}

/* ---------------------------------------------------------------- what is damaged */

/**
 * The version of what a survey has found: of a key alone it is not proven, but the next record has
 * a higher one. 0 if it lies before the place, and has been met.
 */
static uint64_t version_of(const cairn_search_t *s, cairn_walk_find_t found)
{
    if (found == CAIRN_WALK_RECORD)
        return s->walk.record.version;
    return s->passed >= s->place->version ? s->passed + 1 : 0;
}

/**
 * The walk has come to what cannot be read, `err`. OK if there is a key to be told of, CANCELLED if
 * there is nothing; else `err`: nobody can say what was there, and it must not be left out.
 */
static cairn_err_t look_at_damage(cairn_search_t *s, cairn_err_t err)
{
    uint64_t behind;
    if (s->passed == CAIRN_WALK_NO_VERSION) { /* from where that is known */
        s->passed = s->segment->first_version - 1;
        begin_walk(s, CAIRN_SEGMENT_HEADER_BYTES);
        return CAIRN_ERR_CANCELLED;
    }
    cairn_walk_find_t found = cairn_walk_survey(&s->walk, &behind);
    if (found == CAIRN_WALK_RECORD || found == CAIRN_WALK_KEY) {
        s->walk.record.version = version_of(s, found);
        s->is_damaged = true;
        s->fault = err;
        return CAIRN_OK;
    }
    bool has_been_met = behind != CAIRN_WALK_NO_VERSION && s->place->version + 1 >= behind;
    cairn_walk_step_over(&s->walk);
    if (found == CAIRN_WALK_NO_WRITE || has_been_met)
        return CAIRN_ERR_CANCELLED;
    s->place->left_out = err;
    return s->options->is_partial ? CAIRN_ERR_CANCELLED : err;
}

/** the record that comes next */
static cairn_err_t look(cairn_search_t *s)
{
    cairn_err_t err = s->segment == NULL ? enter(s) : CAIRN_OK;
    s->is_damaged = false;
    while (err == CAIRN_OK) {
        err = cairn_walk_look(&s->walk);
        if (err == CAIRN_OK)
            return err;
        if (err == CAIRN_ERR_NOT_FOUND)
            err = go_on(s);
        else if ((err = look_at_damage(s, err)) == CAIRN_OK)
            return err;
        else if (err == CAIRN_ERR_CANCELLED)
            err = CAIRN_OK;
    }
    return err;
}

/* ---------------------------------------------------------------- records */

static bool has_expired(cairn_search_t *s, uint64_t expiry_ms)
{
    if (expiry_ms == 0 || expiry_ms > s->now_ms)
        return false;
    /* what has once been said to be gone stays gone, though the clock be set back */
    cairn_clock_raise(&s->store->clock, s->now_ms);
    return true;
}

/** of a damaged record, whether it is what its key has */
static bool is_wanted_damaged(cairn_search_t *s)
{
    const cairn_record_t *r = &s->walk.record;
    cairn_bytes_t prefix = s->options->prefix;
    if (r->version <= s->place->version || r->key_bytes < prefix.count ||
        (prefix.count != 0 && memcmp(cairn_record_key(r), prefix.base, prefix.count) != 0))
        return false;
    cairn_key_t key = cairn_store_key(s->store, cairn_record_key(r), r->key_bytes);
    cairn_loc_t here = cairn_segment_loc(s->segment, s->walk.at), found;
    return cairn_index_find(s->store->index, key.hash, cairn_probe_is_at, &here, &found);
}

static bool is_wanted(cairn_search_t *s)
{
    const cairn_record_t *r = &s->walk.record;
    cairn_bytes_t prefix = s->options->prefix;
    bool is_lost = cairn_record_type(r) == CAIRN_RECORD_LOST; /* it might have been wanted */
    if (!cairn_record_type_gives(cairn_record_type(r)) || r->version <= s->place->version ||
        r->key_bytes < prefix.count ||
        (prefix.count != 0 && memcmp(cairn_record_key(r), prefix.base, prefix.count) != 0) ||
        (!is_lost && r->value_bytes < s->options->contains.count) ||
        has_expired(s, cairn_record_expiry_ms(r)))
        return false;
    cairn_key_t key = cairn_store_key(s->store, cairn_record_key(r), r->key_bytes);
    bool is_doubtful;
    bool is_live =
        cairn_store_is_live(s->store, s->segment, s->walk.at, &key, r->version, &is_doubtful);
    s->fault = is_doubtful ? CAIRN_ERR_DAMAGED : CAIRN_OK;
    return is_live;
}

/** whether the record is one to be given, with its value or with the reason why there is none */
static bool take(cairn_search_t *s, cairn_row_t *row)
{
    const cairn_record_t *r = &s->walk.record;
    cairn_bytes_t contains = s->options->contains;
    if (s->fault != CAIRN_OK) {
        *row = (cairn_row_t){.key = {cairn_record_key(r), r->key_bytes}, .err = s->fault};
        return true;
    }
    *row = (cairn_row_t){.key = {cairn_record_key(r), r->key_bytes},
                         .version = r->version,
                         .value_bytes = r->value_bytes,
                         .expiry_ms = cairn_record_expiry_ms(r),
                         .meta = {cairn_record_meta(r), r->meta_bytes},
                         .err = cairn_record_type(r) == CAIRN_RECORD_LOST
                                    ? CAIRN_ERR_DAMAGED
                                    : cairn_walk_value(&s->walk, &s->value)};
    if (row->err != CAIRN_OK)
        return true;
    row->value = (cairn_bytes_t){s->value.bytes, r->value_bytes};
    return contains.count == 0 ||
           memmem(row->value.base, row->value.count, contains.base, contains.count) != NULL;
}

static void step_over(cairn_search_t *s)
{
    const cairn_record_t *r = &s->walk.record;
    cairn_search_place_t *place = s->place;
    uint64_t bytes = s->is_damaged ? CAIRN_RECORD_HEAD_BYTES : cairn_record_bytes(r);
    if (s->is_damaged)
        cairn_walk_step_over(&s->walk);
    else
        cairn_walk_step(&s->walk);
    if (r->version > s->passed || s->passed == CAIRN_WALK_NO_VERSION)
        s->passed = r->version;
    /* on the way to the place itself nothing is counted, or a step might end before it */
    if (r->version < place->version)
        return;
    s->bytes_left -= bytes < s->bytes_left ? bytes : s->bytes_left;
    place->version = r->version;
    place->_salt = s->segment->salt;
    place->_offset = s->walk.at;
}

/* ---------------------------------------------------------------- the steps */

cairn_search_t *cairn_search_begin(cairn_store_t *store, cairn_search_place_t *place,
                                   const cairn_search_options_t *options)
{
    cairn_search_t *s = cairn_os->calloc(1, sizeof(*s));
    if (s == NULL)
        return NULL;
    s->store = store;
    s->place = place;
    s->options = options;
    s->bytes_left = options->bytes_max;
    s->now_ms = cairn_store_now_ms(store);
    return s;
}

cairn_listing_result_t cairn_search_next(cairn_search_t *s, cairn_row_t *row, cairn_err_t *err)
{
    while (s->bytes_left != 0) {
        *err = look(s);
        if (*err == CAIRN_ERR_NOT_FOUND)
            return CAIRN_LISTING_END;
        if (*err != CAIRN_OK)
            return CAIRN_LISTING_FAILED;
        bool is_row = (s->is_damaged ? is_wanted_damaged(s) : is_wanted(s)) && take(s, row);
        if (is_row && row->err == CAIRN_ERR_NOMEM) {
            *err = row->err;
            return CAIRN_LISTING_FAILED;
        }
        step_over(s);
        if (is_row)
            return CAIRN_LISTING_ROW;
    }
    return CAIRN_LISTING_PAUSED;
}

void cairn_search_end(cairn_search_t *s)
{
    if (s == NULL)
        return;
    leave(s);
    cairn_room_dispose(&s->value);
    cairn_os->free(s);
}
