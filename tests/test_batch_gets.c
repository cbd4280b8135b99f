/*
 * The two readers of a batch's body: what the quick one takes, the whole one takes alike.
 */
#include <CUnit/CUnit.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/batch_gets.h"
#include "tests/batch_line_check.h"
#include "tests/seed.h"
#include "tests/store_fixture.h"
#include "tests/suites.h"

#define OPS_MAX 20
#define BODY_BYTES_MAX 4096

static fixture_t fixture;
static cairn_batch_limits_t limits = {.ops_max = OPS_MAX, .value_bytes_max = 1000};

/* a key's hash is the store's */
static void open_store(void)
{
    fixture_init(&fixture, TEMP_DIR_IN_MEMORY);
    CU_ASSERT_EQUAL_FATAL(fixture_open(&fixture), CAIRN_OK);
    limits.store = fixture.store;
}

static void close_store(void)
{
    fixture_dispose(&fixture);
}

/* whether both readers come to the same gets, or the quick one leaves it alone */
static bool is_alike(const char *body, size_t count, bool *is_taken)
{
    cairn_batch_ops_t quick = {.list = NULL}, whole = {.list = NULL};
    cairn_batch_fault_t fault;
    /* of exactly this size, so that a step too far is seen by a sanitizer */
    char *exact = malloc(count != 0 ? count : 1);
    memcpy(exact, body, count);
    cairn_bytes_t bytes = {exact, count};
    *is_taken = cairn_batch_gets_parse(bytes, &limits, &quick);
    bool alike = *is_taken ? cairn_batch_parse(bytes, &limits, &whole, &fault) &&
                                 !whole.is_decided && whole.count == quick.count
                           : quick.count == 0 && quick.gets == NULL;
    for (size_t i = 0; alike && i < quick.count; ++i) {
        const cairn_write_t *get = whole.list[i].write;
        alike = get->op == CAIRN_WRITE_GET && get->key.hash == quick.gets[i].hash &&
                get->key.count == quick.gets[i].count &&
                memcmp(get->key.bytes, quick.gets[i].bytes, get->key.count) == 0;
    }
    cairn_batch_ops_dispose(&quick);
    cairn_batch_ops_dispose(&whole);
    free(exact);
    return alike;
}

#define GET_A "{\"op\":\"get\",\"key\":\"a\"}"

static void what_is_taken(void)
{
    static const struct {
        const char *body;
        bool is_taken;
    } rows[] = {
        {GET_A, true},
        {GET_A "\n", true},
        {GET_A "\r\n" GET_A "\n", true},
        {"{\"op\": \"get\", \"key\": \"some key/~\"}\n", true},
        {" \t{ \"op\" :\t\"get\" , \"key\" : \"a\" } \r\n", true},
        {"", false},
        {"\n", false},
        {GET_A "\n\n" GET_A, false},
        {GET_A GET_A, false},
        {GET_A "\r" GET_A, false},
        {GET_A ",", false},
        {"[" GET_A "]", false},
        {"{\"key\":\"a\",\"op\":\"get\"}", false},
        {"{\"op\":\"get\",\"key\":\"\"}", false},
        {"{\"op\":\"get\",\"key\":\"a\\n\"}", false},
        {"{\"op\":\"get\",\"key\":\"\303\244\"}", false},
        {"{\"op\":\"get\",\"key\":\"\377\"}", false},
        {"{\"op\":\"get\",\"key\":\"a\tb\"}", false},
        {"{\"op\":\"get\",\"key\":\"a", false},
        {"{\"op\":\"get\",\"key\":\"a\"", false},
        {"{\"op\":\"get\",\"key_b64\":\"YQ==\"}", false},
        {"{\"op\":\"get\",\"key\":\"a\",\"if_match\":\"1\"}", false},
        {"{\"op\":\"get\",\"key\":\"a\",\"key\":\"b\"}", false},
        {"{\"op\":\"gets\",\"key\":\"a\"}", false},
        {"{\"op\":\"delete\",\"key\":\"a\"}", false},
        {GET_A "\n{\"op\":\"put\",\"key\":\"a\",\"value\":\"b\"}", false},
    };
    open_store();
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); ++i) {
        bool is_taken;
        CU_ASSERT(is_alike(rows[i].body, strlen(rows[i].body), &is_taken));
        CU_ASSERT_EQUAL(is_taken, rows[i].is_taken);
    }
    close_store();
}

static void limits_are_kept(void)
{
    char body[2 * BODY_BYTES_MAX], key[CAIRN_KEY_BYTES_MAX + 2];
    bool is_taken;
    open_store();
    for (size_t count = OPS_MAX; count <= OPS_MAX + 1; ++count) {
        body[0] = '\0';
        for (size_t i = 0; i < count; ++i)
            strcat(body, GET_A "\n");
        CU_ASSERT(is_alike(body, strlen(body), &is_taken));
        CU_ASSERT_EQUAL(is_taken, count == OPS_MAX);
    }
    for (size_t count = CAIRN_KEY_BYTES_MAX; count <= CAIRN_KEY_BYTES_MAX + 1; ++count) {
        memset(key, 'k', count);
        key[count] = '\0';
        snprintf(body, sizeof(body), "{\"op\":\"get\",\"key\":\"%s\"}", key);
        CU_ASSERT(is_alike(body, strlen(body), &is_taken));
        CU_ASSERT_EQUAL(is_taken, count == CAIRN_KEY_BYTES_MAX);
    }
    close_store();
}

static void a_token_narrows(void)
{
    const cairn_config_token_t token = {.name = "t", .scope = CAIRN_SCOPE_READ, .prefix = "shop/"};
    static const char in[] = "{\"op\":\"get\",\"key\":\"shop/a\"}", out[] = GET_A;
    bool is_taken;
    open_store();
    limits.token = &token;
    CU_ASSERT(is_alike(in, sizeof(in) - 1, &is_taken) && is_taken);
    CU_ASSERT(is_alike(out, sizeof(out) - 1, &is_taken) && !is_taken);
    limits.token = NULL;
    close_store();
}

/* a body of gets, some of them as odd as JSON lets them be */
static size_t make_body(random_t *random, char *body)
{
    static const char *const lines[] = {GET_A "\n",
                                        "{\"op\":\"get\",\"key\":\"k1\"}\n",
                                        " { \"op\" : \"get\" , \"key\" : \"x y\" } \r\n",
                                        "{\"op\":\"get\",\"key\":\"\\u0061\"}\n",
                                        "\n",
                                        "{\"key\":\"a\",\"op\":\"get\"}\n"};
    size_t count = 0;
    for (uint64_t left = 1 + random_below(random, 4); left != 0; --left) {
        /* mostly such as are taken, or most bodies would not be */
        const char *line =
            lines[random_below(random, 8) % 3 + (random_below(random, 16) == 0 ? 3 : 0)];
        memcpy(body + count, line, strlen(line));
        count += strlen(line);
    }
    return count;
}

static void change(random_t *random, char *body, size_t *count)
{
    static const char bytes[] = "{}[]\",:\\ \t\r\n\0\x7f\x80\xff"
                                "agk1";
    size_t at = random_below(random, *count);
    char byte = bytes[random_below(random, sizeof(bytes) - 1)];
    switch (random_below(random, 3)) {
    case 0:
        body[at] = byte;
        break;
    case 1:
        memmove(body + at, body + at + 1, *count - at - 1);
        --*count;
        break;
    case 2:
        memmove(body + at + 1, body + at, *count - at);
        body[at] = byte;
        ++*count;
        break;
    }
}

static void changed_bodies_are_read_alike(void)
{
    random_t random = random_from(seed_of_run(), 4711);
    size_t rounds = is_soak() ? 20000000 : 100000, taken = 0;
    open_store();
    for (size_t i = 0; i < rounds; ++i) {
        char body[BODY_BYTES_MAX];
        bool is_taken, alike;
        size_t count = make_body(&random, body);
        for (uint64_t left = random_below(&random, 4); left != 0 && count != 0; --left)
            change(&random, body, &count);
        alike = is_alike(body, count, &is_taken);
        if (!alike)
            fprintf(stderr, "\n    seed %llu: %.*s", (unsigned long long)seed_of_run(), (int)count,
                    body);
        CU_ASSERT_FATAL(alike);
        taken += is_taken;
    }
    CU_ASSERT(taken > rounds / 10 && taken < rounds - rounds / 10); /* else little was compared */
    close_store();
}

static void changed_lines_are_what_json_says(void)
{
    static const char *const lines[] = {
        "{\"op\":\"put\",\"key\":\"k1\",\"value\":\"some value\"}",
        "{\"op\": \"put\", \"key\": \"a\", \"value\": \"\"}\r",
        " { \"op\" : \"delete\" , \"key\" : \"x y\" } ",
        GET_A,
    };
    random_t random = random_from(seed_of_run(), 4712);
    size_t rounds = is_soak() ? 20000000 : 100000, taken = 0;
    for (size_t i = 0; i < rounds; ++i) {
        char text[256];
        const char *line = lines[random_below(&random, 4)];
        size_t count = strlen(line);
        memcpy(text, line, count);
        for (uint64_t left = random_below(&random, 4); left != 0 && count != 0; --left)
            change(&random, text, &count);
        char *exact = malloc(count + 1);
        memcpy(exact, text, count);
        bool is_taken, is_alike = batch_line_is_as_json(exact, count, &is_taken);
        if (!is_alike)
            fprintf(stderr, "\n    seed %llu: %.*s", (unsigned long long)seed_of_run(), (int)count,
                    text);
        free(exact);
        CU_ASSERT_FATAL(is_alike);
        taken += is_taken;
    }
    CU_ASSERT(taken > rounds / 10 && taken < rounds - rounds / 10);
}

/* what a quick line must not get past */
static void plain_writes_are_judged_like_others(void)
{
    static const struct {
        const char *body;
        cairn_problem_t problem; /* CAIRN_PROBLEM_COUNT: none */
    } rows[] = {
        {"{\"op\":\"put\",\"key\":\"shop/a\",\"value\":\"v\"}", CAIRN_PROBLEM_COUNT},
        {"{\"op\":\"put\",\"key\":\"shop/a\",\"value\":\"\"}", CAIRN_PROBLEM_COUNT},
        {"{\"op\":\"delete\",\"key\":\"shop/a\"}", CAIRN_PROBLEM_COUNT},
        {"{\"op\":\"put\",\"key\":\"a\",\"value\":\"v\"}", CAIRN_PROBLEM_FORBIDDEN},
        {"{\"op\":\"delete\",\"key\":\"a\"}", CAIRN_PROBLEM_FORBIDDEN},
        {"{\"op\":\"put\",\"key\":\"\",\"value\":\"v\"}", CAIRN_PROBLEM_KEY_EMPTY},
        {"{\"op\":\"put\",\"key\":\"shop/a\",\"value\":\"12345678901\"}",
         CAIRN_PROBLEM_VALUE_TOO_LARGE},
        {"{\"op\":\"put\",\"key\":\"shop/a\"}", CAIRN_PROBLEM_VALUE_MISSING},
    };
    cairn_config_token_t token = {.name = "t", .scope = CAIRN_SCOPE_WRITE, .prefix = "shop/"};
    open_store();
    cairn_batch_limits_t narrow = {
        .ops_max = 1, .value_bytes_max = 10, .store = fixture.store, .token = &token};
    for (int may_write = 1; may_write >= 0; --may_write) {
        token.scope = may_write ? CAIRN_SCOPE_WRITE : CAIRN_SCOPE_READ;
        for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); ++i) {
            cairn_batch_ops_t ops = {.list = NULL};
            cairn_batch_fault_t fault;
            bool is_good = cairn_batch_parse((cairn_bytes_t){rows[i].body, strlen(rows[i].body)},
                                             &narrow, &ops, &fault);
            cairn_problem_t wanted = may_write ? rows[i].problem : CAIRN_PROBLEM_FORBIDDEN;
            CU_ASSERT_EQUAL(is_good ? CAIRN_PROBLEM_COUNT : fault.problem, wanted);
            cairn_batch_ops_dispose(&ops);
        }
    }
    close_store();
}

void suite_batch_gets(void)
{
    CU_pSuite s = CU_add_suite("batch_gets: lines that look as most do, read at speed", NULL, NULL);
    CU_add_test(s, "lines as most clients write them are taken", what_is_taken);
    CU_add_test(s, "limits are the same", limits_are_kept);
    CU_add_test(s, "so is what a token allows", a_token_narrows);
    CU_add_test(s, "changed bodies are read alike by both", changed_bodies_are_read_alike);
    CU_add_test(s, "changed lines are what JSON says", changed_lines_are_what_json_says);
    CU_add_test(s, "plain writes are judged like others", plain_writes_are_judged_like_others);
}
