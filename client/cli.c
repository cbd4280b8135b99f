/*
 * client/cli.c - which command, with which options, on which server.
 */
#include "client/cli.h"

#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "client/cli_internal.h"

#define DEFAULT_URL "http://localhost:8080"

/* ---------------------------------------------------------------- errors */

static void complain(const cli_t *cli, const char *format, va_list args)
{
    fprintf(stderr, "cairn %s: ", cli->command->name);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
}

int cli_usage_error(const cli_t *cli, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    complain(cli, format, args);
    va_end(args);
    fprintf(stderr, "Usage: cairn %s %s (see 'cairn help %s')\n", cli->command->name,
            cli->command->arguments, cli->command->name);
    return CLI_USAGE;
}

int cli_failure(const cli_t *cli, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    complain(cli, format, args);
    va_end(args);
    return CLI_FAILED;
}

static int status_of(cairn_client_err_t err)
{
    switch (err) {
    case CAIRN_CLIENT_OK:
        return CLI_OK;
    case CAIRN_CLIENT_NOT_FOUND:
    case CAIRN_CLIENT_PRECONDITION:
    case CAIRN_CLIENT_NOT_MODIFIED:
        return CLI_NO;
    case CAIRN_CLIENT_UNREACHABLE:
    case CAIRN_CLIENT_TIMEOUT:
    case CAIRN_CLIENT_BROKEN:
        return CLI_UNREACHABLE;
    case CAIRN_CLIENT_DENIED:
        return CLI_DENIED;
    default:
        return CLI_FAILED;
    }
}

int cli_result_of_line(const cli_t *cli, cairn_client_t *db, cairn_client_err_t err,
                       const char *name, uint64_t line)
{
    if (err != CAIRN_CLIENT_OK && name != NULL && line != 0)
        cli_failure(cli, "%s:%llu: %s", name, (unsigned long long)line, cairn_client_message(db));
    else if (err != CAIRN_CLIENT_OK)
        cli_failure(cli, "%s", cairn_client_message(db));
    return status_of(err);
}

int cli_result(const cli_t *cli, cairn_client_t *db, cairn_client_err_t err)
{
    return cli_result_of_line(cli, db, err, NULL, 0);
}

/* ---------------------------------------------------------------- options */

bool cli_has(const cli_t *cli, cli_option_id_t id)
{
    return cli->values[id] != NULL;
}

/** the option of this name that the command takes; CLI_OPTION_COUNT if there is none */
static cli_option_id_t find_option(const cli_command_t *command, const char *name, size_t bytes)
{
    for (cli_option_id_t id = 0; id < CLI_OPTION_COUNT; ++id)
        if (((command->options | CLI_BIT(HELP)) >> id & 1) != 0 &&
            strlen(cli_options[id].name) == bytes && memcmp(cli_options[id].name, name, bytes) == 0)
            return id;
    return CLI_OPTION_COUNT;
}

/** takes the option at args[*at], and its value from behind it; false after a message */
static bool take_option(cli_t *cli, char **args, int count, int *at)
{
    const char *name = args[*at] + 2, *equals = strchr(name, '=');
    size_t bytes = equals != NULL ? (size_t)(equals - name) : strlen(name);
    cli_option_id_t id = find_option(cli->command, name, bytes);
    if (id == CLI_OPTION_COUNT) {
        cli_usage_error(cli, "there is no option --%.*s", (int)bytes, name);
        return false;
    }
    const char *value = equals != NULL ? equals + 1 : "";
    if (cli_options[id].value == NULL && equals != NULL) {
        cli_usage_error(cli, "--%s takes no value", cli_options[id].name);
        return false;
    }
    if (cli_options[id].value != NULL && equals == NULL) {
        if (*at + 1 == count) {
            cli_usage_error(cli, "--%s needs a value: --%s %s", cli_options[id].name,
                            cli_options[id].name, cli_options[id].value);
            return false;
        }
        value = args[++*at];
    }
    if (id == CLI_META && cli->meta_count == CLI_META_MAX) {
        cli_usage_error(cli, "at most %d --meta", CLI_META_MAX);
        return false;
    }
    if (id == CLI_META)
        cli->meta[cli->meta_count++] = value;
    cli->values[id] = value;
    return true;
}

/** sorts what follows the command into options and arguments; "--" ends the options, and a lone "-"
 * is an argument, so is what looks like a negative number */
static bool take_args(cli_t *cli, int count, char **args)
{
    bool is_plain = false;
    for (int i = 0; i < count; ++i) {
        const char *arg = args[i];
        bool is_number = arg[0] == '-' && arg[1] >= '0' && arg[1] <= '9';
        if (!is_plain && strcmp(arg, "--") == 0) {
            is_plain = true;
        } else if (!is_plain && strcmp(arg, "-h") == 0) {
            cli->values[CLI_HELP] = "";
        } else if (!is_plain && strncmp(arg, "--", 2) == 0) {
            if (!take_option(cli, args, count, &i))
                return false;
        } else if (!is_plain && arg[0] == '-' && arg[1] != '\0' && !is_number) {
            cli_usage_error(cli, "there is no option %s", arg);
            return false;
        } else {
            cli->args[cli->arg_count++] = args[i];
        }
    }
    return true;
}

/* ---------------------------------------------------------------- connecting */

cairn_client_t *cli_connect(const cli_t *cli)
{
    const char *url = cli->values[CLI_URL], *token = cli->values[CLI_TOKEN];
    uint64_t timeout_ms = 0;
    if (!cli_time_ms(cli, CLI_TIMEOUT, &timeout_ms))
        return NULL;
    if (url == NULL)
        url = getenv("CAIRN_URL");
    if (token == NULL)
        token = getenv("CAIRN_TOKEN");
    cairn_client_options_t options = {
        .token = token != NULL && token[0] != '\0' ? token : NULL,
        .ca_file = cli->values[CLI_CA],
        .is_insecure = cli_has(cli, CLI_INSECURE),
        .timeout_ms = timeout_ms < UINT32_MAX ? (uint32_t)timeout_ms : UINT32_MAX,
    };
    cairn_client_t *db =
        cairn_connect_url(url != NULL && url[0] != '\0' ? url : DEFAULT_URL, &options);
    if (db == NULL)
        cli_failure(cli, "out of memory");
    return db;
}

/* ---------------------------------------------------------------- running */

static volatile sig_atomic_t interrupted;

static void on_signal(int number)
{
    (void)number;
    interrupted = 1;
}

bool cli_is_interrupted(void)
{
    return interrupted != 0;
}

void cli_catch_signals(void)
{
    struct sigaction action = {.sa_handler = on_signal};
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
}

/** what was printed must have got out: a full disk under "cairn get >file" is a failure */
static int flushed(const cli_t *cli, int status)
{
    if (fflush(stdout) == 0 && ferror(stdout) == 0)
        return status;
    cli_failure(cli, "standard output: %s", strerror(errno));
    return status == CLI_OK ? CLI_FAILED : status;
}

static int run(cli_t *cli)
{
    const cli_command_t *command = cli->command;
    if (cli_has(cli, CLI_HELP)) {
        cli_print_help(stdout, command);
        return flushed(cli, CLI_OK);
    }
    if (cli->arg_count < command->args_least)
        return cli_usage_error(cli, "something is missing");
    if (cli->arg_count > command->args_most)
        return cli_usage_error(cli, "\"%s\" is one argument too many",
                               cli->args[command->args_most]);
    if ((command->options & CLI_BIT(URL)) != 0) {
        cli->db = cli_connect(cli);
        if (cli->db == NULL)
            return CLI_USAGE;
    }
    int status = flushed(cli, command->run(cli));
    cairn_disconnect(cli->db);
    return status;
}

int cairn_command_run(int argc, char **argv)
{
    if (argc < 2) {
        cli_print_commands(stderr);
        return CLI_USAGE;
    }
    const char *name = argv[1];
    if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0)
        name = "help";
    if (strcmp(name, "--version") == 0) {
        puts("cairn " CAIRN_VERSION);
        return CLI_OK;
    }
    cli_t cli = {.command = cli_command_find(name)};
    if (cli.command == NULL || cli.command->run == NULL) {
        fprintf(stderr, "cairn: there is no command \"%s\"; 'cairn help' lists them\n", name);
        return CLI_USAGE;
    }
    cli.args = calloc((size_t)argc, sizeof(*cli.args));
    if (cli.args == NULL)
        return cli_failure(&cli, "out of memory");
    int status = take_args(&cli, argc - 2, argv + 2) ? run(&cli) : CLI_USAGE;
    free(cli.args);
    return status;
}
