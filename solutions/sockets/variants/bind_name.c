/* bind-name in C: getaddrinfo, bind, getsockname, getnameinfo. */
#define _GNU_SOURCE
#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

int main(int argc, char **argv)
{
    const char *host = argc > 1 && *argv[1] ? argv[1] : NULL, *port = argc > 2 ? argv[2] : "5000";
    if (argc > 3 || (host && *host == '-') || !*port || strspn(port, "0123456789") != strlen(port) ||
        strlen(port) > 6 || atol(port) > 65535) {
        fprintf(stderr, "usage: bind-name [HOST] [PORT]\n");
        return 2;
    }
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE, .ai_family = host ? AF_UNSPEC : AF_INET};
    struct addrinfo *found, *a;
    int problem = getaddrinfo(host, port, &hints, &found), fd = -1, why = 0;
    if (problem) {
        fprintf(stderr, "cannot resolve %s port %s: %s\n", host, port, gai_strerror(problem));
        return 1;
    }
    for (a = found; a; a = a->ai_next) {
        fd = socket(a->ai_family, a->ai_socktype, a->ai_protocol);
        if (fd >= 0 && bind(fd, a->ai_addr, a->ai_addrlen) == 0)
            break;
        why = errno;
        if (fd >= 0)
            close(fd);
    }
    if (!a) {
        fprintf(stderr, "cannot bind %s port %s: %s\n", host ? host : "0.0.0.0", port, strerror(why));
        return 1;
    }
    struct sockaddr_storage name;
    socklen_t length = sizeof name;
    char address[80], number[16];
    getsockname(fd, (struct sockaddr *)&name, &length);
    getnameinfo((struct sockaddr *)&name, length, address, sizeof address, number, sizeof number,
                NI_NUMERICHOST | NI_NUMERICSERV);
    printf(name.ss_family == AF_INET6 ? "[%s]:%s\n" : "%s:%s\n", address, number);
    close(fd);
    return fflush(stdout) ? 1 : 0;
}
