/*
 * The real program as a child of a test.
 */
#include "tests/server_process.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* only a hang meets this; it leaves room for sanitizers on a busy machine */
#define DEADLINE_MS 60000
/* how often a child that we wait for is looked at */
#define POLL_INTERVAL_MS 1
#define ARGS_MAX 64

#define LISTENING "listening on "

static int64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void sleep_a_little(void)
{
    nanosleep(&(struct timespec){.tv_nsec = POLL_INTERVAL_MS * 1000000}, NULL);
}

/* ---------------------------------------------------------------- the child's output */

/* appending, so that stdout and stderr do not write over each other; closed on exec but for dup2()
 */
static FILE *open_output(void)
{
    int fd = memfd_create("cairn-output", MFD_CLOEXEC);
    if (fd < 0)
        return NULL;
    fcntl(fd, F_SETFL, O_APPEND);
    FILE *output = fdopen(fd, "r+");
    if (output == NULL)
        close(fd);
    return output;
}

/* the whole file as text that the caller frees */
static char *read_output(FILE *output)
{
    struct stat st;
    if (fstat(fileno(output), &st) != 0)
        return NULL;
    char *text = malloc((size_t)st.st_size + 1);
    if (text == NULL)
        return NULL;
    ssize_t got = pread(fileno(output), text, (size_t)st.st_size, 0);
    text[got > 0 ? got : 0] = '\0';
    return text;
}

/* ---------------------------------------------------------------- running */

/* runs in the child between fork and exec, where only async-signal-safe calls are allowed */
static void become_program(const char *binary, char *const *argv, int output_fd, pid_t parent)
{
    sigset_t none;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        _exit(127); /* the parent died before it could be watched */
    /* what a test blocks or ignores is no part of what the program starts with */
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    signal(SIGPIPE, SIG_DFL);
    int input_fd = open("/dev/null", O_RDONLY);
    if (input_fd < 0 || dup2(input_fd, STDIN_FILENO) < 0 || dup2(output_fd, STDOUT_FILENO) < 0 ||
        dup2(output_fd, STDERR_FILENO) < 0)
        _exit(127);
    execv(binary, argv);
    _exit(127);
}

/* 0 with `errno` set when the program cannot be started */
static pid_t spawn(const char *const *args, FILE *output)
{
    const char *binary = getenv("CAIRN_BINARY");
    if (binary == NULL || access(binary, X_OK) != 0) {
        errno = ENOENT;
        return 0;
    }
    char *argv[ARGS_MAX + 2] = {(char *)binary};
    for (size_t i = 0; args[i] != NULL; ++i) {
        if (i == ARGS_MAX) {
            errno = E2BIG;
            return 0;
        }
        argv[i + 1] = (char *)args[i];
    }
    pid_t parent = getpid();
    pid_t pid = fork();
    if (pid == 0)
        become_program(binary, argv, fileno(output), parent);
    return pid > 0 ? pid : 0;
}

static int how_it_ended(int wait_status)
{
    return WIFSIGNALED(wait_status) ? -WTERMSIG(wait_status) : WEXITSTATUS(wait_status);
}

/* whether the child has ended; it is gone for good then */
static bool reap(pid_t pid, int *ended)
{
    int wait_status;
    pid_t found = waitpid(pid, &wait_status, WNOHANG);
    if (found == pid)
        *ended = how_it_ended(wait_status);
    return found == pid;
}

/* waits for the child's own end, and after the deadline makes one */
static int await_end(pid_t pid)
{
    int wait_status, ended;
    for (int64_t deadline_ms = now_ms() + DEADLINE_MS; now_ms() < deadline_ms; sleep_a_little()) {
        if (reap(pid, &ended))
            return ended;
    }
    kill(pid, SIGKILL);
    waitpid(pid, &wait_status, 0);
    return how_it_ended(wait_status);
}

/* ---------------------------------------------------------------- starting a server */

static bool fail(server_process_t *server, const char *what, const char *why)
{
    snprintf(server->error, sizeof(server->error), "%s: %s", what, why);
    return false;
}

/* the port in a whole line "listening on ...:PORT..."; 0 if there is no such line yet */
static uint16_t find_port(const char *output)
{
    const char *line = output, *line_end;
    for (; (line_end = strchr(line, '\n')) != NULL; line = line_end + 1) {
        if (strncmp(line, LISTENING, strlen(LISTENING)) != 0)
            continue;
        const char *colon = memrchr(line, ':', (size_t)(line_end - line));
        char *number_end;
        unsigned long port = colon != NULL ? strtoul(colon + 1, &number_end, 10) : 0;
        if (port > 0 && port <= UINT16_MAX && (*number_end == '\n' || *number_end == ' '))
            return (uint16_t)port;
    }
    return 0;
}

static bool is_listening(server_process_t *server)
{
    const char *output = server_output(server);
    server->port = find_port(output);
    const char *line = strstr(output, LISTENING "unix:");
    return server->port != 0 || (line != NULL && strchr(line, '\n') != NULL);
}

static bool await_listening(server_process_t *server)
{
    int ended;
    for (int64_t deadline_ms = now_ms() + DEADLINE_MS; now_ms() < deadline_ms; sleep_a_little()) {
        if (is_listening(server))
            return true;
        if (reap(server->pid, &ended)) {
            server->pid = 0;
            snprintf(server->error, sizeof(server->error), "the server ended (%d): %.120s", ended,
                     server_output(server));
            return false;
        }
    }
    server_kill(server);
    return fail(server, "the server does not say where it listens", server_output(server));
}

static bool build_args(const char *args[ARGS_MAX + 1], const char *data_dir,
                       const char *const *extra_args)
{
    size_t count = 0;
    args[count++] = "serve";
    args[count++] = "--listen";
    args[count++] = "127.0.0.1:0";
    args[count++] = "--data";
    args[count++] = data_dir;
    for (; extra_args != NULL && *extra_args != NULL; ++extra_args) {
        if (count == ARGS_MAX)
            return false;
        args[count++] = *extra_args;
    }
    args[count] = NULL;
    return true;
}

static bool launch(server_process_t *server, const char *data_dir, const char *const *extra_args)
{
    const char *args[ARGS_MAX + 1];
    server_dispose(server);
    if (!build_args(args, data_dir, extra_args))
        return fail(server, "start", "too many arguments");
    server->_output = open_output();
    if (server->_output == NULL)
        return fail(server, "output file", strerror(errno));
    server->pid = spawn(args, server->_output);
    if (server->pid == 0)
        return fail(server, "the binary that CAIRN_BINARY names", strerror(errno));
    return true;
}

bool server_start(server_process_t *server, const char *data_dir, const char *const *extra_args)
{
    return launch(server, data_dir, extra_args) && await_listening(server);
}

int server_start_and_kill(server_process_t *server, const char *data_dir,
                          const char *const *extra_args, uint64_t after_us)
{
    if (!launch(server, data_dir, extra_args))
        return SERVER_NOT_RUNNING;
    nanosleep(&(struct timespec){.tv_sec = (time_t)(after_us / 1000000),
                                 .tv_nsec = (long)(after_us % 1000000) * 1000},
              NULL);
    return server_kill(server);
}

static int end_with(server_process_t *server, int signal_number)
{
    if (server->pid == 0)
        return SERVER_NOT_RUNNING; /* and kill(0) would be for the whole process group */
    kill(server->pid, signal_number);
    int ended = await_end(server->pid);
    server->pid = 0;
    return ended;
}

int server_stop(server_process_t *server)
{
    return end_with(server, SIGTERM);
}

int server_kill(server_process_t *server)
{
    return end_with(server, SIGKILL);
}

const char *server_output(server_process_t *server)
{
    free(server->_output_text);
    server->_output_text = server->_output != NULL ? read_output(server->_output) : NULL;
    return server->_output_text != NULL ? server->_output_text : "";
}

void server_dispose(server_process_t *server)
{
    if (server->pid != 0)
        server_kill(server);
    if (server->_output != NULL)
        fclose(server->_output);
    free(server->_output_text);
    *server = (server_process_t){0};
}

bool run_cairn(const char *const *args, int *exit_status, char **output)
{
    *output = NULL;
    FILE *file = open_output();
    if (file == NULL)
        return false;
    pid_t pid = spawn(args, file);
    if (pid != 0) {
        *exit_status = await_end(pid);
        *output = read_output(file);
    }
    fclose(file);
    return *output != NULL;
}
