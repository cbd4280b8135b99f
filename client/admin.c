/*
 * client/admin.c - looking after a server.
 */
#include "client/client_internal.h"

#include <stdlib.h>
#include <string.h>

/** the last answer as a text that the caller frees */
static cairn_client_err_t take_text(cairn_client_t *db, char **text)
{
    cairn_client_buffer_add(&db->answer, "", 0);
    *text = db->answer.bytes;
    db->answer = (cairn_client_buffer_t){.bytes = NULL};
    if (*text != NULL)
        return CAIRN_CLIENT_OK;
    return cairn_client_fail(db, CAIRN_CLIENT_NOMEM, "%s",
                             cairn_client_strerror(CAIRN_CLIENT_NOMEM));
}

cairn_client_err_t cairn_client_fetch(cairn_client_t *db, const char *path, char **text)
{
    *text = NULL;
    if (db == NULL)
        return CAIRN_CLIENT_NOMEM;
    cairn_client_target(db, path, NULL, 0);
    cairn_client_err_t err = cairn_client_send(db, &(cairn_client_request_t){.method = NULL});
    return err == CAIRN_CLIENT_OK ? take_text(db, text) : err;
}

cairn_client_err_t cairn_snapshot(cairn_client_t *db, const char *name, char **json)
{
    if (json != NULL)
        *json = NULL;
    if (db == NULL)
        return CAIRN_CLIENT_NOMEM;
    cairn_client_target(db, "/v1/admin/snapshot", NULL, 0);
    cairn_client_query(db, "name", name, strlen(name));
    cairn_client_err_t err = cairn_client_send(
        db, &(cairn_client_request_t){.method = "POST", .body = "", .is_once = true});
    return err == CAIRN_CLIENT_OK && json != NULL ? take_text(db, json) : err;
}

cairn_client_err_t cairn_compact(cairn_client_t *db)
{
    if (db == NULL)
        return CAIRN_CLIENT_NOMEM;
    cairn_client_target(db, "/v1/admin/compact", NULL, 0);
    return cairn_client_send(db, &(cairn_client_request_t){.method = "POST", .body = ""});
}
