/*
 * A private directory for one test.
 */
#include "tests/temp_dir.h"

#include <errno.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

/* how many directories nftw() holds open at once; deeper trees still work, only more slowly */
#define OPEN_DIRS_MAX 16

static const char *parent_of(temp_dir_place_t place)
{
    if (place == TEMP_DIR_IN_MEMORY)
        return "/dev/shm";
    const char *from_environment = getenv("TMPDIR");
    return from_environment != NULL && from_environment[0] != '\0' ? from_environment : "/tmp";
}

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *at)
{
    (void)st;
    (void)kind;
    (void)at;
    return remove(path);
}

bool temp_dir_create(temp_dir_t *dir, temp_dir_place_t place)
{
    int length = snprintf(dir->path, sizeof(dir->path), "%s/cairn-test-XXXXXX", parent_of(place));
    if (length >= (int)sizeof(dir->path)) {
        errno = ENAMETOOLONG;
        dir->path[0] = '\0';
        return false;
    }
    if (mkdtemp(dir->path) == NULL) {
        dir->path[0] = '\0';
        return false;
    }
    return true;
}

bool temp_dir_remove(temp_dir_t *dir)
{
    if (dir->path[0] == '\0')
        return true;
    bool is_gone = nftw(dir->path, remove_one, OPEN_DIRS_MAX, FTW_DEPTH | FTW_PHYS) == 0;
    dir->path[0] = '\0';
    return is_gone;
}
