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

static void say(const char *format, long a, long b) {
    if (printf(format, a, b) < 0 || fflush(stdout)) die("write");
}

static void rest(long long ms) {
    struct timespec left = { ms / 1000, ms % 1000 * 1000000 };
    while (nanosleep(&left, &left))
        if (errno != EINTR) die("sleep");
}

/* The children leave by _exit: they neither flush nor run anything that belongs to the parent. */
int main(int argc, char **argv) {
    struct option options[] = {{"--children", 1, 4294967295, 4}, {"--interval-ms", 1, 4294967295, 2000}};
    parse(argc, argv, options, 2);
    long long n = options[0].value, born = 0;
    int refused = 0;
    for (long long k = 1; k <= n && !refused; k++) {
        pid_t pid = fork();
        if (pid == 0) {
            rest((n - k + 1) * options[1].value);
            _exit(k % 256);
        }
        if (pid < 0) refused = errno; else born++;
    }
    while (born) {
        int status;
        pid_t pid = wait4(-1, &status, 0, NULL);
        if (pid < 0 && errno == EINTR) continue;
        if (pid < 0) die("wait");
        say("(%ld, %ld)\n", pid, status);
        born--;
    }
    errno = refused;
    if (refused) die("fork");
    return 0;
}
