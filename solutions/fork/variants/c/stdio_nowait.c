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
static const char *program = "fork-nowait";

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
    if (printf(format, a, b) < 0 || fflush(stdout)) die("write");
}

static void rest(long long ms) {
    struct timespec left = { ms / 1000, ms % 1000 * 1000000 };
    while (nanosleep(&left, &left))
        if (errno != EINTR) die("sleep");
}

int main(int argc, char **argv) {
    struct option options[] = {{"--count", 1, 4294967295, 5}, {"--interval-ms", 1, 4294967295, 2000}};
    parse(argc, argv, options, 2);
    pid_t pid = fork();
    if (pid < 0) die("fork");
    if (pid > 0) {
        say("parent is exiting...\n", 0, 0);
        return 0;
    }
    for (long i = 0; i < options[0].value; i++) {
        rest(options[1].value);
        say("child is running... %ld\n", i, 0);
    }
    return 0;
}
