/*
 * storage/dir.c - the data directory.
 *
 * STORE is text, so that a person can look at it:
 *
 *     cairn store 1
 *     uuid 5f0c0d2f1d6a4d0c9a54b3c6a2f5e781
 *     newest 000000000000002a
 *     durable 57
 *     closed 8d1f0a3c55e0b721 4096
 *     sum 0123456789abcdef
 *
 * `closed` is there after a clean stop alone, and a line "accepted 5" before it where somebody has
 * taken note of versions that a salvage has lost. `sum` is XXH3-64 of all before it. Nothing else
 * may follow.
 */
#include "storage/dir_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include <xxhash.h>

#include "storage/os.h"

#define STORE_NAME CAIRN_STORE_NAME
#define STORE_TMP_NAME "STORE.tmp"
#define STORE_BYTES_MAX 512
#define ADVICE                                                                                     \
    "put the file back from a backup, or serve what can be proven with 'cairn serve --salvage'"

void cairn_segment_name(char name[CAIRN_SEGMENT_NAME_BYTES], uint64_t first_version,
                        uint32_t generation)
{
    snprintf(name, CAIRN_SEGMENT_NAME_BYTES, "%016" PRIx64 "-%04" PRIx32 ".seg", first_version,
             generation);
}

bool cairn_segment_name_parse(const char *name, uint64_t *first_version, uint32_t *generation)
{
    char canonical[CAIRN_SEGMENT_NAME_BYTES];
    if (sscanf(name, "%16" SCNx64 "-%8" SCNx32 ".seg", first_version, generation) != 2)
        return false;
    cairn_segment_name(canonical, *first_version, *generation);
    return strcmp(canonical, name) == 0;
}

static size_t format_store(const cairn_dir_t *dir, char *text)
{
    char uuid[2 * CAIRN_UUID_BYTES + 1];
    for (size_t i = 0; i < CAIRN_UUID_BYTES; ++i)
        snprintf(uuid + 2 * i, 3, "%02x", dir->uuid[i]);
    int n = snprintf(text, STORE_BYTES_MAX,
                     "cairn store 1\nuuid %s\nnewest %016" PRIx64 "\ndurable %" PRIu64 "\n", uuid,
                     dir->newest_first, dir->durable_version);
    if (dir->accepted != 0)
        n += snprintf(text + n, STORE_BYTES_MAX - (size_t)n, "accepted %" PRIu64 "\n",
                      dir->accepted);
    if (dir->closed.end != 0)
        n += snprintf(text + n, STORE_BYTES_MAX - (size_t)n, "closed %016" PRIx64 " %" PRIu64 "\n",
                      dir->closed.salt, dir->closed.end);
    uint64_t sum = XXH3_64bits(text, (size_t)n);
    n += snprintf(text + n, STORE_BYTES_MAX - (size_t)n, "sum %016" PRIx64 "\n", sum);
    return (size_t)n;
}

/** reads the text back; it is ours only if writing what was read gives the same bytes */
static bool parse_store(cairn_dir_t *dir, const char *text, size_t bytes)
{
    char uuid[2 * CAIRN_UUID_BYTES + 1], again[STORE_BYTES_MAX];
    if (sscanf(text, "cairn store 1\nuuid %32[0-9a-f]\nnewest %16" SCNx64 "\ndurable %" SCNu64 "\n",
               uuid, &dir->newest_first, &dir->durable_version) != 3 ||
        strlen(uuid) != 2 * CAIRN_UUID_BYTES)
        return false;
    const char *line = strstr(text, "\naccepted ");
    dir->accepted = 0;
    if (line != NULL && sscanf(line, "\naccepted %" SCNu64 "\n", &dir->accepted) != 1)
        return false;
    line = strstr(text, "\nclosed ");
    dir->closed = (cairn_closed_t){.end = 0};
    if (line != NULL && sscanf(line, "\nclosed %16" SCNx64 " %" SCNu64 "\n", &dir->closed.salt,
                               &dir->closed.end) != 2)
        return false;
    for (size_t i = 0; i < CAIRN_UUID_BYTES; ++i) {
        unsigned byte;
        if (sscanf(uuid + 2 * i, "%2x", &byte) != 1)
            return false;
        dir->uuid[i] = (uint8_t)byte;
    }
    return format_store(dir, again) == bytes && memcmp(again, text, bytes) == 0;
}

/** tries each bit; the one that makes the sum right was the wrong one */
static bool put_store_right(cairn_dir_t *dir, char *text, size_t bytes)
{
    for (size_t bit = 0; bit < 8 * bytes; ++bit) {
        char was = text[bit / 8];
        text[bit / 8] = (char)(was ^ 1 << bit % 8);
        if (parse_store(dir, text, bytes))
            return true;
        text[bit / 8] = was;
    }
    return false;
}

static cairn_err_t read_store(cairn_dir_t *dir, int fd, const char *path, bool salvages,
                              char *errmsg)
{
    char text[STORE_BYTES_MAX + 1];
    int64_t n = cairn_os->pread(fd, text, STORE_BYTES_MAX, 0);
    if (n < 0) {
        snprintf(errmsg, CAIRN_ERRMSG_BYTES, "%s/" STORE_NAME ": cannot be read: %s", path,
                 strerror((int)-n));
        return CAIRN_ERR_IO;
    }
    text[n] = '\0';
    if (parse_store(dir, text, (size_t)n))
        return CAIRN_OK;
    dir->store_is_right = salvages && put_store_right(dir, text, (size_t)n);
    if (dir->store_is_right)
        return CAIRN_OK;
    if (salvages)
        return cairn_dir_prove(dir, path, errmsg);
    snprintf(errmsg, CAIRN_ERRMSG_BYTES,
             "%s/" STORE_NAME ": not written by this version of cairn, or damaged; " ADVICE, path);
    return CAIRN_ERR_CORRUPT;
}

static bool is_segment(void *found, const char *name)
{
    uint64_t first_version;
    uint32_t generation;
    if (strcmp(name, CAIRN_SPARE_NAME) == 0 ||
        cairn_segment_name_parse(name, &first_version, &generation))
        *(bool *)found = true;
    return !*(bool *)found;
}

/** a first start: no STORE and nothing it could have described */
static cairn_err_t make_store(cairn_dir_t *dir, const char *path, bool salvages, char *errmsg)
{
    bool found = false;
    int r = cairn_os->list(dir->fd, is_segment, &found);
    if (r == 0 && found && salvages)
        return cairn_dir_prove(dir, path, errmsg);
    if (r == 0 && found) {
        snprintf(errmsg, CAIRN_ERRMSG_BYTES,
                 "%s: there are segments but no " STORE_NAME " file; " ADVICE, path);
        return CAIRN_ERR_CORRUPT;
    }
    if (r == 0)
        r = cairn_os->random(dir->uuid, sizeof(dir->uuid));
    if (r < 0) {
        snprintf(errmsg, CAIRN_ERRMSG_BYTES, "%s: " STORE_NAME " cannot be made: %s", path,
                 strerror(-r));
        return CAIRN_ERR_IO;
    }
    cairn_err_t err = cairn_dir_note(dir, 0, 0);
    if (err != CAIRN_OK) {
        snprintf(errmsg, CAIRN_ERRMSG_BYTES, "%s: " STORE_NAME " cannot be written%s", path,
                 err == CAIRN_ERR_DISK_FULL ? ": the disk is full" : "");
        return err;
    }
    dir->is_new = true;
    return CAIRN_OK;
}

/** the uuid is random, and told to nobody */
static void take_seed(cairn_dir_t *dir)
{
    dir->hash_seed = XXH3_64bits(dir->uuid, sizeof(dir->uuid));
}

static cairn_err_t open_dir(cairn_dir_t *dir, const char *path, bool salvages, char *errmsg)
{
    memset(dir, 0, sizeof(*dir));
    dir->fd = dir->lock_fd = -1;
    if (path == NULL) {
        dir->is_new = true;
        int r = cairn_os->random(dir->uuid, sizeof(dir->uuid));
        if (r < 0)
            snprintf(errmsg, CAIRN_ERRMSG_BYTES, "no random numbers: %s", strerror(-r));
        take_seed(dir);
        return r < 0 ? CAIRN_ERR_IO : CAIRN_OK;
    }

    dir->fd = cairn_os->open_dir(path, true);
    if (dir->fd < 0) {
        snprintf(errmsg, CAIRN_ERRMSG_BYTES, "%s: cannot be opened%s: %s", path,
                 dir->fd == -ENOENT ? " (the directory it is in must exist)" : "",
                 strerror(-dir->fd));
        return CAIRN_ERR_IO;
    }
    cairn_err_t err;
    dir->lock_fd = cairn_os->lock(dir->fd, "LOCK");
    if (dir->lock_fd < 0) {
        bool held = dir->lock_fd == -EWOULDBLOCK;
        snprintf(errmsg, CAIRN_ERRMSG_BYTES,
                 held ? "%s: another cairn is serving it" : "%s/LOCK: %s", path,
                 strerror(-dir->lock_fd));
        err = held ? CAIRN_ERR_LOCKED : CAIRN_ERR_IO;
        goto Fail;
    }
    int fd = cairn_os->open(dir->fd, STORE_NAME, O_RDONLY);
    if (fd == -ENOENT) {
        err = make_store(dir, path, salvages, errmsg);
    } else if (fd < 0) {
        snprintf(errmsg, CAIRN_ERRMSG_BYTES, "%s/" STORE_NAME ": %s", path, strerror(-fd));
        err = CAIRN_ERR_IO;
    } else {
        err = read_store(dir, fd, path, salvages, errmsg);
        cairn_os->close(fd);
    }
    if (err == CAIRN_OK) {
        take_seed(dir);
        return CAIRN_OK;
    }
Fail:
    cairn_dir_close(dir);
    return err;
}

cairn_err_t cairn_dir_open(cairn_dir_t *dir, const char *path, char *errmsg)
{
    return open_dir(dir, path, false, errmsg);
}

cairn_err_t cairn_dir_open_to_salvage(cairn_dir_t *dir, const char *path, char *errmsg)
{
    return open_dir(dir, path, true, errmsg);
}

uint64_t cairn_dir_durable_version(int dir_fd)
{
    char errmsg[CAIRN_ERRMSG_BYTES];
    cairn_dir_t dir = {.fd = dir_fd};
    int fd = cairn_os->open(dir_fd, STORE_NAME, O_RDONLY);
    if (fd < 0)
        return 0;
    cairn_err_t err = read_store(&dir, fd, "", false, errmsg);
    cairn_os->close(fd);
    return err == CAIRN_OK ? dir.durable_version : 0;
}

void cairn_dir_close(cairn_dir_t *dir)
{
    if (dir->lock_fd >= 0)
        cairn_os->close(dir->lock_fd);
    if (dir->fd >= 0)
        cairn_os->close(dir->fd);
    dir->fd = dir->lock_fd = -1;
}

static int write_aside(const cairn_dir_t *dir)
{
    char text[STORE_BYTES_MAX];
    struct iovec iov = {.iov_base = text, .iov_len = format_store(dir, text)};
    int fd = cairn_os->open(dir->fd, STORE_TMP_NAME, O_WRONLY | O_CREAT | O_TRUNC);
    if (fd < 0)
        return fd;
    int64_t n = cairn_os->pwritev(fd, &iov, 1, 0);
    int r = n < 0 ? (int)n : n < (int64_t)iov.iov_len ? -ENOSPC : cairn_os->sync(fd);
    cairn_os->close(fd);
    return r;
}

cairn_err_t cairn_dir_note_closed(cairn_dir_t *dir, uint64_t newest_first, uint64_t durable_version,
                                  const cairn_closed_t *closed)
{
    if (cairn_dir_is_memory(dir))
        return CAIRN_OK;
    dir->newest_first = newest_first;
    dir->durable_version = durable_version;
    dir->closed = *closed;
    int r = write_aside(dir);
    if (r == 0)
        r = cairn_os->rename(dir->fd, STORE_TMP_NAME, STORE_NAME);
    if (r < 0)
        return r == -ENOSPC || r == -EDQUOT ? CAIRN_ERR_DISK_FULL : CAIRN_ERR_IO;
    return cairn_dir_sync(dir);
}

cairn_err_t cairn_dir_note(cairn_dir_t *dir, uint64_t newest_first, uint64_t durable_version)
{
    static const cairn_closed_t not_closed;
    return cairn_dir_note_closed(dir, newest_first, durable_version, &not_closed);
}

cairn_err_t cairn_dir_sync(const cairn_dir_t *dir)
{
    if (cairn_dir_is_memory(dir))
        return CAIRN_OK;
    return cairn_os->sync_dir(dir->fd) < 0 ? CAIRN_ERR_IO : CAIRN_OK;
}
