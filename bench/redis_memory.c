/*
 * bench/redis_memory.c - how much memory Redis takes for some keys.
 *
 * SETs go out in pipelines: one write of many commands, then as many answers are awaited.
 */
#include "bench/redis_memory.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "bench/engine.h"

#define PIPELINE 500
/** "*3\r\n$3\r\nSET\r\n$16\r\n" key "\r\n$100\r\n" value "\r\n", with room to spare */
#define COMMAND_BYTES_MAX (64 + ENGINE_KEY_BYTES + ENGINE_VALUE_BYTES)
#define OK_ANSWER "+OK\r\n"
#define INFO_BYTES_MAX 65536

static void die(const char *what)
{
    engine_die("Redis", what, errno != 0 ? strerror(errno) : "an unexpected answer");
}

static int connect_to(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (strlen(path) >= sizeof(address.sun_path))
        engine_die("Redis", path, "the path of the socket is too long");
    strcpy(address.sun_path, path);
    if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof(address)) != 0)
        die("connect");
    return fd;
}

static void send_all(int fd, const char *bytes, size_t count)
{
    while (count != 0) {
        ssize_t sent = write(fd, bytes, count);
        if (sent < 0 && errno == EINTR)
            continue;
        if (sent <= 0)
            die("write");
        bytes += sent;
        count -= (size_t)sent;
    }
}

static void receive(int fd, char *bytes, size_t count)
{
    while (count != 0) {
        ssize_t got = read(fd, bytes, count);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            die("read");
        bytes += got;
        count -= (size_t)got;
    }
}

/** reads up to and without the end of the line */
static void receive_line(int fd, char *line, size_t room)
{
    size_t count = 0;
    do {
        if (count + 1 >= room)
            die("a line that is too long");
        receive(fd, line + count, 1);
    } while (line[count++] != '\n');
    line[count] = '\0';
}

static uint64_t used_memory(int fd)
{
    static const char command[] = "*2\r\n$4\r\nINFO\r\n$6\r\nmemory\r\n";
    static const char field[] = "used_memory:";
    static char info[INFO_BYTES_MAX];
    send_all(fd, command, sizeof(command) - 1);
    receive_line(fd, info, sizeof(info));
    size_t count = info[0] == '$' ? strtoul(info + 1, NULL, 10) : 0;
    errno = 0;
    if (count == 0 || count + 3 > sizeof(info))
        die("INFO");
    receive(fd, info, count + 2);
    info[count + 2] = '\0';
    const char *found = strstr(info, field);
    if (found == NULL)
        die("INFO");
    return strtoull(found + sizeof(field) - 1, NULL, 10);
}

static size_t append_set(char *at, const uint8_t *key, const uint8_t *value)
{
    char *begin = at;
    at += sprintf(at, "*3\r\n$3\r\nSET\r\n$%d\r\n", ENGINE_KEY_BYTES);
    memcpy(at, key, ENGINE_KEY_BYTES);
    at += ENGINE_KEY_BYTES;
    at += sprintf(at, "\r\n$%d\r\n", ENGINE_VALUE_BYTES);
    memcpy(at, value, ENGINE_VALUE_BYTES);
    at += ENGINE_VALUE_BYTES;
    memcpy(at, "\r\n", 2);
    return (size_t)(at + 2 - begin);
}

static void await_ok(int fd, size_t answers)
{
    static char got[PIPELINE * (sizeof(OK_ANSWER) - 1)];
    receive(fd, got, answers * (sizeof(OK_ANSWER) - 1));
    errno = 0;
    for (size_t i = 0; i < answers; ++i)
        if (memcmp(got + i * (sizeof(OK_ANSWER) - 1), OK_ANSWER, sizeof(OK_ANSWER) - 1) != 0)
            die("SET");
}

static void store(int fd, uint64_t count, redis_make_cb make)
{
    static char commands[PIPELINE * COMMAND_BYTES_MAX];
    uint8_t key[ENGINE_KEY_BYTES], value[ENGINE_VALUE_BYTES];
    for (uint64_t number = 0; number < count;) {
        size_t bytes = 0, answers = 0;
        for (; answers < PIPELINE && number < count; ++answers, ++number) {
            make(number, key, value);
            bytes += append_set(commands + bytes, key, value);
        }
        send_all(fd, commands, bytes);
        await_ok(fd, answers);
    }
}

uint64_t redis_memory_of(const char *socket_path, uint64_t count, redis_make_cb make)
{
    int fd = connect_to(socket_path);
    uint64_t before = used_memory(fd);
    store(fd, count, make);
    uint64_t after = used_memory(fd);
    close(fd);
    return after - before;
}
