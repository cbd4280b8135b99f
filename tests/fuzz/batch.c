/*
 * tests/fuzz/batch.c - the lines of a batch.
 */
#include "server/batch_parse.h"

#include <string.h>

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

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count)
{
    cairn_batch_limits_t limits = {.ops_max = 64, .value_bytes_max = 4096, .store = open_store()};
    cairn_batch_ops_t ops;
    cairn_batch_fault_t fault;
    memset(&ops, 0, sizeof(ops));
    memset(&fault, 0, sizeof(fault));
    cairn_bytes_t body = {bytes, count};
    if (cairn_batch_parse(body, &limits, &ops, &fault))
        MUST(ops.count <= limits.ops_max);
    else
        MUST(fault.detail[0] != '\0');
    cairn_batch_ops_dispose(&ops);
    return 0;
}
