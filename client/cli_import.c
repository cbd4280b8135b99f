/*
 * client/cli_import.c - import: from NDJSON, or from a directory tree.
 */
#include <errno.h>
#include <fts.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include <jansson.h>

#include "client/cli_internal.h"
#include "client/client_internal.h"

/* ---------------------------------------------------------------- NDJSON */

typedef struct st_import_t {
    const cli_t *cli;
    cli_loader_t *loader;
    const char *name; /* of the file, for messages */
    uint64_t line;
    cairn_client_buffer_t key; /* of the present value, with --prefix before it */
} import_t;

/** an exit status; the line's number is in the message */
static int refuse_line(const import_t *import, const char *why)
{
    return cli_failure(import->cli, "%s:%llu: %s", import->name, (unsigned long long)import->line,
                       why);
}

static void set_key(import_t *import, const void *key, size_t bytes)
{
    const char *prefix = import->cli->values[CLI_PREFIX];
    cairn_client_buffer_clear(&import->key);
    if (prefix != NULL)
        cairn_client_buffer_add(&import->key, prefix, strlen(prefix));
    cairn_client_buffer_add(&import->key, key, bytes);
}

/** the time that a value has left, from the point in time that its line has; 0 if there is none */
static bool take_ttl(const json_t *json, uint64_t *ttl_ms)
{
    json_int_t expires_ms = json_integer_value(json_object_get(json, "expires"));
    struct timespec now;
    *ttl_ms = 0;
    if (expires_ms == 0)
        return true;
    clock_gettime(CLOCK_REALTIME, &now);
    json_int_t left = expires_ms - ((json_int_t)now.tv_sec * 1000 + now.tv_nsec / 1000000);
    *ttl_ms = left > 0 ? (uint64_t)left : 0;
    return left > 0;
}

/** hands the line's value over, unless it has expired meanwhile; an exit status */
static int import_value(import_t *import, const json_t *json, const cairn_client_beside_t *beside,
                        const char *value, size_t value_bytes, uint64_t bytes)
{
    cairn_client_write_t how = {.ttl_ms = 0};
    if (!take_ttl(json, &how.ttl_ms))
        return CLI_OK;
    cairn_client_beside_apply(beside, &how);
    /* without one it is this, and then there is nothing to store */
    if (how.content_type != NULL && strcmp(how.content_type, "application/octet-stream") == 0)
        how.content_type = NULL;
    cli_source_t source = {.bytes = bytes, .line = import->line};
    return cli_loader_put(import->loader, import->key.bytes, import->key.count, value, value_bytes,
                          &how, &source)
               ? CLI_OK
               : CLI_FAILED;
}

static int import_line(import_t *import, const json_t *json, uint64_t bytes)
{
    cairn_client_beside_t beside;
    char *key, *value;
    size_t key_bytes, value_bytes;
    int status;
    if (!cairn_client_json_get_beside(json, &beside))
        return refuse_line(import, "\"meta\" is a list of {\"name\":\"...\",\"value\":\"...\"}");
    cairn_client_json_get(json, "key", &key, &key_bytes);
    cairn_client_json_get(json, "value", &value, &value_bytes);
    if (key != NULL)
        set_key(import, key, key_bytes);
    if (key == NULL || value == NULL)
        status =
            refuse_line(import, "a line is {\"key\":\"...\",\"value\":\"...\"}, with key_b64 and "
                                "value_b64 for what is not UTF-8");
    else if (import->key.is_broken)
        status = refuse_line(import, "out of memory");
    else
        status = import_value(import, json, &beside, value, value_bytes, bytes);
    free(key);
    free(value);
    cairn_client_beside_dispose(&beside);
    return status;
}

/** an exit status; the loader knows better where it has failed itself */
static int import_lines(import_t *import, FILE *in)
{
    char *line = NULL;
    size_t capacity = 0;
    int status = CLI_OK;
    for (ssize_t n; status == CLI_OK && (n = getline(&line, &capacity, in)) > 0;) {
        ++import->line;
        if (strspn(line, " \t\r\n") == (size_t)n)
            continue;
        json_error_t error;
        json_t *json = json_loadb(line, (size_t)n, JSON_ALLOW_NUL, &error);
        status = json_is_object(json)
                     ? import_line(import, json, (uint64_t)n)
                     : refuse_line(import, json == NULL ? error.text : "not a JSON object");
        json_decref(json);
    }
    if (status == CLI_OK && ferror(in) != 0)
        status = cli_failure(import->cli, "%s: %s", import->name, strerror(errno));
    free(line);
    return status;
}

static int import_file(cli_t *cli, const char *path)
{
    bool is_stdin = strcmp(path, "-") == 0;
    struct stat st = {.st_size = 0};
    cli_progress_t progress;
    FILE *in = is_stdin ? stdin : fopen(path, "re");
    if (in == NULL)
        return cli_failure(cli, "%s: %s", path, strerror(errno));
    if (fstat(fileno(in), &st) != 0 || !S_ISREG(st.st_mode))
        st.st_size = 0;
    cli_progress_begin(cli, &progress, "keys", (double)st.st_size);
    const char *name = is_stdin ? "standard input" : path;
    import_t import = {.cli = cli, .loader = cli_loader_start(cli, name, &progress), .name = name};
    int status = CLI_USAGE;
    if (import.loader != NULL) {
        status = import_lines(&import, in);
        int loaded = cli_loader_finish(import.loader);
        status = loaded != CLI_OK ? loaded : status;
        cli_progress_end(&progress);
        if (cli_has(cli, CLI_JSON))
            cli_progress_print_json(&progress);
    }
    cairn_client_buffer_dispose(&import.key);
    if (!is_stdin)
        fclose(in);
    return status;
}

int cli_import(cli_t *cli)
{
    struct stat st;
    const char *path = cli->arg_count != 0 ? cli->args[0] : "-";
    cli_catch_signals();
    if (stat(path, &st) == 0 && S_ISDIR(st.st_mode))
        return cli_import_tree(cli, path);
    return import_file(cli, path);
}
