/*
 * client/cli_export.c - export: to NDJSON, or to a directory tree.
 *
 * Keys come in pages, with their values and all that is stored beside them; a page ends when it
 * is a few megabytes. What is written meanwhile may be in it or not.
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
#include "client/cli_stats.h"
#include "client/client_internal.h"

/* the most that the server gives: a page ends by its bytes first, if values are not tiny */
#define PAGE_KEYS 10000

typedef struct st_export_t {
    cli_t *cli;
    FILE *lines; /* NDJSON goes here; NULL for a tree */
    int root_fd; /* of the tree */
    size_t prefix_bytes;
    cli_progress_t progress;
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

static void skip(export_t *e, const cairn_client_entry_t *entry, const char *why)
{
    ++e->skipped;
    fprintf(stderr, "cairn export: ");
    cli_print_text(stderr, entry->key, entry->key_bytes);
    fprintf(stderr, ": %s\n", why);
}

static void write_to_tree(export_t *e, const cairn_client_entry_t *entry)
{
    if (!is_path(entry->key + e->prefix_bytes, entry->key_bytes - e->prefix_bytes)) {
        skip(e, entry, "is no path for a file");
        return;
    }
    char *path = strdup(entry->key + e->prefix_bytes);
    if (path == NULL || !write_at(e->root_fd, path, entry->value, entry->value_bytes))
        skip(e, entry, strerror(errno));
    free(path);
}

/* ---------------------------------------------------------------- NDJSON */

static void write_line(export_t *e, const cairn_client_entry_t *entry)
{
    cairn_client_write_t beside = {.content_type = entry->content_type,
                                   .content_encoding = entry->content_encoding,
                                   .cache_control = entry->cache_control,
                                   .meta = entry->meta,
                                   .meta_count = entry->meta_count};
    json_t *json = json_object();
    bool is_made = cairn_client_json_set(json, "key", entry->key, entry->key_bytes) &&
                   cairn_client_json_set(json, "value", entry->value, entry->value_bytes) &&
                   cairn_client_json_set_beside(json, &beside) &&
                   (entry->expires_ms == 0 ||
                    json_object_set_new(json, "expires", json_integer(entry->expires_ms)) == 0);
    if (!is_made || json_dumpf(json, e->lines, JSON_COMPACT) != 0 || fputc('\n', e->lines) == EOF)
        e->status = cli_failure(e->cli, "%s", is_made ? strerror(errno) : "out of memory");
    json_decref(json);
}

static bool take_entry(void *ctx, const cairn_client_entry_t *entry)
{
    export_t *e = ctx;
    if (entry->value == NULL)
        skip(e, entry, entry->error != NULL ? entry->error : "there is no value on the line");
    else if (e->lines != NULL)
        write_line(e, entry);
    else
        write_to_tree(e, entry);
    if (entry->value != NULL)
        cli_progress_add(&e->progress, 1, entry->value_bytes);
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

/** keys there are, for the progress; 0 if the token may not know, or only some are wanted */
static double count_keys(cli_t *cli)
{
    char *text;
    if (cli_has(cli, CLI_PREFIX))
        return 0;
    cairn_client_fetch(cli->db, "/v1/stats", &text);
    json_t *stats = text != NULL ? json_loads(text, 0, NULL) : NULL;
    double keys = cli_stats_number(stats, NULL, "keys");
    json_decref(stats);
    free(text);
    return keys;
}

int cli_export(cli_t *cli)
{
    const char *target = cli->arg_count != 0 ? cli->args[0] : "-";
    const char *prefix = cli->values[CLI_PREFIX];
    export_t e = {.cli = cli, .root_fd = -1, .prefix_bytes = prefix != NULL ? strlen(prefix) : 0};
    bool left_out = false;
    if (cli_has(cli, CLI_JSON) && strcmp(target, "-") == 0)
        return cli_usage_error(cli, "--json needs a file or a directory: values go to standard "
                                    "output as it is, as JSON");
    if (!open_target(&e, target))
        return cli_failure(cli, "%s: %s", target, strerror(errno));
    cli_catch_signals();
    cli_progress_begin(cli, &e.progress, "keys", count_keys(cli));
    e.progress.counts = true;
    cairn_client_list_t list = {.prefix = prefix,
                                .prefix_bytes = e.prefix_bytes,
                                .page = PAGE_KEYS,
                                .with_values = true,
                                .with_meta = e.lines != NULL,
                                .left_out = cli_has(cli, CLI_PARTIAL) ? &left_out : NULL};
    cairn_client_err_t err = cairn_list(cli->db, &list, take_entry, &e);
    if (e.status == CLI_OK)
        e.status = cli_result_of_list(cli, err, left_out);
    close_target(&e, target);
    cli_progress_end(&e.progress);
    if (cli_has(cli, CLI_JSON))
        cli_progress_print_json(&e.progress);
    if (e.skipped != 0 && e.status == CLI_OK)
        e.status = cli_failure(cli, "%" PRIu64 " keys were left out", e.skipped);
    if (e.status == CLI_OK && cli_is_interrupted())
        e.status = cli_failure(cli, "interrupted; the export is not whole");
    return e.status;
}
