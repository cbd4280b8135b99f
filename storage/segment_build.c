/*
 * storage/segment_build.c - a segment that is made whole, aside, and then takes its place.
 */
#include "storage/segment_build.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "index/qsbr.h"
#include "storage/file.h"
#include "storage/guard.h"
#include "storage/os.h"
#include "storage/segment_internal.h"

/** what goes to the file at once */
#define BUFFER_BYTES ((size_t)1 << 20)

static bool is_on_disk(const cairn_segment_build_t *build)
{
    return !cairn_dir_is_memory(build->dir);
}

static int open_file(const cairn_segment_build_t *build)
{
    if (!is_on_disk(build))
        return cairn_os->memory_file("cairn-segment");
    cairn_os->unlink(build->dir->fd, build->tmp_name); /* an abandoned one; usually there is none */
    return cairn_os->open(build->dir->fd, build->tmp_name, O_RDWR | O_CREAT | O_EXCL);
}

static cairn_err_t begin(cairn_segment_build_t *build, int fd, uint64_t first_version,
                         uint32_t generation, uint64_t segment_bytes)
{
    build->segment = cairn_segment_new(fd, segment_bytes);
    build->buffer = cairn_os->alloc(BUFFER_BYTES);
    if (build->segment == NULL || build->buffer == NULL)
        return CAIRN_ERR_NOMEM;
    build->segment->first_version = first_version;
    build->segment->generation = generation;
    build->segment->counts.last_version = first_version - 1;
    build->at = CAIRN_SEGMENT_HEADER_BYTES;
    return cairn_segment_write_header(build->segment, build->dir);
}

cairn_err_t cairn_segment_build_begin(cairn_segment_build_t *build, const cairn_dir_t *dir,
                                      uint64_t first_version, uint32_t generation,
                                      uint64_t segment_bytes)
{
    assert(generation != 0);
    char name[CAIRN_SEGMENT_NAME_BYTES];
    *build = (cairn_segment_build_t){.dir = dir};
    cairn_segment_name(name, first_version, generation);
    snprintf(build->tmp_name, sizeof(build->tmp_name), "%s" CAIRN_TMP_SUFFIX, name);
    int fd = open_file(build);
    if (fd < 0)
        return cairn_file_err_of(fd);
    cairn_err_t err = begin(build, fd, first_version, generation, segment_bytes);
    if (err != CAIRN_OK) {
        if (build->segment == NULL)
            cairn_os->close(fd);
        cairn_segment_build_abandon(build);
    }
    return err;
}

bool cairn_segment_build_fits(const cairn_segment_build_t *build, uint64_t bytes)
{
    return build->at + bytes <= cairn_segment_capacity(build->segment);
}

/** while it waits for the disk nobody waits for this thread; what it writes from, stays */
static cairn_err_t write_out(const cairn_segment_build_t *build, const void *base, size_t bytes,
                             uint64_t at)
{
    rcu_thread_offline();
    cairn_err_t err = cairn_file_write_all(build->segment->fd, base, bytes, at);
    rcu_thread_online();
    return err;
}

static cairn_err_t write_buffer(cairn_segment_build_t *build)
{
    cairn_err_t err = write_out(build, build->buffer, build->used, build->at - build->used);
    build->used = 0;
    return err;
}

static cairn_err_t sync_file(const cairn_segment_build_t *build)
{
    if (!is_on_disk(build))
        return CAIRN_OK;
    rcu_thread_offline();
    cairn_err_t err = cairn_file_err_of(cairn_os->sync(build->segment->fd));
    rcu_thread_online();
    return err;
}

/** what is too large to be collected goes out from where it lies; a page that cannot be read is an
 * error of the call, no signal */
static cairn_err_t put(cairn_segment_build_t *build, const void *base, size_t bytes)
{
    cairn_err_t err = CAIRN_OK;
    if (bytes > BUFFER_BYTES - build->used)
        err = write_buffer(build);
    if (err == CAIRN_OK && bytes > BUFFER_BYTES)
        err = write_out(build, base, bytes, build->at);
    else if (err == CAIRN_OK && !cairn_guard_copy(build->buffer + build->used, base, bytes))
        err = CAIRN_ERR_IO;
    else if (err == CAIRN_OK)
        build->used += bytes;
    if (err == CAIRN_OK)
        build->at += bytes;
    return err;
}

/** a record's head, key and meta: what its head sum covers */
typedef struct st_covered_t {
    cairn_record_t head;
    uint8_t key_and_meta[CAIRN_KEY_BYTES_MAX + CAIRN_META_BYTES_MAX];
} covered_t;

cairn_err_t cairn_segment_build_add(cairn_segment_build_t *build, const cairn_record_t *head,
                                    const void *rest)
{
    covered_t covered = {.head = *head};
    uint64_t bytes = cairn_record_bytes(head);
    size_t covered_rest = (size_t)head->key_bytes + head->meta_bytes;
    assert(cairn_segment_build_fits(build, bytes));
    assert(head->version > build->segment->counts.last_version);
    if (!cairn_guard_copy(covered.key_and_meta, rest, covered_rest))
        return CAIRN_ERR_IO;
    covered.head.written &= ~((uint64_t)CAIRN_RECORD_MORE << 56);
    covered.head.head_sum = cairn_record_head_sum(&covered.head, build->segment->salt, build->at);
    cairn_err_t err = put(build, &covered.head, CAIRN_RECORD_HEAD_BYTES);
    if (err == CAIRN_OK)
        err = put(build, rest, bytes - CAIRN_RECORD_HEAD_BYTES);
    if (err == CAIRN_OK)
        cairn_segment_count(build->segment, &covered.head);
    build->lost_keys += cairn_record_type(head) == CAIRN_RECORD_LOST;
    return err;
}

cairn_err_t cairn_segment_build_flush(cairn_segment_build_t *build)
{
    cairn_err_t err = write_buffer(build);
    return err == CAIRN_OK ? sync_file(build) : err;
}

static cairn_err_t write_footer(cairn_segment_build_t *build, const cairn_segment_range_t *range)
{
    cairn_segment_t *segment = build->segment;
    segment->counts.chain = range->chain;
    cairn_segment_footer_t footer = cairn_segment_footer(segment, build->at, range->reason);
    footer.range_last = range->last;
    footer.loss = range->loss;
    footer.loss.keys = build->lost_keys;
    footer.live_horizon = range->live_horizon;
    footer.dropped_version = range->dropped_version;
    cairn_segment_sum_footer(&footer);
    cairn_segment_take_footer(segment, &footer);
    cairn_err_t err = write_buffer(build);
    if (err == CAIRN_OK)
        err = write_out(build, &footer, sizeof(footer), build->at);
    if (err == CAIRN_OK)
        err = sync_file(build);
    if (err == CAIRN_OK && is_on_disk(build))
        err = cairn_file_err_of(cairn_os->make_readonly(segment->fd));
    return err;
}

static cairn_err_t take_place(const cairn_segment_build_t *build)
{
    char name[CAIRN_SEGMENT_NAME_BYTES];
    if (!is_on_disk(build))
        return CAIRN_OK;
    cairn_segment_name(name, build->segment->first_version, build->segment->generation);
    if (cairn_os->rename(build->dir->fd, build->tmp_name, name) < 0)
        return CAIRN_ERR_IO;
    rcu_thread_offline();
    cairn_err_t err = cairn_dir_sync(build->dir);
    rcu_thread_online();
    return err == CAIRN_OK ? CAIRN_OK : CAIRN_ERR_FAILED;
}

cairn_err_t cairn_segment_build_end(cairn_segment_build_t *build, cairn_space_t *space,
                                    const cairn_segment_range_t *range, cairn_segment_t **ended)
{
    cairn_segment_t *segment = build->segment;
    cairn_err_t err = write_footer(build, range);
    if (err != CAIRN_OK)
        return err;
    segment->bytes = build->at + CAIRN_SEGMENT_FOOTER_BYTES;
    /* before it takes its place: from then on nothing may go wrong any more */
    err = cairn_segment_map(segment, space, CAIRN_SLOT_ANY);
    if (err != CAIRN_OK)
        return err;
    atomic_store_explicit(&segment->written, build->at, memory_order_relaxed);
    /* the index is about to be pointed to them */
    atomic_store_explicit(&segment->lost_keys, build->lost_keys, memory_order_relaxed);
    atomic_store_explicit(&segment->end, build->at, memory_order_release);
    atomic_store_explicit(&segment->sealed, true, memory_order_release);
    err = take_place(build);
    if (err != CAIRN_OK)
        return err;
    cairn_segment_close_file(segment);
    cairn_os->free(build->buffer);
    *ended = segment;
    *build = (cairn_segment_build_t){.dir = build->dir};
    return CAIRN_OK;
}

void cairn_segment_build_abandon(cairn_segment_build_t *build)
{
    if (build->segment != NULL)
        cairn_segment_close(build->segment);
    cairn_os->free(build->buffer);
    if (is_on_disk(build))
        cairn_os->unlink(build->dir->fd, build->tmp_name);
    *build = (cairn_segment_build_t){.dir = build->dir};
}
