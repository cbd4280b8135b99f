/*
 * storage/upkeep.c - the thread for work that takes long: key tables, checkpoints, compaction.
 */
#include "storage/upkeep.h"

#include <assert.h>
#include <pthread.h>

#include "index/qsbr.h"
#include "storage/os.h"

#define JOBS_MAX 16
/** when nobody has woken it, it looks for work all the same: some becomes due by time alone */
#define LOOK_MS 250

typedef struct st_job_t {
    cairn_upkeep_job_cb run;
    void *ctx;
} job_t;

struct st_cairn_upkeep_t {
    job_t jobs[JOBS_MAX];
    size_t job_count;
    pthread_t thread;
    bool is_started;
    pthread_mutex_t mutex;
    pthread_cond_t cond; /* any of the below has changed */
    bool is_woken;       /* guarded by mutex, as is all below */
    bool is_stopping;
};

cairn_upkeep_t *cairn_upkeep_create(void)
{
    cairn_upkeep_t *upkeep = cairn_os->calloc(1, sizeof(*upkeep));
    if (upkeep == NULL)
        return NULL;
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&upkeep->cond, &attr);
    pthread_condattr_destroy(&attr);
    pthread_mutex_init(&upkeep->mutex, NULL);
    return upkeep;
}

void cairn_upkeep_add(cairn_upkeep_t *upkeep, cairn_upkeep_job_cb job, void *ctx)
{
    assert(!upkeep->is_started && upkeep->job_count < JOBS_MAX);
    upkeep->jobs[upkeep->job_count++] = (job_t){.run = job, .ctx = ctx};
}

static bool run_one(cairn_upkeep_t *upkeep)
{
    for (size_t i = 0; i < upkeep->job_count; ++i) {
        bool was_busy = upkeep->jobs[i].run(upkeep->jobs[i].ctx, upkeep);
        rcu_quiescent_state();
        if (was_busy)
            return true;
    }
    return false;
}

void cairn_upkeep_run(cairn_upkeep_t *upkeep)
{
    assert(!upkeep->is_started);
    while (run_one(upkeep))
        ;
}

/** sleeps so long, or until it is stopping, or, if `wakes`, until somebody wakes it */
static bool sleep_for(cairn_upkeep_t *upkeep, uint64_t ms, bool wakes)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += (time_t)(ms / 1000);
    until.tv_nsec += (long)(ms % 1000) * 1000000;
    until.tv_sec += until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
    int waited = 0;
    rcu_thread_offline();
    pthread_mutex_lock(&upkeep->mutex);
    while (waited == 0 && !upkeep->is_stopping && !(wakes && upkeep->is_woken))
        waited = pthread_cond_timedwait(&upkeep->cond, &upkeep->mutex, &until);
    if (wakes)
        upkeep->is_woken = false;
    bool go_on = !upkeep->is_stopping;
    pthread_mutex_unlock(&upkeep->mutex);
    rcu_thread_online();
    return go_on;
}

bool cairn_upkeep_rest(cairn_upkeep_t *upkeep, uint64_t ms)
{
    return sleep_for(upkeep, ms, false);
}

static void *upkeep_main(void *arg)
{
    cairn_upkeep_t *upkeep = arg;
    pthread_setname_np(pthread_self(), "upkeep");
    cairn_os->give_way(); /* where that is refused, all is as well but for who waits */
    rcu_register_thread();
    while (!cairn_upkeep_is_stopping(upkeep))
        if (!run_one(upkeep))
            sleep_for(upkeep, LOOK_MS, true);
    rcu_unregister_thread();
    return NULL;
}

bool cairn_upkeep_start(cairn_upkeep_t *upkeep)
{
    upkeep->is_started = pthread_create(&upkeep->thread, NULL, upkeep_main, upkeep) == 0;
    return upkeep->is_started;
}

static void signal_thread(cairn_upkeep_t *upkeep, bool *flag)
{
    pthread_mutex_lock(&upkeep->mutex);
    *flag = true;
    pthread_cond_signal(&upkeep->cond);
    pthread_mutex_unlock(&upkeep->mutex);
}

void cairn_upkeep_wake(cairn_upkeep_t *upkeep)
{
    signal_thread(upkeep, &upkeep->is_woken);
}

void cairn_upkeep_stop(cairn_upkeep_t *upkeep)
{
    signal_thread(upkeep, &upkeep->is_stopping);
    if (upkeep->is_started)
        pthread_join(upkeep->thread, NULL);
    upkeep->is_started = false;
}

void cairn_upkeep_destroy(cairn_upkeep_t *upkeep)
{
    assert(!upkeep->is_started);
    pthread_cond_destroy(&upkeep->cond);
    pthread_mutex_destroy(&upkeep->mutex);
    cairn_os->free(upkeep);
}

bool cairn_upkeep_is_stopping(cairn_upkeep_t *upkeep)
{
    pthread_mutex_lock(&upkeep->mutex);
    bool is_stopping = upkeep->is_stopping;
    pthread_mutex_unlock(&upkeep->mutex);
    return is_stopping;
}
