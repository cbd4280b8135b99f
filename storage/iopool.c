/*
 * storage/iopool.c - a few threads for what may wait for the disk.
 */
#include "storage/iopool.h"

#include <pthread.h>

#include "index/qsbr.h"
#include "storage/os.h"

struct st_cairn_iopool_t {
    pthread_mutex_t mutex;
    pthread_cond_t cond; /* there is a job, or the pool is stopping */
    cairn_job_t *first;  /* guarded by mutex, as is all below */
    cairn_job_t **last;
    bool stopping;
    unsigned thread_count; /* the starter's */
    pthread_t threads[];
};

static void run(cairn_job_t *job)
{
    bool is_reader = job->is_reader; /* the job is gone once it has run */
    if (is_reader)
        rcu_thread_online();
    job->run(job);
    if (is_reader)
        rcu_thread_offline();
}

static void *io_main(void *arg)
{
    cairn_iopool_t *pool = arg;
    pthread_setname_np(pthread_self(), "reader");
    rcu_register_thread();
    rcu_thread_offline();
    pthread_mutex_lock(&pool->mutex);
    for (;;) {
        while (pool->first == NULL && !pool->stopping)
            pthread_cond_wait(&pool->cond, &pool->mutex);
        cairn_job_t *job = pool->first;
        if (job == NULL)
            break;
        pool->first = job->_next;
        if (pool->first == NULL)
            pool->last = &pool->first;
        pthread_mutex_unlock(&pool->mutex);
        run(job);
        pthread_mutex_lock(&pool->mutex);
    }
    pthread_mutex_unlock(&pool->mutex);
    rcu_unregister_thread();
    return NULL;
}

cairn_iopool_t *cairn_iopool_start(unsigned threads)
{
    cairn_iopool_t *pool = cairn_os->calloc(1, sizeof(*pool) + threads * sizeof(pool->threads[0]));
    if (pool == NULL)
        return NULL;
    pthread_mutex_init(&pool->mutex, NULL);
    pthread_cond_init(&pool->cond, NULL);
    pool->last = &pool->first;
    while (pool->thread_count < threads) {
        if (pthread_create(&pool->threads[pool->thread_count], NULL, io_main, pool) != 0) {
            cairn_iopool_stop(pool);
            return NULL;
        }
        ++pool->thread_count;
    }
    return pool;
}

void cairn_iopool_stop(cairn_iopool_t *pool)
{
    pthread_mutex_lock(&pool->mutex);
    pool->stopping = true;
    pthread_cond_broadcast(&pool->cond);
    pthread_mutex_unlock(&pool->mutex);
    for (unsigned i = 0; i < pool->thread_count; ++i)
        pthread_join(pool->threads[i], NULL);
    pthread_cond_destroy(&pool->cond);
    pthread_mutex_destroy(&pool->mutex);
    cairn_os->free(pool);
}

void cairn_iopool_submit(cairn_iopool_t *pool, cairn_job_t *job)
{
    job->_next = NULL;
    pthread_mutex_lock(&pool->mutex);
    *pool->last = job;
    pool->last = &job->_next;
    pthread_cond_signal(&pool->cond);
    pthread_mutex_unlock(&pool->mutex);
}
