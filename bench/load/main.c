/*
 * bench/load/main.c - the load generator: `load --help`.
 */
#include <getopt.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/load/client.h"

#define PIDS_MAX 64
#define BATCH_MAX 10000
#define VALUE_BYTES_MAX (16 << 20)
#define KEYS_MAX 100000000

static void print_help(void)
{
    puts(
        "usage: load --port PORT [OPTION...]\n"
        "Asks the server on 127.0.0.1:PORT, prints one line of JSON. Ends with 1 if an answer was\n"
        "none that was wanted.\n"
        "  --protocol NAME     cairn (also nginx, ceiling), webdis, etcd, resp, memcached\n"
        "  --threads N         1\n"
        "  --connections N     64, of all threads together\n"
        "  --seconds S         4, after the warm-up\n"
        "  --warm-up S         0.5\n"
        "  --keys N            100000\n"
        "  --first N           0, the number of the first key\n"
        "  --zipf              popular keys more often (theta 0.99), else all alike\n"
        "  --value-bytes N     100\n"
        "  --get-percent P     100; the rest are puts\n"
        "  --async             durability of cairn's puts; else sync\n"
        "  --pipeline N        1, requests sent before answers are waited for\n"
        "  --batch N           1, keys in a request\n"
        "  --rate R            requests a second by the clock, counted from when they were due;\n"
        "                      0: each connection asks when it has been answered\n"
        "  --fill              put every key once and end\n"
        "  --pids A,B,...      the server's processes, whose processor time is to be told");
}

static void refuse(const char *option, const char *text)
{
    fprintf(stderr, "load: --%s: \"%s\" will not do; see --help\n", option, text);
    exit(2);
}

static double number_of(const char *option, const char *text, double least, double most)
{
    char *end;
    double number = strtod(text, &end);
    if (end == text || *end != '\0' || !(number >= least && number <= most))
        refuse(option, text);
    return number;
}

static size_t parse_pids(const char *text, int *pids)
{
    size_t count = 0;
    while (*text != '\0' && count < PIDS_MAX) {
        char *end;
        pids[count++] = (int)strtol(text, &end, 10);
        if (end == text || (*end != ',' && *end != '\0'))
            refuse("pids", text);
        text = *end == ',' ? end + 1 : end;
    }
    return count;
}

enum { AT_MOST = 256, HAS_ZIPF, HAS_ASYNC, HAS_FILL, HAS_HELP };

/* getopt_long() gives back `val`; a letter here is never typed */
static const struct option long_options[] = {{"protocol", 1, NULL, 'p'},
                                             {"port", 1, NULL, 'P'},
                                             {"threads", 1, NULL, 't'},
                                             {"connections", 1, NULL, 'c'},
                                             {"seconds", 1, NULL, 's'},
                                             {"warm-up", 1, NULL, 'w'},
                                             {"keys", 1, NULL, 'k'},
                                             {"first", 1, NULL, 'f'},
                                             {"value-bytes", 1, NULL, 'v'},
                                             {"get-percent", 1, NULL, 'g'},
                                             {"pipeline", 1, NULL, 'l'},
                                             {"batch", 1, NULL, 'b'},
                                             {"rate", 1, NULL, 'r'},
                                             {"pids", 1, NULL, 'i'},
                                             {"zipf", 0, NULL, HAS_ZIPF},
                                             {"async", 0, NULL, HAS_ASYNC},
                                             {"fill", 0, NULL, HAS_FILL},
                                             {"help", 0, NULL, HAS_HELP},
                                             {"keys-at-most", 1, NULL, AT_MOST},
                                             {NULL, 0, NULL, 0}};

typedef struct st_arguments_t {
    load_options_t options;
    uint64_t keys, keys_at_most, first;
    bool is_zipf;
    int pids[PIDS_MAX];
    size_t pid_count;
} arguments_t;

static void take_option(arguments_t *arguments, int letter, const char *name, const char *text)
{
    load_options_t *options = &arguments->options;
    switch (letter) {
    case 'p':
        options->protocol = protocol_find(text);
        if (options->protocol == NULL)
            refuse(name, text);
        break;
    case 'P':
        options->port = (uint16_t)number_of(name, text, 1, 65535);
        break;
    case 't':
        options->thread_count = (size_t)number_of(name, text, 1, 64);
        break;
    case 'c':
        options->connection_count = (size_t)number_of(name, text, 1, 60000);
        break;
    case 's':
        options->run_ns = (uint64_t)(1e9 * number_of(name, text, 0.1, 3600));
        break;
    case 'w':
        options->warm_up_ns = (uint64_t)(1e9 * number_of(name, text, 0, 3600));
        break;
    case 'k':
        arguments->keys = (uint64_t)number_of(name, text, 1, KEYS_MAX);
        break;
    case AT_MOST:
        arguments->keys_at_most = (uint64_t)number_of(name, text, 1, KEYS_MAX);
        break;
    case 'f':
        arguments->first = (uint64_t)number_of(name, text, 0, KEYS_MAX);
        break;
    case 'v':
        options->value_bytes = (size_t)number_of(name, text, 0, VALUE_BYTES_MAX);
        break;
    case 'g':
        options->get_percent = (unsigned)number_of(name, text, 0, 100);
        break;
    case 'l':
        options->pipeline = (size_t)number_of(name, text, 1, 1024);
        break;
    case 'b':
        options->batch = (size_t)number_of(name, text, 1, BATCH_MAX);
        break;
    case 'r':
        options->rate = number_of(name, text, 0, 1e9);
        break;
    case 'i':
        arguments->pid_count = parse_pids(text, arguments->pids);
        break;
    case HAS_ZIPF:
        arguments->is_zipf = true;
        break;
    case HAS_ASYNC:
        options->is_async = true;
        break;
    case HAS_FILL:
        options->is_fill = true;
        break;
    case HAS_HELP:
        print_help();
        exit(EXIT_SUCCESS);
    default:
        exit(2); /* getopt_long() has said why */
    }
}

static void check(const load_options_t *options)
{
    bool has_puts = options->get_percent != 100;
    if (options->port == 0)
        refuse("port", "");
    if (options->thread_count > options->connection_count)
        refuse("threads", "more threads than connections");
    if (options->batch > 1 && options->protocol != &protocol_cairn &&
        options->protocol != &protocol_resp &&
        (options->protocol != &protocol_memcached || has_puts))
        refuse("batch", "this protocol has no such request");
}

static void print_result(const load_options_t *options, const load_result_t *r)
{
    double requests = r->requests != 0 ? (double)r->requests : 1;
    static const struct {
        const char *name;
        double share;
    } percentiles[] = {
        {"p50_us", 0.5}, {"p90_us", 0.9}, {"p99_us", 0.99}, {"p99_9_us", 0.999}, {"max_us", 1}};
    printf("{\"requests\": %" PRIu64 ", \"errors\": %" PRIu64 ", \"unanswered\": %" PRIu64
           ", \"seconds\": %.3f, \"rate\": %.1f, \"keys_per_second\": %.1f"
           ", \"bytes_per_answer\": %.1f, \"server_cpu_us\": %.4f",
           r->requests, r->errors, r->unanswered, r->seconds, (double)r->requests / r->seconds,
           (double)r->requests * (double)options->batch / r->seconds, (double)r->bytes / requests,
           (double)r->server_cpu_ns / 1000 / requests);
    for (size_t i = 0; i < sizeof(percentiles) / sizeof(percentiles[0]); ++i)
        printf(", \"%s\": %.1f", percentiles[i].name,
               (double)histogram_percentile(&r->latencies, percentiles[i].share) / 1000);
    printf("}\n");
}

int main(int argc, char **argv)
{
    static load_result_t result; /* the histogram is large */
    arguments_t arguments = {.options = {.protocol = &protocol_cairn,
                                         .thread_count = 1,
                                         .connection_count = 64,
                                         .warm_up_ns = 500000000,
                                         .run_ns = 4000000000,
                                         .value_bytes = 100,
                                         .get_percent = 100,
                                         .pipeline = 1,
                                         .batch = 1},
                             .keys = 100000,
                             .keys_at_most = KEYS_MAX};
    load_options_t *options = &arguments.options;
    int letter, index = 0;
    while ((letter = getopt_long(argc, argv, "", long_options, &index)) >= 0)
        take_option(&arguments, letter, long_options[index].name, optarg);
    if (options->is_fill)
        options->get_percent = 0;
    check(options);
    if (arguments.keys > arguments.keys_at_most)
        arguments.keys = arguments.keys_at_most;
    key_space_init(&options->space, arguments.first, arguments.keys, arguments.is_zipf,
                   options->value_bytes);
    signal(SIGPIPE, SIG_IGN);
    if (!load_run(options, arguments.pids, arguments.pid_count, &result))
        return EXIT_FAILURE;
    print_result(options, &result);
    return result.errors + result.unanswered != 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
