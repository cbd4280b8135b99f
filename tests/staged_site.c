/*
 * A server whose system fails, waits, or tells another time, when a test says so.
 */
#include "tests/staged_site.h"

#include <CUnit/CUnit.h>

#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "server/cli.h"
#include "server/serve.h"
#include "storage/os.h"

/** names the file that is the stage; being set, it makes this program a server */
#define STAGE_ENV "CAIRN_TEST_STAGE"
#define ORDER_DEADLINE_MS 10000

typedef struct st_stage_t {
    _Atomic unsigned given, taken; /* orders: release by one side, acquire by the other */
    fault_function_t function;     /* of the order that has been given */
    int error;                     /* 0: heal */
    bool for_good;
    _Atomic bool is_held;
    _Atomic uint64_t now_ms;
} stage_t;

/* ---------------------------------------------------------------- the child */

static stage_t *stage;
static cairn_os_t staged_os;
static const cairn_os_t *beneath;

static int list_when_released(int dir, cairn_os_entry_cb on_entry, void *ctx)
{
    while (atomic_load(&stage->is_held))
        sleep_ms(1);
    return beneath->list(dir, on_entry, ctx);
}

static uint64_t staged_now_ms(void)
{
    uint64_t now_ms = atomic_load(&stage->now_ms);
    return now_ms != 0 ? now_ms : beneath->now_ms();
}

static void *follow_orders(void *arg)
{
    for (;; sleep_ms(1)) {
        unsigned given = atomic_load_explicit(&stage->given, memory_order_acquire);
        if (given == atomic_load_explicit(&stage->taken, memory_order_relaxed))
            continue;
        if (stage->error == 0)
            fault_os_reset();
        else
            fault_os_fail(stage->function, 1, stage->error, stage->for_good);
        atomic_store_explicit(&stage->taken, given, memory_order_release);
    }
    return arg;
}

static stage_t *map_stage(const char *path)
{
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    void *map = MAP_FAILED;
    if (fd >= 0 && ftruncate(fd, sizeof(stage_t)) == 0)
        map = mmap(NULL, sizeof(stage_t), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (fd >= 0)
        close(fd);
    return map != MAP_FAILED ? map : NULL;
}

static void install(void)
{
    fault_os_install();
    beneath = cairn_os;
    staged_os = *cairn_os;
    staged_os.list = list_when_released;
    staged_os.now_ms = staged_now_ms;
    cairn_os = &staged_os;
}

bool staged_site_is_server(int argc, char **argv, int *status)
{
    static char errmsg[CAIRN_CONFIG_ERRMSG_BYTES];
    const char *path = getenv(STAGE_ENV);
    cairn_config_t config;
    pthread_t thread;
    if (path == NULL)
        return false;
    *status = 2;
    stage = map_stage(path);
    cairn_config_init(&config);
    if (stage == NULL || cairn_cli_serve(&config, argc - 2, argv + 2, stdout, errmsg,
                                         sizeof(errmsg)) != CAIRN_CLI_RUN) {
        fprintf(stderr, "staged server: %s\n", stage == NULL ? path : errmsg);
        return true;
    }
    install();
    if (pthread_create(&thread, NULL, follow_orders, NULL) == 0)
        *status = cairn_serve(&config, argc - 2, argv + 2);
    cairn_config_dispose(&config);
    return true;
}

/* ---------------------------------------------------------------- the test */

/* starts this program instead of the one that $CAIRN_BINARY names */
static void start(staged_site_t *staged, const char *const *extra_args)
{
    char self[4096], stage_path[sizeof(staged->site.dir.path) + 16];
    char *binary = getenv("CAIRN_BINARY");
    ssize_t bytes = readlink("/proc/self/exe", self, sizeof(self) - 1);
    CU_ASSERT_FATAL(bytes > 0);
    self[bytes] = '\0';
    binary = binary != NULL ? strdup(binary) : NULL;
    snprintf(stage_path, sizeof(stage_path), "%s/stage", staged->site.dir.path);
    setenv(STAGE_ENV, stage_path, 1);
    setenv("CAIRN_BINARY", self, 1);
    bool is_started = server_start(&staged->site.server, staged->site.data, extra_args);
    unsetenv(STAGE_ENV);
    if (binary != NULL)
        setenv("CAIRN_BINARY", binary, 1);
    free(binary);
    if (!is_started)
        fprintf(stderr, "\n    %s\n", staged->site.server.error);
    CU_ASSERT_FATAL(is_started);
}

void staged_site_prepare(staged_site_t *staged, bool is_held)
{
    char path[sizeof(staged->site.dir.path) + 16];
    *staged = (staged_site_t){.stage = NULL};
    CU_ASSERT_FATAL(temp_dir_create(&staged->site.dir, TEMP_DIR_IN_MEMORY));
    snprintf(staged->site.data, sizeof(staged->site.data), "%s/data", staged->site.dir.path);
    snprintf(path, sizeof(path), "%s/stage", staged->site.dir.path);
    staged->stage = map_stage(path);
    CU_ASSERT_PTR_NOT_NULL_FATAL(staged->stage);
    atomic_store(&staged->stage->is_held, is_held);
}

void staged_site_start(staged_site_t *staged, const char *const *extra_args)
{
    staged_site_prepare(staged, false);
    start(staged, extra_args);
}

void staged_site_start_again(staged_site_t *staged, const char *const *extra_args)
{
    atomic_store(&staged->stage->taken, atomic_load(&staged->stage->given));
    start(staged, extra_args);
}

void staged_site_end(staged_site_t *staged)
{
    if (staged->site.server.pid != 0)
        server_kill(&staged->site.server);
    server_dispose(&staged->site.server);
    munmap(staged->stage, sizeof(*staged->stage));
    CU_ASSERT(temp_dir_remove(&staged->site.dir));
}

void staged_site_release(staged_site_t *staged)
{
    atomic_store(&staged->stage->is_held, false);
}

/* waits until the child has done it */
static void order(stage_t *to)
{
    unsigned number = atomic_load(&to->given) + 1;
    atomic_store_explicit(&to->given, number, memory_order_release);
    int64_t deadline_ms = monotonic_ms() + ORDER_DEADLINE_MS;
    while (atomic_load_explicit(&to->taken, memory_order_acquire) != number &&
           monotonic_ms() < deadline_ms)
        sleep_ms(1);
    CU_ASSERT_EQUAL_FATAL(atomic_load(&to->taken), number);
}

void staged_site_fail(staged_site_t *staged, fault_function_t function, int error, bool for_good)
{
    staged->stage->function = function;
    staged->stage->error = error;
    staged->stage->for_good = for_good;
    order(staged->stage);
}

void staged_site_heal(staged_site_t *staged)
{
    staged->stage->error = 0;
    order(staged->stage);
}

void staged_site_set_clock(staged_site_t *staged, uint64_t now_ms)
{
    atomic_store(&staged->stage->now_ms, now_ms);
}
