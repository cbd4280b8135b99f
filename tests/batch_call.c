/*
 * Batches asked for over HTTP.
 */
#include "tests/batch_call.h"

#include <CUnit/CUnit.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

/* the body of a 200; the caller frees it */
char *batch_ask(http_conn_t *conn, const char *target, const char *body, size_t body_bytes)
{
    http_response_t res;
    exchange(conn, "POST", target, "Content-Type: application/x-ndjson\r\n", body, body_bytes,
             &res);
    CU_ASSERT_EQUAL(res.status, 200);
    if (res.status != 200)
        fprintf(stderr, "\n%s\n", res.body);
    CU_ASSERT(header_is(&res, "content-type", "application/x-ndjson"));
    char *text = strdup(res.body);
    http_response_dispose(&res);
    return text;
}

/* whether the answer is this, where # stands for any version */
bool batch_answers(http_conn_t *conn, const char *target, const char *body, const char *expected)
{
    char *text = batch_ask(conn, target, body, strlen(body));
    const char *at = text;
    bool same = true;
    for (const char *e = expected; *e != '\0' && same; ++e) {
        if (*e != '#') {
            same = *at++ == *e;
            continue;
        }
        same = *at >= '1' && *at <= '9';
        at += strspn(at, "0123456789");
    }
    same = same && *at == '\0';
    if (!same)
        fprintf(stderr, "\nexpected %s\nanswer   %s\n", expected, text);
    free(text);
    return same;
}

/* whether it is refused with this problem about this line; 0: about none */
bool batch_refuses_bytes(http_conn_t *conn, const char *target, const char *body, size_t bytes,
                         int status, const char *code, int line)
{
    http_response_t res;
    exchange(conn, "POST", target, NULL, body, bytes, &res);
    bool is_right = is_problem(&res, status, code);
    json_t *json = json_loads(res.body, 0, NULL);
    is_right = is_right && json_integer_value(json_object_get(json, "line")) == line;
    if (!is_right)
        fprintf(stderr, "\n%.200s\nanswer %s\n", body, res.body);
    json_decref(json);
    http_response_dispose(&res);
    return is_right;
}

bool batch_refuses(http_conn_t *conn, const char *target, const char *body, int status,
                   const char *code, int line)
{
    return batch_refuses_bytes(conn, target, body, strlen(body), status, code, line);
}

bool batch_has_none(http_conn_t *conn, const char *target)
{
    return exchange_status(conn, "GET", target, NULL, NULL, 0) == 404;
}

static long long commit_count(http_conn_t *conn)
{
    http_response_t res;
    exchange(conn, "GET", "/v1/stats", NULL, NULL, 0, &res);
    json_t *json = json_loads(res.body, 0, NULL);
    long long count =
        json_integer_value(json_object_get(json_object_get(json, "commits"), "count"));
    json_decref(json);
    http_response_dispose(&res);
    return count;
}

long long batch_commit_count(http_conn_t *conn)
{
    long long count, before;
    do {
        before = commit_count(conn);
        sleep_ms(200); /* ten times as long as the writer waits with the MARK */
        count = commit_count(conn);
    } while (count != before);
    return count;
}

size_t batch_line_count(const char *text)
{
    size_t count = 0;
    for (; (text = strchr(text, '\n')) != NULL; ++text)
        ++count;
    return count;
}
