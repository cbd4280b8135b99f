/*
 * tests/site.h - a server of one's own, and exchanges with it that fit on a line.
 *
 * A suite keeps one site: site_start() in its init, site_end() in its cleanup. What a test cannot
 * go on without is asserted here with CUnit's _FATAL, so an exchange that fails ends the test with
 * the client's error printed.
 */
#ifndef CAIRN_TESTS_SITE_H
#define CAIRN_TESTS_SITE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include "tests/http_client.h"
#include "tests/server_process.h"
#include "tests/temp_dir.h"

typedef struct st_site_t {
    temp_dir_t dir;
    char data[280]; /* the server's data directory, inside `dir`; or ":memory:" */
    server_process_t server;
} site_t;

/**
 * Makes a directory and starts a server on it; `extra_args` as for server_start(). For
 * CU_add_suite(), so 0 is success, and a failure is printed.
 */
int site_start(site_t *site, temp_dir_place_t place, const char *const *extra_args);

/** The same with everything in memory, on nothing but its port. */
int site_start_in_memory(site_t *site, const char *const *extra_args);

/** Starts it again on what is there, after site->server has ended. */
void site_start_again(site_t *site, const char *const *extra_args);

/** Stops the server, which must end in order, and removes the directory. 0 is success. */
int site_end(site_t *site);

/** A port of 127.0.0.1 that was free a moment ago; 0 if there is none. */
uint16_t site_free_port(void);

/** Connects. */
void site_open(const site_t *site, http_conn_t *conn);

/** One exchange; the caller disposes the answer. */
void exchange(http_conn_t *conn, const char *method, const char *target, const char *headers,
              const void *body, size_t body_bytes, http_response_t *res);

/** One exchange of which only the status counts. */
int exchange_status(http_conn_t *conn, const char *method, const char *target, const char *headers,
                    const void *body, size_t body_bytes);

/** One exchange that must have this status; the version in its ETag, 0 if there is none. */
uint64_t exchange_version(http_conn_t *conn, const char *method, const char *target,
                          const char *headers, const char *body, int status);

/** Whether one exchange ends in this problem, on a connection that lives on. */
bool exchange_is_problem(http_conn_t *conn, const char *method, const char *target,
                         const char *headers, const char *body, int status, const char *code);

/** Whether a GET gives this text, or these bytes; prints what it gives if not. */
bool exchange_gives(http_conn_t *conn, const char *target, const char *text);
bool exchange_gives_bytes(http_conn_t *conn, const char *target, const void *bytes, size_t count);

/** Sends these bytes as they are and reads one answer. */
void exchange_raw(http_conn_t *conn, const void *bytes, size_t count, const char *method,
                  http_response_t *res);

/** Whether the server answers a GET of / on a connection of its own. */
bool site_answers(const site_t *site);

/**
 * Whether this is a problem (RFC 9457) with this status and code and all its members; prints what
 * it is if not. The answer to a HEAD has no body to look into: then only the headers count.
 */
bool is_problem(const http_response_t *res, int status, const char *code);

/** Whether the problem's detail contains this. */
bool detail_has(const http_response_t *res, const char *text);

/** Whether there is such a header and it says exactly this; prints what it says if not. */
bool header_is(const http_response_t *res, const char *name, const char *expected);

/** A header line with this version as its ETag, in memory that the next few calls reuse. */
const char *tagged(const char *name, uint64_t version);

/** A header line with this date, likewise. */
const char *dated(const char *name, time_t t);

/** The date that a header of an answer has. */
time_t date_of(const http_response_t *res, const char *name);

/** Whether the body is these bytes. */
bool body_is(const http_response_t *res, const void *bytes, size_t count);

/** The version in the ETag; 0 unless it is digits in quotes. */
uint64_t version_of(const http_response_t *res);

/** What /metrics says of this one, without labels; -1 if nothing. */
double site_metric(http_conn_t *conn, const char *name);

/** Whether it comes to this value soon; prints what it is if not. */
bool site_metric_comes_to(http_conn_t *conn, const char *name, double value);

/** Descriptors that a process has open. */
size_t open_fd_count(pid_t pid);

/**
 * Descriptors of a server that has been written to, once it has what it keeps open: the segment it
 * writes, which the first write opens, and the one made ahead, which takes a while; and nothing
 * that it is making meanwhile. What clients cost is on top of that.
 */
size_t fd_base_line(pid_t pid);

/** Whether the count comes down to `count` soon, as the server notices that clients have gone. */
bool fd_count_comes_to(pid_t pid, size_t count);

/** Bytes that repeat with no period a server could hide behind. Owner: the caller frees them. */
char *noise(size_t count, uint64_t seed);

int64_t monotonic_ms(void);
void sleep_ms(unsigned ms);

#endif
