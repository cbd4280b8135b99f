/*
 * Writes, and what GET /v1/changes says of them.
 */
#include "tests/changes_call.h"

#include <CUnit/CUnit.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

uint64_t changes_put(http_conn_t *conn, const char *target, const void *value, size_t bytes)
{
    http_response_t res;
    exchange(conn, "PUT", target, NULL, value, bytes, &res);
    CU_ASSERT(res.status == 201 || res.status == 204);
    uint64_t version = version_of(&res);
    http_response_dispose(&res);
    return version;
}

uint64_t changes_put_text(http_conn_t *conn, const char *target, const char *value)
{
    return changes_put(conn, target, value, strlen(value));
}

uint64_t changes_delete(http_conn_t *conn, const char *target)
{
    http_response_t res;
    exchange(conn, "DELETE", target, NULL, NULL, 0, &res);
    CU_ASSERT_EQUAL(res.status, 204);
    uint64_t version = version_of(&res);
    http_response_dispose(&res);
    return version;
}

/* the version that the answer says to go on from */
uint64_t changes_looked_at(const http_response_t *res)
{
    const char *text = http_header(res, "cairn-version");
    return text != NULL ? strtoull(text, NULL, 10) : UINT64_MAX;
}

void changes_get(http_conn_t *conn, const char *target, http_response_t *res)
{
    exchange(conn, "GET", target, NULL, NULL, 0, res);
    if (res->status != 200)
        fprintf(stderr, "\n%s: %s\n", target, res->body);
    CU_ASSERT_EQUAL_FATAL(res->status, 200);
    CU_ASSERT(header_is(res, "content-type", "application/x-ndjson"));
    CU_ASSERT(header_is(res, "cache-control", "no-store"));
}

uint64_t changes_newest(http_conn_t *conn)
{
    http_response_t res;
    changes_get(conn, CHANGES "?since=now", &res);
    uint64_t version = changes_looked_at(&res);
    http_response_dispose(&res);
    return version;
}
