/*
 * A store in a directory of its own, asked one thing at a time.
 */
#include "tests/store_fixture.h"

#include <CUnit/CUnit.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "storage/dir.h"
#include "tests/seed.h"

static void on_log(void *ctx, cairn_log_level_t level, const char *line)
{
    fixture_t *f = ctx;
    if (getenv("CAIRN_TEST_LOG") != NULL)
        fprintf(stderr, "[%s]\n", line);
    if (level == CAIRN_LOG_ERROR)
        atomic_fetch_add(&f->error_lines, 1);
}

void fixture_init(fixture_t *f, temp_dir_place_t place)
{
    memset(f, 0, sizeof(*f));
    CU_ASSERT_FATAL(temp_dir_create(&f->dir, place));
    f->options = (cairn_store_options_t){
        .path = f->dir.path,
        .segment_bytes = FIXTURE_SEGMENT_BYTES,
        .value_bytes_max = (uint64_t)16 << 20,
        .sync_interval_ms = 60000,
        .queue_ops_max = 100000,
        .queue_bytes_max = (uint64_t)1 << 30,
        .io_threads = 2,
        .no_compaction = true, /* segments stay as a test has made them */
        .on_log = on_log,
        .ctx = f,
    };
}

void fixture_must_open(fixture_t *f)
{
    cairn_err_t err = fixture_open(f);
    if (err != CAIRN_OK)
        fprintf(stderr, "\n%s\n", f->errmsg);
    CU_ASSERT_EQUAL_FATAL(err, CAIRN_OK);
}

void fixture_start(fixture_t *f, temp_dir_place_t place)
{
    fixture_init(f, place);
    fixture_must_open(f);
}

void fixture_start_sized(fixture_t *f, uint64_t segment_bytes)
{
    fixture_init(f, TEMP_DIR_IN_MEMORY);
    f->options.segment_bytes = segment_bytes;
    fixture_must_open(f);
}

void fixture_dispose(fixture_t *f)
{
    if (f->store != NULL)
        fixture_close(f);
    CU_ASSERT(temp_dir_remove(&f->dir));
}

/* stores this thread has open: opening one wants it unregistered, reading wants it registered */
static _Thread_local unsigned stores_open;

cairn_err_t fixture_open(fixture_t *f)
{
    f->errmsg[0] = '\0';
    if (stores_open != 0)
        cairn_thread_unregister();
    cairn_err_t err = cairn_store_open(&f->store, &f->options, f->errmsg);
    if (err == CAIRN_OK)
        ++stores_open;
    else
        f->store = NULL;
    if (stores_open != 0)
        cairn_thread_register();
    return err;
}

cairn_err_t fixture_close(fixture_t *f)
{
    cairn_thread_unregister();
    cairn_err_t err = cairn_store_close(f->store);
    f->store = NULL;
    if (--stores_open != 0)
        cairn_thread_register();
    return err;
}

void fixture_restart(fixture_t *f)
{
    CU_ASSERT_EQUAL(fixture_close(f), CAIRN_OK);
    fixture_must_open(f);
}

/* ---------------------------------------------------------------- writing */

static void on_written(cairn_sink_t *sink, cairn_write_t *list)
{
    waiter_t *waiter = (waiter_t *)sink;
    pthread_mutex_lock(&waiter->mutex);
    *waiter->last = list;
    while (*waiter->last != NULL) {
        waiter->last = &(*waiter->last)->next;
        ++waiter->count;
    }
    ++waiter->calls;
    pthread_cond_signal(&waiter->cond);
    pthread_mutex_unlock(&waiter->mutex);
}

void waiter_init(waiter_t *waiter)
{
    memset(waiter, 0, sizeof(*waiter));
    waiter->sink.on_done = on_written;
    waiter->last = &waiter->first;
    pthread_mutex_init(&waiter->mutex, NULL);
    pthread_cond_init(&waiter->cond, NULL);
}

void waiter_dispose(waiter_t *waiter)
{
    pthread_cond_destroy(&waiter->cond);
    pthread_mutex_destroy(&waiter->mutex);
}

cairn_write_t *waiter_take(waiter_t *waiter, size_t count)
{
    pthread_mutex_lock(&waiter->mutex);
    while (waiter->count < count)
        pthread_cond_wait(&waiter->cond, &waiter->mutex);
    cairn_write_t *list = waiter->first;
    waiter->first = NULL;
    waiter->last = &waiter->first;
    waiter->count = 0;
    pthread_mutex_unlock(&waiter->mutex);
    return list;
}

cairn_write_t *fixture_frame(waiter_t *waiter, cairn_write_op_t op, cairn_bytes_t key_bytes,
                             cairn_bytes_t value, cairn_durability_t durability)
{
    cairn_key_t key = cairn_key(0, key_bytes.base, key_bytes.count);
    cairn_write_t *write = cairn_write_create(op, &key, (cairn_bytes_t){0}, value);
    if (write != NULL) {
        write->sink = &waiter->sink;
        write->durability = durability;
    }
    return write;
}

/** at most so many wait in the writer's queue */
#define NUMBERED_AT_ONCE 5000

static void put_numbered(fixture_t *f, waiter_t *waiter, unsigned first, unsigned end,
                         cairn_bytes_t value)
{
    for (unsigned i = first; i < end; ++i) {
        char key[16];
        snprintf(key, sizeof(key), "key %u", i);
        cairn_write_t *write =
            fixture_frame(waiter, CAIRN_WRITE_PUT, text(key), value, CAIRN_ASYNC);
        if (write == NULL || cairn_store_submit(f->store, write) != CAIRN_OK)
            CU_FAIL_FATAL("a write was not taken");
    }
    cairn_write_t *list = waiter_take(waiter, end - first);
    while (list != NULL) {
        cairn_write_t *write = list;
        list = write->next;
        cairn_write_destroy(write);
    }
}

void fixture_put_numbered(fixture_t *f, unsigned count, cairn_bytes_t value)
{
    waiter_t waiter;
    waiter_init(&waiter);
    for (unsigned first = 0; first < count; first += NUMBERED_AT_ONCE) {
        unsigned left = count - first;
        put_numbered(f, &waiter, first, first + (left < NUMBERED_AT_ONCE ? left : NUMBERED_AT_ONCE),
                     value);
    }
    waiter_dispose(&waiter);
}

outcome_t fixture_write(fixture_t *f, cairn_write_op_t op, cairn_bytes_t key_bytes,
                        cairn_bytes_t meta, cairn_bytes_t value, cairn_durability_t durability)
{
    cairn_key_t key = cairn_key(0, key_bytes.base, key_bytes.count);
    cairn_write_t *write = cairn_write_create(op, &key, meta, value);
    if (write == NULL)
        return (outcome_t){.err = CAIRN_ERR_NOMEM};
    waiter_t waiter;
    waiter_init(&waiter);
    write->sink = &waiter.sink;
    write->durability = durability;
    outcome_t outcome = {.err = cairn_store_submit(f->store, write)};
    if (outcome.err == CAIRN_OK) {
        write = waiter_take(&waiter, 1);
        outcome = (outcome_t){write->err, write->existed, write->version};
    }
    cairn_write_destroy(write);
    waiter_dispose(&waiter);
    return outcome;
}

cairn_bytes_t text(const char *text)
{
    return (cairn_bytes_t){.base = text, .count = strlen(text)};
}

outcome_t fixture_put(fixture_t *f, const char *key, const char *value)
{
    return fixture_write(f, CAIRN_WRITE_PUT, text(key), (cairn_bytes_t){0}, text(value),
                         CAIRN_SYNC);
}

static uint8_t *filled(size_t count, uint64_t seed)
{
    uint8_t *bytes = malloc(count + 1);
    CU_ASSERT_PTR_NOT_NULL_FATAL(bytes);
    random_fill(seed, bytes, count);
    return bytes;
}

outcome_t fixture_put_filled(fixture_t *f, cairn_bytes_t key, size_t count, uint64_t seed,
                             cairn_durability_t durability)
{
    uint8_t *bytes = filled(count, seed);
    outcome_t outcome = fixture_write(f, CAIRN_WRITE_PUT, key, (cairn_bytes_t){0},
                                      (cairn_bytes_t){bytes, count}, durability);
    free(bytes);
    return outcome;
}

bool fixture_has_filled(fixture_t *f, cairn_bytes_t key, size_t count, uint64_t seed)
{
    cairn_value_t value;
    if (fixture_get(f, key, &value) != CAIRN_OK || value.count != count)
        return false;
    uint8_t *expected = filled(count, seed);
    bool same = memcmp(expected, value.bytes, count) == 0;
    free(expected);
    return same;
}

uint64_t fixture_segment_count(fixture_t *f)
{
    cairn_store_stats_t stats;
    cairn_store_stats(f->store, &stats);
    return stats.segments;
}

outcome_t fixture_delete(fixture_t *f, const char *key)
{
    return fixture_write(f, CAIRN_WRITE_DELETE, text(key), (cairn_bytes_t){0}, (cairn_bytes_t){0},
                         CAIRN_SYNC);
}

static void on_gate(cairn_sink_t *sink, cairn_write_t *list)
{
    gate_t *gate = (gate_t *)sink;
    pthread_mutex_lock(&gate->mutex);
    gate->write = list;
    gate->reached = true;
    pthread_cond_broadcast(&gate->cond);
    while (!gate->open)
        pthread_cond_wait(&gate->cond, &gate->mutex);
    pthread_mutex_unlock(&gate->mutex);
}

void gate_close(gate_t *gate, fixture_t *f)
{
    *gate = (gate_t){.sink = {.on_done = on_gate},
                     .mutex = PTHREAD_MUTEX_INITIALIZER,
                     .cond = PTHREAD_COND_INITIALIZER};
    cairn_key_t key = cairn_key(0, "gate", 4);
    cairn_write_t *write =
        cairn_write_create(CAIRN_WRITE_PUT, &key, (cairn_bytes_t){0}, (cairn_bytes_t){0});
    CU_ASSERT_PTR_NOT_NULL_FATAL(write);
    write->sink = &gate->sink;
    write->durability = CAIRN_SYNC;
    CU_ASSERT_EQUAL_FATAL(cairn_store_submit(f->store, write), CAIRN_OK);
    pthread_mutex_lock(&gate->mutex);
    while (!gate->reached)
        pthread_cond_wait(&gate->cond, &gate->mutex);
    pthread_mutex_unlock(&gate->mutex);
}

void gate_open(gate_t *gate)
{
    pthread_mutex_lock(&gate->mutex);
    gate->open = true;
    pthread_cond_broadcast(&gate->cond);
    pthread_mutex_unlock(&gate->mutex);
    cairn_write_destroy(gate->write);
}

/* ---------------------------------------------------------------- reading */

typedef struct st_wait_load_t {
    cairn_load_t super; /* first: on_done casts back */
    pthread_mutex_t mutex;
    pthread_cond_t cond;
    bool done;
} wait_load_t;

static void on_loaded(cairn_load_t *load)
{
    wait_load_t *wait = (wait_load_t *)load;
    pthread_mutex_lock(&wait->mutex);
    wait->done = true;
    pthread_cond_signal(&wait->cond);
    pthread_mutex_unlock(&wait->mutex);
}

static cairn_err_t load(fixture_t *f, uint64_t loc)
{
    wait_load_t wait = {.super = {.loc = loc, .on_done = on_loaded},
                        .mutex = PTHREAD_MUTEX_INITIALIZER,
                        .cond = PTHREAD_COND_INITIALIZER};
    cairn_store_load(f->store, &wait.super);
    pthread_mutex_lock(&wait.mutex);
    while (!wait.done)
        pthread_cond_wait(&wait.cond, &wait.mutex);
    pthread_mutex_unlock(&wait.mutex);
    return wait.super.err;
}

cairn_err_t fixture_get(fixture_t *f, cairn_bytes_t key_bytes, cairn_value_t *value)
{
    cairn_thread_quiescent();
    cairn_key_t key = cairn_store_key(f->store, key_bytes.base, key_bytes.count);
    cairn_err_t err = cairn_store_get(f->store, &key, 0, value);
    /* another write may have replaced what was loaded, so more than once */
    for (int tries = 0; err == CAIRN_ERR_COLD && tries < 100; ++tries) {
        uint64_t loc = value->loc;
        err = load(f, loc);
        if (err == CAIRN_OK)
            err = cairn_store_get(f->store, &key, loc, value);
    }
    return err;
}

bool fixture_has(fixture_t *f, const char *key, const char *value)
{
    cairn_value_t found;
    cairn_err_t err = fixture_get(f, text(key), &found);
    if (value == NULL)
        return err == CAIRN_ERR_NOT_FOUND;
    return err == CAIRN_OK && found.count == strlen(value) &&
           memcmp(found.bytes, value, found.count) == 0;
}

/* ---------------------------------------------------------------- files */

const char *fixture_path(const fixture_t *f, const char *name)
{
    static char path[600];
    snprintf(path, sizeof(path), "%s/%s", f->dir.path, name);
    return path;
}

static uint8_t *read_whole(FILE *file, size_t *count)
{
    struct stat st;
    CU_ASSERT_FATAL(fstat(fileno(file), &st) == 0);
    uint8_t *bytes = malloc((size_t)st.st_size + 1);
    CU_ASSERT_PTR_NOT_NULL_FATAL(bytes);
    *count = fread(bytes, 1, (size_t)st.st_size, file);
    fclose(file);
    return bytes;
}

uint8_t *read_file(const char *path, size_t *count)
{
    FILE *file = fopen(path, "rb");
    CU_ASSERT_PTR_NOT_NULL_FATAL(file);
    return read_whole(file, count);
}

void write_file(const char *path, const void *bytes, size_t count)
{
    unlink(path); /* a sealed one could not be written over */
    FILE *file = fopen(path, "wb");
    CU_ASSERT_PTR_NOT_NULL_FATAL(file);
    CU_ASSERT_EQUAL_FATAL(fwrite(bytes, 1, count, file), count);
    CU_ASSERT_EQUAL_FATAL(fclose(file), 0);
}

void copy_dir(const char *from, const char *to)
{
    DIR *d = opendir(from);
    CU_ASSERT_PTR_NOT_NULL_FATAL(d);
    struct dirent *entry;
    while ((entry = readdir(d)) != NULL) {
        if (entry->d_name[0] == '.')
            continue;
        char path[600];
        size_t count;
        snprintf(path, sizeof(path), "%s/%s", from, entry->d_name);
        FILE *file = fopen(path, "rb");
        if (file == NULL && errno == ENOENT)
            continue; /* the store is open, and has given what it prepares its name meanwhile */
        CU_ASSERT_PTR_NOT_NULL_FATAL(file);
        uint8_t *bytes = read_whole(file, &count);
        snprintf(path, sizeof(path), "%s/%s", to, entry->d_name);
        write_file(path, bytes, count);
        free(bytes);
    }
    closedir(d);
}

static int later_first(const void *a, const void *b)
{
    return strcmp(b, a);
}

bool fixture_segment_name(const fixture_t *f, size_t from_end, char name[32])
{
    static char names[4096][CAIRN_SEGMENT_NAME_BYTES];
    size_t count = 0;
    DIR *d = opendir(f->dir.path);
    CU_ASSERT_PTR_NOT_NULL_FATAL(d);
    struct dirent *entry;
    while ((entry = readdir(d)) != NULL && count < sizeof(names) / sizeof(names[0])) {
        uint64_t first;
        uint32_t generation;
        if (cairn_segment_name_parse(entry->d_name, &first, &generation))
            cairn_segment_name(names[count++], first, generation);
    }
    closedir(d);
    qsort(names, count, sizeof(names[0]), later_first);
    if (from_end >= count)
        return false;
    memcpy(name, names[from_end], CAIRN_SEGMENT_NAME_BYTES);
    return true;
}

void fixture_wait_until_rolled(fixture_t *f)
{
    char name[CAIRN_SEGMENT_NAME_BYTES];
    uint64_t count = fixture_segment_count(f);
    for (int tries = 0; tries < 3000; ++tries) {
        /* in this order: before it has its name, the newest segment is itself called as the spare
         */
        if (fixture_segment_name(f, count - 1, name) &&
            access(fixture_path(f, CAIRN_SPARE_NAME), F_OK) == 0)
            return;
        usleep(10000);
    }
    CU_FAIL_FATAL("the last roll does not end");
}

void fixture_drop_caches(const fixture_t *f)
{
    DIR *d = opendir(f->dir.path);
    CU_ASSERT_PTR_NOT_NULL_FATAL(d);
    struct dirent *entry;
    while ((entry = readdir(d)) != NULL) {
        int fd = openat(dirfd(d), entry->d_name, O_RDONLY | O_CLOEXEC);
        if (fd < 0)
            continue;
        fdatasync(fd);
        posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
        close(fd);
    }
    closedir(d);
}

size_t open_descriptors(void)
{
    size_t count = 0;
    DIR *d = opendir("/proc/self/fd");
    CU_ASSERT_PTR_NOT_NULL_FATAL(d);
    while (readdir(d) != NULL)
        ++count;
    closedir(d);
    return count;
}
