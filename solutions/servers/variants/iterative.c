/* The iterative server in C. A second thread plays the part of those that the runtime of another language makes. */
#define _GNU_SOURCE
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <arpa/inet.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define BACKLOG 16

static const char *host = NULL, *port = "5000";

static void usage(void)
{
    fprintf(stderr, "usage: %s [--host ADDR] [--port PORT]\n", program_invocation_short_name);
    exit(2);
}

static void options(int argc, char **argv)
{
    for (int i = 1; i < argc; i += 2) {
        if (i + 1 == argc)
            usage();
        if (!strcmp(argv[i], "--host"))
            host = argv[i + 1];
        else if (!strcmp(argv[i], "--port"))
            port = argv[i + 1];
        else
            usage();
    }
    if (!*port || strlen(port) > 9 || strspn(port, "0123456789") != strlen(port) || atol(port) > 65535)
        usage();
}

static int open_listener(void)
{
    struct addrinfo hints = {.ai_flags = AI_PASSIVE, .ai_family = host ? AF_UNSPEC : AF_INET, .ai_socktype = SOCK_STREAM};
    struct addrinfo *found, *a;
    const char *shown = host ? host : "0.0.0.0";
    int problem = getaddrinfo(host, port, &hints, &found), fd = -1, one = 1, why = 0;
    if (problem) {
        fprintf(stderr, "cannot resolve %s port %s: %s\n", shown, port, gai_strerror(problem));
        exit(1);
    }
    for (a = found; a; a = a->ai_next) {
        fd = socket(a->ai_family, a->ai_socktype, a->ai_protocol);
        if (fd >= 0 && !setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one) &&
            !bind(fd, a->ai_addr, a->ai_addrlen) && !listen(fd, BACKLOG))
            break;
        why = errno;
        if (fd >= 0)
            close(fd);
    }
    if (!a) {
        fprintf(stderr, "cannot bind %s:%s: %s\n", shown, port, strerror(why));
        exit(1);
    }
    freeaddrinfo(found);
    if (atol(port) == 0) {
        struct sockaddr_storage name;
        socklen_t length = sizeof name;
        char address[64], service[16];
        getsockname(fd, (struct sockaddr *)&name, &length);
        getnameinfo((struct sockaddr *)&name, length, address, sizeof address, service, sizeof service,
                    NI_NUMERICHOST | NI_NUMERICSERV);
        printf(name.ss_family == AF_INET6 ? "Listening on [%s]:%s\n" : "Listening on %s:%s\n", address, service);
        if (fflush(stdout))
            exit(1);
    }
    return fd;
}

static uint64_t total; /* unsigned, so that it wraps */

/* The number of `add N`, or 0 where the line is something else. */
static int parse(const char *line, size_t length, int64_t *number)
{
    char text[32];
    if (length < 5 || length > 24 || memcmp(line, "add ", 4))
        return 0;
    memcpy(text, line + 4, length - 4);
    text[length - 4] = 0;
    size_t digits = strspn(text + (text[0] == '-'), "0123456789");
    if (digits < 1 || digits > 19 || strlen(text) != length - 4 || digits + (text[0] == '-') != length - 4)
        return 0;
    errno = 0;
    *number = strtoll(text, NULL, 10);
    return errno == 0;
}

/* Sends all; whether that worked. */
static int send_all(int fd, const char *data, size_t length)
{
    while (length > 0) {
        ssize_t sent = send(fd, data, length, MSG_NOSIGNAL);
        if (sent < 0 && errno == EINTR)
            continue;
        if (sent < 0)
            return 0;
        data += sent;
        length -= sent;
    }
    return 1;
}

static int say(int fd, const char *text)
{
    return send_all(fd, text, strlen(text));
}

static void serve(int fd)
{
    char line[1025];
    size_t length = 0;
    for (;;) {
        char chunk[300];
        ssize_t received = recv(fd, chunk, sizeof chunk, 0);
        if (received < 0 && errno == EINTR)
            continue;
        if (received <= 0)
            return;
        for (ssize_t i = 0; i < received; i++) {
            if (chunk[i] != '\n') {
                if (length == 1024) {
                    say(fd, "error: too long\n");
                    return;
                }
                line[length++] = chunk[i];
                continue;
            }
            int64_t number;
            if (length == 4 && !memcmp(line, "quit", 4))
                return;
            if (parse(line, length, &number)) {
                char answer[40];
                snprintf(answer, sizeof answer, "total %lld\n", (long long)(total += (uint64_t)number));
                if (!say(fd, answer))
                    return;
            } else if (!say(fd, "error: no such request\n"))
                return;
            length = 0;
        }
    }
}

static void accept_failed(void)
{
    if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM)
        usleep(100000);
}

static void *collect_garbage(void *unused)
{
    for (;;)
        pause();
    return unused;
}

int main(int argc, char **argv)
{
    options(argc, argv);
    pthread_t runtime;
    if (!pthread_create(&runtime, NULL, collect_garbage, NULL))
        pthread_detach(runtime);
    int listener = open_listener();
    for (;;) {
        int fd = accept(listener, NULL, NULL);
        if (fd < 0) {
            accept_failed();
            continue;
        }
        serve(fd);
        close(fd);
    }
}
