/*
 * server/followers.h - requests that wait for the log to go on, thousands of them, without a
 * thread.
 *
 * Each worker has a list of those that have read all there is. When the writer rings, which it does
 * once for all of them, they are due; so is one whose deadline has passed, and all are when the
 * server stops. Those that are due get their turns in portions, so that the loop has time for
 * others however many there are.
 *
 * Threads: the worker alone, but for the writer's ring.
 */
#ifndef CAIRN_SERVER_FOLLOWERS_H
#define CAIRN_SERVER_FOLLOWERS_H

#include "server/worker.h"

/** one request; in memory of its own, which it leaves by cairn_follower_leave() */
typedef struct st_cairn_followers_t cairn_followers_t;
typedef struct st_cairn_follower_t cairn_follower_t;
struct st_cairn_follower_t {
    void (*on_turn)(cairn_follower_t *follower); /* may free the follower */
    bool is_late; /* its deadline has passed; who looks at it takes it back */
    cairn_worker_t *_worker;
    h2o_linklist_t _link;  /* of those that wait, or are due */
    h2o_linklist_t _timer; /* of a slot of the wheel */
    uint64_t _deadline_ms;
};

/** Sets a worker's part up, on its thread. */
void cairn_followers_init(cairn_worker_t *worker);

/** All that wait are due: the server stops, or there are other tokens. Their turns will see which.
 */
void cairn_followers_wake(cairn_worker_t *worker);

/** Begins with one, which neither waits nor is due. */
void cairn_follower_init(cairn_follower_t *follower, cairn_worker_t *worker,
                         void (*on_turn)(cairn_follower_t *));

/** It has looked at everything up to a version, and waits for more. */
void cairn_follower_wait(cairn_follower_t *follower, uint64_t version);

/** It wants a turn as soon as others have had theirs. */
void cairn_follower_be_due(cairn_follower_t *follower);

/** It wants a turn with is_late in so many ms at the latest, whatever it does; this replaces the
 * deadline it had. */
void cairn_follower_set_deadline(cairn_follower_t *follower, uint64_t ms);
void cairn_follower_clear_deadline(cairn_follower_t *follower);

/** It neither waits nor is due any more. */
void cairn_follower_rest(cairn_follower_t *follower);

/** The same, without a deadline: it is going. */
void cairn_follower_leave(cairn_follower_t *follower);

#endif
