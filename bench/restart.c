/*
 * bench/restart.c - stores to start on, and how long a server takes until it is ready.
 *
 *   fill DIR KEYS              puts so many keys into an empty store and closes it
 *   overwrite DIR KEYS BYTES   writes so many bytes of log over keys anywhere in it, and is killed
 *   fill-redis SOCKET KEYS     the same keys and values into an empty Redis
 *   time ADDRESS SIGNAL COMMAND...
 *                              runs a server, prints the milliseconds from its start to its first
 *                              "ready", then ends it with the signal. ADDRESS is a port of
 *                              127.0.0.1 (cairn: GET /readyz is 204) or the path of a Unix socket
 *                              (Redis: PING is PONG)
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "bench/arguments.h"
#include "bench/engine.h"
#include "bench/redis_memory.h"

#define BATCH 10000
#define BYTES_MAX ((unsigned long)1 << 40)
/** of log that a key with its value takes: a head of 48 bytes, padded */
#define RECORD_BYTES 168
/** between two questions whether the server is ready */
#define POLL_NS 500000
#define READY_SECONDS 600

void engine_die(const char *engine, const char *what, const char *why)
{
    fprintf(stderr, "restart: %s: %s: %s\n", engine, what, why);
    exit(1);
}

/* ---------------------------------------------------------------- filling */

/** the finaliser of SplitMix64 */
static uint64_t mix(uint64_t x)
{
    x += UINT64_C(0x9e3779b97f4a7c15);
    x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
    return x ^ x >> 31;
}

static void make(uint64_t number, uint8_t *key, uint8_t *value)
{
    uint64_t words[2] = {mix(number), mix(~number)};
    memcpy(key, words, ENGINE_KEY_BYTES);
    for (size_t at = 0; at < ENGINE_VALUE_BYTES; ++at)
        value[at] = (uint8_t)(words[at / 8 % 2] >> at % 8 * 8);
}

/** `count` puts of keys below `keys`, one after the other or anywhere; on disk when it returns */
static void put_all(void *db, uint64_t keys, uint64_t count, bool anywhere)
{
    static uint8_t key_bytes[BATCH * ENGINE_KEY_BYTES], value_bytes[BATCH * ENGINE_VALUE_BYTES];
    void *writer = engine_cairn.writer_create(db);
    for (uint64_t done = 0; done < count;) {
        engine_batch_t batch = {.keys = key_bytes, .values = value_bytes};
        for (; batch.count < BATCH && done < count; ++batch.count, ++done)
            make(anywhere ? mix(done + keys) % keys : done,
                 key_bytes + batch.count * ENGINE_KEY_BYTES,
                 value_bytes + batch.count * ENGINE_VALUE_BYTES);
        engine_cairn.put(writer, &batch, done == count);
    }
    engine_cairn.writer_destroy(writer);
}

static void fill(const char *path, uint64_t keys)
{
    void *db = engine_cairn.open(path, keys);
    put_all(db, keys, keys, false);
    engine_cairn.close(db);
}

static void overwrite(const char *path, uint64_t keys, uint64_t bytes)
{
    put_all(engine_cairn.open(path, keys), keys, bytes / RECORD_BYTES, true);
    raise(SIGKILL);
}

/* ---------------------------------------------------------------- until it is ready */

static int connect_to(const char *address)
{
    struct sockaddr_in tcp = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct sockaddr_un local = {.sun_family = AF_UNIX};
    bool is_path = address[0] == '/';
    int fd = socket(is_path ? AF_UNIX : AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    tcp.sin_port = htons((uint16_t)atoi(address));
    snprintf(local.sun_path, sizeof(local.sun_path), "%s", address);
    int r = is_path ? connect(fd, (struct sockaddr *)&local, sizeof(local))
                    : connect(fd, (struct sockaddr *)&tcp, sizeof(tcp));
    if (r != 0) {
        close(fd);
        return -1;
    }
    return fd;
}

static bool is_ready(const char *address)
{
    static const char get[] = "GET /readyz HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n";
    bool is_redis = address[0] == '/';
    const char *question = is_redis ? "PING\r\n" : get;
    const char *yes = is_redis ? "+PONG" : "HTTP/1.1 204";
    char answer[16] = "";
    int fd = connect_to(address);
    if (fd < 0)
        return false;
    if (write(fd, question, strlen(question)) == (ssize_t)strlen(question) &&
        recv(fd, answer, sizeof(answer) - 1, MSG_WAITALL * !is_redis) < 0)
        answer[0] = '\0';
    close(fd);
    return strncmp(answer, yes, strlen(yes)) == 0;
}

static double now_ms(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (double)ts.tv_sec * 1e3 + (double)ts.tv_nsec / 1e6;
}

/** quiet: what the server says is for its own log */
static pid_t run(char **command)
{
    pid_t pid = fork();
    if (pid != 0)
        return pid;
    int null = open("/dev/null", O_WRONLY);
    dup2(null, STDOUT_FILENO);
    execvp(command[0], command);
    engine_die(command[0], "exec", strerror(errno));
}

static void time_start(const char *address, int signal_number, char **command)
{
    struct timespec poll = {.tv_nsec = POLL_NS};
    double begin = now_ms();
    pid_t pid = run(command);
    if (pid < 0)
        engine_die(command[0], "fork", strerror(errno));
    while (!is_ready(address)) {
        if (waitpid(pid, NULL, WNOHANG) != 0 || now_ms() - begin > READY_SECONDS * 1e3)
            engine_die(command[0], "start", "it has ended, or does not get ready");
        nanosleep(&poll, NULL);
    }
    printf("%.1f\n", now_ms() - begin);
    kill(pid, signal_number);
    waitpid(pid, NULL, 0);
}

static int usage(void)
{
    fprintf(stderr, "usage: restart fill DIR KEYS | overwrite DIR KEYS BYTES |\n"
                    "               fill-redis SOCKET KEYS | time ADDRESS SIGNAL COMMAND...\n");
    return 2;
}

int main(int argc, char **argv)
{
    unsigned long number, bytes;
    if (argc >= 5 && strcmp(argv[1], "time") == 0 && parse_number(argv[3], 1, 64, &number))
        time_start(argv[2], (int)number, argv + 4);
    else if (argc < 4 || !parse_number(argv[3], 1, BYTES_MAX, &number))
        return usage();
    else if (strcmp(argv[1], "fill") == 0)
        fill(argv[2], number);
    else if (strcmp(argv[1], "fill-redis") == 0)
        redis_memory_of(argv[2], number, make);
    else if (strcmp(argv[1], "overwrite") == 0 && argc == 5 &&
             parse_number(argv[4], RECORD_BYTES, BYTES_MAX, &bytes))
        overwrite(argv[2], number, bytes);
    else
        return usage();
    return 0;
}
