/*
 * server/verify.c - `cairn verify`: a store that no server has open, checked to the last byte.
 */
#include "server/verify.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "server/clock.h"
#include "server/json_text.h"
#include "server/units.h"
#include "storage/verify.h"

#define EXIT_CLEAN 0
#define EXIT_DAMAGED 1
#define EXIT_UNKNOWN 2
#define EXIT_DEGRADED 3

/** the bar is drawn anew after this time */
#define DRAW_MS 100
#define BAR_CELLS 30
/** of a key, in a dump for a person */
#define KEY_BYTES_SHOWN 64

static const char help[] =
    "cairn verify - checks a store that no server has open, to the last byte\n"
    "\n"
    "Every record, every footer and the chain of all of them is read and checked, and so are the\n"
    "files that only make a start faster: each key table against its segment, the checkpoint.\n"
    "Nothing is changed. What is damaged is named with its file and place.\n"
    "\n"
    "Usage:\n"
    "  cairn verify DIR [--json]\n"
    "  cairn verify DIR --dump SEGMENT [--json]\n"
    "\n"
    "Options:\n"
    "  --dump SEGMENT\n"
    "      print every record of this segment file as well, and look at no other\n"
    "  --json\n"
    "      print one JSON object a line instead of text\n"
    "  --help\n"
    "      print this and exit\n"
    "\n"
    "Exit status: 0 all is well, 1 something is damaged, 2 it could not be told (wrong\n"
    "arguments, no store there, a server has it open), 3 a server starts and says that it\n"
    "is degraded: something is suspect, lost, or kept in quarantine/.\n";

typedef struct st_command_t {
    const char *path;
    const char *dump; /* NULL, or a segment */
    bool is_json;
    bool has_bar; /* standard error is a terminal */
    bool is_bar_drawn;
    uint64_t began_ms, drawn_ms;
} command_t;

/* ---------------------------------------------------------------- progress */

static void wipe_bar(command_t *command)
{
    if (command->is_bar_drawn)
        fprintf(stderr, "\r\033[K");
    command->is_bar_drawn = false;
}

static bool on_progress(void *ctx, uint64_t done, uint64_t total)
{
    command_t *command = ctx;
    uint64_t now_ms = cairn_monotonic_ms();
    if (!command->has_bar || total == 0 || now_ms - command->drawn_ms < DRAW_MS)
        return true;
    double seconds = (double)(now_ms - command->began_ms) / 1000;
    double rate = seconds > 0 ? (double)done / seconds : 0;
    double left = rate > 0 ? (double)(total - (done < total ? done : total)) / rate : 0;
    int cells = (int)((double)done / (double)total * BAR_CELLS);
    char bar[BAR_CELLS + 1];
    memset(bar, '.', BAR_CELLS);
    memset(bar, '#', (size_t)(cells < BAR_CELLS ? cells : BAR_CELLS));
    bar[BAR_CELLS] = '\0';
    fprintf(stderr, "\r\033[K[%s] %3.0f %%  %.0f MiB/s  %.0f s left", bar,
            100.0 * (double)done / (double)total, rate / (1 << 20), left);
    fflush(stderr);
    command->drawn_ms = now_ms;
    command->is_bar_drawn = true;
    return true;
}

/* ---------------------------------------------------------------- lines */

/** a key as a person reads it: what is no plain ASCII becomes \xNN, a long one ends in dots */
static void print_key(const void *key, size_t count)
{
    const unsigned char *bytes = key;
    size_t shown = count < KEY_BYTES_SHOWN ? count : KEY_BYTES_SHOWN;
    putchar('"');
    for (size_t i = 0; i < shown; ++i) {
        if (bytes[i] == '"' || bytes[i] == '\\')
            printf("\\%c", bytes[i]);
        else if (bytes[i] >= ' ' && bytes[i] < 0x7f)
            putchar(bytes[i]);
        else
            printf("\\x%02x", bytes[i]);
    }
    printf(shown < count ? "...\"" : "\"");
}

static void print_record(const cairn_verify_record_t *r)
{
    printf("%10" PRIu64 "  ", r->offset);
    if (r->type == NULL) {
        printf("%" PRIu64 " bytes: %s\n", r->end - r->offset, r->state);
        return;
    }
    printf("%-6s version %-8" PRIu64 " ", r->type, r->version);
    if (r->key_bytes != 0)
        print_key(r->key, r->key_bytes);
    printf(" key %zu, meta %zu, value %" PRIu64 " bytes, in all %" PRIu64, r->key_bytes,
           r->meta_bytes, r->value_bytes, r->end - r->offset);
    printf(", sums %016" PRIx64 " %016" PRIx64, r->head_sum, r->body_sum);
    if (r->expiry_ms != 0)
        printf(", expires %" PRIu64 " ms", r->expiry_ms);
    if (r->more)
        printf(", more of its batch follows");
    if (r->is_damaged)
        printf(": %s", r->state);
    putchar('\n');
}

static void end_json(cairn_json_text_t *json)
{
    cairn_json_text_add_raw(json, "}\n");
    fwrite(json->bytes, 1, json->count, stdout);
    cairn_json_text_dispose(json);
}

static void print_record_json(const cairn_verify_record_t *r)
{
    cairn_json_text_t json = {.bytes = NULL};
    cairn_json_text_add(&json, "{\"offset\":%" PRIu64 ",\"end\":%" PRIu64 ",\"state\":\"%s\"",
                        r->offset, r->end, r->state);
    if (r->type != NULL) {
        cairn_json_text_add(&json, ",\"type\":\"%s\",\"version\":%" PRIu64 ",", r->type,
                            r->version);
        if (r->key_bytes != 0) {
            cairn_json_text_add_bytes(&json, "key", r->key, r->key_bytes);
            cairn_json_text_add_raw(&json, ",");
        }
        cairn_json_text_add(&json, "\"key_bytes\":%zu,\"meta_bytes\":%zu,\"value_bytes\":%" PRIu64,
                            r->key_bytes, r->meta_bytes, r->value_bytes);
        cairn_json_text_add(&json, ",\"written_ms\":%" PRIu64 ",\"expiry_ms\":%" PRIu64,
                            r->written_ms, r->expiry_ms);
        cairn_json_text_add(
            &json, ",\"head_sum\":\"%016" PRIx64 "\",\"body_sum\":\"%016" PRIx64 "\",\"more\":%s",
            r->head_sum, r->body_sum, r->more ? "true" : "false");
    }
    end_json(&json);
}

static void on_record(void *ctx, const cairn_verify_record_t *record)
{
    command_t *command = ctx;
    wipe_bar(command);
    if (command->is_json)
        print_record_json(record);
    else
        print_record(record);
}

/** three digits that say how large it is */
static void format_size(uint64_t bytes, char text[CAIRN_UNITS_TEXT_BYTES])
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
    double size = (double)bytes;
    size_t unit = 0;
    while (size >= 1024 && unit + 1 < sizeof(units) / sizeof(units[0])) {
        size /= 1024;
        ++unit;
    }
    snprintf(text, CAIRN_UNITS_TEXT_BYTES, unit == 0 ? "%.0f %s" : "%.1f %s", size, units[unit]);
}

static void print_file(const cairn_verify_file_t *f)
{
    char size[CAIRN_UNITS_TEXT_BYTES];
    format_size(f->bytes, size);
    printf("%-26s %s  %s", f->name, f->problem != NULL ? "DAMAGED" : f->verdict, size);
    if (strcmp(f->kind, CAIRN_VERIFY_CHECKPOINT) == 0)
        printf("  the index up to version %" PRIu64, f->last_version);
    if (f->keys != 0)
        printf("  %" PRIu64 " keys", f->keys);
    if (f->records != 0)
        printf("  %" PRIu64 " records, versions %" PRIu64 " to %" PRIu64, f->records,
               f->first_version, f->last_version);
    if (f->problem != NULL)
        printf("\n    %s", f->problem);
    if (f->damaged > 1)
        printf(" (the first of %" PRIu64 " damaged places)", f->damaged);
    putchar('\n');
}

static void print_file_json(const cairn_verify_file_t *f)
{
    cairn_json_text_t json = {.bytes = NULL};
    cairn_json_text_add(&json, "{\"file\":\"%s\",\"kind\":\"%s\",\"verdict\":\"%s\"", f->name,
                        f->kind, f->verdict);
    cairn_json_text_add(&json, ",\"bytes\":%" PRIu64 ",\"records\":%" PRIu64, f->bytes, f->records);
    if (strcmp(f->kind, CAIRN_VERIFY_KEYTABLE) == 0)
        cairn_json_text_add(&json, ",\"keys\":%" PRIu64, f->keys);
    cairn_json_text_add(&json, ",\"first_version\":%" PRIu64 ",\"last_version\":%" PRIu64,
                        f->first_version, f->last_version);
    cairn_json_text_add(&json, ",\"damaged\":%" PRIu64, f->damaged);
    if (f->problem != NULL) {
        cairn_json_text_add_raw(&json, ",");
        cairn_json_text_add_bytes(&json, "problem", f->problem, strlen(f->problem));
    }
    end_json(&json);
}

static void on_file(void *ctx, const cairn_verify_file_t *file)
{
    command_t *command = ctx;
    wipe_bar(command);
    if (command->is_json)
        print_file_json(file);
    else
        print_file(file);
    fflush(stdout);
}

/** `is_told`: all that is wrong is wrong with a file */
static void print_summary(const command_t *command, const cairn_verify_result_t *r, bool is_clean,
                          bool is_told)
{
    char size[CAIRN_UNITS_TEXT_BYTES], why[CAIRN_ERRMSG_BYTES];
    bool is_degraded = cairn_damage_text(&r->damage, why);
    double seconds = (double)(cairn_monotonic_ms() - command->began_ms) / 1000;
    if (command->is_json) {
        printf("{\"clean\":%s,\"files\":%" PRIu64 ",\"damaged_files\":%" PRIu64
               ",\"suspect_files\":%" PRIu64 ",\"bytes\":%" PRIu64 ",\"records\":%" PRIu64
               ",\"damaged\":%" PRIu64 ",\"last_version\":%" PRIu64
               ",\"degraded\":\"%s\",\"seconds\":%.3f}\n",
               is_clean ? "true" : "false", r->files, r->bad_files, r->suspect_files, r->bytes,
               r->records, r->damaged, r->last_version, why, seconds);
        return;
    }
    format_size(r->bytes, size);
    printf("%s: %" PRIu64 " files, %s, %" PRIu64 " records", is_clean ? "clean" : "DAMAGED",
           r->files, size, r->records);
    if (command->dump == NULL)
        printf(", up to version %" PRIu64, r->last_version);
    if (r->bad_files != 0)
        printf("; %" PRIu64 " files are damaged", r->bad_files);
    if (r->damaged != 0)
        printf(", in %" PRIu64 " places", r->damaged);
    printf("; %.1f s\n", seconds);
    if (r->suspect_files != 0)
        printf("SUSPECT: no write that was cut short explains the end of the log. A server starts, "
               "and keeps it in quarantine/.\n");
    if (is_degraded)
        printf("DEGRADED: %s.\n", why);
    if (is_told && r->bad_files != 0 && r->bad_aids == r->bad_files)
        printf(
            "What to do: nothing. No record is lost: the next start does without these files, and "
            "makes them\nanew.\n");
    else if (!is_clean)
        printf("What to do: restore the store from a backup or snapshot, or serve what can be "
               "proven with\n'cairn serve --salvage'.\n");
}

/* ---------------------------------------------------------------- the command */

static int refuse(const char *format, const char *what)
{
    fprintf(stderr, "cairn: ");
    fprintf(stderr, format, what);
    fprintf(stderr, " (see 'cairn verify --help')\n");
    return EXIT_UNKNOWN;
}

/** -1: run it; else the exit status */
static int read_arguments(command_t *command, int argc, char **argv)
{
    for (int i = 0; i < argc; ++i) {
        bool is_dump = strncmp(argv[i], "--dump", 6) == 0;
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
            fputs(help, stdout);
            return EXIT_CLEAN;
        } else if (strcmp(argv[i], "--json") == 0) {
            command->is_json = true;
        } else if (is_dump && argv[i][6] == '=') {
            command->dump = argv[i] + 7;
        } else if (is_dump && argv[i][6] == '\0') {
            if (++i == argc)
                return refuse("%s needs a segment's name", "--dump");
            command->dump = argv[i];
        } else if (argv[i][0] == '-') {
            return refuse("there is no option %s", argv[i]);
        } else if (command->path != NULL) {
            return refuse("stray argument %s", argv[i]);
        } else {
            command->path = argv[i];
        }
    }
    return command->path != NULL ? -1 : refuse("%s", "the store's directory is missing");
}

int cairn_verify(int argc, char **argv)
{
    command_t command = {.has_bar = isatty(STDERR_FILENO) != 0, .began_ms = cairn_monotonic_ms()};
    char errmsg[CAIRN_ERRMSG_BYTES];
    cairn_verify_result_t result;
    int status = read_arguments(&command, argc, argv);
    if (status >= 0)
        return status;
    if (command.dump != NULL) { /* the name, however it was found */
        const char *slash = strrchr(command.dump, '/');
        command.dump = slash != NULL ? slash + 1 : command.dump;
    }
    cairn_verify_options_t options = {.path = command.path,
                                      .only = command.dump,
                                      .on_progress = on_progress,
                                      .on_record = command.dump != NULL ? on_record : NULL,
                                      .on_file = on_file,
                                      .ctx = &command};
    cairn_err_t err = cairn_store_verify(&options, &result, errmsg);
    wipe_bar(&command);
    if (errmsg[0] != '\0')
        fprintf(stderr, "cairn: %s\n", errmsg);
    if (err != CAIRN_OK && err != CAIRN_ERR_CORRUPT) {
        if (errmsg[0] == '\0')
            fprintf(stderr, "cairn: %s: %s\n", command.path, cairn_strerror(err));
        return EXIT_UNKNOWN;
    }
    print_summary(&command, &result, err == CAIRN_OK, errmsg[0] == '\0');
    if (err != CAIRN_OK)
        return EXIT_DAMAGED;
    return result.suspect_files != 0 || cairn_damage_text(&result.damage, errmsg) ? EXIT_DEGRADED
                                                                                  : EXIT_CLEAN;
}
