/*
 * tests/loop_disk.c - a small disk of one's own: an image, a loop device, a file system on it.
 */
#include "tests/loop_disk.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include <linux/fiemap.h>
#include <linux/fs.h>

/** ext4 and XFS know the call under the same number; 2 leaves the log in memory unwritten */
#define SHUTDOWN _IOR('X', 125, uint32_t)
#define SHUTDOWN_NO_LOG_FLUSH 2

static bool fail(loop_disk_t *disk, const char *format, ...) __attribute__((format(printf, 2, 3)));

static bool fail(loop_disk_t *disk, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(disk->error, sizeof(disk->error), format, args);
    va_end(args);
    return false;
}

/** runs a command, quietly; its exit status is 0 */
static bool run(const char *format, ...) __attribute__((format(printf, 1, 2)));

static bool run(const char *format, ...)
{
    char command[900], quiet[960];
    va_list args;
    va_start(args, format);
    vsnprintf(command, sizeof(command), format, args);
    va_end(args);
    snprintf(quiet, sizeof(quiet), "%s >/dev/null 2>&1", command);
    return system(quiet) == 0;
}

static bool mount_it(loop_disk_t *disk)
{
    disk->is_mounted = run("mount -t %s -o loop %s %s", disk->type, disk->image, disk->mount);
    return disk->is_mounted || fail(disk, "no loop device, or no %s in this kernel", disk->type);
}

static bool unmount(loop_disk_t *disk)
{
    /* a process that was killed may hold it a moment longer */
    for (int tries = 0; disk->is_mounted && tries < 100; ++tries) {
        disk->is_mounted = umount2(disk->mount, 0) != 0 && errno != EINVAL;
        if (disk->is_mounted)
            usleep(20000);
    }
    return !disk->is_mounted || fail(disk, "%s stays mounted: %s", disk->mount, strerror(errno));
}

static bool make_image(loop_disk_t *disk, uint64_t bytes)
{
    int fd = open(disk->image, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    bool ok = fd >= 0 && ftruncate(fd, (off_t)bytes) == 0;
    if (fd >= 0)
        close(fd);
    if (!ok || mkdir(disk->mount, 0700) != 0)
        return fail(disk, "no image: %s", strerror(errno));
    return run("mkfs.%s -q %s", disk->type, disk->image) || fail(disk, "no mkfs.%s", disk->type);
}

/** the directory that all of it lies in goes */
static bool remove_dir(loop_disk_t *disk)
{
    if (disk->is_thin && umount2(disk->dir.path, 0) != 0)
        return fail(disk, "%s stays mounted: %s", disk->dir.path, strerror(errno));
    return temp_dir_remove(&disk->dir);
}

/** `room` is 0 for as much as there is */
static bool create(loop_disk_t *disk, const char *type, uint64_t bytes, uint64_t room,
                   temp_dir_place_t place)
{
    char size[32];
    *disk = (loop_disk_t){.is_mounted = false};
    snprintf(disk->type, sizeof(disk->type), "%s", type);
    if (geteuid() != 0)
        return fail(disk, "not root");
    if (!temp_dir_create(&disk->dir, place))
        return fail(disk, "no directory: %s", strerror(errno));
    snprintf(size, sizeof(size), "size=%llu", (unsigned long long)room);
    disk->is_thin = room != 0 && mount("none", disk->dir.path, "tmpfs", 0, size) == 0;
    bool has_room = room == 0 || disk->is_thin ||
                    fail(disk, "cannot mount a file system in memory: %s", strerror(errno));
    snprintf(disk->image, sizeof(disk->image), "%s/image", disk->dir.path);
    snprintf(disk->mount, sizeof(disk->mount), "%s/mount", disk->dir.path);
    if (has_room && make_image(disk, bytes) && mount_it(disk))
        return true;
    remove_dir(disk);
    return false;
}

bool loop_disk_create(loop_disk_t *disk, const char *type, uint64_t bytes, temp_dir_place_t place)
{
    return create(disk, type, bytes, 0, place);
}

bool loop_disk_create_thin(loop_disk_t *disk, const char *type, uint64_t bytes, uint64_t room)
{
    return create(disk, type, bytes, room, TEMP_DIR_IN_MEMORY);
}

static void ballast_path(const loop_disk_t *disk, char path[300])
{
    snprintf(path, 300, "%s/ballast", disk->dir.path);
}

bool loop_disk_fill_up(loop_disk_t *disk)
{
    static const char block[65536];
    char path[300];
    ballast_path(disk, path);
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0)
        return fail(disk, "no ballast: %s", strerror(errno));
    while (write(fd, block, sizeof(block)) > 0)
        ;
    bool is_full = errno == ENOSPC;
    close(fd);
    return is_full || fail(disk, "the ballast does not fill it: %s", strerror(errno));
}

bool loop_disk_give_back(loop_disk_t *disk)
{
    char path[300];
    ballast_path(disk, path);
    return unlink(path) == 0 || fail(disk, "the ballast stays: %s", strerror(errno));
}

bool loop_disk_destroy(loop_disk_t *disk)
{
    return unmount(disk) && remove_dir(disk);
}

bool loop_disk_remount(loop_disk_t *disk)
{
    return unmount(disk) && mount_it(disk);
}

bool loop_disk_cut_power(loop_disk_t *disk)
{
    uint32_t how = SHUTDOWN_NO_LOG_FLUSH;
    int fd = open(disk->mount, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    bool is_off = fd >= 0 && ioctl(fd, SHUTDOWN, &how) == 0;
    if (!is_off)
        fail(disk, "the power stays on: %s", strerror(errno));
    if (fd >= 0)
        close(fd);
    return is_off;
}

/** where on the disk a byte of the file lies; 0 if it cannot be told */
static uint64_t place_of(const char *path, uint64_t at)
{
    union {
        struct fiemap map;
        char room[sizeof(struct fiemap) + sizeof(struct fiemap_extent)];
    } query = {
        .map = {
            .fm_start = at, .fm_length = 1, .fm_extent_count = 1, .fm_flags = FIEMAP_FLAG_SYNC}};
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    bool is_told =
        fd >= 0 && ioctl(fd, FS_IOC_FIEMAP, &query) == 0 && query.map.fm_mapped_extents == 1;
    if (fd >= 0)
        close(fd);
    const struct fiemap_extent *extent = &query.map.fm_extents[0];
    return is_told ? extent->fe_physical + (at - extent->fe_logical) : 0;
}

bool loop_disk_lose_end_of(loop_disk_t *disk, const char *path, uint64_t from)
{
    uint64_t place = place_of(path, from);
    if (place == 0)
        return fail(disk, "%s: where it lies cannot be told", path);
    return truncate(disk->image, (off_t)place) == 0 ||
           fail(disk, "the image cannot be cut: %s", strerror(errno));
}
