/*
 * storage/store_checkpoint.c - when the index of an open store is written down.
 *
 * A job of upkeep once the log has grown enough, and the last thing before a store is closed.
 */
#include <string.h>

#include "index/qsbr.h"
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

/** no more than one part of so many of the disk is kept for its sake, or one segment */
#define RETIRED_PARTS 16

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
    cairn_health_log(&store->health, CAIRN_LOG_WARNING,
                     CAIRN_CHECKPOINT_NAME ": not written: %s; a start will replay more of the log",
                     cairn_strerror(err));
}

/* ---------------------------------------------------------------- beside writes */

static cairn_err_t make_durable(void *ctx, uint64_t *version)
{
    job_t *job = ctx;
    return cairn_store_make_durable(job->store, job->upkeep, version);
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

/** segments that have been replaced wait for a checkpoint that does not name them */
static bool holds_too_much(cairn_store_t *store)
{
    uint64_t retired = cairn_segments_retired_bytes(&store->segments);
    uint64_t most = cairn_segments_bytes(&store->segments) / RETIRED_PARTS;
    return retired > most && retired > store->options.segment_bytes &&
           cairn_compaction_waits_for_checkpoint(store->compaction);
}

/** whether any are written at all */
static bool writes_any(const cairn_store_t *store)
{
    return store->options.checkpoint_bytes != 0 && !store->no_checkpoints;
}

/** whether one may be written or removed now */
static bool may_change(cairn_store_t *store)
{
    uint64_t failed_ns = store->checkpoint.failed_ns;
    return !cairn_dir_is_memory(&store->dir) && !cairn_health_has_failed(&store->health) &&
           (failed_ns == 0 || cairn_os->monotonic_ns() - failed_ns >= RETRY_NS);
}

static bool is_due(cairn_store_t *store)
{
    return (cairn_checkpoint_tail_bytes(&store->checkpoint, &store->position) >=
                store->options.checkpoint_bytes ||
            holds_too_much(store)) &&
           !atomic_load(&store->health.disk_full);
}

/** where none follows that does not name what was replaced, the one there is makes room */
static bool give_way(cairn_store_t *store)
{
    if (!holds_too_much(store))
        return false;
    bool is_gone = cairn_checkpoint_drop(&store->checkpoint) == CAIRN_OK;
    store->checkpoint.failed_ns = is_gone ? 0 : cairn_os->monotonic_ns();
    if (is_gone)
        cairn_health_log(&store->health, CAIRN_LOG_INFO,
                         CAIRN_CHECKPOINT_NAME ": removed: it keeps segments that have been "
                                               "replaced, and none is written any more");
    else
        cairn_health_log(&store->health, CAIRN_LOG_WARNING,
                         CAIRN_CHECKPOINT_NAME ": cannot be removed");
    return true;
}

bool cairn_store_checkpoint_job(void *ctx, cairn_upkeep_t *upkeep)
{
    cairn_store_t *store = ctx;
    if (!may_change(store))
        return false;
    if (!writes_any(store))
        return give_way(store);
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
    if (!writes_any(store) || cairn_dir_is_memory(&store->dir) || durable_version == 0 ||
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
