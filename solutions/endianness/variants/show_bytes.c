/* show-bytes through a pointer to the number's own bytes: on a big-endian machine the loops change places. */
#include <arpa/inet.h>
#include <ctype.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void lines(const unsigned char *bytes, int count) {
    for (int i = 0; i < count; i++) printf("Byte %d has %02x\n", i, bytes[i]);
}

int main(int argc, char **argv) {
    unsigned long long number = 0x01020304;
    if (argc > 1) {
        const char *text = argv[1];
        number = strtoull(text, NULL, 10);
        if (argc > 2 || !*text || strspn(text, "0123456789") != strlen(text) || strlen(text) > 18 || number > UINT32_MAX) {
            fputs("usage: show-bytes [N]\n", stderr);
            return 2;
        }
    }
    uint32_t little = number, network = htonl(number);
    unsigned char bytes[4];
    for (int i = 0; i < 4; i++) bytes[i] = little >> 8 * i;
    printf("Var has %08x\n", (unsigned)number);
    lines(bytes, (number > 0) + (number > 0xff) + (number > 0xffff) + (number > 0xffffff));
    putchar('\n');
    for (int i = 0; i < 4; i++) bytes[i] = little >> 8 * (3 - i);
    lines(bytes, 4);
    putchar('\n');
    memcpy(bytes, &network, 4);
    lines(bytes, 4);
    if (fclose(stdout)) {
        perror("cannot write to stdout");
        return 1;
    }
    return 0;
}
