/*
 * tests/store_fixture.h - a store in a directory of its own, asked one thing at a time.
 *
 * The store's own calls hand over and come back later; these wait, so that a test reads like a
 * page. Threads: the one that opened, unless said otherwise; it is registered while the store is
 * open.
 */
#ifndef CAIRN_TESTS_STORE_FIXTURE_H
#define CAIRN_TESTS_STORE_FIXTURE_H

#include <pthread.h>

#include "storage/store.h"
#include "tests/temp_dir.h"

/** small enough that a few writes roll, as large as a slot */
#define FIXTURE_SEGMENT_BYTES 65536

typedef struct st_fixture_t {
    temp_dir_t dir;
    cairn_store_options_t options;
    cairn_store_t *store; /* NULL while closed */
    char errmsg[CAIRN_ERRMSG_BYTES];
    _Atomic unsigned error_lines; /* of the log */
} fixture_t;

/** Makes the directory and the options: small segments, two I/O threads, async syncs far away. */
void fixture_init(fixture_t *f, temp_dir_place_t place);

/** The same, and opens it, or ends the test; in memory with segments of this size. */
void fixture_start(fixture_t *f, temp_dir_place_t place);
void fixture_start_sized(fixture_t *f, uint64_t segment_bytes);

/** Closes what is open and removes the directory. */
void fixture_dispose(fixture_t *f);

/** Opens the store; on OK the calling thread is registered until it is closed. */
cairn_err_t fixture_open(fixture_t *f);
cairn_err_t fixture_close(fixture_t *f);

/** Opens the store, or says why it cannot be and ends the test. */
void fixture_must_open(fixture_t *f);

/** Closes, opens again and fails the test if either does not work. */
void fixture_restart(fixture_t *f);

/** a sink that one thread waits at */
typedef struct st_waiter_t {
    cairn_sink_t sink; /* first: on_done casts back */
    pthread_mutex_t mutex;
    pthread_cond_t cond;
    cairn_write_t *first; /* what has come back, in order */
    cairn_write_t **last;
    size_t count;
    size_t calls; /* of on_done */
} waiter_t;

void waiter_init(waiter_t *waiter);
void waiter_dispose(waiter_t *waiter);

/** Waits until `count` writes have come back; takes the list, linked by `next`. */
cairn_write_t *waiter_take(waiter_t *waiter, size_t count);

/** what became of a write */
typedef struct st_outcome_t {
    cairn_err_t err; /* of submit, or of the write */
    bool existed;
    uint64_t version;
} outcome_t;

/** Writes one thing and waits for the answer. Threads: any registered. */
outcome_t fixture_write(fixture_t *f, cairn_write_op_t op, cairn_bytes_t key, cairn_bytes_t meta,
                        cairn_bytes_t value, cairn_durability_t durability);

/** The same for texts, sync and without meta. */
outcome_t fixture_put(fixture_t *f, const char *key, const char *value);
outcome_t fixture_delete(fixture_t *f, const char *key);

/** Puts `count` bytes that follow from the seed, and tells whether a key has just those. */
outcome_t fixture_put_filled(fixture_t *f, cairn_bytes_t key, size_t count, uint64_t seed,
                             cairn_durability_t durability);
bool fixture_has_filled(fixture_t *f, cairn_bytes_t key, size_t count, uint64_t seed);

/** A write that has been framed for `waiter` but not submitted; NULL when there is no memory. */
cairn_write_t *fixture_frame(waiter_t *waiter, cairn_write_op_t op, cairn_bytes_t key,
                             cairn_bytes_t value, cairn_durability_t durability);

/** Puts the keys "key 0" to "key N", `count` of them, async and many at a time, and waits for all.
 */
void fixture_put_numbered(fixture_t *f, unsigned count, cairn_bytes_t value);

/** holds the writer up in the sink of a write of its own: what is submitted meanwhile is one batch
 */
typedef struct st_gate_t {
    cairn_sink_t sink; /* first: on_done casts back */
    pthread_mutex_t mutex;
    pthread_cond_t cond;
    cairn_write_t *write;
    bool reached, open;
} gate_t;

/** Puts the key "gate" and returns when the writer is held up; it goes on at gate_open(). */
void gate_close(gate_t *gate, fixture_t *f);
void gate_open(gate_t *gate);

/** Reads, loading what is cold. The value stays until the next call. Threads: any registered. */
cairn_err_t fixture_get(fixture_t *f, cairn_bytes_t key, cairn_value_t *value);

/** Whether the key has exactly this value; with NULL, whether there is no such key. */
bool fixture_has(fixture_t *f, const char *key, const char *value);

/** Segments that the store has. */
uint64_t fixture_segment_count(fixture_t *f);

/** Borrows a text, without its NUL. */
cairn_bytes_t text(const char *text);

/* ---- the files behind it */

/** The path of a file in the store's directory, in memory that the next call reuses. */
const char *fixture_path(const fixture_t *f, const char *name);

/** Copies every file of one directory into another one, which is empty. No file comes, goes or gets
 * another name meanwhile. */
void copy_dir(const char *from, const char *to);

/** The name of the `from_end`th newest named segment (0 is the newest); false if there is none. */
bool fixture_segment_name(const fixture_t *f, size_t from_end, char name[32]);

/**
 * Waits until the last roll is over: every segment has its name, STORE knows of them, the next one
 * is made ahead. Until the next write no file gets another name. For a store without compaction.
 */
void fixture_wait_until_rolled(fixture_t *f);

/** Tells the kernel to forget the cached pages of every file; they are on disk already. */
void fixture_drop_caches(const fixture_t *f);

/** Reads and writes whole files; what is read is the caller's to free(). */
uint8_t *read_file(const char *path, size_t *count);
void write_file(const char *path, const void *bytes, size_t count);

/** Descriptors this process has open. */
size_t open_descriptors(void);

#endif
