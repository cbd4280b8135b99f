/*
 * What does the command line show a person at a terminal, and what does it print for scripts?
 *
 * script(1) gives a command a terminal and hands on what it wrote there.
 */
#include "tests/suites.h"

#include <CUnit/CUnit.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/cli_internal.h"
#include "tests/shell.h"
#include "tests/site.h"

static site_t site;
static temp_dir_t dir;

static int start(void)
{
    char url[64], *binary = realpath(getenv("CAIRN_BINARY"), NULL);
    if (binary == NULL || site_start(&site, TEMP_DIR_ON_DISK, NULL) != 0 ||
        !temp_dir_create(&dir, TEMP_DIR_ON_DISK))
        return 1;
    snprintf(url, sizeof(url), "http://127.0.0.1:%u", site.server.port);
    setenv("CAIRN_URL", url, 1);
    setenv("CAIRN_UNDER_TEST", binary, 1);
    setenv("CAIRN_TEST_DIR", dir.path, 1);
    setenv("CAIRN_DATA", site.data, 1);
    free(binary);
    return 0;
}

static int end(void)
{
    unsetenv("CAIRN_URL");
    int ended = site_end(&site);
    return temp_dir_remove(&dir) ? ended : 1;
}

#define IN_SHELL                                                                                   \
    "cd \"$CAIRN_TEST_DIR\"; cairn() { \"$CAIRN_UNDER_TEST\" \"$@\"; }; "                          \
    "terminal() { script -qec \"'$CAIRN_UNDER_TEST' $*\" typescript </dev/null; }; "
#define PRINTS(expected, command)                                                                  \
    CU_ASSERT(shell_prints(expected, "%s", IN_SHELL "{ " command "; } 2>&1"))

/** some hundred milliseconds of work: enough for a bar, which is drawn ten times a second */
#define LINES "seq -f '{\"key\":\"p%.0f\",\"value\":\"v\"}' 100000 >lines; "

/* ---------------------------------------------------------------- progress */

static void a_bar_on_a_terminal(void)
{
    PRINTS("bar\n", LINES "terminal import lines | tr '\\r' '\\n' | grep -qE "
                          "'^\\[#*\\.*\\] +[0-9]+ %  [0-9,]+ keys  .*B/s  ETA [0-9]' && echo bar");
    /* the last line stays, and is all there is of it */
    PRINTS("1\n", "tr '\\r' '\\n' <typescript | grep -cE '^100,000 keys, .* in .* keys/s\\)'");
    /* an export knows how many keys there are, unless only some are wanted: then it counts */
    PRINTS("bar\n", "terminal export out.ndjson | tr '\\r' '\\n' | grep -qE "
                    "'^\\[#*\\.*\\] +[0-9]+ %  [0-9,]+ keys .* ETA [0-9]' && echo bar");
    PRINTS("count\n", "terminal export --prefix p out.ndjson | tr '\\r' '\\n' >t; "
                      "grep -q '^100,000 keys' t && ! grep -q ETA t && echo count");
    PRINTS("", "terminal import lines --quiet");
}

static void plain_lines_elsewhere(void)
{
    PRINTS("1\n0\n", LINES "cairn import lines 2>t; grep -cE '^100,000 keys, .* in .*' t; "
                           "grep -cE 'ETA|'$'\\r''|'$'\\x1b' t || :");
    PRINTS("", "cairn import lines --quiet");
}

/* ---------------------------------------------------------------- top */

static void top_is_a_screen_that_is_drawn_anew(void)
{
    PRINTS("2\n2\n", "terminal top --interval 20ms --count 2 >t; "
                     "grep -c $'\\x1b\\\\[H\\x1b\\\\[J' t; grep -c '^operation ' t");
    /* rates and percentiles of what was done between two looks */
    PRINTS("get\n", "(for i in $(seq 20); do cairn get p1 >/dev/null; done) & "
                    "cairn top --interval 400ms --count 1 | awk '/^get / && $2 > 0 && $NF == 0 "
                    "{ print $1 }'; wait");
    PRINTS("(0)\n", "timeout -s INT 0.5 \"$CAIRN_UNDER_TEST\" top --interval 50ms >/dev/null; "
                    "echo '(0)'");
    PRINTS("(3)\n", "cairn top --count 1 --url http://127.0.0.1:1 2>/dev/null; echo \"($?)\"");
}

/* ---------------------------------------------------------------- for scripts */

static void json_of_long_work(void)
{
    PRINTS("{\"keys\":3}\n",
           "seq -f '{\"key\":\"j%.0f\",\"value\":\"v\"}' 3 | cairn import --quiet --json | "
           "jq -c 'select(.bytes > 60 and .seconds >= 0) | {keys}'");
    PRINTS("{\"files\":2,\"bytes\":6}\n",
           "mkdir -p d/u; echo 1 >d/a; echo 234 >d/u/b; cairn import d "
           "--prefix t/ --quiet --json | jq -c 'del(.seconds)'");
    PRINTS("{\"keys\":3,\"bytes\":3}\n",
           "cairn export --prefix j o.ndjson --quiet --json | jq -c 'del(.seconds)'");
    PRINTS("(2)\n", "cairn export --prefix j --json 2>/dev/null; echo \"($?)\"");
    PRINTS("true\n", "cairn snapshot s --json | jq '.version > 100000'; "
                     "cp -r \"$CAIRN_DATA/snapshots/s\" snap");
    PRINTS("true\n", "cairn restore snap back --json --quiet | jq '.files > 1 and .bytes > 1000'");
    PRINTS("true\n", "cairn verify back --json | jq -s 'length > 0'");
    PRINTS("[\"bytes_read\",\"bytes_written\",\"runs\"]\n",
           "cairn compact --json --quiet | jq -c keys");
}

static void json_of_removing_and_top(void)
{
    PRINTS(
        "{\"deleted\":true,\"key\":\"j1\"}\n{\"deleted\":false,\"key\":\"none\"}\n(1)\n",
        "cairn del j1 none --json 2>/dev/null >o; s=$?; jq -Sc 'del(.version)' o; echo \"($s)\"");
    PRINTS("2\n",
           "cairn top --json --interval 10ms --count 2 | "
           "jq -c 'select(.keys > 0 and .seconds > 0 and (.operations | type) == \"object\")' "
           "| grep -c .");
}

/** each command that prints something a script could want takes --json */
static void every_command_has_json(void)
{
    static const char *const without[] = {"serve", "verify", "help"}; /* verify has its own */
    for (const cli_command_t *command = cli_commands; command->name != NULL; ++command) {
        bool is_expected = true;
        for (size_t i = 0; i < sizeof(without) / sizeof(without[0]); ++i)
            is_expected &= strcmp(command->name, without[i]) != 0;
        CU_ASSERT_EQUAL((command->options & CLI_BIT(JSON)) != 0, is_expected);
    }
}

void suite_terminal(void)
{
    CU_pSuite s = CU_add_suite("terminal", start, end);
    CU_add_test(s, "a bar on a terminal", a_bar_on_a_terminal);
    CU_add_test(s, "plain lines elsewhere", plain_lines_elsewhere);
    CU_add_test(s, "top is a screen that is drawn anew", top_is_a_screen_that_is_drawn_anew);
    CU_add_test(s, "JSON of long work", json_of_long_work);
    CU_add_test(s, "JSON of removing, and of top", json_of_removing_and_top);
    CU_add_test(s, "every command has --json", every_command_has_json);
}
