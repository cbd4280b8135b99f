/*
 * tests/queued.h - operations that are queued as one batch, and what became of them.
 *
 * queued_begin(), queued_put() and the like, queued_run(), a look at queued.ops, queued_end().
 *
 * Threads: the test's; there is one batch at a time.
 */
#ifndef CAIRN_TESTS_QUEUED_H
#define CAIRN_TESTS_QUEUED_H

#include "tests/store_fixture.h"

#define QUEUED_MAX 16384

typedef struct st_queued_t {
    fixture_t *f;
    waiter_t waiter;
    cairn_durability_t durability; /* of what is added from now on */
    size_t count;
    cairn_write_t *ops[QUEUED_MAX];
} queued_t;

extern queued_t queued;

void queued_begin(fixture_t *f);

/** Adds an operation. Owner: `queued`, until queued_end(). */
cairn_write_t *queued_add(cairn_write_op_t op, const char *key, cairn_bytes_t value);
cairn_write_t *queued_put(const char *key, const char *value);
cairn_write_t *queued_get(const char *key);

/** Queues the operations from `from` on as one batch. */
cairn_err_t queued_enqueue(size_t from, bool is_atomic);

/** Waits until all have been answered. */
void queued_finish(void);

/** Queues them all and waits, if that works. */
cairn_err_t queued_run(bool is_atomic);

/** Frees them. */
void queued_end(void);

/** Whether a get has this value. */
bool queued_got(const cairn_write_t *write, cairn_bytes_t expected);
bool queued_got_text(const cairn_write_t *write, const char *expected);

#endif
