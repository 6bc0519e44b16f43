/* udp-server with one dual-stack socket, non-blocking, behind epoll; it drains the socket at each wake-up. */
#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

static void refuse(const char *problem) {
    fprintf(stderr, "%s\nusage: udp-server [--host ADDR] [--port PORT] [--count N]\n", problem);
    exit(2);
}

static long long number(const char *text, long long low, long long high) {
    const char *digits = *text == '-' ? text + 1 : text;
    if (!*digits || strlen(digits) > 12 || strspn(digits, "0123456789") != strlen(digits)) refuse("not a number");
    long long value = atoll(text);
    if (value < low || value > high) refuse("number out of range");
    return value;
}

static int try_bind(const struct sockaddr *address, socklen_t length) {
    int s = socket(address->sa_family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (s < 0) return -1;
    if (bind(s, address, length) == 0) return s;
    int why = errno;
    close(s);
    errno = why;
    return -1;
}

int main(int argc, char **argv) {
    const char *host = NULL, *port = "5000";
    long long count = 1;
    for (int i = 1; i < argc; i += 2) {
        if (i + 1 == argc) refuse("an option needs a value");
        if (!strcmp(argv[i], "--host")) host = argv[i + 1];
        else if (!strcmp(argv[i], "--port")) number(port = argv[i + 1], 0, 65535);
        else if (!strcmp(argv[i], "--count")) count = number(argv[i + 1], 1, 4294967295LL);
        else refuse("unknown option");
    }

    int s = -1;
    if (!host) {
        struct sockaddr_in6 any6 = {.sin6_family = AF_INET6, .sin6_port = htons(atoi(port))};
        s = try_bind((struct sockaddr *)&any6, sizeof any6);
        if (s < 0 && errno == EADDRINUSE) {
            fprintf(stderr, "cannot bind 0.0.0.0:%s: %s\n", port, strerror(errno));
            return 1;
        }
    }
    if (s < 0) {
        struct addrinfo hints = {.ai_socktype = SOCK_DGRAM}, *all;
        const char *name = host ? host : "0.0.0.0";
        int failed = getaddrinfo(name, port, &hints, &all);
        if (failed) {
            fprintf(stderr, "cannot resolve %s:%s: %s\n", name, port, gai_strerror(failed));
            return 1;
        }
        for (struct addrinfo *one = all; one && s < 0; one = one->ai_next) {
            s = try_bind(one->ai_addr, one->ai_addrlen);
            if (s < 0) fprintf(stderr, "cannot bind %s:%s: %s\n", name, port, strerror(errno));
        }
        if (s < 0) return 1;
    }
    if (atoi(port) == 0) {
        struct sockaddr_storage address;
        socklen_t length = sizeof address;
        getsockname(s, (struct sockaddr *)&address, &length);
        char name[INET6_ADDRSTRLEN], service[8];
        getnameinfo((struct sockaddr *)&address, length, name, sizeof name, service, sizeof service,
                    NI_NUMERICHOST | NI_NUMERICSERV);
        if (address.ss_family == AF_INET6) {
            // As Java and others spell it: every group, without the abbreviation.
            const unsigned char *b = ((struct sockaddr_in6 *)&address)->sin6_addr.s6_addr;
            printf("Listening on [");
            for (int i = 0; i < 16; i += 2) printf(i ? ":%x" : "%x", b[i] << 8 | b[i + 1]);
            printf("]:%s\n", service);
        } else {
            printf("Listening on %s:%s\n", name, service);
        }
        if (fflush(stdout)) {
            perror("cannot write to stdout");
            return 1;
        }
    }

    int epoll = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event wanted = {.events = EPOLLIN | EPOLLET};
    if (epoll < 0 || epoll_ctl(epoll, EPOLL_CTL_ADD, s, &wanted) < 0) {
        perror("cannot wait");
        return 1;
    }
    while (count > 0) {
        struct epoll_event event;
        if (epoll_wait(epoll, &event, 1, -1) < 0) continue;
        for (;;) {
            unsigned char data[2048];
            struct sockaddr_storage sender;
            socklen_t length = sizeof sender;
            ssize_t got = recvfrom(s, data, sizeof data, 0, (struct sockaddr *)&sender, &length);
            if (got < 0 && errno == EINTR) continue;
            if (got < 0) break;
            if (got != 2) continue;
            uint16_t next = (uint16_t)((data[0] << 8 | data[1]) + 1);
            data[0] = next >> 8;
            data[1] = next & 0xff;
            if (sendto(s, data, 2, 0, (struct sockaddr *)&sender, length) == 2 && --count == 0) break;
        }
    }
    return 0;
}
