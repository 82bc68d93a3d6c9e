/* What a program finds in /etc/resolv.conf, and whether it is a file like any other. */
#include <stdio.h>
#include <string.h>

int main(void) {
    char text[4096];
    FILE *file = fopen("/etc/resolv.conf", "r");
    if (!file) return 1;
    size_t bytes = fread(text, 1, sizeof text, file);
    fwrite(text, 1, bytes, stdout);
    if (fseek(file, 0, SEEK_END) || ftell(file) != (long)bytes) return 2;
    rewind(file);
    if (fread(text, 1, 10, file) != 10 || memcmp(text, "nameserver", 10)) return 3;
    return 0;
}
