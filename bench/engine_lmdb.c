/*
 * bench/engine_lmdb.c - LMDB: a B+ tree, copy on write, in a memory map.
 *
 * A reader keeps one read-only transaction and renews it after each release, as its manual advises.
 */
#include <lmdb.h>
#include <stdlib.h>

#include "bench/engine.h"

typedef struct st_db_t {
    MDB_env *env;
    MDB_dbi dbi;
} db_t;

typedef struct st_reader_t {
    db_t *db;
    MDB_txn *txn;
    bool is_renewed;
} reader_t;

/** a page of 4 KiB holds 21 to 32 entries; room for that, and for pages in use by two versions */
#define MAP_BYTES_PER_KEY 1024
#define MAP_BYTES_LEAST ((size_t)1 << 30)

static void check(const char *what, int err)
{
    if (err != 0)
        engine_die("LMDB", what, mdb_strerror(err));
}

static void *open_env(const char *path, uint64_t keys)
{
    db_t *db = malloc(sizeof(*db));
    MDB_txn *txn;
    if (db == NULL)
        engine_die("LMDB", "open", "out of memory");
    check("create", mdb_env_create(&db->env));
    check("map size",
          mdb_env_set_mapsize(db->env, MAP_BYTES_LEAST + (size_t)keys * MAP_BYTES_PER_KEY));
    check("open", mdb_env_open(db->env, path, MDB_NORDAHEAD, 0600));
    check("begin", mdb_txn_begin(db->env, NULL, 0, &txn));
    check("dbi", mdb_dbi_open(txn, NULL, 0, &db->dbi));
    check("commit", mdb_txn_commit(txn));
    return db;
}

static void close_env(void *arg)
{
    db_t *db = arg;
    mdb_env_close(db->env);
    free(db);
}

/* ---------------------------------------------------------------- reading */

static void *reader_create(void *db)
{
    reader_t *reader = calloc(1, sizeof(*reader));
    if (reader == NULL)
        engine_die("LMDB", "reader", "out of memory");
    reader->db = db;
    check("begin", mdb_txn_begin(reader->db->env, NULL, MDB_RDONLY, &reader->txn));
    reader->is_renewed = true;
    return reader;
}

static void reader_destroy(void *arg)
{
    reader_t *reader = arg;
    mdb_txn_abort(reader->txn);
    free(reader);
}

static bool get(void *arg, const uint8_t *key, const uint8_t **value, size_t *count)
{
    reader_t *reader = arg;
    MDB_val name = {.mv_data = (void *)key, .mv_size = ENGINE_KEY_BYTES}, found;
    if (!reader->is_renewed)
        check("renew", mdb_txn_renew(reader->txn));
    reader->is_renewed = true;
    int err = mdb_get(reader->txn, reader->db->dbi, &name, &found);
    if (err == MDB_NOTFOUND)
        return false;
    check("get", err);
    *value = found.mv_data;
    *count = found.mv_size;
    return true;
}

static void release(void *arg)
{
    reader_t *reader = arg;
    mdb_txn_reset(reader->txn);
    reader->is_renewed = false;
}

/* ---------------------------------------------------------------- writing */

static void *writer_create(void *db)
{
    return db;
}

static void writer_destroy(void *db)
{
    (void)db;
}

static void put(void *arg, const engine_batch_t *batch, bool durable)
{
    db_t *db = arg;
    MDB_txn *txn;
    check("flags", mdb_env_set_flags(db->env, MDB_NOSYNC, !durable));
    check("begin", mdb_txn_begin(db->env, NULL, 0, &txn));
    for (size_t i = 0; i < batch->count; ++i) {
        MDB_val key = {.mv_data = (void *)(batch->keys + i * ENGINE_KEY_BYTES),
                       .mv_size = ENGINE_KEY_BYTES};
        MDB_val value = {.mv_data = (void *)(batch->values + i * ENGINE_VALUE_BYTES),
                         .mv_size = ENGINE_VALUE_BYTES};
        check("put", mdb_put(txn, db->dbi, &key, &value, 0));
    }
    check("commit", mdb_txn_commit(txn));
}

static void settle(void *arg)
{
    db_t *db = arg;
    check("sync", mdb_env_sync(db->env, 1));
}

const engine_t engine_lmdb = {
    .name = "LMDB",
    .settings = "MDB_NORDAHEAD, a map of 1 KiB a key; MDB_NOSYNC during the load only",
    .open = open_env,
    .close = close_env,
    .reader_create = reader_create,
    .reader_destroy = reader_destroy,
    .get = get,
    .release = release,
    .writer_create = writer_create,
    .writer_destroy = writer_destroy,
    .put = put,
    .settle = settle,
};
