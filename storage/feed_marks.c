/*
 * storage/feed_marks.c - a few places in the log that feeds have come by.
 */
#include "storage/feed_marks.h"

#include <string.h>

/** how many marks before the version are tried */
#define TRIES 8

void cairn_feed_marks_init(cairn_feed_marks_t *marks)
{
    memset(marks, 0, sizeof(*marks));
    pthread_mutex_init(&marks->mutex, NULL);
}

void cairn_feed_marks_dispose(cairn_feed_marks_t *marks)
{
    pthread_mutex_destroy(&marks->mutex);
}

static cairn_feed_mark_t *mark_of(cairn_feed_marks_t *marks, uint64_t number)
{
    return &marks->marks[number % CAIRN_FEED_MARKS];
}

void cairn_feed_marks_leave(cairn_feed_marks_t *marks, uint64_t salt, uint64_t version,
                            uint64_t offset)
{
    if (version % CAIRN_FEED_MARK_VERSIONS != 0)
        return;
    pthread_mutex_lock(&marks->mutex);
    *mark_of(marks, version / CAIRN_FEED_MARK_VERSIONS) =
        (cairn_feed_mark_t){.salt = salt, .version = version, .offset = offset};
    pthread_mutex_unlock(&marks->mutex);
}

bool cairn_feed_marks_find(cairn_feed_marks_t *marks, uint64_t salt, uint64_t version,
                           uint64_t *offset)
{
    uint64_t number = version / CAIRN_FEED_MARK_VERSIONS;
    bool is_found = false;
    pthread_mutex_lock(&marks->mutex);
    for (unsigned i = 0; i < TRIES && i <= number && !is_found; ++i) {
        const cairn_feed_mark_t *mark = mark_of(marks, number - i);
        is_found = mark->salt == salt && mark->version <= version && mark->offset != 0;
        if (is_found)
            *offset = mark->offset;
    }
    pthread_mutex_unlock(&marks->mutex);
    return is_found;
}
