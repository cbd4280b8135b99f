/*
 * server/admin.c - looking after the store: snapshots, compaction.
 *
 * Snapshots wait for the disk, so they are made, listed and removed on the I/O pool.
 */
#include "server/admin.h"

#include <jansson.h>

#include "server/pending.h"
#include "server/reply.h"
#include "server/write_request.h"
#include "storage/snapshot.h"

typedef struct st_snapshot_job_t {
    cairn_pending_job_t super;
    char name[CAIRN_SNAPSHOT_NAME_BYTES_MAX + 1];
    cairn_snapshot_t snapshot;
    json_t *list;
    cairn_err_t err;
} snapshot_job_t;

static cairn_store_t *store_of(const snapshot_job_t *job)
{
    return cairn_pending_store(job->super.req);
}

/* ---------------------------------------------------------------- answers */

static json_t *snapshot_json(const h2o_req_t *req, const cairn_snapshot_t *snapshot)
{
    const cairn_config_t *config = cairn_worker_of(req)->server->config;
    return json_pack("{s:s, s:I, s:o, s:I, s:I}", "name", snapshot->name, "version",
                     (json_int_t)snapshot->version, "path",
                     json_sprintf("%s/snapshots/%s", config->storage_path, snapshot->name), "bytes",
                     (json_int_t)snapshot->bytes, "segments", (json_int_t)snapshot->segments);
}

static void reply_json(h2o_req_t *req, int status, const char *reason, json_t *json)
{
    char *text = json != NULL ? json_dumps(json, JSON_COMPACT) : NULL;
    json_decref(json);
    if (text == NULL) {
        cairn_reply_err(req, CAIRN_ERR_NOMEM);
        return;
    }
    h2o_iovec_t body = h2o_strdup(&req->pool, text, strlen(text));
    free(text);
    req->res.status = status;
    req->res.reason = reason;
    h2o_add_header(&req->pool, &req->res.headers, H2O_TOKEN_CONTENT_TYPE, NULL,
                   H2O_STRLIT("application/json"));
    cairn_reply_body(req, body.base, body.len);
}

static void reply_err(h2o_req_t *req, cairn_err_t err)
{
    if (err == CAIRN_ERR_EXISTS)
        cairn_reply_problem(req, CAIRN_PROBLEM_SNAPSHOT_EXISTS,
                            "there is a snapshot of this name, or it is being made");
    else if (err == CAIRN_ERR_NOT_FOUND)
        cairn_reply_problem(req, CAIRN_PROBLEM_NO_SUCH_SNAPSHOT, "there is no such snapshot");
    else if (err == CAIRN_ERR_IO)
        cairn_reply_problem(req, CAIRN_PROBLEM_WRITE_FAILED,
                            "the disk could not do it; nothing of it is left");
    else
        cairn_reply_err(req, err);
}

/* ---------------------------------------------------------------- jobs */

static void make(cairn_pending_job_t *super)
{
    snapshot_job_t *job = (snapshot_job_t *)super;
    job->err = cairn_store_snapshot(store_of(job), job->name, &job->snapshot);
}

static void on_made(cairn_pending_job_t *super)
{
    snapshot_job_t *job = (snapshot_job_t *)super;
    if (job->err == CAIRN_OK)
        reply_json(super->req, 201, "Created", snapshot_json(super->req, &job->snapshot));
    else
        reply_err(super->req, job->err);
}

static void add_to_list(void *ctx, const cairn_snapshot_t *snapshot)
{
    snapshot_job_t *job = ctx;
    json_array_append_new(job->list, snapshot_json(job->super.req, snapshot));
}

static void list(cairn_pending_job_t *super)
{
    snapshot_job_t *job = (snapshot_job_t *)super;
    job->err = cairn_store_list_snapshots(store_of(job), add_to_list, job);
}

static void on_listed(cairn_pending_job_t *super)
{
    snapshot_job_t *job = (snapshot_job_t *)super;
    if (job->err == CAIRN_OK)
        reply_json(super->req, 200, "OK", json_incref(job->list));
    else
        reply_err(super->req, job->err);
}

static void remove_it(cairn_pending_job_t *super)
{
    snapshot_job_t *job = (snapshot_job_t *)super;
    job->err = cairn_store_remove_snapshot(store_of(job), job->name);
}

static void on_removed(cairn_pending_job_t *super)
{
    snapshot_job_t *job = (snapshot_job_t *)super;
    if (job->err == CAIRN_OK)
        cairn_reply_empty(super->req, 204, "No Content");
    else
        reply_err(super->req, job->err);
}

/* ---------------------------------------------------------------- requests */

/** false, and the request has been answered, if there is none or it is no good */
static bool read_name(h2o_req_t *req, char name[CAIRN_SNAPSHOT_NAME_BYTES_MAX + 1])
{
    h2o_iovec_t text = {NULL, 0};
    if (cairn_write_request_param(req, "name", &text) && text.base == NULL)
        return false;
    if (!cairn_snapshot_name_is_good(text.base, text.len)) {
        cairn_reply_problem(req, CAIRN_PROBLEM_BAD_NAME,
                            "give one, ?name=NAME: up to %d letters, digits, - _ and dots, the "
                            "first not a dot, the end not .tmp",
                            CAIRN_SNAPSHOT_NAME_BYTES_MAX);
        return false;
    }
    memcpy(name, text.base, text.len);
    name[text.len] = '\0';
    return true;
}

static void on_dispose(void *p)
{
    json_decref(((snapshot_job_t *)p)->list);
}

static void run(h2o_req_t *req, const char *name, void (*work)(cairn_pending_job_t *),
                void (*on_worked)(cairn_pending_job_t *))
{
    snapshot_job_t *job = h2o_mem_alloc_shared(&req->pool, sizeof(*job), on_dispose);
    *job = (snapshot_job_t){.super = {.req = req, .work = work, .on_worked = on_worked},
                            .list = json_array()};
    strcpy(job->name, name);
    cairn_pending_run(&job->super);
}

static void handle_snapshot(h2o_req_t *req)
{
    char name[CAIRN_SNAPSHOT_NAME_BYTES_MAX + 1];
    if (cairn_method_is(req, "GET") || cairn_method_is(req, "HEAD"))
        run(req, "", list, on_listed);
    else if (!cairn_method_is(req, "POST") && !cairn_method_is(req, "DELETE"))
        cairn_reply_method_not_allowed(req, "GET, HEAD, POST, DELETE");
    else if (!read_name(req, name))
        return;
    else if (cairn_method_is(req, "POST"))
        run(req, name, make, on_made);
    else
        run(req, name, remove_it, on_removed);
}

/** upkeep does the work, at its own pace: the answer only says where to look */
static void handle_compact(h2o_req_t *req)
{
    cairn_store_t *store = cairn_pending_store(req);
    if (!cairn_method_is(req, "POST")) {
        cairn_reply_method_not_allowed(req, "POST");
    } else if (cairn_store_has_failed(store)) {
        cairn_reply_err(req, CAIRN_ERR_FAILED);
    } else {
        cairn_store_compact(store);
        reply_json(req, 202, "Accepted", json_pack("{s:s}", "progress", "/v1/stats#/compaction"));
    }
}

bool cairn_admin_handle(h2o_req_t *req, h2o_iovec_t path)
{
    if (h2o_memis(path.base, path.len, H2O_STRLIT("/v1/admin/snapshot")))
        handle_snapshot(req);
    else if (h2o_memis(path.base, path.len, H2O_STRLIT("/v1/admin/compact")))
        handle_compact(req);
    else
        return false;
    return true;
}
