/*
 * storage/checkpoint.c - the index written down beside running writes.
 *
 * In order: note each segment's dead bytes, take the position, dump, make durable what the dump may
 * have seen, list the segments there are by now, header, sync, rename, sync the directory. Until
 * the rename the checkpoint before is the one that counts; from the directory's sync on the new one
 * is. In between either may be found after a crash, and what both name is kept.
 */
#include "storage/checkpoint.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include <xxhash.h>

#include "index/qsbr.h"
#include "storage/file.h"
#include "storage/os.h"

/** written in pieces of this size, each synced by itself: what is dirty all at once would be waited
 * for by the writer's next sync */
#define PIECE_BYTES ((uint64_t)4 << 20)

typedef struct st_dump_file_t {
    const cairn_checkpoint_source_t *source;
    int fd;
    uint64_t at;     /* where the next bytes go */
    uint64_t synced; /* what lies before has been */
    cairn_err_t err;
} dump_file_t;

/** the table while it is made */
typedef struct st_table_t {
    cairn_checkpoint_segment_t *entries;
    size_t count, room;
} table_t;

/* ---------------------------------------------------------------- what is on disk */

void cairn_checkpoint_init(cairn_checkpoint_t *c, const cairn_dir_t *dir)
{
    memset(c, 0, sizeof(*c));
    c->dir = dir;
    pthread_mutex_init(&c->mutex, NULL);
}

void cairn_checkpoint_dispose(cairn_checkpoint_t *c)
{
    cairn_os->free(c->named);
    cairn_os->free(c->naming);
    pthread_mutex_destroy(&c->mutex);
}

static bool is_among(const uint64_t *salts, size_t count, uint64_t salt)
{
    for (size_t i = 0; i < count; ++i)
        if (salts[i] == salt)
            return true;
    return false;
}

bool cairn_checkpoint_names(cairn_checkpoint_t *c, uint64_t salt)
{
    pthread_mutex_lock(&c->mutex);
    bool names =
        is_among(c->named, c->named_count, salt) || is_among(c->naming, c->naming_count, salt);
    pthread_mutex_unlock(&c->mutex);
    return names;
}

uint64_t cairn_checkpoint_tail_bytes(cairn_checkpoint_t *c, cairn_position_cell_t *position)
{
    uint64_t log_bytes;
    cairn_position_get(position, &log_bytes);
    return log_bytes - c->log_bytes;
}

/** takes over the salts that will be named; NULL for none */
static void set_naming(cairn_checkpoint_t *c, uint64_t *salts, size_t count)
{
    pthread_mutex_lock(&c->mutex);
    uint64_t *before = c->naming;
    c->naming = salts;
    c->naming_count = count;
    pthread_mutex_unlock(&c->mutex);
    cairn_os->free(before);
}

/** what was being named is what is named */
static void settle_naming(cairn_checkpoint_t *c)
{
    pthread_mutex_lock(&c->mutex);
    uint64_t *before = c->named;
    c->named = c->naming;
    c->named_count = c->naming_count;
    c->naming = NULL;
    c->naming_count = 0;
    pthread_mutex_unlock(&c->mutex);
    cairn_os->free(before);
}

static uint64_t *salts_of(const cairn_checkpoint_segment_t *entries, size_t count)
{
    uint64_t *salts = cairn_os->alloc((count + 1) * sizeof(*salts));
    for (size_t i = 0; salts != NULL && i < count; ++i)
        salts[i] = entries[i].salt;
    return salts;
}

cairn_err_t cairn_checkpoint_adopt(cairn_checkpoint_t *c, const cairn_checkpoint_image_t *image)
{
    uint64_t *salts = salts_of(image->segments, image->header.segment_count);
    if (salts == NULL)
        return CAIRN_ERR_NOMEM;
    set_naming(c, salts, image->header.segment_count);
    settle_naming(c);
    return CAIRN_OK;
}

cairn_err_t cairn_checkpoint_drop(cairn_checkpoint_t *c)
{
    if (cairn_dir_is_memory(c->dir))
        return CAIRN_OK;
    int r = cairn_os->unlink(c->dir->fd, CAIRN_CHECKPOINT_NAME);
    if (r == -ENOENT && c->named == NULL && c->naming == NULL)
        return CAIRN_OK;
    if ((r < 0 && r != -ENOENT) || cairn_dir_sync(c->dir) != CAIRN_OK)
        return CAIRN_ERR_IO;
    set_naming(c, NULL, 0);
    settle_naming(c);
    return CAIRN_OK;
}

/* ---------------------------------------------------------------- writing the file */

/** the cairn_index_write_cb; the thread is nobody to wait for while it writes */
static bool append(void *ctx, const void *bytes, size_t count)
{
    dump_file_t *file = ctx;
    const cairn_checkpoint_source_t *source = file->source;
    rcu_thread_offline();
    file->err = cairn_file_write_all(file->fd, bytes, count, file->at);
    file->at += count;
    if (file->err == CAIRN_OK && file->at - file->synced >= PIECE_BYTES) {
        file->err = cairn_file_err_of(cairn_os->sync(file->fd));
        if (file->err == CAIRN_OK && source->go_on != NULL && !source->go_on(source->ctx))
            file->err = CAIRN_ERR_CANCELLED;
        file->synced = file->at;
    }
    rcu_thread_online();
    return file->err == CAIRN_OK;
}

/** the dump, and what it may have seen made durable; `*durable` becomes up to which version */
static cairn_err_t write_dump(dump_file_t *file, uint64_t *durable)
{
    const cairn_checkpoint_source_t *source = file->source;
    switch (cairn_index_dump(source->index, append, file)) {
    case CAIRN_INDEX_DUMP_OK:
        break;
    case CAIRN_INDEX_DUMP_STOPPED:
        return file->err;
    default:
        return CAIRN_ERR_NOMEM;
    }
    cairn_err_t err = source->make_durable(source->ctx, durable);
    /* an index that could not take a record, or bytes that only the page cache has */
    if (err == CAIRN_OK && cairn_health_has_failed(source->health))
        err = CAIRN_ERR_FAILED;
    return err;
}

/** header and table behind the dump; then it is whole, and on disk */
static cairn_err_t complete(dump_file_t *file, cairn_checkpoint_header_t *header,
                            const table_t *table)
{
    size_t table_bytes = table->count * sizeof(*table->entries);
    header->dump_bytes = file->at - CAIRN_CHECKPOINT_HEADER_BYTES;
    header->segment_count = (uint32_t)table->count;
    header->table_sum = XXH3_64bits(table->entries, table_bytes);
    header->sum = XXH3_64bits(header, offsetof(cairn_checkpoint_header_t, sum));
    cairn_err_t err = cairn_file_write_all(file->fd, table->entries, table_bytes, file->at);
    if (err == CAIRN_OK)
        err = cairn_file_write_all(file->fd, header, sizeof(*header), 0);
    return err == CAIRN_OK ? cairn_file_err_of(cairn_os->sync(file->fd)) : err;
}

/* ---------------------------------------------------------------- what goes into it */

/** adds the segments that are in the list and not in the table */
static cairn_err_t add_segments(table_t *table, cairn_segments_t *segments)
{
    cairn_err_t err = CAIRN_OK;
    pthread_mutex_lock(&segments->mutex);
    size_t count = segments->count;
    if (count > table->room) {
        cairn_checkpoint_segment_t *entries = cairn_os->calloc(count, sizeof(*entries));
        if (entries == NULL) {
            err = CAIRN_ERR_NOMEM;
        } else {
            if (table->count != 0)
                memcpy(entries, table->entries, table->count * sizeof(*entries));
            cairn_os->free(table->entries);
            table->entries = entries;
            table->room = count;
        }
    }
    /* the list only grows meanwhile, at its end */
    for (size_t i = table->count; err == CAIRN_OK && i < count; ++i) {
        const cairn_segment_t *s = segments->list[i];
        table->entries[table->count++] = (cairn_checkpoint_segment_t){
            .first_version = s->first_version,
            .salt = s->salt,
            .generation = s->generation,
            .slot = s->slot,
            .dead_bytes = atomic_load_explicit(&s->dead_bytes, memory_order_relaxed)};
    }
    pthread_mutex_unlock(&segments->mutex);
    return err;
}

/** what lies before the position ends where it ends, and says so */
static void fix_ends(table_t *table, cairn_segments_t *segments, uint64_t position_first)
{
    pthread_mutex_lock(&segments->mutex);
    for (size_t i = 0; i < table->count && table->entries[i].first_version < position_first; ++i) {
        table->entries[i].end = atomic_load_explicit(&segments->list[i]->end, memory_order_acquire);
        table->entries[i].fold = segments->list[i]->counts.fold;
    }
    pthread_mutex_unlock(&segments->mutex);
}

static void fill_header(cairn_checkpoint_header_t *header, const cairn_dir_t *dir,
                        const cairn_checkpoint_source_t *source, const cairn_position_t *position)
{
    memset(header, 0, sizeof(*header));
    memcpy(header->magic, "CAIRNCKP", sizeof(header->magic));
    header->format = CAIRN_CHECKPOINT_FORMAT;
    header->header_bytes = CAIRN_CHECKPOINT_HEADER_BYTES;
    memcpy(header->uuid, dir->uuid, sizeof(header->uuid));
    header->slot_shift = cairn_space_slot_shift(source->space);
    header->position_first = position->first_version;
    header->position_salt = position->salt;
    header->position_end = position->end;
    header->mark_at = position->mark_at;
    header->covers_version = position->version;
    header->chain = position->chain;
    header->counts = position->counts;
    header->clock_ms = atomic_load_explicit(&source->clock->floor_ms, memory_order_relaxed);
}

/* ---------------------------------------------------------------- all of it */

/** everything but the rename */
static cairn_err_t write_aside(cairn_checkpoint_t *c, const cairn_checkpoint_source_t *source,
                               int fd, table_t *table)
{
    cairn_checkpoint_header_t header;
    dump_file_t file = {.source = source,
                        .fd = fd,
                        .at = CAIRN_CHECKPOINT_HEADER_BYTES,
                        .synced = CAIRN_CHECKPOINT_HEADER_BYTES};
    uint64_t log_bytes, durable = 0;
    /* what dies between the two is forgotten after a crash; the other way round it would be
     * counted twice */
    cairn_err_t err = add_segments(table, source->segments);
    cairn_position_t position = cairn_position_get(source->position, &log_bytes);
    if (err == CAIRN_OK) {
        fill_header(&header, c->dir, source, &position);
        err = write_dump(&file, &durable);
    }
    if (err == CAIRN_OK)
        err = add_segments(table, source->segments);
    if (err == CAIRN_OK) {
        fix_ends(table, source->segments, position.first_version);
        header.durable_version = durable;
        err = complete(&file, &header, table);
    }
    if (err == CAIRN_OK)
        c->log_bytes = log_bytes;
    return err;
}

static cairn_err_t put_in_place(cairn_checkpoint_t *c, const table_t *table)
{
    uint64_t *salts = salts_of(table->entries, table->count);
    if (salts == NULL)
        return CAIRN_ERR_NOMEM;
    set_naming(c, salts, table->count);
    int r = cairn_os->rename(c->dir->fd, CAIRN_CHECKPOINT_TMP_NAME, CAIRN_CHECKPOINT_NAME);
    if (r < 0) {
        set_naming(c, NULL, 0);
        return cairn_file_err_of(r);
    }
    /* a name that cannot be synced may be either after a crash: both stay named */
    cairn_err_t err = cairn_dir_sync(c->dir);
    if (err == CAIRN_OK)
        settle_naming(c);
    return err;
}

cairn_err_t cairn_checkpoint_write(cairn_checkpoint_t *c, const cairn_checkpoint_source_t *source)
{
    table_t table = {.entries = NULL};
    cairn_err_t err = CAIRN_OK;
    /* whether the one renamed last is on disk has been open since its sync failed */
    if (c->naming != NULL && (err = cairn_dir_sync(c->dir)) == CAIRN_OK)
        settle_naming(c);
    int fd = -1;
    if (err == CAIRN_OK) {
        fd = cairn_os->open(c->dir->fd, CAIRN_CHECKPOINT_TMP_NAME, O_RDWR | O_CREAT | O_TRUNC);
        err = cairn_file_err_of(fd);
    }
    if (err == CAIRN_OK) {
        err = write_aside(c, source, fd, &table);
        cairn_os->close(fd);
    }
    if (err == CAIRN_OK)
        err = put_in_place(c, &table);
    if (err != CAIRN_OK && fd >= 0)
        cairn_os->unlink(c->dir->fd, CAIRN_CHECKPOINT_TMP_NAME);
    c->failed_ns = err == CAIRN_OK ? 0 : cairn_os->monotonic_ns();
    cairn_os->free(table.entries);
    return err;
}
