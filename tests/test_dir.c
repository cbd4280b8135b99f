/*
 * Does a data directory know whose it is, and let nobody else in?
 */
#include "storage/dir.h"

#include <CUnit/CUnit.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/store_fixture.h"
#include "tests/suites.h"

static char errmsg[CAIRN_ERRMSG_BYTES];

static void what_is_noted_is_read_back(void)
{
    static const uint64_t numbers[] = {0, 1, 42, UINT32_MAX, (uint64_t)1 << 63, UINT64_MAX};
    fixture_t f;
    cairn_dir_t dir, again;
    fixture_init(&f, TEMP_DIR_IN_MEMORY);
    CU_ASSERT_EQUAL_FATAL(cairn_dir_open(&dir, f.dir.path, errmsg), CAIRN_OK);
    CU_ASSERT(dir.is_new);
    for (size_t i = 0; i < 6; ++i) {
        dir.accepted = numbers[(i + 1) % 6];
        CU_ASSERT_EQUAL(cairn_dir_note(&dir, numbers[i], numbers[5 - i]), CAIRN_OK);
        cairn_dir_close(&dir);
        CU_ASSERT_EQUAL_FATAL(cairn_dir_open(&again, f.dir.path, errmsg), CAIRN_OK);
        CU_ASSERT_FALSE(again.is_new);
        CU_ASSERT_EQUAL(again.newest_first, numbers[i]);
        CU_ASSERT_EQUAL(again.durable_version, numbers[5 - i]);
        CU_ASSERT_EQUAL(again.accepted, numbers[(i + 1) % 6]);
        CU_ASSERT(memcmp(again.uuid, dir.uuid, sizeof(dir.uuid)) == 0);
        dir = again;
    }
    cairn_dir_close(&dir);
    CU_ASSERT_EQUAL(access(fixture_path(&f, "STORE.tmp"), F_OK), -1);
    fixture_dispose(&f);
}

static void a_clean_stop_is_noted_until_the_next_note(void)
{
    static const cairn_closed_t closed = {.salt = UINT64_MAX, .end = 4711};
    fixture_t f;
    cairn_dir_t dir;
    fixture_init(&f, TEMP_DIR_IN_MEMORY);
    CU_ASSERT_EQUAL_FATAL(cairn_dir_open(&dir, f.dir.path, errmsg), CAIRN_OK);
    CU_ASSERT_EQUAL(cairn_dir_note_closed(&dir, 42, 57, &closed), CAIRN_OK);
    for (unsigned i = 0; i < 2; ++i) {
        cairn_dir_close(&dir);
        CU_ASSERT_EQUAL_FATAL(cairn_dir_open(&dir, f.dir.path, errmsg), CAIRN_OK);
        CU_ASSERT_EQUAL(dir.newest_first, 42);
        CU_ASSERT_EQUAL(dir.durable_version, 57);
        CU_ASSERT_EQUAL(dir.closed.salt, i == 0 ? closed.salt : 0);
        CU_ASSERT_EQUAL(dir.closed.end, i == 0 ? closed.end : 0);
        CU_ASSERT_EQUAL(cairn_dir_note(&dir, 42, 57), CAIRN_OK);
    }
    cairn_dir_close(&dir);
    fixture_dispose(&f);
}

static void one_level_is_made_and_not_two(void)
{
    fixture_t f;
    cairn_dir_t dir;
    char path[600];
    struct stat st;
    fixture_init(&f, TEMP_DIR_IN_MEMORY);
    snprintf(path, sizeof(path), "%s/data", f.dir.path);
    CU_ASSERT_EQUAL_FATAL(cairn_dir_open(&dir, path, errmsg), CAIRN_OK);
    CU_ASSERT_EQUAL(stat(path, &st), 0);
    CU_ASSERT_EQUAL(st.st_mode & 07, 0); /* nobody else's business */
    cairn_dir_close(&dir);
    snprintf(path, sizeof(path), "%s/not/there", f.dir.path);
    CU_ASSERT_EQUAL(cairn_dir_open(&dir, path, errmsg), CAIRN_ERR_IO);
    CU_ASSERT_PTR_NOT_NULL(strstr(errmsg, path));
    write_file(fixture_path(&f, "file"), "x", 1);
    snprintf(path, sizeof(path), "%s/file", f.dir.path);
    CU_ASSERT_EQUAL(cairn_dir_open(&dir, path, errmsg), CAIRN_ERR_IO);
    fixture_dispose(&f);
}

static void every_flipped_byte_of_store_is_refused(void)
{
    fixture_t f;
    cairn_dir_t dir;
    fixture_init(&f, TEMP_DIR_IN_MEMORY);
    CU_ASSERT_EQUAL_FATAL(cairn_dir_open(&dir, f.dir.path, errmsg), CAIRN_OK);
    CU_ASSERT_EQUAL(cairn_dir_note_closed(&dir, 42, 4711, &(cairn_closed_t){4711, 4096}), CAIRN_OK);
    cairn_dir_close(&dir);
    size_t count;
    uint8_t *store = read_file(fixture_path(&f, "STORE"), &count);
    CU_ASSERT_FATAL(count > 80);
    for (size_t bit = 0; bit < count * 8; ++bit) {
        store[bit / 8] ^= (uint8_t)(1 << bit % 8);
        write_file(fixture_path(&f, "STORE"), store, count);
        CU_ASSERT_EQUAL(cairn_dir_open(&dir, f.dir.path, errmsg), CAIRN_ERR_CORRUPT);
        CU_ASSERT_PTR_NOT_NULL(strstr(errmsg, "STORE"));
        store[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    for (size_t cut = 0; cut < count; ++cut) {
        write_file(fixture_path(&f, "STORE"), store, cut);
        CU_ASSERT_EQUAL(cairn_dir_open(&dir, f.dir.path, errmsg), CAIRN_ERR_CORRUPT);
    }
    uint8_t longer[700] = {0};
    memcpy(longer, store, count);
    for (size_t more = count + 1; more < 600; more += 50) {
        write_file(fixture_path(&f, "STORE"), longer, more);
        CU_ASSERT_EQUAL(cairn_dir_open(&dir, f.dir.path, errmsg), CAIRN_ERR_CORRUPT);
    }
    write_file(fixture_path(&f, "STORE"), store, count);
    CU_ASSERT_EQUAL(cairn_dir_open(&dir, f.dir.path, errmsg), CAIRN_OK);
    cairn_dir_close(&dir);
    free(store);
    fixture_dispose(&f);
}

static void another_process_is_kept_out(void)
{
    fixture_t f;
    cairn_dir_t dir;
    int ready[2], leave[2];
    fixture_init(&f, TEMP_DIR_IN_MEMORY);
    CU_ASSERT_FATAL(pipe(ready) == 0 && pipe(leave) == 0);
    pid_t child = fork();
    if (child == 0) {
        char byte = cairn_dir_open(&dir, f.dir.path, errmsg) == CAIRN_OK ? 'y' : 'n';
        if (write(ready[1], &byte, 1) != 1 || read(leave[0], &byte, 1) != 1)
            _exit(1);
        _exit(0); /* without closing: the lock goes with the process */
    }
    char byte = 'n';
    CU_ASSERT_FATAL(child > 0 && read(ready[0], &byte, 1) == 1);
    CU_ASSERT_EQUAL(byte, 'y');
    CU_ASSERT_EQUAL(cairn_dir_open(&dir, f.dir.path, errmsg), CAIRN_ERR_LOCKED);
    CU_ASSERT_PTR_NOT_NULL(strstr(errmsg, "another cairn"));
    CU_ASSERT_EQUAL(write(leave[1], "x", 1), 1);
    int status;
    CU_ASSERT_EQUAL(waitpid(child, &status, 0), child);
    CU_ASSERT_EQUAL(status, 0);
    CU_ASSERT_EQUAL(cairn_dir_open(&dir, f.dir.path, errmsg), CAIRN_OK);
    cairn_dir_close(&dir);
    for (int i = 0; i < 2; ++i) {
        close(ready[i]);
        close(leave[i]);
    }
    fixture_dispose(&f);
}

static void foreign_files_are_left_alone(void)
{
    static const char *const names[] = {"README",
                                        "x.seg",
                                        "0000000000000001-0000.seg.bak",
                                        "000000000000001-0000.keys",
                                        "1-0.seg",
                                        "000000000000001-0000.seg",
                                        "000000000000000A-0000.seg",
                                        "0x00000000000001-0000.seg",
                                        " 000000000000001-0000.seg",
                                        "STORE.tmp"};
    fixture_t f;
    fixture_init(&f, TEMP_DIR_IN_MEMORY);
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); ++i)
        write_file(fixture_path(&f, names[i]), "mine", 4);
    CU_ASSERT_EQUAL_FATAL(fixture_open(&f), CAIRN_OK);
    CU_ASSERT_EQUAL(fixture_put(&f, "k", "v").err, CAIRN_OK);
    fixture_restart(&f);
    CU_ASSERT(fixture_has(&f, "k", "v"));
    for (size_t i = 0; i + 1 < sizeof(names) / sizeof(names[0]); ++i) {
        size_t count;
        uint8_t *bytes = read_file(fixture_path(&f, names[i]), &count);
        CU_ASSERT(count == 4 && memcmp(bytes, "mine", 4) == 0);
        free(bytes);
    }
    fixture_dispose(&f);
}

static void segments_without_store_are_refused(void)
{
    static const char *const names[] = {"0000000000000001-0000.seg", "next.seg"};
    for (int i = 0; i < 2; ++i) {
        fixture_t f;
        cairn_dir_t dir;
        fixture_init(&f, TEMP_DIR_IN_MEMORY);
        write_file(fixture_path(&f, names[i]), "", 0);
        CU_ASSERT_EQUAL(cairn_dir_open(&dir, f.dir.path, errmsg), CAIRN_ERR_CORRUPT);
        CU_ASSERT_PTR_NOT_NULL(strstr(errmsg, "STORE"));
        CU_ASSERT_EQUAL(access(fixture_path(&f, "STORE"), F_OK), -1);
        fixture_dispose(&f);
    }
}

static void names_and_numbers_agree(void)
{
    static const uint64_t firsts[] = {1, 0x2a, UINT32_MAX, UINT64_MAX};
    static const uint32_t generations[] = {0, 1, 0xffff, 0x10000, UINT32_MAX};
    for (size_t i = 0; i < 4; ++i)
        for (size_t j = 0; j < 5; ++j) {
            char name[CAIRN_SEGMENT_NAME_BYTES];
            uint64_t first = 0;
            uint32_t generation = 9;
            cairn_segment_name(name, firsts[i], generations[j]);
            CU_ASSERT(cairn_segment_name_parse(name, &first, &generation));
            CU_ASSERT_EQUAL(first, firsts[i]);
            CU_ASSERT_EQUAL(generation, generations[j]);
        }
}

static void memory_only_touches_nothing(void)
{
    cairn_dir_t dir;
    CU_ASSERT_EQUAL_FATAL(cairn_dir_open(&dir, NULL, errmsg), CAIRN_OK);
    CU_ASSERT(cairn_dir_is_memory(&dir));
    CU_ASSERT_EQUAL(cairn_dir_note(&dir, 1, 2), CAIRN_OK);
    CU_ASSERT_EQUAL(cairn_dir_sync(&dir), CAIRN_OK);
    cairn_dir_close(&dir);
}

void suite_dir(void)
{
    CU_pSuite s = CU_add_suite("dir", NULL, NULL);
    CU_add_test(s, "what is noted in STORE is read back", what_is_noted_is_read_back);
    CU_add_test(s, "a clean stop is noted until the next note",
                a_clean_stop_is_noted_until_the_next_note);
    CU_add_test(s, "one missing level is made, two are not", one_level_is_made_and_not_two);
    CU_add_test(s, "a changed STORE is refused", every_flipped_byte_of_store_is_refused);
    CU_add_test(s, "another process is kept out", another_process_is_kept_out);
    CU_add_test(s, "foreign files are left alone", foreign_files_are_left_alone);
    CU_add_test(s, "segments without STORE are refused", segments_without_store_are_refused);
    CU_add_test(s, "names of segments and their numbers agree", names_and_numbers_agree);
    CU_add_test(s, "memory-only mode has no directory", memory_only_touches_nothing);
}
