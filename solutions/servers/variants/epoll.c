/* The select server in C by edge-triggered epoll: every readiness is used up until EAGAIN. */
#define _GNU_SOURCE
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <arpa/inet.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <time.h>

#define BACKLOG 1024

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

#define ROOM 65536

struct client {
    int fd;
    char line[1025];
    size_t length;
    char out[ROOM];
    size_t used;
    int ended;    /* no more requests are taken */
    int readable; /* the last recv did not say EAGAIN */
};

/* Sends what it can. Whether the connection still stands. */
static int flush_out(struct client *c)
{
    size_t done = 0;
    while (done < c->used) {
        ssize_t sent = send(c->fd, c->out + done, c->used - done, MSG_NOSIGNAL);
        if (sent < 0 && errno == EINTR)
            continue;
        if (sent < 0 && errno == EAGAIN)
            break;
        if (sent < 0)
            return 0;
        done += sent;
    }
    memmove(c->out, c->out + done, c->used - done);
    c->used -= done;
    return 1;
}

static void put(struct client *c, const char *text)
{
    size_t length = strlen(text);
    memcpy(c->out + c->used, text, length);
    c->used += length;
}

static void understand(struct client *c)
{
    int64_t number;
    char answer[40];
    if (c->length == 4 && !memcmp(c->line, "quit", 4))
        c->ended = 1;
    else if (parse(c->line, c->length, &number)) {
        snprintf(answer, sizeof answer, "total %lld\n", (long long)(total += (uint64_t)number));
        put(c, answer);
    } else
        put(c, "error: no such request\n");
    c->length = 0;
}

/* Goes on until nothing can be read or written without waiting. Whether the client stays. */
static int go_on(struct client *c)
{
    char chunk[512];
    for (;;) {
        if (!flush_out(c))
            return 0;
        if (c->ended)
            return c->used > 0;
        /* A chunk of empty lines makes answers of 23 bytes for each. */
        if (!c->readable || ROOM - c->used < 23 * sizeof chunk)
            return 1;
        ssize_t received = recv(c->fd, chunk, sizeof chunk, 0);
        if (received < 0 && errno == EINTR)
            continue;
        if (received < 0 && errno == EAGAIN)
            c->readable = 0;
        else if (received < 0)
            return 0;
        else if (received == 0)
            c->ended = 1;
        for (ssize_t i = 0; i < received && !c->ended; i++) {
            if (chunk[i] == '\n')
                understand(c);
            else if (c->length == 1024) {
                put(c, "error: too long\n");
                c->ended = 1;
            } else
                c->line[c->length++] = chunk[i];
        }
    }
}

static long long now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000LL + t.tv_nsec / 1000000;
}

int main(int argc, char **argv)
{
    options(argc, argv);
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    int listener = open_listener();
    fcntl(listener, F_SETFL, O_NONBLOCK);
    int poller = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event event = {.events = EPOLLIN | EPOLLET, .data.ptr = NULL};
    epoll_ctl(poller, EPOLL_CTL_ADD, listener, &event);
    long long retry = -1; /* when to try accept again; the edge is not going to come again */
    for (;;) {
        struct epoll_event events[64];
        int timeout = -1;
        if (retry >= 0) {
            long long left = retry - now_ms();
            timeout = left > 0 ? (int)left : 0;
        }
        int count = epoll_wait(poller, events, 64, timeout);
        int accepting = retry >= 0 && now_ms() >= retry;
        for (int i = 0; i < count; i++) {
            struct client *c = events[i].data.ptr;
            if (!c) {
                accepting = 1;
                continue;
            }
            if (events[i].events & ~EPOLLOUT)
                c->readable = 1;
            if (!go_on(c)) {
                close(c->fd);
                free(c);
            }
        }
        while (accepting) {
            retry = -1;
            int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
            if (fd < 0 && (errno == EINTR || errno == ECONNABORTED))
                continue;
            if (fd < 0) {
                if (errno != EAGAIN)
                    retry = now_ms() + 200;
                break;
            }
            struct client *c = calloc(1, sizeof *c);
            if (!c) {
                close(fd);
                continue;
            }
            c->fd = fd;
            event.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET;
            event.data.ptr = c;
            if (epoll_ctl(poller, EPOLL_CTL_ADD, fd, &event)) {
                close(fd);
                free(c);
            }
        }
    }
}
