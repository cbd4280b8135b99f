/*
 * client/cli_value.c - one value: get, set, append, del, incr.
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

/* ---------------------------------------------------------------- reading */

static void print_value_json(const char *key, const cairn_client_value_t *value)
{
    json_t *json = json_object();
    cairn_client_json_set(json, "key", key, strlen(key));
    json_object_set_new(json, "version", json_integer((json_int_t)value->version));
    json_object_set_new(json, "content_type", json_string(value->content_type));
    if (value->expires_in_ms >= 0)
        json_object_set_new(json, "expires_in_ms", json_integer(value->expires_in_ms));
    if (value->meta_count != 0) {
        json_t *meta = json_object();
        for (size_t i = 0; i < value->meta_count; ++i)
            json_object_set_new(meta, value->meta[i].name, json_string(value->meta[i].value));
        json_object_set_new(json, "meta", meta);
    }
    cairn_client_json_set(json, "value", value->bytes, value->count);
    json_dumpf(json, stdout, JSON_COMPACT);
    putchar('\n');
    json_decref(json);
}

/** writes to a file beside it first, so that no half of a value ever has its name */
static int write_file(const cli_t *cli, const char *path, const cairn_client_value_t *value)
{
    char *temporary = NULL;
    int status = CLI_FAILED;
    if (asprintf(&temporary, "%s.XXXXXX", path) < 0)
        return cli_failure(cli, "out of memory");
    int fd = mkostemp(temporary, O_CLOEXEC);
    FILE *file = fd >= 0 ? fdopen(fd, "w") : NULL;
    bool is_written = file != NULL && fwrite(value->bytes, 1, value->count, file) == value->count;
    if (file != NULL)
        is_written = fchmod(fd, 0644) == 0 && fclose(file) == 0 && is_written;
    if (is_written && rename(temporary, path) == 0)
        status = CLI_OK;
    else
        cli_failure(cli, "%s: %s", path, strerror(errno));
    if (status != CLI_OK && fd >= 0)
        unlink(temporary);
    free(temporary);
    return status;
}

int cli_get(cli_t *cli)
{
    const char *key = cli->args[0];
    cairn_client_value_t value;
    cairn_client_err_t err = cairn_get_bytes(cli->db, key, strlen(key), NULL, &value);
    int status = cli_result(cli, cli->db, err);
    if (status != CLI_OK)
        return status;
    if (cli_has(cli, CLI_JSON)) {
        print_value_json(key, &value);
    } else if (cli_has(cli, CLI_OUTPUT)) {
        status = write_file(cli, cli->values[CLI_OUTPUT], &value);
    } else {
        fwrite(value.bytes, 1, value.count, stdout);
        /* a prompt on the same line would be no help; a pipe gets the bytes and nothing else */
        if (isatty(STDOUT_FILENO) == 1 && value.count != 0 && value.bytes[value.count - 1] != '\n')
            putchar('\n');
    }
    cairn_client_value_dispose(&value);
    return status;
}

/* ---------------------------------------------------------------- writing */

/** reads all there is; false after a message */
static bool read_all(const cli_t *cli, FILE *in, const char *name, cairn_client_buffer_t *value)
{
    char piece[65536];
    for (size_t n; (n = fread(piece, 1, sizeof(piece), in)) != 0;)
        cairn_client_buffer_add(value, piece, n);
    if (ferror(in) != 0)
        cli_failure(cli, "%s: %s", name, strerror(errno));
    else if (value->is_broken)
        cli_failure(cli, "%s: out of memory", name);
    return ferror(in) == 0 && !value->is_broken;
}

/** the value to write: an argument, a file, or standard input; false after a message */
static bool take_value(const cli_t *cli, cairn_client_buffer_t *value)
{
    const char *path = cli->values[CLI_FILE];
    if (cli->arg_count == 2 && strcmp(cli->args[1], "-") != 0) {
        cairn_client_buffer_add(value, cli->args[1], strlen(cli->args[1]));
        return true;
    }
    if (path == NULL) {
        if (isatty(STDIN_FILENO) == 1)
            fprintf(stderr, "type the value; Ctrl-D ends it\n");
        return read_all(cli, stdin, "standard input", value);
    }
    FILE *in = fopen(path, "re");
    if (in == NULL) {
        cli_failure(cli, "%s: %s", path, strerror(errno));
        return false;
    }
    bool is_read = read_all(cli, in, path, value);
    fclose(in);
    return is_read;
}

static void print_written(const cli_t *cli, const char *key, const cairn_client_written_t *written)
{
    if (!cli_has(cli, CLI_JSON))
        return;
    json_t *json = json_object();
    cairn_client_json_set(json, "key", key, strlen(key));
    json_object_set_new(json, "version", json_integer((json_int_t)written->version));
    json_object_set_new(json, "created", json_boolean(written->is_new));
    json_dumpf(json, stdout, JSON_COMPACT);
    putchar('\n');
    json_decref(json);
}

typedef cairn_client_err_t (*write_fn)(cairn_client_t *db, const void *key, size_t key_bytes,
                                       const void *value, size_t value_bytes,
                                       const cairn_client_write_t *how,
                                       cairn_client_written_t *written);

static int write_value(cli_t *cli, write_fn write)
{
    const char *key = cli->args[0];
    cairn_client_meta_t meta[CLI_META_MAX];
    cairn_client_buffer_t value = {.bytes = NULL};
    cairn_client_written_t written;
    cairn_client_write_t how;
    if (!cli_how(cli, &how, meta))
        return CLI_USAGE;
    if (cli_has(cli, CLI_FILE) && cli->arg_count == 2)
        return cli_usage_error(cli, "give a value or --file, not both");
    /* what was typed is text; of a file or a pipe nothing is known */
    if (how.content_type == NULL && cli->arg_count == 2 && strcmp(cli->args[1], "-") != 0)
        how.content_type = "text/plain; charset=utf-8";
    int status = CLI_FAILED;
    if (take_value(cli, &value)) {
        cairn_client_err_t err =
            write(cli->db, key, strlen(key), value.bytes, value.count, &how, &written);
        status = cli_result(cli, cli->db, err);
        if (status == CLI_OK)
            print_written(cli, key, &written);
    }
    cairn_client_buffer_dispose(&value);
    return status;
}

int cli_set(cli_t *cli)
{
    return write_value(cli, cairn_set_bytes);
}

int cli_append(cli_t *cli)
{
    return write_value(cli, cairn_append_bytes);
}

/** what came of removing a key, a line for each */
static void print_deleted(const char *key, bool is_deleted, uint64_t version)
{
    json_t *json = json_object();
    cairn_client_json_set(json, "key", key, strlen(key));
    json_object_set_new(json, "deleted", json_boolean(is_deleted));
    if (is_deleted)
        json_object_set_new(json, "version", json_integer((json_int_t)version));
    json_dumpf(json, stdout, JSON_COMPACT);
    putchar('\n');
    json_decref(json);
}

int cli_del(cli_t *cli)
{
    cairn_client_written_t written;
    cairn_client_write_t how;
    cairn_client_meta_t meta[CLI_META_MAX];
    int worst = CLI_OK;
    if (!cli_how(cli, &how, meta))
        return CLI_USAGE;
    for (int i = 0; i < cli->arg_count; ++i) {
        const char *key = cli->args[i];
        cairn_client_err_t err = cairn_delete_bytes(cli->db, key, strlen(key), &how, &written);
        if (err == CAIRN_CLIENT_NOT_FOUND)
            cli_failure(cli, "%s: there is no such key", key);
        int status = err == CAIRN_CLIENT_NOT_FOUND ? CLI_NO : cli_result(cli, cli->db, err);
        if (status <= CLI_NO && cli_has(cli, CLI_JSON))
            print_deleted(key, status == CLI_OK, written.version);
        if (status > worst)
            worst = status;
        if (status > CLI_NO)
            break;
    }
    return worst;
}

int cli_incr(cli_t *cli)
{
    const char *key = cli->args[0];
    cairn_client_written_t written;
    cairn_client_write_t how;
    cairn_client_meta_t meta[CLI_META_MAX];
    int64_t by = 1;
    if (!cli_how(cli, &how, meta))
        return CLI_USAGE;
    if (cli->arg_count == 2) {
        char *end;
        errno = 0;
        by = strtoll(cli->args[1], &end, 10);
        if (errno != 0 || *end != '\0' || end == cli->args[1])
            return cli_usage_error(cli, "\"%s\" is not a number of 64 bits", cli->args[1]);
    }
    cairn_client_err_t err = cairn_incr_bytes(cli->db, key, strlen(key), by, &how, &written);
    int status = cli_result(cli, cli->db, err);
    if (status == CLI_OK && cli_has(cli, CLI_JSON))
        printf("{\"value\":%" PRId64 ",\"version\":%" PRIu64 "}\n", written.number,
               written.version);
    else if (status == CLI_OK)
        printf("%" PRId64 "\n", written.number);
    return status;
}
