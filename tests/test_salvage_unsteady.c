/*
 * A salvage of a disk that does not read the same each time: what it could not read a moment ago it
 * can, or the other way round. Is nothing left out, and nothing said twice?
 */
#include <CUnit/CUnit.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "storage/os.h"
#include "tests/salvage_tools.h"
#include "tests/suites.h"

/* what changes when the file that takes the damaged one's place is made: one byte of that */
static struct {
    const cairn_os_t *beneath;
    cairn_os_t over;
    char path[400];
    off_t at;
    bool is_staged;
} unsteady;

static void turn_over(void)
{
    uint8_t byte;
    int fd = open(unsteady.path, O_RDWR);
    CU_ASSERT_FATAL(fd >= 0);
    CU_ASSERT_EQUAL(pread(fd, &byte, 1, unsteady.at), 1);
    byte ^= 4;
    CU_ASSERT_EQUAL(pwrite(fd, &byte, 1, unsteady.at), 1);
    close(fd);
}

static int open_and_change(int dir, const char *name, int flags)
{
    if (unsteady.is_staged && (flags & O_CREAT) != 0 && strstr(name, ".seg.tmp") != NULL) {
        unsteady.is_staged = false;
        turn_over();
    }
    return unsteady.beneath->open(dir, name, flags);
}

/** the value of this key reads another way once the first look is over */
static void stage(const fixture_t *f, unsigned key)
{
    size_t bytes;
    snprintf(unsteady.path, sizeof(unsteady.path), "%s", fixture_path(f, SALVAGE_FIRST));
    uint8_t *content = read_file(unsteady.path, &bytes);
    unsteady.at =
        (off_t)salvage_find_last(content, bytes, salvage_key(key)) + CAIRN_RECORD_HEAD_BYTES + 1000;
    free(content);
    unsteady.is_staged = true;
}

/** key 5 is damaged; one of them reads another way in the middle of the salvage */
static void salvage_with(unsigned key)
{
    fixture_t f;
    salvage_make_store(&f);
    salvage_damage(&f, SALVAGE_FIRST, salvage_key(5), salvage_flip_body);
    stage(&f, key);
    unsteady.beneath = cairn_os;
    unsteady.over = *cairn_os;
    unsteady.over.open = open_and_change;
    cairn_os = &unsteady.over;
    cairn_err_t err = salvage_open(&f);
    cairn_os = unsteady.beneath;
    CU_ASSERT_FALSE(unsteady.is_staged);
    CU_ASSERT_EQUAL_FATAL(err, CAIRN_ERR_IO);
    CU_ASSERT_PTR_NOT_NULL(strstr(f.errmsg, "has not read the same twice"));
    CU_ASSERT_EQUAL(access(fixture_path(&f, SALVAGE_FIRST), F_OK), 0);
    err = salvage_open(&f);
    CU_ASSERT_EQUAL_FATAL(err, CAIRN_OK);
    salvage_check(&f, 5, key == 5 ? 5 : 7);
    fixture_dispose(&f);
}

static void what_can_be_read_in_the_end_is_not_lost(void)
{
    salvage_with(5);
}

static void what_cannot_be_read_any_more_is_not_left_out(void)
{
    salvage_with(6);
}

void suite_salvage_unsteady(void)
{
    CU_pSuite s = CU_add_suite("salvage: a disk that is not steady", NULL, NULL);
    CU_add_test(s, "what can be read in the end is not lost",
                what_can_be_read_in_the_end_is_not_lost);
    CU_add_test(s, "what cannot be read any more is not left out",
                what_cannot_be_read_any_more_is_not_left_out);
}
