/*
 * A history on a disk whose power is cut.
 */
#include "tests/cut_history.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "storage/os.h"
#include "storage/store_internal.h"
#include "tests/disk_sim.h"
#include "tests/seed.h"
#include "tests/store_fixture.h"

#define KEYS 40
#define VERSIONS_MAX 4096
#define BATCH_MAX 24
/** cuts on one disk, one after the other */
#define LIVES 7

/* ---------------------------------------------------------------- keys and values */

/** with the longest key it still fits the smallest segment */
#define VALUE_BYTES_MAX 9000
#define VALUE_NUMBERS 16000
#define VALUE_STEP 64
/* the value of write n begins at byte n * VALUE_STEP of this; with runs of zeroes, which look like
 * sectors that never reached the disk */
static uint8_t value_pool[VALUE_NUMBERS * VALUE_STEP + VALUE_BYTES_MAX];
static uint8_t long_key[CAIRN_KEY_BYTES_MAX];

int cut_history_set_up(void)
{
    disk_sim_install();
    random_fill(1, value_pool, sizeof(value_pool));
    for (size_t at = 0; at + 4096 < sizeof(value_pool); at += 16384)
        memset(value_pool + at, 0, 4096);
    memset(long_key, 'k', sizeof(long_key));
    return 0;
}

int cut_history_tear_down(void)
{
    disk_sim_remove();
    return 0;
}

static cairn_bytes_t key_of(unsigned key, char room[16])
{
    if (key == 0)
        return (cairn_bytes_t){long_key, sizeof(long_key)};
    snprintf(room, 16, "key %u", key);
    return text(room);
}

static size_t draw_size(random_t *random)
{
    static const size_t sizes[] = {0,   1,   7,    40,   100,  100,  400,  456,
                                   512, 900, 1500, 2500, 4096, 4097, 5000, VALUE_BYTES_MAX};
    return sizes[random_below(random, sizeof(sizes) / sizeof(sizes[0]))];
}

/* ---------------------------------------------------------------- the model */

typedef struct st_past_t {
    unsigned key;
    bool is_delete;
    bool more;       /* the next version belongs to the same atomic batch */
    unsigned number; /* of the value */
    size_t bytes;
} past_t;

typedef struct st_history_t {
    uint64_t seed;
    unsigned lies;
    cut_upkeep_t upkeep;
    random_t random;
    disk_sim_t *disk;
    fixture_t f;
    cut_tally_t *tally;
    bool is_quiet; /* cut_findings are wanted */
    unsigned life;
    unsigned number;
    uint64_t last;    /* the newest version given out, acknowledged or not */
    uint64_t durable; /* the newest acknowledged as durable */
    uint64_t opened_at;
    _Atomic uint64_t restored; /* starts from a checkpoint; any thread of the store counts */
    past_t past[VERSIONS_MAX]; /* by version */
} history_t;

uint64_t cut_findings(const cut_tally_t *tally)
{
    return tally->lost + tally->resurrected + tally->partial + tally->torn_batches +
           tally->false_alarms;
}

static void report(const history_t *h, const char *what, unsigned key, uint64_t got,
                   uint64_t expected)
{
    if (!h->is_quiet)
        printf("\n    CAIRN_SEED=%llu, disk %llu, life %u: %s: key %u, version %llu, expected %llu"
               " %s\n",
               (unsigned long long)seed_of_run(), (unsigned long long)h->seed, h->life, what, key,
               (unsigned long long)got, (unsigned long long)expected, h->f.errmsg);
}

/* ---------------------------------------------------------------- looking */

static bool is_value(const history_t *h, uint64_t version, const cairn_value_t *value)
{
    const past_t *p = &h->past[version];
    return value->version == version && value->count == p->bytes &&
           memcmp(value->bytes, value_pool + p->number * VALUE_STEP, p->bytes) == 0;
}

static void check_key(history_t *h, unsigned key, uint64_t expected)
{
    char room[16];
    cairn_value_t value = {0};
    cairn_err_t err = fixture_get(&h->f, key_of(key, room), &value);
    if (expected == 0 ? err == CAIRN_ERR_NOT_FOUND
                      : err == CAIRN_OK && is_value(h, expected, &value))
        return;
    if (err == CAIRN_OK && expected == 0) {
        ++h->tally->resurrected;
        report(h, "resurrected", key, value.version, 0);
    } else if (err == CAIRN_ERR_NOT_FOUND || (err == CAIRN_OK && value.version < expected)) {
        ++h->tally->lost;
        report(h, "lost", key, err == CAIRN_OK ? value.version : 0, expected);
    } else {
        ++h->tally->partial;
        report(h, err == CAIRN_OK ? "wrong" : cairn_strerror(err), key, value.version, expected);
    }
}

static bool has_compacted_segments(const history_t *h)
{
    cairn_segment_info_t info;
    uint64_t first;
    uint32_t generation;
    for (size_t i = 0; cairn_store_segments(h->f.store, i, &info, 1) == 1; ++i)
        if (cairn_segment_name_parse(info.name, &first, &generation) && generation != 0)
            return true;
    return false;
}

/** the store must be what it was after version `last_version` of it, to the byte */
static void check_all(history_t *h)
{
    uint64_t newest[KEYS] = {0};
    uint64_t found = cairn_store_last_version(h->f.store);
    cairn_damage_t damage;
    cairn_store_damage(h->f.store, &damage);
    h->tally->suspects += damage.quarantined;
    ++h->tally->opened;
    h->tally->found += has_compacted_segments(h);
    h->tally->checked += h->durable - h->opened_at;
    if (found < h->durable) {
        h->tally->lost += h->durable - found;
        report(h, "the log ends too early", 0, found, h->durable);
    }
    if (found > h->last) {
        ++h->tally->partial;
        report(h, "the log has what was never written", 0, found, h->last);
        return;
    }
    if (h->past[found].more) {
        ++h->tally->torn_batches;
        report(h, "a part of an atomic batch", h->past[found].key, found, found + 1);
    }
    for (uint64_t v = 1; v <= found; ++v)
        newest[h->past[v].key] = h->past[v].is_delete ? 0 : v;
    for (unsigned key = 0; key < KEYS; ++key)
        check_key(h, key, newest[key]);
    /* what a store serves after a start is durable, and it goes on behind it */
    h->last = h->durable = h->opened_at = found;
}

/* ---------------------------------------------------------------- writing */

typedef struct st_draft_t {
    past_t past;
    bool is_sync_only;
} draft_t;

/** how a few writes are queued */
typedef enum en_queueing_t { ONE_BY_ONE, AS_A_BATCH, AS_AN_ATOMIC_BATCH } queueing_t;

static cairn_write_t *draw_write(history_t *h, waiter_t *waiter, unsigned manner,
                                 queueing_t queueing, draft_t *draft)
{
    char room[16];
    random_t *random = &h->random;
    cairn_write_t *write;
    *draft = (draft_t){.past = {.key = (unsigned)random_below(random, KEYS),
                                .is_delete = random_below(random, 6) == 0,
                                .number = ++h->number % VALUE_NUMBERS,
                                .bytes = draw_size(random)},
                       .is_sync_only = random_below(random, 12) == 0 && queueing == ONE_BY_ONE};
    cairn_bytes_t value = {value_pool + draft->past.number * VALUE_STEP, draft->past.bytes};
    if (draft->is_sync_only) {
        write = cairn_write_create_sync(h->last);
        if (write != NULL)
            write->sink = &waiter->sink;
    } else {
        bool is_async = manner == 0 || (manner == 1 && queueing != AS_AN_ATOMIC_BATCH &&
                                        random_below(random, 2) == 0);
        write = fixture_frame(waiter, draft->past.is_delete ? CAIRN_WRITE_DELETE : CAIRN_WRITE_PUT,
                              key_of(draft->past.key, room),
                              draft->past.is_delete ? (cairn_bytes_t){0} : value,
                              is_async ? CAIRN_ASYNC : CAIRN_SYNC);
    }
    if (write == NULL)
        abort(); /* CUnit's asserts are for its own thread */
    write->ctx = draft;
    return write;
}

/** takes the answer of a write into the model; false when the store takes no more */
static bool learn(history_t *h, const cairn_write_t *write)
{
    const draft_t *draft = write->ctx;
    bool is_known = write->err == CAIRN_OK;
    if (write->op == CAIRN_WRITE_SYNC) {
        if (is_known && write->version > h->durable)
            h->durable = write->version;
        return is_known;
    }
    if (write->_logged && (is_known || write->err == CAIRN_ERR_UNKNOWN)) {
        /* one behind the other, and never one that somebody was told of before */
        if (write->version != h->last + 1 || write->version <= h->durable) {
            ++h->tally->partial;
            report(h, "a version was given twice", draft->past.key, write->version, h->last + 1);
        }
        h->last = write->version;
        h->past[write->version] = draft->past;
        if (is_known && write->durability == CAIRN_SYNC)
            h->durable = write->version;
    }
    return is_known || write->err == CAIRN_ERR_NOT_FOUND || write->err == CAIRN_ERR_DISK_FULL ||
           write->err == CAIRN_ERR_ABORTED || write->err == CAIRN_ERR_TOO_LARGE;
}

/** all that was logged of an atomic batch, in order of version, belongs together */
static void learn_batch(history_t *h, cairn_write_t *const *writes, size_t count)
{
    for (size_t i = 0; i + 1 < count && writes[i + 1]->_logged; ++i)
        if (writes[i]->version <= h->last)
            h->past[writes[i]->version].more = true;
    h->tally->batches += count > 1 && writes[1]->_logged;
}

static int by_version(const void *a, const void *b)
{
    const cairn_write_t *x = *(cairn_write_t *const *)a, *y = *(cairn_write_t *const *)b;
    uint64_t p = x->_logged ? x->version : UINT64_MAX, q = y->_logged ? y->version : UINT64_MAX;
    return p < q ? -1 : p > q;
}

static size_t draw_batch(random_t *random)
{
    switch (random_below(random, 6)) {
    case 0:
        return 9 + random_below(random, BATCH_MAX - 8);
    case 1:
    case 2:
        return 2 + random_below(random, 7);
    default:
        return 1;
    }
}

static queueing_t draw_queueing(random_t *random)
{
    uint64_t dice = random_below(random, 8);
    return dice < 3 ? AS_AN_ATOMIC_BATCH : dice == 3 ? AS_A_BATCH : ONE_BY_ONE;
}

/** one by one: those that could be queued are left; false if not all could */
static bool queue_one_by_one(history_t *h, cairn_write_t **writes, size_t *count)
{
    size_t queued = 0;
    for (size_t i = 0; i < *count; ++i) {
        if (cairn_store_enqueue(h->f.store, writes[i]) == CAIRN_OK)
            writes[queued++] = writes[i];
        else
            cairn_write_destroy(writes[i]);
    }
    bool is_all = queued == *count;
    *count = queued;
    return is_all;
}

/** all of them or none */
static bool queue_batch(history_t *h, cairn_write_t **writes, size_t *count, bool is_atomic)
{
    for (size_t i = 0; i < *count; ++i)
        writes[i]->next = i + 1 < *count ? writes[i + 1] : NULL;
    if (cairn_store_enqueue_batch(h->f.store, writes[0], is_atomic) == CAIRN_OK)
        return true;
    for (size_t i = 0; i < *count; ++i)
        cairn_write_destroy(writes[i]);
    *count = 0;
    return false;
}

/** queues a few writes at once and waits for all; false when the store takes no more */
static bool write_batch(history_t *h)
{
    static _Thread_local draft_t drafts[BATCH_MAX];
    cairn_write_t *writes[BATCH_MAX];
    size_t count = draw_batch(&h->random);
    unsigned manner = (unsigned)random_below(&h->random, 5);
    queueing_t queueing = draw_queueing(&h->random);
    waiter_t waiter;
    waiter_init(&waiter);
    for (size_t i = 0; i < count; ++i)
        writes[i] = draw_write(h, &waiter, manner, queueing, &drafts[i]);
    bool goes_on = queueing == ONE_BY_ONE ? queue_one_by_one(h, writes, &count)
                                          : queue_batch(h, writes, &count,
                                                        queueing == AS_AN_ATOMIC_BATCH &&
                                                            (h->lies & CUT_LIE_ATOMIC) == 0);
    cairn_store_wake(h->f.store);
    if (count != 0)
        waiter_take(&waiter, count);
    /* async writes come back before the sync ones that went before them */
    qsort(writes, count, sizeof(writes[0]), by_version);
    for (size_t i = 0; i < count; ++i)
        goes_on &= learn(h, writes[i]);
    if (queueing == AS_AN_ATOMIC_BATCH)
        learn_batch(h, writes, count);
    for (size_t i = 0; i < count; ++i)
        cairn_write_destroy(writes[i]);
    waiter_dispose(&waiter);
    return goes_on;
}

/* ---------------------------------------------------------------- lives */

/** what a lie needs to matter */
static disk_sim_fault_t fault_for(unsigned lies)
{
    if ((lies & DISK_SIM_LIE_SHORT) != 0)
        return DISK_SIM_SHORT_WRITE;
    return (lies & DISK_SIM_LIE_DROP_CACHE) != 0 ? DISK_SIM_SYNC_EIO : DISK_SIM_NO_FAULT;
}

static disk_sim_plan_t draw_plan(random_t *random, unsigned lies, bool is_compacting)
{
    /* a compaction makes a dozen changes of its own, once there is something to free */
    static const uint64_t spans[2][4] = {{20, 60, 60, 120}, {60, 120, 200, 300}};
    disk_sim_plan_t plan = {
        .cut_at = 1 + random_below(random, spans[is_compacting][random_below(random, 4)]),
        .only_kill = random_below(random, 8) == 0,
        .fault = fault_for(lies),
    };
    if (plan.fault != DISK_SIM_NO_FAULT || random_below(random, 4) == 0) {
        if (plan.fault == DISK_SIM_NO_FAULT)
            plan.fault = (disk_sim_fault_t)(1 + random_below(random, DISK_SIM_FAULT_COUNT - 1));
        plan.fault_at = 1 + random_below(random, plan.cut_at);
        plan.only_kill |= random_below(random, 2) == 0;
    }
    return plan;
}

/** the next batches are written beside it */
static void wake_upkeep(history_t *h)
{
    if ((h->upkeep & CUT_UPKEEP_COMPACTION) != 0 && random_below(&h->random, 3) == 0)
        cairn_store_compact(h->f.store);
    else
        cairn_upkeep_wake(h->f.store->upkeep);
}

static void live_on(history_t *h)
{
    bool is_compacting = (h->upkeep & CUT_UPKEEP_COMPACTION) != 0;
    cairn_compaction_stats_t stats;
    check_all(h);
    unsigned batches = (unsigned)random_below(&h->random, is_compacting ? 40 : 16);
    while (batches-- != 0 && !disk_sim_is_off(h->disk) && h->last + BATCH_MAX < VERSIONS_MAX) {
        if (h->upkeep != CUT_UPKEEP_NONE && random_below(&h->random, 4) == 0)
            wake_upkeep(h);
        if (!write_batch(h))
            break;
    }
    cairn_compaction_stats(h->f.store->compaction, &stats);
    h->tally->compactions += stats.runs;
    if (random_below(&h->random, 100) == 0)
        usleep(25000); /* for the idle mark */
    if (fixture_close(&h->f) == CAIRN_OK)
        h->durable = h->last;
}

static uint64_t draw_segment_bytes(random_t *random)
{
    static const uint64_t bytes[] = {16384, 24576, 40000, 65536};
    return bytes[random_below(random, sizeof(bytes) / sizeof(bytes[0]))];
}

static void live(history_t *h)
{
    disk_sim_plan_t plan = draw_plan(&h->random, h->lies, (h->upkeep & CUT_UPKEEP_COMPACTION) != 0);
    if (random_below(&h->random, 4) == 0) /* somebody changed the configuration */
        h->f.options.segment_bytes = draw_segment_bytes(&h->random);
    disk_sim_start(h->disk, &plan, h->lies);
    cairn_err_t err = fixture_open(&h->f);
    if (err == CAIRN_OK) {
        live_on(h);
    } else if (err != CAIRN_ERR_CORRUPT &&
               (disk_sim_is_off(h->disk) || disk_sim_has_failed(h->disk))) {
        ++h->tally->refused;
    } else {
        ++h->tally->false_alarms;
        report(h, cairn_strerror(err), 0, 0, h->durable);
    }
    disk_sim_cut(h->disk);
    ++*(plan.only_kill ? &h->tally->kills : &h->tally->cuts);
}

static void on_log(void *ctx, cairn_log_level_t level, const char *line)
{
    history_t *h = ctx;
    (void)level;
    if (strstr(line, "is from index.ckpt") != NULL)
        atomic_fetch_add(&h->restored, 1);
}

void cut_history_run(uint64_t base, uint64_t seed, unsigned lies, cut_upkeep_t upkeep,
                     cut_tally_t *tally)
{
    uint64_t findings_before = cut_findings(tally);
    history_t *h = calloc(1, sizeof(*h));
    if (h == NULL)
        abort(); /* CUnit's asserts are for its own thread */
    h->seed = seed;
    h->lies = lies;
    h->upkeep = upkeep;
    h->is_quiet = lies != 0;
    h->random = random_from(base, seed);
    h->tally = tally;
    h->disk = disk_sim_create(random_next(&h->random));
    h->f.options = (cairn_store_options_t){
        .path = disk_sim_path(h->disk),
        .segment_bytes = draw_segment_bytes(&h->random),
        .value_bytes_max = 1 << 20,
        .sync_interval_ms = 60000,
        .queue_ops_max = 1000,
        .queue_bytes_max = 1 << 24,
        .io_threads = 1,
        .no_compaction = (upkeep & CUT_UPKEEP_COMPACTION) == 0,
        .tombstone_retention_ms = 1,
    };
    if ((upkeep & CUT_UPKEEP_CHECKPOINTS) != 0) {
        /* where one is always due, there is no time for compaction, which is less urgent */
        h->f.options.checkpoint_bytes = upkeep == CUT_UPKEEP_BOTH ? 30000 : 2000;
        h->f.options.on_log = on_log;
        h->f.options.ctx = h;
    }
    for (h->life = 0; h->life < LIVES && cut_findings(tally) == findings_before; ++h->life)
        live(h);
    tally->restored += h->restored;
    disk_sim_destroy(h->disk);
    free(h);
}
