/*
 * storage/recovery_replay.c - the records of a file into the index.
 */
#include <inttypes.h>

#include <urcu-qsbr.h>

#include "storage/apply.h"
#include "storage/guard.h"
#include "storage/os.h"
#include "storage/recovery_internal.h"

/** pages are brought in ahead of the walk in pieces of this size */
#define READ_AHEAD_BYTES ((uint64_t)4 << 20)

/** the pages up to READ_AHEAD_BYTES behind `at`; an unreadable one is found here, not by a signal
 */
static cairn_err_t bring_in(cairn_recovery_t *r, const cairn_recovery_file_t *file, uint64_t at)
{
    const cairn_segment_t *s = file->segment;
    uint64_t bytes = s->bytes - at < READ_AHEAD_BYTES ? s->bytes - at : READ_AHEAD_BYTES;
    cairn_os->will_need(s->map + at, bytes);
    if (cairn_os->populate(s->map + at, bytes) < 0)
        return cairn_recovery_fail(r, CAIRN_ERR_IO,
                                   "%s: the disk cannot read bytes %" PRIu64 " to %" PRIu64,
                                   file->name, at, at + bytes - 1);
    r->bytes_done += bytes;
    if (r->options->on_progress != NULL &&
        !r->options->on_progress(r->options->ctx, r->bytes_done, r->bytes_total))
        return cairn_recovery_fail(r, CAIRN_ERR_CANCELLED, "stopped while it was loading");
    return CAIRN_OK;
}

static cairn_err_t apply_unit(cairn_recovery_t *r, const cairn_recovery_file_t *file,
                              const cairn_scan_unit_t *unit)
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
            if (cairn_apply_newer(r->index, r->out->space, &key, cairn_segment_loc(segment, at)) !=
                CAIRN_OK)
                return cairn_recovery_fail(r, CAIRN_ERR_NOMEM, "no memory for the index");
        }
        at += cairn_record_bytes(record);
    }
    return CAIRN_OK;
}

/** a unit being applied; the disk may fail to deliver what was there a moment ago */
typedef struct st_applying_t {
    cairn_recovery_t *recovery;
    cairn_recovery_file_t *file;
    const cairn_scan_unit_t *unit;
    cairn_err_t err;
} applying_t;

static void apply_guarded(void *ctx)
{
    applying_t *a = ctx;
    a->err = apply_unit(a->recovery, a->file, a->unit);
}

static cairn_err_t unreadable(cairn_recovery_t *r, cairn_recovery_file_t *file)
{
    return cairn_recovery_fail(r, CAIRN_ERR_IO, "%s: the disk cannot read byte %" PRIu64 " and on",
                               file->name, file->scan.at);
}

cairn_err_t cairn_recovery_replay(cairn_recovery_t *r, cairn_recovery_file_t *file)
{
    cairn_segment_t *segment = file->segment;
    cairn_scan_unit_t unit;
    cairn_err_t err = CAIRN_OK;
    for (uint64_t at = 0; at < segment->bytes && err == CAIRN_OK; at += READ_AHEAD_BYTES)
        err = bring_in(r, file, at);
    if (err != CAIRN_OK)
        return err;
    cairn_scan_init(&file->scan, segment->map, segment->bytes, segment->salt, r->out->last_version);
    while (cairn_scan_next(&file->scan, &unit)) {
        /* what the index is asked about lies below this */
        atomic_store_explicit(&segment->written, unit.end, memory_order_relaxed);
        applying_t applying = {.recovery = r, .file = file, .unit = &unit};
        if (!cairn_guard_run(apply_guarded, &applying))
            return unreadable(r, file);
        if (applying.err != CAIRN_OK)
            return applying.err;
        rcu_quiescent_state(); /* lets go of what the index outgrows */
    }
    if (file->scan.is_unreadable)
        return unreadable(r, file);
    atomic_store_explicit(&segment->written, file->scan.at, memory_order_relaxed);
    atomic_store_explicit(&segment->end, file->scan.at, memory_order_release);
    segment->counts.chain = file->scan.chain;
    return CAIRN_OK;
}
