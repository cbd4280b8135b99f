/*
 * storage/recovery.c - from the files of a store to its index, or a refusal that says why.
 *
 * The normal path: list the segments, open each in order of version, walk its records, apply them,
 * see that the next one links to where this one ends. The last one may end in two ways that are no
 * damage: clean, and the log goes on in it; torn in the middle of a commit that nobody was told of,
 * and it is sealed there. Everything else is refused.
 */
#include "storage/recovery.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <urcu-qsbr.h>

#include "storage/apply.h"
#include "storage/os.h"
#include "storage/scan.h"

/** pages are brought in ahead of the walk in pieces of this size */
#define READ_AHEAD_BYTES ((uint64_t)4 << 20)
#define WHAT_TO_DO "; nothing was changed. Restore the store from a backup or snapshot"

typedef struct st_file_t {
    char name[CAIRN_SEGMENT_NAME_BYTES];
    uint64_t first_version; /* as the name says */
    bool is_spare;
    cairn_segment_t *segment;
    cairn_scan_t scan;
    bool is_sealed; /* a footer says so */
    cairn_scan_end_t end;
} file_t;

typedef struct st_recovery_t {
    cairn_dir_t *dir;
    cairn_index_t *index;
    cairn_segments_t *segments;
    cairn_health_t *health;
    cairn_clock_t *clock;
    const cairn_store_options_t *options;
    cairn_recovered_t *out;
    char *errmsg;
    file_t *files;
    size_t count, room;
    bool failed_to_list;
    uint64_t bytes_total, bytes_done;
} recovery_t;

static cairn_err_t fail(recovery_t *r, cairn_err_t err, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static cairn_err_t fail(recovery_t *r, cairn_err_t err, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(r->errmsg, CAIRN_ERRMSG_BYTES, format, args);
    va_end(args);
    return err;
}

/* ---------------------------------------------------------------- which files there are */

static bool add_file(recovery_t *r, const file_t *file)
{
    if (r->count == r->room) {
        size_t room = r->room != 0 ? 2 * r->room : 64;
        file_t *files = cairn_os->alloc(room * sizeof(*files));
        if (files == NULL)
            return false;
        if (r->count != 0)
            memcpy(files, r->files, r->count * sizeof(*files));
        cairn_os->free(r->files);
        r->files = files;
        r->room = room;
    }
    r->files[r->count++] = *file;
    return true;
}

static bool on_entry(void *ctx, const char *name)
{
    recovery_t *r = ctx;
    file_t file = {.is_spare = strcmp(name, CAIRN_SPARE_NAME) == 0};
    uint32_t generation = 0;
    if (!file.is_spare && !cairn_segment_name_parse(name, &file.first_version, &generation))
        return true;
    if (file.is_spare)
        file.first_version = UINT64_MAX; /* it is the last one, if it is anything */
    snprintf(file.name, sizeof(file.name), "%s", name);
    r->failed_to_list = !add_file(r, &file);
    return !r->failed_to_list;
}

static int by_first_version(const void *a, const void *b)
{
    uint64_t x = ((const file_t *)a)->first_version, y = ((const file_t *)b)->first_version;
    return x < y ? -1 : x > y;
}

static cairn_err_t list_files(recovery_t *r)
{
    if (cairn_dir_is_memory(r->dir))
        return CAIRN_OK;
    int err = cairn_os->list(r->dir->fd, on_entry, r);
    if (r->failed_to_list)
        return fail(r, CAIRN_ERR_NOMEM, "no memory for the list of segments");
    if (err < 0)
        return fail(r, CAIRN_ERR_IO, "the directory cannot be listed: %s", strerror(-err));
    if (r->count != 0)
        qsort(r->files, r->count, sizeof(*r->files), by_first_version);
    return CAIRN_OK;
}

static cairn_err_t make_space(recovery_t *r)
{
    uint64_t slot_bytes = r->options->segment_bytes;
    for (size_t i = 0; i < r->count; ++i) {
        uint64_t bytes = cairn_segment_file_bytes(r->dir, r->files[i].name);
        r->bytes_total += bytes;
        if (bytes > slot_bytes)
            slot_bytes = bytes;
    }
    r->out->space = cairn_space_create(slot_bytes);
    if (r->out->space == NULL)
        return fail(r, CAIRN_ERR_NOMEM, "no address space for segments of %" PRIu64 " bytes",
                    slot_bytes);
    return CAIRN_OK;
}

/* ---------------------------------------------------------------- reading one file */

/** the pages up to READ_AHEAD_BYTES behind `at`; an unreadable one is found here, not by a signal
 */
static cairn_err_t bring_in(recovery_t *r, const file_t *file, uint64_t at)
{
    const cairn_segment_t *s = file->segment;
    uint64_t bytes = s->bytes - at < READ_AHEAD_BYTES ? s->bytes - at : READ_AHEAD_BYTES;
    cairn_os->will_need(s->map + at, bytes);
    if (cairn_os->populate(s->map + at, bytes) < 0)
        return fail(r, CAIRN_ERR_IO, "%s: the disk cannot read bytes %" PRIu64 " to %" PRIu64,
                    file->name, at, at + bytes - 1);
    r->bytes_done += bytes;
    if (r->options->on_progress != NULL &&
        !r->options->on_progress(r->options->ctx, r->bytes_done, r->bytes_total))
        return fail(r, CAIRN_ERR_CANCELLED, "stopped while it was loading");
    return CAIRN_OK;
}

static cairn_err_t apply_unit(recovery_t *r, const file_t *file, const cairn_scan_unit_t *unit)
{
    cairn_segment_t *segment = file->segment;
    for (uint64_t at = unit->offset; at < unit->end;) {
        const cairn_record_t *record = (const cairn_record_t *)(segment->map + at);
        cairn_record_type_t type = cairn_record_type(record);
        if (type == CAIRN_RECORD_LINK)
            segment->first_version = record->version + 1;
        cairn_segment_count(segment, record);
        cairn_clock_raise(r->clock, cairn_record_written_ms(record));
        if (type == CAIRN_RECORD_PUT || type == CAIRN_RECORD_DELETE) {
            cairn_key_t key =
                cairn_key(r->dir->hash_seed, cairn_record_key(record), record->key_bytes);
            if (cairn_apply(r->index, r->out->space, &key, type, cairn_segment_loc(segment, at)) !=
                CAIRN_OK)
                return fail(r, CAIRN_ERR_NOMEM, "no memory for the index");
        }
        at += cairn_record_bytes(record);
    }
    return CAIRN_OK;
}

static cairn_err_t replay(recovery_t *r, file_t *file)
{
    cairn_segment_t *segment = file->segment;
    cairn_scan_unit_t unit;
    cairn_scan_init(&file->scan, segment->map, segment->bytes, segment->salt, r->out->last_version);
    while (cairn_scan_next(&file->scan, &unit)) {
        /* what the index is asked about lies below this */
        atomic_store_explicit(&segment->written, unit.end, memory_order_relaxed);
        cairn_err_t err = apply_unit(r, file, &unit);
        if (err != CAIRN_OK)
            return err;
        rcu_quiescent_state(); /* lets go of what the index outgrows */
    }
    atomic_store_explicit(&segment->written, file->scan.at, memory_order_relaxed);
    atomic_store_explicit(&segment->end, file->scan.at, memory_order_release);
    segment->counts.chain = file->scan.chain;
    return CAIRN_OK;
}

static cairn_err_t damaged(recovery_t *r, const file_t *file, uint64_t last_expected)
{
    uint64_t last = file->scan.last_version;
    if (last_expected > last)
        return fail(r, CAIRN_ERR_CORRUPT,
                    "%s: damaged at byte %" PRIu64 ": versions %" PRIu64 " to %" PRIu64
                    " were acknowledged and cannot be read" WHAT_TO_DO,
                    file->name, file->scan.at, last + 1, last_expected);
    return fail(r, CAIRN_ERR_CORRUPT,
                "%s: damaged at byte %" PRIu64 ", after version %" PRIu64 WHAT_TO_DO, file->name,
                file->scan.at, last);
}

/** what the end of the records says about the file by itself */
static cairn_err_t judge(recovery_t *r, file_t *file)
{
    cairn_segment_t *segment = file->segment;
    cairn_segment_footer_t footer;
    if (cairn_segment_footer_at(segment, file->scan.at, &footer)) {
        bool agrees = memcmp(&footer.counts, &segment->counts, sizeof(footer.counts)) == 0 &&
                      footer.first_version == segment->first_version;
        if (!agrees)
            return damaged(r, file, footer.counts.last_version);
        file->is_sealed = segment->bytes == footer.end + CAIRN_SEGMENT_FOOTER_BYTES;
        atomic_store_explicit(&segment->sealed, file->is_sealed, memory_order_release);
        file->end = CAIRN_SCAN_CLEAN;
        return CAIRN_OK;
    }
    if (cairn_segment_footer_at(segment, segment->bytes - CAIRN_SEGMENT_FOOTER_BYTES, &footer))
        return damaged(r, file, footer.counts.last_version);
    /* only sealing makes a file shorter, and it leaves a footer at the end */
    if (segment->bytes < segment->bytes_made)
        return fail(r, CAIRN_ERR_CORRUPT,
                    "%s: it has %" PRIu64 " bytes, was made with %" PRIu64
                    " and has no valid footer: "
                    "what followed version %" PRIu64 " is lost or damaged" WHAT_TO_DO,
                    file->name, segment->bytes, segment->bytes_made, file->scan.last_version);
    uint64_t proven;
    file->end = cairn_scan_end(&file->scan, &proven);
    return file->end == CAIRN_SCAN_CORRUPT ? damaged(r, file, proven) : CAIRN_OK;
}

static cairn_err_t read_file(recovery_t *r, file_t *file)
{
    cairn_err_t err = cairn_segments_reserve(r->segments);
    if (err != CAIRN_OK)
        return fail(r, err, "no memory for the list of segments");
    err = cairn_segment_open(&file->segment, r->out->space, r->dir, file->name, r->errmsg);
    if (err != CAIRN_OK)
        return err;
    cairn_segments_add(r->segments, file->segment);
    uint64_t bytes = file->segment->bytes;
    for (uint64_t at = 0; at < bytes && err == CAIRN_OK; at += READ_AHEAD_BYTES)
        err = bring_in(r, file, at);
    if (err == CAIRN_OK)
        err = replay(r, file);
    return err == CAIRN_OK ? judge(r, file) : err;
}

/* ---------------------------------------------------------------- the spare */

/** `*blank`: whether all of a file behind its header is zero; a negative errno where it cannot be
 * read */
static int look_if_blank(const recovery_t *r, const char *name, bool *blank)
{
    uint64_t words[1024];
    int fd = cairn_os->open(r->dir->fd, name, O_RDONLY);
    if (fd < 0)
        return fd;
    int64_t n = 1;
    *blank = true;
    for (uint64_t at = CAIRN_SEGMENT_HEADER_BYTES; *blank && n > 0; at += (uint64_t)n) {
        memset(words, 0, sizeof(words));
        n = cairn_os->pread(fd, words, sizeof(words), at);
        for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); ++i)
            *blank &= words[i] == 0;
    }
    cairn_os->close(fd);
    return n < 0 ? (int)n : 0;
}

/**
 * Leaves the spare in the list only if the log has gone on in it. A blank one is made anew, header
 * and all: it may have been cut short while it was being made.
 */
static cairn_err_t consider_spare(recovery_t *r)
{
    file_t *last = r->count != 0 ? &r->files[r->count - 1] : NULL;
    if (last == NULL || !last->is_spare)
        return CAIRN_OK;
    bool blank;
    int err = look_if_blank(r, last->name, &blank);
    if (err < 0)
        return fail(r, CAIRN_ERR_IO, "%s: cannot be read: %s", last->name, strerror(-err));
    if (blank) {
        cairn_os->unlink(r->dir->fd, last->name);
        --r->count;
    }
    return CAIRN_OK;
}

/* ---------------------------------------------------------------- how the files fit together */

static cairn_err_t check_link(recovery_t *r, const file_t *file, const file_t *previous)
{
    const cairn_link_t *link = &file->scan.link;
    uint64_t first = file->segment->first_version;
    if (!file->is_spare && first != file->first_version)
        return fail(r, CAIRN_ERR_CORRUPT,
                    "%s: its records begin at version %" PRIx64 " (hex), its name says otherwise: "
                    "give it its name back",
                    file->name, first);
    uint64_t before = previous != NULL ? previous->scan.last_version : 0;
    if (before + 1 < first)
        return fail(r, CAIRN_ERR_CORRUPT,
                    "%s: begins at version %" PRIu64
                    ", but what there is before it ends at %" PRIu64
                    ": a segment is missing, or the end of one is lost" WHAT_TO_DO,
                    file->name, first, before);
    bool fits = previous == NULL
                    ? link->previous_first == 0
                    : link->previous_salt == previous->segment->salt &&
                          link->previous_end == previous->scan.at &&
                          memcmp(&link->chain, &previous->scan.chain, sizeof(link->chain)) == 0;
    if (before + 1 != first || !fits)
        return fail(r, CAIRN_ERR_CORRUPT,
                    "%s: it does not continue the segment before it: files of different stores or "
                    "times are mixed" WHAT_TO_DO,
                    file->name);
    return CAIRN_OK;
}

/**
 * The newest file, and no record in it: the log was cut short at its birth. The log does not go on
 * in it even where it could: what is too large for it would roll to another file of the same name.
 */
static bool is_unused(const recovery_t *r, const file_t *file)
{
    bool is_last = file == &r->files[r->count - 1];
    bool is_empty =
        !file->scan.has_link || file->scan.last_version + 1 == file->segment->first_version;
    return is_last && is_empty && !file->is_sealed;
}

static cairn_err_t read_all(recovery_t *r)
{
    const file_t *previous = NULL;
    for (size_t i = 0; i < r->count; ++i) {
        file_t *file = &r->files[i];
        cairn_err_t err = read_file(r, file);
        if (err == CAIRN_OK && file->scan.has_link)
            err = check_link(r, file, previous);
        if (err == CAIRN_OK && !is_unused(r, file)) {
            if (!file->scan.has_link)
                err = damaged(r, file, 0);
            r->out->last_version = file->scan.last_version;
            r->out->chain = file->scan.chain;
            previous = file;
        }
        if (err != CAIRN_OK)
            return err;
    }
    return CAIRN_OK;
}

/** first version of the newest file there is, whether there are records in it or not */
static uint64_t newest_first(const recovery_t *r)
{
    uint64_t newest = 0;
    for (size_t i = 0; i < r->count; ++i) {
        const file_t *file = &r->files[i];
        uint64_t first = !file->is_spare       ? file->first_version
                         : file->scan.has_link ? file->segment->first_version
                                               : 0;
        if (first > newest)
            newest = first;
    }
    return newest;
}

static cairn_err_t check_against_store(recovery_t *r)
{
    const cairn_dir_t *dir = r->dir;
    if (dir->newest_first > newest_first(r))
        return fail(r, CAIRN_ERR_CORRUPT,
                    "the log ends at version %" PRIu64 ", but it went on in %016" PRIx64
                    "-0000.seg (STORE says so), which is lost" WHAT_TO_DO,
                    r->out->last_version, dir->newest_first);
    if (dir->durable_version <= r->out->last_version)
        return CAIRN_OK;
    return fail(r, CAIRN_ERR_CORRUPT,
                "the log ends at version %" PRIu64 ", but %" PRIu64 " was on disk (STORE says so): "
                "the newest segment, %016" PRIx64
                "-0000.seg or a later one, is lost or cut" WHAT_TO_DO,
                r->out->last_version, dir->durable_version, dir->newest_first);
}

/* ---------------------------------------------------------------- setting things right */

/**
 * Removes it for good before the log goes on without it: found again, after the log has gone on, it
 * would not fit any more and the store would not open.
 */
static cairn_err_t drop_file(recovery_t *r, file_t *file)
{
    /* it is the last one opened, so the last one in the list */
    assert(r->segments->count != 0 && r->segments->list[r->segments->count - 1] == file->segment);
    --r->segments->count;
    cairn_segment_close(file->segment);
    file->segment = NULL;
    int removed = cairn_os->unlink(r->dir->fd, file->name);
    if (removed < 0)
        return fail(r, CAIRN_ERR_IO, "%s: cannot be removed: %s", file->name, strerror(-removed));
    if (cairn_dir_sync(r->dir) != CAIRN_OK)
        return fail(r, CAIRN_ERR_IO, "%s: its removal cannot be synced", file->name);
    return CAIRN_OK;
}

static cairn_err_t set_right(recovery_t *r, file_t *file, bool is_last)
{
    if (file->is_spare && cairn_segment_rename_spare(file->segment, r->dir) != CAIRN_OK)
        return fail(r, CAIRN_ERR_IO, "%s: cannot be renamed", file->name);
    if (file->is_sealed)
        return CAIRN_OK;
    cairn_segment_footer_t footer;
    bool was_sealing = cairn_segment_footer_at(file->segment, file->scan.at, &footer);
    if (is_last && file->end == CAIRN_SCAN_CLEAN && !was_sealing) {
        r->out->active = file->segment;
        return CAIRN_OK;
    }
    /* on any other it was the footer that was cut short */
    if (is_last && file->end == CAIRN_SCAN_TORN)
        cairn_health_log(r->health,
                         "%s: torn at byte %" PRIu64 ", after version %" PRIu64
                         ": a write that had "
                         "not been acknowledged was cut short; the log goes on in a new segment",
                         file->name, file->scan.at, file->scan.last_version);
    cairn_err_t err = cairn_segment_seal(file->segment, CAIRN_SEAL_RECOVERY);
    return err == CAIRN_OK ? CAIRN_OK : fail(r, err, "%s: cannot be sealed", file->name);
}

/** STORE only helps to find files that somebody removed: a full disk need not keep us from serving
 */
static cairn_err_t note(recovery_t *r, const file_t *newest)
{
    cairn_err_t err = cairn_dir_note(r->dir, newest != NULL ? newest->segment->first_version : 0,
                                     r->out->last_version);
    if (err == CAIRN_ERR_DISK_FULL) {
        cairn_health_log(r->health, "STORE could not be replaced: %s", cairn_strerror(err));
        /* replacing it would have synced the directory too: a killed process may have left the
         * newest segment's name unsynced, and the next spare takes the name it had before */
        if (cairn_dir_sync(r->dir) != CAIRN_OK)
            return fail(r, CAIRN_ERR_IO, "the directory cannot be synced");
    } else if (err != CAIRN_OK) {
        return fail(r, err, "STORE cannot be replaced: %s", cairn_strerror(err));
    }
    return err;
}

static cairn_err_t set_all_right(recovery_t *r)
{
    uint64_t known_newest = r->dir->newest_first;
    file_t *unused =
        r->count != 0 && is_unused(r, &r->files[r->count - 1]) ? &r->files[r->count - 1] : NULL;
    size_t kept = r->count - (unused != NULL);
    for (size_t i = 0; i < kept; ++i) {
        cairn_err_t err = set_right(r, &r->files[i], i + 1 == kept);
        if (err != CAIRN_OK)
            return err;
    }
    cairn_err_t err = note(r, kept != 0 ? &r->files[kept - 1] : NULL);
    if (err != CAIRN_OK && err != CAIRN_ERR_DISK_FULL)
        return err;
    /* a file that STORE knows as the newest is removed only when STORE has forgotten it: after a
     * crash in between it would be missed */
    if (unused != NULL && err != CAIRN_OK && unused->first_version == known_newest)
        return fail(r, err, "STORE cannot be replaced: %s", cairn_strerror(err));
    return unused != NULL ? drop_file(r, unused) : CAIRN_OK;
}

cairn_err_t cairn_recover(cairn_dir_t *dir, cairn_index_t *index, cairn_segments_t *segments,
                          cairn_health_t *health, cairn_clock_t *clock,
                          const cairn_store_options_t *options, cairn_recovered_t *recovered,
                          char *errmsg)
{
    memset(recovered, 0, sizeof(*recovered));
    recovery_t r = {.dir = dir,
                    .index = index,
                    .segments = segments,
                    .health = health,
                    .clock = clock,
                    .options = options,
                    .out = recovered,
                    .errmsg = errmsg};
    cairn_err_t err = list_files(&r);
    if (err == CAIRN_OK)
        err = consider_spare(&r);
    if (err == CAIRN_OK)
        err = make_space(&r);
    if (err == CAIRN_OK)
        err = read_all(&r);
    if (err == CAIRN_OK)
        err = check_against_store(&r);
    if (err == CAIRN_OK)
        err = set_all_right(&r);
    cairn_os->free(r.files);
    return err;
}
