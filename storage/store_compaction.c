/*
 * storage/store_compaction.c - what compaction needs of an open store.
 */
#include "index/qsbr.h"
#include "storage/os.h"
#include "storage/store_internal.h"

/** the writer's queue is full: ask again after this */
#define QUEUE_FULL_REST_MS 5

/* ---------------------------------------------------------------- waiting for the writer */

/** where a job waits for the writer */
typedef struct st_sync_t {
    cairn_sink_t sink; /* first: on_done casts back */
    pthread_mutex_t mutex;
    pthread_cond_t cond;
    bool is_done;
} sync_t;

static void on_synced(cairn_sink_t *sink, cairn_write_t *list)
{
    sync_t *sync = (sync_t *)sink;
    (void)list; /* the one that waits has it */
    pthread_mutex_lock(&sync->mutex);
    sync->is_done = true;
    pthread_cond_signal(&sync->cond);
    pthread_mutex_unlock(&sync->mutex);
}

static void wait_for(sync_t *sync)
{
    rcu_thread_offline();
    pthread_mutex_lock(&sync->mutex);
    while (!sync->is_done)
        pthread_cond_wait(&sync->cond, &sync->mutex);
    pthread_mutex_unlock(&sync->mutex);
    rcu_thread_online();
}

cairn_err_t cairn_store_make_durable(cairn_store_t *store, cairn_upkeep_t *upkeep,
                                     uint64_t *version)
{
    sync_t sync = {.sink = {.on_done = on_synced},
                   .mutex = PTHREAD_MUTEX_INITIALIZER,
                   .cond = PTHREAD_COND_INITIALIZER};
    cairn_write_t *write = cairn_write_create_sync(UINT64_MAX);
    if (write == NULL)
        return CAIRN_ERR_NOMEM;
    write->sink = &sync.sink;
    cairn_err_t err;
    while ((err = cairn_store_submit(store, write)) == CAIRN_ERR_QUEUE_FULL)
        if (!cairn_upkeep_rest(upkeep, QUEUE_FULL_REST_MS))
            break;
    if (err == CAIRN_OK) {
        wait_for(&sync);
        err = write->err;
    }
    cairn_write_destroy(write);
    /* not the writer's counter, which runs ahead of the index while a commit is being applied */
    *version = cairn_watches_version(&store->watches);
    return err == CAIRN_ERR_QUEUE_FULL ? CAIRN_ERR_CANCELLED : err;
}

/* ---------------------------------------------------------------- what compaction asks for */

static cairn_err_t make_durable(void *ctx, uint64_t *version)
{
    cairn_store_t *store = ctx;
    return cairn_store_make_durable(store, store->upkeep, version);
}

static bool is_named(void *ctx, uint64_t salt)
{
    return cairn_checkpoint_names(&((cairn_store_t *)ctx)->checkpoint, salt);
}

static void drop_checkpoint(void *ctx)
{
    cairn_store_t *store = ctx;
    if (cairn_checkpoint_drop(&store->checkpoint) != CAIRN_OK)
        cairn_health_log(&store->health, CAIRN_LOG_WARNING,
                         CAIRN_CHECKPOINT_NAME ": cannot be removed");
}

static void stop_checkpoints(void *ctx)
{
    ((cairn_store_t *)ctx)->no_checkpoints = true;
}

static void read_load(void *ctx, cairn_log_load_t *load)
{
    const cairn_writer_counters_t *writer = cairn_writer_counters(((cairn_store_t *)ctx)->writer);
    *load = (cairn_log_load_t){.sync_ns =
                                   atomic_load_explicit(&writer->sync_ns_sum, memory_order_relaxed),
                               .bytes = atomic_load_explicit(&writer->bytes, memory_order_relaxed)};
    for (size_t i = 0; i < CAIRN_HISTOGRAM_BUCKETS; ++i)
        load->syncs += atomic_load_explicit(&writer->syncs[i], memory_order_relaxed);
}

static uint64_t position_first(void *ctx)
{
    uint64_t log_bytes;
    return cairn_position_get(&((cairn_store_t *)ctx)->position, &log_bytes).first_version;
}

cairn_compaction_t *cairn_store_make_compaction(cairn_store_t *store)
{
    cairn_compaction_parts_t parts = {
        .dir = &store->dir,
        .space = store->space,
        .segments = &store->segments,
        .index = store->index,
        .clock = &store->clock,
        .health = &store->health,
        .reserve = &store->reserve,
        .segment_bytes = store->options.segment_bytes,
        .tombstone_retention_ms = store->options.tombstone_retention_ms,
        .make_durable = make_durable,
        .is_named = is_named,
        .drop_checkpoint = drop_checkpoint,
        .stop_checkpoints = stop_checkpoints,
        .read_load = read_load,
        .position_first = position_first,
        .ctx = store,
    };
    return cairn_compaction_create(&parts);
}
