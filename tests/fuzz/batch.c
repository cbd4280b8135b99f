/*
 * tests/fuzz/batch.c - the lines of a batch, by both of their readers.
 */
#include "server/batch_gets.h"

#include <string.h>

#include "tests/batch_line_check.h"
#include "tests/fuzz/fuzz.h"

static cairn_store_t *open_store(void)
{
    static cairn_store_t *store;
    char errmsg[CAIRN_ERRMSG_BYTES];
    cairn_store_options_t options = {.segment_bytes = 1 << 20,
                                     .value_bytes_max = 1 << 16,
                                     .sync_interval_ms = 100,
                                     .queue_ops_max = 1000,
                                     .queue_bytes_max = 1 << 20,
                                     .io_threads = 1};
    if (store == NULL)
        MUST(cairn_store_open(&store, &options, errmsg) == CAIRN_OK);
    return store;
}

/* what the quick reader takes, the whole one has taken alike */
static void read_quickly(cairn_bytes_t body, const cairn_batch_limits_t *limits,
                         const cairn_batch_ops_t *whole)
{
    cairn_batch_ops_t quick = {.list = NULL};
    if (cairn_batch_gets_parse(body, limits, &quick)) {
        MUST(whole != NULL && !whole->is_decided && whole->count == quick.count);
        for (size_t i = 0; i < quick.count; ++i) {
            const cairn_key_t *key = &whole->list[i].write->key;
            MUST(key->hash == quick.gets[i].hash && key->count == quick.gets[i].count &&
                 memcmp(key->bytes, quick.gets[i].bytes, key->count) == 0);
        }
    } else {
        MUST(quick.count == 0 && quick.gets == NULL);
    }
    cairn_batch_ops_dispose(&quick);
}

static void read_lines(const char *at, size_t count)
{
    const char *end = at + count;
    while (at < end) {
        bool is_taken;
        const char *newline = memchr(at, '\n', (size_t)(end - at));
        const char *line_end = newline != NULL ? newline : end;
        MUST(batch_line_is_as_json(at, (size_t)(line_end - at), &is_taken));
        at = line_end + 1;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count)
{
    cairn_batch_limits_t limits = {.ops_max = 64, .value_bytes_max = 4096, .store = open_store()};
    cairn_batch_ops_t ops;
    cairn_batch_fault_t fault;
    memset(&ops, 0, sizeof(ops));
    memset(&fault, 0, sizeof(fault));
    cairn_bytes_t body = {bytes, count};
    bool is_good = cairn_batch_parse(body, &limits, &ops, &fault);
    if (is_good)
        MUST(ops.count <= limits.ops_max);
    else
        MUST(fault.detail[0] != '\0');
    read_lines((const char *)bytes, count);
    read_quickly(body, &limits, is_good ? &ops : NULL);
    cairn_batch_ops_dispose(&ops);
    return 0;
}
