/*
 * Does rsync, as the README calls it, carry no more of a snapshot than what is new, and does what
 * it has carried hold exactly that snapshot?
 */
#include <CUnit/CUnit.h>

#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <jansson.h>

#include "tests/program.h"
#include "tests/site.h"
#include "tests/suites.h"

#define KEYS 200
#define VALUE_BYTES 4000
#define RSYNC_TIMEOUT_MS 60000

static const char *const args[] = {"--storage.segment_bytes", "64KiB", NULL};

/* which value each key has, counted from 1; 0: none */
typedef struct st_content_t {
    unsigned values[KEYS];
} content_t;

typedef struct st_taken_t {
    char path[600];
    uint64_t version;
    content_t content;
} taken_t;

/* a server of which two snapshots have been taken */
typedef struct st_scene_t {
    site_t site;
    content_t content;
    taken_t monday, tuesday;
} scene_t;

static int need_rsync(void)
{
    int status =
        program_run((const char *const[]){"rsync", "--version", NULL}, RSYNC_TIMEOUT_MS, NULL);
    if (status != 0)
        fprintf(stderr, "rsync ends with %d: `make deps` installs it\n", status);
    return status;
}

/* ---------------------------------------------------------------- what is in the store */

static void make_value(char value[VALUE_BYTES], unsigned key, unsigned n)
{
    memset(value, 'a' + (int)(n % 26), VALUE_BYTES);
    int count = snprintf(value, VALUE_BYTES, "value %u of key %u", n, key);
    value[count] = ' ';
}

static void put(scene_t *scene, http_conn_t *conn, unsigned key)
{
    char target[32], value[VALUE_BYTES];
    snprintf(target, sizeof(target), "/v1/kv/%u", key);
    make_value(value, key, ++scene->content.values[key]);
    int status = exchange_status(conn, "PUT", target, NULL, value, sizeof(value));
    CU_ASSERT(status == 201 || status == 204);
}

static void delete (scene_t *scene, http_conn_t *conn, unsigned key)
{
    char target[32];
    snprintf(target, sizeof(target), "/v1/kv/%u", key);
    CU_ASSERT_EQUAL(exchange_status(conn, "DELETE", target, NULL, NULL, 0), 204);
    scene->content.values[key] = 0;
}

static void compact(const site_t *site)
{
    char url[64], *output;
    int status;
    snprintf(url, sizeof(url), "http://127.0.0.1:%u", site->server.port);
    CU_ASSERT_FATAL(
        run_cairn((const char *const[]){"compact", "--url", url, NULL}, &status, &output));
    CU_ASSERT_EQUAL(status, 0);
    free(output);
}

static bool has_value(http_conn_t *conn, unsigned key, unsigned n)
{
    char target[32], value[VALUE_BYTES];
    snprintf(target, sizeof(target), "/v1/kv/%u", key);
    make_value(value, key, n);
    return n == 0 ? exchange_status(conn, "GET", target, NULL, NULL, 0) == 404
                  : exchange_gives_bytes(conn, target, value, sizeof(value));
}

/* whether a server has the version and the content of a snapshot, and nothing else */
static bool has_exactly(const site_t *site, const taken_t *taken)
{
    http_conn_t conn;
    http_response_t res;
    bool is_right = true;
    unsigned keys = 0;
    site_open(site, &conn);
    for (unsigned key = 0; key < KEYS; ++key) {
        is_right &= has_value(&conn, key, taken->content.values[key]);
        keys += taken->content.values[key] != 0;
    }
    exchange(&conn, "GET", "/v1/stats", NULL, NULL, 0, &res);
    json_t *json = json_loadb(res.body, res.body_bytes, 0, NULL);
    json_int_t has_keys = json_integer_value(json_object_get(json, "keys"));
    json_int_t has_version = json_integer_value(json_object_get(json, "last_version"));
    if (has_keys != keys || (uint64_t)has_version != taken->version)
        fprintf(stderr,
                "\n    %" JSON_INTEGER_FORMAT " keys of %u, version %" JSON_INTEGER_FORMAT
                " instead of %" PRIu64,
                has_keys, keys, has_version, taken->version);
    is_right &= has_keys == keys && (uint64_t)has_version == taken->version;
    json_decref(json);
    http_response_dispose(&res);
    http_close(&conn);
    return is_right;
}

/* ---------------------------------------------------------------- the scene */

static void take(scene_t *scene, http_conn_t *conn, const char *name, taken_t *taken)
{
    char target[64];
    http_response_t res;
    snprintf(target, sizeof(target), "/v1/admin/snapshot?name=%s", name);
    exchange(conn, "POST", target, NULL, NULL, 0, &res);
    CU_ASSERT_EQUAL_FATAL(res.status, 201);
    json_t *json = json_loadb(res.body, res.body_bytes, 0, NULL);
    taken->version = (uint64_t)json_integer_value(json_object_get(json, "version"));
    taken->content = scene->content;
    snprintf(taken->path, sizeof(taken->path), "%s/snapshots/%s", scene->site.data, name);
    json_decref(json);
    http_response_dispose(&res);
}

/* rsync compares the times of files in whole seconds */
static void set_time(const char *dir, const char *name, time_t t)
{
    char path[700];
    const struct timespec times[2] = {{.tv_sec = t}, {.tv_sec = t}};
    snprintf(path, sizeof(path), "%s/%s", dir, name);
    CU_ASSERT_EQUAL_FATAL(utimensat(AT_FDCWD, path, times, 0), 0);
}

/* between the snapshots values are new, replaced, deleted and compacted, and most stay */
static void begin(scene_t *scene)
{
    http_conn_t conn;
    *scene = (scene_t){.site = {.data = ""}};
    CU_ASSERT_EQUAL_FATAL(site_start(&scene->site, TEMP_DIR_IN_MEMORY, args), 0);
    site_open(&scene->site, &conn);
    for (unsigned key = 0; key < KEYS - 10; ++key)
        put(scene, &conn, key);
    take(scene, &conn, "monday", &scene->monday);
    set_time(scene->monday.path, "STORE", time(NULL) - 86400);
    for (unsigned key = 0; key < 20; ++key)
        put(scene, &conn, key);
    for (unsigned key = 20; key < 40; ++key)
        delete (scene, &conn, key);
    for (unsigned key = KEYS - 10; key < KEYS; ++key)
        put(scene, &conn, key);
    compact(&scene->site);
    take(scene, &conn, "tuesday", &scene->tuesday);
    CU_ASSERT_EQUAL(scene->monday.version, KEYS - 10);
    CU_ASSERT_EQUAL(scene->tuesday.version, KEYS - 10 + 50);
    for (unsigned key = 0; key < KEYS; key += 3)
        put(scene, &conn, key); /* is in neither */
    http_close(&conn);
}

static void end(scene_t *scene)
{
    CU_ASSERT_EQUAL(site_end(&scene->site), 0);
}

/* a place beside the data */
static const char *beside(const scene_t *scene, const char *name)
{
    static char paths[4][280];
    static size_t next;
    char *path = paths[next++ % 4];
    snprintf(path, sizeof(paths[0]), "%s/%s", scene->site.dir.path, name);
    return path;
}

/* a server on this directory; serve_no_more() ends it */
static void serve(const char *dir, site_t *site)
{
    *site = (site_t){.data = ""};
    snprintf(site->data, sizeof(site->data), "%s", dir);
    site_start_again(site, args);
}

static void serve_no_more(site_t *site)
{
    CU_ASSERT_EQUAL(site_end(site), 0);
}

/* `cairn restore` of a copy; its exit status, and its output for the caller to free */
static int restore(const char *copy, const char *to, char **output)
{
    int status;
    CU_ASSERT_FATAL(
        run_cairn((const char *const[]){"restore", copy, to, "--quiet", NULL}, &status, output));
    return status;
}

/* whether `cairn restore` makes of a copy exactly what the snapshot is */
static bool restores(const scene_t *scene, const char *copy, const taken_t *taken)
{
    site_t site;
    char to[280], *output;
    snprintf(to, sizeof(to), "%s", beside(scene, "restored"));
    int status = restore(copy, to, &output);
    if (status != 0)
        fprintf(stderr, "\n    restore: %d, %s", status, output);
    free(output);
    CU_ASSERT_EQUAL_FATAL(status, 0);
    serve(to, &site);
    bool is_right = has_exactly(&site, taken);
    serve_no_more(&site);
    CU_ASSERT_EQUAL(program_run((const char *const[]){"rm", "-r", to, NULL}, 60000, NULL), 0);
    return is_right;
}

/* ---------------------------------------------------------------- rsync */

typedef struct st_carried_t {
    uint64_t files, bytes; /* that were transferred */
    uint64_t deleted;
} carried_t;

static uint64_t figure(const char *stats, const char *name)
{
    const char *line = strstr(stats, name);
    uint64_t n = UINT64_MAX;
    if (line == NULL || sscanf(line + strlen(name), ": %" SCNu64, &n) != 1)
        fprintf(stderr, "\n    rsync does not say \"%s\": %s", name, stats);
    return n;
}

/* `option` as the README has it, or NULL */
static carried_t rsync(const char *option, const char *from, const char *to)
{
    char source[700], target[500], *output;
    const char *argv[] = {"rsync", "-a",   "--stats", "--no-human-readable",
                          source,  target, option,    NULL};
    carried_t carried;
    snprintf(source, sizeof(source), "%s/", from);
    snprintf(target, sizeof(target), "%s/", to);
    int status = program_run(argv, RSYNC_TIMEOUT_MS, &output);
    if (status != 0)
        fprintf(stderr, "\n    rsync: %d, %s", status, output);
    CU_ASSERT_EQUAL_FATAL(status, 0);
    carried.files = figure(output, "Number of regular files transferred");
    carried.bytes = figure(output, "Literal data");
    carried.deleted = figure(output, "Number of deleted files");
    free(output);
    return carried;
}

static bool is_there(const char *dir, const char *name, struct stat *st)
{
    char path[1000];
    snprintf(path, sizeof(path), "%s/%s", dir, name);
    return stat(path, st) == 0;
}

typedef void file_fn_t(void *ctx, const char *name, const struct stat *st);

static void for_each_file(const char *path, file_fn_t *on_file, void *ctx)
{
    DIR *dir = opendir(path);
    struct stat st;
    CU_ASSERT_PTR_NOT_NULL_FATAL(dir);
    for (const struct dirent *entry; (entry = readdir(dir)) != NULL;)
        if (is_there(path, entry->d_name, &st) && S_ISREG(st.st_mode))
            on_file(ctx, entry->d_name, &st);
    closedir(dir);
}

typedef struct st_difference_t {
    const char *other;
    carried_t new_here;
    uint64_t shared_segments;
} difference_t;

static void compare(void *ctx, const char *name, const struct stat *st)
{
    difference_t *difference = ctx;
    struct stat other;
    bool is_new = strcmp(name, "STORE") == 0 || !is_there(difference->other, name, &other);
    difference->new_here.files += is_new;
    difference->new_here.bytes += is_new ? (uint64_t)st->st_size : 0;
    difference->shared_segments += !is_new && strstr(name, ".seg") != NULL;
}

/* which files of a snapshot another has not, by their names; STORE is new in each */
static difference_t difference_of(const taken_t *taken, const char *other)
{
    difference_t difference = {.other = other};
    for_each_file(taken->path, compare, &difference);
    return difference;
}

static bool is_what_is_new(carried_t carried, carried_t new_here)
{
    bool is_right = carried.files == new_here.files && carried.bytes == new_here.bytes;
    if (!is_right)
        fprintf(stderr,
                "\n    rsync carried %" PRIu64 " files, %" PRIu64 " bytes; new are %" PRIu64
                " files, %" PRIu64 " bytes",
                carried.files, carried.bytes, new_here.files, new_here.bytes);
    return is_right;
}

/* what is new in the second snapshot, which must be a part of it that is worth the name */
static carried_t new_in_tuesday(const scene_t *scene)
{
    difference_t all = difference_of(&scene->tuesday, "/nowhere");
    difference_t difference = difference_of(&scene->tuesday, scene->monday.path);
    difference_t gone = difference_of(&scene->monday, scene->tuesday.path);
    CU_ASSERT(difference.shared_segments >= 5);
    CU_ASSERT(difference.new_here.files >= 3); /* a segment, a compacted one, STORE */
    CU_ASSERT(difference.new_here.bytes < all.new_here.bytes / 2);
    CU_ASSERT(gone.new_here.files >= 2); /* a segment that has been compacted, STORE */
    difference.new_here.deleted = gone.new_here.files - 1;
    return difference.new_here;
}

/* ---------------------------------------------------------------- situations */

static void onto_the_same_copy(void)
{
    scene_t scene;
    begin(&scene);
    carried_t whole = difference_of(&scene.monday, "/nowhere").new_here;
    carried_t expected = new_in_tuesday(&scene);
    CU_ASSERT(is_what_is_new(rsync("--delete", scene.monday.path, beside(&scene, "copy")), whole));
    CU_ASSERT(restores(&scene, beside(&scene, "copy"), &scene.monday));
    carried_t carried = rsync("--delete", scene.tuesday.path, beside(&scene, "copy"));
    CU_ASSERT(is_what_is_new(carried, expected));
    CU_ASSERT_EQUAL(carried.deleted, expected.deleted);
    CU_ASSERT(restores(&scene, beside(&scene, "copy"), &scene.tuesday));
    carried = rsync("--delete", scene.tuesday.path, beside(&scene, "copy"));
    CU_ASSERT(carried.files == 0 && carried.bytes == 0 && carried.deleted == 0);
    end(&scene);
}

/* both are kept; a server on one of them, which goes on in it, leaves the other as it was */
static void into_a_directory_of_its_own(void)
{
    scene_t scene;
    site_t site;
    begin(&scene);
    carried_t expected = new_in_tuesday(&scene);
    rsync(NULL, scene.monday.path, beside(&scene, "monday"));
    carried_t carried =
        rsync("--link-dest=../monday", scene.tuesday.path, beside(&scene, "tuesday"));
    CU_ASSERT(is_what_is_new(carried, expected));
    serve(beside(&scene, "tuesday"), &site);
    CU_ASSERT(has_exactly(&site, &scene.tuesday));
    scene.content = scene.tuesday.content;
    http_conn_t conn;
    site_open(&site, &conn);
    for (unsigned key = 0; key < KEYS; key += 2)
        put(&scene, &conn, key);
    http_close(&conn);
    compact(&site);
    serve_no_more(&site);
    CU_ASSERT(restores(&scene, beside(&scene, "monday"), &scene.monday));
    end(&scene);
}

/* sizes and times of the two STOREs are the same then, and rsync takes the new one for the old */
static void two_within_a_second(void)
{
    scene_t scene;
    begin(&scene);
    carried_t expected = new_in_tuesday(&scene);
    struct stat st;
    time_t now = time(NULL);
    set_time(scene.monday.path, "STORE", now);
    set_time(scene.tuesday.path, "STORE", now);
    CU_ASSERT(is_there(scene.tuesday.path, "STORE", &st));
    --expected.files;
    expected.bytes -= (uint64_t)st.st_size;
    rsync("--delete", scene.monday.path, beside(&scene, "copy"));
    carried_t carried = rsync("--delete", scene.tuesday.path, beside(&scene, "copy"));
    CU_ASSERT(is_what_is_new(carried, expected));
    CU_ASSERT(restores(&scene, beside(&scene, "copy"), &scene.tuesday));
    end(&scene);
}

static void count(void *ctx, const char *name, const struct stat *st)
{
    (void)st;
    *(unsigned *)ctx += name[0] != '.';
}

/* rsync is killed when it has carried a part */
static void interrupt_rsync(const char *from, const char *to)
{
    char source[700], target[500];
    const char *const argv[] = {"rsync", "-a", "--bwlimit=200", source, target, NULL};
    program_t program;
    unsigned files = 0;
    snprintf(source, sizeof(source), "%s/", from);
    snprintf(target, sizeof(target), "%s/", to);
    CU_ASSERT_EQUAL_FATAL(mkdir(to, 0700), 0);
    CU_ASSERT_FATAL(program_start(&program, argv));
    for (int64_t end_ms = monotonic_ms() + RSYNC_TIMEOUT_MS; files < 2 && monotonic_ms() < end_ms;
         sleep_ms(2)) {
        files = 0;
        for_each_file(to, count, &files);
    }
    kill(program.pid, SIGKILL);
    CU_ASSERT_EQUAL(program_wait(&program, RSYNC_TIMEOUT_MS), -SIGKILL);
    program_end(&program);
    CU_ASSERT(files >= 2);
}

/* STORE comes last: without it a copy is none */
static void one_that_is_interrupted(void)
{
    scene_t scene;
    site_t site = {.data = ""};
    struct stat st;
    char *output;
    begin(&scene);
    const char *copy = beside(&scene, "copy");
    interrupt_rsync(scene.monday.path, copy);
    CU_ASSERT_FALSE(is_there(copy, "STORE", &st));
    CU_ASSERT_EQUAL(restore(copy, beside(&scene, "restored"), &output), 5);
    CU_ASSERT_PTR_NOT_NULL(strstr(output, "it has no file STORE"));
    free(output);
    CU_ASSERT_FALSE(server_start(&site.server, copy, args));
    CU_ASSERT_PTR_NOT_NULL(
        strstr(server_output(&site.server), "there are segments but no STORE file"));
    server_dispose(&site.server);
    rsync("--delete", scene.monday.path, copy); /* also the lock of the start that was refused */
    CU_ASSERT(restores(&scene, copy, &scene.monday));
    end(&scene);
}

void suite_rsync(void)
{
    CU_pSuite s = CU_add_suite("rsync", need_rsync, NULL);
    CU_add_test(s, "the next snapshot onto the same copy", onto_the_same_copy);
    CU_add_test(s, "the next snapshot into a directory of its own", into_a_directory_of_its_own);
    CU_add_test(s, "two snapshots within a second", two_within_a_second);
    CU_add_test(s, "one that is interrupted", one_that_is_interrupted);
}
