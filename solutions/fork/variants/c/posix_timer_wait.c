#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
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

static void say(const char *format, long a, long b) {
    char line[128];
    int length = snprintf(line, sizeof line, format, a, b), done = 0;
    while (done < length) {
        ssize_t n = write(1, line + done, length - done);
        if (n < 0 && errno != EINTR) die("write");
        if (n > 0) done += n;
    }
}

static timer_t timer;

/* Moments on the wall clock, each from the one before, and a signal that carries which timer it is of. */
static void rest(long long ms) {
    static struct itimerspec moment;
    static int made;
    siginfo_t told;
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGRTMIN + 3);
    if (!made) {
        struct sigevent event = { .sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGRTMIN + 3 };
        event.sigev_value.sival_ptr = &timer;
        sigprocmask(SIG_BLOCK, &set, NULL);
        clock_gettime(CLOCK_REALTIME, &moment.it_value);
        if (timer_create(CLOCK_REALTIME, &event, &timer)) die("make a timer");
        made = 1;
    }
    long long nanoseconds = moment.it_value.tv_nsec + ms % 1000 * 1000000;
    moment.it_value.tv_sec += ms / 1000 + nanoseconds / 1000000000;
    moment.it_value.tv_nsec = nanoseconds % 1000000000;
    timer_settime(timer, TIMER_ABSTIME, &moment, NULL);
    while (sigwaitinfo(&set, &told) < 0 || told.si_code != SI_TIMER || told.si_value.sival_ptr != &timer) continue;
}

int main(int argc, char **argv) {
    struct option options[] = {{"--count", 1, 4294967295, 5}, {"--interval-ms", 1, 4294967295, 2000}, {"--exit-code", 0, 255, 0}};
    parse(argc, argv, options, 3);
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
    pid_t ended;
    do ended = waitpid(pid, &status, 0);
    while (ended < 0 && errno == EINTR);
    if (ended < 0) die("wait");
    say("(%ld, %ld)\n", ended, status);
    say("parent is exiting...\n", 0, 0);
    return 0;
}
