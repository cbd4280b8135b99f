/*
 * storage/store_stats.c - how a store is.
 */
#include "storage/guard.h"
#include "storage/lost.h"
#include "storage/store_internal.h"

static uint64_t load_relaxed(const _Atomic uint64_t *counter)
{
    return atomic_load_explicit(counter, memory_order_relaxed);
}

void cairn_store_damage(cairn_store_t *store, cairn_damage_t *damage)
{
    *damage = (cairn_damage_t){
        .records = load_relaxed(&store->scrub.damaged),
        .quarantined = store->quarantined,
        .accepted_versions = store->dir.accepted,
    };
    cairn_lost_sum(&store->segments, damage);
}

bool cairn_store_has_failed(const cairn_store_t *store)
{
    return cairn_health_has_failed(&store->health);
}

uint64_t cairn_store_last_version(const cairn_store_t *store)
{
    return load_relaxed(&cairn_writer_counters(store->writer)->last_version);
}

static void sum_segments(cairn_store_t *store, cairn_store_stats_t *stats)
{
    pthread_mutex_lock(&store->segments.mutex);
    stats->segments = store->segments.count;
    for (size_t i = 0; i < store->segments.count; ++i) {
        const cairn_segment_t *segment = store->segments.list[i];
        stats->disk_bytes += atomic_load_explicit(&segment->end, memory_order_acquire);
        stats->dead_bytes += load_relaxed(&segment->dead_bytes);
    }
    pthread_mutex_unlock(&store->segments.mutex);
}

void cairn_store_stats(cairn_store_t *store, cairn_store_stats_t *stats)
{
    const cairn_writer_counters_t *writer = cairn_writer_counters(store->writer);
    cairn_index_stats_t index;
    cairn_index_stats(store->index, &index);
    *stats = (cairn_store_stats_t){
        .keys = index.keys,
        .index_bytes = index.bytes,
        .index_slots = index.slots,
        .index_finds = index.finds,
        .index_probes = index.probes,
        .last_version = load_relaxed(&writer->last_version),
        .durable_version = load_relaxed(&writer->durable_version),
        .queued_ops = load_relaxed(&writer->queued_ops),
        .queued_bytes = load_relaxed(&writer->queued_bytes),
        .commits = load_relaxed(&writer->commits),
        .commit_records = load_relaxed(&writer->records),
        .commit_bytes = load_relaxed(&writer->bytes),
        .sync_ns_sum = load_relaxed(&writer->sync_ns_sum),
        .loads = load_relaxed(&store->loads),
        .scrubbed_bytes = load_relaxed(&store->scrub.bytes),
        .scrub_passes = load_relaxed(&store->scrub.passes),
        .read_faults = cairn_guard_faults(),
        .disk_full = atomic_load(&store->health.disk_full),
        .failed = cairn_health_has_failed(&store->health),
        .in_memory = cairn_dir_is_memory(&store->dir),
    };
    for (size_t i = 0; i < CAIRN_HISTOGRAM_BUCKETS; ++i)
        stats->syncs[i] = load_relaxed(&writer->syncs[i]);
    sum_segments(store, stats);
    cairn_compaction_stats(store->compaction, &stats->compaction);
    cairn_store_damage(store, &stats->damage);
}

size_t cairn_store_segments(cairn_store_t *store, size_t from, cairn_segment_info_t *infos,
                            size_t count)
{
    size_t n = 0;
    pthread_mutex_lock(&store->segments.mutex);
    for (size_t i = from; i < store->segments.count && n < count; ++i, ++n) {
        const cairn_segment_t *segment = store->segments.list[i];
        cairn_segment_name(infos[n].name, segment->first_version, segment->generation);
        infos[n].first_version = segment->first_version;
        infos[n].generation = segment->generation;
        infos[n].end = atomic_load_explicit(&segment->end, memory_order_acquire);
        infos[n].dead_bytes = load_relaxed(&segment->dead_bytes);
        infos[n].sealed = atomic_load_explicit(&segment->sealed, memory_order_acquire);
    }
    pthread_mutex_unlock(&store->segments.mutex);
    return n;
}
