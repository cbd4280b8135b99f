/*
 * The command line of `cairn serve`, its help, and configs/default.yaml, which show the same table.
 */
#include "tests/suites.h"

#include <CUnit/CUnit.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/cli.h"
#include "server/config.h"
#include "tests/scratch.h"

static char errmsg[CAIRN_CONFIG_ERRMSG_BYTES];

/* a NULL ends the arguments */
static cairn_cli_result_t serve(cairn_config_t *config, char **help, char *const *argv)
{
    size_t help_bytes;
    FILE *out = open_memstream(help, &help_bytes);
    int argc = 0;
    cairn_cli_result_t result;

    while (argv[argc] != NULL)
        ++argc;
    errmsg[0] = '\0';
    cairn_config_init(config);
    result = cairn_cli_serve(config, argc, argv, out, errmsg, sizeof(errmsg));
    fclose(out);
    return result;
}

/* Reads a command line that must be refused; its message. */
#define REFUSED(...) refused((char *[]){__VA_ARGS__, NULL})
static const char *refused(char *const *argv)
{
    cairn_config_t config;
    char *help;

    CU_ASSERT_EQUAL(serve(&config, &help, argv), CAIRN_CLI_ERROR);
    CU_ASSERT_STRING_EQUAL(help, "");
    free(help);
    cairn_config_dispose(&config);
    return scratch_bare(errmsg);
}

/* Reads a command line that must be accepted; the caller disposes the config. */
#define ACCEPTED(config, ...) accepted(config, (char *[]){__VA_ARGS__, NULL})
static void accepted(cairn_config_t *config, char *const *argv)
{
    char *help;

    CU_ASSERT_EQUAL(serve(config, &help, argv), CAIRN_CLI_RUN);
    CU_ASSERT_TRUE(same(errmsg, ""));
    CU_ASSERT_STRING_EQUAL(help, "");
    free(help);
}

/* ---- the command line ---- */

static void salvage_is_a_flag_and_nothing_else(void)
{
    cairn_config_t config;
    const char *yaml = "salvage: yes\n";

    ACCEPTED(&config, "--workers", "2");
    CU_ASSERT_FALSE(config.salvage || config.accept_loss);
    cairn_config_dispose(&config);
    ACCEPTED(&config, "--salvage", "--workers", "2");
    CU_ASSERT_TRUE(config.salvage && !config.accept_loss);
    cairn_config_dispose(&config);
    ACCEPTED(&config, "--accept-loss", "--workers", "2");
    CU_ASSERT_TRUE(config.accept_loss && !config.salvage);
    cairn_config_dispose(&config);
    scratch_write(yaml, strlen(yaml));
    CU_ASSERT_PTR_NOT_NULL(strstr(REFUSED("--config", scratch_file()), "salvage"));
}

static void flags_win_over_the_file_wherever_they_stand(void)
{
    cairn_config_t config;
    const char *yaml = "listen: \":1\"\nworkers: 1\nstorage:\n  path: from-file\n";

    scratch_write(yaml, strlen(yaml));
    ACCEPTED(&config, "--workers", "2", "--config", scratch_file(), "--listen=:2");
    CU_ASSERT_EQUAL(config.workers, 2);
    CU_ASSERT_STRING_EQUAL(config.listen, ":2");
    CU_ASSERT_STRING_EQUAL(config.storage_path, "from-file");
    cairn_config_dispose(&config);
    /* a flag covers the file's value, but not its mistake */
    yaml = "workers: 1\nlisten: nowhere\n";
    scratch_write(yaml, strlen(yaml));
    CU_ASSERT_PTR_NOT_NULL(
        strstr(REFUSED("--listen", ":2", "--config", scratch_file()), "c.yaml:2: listen"));
}

static void every_key_is_a_flag(void)
{
    cairn_config_t config;

    ACCEPTED(&config, "--data", "a", "--storage.segment_bytes", "1MiB", "--workers=4",
             "--storage.durability=async", "--limits.idle_timeout", "5m");
    CU_ASSERT_STRING_EQUAL(config.storage_path, "a");
    CU_ASSERT_EQUAL(config.storage_segment_bytes, CAIRN_MIB);
    CU_ASSERT_EQUAL(config.workers, 4);
    CU_ASSERT_EQUAL(config.storage_durability, CAIRN_DURABILITY_ASYNC);
    CU_ASSERT_EQUAL(config.limits_idle_timeout_ms, 300000);
    cairn_config_dispose(&config);
    ACCEPTED(&config, "--data=--a=b", "--workers", "4", "--workers", "5");
    CU_ASSERT_STRING_EQUAL(config.storage_path, "--a=b");
    CU_ASSERT_EQUAL(config.workers, 5);
    cairn_config_dispose(&config);
}

#define SEE_HELP " (see 'cairn serve --help')"

static void a_wrong_command_line_is_refused(void)
{
    CU_ASSERT_TRUE(same(REFUSED("--colour", "red"), "there is no option \"colour\"" SEE_HELP));
    CU_ASSERT_TRUE(same(REFUSED("--segment_bytes=1MiB"),
                        "there is no option \"segment_bytes\"; "
                        "did you mean --storage.segment_bytes?" SEE_HELP));
    CU_ASSERT_TRUE(same(REFUSED("--confg", "x"),
                        "there is no option \"confg\"; did you mean --config?" SEE_HELP));
    CU_ASSERT_TRUE(same(REFUSED("--workers"), "--workers needs a value" SEE_HELP));
    CU_ASSERT_TRUE(same(REFUSED("--data", "--workers", "1"), "--data needs a value" SEE_HELP));
    CU_ASSERT_TRUE(same(REFUSED("--workers", "1", "stray"),
                        "stray argument \"stray\"; every option is --NAME VALUE" SEE_HELP));
    CU_ASSERT_TRUE(
        same(REFUSED("-w"), "stray argument \"-w\"; every option is --NAME VALUE" SEE_HELP));
    CU_ASSERT_TRUE(
        same(REFUSED("--", "x"), "stray argument \"--\"; every option is --NAME VALUE" SEE_HELP));
    CU_ASSERT_TRUE(same(REFUSED("--salvage=yes"), "--salvage takes no value" SEE_HELP));
    CU_ASSERT_TRUE(same(REFUSED("--accept-loss=1"), "--accept-loss takes no value" SEE_HELP));
    scratch_write("", 0);
    CU_ASSERT_TRUE(same(REFUSED("--config", scratch_file(), "--config", scratch_file()),
                        "--config is given twice; one file holds all options" SEE_HELP));
    CU_ASSERT_TRUE(same(REFUSED("--limits.value_bytes=64KiB", "--storage.segment_bytes=64KiB"),
                        "--limits.value_bytes: 64KiB does not fit into storage.segment_bytes "
                        "(64KiB) with its record; write at most 48KiB, or raise "
                        "storage.segment_bytes"));
    CU_ASSERT_TRUE(same(REFUSED("--data="), "--storage.path: \"\" is empty; write a directory, "
                                            "for example ./data, or :memory:"));
}

static void a_file_that_cannot_be_read_says_why(void)
{
    char path[4000];

    memset(path, 'p', sizeof(path) - 1);
    path[sizeof(path) - 1] = '\0';
    CU_ASSERT_TRUE(same(REFUSED("--config", path) + strlen(path), ": File name too long"));
    CU_ASSERT_TRUE(same(REFUSED("--config", "/nonexistent/c.yaml"),
                        "/nonexistent/c.yaml: No such file or directory"));
    CU_ASSERT_TRUE(same(REFUSED("--config", "/tmp"), "/tmp: Is a directory"));
    CU_ASSERT_TRUE(same(REFUSED("--config", "/dev/zero"),
                        "/dev/zero: is larger than 32KiB; that is no config file"));
}

/* ---- help, the default file and the table ---- */

static void help_names_every_option(void)
{
#define HELP_KEY(section_dot, name) "  --" section_dot #name " "
#define TOP_HELP(field, section, name, ...) HELP_KEY("", name),
#define SECTION_HELP(field, section, name, ...) HELP_KEY(#section ".", name),
#define SECTION(section, rows) rows(SECTION_HELP)
    static const char *const keys[] = {CAIRN_OPTIONS_TOP(TOP_HELP) CAIRN_SECTIONS(SECTION)};
    static const char *const words[] = {
        "curl ",
        "--config FILE",
        "--data DIR",
        "  default 127.0.0.1:8080\n",
        "  64KiB to 4GiB; default 64MiB\n",
        "  auto or 1 to 256; default auto\n",
        "  100ms to 1h; default 1m\n",
        "  sync or async; default sync\n",
    };
    cairn_config_t config;
    char *help, *short_help;

    CU_ASSERT_EQUAL(serve(&config, &help, (char *[]){"--workers", "1", "--help", "x", NULL}),
                    CAIRN_CLI_HELP);
    cairn_config_dispose(&config);
    CU_ASSERT_EQUAL(serve(&config, &short_help, (char *[]){"-h", NULL}), CAIRN_CLI_HELP);
    cairn_config_dispose(&config);
    CU_ASSERT_TRUE(same(short_help, help));
    free(short_help);
    for (size_t i = 0; i != CAIRN_OPTION_COUNT; ++i)
        CU_ASSERT_PTR_NOT_NULL(strstr(help, keys[i]));
    for (size_t i = 0; i != sizeof(words) / sizeof(words[0]); ++i)
        CU_ASSERT_PTR_NOT_NULL(strstr(help, words[i]));
    free(help);
}

static void the_default_file_is_what_the_table_prints(void)
{
    char *printed, *stored = calloc(1, 65536);
    size_t printed_bytes;
    FILE *out = open_memstream(&printed, &printed_bytes), *in = fopen("configs/default.yaml", "r");

    cairn_config_print_default(out);
    fclose(out);
    CU_ASSERT_PTR_NOT_NULL_FATAL(in);
    CU_ASSERT_TRUE(fread(stored, 1, 65535, in) > 0);
    fclose(in);
    /* after a change of the table: what is expected here is what the file should hold */
    CU_ASSERT_TRUE(same(stored, printed));
    free(stored);
    free(printed);
}

static void the_default_file_changes_nothing(void)
{
    cairn_config_t config, defaults;

    accepted(&defaults, (char *[]){NULL});
    ACCEPTED(&config, "--config", "configs/default.yaml");
#define SAME_ADDRESS(a, b) CU_ASSERT_STRING_EQUAL(a, b)
#define SAME_PATH(a, b) CU_ASSERT_STRING_EQUAL(a, b)
#define SAME_FILE_PATH(a, b) CU_ASSERT_STRING_EQUAL(a, b)
#define SAME_COUNT(a, b) CU_ASSERT_EQUAL(a, b)
#define SAME_AUTO_COUNT(a, b) CU_ASSERT_EQUAL(a, b)
#define SAME_BYTES(a, b) CU_ASSERT_EQUAL(a, b)
#define SAME_DURATION(a, b) CU_ASSERT_EQUAL(a, b)
#define SAME_DURABILITY(a, b) CU_ASSERT_EQUAL(a, b)
#define SAME_ACCESS_LOG(a, b) CU_ASSERT_EQUAL(a, b)
#define SAME_LOG_LEVEL(a, b) CU_ASSERT_EQUAL(a, b)
#define SAME_OUTPUT(a, b) CU_ASSERT_STRING_EQUAL(a, b)
#define SAME_YES_NO(a, b) CU_ASSERT_EQUAL(a, b)
#define SAME_FIELD(field, section, name, type, ...) SAME_##type(config.field, defaults.field);
    CAIRN_OPTIONS(SAME_FIELD)
    cairn_config_dispose(&config);
    cairn_config_dispose(&defaults);
}

void suite_cli(void)
{
    CU_pSuite s = CU_add_suite("cli", scratch_make, scratch_remove);

    CU_add_test(s, "flags win over the file wherever they stand",
                flags_win_over_the_file_wherever_they_stand);
    CU_add_test(s, "salvage is a flag, and nothing else", salvage_is_a_flag_and_nothing_else);
    CU_add_test(s, "every key is a flag, and --data is the path", every_key_is_a_flag);
    CU_add_test(s, "a wrong command line is refused with what is wrong",
                a_wrong_command_line_is_refused);
    CU_add_test(s, "a file that cannot be read says why", a_file_that_cannot_be_read_says_why);
    CU_add_test(s, "--help names every option, its default and its limits",
                help_names_every_option);
    CU_add_test(s, "configs/default.yaml is what the table prints",
                the_default_file_is_what_the_table_prints);
    CU_add_test(s, "configs/default.yaml loads to the defaults", the_default_file_changes_nothing);
}
