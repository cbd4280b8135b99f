/*
 * server/http.h - libh2o, as this program uses it: the one place that includes it.
 */
#ifndef CAIRN_SERVER_HTTP_H
#define CAIRN_SERVER_HTTP_H

#include <stdbool.h>
#include <string.h>

#include <h2o.h>

/* without -DH2O_USE_EPOLL=1 the headers speak of another event loop than the library has */
_Static_assert(H2O_USE_LIBUV == 0, "compile with -DH2O_USE_EPOLL=1");

/** Whether a request's method is this one; methods are case-sensitive. */
static inline bool cairn_method_is(const h2o_req_t *req, const char *name)
{
    return h2o_memis(req->method.base, req->method.len, name, strlen(name));
}

#endif
