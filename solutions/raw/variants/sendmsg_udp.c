/* The whole contract in C: IPPROTO_RAW, structures from the system's headers, "do not fragment", IP checksum 0. */
#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/ip.h>
#include <netinet/udp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static void usage(const char *problem) {
    fprintf(stderr, "%s\nusage: raw-udp HOST [--port P] [--value V] [--source-port P]\n", problem);
    exit(2);
}

static long number(const char *text, long low, long high) {
    char *end;
    const char *digits = text + (*text == '-');
    errno = 0;
    long value = strtol(text, &end, 10);
    if (*digits < '0' || *digits > '9' || *end || errno || value < low || value > high) usage("number out of range");
    return value;
}

int main(int argc, char **argv) {
    const char *host = NULL;
    long port = 5000, value = 1, source_port = 0;
    for (int i = 1; i < argc; i++) {
        if (argv[i][0] != '-') {
            if (host) usage("one host only");
            host = argv[i];
            continue;
        }
        const char *name = argv[i], *text = argv[++i];
        if (!text) usage("an option needs a value");
        if (!strcmp(name, "--port")) port = number(text, 1, 65535);
        else if (!strcmp(name, "--value")) value = number(text, -32768, 32767);
        else if (!strcmp(name, "--source-port")) source_port = number(text, 1, 65535);
        else usage("unknown option");
    }
    if (!host) usage("which host?");

    struct addrinfo hints = {.ai_family = AF_INET, .ai_socktype = SOCK_RAW}, *info;
    int problem = getaddrinfo(host, NULL, &hints, &info);
    if (problem) {
        fprintf(stderr, "cannot resolve %s: %s\n", host, gai_strerror(problem));
        return 1;
    }
    int fd = socket(AF_INET, SOCK_RAW, IPPROTO_RAW), probe = socket(AF_INET, SOCK_DGRAM, 0);
    if (fd < 0) {
        fprintf(stderr, "cannot send to %s: %s (CAP_NET_RAW is missing)\n", host, strerror(errno));
        return 1;
    }
    struct sockaddr_in target = *(struct sockaddr_in *)info->ai_addr, source;
    socklen_t length = sizeof source;
    target.sin_port = htons(port);
    if (connect(probe, (struct sockaddr *)&target, sizeof target) < 0 ||
        getsockname(probe, (struct sockaddr *)&source, &length) < 0) {
        fprintf(stderr, "cannot reach %s: %s\n", host, strerror(errno));
        return 1;
    }

    struct __attribute__((packed)) {
        struct { struct in_addr from, to; unsigned char zero, protocol; unsigned short length; } pseudo;
        struct udphdr udp;
        short value;
    } summed = {{source.sin_addr, target.sin_addr, 0, IPPROTO_UDP, htons(10)},
                {.uh_sport = source_port ? htons(source_port) : source.sin_port, .uh_dport = htons(port),
                 .uh_ulen = htons(10)}, htons(value)};
    unsigned long sum = 0;
    for (size_t i = 0; i < sizeof summed; i += 2) sum += ((unsigned char *)&summed)[i] << 8 | ((unsigned char *)&summed)[i + 1];
    while (sum >> 16) sum = (sum & 0xffff) + (sum >> 16);
    summed.udp.uh_sum = htons(sum == 0xffff ? 0xffff : ~sum & 0xffff);

    struct iphdr ip = {.version = 4, .ihl = 5, .tot_len = htons(30), .id = htons(4711), .frag_off = htons(IP_DF),
                       .ttl = 32, .protocol = IPPROTO_UDP, .saddr = source.sin_addr.s_addr,
                       .daddr = target.sin_addr.s_addr};
    struct iovec pieces[3] = {{&ip, sizeof ip}, {&summed.udp, sizeof summed.udp}, {&summed.value, 2}};
    struct msghdr message = {.msg_name = &target, .msg_namelen = sizeof target, .msg_iov = pieces, .msg_iovlen = 3};
    if (sendmsg(fd, &message, 0) != 30) {
        fprintf(stderr, "cannot send to %s: %s\n", host, strerror(errno));
        return 1;
    }
    return 0;
}
