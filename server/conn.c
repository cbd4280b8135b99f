/*
 * server/conn.c - one client's connection, beyond what libh2o keeps of it.
 */
#include "server/conn.h"

#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "server/gate.h"
#include "server/pipeline.h"
#include "server/text.h"

/** what an ended connection may still send before we stop listening to it */
#define LINGER_BYTES_MAX ((size_t)64 << 20)

/* ---------------------------------------------------------------- lingering */

typedef struct st_lingerer_t {
    cairn_worker_t *worker;
    h2o_socket_t *sock;
    h2o_timeout_entry_t timeout;
    size_t bytes;
} lingerer_t;

static void end_linger(lingerer_t *lingerer)
{
    h2o_timeout_unlink(&lingerer->timeout);
    h2o_socket_close(lingerer->sock);
    --lingerer->worker->lingerer_count;
    free(lingerer);
}

static void on_linger_timeout(h2o_timeout_entry_t *entry)
{
    end_linger(H2O_STRUCT_FROM_MEMBER(lingerer_t, timeout, entry));
}

static void on_linger_read(h2o_socket_t *sock, const char *err)
{
    lingerer_t *lingerer = sock->data;
    lingerer->bytes += sock->input->size;
    h2o_buffer_consume(&sock->input, sock->input->size);
    if (err != NULL || lingerer->bytes > LINGER_BYTES_MAX)
        end_linger(lingerer);
}

static void start_linger(cairn_worker_t *worker, int fd)
{
    shutdown(fd, SHUT_WR);
    lingerer_t *lingerer = h2o_mem_alloc(sizeof(*lingerer));
    *lingerer = (lingerer_t){.worker = worker,
                             .sock = h2o_evloop_socket_create(worker->ctx.loop, fd, 0),
                             .timeout = {.cb = on_linger_timeout}};
    ++worker->lingerer_count;
    lingerer->sock->data = lingerer;
    h2o_timeout_link(worker->ctx.loop, &worker->linger_timeout, &lingerer->timeout);
    h2o_socket_read_start(lingerer->sock, on_linger_read);
}

void cairn_conn_linger(cairn_conn_t *conn)
{
    if (conn->linger_fd < 0)
        conn->linger_fd = fcntl(h2o_socket_get_fd(conn->sock), F_DUPFD_CLOEXEC, 0);
}

/** whether bytes lie in the kernel */
static bool has_unread(const cairn_conn_t *conn)
{
    int unread = 0;
    return ioctl(h2o_socket_get_fd(conn->sock), FIONREAD, &unread) == 0 && unread > 0;
}

void cairn_conn_linger_if_more(const h2o_req_t *req)
{
    cairn_conn_t *conn = cairn_conn_of(req);
    /* what of a TLS record has come is nowhere to be seen, and its rest may come later */
    if (conn->sock->ssl != NULL || conn->sock->input->size > conn->head.bytes + req->entity.len ||
        has_unread(conn))
        cairn_conn_linger(conn);
}

/* ---------------------------------------------------------------- from accept to close */

static void on_close(void *data)
{
    cairn_conn_t *conn = data;
    cairn_worker_t *worker = conn->worker;
    cairn_pipeline_dispose(conn);
    cairn_gate_dispose(conn);
    if (conn->linger_fd >= 0)
        start_linger(worker, conn->linger_fd);
    h2o_linklist_unlink(&conn->link);
    SSL_CTX_free(conn->ssl_ctx);
    free(conn);
    cairn_metrics_add(&worker->metrics.connections_open, (uint64_t)-1);
    cairn_worker_on_conn_closed(worker);
}

void cairn_conn_accept(cairn_worker_t *worker, h2o_socket_t *sock)
{
    cairn_conn_t *conn = h2o_mem_alloc(sizeof(*conn));
    *conn = (cairn_conn_t){
        .worker = worker, .sock = sock, .ssl_ctx = worker->accept_ctx.ssl_ctx, .linger_fd = -1};
    if (conn->ssl_ctx != NULL)
        SSL_CTX_up_ref(conn->ssl_ctx);
    sock->on_close.cb = on_close;
    sock->on_close.data = conn;
    h2o_linklist_insert(&worker->conns, &conn->link);
    ++worker->conn_count;
    cairn_metrics_add(&worker->metrics.connections_open, 1);
    cairn_metrics_add(&worker->metrics.connections_accepted, 1);
    h2o_accept(&worker->accept_ctx, sock);
}

cairn_conn_t *cairn_conn_of(const h2o_req_t *req)
{
    return req->conn->callbacks->get_socket(req->conn)->on_close.data;
}

bool cairn_conn_is_idle(const cairn_conn_t *conn)
{
    return conn->request_began_ns == 0 && conn->sock->input->size == 0 && !has_unread(conn);
}

void cairn_conn_shutdown(cairn_conn_t *conn, int how)
{
    shutdown(h2o_socket_get_fd(conn->sock), how);
}

/* ---------------------------------------------------------------- while a request waits */

bool cairn_conn_has_gone(const cairn_conn_t *conn)
{
    /* also where bytes lie unread before the end, which over TLS there always are */
    struct pollfd fd = {.fd = h2o_socket_get_fd(conn->sock), .events = POLLRDHUP};
    return poll(&fd, 1, 0) > 0 && (fd.revents & (POLLRDHUP | POLLHUP | POLLERR)) != 0;
}

static void on_readable(h2o_socket_t *sock, const char *err)
{
    cairn_conn_t *conn = sock->on_close.data;
    (void)err;
    /* Further requests stay in the kernel's buffer until this one is answered, and a client that is
     * gone changes nothing for a write that is on its way to the disk: the answer will find out. */
    h2o_socket_read_stop(sock);
    if (conn->on_gone != NULL && cairn_conn_has_gone(conn))
        conn->on_gone(conn->on_gone_ctx);
}

void cairn_conn_park(cairn_conn_t *conn)
{
    cairn_conn_park_and_watch(conn, NULL, NULL);
}

void cairn_conn_park_and_watch(cairn_conn_t *conn, void (*on_gone)(void *ctx), void *ctx)
{
    cairn_pipeline_flush(conn);
    conn->is_parked = true;
    conn->on_gone = on_gone;
    conn->on_gone_ctx = ctx;
    h2o_socket_dont_read(conn->sock, 1);
    h2o_socket_read_start(conn->sock, on_readable);
}

void cairn_conn_unpark(cairn_conn_t *conn)
{
    if (!conn->is_parked)
        return;
    conn->is_parked = false;
    conn->on_gone = NULL;
    h2o_socket_dont_read(conn->sock, 0);
    h2o_socket_read_stop(conn->sock);
}

static void keep(h2o_req_t *req, h2o_iovec_t *text)
{
    *text = h2o_strdup(&req->pool, text->base, text->len);
}

void cairn_conn_forget_input(h2o_req_t *req)
{
    h2o_socket_t *sock = cairn_conn_of(req)->sock;
    req->http1_is_persistent = 0; /* else the library would look for the next request in it */
    keep(req, &req->input.method);
    keep(req, &req->input.path);
    req->method = req->input.method;
    req->path = req->input.path;
    req->input.authority = req->authority = h2o_iovec_init(NULL, 0);
    req->headers.size = 0;
    h2o_buffer_dispose(&sock->input);
    h2o_buffer_init(&sock->input, &h2o_socket_buffer_prototype);
}

/* ---------------------------------------------------------------- framing */

/** counts a line that says how a request is framed; libh2o has put names in lower case */
static void count_line(cairn_conn_head_t *head, const char *line, size_t count)
{
    /* by its first letter: every line of every request comes here */
    switch (*line) {
    case 'h':
        head->hosts += cairn_begins_with(line, count, H2O_STRLIT("host:"));
        break;
    case 'c':
        head->lengths += cairn_begins_with(line, count, H2O_STRLIT("content-length:"));
        break;
    case 't':
        head->codings += cairn_begins_with(line, count, H2O_STRLIT("transfer-encoding:"));
        break;
    default:
        break;
    }
}

/** one walk from line to line, which may end in LF alone, up to and with the empty one */
static void read_head(cairn_conn_head_t *head, const char *bytes, size_t count)
{
    const char *end = bytes + count;
    *head = (cairn_conn_head_t){.bytes = count};
    for (const char *at = memchr(bytes, '\n', count); at != NULL;
         at = memchr(at, '\n', (size_t)(end - at))) {
        ++at;
        const char *line = at < end && *at == '\r' ? at + 1 : at;
        if (line < end && *line == '\n') {
            head->bytes = (size_t)(line + 1 - bytes);
            return;
        }
        if (at < end)
            count_line(head, at, (size_t)(end - at));
    }
}

void cairn_conn_read_head(h2o_req_t *req)
{
    cairn_conn_t *conn = cairn_conn_of(req);
    const h2o_buffer_t *input = conn->sock->input;
    size_t count =
        req->entity.base != NULL ? (size_t)(req->entity.base - input->bytes) : input->size;
    read_head(&conn->head, input->bytes, count);
}

const char *cairn_conn_framing_fault(h2o_req_t *req)
{
    for (size_t i = 0; i < req->headers.size; ++i)
        if (req->headers.entries[i].name->len == 0)
            return "a header line is folded";
    const cairn_conn_head_t *head = &cairn_conn_of(req)->head;
    if (head->hosts > 1)
        return "there are several Host headers";
    if (req->entity.base == NULL)
        return NULL;
    if (head->lengths > 1)
        return "there are several Content-Length headers";
    if (head->codings > 1)
        return "there are several Transfer-Encoding headers";
    if (head->lengths + head->codings > 1)
        return "there are both Content-Length and Transfer-Encoding";
    /* a proxy of that age passes the chunks on as it found them (RFC 9112, 6.1) */
    if (head->codings != 0 && req->version < 0x101)
        return "HTTP/1.0 has no Transfer-Encoding";
    return NULL;
}
