/*
 * server/verify.h - `cairn verify`: a store that no server has open, checked to the last byte.
 */
#ifndef CAIRN_SERVER_VERIFY_H
#define CAIRN_SERVER_VERIFY_H

/**
 * Runs `cairn verify DIR [--dump SEGMENT] [--json]`; `argv` is what follows "verify".
 *
 * Returns the exit status: 0 all is well, 1 something is damaged, 2 it could not be told (wrong
 * arguments, no store there, a server has it open, the disk cannot read), 3 a server starts, and
 * will say that it is degraded.
 */
int cairn_verify(int argc, char **argv);

#endif
