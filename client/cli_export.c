/*
 * client/cli_export.c - export: to NDJSON, or to a directory tree.
 *
 * Keys come in pages; the values of a page are fetched in batches that fit into a few megabytes,
 * and large ones alone. A key that vanishes meanwhile is left out: it is as if the export had come
 * later.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <jansson.h>

#include "client/cli_internal.h"
#include "client/client_internal.h"

#define GATHER_KEYS 1000
#define GATHER_BYTES ((uint64_t)8 << 20)
#define ALONE_BYTES ((uint64_t)256 << 10)

typedef struct st_gathered_t {
    char *key, *content_type;
    size_t key_bytes;
    int64_t expires_ms;
} gathered_t;

typedef struct st_export_t {
    cli_t *cli;
    FILE *lines; /* NDJSON goes here; NULL for a tree */
    int root_fd; /* of the tree */
    size_t prefix_bytes;
    cli_progress_t progress;
    gathered_t *keys; /* whose values are to be fetched together */
    size_t key_count;
    uint64_t value_bytes;
    cairn_client_t *db; /* for values: the list has the other connection */
    uint64_t skipped;
    int status;
} export_t;

/* ---------------------------------------------------------------- a tree */

/** whether a key is a path that stays below the root: no empty part, no "." or "..", no NUL */
static bool is_path(const char *key, size_t bytes)
{
    if (bytes == 0 || memchr(key, '\0', bytes) != NULL)
        return false;
    for (const char *part = key;; part = strchr(part, '/') + 1) {
        size_t n = strcspn(part, "/");
        if (n == 0 || n > 255 || (n == 1 && part[0] == '.') ||
            (n == 2 && part[0] == '.' && part[1] == '.'))
            return false;
        if (part[n] == '\0')
            return true;
    }
}

/** opens the directory that the file is in, making what is missing; links are not followed, so
 * nothing outside the root is touched. -1 with `errno`; `*name` is the file's */
static int open_parent(int root_fd, char *path, const char **name)
{
    int fd = dup(root_fd);
    char *part = path;
    for (char *slash; fd >= 0 && (slash = strchr(part, '/')) != NULL; part = slash + 1) {
        *slash = '\0';
        if (mkdirat(fd, part, 0777) != 0 && errno != EEXIST) {
            close(fd);
            return -1;
        }
        int next = openat(fd, part, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        int saved = errno;
        *slash = '/';
        close(fd);
        errno = saved;
        fd = next;
    }
    *name = part;
    return fd;
}

static bool write_all(int fd, const char *bytes, size_t count)
{
    while (count != 0) {
        ssize_t n = write(fd, bytes, count);
        if (n < 0 && errno != EINTR)
            return false;
        bytes += n > 0 ? n : 0;
        count -= n > 0 ? (size_t)n : 0;
    }
    return true;
}

static bool write_at(int root_fd, char *path, const char *value, size_t value_bytes)
{
    const char *name;
    int parent_fd = open_parent(root_fd, path, &name);
    if (parent_fd < 0)
        return false;
    int fd = openat(parent_fd, name, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0666);
    bool is_written = fd >= 0 && write_all(fd, value, value_bytes);
    int saved = errno;
    if (fd >= 0 && close(fd) != 0) {
        is_written = false;
        saved = errno;
    }
    close(parent_fd);
    errno = saved;
    return is_written;
}

static void skip(export_t *e, const gathered_t *entry, const char *why)
{
    ++e->skipped;
    fprintf(stderr, "cairn export: ");
    cli_print_text(stderr, entry->key, entry->key_bytes);
    fprintf(stderr, ": %s\n", why);
}

static void write_to_tree(export_t *e, const gathered_t *entry, const char *value, size_t bytes)
{
    char *path = entry->key + e->prefix_bytes;
    if (!is_path(path, entry->key_bytes - e->prefix_bytes))
        skip(e, entry, "is no path for a file");
    else if (!write_at(e->root_fd, path, value, bytes))
        skip(e, entry, strerror(errno));
}

/* ---------------------------------------------------------------- NDJSON */

static void write_line(export_t *e, const gathered_t *entry, const char *value, size_t bytes)
{
    json_t *json = json_object();
    bool is_made = cairn_client_json_set(json, "key", entry->key, entry->key_bytes) &&
                   cairn_client_json_set(json, "value", value, bytes);
    if (entry->content_type != NULL)
        json_object_set_new(json, "content_type", json_string(entry->content_type));
    if (entry->expires_ms != 0)
        json_object_set_new(json, "expires", json_integer(entry->expires_ms));
    if (!is_made || json_dumpf(json, e->lines, JSON_COMPACT) != 0 || fputc('\n', e->lines) == EOF)
        e->status = cli_failure(e->cli, "%s", is_made ? strerror(errno) : "out of memory");
    json_decref(json);
}

/* ---------------------------------------------------------------- fetching */

static void write_value(export_t *e, const gathered_t *entry, const char *value, size_t bytes)
{
    if (e->lines != NULL)
        write_line(e, entry, value, bytes);
    else
        write_to_tree(e, entry, value, bytes);
    cli_progress_add(&e->progress, 1, bytes);
}

static void forget(gathered_t *entry)
{
    free(entry->key);
    free(entry->content_type);
}

static void fetch_gathered(export_t *e)
{
    cairn_client_batch_t *batch = cairn_batch_create();
    for (size_t i = 0; i < e->key_count; ++i)
        cairn_batch_get(batch, e->keys[i].key, e->keys[i].key_bytes);
    cairn_client_err_t err = cairn_batch_run(e->db, batch, false);
    if (err != CAIRN_CLIENT_OK)
        e->status = cli_result(e->cli, e->db, err);
    for (size_t i = 0; i < e->key_count; ++i) {
        const cairn_client_result_t *result = cairn_batch_result(batch, i);
        if (e->status == CLI_OK && result->err == CAIRN_CLIENT_OK)
            write_value(e, &e->keys[i], result->value != NULL ? result->value : "",
                        result->value_bytes);
        else if (e->status == CLI_OK && result->err != CAIRN_CLIENT_NOT_FOUND)
            skip(e, &e->keys[i], cairn_client_strerror(result->err));
        forget(&e->keys[i]);
    }
    e->key_count = 0;
    e->value_bytes = 0;
    cairn_batch_destroy(batch);
}

static void fetch_alone(export_t *e, const gathered_t *entry)
{
    cairn_client_value_t value;
    cairn_client_err_t err = cairn_get_bytes(e->db, entry->key, entry->key_bytes, NULL, &value);
    if (err == CAIRN_CLIENT_OK)
        write_value(e, entry, value.bytes, value.count);
    else if (err != CAIRN_CLIENT_NOT_FOUND)
        e->status = cli_result(e->cli, e->db, err);
    cairn_client_value_dispose(&value);
}

static bool take_key(void *ctx, const cairn_client_entry_t *entry)
{
    export_t *e = ctx;
    gathered_t key = {.key = malloc(entry->key_bytes + 1),
                      .content_type =
                          entry->content_type != NULL ? strdup(entry->content_type) : NULL,
                      .key_bytes = entry->key_bytes,
                      .expires_ms = entry->expires_ms};
    if (key.key == NULL) {
        forget(&key);
        e->status = cli_failure(e->cli, "out of memory");
        return false;
    }
    memcpy(key.key, entry->key, entry->key_bytes + 1);
    if (e->value_bytes + entry->size > GATHER_BYTES)
        fetch_gathered(e);
    if (entry->size > ALONE_BYTES) {
        if (e->key_count != 0)
            fetch_gathered(e); /* so that the order stays */
        if (e->status == CLI_OK)
            fetch_alone(e, &key);
        forget(&key);
    } else {
        e->keys[e->key_count++] = key;
        e->value_bytes += entry->size;
        if (e->key_count == GATHER_KEYS)
            fetch_gathered(e);
    }
    return e->status == CLI_OK && !cli_is_interrupted();
}

/* ---------------------------------------------------------------- the command */

/** where it goes: a tree for a directory, or what ends in "/"; a file; or standard output */
static bool open_target(export_t *e, const char *target)
{
    struct stat st;
    bool is_tree = target[strlen(target) - (target[0] != '\0')] == '/' ||
                   (stat(target, &st) == 0 && S_ISDIR(st.st_mode));
    if (is_tree) {
        if (mkdir(target, 0777) != 0 && errno != EEXIST)
            return false;
        e->root_fd = open(target, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        return e->root_fd >= 0;
    }
    e->lines = strcmp(target, "-") == 0 ? stdout : fopen(target, "we");
    return e->lines != NULL;
}

/** what has been written must be on disk before anyone believes it */
static void close_target(export_t *e, const char *target)
{
    bool is_file = e->lines != NULL && e->lines != stdout;
    bool is_good = !is_file || (fflush(e->lines) == 0 && fsync(fileno(e->lines)) == 0);
    is_good = (!is_file || fclose(e->lines) == 0) && is_good;
    if (e->root_fd >= 0) {
        is_good = syncfs(e->root_fd) == 0;
        close(e->root_fd);
    }
    if (!is_good && e->status == CLI_OK)
        e->status = cli_failure(e->cli, "%s: %s", target, strerror(errno));
}

int cli_export(cli_t *cli)
{
    const char *target = cli->arg_count != 0 ? cli->args[0] : "-";
    const char *prefix = cli->values[CLI_PREFIX];
    export_t e = {.cli = cli,
                  .root_fd = -1,
                  .prefix_bytes = prefix != NULL ? strlen(prefix) : 0,
                  .keys = calloc(GATHER_KEYS, sizeof(*e.keys)),
                  .db = cli_connect(cli)};
    if (e.db == NULL || e.keys == NULL) {
        e.status = CLI_FAILED; /* told */
    } else if (!open_target(&e, target)) {
        e.status = cli_failure(cli, "%s: %s", target, strerror(errno));
    } else {
        cli_catch_signals();
        cli_progress_begin(cli, &e.progress, "keys", 0);
        cairn_client_list_t list = {.prefix = prefix, .prefix_bytes = e.prefix_bytes};
        cairn_client_err_t err = cairn_list(cli->db, &list, take_key, &e);
        if (e.status == CLI_OK)
            e.status = cli_result(cli, cli->db, err);
        if (e.status == CLI_OK && e.key_count != 0)
            fetch_gathered(&e);
        close_target(&e, target);
        cli_progress_end(&e.progress);
    }
    for (size_t i = 0; e.keys != NULL && i < e.key_count; ++i)
        forget(&e.keys[i]);
    if (e.skipped != 0 && e.status == CLI_OK)
        e.status = cli_failure(cli, "%" PRIu64 " keys were left out", e.skipped);
    if (e.status == CLI_OK && cli_is_interrupted())
        e.status = cli_failure(cli, "interrupted; the export is not whole");
    free(e.keys);
    cairn_disconnect(e.db);
    return e.status;
}
