/*
 * storage/reclaimer.c - the thread that the index needs beside it.
 */
#include "storage/reclaimer.h"

#include <pthread.h>
#include <time.h>

#include "index/qsbr.h"
#include "storage/os.h"

/** while there is something to do: often enough for the fastest growth */
#define REST_MS_LEAST 10
/** while there is not, each rest is twice the one before, up to this */
#define REST_MS_MOST 320

struct st_cairn_reclaimer_t {
    cairn_index_t *index;
    pthread_t thread;
    pthread_mutex_t mutex;
    pthread_cond_t cond;
    bool stopping; /* guarded by mutex */
};

/** whether to go on */
static bool rest(cairn_reclaimer_t *r, unsigned ms)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += ms * 1000000L;
    until.tv_sec += until.tv_nsec / 1000000000L;
    until.tv_nsec %= 1000000000L;
    pthread_mutex_lock(&r->mutex);
    if (!r->stopping)
        pthread_cond_timedwait(&r->cond, &r->mutex, &until);
    bool go_on = !r->stopping;
    pthread_mutex_unlock(&r->mutex);
    return go_on;
}

static void *reclaimer_main(void *arg)
{
    cairn_reclaimer_t *r = arg;
    unsigned rest_ms = REST_MS_LEAST;
    bool go_on = true;
    pthread_setname_np(pthread_self(), "reclaimer");
    rcu_register_thread();
    while (go_on) {
        if (cairn_index_reclaim(r->index))
            rest_ms = REST_MS_LEAST;
        else if (rest_ms < REST_MS_MOST)
            rest_ms *= 2;
        rcu_thread_offline(); /* asleep, it is nobody to wait for */
        go_on = rest(r, rest_ms);
        rcu_thread_online();
    }
    rcu_unregister_thread();
    return NULL;
}

cairn_reclaimer_t *cairn_reclaimer_start(cairn_index_t *index)
{
    cairn_reclaimer_t *r = cairn_os->calloc(1, sizeof(*r));
    if (r == NULL)
        return NULL;
    r->index = index;
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&r->cond, &attr);
    pthread_condattr_destroy(&attr);
    pthread_mutex_init(&r->mutex, NULL);
    if (pthread_create(&r->thread, NULL, reclaimer_main, r) == 0)
        return r;
    pthread_cond_destroy(&r->cond);
    pthread_mutex_destroy(&r->mutex);
    cairn_os->free(r);
    return NULL;
}

void cairn_reclaimer_stop(cairn_reclaimer_t *r)
{
    pthread_mutex_lock(&r->mutex);
    r->stopping = true;
    pthread_cond_signal(&r->cond);
    pthread_mutex_unlock(&r->mutex);
    pthread_join(r->thread, NULL);
    pthread_cond_destroy(&r->cond);
    pthread_mutex_destroy(&r->mutex);
    cairn_os->free(r);
}
