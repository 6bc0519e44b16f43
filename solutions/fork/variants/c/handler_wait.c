#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

struct option { const char *name; long long low, high, value; };
static const char *program = "fork-wait";

static void usage(void) {
    fprintf(stderr, "usage: %s [--name value]...\n", program);
    exit(2);
}

static void parse(int argc, char **argv, struct option *options, int n) {
    for (int i = 1; i < argc; i += 2) {
        struct option *found = NULL;
        for (int j = 0; j < n; j++)
            if (!strcmp(argv[i], options[j].name)) found = &options[j];
        if (!found || i + 1 == argc) usage();
        const char *text = argv[i + 1];
        size_t length = strspn(text, "0123456789");
        if (!length || length > 18 || text[length]) usage();
        long long value = atoll(text);
        if (value < found->low || value > found->high) usage();
        found->value = value;
    }
}

static void die(const char *operation) {
    fprintf(stderr, "%s: cannot %s: %s\n", program, operation, strerror(errno));
    _exit(1);
}

static volatile sig_atomic_t signals;

static void on_child(int number) {
    (void)number;
    signals++;
}

/* Without SA_RESTART: every blocking call comes back with EINTR when a child ends, stops or goes on. */
static void install(void) {
    struct sigaction action = { .sa_handler = on_child };
    if (sigaction(SIGCHLD, &action, NULL)) die("install the handler");
}

static void say(const char *format, long a, long b) {
    char line[128];
    int length = snprintf(line, sizeof line, format, a, b), done = 0;
    while (done < length) {
        ssize_t n = write(1, line + done, length - done);
        if (n < 0 && errno != EINTR) die("write");
        if (n > 0) done += n;
    }
}

static void rest(long long ms) {
    struct timespec end;
    clock_gettime(CLOCK_MONOTONIC, &end);
    long long nanoseconds = end.tv_nsec + ms % 1000 * 1000000;
    end.tv_sec += ms / 1000 + nanoseconds / 1000000000;
    end.tv_nsec = nanoseconds % 1000000000;
    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &end, NULL) == EINTR)
        continue;
}

/* The parent sleeps in sigsuspend and asks with WNOHANG only after a signal. */
int main(int argc, char **argv) {
    struct option options[] = {{"--count", 1, 4294967295, 5}, {"--interval-ms", 1, 4294967295, 2000}, {"--exit-code", 0, 255, 0}};
    parse(argc, argv, options, 3);
    sigset_t chld, before;
    sigemptyset(&chld);
    sigaddset(&chld, SIGCHLD);
    sigprocmask(SIG_BLOCK, &chld, &before);
    install();
    pid_t pid = fork();
    if (pid < 0) die("fork");
    if (pid == 0) {
        for (long i = 0; i < options[0].value; i++) {
            rest(options[1].value);
            say("child is running... %ld\n", i, 0);
        }
        _exit(options[2].value);
    }
    int status;
    pid_t ended = 0;
    while (ended == 0) {
        sigsuspend(&before);
        ended = waitpid(pid, &status, WNOHANG);
    }
    if (ended < 0) die("wait");
    say("(%ld, %ld)\n", pid, status);
    say("parent is exiting...\n", 0, 0);
    return 0;
}
