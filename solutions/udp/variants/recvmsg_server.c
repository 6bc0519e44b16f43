/* udp-server with recvmsg and sendmsg: the flags say whether a datagram was cut off. */
#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
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

static int bind_to(const char *host, const char *port) {
    struct addrinfo hints = {.ai_socktype = SOCK_DGRAM, .ai_flags = AI_PASSIVE}, *all;
    int failed = getaddrinfo(host, port, &hints, &all);
    if (failed) {
        fprintf(stderr, "cannot resolve %s:%s: %s\n", host, port, gai_strerror(failed));
        exit(1);
    }
    for (struct addrinfo *one = all; one; one = one->ai_next) {
        int s = socket(one->ai_family, one->ai_socktype, one->ai_protocol);
        if (s >= 0 && bind(s, one->ai_addr, one->ai_addrlen) == 0) return s;
        fprintf(stderr, "cannot bind %s:%s: %s\n", host, port, strerror(errno));
        if (s >= 0) close(s);
    }
    exit(1);
}

int main(int argc, char **argv) {
    const char *host = "0.0.0.0", *port = "5000";
    long long count = 1;
    for (int i = 1; i < argc; i += 2) {
        if (i + 1 == argc) refuse("an option needs a value");
        if (!strcmp(argv[i], "--host")) host = argv[i + 1];
        else if (!strcmp(argv[i], "--port")) number(port = argv[i + 1], 0, 65535);
        else if (!strcmp(argv[i], "--count")) count = number(argv[i + 1], 1, 4294967295LL);
        else refuse("unknown option");
    }

    int s = bind_to(host, port);
    struct sockaddr_storage address;
    if (atoi(port) == 0) {
        socklen_t length = sizeof address;
        getsockname(s, (struct sockaddr *)&address, &length);
        char name[INET6_ADDRSTRLEN], service[8];
        getnameinfo((struct sockaddr *)&address, length, name, sizeof name, service, sizeof service,
                    NI_NUMERICHOST | NI_NUMERICSERV);
        printf(address.ss_family == AF_INET6 ? "Listening on [%s]:%s\n" : "Listening on %s:%s\n", name, service);
        if (fflush(stdout)) {
            perror("cannot write to stdout");
            return 1;
        }
    }

    while (count > 0) {
        uint16_t value;
        struct iovec part = {&value, sizeof value};
        struct msghdr message = {&address, sizeof address, &part, 1, NULL, 0, 0};
        ssize_t got = recvmsg(s, &message, 0);
        if (got < 0 && errno != EINTR) {
            perror("cannot receive");
            return 1;
        }
        if (got != sizeof value || message.msg_flags & MSG_TRUNC) continue;
        value = htons(ntohs(value) + 1);
        if (sendmsg(s, &message, 0) == sizeof value) count--;
        else perror("cannot answer");
    }
    close(s);
    return 0;
}
