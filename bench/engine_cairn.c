/*
 * bench/engine_cairn.c - cairn through storage/store.h, as its server drives it.
 *
 * A batch is enqueued write by write, then the writer is woken, as at the end of a turn of the
 * server's loop; it gathers what is queued into group commits, and the sink hands them back. A
 * batch is over when the last write is back.
 */
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <stdlib.h>

#include "bench/engine.h"
#include "storage/store.h"

typedef struct st_reader_t {
    cairn_store_t *store;
} reader_t;

typedef struct st_batch_sink_t {
    cairn_sink_t super;
    cairn_store_t *store;
    size_t waiting; /* the writer thread's while a batch is under way */
    cairn_err_t err;
    sem_t done;
} batch_sink_t;

typedef struct st_waiting_load_t {
    cairn_load_t super;
    sem_t done;
} waiting_load_t;

static void die(const char *what, cairn_err_t err)
{
    engine_die("cairn", what, cairn_strerror(err));
}

static void *open_store(const char *path, uint64_t keys)
{
    char errmsg[CAIRN_ERRMSG_BYTES];
    cairn_store_options_t options = {
        .path = path, /* the rest as in configs/default.yaml */
        .segment_bytes = (uint64_t)64 << 20,
        .sync_interval_ms = 100,
        .checkpoint_bytes = (uint64_t)256 << 20,
        .queue_ops_max = 65536,
        .queue_bytes_max = (uint64_t)256 << 20,
        .io_threads = 4,
    };
    cairn_store_t *store;
    (void)keys;
    if (cairn_store_open(&store, &options, errmsg) != CAIRN_OK)
        engine_die("cairn", "open", errmsg);
    return store;
}

static void close_store(void *db)
{
    cairn_err_t err = cairn_store_close(db);
    if (err != CAIRN_OK)
        die("close", err);
}

/* ---------------------------------------------------------------- reading */

static void *reader_create(void *db)
{
    reader_t *reader = malloc(sizeof(*reader));
    if (reader == NULL)
        die("reader", CAIRN_ERR_NOMEM);
    reader->store = db;
    cairn_thread_register();
    return reader;
}

static void reader_destroy(void *reader)
{
    cairn_thread_unregister();
    free(reader);
}

static void on_loaded(cairn_load_t *load)
{
    sem_post(&((waiting_load_t *)load)->done);
}

/** a record the kernel has dropped from its cache: the server would go on with other requests */
static cairn_err_t get_cold(cairn_store_t *store, const cairn_key_t *key, cairn_value_t *value)
{
    waiting_load_t load = {.super = {.loc = value->loc, .on_done = on_loaded}};
    sem_init(&load.done, 0, 0);
    cairn_store_load(store, &load.super);
    while (sem_wait(&load.done) != 0)
        ;
    sem_destroy(&load.done);
    if (load.super.err != CAIRN_OK)
        return load.super.err;
    return cairn_store_get(store, key, value->loc, value);
}

static bool get(void *arg, const uint8_t *bytes, const uint8_t **value, size_t *count)
{
    reader_t *reader = arg;
    cairn_key_t key = cairn_store_key(reader->store, bytes, ENGINE_KEY_BYTES);
    cairn_value_t found;
    cairn_err_t err = cairn_store_get(reader->store, &key, 0, &found);
    while (err == CAIRN_ERR_COLD)
        err = get_cold(reader->store, &key, &found);
    if (err == CAIRN_ERR_NOT_FOUND)
        return false;
    if (err != CAIRN_OK)
        die("get", err);
    *value = found.bytes;
    *count = found.count;
    return true;
}

static void release(void *reader)
{
    (void)reader;
    cairn_thread_quiescent();
}

/* ---------------------------------------------------------------- writing */

static void on_done(cairn_sink_t *super, cairn_write_t *list)
{
    batch_sink_t *sink = (batch_sink_t *)super;
    while (list != NULL) {
        cairn_write_t *write = list;
        list = write->next;
        if (write->err != CAIRN_OK)
            sink->err = write->err;
        cairn_write_destroy(write);
        if (--sink->waiting == 0)
            sem_post(&sink->done);
    }
}

static void *writer_create(void *db)
{
    batch_sink_t *sink = calloc(1, sizeof(*sink));
    if (sink == NULL)
        die("writer", CAIRN_ERR_NOMEM);
    sink->super.on_done = on_done;
    sink->store = db;
    sem_init(&sink->done, 0, 0);
    cairn_thread_register();
    return sink;
}

static void writer_destroy(void *arg)
{
    batch_sink_t *sink = arg;
    cairn_thread_unregister();
    sem_destroy(&sink->done);
    free(sink);
}

static void enqueue(batch_sink_t *sink, const uint8_t *key_bytes, const uint8_t *value_bytes,
                    bool durable)
{
    cairn_key_t key = cairn_key(0, key_bytes, ENGINE_KEY_BYTES);
    cairn_bytes_t value = {.base = value_bytes, .count = ENGINE_VALUE_BYTES};
    cairn_write_t *write =
        cairn_write_create(CAIRN_WRITE_PUT, &key, (cairn_bytes_t){.count = 0}, value);
    cairn_err_t err;
    if (write == NULL)
        die("put", CAIRN_ERR_NOMEM);
    write->durability = durable ? CAIRN_SYNC : CAIRN_ASYNC;
    write->sink = &sink->super;
    while ((err = cairn_store_enqueue(sink->store, write)) == CAIRN_ERR_QUEUE_FULL) {
        cairn_store_wake(sink->store);
        sched_yield();
    }
    if (err != CAIRN_OK)
        die("enqueue", err);
}

static void put(void *arg, const engine_batch_t *batch, bool durable)
{
    batch_sink_t *sink = arg;
    sink->waiting = batch->count;
    for (size_t i = 0; i < batch->count; ++i)
        enqueue(sink, batch->keys + i * ENGINE_KEY_BYTES, batch->values + i * ENGINE_VALUE_BYTES,
                durable);
    cairn_store_wake(sink->store);
    cairn_thread_quiescent();
    while (sem_wait(&sink->done) != 0)
        ;
    if (sink->err != CAIRN_OK)
        die("put", sink->err);
}

/* ---------------------------------------------------------------- looking */

static void read_stats(void *db, cairn_store_stats_t *stats)
{
    cairn_thread_register();
    cairn_store_stats(db, stats);
    cairn_thread_unregister();
}

static uint64_t syncs(void *db)
{
    cairn_store_stats_t stats;
    uint64_t sum = 0;
    read_stats(db, &stats);
    for (size_t i = 0; i < CAIRN_HISTOGRAM_BUCKETS; ++i)
        sum += stats.syncs[i];
    return sum;
}

static uint64_t index_bytes(void *db)
{
    cairn_store_stats_t stats;
    read_stats(db, &stats);
    return stats.index_bytes;
}

const engine_t engine_cairn = {
    .name = "cairn",
    .settings = "none: as in configs/default.yaml (segments of 64 MiB); every body read is "
                "checked against its checksum",
    .open = open_store,
    .close = close_store,
    .reader_create = reader_create,
    .reader_destroy = reader_destroy,
    .get = get,
    .release = release,
    .writer_create = writer_create,
    .writer_destroy = writer_destroy,
    .put = put,
    .syncs = syncs,
    .index_bytes = index_bytes,
};
