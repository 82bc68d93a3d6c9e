/* UDP over loopback. */
#include "cases.h"
#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/uio.h>

static struct sockaddr_in loopback(int port) {
    return (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
}
static int port_of(int fd) {
    struct sockaddr_in address = {0};
    socklen_t length = sizeof address;
    getsockname(fd, (struct sockaddr *)&address, &length);
    return ntohs(address.sin_port);
}
static int bound(int flags) {
    struct sockaddr_in address = loopback(0);
    int fd = MUST(socket(AF_INET, SOCK_DGRAM | flags, 0));
    MUST(bind(fd, (struct sockaddr *)&address, sizeof address));
    return fd;
}
static ssize_t send_to(int fd, const void *text, size_t length, int port) {
    struct sockaddr_in address = loopback(port);
    return sendto(fd, text, length, 0, (struct sockaddr *)&address, sizeof address);
}
static int arrives(int fd) {
    struct pollfd polled = {fd, POLLIN, 0};
    return poll(&polled, 1, 5000) == 1 ? polled.revents : 0;
}

CASE(there_and_back) {
    int one = bound(0), two = MUST(socket(AF_INET, SOCK_DGRAM, 0));
    char text[20] = {0};
    VALUE(port_of(two));
    SHOW(send_to(two, "hello", 5, port_of(one)));
    IS(port_of(two) > 0);
    struct sockaddr_in from;
    socklen_t length = sizeof from;
    SHOW(recvfrom(one, text, 20, 0, (struct sockaddr *)&from, &length));
    printf("%s %s %d\n", text, inet_ntoa(from.sin_addr), (int)length);
    IS(ntohs(from.sin_port) == port_of(two));
    SHOW(sendto(one, "answer", 6, 0, (struct sockaddr *)&from, length));
    SHOW(recv(two, text, 20, 0));
    SHOW(send(one, "x", 1, 0));
    SHOW(recv(one, text, 1, MSG_DONTWAIT));
}

CASE(whole_or_cut) {
    int one = bound(SOCK_NONBLOCK), two = bound(0);
    char text[20] = {0};
    MUST(send_to(two, "first", 5, port_of(one)));
    MUST(send_to(two, "", 0, port_of(one)));
    MUST(send_to(two, "second", 6, port_of(one)));
    IS(arrives(one) == POLLIN);
    SHOW(recv(one, text, 2, 0));
    SHOW(recv(one, text, 20, 0));
    SHOW(recv(one, text, 2, MSG_PEEK | MSG_TRUNC));
    struct iovec piece = {text, 3};
    struct msghdr message = {.msg_iov = &piece, .msg_iovlen = 1};
    SHOW(recvmsg(one, &message, 0));
    IS(message.msg_flags & MSG_TRUNC);
    SHOW(recv(one, text, 20, 0));
}

CASE(connected) {
    int one = bound(0), two = bound(0), third = bound(0);
    struct sockaddr_in address = loopback(port_of(one));
    char text[20] = {0};
    SHOW(connect(two, (struct sockaddr *)&address, sizeof address));
    SHOW(send(two, "through", 7, 0));
    SHOW(recv(one, text, 20, 0));
    MUST(send_to(third, "stranger", 8, port_of(two)));
    MUST(send_to(one, "friend", 6, port_of(two)));
    IS(arrives(two) == POLLIN);
    memset(text, 0, 20);
    SHOW(recv(two, text, 20, 0));
    printf("%s\n", text);
    SHOW(recv(two, text, 20, MSG_DONTWAIT));
    SHOW(send_to(two, "aside", 5, port_of(third)));
    SHOW(recv(third, text, 20, 0));
    socklen_t length = sizeof address;
    SHOW(getpeername(two, (struct sockaddr *)&address, &length));
    struct sockaddr none = {.sa_family = AF_UNSPEC};
    SHOW(connect(two, &none, sizeof none));
    SHOW(getpeername(two, (struct sockaddr *)&address, &length));
    SHOW(send(two, "x", 1, 0));
}

CASE(nobody_there) {
    int gone = bound(0), port = port_of(gone), fd = bound(0);
    struct sockaddr_in address = loopback(port);
    char text[2];
    close(gone);
    SHOW(send_to(fd, "x", 1, port));
    SHOW(recv(fd, text, 1, MSG_DONTWAIT));
    MUST(connect(fd, (struct sockaddr *)&address, sizeof address));
    SHOW(send(fd, "x", 1, 0));
    struct pollfd polled = {fd, POLLIN, 0};
    SHOW(poll(&polled, 1, 5000));
    printf("%x\n", polled.revents);
    SHOW(recv(fd, text, 1, 0));
    SHOW(recv(fd, text, 1, MSG_DONTWAIT));
}

CASE(sizes) {
    static char block[70000];
    int one = bound(0), two = bound(0), count = -1;
    SHOW(send_to(two, block, 65507, port_of(one)));
    SHOW(recv(one, block, sizeof block, 0));
    SHOW(send_to(two, block, 65508, port_of(one)));
    SHOW(send_to(two, block, 9000, port_of(one)));
    IS(arrives(one) == POLLIN);
    SHOW(ioctl(one, FIONREAD, &count));
    VALUE(count);
    SHOW(recv(one, block, sizeof block, 0));
}

CASE(several_at_once) {
    int one = bound(0), two = bound(0);
    struct sockaddr_in address = loopback(port_of(one));
    char in[3][10] = {{0}};
    struct iovec out[3] = {{"a", 1}, {"bb", 2}, {"ccc", 3}}, pieces[3] = {{in[0], 9}, {in[1], 9}, {in[2], 9}};
    struct mmsghdr messages[3], received[3];
    memset(messages, 0, sizeof messages);
    memset(received, 0, sizeof received);
    for (int index = 0; index < 3; index++) {
        messages[index].msg_hdr = (struct msghdr){.msg_name = &address, .msg_namelen = sizeof address, .msg_iov = out + index, .msg_iovlen = 1};
        received[index].msg_hdr = (struct msghdr){.msg_iov = pieces + index, .msg_iovlen = 1};
    }
    SHOW(sendmmsg(two, messages, 3, 0));
    IS(arrives(one) == POLLIN);
    sleep_ms(5);
    SHOW(recvmmsg(one, received, 3, MSG_DONTWAIT, NULL));
    printf("%s %s %s %u\n", in[0], in[1], in[2], received[2].msg_len);
}

CASE(groups) {
    int one = MUST(socket(AF_INET, SOCK_DGRAM, 0)), two = MUST(socket(AF_INET, SOCK_DGRAM, 0)), value = -1;
    socklen_t length = sizeof value;
    struct ip_mreq group = {.imr_multiaddr.s_addr = inet_addr("239.129.7.7"), .imr_interface.s_addr = htonl(INADDR_LOOPBACK)}, wrong = group;
    struct in_addr inside = {htonl(INADDR_LOOPBACK)};
    SHOW(getsockopt(one, IPPROTO_IP, IP_MULTICAST_TTL, &value, &length));
    VALUE(value);
    SHOW(getsockopt(one, IPPROTO_IP, IP_MULTICAST_LOOP, &value, &length));
    VALUE(value);
    wrong.imr_multiaddr.s_addr = inet_addr("10.1.1.1");
    SHOW(setsockopt(two, IPPROTO_IP, IP_ADD_MEMBERSHIP, &wrong, sizeof wrong));
    SHOW(setsockopt(two, IPPROTO_IP, IP_DROP_MEMBERSHIP, &group, sizeof group));
    SHOW(setsockopt(two, IPPROTO_IP, IP_ADD_MEMBERSHIP, &group, 4));
    SHOW(setsockopt(two, IPPROTO_IP, IP_ADD_MEMBERSHIP, &group, sizeof group));
    SHOW(setsockopt(two, IPPROTO_IP, IP_ADD_MEMBERSHIP, &group, sizeof group));
    struct sockaddr_in address = {.sin_family = AF_INET};
    MUST(bind(two, (struct sockaddr *)&address, sizeof address));
    address.sin_port = htons(port_of(two));
    address.sin_addr = group.imr_multiaddr;
    SHOW(setsockopt(one, IPPROTO_IP, IP_MULTICAST_IF, &inside, sizeof inside));
    SHOW(setsockopt(one, IPPROTO_IP, IP_MULTICAST_TTL, (int[]){256}, sizeof(int)));
    SHOW(setsockopt(one, IPPROTO_IP, IP_MULTICAST_TTL, (int[]){3}, sizeof(int)));
    SHOW(getsockopt(one, IPPROTO_IP, IP_MULTICAST_TTL, &value, &length));
    VALUE(value);
    SHOW(sendto(one, "group", 5, 0, (struct sockaddr *)&address, sizeof address));
    char text[9];
    IS(arrives(two) == POLLIN);
    SHOW(recv(two, text, sizeof text, 0));
    SHOW(setsockopt(one, IPPROTO_IP, IP_MULTICAST_LOOP, (int[]){0}, sizeof(int)));
    SHOW(sendto(one, "alone", 5, 0, (struct sockaddr *)&address, sizeof address));
    SHOW(recv(two, text, sizeof text, MSG_DONTWAIT));
    SHOW(setsockopt(two, IPPROTO_IP, IP_DROP_MEMBERSHIP, &group, sizeof group));
    SHOW(setsockopt(two, IPPROTO_IP, IP_DROP_MEMBERSHIP, &group, sizeof group));
}

CASE(options_and_errors) {
    int fd = MUST(socket(AF_INET, SOCK_DGRAM, 0)), on = 1, value;
    socklen_t length = sizeof value;
    SHOW(setsockopt(fd, SOL_SOCKET, SO_BROADCAST, &on, sizeof on));
    SHOW(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on));
    SHOW(getsockopt(fd, SOL_SOCKET, SO_TYPE, &value, &length));
    VALUE(value);
    SHOW(getsockopt(fd, SOL_SOCKET, SO_PROTOCOL, &value, &length));
    VALUE(value);
    SHOW(listen(fd, 5));
    SHOW(accept(fd, NULL, NULL));
    SHOW(shutdown(fd, SHUT_WR));
    struct sockaddr_in address = loopback(0);
    SHOW(sendto(fd, "x", 1, 0, (struct sockaddr *)&address, sizeof address));
    address.sin_family = AF_UNIX;
    SHOW(sendto(fd, "x", 1, 0, (struct sockaddr *)&address, sizeof address));
    SHOW(sendto(fd, "x", 1, 0, (struct sockaddr *)&address, 3));
    SHOW(sendto(fd, (char *)8, 1, 0, (struct sockaddr *)8, 16));
    int taken = bound(0);
    address = loopback(port_of(taken));
    SHOW(bind(bound(0), (struct sockaddr *)&address, sizeof address));
    SHOW(bind(MUST(socket(AF_INET, SOCK_DGRAM, 0)), (struct sockaddr *)&address, sizeof address));
    struct timeval limit = {0, 20000};
    char text[2];
    MUST(setsockopt(taken, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit));
    SHOW(recv(taken, text, 1, 0));
}

/* Sends from an address that is said beside the datagram. */
static ssize_t send_from(int fd, const char *source, int port) {
    struct sockaddr_in to = loopback(port);
    char control[CMSG_SPACE(sizeof(struct in_pktinfo))] = {0};
    struct iovec piece = {"x", 1};
    struct msghdr message = {.msg_name = &to, .msg_namelen = sizeof to, .msg_iov = &piece, .msg_iovlen = 1,
                             .msg_control = control, .msg_controllen = sizeof control};
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    *header = (struct cmsghdr){.cmsg_level = IPPROTO_IP, .cmsg_type = IP_PKTINFO, .cmsg_len = CMSG_LEN(sizeof(struct in_pktinfo))};
    struct in_pktinfo info = {0};
    inet_pton(AF_INET, source, &info.ipi_spec_dst);
    memcpy(CMSG_DATA(header), &info, sizeof info);
    return sendmsg(fd, &message, 0);
}

CASE(sent_from_an_address_that_is_said) {
    int one = bound(0), two = MUST(socket(AF_INET, SOCK_DGRAM, 0));
    const char *sources[] = {"127.0.0.5", "0.0.0.0", "192.0.2.1"};
    for (int each = 0; each < 3; each++) {
        struct sockaddr_in from = {0};
        socklen_t length = sizeof from;
        char byte;
        SHOW(send_from(two, sources[each], port_of(one)));
        SHOW(recvfrom(one, &byte, 1, MSG_DONTWAIT, (struct sockaddr *)&from, &length));
        printf("%s\n", inet_ntoa(from.sin_addr));
    }
}

static int member(int fd, int name, const char *interface, int index) {
    struct ip_mreqn request = {.imr_ifindex = index};
    inet_pton(AF_INET, "239.1.2.4", &request.imr_multiaddr);
    inet_pton(AF_INET, interface, &request.imr_address);
    return setsockopt(fd, IPPROTO_IP, name, &request, sizeof request);
}
static int member_of(int fd, int name, const char *group, int index) {
    struct group_req request = {.gr_interface = index};
    struct sockaddr_in address = {.sin_family = AF_INET};
    inet_pton(AF_INET, group, &address.sin_addr);
    memcpy(&request.gr_group, &address, sizeof address);
    return setsockopt(fd, IPPROTO_IP, name, &request, sizeof request);
}
static void show_interface(int fd) {
    struct in_addr address = {7};
    socklen_t length = sizeof address;
    SHOW(getsockopt(fd, IPPROTO_IP, IP_MULTICAST_IF, &address, &length));
    printf("%s, %d bytes\n", inet_ntoa(address), (int)length);
}

CASE(groups_by_interface) {
    int fd = MUST(socket(AF_INET, SOCK_DGRAM, 0));
    struct in_addr inside = {htonl(INADDR_LOOPBACK)}, nobodys = {htonl(0xc0000201)}, any = {0};
    SHOW(member(fd, IP_ADD_MEMBERSHIP, "192.0.2.1", 0));
    SHOW(member(fd, IP_ADD_MEMBERSHIP, "0.0.0.0", 77));
    SHOW(member(fd, IP_ADD_MEMBERSHIP, "127.0.0.1", 0));
    SHOW(member(fd, IP_ADD_MEMBERSHIP, "127.0.0.1", 0));
    SHOW(member(fd, IP_ADD_MEMBERSHIP, "0.0.0.0", 1));
    SHOW(member(fd, IP_DROP_MEMBERSHIP, "0.0.0.0", 1));
    SHOW(member(fd, IP_DROP_MEMBERSHIP, "0.0.0.0", 1));
    SHOW(member_of(fd, MCAST_JOIN_GROUP, "239.1.2.5", 1));
    SHOW(member_of(fd, MCAST_JOIN_GROUP, "239.1.2.5", 1));
    SHOW(member_of(fd, MCAST_LEAVE_GROUP, "239.1.2.5", 1));
    SHOW(member_of(fd, MCAST_JOIN_GROUP, "10.1.2.5", 1));
    SHOW(member_of(fd, MCAST_JOIN_GROUP, "239.1.2.5", 77));
    show_interface(fd);
    SHOW(setsockopt(fd, IPPROTO_IP, IP_MULTICAST_IF, &nobodys, sizeof nobodys));
    SHOW(setsockopt(fd, IPPROTO_IP, IP_MULTICAST_IF, &inside, sizeof inside));
    show_interface(fd);
    SHOW(setsockopt(fd, IPPROTO_IP, IP_MULTICAST_IF, &any, sizeof any));
    show_interface(fd);
}

CASE(connected_to_no_port) {
    int fd = MUST(socket(AF_INET, SOCK_DGRAM, 0));
    struct sockaddr_in to = loopback(0), own;
    socklen_t length = sizeof own;
    SHOW(connect(fd, (struct sockaddr *)&to, sizeof to));
    SHOW(getsockname(fd, (struct sockaddr *)&own, &length));
    printf("%s\n", inet_ntoa(own.sin_addr));
    SHOW(send_to(fd, "x", 1, 0));
}

CASE(how_much_time_was_left) {
    int one = bound(0);
    char byte;
    struct iovec piece = {&byte, 1};
    struct mmsghdr message = {.msg_hdr = {.msg_iov = &piece, .msg_iovlen = 1}};
    struct timespec time = {100, 0};
    MUST(send_to(one, "x", 1, port_of(one)));
    SHOW(recvmmsg(one, &message, 1, 0, &time));
    VALUE(time.tv_sec);
}

static int shut_late, shut_down_error;
static void *shuts_late(void *unused) {
    sleep_ms(20);
    shut_down_error = shutdown(shut_late, SHUT_RDWR) ? errno : 0;
    return unused;
}
static volatile int broken;
static void on_pipe(int signal) { broken = signal; }
static void show_events(int fd) {
    struct pollfd polled = {fd, POLLIN | POLLOUT | POLLRDHUP, 0};
    poll(&polled, 1, 0);
    printf("events %x\n", polled.revents);
}
CASE(shut_down) {
    int one = bound(0), two = bound(0);
    struct sockaddr_in to = loopback(port_of(two));
    pthread_t thread;
    char byte;
    signal(SIGPIPE, on_pipe);
    shut_late = one;
    pthread_create(&thread, NULL, shuts_late, NULL);
    SHOW(recv(one, &byte, 1, 0));
    pthread_join(thread, NULL);
    printf("%s\n", error_name(shut_down_error));
    show_events(one);
    one = bound(0);
    MUST(connect(one, (struct sockaddr *)&to, sizeof to));
    SHOW(shutdown(one, SHUT_WR));
    show_events(one);
    SHOW(send(one, "x", 1, 0));
    SHOW(write(one, "x", 1));
    SHOW(shutdown(one, SHUT_RD));
    show_events(one);
    SHOW(recv(one, &byte, 1, 0));
    VALUE(broken);
}

CASE(into_pieces_that_nobody_touched) {
    int one = bound(0);
    static char sent[1000];
    char small[4], *fresh = pages(3);
    struct iovec pieces[3] = {{small, 4}, {fresh + 4000, 200}, {fresh + 8000, 4000}};
    memset(sent, 'x', sizeof sent);
    MUST(send_to(one, sent, 1000, port_of(one)));
    MUST(send_to(one, "!", 1, port_of(one)));
    SHOW(readv(one, pieces, 3));
    IS(memcmp(fresh + 4000, sent, 200) == 0 && memcmp(fresh + 8000, sent, 796) == 0);
    SHOW(recv(one, small, 4, 0));
}
