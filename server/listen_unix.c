/*
 * server/listen_unix.c - a Unix socket and its file.
 *
 * The file outlives a server that crashed, and says nothing of whether one still listens: only a
 * connection tells. Between looking and replacing, another server may do the same; a lock on the
 * directory keeps the two apart, and leaves nothing behind.
 */
#include "server/listen_unix.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

/** the server's user and group */
#define MODE 0660

static struct sockaddr_un address_of(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    memcpy(address.sun_path, path, strlen(path) + 1);
    return address;
}

static int open_socket(void)
{
    return socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
}

/** whether somebody listens: a backlog that is full (EAGAIN) is somebody's too */
static bool is_live(const char *path)
{
    struct sockaddr_un address = address_of(path);
    int fd = open_socket();
    if (fd < 0)
        return true;
    bool live =
        connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0 || errno != ECONNREFUSED;
    close(fd);
    return live;
}

/** NULL when nothing is in the way any more, or what is */
static const char *clear_way(const char *path)
{
    struct stat st;
    if (lstat(path, &st) != 0)
        return errno == ENOENT ? NULL : strerror(errno);
    if (!S_ISSOCK(st.st_mode))
        return "a file that is no socket is there";
    if (is_live(path))
        return "another server is running there";
    return unlink(path) == 0 ? NULL : strerror(errno);
}

/** nobody can connect before listen(), so the mode is right from the start */
static const char *bind_and_listen(int fd, const char *path, int backlog)
{
    struct sockaddr_un address = address_of(path);
    if (bind(fd, (struct sockaddr *)&address, sizeof(address)) != 0)
        return strerror(errno);
    if (chmod(path, MODE) == 0 && listen(fd, backlog) == 0)
        return NULL;
    const char *fault = strerror(errno);
    unlink(path);
    return fault;
}

/** a descriptor that holds the lock until it is closed; -1 with `errno` */
static int lock_directory(const char *path)
{
    char directory[CAIRN_ADDRESS_PATH_BYTES];
    size_t bytes = (size_t)(strrchr(path, '/') - path);
    snprintf(directory, sizeof(directory), "%.*s", (int)(bytes != 0 ? bytes : 1), path);
    int fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd >= 0)
        flock(fd, LOCK_EX); /* a file system without locks is no reason not to serve */
    return fd;
}

/** listens under another name, which then becomes the path: at no moment is there nobody */
static const char *replace(int fd, const char *path, int backlog)
{
    char beside[CAIRN_ADDRESS_PATH_BYTES];
    struct stat st;
    if (snprintf(beside, sizeof(beside), "%s.new", path) >= (int)sizeof(beside))
        return "its path is too long for a takeover, which needs four bytes more";
    if (lstat(path, &st) == 0 && !S_ISSOCK(st.st_mode))
        return "a file that is no socket is there";
    const char *fault = clear_way(beside);
    if (fault == NULL)
        fault = bind_and_listen(fd, beside, backlog);
    if (fault == NULL && rename(beside, path) != 0) {
        fault = strerror(errno);
        unlink(beside);
    }
    return fault;
}

int cairn_listen_unix(const char *path, int backlog, bool takes_over, const char **fault)
{
    int directory_fd = lock_directory(path);
    int fd = open_socket();
    if (directory_fd < 0 || fd < 0)
        *fault = strerror(errno);
    else if (takes_over)
        *fault = replace(fd, path, backlog);
    else if ((*fault = clear_way(path)) == NULL)
        *fault = bind_and_listen(fd, path, backlog);
    if (directory_fd >= 0)
        close(directory_fd);
    if (*fault != NULL && fd >= 0) {
        close(fd);
        fd = -1;
    }
    return fd;
}
