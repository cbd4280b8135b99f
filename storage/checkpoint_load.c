/*
 * storage/checkpoint_load.c - a checkpoint read back, every byte of it verified.
 *
 * The dump is read into memory of its own and not mapped: the index must never wait for the disk,
 * and a file that is mapped keeps its blocks after it has been replaced.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include <xxhash.h>

#include "storage/checkpoint.h"
#include "storage/os.h"

/** what a thread reads at a time */
#define PIECE_BYTES ((uint64_t)2 << 20)
/** copying and faulting in is work for a few cores; a disk is kept busy by as many */
#define HELPERS_MAX 4

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

/** what the threads share */
typedef struct st_reading_t {
    int fd;
    uint8_t *base;
    uint64_t bytes;
    _Atomic uint64_t next; /* relaxed: where the next piece begins that nobody has taken */
    _Atomic int err;       /* relaxed: the first failure; the others stop */
    bool (*on_bytes)(void *ctx, uint64_t bytes);
    void *ctx;
} reading_t;

static int read_piece(reading_t *reading, uint64_t at, uint64_t bytes)
{
    while (bytes != 0) {
        int64_t n = cairn_os->pread(reading->fd, reading->base + at, bytes,
                                    CAIRN_CHECKPOINT_HEADER_BYTES + at);
        if (n <= 0)
            return n == 0 ? -EIO : (int)n;
        at += (uint64_t)n;
        bytes -= (uint64_t)n;
    }
    return 0;
}

/** takes piece after piece; the opening thread tells of the progress of all */
static void read_pieces(reading_t *reading, bool tells)
{
    uint64_t told = 0;
    int err = 0;
    while (err == 0 && atomic_load_explicit(&reading->err, memory_order_relaxed) == 0) {
        uint64_t at = atomic_fetch_add_explicit(&reading->next, PIECE_BYTES, memory_order_relaxed);
        uint64_t left = at < reading->bytes ? reading->bytes - at : 0;
        if (left == 0)
            break;
        err = read_piece(reading, at, left < PIECE_BYTES ? left : PIECE_BYTES);
        if (tells && err == 0) {
            err = reading->on_bytes(reading->ctx, at - told) ? 0 : -ECANCELED;
            told = at;
        }
    }
    if (err != 0)
        atomic_store_explicit(&reading->err, err, memory_order_relaxed);
    else if (tells && !reading->on_bytes(reading->ctx, reading->bytes - told))
        atomic_store_explicit(&reading->err, -ECANCELED, memory_order_relaxed);
}

/** one of the threads that share the work, the calling one too: it is number 0 */
typedef struct st_helper_t {
    pthread_t thread;
    reading_t *reading;
    unsigned number, count; /* this one, and how many there are */
    cairn_index_dump_result_t verdict;
} helper_t;

static void *read_main(void *arg)
{
    helper_t *helper = arg;
    read_pieces(helper->reading, helper->number == 0);
    return NULL;
}

static void *verify_main(void *arg)
{
    helper_t *helper = arg;
    helper->verdict = cairn_index_verify_part(helper->reading->base, helper->reading->bytes,
                                              helper->number, helper->count);
    return NULL;
}

/** runs all of them; what no thread is to be had for, this one does itself */
static void share(helper_t *helpers, unsigned count, void *(*work)(void *))
{
    bool is_started[HELPERS_MAX] = {false};
    for (unsigned i = 1; i < count; ++i)
        is_started[i] = pthread_create(&helpers[i].thread, NULL, work, &helpers[i]) == 0;
    work(&helpers[0]);
    for (unsigned i = 1; i < count; ++i)
        if (is_started[i])
            pthread_join(helpers[i].thread, NULL);
        else
            work(&helpers[i]);
}

static cairn_err_t read_err(int r, char *why)
{
    if (r == 0)
        return CAIRN_OK;
    if (r == -ECANCELED) {
        snprintf(why, CAIRN_ERRMSG_BYTES, "stopped while it was loading");
        return CAIRN_ERR_CANCELLED;
    }
    snprintf(why, CAIRN_ERRMSG_BYTES, "it cannot be read: %s", strerror(-r));
    return CAIRN_ERR_IO;
}

static cairn_err_t load_err(cairn_index_dump_result_t result, char *why)
{
    if (result == CAIRN_INDEX_DUMP_OK)
        return CAIRN_OK;
    snprintf(why, CAIRN_ERRMSG_BYTES, "%s", cairn_index_dump_text(result));
    return result == CAIRN_INDEX_DUMP_NOMEM ? CAIRN_ERR_NOMEM : CAIRN_ERR_CORRUPT;
}

/** reads and verifies all of it into reading->base */
static cairn_err_t read_dump(reading_t *reading, char *why)
{
    helper_t helpers[HELPERS_MAX];
    uint64_t pieces = reading->bytes / PIECE_BYTES + 1;
    unsigned count = pieces < HELPERS_MAX ? (unsigned)pieces : HELPERS_MAX;
    for (unsigned i = 0; i < HELPERS_MAX; ++i)
        helpers[i] = (helper_t){.reading = reading, .number = i, .count = count};
    share(helpers, count, read_main);
    cairn_err_t err = read_err(atomic_load_explicit(&reading->err, memory_order_relaxed), why);
    if (err != CAIRN_OK)
        return err;
    share(helpers, count, verify_main);
    for (unsigned i = 0; i < count && err == CAIRN_OK; ++i)
        err = load_err(helpers[i].verdict, why);
    return err;
}

cairn_err_t cairn_checkpoint_load(const cairn_checkpoint_image_t *image,
                                  bool (*on_bytes)(void *ctx, uint64_t bytes), void *ctx,
                                  cairn_index_t **index, char *why)
{
    reading_t reading = {
        .fd = image->fd, .bytes = image->header.dump_bytes, .on_bytes = on_bytes, .ctx = ctx};
    reading.base = reading.bytes != 0 ? cairn_os->alloc_pages(reading.bytes) : NULL;
    if (reading.base == NULL) {
        snprintf(why, CAIRN_ERRMSG_BYTES, "no memory for the index");
        return CAIRN_ERR_NOMEM;
    }
    cairn_err_t err = read_dump(&reading, why);
    if (err == CAIRN_OK) /* every byte has just been verified */
        err = load_err(cairn_index_load(reading.base, reading.bytes, false, index), why);
    if (err != CAIRN_OK)
        cairn_os->free_pages(reading.base, reading.bytes);
    return err;
}
