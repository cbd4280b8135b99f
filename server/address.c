/*
 * Splitting "HOST:PORT" at its last colon, with IPv6 in brackets; "unix:/PATH" is a path.
 */
#include "server/address.h"

#include <arpa/inet.h>
#include <string.h>

#include "server/units.h"

#define UNIX_PREFIX "unix:"
#define NAME_LETTERS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._"

/* IPv6 may name its interface, as in fe80::1%eth0; the name is the kernel's to judge. */
static bool is_ipv6(const char *host)
{
    char bare[INET6_ADDRSTRLEN];
    struct in6_addr in6;
    size_t bytes = strcspn(host, "%");

    if (bytes >= sizeof(bare) || (host[bytes] == '%' && host[bytes + 1] == '\0'))
        return false;
    memcpy(bare, host, bytes);
    bare[bytes] = '\0';
    return inet_pton(AF_INET6, bare, &in6) == 1;
}

/* Digits and dots alone are no name: 300.1.1.1 is a slip, and must not go to a name server. */
static bool is_name_or_ipv4(const char *host)
{
    struct in_addr in;

    if (host[strspn(host, NAME_LETTERS)] != '\0')
        return false;
    return host[strspn(host, "0123456789.")] != '\0' || inet_pton(AF_INET, host, &in) == 1;
}

/* Copies the host without its brackets; NULL, or what is wrong with it. */
static const char *parse_host(const char *text, size_t bytes, char host[CAIRN_ADDRESS_HOST_BYTES])
{
    bool in_brackets = bytes >= 2 && text[0] == '[' && text[bytes - 1] == ']';

    if (in_brackets) {
        ++text;
        bytes -= 2;
    }
    if (bytes >= CAIRN_ADDRESS_HOST_BYTES)
        return "has a host that is too long";
    memcpy(host, text, bytes);
    host[bytes] = '\0';
    if (in_brackets)
        return is_ipv6(host) ? NULL : "has no IPv6 address between its brackets";
    if (bytes == 0)
        return NULL;
    if (strchr(host, ':') != NULL)
        return "has an IPv6 address without brackets";
    return is_name_or_ipv4(host) ? NULL : "has a host that is neither a name nor an IPv4 address";
}

/* A relative path would mean another socket wherever the server is started. */
static const char *parse_path(const char *path, cairn_address_t *address)
{
    if (path[0] != '/' || path[1] == '\0')
        return "has no path that begins with /";
    if (strlen(path) >= CAIRN_ADDRESS_PATH_BYTES)
        return "has a path longer than the 107 bytes a Unix socket may have";
    memset(address, 0, sizeof(*address));
    strcpy(address->unix_path, path);
    return NULL;
}

const char *cairn_address_parse(const char *text, cairn_address_t *address)
{
    if (strncmp(text, UNIX_PREFIX, strlen(UNIX_PREFIX)) == 0)
        return parse_path(text + strlen(UNIX_PREFIX), address);

    const char *colon = strrchr(text, ':'), *wrong;
    char host[CAIRN_ADDRESS_HOST_BYTES];
    uint64_t port;

    if (colon == NULL || colon[1] == '\0' || strchr(colon, ']') != NULL)
        return "has no port";
    if (cairn_units_parse_count(colon + 1, strlen(colon + 1), &port) != CAIRN_UNITS_OK ||
        port > UINT16_MAX)
        return "has a port that is not a number from 0 to 65535";
    if ((wrong = parse_host(text, (size_t)(colon - text), host)) != NULL)
        return wrong;
    memcpy(address->host, host, sizeof(host));
    address->unix_path[0] = '\0';
    address->port = (uint16_t)port;
    return NULL;
}
