/*
 * storage/types.h - the words the rooms share: errors, keys, limits.
 */
#ifndef CAIRN_STORAGE_TYPES_H
#define CAIRN_STORAGE_TYPES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/** the longest key; the shortest is one byte (docs/FORMAT.md has 16 bits of room for it) */
#define CAIRN_KEY_BYTES_MAX 2048
/** all meta fields of a record together: content type, encoding, cache control, user metadata */
#define CAIRN_META_BYTES_MAX 4096

/* name, text a person reads */
#define CAIRN_ERRORS(X)                                                                            \
    X(CAIRN_OK, "ok")                                                                              \
    X(CAIRN_ERR_NOT_FOUND, "there is no such key")                                                 \
    X(CAIRN_ERR_PRECONDITION, "a condition does not hold for the present value")                   \
    X(CAIRN_ERR_NOT_A_NUMBER, "the present value is not a decimal number of 64 bits")              \
    X(CAIRN_ERR_OVERFLOW, "the sum does not fit a signed number of 64 bits")                       \
    X(CAIRN_ERR_COLD, "the record is on disk, not in memory")                                      \
    X(CAIRN_ERR_DAMAGED, "the record is damaged")                                                  \
    X(CAIRN_ERR_IO, "the disk failed")                                                             \
    X(CAIRN_ERR_NO_FILES, "the process has too many files open")                                   \
    X(CAIRN_ERR_CANCELLED, "stopped before it was done")                                           \
    X(CAIRN_ERR_NOMEM, "out of memory")                                                            \
    X(CAIRN_ERR_QUEUE_FULL, "the write queue is full")                                             \
    X(CAIRN_ERR_DISK_FULL, "there is no room: the disk is full, or storage.max_bytes is reached")  \
    X(CAIRN_ERR_TOO_LARGE, "the value would be larger than is allowed")                            \
    X(CAIRN_ERR_FAILED, "an earlier write or sync failed; the store is read-only until restarted") \
    X(CAIRN_ERR_UNKNOWN, "the disk failed under this write; whether it is durable is not known")   \
    X(CAIRN_ERR_ABORTED, "another operation of the atomic batch failed, and nothing was applied")  \
    X(CAIRN_ERR_LOCKED, "another process has the store open")                                      \
    X(CAIRN_ERR_CORRUPT, "the store is corrupt")                                                   \
    X(CAIRN_ERR_EXISTS, "there is one of that name")                                               \
    X(CAIRN_ERR_IN_MEMORY, "the store is in memory only")                                          \
    X(CAIRN_ERR_COMPACTED, "deletes after this version have been compacted away: begin anew from " \
                           "0")

typedef enum en_cairn_err_t {
#define X(name, text) name,
    CAIRN_ERRORS(X)
#undef X
} cairn_err_t;

/** The text of an error; static memory. */
const char *cairn_strerror(cairn_err_t err);

/* how much a line of the log matters: L(name, word), what matters most first */
#define CAIRN_LOG_LEVELS(L)                                                                        \
    L(ERROR, "error")     /* lost, damaged, read-only, or a person has to do something */          \
    L(WARNING, "warning") /* not as it should be, but it heals, or costs no more than time */      \
    L(INFO, "info")       /* what else there is to tell */

typedef enum en_cairn_log_level_t {
#define CAIRN_LOG_LEVEL_ENUM(name, word) CAIRN_LOG_##name,
    CAIRN_LOG_LEVELS(CAIRN_LOG_LEVEL_ENUM)
#undef CAIRN_LOG_LEVEL_ENUM
} cairn_log_level_t;

/** a piece of memory that someone else owns */
typedef struct st_cairn_bytes_t {
    const void *base;
    size_t count;
} cairn_bytes_t;

/** a key with its hash, which only means something to the store whose seed it has; made by
 * cairn_key(), borrows the bytes */
typedef struct st_cairn_key_t {
    const void *bytes;
    size_t count;
    uint64_t hash;
} cairn_key_t;

/**
 * Hashes a key of 1 to CAIRN_KEY_BYTES_MAX bytes. The seed is the store's and no client's business:
 * keys that collide on purpose would all have to be looked through.
 */
cairn_key_t cairn_key(uint64_t seed, const void *bytes, size_t count);

/** room for a message to a person from the functions that take `errmsg` */
#define CAIRN_ERRMSG_BYTES 512

#endif
