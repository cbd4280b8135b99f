/*
 * server/reply.h - answers: values, problems, plain texts. The only place that turns an error into
 * an HTTP status.
 */
#ifndef CAIRN_SERVER_REPLY_H
#define CAIRN_SERVER_REPLY_H

#include "server/conditions.h"
#include "server/worker.h"

/* enum, status, code (stable, clients rely on it), title */
#define CAIRN_PROBLEMS(X)                                                                          \
    X(BAD_TARGET, 400, "bad_target", "The request target is not a path")                           \
    X(BAD_ESCAPE, 400, "bad_escape", "Malformed percent escape")                                   \
    X(BAD_FRAMING, 400, "bad_framing", "Ambiguous framing")                                        \
    X(BAD_REQUEST, 400, "bad_request", "Bad request")                                              \
    X(BAD_JSON, 400, "bad_json", "The body is not the JSON expected")                              \
    X(KEY_MISSING, 400, "key_missing", "No key given")                                             \
    X(KEY_EMPTY, 400, "key_empty", "The key is empty")                                             \
    X(VALUE_MISSING, 400, "value_missing", "No value given")                                       \
    X(META_TOO_LARGE, 400, "meta_too_large", "Too much metadata")                                  \
    X(BAD_OPERATION, 400, "bad_operation", "An operation of the batch is wrong")                   \
    X(BAD_BASE64, 400, "bad_base64", "Malformed base64")                                           \
    X(BAD_TTL, 400, "bad_ttl", "Malformed time to live")                                           \
    X(BAD_CONDITION, 400, "bad_condition", "Malformed condition")                                  \
    X(BAD_NUMBER, 400, "bad_number", "Malformed number")                                           \
    X(BAD_VERSION, 400, "bad_version", "No such version")                                          \
    X(BAD_NAME, 400, "bad_name", "Not a name for a snapshot")                                      \
    X(UNAUTHORIZED, 401, "unauthorized", "A token is needed")                                      \
    X(FORBIDDEN, 403, "forbidden", "The token does not allow this")                                \
    X(CROSS_SITE, 403, "cross_site", "Request from another site refused")                          \
    X(NOT_FOUND, 404, "not_found", "No such key")                                                  \
    X(NO_SUCH_PATH, 404, "no_such_path", "No such path")                                           \
    X(NO_SUCH_SNAPSHOT, 404, "no_such_snapshot", "No such snapshot")                               \
    X(METHOD_NOT_ALLOWED, 405, "method_not_allowed", "Method not allowed")                         \
    X(NOT_A_NUMBER, 409, "not_a_number", "The value is not a number")                              \
    X(OVERFLOW, 409, "overflow", "The sum is too large")                                           \
    X(SNAPSHOT_EXISTS, 409, "snapshot_exists", "There is such a snapshot")                         \
    X(IN_MEMORY, 409, "in_memory", "The store is in memory only")                                  \
    X(COMPACTED, 410, "compacted", "Changes from there on are not all there any more")             \
    X(LENGTH_REQUIRED, 411, "length_required", "A body is required")                               \
    X(PRECONDITION_FAILED, 412, "precondition_failed", "A condition does not hold")                \
    X(VALUE_TOO_LARGE, 413, "value_too_large", "The value is too large")                           \
    X(BATCH_TOO_LARGE, 413, "batch_too_large", "The batch is too large")                           \
    X(KEY_TOO_LONG, 414, "key_too_long", "The key is too long")                                    \
    X(URI_TOO_LONG, 414, "uri_too_long", "The request target is too long")                         \
    X(RANGE_NOT_SATISFIABLE, 416, "range_not_satisfiable", "The range is outside the value")       \
    X(EXPECTATION_FAILED, 417, "expectation_failed", "Unknown expectation")                        \
    X(HEADERS_TOO_LARGE, 431, "headers_too_large", "The headers are too large")                    \
    X(DAMAGED, 500, "damaged", "The stored value is damaged")                                      \
    X(READ_FAILED, 500, "read_failed", "The disk could not read the value")                        \
    X(WRITE_FAILED, 500, "write_failed", "The disk failed")                                        \
    X(INTERNAL, 500, "internal", "Internal error")                                                 \
    X(LOADING, 503, "loading", "The store is still loading")                                       \
    X(QUEUE_FULL, 503, "queue_full", "Too many writes are waiting")                                \
    X(BODIES_FULL, 503, "bodies_full", "Too many bodies are arriving")                             \
    X(NO_FILES, 503, "no_files", "Too many open files")                                            \
    X(NO_MEMORY, 503, "no_memory", "Out of memory")                                                \
    X(READ_ONLY, 503, "read_only", "The store is read-only after a disk failure")                  \
    X(OUTCOME_UNKNOWN, 503, "outcome_unknown", "It is not known whether the write is durable")     \
    X(DISK_FULL, 507, "disk_full", "The disk is full")

/** of a value that was put without one */
#define CAIRN_CONTENT_TYPE_DEFAULT "application/octet-stream"

typedef enum en_cairn_problem_t {
#define X(name, status, code, title) CAIRN_PROBLEM_##name,
    CAIRN_PROBLEMS(X)
#undef X
        CAIRN_PROBLEM_COUNT
} cairn_problem_t;

/**
 * Answers with a problem (RFC 9457). `format` makes the detail, ASCII text for a person. Headers
 * set before stay; 503 gets Retry-After.
 */
void cairn_reply_problem(h2o_req_t *req, cairn_problem_t problem, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/** The same about one line of the body, counted from 1, which becomes the problem's `line`. */
void cairn_reply_problem_at_line(h2o_req_t *req, cairn_problem_t problem, size_t line,
                                 const char *format, ...) __attribute__((format(printf, 4, 5)));

/** What an error of storage means to a client; and the status and code of a problem. */
cairn_problem_t cairn_problem_of(cairn_err_t err);
int cairn_problem_status(cairn_problem_t problem);
const char *cairn_problem_code(cairn_problem_t problem);

/**
 * The whole answer with a problem that has status 503, where there is no request to answer: it
 * closes the connection. `detail` is text that JSON needs not escape. Returns its bytes.
 */
size_t cairn_reply_format_problem(char *answer, size_t room, cairn_problem_t problem,
                                  const char *detail);

/** Answers with what an error of storage means to a client. */
void cairn_reply_err(h2o_req_t *req, cairn_err_t err);

/** 405 with the Allow header; `allow` is static. */
void cairn_reply_method_not_allowed(h2o_req_t *req, const char *allow);

/** An answer without a body: 201, 204, 304. `reason` is static. */
void cairn_reply_empty(h2o_req_t *req, int status, const char *reason);

/** Begins an answer of unknown length, whose body `generator` sends. */
void cairn_reply_start(h2o_req_t *req, h2o_generator_t *generator);

/**
 * Begins an answer of res.content_length bytes with the first of them, or with all (`state` as in
 * h2o_send()); `generator` sends the others, and adds them to req->bytes_sent.
 */
void cairn_reply_start_with(h2o_req_t *req, h2o_generator_t *generator, h2o_iovec_t piece,
                            h2o_send_state_t state);

/** The body of an answer whose status and headers are set; HEAD gets none. It outlives the request.
 */
void cairn_reply_body(h2o_req_t *req, const char *bytes, size_t count);

/**
 * The same with a copy of the value, which may go. `is_plain`: with the headers of a value by
 * itself, where none are set. False if the disk cannot read it: nothing has been sent.
 */
bool cairn_reply_copy(h2o_req_t *req, const cairn_value_t *value, bool is_plain);

/** A text made for this answer, of static type, copied. */
void cairn_reply_text(h2o_req_t *req, const char *content_type, const char *text, size_t bytes);

/** A write has been done: 201 if the key had no value before, else 204. */
void cairn_reply_written(h2o_req_t *req, uint64_t version, bool existed);

/** `ETag: "version"`. */
void cairn_reply_add_etag(h2o_req_t *req, uint64_t version);

/**
 * Answers GET or HEAD with a value and all that is stored with it: 200; or 206, 304, 412, 416 as
 * the request's conditions and range have it. Pins the value for as long as it is being sent.
 */
void cairn_reply_value(h2o_req_t *req, const cairn_value_t *value);

/** The request's conditional headers; false if there is none. They live as long as the request. */
bool cairn_reply_condition_texts(h2o_req_t *req, cairn_condition_texts_t *texts);

/**
 * Registers, on a path, what turns libh2o's own answers (413 before the body is read, 400 for a
 * broken chunk, 417) into problems.
 */
void cairn_reply_register_lib_errors(h2o_pathconf_t *path);

#endif
