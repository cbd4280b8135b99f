/*
 * Do random writes of all kinds, alone and together, do what a simple model of them does?
 */
#include <CUnit/CUnit.h>

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "storage/os.h"
#include "tests/ask.h"
#include "tests/fault_os.h"
#include "tests/seed.h"
#include "tests/suites.h"

#define KIB ((size_t)1024)

/* ---------------------------------------------------------------- against a model */

#define MODEL_KEYS 5
#define MODEL_BYTES_MAX 30000

/** what a key should have */
typedef struct st_model_t {
    bool exists;
    uint64_t version;
    size_t count;
    uint8_t bytes[MODEL_BYTES_MAX];
} model_t;

static bool model_number(const model_t *model, int64_t *number)
{
    char digits[32] = "";
    *number = 0;
    if (!model->exists)
        return true;
    if (model->count == 0 || model->count > 15)
        return false;
    memcpy(digits, model->bytes, model->count);
    *number = strtoll(digits, NULL, 10);
    return strspn(digits, "0123456789") == model->count;
}

static cairn_err_t model_write(model_t *model, const ask_t *ask, int64_t *number)
{
    bool reads = ask->op == CAIRN_WRITE_APPEND && model->exists;
    size_t kept = reads ? model->count : 0;
    if (ask->conditions == &ask_if_match_any && !model->exists)
        return CAIRN_ERR_PRECONDITION;
    if (ask->conditions == &ask_if_none && model->exists)
        return CAIRN_ERR_PRECONDITION;
    if (ask->conditions != NULL && ask->conditions->if_match.kind == CAIRN_VERSIONS_LISTED &&
        (!model->exists || ask->conditions->if_match.versions[0] != model->version))
        return CAIRN_ERR_PRECONDITION;
    if (ask->op == CAIRN_WRITE_DELETE) {
        bool existed = model->exists;
        model->exists = false;
        return existed ? CAIRN_OK : CAIRN_ERR_NOT_FOUND;
    }
    if (ask->op == CAIRN_WRITE_INCR) {
        if (!model_number(model, number))
            return CAIRN_ERR_NOT_A_NUMBER;
        *number += ask->by;
        model->count = (size_t)sprintf((char *)model->bytes, "%" PRId64, *number);
    } else {
        if (kept + ask->value.count > MODEL_BYTES_MAX)
            return CAIRN_ERR_TOO_LARGE;
        memcpy(model->bytes + kept, ask->value.base, ask->value.count);
        model->count = kept + ask->value.count;
    }
    model->exists = true;
    return CAIRN_OK;
}

static void a_random_ask(ask_t *ask, random_t *random, const uint8_t *noise,
                         cairn_conditions_t *listed, uint64_t last_version)
{
    static const char *const keys[MODEL_KEYS] = {"a", "b", "c", "d", "e"};
    static const cairn_write_op_t ops[] = {CAIRN_WRITE_PUT,    CAIRN_WRITE_DELETE,
                                           CAIRN_WRITE_INCR,   CAIRN_WRITE_INCR,
                                           CAIRN_WRITE_APPEND, CAIRN_WRITE_APPEND};
    *ask = (ask_t){
        .op = ops[random_below(random, 6)],
        .key = keys[random_below(random, MODEL_KEYS)],
        .by = (int64_t)random_below(random, 1000),
        .durability = random_below(random, 2) ? CAIRN_SYNC : CAIRN_ASYNC,
        .value = {noise + random_below(random, 1000), ask_sizes[random_below(random, ASK_SIZES)]}};
    if (random_below(random, 4) == 0)
        ask->value = text("7");
    *listed = ask_if_match(last_version - random_below(random, 4));
    const cairn_conditions_t *conditions[] = {NULL, NULL, &ask_if_match_any, &ask_if_none, listed};
    ask->conditions = conditions[random_below(random, 5)];
}

static void behaves_like_a_model(void)
{
    static model_t models[MODEL_KEYS];
    static ask_t asks[64], wanted[64];
    static cairn_conditions_t listed[64];
    fixture_t f;
    random_t random = random_from(seed_of_run(), 4);
    uint8_t *noise = ask_noise(30000);
    unsigned wrong = 0;
    memset(models, 0, sizeof(models));
    fixture_init(&f, TEMP_DIR_IN_MEMORY);
    f.options.segment_bytes = 256 * KIB;
    f.options.value_bytes_max = MODEL_BYTES_MAX;
    CU_ASSERT_EQUAL_FATAL(fixture_open(&f), CAIRN_OK);
    for (int round = 0; round < 150; ++round) {
        size_t count = 1 + random_below(&random, 64);
        uint64_t version = cairn_store_last_version(f.store) + 1; /* of the gate's write */
        for (size_t i = 0; i < count; ++i) {
            a_random_ask(&asks[i], &random, noise, &listed[i], version + i);
            model_t *model = &models[asks[i].key[0] - 'a'];
            wanted[i] = asks[i];
            wanted[i].existed = model->exists;
        }
        /* decided in the order they were asked, however many commits that takes */
        for (size_t i = 0; i < count; ++i) {
            model_t *model = &models[asks[i].key[0] - 'a'];
            wanted[i].existed = model->exists;
            wanted[i].err = model_write(model, &asks[i], &wanted[i].number);
            if (wanted[i].err == CAIRN_OK)
                model->version = ++version;
            wanted[i].version = wanted[i].err == CAIRN_OK || wanted[i].existed ? model->version : 0;
        }
        ask_together(&f, asks, count);
        for (size_t i = 0; i < count; ++i)
            wrong += asks[i].err != wanted[i].err || asks[i].existed != wanted[i].existed ||
                     asks[i].version != wanted[i].version ||
                     (asks[i].op == CAIRN_WRITE_INCR && asks[i].err == CAIRN_OK &&
                      asks[i].number != wanted[i].number);
        if (round % 10 == 0)
            fixture_restart(&f);
        for (size_t i = 0; i < MODEL_KEYS; ++i) {
            char key[2] = {(char)('a' + i), '\0'};
            wrong += models[i].exists ? !ask_has_bytes(&f, key, models[i].bytes, models[i].count)
                                      : !fixture_has(&f, key, NULL);
        }
        CU_ASSERT_EQUAL(ask_stats(&f).last_version, version);
        if (wrong != 0) {
            fprintf(stderr, "\n    CAIRN_SEED=%" PRIu64 ", round %d", seed_of_run(), round);
            break;
        }
    }
    CU_ASSERT_EQUAL(wrong, 0);
    free(noise);
    fixture_dispose(&f);
}

void suite_decide_model(void)
{
    CU_pSuite s = CU_add_suite("decide_model: random writes beside a model", NULL, NULL);
    CU_add_test(s, "random writes do what a model does", behaves_like_a_model);
}
