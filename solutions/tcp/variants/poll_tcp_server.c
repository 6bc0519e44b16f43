// The whole contract in C: non-blocking sockets and poll, an address from getaddrinfo, SIGPIPE ignored.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static void refuse(void) {
    fputs("usage: tcp-server [--host ADDR] [--port PORT] [--count N]\n", stderr);
    exit(2);
}

static long number(const char *text, long low, long high) {
    if (!*text || strlen(text) > 12 || text[strspn(text, "0123456789")]) refuse();
    long value = strtol(text, NULL, 10);
    if (value < low || value > high) refuse();
    return value;
}

static void wait_for(int fd, short events) {
    struct pollfd one = {.fd = fd, .events = events};
    while (poll(&one, 1, -1) < 0 && errno == EINTR) {}
}

static int answer(int fd) {
    const char *rest = "Hi!";
    while (*rest) {
        ssize_t took = write(fd, rest, strlen(rest));
        if (took >= 0) rest += took;
        else if (errno == EAGAIN) wait_for(fd, POLLOUT);
        else if (errno != EINTR) return -1;
    }
    return 0;
}

static void serve(int fd) {
    char buffer[333];
    for (;;) {
        ssize_t got = read(fd, buffer, sizeof buffer);
        if (got == 0) return;
        if (got > 0) {
            if (answer(fd) < 0) break;
        } else if (errno == EAGAIN) wait_for(fd, POLLIN);
        else if (errno != EINTR) break;
    }
    perror("lost a client");
}

int main(int argc, char **argv) {
    const char *host = "0.0.0.0", *port = "5000";
    long count = 1;
    for (int i = 1; i < argc; i += 2) {
        if (i + 1 == argc || !*argv[i + 1]) refuse();
        if (!strcmp(argv[i], "--host")) host = argv[i + 1];
        else if (!strcmp(argv[i], "--port")) { port = argv[i + 1]; number(port, 0, 65535); }
        else if (!strcmp(argv[i], "--count")) count = number(argv[i + 1], 1, 4294967295L);
        else refuse();
    }
    signal(SIGPIPE, SIG_IGN);

    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE}, *found;
    int failed = getaddrinfo(host, port, &hints, &found);
    if (failed) {
        fprintf(stderr, "cannot resolve %s:%s: %s\n", host, port, gai_strerror(failed));
        return 1;
    }
    int listener = socket(found->ai_family, SOCK_STREAM, 0), on = 1, off = 0;
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (found->ai_family == AF_INET6) setsockopt(listener, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
    if (bind(listener, found->ai_addr, found->ai_addrlen) < 0 || listen(listener, 5) < 0) {
        fprintf(stderr, "cannot bind %s:%s: %s\n", host, port, strerror(errno));
        return 1;
    }
    fcntl(listener, F_SETFL, O_NONBLOCK);
    if (number(port, 0, 65535) == 0) {
        struct sockaddr_storage name;
        socklen_t length = sizeof name;
        char address[64], chosen[16];
        getsockname(listener, (struct sockaddr *)&name, &length);
        getnameinfo((struct sockaddr *)&name, length, address, sizeof address, chosen, sizeof chosen,
                    NI_NUMERICHOST | NI_NUMERICSERV);
        printf(strchr(address, ':') ? "Listening on [%s]:%s\n" : "Listening on %s:%s\n", address, chosen);
        if (fflush(stdout)) { perror("cannot write to stdout"); return 1; }
    }
    while (count > 0) {
        wait_for(listener, POLLIN);
        int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK);
        if (fd < 0) {
            if (errno == EAGAIN || errno == EINTR || errno == ECONNABORTED) continue;
            perror("cannot accept");
            return 1;
        }
        serve(fd);
        close(fd);
        count--;
    }
    return 0;
}
