/*
 * cairn.h - libcairn, the client of cairn: a durable key-value database that speaks HTTP.
 *
 *     cairn_client_t *db = cairn_connect("localhost", 8080);
 *     cairn_set(db, "greeting", "hello");
 *     puts(cairn_get(db, "greeting"));
 *
 * Build with `cc program.c $(pkg-config --cflags --libs cairn)`.
 *
 * **Text and bytes.** cairn_set(), cairn_get(), cairn_delete(), cairn_append() and cairn_incr()
 * take texts that end with a NUL. Each has a twin that ends in `_bytes` and takes any bytes with
 * their lengths, options and room for what came of it; options and results may be NULL.
 *
 * **Errors are values.** A function returns CAIRN_CLIENT_OK, which is 0, or why it failed;
 * cairn_client_message() then has a sentence for a person. "No such key" is CAIRN_CLIENT_NOT_FOUND.
 * Handles may be NULL (out of memory at connecting): every call then returns CAIRN_CLIENT_NOMEM.
 *
 * **Threads.** A handle belongs to one thread at a time; different threads use different handles at
 * the same time without any lock. A handle keeps its connection open between calls, so keep the
 * handle. A handle must not be used by both sides of a fork().
 *
 * **Once, or perhaps.** A request that is safe to repeat (set, get, delete without a condition) is
 * sent again by itself when a kept connection turns out to be closed (so a delete may find that it
 * has been done). One that is not (incr,
 * append, conditions, batches) is sent once; when its answer is lost, CAIRN_CLIENT_BROKEN or
 * CAIRN_CLIENT_TIMEOUT says that the write may or may not have been done.
 */
#ifndef CAIRN_H
#define CAIRN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define CAIRN_API __attribute__((visibility("default")))

/* name, what it means when nothing better is known */
#define CAIRN_CLIENT_ERRORS(X)                                                                     \
    X(CAIRN_CLIENT_OK, "ok")                                                                       \
    X(CAIRN_CLIENT_NOT_FOUND, "there is no such key")                                              \
    X(CAIRN_CLIENT_PRECONDITION, "a condition does not hold for the present value")                \
    X(CAIRN_CLIENT_NOT_MODIFIED, "the value still has that version")                               \
    X(CAIRN_CLIENT_CONFLICT, "the present value is no number, or the sum is too large")            \
    X(CAIRN_CLIENT_INVALID, "the request is wrong")                                                \
    X(CAIRN_CLIENT_TOO_LARGE, "a key, a value or a batch is too large")                            \
    X(CAIRN_CLIENT_DENIED, "the token is missing, wrong, or not for this")                         \
    X(CAIRN_CLIENT_COMPACTED, "changes that old are no longer kept")                               \
    X(CAIRN_CLIENT_BUSY, "the server asks to come back later")                                     \
    X(CAIRN_CLIENT_DISK_FULL, "the server's disk is full")                                         \
    X(CAIRN_CLIENT_SERVER, "the server failed")                                                    \
    X(CAIRN_CLIENT_OUTCOME_UNKNOWN, "the server does not know whether the write is durable")       \
    X(CAIRN_CLIENT_UNREACHABLE, "no connection could be made; nothing has been done")              \
    X(CAIRN_CLIENT_TIMEOUT, "no answer in time; a write may or may not have been done")            \
    X(CAIRN_CLIENT_BROKEN, "the connection broke; a write may or may not have been done")          \
    X(CAIRN_CLIENT_PROTOCOL, "the answer is not one that cairn gives")                             \
    X(CAIRN_CLIENT_NOMEM, "out of memory")

typedef enum en_cairn_client_err_t {
#define X(name, text) name,
    CAIRN_CLIENT_ERRORS(X)
#undef X
} cairn_client_err_t;

/** The meaning of an error in general; static memory. */
CAIRN_API const char *cairn_client_strerror(cairn_client_err_t err);

/* ---------------------------------------------------------------- connecting */

/** a connection to one server, with all that its calls leave behind */
typedef struct st_cairn_client_t cairn_client_t;

/** what may differ from connection to connection; all zero is the default of each */
typedef struct st_cairn_client_options_t {
    const char *token;           /* sent as Authorization: Bearer */
    const char *ca_file;         /* PEM file of certificates to trust, instead of the system's */
    bool is_insecure;            /* takes any certificate: for trying things out, never for use */
    uint32_t connect_timeout_ms; /* 0: 5 seconds */
    uint32_t timeout_ms;         /* for a call as a whole, value included; 0: 60 seconds */
} cairn_client_options_t;

/**
 * Makes a handle for the server on this host and port. Nothing is sent yet: the first call
 * connects, and says so if there is nobody. NULL only when there is no memory.
 *
 * Owner: the caller; end it with cairn_disconnect().
 */
CAIRN_API cairn_client_t *cairn_connect(const char *host, uint16_t port);

/**
 * The same for a URL: http://HOST:PORT, https://HOST:PORT, or unix:/PATH of a socket (with
 * unix+https:/PATH for TLS over it). What is no such URL is CAIRN_CLIENT_INVALID at each call.
 * Options are copied.
 */
CAIRN_API cairn_client_t *cairn_connect_url(const char *url, const cairn_client_options_t *options);

/** Closes the connection and frees the handle with all it has given out. NULL is harmless. */
CAIRN_API void cairn_disconnect(cairn_client_t *db);

/** What the last call came to, in words: "http://localhost:8080: connection refused; is cairn
 * running there?". Never NULL. Owner: the handle, until its next call. */
CAIRN_API const char *cairn_client_message(const cairn_client_t *db);

/** The last call's error. */
CAIRN_API cairn_client_err_t cairn_client_error(const cairn_client_t *db);

/** The HTTP status of the last answer, 0 if there was none. */
CAIRN_API int cairn_client_status(const cairn_client_t *db);

/** The stable code of the last problem, such as "value_too_large"; "" if there was none. Owner: the
 * handle, until its next call. */
CAIRN_API const char *cairn_client_code(const cairn_client_t *db);

/* ---------------------------------------------------------------- text */

/** Stores a text under a key; it is on disk when this returns CAIRN_CLIENT_OK. */
CAIRN_API cairn_client_err_t cairn_set(cairn_client_t *db, const char *key, const char *value);

/**
 * The value of a key, with a NUL behind it; NULL if there is none or on an error, which
 * cairn_client_error() tells apart. A value with a NUL inside needs cairn_get_bytes().
 *
 * Owner: the handle, until its next call.
 */
CAIRN_API const char *cairn_get(cairn_client_t *db, const char *key);

/** Removes a key; CAIRN_CLIENT_NOT_FOUND if there is none. */
CAIRN_API cairn_client_err_t cairn_delete(cairn_client_t *db, const char *key);

/** Adds `by` to the number that a key has, a missing one counting as 0; the sum goes to `*number`,
 * which may be NULL. */
CAIRN_API cairn_client_err_t cairn_incr(cairn_client_t *db, const char *key, int64_t by,
                                        int64_t *number);

/** Adds a text to the end of what a key has. */
CAIRN_API cairn_client_err_t cairn_append(cairn_client_t *db, const char *key, const char *value);

/* ---------------------------------------------------------------- bytes */

/** one Cairn-Meta-NAME header: text of one line, stored with the value and given back */
typedef struct st_cairn_client_meta_t {
    const char *name;
    const char *value;
} cairn_client_meta_t;

typedef enum en_cairn_client_durability_t {
    CAIRN_CLIENT_AS_CONFIGURED, /* as the server's storage.durability says */
    CAIRN_CLIENT_SYNC,          /* answered once it is on disk */
    CAIRN_CLIENT_ASYNC          /* answered before that */
} cairn_client_durability_t;

/** how to write; all zero writes whatever is there, for ever */
typedef struct st_cairn_client_write_t {
    uint64_t if_version; /* only if the present value has this version; 0 does not ask */
    bool if_absent;      /* only if there is no value */
    bool if_present;     /* only if there is one */
    uint64_t ttl_ms; /* lets the value expire; 0 never does (incr and append keep what it has) */
    const char *content_type;     /* NULL: application/octet-stream */
    const char *content_encoding; /* kept with the value, never undone */
    const char *cache_control;
    const cairn_client_meta_t *meta;
    size_t meta_count;
    cairn_client_durability_t durability;
} cairn_client_write_t;

/** what a write came to */
typedef struct st_cairn_client_written_t {
    uint64_t version; /* of this write; after CAIRN_CLIENT_PRECONDITION that of the present value */
    bool is_new;      /* there was no value before */
    int64_t number;   /* the sum, for incr */
} cairn_client_written_t;

CAIRN_API cairn_client_err_t cairn_set_bytes(cairn_client_t *db, const void *key, size_t key_bytes,
                                             const void *value, size_t value_bytes,
                                             const cairn_client_write_t *how,
                                             cairn_client_written_t *written);
CAIRN_API cairn_client_err_t cairn_append_bytes(cairn_client_t *db, const void *key,
                                                size_t key_bytes, const void *value,
                                                size_t value_bytes, const cairn_client_write_t *how,
                                                cairn_client_written_t *written);
CAIRN_API cairn_client_err_t cairn_incr_bytes(cairn_client_t *db, const void *key, size_t key_bytes,
                                              int64_t by, const cairn_client_write_t *how,
                                              cairn_client_written_t *written);
/** Of `how`, the conditions and the durability count. */
CAIRN_API cairn_client_err_t cairn_delete_bytes(cairn_client_t *db, const void *key,
                                                size_t key_bytes, const cairn_client_write_t *how,
                                                cairn_client_written_t *written);

/** what to read; all zero is the whole value, whatever its version */
typedef struct st_cairn_client_read_t {
    uint64_t unless_version; /* CAIRN_CLIENT_NOT_MODIFIED if it still has this one */
    uint64_t offset;         /* a part of the value, from here on */
    uint64_t count;          /* so many bytes at most; 0 up to the end */
    bool is_head;            /* all but the bytes */
} cairn_client_read_t;

/** a value with what is stored beside it; end it with cairn_client_value_dispose() */
typedef struct st_cairn_client_value_t {
    char *bytes; /* a NUL follows, which `count` leaves out; NULL for `is_head` */
    size_t count;
    uint64_t total; /* bytes of the whole value; more than `count` for a part */
    uint64_t version;
    int64_t expires_in_ms; /* in whole seconds; -1 never expires */
    char *content_type;
    char *content_encoding; /* NULL if none was given; so is the next */
    char *cache_control;
    cairn_client_meta_t *meta; /* names in lower case */
    size_t meta_count;
} cairn_client_value_t;

/** Owner: the caller disposes `*value`, which is empty after an error. */
CAIRN_API cairn_client_err_t cairn_get_bytes(cairn_client_t *db, const void *key, size_t key_bytes,
                                             const cairn_client_read_t *what,
                                             cairn_client_value_t *value);
CAIRN_API void cairn_client_value_dispose(cairn_client_value_t *value);

/** Waits until everything up to this version, async writes included, is on disk. */
CAIRN_API cairn_client_err_t cairn_sync(cairn_client_t *db, uint64_t version);

/* ---------------------------------------------------------------- many at once */

/**
 * Operations that travel in one request. Add them, run it, look at the results by the order in
 * which they were added; clear it to use it again. Adding never fails by itself: what does not fit
 * into memory is CAIRN_CLIENT_NOMEM when it is run. Keys and values are copied.
 */
typedef struct st_cairn_client_batch_t cairn_client_batch_t;

/** what one operation came to */
typedef struct st_cairn_client_result_t {
    cairn_client_err_t err;
    int status;       /* as HTTP would have it: 200, 201, 204, 404, 412 … */
    uint64_t version; /* of the write, or of the value */
    int64_t number;   /* the sum, for incr */
    char *value;      /* for get, with a NUL behind it; NULL if there is none */
    size_t value_bytes;
} cairn_client_result_t;

CAIRN_API cairn_client_batch_t *cairn_batch_create(void);
CAIRN_API void cairn_batch_destroy(cairn_client_batch_t *batch);
CAIRN_API void cairn_batch_clear(cairn_client_batch_t *batch);

/** Of `how`, all but the durability counts; what is stored beside the value must be UTF-8. */
CAIRN_API void cairn_batch_set(cairn_client_batch_t *batch, const void *key, size_t key_bytes,
                               const void *value, size_t value_bytes,
                               const cairn_client_write_t *how);
CAIRN_API void cairn_batch_append(cairn_client_batch_t *batch, const void *key, size_t key_bytes,
                                  const void *value, size_t value_bytes,
                                  const cairn_client_write_t *how);
CAIRN_API void cairn_batch_incr(cairn_client_batch_t *batch, const void *key, size_t key_bytes,
                                int64_t by, const cairn_client_write_t *how);
CAIRN_API void cairn_batch_delete(cairn_client_batch_t *batch, const void *key, size_t key_bytes,
                                  const cairn_client_write_t *how);
CAIRN_API void cairn_batch_get(cairn_client_batch_t *batch, const void *key, size_t key_bytes);

/** How many operations there are, and how many bytes they will be on the wire. */
CAIRN_API size_t cairn_batch_count(const cairn_client_batch_t *batch);
CAIRN_API size_t cairn_batch_bytes(const cairn_client_batch_t *batch);

/**
 * Runs all of them in order. Without `is_atomic` each stands alone, and CAIRN_CLIENT_OK only says
 * that there are results; what is more than the server takes in one request goes in several, and
 * one operation that is too large fails by itself. With it they happen together or not at all: on
 * any error nothing has happened. cairn_batch_failed_at() says which one a request was refused for.
 */
CAIRN_API cairn_client_err_t cairn_batch_run(cairn_client_t *db, cairn_client_batch_t *batch,
                                             bool is_atomic);

/** What an operation came to. Owner: the batch, until it is run again, cleared or destroyed; NULL
 * if there is no such result. */
CAIRN_API const cairn_client_result_t *cairn_batch_result(const cairn_client_batch_t *batch,
                                                          size_t at);

/** The operation, counted from 0, that made the whole batch fail; SIZE_MAX if it was none. */
CAIRN_API size_t cairn_batch_failed_at(const cairn_client_batch_t *batch);

/* ---------------------------------------------------------------- lists and scans */

/** a key that is there; bytes are followed by a NUL. Owner: the library, during the callback. */
typedef struct st_cairn_client_entry_t {
    const char *key;
    size_t key_bytes;
    uint64_t version;
    uint64_t size;            /* of the value */
    const char *error;        /* why the value cannot be read, such as "read_failed"; else NULL */
    const char *content_type; /* NULL if it was not told */
    int64_t expires_ms;       /* since 1970; 0 never */
    const char *value;        /* NULL unless `with_values` was asked for */
    size_t value_bytes;
    /* what else is stored beside the value; nothing unless `with_meta` was asked for */
    const char *content_encoding;
    const char *cache_control;
    const cairn_client_meta_t *meta; /* names in lower case */
    size_t meta_count;
} cairn_client_entry_t;

/** Takes one key; false ends the walk. It may use the handle for calls of its own. */
typedef bool (*cairn_client_entry_cb)(void *ctx, const cairn_client_entry_t *entry);

/** which keys; all zero is all of them */
typedef struct st_cairn_client_list_t {
    const void *prefix; /* only keys that begin with it */
    size_t prefix_bytes;
    const void *after; /* cairn_list() only: only keys behind this one */
    size_t after_bytes;
    const void *contains; /* cairn_scan() only: keys whose value contains these bytes */
    size_t contains_bytes;
    uint64_t limit;   /* so many at most; 0 for no limit */
    unsigned page;    /* keys fetched at a time; 0: 1,000 */
    bool with_values; /* cairn_list() only: their values too */
    bool with_meta;   /* all that is stored beside a value too */
    /* where a damaged record hides a key that nobody can name, NULL fails; else the others are
     * told, and this is set */
    bool *left_out;
} cairn_client_list_t;

/** Calls back for every live key in byte order, page by page. `which` may be NULL. */
CAIRN_API cairn_client_err_t cairn_list(cairn_client_t *db, const cairn_client_list_t *which,
                                        cairn_client_entry_cb on_entry, void *ctx);

/** Walks through the store, reading every value, and calls back for those that contain the bytes:
 * the slow way, in no order. */
CAIRN_API cairn_client_err_t cairn_scan(cairn_client_t *db, const cairn_client_list_t *which,
                                        cairn_client_entry_cb on_entry, void *ctx);

/* ---------------------------------------------------------------- changes */

/** something that happened. Owner: the library, during the callback. */
typedef struct st_cairn_client_change_t {
    uint64_t version;
    bool is_delete;
    const char *key; /* a NUL follows */
    size_t key_bytes;
    uint64_t size;     /* of the value */
    const char *value; /* NULL unless `with_values` was asked for */
    size_t value_bytes;
} cairn_client_change_t;

/**
 * Takes one change; false ends the feed. `change` is NULL when there was nothing new for `wait_ms`,
 * or no connection: a moment to look whether it is time to stop. It may use the handle.
 */
typedef bool (*cairn_client_change_cb)(void *ctx, const cairn_client_change_t *change);

typedef struct st_cairn_client_feed_t {
    uint64_t since;     /* what happened after this version; 0 from the beginning */
    bool from_now;      /* what happens from now on, whatever `since` says */
    const void *prefix; /* only keys that begin with it */
    size_t prefix_bytes;
    bool with_values;
    bool ends_at_present; /* returns when all there is has been told, instead of waiting */
    uint32_t wait_ms;     /* longest time without a callback, while connected; 0: 30 seconds */
    uint32_t give_up_ms;  /* ends when the server has been gone for so long; 0 never gives up */
} cairn_client_feed_t;

/**
 * Calls back for what changed, in the order in which it happened, until the callback says false.
 * When the connection breaks or the server restarts it goes on by itself behind the last change it
 * told. An error that waiting cannot heal ends it: CAIRN_CLIENT_DENIED, CAIRN_CLIENT_COMPACTED …
 */
CAIRN_API cairn_client_err_t cairn_changes(cairn_client_t *db, const cairn_client_feed_t *feed,
                                           cairn_client_change_cb on_change, void *ctx);

/* ---------------------------------------------------------------- looking after it */

/** GET of any path, such as "/v1/stats". Owner: the caller frees `*text`; NULL after an error. */
CAIRN_API cairn_client_err_t cairn_client_fetch(cairn_client_t *db, const char *path, char **text);

/** Makes a consistent snapshot in the server's data directory under this name. Owner: the caller
 * frees
 * `*json`, the server's answer; it may be NULL. */
CAIRN_API cairn_client_err_t cairn_snapshot(cairn_client_t *db, const char *name, char **json);

/** Has the server begin a compaction; it goes on by itself. */
CAIRN_API cairn_client_err_t cairn_compact(cairn_client_t *db);

#ifdef __cplusplus
}
#endif

#endif
