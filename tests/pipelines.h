/*
 * tests/pipelines.h - requests sent without waiting for their answers, by chance.
 *
 * Threads: values are made before others look at them, and put on CUnit's; the rest on any.
 */
#ifndef CAIRN_TESTS_PIPELINES_H
#define CAIRN_TESTS_PIPELINES_H

#include "tests/seed.h"
#include "tests/site.h"

/** requests of one pipeline, at most */
#define PIPELINE_LONGEST 200
#define PIPELINE_BYTES_MAX ((size_t)64 << 10)
/** values of all sizes that are handled differently */
#define PIPELINE_VALUES 11

/** what a request must be answered with */
typedef struct st_pipeline_expected_t {
    const char *method;
    int status; /* 0: any that is a success */
    int value;  /* its body; -1: any */
} pipeline_expected_t;

typedef struct st_pipeline_t {
    char text[PIPELINE_BYTES_MAX];
    size_t bytes;
    pipeline_expected_t expected[PIPELINE_LONGEST];
    size_t count;
    bool ends_in_error; /* the server closes: what it has not read by then would be a reset */
    const char *first_header;
} pipeline_t;

/** The values, in memory, and their end. */
void pipeline_values_make(void);
void pipeline_values_dispose(void);

/** Writes them under their numbers as keys. */
void pipeline_values_put(http_conn_t *conn, const char *headers);

/** Whether the body of an answer is this value. */
bool pipeline_is_value(const http_response_t *res, int value);

/** Makes a pipeline; `first_header` is a line that all requests have, or "", and stays. */
void pipeline_fill(pipeline_t *line, random_t *random, const char *first_header);

/** Whether an answer is the one expected. */
bool pipeline_is_answer(const http_response_t *res, const pipeline_expected_t *expected);

#endif
