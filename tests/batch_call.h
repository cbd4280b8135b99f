/*
 * tests/batch_call.h - POST /v1/batch and what comes of it, in a line.
 */
#ifndef CAIRN_TESTS_BATCH_CALL_H
#define CAIRN_TESTS_BATCH_CALL_H

#include "tests/site.h"

#define BATCH "/v1/batch"
#define BATCH_ATOMIC "/v1/batch?atomic=true"
#define BATCH_OPS_MAX 10000

/** The body of a 200, which is asserted. Owner: the caller frees it. */
char *batch_ask(http_conn_t *conn, const char *target, const char *body, size_t body_bytes);

/** Whether the answer is this, where # stands for any version; prints what it is if not. */
bool batch_answers(http_conn_t *conn, const char *target, const char *body, const char *expected);

/** Whether it is refused with this problem about this line; 0: about none. */
bool batch_refuses(http_conn_t *conn, const char *target, const char *body, int status,
                   const char *code, int line);

/** The same of a body that has a NUL in it. */
bool batch_refuses_bytes(http_conn_t *conn, const char *target, const char *body, size_t bytes,
                         int status, const char *code, int line);

bool batch_has_none(http_conn_t *conn, const char *target);

/** Commits so far, once the writer is idle and has marked the last of them. */
long long batch_commit_count(http_conn_t *conn);

size_t batch_line_count(const char *text);

#endif
