/* byte-swap with the calls themselves. */
#include <arpa/inet.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int main(int argc, char **argv) {
    const char *text = argc == 3 ? argv[2] : "";
    unsigned long long number = strtoull(text, NULL, 10), result = 0;
    int good = *text && strlen(text) < 18 && strspn(text, "0123456789") == strlen(text);
    if (good && !strcmp(argv[1], "htons") && number <= UINT16_MAX) result = htons(number);
    else if (good && !strcmp(argv[1], "ntohs") && number <= UINT16_MAX) result = ntohs(number);
    else if (good && !strcmp(argv[1], "htonl") && number <= UINT32_MAX) result = htonl(number);
    else if (good && !strcmp(argv[1], "ntohl") && number <= UINT32_MAX) result = ntohl(number);
    else {
        fputs("usage: byte-swap htons|ntohs|htonl|ntohl N\n", stderr);
        return 2;
    }
    printf("%llu\n", result);
    if (fflush(stdout)) {
        perror("cannot write to stdout");
        return 1;
    }
    return 0;
}
