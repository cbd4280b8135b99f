/*
 * storage/recovery_scan.c - the scan of a file, on a thread of its own.
 *
 * Whether records are valid is a matter of sums, what they do to the index one of waiting for
 * memory: two threads do the two side by side, with a ring of batches between them.
 */
#include <pthread.h>

#include "index/qsbr.h"
#include "storage/recovery_internal.h"

/** of a file with less to scan than this, the replaying thread does it itself */
#define THREAD_BYTES_MIN ((uint64_t)1 << 20)
/** who waits is woken when there is this much to do: waking costs more than a batch is worth */
#define BATCHES_WORTH_WAKING (CAIRN_RECOVERY_BATCHES / 2)

/** the next records that are valid; false where they end */
static bool scan(cairn_recovery_scan_t *s, cairn_recovery_batch_t *batch)
{
    batch->count = 0;
    while (!s->has_ended && batch->count < CAIRN_RECOVERY_UNITS) {
        s->has_ended = !cairn_scan_next(&s->file->scan, &batch->units[batch->count]);
        batch->count += !s->has_ended;
    }
    return batch->count != 0;
}

/** where the next batch may be scanned into, after waiting for room; NULL: no more is wanted */
static cairn_recovery_batch_t *wait_for_room(cairn_recovery_scan_t *s)
{
    pthread_mutex_lock(&s->mutex);
    if (s->filled - s->taken == CAIRN_RECOVERY_BATCHES)
        while (s->filled - s->taken > CAIRN_RECOVERY_BATCHES - BATCHES_WORTH_WAKING && !s->stops)
            pthread_cond_wait(&s->cond, &s->mutex);
    cairn_recovery_batch_t *room =
        s->stops ? NULL : &s->batches[s->filled % CAIRN_RECOVERY_BATCHES];
    pthread_mutex_unlock(&s->mutex);
    return room;
}

static void tell_filled(cairn_recovery_scan_t *s, bool is_over)
{
    pthread_mutex_lock(&s->mutex);
    s->is_over = is_over;
    s->filled += !is_over;
    if (is_over || s->filled - s->taken >= BATCHES_WORTH_WAKING)
        pthread_cond_signal(&s->cond);
    pthread_mutex_unlock(&s->mutex);
}

static void *scan_main(void *arg)
{
    cairn_recovery_scan_t *s = arg;
    cairn_recovery_batch_t *room;
    pthread_setname_np(pthread_self(), "recovery scan");
    while ((room = wait_for_room(s)) != NULL && scan(s, room))
        tell_filled(s, false);
    tell_filled(s, true);
    return NULL;
}

void cairn_recovery_scan_start(cairn_recovery_scan_t *s, cairn_recovery_file_t *file)
{
    s->file = file;
    s->filled = s->taken = 0;
    s->has_ended = s->is_over = s->stops = false;
    pthread_mutex_init(&s->mutex, NULL);
    pthread_cond_init(&s->cond, NULL);
    s->is_started = file->segment->bytes - file->scan.at >= THREAD_BYTES_MIN &&
                    pthread_create(&s->thread, NULL, scan_main, s) == 0;
}

const cairn_recovery_batch_t *cairn_recovery_scan_next(cairn_recovery_scan_t *s)
{
    if (!s->is_started)
        return scan(s, &s->taken_batch) ? &s->taken_batch : NULL;
    pthread_mutex_lock(&s->mutex);
    if (s->filled == s->taken && !s->is_over) {
        rcu_thread_offline();
        while (s->filled - s->taken < BATCHES_WORTH_WAKING && !s->is_over)
            pthread_cond_wait(&s->cond, &s->mutex);
        rcu_thread_online();
    }
    bool is_there = s->filled != s->taken;
    if (is_there)
        s->taken_batch = s->batches[s->taken++ % CAIRN_RECOVERY_BATCHES];
    if (s->filled - s->taken <= CAIRN_RECOVERY_BATCHES - BATCHES_WORTH_WAKING)
        pthread_cond_signal(&s->cond);
    pthread_mutex_unlock(&s->mutex);
    return is_there ? &s->taken_batch : NULL;
}

void cairn_recovery_scan_stop(cairn_recovery_scan_t *s)
{
    if (s->is_started) {
        pthread_mutex_lock(&s->mutex);
        s->stops = true;
        pthread_cond_signal(&s->cond);
        pthread_mutex_unlock(&s->mutex);
        rcu_thread_offline();
        pthread_join(s->thread, NULL);
        rcu_thread_online();
    }
    pthread_cond_destroy(&s->cond);
    pthread_mutex_destroy(&s->mutex);
}
