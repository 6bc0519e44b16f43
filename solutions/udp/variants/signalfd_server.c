/* udp-server in which everything is an event of one poll: datagrams, taken in batches by recvmmsg, and the signals that
 * end it, read from a signalfd. What does not fit into its two bytes is known by MSG_TRUNC. */
#define _GNU_SOURCE
#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

enum { BATCH = 8 };

static void refuse(void) {
    fputs("usage: udp-server [--host ADDR] [--port PORT] [--count N]\n", stderr);
    exit(2);
}

static long long number(const char *text, long long low, long long high) {
    if (!*text || strlen(text) > 12 || strspn(text, "0123456789") != strlen(text)) refuse();
    long long value = atoll(text);
    if (value < low || value > high) refuse();
    return value;
}

static int bind_to(const char *host, const char *port) {
    struct addrinfo hints = {.ai_socktype = SOCK_DGRAM, .ai_flags = AI_PASSIVE}, *all;
    int failed = getaddrinfo(host, port, &hints, &all);
    if (failed) {
        fprintf(stderr, "cannot resolve %s:%s: %s\n", host, port, gai_strerror(failed));
        exit(1);
    }
    for (struct addrinfo *one = all; one; one = one->ai_next) {
        int s = socket(one->ai_family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        if (s >= 0 && bind(s, one->ai_addr, one->ai_addrlen) == 0) return s;
        int why = errno;
        if (s >= 0) close(s);
        errno = why;
    }
    fprintf(stderr, "cannot bind %s:%s: %s\n", host, port, strerror(errno));
    exit(1);
}

static void announce(int s) {
    struct sockaddr_storage own;
    socklen_t length = sizeof own;
    char host[64], port[8];
    getsockname(s, (struct sockaddr *)&own, &length);
    getnameinfo((struct sockaddr *)&own, length, host, sizeof host, port, sizeof port, NI_NUMERICHOST | NI_NUMERICSERV);
    printf(strchr(host, ':') ? "Listening on [%s]:%s\n" : "Listening on %s:%s\n", host, port);
    if (fflush(stdout)) {
        perror("cannot write to stdout");
        exit(1);
    }
}

/* Answers what has come, but no more than `most` requests; gives how many those were. */
static long long answer_batch(int s, long long most) {
    struct mmsghdr messages[BATCH];
    struct iovec places[BATCH];
    struct sockaddr_storage peers[BATCH];
    unsigned char numbers[BATCH][2];
    memset(messages, 0, sizeof messages);
    for (int i = 0; i < BATCH; i++) {
        places[i] = (struct iovec){numbers[i], 2};
        messages[i].msg_hdr = (struct msghdr){.msg_name = &peers[i], .msg_namelen = sizeof peers[i],
                                              .msg_iov = &places[i], .msg_iovlen = 1};
    }
    int came = recvmmsg(s, messages, most < BATCH ? (unsigned)most : BATCH, MSG_DONTWAIT, NULL);
    long long answered = 0;
    for (int i = 0; i < came; i++) {
        if (messages[i].msg_len != 2 || messages[i].msg_hdr.msg_flags & MSG_TRUNC) continue;
        unsigned next = (numbers[i][0] << 8 | numbers[i][1]) + 1;
        numbers[i][0] = next >> 8;
        numbers[i][1] = next;
        struct msghdr answer = {.msg_name = &peers[i], .msg_namelen = messages[i].msg_hdr.msg_namelen,
                                .msg_iov = &places[i], .msg_iovlen = 1};
        if (sendmsg(s, &answer, 0) == 2) answered++;
    }
    return answered;
}

int main(int argc, char **argv) {
    const char *host = "0.0.0.0", *port = "5000";
    long long count = 1;
    for (int i = 1; i < argc; i += 2) {
        if (i + 1 == argc) refuse();
        if (!strcmp(argv[i], "--host")) host = argv[i + 1];
        else if (!strcmp(argv[i], "--port")) number(port = argv[i + 1], 0, 65535);
        else if (!strcmp(argv[i], "--count")) count = number(argv[i + 1], 1, 4294967295LL);
        else refuse();
    }
    int s = bind_to(host, port);
    sigset_t ends;
    sigemptyset(&ends);
    sigaddset(&ends, SIGTERM);
    sigaddset(&ends, SIGINT);
    sigprocmask(SIG_BLOCK, &ends, NULL);
    int signals = signalfd(-1, &ends, SFD_CLOEXEC);
    if (!atoi(port)) announce(s);
    while (count > 0) {
        struct pollfd events[2] = {{s, POLLIN, 0}, {signals, POLLIN, 0}};
        if (poll(events, 2, -1) < 0) continue;
        if (events[1].revents) return 0;
        count -= answer_batch(s, count);
    }
    return 0;
}
