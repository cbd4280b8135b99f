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

cairn_segment_t *cairn_segments_newest(cairn_segments_t *segments)
{
    pthread_mutex_lock(&segments->mutex);
    cairn_segment_t *newest = segments->count != 0 ? segments->list[segments->count - 1] : NULL;
    pthread_mutex_unlock(&segments->mutex);
    return newest;
}
