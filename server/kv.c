/*
 * server/kv.c - one value: get, put, delete.
 *
 * A request of HTTP/1, the only protocol spoken here, does not die before it is answered: libh2o
 * neither reads from its connection nor times it out. So a queued write may point to its request and
 * borrow the body in place.
 */
#include "server/kv.h"

#include <inttypes.h>
#include <string.h>

#include "server/conn.h"
#include "server/reply.h"
#include "server/target.h"

/** `Cairn-Meta-*` headers together, names and values */
#define USER_META_BYTES_MAX 1024
#define USER_META_PREFIX "cairn-meta-"

static cairn_store_t *store_of(const h2o_req_t *req)
{
    /* acquire: pairs with main's release when the store is open; requests come here only then */
    return atomic_load_explicit(&cairn_worker_of(req)->server->store, memory_order_acquire);
}

/* ---------------------------------------------------------------- keys */

bool cairn_kv_take_key(h2o_req_t *req, const char *bytes, size_t count, cairn_key_t *key)
{
    if (count == 0) {
        cairn_reply_problem(req, CAIRN_PROBLEM_KEY_EMPTY, "a key has at least one byte");
        return false;
    }
    if (count > CAIRN_KEY_BYTES_MAX) {
        cairn_reply_problem(req, CAIRN_PROBLEM_KEY_TOO_LONG, "a key has at most %d bytes",
                            CAIRN_KEY_BYTES_MAX);
        return false;
    }
    *key = cairn_key(bytes, count);
    return true;
}

bool cairn_kv_decode_key(h2o_req_t *req, h2o_iovec_t raw, bool plus_is_space, cairn_key_t *key)
{
    size_t room = raw.len < CAIRN_KEY_BYTES_MAX ? raw.len : CAIRN_KEY_BYTES_MAX;
    char *bytes = h2o_mem_alloc_pool(&req->pool, room + 1);
    size_t count = 0, at = 0;
    switch (
        cairn_target_decode(raw.base, raw.len, plus_is_space, bytes, room, &count, &at)) {
    case CAIRN_DECODE_BAD_ESCAPE:
        cairn_reply_problem(req, CAIRN_PROBLEM_BAD_ESCAPE,
                            "byte %zu of the key: %% is not followed by two hex digits", at);
        return false;
    case CAIRN_DECODE_TOO_LONG:
        count = CAIRN_KEY_BYTES_MAX + 1;
        break;
    case CAIRN_DECODE_OK:
        break;
    }
    return cairn_kv_take_key(req, bytes, count, key);
}

/* ---------------------------------------------------------------- loads */

typedef struct st_load_t load_t;
struct st_load_t {
    cairn_load_t super;
    h2o_multithread_message_t message;
    h2o_req_t *req;
    cairn_key_t key;
    cairn_write_t *write; /* to be submitted when the load is done; NULL: a get to go on with */
};

/** on a thread of the I/O pool */
static void on_load_done(cairn_load_t *super)
{
    load_t *load = (load_t *)super;
    h2o_multithread_send_message(&cairn_worker_of(load->req)->loads, &load->message);
}

static void start_load(h2o_req_t *req, const cairn_key_t *key, cairn_write_t *write, uint64_t loc)
{
    load_t *load = h2o_mem_alloc(sizeof(*load));
    *load = (load_t){.super = {.loc = loc, .on_done = on_load_done},
                     .req = req,
                     .key = *key,
                     .write = write};
    cairn_store_load(store_of(req), &load->super);
}

/* ---------------------------------------------------------------- get */

/** `loaded` is what a load has just brought in, 0 on the first try */
static void get(h2o_req_t *req, const cairn_key_t *key, uint64_t loaded)
{
    cairn_value_t value;
    cairn_err_t err = cairn_store_get(store_of(req), key, loaded, &value);
    if (err == CAIRN_OK)
        cairn_reply_value(req, &value);
    else if (err == CAIRN_ERR_COLD)
        start_load(req, key, NULL, value.loc);
    else
        cairn_reply_err(req, err);
}

void cairn_kv_get(h2o_req_t *req, const cairn_key_t *key)
{
    cairn_conn_of(req)->op = CAIRN_OP_GET;
    get(req, key, 0);
}

/* ---------------------------------------------------------------- put and delete */

static void submit(h2o_req_t *req, cairn_write_t *write)
{
    cairn_err_t err = cairn_store_enqueue(store_of(req), write);
    if (err == CAIRN_OK) {
        cairn_worker_of(req)->has_enqueued = true;
        cairn_conn_park(cairn_conn_of(req));
        return;
    }
    cairn_write_destroy(write);
    cairn_reply_err(req, err);
}

/** false, and the request has been answered, when the header says something unknown */
static bool read_durability(h2o_req_t *req, cairn_durability_t *durability)
{
    const cairn_config_t *config = cairn_worker_of(req)->server->config;
    *durability =
        config->storage_durability == CAIRN_DURABILITY_ASYNC ? CAIRN_ASYNC : CAIRN_SYNC;
    ssize_t i = h2o_find_header_by_str(&req->headers, H2O_STRLIT("cairn-durability"), -1);
    if (i < 0)
        return true;
    h2o_iovec_t value = req->headers.entries[i].value;
    if (h2o_memis(value.base, value.len, H2O_STRLIT("sync"))) {
        *durability = CAIRN_SYNC;
    } else if (h2o_memis(value.base, value.len, H2O_STRLIT("async"))) {
        *durability = CAIRN_ASYNC;
    } else {
        cairn_reply_problem(req, CAIRN_PROBLEM_BAD_REQUEST,
                            "Cairn-Durability is either sync or async");
        return false;
    }
    return true;
}

static void queue_write(h2o_req_t *req, cairn_write_op_t op, const cairn_key_t *key,
                        cairn_bytes_t meta, cairn_bytes_t value)
{
    cairn_worker_t *worker = cairn_worker_of(req);
    cairn_durability_t durability;
    if (!read_durability(req, &durability))
        return;
    cairn_write_t *write = cairn_write_create(op, key, meta, value);
    if (write == NULL) {
        cairn_reply_err(req, CAIRN_ERR_NOMEM);
        return;
    }
    write->durability = durability;
    write->sink = &worker->sink;
    write->ctx = req;
    /* what the writer will look at is brought in here, so that it need not wait for the disk */
    uint64_t loc;
    if (cairn_store_peek(store_of(req), key, &loc) == CAIRN_ERR_COLD)
        start_load(req, key, write, loc);
    else
        submit(req, write);
}

void cairn_kv_put(h2o_req_t *req, const cairn_key_t *key, cairn_bytes_t meta, cairn_bytes_t value)
{
    cairn_worker_t *worker = cairn_worker_of(req);
    uint64_t value_bytes_max = worker->server->config->limits_value_bytes;
    cairn_conn_of(req)->op = CAIRN_OP_PUT;
    if (value.count > value_bytes_max) {
        cairn_reply_problem(req, CAIRN_PROBLEM_VALUE_TOO_LARGE,
                            "the value has %zu bytes, limits.value_bytes is %" PRIu64, value.count,
                            value_bytes_max);
        return;
    }
    cairn_metrics_add(&worker->metrics.value_bytes_in, value.count);
    queue_write(req, CAIRN_WRITE_PUT, key, meta, value);
}

void cairn_kv_delete(h2o_req_t *req, const cairn_key_t *key)
{
    cairn_conn_of(req)->op = CAIRN_OP_DELETE;
    queue_write(req, CAIRN_WRITE_DELETE, key, (cairn_bytes_t){NULL, 0}, (cairn_bytes_t){NULL, 0});
}

static void answer_write(h2o_req_t *req, const cairn_write_t *write)
{
    cairn_conn_unpark(cairn_conn_of(req));
    if (write->err != CAIRN_OK) {
        cairn_reply_err(req, write->err);
        return;
    }
    cairn_reply_add_etag(req, write->version);
    if (write->op == CAIRN_WRITE_PUT && !write->existed)
        cairn_reply_empty(req, 201, "Created");
    else
        cairn_reply_empty(req, 204, "No Content");
}

/* ---------------------------------------------------------------- messages */

typedef struct st_done_message_t {
    h2o_multithread_message_t super;
    cairn_write_t *list;
} done_message_t;

void cairn_kv_on_done(cairn_sink_t *sink, cairn_write_t *list)
{
    cairn_worker_t *worker = H2O_STRUCT_FROM_MEMBER(cairn_worker_t, sink, sink);
    done_message_t *message = h2o_mem_alloc(sizeof(*message));
    *message = (done_message_t){.list = list};
    h2o_multithread_send_message(&worker->writes, &message->super);
}

void cairn_kv_on_writes(h2o_multithread_receiver_t *receiver, h2o_linklist_t *messages)
{
    (void)receiver;
    while (!h2o_linklist_is_empty(messages)) {
        done_message_t *message =
            H2O_STRUCT_FROM_MEMBER(done_message_t, super.link, messages->next);
        h2o_linklist_unlink(&message->super.link);
        for (cairn_write_t *write = message->list, *next; write != NULL; write = next) {
            next = write->next;
            answer_write(write->ctx, write);
            cairn_write_destroy(write);
        }
        free(message);
    }
}

void cairn_kv_on_loads(h2o_multithread_receiver_t *receiver, h2o_linklist_t *messages)
{
    (void)receiver;
    while (!h2o_linklist_is_empty(messages)) {
        load_t *load = H2O_STRUCT_FROM_MEMBER(load_t, message.link, messages->next);
        h2o_linklist_unlink(&load->message.link);
        /* a write goes on whatever the load found: it replaces what is there */
        if (load->write != NULL)
            submit(load->req, load->write);
        else if (load->super.err != CAIRN_OK)
            cairn_reply_err(load->req, load->super.err);
        else
            get(load->req, &load->key, load->super.loc);
        free(load);
    }
}

/* ---------------------------------------------------------------- /v1/kv/ */

static bool add_header_meta(h2o_req_t *req, cairn_meta_builder_t *meta, cairn_meta_tag_t tag,
                            const h2o_token_t *token)
{
    ssize_t i = h2o_find_header(&req->headers, token, -1);
    if (i < 0)
        return true;
    h2o_iovec_t value = req->headers.entries[i].value;
    return cairn_meta_add(meta, tag, (cairn_bytes_t){value.base, value.len});
}

/** one field for each `Cairn-Meta-*` header: name, NUL, value */
static bool add_user_meta(h2o_req_t *req, cairn_meta_builder_t *meta)
{
    char field[USER_META_BYTES_MAX];
    size_t total = 0;
    for (size_t i = 0; i < req->headers.size; ++i) {
        const h2o_header_t *header = &req->headers.entries[i];
        size_t prefix = sizeof(USER_META_PREFIX) - 1;
        if (header->name->len <= prefix ||
            memcmp(header->name->base, USER_META_PREFIX, prefix) != 0)
            continue;
        size_t bytes = header->name->len + 1 + header->value.len;
        total += bytes - 1;
        if (total > USER_META_BYTES_MAX || bytes > sizeof(field))
            return false;
        memcpy(field, header->name->base, header->name->len);
        field[header->name->len] = '\0';
        memcpy(field + header->name->len + 1, header->value.base, header->value.len);
        if (!cairn_meta_add(meta, CAIRN_META_USER, (cairn_bytes_t){field, bytes}))
            return false;
    }
    return true;
}

static void put(h2o_req_t *req, const cairn_key_t *key)
{
    cairn_meta_builder_t meta;
    meta.count = 0;
    cairn_conn_of(req)->op = CAIRN_OP_PUT;
    if (req->entity.base == NULL) {
        cairn_reply_problem(req, CAIRN_PROBLEM_LENGTH_REQUIRED,
                            "a PUT has a body: send Content-Length, 0 for an empty value");
        return;
    }
    if (!add_header_meta(req, &meta, CAIRN_META_CONTENT_TYPE, H2O_TOKEN_CONTENT_TYPE) ||
        !add_header_meta(req, &meta, CAIRN_META_CONTENT_ENCODING, H2O_TOKEN_CONTENT_ENCODING) ||
        !add_header_meta(req, &meta, CAIRN_META_CACHE_CONTROL, H2O_TOKEN_CACHE_CONTROL) ||
        !add_user_meta(req, &meta)) {
        cairn_reply_problem(req, CAIRN_PROBLEM_META_TOO_LARGE,
                            "Cairn-Meta-* headers have at most %d bytes together, and all that is "
                            "stored beside a value at most %d",
                            USER_META_BYTES_MAX, CAIRN_META_BYTES_MAX);
        return;
    }
    /* the default content type is what a reader gets anyway */
    cairn_kv_put(req, key, (cairn_bytes_t){meta.bytes, meta.count},
                 (cairn_bytes_t){req->entity.base, req->entity.len});
}

void cairn_kv_handle(h2o_req_t *req, h2o_iovec_t raw)
{
    enum { GET, PUT, DELETE } method;
    if (h2o_memis(req->method.base, req->method.len, H2O_STRLIT("GET")) ||
        h2o_memis(req->method.base, req->method.len, H2O_STRLIT("HEAD"))) {
        method = GET;
    } else if (h2o_memis(req->method.base, req->method.len, H2O_STRLIT("PUT"))) {
        method = PUT;
    } else if (h2o_memis(req->method.base, req->method.len, H2O_STRLIT("DELETE"))) {
        method = DELETE;
    } else {
        cairn_reply_method_not_allowed(req, "GET, HEAD, PUT, DELETE");
        return;
    }
    cairn_key_t key;
    if (!cairn_kv_decode_key(req, raw, false, &key))
        return;
    if (method == GET)
        cairn_kv_get(req, &key);
    else if (method == PUT)
        put(req, &key);
    else
        cairn_kv_delete(req, &key);
}
