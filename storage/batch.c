/*
 * storage/batch.c - many operations at once: gets side by side, and work that waits for the disk.
 */
#include "index/qsbr.h"
#include "storage/guard.h"
#include "storage/store_internal.h"

void cairn_store_get_batch(cairn_store_t *store, size_t count, const cairn_key_t *keys,
                           cairn_value_t *values, cairn_err_t *errs)
{
    cairn_probe_t probes[CAIRN_GET_BATCH_MAX];
    void *ctxs[CAIRN_GET_BATCH_MAX];
    uint64_t hashes[CAIRN_GET_BATCH_MAX];
    cairn_loc_t locs[CAIRN_GET_BATCH_MAX];
    assert(count <= CAIRN_GET_BATCH_MAX);
    if (count == 0)
        return;
    for (size_t i = 0; i < count; ++i) {
        probes[i] = (cairn_probe_t){.space = store->space, .key = &keys[i]};
        ctxs[i] = &probes[i];
        hashes[i] = keys[i].hash;
    }
    cairn_index_find_batch(store->index, count, hashes, ctxs, cairn_probe_match,
                           cairn_probe_prefetch, locs);
    for (size_t i = 0; i < count; ++i)
        errs[i] = locs[i] == 0 ? CAIRN_ERR_NOT_FOUND
                               : cairn_store_take(store, &probes[i], locs[i], &values[i]);
}

/* ---------------------------------------------------------------- on the I/O pool */

void cairn_store_run(cairn_store_t *store, cairn_job_t *job)
{
    job->is_reader = true;
    cairn_iopool_submit(store->iopool, job);
}

/** the record is brought in and verified; nothing but what is pinned outlives this */
static cairn_err_t wait_for(cairn_store_t *store, uint64_t loc)
{
    cairn_segment_t *segment = cairn_space_segment(store->space, loc);
    cairn_segment_pin(segment);
    /* a disk may take long, and memory that others gave back would wait for it */
    rcu_thread_offline();
    cairn_err_t err = cairn_store_load_record(segment, cairn_segment_offset(segment, loc));
    rcu_thread_online();
    cairn_segment_unpin(segment);
    atomic_fetch_add_explicit(&store->loads, 1, memory_order_relaxed);
    return err;
}

cairn_err_t cairn_store_get_waiting(cairn_store_t *store, const cairn_key_t *key,
                                    cairn_value_t *value)
{
    uint64_t loaded = 0;
    rcu_quiescent_state();
    for (;;) {
        cairn_err_t err = cairn_store_get(store, key, loaded, value);
        if (err != CAIRN_ERR_COLD)
            return err;
        loaded = value->loc;
        err = wait_for(store, loaded);
        if (err != CAIRN_OK)
            return err;
    }
}

void cairn_store_warm(cairn_store_t *store, const cairn_key_t *key, bool whole)
{
    uint64_t loc;
    rcu_quiescent_state();
    if (cairn_store_peek(store, key, whole, &loc) == CAIRN_ERR_COLD)
        wait_for(store, loc);
}

/** a write being looked for where compaction may have moved it to */
typedef struct st_moved_t {
    cairn_space_t *space;
    const cairn_segment_t *from;
    uint64_t version; /* no two writes have the same */
    const cairn_record_t *record;
    cairn_segment_t *segment; /* of that */
    uint64_t offset;
    bool is_so;
    bool is_damaged;
} moved_t;

static void look_for_version(void *ctx)
{
    moved_t *m = ctx;
    uint64_t written = atomic_load_explicit(&m->segment->written, memory_order_acquire);
    m->is_damaged =
        !cairn_record_head_is_valid(m->record, written - m->offset, m->segment->salt, m->offset);
    m->is_so = m->is_damaged || m->record->version == m->version;
}

static bool is_moved_here(void *ctx, cairn_loc_t loc)
{
    moved_t *m = ctx;
    m->segment = cairn_space_segment(m->space, loc);
    /* in any other than a copy it is a newer write, or one of another key */
    if (m->segment->generation <= m->from->generation || m->segment->first_version > m->version)
        return false;
    m->record = cairn_space_record(m->space, loc);
    m->offset = cairn_segment_offset(m->segment, loc);
    if (!cairn_guard_run(look_for_version, m))
        m->is_so = m->is_damaged = true;
    return m->is_so;
}

bool cairn_store_is_live(cairn_store_t *store, const cairn_segment_t *segment, uint64_t offset,
                         const cairn_key_t *key, uint64_t version, bool *is_doubtful)
{
    moved_t moved = {.space = store->space, .from = segment, .version = version};
    cairn_loc_t here = cairn_segment_loc(segment, offset), loc;
    *is_doubtful = false;
    if (cairn_index_find(store->index, key->hash, cairn_probe_is_at, &here, &loc))
        return true;
    cairn_store_warm(store, key, false);
    bool is_live = cairn_index_find(store->index, key->hash, is_moved_here, &moved, &loc);
    *is_doubtful = is_live && moved.is_damaged;
    return is_live;
}

/* ---------------------------------------------------------------- through the writer */

cairn_err_t cairn_store_enqueue_batch(cairn_store_t *store, cairn_write_t *first, bool is_atomic)
{
    for (cairn_write_t *write = first; write != NULL; write = write->next)
        cairn_store_rehash(store, write);
    return cairn_writer_enqueue_batch(store->writer, first, is_atomic);
}

cairn_err_t cairn_write_value(cairn_store_t *store, const cairn_write_t *get, bool may_wait,
                              cairn_value_t *value)
{
    assert(get->op == CAIRN_WRITE_GET && get->_got_segment != NULL);
    cairn_err_t err = cairn_store_take_at(store, get->_loc, false, value);
    if (err != CAIRN_ERR_COLD || !may_wait)
        return err;
    /* pinned by the get */
    err = wait_for(store, get->_loc);
    return err == CAIRN_OK ? cairn_store_take_at(store, get->_loc, true, value) : err;
}
