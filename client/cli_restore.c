/*
 * client/cli_restore.c - restore: a snapshot becomes a data directory.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "client/cli_internal.h"

/** the exit status of verify for a store that a server serves, all but what is lost */
#define VERIFY_DEGRADED 3

typedef struct st_restore_t {
    const cli_t *cli;
    const char *from, *to;
    int from_fd, to_fd;
    cli_progress_t progress;
} restore_t;

static int fail(const restore_t *r, const char *dir, const char *name)
{
    return cli_failure(r->cli, "%s/%s: %s", dir, name, strerror(errno));
}

/** whether a directory holds nothing */
static bool is_empty(int fd)
{
    DIR *dir = fdopendir(dup(fd));
    bool is_empty = dir != NULL;
    for (const struct dirent *entry; dir != NULL && (entry = readdir(dir)) != NULL;)
        is_empty &= strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0;
    if (dir != NULL)
        closedir(dir);
    return is_empty;
}

static bool copy_bytes(restore_t *r, int from, int to, off_t left)
{
    while (left > 0) {
        /* shares the blocks where the file system can */
        ssize_t n = copy_file_range(from, NULL, to, NULL, (size_t)left, 0);
        if (n <= 0)
            return false;
        left -= n;
        cli_progress_add(&r->progress, 0, (uint64_t)n);
    }
    return true;
}

static int copy_file(restore_t *r, const char *name, const struct stat *st)
{
    int from = openat(r->from_fd, name, O_RDONLY | O_CLOEXEC);
    if (from < 0)
        return fail(r, r->from, name);
    int to = openat(r->to_fd, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    bool is_copied = to >= 0 && copy_bytes(r, from, to, st->st_size) && fsync(to) == 0 &&
                     fchmod(to, st->st_mode & 0777) == 0;
    int status = is_copied ? CLI_OK : fail(r, r->to, name);
    close(from);
    if (to >= 0)
        close(to);
    return status;
}

static int restore_file(restore_t *r, const char *name)
{
    struct stat st;
    if (fstatat(r->from_fd, name, &st, AT_SYMLINK_NOFOLLOW) != 0)
        return fail(r, r->from, name);
    if (!S_ISREG(st.st_mode))
        return cli_failure(r->cli, "%s/%s: a snapshot has nothing but files", r->from, name);
    if (!cli_has(r->cli, CLI_LINK)) {
        int status = copy_file(r, name, &st);
        cli_progress_add(&r->progress, status == CLI_OK, 0);
        return status;
    }
    if (linkat(r->from_fd, name, r->to_fd, name, 0) != 0)
        return fail(r, r->to, name);
    cli_progress_add(&r->progress, 1, (uint64_t)st.st_size);
    return CLI_OK;
}

static int restore_files(restore_t *r)
{
    int status = CLI_OK;
    DIR *dir = fdopendir(dup(r->from_fd));
    if (dir == NULL)
        return cli_failure(r->cli, "%s: %s", r->from, strerror(errno));
    for (const struct dirent *entry; status == CLI_OK && (entry = readdir(dir)) != NULL;)
        if (entry->d_name[0] != '.')
            status = restore_file(r, entry->d_name);
    closedir(dir);
    if (status == CLI_OK && fsync(r->to_fd) != 0)
        status = cli_failure(r->cli, "%s: %s", r->to, strerror(errno));
    return status;
}

static double bytes_in(int fd)
{
    struct stat st;
    double bytes = 0;
    DIR *dir = fdopendir(dup(fd));
    for (const struct dirent *entry; dir != NULL && (entry = readdir(dir)) != NULL;)
        if (fstatat(fd, entry->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(st.st_mode))
            bytes += (double)st.st_size;
    if (dir != NULL) {
        rewinddir(dir); /* the offset is shared with the descriptor that was copied */
        closedir(dir);
    }
    return bytes;
}

/** has this program verify what has been restored, every byte of it */
static int verify(const restore_t *r)
{
    int wait_status;
    if (cli_command_find("verify") == NULL)
        return CLI_OK; /* the server checks what it opens in any case */
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        /* only whether it is whole matters here; a report is asked for by hand */
        int null_fd = open("/dev/null", O_WRONLY);
        if (null_fd >= 0)
            dup2(null_fd, STDOUT_FILENO);
        execl("/proc/self/exe", "cairn", "verify", r->to, (char *)NULL);
        _exit(127);
    }
    if (pid < 0 || waitpid(pid, &wait_status, 0) != pid)
        return cli_failure(r->cli, "verify cannot be run: %s", strerror(errno));
    if (WIFEXITED(wait_status) && WEXITSTATUS(wait_status) == 0)
        return CLI_OK;
    if (WIFEXITED(wait_status) && WEXITSTATUS(wait_status) == VERIFY_DEGRADED) {
        fprintf(stderr,
                "%s is degraded, as the store was that the snapshot is of; 'cairn verify %s' says "
                "what is lost\n",
                r->to, r->to);
        return CLI_OK;
    }
    return cli_failure(r->cli, "%s is not whole, do not use it; 'cairn verify %s' says more", r->to,
                       r->to);
}

static int open_dirs(restore_t *r)
{
    struct stat st;
    r->from_fd = open(r->from, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (r->from_fd < 0)
        return cli_failure(r->cli, "%s: %s", r->from, strerror(errno));
    if (fstatat(r->from_fd, "STORE", &st, 0) != 0)
        return cli_failure(r->cli, "%s: is no snapshot; it has no file STORE", r->from);
    if (fstatat(r->from_fd, "LOCK", &st, 0) == 0)
        return cli_failure(r->cli,
                           "%s: is the data directory of a cairn (it has a file LOCK); a snapshot "
                           "is in its snapshots/",
                           r->from);
    if (mkdir(r->to, 0700) != 0 && errno != EEXIST)
        return cli_failure(r->cli, "%s: %s", r->to, strerror(errno));
    r->to_fd = open(r->to, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (r->to_fd < 0)
        return cli_failure(r->cli, "%s: %s", r->to, strerror(errno));
    if (!is_empty(r->to_fd))
        return cli_failure(r->cli, "%s: is not empty; nothing was changed", r->to);
    return CLI_OK;
}

int cli_restore(cli_t *cli)
{
    restore_t r = {
        .cli = cli, .from = cli->args[0], .to = cli->args[1], .from_fd = -1, .to_fd = -1};
    int status = open_dirs(&r);
    if (status == CLI_OK) {
        cli_progress_begin(cli, &r.progress, "files", bytes_in(r.from_fd));
        status = restore_files(&r);
        cli_progress_end(&r.progress);
    }
    if (status == CLI_OK)
        status = verify(&r);
    if (status == CLI_OK && cli_has(cli, CLI_JSON))
        cli_progress_print_json(&r.progress);
    else if (status == CLI_OK)
        printf("restored; start it with: cairn serve --data %s\n", r.to);
    if (r.from_fd >= 0)
        close(r.from_fd);
    if (r.to_fd >= 0)
        close(r.to_fd);
    return status;
}
