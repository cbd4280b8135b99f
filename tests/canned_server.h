/*
 * tests/canned_server.h - a server for one connection, on a thread, that plays a list of steps.
 * What it is told to expect it compares byte for byte.
 */
#ifndef CAIRN_TESTS_CANNED_SERVER_H
#define CAIRN_TESTS_CANNED_SERVER_H

#include <pthread.h>

#include "tests/http_client.h"

typedef enum en_step_kind_t {
    STEP_END,
    STEP_EXPECT, /* read as many bytes as `text` has and compare them */
    STEP_SEND,
    STEP_DRIP, /* send byte by byte, each in its own packet */
    STEP_PAUSE,
    STEP_EXPECT_FIN,
    STEP_EXPECT_RESET,
    STEP_RESET, /* close with RST */
    STEP_LINGER /* keep the connection open until the client has closed it */
} step_kind_t;

typedef struct st_step_t {
    step_kind_t kind;
    const char *text;
    size_t bytes;
} step_t;

/* a step's text with its length, so that it may hold NUL */
#define TEXT(literal) (literal), sizeof(literal) - 1

typedef struct st_canned_t {
    pthread_t thread;
    int listener;
    uint16_t port;
    const step_t *steps;
    bool is_as_expected; /* the client did what the steps expect; read it after canned_finish() */
} canned_t;

/** Starts the server and connects to it. `steps` end with STEP_END and outlive the server. */
void canned_start(canned_t *canned, const step_t *steps, http_conn_t *conn);

/** Waits for its end; whether the client did what the steps expect. */
bool canned_finish(canned_t *canned);

#endif
