/*
 * bench/engines.c - cairn's storage beside LMDB, RocksDB and LevelDB in one process.
 *
 * usage: engines DIRECTORY KEYS ROUNDS MILLISECONDS REDIS_SOCKET
 *
 * 1. Each engine in turn gets the same keys and values in the same order, without syncs, then
 *    settles (compaction), then every key is read back once, which also fills its caches.
 * 2. Round after round each load runs against each engine, every other round in the other order. A
 *    ratio is taken within its round; the tables show medians and the spread. Every value that
 *    comes back is compared with the one that was put.
 * 3. Redis, in its own process, gets the same keys, and the memory of both is compared.
 *
 * Prints Markdown on stdout and progress on stderr. bench/engines.sh calls it.
 */
#include <errno.h>
#include <ftw.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "bench/arguments.h"
#include "bench/engine.h"
#include "bench/redis_memory.h"

#define KEYS_MAX 1000000000
#define ROUNDS_MAX 99
#define THREADS_MAX 2
/** a durable batch has one sync; a load batch is as large as spares LMDB most of its page copies */
#define BATCH_KEYS 1000
#define LOAD_BATCH_KEYS 100000
/** batches that each writer puts in a round */
#define BATCHES_PER_ROUND 40
/** gets between two looks at the clock */
#define GETS_PER_LOOK 200
/** no key has a number from here on */
#define ABSENT_NUMBERS ((uint64_t)1 << 40)

#define ENGINES (sizeof(engines) / sizeof(engines[0]))
static const engine_t *const engines[] = {&engine_cairn, &engine_lmdb, &engine_rocksdb,
                                          &engine_leveldb, &engine_file};
#define CAIRN 0

typedef enum en_what_t { GET, GET_ABSENT, PUT } what_t;

typedef struct st_load_t {
    const char *title;
    what_t what;
    unsigned threads;
    unsigned gets_per_release;
} load_t;

#define LOADS (sizeof(loads) / sizeof(loads[0]))
static const load_t loads[] = {
    {"Get, 1 thread", GET, 1, 1},
    {"Get, 2 threads", GET, 2, 1},
    {"Get, 1 thread, released a hundred at a time", GET, 1, 100},
    {"Get, 2 threads, released a hundred at a time", GET, 2, 100},
    {"Get of a key that is not there, 1 thread", GET_ABSENT, 1, 1},
    {"Get of a key that is not there, 2 threads", GET_ABSENT, 2, 1},
    {"Durable put of batches of 1,000, 1 writer", PUT, 1, 0},
    {"Durable put of batches of 1,000, 2 writers", PUT, 2, 0},
};

/* one engine's database and what was measured */
typedef struct st_subject_t {
    const engine_t *engine;
    void *db;
    char path[4096];
    uint64_t put_keys; /* all numbers below are in it */
    double load_seconds, settle_seconds;
    double disk_bytes;
    double per_second[LOADS][ROUNDS_MAX];
    double cpu_ns[LOADS][ROUNDS_MAX]; /* of the threads that get, a get */
    double syncs_per_batch[LOADS][ROUNDS_MAX];
} subject_t;

typedef struct st_worker_t {
    const subject_t *subject;
    const load_t *load;
    uint64_t keys;
    uint64_t seed;  /* for gets */
    uint64_t begin; /* for puts: the first number */
    uint64_t run_ns;
    uint64_t done;
    double ns, cpu_ns;
    pthread_barrier_t *start;
} worker_t;

void engine_die(const char *engine, const char *what, const char *why)
{
    fprintf(stderr, "engines: %s: %s: %s\n", engine, what, why);
    exit(EXIT_FAILURE);
}

size_t engine_cache_bytes(uint64_t keys)
{
    size_t bytes = (size_t)keys * 2 * (ENGINE_KEY_BYTES + ENGINE_VALUE_BYTES);
    return bytes < (size_t)1 << 30 ? (size_t)1 << 30 : bytes;
}

static double ns_of(clockid_t clock)
{
    struct timespec time;
    clock_gettime(clock, &time);
    return (double)time.tv_sec * 1e9 + (double)time.tv_nsec;
}

static double now_ns(void)
{
    return ns_of(CLOCK_MONOTONIC);
}

/* ---------------------------------------------------------------- keys and values */

static uint64_t mix(uint64_t x)
{
    x += 0x9e3779b97f4a7c15u;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

/** a value is eight bytes of its own and a piece of this, so comparing it costs little */
#define PATTERN_BYTES 4096
static uint8_t pattern[PATTERN_BYTES + ENGINE_VALUE_BYTES];

static void pattern_init(void)
{
    for (size_t i = 0; i < sizeof(pattern); ++i)
        pattern[i] = (uint8_t)mix(i);
}

/** `mix` is a bijection: no two numbers have the same key */
static void make_key(uint64_t number, uint8_t *key)
{
    uint64_t words[2] = {mix(number), mix(~number)};
    memcpy(key, words, ENGINE_KEY_BYTES);
}

static void make_value(uint64_t number, uint8_t *value)
{
    uint64_t own = mix(number ^ 0x5555555555555555u);
    memcpy(value, &own, sizeof(own));
    memcpy(value + sizeof(own), pattern + own % PATTERN_BYTES, ENGINE_VALUE_BYTES - sizeof(own));
}

static void make_both(uint64_t number, uint8_t *key, uint8_t *value)
{
    make_key(number, key);
    make_value(number, value);
}

static bool value_is_right(uint64_t number, const uint8_t *value, size_t count)
{
    uint64_t own = mix(number ^ 0x5555555555555555u);
    return count == ENGINE_VALUE_BYTES && memcmp(value, &own, sizeof(own)) == 0 &&
           memcmp(value + sizeof(own), pattern + own % PATTERN_BYTES,
                  ENGINE_VALUE_BYTES - sizeof(own)) == 0;
}

static void fill(uint8_t *keys, uint8_t *values, uint64_t first, size_t count)
{
    for (size_t i = 0; i < count; ++i)
        make_both(first + i, keys + i * ENGINE_KEY_BYTES, values + i * ENGINE_VALUE_BYTES);
}

/* ---------------------------------------------------------------- what the threads do */

static void get_right(const worker_t *worker, void *reader, uint64_t number)
{
    const engine_t *engine = worker->subject->engine;
    uint8_t key[ENGINE_KEY_BYTES];
    const uint8_t *value = NULL;
    size_t count = 0;
    make_key(number, key);
    bool found = engine->get(reader, key, &value, &count);
    if (worker->load->what == GET_ABSENT) {
        if (found)
            engine_die(engine->name, "get", "a key is there that was never put");
        return;
    }
    if (!found)
        engine_die(engine->name, "get", "a key is missing");
    if (!value_is_right(number, value, count))
        engine_die(engine->name, "get", "a value is not what was put");
}

static void run_gets(worker_t *worker)
{
    const engine_t *engine = worker->subject->engine;
    uint64_t beyond = worker->load->what == GET_ABSENT ? ABSENT_NUMBERS : 0;
    void *reader = engine->reader_create(worker->subject->db);
    pthread_barrier_wait(worker->start);
    double begin = now_ns(), cpu_begin = ns_of(CLOCK_THREAD_CPUTIME_ID);
    do {
        for (unsigned i = 0; i < GETS_PER_LOOK; ++i) {
            uint64_t number = beyond + mix(worker->seed ^ worker->done++) % worker->keys;
            get_right(worker, reader, number);
            if (worker->done % worker->load->gets_per_release == 0)
                engine->release(reader);
        }
        worker->ns = now_ns() - begin;
    } while (worker->ns < (double)worker->run_ns);
    worker->cpu_ns = ns_of(CLOCK_THREAD_CPUTIME_ID) - cpu_begin;
    engine->release(reader);
    engine->reader_destroy(reader);
}

/** only the calls are timed, not the making of keys and values */
static void run_puts(worker_t *worker)
{
    static _Thread_local uint8_t keys[BATCH_KEYS * ENGINE_KEY_BYTES];
    static _Thread_local uint8_t values[BATCH_KEYS * ENGINE_VALUE_BYTES];
    const engine_t *engine = worker->subject->engine;
    engine_batch_t batch = {.keys = keys, .values = values, .count = BATCH_KEYS};
    void *writer = engine->writer_create(worker->subject->db);
    pthread_barrier_wait(worker->start);
    for (unsigned i = 0; i < BATCHES_PER_ROUND; ++i) {
        fill(keys, values, worker->begin + worker->done, BATCH_KEYS);
        double begin = now_ns();
        engine->put(writer, &batch, true);
        worker->ns += now_ns() - begin;
        worker->done += BATCH_KEYS;
    }
    engine->writer_destroy(writer);
}

static void *run_worker(void *arg)
{
    worker_t *worker = arg;
    if (worker->load->what == PUT)
        run_puts(worker);
    else
        run_gets(worker);
    return NULL;
}

/** runs a load against an engine once */
static void run(subject_t *subject, size_t at, unsigned round, uint64_t keys, uint64_t run_ns)
{
    const load_t *load = &loads[at];
    /* the same keys in the same order for every engine */
    uint64_t seed = mix(at * ROUNDS_MAX + round);
    worker_t workers[THREADS_MAX];
    pthread_t ids[THREADS_MAX];
    pthread_barrier_t start;
    double *per_second = &subject->per_second[at][round];
    double *cpu_ns = &subject->cpu_ns[at][round];
    pthread_barrier_init(&start, NULL, load->threads);
    for (unsigned i = 0; i < load->threads; ++i) {
        workers[i] = (worker_t){.subject = subject,
                                .load = load,
                                .keys = keys,
                                .seed = mix(seed + i) << 20,
                                .begin = subject->put_keys + i * BATCHES_PER_ROUND * BATCH_KEYS,
                                .run_ns = run_ns,
                                .start = &start};
        if (pthread_create(&ids[i], NULL, run_worker, &workers[i]) != 0)
            engine_die(subject->engine->name, "thread", strerror(errno));
    }
    for (unsigned i = 0; i < load->threads; ++i) {
        pthread_join(ids[i], NULL);
        *per_second += (double)workers[i].done / workers[i].ns * 1e9;
        *cpu_ns += workers[i].cpu_ns / (double)workers[i].done / load->threads;
        if (load->what == PUT)
            subject->put_keys += workers[i].done;
    }
    pthread_barrier_destroy(&start);
}

/* ---------------------------------------------------------------- loading */

static void put_all(subject_t *subject, uint64_t keys)
{
    uint8_t *key_bytes = malloc((size_t)LOAD_BATCH_KEYS * ENGINE_KEY_BYTES);
    uint8_t *value_bytes = malloc((size_t)LOAD_BATCH_KEYS * ENGINE_VALUE_BYTES);
    void *writer = subject->engine->writer_create(subject->db);
    if (key_bytes == NULL || value_bytes == NULL)
        engine_die(subject->engine->name, "load", "out of memory");
    while (subject->put_keys < keys) {
        uint64_t left = keys - subject->put_keys;
        engine_batch_t batch = {.keys = key_bytes,
                                .values = value_bytes,
                                .count = left < LOAD_BATCH_KEYS ? left : LOAD_BATCH_KEYS};
        fill(key_bytes, value_bytes, subject->put_keys, batch.count);
        double begin = now_ns();
        subject->engine->put(writer, &batch, false);
        subject->load_seconds += (now_ns() - begin) / 1e9;
        subject->put_keys += batch.count;
    }
    subject->engine->writer_destroy(writer);
    free(key_bytes);
    free(value_bytes);
}

static void read_all(const subject_t *subject, uint64_t keys)
{
    static const load_t load = {.what = GET};
    worker_t worker = {.subject = subject, .load = &load};
    void *reader = subject->engine->reader_create(subject->db);
    for (uint64_t number = 0; number < keys; ++number) {
        get_right(&worker, reader, number);
        subject->engine->release(reader);
    }
    subject->engine->reader_destroy(reader);
}

static double counted_bytes;

static int count_file(const char *path, const struct stat *status, int type, struct FTW *where)
{
    (void)path;
    (void)where;
    if (type == FTW_F)
        counted_bytes += (double)status->st_blocks * 512;
    return 0;
}

static double disk_bytes(const char *path)
{
    counted_bytes = 0;
    nftw(path, count_file, 16, FTW_PHYS);
    return counted_bytes;
}

static void load_engine(subject_t *subject, const char *directory, uint64_t keys)
{
    const engine_t *engine = subject->engine;
    snprintf(subject->path, sizeof(subject->path), "%s/%s", directory, engine->name);
    if (mkdir(subject->path, 0700) != 0)
        engine_die(engine->name, subject->path, strerror(errno));
    subject->db = engine->open(subject->path, keys);
    if (engine->get == NULL)
        return;
    put_all(subject, keys);
    double begin = now_ns();
    if (engine->settle != NULL)
        engine->settle(subject->db);
    sync();
    subject->settle_seconds = (now_ns() - begin) / 1e9;
    subject->disk_bytes = disk_bytes(subject->path);
    read_all(subject, keys);
    fprintf(stderr, "engines: %-8s loaded in %.1f s, settled in %.1f s, read back\n", engine->name,
            subject->load_seconds, subject->settle_seconds);
}

/* ---------------------------------------------------------------- measuring */

static bool takes_part(const subject_t *subject, const load_t *load)
{
    return load->what == PUT || subject->engine->get != NULL;
}

static uint64_t syncs_of(const subject_t *subject)
{
    return subject->engine->syncs != NULL ? subject->engine->syncs(subject->db) : 0;
}

static void measure(subject_t *subject, size_t at, unsigned round, uint64_t keys, uint64_t run_ns)
{
    const load_t *load = &loads[at];
    if (!takes_part(subject, load))
        return;
    uint64_t syncs = syncs_of(subject);
    run(subject, at, round, keys, run_ns);
    subject->syncs_per_batch[at][round] =
        (double)(syncs_of(subject) - syncs) / (load->threads * BATCHES_PER_ROUND);
    fprintf(stderr, "engines: round %u  %-46s %-12s %10.0f/s\n", round + 1, load->title,
            subject->engine->name, subject->per_second[at][round]);
}

static void measure_all(subject_t *subjects, unsigned rounds, uint64_t keys, uint64_t run_ns)
{
    for (size_t at = 0; at < LOADS; ++at)
        for (unsigned round = 0; round < rounds; ++round)
            for (size_t i = 0; i < ENGINES; ++i)
                measure(&subjects[round % 2 == 0 ? i : ENGINES - 1 - i], at, round, keys, run_ns);
}

/* ---------------------------------------------------------------- results */

static int compare(const void *a, const void *b)
{
    double left = *(const double *)a, right = *(const double *)b;
    return left < right ? -1 : left > right;
}

static double median(const double *values, unsigned count)
{
    double sorted[ROUNDS_MAX];
    memcpy(sorted, values, count * sizeof(*values));
    qsort(sorted, count, sizeof(*sorted), compare);
    return count % 2 != 0 ? sorted[count / 2] : (sorted[count / 2 - 1] + sorted[count / 2]) / 2;
}

/** median and spread of `over` divided by `under`, each within its round */
static void print_ratio(const double *over, const double *under, unsigned rounds)
{
    double ratios[ROUNDS_MAX], least = 1e300, most = 0;
    for (unsigned i = 0; i < rounds; ++i) {
        ratios[i] = over[i] / under[i];
        least = ratios[i] < least ? ratios[i] : least;
        most = ratios[i] > most ? ratios[i] : most;
    }
    printf(" %.2f | %.2f..%.2f |", median(ratios, rounds), least, most);
}

static void print_gets(const subject_t *subjects, size_t at, unsigned rounds)
{
    const subject_t *cairn = &subjects[CAIRN];
    printf("\n## %s\n\n"
           "| engine | gets/s | cairn's over it | min..max | CPU ns a get | its over cairn's | "
           "min..max |\n|---|---:|---:|---:|---:|---:|---:|\n",
           loads[at].title);
    for (size_t i = 0; i < ENGINES; ++i) {
        const subject_t *its = &subjects[i];
        if (its->engine->get == NULL)
            continue;
        printf("| %s | %.0f |", its->engine->name, median(its->per_second[at], rounds));
        print_ratio(cairn->per_second[at], its->per_second[at], rounds);
        printf(" %.0f |", median(its->cpu_ns[at], rounds));
        print_ratio(its->cpu_ns[at], cairn->cpu_ns[at], rounds);
        printf("\n");
    }
}

static void print_puts(const subject_t *subjects, size_t at, unsigned rounds)
{
    const subject_t *cairn = &subjects[CAIRN];
    printf("\n## %s\n\n"
           "| engine | keys/s | cairn's over it | min..max | ms a batch, as its writer sees it |\n"
           "|---|---:|---:|---:|---:|\n",
           loads[at].title);
    for (size_t i = 0; i < ENGINES; ++i) {
        double per_second = median(subjects[i].per_second[at], rounds);
        printf("| %s | %.0f |", subjects[i].engine->name, per_second);
        print_ratio(cairn->per_second[at], subjects[i].per_second[at], rounds);
        printf(" %.2f |\n", loads[at].threads / per_second * 1e3 * BATCH_KEYS);
    }
    printf("\ncairn's syncs a batch: %.2f\n", median(cairn->syncs_per_batch[at], rounds));
}

static void print_load(const subject_t *subjects, size_t at, unsigned rounds)
{
    if (loads[at].what == PUT)
        print_puts(subjects, at, rounds);
    else
        print_gets(subjects, at, rounds);
}

static void print_loading(const subject_t *subjects, uint64_t keys)
{
    printf("\n## Loading, in one go, without syncs\n\n"
           "| engine | keys/s | settling, s | bytes on disk a key |\n|---|---:|---:|---:|\n");
    for (size_t i = 0; i < ENGINES; ++i)
        if (subjects[i].engine->get != NULL)
            printf("| %s | %.0f | %.1f | %.0f |\n", subjects[i].engine->name,
                   (double)keys / subjects[i].load_seconds, subjects[i].settle_seconds,
                   subjects[i].disk_bytes / (double)keys);
}

static void print_memory(double cairn, double redis)
{
    double bare = redis - ENGINE_VALUE_BYTES;
    printf("\n## Memory a key, beside Redis\n\n"
           "| | bytes a key | without the value's bytes | Redis takes more by |\n"
           "|---|---:|---:|---:|\n"
           "| cairn, its index | %.1f | %.1f | |\n"
           "| Redis, all of it | %.1f | %.1f | %.1f, without values %.1f |\n",
           cairn, cairn, redis, bare, redis / cairn, bare / cairn);
}

static void print_settings(void)
{
    printf("\n## Settings\n\n");
    for (size_t i = 0; i < ENGINES; ++i)
        printf("- %s: %s\n", engines[i]->name, engines[i]->settings);
    printf("- load: batches of %d in the order in which they are read back; the kernel's cache and "
           "the block caches are warm\n",
           LOAD_BATCH_KEYS);
    printf("- durable puts: new keys, into the loaded database, %d batches a writer and round\n",
           BATCHES_PER_ROUND);
}

/* ---------------------------------------------------------------- main */

static unsigned long number_of(const char *text, const char *what, unsigned long most)
{
    unsigned long number;
    if (!parse_number(text, 1, most, &number))
        engine_die("usage", what, "not a number, or one that is too large");
    return number;
}

int main(int argc, char **argv)
{
    static subject_t subjects[ENGINES];
    if (argc != 6)
        engine_die("usage", argv[0], "DIRECTORY KEYS ROUNDS MILLISECONDS REDIS_SOCKET");
    uint64_t keys = number_of(argv[2], "KEYS", KEYS_MAX);
    unsigned rounds = (unsigned)number_of(argv[3], "ROUNDS", ROUNDS_MAX);
    uint64_t run_ns = number_of(argv[4], "MILLISECONDS", 1000000) * 1000000;
    pattern_init();
    setvbuf(stdout, NULL, _IOLBF, 0);
    for (size_t i = 0; i < ENGINES; ++i) {
        subjects[i].engine = engines[i];
        load_engine(&subjects[i], argv[1], keys);
    }
    double index_bytes = (double)engine_cairn.index_bytes(subjects[CAIRN].db) / (double)keys;
    measure_all(subjects, rounds, keys, run_ns);
    for (size_t i = 0; i < ENGINES; ++i)
        engines[i]->close(subjects[i].db);

    print_settings();
    for (size_t at = 0; at < LOADS; ++at)
        print_load(subjects, at, rounds);
    print_loading(subjects, keys);
    print_memory(index_bytes, (double)redis_memory_of(argv[5], keys, make_both) / (double)keys);
    return EXIT_SUCCESS;
}
