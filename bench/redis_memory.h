/*
 * bench/redis_memory.h - how much memory Redis takes for some keys.
 */
#ifndef CAIRN_BENCH_REDIS_MEMORY_H
#define CAIRN_BENCH_REDIS_MEMORY_H

#include <stddef.h>
#include <stdint.h>

typedef void (*redis_make_cb)(uint64_t number, uint8_t *key, uint8_t *value);

/**
 * Stores keys 0 to `count` - 1 in the empty Redis that listens at a Unix socket, and returns by how
 * much its used_memory has grown. Ends the program when something fails.
 */
uint64_t redis_memory_of(const char *socket_path, uint64_t count, redis_make_cb make);

#endif
