// Attacks on the sandbox, one a run: `attacks NAME [ARGUMENT]`. Ends with 0 where the attack got through, with 1 where it
// was stopped, after a line that says how. Each is bounded, so that a machine without any sandbox survives it.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_alg.h>
#include <net/if.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

// A call that yields -1 was stopped.
static int result(long got) {
    if (got < 0) {
        printf("%s\n", strerror(errno));
        return 1;
    }
    printf("got through: %ld\n", got);
    return 0;
}

static int opens(const char *path, int flags) { return result(open(path, flags, 0600)); }

static int opens_of(pid_t pid, const char *name, int flags) {
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/%s", pid, name);
    return opens(path, flags);
}

// The parent of a process, as /proc tells it.
static pid_t parent_of(pid_t pid) {
    char path[64], text[512] = "";
    snprintf(path, sizeof path, "/proc/%d/stat", pid);
    int file = open(path, O_RDONLY);
    if (file < 0 || read(file, text, sizeof text - 1) <= 0) return -1;
    char *behind = strrchr(text, ')');
    int parent = -1;
    if (behind) sscanf(behind + 2, "%*c %d", &parent);
    return parent;
}

// How many of `most` children can be made to live at once.
static int count_processes(int most) {
    int made = 0;
    for (; made < most; made++) {
        pid_t child = fork();
        if (child == 0) for (;;) pause();
        if (child < 0) break;
    }
    printf("%d\n", made);
    fflush(stdout);
    signal(SIGTERM, SIG_IGN);
    kill(-getpid(), SIGTERM);
    return 0;
}

static void *wait_here(void *nothing) {
    for (;;) pause();
    return nothing;
}

static int count_threads(int most) {
    int made = 0;
    pthread_t thread;
    pthread_attr_t small;
    pthread_attr_init(&small);
    pthread_attr_setstacksize(&small, 65536);
    while (made < most && pthread_create(&thread, &small, wait_here, NULL) == 0) made++;
    printf("%d\n", made);
    fflush(stdout);
    _exit(0);
}

// Touches so many MiB and says how many came.
static int count_memory(int most) {
    int got = 0;
    for (; got < most; got++) {
        char *piece = malloc(1 << 20);
        if (!piece) break;
        memset(piece, 1, 1 << 20);
    }
    printf("%d\n", got);
    return 0;
}

static int memory_in_children(void) {
    for (int child = 0; child < 4; child++)
        if (fork() == 0) {
            // Its own bound, for a machine without any.
            for (int got = 0; got < 200; got++) {
                char *piece = malloc(1 << 20);
                if (piece) memset(piece, 1, 1 << 20);
            }
            sleep(5);
            _exit(0);
        }
    while (wait(NULL) > 0) {}
    printf("got through: 800 MiB\n");
    return 0;
}

static int fill_disk(void) {
    static char piece[1 << 20];
    int file = open("filler", O_WRONLY | O_CREAT, 0600), written = 0;
    for (; written < 200 && write(file, piece, sizeof piece) == (ssize_t)sizeof piece; written++) {}
    printf("%d\n", written);
    unlink("filler");
    return 0;
}

static int fill_inodes(void) {
    int made = 0;
    char name[32];
    for (; made < 10000; made++) {
        snprintf(name, sizeof name, "filler-%d", made);
        int file = open(name, O_WRONLY | O_CREAT, 0600);
        if (file < 0) break;
        close(file);
    }
    printf("%d\n", made);
    return 0;
}

static int count_descriptors(void) {
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    int made = 0;
    while (made < 20000 && open("/dev/null", O_RDONLY) >= 0) made++;
    printf("%d\n", made);
    return 0;
}

// Timers hold kernel memory, and so do signals that wait.
static int count_timers(int most) {
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1};
    timer_t timer;
    int made = 0;
    while (made < most && timer_create(CLOCK_MONOTONIC, &event, &timer) == 0) made++;
    printf("%d\n", made);
    return 0;
}

static int inherited_descriptors(void) {
    for (int number = 3; number < 4096; number++)
        if (fcntl(number, F_GETFD) >= 0) return result(number);
    errno = EBADF;
    return result(-1);
}

// Leaves a process that ignores every signal, in a session of its own, and ends.
static int survive(void) {
    if (fork() == 0) {
        setsid();
        if (fork() == 0) {
            for (int number = 1; number < 65; number++) signal(number, SIG_IGN);
            for (int number = 0; number < 3; number++) close(number);
            for (int second = 0; second < 60; second++) sleep(1);
        }
        _exit(0);
    }
    wait(NULL);
    printf("left\n");
    return 0;
}

static int spin_deaf(void) {
    sigset_t all;
    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, NULL);
    printf("spinning\n");
    fflush(stdout);
    for (time_t end = time(NULL) + 20; time(NULL) < end;) {}
    return 0;
}

static int connects(int family, const void *address, socklen_t length) {
    int socket_ = socket(family, SOCK_STREAM, 0);
    return result(socket_ < 0 ? -1 : connect(socket_, address, length));
}

static int connects_to_port(int port) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    return connects(AF_INET, &address, sizeof address);
}

static int connects_to_abstract(const char *name) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    memcpy(address.sun_path + 1, name, strlen(name));
    return connects(AF_UNIX, &address, offsetof(struct sockaddr_un, sun_path) + 1 + strlen(name));
}

static int lowers_loopback(void) {
    struct ifreq request = {.ifr_name = "lo"};
    return result(ioctl(socket(AF_INET, SOCK_DGRAM, 0), SIOCSIFFLAGS, &request));
}

static int raises(int resource) {
    struct rlimit limit;
    getrlimit(resource, &limit);
    limit.rlim_cur = limit.rlim_max = limit.rlim_max == RLIM_INFINITY ? RLIM_INFINITY : limit.rlim_max + 1;
    return result(limit.rlim_max == RLIM_INFINITY ? 0 : setrlimit(resource, &limit));
}

static int legacy_call(void) {
#ifdef __x86_64__
    long got;
    __asm__ volatile("int $0x80" : "=a"(got) : "a"(20L) : "memory");
    printf("got through: %ld\n", got);
    return 0;
#else
    return 1;
#endif
}

int main(int count, char **words) {
    const char *name = count > 1 ? words[1] : "", *argument = count > 2 ? words[2] : "";
    int number = atoi(argument);
    pid_t init = getppid();
    char scratch[64] = "";
    struct iovec here = {scratch, sizeof scratch}, there = {(void *)main, sizeof scratch};
#define ATTACK(text) if (strcmp(name, text) == 0) return
    ATTACK("unshare-user") result(unshare(CLONE_NEWUSER));
    ATTACK("unshare-net") result(unshare(CLONE_NEWNET));
    ATTACK("unshare-pid") result(unshare(CLONE_NEWPID));
    ATTACK("setns") result(setns(open("/proc/self/ns/net", O_RDONLY), 0));
    ATTACK("clone-user") result(syscall(SYS_clone, CLONE_NEWUSER | SIGCHLD, 0, 0, 0, 0));
    ATTACK("clone-net-with-junk") result(syscall(SYS_clone, CLONE_NEWNET | (1L << 40) | SIGCHLD, 0, 0, 0, 0));
    ATTACK("clone3") result(syscall(SYS_clone3, scratch, sizeof scratch));
    ATTACK("mount") result(mount("x", "/tmp", "tmpfs", 0, NULL));
    ATTACK("mount-proc") result(mount("proc", "/proc", "proc", 0, NULL));
    ATTACK("remount-root") result(mount("x", "/", NULL, MS_REMOUNT | MS_BIND, NULL));
    ATTACK("umount") result(umount2("/proc", MNT_DETACH));
    ATTACK("chroot") result(chroot("/tmp"));
    ATTACK("pivot-root") result(syscall(SYS_pivot_root, "/tmp", "/tmp"));
    ATTACK("ptrace-init") result(ptrace(PTRACE_ATTACH, init, 0, 0));
    ATTACK("ptrace-traceme") result(ptrace(PTRACE_TRACEME, 0, 0, 0));
    ATTACK("read-memory-of-init") result(process_vm_readv(init, &here, 1, &there, 1, 0));
    ATTACK("write-memory-of-init") result(process_vm_writev(init, &here, 1, &there, 1, 0));
    ATTACK("take-descriptor-of-init") result(syscall(SYS_pidfd_getfd, syscall(SYS_pidfd_open, init, 0), 3, 0));
    ATTACK("prlimit-init") result(prlimit(init, RLIMIT_NOFILE, &(struct rlimit){0, 0}, NULL));
    ATTACK("memfd") result(syscall(SYS_memfd_create, "x", 0));
    ATTACK("memfd-secret") result(syscall(447, 0));
    ATTACK("shm") result(shmget(IPC_PRIVATE, 1 << 20, IPC_CREAT | 0600));
    ATTACK("semaphores") result(syscall(SYS_semget, IPC_PRIVATE, 1000, IPC_CREAT | 0600));
    ATTACK("message-queue") result(syscall(SYS_msgget, IPC_PRIVATE, IPC_CREAT | 0600));
    ATTACK("posix-queue") result(syscall(SYS_mq_open, "x", O_CREAT | O_RDWR, 0600, NULL));
    ATTACK("vsock") result(socket(40, SOCK_STREAM, 0));
    ATTACK("af-alg") result(socket(AF_ALG, SOCK_SEQPACKET, 0));
    ATTACK("af-packet") result(socket(AF_PACKET, SOCK_RAW, 0));
    ATTACK("raw-socket") result(socket(AF_INET, SOCK_RAW, IPPROTO_ICMP));
    ATTACK("netlink-audit") result(socket(AF_NETLINK, SOCK_RAW, 9));
    ATTACK("io-uring") result(syscall(425, 8, scratch));
    ATTACK("bpf") result(syscall(SYS_bpf, 0, scratch, sizeof scratch));
    ATTACK("perf") result(syscall(SYS_perf_event_open, scratch, 0, -1, -1, 0));
    ATTACK("userfaultfd") result(syscall(SYS_userfaultfd, 1));
    ATTACK("keyctl") result(syscall(SYS_keyctl, 0, -3, 1));
    ATTACK("add-key") result(syscall(SYS_add_key, "user", "x", "y", 1, -3));
    ATTACK("seccomp") result(syscall(SYS_seccomp, 0, 0, NULL));
    ATTACK("prctl-seccomp") result(prctl(PR_SET_SECCOMP, 1));
    ATTACK("x32") result(syscall(0x40000000 | 39));
    ATTACK("int-0x80") legacy_call();
    ATTACK("module") result(syscall(SYS_init_module, scratch, 0, ""));
    ATTACK("reboot") result(syscall(SYS_reboot, 0, 0, 0, 0));
    ATTACK("hostname") result(sethostname("x", 1));
    ATTACK("clock") result(clock_settime(CLOCK_REALTIME, &(struct timespec){0}));
    ATTACK("handle") result(syscall(SYS_open_by_handle_at, AT_FDCWD, scratch, 0));
    ATTACK("syslog") result(syscall(SYS_syslog, 3, scratch, sizeof scratch));
    ATTACK("setuid-0") result(setuid(0));
    ATTACK("setgroups") result(syscall(SYS_setgroups, 0, NULL));
    ATTACK("mknod") result(mknod("device", S_IFBLK | 0600, 0x0800));
    ATTACK("new-privileges") result(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1 ? (errno = EPERM, -1) : 0);
    ATTACK("nice") result(setpriority(PRIO_PROCESS, 0, -5));
    ATTACK("realtime") result(sched_setscheduler(0, SCHED_FIFO, &(struct sched_param){1}));
    ATTACK("raise-processes") raises(RLIMIT_NPROC);
    ATTACK("raise-descriptors") raises(RLIMIT_NOFILE);
    ATTACK("raise-memory") raises(RLIMIT_AS);
    ATTACK("raise-file-size") raises(RLIMIT_FSIZE);
    ATTACK("core-dump") raises(RLIMIT_CORE);
    ATTACK("oom-score") result(open("/proc/self/oom_score_adj", O_WRONLY) < 0 ? -1 : write(open("/proc/self/oom_score_adj", O_WRONLY), "-900", 4));
    ATTACK("core-pattern") opens("/proc/sys/kernel/core_pattern", O_WRONLY);
    ATTACK("memory-file-of-init") opens_of(init, "mem", O_RDWR);
    ATTACK("environment-of-init") opens_of(init, "environ", O_RDONLY);
    ATTACK("maps-of-init") opens_of(init, "maps", O_RDONLY);
    ATTACK("root-of-init") opens_of(init, "root/etc/shadow", O_RDONLY);
    ATTACK("descriptor-of-init") opens_of(init, "fd/3", O_WRONLY);
    ATTACK("memory-file-of-arena") opens_of(parent_of(init), "mem", O_RDWR);
    ATTACK("environment-of-arena") opens_of(parent_of(init), "environ", O_RDONLY);
    ATTACK("read") opens(argument, O_RDONLY);
    ATTACK("write") opens(argument, O_WRONLY);
    ATTACK("create") opens(argument, O_WRONLY | O_CREAT | O_EXCL);
    ATTACK("write-own-binary") opens(words[0], O_WRONLY);
    // Pid 1 of a namespace takes no signal from within: init goes on, or the trial hangs.
    ATTACK("stop-init") result(kill(init, SIGSTOP) < 0 || init == 1 ? -1 : 0);
    ATTACK("kill-init") result(kill(init, SIGKILL) < 0 || init == 1 ? -1 : 0);
    ATTACK("kill-arena") result(parent_of(init) < 2 ? (errno = ESRCH, -1) : kill(parent_of(init), SIGKILL));
    ATTACK("inherited-descriptors") inherited_descriptors();
    ATTACK("lower-loopback") lowers_loopback();
    ATTACK("outside-port") connects_to_port(number);
    ATTACK("abstract-socket") connects_to_abstract(argument);
    ATTACK("count-processes") count_processes(number);
    ATTACK("count-threads") count_threads(number);
    ATTACK("count-memory") count_memory(number);
    ATTACK("memory-in-children") memory_in_children();
    ATTACK("fill-disk") fill_disk();
    ATTACK("fill-inodes") fill_inodes();
    ATTACK("count-descriptors") count_descriptors();
    ATTACK("count-timers") count_timers(number);
    ATTACK("survive") survive();
    ATTACK("spin-deaf") spin_deaf();
    ATTACK("stop-oneself") kill(getpid(), SIGSTOP);
    ATTACK("kill-everybody") result(kill(-1, SIGKILL));
    fprintf(stderr, "no attack %s\n", name);
    return 2;
}
