/* socket-table in C: a table in order, one descriptor at a time. */
#define _GNU_SOURCE
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        int number, raw;
    } families[] = {{"AF_INET", AF_INET, IPPROTO_ICMP},
                    {"AF_INET6", AF_INET6, IPPROTO_ICMPV6},
                    {"AF_UNIX", AF_UNIX, 0},
                    {"AF_BLUETOOTH", AF_BLUETOOTH, 1}};
    static const struct {
        const char *name;
        int number;
    } types[] = {{"SOCK_STREAM", SOCK_STREAM}, {"SOCK_DGRAM", SOCK_DGRAM}, {"SOCK_RAW", SOCK_RAW}};
    (void)argv;
    if (argc > 1) {
        fprintf(stderr, "usage: socket-table\n");
        return 2;
    }
    for (int f = 0; f < 4; f++)
        for (int t = 0; t < 3; t++) {
            int raw = types[t].number == SOCK_RAW;
            int fd = socket(families[f].number, types[t].number | SOCK_CLOEXEC, raw ? families[f].raw : 0);
            printf("%s %s %s\n", families[f].name, types[t].name, fd < 0 ? strerrorname_np(errno) : "ok");
            if (fd >= 0)
                close(fd);
        }
    return fflush(stdout) || ferror(stdout) ? 1 : 0;
}
