// What a program sees of network interfaces, by ioctl and in /sys/class/net. Not for comparing: a host has others.
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

static struct ifreq request;

static int ask(int socket, const char *name, unsigned long what) {
    memset(&request, 0, sizeof request);
    strncpy(request.ifr_name, name, IFNAMSIZ - 1);
    return ioctl(socket, what, &request) == 0 ? 0 : errno;
}

static const char *ip(int socket, const char *name, unsigned long what) {
    int error = ask(socket, name, what);
    return error ? strerror(error) : inet_ntoa(((struct sockaddr_in *)&request.ifr_addr)->sin_addr);
}

static void file(const char *name, const char *what) {
    char path[64], text[64] = "";
    snprintf(path, sizeof path, "/sys/class/net/%s/%s", name, what);
    int fd = open(path, O_RDONLY);
    ssize_t bytes = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
    if (bytes > 0) text[bytes - 1] = 0;
    printf(" %s %s", what, bytes < 0 ? strerror(errno) : text);
    close(fd);
}

int main(void) {
    int fd = socket(AF_INET, SOCK_DGRAM, 0);
    struct ifreq all[8];
    struct ifconf list = {.ifc_len = sizeof all, .ifc_req = all};
    if (ioctl(fd, SIOCGIFCONF, &list) != 0) perror("SIOCGIFCONF");
    for (int number = 0; number < list.ifc_len / (int)sizeof *all; number++) {
        const char *name = all[number].ifr_name;
        printf("%s %u %s", name, if_nametoindex(name), ip(fd, name, SIOCGIFADDR));
        printf(" mask %s", ip(fd, name, SIOCGIFNETMASK));
        printf(" everybody %s", ip(fd, name, SIOCGIFBRDADDR));
        printf(" flags %#x", ask(fd, name, SIOCGIFFLAGS) ? 0 : (unsigned)(unsigned short)request.ifr_flags);
        printf(" mtu %d", ask(fd, name, SIOCGIFMTU) ? -1 : request.ifr_mtu);
        unsigned char *mac = (unsigned char *)request.ifr_hwaddr.sa_data;
        if (ask(fd, name, SIOCGIFHWADDR) == 0) printf(" mac ..:%02x:%02x of %d", mac[4], mac[5], request.ifr_hwaddr.sa_family);
        const char *facts[] = {"address", "carrier", "operstate", "mtu", "ifindex", "type", "flags"};
        for (unsigned fact = 0; fact < sizeof facts / sizeof *facts; fact++) file(name, facts[fact]);
        printf("\n");
    }
    printf("eth9: %d, no request: %d\n", ask(fd, "eth9", SIOCGIFADDR), ask(fd, "lo", 0x8999));
    char name[IFNAMSIZ] = "?";
    const char *found = if_indextoname(3, name);
    printf("3: %s, 9: %s\n", found ? found : "none", if_indextoname(9, name) ? name : "none");
    fflush(stdout);
    // Until the one that is named has no carrier.
    char text[8];
    do {
        int carrier = open("/sys/class/net/eth1/carrier", O_RDONLY);
        memset(text, 0, sizeof text);
        read(carrier, text, sizeof text - 1);
        close(carrier);
        usleep(10000);
    } while (text[0] != '0');
    printf("flags %#x", ask(fd, "eth1", SIOCGIFFLAGS) ? 0 : (unsigned)(unsigned short)request.ifr_flags);
    file("eth1", "operstate");
    printf("\n");
    return 0;
}
