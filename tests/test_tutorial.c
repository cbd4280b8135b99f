/*
 * Does docs/tutorial.md tell the truth? Its shell blocks are run in order, in one shell, and what
 * they print is compared with the text block behind each; "…" stands for anything.
 *
 * The shell is that of a reader but for this: `make` builds where this program was built and
 * installs below a scratch directory, and port 8080 is one that is free.
 */
#include "tests/suites.h"

#include <CUnit/CUnit.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/impostor.h"
#include "tests/shell.h"
#include "tests/temp_dir.h"

#define PAGE "docs/tutorial.md"
#define BLOCKS_MAX 64
#define MARK "=====end of a block "
#define ANYTHING "…"

#if defined(__SANITIZE_ADDRESS__)
#define SANITIZERS "-fsanitize=address,undefined"
#elif defined(__SANITIZE_THREAD__)
#define SANITIZERS "-fsanitize=thread"
#else
#define SANITIZERS ""
#endif

typedef struct st_block_t {
    char *commands;
    char *expected; /* NULL if the page does not say */
    size_t line;
} block_t;

static block_t blocks[BLOCKS_MAX];
static size_t block_count;
static temp_dir_t dir;
static uint16_t port;

/* ---------------------------------------------------------------- the page */

/** reads lines up to the closing fence; the caller frees */
static char *read_block(FILE *in, size_t *line)
{
    char *text = NULL, *next = NULL;
    size_t bytes = 0, capacity = 0;
    FILE *out = open_memstream(&text, &bytes);
    while (getline(&next, &capacity, in) > 0 && ++*line != 0 && strcmp(next, "```\n") != 0)
        fputs(next, out);
    fclose(out);
    free(next);
    return text;
}

static bool read_page(void)
{
    FILE *in = fopen(PAGE, "r");
    char *next = NULL;
    size_t capacity = 0, line = 0;
    if (in == NULL)
        return false;
    while (getline(&next, &capacity, in) > 0) {
        ++line;
        if (strcmp(next, "```sh\n") == 0 && block_count < BLOCKS_MAX) {
            blocks[block_count].line = line + 1;
            blocks[block_count++].commands = read_block(in, &line);
        } else if (strcmp(next, "```text\n") == 0 && block_count != 0) {
            blocks[block_count - 1].expected = read_block(in, &line);
        }
    }
    free(next);
    fclose(in);
    return block_count != 0 && block_count < BLOCKS_MAX;
}

/** puts our port in the place of 8080 */
static void add_with_port(FILE *out, const char *text)
{
    for (const char *at; (at = strstr(text, "8080")) != NULL; text = at + strlen("8080"))
        fprintf(out, "%.*s%u", (int)(at - text), text, port);
    fputs(text, out);
}

static char *with_port(const char *text)
{
    char *copy = NULL;
    size_t bytes = 0;
    FILE *out = open_memstream(&copy, &bytes);
    add_with_port(out, text);
    fclose(out);
    return copy;
}

/* ---------------------------------------------------------------- running it */

static const char preamble[] =
    "exec 2>&1; export HOME=%1$s R=%1$s/root; export PATH=$R/usr/bin:$PATH "
    "LD_LIBRARY_PATH=$R/usr/lib"
    " PKG_CONFIG_PATH=$R/usr/lib/pkgconfig PKG_CONFIG_SYSROOT_DIR=$R; unset CAIRN_URL "
    "CAIRN_TOKEN;\n"
    "export CAIRN_URL=http://localhost:8080;\n"
    "make() ( set -o pipefail; command make -s --no-print-directory BUILD=%2$s DESTDIR=$R "
    "PREFIX=/usr"
    " SAN='%3$s' \"$@\" | sed '/^  [A-Z][A-Z]* /d' );\n"
    "sudo() { \"$@\"; }; cc() { command cc %3$s \"$@\"; };\n"
    "trap 'kill $(jobs -p) 2>/dev/null' EXIT\n";

static char *make_script(void)
{
    char *script = NULL;
    size_t bytes = 0;
    char build[300], text[2048];
    const char *binary = getenv("CAIRN_BINARY");
    FILE *out = open_memstream(&script, &bytes);
    snprintf(build, sizeof(build), "%.*s", (int)(strrchr(binary, '/') - binary), binary);
    snprintf(text, sizeof(text), preamble, dir.path, build, SANITIZERS);
    add_with_port(out, text);
    for (size_t i = 0; i < block_count; ++i) {
        add_with_port(out, blocks[i].commands);
        fprintf(out, "echo \"" MARK "%zu: $?\"\n", i);
    }
    fclose(out);
    return script;
}

/** whether a text is as expected, where "…" stands for anything */
static bool matches(const char *text, const char *expected)
{
    const char *wildcard = strstr(expected, ANYTHING);
    if (wildcard == NULL)
        return strcmp(text, expected) == 0;
    size_t before = (size_t)(wildcard - expected);
    if (strncmp(text, expected, before) != 0)
        return false;
    const char *rest = wildcard + strlen(ANYTHING);
    for (text += before;; ++text) {
        if (matches(text, rest))
            return true;
        if (*text == '\0')
            return false;
    }
}

static void check_block(size_t i, const char *printed, int status)
{
    char *expected = blocks[i].expected != NULL ? with_port(blocks[i].expected) : NULL;
    bool is_good = status == 0 && (expected == NULL || matches(printed, expected));
    if (!is_good)
        fprintf(stderr, "\n    " PAGE ":%zu: status %d, printed:\n%s    instead of:\n%s",
                blocks[i].line, status, printed, expected != NULL ? expected : "(anything)\n");
    CU_ASSERT_TRUE(is_good);
    free(expected);
}

static void every_block_prints_what_it_says(void)
{
    int status;
    close(impostor_listen(&port)); /* free a moment ago, and used by nobody but us */
    char *script = make_script(), *printed = shell_run(script, &status), *at = printed;
    for (size_t i = 0; i < block_count; ++i) {
        char mark[64], *end;
        snprintf(mark, sizeof(mark), MARK "%zu: ", i);
        end = strstr(at, mark);
        if (end == NULL) {
            fprintf(stderr, "\n    " PAGE ":%zu: never ended; printed: %s", blocks[i].line, at);
            CU_FAIL("a block never ended");
            break;
        }
        *end = '\0';
        check_block(i, at, atoi(end + strlen(mark)));
        at = strchr(end + strlen(mark), '\n') + 1;
    }
    CU_ASSERT(block_count > 20);
    free(printed);
    free(script);
}

/** files and pictures that pages name, from where each page is; addresses and places in a page are
 * left out */
static void links_lead_somewhere(void)
{
    CU_ASSERT(shell_prints("",
                           "for page in README.md docs/*.md; do"
                           " grep -oE '\\]\\([^)#:]+' $page | cut -c 3- | while read -r link; do"
                           " [ -e \"$(dirname $page)/$link\" ] || echo $page: $link; done; done"));
    CU_ASSERT(shell_prints("true\n", "n=$(cat README.md docs/*.md | grep -cE '\\]\\([^)#:]+');"
                                     " [ $n -gt 30 ] && echo true"));
}

static int start(void)
{
    if (!read_page() || !temp_dir_create(&dir, TEMP_DIR_ON_DISK))
        return 1;
    return 0;
}

static int end(void)
{
    for (size_t i = 0; i < block_count; ++i) {
        free(blocks[i].commands);
        free(blocks[i].expected);
    }
    block_count = 0;
    return temp_dir_remove(&dir) ? 0 : 1;
}

void suite_tutorial(void)
{
    CU_pSuite s = CU_add_suite("tutorial", start, end);
    CU_add_test(s, "links of all pages lead somewhere", links_lead_somewhere);
    CU_add_test(s, "every block of docs/tutorial.md prints what it says",
                every_block_prints_what_it_says);
}
