/*
 * A server of one's own, and exchanges with it that fit on a line.
 */
#include "tests/site.h"

#include <CUnit/CUnit.h>

#include <arpa/inet.h>
#include <dirent.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <jansson.h>

/* how long the server may take to notice that clients have gone; only a leak meets it */
#define SETTLE_MS 5000
/* and until a metric has the value that it must come to */
#define METRIC_MS 20000

int64_t monotonic_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

void sleep_ms(unsigned ms)
{
    nanosleep(&(struct timespec){.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000L}, NULL);
}

/* ---------------------------------------------------------------- the server */

static int start(site_t *site, const char *const *extra_args)
{
    if (server_start(&site->server, site->data, extra_args))
        return 0;
    fprintf(stderr, "%s\n", site->server.error);
    return 1;
}

int site_start(site_t *site, temp_dir_place_t place, const char *const *extra_args)
{
    *site = (site_t){.data = ""};
    if (!temp_dir_create(&site->dir, place)) {
        perror("temporary directory");
        return 1;
    }
    snprintf(site->data, sizeof(site->data), "%s/data", site->dir.path);
    return start(site, extra_args);
}

int site_start_in_memory(site_t *site, const char *const *extra_args)
{
    *site = (site_t){.data = ":memory:"};
    return start(site, extra_args);
}

void site_start_again(site_t *site, const char *const *extra_args)
{
    CU_ASSERT_EQUAL_FATAL(start(site, extra_args), 0);
}

int site_end(site_t *site)
{
    int ended = server_stop(&site->server);
    if (ended != 0)
        fprintf(stderr, "the server ended with %d: %s\n", ended, server_output(&site->server));
    server_dispose(&site->server);
    return temp_dir_remove(&site->dir) && ended == 0 ? 0 : 1;
}

uint16_t site_free_port(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t bytes = sizeof(address);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (bind(fd, (struct sockaddr *)&address, bytes) != 0)
        address.sin_port = 0;
    else
        getsockname(fd, (struct sockaddr *)&address, &bytes);
    close(fd);
    return ntohs(address.sin_port);
}

/* ---------------------------------------------------------------- exchanges */

void site_open(const site_t *site, http_conn_t *conn)
{
    bool is_open = http_open(conn, site->server.port);
    if (!is_open)
        fprintf(stderr, "\n    %s", conn->error);
    CU_ASSERT_TRUE_FATAL(is_open);
}

static void must_be_answered(http_conn_t *conn, bool is_answered, const char *what)
{
    if (!is_answered) {
        fprintf(stderr, "\n    %.60s: %s", what, conn->error);
        http_close(conn);
    }
    CU_ASSERT_TRUE_FATAL(is_answered);
}

void exchange(http_conn_t *conn, const char *method, const char *target, const char *headers,
              const void *body, size_t body_bytes, http_response_t *res)
{
    must_be_answered(conn, http_request(conn, method, target, headers, body, body_bytes, res),
                     target);
}

int exchange_status(http_conn_t *conn, const char *method, const char *target, const char *headers,
                    const void *body, size_t body_bytes)
{
    http_response_t res;
    exchange(conn, method, target, headers, body, body_bytes, &res);
    int status = res.status;
    http_response_dispose(&res);
    return status;
}

void exchange_raw(http_conn_t *conn, const void *bytes, size_t count, const char *method,
                  http_response_t *res)
{
    /* a server that refuses may close before it has taken all: what counts is its answer */
    http_send(conn, bytes, count);
    must_be_answered(conn, http_read_response(conn, method, res), bytes);
}

uint64_t exchange_version(http_conn_t *conn, const char *method, const char *target,
                          const char *headers, const char *body, int status)
{
    http_response_t res;
    exchange(conn, method, target, headers, body, body != NULL ? strlen(body) : 0, &res);
    uint64_t version = http_header(&res, "etag") != NULL ? version_of(&res) : 0;
    if (res.status != status)
        fprintf(stderr, "\n    %s %s: %d %s", method, target, res.status, res.body);
    CU_ASSERT_EQUAL(res.status, status);
    http_response_dispose(&res);
    return version;
}

bool exchange_is_problem(http_conn_t *conn, const char *method, const char *target,
                         const char *headers, const char *body, int status, const char *code)
{
    http_response_t res;
    exchange(conn, method, target, headers, body, body != NULL ? strlen(body) : 0, &res);
    bool is_right = is_problem(&res, status, code);
    http_response_dispose(&res);
    return is_right;
}

bool exchange_gives_bytes(http_conn_t *conn, const char *target, const void *bytes, size_t count)
{
    http_response_t res;
    exchange(conn, "GET", target, NULL, NULL, 0, &res);
    bool has = res.status == 200 && body_is(&res, bytes, count);
    if (!has)
        fprintf(stderr, "\n    %s: %d %.80s", target, res.status, res.body);
    http_response_dispose(&res);
    return has;
}

bool exchange_gives(http_conn_t *conn, const char *target, const char *text)
{
    return exchange_gives_bytes(conn, target, text, strlen(text));
}

const char *tagged(const char *name, uint64_t version)
{
    static char lines[4][64];
    static size_t next;
    char *line = lines[next++ % 4];
    snprintf(line, sizeof(lines[0]), "%s: \"%" PRIu64 "\"\r\n", name, version);
    return line;
}

const char *dated(const char *name, time_t t)
{
    static char lines[4][96];
    static size_t next;
    char *line = lines[next++ % 4], date[64];
    struct tm tm;
    strftime(date, sizeof(date), "%a, %d %b %Y %H:%M:%S GMT", gmtime_r(&t, &tm));
    snprintf(line, sizeof(lines[0]), "%s: %s\r\n", name, date);
    return line;
}

time_t date_of(const http_response_t *res, const char *name)
{
    struct tm tm = {.tm_mday = 1};
    const char *text = http_header(res, name);
    CU_ASSERT_PTR_NOT_NULL_FATAL(text);
    CU_ASSERT_PTR_NOT_NULL_FATAL(strptime(text, "%a, %d %b %Y %H:%M:%S GMT", &tm));
    return timegm(&tm);
}

bool site_answers(const site_t *site)
{
    http_conn_t conn;
    http_response_t res;
    if (!http_open(&conn, site->server.port)) {
        fprintf(stderr, "\n    %s", conn.error);
        return false;
    }
    bool answers = http_request(&conn, "GET", "/", NULL, NULL, 0, &res) && res.status == 200;
    if (!answers)
        fprintf(stderr, "\n    GET /: %s", conn.error);
    http_response_dispose(&res);
    http_close(&conn);
    return answers;
}

/* ---------------------------------------------------------------- answers */

static bool says(const char *what, const char *got, const char *expected)
{
    if (got != NULL && strcmp(got, expected) == 0)
        return true;
    fprintf(stderr, "\n    %s: \"%s\" instead of \"%s\"", what, got != NULL ? got : "(nothing)",
            expected);
    return false;
}

bool header_is(const http_response_t *res, const char *name, const char *expected)
{
    return says(name, http_header(res, name), expected);
}

bool body_is(const http_response_t *res, const void *bytes, size_t count)
{
    if (res->body_bytes == count && (count == 0 || memcmp(res->body, bytes, count) == 0))
        return true;
    fprintf(stderr, "\n    a body of %zu bytes, \"%.60s\", instead of %zu", res->body_bytes,
            res->body, count);
    return false;
}

static bool has_members(const json_t *json, int status, const char *code)
{
    const char *title = json_string_value(json_object_get(json, "title"));
    const char *detail = json_string_value(json_object_get(json, "detail"));
    return says("code", json_string_value(json_object_get(json, "code")), code) &&
           json_integer_value(json_object_get(json, "status")) == status && title != NULL &&
           title[0] != '\0' && detail != NULL && detail[0] != '\0';
}

bool is_problem(const http_response_t *res, int status, const char *code)
{
    if (res->status != status || !header_is(res, "content-type", "application/problem+json")) {
        fprintf(stderr, "\n    %d instead of %d %s: %.200s", res->status, status, code, res->body);
        return false;
    }
    if (res->framing == HTTP_BODY_NONE)
        return true;
    json_t *json = json_loadb(res->body, res->body_bytes, JSON_REJECT_DUPLICATES, NULL);
    bool is_good = has_members(json, status, code);
    if (!is_good)
        fprintf(stderr, "\n    not the problem expected: %.200s", res->body);
    json_decref(json);
    return is_good;
}

bool detail_has(const http_response_t *res, const char *text)
{
    json_t *json = json_loadb(res->body, res->body_bytes, 0, NULL);
    const char *detail = json_string_value(json_object_get(json, "detail"));
    bool has = detail != NULL && strstr(detail, text) != NULL;
    if (!has)
        fprintf(stderr, "\n    no \"%s\" in: %s", text, detail != NULL ? detail : "(nothing)");
    json_decref(json);
    return has;
}

uint64_t version_of(const http_response_t *res)
{
    const char *etag = http_header(res, "etag");
    if (etag == NULL || http_header_count(res, "etag") != 1)
        return 0;
    size_t digits = etag[0] == '"' ? strspn(etag + 1, "0123456789") : 0;
    return digits != 0 && strcmp(etag + 1 + digits, "\"") == 0 ? strtoull(etag + 1, NULL, 10) : 0;
}

/* ---------------------------------------------------------------- metrics */

double site_metric(http_conn_t *conn, const char *name)
{
    http_response_t res;
    exchange(conn, "GET", "/metrics", NULL, NULL, 0, &res);
    char line[64];
    snprintf(line, sizeof(line), "\n%s ", name);
    const char *at = strstr(res.body, line);
    double value = at != NULL ? strtod(at + strlen(line), NULL) : -1;
    http_response_dispose(&res);
    return value;
}

bool site_metric_comes_to(http_conn_t *conn, const char *name, double value)
{
    for (int64_t until = monotonic_ms() + METRIC_MS; monotonic_ms() < until; sleep_ms(10))
        if (site_metric(conn, name) == value)
            return true;
    fprintf(stderr, "\n%s is %g\n", name, site_metric(conn, name));
    return false;
}

/* ---------------------------------------------------------------- the process */

size_t open_fd_count(pid_t pid)
{
    char path[64];
    size_t count = 0;
    snprintf(path, sizeof(path), "/proc/%d/fd", (int)pid);
    DIR *dir = opendir(path);
    if (dir == NULL)
        return 0;
    for (const struct dirent *entry; (entry = readdir(dir)) != NULL;)
        count += entry->d_name[0] != '.';
    closedir(dir);
    return count;
}

/** of a process: descriptors of segments, and of files that are being made */
static void count_files(pid_t pid, size_t *segments, size_t *others)
{
    char path[400], file[300];
    snprintf(path, sizeof(path), "/proc/%d/fd", (int)pid);
    DIR *dir = opendir(path);
    *segments = *others = 0;
    if (dir == NULL)
        return;
    for (const struct dirent *entry; (entry = readdir(dir)) != NULL;) {
        snprintf(path, sizeof(path), "/proc/%d/fd/%s", (int)pid, entry->d_name);
        ssize_t n = readlink(path, file, sizeof(file) - 1);
        if (n <= 0)
            continue;
        file[n] = '\0';
        if (strstr(file, "cairn-segment") != NULL ||
            strcmp(file + n - (n > 4 ? 4 : n), ".seg") == 0)
            ++*segments;
        else if (strstr(file, ".tmp") != NULL || strstr(file, "cairn-keys") != NULL)
            ++*others;
    }
    closedir(dir);
}

size_t fd_base_line(pid_t pid)
{
    size_t segments = 0, others = 0;
    for (int64_t deadline_ms = monotonic_ms() + SETTLE_MS; monotonic_ms() < deadline_ms;
         sleep_ms(1)) {
        count_files(pid, &segments, &others);
        if (segments == 2 && others == 0)
            return open_fd_count(pid);
    }
    fprintf(stderr, "\n    %zu segments and %zu other files stay open", segments, others);
    CU_FAIL("the server does not come to rest");
    return 0;
}

bool fd_count_comes_to(pid_t pid, size_t count)
{
    size_t now = 0;
    for (int64_t deadline_ms = monotonic_ms() + SETTLE_MS; monotonic_ms() < deadline_ms;
         sleep_ms(1)) {
        now = open_fd_count(pid);
        if (now != 0 && now <= count)
            return true;
    }
    fprintf(stderr, "\n    %zu descriptors are open instead of %zu", now, count);
    return false;
}

char *noise(size_t count, uint64_t seed)
{
    char *bytes = malloc(count + 1);
    CU_ASSERT_PTR_NOT_NULL_FATAL(bytes);
    uint64_t state = seed * 0x9E3779B97F4A7C15u + 1;
    for (size_t i = 0; i != count; ++i) {
        state = state * 6364136223846793005u + 1442695040888963407u;
        bytes[i] = (char)(state >> 56);
    }
    bytes[count] = '\0';
    return bytes;
}
