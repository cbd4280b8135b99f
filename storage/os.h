/*
 * storage/os.h - every call storage makes to the system, behind one table.
 *
 * Storage asks the kernel and the allocator for nothing except through `cairn_os`, so that a test
 * can stage "the third write finds a full disk" or keep a whole simulated disk behind it.
 *
 * Results follow one rule: a call that can fail returns a negative errno value, never -1 with
 * errno. Threads: every function may be called from any thread. `cairn_os` itself is changed only
 * while no store is open.
 */
#ifndef CAIRN_STORAGE_OS_H
#define CAIRN_STORAGE_OS_H

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

/** called by `list` for each directory entry but . and ..; returns false to stop */
typedef bool (*cairn_os_entry_cb)(void *ctx, const char *name);

typedef struct st_cairn_os_t {
    /* directories; `name` is relative to `dir` */
    int (*open_dir)(const char *path, bool create); /* a descriptor; creates one level, mode 0750 */
    int (*list)(int dir, cairn_os_entry_cb on_entry, void *ctx);
    int (*sync_dir)(int dir);
    int (*rename)(int dir, const char *from, const char *to);
    int (*unlink)(int dir, const char *name);
    int (*make_dir)(int dir, const char *name);         /* mode 0750; -EEXIST */
    int (*open_subdir)(int dir, const char *name);      /* a descriptor */
    int (*remove_dir)(int dir, const char *name);       /* an empty one */
    int (*link)(int dir, const char *name, int to_dir); /* a second name, the same, elsewhere */
    int (*lock)(int dir, const char *name); /* a descriptor that holds the lock; -EWOULDBLOCK */

    /* files */
    int (*open)(int dir, const char *name, int flags); /* O_CLOEXEC is added; created files 0640 */
    int (*memory_file)(const char *name);              /* lives in memory only */
    int (*close)(int fd);
    int64_t (*size)(int fd);
    int (*preallocate)(int fd, uint64_t bytes); /* extends and reserves; -ENOSPC when too full */
    int (*truncate)(int fd, uint64_t bytes);
    int (*make_readonly)(int fd);
    int64_t (*pread)(int fd, void *base, size_t count, uint64_t offset);
    int64_t (*pwritev)(int fd, const struct iovec *iov, int iov_count, uint64_t offset);
    int (*read_ahead)(int fd, uint64_t offset, uint64_t bytes); /* start reading it in */
    int (*sync)(int fd);                                        /* fdatasync */
    int (*drop_cache)(int fd);           /* forget clean pages: what is read next is on disk */
    bool (*overwrites_in_place)(int fd); /* false on copy-on-write file systems */

    /* maps */
    void *(*reserve)(size_t bytes); /* address space only, nothing accessible; NULL if refused */
    int (*unreserve)(void *base, size_t bytes);
    int (*map)(void *at, size_t bytes,
               int fd);                   /* read-only, shared, over a piece of a reservation */
    int (*unmap)(void *at, size_t bytes); /* gives the piece back to the reservation */
    int (*will_need)(const void *base, size_t bytes); /* start reading it in */
    int (*populate)(const void *base,
                    size_t bytes); /* wait for it; -EFAULT when it cannot be read */
    bool (*is_resident)(const void *base, size_t bytes); /* of a map */

    /* memory */
    void *(*alloc)(size_t bytes); /* NULL when there is none */
    void *(*calloc)(size_t count, size_t bytes);
    void (*free)(void *base);
    void *(*alloc_pages)(size_t bytes);           /* zeroed whole pages for much data; NULL */
    void (*free_pages)(void *base, size_t bytes); /* munmap */

    /* the rest */
    unsigned (*processors)(void); /* that the process may run on, at least one */
    int (*give_way)(void);        /* who wants the processor gets it before the calling thread */
    /* how often the calling thread has been given a processor, and how long it waited for that
     * while it could have run; -ENOENT where the kernel does not count that */
    int (*turns)(uint64_t *count, uint64_t *waited_ns);
    int (*random)(void *base, size_t count);
    /* SIGBUS goes to `handler` from now on: a map whose file cannot be read is touched */
    int (*on_bus_error)(void (*handler)(int signo, siginfo_t *info, void *context));
    uint64_t (*now_ms)(void); /* wall clock, Unix epoch */
    uint64_t (*monotonic_ns)(void);
    uint64_t (*coarse_ms)(void); /* monotonic, a few ms behind, nearly free; for ageing things */
} cairn_os_t;

/** the table in use: the real system unless a test has put its own here */
extern const cairn_os_t *cairn_os;

/** the real system */
extern const cairn_os_t cairn_os_real;

#endif
