/* posix_spawn in the place of fork and exec; the errors of exec come back to the parent. Meanwhile another thread
   preempts the first one by a signal now and then, as the runtimes of some languages do (Go). */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

static int spawn(pid_t *pid, char **stage, int in, int out) {
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    if (in >= 0) posix_spawn_file_actions_adddup2(&actions, in, 0);
    if (out >= 0) posix_spawn_file_actions_adddup2(&actions, out, 1);
    posix_spawnattr_t attributes;
    posix_spawnattr_init(&attributes);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK);
    sigset_t set;
    sigemptyset(&set);
    posix_spawnattr_setsigmask(&attributes, &set);
    sigaddset(&set, SIGPIPE);
    posix_spawnattr_setsigdefault(&attributes, &set);
    int error = posix_spawnp(pid, stage[0], &actions, &attributes, stage, environ);
    posix_spawn_file_actions_destroy(&actions);
    return error;
}

static pthread_t first;

static void on_signal(int signal) { (void)signal; }

static void *preempt(void *unused) {
    for (int i = 0; i < 20; i++) {
        pthread_kill(first, SIGURG);
        usleep(10000);
    }
    return unused;
}

int main(int argc, char **argv) {
    char *example[] = {"ls", getenv("HOME"), "|", "grep", "^d", "|", "wc", "-l", NULL};
    char **words = argc > 1 ? argv + 1 : example;
    for (int i = 0; words[i]; i++)
        if (!strcmp(words[i], "|") && (i == 0 || !words[i + 1] || !strcmp(words[i + 1], "|"))) {
            fprintf(stderr, "usage: pipeline [CMD [ARG]... ['|' CMD [ARG]...]...]\n");
            return 2;
        }
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
    sigaction(SIGURG, &action, NULL);
    first = pthread_self();
    pthread_t second;
    if (!pthread_create(&second, NULL, preempt, NULL)) pthread_detach(second);
    pid_t *pids = calloc(argc + 8, sizeof *pids);
    int born = 0, in = -1, result = 0, refused = 0;
    while (*words && !refused) {
        char **stage = words;
        while (*words && strcmp(*words, "|")) words++;
        int last = !*words, ends[2] = {-1, -1};
        if (!last) *words++ = NULL;
        if (!last && pipe2(ends, O_CLOEXEC)) refused = errno;
        if (!refused) {
            pid_t pid = 0;
            int error = spawn(&pid, stage, in, ends[1]);
            if (error == EAGAIN || error == ENOMEM) refused = error;
            else if (error) {
                fprintf(stderr, "pipeline: %s: %s\n", stage[0], strerror(error));
                pids[born++] = error == ENOENT ? -127 : -126;
            } else pids[born++] = pid;
        }
        close(in);
        close(ends[1]);
        in = ends[0];
    }
    if (in >= 0) close(in);
    for (int i = 0; i < born; i++) {
        int status;
        if (pids[i] < 0) {
            result = -pids[i];
            continue;
        }
        while (waitpid(pids[i], &status, 0) < 0 && errno == EINTR) continue;
        result = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
    }
    if (refused) fprintf(stderr, "pipeline: %s\n", strerror(refused));
    return refused ? 1 : result;
}
