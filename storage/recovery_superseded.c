/*
 * storage/recovery_superseded.c - segments whose place a compacted one has taken.
 *
 * They do not count, but a checkpoint that was written before they were replaced has entries that
 * point into them. Such entries are moved to the copies while those are read, and what is left over
 * in the end is of no record any more: compaction has dropped it.
 */
#include <stdlib.h>
#include <string.h>

#include "index/qsbr.h"
#include "storage/guard.h"
#include "storage/os.h"
#include "storage/probe.h"
#include "storage/recovery_internal.h"

/** longer names are none of ours */
#define LEFTOVER_NAME_BYTES 64

/* ---------------------------------------------------------------- which ones they are */

static bool is_compacted(const cairn_recovery_file_t *file)
{
    return file->generation != 0;
}

static int counted_first(const void *a, const void *b)
{
    const cairn_recovery_file_t *x = a, *y = b;
    if (x->is_superseded != y->is_superseded)
        return x->is_superseded ? 1 : -1;
    if (x->first_version != y->first_version)
        return x->first_version < y->first_version ? -1 : 1;
    return x->generation > y->generation ? -1 : x->generation < y->generation;
}

/** a compacted file got its name when all of it was on disk */
static cairn_err_t check_footer(cairn_recovery_t *r, const cairn_recovery_file_t *file)
{
    if (!is_compacted(file) || file->opened.is_sealed)
        return CAIRN_OK;
    return cairn_recovery_fail(r, CAIRN_ERR_CORRUPT,
                               "%s: it was made by compaction and has no valid footer: it is cut "
                               "or damaged" CAIRN_RECOVERY_ADVICE,
                               file->name);
}

/** ranges lie in each other or apart, and the outer one has the higher generation: in order of
 * version, the higher generation first, whatever is covered comes behind what covers it */
static void find_superseded(cairn_recovery_t *r)
{
    const cairn_recovery_file_t *cover = NULL;
    for (size_t i = 0; i < r->count; ++i) {
        cairn_recovery_file_t *file = &r->files[i];
        file->is_superseded = cover != NULL && file->generation < cover->generation &&
                              file->first_version <= cover->opened.footer.range_last;
        r->superseded_count += file->is_superseded;
        if (is_compacted(file) && !file->is_superseded)
            cover = file;
    }
}

cairn_err_t cairn_recovery_set_aside(cairn_recovery_t *r)
{
    for (size_t i = 0; i < r->count; ++i) {
        cairn_err_t err = check_footer(r, &r->files[i]);
        if (err != CAIRN_OK)
            return err;
    }
    find_superseded(r);
    if (r->superseded_count == 0)
        return CAIRN_OK;
    qsort(r->files, r->count, sizeof(*r->files), counted_first);
    r->count -= r->superseded_count;
    return CAIRN_OK;
}

void cairn_recovery_take_back(cairn_recovery_t *r)
{
    r->count += r->superseded_count;
    r->superseded_count = 0;
    for (size_t i = 0; i < r->count; ++i)
        r->files[i].is_superseded = false;
    if (r->count != 0)
        qsort(r->files, r->count, sizeof(*r->files), counted_first);
}

/* ---------------------------------------------------------------- entries left over */

/** a walk over a superseded segment, which the disk may fail to deliver */
typedef struct st_clearing_t {
    cairn_recovery_t *recovery;
    cairn_segment_t *segment;
    uint64_t end;
    uint64_t at;
    bool is_valid;
} clearing_t;

/** forgets an entry that still points to this record */
static void clear_record(clearing_t *c)
{
    const cairn_record_t *r = (const cairn_record_t *)(c->segment->map + c->at);
    c->is_valid = cairn_record_head_is_valid(r, c->end - c->at, c->segment->salt, c->at);
    if (!c->is_valid)
        return;
    if (cairn_record_type_gives(cairn_record_type(r))) {
        cairn_key_t key = cairn_key(c->recovery->dir->hash_seed, cairn_record_key(r), r->key_bytes);
        cairn_loc_t here = cairn_segment_loc(c->segment, c->at), old;
        cairn_index_remove(c->recovery->out->index, key.hash, cairn_probe_is_at, &here, &old);
    }
    c->at += cairn_record_bytes(r);
}

static void clear_some(void *ctx)
{
    clearing_t *c = ctx;
    for (size_t i = 0; i < 1024 && c->is_valid && c->at < c->end; ++i)
        clear_record(c);
}

static cairn_err_t clear_segment(cairn_recovery_t *r, cairn_recovery_file_t *file)
{
    const cairn_segment_footer_t *footer = &file->opened.footer;
    uint64_t end = file->opened.is_sealed ? footer->end : file->segment->bytes;
    clearing_t c = {.recovery = r,
                    .segment = file->segment,
                    .end = end,
                    .at = CAIRN_SEGMENT_HEADER_BYTES,
                    .is_valid = true};
    while (c.at < c.end && c.is_valid) {
        if (!cairn_guard_run(clear_some, &c))
            return cairn_recovery_fail(r, CAIRN_ERR_IO, "%s: the disk cannot read it", file->name);
        rcu_quiescent_state();
    }
    if (!c.is_valid && file->opened.is_sealed)
        return cairn_recovery_fail(r, CAIRN_ERR_CORRUPT, "%s is damaged", file->name);
    return CAIRN_OK;
}

cairn_err_t cairn_recovery_clear_superseded(cairn_recovery_t *r)
{
    cairn_err_t err = CAIRN_OK;
    if (r->source != CAIRN_RECOVERY_FROM_CHECKPOINT)
        return CAIRN_OK;
    for (size_t i = 0; i < r->superseded_count && err == CAIRN_OK; ++i) {
        cairn_recovery_file_t *file = &r->files[r->count + i];
        if (cairn_checkpoint_find(&r->image, file->segment->salt) != NULL)
            err = clear_segment(r, file);
    }
    return err;
}

/* ---------------------------------------------------------------- afterwards */

/** stops at the first that a compaction has left unfinished; `ctx` takes its name */
static bool on_entry(void *ctx, const char *name)
{
    static const char ending[] = CAIRN_SEGMENT_SUFFIX CAIRN_TMP_SUFFIX;
    char *found = ctx;
    size_t bytes = strlen(name), suffix = sizeof(ending) - 1;
    if (bytes >= LEFTOVER_NAME_BYTES || bytes < suffix ||
        strcmp(name + bytes - suffix, ending) != 0)
        return true;
    memcpy(found, name, bytes + 1);
    return false;
}

/** one after the other: usually there is none, seldom more. What is not removed now is no harm */
static void remove_leftovers(const cairn_recovery_t *r)
{
    char name[LEFTOVER_NAME_BYTES] = "";
    while (cairn_os->list(r->dir->fd, on_entry, name) >= 0 && name[0] != '\0') {
        if (cairn_os->unlink(r->dir->fd, name) < 0)
            return;
        name[0] = '\0';
    }
}

cairn_err_t cairn_recovery_settle_superseded(cairn_recovery_t *r)
{
    cairn_recovered_t *out = r->out;
    if (cairn_dir_is_memory(r->dir))
        return CAIRN_OK;
    remove_leftovers(r);
    if (r->superseded_count == 0)
        return CAIRN_OK;
    out->superseded = cairn_os->alloc(r->superseded_count * sizeof(*out->superseded));
    if (out->superseded == NULL)
        return cairn_recovery_fail(r, CAIRN_ERR_NOMEM, "no memory for the list of segments");
    for (size_t i = 0; i < r->superseded_count; ++i) {
        cairn_recovery_file_t *file = &r->files[r->count + i];
        cairn_segment_t *segment = file->segment;
        /* for who asks how large it is */
        atomic_store_explicit(&segment->end, segment->bytes - CAIRN_SEGMENT_FOOTER_BYTES,
                              memory_order_relaxed);
        atomic_store_explicit(&segment->sealed, true, memory_order_release);
        out->superseded[out->superseded_count++] = segment;
        file->segment = NULL;
    }
    r->superseded_count = 0;
    return CAIRN_OK;
}
