/*
 * tests/test_index_dump.c - an index written out, and loaded again.
 */
#include "tests/index_keys.h"

#include <pthread.h>

#include "tests/suites.h"

/* ---- dumps */

typedef struct st_file_t {
    char *bytes;
    size_t count, room;
    size_t fail_at;                     /* gives up when it would grow beyond, 0: never */
    void (*between)(void *between_ctx); /* what happens between two pieces */
    void *between_ctx;
} file_t;

static bool on_write(void *ctx, const void *bytes, size_t count)
{
    file_t *file = ctx;

    if (file->fail_at != 0 && file->count + count > file->fail_at)
        return false;
    while (file->count + count > file->room) {
        file->room = file->room == 0 ? 1 << 16 : file->room * 2;
        file->bytes = realloc(file->bytes, file->room);
    }
    memcpy(file->bytes + file->count, bytes, count);
    file->count += count;
    if (file->between != NULL)
        file->between(file->between_ctx);
    return true;
}

static void *map_copy(const char *bytes, size_t count)
{
    void *mapping = mmap(NULL, count, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    CU_ASSERT_TRUE_FATAL(mapping != MAP_FAILED);
    memcpy(mapping, bytes, count);
    return mapping;
}

static cairn_index_t *load_copy(const file_t *file)
{
    cairn_index_t *index = NULL;
    void *mapping = map_copy(file->bytes, file->count);

    CU_ASSERT_EQUAL(cairn_index_verify(mapping, file->count), CAIRN_INDEX_DUMP_OK);
    CU_ASSERT_EQUAL_FATAL(cairn_index_load(mapping, file->count, true, &index),
                          CAIRN_INDEX_DUMP_OK);
    return index;
}

static void round_trip(cairn_shape_t shape, hash_fn hash, uint64_t count)
{
    cairn_index_t *index = cairn_index_create_shaped(shape), *loaded;
    file_t file = {0};

    CU_ASSERT_TRUE(put_range(index, hash, 1, count));
    CU_ASSERT_EQUAL(cairn_index_dump(index, on_write, &file), CAIRN_INDEX_DUMP_OK);
    cairn_index_check(index);
    loaded = load_copy(&file);
    cairn_index_check(loaded);
    CU_ASSERT_EQUAL(keys_in(loaded), count - 1);
    CU_ASSERT_EQUAL(stash_count(loaded), stash_count(index));
    CU_ASSERT_TRUE(has_range(loaded, hash, 1, count));
    /* both grow on, the loaded one out of the mapping it came in, and shrink */
    CU_ASSERT_TRUE(put_range(loaded, hash, count, 3 * count));
    cairn_index_reclaim(loaded);
    CU_ASSERT_TRUE(put_range(index, hash, count, 3 * count));
    CU_ASSERT_TRUE(has_range(loaded, hash, 1, 3 * count));
    cairn_index_check(loaded);
    CU_ASSERT_TRUE(take_range(loaded, hash, 1, 3 * count));
    cairn_index_check(loaded);
    cairn_index_destroy(loaded);
    cairn_index_destroy(index);
    free(file.bytes);
}

static void dumps_come_back(void)
{
    round_trip(TINY, hash_good, 1);
    for (uint64_t count = 50; count < 2500; count += 2500 / loop(48))
        round_trip(TINY, hash_good, count);
    round_trip(TINY, hash_crowded, 500);
    round_trip(SMALL, hash_one, 200);
    round_trip(CAIRN_SHAPE, hash_good, 300000);
}

static void a_loaded_index_is_dropped_at_once(void)
{
    cairn_index_t *index = cairn_index_create_shaped(SMALL);
    file_t file = {0};

    CU_ASSERT_TRUE(put_range(index, hash_good, 1, 1000));
    CU_ASSERT_EQUAL(cairn_index_dump(index, on_write, &file), CAIRN_INDEX_DUMP_OK);
    cairn_index_destroy(load_copy(&file));
    cairn_index_destroy(index);
    free(file.bytes);
}

typedef struct st_busy_t {
    cairn_index_t *index;
    uint64_t next;
} busy_t;

/* changes between two pieces of a dump: keys come, others go, others move */
static void be_busy(void *ctx)
{
    busy_t *busy = ctx;
    cairn_loc_t old;

    for (int i = 0; i < 2000; ++i, ++busy->next) {
        CU_ASSERT_EQUAL(put(busy->index, hash_good, 500000 + busy->next, 1, &old),
                        CAIRN_INDEX_INSERTED);
        if (busy->next >= 1000)
            CU_ASSERT_EQUAL(take(busy->index, hash_good, 500000 + busy->next - 1000, &old),
                            CAIRN_INDEX_REPLACED);
        CU_ASSERT_EQUAL(put(busy->index, hash_good, 100001 + busy->next % 100000, 2, &old),
                        CAIRN_INDEX_REPLACED);
    }
    rcu_quiescent_state();
}

static void dumps_beside_changes(void)
{
    cairn_index_t *index = cairn_index_create(), *loaded;
    busy_t busy = {index, 0};
    file_t file = {.between = be_busy, .between_ctx = &busy};

    CU_ASSERT_TRUE(put_range(index, hash_good, 1, 300001));
    CU_ASSERT_EQUAL(cairn_index_dump(index, on_write, &file), CAIRN_INDEX_DUMP_OK);
    cairn_index_check(index);
    loaded = load_copy(&file);
    cairn_index_check(loaded);
    CU_ASSERT_TRUE(has_range(loaded, hash_good, 1, 100001));
    for (uint64_t key = 100001; key <= 300000; ++key) {
        cairn_loc_t loc = found_at(loaded, hash_good, key);
        CU_ASSERT_TRUE(loc == loc_of(key, 1) || loc == loc_of(key, 2));
    }
    cairn_index_destroy(loaded);
    cairn_index_destroy(index);
    free(file.bytes);
}

static void a_dump_that_is_stopped(void)
{
    cairn_index_t *index = cairn_index_create_shaped(SMALL);
    file_t file = {0};

    CU_ASSERT_TRUE(put_range(index, hash_good, 1, 1000));
    for (size_t at = 1; at < 12000; at += 1500) {
        file.count = 0;
        file.fail_at = at;
        CU_ASSERT_EQUAL(cairn_index_dump(index, on_write, &file), CAIRN_INDEX_DUMP_STOPPED);
    }
    for (int64_t after = 0; after < 3; ++after) {
        file_t other = {0};
        cairn_memory_fail_after(after);
        CU_ASSERT_EQUAL(cairn_index_dump(index, on_write, &other), CAIRN_INDEX_DUMP_NOMEM);
        cairn_memory_fail_after(-1);
        free(other.bytes);
    }
    /* sweeps are no longer paused: the tables still grow */
    unsigned before = generation_of(index);
    CU_ASSERT_TRUE(put_range(index, hash_good, 1000, 8000));
    CU_ASSERT_TRUE(generation_of(index) > before);
    cairn_index_check(index);
    cairn_index_destroy(index);
    free(file.bytes);
}

static void expect_refused(char *mapping, size_t count)
{
    cairn_index_t *index = NULL;
    cairn_index_dump_result_t result = cairn_index_load(mapping, count, true, &index);

    CU_ASSERT_TRUE(result == CAIRN_INDEX_DUMP_FOREIGN || result == CAIRN_INDEX_DUMP_SIZE ||
                   result == CAIRN_INDEX_DUMP_DAMAGED);
    CU_ASSERT_PTR_NULL_FATAL(index);
    CU_ASSERT_EQUAL(cairn_index_verify(mapping, count), result);
    CU_ASSERT_TRUE(strlen(cairn_index_dump_text(result)) > 10);
}

static void damaged_dumps(void)
{
    cairn_index_t *index = cairn_index_create_shaped(TINY);
    file_t file = {0};

    CU_ASSERT_TRUE(put_range(index, hash_crowded, 1, 400));
    CU_ASSERT_TRUE(stash_count(index) > 0);
    CU_ASSERT_EQUAL(cairn_index_dump(index, on_write, &file), CAIRN_INDEX_DUMP_OK);
    char *mapping = map_copy(file.bytes, file.count);
    for (size_t at = 0; at < file.count; ++at) {
        mapping[at] = (char)(mapping[at] ^ (1 << at % 8));
        expect_refused(mapping, file.count);
        mapping[at] = file.bytes[at];
    }
    for (size_t count = 0; count < file.count; count += count < 5000 ? 97 : 1)
        expect_refused(mapping, count);
    munmap(mapping, file.count);
    cairn_index_destroy(index);
    free(file.bytes);
}

/** which of three parts refuse it, a bit for each */
static unsigned refusing_parts(const char *bytes, size_t count)
{
    unsigned refusing = 0;
    for (unsigned part = 0; part < 3; ++part)
        refusing |=
            (unsigned)(cairn_index_verify_part(bytes, count, part, 3) != CAIRN_INDEX_DUMP_OK)
            << part;
    return refusing;
}

/* with many parts, what more than one of them looks at would be most of the work */
static void parts_of_a_dump(void)
{
    enum { BLOCK = 1 << 20, HEAD = 4096 };
    cairn_index_t *index = cairn_index_create_shaped(SMALL);
    file_t file = {0};

    CU_ASSERT_TRUE(put_range(index, hash_good, 1, 600000));
    CU_ASSERT_EQUAL(cairn_index_dump(index, on_write, &file), CAIRN_INDEX_DUMP_OK);
    size_t table_bytes = cairn_generation_bytes(SMALL, generation_of(index));
    CU_ASSERT_TRUE_FATAL(table_bytes > 4 * (size_t)BLOCK);
    CU_ASSERT_EQUAL(refusing_parts(file.bytes, file.count), 0);
    for (size_t at = 0; at < table_bytes; at += BLOCK) {
        file.bytes[HEAD + at] ^= 1;
        CU_ASSERT_EQUAL(refusing_parts(file.bytes, file.count), 1u << at / BLOCK % 3);
        file.bytes[HEAD + at] ^= 1;
    }
    const size_t tail[] = {HEAD + table_bytes, file.count - 1};
    for (size_t i = 0; i < 2; ++i) {
        file.bytes[tail[i]] ^= 1;
        CU_ASSERT_EQUAL(refusing_parts(file.bytes, file.count), 1);
        file.bytes[tail[i]] ^= 1;
    }
    cairn_index_destroy(index);
    free(file.bytes);
}

static bool is_anything(void *ctx, cairn_loc_t loc)
{
    return mix(*(uint64_t *)ctx ^ loc) % 4 == 0;
}

/* whatever the bytes say, nothing is read or written outside: the sanitizers watch */
static void forged_dumps(void)
{
    cairn_index_t *index = cairn_index_create_shaped(TINY);
    file_t file = {0};

    CU_ASSERT_TRUE(put_range(index, hash_good, 1, 700));
    CU_ASSERT_EQUAL(cairn_index_dump(index, on_write, &file), CAIRN_INDEX_DUMP_OK);
    size_t table_bytes = cairn_generation_bytes(TINY, generation_of(index));
    for (uint64_t seed = 0; seed < 40; ++seed) {
        uint64_t *mapping = map_copy(file.bytes, file.count), cursor = 0;
        cairn_index_t *forged = NULL;
        seen_t seen = {.keys = 0, .times = calloc(1, 1)};
        cairn_loc_t loc;

        for (size_t i = 4096 / 8; i < (4096 + table_bytes) / 8; ++i)
            if (mix(seed + i) % 4 < seed % 5)
                mapping[i] = mix(mapping[i] + seed);
        CU_ASSERT_EQUAL_FATAL(cairn_index_load(mapping, file.count, false, &forged),
                              CAIRN_INDEX_DUMP_OK);
        for (uint64_t key = 1; key < 3000; ++key) {
            uint64_t ctx = key + seed;
            cairn_index_find(forged, hash_good(key), is_anything, &ctx, &loc);
            cairn_index_put(forged, hash_good(key + 5000), is_anything, &ctx, key, &loc);
            cairn_index_remove(forged, hash_good(key), is_anything, &ctx, &loc);
        }
        while (cairn_index_walk(forged, &cursor, on_visit, &seen))
            ;
        free(seen.times);
        cairn_index_destroy(forged);
    }
    cairn_index_destroy(index);
    free(file.bytes);
}

/* ---- the suite */

void suite_index_dump(void)
{
    CU_pSuite s =
        CU_add_suite("index_dump: written out and loaded", join_grace_periods, leave_grace_periods);

    CU_add_test(s, "a dump comes back as the index it was, at every size", dumps_come_back);
    CU_add_test(s, "a loaded index can be dropped at once", a_loaded_index_is_dropped_at_once);
    CU_add_test(s, "a dump beside changes has every key that stays", dumps_beside_changes);
    CU_add_test(s, "a dump that is stopped leaves the index growing", a_dump_that_is_stopped);
    CU_add_test(s, "a dump with any byte flipped, or cut short, is refused", damaged_dumps);
    CU_add_test(s, "each byte of a dump is verified by one of its parts", parts_of_a_dump);
    CU_add_test(s, "a dump of forged tables harms nobody", forged_dumps);
}
