/*
 * A disk whose power can be cut: the system calls on it.
 */
#include "tests/disk_sim_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "storage/os.h"

/** a descriptor is the disk's number + 1 shifted by this, and a handle; handle 0 is the directory
 */
#define HANDLE_SHIFT 12

/* ---------------------------------------------------------------- descriptors */

static disk_sim_t *disk_of(int fd)
{
    disk_sim_t *disk = disk_sims[(fd >> HANDLE_SHIFT) - 1];
    pthread_mutex_lock(&disk->mutex);
    return disk;
}

static int leave(disk_sim_t *disk, int result)
{
    pthread_mutex_unlock(&disk->mutex);
    return result;
}

static handle_t *handle_of(disk_sim_t *disk, int fd)
{
    return &disk->handles[fd & ((1 << HANDLE_SHIFT) - 1)];
}

/** the name on the disk of what a directory knows by this name */
static const char *full_name(disk_sim_t *disk, int dir, const char *name, char room[NAME_BYTES])
{
    size_t count = strlen(handle_of(disk, dir)->path);
    if (count + strlen(name) >= NAME_BYTES)
        abort();
    memcpy(room, handle_of(disk, dir)->path, count);
    memcpy(room + count, name, strlen(name) + 1);
    return room;
}

static int new_handle(disk_sim_t *disk, inode_t *inode, int flags)
{
    for (int i = 1; i < HANDLES_MAX; ++i)
        if (disk->handles[i].inode == NULL) {
            disk->handles[i] = (handle_t){.inode = disk_acquire(inode), .flags = flags};
            return (int)(disk->id + 1) << HANDLE_SHIFT | i;
        }
    return -EMFILE;
}

/* ---------------------------------------------------------------- changing files */

typedef enum en_fate_t {
    WORKS,
    CUT_SHORT, /* done, as far as the process that made it will ever know it */
    NEVER_MADE /* the process is dead */
} fate_t;

/** counts a change; on CUT_SHORT the caller makes its change and then calls disk_cut_locked() */
static fate_t fate(disk_sim_t *disk)
{
    if (atomic_load(&disk->is_off))
        return NEVER_MADE;
    uint64_t n = atomic_fetch_add(&disk->changes_seen, 1) + 1;
    return n == disk->plan.cut_at ? CUT_SHORT : WORKS;
}

static bool fails(disk_sim_t *disk, disk_sim_fault_t fault)
{
    if (disk->plan.fault != fault || disk->plan.fault_at == 0 ||
        atomic_load(&disk->changes_seen) < disk->plan.fault_at || atomic_load(&disk->has_failed))
        return false;
    atomic_store(&disk->has_failed, true);
    return true;
}

static change_t *new_change(inode_t *inode)
{
    if (inode->change_count == inode->change_room) {
        inode->change_room = 2 * inode->change_room + 8;
        inode->changes =
            disk_must(realloc(inode->changes, inode->change_room * sizeof(*inode->changes)));
    }
    change_t *change = &inode->changes[inode->change_count++];
    *change = (change_t){0};
    return change;
}

static void set_length(inode_t *inode, uint64_t bytes)
{
    change_t *change = new_change(inode);
    change->is_length = true;
    change->offset = bytes;
    if (ftruncate(inode->memory, (off_t)bytes) != 0)
        abort();
    inode->bytes = bytes;
}

/** writes the first `limit` bytes */
static void write_bytes(inode_t *inode, const struct iovec *iov, int count, uint64_t offset,
                        size_t limit)
{
    if (limit == 0)
        return;
    change_t *change = new_change(inode);
    change->offset = offset;
    change->bytes = disk_must(malloc(limit));
    for (int i = 0; i < count && change->count < limit; ++i) {
        size_t n = limit - change->count < iov[i].iov_len ? limit - change->count : iov[i].iov_len;
        if (n != 0)
            memcpy(change->bytes + change->count, iov[i].iov_base, n);
        change->count += n;
    }
    if (pwrite(inode->memory, change->bytes, limit, (off_t)offset) != (ssize_t)limit)
        abort();
    if (offset + limit > inode->bytes)
        inode->bytes = offset + limit;
}

static const outcome_t all_of_it = {.manner = ALL_REACHED_IT};

static int sync_inode(disk_sim_t *disk, inode_t *inode)
{
    if ((disk->lies & DISK_SIM_LIE_SYNC) != 0)
        return 0;
    for (size_t i = 0; i < inode->change_count; ++i) {
        const change_t *c = &inode->changes[i];
        if (!c->is_length && c->count != 0) {
            disk->last_synced = inode;
            inode->last_synced_sector =
                1 + (c->offset + random_below(&disk->random, c->count)) / SECTOR_BYTES;
        }
    }
    disk_settle(inode, &all_of_it);
    inode->durable_is_readonly = inode->is_readonly;
    return 0;
}

/* ---------------------------------------------------------------- the table */

static int sim_open_dir(const char *path, bool create)
{
    (void)create;
    int fd = -ENOENT;
    pthread_mutex_lock(&disk_sims_mutex);
    for (int i = 0; i < DISK_SIM_MAX; ++i)
        if (disk_sims[i] != NULL && strcmp(disk_sims[i]->path, path) == 0)
            fd = (i + 1) << HANDLE_SHIFT;
    pthread_mutex_unlock(&disk_sims_mutex);
    return fd;
}

/* as a system does it: who is told of a name may open it, or remove it */
static int sim_list(int dir, cairn_os_entry_cb on_entry, void *ctx)
{
    disk_sim_t *disk = disk_of(dir);
    char directory[NAME_BYTES];
    size_t count = 0;
    char(*names)[NAME_BYTES] = disk_must(malloc(NAMES_MAX * sizeof(*names)));
    snprintf(directory, sizeof(directory), "%s", handle_of(disk, dir)->path);
    for (size_t i = 0; i < disk->names.count; ++i) {
        const name_t *name = &disk->names.list[i];
        if (name->inode != NULL && disk_is_in(name->name, directory))
            memcpy(names[count++], name->name, NAME_BYTES);
    }
    int result = leave(disk, 0);
    for (size_t i = 0; i < count; ++i)
        if (!on_entry(ctx, names[i] + strlen(directory)))
            break;
    free(names);
    return result;
}

static int sim_sync_dir(int dir)
{
    disk_sim_t *disk = disk_of(dir);
    fate_t f = fate(disk);
    if (f == CUT_SHORT)
        disk_cut_locked(disk);
    if (f != WORKS || fails(disk, DISK_SIM_NAMES_EIO))
        return leave(disk, -EIO);
    if ((disk->lies & DISK_SIM_LIE_SYNC_DIR) == 0)
        disk_sync_names(disk, handle_of(disk, dir)->path);
    return leave(disk, 0);
}

static int sim_rename(int dir, const char *from, const char *to)
{
    disk_sim_t *disk = disk_of(dir);
    char from_room[NAME_BYTES], to_room[NAME_BYTES];
    from = full_name(disk, dir, from, from_room);
    to = full_name(disk, dir, to, to_room);
    const name_t *name = disk_find_name(&disk->names, from);
    if (name == NULL)
        return leave(disk, -ENOENT);
    fate_t f = fate(disk);
    if (f == NEVER_MADE || fails(disk, DISK_SIM_RENAME_EIO))
        return leave(disk, -EIO);
    disk_change_names(disk, to, from, name->inode);
    if (f == CUT_SHORT)
        disk_cut_locked(disk);
    return leave(disk, f == WORKS ? 0 : -EIO);
}

static int sim_unlink(int dir, const char *name)
{
    disk_sim_t *disk = disk_of(dir);
    char room[NAME_BYTES];
    name = full_name(disk, dir, name, room);
    if (disk_find_name(&disk->names, name) == NULL)
        return leave(disk, -ENOENT);
    fate_t f = fate(disk);
    if (f != NEVER_MADE)
        disk_change_names(disk, name, "", NULL);
    if (f == CUT_SHORT)
        disk_cut_locked(disk);
    return leave(disk, f == WORKS ? 0 : -EIO);
}

static int open_locked(disk_sim_t *disk, const char *name, int flags)
{
    const name_t *found = disk_find_name(&disk->names, name);
    inode_t *inode = found != NULL ? found->inode : NULL;
    bool changes = inode == NULL ? (flags & O_CREAT) != 0 : (flags & O_TRUNC) != 0;
    if (inode == NULL && !changes)
        return -ENOENT;
    if (inode != NULL && (flags & O_EXCL) != 0)
        return -EEXIST;
    if (inode != NULL && inode->is_readonly && (flags & O_ACCMODE) != O_RDONLY)
        return -EACCES;
    fate_t f = changes ? fate(disk) : WORKS;
    if (f == NEVER_MADE)
        return -EIO;
    if (inode == NULL) {
        inode = disk_must(calloc(1, sizeof(*inode)));
        inode->memory = memfd_create("disk", MFD_CLOEXEC);
        if (inode->memory < 0)
            abort();
        inode->is_directory = (flags & O_DIRECTORY) != 0;
        disk_change_names(disk, name, "", inode);
    } else if (changes) {
        set_length(inode, 0);
    }
    if (f == CUT_SHORT)
        disk_cut_locked(disk);
    return f == WORKS ? new_handle(disk, inode, flags) : -EIO;
}

static int sim_open(int dir, const char *name, int flags)
{
    disk_sim_t *disk = disk_of(dir);
    char room[NAME_BYTES];
    return leave(disk, open_locked(disk, full_name(disk, dir, name, room), flags));
}

static int sim_make_dir(int dir, const char *name)
{
    disk_sim_t *disk = disk_of(dir);
    if (disk_find_name(&disk->names, name) != NULL)
        return leave(disk, -EEXIST);
    int fd = open_locked(disk, name, O_RDWR | O_CREAT | O_DIRECTORY);
    if (fd < 0)
        return leave(disk, fd);
    handle_t *handle = handle_of(disk, fd);
    disk_release(disk, handle->inode);
    *handle = (handle_t){0};
    return leave(disk, 0);
}

static int sim_open_subdir(int dir, const char *name)
{
    disk_sim_t *disk = disk_of(dir);
    const name_t *found = disk_find_name(&disk->names, name);
    if (found == NULL || !found->inode->is_directory)
        return leave(disk, found == NULL ? -ENOENT : -ENOTDIR);
    int fd = new_handle(disk, found->inode, O_RDONLY);
    if (fd >= 0)
        snprintf(handle_of(disk, fd)->path, NAME_BYTES, "%.90s/", name);
    return leave(disk, fd);
}

static int sim_link(int dir, const char *name, int to_dir)
{
    disk_sim_t *disk = disk_of(dir);
    char room[NAME_BYTES], to_room[NAME_BYTES];
    const char *to = full_name(disk, to_dir, name, to_room);
    const name_t *found = disk_find_name(&disk->names, full_name(disk, dir, name, room));
    if (found == NULL || disk_find_name(&disk->names, to) != NULL)
        return leave(disk, found == NULL ? -ENOENT : -EEXIST);
    fate_t f = fate(disk);
    if (f == NEVER_MADE)
        return leave(disk, -EIO);
    disk_change_names(disk, to, "", found->inode);
    if (f == CUT_SHORT)
        disk_cut_locked(disk);
    return leave(disk, f == WORKS ? 0 : -EIO);
}

static int sim_lock(int dir, const char *name)
{
    disk_sim_t *disk = disk_of(dir);
    int fd = open_locked(disk, name, O_RDWR | O_CREAT);
    if (fd < 0)
        return leave(disk, fd);
    handle_t *handle = handle_of(disk, fd);
    if (handle->inode->is_locked) {
        disk_release(disk, handle->inode);
        *handle = (handle_t){0};
        return leave(disk, -EWOULDBLOCK);
    }
    handle->inode->is_locked = handle->has_lock = true;
    return leave(disk, fd);
}

static int sim_memory_file(const char *name)
{
    (void)name;
    return -ENOTSUP; /* a store in memory has no disk to lose */
}

static int sim_close(int fd)
{
    disk_sim_t *disk = disk_of(fd);
    handle_t *handle = handle_of(disk, fd);
    if (handle->inode != NULL) {
        if (handle->has_lock)
            handle->inode->is_locked = false;
        disk_release(disk, handle->inode);
        *handle = (handle_t){0};
    }
    return leave(disk, 0);
}

static int64_t sim_size(int fd)
{
    disk_sim_t *disk = disk_of(fd);
    int64_t bytes = (int64_t)handle_of(disk, fd)->inode->bytes;
    leave(disk, 0);
    return bytes;
}

static int change_length(int fd, uint64_t bytes, bool only_longer)
{
    disk_sim_t *disk = disk_of(fd);
    inode_t *inode = handle_of(disk, fd)->inode;
    fate_t f = fate(disk);
    if (f == NEVER_MADE)
        return leave(disk, -EIO);
    if (only_longer && fails(disk, DISK_SIM_RESERVE_FULL))
        return leave(disk, -ENOSPC);
    if (!only_longer || bytes > inode->bytes)
        set_length(inode, bytes);
    if (f == CUT_SHORT)
        disk_cut_locked(disk);
    return leave(disk, f == WORKS ? 0 : -EIO);
}

static int sim_preallocate(int fd, uint64_t bytes)
{
    return change_length(fd, bytes, true);
}

static int sim_truncate(int fd, uint64_t bytes)
{
    return change_length(fd, bytes, false);
}

static int sim_make_readonly(int fd)
{
    disk_sim_t *disk = disk_of(fd);
    fate_t f = fate(disk);
    if (f != NEVER_MADE) {
        inode_t *inode = handle_of(disk, fd)->inode;
        inode->is_readonly = true;
        /* nobody syncs it: it may last or not */
        inode->durable_is_readonly = random_below(&disk->random, 2) == 0;
    }
    if (f == CUT_SHORT)
        disk_cut_locked(disk);
    return leave(disk, f == WORKS ? 0 : -EIO);
}

static int64_t sim_pread(int fd, void *base, size_t count, uint64_t offset)
{
    disk_sim_t *disk = disk_of(fd);
    int64_t n = pread(handle_of(disk, fd)->inode->memory, base, count, (off_t)offset);
    int err = errno;
    leave(disk, 0);
    return n < 0 ? -err : n;
}

static int64_t pwritev_locked(disk_sim_t *disk, const handle_t *handle, const struct iovec *iov,
                              int iov_count, uint64_t offset)
{
    size_t bytes = 0;
    for (int i = 0; i < iov_count; ++i)
        bytes += iov[i].iov_len;
    if ((handle->flags & O_ACCMODE) == O_RDONLY)
        return -EBADF;
    fate_t f = fate(disk);
    if (f == NEVER_MADE)
        return -EIO;
    bool is_full = disk->is_full || fails(disk, DISK_SIM_WRITE_FULL);
    disk->is_full = false;
    if (is_full)
        return -ENOSPC;
    bool is_short = bytes > 1 && fails(disk, DISK_SIM_SHORT_WRITE);
    if (bytes > 1 && fails(disk, DISK_SIM_SHORT_THEN_FULL))
        is_short = disk->is_full = true;
    bool has_error = fails(disk, DISK_SIM_WRITE_EIO);
    size_t limit =
        is_short || has_error ? 1 + random_below(&disk->random, bytes - is_short) : bytes;
    write_bytes(handle->inode, iov, iov_count, offset, limit);
    if (f == CUT_SHORT)
        disk_cut_locked(disk);
    if (is_short && (disk->lies & DISK_SIM_LIE_SHORT) != 0)
        limit = bytes;
    return f == WORKS && !has_error ? (int64_t)limit : -EIO;
}

static int64_t sim_pwritev(int fd, const struct iovec *iov, int iov_count, uint64_t offset)
{
    disk_sim_t *disk = disk_of(fd);
    int64_t n = pwritev_locked(disk, handle_of(disk, fd), iov, iov_count, offset);
    leave(disk, 0);
    return n;
}

static int sim_read_ahead(int fd, uint64_t offset, uint64_t bytes)
{
    (void)fd;
    (void)offset;
    (void)bytes;
    return 0;
}

static int sim_sync(int fd)
{
    disk_sim_t *disk = disk_of(fd);
    inode_t *inode = handle_of(disk, fd)->inode;
    fate_t f = fate(disk);
    if (f == CUT_SHORT)
        disk_cut_locked(disk);
    if (f != WORKS)
        return leave(disk, -EIO);
    if (!fails(disk, DISK_SIM_SYNC_EIO))
        return leave(disk, sync_inode(disk, inode));
    outcome_t o = disk_draw_outcome(disk, inode);
    disk_settle(inode, &o);
    inode->is_ahead = true;
    return leave(disk, -EIO);
}

static int sim_drop_cache(int fd)
{
    disk_sim_t *disk = disk_of(fd);
    inode_t *inode = handle_of(disk, fd)->inode;
    if (inode->is_ahead && inode->change_count == 0 && !atomic_load(&disk->is_off) &&
        (disk->lies & DISK_SIM_LIE_DROP_CACHE) == 0)
        disk_show_durable(inode);
    return leave(disk, 0);
}

static bool sim_overwrites_in_place(int fd)
{
    disk_sim_t *disk = disk_of(fd);
    return leave(disk, random_below(&disk->random, 4) == 0);
}

static int sim_map(void *at, size_t bytes, int fd)
{
    disk_sim_t *disk = disk_of(fd);
    return leave(disk, cairn_os_real.map(at, bytes, handle_of(disk, fd)->inode->memory));
}

static int sim_will_need(const void *base, size_t bytes)
{
    (void)base;
    (void)bytes;
    return 0; /* it is all memory */
}

static bool sim_is_resident(const void *base, size_t bytes)
{
    (void)base;
    (void)bytes;
    return true;
}

static cairn_os_t table;

void disk_sim_install(void)
{
    table = cairn_os_real;
    table.open_dir = sim_open_dir;
    table.list = sim_list;
    table.sync_dir = sim_sync_dir;
    table.rename = sim_rename;
    table.unlink = sim_unlink;
    table.make_dir = sim_make_dir;
    table.open_subdir = sim_open_subdir;
    table.link = sim_link;
    table.lock = sim_lock;
    table.open = sim_open;
    table.memory_file = sim_memory_file;
    table.close = sim_close;
    table.size = sim_size;
    table.preallocate = sim_preallocate;
    table.truncate = sim_truncate;
    table.make_readonly = sim_make_readonly;
    table.pread = sim_pread;
    table.pwritev = sim_pwritev;
    table.read_ahead = sim_read_ahead;
    table.sync = sim_sync;
    table.drop_cache = sim_drop_cache;
    table.overwrites_in_place = sim_overwrites_in_place;
    table.map = sim_map;
    table.will_need = sim_will_need;
    table.is_resident = sim_is_resident;
    cairn_os = &table;
}

void disk_sim_remove(void)
{
    cairn_os = &cairn_os_real;
}
