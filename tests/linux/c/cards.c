// What a socket asks of two network cards: groups of receivers on one of them, and datagrams that are not divided. Not for
// comparing: a host has others.
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static int member(int fd, int name, const char *interface, int index) {
    struct ip_mreqn request = {.imr_ifindex = index};
    inet_pton(AF_INET, "239.1.2.3", &request.imr_multiaddr);
    inet_pton(AF_INET, interface, &request.imr_address);
    return setsockopt(fd, IPPROTO_IP, name, &request, sizeof request) ? errno : 0;
}

static int out_of(int fd, const char *interface, int index) {
    struct ip_mreqn request = {.imr_ifindex = index};
    inet_pton(AF_INET, interface, &request.imr_address);
    return setsockopt(fd, IPPROTO_IP, IP_MULTICAST_IF, &request, sizeof request) ? errno : 0;
}

// Sends to the group, and says from where that was heard.
static const char *heard(int fd, int port) {
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = port}, from = {0};
    socklen_t length = sizeof from;
    char byte;
    inet_pton(AF_INET, "239.1.2.3", &to.sin_addr);
    if (sendto(fd, "x", 1, 0, (struct sockaddr *)&to, sizeof to) != 1) return strerror(errno);
    if (recvfrom(fd, &byte, 1, MSG_DONTWAIT, (struct sockaddr *)&from, &length) != 1) return "nothing";
    return inet_ntoa(from.sin_addr);
}

static int sent(int fd, const char *where, int bytes) {
    static char block[9000];
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(9)};
    inet_pton(AF_INET, where, &to.sin_addr);
    return sendto(fd, block, bytes, 0, (struct sockaddr *)&to, sizeof to) == bytes ? 0 : errno;
}

int main(void) {
    int fd = socket(AF_INET, SOCK_DGRAM, 0);
    struct sockaddr_in any = {.sin_family = AF_INET};
    socklen_t length = sizeof any;
    printf("before there is a port: %d %d\n", member(fd, IP_ADD_MEMBERSHIP, "10.0.3.15", 0), out_of(fd, "0.0.0.0", 3));
    bind(fd, (struct sockaddr *)&any, sizeof any);
    getsockname(fd, (struct sockaddr *)&any, &length);
    printf("by the second: %s\n", heard(fd, any.sin_port));
    printf("of the first: %d\n", out_of(fd, "10.0.2.15", 0));
    printf("by the first: %s\n", heard(fd, any.sin_port));
    printf("twice: %d\n", member(fd, IP_ADD_MEMBERSHIP, "0.0.0.0", 3));
    printf("of both: %d\n", member(fd, IP_ADD_MEMBERSHIP, "0.0.0.0", 2));
    printf("by the first: %s\n", heard(fd, any.sin_port));
    printf("left: %d\n", member(fd, IP_DROP_MEMBERSHIP, "10.0.2.15", 0));
    printf("not there: %d\n", member(fd, IP_DROP_MEMBERSHIP, "10.0.2.15", 0));
    printf("by the first: %s\n", heard(fd, any.sin_port));
    for (int divides = 1; divides <= 3; divides++) {
        int option = divides, is = 0;
        length = sizeof is;
        setsockopt(fd, IPPROTO_IP, IP_MTU_DISCOVER, &option, sizeof option);
        getsockopt(fd, IPPROTO_IP, IP_MTU_DISCOVER, &is, &length);
        printf("divides %d:", is);
        for (int bytes = 1472; bytes <= 1473; bytes++) printf(" %d", sent(fd, "10.0.2.2", bytes));
        printf(" %d\n", sent(fd, "127.0.0.1", 9000));
    }
    printf("of none: %d %d\n", out_of(fd, "0.0.0.0", 9), out_of(fd, "10.0.9.9", 0));
    return 0;
}
