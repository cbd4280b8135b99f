/*
 * Is each who waits for the log to go on given a turn, when it goes on and when his time is over?
 */
#include <CUnit/CUnit.h>

#include <stdlib.h>

#include "server/followers.h"
#include "tests/site.h"
#include "tests/store_fixture.h"
#include "tests/suites.h"

#define TURN_MS 1
#define PATIENCE_MS 5000

/* a worker without a thread: the test runs its loop */
static fixture_t fixture;
static cairn_server_t server;
static cairn_worker_t worker;

/* the loop, its context and the followers live as long as the process, as a worker's do */
static void set_up(void)
{
    fixture_init(&fixture, TEMP_DIR_IN_MEMORY);
    CU_ASSERT_EQUAL_FATAL(fixture_open(&fixture), CAIRN_OK);
    h2o_config_init(&server.globalconf);
    server.host =
        h2o_config_register_host(&server.globalconf, h2o_iovec_init(H2O_STRLIT("default")), 65535);
    atomic_store(&server.store, fixture.store);
    worker.server = &server;
    h2o_loop_t *loop = h2o_evloop_create();
    h2o_context_init(&worker.ctx, loop, &server.globalconf);
    h2o_timeout_init(loop, &worker.turn_timeout, TURN_MS);
    cairn_followers_init(&worker);
}

typedef struct st_listener_t {
    cairn_follower_t follower; /* first: on_turn casts back */
    unsigned turns, late_turns;
} listener_t;

static void on_turn(cairn_follower_t *follower)
{
    listener_t *listener = (listener_t *)follower;
    ++listener->turns;
    listener->late_turns += follower->is_late;
    follower->is_late = false;
}

static void begin(listener_t *listener)
{
    *listener = (listener_t){.turns = 0};
    cairn_follower_init(&listener->follower, &worker, on_turn);
}

/* lets the loop go on until `*count` is 1, or for so long */
static void run_until_one(const unsigned *count, int64_t ms)
{
    for (int64_t until = monotonic_ms() + ms; *count == 0 && monotonic_ms() < until;)
        h2o_evloop_run(worker.ctx.loop, 1);
}

static void the_log_goes_on(void)
{
    listener_t listener;
    begin(&listener);
    cairn_follower_wait(&listener.follower, cairn_feed_newest(fixture.store));
    run_until_one(&listener.turns, 20);
    CU_ASSERT_EQUAL(listener.turns, 0);
    fixture_put(&fixture, "a", "1");
    run_until_one(&listener.turns, PATIENCE_MS);
    CU_ASSERT_EQUAL(listener.turns, 1);
    CU_ASSERT_EQUAL(listener.late_turns, 0);
    cairn_follower_leave(&listener.follower);
}

static void time_is_over(void)
{
    listener_t listener;
    begin(&listener);
    cairn_follower_set_deadline(&listener.follower, 1);
    cairn_follower_wait(&listener.follower, cairn_feed_newest(fixture.store));
    run_until_one(&listener.turns, PATIENCE_MS);
    CU_ASSERT_EQUAL(listener.late_turns, 1);
    cairn_follower_leave(&listener.follower);
}

/* His time was over while he was reading on the I/O pool, and before he had the turn that tells him
 * so he has read all there is, and waits: he is not forgotten. */
static void time_is_over_before_he_waits(void)
{
    listener_t listener;
    begin(&listener);
    cairn_follower_set_deadline(&listener.follower, 1);
    for (int64_t until = monotonic_ms() + PATIENCE_MS;
         !listener.follower.is_late && monotonic_ms() < until;)
        h2o_evloop_run(worker.ctx.loop, 1);
    CU_ASSERT(listener.follower.is_late);
    CU_ASSERT_EQUAL(listener.turns, 0);
    cairn_follower_wait(&listener.follower, cairn_feed_newest(fixture.store));
    run_until_one(&listener.turns, 500);
    CU_ASSERT_EQUAL(listener.late_turns, 1);
    cairn_follower_leave(&listener.follower);
}

static void all_are_woken(void)
{
    listener_t listeners[3];
    for (int i = 0; i < 3; ++i) {
        begin(&listeners[i]);
        cairn_follower_wait(&listeners[i].follower, cairn_feed_newest(fixture.store));
    }
    cairn_follower_leave(&listeners[1].follower);
    cairn_followers_wake(&worker);
    run_until_one(&listeners[2].turns, PATIENCE_MS);
    CU_ASSERT_EQUAL(listeners[0].turns, 1);
    CU_ASSERT_EQUAL(listeners[1].turns, 0);
    CU_ASSERT_EQUAL(listeners[2].turns, 1);
    for (int i = 0; i < 3; ++i)
        cairn_follower_leave(&listeners[i].follower);
}

/* one after the other with the same worker */
static void each_has_his_turn(void)
{
    set_up();
    the_log_goes_on();
    time_is_over();
    time_is_over_before_he_waits();
    all_are_woken();
    fixture_dispose(&fixture);
}

void suite_followers(void)
{
    CU_pSuite s = CU_add_suite("followers: those who wait for the log", NULL, NULL);
    CU_add_test(s, "each has his turn, whatever it is that wakes him", each_has_his_turn);
}
