/*
 * storage/watch.h - who is to be told when the log has gone on.
 *
 * The writer notes how far a feed may read, and rings whoever has asked to be told of it. A ring is
 * given once: who wants to hear of more arms again. When nobody is armed, a commit pays for one
 * store and one load.
 */
#ifndef CAIRN_STORAGE_WATCH_H
#define CAIRN_STORAGE_WATCH_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/** one who asks: its owner's memory, which outlives the store once it has been added */
typedef struct st_cairn_watch_t cairn_watch_t;
struct st_cairn_watch_t {
    void (*on_change)(cairn_watch_t *watch); /* on the writer thread; must not block */
    _Atomic bool _is_armed;
    _Atomic uint64_t _seen; /* what it has been armed with; relaxed, it goes with _is_armed */
    cairn_watch_t *_next;
};

typedef struct st_cairn_watches_t {
    /* up to here all is durable, in the index, and in the published part of its segment */
    _Atomic uint64_t version;
    _Atomic int64_t armed; /* how many are, or are about to be */
    _Atomic(cairn_watch_t *) first;
    uint64_t rung_version; /* the writer's: when it rang last */
} cairn_watches_t;

/** Adds one for good. Threads: any. */
void cairn_watches_add(cairn_watches_t *watches, cairn_watch_t *watch);

/**
 * Asks for one call of on_change when the log has gone on beyond `seen`. False if it has already;
 * then nothing has been asked for. Threads: the watch's own; it is not armed.
 */
bool cairn_watches_arm(cairn_watches_t *watches, cairn_watch_t *watch, uint64_t seen);

/** How far the log is. Threads: any; all up to there may be read by who has called this. */
static inline uint64_t cairn_watches_version(const cairn_watches_t *watches)
{
    /* acquire: pairs with cairn_watches_note() */
    return atomic_load_explicit(&watches->version, memory_order_acquire);
}

/** The log is there now. Threads: the writer. */
static inline void cairn_watches_note(cairn_watches_t *watches, uint64_t version)
{
    if (atomic_load_explicit(&watches->version, memory_order_relaxed) == version)
        return;
    /* seq_cst: before the load in cairn_watches_ring(); who arms too late for that sees this */
    atomic_store(&watches->version, version);
}

/** Calls those that are armed, if the log has gone on. Threads: the writer, after it has noted. */
void cairn_watches_ring(cairn_watches_t *watches);

#endif
