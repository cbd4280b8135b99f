/*
 * bench/index.c - what the index costs: memory a key, time an operation, the longest wait.
 *
 * Prints the tables of docs/INDEX.md. Keys are numbers, hashed beforehand by a mixer; a location is
 * the key's number, so is_match costs a comparison and what is measured is the index. A helper
 * thread calls cairn_index_reclaim() every five milliseconds, as the database's maintenance thread
 * does. QUICK=1 makes everything small. Everything is a median of ROUNDS rounds unless it says
 * otherwise.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "bench/index_load.h"

#define ROUNDS 5
#define BATCH 100

static bool quick;

static int compare(const void *a, const void *b)
{
    double left = *(const double *)a, right = *(const double *)b;

    return left < right ? -1 : left > right;
}

static double median(double *values, size_t count)
{
    qsort(values, count, sizeof(*values), compare);
    return values[count / 2];
}

/* ---- the helper */

static void *help(void *arg)
{
    index_helper_t *helper = arg;
    const struct timespec pause = {.tv_nsec = 5000000};

    rcu_register_thread();
    while (!helper->stop) {
        cairn_index_reclaim(helper->index);
        rcu_thread_offline();
        nanosleep(&pause, NULL);
        rcu_thread_online();
    }
    rcu_unregister_thread();
    return NULL;
}

void index_helper_start(index_helper_t *helper, cairn_index_t *index)
{
    helper->index = index;
    helper->stop = false;
    if (pthread_create(&helper->thread, NULL, help, helper) != 0)
        exit(EXIT_FAILURE);
}

void index_helper_stop(index_helper_t *helper)
{
    helper->stop = true;
    /* it may be waiting for this thread's quiescent state */
    rcu_thread_offline();
    pthread_join(helper->thread, NULL);
    rcu_thread_online();
}

/* ---- memory */

static double resident_bytes(void)
{
    long pages = 0;
    FILE *file = fopen("/proc/self/statm", "r");

    if (file == NULL || fscanf(file, "%*d %ld", &pages) != 1)
        pages = 0;
    if (file != NULL)
        fclose(file);
    return (double)pages * (double)sysconf(_SC_PAGESIZE);
}

typedef struct st_curve_t {
    double sum, worst;
    unsigned points;
} curve_t;

static void curve_add(curve_t *curve, cairn_index_t *index)
{
    cairn_index_stats_t stats;

    cairn_index_stats(index, &stats);
    double bytes_per_key = (double)stats.bytes / (double)stats.keys;
    curve->sum += bytes_per_key;
    if (bytes_per_key > curve->worst)
        curve->worst = bytes_per_key;
    ++curve->points;
}

/* one growth; each row is the doubling that ends at its number of keys, that is eight generations
 */
static void bench_memory(void)
{
    const uint64_t full[] = {1 * MILLION, 10 * MILLION, 50 * MILLION, 100 * MILLION};
    const uint64_t small[] = {1 * MILLION, 4 * MILLION};
    const uint64_t *ends = quick ? small : full;
    size_t rows = quick ? 2 : 4;
    double resident = resident_bytes();
    cairn_index_t *index = cairn_index_create();
    index_helper_t helper;
    uint64_t key = 0;

    printf("## Memory\n\n| keys | bytes a key, average | worst point | at the end | resident |\n"
           "|---:|---:|---:|---:|---:|\n");
    index_helper_start(&helper, index);
    for (size_t row = 0; row < rows; ++row) {
        curve_t curve = {0};
        uint64_t step = ends[row] / 4000;
        while (key < ends[row]) {
            index_load_insert(index, ++key);
            if (key % 256 == 0)
                rcu_quiescent_state();
            if (key >= ends[row] / 2 && key % step == 0)
                curve_add(&curve, index);
        }
        cairn_index_stats_t stats;
        cairn_index_stats(index, &stats);
        printf("| %llu million | %.2f | %.2f | %.2f | %.2f |\n",
               (unsigned long long)(ends[row] / MILLION), curve.sum / curve.points, curve.worst,
               (double)stats.bytes / (double)stats.keys,
               (resident_bytes() - resident) / (double)key);
        fflush(stdout);
    }
    index_helper_stop(&helper);
    cairn_index_destroy(index);
    printf("\n");
}

/* ---- speed */

typedef enum en_what_t {
    FLOOR,
    FLOOR_WAITING,
    HIT,
    HIT_WAITING,
    MISS,
    BATCH_HIT,
    REPLACE,
    INSERT
} what_t;

typedef struct st_worker_t {
    cairn_index_t *index;
    const uint64_t *memory; /* zeros, for the floor */
    what_t what;
    uint64_t keys;       /* in the index */
    uint64_t begin, end; /* operations, or keys to insert */
    uint64_t checked;    /* keeps the compiler from leaving the work out */
    double ns;
    pthread_barrier_t *start;
} worker_t;

/* what any index must do at least: one random cache line of as much memory, in pages like the
 * index's */
static inline __attribute__((always_inline)) uint64_t floor_many(worker_t *worker, bool waiting)
{
    uint64_t lines = worker->keys / 6, found = 0, seed = 0;

    for (uint64_t i = worker->begin; i < worker->end; ++i) {
        uint64_t key = 1 + (index_load_mix(i ^ seed) >> 20) % worker->keys;
        uint64_t value = worker->memory[index_load_mix(key) % lines * 8];
        if (waiting)
            seed = value; /* always 0, which the processor cannot know before it is there */
        found += value == 0;
    }
    return found;
}

static inline __attribute__((always_inline)) uint64_t find_many(worker_t *worker, bool waiting)
{
    uint64_t found = 0, seed = 0, beyond = worker->what == MISS ? worker->keys : 0;
    cairn_loc_t loc = 0;

    for (uint64_t i = worker->begin; i < worker->end; ++i) {
        uint64_t key = 1 + beyond + (index_load_mix(i ^ seed) >> 20) % worker->keys;
        found +=
            cairn_index_find(worker->index, index_load_mix(key), index_load_is_key, &key, &loc);
        if (waiting)
            seed = loc >> 39;
        if (i % 1024 == 0)
            rcu_quiescent_state();
    }
    return found;
}

static uint64_t find_batches(worker_t *worker)
{
    uint64_t keys[BATCH], hashes[BATCH], found = 0;
    void *ctxs[BATCH];
    cairn_loc_t locs[BATCH];

    for (uint64_t i = worker->begin; i < worker->end; i += BATCH) {
        for (size_t j = 0; j < BATCH; ++j) {
            keys[j] = 1 + (index_load_mix(i + j) >> 20) % worker->keys;
            hashes[j] = index_load_mix(keys[j]);
            ctxs[j] = &keys[j];
        }
        cairn_index_find_batch(worker->index, BATCH, hashes, ctxs, index_load_is_key, NULL, locs);
        for (size_t j = 0; j < BATCH; ++j)
            found += locs[j] != 0;
        rcu_quiescent_state();
    }
    return found;
}

static uint64_t change_many(worker_t *worker)
{
    cairn_loc_t old;

    for (uint64_t i = worker->begin; i < worker->end; ++i) {
        if (worker->what == INSERT) {
            index_load_insert(worker->index, i);
        } else {
            uint64_t key = 1 + (index_load_mix(i) >> 20) % worker->keys;
            cairn_index_put(worker->index, index_load_mix(key), index_load_is_key, &key, key, &old);
        }
        if (i % 256 == 0)
            rcu_quiescent_state();
    }
    return worker->end - worker->begin;
}

static void *work(void *arg)
{
    worker_t *worker = arg;

    pthread_barrier_wait(worker->start);
    rcu_register_thread();
    double begin = index_load_now_ns(CLOCK_MONOTONIC);
    switch (worker->what) {
    case FLOOR:
        worker->checked = floor_many(worker, false);
        break;
    case FLOOR_WAITING:
        worker->checked = floor_many(worker, true);
        break;
    case HIT:
    case MISS:
        worker->checked = find_many(worker, false);
        break;
    case HIT_WAITING:
        worker->checked = find_many(worker, true);
        break;
    case BATCH_HIT:
        worker->checked = find_batches(worker);
        break;
    case REPLACE:
    case INSERT:
        worker->checked = change_many(worker);
        break;
    }
    worker->ns = index_load_now_ns(CLOCK_MONOTONIC) - begin;
    rcu_unregister_thread();
    return NULL;
}

static const uint64_t *floor_memory;

/* nanoseconds an operation, as each thread sees them */
static double run(cairn_index_t *index, what_t what, uint64_t keys, uint64_t begin, uint64_t end,
                  unsigned threads)
{
    worker_t workers[2];
    pthread_t ids[2];
    pthread_barrier_t start;
    uint64_t share = (end - begin) / threads;
    double ns = 0;

    pthread_barrier_init(&start, NULL, threads);
    for (unsigned i = 0; i < threads; ++i) {
        workers[i] = (worker_t){.index = index,
                                .memory = floor_memory,
                                .what = what,
                                .keys = keys,
                                .begin = begin + i * share,
                                .end = begin + (i + 1) * share,
                                .start = &start};
        pthread_create(&ids[i], NULL, work, &workers[i]);
    }
    rcu_thread_offline();
    for (unsigned i = 0; i < threads; ++i) {
        pthread_join(ids[i], NULL);
        ns += workers[i].ns / (double)(workers[i].end - workers[i].begin) / threads;
        if (what != MISS && workers[i].checked < workers[i].end - workers[i].begin) {
            fprintf(stderr, "a key is missing\n");
            exit(EXIT_FAILURE);
        }
    }
    rcu_thread_online();
    pthread_barrier_destroy(&start);
    return ns;
}

static void bench_operation(const char *name, cairn_index_t *index, what_t what, uint64_t keys)
{
    const uint64_t operations = quick ? 400000 : 4 * MILLION;

    printf("| %s |", name);
    for (unsigned threads = 1; threads <= 2; ++threads) {
        double rounds[ROUNDS];
        for (unsigned i = 0; i < ROUNDS; ++i)
            rounds[i] = run(index, what, keys, i * operations, (i + 1) * operations, threads);
        printf(" %.0f |", median(rounds, ROUNDS));
    }
    printf("\n");
    fflush(stdout);
}

static void bench_inserts(uint64_t keys)
{
    printf("| insert, from nothing, growth included |");
    for (unsigned threads = 1; threads <= 2; ++threads) {
        double rounds[ROUNDS];
        for (unsigned i = 0; i < ROUNDS; ++i) {
            cairn_index_t *index = cairn_index_create();
            index_helper_t helper;
            index_helper_start(&helper, index);
            rounds[i] = run(index, INSERT, 0, 1, keys + 1, threads);
            index_helper_stop(&helper);
            cairn_index_destroy(index);
        }
        printf(" %.0f |", median(rounds, ROUNDS));
    }
    printf("\n");
    fflush(stdout);
}

static void floor_memory_create(uint64_t keys)
{
    size_t bytes = (keys / 6 * 64 + (2u << 20) - 1) & ~(size_t)((2u << 20) - 1);
    void *memory = aligned_alloc(2u << 20, bytes);

    if (memory == NULL)
        exit(EXIT_FAILURE);
    madvise(memory, bytes, MADV_HUGEPAGE);
    memset(memory, 0, bytes);
    floor_memory = memory;
}

static void bench_speed(uint64_t keys)
{
    cairn_index_t *index = cairn_index_create();
    cairn_index_stats_t stats;
    index_helper_t helper;

    printf("## Nanoseconds an operation, %llu million keys\n\n| | 1 thread | 2 threads |\n"
           "|---|---:|---:|\n",
           (unsigned long long)(keys / MILLION));
    index_helper_start(&helper, index);
    run(index, INSERT, 0, 1, keys + 1, 1);
    floor_memory_create(keys);
    bench_operation("a random cache line", index, FLOOR, keys);
    bench_operation("a random cache line, each waiting for the one before", index, FLOOR_WAITING,
                    keys);
    bench_operation("hit", index, HIT, keys);
    bench_operation("hit, each waiting for the one before", index, HIT_WAITING, keys);
    bench_operation("miss", index, MISS, keys);
    bench_operation("hit in batches of 100", index, BATCH_HIT, keys);
    bench_operation("replace", index, REPLACE, keys);
    index_helper_stop(&helper);
    free((void *)floor_memory);
    cairn_index_stats(index, &stats);
    cairn_index_destroy(index);
    bench_inserts(keys);
    printf("\nload %.2f, lines a find %.3f\n\n", (double)stats.keys / (double)stats.slots,
           (double)stats.probes / (double)(stats.finds == 0 ? 1 : stats.finds));
}

/* ---- dumps */

static bool on_write(void *ctx, const void *bytes, size_t count)
{
    int fd = *(int *)ctx;

    rcu_quiescent_state();
    return write(fd, bytes, count) == (ssize_t)count;
}

/* loads the dump into memory of its own and drops the index again; milliseconds of the load alone
 */
static double load_ms(int fd, size_t count, bool verify)
{
    void *mapping = mmap(NULL, count, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
    cairn_index_t *index = NULL;
    double begin = index_load_now_ns(CLOCK_MONOTONIC);

    if (mapping == MAP_FAILED ||
        cairn_index_load(mapping, count, verify, &index) != CAIRN_INDEX_DUMP_OK)
        exit(EXIT_FAILURE);
    double ms = (index_load_now_ns(CLOCK_MONOTONIC) - begin) / 1e6;
    cairn_index_destroy(index);
    return ms;
}

static void bench_dump(uint64_t keys)
{
    cairn_index_t *index = cairn_index_create();
    double dump[ROUNDS], load[ROUNDS], bare[ROUNDS];

    run(index, INSERT, 0, 1, keys + 1, 1);
    for (unsigned i = 0; i < ROUNDS; ++i) {
        int fd = memfd_create("dump", 0);
        double begin = index_load_now_ns(CLOCK_MONOTONIC);
        if (cairn_index_dump(index, on_write, &fd) != CAIRN_INDEX_DUMP_OK)
            exit(EXIT_FAILURE);
        dump[i] = (index_load_now_ns(CLOCK_MONOTONIC) - begin) / 1e6;
        size_t count = (size_t)lseek(fd, 0, SEEK_END);
        load[i] = load_ms(fd, count, true);
        bare[i] = load_ms(fd, count, false);
        close(fd);
    }
    cairn_index_destroy(index);
    printf("## Dump and load, %llu million keys, a file in memory\n\n| | ms |\n|---|---:|\n",
           (unsigned long long)(keys / MILLION));
    printf("| dump | %.0f |\n| load, verified | %.0f |\n| load, not verified | %.2f |\n\n",
           median(dump, ROUNDS), median(load, ROUNDS), median(bare, ROUNDS));
}

/* bench-index [memory | speed | dump | waits] */
int main(int argc, char **argv)
{
    const char *only = argc > 1 ? argv[1] : NULL;

    quick = getenv("QUICK") != NULL;
    rcu_register_thread();
    if (only == NULL || strcmp(only, "memory") == 0)
        bench_memory();
    if (only == NULL || strcmp(only, "speed") == 0)
        bench_speed(quick ? 2 * MILLION : 10 * MILLION);
    if (only == NULL || strcmp(only, "dump") == 0)
        bench_dump(quick ? 2 * MILLION : 10 * MILLION);
    if (only == NULL || strcmp(only, "waits") == 0)
        bench_index_waits(quick ? 2 * MILLION : 50 * MILLION);
    rcu_unregister_thread();
    return EXIT_SUCCESS;
}
