/* The whole contract in C with the protocol-independent calls: getaddrinfo, MCAST_JOIN_GROUP and MCAST_LEAVE_GROUP by
   interface number, SO_REUSEADDR and SO_REUSEPORT, handlers that only take note while ppoll waits. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netdb.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static volatile sig_atomic_t ending;

static void note(int signal) {
    (void)signal;
    ending = 1;
}

static void usage(const char *problem) {
    fprintf(stderr, "%s\nusage: mcast-receiver [--group G] [--port P] [--interface I] [--count N]\n", problem);
    exit(2);
}

static unsigned long number(const char *text, unsigned long low, unsigned long high) {
    char *end;
    errno = 0;
    unsigned long value = strtoul(text, &end, 10);
    if (*text < '0' || *text > '9' || *end || errno || value < low || value > high) usage("number out of range");
    return value;
}

static const char *group = "226.1.1.1", *port = "5000", *interface;

static void fail(const char *what) {
    fprintf(stderr, "cannot %s %s:%s on %s: %s\n", what, group, port, interface ? interface : "any", strerror(errno));
    exit(1);
}

/* The number of the interface with this name (IPv6) or address (IPv4). */
static unsigned interface_index(int family) {
    if (!interface) return 0;
    if (family == AF_INET6) {
        unsigned index = if_nametoindex(interface);
        if (!index) fail("find the interface for");
        return index;
    }
    struct in_addr wanted;
    struct ifaddrs *all;
    if (inet_pton(AF_INET, interface, &wanted) != 1) usage("--interface wants an address");
    if (getifaddrs(&all) < 0) fail("list the interfaces for");
    for (struct ifaddrs *at = all; at; at = at->ifa_next)
        if (at->ifa_addr && at->ifa_addr->sa_family == AF_INET &&
            ((struct sockaddr_in *)at->ifa_addr)->sin_addr.s_addr == wanted.s_addr)
            return if_nametoindex(at->ifa_name);
    errno = EADDRNOTAVAIL;
    fail("find the interface for");
    return 0;
}

int main(int argc, char **argv) {
    unsigned long count = 1;
    for (int i = 1; i < argc; i += 2) {
        if (i + 1 == argc) usage("an option needs a value");
        if (!strcmp(argv[i], "--group")) group = argv[i + 1];
        else if (!strcmp(argv[i], "--port")) port = argv[i + 1], number(port, 1, 65535);
        else if (!strcmp(argv[i], "--interface")) interface = argv[i + 1];
        else if (!strcmp(argv[i], "--count")) count = number(argv[i + 1], 1, 4294967295);
        else usage("unknown option");
    }
    struct addrinfo hints = {.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV, .ai_socktype = SOCK_DGRAM}, *info;
    if (getaddrinfo(group, port, &hints, &info)) usage("--group wants an address");
    int family = info->ai_family, level = family == AF_INET ? IPPROTO_IP : IPPROTO_IPV6;
    struct sockaddr_in *v4 = (struct sockaddr_in *)info->ai_addr;
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)info->ai_addr;
    if (family == AF_INET ? !IN_MULTICAST(ntohl(v4->sin_addr.s_addr)) : !IN6_IS_ADDR_MULTICAST(&v6->sin6_addr))
        usage("--group wants a multicast group");

    sigset_t blocked, before;
    sigemptyset(&blocked);
    sigaddset(&blocked, SIGTERM);
    sigaddset(&blocked, SIGINT);
    sigprocmask(SIG_BLOCK, &blocked, &before);
    struct sigaction action = {.sa_handler = note};
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGINT, &action, NULL);

    struct group_req request = {.gr_interface = interface_index(family)};
    memcpy(&request.gr_group, info->ai_addr, info->ai_addrlen);
    if (family == AF_INET6) v6->sin6_scope_id = request.gr_interface;
    int fd = socket(family, SOCK_DGRAM, 0), one = 1;
    if (fd < 0) fail("make a socket for");
    if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one) < 0) fail("share");
    if (setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof one) < 0) fail("share");
    if (bind(fd, info->ai_addr, info->ai_addrlen) < 0) fail("bind");
    if (setsockopt(fd, level, MCAST_JOIN_GROUP, &request, sizeof request) < 0) fail("join");

    int status = 0;
    static char buffer[65536];
    for (unsigned long i = 0; i < count && !ending;) {
        struct pollfd ready = {.fd = fd, .events = POLLIN};
        if (ppoll(&ready, 1, NULL, &before) < 0) continue;
        ssize_t length = recv(fd, buffer, sizeof buffer, MSG_DONTWAIT);
        if (length < 0) continue;
        fputs("Received: ", stdout);
        fwrite(buffer, 1, length, stdout);
        putchar('\n');
        if (fflush(stdout)) {
            perror("stdout");
            status = 1;
            break;
        }
        i++;
    }
    if (setsockopt(fd, level, MCAST_LEAVE_GROUP, &request, sizeof request) < 0) fail("leave");
    close(fd);
    freeaddrinfo(info);
    return status;
}
