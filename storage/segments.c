/*
 * storage/segments.c - the live segments, in order of version.
 */
#include "storage/segments.h"

#include <string.h>

#include "storage/os.h"

void cairn_segments_init(cairn_segments_t *segments)
{
    memset(segments, 0, sizeof(*segments));
    pthread_mutex_init(&segments->mutex, NULL);
}

void cairn_segments_dispose(cairn_segments_t *segments)
{
    for (size_t i = 0; i < segments->count; ++i)
        cairn_segment_close(segments->list[i]);
    cairn_os->free(segments->list);
    pthread_mutex_destroy(&segments->mutex);
}

cairn_err_t cairn_segments_reserve(cairn_segments_t *segments)
{
    pthread_mutex_lock(&segments->mutex);
    cairn_err_t err = CAIRN_OK;
    if (segments->count == segments->room) {
        size_t room = segments->room != 0 ? 2 * segments->room : 64;
        cairn_segment_t **list = cairn_os->alloc(room * sizeof(*list));
        if (list == NULL) {
            err = CAIRN_ERR_NOMEM;
        } else {
            if (segments->count != 0)
                memcpy(list, segments->list, segments->count * sizeof(*list));
            cairn_os->free(segments->list);
            segments->list = list;
            segments->room = room;
        }
    }
    pthread_mutex_unlock(&segments->mutex);
    return err;
}

void cairn_segments_add(cairn_segments_t *segments, cairn_segment_t *segment)
{
    pthread_mutex_lock(&segments->mutex);
    assert(segments->count < segments->room);
    segments->list[segments->count++] = segment;
    pthread_mutex_unlock(&segments->mutex);
}

void cairn_segments_replace(cairn_segments_t *segments, const cairn_segment_t *first, size_t count,
                            cairn_segment_t *output)
{
    size_t at = 0;
    pthread_mutex_lock(&segments->mutex);
    while (at < segments->count && segments->list[at] != first)
        ++at;
    assert(count != 0 && at + count <= segments->count);
    segments->list[at] = output;
    memmove(&segments->list[at + 1], &segments->list[at + count],
            (segments->count - at - count) * sizeof(*segments->list));
    segments->count -= count - 1;
    pthread_mutex_unlock(&segments->mutex);
}

cairn_err_t cairn_segments_pin_all(cairn_segments_t *segments, cairn_segments_pinned_t *pinned)
{
    cairn_err_t err = CAIRN_OK;
    *pinned = (cairn_segments_pinned_t){.count = 0};
    pthread_mutex_lock(&segments->mutex);
    if (segments->count != 0) {
        pinned->list = cairn_os->alloc(segments->count * sizeof(*pinned->list));
        err = pinned->list != NULL ? CAIRN_OK : CAIRN_ERR_NOMEM;
    }
    for (; err == CAIRN_OK && pinned->count < segments->count; ++pinned->count) {
        pinned->list[pinned->count] = segments->list[pinned->count];
        cairn_segment_pin(pinned->list[pinned->count]);
    }
    pthread_mutex_unlock(&segments->mutex);
    return err;
}

void cairn_segments_unpin(cairn_segments_pinned_t *pinned)
{
    for (size_t i = 0; i < pinned->count; ++i)
        cairn_segment_unpin(pinned->list[i]);
    cairn_os->free(pinned->list);
    *pinned = (cairn_segments_pinned_t){.count = 0};
}

uint64_t cairn_segments_bytes(cairn_segments_t *segments)
{
    pthread_mutex_lock(&segments->mutex);
    uint64_t bytes = segments->retired_bytes;
    for (size_t i = 0; i < segments->count; ++i)
        bytes += cairn_segment_bytes(segments->list[i]);
    pthread_mutex_unlock(&segments->mutex);
    return bytes;
}

uint64_t cairn_segments_retired_bytes(cairn_segments_t *segments)
{
    pthread_mutex_lock(&segments->mutex);
    uint64_t bytes = segments->retired_bytes;
    pthread_mutex_unlock(&segments->mutex);
    return bytes;
}

void cairn_segments_retire_bytes(cairn_segments_t *segments, int64_t more)
{
    pthread_mutex_lock(&segments->mutex);
    segments->retired_bytes += (uint64_t)more;
    pthread_mutex_unlock(&segments->mutex);
}

cairn_segment_t *cairn_segments_newest(cairn_segments_t *segments)
{
    pthread_mutex_lock(&segments->mutex);
    cairn_segment_t *newest = segments->count != 0 ? segments->list[segments->count - 1] : NULL;
    pthread_mutex_unlock(&segments->mutex);
    return newest;
}

/** how many segments begin at or before a version */
static size_t count_up_to_locked(const cairn_segments_t *segments, uint64_t version)
{
    size_t low = 0, high = segments->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (segments->list[middle]->first_version <= version)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

cairn_segment_t *cairn_segments_pin_at(cairn_segments_t *segments, uint64_t version, uint64_t *last,
                                       uint64_t *dropped_version)
{
    cairn_segment_t *segment = NULL;
    pthread_mutex_lock(&segments->mutex);
    size_t n = count_up_to_locked(segments, version);
    if (n != 0) {
        segment = segments->list[n - 1];
        *last = n < segments->count ? segments->list[n]->first_version - 1 : UINT64_MAX;
        cairn_segment_pin(segment);
    }
    *dropped_version = segments->dropped_version;
    pthread_mutex_unlock(&segments->mutex);
    return segment;
}

static bool is_sealed(const cairn_segment_t *segment)
{
    return atomic_load_explicit(&segment->sealed, memory_order_acquire);
}

size_t cairn_segments_pin_sealed(cairn_segments_t *segments, cairn_segment_t **list, size_t room,
                                 uint64_t *last)
{
    size_t n = 0;
    pthread_mutex_lock(&segments->mutex);
    while (n < segments->count && is_sealed(segments->list[n]))
        ++n;
    *last = n < segments->count ? segments->list[n]->first_version - 1 : UINT64_MAX;
    for (size_t i = 0; i < n && n <= room; ++i) {
        list[i] = segments->list[i];
        cairn_segment_pin(list[i]);
    }
    pthread_mutex_unlock(&segments->mutex);
    return n;
}

uint64_t cairn_segments_dropped_version(cairn_segments_t *segments)
{
    pthread_mutex_lock(&segments->mutex);
    uint64_t version = segments->dropped_version;
    pthread_mutex_unlock(&segments->mutex);
    return version;
}

void cairn_segments_raise_dropped_version(cairn_segments_t *segments, uint64_t version)
{
    pthread_mutex_lock(&segments->mutex);
    if (version > segments->dropped_version)
        segments->dropped_version = version;
    pthread_mutex_unlock(&segments->mutex);
}
