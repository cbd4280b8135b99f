/*
 * client/request.c - a request goes out, an answer or an error comes back.
 */
#include "client/client_internal.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---------------------------------------------------------------- targets */

void cairn_client_target(cairn_client_t *db, const char *path, const void *key, size_t key_bytes)
{
    cairn_client_buffer_clear(&db->target);
    if (db->base != NULL)
        cairn_client_buffer_add(&db->target, db->base, strlen(db->base));
    cairn_client_buffer_add(&db->target, path, strlen(path));
    if (key != NULL)
        cairn_client_buffer_escape(&db->target, key, key_bytes);
}

void cairn_client_query(cairn_client_t *db, const char *name, const void *value, size_t bytes)
{
    bool has_query =
        db->target.bytes != NULL && memchr(db->target.bytes, '?', db->target.count) != NULL;
    cairn_client_buffer_print(&db->target, "%c%s=", has_query ? '&' : '?', name);
    cairn_client_buffer_escape(&db->target, value, bytes);
}

void cairn_client_query_number(cairn_client_t *db, const char *name, uint64_t number)
{
    char text[24];
    int bytes = snprintf(text, sizeof(text), "%llu", (unsigned long long)number);
    cairn_client_query(db, name, text, (size_t)bytes);
}

/* ---------------------------------------------------------------- what it came to */

cairn_client_err_t cairn_client_fail(cairn_client_t *db, cairn_client_err_t err, const char *format,
                                     ...)
{
    char text[sizeof(db->message)];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    /* not printed in place: what it is made from may be the message itself */
    memcpy(db->message, text, sizeof(text));
    return db->err = err;
}

const char *cairn_client_header(const cairn_client_t *db, const char *name)
{
    struct curl_header *header;
    CURLHcode found = curl_easy_header(db->curl, name, 0, CURLH_HEADER, -1, &header);
    return found == CURLHE_OK ? header->value : NULL;
}

char *cairn_client_next_target(const cairn_client_t *db)
{
    const char *link = cairn_client_header(db, "Link");
    /* a path of this server and nothing else: the token goes where it leads */
    if (link == NULL || strncmp(link, "</", 2) != 0 || strstr(link, "rel=\"next\"") == NULL)
        return NULL;
    return strndup(link + 1, strcspn(link + 1, ">"));
}

uint64_t cairn_client_etag(const cairn_client_t *db)
{
    const char *etag = cairn_client_header(db, "ETag");
    return etag != NULL && etag[0] == '"' ? strtoull(etag + 1, NULL, 10) : 0;
}

cairn_client_err_t cairn_client_err_of(int status, const char *code)
{
    static const struct {
        int status;
        cairn_client_err_t err;
    } meanings[] = {
        {304, CAIRN_CLIENT_NOT_MODIFIED}, {401, CAIRN_CLIENT_DENIED},
        {403, CAIRN_CLIENT_DENIED},       {404, CAIRN_CLIENT_NOT_FOUND},
        {409, CAIRN_CLIENT_CONFLICT},     {410, CAIRN_CLIENT_COMPACTED},
        {412, CAIRN_CLIENT_PRECONDITION}, {413, CAIRN_CLIENT_TOO_LARGE},
        {414, CAIRN_CLIENT_TOO_LARGE},    {429, CAIRN_CLIENT_BUSY},
        {431, CAIRN_CLIENT_TOO_LARGE},    {507, CAIRN_CLIENT_DISK_FULL},
    };
    static const char *const lasting[] = {"outcome_unknown", "read_only"};
    if (status >= 200 && status < 300)
        return CAIRN_CLIENT_OK;
    for (size_t i = 0; i < sizeof(meanings) / sizeof(meanings[0]); ++i)
        if (meanings[i].status == status)
            return meanings[i].err;
    if (status == 503 && code != NULL && strcmp(code, lasting[0]) == 0)
        return CAIRN_CLIENT_OUTCOME_UNKNOWN;
    if (status == 503)
        return code != NULL && strcmp(code, lasting[1]) == 0 ? CAIRN_CLIENT_SERVER
                                                             : CAIRN_CLIENT_BUSY;
    return status >= 500   ? CAIRN_CLIENT_SERVER
           : status >= 400 ? CAIRN_CLIENT_INVALID
                           : CAIRN_CLIENT_PROTOCOL;
}

/** an answer that is not 2xx, in the words of its problem if it has one */
static cairn_client_err_t take_problem(cairn_client_t *db)
{
    json_t *json =
        json_loadb(db->answer.bytes != NULL ? db->answer.bytes : "", db->answer.count, 0, NULL);
    const char *code = json_string_value(json_object_get(json, "code"));
    const char *title = json_string_value(json_object_get(json, "title"));
    const char *detail = json_string_value(json_object_get(json, "detail"));
    json_int_t line = json_integer_value(json_object_get(json, "line"));
    snprintf(db->code, sizeof(db->code), "%s", code != NULL ? code : "");
    db->line = line > 0 ? (size_t)line : 0;
    cairn_client_err_t err = cairn_client_err_of(db->status, code);
    if (detail != NULL && err == CAIRN_CLIENT_NOT_FOUND && strcmp(db->code, "not_found") == 0)
        cairn_client_fail(db, err, "%s", detail); /* its title says the same */
    else if (title != NULL && detail != NULL)
        cairn_client_fail(db, err, "%s: %s", title, detail);
    else
        cairn_client_fail(db, err, "%s (HTTP status %d)", cairn_client_strerror(err), db->status);
    json_decref(json);
    return err;
}

/** a transfer that curl could not end */
static cairn_client_err_t take_failure(cairn_client_t *db, CURLcode code, const char *curl_text)
{
    const char *text = curl_text[0] != '\0' ? curl_text : curl_easy_strerror(code);
    if (db->answer.is_broken || db->target.is_broken || code == CURLE_OUT_OF_MEMORY)
        return cairn_client_fail(db, CAIRN_CLIENT_NOMEM, "%s",
                                 cairn_client_strerror(CAIRN_CLIENT_NOMEM));
    /* before anything was sent, all failures are one: nothing has been done */
    if (db->attempt == 0 && code == CURLE_COULDNT_CONNECT)
        return cairn_client_fail(db, CAIRN_CLIENT_UNREACHABLE,
                                 "%s: %s; is cairn running there? (cairn serve)", db->where, text);
    if (db->attempt == 0)
        return cairn_client_fail(db, CAIRN_CLIENT_UNREACHABLE, "%s: %s", db->where, text);
    if (code == CURLE_OPERATION_TIMEDOUT)
        return cairn_client_fail(db, CAIRN_CLIENT_TIMEOUT, "%s: no answer within %u ms", db->where,
                                 db->timeout_ms);
    if (code == CURLE_ABORTED_BY_CALLBACK)
        text = "the connection was closed before the answer, and this is not sent twice";
    if (code == CURLE_UNSUPPORTED_PROTOCOL || code == CURLE_WEIRD_SERVER_REPLY)
        return cairn_client_fail(db, CAIRN_CLIENT_PROTOCOL, "%s: %s; is that cairn?", db->where,
                                 text);
    return cairn_client_fail(db, CAIRN_CLIENT_BROKEN, "%s: %s", db->where, text);
}

/* ---------------------------------------------------------------- sending */

static void prepare(cairn_client_t *db, const cairn_client_request_t *request,
                    struct curl_slist *headers, char *curl_text)
{
    CURL *curl = db->curl;
    bool is_head = request->method != NULL && strcmp(request->method, "HEAD") == 0;
    curl_easy_setopt(curl, CURLOPT_HTTPGET, 1L); /* forgets the request before */
    curl_easy_setopt(curl, CURLOPT_NOBODY, is_head ? 1L : 0L);
    if (request->body != NULL) {
        curl_easy_setopt(curl, CURLOPT_POST, 1L);
        curl_easy_setopt(curl, CURLOPT_POSTFIELDS, request->body);
        curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)request->body_bytes);
    }
    curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, is_head ? NULL : request->method);
    curl_easy_setopt(curl, CURLOPT_URL, db->target.bytes);
    curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, curl_text);
    curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, (long)db->timeout_ms + (long)request->wait_ms);
}

/** adds a header; without memory the list is freed, and stays NULL */
static bool add_header(struct curl_slist **headers, const char *text)
{
    struct curl_slist *longer = curl_slist_append(*headers, text);
    if (longer == NULL)
        return false;
    *headers = longer;
    return true;
}

static void begin(cairn_client_t *db, const cairn_client_request_t *request)
{
    db->err = CAIRN_CLIENT_OK;
    db->status = 0;
    db->line = 0;
    db->attempt = 0;
    db->may_repeat = !request->is_once;
    db->code[0] = db->message[0] = '\0';
    cairn_client_buffer_clear(&db->answer);
}

/* without these, curl waits for a 100 before it sends a large body, and calls any body a form */
static bool add_own_headers(const cairn_client_t *db, struct curl_slist **headers)
{
    return add_header(headers, "Expect:") &&
           (db->authorization == NULL || add_header(headers, db->authorization));
}

cairn_client_err_t cairn_client_send(cairn_client_t *db, const cairn_client_request_t *request)
{
    char curl_text[CURL_ERROR_SIZE] = "";
    struct curl_slist *headers = request->headers;
    CURLcode code = CURLE_OUT_OF_MEMORY;
    begin(db, request);
    if (db->base == NULL) {
        curl_slist_free_all(headers);
        return cairn_client_fail(db, CAIRN_CLIENT_INVALID,
                                 "\"%s\" is no URL of a cairn; write http://HOST:PORT, "
                                 "https://HOST:PORT or unix:/PATH",
                                 db->where);
    }
    if (add_own_headers(db, &headers) && !db->target.is_broken) {
        prepare(db, request, headers, curl_text);
        code = curl_easy_perform(db->curl);
    }
    curl_easy_setopt(db->curl, CURLOPT_HTTPHEADER, NULL);
    curl_easy_setopt(db->curl, CURLOPT_ERRORBUFFER, NULL);
    curl_easy_setopt(db->curl, CURLOPT_POSTFIELDS, NULL);
    curl_slist_free_all(headers);
    if (code != CURLE_OK)
        return take_failure(db, code, curl_text);
    long status = 0;
    curl_easy_getinfo(db->curl, CURLINFO_RESPONSE_CODE, &status);
    db->status = (int)status;
    if (status >= 200 && status < 300) {
        snprintf(db->message, sizeof(db->message), "%s", cairn_client_strerror(CAIRN_CLIENT_OK));
        return CAIRN_CLIENT_OK;
    }
    return take_problem(db);
}
