/*
 * tests/staged_site.h - a server whose system fails, waits, or tells another time, when a test says
 * so.
 *
 * The child runs this very program: tests/main.c becomes a server with `cairn_os` staged when it
 * finds itself called by staged_site_start(). Orders go through memory that both share, and hold
 * when the call that gave them returns.
 *
 * Threads: the test's; one site at a time.
 */
#ifndef CAIRN_TESTS_STAGED_SITE_H
#define CAIRN_TESTS_STAGED_SITE_H

#include "tests/fault_os.h"
#include "tests/site.h"

typedef struct st_staged_site_t {
    site_t site;
    struct st_stage_t *stage; /* shared with the child */
} staged_site_t;

/** Makes a directory, and a stage that outlives restarts, then starts a server. */
void staged_site_start(staged_site_t *staged, const char *const *extra_args);

/**
 * The same without starting it, which staged_site_start_again() does. `is_held`: the server will
 * listen, and wait with loading until staged_site_release(), which another thread has to call.
 */
void staged_site_prepare(staged_site_t *staged, bool is_held);

/** Starts it again on what is there, after staged->site.server has ended; nothing fails then. */
void staged_site_start_again(staged_site_t *staged, const char *const *extra_args);

/** Kills the server if it runs, and removes everything. */
void staged_site_end(staged_site_t *staged);

void staged_site_release(staged_site_t *staged);

/** The next call of `function` fails with `error`, and with `for_good` all after it. */
void staged_site_fail(staged_site_t *staged, fault_function_t function, int error, bool for_good);

/** Nothing fails any more. */
void staged_site_heal(staged_site_t *staged);

/** The wall clock stands at this time, in ms since 1970; 0: it is the real one. Restarts keep it.
 */
void staged_site_set_clock(staged_site_t *staged, uint64_t now_ms);

/** What tests/main.c asks first: whether this process is such a server, which has then ended. */
bool staged_site_is_server(int argc, char **argv, int *status);

#endif
