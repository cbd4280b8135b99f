/*
 * bench/load/protocol.h - how a request is said, and where its answer ends.
 *
 * An answer comes in parts: each has a head, and a body of known length behind it. An answer of
 * HTTP with a length is one part, a chunk is one, each value of a Redis array or of a memcached
 * answer is one.
 */
#ifndef CAIRN_BENCH_LOAD_PROTOCOL_H
#define CAIRN_BENCH_LOAD_PROTOCOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bench/load/keys.h"

/** what may be in front of a value in a request, and behind it */
#define REQUEST_OVERHEAD_BYTES 512
/** a longer head of a part is not understood */
#define PART_HEAD_BYTES_MAX 4096

typedef struct st_request_t {
    bool is_get;
    size_t key_count; /* more than one: a batch */
    const uint64_t *numbers;
    const char *value; /* `value_bytes` of it; the values of a batch are all the same */
    size_t value_bytes;
    bool is_async; /* cairn's durability, which the others take from how they were started */
    const key_space_t *space;
} request_t;

typedef struct st_answer_t {
    size_t parts_left; /* 1 before the first */
    bool is_chunked;
    bool is_get; /* what was asked */
    bool has_failed;
    size_t value_bytes_least; /* what a get's part with a value must have */
    size_t body_bytes;        /* of the part whose head was read last */
} answer_t;

typedef struct st_protocol_t {
    const char *name;
    /** writes a request; there is room for REQUEST_OVERHEAD_BYTES and twice the value for each key.
     * Returns its length */
    size_t (*write)(const request_t *request, char *out);
    /** reads the head of a part; returns its length, 0 if it is not whole yet. `answer` then says
     * what follows */
    size_t (*read_head)(const char *bytes, size_t count, answer_t *answer);
} protocol_t;

/** NULL if there is none of this name */
const protocol_t *protocol_find(const char *name);

extern const protocol_t protocol_cairn;
extern const protocol_t protocol_webdis;
extern const protocol_t protocol_etcd;
extern const protocol_t protocol_resp;
extern const protocol_t protocol_memcached;

/** appends, and returns where the next goes */
char *append(char *at, const char *bytes, size_t count);
char *append_text(char *at, const char *text);
char *append_number(char *at, uint64_t number);
char *append_key(char *at, const key_space_t *space, uint64_t number);

#endif
