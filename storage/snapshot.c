/*
 * storage/snapshot.c - a store as it was at one version.
 *
 * In order: the writer rolls; maintenance seals what it has left; the sealed segments are pinned,
 * so that compaction leaves their files; `snapshots/NAME.tmp` is made, linked into and synced; it
 * is renamed. If compaction has meanwhile left records out of a segment that only newer writes
 * supersede than the snapshot will have, it begins anew with another roll. A crash before the
 * rename leaves a directory that nobody takes for a snapshot, and that the next start removes. The
 * thread is offline to QSBR meanwhile: it waits for the disk.
 */
#include "storage/snapshot.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "index/qsbr.h"
#include "storage/feed.h"
#include "storage/keytable.h"
#include "storage/os.h"
#include "storage/store_internal.h"

#define SNAPSHOTS_NAME "snapshots"
#define TMP_SUFFIX ".tmp"
#define TMP_NAME_BYTES (CAIRN_SNAPSHOT_NAME_BYTES_MAX + sizeof(TMP_SUFFIX))

static cairn_err_t err_of(int r)
{
    switch (r) {
    case 0:
        return CAIRN_OK;
    case -EEXIST:
    case -ENOTEMPTY:
        return CAIRN_ERR_EXISTS;
    case -ENOENT:
        return CAIRN_ERR_NOT_FOUND;
    case -ENOSPC:
    case -EDQUOT:
        return CAIRN_ERR_DISK_FULL;
    default:
        return CAIRN_ERR_IO;
    }
}

static bool is_letter_or_digit(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

static bool is_tmp(const char *name)
{
    size_t count = strlen(name), suffix = sizeof(TMP_SUFFIX) - 1;
    return count >= suffix && strcmp(name + count - suffix, TMP_SUFFIX) == 0;
}

bool cairn_snapshot_name_is_good(const char *name, size_t count)
{
    char text[CAIRN_SNAPSHOT_NAME_BYTES_MAX + 1];
    if (count == 0 || count > CAIRN_SNAPSHOT_NAME_BYTES_MAX || name[0] == '.')
        return false;
    for (size_t i = 0; i < count; ++i)
        if (!is_letter_or_digit(name[i]) && name[i] != '-' && name[i] != '_' && name[i] != '.')
            return false;
    memcpy(text, name, count);
    text[count] = '\0';
    return !is_tmp(text);
}

/** the directory of all snapshots; a negative errno value */
static int open_all(const cairn_store_t *store)
{
    return cairn_os->open_subdir(store->dir.fd, SNAPSHOTS_NAME);
}

/* ---------------------------------------------------------------- removing */

typedef struct st_removal_t {
    int fd;
    size_t removed;
    int error;
} removal_t;

static bool remove_entry(void *ctx, const char *name)
{
    removal_t *removal = ctx;
    int r = cairn_os->unlink(removal->fd, name);
    if (r < 0 && removal->error == 0)
        removal->error = r;
    removal->removed += r >= 0;
    return true;
}

/** removes a directory of files; a negative errno value */
static int remove_tree(int all, const char *name)
{
    removal_t removal = {.fd = cairn_os->open_subdir(all, name)};
    if (removal.fd < 0)
        return removal.fd;
    do { /* who removes while he lists may miss some */
        removal.removed = 0;
        int r = cairn_os->list(removal.fd, remove_entry, &removal);
        if (r < 0)
            removal.error = r;
    } while (removal.removed != 0 && removal.error == 0);
    cairn_os->close(removal.fd);
    int r = cairn_os->remove_dir(all, name);
    return r < 0 && removal.error < 0 ? removal.error : r;
}

typedef struct st_cleaning_t {
    cairn_store_t *store;
    int all;
} cleaning_t;

static bool clean_entry(void *ctx, const char *name)
{
    const cleaning_t *cleaning = ctx;
    if (is_tmp(name) && remove_tree(cleaning->all, name) < 0)
        cairn_health_log(&cleaning->store->health, CAIRN_LOG_WARNING,
                         SNAPSHOTS_NAME "/%s: left by a crash, and cannot be removed", name);
    return true;
}

void cairn_store_clean_snapshots(cairn_store_t *store)
{
    cleaning_t cleaning = {.store = store};
    if (cairn_dir_is_memory(&store->dir) || (cleaning.all = open_all(store)) < 0)
        return;
    cairn_os->list(cleaning.all, clean_entry, &cleaning);
    cairn_os->close(cleaning.all);
}

/* ---------------------------------------------------------------- a snapshot being made */

typedef struct st_making_t {
    cairn_store_t *store;
    cairn_snapshot_t *snapshot;
    char tmp_name[TMP_NAME_BYTES];
    int all;                    /* the directory of all snapshots, -1 before it is open */
    int fd;                     /* of this one */
    cairn_segment_t **segments; /* pinned */
    size_t count;
} making_t;

/** one that waits for a write of its own */
typedef struct st_turn_t {
    cairn_sink_t sink; /* first: on_done casts back */
    pthread_mutex_t mutex;
    pthread_cond_t cond;
    bool is_done;
} turn_t;

/** on the writer thread */
static void on_rolled(cairn_sink_t *sink, cairn_write_t *list)
{
    turn_t *turn = (turn_t *)sink;
    (void)list;
    pthread_mutex_lock(&turn->mutex);
    turn->is_done = true;
    pthread_cond_signal(&turn->cond);
    pthread_mutex_unlock(&turn->mutex);
}

/** has the writer go on in a new segment, and the ones before it sealed */
static cairn_err_t roll(cairn_store_t *store)
{
    turn_t turn = {.sink = {.on_done = on_rolled},
                   .mutex = PTHREAD_MUTEX_INITIALIZER,
                   .cond = PTHREAD_COND_INITIALIZER};
    cairn_write_t *write = cairn_write_create_roll();
    if (write == NULL)
        return CAIRN_ERR_NOMEM;
    write->sink = &turn.sink;
    cairn_err_t err = cairn_store_submit(store, write);
    if (err == CAIRN_OK) {
        pthread_mutex_lock(&turn.mutex);
        while (!turn.is_done)
            pthread_cond_wait(&turn.cond, &turn.mutex);
        pthread_mutex_unlock(&turn.mutex);
        cairn_maintenance_wait(store->maintenance);
        err = cairn_health_has_failed(&store->health) ? CAIRN_ERR_FAILED : write->err;
    }
    cairn_write_destroy(write);
    return err;
}

/** keeps the files of what is to be in it */
static cairn_err_t pin_segments(making_t *m)
{
    /* read before: if nothing is left unsealed, this is the end of what is sealed */
    uint64_t newest = cairn_feed_newest(m->store), last;
    for (size_t room = 64;; room = m->count) {
        m->segments = cairn_os->alloc(room * sizeof(*m->segments));
        if (m->segments == NULL)
            return CAIRN_ERR_NOMEM;
        rcu_thread_online(); /* what is in the list stays until it is pinned */
        m->count = cairn_segments_pin_sealed(&m->store->segments, m->segments, room, &last);
        rcu_thread_offline();
        m->snapshot->version = last != UINT64_MAX ? last : newest;
        if (m->count <= room)
            return CAIRN_OK;
        cairn_os->free(m->segments);
        m->segments = NULL;
    }
}

static void unpin_segments(making_t *m)
{
    for (size_t i = 0; i < m->count && m->segments != NULL; ++i)
        cairn_segment_unpin(m->segments[i]);
    cairn_os->free(m->segments);
    m->segments = NULL;
    m->count = 0;
}

/** whether every record that is missing in them has been superseded by one that is there */
static bool is_of_one_version(const making_t *m)
{
    for (size_t i = 0; i < m->count; ++i)
        if (m->segments[i]->superseded_by > m->snapshot->version)
            return false;
    return true;
}

/** the store as it is now, in sealed segments that stay. A copy that came too late is covered by
 * the next roll; for another to come too late, compaction must end within it once more */
static cairn_err_t cut(making_t *m)
{
    for (;;) {
        cairn_err_t err = roll(m->store);
        if (err == CAIRN_OK)
            err = pin_segments(m);
        if (err != CAIRN_OK || is_of_one_version(m))
            return err;
        unpin_segments(m);
    }
}

static cairn_err_t make_directory(making_t *m)
{
    int data = m->store->dir.fd;
    int r = cairn_os->make_dir(data, SNAPSHOTS_NAME);
    if (r == 0)
        r = cairn_os->sync_dir(data);
    if (r < 0 && r != -EEXIST)
        return err_of(r);
    m->all = open_all(m->store);
    if (m->all < 0)
        return CAIRN_ERR_IO;
    int there = cairn_os->open_subdir(m->all, m->snapshot->name);
    if (there >= 0) {
        cairn_os->close(there);
        return CAIRN_ERR_EXISTS;
    }
    r = cairn_os->make_dir(m->all, m->tmp_name);
    if (r < 0)
        return err_of(r);
    m->fd = cairn_os->open_subdir(m->all, m->tmp_name);
    return m->fd < 0 ? CAIRN_ERR_IO : CAIRN_OK;
}

/** links the table of a segment's keys, if there is one: a start on a copy need not make it anew */
static void link_keytable(const making_t *m, const cairn_segment_t *segment)
{
    char name[CAIRN_KEYTABLE_NAME_BYTES];
    cairn_keytable_name(name, segment->first_version, segment->generation);
    cairn_os->link(m->store->dir.fd, name, m->fd);
}

static cairn_err_t link_segments(making_t *m)
{
    for (size_t i = 0; i < m->count; ++i) {
        const cairn_segment_t *segment = m->segments[i];
        char name[CAIRN_SEGMENT_NAME_BYTES];
        cairn_segment_name(name, segment->first_version, segment->generation);
        int r = cairn_os->link(m->store->dir.fd, name, m->fd);
        if (r < 0)
            return err_of(r);
        link_keytable(m, segment);
        m->snapshot->bytes +=
            atomic_load_explicit(&segment->end, memory_order_acquire) + CAIRN_SEGMENT_FOOTER_BYTES;
    }
    m->snapshot->segments = m->count;
    return CAIRN_OK;
}

/** a STORE that knows this end of the log; writing it syncs the directory too */
static cairn_err_t note(const making_t *m)
{
    cairn_dir_t dir = {.fd = m->fd, .lock_fd = -1, .accepted = m->store->dir.accepted};
    memcpy(dir.uuid, m->store->dir.uuid, sizeof(dir.uuid));
    uint64_t newest_first = m->count != 0 ? m->segments[m->count - 1]->first_version : 0;
    return cairn_dir_note(&dir, newest_first, m->snapshot->version);
}

static cairn_err_t appear(const making_t *m)
{
    int r = cairn_os->rename(m->all, m->tmp_name, m->snapshot->name);
    return err_of(r == 0 ? cairn_os->sync_dir(m->all) : r);
}

static void put_down(making_t *m, cairn_err_t err)
{
    unpin_segments(m);
    if (m->fd >= 0) {
        cairn_os->close(m->fd);
        if (err != CAIRN_OK)
            remove_tree(m->all, m->tmp_name);
    }
    if (m->all >= 0)
        cairn_os->close(m->all);
}

cairn_err_t cairn_store_snapshot(cairn_store_t *store, const char *name, cairn_snapshot_t *snapshot)
{
    making_t m = {.store = store, .snapshot = snapshot, .all = -1, .fd = -1};
    assert(cairn_snapshot_name_is_good(name, strlen(name)));
    *snapshot = (cairn_snapshot_t){.version = 0};
    snprintf(snapshot->name, sizeof(snapshot->name), "%s", name);
    snprintf(m.tmp_name, sizeof(m.tmp_name), "%s" TMP_SUFFIX, name);
    if (cairn_dir_is_memory(&store->dir))
        return CAIRN_ERR_IN_MEMORY;
    rcu_thread_offline();
    /* the name is taken first: who is second is told so at once */
    cairn_err_t err = make_directory(&m);
    if (err == CAIRN_OK)
        err = cut(&m);
    if (err == CAIRN_OK)
        err = link_segments(&m);
    if (err == CAIRN_OK)
        err = note(&m);
    if (err == CAIRN_OK)
        err = appear(&m);
    put_down(&m, err);
    rcu_thread_online();
    return err;
}

/* ---------------------------------------------------------------- those there are */

typedef struct st_listing_t {
    int all;
    cairn_snapshot_t snapshot;
    int fd; /* of the one looked at */
    void (*on_snapshot)(void *ctx, const cairn_snapshot_t *snapshot);
    void *ctx;
} listing_t;

static bool count_file(void *ctx, const char *name)
{
    listing_t *listing = ctx;
    uint64_t first_version;
    uint32_t generation;
    if (!cairn_segment_name_parse(name, &first_version, &generation))
        return true;
    int fd = cairn_os->open(listing->fd, name, O_RDONLY);
    int64_t bytes = fd >= 0 ? cairn_os->size(fd) : 0;
    if (fd >= 0)
        cairn_os->close(fd);
    listing->snapshot.bytes += bytes > 0 ? (uint64_t)bytes : 0;
    ++listing->snapshot.segments;
    return true;
}

static bool list_entry(void *ctx, const char *name)
{
    listing_t *listing = ctx;
    if (!cairn_snapshot_name_is_good(name, strlen(name)))
        return true;
    listing->fd = cairn_os->open_subdir(listing->all, name);
    if (listing->fd < 0)
        return true;
    listing->snapshot = (cairn_snapshot_t){.version = cairn_dir_durable_version(listing->fd)};
    snprintf(listing->snapshot.name, sizeof(listing->snapshot.name), "%s", name);
    cairn_os->list(listing->fd, count_file, listing);
    cairn_os->close(listing->fd);
    listing->on_snapshot(listing->ctx, &listing->snapshot);
    return true;
}

cairn_err_t cairn_store_list_snapshots(cairn_store_t *store,
                                       void (*on_snapshot)(void *ctx,
                                                           const cairn_snapshot_t *snapshot),
                                       void *ctx)
{
    listing_t listing = {.on_snapshot = on_snapshot, .ctx = ctx};
    if (cairn_dir_is_memory(&store->dir))
        return CAIRN_ERR_IN_MEMORY;
    listing.all = open_all(store);
    if (listing.all < 0)
        return listing.all == -ENOENT ? CAIRN_OK : CAIRN_ERR_IO;
    int r = cairn_os->list(listing.all, list_entry, &listing);
    cairn_os->close(listing.all);
    return err_of(r);
}

cairn_err_t cairn_store_remove_snapshot(cairn_store_t *store, const char *name)
{
    char tmp_name[TMP_NAME_BYTES];
    assert(cairn_snapshot_name_is_good(name, strlen(name)));
    if (cairn_dir_is_memory(&store->dir))
        return CAIRN_ERR_IN_MEMORY;
    int all = open_all(store);
    if (all < 0)
        return err_of(all);
    snprintf(tmp_name, sizeof(tmp_name), "%s" TMP_SUFFIX, name);
    /* so that what a crash leaves of it is not taken for a snapshot */
    int r = cairn_os->rename(all, name, tmp_name);
    if (r == 0)
        r = cairn_os->sync_dir(all);
    if (r == 0)
        r = remove_tree(all, tmp_name);
    cairn_os->close(all);
    return err_of(r);
}
