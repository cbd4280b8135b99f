/*
 * storage/keytable_make.c - making the key table of a sealed segment, and checking one that is
 * there.
 *
 * In order: the places of all records are collected in one walk, sorted by key, and then each
 * record's head is read again and its entry written, or compared. Memory: 16 bytes a record, while
 * it lasts.
 */
#include <assert.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include <xxhash.h>

#include "index/qsbr.h"
#include "storage/file.h"
#include "storage/keysort.h"
#include "storage/keytable_internal.h"
#include "storage/os.h"
#include "storage/walk.h"

/** written in pieces of about this size, each synced by itself: what is dirty all at once would be
 * waited for by the writer's next sync */
#define PIECE_BYTES ((uint64_t)1 << 20)

/** something that grows; zeroed, it is empty */
typedef struct st_pile_t {
    uint8_t *bytes;
    size_t count;
    size_t room;
} pile_t;

typedef struct st_making_t {
    cairn_segment_t *segment;
    const cairn_dir_t *dir;
    bool (*go_on)(void *ctx);
    void *ctx;
    int fd;
    uint64_t written; /* bytes of the file */
    uint64_t end;     /* of the segment's records */
    pile_t sorted;    /* cairn_keyplace_t */
    pile_t places;    /* cairn_keytable_place_t */
    pile_t blocks;    /* cairn_keytable_block_t */
    pile_t keys;      /* first ones of blocks, and the last one */
    pile_t piece;     /* of the file, not yet written */
    size_t block_at;  /* in the piece: where the block begins that is being filled */
    uint32_t block_count;
    uint64_t entry_count;
} making_t;

static bool add(pile_t *pile, const void *bytes, size_t count)
{
    if (count > pile->room - pile->count) {
        size_t room = 2 * pile->room + count + 4096;
        uint8_t *more = cairn_os->alloc(room);
        if (more == NULL)
            return false;
        if (pile->count != 0)
            memcpy(more, pile->bytes, pile->count);
        cairn_os->free(pile->bytes);
        pile->bytes = more;
        pile->room = room;
    }
    if (count != 0) /* of no entries at all there are no bytes */
        memcpy(pile->bytes + pile->count, bytes, count);
    pile->count += count;
    return true;
}

static bool may_go_on(const making_t *m)
{
    return m->go_on == NULL || m->go_on(m->ctx);
}

/* ---------------------------------------------------------------- collecting */

static bool add_place(making_t *m, const cairn_walk_t *walk, uint64_t number)
{
    cairn_keyplace_t keyplace = {.place = (cairn_place_t)(walk->at / CAIRN_RECORD_ALIGN)};
    cairn_keytable_place_t place = {.version = walk->record.version, .offset = walk->at};
    return add(&m->sorted, &keyplace, sizeof(keyplace)) &&
           (number % CAIRN_KEYTABLE_PLACE_RECORDS != 0 || add(&m->places, &place, sizeof(place)));
}

static cairn_err_t collect(making_t *m)
{
    cairn_walk_t walk;
    uint64_t number = 0, asked_at = 0;
    cairn_err_t err;
    cairn_walk_begin(&walk, m->segment, CAIRN_SEGMENT_HEADER_BYTES, m->end);
    while ((err = cairn_walk_look(&walk)) == CAIRN_OK) {
        if (cairn_record_is_data(&walk.record) && !add_place(m, &walk, number++))
            return CAIRN_ERR_NOMEM;
        cairn_walk_step(&walk);
        if (walk.at - asked_at < PIECE_BYTES)
            continue;
        asked_at = walk.at;
        if (!may_go_on(m))
            return CAIRN_ERR_CANCELLED;
    }
    return err == CAIRN_ERR_NOT_FOUND ? CAIRN_OK : err;
}

static cairn_err_t sort(making_t *m)
{
    size_t count = m->sorted.count / sizeof(cairn_keyplace_t);
    rcu_thread_offline(); /* it may take a while */
    bool is_sorted = cairn_keysort(m->segment, m->end, (cairn_keyplace_t *)m->sorted.bytes, &count);
    rcu_thread_online();
    m->entry_count = count;
    return is_sorted ? CAIRN_OK : CAIRN_ERR_IO;
}

/** the places in the order of their keys; entry_count of them */
static const cairn_keyplace_t *sorted_places(const making_t *m)
{
    assert(m->sorted.bytes != NULL || m->entry_count == 0);
    return (const cairn_keyplace_t *)m->sorted.bytes;
}

/* ---------------------------------------------------------------- writing */

static cairn_err_t write_piece(making_t *m)
{
    rcu_thread_offline();
    cairn_err_t err = cairn_file_write_all(m->fd, m->piece.bytes, m->piece.count, m->written);
    if (err == CAIRN_OK && !cairn_dir_is_memory(m->dir))
        err = cairn_file_err_of(cairn_os->sync(m->fd));
    rcu_thread_online();
    m->written += m->piece.count;
    m->piece.count = m->block_at = 0;
    return err == CAIRN_OK && !may_go_on(m) ? CAIRN_ERR_CANCELLED : err;
}

/** ends the block being filled, which is not empty */
static cairn_err_t end_block(making_t *m)
{
    cairn_keytable_block_t *block =
        (cairn_keytable_block_t *)(m->blocks.bytes + m->blocks.count) - 1;
    block->bytes = (uint32_t)(m->piece.count - m->block_at);
    block->sum = XXH3_64bits(m->piece.bytes + m->block_at, block->bytes);
    m->block_at = m->piece.count;
    return m->piece.count >= PIECE_BYTES ? write_piece(m) : CAIRN_OK;
}

/** a block begins here, with this key; or with the last key, there are no more */
static bool begin_block(making_t *m, cairn_bytes_t key)
{
    cairn_keytable_block_t block = {.at = m->written + m->block_at,
                                    .key_at = (uint32_t)m->keys.count,
                                    .key_bytes = (uint32_t)key.count};
    return add(&m->blocks, &block, sizeof(block)) && add(&m->keys, key.base, key.count);
}

/** the entry of the record that the walk looks at */
static cairn_keytable_entry_t entry_of(const cairn_walk_t *walk)
{
    const cairn_record_t *r = &walk->record;
    return (cairn_keytable_entry_t){.version = r->version,
                                    .offset = walk->at,
                                    .expiry = cairn_record_expiry_ms(r) |
                                              (uint64_t)cairn_record_type(r) << 48,
                                    .value_bytes = r->value_bytes,
                                    .key_bytes = r->key_bytes,
                                    .meta_bytes = r->meta_bytes};
}

static cairn_err_t add_entry(making_t *m, const cairn_walk_t *walk)
{
    const cairn_record_t *r = &walk->record;
    cairn_keytable_entry_t entry = entry_of(walk);
    size_t bytes = sizeof(entry) + r->key_bytes;
    cairn_err_t err = CAIRN_OK;
    if (m->piece.count != m->block_at &&
        m->piece.count - m->block_at + bytes > CAIRN_KEYTABLE_BLOCK_BYTES)
        err = end_block(m);
    if (err != CAIRN_OK)
        return err;
    if (m->piece.count == m->block_at) {
        if (!begin_block(m, (cairn_bytes_t){cairn_record_key(r), r->key_bytes}))
            return CAIRN_ERR_NOMEM;
        ++m->block_count;
    }
    if (!add(&m->piece, &entry, sizeof(entry)) ||
        !add(&m->piece, cairn_record_key(r), r->key_bytes))
        return CAIRN_ERR_NOMEM;
    ++((cairn_keytable_block_t *)(m->blocks.bytes + m->blocks.count))[-1].count;
    return CAIRN_OK;
}

/** the blocks; `last` is left with the last record */
static cairn_err_t write_entries(making_t *m, cairn_walk_t *last)
{
    const cairn_keyplace_t *sorted = sorted_places(m);
    cairn_err_t err = CAIRN_OK;
    cairn_walk_begin(last, m->segment, CAIRN_SEGMENT_HEADER_BYTES, m->end);
    for (uint64_t i = 0; i < m->entry_count && err == CAIRN_OK; ++i) {
        err = cairn_walk_look_at(last, (uint64_t)sorted[i].place * CAIRN_RECORD_ALIGN);
        if (err == CAIRN_OK)
            err = add_entry(m, last);
    }
    if (err == CAIRN_OK && m->piece.count != m->block_at)
        err = end_block(m);
    return err;
}

static void fill_header(const making_t *m, cairn_keytable_header_t *h, uint64_t index_at)
{
    const cairn_segment_t *segment = m->segment;
    *h = (cairn_keytable_header_t){
        .magic = {'C', 'A', 'I', 'R', 'N', 'K', 'E', 'Y'},
        .format = CAIRN_KEYTABLE_FORMAT,
        .header_bytes = CAIRN_KEYTABLE_HEADER_BYTES,
        .salt = segment->salt,
        .first_version = segment->first_version,
        .generation = segment->generation,
        .block_count = m->block_count,
        .entry_count = m->entry_count,
        .end = m->end,
        .fold = segment->counts.fold,
        .last_version = segment->counts.last_version,
        .index_at = index_at,
        .index_bytes = m->piece.count,
        .place_count = m->places.count / sizeof(cairn_keytable_place_t),
        .index_sum = XXH3_64bits(m->piece.bytes, m->piece.count),
    };
    memcpy(h->uuid, m->dir->uuid, sizeof(h->uuid));
    h->sum = XXH3_64bits(h, offsetof(cairn_keytable_header_t, sum));
}

/** blocks, and what leads to them behind them */
static cairn_err_t write_table(making_t *m, cairn_keytable_header_t *header)
{
    cairn_walk_t last;
    cairn_err_t err = write_entries(m, &last);
    if (err == CAIRN_OK && m->piece.count != 0)
        err = write_piece(m);
    if (err != CAIRN_OK)
        return err;
    uint64_t index_at = m->written;
    cairn_bytes_t last_key = {NULL, 0};
    if (m->entry_count != 0)
        last_key = (cairn_bytes_t){cairn_record_key(&last.record), last.record.key_bytes};
    if (!begin_block(m, last_key) || !add(&m->piece, m->blocks.bytes, m->blocks.count) ||
        !add(&m->piece, m->places.bytes, m->places.count) ||
        !add(&m->piece, m->keys.bytes, m->keys.count))
        return CAIRN_ERR_NOMEM;
    fill_header(m, header, index_at);
    err = cairn_file_write_all(m->fd, header, sizeof(*header), 0);
    return err == CAIRN_OK ? write_piece(m) : err;
}

/* ---------------------------------------------------------------- all of it */

static cairn_err_t make(making_t *m, cairn_keytable_t *table)
{
    cairn_err_t err = collect(m);
    if (err == CAIRN_OK)
        err = sort(m);
    if (err == CAIRN_OK)
        err = write_table(m, &table->header);
    if (err == CAIRN_OK)
        err = cairn_keytable_read_index(table, m->fd);
    if (err == CAIRN_OK)
        err = cairn_keytable_map(table, m->fd);
    return err == CAIRN_ERR_CORRUPT ? CAIRN_ERR_IO : err; /* not what was written a moment ago */
}

static void dispose(making_t *m)
{
    cairn_os->free(m->sorted.bytes);
    cairn_os->free(m->places.bytes);
    cairn_os->free(m->blocks.bytes);
    cairn_os->free(m->keys.bytes);
    cairn_os->free(m->piece.bytes);
    if (m->fd >= 0)
        cairn_os->close(m->fd);
}

cairn_err_t cairn_keytable_make(cairn_keytable_t **made, cairn_segment_t *segment,
                                const cairn_dir_t *dir, bool (*go_on)(void *ctx), void *ctx)
{
    char name[CAIRN_KEYTABLE_NAME_BYTES];
    char tmp[CAIRN_KEYTABLE_NAME_BYTES + sizeof(CAIRN_KEYTABLE_TMP_SUFFIX)];
    making_t m = {.segment = segment,
                  .dir = dir,
                  .go_on = go_on,
                  .ctx = ctx,
                  .written = CAIRN_KEYTABLE_HEADER_BYTES,
                  .end = atomic_load_explicit(&segment->end, memory_order_acquire)};
    assert(m.end / CAIRN_RECORD_ALIGN <= UINT32_MAX);
    cairn_keytable_name(name, segment->first_version, segment->generation);
    snprintf(tmp, sizeof(tmp), "%s" CAIRN_KEYTABLE_TMP_SUFFIX, name);
    bool on_disk = !cairn_dir_is_memory(dir);
    m.fd = on_disk ? cairn_os->open(dir->fd, tmp, O_RDWR | O_CREAT | O_TRUNC)
                   : cairn_os->memory_file("cairn-keys");
    cairn_err_t err = cairn_file_err_of(m.fd);
    cairn_keytable_t *table = err == CAIRN_OK ? cairn_os->calloc(1, sizeof(*table)) : NULL;
    if (err == CAIRN_OK)
        err = table != NULL ? make(&m, table) : CAIRN_ERR_NOMEM;
    if (err == CAIRN_OK && on_disk)
        err = cairn_file_err_of(cairn_os->rename(dir->fd, tmp, name));
    if (err != CAIRN_OK && on_disk && m.fd >= 0)
        cairn_os->unlink(dir->fd, tmp);
    dispose(&m);
    if (err != CAIRN_OK) {
        cairn_keytable_close(table);
        return err;
    }
    *made = table;
    return CAIRN_OK;
}

/* ---------------------------------------------------------------- checking one */

/** the next entry of the table against the record of which it should be */
static cairn_err_t compare_entry(cairn_keytable_cursor_t *cursor, cairn_walk_t *walk, uint64_t at)
{
    cairn_err_t err = cairn_keytable_next(cursor);
    if (err != CAIRN_OK)
        return err == CAIRN_ERR_NOT_FOUND ? CAIRN_ERR_CORRUPT : err;
    err = cairn_walk_look_at(walk, at);
    if (err != CAIRN_OK)
        return err;
    cairn_keytable_entry_t wanted = entry_of(walk);
    cairn_bytes_t key = {cairn_record_key(&walk->record), walk->record.key_bytes};
    bool is_alike = memcmp(&wanted, &cursor->entry, sizeof(wanted)) == 0 &&
                    cairn_key_compare(key, cursor->key) == 0;
    return is_alike ? CAIRN_OK : CAIRN_ERR_CORRUPT;
}

static cairn_err_t compare_entries(const making_t *m, const cairn_keytable_t *table)
{
    const cairn_keyplace_t *sorted = sorted_places(m);
    cairn_keytable_cursor_t cursor = {.table = table};
    cairn_walk_t walk;
    cairn_err_t err = CAIRN_OK;
    cairn_walk_begin(&walk, m->segment, CAIRN_SEGMENT_HEADER_BYTES, m->end);
    for (uint64_t i = 0; i < m->entry_count && err == CAIRN_OK; ++i) {
        err = compare_entry(&cursor, &walk, (uint64_t)sorted[i].place * CAIRN_RECORD_ALIGN);
        if (err == CAIRN_OK && (i & 4095) == 0 && !may_go_on(m))
            err = CAIRN_ERR_CANCELLED;
    }
    if (err == CAIRN_OK) {
        err = cairn_keytable_next(&cursor);
        err = err == CAIRN_ERR_NOT_FOUND ? CAIRN_OK : err == CAIRN_OK ? CAIRN_ERR_CORRUPT : err;
    }
    cairn_keytable_cursor_dispose(&cursor);
    return err;
}

cairn_err_t cairn_keytable_check(const cairn_keytable_t *table, cairn_segment_t *segment,
                                 bool (*go_on)(void *ctx), void *ctx)
{
    making_t m = {.segment = segment,
                  .go_on = go_on,
                  .ctx = ctx,
                  .fd = -1,
                  .end = atomic_load_explicit(&segment->end, memory_order_acquire)};
    cairn_err_t err = collect(&m);
    if (err == CAIRN_OK)
        err = sort(&m);
    size_t places_bytes = table->header.place_count * sizeof(*table->places);
    if (err == CAIRN_OK &&
        (m.places.count != places_bytes ||
         (places_bytes != 0 && memcmp(m.places.bytes, table->places, places_bytes) != 0)))
        err = CAIRN_ERR_CORRUPT;
    if (err == CAIRN_OK)
        err = compare_entries(&m, table);
    dispose(&m);
    return err;
}
