/*
 * Does `make install` give what programs need: the library, its header, and how to link them?
 */
#include "tests/suites.h"

#include <CUnit/CUnit.h>

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client/cli_internal.h"
#include "tests/shell.h"
#include "tests/site.h"

/* what a program must be compiled with to run with a library that was: the library is made from the
 * same objects as this program */
#if defined(__SANITIZE_ADDRESS__)
#define SANITIZERS "-fsanitize=address,undefined"
#elif defined(__SANITIZE_THREAD__)
#define SANITIZERS "-fsanitize=thread"
#else
#define SANITIZERS ""
#endif

static site_t site;
static temp_dir_t root;

/** the directory that the program under test was built into */
static const char *build_dir(void)
{
    static char dir[300];
    const char *binary = getenv("CAIRN_BINARY"), *slash = binary ? strrchr(binary, '/') : NULL;
    snprintf(dir, sizeof(dir), "%.*s", slash ? (int)(slash - binary) : 0, slash ? binary : "");
    return dir;
}

static int install(void)
{
    if (!temp_dir_create(&root, TEMP_DIR_ON_DISK))
        return 1;
    if (!shell_prints("", "make -s install DESTDIR=%s PREFIX=/usr BUILD=%s SAN=%s >/dev/null",
                      root.path, build_dir(), SANITIZERS))
        return 1;
    return site_start_in_memory(&site, (const char *const[]){"--workers=1", NULL});
}

static int uninstall(void)
{
    int ended = site_end(&site);
    return temp_dir_remove(&root) ? ended : 1;
}

/** builds an example as its comment says, with the port of our server, and runs it */
static bool example_prints(const char *name, const char *linking, const char *expected)
{
    return shell_prints(
        expected,
        "set -e; cd %1$s; export PKG_CONFIG_SYSROOT_DIR=%1$s "
        "PKG_CONFIG_PATH=%1$s/usr/lib/pkgconfig;"
        "sed s/8080/%2$u/ usr/share/doc/cairn/examples/%3$s.c >%3$s.c;"
        "cc -Wall -Werror %4$s %3$s.c -o %3$s $(pkg-config --cflags cairn) %5$s -pthread;"
        "LD_LIBRARY_PATH=%1$s/usr/lib ./%3$s",
        root.path, site.server.port, name, SANITIZERS, linking);
}

static void the_three_lines(void)
{
    CU_ASSERT(example_prints("hello", "$(pkg-config --libs cairn)", "hello\n"));
    CU_ASSERT(shell_prints("1\n", "ldd %s/hello | grep -c 'libcairn.so.0'", root.path));
}

static void the_three_lines_linked_statically(void)
{
    /* as pkg-config says, where there is nothing but the archive */
    CU_ASSERT(shell_prints("", "mkdir %s/only && cp %s/usr/lib/libcairn.a %s/only", root.path,
                           root.path, root.path));
    CU_ASSERT(example_prints("hello", "-Lonly $(pkg-config --static --libs cairn)", "hello\n"));
    CU_ASSERT(shell_prints("0\n", "ldd %s/hello | grep -c libcairn || :", root.path));
}

static void threads_and_a_batch(void)
{
    CU_ASSERT(example_prints("counters", "$(pkg-config --libs cairn)",
                             "100 visits\na has -10, b has 10\n"));
}

static void only_what_the_header_has_is_exported(void)
{
    /* names that begin with __ are the compiler's: a sanitized library has some */
    CU_ASSERT(
        shell_prints("",
                     "nm -D --defined-only %s/usr/lib/libcairn.so | awk '$3 !~ /^__/ {print $3}' |"
                     " while read -r f; do grep -q \"\\b$f(\" client/cairn.h || echo $f; done",
                     root.path));
    CU_ASSERT(shell_prints("",
                           "for f in $(grep -oE '^CAIRN_API .*' client/cairn.h |"
                           " grep -oE 'cairn_[a-z_]+\\(' | tr -d '('); do"
                           " nm -D --defined-only %s/usr/lib/libcairn.so | grep -q \" $f$\" ||"
                           " echo $f; done",
                           root.path));
}

/** programs that were linked to one version find those that are compatible, and no others */
static void its_name_is_for_compatible_versions(void)
{
    CU_ASSERT(shell_prints("libcairn.so.0\n",
                           "readelf -d %s/usr/lib/libcairn.so |"
                           " sed -n 's/.*SONAME.*\\[\\(.*\\)\\]/\\1/p'",
                           root.path));
    CU_ASSERT(shell_prints("libcairn.so.0\nlibcairn.so.0.1.0\n",
                           "cd %s/usr/lib; readlink libcairn.so libcairn.so.0", root.path));
    CU_ASSERT(shell_prints("0.1.0\n",
                           "PKG_CONFIG_PATH=%s/usr/lib/pkgconfig pkg-config --modversion cairn",
                           root.path));
}

static void the_program_is_there(void)
{
    CU_ASSERT(shell_prints("2\n", "%s/usr/bin/cairn serve --help | grep -c -- '--config FILE'",
                           root.path));
    CU_ASSERT(shell_prints(
        "", "cmp configs/default.yaml %s/usr/share/doc/cairn/configs/default.yaml", root.path));
}

static void each_command_has_a_man_page(void)
{
    for (const cli_command_t *command = cli_commands; command->name != NULL; ++command) {
        const char *name = command->name;
        CU_ASSERT(shell_prints("",
                               "groff -mandoc -Tutf8 -wall -ww %s/usr/share/man/man1/cairn-%s.1"
                               " 2>&1 >/dev/null",
                               root.path, name));
        /* it says what --help does, in its sections */
        if (command->run != NULL)
            CU_ASSERT(shell_prints(
                "",
                "cd %s; groff -mandoc -Tascii -P-cbou usr/share/man/man1/cairn-%s.1 >page;"
                " for o in $(usr/bin/cairn %s --help | grep -oE '^  --[a-z-]+'); do"
                " grep -q -e \"^     $o\" page || echo $o; done;"
                " for h in NAME SYNOPSIS DESCRIPTION OPTIONS; do grep -qx $h page || echo $h;"
                " done",
                root.path, name, name));
    }
}

void suite_install(void)
{
    CU_pSuite s = CU_add_suite("install", install, uninstall);
    CU_add_test(s, "connect, set, get against the installed library", the_three_lines);
    CU_add_test(s, "the same linked statically", the_three_lines_linked_statically);
    CU_add_test(s, "threads, and a batch", threads_and_a_batch);
    CU_add_test(s, "the library exports what its header has", only_what_the_header_has_is_exported);
    CU_add_test(s, "its name is for compatible versions", its_name_is_for_compatible_versions);
    CU_add_test(s, "each command has a man page", each_command_has_a_man_page);
    CU_add_test(s, "the program and its configs are installed", the_program_is_there);
}
