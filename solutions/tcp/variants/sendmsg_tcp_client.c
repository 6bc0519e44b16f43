// The whole contract in C: getaddrinfo, sendmsg with two parts, recvmsg byte by byte, SIGPIPE left alone.
#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

static void refuse(void) {
    fputs("usage: tcp-client [--host ADDR] [--port PORT] [--message TEXT]\n", stderr);
    exit(2);
}

int main(int argc, char **argv) {
    const char *host = "127.0.0.1", *port = "5000";
    char *message = "Hello!";
    for (int i = 1; i < argc; i += 2) {
        if (i + 1 == argc || !*argv[i + 1]) refuse();
        if (!strcmp(argv[i], "--host")) host = argv[i + 1];
        else if (!strcmp(argv[i], "--port")) {
            port = argv[i + 1];
            long value = strtol(port, NULL, 10);
            if (port[strspn(port, "0123456789")] || strlen(port) > 9 || value < 1 || value > 65535) refuse();
        } else if (!strcmp(argv[i], "--message")) message = argv[i + 1];
        else refuse();
    }

    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *found, *at;
    int failed = getaddrinfo(host, port, &hints, &found), fd = -1;
    if (failed) {
        fprintf(stderr, "cannot resolve %s:%s: %s\n", host, port, gai_strerror(failed));
        return 1;
    }
    for (at = found; at; at = at->ai_next) {
        fd = socket(at->ai_family, at->ai_socktype, at->ai_protocol);
        if (fd >= 0 && connect(fd, at->ai_addr, at->ai_addrlen) == 0) break;
        if (!at->ai_next) {
            fprintf(stderr, "cannot connect to %s:%s: %s\n", host, port, strerror(errno));
            return 1;
        }
        close(fd);
    }

    size_t length = strlen(message), sent = 0;
    while (sent < length) {
        size_t half = (length - sent) / 2;
        struct iovec parts[2] = {{message + sent, half}, {message + sent + half, length - sent - half}};
        struct msghdr header = {.msg_iov = parts, .msg_iovlen = 2};
        ssize_t took = sendmsg(fd, &header, MSG_NOSIGNAL);
        if (took >= 0) sent += took;
        else if (errno != EINTR) {
            fprintf(stderr, "cannot send to %s:%s: %s\n", host, port, strerror(errno));
            return 1;
        }
    }
    char answer[3];
    for (int filled = 0; filled < 3;) {
        struct iovec part = {answer + filled, 1};
        struct msghdr header = {.msg_iov = &part, .msg_iovlen = 1};
        ssize_t got = recvmsg(fd, &header, 0);
        if (got > 0) filled += got;
        else if (got == 0 || errno != EINTR) {
            fprintf(stderr, "no whole answer from %s:%s: %s\n", host, port, got ? strerror(errno) : "it ended");
            return 1;
        }
    }
    printf("Received: %.3s\n", answer);
    if (fflush(stdout)) { perror("cannot write to stdout"); return 1; }
    close(fd);
    return 0;
}
