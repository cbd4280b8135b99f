/*
 * client/cli.h - the command line of `cairn`: everything but the server.
 */
#ifndef CAIRN_CLIENT_CLI_H
#define CAIRN_CLIENT_CLI_H

/**
 * Runs what the words after the program's name say, and returns the exit status: 0 done, 1 the
 * answer is no, 2 the command line is wrong, 3 nobody answers, 4 the token does not allow it, 5
 * another failure. Without any word it prints the list of commands.
 */
int cairn_command_run(int argc, char **argv);

#endif
