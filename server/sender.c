/*
 * server/sender.c - a large value on its way out of the map.
 *
 * The head goes out with a first piece. Then libh2o's generator is asked to proceed, and what
 * follows goes past the library: pages of the map into a pipe, from the pipe to the socket, as much
 * as that takes; the library says when it takes more (h2o_socket_notify_write()). When all is gone,
 * an empty last h2o_send() ends the response. The pages are those of the kernel's cache: a segment
 * never changes what has been written to it, so nothing changes under what waits in the socket.
 */
#include "server/sender.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/uio.h>
#include <unistd.h>

#include "server/conn.h"
#include "server/reply.h"

/** what goes out through libh2o at once, so that one value does not hold the loop */
#define PIECE_BYTES ((size_t)256 << 10)
/** what goes out with the head when the rest is spliced: enough for a packet */
#define FIRST_PIECE_BYTES ((size_t)16 << 10)
/** below it a pipe and the calls around it cost more than copying */
#define SPLICE_BYTES_MIN ((size_t)128 << 10)
/** of a pipe; as much is spliced before others get their turn, if the socket takes it */
#define PIPE_BYTES ((size_t)256 << 10)
#define TURN_BYTES (4 * PIPE_BYTES)

typedef struct st_sender_t {
    h2o_generator_t super;
    h2o_req_t *req;
    cairn_value_t value;
    size_t sent;  /* to the socket, or through libh2o */
    int pipe[2];  /* from the map to the socket: its ends, as pipe(2) gives them; -1: there is none
                   */
    size_t piped; /* and still in it */
    char *copy;   /* of a piece, where it is not the kernel that reads it; else NULL */
} sender_t;

static void on_sender_dispose(void *p)
{
    sender_t *sender = p;
    if (sender->pipe[0] >= 0) {
        close(sender->pipe[0]);
        close(sender->pipe[1]);
    }
    cairn_conn_of(sender->req)->sender = NULL;
    cairn_value_unpin(&sender->value);
    free(sender->copy);
}

/* ---------------------------------------------------------------- pieces */

/**
 * To the kernel a piece goes from where it lies: what the disk cannot deliver is EFAULT from it,
 * which ends this connection. OpenSSL would read it here, and be left in the middle by a fault.
 */
static bool take_piece(sender_t *sender, h2o_iovec_t *piece)
{
    piece->base = (char *)sender->value.bytes + sender->sent;
    if (sender->copy == NULL)
        return true;
    if (!cairn_value_copy(&sender->value, sender->sent, sender->copy, piece->len))
        return false;
    piece->base = sender->copy;
    return true;
}

/** the next piece, and what it means for the response */
static h2o_send_state_t next_piece(sender_t *sender, size_t bytes_max, h2o_iovec_t *piece)
{
    size_t left = sender->value.count - sender->sent;
    piece->len = left < bytes_max ? left : bytes_max;
    if (!take_piece(sender, piece)) {
        piece->len = 0;
        return H2O_SEND_STATE_ERROR; /* the length that was promised can no longer be kept */
    }
    sender->sent += piece->len;
    return piece->len == left ? H2O_SEND_STATE_FINAL : H2O_SEND_STATE_IN_PROGRESS;
}

static void on_piece_sent(h2o_generator_t *super, h2o_req_t *req)
{
    h2o_iovec_t piece;
    h2o_send_state_t state = next_piece((sender_t *)super, PIECE_BYTES, &piece);
    req->bytes_sent += piece.len;
    h2o_send(req, &piece, piece.len != 0, state);
}

/* ---------------------------------------------------------------- splicing */

static bool open_pipe(sender_t *sender)
{
    if (pipe2(sender->pipe, O_NONBLOCK | O_CLOEXEC) != 0)
        return false;
    /* an unprivileged user may only have so many large ones; a smaller one does too */
    fcntl(sender->pipe[1], F_SETPIPE_SZ, PIPE_BYTES);
    return true;
}

/** false if the disk cannot deliver the pages */
static bool fill_pipe(sender_t *sender)
{
    size_t left = sender->value.count - sender->sent;
    struct iovec pages = {.iov_base = (void *)(sender->value.bytes + sender->sent),
                          .iov_len = left < PIPE_BYTES ? left : PIPE_BYTES};
    ssize_t n = vmsplice(sender->pipe[1], &pages, 1, SPLICE_F_NONBLOCK);
    if (n <= 0)
        return false;
    sender->piped = (size_t)n;
    return true;
}

/** bytes that the socket took, 0 if it takes none now, -1 if it is broken */
static ssize_t empty_pipe(sender_t *sender, h2o_socket_t *sock)
{
    unsigned more = sender->sent + sender->piped < sender->value.count ? SPLICE_F_MORE : 0;
    ssize_t n = splice(sender->pipe[0], NULL, h2o_socket_get_fd(sock), NULL, sender->piped,
                       SPLICE_F_NONBLOCK | more);
    if (n < 0)
        return errno == EAGAIN || errno == EINTR ? 0 : -1;
    sender->piped -= (size_t)n;
    sender->sent += (size_t)n;
    sender->req->bytes_sent += (size_t)n;
    sock->bytes_written += (size_t)n; /* as libh2o counts what goes through it */
    return n;
}

static void on_writable(h2o_socket_t *sock, const char *err);

/** goes on until all is sent, the socket is full, or others should have their turn */
static void splice_on(sender_t *sender)
{
    h2o_socket_t *sock = cairn_conn_of(sender->req)->sock;
    size_t stop = sender->sent + TURN_BYTES;
    ssize_t n = 1;
    while (n > 0 && sender->sent < sender->value.count && sender->sent < stop)
        n = sender->piped != 0 || fill_pipe(sender) ? empty_pipe(sender, sock) : -1;
    if (n < 0)
        h2o_send(sender->req, NULL, 0, H2O_SEND_STATE_ERROR);
    else if (sender->sent == sender->value.count)
        h2o_send(sender->req, NULL, 0, H2O_SEND_STATE_FINAL);
    else
        h2o_socket_notify_write(sock, on_writable);
}

static void on_writable(h2o_socket_t *sock, const char *err)
{
    cairn_conn_t *conn = sock->on_close.data;
    if (err != NULL)
        h2o_send(conn->sender->req, NULL, 0, H2O_SEND_STATE_ERROR);
    else
        splice_on(conn->sender);
}

static void on_head_sent(h2o_generator_t *super, h2o_req_t *req)
{
    (void)req;
    splice_on((sender_t *)super);
}

/* ---------------------------------------------------------------- starting */

void cairn_sender_start(h2o_req_t *req, const cairn_value_t *value)
{
    cairn_conn_t *conn = cairn_conn_of(req);
    sender_t *sender = h2o_mem_alloc_shared(&req->pool, sizeof(*sender), on_sender_dispose);
    *sender = (sender_t){
        .super = {.proceed = on_piece_sent}, .req = req, .value = *value, .pipe = {-1, -1}};
    cairn_value_pin(value);
    conn->sender = sender;
    bool is_spliced =
        conn->sock->ssl == NULL && value->count >= SPLICE_BYTES_MIN && open_pipe(sender);
    if (conn->sock->ssl != NULL)
        sender->copy = h2o_mem_alloc(PIECE_BYTES);
    if (is_spliced)
        sender->super.proceed = on_head_sent;
    req->res.content_length = value->count;
    h2o_iovec_t piece;
    h2o_send_state_t state =
        next_piece(sender, is_spliced ? FIRST_PIECE_BYTES : PIECE_BYTES, &piece);
    cairn_reply_start_with(req, &sender->super, piece, state);
}
