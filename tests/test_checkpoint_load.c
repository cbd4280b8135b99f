/*
 * Is the dump of a checkpoint what was written, whoever reads which piece of it, and does whatever
 * goes wrong on one of the threads end all of it?
 *
 * The dumps are large enough for threads of their own; those of the other suites are not, so that
 * the calls to the system have an order there.
 */
#include "tests/index_keys.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <unistd.h>

#include "storage/checkpoint.h"
#include "storage/os.h"
#include "tests/store_fixture.h"
#include "tests/suites.h"

#define KEYS 450000
/** as storage/checkpoint_load.c reads it */
#define PIECE_BYTES ((uint64_t)2 << 20)

/* under a sanitizer a dump takes longer: fewer of them are tried */
#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
#define STRIDE 3
#else
#define STRIDE 1
#endif

/* ---------------------------------------------------------------- a dump in a file */

static cairn_checkpoint_image_t image;
static unsigned pieces;

static bool on_write(void *ctx, const void *bytes, size_t count)
{
    uint64_t *at = ctx;
    bool is_written = pwrite(image.fd, bytes, count, (off_t)*at) == (ssize_t)count;
    *at += count;
    return is_written;
}

/** as CUnit wants it: 0 is success */
static int make_image(void)
{
    uint64_t end = CAIRN_CHECKPOINT_HEADER_BYTES;
    image.fd = cairn_os->memory_file("dump");
    rcu_register_thread();
    cairn_index_t *index = cairn_index_create();
    bool is_made = image.fd >= 0 && index != NULL && put_range(index, hash_good, 0, KEYS) &&
                   cairn_index_dump(index, on_write, &end) == CAIRN_INDEX_DUMP_OK;
    if (index != NULL)
        cairn_index_destroy(index);
    rcu_unregister_thread();
    image.header.dump_bytes = end - CAIRN_CHECKPOINT_HEADER_BYTES;
    pieces = (unsigned)((image.header.dump_bytes + PIECE_BYTES - 1) / PIECE_BYTES);
    return is_made && pieces >= 3 ? 0 : 1;
}

static int close_image(void)
{
    return cairn_os->close(image.fd);
}

/* ---------------------------------------------------------------- a system that is looked at */

static cairn_os_t table;
static struct {
    unsigned processors;
    pthread_t tester;
    uint64_t fail_at; /* the read that begins here ends, */
    int64_t result;   /* with this; 0 reads nothing, more so many bytes */
    bool has_failed;
    _Atomic unsigned by_tester, by_others; /* reads */
    _Atomic int pages;                     /* allocations that have not been freed */
} staged;

static unsigned staged_processors(void)
{
    return staged.processors;
}

static int64_t staged_pread(int fd, void *base, size_t count, uint64_t offset)
{
    bool is_tester = pthread_equal(pthread_self(), staged.tester) != 0;
    atomic_fetch_add(is_tester ? &staged.by_tester : &staged.by_others, 1);
    if (offset == staged.fail_at) {
        staged.has_failed = true; /* one thread reads this piece */
        if (staged.result <= 0)
            return staged.result;
        count = (size_t)staged.result;
    }
    return cairn_os_real.pread(fd, base, count, offset);
}

static void *staged_alloc_pages(size_t bytes)
{
    void *base = cairn_os_real.alloc_pages(bytes);
    atomic_fetch_add(&staged.pages, base != NULL);
    return base;
}

static void *no_pages(size_t bytes)
{
    (void)bytes;
    return NULL;
}

static void staged_free_pages(void *base, size_t bytes)
{
    atomic_fetch_sub(&staged.pages, 1);
    cairn_os_real.free_pages(base, bytes);
}

static void stage(unsigned processors)
{
    memset(&staged, 0, sizeof(staged));
    staged.processors = processors;
    staged.fail_at = UINT64_MAX;
    staged.tester = pthread_self();
    table = cairn_os_real;
    table.processors = staged_processors;
    table.pread = staged_pread;
    table.alloc_pages = staged_alloc_pages;
    table.free_pages = staged_free_pages;
    cairn_os = &table;
}

static void unstage(void)
{
    cairn_os = &cairn_os_real;
}

/** nothing of a load that came to nothing is left */
static bool all_is_given_back(void)
{
    return atomic_load(&staged.pages) == 0;
}

typedef struct st_told_t {
    uint64_t bytes;
    unsigned calls, stop_at; /* the call that is answered with "stop"; 0: none */
} told_t;

static bool on_bytes(void *ctx, uint64_t bytes)
{
    told_t *told = ctx;
    told->bytes += bytes;
    return ++told->calls != told->stop_at;
}

static cairn_err_t load(told_t *told, cairn_index_t **index, char *why)
{
    *told = (told_t){.stop_at = told->stop_at};
    *index = NULL;
    why[0] = '\0';
    return cairn_checkpoint_load(&image, on_bytes, told, index, why);
}

/** that it has all keys; destroys it */
static void check_index(cairn_index_t *index)
{
    CU_ASSERT_PTR_NOT_NULL_FATAL(index);
    rcu_register_thread();
    cairn_index_stats_t stats;
    cairn_index_stats(index, &stats);
    CU_ASSERT_EQUAL(stats.keys, KEYS);
    CU_ASSERT(has_range(index, hash_good, 0, KEYS));
    cairn_index_destroy(index);
    rcu_unregister_thread();
}

/* ---------------------------------------------------------------- as it should be */

static void it_is_the_same_with_any_number_of_threads(void)
{
    static const unsigned processors[] = {1, 2, 3, 64};
    for (size_t i = 0; i < sizeof(processors) / sizeof(processors[0]); ++i) {
        told_t told = {0};
        cairn_index_t *index;
        char why[CAIRN_ERRMSG_BYTES];
        stage(processors[i]);
        CU_ASSERT_EQUAL(load(&told, &index, why), CAIRN_OK);
        CU_ASSERT_EQUAL(told.bytes, image.header.dump_bytes);
        CU_ASSERT_EQUAL(atomic_load(&staged.by_others) + atomic_load(&staged.by_tester), pieces);
        unstage();
        check_index(index);
    }
}

/** a stack for which there is no room: no thread can be started. What it was before */
static size_t set_stack_bytes(size_t bytes)
{
    pthread_attr_t attr;
    size_t before = 0;
    CU_ASSERT_EQUAL_FATAL(pthread_getattr_default_np(&attr), 0);
    CU_ASSERT_EQUAL(pthread_attr_getstacksize(&attr, &before), 0);
    CU_ASSERT_EQUAL(pthread_attr_setstacksize(&attr, bytes), 0);
    CU_ASSERT_EQUAL(pthread_setattr_default_np(&attr), 0);
    pthread_attr_destroy(&attr);
    return before;
}

static void where_no_thread_can_be_started_one_does_it_all(void)
{
    told_t told = {0};
    cairn_index_t *index;
    char why[CAIRN_ERRMSG_BYTES];
    stage(4);
    size_t stack_bytes = set_stack_bytes((size_t)1 << 47);
    CU_ASSERT_EQUAL(load(&told, &index, why), CAIRN_OK);
    set_stack_bytes(stack_bytes);
    CU_ASSERT_EQUAL(told.bytes, image.header.dump_bytes);
    CU_ASSERT_EQUAL(atomic_load(&staged.by_others), 0);
    CU_ASSERT_EQUAL(atomic_load(&staged.by_tester), pieces);
    unstage();
    check_index(index);
}

/** its own thread waits in its first read until another has read one */
static int64_t pread_after_help(int fd, void *base, size_t count, uint64_t offset)
{
    int64_t n = staged_pread(fd, base, count, offset);
    while (!pthread_equal(pthread_self(), staged.tester) && atomic_load(&staged.by_tester) == 0)
        usleep(100);
    return n;
}

static void who_has_time_helps(void)
{
    told_t told = {0};
    cairn_index_t *index = NULL;
    char why[CAIRN_ERRMSG_BYTES];
    stage(1);
    table.pread = pread_after_help;
    cairn_checkpoint_load_t *under_way = cairn_checkpoint_load_begin(&image, true);
    CU_ASSERT_PTR_NOT_NULL_FATAL(under_way);
    while (atomic_load(&staged.by_others) == 0)
        usleep(100);
    cairn_checkpoint_load_help(under_way);
    CU_ASSERT(atomic_load(&staged.by_tester) >= 1);
    CU_ASSERT_EQUAL(atomic_load(&staged.by_tester) + atomic_load(&staged.by_others), pieces);
    CU_ASSERT_EQUAL(cairn_checkpoint_load_finish(under_way, on_bytes, &told, &index, why),
                    CAIRN_OK);
    cairn_checkpoint_load_help(under_way); /* nothing is left to be done */
    cairn_checkpoint_load_end(under_way);
    CU_ASSERT_EQUAL(told.bytes, image.header.dump_bytes);
    unstage();
    check_index(index);
}

/* ---------------------------------------------------------------- and as it should not */

static void flip(uint64_t at)
{
    uint8_t byte;
    off_t offset = (off_t)(CAIRN_CHECKPOINT_HEADER_BYTES + at);
    CU_ASSERT_EQUAL(pread(image.fd, &byte, 1, offset), 1);
    byte ^= 0x10;
    CU_ASSERT_EQUAL(pwrite(image.fd, &byte, 1, offset), 1);
}

static void damage_in_any_piece_is_found(void)
{
    told_t told = {0};
    cairn_index_t *index;
    char why[CAIRN_ERRMSG_BYTES];
    uint64_t last = image.header.dump_bytes - 1;
    for (uint64_t at = 0; at <= last; at += STRIDE * PIECE_BYTES / 4 + 1) {
        for (unsigned processors = 2; processors <= 4; processors += 2) {
            stage(processors);
            flip(at);
            CU_ASSERT_EQUAL(load(&told, &index, why), CAIRN_ERR_CORRUPT);
            flip(at);
            CU_ASSERT_PTR_NULL(index);
            CU_ASSERT(why[0] != '\0');
            CU_ASSERT(all_is_given_back());
        }
    }
    flip(last);
    CU_ASSERT_EQUAL(load(&told, &index, why), CAIRN_ERR_CORRUPT);
    flip(last);
    CU_ASSERT(all_is_given_back());
    unstage();
}

static void each_read_fails_in_turn(void)
{
    static const int64_t results[] = {-EIO, 0};
    told_t told = {0};
    cairn_index_t *index;
    char why[CAIRN_ERRMSG_BYTES];
    for (unsigned piece = 0; piece < pieces; ++piece)
        for (size_t i = 0; i < 2; ++i) {
            stage(2 + piece % 3);
            staged.fail_at = CAIRN_CHECKPOINT_HEADER_BYTES + piece * PIECE_BYTES;
            staged.result = results[i];
            CU_ASSERT_EQUAL(load(&told, &index, why), CAIRN_ERR_IO);
            CU_ASSERT(staged.has_failed);
            CU_ASSERT_PTR_NULL(index);
            CU_ASSERT_PTR_NOT_NULL(strstr(why, strerror(EIO)));
            CU_ASSERT(all_is_given_back());
        }
    unstage();
}

static void a_short_read_is_gone_on_with(void)
{
    told_t told = {0};
    cairn_index_t *index;
    char why[CAIRN_ERRMSG_BYTES];
    stage(2);
    staged.fail_at = CAIRN_CHECKPOINT_HEADER_BYTES + PIECE_BYTES;
    staged.result = 4097;
    CU_ASSERT_EQUAL(load(&told, &index, why), CAIRN_OK);
    CU_ASSERT_EQUAL(atomic_load(&staged.by_others) + atomic_load(&staged.by_tester), pieces + 1);
    unstage();
    check_index(index);
}

static void it_can_be_stopped_at_any_point(void)
{
    cairn_err_t err = CAIRN_ERR_CANCELLED;
    told_t told = {0};
    cairn_index_t *index;
    char why[CAIRN_ERRMSG_BYTES];
    while (err == CAIRN_ERR_CANCELLED && told.stop_at < 100) {
        ++told.stop_at;
        stage(3);
        err = load(&told, &index, why);
        CU_ASSERT(err == CAIRN_OK || (told.calls == told.stop_at && all_is_given_back()));
    }
    unstage();
    CU_ASSERT_EQUAL_FATAL(err, CAIRN_OK);
    CU_ASSERT(told.stop_at >= 2);
    check_index(index);
}

static void it_can_be_given_up(void)
{
    for (unsigned i = 0; i < 20; ++i) {
        stage(1 + i % 4);
        cairn_checkpoint_load_t *under_way = cairn_checkpoint_load_begin(&image, true);
        CU_ASSERT_PTR_NOT_NULL_FATAL(under_way);
        while (i % 2 != 0 && atomic_load(&staged.by_others) == 0)
            usleep(10);
        cairn_checkpoint_load_end(under_way);
        CU_ASSERT(all_is_given_back());
    }
    unstage();
}

static void without_memory_it_is_said(void)
{
    told_t told = {0};
    cairn_index_t *index;
    char why[CAIRN_ERRMSG_BYTES];
    stage(2);
    table.alloc_pages = no_pages;
    CU_ASSERT_EQUAL(load(&told, &index, why), CAIRN_ERR_NOMEM);
    CU_ASSERT(why[0] != '\0');
    CU_ASSERT_EQUAL(atomic_load(&staged.by_tester) + atomic_load(&staged.by_others), 0);
    unstage();
}

/* ---------------------------------------------------------------- a store of so many keys */

typedef struct st_large_t {
    fixture_t f;
    told_t told;
    bool is_restored, has_fallen_back; /* at the latest open */
} large_t;

static void on_log(void *ctx, cairn_log_level_t level, const char *line)
{
    large_t *s = ctx;
    (void)level;
    s->is_restored |= strstr(line, "is from " CAIRN_CHECKPOINT_NAME) != NULL;
    s->has_fallen_back |= strstr(line, CAIRN_CHECKPOINT_NAME ": not used: ") != NULL;
}

static bool on_progress(void *ctx, uint64_t done, uint64_t total)
{
    large_t *s = ctx;
    CU_ASSERT(done <= total);
    return ++s->told.calls != s->told.stop_at;
}

static cairn_err_t open_large(large_t *s, unsigned stop_at)
{
    s->is_restored = s->has_fallen_back = false;
    s->told = (told_t){.stop_at = stop_at};
    return fixture_open(&s->f);
}

/** a closed one, with a checkpoint */
static void make_large(large_t *s)
{
    memset(s, 0, sizeof(*s));
    fixture_init(&s->f, TEMP_DIR_IN_MEMORY);
    s->f.options.segment_bytes = (uint64_t)16 << 20;
    s->f.options.checkpoint_bytes = (uint64_t)1 << 40;
    s->f.options.on_log = on_log;
    s->f.options.on_progress = on_progress;
    s->f.options.ctx = s;
    CU_ASSERT_EQUAL_FATAL(open_large(s, 0), CAIRN_OK);
    fixture_put_numbered(&s->f, KEYS, text("v"));
    CU_ASSERT_EQUAL_FATAL(fixture_close(&s->f), CAIRN_OK);
}

static void check_large(large_t *s)
{
    unsigned wrong = 0;
    cairn_store_stats_t stats;
    cairn_store_stats(s->f.store, &stats);
    CU_ASSERT_EQUAL(stats.keys, KEYS);
    for (unsigned i = 0; i < KEYS; i += 17) {
        char key[16];
        snprintf(key, sizeof(key), "key %u", i);
        wrong += !fixture_has(&s->f, key, "v");
    }
    CU_ASSERT_EQUAL(wrong, 0);
}

/** stopped anywhere, no file is left open */
static void a_start_loads_it_beside_all_else(void)
{
    large_t s;
    cairn_err_t err = CAIRN_ERR_CANCELLED;
    make_large(&s);
    size_t descriptors = open_descriptors();
    stage(2);
    for (unsigned stop_at = 1; err == CAIRN_ERR_CANCELLED; stop_at += STRIDE) {
        err = open_large(&s, stop_at);
        CU_ASSERT(err == CAIRN_OK || err == CAIRN_ERR_CANCELLED);
        CU_ASSERT(err == CAIRN_OK || open_descriptors() == descriptors);
    }
    CU_ASSERT_EQUAL_FATAL(err, CAIRN_OK);
    CU_ASSERT(s.is_restored && !s.has_fallen_back);
    CU_ASSERT(atomic_load(&staged.by_others) >= pieces);
    check_large(&s);
    CU_ASSERT_EQUAL(fixture_close(&s.f), CAIRN_OK);
    unstage();
    fixture_dispose(&s.f);
}

static void a_start_does_without_it(void)
{
    large_t s;
    size_t count, descriptors;
    make_large(&s);
    uint8_t *good = read_file(fixture_path(&s.f, CAIRN_CHECKPOINT_NAME), &count);
    CU_ASSERT_FATAL(count > 2 * PIECE_BYTES);
    descriptors = open_descriptors();
    for (unsigned kind = 0; kind < 3; ++kind) {
        stage(2);
        good[count / 2] ^= kind == 0;
        write_file(fixture_path(&s.f, CAIRN_CHECKPOINT_NAME), good, count);
        good[count / 2] ^= kind == 0;
        if (kind == 1) { /* a piece cannot be read */
            staged.fail_at = CAIRN_CHECKPOINT_HEADER_BYTES + PIECE_BYTES;
            staged.result = -EIO;
        }
        if (kind == 2)
            table.alloc_pages = no_pages;
        CU_ASSERT_EQUAL_FATAL(open_large(&s, 0), CAIRN_OK);
        CU_ASSERT(s.has_fallen_back && !s.is_restored);
        CU_ASSERT(all_is_given_back());
        check_large(&s);
        CU_ASSERT_EQUAL(fixture_close(&s.f), CAIRN_OK);
        unstage();
        CU_ASSERT_EQUAL(open_descriptors(), descriptors);
    }
    free(good);
    fixture_dispose(&s.f);
}

void suite_checkpoint_load(void)
{
    CU_pSuite s = CU_add_suite("checkpoint_load", make_image, close_image);
    CU_add_test(s, "it is the same with any number of threads",
                it_is_the_same_with_any_number_of_threads);
    CU_add_test(s, "where no thread can be started, one does it all",
                where_no_thread_can_be_started_one_does_it_all);
    CU_add_test(s, "who has time helps", who_has_time_helps);
    CU_add_test(s, "damage in any piece is found", damage_in_any_piece_is_found);
    CU_add_test(s, "each read fails in turn", each_read_fails_in_turn);
    CU_add_test(s, "a short read is gone on with", a_short_read_is_gone_on_with);
    CU_add_test(s, "it can be stopped at any point", it_can_be_stopped_at_any_point);
    CU_add_test(s, "it can be given up", it_can_be_given_up);
    CU_add_test(s, "without memory it is said", without_memory_it_is_said);
    CU_add_test(s, "a start loads it beside all else", a_start_loads_it_beside_all_else);
    CU_add_test(s, "a start does without it", a_start_does_without_it);
}
