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
static const char *program = "fork-many";

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

static volatile sig_atomic_t rang;

static void on_timer(int number) {
    (void)number;
    rang = 1;
}

/* A timer that sends SIGALRM, and a wait for signals that only this one ends. */
static void rest(long long ms) {
    struct sigaction action = { .sa_handler = on_timer };
    struct itimerspec once = {{0, 0}, {ms / 1000, ms % 1000 * 1000000}};
    sigset_t block, before;
    timer_t timer;
    sigemptyset(&block);
    sigaddset(&block, SIGALRM);
    sigprocmask(SIG_BLOCK, &block, &before);
    sigaction(SIGALRM, &action, NULL);
    if (timer_create(CLOCK_MONOTONIC, NULL, &timer) || timer_settime(timer, 0, &once, NULL)) die("set a timer");
    while (!rang) sigsuspend(&before);
    sigprocmask(SIG_SETMASK, &before, NULL);
}

int main(int argc, char **argv) {
    struct option options[] = {{"--children", 1, 4294967295, 4}, {"--interval-ms", 1, 4294967295, 2000}};
    parse(argc, argv, options, 2);
    install();
    long long n = options[0].value;
    int refused = 0;
    for (long long k = 1; k <= n && !refused; k++) {
        pid_t pid = fork();
        if (pid < 0) refused = errno;
        if (pid == 0) {
            rest((n - k + 1) * options[1].value);
            _exit(k % 256);
        }
    }
    for (;;) {
        int status;
        pid_t pid = waitpid(-1, &status, 0);
        if (pid > 0) say("(%ld, %ld)\n", pid, status);
        else if (errno == ECHILD) break;
        else if (errno != EINTR) die("wait");
    }
    errno = refused;
    if (refused) die("fork");
    return 0;
}
