/*
 * storage/store.c - the door of storage: puts the parts together, and reads.
 */
#include "storage/store.h"

#include <stdio.h>
#include <string.h>

#include "index/qsbr.h"
#include "storage/guard.h"
#include "storage/lost.h"
#include "storage/os.h"
#include "storage/probe.h"
#include "storage/quarantine.h"
#include "storage/reclaimer.h"
#include "storage/recovery.h"
#include "storage/residency.h"
#include "storage/salvage.h"
#include "storage/snapshot.h"
#include "storage/store_internal.h"

void cairn_thread_register(void)
{
    rcu_register_thread();
}

void cairn_thread_unregister(void)
{
    rcu_unregister_thread();
}

void cairn_thread_quiescent(void)
{
    rcu_quiescent_state();
}

/* ---------------------------------------------------------------- open and close */

/** in order of urgency */
static void add_upkeep_jobs(cairn_store_t *store)
{
    cairn_upkeep_add(store->upkeep, cairn_store_keytable_job, store);
    cairn_upkeep_add(store->upkeep, cairn_compaction_unlink, store->compaction);
    cairn_upkeep_add(store->upkeep, cairn_store_checkpoint_job, store);
    if (!store->options.no_compaction)
        cairn_upkeep_add(store->upkeep, cairn_compaction_run, store->compaction);
    cairn_upkeep_add(store->upkeep, cairn_scrub_job, &store->scrub);
}

static cairn_err_t start_threads(cairn_store_t *store, cairn_log_t *log)
{
    cairn_writer_options_t options = {
        .sync_interval_ms = store->options.sync_interval_ms,
        .segment_bytes = store->options.segment_bytes,
        .value_bytes_max = store->options.value_bytes_max,
        .queue_ops_max = store->options.queue_ops_max,
        .queue_bytes_max = store->options.queue_bytes_max,
        .in_memory = cairn_dir_is_memory(&store->dir),
    };
    store->iopool = cairn_iopool_start(store->options.io_threads);
    if (store->iopool == NULL)
        return CAIRN_ERR_NOMEM;
    store->upkeep = cairn_upkeep_create();
    if (store->upkeep == NULL)
        return CAIRN_ERR_NOMEM;
    cairn_maintenance_parts_t maintenance = {
        .dir = &store->dir,
        .space = store->space,
        .segments = &store->segments,
        .health = &store->health,
        .reserve = &store->reserve,
        .upkeep = store->upkeep,
        .segment_bytes = store->options.segment_bytes,
        .max_bytes = store->options.max_bytes,
    };
    store->maintenance = cairn_maintenance_start(&maintenance);
    if (store->maintenance == NULL)
        return CAIRN_ERR_NOMEM;
    store->writer = cairn_writer_start(log, store->index, store->space, &store->segments,
                                       store->maintenance, &store->health, &store->clock,
                                       &store->watches, &store->position, &options);
    if (store->writer == NULL)
        return CAIRN_ERR_NOMEM;
    cairn_store_sweep_keytables(store);
    cairn_scrub_init(&store->scrub, &store->segments, &store->health, store->index,
                     store->dir.hash_seed, store->options.scrub_rate);
    add_upkeep_jobs(store);
    return store->options.upkeep_by_hand || cairn_upkeep_start(store->upkeep) ? CAIRN_OK
                                                                              : CAIRN_ERR_NOMEM;
}

/** what the open has found of segments that others have taken the place of is compaction's to
 * unlink
 */
static cairn_err_t adopt_superseded(cairn_store_t *store, cairn_recovered_t *recovered)
{
    cairn_err_t err = CAIRN_OK;
    store->compaction = cairn_store_make_compaction(store);
    if (store->compaction == NULL)
        err = CAIRN_ERR_NOMEM;
    for (size_t i = 0; i < recovered->superseded_count; ++i) {
        if (err == CAIRN_OK)
            err = cairn_compaction_adopt(store->compaction, recovered->superseded[i]);
        if (err != CAIRN_OK)
            cairn_segment_close(recovered->superseded[i]);
    }
    cairn_os->free(recovered->superseded);
    return err;
}

/** what somebody has taken note of, if it is still lost: what is lost beyond that is said again */
static cairn_err_t settle_accepted(cairn_store_t *store, char *errmsg)
{
    cairn_damage_t damage = {.records = 0};
    cairn_dir_t *dir = &store->dir;
    cairn_lost_sum(&store->segments, &damage);
    if (damage.lost_versions < dir->accepted)
        dir->accepted = damage.lost_versions; /* the next note says so */
    if (!store->options.accept_loss || damage.lost_versions == dir->accepted)
        return CAIRN_OK;
    dir->accepted = damage.lost_versions;
    cairn_err_t err = cairn_dir_note(dir, dir->newest_first, dir->durable_version);
    if (err != CAIRN_OK)
        snprintf(errmsg, CAIRN_ERRMSG_BYTES,
                 CAIRN_STORE_NAME " cannot be replaced, to say which loss is accepted: %s",
                 cairn_strerror(err));
    else
        cairn_health_log(
            &store->health, CAIRN_LOG_INFO, "accepted: up to %llu versions are lost, %llu to %llu",
            (unsigned long long)damage.lost_versions, (unsigned long long)damage.lost_first,
            (unsigned long long)damage.lost_last);
    return err;
}

static cairn_err_t recover_and_start(cairn_store_t *store, char *errmsg)
{
    cairn_recovery_parts_t parts = {.dir = &store->dir,
                                    .segments = &store->segments,
                                    .health = &store->health,
                                    .clock = &store->clock,
                                    .position = &store->position,
                                    .checkpoint = &store->checkpoint};
    cairn_recovered_t recovered;
    cairn_log_t log;
    cairn_err_t err = cairn_recover(&parts, &store->options, &recovered, errmsg);
    store->space = recovered.space;
    store->index = recovered.index;
    store->reclaimer = recovered.reclaimer;
    if (err != CAIRN_OK)
        return err;
    store->quarantined = cairn_quarantine_count(&store->dir);
    err = adopt_superseded(store, &recovered);
    if (err == CAIRN_OK) {
        err = cairn_lost_count(&store->segments, store->index, store->dir.hash_seed, errmsg);
        if (err == CAIRN_OK)
            err = settle_accepted(store, errmsg);
        if (err != CAIRN_OK)
            return err;
        err = cairn_log_init(&log);
    }
    if (err == CAIRN_OK) {
        cairn_log_resume(&log, recovered.active, recovered.last_version, &recovered.chain);
        err = start_threads(store, &log);
        if (err != CAIRN_OK)
            cairn_log_dispose(&log);
    }
    if (err != CAIRN_OK)
        snprintf(errmsg, CAIRN_ERRMSG_BYTES, "no memory or no threads for the store");
    return err;
}

cairn_err_t cairn_store_open(cairn_store_t **opened, const cairn_store_options_t *options,
                             char *errmsg)
{
    cairn_store_t *store = cairn_os->calloc(1, sizeof(*store));
    if (store == NULL) {
        snprintf(errmsg, CAIRN_ERRMSG_BYTES, "no memory");
        return CAIRN_ERR_NOMEM;
    }
    store->options = *options;
    store->health.on_log = options->on_log;
    store->health.ctx = options->ctx;
    cairn_segments_init(&store->segments);
    cairn_feed_marks_init(&store->feed_marks);
    cairn_runs_init(&store->runs);
    cairn_position_init(&store->position);
    cairn_checkpoint_init(&store->checkpoint, &store->dir);
    cairn_reserve_init(&store->reserve, options->no_compaction ? NULL : &store->dir,
                       options->segment_bytes);
    cairn_err_t err = options->salvage
                          ? cairn_dir_open_to_salvage(&store->dir, options->path, errmsg)
                          : cairn_dir_open(&store->dir, options->path, errmsg);
    if (err == CAIRN_OK && cairn_guard_install() < 0) {
        snprintf(errmsg, CAIRN_ERRMSG_BYTES, "read errors of the disk cannot be caught");
        err = CAIRN_ERR_NOMEM;
    }
    if (err == CAIRN_OK) {
        cairn_store_clean_snapshots(store);
        rcu_register_thread(); /* replaying reads the index */
        if (options->salvage)
            err = cairn_salvage(&store->dir, options, &store->health, errmsg);
        if (err == CAIRN_OK)
            err = recover_and_start(store, errmsg);
        rcu_unregister_thread();
    }
    if (err != CAIRN_OK) {
        cairn_store_close(store);
        return err;
    }
    *opened = store;
    return CAIRN_OK;
}

void cairn_store_set_value_bytes_max(cairn_store_t *store, uint64_t bytes)
{
    cairn_writer_set_value_bytes_max(store->writer, bytes);
}

void cairn_store_set_queue_max(cairn_store_t *store, uint64_t ops, uint64_t bytes)
{
    cairn_writer_set_queue_max(store->writer, ops, bytes);
}

/** a watermark for the next start; the log is whole without it */
static void note_end(cairn_store_t *store, uint64_t durable_version)
{
    uint64_t log_bytes;
    cairn_position_t position = cairn_position_get(&store->position, &log_bytes);
    cairn_closed_t closed = {.salt = position.salt, .end = position.end};
    cairn_segment_t *newest = cairn_segments_newest(&store->segments);
    if (position.version != durable_version)
        closed.end = 0;
    cairn_dir_note_closed(&store->dir, newest != NULL ? newest->first_version : 0, durable_version,
                          &closed);
}

cairn_err_t cairn_store_close(cairn_store_t *store)
{
    uint64_t durable_version = 0;
    cairn_err_t err = CAIRN_OK;
    if (store->reclaimer != NULL)
        cairn_reclaimer_stop(store->reclaimer);
    if (store->upkeep != NULL)
        cairn_upkeep_stop(store->upkeep); /* its jobs ask the writer */
    if (store->writer != NULL)
        cairn_writer_stop(store->writer, &durable_version);
    if (store->maintenance != NULL)
        cairn_maintenance_stop(store->maintenance);
    if (store->upkeep != NULL)
        cairn_upkeep_destroy(store->upkeep);
    if (store->iopool != NULL)
        cairn_iopool_stop(store->iopool);
    if (cairn_health_has_failed(&store->health)) {
        err = CAIRN_ERR_FAILED;
    } else if (store->writer != NULL) {
        cairn_store_write_last_checkpoint(store, durable_version);
        while (cairn_compaction_unlink(store->compaction, NULL))
            ;
        note_end(store, durable_version);
    }
    cairn_compaction_destroy(store->compaction);
    cairn_segments_dispose(&store->segments);
    cairn_feed_marks_dispose(&store->feed_marks);
    cairn_runs_dispose(&store->runs);
    cairn_checkpoint_dispose(&store->checkpoint);
    cairn_reserve_dispose(&store->reserve);
    cairn_position_dispose(&store->position);
    if (store->space != NULL)
        cairn_space_destroy(store->space);
    if (store->index != NULL)
        cairn_index_destroy(store->index);
    cairn_dir_close(&store->dir);
    cairn_os->free(store);
    return err;
}

void cairn_store_upkeep(cairn_store_t *store)
{
    cairn_upkeep_run(store->upkeep);
}

void cairn_store_compact(cairn_store_t *store)
{
    cairn_compaction_ask(store->compaction);
    cairn_upkeep_wake(store->upkeep);
}

cairn_key_t cairn_store_key(const cairn_store_t *store, const void *bytes, size_t count)
{
    return cairn_key(store->dir.hash_seed, bytes, count);
}

/* ---------------------------------------------------------------- reading */

/** writes that are looked up together */
#define PREFETCH_MAX 64

/** of a record that has just been brought in: up to where it is in memory, and that it is verified
 */
#define LOADED UINT64_MAX

/** whether the body behind a valid head may be given out; COLD sends the caller to load it. The
 * segment is known to be in memory up to offset `in_memory_to` */
static cairn_err_t check_body(cairn_segment_t *segment, const cairn_record_t *r, uint64_t offset,
                              uint64_t in_memory_to)
{
    uint64_t bytes = cairn_record_bytes(r);
    if (in_memory_to == LOADED)
        return CAIRN_OK;
    if (bytes > CAIRN_LARGE_BYTES)
        return cairn_residency_is_verified(segment, offset, bytes) ? CAIRN_OK : CAIRN_ERR_COLD;
    if (offset + bytes > in_memory_to && cairn_residency_check(segment, offset, bytes) == 0)
        return CAIRN_ERR_COLD;
    cairn_residency_note_use(segment, offset, bytes);
    return cairn_record_body_is_valid(r) ? CAIRN_OK : CAIRN_ERR_DAMAGED;
}

static void fill_value(cairn_value_t *value, const cairn_record_t *r)
{
    value->bytes = cairn_record_value(r);
    value->count = r->value_bytes;
    value->meta = (cairn_bytes_t){.base = cairn_record_meta(r), .count = r->meta_bytes};
    value->version = r->version;
    value->written_ms = cairn_record_written_ms(r);
    value->expiry_ms = cairn_record_expiry_ms(r);
}

/** what has once been said to be gone stays gone, though the clock be set back */
static bool has_expired(cairn_store_t *store, uint64_t expiry_ms)
{
    uint64_t now_ms = cairn_clock_now(&store->clock);
    if (expiry_ms > now_ms)
        return false;
    cairn_clock_raise(&store->clock, now_ms);
    return true;
}

/** a value being taken from where it lies */
typedef struct st_take_t {
    cairn_store_t *store;
    const cairn_record_t *record;
    cairn_value_t *value;
    uint64_t offset;
    uint64_t in_memory_to; /* offset up to which the segment is known to be; or LOADED */
    bool may_expire;       /* it is the present one, and not what a get of a batch has found */
    cairn_err_t err;
} take_t;

/** under a guard: the disk may fail to deliver what is touched here */
static void take(void *ctx)
{
    take_t *t = ctx;
    uint64_t expiry_ms = t->may_expire ? cairn_record_expiry_ms(t->record) : 0;
    if (expiry_ms != 0 && has_expired(t->store, expiry_ms)) {
        t->err = CAIRN_ERR_NOT_FOUND;
        return;
    }
    t->err = check_body(t->value->_segment, t->record, t->offset, t->in_memory_to);
    if (t->err == CAIRN_OK)
        fill_value(t->value, t->record);
}

static cairn_err_t take_from_map(cairn_store_t *store, uint64_t loc, uint64_t in_memory_to,
                                 bool may_expire, cairn_value_t *value)
{
    value->loc = loc;
    value->_segment = cairn_space_segment(store->space, loc);
    take_t t = {.store = store,
                .record = cairn_space_record(store->space, loc),
                .value = value,
                .offset = cairn_segment_offset(value->_segment, loc),
                .in_memory_to = in_memory_to,
                .may_expire = may_expire};
    return cairn_guard_run(take, &t) ? t.err : CAIRN_ERR_IO;
}

cairn_err_t cairn_store_take_at(cairn_store_t *store, uint64_t loc, bool is_loaded,
                                cairn_value_t *value)
{
    return take_from_map(store, loc, is_loaded ? LOADED : 0, false, value);
}

cairn_err_t cairn_store_take(cairn_store_t *store, const cairn_probe_t *probe, uint64_t loc,
                             cairn_value_t *value)
{
    if (!probe->cold && probe->fault == CAIRN_OK)
        return take_from_map(store, loc, loc == probe->loaded ? LOADED : probe->in_memory_to, true,
                             value);
    value->loc = loc;
    value->_segment = cairn_space_segment(store->space, loc);
    return probe->cold ? CAIRN_ERR_COLD : probe->fault;
}

cairn_err_t cairn_store_get(cairn_store_t *store, const cairn_key_t *key, uint64_t loaded,
                            cairn_value_t *value)
{
    cairn_probe_t probe = {.space = store->space, .key = key, .loaded = loaded};
    cairn_loc_t loc;
    if (!cairn_index_find(store->index, key->hash, cairn_probe_match, &probe, &loc))
        return CAIRN_ERR_NOT_FOUND;
    return cairn_store_take(store, &probe, loc, value);
}

static cairn_err_t peek(cairn_store_t *store, const cairn_key_t *key, bool whole, uint64_t *loc,
                        cairn_seen_t *seen)
{
    cairn_probe_t probe = {.space = store->space, .key = key};
    *seen = (cairn_seen_t){.loc = 0};
    if (!cairn_index_find(store->index, key->hash, cairn_probe_match, &probe, loc))
        return CAIRN_OK;
    if (probe.cold)
        return CAIRN_ERR_COLD;
    if (probe.fault != CAIRN_OK)
        return CAIRN_OK;
    if (!cairn_probe_see(store->space, *loc, seen))
        return CAIRN_ERR_COLD;
    if (!whole)
        return CAIRN_OK;
    cairn_segment_t *segment = cairn_space_segment(store->space, *loc);
    uint64_t offset = cairn_segment_offset(segment, *loc), bytes = seen->bytes;
    bool is_there = bytes > CAIRN_LARGE_BYTES ? cairn_residency_is_verified(segment, offset, bytes)
                                              : cairn_residency_check(segment, offset, bytes) != 0;
    return is_there ? CAIRN_OK : CAIRN_ERR_COLD;
}

cairn_err_t cairn_store_peek(cairn_store_t *store, const cairn_key_t *key, bool whole,
                             uint64_t *loc)
{
    cairn_seen_t seen;
    return peek(store, key, whole, loc, &seen);
}

cairn_err_t cairn_store_peek_write(cairn_store_t *store, cairn_write_t *write, bool whole,
                                   uint64_t *loc)
{
    return peek(store, &write->key, whole, loc, &write->_seen);
}

void cairn_store_prefetch(cairn_store_t *store, const cairn_write_t *first)
{
    cairn_probe_t probe = {.space = store->space};
    while (first != NULL && first->next != NULL) { /* one by itself gains nothing */
        uint64_t hashes[PREFETCH_MAX];
        size_t count = 0;
        for (; first != NULL && count < PREFETCH_MAX; first = first->next)
            hashes[count++] = first->key.hash; /* of what has no key, a line for nothing */
        cairn_index_prefetch(store->index, count, hashes, cairn_probe_prefetch, &probe);
    }
}

uint64_t cairn_store_now_ms(const cairn_store_t *store)
{
    return cairn_clock_now(&store->clock);
}

bool cairn_value_copy(const cairn_value_t *value, size_t from, void *to, size_t count)
{
    assert(from <= value->count && count <= value->count - from);
    return cairn_guard_copy(to, value->bytes + from, count);
}

bool cairn_value_copy_meta(const cairn_value_t *value, void *to)
{
    return cairn_guard_copy(to, value->meta.base, value->meta.count);
}

void cairn_value_pin(const cairn_value_t *value)
{
    cairn_segment_pin(value->_segment);
}

void cairn_value_unpin(const cairn_value_t *value)
{
    cairn_segment_unpin(value->_segment);
}

/* ---------------------------------------------------------------- loading */

/** what is brought in of a record before its head says how long it is */
#define LOAD_GUESS_BYTES 4096

typedef struct st_load_job_t {
    cairn_job_t super;
    cairn_load_t *load;
} load_job_t;

static cairn_err_t bring_in(cairn_segment_t *segment, uint64_t offset, uint64_t bytes)
{
    /* a large value is loaded to be verified, too */
    if (!cairn_os->is_resident(segment->map + offset, bytes))
        cairn_residency_note_load(segment);
    /* a fault on the map would read page by page, each a round trip to the disk */
    cairn_os->will_need(segment->map + offset, bytes);
    return cairn_os->populate(segment->map + offset, bytes) < 0 ? CAIRN_ERR_IO : CAIRN_OK;
}

/** a record being verified that has just been brought in */
typedef struct st_verify_t {
    const cairn_segment_t *segment;
    const cairn_record_t *record;
    uint64_t offset;
    uint64_t available;
    bool is_valid;
} verify_t;

static void verify(void *ctx)
{
    verify_t *v = ctx;
    v->is_valid =
        cairn_record_head_is_valid(v->record, v->available, v->segment->salt, v->offset) &&
        cairn_record_body_is_valid(v->record);
}

cairn_err_t cairn_store_load_record(cairn_segment_t *segment, uint64_t offset)
{
    const cairn_record_t *r = (const cairn_record_t *)(segment->map + offset);
    uint64_t available = atomic_load_explicit(&segment->written, memory_order_acquire) - offset;
    /* mostly all of a small record in one read, though it lies in two pages */
    cairn_err_t err =
        bring_in(segment, offset, available < LOAD_GUESS_BYTES ? available : LOAD_GUESS_BYTES);
    if (err != CAIRN_OK)
        return err;
    /* not yet to be believed, but enough to know how far to read before checking */
    uint64_t bytes;
    if (!cairn_probe_measure(r, &bytes))
        return CAIRN_ERR_IO;
    if (bytes > available)
        return CAIRN_ERR_DAMAGED;
    err = bring_in(segment, offset, bytes);
    if (err != CAIRN_OK)
        return err;
    verify_t v = {.segment = segment, .record = r, .offset = offset, .available = available};
    if (!cairn_guard_run(verify, &v))
        return CAIRN_ERR_IO;
    if (!v.is_valid)
        return CAIRN_ERR_DAMAGED;
    cairn_residency_stamp(segment, offset, bytes);
    return CAIRN_OK;
}

static void run_load(cairn_job_t *job)
{
    cairn_load_t *load = ((load_job_t *)job)->load;
    cairn_segment_t *segment = load->_segment;
    load->err = cairn_store_load_record(segment, cairn_segment_offset(segment, load->loc));
    cairn_segment_unpin(segment);
    atomic_fetch_add_explicit(&load->_store->loads, 1, memory_order_relaxed);
    cairn_os->free(job);
    load->on_done(load);
}

void cairn_store_load(cairn_store_t *store, cairn_load_t *load)
{
    load_job_t *job = cairn_os->alloc(sizeof(*job));
    load->_store = store;
    load->_segment = cairn_space_segment(store->space, load->loc);
    if (job == NULL) {
        load->err = CAIRN_ERR_NOMEM;
        load->on_done(load);
        return;
    }
    *job = (load_job_t){.super = {.run = run_load}, .load = load};
    cairn_segment_pin(load->_segment);
    cairn_iopool_submit(store->iopool, &job->super);
}

/* ---------------------------------------------------------------- writing */

void cairn_store_rehash(const cairn_store_t *store, cairn_write_t *write)
{
    if (write->op != CAIRN_WRITE_SYNC && write->op != CAIRN_WRITE_ROLL)
        write->key = cairn_store_key(store, write->key.bytes, write->key.count);
}

cairn_err_t cairn_store_enqueue(cairn_store_t *store, cairn_write_t *write)
{
    cairn_store_rehash(store, write);
    return cairn_writer_enqueue(store->writer, write);
}

void cairn_store_wake(cairn_store_t *store)
{
    cairn_writer_wake(store->writer);
}

cairn_err_t cairn_store_submit(cairn_store_t *store, cairn_write_t *write)
{
    cairn_err_t err = cairn_store_enqueue(store, write);
    if (err == CAIRN_OK)
        cairn_store_wake(store);
    return err;
}
