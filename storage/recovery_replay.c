/*
 * storage/recovery_replay.c - the records of a file into the index.
 */
#include <assert.h>
#include <inttypes.h>
#include <pthread.h>
#include <string.h>

#include "index/qsbr.h"
#include "storage/apply.h"
#include "storage/guard.h"
#include "storage/os.h"
#include "storage/probe.h"
#include "storage/recovery_internal.h"

/** pages are brought in ahead of the walk in pieces of this size */
#define PIECE_BYTES ((uint64_t)4 << 20)
/** what is read ahead of the replay altogether; more could push out what was read first */
#define AHEAD_BYTES_MAX ((uint64_t)512 << 20)

/* ---------------------------------------------------------------- bringing in */

cairn_err_t cairn_recovery_progress(cairn_recovery_t *r, uint64_t bytes)
{
    r->bytes_done += bytes;
    if (r->options->on_progress != NULL &&
        !r->options->on_progress(r->options->ctx, r->bytes_done, r->bytes_total))
        return cairn_recovery_fail(r, CAIRN_ERR_CANCELLED, "stopped while it was loading");
    return CAIRN_OK;
}

uint64_t cairn_recovery_read_from(const cairn_recovery_t *r, const cairn_recovery_file_t *file)
{
    switch (file->reading) {
    case CAIRN_READ_FOOTER:
    case CAIRN_READ_TABLE:
        return file->segment->bytes;
    case CAIRN_READ_REST: /* the commit before the position is looked at too */
        return r->image.header.mark_at < file->segment->bytes ? r->image.header.mark_at : 0;
    default:
        return 0;
    }
}

static cairn_err_t bring_in(cairn_recovery_t *r, const cairn_recovery_file_t *file, uint64_t at,
                            uint64_t bytes)
{
    const cairn_segment_t *s = file->segment;
    cairn_os->will_need(s->map + at, bytes);
    if (cairn_os->populate(s->map + at, bytes) < 0)
        return cairn_recovery_fail(r, CAIRN_ERR_IO,
                                   "%s: the disk cannot read bytes %" PRIu64
                                   " to %" PRIu64 CAIRN_RECOVERY_ADVICE,
                                   file->name, at, at + bytes - 1);
    return CAIRN_OK;
}

/** a look at the thread that reads ahead, after waiting for a piece if it has not come so far */
static bool has_come_so_far(cairn_recovery_ahead_t *ahead, size_t number, bool *is_done)
{
    pthread_mutex_lock(&ahead->mutex);
    bool is_there = ahead->files > number || ahead->is_over;
    if (!is_there)
        pthread_cond_wait(&ahead->cond, &ahead->mutex);
    *is_done = ahead->files > number;
    pthread_mutex_unlock(&ahead->mutex);
    return is_there;
}

/** waits for the thread that reads ahead; `*is_done`: it has brought this file in. Errors:
 * CANCELLED */
static cairn_err_t wait_for_ahead(cairn_recovery_t *r, const cairn_recovery_file_t *file,
                                  bool *is_done)
{
    cairn_err_t err = CAIRN_OK;
    *is_done = false;
    while (err == CAIRN_OK && r->ahead.is_started &&
           !has_come_so_far(&r->ahead, (size_t)(file - r->files), is_done))
        err = cairn_recovery_progress(r, 0); /* it may be asked to stop meanwhile */
    return err;
}

cairn_err_t cairn_recovery_bring_in(cairn_recovery_t *r, const cairn_recovery_file_t *file)
{
    uint64_t at = cairn_recovery_read_from(r, file), end = file->segment->bytes;
    cairn_err_t err = CAIRN_OK;
    if (at > CAIRN_SEGMENT_HEADER_BYTES) /* the LINK is read of each */
        err = bring_in(r, file, CAIRN_SEGMENT_HEADER_BYTES, CAIRN_LINK_SPAN);
    bool is_done = false;
    if (err == CAIRN_OK && at < end)
        err = wait_for_ahead(r, file, &is_done);
    if (is_done && err == CAIRN_OK)
        return cairn_recovery_progress(r, end - at);
    while (at < end && err == CAIRN_OK) {
        uint64_t bytes = end - at < PIECE_BYTES ? end - at : PIECE_BYTES;
        err = bring_in(r, file, at, bytes);
        if (err == CAIRN_OK)
            err = cairn_recovery_progress(r, bytes);
        at += bytes;
    }
    return err;
}

/* ---------------------------------------------------------------- ahead of the replay */

/** so many files have been brought in, from the first on; whether to go on */
static bool note_ahead(cairn_recovery_ahead_t *ahead, size_t files, bool is_over)
{
    pthread_mutex_lock(&ahead->mutex);
    ahead->files = files;
    ahead->is_over = is_over;
    bool go_on = !ahead->stops;
    pthread_cond_signal(&ahead->cond);
    pthread_mutex_unlock(&ahead->mutex);
    return go_on;
}

/** false where it ends; what has failed is tried once more by the one that can say so */
static bool read_file_ahead(cairn_recovery_t *r, size_t number, uint64_t *left)
{
    const cairn_segment_t *s = r->files[number].segment;
    uint64_t at = cairn_recovery_read_from(r, &r->files[number]);
    while (at < s->bytes) {
        uint64_t bytes = s->bytes - at < PIECE_BYTES ? s->bytes - at : PIECE_BYTES;
        if (*left < bytes || !note_ahead(&r->ahead, number, false))
            return false;
        *left -= bytes;
        cairn_os->will_need(s->map + at, bytes);
        if (cairn_os->populate(s->map + at, bytes) < 0)
            return false;
        at += bytes;
    }
    return true;
}

static void *read_ahead_main(void *arg)
{
    cairn_recovery_t *r = arg;
    uint64_t left = AHEAD_BYTES_MAX;
    size_t done = 0;
    pthread_setname_np(pthread_self(), "read ahead");
    while (done < r->count && read_file_ahead(r, done, &left))
        ++done;
    note_ahead(&r->ahead, done, true);
    cairn_checkpoint_load_help(r->load);
    return NULL;
}

void cairn_recovery_read_ahead(cairn_recovery_t *r)
{
    cairn_recovery_ahead_t *ahead = &r->ahead;
    assert(!ahead->is_started && r->source == CAIRN_RECOVERY_FROM_CHECKPOINT);
    *ahead = (cairn_recovery_ahead_t){.mutex = PTHREAD_MUTEX_INITIALIZER,
                                      .cond = PTHREAD_COND_INITIALIZER};
    ahead->is_started = pthread_create(&ahead->thread, NULL, read_ahead_main, r) == 0;
}

void cairn_recovery_stop_reading_ahead(cairn_recovery_t *r)
{
    cairn_recovery_ahead_t *ahead = &r->ahead;
    if (!ahead->is_started)
        return;
    pthread_mutex_lock(&ahead->mutex);
    ahead->stops = true;
    pthread_mutex_unlock(&ahead->mutex);
    pthread_join(ahead->thread, NULL);
    ahead->is_started = false;
}

/* ---------------------------------------------------------------- applying */

/** what the checkpoint covers is in its index; only a copy made since has to be found there */
static cairn_err_t apply_record(cairn_recovery_t *r, const cairn_recovery_file_t *file, uint64_t at)
{
    const cairn_record_t *record = (const cairn_record_t *)(file->segment->map + at);
    cairn_loc_t loc = cairn_segment_loc(file->segment, at);
    bool is_covered = record->version <= r->covers_version;
    if (!cairn_record_is_data(record) || (is_covered && !file->is_new_copy))
        return CAIRN_OK;
    cairn_key_t key = cairn_key(r->dir->hash_seed, cairn_record_key(record), record->key_bytes);
    if (is_covered)
        cairn_apply_copy(r->out->index, r->out->space, &key, loc);
    else if (cairn_apply_newer(r->out->index, r->out->space, &key, loc) != CAIRN_OK)
        return cairn_recovery_fail(r, CAIRN_ERR_NOMEM, "no memory for the index");
    return CAIRN_OK;
}

static cairn_err_t apply_unit(cairn_recovery_t *r, const cairn_recovery_file_t *file,
                              const cairn_scan_unit_t *unit)
{
    cairn_segment_t *segment = file->segment;
    for (uint64_t at = unit->offset; at < unit->end;) {
        const cairn_record_t *record = (const cairn_record_t *)(segment->map + at);
        if (cairn_record_type(record) == CAIRN_RECORD_LINK)
            segment->first_version = record->version + 1;
        cairn_segment_count(segment, record);
        cairn_clock_raise(r->clock, cairn_record_written_ms(record));
        cairn_err_t err = apply_record(r, file, at);
        if (err != CAIRN_OK)
            return err;
        at += cairn_record_bytes(record);
    }
    return CAIRN_OK;
}

/** units that have been found valid and are to be applied. The index is looked up for all of them
 * at once: each has its place anywhere in memory, and so has what it replaces */
typedef struct st_applying_t {
    cairn_recovery_t *recovery;
    cairn_recovery_file_t *file;
    const cairn_recovery_batch_t *batch;
    cairn_err_t err;
} applying_t;

static void prefetch(const applying_t *a)
{
    cairn_recovery_t *r = a->recovery;
    cairn_probe_t probe = {.space = r->out->space};
    uint64_t hashes[CAIRN_RECOVERY_UNITS];
    size_t count = 0;
    for (size_t i = 0; i < a->batch->count; ++i) { /* of a batch the first: the others follow */
        const uint8_t *at = a->file->segment->map + a->batch->units[i].offset;
        const cairn_record_t *record = (const cairn_record_t *)at;
        if (record->key_bytes != 0) /* a MARK has none */
            hashes[count++] =
                cairn_key(r->dir->hash_seed, cairn_record_key(record), record->key_bytes).hash;
    }
    cairn_index_prefetch(r->out->index, count, hashes, cairn_probe_prefetch, &probe);
}

/** the disk may fail to deliver what was there a moment ago */
static void apply_guarded(void *ctx)
{
    applying_t *a = ctx;
    prefetch(a);
    for (size_t i = 0; i < a->batch->count && a->err == CAIRN_OK; ++i)
        a->err = apply_unit(a->recovery, a->file, &a->batch->units[i]);
}

static cairn_err_t unreadable(cairn_recovery_t *r, const cairn_recovery_file_t *file, uint64_t at)
{
    return cairn_recovery_fail(
        r, CAIRN_ERR_IO, "%s: the disk cannot read byte %" PRIu64 " and on" CAIRN_RECOVERY_ADVICE,
        file->name, at);
}

void cairn_recovery_use_footer(cairn_recovery_file_t *file)
{
    const cairn_segment_footer_t *footer = &file->opened.footer;
    cairn_segment_t *segment = file->segment;
    segment->first_version = footer->first_version;
    segment->counts = footer->counts;
    atomic_store_explicit(&segment->end, footer->end, memory_order_release);
}

/** the LINK, and then the file up to where reading begins, as if it had been walked */
static cairn_err_t skip(cairn_recovery_t *r, cairn_recovery_file_t *file)
{
    const cairn_segment_footer_t *footer = &file->opened.footer;
    cairn_scan_unit_t link;
    if (file->generation != 0) {
        cairn_recovery_use_footer(file);
        file->scan.at = footer->end;
        file->scan.last_version = footer->range_last;
        return CAIRN_OK;
    }
    if (!cairn_scan_next(&file->scan, &link) || !file->scan.has_link)
        return file->scan.is_unreadable
                   ? unreadable(r, file, file->scan.at)
                   : cairn_recovery_fail(r, CAIRN_ERR_CORRUPT, "%s does not begin with a LINK",
                                         file->name);
    if (file->reading == CAIRN_READ_REST) {
        cairn_position_t position = cairn_recovery_position(r);
        file->segment->first_version = file->scan.last_version + 1;
        file->segment->counts = position.counts;
        cairn_scan_resume(&file->scan, &position);
        return cairn_recovery_check_position(r, file);
    }
    cairn_position_t position = {
        .end = footer->end, .version = footer->counts.last_version, .chain = footer->counts.chain};
    cairn_recovery_use_footer(file);
    if (footer->first_version != file->scan.last_version + 1)
        return cairn_recovery_fail(r, CAIRN_ERR_CORRUPT, "%s: footer and LINK disagree",
                                   file->name);
    cairn_scan_resume(&file->scan, &position);
    return CAIRN_OK;
}

static cairn_err_t apply(applying_t *applying)
{
    if (!cairn_guard_run(apply_guarded, applying)) /* there, or a little behind it */
        return unreadable(applying->recovery, applying->file, applying->batch->units[0].offset);
    rcu_quiescent_state(); /* lets go of what the index outgrows */
    return applying->err;
}

static cairn_err_t walk(cairn_recovery_t *r, cairn_recovery_file_t *file)
{
    cairn_recovery_scan_t scan;
    applying_t applying = {.recovery = r, .file = file};
    cairn_err_t err = CAIRN_OK;
    cairn_recovery_scan_start(&scan, file);
    while (err == CAIRN_OK && (applying.batch = cairn_recovery_scan_next(&scan)) != NULL)
        err = apply(&applying);
    cairn_recovery_scan_stop(&scan);
    return err == CAIRN_OK && file->scan.is_unreadable ? unreadable(r, file, file->scan.at) : err;
}

/** at the first record of a file; what compaction has copied of the log has no chain of its own */
static void begin(cairn_recovery_t *r, cairn_recovery_file_t *file)
{
    cairn_segment_t *s = file->segment;
    memset(&s->counts, 0, sizeof(s->counts));
    if (file->generation == 0) {
        cairn_scan_init(&file->scan, s->map, s->bytes, s->salt, r->out->last_version);
        return;
    }
    cairn_scan_init_compacted(&file->scan, s->map, s->bytes, s->salt, s->first_version);
    file->scan.chain = file->scan.promised = file->opened.footer.counts.chain;
    s->counts.last_version = s->first_version - 1;
}

/** its table turned out to be damaged: as if it had never had one */
static cairn_err_t read_records_after_all(cairn_recovery_t *r, cairn_recovery_file_t *file)
{
    cairn_segment_t *segment = file->segment;
    file->reading = CAIRN_READ_RECORDS;
    r->bytes_total += segment->bytes;
    cairn_err_t err = cairn_recovery_bring_in(r, file);
    return err == CAIRN_OK ? cairn_recovery_replay(r, file) : err;
}

cairn_err_t cairn_recovery_replay(cairn_recovery_t *r, cairn_recovery_file_t *file)
{
    cairn_segment_t *segment = file->segment;
    cairn_err_t err = CAIRN_OK;
    begin(r, file);
    if (file->reading != CAIRN_READ_RECORDS)
        err = skip(r, file);
    if (err == CAIRN_OK && file->reading == CAIRN_READ_TABLE) {
        err = cairn_recovery_take_table(r, file);
        if (err == CAIRN_ERR_DAMAGED)
            return read_records_after_all(r, file);
    }
    if (err == CAIRN_OK &&
        (file->reading == CAIRN_READ_RECORDS || file->reading == CAIRN_READ_REST))
        err = walk(r, file);
    if (err != CAIRN_OK)
        return err;
    atomic_store_explicit(&segment->written, file->scan.at, memory_order_relaxed);
    atomic_store_explicit(&segment->end, file->scan.at, memory_order_release);
    segment->counts.chain = file->scan.chain;
    return CAIRN_OK;
}
