/* unpack with shifts and a cast for the sign. */
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char codes[] = "bBhHiIqQs";

static void refuse(const char *problem) {
    fprintf(stderr, "%s\nusage: unpack FORMAT\n", problem);
    exit(2);
}

/* Walks over the format: without data it only adds up the sizes. */
static size_t walk(const char *at, const unsigned char *data, int little) {
    size_t length = 0;
    if (!*at) refuse("no code");
    while (*at) {
        long count = 1;
        if (*at >= '0' && *at <= '9') count = strtol(at, (char **)&at, 10);
        const char *code = *at ? strchr(codes, *at) : NULL;
        if (!code || (*at == 's' && count != 4)) refuse("unknown code");
        if (*at == 's') count = 1;
        int place = code - codes, bytes = *at == 's' ? 4 : 1 << place / 2;
        for (; count > 0; count--, length += bytes) {
            if (!data) continue;
            const unsigned char *from = data + length;
            if (*at == 's') {
                printf("%d.%d.%d.%d\n", from[0], from[1], from[2], from[3]);
                continue;
            }
            uint64_t value = 0;
            for (int i = 0; i < bytes; i++) value = value << 8 | from[little ? bytes - 1 - i : i];
            if (place % 2) printf("%" PRIu64 "\n", value);
            else printf("%" PRId64 "\n", (int64_t)(value << (64 - 8 * bytes)) >> (64 - 8 * bytes));
        }
        at++;
    }
    return length;
}

int main(int argc, char **argv) {
    const uint16_t one = 1;
    if (argc != 2 || !*argv[1] || !strchr("!<>=", *argv[1])) refuse("no order");
    int little = *argv[1] == '<' || (*argv[1] == '=' && *(const char *)&one);
    size_t wanted = walk(argv[1] + 1, NULL, little);
    unsigned char *data = malloc(wanted + 1);
    size_t got = fread(data, 1, wanted + 1, stdin);
    if (got != wanted) {
        fprintf(stderr, "the format takes %zu bytes, found %s\n", wanted, got > wanted ? "more" : "less");
        return 1;
    }
    walk(argv[1] + 1, data, little);
    if (fclose(stdout)) {
        perror("cannot write to stdout");
        return 1;
    }
    return 0;
}
