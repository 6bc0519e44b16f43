/* udp-client with a clock that ticks regularly: a timerfd asks again at each tick, beside the socket in one epoll. A tick
 * that is seen late, because the machine was busy, does not put off the next one. */
#include <errno.h>
#include <netdb.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
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

/* 1: an answer, 0: none came, -1: errno says why not. */
static int look_for_answer(int s, int16_t *answer) {
    unsigned char data[3];
    ssize_t got = recv(s, data, sizeof data, MSG_DONTWAIT);
    if (got == 2) {
        *answer = (int16_t)(data[0] << 8 | data[1]);
        return 1;
    }
    return got < 0 && errno != EINTR && errno != EAGAIN ? -1 : 0;
}

static int watch(int epoll, int fd) {
    struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
    return epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event);
}

static int ask(const struct addrinfo *peer, int16_t value, long long timeout_ms, long long tries, int16_t *answer) {
    unsigned char request[2] = {(uint16_t)value >> 8, value & 0xff};
    struct timespec period = {timeout_ms / 1000, timeout_ms % 1000 * 1000000};
    struct itimerspec ticks = {period, period};
    int s = socket(peer->ai_family, SOCK_DGRAM, 0), clock = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK);
    int both = epoll_create1(0), result = 0;
    if (s < 0 || clock < 0 || both < 0 || watch(both, s) || watch(both, clock)) return -1;
    if (connect(s, peer->ai_addr, peer->ai_addrlen) || send(s, request, 2, 0) < 0) result = -1;
    if (timerfd_settime(clock, 0, &ticks, NULL)) result = -1;
    while (!result && tries > 0) {
        struct epoll_event event;
        uint64_t passed;
        if (epoll_wait(both, &event, 1, -1) != 1) continue;
        if (event.data.fd == s) result = look_for_answer(s, answer);
        else if (read(clock, &passed, sizeof passed) > 0 && --tries > 0 && send(s, request, 2, 0) < 0) result = -1;
    }
    int why = errno;
    close(s);
    close(clock);
    close(both);
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
