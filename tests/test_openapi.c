/*
 * Is docs/openapi.yaml true? Sends every example in it to a real server; docs/openapi.yaml says in
 * its first lines what its extensions mean.
 */
#include <CUnit/CUnit.h>

#include <regex.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <jansson.h>

#include "tests/site.h"
#include "tests/suites.h"
#include "tests/yaml_json.h"

#define FLAGS_MAX 15

static json_t *doc;
static char tokens_file[] = "/tmp/cairn-openapi-XXXXXX";

/* sums of reader-secret, shop-secret, shop-admin-secret */
static const char tokens[] =
    "auth:\n"
    "  tokens:\n"
    "    - name: reader\n"
    "      sha256: f03319dee240faa729e0cfa7ab5ffd80a1d64a127e3643f239009abff6382914\n"
    "      scope: read\n"
    "    - name: shop\n"
    "      sha256: 3c655a3878fd8e4145a5facca30188ce74792ddff5d57aaf2203bbe74a940cb5\n"
    "      scope: write\n"
    "      prefix: shop/\n"
    "    - name: shop-admin\n"
    "      sha256: 61a90b7047134964711ec3e0e7d646ccd232f450a4bb8d307d37dd64af229181\n"
    "      scope: admin\n"
    "      prefix: shop/\n";

static int start(void)
{
    int fd = mkstemp(tokens_file);
    doc = yaml_json_load("docs/openapi.yaml");
    if (doc == NULL || fd < 0)
        return 1;
    ssize_t written = write(fd, tokens, sizeof(tokens) - 1);
    close(fd);
    return written != sizeof(tokens) - 1;
}

static int end(void)
{
    json_decref(doc);
    return unlink(tokens_file);
}

/* ---------------------------------------------------------------- the document */

/* follows a JSON pointer of this document, #/a/b~1c */
static const json_t *follow(const char *pointer)
{
    const json_t *at = doc;
    while (*pointer == '#')
        ++pointer;
    while (*pointer == '/' && at != NULL) {
        char name[128];
        size_t count = 0;
        for (++pointer; *pointer != '\0' && *pointer != '/' && count + 1 < sizeof(name); ++pointer)
            name[count++] = *pointer;
        name[count] = '\0';
        at = json_object_get(at, name);
    }
    return at;
}

static const json_t *resolve(const json_t *json)
{
    const char *reference = json_string_value(json_object_get(json, "$ref"));
    return reference != NULL ? follow(reference) : json;
}

static bool is_reference(const json_t *json)
{
    return json_object_get(json, "$ref") != NULL;
}

static const char *text_of(const json_t *json, const char *name, const char *other)
{
    const char *text = json_string_value(json_object_get(json, name));
    return text != NULL ? text : other;
}

/* ---------------------------------------------------------------- what is sent */

typedef struct st_place_t {
    const char *method, *target; /* of the operation; NULL where there is none */
    const char *status;          /* as the responses are named, or "default" */
    const char *type;            /* of the body; NULL without one */
} place_t;

static char *padded(const char *text, const json_t *pad, const char *end_text)
{
    size_t count = strlen(text), more = (size_t)json_integer_value(pad);
    char *all = malloc(count + more + strlen(end_text) + 1);
    CU_ASSERT_PTR_NOT_NULL_FATAL(all);
    memcpy(all, text, count);
    memset(all + count, 'a', more);
    strcpy(all + count + more, end_text);
    return all;
}

/* whole header lines */
static char *header_lines(const json_t *request)
{
    const char *name;
    json_t *value;
    size_t bytes = 0, more = (size_t)json_integer_value(json_object_get(request, "pad_headers"));
    char *lines = NULL;
    FILE *out = open_memstream(&lines, &bytes);
    CU_ASSERT_PTR_NOT_NULL_FATAL(out);
    json_object_foreach(json_object_get(request, "headers"), name, value)
    {
        fprintf(out, "%s: %s", name, json_string_value(value));
        for (; more != 0; --more)
            fputc('a', out);
        fputs("\r\n", out);
    }
    fclose(out);
    return lines;
}

static void send_request(http_conn_t *conn, const json_t *request, const place_t *place,
                         http_response_t *res)
{
    const char *body = text_of(request, "body", NULL);
    char *target = padded(text_of(request, "target", place->target),
                          json_object_get(request, "pad_target"), "");
    char *lines = header_lines(request);
    char *bytes = body == NULL ? NULL
                               : padded(body, json_object_get(request, "pad_body"),
                                        text_of(request, "body_end", ""));
    exchange(conn, text_of(request, "method", place->method), target, lines, bytes,
             bytes != NULL ? strlen(bytes) : 0, res);
    free(target);
    free(lines);
    free(bytes);
}

/* ---------------------------------------------------------------- what is answered */

static bool is_like(const char *text, const char *expression)
{
    regex_t pattern;
    if (text == NULL)
        return false;
    CU_ASSERT_EQUAL_FATAL(regcomp(&pattern, expression, REG_EXTENDED | REG_NOSUB), 0);
    bool is_match = regexec(&pattern, text, 0, NULL, 0) == 0;
    regfree(&pattern);
    return is_match;
}

/* whether a text is this, or like this if it begins with ^ */
static bool matches(const char *text, const char *expected)
{
    return expected[0] == '^' ? is_like(text, expected)
                              : text != NULL && strcmp(text, expected) == 0;
}

static bool headers_hold(const http_response_t *res, const json_t *response, const json_t *example)
{
    const char *name;
    json_t *value;
    json_object_foreach(json_object_get(response, "headers"), name, value)
    {
        const json_t *header = resolve(value);
        const char *pattern = text_of(json_object_get(header, "schema"), "pattern", "^");
        if (!json_is_true(json_object_get(header, "required")) ||
            !is_like(http_header(res, name), pattern))
            return false;
    }
    json_object_foreach(json_object_get(example, "x-headers"), name, value)
    {
        if (!matches(http_header(res, name), json_string_value(value)))
            return false;
    }
    return true;
}

/* whether `json` has at least the members of `example`, of the same types */
static bool has_shape(const json_t *json, const json_t *example)
{
    const char *name;
    json_t *value;
    if (json_is_number(example))
        return json_is_number(json);
    if (json_is_boolean(example))
        return json_is_boolean(json);
    if (json_typeof(json) != json_typeof(example))
        return false;
    json_object_foreach((json_t *)example, name, value)
    {
        const json_t *member = json_object_get(json, name);
        if (member == NULL || !has_shape(member, value))
            return false;
    }
    return !json_is_array(example) || json_array_size(example) == 0 ||
           (json_array_size(json) != 0 &&
            has_shape(json_array_get(json, 0), json_array_get(example, 0)));
}

static bool has_lines(const char *text, const char *lines)
{
    size_t count;
    for (; *lines != '\0'; lines += count + 1) {
        count = strcspn(lines, "\n");
        const char *at = text;
        while (at != NULL && (strncmp(at, lines, count) != 0 || at[count] != '\n'))
            at = strchr(at, '\n') != NULL ? strchr(at, '\n') + 1 : NULL;
        if (at == NULL || lines[count] == '\0')
            return false;
    }
    return true;
}

static bool body_holds(const http_response_t *res, const json_t *example)
{
    const json_t *value = json_object_get(example, "value");
    const char *compare = text_of(example, "x-compare", "");
    if (json_is_string(value))
        return strcmp(compare, "lines") == 0
                   ? has_lines(res->body, json_string_value(value))
                   : body_is(res, json_string_value(value), json_string_length(value));
    json_t *body = json_loads(res->body, 0, NULL);
    bool holds = body != NULL &&
                 (strcmp(compare, "shape") == 0 ? has_shape(body, value) : json_equal(body, value));
    json_decref(body);
    return holds;
}

static bool answer_holds(const http_response_t *res, const place_t *place, const json_t *response,
                         const json_t *example)
{
    bool is_any = strcmp(place->status, "default") == 0;
    int status =
        is_any
            ? (int)json_integer_value(json_object_get(json_object_get(example, "value"), "status"))
            : atoi(place->status);
    bool has_body = place->type != NULL;
    return res->status == status && headers_hold(res, response, example) &&
           (!has_body ||
            (matches(http_header(res, "content-type"), place->type) && body_holds(res, example))) &&
           (has_body || res->body_bytes == 0);
}

/* ---------------------------------------------------------------- examples */

static void start_for(site_t *site, const json_t *flags)
{
    const char *args[FLAGS_MAX + 1] = {"--config", tokens_file};
    size_t i;
    json_t *flag;
    if (json_is_array(flags))
        json_array_foreach(flags, i, flag) args[i] = json_string_value(flag);
    else if (flags == NULL)
        args[0] = NULL;
    CU_ASSERT_EQUAL_FATAL(site_start_in_memory(site, args), 0);
}

static bool example_holds(const site_t *site, const place_t *place, const json_t *response,
                          const json_t *example)
{
    http_conn_t conn;
    http_response_t res;
    size_t i;
    json_t *request;
    bool holds = true;
    site_open(site, &conn);
    json_array_foreach(json_object_get(example, "x-before"), i, request)
    {
        send_request(&conn, request, place, &res);
        holds &= res.status / 100 == 2;
        http_response_dispose(&res);
    }
    send_request(&conn, json_object_get(example, "x-request"), place, &res);
    holds &= answer_holds(&res, place, response, example);
    if (!holds)
        fprintf(stderr, "\n    answered:\n%s%s\n", res.head, res.body);
    http_response_dispose(&res);
    http_close(&conn);
    return holds;
}

/* the number of those sent */
static size_t send_examples(const site_t *site, const place_t *place, const json_t *response,
                            const json_t *examples)
{
    const char *name;
    json_t *example;
    size_t count = 0;
    json_object_foreach((json_t *)examples, name, example)
    {
        const json_t *flags = json_object_get(example, "x-server");
        site_t own;
        if (json_object_get(example, "x-not-sent") != NULL)
            continue;
        if (flags != NULL)
            start_for(&own, flags);
        bool holds = example_holds(flags != NULL ? &own : site, place, response, example);
        if (!holds)
            fprintf(stderr, "    example %s\n", name);
        CU_ASSERT(holds);
        if (flags != NULL)
            CU_ASSERT_EQUAL(site_end(&own), 0);
        ++count;
    }
    return count;
}

static size_t send_response(const site_t *site, place_t place, const json_t *response)
{
    const char *type;
    json_t *media;
    place.type = NULL;
    size_t count = send_examples(site, &place, response, json_object_get(response, "x-examples"));
    json_object_foreach(json_object_get(response, "content"), type, media)
    {
        place.type = type;
        count += send_examples(site, &place, response, json_object_get(media, "examples"));
    }
    return count;
}

static void upper(const char *text, char *out)
{
    while ((*out++ = (char)(*text >= 'a' && *text <= 'z' ? *text - 'a' + 'A' : *text)) != '\0')
        ++text;
}

static void send_operation(const site_t *site, const char *path, const char *name,
                           const json_t *operation)
{
    char method[16];
    const char *status;
    json_t *response;
    size_t count = 0;
    upper(name, method);
    json_object_foreach(json_object_get(operation, "responses"), status, response)
    {
        place_t place = {.method = method, .target = path, .status = status};
        if (is_reference(response))
            continue; /* sent once for all */
        size_t sent = send_response(site, place, response);
        CU_ASSERT(sent != 0);
        count += sent;
    }
    CU_ASSERT(count != 0);
}

static bool is_method(const char *name)
{
    static const char *const methods[] = {"get", "head", "put", "post", "delete"};
    for (size_t i = 0; i < sizeof(methods) / sizeof(methods[0]); ++i)
        if (strcmp(name, methods[i]) == 0)
            return true;
    return false;
}

static void examples_of_operations(void)
{
    const char *path, *name;
    json_t *item, *operation;
    json_object_foreach(json_object_get(doc, "paths"), path, item)
    {
        site_t site;
        start_for(&site, NULL);
        json_object_foreach(item, name, operation)
        {
            if (is_method(name))
                send_operation(&site, path, name, operation);
        }
        CU_ASSERT_EQUAL(site_end(&site), 0);
    }
}

static void examples_of_shared_answers(void)
{
    const char *name;
    json_t *response;
    site_t site;
    start_for(&site, NULL);
    json_object_foreach((json_t *)follow("#/components/responses"), name, response)
    {
        place_t place = {.status = "default"};
        send_response(&site, place, response);
    }
    CU_ASSERT_EQUAL(site_end(&site), 0);
}

/* an answer that is not what an example says is noticed */
static void wrong_examples_are_noticed(void)
{
    static const char *const wrong[] = {
        "{\"x-request\":{},\"value\":\"other\"}",
        "{\"x-request\":{},\"value\":\"\",\"x-headers\":{\"ETag\":\"\\\"1\\\"\"}}",
        "{\"x-request\":{\"target\":\"/livez\"},\"value\":\"\"}",
        "{\"x-request\":{\"method\":\"POST\"},\"value\":\"\"}",
        "{\"x-request\":{},\"x-before\":[{\"target\":\"/none\"}],\"value\":\"\"}",
        "{\"x-request\":{},\"x-compare\":\"lines\",\"value\":\"one\\n\"}",
        "{\"x-request\":{},\"x-compare\":\"shape\",\"value\":{\"a\":1}}"};
    const char good[] = "{\"x-request\":{},\"x-compare\":\"lines\",\"value\":\"\"}";
    const place_t place = {"GET", "/", "200", "text/plain; charset=utf-8"};
    site_t site;
    start_for(&site, NULL);
    json_t *response = json_object(), *example = json_loads(good, 0, NULL);
    CU_ASSERT(example_holds(&site, &place, response, example));
    json_decref(example);
    FILE *complaints = stderr;
    stderr = fopen("/dev/null", "w");
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); ++i) {
        example = json_loads(wrong[i], 0, NULL);
        CU_ASSERT_PTR_NOT_NULL_FATAL(example);
        CU_ASSERT_FALSE(example_holds(&site, &place, response, example));
        json_decref(example);
    }
    fclose(stderr);
    stderr = complaints;
    json_decref(response);
    CU_ASSERT_EQUAL(site_end(&site), 0);
}

/* ---------------------------------------------------------------- completeness */

static void look_at_reference(const json_t *object, void *ctx)
{
    const char *reference = json_string_value(json_object_get(object, "$ref"));
    if (reference == NULL)
        return;
    ++*(size_t *)ctx;
    bool leads_somewhere = follow(reference) != NULL;
    if (!leads_somewhere)
        fprintf(stderr, "\n    %s\n", reference);
    CU_ASSERT(leads_somewhere);
}

static void look_at_operation(const json_t *object, void *ctx)
{
    const char *id = json_string_value(json_object_get(object, "operationId"));
    if (id == NULL)
        return;
    CU_ASSERT_PTR_NULL(json_object_get(ctx, id));
    json_object_set_new(ctx, id, json_true());
    CU_ASSERT_PTR_NOT_NULL(json_object_get(object, "summary"));
    CU_ASSERT_PTR_NOT_NULL(json_object_get(json_object_get(object, "responses"), "default"));
}

static void the_document_is_whole(void)
{
    size_t references = 0;
    json_t *ids = json_object();
    CU_ASSERT_EQUAL(strncmp(text_of(doc, "openapi", ""), "3.1.", 4), 0);
    json_walk(doc, look_at_reference, &references);
    json_walk(doc, look_at_operation, ids);
    CU_ASSERT(references > 100);
    CU_ASSERT(json_object_size(ids) > 20);
    json_decref(ids);
}

/* the paths of the contract: all are described, and nothing else is */
static void every_path_is_described(void)
{
    char paths[] = "/v1/kv/{key} /v1/incr/{key} /v1/append/{key} /v1/sync /v1/batch /v1/keys "
                   "/v1/scan /v1/changes /set /get /delete /livez /readyz /metrics /v1/stats "
                   "/v1/admin/snapshot /v1/admin/compact / /dashboard";
    const json_t *described = json_object_get(doc, "paths");
    size_t count = 0;
    for (char *path = strtok(paths, " "); path != NULL; path = strtok(NULL, " "), ++count)
        if (json_object_get(described, path) == NULL) {
            fprintf(stderr, "\n    not described: %s\n", path);
            CU_FAIL("a path is not described");
        }
    CU_ASSERT_EQUAL(json_object_size(described), count);
}

/* the target of a path: its parameter becomes a key */
static void target_of(const char *path, char *target, size_t room)
{
    const char *brace = strchr(path, '{');
    snprintf(target, room, "%.*s%s", (int)(brace != NULL ? brace - path : (int)strlen(path)), path,
             brace != NULL ? "key" : "");
}

/* what is not described is 405, and Allow says what is */
static void other_methods_are_not_allowed(void)
{
    static const char *const methods[] = {"GET", "HEAD", "PUT", "POST", "DELETE", "PATCH"};
    const char *path;
    json_t *item;
    site_t site;
    http_conn_t conn;
    http_response_t res;
    start_for(&site, NULL);
    site_open(&site, &conn);
    json_object_foreach(json_object_get(doc, "paths"), path, item)
    {
        char target[64], allow[64] = "", name[16];
        target_of(path, target, sizeof(target));
        for (size_t i = 0; i < 6; ++i) {
            snprintf(name, sizeof(name), "%s", methods[i]);
            for (char *c = name; *c != '\0'; ++c)
                *c = (char)(*c | 0x20);
            if (json_object_get(item, name) != NULL)
                snprintf(allow + strlen(allow), sizeof(allow) - strlen(allow), "%s%s",
                         allow[0] != '\0' ? ", " : "", methods[i]);
        }
        for (size_t i = 0; i < 6; ++i) {
            if (strstr(allow, methods[i]) != NULL)
                continue;
            exchange(&conn, methods[i], target, NULL, NULL, 0, &res);
            CU_ASSERT(is_problem(&res, 405, "method_not_allowed"));
            CU_ASSERT(header_is(&res, "allow", allow));
            http_response_dispose(&res);
        }
    }
    http_close(&conn);
    CU_ASSERT_EQUAL(site_end(&site), 0);
}

void suite_openapi(void)
{
    CU_pSuite s = CU_add_suite("openapi: docs/openapi.yaml is true", start, end);
    CU_add_test(s, "its references lead somewhere", the_document_is_whole);
    CU_add_test(s, "every path is described, and nothing else", every_path_is_described);
    CU_add_test(s, "a wrong example is noticed", wrong_examples_are_noticed);
    CU_add_test(s, "every example of an operation holds", examples_of_operations);
    CU_add_test(s, "every example of a shared answer holds", examples_of_shared_answers);
    CU_add_test(s, "what is not described is not allowed", other_methods_are_not_allowed);
}
