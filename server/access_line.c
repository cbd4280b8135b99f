/*
 * server/access_line.c - one line of the access log.
 */
#include "server/access_log.h"

#include <arpa/inet.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

/* what follows a method or target that has been cut */
#define CUT "..."

static void print_peer(const struct sockaddr *peer, char text[INET6_ADDRSTRLEN])
{
    const void *address = NULL;

    if (peer != NULL && peer->sa_family == AF_INET)
        address = &((const struct sockaddr_in *)peer)->sin_addr;
    else if (peer != NULL && peer->sa_family == AF_INET6)
        address = &((const struct sockaddr_in6 *)peer)->sin6_addr;
    if (address == NULL || inet_ntop(peer->sa_family, address, text, INET6_ADDRSTRLEN) == NULL)
        strcpy(text, peer != NULL && peer->sa_family == AF_UNIX ? "unix" : "-");
}

static void tell_time(cairn_access_clock_t *clock, time_t second)
{
    struct tm tm;

    if (clock->second == second && clock->iso[0] != '\0')
        return;
    clock->second = second;
    gmtime_r(&second, &tm);
    strftime(clock->common, sizeof(clock->common), "%d/%b/%Y:%H:%M:%S +0000", &tm);
    strftime(clock->iso, sizeof(clock->iso), "%Y-%m-%dT%H:%M:%S", &tm);
}

/* Up to `most` bytes of a text, escaped; `format` is what becomes of a byte that cannot be seen. */
static size_t escape(char *to, const char *text, size_t bytes, size_t most, const char *format)
{
    size_t at = 0;

    for (size_t i = 0; i != bytes && i != most; ++i) {
        unsigned char c = (unsigned char)text[i];
        if (c < 0x20 || c > 0x7e) {
            at += (size_t)sprintf(to + at, format, c);
            continue;
        }
        if (c == '"' || c == '\\')
            to[at++] = '\\';
        to[at++] = (char)c;
    }
    if (bytes > most) {
        memcpy(to + at, CUT, sizeof(CUT) - 1);
        at += sizeof(CUT) - 1;
    }
    return at;
}

static size_t print_common(const cairn_access_entry_t *entry, const cairn_access_clock_t *clock,
                           const char *peer, char *line)
{
    size_t at = (size_t)sprintf(line, "%s - %s [%s] \"", peer,
                                entry->token != NULL ? entry->token : "-", clock->common);

    at += escape(line + at, entry->method, entry->method_bytes, CAIRN_ACCESS_METHOD_BYTES_MAX,
                 "\\x%02x");
    line[at++] = ' ';
    at += escape(line + at, entry->target, entry->target_bytes, CAIRN_ACCESS_TARGET_BYTES_MAX,
                 "\\x%02x");
    at += (size_t)sprintf(line + at, " HTTP/%d.%d\" ", entry->http_version >> 8,
                          entry->http_version & 0xff);
    at += (size_t)(entry->status != 0 ? sprintf(line + at, "%d", entry->status)
                                      : sprintf(line + at, "-"));
    return at + (size_t)(entry->bytes != 0 ? sprintf(line + at, " %" PRIu64 "\n", entry->bytes)
                                           : sprintf(line + at, " -\n"));
}

static size_t print_json(const cairn_access_entry_t *entry, const cairn_access_clock_t *clock,
                         const char *peer, char *line)
{
    size_t at = (size_t)sprintf(line, "{\"time\":\"%s.%03ldZ\",\"peer\":\"%s\",\"method\":\"",
                                clock->iso, entry->time.tv_nsec / 1000000, peer);

    at += escape(line + at, entry->method, entry->method_bytes, CAIRN_ACCESS_METHOD_BYTES_MAX,
                 "%%%02X");
    at += (size_t)sprintf(line + at, "\",\"target\":\"");
    at += escape(line + at, entry->target, entry->target_bytes, CAIRN_ACCESS_TARGET_BYTES_MAX,
                 "%%%02X");
    at += (size_t)sprintf(line + at,
                          "\",\"status\":%d,\"bytes\":%" PRIu64 ",\"duration_us\":%" PRIu64,
                          entry->status, entry->bytes, entry->duration_ns / 1000);
    if (entry->token != NULL)
        at += (size_t)sprintf(line + at, ",\"token\":\"%s\"", entry->token);
    return at + (size_t)sprintf(line + at, "}\n");
}

size_t cairn_access_line_print(cairn_config_access_log_t format, const cairn_access_entry_t *entry,
                               cairn_access_clock_t *clock, char line[CAIRN_ACCESS_LINE_BYTES_MAX])
{
    char peer[INET6_ADDRSTRLEN];

    print_peer(entry->peer, peer);
    tell_time(clock, entry->time.tv_sec);
    return format == CAIRN_ACCESS_LOG_JSON ? print_json(entry, clock, peer, line)
                                           : print_common(entry, clock, peer, line);
}
