/*
 * storage/salvage_collect.c - what can be proven of a damaged file beside the records that are
 * whole: keys whose value is damaged, and which versions are missing.
 *
 * A key table of the file, if there is a good one, knows what was in the gaps.
 */
#include <stdlib.h>
#include <string.h>

#include "storage/guard.h"
#include "storage/keytable.h"
#include "storage/os.h"
#include "storage/salvage_internal.h"

/* ---------------------------------------------------------------- things that grow */

/** room for so many bytes more at its end; NULL when there is no memory */
static void *grow(cairn_salvage_pile_t *pile, size_t bytes)
{
    if (bytes > pile->room - pile->used) {
        size_t room = 2 * pile->room + bytes + 1024;
        uint8_t *more = cairn_os->alloc(room);
        if (more == NULL)
            return NULL;
        if (pile->used != 0)
            memcpy(more, pile->bytes, pile->used);
        cairn_os->free(pile->bytes);
        pile->bytes = more;
        pile->room = room;
    }
    pile->used += bytes;
    return pile->bytes + pile->used - bytes;
}

/* ---------------------------------------------------------------- what is collected */

/** versions of which nothing is known */
typedef struct st_gap_t {
    uint64_t first, last;
    uint64_t records; /* that it had at most */
} gap_t;

static bool add_made(cairn_salvage_collected_t *c, const cairn_salvage_made_t *made,
                     const void *key)
{
    void *room = grow(&c->keys, made->key_bytes);
    if (room == NULL)
        return false;
    memcpy(room, key, made->key_bytes);
    cairn_salvage_made_t *added = grow(&c->made, sizeof(*added));
    if (added == NULL)
        return false;
    *added = *made;
    added->key_at = c->keys.used - made->key_bytes;
    return true;
}

size_t cairn_salvage_made_count(const cairn_salvage_collected_t *c)
{
    return c->made.used / sizeof(cairn_salvage_made_t);
}

cairn_salvage_made_t *cairn_salvage_made_at(const cairn_salvage_collected_t *c, size_t at)
{
    return (cairn_salvage_made_t *)c->made.bytes + at;
}

void cairn_salvage_collected_dispose(cairn_salvage_collected_t *c)
{
    cairn_os->free(c->made.bytes);
    cairn_os->free(c->keys.bytes);
    cairn_os->free(c->gaps.bytes);
}

/* ---------------------------------------------------------------- a piece of the file */

typedef struct st_sum_t {
    const cairn_record_t *record; /* head, key and meta */
    const uint8_t *value;
    uint64_t sum;
} sum_t;

static void sum_content(void *ctx)
{
    sum_t *s = ctx;
    const cairn_record_t *r = s->record;
    const cairn_bytes_t pieces[] = {{r + 1, (size_t)r->key_bytes + r->meta_bytes},
                                    {s->value, r->value_bytes}};
    s->sum = cairn_record_body_sum(pieces, 2);
}

const uint8_t *cairn_salvage_value(const cairn_salvage_walk_t *walk)
{
    const cairn_record_t *r = walk->piece.record;
    return walk->survey.map + walk->piece.offset + CAIRN_RECORD_HEAD_BYTES + r->key_bytes +
           r->meta_bytes;
}

/** whether the value in the map is what the proven head says: then only padding, or what has been
 * put right, was wrong */
static bool content_is_good(const cairn_salvage_walk_t *walk)
{
    sum_t s = {.record = walk->piece.record, .value = cairn_salvage_value(walk)};
    return cairn_guard_run(sum_content, &s) && s.sum == walk->piece.record->body_sum;
}

static cairn_salvage_fate_t judge(const cairn_salvage_walk_t *walk)
{
    const cairn_survey_piece_t *piece = &walk->piece;
    const cairn_record_t *r = piece->record;
    if (piece->kind == CAIRN_SURVEY_GAP)
        return CAIRN_SALVAGE_UNKNOWN;
    if (piece->key_only)
        return CAIRN_SALVAGE_GUESS;
    if (!cairn_record_is_data(r))
        return CAIRN_SALVAGE_PASS_OVER;
    /* of another time, or never acknowledged */
    if (r->version < walk->expected || r->version > walk->file->last)
        return CAIRN_SALVAGE_PASS_OVER;
    if (piece->kind == CAIRN_SURVEY_WHOLE)
        return CAIRN_SALVAGE_COPY;
    return content_is_good(walk) ? CAIRN_SALVAGE_RESTORE : CAIRN_SALVAGE_MAKE;
}

void cairn_salvage_walk_begin(cairn_salvage_walk_t *walk, const cairn_salvage_file_t *file)
{
    uint64_t end = file->is_sealed ? file->footer.end : file->bytes;
    *walk = (cairn_salvage_walk_t){.file = file, .expected = file->first};
    if (file->segment != NULL)
        cairn_survey_init(&walk->survey, file->segment->map, end, file->segment->salt);
}

bool cairn_salvage_walk_next(cairn_salvage_walk_t *walk)
{
    if (walk->file->segment == NULL || !cairn_survey_next(&walk->survey, &walk->piece))
        return false;
    walk->fate = judge(walk);
    return true;
}

void cairn_salvage_walk_step(cairn_salvage_walk_t *walk, uint64_t version)
{
    walk->expected = version + 1;
}

/* ---------------------------------------------------------------- collecting */

typedef struct st_collecting_t {
    cairn_salvage_collected_t *to;
    cairn_salvage_walk_t walk;
    uint64_t unknown_bytes; /* since the last record that is known */
    size_t guessed_from;    /* in `made`: of keys whose version is in the gap being looked at */
} collecting_t;

/** a damaged footer has no records */
static bool is_old_footer(const cairn_salvage_walk_t *walk)
{
    cairn_segment_footer_t footer;
    const cairn_survey_piece_t *piece = &walk->piece;
    return piece->end == walk->file->bytes &&
           piece->end - piece->offset == sizeof(cairn_segment_footer_t) &&
           cairn_guard_copy(&footer, walk->survey.map + piece->offset, sizeof(footer)) &&
           (cairn_segment_begins_footer((const uint8_t *)&footer) ||
            footer.salt == walk->file->segment->salt || footer.end == piece->offset);
}

/** gives those whose version is a guess the first ones of the gap, in their order */
static void settle_guesses(collecting_t *c, const gap_t *gap)
{
    size_t kept = c->guessed_from;
    for (size_t i = c->guessed_from; i < cairn_salvage_made_count(c->to); ++i) {
        uint64_t version = gap != NULL ? gap->first + (kept - c->guessed_from) : 0;
        if (gap == NULL || version > gap->last)
            break; /* it was no record of these versions */
        *cairn_salvage_made_at(c->to, kept) = *cairn_salvage_made_at(c->to, i);
        cairn_salvage_made_at(c->to, kept++)->version = version;
    }
    c->to->made.used = kept * sizeof(cairn_salvage_made_t);
    c->guessed_from = kept;
}

/** everything up to `version` is behind it; what has not been met is a gap. A log has all versions;
 * of a compacted segment most are gone, and only where bytes are damaged may one be missing */
static bool close_gap(collecting_t *c, uint64_t next)
{
    const cairn_salvage_file_t *file = c->walk.file;
    gap_t gap = {.first = c->walk.expected, .last = next - 1};
    gap.records = gap.last - gap.first + 1;
    if (file->generation != 0 && c->unknown_bytes / CAIRN_RECORD_BYTES_MIN < gap.records)
        gap.records = c->unknown_bytes / CAIRN_RECORD_BYTES_MIN;
    if (file->segment == NULL)
        gap.records = gap.last - gap.first + 1;
    bool is_gap = next > c->walk.expected && gap.records != 0;
    gap_t *added = is_gap ? grow(&c->to->gaps, sizeof(*added)) : NULL;
    if (is_gap && added == NULL)
        return false;
    if (is_gap)
        *added = gap;
    settle_guesses(c, is_gap ? &gap : NULL);
    c->guessed_from = cairn_salvage_made_count(c->to);
    c->unknown_bytes = 0;
    return true;
}

static cairn_salvage_made_t made_of(const cairn_record_t *r, bool is_guess)
{
    cairn_record_type_t type = !is_guess && cairn_record_type(r) == CAIRN_RECORD_DELETE
                                   ? CAIRN_RECORD_DELETE
                                   : CAIRN_RECORD_LOST;
    cairn_salvage_made_t made = {.version = r->version,
                                 .written = cairn_record_written_ms(r) | (uint64_t)type << 48,
                                 .expiry =
                                     type == CAIRN_RECORD_LOST ? cairn_record_expiry_ms(r) : 0,
                                 .key_bytes = r->key_bytes,
                                 .is_guess = is_guess};
    if (is_guess) { /* nothing but its key is proven */
        made.written = (uint64_t)CAIRN_RECORD_LOST << 48;
        made.expiry = 0;
    }
    return made;
}

static bool collect_piece(collecting_t *c)
{
    const cairn_survey_piece_t *piece = &c->walk.piece;
    const cairn_record_t *r = piece->record;
    cairn_salvage_made_t made;
    switch (c->walk.fate) {
    case CAIRN_SALVAGE_COPY:
    case CAIRN_SALVAGE_RESTORE:
    case CAIRN_SALVAGE_MAKE:
        if (!close_gap(c, r->version))
            return false;
        made = made_of(r, false);
        if (c->walk.fate == CAIRN_SALVAGE_MAKE && !add_made(c->to, &made, r + 1))
            return false;
        if (c->walk.fate != CAIRN_SALVAGE_MAKE)
            c->to->whole = cairn_salvage_fold(c->to->whole, r->version);
        c->guessed_from = cairn_salvage_made_count(c->to);
        cairn_salvage_walk_step(&c->walk, r->version);
        return true;
    case CAIRN_SALVAGE_GUESS:
        c->unknown_bytes += piece->end - piece->offset;
        made = made_of(r, true);
        return add_made(c->to, &made, r + 1);
    case CAIRN_SALVAGE_UNKNOWN:
        if (!is_old_footer(&c->walk))
            c->unknown_bytes += piece->end - piece->offset;
        return true;
    default:
        return true;
    }
}

static bool is_in_gap(const cairn_salvage_collected_t *c, uint64_t version)
{
    size_t low = 0, high = c->gaps.used / sizeof(gap_t);
    const gap_t *gaps = (const gap_t *)c->gaps.bytes;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (version > gaps[middle].last)
            low = middle + 1;
        else if (version < gaps[middle].first)
            high = middle;
        else
            return true;
    }
    return false;
}

static void forget_guesses(cairn_salvage_collected_t *c)
{
    size_t kept = 0;
    for (size_t i = 0; i < cairn_salvage_made_count(c); ++i)
        if (!cairn_salvage_made_at(c, i)->is_guess)
            *cairn_salvage_made_at(c, kept++) = *cairn_salvage_made_at(c, i);
    c->made.used = kept * sizeof(cairn_salvage_made_t);
}

/** the table has the last operation of each key: what it does not have was replaced by it */
static cairn_err_t take_table(cairn_salvage_collected_t *c, const cairn_keytable_t *table)
{
    cairn_keytable_cursor_t cursor = {.table = table};
    cairn_err_t err;
    while ((err = cairn_keytable_next(&cursor)) == CAIRN_OK) {
        const cairn_keytable_entry_t *entry = &cursor.entry;
        if (!is_in_gap(c, entry->version))
            continue;
        bool is_delete = cairn_keytable_type(entry) == CAIRN_RECORD_DELETE;
        cairn_salvage_made_t made = {
            .version = entry->version,
            .written = (uint64_t)(is_delete ? CAIRN_RECORD_DELETE : CAIRN_RECORD_LOST) << 48,
            .expiry = is_delete ? 0 : cairn_keytable_expiry_ms(entry),
            .key_bytes = entry->key_bytes};
        if (!add_made(c, &made, cursor.key.base)) {
            err = CAIRN_ERR_NOMEM;
            break;
        }
    }
    cairn_keytable_cursor_dispose(&cursor);
    return err == CAIRN_ERR_NOT_FOUND ? CAIRN_OK : err;
}

/** with the help of the key table of the file, if that is whole */
static cairn_err_t close_gaps(cairn_salvage_t *s, const cairn_salvage_file_t *file,
                              cairn_salvage_collected_t *c)
{
    char why[CAIRN_ERRMSG_BYTES];
    cairn_keytable_t *table;
    cairn_segment_t *segment = file->segment;
    if (c->gaps.used == 0 || !file->is_sealed)
        return CAIRN_OK;
    segment->first_version = file->footer.first_version;
    segment->counts = file->footer.counts;
    atomic_store_explicit(&segment->end, file->footer.end, memory_order_relaxed);
    cairn_err_t err = cairn_keytable_open(&table, segment, s->dir, why);
    if (err != CAIRN_OK)
        return err == CAIRN_ERR_NOMEM ? err : CAIRN_OK; /* there is none, or none that helps */
    err = cairn_keytable_verify(table);
    c->has_table = err == CAIRN_OK;
    if (c->has_table) {
        forget_guesses(c);
        err = take_table(c, table);
    }
    cairn_keytable_close(table);
    return err == CAIRN_ERR_NOMEM || c->has_table ? err : CAIRN_OK;
}

static int by_version(const void *a, const void *b)
{
    const cairn_salvage_made_t *x = a, *y = b;
    return x->version < y->version ? -1 : x->version > y->version;
}

static void sum_loss(cairn_salvage_collected_t *c)
{
    const gap_t *gaps = (const gap_t *)c->gaps.bytes;
    size_t count = c->gaps.used / sizeof(gap_t);
    uint64_t guesses = 0;
    if (c->has_table || count == 0)
        return;
    for (size_t i = 0; i < count; ++i)
        c->loss.versions += gaps[i].records;
    for (size_t i = 0; i < cairn_salvage_made_count(c); ++i)
        guesses += cairn_salvage_made_at(c, i)->is_guess;
    c->loss.versions -= guesses < c->loss.versions ? guesses : c->loss.versions;
    if (c->loss.versions == 0)
        return;
    c->loss.first = gaps[0].first;
    c->loss.last = gaps[count - 1].last;
}

/** bytes of records behind the last piece: zeroes where there had been some, or cut off */
static uint64_t bytes_missing(const cairn_salvage_walk_t *walk)
{
    const cairn_salvage_file_t *file = walk->file;
    const cairn_segment_t *segment = file->segment;
    if (segment == NULL)
        return 0;
    if (file->is_sealed)
        return walk->survey.bytes - walk->survey.at;
    return segment->bytes_made > segment->bytes ? segment->bytes_made - segment->bytes : 0;
}

cairn_err_t cairn_salvage_collect(cairn_salvage_t *s, const cairn_salvage_file_t *file,
                                  cairn_salvage_collected_t *to)
{
    collecting_t c = {.to = to};
    cairn_salvage_walk_begin(&c.walk, file);
    while (cairn_salvage_walk_next(&c.walk))
        if (!collect_piece(&c))
            return CAIRN_ERR_NOMEM;
    c.unknown_bytes += bytes_missing(&c.walk);
    if (!close_gap(&c, file->last + 1))
        return CAIRN_ERR_NOMEM;
    cairn_err_t err = close_gaps(s, file, to);
    if (to->made.used != 0)
        qsort(to->made.bytes, cairn_salvage_made_count(to), sizeof(cairn_salvage_made_t),
              by_version);
    sum_loss(to);
    return err;
}
