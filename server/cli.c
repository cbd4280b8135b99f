/*
 * Reading the arguments of `cairn serve` from left to right.
 */
#include "server/cli.h"

#include <stdarg.h>
#include <stdbool.h>
#include <string.h>

#include "server/wording.h"

/* longer than any flag; what does not fit is unknown for certain, and is cut in the message */
#define NAME_BYTES 128

#define SEE_HELP " (see 'cairn serve --help')"

/* what is left of the arguments, and where an error goes */
typedef struct st_cli_t {
    char *const *next;
    char *const *end;
    char *errmsg;
    size_t errmsg_bytes;
} cli_t;

/* the flags that are no options */
static const char *const own_flags[] = {"config", "data", "help", "salvage", "accept-loss"};
#define OWN_FLAG_COUNT (sizeof(own_flags) / sizeof(own_flags[0]))

static const char help_head[] =
    "cairn serve - a durable key-value database that speaks plain HTTP\n"
    "\n"
    "Values are kept in append-only files under one directory. A write is answered once it is\n"
    "safely on disk; any HTTP client can put, get and delete.\n"
    "\n"
    "Usage:\n"
    "  cairn serve [--config FILE] [--data DIR] [--salvage] [--accept-loss] [--OPTION VALUE]...\n"
    "\n"
    "Example:\n"
    "  cairn serve --listen 127.0.0.1:8080 --data ./data\n"
    "  curl -X PUT --data 'hello' http://127.0.0.1:8080/v1/kv/greeting\n"
    "  curl http://127.0.0.1:8080/v1/kv/greeting\n"
    "\n"
    "Options (as --OPTION VALUE or --OPTION=VALUE; they win over the file):\n"
    "  --config FILE\n"
    "      read options from a YAML file; configs/default.yaml shows them all\n"
    "  --data DIR\n"
    "      short for --storage.path DIR\n"
    "  --salvage\n"
    "      make a damaged store start: keep what is damaged in quarantine/ and serve all that can\n"
    "      be proven; keys whose value is lost answer 500 until they are written or deleted\n"
    "  --accept-loss\n"
    "      after a salvage: somebody has taken note of the versions that are lost with their "
    "keys,\n"
    "      and they make the store degraded no more; what is lost later does\n"
    "  --help\n"
    "      print this and exit\n";

static const char help_tail[] =
    "\n"
    "A SIZE is a number with B, KiB, MiB, GiB (1024) or kB, MB, GB (1000).\n"
    "A TIME is a number with ms, s, m, h or d.\n";

/* Always false, for the caller to return. */
static bool refuse(const cli_t *cli, const char *format, ...) __attribute__((format(printf, 2, 3)));

static bool refuse(const cli_t *cli, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    vsnprintf(cli->errmsg, cli->errmsg_bytes, format, args);
    va_end(args);
    return false;
}

static bool is_known(const char *name)
{
    for (size_t i = 0; i != OWN_FLAG_COUNT; ++i) {
        if (strcmp(name, own_flags[i]) == 0)
            return true;
    }
    return cairn_config_knows(name);
}

static bool refuse_unknown(const cli_t *cli, cairn_config_t *config, const char *name)
{
    char reason[CAIRN_CONFIG_ERRMSG_BYTES], quoted[CAIRN_WORDING_QUOTE_BYTES];

    cairn_wording_quote(name, quoted);
    for (size_t i = 0; i != OWN_FLAG_COUNT; ++i) {
        if (cairn_wording_distance(name, own_flags[i]) <= 1)
            return refuse(cli, "there is no option %s; did you mean --%s?" SEE_HELP, quoted,
                          own_flags[i]);
    }
    /* the config knows its own names and guesses among them */
    cairn_config_set(config, name, "", reason, sizeof(reason));
    return refuse(cli, "%s" SEE_HELP, reason);
}

/* Takes the next flag's name, without dashes, and what follows its "=", NULL if there is none. */
static bool take_name(cli_t *cli, cairn_config_t *config, char name[NAME_BYTES], const char **value)
{
    const char *arg = *cli->next++, *equals;
    char quoted[CAIRN_WORDING_QUOTE_BYTES];

    if (strcmp(arg, "-h") == 0)
        arg = "--help";
    if (strncmp(arg, "--", 2) != 0 || arg[2] == '\0') {
        cairn_wording_quote(arg, quoted);
        return refuse(cli, "stray argument %s; every option is --NAME VALUE" SEE_HELP, quoted);
    }
    arg += 2;
    equals = strchr(arg, '=');
    *value = equals != NULL ? equals + 1 : NULL;
    snprintf(name, NAME_BYTES, "%.*s", (int)strcspn(arg, "="), arg);
    return is_known(name) || refuse_unknown(cli, config, name);
}

/* Takes the value from the next argument unless "=" gave it. What looks like a flag is one: a value
 * was forgotten, not meant to begin with dashes; whoever means it writes "=". */
static bool take_value(cli_t *cli, const char *name, const char **value)
{
    if (*value != NULL)
        return true;
    if (cli->next == cli->end || strncmp(*cli->next, "--", 2) == 0)
        return refuse(cli, "--%s needs a value" SEE_HELP, name);
    *value = *cli->next++;
    return true;
}

static bool apply(const cli_t *cli, cairn_config_t *config, const char *name, const char *value,
                  bool *is_loaded)
{
    if (strcmp(name, "config") != 0) {
        const char *key = strcmp(name, "data") == 0 ? "storage.path" : name;
        return cairn_config_set(config, key, value, cli->errmsg, cli->errmsg_bytes);
    }
    if (*is_loaded)
        return refuse(cli, "--config is given twice; one file holds all options" SEE_HELP);
    *is_loaded = true;
    return cairn_config_load(config, value, cli->errmsg, cli->errmsg_bytes);
}

static cairn_cli_result_t print_help(FILE *out)
{
    fputs(help_head, out);
    cairn_config_print_help(out);
    fputs(help_tail, out);
    return CAIRN_CLI_HELP;
}

/** what a flag sets that takes no value; NULL if it is none of these */
static bool *own_flag(cairn_config_t *config, const char *name)
{
    return strcmp(name, "salvage") == 0       ? &config->salvage
           : strcmp(name, "accept-loss") == 0 ? &config->accept_loss
                                              : NULL;
}

cairn_cli_result_t cairn_cli_serve(cairn_config_t *config, int argc, char *const *argv, FILE *out,
                                   char *errmsg, size_t errmsg_bytes)
{
    cli_t cli = {argv, argv + argc, errmsg, errmsg_bytes};
    bool is_loaded = false;

    while (cli.next != cli.end) {
        char name[NAME_BYTES];
        const char *value = NULL;
        if (!take_name(&cli, config, name, &value))
            return CAIRN_CLI_ERROR;
        if (strcmp(name, "help") == 0)
            return print_help(out);
        bool *flag = own_flag(config, name);
        if (flag != NULL && value != NULL) {
            refuse(&cli, "--%s takes no value" SEE_HELP, name);
            return CAIRN_CLI_ERROR;
        }
        if (flag != NULL) {
            *flag = true;
            continue;
        }
        if (!take_value(&cli, name, &value) || !apply(&cli, config, name, value, &is_loaded))
            return CAIRN_CLI_ERROR;
    }
    return cairn_config_finish(config, errmsg, errmsg_bytes) ? CAIRN_CLI_RUN : CAIRN_CLI_ERROR;
}
