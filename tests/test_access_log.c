/*
 * The access log: each request is a line, each line can be parsed, none is lost in silence, and no
 * output is so slow that a request would notice.
 */
#include "tests/suites.h"

#include <CUnit/CUnit.h>

#include <arpa/inet.h>
#include <dirent.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <jansson.h>

#include "server/access_log.h"
#include "tests/scratch.h"
#include "tests/site.h"

/* ---------------------------------------------------------------- one line */

static const struct sockaddr_in6 peer_v6 = {.sin6_family = AF_INET6,
                                            .sin6_addr = IN6ADDR_LOOPBACK_INIT};

static cairn_access_entry_t entry_of(const char *method, const char *target)
{
    return (cairn_access_entry_t){
        .time = {.tv_sec = 1700000000, .tv_nsec = 7654321},
        .duration_ns = 1234567,
        .bytes = 5,
        .status = 200,
        .http_version = 0x101,
        .peer = (const struct sockaddr *)&peer_v6,
        .method = method,
        .method_bytes = strlen(method),
        .target = target,
        .target_bytes = strlen(target),
    };
}

/* The line with a NUL in place of its newline. */
static const char *line_of(cairn_config_access_log_t format, const cairn_access_entry_t *entry)
{
    static char line[CAIRN_ACCESS_LINE_BYTES_MAX];
    cairn_access_clock_t clock = {.second = 0};
    size_t bytes = cairn_access_line_print(format, entry, &clock, line);

    CU_ASSERT_TRUE_FATAL(bytes != 0 && bytes < sizeof(line));
    CU_ASSERT_EQUAL(line[bytes - 1], '\n');
    CU_ASSERT_PTR_EQUAL(memchr(line, '\n', bytes), line + bytes - 1);
    line[bytes - 1] = '\0';
    return line;
}

static void lines_look_as_they_should(void)
{
    cairn_access_entry_t entry = entry_of("GET", "/get?key=a");
    cairn_access_entry_t odd = entry_of("GE\"T", "/a\\\"\x01\xff b");

    CU_ASSERT_TRUE(same(line_of(CAIRN_ACCESS_LOG_COMMON, &entry),
                        "::1 - - [14/Nov/2023:22:13:20 +0000] \"GET /get?key=a HTTP/1.1\" 200 5"));
    CU_ASSERT_TRUE(
        same(line_of(CAIRN_ACCESS_LOG_JSON, &entry),
             "{\"time\":\"2023-11-14T22:13:20.007Z\",\"peer\":\"::1\",\"method\":\"GET\","
             "\"target\":\"/get?key=a\",\"status\":200,\"bytes\":5,"
             "\"duration_us\":1234}"));
    odd.token = "shop";
    odd.peer = NULL;
    odd.status = 0;
    odd.bytes = 0;
    odd.http_version = 0x100;
    CU_ASSERT_TRUE(same(line_of(CAIRN_ACCESS_LOG_COMMON, &odd),
                        "- - shop [14/Nov/2023:22:13:20 +0000] "
                        "\"GE\\\"T /a\\\\\\\"\\x01\\xff b HTTP/1.0\" - -"));
    CU_ASSERT_TRUE(same(line_of(CAIRN_ACCESS_LOG_JSON, &odd),
                        "{\"time\":\"2023-11-14T22:13:20.007Z\",\"peer\":\"-\","
                        "\"method\":\"GE\\\"T\",\"target\":\"/a\\\\\\\"%01%FF b\",\"status\":0,"
                        "\"bytes\":0,\"duration_us\":1234,\"token\":\"shop\"}"));
}

/* Every byte there is, and as many of the worst as a request can bring. */
static void any_target_makes_one_line_that_parses(void)
{
    static char target[70000], method[1000];
    cairn_access_entry_t entry = entry_of("GET", "/");

    memset(method, '\\', sizeof(method));
    for (int worst = 0; worst != 257; ++worst) {
        for (size_t i = 0; i != sizeof(target); ++i)
            target[i] = (char)(worst == 256 ? i : (size_t)worst);
        entry.target = target;
        entry.target_bytes = worst % 2 == 0 ? sizeof(target) : 300;
        entry.method = method;
        entry.method_bytes = worst % 2 == 0 ? sizeof(method) : 1;
        json_t *json = json_loads(line_of(CAIRN_ACCESS_LOG_JSON, &entry), 0, NULL);
        CU_ASSERT_PTR_NOT_NULL_FATAL(json);
        size_t bytes = strlen(json_string_value(json_object_get(json, "target")));
        CU_ASSERT_TRUE(worst % 2 == 0 ? bytes >= 4096 + 3 : bytes >= 300);
        json_decref(json);
        for (const char *c = line_of(CAIRN_ACCESS_LOG_COMMON, &entry); *c != '\0'; ++c)
            CU_ASSERT_TRUE_FATAL(*c >= ' ' && *c <= '~');
    }
}

/* ---------------------------------------------------------------- the log by itself */

static int said_count;

static void count_said(void *ctx, cairn_log_level_t level, const char *line)
{
    (void)ctx;
    said_count += level == CAIRN_LOG_ERROR && strncmp(line, "access log: ", 12) == 0;
}

static cairn_access_log_t *open_log(const char *file, size_t ring_count, size_t ring_bytes)
{
    cairn_access_log_options_t options = {.format = CAIRN_ACCESS_LOG_COMMON,
                                          .file = file,
                                          .ring_count = ring_count,
                                          .ring_bytes = ring_bytes,
                                          .on_log = count_said};
    char errmsg[1024] = "";
    cairn_access_log_t *log = NULL;

    CU_ASSERT_TRUE_FATAL(cairn_access_log_open(&log, &options, errmsg, sizeof(errmsg)));
    return log;
}

static void add_numbered(cairn_access_log_t *log, size_t ring, int number)
{
    char target[32];

    snprintf(target, sizeof(target), "/%zu/%d", ring, number);
    cairn_access_entry_t entry = entry_of("GET", target);
    cairn_access_log_add(log, ring, &entry);
}

static char *read_text(const char *path)
{
    size_t room = (size_t)32 << 20, bytes = 0;
    char *text = calloc(1, room);
    FILE *file = fopen(path, "r");

    CU_ASSERT_PTR_NOT_NULL_FATAL(text);
    if (file != NULL) {
        bytes = fread(text, 1, room - 1, file);
        fclose(file);
    }
    CU_ASSERT_TRUE(bytes < room - 1);
    return text;
}

static size_t count_lines(const char *text)
{
    size_t lines = 0;

    for (; (text = strchr(text, '\n')) != NULL; ++text)
        ++lines;
    return lines;
}

#define RINGS 4
/* what a ring of 1 MiB holds even if the flusher gets no turn at all */
#define LINES_A_RING 5000

static void *add_many(void *arg)
{
    cairn_access_log_t *log = ((void **)arg)[0];
    size_t ring = (size_t)(uintptr_t)((void **)arg)[1];

    for (int i = 0; i != LINES_A_RING; ++i) {
        add_numbered(log, ring, i);
        if (i % 250 == 249)
            sleep_ms(10);
    }
    return NULL;
}

/* Four threads fill four rings; each line must be whole, and those of a ring in order. Returns how
 * many there are. */
static uint64_t fill_rings(size_t ring_bytes, uint64_t *dropped)
{
    cairn_access_log_t *log = open_log(scratch_file(), RINGS, ring_bytes);
    pthread_t threads[RINGS];
    void *args[RINGS][2];
    int next[RINGS] = {0};
    uint64_t lines = 0;

    for (size_t i = 0; i != RINGS; ++i) {
        args[i][0] = log;
        args[i][1] = (void *)(uintptr_t)i;
        CU_ASSERT_EQUAL_FATAL(pthread_create(&threads[i], NULL, add_many, args[i]), 0);
    }
    for (size_t i = 0; i != RINGS; ++i)
        pthread_join(threads[i], NULL);
    *dropped = cairn_access_log_close(log);
    char *text = read_text(scratch_file());
    for (const char *line = text; *line != '\0'; line = strchr(line, '\n') + 1, ++lines) {
        unsigned ring;
        int number, bytes = 0;
        sscanf(line, "::1 - - [14/Nov/2023:22:13:20 +0000] \"GET /%u/%d HTTP/1.1\" 200 5%n", &ring,
               &number, &bytes);
        CU_ASSERT_TRUE_FATAL(bytes != 0 && line[bytes] == '\n' && ring < RINGS);
        CU_ASSERT_TRUE_FATAL(number >= next[ring]);
        next[ring] = number + 1;
    }
    free(text);
    unlink(scratch_file());
    return lines;
}

static void nothing_is_lost_and_each_ring_is_in_order(void)
{
    uint64_t dropped;

    CU_ASSERT_EQUAL(fill_rings(0, &dropped), RINGS * LINES_A_RING);
    CU_ASSERT_EQUAL(dropped, 0);
}

/* The ring goes round hundreds of times, and may be full at any of them. */
static void a_small_ring_loses_only_what_it_counts(void)
{
    uint64_t dropped, lines = fill_rings(4096, &dropped);

    CU_ASSERT_TRUE(lines > RINGS);
    CU_ASSERT_EQUAL(lines + dropped, RINGS * LINES_A_RING);
}

/* A pipe that nobody reads takes 64 KiB, the ring 8: what is more is dropped, at once. */
static void a_full_ring_drops_and_counts(void)
{
    static char text[1 << 20];
    cairn_access_log_t *log;
    size_t in_pipe = 0;
    ssize_t n;
    const int count = 5000;

    CU_ASSERT_EQUAL_FATAL(mkfifo(scratch_file(), 0600), 0);
    int reader = open(scratch_file(), O_RDWR | O_NONBLOCK);
    CU_ASSERT_TRUE_FATAL(reader >= 0);
    log = open_log(scratch_file(), 1, 8192);
    int64_t began_ms = monotonic_ms();
    for (int i = 0; i != count; ++i) {
        add_numbered(log, 0, i);
        if (i % 50 == 0)
            sleep_ms(1);
    }
    CU_ASSERT_TRUE(monotonic_ms() - began_ms < 5000);
    CU_ASSERT_TRUE(cairn_access_log_dropped(log) > 0);
    uint64_t dropped = cairn_access_log_close(log);
    memset(text, 0, sizeof(text));
    while ((n = read(reader, text + in_pipe, sizeof(text) - 1 - in_pipe)) > 0)
        in_pipe += (size_t)n;
    CU_ASSERT_TRUE(in_pipe > 4096);
    CU_ASSERT_EQUAL(text[in_pipe - 1], '\n');
    CU_ASSERT_EQUAL(count_lines(text) + dropped, (uint64_t)count);
    close(reader);
    unlink(scratch_file());
}

static void a_full_disk_is_said_once_and_counted(void)
{
    cairn_access_log_t *log = open_log("/dev/full", 1, 0);

    said_count = 0;
    for (int i = 0; i != 300; ++i) {
        add_numbered(log, 0, i);
        if (i % 100 == 0)
            sleep_ms(150);
    }
    CU_ASSERT_EQUAL(cairn_access_log_close(log), 300);
    CU_ASSERT_EQUAL(said_count, 1);
}

static void a_file_that_was_moved_is_left(void)
{
    char moved[600];
    cairn_access_log_t *log = open_log(scratch_file(), 1, 0);

    snprintf(moved, sizeof(moved), "%s.1", scratch_file());
    add_numbered(log, 0, 0);
    sleep_ms(300); /* three flushes */
    CU_ASSERT_EQUAL_FATAL(rename(scratch_file(), moved), 0);
    add_numbered(log, 0, 1);
    sleep_ms(300);
    cairn_access_log_reopen(log);
    for (int i = 0; i != 100 && access(scratch_file(), F_OK) != 0; ++i)
        sleep_ms(20);
    add_numbered(log, 0, 2);
    CU_ASSERT_EQUAL(cairn_access_log_close(log), 0);
    char *before = read_text(moved), *after = read_text(scratch_file());
    CU_ASSERT_EQUAL(count_lines(before), 2);
    CU_ASSERT_EQUAL(count_lines(after), 1);
    CU_ASSERT_PTR_NOT_NULL(strstr(after, "/0/2 "));
    free(before);
    free(after);
    unlink(moved);
    unlink(scratch_file());
}

/* begins to read the pipe after a second and a half: until then who waits for a reader waits */
static void *read_late(void *arg)
{
    int *fd = arg;

    sleep_ms(1500);
    *fd = open(scratch_file(), O_RDONLY | O_NONBLOCK);
    return NULL;
}

static void a_pipe_that_nobody_reads_is_not_waited_for(void)
{
    cairn_access_log_options_t options = {.format = CAIRN_ACCESS_LOG_COMMON,
                                          .file = scratch_file(),
                                          .ring_count = 1,
                                          .on_log = count_said};
    char errmsg[1024] = "";
    cairn_access_log_t *log = open_log(scratch_file(), 1, 0), *none = NULL;
    pthread_t reader;
    int fd = -1;

    unlink(scratch_file());
    CU_ASSERT_EQUAL_FATAL(mkfifo(scratch_file(), 0600), 0);
    CU_ASSERT_EQUAL_FATAL(pthread_create(&reader, NULL, read_late, &fd), 0);
    int64_t began_ms = monotonic_ms();
    CU_ASSERT_FALSE(cairn_access_log_open(&none, &options, errmsg, sizeof(errmsg)));
    CU_ASSERT_PTR_NOT_NULL(strstr(errmsg, "No such device or address"));
    /* nor when it has come in the place of the file: lines go where they went */
    said_count = 0;
    cairn_access_log_reopen(log);
    add_numbered(log, 0, 0);
    CU_ASSERT_EQUAL(cairn_access_log_close(log), 0);
    CU_ASSERT_EQUAL(said_count, 1);
    CU_ASSERT_TRUE(monotonic_ms() - began_ms < 1000);
    pthread_join(reader, NULL);
    close(fd);
    unlink(scratch_file());
}

static void a_file_that_cannot_be_opened_is_an_error(void)
{
    int status;
    char *output;

    CU_ASSERT_TRUE_FATAL(run_cairn((const char *const[]){"serve", "--data", ":memory:", "--listen",
                                                         "127.0.0.1:0", "--log.access", "json",
                                                         "--log.file", "/nonexistent/a.log", NULL},
                                   &status, &output));
    CU_ASSERT_EQUAL(status, 1);
    CU_ASSERT_TRUE(same(output, "cairn: access log: open /nonexistent/a.log: "
                                "No such file or directory\n"));
    free(output);
}

/* ---------------------------------------------------------------- over HTTP */

static size_t thread_count(pid_t pid)
{
    char path[64];
    size_t count = 0;

    snprintf(path, sizeof(path), "/proc/%d/task", (int)pid);
    DIR *dir = opendir(path);
    CU_ASSERT_PTR_NOT_NULL_FATAL(dir);
    for (const struct dirent *entry; (entry = readdir(dir)) != NULL;)
        count += entry->d_name[0] != '.';
    closedir(dir);
    return count;
}

static void start_with(site_t *site, const char *access)
{
    CU_ASSERT_EQUAL_FATAL(
        site_start_in_memory(site, (const char *const[]){"--workers", "2", "--limits.value_bytes",
                                                         "1000", "--log.access", access,
                                                         "--log.file", scratch_file(), NULL}),
        0);
}

/* Requests of each kind, those that the library answers by itself included. */
static const struct {
    const char *request;
    const char *method, *target; /* as the line has them */
    int status;
} kinds[] = {
    {"PUT /v1/kv/a HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc", "PUT", "/v1/kv/a", 201},
    {"GET /v1/kv/a HTTP/1.1\r\nHost: x\r\n\r\n", "GET", "/v1/kv/a", 200},
    {"HEAD /v1/kv/a?x HTTP/1.0\r\n\r\n", "HEAD", "/v1/kv/a?x", 200},
    {"GET /v1/kv/none HTTP/1.1\r\nHost: x\r\n\r\n", "GET", "/v1/kv/none", 404},
    {"GET /v1/kv/%zz HTTP/1.1\r\nHost: x\r\n\r\n", "GET", "/v1/kv/%zz", 400},
    {"GET /v1/kv/\"\\\xff\xc3\xa9 HTTP/1.1\r\nHost: x\r\n\r\n", "GET", "/v1/kv/\"\\%FF%C3%A9", 404},
    {"\"} / HTTP/1.1\r\nHost: x\r\n\r\n", "\"}", "/", 405},
    {"GET * HTTP/1.1\r\nHost: x\r\n\r\n", "GET", "*", 400},
    {"GET /set?key=b&value=1 HTTP/1.1\r\nHost: x\r\n\r\n", "GET", "/set?key=b&value=1", 201},
    {"PUT /v1/kv/big HTTP/1.1\r\nHost: x\r\nContent-Length: 999999\r\n\r\n", "PUT", "/v1/kv/big",
     413},
    {"PUT /v1/kv/e HTTP/1.1\r\nHost: x\r\nExpect: y\r\nContent-Length: 1\r\n\r\n", "PUT",
     "/v1/kv/e", 417},
    {"PUT /v1/kv/c HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", "PUT",
     "/v1/kv/c", 400},
};
#define KIND_COUNT (sizeof(kinds) / sizeof(kinds[0]))

/* Whether this line of JSON tells of the request and of the answer that was seen. */
static bool tells(const char *line, size_t kind, size_t body_bytes)
{
    json_t *json = json_loadb(line, strcspn(line, "\n"), JSON_REJECT_DUPLICATES, NULL);
    const char *peer = json_string_value(json_object_get(json, "peer"));
    const char *method = json_string_value(json_object_get(json, "method"));
    const char *target = json_string_value(json_object_get(json, "target"));
    bool is_good = peer != NULL && strcmp(peer, "127.0.0.1") == 0 && method != NULL &&
                   strcmp(method, kinds[kind].method) == 0 && target != NULL &&
                   strcmp(target, kinds[kind].target) == 0 &&
                   json_integer_value(json_object_get(json, "status")) == kinds[kind].status &&
                   json_integer_value(json_object_get(json, "bytes")) == (json_int_t)body_bytes &&
                   json_is_integer(json_object_get(json, "duration_us")) &&
                   json_object_get(json, "token") == NULL;
    if (!is_good)
        fprintf(stderr, "\n    %zu, %zu bytes: %.200s", kind, body_bytes, line);
    json_decref(json);
    return is_good;
}

static void every_kind_of_request_is_a_line(void)
{
    site_t site;
    http_conn_t conn;
    http_response_t res;
    size_t body_bytes[KIND_COUNT];

    start_with(&site, "json");
    for (size_t i = 0; i != KIND_COUNT; ++i) {
        site_open(&site, &conn);
        exchange_raw(&conn, kinds[i].request, strlen(kinds[i].request), kinds[i].method, &res);
        CU_ASSERT_EQUAL(res.status, kinds[i].status);
        body_bytes[i] = res.framing == HTTP_BODY_NONE ? 0 : res.body_bytes;
        http_response_dispose(&res);
        http_close(&conn);
        sleep_ms(250); /* two flushes: so the lines are in order, whichever worker it was */
    }
    CU_ASSERT_EQUAL(site_end(&site), 0);
    char *text = read_text(scratch_file());
    const char *line = text;
    CU_ASSERT_EQUAL_FATAL(count_lines(text), KIND_COUNT);
    for (size_t i = 0; i != KIND_COUNT; ++i, line = strchr(line, '\n') + 1)
        CU_ASSERT_TRUE(tells(line, i, body_bytes[i]));
    free(text);
    unlink(scratch_file());
}

static void nothing_is_lost_when_the_server_stops(void)
{
    static const char one[] = "GET /livez HTTP/1.1\r\nHost: x\r\n\r\n";
    enum { ROUNDS = 40, AT_ONCE = 100 };
    static char many[AT_ONCE * (sizeof(one) - 1)];
    site_t site;
    http_conn_t conn;
    http_response_t res;

    for (size_t i = 0; i != AT_ONCE; ++i)
        memcpy(many + i * (sizeof(one) - 1), one, sizeof(one) - 1);
    start_with(&site, "common");
    site_open(&site, &conn);
    for (int round = 0; round != ROUNDS; ++round) {
        CU_ASSERT_TRUE_FATAL(http_send(&conn, many, sizeof(many)));
        for (int i = 0; i != AT_ONCE; ++i) {
            CU_ASSERT_TRUE_FATAL(http_read_response(&conn, "GET", &res));
            http_response_dispose(&res);
        }
    }
    exchange(&conn, "GET", "/metrics", NULL, NULL, 0, &res);
    CU_ASSERT_PTR_NOT_NULL(strstr(res.body, "\ncairn_access_log_dropped_total 0\n"));
    http_response_dispose(&res);
    http_close(&conn);
    CU_ASSERT_EQUAL(site_end(&site), 0);
    char *text = read_text(scratch_file());
    CU_ASSERT_EQUAL(count_lines(text), ROUNDS * AT_ONCE + 1);
    CU_ASSERT_EQUAL(strncmp(text, "127.0.0.1 - - [", 15), 0);
    CU_ASSERT_PTR_NOT_NULL(strstr(text, "] \"GET /livez HTTP/1.1\" 204 -\n"));
    free(text);
    unlink(scratch_file());
}

/* abc is the secret of "alice", whose sum this is */
#define ALICE                                                                                      \
    "auth:\n  tokens:\n    - {name: alice, scope: read, sha256: "                                  \
    "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad}\n"

static void the_token_is_named_and_its_secret_is_not(void)
{
    site_t site;
    http_conn_t conn;

    scratch_write(ALICE, strlen(ALICE));
    CU_ASSERT_EQUAL_FATAL(
        site_start_in_memory(&site, (const char *const[]){"--config", scratch_file(),
                                                          "--log.access", "common", NULL}),
        0);
    site_open(&site, &conn);
    CU_ASSERT_EQUAL(
        exchange_status(&conn, "GET", "/get?key=1", "Authorization: Bearer abc\r\n", NULL, 0), 404);
    CU_ASSERT_EQUAL(
        exchange_status(&conn, "GET", "/set?key=1", "Authorization: Bearer abc\r\n", NULL, 0), 403);
    CU_ASSERT_EQUAL(
        exchange_status(&conn, "GET", "/get?key=2", "Authorization: Bearer ab\r\n", NULL, 0), 401);
    http_close(&conn);
    CU_ASSERT_EQUAL(server_stop(&site.server), 0);
    const char *output = server_output(&site.server); /* "-" is standard error */
    CU_ASSERT_PTR_NOT_NULL(strstr(output, "127.0.0.1 - alice ["));
    CU_ASSERT_PTR_NOT_NULL(strstr(output, "] \"GET /get?key=1 HTTP/1.1\" 404 "));
    CU_ASSERT_PTR_NOT_NULL(strstr(output, "] \"GET /set?key=1 HTTP/1.1\" 403 "));
    CU_ASSERT_PTR_NOT_NULL(strstr(output, "] \"GET /get?key=2 HTTP/1.1\" 401 "));
    CU_ASSERT_PTR_NOT_NULL(strstr(output, "127.0.0.1 - - ["));
    CU_ASSERT_PTR_NULL(strstr(output, "Bearer"));
    server_dispose(&site.server);
    unlink(scratch_file());
}

static void off_is_no_thread_and_no_line(void)
{
    site_t site;
    http_conn_t conn;
    size_t with, without;

    start_with(&site, "json");
    with = thread_count(site.server.pid);
    CU_ASSERT_EQUAL(site_end(&site), 0);
    unlink(scratch_file());
    start_with(&site, "off");
    without = thread_count(site.server.pid);
    site_open(&site, &conn);
    CU_ASSERT_EQUAL(exchange_status(&conn, "GET", "/livez", NULL, NULL, 0), 204);
    http_close(&conn);
    CU_ASSERT_EQUAL(without + 1, with);
    CU_ASSERT_EQUAL(site_end(&site), 0);
    CU_ASSERT_NOT_EQUAL(access(scratch_file(), F_OK), 0);
}

void suite_access_log(void)
{
    CU_pSuite s = CU_add_suite("access_log", scratch_make, scratch_remove);

    CU_add_test(s, "lines look as they should", lines_look_as_they_should);
    CU_add_test(s, "any target makes one line that parses", any_target_makes_one_line_that_parses);
    CU_add_test(s, "nothing is lost, and each ring is in order",
                nothing_is_lost_and_each_ring_is_in_order);
    CU_add_test(s, "a small ring loses only what it counts",
                a_small_ring_loses_only_what_it_counts);
    CU_add_test(s, "a full ring drops and counts", a_full_ring_drops_and_counts);
    CU_add_test(s, "a full disk is said once and counted", a_full_disk_is_said_once_and_counted);
    CU_add_test(s, "a file that was moved is left", a_file_that_was_moved_is_left);
    CU_add_test(s, "a pipe that nobody reads is not waited for",
                a_pipe_that_nobody_reads_is_not_waited_for);
    CU_add_test(s, "a file that cannot be opened is an error",
                a_file_that_cannot_be_opened_is_an_error);
    CU_add_test(s, "every kind of request is a line", every_kind_of_request_is_a_line);
    CU_add_test(s, "nothing is lost when the server stops", nothing_is_lost_when_the_server_stops);
    CU_add_test(s, "the token is named and its secret is not",
                the_token_is_named_and_its_secret_is_not);
    CU_add_test(s, "off is no thread and no line", off_is_no_thread_and_no_line);
}
