/*
 * The names on a simulated disk: as a process sees them, and as they would be after a cut.
 */
#include "tests/disk_sim_internal.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

name_t *disk_find_name(names_t *names, const char *name)
{
    for (size_t i = 0; i < names->count; ++i)
        if (names->list[i].inode != NULL && strcmp(names->list[i].name, name) == 0)
            return &names->list[i];
    return NULL;
}

void disk_free_changes(inode_t *inode)
{
    for (size_t i = 0; i < inode->change_count; ++i)
        free(inode->changes[i].bytes);
    inode->change_count = 0;
}

void disk_release(disk_sim_t *disk, inode_t *inode)
{
    if (inode == NULL || --inode->uses != 0)
        return;
    if (disk->last_synced == inode)
        disk->last_synced = NULL;
    disk_free_changes(inode);
    free(inode->changes);
    free(inode->durable);
    close(inode->memory);
    free(inode);
}

inode_t *disk_acquire(inode_t *inode)
{
    if (inode != NULL)
        ++inode->uses;
    return inode;
}

void disk_set_name(disk_sim_t *disk, names_t *names, const char *name, inode_t *inode)
{
    name_t *at = disk_find_name(names, name);
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
    at->inode = disk_acquire(inode);
    disk_release(disk, before);
}

void disk_apply_name_change(disk_sim_t *disk, names_t *names, const name_change_t *change)
{
    disk_set_name(disk, names, change->set, change->inode);
    if (change->cleared[0] != '\0')
        disk_set_name(disk, names, change->cleared, NULL);
}

void disk_change_names(disk_sim_t *disk, const char *set, const char *cleared, inode_t *inode)
{
    if (disk->name_change_count == disk->name_change_room) {
        disk->name_change_room = 2 * disk->name_change_room + 16;
        disk->name_changes = disk_must(
            realloc(disk->name_changes, disk->name_change_room * sizeof(*disk->name_changes)));
    }
    name_change_t *change = &disk->name_changes[disk->name_change_count++];
    snprintf(change->set, sizeof(change->set), "%s", set);
    snprintf(change->cleared, sizeof(change->cleared), "%s", cleared);
    change->inode = disk_acquire(inode);
    disk_apply_name_change(disk, &disk->names, change);
}

bool disk_is_in(const char *name, const char *directory)
{
    size_t count = strlen(directory);
    return strncmp(name, directory, count) == 0 && strchr(name + count, '/') == NULL;
}

void disk_sync_names(disk_sim_t *disk, const char *directory)
{
    size_t left = 0;
    for (size_t i = 0; i < disk->name_change_count; ++i) {
        name_change_t *change = &disk->name_changes[i];
        if (disk_is_in(change->set, directory)) {
            disk_apply_name_change(disk, &disk->durable_names, change);
            disk_release(disk, change->inode);
        } else {
            disk->name_changes[left++] = *change;
        }
    }
    disk->name_change_count = left;
}

void disk_forget_name_changes(disk_sim_t *disk)
{
    for (size_t i = 0; i < disk->name_change_count; ++i)
        disk_release(disk, disk->name_changes[i].inode);
    disk->name_change_count = 0;
}

void disk_forget_names(disk_sim_t *disk, names_t *names)
{
    for (size_t i = 0; i < names->count; ++i)
        disk_release(disk, names->list[i].inode);
    names->count = 0;
}
