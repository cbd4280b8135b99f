/*
 * server/followers.c - requests that wait for the log to go on.
 */
#include "server/followers.h"

#include "server/clock.h"

/** turns are given for this long; then others have the loop for at least a millisecond */
#define TURNS_NS 1000000
/** deadlines are kept by ticks of this length, in a wheel that a turn of takes 12.8 s */
#define TICK_MS 100
#define SLOTS 128

struct st_cairn_followers_t {
    cairn_worker_t *worker;
    cairn_watch_t watch;
    h2o_multithread_message_t ring; /* sent by the writer, at most one at a time */
    h2o_multithread_receiver_t rings;
    bool is_added; /* the store knows the watch */
    bool is_armed; /* a ring has been asked for and has not been heard */
    uint64_t seen; /* those that wait have looked at everything up to here */
    h2o_linklist_t waiting;
    h2o_linklist_t due;
    h2o_timeout_entry_t turns;
    h2o_linklist_t wheel[SLOTS];
    size_t timers;
    uint64_t tick; /* the last one that has been looked at */
    h2o_timeout_entry_t ticks;
};

static cairn_store_t *store_of(const cairn_followers_t *followers)
{
    return atomic_load_explicit(&followers->worker->server->store, memory_order_acquire);
}

/* ---------------------------------------------------------------- the ring */

/** on the writer thread */
static void on_change(cairn_watch_t *watch)
{
    cairn_followers_t *followers = H2O_STRUCT_FROM_MEMBER(cairn_followers_t, watch, watch);
    h2o_multithread_send_message(&followers->rings, &followers->ring);
}

static void link_turns(cairn_followers_t *followers)
{
    cairn_worker_t *worker = followers->worker;
    if (!h2o_timeout_is_linked(&followers->turns))
        h2o_timeout_link(worker->ctx.loop, &worker->turn_timeout, &followers->turns);
}

static void move_all(h2o_linklist_t *from, h2o_linklist_t *to)
{
    h2o_linklist_insert_list(to, from);
}

static void wake_all(cairn_followers_t *followers)
{
    followers->seen = cairn_feed_newest(store_of(followers));
    move_all(&followers->waiting, &followers->due);
}

/** asks for a ring, if there is anybody to wake */
static void arm(cairn_followers_t *followers)
{
    if (followers->is_armed || h2o_linklist_is_empty(&followers->waiting))
        return;
    if (!followers->is_added)
        cairn_feed_add_watch(store_of(followers), &followers->watch);
    followers->is_added = true;
    followers->is_armed = cairn_feed_arm(store_of(followers), &followers->watch, followers->seen);
    if (!followers->is_armed) {
        wake_all(followers);
        link_turns(followers);
    }
}

static void give_turns(cairn_followers_t *followers)
{
    uint64_t until = cairn_monotonic_ns() + TURNS_NS;
    do {
        if (h2o_linklist_is_empty(&followers->due)) {
            arm(followers);
            return;
        }
        cairn_follower_t *follower =
            H2O_STRUCT_FROM_MEMBER(cairn_follower_t, _link, followers->due.next);
        h2o_linklist_unlink(&follower->_link);
        follower->on_turn(follower);
    } while (cairn_monotonic_ns() < until);
    link_turns(followers);
}

static void on_turns(h2o_timeout_entry_t *entry)
{
    give_turns(H2O_STRUCT_FROM_MEMBER(cairn_followers_t, turns, entry));
}

static void on_rings(h2o_multithread_receiver_t *receiver, h2o_linklist_t *messages)
{
    cairn_followers_t *followers = H2O_STRUCT_FROM_MEMBER(cairn_followers_t, rings, receiver);
    if (h2o_linklist_is_empty(messages))
        return;
    h2o_linklist_unlink(&followers->ring.link);
    followers->is_armed = false;
    wake_all(followers);
    /* those that are having their turns already go on having them */
    if (!h2o_timeout_is_linked(&followers->turns))
        give_turns(followers);
}

/* ---------------------------------------------------------------- deadlines */

static uint64_t now_tick(void)
{
    return cairn_monotonic_ms() / TICK_MS;
}

static void link_ticks(cairn_followers_t *followers)
{
    cairn_worker_t *worker = followers->worker;
    if (followers->timers != 0 && !h2o_timeout_is_linked(&followers->ticks))
        h2o_timeout_link(worker->ctx.loop, &worker->ctx.hundred_ms_timeout, &followers->ticks);
}

static void look_at_slot(h2o_linklist_t *slot, uint64_t tick)
{
    for (h2o_linklist_t *l = slot->next, *next; l != slot; l = next) {
        next = l->next;
        cairn_follower_t *follower = H2O_STRUCT_FROM_MEMBER(cairn_follower_t, _timer, l);
        if (follower->_deadline_ms / TICK_MS > tick)
            continue; /* when the wheel comes round again */
        cairn_follower_clear_deadline(follower);
        follower->is_late = true;
        cairn_follower_be_due(follower);
    }
}

static void on_ticks(h2o_timeout_entry_t *entry)
{
    cairn_followers_t *followers = H2O_STRUCT_FROM_MEMBER(cairn_followers_t, ticks, entry);
    uint64_t now = now_tick();
    if (now - followers->tick > SLOTS)
        followers->tick = now - SLOTS;
    while (followers->tick < now) {
        ++followers->tick;
        look_at_slot(&followers->wheel[followers->tick % SLOTS], now);
    }
    link_ticks(followers);
}

void cairn_follower_set_deadline(cairn_follower_t *follower, uint64_t ms)
{
    cairn_followers_t *followers = follower->_worker->followers;
    cairn_follower_clear_deadline(follower);
    if (followers->timers++ == 0)
        followers->tick = now_tick();
    /* rounded up: the slot of this very tick has been looked at */
    follower->_deadline_ms = cairn_monotonic_ms() + ms + TICK_MS;
    h2o_linklist_insert(&followers->wheel[follower->_deadline_ms / TICK_MS % SLOTS],
                        &follower->_timer);
    link_ticks(followers);
}

void cairn_follower_clear_deadline(cairn_follower_t *follower)
{
    if (!h2o_linklist_is_linked(&follower->_timer))
        return;
    h2o_linklist_unlink(&follower->_timer);
    --follower->_worker->followers->timers;
}

/* ---------------------------------------------------------------- one of them */

void cairn_follower_init(cairn_follower_t *follower, cairn_worker_t *worker,
                         void (*on_turn)(cairn_follower_t *))
{
    *follower = (cairn_follower_t){.on_turn = on_turn, ._worker = worker};
}

void cairn_follower_rest(cairn_follower_t *follower)
{
    if (h2o_linklist_is_linked(&follower->_link))
        h2o_linklist_unlink(&follower->_link);
}

void cairn_follower_leave(cairn_follower_t *follower)
{
    cairn_follower_rest(follower);
    cairn_follower_clear_deadline(follower);
}

void cairn_follower_be_due(cairn_follower_t *follower)
{
    cairn_followers_t *followers = follower->_worker->followers;
    cairn_follower_rest(follower);
    h2o_linklist_insert(&followers->due, &follower->_link);
    link_turns(followers);
}

void cairn_follower_wait(cairn_follower_t *follower, uint64_t version)
{
    cairn_followers_t *followers = follower->_worker->followers;
    if (h2o_linklist_is_empty(&followers->waiting))
        followers->seen = version;
    /* The others have been woken for what this one has not looked at; or its time is over, which it
     * has not been told yet: nothing else would wake it for that. */
    if (version < followers->seen || follower->is_late || follower->_worker->is_stopping) {
        cairn_follower_be_due(follower);
        return;
    }
    cairn_follower_rest(follower);
    h2o_linklist_insert(&followers->waiting, &follower->_link);
    arm(followers);
}

/* ---------------------------------------------------------------- all of them */

void cairn_followers_init(cairn_worker_t *worker)
{
    cairn_followers_t *followers = h2o_mem_alloc(sizeof(*followers));
    *followers = (cairn_followers_t){.worker = worker,
                                     .watch = {.on_change = on_change},
                                     .turns = {.cb = on_turns},
                                     .ticks = {.cb = on_ticks}};
    h2o_linklist_init_anchor(&followers->waiting);
    h2o_linklist_init_anchor(&followers->due);
    for (size_t i = 0; i < SLOTS; ++i)
        h2o_linklist_init_anchor(&followers->wheel[i]);
    h2o_multithread_register_receiver(worker->ctx.queue, &followers->rings, on_rings);
    worker->followers = followers;
}

void cairn_followers_wake(cairn_worker_t *worker)
{
    cairn_followers_t *followers = worker->followers;
    move_all(&followers->waiting, &followers->due);
    if (!h2o_linklist_is_empty(&followers->due))
        link_turns(followers);
}
