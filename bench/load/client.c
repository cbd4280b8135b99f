/*
 * bench/load/client.c - many connections that ask and wait, or ask by the clock.
 *
 * A thread has an epoll set, its share of the connections and its own counters, so that threads
 * share nothing while the load runs but what is left to fill.
 */
#include "bench/load/client.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define IN_BYTES ((size_t)256 << 10)
#define EVENTS_MAX 256
/** values are windows into this much random text: making each afresh would be the client's load */
#define TEXT_BYTES 65536
/** how long an open loop waits for what was asked in time and is still unanswered */
#define DRAIN_NS (5 * 1000000000ull)
#define LOOP_WAIT_NS 20000000

typedef struct st_connection_t {
    int fd;
    bool wants_out; /* in the epoll set for writing too */
    uint64_t began_ns;
    size_t unanswered; /* requests; 0: free */
    size_t asked;      /* together with them */
    bool *is_get;      /* of those asked together */
    bool is_answering; /* the answer below has begun */
    answer_t answer;
    uint64_t body_left;
    char *out;
    size_t out_at, out_count;
    size_t carry_count; /* of a head that is not whole */
    char carry[PART_HEAD_BYTES_MAX];
} connection_t;

typedef struct st_client_t {
    const load_options_t *options;
    pthread_t thread;
    int epoll_fd;
    connection_t *connections;
    size_t connection_count;
    connection_t **free; /* a stack, in the open loop */
    size_t free_count;
    size_t busy_count;
    uint64_t random_state;
    uint64_t begin_ns, end_ns; /* what is counted */
    uint64_t next_due_ns;      /* of the open loop */
    double interval_ns;
    double due;               /* the same as next_due_ns, with the fraction */
    _Atomic uint64_t *filled; /* keys taken by any thread */
    char *text;
    char *in;
    uint64_t *numbers;
    load_result_t result;
} client_t;

static uint64_t now_ns(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

/* ---------------------------------------------------------------- connections */

static void *take_memory(size_t bytes)
{
    void *p = calloc(1, bytes != 0 ? bytes : 1);
    if (p == NULL) {
        fprintf(stderr, "load: out of memory\n");
        exit(EXIT_FAILURE);
    }
    return p;
}

static bool open_connection(client_t *client, connection_t *connection)
{
    const load_options_t *options = client->options;
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons(options->port),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int on = 1;
    connection->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (connection->fd < 0 ||
        connect(connection->fd, (struct sockaddr *)&address, sizeof(address)) != 0) {
        fprintf(stderr, "load: 127.0.0.1:%u: %s\n", options->port, strerror(errno));
        return false;
    }
    setsockopt(connection->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    size_t value_bytes = options->get_percent == 100 ? 0 : options->value_bytes;
    connection->out = take_memory(
        options->pipeline * (2 * REQUEST_OVERHEAD_BYTES + options->batch * (2 * value_bytes + 64)));
    connection->is_get = take_memory(options->pipeline * sizeof(bool));
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = connection};
    return epoll_ctl(client->epoll_fd, EPOLL_CTL_ADD, connection->fd, &event) == 0;
}

/** it is of no further use; what it was asked is an error */
static void drop_connection(client_t *client, connection_t *connection)
{
    ++client->result.errors;
    close(connection->fd);
    connection->fd = -1;
    client->busy_count -= connection->unanswered != 0;
    connection->unanswered = 0;
}

/* ---------------------------------------------------------------- asking */

static void flush(client_t *client, connection_t *connection)
{
    while (connection->out_at < connection->out_count) {
        ssize_t n = send(connection->fd, connection->out + connection->out_at,
                         connection->out_count - connection->out_at, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (n < 0 && errno != EAGAIN) {
            drop_connection(client, connection);
            return;
        }
        if (n < 0)
            break;
        connection->out_at += (size_t)n;
    }
    bool wants_out = connection->out_at < connection->out_count;
    if (wants_out == connection->wants_out)
        return;
    connection->wants_out = wants_out;
    struct epoll_event event = {.events = wants_out ? EPOLLIN | EPOLLOUT : EPOLLIN,
                                .data.ptr = connection};
    epoll_ctl(client->epoll_fd, EPOLL_CTL_MOD, connection->fd, &event);
}

/** the numbers of the keys of a request; false if there is nothing left to fill */
static bool pick_keys(client_t *client, size_t *count)
{
    const load_options_t *options = client->options;
    *count = options->batch;
    if (!options->is_fill) {
        for (size_t i = 0; i < *count; ++i)
            client->numbers[i] = key_space_pick(&options->space, &client->random_state);
        return true;
    }
    uint64_t at = atomic_fetch_add_explicit(client->filled, *count, memory_order_relaxed);
    if (at >= options->space.count)
        return false;
    if (*count > options->space.count - at)
        *count = options->space.count - at;
    for (size_t i = 0; i < *count; ++i)
        client->numbers[i] = options->space.first + at + i;
    return true;
}

static size_t write_request(client_t *client, bool is_get, size_t key_count, char *out)
{
    const load_options_t *options = client->options;
    size_t window = random_next(&client->random_state) % TEXT_BYTES;
    request_t request = {.is_get = is_get,
                         .key_count = key_count,
                         .numbers = client->numbers,
                         .value = client->text + window,
                         .value_bytes = options->value_bytes,
                         .is_async = options->is_async,
                         .space = &options->space};
    return options->protocol->write(&request, out);
}

/** sends as many requests as go together; their time runs from `began_ns` */
static void ask(client_t *client, connection_t *connection, uint64_t began_ns)
{
    const load_options_t *options = client->options;
    size_t key_count;
    connection->out_at = connection->out_count = connection->asked = 0;
    while (connection->asked < options->pipeline && pick_keys(client, &key_count)) {
        bool is_get = options->get_percent == 100 ||
                      random_next(&client->random_state) % 100 < options->get_percent;
        connection->is_get[connection->asked++] = is_get;
        connection->out_count +=
            write_request(client, is_get, key_count, connection->out + connection->out_count);
    }
    if (connection->asked == 0)
        return;
    connection->unanswered = connection->asked;
    connection->began_ns = began_ns;
    ++client->busy_count;
    flush(client, connection);
}

/* ---------------------------------------------------------------- answers */

static void expect_answer(const client_t *client, connection_t *connection)
{
    const load_options_t *options = client->options;
    bool is_get = connection->is_get[connection->asked - connection->unanswered];
    connection->is_answering = true;
    connection->answer = (answer_t){
        .parts_left = 1, .is_get = is_get, .value_bytes_least = is_get ? options->value_bytes : 0};
}

static void end_answer(client_t *client, connection_t *connection, uint64_t now)
{
    const load_options_t *options = client->options;
    /* of an open loop what was due in time counts, of a closed one what was answered in time */
    uint64_t when = options->rate != 0 ? connection->began_ns : now;
    client->result.errors += connection->answer.has_failed;
    if (options->is_fill || (when >= client->begin_ns && when < client->end_ns)) {
        ++client->result.requests;
        histogram_add(&client->result.latencies, now - connection->began_ns);
    }
    if (--connection->unanswered != 0)
        return;
    --client->busy_count;
    if (options->rate != 0)
        client->free[client->free_count++] = connection;
    else
        ask(client, connection, now);
}

/** takes what it can of the bytes; returns how many */
static size_t take_answers(client_t *client, connection_t *connection, const char *bytes,
                           size_t count, uint64_t now)
{
    size_t at = 0;
    for (;;) {
        size_t skipped = connection->body_left < count - at ? connection->body_left : count - at;
        at += skipped;
        connection->body_left -= skipped;
        if (connection->body_left != 0)
            return at;
        if (connection->is_answering && connection->answer.parts_left == 0) {
            connection->is_answering = false;
            end_answer(client, connection, now);
        }
        if (connection->unanswered == 0)
            return at;
        if (!connection->is_answering)
            expect_answer(client, connection);
        size_t head_bytes =
            client->options->protocol->read_head(bytes + at, count - at, &connection->answer);
        if (head_bytes == 0)
            return at;
        at += head_bytes;
        connection->body_left = connection->answer.body_bytes;
    }
}

static void receive(client_t *client, connection_t *connection)
{
    ssize_t n;
    do {
        memcpy(client->in, connection->carry, connection->carry_count);
        n = recv(connection->fd, client->in + connection->carry_count, IN_BYTES, MSG_DONTWAIT);
        if (n < 0 && errno == EAGAIN)
            return;
        if (n <= 0) {
            drop_connection(client, connection);
            return;
        }
        uint64_t now = now_ns();
        if (now >= client->begin_ns && now < client->end_ns)
            client->result.bytes += (uint64_t)n;
        size_t count = connection->carry_count + (size_t)n;
        size_t taken = take_answers(client, connection, client->in, count, now);
        connection->carry_count = count - taken;
        /* what nobody asked for, or no head of this protocol */
        if (connection->fd >= 0 && connection->carry_count != 0 &&
            (connection->unanswered == 0 || connection->carry_count > PART_HEAD_BYTES_MAX))
            drop_connection(client, connection);
        if (connection->fd < 0)
            return;
        memcpy(connection->carry, client->in + taken, connection->carry_count);
    } while ((size_t)n == IN_BYTES);
}

/* ---------------------------------------------------------------- a thread */

/** sends what has come due, as far as connections are free; the rest stays due */
static void ask_what_is_due(client_t *client, uint64_t now)
{
    while (client->next_due_ns <= now && client->next_due_ns < client->end_ns &&
           client->free_count != 0) {
        ask(client, client->free[--client->free_count], client->next_due_ns);
        client->due += client->interval_ns;
        client->next_due_ns = (uint64_t)client->due;
    }
}

static bool is_over(const client_t *client, uint64_t now)
{
    if (client->options->is_fill)
        return client->busy_count == 0;
    if (client->options->rate == 0)
        return now >= client->end_ns;
    return (client->next_due_ns >= client->end_ns && client->busy_count == 0) ||
           now >= client->end_ns + DRAIN_NS;
}

static void wait_for_events(client_t *client, uint64_t now)
{
    struct epoll_event events[EVENTS_MAX];
    uint64_t wait_ns = LOOP_WAIT_NS;
    if (client->options->rate != 0 && client->free_count != 0 &&
        client->next_due_ns < now + wait_ns)
        wait_ns = client->next_due_ns > now ? client->next_due_ns - now : 0;
    struct timespec timeout = {.tv_nsec = (long)wait_ns};
    int count = epoll_pwait2(client->epoll_fd, events, EVENTS_MAX, &timeout, NULL);
    for (int i = 0; i < count; ++i) {
        connection_t *connection = events[i].data.ptr;
        if (connection->fd >= 0 && (events[i].events & EPOLLOUT) != 0)
            flush(client, connection);
        if (connection->fd >= 0 && (events[i].events & ~(uint32_t)EPOLLOUT) != 0)
            receive(client, connection);
    }
}

static void *run_client(void *arg)
{
    client_t *client = arg;
    uint64_t now = now_ns();
    for (size_t i = 0; i < client->connection_count; ++i) {
        if (client->options->rate != 0)
            client->free[client->free_count++] = &client->connections[i];
        else
            ask(client, &client->connections[i], now);
    }
    while (!is_over(client, now)) {
        if (client->options->rate != 0)
            ask_what_is_due(client, now);
        wait_for_events(client, now);
        now = now_ns();
    }
    if (client->options->rate != 0)
        client->result.unanswered = client->busy_count * client->options->pipeline;
    return NULL;
}

/* ---------------------------------------------------------------- all threads */

static void make_text(char *text, size_t bytes, uint64_t *random_state)
{
    for (size_t i = 0; i < bytes; ++i)
        text[i] = (char)('a' + random_next(random_state) % 26);
}

static bool set_up(client_t *client, const load_options_t *options, size_t number,
                   _Atomic uint64_t *filled)
{
    size_t threads = options->thread_count;
    size_t text_bytes = TEXT_BYTES + options->value_bytes;
    client->options = options;
    client->random_state = (number + 1) * 0x9E3779B97F4A7C15u ^ now_ns();
    client->filled = filled;
    client->connection_count =
        options->connection_count / threads + (number < options->connection_count % threads);
    client->connections = take_memory(client->connection_count * sizeof(*client->connections));
    client->free = take_memory(client->connection_count * sizeof(*client->free));
    client->text = take_memory(text_bytes);
    client->in = take_memory(PART_HEAD_BYTES_MAX + IN_BYTES);
    client->numbers = take_memory(options->batch * sizeof(*client->numbers));
    client->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    make_text(client->text, text_bytes, &client->random_state);
    for (size_t i = 0; i < client->connection_count; ++i)
        if (!open_connection(client, &client->connections[i]))
            return false;
    return true;
}

/** when all connections are there: counting begins after the warm-up */
static void schedule(client_t *client, uint64_t start_ns)
{
    const load_options_t *options = client->options;
    client->begin_ns = start_ns + options->warm_up_ns;
    client->end_ns = client->begin_ns + options->run_ns;
    if (options->rate == 0)
        return;
    client->interval_ns =
        1e9 * (double)options->thread_count * (double)options->pipeline / options->rate;
    client->due = (double)start_ns + client->interval_ns * 0.5;
    client->next_due_ns = (uint64_t)client->due;
}

/** user and system time of processes so far, all their threads, in ns */
static uint64_t cpu_ns_of(const int *pids, size_t count)
{
    uint64_t ticks = 0;
    for (size_t i = 0; i < count; ++i) {
        char path[64];
        unsigned long user, system;
        snprintf(path, sizeof(path), "/proc/%d/stat", pids[i]);
        FILE *file = fopen(path, "r");
        if (file == NULL)
            continue;
        if (fscanf(file, "%*d (%*[^)]) %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user,
                   &system) == 2)
            ticks += user + system;
        fclose(file);
    }
    return ticks * (1000000000 / (uint64_t)sysconf(_SC_CLK_TCK));
}

static void sleep_until(uint64_t ns)
{
    struct timespec at = {.tv_sec = (time_t)(ns / 1000000000), .tv_nsec = (long)(ns % 1000000000)};
    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, NULL) == EINTR)
        ;
}

static void collect(client_t *clients, size_t count, load_result_t *result)
{
    for (size_t i = 0; i < count; ++i) {
        pthread_join(clients[i].thread, NULL);
        result->requests += clients[i].result.requests;
        result->errors += clients[i].result.errors;
        result->unanswered += clients[i].result.unanswered;
        result->bytes += clients[i].result.bytes;
        histogram_merge(&result->latencies, &clients[i].result.latencies);
    }
}

bool load_run(const load_options_t *options, const int *pids, size_t pid_count,
              load_result_t *result)
{
    static _Atomic uint64_t filled;
    client_t *clients = take_memory(options->thread_count * sizeof(*clients));
    for (size_t i = 0; i < options->thread_count; ++i)
        if (!set_up(&clients[i], options, i, &filled))
            return false;
    uint64_t start_ns = now_ns();
    for (size_t i = 0; i < options->thread_count; ++i) {
        schedule(&clients[i], start_ns);
        if (pthread_create(&clients[i].thread, NULL, run_client, &clients[i]) != 0)
            return false;
    }
    if (!options->is_fill)
        sleep_until(clients[0].begin_ns);
    uint64_t cpu_ns = cpu_ns_of(pids, pid_count);
    if (!options->is_fill)
        sleep_until(clients[0].end_ns);
    result->server_cpu_ns = cpu_ns_of(pids, pid_count) - cpu_ns;
    collect(clients, options->thread_count, result);
    result->seconds =
        options->is_fill ? (double)(now_ns() - start_ns) * 1e-9 : (double)options->run_ns * 1e-9;
    return true; /* the process ends now, and its memory and connections with it */
}
