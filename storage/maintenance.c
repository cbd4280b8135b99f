/*
 * storage/maintenance.c - everything that keeps a roll free for the writer.
 *
 * After a roll, in this order: the new active segment gets its name (until then it is in the log
 * under the spare's name, where recovery looks for it too), the old segment is sealed, STORE is
 * replaced, a new spare is made. A crash between any two is what recovery finishes.
 */
#include "storage/maintenance.h"

#include <string.h>

#include "storage/os.h"

/** when no spare could be made, the next try */
#define RETRY_MS 200
/** when there is one for deletes: it has to be given up for a try */
#define RETRY_SMALL_MS 1000
/** a spare for deletes is so many times smaller, but not smaller than this */
#define SMALL_PARTS 16
#define SMALL_BYTES_MIN ((uint64_t)65536)
/** commits beyond this are bound by bandwidth, not by the journal: zeroing ahead would halve it */
#define ZERO_FILL_COMMIT_BYTES_MAX 65536
/** while zeroes are laid down, rest for so many times the time that a piece took */
#define FILL_REST 3
#define FILL_REST_NS_MAX 50000000ull

typedef struct st_rolled_t {
    cairn_segment_t *active;
    cairn_segment_t *previous;
    uint64_t durable_version;
} rolled_t;

struct st_cairn_maintenance_t {
    cairn_maintenance_parts_t parts;
    pthread_t thread;
    _Atomic uint64_t commit_bytes; /* moving average; relaxed: a hint */
    uint64_t piece_began_ns;       /* the thread's own */

    pthread_mutex_t mutex;
    pthread_cond_t cond;    /* any of the below has changed */
    cairn_segment_t *spare; /* guarded by mutex, as is all below */
    bool spare_is_small;    /* there was no room for more: deletes only */
    uint64_t tried_ns;      /* when the last try to make one ended */
    cairn_err_t spare_err;  /* what the last try to make one came to */
    bool has_rolled;        /* `rolled` is to be worked on */
    bool spare_is_wanted;   /* the writer waits for it */
    bool stopping;
    rolled_t rolled;
};

/** waits until anything changes, or for so long */
static void wait_locked(cairn_maintenance_t *m, uint64_t ns)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += (long)ns;
    until.tv_sec += until.tv_nsec / 1000000000L;
    until.tv_nsec %= 1000000000L;
    pthread_cond_timedwait(&m->cond, &m->mutex, &until);
}

/** rests between two pieces of a fill; no more of them as soon as the writer waits for the spare */
static bool fill_on(void *ctx)
{
    cairn_maintenance_t *m = ctx;
    uint64_t now = cairn_os->monotonic_ns();
    uint64_t rest_ns = FILL_REST * (now - m->piece_began_ns);
    pthread_mutex_lock(&m->mutex);
    if (!m->spare_is_wanted && !m->stopping)
        wait_locked(m, rest_ns < FILL_REST_NS_MAX ? rest_ns : FILL_REST_NS_MAX);
    bool go_on = !m->spare_is_wanted && !m->stopping;
    pthread_mutex_unlock(&m->mutex);
    m->piece_began_ns = cairn_os->monotonic_ns();
    return go_on;
}

/** under the limit there must be room for it, and for what compaction makes of others */
static bool is_within_limit(const cairn_maintenance_t *m, uint64_t bytes)
{
    return m->parts.max_bytes == 0 ||
           cairn_segments_bytes(m->parts.segments) + bytes + m->parts.segment_bytes <=
               m->parts.max_bytes;
}

static cairn_err_t make_spare(cairn_maintenance_t *m, uint64_t bytes, cairn_segment_t **spare)
{
    if (!is_within_limit(m, bytes))
        return CAIRN_ERR_DISK_FULL;
    cairn_err_t err = cairn_reserve_hold(m->parts.reserve);
    if (err == CAIRN_OK)
        err = cairn_segments_reserve(m->parts.segments);
    if (err != CAIRN_OK)
        return err;
    bool fill =
        atomic_load_explicit(&m->commit_bytes, memory_order_relaxed) <= ZERO_FILL_COMMIT_BYTES_MAX;
    cairn_segment_create_t how = {
        .segment_bytes = bytes, .fill_on = fill ? fill_on : NULL, .ctx = m};
    m->piece_began_ns = cairn_os->monotonic_ns();
    return cairn_segment_create(spare, m->parts.space, m->parts.dir, &how);
}

/** deletes go on where there is no room for a whole segment: they are what makes room */
static bool make_small_spare(cairn_maintenance_t *m, cairn_segment_t **spare)
{
    uint64_t bytes = m->parts.segment_bytes / SMALL_PARTS;
    if (bytes < SMALL_BYTES_MIN)
        bytes = SMALL_BYTES_MIN;
    return bytes < m->parts.segment_bytes && make_spare(m, bytes, spare) == CAIRN_OK;
}

static void remove_spare(cairn_maintenance_t *m, cairn_segment_t *spare)
{
    cairn_segment_close(spare);
    if (!cairn_dir_is_memory(m->parts.dir))
        cairn_os->unlink(m->parts.dir->fd, CAIRN_SPARE_NAME);
}

/** there is one spare, under one name: who wants another one waits for it */
static void give_up_small_spare(cairn_maintenance_t *m)
{
    pthread_mutex_lock(&m->mutex);
    cairn_segment_t *small = m->spare;
    assert(small == NULL || m->spare_is_small);
    m->spare = NULL;
    m->spare_is_small = false;
    m->spare_err = CAIRN_OK;
    pthread_mutex_unlock(&m->mutex);
    if (small != NULL)
        remove_spare(m, small);
}

static void note_whether_full(cairn_maintenance_t *m, cairn_err_t err)
{
    bool was_full = atomic_load(&m->parts.health->disk_full);
    bool is_full = err == CAIRN_ERR_DISK_FULL;
    if (is_full != was_full)
        cairn_health_log(m->parts.health, is_full ? CAIRN_LOG_ERROR : CAIRN_LOG_INFO,
                         is_full ? "no room for another segment of %llu bytes: "
                                   "writes are refused until there is"
                                 : "there is room for a segment of %llu bytes again",
                         (unsigned long long)m->parts.segment_bytes);
    else if (err != CAIRN_OK && !is_full)
        cairn_health_log(m->parts.health, CAIRN_LOG_ERROR, "the next segment cannot be made: %s",
                         cairn_strerror(err));
    atomic_store(&m->parts.health->disk_full, is_full);
    if (is_full)
        cairn_upkeep_wake(m->parts.upkeep);
}

/** makes a spare and says how it went to those who wait for one */
static void provide_spare(cairn_maintenance_t *m)
{
    cairn_segment_t *spare = NULL;
    give_up_small_spare(m);
    cairn_err_t err = make_spare(m, m->parts.segment_bytes, &spare);
    note_whether_full(m, err);
    bool is_small = err == CAIRN_ERR_DISK_FULL && make_small_spare(m, &spare);

    pthread_mutex_lock(&m->mutex);
    m->spare = spare;
    m->spare_is_small = is_small;
    m->spare_err = err;
    m->tried_ns = cairn_os->monotonic_ns();
    pthread_cond_broadcast(&m->cond);
    pthread_mutex_unlock(&m->mutex);
}

static void seal_and_note(cairn_maintenance_t *m, const rolled_t *rolled)
{
    if (rolled->previous != NULL &&
        cairn_segment_seal(rolled->previous, CAIRN_SEAL_ROLL) != CAIRN_OK)
        cairn_health_fail(m->parts.health, "a full segment could not be sealed");
    /* STORE only helps to find files that somebody removed: the log is whole without it */
    cairn_err_t err =
        cairn_dir_note(m->parts.dir, rolled->active->first_version, rolled->durable_version);
    if (err != CAIRN_OK)
        cairn_health_log(m->parts.health, CAIRN_LOG_WARNING, "STORE could not be replaced: %s",
                         cairn_strerror(err));
}

static void finish_roll(cairn_maintenance_t *m, const rolled_t *rolled, bool stopping)
{
    if (cairn_segment_rename_spare(rolled->active, m->parts.dir) != CAIRN_OK) {
        /* nothing may take the spare's name now */
        cairn_health_fail(m->parts.health, "the new segment could not be given its name");
        return;
    }
    seal_and_note(m, rolled);
    cairn_upkeep_wake(m->parts.upkeep);
    if (!stopping)
        provide_spare(m);
}

static void *maintenance_main(void *arg)
{
    cairn_maintenance_t *m = arg;
    pthread_setname_np(pthread_self(), "maintenance");
    provide_spare(m);
    pthread_mutex_lock(&m->mutex);
    for (;;) {
        if (m->has_rolled) {
            rolled_t rolled = m->rolled;
            bool stopping = m->stopping;
            pthread_mutex_unlock(&m->mutex);
            finish_roll(m, &rolled, stopping);
            pthread_mutex_lock(&m->mutex);
            m->has_rolled = false;
            pthread_cond_broadcast(&m->cond);
        } else if (m->stopping) {
            break;
        } else if (m->spare_err != CAIRN_OK && !cairn_health_has_failed(m->parts.health)) {
            /* each write that is refused meanwhile wakes us; the disk is not asked for each */
            uint64_t retry_ms = m->spare_is_small ? RETRY_SMALL_MS : RETRY_MS;
            wait_locked(m, RETRY_MS * 1000000ull);
            if (m->has_rolled || m->stopping ||
                cairn_os->monotonic_ns() - m->tried_ns < retry_ms * 1000000ull)
                continue;
            pthread_mutex_unlock(&m->mutex);
            provide_spare(m);
            pthread_mutex_lock(&m->mutex);
        } else {
            pthread_cond_wait(&m->cond, &m->mutex);
        }
    }
    pthread_mutex_unlock(&m->mutex);
    return NULL;
}

cairn_maintenance_t *cairn_maintenance_start(const cairn_maintenance_parts_t *parts)
{
    cairn_maintenance_t *m = cairn_os->calloc(1, sizeof(*m));
    if (m == NULL)
        return NULL;
    m->parts = *parts;
    pthread_mutex_init(&m->mutex, NULL);
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&m->cond, &attr);
    pthread_condattr_destroy(&attr);
    if (pthread_create(&m->thread, NULL, maintenance_main, m) != 0) {
        pthread_cond_destroy(&m->cond);
        pthread_mutex_destroy(&m->mutex);
        cairn_os->free(m);
        return NULL;
    }
    return m;
}

void cairn_maintenance_stop(cairn_maintenance_t *m)
{
    pthread_mutex_lock(&m->mutex);
    m->stopping = true;
    pthread_cond_broadcast(&m->cond);
    pthread_mutex_unlock(&m->mutex);
    pthread_join(m->thread, NULL);
    if (m->spare != NULL)
        remove_spare(m, m->spare);
    pthread_cond_destroy(&m->cond);
    pthread_mutex_destroy(&m->mutex);
    cairn_os->free(m);
}

static cairn_err_t why_there_is_none(const cairn_maintenance_t *m)
{
    return m->spare_err != CAIRN_OK && m->spare_err != CAIRN_ERR_IO ? m->spare_err
                                                                    : CAIRN_ERR_FAILED;
}

cairn_err_t cairn_maintenance_take_spare(cairn_maintenance_t *m, bool for_deletes,
                                         cairn_segment_t **spare)
{
    pthread_mutex_lock(&m->mutex);
    m->spare_is_wanted = true;
    pthread_cond_broadcast(&m->cond);
    while (m->spare == NULL && m->spare_err == CAIRN_OK &&
           !cairn_health_has_failed(m->parts.health))
        pthread_cond_wait(&m->cond, &m->mutex);
    /* the roll before may still be sealing; its name has been given before this spare was made */
    while (m->spare != NULL && m->has_rolled)
        pthread_cond_wait(&m->cond, &m->mutex);
    bool is_good = m->spare != NULL && (for_deletes || !m->spare_is_small);
    cairn_err_t err = is_good ? CAIRN_OK : why_there_is_none(m);
    if (is_good) {
        *spare = m->spare;
        m->spare = NULL;
        m->spare_is_small = false;
        m->spare_err = CAIRN_OK; /* the next is made as soon as this one has its name */
    }
    m->spare_is_wanted = false;
    pthread_mutex_unlock(&m->mutex);
    return err;
}

void cairn_maintenance_rolled(cairn_maintenance_t *m, cairn_segment_t *active,
                              cairn_segment_t *previous, uint64_t durable_version)
{
    cairn_segments_add(m->parts.segments, active);
    pthread_mutex_lock(&m->mutex);
    assert(!m->has_rolled);
    m->rolled = (rolled_t){active, previous, durable_version};
    m->has_rolled = true;
    pthread_cond_broadcast(&m->cond);
    pthread_mutex_unlock(&m->mutex);
}

void cairn_maintenance_wait(cairn_maintenance_t *m)
{
    pthread_mutex_lock(&m->mutex);
    while (m->has_rolled)
        pthread_cond_wait(&m->cond, &m->mutex);
    pthread_mutex_unlock(&m->mutex);
}

void cairn_maintenance_note_commit_bytes(cairn_maintenance_t *m, uint64_t bytes)
{
    uint64_t average = atomic_load_explicit(&m->commit_bytes, memory_order_relaxed);
    atomic_store_explicit(&m->commit_bytes, average - average / 16 + bytes / 16,
                          memory_order_relaxed);
}
