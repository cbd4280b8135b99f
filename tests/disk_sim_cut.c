/*
 * What a power cut leaves of the files and names of a simulated disk.
 */
#include "tests/disk_sim_internal.h"

#include <string.h>
#include <unistd.h>

outcome_t disk_draw_outcome(disk_sim_t *disk, const inode_t *inode)
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

void disk_make_room(inode_t *inode, uint64_t bytes)
{
    if (bytes <= inode->durable_room)
        return;
    inode->durable = disk_must(realloc(inode->durable, bytes));
    memset(inode->durable + inode->durable_room, 0, bytes - inode->durable_room);
    inode->durable_room = bytes;
}

static void write_durable(inode_t *inode, const outcome_t *o, size_t at)
{
    const change_t *c = &inode->changes[at];
    disk_make_room(inode, c->offset + c->count);
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

void disk_clear_behind_end(inode_t *inode)
{
    if (inode->durable_room != inode->durable_bytes)
        memset(inode->durable + inode->durable_bytes, 0,
               inode->durable_room - inode->durable_bytes);
}

void disk_settle(inode_t *inode, const outcome_t *o)
{
    for (size_t i = 0; i < inode->change_count; ++i) {
        const change_t *c = &inode->changes[i];
        if (!c->is_length) {
            write_durable(inode, o, i);
        } else if (has_reached(o, LENGTH_SECTOR, i)) {
            disk_make_room(inode, c->offset);
            inode->durable_bytes = c->offset;
            disk_clear_behind_end(inode);
        }
    }
    disk_clear_behind_end(inode);
    disk_free_changes(inode);
}

static bool is_zero(const uint8_t *from, size_t count)
{
    return from[0] == 0 && memcmp(from, from + 1, count - 1) == 0;
}

void disk_show_durable(inode_t *inode)
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
            disk_apply_name_change(disk, &disk->durable_names, &disk->name_changes[i]);
    disk_forget_name_changes(disk);
}

/** each inode that has a name, durably or not, once */
static void settle_files(disk_sim_t *disk, names_t *names)
{
    for (size_t i = 0; i < names->count; ++i) {
        inode_t *inode = names->list[i].inode;
        if (inode == NULL || inode->change_count == 0)
            continue;
        outcome_t o = disk_draw_outcome(disk, inode);
        disk_settle(inode, &o);
        inode->is_ahead = true;
    }
}

void disk_cut_locked(disk_sim_t *disk)
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
