/*
 * client/cli_print.c - numbers and bytes as a person reads them, and how far long work has come.
 */
#include <inttypes.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "client/cli_internal.h"

#define TEXT_BYTES 32
#define TEXTS 8
/* how often progress is shown, in seconds: on a terminal, and as plain lines */
#define BAR_INTERVAL 0.1
#define LINE_INTERVAL 10.0
#define BAR_LETTERS 24

/** room for one more text; the eighth from now takes it again */
static char *next_text(void)
{
    static char texts[TEXTS][TEXT_BYTES];
    static unsigned next;
    return texts[next++ % TEXTS];
}

const char *cli_bytes_text(double bytes)
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB"};
    size_t unit = 0;
    char *text = next_text();
    while (bytes >= 1024 && unit + 1 < sizeof(units) / sizeof(units[0])) {
        bytes /= 1024;
        ++unit;
    }
    snprintf(text, TEXT_BYTES, unit == 0 || bytes >= 100 ? "%.0f %s" : "%.1f %s", bytes,
             units[unit]);
    return text;
}

const char *cli_count_text(double count)
{
    char digits[TEXT_BYTES], *text = next_text();
    int bytes = snprintf(digits, sizeof(digits), "%.0f", count), at = 0;
    if (bytes > 15) /* no room for the commas, and nobody counts so far */
        bytes = snprintf(digits, sizeof(digits), "%.3g", count);
    for (int i = 0; i < bytes; ++i) {
        if (i != 0 && (bytes - i) % 3 == 0 && digits[i - 1] != '-' && bytes <= 15)
            text[at++] = ',';
        text[at++] = digits[i];
    }
    text[at] = '\0';
    return text;
}

const char *cli_time_text(double seconds)
{
    char *text = next_text();
    if (seconds < 0.001)
        snprintf(text, TEXT_BYTES, "%.0f us", seconds * 1e6);
    else if (seconds < 1)
        snprintf(text, TEXT_BYTES, "%.0f ms", seconds * 1e3);
    else if (seconds < 60)
        snprintf(text, TEXT_BYTES, "%.1f s", seconds);
    else if (seconds < 3600)
        snprintf(text, TEXT_BYTES, "%dm %02ds", (int)seconds / 60, (int)seconds % 60);
    else
        snprintf(text, TEXT_BYTES, "%lluh %02um", (unsigned long long)(seconds / 3600),
                 (unsigned)((unsigned long long)seconds / 60 % 60));
    return text;
}

double cli_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/** bytes of the UTF-8 letter that begins here and may be printed; 0 if none does */
static size_t letter_bytes(const unsigned char *at, size_t left)
{
    size_t bytes = at[0] < 0x80                    ? 1
                   : at[0] >= 0xc2 && at[0] < 0xe0 ? 2
                   : at[0] >= 0xe0 && at[0] < 0xf0 ? 3
                   : at[0] >= 0xf0 && at[0] < 0xf5 ? 4
                                                   : 0;
    if (bytes == 0 || bytes > left || at[0] < 0x20 || at[0] == 0x7f)
        return 0;
    for (size_t i = 1; i < bytes; ++i)
        if (at[i] >> 6 != 2)
            return 0;
    /* C1 control characters: a terminal obeys them as it does the ones below a blank */
    return bytes == 2 && at[0] == 0xc2 && at[1] < 0xa0 ? 0 : bytes;
}

void cli_print_text(FILE *out, const void *bytes, size_t count)
{
    const unsigned char *at = bytes, *end = at + count;
    while (at < end) {
        size_t letter = letter_bytes(at, (size_t)(end - at));
        if (letter != 0)
            fwrite(at, 1, letter, out);
        else
            fprintf(out, "\\x%02x", *at);
        at += letter != 0 ? letter : 1;
    }
}

/* ---------------------------------------------------------------- progress */

void cli_progress_begin(const cli_t *cli, cli_progress_t *progress, const char *unit,
                        double total_bytes)
{
    *progress = (cli_progress_t){.unit = unit,
                                 .total = total_bytes,
                                 .is_quiet = cli_has(cli, CLI_QUIET),
                                 .is_terminal = isatty(STDERR_FILENO) == 1,
                                 .started = cli_now()};
    progress->shown = progress->started;
}

static void show_bar(const cli_progress_t *progress, double passed)
{
    double bytes = (double)progress->done_bytes;
    double share = (progress->counts ? (double)progress->done_count : bytes) / progress->total;
    char bar[BAR_LETTERS + 1];
    if (share > 1)
        share = 1;
    memset(bar, '.', BAR_LETTERS);
    memset(bar, '#', (size_t)(share * BAR_LETTERS));
    bar[BAR_LETTERS] = '\0';
    fprintf(stderr, "\r[%s] %3.0f %%  %s %s  %s/s  ETA %s \x1b[K", bar, share * 100,
            cli_count_text((double)progress->done_count), progress->unit,
            cli_bytes_text(bytes / passed),
            share > 0 ? cli_time_text(passed / share - passed) : "?");
}

static void show_plain(const cli_progress_t *progress, double passed)
{
    const char *begin = progress->is_terminal ? "\r" : "";
    const char *end = progress->is_terminal ? " \x1b[K" : "\n";
    double bytes = (double)progress->done_bytes;
    fprintf(stderr, "%s%s %s, %s, %s/s%s", begin, cli_count_text((double)progress->done_count),
            progress->unit, cli_bytes_text(bytes), cli_bytes_text(bytes / passed), end);
}

void cli_progress_add(cli_progress_t *progress, uint64_t count, uint64_t bytes)
{
    progress->done_count += count;
    progress->done_bytes += bytes;
    double now = cli_now();
    if (progress->is_quiet ||
        now - progress->shown < (progress->is_terminal ? BAR_INTERVAL : LINE_INTERVAL))
        return;
    progress->shown = now;
    if (progress->is_terminal && progress->total > 0)
        show_bar(progress, now - progress->started);
    else
        show_plain(progress, now - progress->started);
}

void cli_progress_end(cli_progress_t *progress)
{
    double passed = cli_now() - progress->started;
    if (progress->is_quiet)
        return;
    if (passed < 1e-6)
        passed = 1e-6;
    fprintf(stderr, "%s%s %s, %s in %s (%s %s/s)%s\n", progress->is_terminal ? "\r" : "",
            cli_count_text((double)progress->done_count), progress->unit,
            cli_bytes_text((double)progress->done_bytes), cli_time_text(passed),
            cli_count_text((double)progress->done_count / passed), progress->unit,
            progress->is_terminal ? "\x1b[K" : "");
}

void cli_progress_print_json(const cli_progress_t *progress)
{
    printf("{\"%s\":%" PRIu64 ",\"bytes\":%" PRIu64 ",\"seconds\":%.3f}\n", progress->unit,
           progress->done_count, progress->done_bytes, cli_now() - progress->started);
}
