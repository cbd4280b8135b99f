/*
 * storage/guard.c - touching a map of which the disk may fail to deliver a page.
 */
#include "storage/guard.h"

#include <setjmp.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>

#include "storage/os.h"

typedef struct st_guard_t {
    sigjmp_buf back;
    struct st_guard_t *outer;
} guard_t;

/* saving the mask of signals costs a system call, and the handler leaves it alone; but under
 * ThreadSanitizer handlers run with every signal blocked, and one that is left by a jump leaves
 * them so: the next fault of the thread would end the process */
#ifdef __SANITIZE_THREAD__
#define SAVES_MASK 1
#else
#define SAVES_MASK 0
#endif

/** the guard that a fault of this thread leaves; NULL: a fault ends the process */
static __thread guard_t *innermost;
static _Atomic uint64_t faults;

static void on_bus_error(int signo, siginfo_t *info, void *context)
{
    guard_t *guard = innermost;
    (void)context;
    /* not one that somebody sent us with kill() */
    if (guard != NULL && info->si_code > 0) {
        innermost = guard->outer;
        atomic_fetch_add_explicit(&faults, 1, memory_order_relaxed);
        siglongjmp(guard->back, 1);
    }
    /* the instruction is tried again, and then ends the process */
    signal(signo, SIG_DFL);
    if (info->si_code <= 0)
        raise(signo);
}

int cairn_guard_install(void)
{
    return cairn_os->on_bus_error(on_bus_error);
}

bool cairn_guard_run(void (*touch)(void *ctx), void *ctx)
{
    guard_t guard; /* not emptied: that would cost more than arming it */
    guard.outer = innermost;
    if (sigsetjmp(guard.back, SAVES_MASK) != 0)
        return false;
    innermost = &guard;
    atomic_signal_fence(memory_order_seq_cst);
    touch(ctx);
    atomic_signal_fence(memory_order_seq_cst);
    innermost = guard.outer;
    return true;
}

typedef struct st_copy_t {
    void *to;
    const void *from;
    size_t bytes;
} copy_t;

static void copy(void *ctx)
{
    const copy_t *c = ctx;
    memcpy(c->to, c->from, c->bytes);
}

bool cairn_guard_copy(void *to, const void *from, size_t bytes)
{
    copy_t c = {.to = to, .from = from, .bytes = bytes};
    return bytes == 0 || cairn_guard_run(copy, &c);
}

uint64_t cairn_guard_faults(void)
{
    return atomic_load_explicit(&faults, memory_order_relaxed);
}
