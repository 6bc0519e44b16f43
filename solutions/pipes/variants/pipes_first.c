/* The textbook way: every pipe first, then every child, from the last stage to the first; each child closes all ends. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static void run_stage(char **stage, int in, int out, int (*pipes)[2], int count) {
    if (in >= 0) dup2(in, 0);
    if (out >= 0) dup2(out, 1);
    for (int i = 0; i < count; i++) {
        close(pipes[i][0]);
        close(pipes[i][1]);
    }
    sigset_t unblock;
    sigemptyset(&unblock);
    sigaddset(&unblock, SIGPIPE);
    sigprocmask(SIG_UNBLOCK, &unblock, NULL);
    signal(SIGPIPE, SIG_DFL);
    execvp(stage[0], stage);
    int why = errno;
    dprintf(2, "pipeline: %s: %s\n", stage[0], strerror(why));
    _exit(why == ENOENT ? 127 : 126);
}

int main(int argc, char **argv) {
    char *example[] = {argv[0], "ls", getenv("HOME"), "|", "grep", "^d", "|", "wc", "-l", NULL};
    char **words = argc > 1 ? argv + 1 : example + 1;
    int n = argc > 1 ? argc - 1 : 8, stages = 1;
    char ***stage = calloc(n + 2, sizeof *stage);
    stage[0] = words;
    for (int i = 0; i < n; i++)
        if (!strcmp(words[i], "|")) {
            words[i] = NULL;
            stage[stages++] = words + i + 1;
        }
    for (int i = 0; i < stages; i++)
        if (stage[i] == words + n || !stage[i][0]) {
            fprintf(stderr, "usage: pipeline [CMD [ARG]... ['|' CMD [ARG]...]...]\n");
            return 2;
        }

    int (*pipes)[2] = calloc(stages, sizeof *pipes), failed = 0;
    for (int i = 0; i + 1 < stages; i++)
        if (pipe(pipes[i])) {
            perror("pipeline: pipe");
            return 1;
        }
    pid_t *pids = calloc(stages, sizeof *pids);
    for (int i = stages - 1; i >= 0 && !failed; i--) {
        pids[i] = fork();
        if (pids[i] == 0)
            run_stage(stage[i], i ? pipes[i - 1][0] : -1, i + 1 < stages ? pipes[i][1] : -1, pipes, stages - 1);
        if (pids[i] < 0) {
            perror("pipeline: fork");
            failed = 1;
        }
    }
    for (int i = 0; i + 1 < stages; i++) {
        close(pipes[i][0]);
        close(pipes[i][1]);
    }
    int status = 0, result = 0, left = 0;
    for (int i = 0; i < stages; i++) left += pids[i] > 0;
    while (left) {
        pid_t pid = wait(&status);
        if (pid < 0) continue;
        left--;
        if (pid == pids[stages - 1]) result = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
    }
    return failed ? 1 : result;
}
