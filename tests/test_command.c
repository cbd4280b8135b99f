/*
 * Does the command line do what `cairn help` says, with the exit statuses that scripts rely on?
 */
#include "tests/suites.h"

#include <CUnit/CUnit.h>

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/cli_internal.h"
#include "tests/shell.h"
#include "tests/site.h"

static site_t site;
static temp_dir_t dir;

/** each test's shell has $CAIRN_URL, `cairn`, and a directory of its own to work in */
static int start(void)
{
    char url[64], binary[4200], *absolute = realpath(getenv("CAIRN_BINARY"), NULL);
    if (absolute == NULL || site_start(&site, TEMP_DIR_ON_DISK, NULL) != 0 ||
        !temp_dir_create(&dir, TEMP_DIR_ON_DISK))
        return 1;
    snprintf(url, sizeof(url), "http://127.0.0.1:%u", site.server.port);
    snprintf(binary, sizeof(binary), "%s", absolute);
    free(absolute);
    setenv("CAIRN_URL", url, 1);
    setenv("CAIRN_UNDER_TEST", binary, 1);
    setenv("CAIRN_TEST_DIR", dir.path, 1);
    return 0;
}

static int end(void)
{
    unsetenv("CAIRN_URL");
    int ended = site_end(&site);
    return temp_dir_remove(&dir) ? ended : 1;
}

#define IN_SHELL "cd \"$CAIRN_TEST_DIR\"; cairn() { \"$CAIRN_UNDER_TEST\" \"$@\"; }; "

/* what a command prints, stdout and stderr, and then its exit status */
#define PRINTS(expected, command)                                                                  \
    CU_ASSERT(shell_prints(expected, "%s", IN_SHELL "{ " command "; } 2>&1"))
#define STATUS "; echo \"($?)\""

/* ---------------------------------------------------------------- values */

static void set_get_del(void)
{
    PRINTS("(0)\nhello(0)\n", "cairn set greeting hello" STATUS "; cairn get greeting" STATUS);
    PRINTS("cairn get: there is no such key\n(1)\n", "cairn get nothing" STATUS);
    PRINTS("from a pipe(0)\n", "printf 'from a pipe' | cairn set piped; cairn get piped" STATUS);
    PRINTS("a file\n(0)\n",
           "echo a file >f; cairn set filed --file f --type text/html; cairn get filed" STATUS);
    PRINTS("a file\n", "cairn get filed --output out && cat out");
    PRINTS("text/html\n", "cairn get filed --json | jq -r .content_type");
    PRINTS("", "head -c 100000 /dev/urandom >r; cairn set random <r; cairn get random | cmp - r");
    PRINTS("cairn del: nothing: there is no such key\n(1)\ncairn get: there is no such "
           "key\n(1)\n",
           "cairn del greeting nothing piped" STATUS "; cairn get piped" STATUS);
    PRINTS("-dashes(0)\n", "cairn set -- --key -dashes; cairn get -- --key" STATUS);
    PRINTS("one two(0)\n",
           "cairn set words 'one '; cairn append words two; cairn get words" STATUS);
}

static void conditions_and_expiry(void)
{
    PRINTS("(0)\n(1)\n", "cairn set lock me --if-absent --ttl 1h" STATUS
                         "; cairn set lock you --if-absent 2>/dev/null" STATUS);
    PRINTS("true\n", "cairn get lock --json | jq '.expires_in_ms > 3500000'");
    PRINTS("(0)\n(1)\n",
           "v=$(cairn get lock --json | jq .version); cairn set lock x --if-version $v" STATUS
           "; cairn del lock --if-version $v 2>/dev/null" STATUS);
    PRINTS("(1)\n", "cairn set none x --if-present 2>/dev/null" STATUS);
    PRINTS(
        "\"Ada\"\n",
        "cairn set m x --meta author=Ada --meta n=1 --async; cairn get m --json | jq .meta.author");
    PRINTS("{\"key\":\"j\",\"created\":true}\n", "cairn set j x --json | jq -c 'del(.version)'");
}

static void counting(void)
{
    PRINTS("1\n11\n-1\n(0)\n", "cairn incr c; cairn incr c 10; cairn incr c -12" STATUS);
    PRINTS("0\n", "cairn incr c --json | jq .value");
    PRINTS("cairn incr: The value is not a number: the present value is not a decimal number of 64 "
           "bits\n(5)\n",
           "cairn set w words; cairn incr w" STATUS);
    PRINTS("(2)\n", "cairn incr c many 2>/dev/null" STATUS);
}

static void what_goes_wrong(void)
{
    PRINTS("(2)\n", "cairn get 2>/dev/null" STATUS);
    PRINTS("(2)\n", "cairn get a b 2>/dev/null" STATUS);
    PRINTS("(2)\n", "cairn get a --colour 2>/dev/null" STATUS);
    PRINTS("(2)\n", "cairn set a b --ttl soon 2>/dev/null" STATUS);
    PRINTS("(2)\n", "cairn set a b --ttl 2>/dev/null" STATUS);
    PRINTS("(2)\n", "cairn get a --json=yes 2>/dev/null" STATUS);
    PRINTS("(2)\n", "cairn set a b --file c 2>/dev/null" STATUS);
    PRINTS("(2)\n", "cairn fly 2>/dev/null" STATUS);
    PRINTS("(2)\n", "cairn 2>/dev/null" STATUS);
    PRINTS(
        "cairn get: \"nonsense\" is no URL of a cairn; write http://HOST:PORT, https://HOST:PORT "
        "or unix:/PATH\n(5)\n",
        "cairn get a --url nonsense" STATUS);
    PRINTS("(3)\n", "cairn get a --url http://127.0.0.1:1 2>/dev/null" STATUS);
    PRINTS("cairn set: nowhere: No such file or directory\n(5)\n",
           "cairn set a --file nowhere" STATUS);
    PRINTS("cairn get: standard output: No space left on device\n(5)\n",
           "cairn set full x; cairn get full >/dev/full" STATUS);
}

static void a_token_from_the_environment(void)
{
    site_t guarded;
    char config[300], command[1024];
    /* printf %s sesame | sha256sum */
    static const char yaml[] =
        "auth:\n  tokens:\n    - name: t\n      sha256: "
        "d0c04f4b1951e4aeaaec8223ed2039e542f3aae805a6fa7f6d794e5afff5d272\n      scope: read\n";
    snprintf(config, sizeof(config), "%s/tokens.yaml", dir.path);
    FILE *file = fopen(config, "w");
    CU_ASSERT_PTR_NOT_NULL_FATAL(file);
    fputs(yaml, file);
    fclose(file);
    CU_ASSERT_EQUAL_FATAL(
        site_start_in_memory(&guarded, (const char *const[]){"--config", config, NULL}), 0);
    snprintf(command, sizeof(command),
             IN_SHELL "export CAIRN_URL=http://localhost:%u; exec 2>/dev/null;"
                      "cairn get a" STATUS "; cairn get a --token sesame" STATUS
                      "; export CAIRN_TOKEN=sesame; cairn get a" STATUS "; cairn set a b" STATUS,
             guarded.server.port);
    CU_ASSERT(shell_prints("(4)\n(1)\n(1)\n(4)\n", "%s", command));
    CU_ASSERT_EQUAL(site_end(&guarded), 0);
}

/* ---------------------------------------------------------------- import */

static void import_of_lines(void)
{
    PRINTS(
        "(0)\n",
        "for i in $(seq 5000); do echo \"{\\\"key\\\":\\\"i/$i\\\",\\\"value\\\":\\\"v$i\\\"}\"; "
        "done >lines; cairn import lines 2>/dev/null" STATUS);
    PRINTS("v1 v2500 v5000 ", "for i in 1 2500 5000; do cairn get i/$i; echo -n ' '; done");
    /* of one key the last line wins, over whatever connection they go */
    PRINTS(
        "1999",
        "for i in $(seq 0 1999); do echo \"{\\\"key\\\":\\\"same\\\",\\\"value\\\":\\\"$i\\\"}\"; "
        "done | cairn import --jobs 8 --quiet; cairn get same");
    PRINTS("A\n", "echo '{\"key_b64\":\"/w==\",\"value_b64\":\"QQo=\",\"content_type\":\"a/b\"}' | "
                  "cairn import --quiet; cairn get $'\\xff'");
    /* what had expired when it was written down is not there; what has not goes on to expire */
    PRINTS("(1)\ntrue\n",
           "echo '{\"key\":\"old\",\"value\":\"\",\"expires\":1}' | cairn import --quiet; "
           "cairn get old 2>/dev/null" STATUS
           "; echo \"{\\\"key\\\":\\\"new\\\",\\\"value\\\":\\\"\\\",\\\"expires\\\":$(($(date "
           "+%s) + 100))000}\" | "
           "cairn import --quiet; cairn get new --json | jq '.expires_in_ms > 50000'");
    PRINTS("cairn import: standard input:2: a line is {\"key\":\"...\",\"value\":\"...\"}, with "
           "key_b64 and value_b64 for what is not UTF-8\n(5)\n",
           "printf '\\n{\"key\":\"x\"}\\n' | cairn import --quiet" STATUS);
    /* what only the server knows to be wrong is told with its line too; it is in a batch of others
     */
    PRINTS("cairn import: lines:4302: An operation of the batch is wrong: \"meta\" is a list of "
           "{\"name\":\"...\",\"value\":\"...\"}, names and values of headers\n(5)\n",
           "sed -i '4302s/}$/,\"meta\":[{\"name\":\"a name\",\"value\":\"x\"}]}/' lines;"
           "cairn import --jobs 1 --quiet lines" STATUS);
    PRINTS("(5)\n", "echo nonsense | cairn import --quiet 2>/dev/null" STATUS);
    PRINTS("(5)\n", "cairn import nowhere 2>/dev/null" STATUS);
    PRINTS("(2)\n", "cairn import lines --jobs 0 2>/dev/null" STATUS);
    PRINTS("(3)\n",
           "echo '{\"key\":\"\",\"value\":\"\"}' | "
           "timeout 1 cairn import --url http://127.0.0.1:1 --quiet 2>/dev/null; echo '(3)'");
}

static void import_of_a_tree(void)
{
    PRINTS("3 files, 1.0 MiB\n",
           "mkdir -p t/a/b; echo one >t/one.txt; : >t/a/empty; "
           "head -c 1048576 /dev/urandom >t/a/b/large.png; ln -s one.txt t/link; "
           "cairn import t/ --prefix w/ 2>&1 | sed -n 's/ in .*//p'");
    PRINTS("one\ntext/plain; charset=utf-8\n",
           "cairn get w/one.txt; cairn get w/one.txt --json | jq -r .content_type");
    PRINTS("", "cairn get w/a/b/large.png | cmp - t/a/b/large.png; cairn get w/a/empty");
    PRINTS("cairn get: there is no such key\n(1)\n", "cairn get w/link" STATUS);
}

static void import_into_a_server_with_small_limits(void)
{
    site_t small;
    char command[1024];
    const char *const extra[] = {"--limits.value_bytes=4KiB", "--limits.batch_ops=10", NULL};
    CU_ASSERT_EQUAL_FATAL(site_start_in_memory(&small, extra), 0);
    snprintf(command, sizeof(command),
             IN_SHELL "export CAIRN_URL=http://localhost:%u; exec 2>&1;"
                      "{ seq -f '{\"key\":\"s%%.0f\",\"value\":\"v\"}' 1000;"
                      " printf '{\"key\":\"large\",\"value\":\"%%05000d\"}\n' 0; } |"
                      "cairn import --quiet" STATUS
                      "; cairn stats --json | jq .keys; cairn get s1000",
             small.server.port);
    CU_ASSERT(
        shell_prints("cairn import: standard input:1001: large: a key, a value or a batch is too "
                     "large\n"
                     "cairn import: 1 values could not be written\n(5)\n1000\nv",
                     "%s", command));
    CU_ASSERT_EQUAL(site_end(&small), 0);
}

static void snapshot_and_restore(void)
{
    char command[1024];
    PRINTS("snapshot first: in snapshots/first of the server's data directory\n(0)\n",
           "cairn set snapped yes; cairn snapshot first | head -1; echo '(0)'");
    PRINTS("(0)\n(5)\n", "cairn snapshot second --json >/dev/null" STATUS
                         "; cairn snapshot second 2>/dev/null" STATUS);
    snprintf(
        command, sizeof(command),
        IN_SHELL
        "cairn del snapped; cairn restore %s/snapshots/first back --quiet" STATUS
        "; \"$CAIRN_UNDER_TEST\" serve --data back --listen unix:$PWD/s >log 2>&1 & "
        "export CAIRN_URL=unix:$PWD/s; until cairn get snapped 2>/dev/null; do sleep 0.01; done; "
        "kill %%1; wait",
        site.data);
    CU_ASSERT(
        shell_prints("restored; start it with: cairn serve --data back\n(0)\nyes", "%s", command));
}

/* ---------------------------------------------------------------- lists and export */

static void listing(void)
{
    PRINTS("e/a\ne/b\ne/c\\x00\\xff\n",
           "cairn set e/a one --ttl 1h; cairn set e/b two; "
           "curl -s -T - $CAIRN_URL/v1/kv/e%2Fc%00%ff <<<three; cairn ls e/");
    PRINTS("e/b\ttwo\n", "cairn ls e/ --after e/a --limit 1 --values");
    PRINTS("3\nZS9jAP8=\n",
           "cairn ls e/ --json | wc -l; cairn ls e/ --json | jq -r '.key_b64 // empty'");
    PRINTS("2\n", "cairn ls e/ --long | grep -cE '^ +[0-9]+ +[0-9] +- +e/' || :");
    PRINTS("e/b\n", "cairn scan two --prefix e/");
    PRINTS("(0)\n", "cairn ls no-such-prefix/" STATUS);
}

static void export_and_import_again(void)
{
    PRINTS("(0)\n3 \n", "cairn export --prefix e/ lines --quiet" STATUS
                        "; wc -l <lines | xargs echo -n; echo ' '");
    PRINTS("", "cairn import lines --prefix again/ --quiet; "
               "cairn get again/e/b | cmp - <(printf two); "
               "curl -s $CAIRN_URL/v1/kv/again%2Fe%2Fc%00%ff | cmp - <(echo three)");
    /* what expires goes on to expire */
    PRINTS("true\n", "cairn get again/e/a --json | jq '.expires_in_ms > 3000000'");
    /* a tree, and what is no path */
    PRINTS("cairn export: e/c\\x00\\xff: is no path for a file\n"
           "cairn export: 1 keys were left out\n(5)\na\nb\n",
           "cairn export --prefix e/ tree/ --quiet" STATUS "; ls tree");
    PRINTS("two", "cat tree/b");
    PRINTS("", "head -c 3000000 /dev/urandom >big; cairn set deep/x/y/big --file big; "
               "cairn export --prefix deep/ out2/ --quiet; cmp big out2/x/y/big");
    /* nothing outside the tree is touched, whatever keys say and links lead to */
    PRINTS(
        "cairn export: evil/../up: is no path for a file\n(5)\nNot a directory\n(5)\n0\n",
        "curl -s -T - $CAIRN_URL/v1/kv/evil%2F..%2Fup <<<x; cairn export --prefix evil/ out3/ "
        "--quiet 2>&1"
        " | head -1; echo '(5)'; mkdir -p elsewhere out4; ln -s ../elsewhere out4/x; "
        "cairn export --prefix deep/ out4/ --quiet 2>&1 | grep -o 'Not a directory'; echo '(5)'; "
        "ls elsewhere up 2>/dev/null | grep -vc : || :");
    PRINTS("(0)\n", "cairn export >all.ndjson --quiet" STATUS);
    PRINTS("true\n", "jq -s 'length > 5000' all.ndjson");
}

/* ---------------------------------------------------------------- watch */

static void watching(void)
{
    PRINTS("put w1\ndelete w1\nput w/\\x00\n",
           "v=$(cairn stats --json | jq .last_version); cairn set w1 x; cairn set other y; "
           "cairn del w1; curl -s -T - $CAIRN_URL/v1/kv/w%2F%00 <<<z; "
           "cairn watch w --since $v --once | sed 's/^ *[0-9]* //; s/  */ /' | tail -n 3");
    PRINTS("{\"op\":\"put\",\"key\":\"w2\",\"size\":5,\"value\":\"hello\"}\n(0)\n",
           "(sleep 0.3; cairn set w2 hello) & "
           "cairn watch w2 --limit 1 --values --json | jq -c 'del(.version)'" STATUS "; wait");
    PRINTS("(0)\n", "timeout -s INT 0.3 \"$CAIRN_UNDER_TEST\" watch; echo '(0)'");
}

/* ---------------------------------------------------------------- looking after it */

static void stats_and_top(void)
{
    PRINTS("true\n", "cairn stats --json | jq '.keys > 5000'");
    PRINTS("1\n", "cairn stats | grep -c '^state        ok, up .* on disk$'");
    PRINTS("2\n2\n", "cairn top --interval 10ms --count 2 >t.txt; grep -c '^operation ' t.txt; "
                     "grep -c '^segment ' t.txt");
    PRINTS("0\n", "grep -c $'\\x1b' t.txt || :");
}

static void compacting(void)
{
    PRINTS(
        "1\n",
        "cairn compact --quiet | grep -c '^[0-9.]* [KMGi]*B of segments have been rewritten as'");
    PRINTS("false\n", "cairn stats --json | jq '.compaction.asked or .compaction.running'");
    PRINTS("(3)\n", "cairn compact --url http://127.0.0.1:1 2>/dev/null" STATUS);
}

static void planning(void)
{
    /* a million records of 48 + 28 + 16 + 80 bytes, padded; the tables beside them; two segments
     * kept ready */
    PRINTS(
        "176\ntrue\n",
        "cairn plan --keys 1M --key-bytes 16 --value-bytes 80B --json >p; jq .record_bytes p; "
        "jq '.disk_bytes == 176000000 + 48000000 + 134217728 + .index_bytes and .crash_seconds > "
        ".start_seconds' p");
    PRINTS("(0)\n", "cairn plan --keys 10M >/dev/null" STATUS);
    PRINTS("(2)\n", "cairn plan 2>/dev/null" STATUS);
    PRINTS("(2)\n", "cairn plan --keys many 2>/dev/null" STATUS);
}

static void restoring(void)
{
    /* a store that was stopped in order is as good as a snapshot, but for its lock */
    PRINTS("restored; start it with: cairn serve --data to\n(0)\n",
           "\"$CAIRN_UNDER_TEST\" serve --data from --listen 127.0.0.1:0 >from.log 2>&1 & "
           "until grep -q '^listening' from.log; do sleep 0.01; done; "
           "u=$(sed -n 's/^listening on [^0-9]*\\(127[0-9.:]*\\).*/http:\\/\\/\\1/p' from.log); "
           "cairn set kept safe --url $u; kill %1; wait; rm from/LOCK; "
           "cairn restore from to --quiet" STATUS);
    PRINTS("", "diff -r -x LOCK from to");
    PRINTS("cairn restore: to: is not empty; nothing was changed\n(5)\n",
           "cairn restore from to --quiet" STATUS);
    PRINTS("restored; start it with: cairn serve --data linked\n(0)\n",
           "cairn restore from linked --link --quiet" STATUS);
    PRINTS("cairn restore: t: is no snapshot; it has no file STORE\n(5)\n",
           "cairn restore t to2 --quiet" STATUS);
    PRINTS("(5)\n", "cairn restore nowhere to2 2>/dev/null" STATUS);
}

/* ---------------------------------------------------------------- explaining */

static void help_has_it_all(void)
{
    for (const cli_command_t *command = cli_commands; command->name != NULL; ++command) {
        CU_ASSERT(
            shell_prints("1\n", IN_SHELL "cairn help | grep -c '^  %s  *[a-z]'", command->name));
        CU_ASSERT(shell_prints("1\n", IN_SHELL "cairn help %s | grep -c '^Usage: cairn %s '",
                               command->name, command->name));
        if (command->run == NULL)
            continue;
        /* every command has an example of itself */
        CU_ASSERT(shell_prints("", IN_SHELL "cairn %s --help | grep -qE '^  (.* \\| )?cairn %s'",
                               command->name, command->name));
        CU_ASSERT(shell_prints("", IN_SHELL "cairn help %s | awk 'length > 100'", command->name));
    }
    PRINTS("cairn 0.1.0\n", "cairn --version");
}

static void the_man_page_has_it_all(void)
{
    for (const cli_command_t *command = cli_commands; command->name != NULL; ++command)
        CU_ASSERT(shell_prints("1\n", "grep -c '^\\.It Cm %s' docs/man/cairn.1", command->name));
    for (cli_option_id_t id = 0; id < CLI_OPTION_COUNT; ++id)
        CU_ASSERT(shell_prints(
            "1\n", "grep -cE '^\\.It Fl.* -%s( |$)|^\\.It Fl -%s( |$)' docs/man/cairn.1",
            cli_options[id].name, cli_options[id].name));
    /* and is well-formed, as far as the formatter can tell */
    CU_ASSERT(shell_prints("", "for p in docs/man/*.1; do"
                               " groff -mandoc -Tutf8 -wall -ww $p 2>&1 >/dev/null; done"));
}

static void completion_knows_what_the_table_does(void)
{
#define COMPLETE                                                                                   \
    "PATH=\"$CAIRN_TEST_DIR/bin:$PATH\"; mkdir -p $CAIRN_TEST_DIR/bin; "                           \
    "ln -sf \"$CAIRN_UNDER_TEST\" $CAIRN_TEST_DIR/bin/cairn; . packaging/cairn.bash; "             \
    "complete_words() { COMP_WORDS=(\"$@\"); COMP_CWORD=$(($# - 1)); _cairn; "                     \
    "echo \"${COMPREPLY[*]}\"; }; "
    CU_ASSERT(shell_prints("serve set scan snapshot stats\n", COMPLETE "complete_words cairn s"));
    CU_ASSERT(shell_prints("--interval --insecure\n", COMPLETE "complete_words cairn top --in |"
                                                               " tr ' ' '\\n' | sort -r | xargs"));
    CU_ASSERT(shell_prints("--storage.path\n", COMPLETE "complete_words cairn serve --storage.pa"));
    for (const cli_command_t *command = cli_commands; command->name != NULL; ++command) {
        char names[1024] = "";
        for (cli_option_id_t id = 0; id < CLI_OPTION_COUNT && command->run != NULL; ++id)
            if ((command->options >> id & 1) != 0)
                snprintf(names + strlen(names), sizeof(names) - strlen(names), "--%s\n",
                         cli_options[id].name);
        /* --help is everybody's */
        if (command->run != NULL)
            CU_ASSERT(shell_prints(names,
                                   COMPLETE "complete_words cairn %s -- | tr ' ' '\n' |"
                                            " grep -vx -- --help || :",
                                   command->name));
    }
}

void suite_command(void)
{
    CU_pSuite s = CU_add_suite("command", start, end);
    CU_add_test(s, "set, get, append and del", set_get_del);
    CU_add_test(s, "conditions, expiry, metadata", conditions_and_expiry);
    CU_add_test(s, "counting", counting);
    CU_add_test(s, "what goes wrong has its status", what_goes_wrong);
    CU_add_test(s, "a token from the environment", a_token_from_the_environment);
    CU_add_test(s, "import of lines", import_of_lines);
    CU_add_test(s, "import into a server with small limits",
                import_into_a_server_with_small_limits);
    CU_add_test(s, "import of a tree", import_of_a_tree);
    CU_add_test(s, "snapshot and restore", snapshot_and_restore);
    CU_add_test(s, "listing", listing);
    CU_add_test(s, "export, and import again", export_and_import_again);
    CU_add_test(s, "watching", watching);
    CU_add_test(s, "stats and top", stats_and_top);
    CU_add_test(s, "compact waits until it is done", compacting);
    CU_add_test(s, "planning", planning);
    CU_add_test(s, "restoring", restoring);
    CU_add_test(s, "help has it all", help_has_it_all);
    CU_add_test(s, "the man page has it all", the_man_page_has_it_all);
    CU_add_test(s, "completion knows what the table does", completion_knows_what_the_table_does);
}
