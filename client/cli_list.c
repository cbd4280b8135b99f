/*
 * client/cli_list.c - many keys: ls, scan, watch.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <jansson.h>

#include "client/cli_internal.h"
#include "client/client_internal.h"

static void print_line(json_t *json)
{
    json_dumpf(json, stdout, JSON_COMPACT);
    putchar('\n');
    json_decref(json);
}

/** whether to go on: nobody reads a closed pipe, and somebody pressed Ctrl-C */
static bool goes_on(void)
{
    return ferror(stdout) == 0 && !cli_is_interrupted();
}

/* ---------------------------------------------------------------- ls, scan */

static json_t *entry_json(const cairn_client_entry_t *entry)
{
    json_t *json = json_object();
    cairn_client_json_set(json, "key", entry->key, entry->key_bytes);
    json_object_set_new(json, "version", json_integer((json_int_t)entry->version));
    json_object_set_new(json, "size", json_integer((json_int_t)entry->size));
    if (entry->content_type != NULL)
        json_object_set_new(json, "content_type", json_string(entry->content_type));
    if (entry->expires_ms != 0)
        json_object_set_new(json, "expires", json_integer(entry->expires_ms));
    if (entry->value != NULL)
        cairn_client_json_set(json, "value", entry->value, entry->value_bytes);
    return json;
}

static void print_long(const cairn_client_entry_t *entry)
{
    char expires[40] = "-";
    if (entry->expires_ms != 0) {
        time_t seconds = (time_t)(entry->expires_ms / 1000);
        struct tm parts;
        strftime(expires, sizeof(expires), "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&seconds, &parts));
    }
    printf("%12" PRIu64 " %12" PRIu64 "  %-20s ", entry->version, entry->size, expires);
}

static bool print_entry(void *ctx, const cairn_client_entry_t *entry)
{
    const cli_t *cli = ctx;
    if (cli_has(cli, CLI_JSON)) {
        print_line(entry_json(entry));
        return goes_on();
    }
    if (cli_has(cli, CLI_LONG))
        print_long(entry);
    cli_print_text(stdout, entry->key, entry->key_bytes);
    if (entry->value != NULL) {
        putchar('\t');
        cli_print_text(stdout, entry->value, entry->value_bytes);
    }
    putchar('\n');
    return goes_on();
}

/** what --prefix or the first argument, --after and --limit say */
static bool take_range(const cli_t *cli, const char *prefix, cairn_client_list_t *list)
{
    const char *after = cli->values[CLI_AFTER];
    *list = (cairn_client_list_t){.prefix = prefix,
                                  .prefix_bytes = prefix != NULL ? strlen(prefix) : 0,
                                  .after = after,
                                  .after_bytes = after != NULL ? strlen(after) : 0,
                                  .with_values = cli_has(cli, CLI_VALUES)};
    return cli_number(cli, CLI_LIMIT, &list->limit);
}

int cli_result_of_list(const cli_t *cli, cairn_client_err_t err, bool left_out)
{
    if (err != CAIRN_CLIENT_OK || !left_out)
        return cli_result(cli, cli->db, err);
    return cli_failure(cli, "keys may be missing: there are damaged records, and nothing proves of "
                            "which keys");
}

int cli_ls(cli_t *cli)
{
    cairn_client_list_t list;
    bool left_out = false;
    const char *prefix = cli->arg_count != 0 ? cli->args[0] : cli->values[CLI_PREFIX];
    if (!take_range(cli, prefix, &list))
        return CLI_USAGE;
    if (cli_has(cli, CLI_PARTIAL))
        list.left_out = &left_out;
    cli_catch_signals();
    cairn_client_err_t err = cairn_list(cli->db, &list, print_entry, cli);
    return cli_result_of_list(cli, err, left_out);
}

int cli_scan(cli_t *cli)
{
    cairn_client_list_t list;
    bool left_out = false;
    if (!take_range(cli, cli->values[CLI_PREFIX], &list))
        return CLI_USAGE;
    list.contains = cli->args[0];
    list.contains_bytes = strlen(cli->args[0]);
    if (cli_has(cli, CLI_PARTIAL))
        list.left_out = &left_out;
    cli_catch_signals();
    cairn_client_err_t err = cairn_scan(cli->db, &list, print_entry, cli);
    return cli_result_of_list(cli, err, left_out);
}

/* ---------------------------------------------------------------- watch */

static void print_change_json(const cairn_client_change_t *change)
{
    json_t *json = json_object();
    json_object_set_new(json, "version", json_integer((json_int_t)change->version));
    json_object_set_new(json, "op", json_string(change->is_delete ? "delete" : "put"));
    cairn_client_json_set(json, "key", change->key, change->key_bytes);
    if (!change->is_delete)
        json_object_set_new(json, "size", json_integer((json_int_t)change->size));
    if (change->value != NULL)
        cairn_client_json_set(json, "value", change->value, change->value_bytes);
    print_line(json);
}

typedef struct st_watch_t {
    const cli_t *cli;
    uint64_t left;
} watch_t;

static bool print_change(void *ctx, const cairn_client_change_t *change)
{
    watch_t *watch = ctx;
    if (change == NULL)
        return goes_on();
    if (cli_has(watch->cli, CLI_JSON)) {
        print_change_json(change);
    } else {
        printf("%12" PRIu64 " %-6s ", change->version, change->is_delete ? "delete" : "put");
        cli_print_text(stdout, change->key, change->key_bytes);
        if (change->value != NULL) {
            putchar('\t');
            cli_print_text(stdout, change->value, change->value_bytes);
        }
        putchar('\n');
    }
    fflush(stdout); /* who follows wants each line when it happens */
    return --watch->left != 0 && goes_on();
}

int cli_watch(cli_t *cli)
{
    const char *prefix = cli->arg_count != 0 ? cli->args[0] : cli->values[CLI_PREFIX];
    cairn_client_feed_t feed = {.prefix = prefix,
                                .prefix_bytes = prefix != NULL ? strlen(prefix) : 0,
                                .from_now = !cli_has(cli, CLI_SINCE) && !cli_has(cli, CLI_ONCE),
                                .with_values = cli_has(cli, CLI_VALUES),
                                .ends_at_present = cli_has(cli, CLI_ONCE),
                                .wait_ms = 1000}; /* so that Ctrl-C is heard */
    watch_t watch = {cli, 0};
    if (!cli_number(cli, CLI_SINCE, &feed.since) || !cli_number(cli, CLI_LIMIT, &watch.left))
        return CLI_USAGE;
    if (watch.left == 0)
        watch.left = UINT64_MAX;
    cli_catch_signals();
    return cli_result(cli, cli->db, cairn_changes(cli->db, &feed, print_change, &watch));
}
