/*
 * What requests cost the event loop that answers them.
 */
#include "tests/worker_cost.h"

#include <CUnit/CUnit.h>

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>

#define ROUNDS 10
#define THREADS_MAX 64

/* what the threads of a process have used of processors; waiting for one does not count */
typedef struct st_used_t {
    size_t count;
    int tids[THREADS_MAX];
    int64_t ns[THREADS_MAX];
} used_t;

static used_t used_by(pid_t pid)
{
    used_t used = {.count = 0};
    char path[64];
    snprintf(path, sizeof(path), "/proc/%d/task", (int)pid);
    DIR *dir = opendir(path);
    CU_ASSERT_PTR_NOT_NULL_FATAL(dir);
    for (const struct dirent *entry; (entry = readdir(dir)) != NULL && used.count < THREADS_MAX;) {
        long long ns = 0;
        snprintf(path, sizeof(path), "/proc/%d/task/%.10s/schedstat", (int)pid, entry->d_name);
        FILE *file = entry->d_name[0] != '.' ? fopen(path, "r") : NULL;
        if (file == NULL)
            continue;
        CU_ASSERT_EQUAL(fscanf(file, "%lld", &ns), 1);
        fclose(file);
        used.tids[used.count] = atoi(entry->d_name);
        used.ns[used.count++] = ns;
    }
    closedir(dir);
    return used;
}

static int64_t ns_of(const used_t *used, int tid)
{
    for (size_t i = 0; i < used->count; ++i)
        if (used->tids[i] == tid)
            return used->ns[i];
    return 0;
}

int worker_cost_find(http_conn_t *conn, pid_t pid)
{
    used_t before = used_by(pid);
    for (int i = 0; i < 1000; ++i)
        CU_ASSERT_EQUAL(exchange_status(conn, "GET", "/livez", NULL, NULL, 0), 204);
    used_t after = used_by(pid);
    int busiest = 0;
    int64_t most = 0;
    for (size_t i = 0; i < after.count; ++i) {
        int64_t ns = after.ns[i] - ns_of(&before, after.tids[i]);
        if (ns > most) {
            most = ns;
            busiest = after.tids[i];
        }
    }
    return busiest;
}

worker_cost_t worker_cost_of(http_conn_t *conn, pid_t pid, int worker, const costed_t *request)
{
    worker_cost_t least = {INT64_MAX, INT64_MAX};
    for (int round = 0; round < ROUNDS; ++round) {
        worker_cost_t cost = {0, 0};
        used_t before = used_by(pid);
        CU_ASSERT_EQUAL(exchange_status(conn, request->method, request->target, NULL, request->body,
                                        request->body_bytes),
                        request->status);
        used_t after = used_by(pid);
        for (size_t i = 0; i < after.count; ++i)
            cost.all_ns += after.ns[i] - ns_of(&before, after.tids[i]);
        cost.worker_ns = ns_of(&after, worker) - ns_of(&before, worker);
        if (cost.worker_ns < least.worker_ns)
            least = cost;
    }
    return least;
}
