/*
 * bench/batch.c - reads in batches: POST /v1/batch of cairn beside MGET of Redis.
 *
 * Both have the same keys and values and are read over TCP by the same client: a few connections,
 * one batch under way on each. Requests are made before the load begins, and answers are not taken
 * apart (a first pass checks them), because the client shares the machine with the servers. Rounds
 * alternate between the two. Beside the rate stands the processor time that the server's process
 * took: keys per second of it are what one core can do.
 */
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "bench/arguments.h"
#include "tests/http_client.h"

#define BATCH 100
#define VALUE_BYTES 100
#define CONNECTIONS 4
#define REQUESTS 2000
#define FILL 1000 /* keys a request when they are stored */
#define ROUNDS_MAX 99
#define ANSWER_BYTES_MAX 65536

typedef struct st_text_t {
    char *bytes;
    size_t count;
} text_t;

typedef struct st_server_t {
    const char *name;
    unsigned long port, pid;
    void (*fill)(const struct st_server_t *server, unsigned long keys);
    text_t (*make_request)(unsigned long keys);
    size_t (*receive)(int fd, char *bytes); /* one whole answer */
    bool (*is_right)(const char *answer);
    http_conn_t conns[CONNECTIONS];
    text_t requests[REQUESTS];
    double rates[ROUNDS_MAX], core_rates[ROUNDS_MAX]; /* keys a second; of processor time */
} server_t;

static void die(const char *what, const char *why)
{
    fprintf(stderr, "batch: %s: %s\n", what, why);
    exit(EXIT_FAILURE);
}

static uint64_t next_random(void)
{
    static uint64_t state = 88172645463325252u; /* xorshift64 */
    state ^= state << 13;
    state ^= state >> 7;
    return state ^= state << 17;
}

static void make_value(unsigned long number, char value[VALUE_BYTES + 1])
{
    uint64_t state = number * 0x9E3779B97F4A7C15u + 1;
    for (size_t i = 0; i != VALUE_BYTES; ++i) {
        state = state * 6364136223846793005u + 1442695040888963407u;
        value[i] = (char)('a' + (state >> 59) % 26);
    }
    value[VALUE_BYTES] = '\0';
}

/* ---------------------------------------------------------------- cairn */

static text_t post(text_t body)
{
    text_t request;
    FILE *out = open_memstream(&request.bytes, &request.count);
    fprintf(out,
            "POST /v1/batch HTTP/1.1\r\nHost: bench\r\nContent-Type: application/x-ndjson\r\n"
            "Content-Length: %zu\r\n\r\n",
            body.count);
    fwrite(body.bytes, 1, body.count, out);
    fclose(out);
    free(body.bytes);
    return request;
}

static text_t make_batch(unsigned long keys)
{
    text_t body;
    FILE *out = open_memstream(&body.bytes, &body.count);
    for (int i = 0; i < BATCH; ++i)
        fprintf(out, "{\"op\":\"get\",\"key\":\"key%08lu\"}\n",
                (unsigned long)(next_random() % keys));
    fclose(out);
    return post(body);
}

static size_t receive_some(int fd, char *bytes, size_t room)
{
    ssize_t got = room != 0 ? recv(fd, bytes, room, 0) : -1;
    if (got <= 0)
        die("answer", got == 0 ? "the server has closed" : strerror(errno));
    return (size_t)got;
}

static size_t receive_http(int fd, char *bytes)
{
    size_t count = 0, all = SIZE_MAX;
    while (count < all) {
        count += receive_some(fd, bytes + count, ANSWER_BYTES_MAX - count);
        bytes[count] = '\0';
        const char *end = all == SIZE_MAX ? strstr(bytes, "\r\n\r\n") : NULL;
        const char *length = end != NULL ? strcasestr(bytes, "\r\nContent-Length: ") : NULL;
        if (length != NULL)
            all = (size_t)(end + 4 - bytes) + strtoul(length + 18, NULL, 10);
    }
    return count;
}

static size_t occurrences(const char *text, const char *part)
{
    size_t count = 0;
    for (; (text = strstr(text, part)) != NULL; text += strlen(part))
        ++count;
    return count;
}

static bool is_batch(const char *answer)
{
    return occurrences(answer, "{\"status\":200,") == BATCH && occurrences(answer, "\n{") == BATCH;
}

static void fill_cairn(const server_t *server, unsigned long keys)
{
    char value[VALUE_BYTES + 1];
    http_conn_t conn;
    if (!http_open(&conn, (uint16_t)server->port))
        die("cairn", conn.error);
    for (unsigned long i = 0; i < keys; i += FILL) {
        text_t body;
        http_response_t res;
        FILE *out = open_memstream(&body.bytes, &body.count);
        for (unsigned long k = i; k < i + FILL && k < keys; ++k) {
            make_value(k, value);
            fprintf(out, "{\"op\":\"put\",\"key\":\"key%08lu\",\"value\":\"%s\"}\n", k, value);
        }
        fclose(out);
        if (!http_request(&conn, "POST", "/v1/batch", "Cairn-Durability: async\r\n", body.bytes,
                          body.count, &res))
            die("fill", conn.error);
        if (res.status != 200 || strstr(res.body, "\"code\"") != NULL)
            die("fill", res.body);
        http_response_dispose(&res);
        free(body.bytes);
    }
    http_close(&conn);
}

/* ---------------------------------------------------------------- Redis */

static text_t make_mget(unsigned long keys)
{
    text_t request;
    FILE *out = open_memstream(&request.bytes, &request.count);
    fprintf(out, "*%d\r\n$4\r\nMGET\r\n", BATCH + 1);
    for (int i = 0; i < BATCH; ++i)
        fprintf(out, "$11\r\nkey%08lu\r\n", (unsigned long)(next_random() % keys));
    fclose(out);
    return request;
}

/** "*100\r\n", and for each "$100\r\n" value "\r\n" */
#define MGET_ANSWER_BYTES (6 + BATCH * (6 + VALUE_BYTES + 2))

static size_t receive_mget(int fd, char *bytes)
{
    size_t count = 0;
    while (count < MGET_ANSWER_BYTES)
        count += receive_some(fd, bytes + count, MGET_ANSWER_BYTES - count);
    bytes[count] = '\0';
    return count;
}

static bool is_mget(const char *answer)
{
    return strncmp(answer, "*100\r\n", 6) == 0 && occurrences(answer, "$100\r\n") == BATCH;
}

static void fill_redis(const server_t *server, unsigned long keys)
{
    char value[VALUE_BYTES + 1], answer[8];
    http_conn_t conn;
    if (!http_open(&conn, (uint16_t)server->port))
        die("Redis", conn.error);
    for (unsigned long i = 0; i < keys; ++i) {
        char command[256];
        make_value(i, value);
        int n =
            snprintf(command, sizeof(command),
                     "*3\r\n$3\r\nSET\r\n$11\r\nkey%08lu\r\n$%d\r\n%s\r\n", i, VALUE_BYTES, value);
        if (!http_send(&conn, command, (size_t)n))
            die("Redis", conn.error);
        /* +OK: read now and then, since a pipe without end would fill up */
        if (i % FILL == FILL - 1 || i + 1 == keys)
            for (size_t left = 5 * (i % FILL + 1); left != 0;)
                left -=
                    receive_some(conn.fd, answer, left < sizeof(answer) ? left : sizeof(answer));
    }
    http_close(&conn);
}

/* ---------------------------------------------------------------- measuring */

static double seconds_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* processor time of a process, all its threads */
static double cpu_seconds(unsigned long pid)
{
    char path[64];
    unsigned long user = 0, system = 0;
    snprintf(path, sizeof(path), "/proc/%lu/stat", pid);
    FILE *file = fopen(path, "r");
    if (file == NULL ||
        fscanf(file, "%*d (%*[^)]) %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user,
               &system) != 2)
        die(path, "cannot be read");
    fclose(file);
    return (double)(user + system) / (double)sysconf(_SC_CLK_TCK);
}

static void send_one(server_t *server, http_conn_t *conn)
{
    const text_t *request = &server->requests[next_random() % REQUESTS];
    if (send(conn->fd, request->bytes, request->count, MSG_NOSIGNAL) != (ssize_t)request->count)
        die(server->name, "a request could not be sent whole");
}

/* keys read within this time; each connection always has a batch under way */
static uint64_t load(server_t *server, double seconds, bool checks)
{
    static char answer[ANSWER_BYTES_MAX + 1];
    uint64_t batches = 0;
    for (size_t i = 0; i < CONNECTIONS; ++i)
        send_one(server, &server->conns[i]);
    for (double end = seconds_now() + seconds; seconds_now() < end;)
        for (size_t i = 0; i < CONNECTIONS; ++i, ++batches) {
            server->receive(server->conns[i].fd, answer);
            if (checks && !server->is_right(answer))
                die(server->name, answer);
            send_one(server, &server->conns[i]);
        }
    for (size_t i = 0; i < CONNECTIONS; ++i, ++batches)
        server->receive(server->conns[i].fd, answer);
    return batches * BATCH;
}

static void measure(server_t *server, unsigned long round, double seconds)
{
    double cpu = cpu_seconds(server->pid), began = seconds_now();
    uint64_t keys = load(server, seconds, false);
    server->rates[round] = (double)keys / (seconds_now() - began);
    server->core_rates[round] = (double)keys / (cpu_seconds(server->pid) - cpu);
    fprintf(stderr, "round %lu  %-6s %9.0f keys/s  %9.0f keys per second and core\n", round + 1,
            server->name, server->rates[round], server->core_rates[round]);
}

static void prepare(server_t *server, unsigned long keys)
{
    server->fill(server, keys);
    for (size_t i = 0; i < REQUESTS; ++i)
        server->requests[i] = server->make_request(keys);
    for (size_t i = 0; i < CONNECTIONS; ++i)
        if (!http_open(&server->conns[i], (uint16_t)server->port))
            die(server->name, server->conns[i].error);
    load(server, 1, true);
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *values, unsigned long count)
{
    qsort(values, count, sizeof(*values), compare);
    return (values[(count - 1) / 2] + values[count / 2]) / 2;
}

int main(int argc, char **argv)
{
    static server_t cairn = {"cairn", .fill = fill_cairn, .make_request = make_batch,
                             .receive = receive_http, .is_right = is_batch};
    static server_t redis = {"Redis", .fill = fill_redis, .make_request = make_mget,
                             .receive = receive_mget, .is_right = is_mget};
    unsigned long keys, rounds, run_ms;
    if (argc != 8 || !parse_number(argv[1], 1, UINT16_MAX, &cairn.port) ||
        !parse_number(argv[2], 1, INT32_MAX, &cairn.pid) ||
        !parse_number(argv[3], 1, UINT16_MAX, &redis.port) ||
        !parse_number(argv[4], 1, INT32_MAX, &redis.pid) ||
        !parse_number(argv[5], 1, 100000000, &keys) ||
        !parse_number(argv[6], 1, ROUNDS_MAX, &rounds) ||
        !parse_number(argv[7], 1, 3600000, &run_ms)) {
        fprintf(stderr, "usage: batch CAIRN_PORT PID REDIS_PORT PID KEYS ROUNDS RUN_MS\n");
        return 2;
    }
    prepare(&cairn, keys);
    prepare(&redis, keys);
    for (unsigned long round = 0; round < rounds; ++round) {
        measure(round % 2 ? &redis : &cairn, round, (double)run_ms / 1000);
        measure(round % 2 ? &cairn : &redis, round, (double)run_ms / 1000);
    }
    printf("| server | keys/s | keys per second and core |\n|---|---:|---:|\n");
    printf("| cairn, POST /v1/batch | %.0f | %.0f |\n", median(cairn.rates, rounds),
           median(cairn.core_rates, rounds));
    printf("| Redis, MGET | %.0f | %.0f |\n", median(redis.rates, rounds),
           median(redis.core_rates, rounds));
    return EXIT_SUCCESS;
}
