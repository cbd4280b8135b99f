/*
 * Do the tests' own helpers for child processes and directories keep what their headers promise?
 *
 * Small shell scripts stand in for the program, so that it can be made to misbehave.
 */
#include "tests/server_process.h"

#include <CUnit/CUnit.h>

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/suites.h"
#include "tests/temp_dir.h"

/* a script in place of the program, for one test */
typedef struct st_stand_in_t {
    temp_dir_t dir;
    char path[280];
    char *real_binary;
} stand_in_t;

static void stand_in_install(stand_in_t *stand_in, const char *script)
{
    CU_ASSERT_FATAL(temp_dir_create(&stand_in->dir, TEMP_DIR_ON_DISK));
    snprintf(stand_in->path, sizeof(stand_in->path), "%s/program", stand_in->dir.path);
    FILE *file = fopen(stand_in->path, "w");
    CU_ASSERT_PTR_NOT_NULL_FATAL(file);
    fprintf(file, "#!/bin/sh\n%s\n", script);
    fclose(file);
    CU_ASSERT_FATAL(chmod(stand_in->path, 0700) == 0);
    const char *real_binary = getenv("CAIRN_BINARY");
    stand_in->real_binary = real_binary != NULL ? strdup(real_binary) : NULL;
    setenv("CAIRN_BINARY", stand_in->path, 1);
}

static void stand_in_remove(stand_in_t *stand_in)
{
    if (stand_in->real_binary != NULL)
        setenv("CAIRN_BINARY", stand_in->real_binary, 1);
    else
        unsetenv("CAIRN_BINARY");
    free(stand_in->real_binary);
    CU_ASSERT(temp_dir_remove(&stand_in->dir));
}

static void start_and_stop(void)
{
    static const char *const extra[] = {"--more", "a b", NULL};
    stand_in_t stand_in;
    server_process_t server = {0};
    stand_in_install(&stand_in, "trap 'echo stopping >&2; exit 3' TERM\n"
                                "for a; do echo \"<$a>\"; done\n"
                                "echo 'listening on http://127.0.0.1:4711 (cairn 1)'\n"
                                "while :; do sleep 0.01; done");
    CU_ASSERT_FATAL(server_start(&server, "/some dir", extra));
    CU_ASSERT_EQUAL(server.port, 4711);
    CU_ASSERT_EQUAL(server_stop(&server), 3);
    CU_ASSERT_EQUAL(server.pid, 0);
    CU_ASSERT_STRING_EQUAL(server_output(&server),
                           "<serve>\n<--listen>\n<127.0.0.1:0>\n<--data>\n</some dir>\n<--more>\n"
                           "<a b>\nlistening on http://127.0.0.1:4711 (cairn 1)\nstopping\n");
    CU_ASSERT_EQUAL(server_stop(&server), SERVER_NOT_RUNNING);
    server_dispose(&server);
    stand_in_remove(&stand_in);
}

static void kill_and_start_again(void)
{
    stand_in_t stand_in;
    server_process_t server = {0};
    stand_in_install(&stand_in, "echo listening on 127.0.0.1:$(($$ % 60000 + 1)); exec sleep 100");
    for (int run = 0; run != 2; ++run) {
        CU_ASSERT_FATAL(server_start(&server, "d", NULL));
        CU_ASSERT_EQUAL(server.port, server.pid % 60000 + 1);
        CU_ASSERT_EQUAL(server_kill(&server), -SIGKILL);
    }
    server_dispose(&server);
    stand_in_remove(&stand_in);
}

static void early_end(void)
{
    stand_in_t stand_in;
    server_process_t server = {0};
    stand_in_install(&stand_in,
                     "echo 'not listening on 127.0.0.1:1'; echo 'is locked' >&2; exit 4");
    CU_ASSERT_FALSE(server_start(&server, "d", NULL));
    CU_ASSERT_EQUAL(server.pid, 0);
    CU_ASSERT_PTR_NOT_NULL(strstr(server.error, "ended (4)"));
    CU_ASSERT_PTR_NOT_NULL(strstr(server.error, "is locked"));
    server_dispose(&server);
    stand_in_remove(&stand_in);
}

static void run_to_the_end(void)
{
    static const char *const args[] = {"--help", NULL};
    stand_in_t stand_in;
    int exit_status;
    char *output;
    stand_in_install(&stand_in, "echo \"$#$1\"; echo error >&2; kill -USR1 $$");
    CU_ASSERT_FATAL(run_cairn(args, &exit_status, &output));
    CU_ASSERT_EQUAL(exit_status, -SIGUSR1);
    CU_ASSERT_STRING_EQUAL(output, "1--help\nerror\n");
    free(output);
    unlink(stand_in.path);
    CU_ASSERT_FALSE(run_cairn(args, &exit_status, &output));
    CU_ASSERT_PTR_NULL(output);
    stand_in_remove(&stand_in);
}

/* dies without cleaning up, as a crashed test does; the server's process id goes to `fd` */
static void start_and_crash(int fd)
{
    server_process_t server = {0};
    if (server_start(&server, "d", NULL) &&
        write(fd, &server.pid, sizeof(server.pid)) == sizeof(server.pid))
        _exit(0);
    _exit(1);
}

static void crashed_test(void)
{
    stand_in_t stand_in;
    int fds[2], wait_status;
    pid_t server_pid;
    stand_in_install(&stand_in, "echo listening on 127.0.0.1:1; exec sleep 10");
    /* makes the orphan ours, so that its end can be waited for */
    CU_ASSERT_FATAL(prctl(PR_SET_CHILD_SUBREAPER, 1) == 0);
    CU_ASSERT_FATAL(pipe(fds) == 0);
    pid_t test_pid = fork();
    if (test_pid == 0)
        start_and_crash(fds[1]);
    CU_ASSERT_FATAL(read(fds[0], &server_pid, sizeof(server_pid)) == sizeof(server_pid));
    CU_ASSERT(waitpid(test_pid, &wait_status, 0) == test_pid && wait_status == 0);
    CU_ASSERT(waitpid(server_pid, &wait_status, 0) == server_pid);
    CU_ASSERT(WIFSIGNALED(wait_status) && WTERMSIG(wait_status) == SIGKILL);
    prctl(PR_SET_CHILD_SUBREAPER, 0);
    close(fds[0]);
    close(fds[1]);
    stand_in_remove(&stand_in);
}

static void removed_directory(void)
{
    temp_dir_t dir, other;
    char path[320];
    struct stat st;
    CU_ASSERT_FATAL(temp_dir_create(&dir, TEMP_DIR_IN_MEMORY));
    CU_ASSERT_FATAL(temp_dir_create(&other, TEMP_DIR_IN_MEMORY));
    CU_ASSERT_STRING_NOT_EQUAL(dir.path, other.path);
    CU_ASSERT(stat(dir.path, &st) == 0 && (st.st_mode & 07777) == 0700);
    snprintf(path, sizeof(path), "%s/a", dir.path);
    CU_ASSERT_FATAL(mkdir(path, 0700) == 0);
    snprintf(path, sizeof(path), "%s/a/link", dir.path);
    CU_ASSERT_FATAL(symlink(other.path, path) == 0);
    char first_path[sizeof(dir.path)];
    strcpy(first_path, dir.path);
    CU_ASSERT(temp_dir_remove(&dir));
    CU_ASSERT(stat(first_path, &st) != 0 && errno == ENOENT);
    CU_ASSERT_EQUAL(stat(other.path, &st), 0);
    CU_ASSERT(temp_dir_remove(&dir));
    CU_ASSERT(temp_dir_remove(&other));
}

void suite_server_process(void)
{
    CU_pSuite s = CU_add_suite("server_process: the tests' own children", NULL, NULL);
    CU_add_test(s, "a server is started with its arguments and stopped", start_and_stop);
    CU_add_test(s, "a killed server starts again", kill_and_start_again);
    CU_add_test(s, "a server that ends early is an error with its output", early_end);
    CU_add_test(s, "a run ends with its status and output", run_to_the_end);
    CU_add_test(s, "a server does not survive a crashed test", crashed_test);
    CU_add_test(s, "a directory is removed, and no link followed", removed_directory);
}
