/*
 * bench/engine_file.c - no database: what the disk alone needs for a durable batch.
 *
 * Appends keys and values to a file in one write and calls fdatasync(). It cannot read, and two
 * writers take turns.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "bench/engine.h"

typedef struct st_file_t {
    pthread_mutex_t mutex; /* guards the position in the file */
    int fd;
} file_t;

static void *open_file(const char *path, uint64_t keys)
{
    char name[4096];
    file_t *file = malloc(sizeof(*file));
    (void)keys;
    if (file == NULL)
        engine_die("file", "open", "out of memory");
    pthread_mutex_init(&file->mutex, NULL);
    snprintf(name, sizeof(name), "%s/log", path);
    file->fd = open(name, O_CREAT | O_EXCL | O_WRONLY | O_APPEND | O_CLOEXEC, 0600);
    if (file->fd < 0)
        engine_die("file", name, strerror(errno));
    return file;
}

static void close_file(void *arg)
{
    file_t *file = arg;
    close(file->fd);
    pthread_mutex_destroy(&file->mutex);
    free(file);
}

static void *writer_create(void *db)
{
    return db;
}

static void writer_destroy(void *db)
{
    (void)db;
}

static void put(void *arg, const engine_batch_t *batch, bool durable)
{
    file_t *file = arg;
    struct iovec iovs[2] = {
        {.iov_base = (void *)batch->keys, .iov_len = batch->count * ENGINE_KEY_BYTES},
        {.iov_base = (void *)batch->values, .iov_len = batch->count * ENGINE_VALUE_BYTES},
    };
    pthread_mutex_lock(&file->mutex);
    if (writev(file->fd, iovs, 2) != (ssize_t)(iovs[0].iov_len + iovs[1].iov_len))
        engine_die("file", "write", strerror(errno));
    if (durable && fdatasync(file->fd) != 0)
        engine_die("file", "sync", strerror(errno));
    pthread_mutex_unlock(&file->mutex);
}

const engine_t engine_file = {
    .name = "a bare file",
    .settings = "one append of keys and values and one fdatasync() a batch; for the puts only",
    .open = open_file,
    .close = close_file,
    .writer_create = writer_create,
    .writer_destroy = writer_destroy,
    .put = put,
};
