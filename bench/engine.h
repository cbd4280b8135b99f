/*
 * bench/engine.h - what the benchmark asks of a database in the same process.
 *
 * Keys are ENGINE_KEY_BYTES long, values ENGINE_VALUE_BYTES. A function that fails prints why and
 * ends the program: a benchmark has nothing better to do.
 *
 * Threads: each thread that reads has a reader, each that writes a writer, made and ended by it.
 */
#ifndef CAIRN_BENCH_ENGINE_H
#define CAIRN_BENCH_ENGINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ENGINE_KEY_BYTES 16
#define ENGINE_VALUE_BYTES 100

/** keys and values, one behind the other */
typedef struct st_engine_batch_t {
    const uint8_t *keys;
    const uint8_t *values;
    size_t count;
} engine_batch_t;

typedef struct st_engine_t {
    const char *name;
    const char *settings; /* all that differs from the library's defaults, in words */

    /** Makes an empty database in an empty directory that will hold about `keys` keys. */
    void *(*open)(const char *path, uint64_t keys);
    void (*close)(void *db);

    /* reading; all NULL if it cannot */
    void *(*reader_create)(void *db);
    void (*reader_destroy)(void *reader);

    /** Finds a value; false if there is none. It stays until release(). */
    bool (*get)(void *reader, const uint8_t *key, const uint8_t **value, size_t *count);

    /** What was got is no longer needed, and the next get sees the newest data. */
    void (*release)(void *reader);

    void *(*writer_create)(void *db);
    void (*writer_destroy)(void *writer);

    /** Puts a batch. If `durable`, returns after it has been synced to the disk. */
    void (*put)(void *writer, const engine_batch_t *batch, bool durable);

    /** After the load: whatever makes the reads that follow faster; NULL if nothing does. */
    void (*settle)(void *db);

    /* what the engine tells of itself; NULL if it does not */
    uint64_t (*syncs)(void *db);       /* of its log, so far */
    uint64_t (*index_bytes)(void *db); /* of memory that its index holds */
} engine_t;

extern const engine_t engine_cairn, engine_lmdb, engine_rocksdb, engine_leveldb, engine_file;

/** Prints a message and ends the program. */
void engine_die(const char *engine, const char *what, const char *why) __attribute__((noreturn));

/** Bytes of block cache for so many keys: all of them fit, and never less than 1 GiB. */
size_t engine_cache_bytes(uint64_t keys);

#endif
