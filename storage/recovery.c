/*
 * storage/recovery.c - from the files of a store to its index, or a refusal that says why.
 *
 * The normal path: list the segments and open them; take the index of the checkpoint, if there is
 * one and it fits them; then, in order of version, walk the records of each that it does not cover,
 * apply them, see that the next one links to where this one ends. Whatever is wrong with a
 * checkpoint is only a reason to do without it.
 * The last one may end in two ways that are no
 * damage: clean, and the log goes on in it; torn in the middle of a commit that nobody was told of,
 * and it is sealed there. Everything else is refused.
 */
#include "storage/recovery.h"

#include <assert.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "storage/file.h"
#include "storage/guard.h"
#include "storage/os.h"
#include "storage/quarantine.h"
#include "storage/recovery_internal.h"
#include "storage/survey.h"

cairn_err_t cairn_recovery_fail(cairn_recovery_t *r, cairn_err_t err, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(r->errmsg, CAIRN_ERRMSG_BYTES, format, args);
    va_end(args);
    return err;
}

/* ---------------------------------------------------------------- reading one file */

/** the first version that can be read behind what is damaged; 0 if there is none */
static uint64_t version_behind(const cairn_recovery_file_t *file)
{
    cairn_survey_t survey;
    cairn_survey_piece_t piece;
    cairn_survey_init(&survey, file->segment->map, file->segment->bytes, file->segment->salt);
    survey.at = file->scan.at;
    while (cairn_survey_next(&survey, &piece))
        if (piece.kind == CAIRN_SURVEY_WHOLE && cairn_record_is_data(piece.record) &&
            piece.record->version > file->scan.last_version + 1)
            return piece.record->version;
    return 0;
}

/** `last_expected`: up to there all had been acknowledged; 0 if that is not known */
static cairn_err_t damaged(cairn_recovery_t *r, const cairn_recovery_file_t *file,
                           uint64_t last_expected)
{
    uint64_t last = file->scan.last_version, behind = version_behind(file);
    if (behind != 0)
        last_expected = behind - 1;
    if (last_expected > last)
        return cairn_recovery_fail(r, CAIRN_ERR_CORRUPT,
                                   "%s: damaged at byte %" PRIu64 ": versions %" PRIu64
                                   " to %" PRIu64
                                   " were acknowledged and cannot be read" CAIRN_RECOVERY_ADVICE,
                                   file->name, file->scan.at, last + 1, last_expected);
    return cairn_recovery_fail(r, CAIRN_ERR_CORRUPT,
                               "%s: damaged at byte %" PRIu64
                               ", after version %" PRIu64 CAIRN_RECOVERY_ADVICE,
                               file->name, file->scan.at, last);
}

/** what the end of the records says about the file by itself */
static cairn_err_t judge(cairn_recovery_t *r, cairn_recovery_file_t *file)
{
    cairn_segment_t *segment = file->segment;
    cairn_segment_footer_t footer;
    if (cairn_segment_footer_at(segment, file->scan.at, &footer)) {
        bool agrees = memcmp(&footer.counts, &segment->counts, sizeof(footer.counts)) == 0 &&
                      footer.first_version == segment->first_version;
        if (!agrees)
            return damaged(r, file, footer.counts.last_version);
        file->is_sealed = segment->bytes == footer.end + CAIRN_SEGMENT_FOOTER_BYTES;
        if (file->generation != 0)
            file->scan.last_version = footer.range_last;
        atomic_store_explicit(&segment->sealed, file->is_sealed, memory_order_release);
        file->end = CAIRN_SCAN_CLEAN;
        return CAIRN_OK;
    }
    if (cairn_segment_footer_at(segment, segment->bytes - CAIRN_SEGMENT_FOOTER_BYTES, &footer))
        return damaged(r, file, footer.counts.last_version);
    /* only sealing makes a file shorter, and it leaves a footer at the end */
    if (segment->bytes < segment->bytes_made)
        return cairn_recovery_fail(
            r, CAIRN_ERR_CORRUPT,
            "%s: it has %" PRIu64 " bytes, was made with %" PRIu64 " and has no valid footer: "
            "what followed version %" PRIu64 " is lost or damaged" CAIRN_RECOVERY_ADVICE,
            file->name, segment->bytes, segment->bytes_made, file->scan.last_version);
    uint64_t proven;
    file->end = cairn_scan_end(&file->scan, &proven);
    /* where another segment follows, its LINK says what this one had */
    if (file->end == CAIRN_SCAN_SUSPECT && file != &r->files[r->count - 1])
        file->end = CAIRN_SCAN_TORN;
    return file->end == CAIRN_SCAN_CORRUPT ? damaged(r, file, proven) : CAIRN_OK;
}

static cairn_err_t read_file(cairn_recovery_t *r, cairn_recovery_file_t *file)
{
    cairn_err_t err = cairn_recovery_bring_in(r, file);
    if (err == CAIRN_OK)
        err = cairn_recovery_replay(r, file);
    if (err != CAIRN_OK ||
        (file->reading != CAIRN_READ_FOOTER && file->reading != CAIRN_READ_TABLE))
        return err == CAIRN_OK ? judge(r, file) : err;
    file->is_sealed = true;
    file->end = CAIRN_SCAN_CLEAN;
    atomic_store_explicit(&file->segment->sealed, true, memory_order_release);
    return CAIRN_OK;
}

static cairn_err_t read_all(cairn_recovery_t *r)
{
    const cairn_recovery_file_t *previous = NULL;
    for (size_t i = 0; i < r->count; ++i) {
        cairn_recovery_file_t *file = &r->files[i];
        cairn_err_t err = read_file(r, file);
        bool is_known = file->scan.has_link || file->generation != 0;
        if (err == CAIRN_OK && is_known)
            err = cairn_recovery_check_link(r, file, previous);
        if (err == CAIRN_OK && !cairn_recovery_is_unused(r, file)) {
            if (!is_known)
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

/* ---------------------------------------------------------------- setting things right */

/**
 * Removes it for good before the log goes on without it: found again, after the log has gone on, it
 * would not fit any more and the store would not open.
 */
static cairn_err_t drop_file(cairn_recovery_t *r, cairn_recovery_file_t *file)
{
    /* it is the last one opened, so the last one in the list */
    assert(r->segments->count != 0 && r->segments->list[r->segments->count - 1] == file->segment);
    --r->segments->count;
    cairn_segment_close(file->segment);
    file->segment = NULL;
    int removed = cairn_os->unlink(r->dir->fd, file->name);
    if (removed < 0)
        return cairn_recovery_fail(r, CAIRN_ERR_IO, "%s: cannot be removed: %s", file->name,
                                   strerror(-removed));
    if (cairn_dir_sync(r->dir) != CAIRN_OK)
        return cairn_recovery_fail(r, CAIRN_ERR_IO, "%s: its removal cannot be synced", file->name);
    return CAIRN_OK;
}

typedef struct st_tail_t {
    const cairn_segment_t *segment;
    uint64_t at;
    uint64_t end;
} tail_t;

/** how far it goes before the zeroes that end the file */
static void find_tail_end(void *ctx)
{
    tail_t *tail = ctx;
    uint64_t end = tail->segment->bytes;
    while (end > tail->at && tail->segment->map[end - 1] == 0)
        --end;
    tail->end = end;
}

/** what may have been acknowledged is not thrown away with the cut */
static cairn_err_t keep_suspect(cairn_recovery_t *r, const cairn_recovery_file_t *file)
{
    char name[CAIRN_QUARANTINE_NAME_BYTES];
    uint64_t at = file->scan.at, first = file->scan.last_version + 1;
    tail_t tail = {.segment = file->segment, .at = at};
    cairn_quarantine_name(name, file->name, at, first);
    cairn_err_t err = cairn_guard_run(find_tail_end, &tail) ? CAIRN_OK : CAIRN_ERR_IO;
    uint64_t bytes = tail.end - at;
    if (err == CAIRN_OK)
        err = cairn_quarantine_keep(r->dir, name, file->segment->map + at, bytes);
    if (err != CAIRN_OK)
        return cairn_recovery_fail(r, err,
                                   "%s: suspect at byte %" PRIu64
                                   ", and its bytes cannot be kept in " CAIRN_QUARANTINE_NAME
                                   "/%s: %s",
                                   file->name, at, name, cairn_strerror(err));
    cairn_health_log(r->health, CAIRN_LOG_ERROR,
                     "%s: suspect at byte %" PRIu64 ", from version %" PRIu64
                     " on: no write that was cut short leaves such bytes, so what was acknowledged "
                     "last may have rotted; %" PRIu64 " bytes are kept in " CAIRN_QUARANTINE_NAME
                     "/%s, and the log goes on in a new segment",
                     file->name, at, first, bytes, name);
    return CAIRN_OK;
}

/**
 * Zeroes where the log ends, on disk before a footer is written there: of a footer over what was
 * cut short, another cut may leave the last sectors alone, and the rest would look like a whole
 * write.
 */
static cairn_err_t clear_tail(const cairn_recovery_file_t *file)
{
    static const uint8_t zeroes[4096];
    tail_t tail = {.segment = file->segment, .at = file->scan.at};
    cairn_err_t err = cairn_guard_run(find_tail_end, &tail) ? CAIRN_OK : CAIRN_ERR_IO;
    if (err != CAIRN_OK || tail.end == tail.at)
        return err;
    for (uint64_t at = tail.at; at < tail.end && err == CAIRN_OK; at += sizeof(zeroes)) {
        uint64_t left = tail.end - at;
        err = cairn_file_write_all(file->segment->fd, zeroes,
                                   left < sizeof(zeroes) ? left : sizeof(zeroes), at);
    }
    return err == CAIRN_OK ? cairn_file_err_of(cairn_os->sync(file->segment->fd)) : err;
}

static cairn_err_t set_right(cairn_recovery_t *r, cairn_recovery_file_t *file, bool is_last)
{
    if (file->is_spare && cairn_segment_rename_spare(file->segment, r->dir) != CAIRN_OK)
        return cairn_recovery_fail(r, CAIRN_ERR_IO, "%s: cannot be renamed", file->name);
    if (file->is_sealed)
        return CAIRN_OK;
    cairn_segment_footer_t footer;
    bool was_sealing = cairn_segment_footer_at(file->segment, file->scan.at, &footer);
    if (is_last && file->end == CAIRN_SCAN_CLEAN && !was_sealing) {
        r->out->active = file->segment;
        return CAIRN_OK;
    }
    if (file->end == CAIRN_SCAN_SUSPECT) {
        cairn_err_t err = keep_suspect(r, file);
        if (err != CAIRN_OK)
            return err;
    }
    /* on any other it was the footer that was cut short */
    if (is_last && file->end == CAIRN_SCAN_TORN)
        cairn_health_log(r->health, CAIRN_LOG_WARNING,
                         "%s: torn at byte %" PRIu64 ", after version %" PRIu64
                         ": a write that had "
                         "not been acknowledged was cut short; the log goes on in a new segment",
                         file->name, file->scan.at, file->scan.last_version);
    cairn_err_t err = was_sealing ? CAIRN_OK : clear_tail(file);
    if (err == CAIRN_OK)
        err = cairn_segment_seal(file->segment, CAIRN_SEAL_RECOVERY);
    return err == CAIRN_OK ? CAIRN_OK
                           : cairn_recovery_fail(r, err, "%s: cannot be sealed", file->name);
}

/** STORE only helps to find files that somebody removed: a full disk need not keep us from serving
 */
static cairn_err_t note(cairn_recovery_t *r, const cairn_recovery_file_t *newest)
{
    cairn_err_t err = cairn_dir_note(r->dir, newest != NULL ? newest->segment->first_version : 0,
                                     r->out->last_version);
    if (err == CAIRN_ERR_DISK_FULL) {
        cairn_health_log(r->health, CAIRN_LOG_WARNING, "STORE could not be replaced: %s",
                         cairn_strerror(err));
        /* replacing it would have synced the directory too: a killed process may have left the
         * newest segment's name unsynced, and the next spare takes the name it had before */
        if (cairn_dir_sync(r->dir) != CAIRN_OK)
            return cairn_recovery_fail(r, CAIRN_ERR_IO, "the directory cannot be synced");
    } else if (err != CAIRN_OK) {
        return cairn_recovery_fail(r, err, "STORE cannot be replaced: %s", cairn_strerror(err));
    }
    return err;
}

static cairn_err_t set_all_right(cairn_recovery_t *r)
{
    assert(r->count == 0 || r->files != NULL);
    uint64_t known_newest = r->dir->newest_first;
    cairn_recovery_file_t *unused =
        r->count != 0 && cairn_recovery_is_unused(r, &r->files[r->count - 1])
            ? &r->files[r->count - 1]
            : NULL;
    size_t kept = r->count - (unused != NULL);
    if (unused != NULL && unused->end == CAIRN_SCAN_SUSPECT) {
        cairn_err_t err = keep_suspect(r, unused);
        if (err != CAIRN_OK)
            return err;
    }
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
        return cairn_recovery_fail(r, err, "STORE cannot be replaced: %s", cairn_strerror(err));
    return unused != NULL ? drop_file(r, unused) : CAIRN_OK;
}

static void log_source(cairn_recovery_t *r, uint64_t replayed)
{
    if (r->source == CAIRN_RECOVERY_FROM_CHECKPOINT)
        cairn_health_log(r->health, CAIRN_LOG_INFO,
                         "the index up to version %" PRIu64 " is from " CAIRN_CHECKPOINT_NAME
                         ", %" PRIu64 " bytes of log have been replayed",
                         r->covers_version, replayed);
    else if (r->source == CAIRN_RECOVERY_FROM_TABLES)
        cairn_health_log(r->health, CAIRN_LOG_INFO,
                         "the index is from %u key tables and the records of %" PRIu64
                         " bytes of log",
                         r->table_count, replayed);
    else if (r->count != 0)
        cairn_health_log(r->health, CAIRN_LOG_INFO,
                         "the index is from the records: %" PRIu64 " bytes of log", replayed);
}

/** bytes of records that have been read for the index */
static uint64_t replayed_bytes(const cairn_recovery_t *r, const cairn_recovery_file_t *file)
{
    if (file->reading == CAIRN_READ_REST)
        return file->scan.at - r->image.header.position_end;
    return file->reading == CAIRN_READ_RECORDS ? file->scan.at : 0;
}

/** where the log and the index are now; counted from here, the next checkpoint becomes due */
static void tell_position(cairn_recovery_t *r)
{
    cairn_position_t position = {.version = r->out->last_version, .chain = r->out->chain};
    uint64_t replayed = 0, all = 0;
    for (size_t i = 0; i < r->count; ++i) {
        const cairn_recovery_file_t *file = &r->files[i];
        if (file->segment == NULL)
            continue;
        position.first_version = file->segment->first_version;
        position.salt = file->segment->salt;
        position.end = file->scan.at;
        position.mark_at = file->scan.mark_at;
        position.counts = file->segment->counts;
        replayed += replayed_bytes(r, file);
        all += file->scan.at;
    }
    cairn_position_begin(r->parts->position, &position,
                         r->source == CAIRN_RECOVERY_FROM_CHECKPOINT ? replayed : all);
    log_source(r, replayed);
}

/** the checkpoint that was used is the one on disk; one that was not is in nobody's way */
static cairn_err_t settle_checkpoint(cairn_recovery_t *r)
{
    if (cairn_dir_is_memory(r->dir))
        return CAIRN_OK;
    cairn_os->unlink(r->dir->fd, CAIRN_CHECKPOINT_TMP_NAME); /* usually there is none */
    if (r->source != CAIRN_RECOVERY_FROM_CHECKPOINT)
        return cairn_checkpoint_drop(r->parts->checkpoint) == CAIRN_OK
                   ? CAIRN_OK
                   : cairn_recovery_fail(r, CAIRN_ERR_IO,
                                         CAIRN_CHECKPOINT_NAME ": cannot be removed");
    return cairn_checkpoint_adopt(r->parts->checkpoint, &r->image) == CAIRN_OK
               ? CAIRN_OK
               : cairn_recovery_fail(r, CAIRN_ERR_NOMEM, "no memory for the list of segments");
}

/* ---------------------------------------------------------------- from one source or another */

static cairn_err_t make_index(cairn_recovery_t *r)
{
    if (r->source == CAIRN_RECOVERY_FROM_CHECKPOINT) {
        cairn_err_t err = cairn_recovery_load_index(r);
        if (err != CAIRN_OK)
            return err;
    } else {
        r->out->index = cairn_index_create();
    }
    if (r->out->index != NULL)
        r->out->reclaimer = cairn_reclaimer_start(r->out->index);
    return r->out->reclaimer != NULL
               ? CAIRN_OK
               : cairn_recovery_fail(r, CAIRN_ERR_NOMEM, "no memory or thread for the index");
}

/** the index has entries of what was durable: a log that does not reach so far is another one */
static cairn_err_t check_against_checkpoint(cairn_recovery_t *r)
{
    uint64_t durable = r->image.header.durable_version;
    if (r->source != CAIRN_RECOVERY_FROM_CHECKPOINT || r->out->last_version >= durable)
        return CAIRN_OK;
    return cairn_recovery_fail(r, CAIRN_ERR_CORRUPT,
                               "the log ends at version %" PRIu64 ", it was made with one that "
                               "had %" PRIu64,
                               r->out->last_version, durable);
}

/** what is behind the position then is nothing but zeroes: to read them is work for a processor;
 * else it is waiting for the disk */
static bool was_stopped_at_position(const cairn_recovery_t *r)
{
    const cairn_closed_t *closed = &r->dir->closed;
    return closed->salt == r->image.header.position_salt &&
           closed->end == r->image.header.position_end;
}

static cairn_err_t read_from_source(cairn_recovery_t *r)
{
    cairn_err_t err = cairn_recovery_open_files(r);
    if (err == CAIRN_OK)
        err = cairn_recovery_plan(r);
    if (err == CAIRN_OK && r->source == CAIRN_RECOVERY_FROM_CHECKPOINT) {
        r->load = cairn_checkpoint_load_begin(&r->image, was_stopped_at_position(r));
        cairn_recovery_read_ahead(r);
    }
    if (err == CAIRN_OK)
        err = make_index(r);
    if (err == CAIRN_OK)
        err = read_all(r);
    cairn_recovery_stop_reading_ahead(r);
    cairn_checkpoint_load_end(r->load);
    r->load = NULL;
    if (err == CAIRN_OK)
        err = cairn_recovery_clear_superseded(r);
    if (err == CAIRN_OK)
        err = check_against_checkpoint(r);
    return err == CAIRN_OK ? cairn_recovery_check_against_store(r) : err;
}

/** as if nothing had been tried */
static void start_over(cairn_recovery_t *r)
{
    if (r->out->reclaimer != NULL)
        cairn_reclaimer_stop(r->out->reclaimer);
    if (r->out->index != NULL)
        cairn_index_destroy(r->out->index);
    cairn_recovery_close_files(r);
    cairn_checkpoint_close(&r->image);
    memset(r->out, 0, sizeof(*r->out));
    r->covers_version = r->bytes_done = r->bytes_total = 0;
}

/** why, without what would be to do if there were no other source */
static void log_fallback(cairn_recovery_t *r)
{
    char *advice = strstr(r->errmsg, CAIRN_RECOVERY_ADVICE);
    if (advice != NULL)
        *advice = '\0';
    if (r->source == CAIRN_RECOVERY_FROM_CHECKPOINT)
        cairn_health_log(r->health, CAIRN_LOG_WARNING,
                         CAIRN_CHECKPOINT_NAME ": not used: %s: reading the log instead",
                         r->errmsg);
    else
        cairn_health_log(r->health, CAIRN_LOG_WARNING,
                         "key tables: not used: %s: reading all records instead", r->errmsg);
}

/** from what is fastest if that goes well; what all the records say is what counts */
static cairn_err_t read_from_best(cairn_recovery_t *r)
{
    r->source = cairn_recovery_find_checkpoint(r) ? CAIRN_RECOVERY_FROM_CHECKPOINT
                                                  : CAIRN_RECOVERY_FROM_TABLES;
    cairn_err_t err = read_from_source(r);
    while (err != CAIRN_OK && err != CAIRN_ERR_CANCELLED &&
           r->source != CAIRN_RECOVERY_FROM_RECORDS) {
        log_fallback(r);
        start_over(r);
        ++r->source;
        err = read_from_source(r);
    }
    return err;
}

cairn_err_t cairn_recover(const cairn_recovery_parts_t *parts, const cairn_store_options_t *options,
                          cairn_recovered_t *recovered, char *errmsg)
{
    memset(recovered, 0, sizeof(*recovered));
    cairn_recovery_t r = {.parts = parts,
                          .dir = parts->dir,
                          .segments = parts->segments,
                          .health = parts->health,
                          .clock = parts->clock,
                          .options = options,
                          .out = recovered,
                          .errmsg = errmsg,
                          .image = {.fd = -1}};
    cairn_err_t err = cairn_recovery_list_files(&r);
    if (err == CAIRN_OK)
        err = read_from_best(&r);
    if (err == CAIRN_OK)
        err = set_all_right(&r);
    if (err == CAIRN_OK)
        err = settle_checkpoint(&r);
    if (err == CAIRN_OK)
        err = cairn_recovery_settle_superseded(&r);
    if (err == CAIRN_OK)
        tell_position(&r);
    else
        cairn_recovery_close_files(&r);
    cairn_checkpoint_close(&r.image);
    cairn_os->free(r.files);
    return err;
}
