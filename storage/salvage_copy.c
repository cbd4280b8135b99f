/*
 * storage/salvage_copy.c - what can be proven of a damaged file, into one that takes its place.
 *
 * The file is walked twice: to collect what has to be said beside the records that are whole
 * (storage/salvage_collect.c), and to write all of it in order of version.
 */
#include <inttypes.h>
#include <string.h>

#include "storage/guard.h"
#include "storage/os.h"
#include "storage/salvage_internal.h"
#include "storage/segment_build.h"

/* ---------------------------------------------------------------- writing */

typedef struct st_writing_t {
    cairn_segment_build_t build;
    const cairn_salvage_collected_t *from;
    size_t next_made;
    uint64_t copied;
    uint64_t whole;   /* as in what was collected */
    bool has_changed; /* the disk reads another way than when it was collected */
} writing_t;

static cairn_err_t add(writing_t *w, const cairn_record_t *head, const void *rest)
{
    return cairn_segment_build_fits(&w->build, cairn_record_bytes(head))
               ? cairn_segment_build_add(&w->build, head, rest)
               : CAIRN_ERR_TOO_LARGE;
}

/** those made that come before a version */
static cairn_err_t add_made_before(writing_t *w, uint64_t version)
{
    uint8_t key[CAIRN_KEY_BYTES_MAX + CAIRN_RECORD_ALIGN];
    cairn_err_t err = CAIRN_OK;
    for (; err == CAIRN_OK && w->next_made < cairn_salvage_made_count(w->from); ++w->next_made) {
        const cairn_salvage_made_t *made = cairn_salvage_made_at(w->from, w->next_made);
        if (made->version >= version)
            break;
        cairn_record_t head = {.version = made->version,
                               .key_bytes = made->key_bytes,
                               .written = made->written,
                               .expiry = made->expiry};
        memset(key, 0, sizeof(key));
        memcpy(key, w->from->keys.bytes + made->key_at, made->key_bytes);
        head.body_sum = cairn_record_body_sum(&(cairn_bytes_t){key, made->key_bytes}, 1);
        err = add(w, &head, key);
    }
    return err;
}

static cairn_err_t copy(writing_t *w, const cairn_salvage_walk_t *walk)
{
    ++w->copied;
    return add(w, walk->piece.record,
               walk->survey.map + walk->piece.offset + sizeof(cairn_record_t));
}

/** head, key and meta as they were put right, the value from the map, and the padding made anew */
static cairn_err_t restore(writing_t *w, const cairn_salvage_walk_t *walk)
{
    const cairn_record_t *r = walk->piece.record;
    size_t bytes = cairn_record_bytes(r) - CAIRN_RECORD_HEAD_BYTES;
    size_t proven = (size_t)r->key_bytes + r->meta_bytes;
    uint8_t *rest = cairn_os->calloc(1, bytes);
    if (rest == NULL)
        return CAIRN_ERR_NOMEM;
    memcpy(rest, r + 1, proven);
    cairn_err_t err = cairn_guard_copy(rest + proven, cairn_salvage_value(walk), r->value_bytes)
                          ? add(w, r, rest)
                          : CAIRN_ERR_IO;
    cairn_os->free(rest);
    ++w->copied;
    return err;
}

/** whether one is made of this version, which was not whole when that was decided */
static bool is_made(const writing_t *w, uint64_t version)
{
    return w->next_made < cairn_salvage_made_count(w->from) &&
           cairn_salvage_made_at(w->from, w->next_made)->version == version;
}

static cairn_err_t write_whole(writing_t *w, const cairn_salvage_walk_t *walk)
{
    uint64_t version = walk->piece.record->version;
    if (is_made(w, version)) {
        w->has_changed = true;
        return CAIRN_ERR_IO;
    }
    w->whole = cairn_salvage_fold(w->whole, version);
    return walk->fate == CAIRN_SALVAGE_COPY ? copy(w, walk) : restore(w, walk);
}

/** A disk that is failing may read a page now that it could not read before, or the other way
 * round: then nothing is written rather than something left out. */
static cairn_err_t write_all(writing_t *w, const cairn_salvage_file_t *file)
{
    cairn_salvage_walk_t walk;
    cairn_err_t err = CAIRN_OK;
    cairn_salvage_walk_begin(&walk, file);
    while (err == CAIRN_OK && cairn_salvage_walk_next(&walk)) {
        if (walk.fate != CAIRN_SALVAGE_COPY && walk.fate != CAIRN_SALVAGE_RESTORE &&
            walk.fate != CAIRN_SALVAGE_MAKE)
            continue;
        uint64_t version = walk.piece.record->version;
        err = add_made_before(w, version);
        if (err == CAIRN_OK && walk.fate != CAIRN_SALVAGE_MAKE)
            err = write_whole(w, &walk);
        cairn_salvage_walk_step(&walk, version);
    }
    if (err == CAIRN_OK)
        err = add_made_before(w, UINT64_MAX);
    w->has_changed |= err == CAIRN_OK && w->whole != w->from->whole;
    return w->has_changed ? CAIRN_ERR_IO : err;
}

/** durably, in the place of what it was made from */
static cairn_err_t end(cairn_salvage_t *s, writing_t *w, const cairn_segment_range_t *range)
{
    cairn_segment_t *output;
    cairn_err_t err = cairn_segment_build_end(&w->build, s->space, range, &output);
    if (err == CAIRN_OK)
        cairn_segment_close(output);
    return err == CAIRN_ERR_FAILED ? CAIRN_ERR_IO : err;
}

static uint64_t max(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

static cairn_segment_range_t range_of(const cairn_salvage_file_t *file,
                                      const cairn_salvage_collected_t *c)
{
    bool is_copy = file->generation != 0 && file->is_sealed;
    cairn_segment_range_t range = {
        .last = file->last, .chain = file->chain, .loss = c->loss, .reason = CAIRN_SEAL_SALVAGE};
    if (is_copy) {
        range.live_horizon = file->footer.live_horizon;
        range.dropped_version = file->footer.dropped_version;
        if (file->footer.loss.versions != 0) { /* of an earlier salvage */
            range.loss.versions += file->footer.loss.versions;
            range.loss.first = c->loss.versions != 0 && c->loss.first < file->footer.loss.first
                                   ? c->loss.first
                                   : file->footer.loss.first;
            range.loss.last = max(c->loss.last, file->footer.loss.last);
        }
    } else if (file->generation != 0) {
        range.dropped_version = file->last; /* its footer would have said */
    }
    /* who has read less would never learn of what was there */
    range.dropped_version = max(range.dropped_version, range.loss.last);
    return range;
}

static void tell(cairn_salvage_t *s, const char *name, uint64_t copied, uint64_t keys,
                 const cairn_loss_t *loss)
{
    if (loss->versions != 0)
        cairn_health_log(s->health, CAIRN_LOG_ERROR,
                         "salvage: %s: %" PRIu64 " records are whole, %" PRIu64
                         " keys have lost their value, and up to %" PRIu64 " of versions %" PRIu64
                         " to %" PRIu64 " are lost with their keys",
                         name, copied, keys, loss->versions, loss->first, loss->last);
    else
        cairn_health_log(s->health, CAIRN_LOG_ERROR,
                         "salvage: %s: %" PRIu64 " records are whole, %" PRIu64
                         " keys have lost their value",
                         name, copied, keys);
}

static cairn_err_t fail(cairn_salvage_t *s, const cairn_salvage_file_t *file, cairn_err_t err)
{
    return cairn_salvage_fail(s, err, "%s: what can be proven of it cannot be written: %s",
                              file->name, cairn_strerror(err));
}

static cairn_err_t write_file(cairn_salvage_t *s, const cairn_salvage_file_t *file,
                              const cairn_salvage_collected_t *c)
{
    writing_t w = {.from = c};
    cairn_segment_range_t range = range_of(file, c);
    /* what is made is never longer than what it stands for */
    uint64_t bytes = file->bytes + CAIRN_SEGMENT_HEADER_BYTES + CAIRN_SEGMENT_FOOTER_BYTES;
    cairn_err_t err =
        cairn_segment_build_begin(&w.build, s->dir, file->first, file->generation + 1, bytes);
    if (err != CAIRN_OK)
        return fail(s, file, err);
    err = write_all(&w, file);
    uint64_t keys = w.build.lost_keys;
    if (err == CAIRN_OK)
        err = end(s, &w, &range);
    if (err != CAIRN_OK)
        cairn_segment_build_abandon(&w.build);
    if (w.has_changed)
        return cairn_salvage_fail(s, err, "%s: the disk has not read the same twice: try again",
                                  file->name);
    if (err != CAIRN_OK)
        return fail(s, file, err);
    tell(s, file->name, w.copied, keys, &range.loss);
    return CAIRN_OK;
}

cairn_err_t cairn_salvage_rewrite(cairn_salvage_t *s, const cairn_salvage_file_t *file)
{
    cairn_salvage_collected_t c = {.has_table = false};
    cairn_err_t err = cairn_salvage_collect(s, file, &c);
    err = err == CAIRN_OK ? write_file(s, file, &c) : fail(s, file, err);
    cairn_salvage_collected_dispose(&c);
    return err;
}

cairn_err_t cairn_salvage_fill(cairn_salvage_t *s, uint64_t first, uint64_t last,
                               const cairn_chain_t *chain)
{
    cairn_salvage_collected_t nothing = {.has_table = false};
    writing_t w = {.from = &nothing};
    cairn_segment_range_t range = {
        .last = last,
        .dropped_version = last,
        .chain = *chain,
        .loss = {.versions = last - first + 1, .first = first, .last = last},
        .reason = CAIRN_SEAL_SALVAGE};
    char name[CAIRN_SEGMENT_NAME_BYTES];
    cairn_segment_name(name, first, 1);
    cairn_err_t err =
        cairn_segment_build_begin(&w.build, s->dir, first, 1, 2 * CAIRN_SEGMENT_HEADER_BYTES);
    if (err == CAIRN_OK) {
        err = end(s, &w, &range);
        if (err != CAIRN_OK)
            cairn_segment_build_abandon(&w.build);
    }
    if (err != CAIRN_OK)
        return cairn_salvage_fail(s, err, "%s: cannot be written: %s", name, cairn_strerror(err));
    tell(s, name, 0, 0, &range.loss);
    return CAIRN_OK;
}
