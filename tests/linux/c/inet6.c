/* IPv6 over loopback, and IPv4 in its guise. */
#include "cases.h"
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/uio.h>

#define HERE(address) (struct sockaddr *)&(address), sizeof(address)

static struct sockaddr_in6 at(const char *ip, int port) {
    struct sockaddr_in6 address = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
    if (inet_pton(AF_INET6, ip, &address.sin6_addr) != 1) printf("no address: %s\n", ip);
    return address;
}
static struct sockaddr_in v4_at(const char *ip, int port) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    if (inet_pton(AF_INET, ip, &address.sin_addr) != 1) printf("no address: %s\n", ip);
    return address;
}
typedef int (*name_call)(int, struct sockaddr *, socklen_t *);
static int port_by(name_call call, int fd) {
    struct sockaddr_in6 address = {0};
    socklen_t length = sizeof address;
    call(fd, (struct sockaddr *)&address, &length);
    return ntohs(address.sin6_port);
}
static int port_of(int fd) { return port_by(getsockname, fd); }
/* All of an address but its port. */
static void show(const char *what, const void *at, socklen_t length) {
    char text[100] = "";
    const struct sockaddr_in6 *address = at;
    const struct sockaddr_in *v4 = at;
    if (address->sin6_family == AF_INET)
        printf("%s: %s, %d bytes\n", what, inet_ntop(AF_INET, &v4->sin_addr, text, sizeof text), (int)length);
    else
        printf("%s: family %d, %s, %d bytes, flow %u, scope %u\n", what, address->sin6_family,
               inet_ntop(AF_INET6, &address->sin6_addr, text, sizeof text), (int)length,
               (unsigned)ntohl(address->sin6_flowinfo), (unsigned)address->sin6_scope_id);
}
static void show_by(const char *what, name_call call, int fd) {
    struct sockaddr_in6 address;
    socklen_t length = sizeof address;
    memset(&address, 0x55, sizeof address);
    if (call(fd, (struct sockaddr *)&address, &length)) printf("%s: %s\n", what, error_name(errno));
    else show(what, &address, length);
}
#define NAMES(fd) show_by("own end of " #fd, getsockname, fd), show_by("other end of " #fd, getpeername, fd)

static int option(int fd, int level, int name) {
    int value = -77;
    socklen_t length = sizeof value;
    return getsockopt(fd, level, name, &value, &length) ? -errno : value;
}
static int set(int fd, int level, int name, int value) { return setsockopt(fd, level, name, &value, sizeof value); }
static int bound(int kind, const char *ip, int only) {
    int fd = MUST(socket(AF_INET6, kind, 0));
    struct sockaddr_in6 address = at(ip, 0);
    MUST(set(fd, IPPROTO_IPV6, IPV6_V6ONLY, only));
    MUST(bind(fd, HERE(address)));
    if (kind == SOCK_STREAM) MUST(listen(fd, 5));
    return fd;
}
static int client_of(int family, const char *ip, int port) {
    int fd = MUST(socket(family, SOCK_STREAM, 0));
    struct sockaddr_in6 six;
    struct sockaddr_in four;
    if (family == AF_INET6) six = at(ip, port);
    else four = v4_at(ip, port);
    int done = family == AF_INET6 ? connect(fd, HERE(six)) : connect(fd, HERE(four));
    if (done) printf("connect to %s: %s\n", ip, error_name(errno));
    return fd;
}
static int arrives(int fd) {
    struct pollfd polled = {fd, POLLIN, 0};
    return poll(&polled, 1, 5000) == 1 ? polled.revents : 0;
}

CASE(streams_there_and_back) {
    int listener = bound(SOCK_STREAM, "::1", 0);
    NAMES(listener);
    int client = client_of(AF_INET6, "::1", port_of(listener));
    struct sockaddr_in6 from;
    socklen_t length = sizeof from;
    int server = MUST(accept(listener, (struct sockaddr *)&from, &length));
    show("accepted", &from, length);
    IS(ntohs(from.sin6_port) == port_of(client));
    NAMES(client);
    NAMES(server);
    char text[20] = {0};
    SHOW(send(client, "question", 8, 0));
    SHOW(recv(server, text, 20, 0));
    SHOW(send(server, "answer", 6, 0));
    SHOW(shutdown(server, SHUT_WR));
    SHOW(recv(client, text, 6, MSG_WAITALL));
    SHOW(recv(client, text, 6, 0));
    printf("%.8s\n", text);
}

CASE(large_amounts) {
    int listener = bound(SOCK_STREAM, "::1", 1);
    int client = client_of(AF_INET6, "::1", port_of(listener)), server = MUST(accept(listener, NULL, NULL));
    static char bytes[1 << 20], back[1 << 20];
    for (size_t each = 0; each < sizeof bytes; each++) bytes[each] = each * 7 + (each >> 9);
    fcntl(client, F_SETFL, O_NONBLOCK);
    size_t sent = 0, received = 0;
    while (received < sizeof bytes) {
        ssize_t count = sent < sizeof bytes ? send(client, bytes + sent, sizeof bytes - sent, 0) : 0;
        if (count > 0) sent += count;
        count = recv(server, back + received, sizeof back - received, sent < sizeof bytes ? MSG_DONTWAIT : 0);
        if (count > 0) received += count;
    }
    IS(memcmp(bytes, back, sizeof bytes) == 0);
    struct tcp_info info;
    socklen_t length = sizeof info;
    SHOW(getsockopt(client, IPPROTO_TCP, TCP_INFO, &info, &length));
    IS(info.tcpi_state == 1);
}

CASE(nobody_listens) {
    int listener = bound(SOCK_STREAM, "::1", 0), port = port_of(listener);
    close(listener);
    client_of(AF_INET6, "::1", port);
    client_of(AF_INET6, "::ffff:127.0.0.1", port);
}

CASE(nobody_is_this_machine) {
    int listener = bound(SOCK_STREAM, "::", 0);
    int client = client_of(AF_INET6, "::", port_of(listener));
    NAMES(client);
    NAMES(listener);
}

CASE(a_dual_listener_takes_both) {
    int listener = bound(SOCK_STREAM, "::", 0);
    int port = port_of(listener);
    int four = client_of(AF_INET, "127.0.0.1", port), mapped = client_of(AF_INET6, "::ffff:127.0.0.1", port);
    int six = client_of(AF_INET6, "::1", port);
    NAMES(four);
    NAMES(mapped);
    NAMES(six);
    for (int each = 0; each < 3; each++) {
        int server = MUST(accept(listener, NULL, NULL));
        NAMES(server);
    }
}

CASE(a_listener_of_ipv6_alone) {
    int listener = bound(SOCK_STREAM, "::", 1);
    int port = port_of(listener);
    client_of(AF_INET, "127.0.0.1", port);
    client_of(AF_INET6, "::ffff:127.0.0.1", port);
    int client = client_of(AF_INET6, "::1", port);
    NAMES(client);
    /* The port is free for IPv4. */
    int four = MUST(socket(AF_INET, SOCK_STREAM, 0));
    struct sockaddr_in address = v4_at("0.0.0.0", port);
    SHOW(bind(four, HERE(address)));
    SHOW(listen(four, 5));
    int other = client_of(AF_INET, "127.0.0.1", port);
    int server = MUST(accept(four, NULL, NULL));
    NAMES(server);
}

CASE(ports_that_are_taken) {
    int dual = bound(SOCK_STREAM, "::", 0), four = MUST(socket(AF_INET, SOCK_STREAM, 0));
    struct sockaddr_in any = v4_at("0.0.0.0", port_of(dual)), one = v4_at("127.0.0.1", port_of(dual));
    SHOW(bind(four, HERE(any)));
    SHOW(bind(four, HERE(one)));
    int six = MUST(socket(AF_INET6, SOCK_STREAM, 0));
    struct sockaddr_in6 local = at("::1", port_of(dual));
    SHOW(bind(six, HERE(local)));
    int alone = bound(SOCK_STREAM, "::1", 0);
    any = v4_at("127.0.0.1", port_of(alone));
    SHOW(bind(four, HERE(any)));
}

CASE(addresses_that_cannot_be) {
    int fd = MUST(socket(AF_INET6, SOCK_STREAM, 0)), only = MUST(socket(AF_INET6, SOCK_STREAM, 0));
    struct sockaddr_in6 foreign = at("2001:db8::1", 0), group = at("ff02::1", 0), link = at("fe80::1", 0);
    struct sockaddr_in6 mapped = at("::ffff:127.0.0.1", 0), strange = at("::ffff:192.0.2.1", 0), here = at("::1", 0);
    struct sockaddr_in four = v4_at("127.0.0.1", 1);
    SHOW(bind(fd, HERE(foreign)));
    SHOW(bind(fd, HERE(group)));
    SHOW(bind(fd, HERE(link)));
    SHOW(bind(fd, HERE(strange)));
    SHOW(bind(fd, HERE(four)));
    SHOW(bind(fd, (struct sockaddr *)&here, 23));
    SHOW(bind(fd, (struct sockaddr *)&here, 24));
    SHOW(bind(fd, HERE(here)));
    SHOW(set(only, IPPROTO_IPV6, IPV6_V6ONLY, 1));
    SHOW(bind(only, HERE(mapped)));
    SHOW(connect(only, HERE(four)));
    mapped.sin6_port = htons(1);
    SHOW(connect(only, HERE(mapped)));
    group.sin6_port = link.sin6_port = htons(1);
    SHOW(connect(only, HERE(group)));
    SHOW(connect(only, HERE(link)));
    SHOW(connect(only, (struct sockaddr *)&here, 8));
    int other = MUST(socket(AF_INET, SOCK_STREAM, 0));
    SHOW(bind(other, HERE(here)));
    SHOW(connect(other, HERE(here)));
}

CASE(a_mapped_address_is_bound_and_connected_to) {
    int listener = MUST(socket(AF_INET6, SOCK_STREAM, 0));
    NAMES(listener);
    struct sockaddr_in6 mapped = at("::ffff:127.0.0.1", 0);
    SHOW(bind(listener, HERE(mapped)));
    SHOW(listen(listener, 5));
    NAMES(listener);
    int client = client_of(AF_INET6, "::ffff:127.0.0.1", port_of(listener));
    NAMES(client);
    int four = client_of(AF_INET, "127.0.0.1", port_of(listener));
    NAMES(four);
    client_of(AF_INET6, "::1", port_of(listener));
    int any = MUST(socket(AF_INET6, SOCK_STREAM, 0));
    mapped = at("::ffff:0.0.0.0", 0);
    SHOW(bind(any, HERE(mapped)));
    NAMES(any);
}

CASE(datagrams_there_and_back) {
    int one = bound(SOCK_DGRAM, "::1", 0), two = MUST(socket(AF_INET6, SOCK_DGRAM, 0));
    NAMES(two);
    struct sockaddr_in6 to = at("::1", port_of(one)), from;
    to.sin6_flowinfo = htonl(7);
    socklen_t length = sizeof from;
    char text[20] = {0};
    SHOW(sendto(two, "hello", 5, 0, HERE(to)));
    NAMES(two);
    SHOW(recvfrom(one, text, 20, 0, (struct sockaddr *)&from, &length));
    show(text, &from, length);
    IS(ntohs(from.sin6_port) == port_of(two));
    SHOW(sendto(one, "answer", 6, 0, (struct sockaddr *)&from, length));
    SHOW(recv(two, text, 20, 0));
    SHOW(connect(two, HERE(to)));
    NAMES(two);
    SHOW(send(two, "connected", 9, 0));
    SHOW(recv(one, text, 20, 0));
    static char large[65528];
    SHOW(send(two, large, 65527, 0));
    SHOW(recv(one, large, sizeof large, 0));
    SHOW(send(two, large, 65528, 0));
    struct sockaddr nobody = {.sa_family = AF_UNSPEC};
    SHOW(connect(two, &nobody, sizeof nobody));
    show_by("other end of two", getpeername, two);
}

CASE(datagrams_of_both_families) {
    int dual = bound(SOCK_DGRAM, "::", 0), four = MUST(socket(AF_INET, SOCK_DGRAM, 0));
    int six = MUST(socket(AF_INET6, SOCK_DGRAM, 0));
    struct sockaddr_in to = v4_at("127.0.0.1", port_of(dual));
    struct sockaddr_in6 to_six = at("::1", port_of(dual)), mapped = at("::ffff:127.0.0.1", port_of(dual)), from;
    socklen_t length = sizeof from;
    char text[20] = {0};
    SHOW(sendto(four, "four", 4, 0, HERE(to)));
    SHOW(recvfrom(dual, text, 20, 0, (struct sockaddr *)&from, &length));
    show(text, &from, length);
    SHOW(sendto(dual, "back", 4, 0, (struct sockaddr *)&from, length));
    struct sockaddr_in back;
    length = sizeof back;
    SHOW(recvfrom(four, text, 20, 0, (struct sockaddr *)&back, &length));
    show(text, &back, length);
    SHOW(sendto(six, "six", 3, 0, HERE(to_six)));
    length = sizeof from;
    memset(text, 0, sizeof text);
    SHOW(recvfrom(dual, text, 20, 0, (struct sockaddr *)&from, &length));
    show(text, &from, length);
    SHOW(sendto(six, "mapped", 6, 0, HERE(mapped)));
    SHOW(recvfrom(dual, text, 20, 0, (struct sockaddr *)&from, &length));
    show(text, &from, length);
    /* An address of IPv4 as it is is good enough for datagrams. */
    SHOW(sendto(six, "plain!", 6, 0, HERE(to)));
    SHOW(recvfrom(dual, text, 20, 0, (struct sockaddr *)&from, &length));
    show(text, &from, length);
    SHOW(connect(six, HERE(to)));
    NAMES(six);
    SHOW(sendto(four, "six", 3, 0, HERE(to_six)));
    int only = bound(SOCK_DGRAM, "::", 1);
    SHOW(sendto(only, "x", 1, 0, HERE(mapped)));
    SHOW(connect(only, HERE(mapped)));
}

CASE(nobody_takes_datagrams) {
    int gone = bound(SOCK_DGRAM, "::1", 0), fd = MUST(socket(AF_INET6, SOCK_DGRAM, 0));
    struct sockaddr_in6 to = at("::1", port_of(gone));
    close(gone);
    SHOW(connect(fd, HERE(to)));
    SHOW(send(fd, "x", 1, 0));
    IS(arrives(fd) & POLLERR);
    VALUE(option(fd, SOL_SOCKET, SO_ERROR) == ECONNREFUSED);
    SHOW(send(fd, "x", 1, 0));
    IS(arrives(fd) & POLLERR);
    char byte;
    SHOW(recv(fd, &byte, 1, 0));
}

static void options_of(int kind) {
    int fd = MUST(socket(AF_INET6, kind, 0));
    VALUE(option(fd, SOL_SOCKET, SO_DOMAIN));
    VALUE(option(fd, IPPROTO_IPV6, IPV6_V6ONLY));
    VALUE(option(fd, IPPROTO_IPV6, IPV6_UNICAST_HOPS));
    VALUE(option(fd, IPPROTO_IPV6, IPV6_TCLASS));
    SHOW(set(fd, IPPROTO_IPV6, IPV6_UNICAST_HOPS, 256));
    SHOW(set(fd, IPPROTO_IPV6, IPV6_UNICAST_HOPS, -2));
    SHOW(set(fd, IPPROTO_IPV6, IPV6_UNICAST_HOPS, 17));
    VALUE(option(fd, IPPROTO_IPV6, IPV6_UNICAST_HOPS));
    SHOW(set(fd, IPPROTO_IPV6, IPV6_UNICAST_HOPS, -1));
    VALUE(option(fd, IPPROTO_IPV6, IPV6_UNICAST_HOPS));
    SHOW(set(fd, IPPROTO_IPV6, IPV6_TCLASS, 256));
    SHOW(set(fd, IPPROTO_IPV6, IPV6_TCLASS, 0x20));
    VALUE(option(fd, IPPROTO_IPV6, IPV6_TCLASS));
    SHOW(set(fd, IPPROTO_IPV6, IPV6_TCLASS, -1));
    VALUE(option(fd, IPPROTO_IPV6, IPV6_TCLASS));
    SHOW(set(fd, IPPROTO_IPV6, IPV6_RECVERR, 0));
    SHOW(setsockopt(fd, IPPROTO_IPV6, IPV6_UNICAST_HOPS, "\7", 1));
    SHOW(setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, "\1", 1));
    SHOW(set(fd, IPPROTO_IPV6, 9999, 1));
    VALUE(option(fd, IPPROTO_IPV6, 9999));
    SHOW(set(fd, IPPROTO_IPV6, IPV6_V6ONLY, 1));
    VALUE(option(fd, IPPROTO_IPV6, IPV6_V6ONLY));
    SHOW(set(fd, IPPROTO_IPV6, IPV6_V6ONLY, 0));
    struct sockaddr_in6 here = at("::1", 0);
    SHOW(bind(fd, HERE(here)));
    SHOW(set(fd, IPPROTO_IPV6, IPV6_V6ONLY, 1));
    int four = MUST(socket(AF_INET, kind, 0));
    SHOW(set(four, IPPROTO_IPV6, IPV6_V6ONLY, 1));
    SHOW(set(four, IPPROTO_IPV6, IPV6_UNICAST_HOPS, 1));
    VALUE(option(four, IPPROTO_IPV6, IPV6_V6ONLY));
}

CASE(options_of_streams) { options_of(SOCK_STREAM); }
CASE(options_of_datagrams) { options_of(SOCK_DGRAM); }

CASE(options_of_groups) {
    int fd = MUST(socket(AF_INET6, SOCK_DGRAM, 0));
    VALUE(option(fd, IPPROTO_IPV6, IPV6_MULTICAST_HOPS));
    VALUE(option(fd, IPPROTO_IPV6, IPV6_MULTICAST_LOOP));
    VALUE(option(fd, IPPROTO_IPV6, IPV6_MULTICAST_IF));
    SHOW(set(fd, IPPROTO_IPV6, IPV6_MULTICAST_HOPS, 300));
    SHOW(set(fd, IPPROTO_IPV6, IPV6_MULTICAST_HOPS, 3));
    VALUE(option(fd, IPPROTO_IPV6, IPV6_MULTICAST_HOPS));
    SHOW(set(fd, IPPROTO_IPV6, IPV6_MULTICAST_HOPS, -1));
    VALUE(option(fd, IPPROTO_IPV6, IPV6_MULTICAST_HOPS));
    SHOW(set(fd, IPPROTO_IPV6, IPV6_MULTICAST_LOOP, 2));
    SHOW(set(fd, IPPROTO_IPV6, IPV6_MULTICAST_LOOP, 0));
    VALUE(option(fd, IPPROTO_IPV6, IPV6_MULTICAST_LOOP));
    SHOW(set(fd, IPPROTO_IPV6, IPV6_MULTICAST_IF, 12345));
    SHOW(set(fd, IPPROTO_IPV6, IPV6_MULTICAST_IF, 1));
    VALUE(option(fd, IPPROTO_IPV6, IPV6_MULTICAST_IF));
    SHOW(setsockopt(fd, IPPROTO_IPV6, IPV6_MULTICAST_HOPS, "\7", 1));
}

CASE(groups) {
    int fd = MUST(socket(AF_INET6, SOCK_DGRAM, 0));
    struct ipv6_mreq group = {.ipv6mr_interface = 1}, none = {.ipv6mr_interface = 1}, nowhere = {.ipv6mr_interface = 12345};
    inet_pton(AF_INET6, "ff02::1234", &group.ipv6mr_multiaddr);
    inet_pton(AF_INET6, "fe80::1234", &none.ipv6mr_multiaddr);
    nowhere.ipv6mr_multiaddr = group.ipv6mr_multiaddr;
    SHOW(setsockopt(fd, IPPROTO_IPV6, IPV6_JOIN_GROUP, &none, sizeof none));
    SHOW(setsockopt(fd, IPPROTO_IPV6, IPV6_JOIN_GROUP, &nowhere, sizeof nowhere));
    SHOW(setsockopt(fd, IPPROTO_IPV6, IPV6_JOIN_GROUP, &group, 16));
    SHOW(setsockopt(fd, IPPROTO_IPV6, IPV6_LEAVE_GROUP, &group, sizeof group));
    SHOW(setsockopt(fd, IPPROTO_IPV6, IPV6_JOIN_GROUP, &group, sizeof group));
    SHOW(setsockopt(fd, IPPROTO_IPV6, IPV6_JOIN_GROUP, &group, sizeof group));
    struct sockaddr_in6 any = at("::", 0);
    SHOW(bind(fd, HERE(any)));
    SHOW(setsockopt(fd, IPPROTO_IPV6, IPV6_LEAVE_GROUP, &group, sizeof group));
    SHOW(setsockopt(fd, IPPROTO_IPV6, IPV6_LEAVE_GROUP, &group, sizeof group));
    SHOW(setsockopt(fd, IPPROTO_IPV6, IPV6_JOIN_GROUP, &group, sizeof group));
    SHOW(setsockopt(fd, IPPROTO_IPV6, IPV6_LEAVE_GROUP, &group, sizeof group));
}

/* What is told beside a datagram: the address that it was sent to. */
static void show_destination(int fd) {
    char text[20] = {0}, control[200], shown[100];
    struct iovec piece = {text, sizeof text};
    struct msghdr message = {.msg_iov = &piece, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
    SHOW(recvmsg(fd, &message, 0));
    for (struct cmsghdr *each = CMSG_FIRSTHDR(&message); each; each = CMSG_NXTHDR(&message, each)) {
        printf("level %d, type %d, %d bytes\n", each->cmsg_level, each->cmsg_type, (int)each->cmsg_len);
        struct in6_pktinfo info;
        memcpy(&info, CMSG_DATA(each), sizeof info);
        printf("%s on %u\n", inet_ntop(AF_INET6, &info.ipi6_addr, shown, sizeof shown), info.ipi6_ifindex);
    }
}

CASE(the_destination_is_told) {
    int fd = bound(SOCK_DGRAM, "::", 0), client = MUST(socket(AF_INET6, SOCK_DGRAM, 0));
    VALUE(option(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO));
    SHOW(set(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, 1));
    VALUE(option(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO));
    struct sockaddr_in6 six = at("::1", port_of(fd)), mapped = at("::ffff:127.0.0.1", port_of(fd));
    SHOW(sendto(client, "x", 1, 0, HERE(six)));
    show_destination(fd);
    SHOW(sendto(client, "y", 1, 0, HERE(mapped)));
    show_destination(fd);
    /* And where from it is to be sent can be said. */
    char control[CMSG_SPACE(sizeof(struct in6_pktinfo))] = {0};
    struct iovec piece = {"z", 1};
    struct msghdr message = {.msg_name = &six, .msg_namelen = sizeof six, .msg_iov = &piece, .msg_iovlen = 1,
                             .msg_control = control, .msg_controllen = sizeof control};
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    *header = (struct cmsghdr){.cmsg_level = IPPROTO_IPV6, .cmsg_type = IPV6_PKTINFO, .cmsg_len = CMSG_LEN(20)};
    struct in6_pktinfo info = {.ipi6_addr = in6addr_loopback};
    memcpy(CMSG_DATA(header), &info, sizeof info);
    SHOW(sendmsg(client, &message, 0));
    show_destination(fd);
    inet_pton(AF_INET6, "2001:db8::1", &info.ipi6_addr);
    memcpy(CMSG_DATA(header), &info, sizeof info);
    SHOW(sendmsg(client, &message, 0));
}
