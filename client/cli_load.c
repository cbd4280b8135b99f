/*
 * client/cli_load.c - writing many values over several connections.
 *
 * A key always goes to the same worker, so that two writes of one key keep their order. The
 * producer gathers a batch for each worker and hands it over when it is large enough; a worker
 * sends one while the next is gathered. Large values go alone, since a batch has them as text. Only
 * puts travel here, so what came to an uncertain end is simply sent again.
 */
#include <inttypes.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "client/cli_internal.h"
#include "client/client_internal.h"

#define WORKERS_DEFAULT 4
#define WORKERS_MAX 64
/* a batch is handed over when it has so many operations, or is so long */
#define BATCH_OPS 1000
#define BATCH_BYTES ((size_t)2 << 20)
/* a larger value goes alone */
#define ALONE_BYTES ((size_t)256 << 10)
/* how long, in all, a server that is busy or gone is waited for */
#define PATIENCE_SECONDS 30.0
#define FAILURES_SHOWN 10

/** what a worker is given: a batch, or one value */
typedef struct st_load_t {
    cairn_client_batch_t *batch;
    char **keys;     /* of the batch, for messages */
    uint64_t *lines; /* the same */
    size_t key_count;
    char *key, *value;
    uint64_t line;
    size_t key_bytes, value_bytes;
    cairn_client_beside_t beside;
    cairn_client_write_t how;
    uint64_t bytes; /* for the progress */
} load_t;

typedef struct st_load_worker_t {
    cli_loader_t *loader;
    cairn_client_t *db;
    pthread_t thread;
    bool is_started;
    load_t *gathering; /* the producer's */
    load_t *waiting;   /* handed over, not yet taken; guarded by the loader's mutex */
} load_worker_t;

struct st_cli_loader_t {
    const cli_t *cli;
    const char *name; /* of the file that has the lines */
    cli_progress_t *progress;
    load_worker_t *workers;
    unsigned worker_count;
    pthread_mutex_t mutex;
    pthread_cond_t changed; /* something was handed over, taken, or is over */
    bool is_ending;         /* nothing more will be handed over */
    int status;             /* the first failure that stops everything */
    uint64_t failures;      /* keys that could not be written */
};

static void load_free(load_t *load)
{
    if (load == NULL)
        return;
    cairn_batch_destroy(load->batch);
    for (size_t i = 0; i < load->key_count; ++i)
        free(load->keys[i]);
    free(load->keys);
    free(load->lines);
    free(load->key);
    free(load->value);
    cairn_client_beside_dispose(&load->beside);
    free(load);
}

/* ---------------------------------------------------------------- the workers */

static void print_place(const cli_loader_t *loader, uint64_t line)
{
    if (loader->name != NULL && line != 0)
        fprintf(stderr, "%s:%" PRIu64 ": ", loader->name, line);
}

static void note_failure(cli_loader_t *loader, const char *key, uint64_t line, const char *why)
{
    pthread_mutex_lock(&loader->mutex);
    if (loader->failures++ < FAILURES_SHOWN) {
        fprintf(stderr, "cairn %s: ", loader->cli->command->name);
        print_place(loader, line);
        cli_print_text(stderr, key, strlen(key));
        fprintf(stderr, ": %s\n", why);
    }
    pthread_mutex_unlock(&loader->mutex);
}

static bool is_passing(cairn_client_err_t err)
{
    return err == CAIRN_CLIENT_BUSY || err == CAIRN_CLIENT_UNREACHABLE ||
           err == CAIRN_CLIENT_BROKEN || err == CAIRN_CLIENT_TIMEOUT;
}

static cairn_client_err_t send_once(load_worker_t *worker, const load_t *load)
{
    if (load->batch != NULL)
        return cairn_batch_run(worker->db, load->batch, false);
    return cairn_set_bytes(worker->db, load->key, load->key_bytes, load->value, load->value_bytes,
                           &load->how, NULL);
}

/** an operation of a batch may be refused for want of room in a queue, as a request may */
static bool has_passing_failure(const cairn_client_batch_t *batch)
{
    for (size_t i = 0; batch != NULL && i < cairn_batch_count(batch); ++i)
        if (cairn_batch_result(batch, i)->err == CAIRN_CLIENT_BUSY)
            return true;
    return false;
}

static cairn_client_err_t send_patiently(load_worker_t *worker, const load_t *load)
{
    double deadline = cli_now() + PATIENCE_SECONDS;
    for (long pause_ms = 50;; pause_ms = pause_ms < 2000 ? 2 * pause_ms : pause_ms) {
        cairn_client_err_t err = send_once(worker, load);
        bool is_again =
            is_passing(err) || (err == CAIRN_CLIENT_OK && has_passing_failure(load->batch));
        if (!is_again || cli_now() > deadline || cli_is_interrupted())
            return err;
        nanosleep(
            &(struct timespec){.tv_sec = pause_ms / 1000, .tv_nsec = pause_ms % 1000 * 1000000},
            NULL);
    }
}

static void note_results(cli_loader_t *loader, const load_t *load)
{
    for (size_t i = 0; load->batch != NULL && i < load->key_count; ++i) {
        const cairn_client_result_t *result = cairn_batch_result(load->batch, i);
        if (result->err != CAIRN_CLIENT_OK)
            note_failure(loader, load->keys[i], load->lines[i], cairn_client_strerror(result->err));
    }
}

/** what concerns one value only goes on to the next; anything else stops all */
static bool is_about_the_value(const load_t *load, cairn_client_err_t err)
{
    return load->batch == NULL && (err == CAIRN_CLIENT_TOO_LARGE || err == CAIRN_CLIENT_INVALID);
}

/** the status of what stops everything, and the line that it was refused for, if it was one */
static int status_of(const load_worker_t *worker, const load_t *load, cairn_client_err_t err)
{
    const cli_loader_t *loader = worker->loader;
    size_t at = cairn_batch_failed_at(load->batch);
    uint64_t line = at < load->key_count ? load->lines[at] : load->line;
    return cli_result_of_line(loader->cli, worker->db, err, loader->name, line);
}

static void do_load(load_worker_t *worker, const load_t *load)
{
    cli_loader_t *loader = worker->loader;
    cairn_client_err_t err = send_patiently(worker, load);
    if (err == CAIRN_CLIENT_OK)
        note_results(loader, load);
    else if (is_about_the_value(load, err))
        note_failure(loader, load->key, load->line, cairn_client_message(worker->db));
    pthread_mutex_lock(&loader->mutex);
    if (err == CAIRN_CLIENT_OK)
        cli_progress_add(loader->progress, load->batch != NULL ? load->key_count : 1, load->bytes);
    else if (!is_about_the_value(load, err) && loader->status == CLI_OK)
        loader->status = status_of(worker, load, err);
    pthread_mutex_unlock(&loader->mutex);
}

/** waits for something to do; NULL when there will be no more */
static load_t *take_load(load_worker_t *worker)
{
    cli_loader_t *loader = worker->loader;
    pthread_mutex_lock(&loader->mutex);
    while (worker->waiting == NULL && !loader->is_ending)
        pthread_cond_wait(&loader->changed, &loader->mutex);
    load_t *load = worker->waiting;
    worker->waiting = NULL;
    pthread_cond_broadcast(&loader->changed);
    pthread_mutex_unlock(&loader->mutex);
    return load;
}

static bool has_stopped(cli_loader_t *loader)
{
    pthread_mutex_lock(&loader->mutex);
    bool has = loader->status != CLI_OK;
    pthread_mutex_unlock(&loader->mutex);
    return has || cli_is_interrupted();
}

static void *run_worker(void *arg)
{
    load_worker_t *worker = arg;
    for (load_t *load; (load = take_load(worker)) != NULL; load_free(load))
        if (!has_stopped(worker->loader)) /* else it is only taken, so that nobody waits */
            do_load(worker, load);
    return NULL;
}

/* ---------------------------------------------------------------- the producer */

/** gives the worker a load, which is the worker's then, once it has taken the one before */
static void hand_over(load_worker_t *worker, load_t *load)
{
    cli_loader_t *loader = worker->loader;
    pthread_mutex_lock(&loader->mutex);
    while (worker->waiting != NULL)
        pthread_cond_wait(&loader->changed, &loader->mutex);
    worker->waiting = load;
    pthread_cond_broadcast(&loader->changed);
    pthread_mutex_unlock(&loader->mutex);
}

static void hand_over_gathered(load_worker_t *worker)
{
    load_t *load = worker->gathering;
    worker->gathering = NULL;
    if (load != NULL)
        hand_over(worker, load);
}

static void fail_nomem(cli_loader_t *loader)
{
    pthread_mutex_lock(&loader->mutex);
    if (loader->status == CLI_OK)
        loader->status = cli_failure(loader->cli, "out of memory");
    pthread_mutex_unlock(&loader->mutex);
}

/** FNV-1a: which worker has the key */
static load_worker_t *worker_of(cli_loader_t *loader, const unsigned char *key, size_t count)
{
    uint64_t hash = UINT64_C(14695981039346656037);
    for (size_t i = 0; i < count; ++i)
        hash = (hash ^ key[i]) * UINT64_C(1099511628211);
    return &loader->workers[(hash >> 32) % loader->worker_count];
}

static char *copy_of(const void *bytes, size_t count)
{
    char *copy = malloc(count + 1);
    if (copy == NULL)
        return NULL;
    if (count != 0)
        memcpy(copy, bytes, count);
    copy[count] = '\0';
    return copy;
}

static bool gather(load_worker_t *worker, const void *key, size_t key_bytes, const void *value,
                   size_t value_bytes, const cairn_client_write_t *how, const cli_source_t *source)
{
    load_t *load = worker->gathering;
    if (load == NULL) {
        load = worker->gathering = calloc(1, sizeof(*load));
        if (load == NULL)
            return false;
        load->batch = cairn_batch_create();
        load->keys = calloc(BATCH_OPS, sizeof(*load->keys));
        load->lines = calloc(BATCH_OPS, sizeof(*load->lines));
    }
    char *copy = copy_of(key, key_bytes);
    if (load->batch == NULL || load->keys == NULL || load->lines == NULL || copy == NULL) {
        free(copy);
        return false;
    }
    load->lines[load->key_count] = source->line;
    load->keys[load->key_count++] = copy;
    load->bytes += source->bytes;
    cairn_batch_set(load->batch, key, key_bytes, value, value_bytes, how);
    if (load->key_count == BATCH_OPS || cairn_batch_bytes(load->batch) >= BATCH_BYTES)
        hand_over_gathered(worker);
    return true;
}

static bool send_alone(load_worker_t *worker, const void *key, size_t key_bytes, const void *value,
                       size_t value_bytes, const cairn_client_write_t *how,
                       const cli_source_t *source)
{
    load_t *load = calloc(1, sizeof(*load));
    if (load == NULL)
        return false;
    load->key = copy_of(key, key_bytes);
    load->value = copy_of(value, value_bytes);
    load->key_bytes = key_bytes;
    load->value_bytes = value_bytes;
    load->bytes = source->bytes;
    load->line = source->line;
    load->how = *how;
    if (load->key == NULL || load->value == NULL || !cairn_client_beside_copy(how, &load->beside)) {
        load_free(load);
        return false;
    }
    cairn_client_beside_apply(&load->beside, &load->how);
    hand_over_gathered(worker); /* an earlier write of the key may be among them */
    hand_over(worker, load);
    return true;
}

static bool is_utf8(const char *text)
{
    json_t *json = text != NULL ? json_string(text) : json_null();
    json_decref(json);
    return json != NULL;
}

/** whether a batch can have what is stored beside the value: it takes no other text */
static bool is_for_a_batch(const cairn_client_write_t *how)
{
    bool is =
        is_utf8(how->content_type) && is_utf8(how->content_encoding) && is_utf8(how->cache_control);
    for (size_t i = 0; is && i < how->meta_count; ++i)
        is = is_utf8(how->meta[i].name) && is_utf8(how->meta[i].value);
    return is;
}

bool cli_loader_put(cli_loader_t *loader, const void *key, size_t key_bytes, const void *value,
                    size_t value_bytes, const cairn_client_write_t *how, const cli_source_t *source)
{
    load_worker_t *worker = worker_of(loader, key, key_bytes);
    bool is_taken = value_bytes > ALONE_BYTES || !is_for_a_batch(how)
                        ? send_alone(worker, key, key_bytes, value, value_bytes, how, source)
                        : gather(worker, key, key_bytes, value, value_bytes, how, source);
    if (!is_taken)
        fail_nomem(loader);
    return !has_stopped(loader);
}

/* ---------------------------------------------------------------- start and end */

cli_loader_t *cli_loader_start(const cli_t *cli, const char *name, cli_progress_t *progress)
{
    uint64_t count = WORKERS_DEFAULT;
    if (!cli_number(cli, CLI_JOBS, &count))
        return NULL;
    if (count == 0 || count > WORKERS_MAX) {
        cli_usage_error(cli, "--jobs: from 1 to %d", WORKERS_MAX);
        return NULL;
    }
    cli_loader_t *loader = calloc(1, sizeof(*loader));
    if (loader == NULL)
        return NULL;
    loader->cli = cli;
    loader->name = name;
    loader->progress = progress;
    loader->workers = calloc(count, sizeof(*loader->workers));
    pthread_mutex_init(&loader->mutex, NULL);
    pthread_cond_init(&loader->changed, NULL);
    for (uint64_t i = 0; loader->workers != NULL && i < count; ++i) {
        load_worker_t *worker = &loader->workers[i];
        ++loader->worker_count;
        worker->loader = loader;
        worker->db = cli_connect(cli);
        if (worker->db == NULL || pthread_create(&worker->thread, NULL, run_worker, worker) != 0) {
            loader->status = cli_failure(cli, "a thread cannot be started");
            cli_loader_finish(loader);
            return NULL;
        }
        worker->is_started = true;
    }
    return loader;
}

int cli_loader_finish(cli_loader_t *loader)
{
    for (unsigned i = 0; i < loader->worker_count; ++i)
        if (loader->workers[i].is_started)
            hand_over_gathered(&loader->workers[i]);
    pthread_mutex_lock(&loader->mutex);
    loader->is_ending = true;
    pthread_cond_broadcast(&loader->changed);
    pthread_mutex_unlock(&loader->mutex);
    for (unsigned i = 0; i < loader->worker_count; ++i) {
        if (loader->workers[i].is_started)
            pthread_join(loader->workers[i].thread, NULL);
        load_free(loader->workers[i].gathering);
        cairn_disconnect(loader->workers[i].db);
    }
    int status = loader->status;
    if (loader->failures != 0)
        status =
            cli_failure(loader->cli, "%" PRIu64 " values could not be written", loader->failures);
    if (status == CLI_OK && cli_is_interrupted())
        status = cli_failure(loader->cli, "interrupted; what was written stays");
    pthread_mutex_destroy(&loader->mutex);
    pthread_cond_destroy(&loader->changed);
    free(loader->workers);
    free(loader);
    return status;
}
