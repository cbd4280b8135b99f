/*
 * storage/feed_marks.h - a few places in the log that feeds have come by.
 *
 * Who knows only a version would have to walk a segment from its start. Feeds leave a mark every so
 * many versions; most who come are looking for a place near one. A mark that is lost costs time
 * only.
 */
#ifndef CAIRN_STORAGE_FEED_MARKS_H
#define CAIRN_STORAGE_FEED_MARKS_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

/** a mark is left at versions that this divides */
#define CAIRN_FEED_MARK_VERSIONS 512
/** 1024 x 512 versions: the tail that most feeds are in, for 24 KiB */
#define CAIRN_FEED_MARKS 1024

typedef struct st_cairn_feed_mark_t {
    uint64_t salt;    /* of the segment; 0: none is here */
    uint64_t version; /* all up to this lies before offset */
    uint64_t offset;
} cairn_feed_mark_t;

typedef struct st_cairn_feed_marks_t {
    pthread_mutex_t mutex;
    cairn_feed_mark_t marks[CAIRN_FEED_MARKS]; /* guarded by mutex */
} cairn_feed_marks_t;

void cairn_feed_marks_init(cairn_feed_marks_t *marks);
void cairn_feed_marks_dispose(cairn_feed_marks_t *marks);

/** Leaves a mark: in the segment of this salt, what comes after `version` begins at `offset`. */
void cairn_feed_marks_leave(cairn_feed_marks_t *marks, uint64_t salt, uint64_t version,
                            uint64_t offset);

/** The nearest mark in that segment at or a little before `version`; false if there is none. */
bool cairn_feed_marks_find(cairn_feed_marks_t *marks, uint64_t salt, uint64_t version,
                           uint64_t *offset);

#endif
