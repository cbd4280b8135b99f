/*
 * Other programs as children of a test.
 */
#include "tests/program.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/site.h"

/* between fork and exec; the environment was made before */
static void become(const char *const *argv, int output_fd, pid_t parent)
{
    sigset_t none;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    signal(SIGPIPE, SIG_DFL);
    if (getppid() == parent && dup2(output_fd, STDOUT_FILENO) >= 0 &&
        dup2(output_fd, STDERR_FILENO) >= 0)
        execvp(argv[0], (char *const *)argv);
    _exit(127);
}

/* where haproxy is, if a user's PATH leaves it out */
static void widen_path(void)
{
    static bool is_wide;
    char path[4096];
    if (is_wide)
        return;
    snprintf(path, sizeof(path), "%s:/usr/sbin", getenv("PATH") != NULL ? getenv("PATH") : "/bin");
    setenv("PATH", path, 1);
    is_wide = true;
}

bool program_start(program_t *program, const char *const *argv)
{
    pid_t parent = getpid();
    widen_path();
    *program = (program_t){._output_fd = memfd_create("program-output", MFD_CLOEXEC)};
    if (program->_output_fd < 0)
        return false;
    pid_t pid = fork();
    if (pid == 0)
        become(argv, program->_output_fd, parent);
    program->pid = pid > 0 ? pid : 0;
    return pid > 0;
}

int program_wait(program_t *program, int timeout_ms)
{
    int status = 0;
    if (program->pid == 0)
        return -1;
    for (int64_t end_ms = monotonic_ms() + timeout_ms; monotonic_ms() < end_ms; sleep_ms(1))
        if (waitpid(program->pid, &status, WNOHANG) == program->pid) {
            program->pid = 0;
            return WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
        }
    kill(program->pid, SIGKILL);
    waitpid(program->pid, &status, 0);
    program->pid = 0;
    return -SIGKILL;
}

char *program_output(const program_t *program)
{
    struct stat st;
    if (fstat(program->_output_fd, &st) != 0)
        return NULL;
    char *text = malloc((size_t)st.st_size + 1);
    ssize_t got = text != NULL ? pread(program->_output_fd, text, (size_t)st.st_size, 0) : 0;
    if (text != NULL)
        text[got > 0 ? got : 0] = '\0';
    return text;
}

void program_end(program_t *program)
{
    if (program->pid != 0) {
        kill(program->pid, SIGKILL);
        waitpid(program->pid, NULL, 0);
    }
    if (program->_output_fd > 0)
        close(program->_output_fd);
    *program = (program_t){.pid = 0};
}

int program_run(const char *const *argv, int timeout_ms, char **output)
{
    program_t program;
    if (!program_start(&program, argv))
        return -1;
    int status = program_wait(&program, timeout_ms);
    if (output != NULL)
        *output = program_output(&program);
    program_end(&program);
    return status;
}
