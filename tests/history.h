/*
 * tests/history.h - is what clients saw what one store could have shown them?
 *
 * A history is what a number of clients did between two starts of a server and what they were
 * answered, with the time before each request and after its answer. The version that each write is
 * answered with says where it stands in the one order of all writes, so nothing has to be searched
 * for: the check takes O(n log n). What holds for a history:
 *
 *  1. No two writes have the same version, and none has one of an earlier history.
 *  2. A write's version is higher than any that had been answered, to a write or to a read, before
 *     it began. (So versions rise on every connection, too.)
 *  3. A read gives a value that was put under this key, no later than the read ended, and the
 *     version that its put was answered with.
 *  4. A read gives nothing older than any write of the key, or read of it, that had been answered
 *     before it began.
 *  5. 404 to a GET or a DELETE means that there was a moment between its begin and its end, not
 *     before the moments that 4 speaks of, at which the key had no value.
 *  6. 201 follows, in the order of versions, upon a delete or nothing; 204 upon a put.
 *  7. A put that is done only if the key has a certain version follows upon just that one; and
 * where it is answered with 412, there was a moment between its begin and its end at which the key
 * had another.
 *
 * A request without an answer may have been done or not, at any time after it began; the version of
 * such a put is learned from whoever reads it. After a crash the history goes on: the driver reads
 * every key from the server that has started again and adds these reads as the last calls; rule 4
 * then says that nothing acknowledged is lost, and history_next() begins the next history with what
 * they found.
 *
 * It makes no difference whether a write was sync or async: kill -9 leaves the page cache alone.
 *
 * Threads: one.
 */
#ifndef CAIRN_TESTS_HISTORY_H
#define CAIRN_TESTS_HISTORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum en_history_op_t { HISTORY_GET, HISTORY_PUT, HISTORY_DELETE } history_op_t;

/** when a request without an answer ended */
#define HISTORY_NEVER UINT64_MAX

typedef struct st_history_call_t {
    history_op_t op;
    uint32_t key;
    int status;        /* 0: there was no answer */
    uint64_t version;  /* of the answer, 0 if it has none */
    uint64_t wanted;   /* version that the key must have for a put to be done; 0: any */
    uint64_t value;    /* put, or read by a GET that was answered 200; never twice put, never 0 */
    uint64_t begun_ns; /* never 0 */
    uint64_t ended_ns; /* HISTORY_NEVER without an answer */
    /* the checker's: the highest version answered before this began, for its key and for any */
    uint64_t _key_floor;
    uint64_t _floor;
} history_call_t;

/** what a key had when the history began */
typedef struct st_history_key_t {
    uint64_t value;   /* 0: none */
    uint64_t version; /* of the value, or not below the delete's */
} history_key_t;

typedef struct st_history_t {
    history_key_t *keys;
    size_t key_count;
    uint64_t highest; /* version in any earlier history */
    history_call_t *calls;
    size_t count;
    size_t _room;
    size_t violations;
    /* what is wrong, as a sentence; may be NULL */
    void (*on_violation)(void *ctx, const char *text);
    void *ctx;
} history_t;

/** Begins with a new store: no key has a value. */
void history_init(history_t *history, size_t key_count);
void history_dispose(history_t *history);

/** Adds calls, in any order. */
void history_add(history_t *history, const history_call_t *calls, size_t count);

/** Tries the rules on all calls; raises `violations` for each that is broken. */
void history_check(history_t *history);

/** After a check: forgets the calls, and goes on with what the last read of each key found. */
void history_next(history_t *history);

#endif
