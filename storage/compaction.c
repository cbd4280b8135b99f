/*
 * storage/compaction.c - making room: one compaction from choice to retirement.
 */
#include "storage/compaction.h"

#include <stdio.h>
#include <string.h>

#include "index/qsbr.h"
#include "storage/compaction_internal.h"
#include "storage/keytable.h"
#include "storage/os.h"
#include "storage/pace.h"

/** after a failure that time may heal, the next try */
#define RETRY_MS 5000

/** a segment that has been replaced, and waits for those that still need it */
typedef struct st_retired_t {
    cairn_segment_t *segment;
    struct st_retired_t *next;
} retired_t;

struct st_cairn_compaction_t {
    cairn_compaction_parts_t parts;
    cairn_pace_t pace;
    cairn_upkeep_t *upkeep;    /* while a job of it runs */
    retired_t *retired;        /* a grace period has passed for each */
    cairn_segment_t *stuck;    /* an output whose entries could not all be moved; still read */
    uint64_t retry_ms;         /* monotonic; not before */
    bool is_urgent;            /* the run under way does not rest */
    bool is_over;              /* a failure has left what only the next open can set right */
    _Atomic uint64_t asked_ms; /* what was sealed by then is to be rewritten; 0: nothing is */
    /* relaxed: counters */
    _Atomic uint64_t runs, bytes_read, bytes_written, failures;
    _Atomic bool is_running;
};

static void add(_Atomic uint64_t *counter, uint64_t n)
{
    atomic_fetch_add_explicit(counter, n, memory_order_relaxed);
}

cairn_compaction_t *cairn_compaction_create(const cairn_compaction_parts_t *parts)
{
    cairn_compaction_t *compaction = cairn_os->calloc(1, sizeof(*compaction));
    if (compaction != NULL) {
        compaction->parts = *parts;
        cairn_pace_init(&compaction->pace);
    }
    return compaction;
}

void cairn_compaction_destroy(cairn_compaction_t *compaction)
{
    if (compaction == NULL)
        return;
    while (compaction->retired != NULL) {
        retired_t *retired = compaction->retired;
        compaction->retired = retired->next;
        cairn_segment_close(retired->segment);
        cairn_os->free(retired);
    }
    if (compaction->stuck != NULL)
        cairn_segment_close(compaction->stuck);
    cairn_os->free(compaction);
}

/* ---------------------------------------------------------------- what has been retired */

static bool is_in_memory(const cairn_compaction_t *c)
{
    return cairn_dir_is_memory(c->parts.dir);
}

static bool may_go(const cairn_compaction_t *c, cairn_segment_t *segment)
{
    /* acquire: pairs with the release of the last reader */
    return atomic_load_explicit(&segment->pins, memory_order_acquire) == 0 &&
           (is_in_memory(c) || !c->parts.is_named(c->parts.ctx, segment->salt));
}

static void remove_files(const cairn_compaction_t *c, const cairn_segment_t *segment)
{
    char name[CAIRN_SEGMENT_NAME_BYTES], keys[CAIRN_KEYTABLE_NAME_BYTES];
    if (is_in_memory(c))
        return;
    cairn_segment_name(name, segment->first_version, segment->generation);
    /* found again after a power cut it does not count: what replaced it has a higher generation */
    cairn_os->unlink(c->parts.dir->fd, name);
    cairn_keytable_name(keys, segment->first_version, segment->generation);
    cairn_os->unlink(c->parts.dir->fd, keys);
}

bool cairn_compaction_waits_for_checkpoint(const cairn_compaction_t *c)
{
    for (const retired_t *r = c->retired; r != NULL; r = r->next)
        if (!is_in_memory(c) && c->parts.is_named(c->parts.ctx, r->segment->salt))
            return true;
    return false;
}

/** when there is no room, a start that takes longer is the lesser evil */
static void make_free(cairn_compaction_t *c)
{
    if (atomic_load(&c->parts.health->disk_full) && cairn_compaction_waits_for_checkpoint(c))
        c->parts.drop_checkpoint(c->parts.ctx);
}

bool cairn_compaction_unlink(void *ctx, cairn_upkeep_t *upkeep)
{
    cairn_compaction_t *c = ctx;
    (void)upkeep;
    make_free(c);
    for (retired_t **at = &c->retired; *at != NULL; at = &(*at)->next) {
        retired_t *retired = *at;
        if (!may_go(c, retired->segment))
            continue;
        *at = retired->next;
        cairn_segments_retire_bytes(c->parts.segments,
                                    -(int64_t)cairn_segment_bytes(retired->segment));
        remove_files(c, retired->segment);
        cairn_segment_close(retired->segment);
        cairn_os->free(retired);
        return true; /* one at a time: unmapping a large one takes a while */
    }
    return false;
}

/** the inputs have left the list; readers that came before may still look at them */
static void retire(cairn_compaction_t *c, retired_t *inputs)
{
    for (const retired_t *input = inputs; input != NULL; input = input->next)
        cairn_segments_retire_bytes(c->parts.segments,
                                    (int64_t)cairn_segment_bytes(input->segment));
    synchronize_rcu();
    for (retired_t *input = inputs, *next; input != NULL; input = next) {
        next = input->next;
        input->next = c->retired;
        c->retired = input;
    }
}

cairn_err_t cairn_compaction_adopt(cairn_compaction_t *c, cairn_segment_t *superseded)
{
    retired_t *node = cairn_os->alloc(sizeof(*node));
    if (node == NULL)
        return CAIRN_ERR_NOMEM;
    *node = (retired_t){.segment = superseded, .next = c->retired};
    c->retired = node;
    cairn_segments_retire_bytes(c->parts.segments, (int64_t)cairn_segment_bytes(superseded));
    return CAIRN_OK;
}

/* ---------------------------------------------------------------- choosing */

/** the least version up to which all older records on disk were judged; UINT64_MAX: there are none
 */
static uint64_t horizon_before(const cairn_segments_pinned_t *all, size_t at)
{
    uint64_t horizon = UINT64_MAX;
    for (size_t i = 0; i < at; ++i)
        if (all->list[i]->live_horizon < horizon)
            horizon = all->list[i]->live_horizon;
    return horizon;
}

/** bytes of values that have a time and are past it, by how many there are and how time lies in
 * their span: as good as can be said without reading them */
static uint64_t expired_bytes(const cairn_segment_t *segment, uint64_t live_bytes, uint64_t now_ms)
{
    const cairn_segment_counts_t *n = &segment->counts;
    uint64_t with_expiry = n->puts - n->puts_without_expiry;
    if (with_expiry == 0 || n->expiry_least_ms >= now_ms)
        return 0;
    double share = n->expiry_most_ms <= now_ms
                       ? 1
                       : (double)(now_ms - n->expiry_least_ms) /
                             (double)(n->expiry_most_ms - n->expiry_least_ms);
    return (uint64_t)((double)live_bytes * share * (double)with_expiry / (double)n->puts);
}

static uint64_t retention_ms(const cairn_compaction_t *c)
{
    return atomic_load(&c->parts.health->disk_full) ? 0 : c->parts.tombstone_retention_ms;
}

static cairn_candidate_t candidate(const cairn_compaction_t *c, const cairn_segment_t *s,
                                   uint64_t horizon, uint64_t asked_ms, uint64_t now_ms)
{
    uint64_t bytes = cairn_segment_bytes(s);
    uint64_t dead = atomic_load_explicit(&s->dead_bytes, memory_order_relaxed);
    uint64_t age_ms = now_ms > s->sealed_ms ? now_ms - s->sealed_ms : 0;
    bool deletes_go = horizon >= s->range_last && age_ms >= retention_ms(c);
    if (!deletes_go)
        dead = dead > s->counts.delete_bytes ? dead - s->counts.delete_bytes : 0;
    dead += expired_bytes(s, bytes > dead ? bytes - dead : 0, now_ms);
    return (cairn_candidate_t){
        .bytes = bytes,
        .dead_bytes = dead,
        .age_ms = age_ms,
        .is_usable = !atomic_load_explicit(&s->is_damaged, memory_order_relaxed),
        .is_asked = asked_ms != 0 && s->sealed_ms <= asked_ms,
    };
}

static bool is_sealed(const cairn_segment_t *segment)
{
    /* acquire: pairs with the release of who has sealed it */
    return atomic_load_explicit(&segment->sealed, memory_order_acquire);
}

/** how many of the segments may be touched: they are sealed, and no checkpoint written from now on
 * would have its position in one */
static size_t count_sealed(const cairn_compaction_t *c, const cairn_segments_pinned_t *all)
{
    uint64_t before = c->parts.position_first(c->parts.ctx);
    size_t sealed = 0;
    while (sealed < all->count && is_sealed(all->list[sealed]) &&
           all->list[sealed]->range_last < before)
        ++sealed;
    return sealed;
}

/** what was asked for has been done; unless it has been asked for again meanwhile */
static void forget_asked(cairn_compaction_t *c, uint64_t asked_ms)
{
    atomic_compare_exchange_strong(&c->asked_ms, &asked_ms, 0);
}

/** the run of segments that is to be rewritten; 0 if none is */
static size_t choose(cairn_compaction_t *c, const cairn_segments_pinned_t *all, size_t *from)
{
    size_t sealed = count_sealed(c, all), chosen = 0;
    uint64_t asked_ms = atomic_load_explicit(&c->asked_ms, memory_order_relaxed);
    uint64_t now_ms = cairn_clock_now(c->parts.clock);
    cairn_pressure_t pressure = {
        .segment_bytes = c->parts.segment_bytes,
        .retired_bytes = cairn_segments_retired_bytes(c->parts.segments),
        .is_full = atomic_load(&c->parts.health->disk_full),
    };
    if (sealed == 0) {
        forget_asked(c, asked_ms);
        return 0;
    }
    cairn_candidate_t *candidates = cairn_os->alloc(sealed * sizeof(*candidates));
    if (candidates == NULL)
        return 0;
    uint64_t horizon = UINT64_MAX; /* of all before */
    for (size_t i = 0; i < sealed; ++i) {
        candidates[i] = candidate(c, all->list[i], horizon, asked_ms, now_ms);
        if (all->list[i]->live_horizon < horizon)
            horizon = all->list[i]->live_horizon;
    }
    chosen = cairn_compaction_choose(candidates, sealed, &pressure, from);
    c->is_urgent = cairn_compaction_is_urgent(candidates, sealed, &pressure);
    cairn_os->free(candidates);
    if (chosen == 0)
        forget_asked(c, asked_ms);
    return chosen;
}

/* ---------------------------------------------------------------- one compaction */

/** the system may not tell: then nobody seems to wait */
static cairn_turns_t read_turns(void)
{
    cairn_turns_t turns;
    if (cairn_os->turns(&turns.count, &turns.waited_ns) != 0)
        turns = (cairn_turns_t){.count = 0};
    return turns;
}

static void begin_work(cairn_compaction_t *c)
{
    cairn_log_load_t load;
    cairn_turns_t turns = read_turns();
    c->parts.read_load(c->parts.ctx, &load);
    cairn_pace_begin(&c->pace, cairn_os->monotonic_ns(), &load, &turns);
}

static bool go_on(void *ctx, uint64_t bytes)
{
    cairn_compaction_t *c = ctx;
    cairn_log_load_t load;
    cairn_turns_t turns = read_turns();
    c->parts.read_load(c->parts.ctx, &load);
    uint64_t rest_ms = cairn_pace_rest_ms(&c->pace, bytes, cairn_os->monotonic_ns(), &load, &turns);
    /* when there is no room, nobody writes whom it could hold up */
    if (c->is_urgent || atomic_load(&c->parts.health->disk_full))
        rest_ms = 0;
    return !cairn_upkeep_is_stopping(c->upkeep) &&
           (rest_ms == 0 || cairn_upkeep_rest(c->upkeep, rest_ms));
}

static uint32_t next_generation(const cairn_copying_t *copying)
{
    uint32_t highest = 0;
    for (size_t i = 0; i < copying->count; ++i)
        if (copying->inputs[i]->generation > highest)
            highest = copying->inputs[i]->generation;
    return highest + 1;
}

static uint64_t input_bytes(const cairn_copying_t *copying)
{
    uint64_t bytes = 0;
    for (size_t i = 0; i < copying->count; ++i)
        bytes += cairn_segment_bytes(copying->inputs[i]);
    return bytes;
}

/** what is lost stays lost: it is of the versions that the copy covers now */
static cairn_loss_t loss_of(const cairn_copying_t *copying)
{
    cairn_loss_t sum = {.versions = 0};
    for (size_t i = 0; i < copying->count; ++i) {
        const cairn_loss_t *loss = &copying->inputs[i]->loss;
        if (loss->versions == 0)
            continue;
        if (sum.versions == 0)
            sum.first = loss->first;
        sum.versions += loss->versions;
        sum.last = loss->last;
    }
    return sum;
}

/** copy, settle, replace */
static cairn_err_t make_output(cairn_compaction_t *c, cairn_copying_t *copying,
                               cairn_segment_t **output)
{
    const cairn_segment_t *last = copying->inputs[copying->count - 1];
    cairn_segment_range_t range = {.last = last->range_last,
                                   .chain = last->counts.chain,
                                   .loss = loss_of(copying),
                                   .reason = CAIRN_SEAL_COMPACTION};
    uint64_t largest = input_bytes(copying);
    for (size_t i = 0; i < copying->count; ++i)
        if (copying->inputs[i]->dropped_version > copying->dropped_version)
            copying->dropped_version = copying->inputs[i]->dropped_version;
    /* all up to here is in the index: what is live from now on was live then */
    cairn_err_t err = c->parts.make_durable(c->parts.ctx, &range.live_horizon);
    if (err != CAIRN_OK)
        return err;
    copying->durable_version = range.live_horizon;
    err = cairn_segment_build_begin(
        &copying->build, c->parts.dir, copying->inputs[0]->first_version, next_generation(copying),
        largest > c->parts.segment_bytes ? largest : c->parts.segment_bytes);
    if (err != CAIRN_OK)
        return err;
    err = cairn_compaction_copy(copying);
    uint64_t version;
    if (err == CAIRN_OK)
        err = c->parts.make_durable(c->parts.ctx, &version);
    range.dropped_version = copying->dropped_version;
    if (err == CAIRN_OK)
        err = cairn_segment_build_end(&copying->build, c->parts.space, &range, output);
    if (err != CAIRN_OK)
        cairn_segment_build_abandon(&copying->build);
    else
        (*output)->superseded_by = version;
    return err;
}

static void report(cairn_compaction_t *c, const cairn_copying_t *copying, cairn_err_t err)
{
    char name[CAIRN_SEGMENT_NAME_BYTES];
    const cairn_segment_t *first = copying->inputs[0];
    add(&c->failures, 1);
    c->retry_ms = cairn_os->coarse_ms() + RETRY_MS;
    if (copying->damaged != NULL) {
        cairn_segment_name(name, copying->damaged->first_version, copying->damaged->generation);
        cairn_health_log(c->parts.health, CAIRN_LOG_ERROR,
                         "compaction: %s: byte %llu: %s; it stays as it is", name,
                         (unsigned long long)copying->damaged_at, cairn_strerror(err));
        return;
    }
    cairn_segment_name(name, first->first_version, first->generation);
    cairn_health_log(c->parts.health, CAIRN_LOG_WARNING, "compaction of %s: %s", name,
                     cairn_strerror(err));
}

static void mark_damaged(const cairn_copying_t *copying)
{
    for (size_t i = 0; i < copying->count; ++i)
        if (copying->inputs[i] == copying->damaged)
            atomic_store_explicit(&copying->inputs[i]->is_damaged, true, memory_order_relaxed);
}

static void free_nodes(retired_t *nodes)
{
    for (retired_t *next; nodes != NULL; nodes = next) {
        next = nodes->next;
        cairn_os->free(nodes);
    }
}

/** a node for each input, linked; NULL without memory. Made before anything is done: after
 * `replace` nothing may fail for want of it */
static retired_t *make_nodes(const cairn_copying_t *copying)
{
    retired_t *nodes = NULL;
    for (size_t i = copying->count; i-- > 0;) {
        retired_t *node = cairn_os->alloc(sizeof(*node));
        if (node == NULL) {
            free_nodes(nodes);
            return NULL;
        }
        *node = (retired_t){.segment = copying->inputs[i], .next = nodes};
        nodes = node;
    }
    return nodes;
}

/** move, retire; takes the nodes */
static void take_over(cairn_compaction_t *c, cairn_copying_t *copying, cairn_segment_t *output,
                      retired_t *nodes)
{
    if (!cairn_compaction_move(copying, output)) {
        /* some entries lead here, some there: both are read on, and an open takes the output */
        c->stuck = output;
        c->is_over = true;
        c->parts.stop_checkpoints(c->parts.ctx); /* it would not know the output */
        cairn_health_log(c->parts.health, CAIRN_LOG_ERROR,
                         "compaction: a record that had just been copied cannot "
                         "be read; no more is done until a restart");
        free_nodes(nodes);
        return;
    }
    add(&c->runs, 1);
    add(&c->bytes_read, input_bytes(copying));
    add(&c->bytes_written, cairn_segment_bytes(output));
    cairn_segments_raise_dropped_version(c->parts.segments, output->dropped_version);
    cairn_segments_replace(c->parts.segments, copying->inputs[0], copying->count, output);
    retire(c, nodes);
}

static cairn_err_t compact(cairn_compaction_t *c, cairn_copying_t *copying)
{
    cairn_segment_t *output;
    retired_t *nodes = make_nodes(copying);
    if (nodes == NULL)
        return CAIRN_ERR_NOMEM;
    cairn_err_t err = make_output(c, copying, &output);
    if (err == CAIRN_OK) {
        take_over(c, copying, output, nodes);
        return CAIRN_OK;
    }
    free_nodes(nodes);
    return err;
}

static void settle(cairn_compaction_t *c, cairn_copying_t *copying, cairn_err_t err)
{
    if (err == CAIRN_OK || err == CAIRN_ERR_CANCELLED)
        return;
    report(c, copying, err);
    mark_damaged(copying);
    if (err == CAIRN_ERR_FAILED) {
        c->is_over = true;
        cairn_health_fail(c->parts.health, "a compacted segment could not be given its name");
    }
    /* the checkpoint, and what is on disk for its sake only, may be what takes the room */
    if (err == CAIRN_ERR_DISK_FULL && !is_in_memory(c))
        c->parts.drop_checkpoint(c->parts.ctx);
}

static void run(cairn_compaction_t *c, const cairn_segments_pinned_t *all, size_t from,
                size_t count)
{
    uint64_t now_ms = cairn_clock_now(c->parts.clock), keep_ms = retention_ms(c);
    cairn_copying_t copying = {
        .parts = &c->parts,
        .inputs = &all->list[from],
        .count = count,
        .horizon_before = horizon_before(all, from),
        .keep_since_ms = keep_ms == 0       ? 0
                         : now_ms > keep_ms ? now_ms - keep_ms
                                            : 1,
        .now_ms = now_ms,
        .go_on = go_on,
        .go_on_ctx = c,
    };
    /* what is taken for expired stays so */
    cairn_clock_raise(c->parts.clock, now_ms);
    atomic_store_explicit(&c->is_running, true, memory_order_relaxed);
    bool is_full = atomic_load(&c->parts.health->disk_full);
    begin_work(c);
    if (is_full)
        cairn_reserve_lend(c->parts.reserve);
    settle(c, &copying, compact(c, &copying));
    if (is_full)
        cairn_reserve_return(c->parts.reserve);
    atomic_store_explicit(&c->is_running, false, memory_order_relaxed);
}

static bool is_resting(const cairn_compaction_t *c)
{
    return c->is_over || cairn_health_has_failed(c->parts.health) ||
           (c->retry_ms != 0 && cairn_os->coarse_ms() < c->retry_ms);
}

bool cairn_compaction_run(void *ctx, cairn_upkeep_t *upkeep)
{
    cairn_compaction_t *c = ctx;
    cairn_segments_pinned_t all;
    size_t from;
    c->upkeep = upkeep;
    if (is_resting(c) || cairn_segments_pin_all(c->parts.segments, &all) != CAIRN_OK)
        return false;
    size_t count = choose(c, &all, &from);
    if (count > CAIRN_COMPACTION_INPUTS_MAX)
        count = CAIRN_COMPACTION_INPUTS_MAX;
    if (count != 0) {
        run(c, &all, from, count);
    } else {
        cairn_log_load_t load;
        c->parts.read_load(c->parts.ctx, &load);
        cairn_pace_observe(&c->pace, &load);
    }
    cairn_segments_unpin(&all);
    return count != 0 && !is_resting(c);
}

void cairn_compaction_ask(cairn_compaction_t *c)
{
    atomic_store_explicit(&c->asked_ms, cairn_os->now_ms(), memory_order_relaxed);
}

void cairn_compaction_stats(cairn_compaction_t *c, cairn_compaction_stats_t *stats)
{
    *stats = (cairn_compaction_stats_t){
        .runs = atomic_load_explicit(&c->runs, memory_order_relaxed),
        .bytes_read = atomic_load_explicit(&c->bytes_read, memory_order_relaxed),
        .bytes_written = atomic_load_explicit(&c->bytes_written, memory_order_relaxed),
        .failures = atomic_load_explicit(&c->failures, memory_order_relaxed),
        .dropped_version = cairn_segments_dropped_version(c->parts.segments),
        .retired_bytes = cairn_segments_retired_bytes(c->parts.segments),
        .is_running = atomic_load_explicit(&c->is_running, memory_order_relaxed),
        .is_asked = atomic_load_explicit(&c->asked_ms, memory_order_relaxed) != 0,
    };
}
