/*
 * storage/recovery_files.c - which files there are, and how they fit together.
 */
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "storage/keytable.h"
#include "storage/os.h"
#include "storage/recovery_internal.h"

static bool add_file(cairn_recovery_t *r, const cairn_recovery_file_t *file)
{
    if (r->count == r->room) {
        size_t room = r->room != 0 ? 2 * r->room : 64;
        cairn_recovery_file_t *files = cairn_os->alloc(room * sizeof(*files));
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
    cairn_recovery_t *r = ctx;
    cairn_recovery_file_t file = {.is_spare = strcmp(name, CAIRN_SPARE_NAME) == 0};
    if (!file.is_spare && !cairn_segment_name_parse(name, &file.first_version, &file.generation))
        return true;
    if (file.is_spare)
        file.first_version = UINT64_MAX; /* it is the last one, if it is anything */
    snprintf(file.name, sizeof(file.name), "%s", name);
    r->failed_to_list = !add_file(r, &file);
    return !r->failed_to_list;
}

/**
 * Leaves the spare in the list only if the log has gone on in it. A blank one is made anew, header
 * and all: it may have been cut short while it was being made.
 */
static cairn_err_t consider_spare(cairn_recovery_t *r)
{
    cairn_recovery_file_t *last = r->count != 0 ? &r->files[r->count - 1] : NULL;
    if (last == NULL || !last->is_spare)
        return CAIRN_OK;
    bool blank;
    int err = cairn_segment_look_if_blank(r->dir, last->name, &blank);
    if (err < 0)
        return cairn_recovery_fail(r, CAIRN_ERR_IO, "%s: cannot be read: %s", last->name,
                                   strerror(-err));
    if (blank) {
        cairn_os->unlink(r->dir->fd, last->name);
        --r->count;
    }
    return CAIRN_OK;
}

cairn_err_t cairn_recovery_list_files(cairn_recovery_t *r)
{
    if (cairn_dir_is_memory(r->dir))
        return CAIRN_OK;
    int err = cairn_os->list(r->dir->fd, on_entry, r);
    if (r->failed_to_list)
        return cairn_recovery_fail(r, CAIRN_ERR_NOMEM, "no memory for the list of segments");
    if (err < 0)
        return cairn_recovery_fail(r, CAIRN_ERR_IO, "the directory cannot be listed: %s",
                                   strerror(-err));
    cairn_recovery_take_back(r); /* sorts them */
    return consider_spare(r);
}

static cairn_err_t make_space(cairn_recovery_t *r)
{
    uint64_t slot_bytes = r->options->segment_bytes;
    for (size_t i = 0; i < r->count; ++i) {
        uint64_t bytes = cairn_segment_file_bytes(r->dir, r->files[i].name);
        if (bytes > slot_bytes)
            slot_bytes = bytes;
    }
    if (r->source == CAIRN_RECOVERY_FROM_CHECKPOINT &&
        slot_bytes < (uint64_t)1 << r->image.header.slot_shift)
        slot_bytes = (uint64_t)1 << r->image.header.slot_shift;
    r->out->space = cairn_space_create(slot_bytes);
    if (r->out->space == NULL)
        return cairn_recovery_fail(
            r, CAIRN_ERR_NOMEM, "no address space for segments of %" PRIu64 " bytes", slot_bytes);
    if (r->source == CAIRN_RECOVERY_FROM_CHECKPOINT &&
        cairn_space_slot_shift(r->out->space) != r->image.header.slot_shift)
        return cairn_recovery_fail(r, CAIRN_ERR_CORRUPT,
                                   "its locations are for smaller segments than there are now");
    return CAIRN_OK;
}

/** the slots that the checkpoint names are left to those that it names */
static void leave_slots(cairn_recovery_t *r)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < r->image.header.segment_count; ++i)
        if (r->image.segments[i].slot >= count)
            count = r->image.segments[i].slot + 1;
    cairn_space_leave_slots(r->out->space, count);
}

static uint32_t slot_of(void *ctx, uint64_t salt)
{
    const cairn_checkpoint_segment_t *named = cairn_checkpoint_find(ctx, salt);
    return named != NULL ? named->slot : CAIRN_SLOT_ANY;
}

static cairn_err_t open_file(cairn_recovery_t *r, cairn_recovery_file_t *file)
{
    file->opened = (cairn_segment_open_t){.slot_of = slot_of, .ctx = &r->image};
    /* with a checkpoint only what is behind its position is read, and that from the disk */
    if (r->source != CAIRN_RECOVERY_FROM_CHECKPOINT)
        file->opened.closed = r->dir->closed;
    cairn_err_t err = cairn_segment_open(&file->segment, r->out->space, r->dir, file->name,
                                         &file->opened, r->errmsg);
    /* not by its name: a file that was renamed is found out */
    if (err == CAIRN_OK && file->segment->generation != file->generation && !file->is_spare)
        return cairn_recovery_fail(r, CAIRN_ERR_CORRUPT,
                                   "%s: its header says generation %" PRIu32
                                   ": give it its name back",
                                   file->name, file->segment->generation);
    return err;
}

/** those that count, in order */
static cairn_err_t list_counted(cairn_recovery_t *r)
{
    for (size_t i = 0; i < r->count; ++i) {
        if (cairn_segments_reserve(r->segments) != CAIRN_OK)
            return cairn_recovery_fail(r, CAIRN_ERR_NOMEM, "no memory for the list of segments");
        cairn_segments_add(r->segments, r->files[i].segment);
        cairn_segments_raise_dropped_version(r->segments, r->files[i].segment->dropped_version);
    }
    return CAIRN_OK;
}

cairn_err_t cairn_recovery_open_files(cairn_recovery_t *r)
{
    cairn_err_t err = make_space(r);
    if (err == CAIRN_OK)
        leave_slots(r);
    for (size_t i = 0; i < r->count && err == CAIRN_OK; ++i)
        err = open_file(r, &r->files[i]);
    if (err == CAIRN_OK)
        err = cairn_recovery_set_aside(r);
    if (err == CAIRN_OK)
        err = list_counted(r);
    return err;
}

void cairn_recovery_close_files(cairn_recovery_t *r)
{
    cairn_recovery_take_back(r);
    r->segments->count = 0;
    for (size_t i = 0; i < r->count; ++i) {
        cairn_recovery_file_t *file = &r->files[i];
        if (file->segment != NULL)
            cairn_segment_close(file->segment);
        file->segment = NULL;
        if (file->table != NULL)
            cairn_keytable_close(file->table);
        file->table = NULL;
        file->reading = CAIRN_READ_RECORDS;
        file->is_sealed = file->is_new_copy = false;
        memset(&file->scan, 0, sizeof(file->scan));
    }
    if (r->out->space != NULL)
        cairn_space_destroy(r->out->space);
    r->out->space = NULL;
}

/* ---------------------------------------------------------------- how the files fit together */

/** whether what came before is what its LINK knows. Compaction copies the chain; the file is
 * another one. A compacted segment has no LINK: that it covers the right versions must do */
static bool continues(const cairn_recovery_file_t *file, const cairn_recovery_file_t *previous)
{
    const cairn_link_t *link = &file->scan.link;
    if (file->generation != 0)
        return true;
    if (previous == NULL)
        return link->previous_first == 0;
    return memcmp(&link->chain, &previous->scan.chain, sizeof(link->chain)) == 0 &&
           (previous->generation != 0 || (link->previous_salt == previous->segment->salt &&
                                          link->previous_end == previous->scan.at));
}

cairn_err_t cairn_recovery_check_link(cairn_recovery_t *r, const cairn_recovery_file_t *file,
                                      const cairn_recovery_file_t *previous)
{
    uint64_t first = file->segment->first_version;
    if (!file->is_spare && first != file->first_version)
        return cairn_recovery_fail(r, CAIRN_ERR_CORRUPT,
                                   "%s: its records begin at version %" PRIx64
                                   " (hex), its name says otherwise: "
                                   "give it its name back",
                                   file->name, first);
    uint64_t before = previous != NULL ? previous->scan.last_version : 0;
    if (before + 1 < first)
        return cairn_recovery_fail(
            r, CAIRN_ERR_CORRUPT,
            "%s: begins at version %" PRIu64 ", but what there is before it ends at %" PRIu64
            ": a segment is missing, or the end of one is lost" CAIRN_RECOVERY_ADVICE,
            file->name, first, before);
    if (before + 1 != first || !continues(file, previous))
        return cairn_recovery_fail(
            r, CAIRN_ERR_CORRUPT,
            "%s: it does not continue the segment before it: files of different stores or "
            "times are mixed" CAIRN_RECOVERY_ADVICE,
            file->name);
    return CAIRN_OK;
}

bool cairn_recovery_is_unused(const cairn_recovery_t *r, const cairn_recovery_file_t *file)
{
    bool is_last = file == &r->files[r->count - 1];
    bool is_empty =
        !file->scan.has_link || file->scan.last_version + 1 == file->segment->first_version;
    return is_last && is_empty && !file->is_sealed;
}

/** first version of the newest file there is, whether there are records in it or not; in the range
 * of a compacted one others had theirs */
static uint64_t newest_first(const cairn_recovery_t *r)
{
    uint64_t newest = 0;
    for (size_t i = 0; i < r->count; ++i) {
        const cairn_recovery_file_t *file = &r->files[i];
        uint64_t first = file->generation != 0 ? file->opened.footer.range_last
                         : !file->is_spare     ? file->first_version
                         : file->scan.has_link ? file->segment->first_version
                                               : 0;
        if (first > newest)
            newest = first;
    }
    return newest;
}

cairn_err_t cairn_recovery_check_against_store(cairn_recovery_t *r)
{
    const cairn_dir_t *dir = r->dir;
    if (dir->newest_first > newest_first(r))
        return cairn_recovery_fail(r, CAIRN_ERR_CORRUPT,
                                   "the log ends at version %" PRIu64
                                   ", but it went on in %016" PRIx64
                                   "-0000.seg (STORE says so), which is lost" CAIRN_RECOVERY_ADVICE,
                                   r->out->last_version, dir->newest_first);
    if (dir->durable_version <= r->out->last_version)
        return CAIRN_OK;
    return cairn_recovery_fail(r, CAIRN_ERR_CORRUPT,
                               "the log ends at version %" PRIu64 ", but %" PRIu64
                               " was on disk (STORE says so): "
                               "the newest segment, %016" PRIx64
                               "-0000.seg or a later one, is lost or cut" CAIRN_RECOVERY_ADVICE,
                               r->out->last_version, dir->durable_version, dir->newest_first);
}
