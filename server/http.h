/*
 * server/http.h - libh2o, as this program uses it: the one place that includes it.
 */
#ifndef CAIRN_SERVER_HTTP_H
#define CAIRN_SERVER_HTTP_H

#include <h2o.h>

/* without -DH2O_USE_EPOLL=1 the headers speak of another event loop than the library has */
_Static_assert(H2O_USE_LIBUV == 0, "compile with -DH2O_USE_EPOLL=1");

#endif
