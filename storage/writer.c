/*
 * storage/writer.c - the one thread that writes.
 *
 * A commit in order: admit (decide, give version and place), write, [async: index, answer], sync,
 * publish, index, answer, tell feeds. Nothing is in the index or answered before that order says
 * so, and the order stands in finish_commit() and nowhere else.
 */
#include "storage/writer.h"

#include <pthread.h>
#include <string.h>

#include "index/qsbr.h"
#include "storage/apply.h"
#include "storage/os.h"
#include "storage/residency.h"
#include "storage/write.h"
#include "storage/writer_internal.h"

/** idle for this long, a MARK says that the last commit is durable: rot in it is then no torn tail
 */
#define IDLE_MARK_NS (20 * 1000000ull)
/** and for this long, a MARK says how late it has been, if somebody was told that a value is gone
 */
#define CLOCK_MARK_NS (1000 * 1000000ull)
/** keys that are looked up together */
#define AHEAD_MAX 64
/** puts leave this much of a segment to deletes, which must go on when the disk is full */
#define DELETE_RESERVE_BYTES 65536

static void add(_Atomic uint64_t *counter, uint64_t n)
{
    /* one thread writes it: no locked instruction is needed */
    atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + n,
                          memory_order_relaxed);
}

/* ---------------------------------------------------------------- deciding */

/** the log has gone on in a segment that is smaller than others, for want of room */
static bool is_for_deletes(const cairn_writer_t *w)
{
    return w->log.active != NULL && w->log.active->bytes_made < w->options.segment_bytes &&
           atomic_load_explicit(&w->health->disk_full, memory_order_relaxed);
}

uint64_t cairn_writer_reserve(const cairn_writer_t *w, const cairn_write_t *write)
{
    if (write->op != CAIRN_WRITE_DELETE && is_for_deletes(w))
        return w->options.segment_bytes; /* all of it */
    /* always, not just once the disk is known to be full: by then it would be too late. A segment's
     * first commit may take all of it, or the largest record would fit nowhere */
    bool is_first = w->log.active == NULL || w->log.end == CAIRN_SEGMENT_HEADER_BYTES;
    if (write->op == CAIRN_WRITE_DELETE || is_first)
        return 0;
    uint64_t part = w->options.segment_bytes / 16;
    return part < DELETE_RESERVE_BYTES ? part : DELETE_RESERVE_BYTES;
}

uint64_t cairn_writer_span_max(const cairn_writer_t *w)
{
    return w->options.segment_bytes - CAIRN_SEGMENT_HEADER_BYTES - CAIRN_COMMIT_OVERHEAD_BYTES -
           CAIRN_SEGMENT_FOOTER_BYTES;
}

cairn_decision_t cairn_writer_decide(cairn_writer_t *w, cairn_write_t *write, bool is_atomic,
                                     uint64_t now_ms)
{
    cairn_decide_limits_t limits = {
        .value_bytes_max = atomic_load_explicit(&w->value_bytes_max, memory_order_relaxed),
        .span_max = cairn_writer_span_max(w),
        .is_atomic = is_atomic};
    if (write->op != CAIRN_WRITE_SYNC)
        return cairn_decide(write, w->index, w->space, &w->overlay, &limits, now_ms);
    write->err = CAIRN_OK;
    w->must_sync |= write->version > w->log.durable_version;
    return CAIRN_DECIDED_ANSWER;
}

static admission_t admit(cairn_writer_t *w, cairn_write_t *write, bool *is_open, uint64_t now_ms)
{
    cairn_decision_t decision = cairn_writer_decide(w, write, false, now_ms);
    if (decision != CAIRN_DECIDED_LOG)
        return decision == CAIRN_DECIDED_LATER ? COMMIT_FULL : ADMITTED;
    uint64_t span = write->_span + cairn_writer_reserve(w, write);
    if (!*is_open) {
        if (!cairn_log_segment_takes(&w->log, span))
            return SEGMENT_FULL;
        cairn_log_begin(&w->log, now_ms);
        *is_open = true;
    } else if (!cairn_log_segment_fits(&w->log, span)) {
        return SEGMENT_FULL;
    } else if (!cairn_log_commit_takes(&w->log, write)) {
        return COMMIT_FULL;
    }
    cairn_log_add(&w->log, write, now_ms);
    cairn_overlay_add(&w->overlay, write);
    return ADMITTED;
}

/* ---------------------------------------------------------------- applying */

/** lets readers see a write that is in the log; returns whether its key had a value before */
static bool apply(cairn_writer_t *w, cairn_write_t *write, uint64_t now_ms)
{
    cairn_record_type_t type =
        write->op == CAIRN_WRITE_DELETE ? CAIRN_RECORD_DELETE : CAIRN_RECORD_PUT;
    cairn_seen_t before;
    if (write->_superseded) {
        cairn_apply_dead(w->space, write->_loc);
        return true;
    }
    if (cairn_apply(w->index, w->space, &write->key, type, write->_loc, &write->_seen, &before) !=
        CAIRN_OK) {
        /* it is in the log but cannot be found: a restart would bring it back */
        write->err = CAIRN_ERR_UNKNOWN;
        cairn_health_fail(w->health, "there is no memory for the index");
        return false;
    }
    bool existed = before.loc != 0 && (before.expiry_ms == 0 || before.expiry_ms > now_ms);
    if (write->_existed_later)
        write->existed = existed;
    return existed;
}

/** sync writes of the key before this one in the commit, which is in the index already */
static void supersede(cairn_write_t *write, bool existed)
{
    for (cairn_write_t *s = write->_same_key; s != NULL; s = s->_same_key) {
        if (s->durability != CAIRN_SYNC || s->_superseded)
            continue;
        s->_superseded = true;
        if (s->_existed_later)
            s->existed = existed;
    }
}

static bool is_logged(const cairn_write_t *write, cairn_durability_t durability)
{
    return write != NULL && write->_logged && write->durability == durability;
}

/** indexes and answers the async writes, which do not wait for the sync; returns whether others do
 */
static bool finish_async(cairn_writer_t *w, size_t from, size_t to, uint64_t now_ms)
{
    bool has_sync = false, has_async = false;
    for (size_t i = from; i < to; ++i) {
        has_sync |= is_logged(w->batch[i], CAIRN_SYNC);
        if (!is_logged(w->batch[i], CAIRN_ASYNC))
            continue;
        has_async = true;
        supersede(w->batch[i], apply(w, w->batch[i], now_ms));
    }
    /* only now may they go: the chains above led through them */
    if (has_async) {
        for (size_t i = from; i < to; ++i)
            if (is_logged(w->batch[i], CAIRN_ASYNC))
                cairn_writer_settle(w, i);
        cairn_writer_answer(w);
    }
    return has_sync;
}

/* ---------------------------------------------------------------- committing */

static void count_sync(cairn_writer_t *w, uint64_t ns)
{
    add(&w->counters.sync_ns_sum, ns);
    size_t bucket = 0;
    while (bucket < CAIRN_HISTOGRAM_BUCKETS - 1 && ns / 1000 >> bucket != 0)
        ++bucket;
    add(&w->counters.syncs[bucket], 1);
}

static cairn_err_t note_sync(cairn_writer_t *w, cairn_err_t err)
{
    if (err != CAIRN_OK)
        cairn_health_fail(w->health, "a sync of the log failed");
    else
        atomic_store_explicit(&w->counters.durable_version, w->log.durable_version,
                              memory_order_relaxed);
    return err;
}

/** takes the result of the sync in flight, waiting for it if it has not ended */
static cairn_err_t take_sync(cairn_writer_t *w)
{
    uint64_t ns;
    rcu_thread_offline();
    int result = cairn_syncer_finish(w->syncer, &ns);
    rcu_thread_online();
    w->is_syncing = false;
    count_sync(w, ns);
    if (result == 0)
        cairn_log_synced(&w->log, w->syncing_version, w->syncing_end, w->syncing_since_ns);
    return note_sync(w, result == 0 ? CAIRN_OK : CAIRN_ERR_FAILED);
}

/** makes everything written durable, here and now */
static cairn_err_t sync_log(cairn_writer_t *w)
{
    if (w->is_syncing) {
        cairn_err_t err = take_sync(w);
        if (err != CAIRN_OK || w->log.unsynced_since_ns == 0)
            return err;
    }
    uint64_t begin = cairn_os->monotonic_ns();
    rcu_thread_offline();
    cairn_err_t err = cairn_log_sync(&w->log);
    rcu_thread_online();
    count_sync(w, cairn_os->monotonic_ns() - begin);
    return note_sync(w, err);
}

static cairn_err_t write_log(cairn_writer_t *w, uint64_t now_ms)
{
    uint64_t start = w->log.end;
    uint32_t records = w->log.commit_records;
    rcu_thread_offline();
    cairn_err_t err = cairn_log_write(&w->log, now_ms);
    rcu_thread_online();
    if (err == CAIRN_ERR_FAILED)
        cairn_health_fail(w->health, "a write to the log failed");
    if (err != CAIRN_OK)
        return err;
    uint64_t bytes = w->log.end - start;
    w->logged_ms = now_ms;
    /* release: pairs with the acquire in cairn_probe_match() */
    atomic_store_explicit(&w->log.active->written, w->log.end, memory_order_release);
    cairn_residency_stamp(w->log.active, start, bytes);
    if (records != 0)
        cairn_maintenance_note_commit_bytes(w->maintenance, bytes);
    add(&w->counters.commits, 1);
    add(&w->counters.records, records);
    add(&w->counters.bytes, bytes);
    atomic_store_explicit(&w->counters.last_version, w->log.last_version, memory_order_relaxed);
    return CAIRN_OK;
}

/** feeds may read what is durable, once all of it is in the index */
static void note_feeds(cairn_writer_t *w)
{
    cairn_watches_note(w->watches, w->log.durable_version);
}

/** everything in the log so far is in the index */
static void note_position(cairn_writer_t *w)
{
    const cairn_segment_t *active = w->log.active;
    cairn_position_t position = {.first_version = active->first_version,
                                 .salt = active->salt,
                                 .end = w->log.end,
                                 .mark_at = w->log.commit_start,
                                 .version = w->log.last_version,
                                 .chain = w->log.chain,
                                 .counts = active->counts};
    cairn_position_set(w->position, &position);
}

/** append -> sync -> index -> answer: this is the one place that has that order */
static void finish_commit(cairn_writer_t *w, size_t from, size_t to, uint64_t now_ms)
{
    cairn_err_t err = write_log(w, now_ms);
    if (err != CAIRN_OK) {
        cairn_writer_settle_failed(w, from, to, err == CAIRN_ERR_FAILED ? CAIRN_ERR_UNKNOWN : err);
        return;
    }
    if ((finish_async(w, from, to, now_ms) || w->must_sync) && sync_log(w) != CAIRN_OK) {
        cairn_writer_settle_failed(w, from, to, CAIRN_ERR_UNKNOWN);
        return;
    }
    cairn_log_publish(&w->log);
    for (size_t i = from; i < to; ++i)
        if (is_logged(w->batch[i], CAIRN_SYNC))
            apply(w, w->batch[i], now_ms);
    note_position(w);
    /* noted first: who has been answered finds its write in the feed */
    note_feeds(w);
    cairn_writer_settle_all(w, from, to, CAIRN_OK);
    cairn_watches_ring(w->watches);
}

/** goes on in the spare; what was written before is made durable first. `for_deletes`: a smaller
 * one will do */
static cairn_err_t roll(cairn_writer_t *w, bool for_deletes)
{
    cairn_segment_t *full = w->log.active, *spare;
    /* an empty segment refuses only for the sake of the deletes; the one after it would have its
     * name */
    if (full != NULL && full->counts.last_version + 1 == full->first_version)
        return CAIRN_ERR_DISK_FULL;
    if (w->log.unsynced_since_ns != 0 && sync_log(w) != CAIRN_OK)
        return CAIRN_ERR_FAILED;
    rcu_thread_offline();
    cairn_err_t err = cairn_maintenance_take_spare(w->maintenance, for_deletes, &spare);
    rcu_thread_online();
    if (err != CAIRN_OK)
        return err;
    cairn_log_roll(&w->log, spare, cairn_segments_newest(w->segments));
    cairn_maintenance_rolled(w->maintenance, spare, full, w->log.durable_version);
    return CAIRN_OK;
}

/** goes on in a new segment because somebody asks for it; one without records need not end */
static void roll_on_request(cairn_writer_t *w, size_t at)
{
    const cairn_segment_t *active = w->log.active;
    bool has_records = active != NULL && active->counts.last_version >= active->first_version;
    w->batch[at]->err = has_records ? roll(w, true) : CAIRN_OK;
    w->batch[at]->version = w->log.last_version;
    note_feeds(w);
    cairn_writer_settle(w, at);
    cairn_writer_answer(w);
}

/** commits a run of the batch that begins at `from`; returns where the next begins */
static size_t commit_some(cairn_writer_t *w, size_t from)
{
    if (w->batch[from]->op == CAIRN_WRITE_ROLL) {
        roll_on_request(w, from);
        return from + 1;
    }
    uint64_t now_ms = cairn_clock_now(w->clock);
    bool is_open = false;
    admission_t admission = ADMITTED;
    size_t to = from, count = 1;
    cairn_clock_raise(w->clock, now_ms);
    cairn_overlay_clear(&w->overlay, w->batch_count - from);
    w->must_sync = false;
    while (to < w->batch_count && admission == ADMITTED && w->batch[to]->op != CAIRN_WRITE_ROLL) {
        count = w->batch[to]->_atomic_count;
        admission = count == 1 ? admit(w, w->batch[to], &is_open, now_ms)
                               : cairn_writer_admit_batch(w, to, &is_open, now_ms);
        if (admission == ADMITTED)
            to += count;
    }
    if (is_open) {
        finish_commit(w, from, to, now_ms);
    } else if (w->must_sync && w->log.unsynced_since_ns != 0 && sync_log(w) != CAIRN_OK) {
        cairn_writer_settle_failed(w, from, to, CAIRN_ERR_UNKNOWN);
    } else {
        note_feeds(w);
        cairn_writer_settle_all(w, from, to, CAIRN_OK);
    }
    if (admission == SEGMENT_FULL && !cairn_health_has_failed(w->health)) {
        cairn_err_t err = roll(w, count == 1 && w->batch[to]->op == CAIRN_WRITE_DELETE);
        if (err != CAIRN_OK) {
            cairn_writer_settle_failed(w, to, to + count, err);
            to += count;
        }
    }
    return to;
}

/** each key has its place anywhere in memory: what the index says of them sets out together */
static void look_ahead(const cairn_writer_t *w)
{
    uint64_t hashes[AHEAD_MAX];
    size_t count = 0;
    for (size_t i = 0; i < w->batch_count && count < AHEAD_MAX; ++i)
        hashes[count++] = w->batch[i]->key.hash; /* of what has no key, a line for nothing */
    cairn_index_prefetch(w->index, count, hashes, NULL, NULL);
}

static void commit_batch(cairn_writer_t *w)
{
    size_t at = 0;
    if (w->batch_count > 1)
        look_ahead(w);
    while (at < w->batch_count && !cairn_health_has_failed(w->health))
        at = commit_some(w, at);
    cairn_writer_settle_all(w, at, w->batch_count, CAIRN_ERR_FAILED);
}

/* ---------------------------------------------------------------- the thread */

static bool has_work(cairn_writer_t *w)
{
    return !cds_wfcq_empty(&w->queue_head, &w->queue_tail) ||
           (w->is_syncing && cairn_syncer_has_ended(w->syncer)) ||
           atomic_load_explicit(&w->stopping, memory_order_acquire);
}

/** a commit of nothing but a MARK: the last one is durable, says the log itself */
static void write_idle_mark(cairn_writer_t *w)
{
    uint64_t now_ms = cairn_clock_now(w->clock);
    if (!cairn_log_segment_takes(&w->log, 0)) {
        w->log.marked = true; /* the LINK of the next segment will say it */
        return;
    }
    cairn_log_begin(&w->log, now_ms);
    if (write_log(w, now_ms) != CAIRN_OK || sync_log(w) != CAIRN_OK)
        return;
    cairn_log_publish(&w->log);
    note_position(w);
}

static bool wants_mark(const cairn_writer_t *w)
{
    return !w->log.marked && !w->options.in_memory && !cairn_health_has_failed(w->health);
}

/** A reader was told that a value has expired, at a time that the log has not seen: were the clock
 * set back, the value would be there again after a crash. */
static bool wants_clock_mark(const cairn_writer_t *w)
{
    return w->log.active != NULL && !w->options.in_memory && !cairn_health_has_failed(w->health) &&
           cairn_clock_floor(w->clock) > w->logged_ms;
}

static bool wants_sync(const cairn_writer_t *w)
{
    return w->log.unsynced_since_ns != 0 && !cairn_health_has_failed(w->health);
}

/** begins the sync of async writes when it is time, and takes its result when it is there */
static void sync_if_due(cairn_writer_t *w)
{
    if (w->is_syncing) {
        if (cairn_syncer_has_ended(w->syncer))
            take_sync(w);
        return;
    }
    uint64_t now = cairn_os->monotonic_ns();
    if (!wants_sync(w) || now - w->log.unsynced_since_ns < w->options.sync_interval_ms * 1000000)
        return;
    if (w->options.in_memory) {
        sync_log(w);
        return;
    }
    w->is_syncing = true;
    w->syncing_version = w->log.last_version;
    w->syncing_end = w->log.end;
    w->syncing_since_ns = now;
    cairn_syncer_begin(w->syncer, w->log.active->fd);
}

/** sleeps until there is something to do; then, if that is nothing queued, does it */
static void idle(cairn_writer_t *w)
{
    uint64_t begin = cairn_os->monotonic_ns();
    uint64_t timeout_ns = UINT64_MAX;
    if (w->is_syncing) {
        timeout_ns = UINT64_MAX; /* its end rings the bell */
    } else if (wants_sync(w)) {
        uint64_t due = w->log.unsynced_since_ns + w->options.sync_interval_ms * 1000000;
        timeout_ns = due > begin ? due - begin : 0;
    } else if (wants_mark(w)) {
        timeout_ns = IDLE_MARK_NS;
    } else if (!w->options.in_memory) {
        timeout_ns = CLOCK_MARK_NS; /* readers do not ring */
    }
    cairn_bell_prepare(&w->bell);
    if (has_work(w)) {
        cairn_bell_cancel(&w->bell);
        return;
    }
    rcu_thread_offline();
    cairn_bell_wait(&w->bell, timeout_ns);
    rcu_thread_online();
    if (has_work(w))
        return;
    uint64_t idle_ns = cairn_os->monotonic_ns() - begin;
    if (!wants_sync(w) && ((wants_mark(w) && idle_ns >= IDLE_MARK_NS) ||
                           (wants_clock_mark(w) && idle_ns >= CLOCK_MARK_NS)))
        write_idle_mark(w);
}

static void *writer_main(void *arg)
{
    cairn_writer_t *w = arg;
    pthread_setname_np(pthread_self(), "writer");
    rcu_register_thread();
    for (;;) {
        cairn_writer_take(w);
        if (w->batch_count != 0) {
            commit_batch(w);
        } else if (atomic_load_explicit(&w->stopping, memory_order_acquire)) {
            break;
        } else {
            idle(w);
        }
        sync_if_due(w);
        note_feeds(w);
        cairn_watches_ring(w->watches);
        rcu_quiescent_state();
    }
    if (w->is_syncing)
        take_sync(w);
    if (wants_sync(w))
        sync_log(w);
    if (wants_mark(w) || wants_clock_mark(w))
        write_idle_mark(w);
    rcu_unregister_thread();
    return NULL;
}

void cairn_writer_set_value_bytes_max(cairn_writer_t *w, uint64_t bytes)
{
    atomic_store_explicit(&w->value_bytes_max, bytes, memory_order_relaxed);
}

void cairn_writer_set_queue_max(cairn_writer_t *w, uint64_t ops, uint64_t bytes)
{
    atomic_store_explicit(&w->queue_ops_max, ops, memory_order_relaxed);
    atomic_store_explicit(&w->queue_bytes_max, bytes, memory_order_relaxed);
}

cairn_writer_t *cairn_writer_start(cairn_log_t *log, cairn_index_t *index, cairn_space_t *space,
                                   cairn_segments_t *segments, cairn_maintenance_t *maintenance,
                                   cairn_health_t *health, cairn_clock_t *clock,
                                   cairn_watches_t *watches, cairn_position_cell_t *position,
                                   const cairn_writer_options_t *options)
{
    cairn_writer_t *w = cairn_os->calloc(1, sizeof(*w));
    if (w == NULL)
        return NULL;
    w->options = *options;
    cairn_writer_set_value_bytes_max(w, options->value_bytes_max);
    cairn_writer_set_queue_max(w, options->queue_ops_max, options->queue_bytes_max);
    w->log = *log;
    w->log.in_memory = options->in_memory;
    w->index = index;
    w->space = space;
    w->segments = segments;
    w->maintenance = maintenance;
    w->health = health;
    w->clock = clock;
    w->logged_ms = cairn_clock_floor(clock);
    w->watches = watches;
    cairn_watches_note(watches, log->last_version);
    w->position = position;
    cds_wfcq_init(&w->queue_head, &w->queue_tail);
    atomic_init(&w->counters.last_version, log->last_version);
    atomic_init(&w->counters.durable_version, log->durable_version);
    w->syncer = cairn_syncer_start(&w->bell);
    if (w->syncer == NULL || pthread_create(&w->thread, NULL, writer_main, w) != 0) {
        if (w->syncer != NULL)
            cairn_syncer_stop(w->syncer);
        cairn_os->free(w);
        return NULL;
    }
    memset(log, 0, sizeof(*log)); /* the writer owns it now */
    return w;
}

void cairn_writer_stop(cairn_writer_t *w, uint64_t *durable_version)
{
    atomic_store_explicit(&w->stopping, true, memory_order_release);
    cairn_bell_ring(&w->bell);
    pthread_join(w->thread, NULL);
    cairn_syncer_stop(w->syncer);
    *durable_version = w->log.durable_version;
    cairn_log_dispose(&w->log);
    cds_wfcq_destroy(&w->queue_head, &w->queue_tail);
    cairn_os->free(w);
}

const cairn_writer_counters_t *cairn_writer_counters(const cairn_writer_t *w)
{
    return &w->counters;
}
