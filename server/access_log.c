/*
 * server/access_log.c - the rings, the flusher and its file.
 *
 * A ring is bytes: a record's head, its method, target and token's name, the next head. The worker
 * moves `head`, the flusher moves `tail`; both only grow, and their difference is what lies in it.
 */
#include "server/access_log.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "server/clock.h"

/* 1 MiB: ten thousand requests, more than a worker answers between two flushes */
#define RING_BYTES ((size_t)1 << 20)
/* lines are written in pieces of at least this, as long as there are so many */
#define BATCH_BYTES ((size_t)256 << 10)
/* a line is on its way after this time at the latest */
#define FLUSH_MS 100
/* how long an output that takes nothing may hold up the end of the process */
#define CLOSE_MS 2000

typedef struct st_record_t {
    struct timespec time;
    uint64_t duration_ns;
    uint64_t bytes;
    int32_t status;
    uint16_t http_version;
    uint16_t peer_family; /* 0: unknown */
    uint8_t peer[16];
    uint32_t method_bytes, target_bytes; /* as they were; no more than allowed follow */
    uint32_t token_bytes;
    bool has_token;
} record_t;

typedef struct st_ring_t {
    _Alignas(64) atomic_size_t head; /* the worker's; release, pairs with the flusher's acquire */
    _Atomic uint64_t dropped;        /* the worker's */
    _Alignas(64) atomic_size_t tail; /* the flusher's; release, pairs with the worker's acquire */
    char *bytes;
} ring_t;

struct st_cairn_access_log_t {
    cairn_access_log_options_t options;
    ring_t *rings;
    int bell;                  /* an eventfd: a ring is half full, or there is an order */
    atomic_bool bell_has_rung; /* since the flusher last looked */
    atomic_bool must_reopen;
    atomic_bool is_closing;
    _Atomic cairn_config_access_log_t format; /* relaxed: a line sooner or later is the same */
    _Atomic uint64_t lost;                    /* lines that could not be written */
    pthread_t flusher;
    /* the flusher's own */
    int fd;
    bool is_file;           /* always ready, unlike a pipe or a terminal */
    bool is_failing;        /* and that has been said */
    bool is_torn;           /* the last line written lacks its end */
    uint64_t give_up_at_ms; /* once closing and waiting; 0 before */
    bool has_given_up;
    cairn_access_clock_t clock;
    char *file; /* a copy: a reload may free the config that named it */
    char *batch;
    size_t batch_bytes;
};

static size_t least_of(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* ---------------------------------------------------------------- a ring */

static void copy_in(ring_t *ring, size_t ring_bytes, size_t *at, const void *from, size_t count)
{
    size_t offset = *at & (ring_bytes - 1), first = least_of(count, ring_bytes - offset);

    memcpy(ring->bytes + offset, from, first);
    memcpy(ring->bytes, (const char *)from + first, count - first);
    *at += count;
}

static void copy_out(const ring_t *ring, size_t ring_bytes, size_t *at, void *to, size_t count)
{
    size_t offset = *at & (ring_bytes - 1), first = least_of(count, ring_bytes - offset);

    memcpy(to, ring->bytes + offset, first);
    memcpy((char *)to + first, ring->bytes, count - first);
    *at += count;
}

static void take_peer(record_t *record, const struct sockaddr *peer)
{
    if (peer == NULL)
        return;
    record->peer_family = peer->sa_family;
    if (peer->sa_family == AF_INET)
        memcpy(record->peer, &((const struct sockaddr_in *)peer)->sin_addr, 4);
    else if (peer->sa_family == AF_INET6)
        memcpy(record->peer, &((const struct sockaddr_in6 *)peer)->sin6_addr, 16);
}

static void ring_bell(cairn_access_log_t *log)
{
    uint64_t one = 1;

    /* an eventfd takes this at once; it could only refuse after 2^64 - 2 of them */
    if (!atomic_exchange_explicit(&log->bell_has_rung, true, memory_order_relaxed) &&
        write(log->bell, &one, sizeof(one)) < 0)
        atomic_store_explicit(&log->bell_has_rung, false, memory_order_relaxed);
}

void cairn_access_log_add(cairn_access_log_t *log, size_t number, const cairn_access_entry_t *entry)
{
    ring_t *ring = &log->rings[number];
    const size_t ring_bytes = log->options.ring_bytes;
    size_t head = atomic_load_explicit(&ring->head, memory_order_relaxed);
    size_t used = head - atomic_load_explicit(&ring->tail, memory_order_acquire);
    size_t method_bytes = least_of(entry->method_bytes, CAIRN_ACCESS_METHOD_BYTES_MAX);
    size_t target_bytes = least_of(entry->target_bytes, CAIRN_ACCESS_TARGET_BYTES_MAX);
    record_t record;

    memset(&record, 0, sizeof(record));
    record.time = entry->time;
    record.duration_ns = entry->duration_ns;
    record.bytes = entry->bytes;
    record.status = entry->status;
    record.http_version = (uint16_t)entry->http_version;
    record.method_bytes = (uint32_t)least_of(entry->method_bytes, UINT32_MAX);
    record.target_bytes = (uint32_t)least_of(entry->target_bytes, UINT32_MAX);
    record.has_token = entry->token != NULL;
    record.token_bytes = record.has_token ? (uint32_t)strlen(entry->token) : 0;
    assert(record.token_bytes <= CAIRN_TOKEN_NAME_BYTES_MAX);
    take_peer(&record, entry->peer);
    if (ring_bytes - used < sizeof(record) + method_bytes + target_bytes + record.token_bytes) {
        atomic_fetch_add_explicit(&ring->dropped, 1, memory_order_relaxed);
        return;
    }
    copy_in(ring, ring_bytes, &head, &record, sizeof(record));
    copy_in(ring, ring_bytes, &head, entry->method, method_bytes);
    copy_in(ring, ring_bytes, &head, entry->target, target_bytes);
    copy_in(ring, ring_bytes, &head, record.has_token ? entry->token : "", record.token_bytes);
    atomic_store_explicit(&ring->head, head, memory_order_release);
    if (used > ring_bytes / 2)
        ring_bell(log);
}

/* ---------------------------------------------------------------- the output */

static void say(cairn_access_log_t *log, const char *what, int err)
{
    char line[PATH_MAX + 128];

    snprintf(line, sizeof(line), "access log: %s %s: %s", what, log->file, strerror(err));
    if (log->options.on_log != NULL)
        log->options.on_log(NULL, CAIRN_LOG_ERROR, line);
}

/* -1 and errno if it cannot be opened: a pipe, too, that nobody reads, instead of waiting for one
 */
static int open_output(const char *file)
{
    return strcmp(file, "-") == 0
               ? STDERR_FILENO
               : open(file, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NONBLOCK,
                      0640);
}

static void use_output(cairn_access_log_t *log, int fd)
{
    struct stat stat;

    log->fd = fd;
    log->is_file = fstat(fd, &stat) == 0 && S_ISREG(stat.st_mode);
    log->is_torn = false;
}

static void reopen(cairn_access_log_t *log)
{
    int fd = open_output(log->file);

    if (fd < 0) {
        say(log, "reopen", errno);
        return;
    }
    if (log->fd != STDERR_FILENO)
        close(log->fd);
    use_output(log, fd);
}

/* Waits until the output takes a piece; false when the process ends and it still does not. */
static bool wait_for_output(cairn_access_log_t *log)
{
    struct pollfd output = {.fd = log->fd, .events = POLLOUT};

    while (!log->is_file && poll(&output, 1, log->has_given_up ? 0 : FLUSH_MS) <= 0) {
        if (log->give_up_at_ms == 0 && atomic_load_explicit(&log->is_closing, memory_order_acquire))
            log->give_up_at_ms = cairn_monotonic_ms() + CLOSE_MS;
        log->has_given_up = log->give_up_at_ms != 0 && cairn_monotonic_ms() >= log->give_up_at_ms;
        if (log->has_given_up)
            return false;
    }
    return true;
}

/* A pipe that is ready takes PIPE_BUF bytes without blocking; they end with a line if they can, so
 * that another writer's lines do not come between. */
static size_t piece_of(const cairn_access_log_t *log, const char *text, size_t bytes)
{
    const char *end;

    if (log->is_file || bytes <= PIPE_BUF)
        return bytes;
    end = memrchr(text, '\n', PIPE_BUF);
    return end != NULL ? (size_t)(end + 1 - text) : PIPE_BUF;
}

/* Returns how many bytes were written; fewer than all after a failure. */
static size_t write_all(cairn_access_log_t *log, const char *text, size_t bytes)
{
    size_t at = 0;

    while (at != bytes && wait_for_output(log)) {
        ssize_t n = write(log->fd, text + at, piece_of(log, text + at, bytes - at));
        if (n > 0) {
            at += (size_t)n;
        } else if (n < 0 && errno != EINTR && errno != EAGAIN) {
            if (!log->is_failing)
                say(log, "lines are being dropped: write", errno);
            log->is_failing = true;
            return at;
        }
    }
    log->is_failing = false;
    return at;
}

static uint64_t count_lines(const char *text, size_t bytes)
{
    uint64_t lines = 0;

    for (size_t i = 0; i != bytes; ++i)
        lines += text[i] == '\n';
    return lines;
}

static void flush(cairn_access_log_t *log)
{
    size_t bytes = log->batch_bytes, written;

    log->batch_bytes = 0;
    if (bytes == 0)
        return;
    /* the rest of a torn line was counted as dropped: the next one begins afresh */
    if (log->is_torn && write_all(log, "\n", 1) == 1)
        log->is_torn = false;
    written = log->is_torn ? 0 : write_all(log, log->batch, bytes);
    if (written == bytes)
        return;
    log->is_torn = log->is_torn || (written != 0 && log->batch[written - 1] != '\n');
    atomic_fetch_add_explicit(&log->lost, count_lines(log->batch + written, bytes - written),
                              memory_order_relaxed);
}

/* ---------------------------------------------------------------- the flusher */

static void print_record(cairn_access_log_t *log, const ring_t *ring, size_t *at)
{
    char method[CAIRN_ACCESS_METHOD_BYTES_MAX], target[CAIRN_ACCESS_TARGET_BYTES_MAX];
    char token[CAIRN_TOKEN_NAME_BYTES_MAX + 1] = "";
    union {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
    } peer = {.v6 = {.sin6_family = 0}};
    const size_t ring_bytes = log->options.ring_bytes;
    record_t record;

    copy_out(ring, ring_bytes, at, &record, sizeof(record));
    copy_out(ring, ring_bytes, at, method, least_of(record.method_bytes, sizeof(method)));
    copy_out(ring, ring_bytes, at, target, least_of(record.target_bytes, sizeof(target)));
    copy_out(ring, ring_bytes, at, token, record.token_bytes);
    peer.any.sa_family = record.peer_family;
    if (record.peer_family == AF_INET)
        memcpy(&peer.v4.sin_addr, record.peer, 4);
    else if (record.peer_family == AF_INET6)
        memcpy(&peer.v6.sin6_addr, record.peer, 16);
    cairn_access_entry_t entry = {
        .time = record.time,
        .duration_ns = record.duration_ns,
        .bytes = record.bytes,
        .status = record.status,
        .http_version = record.http_version,
        .peer = record.peer_family != 0 ? &peer.any : NULL,
        .method = method,
        .method_bytes = record.method_bytes,
        .target = target,
        .target_bytes = record.target_bytes,
        .token = record.has_token ? token : NULL,
    };
    log->batch_bytes +=
        cairn_access_line_print(atomic_load_explicit(&log->format, memory_order_relaxed), &entry,
                                &log->clock, log->batch + log->batch_bytes);
}

static void drain(cairn_access_log_t *log, ring_t *ring)
{
    size_t head = atomic_load_explicit(&ring->head, memory_order_acquire);
    size_t tail = atomic_load_explicit(&ring->tail, memory_order_relaxed);

    while (tail != head) {
        print_record(log, ring, &tail);
        /* each record at once: the worker has room again before the lines are written */
        atomic_store_explicit(&ring->tail, tail, memory_order_release);
        if (log->batch_bytes >= BATCH_BYTES)
            flush(log);
    }
}

static void wait_for_bell(cairn_access_log_t *log)
{
    struct pollfd bell = {.fd = log->bell, .events = POLLIN};
    uint64_t count;

    if (poll(&bell, 1, FLUSH_MS) > 0 && read(log->bell, &count, sizeof(count)) > 0)
        atomic_store_explicit(&log->bell_has_rung, false, memory_order_relaxed);
}

static void *flusher_main(void *arg)
{
    cairn_access_log_t *log = arg;
    bool is_closing;

    pthread_setname_np(pthread_self(), "access log");
    do {
        wait_for_bell(log);
        /* acquire: what was added before the order to close is in the rings */
        is_closing = atomic_load_explicit(&log->is_closing, memory_order_acquire);
        if (atomic_exchange_explicit(&log->must_reopen, false, memory_order_relaxed))
            reopen(log);
        for (size_t i = 0; i != log->options.ring_count; ++i)
            drain(log, &log->rings[i]);
        flush(log);
    } while (!is_closing);
    return NULL;
}

/* ---------------------------------------------------------------- from open to close */

static void dispose(cairn_access_log_t *log)
{
    for (size_t i = 0; log->rings != NULL && i != log->options.ring_count; ++i)
        free(log->rings[i].bytes);
    free(log->rings);
    free(log->batch);
    free(log->file);
    if (log->bell >= 0)
        close(log->bell);
    if (log->fd >= 0 && log->fd != STDERR_FILENO)
        close(log->fd);
    free(log);
}

static bool allocate(cairn_access_log_t *log)
{
    const size_t count = log->options.ring_count;

    if (posix_memalign((void **)&log->rings, 64, count * sizeof(*log->rings)) != 0)
        return false;
    memset(log->rings, 0, count * sizeof(*log->rings));
    for (size_t i = 0; i != count; ++i) {
        if ((log->rings[i].bytes = malloc(log->options.ring_bytes)) == NULL)
            return false;
    }
    log->batch = malloc(BATCH_BYTES + CAIRN_ACCESS_LINE_BYTES_MAX);
    log->file = strdup(log->options.file);
    return log->batch != NULL && log->file != NULL;
}

bool cairn_access_log_open(cairn_access_log_t **opened, const cairn_access_log_options_t *options,
                           char *errmsg, size_t errmsg_bytes)
{
    cairn_access_log_t *log = calloc(1, sizeof(*log));
    const char *what = "open";
    int err = ENOMEM, fd;

    if (log == NULL) {
        snprintf(errmsg, errmsg_bytes, "no memory");
        return false;
    }
    log->options = *options;
    if (log->options.ring_bytes == 0)
        log->options.ring_bytes = RING_BYTES;
    assert((log->options.ring_bytes & (log->options.ring_bytes - 1)) == 0);
    cairn_access_log_set_format(log, options->format);
    log->fd = -1;
    log->bell = -1;
    if (!allocate(log))
        goto Error;
    if ((log->bell = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) < 0 ||
        (fd = open_output(options->file)) < 0) {
        err = errno;
        goto Error;
    }
    use_output(log, fd);
    what = "start a thread for";
    if ((err = pthread_create(&log->flusher, NULL, flusher_main, log)) != 0)
        goto Error;
    *opened = log;
    return true;
Error:
    snprintf(errmsg, errmsg_bytes, "%s %s: %s", what, options->file, strerror(err));
    dispose(log);
    return false;
}

void cairn_access_log_reopen(cairn_access_log_t *log)
{
    atomic_store_explicit(&log->must_reopen, true, memory_order_relaxed);
    ring_bell(log);
}

void cairn_access_log_set_format(cairn_access_log_t *log, cairn_config_access_log_t format)
{
    atomic_store_explicit(&log->format, format, memory_order_relaxed);
}

uint64_t cairn_access_log_dropped(const cairn_access_log_t *log)
{
    uint64_t dropped;

    if (log == NULL)
        return 0;
    dropped = atomic_load_explicit(&log->lost, memory_order_relaxed);
    for (size_t i = 0; i != log->options.ring_count; ++i)
        dropped += atomic_load_explicit(&log->rings[i].dropped, memory_order_relaxed);
    return dropped;
}

uint64_t cairn_access_log_close(cairn_access_log_t *log)
{
    uint64_t dropped;

    if (log == NULL)
        return 0;
    /* release: pairs with the acquire in flusher_main() */
    atomic_store_explicit(&log->is_closing, true, memory_order_release);
    ring_bell(log);
    pthread_join(log->flusher, NULL);
    dropped = cairn_access_log_dropped(log);
    dispose(log);
    return dropped;
}
