/*
 * client/connect.c - handles: one server each, and what its last call left behind.
 */
#include "client/client_internal.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CONNECT_TIMEOUT_MS 5000
#define CALL_TIMEOUT_MS 60000
/* the server closes connections that were idle for a minute; ours are older than this never used
 * again, so that a request does not meet the close */
#define IDLE_SECONDS_MAX 30
#define URL_BYTES_MAX 512

const char *cairn_client_strerror(cairn_client_err_t err)
{
    static const char *const texts[] = {
#define X(name, text) text,
        CAIRN_CLIENT_ERRORS(X)
#undef X
    };
    return (size_t)err < sizeof(texts) / sizeof(texts[0]) ? texts[err] : "unknown error";
}

static pthread_once_t curl_once = PTHREAD_ONCE_INIT;

static void start_curl(void)
{
    curl_global_init(CURL_GLOBAL_DEFAULT);
}

/** counts the times that one request is begun: curl begins again by itself when a kept connection
 * turns out to be closed, which must not happen to what may already have been done */
static int on_request(void *ctx, char *peer_ip, char *own_ip, int peer_port, int own_port)
{
    cairn_client_t *db = ctx;
    (void)peer_ip;
    (void)own_ip;
    (void)peer_port;
    (void)own_port;
    ++db->attempt;
    return db->attempt == 1 || db->may_repeat ? CURL_PREREQFUNC_OK : CURL_PREREQFUNC_ABORT;
}

static size_t on_body(char *bytes, size_t size, size_t count, void *ctx)
{
    cairn_client_t *db = ctx;
    cairn_client_buffer_add(&db->answer, bytes, size * count);
    return db->answer.is_broken ? 0 : size * count;
}

static bool starts_with(const char *text, const char *prefix)
{
    return strncmp(text, prefix, strlen(prefix)) == 0;
}

/** tells a URL apart: what paths are added to, and the socket's path, NULL for TCP */
static bool split_url(cairn_client_t *db, const char *url, const char **socket_path)
{
    bool is_tls_socket = starts_with(url, "unix+https:");
    *socket_path = NULL;
    if (is_tls_socket || starts_with(url, "unix:")) {
        *socket_path = strchr(url, ':') + 1;
        db->base = strdup(is_tls_socket ? "https://localhost" : "http://localhost");
        return (*socket_path)[0] == '/' && db->base != NULL;
    }
    const char *host = starts_with(url, "http://")    ? url + strlen("http://")
                       : starts_with(url, "https://") ? url + strlen("https://")
                                                      : NULL;
    if (host == NULL)
        return false;
    size_t host_bytes = strcspn(host, "/?#");
    /* one slash behind it is what people write; more would be a path, and cairn has none */
    if (host_bytes == 0 || strcmp(host + host_bytes + (host[host_bytes] == '/'), "") != 0)
        return false;
    db->base = strndup(url, (size_t)(host - url) + host_bytes);
    return db->base != NULL;
}

static bool set_options(cairn_client_t *db, const cairn_client_options_t *options,
                        const char *socket_path)
{
    CURL *curl = db->curl;
    long connect_ms =
        options->connect_timeout_ms != 0 ? (long)options->connect_timeout_ms : CONNECT_TIMEOUT_MS;
    db->timeout_ms = options->timeout_ms != 0 ? options->timeout_ms : CALL_TIMEOUT_MS;
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    curl_easy_setopt(curl, CURLOPT_PATH_AS_IS, 1L);
    curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
    /* a database is not reached through a web proxy that the environment happens to name */
    curl_easy_setopt(curl, CURLOPT_PROXY, "");
    curl_easy_setopt(curl, CURLOPT_MAXAGE_CONN, (long)IDLE_SECONDS_MAX);
    curl_easy_setopt(curl, CURLOPT_TCP_KEEPALIVE, 1L);
    curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS, connect_ms);
    curl_easy_setopt(curl, CURLOPT_PREREQFUNCTION, on_request);
    curl_easy_setopt(curl, CURLOPT_PREREQDATA, db);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, db);
    curl_easy_setopt(curl, CURLOPT_USERAGENT, "libcairn");
    if (options->is_insecure) {
        curl_easy_setopt(curl, CURLOPT_SSL_VERIFYPEER, 0L);
        curl_easy_setopt(curl, CURLOPT_SSL_VERIFYHOST, 0L);
    }
    if (options->ca_file != NULL &&
        curl_easy_setopt(curl, CURLOPT_CAINFO, options->ca_file) != CURLE_OK)
        return false;
    if (socket_path != NULL &&
        curl_easy_setopt(curl, CURLOPT_UNIX_SOCKET_PATH, socket_path) != CURLE_OK)
        return false;
    if (options->token == NULL)
        return true;
    int bytes = asprintf(&db->authorization, "Authorization: Bearer %s", options->token);
    if (bytes < 0)
        db->authorization = NULL;
    return bytes >= 0;
}

cairn_client_t *cairn_connect_url(const char *url, const cairn_client_options_t *options)
{
    static const cairn_client_options_t defaults;
    const char *socket_path;
    cairn_client_t *db = calloc(1, sizeof(*db));
    if (db == NULL)
        return NULL;
    if (options == NULL)
        options = &defaults;
    pthread_once(&curl_once, start_curl);
    db->curl = curl_easy_init();
    db->where = strdup(url);
    if (db->curl == NULL || db->where == NULL)
        goto Error;
    if (!split_url(db, url, &socket_path)) {
        free(db->base);
        db->base = NULL; /* each call says so */
        socket_path = NULL;
    }
    if (!set_options(db, options, socket_path))
        goto Error;
    return db;
Error:
    cairn_disconnect(db);
    return NULL;
}

cairn_client_t *cairn_connect(const char *host, uint16_t port)
{
    char url[URL_BYTES_MAX];
    /* an IPv6 address would be taken apart at its colons */
    bool is_ipv6 = strchr(host, ':') != NULL && host[0] != '[';
    int bytes = snprintf(url, sizeof(url), is_ipv6 ? "http://[%s]:%u" : "http://%s:%u", host, port);
    return cairn_connect_url(bytes < (int)sizeof(url) ? url : "too long a host", NULL);
}

void cairn_disconnect(cairn_client_t *db)
{
    if (db == NULL)
        return;
    if (db->curl != NULL)
        curl_easy_cleanup(db->curl);
    free(db->base);
    free(db->where);
    free(db->authorization);
    cairn_client_buffer_dispose(&db->target);
    cairn_client_buffer_dispose(&db->answer);
    free(db);
}

const char *cairn_client_message(const cairn_client_t *db)
{
    return db != NULL ? db->message : cairn_client_strerror(CAIRN_CLIENT_NOMEM);
}

cairn_client_err_t cairn_client_error(const cairn_client_t *db)
{
    return db != NULL ? db->err : CAIRN_CLIENT_NOMEM;
}

int cairn_client_status(const cairn_client_t *db)
{
    return db != NULL ? db->status : 0;
}

const char *cairn_client_code(const cairn_client_t *db)
{
    return db != NULL ? db->code : "";
}
