/* The whole contract in C: one socket, sendmsg with two pieces, the interface by IP_PKTINFO or its IPv6 like. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static void usage(const char *problem) {
    fprintf(stderr, "%s\nusage: mcast-sender [--group G] [--port P] [--interface I] [--ttl T] [--message M] [--count N]\n",
            problem);
    exit(2);
}

static unsigned long number(const char *text, unsigned long low, unsigned long high) {
    char *end;
    errno = 0;
    unsigned long value = strtoul(text, &end, 10);
    if (*text < '0' || *text > '9' || *end || errno || value < low || value > high) usage("number out of range");
    return value;
}

int main(int argc, char **argv) {
    const char *group = "226.1.1.1", *interface = NULL, *message = "Hello!";
    unsigned long port = 5000, ttl = 1, count = 1;
    for (int i = 1; i < argc; i += 2) {
        if (i + 1 == argc) usage("an option needs a value");
        if (!strcmp(argv[i], "--group")) group = argv[i + 1];
        else if (!strcmp(argv[i], "--port")) port = number(argv[i + 1], 1, 65535);
        else if (!strcmp(argv[i], "--interface")) interface = argv[i + 1];
        else if (!strcmp(argv[i], "--ttl")) ttl = number(argv[i + 1], 0, 255);
        else if (!strcmp(argv[i], "--message")) message = argv[i + 1];
        else if (!strcmp(argv[i], "--count")) count = number(argv[i + 1], 1, 4294967295);
        else usage("unknown option");
    }
    struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons(port)};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
    int is_v4 = inet_pton(AF_INET, group, &v4.sin_addr) == 1;
    if (is_v4 ? !IN_MULTICAST(ntohl(v4.sin_addr.s_addr))
              : inet_pton(AF_INET6, group, &v6.sin6_addr) != 1 || !IN6_IS_ADDR_MULTICAST(&v6.sin6_addr))
        usage("--group wants a multicast group");

    struct in_pktinfo info4 = {0};
    if (interface && is_v4 && inet_pton(AF_INET, interface, &info4.ipi_spec_dst) != 1)
        usage("--interface wants an address");
    size_t length = strlen(message);
    struct iovec pieces[2] = {{(void *)message, length / 2}, {(void *)(message + length / 2), length - length / 2}};
    union {
        char space[CMSG_SPACE(sizeof(struct in6_pktinfo))];
        struct cmsghdr align;
    } control = {0};
    struct msghdr header = {.msg_iov = pieces, .msg_iovlen = 2};
    header.msg_name = is_v4 ? (void *)&v4 : (void *)&v6;
    header.msg_namelen = is_v4 ? sizeof v4 : sizeof v6;

    int fd = socket(is_v4 ? AF_INET : AF_INET6, SOCK_DGRAM, IPPROTO_UDP), hops = ttl, failed = fd < 0;
    if (!failed && is_v4) {
        unsigned char byte = ttl;
        failed = setsockopt(fd, IPPROTO_IP, IP_MULTICAST_TTL, &byte, sizeof byte) < 0;
        if (interface) {
            struct ip_mreqn where = {.imr_address = info4.ipi_spec_dst};
            failed |= setsockopt(fd, IPPROTO_IP, IP_MULTICAST_IF, &where, sizeof where) < 0;
            header.msg_control = control.space;
            header.msg_controllen = CMSG_SPACE(sizeof info4);
            struct cmsghdr *part = CMSG_FIRSTHDR(&header);
            part->cmsg_level = IPPROTO_IP;
            part->cmsg_type = IP_PKTINFO;
            part->cmsg_len = CMSG_LEN(sizeof info4);
            memcpy(CMSG_DATA(part), &info4, sizeof info4);
        }
    } else if (!failed) {
        failed = setsockopt(fd, IPPROTO_IPV6, IPV6_MULTICAST_HOPS, &hops, sizeof hops) < 0;
        if (interface && !failed) {
            /* A scope in the address counts for link-local groups only. */
            struct in6_pktinfo where = {.ipi6_ifindex = if_nametoindex(interface)};
            header.msg_control = control.space;
            header.msg_controllen = CMSG_SPACE(sizeof where);
            struct cmsghdr *part = CMSG_FIRSTHDR(&header);
            part->cmsg_level = IPPROTO_IPV6;
            part->cmsg_type = IPV6_PKTINFO;
            part->cmsg_len = CMSG_LEN(sizeof where);
            memcpy(CMSG_DATA(part), &where, sizeof where);
            failed = !where.ipi6_ifindex;
        }
    }
    for (; !failed && count; count--) failed = sendmsg(fd, &header, 0) < 0;
    if (failed) {
        fprintf(stderr, "cannot send to %s port %lu by %s: %s\n", group, port, interface ? interface : "any",
                strerror(errno));
        return 1;
    }
    return close(fd) < 0;
}
