/* The first program of all. */
#include <stdio.h>

int main(void) {
    puts("Hello, world");
    return 0;
}
