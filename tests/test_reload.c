/*
 * Does SIGHUP change what it may, name what it may not, and survive a file with a mistake?
 */
#include <CUnit/CUnit.h>

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <openssl/evp.h>

#include "tests/site.h"
#include "tests/stream.h"
#include "tests/suites.h"

static site_t site;
static temp_dir_t dir;
static char config[300];

static void write_config(const char *text)
{
    FILE *file = fopen(config, "w");
    CU_ASSERT_PTR_NOT_NULL_FATAL(file);
    fputs(text, file);
    CU_ASSERT_EQUAL(fclose(file), 0);
}

static int make_dir(void)
{
    if (!temp_dir_create(&dir, TEMP_DIR_ON_DISK))
        return 1;
    snprintf(config, sizeof(config), "%s/config.yaml", dir.path);
    return 0;
}

static int remove_dir(void)
{
    return temp_dir_remove(&dir) ? 0 : 1;
}

static void start(const char *text, const char *flag)
{
    const char *const extra[] = {"--config", config, flag, NULL};
    write_config(text);
    CU_ASSERT_EQUAL_FATAL(site_start_in_memory(&site, extra), 0);
}

static void stop(void)
{
    CU_ASSERT_EQUAL(server_stop(&site.server), 0);
    server_dispose(&site.server);
}

static size_t count_of(const char *text, const char *word)
{
    size_t count = 0;
    for (; (text = strstr(text, word)) != NULL; text += strlen(word))
        ++count;
    return count;
}

/* how often it has said so comes to `count` */
static bool comes_to_say(const char *word, size_t count)
{
    for (int64_t deadline_ms = monotonic_ms() + 10000; monotonic_ms() < deadline_ms; sleep_ms(1))
        if (count_of(server_output(&site.server), word) == count)
            return true;
    fprintf(stderr, "\n    not %zu times \"%s\": %s", count, word, server_output(&site.server));
    return false;
}

static void reload(const char *text, const char *end, size_t count)
{
    write_config(text);
    kill(site.server.pid, SIGHUP);
    CU_ASSERT(comes_to_say(end, count));
}

static int put(const char *method, const char *target, size_t bytes)
{
    http_conn_t conn;
    char *value = noise(bytes, 7);
    site_open(&site, &conn);
    int status = exchange_status(&conn, method, target, NULL, value, bytes);
    http_close(&conn);
    free(value);
    return status;
}

static void the_value_limit_moves(void)
{
    start("limits:\n  value_bytes: 1000B\n", NULL);
    CU_ASSERT_EQUAL(put("PUT", "/v1/kv/a", 1001), 413);
    reload("limits:\n  value_bytes: 300000B\n", "reload: done", 1);
    CU_ASSERT(comes_to_say("limits.value_bytes has its new value", 1));
    /* further than the library let a body come before */
    CU_ASSERT_EQUAL(put("PUT", "/v1/kv/a", 300000), 201);
    CU_ASSERT_EQUAL(put("PUT", "/v1/kv/a", 300001), 413);
    CU_ASSERT_EQUAL(put("POST", "/v1/append/a", 1), 413);
    reload("limits:\n  value_bytes: 300001B\n", "reload: done", 2);
    CU_ASSERT_EQUAL(put("POST", "/v1/append/a", 1), 204);
    /* what does not fit into the segments there are */
    reload("storage:\n  segment_bytes: 1GiB\nlimits:\n  value_bytes: 100MiB\n", "reload: done", 3);
    CU_ASSERT(comes_to_say("storage.segment_bytes: a new value needs a restart", 1));
    CU_ASSERT(comes_to_say("limits.value_bytes: 104857600 bytes need a restart; up to ", 1));
    CU_ASSERT_EQUAL(put("POST", "/v1/append/a", 1), 413);
    stop();
}

static void the_idle_timeout_moves(void)
{
    http_conn_t conn;
    start("limits:\n  idle_timeout: 1h\n", NULL);
    reload("limits:\n  idle_timeout: 200ms\n", "reload: done", 1);
    sleep_ms(150); /* the workers have heard of it after a turn of their loops */
    site_open(&site, &conn);
    CU_ASSERT_EQUAL(exchange_status(&conn, "GET", "/livez", NULL, NULL, 0), 204);
    CU_ASSERT(http_server_closes_within(&conn, 5000));
    http_close(&conn);
    stop();
}

static void the_shutdown_timeout_moves(void)
{
    static const char half[] = "PUT /v1/kv/a HTTP/1.1\r\nHost: t\r\nContent-Length: 9\r\n\r\nabc";
    http_conn_t conn;
    start("limits:\n  shutdown_timeout: 10m\n", NULL);
    reload("limits:\n  shutdown_timeout: 100ms\n", "reload: done", 1);
    site_open(&site, &conn);
    CU_ASSERT(http_send(&conn, half, strlen(half)));
    int64_t began_ms = monotonic_ms();
    stop();
    CU_ASSERT(monotonic_ms() - began_ms < 10000);
    http_close(&conn);
}

/* one request for one get, or two; over and over, until a worker has heard of it */
static bool batch_comes_to(size_t gets, int status)
{
    static const char get[] = "{\"op\":\"get\",\"key\":\"none\"}\n";
    char body[2 * sizeof(get)] = "";
    for (size_t i = 0; i < gets; ++i)
        strcat(body, get);
    for (int64_t deadline_ms = monotonic_ms() + 10000; monotonic_ms() < deadline_ms; sleep_ms(1)) {
        http_conn_t conn;
        site_open(&site, &conn);
        int got = exchange_status(&conn, "POST", "/v1/batch", NULL, body, strlen(body));
        http_close(&conn);
        if (got == status)
            return true;
    }
    return false;
}

static void other_limits_move(void)
{
    http_conn_t conn, more;
    http_response_t res;
    start("workers: 1\nlimits:\n  batch_ops: 1\n  connections: 1\n  wait: 1h\n", NULL);
    CU_ASSERT(batch_comes_to(1, 200));
    CU_ASSERT(batch_comes_to(2, 413));
    reload("workers: 1\nlimits:\n  batch_ops: 2\n  connections: 2\n  wait: 300ms\n"
           "  read_rate: 0\n  stall: 1s\n  body_bytes: 512MiB\n",
           "reload: done", 1);
    CU_ASSERT(comes_to_say("limits.batch_ops has its new value", 1));
    CU_ASSERT(comes_to_say("limits.body_bytes has its new value", 1));
    CU_ASSERT(comes_to_say("needs a restart", 0));
    CU_ASSERT(batch_comes_to(2, 200));
    /* two connections at once, and a wait that ends soon */
    site_open(&site, &conn);
    CU_ASSERT_EQUAL(exchange_status(&conn, "GET", "/livez", NULL, NULL, 0), 204);
    site_open(&site, &more);
    int64_t began_ms = monotonic_ms();
    exchange(&more, "GET", "/v1/changes?since=now&wait=1h", NULL, NULL, 0, &res);
    CU_ASSERT_EQUAL(res.status, 200);
    CU_ASSERT(monotonic_ms() - began_ms >= 300);
    http_response_dispose(&res);
    http_close(&more);
    http_close(&conn);
    stop();
}

/* how many of some writes that come at once are told that the queue is full */
static int refused_of_many(void)
{
    enum { WRITERS = 16, ROUNDS = 50 };
    static const char put[] = "PUT /v1/kv/q HTTP/1.1\r\nHost: t\r\nContent-Length: 1\r\n\r\nx";
    http_conn_t conns[WRITERS];
    http_response_t res;
    int refused = 0;
    for (int i = 0; i != WRITERS; ++i)
        site_open(&site, &conns[i]);
    for (int round = 0; round != ROUNDS; ++round) {
        for (int i = 0; i != WRITERS; ++i)
            CU_ASSERT(http_send(&conns[i], put, sizeof(put) - 1));
        for (int i = 0; i != WRITERS; ++i) {
            CU_ASSERT_TRUE_FATAL(http_read_response(&conns[i], "PUT", &res));
            CU_ASSERT(res.status != 503 || detail_has(&res, "limits.queue_ops, 1,"));
            refused += res.status == 503;
            http_response_dispose(&res);
        }
    }
    for (int i = 0; i != WRITERS; ++i)
        http_close(&conns[i]);
    return refused;
}

static void the_queue_moves(void)
{
    start("workers: 1\n", NULL);
    CU_ASSERT_EQUAL(refused_of_many(), 0);
    reload("workers: 1\nlimits:\n  queue_ops: 1\n", "reload: done", 1);
    CU_ASSERT(comes_to_say("limits.queue_ops has its new value", 1));
    sleep_ms(150); /* the worker has heard of it after a turn of its loop */
    CU_ASSERT(refused_of_many() > 0);
    reload("workers: 1\nlimits:\n  queue_bytes: 64MiB\n", "reload: done", 2);
    CU_ASSERT(comes_to_say("limits.queue_bytes has its new value", 1));
    CU_ASSERT_EQUAL(refused_of_many(), 0);
    stop();
}

static void what_may_not_change_is_named(void)
{
    start("workers: 1\n", "--limits.value_bytes=10B");
    reload("workers: 2\nlisten: \":1\"\nstorage:\n  path: /nowhere\n  durability: async\n"
           "limits:\n  value_bytes: 20B\n",
           "reload: done", 1);
    CU_ASSERT(comes_to_say("reload: workers: a new value needs a restart", 1));
    CU_ASSERT(comes_to_say("reload: storage.durability: a new value needs a restart", 1));
    /* what a flag has set is as it was, whatever the file says */
    CU_ASSERT(comes_to_say("listen:", 0));
    CU_ASSERT(comes_to_say("storage.path:", 0));
    CU_ASSERT(comes_to_say("has its new value", 0));
    CU_ASSERT_EQUAL(put("PUT", "/v1/kv/a", 11), 413);
    CU_ASSERT(site_answers(&site));
    stop();
}

static void a_mistake_changes_nothing(void)
{
    start("limits:\n  value_bytes: 10B\n", NULL);
    reload("limits:\n  value_bytes: 20B\n  idle_timeout: soon\n", "nothing has changed", 1);
    CU_ASSERT(comes_to_say("config.yaml:3: limits.idle_timeout: \"soon\" is not a time", 1));
    CU_ASSERT_EQUAL(put("PUT", "/v1/kv/a", 11), 413);
    CU_ASSERT_EQUAL(remove(config), 0);
    kill(site.server.pid, SIGHUP);
    CU_ASSERT(comes_to_say("nothing has changed", 2));
    CU_ASSERT(comes_to_say("No such file", 1));
    /* and the next one is read as if nothing had been */
    reload("limits:\n  value_bytes: 20B\n", "reload: done", 1);
    CU_ASSERT_EQUAL(put("PUT", "/v1/kv/a", 11), 201);
    stop();
}

/* adds a token to the text of a config; its secret is its name */
static size_t add_token(char *text, const char *name, const char *scope, const char *prefix)
{
    unsigned char sum[EVP_MAX_MD_SIZE];
    EVP_Digest(name, strlen(name), sum, NULL, EVP_sha256(), NULL);
    size_t at = (size_t)sprintf(text, "    - name: %s\n      scope: %s\n", name, scope);
    if (prefix != NULL)
        at += (size_t)sprintf(text + at, "      prefix: %s\n", prefix);
    at += (size_t)sprintf(text + at, "      sha256: ");
    for (size_t i = 0; i < 32; ++i)
        at += (size_t)sprintf(text + at, "%02x", sum[i]);
    return at + (size_t)sprintf(text + at, "\n");
}

/* a config with one token, which may do everything */
static const char *config_of_token(const char *name)
{
    static char text[300];
    size_t at = (size_t)sprintf(text, "auth:\n  tokens:\n");
    add_token(text + at, name, "admin", NULL);
    return text;
}

/* workers hear of other tokens soon after the reload is done */
static bool comes_to_answer(http_conn_t *conn, const char *headers, int status)
{
    for (int64_t deadline_ms = monotonic_ms() + 10000; monotonic_ms() < deadline_ms; sleep_ms(1))
        if (exchange_status(conn, "GET", "/v1/stats", headers, NULL, 0) == status)
            return true;
    return false;
}

static void tokens_are_replaced(void)
{
    static const char old[] = "Authorization: Bearer first\r\n";
    static const char new[] = "Authorization: Bearer second\r\n";
    http_conn_t conn;
    start(config_of_token("first"), NULL);
    site_open(&site, &conn);
    CU_ASSERT_EQUAL(exchange_status(&conn, "GET", "/v1/stats", old, NULL, 0), 200);
    CU_ASSERT_EQUAL(exchange_status(&conn, "GET", "/v1/stats", new, NULL, 0), 401);
    reload(config_of_token("second"), "reload: done", 1);
    CU_ASSERT(comes_to_say("auth.tokens: 1 in force", 1));
    /* on the connection there was, too */
    CU_ASSERT(comes_to_answer(&conn, old, 401));
    CU_ASSERT_EQUAL(exchange_status(&conn, "GET", "/v1/stats", new, NULL, 0), 200);
    reload("auth:\n  tokens:\n    - name: third\n", "nothing has changed", 1);
    CU_ASSERT_EQUAL(exchange_status(&conn, "GET", "/v1/stats", NULL, NULL, 0), 401);
    CU_ASSERT_EQUAL(exchange_status(&conn, "GET", "/v1/stats", new, NULL, 0), 200);
    reload("workers: auto\n", "reload: done", 2);
    CU_ASSERT(comes_to_say("everyone may do everything", 1));
    CU_ASSERT(comes_to_answer(&conn, NULL, 200));
    http_close(&conn);
    stop();
}

/* starts a server with a token for each of these, which may read, and a stream with each of them */
static void open_streams(stream_t *streams, const char *const *names, size_t count)
{
    char text[2000], headers[128];
    size_t at = (size_t)sprintf(text, "auth:\n  tokens:\n");
    for (size_t i = 0; i < count; ++i)
        at += add_token(text + at, names[i], "read", NULL);
    start(text, NULL);
    for (size_t i = 0; i < count; ++i) {
        snprintf(headers, sizeof(headers),
                 "Accept: text/event-stream\r\nAuthorization: Bearer %s\r\n", names[i]);
        CU_ASSERT_FATAL(
            stream_open(&streams[i], site.server.port, "/v1/changes?prefix=shop", headers, false));
        CU_ASSERT_FATAL(stream_wait_for(&streams[i], ":\n\n", 10000));
    }
}

/* what follows the log has been let in long ago: it is judged anew */
static void a_stream_ends_with_its_token(void)
{
    enum { GONE, NARROWER, OTHERS, KEPT, WIDER, STREAMS };
    static const char *const names[STREAMS] = {"gone", "narrower", "others", "kept", "wider"};
    char text[2000];
    stream_t streams[STREAMS];
    http_conn_t conn, waiting;
    http_response_t res;
    open_streams(streams, names, STREAMS);
    static const char poll[] = "GET /v1/changes?since=now&wait=1m HTTP/1.1\r\nHost: x\r\n"
                               "Authorization: Bearer gone\r\n\r\n";
    site_open(&site, &waiting);
    CU_ASSERT_FATAL(http_send(&waiting, poll, sizeof(poll) - 1));

    size_t at = (size_t)sprintf(text, "auth:\n  tokens:\n");
    at += add_token(text + at, names[NARROWER], "read", "shop/");
    at += add_token(text + at, names[OTHERS], "read", "other/");
    at += add_token(text + at, names[KEPT], "read", NULL);
    add_token(text + at, names[WIDER], "admin", "shop");
    reload(text, "reload: done", 1);
    for (size_t i = GONE; i <= OTHERS; ++i) {
        CU_ASSERT(stream_wait_for_end(&streams[i], 10000));
        CU_ASSERT_PTR_NOT_NULL(strstr(streams[i].text, "event: error\n"));
        CU_ASSERT_PTR_NOT_NULL(strstr(streams[i].text, i == GONE ? "\"code\":\"unauthorized\""
                                                                 : "\"code\":\"forbidden\""));
        stream_close(&streams[i]);
    }
    CU_ASSERT_FATAL(http_read_response(&waiting, "GET", &res));
    CU_ASSERT(is_problem(&res, 401, "unauthorized"));
    CU_ASSERT_PTR_NOT_NULL(http_header(&res, "www-authenticate"));
    http_response_dispose(&res);
    http_close(&waiting);

    site_open(&site, &conn);
    CU_ASSERT_EQUAL(
        exchange_status(&conn, "PUT", "/v1/kv/shop/1", "Authorization: Bearer wider\r\n", "x", 1),
        201);
    for (size_t i = KEPT; i <= WIDER; ++i)
        CU_ASSERT(stream_wait_for(&streams[i], "\"key\":\"shop/1\"", 10000));
    /* without tokens everyone may follow; with tokens again those who then have none may not */
    reload("workers: auto\n", "reload: done", 2);
    CU_ASSERT(comes_to_answer(&conn, NULL, 200));
    CU_ASSERT_EQUAL(exchange_status(&conn, "PUT", "/v1/kv/shop/2", NULL, "x", 1), 201);
    for (size_t i = KEPT; i <= WIDER; ++i)
        CU_ASSERT(stream_wait_for(&streams[i], "\"key\":\"shop/2\"", 10000));
    CU_ASSERT_FATAL(stream_open(&streams[GONE], site.server.port, "/v1/changes?since=now",
                                "Accept: text/event-stream\r\n", false));
    CU_ASSERT_FATAL(stream_wait_for(&streams[GONE], ":\n\n", 10000));
    reload(config_of_token(names[KEPT]), "reload: done", 3);
    CU_ASSERT(stream_wait_for_end(&streams[GONE], 10000));
    CU_ASSERT(stream_wait_for_end(&streams[WIDER], 10000));
    CU_ASSERT_EQUAL(
        exchange_status(&conn, "PUT", "/v1/kv/shop/3", "Authorization: Bearer kept\r\n", "x", 1),
        201);
    CU_ASSERT(stream_wait_for(&streams[KEPT], "\"key\":\"shop/3\"", 10000));
    CU_ASSERT_PTR_NULL(strstr(streams[WIDER].text, "\"key\":\"shop/3\""));
    stream_close(&streams[GONE]);
    stream_close(&streams[KEPT]);
    stream_close(&streams[WIDER]);
    http_close(&conn);
    stop();
}

static bool holds(const char *path, const char *word)
{
    char text[8192];
    FILE *file = fopen(path, "r");
    size_t bytes = file == NULL ? 0 : fread(text, 1, sizeof(text) - 1, file);
    if (file != NULL)
        fclose(file);
    text[bytes] = '\0';
    return strstr(text, word) != NULL;
}

static bool comes_to_hold(const char *path, const char *word)
{
    for (int64_t deadline_ms = monotonic_ms() + 10000; monotonic_ms() < deadline_ms; sleep_ms(1))
        if (holds(path, word))
            return true;
    return false;
}

static bool comes_to_exist(const char *path)
{
    for (int64_t deadline_ms = monotonic_ms() + 10000; monotonic_ms() < deadline_ms; sleep_ms(1))
        if (access(path, F_OK) == 0)
            return true;
    return false;
}

static void the_access_log_is_reopened(void)
{
    char path[300], moved[310], text[400];
    snprintf(path, sizeof(path), "%s/access.log", dir.path);
    snprintf(moved, sizeof(moved), "%s.1", path);
    snprintf(text, sizeof(text), "log:\n  access: common\n  file: \"%s\"\n", path);
    start(text, NULL);
    CU_ASSERT_EQUAL(put("PUT", "/v1/kv/one", 1), 201);
    CU_ASSERT(comes_to_hold(path, "PUT /v1/kv/one "));
    CU_ASSERT_EQUAL(rename(path, moved), 0);
    CU_ASSERT_EQUAL(put("PUT", "/v1/kv/two", 1), 201);
    CU_ASSERT(comes_to_hold(moved, "PUT /v1/kv/two "));
    reload(text, "reload: done", 1);
    CU_ASSERT(comes_to_exist(path));
    CU_ASSERT_EQUAL(put("PUT", "/v1/kv/three", 1), 201);
    CU_ASSERT(comes_to_hold(path, "PUT /v1/kv/three "));
    /* also with a mistake in the config */
    CU_ASSERT_EQUAL(rename(path, moved), 0);
    reload("limits: none\n", "nothing has changed", 1);
    CU_ASSERT(comes_to_exist(path));
    CU_ASSERT_EQUAL(put("PUT", "/v1/kv/four", 1), 201);
    CU_ASSERT(comes_to_hold(path, "PUT /v1/kv/four "));
    stop();
}

static void the_access_log_is_turned_on_and_off(void)
{
    char path[300], text[400], nowhere[400];
    snprintf(path, sizeof(path), "%s/switched.log", dir.path);
    snprintf(text, sizeof(text), "log:\n  access: off\n  file: \"%s\"\n", path);
    start(text, NULL);
    CU_ASSERT_EQUAL(put("PUT", "/v1/kv/before", 1), 201);
    snprintf(text, sizeof(text), "log:\n  access: common\n  file: \"%s\"\n", path);
    reload(text, "reload: done", 1);
    CU_ASSERT(comes_to_say("log.access has its new value", 1));
    for (int i = 0; i < 100 && !holds(path, "\"PUT /v1/kv/common "); ++i) {
        put("PUT", "/v1/kv/common", 1);
        sleep_ms(100); /* a worker hears of it, and a line is written, in about that time */
    }
    CU_ASSERT(comes_to_hold(path, "\"PUT /v1/kv/common "));
    snprintf(text, sizeof(text), "log:\n  access: json\n  file: \"%s\"\n", path);
    reload(text, "reload: done", 2);
    sleep_ms(200); /* for the workers to hear of it */
    CU_ASSERT_EQUAL(put("PUT", "/v1/kv/json", 1), 201);
    CU_ASSERT(comes_to_hold(path, "\"target\":\"/v1/kv/json\""));
    snprintf(text, sizeof(text), "log:\n  access: off\n  file: \"%s\"\n", path);
    reload(text, "reload: done", 3);
    sleep_ms(200);
    CU_ASSERT_EQUAL(put("PUT", "/v1/kv/silent", 1), 201);
    snprintf(text, sizeof(text), "log:\n  access: common\n  file: \"%s\"\n", path);
    reload(text, "reload: done", 4);
    sleep_ms(200);
    CU_ASSERT_EQUAL(put("PUT", "/v1/kv/again", 1), 201);
    CU_ASSERT(comes_to_hold(path, "\"PUT /v1/kv/again "));
    CU_ASSERT_FALSE(holds(path, "/v1/kv/silent"));
    CU_ASSERT_FALSE(holds(path, "/v1/kv/before"));
    stop();

    snprintf(nowhere, sizeof(nowhere), "log:\n  access: off\n  file: /nowhere/access.log\n");
    start(nowhere, NULL);
    reload("log:\n  access: common\n  file: /nowhere/access.log\n", "reload: done", 1);
    CU_ASSERT(comes_to_say("access log: open /nowhere/access.log: No such file or directory; it "
                           "stays off",
                           1));
    CU_ASSERT(site_answers(&site));
    stop();
}

static bool comes_to_take(size_t bytes)
{
    for (int64_t deadline_ms = monotonic_ms() + 10000; monotonic_ms() < deadline_ms; sleep_ms(1))
        if (put("PUT", "/v1/kv/a", bytes) == 201)
            return true;
    return false;
}

static void the_level_of_the_log_moves(void)
{
    start("limits:\n  value_bytes: 10B\n", NULL);
    /* nothing is said of this: that it is done is seen by the other value that it sets */
    write_config("limits:\n  value_bytes: 20B\nlog:\n  level: error\n");
    kill(site.server.pid, SIGHUP);
    CU_ASSERT(comes_to_take(11));
    reload("log:\n  level: loud\n", "Z error: reload: ", 1);
    CU_ASSERT(comes_to_say("log.level: \"loud\" is not a level", 1));
    CU_ASSERT(comes_to_say("Z info: ", 0));
    /* by the new level, the reload that sets it already says what there is to say */
    reload("workers: 3\nlog:\n  level: warning\n",
           "Z warning: reload: workers: a new value needs a restart", 1);
    reload("limits:\n  value_bytes: 20B\nlog:\n  level: info\n", "reload: done", 1);
    CU_ASSERT(comes_to_say("Z info: reload: log.level has its new value", 1));
    CU_ASSERT(comes_to_say("Z info: reload: done", 1));
    CU_ASSERT_EQUAL(server_stop(&site.server), 0);
    CU_ASSERT(comes_to_say("Z info: SIGTERM: stopping", 1));
    server_dispose(&site.server);

    start("log:\n  level: info\n", "--log.level=warning");
    CU_ASSERT_EQUAL(server_stop(&site.server), 0);
    CU_ASSERT(comes_to_say("stop", 0));
    server_dispose(&site.server);
}

static void without_a_file(void)
{
    CU_ASSERT_EQUAL_FATAL(site_start_in_memory(&site, NULL), 0);
    kill(site.server.pid, SIGHUP);
    CU_ASSERT(comes_to_say("reload: done", 1));
    CU_ASSERT(comes_to_say("needs a restart", 0));
    CU_ASSERT(site_answers(&site));
    stop();
}

void suite_reload(void)
{
    CU_pSuite s = CU_add_suite("reload", make_dir, remove_dir);
    CU_add_test(s, "limits.value_bytes moves if it fits", the_value_limit_moves);
    CU_add_test(s, "limits.idle_timeout moves", the_idle_timeout_moves);
    CU_add_test(s, "limits.shutdown_timeout moves", the_shutdown_timeout_moves);
    CU_add_test(s, "other limits move", other_limits_move);
    CU_add_test(s, "those of the queue move", the_queue_moves);
    CU_add_test(s, "what may not change is named and stays", what_may_not_change_is_named);
    CU_add_test(s, "a file with a mistake changes nothing", a_mistake_changes_nothing);
    CU_add_test(s, "tokens are replaced, on open connections too", tokens_are_replaced);
    CU_add_test(s, "a stream ends with its token", a_stream_ends_with_its_token);
    CU_add_test(s, "the access log is opened anew", the_access_log_is_reopened);
    CU_add_test(s, "the access log is turned on and off", the_access_log_is_turned_on_and_off);
    CU_add_test(s, "the level of the log moves", the_level_of_the_log_moves);
    CU_add_test(s, "without a file SIGHUP harms nobody", without_a_file);
}
