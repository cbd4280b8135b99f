/*
 * storage/salvage.c - making a damaged store one that opens: in which order that is done.
 */
#include "storage/salvage.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "storage/checkpoint.h"
#include "storage/os.h"
#include "storage/quarantine.h"
#include "storage/salvage_internal.h"

cairn_err_t cairn_salvage_fail(cairn_salvage_t *s, cairn_err_t err, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int n = snprintf(s->errmsg, CAIRN_ERRMSG_BYTES, "salvage: ");
    vsnprintf(s->errmsg + n, CAIRN_ERRMSG_BYTES - (size_t)n, format, args);
    va_end(args);
    return err;
}

cairn_err_t cairn_salvage_progress(cairn_salvage_t *s, uint64_t bytes)
{
    s->bytes_done += bytes;
    if (s->bytes_done > s->bytes_total)
        s->bytes_done = s->bytes_total;
    if (s->options->on_progress != NULL &&
        !s->options->on_progress(s->options->ctx, s->bytes_done, s->bytes_total))
        return cairn_salvage_fail(s, CAIRN_ERR_CANCELLED, "stopped before it was done");
    return CAIRN_OK;
}

/* ---------------------------------------------------------------- which files there are */

static bool add_file(cairn_salvage_t *s, const cairn_salvage_file_t *file)
{
    if (s->count == s->room) {
        size_t room = s->room != 0 ? 2 * s->room : 64;
        cairn_salvage_file_t *files = cairn_os->alloc(room * sizeof(*files));
        if (files == NULL)
            return false;
        if (s->count != 0)
            memcpy(files, s->files, s->count * sizeof(*files));
        cairn_os->free(s->files);
        s->files = files;
        s->room = room;
    }
    s->files[s->count++] = *file;
    return true;
}

static bool on_entry(void *ctx, const char *name)
{
    cairn_salvage_t *s = ctx;
    cairn_salvage_file_t file = {.name_first = UINT64_MAX,
                                 .is_spare = strcmp(name, CAIRN_SPARE_NAME) == 0};
    if (!file.is_spare && !cairn_segment_name_parse(name, &file.name_first, &file.generation))
        return true;
    snprintf(file.name, sizeof(file.name), "%s", name);
    s->failed_to_list = !add_file(s, &file);
    return !s->failed_to_list;
}

static int in_order(const void *a, const void *b)
{
    const cairn_salvage_file_t *x = a, *y = b;
    if (x->is_superseded != y->is_superseded)
        return x->is_superseded ? 1 : -1;
    if (x->name_first != y->name_first)
        return x->name_first < y->name_first ? -1 : 1;
    return x->generation > y->generation ? -1 : x->generation < y->generation;
}

static void sort(cairn_salvage_t *s)
{
    if (s->count != 0)
        qsort(s->files, s->count, sizeof(*s->files), in_order);
}

/** as in an open; of one whose footer is not there it is not known how far it went */
static void set_superseded_aside(cairn_salvage_t *s)
{
    const cairn_salvage_file_t *cover = NULL;
    for (size_t i = 0; i < s->count; ++i) {
        cairn_salvage_file_t *file = &s->files[i];
        uint64_t covered = cover == NULL      ? 0
                           : cover->is_sealed ? cover->footer.range_last
                                              : cover->name_first;
        file->is_superseded =
            cover != NULL && file->generation < cover->generation && file->name_first <= covered;
        s->superseded_count += file->is_superseded;
        if (file->generation != 0 && !file->is_superseded)
            cover = file;
    }
    sort(s);
    s->count -= s->superseded_count;
}

static cairn_err_t open_files(cairn_salvage_t *s)
{
    uint64_t largest = s->options->segment_bytes;
    int listed = cairn_os->list(s->dir->fd, on_entry, s);
    if (s->failed_to_list)
        return cairn_salvage_fail(s, CAIRN_ERR_NOMEM, "no memory for the list of segments");
    if (listed < 0)
        return cairn_salvage_fail(s, CAIRN_ERR_IO, "the directory cannot be listed: %s",
                                  strerror(-listed));
    sort(s);
    for (size_t i = 0; i < s->count; ++i) {
        uint64_t bytes = cairn_segment_file_bytes(s->dir, s->files[i].name);
        s->bytes_total += bytes;
        if (bytes > largest)
            largest = bytes;
    }
    /* what is written may be as long as what it is made from, and a header and a footer more */
    s->space = cairn_space_create(largest + 2 * (uint64_t)CAIRN_SEGMENT_HEADER_BYTES);
    if (s->space == NULL)
        return cairn_salvage_fail(s, CAIRN_ERR_NOMEM, "no address space for the segments");
    cairn_err_t err = CAIRN_OK;
    for (size_t i = 0; i < s->count && err == CAIRN_OK; ++i)
        err = cairn_salvage_open(s, &s->files[i]);
    if (err == CAIRN_OK)
        set_superseded_aside(s);
    return err;
}

static void close_files(cairn_salvage_t *s)
{
    for (size_t i = 0; i < s->count + s->superseded_count; ++i)
        if (s->files[i].segment != NULL)
            cairn_segment_close(s->files[i].segment);
    if (s->space != NULL)
        cairn_space_destroy(s->space);
    cairn_os->free(s->files);
}

/* ---------------------------------------------------------------- what is wrong */

static cairn_err_t inspect(cairn_salvage_t *s)
{
    uint64_t last = 0;
    cairn_err_t err = CAIRN_OK;
    for (size_t i = 0; i < s->count && err == CAIRN_OK; ++i) {
        cairn_salvage_file_t *file = &s->files[i];
        err = cairn_salvage_inspect(s, file, last, i + 1 < s->count ? file + 1 : NULL);
        if (!file->is_unused)
            last = file->last;
    }
    /* they do not count, but one that is damaged may stand in the way, or be found once more: it
     * may be what an earlier salvage has replaced */
    for (size_t i = 0; i < s->superseded_count && err == CAIRN_OK; ++i) {
        cairn_salvage_file_t *file = &s->files[s->count + i];
        err = cairn_salvage_inspect(s, file, file->name_first - 1, NULL);
        file->is_damaged = file->is_damaged || file->is_unused;
    }
    return err;
}

/** the last version of the log as it is found */
static uint64_t last_found(const cairn_salvage_t *s)
{
    uint64_t last = 0;
    for (size_t i = 0; i < s->count; ++i)
        if (!s->files[i].is_unused)
            last = s->files[i].last;
    return last;
}

/** up to where the log went that STORE knows of: a file that is lost may have been full */
static uint64_t last_known(const cairn_salvage_t *s)
{
    uint64_t newest = 0, found = last_found(s), known = s->dir->durable_version;
    for (size_t i = 0; i < s->count; ++i) {
        const cairn_salvage_file_t *file = &s->files[i];
        uint64_t first = file->generation != 0 ? file->last : file->first;
        /* one that has its name and no record yet is there, as an open sees it */
        if (file->is_unused)
            first = file->is_spare ? 0 : file->name_first;
        if (first > newest)
            newest = first;
    }
    if (known <= found && s->dir->newest_first <= newest)
        return found;
    if (s->dir->newest_first > known)
        known = s->dir->newest_first;
    return known + s->options->segment_bytes / CAIRN_RECORD_BYTES_MIN;
}

static bool is_anything_wrong(const cairn_salvage_t *s)
{
    uint64_t last = 0;
    for (size_t i = 0; i < s->count + s->superseded_count; ++i)
        if (s->files[i].is_damaged)
            return true;
    for (size_t i = 0; i < s->count; ++i) {
        if (s->files[i].is_unused)
            continue;
        if (s->files[i].first > last + 1)
            return true;
        last = s->files[i].last;
    }
    return last_known(s) > last;
}

/* ---------------------------------------------------------------- keeping it */

/** what has been written to the spare is of the log: it gets its name, as at any start */
static cairn_err_t name_spare(cairn_salvage_t *s, cairn_salvage_file_t *file)
{
    char name[CAIRN_SEGMENT_NAME_BYTES];
    cairn_segment_name(name, file->first, 0);
    int renamed = cairn_os->rename(s->dir->fd, file->name, name);
    if (renamed < 0 || cairn_dir_sync(s->dir) != CAIRN_OK)
        return cairn_salvage_fail(s, CAIRN_ERR_IO, "%s: cannot be renamed to %s", file->name, name);
    snprintf(file->name, sizeof(file->name), "%s", name);
    return CAIRN_OK;
}

static cairn_err_t keep(cairn_salvage_t *s, cairn_salvage_file_t *file)
{
    cairn_err_t err = file->is_spare ? name_spare(s, file) : CAIRN_OK;
    if (err != CAIRN_OK)
        return err;
    err = cairn_quarantine_link(s->dir, file->name);
    return err == CAIRN_OK
               ? CAIRN_OK
               : cairn_salvage_fail(s, err, "%s: cannot be kept in " CAIRN_QUARANTINE_NAME "/: %s",
                                    file->name, cairn_strerror(err));
}

/** whether a damaged file is a copy of this one, which may still have what is damaged there */
static bool has_damaged_copy(const cairn_salvage_t *s, const cairn_salvage_file_t *file)
{
    if (!file->is_superseded)
        return false;
    for (size_t i = 0; i < s->count; ++i) {
        const cairn_salvage_file_t *copy = &s->files[i];
        if (copy->is_damaged && copy->generation != 0 && file->name_first >= copy->first &&
            file->name_first <= copy->last)
            return true;
    }
    return false;
}

static cairn_err_t keep_all(cairn_salvage_t *s)
{
    cairn_err_t err = CAIRN_OK;
    for (size_t i = 0; i < s->count + s->superseded_count && err == CAIRN_OK; ++i)
        if (s->files[i].is_damaged || has_damaged_copy(s, &s->files[i]))
            err = keep(s, &s->files[i]);
    return err;
}

/** it may point to what is not there any more */
static cairn_err_t drop_checkpoint(cairn_salvage_t *s)
{
    int removed = cairn_os->unlink(s->dir->fd, CAIRN_CHECKPOINT_NAME);
    if ((removed < 0 && removed != -ENOENT) || cairn_dir_sync(s->dir) != CAIRN_OK)
        return cairn_salvage_fail(s, CAIRN_ERR_IO, CAIRN_CHECKPOINT_NAME ": cannot be removed");
    return CAIRN_OK;
}

/* ---------------------------------------------------------------- replacing it */

static cairn_err_t replace(cairn_salvage_t *s, const cairn_salvage_file_t *file)
{
    cairn_err_t err = file->is_superseded ? CAIRN_OK : cairn_salvage_rewrite(s, file);
    if (err != CAIRN_OK)
        return err;
    /* found again after a power cut, it is superseded */
    int removed = cairn_os->unlink(s->dir->fd, file->name);
    if (removed < 0 || cairn_dir_sync(s->dir) != CAIRN_OK)
        return cairn_salvage_fail(s, CAIRN_ERR_IO, "%s: cannot be removed", file->name);
    return CAIRN_OK;
}

static cairn_err_t replace_all(cairn_salvage_t *s)
{
    static const cairn_chain_t unknown;
    uint64_t last = 0, known = last_known(s);
    cairn_err_t err = CAIRN_OK;
    for (size_t i = 0; i < s->count + s->superseded_count && err == CAIRN_OK; ++i) {
        const cairn_salvage_file_t *file = &s->files[i];
        bool counts = !file->is_superseded && !file->is_unused;
        if (counts && file->first > last + 1)
            err = cairn_salvage_fill(s, last + 1, file->first - 1,
                                     file->has_link ? &file->link.chain : &unknown);
        if (err == CAIRN_OK && file->is_damaged)
            err = replace(s, file);
        if (counts)
            last = file->last;
    }
    if (err == CAIRN_OK && known > last)
        err = cairn_salvage_fill(s, last + 1, known, &unknown);
    return err;
}

/**
 * STORE itself: it is written anew when the store has been opened, of what has been proven of it;
 * until then it stays as it is, and refuses to open.
 */
static cairn_err_t keep_store(cairn_salvage_t *s)
{
    int fd = cairn_os->open(s->dir->fd, CAIRN_STORE_NAME, O_RDONLY);
    cairn_err_t err = CAIRN_OK;
    if (fd >= 0) {
        cairn_os->close(fd);
        err = cairn_quarantine_link(s->dir, CAIRN_STORE_NAME);
    } else if (fd != -ENOENT) {
        err = CAIRN_ERR_IO;
    }
    if (err != CAIRN_OK)
        return cairn_salvage_fail(
            s, err, CAIRN_STORE_NAME ": cannot be kept in " CAIRN_QUARANTINE_NAME "/: %s",
            cairn_strerror(err));
    if (s->dir->store_is_right)
        cairn_health_log(s->health, CAIRN_LOG_ERROR,
                         "salvage: " CAIRN_STORE_NAME
                         ": one bit was wrong, and has been put right");
    else
        cairn_health_log(s->health, CAIRN_LOG_ERROR,
                         "salvage: " CAIRN_STORE_NAME
                         ": damaged or gone: whose store it is is said by %u other files, and that "
                         "the log went to version %" PRIu64
                         " at least; that no newer segment is lost is proven by none",
                         s->dir->proven_by, s->dir->durable_version);
    return CAIRN_OK;
}

cairn_err_t cairn_salvage(const cairn_dir_t *dir, const cairn_store_options_t *options,
                          cairn_health_t *health, char *errmsg)
{
    cairn_salvage_t s = {.dir = dir, .options = options, .health = health, .errmsg = errmsg};
    if (cairn_dir_is_memory(dir))
        return CAIRN_OK;
    cairn_err_t err = open_files(&s);
    if (err == CAIRN_OK)
        err = inspect(&s);
    bool is_wrong = err == CAIRN_OK && is_anything_wrong(&s);
    if (err == CAIRN_OK && cairn_dir_was_damaged(dir))
        err = keep_store(&s);
    else if (err == CAIRN_OK && !is_wrong)
        cairn_health_log(health, CAIRN_LOG_INFO, "salvage: nothing is damaged");
    if (is_wrong && err == CAIRN_OK)
        err = keep_all(&s);
    if (is_wrong && err == CAIRN_OK)
        err = drop_checkpoint(&s);
    if (is_wrong && err == CAIRN_OK)
        err = replace_all(&s);
    close_files(&s);
    return err;
}
