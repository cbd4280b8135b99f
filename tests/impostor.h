/*
 * tests/impostor.h - a server that answers what a test wants, true or not.
 *
 * It takes one connection at a time and answers each request with the next text; NULL closes the
 * connection without an answer instead.
 */
#ifndef CAIRN_TESTS_IMPOSTOR_H
#define CAIRN_TESTS_IMPOSTOR_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#define IMPOSTOR_REQUESTS_MAX 16
#define IMPOSTOR_REQUEST_BYTES 256

typedef struct st_impostor_t {
    const char *const *answers;
    int answer_count;
    int listen_fd;
    uint16_t port;
    int request_count;
    char requests[IMPOSTOR_REQUESTS_MAX][IMPOSTOR_REQUEST_BYTES]; /* how each began */
    pthread_t thread;
} impostor_t;

void impostor_start(impostor_t *impostor, const char *const *answers, int count);

/** Ends it; what it was asked may be looked at afterwards. */
void impostor_end(impostor_t *impostor);

/** Whether the request, counted from 0, began like this; prints how it did if not. */
bool impostor_was_asked(const impostor_t *impostor, int at, const char *begin);

/** A socket that listens on a free port of 127.0.0.1, where nobody accepts. */
int impostor_listen(uint16_t *port);

#endif
