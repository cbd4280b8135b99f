/*
 * server/steer.h - which of two processes gets the new connections of a port they share.
 *
 * The kernel keeps the sockets of one address in a group, in the order in which they began to
 * listen: those of the older process first. A program of three instructions that is attached to the
 * group picks one of them by number for each connection that begins; where it names none, or the
 * kernel takes no program, the kernel picks one by hash as ever. Connections that have begun stay
 * where they are. docs/ARCHITECTURE.md tells how a takeover uses this.
 *
 * Threads: main.
 */
#ifndef CAIRN_SERVER_STEER_H
#define CAIRN_SERVER_STEER_H

#include <stddef.h>

/** New connections come to the first `own_count` sockets, also when others join the group. */
void cairn_steer_to_own(int fd, size_t own_count);

/**
 * If others listen on the port of `fd` beside our own sockets, new connections go to those from now
 * on. Returns how many they are.
 */
size_t cairn_steer_to_others(int fd, size_t own_count);

#endif
