// The whole contract in C: a child per connection that the parent waits for, readv, SO_RCVLOWAT for the magic bytes.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <endian.h>
#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

static void refuse(void) {
    fputs("usage: upload-server [--host ADDR] [--port PORT] [--count N] [--dual 0|1]\n", stderr);
    exit(2);
}

static long number(const char *text, long low, long high) {
    if (!*text || strlen(text) > 12 || text[strspn(text, "0123456789")]) refuse();
    long value = strtol(text, NULL, 10);
    if (value < low || value > high) refuse();
    return value;
}

static int send_all(int fd, const void *bytes, size_t length) {
    while (length) {
        ssize_t took = send(fd, bytes, length, MSG_NOSIGNAL);
        if (took < 0 && errno != EINTR) return -1;
        if (took > 0) bytes = (const char *)bytes + took, length -= took;
    }
    return 0;
}

static int upload(int fd) {
    static unsigned char left[5000], right[3000];
    uint64_t count = 0;
    uint32_t sum = 0;
    for (;;) {
        struct iovec parts[2] = {{left, sizeof left}, {right, sizeof right}};
        ssize_t got = readv(fd, parts, 2);
        if (got == 0) break;
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return -1;
        count += got;
        for (ssize_t i = 0; i < got; i++)
            sum += i < (ssize_t)sizeof left ? left[i] : right[i - sizeof left];
    }
    uint64_t wire_count = htobe64(count);
    uint32_t wire_sum = htonl(sum);
    if (send_all(fd, &wire_count, 8) < 0) return -1;
    return send_all(fd, &wire_sum, 4);
}

static int greet(int fd) {
    char buffer[64];
    for (;;) {
        ssize_t got = recv(fd, buffer, sizeof buffer, 0);
        if (got == 0) return 0;
        if (got < 0 && errno == EINTR) continue;
        if (got < 0 || send_all(fd, "Hi!", 3) < 0) return -1;
    }
}

static int either(int fd) {
    char start[4];
    for (int want = 1, one = 1; ; want++) {
        setsockopt(fd, SOL_SOCKET, SO_RCVLOWAT, &want, sizeof want);
        struct pollfd news = {.fd = fd, .events = POLLIN | POLLRDHUP};
        while (poll(&news, 1, -1) < 0 && errno == EINTR) {}
        ssize_t seen = recv(fd, start, 4, MSG_PEEK | MSG_DONTWAIT);
        int all = seen == 4 && !memcmp(start, "UPL1", 4);
        if (all || seen < want || memcmp(start, "UPL1", seen)) {
            setsockopt(fd, SOL_SOCKET, SO_RCVLOWAT, &one, sizeof one);
            if (!all) return greet(fd);
            if (recv(fd, start, 4, MSG_WAITALL) != 4) return -1;
            return upload(fd);
        }
        want = seen;
    }
}

int main(int argc, char **argv) {
    const char *host = "0.0.0.0", *port = "5000";
    long count = 1, dual = 0;
    for (int i = 1; i < argc; i += 2) {
        if (i + 1 == argc || !*argv[i + 1]) refuse();
        if (!strcmp(argv[i], "--host")) host = argv[i + 1];
        else if (!strcmp(argv[i], "--port")) { port = argv[i + 1]; number(port, 0, 65535); }
        else if (!strcmp(argv[i], "--count")) count = number(argv[i + 1], 1, 4294967295L);
        else if (!strcmp(argv[i], "--dual")) dual = number(argv[i + 1], 0, 1);
        else refuse();
    }
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *found;
    int failed = getaddrinfo(host, port, &hints, &found);
    if (failed) {
        fprintf(stderr, "cannot resolve %s:%s: %s\n", host, port, gai_strerror(failed));
        return 1;
    }
    int listener = socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(listener, found->ai_addr, found->ai_addrlen) < 0 || listen(listener, 3) < 0) {
        fprintf(stderr, "cannot bind %s:%s: %s\n", host, port, strerror(errno));
        return 1;
    }
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
    for (; count > 0; count--) {
        int fd;
        while ((fd = accept(listener, NULL, NULL)) < 0)
            if (errno != EINTR && errno != ECONNABORTED) { perror("cannot accept"); return 1; }
        pid_t parent = getpid(), child = fork();
        if (child == 0) {
            // The child must not outlive a parent that a signal ends.
            prctl(PR_SET_PDEATHSIG, SIGKILL);
            if (getppid() != parent) _exit(1);
            close(listener);
            if ((dual ? either(fd) : upload(fd)) < 0) perror("lost a client");
            _exit(0);
        }
        close(fd);
        if (child < 0) { perror("cannot fork"); continue; }
        while (waitpid(child, NULL, 0) < 0 && errno == EINTR) {}
    }
    return 0;
}
