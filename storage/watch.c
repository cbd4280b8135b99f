/*
 * storage/watch.c - who is to be told when the log has gone on.
 */
#include "storage/watch.h"

#include <stddef.h>

void cairn_watches_add(cairn_watches_t *watches, cairn_watch_t *watch)
{
    atomic_init(&watch->_is_armed, false);
    atomic_init(&watch->_seen, 0);
    watch->_next = atomic_load_explicit(&watches->first, memory_order_relaxed);
    /* release: pairs with the acquire in cairn_watches_ring() */
    while (!atomic_compare_exchange_weak_explicit(&watches->first, &watch->_next, watch,
                                                  memory_order_release, memory_order_relaxed))
        ;
}

/** whether it was armed; it is not any more */
static bool disarm(cairn_watches_t *watches, cairn_watch_t *watch)
{
    if (!atomic_exchange(&watch->_is_armed, false))
        return false;
    atomic_fetch_sub(&watches->armed, 1);
    return true;
}

bool cairn_watches_arm(cairn_watches_t *watches, cairn_watch_t *watch, uint64_t seen)
{
    /* counted first: else the writer could take it uncounted, and the count would be too low for
     * the others. All of it seq_cst: either the writer, which notes before it looks, sees this one
     * armed, or the version is seen here */
    atomic_fetch_add(&watches->armed, 1);
    atomic_store_explicit(&watch->_seen, seen, memory_order_relaxed);
    atomic_store(&watch->_is_armed, true);
    if (atomic_load(&watches->version) <= seen)
        return true;
    /* the writer may have taken it already: then it will call, or has */
    return !disarm(watches, watch);
}

void cairn_watches_ring(cairn_watches_t *watches)
{
    uint64_t version = atomic_load_explicit(&watches->version, memory_order_relaxed);
    bool has_gone_on = version != watches->rung_version;
    watches->rung_version = version;
    if (!has_gone_on || atomic_load(&watches->armed) == 0)
        return;
    cairn_watch_t *watch = atomic_load_explicit(&watches->first, memory_order_acquire);
    for (; watch != NULL; watch = watch->_next)
        /* one may have armed since the version was noted, knowing it */
        if (atomic_load(&watch->_is_armed) &&
            atomic_load_explicit(&watch->_seen, memory_order_relaxed) < version &&
            disarm(watches, watch))
            watch->on_change(watch);
}
