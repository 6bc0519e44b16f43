/* The whole contract in C: a random identifier, one connected non-blocking socket, sendmsg in two pieces, ppoll. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/ip.h>
#include <netinet/ip_icmp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static void usage(const char *problem) {
    fprintf(stderr, "%s\nusage: raw-ping HOST [--count N] [--timeout-ms T] [--size B] [--fill HH]\n", problem);
    exit(2);
}

static unsigned long number(const char *text, unsigned long low, unsigned long high) {
    char *end;
    errno = 0;
    unsigned long value = strtoul(text, &end, 10);
    if (*text < '0' || *text > '9' || *end || errno || value < low || value > high) usage("number out of range");
    return value;
}

/* Sums little words on a little machine: the one's complement sum does not mind the byte order. */
static unsigned short checksum(const unsigned char *bytes, size_t length) {
    unsigned long sum = 0;
    for (; length > 1; bytes += 2, length -= 2) {
        unsigned short word;
        memcpy(&word, bytes, 2);
        sum += word;
    }
    if (length) {
        unsigned char last[2] = {*bytes, 0};
        unsigned short word;
        memcpy(&word, last, 2);
        sum += word;
    }
    while (sum >> 16) sum = (sum & 0xffff) + (sum >> 16);
    return ~sum;
}

static long long now_us(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000LL + t.tv_nsec / 1000;
}

int main(int argc, char **argv) {
    const char *host = NULL, *fill = NULL;
    unsigned long count = 1, timeout = 1000, size = 56, answered = 0;
    for (int i = 1; i < argc; i++) {
        if (argv[i][0] != '-') {
            if (host) usage("one host only");
            host = argv[i];
            continue;
        }
        const char *name = argv[i], *value = argv[++i];
        if (!value) usage("an option needs a value");
        if (!strcmp(name, "--count")) count = number(value, 1, 4294967295);
        else if (!strcmp(name, "--timeout-ms")) timeout = number(value, 1, 4294967295);
        else if (!strcmp(name, "--size")) size = number(value, 0, 1472);
        else if (!strcmp(name, "--fill")) {
            fill = value;
            if (strlen(fill) != 2 || strspn(fill, "0123456789abcdefABCDEF") != 2) usage("two hexadecimal digits");
        } else usage("unknown option");
    }
    if (!host) usage("which host?");

    struct addrinfo hints = {.ai_family = AF_INET, .ai_socktype = SOCK_RAW}, *info;
    int problem = getaddrinfo(host, NULL, &hints, &info);
    if (problem) {
        fprintf(stderr, "cannot resolve %s: %s\n", host, gai_strerror(problem));
        return 1;
    }
    struct sockaddr_in *target = (struct sockaddr_in *)info->ai_addr;
    int fd = socket(AF_INET, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, IPPROTO_ICMP);
    if (fd < 0) {
        fprintf(stderr, "cannot ping %s: no raw socket without CAP_NET_RAW: %s\n", host, strerror(errno));
        return 1;
    }
    if (connect(fd, info->ai_addr, info->ai_addrlen) < 0) {
        fprintf(stderr, "cannot reach %s: %s\n", host, strerror(errno));
        return 1;
    }
    unsigned short identifier;
    if (getrandom(&identifier, sizeof identifier, 0) != sizeof identifier) return 1;

    static unsigned char message[8 + 1472], packet[65536];
    memset(message + 8, fill ? (int)strtoul(fill, NULL, 16) : 'A', size);
    for (unsigned long i = 1; i <= count; i++) {
        unsigned short words[2] = {identifier, htons(i)}, sum;
        memset(message, 0, 8);
        message[0] = ICMP_ECHO;
        memcpy(message + 4, words, 4);
        sum = checksum(message, 8 + size);
        memcpy(message + 2, &sum, 2);
        struct iovec pieces[2] = {{message, 3}, {message + 3, 5 + size}};
        struct msghdr header = {.msg_iov = pieces, .msg_iovlen = 2};
        if (sendmsg(fd, &header, 0) < 0) {
            fprintf(stderr, "cannot send to %s: %s\n", host, strerror(errno));
            return 1;
        }
        for (long long end = now_us() + timeout * 1000LL, left; (left = end - now_us()) > 0;) {
            struct pollfd ready = {.fd = fd, .events = POLLIN};
            struct timespec wait = {left / 1000000, left % 1000000 * 1000};
            if (ppoll(&ready, 1, &wait, NULL) <= 0) continue;
            ssize_t length = recv(fd, packet, sizeof packet, 0);
            if (length < 20) continue;
            struct iphdr *ip = (struct iphdr *)packet;
            unsigned char *icmp = packet + ip->ihl * 4;
            if (length < ip->ihl * 4 + 8 || icmp[0] != ICMP_ECHOREPLY || memcmp(icmp + 4, words, 4)) continue;
            char address[INET_ADDRSTRLEN];
            inet_ntop(AF_INET, &target->sin_addr, address, sizeof address);
            if (printf("Reply from %s: seq=%hu\n", address, (unsigned short)i) < 0 || fflush(stdout)) {
                perror("stdout");
                return 1;
            }
            answered++;
            break;
        }
    }
    if (answered < count) fprintf(stderr, "%s did not answer every request\n", host);
    return answered < count;
}
