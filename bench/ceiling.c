/*
 * bench/ceiling.c - how fast could any server built on this library be here?
 *
 * A bare libh2o server with cairn's socket options, worker structure and answers, but no store
 * behind it: every GET is answered with the same bytes from memory, as many as the key says (see
 * bench/load/keys.h), every PUT with 204 once the library has read its body. What cairn adds to a
 * request is the difference between the two.
 *
 * Each worker thread has its own event loop and its own listener; the kernel spreads connections
 * over the listeners (SO_REUSEPORT). The main thread waits for SIGTERM or SIGINT.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <h2o.h>
#include <h2o/http1.h>

#include "bench/arguments.h"

#define WORKERS_MAX 1024
#define BACKLOG 4096
/* connections taken per wake-up, so that a burst of them does not starve those already there */
#define ACCEPTS_PER_WAKEUP 64
/* a peer that acknowledges nothing for so long is dead */
#define USER_TIMEOUT_MS 30000
/* what may wait unsent in a socket before the library holds more back */
#define UNSENT_BYTES_MAX (256 * 1024)
/* the library's timer for idle connections and slow requests */
#define REQUEST_TIMEOUT_MS 30000
#define EVERY_HOST_PORT 65535

typedef struct st_worker_t {
    pthread_t thread;
    h2o_context_t ctx;
    h2o_accept_ctx_t accept_ctx;
    int listener_fd;
} worker_t;

#define KEY_PREFIX "/v1/kv/v"
#define VALUE_BYTES_MAX (1 << 20)
/* of keys that say nothing of it */
#define VALUE_BYTES 100
/* every value is the beginning of this */
static char value[VALUE_BYTES_MAX];

static h2o_globalconf_t config;

/* ---------------------------------------------------------------- answers */

static void add_etag(h2o_req_t *req)
{
    h2o_add_header(&req->pool, &req->res.headers, H2O_TOKEN_ETAG, NULL, H2O_STRLIT("\"123456\""));
}

/* the 1024 in /v1/kv/v1024-00000007 */
static size_t value_bytes_of(h2o_iovec_t path)
{
    size_t at = sizeof(KEY_PREFIX) - 1, bytes = 0;
    if (path.len <= at || memcmp(path.base, KEY_PREFIX, at) != 0)
        return VALUE_BYTES;
    for (; at < path.len && path.base[at] >= '0' && path.base[at] <= '9'; ++at)
        bytes = bytes * 10 + (size_t)(path.base[at] - '0');
    return bytes <= VALUE_BYTES_MAX ? bytes : VALUE_BYTES_MAX;
}

static void answer_get(h2o_req_t *req)
{
    static h2o_generator_t generator = {NULL, NULL};
    h2o_headers_t *headers = &req->res.headers;
    req->res.status = 200;
    req->res.reason = "OK";
    req->res.content_length = value_bytes_of(req->path);
    h2o_add_header(&req->pool, headers, H2O_TOKEN_CONTENT_TYPE, NULL,
                   H2O_STRLIT("application/octet-stream"));
    add_etag(req);
    h2o_add_header(&req->pool, headers, H2O_TOKEN_LAST_MODIFIED, NULL,
                   H2O_STRLIT("Thu, 01 Jan 2026 00:00:00 GMT"));
    h2o_add_header(&req->pool, headers, H2O_TOKEN_ACCEPT_RANGES, NULL, H2O_STRLIT("bytes"));
    h2o_start_response(req, &generator);
    h2o_iovec_t body = h2o_iovec_init(value, req->res.content_length);
    h2o_send(req, &body, 1, H2O_SEND_STATE_FINAL);
}

static void answer_put(h2o_req_t *req)
{
    static h2o_generator_t generator = {NULL, NULL};
    req->res.status = 204;
    req->res.reason = "No Content";
    add_etag(req);
    h2o_start_response(req, &generator);
    h2o_send(req, NULL, 0, H2O_SEND_STATE_FINAL);
}

static int on_request(h2o_handler_t *self, h2o_req_t *req)
{
    (void)self;
    if (h2o_memis(req->method.base, req->method.len, H2O_STRLIT("GET")))
        answer_get(req);
    else if (h2o_memis(req->method.base, req->method.len, H2O_STRLIT("PUT")))
        answer_put(req);
    else
        h2o_send_error_405(req, "Method Not Allowed", "only GET and PUT are answered here\n", 0);
    return 0;
}

static void configure(void)
{
    h2o_config_init(&config);
    config.server_name = h2o_iovec_init(H2O_STRLIT("cairn"));
    config.http1.upgrade_to_http2 = 0;
    config.http1.req_timeout = REQUEST_TIMEOUT_MS;
    h2o_hostconf_t *host =
        h2o_config_register_host(&config, h2o_iovec_init(H2O_STRLIT("default")), EVERY_HOST_PORT);
    h2o_pathconf_t *path = h2o_config_register_path(host, "/", 0);
    h2o_create_handler(path, sizeof(h2o_handler_t))->on_req = on_request;
}

/* ---------------------------------------------------------------- listening */

static void set_option(int fd, int level, int name, int option_value)
{
    if (setsockopt(fd, level, name, &option_value, sizeof(option_value)) != 0) {
        perror("ceiling: setsockopt");
        exit(EXIT_FAILURE);
    }
}

/* `*port` 0 becomes the port that the kernel chose */
static int open_listener(uint16_t *port)
{
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons(*port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t address_bytes = sizeof(address);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    set_option(fd, SOL_SOCKET, SO_REUSEADDR, 1);
    set_option(fd, SOL_SOCKET, SO_REUSEPORT, 1);
    set_option(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
    set_option(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, USER_TIMEOUT_MS);
    set_option(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, UNSENT_BYTES_MAX);
    if (bind(fd, (struct sockaddr *)&address, sizeof(address)) != 0 || listen(fd, BACKLOG) != 0 ||
        getsockname(fd, (struct sockaddr *)&address, &address_bytes) != 0) {
        fprintf(stderr, "ceiling: 127.0.0.1:%u: %s\n", *port, strerror(errno));
        exit(EXIT_FAILURE);
    }
    *port = ntohs(address.sin_port);
    return fd;
}

static void on_accept(h2o_socket_t *listener, const char *err)
{
    worker_t *worker = listener->data;
    if (err != NULL)
        return;
    for (int i = 0; i != ACCEPTS_PER_WAKEUP; ++i) {
        h2o_socket_t *sock = h2o_evloop_socket_accept(listener);
        if (sock == NULL)
            return;
        h2o_accept(&worker->accept_ctx, sock);
    }
}

static void *run_worker(void *arg)
{
    worker_t *worker = arg;
    h2o_context_init(&worker->ctx, h2o_evloop_create(), &config);
    worker->accept_ctx = (h2o_accept_ctx_t){.ctx = &worker->ctx, .hosts = config.hosts};
    h2o_socket_t *listener =
        h2o_evloop_socket_create(worker->ctx.loop, worker->listener_fd, H2O_SOCKET_FLAG_DONT_READ);
    listener->data = worker;
    h2o_socket_read_start(listener, on_accept);
    for (;;)
        h2o_evloop_run(worker->ctx.loop, INT32_MAX);
    return NULL;
}

static void start_workers(worker_t *workers, size_t count, uint16_t *port)
{
    for (size_t i = 0; i != count; ++i)
        workers[i].listener_fd = open_listener(port);
    for (size_t i = 0; i != count; ++i) {
        int error = pthread_create(&workers[i].thread, NULL, run_worker, &workers[i]);
        if (error != 0) {
            fprintf(stderr, "ceiling: worker: %s\n", strerror(error));
            exit(EXIT_FAILURE);
        }
    }
}

/* ---------------------------------------------------------------- main */

int main(int argc, char **argv)
{
    unsigned long wanted_port, worker_count;
    if (argc != 3 || !parse_number(argv[1], 0, UINT16_MAX, &wanted_port) ||
        !parse_number(argv[2], 1, WORKERS_MAX, &worker_count)) {
        fprintf(stderr,
                "usage: ceiling PORT WORKERS\n"
                "Answers any GET and PUT on 127.0.0.1:PORT without storing anything, on WORKERS\n"
                "threads (1 to %d). With PORT 0 the system chooses one; it is printed.\n",
                WORKERS_MAX);
        return 2;
    }
    sigset_t stop_signals;
    sigemptyset(&stop_signals);
    sigaddset(&stop_signals, SIGTERM);
    sigaddset(&stop_signals, SIGINT);
    pthread_sigmask(SIG_BLOCK, &stop_signals, NULL); /* the workers inherit it */
    signal(SIGPIPE, SIG_IGN);

    uint16_t port = (uint16_t)wanted_port;
    worker_t *workers = calloc(worker_count, sizeof(*workers));
    if (workers == NULL) {
        fprintf(stderr, "ceiling: out of memory\n");
        return EXIT_FAILURE;
    }
    memset(value, 'v', sizeof(value));
    configure();
    start_workers(workers, worker_count, &port);
    printf("listening on 127.0.0.1:%u\n", port);
    fflush(stdout);

    int signal_number;
    sigwait(&stop_signals, &signal_number);
    /* the workers' loops never end, and nothing they hold outlives the process */
    _exit(EXIT_SUCCESS);
}
