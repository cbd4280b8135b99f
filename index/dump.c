/*
 * index/dump.c - the tables as they are, written down and taken up again.
 *
 * A dump, in the byte order of the machine, which the magic number tells:
 *
 *   offset             bytes
 *   0                  4096                    head: head_t, then zeros, then XXH3 of all before it
 *   4096               table_bytes             the buckets of one generation, as in memory
 *   4096 + table_bytes 8 * stripes             tail: keys of each stripe, those in its stash
 * included 8                       stash entries: n 16 * n                  fingerprint and
 * location of each 8 * blocks              XXH3 of each block of 1 MiB of the buckets 8 XXH3 of the
 * tail before it, seeded with the head's
 *
 * A dump is valid if and only if the head's checksum and fields are right, its length is what head
 * and tail say, the tail's checksum is right, and so is that of every block.
 *
 * Each unit is copied under its stripe's lock together with its part of the stash, so an entry is
 * dumped once, wherever it is; sweeps are paused, so that there is one generation. The bytes of a
 * load are anyone's: whatever they say, no search and no later growth leaves the mapping. A slot is
 * whatever it is; where it says an entry came from is taken modulo the block (cairn_rebuild).
 */
#include "index/index_internal.h"

#include <string.h>
#include <xxhash.h>

#define MAGIC UINT64_C(0x78646e696e726963) /* "cirnindx" */
#define FORMAT_VERSION 1
#define HEAD_BYTES ((size_t)4096)
#define BLOCK_BYTES ((size_t)1 << 20)

typedef struct st_head_t {
    uint64_t magic;
    uint32_t version;
    uint16_t stripe_bits;
    uint16_t block_bits;
    uint64_t generation;
    uint64_t table_bytes;
    uint8_t zeros[4096 - 40];
    uint64_t checksum;
} head_t;

_Static_assert(sizeof(head_t) == HEAD_BYTES, "the head is a page, so that the buckets are aligned");

typedef struct st_tail_entry_t {
    uint64_t fingerprint;
    uint64_t loc;
} tail_entry_t;

const char *cairn_index_dump_text(cairn_index_dump_result_t result)
{
    static const char *const texts[] = {
#define X(name, text) [name] = text,
        CAIRN_INDEX_DUMP_RESULTS(X)
#undef X
    };
    return texts[result];
}

static size_t checksum_blocks(size_t table_bytes)
{
    return (table_bytes + BLOCK_BYTES - 1) / BLOCK_BYTES;
}

/* ---- writing */

/* bytes that grow at the end */
typedef struct st_tail_t {
    char *bytes;
    size_t count, room;
} tail_t;

static bool tail_append(tail_t *tail, const void *bytes, size_t count)
{
    if (count == 0)
        return true;
    if (tail->count + count > tail->room) {
        size_t room = (tail->count + count) * 2;
        char *larger = cairn_memory_alloc(NULL, room);
        if (larger == NULL)
            return false;
        if (tail->count != 0)
            memcpy(larger, tail->bytes, tail->count);
        cairn_memory_free(NULL, tail->bytes, tail->room);
        tail->bytes = larger;
        tail->room = room;
    }
    memcpy(tail->bytes + tail->count, bytes, count);
    tail->count += count;
    return true;
}

typedef struct st_dump_t {
    cairn_index_t *index;
    const cairn_table_t *table; /* without a sweep, and none begins */
    cairn_index_write_cb write;
    void *ctx;
    head_t head;
    uint64_t keys[CAIRN_STRIPES_MAX];
    tail_t stash;     /* tail_entry_t of all stripes */
    tail_t checksums; /* of the blocks */
    char *block;      /* BLOCK_BYTES, of which so many are filled: */
    size_t filled;
} dump_t;

static bool copy_stash_locked(dump_t *dump, unsigned stripe, uint64_t unit)
{
    cairn_index_t *index = dump->index;
    cairn_stash_level_t *level =
        atomic_load_explicit(&index->views[stripe].stash, memory_order_relaxed);

    for (; level != NULL; level = atomic_load_explicit(&level->below, memory_order_relaxed))
        for (uint32_t i = 0; i < (uint32_t)1 << level->capacity_bits; ++i) {
            uint64_t stored =
                atomic_load_explicit(&level->entries[i].fingerprint, memory_order_relaxed);
            if (stored == 0 || (stored - 1) >> dump->table->unit_bits != unit)
                continue;
            tail_entry_t entry = {
                stored - 1, atomic_load_explicit(&level->entries[i].loc, memory_order_relaxed)};
            if (!tail_append(&dump->stash, &entry, sizeof(entry)))
                return false;
            ++dump->keys[stripe];
        }
    return true;
}

static bool copy_unit(dump_t *dump, uint64_t unit, uint64_t *copy)
{
    const cairn_view_t *view = &dump->table->to;
    const cairn_bucket_t *block = view->base + unit * view->buckets;
    unsigned stripe = cairn_stripe_of(dump->index, unit << dump->table->unit_bits);
    bool copied;

    pthread_mutex_lock(&dump->index->stripe[stripe].lock);
    for (uint32_t at = 0; at < view->buckets; ++at)
        for (unsigned i = 0; i < CAIRN_BUCKET_SLOTS; ++i) {
            *copy = cairn_slot_peek(&block[at].slots[i]);
            dump->keys[stripe] += *copy++ != 0;
        }
    copied = copy_stash_locked(dump, stripe, unit);
    pthread_mutex_unlock(&dump->index->stripe[stripe].lock);
    return copied;
}

static cairn_index_dump_result_t flush_block(dump_t *dump)
{
    uint64_t checksum = XXH3_64bits(dump->block, dump->filled);

    if (dump->filled == 0)
        return CAIRN_INDEX_DUMP_OK;
    if (!tail_append(&dump->checksums, &checksum, sizeof(checksum)))
        return CAIRN_INDEX_DUMP_NOMEM;
    if (!dump->write(dump->ctx, dump->block, dump->filled))
        return CAIRN_INDEX_DUMP_STOPPED;
    dump->filled = 0;
    return CAIRN_INDEX_DUMP_OK;
}

static cairn_index_dump_result_t write_units(dump_t *dump)
{
    size_t unit_bytes = dump->table->to.buckets * sizeof(cairn_bucket_t);
    uint64_t copy[CAIRN_BLOCK_BUCKETS_MAX * CAIRN_BUCKET_SLOTS];
    cairn_index_dump_result_t result = CAIRN_INDEX_DUMP_OK;

    for (uint64_t unit = 0; unit < dump->table->units; ++unit) {
        if (!copy_unit(dump, unit, copy))
            return CAIRN_INDEX_DUMP_NOMEM;
        for (size_t done = 0; done < unit_bytes;) {
            size_t some = BLOCK_BYTES - dump->filled;
            if (some > unit_bytes - done)
                some = unit_bytes - done;
            memcpy(dump->block + dump->filled, (const char *)copy + done, some);
            dump->filled += some;
            done += some;
            if (dump->filled == BLOCK_BYTES && (result = flush_block(dump)) != CAIRN_INDEX_DUMP_OK)
                return result;
        }
    }
    return flush_block(dump);
}

static cairn_index_dump_result_t write_tail(dump_t *dump)
{
    cairn_index_dump_result_t result = CAIRN_INDEX_DUMP_NOMEM;
    uint64_t entries = dump->stash.count / sizeof(tail_entry_t), checksum;
    tail_t tail = {NULL, 0, 0};

    if (tail_append(&tail, dump->keys, dump->index->stripes * sizeof(dump->keys[0])) &&
        tail_append(&tail, &entries, sizeof(entries)) &&
        tail_append(&tail, dump->stash.bytes, dump->stash.count) &&
        tail_append(&tail, dump->checksums.bytes, dump->checksums.count)) {
        checksum = XXH3_64bits_withSeed(tail.bytes, tail.count, dump->head.checksum);
        if (tail_append(&tail, &checksum, sizeof(checksum)))
            result = dump->write(dump->ctx, tail.bytes, tail.count) ? CAIRN_INDEX_DUMP_OK
                                                                    : CAIRN_INDEX_DUMP_STOPPED;
    }
    cairn_memory_free(NULL, tail.bytes, tail.room);
    return result;
}

static cairn_index_dump_result_t write_head(dump_t *dump)
{
    const cairn_view_t *view = &dump->table->to;

    dump->head = (head_t){.magic = MAGIC,
                          .version = FORMAT_VERSION,
                          .stripe_bits = (uint16_t)dump->index->shape.stripe_bits,
                          .block_bits = (uint16_t)dump->index->shape.block_bits,
                          .generation = view->generation->number,
                          .table_bytes =
                              cairn_generation_bytes(dump->index->shape, view->generation->number)};
    dump->head.checksum = XXH3_64bits(&dump->head, offsetof(head_t, checksum));
    return dump->write(dump->ctx, &dump->head, sizeof(dump->head)) ? CAIRN_INDEX_DUMP_OK
                                                                   : CAIRN_INDEX_DUMP_STOPPED;
}

static bool pause_sweeps(cairn_index_t *index)
{
    pthread_mutex_lock(&index->sweep);
    bool finished = cairn_growth_finish_locked(index);
    if (finished)
        ++index->paused;
    pthread_mutex_unlock(&index->sweep);
    return finished;
}

static void resume_sweeps(cairn_index_t *index)
{
    pthread_mutex_lock(&index->sweep);
    --index->paused;
    pthread_mutex_unlock(&index->sweep);
}

cairn_index_dump_result_t cairn_index_dump(cairn_index_t *index, cairn_index_write_cb write,
                                           void *ctx)
{
    cairn_index_dump_result_t result = CAIRN_INDEX_DUMP_NOMEM;
    dump_t *dump = cairn_memory_alloc(NULL, sizeof(*dump));

    if (dump == NULL)
        return CAIRN_INDEX_DUMP_NOMEM;
    if ((dump->block = cairn_memory_alloc(NULL, BLOCK_BYTES)) == NULL)
        goto Exit;
    if (!pause_sweeps(index))
        goto Exit;
    dump->index = index;
    dump->table = cairn_table(index);
    dump->write = write;
    dump->ctx = ctx;
    if ((result = write_head(dump)) == CAIRN_INDEX_DUMP_OK &&
        (result = write_units(dump)) == CAIRN_INDEX_DUMP_OK)
        result = write_tail(dump);
    resume_sweeps(index);

Exit:
    cairn_memory_free(NULL, dump->stash.bytes, dump->stash.room);
    cairn_memory_free(NULL, dump->checksums.bytes, dump->checksums.room);
    cairn_memory_free(NULL, dump->block, BLOCK_BYTES);
    cairn_memory_free(NULL, dump, sizeof(*dump));
    return result;
}

/* ---- reading */

/* a dump in memory, its parts found and its head and tail believed */
typedef struct st_parts_t {
    head_t head;
    cairn_shape_t shape;
    const char *table;
    const char *keys; /* from here on not aligned to anything */
    const char *stash;
    uint64_t stash_entries;
    const char *checksums;
} parts_t;

static uint64_t number_at(const char *bytes, size_t at)
{
    uint64_t number;

    memcpy(&number, bytes + at * sizeof(number), sizeof(number));
    return number;
}

static cairn_index_dump_result_t read_head(const char *bytes, size_t count, parts_t *parts)
{
    head_t *head = &parts->head;

    if (count < sizeof(*head))
        return CAIRN_INDEX_DUMP_SIZE;
    memcpy(head, bytes, sizeof(*head));
    if (head->magic != MAGIC || head->version != FORMAT_VERSION)
        return CAIRN_INDEX_DUMP_FOREIGN;
    if (XXH3_64bits(head, offsetof(head_t, checksum)) != head->checksum ||
        head->stripe_bits > CAIRN_STRIPE_BITS_MAX || head->block_bits < CAIRN_BLOCK_BITS_MIN ||
        head->block_bits > CAIRN_BLOCK_BITS_MAX || head->generation >= CAIRN_GENERATIONS)
        return CAIRN_INDEX_DUMP_DAMAGED;
    parts->shape = (cairn_shape_t){head->stripe_bits, head->block_bits};
    if (head->table_bytes != cairn_generation_bytes(parts->shape, (unsigned)head->generation))
        return CAIRN_INDEX_DUMP_DAMAGED;
    return CAIRN_INDEX_DUMP_OK;
}

/* where they are, by the head and the size; nothing of the tail is looked at */
static cairn_index_dump_result_t find_parts(const char *bytes, size_t count, parts_t *parts)
{
    cairn_index_dump_result_t result = read_head(bytes, count, parts);

    if (result != CAIRN_INDEX_DUMP_OK)
        return result;

    size_t table_bytes = parts->head.table_bytes;
    size_t keys_bytes = sizeof(uint64_t) << parts->shape.stripe_bits;
    size_t checksum_bytes = checksum_blocks(table_bytes) * sizeof(uint64_t);
    /* all of the tail but the stash entries: keys, how many entries, checksums, its own checksum */
    size_t tail_bytes_min = keys_bytes + sizeof(uint64_t) + checksum_bytes + sizeof(uint64_t);
    size_t tail_at = HEAD_BYTES + table_bytes;

    if (count < tail_at || count - tail_at < tail_bytes_min)
        return CAIRN_INDEX_DUMP_SIZE;
    size_t stash_bytes = count - tail_at - tail_bytes_min;
    if (stash_bytes % sizeof(tail_entry_t) != 0)
        return CAIRN_INDEX_DUMP_DAMAGED;
    parts->table = bytes + HEAD_BYTES;
    parts->keys = bytes + tail_at;
    parts->stash_entries = stash_bytes / sizeof(tail_entry_t);
    parts->stash = parts->keys + keys_bytes + sizeof(uint64_t);
    parts->checksums = parts->stash + stash_bytes;
    return CAIRN_INDEX_DUMP_OK;
}

static cairn_index_dump_result_t verify_tail(const char *bytes, size_t count, const parts_t *parts)
{
    size_t tail_bytes = count - (size_t)(parts->keys - bytes);
    uint64_t checksum = number_at(bytes + count - sizeof(uint64_t), 0);

    if (XXH3_64bits_withSeed(parts->keys, tail_bytes - sizeof(uint64_t), parts->head.checksum) !=
            checksum ||
        number_at(parts->stash - sizeof(uint64_t), 0) != parts->stash_entries)
        return CAIRN_INDEX_DUMP_DAMAGED;
    return CAIRN_INDEX_DUMP_OK;
}

static cairn_index_dump_result_t read_parts(const char *bytes, size_t count, parts_t *parts)
{
    cairn_index_dump_result_t result = find_parts(bytes, count, parts);

    return result != CAIRN_INDEX_DUMP_OK ? result : verify_tail(bytes, count, parts);
}

/* every so many-th block */
static cairn_index_dump_result_t verify_table(const parts_t *parts, size_t first, size_t stride)
{
    for (size_t at = first * BLOCK_BYTES; at < parts->head.table_bytes;
         at += stride * BLOCK_BYTES) {
        size_t bytes = parts->head.table_bytes - at;
        if (bytes > BLOCK_BYTES)
            bytes = BLOCK_BYTES;
        if (XXH3_64bits(parts->table + at, bytes) != number_at(parts->checksums, at / BLOCK_BYTES))
            return CAIRN_INDEX_DUMP_DAMAGED;
    }
    return CAIRN_INDEX_DUMP_OK;
}

cairn_index_dump_result_t cairn_index_verify(const void *bytes, size_t count)
{
    return cairn_index_verify_part(bytes, count, 0, 1);
}

cairn_index_dump_result_t cairn_index_verify_part(const void *bytes, size_t count, unsigned part,
                                                  unsigned parts)
{
    parts_t found;
    /* the tail grows with the dump, and so may the number of parts: one of them has it */
    cairn_index_dump_result_t result =
        part == 0 ? read_parts(bytes, count, &found) : find_parts(bytes, count, &found);

    return result != CAIRN_INDEX_DUMP_OK ? result : verify_table(&found, part, parts);
}

/* how many entries of the tail belong to a stripe: room is made for all before the first goes in */
static void count_stash(const cairn_index_t *index, const parts_t *parts, size_t *counts)
{
    for (uint64_t i = 0; i < parts->stash_entries; ++i)
        ++counts[cairn_stripe_of(index, number_at(parts->stash, i * 2)) % index->stripes];
}

static cairn_index_dump_result_t load_stash(cairn_index_t *index, const parts_t *parts)
{
    size_t counts[CAIRN_STRIPES_MAX] = {0};

    count_stash(index, parts, counts);
    for (unsigned stripe = 0; stripe < index->stripes; ++stripe)
        if (counts[stripe] != 0 && !cairn_stash_reserve(index, stripe, counts[stripe]))
            return CAIRN_INDEX_DUMP_NOMEM;
    for (uint64_t i = 0; i < parts->stash_entries; ++i) {
        uint64_t fingerprint = number_at(parts->stash, i * 2);
        uint64_t loc = number_at(parts->stash, i * 2 + 1);
        if (fingerprint >> index->fingerprint_bits != 0 || loc == 0 || loc > CAIRN_LOC_MAX)
            return CAIRN_INDEX_DUMP_DAMAGED;
        cairn_stash_insert(index, cairn_stripe_of(index, fingerprint), fingerprint, loc);
    }
    return CAIRN_INDEX_DUMP_OK;
}

static cairn_index_dump_result_t load_keys(cairn_index_t *index, const parts_t *parts)
{
    uint64_t slots = parts->head.table_bytes / sizeof(cairn_slot_t);
    uint64_t keys_max = slots / index->stripes + parts->stash_entries;

    for (unsigned stripe = 0; stripe < index->stripes; ++stripe) {
        uint64_t keys = number_at(parts->keys, stripe);
        if (keys > keys_max)
            return CAIRN_INDEX_DUMP_DAMAGED;
        atomic_store_explicit(&index->stripe[stripe].keys, keys, memory_order_relaxed);
    }
    return CAIRN_INDEX_DUMP_OK;
}

/* a generation that lies in the mapping, which becomes the index's */
static cairn_generation_t *adopt(cairn_index_t *index, void *mapping, size_t count,
                                 const parts_t *parts)
{
    cairn_generation_t *generation = cairn_memory_alloc(index, sizeof(*generation));

    if (generation == NULL)
        return NULL;
    *generation =
        (cairn_generation_t){.retired = {.kind = CAIRN_RETIRED_GENERATION},
                             .base = (cairn_bucket_t *)(void *)((char *)mapping + HEAD_BYTES),
                             .number = (unsigned)parts->head.generation,
                             .bytes = parts->head.table_bytes,
                             .chunk_bytes = 4096,
                             .held_end = parts->head.table_bytes,
                             .mapping = mapping,
                             .mapping_bytes = count};
    return generation;
}

cairn_index_dump_result_t cairn_index_load(void *mapping, size_t count, bool verify,
                                           cairn_index_t **index)
{
    parts_t parts;
    cairn_index_dump_result_t result = read_parts(mapping, count, &parts);

    if (result != CAIRN_INDEX_DUMP_OK ||
        (verify && (result = verify_table(&parts, 0, 1)) != CAIRN_INDEX_DUMP_OK))
        return result;

    cairn_index_t *loaded = cairn_index_create_bare(parts.shape);
    if (loaded == NULL)
        return CAIRN_INDEX_DUMP_NOMEM;
    if ((result = load_keys(loaded, &parts)) != CAIRN_INDEX_DUMP_OK ||
        (result = load_stash(loaded, &parts)) != CAIRN_INDEX_DUMP_OK)
        goto Error;

    cairn_generation_t *generation = adopt(loaded, mapping, count, &parts);
    cairn_table_t *table = NULL;
    if (generation != NULL)
        table = cairn_table_create(loaded, generation, generation);
    if (table == NULL) {
        cairn_memory_free(loaded, generation, sizeof(*generation));
        result = CAIRN_INDEX_DUMP_NOMEM;
        goto Error;
    }
    atomic_fetch_add_explicit(&loaded->bytes, (int64_t)count, memory_order_relaxed);
    /* release: pairs with the acquire in cairn_table() */
    atomic_store_explicit(&loaded->table, table, memory_order_release);
    *index = loaded;
    return CAIRN_INDEX_DUMP_OK;

Error:
    cairn_index_destroy(loaded);
    return result;
}
