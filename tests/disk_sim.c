/*
 * A disk whose power can be cut.
 */
#include "tests/disk_sim.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "storage/os.h"
#include "tests/seed.h"

#define SECTOR_BYTES 512
#define NAMES_MAX 256
#define NAME_BYTES 100
#define HANDLES_MAX 512
/** a descriptor is the disk's number + 1 shifted by this, and a handle; handle 0 is the directory
 */
#define HANDLE_SHIFT 12
/** the length of a file changes like a sector of its own */
#define LENGTH_SECTOR UINT64_MAX

/* a test cannot go on without memory, and none of these runs where it is staged to fail */
static void *must(void *base)
{
    if (base == NULL)
        abort();
    return base;
}

/** something done to a file since its last sync */
typedef struct st_change_t {
    bool is_length;  /* else a write */
    uint64_t offset; /* or the new length */
    size_t count;
    uint8_t *bytes;
} change_t;

typedef struct st_inode_t {
    int memory; /* what a process sees: a memory file */
    uint64_t bytes;
    bool is_readonly;
    bool is_directory;
    bool is_locked;
    bool is_ahead; /* a failed sync: `memory` shows what neither is durable nor will be */
    uint8_t *durable;
    uint64_t durable_bytes;
    uint64_t durable_room; /* zeroes behind durable_bytes */
    bool durable_is_readonly;
    change_t *changes;
    size_t change_count, change_room;
    uint64_t last_synced_sector; /* + 1; 0 for none */
    unsigned uses;               /* names, changes of names, handles */
} inode_t;

typedef struct st_name_t {
    char name[NAME_BYTES];
    inode_t *inode; /* NULL: nothing of that name */
} name_t;

typedef struct st_names_t {
    name_t list[NAMES_MAX];
    size_t count;
} names_t;

/** a change of names: `set` gets the inode, or none, and `cleared` gets none */
typedef struct st_name_change_t {
    char set[NAME_BYTES];
    char cleared[NAME_BYTES]; /* may be empty */
    inode_t *inode;
} name_change_t;

typedef struct st_handle_t {
    inode_t *inode;
    int flags;
    bool has_lock;
    char path[NAME_BYTES]; /* of a directory: its name, and a slash */
} handle_t;

struct st_disk_sim_t {
    unsigned id;
    char path[32];
    pthread_mutex_t mutex; /* guards all below */
    random_t random;
    names_t names;
    names_t durable_names;
    name_change_t *name_changes;
    size_t name_change_count, name_change_room;
    handle_t handles[HANDLES_MAX];
    inode_t *last_synced;
    disk_sim_plan_t plan;
    unsigned lies;
    bool was_killed;
    bool is_full;                  /* for the next write */
    _Atomic uint64_t changes_seen; /* changed under the mutex, read by anyone */
    _Atomic bool is_off;
    _Atomic bool has_failed;
};

static pthread_mutex_t disks_mutex = PTHREAD_MUTEX_INITIALIZER;
static disk_sim_t *disks[DISK_SIM_MAX]; /* guarded by disks_mutex where it changes */

/* ---------------------------------------------------------------- names */

static name_t *find_name(names_t *names, const char *name)
{
    for (size_t i = 0; i < names->count; ++i)
        if (names->list[i].inode != NULL && strcmp(names->list[i].name, name) == 0)
            return &names->list[i];
    return NULL;
}

static void free_changes(inode_t *inode)
{
    for (size_t i = 0; i < inode->change_count; ++i)
        free(inode->changes[i].bytes);
    inode->change_count = 0;
}

static void release(disk_sim_t *disk, inode_t *inode)
{
    if (inode == NULL || --inode->uses != 0)
        return;
    if (disk->last_synced == inode)
        disk->last_synced = NULL;
    free_changes(inode);
    free(inode->changes);
    free(inode->durable);
    close(inode->memory);
    free(inode);
}

static inode_t *acquire(inode_t *inode)
{
    if (inode != NULL)
        ++inode->uses;
    return inode;
}

static void set_name(disk_sim_t *disk, names_t *names, const char *name, inode_t *inode)
{
    name_t *at = find_name(names, name);
    if (at == NULL && inode == NULL)
        return;
    for (size_t i = 0; at == NULL && i < names->count; ++i)
        if (names->list[i].inode == NULL)
            at = &names->list[i];
    if (at == NULL) {
        if (names->count == NAMES_MAX)
            abort();
        at = &names->list[names->count++];
        at->inode = NULL;
    }
    inode_t *before = at->inode;
    snprintf(at->name, sizeof(at->name), "%s", name);
    at->inode = acquire(inode);
    release(disk, before);
}

static void apply_name_change(disk_sim_t *disk, names_t *names, const name_change_t *change)
{
    set_name(disk, names, change->set, change->inode);
    if (change->cleared[0] != '\0')
        set_name(disk, names, change->cleared, NULL);
}

static void change_names(disk_sim_t *disk, const char *set, const char *cleared, inode_t *inode)
{
    if (disk->name_change_count == disk->name_change_room) {
        disk->name_change_room = 2 * disk->name_change_room + 16;
        disk->name_changes =
            must(realloc(disk->name_changes, disk->name_change_room * sizeof(*disk->name_changes)));
    }
    name_change_t *change = &disk->name_changes[disk->name_change_count++];
    snprintf(change->set, sizeof(change->set), "%s", set);
    snprintf(change->cleared, sizeof(change->cleared), "%s", cleared);
    change->inode = acquire(inode);
    apply_name_change(disk, &disk->names, change);
}

/** whether a name is of this directory: "" is the disk's own */
static bool is_in(const char *name, const char *directory)
{
    size_t count = strlen(directory);
    return strncmp(name, directory, count) == 0 && strchr(name + count, '/') == NULL;
}

/** makes the changes of a directory's names durable, in order */
static void sync_names(disk_sim_t *disk, const char *directory)
{
    size_t left = 0;
    for (size_t i = 0; i < disk->name_change_count; ++i) {
        name_change_t *change = &disk->name_changes[i];
        if (is_in(change->set, directory)) {
            apply_name_change(disk, &disk->durable_names, change);
            release(disk, change->inode);
        } else {
            disk->name_changes[left++] = *change;
        }
    }
    disk->name_change_count = left;
}

static void forget_name_changes(disk_sim_t *disk)
{
    for (size_t i = 0; i < disk->name_change_count; ++i)
        release(disk, disk->name_changes[i].inode);
    disk->name_change_count = 0;
}

/* ---------------------------------------------------------------- what a cut leaves of a file */

typedef enum en_manner_t {
    ALL_REACHED_IT,
    NOTHING_REACHED_IT,
    FIRST_FEW,
    ONE_SECTOR_LOST,
    ONE_SECTOR_KEPT,
    FEW_SECTORS_LOST,
    EACH_OR_NOT,
    EACH_AT_SOME_TIME,
    MANNER_COUNT
} manner_t;

/** up to which change each sector has come */
typedef struct st_outcome_t {
    manner_t manner;
    size_t count;    /* of changes */
    uint64_t pick;   /* a number of changes, or a sector */
    uint64_t chance; /* for each sector mixed with its number */
} outcome_t;

static const outcome_t all_of_it = {.manner = ALL_REACHED_IT};

static outcome_t draw_outcome(disk_sim_t *disk, const inode_t *inode)
{
    outcome_t o = {.manner = (manner_t)random_below(&disk->random, MANNER_COUNT),
                   .count = inode->change_count,
                   .chance = random_next(&disk->random)};
    if (o.count == 0)
        return o;
    if (o.manner == FIRST_FEW) {
        o.pick = random_below(&disk->random, o.count + 1);
    } else {
        const change_t *c = &inode->changes[random_below(&disk->random, o.count)];
        o.pick = c->is_length || c->count == 0
                     ? LENGTH_SECTOR
                     : (c->offset + random_below(&disk->random, c->count)) / SECTOR_BYTES;
    }
    return o;
}

static bool has_reached(const outcome_t *o, uint64_t sector, size_t change)
{
    random_t own = random_from(o->chance, sector);
    switch (o->manner) {
    case ALL_REACHED_IT:
        return true;
    case NOTHING_REACHED_IT:
        return false;
    case FIRST_FEW:
        return change < o->pick;
    case ONE_SECTOR_LOST:
        return sector != o->pick;
    case ONE_SECTOR_KEPT:
        return sector == o->pick;
    case FEW_SECTORS_LOST:
        return random_below(&own, 8) != 0;
    case EACH_OR_NOT:
        return random_below(&own, 2) != 0;
    default:
        return change < random_below(&own, o->count + 1);
    }
}

static void make_room(inode_t *inode, uint64_t bytes)
{
    if (bytes <= inode->durable_room)
        return;
    inode->durable = must(realloc(inode->durable, bytes));
    memset(inode->durable + inode->durable_room, 0, bytes - inode->durable_room);
    inode->durable_room = bytes;
}

static void write_durable(inode_t *inode, const outcome_t *o, size_t at)
{
    const change_t *c = &inode->changes[at];
    make_room(inode, c->offset + c->count);
    for (uint64_t done = 0, n; done < c->count; done += n) {
        uint64_t offset = c->offset + done;
        n = SECTOR_BYTES - offset % SECTOR_BYTES;
        if (n > c->count - done)
            n = c->count - done;
        if (has_reached(o, offset / SECTOR_BYTES, at))
            memcpy(inode->durable + offset, c->bytes + done, n);
    }
    if (c->offset + c->count > inode->durable_bytes && has_reached(o, LENGTH_SECTOR, at))
        inode->durable_bytes = c->offset + c->count;
}

static void clear_behind_end(inode_t *inode)
{
    if (inode->durable_room != inode->durable_bytes)
        memset(inode->durable + inode->durable_bytes, 0,
               inode->durable_room - inode->durable_bytes);
}

/** makes durable what the outcome says and forgets the rest */
static void settle(inode_t *inode, const outcome_t *o)
{
    for (size_t i = 0; i < inode->change_count; ++i) {
        const change_t *c = &inode->changes[i];
        if (!c->is_length) {
            write_durable(inode, o, i);
        } else if (has_reached(o, LENGTH_SECTOR, i)) {
            make_room(inode, c->offset);
            inode->durable_bytes = c->offset;
            clear_behind_end(inode);
        }
    }
    clear_behind_end(inode);
    free_changes(inode);
}

static bool is_zero(const uint8_t *from, size_t count)
{
    return from[0] == 0 && memcmp(from, from + 1, count - 1) == 0;
}

/** shows a process what is durable */
static void show_durable(inode_t *inode)
{
    if (ftruncate(inode->memory, 0) != 0 ||
        ftruncate(inode->memory, (off_t)inode->durable_bytes) != 0)
        abort();
    for (uint64_t at = 0, n; at < inode->durable_bytes; at += n) {
        n = inode->durable_bytes - at < 4096 ? inode->durable_bytes - at : 4096;
        if (!is_zero(inode->durable + at, n) &&
            pwrite(inode->memory, inode->durable + at, n, (off_t)at) != (ssize_t)n)
            abort();
    }
    inode->bytes = inode->durable_bytes;
    inode->is_readonly = inode->durable_is_readonly;
    inode->is_ahead = false;
}

static void lose_synced_sector(disk_sim_t *disk)
{
    inode_t *inode = disk->last_synced;
    if (inode == NULL || inode->last_synced_sector == 0)
        return;
    uint64_t at = (inode->last_synced_sector - 1) * SECTOR_BYTES;
    if (at + SECTOR_BYTES <= inode->durable_bytes)
        memset(inode->durable + at, 0, SECTOR_BYTES);
    inode->is_ahead = true;
}

static void settle_names(disk_sim_t *disk)
{
    /* a journal keeps the first few; a file system without one, any */
    bool in_order = random_below(&disk->random, 2) == 0;
    size_t first_few = random_below(&disk->random, disk->name_change_count + 1);
    for (size_t i = 0; i < disk->name_change_count; ++i)
        if (in_order ? i < first_few : random_below(&disk->random, 2) != 0)
            apply_name_change(disk, &disk->durable_names, &disk->name_changes[i]);
    forget_name_changes(disk);
}

/** each inode that has a name, durably or not, once */
static void settle_files(disk_sim_t *disk, names_t *names)
{
    for (size_t i = 0; i < names->count; ++i) {
        inode_t *inode = names->list[i].inode;
        if (inode == NULL || inode->change_count == 0)
            continue;
        outcome_t o = draw_outcome(disk, inode);
        settle(inode, &o);
        inode->is_ahead = true;
    }
}

static void cut_locked(disk_sim_t *disk)
{
    if (atomic_load(&disk->is_off))
        return;
    atomic_store(&disk->is_off, true);
    disk->was_killed = disk->plan.only_kill;
    if (disk->was_killed)
        return;
    settle_names(disk);
    settle_files(disk, &disk->durable_names);
    if ((disk->lies & DISK_SIM_LIE_SECTOR) != 0)
        lose_synced_sector(disk);
}

/* ---------------------------------------------------------------- descriptors */

static disk_sim_t *disk_of(int fd)
{
    disk_sim_t *disk = disks[(fd >> HANDLE_SHIFT) - 1];
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
            disk->handles[i] = (handle_t){.inode = acquire(inode), .flags = flags};
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

/** counts a change; on CUT_SHORT the caller makes its change and then calls cut_locked() */
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
            must(realloc(inode->changes, inode->change_room * sizeof(*inode->changes)));
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
    change->bytes = must(malloc(limit));
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
    settle(inode, &all_of_it);
    inode->durable_is_readonly = inode->is_readonly;
    return 0;
}

/* ---------------------------------------------------------------- the table */

static int sim_open_dir(const char *path, bool create)
{
    (void)create;
    int fd = -ENOENT;
    pthread_mutex_lock(&disks_mutex);
    for (int i = 0; i < DISK_SIM_MAX; ++i)
        if (disks[i] != NULL && strcmp(disks[i]->path, path) == 0)
            fd = (i + 1) << HANDLE_SHIFT;
    pthread_mutex_unlock(&disks_mutex);
    return fd;
}

/* as a system does it: who is told of a name may open it, or remove it */
static int sim_list(int dir, cairn_os_entry_cb on_entry, void *ctx)
{
    disk_sim_t *disk = disk_of(dir);
    char directory[NAME_BYTES];
    size_t count = 0;
    char(*names)[NAME_BYTES] = must(malloc(NAMES_MAX * sizeof(*names)));
    snprintf(directory, sizeof(directory), "%s", handle_of(disk, dir)->path);
    for (size_t i = 0; i < disk->names.count; ++i) {
        const name_t *name = &disk->names.list[i];
        if (name->inode != NULL && is_in(name->name, directory))
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
        cut_locked(disk);
    if (f != WORKS || fails(disk, DISK_SIM_NAMES_EIO))
        return leave(disk, -EIO);
    if ((disk->lies & DISK_SIM_LIE_SYNC_DIR) == 0)
        sync_names(disk, handle_of(disk, dir)->path);
    return leave(disk, 0);
}

static int sim_rename(int dir, const char *from, const char *to)
{
    disk_sim_t *disk = disk_of(dir);
    char from_room[NAME_BYTES], to_room[NAME_BYTES];
    from = full_name(disk, dir, from, from_room);
    to = full_name(disk, dir, to, to_room);
    const name_t *name = find_name(&disk->names, from);
    if (name == NULL)
        return leave(disk, -ENOENT);
    fate_t f = fate(disk);
    if (f == NEVER_MADE || fails(disk, DISK_SIM_RENAME_EIO))
        return leave(disk, -EIO);
    change_names(disk, to, from, name->inode);
    if (f == CUT_SHORT)
        cut_locked(disk);
    return leave(disk, f == WORKS ? 0 : -EIO);
}

static int sim_unlink(int dir, const char *name)
{
    disk_sim_t *disk = disk_of(dir);
    char room[NAME_BYTES];
    name = full_name(disk, dir, name, room);
    if (find_name(&disk->names, name) == NULL)
        return leave(disk, -ENOENT);
    fate_t f = fate(disk);
    if (f != NEVER_MADE)
        change_names(disk, name, "", NULL);
    if (f == CUT_SHORT)
        cut_locked(disk);
    return leave(disk, f == WORKS ? 0 : -EIO);
}

static int open_locked(disk_sim_t *disk, const char *name, int flags)
{
    const name_t *found = find_name(&disk->names, name);
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
        inode = must(calloc(1, sizeof(*inode)));
        inode->memory = memfd_create("disk", MFD_CLOEXEC);
        if (inode->memory < 0)
            abort();
        inode->is_directory = (flags & O_DIRECTORY) != 0;
        change_names(disk, name, "", inode);
    } else if (changes) {
        set_length(inode, 0);
    }
    if (f == CUT_SHORT)
        cut_locked(disk);
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
    if (find_name(&disk->names, name) != NULL)
        return leave(disk, -EEXIST);
    int fd = open_locked(disk, name, O_RDWR | O_CREAT | O_DIRECTORY);
    if (fd < 0)
        return leave(disk, fd);
    handle_t *handle = handle_of(disk, fd);
    release(disk, handle->inode);
    *handle = (handle_t){0};
    return leave(disk, 0);
}

static int sim_open_subdir(int dir, const char *name)
{
    disk_sim_t *disk = disk_of(dir);
    const name_t *found = find_name(&disk->names, name);
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
    const name_t *found = find_name(&disk->names, full_name(disk, dir, name, room));
    if (found == NULL || find_name(&disk->names, to) != NULL)
        return leave(disk, found == NULL ? -ENOENT : -EEXIST);
    fate_t f = fate(disk);
    if (f == NEVER_MADE)
        return leave(disk, -EIO);
    change_names(disk, to, "", found->inode);
    if (f == CUT_SHORT)
        cut_locked(disk);
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
        release(disk, handle->inode);
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
        release(disk, handle->inode);
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
        cut_locked(disk);
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
        cut_locked(disk);
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
        cut_locked(disk);
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

static int sim_sync(int fd)
{
    disk_sim_t *disk = disk_of(fd);
    inode_t *inode = handle_of(disk, fd)->inode;
    fate_t f = fate(disk);
    if (f == CUT_SHORT)
        cut_locked(disk);
    if (f != WORKS)
        return leave(disk, -EIO);
    if (!fails(disk, DISK_SIM_SYNC_EIO))
        return leave(disk, sync_inode(disk, inode));
    outcome_t o = draw_outcome(disk, inode);
    settle(inode, &o);
    inode->is_ahead = true;
    return leave(disk, -EIO);
}

static int sim_drop_cache(int fd)
{
    disk_sim_t *disk = disk_of(fd);
    inode_t *inode = handle_of(disk, fd)->inode;
    if (inode->is_ahead && inode->change_count == 0 && !atomic_load(&disk->is_off) &&
        (disk->lies & DISK_SIM_LIE_DROP_CACHE) == 0)
        show_durable(inode);
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

/* ---------------------------------------------------------------- disks */

disk_sim_t *disk_sim_create(uint64_t seed)
{
    disk_sim_t *disk = must(calloc(1, sizeof(*disk)));
    pthread_mutex_init(&disk->mutex, NULL);
    disk->random = random_from(seed, 0);
    pthread_mutex_lock(&disks_mutex);
    while (disk->id < DISK_SIM_MAX && disks[disk->id] != NULL)
        ++disk->id;
    if (disk->id == DISK_SIM_MAX)
        abort();
    disks[disk->id] = disk;
    snprintf(disk->path, sizeof(disk->path), "simulated disk %u", disk->id);
    pthread_mutex_unlock(&disks_mutex);
    return disk;
}

static void forget_names(disk_sim_t *disk, names_t *names)
{
    for (size_t i = 0; i < names->count; ++i)
        release(disk, names->list[i].inode);
    names->count = 0;
}

void disk_sim_destroy(disk_sim_t *disk)
{
    pthread_mutex_lock(&disks_mutex);
    disks[disk->id] = NULL;
    pthread_mutex_unlock(&disks_mutex);
    forget_name_changes(disk);
    forget_names(disk, &disk->names);
    forget_names(disk, &disk->durable_names);
    free(disk->name_changes);
    pthread_mutex_destroy(&disk->mutex);
    free(disk);
}

const char *disk_sim_path(const disk_sim_t *disk)
{
    return disk->path;
}

/** what is durable in a directory is lost with it */
static void forget_lost_directories(disk_sim_t *disk)
{
    for (size_t i = 0; i < disk->names.count; ++i) {
        char directory[NAME_BYTES];
        name_t *name = &disk->names.list[i];
        const char *slash = name->inode != NULL ? strchr(name->name, '/') : NULL;
        if (slash == NULL)
            continue;
        snprintf(directory, sizeof(directory), "%.*s", (int)(slash - name->name), name->name);
        if (find_name(&disk->names, directory) == NULL) {
            set_name(disk, &disk->durable_names, name->name, NULL);
            set_name(disk, &disk->names, name->name, NULL);
        }
    }
}

/** after a power cut the names are the durable ones, and files show what was left of them */
static void power_on(disk_sim_t *disk)
{
    forget_names(disk, &disk->names);
    for (size_t i = 0; i < disk->durable_names.count; ++i) {
        name_t *name = &disk->durable_names.list[i];
        if (name->inode == NULL)
            continue;
        set_name(disk, &disk->names, name->name, name->inode);
        if (name->inode->is_ahead)
            show_durable(name->inode);
        name->inode->is_readonly = name->inode->durable_is_readonly;
    }
    forget_lost_directories(disk);
}

void disk_sim_start(disk_sim_t *disk, const disk_sim_plan_t *plan, unsigned lies)
{
    pthread_mutex_lock(&disk->mutex);
    for (int i = 0; i < HANDLES_MAX; ++i)
        if (disk->handles[i].inode != NULL)
            abort(); /* a store is open, or did not close what it opened */
    if (atomic_load(&disk->is_off) && !disk->was_killed)
        power_on(disk);
    disk->plan = *plan;
    disk->lies = lies;
    atomic_store(&disk->changes_seen, 0);
    disk->is_full = false;
    atomic_store(&disk->has_failed, false);
    atomic_store(&disk->is_off, false);
    pthread_mutex_unlock(&disk->mutex);
}

void disk_sim_cut(disk_sim_t *disk)
{
    pthread_mutex_lock(&disk->mutex);
    cut_locked(disk);
    pthread_mutex_unlock(&disk->mutex);
}

bool disk_sim_is_off(const disk_sim_t *disk)
{
    return atomic_load(&disk->is_off);
}

bool disk_sim_has_failed(const disk_sim_t *disk)
{
    return atomic_load(&disk->has_failed);
}

uint64_t disk_sim_changes(const disk_sim_t *disk)
{
    return atomic_load(&disk->changes_seen);
}

/* ---------------------------------------------------------------- damage */

disk_sim_t *disk_sim_copy(const disk_sim_t *from)
{
    disk_sim_t *disk = disk_sim_create(from->id);
    for (size_t i = 0; i < from->durable_names.count; ++i) {
        const name_t *name = &from->durable_names.list[i];
        if (name->inode == NULL)
            continue;
        inode_t *inode = must(calloc(1, sizeof(*inode)));
        inode->memory = memfd_create("disk", MFD_CLOEXEC);
        if (inode->memory < 0)
            abort();
        make_room(inode, name->inode->durable_bytes);
        if (name->inode->durable_bytes != 0)
            memcpy(inode->durable, name->inode->durable, name->inode->durable_bytes);
        inode->durable_bytes = name->inode->durable_bytes;
        inode->durable_is_readonly = name->inode->durable_is_readonly;
        inode->is_directory = name->inode->is_directory;
        inode->is_ahead = true;
        set_name(disk, &disk->durable_names, name->name, inode);
    }
    atomic_store(&disk->is_off, true); /* disk_sim_start() shows it */
    return disk;
}

bool disk_sim_file(const disk_sim_t *disk, size_t at, const char **name, uint64_t *bytes)
{
    for (size_t i = 0; i < disk->durable_names.count; ++i) {
        const name_t *found = &disk->durable_names.list[i];
        if (found->inode == NULL || found->inode->is_directory || at-- != 0)
            continue;
        *name = found->name;
        *bytes = found->inode->durable_bytes;
        return true;
    }
    return false;
}

static inode_t *durable_inode(disk_sim_t *disk, const char *name)
{
    name_t *found = find_name(&disk->durable_names, name);
    if (found == NULL)
        abort();
    found->inode->is_ahead = true;
    return found->inode;
}

void disk_sim_flip(disk_sim_t *disk, const char *name, uint64_t bit)
{
    durable_inode(disk, name)->durable[bit / 8] ^= (uint8_t)(1u << bit % 8);
}

void disk_sim_fill(disk_sim_t *disk, const char *name, uint64_t offset, uint64_t count,
                   uint8_t byte)
{
    inode_t *inode = durable_inode(disk, name);
    if (offset >= inode->durable_bytes)
        return;
    if (count > inode->durable_bytes - offset)
        count = inode->durable_bytes - offset;
    memset(inode->durable + offset, byte, count);
}

void disk_sim_shorten(disk_sim_t *disk, const char *name, uint64_t bytes)
{
    inode_t *inode = durable_inode(disk, name);
    inode->durable_bytes = bytes;
    clear_behind_end(inode);
}

void disk_sim_lose(disk_sim_t *disk, const char *name)
{
    set_name(disk, &disk->durable_names, name, NULL);
}
