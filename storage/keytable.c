/*
 * storage/keytable.c - reading the keys of a sealed segment in byte order.
 */
#include "storage/keytable.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include <xxhash.h>

#include "index/qsbr.h"
#include "storage/guard.h"
#include "storage/keytable_internal.h"
#include "storage/os.h"

int cairn_key_compare(cairn_bytes_t a, cairn_bytes_t b)
{
    size_t count = a.count < b.count ? a.count : b.count;
    int order = count != 0 ? memcmp(a.base, b.base, count) : 0;
    return order != 0 ? order : a.count < b.count ? -1 : a.count > b.count;
}

/* ---------------------------------------------------------------- names */

void cairn_keytable_name(char name[CAIRN_KEYTABLE_NAME_BYTES], uint64_t first_version,
                         uint32_t generation)
{
    snprintf(name, CAIRN_KEYTABLE_NAME_BYTES, "%016" PRIx64 "-%04" PRIx32 ".keys", first_version,
             generation);
}

bool cairn_keytable_name_parse(const char *name, uint64_t *first_version, uint32_t *generation)
{
    char again[CAIRN_KEYTABLE_NAME_BYTES];
    if (sscanf(name, "%16" SCNx64 "-%8" SCNx32 ".keys", first_version, generation) != 2)
        return false;
    cairn_keytable_name(again, *first_version, *generation);
    size_t bytes = strlen(again);
    return strncmp(name, again, bytes) == 0 &&
           (name[bytes] == '\0' || strcmp(name + bytes, CAIRN_KEYTABLE_TMP_SUFFIX) == 0);
}

/* ---------------------------------------------------------------- opening */

/** what is wrong with a header, or NULL */
static const char *header_fault(const cairn_keytable_header_t *h, const cairn_segment_t *segment,
                                const cairn_dir_t *dir, uint64_t file_bytes)
{
    if (memcmp(h->magic, "CAIRNKEY", sizeof(h->magic)) != 0 || h->format != CAIRN_KEYTABLE_FORMAT)
        return "it is no key table of this version";
    if (XXH3_64bits(h, offsetof(cairn_keytable_header_t, sum)) != h->sum ||
        h->header_bytes != CAIRN_KEYTABLE_HEADER_BYTES)
        return "the header's checksum does not match";
    if (memcmp(h->uuid, dir->uuid, sizeof(h->uuid)) != 0)
        return "it belongs to another store";
    if (h->salt != segment->salt || h->first_version != segment->first_version ||
        h->generation != segment->generation || h->fold != segment->counts.fold ||
        h->last_version != segment->counts.last_version ||
        h->end != atomic_load_explicit(&segment->end, memory_order_acquire))
        return "it belongs to another segment";
    if (h->index_at < CAIRN_KEYTABLE_HEADER_BYTES || h->index_at > file_bytes ||
        h->index_bytes != file_bytes - h->index_at)
        return "it has another length than it says";
    return NULL;
}

/** whether the places are in the segment, one behind the other */
static bool places_are_sound(const cairn_keytable_t *t)
{
    cairn_keytable_place_t before = {.version = 0, .offset = CAIRN_SEGMENT_HEADER_BYTES - 1};
    for (uint64_t i = 0; i < t->header.place_count; ++i) {
        cairn_keytable_place_t place = t->places[i];
        if (place.version <= before.version || place.offset <= before.offset ||
            place.offset >= t->header.end || place.offset % CAIRN_RECORD_ALIGN != 0)
            return false;
        before = place;
    }
    return true;
}

/** whether the blocks are one behind the other before the index, and their keys in it */
static bool index_is_sound(const cairn_keytable_t *t)
{
    const cairn_keytable_header_t *h = &t->header;
    uint64_t at = CAIRN_KEYTABLE_HEADER_BYTES, entries = 0;
    uint64_t heap = (uint64_t)((const uint8_t *)t->index + h->index_bytes - t->keys);
    for (size_t i = 0; i <= h->block_count; ++i) {
        const cairn_keytable_block_t *b = &t->blocks[i];
        bool is_end = i == h->block_count;
        if (b->at != at || b->bytes > CAIRN_KEYTABLE_BLOCK_BYTES || (b->bytes == 0) != is_end ||
            (b->count == 0) != is_end || b->key_at > heap || b->key_bytes > heap - b->key_at ||
            b->key_bytes > CAIRN_KEY_BYTES_MAX)
            return false;
        at += b->bytes;
        entries += b->count;
    }
    return at == h->index_at && entries == h->entry_count && places_are_sound(t);
}

/** where the parts of the index begin; false if they do not fit */
static bool find_parts(cairn_keytable_t *t)
{
    const cairn_keytable_header_t *h = &t->header;
    uint64_t blocks_bytes = ((uint64_t)h->block_count + 1) * sizeof(*t->blocks);
    if (blocks_bytes > h->index_bytes ||
        h->place_count > (h->index_bytes - blocks_bytes) / sizeof(*t->places))
        return false;
    t->blocks = t->index;
    t->places = (const cairn_keytable_place_t *)(t->blocks + h->block_count + 1);
    t->keys = (const uint8_t *)(t->places + h->place_count);
    return true;
}

cairn_err_t cairn_keytable_read_index(cairn_keytable_t *t, int fd)
{
    const cairn_keytable_header_t *h = &t->header;
    t->index = cairn_os->alloc(h->index_bytes != 0 ? h->index_bytes : 1);
    if (t->index == NULL)
        return CAIRN_ERR_NOMEM;
    uint64_t done = 0;
    while (done < h->index_bytes) {
        int64_t n = cairn_os->pread(fd, (uint8_t *)t->index + done, h->index_bytes - done,
                                    h->index_at + done);
        if (n <= 0)
            return CAIRN_ERR_IO;
        done += (uint64_t)n;
    }
    if (XXH3_64bits(t->index, h->index_bytes) != h->index_sum)
        return CAIRN_ERR_CORRUPT;
    return find_parts(t) && index_is_sound(t) ? CAIRN_OK : CAIRN_ERR_CORRUPT;
}

cairn_err_t cairn_keytable_map(cairn_keytable_t *t, int fd)
{
    uint64_t bytes = cairn_keytable_file_bytes(t);
    t->map_bytes = (bytes + 4095) & ~(uint64_t)4095;
    t->map = cairn_os->reserve(t->map_bytes);
    return t->map != NULL && cairn_os->map(t->map, t->map_bytes, fd) == 0 ? CAIRN_OK
                                                                          : CAIRN_ERR_NOMEM;
}

void cairn_keytable_close(cairn_keytable_t *table)
{
    if (table == NULL)
        return;
    cairn_keytable_close(table->older);
    if (table->map != NULL)
        cairn_os->unreserve(table->map, table->map_bytes);
    cairn_os->free(table->index);
    cairn_os->free(table);
}

static cairn_err_t read_table(cairn_keytable_t *t, int fd, const cairn_segment_t *segment,
                              const cairn_dir_t *dir, const char **fault)
{
    int64_t bytes = cairn_os->size(fd);
    *fault = "it has no header";
    if (bytes < 0)
        return CAIRN_ERR_IO;
    if (bytes < CAIRN_KEYTABLE_HEADER_BYTES)
        return CAIRN_ERR_CORRUPT;
    if (cairn_os->pread(fd, &t->header, sizeof(t->header), 0) != (int64_t)sizeof(t->header))
        return CAIRN_ERR_IO;
    *fault = header_fault(&t->header, segment, dir, (uint64_t)bytes);
    if (*fault != NULL)
        return CAIRN_ERR_CORRUPT;
    *fault = "the index's checksum does not match";
    cairn_err_t err = cairn_keytable_read_index(t, fd);
    return err == CAIRN_OK ? cairn_keytable_map(t, fd) : err;
}

cairn_err_t cairn_keytable_open(cairn_keytable_t **opened, const cairn_segment_t *segment,
                                const cairn_dir_t *dir, char *errmsg)
{
    char name[CAIRN_KEYTABLE_NAME_BYTES];
    const char *fault = NULL;
    errmsg[0] = '\0';
    if (cairn_dir_is_memory(dir))
        return CAIRN_ERR_NOT_FOUND;
    cairn_keytable_name(name, segment->first_version, segment->generation);
    int fd = cairn_os->open(dir->fd, name, O_RDONLY);
    if (fd < 0)
        return fd == -ENOENT ? CAIRN_ERR_NOT_FOUND : CAIRN_ERR_IO;
    cairn_err_t err = CAIRN_ERR_NOMEM;
    cairn_keytable_t *t = cairn_os->calloc(1, sizeof(*t));
    if (t != NULL)
        err = read_table(t, fd, segment, dir, &fault);
    cairn_os->close(fd);
    if (err != CAIRN_OK) {
        snprintf(errmsg, CAIRN_ERRMSG_BYTES, "%s: %s", name,
                 err == CAIRN_ERR_CORRUPT ? fault : cairn_strerror(err));
        cairn_keytable_close(t);
        return err;
    }
    *opened = t;
    return CAIRN_OK;
}

/* ---------------------------------------------------------------- looking */

cairn_keytable_t *cairn_keytable_of(const cairn_segment_t *segment)
{
    /* acquire: pairs with the release of upkeep */
    cairn_keytable_t *table = atomic_load_explicit(&segment->keys, memory_order_acquire);
    bool is_good = table != NULL && !atomic_load_explicit(&table->is_damaged, memory_order_relaxed);
    return is_good ? table : NULL;
}

uint64_t cairn_keytable_entry_count(const cairn_keytable_t *table)
{
    return table->header.entry_count;
}

uint64_t cairn_keytable_file_bytes(const cairn_keytable_t *table)
{
    return table->header.index_at + table->header.index_bytes;
}

static cairn_bytes_t first_key(const cairn_keytable_t *t, size_t block)
{
    return (cairn_bytes_t){t->keys + t->blocks[block].key_at, t->blocks[block].key_bytes};
}

bool cairn_keytable_bounds(const cairn_keytable_t *table, cairn_bytes_t *least,
                           cairn_bytes_t *greatest)
{
    *least = first_key(table, 0);
    *greatest = first_key(table, table->header.block_count);
    return table->header.entry_count != 0;
}

uint64_t cairn_keytable_offset_of(const cairn_keytable_t *table, uint64_t version)
{
    size_t low = 0, high = table->header.place_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (table->places[middle].version <= version)
            low = middle + 1;
        else
            high = middle;
    }
    return low != 0 ? table->places[low - 1].offset : CAIRN_SEGMENT_HEADER_BYTES;
}

/* ---------------------------------------------------------------- cursors */

/** the next block, copied and checked */
static cairn_err_t load_block(cairn_keytable_cursor_t *c)
{
    const cairn_keytable_t *t = c->table;
    c->_left = 0;
    if (c->_block >= t->header.block_count)
        return CAIRN_ERR_NOT_FOUND;
    const cairn_keytable_block_t *b = &t->blocks[c->_block];
    if (c->_room == NULL)
        c->_room = cairn_os->alloc(CAIRN_KEYTABLE_BLOCK_BYTES);
    if (c->_room == NULL)
        return CAIRN_ERR_NOMEM;
    /* a disk may take long, and memory that others gave back would wait for it */
    rcu_thread_offline();
    cairn_os->will_need(t->map + b->at, b->bytes);
    int populated = cairn_os->populate(t->map + b->at, b->bytes);
    rcu_thread_online();
    if (populated < 0 || !cairn_guard_copy(c->_room, t->map + b->at, b->bytes))
        return CAIRN_ERR_IO;
    if (XXH3_64bits(c->_room, b->bytes) != b->sum)
        return CAIRN_ERR_DAMAGED;
    ++c->_block;
    c->_at = 0;
    c->_bytes = b->bytes;
    c->_left = b->count;
    return CAIRN_OK;
}

static bool entry_is_sound(const cairn_keytable_entry_t *e)
{
    cairn_record_type_t type = cairn_keytable_type(e);
    return (cairn_record_type_gives(type) || type == CAIRN_RECORD_DELETE) && e->key_bytes != 0 &&
           e->key_bytes <= CAIRN_KEY_BYTES_MAX && e->offset % CAIRN_RECORD_ALIGN == 0;
}

cairn_err_t cairn_keytable_next(cairn_keytable_cursor_t *c)
{
    if (c->_left == 0) {
        cairn_err_t err = load_block(c);
        if (err != CAIRN_OK)
            return err;
    }
    size_t left = c->_bytes - c->_at;
    if (left < sizeof(c->entry))
        return CAIRN_ERR_DAMAGED;
    memcpy(&c->entry, c->_room + c->_at, sizeof(c->entry));
    if (!entry_is_sound(&c->entry) || c->entry.key_bytes > left - sizeof(c->entry))
        return CAIRN_ERR_DAMAGED;
    c->key = (cairn_bytes_t){c->_room + c->_at + sizeof(c->entry), c->entry.key_bytes};
    c->_at += sizeof(c->entry) + c->entry.key_bytes;
    --c->_left;
    return c->_left != 0 || c->_at == c->_bytes ? CAIRN_OK : CAIRN_ERR_DAMAGED;
}

size_t cairn_keytable_peek(const cairn_keytable_cursor_t *cursor, cairn_bytes_t *keys, size_t max)
{
    cairn_keytable_cursor_t ahead = *cursor;
    size_t count = 0;
    while (count < max && ahead._left != 0 && cairn_keytable_next(&ahead) == CAIRN_OK)
        keys[count++] = ahead.key;
    return count;
}

/** the last block that begins at or before the key; the first if none does */
static size_t find_block(const cairn_keytable_t *t, cairn_bytes_t key)
{
    size_t low = 0, high = t->header.block_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (cairn_key_compare(first_key(t, middle), key) <= 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low != 0 ? low - 1 : 0;
}

cairn_err_t cairn_keytable_seek(cairn_keytable_cursor_t *cursor, cairn_bytes_t key)
{
    cairn_err_t err;
    cursor->_block = find_block(cursor->table, key);
    cursor->_left = 0;
    do
        err = cairn_keytable_next(cursor);
    while (err == CAIRN_OK && cairn_key_compare(cursor->key, key) < 0);
    return err;
}

void cairn_keytable_cursor_dispose(cairn_keytable_cursor_t *cursor)
{
    cairn_os->free(cursor->_room);
    cursor->_room = NULL;
}

/* ---------------------------------------------------------------- verifying */

cairn_err_t cairn_keytable_verify(const cairn_keytable_t *table)
{
    cairn_keytable_cursor_t cursor = {.table = table};
    uint8_t before[CAIRN_KEY_BYTES_MAX];
    size_t before_bytes = 0;
    uint64_t entries = 0;
    cairn_err_t err;
    while ((err = cairn_keytable_next(&cursor)) == CAIRN_OK) {
        bool begins_block = cursor._left + 1 == table->blocks[cursor._block - 1].count;
        if (cairn_key_compare(cursor.key, (cairn_bytes_t){before, before_bytes}) <= 0 ||
            cursor.entry.offset >= table->header.end ||
            (begins_block &&
             cairn_key_compare(cursor.key, first_key(table, cursor._block - 1)) != 0)) {
            err = CAIRN_ERR_DAMAGED;
            break;
        }
        before_bytes = cursor.key.count;
        memcpy(before, cursor.key.base, before_bytes);
        ++entries;
    }
    cairn_keytable_cursor_dispose(&cursor);
    if (err != CAIRN_ERR_NOT_FOUND)
        return err;
    bool is_whole = entries == table->header.entry_count &&
                    (entries == 0 || cairn_key_compare(first_key(table, table->header.block_count),
                                                       (cairn_bytes_t){before, before_bytes}) == 0);
    return is_whole ? CAIRN_OK : CAIRN_ERR_DAMAGED;
}
