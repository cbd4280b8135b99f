/*
 * storage/syncer.c - the sync that nobody waits for.
 */
#include "storage/syncer.h"

#include <assert.h>
#include <pthread.h>

#include "storage/os.h"

struct st_cairn_syncer_t {
    cairn_bell_t *bell;
    pthread_t thread;
    pthread_mutex_t mutex;
    pthread_cond_t cond;               /* any of the below has changed */
    enum { IDLE, ASKED, ENDED } state; /* guarded by mutex, as is all below */
    bool stopping;
    int fd;
    int result;
    uint64_t ns;
};

static void *syncer_main(void *arg)
{
    cairn_syncer_t *s = arg;
    pthread_setname_np(pthread_self(), "syncer");
    pthread_mutex_lock(&s->mutex);
    for (;;) {
        while (s->state != ASKED && !s->stopping)
            pthread_cond_wait(&s->cond, &s->mutex);
        if (s->stopping)
            break;
        int fd = s->fd;
        pthread_mutex_unlock(&s->mutex);
        uint64_t begin = cairn_os->monotonic_ns();
        int result = cairn_os->sync(fd);
        uint64_t ns = cairn_os->monotonic_ns() - begin;
        pthread_mutex_lock(&s->mutex);
        s->result = result;
        s->ns = ns;
        s->state = ENDED;
        pthread_cond_broadcast(&s->cond);
        cairn_bell_ring(s->bell);
    }
    pthread_mutex_unlock(&s->mutex);
    return NULL;
}

cairn_syncer_t *cairn_syncer_start(cairn_bell_t *bell)
{
    cairn_syncer_t *s = cairn_os->calloc(1, sizeof(*s));
    if (s == NULL)
        return NULL;
    s->bell = bell;
    pthread_mutex_init(&s->mutex, NULL);
    pthread_cond_init(&s->cond, NULL);
    if (pthread_create(&s->thread, NULL, syncer_main, s) == 0)
        return s;
    pthread_cond_destroy(&s->cond);
    pthread_mutex_destroy(&s->mutex);
    cairn_os->free(s);
    return NULL;
}

void cairn_syncer_stop(cairn_syncer_t *s)
{
    pthread_mutex_lock(&s->mutex);
    assert(s->state == IDLE);
    s->stopping = true;
    pthread_cond_broadcast(&s->cond);
    pthread_mutex_unlock(&s->mutex);
    pthread_join(s->thread, NULL);
    pthread_cond_destroy(&s->cond);
    pthread_mutex_destroy(&s->mutex);
    cairn_os->free(s);
}

void cairn_syncer_begin(cairn_syncer_t *s, int fd)
{
    pthread_mutex_lock(&s->mutex);
    assert(s->state == IDLE);
    s->fd = fd;
    s->state = ASKED;
    pthread_cond_broadcast(&s->cond);
    pthread_mutex_unlock(&s->mutex);
}

bool cairn_syncer_has_ended(cairn_syncer_t *s)
{
    pthread_mutex_lock(&s->mutex);
    bool has_ended = s->state == ENDED;
    pthread_mutex_unlock(&s->mutex);
    return has_ended;
}

int cairn_syncer_finish(cairn_syncer_t *s, uint64_t *ns)
{
    pthread_mutex_lock(&s->mutex);
    assert(s->state != IDLE);
    while (s->state != ENDED)
        pthread_cond_wait(&s->cond, &s->mutex);
    s->state = IDLE;
    int result = s->result;
    *ns = s->ns;
    pthread_mutex_unlock(&s->mutex);
    return result;
}
