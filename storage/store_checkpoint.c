/*
 * storage/store_checkpoint.c - when the index of an open store is written down.
 *
 * A job of upkeep once the log has grown enough, and the last thing before a store is closed.
 */
#include <string.h>

#include <urcu-qsbr.h>

#include "storage/os.h"
#include "storage/store_internal.h"

/** a failed try is not repeated before this has passed: a full disk is not filled again and again
 */
#define RETRY_NS (5 * 1000000000ull)
/** a stop writes none for less log than this: to replay it takes a few milliseconds */
#define CLOSE_TAIL_BYTES ((uint64_t)1 << 20)
/** between two pieces, rest as long as the last one took, but no longer than this: other writes get
 * the disk half of the time */
#define REST_MS_MAX 50
/** the writer's queue is full: ask again after this */
#define QUEUE_FULL_REST_MS 5

typedef struct st_job_t {
    cairn_store_t *store;
    cairn_upkeep_t *upkeep;
    uint64_t piece_began_ns;
} job_t;

static cairn_checkpoint_source_t source_of(cairn_store_t *store)
{
    return (cairn_checkpoint_source_t){.index = store->index,
                                       .space = store->space,
                                       .segments = &store->segments,
                                       .position = &store->position,
                                       .clock = &store->clock,
                                       .health = &store->health};
}

static void log_failure(cairn_store_t *store, cairn_err_t err)
{
    cairn_health_log(&store->health,
                     CAIRN_CHECKPOINT_NAME ": not written: %s; a start will replay more of the log",
                     cairn_strerror(err));
}

/* ---------------------------------------------------------------- beside writes */

/** where the job waits for the writer */
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

/** has the writer sync whatever it has written; the thread is offline */
static cairn_err_t sync_writer(job_t *job)
{
    sync_t sync = {.sink = {.on_done = on_synced},
                   .mutex = PTHREAD_MUTEX_INITIALIZER,
                   .cond = PTHREAD_COND_INITIALIZER};
    cairn_write_t *write = cairn_write_create_sync(UINT64_MAX);
    if (write == NULL)
        return CAIRN_ERR_NOMEM;
    write->sink = &sync.sink;
    cairn_err_t err;
    while ((err = cairn_store_submit(job->store, write)) == CAIRN_ERR_QUEUE_FULL) {
        rcu_thread_online();
        bool go_on = cairn_upkeep_rest(job->upkeep, QUEUE_FULL_REST_MS);
        rcu_thread_offline();
        if (!go_on)
            break;
    }
    if (err == CAIRN_OK) {
        pthread_mutex_lock(&sync.mutex);
        while (!sync.is_done)
            pthread_cond_wait(&sync.cond, &sync.mutex);
        pthread_mutex_unlock(&sync.mutex);
        err = write->err;
    }
    cairn_write_destroy(write);
    return err == CAIRN_ERR_QUEUE_FULL ? CAIRN_ERR_CANCELLED : err;
}

static cairn_err_t make_durable(void *ctx, uint64_t *version)
{
    job_t *job = ctx;
    cairn_err_t err = sync_writer(job);
    *version = atomic_load_explicit(&cairn_writer_counters(job->store->writer)->durable_version,
                                    memory_order_relaxed);
    return err;
}

static bool rest_after_piece(void *ctx)
{
    job_t *job = ctx;
    uint64_t took_ms = (cairn_os->monotonic_ns() - job->piece_began_ns) / 1000000;
    rcu_thread_online();
    bool go_on = cairn_upkeep_rest(job->upkeep, took_ms < REST_MS_MAX ? took_ms : REST_MS_MAX);
    rcu_thread_offline();
    job->piece_began_ns = cairn_os->monotonic_ns();
    return go_on;
}

static bool is_due(cairn_store_t *store)
{
    uint64_t wanted = store->options.checkpoint_bytes, failed_ns = store->checkpoint.failed_ns;
    return wanted != 0 && !cairn_dir_is_memory(&store->dir) &&
           cairn_checkpoint_tail_bytes(&store->checkpoint, &store->position) >= wanted &&
           !cairn_health_has_failed(&store->health) && !atomic_load(&store->health.disk_full) &&
           (failed_ns == 0 || cairn_os->monotonic_ns() - failed_ns >= RETRY_NS);
}

bool cairn_store_checkpoint_job(void *ctx, cairn_upkeep_t *upkeep)
{
    cairn_store_t *store = ctx;
    if (!is_due(store))
        return false;
    job_t job = {.store = store, .upkeep = upkeep, .piece_began_ns = cairn_os->monotonic_ns()};
    cairn_checkpoint_source_t source = source_of(store);
    source.make_durable = make_durable;
    source.go_on = rest_after_piece;
    source.ctx = &job;
    cairn_err_t err = cairn_checkpoint_write(&store->checkpoint, &source);
    if (err != CAIRN_OK && err != CAIRN_ERR_CANCELLED)
        log_failure(store, err);
    return true;
}

/* ---------------------------------------------------------------- at the end */

static cairn_err_t is_durable(void *ctx, uint64_t *version)
{
    *version = *(const uint64_t *)ctx;
    return CAIRN_OK;
}

void cairn_store_write_last_checkpoint(cairn_store_t *store, uint64_t durable_version)
{
    uint64_t wanted = store->options.checkpoint_bytes;
    uint64_t least = wanted < CLOSE_TAIL_BYTES ? wanted : CLOSE_TAIL_BYTES;
    if (wanted == 0 || cairn_dir_is_memory(&store->dir) || durable_version == 0 ||
        cairn_checkpoint_tail_bytes(&store->checkpoint, &store->position) < least)
        return;
    cairn_checkpoint_source_t source = source_of(store);
    source.make_durable = is_durable;
    source.ctx = &durable_version;
    rcu_register_thread();
    cairn_err_t err = cairn_checkpoint_write(&store->checkpoint, &source);
    rcu_unregister_thread();
    if (err != CAIRN_OK)
        log_failure(store, err);
}
