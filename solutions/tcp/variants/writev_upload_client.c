// The whole contract in C: writev in two parts, SIGPIPE ignored, the receipt as one packed structure.
#include <arpa/inet.h>
#include <endian.h>
#include <errno.h>
#include <netdb.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

static const char *host = "127.0.0.1", *port = "5000";

static void refuse(void) {
    fputs("usage: upload-client [--host ADDR] [--port PORT] [--magic 0|1]\n", stderr);
    exit(2);
}

static void fail(const char *what, const char *why) {
    fprintf(stderr, "cannot %s %s:%s: %s\n", what, host, port, why);
    exit(1);
}

static void send_all(int fd, unsigned char *bytes, size_t length) {
    while (length) {
        size_t half = length / 2;
        struct iovec parts[2] = {{bytes, half}, {bytes + half, length - half}};
        ssize_t took = writev(fd, parts, 2);
        if (took < 0 && errno != EINTR) fail("send to", strerror(errno));
        if (took > 0) bytes += took, length -= took;
    }
}

int main(int argc, char **argv) {
    int magic = 0;
    for (int i = 1; i < argc; i += 2) {
        if (i + 1 == argc || !*argv[i + 1]) refuse();
        if (!strcmp(argv[i], "--host")) host = argv[i + 1];
        else if (!strcmp(argv[i], "--port")) {
            port = argv[i + 1];
            long value = strtol(port, NULL, 10);
            if (port[strspn(port, "0123456789")] || strlen(port) > 9 || value < 1 || value > 65535) refuse();
        } else if (!strcmp(argv[i], "--magic")) {
            if (strcmp(argv[i + 1], "0") && strcmp(argv[i + 1], "1")) refuse();
            magic = *argv[i + 1] == '1';
        } else refuse();
    }
    signal(SIGPIPE, SIG_IGN);

    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *found, *at;
    int failed = getaddrinfo(host, port, &hints, &found), fd = -1;
    if (failed) fail("resolve", gai_strerror(failed));
    for (at = found; at; at = at->ai_next) {
        fd = socket(at->ai_family, at->ai_socktype, at->ai_protocol);
        if (fd >= 0 && connect(fd, at->ai_addr, at->ai_addrlen) == 0) break;
        if (!at->ai_next) fail("connect to", strerror(errno));
        close(fd);
    }

    static unsigned char block[20000];
    uint64_t sent = 0;
    uint32_t sum = 0;
    if (magic) send_all(fd, (unsigned char *)"UPL1", 4);
    for (;;) {
        ssize_t got = read(0, block, sizeof block);
        if (got == 0) break;
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) { perror("cannot read stdin"); return 1; }
        send_all(fd, block, got);
        for (ssize_t i = 0; i < got; i++) sum += block[i];
        sent += got;
    }
    if (shutdown(fd, SHUT_WR) < 0) fail("end the data for", strerror(errno));

    struct __attribute__((packed)) { uint64_t count; uint32_t sum; } receipt;
    char *rest = (char *)&receipt;
    while (rest < (char *)(&receipt + 1)) {
        ssize_t got = read(fd, rest, (char *)(&receipt + 1) - rest);
        if (got == 0) fail("receive the whole receipt from", "it ended the connection");
        if (got < 0 && errno != EINTR) fail("receive the receipt from", strerror(errno));
        if (got > 0) rest += got;
    }
    uint64_t count = be64toh(receipt.count);
    uint32_t counted = ntohl(receipt.sum);
    printf("Sent %llu bytes, server counted %llu, checksum 0x%08x\n", (unsigned long long)sent,
           (unsigned long long)count, counted);
    if (fflush(stdout)) { perror("cannot write to stdout"); return 1; }
    return count == sent && counted == sum ? 0 : 1;
}
