/* udp-client with an alarm clock: read and write on a connected socket, and SIGALRM, which ends a read that has waited
 * for long enough. The alarm repeats, so that one that rings just before the read is no harm. */
#include <errno.h>
#include <netdb.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static void refuse(void) {
    fputs("usage: udp-client [--host HOST] [--port PORT] [--value V] [--timeout-ms T] [--tries N]\n", stderr);
    exit(2);
}

static long long number(const char *text, long long low, long long high) {
    const char *digits = *text == '-' ? text + 1 : text;
    if (!*digits || strlen(digits) > 12 || strspn(digits, "0123456789") != strlen(digits)) refuse();
    long long value = atoll(text);
    if (value < low || value > high) refuse();
    return value;
}

static long long now_ms(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000LL + now.tv_nsec / 1000000;
}

static void ring(int signal) { (void)signal; }

static void alarm_in(long long ms) {
    struct itimerval clock = {{0, 20000}, {ms / 1000, ms % 1000 * 1000}};
    if (!ms) memset(&clock, 0, sizeof clock);
    setitimer(ITIMER_REAL, &clock, NULL);
}

/* 1: an answer, 0: none came, -1: errno says why not. */
static int wait_for_answer(int s, long long timeout_ms, int16_t *answer) {
    long long begin = now_ms();
    int result = 0;
    alarm_in(timeout_ms);
    while (!result && now_ms() - begin < timeout_ms) {
        unsigned char data[3];
        ssize_t got = read(s, data, sizeof data);
        if (got == 2) {
            *answer = (int16_t)(data[0] << 8 | data[1]);
            result = 1;
        } else if (got < 0 && errno != EINTR) {
            result = -1;
        }
    }
    int why = errno;
    alarm_in(0);
    errno = why;
    return result;
}

static int ask(const struct addrinfo *peer, int16_t value, long long timeout_ms, long long tries, int16_t *answer) {
    int s = socket(peer->ai_family, SOCK_DGRAM, 0), result = 0;
    if (s < 0) return -1;
    if (connect(s, peer->ai_addr, peer->ai_addrlen) < 0) result = -1;
    while (!result && tries-- > 0) {
        unsigned char request[2] = {(uint16_t)value >> 8, value & 0xff};
        result = write(s, request, 2) < 0 ? -1 : wait_for_answer(s, timeout_ms, answer);
    }
    int why = errno;
    close(s);
    errno = why;
    return result;
}

int main(int argc, char **argv) {
    const char *host = "127.0.0.1", *port = "5000";
    long long value = 1, timeout_ms = 1000, tries = 3;
    for (int i = 1; i < argc; i += 2) {
        if (i + 1 == argc) refuse();
        if (!strcmp(argv[i], "--host")) host = argv[i + 1];
        else if (!strcmp(argv[i], "--port")) number(port = argv[i + 1], 1, 65535);
        else if (!strcmp(argv[i], "--value")) value = number(argv[i + 1], -32768, 32767);
        else if (!strcmp(argv[i], "--timeout-ms")) timeout_ms = number(argv[i + 1], 1, 4294967295LL);
        else if (!strcmp(argv[i], "--tries")) tries = number(argv[i + 1], 1, 4294967295LL);
        else refuse();
    }
    /* Without SA_RESTART: the read shall end. */
    struct sigaction action = {.sa_handler = ring};
    sigaction(SIGALRM, &action, NULL);

    struct addrinfo hints = {.ai_socktype = SOCK_DGRAM}, *all;
    int failed = getaddrinfo(host, port, &hints, &all);
    if (failed) {
        fprintf(stderr, "cannot resolve %s:%s: %s\n", host, port, gai_strerror(failed));
        return 1;
    }
    for (struct addrinfo *one = all; one; one = one->ai_next) {
        int16_t answer;
        int result = ask(one, (int16_t)value, timeout_ms, tries, &answer);
        if (result == 1) {
            if (printf("Received %d\n", answer) < 0 || fflush(stdout)) {
                perror("cannot write to stdout");
                return 1;
            }
            return 0;
        }
        fprintf(stderr, "cannot ask %s:%s: %s\n", host, port, result ? strerror(errno) : "no answer");
    }
    return 1;
}
