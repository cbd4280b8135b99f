/*
 * client/cli_help.c - explaining the commands.
 */
#include <string.h>

#include "client/cli_internal.h"

const cli_command_t *cli_command_find(const char *name)
{
    for (const cli_command_t *command = cli_commands; command->name != NULL; ++command)
        if (strcmp(command->name, name) == 0)
            return command;
    return NULL;
}

void cli_print_commands(FILE *out)
{
    fputs("cairn - a durable key-value database that speaks plain HTTP\n"
          "\n"
          "  cairn serve --data ./data        run it, then in another terminal:\n"
          "  cairn set greeting hello\n"
          "  cairn get greeting\n"
          "\n"
          "Commands ('cairn help COMMAND' explains one, with examples):\n",
          out);
    for (const cli_command_t *command = cli_commands; command->name != NULL; ++command)
        fprintf(out, "  %-9s %s\n", command->name, command->summary);
    fputs("\n"
          "The server is --url URL, else $CAIRN_URL, else http://localhost:8080; its access token\n"
          "--token SECRET, else $CAIRN_TOKEN.\n"
          "\n"
          "Exit status: 0 done, 1 no such key or a condition does not hold, 2 wrong command line,\n"
          "3 no answer, 4 not allowed, 5 another failure. --version prints the version.\n",
          out);
}

static void print_options(FILE *out, const cli_command_t *command)
{
    fputs("\nOptions:\n", out);
    for (cli_option_id_t id = 0; id < CLI_OPTION_COUNT; ++id) {
        const cli_option_t *option = &cli_options[id];
        char form[40];
        if (((command->options | CLI_BIT(HELP)) >> id & 1) == 0)
            continue;
        snprintf(form, sizeof(form), "--%s%s%s", option->name, option->value != NULL ? " " : "",
                 option->value != NULL ? option->value : "");
        fprintf(out, "  %-20s %s\n", form, option->help);
    }
}

void cli_print_help(FILE *out, const cli_command_t *command)
{
    fprintf(out, "cairn %s - %s\n\nUsage: cairn %s %s\n\n%s", command->name, command->summary,
            command->name, command->arguments, command->text);
    print_options(out, command);
}

int cli_help(cli_t *cli)
{
    if (cli->arg_count == 0) {
        cli_print_commands(stdout);
        return CLI_OK;
    }
    const cli_command_t *command = cli_command_find(cli->args[0]);
    if (command == NULL)
        return cli_usage_error(cli, "there is no command \"%s\"", cli->args[0]);
    if (command->run == NULL)
        printf("cairn %s - %s\n\nUsage: cairn %s %s\n\n'cairn %s --help' has more.\n",
               command->name, command->summary, command->name, command->arguments, command->name);
    else
        cli_print_help(stdout, command);
    return CLI_OK;
}
