/*
 * Writes asked of a store one by one, or many in one commit.
 */
#include "tests/ask.h"

#include <CUnit/CUnit.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/seed.h"

static const cairn_bytes_t nothing;

const cairn_conditions_t ask_if_match_any = {.if_match = {.kind = CAIRN_VERSIONS_ANY}};
const cairn_conditions_t ask_if_none = {.if_none_match = {.kind = CAIRN_VERSIONS_ANY}};
const size_t ask_sizes[ASK_SIZES] = {0, 1, 100, 4095, 4096, 4097, 20000};

static cairn_write_t *frame(const ask_t *ask)
{
    if (ask->op == CAIRN_WRITE_SYNC)
        return cairn_write_create_sync(ask->version);
    cairn_key_t key = cairn_key(0, ask->key, strlen(ask->key));
    bool is_delete = ask->op == CAIRN_WRITE_DELETE;
    return cairn_write_create(ask->op, &key, is_delete ? nothing : ask->meta,
                              is_delete ? nothing : ask->value);
}

static cairn_write_t *submit(fixture_t *f, waiter_t *waiter, const ask_t *ask)
{
    cairn_write_t *write = frame(ask);
    CU_ASSERT_PTR_NOT_NULL_FATAL(write);
    write->sink = &waiter->sink;
    write->conditions = ask->conditions;
    write->ttl_ms = ask->ttl_ms;
    write->by = ask->by;
    write->durability = ask->durability;
    CU_ASSERT_EQUAL_FATAL(cairn_store_submit(f->store, write), CAIRN_OK);
    return write;
}

static void take_outcome(ask_t *ask, cairn_write_t *write)
{
    ask->err = write->err;
    ask->existed = write->existed;
    ask->version = write->version;
    ask->number = write->number;
    cairn_write_destroy(write);
}

uint64_t ask_together(fixture_t *f, ask_t *asks, size_t count)
{
    static cairn_write_t *writes[TOGETHER_MAX];
    gate_t gate;
    waiter_t waiter;
    cairn_store_stats_t before, after;
    CU_ASSERT_FATAL(count <= TOGETHER_MAX);
    waiter_init(&waiter);
    gate_close(&gate, f);
    cairn_store_stats(f->store, &before);
    for (size_t i = 0; i < count; ++i)
        writes[i] = submit(f, &waiter, &asks[i]);
    gate_open(&gate);
    waiter_take(&waiter, count);
    cairn_store_stats(f->store, &after);
    CU_ASSERT_EQUAL(after.queued_ops, 0);
    CU_ASSERT_EQUAL(after.queued_bytes, 0);
    for (size_t i = 0; i < count; ++i)
        take_outcome(&asks[i], writes[i]);
    waiter_dispose(&waiter);
    return after.commits - before.commits;
}

ask_t ask_alone(fixture_t *f, ask_t ask)
{
    waiter_t waiter;
    waiter_init(&waiter);
    cairn_write_t *write = submit(f, &waiter, &ask);
    waiter_take(&waiter, 1);
    take_outcome(&ask, write);
    waiter_dispose(&waiter);
    return ask;
}

ask_t ask_put(fixture_t *f, const char *key, const char *value, uint64_t ttl_ms)
{
    return ask_alone(
        f, (ask_t){.op = CAIRN_WRITE_PUT, .key = key, .value = text(value), .ttl_ms = ttl_ms});
}

ask_t ask_incr(fixture_t *f, const char *key, int64_t by)
{
    return ask_alone(f, (ask_t){.op = CAIRN_WRITE_INCR, .key = key, .by = by});
}

ask_t ask_append(fixture_t *f, const char *key, const void *bytes, size_t count)
{
    return ask_alone(f, (ask_t){.op = CAIRN_WRITE_APPEND, .key = key, .value = {bytes, count}});
}

bool ask_has_bytes(fixture_t *f, const char *key, const uint8_t *bytes, size_t count)
{
    cairn_value_t value;
    return fixture_get(f, text(key), &value) == CAIRN_OK && value.count == count &&
           (count == 0 || memcmp(value.bytes, bytes, count) == 0);
}

uint8_t *ask_noise(size_t count)
{
    uint8_t *bytes = malloc(count + 1);
    CU_ASSERT_PTR_NOT_NULL_FATAL(bytes);
    random_fill(seed_of_run(), bytes, count);
    return bytes;
}

cairn_store_stats_t ask_stats(fixture_t *f)
{
    cairn_store_stats_t stats;
    cairn_store_stats(f->store, &stats);
    return stats;
}

cairn_conditions_t ask_if_match(uint64_t version)
{
    return (cairn_conditions_t){
        .if_match = {.kind = CAIRN_VERSIONS_LISTED, .count = 1, .versions = {version}}};
}
