/*
 * bench/index_waits.c - the longest wait for an insert while an index grows from nothing.
 */
#include <sys/resource.h>

#include "bench/index_load.h"

typedef struct st_waits_t {
    double longest;
    uint64_t over_50, over_200;
} waits_t;

static void waits_add(waits_t *waits, double ns)
{
    if (ns > waits->longest)
        waits->longest = ns;
    waits->over_50 += ns > 50e3;
    waits->over_200 += ns > 200e3;
}

static void waits_print(const char *name, const waits_t *waits)
{
    printf("| %s | %.0f | %llu | %llu |\n", name, waits->longest / 1e3,
           (unsigned long long)waits->over_50, (unsigned long long)waits->over_200);
    fflush(stdout);
}

/* what the machine does to a loop that does nothing but look at the clock */
static waits_t idle_waits(double duration_ns)
{
    waits_t waits = {0};
    double begin = index_load_now_ns(CLOCK_MONOTONIC), last = begin;

    while (last - begin < duration_ns) {
        double next = index_load_now_ns(CLOCK_MONOTONIC);
        waits_add(&waits, next - last);
        last = next;
    }
    return waits;
}

static long interruptions(void)
{
    struct rusage usage;

    getrusage(RUSAGE_THREAD, &usage);
    return usage.ru_nivcsw;
}

/* a helper thread beside it, as in life; `calm` are the inserts that the scheduler left alone */
static void growth_waits(uint64_t keys, clockid_t clock, waits_t *all, waits_t *calm)
{
    cairn_index_t *index = cairn_index_create();
    index_helper_t helper;
    long before = interruptions();

    index_helper_start(&helper, index);
    for (uint64_t key = 1; key <= keys; ++key) {
        double begin = index_load_now_ns(clock);
        index_load_insert(index, key);
        double ns = index_load_now_ns(clock) - begin;
        long after = interruptions();
        waits_add(all, ns);
        if (after == before)
            waits_add(calm, ns);
        before = after;
        if (key % 256 == 0)
            rcu_quiescent_state();
    }
    index_helper_stop(&helper);
    cairn_index_destroy(index);
}

/*
 * What belongs to the index and not to the machine: the same inserts again and again, with reclaim
 * at the same places and nobody else, take the same steps; so the least that the n-th insert ever
 * took is an upper bound of what it takes.
 */
static void growth_again(uint64_t keys, float *least)
{
    cairn_index_t *index = cairn_index_create();

    for (uint64_t key = 1; key <= keys; ++key) {
        double begin = index_load_now_ns(CLOCK_MONOTONIC);
        index_load_insert(index, key);
        float ns = (float)(index_load_now_ns(CLOCK_MONOTONIC) - begin);
        if (ns < least[key - 1])
            least[key - 1] = ns;
        if (key % 65536 == 0)
            cairn_index_reclaim(index);
    }
    cairn_index_destroy(index);
}

static waits_t least_waits(uint64_t keys, unsigned rounds)
{
    waits_t waits = {0};
    float *least = malloc(keys * sizeof(*least));

    if (least == NULL)
        exit(EXIT_FAILURE);
    for (uint64_t i = 0; i < keys; ++i)
        least[i] = 1e12f;
    for (unsigned round = 0; round < rounds; ++round)
        growth_again(keys, least);
    for (uint64_t i = 0; i < keys; ++i)
        waits_add(&waits, least[i]);
    free(least);
    return waits;
}

void bench_index_waits(uint64_t keys)
{
    waits_t clock = {0}, calm = {0}, cpu = {0}, cpu_calm = {0}, waits;
    double begin = index_load_now_ns(CLOCK_MONOTONIC);

    printf("## The longest of %llu million inserts, growth from nothing\n\n"
           "| | longest, us | over 50 us | over 200 us |\n|---|---:|---:|---:|\n",
           (unsigned long long)(keys / MILLION));
    growth_waits(keys, CLOCK_MONOTONIC, &clock, &calm);
    waits_print("by the clock", &clock);
    waits_print("by the clock, those the scheduler did not interrupt", &calm);
    waits = idle_waits(index_load_now_ns(CLOCK_MONOTONIC) - begin);
    waits_print("an idle loop as long, by the clock", &waits);
    growth_waits(keys, CLOCK_THREAD_CPUTIME_ID, &cpu, &cpu_calm);
    waits_print("by the thread's processor time", &cpu);
    waits_print("by processor time, those the scheduler did not interrupt", &cpu_calm);
    waits = least_waits(keys, 3);
    waits_print("each insert's best of 3 rounds, by the clock", &waits);
    printf("\n");
}
