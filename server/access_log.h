/*
 * server/access_log.h - a line for every request.
 *
 * The worker puts what happened into a ring of its own, which takes a copy and never waits; one
 * thread, the flusher, turns what lies in the rings into lines and writes them, at least ten times
 * a second. When lines come faster than they can be written, a ring is full and lines are dropped
 * and counted: a slow disk slows no request down. Lines of one worker are in order, those of
 * several are nearly.
 */
#ifndef CAIRN_SERVER_ACCESS_LOG_H
#define CAIRN_SERVER_ACCESS_LOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>
#include <sys/socket.h>

#include "server/config.h"

typedef struct st_cairn_access_log_t cairn_access_log_t;

/* a request that is over; the bytes are borrowed for the call */
typedef struct st_cairn_access_entry_t {
    struct timespec time; /* of its end */
    uint64_t duration_ns;
    uint64_t bytes;              /* of the body that was sent */
    int status;                  /* 0 if there was no answer */
    int http_version;            /* 0x101 for HTTP/1.1 */
    const struct sockaddr *peer; /* NULL if unknown */
    const char *method;
    size_t method_bytes;
    const char *target; /* as it came, with the query */
    size_t target_bytes;
    const char *token; /* its name; NULL if none was needed */
} cairn_access_entry_t;

/* longer ones are cut, and the line says so */
#define CAIRN_ACCESS_METHOD_BYTES_MAX 32
#define CAIRN_ACCESS_TARGET_BYTES_MAX 4096
/* no line is longer, whatever has to be escaped in it */
#define CAIRN_ACCESS_LINE_BYTES_MAX (4 * CAIRN_ACCESS_TARGET_BYTES_MAX + 1024)

typedef struct st_cairn_access_log_options_t {
    cairn_config_access_log_t format; /* not OFF */
    const char *file;                 /* "-" is standard error; copied */
    size_t ring_count;                /* one a worker */
    size_t ring_bytes;                /* a power of two; 0 takes what a server should have */
    /* a line about the log itself, from the flusher; NULL: none */
    void (*on_log)(void *ctx, cairn_log_level_t level, const char *line);
} cairn_access_log_options_t;

/**
 * Opens the file and starts the flusher. On failure says why: "open FILE: Permission denied".
 *
 * Owner: the caller closes it.
 */
bool cairn_access_log_open(cairn_access_log_t **log, const cairn_access_log_options_t *options,
                           char *errmsg, size_t errmsg_bytes);

/** Takes an entry, or drops and counts it. Threads: one at a time for each ring. Never waits. */
void cairn_access_log_add(cairn_access_log_t *log, size_t ring, const cairn_access_entry_t *entry);

/**
 * Soon opens the file anew, for those who have moved it away; the old one stays if that fails.
 * Lines added before this call are in the old file or the new one, none is lost. Threads: any.
 */
void cairn_access_log_reopen(cairn_access_log_t *log);

/** Lines made from now on are of this format, which is not OFF. Threads: any. */
void cairn_access_log_set_format(cairn_access_log_t *log, cairn_config_access_log_t format);

/** Lines dropped so far, NULL is none. Threads: any. */
uint64_t cairn_access_log_dropped(const cairn_access_log_t *log);

/**
 * Writes what is left, gives up on an output that takes nothing for two seconds, and frees the log.
 * Returns how many lines have been dropped in all. Nobody adds any more. NULL is none.
 */
uint64_t cairn_access_log_close(cairn_access_log_t *log);

/* ---- for the flusher and its tests: server/access_line.c ---- */

/* the second that was printed last, since printing the date costs more than the rest */
typedef struct st_cairn_access_clock_t {
    time_t second;
    char common[32];
    char iso[24];
} cairn_access_clock_t;

/**
 * Prints one line with its newline, ASCII whatever the entry holds. `clock` is zeroed before its
 * first use. Returns its bytes.
 *
 * common: the Common Log Format, the token's name as the user; in the request line ", \ and bytes
 * that cannot be seen are \", \\ and \xNN. json: in the target they are \", \\ and %NN, as a client
 * should have sent them.
 */
size_t cairn_access_line_print(cairn_config_access_log_t format, const cairn_access_entry_t *entry,
                               cairn_access_clock_t *clock, char line[CAIRN_ACCESS_LINE_BYTES_MAX]);

#endif
