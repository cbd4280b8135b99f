/*
 * index/qsbr.h - liburcu's QSBR flavour; whoever uses it includes this, not liburcu's header.
 *
 * ThreadSanitizer cannot see into liburcu's assembly. It is told here what liburcu promises: that
 * what a thread did before a quiescent state (or before it went offline or was unregistered) is
 * over when a grace period that began before has passed. It is told nothing else: a thread that
 * still looks at what has been given back, and has announced no quiescent state, is found.
 */
#ifndef CAIRN_INDEX_QSBR_H
#define CAIRN_INDEX_QSBR_H

#include <urcu-qsbr.h>

#include "index/tsan.h"

#ifdef CAIRN_TSAN

void __tsan_acquire(void *address);
void __tsan_release(void *address);

/** an address for ThreadSanitizer; one in the program, since there is one QSBR domain */
__attribute__((weak)) char cairn_qsbr_grace;

#undef rcu_quiescent_state
#undef rcu_thread_offline
#undef rcu_unregister_thread
#undef synchronize_rcu
#define rcu_quiescent_state() (__tsan_release(&cairn_qsbr_grace), urcu_qsbr_quiescent_state())
#define rcu_thread_offline() (__tsan_release(&cairn_qsbr_grace), urcu_qsbr_thread_offline())
#define rcu_unregister_thread() (__tsan_release(&cairn_qsbr_grace), urcu_qsbr_unregister_thread())
/* who waits is itself nobody to wait for */
#define synchronize_rcu()                                                                          \
    (__tsan_release(&cairn_qsbr_grace), urcu_qsbr_synchronize_rcu(),                               \
     __tsan_acquire(&cairn_qsbr_grace))

#endif

#endif
