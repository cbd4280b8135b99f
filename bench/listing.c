/*
 * bench/listing.c - a store to list, and how long its pages take.
 *
 *   fill DIR KEYS           puts so many keys into an empty store, in no order, and closes it
 *   pages PORT KEYS COUNT   lists the PAGE keys of a prefix, COUNT times, of prefixes anywhere;
 *                           prints the median and the 99th percentile in microseconds
 *   scan PORT KEYS          looks through all values for what is in none; prints values a second
 *
 * A key is its prefix, "GGGGGGGG/", and its place among the PAGE of that prefix.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "bench/arguments.h"
#include "bench/engine.h"
#include "tests/http_client.h"

#define PAGE 1000
#define BATCH 10000
#define KEYS_MAX 1000000000ul
#define COUNT_MAX 1000000ul
/** has no factor in common with a number of keys that is a power of ten */
#define STRIDE UINT64_C(7368787)

void engine_die(const char *engine, const char *what, const char *why)
{
    fprintf(stderr, "listing: %s: %s: %s\n", engine, what, why);
    exit(1);
}

/* ---------------------------------------------------------------- filling */

static void make_key(uint64_t number, uint8_t *key)
{
    char text[ENGINE_KEY_BYTES + 1];
    snprintf(text, sizeof(text), "%08x/%07x", (unsigned)(number / PAGE % UINT32_MAX),
             (unsigned)(number % PAGE));
    memcpy(key, text, ENGINE_KEY_BYTES);
}

static void fill(const char *path, uint64_t keys)
{
    static uint8_t key_bytes[BATCH * ENGINE_KEY_BYTES], value_bytes[BATCH * ENGINE_VALUE_BYTES];
    void *db = engine_cairn.open(path, keys);
    void *writer = engine_cairn.writer_create(db);
    memset(value_bytes, 'v', sizeof(value_bytes));
    for (uint64_t done = 0; done < keys;) {
        engine_batch_t batch = {.keys = key_bytes, .values = value_bytes};
        for (; batch.count < BATCH && done < keys; ++batch.count, ++done)
            make_key(done * STRIDE % keys, key_bytes + batch.count * ENGINE_KEY_BYTES);
        engine_cairn.put(writer, &batch, done == keys);
    }
    engine_cairn.writer_destroy(writer);
    engine_cairn.close(db);
}

/* ---------------------------------------------------------------- asking */

static double now_us(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (double)ts.tv_sec * 1e6 + (double)ts.tv_nsec / 1e3;
}

static http_conn_t connect_to(unsigned long port)
{
    http_conn_t conn;
    if (!http_open(&conn, (uint16_t)port))
        engine_die("cairn", "connect", conn.error);
    return conn;
}

static http_response_t get(http_conn_t *conn, const char *target)
{
    http_response_t res;
    if (!http_request(conn, "GET", target, NULL, NULL, 0, &res))
        engine_die("cairn", target, conn->error);
    if (res.status != 200)
        engine_die("cairn", target, res.body);
    return res;
}

static unsigned count_lines(const http_response_t *res)
{
    unsigned lines = 0;
    for (size_t i = 0; i < res->body_bytes; ++i)
        lines += res->body[i] == '\n';
    return lines;
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void time_pages(unsigned long port, unsigned long keys, unsigned long count)
{
    http_conn_t conn = connect_to(port);
    double *took = malloc(count * sizeof(*took));
    if (took == NULL)
        engine_die("listing", "pages", "no memory");
    for (unsigned long i = 0; i < count; ++i) {
        char target[64];
        snprintf(target, sizeof(target), "/v1/keys?prefix=%08x/&limit=%d",
                 (unsigned)(i * STRIDE % (keys / PAGE)), PAGE);
        double begin = now_us();
        http_response_t res = get(&conn, target);
        took[i] = now_us() - begin;
        if (count_lines(&res) != PAGE)
            engine_die("cairn", target, "the page has not all keys of its prefix");
        http_response_dispose(&res);
    }
    qsort(took, count, sizeof(*took), compare);
    printf("%.0f %.0f\n", took[count / 2], took[count * 99 / 100]);
    free(took);
    http_close(&conn);
}

/** the target of Link: <TARGET>; rel="next"; false on the last page */
static bool follow(const http_response_t *res, char *target, size_t room)
{
    const char *link = http_header(res, "Link");
    if (link == NULL)
        return false;
    snprintf(target, room, "%.*s", (int)strcspn(link + 1, ">"), link + 1);
    return true;
}

static void time_scan(unsigned long port, unsigned long keys)
{
    http_conn_t conn = connect_to(port);
    char target[128] = "/v1/scan?contains=nowhere";
    double begin = now_us();
    bool goes_on = true;
    while (goes_on) {
        http_response_t res = get(&conn, target);
        if (res.body_bytes != 0)
            engine_die("cairn", target, "it found what is not there");
        goes_on = follow(&res, target, sizeof(target));
        http_response_dispose(&res);
    }
    printf("%.0f\n", (double)keys / (now_us() - begin) * 1e6);
    http_close(&conn);
}

static int usage(void)
{
    fprintf(stderr, "usage: listing fill DIR KEYS | pages PORT KEYS COUNT | scan PORT KEYS\n");
    return 2;
}

int main(int argc, char **argv)
{
    unsigned long keys, port, count;
    if (argc < 4 || !parse_number(argv[3], PAGE, KEYS_MAX, &keys) || keys % PAGE != 0)
        return usage();
    if (strcmp(argv[1], "fill") == 0)
        fill(argv[2], keys);
    else if (!parse_number(argv[2], 1, UINT16_MAX, &port))
        return usage();
    else if (strcmp(argv[1], "pages") == 0 && argc == 5 &&
             parse_number(argv[4], 1, COUNT_MAX, &count))
        time_pages(port, keys, count);
    else if (strcmp(argv[1], "scan") == 0)
        time_scan(port, keys);
    else
        return usage();
    return 0;
}
