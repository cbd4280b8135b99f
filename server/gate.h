/*
 * server/gate.h - lets requests in: the rules of server/auth.h applied to connections.
 *
 * Each worker has a reference to the table of tokens in force, each connection one to the table
 * that its last request was judged by. So a table can be replaced while requests that it let in are
 * under way, and a token lives at least as long as the request that showed it.
 */
#ifndef CAIRN_SERVER_GATE_H
#define CAIRN_SERVER_GATE_H

#include "server/auth.h"
#include "server/conn.h"
#include "server/reply.h"

/**
 * Lets the request in; conn->token is then what it showed. False, and it has been answered, when it
 * may not do what it asks for: 401 or 403.
 */
bool cairn_gate_admit(h2o_req_t *req);

/**
 * Whether a request that is told more and more of keys that begin with `prefix` may go on. `*heard`
 * is worker->tables_heard when it was let in; nothing is looked up unless the tokens are others
 * than at the last call.
 */
cairn_verdict_t cairn_gate_judge_again(const h2o_req_t *req, cairn_bytes_t prefix, uint64_t *heard);

/** Answers with 401 or 403, and the problem that it is. */
void cairn_gate_refuse(h2o_req_t *req, cairn_verdict_t verdict);
cairn_problem_t cairn_gate_problem_of(cairn_verdict_t verdict);

/**
 * Whether the request may touch a key, of which these are the decoded bytes. False, and it has been
 * answered with 403, if not. Every key that a request names passes here.
 */
bool cairn_gate_allows_key(h2o_req_t *req, const char *key, size_t key_bytes);

/**
 * Narrows the keys that a request asks for, those that begin with `prefix`, to those that it may
 * see. False, and it has been answered with 403, if these are none.
 */
bool cairn_gate_narrow(h2o_req_t *req, cairn_bytes_t *prefix);

/**
 * The tokens of the config are in force for every request that begins after each worker has heard
 * of it, within a turn of its loop; open connections included. Those that follow the log are judged
 * again. Before the workers are started: at
 * once.
 *
 * Threads: main. Owner: the config's tokens are copied.
 */
void cairn_gate_set_tokens(cairn_server_t *server, const cairn_config_t *config);

/** Where a worker hears of it. Threads: the worker. */
void cairn_gate_on_tables(h2o_multithread_receiver_t *receiver, h2o_linklist_t *messages);

/** Lets go of what the connection holds. */
void cairn_gate_dispose(cairn_conn_t *conn);

#endif
