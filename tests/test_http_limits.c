/*
 * One client against the others: is what it may take bounded, and does all of it come back?
 *
 * Each situation has a server of its own with small limits. After it the server answers, and has
 * the descriptors that it had before.
 */
#include <CUnit/CUnit.h>

#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <jansson.h>

#include "tests/site.h"
#include "tests/suites.h"

#define KIB ((size_t)1 << 10)
#define MIB ((size_t)1 << 20)

/* a number in /v1/stats */
static int64_t stat_of(const site_t *site, const char *name)
{
    http_conn_t conn;
    http_response_t res;
    site_open(site, &conn);
    exchange(&conn, "GET", "/v1/stats", NULL, NULL, 0, &res);
    json_t *stats = json_loadb(res.body, res.body_bytes, 0, NULL);
    int64_t number = json_integer_value(json_object_get(stats, name));
    json_decref(stats);
    http_response_dispose(&res);
    http_close(&conn);
    return number;
}

static void put_large(const site_t *site, size_t bytes)
{
    http_conn_t conn;
    char *value = noise(bytes, 1);
    site_open(site, &conn);
    CU_ASSERT_EQUAL(exchange_status(&conn, "PUT", "/v1/kv/large", NULL, value, bytes), 201);
    http_close(&conn);
    free(value);
}

/* asks for the large value; with `room` for what has come and not been read */
static void ask_and_read_nothing(const site_t *site, http_conn_t *conn, int room)
{
    static const char request[] = "GET /v1/kv/large HTTP/1.1\r\nHost: t\r\n\r\n";
    site_open(site, conn);
    setsockopt(conn->fd, SOL_SOCKET, SO_RCVBUF, &room, sizeof(room));
    CU_ASSERT(http_send(conn, request, sizeof(request) - 1));
}

/* takes `bytes` and forgets them; false at the end of the connection */
static bool take(http_conn_t *conn, size_t bytes)
{
    char buffer[4096];
    while (bytes != 0) {
        size_t most = bytes < sizeof(buffer) ? bytes : sizeof(buffer);
        ssize_t n = recv(conn->fd, buffer, most, 0);
        if (n <= 0)
            return false;
        bytes -= (size_t)n;
    }
    return true;
}

/* ---------------------------------------------------------------- readers */

static void slow_readers_are_cut(void)
{
    static const char *const extra[] = {"--limits.read_rate=512KiB", "--limits.value_bytes=32MiB",
                                        NULL};
    site_t site;
    http_conn_t silent, trickle, steady;
    CU_ASSERT_EQUAL_FATAL(site_start(&site, TEMP_DIR_IN_MEMORY, extra), 0);
    put_large(&site, 30 * MIB);
    size_t base_line = fd_base_line(site.server.pid);
    ask_and_read_nothing(&site, &silent, 4096);
    ask_and_read_nothing(&site, &trickle, 65536);
    ask_and_read_nothing(&site, &steady, 262144);
    /* 40 KiB a second are too few, 2 MiB a second are enough */
    for (int64_t end_ms = monotonic_ms() + 11500; monotonic_ms() < end_ms; sleep_ms(100)) {
        take(&trickle, 4 * KIB);
        CU_ASSERT_TRUE_FATAL(take(&steady, 200 * KIB));
    }
    CU_ASSERT_EQUAL(stat_of(&site, "slow_readers"), 2);
    /* two are gone, with all that was held for them; the third goes on, with its socket and the
     * two ends of its pipe */
    CU_ASSERT(fd_count_comes_to(site.server.pid, base_line + 3));
    CU_ASSERT(take(&steady, 3 * MIB));
    http_close(&silent);
    http_close(&trickle);
    http_close(&steady);
    CU_ASSERT(fd_count_comes_to(site.server.pid, base_line));
    CU_ASSERT_EQUAL(site_end(&site), 0);
}

/* ---------------------------------------------------------------- bodies */

/* memory of a process that is its own, in bytes */
static size_t own_memory(pid_t pid)
{
    char path[64];
    size_t resident = 0, shared = 0;
    snprintf(path, sizeof(path), "/proc/%d/statm", (int)pid);
    FILE *file = fopen(path, "re");
    CU_ASSERT_PTR_NOT_NULL_FATAL(file);
    CU_ASSERT_EQUAL(fscanf(file, "%*u %zu %zu", &resident, &shared), 2);
    fclose(file);
    return (resident - shared) * (size_t)sysconf(_SC_PAGESIZE);
}

enum { SENDERS = 24 };

/* of a server that has nothing to do. What a sanitizer keeps back of freed memory is not its own */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define MEMORY_AT_REST (512 * MIB)
#else
#define MEMORY_AT_REST (24 * MIB)
#endif

/* many begin to send a large body and do not end it */
static void begin_bodies(const site_t *site, http_conn_t *conns, const char *part, size_t bytes)
{
    static const char head[] =
        "PUT /v1/kv/body HTTP/1.1\r\nHost: t\r\nContent-Length: 4194304\r\n\r\n";
    for (int i = 0; i < SENDERS; ++i) {
        site_open(site, &conns[i]);
        CU_ASSERT(http_send(&conns[i], head, sizeof(head) - 1));
    }
    for (int i = 0; i < SENDERS; ++i)
        http_send(&conns[i], part, bytes); /* one that is refused may be closed by now */
}

/* those whose connection the server closes, of whom it says that it has refused so many */
static int count_closed(http_conn_t *conns)
{
    int closed = 0;
    for (int i = 0; i < SENDERS; ++i)
        closed += http_server_closes_within(&conns[i], 0);
    return closed;
}

/* until so many are refused that the others fit, and all of those know it */
static void wait_for_refusals(const site_t *site, http_conn_t *conns, int least)
{
    for (int64_t end_ms = monotonic_ms() + 20000; monotonic_ms() < end_ms; sleep_ms(20))
        if (stat_of(site, "bodies_refused") >= least &&
            stat_of(site, "bodies_refused") == count_closed(conns))
            return;
    CU_FAIL("too few are refused");
}

static void bodies_are_bounded(void)
{
    static const char *const extra[] = {"--limits.body_bytes=32MiB", "--limits.value_bytes=4MiB",
                                        "--workers=2", NULL};
    site_t site;
    http_conn_t conns[SENDERS], other;
    http_response_t res;
    char *part = noise(3 * MIB, 2);
    int refused = 0;
    CU_ASSERT_EQUAL_FATAL(site_start(&site, TEMP_DIR_IN_MEMORY, extra), 0);
    site_open(&site, &other);
    CU_ASSERT_EQUAL(exchange_status(&other, "PUT", "/v1/kv/small", NULL, "x", 1), 201);
    http_close(&other);
    size_t base_line = fd_base_line(site.server.pid);
    begin_bodies(&site, conns, part, 3 * MIB);
    wait_for_refusals(&site, conns, SENDERS - 32 / 3);
    /* each of the others has its 3 MiB, and libh2o twice that for the next ones */
    CU_ASSERT(own_memory(site.server.pid) < 32 * 2 * MIB + MEMORY_AT_REST);
    site_open(&site, &other);
    CU_ASSERT_EQUAL(exchange_status(&other, "PUT", "/v1/kv/small", NULL, "x", 1), 204);
    http_close(&other);
    for (int i = 0; i < SENDERS; ++i) {
        if (!http_server_closes_within(&conns[i], 0))
            continue;
        ++refused;
        CU_ASSERT_TRUE_FATAL(http_read_response(&conns[i], "PUT", &res));
        CU_ASSERT(is_problem(&res, 503, "bodies_full"));
        CU_ASSERT(header_is(&res, "retry-after", "1"));
        http_response_dispose(&res);
    }
    CU_ASSERT(refused >= SENDERS - 32 / 3 && refused < SENDERS);
    CU_ASSERT_EQUAL(stat_of(&site, "bodies_refused"), refused);
    /* who was not refused can end what it has begun */
    for (int i = 0; i < SENDERS; ++i) {
        if (!http_server_closes_within(&conns[i], 0)) {
            CU_ASSERT(http_send(&conns[i], part, MIB));
            CU_ASSERT_TRUE_FATAL(http_read_response(&conns[i], "PUT", &res));
            CU_ASSERT(res.status == 201 || res.status == 204);
            http_response_dispose(&res);
        }
        http_close(&conns[i]);
    }
    free(part);
    CU_ASSERT(fd_count_comes_to(site.server.pid, base_line));
    CU_ASSERT_EQUAL(site_end(&site), 0);
}

/* ---------------------------------------------------------------- connections */

enum { CONNECTIONS_LIMIT = 16, CLIENTS = 40 };

typedef struct st_clients_t {
    http_conn_t conns[CLIENTS];
    bool is_served[CLIENTS];
    int served;
} clients_t;

/** reads the answers that have come */
static void look_who_is_served(clients_t *clients)
{
    http_response_t res;
    for (int i = 0; i < CLIENTS; ++i) {
        if (clients->is_served[i])
            continue;
        clients->conns[i].timeout_ms = 1;
        clients->is_served[i] = http_read_response(&clients->conns[i], "GET", &res);
        clients->conns[i].timeout_ms = 10000;
        if (clients->is_served[i])
            http_response_dispose(&res);
        clients->served += clients->is_served[i];
    }
}

/** more clients than may be come at once, and leave again when those that may be are served */
static void come_and_leave(const site_t *site)
{
    static const char request[] = "GET /livez HTTP/1.1\r\nHost: t\r\n\r\n";
    clients_t clients = {.served = 0};
    for (int i = 0; i < CLIENTS; ++i) {
        site_open(site, &clients.conns[i]);
        CU_ASSERT(http_send(&clients.conns[i], request, sizeof(request) - 1));
    }
    for (int looks = 0; clients.served < CONNECTIONS_LIMIT && looks < 300; ++looks)
        look_who_is_served(&clients);
    sleep_ms(50);
    look_who_is_served(&clients);
    CU_ASSERT_EQUAL(clients.served, CONNECTIONS_LIMIT);
    for (int i = 0; i < CLIENTS; ++i)
        http_close(&clients.conns[i]);
}

/* all workers share the number: which one a client comes to is the kernel's choice */
static void the_limit_is_for_all_workers(void)
{
    static const char *const extra[] = {"--limits.connections=16", "--workers=4", NULL};
    site_t site;
    CU_ASSERT_EQUAL_FATAL(site_start_in_memory(&site, extra), 0);
    for (int i = 0; i < 20; ++i)
        come_and_leave(&site);
    /* whoever leaves makes room on every worker */
    for (int i = 0; i < CLIENTS; ++i)
        CU_ASSERT(site_answers(&site));
    CU_ASSERT_EQUAL(site_end(&site), 0);
}

/* ---------------------------------------------------------------- turns */

/* one client has thousands of requests under way; others get their answers between them */
static void a_pipeline_leaves_room(void)
{
    enum { REQUESTS = 20000 };
    static const char *const extra[] = {"--workers=1", NULL};
    static const char request[] = "GET /v1/kv/a HTTP/1.1\r\nHost: t\r\n\r\n";
    const size_t bytes = REQUESTS * (sizeof(request) - 1);
    site_t site;
    http_conn_t greedy, other;
    char *requests = malloc(bytes + 1);
    CU_ASSERT_EQUAL_FATAL(site_start_in_memory(&site, extra), 0);
    for (size_t i = 0; i < REQUESTS; ++i)
        memcpy(requests + i * (sizeof(request) - 1), request, sizeof(request) - 1);
    site_open(&site, &greedy);
    site_open(&site, &other);
    CU_ASSERT_EQUAL(exchange_status(&other, "PUT", "/v1/kv/a", NULL, "x", 1), 201);
    pid_t pid = fork();
    if (pid == 0)
        _exit(http_send(&greedy, requests, bytes) ? 0 : 1);
    int64_t most_ms = 0;
    for (int i = 0; i < 200; ++i) {
        int64_t began_ms = monotonic_ms();
        CU_ASSERT_EQUAL(exchange_status(&other, "GET", "/v1/kv/a", NULL, NULL, 0), 200);
        int64_t took_ms = monotonic_ms() - began_ms;
        most_ms = took_ms > most_ms ? took_ms : most_ms;
    }
    CU_ASSERT(most_ms < 500);
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    http_close(&greedy);
    http_close(&other);
    free(requests);
    CU_ASSERT_EQUAL(site_end(&site), 0);
}

/* ---------------------------------------------------------------- the queue */

/* a disk that is slow: strace is not needed, writes of a full queue are refused at once */
static void a_full_queue_is_told(void)
{
    enum { WRITERS = 16 };
    static const char *const extra[] = {"--limits.queue_ops=1", NULL};
    site_t site;
    http_conn_t conns[WRITERS];
    http_response_t res;
    int written = 0, refused = 0;
    CU_ASSERT_EQUAL_FATAL(site_start(&site, TEMP_DIR_ON_DISK, extra), 0);
    for (int i = 0; i < WRITERS; ++i)
        site_open(&site, &conns[i]);
    for (int round = 0; round < 50; ++round) {
        static const char put[] = "PUT /v1/kv/a HTTP/1.1\r\nHost: t\r\nContent-Length: 1\r\n\r\nx";
        for (int i = 0; i < WRITERS; ++i)
            CU_ASSERT(http_send(&conns[i], put, sizeof(put) - 1));
        for (int i = 0; i < WRITERS; ++i) {
            CU_ASSERT_TRUE_FATAL(http_read_response(&conns[i], "PUT", &res));
            bool is_refused = res.status == 503;
            refused += is_refused;
            written += res.status == 201 || res.status == 204;
            if (is_refused)
                CU_ASSERT(is_problem(&res, 503, "queue_full") &&
                          header_is(&res, "retry-after", "1"));
            http_response_dispose(&res);
        }
    }
    CU_ASSERT_EQUAL(written + refused, 50 * WRITERS);
    CU_ASSERT(refused > 0 && written > 0);
    CU_ASSERT_EQUAL(stat_of(&site, "last_version"), written);
    for (int i = 0; i < WRITERS; ++i)
        http_close(&conns[i]);
    CU_ASSERT_EQUAL(site_end(&site), 0);
}

/* ---------------------------------------------------------------- memory */

#define ROOM_VALUE_BYTES 4000
#define ROOM_WAIT_MS 20000

static int put_numbered(http_conn_t *conn, int number)
{
    char target[32], value[ROOM_VALUE_BYTES];
    memset(value, 'v', sizeof(value));
    snprintf(target, sizeof(target), "/v1/kv/room%d", number);
    return exchange_status(conn, "PUT", target, NULL, value, sizeof(value));
}

static bool is_within(const site_t *site, size_t limit)
{
    int64_t bytes = stat_of(site, "disk_bytes");
    return bytes > 0 && bytes <= (int64_t)limit;
}

/* until compaction has made room for it; the status of the last try, the tries that had none */
static int put_when_there_is_room(http_conn_t *conn, int number, int *refused)
{
    int status = put_numbered(conn, number);
    for (int waited = 0; status == 507 && waited < ROOM_WAIT_MS; waited += 5) {
        ++*refused;
        sleep_ms(5);
        status = put_numbered(conn, number);
    }
    return status;
}

/* what is replaced makes room again and again; what stays is refused when there is none left, and
 * what is deleted makes room for more, all without a restart */
static void memory_has_a_limit(void)
{
    enum { KEYS = 300, OVERWRITES = 6000 };
    static const char *const extra[] = {"--storage.max_bytes", "4MiB", "--storage.segment_bytes",
                                        "256KiB", NULL};
    site_t site;
    http_conn_t conn;
    http_response_t res;
    int status = 201, count = KEYS, refused = 0;
    char target[32];
    CU_ASSERT_EQUAL_FATAL(site_start_in_memory(&site, extra), 0);
    site_open(&site, &conn);
    for (int i = 0; i < OVERWRITES; ++i) /* 24 MB through 4 MiB */
        CU_ASSERT_EQUAL_FATAL(put_when_there_is_room(&conn, i % KEYS, &refused) / 100, 2);
    CU_ASSERT(is_within(&site, 4 * MIB));
    while (count < 2000 && (status = put_numbered(&conn, count)) == 201)
        ++count;
    CU_ASSERT_EQUAL(status, 507);
    snprintf(target, sizeof(target), "/v1/kv/room%d", count);
    exchange(&conn, "PUT", target, NULL, "v", 1, &res);
    CU_ASSERT(res.status == 201 || is_problem(&res, 507, "disk_full"));
    http_response_dispose(&res);
    for (int i = 0; i < count; ++i) { /* reads go on */
        snprintf(target, sizeof(target), "/v1/kv/room%d", i);
        CU_ASSERT_EQUAL(exchange_status(&conn, "GET", target, NULL, NULL, 0), 200);
        if (i % 4 == 0)
            continue;
        int deleted = 507;
        for (int waited = 0; deleted == 507 && waited < ROOM_WAIT_MS; waited += 5) {
            deleted = exchange_status(&conn, "DELETE", target, NULL, NULL, 0);
            if (deleted == 507)
                sleep_ms(5);
        }
        CU_ASSERT_EQUAL_FATAL(deleted, 204);
    }
    for (int i = 0; i < count / 2; ++i)
        CU_ASSERT_EQUAL_FATAL(put_when_there_is_room(&conn, 10000 + i, &refused), 201);
    for (int i = 0; i < count; i += 4) {
        snprintf(target, sizeof(target), "/v1/kv/room%d", i);
        CU_ASSERT_EQUAL(exchange_status(&conn, "GET", target, NULL, NULL, 0), 200);
    }
    CU_ASSERT(is_within(&site, 4 * MIB));
    printf("(%d keys fitted; %d puts had to wait) ", count, refused);
    http_close(&conn);
    CU_ASSERT_EQUAL(site_end(&site), 0);
}

void suite_http_limits(void)
{
    CU_pSuite s = CU_add_suite("http_limits: one client against the others", NULL, NULL);
    CU_add_test(s, "who reads too slowly is cut off, who is steady is not", slow_readers_are_cut);
    CU_add_test(s, "bodies that arrive together are bounded", bodies_are_bounded);
    CU_add_test(s, "the limit of connections is for all workers", the_limit_is_for_all_workers);
    CU_add_test(s, "thousands of requests on one connection leave room", a_pipeline_leaves_room);
    CU_add_test(s, "a store in memory has a limit, and lives with it", memory_has_a_limit);
    CU_add_test(s, "a full queue is told, and nothing is counted twice", a_full_queue_is_told);
}
