/*
 * tests/ask.h - writes asked of a store one by one, or many in one commit.
 */
#ifndef CAIRN_TESTS_ASK_H
#define CAIRN_TESTS_ASK_H

#include "tests/store_fixture.h"

/** writes that ask_together() takes */
#define TOGETHER_MAX 1024

/** a write as a test asks for it, and after it what came of it */
typedef struct st_ask_t {
    cairn_write_op_t op;
    const char *key;
    cairn_bytes_t value;
    cairn_bytes_t meta;
    const cairn_conditions_t *conditions;
    uint64_t ttl_ms;
    int64_t by; /* incr */
    cairn_durability_t durability;
    /* out */
    cairn_err_t err;
    bool existed;
    uint64_t version;
    int64_t number;
} ask_t;

/**
 * Has these decided in one go, as far as one commit takes them; returns how many commits it took,
 * and one more if the writer was idle long enough to mark the last.
 */
uint64_t ask_together(fixture_t *f, ask_t *asks, size_t count);

/** Has this decided, and gives it back with what came of it. */
ask_t ask_alone(fixture_t *f, ask_t ask);

/** The same in short. */
ask_t ask_put(fixture_t *f, const char *key, const char *value, uint64_t ttl_ms);
ask_t ask_incr(fixture_t *f, const char *key, int64_t by);
ask_t ask_append(fixture_t *f, const char *key, const void *bytes, size_t count);

/** If-Match with a version, with *; If-None-Match with *. */
cairn_conditions_t ask_if_match(uint64_t version);
extern const cairn_conditions_t ask_if_match_any, ask_if_none;

/** Whether the key has exactly these bytes. */
bool ask_has_bytes(fixture_t *f, const char *key, const uint8_t *bytes, size_t count);

/** Bytes that follow from the run's seed. Owner: the caller frees them. */
uint8_t *ask_noise(size_t count);

cairn_store_stats_t ask_stats(fixture_t *f);

/** sizes of values that are copied, borrowed, and appended to in one way or the other */
#define ASK_SIZES 7
extern const size_t ask_sizes[ASK_SIZES];

#endif
