/*
 * The server that hostile suites ask, and whether it is unharmed.
 */
#include "tests/hostile.h"

#include <CUnit/CUnit.h>

site_t hostile_site;
static size_t base_line; /* descriptors of the server without clients */

int hostile_start(void)
{
    if (site_start(&hostile_site, TEMP_DIR_IN_MEMORY, NULL) != 0)
        return 1;
    /* what is opened once and then kept is open after the first write */
    http_conn_t conn;
    http_response_t res;
    if (!http_open(&conn, hostile_site.server.port) ||
        !http_request(&conn, "PUT", "/v1/kv/first", NULL, "x", 1, &res))
        return 1;
    http_response_dispose(&res);
    http_close(&conn);
    base_line = fd_base_line(hostile_site.server.pid);
    return 0;
}

int hostile_end(void)
{
    return site_end(&hostile_site);
}

void check_unharmed(void)
{
    CU_ASSERT(site_answers(&hostile_site));
    CU_ASSERT(fd_count_comes_to(hostile_site.server.pid, base_line));
}
