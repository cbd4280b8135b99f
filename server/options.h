/*
 * server/options.h - every option there is.
 *
 * This table is the only place that knows an option's name, type, default, limits and help. The
 * fields of cairn_config_t, the schema that a config file is checked against, the flags of
 * `cairn serve`, its --help and configs/default.yaml all follow from it. To add an option, add a
 * row; `make test` then shows configs/default.yaml to be out of date.
 *
 * A row: X(field in cairn_config_t, section, name, type, default, least, most, help).
 * The field ends in its unit where the name alone would not say it. Least and most are inclusive,
 * in bytes, milliseconds or pieces; an option without limits has 0 for both.
 */
#ifndef CAIRN_SERVER_OPTIONS_H
#define CAIRN_SERVER_OPTIONS_H

#include <stdint.h>

#include "storage/types.h"

#define CAIRN_KIB ((uint64_t)1024)
#define CAIRN_MIB (1024 * CAIRN_KIB)
#define CAIRN_GIB (1024 * CAIRN_MIB)
#define CAIRN_SECOND_MS ((uint64_t)1000)
#define CAIRN_MINUTE_MS (60 * CAIRN_SECOND_MS)
#define CAIRN_HOUR_MS (60 * CAIRN_MINUTE_MS)
#define CAIRN_DAY_MS (24 * CAIRN_HOUR_MS)

/*
 * The types: T(name, type of the field in C, what --help calls its value).
 * An AUTO_COUNT is a count that may be "auto", kept as 0; a FILE_PATH may be empty, for no file.
 */
#define CAIRN_OPTION_TYPES(T)                                                                      \
    T(ADDRESS, char *, "ADDRESS")                                                                  \
    T(PATH, char *, "DIR")                                                                         \
    T(FILE_PATH, char *, "FILE")                                                                   \
    T(COUNT, uint64_t, "COUNT")                                                                    \
    T(AUTO_COUNT, uint64_t, "COUNT")                                                               \
    T(BYTES, uint64_t, "SIZE")                                                                     \
    T(DURATION, uint64_t, "TIME")                                                                  \
    T(DURABILITY, cairn_config_durability_t, "WORD")                                               \
    T(ACCESS_LOG, cairn_config_access_log_t, "WORD")                                               \
    T(LOG_LEVEL, cairn_log_level_t, "WORD")                                                        \
    T(OUTPUT, char *, "FILE")                                                                      \
    T(YES_NO, cairn_config_yes_no_t, "WORD")

/* When a write is answered: D(name, word). */
#define CAIRN_DURABILITIES(D)                                                                      \
    D(SYNC, "sync")                                                                                \
    D(ASYNC, "async")

/* What each line of the access log looks like: A(name, word). */
#define CAIRN_ACCESS_LOGS(A)                                                                       \
    A(OFF, "off")                                                                                  \
    A(COMMON, "common")                                                                            \
    A(JSON, "json")

/* Whether: Y(name, word). */
#define CAIRN_YES_NOS(Y)                                                                           \
    Y(NO, "no")                                                                                    \
    Y(YES, "yes")

/* clang-format off */

/* options that stand at the top of the file, in no section */
#define CAIRN_OPTIONS_TOP(X) \
    X(listen, , listen, ADDRESS, "127.0.0.1:8080", 0, 0, \
      "where to listen: HOST:PORT, [IPv6]:PORT, :PORT for all, or unix:/PATH; port 0 takes a free one") \
    X(workers, , workers, AUTO_COUNT, "auto", 1, 256, \
      "threads that serve requests; auto is one per core") \
    X(takeover, , takeover, YES_NO, "no", 0, 0, \
      "yes starts beside a running cairn, and serves as soon as that one has been told to stop")

#define CAIRN_OPTIONS_STORAGE(X) \
    X(storage_path, storage, path, PATH, "./data", 0, 0, \
      "directory that holds the data; \":memory:\" keeps everything in memory") \
    X(storage_segment_bytes, storage, segment_bytes, BYTES, "64MiB", \
      64 * CAIRN_KIB, 4 * CAIRN_GIB, \
      "size of a segment file; the largest value must fit into one") \
    X(storage_durability, storage, durability, DURABILITY, "sync", 0, 0, \
      "sync answers a write once it is on disk, async before that") \
    X(storage_sync_interval_ms, storage, sync_interval, DURATION, "100ms", \
      1, CAIRN_MINUTE_MS, \
      "an async write is on disk after this time at the latest") \
    X(storage_scrub_rate, storage, scrub_rate, BYTES, "20MiB", 0, CAIRN_GIB, \
      "what is verified each second in the background, to find rot before a reader does; 0B: nothing") \
    X(storage_checkpoint_bytes, storage, checkpoint_bytes, BYTES, "256MiB", \
      CAIRN_MIB, 1024 * CAIRN_GIB, \
      "log that a start replays at most: after so much, the index is written to disk") \
    X(storage_max_bytes, storage, max_bytes, BYTES, "0B", 0, 1024 * 1024 * CAIRN_GIB, \
      "room that all segments may take, four of them at least; beyond it writes are refused; 0B is no limit") \
    X(storage_tombstone_retention_ms, storage, tombstone_retention, DURATION, "1h", \
      0, 365 * CAIRN_DAY_MS, \
      "a delete is kept for so long, for those who follow changes; compaction then drops it") \
    X(storage_io_threads, storage, io_threads, COUNT, "4", 1, 64, \
      "threads that read what is not in memory")

#define CAIRN_OPTIONS_TLS(X) \
    X(tls_certificate, tls, certificate, FILE_PATH, "", 0, 0, \
      "file in PEM form with the certificate and its chain; empty serves plain HTTP") \
    X(tls_key, tls, key, FILE_PATH, "", 0, 0, \
      "file in PEM form with the key of the certificate; SIGHUP reads both again")

#define CAIRN_OPTIONS_LIMITS(X) \
    X(limits_value_bytes, limits, value_bytes, BYTES, "16MiB", 1, CAIRN_GIB, \
      "largest value; left out, it shrinks to what fits into a segment") \
    X(limits_connections, limits, connections, COUNT, "16384", 1, 1000000, \
      "clients connected at a time") \
    X(limits_queue_ops, limits, queue_ops, COUNT, "65536", 1, 10000000, \
      "writes that may wait for the disk; beyond it, clients are asked to come back") \
    X(limits_queue_bytes, limits, queue_bytes, BYTES, "256MiB", CAIRN_MIB, 64 * CAIRN_GIB, \
      "values that may wait for the disk; left out, it grows to hold the largest one") \
    X(limits_body_bytes, limits, body_bytes, BYTES, "1GiB", CAIRN_MIB, 64 * CAIRN_GIB, \
      "request bodies arriving at a time; beyond it, the largest are refused; left out, it grows to two values") \
    X(limits_read_rate, limits, read_rate, BYTES, "16KiB", 0, CAIRN_GIB, \
      "what a client takes of an answer each second, or it is cut off; 0B lets it take its time") \
    X(limits_batch_ops, limits, batch_ops, COUNT, "10000", 1, 16384, \
      "operations in one request to /v1/batch") \
    X(limits_idle_timeout_ms, limits, idle_timeout, DURATION, "60s", 100, CAIRN_HOUR_MS, \
      "a connection without a request is closed after this time") \
    X(limits_wait_ms, limits, wait, DURATION, "60s", 0, CAIRN_HOUR_MS, \
      "a request for changes may wait for one this long; who asks for more gets this") \
    X(limits_stall_ms, limits, stall, DURATION, "5s", 100, CAIRN_HOUR_MS, \
      "a stream of changes ends if its client takes nothing for this time") \
    X(limits_shutdown_timeout_ms, limits, shutdown_timeout, DURATION, "10s", \
      0, 10 * CAIRN_MINUTE_MS, \
      "requests under way may take this long to end when the server stops")

#define CAIRN_OPTIONS_LOG(X) \
    X(log_level, log, level, LOG_LEVEL, "info", 0, 0, \
      "what is said on standard error: errors only, warnings too, or also what goes as it should") \
    X(log_access, log, access, ACCESS_LOG, "off", 0, 0, \
      "a line for every request: in the Common Log Format, or a JSON object") \
    X(log_file, log, file, OUTPUT, "-", 0, 0, \
      "where the lines of requests go: a file, which is appended to; \"-\" is standard error")

/* clang-format on */

/* The sections, in the order of the file: S(name, its rows). */
#define CAIRN_SECTIONS(S)                                                                          \
    S(storage, CAIRN_OPTIONS_STORAGE)                                                              \
    S(tls, CAIRN_OPTIONS_TLS)                                                                      \
    S(limits, CAIRN_OPTIONS_LIMITS)                                                                \
    S(log, CAIRN_OPTIONS_LOG)

/* all rows */
#define CAIRN_OPTIONS(X)                                                                           \
    CAIRN_OPTIONS_TOP(X)                                                                           \
    CAIRN_OPTIONS_STORAGE(X) CAIRN_OPTIONS_TLS(X) CAIRN_OPTIONS_LIMITS(X) CAIRN_OPTIONS_LOG(X)

#endif
