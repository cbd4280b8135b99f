/*
 * storage/os.c - the real system behind storage/os.h.
 */
#include "storage/os.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>

#include <linux/magic.h>

static inline int result(int r)
{
    return r < 0 ? -errno : r;
}

static int real_open_dir(const char *path, bool create)
{
    bool created = create && mkdir(path, 0750) == 0;
    if (create && !created && errno != EEXIST)
        return -errno;
    int fd = result(open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (created && fd >= 0) {
        /* a new directory is durable once its parent is */
        int parent = openat(fd, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (parent >= 0) {
            fsync(parent);
            close(parent);
        }
    }
    return fd;
}

static int real_list(int dir, cairn_os_entry_cb on_entry, void *ctx)
{
    int fd = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *d = fd >= 0 ? fdopendir(fd) : NULL;
    if (d == NULL) {
        int err = errno;
        if (fd >= 0)
            close(fd);
        return -err;
    }
    struct dirent *entry;
    errno = 0;
    while ((entry = readdir(d)) != NULL) {
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0 &&
            !on_entry(ctx, entry->d_name))
            break;
        errno = 0;
    }
    int err = entry == NULL ? errno : 0;
    closedir(d);
    return -err;
}

static int real_sync_dir(int dir)
{
    return result(fsync(dir));
}

static int real_rename(int dir, const char *from, const char *to)
{
    return result(renameat(dir, from, dir, to));
}

static int real_unlink(int dir, const char *name)
{
    return result(unlinkat(dir, name, 0));
}

static int real_make_dir(int dir, const char *name)
{
    return result(mkdirat(dir, name, 0750));
}

static int real_open_subdir(int dir, const char *name)
{
    return result(openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
}

static int real_remove_dir(int dir, const char *name)
{
    return result(unlinkat(dir, name, AT_REMOVEDIR));
}

static int real_link(int dir, const char *name, int to_dir)
{
    return result(linkat(dir, name, to_dir, name, 0));
}

static int real_lock(int dir, const char *name)
{
    int fd = openat(dir, name, O_RDWR | O_CREAT | O_CLOEXEC, 0640);
    if (fd < 0)
        return -errno;
    if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
        int err = errno;
        close(fd);
        return -err;
    }
    return fd;
}

static int real_open(int dir, const char *name, int flags)
{
    return result(openat(dir, name, flags | O_CLOEXEC, 0640));
}

static int real_memory_file(const char *name)
{
    return result(memfd_create(name, MFD_CLOEXEC));
}

static int real_close(int fd)
{
    return result(close(fd));
}

static int64_t real_size(int fd)
{
    struct stat st;
    return fstat(fd, &st) == 0 ? (int64_t)st.st_size : -errno;
}

static int real_preallocate(int fd, uint64_t bytes)
{
    int err;
    do
        err = posix_fallocate(fd, 0, (off_t)bytes);
    while (err == EINTR);
    return -err;
}

static int real_truncate(int fd, uint64_t bytes)
{
    return result(ftruncate(fd, (off_t)bytes));
}

static int real_make_readonly(int fd)
{
    return result(fchmod(fd, 0440));
}

static int64_t real_pread(int fd, void *base, size_t count, uint64_t offset)
{
    ssize_t r;
    do
        r = pread(fd, base, count, (off_t)offset);
    while (r < 0 && errno == EINTR);
    return r < 0 ? -errno : r;
}

static int64_t real_pwritev(int fd, const struct iovec *iov, int iov_count, uint64_t offset)
{
    ssize_t r;
    do
        r = pwritev(fd, iov, iov_count, (off_t)offset);
    while (r < 0 && errno == EINTR);
    return r < 0 ? -errno : r;
}

static int real_read_ahead(int fd, uint64_t offset, uint64_t bytes)
{
    return -posix_fadvise(fd, (off_t)offset, (off_t)bytes, POSIX_FADV_WILLNEED);
}

static int real_sync(int fd)
{
    /* not retried on any error, EINTR included: a second fdatasync that returns 0 proves nothing
     * about the pages the first one gave up on */
    return result(fdatasync(fd));
}

static int real_drop_cache(int fd)
{
    return -posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
}

static bool real_overwrites_in_place(int fd)
{
    struct statfs fs;
    if (fstatfs(fd, &fs) != 0)
        return false;
    return fs.f_type == EXT4_SUPER_MAGIC || fs.f_type == XFS_SUPER_MAGIC;
}

static void *real_reserve(size_t bytes)
{
    void *base = mmap(NULL, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return base == MAP_FAILED ? NULL : base;
}

static int real_unreserve(void *base, size_t bytes)
{
    return result(munmap(base, bytes));
}

static int real_map(void *at, size_t bytes, int fd)
{
    if (mmap(at, bytes, PROT_READ, MAP_SHARED | MAP_FIXED, fd, 0) == MAP_FAILED)
        return -errno;
    /* faults bring in what is asked for and nothing around it: with a large default read-ahead one
     * 4 KiB read would cost a millisecond */
    madvise(at, bytes, MADV_RANDOM);
    return 0;
}

static int real_unmap(void *at, size_t bytes)
{
    void *base =
        mmap(at, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0);
    return base == MAP_FAILED ? -errno : 0;
}

/** widens a range to whole pages, as madvise wants it */
static void page_range(const void *base, size_t bytes, void **from, size_t *count)
{
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
    uintptr_t begin = (uintptr_t)base & ~(page - 1);
    uintptr_t end = ((uintptr_t)base + bytes + page - 1) & ~(page - 1);
    *from = (void *)begin;
    *count = end - begin;
}

static int real_will_need(const void *base, size_t bytes)
{
    void *from;
    size_t count;
    page_range(base, bytes, &from, &count);
    return result(madvise(from, count, MADV_WILLNEED));
}

#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ 22
#endif

static int real_populate(const void *base, size_t bytes)
{
    void *from;
    size_t count;
    page_range(base, bytes, &from, &count);
    int r;
    do
        r = madvise(from, count, MADV_POPULATE_READ);
    while (r != 0 && errno == EINTR);
    return result(r);
}

static bool real_is_resident(const void *base, size_t bytes)
{
    unsigned char pages[64];
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    void *from;
    size_t count;
    page_range(base, bytes, &from, &count);
    for (size_t done = 0; done < count;) {
        size_t step = count - done < sizeof(pages) * page ? count - done : sizeof(pages) * page;
        if (mincore((char *)from + done, step, pages) != 0)
            return false;
        for (size_t i = 0; i < step / page; ++i)
            if ((pages[i] & 1) == 0)
                return false;
        done += step;
    }
    return true;
}

/** what the system gives at a time where it can */
#define HUGE_PAGE_BYTES ((size_t)2 << 20)

/** begins at a huge page: what two threads fill side by side does not share one at its border */
static void *real_alloc_pages(size_t bytes)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE), kept = (bytes + page - 1) & ~(page - 1);
    uint8_t *from = mmap(NULL, kept + HUGE_PAGE_BYTES, PROT_READ | PROT_WRITE,
                         MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (from == MAP_FAILED)
        return NULL;
    size_t before = HUGE_PAGE_BYTES - (uintptr_t)from % HUGE_PAGE_BYTES;
    uint8_t *base = from + before;
    munmap(from, before);
    if (before != HUGE_PAGE_BYTES)
        munmap(base + kept, HUGE_PAGE_BYTES - before);
    /* a fault for each 4 KiB would take longer than reading what goes there */
    madvise(base, bytes, MADV_HUGEPAGE);
    return base;
}

static void real_free_pages(void *base, size_t bytes)
{
    munmap(base, bytes);
}

static int real_random(void *base, size_t count)
{
    size_t done = 0;
    while (done < count) {
        ssize_t r = getrandom((char *)base + done, count - done, 0);
        if (r < 0 && errno != EINTR)
            return -errno;
        done += r > 0 ? (size_t)r : 0;
    }
    return 0;
}

static int real_on_bus_error(void (*handler)(int signo, siginfo_t *info, void *context))
{
    /* not blocked while it is handled: the handler jumps away, and the mask is not restored */
    struct sigaction action = {.sa_sigaction = handler, .sa_flags = SA_SIGINFO | SA_NODEFER};
    sigemptyset(&action.sa_mask);
    return result(sigaction(SIGBUS, &action, NULL));
}

static unsigned real_processors(void)
{
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof(set), &set) == 0)
        return (unsigned)CPU_COUNT(&set);
    /* more than cpu_set_t has bits */
    long online = sysconf(_SC_NPROCESSORS_ONLN);
    return online > 0 ? (unsigned)online : 1;
}

/** what Linux knows of it since 6.12; before, it has no effect */
#define GIVE_WAY_SLICE_NS ((uint64_t)20 * 1000000)

/**
 * It asks for long turns, so those who ask for shorter ones get theirs first and at once, and does
 * not interrupt anyone when it wakes up; its share of the processor stays what it was.
 */
static int real_give_way(void)
{
    struct {
        uint32_t size, policy;
        uint64_t flags;
        int32_t nice;
        uint32_t priority;
        uint64_t runtime, deadline, period;
    } attr = {.size = sizeof(attr), .policy = SCHED_BATCH, .runtime = GIVE_WAY_SLICE_NS};
    attr.nice = getpriority(PRIO_PROCESS, 0);
    return result((int)syscall(SYS_sched_setattr, 0, &attr, 0u));
}

/** "ran waited turns", see sched-stats of the kernel's documentation */
static int real_turns(uint64_t *count, uint64_t *waited_ns)
{
    char text[64];
    int fd = open("/proc/thread-self/schedstat", O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    ssize_t bytes = read(fd, text, sizeof(text) - 1);
    close(fd);
    text[bytes > 0 ? bytes : 0] = 0;
    /* a kernel that does not count says zeroes; who asks has had a turn */
    bool is_told = sscanf(text, "%*u %" SCNu64 " %" SCNu64, waited_ns, count) == 2 && *count != 0;
    return is_told ? 0 : -ENOENT;
}

static uint64_t real_now_ms(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_REALTIME, &ts);
    return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

static uint64_t real_monotonic_ns(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

static uint64_t real_coarse_ms(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC_COARSE, &ts);
    return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

const cairn_os_t cairn_os_real = {
    .open_dir = real_open_dir,
    .list = real_list,
    .sync_dir = real_sync_dir,
    .rename = real_rename,
    .unlink = real_unlink,
    .make_dir = real_make_dir,
    .open_subdir = real_open_subdir,
    .remove_dir = real_remove_dir,
    .link = real_link,
    .lock = real_lock,
    .open = real_open,
    .memory_file = real_memory_file,
    .close = real_close,
    .size = real_size,
    .preallocate = real_preallocate,
    .truncate = real_truncate,
    .make_readonly = real_make_readonly,
    .pread = real_pread,
    .pwritev = real_pwritev,
    .read_ahead = real_read_ahead,
    .sync = real_sync,
    .drop_cache = real_drop_cache,
    .overwrites_in_place = real_overwrites_in_place,
    .reserve = real_reserve,
    .unreserve = real_unreserve,
    .map = real_map,
    .unmap = real_unmap,
    .will_need = real_will_need,
    .populate = real_populate,
    .is_resident = real_is_resident,
    .alloc = malloc,
    .calloc = calloc,
    .free = free,
    .alloc_pages = real_alloc_pages,
    .free_pages = real_free_pages,
    .processors = real_processors,
    .give_way = real_give_way,
    .turns = real_turns,
    .random = real_random,
    .on_bus_error = real_on_bus_error,
    .now_ms = real_now_ms,
    .monotonic_ns = real_monotonic_ns,
    .coarse_ms = real_coarse_ms,
};

const cairn_os_t *cairn_os = &cairn_os_real;
