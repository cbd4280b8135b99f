/*
 * index/memory.c - all memory of the index comes from here.
 *
 * Small things are allocated and counted; the buckets of a generation are a mapping of their own,
 * of exactly their size, without pages until they are touched. One mapping a generation, rather
 * than one reservation for all time, works with strict overcommit, address space limits and
 * ThreadSanitizer, and a small index stays small; what was given back is gone from the process's
 * accounts too.
 */
#include "index/index_internal.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

/* from here on an allocation is a mapping */
#define PAGES_BYTES_MIN ((size_t)128 << 10)

/* negative: no failure is staged. relaxed throughout: tests set it while nothing else runs */
static _Atomic int64_t fail_after = -1;

static bool refused(void)
{
    if (atomic_load_explicit(&fail_after, memory_order_relaxed) < 0)
        return false;
    if (atomic_load_explicit(&fail_after, memory_order_relaxed) == 0)
        return true;
    atomic_fetch_sub_explicit(&fail_after, 1, memory_order_relaxed);
    return false;
}

void cairn_memory_fail_after(int64_t count)
{
    atomic_store_explicit(&fail_after, count, memory_order_relaxed);
}

/* fresh pages are zeros that cost nothing yet: a large level of the stash is made under a lock */
static void *zeroed_pages(size_t bytes)
{
    void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    return memory == MAP_FAILED ? NULL : memory;
}

static void *zeroed_lines(size_t bytes)
{
    size_t rounded = (bytes + 63) & ~(size_t)63;
    void *memory = aligned_alloc(64, rounded);

    if (memory != NULL)
        memset(memory, 0, rounded);
    return memory;
}

void *cairn_memory_alloc(cairn_index_t *index, size_t bytes)
{
    void *memory = NULL;

    if (!refused())
        memory = bytes >= PAGES_BYTES_MIN ? zeroed_pages(bytes) : zeroed_lines(bytes);
    if (memory == NULL)
        return NULL;
    if (index != NULL)
        atomic_fetch_add_explicit(&index->bytes, (int64_t)bytes, memory_order_relaxed);
    return memory;
}

void cairn_memory_free(cairn_index_t *index, void *memory, size_t bytes)
{
    if (memory == NULL)
        return;
    if (bytes >= PAGES_BYTES_MIN)
        munmap(memory, bytes);
    else
        free(memory);
    if (index != NULL)
        atomic_fetch_sub_explicit(&index->bytes, (int64_t)bytes, memory_order_relaxed);
}

void *cairn_memory_map(size_t bytes, size_t alignment)
{
    if (refused())
        return NULL;

    char *start = mmap(NULL, bytes + alignment, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (start == MAP_FAILED)
        return NULL;

    size_t before = (alignment - (uintptr_t)start % alignment) % alignment;
    if (before != 0)
        munmap(start, before);
    if (before != alignment)
        munmap(start + before + bytes, alignment - before);
    return start + before;
}

void cairn_memory_unmap(void *memory, size_t bytes)
{
    munmap(memory, bytes);
}
