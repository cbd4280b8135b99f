/*
 * storage/checkpoint_load.c - a checkpoint read back, every byte of it verified.
 *
 * The dump is read into memory of its own and not mapped: the index must never wait for the disk,
 * and a file that is mapped keeps its blocks after it has been replaced.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include <xxhash.h>

#include "storage/checkpoint.h"
#include "storage/os.h"

/** what is read at a time */
#define PIECE_BYTES ((uint64_t)2 << 20)
/** and what the disk is asked for ahead of that */
#define AHEAD_BYTES (4 * PIECE_BYTES)
/** from so many pieces on threads are worth it */
#define THREAD_PIECES_MIN 3
#define THREADS_MAX 4

/* ---------------------------------------------------------------- header and table */

/** what is wrong with a header, or NULL */
static const char *header_fault(const cairn_checkpoint_header_t *header, const cairn_dir_t *dir,
                                uint64_t file_bytes)
{
    if (memcmp(header->magic, "CAIRNCKP", sizeof(header->magic)) != 0)
        return "it is not a checkpoint of cairn";
    if (header->format != CAIRN_CHECKPOINT_FORMAT)
        return "it was written by another version of cairn";
    if (XXH3_64bits(header, offsetof(cairn_checkpoint_header_t, sum)) != header->sum)
        return "the header's checksum does not match";
    if (header->header_bytes != CAIRN_CHECKPOINT_HEADER_BYTES)
        return "the header has another length";
    if (memcmp(header->uuid, dir->uuid, CAIRN_UUID_BYTES) != 0)
        return "it belongs to another store";
    uint64_t left = file_bytes - CAIRN_CHECKPOINT_HEADER_BYTES;
    if (header->dump_bytes > left ||
        left - header->dump_bytes !=
            (uint64_t)header->segment_count * sizeof(cairn_checkpoint_segment_t))
        return "its length is not what the header says";
    return NULL;
}

static cairn_err_t read_table(cairn_checkpoint_image_t *image, char *why)
{
    size_t bytes = image->header.segment_count * sizeof(*image->segments);
    uint64_t at = CAIRN_CHECKPOINT_HEADER_BYTES + image->header.dump_bytes;
    image->segments = cairn_os->alloc(bytes + 1);
    if (image->segments == NULL) {
        snprintf(why, CAIRN_ERRMSG_BYTES, "no memory for its table");
        return CAIRN_ERR_NOMEM;
    }
    int64_t n = cairn_os->pread(image->fd, image->segments, bytes, at);
    if (n < 0) {
        snprintf(why, CAIRN_ERRMSG_BYTES, "its table cannot be read: %s", strerror((int)-n));
        return CAIRN_ERR_IO;
    }
    if ((size_t)n != bytes || XXH3_64bits(image->segments, bytes) != image->header.table_sum) {
        snprintf(why, CAIRN_ERRMSG_BYTES, "the table's checksum does not match");
        return CAIRN_ERR_CORRUPT;
    }
    return CAIRN_OK;
}

static cairn_err_t read_header(cairn_checkpoint_image_t *image, const cairn_dir_t *dir, char *why)
{
    int64_t bytes = cairn_os->size(image->fd);
    int64_t n = cairn_os->pread(image->fd, &image->header, sizeof(image->header), 0);
    if (bytes < 0 || n < 0) {
        snprintf(why, CAIRN_ERRMSG_BYTES, "it cannot be read: %s",
                 strerror((int)(bytes < 0 ? -bytes : -n)));
        return CAIRN_ERR_IO;
    }
    const char *fault = n < (int64_t)sizeof(image->header)
                            ? "it is shorter than its header"
                            : header_fault(&image->header, dir, (uint64_t)bytes);
    if (fault == NULL)
        return CAIRN_OK;
    snprintf(why, CAIRN_ERRMSG_BYTES, "%s", fault);
    return CAIRN_ERR_CORRUPT;
}

cairn_err_t cairn_checkpoint_open(cairn_checkpoint_image_t *image, const cairn_dir_t *dir,
                                  char *why)
{
    memset(image, 0, sizeof(*image));
    image->fd = cairn_os->open(dir->fd, CAIRN_CHECKPOINT_NAME, O_RDONLY);
    if (image->fd < 0) {
        bool is_missing = image->fd == -ENOENT;
        snprintf(why, CAIRN_ERRMSG_BYTES, "%s", strerror(-image->fd));
        image->fd = -1;
        return is_missing ? CAIRN_ERR_NOT_FOUND : CAIRN_ERR_IO;
    }
    cairn_err_t err = read_header(image, dir, why);
    if (err == CAIRN_OK)
        err = read_table(image, why);
    if (err != CAIRN_OK)
        cairn_checkpoint_close(image);
    return err;
}

const cairn_checkpoint_segment_t *cairn_checkpoint_find(const cairn_checkpoint_image_t *image,
                                                        uint64_t salt)
{
    for (uint32_t i = 0; i < image->header.segment_count; ++i)
        if (image->segments[i].salt == salt)
            return &image->segments[i];
    return NULL;
}

void cairn_checkpoint_close(cairn_checkpoint_image_t *image)
{
    if (image->fd >= 0)
        cairn_os->close(image->fd);
    cairn_os->free(image->segments);
    image->fd = -1;
    image->segments = NULL;
    image->header.segment_count = 0;
}

/* ---------------------------------------------------------------- the dump */

/**
 * A dump on its way into memory. It is read in pieces; when all of them are there it is verified in
 * as many parts. Whoever has time does the next of them.
 */
struct st_cairn_checkpoint_load_t {
    int fd;
    uint8_t *base; /* NULL once it is the index's */
    uint64_t bytes;
    unsigned pieces;
    unsigned thread_count;
    bool only_waits; /* the thread that finishes it does, if there are others */
    pthread_t threads[THREADS_MAX];
    pthread_mutex_t mutex;
    pthread_cond_t cond; /* one more is done, or no more will be */
    /* guarded by mutex: */
    unsigned taken; /* pieces to be read, and behind them parts to be verified */
    unsigned done;
    bool stops;     /* no more is to be taken */
    int read_error; /* what has failed first: this, or */
    cairn_index_dump_result_t verdict;
};

static int read_piece(const cairn_checkpoint_load_t *load, unsigned number)
{
    uint64_t at = number * PIECE_BYTES, end = at + PIECE_BYTES;
    if (end > load->bytes)
        end = load->bytes;
    cairn_os->read_ahead(load->fd, CAIRN_CHECKPOINT_HEADER_BYTES + at + AHEAD_BYTES, PIECE_BYTES);
    /* its huge page is made here: made by the read, it would hold up who maps something meanwhile,
     * and where the memory is virtual a page can take milliseconds */
    *(volatile uint8_t *)(load->base + at) = 0;
    while (at < end) {
        int64_t n = cairn_os->pread(load->fd, load->base + at, end - at,
                                    CAIRN_CHECKPOINT_HEADER_BYTES + at);
        if (n <= 0)
            return n == 0 ? -EIO : (int)n;
        at += (uint64_t)n;
    }
    return 0;
}

/** the next one, for which all that it needs is there; false: no more is left to be taken */
static bool take(cairn_checkpoint_load_t *load, unsigned *number)
{
    pthread_mutex_lock(&load->mutex);
    while (load->taken == load->pieces && load->done < load->pieces && !load->stops)
        pthread_cond_wait(&load->cond, &load->mutex);
    bool is_there = load->taken < 2 * load->pieces && !load->stops;
    if (is_there)
        *number = load->taken++;
    pthread_mutex_unlock(&load->mutex);
    return is_there;
}

static void note_done(cairn_checkpoint_load_t *load, int read_error,
                      cairn_index_dump_result_t verdict)
{
    pthread_mutex_lock(&load->mutex);
    ++load->done;
    if (!load->stops && (read_error != 0 || verdict != CAIRN_INDEX_DUMP_OK)) {
        load->stops = true;
        load->read_error = read_error;
        load->verdict = verdict;
    }
    pthread_cond_broadcast(&load->cond);
    pthread_mutex_unlock(&load->mutex);
}

static bool do_next(cairn_checkpoint_load_t *load)
{
    unsigned number;
    if (!take(load, &number))
        return false;
    if (number < load->pieces)
        note_done(load, read_piece(load, number), CAIRN_INDEX_DUMP_OK);
    else
        note_done(
            load, 0,
            cairn_index_verify_part(load->base, load->bytes, number - load->pieces, load->pieces));
    return true;
}

static void *load_main(void *arg)
{
    while (do_next(arg))
        ;
    return NULL;
}

static void stop(cairn_checkpoint_load_t *load)
{
    pthread_mutex_lock(&load->mutex);
    load->stops = true;
    pthread_cond_broadcast(&load->cond);
    pthread_mutex_unlock(&load->mutex);
}

/** one processor is left to what else there is to do at a start; a few pieces are no work */
static unsigned threads_for(unsigned pieces)
{
    unsigned processors = cairn_os->processors();
    if (pieces < THREAD_PIECES_MIN)
        return 0;
    return processors <= 2 ? 1 : processors <= THREADS_MAX ? processors - 1 : THREADS_MAX;
}

cairn_checkpoint_load_t *cairn_checkpoint_load_begin(const cairn_checkpoint_image_t *image,
                                                     bool only_waits)
{
    uint64_t bytes = image->header.dump_bytes;
    cairn_checkpoint_load_t *load = cairn_os->calloc(1, sizeof(*load));
    uint8_t *base = load != NULL && bytes != 0 ? cairn_os->alloc_pages(bytes) : NULL;
    if (base == NULL) {
        cairn_os->free(load);
        return NULL;
    }
    load->fd = image->fd;
    load->only_waits = only_waits;
    load->base = base;
    load->bytes = bytes;
    load->pieces = (unsigned)((bytes + PIECE_BYTES - 1) / PIECE_BYTES);
    pthread_mutex_init(&load->mutex, NULL);
    pthread_cond_init(&load->cond, NULL);
    cairn_os->read_ahead(load->fd, CAIRN_CHECKPOINT_HEADER_BYTES, AHEAD_BYTES);
    unsigned wanted = threads_for(load->pieces);
    while (load->thread_count < wanted &&
           pthread_create(&load->threads[load->thread_count], NULL, load_main, load) == 0)
        ++load->thread_count;
    return load;
}

void cairn_checkpoint_load_help(cairn_checkpoint_load_t *load)
{
    if (load != NULL && load->thread_count != 0)
        load_main(load);
}

/** waits until more than `*done` are done, or no more will be: false */
static bool wait_for_more(cairn_checkpoint_load_t *load, unsigned *done)
{
    pthread_mutex_lock(&load->mutex);
    while (load->done == *done && load->done < 2 * load->pieces && !load->stops)
        pthread_cond_wait(&load->cond, &load->mutex);
    *done = load->done;
    bool goes_on = load->done < 2 * load->pieces && !load->stops;
    pthread_mutex_unlock(&load->mutex);
    return goes_on;
}

/** sees all of it done, and tells of the progress */
static cairn_err_t see_done(cairn_checkpoint_load_t *load,
                            bool (*on_bytes)(void *ctx, uint64_t bytes), void *ctx, char *why)
{
    uint64_t told = 0;
    unsigned done = 0;
    bool goes_on = true;
    while (goes_on) {
        if (load->thread_count == 0 || !load->only_waits)
            do_next(load);
        goes_on = wait_for_more(load, &done);
        uint64_t bytes = done < load->pieces ? done * PIECE_BYTES : load->bytes;
        if (!on_bytes(ctx, bytes - told)) {
            stop(load);
            snprintf(why, CAIRN_ERRMSG_BYTES, "stopped while it was loading");
            return CAIRN_ERR_CANCELLED;
        }
        told = bytes;
    }
    if (load->read_error == 0)
        return CAIRN_OK;
    snprintf(why, CAIRN_ERRMSG_BYTES, "it cannot be read: %s", strerror(-load->read_error));
    return CAIRN_ERR_IO;
}

static cairn_err_t load_err(cairn_index_dump_result_t result, char *why)
{
    if (result == CAIRN_INDEX_DUMP_OK)
        return CAIRN_OK;
    snprintf(why, CAIRN_ERRMSG_BYTES, "%s", cairn_index_dump_text(result));
    return result == CAIRN_INDEX_DUMP_NOMEM ? CAIRN_ERR_NOMEM : CAIRN_ERR_CORRUPT;
}

cairn_err_t cairn_checkpoint_load_finish(cairn_checkpoint_load_t *load,
                                         bool (*on_bytes)(void *ctx, uint64_t bytes), void *ctx,
                                         cairn_index_t **index, char *why)
{
    if (load == NULL) {
        snprintf(why, CAIRN_ERRMSG_BYTES, "no memory for the index");
        return CAIRN_ERR_NOMEM;
    }
    cairn_err_t err = see_done(load, on_bytes, ctx, why);
    if (err == CAIRN_OK)
        err = load_err(load->verdict, why);
    if (err == CAIRN_OK) /* every byte has just been verified */
        err = load_err(cairn_index_load(load->base, load->bytes, false, index), why);
    if (err == CAIRN_OK)
        load->base = NULL;
    return err;
}

void cairn_checkpoint_load_end(cairn_checkpoint_load_t *load)
{
    if (load == NULL)
        return;
    stop(load);
    for (unsigned i = 0; i < load->thread_count; ++i)
        pthread_join(load->threads[i], NULL);
    pthread_cond_destroy(&load->cond);
    pthread_mutex_destroy(&load->mutex);
    if (load->base != NULL)
        cairn_os->free_pages(load->base, load->bytes);
    cairn_os->free(load);
}

cairn_err_t cairn_checkpoint_load(const cairn_checkpoint_image_t *image,
                                  bool (*on_bytes)(void *ctx, uint64_t bytes), void *ctx,
                                  cairn_index_t **index, char *why)
{
    cairn_checkpoint_load_t *load = cairn_checkpoint_load_begin(image, false);
    cairn_err_t err = cairn_checkpoint_load_finish(load, on_bytes, ctx, index, why);
    cairn_checkpoint_load_end(load);
    return err;
}
