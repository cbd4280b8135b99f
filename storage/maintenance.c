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
    cairn_dir_t *dir;
    cairn_space_t *space;
    cairn_segments_t *segments;
    cairn_health_t *health;
    cairn_upkeep_t *upkeep;
    uint64_t segment_bytes;
    pthread_t thread;
    _Atomic uint64_t commit_bytes; /* moving average; relaxed: a hint */
    uint64_t piece_began_ns;       /* the thread's own */

    pthread_mutex_t mutex;
    pthread_cond_t cond;    /* any of the below has changed */
    cairn_segment_t *spare; /* guarded by mutex, as is all below */
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

static cairn_err_t make_spare(cairn_maintenance_t *m, cairn_segment_t **spare)
{
    cairn_err_t err = cairn_segments_reserve(m->segments);
    if (err != CAIRN_OK)
        return err;
    bool fill =
        atomic_load_explicit(&m->commit_bytes, memory_order_relaxed) <= ZERO_FILL_COMMIT_BYTES_MAX;
    cairn_segment_create_t how = {
        .segment_bytes = m->segment_bytes, .fill_on = fill ? fill_on : NULL, .ctx = m};
    m->piece_began_ns = cairn_os->monotonic_ns();
    return cairn_segment_create(spare, m->space, m->dir, &how);
}

/** makes a spare and says how it went to those who wait for one */
static void provide_spare(cairn_maintenance_t *m)
{
    cairn_segment_t *spare = NULL;
    cairn_err_t err = make_spare(m, &spare);
    bool was_full = atomic_load(&m->health->disk_full);
    bool is_full = err == CAIRN_ERR_DISK_FULL;
    if (is_full != was_full)
        cairn_health_log(m->health,
                         is_full ? "no room for another segment of %llu bytes: "
                                   "writes are refused until there is"
                                 : "there is room for a segment of %llu bytes again",
                         (unsigned long long)m->segment_bytes);
    else if (err != CAIRN_OK && !is_full)
        cairn_health_log(m->health, "the next segment cannot be made: %s", cairn_strerror(err));
    atomic_store(&m->health->disk_full, is_full);

    pthread_mutex_lock(&m->mutex);
    m->spare = spare;
    m->spare_err = err;
    m->tried_ns = cairn_os->monotonic_ns();
    pthread_cond_broadcast(&m->cond);
    pthread_mutex_unlock(&m->mutex);
}

static void seal_and_note(cairn_maintenance_t *m, const rolled_t *rolled)
{
    if (rolled->previous != NULL &&
        cairn_segment_seal(rolled->previous, CAIRN_SEAL_ROLL) != CAIRN_OK)
        cairn_health_fail(m->health, "a full segment could not be sealed");
    /* STORE only helps to find files that somebody removed: the log is whole without it */
    cairn_err_t err =
        cairn_dir_note(m->dir, rolled->active->first_version, rolled->durable_version);
    if (err != CAIRN_OK)
        cairn_health_log(m->health, "STORE could not be replaced: %s", cairn_strerror(err));
}

static void finish_roll(cairn_maintenance_t *m, const rolled_t *rolled, bool stopping)
{
    if (cairn_segment_rename_spare(rolled->active, m->dir) != CAIRN_OK) {
        /* nothing may take the spare's name now */
        cairn_health_fail(m->health, "the new segment could not be given its name");
        return;
    }
    seal_and_note(m, rolled);
    cairn_upkeep_wake(m->upkeep);
    if (!stopping)
        provide_spare(m);
}

static void *maintenance_main(void *arg)
{
    cairn_maintenance_t *m = arg;
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
        } else if (m->spare_err != CAIRN_OK && !cairn_health_has_failed(m->health)) {
            /* each write that is refused meanwhile wakes us; the disk is not asked for each */
            wait_locked(m, RETRY_MS * 1000000ull);
            if (m->has_rolled || m->stopping ||
                cairn_os->monotonic_ns() - m->tried_ns < RETRY_MS * 1000000ull)
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

cairn_maintenance_t *cairn_maintenance_start(cairn_dir_t *dir, cairn_space_t *space,
                                             cairn_segments_t *segments, cairn_health_t *health,
                                             cairn_upkeep_t *upkeep, uint64_t segment_bytes)
{
    cairn_maintenance_t *m = cairn_os->calloc(1, sizeof(*m));
    if (m == NULL)
        return NULL;
    m->dir = dir;
    m->space = space;
    m->segments = segments;
    m->health = health;
    m->upkeep = upkeep;
    m->segment_bytes = segment_bytes;
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
    if (m->spare != NULL) {
        cairn_segment_close(m->spare);
        if (!cairn_dir_is_memory(m->dir))
            cairn_os->unlink(m->dir->fd, CAIRN_SPARE_NAME);
    }
    pthread_cond_destroy(&m->cond);
    pthread_mutex_destroy(&m->mutex);
    cairn_os->free(m);
}

cairn_err_t cairn_maintenance_take_spare(cairn_maintenance_t *m, cairn_segment_t **spare)
{
    pthread_mutex_lock(&m->mutex);
    m->spare_is_wanted = true;
    pthread_cond_broadcast(&m->cond);
    while (m->spare == NULL && m->spare_err == CAIRN_OK && !cairn_health_has_failed(m->health))
        pthread_cond_wait(&m->cond, &m->mutex);
    /* the roll before may still be sealing; its name has been given before this spare was made */
    while (m->spare != NULL && m->has_rolled)
        pthread_cond_wait(&m->cond, &m->mutex);
    cairn_err_t err = CAIRN_OK;
    if (m->spare == NULL)
        err = m->spare_err != CAIRN_OK && m->spare_err != CAIRN_ERR_IO ? m->spare_err
                                                                       : CAIRN_ERR_FAILED;
    *spare = m->spare;
    m->spare = NULL;
    m->spare_is_wanted = false;
    pthread_mutex_unlock(&m->mutex);
    return err;
}

void cairn_maintenance_rolled(cairn_maintenance_t *m, cairn_segment_t *active,
                              cairn_segment_t *previous, uint64_t durable_version)
{
    cairn_segments_add(m->segments, active);
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
