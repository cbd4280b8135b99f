/*
 * storage/runs.c - the keys of segments that have no key table yet, sorted when a listing asks.
 */
#include "storage/runs.h"

#include <string.h>

#include "index/qsbr.h"
#include "storage/keytable.h"
#include "storage/os.h"
#include "storage/walk.h"

void cairn_runs_init(cairn_runs_kept_t *kept)
{
    memset(kept, 0, sizeof(*kept));
    pthread_mutex_init(&kept->mutex, NULL);
}

void cairn_runs_dispose(cairn_runs_kept_t *kept)
{
    for (size_t i = 0; i < kept->count; ++i)
        cairn_runs_release(&kept->list[i]);
    cairn_os->free(kept->list);
    pthread_mutex_destroy(&kept->mutex);
}

static void release_run(cairn_run_t *run)
{
    /* acquire and release: what others read of it comes before its end */
    if (atomic_fetch_sub_explicit(&run->references, 1, memory_order_acq_rel) == 1)
        cairn_os->free(run);
}

void cairn_runs_release(cairn_runs_t *runs)
{
    for (size_t i = 0; i < runs->count; ++i)
        release_run(runs->list[i]);
    cairn_wounds_release(runs->wounds);
    runs->wounds = NULL;
    runs->count = 0;
}

static void copy_runs(cairn_runs_t *to, const cairn_runs_t *from)
{
    *to = *from;
    for (size_t i = 0; i < to->count; ++i)
        /* relaxed: who copies has a reference, or the lock of who has */
        atomic_fetch_add_explicit(&to->list[i]->references, 1, memory_order_relaxed);
    if (to->wounds != NULL)
        atomic_fetch_add_explicit(&to->wounds->references, 1, memory_order_relaxed);
}

/* ---------------------------------------------------------------- sorting */

static cairn_run_t *make_run(const cairn_keyplace_t *places, size_t count)
{
    cairn_run_t *run = cairn_os->alloc(sizeof(*run) + count * sizeof(run->places[0]));
    if (run == NULL)
        return NULL;
    atomic_init(&run->references, 1);
    run->count = count;
    for (size_t i = 0; i < count; ++i)
        run->places[i] = places[i].place;
    return run;
}

/** sorts places into a run of its own, the last one */
static cairn_err_t add_run(cairn_runs_t *runs, const cairn_segment_t *segment,
                           cairn_keyplace_t *places, size_t count)
{
    if (count == 0)
        return CAIRN_OK;
    rcu_thread_offline(); /* it may take a while */
    bool is_sorted = cairn_keysort(segment, runs->end, places, &count);
    rcu_thread_online();
    if (!is_sorted)
        return CAIRN_ERR_IO;
    cairn_run_t *run = make_run(places, count);
    if (run == NULL)
        return CAIRN_ERR_NOMEM;
    runs->list[runs->count++] = run;
    return CAIRN_OK;
}

/** puts the last two runs together */
static cairn_err_t merge_last(cairn_runs_t *runs, const cairn_segment_t *segment)
{
    const cairn_run_t *a = runs->list[runs->count - 2], *b = runs->list[runs->count - 1];
    cairn_keyplace_t *places = cairn_os->alloc((a->count + b->count) * sizeof(*places));
    if (places == NULL)
        return CAIRN_ERR_NOMEM;
    for (size_t i = 0; i < a->count; ++i)
        places[i].place = a->places[i];
    for (size_t i = 0; i < b->count; ++i)
        places[a->count + i].place = b->places[i];
    cairn_runs_t merged = {.end = runs->end};
    cairn_err_t err = add_run(&merged, segment, places, a->count + b->count);
    cairn_os->free(places);
    if (err != CAIRN_OK)
        return err;
    release_run(runs->list[--runs->count]);
    release_run(runs->list[--runs->count]);
    runs->list[runs->count++] = merged.list[0];
    return CAIRN_OK;
}

/** few runs, and no record sorted more often than they double */
static cairn_err_t merge(cairn_runs_t *runs, const cairn_segment_t *segment)
{
    cairn_err_t err = CAIRN_OK;
    while (err == CAIRN_OK && runs->count > 1 &&
           runs->list[runs->count - 2]->count < 2 * runs->list[runs->count - 1]->count)
        err = merge_last(runs, segment);
    return err;
}

/** goes on behind what is damaged; once for all that is found of it, the wounds become a copy */
static cairn_err_t note_damage(cairn_wounds_t **found, const cairn_runs_t *runs, cairn_walk_t *walk,
                               cairn_err_t err)
{
    return *found != NULL || cairn_wounds_copy(found, runs->wounds)
               ? cairn_wounds_add(found, walk, err)
               : CAIRN_ERR_NOMEM;
}

/** the places of records behind those that are in runs; what is damaged among them is noted */
static cairn_err_t collect(cairn_runs_t *runs, cairn_segment_t *segment, uint64_t end,
                           cairn_keyplace_t *places, size_t *count)
{
    cairn_walk_t walk;
    cairn_wounds_t *found = NULL;
    cairn_err_t err, noted = CAIRN_OK;
    *count = 0;
    cairn_walk_begin(&walk, segment, runs->end, end);
    while (noted == CAIRN_OK && (err = cairn_walk_look(&walk)) != CAIRN_ERR_NOT_FOUND) {
        if (err != CAIRN_OK) {
            noted = note_damage(&found, runs, &walk, err);
            continue;
        }
        if (cairn_record_is_data(&walk.record))
            places[(*count)++].place = (cairn_place_t)(walk.at / CAIRN_RECORD_ALIGN);
        cairn_walk_step(&walk);
    }
    if (found != NULL) {
        cairn_wounds_release(runs->wounds);
        runs->wounds = found;
    }
    return noted;
}

/** sorts what the runs do not have yet */
static cairn_err_t extend(cairn_runs_t *runs, cairn_segment_t *segment, uint64_t end,
                          size_t *sorted)
{
    uint64_t from = runs->end;
    /* no record is shorter than its head and one byte of a key */
    size_t most = (end - from) / (CAIRN_RECORD_HEAD_BYTES + CAIRN_RECORD_ALIGN) + 1;
    size_t bytes = most * sizeof(cairn_keyplace_t);
    cairn_keyplace_t *places = cairn_os->alloc_pages(bytes); /* touched as far as there are any */
    if (places == NULL)
        return CAIRN_ERR_NOMEM;
    cairn_err_t err = collect(runs, segment, end, places, sorted);
    runs->end = end;
    if (err == CAIRN_OK)
        err = add_run(runs, segment, places, *sorted);
    cairn_os->free_pages(places, bytes);
    return err == CAIRN_OK ? merge(runs, segment) : err;
}

/* ---------------------------------------------------------------- keeping them */

static cairn_runs_t *find_locked(cairn_runs_kept_t *kept, uint64_t salt)
{
    for (size_t i = 0; i < kept->count; ++i)
        if (kept->list[i].salt == salt)
            return &kept->list[i];
    return NULL;
}

/** room for one more; false if there is no memory, and then it is not kept */
static bool make_room_locked(cairn_runs_kept_t *kept)
{
    if (kept->count < kept->room)
        return true;
    size_t room = 2 * kept->room + 4;
    cairn_runs_t *list = cairn_os->alloc(room * sizeof(*list));
    if (list == NULL)
        return false;
    if (kept->count != 0)
        memcpy(list, kept->list, kept->count * sizeof(*list));
    cairn_os->free(kept->list);
    kept->list = list;
    kept->room = room;
    return true;
}

/** keeps a copy, unless another listing has come further */
static void keep(cairn_runs_kept_t *kept, const cairn_runs_t *runs)
{
    cairn_runs_t before = {.count = 0};
    pthread_mutex_lock(&kept->mutex);
    cairn_runs_t *found = find_locked(kept, runs->salt);
    if (found != NULL && found->end < runs->end) {
        before = *found;
        copy_runs(found, runs);
    } else if (found == NULL && make_room_locked(kept)) {
        copy_runs(&kept->list[kept->count++], runs);
    }
    pthread_mutex_unlock(&kept->mutex);
    cairn_runs_release(&before);
}

cairn_err_t cairn_runs_get(cairn_runs_kept_t *kept, cairn_segment_t *segment, cairn_runs_t *runs,
                           size_t *sorted)
{
    /* not just what is published: an async write is answered a moment before that. What is not in
     * the index yet is nobody's. Acquire: pairs with the writer's release */
    uint64_t end = atomic_load_explicit(&segment->written, memory_order_acquire);
    *runs = (cairn_runs_t){.salt = segment->salt, .end = CAIRN_SEGMENT_HEADER_BYTES};
    *sorted = 0;
    pthread_mutex_lock(&kept->mutex);
    const cairn_runs_t *found = find_locked(kept, segment->salt);
    if (found != NULL)
        copy_runs(runs, found);
    pthread_mutex_unlock(&kept->mutex);
    if (runs->end >= end)
        return CAIRN_OK;
    cairn_err_t err = extend(runs, segment, end, sorted);
    if (err == CAIRN_OK)
        keep(kept, runs);
    else
        cairn_runs_release(runs);
    return err;
}

void cairn_runs_forget(cairn_runs_kept_t *kept, uint64_t salt)
{
    pthread_mutex_lock(&kept->mutex);
    cairn_runs_t *found = find_locked(kept, salt);
    if (found != NULL) {
        cairn_runs_release(found);
        *found = kept->list[--kept->count];
    }
    pthread_mutex_unlock(&kept->mutex);
}

static bool is_among(const cairn_segments_pinned_t *pinned, uint64_t salt)
{
    for (size_t i = 0; i < pinned->count; ++i)
        if (pinned->list[i]->salt == salt)
            return cairn_keytable_of(pinned->list[i]) == NULL;
    return false;
}

void cairn_runs_keep_only(cairn_runs_kept_t *kept, const cairn_segments_pinned_t *pinned)
{
    pthread_mutex_lock(&kept->mutex);
    for (size_t i = kept->count; i-- != 0;)
        if (!is_among(pinned, kept->list[i].salt)) {
            cairn_runs_release(&kept->list[i]);
            kept->list[i] = kept->list[--kept->count];
        }
    pthread_mutex_unlock(&kept->mutex);
}
