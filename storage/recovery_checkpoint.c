/*
 * storage/recovery_checkpoint.c - whether a checkpoint fits the files that are there, and how much
 * of them it spares us.
 *
 * It may be older than the log, by a crash or because the log is a copy: then more is read, or it
 * is given up. Nothing of it is believed that a footer, a sum or the log itself does not confirm,
 * so it can cost time, and never a record.
 */
#include <inttypes.h>
#include <string.h>

#include "index/qsbr.h"
#include "storage/guard.h"
#include "storage/keytable.h"
#include "storage/os.h"
#include "storage/recovery_internal.h"

bool cairn_recovery_find_checkpoint(cairn_recovery_t *r)
{
    char why[CAIRN_ERRMSG_BYTES];
    if (cairn_dir_is_memory(r->dir) || r->count == 0)
        return false;
    cairn_err_t err = cairn_checkpoint_open(&r->image, r->dir, why);
    if (err != CAIRN_OK && err != CAIRN_ERR_NOT_FOUND)
        cairn_health_log(r->health, CAIRN_LOG_WARNING,
                         CAIRN_CHECKPOINT_NAME ": not used: %s: reading the log instead", why);
    return err == CAIRN_OK;
}

cairn_position_t cairn_recovery_position(const cairn_recovery_t *r)
{
    const cairn_checkpoint_header_t *header = &r->image.header;
    return (cairn_position_t){.first_version = header->position_first,
                              .salt = header->position_salt,
                              .end = header->position_end,
                              .mark_at = header->mark_at,
                              .version = header->covers_version,
                              .chain = header->chain,
                              .counts = header->counts};
}

/* ---------------------------------------------------------------- which files it knows */

static cairn_err_t does_not_fit(cairn_recovery_t *r, const cairn_recovery_file_t *file)
{
    return cairn_recovery_fail(r, CAIRN_ERR_CORRUPT, "%s is not the file it was made with",
                               file->name);
}

/** the segment in which the position lies */
static cairn_err_t plan_position(cairn_recovery_t *r, cairn_recovery_file_t *file)
{
    const cairn_checkpoint_header_t *header = &r->image.header;
    const cairn_segment_footer_t *footer = &file->opened.footer;
    if (header->position_end > file->segment->bytes ||
        (!file->is_spare && file->first_version != header->position_first))
        return does_not_fit(r, file);
    file->reading = CAIRN_READ_REST;
    if (!file->opened.is_sealed || footer->end != header->position_end)
        return CAIRN_OK;
    if (memcmp(&footer->counts, &header->counts, sizeof(footer->counts)) != 0)
        return does_not_fit(r, file);
    file->reading = CAIRN_READ_FOOTER;
    return CAIRN_OK;
}

static cairn_err_t plan_file(cairn_recovery_t *r, cairn_recovery_file_t *file)
{
    const cairn_checkpoint_header_t *header = &r->image.header;
    const cairn_checkpoint_segment_t *named = cairn_checkpoint_find(&r->image, file->segment->salt);
    const cairn_segment_footer_t *footer = &file->opened.footer;
    file->is_new_copy = named == NULL && file->generation != 0;
    if (named == NULL) /* made since */
        return file->is_spare || file->is_new_copy || file->first_version > header->covers_version
                   ? CAIRN_OK
                   : does_not_fit(r, file);
    if (named->first_version <= header->covers_version)
        atomic_store_explicit(&file->segment->dead_bytes, named->dead_bytes, memory_order_relaxed);
    if (named->salt == header->position_salt)
        return plan_position(r, file);
    /* a crash may have come between the roll and the seal: then it is read for its end, and for
     * what it had is not applied again */
    if (named->end == 0 || !file->opened.is_sealed)
        return CAIRN_OK;
    if (footer->end != named->end || footer->counts.fold != named->fold ||
        footer->first_version != file->first_version)
        return does_not_fit(r, file);
    file->reading = CAIRN_READ_FOOTER;
    return CAIRN_OK;
}

/** an entry may point into any of them, unless the log had not yet gone on in it */
static cairn_err_t check_all_are_there(cairn_recovery_t *r)
{
    for (uint32_t i = 0; i < r->image.header.segment_count; ++i) {
        const cairn_checkpoint_segment_t *named = &r->image.segments[i];
        size_t at = 0;
        size_t all = r->count + r->superseded_count;
        while (at < all && r->files[at].segment->salt != named->salt)
            ++at;
        if (at == all && named->first_version <= r->image.header.durable_version)
            return cairn_recovery_fail(r, CAIRN_ERR_CORRUPT,
                                       "a segment that it was made with is not there: "
                                       "%016" PRIx64 "-%04" PRIx32 ".seg",
                                       named->first_version, named->generation);
    }
    return CAIRN_OK;
}

cairn_err_t cairn_recovery_plan(cairn_recovery_t *r)
{
    cairn_err_t err = CAIRN_OK;
    if (r->source == CAIRN_RECOVERY_FROM_CHECKPOINT) {
        err = check_all_are_there(r);
        for (size_t i = 0; i < r->count && err == CAIRN_OK; ++i)
            err = plan_file(r, &r->files[i]);
        r->covers_version = r->image.header.covers_version;
        r->bytes_total = r->image.header.dump_bytes;
    } else if (r->source == CAIRN_RECOVERY_FROM_TABLES) {
        r->table_count = cairn_recovery_find_tables(r);
        if (r->table_count == 0)
            r->source = CAIRN_RECOVERY_FROM_RECORDS;
    }
    for (size_t i = 0; i < r->count; ++i) {
        cairn_segment_t *segment = r->files[i].segment;
        r->bytes_total += segment->bytes - cairn_recovery_read_from(r, &r->files[i]);
        if (r->files[i].table != NULL)
            r->bytes_total += cairn_keytable_file_bytes(r->files[i].table);
        /* entries may point ahead of what has been walked */
        atomic_store_explicit(&segment->written, segment->bytes, memory_order_relaxed);
    }
    for (size_t i = 0; i < r->superseded_count; ++i) {
        cairn_segment_t *segment = r->files[r->count + i].segment;
        atomic_store_explicit(&segment->written, segment->bytes, memory_order_relaxed);
    }
    return err;
}

/* ---------------------------------------------------------------- the position */

/** whether the commit that this MARK begins is all there and ends at the position */
static bool commit_is_there(const cairn_segment_t *segment, const cairn_record_t *mark,
                            const cairn_position_t *position)
{
    cairn_mark_t value;
    cairn_record_read_mark(mark, &value);
    if (mark->version + value.commit_records != position->version ||
        memcmp(&value.chain, &position->chain, sizeof(value.chain)) != 0)
        return false;
    uint64_t at = position->mark_at + CAIRN_MARK_SPAN;
    while (at < position->end) {
        const cairn_record_t *record = (const cairn_record_t *)(segment->map + at);
        if (!cairn_record_head_is_valid(record, position->end - at, segment->salt, at) ||
            !cairn_record_body_is_valid(record))
            return false;
        at += cairn_record_bytes(record);
    }
    return at == position->end;
}

/** a look at the commit before the position, which the disk may fail to deliver */
typedef struct st_look_t {
    const cairn_segment_t *segment;
    cairn_position_t position;
    bool is_there;
} look_t;

static void look_guarded(void *ctx)
{
    look_t *look = ctx;
    uint64_t at = look->position.mark_at, end = look->position.end;
    const cairn_record_t *mark = (const cairn_record_t *)(look->segment->map + at);
    look->is_there = cairn_record_head_is_valid(mark, end - at, look->segment->salt, at) &&
                     cairn_record_type(mark) == CAIRN_RECORD_MARK &&
                     cairn_record_body_is_valid(mark) &&
                     commit_is_there(look->segment, mark, &look->position);
}

/**
 * A sealed file has its footer's sums to show that it is the same. For one that is not, the last
 * MARK before the position does: it holds the digest of the whole log up to there.
 */
cairn_err_t cairn_recovery_check_position(cairn_recovery_t *r, const cairn_recovery_file_t *file)
{
    look_t look = {.segment = file->segment, .position = cairn_recovery_position(r)};
    uint64_t at = look.position.mark_at;
    if (file->opened.is_sealed)
        return CAIRN_OK;
    if (at >= CAIRN_SEGMENT_HEADER_BYTES && at % CAIRN_RECORD_ALIGN == 0 &&
        at < look.position.end && !cairn_guard_run(look_guarded, &look))
        return cairn_recovery_fail(
            r, CAIRN_ERR_IO, "%s: the disk cannot read byte %" PRIu64 " and on", file->name, at);
    return look.is_there ? CAIRN_OK
                         : cairn_recovery_fail(r, CAIRN_ERR_CORRUPT,
                                               "%s does not have the records up to version %" PRIu64
                                               " that it was made with",
                                               file->name, look.position.version);
}

/* ---------------------------------------------------------------- the index */

static bool on_bytes(void *ctx, uint64_t bytes)
{
    return cairn_recovery_progress(ctx, bytes) == CAIRN_OK;
}

cairn_err_t cairn_recovery_load_index(cairn_recovery_t *r)
{
    char why[CAIRN_ERRMSG_BYTES];
    rcu_thread_offline(); /* it waits for threads that nobody else knows */
    cairn_err_t err = cairn_checkpoint_load_finish(r->load, on_bytes, r, &r->out->index, why);
    rcu_thread_online();
    if (err != CAIRN_OK)
        return cairn_recovery_fail(r, err, "%s", why);
    cairn_clock_raise(r->clock, r->image.header.clock_ms);
    return CAIRN_OK;
}
