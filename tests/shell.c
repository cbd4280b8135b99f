/*
 * tests/shell.c - shell commands whose output is known.
 */
#include "tests/shell.h"

#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

static void become_shell(const char *command, int output_fd)
{
    sigset_t none;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    signal(SIGPIPE, SIG_DFL);
    if (dup2(output_fd, STDOUT_FILENO) < 0)
        _exit(127);
    execlp("bash", "bash", "-c", command, (char *)NULL);
    _exit(127);
}

static char *read_all(int fd)
{
    char *text = NULL, buffer[4096];
    size_t count = 0;
    FILE *out = open_memstream(&text, &count);
    for (ssize_t n; out != NULL && (n = read(fd, buffer, sizeof(buffer))) > 0;)
        fwrite(buffer, 1, (size_t)n, out);
    if (out != NULL)
        fclose(out);
    return text != NULL ? text : strdup("");
}

char *shell_run(const char *command, int *status)
{
    int fds[2], wait_status = 0;
    *status = 127;
    if (pipe(fds) != 0)
        return strdup("");
    pid_t pid = fork();
    if (pid == 0) {
        close(fds[0]);
        become_shell(command, fds[1]);
    }
    close(fds[1]);
    char *text = read_all(fds[0]);
    close(fds[0]);
    if (pid > 0 && waitpid(pid, &wait_status, 0) == pid)
        *status = WIFSIGNALED(wait_status) ? 128 + WTERMSIG(wait_status) : WEXITSTATUS(wait_status);
    return text;
}

bool shell_prints(const char *expected, const char *format, ...)
{
    char *command = NULL;
    int status = 127;
    va_list args;
    va_start(args, format);
    int bytes = vasprintf(&command, format, args);
    va_end(args);
    if (bytes < 0)
        return false;
    char *text = shell_run(command, &status);
    bool is_good = status == 0 && strcmp(text, expected) == 0;
    if (!is_good)
        fprintf(stderr, "\n    status %d of: %s\n    printed: %s", status, command, text);
    free(text);
    free(command);
    return is_good;
}
