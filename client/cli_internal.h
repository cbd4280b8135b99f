/*
 * client/cli_internal.h - what the files of the command line share.
 */
#ifndef CAIRN_CLIENT_CLI_INTERNAL_H
#define CAIRN_CLIENT_CLI_INTERNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "client/cairn.h"

/* exit statuses */
#define CLI_OK 0
#define CLI_NO 1          /* no such key, or a condition does not hold */
#define CLI_USAGE 2       /* the command line is wrong */
#define CLI_UNREACHABLE 3 /* no connection, or no answer in time */
#define CLI_DENIED 4      /* the token is missing, wrong, or not for this */
#define CLI_FAILED 5      /* anything else */

/*
 * Every option: X(enum, name, what its value is called or NULL for a flag, help). Which command
 * takes which is in the table of commands (client/cli_table.c); all take those of CLI_CONNECTION.
 */
#define CLI_OPTIONS(X)                                                                             \
    X(URL, "url", "URL", "the server: http://HOST:PORT, https://HOST:PORT or unix:/PATH")          \
    X(TOKEN, "token", "SECRET", "an access token; others see it in ps, so prefer $CAIRN_TOKEN")    \
    X(CA, "ca", "FILE", "certificates to trust, in PEM form, instead of the system's")             \
    X(INSECURE, "insecure", NULL, "take any certificate: for trying things out")                   \
    X(TIMEOUT, "timeout", "TIME", "the longest that one request may take (60s)")                   \
    X(JSON, "json", NULL, "print JSON, for scripts")                                               \
    X(FILE, "file", "FILE", "take the value from a file")                                          \
    X(OUTPUT, "output", "FILE", "write the value to a file")                                       \
    X(TTL, "ttl", "TIME", "let the value expire: 90s, 15m, 12h, 7d")                               \
    X(TYPE, "type", "TYPE", "the content type, such as text/html")                                 \
    X(META, "meta", "NAME=TEXT", "stored beside the value, and given back")                        \
    X(IF_VERSION, "if-version", "N", "only if the value has this version")                         \
    X(IF_ABSENT, "if-absent", NULL, "only if there is no value")                                   \
    X(IF_PRESENT, "if-present", NULL, "only if there is a value")                                  \
    X(ASYNC, "async", NULL, "do not wait for the disk")                                            \
    X(PREFIX, "prefix", "TEXT", "only keys that begin with it; for import: put before each key")   \
    X(AFTER, "after", "KEY", "only keys behind this one")                                          \
    X(LIMIT, "limit", "N", "so many at most")                                                      \
    X(LONG, "long", NULL, "versions, sizes and expiry too")                                        \
    X(VALUES, "values", NULL, "values too")                                                        \
    X(PARTIAL, "partial", NULL, "go on where a damaged record hides a key that nobody can name")   \
    X(SINCE, "since", "VERSION", "what changed after this version; 0 from the beginning")          \
    X(ONCE, "once", NULL, "end when all there is has been told")                                   \
    X(JOBS, "jobs", "N", "connections that work side by side (4)")                                 \
    X(QUIET, "quiet", NULL, "no progress")                                                         \
    X(LINK, "link", NULL, "link the files instead of copying them: at once, on one disk")          \
    X(INTERVAL, "interval", "TIME", "how often to look (1s)")                                      \
    X(COUNT, "count", "N", "end after so many looks")                                              \
    X(KEYS, "keys", "N", "how many keys there will be")                                            \
    X(KEY_BYTES, "key-bytes", "SIZE", "how long a key is, on average")                             \
    X(VALUE_BYTES, "value-bytes", "SIZE", "how large a value is, on average")                      \
    X(HELP, "help", NULL, "explain the command, with examples")

typedef enum en_cli_option_id_t {
#define X(id, name, value, help) CLI_##id,
    CLI_OPTIONS(X)
#undef X
        CLI_OPTION_COUNT
} cli_option_id_t;

#define CLI_BIT(id) (UINT64_C(1) << CLI_##id)
/* what every command takes that talks to a server */
#define CLI_CONNECTION                                                                             \
    (CLI_BIT(URL) | CLI_BIT(TOKEN) | CLI_BIT(CA) | CLI_BIT(INSECURE) | CLI_BIT(TIMEOUT))

typedef struct st_cli_option_t {
    const char *name;
    const char *value; /* NULL for a flag */
    const char *help;
} cli_option_t;

typedef struct st_cli_t cli_t;

typedef struct st_cli_command_t {
    const char *name;
    const char *arguments; /* as the usage line has them */
    const char *summary;
    const char *text; /* what --help says below the usage: prose and examples */
    uint64_t options; /* bits of those it takes */
    int args_least, args_most;
    int (*run)(cli_t *cli); /* NULL for what other rooms do */
} cli_command_t;

#define CLI_META_MAX 32

/** a command line, taken apart */
struct st_cli_t {
    const cli_command_t *command;
    const char *values[CLI_OPTION_COUNT]; /* NULL where not given; "" for a flag */
    const char *meta[CLI_META_MAX];       /* each --meta in order */
    size_t meta_count;
    char **args;
    int arg_count;
    cairn_client_t *db; /* connected for commands that take --url */
};

/** all commands, ended by one without a name; and all options, in the order of their ids */
extern const cli_command_t cli_commands[];
extern const cli_option_t cli_options[CLI_OPTION_COUNT];

const cli_command_t *cli_command_find(const char *name);
void cli_print_help(FILE *out, const cli_command_t *command);
void cli_print_commands(FILE *out);

/* ---------------------------------------------------------------- arguments and errors */

/** Whether a flag was given. */
bool cli_has(const cli_t *cli, cli_option_id_t id);

/** Prints `cairn COMMAND: ...` and returns CLI_USAGE. */
int cli_usage_error(const cli_t *cli, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/** Prints `cairn COMMAND: ...` and returns CLI_FAILED. */
int cli_failure(const cli_t *cli, const char *format, ...) __attribute__((format(printf, 2, 3)));

/** What the handle's last call came to, as an exit status; prints its message if it is an error. */
int cli_result(const cli_t *cli, cairn_client_t *db, cairn_client_err_t err);
/** The same for a list that was to be partial, if --partial was given. */
int cli_result_of_list(const cli_t *cli, cairn_client_err_t err, bool left_out);
/** The same for what a line of a file asked for; `name` NULL or `line` 0 where there is none. */
int cli_result_of_line(const cli_t *cli, cairn_client_t *db, cairn_client_err_t err,
                       const char *name, uint64_t line);

/** A handle as --url, --token and the environment say; NULL after a message. */
cairn_client_t *cli_connect(const cli_t *cli);

/** Reads an option's value: a number, a time, a size. True and `*out` untouched if it was not
 * given; false after a message. */
bool cli_number(const cli_t *cli, cli_option_id_t id, uint64_t *out);
bool cli_time_ms(const cli_t *cli, cli_option_id_t id, uint64_t *out);
bool cli_size(const cli_t *cli, cli_option_id_t id, uint64_t *out);

/** How a write is to be done, from --ttl, --type, --meta, --if-... and --async; `meta` has room for
 * CLI_META_MAX and must live as long as `*how`. False after a message. */
bool cli_how(const cli_t *cli, cairn_client_write_t *how, cairn_client_meta_t *meta);

/* ---------------------------------------------------------------- printing */

/** Prints bytes for a terminal or a line of text: control bytes and what is not UTF-8 as \xNN. */
void cli_print_text(FILE *out, const void *bytes, size_t count);

/** "1.5 GiB", "12,345,678", "1h 02m": into static memory of which eight last. */
const char *cli_bytes_text(double bytes);
const char *cli_count_text(double count);
const char *cli_time_text(double seconds);

/** Seconds, from a clock that is never set. */
double cli_now(void);

/** Set by SIGINT and SIGTERM once cli_catch_signals() was called. */
bool cli_is_interrupted(void);
void cli_catch_signals(void);

/* ---------------------------------------------------------------- progress */

/** long work on its way: a bar with rate and time left on a terminal, a line now and then elsewhere
 */
typedef struct st_cli_progress_t {
    const char *unit; /* "keys" */
    double total;     /* bytes, or `unit` where `counts` is set; 0 when it is not known */
    bool counts;
    bool is_quiet;
    bool is_terminal;
    double started, shown;
    uint64_t done_bytes;
    uint64_t done_count;
} cli_progress_t;

void cli_progress_begin(const cli_t *cli, cli_progress_t *progress, const char *unit,
                        double total_bytes);
/** Adds to what is done, and shows it if it is time to. */
void cli_progress_add(cli_progress_t *progress, uint64_t count, uint64_t bytes);
/** The last line: all that was done, how long it took, how fast it went. */
void cli_progress_end(cli_progress_t *progress);
/** The same for scripts, on standard output: {"keys":...,"bytes":...,"seconds":...}. */
void cli_progress_print_json(const cli_progress_t *progress);

/* ---------------------------------------------------------------- loading */

/** writes many values over several connections; see client/cli_load.c */
typedef struct st_cli_loader_t cli_loader_t;

/** where a value is from: what it counts for in the progress, and its line, 0 if it has none */
typedef struct st_cli_source_t {
    uint64_t bytes;
    uint64_t line;
} cli_source_t;

/** `name`: of the file that the values are lines of, for messages; NULL if there is none. It must
 * stay until the end. NULL after a message. */
cli_loader_t *cli_loader_start(const cli_t *cli, const char *name, cli_progress_t *progress);
/** Adds a value. Copies all. Writes of one key keep their order. False when there has been a
 * failure that stops everything. */
bool cli_loader_put(cli_loader_t *loader, const void *key, size_t key_bytes, const void *value,
                    size_t value_bytes, const cairn_client_write_t *how,
                    const cli_source_t *source);
/** Waits until all is written, prints what failed, frees it. An exit status. */
int cli_loader_finish(cli_loader_t *loader);

/* ---------------------------------------------------------------- the commands */

int cli_get(cli_t *cli);
int cli_set(cli_t *cli);
int cli_append(cli_t *cli);
int cli_del(cli_t *cli);
int cli_incr(cli_t *cli);
int cli_ls(cli_t *cli);
int cli_scan(cli_t *cli);
int cli_watch(cli_t *cli);
int cli_import(cli_t *cli);
int cli_import_tree(cli_t *cli, const char *root);
int cli_export(cli_t *cli);
int cli_snapshot(cli_t *cli);
int cli_restore(cli_t *cli);
int cli_compact(cli_t *cli);
int cli_stats(cli_t *cli);
int cli_top(cli_t *cli);
int cli_plan(cli_t *cli);
int cli_help(cli_t *cli);

#endif
