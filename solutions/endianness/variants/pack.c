/* pack with shifts: the order is only the order of the loop. The bytes go out in one write call each. */
#include <arpa/inet.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void refuse(const char *problem) {
    fprintf(stderr, "%s\nusage: pack FORMAT VALUE...\n", problem);
    exit(2);
}

static uint64_t number(const char *text, int bits, int is_signed) {
    int negative = *text == '-';
    const char *digits = text + negative;
    if (!*digits || strspn(digits, "0123456789") != strlen(digits)) refuse("not a number");
    errno = 0;
    uint64_t size = strtoull(digits, NULL, 10);
    if (errno) refuse("number out of range");
    uint64_t top = is_signed ? (UINT64_C(1) << (bits - 1)) - !negative : UINT64_MAX >> (64 - bits);
    if ((negative && !is_signed && size) || size > top) refuse("number out of range");
    return negative ? -size : size;
}

int main(int argc, char **argv) {
    const uint16_t one = 1;
    const char *codes = "bBhHiIqQs";
    if (argc < 2 || !*argv[1] || !strchr("!<>=", *argv[1])) refuse("no order");
    int little = *argv[1] == '<' || (*argv[1] == '=' && *(const char *)&one);
    unsigned char *data = NULL;
    size_t length = 0, taken = 0;
    int next = 2;
    const char *at = argv[1] + 1;
    if (!*at) refuse("no code");
    while (*at) {
        long count = 1;
        if (*at >= '0' && *at <= '9') count = strtol(at, (char **)&at, 10);
        const char *code = *at ? strchr(codes, *at) : NULL;
        if (!code || (*at == 's' && count != 4)) refuse("unknown code");
        if (*at == 's') count = 1;
        while (count-- > 0) {
            if (next == argc) refuse("too few values");
            const char *text = argv[next++];
            if (length + 8 > taken) data = realloc(data, taken = 2 * taken + 64);
            if (*at == 's') {
                if (inet_pton(AF_INET, text, data + length) != 1) refuse("not an address");
                length += 4;
                continue;
            }
            int place = code - codes;
            int bytes = 1 << place / 2;
            uint64_t value = number(text, 8 * bytes, place % 2 == 0);
            for (int i = 0; i < bytes; i++) data[length++] = value >> 8 * (little ? i : bytes - 1 - i);
        }
        at++;
    }
    if (next != argc) refuse("too many values");
    for (size_t i = 0; i < length; i++) {
        if (write(1, data + i, 1) != 1) {
            perror("cannot write to stdout");
            return 1;
        }
    }
    return 0;
}
