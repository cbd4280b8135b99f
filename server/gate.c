/*
 * server/gate.c - lets requests in.
 */
#include "server/gate.h"

/* ---------------------------------------------------------------- replacing the tokens */

typedef struct st_table_message_t {
    h2o_multithread_message_t super;
    cairn_auth_t *auth; /* with a reference for the worker */
} table_message_t;

void cairn_gate_set_tokens(cairn_server_t *server, const cairn_config_t *config)
{
    cairn_auth_t *auth = cairn_auth_create(config->tokens, config->token_count);

    cairn_auth_release(server->auth);
    server->auth = auth; /* main's; workers that start take theirs from it */
    for (size_t i = 0; i < server->worker_count; ++i) {
        table_message_t *message = h2o_mem_alloc(sizeof(*message));
        *message = (table_message_t){.auth = cairn_auth_acquire(auth)};
        h2o_multithread_send_message(&server->workers[i]->tables, &message->super);
    }
}

void cairn_gate_on_tables(h2o_multithread_receiver_t *receiver, h2o_linklist_t *messages)
{
    cairn_worker_t *worker = H2O_STRUCT_FROM_MEMBER(cairn_worker_t, tables, receiver);
    while (!h2o_linklist_is_empty(messages)) {
        table_message_t *message =
            H2O_STRUCT_FROM_MEMBER(table_message_t, super.link, messages->next);
        h2o_linklist_unlink(&message->super.link);
        cairn_auth_release(worker->auth);
        worker->auth = message->auth;
        ++worker->tables_heard;
        free(message);
    }
}

/* ---------------------------------------------------------------- one request */

static h2o_iovec_t find_authorization(const h2o_req_t *req, bool *is_twice)
{
    ssize_t i = h2o_find_header(&req->headers, H2O_TOKEN_AUTHORIZATION, -1);
    *is_twice = i >= 0 && h2o_find_header(&req->headers, H2O_TOKEN_AUTHORIZATION, i) >= 0;
    return i >= 0 ? req->headers.entries[i].value : h2o_iovec_init(NULL, 0);
}

cairn_problem_t cairn_gate_problem_of(cairn_verdict_t verdict)
{
    return verdict == CAIRN_VERDICT_SCOPE || verdict == CAIRN_VERDICT_BOUND ||
                   verdict == CAIRN_VERDICT_PREFIX
               ? CAIRN_PROBLEM_FORBIDDEN
               : CAIRN_PROBLEM_UNAUTHORIZED;
}

/** none of these says anything of what the client sent: it might be a secret */
void cairn_gate_refuse(h2o_req_t *req, cairn_verdict_t verdict)
{
    static const char *const details[] = {
        [CAIRN_VERDICT_NO_TOKEN] = "send Authorization: Bearer and the secret of a token",
        [CAIRN_VERDICT_MALFORMED] =
            "there must be one Authorization header: Bearer, one space, the secret",
        [CAIRN_VERDICT_UNKNOWN] = "no token has this secret",
        [CAIRN_VERDICT_SCOPE] = "the token's scope does not include this",
        [CAIRN_VERDICT_BOUND] = "this is not for a token that is bound to a key prefix",
        [CAIRN_VERDICT_PREFIX] = "the token is bound to a prefix that this key does not begin with",
    };
    cairn_problem_t problem = cairn_gate_problem_of(verdict);
    if (problem == CAIRN_PROBLEM_UNAUTHORIZED)
        h2o_add_header(&req->pool, &req->res.headers, H2O_TOKEN_WWW_AUTHENTICATE, NULL,
                       H2O_STRLIT("Bearer realm=\"cairn\""));
    cairn_reply_problem(req, problem, "%s", details[verdict]);
}

bool cairn_gate_admit(h2o_req_t *req)
{
    cairn_conn_t *conn = cairn_conn_of(req);
    const cairn_worker_t *worker = conn->worker;
    bool is_twice = false;
    if (conn->auth != worker->auth) {
        cairn_auth_release(conn->auth);
        conn->auth = cairn_auth_acquire(worker->auth);
    }
    if (conn->auth == NULL)
        return true;
    h2o_iovec_t authorization = find_authorization(req, &is_twice);
    if (is_twice) /* which of them would a proxy have looked at? */
        authorization = h2o_iovec_init(H2O_STRLIT(""));
    cairn_auth_request_t request = {
        .method = req->method.base,
        .method_bytes = req->method.len,
        .path = req->path.base,
        .path_bytes = req->query_at != SIZE_MAX ? req->query_at : req->path.len,
        .authorization = authorization.base,
        .authorization_bytes = authorization.len,
    };
    cairn_verdict_t verdict = cairn_auth_judge(conn->auth, &request, &conn->token);
    if (verdict != CAIRN_VERDICT_ALLOWED)
        cairn_gate_refuse(req, verdict);
    return verdict == CAIRN_VERDICT_ALLOWED;
}

cairn_verdict_t cairn_gate_judge_again(const h2o_req_t *req, cairn_bytes_t prefix, uint64_t *heard)
{
    const cairn_conn_t *conn = cairn_conn_of(req);
    if (*heard == conn->worker->tables_heard)
        return CAIRN_VERDICT_ALLOWED;
    *heard = conn->worker->tables_heard;
    return cairn_auth_judge_again(conn->worker->auth, conn->token, prefix.base, prefix.count);
}

bool cairn_gate_allows_key(h2o_req_t *req, const char *key, size_t key_bytes)
{
    if (cairn_auth_allows_key(cairn_conn_of(req)->token, key, key_bytes))
        return true;
    cairn_gate_refuse(req, CAIRN_VERDICT_PREFIX);
    return false;
}

bool cairn_gate_narrow(h2o_req_t *req, cairn_bytes_t *prefix)
{
    const struct st_cairn_config_token_t *token = cairn_conn_of(req)->token;
    cairn_bytes_t bound = {NULL, 0};
    if (token != NULL && token->prefix != NULL)
        bound = (cairn_bytes_t){token->prefix, strlen(token->prefix)};
    if (bound.count <= prefix->count)
        return bound.count == 0 || cairn_gate_allows_key(req, prefix->base, prefix->count);
    if (prefix->count != 0 && memcmp(bound.base, prefix->base, prefix->count) != 0)
        return cairn_gate_allows_key(req, prefix->base, prefix->count);
    *prefix = bound;
    return true;
}

void cairn_gate_dispose(cairn_conn_t *conn)
{
    cairn_auth_release(conn->auth);
    conn->auth = NULL;
}
