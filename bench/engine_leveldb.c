/*
 * bench/engine_leveldb.c - LevelDB: a log-structured merge tree.
 *
 * Its C interface knows no borrowed value: every get returns a copy.
 */
#include <leveldb/c.h>
#include <stdlib.h>

#include "bench/engine.h"

#define BLOOM_BITS_PER_KEY 10
#define WRITE_BUFFER_BYTES ((size_t)64 << 20) /* as RocksDB's default */

typedef struct st_db_t {
    leveldb_t *db;
    leveldb_options_t *options;
    leveldb_cache_t *cache;
    leveldb_filterpolicy_t *filter;
    leveldb_writeoptions_t *durable, *fast;
} db_t;

/** values held at a time; released together */
#define HELD_MAX 128

typedef struct st_reader_t {
    leveldb_t *db;
    leveldb_readoptions_t *options;
    char *held[HELD_MAX];
    size_t held_count;
} reader_t;

typedef struct st_writer_t {
    db_t *db;
    leveldb_writebatch_t *batch;
} writer_t;

static void check(const char *what, const char *err)
{
    if (err != NULL)
        engine_die("LevelDB", what, err);
}

static void *allocate(size_t bytes)
{
    void *memory = calloc(1, bytes);
    if (memory == NULL)
        engine_die("LevelDB", "open", "out of memory");
    return memory;
}

static void *open_db(const char *path, uint64_t keys)
{
    db_t *db = allocate(sizeof(*db));
    char *err = NULL;
    db->options = leveldb_options_create();
    db->cache = leveldb_cache_create_lru(engine_cache_bytes(keys));
    db->filter = leveldb_filterpolicy_create_bloom(BLOOM_BITS_PER_KEY);
    leveldb_options_set_create_if_missing(db->options, 1);
    leveldb_options_set_compression(db->options, leveldb_no_compression);
    leveldb_options_set_cache(db->options, db->cache);
    leveldb_options_set_filter_policy(db->options, db->filter);
    leveldb_options_set_write_buffer_size(db->options, WRITE_BUFFER_BYTES);
    db->durable = leveldb_writeoptions_create();
    leveldb_writeoptions_set_sync(db->durable, 1);
    db->fast = leveldb_writeoptions_create();
    db->db = leveldb_open(db->options, path, &err);
    check("open", err);
    return db;
}

static void close_db(void *arg)
{
    db_t *db = arg;
    leveldb_close(db->db);
    leveldb_writeoptions_destroy(db->durable);
    leveldb_writeoptions_destroy(db->fast);
    leveldb_options_destroy(db->options);
    leveldb_filterpolicy_destroy(db->filter);
    leveldb_cache_destroy(db->cache);
    free(db);
}

/* ---------------------------------------------------------------- reading */

static void *reader_create(void *db)
{
    reader_t *reader = allocate(sizeof(*reader));
    reader->db = ((db_t *)db)->db;
    reader->options = leveldb_readoptions_create();
    return reader;
}

static void release(void *arg)
{
    reader_t *reader = arg;
    for (size_t i = 0; i < reader->held_count; ++i)
        leveldb_free(reader->held[i]);
    reader->held_count = 0;
}

static void reader_destroy(void *arg)
{
    reader_t *reader = arg;
    release(reader);
    leveldb_readoptions_destroy(reader->options);
    free(reader);
}

static bool get(void *arg, const uint8_t *key, const uint8_t **value, size_t *count)
{
    reader_t *reader = arg;
    char *err = NULL;
    if (reader->held_count == HELD_MAX)
        engine_die("LevelDB", "get", "too many values held");
    char *found =
        leveldb_get(reader->db, reader->options, (const char *)key, ENGINE_KEY_BYTES, count, &err);
    check("get", err);
    if (found == NULL)
        return false;
    reader->held[reader->held_count++] = found;
    *value = (const uint8_t *)found;
    return true;
}

/* ---------------------------------------------------------------- writing */

static void *writer_create(void *db)
{
    writer_t *writer = allocate(sizeof(*writer));
    writer->db = db;
    writer->batch = leveldb_writebatch_create();
    return writer;
}

static void writer_destroy(void *arg)
{
    writer_t *writer = arg;
    leveldb_writebatch_destroy(writer->batch);
    free(writer);
}

static void put(void *arg, const engine_batch_t *batch, bool durable)
{
    writer_t *writer = arg;
    char *err = NULL;
    leveldb_writebatch_clear(writer->batch);
    for (size_t i = 0; i < batch->count; ++i)
        leveldb_writebatch_put(
            writer->batch, (const char *)batch->keys + i * ENGINE_KEY_BYTES, ENGINE_KEY_BYTES,
            (const char *)batch->values + i * ENGINE_VALUE_BYTES, ENGINE_VALUE_BYTES);
    leveldb_write(writer->db->db, durable ? writer->db->durable : writer->db->fast, writer->batch,
                  &err);
    check("write", err);
}

static void settle(void *arg)
{
    db_t *db = arg;
    leveldb_compact_range(db->db, NULL, 0, NULL, 0);
}

const engine_t engine_leveldb = {
    .name = "LevelDB",
    .settings = "block cache that holds all, bloom filter of 10 bits, write buffer 64 MiB, no "
                "compression; compacted by hand after the load",
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
