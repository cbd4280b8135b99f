/*
 * The real system, except where a test says otherwise.
 */
#include "tests/fault_os.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

#include "storage/os.h"

/* atomics throughout: orders are given by one thread while others call */
static struct {
    _Atomic uint64_t calls[FAULT_FUNCTION_COUNT];
    _Atomic uint64_t calls_when_fired[FAULT_FUNCTION_COUNT];
    _Atomic uint64_t fail_at; /* a count of calls of fail_function; 0 for never */
    _Atomic int fail_function;
    _Atomic int error;
    _Atomic bool for_good;
    _Atomic bool fired;
    _Atomic uint64_t short_at;
    _Atomic size_t short_bytes;
    _Atomic uint64_t changes;
    _Atomic uint64_t freeze_after; /* UINT64_MAX for never */
    _Atomic bool tear;
    _Atomic int in_place; /* -1: ask the real one */
} state;

/** counts the call; the error it is to fail with, or 0 */
static int failure(fault_function_t function)
{
    uint64_t call = atomic_fetch_add(&state.calls[function], 1) + 1;
    uint64_t at = atomic_load(&state.fail_at);
    if (at == 0 || atomic_load(&state.fail_function) != (int)function)
        return 0;
    if (call != at && !(call > at && atomic_load(&state.for_good)))
        return 0;
    if (!atomic_exchange(&state.fired, true))
        for (int i = 0; i < FAULT_FUNCTION_COUNT; ++i)
            atomic_store(&state.calls_when_fired[i],
                         atomic_load(&state.calls[i]) - (i == (int)function));
    return atomic_load(&state.error);
}

typedef enum en_change_t { GO_ON, LAST_ONE, FROZEN } change_t;

static change_t change(void)
{
    uint64_t done = atomic_fetch_add(&state.changes, 1) + 1;
    uint64_t last = atomic_load(&state.freeze_after);
    return done < last ? GO_ON : done == last ? LAST_ONE : FROZEN;
}

#define FAIL_IF_STAGED(name)                                                                       \
    do {                                                                                           \
        int staged = failure(FAULT_##name);                                                        \
        if (staged != 0)                                                                           \
            return -staged;                                                                        \
    } while (0)

/* a frozen call is one that the dead process never made */
#define FAIL_IF_FROZEN()                                                                           \
    do {                                                                                           \
        if (change() == FROZEN)                                                                    \
            return -EIO;                                                                           \
    } while (0)

static int fault_open_dir(const char *path, bool create)
{
    FAIL_IF_STAGED(open_dir);
    return cairn_os_real.open_dir(path, create);
}

static int fault_list(int dir, cairn_os_entry_cb on_entry, void *ctx)
{
    FAIL_IF_STAGED(list);
    return cairn_os_real.list(dir, on_entry, ctx);
}

static int fault_sync_dir(int dir)
{
    FAIL_IF_STAGED(sync_dir);
    FAIL_IF_FROZEN();
    return cairn_os_real.sync_dir(dir);
}

static int fault_rename(int dir, const char *from, const char *to)
{
    FAIL_IF_STAGED(rename);
    FAIL_IF_FROZEN();
    return cairn_os_real.rename(dir, from, to);
}

static int fault_unlink(int dir, const char *name)
{
    FAIL_IF_STAGED(unlink);
    FAIL_IF_FROZEN();
    return cairn_os_real.unlink(dir, name);
}

static int fault_make_dir(int dir, const char *name)
{
    FAIL_IF_STAGED(make_dir);
    FAIL_IF_FROZEN();
    return cairn_os_real.make_dir(dir, name);
}

static int fault_open_subdir(int dir, const char *name)
{
    FAIL_IF_STAGED(open_subdir);
    return cairn_os_real.open_subdir(dir, name);
}

static int fault_remove_dir(int dir, const char *name)
{
    FAIL_IF_STAGED(remove_dir);
    FAIL_IF_FROZEN();
    return cairn_os_real.remove_dir(dir, name);
}

static int fault_link(int dir, const char *name, int to_dir)
{
    FAIL_IF_STAGED(link);
    FAIL_IF_FROZEN();
    return cairn_os_real.link(dir, name, to_dir);
}

static int fault_lock(int dir, const char *name)
{
    FAIL_IF_STAGED(lock);
    return cairn_os_real.lock(dir, name);
}

static int fault_open(int dir, const char *name, int flags)
{
    FAIL_IF_STAGED(open);
    if ((flags & (O_CREAT | O_TRUNC)) != 0)
        FAIL_IF_FROZEN();
    return cairn_os_real.open(dir, name, flags);
}

static int fault_memory_file(const char *name)
{
    FAIL_IF_STAGED(memory_file);
    return cairn_os_real.memory_file(name);
}

static int fault_close(int fd)
{
    int staged = failure(FAULT_close);
    int r = cairn_os_real.close(fd); /* Linux closes even when it reports an error */
    return staged != 0 ? -staged : r;
}

static int64_t fault_size(int fd)
{
    FAIL_IF_STAGED(size);
    return cairn_os_real.size(fd);
}

static int fault_preallocate(int fd, uint64_t bytes)
{
    FAIL_IF_STAGED(preallocate);
    FAIL_IF_FROZEN();
    return cairn_os_real.preallocate(fd, bytes);
}

static int fault_truncate(int fd, uint64_t bytes)
{
    FAIL_IF_STAGED(truncate);
    FAIL_IF_FROZEN();
    return cairn_os_real.truncate(fd, bytes);
}

static int fault_make_readonly(int fd)
{
    FAIL_IF_STAGED(make_readonly);
    FAIL_IF_FROZEN();
    return cairn_os_real.make_readonly(fd);
}

static int64_t fault_pread(int fd, void *base, size_t count, uint64_t offset)
{
    FAIL_IF_STAGED(pread);
    return cairn_os_real.pread(fd, base, count, offset);
}

/** writes the first `limit` bytes of what is asked for */
static int64_t write_part(int fd, const struct iovec *iov, int count, uint64_t offset, size_t limit)
{
    size_t done = 0;
    for (int i = 0; i < count && done < limit; ++i) {
        struct iovec part = iov[i];
        if (part.iov_len > limit - done)
            part.iov_len = limit - done;
        int64_t n = cairn_os_real.pwritev(fd, &part, 1, offset + done);
        if (n < 0)
            return n;
        done += (size_t)n;
    }
    return (int64_t)done;
}

static int64_t fault_pwritev(int fd, const struct iovec *iov, int iov_count, uint64_t offset)
{
    FAIL_IF_STAGED(pwritev);
    size_t bytes = 0;
    for (int i = 0; i < iov_count; ++i)
        bytes += iov[i].iov_len;
    change_t kind = change();
    if (kind == FROZEN)
        return -EIO;
    if (kind == LAST_ONE && atomic_load(&state.tear)) {
        write_part(fd, iov, iov_count, offset, bytes / 2);
        return -EIO;
    }
    if (atomic_load(&state.short_at) == atomic_load(&state.calls[FAULT_pwritev]))
        return write_part(fd, iov, iov_count, offset, atomic_load(&state.short_bytes));
    return cairn_os_real.pwritev(fd, iov, iov_count, offset);
}

static int fault_read_ahead(int fd, uint64_t offset, uint64_t bytes)
{
    FAIL_IF_STAGED(read_ahead);
    return cairn_os_real.read_ahead(fd, offset, bytes);
}

static int fault_sync(int fd)
{
    FAIL_IF_STAGED(sync);
    FAIL_IF_FROZEN();
    return cairn_os_real.sync(fd);
}

static int fault_drop_cache(int fd)
{
    FAIL_IF_STAGED(drop_cache);
    return cairn_os_real.drop_cache(fd);
}

static bool fault_overwrites_in_place(int fd)
{
    if (failure(FAULT_overwrites_in_place) != 0)
        return false;
    int pretended = atomic_load(&state.in_place);
    return pretended >= 0 ? pretended != 0 : cairn_os_real.overwrites_in_place(fd);
}

static void *fault_reserve(size_t bytes)
{
    return failure(FAULT_reserve) != 0 ? NULL : cairn_os_real.reserve(bytes);
}

static int fault_unreserve(void *base, size_t bytes)
{
    int staged = failure(FAULT_unreserve);
    int r = cairn_os_real.unreserve(base, bytes);
    return staged != 0 ? -staged : r;
}

static int fault_map(void *at, size_t bytes, int fd)
{
    FAIL_IF_STAGED(map);
    return cairn_os_real.map(at, bytes, fd);
}

static int fault_unmap(void *at, size_t bytes)
{
    int staged = failure(FAULT_unmap);
    int r = cairn_os_real.unmap(at, bytes);
    return staged != 0 ? -staged : r;
}

static int fault_will_need(const void *base, size_t bytes)
{
    FAIL_IF_STAGED(will_need);
    return cairn_os_real.will_need(base, bytes);
}

static int fault_populate(const void *base, size_t bytes)
{
    FAIL_IF_STAGED(populate);
    return cairn_os_real.populate(base, bytes);
}

static bool fault_is_resident(const void *base, size_t bytes)
{
    return failure(FAULT_is_resident) == 0 && cairn_os_real.is_resident(base, bytes);
}

static void *fault_alloc(size_t bytes)
{
    return failure(FAULT_alloc) != 0 ? NULL : cairn_os_real.alloc(bytes);
}

static void *fault_calloc(size_t count, size_t bytes)
{
    return failure(FAULT_calloc) != 0 ? NULL : cairn_os_real.calloc(count, bytes);
}

static void *fault_alloc_pages(size_t bytes)
{
    return failure(FAULT_alloc_pages) != 0 ? NULL : cairn_os_real.alloc_pages(bytes);
}

static int fault_random(void *base, size_t count)
{
    FAIL_IF_STAGED(random);
    return cairn_os_real.random(base, count);
}

static int fault_turns(uint64_t *count, uint64_t *waited_ns)
{
    FAIL_IF_STAGED(turns);
    return cairn_os_real.turns(count, waited_ns);
}

static int fault_on_bus_error(void (*handler)(int signo, siginfo_t *info, void *context))
{
    FAIL_IF_STAGED(on_bus_error);
    return cairn_os_real.on_bus_error(handler);
}

static cairn_os_t table;

void fault_os_install(void)
{
    table = cairn_os_real;
#define X(name) table.name = fault_##name;
    FAULT_FUNCTIONS(X)
#undef X
    fault_os_reset();
    cairn_os = &table;
}

void fault_os_remove(void)
{
    cairn_os = &cairn_os_real;
}

void fault_os_reset(void)
{
    for (int i = 0; i < FAULT_FUNCTION_COUNT; ++i) {
        atomic_store(&state.calls[i], 0);
        atomic_store(&state.calls_when_fired[i], 0);
    }
    atomic_store(&state.fail_at, 0);
    atomic_store(&state.fired, false);
    atomic_store(&state.short_at, 0);
    atomic_store(&state.changes, 0);
    atomic_store(&state.freeze_after, UINT64_MAX);
    atomic_store(&state.tear, false);
    atomic_store(&state.in_place, -1);
}

void fault_os_fail(fault_function_t function, uint64_t nth, int error, bool for_good)
{
    atomic_store(&state.fired, false);
    atomic_store(&state.fail_function, (int)function);
    atomic_store(&state.error, error);
    atomic_store(&state.for_good, for_good);
    atomic_store(&state.fail_at, atomic_load(&state.calls[function]) + nth);
}

void fault_os_heal(void)
{
    atomic_store(&state.fail_at, 0);
}

void fault_os_short_write(uint64_t nth, size_t bytes)
{
    atomic_store(&state.short_bytes, bytes);
    atomic_store(&state.short_at, atomic_load(&state.calls[FAULT_pwritev]) + nth);
}

void fault_os_freeze_after(uint64_t calls, bool tear)
{
    atomic_store(&state.tear, tear);
    atomic_store(&state.freeze_after, atomic_load(&state.changes) + calls);
}

void fault_os_pretend_in_place(bool in_place)
{
    atomic_store(&state.in_place, in_place);
}

uint64_t fault_os_calls(fault_function_t function)
{
    return atomic_load(&state.calls[function]);
}

uint64_t fault_os_changes(void)
{
    return atomic_load(&state.changes);
}

bool fault_os_has_fired(void)
{
    return atomic_load(&state.fired);
}

uint64_t fault_os_calls_since_fired(fault_function_t function)
{
    return atomic_load(&state.calls[function]) - atomic_load(&state.calls_when_fired[function]);
}

void fault_os_wait_until_quiet(void)
{
    uint64_t before;
    do {
        before = fault_os_changes();
        usleep(80000); /* four times what the writer waits before its idle mark */
    } while (fault_os_changes() != before);
}

const char *fault_os_name(fault_function_t function)
{
    static const char *const names[] = {
#define X(name) #name,
        FAULT_FUNCTIONS(X)
#undef X
    };
    return names[function];
}
