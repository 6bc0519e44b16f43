#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/timerfd.h>
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

static void say(const char *format, long a, long b) {
    char line[128];
    int length = snprintf(line, sizeof line, format, a, b), done = 0;
    while (done < length) {
        ssize_t n = write(1, line + done, length - done);
        if (n < 0 && errno != EINTR) die("write");
        if (n > 0) done += n;
    }
}

/* A timer descriptor that repeats: each tick is a read. */
static int timer_every(long long ms) {
    int timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);
    struct timespec interval = { ms / 1000, ms % 1000 * 1000000 };
    struct itimerspec setting = { interval, interval };
    if (timer < 0 || timerfd_settime(timer, 0, &setting, NULL)) die("set a timer");
    return timer;
}

static void tick(int timer) {
    uint64_t times;
    while (read(timer, &times, sizeof times) < 0)
        if (errno != EINTR) die("read a timer");
}

int main(int argc, char **argv) {
    struct option options[] = {{"--count", 1, 4294967295, 5}, {"--interval-ms", 1, 4294967295, 2000}};
    parse(argc, argv, options, 2);
    pid_t pid = fork();
    if (pid < 0) die("fork");
    if (pid == 0) {
        say("child exits...\n", 0, 0);
        _exit(0);
    }
    int timer = timer_every(options[1].value);
    for (long i = 0; i < options[0].value; i++) {
        tick(timer);
        say("parent is running... %ld\n", i, 0);
    }
    int status;
    pid_t ended;
    do ended = wait(&status);
    while (ended < 0 && errno == EINTR);
    if (ended < 0) die("wait");
    say("(%ld, %ld)\n", ended, status);
    say("parent is exiting...\n", 0, 0);
    return 0;
}
