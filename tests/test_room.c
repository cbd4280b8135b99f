/*
 * Is a store that has no room left usable again once things are deleted, without a restart?
 *
 * Under a limit in memory and on disk, and on a file system that is really full.
 */
#include "tests/store_fixture.h"

#include <CUnit/CUnit.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <unistd.h>

#include "storage/store_internal.h"
#include "tests/loop_disk.h"
#include "tests/suites.h"

#define SEGMENT_BYTES ((uint64_t)128 << 10)
#define VALUE_BYTES 1000
#define KEYS_MOST 20000
/** compaction comes in between looks; what takes longer than this will never come */
#define WAIT_MS_MAX 20000

static const cairn_bytes_t nothing;
static char value[VALUE_BYTES + 1];

static cairn_bytes_t key_of(unsigned i, char room[16])
{
    snprintf(room, 16, "k%u", i);
    return text(room);
}

static cairn_err_t put(fixture_t *f, unsigned i)
{
    char room[16];
    return fixture_write(f, CAIRN_WRITE_PUT, key_of(i, room), nothing, text(value), CAIRN_ASYNC)
        .err;
}

static cairn_err_t delete (fixture_t *f, unsigned i)
{
    char room[16];
    return fixture_write(f, CAIRN_WRITE_DELETE, key_of(i, room), nothing, nothing, CAIRN_ASYNC).err;
}

static void start(fixture_t *f, uint64_t max_bytes)
{
    memset(value, 'v', VALUE_BYTES);
    f->options.no_compaction = false;
    f->options.segment_bytes = SEGMENT_BYTES;
    f->options.max_bytes = max_bytes;
    f->options.sync_interval_ms = 1000;
    fixture_must_open(f);
}

/** puts new keys until there is no room; how many there are then */
static unsigned fill(fixture_t *f)
{
    unsigned count = 0;
    cairn_err_t err = CAIRN_OK;
    while (count < KEYS_MOST && (err = put(f, count)) == CAIRN_OK)
        ++count;
    CU_ASSERT_EQUAL(err, CAIRN_ERR_DISK_FULL);
    return count;
}

/** until there is room for it; deletes go on where puts do not, though they too may have to wait */
static bool comes_through(fixture_t *f, cairn_err_t (*write)(fixture_t *f, unsigned i), unsigned i)
{
    for (unsigned waited_ms = 0; waited_ms < WAIT_MS_MAX; waited_ms += 20) {
        cairn_err_t err = write(f, i);
        if (err == CAIRN_OK)
            return true;
        CU_ASSERT_EQUAL_FATAL(err, CAIRN_ERR_DISK_FULL);
        cairn_thread_quiescent();
        usleep(20000);
    }
    return false;
}

static void fill_and_heal(fixture_t *f, uint64_t max_bytes)
{
    char room[16];
    unsigned count = fill(f);
    CU_ASSERT_FATAL(count > 100);
    for (unsigned i = 0; i < count; ++i) /* reads go on */
        CU_ASSERT_FALSE(fixture_has(f, key_of(i, room).base, NULL));
    CU_ASSERT_EQUAL(delete (f, 0), CAIRN_OK);
    for (unsigned i = 1; i < count; ++i)
        if (i % 10 != 0)
            CU_ASSERT_FATAL(comes_through(f, delete, i));
    /* more than was ever free at once: it comes back again and again */
    for (unsigned i = 0; i < count / 2; ++i)
        CU_ASSERT_FATAL(comes_through(f, put, count + i));
    for (unsigned i = 0; i < count; i += 10)
        if (i != 0)
            CU_ASSERT_FALSE(fixture_has(f, key_of(i, room).base, NULL));
    for (unsigned i = 0; i < count / 2; ++i)
        CU_ASSERT_FALSE(fixture_has(f, key_of(count + i, room).base, NULL));
    if (max_bytes != 0)
        CU_ASSERT(cairn_segments_bytes(&f->store->segments) <= max_bytes);
}

static void a_limit_in_memory(void)
{
    fixture_t f;
    uint64_t limit = 24 * SEGMENT_BYTES;
    fixture_init(&f, TEMP_DIR_IN_MEMORY);
    f.options.path = NULL;
    start(&f, limit);
    fill_and_heal(&f, limit);
    fixture_dispose(&f);
}

static void a_limit_on_disk(void)
{
    fixture_t f;
    uint64_t limit = 24 * SEGMENT_BYTES;
    fixture_init(&f, TEMP_DIR_IN_MEMORY);
    start(&f, limit);
    fill_and_heal(&f, limit);
    fixture_restart(&f);
    CU_ASSERT(fixture_has(&f, "k1", NULL));
    CU_ASSERT_FALSE(fixture_has(&f, "k10", NULL));
    fixture_dispose(&f);
}

/* overwriting what there is needs no more room than compaction gives back */
static void overwriting_under_a_limit(void)
{
    fixture_t f;
    uint64_t limit = 24 * SEGMENT_BYTES;
    fixture_init(&f, TEMP_DIR_IN_MEMORY);
    f.options.path = NULL;
    start(&f, limit);
    for (unsigned i = 0; i < 12000; ++i)
        CU_ASSERT_FATAL(comes_through(&f, put, i * 7919 % 900));
    CU_ASSERT(cairn_segments_bytes(&f.store->segments) <= limit);
    fixture_dispose(&f);
}

static void a_disk_that_is_full(void)
{
    fixture_t f;
    fixture_init(&f, TEMP_DIR_IN_MEMORY);
    if (mount("none", f.dir.path, "tmpfs", 0, "size=4m") != 0) {
        printf("skipped, needs to mount: %s ", strerror(errno));
        temp_dir_remove(&f.dir);
        return;
    }
    start(&f, 0);
    fill_and_heal(&f, 0);
    fixture_restart(&f);
    CU_ASSERT_FALSE(fixture_has(&f, "k10", NULL));
    CU_ASSERT_EQUAL(fixture_close(&f), CAIRN_OK);
    CU_ASSERT_EQUAL(umount(f.dir.path), 0);
    fixture_dispose(&f);
}

/* with a journal, blocks and delayed allocation: room is promised, and may not be there later */
static void a_real_disk_that_is_full(const char *type, uint64_t bytes)
{
    fixture_t f;
    loop_disk_t disk;
    if (!loop_disk_create(&disk, type, bytes, TEMP_DIR_IN_MEMORY)) {
        printf(" (skipped: %s) ", disk.error);
        return;
    }
    fixture_init(&f, TEMP_DIR_IN_MEMORY);
    f.options.path = disk.mount;
    start(&f, 0);
    fill_and_heal(&f, 0);
    fixture_restart(&f);
    CU_ASSERT_FALSE(fixture_has(&f, "k10", NULL));
    CU_ASSERT_FALSE(cairn_store_has_failed(f.store));
    fixture_dispose(&f);
    CU_ASSERT(loop_disk_destroy(&disk));
}

static void ext4_that_is_full(void)
{
    a_real_disk_that_is_full("ext4", (uint64_t)12 << 20);
}

void suite_room(void)
{
    CU_pSuite s = CU_add_suite("room: is a full store usable again?", NULL, NULL);
    CU_add_test(s, "a limit in memory", a_limit_in_memory);
    CU_add_test(s, "a limit on disk", a_limit_on_disk);
    CU_add_test(s, "overwriting under a limit", overwriting_under_a_limit);
    CU_add_test(s, "a disk that is full", a_disk_that_is_full);
    CU_add_test(s, "an ext4 that is full", ext4_that_is_full);
}
