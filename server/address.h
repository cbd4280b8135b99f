/*
 * server/address.h - the address to listen on, as a person writes it.
 *
 * HOST:PORT, [IPv6]:PORT, :PORT for every address, or unix:/PATH for a Unix socket. Only the form
 * is judged here; whether a name resolves or a port is free shows when the server binds it.
 *
 * Threads: any; nothing here keeps state.
 */
#ifndef CAIRN_SERVER_ADDRESS_H
#define CAIRN_SERVER_ADDRESS_H

#include <stdbool.h>
#include <stdint.h>

/* the longest name that DNS knows, 253 bytes, and the NUL */
#define CAIRN_ADDRESS_HOST_BYTES 254

/* what sockaddr_un has room for, with the NUL */
#define CAIRN_ADDRESS_PATH_BYTES 108

typedef struct st_cairn_address_t {
    char unix_path[CAIRN_ADDRESS_PATH_BYTES]; /* "" for TCP; else host and port say nothing */
    char
        host[CAIRN_ADDRESS_HOST_BYTES]; /* a name, IPv4 or IPv6 without brackets; "" is every one */
    uint16_t port;                      /* 0 lets the kernel choose */
} cairn_address_t;

/**
 * Splits an address into host and port, or finds the path of a Unix socket.
 *
 * Returns NULL, or what is wrong as a static text that follows "it": "has no port".
 * Owner: `*address` is written only when NULL is returned.
 */
const char *cairn_address_parse(const char *text, cairn_address_t *address);

#endif
