/*
 * Simulated disks from beginning to end: made, switched on and off, copied, damaged.
 */
#include "tests/disk_sim_internal.h"

#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

pthread_mutex_t disk_sims_mutex = PTHREAD_MUTEX_INITIALIZER;
disk_sim_t *disk_sims[DISK_SIM_MAX];

/* ---------------------------------------------------------------- disks */

disk_sim_t *disk_sim_create(uint64_t seed)
{
    disk_sim_t *disk = disk_must(calloc(1, sizeof(*disk)));
    pthread_mutex_init(&disk->mutex, NULL);
    disk->random = random_from(seed, 0);
    pthread_mutex_lock(&disk_sims_mutex);
    while (disk->id < DISK_SIM_MAX && disk_sims[disk->id] != NULL)
        ++disk->id;
    if (disk->id == DISK_SIM_MAX)
        abort();
    disk_sims[disk->id] = disk;
    snprintf(disk->path, sizeof(disk->path), "simulated disk %u", disk->id);
    pthread_mutex_unlock(&disk_sims_mutex);
    return disk;
}

void disk_sim_destroy(disk_sim_t *disk)
{
    pthread_mutex_lock(&disk_sims_mutex);
    disk_sims[disk->id] = NULL;
    pthread_mutex_unlock(&disk_sims_mutex);
    disk_forget_name_changes(disk);
    disk_forget_names(disk, &disk->names);
    disk_forget_names(disk, &disk->durable_names);
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
        if (disk_find_name(&disk->names, directory) == NULL) {
            disk_set_name(disk, &disk->durable_names, name->name, NULL);
            disk_set_name(disk, &disk->names, name->name, NULL);
        }
    }
}

/** after a power cut the names are the durable ones, and files show what was left of them */
static void power_on(disk_sim_t *disk)
{
    disk_forget_names(disk, &disk->names);
    for (size_t i = 0; i < disk->durable_names.count; ++i) {
        name_t *name = &disk->durable_names.list[i];
        if (name->inode == NULL)
            continue;
        disk_set_name(disk, &disk->names, name->name, name->inode);
        if (name->inode->is_ahead)
            disk_show_durable(name->inode);
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
    disk_cut_locked(disk);
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
        inode_t *inode = disk_must(calloc(1, sizeof(*inode)));
        inode->memory = memfd_create("disk", MFD_CLOEXEC);
        if (inode->memory < 0)
            abort();
        disk_make_room(inode, name->inode->durable_bytes);
        if (name->inode->durable_bytes != 0)
            memcpy(inode->durable, name->inode->durable, name->inode->durable_bytes);
        inode->durable_bytes = name->inode->durable_bytes;
        inode->durable_is_readonly = name->inode->durable_is_readonly;
        inode->is_directory = name->inode->is_directory;
        inode->is_ahead = true;
        disk_set_name(disk, &disk->durable_names, name->name, inode);
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
    name_t *found = disk_find_name(&disk->durable_names, name);
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
    disk_clear_behind_end(inode);
}

void disk_sim_lose(disk_sim_t *disk, const char *name)
{
    disk_set_name(disk, &disk->durable_names, name, NULL);
}
