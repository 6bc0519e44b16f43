/* Small programs for the recorder's trials: the first argument says which. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

static struct sockaddr_in address(int port) {
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(port)};
    a.sin_addr.s_addr = htonl(INADDR_ANY);
    return a;
}

static int udp_server(void) {
    int s = socket(AF_INET, SOCK_DGRAM, 0);
    struct sockaddr_in a = address(5000), peer;
    socklen_t length = sizeof peer;
    unsigned char b[16];
    if (bind(s, (struct sockaddr *)&a, sizeof a)) return 1;
    ssize_t n = recvfrom(s, b, sizeof b, 0, (struct sockaddr *)&peer, &length);
    if (n != 2) return 1;
    b[1]++;
    struct iovec part = {b, 2};
    struct msghdr m = {.msg_name = &peer, .msg_namelen = length, .msg_iov = &part, .msg_iovlen = 1};
    return sendmsg(s, &m, 0) == 2 ? 0 : 1;
}

static int udp_client(void) {
    int s = socket(AF_INET, SOCK_DGRAM, 0);
    struct sockaddr_in a = address(5000);
    unsigned char b[2] = {1, 2};
    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    connect(s, (struct sockaddr *)&a, sizeof a);
    send(s, b, 2, 0);
    if (recv(s, b, 2, 0) != 2) return 1;
    close(s);
    return b[1] == 3 ? 0 : 1;
}

static int listener(void) {
    int s = socket(AF_INET, SOCK_STREAM, 0), on = 1;
    struct sockaddr_in a = address(5000);
    setsockopt(s, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(s, (struct sockaddr *)&a, sizeof a) || listen(s, 5)) exit(1);
    return s;
}

/* Echoes until EOF: "once" uses one write a read, "loop" repeats until all is sent, "writev" in two parts. */
static int tcp_server(const char *style) {
    int s = listener();
    int c;
    while ((c = accept(s, NULL, NULL)) < 0)
        if (!strcmp(style, "once")) return 9;
    char b[64];
    ssize_t n;
    for (;;) {
        n = read(c, b, sizeof b);
        if (n < 0 && errno == EINTR && strcmp(style, "once")) continue;
        if (n < 0) return 8;
        if (n == 0) break;
        if (!strcmp(style, "once")) {
            write(c, b, n);
        } else if (!strcmp(style, "writev")) {
            struct iovec v[2] = {{b, n / 2}, {b + n / 2, n - n / 2}};
            writev(c, v, 2);
        } else {
            ssize_t at = 0;
            while (at < n) at += send(c, b + at, n - at, MSG_NOSIGNAL);
        }
    }
    close(c);
    close(s);
    return 0;
}

static int tcp_client(int length) {
    int s = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in a = address(5000);
    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    char b[64], r[65];
    memset(b, 'x', sizeof b);
    if (connect(s, (struct sockaddr *)&a, sizeof a)) return 1;
    send(s, b, length, 0);
    shutdown(s, SHUT_WR);
    int got = 0;
    ssize_t n;
    while ((n = recv(s, r, sizeof r, 0)) > 0) got += n;
    printf("%d\n", got);
    return 0;
}

static void ignore(int signal) { (void)signal; }

static int zombie(int seconds) {
    pid_t child = fork();
    if (child == 0) _exit(3);
    struct timespec t0, t1;
    clock_gettime(CLOCK_MONOTONIC, &t0);
    for (int i = 0; i < 5; i++) {
        printf("parent is running... %d\n", i);
        fflush(stdout);
        sleep(seconds);
    }
    clock_gettime(CLOCK_MONOTONIC, &t1);
    int status;
    pid_t got = wait(&status);
    double took = t1.tv_sec - t0.tv_sec + (t1.tv_nsec - t0.tv_nsec) / 1e9;
    printf("%d %d elapsed %.1f\n", got == child, status, took);
    return 0;
}

static void *nap(void *unused) {
    (void)unused;
    usleep(20000);
    return NULL;
}

static void *load_other(void *name) {
    char *argv[] = {name, "exit", "5", NULL};
    execv(name, argv);
    return NULL;
}

/* A sleep met by SIGCHLD after two of ten seconds. */
static int sleep_and_signal(void) {
    struct sigaction action = {.sa_handler = ignore};
    sigaction(SIGCHLD, &action, NULL);
    if (fork() == 0) {
        sleep(2);
        _exit(0);
    }
    unsigned left = sleep(10);
    time_t now = time(NULL);
    sleep(0);
    printf("left %u\n", left);
    return now ? wait(NULL) < 0 : 1;
}

/* Every way of waiting for half a second; prints how long each took. */
static int tell[2];

static void in_a_thread(union sigval value) { write(tell[1], value.sival_ptr, 1); }

/* What the timers of timer_create measure, however they tell: by a handler, by a signal that is waited for, by a thread. */
static int posix_timers(void) {
    struct timespec t0, t1;
    struct itimerspec every = {{1, 500000000}, {2, 0}}, once = {{0, 0}, {0, 0}}, old;
    struct sigaction action = {.sa_handler = ignore};
    timer_t first, second, third;
    sigset_t set, none;
    siginfo_t told;
    char byte = 't';
    sigemptyset(&set);
    sigemptyset(&none);
    sigaddset(&set, SIGALRM);
    sigaddset(&set, SIGRTMIN + 1);
    sigprocmask(SIG_BLOCK, &set, NULL);
    sigaction(SIGALRM, &action, NULL);
    clock_gettime(CLOCK_MONOTONIC, &t0);
    timer_create(CLOCK_MONOTONIC, NULL, &first);
    timer_settime(first, 0, &every, NULL);
    for (int i = 0; i < 3; i++) sigsuspend(&none);
    clock_gettime(CLOCK_MONOTONIC, &t1);
    printf("%.1f ", t1.tv_sec - t0.tv_sec + (t1.tv_nsec - t0.tv_nsec) / 1e9);
    timer_settime(first, 0, &once, &old);
    printf("%.1f %.1f ", old.it_interval.tv_sec + old.it_interval.tv_nsec / 1e9,
           old.it_value.tv_sec + old.it_value.tv_nsec / 1e9);
    timer_gettime(first, &old);
    printf("%d ", old.it_value.tv_sec || old.it_value.tv_nsec);

    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGRTMIN + 1};
    event.sigev_value.sival_int = 77;
    timer_create(CLOCK_REALTIME, &event, &second);
    clock_gettime(CLOCK_REALTIME, &once.it_value);
    once.it_value.tv_sec += 4;
    timer_settime(second, TIMER_ABSTIME, &once, NULL);
    int got = sigwaitinfo(&set, &told);
    clock_gettime(CLOCK_REALTIME, &t1);
    t1.tv_nsec -= once.it_value.tv_nsec;
    printf("%d %d %d %.1f ", got == SIGRTMIN + 1, told.si_code == SI_TIMER, told.si_value.sival_int,
           t1.tv_sec - once.it_value.tv_sec + t1.tv_nsec / 1e9);
    timer_delete(second);

    pipe(tell);
    struct sigevent by_thread = {.sigev_notify = SIGEV_THREAD, .sigev_notify_function = in_a_thread};
    by_thread.sigev_value.sival_ptr = &byte;
    clock_gettime(CLOCK_MONOTONIC, &t0);
    timer_create(CLOCK_MONOTONIC, &by_thread, &third);
    timer_settime(third, 0, &every, NULL);
    for (int i = 0; i < 2; i++) read(tell[0], &byte, 1);
    clock_gettime(CLOCK_MONOTONIC, &t1);
    printf("%.1f ", t1.tv_sec - t0.tv_sec + (t1.tv_nsec - t0.tv_nsec) / 1e9);
    timer_delete(third);

    struct itimerval alarm_in = {{0, 0}, {9, 0}}, left;
    setitimer(ITIMER_REAL, &alarm_in, NULL);
    sleep(2);
    getitimer(ITIMER_REAL, &left);
    printf("%.1f\n", left.it_value.tv_sec + left.it_value.tv_usec / 1e6);
    return 0;
}

static int waits(void) {
    struct timespec five = {5, 0}, t0, t1;
    struct timeval five_v = {5, 0};
    pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
    pthread_cond_t cond = PTHREAD_COND_INITIALIZER;
    int s = socket(AF_INET, SOCK_DGRAM, 0);
    struct sockaddr_in a = address(0);
    char b[1];
    bind(s, (struct sockaddr *)&a, sizeof a);
    setsockopt(s, SOL_SOCKET, SO_RCVTIMEO, &five_v, sizeof five_v);
    for (int way = 0; way < 7; way++) {
        clock_gettime(CLOCK_MONOTONIC, &t0);
        struct timespec until;
        struct timeval v = five_v;
        switch (way) {
        case 0: usleep(5000000); break;
        case 1: nanosleep(&five, NULL); break;
        case 2: until = t0; until.tv_sec += 5;
                clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL); break;
        case 3: select(0, NULL, NULL, NULL, &v); break;
        case 4: poll(NULL, 0, 5000); break;
        case 5: clock_gettime(CLOCK_REALTIME, &until); until.tv_sec += 5;
                pthread_mutex_lock(&mutex); pthread_cond_timedwait(&cond, &mutex, &until);
                pthread_mutex_unlock(&mutex); break;
        case 6: if (recv(s, b, 1, 0) != -1 || errno != EAGAIN) printf("not EAGAIN "); break;
        }
        clock_gettime(CLOCK_MONOTONIC, &t1);
        printf("%.1f ", t1.tv_sec - t0.tv_sec + (t1.tv_nsec - t0.tv_nsec) / 1e9);
    }
    printf("\n");
    return 0;
}

static volatile long total;
static pthread_mutex_t guard = PTHREAD_MUTEX_INITIALIZER;
static const char *style;

static void on_signal(int signal) { (void)signal; }

/* What a runtime does that preempts its threads: a signal, and the flags kept while others run. Long enough for
   the lockstep to give up before the flags are back. */
static void is_preempted(void) {
    signal(SIGURG, on_signal);
    raise(SIGURG);
    long left = 50000;
#ifdef __x86_64__
    __asm__ volatile("lea -128(%%rsp), %%rsp; pushfq; 1: dec %0; jnz 1b; popfq; lea 128(%%rsp), %%rsp"
                     : "+r"(left) : : "cc", "memory");
#else
    while (left--) __asm__ volatile("");
#endif
}

static pthread_t serving[8];
static volatile int servings;

static void on_tick(int signal) {
    (void)signal;
    for (long left = 1000; left--;) __asm__ volatile("");
}

/* Preempts whoever serves, as the runtimes of some languages do by the clock: too often for one that is slowed down. */
static void *tick(void *unused) {
    signal(SIGURG, on_tick);
    for (;;) {
        usleep(1000);
        for (int i = 0; i < servings; i++) pthread_kill(serving[i], SIGURG);
    }
    return unused;
}

static void *serve(void *connection) {
    int c = (int)(long)connection;
    char b[64], answer[64];
    ssize_t n;
    while ((n = recv(c, b, sizeof b - 1, 0)) > 0) {
        b[n] = 0;
        long add = atol(b + 4), now;
        if (!strcmp(style, "preempted")) is_preempted();
        if (!strcmp(style, "racy")) {
            now = total + add;
            total = now;
        } else if (!strcmp(style, "atomic")) {
            now = __atomic_add_fetch(&total, add, __ATOMIC_SEQ_CST);
        } else {
            pthread_mutex_lock(&guard);
            now = total += add;
            pthread_mutex_unlock(&guard);
        }
        int length = snprintf(answer, sizeof answer, "total %ld\n", now);
        send(c, answer, length, MSG_NOSIGNAL);
    }
    close(c);
    return NULL;
}

static int threaded_server(void) {
    int s = listener();
    pthread_t thread;
    if (!strcmp(style, "ticked")) pthread_create(&thread, NULL, tick, NULL);
    for (;;) {
        long c = accept(s, NULL, NULL);
        pthread_create(&thread, NULL, serve, (void *)c);
        if (!strcmp(style, "ticked") && servings < 8) {
            serving[servings] = thread;
            servings++;
        } else {
            pthread_detach(thread);
        }
    }
}

int main(int argc, char **argv) {
    const char *what = argc > 1 ? argv[1] : "", *how = argc > 2 ? argv[2] : "";
    if (!strcmp(what, "exit")) return atoi(how);
    if (!strcmp(what, "udp-server")) return udp_server();
    if (!strcmp(what, "udp-client")) return udp_client();
    if (!strcmp(what, "tcp-server")) return tcp_server(how);
    if (!strcmp(what, "tcp-client")) return tcp_client(atoi(how));
    if (!strcmp(what, "threaded-server")) {
        style = how;
        return threaded_server();
    }
    if (!strcmp(what, "zombie")) return zombie(atoi(how));
    if (!strcmp(what, "sleep-and-signal")) return sleep_and_signal();
    if (!strcmp(what, "waits")) return waits();
    if (!strcmp(what, "posix-timers")) return posix_timers();
    if (!strcmp(what, "alarm")) {
        struct sigaction action = {.sa_handler = ignore};
        sigaction(SIGALRM, &action, NULL);
        time_t start = time(NULL);
        alarm(30);
        unsigned left = sleep(40);
        alarm(20);
        unsigned rest = alarm(0);
        printf("%ld %u %u\n", (long)(time(NULL) - start), left, rest);
        return 0;
    }
    if (!strcmp(what, "handler")) {
        struct sigaction action = {.sa_handler = ignore, .sa_flags = !strcmp(how, "restart") ? SA_RESTART : 0};
        sigaction(SIGCHLD, &action, NULL);
        return tcp_server(argc > 3 ? argv[3] : "once");
    }
    if (!strcmp(what, "forks")) {
        int many = atoi(how);
        for (int i = 0; i < many; i++)
            if (fork() == 0) _exit(i & 255);
        int seen = 0;
        while (wait(NULL) > 0) seen++;
        printf("%d\n", seen);
        return 0;
    }
    if (!strcmp(what, "vfork")) {
        pid_t child = vfork();
        if (child == 0) {
            execl(argv[0], argv[0], "exit", "4", NULL);
            _exit(1);
        }
        int status;
        waitpid(child, &status, 0);
        pid_t second;
        char *arguments[] = {argv[0], "exit", "6", NULL};
        posix_spawn(&second, argv[0], NULL, NULL, arguments, environ);
        int other;
        waitpid(second, &other, 0);
        printf("%d %d\n", WEXITSTATUS(status), WEXITSTATUS(other));
        return 0;
    }
    if (!strcmp(what, "thread-exec")) {
        pthread_t thread;
        pthread_create(&thread, NULL, load_other, argv[0]);
        for (;;) pause();
    }
    if (!strcmp(what, "threads")) {
        pthread_t thread[8];
        for (int i = 0; i < 8; i++) pthread_create(&thread[i], NULL, nap, NULL);
        for (int i = 0; i < 8; i++) pthread_join(thread[i], NULL);
        return 0;
    }
    if (!strcmp(what, "ignore-all")) {
        for (int i = 1; i < 65; i++) signal(i, SIG_IGN);
        if (fork() == 0)
            for (;;) pause();
        for (;;) pause();
    }
    if (!strcmp(what, "pause")) for (;;) pause();
    if (!strcmp(what, "strange")) {
        /* A name that is no text and looks like the end of one; numbers whose sums and opposites do not fit. */
        prctl(PR_SET_NAME, "\xff)\n1 (x) Z");
        struct iovec parts[2] = {{parts, -1UL}, {parts, -1UL}};
        struct msghdr message = {.msg_iov = parts, .msg_iovlen = 2};
        int s = socket(AF_INET, SOCK_DGRAM, 0);
        long got = 0;
        got += readv(s, parts, 2) + writev(1, parts, 2) + sendmsg(s, &message, 0) + kill(INT_MIN, 0);
        got += syscall(SYS_setitimer, ITIMER_REAL, -1L, -1L);
        for (int i = 0; i < 3; i++)
            if (fork() == 0) _exit(i);
        while (wait(NULL) > 0) {}
        return got == -5 ? 0 : 1;
    }
    if (!strcmp(what, "refused")) {
        int fd = syscall(SYS_memfd_create, "x", 0);
        int vsock = socket(40, SOCK_STREAM, 0);
        printf("%d %d %d\n", fd, vsock, errno == EPERM);
        return 0;
    }
    if (!strcmp(what, "fork-server")) {
        int s = listener();
        int c = accept(s, NULL, NULL);
        if (fork() == 0) {
            char b[8];
            close(s);
            read(c, b, sizeof b);
            write(c, b, 3);
            close(c);
            _exit(0);
        }
        close(c);
        wait(NULL);
        return 0;
    }
    if (!strcmp(what, "recv-timeout")) {
        int s = socket(AF_INET, SOCK_DGRAM, 0);
        struct timeval long_time = {20, 0};
        struct sockaddr_in a = address(5000);
        char b[1];
        bind(s, (struct sockaddr *)&a, sizeof a);
        setsockopt(s, SOL_SOCKET, SO_RCVTIMEO, &long_time, sizeof long_time);
        return recv(s, b, 1, 0) == 1 ? 0 : errno;
    }
    return 99;
}
