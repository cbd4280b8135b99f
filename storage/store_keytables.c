/*
 * storage/store_keytables.c - every sealed segment of an open store gets its key table.
 *
 * A job of upkeep: opens the table that is there, or makes it. Readers take a segment as it is:
 * without one they sort its keys themselves, which is slower.
 */
#include <stdio.h>
#include <string.h>

#include "storage/keytable_internal.h"
#include "storage/os.h"
#include "storage/store_internal.h"

/** what failed is not tried again before this has passed */
#define RETRY_NS (5 * 1000000000ull)
/** a segment that is damaged stays so */
#define NEVER_AGAIN UINT64_MAX
/** so long after its seal, a segment that is mostly dead is left to compaction: its copy gets the
 * table */
#define LEAVE_TO_COMPACTION_MS 2000

/** overwrites of few keys leave little of a segment: sorting all of it would be for nothing */
static bool is_soon_compacted(const cairn_store_t *store, const cairn_segment_t *segment)
{
    uint64_t dead = atomic_load_explicit(&segment->dead_bytes, memory_order_relaxed);
    return !store->options.no_compaction && dead > cairn_segment_bytes(segment) / 2 &&
           cairn_clock_now(&store->clock) < segment->sealed_ms + LEAVE_TO_COMPACTION_MS;
}

static bool is_wanted(const cairn_segment_t *segment, uint64_t now_ns)
{
    /* acquire: pairs with the release of who sealed it */
    if (!atomic_load_explicit(&segment->sealed, memory_order_acquire))
        return false;
    /* relaxed: this thread has put it there */
    const cairn_keytable_t *table = atomic_load_explicit(&segment->keys, memory_order_relaxed);
    if (table != NULL && !atomic_load_explicit(&table->is_damaged, memory_order_relaxed))
        return false;
    return segment->keys_failed_ns == 0 ||
           (segment->keys_failed_ns != NEVER_AGAIN && now_ns - segment->keys_failed_ns >= RETRY_NS);
}

/** the newest that wants one: the log goes on, and what is listed most is what is new */
static cairn_segment_t *find_segment(cairn_store_t *store)
{
    cairn_segments_t *segments = &store->segments;
    uint64_t now_ns = cairn_os->monotonic_ns();
    cairn_segment_t *found = NULL;
    pthread_mutex_lock(&segments->mutex);
    for (size_t i = segments->count; i-- != 0 && found == NULL;)
        if (is_wanted(segments->list[i], now_ns) && !is_soon_compacted(store, segments->list[i]))
            found = segments->list[i];
    pthread_mutex_unlock(&segments->mutex);
    return found;
}

static bool go_on(void *ctx)
{
    return !cairn_upkeep_is_stopping(ctx);
}

/** the table that is there, if it is a good one; else a new one */
static cairn_err_t provide(cairn_store_t *store, cairn_segment_t *segment, cairn_upkeep_t *upkeep,
                           cairn_keytable_t **table)
{
    char errmsg[CAIRN_ERRMSG_BYTES];
    bool was_damaged = atomic_load_explicit(&segment->keys, memory_order_relaxed) != NULL;
    cairn_err_t err =
        was_damaged ? CAIRN_ERR_CORRUPT : cairn_keytable_open(table, segment, &store->dir, errmsg);
    if (err == CAIRN_OK || err == CAIRN_ERR_NOMEM)
        return err;
    if (was_damaged)
        cairn_health_log(&store->health, CAIRN_LOG_WARNING,
                         "the key table of the segment of version %llu is damaged: it is made anew",
                         (unsigned long long)segment->first_version);
    else if (err != CAIRN_ERR_NOT_FOUND)
        cairn_health_log(&store->health, CAIRN_LOG_WARNING, "%s: it is made anew", errmsg);
    return cairn_keytable_make(table, segment, &store->dir, go_on, upkeep);
}

bool cairn_store_keytable_job(void *ctx, cairn_upkeep_t *upkeep)
{
    cairn_store_t *store = ctx;
    cairn_keytable_t *table;
    cairn_segment_t *segment = find_segment(store);
    if (segment == NULL)
        return false;
    cairn_err_t err = provide(store, segment, upkeep, &table);
    if (err == CAIRN_ERR_CANCELLED)
        return true;
    if (err != CAIRN_OK) {
        segment->keys_failed_ns = err == CAIRN_ERR_DAMAGED ? NEVER_AGAIN : cairn_os->monotonic_ns();
        cairn_health_log(&store->health, CAIRN_LOG_WARNING,
                         "no key table for the segment of version %llu: %s",
                         (unsigned long long)segment->first_version, cairn_strerror(err));
        return true;
    }
    segment->keys_failed_ns = 0;
    /* who has just found the damage may still look at it: it goes with the segment */
    table->older = atomic_load_explicit(&segment->keys, memory_order_relaxed);
    /* release: pairs with the acquire of readers */
    atomic_store_explicit(&segment->keys, table, memory_order_release);
    return true;
}

/* ---------------------------------------------------------------- leftovers */

typedef struct st_sweep_t {
    cairn_store_t *store;
    char name[64]; /* one to be removed; empty: there is none */
} sweep_t;

static bool has_segment(cairn_segments_t *segments, uint64_t first_version, uint32_t generation)
{
    bool has = false;
    pthread_mutex_lock(&segments->mutex);
    for (size_t i = 0; i < segments->count && !has; ++i)
        has = segments->list[i]->first_version == first_version &&
              segments->list[i]->generation == generation;
    pthread_mutex_unlock(&segments->mutex);
    return has;
}

static bool on_entry(void *ctx, const char *name)
{
    sweep_t *sweep = ctx;
    uint64_t first_version;
    uint32_t generation;
    if (!cairn_keytable_name_parse(name, &first_version, &generation))
        return true;
    bool is_whole = name[strlen(name) - 1] != CAIRN_KEYTABLE_TMP_SUFFIX[3];
    if (is_whole && has_segment(&sweep->store->segments, first_version, generation))
        return true;
    snprintf(sweep->name, sizeof(sweep->name), "%s", name);
    return false;
}

void cairn_store_sweep_keytables(cairn_store_t *store)
{
    sweep_t sweep = {.store = store};
    if (cairn_dir_is_memory(&store->dir))
        return;
    do {
        sweep.name[0] = '\0';
        if (cairn_os->list(store->dir.fd, on_entry, &sweep) < 0 || sweep.name[0] == '\0')
            return;
    } while (cairn_os->unlink(store->dir.fd, sweep.name) == 0);
}
