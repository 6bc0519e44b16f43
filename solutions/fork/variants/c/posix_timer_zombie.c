#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

struct option { const char *name; long long low, high, value; };
static const char *program = "fork-zombie";

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

/* A timer that comes again and again, and tells the thread that waits for it. */
static void rest(long long ms) {
    static int made;
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGRTMIN);
    if (!made) {
        struct itimerspec every = {{ms / 1000, ms % 1000 * 1000000}, {ms / 1000, ms % 1000 * 1000000}};
        struct sigevent event = { .sigev_notify = SIGEV_THREAD_ID, .sigev_signo = SIGRTMIN };
        event._sigev_un._tid = getpid();
        timer_t timer;
        sigprocmask(SIG_BLOCK, &set, NULL);
        if (timer_create(CLOCK_MONOTONIC, &event, &timer) || timer_settime(timer, 0, &every, NULL)) die("set a timer");
        made = 1;
    }
    int signal;
    while (sigwait(&set, &signal)) continue;
}

int main(int argc, char **argv) {
    struct option options[] = {{"--count", 1, 4294967295, 5}, {"--interval-ms", 1, 4294967295, 2000}};
    parse(argc, argv, options, 2);
    install();
    pid_t pid = fork();
    if (pid < 0) die("fork");
    if (pid == 0) {
        say("child exits...\n", 0, 0);
        _exit(0);
    }
    for (long i = 0; i < options[0].value; i++) {
        rest(options[1].value);
        say("parent is running... %ld\n", i, 0);
    }
    int status;
    while (wait(&status) < 0)
        if (errno != EINTR) die("wait");
    say("(%ld, %ld)\n", pid, status);
    say("parent is exiting...\n", 0, 0);
    return 0;
}
