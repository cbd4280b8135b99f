/*
 * Operations that are queued together, and what became of them.
 */
#include "tests/queued.h"

#include <CUnit/CUnit.h>

#include <stdio.h>
#include <string.h>

queued_t queued;

void queued_begin(fixture_t *f)
{
    memset(&queued, 0, sizeof(queued));
    queued.f = f;
    waiter_init(&queued.waiter);
}

cairn_write_t *queued_add(cairn_write_op_t op, const char *key, cairn_bytes_t value)
{
    cairn_write_t *write = fixture_frame(&queued.waiter, op, text(key), value, queued.durability);
    CU_ASSERT_PTR_NOT_NULL_FATAL(write);
    queued.ops[queued.count++] = write;
    return write;
}

cairn_write_t *queued_put(const char *key, const char *value)
{
    return queued_add(CAIRN_WRITE_PUT, key, text(value));
}

cairn_write_t *queued_get(const char *key)
{
    return queued_add(CAIRN_WRITE_GET, key, (cairn_bytes_t){NULL, 0});
}

cairn_err_t queued_enqueue(size_t from, bool is_atomic)
{
    for (size_t i = from; i < queued.count; ++i)
        queued.ops[i]->next = i + 1 < queued.count ? queued.ops[i + 1] : NULL;
    return cairn_store_enqueue_batch(queued.f->store, queued.ops[from], is_atomic);
}

void queued_finish(void)
{
    cairn_store_wake(queued.f->store);
    waiter_take(&queued.waiter, queued.count);
}

cairn_err_t queued_run(bool is_atomic)
{
    cairn_err_t err = queued_enqueue(0, is_atomic);
    if (err == CAIRN_OK)
        queued_finish();
    return err;
}

void queued_end(void)
{
    for (size_t i = 0; i < queued.count; ++i)
        cairn_write_destroy(queued.ops[i]);
    waiter_dispose(&queued.waiter);
}

bool queued_got(const cairn_write_t *write, cairn_bytes_t expected)
{
    cairn_value_t value;
    return write->err == CAIRN_OK &&
           cairn_write_value(queued.f->store, write, false, &value) == CAIRN_OK &&
           value.count == expected.count && value.version == write->version &&
           (value.count == 0 || memcmp(value.bytes, expected.base, value.count) == 0);
}

bool queued_got_text(const cairn_write_t *write, const char *expected)
{
    return queued_got(write, text(expected));
}
