/*
 * bench/fill.c - stores the keys that the benchmark reads.
 *
 * PUTs key00000000, key00000001, ... over a few keep-alive connections, one thread each, so that
 * the server can gather their writes into group commits. Ends with an error at the first PUT that
 * is not answered with 201 or 204.
 */
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/arguments.h"
#include "tests/http_client.h"

#define CONNECTIONS 64
#define COUNT_MAX 100000000
#define VALUE_BYTES_MAX (16 << 20)

typedef struct st_filler_t {
    pthread_t thread;
    http_conn_t conn;
    unsigned long first; /* then every CONNECTIONS-th key */
    unsigned long count;
    size_t value_bytes;
} filler_t;

static void die(const char *what, const char *why)
{
    fprintf(stderr, "fill: %s: %s\n", what, why);
    exit(EXIT_FAILURE);
}

/* printable bytes that differ from key to key, so that nothing downstream can save work on them */
static void make_value(char *value, size_t bytes, unsigned long seed)
{
    uint64_t state = seed * 0x9E3779B97F4A7C15u + 1;
    for (size_t i = 0; i != bytes; ++i) {
        state = state * 6364136223846793005u + 1442695040888963407u;
        value[i] = (char)('0' + (state >> 58)); /* 64 characters from '0' on */
    }
}

static void put(http_conn_t *conn, unsigned long number, const char *value, size_t bytes)
{
    char target[64], status[32];
    http_response_t res;
    snprintf(target, sizeof(target), "/v1/kv/key%08lu", number);
    if (!http_request(conn, "PUT", target, NULL, value, bytes, &res))
        die(target, conn->error);
    snprintf(status, sizeof(status), "status %d", res.status);
    if (res.status != 201 && res.status != 204)
        die(target, status);
    http_response_dispose(&res);
}

static void *run_filler(void *arg)
{
    filler_t *filler = arg;
    char *value = malloc(filler->value_bytes + 1);
    if (value == NULL)
        die("value", "out of memory");
    for (unsigned long i = filler->first; i < filler->count; i += CONNECTIONS) {
        make_value(value, filler->value_bytes, i);
        put(&filler->conn, i, value, filler->value_bytes);
    }
    free(value);
    http_close(&filler->conn);
    return NULL;
}

int main(int argc, char **argv)
{
    static filler_t fillers[CONNECTIONS];
    unsigned long port, count, value_bytes;
    if (argc != 4 || !parse_number(argv[1], 1, UINT16_MAX, &port) ||
        !parse_number(argv[2], 1, COUNT_MAX, &count) ||
        !parse_number(argv[3], 0, VALUE_BYTES_MAX, &value_bytes)) {
        fprintf(stderr, "usage: fill PORT COUNT BYTES\n"
                        "Stores COUNT keys with values of BYTES bytes in the server on "
                        "127.0.0.1:PORT.\n");
        return 2;
    }
    for (unsigned long i = 0; i != CONNECTIONS; ++i) {
        filler_t *filler = &fillers[i];
        filler->first = i;
        filler->count = count;
        filler->value_bytes = value_bytes;
        if (!http_open(&filler->conn, (uint16_t)port))
            die("connection", filler->conn.error);
        if (pthread_create(&filler->thread, NULL, run_filler, filler) != 0)
            die("thread", "cannot be started");
    }
    for (unsigned long i = 0; i != CONNECTIONS; ++i)
        pthread_join(fillers[i].thread, NULL);
    return EXIT_SUCCESS;
}
