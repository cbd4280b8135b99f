/*
 * storage/quarantine.c - bytes that may have been acknowledged and that no reader is given.
 */
#include "storage/quarantine.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "storage/file.h"
#include "storage/os.h"

/** files are compared in pieces of this size */
#define COMPARE_BYTES 16384

void cairn_quarantine_name(char name[CAIRN_QUARANTINE_NAME_BYTES], const char *segment,
                           uint64_t offset, uint64_t version)
{
    snprintf(name, CAIRN_QUARANTINE_NAME_BYTES, "%s-%" PRIu64 "-%" PRIu64, segment, offset,
             version);
}

/** its descriptor, durably in the store's directory; a negative errno value */
static int open_durably(const cairn_dir_t *dir)
{
    int made = cairn_os->make_dir(dir->fd, CAIRN_QUARANTINE_NAME);
    if (made < 0 && made != -EEXIST)
        return made;
    int fd = cairn_os->open_subdir(dir->fd, CAIRN_QUARANTINE_NAME);
    int synced = fd < 0 ? 0 : cairn_os->sync_dir(dir->fd);
    if (synced >= 0)
        return fd;
    cairn_os->close(fd);
    return synced;
}

static cairn_err_t write_aside(int quarantine, const char *tmp, const void *bytes, uint64_t count)
{
    int fd = cairn_os->open(quarantine, tmp, O_WRONLY | O_CREAT | O_TRUNC);
    if (fd < 0)
        return cairn_file_err_of(fd);
    cairn_err_t err = cairn_file_write_all(fd, bytes, count, 0);
    if (err == CAIRN_OK)
        err = cairn_file_err_of(cairn_os->sync(fd));
    cairn_os->close(fd);
    return err;
}

cairn_err_t cairn_quarantine_keep(const cairn_dir_t *dir, const char *name, const void *bytes,
                                  uint64_t count)
{
    char tmp[CAIRN_QUARANTINE_NAME_BYTES + sizeof(CAIRN_TMP_SUFFIX)];
    int quarantine = open_durably(dir);
    if (quarantine < 0)
        return cairn_file_err_of(quarantine);
    snprintf(tmp, sizeof(tmp), "%s" CAIRN_TMP_SUFFIX, name);
    cairn_err_t err = write_aside(quarantine, tmp, bytes, count);
    if (err == CAIRN_OK)
        err = cairn_file_err_of(cairn_os->rename(quarantine, tmp, name));
    if (err == CAIRN_OK)
        err = cairn_file_err_of(cairn_os->sync_dir(quarantine));
    cairn_os->close(quarantine);
    return err;
}

/** compares two files that are open; what cannot be read is like nothing */
static bool content_is_same(int a, int b)
{
    uint8_t of_a[COMPARE_BYTES], of_b[COMPARE_BYTES];
    int64_t bytes = cairn_os->size(a);
    if (bytes < 0 || bytes != cairn_os->size(b))
        return false;
    for (int64_t at = 0; at < bytes; at += COMPARE_BYTES) {
        int64_t left = bytes - at, count = left < COMPARE_BYTES ? left : COMPARE_BYTES;
        if (cairn_os->pread(a, of_a, (size_t)count, (uint64_t)at) != count ||
            cairn_os->pread(b, of_b, (size_t)count, (uint64_t)at) != count ||
            memcmp(of_a, of_b, (size_t)count) != 0)
            return false;
    }
    return true;
}

/** whether what has this name in both directories is the same */
static bool is_same(const cairn_dir_t *dir, int quarantine, const char *name)
{
    int here = cairn_os->open(dir->fd, name, O_RDONLY);
    int there = cairn_os->open(quarantine, name, O_RDONLY);
    bool is_same = here >= 0 && there >= 0 && content_is_same(here, there);
    if (here >= 0)
        cairn_os->close(here);
    if (there >= 0)
        cairn_os->close(there);
    return is_same;
}

/** gives a file in quarantine/ the first name with a number that is free */
static int move_aside(int quarantine, const char *name)
{
    char numbered[CAIRN_QUARANTINE_NAME_BYTES];
    for (unsigned n = 1;; ++n) {
        snprintf(numbered, sizeof(numbered), "%s.%u", name, n);
        int fd = cairn_os->open(quarantine, numbered, O_RDONLY);
        if (fd == -ENOENT)
            return cairn_os->rename(quarantine, name, numbered);
        if (fd < 0)
            return fd;
        cairn_os->close(fd);
    }
}

cairn_err_t cairn_quarantine_link(const cairn_dir_t *dir, const char *name)
{
    int quarantine = open_durably(dir);
    if (quarantine < 0)
        return cairn_file_err_of(quarantine);
    int r = cairn_os->link(dir->fd, name, quarantine);
    if (r == -EEXIST && is_same(dir, quarantine, name)) {
        r = 0;
    } else if (r == -EEXIST) {
        r = move_aside(quarantine, name);
        if (r >= 0)
            r = cairn_os->link(dir->fd, name, quarantine);
    }
    if (r >= 0)
        r = cairn_os->sync_dir(quarantine);
    cairn_os->close(quarantine);
    return cairn_file_err_of(r);
}

static bool count_entry(void *ctx, const char *name)
{
    static const char suffix[] = CAIRN_TMP_SUFFIX;
    size_t bytes = strlen(name);
    bool is_tmp =
        bytes >= sizeof(suffix) - 1 && strcmp(name + bytes - (sizeof(suffix) - 1), suffix) == 0;
    *(uint64_t *)ctx += !is_tmp;
    return true;
}

uint64_t cairn_quarantine_count(const cairn_dir_t *dir)
{
    uint64_t count = 0;
    if (cairn_dir_is_memory(dir))
        return 0;
    int quarantine = cairn_os->open_subdir(dir->fd, CAIRN_QUARANTINE_NAME);
    if (quarantine < 0)
        return 0;
    cairn_os->list(quarantine, count_entry, &count);
    cairn_os->close(quarantine);
    return count;
}
