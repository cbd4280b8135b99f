/*
 * Is each code that a problem can have in docs/openapi.yaml, and met by a client in some suite?
 */
#include <CUnit/CUnit.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "server/reply.h"
#include "tests/store_fixture.h"
#include "tests/suites.h"
#include "tests/yaml_json.h"

static json_t *doc;

static int start(void)
{
    doc = yaml_json_load("docs/openapi.yaml");
    return doc == NULL;
}

static int end(void)
{
    json_decref(doc);
    return 0;
}

static const char *text_of(const json_t *json, const char *name, const char *other)
{
    const char *text = json_string_value(json_object_get(json, name));
    return text != NULL ? text : other;
}

typedef struct st_codes_t {
    bool found[CAIRN_PROBLEM_COUNT];
} codes_t;

/* the value of an example that is a problem */
static void look_at_problem(const json_t *object, void *ctx)
{
    static const struct {
        int status;
        const char *code, *title;
    } rows[] = {
#define X(name, status, code, title) {status, code, title},
        CAIRN_PROBLEMS(X)
#undef X
    };
    const json_t *value = json_object_get(object, "value");
    const char *code = text_of(value, "code", NULL);
    if (code == NULL)
        return;
    for (size_t i = 0; i < CAIRN_PROBLEM_COUNT; ++i)
        if (strcmp(rows[i].code, code) == 0) {
            ((codes_t *)ctx)->found[i] = true;
            CU_ASSERT_EQUAL(json_integer_value(json_object_get(value, "status")), rows[i].status);
            CU_ASSERT_STRING_EQUAL(text_of(value, "title", ""), rows[i].title);
            return;
        }
    fprintf(stderr, "\n    no such code: %s\n", code);
    CU_FAIL("an example with a code that is none");
}

static void every_problem_has_an_example(void)
{
    codes_t codes = {.found = {false}};
    json_walk(doc, look_at_problem, &codes);
    for (cairn_problem_t i = 0; i < CAIRN_PROBLEM_COUNT; ++i) {
        if (!codes.found[i])
            fprintf(stderr, "\n    without an example: %s\n", cairn_problem_code(i));
        CU_ASSERT(codes.found[i]);
    }
}

/* whether the source of a suite has this code in quotes, as it stands in C or within a text */
static bool suite_has(const char *suite, const char *code)
{
    char path[128], plain[64], escaped[64];
    size_t count;
    snprintf(path, sizeof(path), "tests/test_%s.c", suite);
    snprintf(plain, sizeof(plain), "\"%s\"", code);
    snprintf(escaped, sizeof(escaped), "\\\"%s\\\"", code);
    uint8_t *source = read_file(path, &count);
    bool has = memmem(source, count, plain, strlen(plain)) != NULL ||
               memmem(source, count, escaped, strlen(escaped)) != NULL;
    free(source);
    return has;
}

/* an example that the suite openapi does not send says which suite meets its code */
static void look_at_unsent(const json_t *object, void *ctx)
{
    static const char see[] = "see the suite ";
    const char *why = text_of(object, "x-not-sent", NULL);
    const char *code = text_of(json_object_get(object, "value"), "code", NULL);
    if (why == NULL || code == NULL)
        return;
    const char *suite = strstr(why, see);
    bool is_met = suite != NULL ? suite_has(suite + strlen(see), code)
                                /* the one that nobody should ever meet */
                                : strcmp(code, cairn_problem_code(CAIRN_PROBLEM_INTERNAL)) == 0;
    if (!is_met)
        fprintf(stderr, "\n    not met: %s, %s\n", code, why);
    CU_ASSERT(is_met);
    ++*(unsigned *)ctx;
}

static void what_is_not_sent_is_met_elsewhere(void)
{
    unsigned count = 0;
    json_walk(doc, look_at_unsent, &count);
    CU_ASSERT(count >= 10);
}

void suite_openapi_codes(void)
{
    CU_pSuite s = CU_add_suite("openapi_codes: each code is described and met", start, end);
    CU_add_test(s, "every problem has an example", every_problem_has_an_example);
    CU_add_test(s, "what is not sent is met elsewhere", what_is_not_sent_is_met_elsewhere);
}
