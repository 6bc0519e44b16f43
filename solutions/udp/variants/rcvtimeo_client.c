/* udp-client with SO_RCVTIMEO and no connect: it compares the sender's address itself and never learns of a
 * refusal, so it asks as often as it may. */
#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static void refuse(const char *problem) {
    fprintf(stderr, "%s\nusage: udp-client [--host HOST] [--port PORT] [--value V] [--timeout-ms T] [--tries N]\n", problem);
    exit(2);
}

static long long number(const char *text, long long low, long long high) {
    const char *digits = *text == '-' ? text + 1 : text;
    if (!*digits || strlen(digits) > 12 || strspn(digits, "0123456789") != strlen(digits)) refuse("not a number");
    long long value = atoll(text);
    if (value < low || value > high) refuse("number out of range");
    return value;
}

static long long now_us(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000000LL + now.tv_nsec / 1000;
}

static int same(const struct sockaddr *a, const struct sockaddr *b) {
    if (a->sa_family != b->sa_family) return 0;
    if (a->sa_family == AF_INET) {
        const struct sockaddr_in *x = (const void *)a, *y = (const void *)b;
        return x->sin_port == y->sin_port && x->sin_addr.s_addr == y->sin_addr.s_addr;
    }
    const struct sockaddr_in6 *x = (const void *)a, *y = (const void *)b;
    return x->sin6_port == y->sin6_port && !memcmp(&x->sin6_addr, &y->sin6_addr, sizeof x->sin6_addr);
}

/* 1: an answer, 0: none came, -1: errno says why not. */
static int ask(const struct addrinfo *peer, int16_t value, long long timeout_ms, long long tries, int16_t *answer) {
    int s = socket(peer->ai_family, SOCK_DGRAM, 0), answered = 0;
    if (s < 0) return -1;
    while (!answered && tries-- > 0) {
        uint16_t wire = htons(value);
        if (sendto(s, &wire, sizeof wire, 0, peer->ai_addr, peer->ai_addrlen) < 0) {
            answered = -1;
            break;
        }
        long long deadline = now_us() + timeout_ms * 1000, left;
        while (!answered && (left = deadline - now_us()) > 0) {
            struct timeval timeout = {left / 1000000, left % 1000000};
            setsockopt(s, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout);
            unsigned char data[3];
            struct sockaddr_storage sender;
            socklen_t length = sizeof sender;
            ssize_t got = recvfrom(s, data, sizeof data, 0, (struct sockaddr *)&sender, &length);
            if (got == 2 && same((struct sockaddr *)&sender, peer->ai_addr)) {
                *answer = (int16_t)(data[0] << 8 | data[1]);
                answered = 1;
            }
        }
    }
    int why = errno;
    close(s);
    errno = why;
    return answered;
}

int main(int argc, char **argv) {
    const char *host = "127.0.0.1", *port = "5000";
    long long value = 1, timeout_ms = 1000, tries = 3;
    for (int i = 1; i < argc; i += 2) {
        if (i + 1 == argc) refuse("an option needs a value");
        if (!strcmp(argv[i], "--host")) host = argv[i + 1];
        else if (!strcmp(argv[i], "--port")) number(port = argv[i + 1], 1, 65535);
        else if (!strcmp(argv[i], "--value")) value = number(argv[i + 1], -32768, 32767);
        else if (!strcmp(argv[i], "--timeout-ms")) timeout_ms = number(argv[i + 1], 1, 4294967295LL);
        else if (!strcmp(argv[i], "--tries")) tries = number(argv[i + 1], 1, 4294967295LL);
        else refuse("unknown option");
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
            printf("Received %d\n", answer);
            if (fflush(stdout)) {
                perror("cannot write to stdout");
                return 1;
            }
            return 0;
        }
        fprintf(stderr, "cannot ask %s:%s: %s\n", host, port, result ? strerror(errno) : "no answer");
    }
    return 1;
}
