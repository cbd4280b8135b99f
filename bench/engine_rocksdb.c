/*
 * bench/engine_rocksdb.c - RocksDB: a log-structured merge tree.
 *
 * Set up for point lookups as its own OptimizeForPointLookup() does, with a block cache that holds
 * everything. Values are borrowed from the cache (get_pinned), not copied.
 */
#include <rocksdb/c.h>
#include <stdlib.h>

#include "bench/engine.h"

#define BLOOM_BITS_PER_KEY 10
#define HASH_RATIO 0.75
#define BACKGROUND_THREADS 2

typedef struct st_db_t {
    rocksdb_t *db;
    rocksdb_options_t *options;
    rocksdb_block_based_table_options_t *table;
    rocksdb_cache_t *cache;
    rocksdb_writeoptions_t *durable, *fast;
} db_t;

/** values held at a time; released together */
#define HELD_MAX 128

typedef struct st_reader_t {
    rocksdb_t *db;
    rocksdb_readoptions_t *options;
    rocksdb_pinnableslice_t *held[HELD_MAX];
    size_t held_count;
} reader_t;

typedef struct st_writer_t {
    db_t *db;
    rocksdb_writebatch_t *batch;
} writer_t;

static void check(const char *what, const char *err)
{
    if (err != NULL)
        engine_die("RocksDB", what, err);
}

static void *allocate(size_t bytes)
{
    void *memory = calloc(1, bytes);
    if (memory == NULL)
        engine_die("RocksDB", "open", "out of memory");
    return memory;
}

static void set_table_options(db_t *db, uint64_t keys)
{
    db->table = rocksdb_block_based_options_create();
    db->cache = rocksdb_cache_create_lru(engine_cache_bytes(keys));
    rocksdb_block_based_options_set_block_cache(db->table, db->cache);
    /* the table's options own the filter */
    rocksdb_block_based_options_set_filter_policy(
        db->table, rocksdb_filterpolicy_create_bloom_full(BLOOM_BITS_PER_KEY));
    rocksdb_block_based_options_set_data_block_index_type(
        db->table, rocksdb_block_based_table_data_block_index_type_binary_search_and_hash);
    rocksdb_block_based_options_set_data_block_hash_ratio(db->table, HASH_RATIO);
    rocksdb_options_set_block_based_table_factory(db->options, db->table);
}

static void *open_db(const char *path, uint64_t keys)
{
    db_t *db = allocate(sizeof(*db));
    char *err = NULL;
    db->options = rocksdb_options_create();
    rocksdb_options_set_create_if_missing(db->options, 1);
    rocksdb_options_set_compression(db->options, rocksdb_no_compression);
    rocksdb_options_increase_parallelism(db->options, BACKGROUND_THREADS);
    set_table_options(db, keys);
    db->durable = rocksdb_writeoptions_create();
    rocksdb_writeoptions_set_sync(db->durable, 1);
    db->fast = rocksdb_writeoptions_create();
    db->db = rocksdb_open(db->options, path, &err);
    check("open", err);
    return db;
}

static void close_db(void *arg)
{
    db_t *db = arg;
    rocksdb_close(db->db);
    rocksdb_writeoptions_destroy(db->durable);
    rocksdb_writeoptions_destroy(db->fast);
    rocksdb_options_destroy(db->options);
    rocksdb_block_based_options_destroy(db->table);
    rocksdb_cache_destroy(db->cache);
    free(db);
}

/* ---------------------------------------------------------------- reading */

static void *reader_create(void *db)
{
    reader_t *reader = allocate(sizeof(*reader));
    reader->db = ((db_t *)db)->db;
    reader->options = rocksdb_readoptions_create();
    return reader;
}

static void release(void *arg)
{
    reader_t *reader = arg;
    for (size_t i = 0; i < reader->held_count; ++i)
        rocksdb_pinnableslice_destroy(reader->held[i]);
    reader->held_count = 0;
}

static void reader_destroy(void *arg)
{
    reader_t *reader = arg;
    release(reader);
    rocksdb_readoptions_destroy(reader->options);
    free(reader);
}

static bool get(void *arg, const uint8_t *key, const uint8_t **value, size_t *count)
{
    reader_t *reader = arg;
    char *err = NULL;
    if (reader->held_count == HELD_MAX)
        engine_die("RocksDB", "get", "too many values held");
    rocksdb_pinnableslice_t *found =
        rocksdb_get_pinned(reader->db, reader->options, (const char *)key, ENGINE_KEY_BYTES, &err);
    check("get", err);
    if (found == NULL)
        return false;
    reader->held[reader->held_count++] = found;
    *value = (const uint8_t *)rocksdb_pinnableslice_value(found, count);
    return true;
}

/* ---------------------------------------------------------------- writing */

static void *writer_create(void *db)
{
    writer_t *writer = allocate(sizeof(*writer));
    writer->db = db;
    writer->batch = rocksdb_writebatch_create();
    return writer;
}

static void writer_destroy(void *arg)
{
    writer_t *writer = arg;
    rocksdb_writebatch_destroy(writer->batch);
    free(writer);
}

static void put(void *arg, const engine_batch_t *batch, bool durable)
{
    writer_t *writer = arg;
    char *err = NULL;
    rocksdb_writebatch_clear(writer->batch);
    for (size_t i = 0; i < batch->count; ++i)
        rocksdb_writebatch_put(
            writer->batch, (const char *)batch->keys + i * ENGINE_KEY_BYTES, ENGINE_KEY_BYTES,
            (const char *)batch->values + i * ENGINE_VALUE_BYTES, ENGINE_VALUE_BYTES);
    rocksdb_write(writer->db->db, durable ? writer->db->durable : writer->db->fast, writer->batch,
                  &err);
    check("write", err);
}

static void settle(void *arg)
{
    db_t *db = arg;
    rocksdb_compact_range(db->db, NULL, 0, NULL, 0);
}

const engine_t engine_rocksdb = {
    .name = "RocksDB",
    .settings = "block cache that holds all, full bloom filter of 10 bits, hash index in data "
                "blocks, no compression, 2 background threads; compacted by hand after the load",
    .open = open_db,
    .close = close_db,
    .reader_create = reader_create,
    .reader_destroy = reader_destroy,
    .get = get,
    .release = release,
    .writer_create = writer_create,
    .writer_destroy = writer_destroy,
    .put = put,
    .settle = settle,
};
