/* TCP over loopback: connections, their ends, options and errors. */
#include "cases.h"
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
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
    if (getsockname(fd, (struct sockaddr *)&address, &length)) printf("getsockname: %s\n", error_name(errno));
    return ntohs(address.sin_port);
}
static int listener_on(int flags) {
    struct sockaddr_in address = loopback(0);
    int fd = MUST(socket(AF_INET, SOCK_STREAM | flags, 0));
    MUST(bind(fd, (struct sockaddr *)&address, sizeof address));
    MUST(listen(fd, 10));
    return fd;
}
static int connect_to(int fd, int port) {
    struct sockaddr_in address = loopback(port);
    return connect(fd, (struct sockaddr *)&address, sizeof address);
}
static void pair(int *client, int *server) {
    int listener = listener_on(0);
    *client = MUST(socket(AF_INET, SOCK_STREAM, 0));
    MUST(connect_to(*client, port_of(listener)));
    *server = MUST(accept(listener, NULL, NULL));
    close(listener);
}
/* Waits for events, and tells them. */
static void show_poll(const char *what, int fd, int events, int timeout) {
    struct pollfd polled = {fd, events, 0};
    int ready = poll(&polled, 1, timeout);
    printf("%s: %d %x\n", what, ready, polled.revents);
}
static int option(int fd, int level, int name) {
    int value = -77;
    socklen_t length = sizeof value;
    if (getsockopt(fd, level, name, &value, &length)) printf("option %d: %s\n", name, error_name(errno));
    return value;
}

CASE(there_and_back) {
    int client, server;
    char text[20] = {0};
    pair(&client, &server);
    SHOW(send(client, "hello", 5, 0));
    SHOW(recv(server, text, 3, MSG_PEEK));
    SHOW(recv(server, text, 5, MSG_WAITALL));
    printf("%s\n", text);
    SHOW(write(server, "answer", 6));
    SHOW(recv(client, text, 6, MSG_WAITALL));
    printf("%s\n", text);
    SHOW(recv(client, text, 20, MSG_DONTWAIT));
    SHOW(lseek(client, 0, SEEK_SET));
    SHOW(pread(client, text, 1, 0));
}

CASE(names_of_both_ends) {
    int listener = listener_on(0), client = MUST(socket(AF_INET, SOCK_STREAM, 0));
    struct sockaddr_in one, other;
    socklen_t length = sizeof one;
    SHOW(getpeername(client, (struct sockaddr *)&one, &length));
    SHOW(getsockname(client, (struct sockaddr *)&one, &length));
    printf("%s %d\n", inet_ntoa(one.sin_addr), one.sin_port);
    MUST(connect_to(client, port_of(listener)));
    length = sizeof other;
    int server = MUST(accept(listener, (struct sockaddr *)&other, &length));
    printf("%s, %d bytes\n", inet_ntoa(other.sin_addr), (int)length);
    IS(ntohs(other.sin_port) == port_of(client));
    MUST(getpeername(client, (struct sockaddr *)&other, &length));
    IS(ntohs(other.sin_port) == port_of(listener));
    IS(port_of(server) == port_of(listener));
    length = 4;
    memset(&other, 7, sizeof other);
    SHOW(getpeername(server, (struct sockaddr *)&other, &length));
    printf("%d %d\n", (int)length, ((char *)&other)[4]);
    SHOW(getpeername(server, (struct sockaddr *)8, &length));
}

CASE(no_more_from_one_side) {
    int client, server;
    char text[10];
    pair(&client, &server);
    MUST(send(client, "last", 4, 0));
    SHOW(shutdown(client, SHUT_WR));
    SHOW(recv(server, text, 10, MSG_WAITALL));
    SHOW(recv(server, text, 10, 0));
    show_poll("half", server, POLLIN | POLLOUT | POLLRDHUP, 0);
    SHOW(send(server, "still", 5, 0));
    SHOW(recv(client, text, 5, MSG_WAITALL));
    SHOW(send(client, "x", 1, MSG_NOSIGNAL));
    SHOW(shutdown(client, SHUT_WR));
    SHOW(shutdown(server, SHUT_RD));
    SHOW(recv(server, text, 1, 0));
    close(server);
    show_poll("closed", client, POLLIN, 5000);
    SHOW(recv(client, text, 1, 0));
    SHOW(shutdown(client, SHUT_RDWR));
}

static volatile int broken;
static void on_pipe(int signal) { broken = signal; }
CASE(written_to_nobody) {
    int client, server;
    pair(&client, &server);
    signal(SIGPIPE, on_pipe);
    close(server);
    show_poll("closed", client, POLLIN | POLLRDHUP, 5000);
    SHOW(send(client, "x", 1, 0));
    show_poll("answered", client, POLLERR, 5000);
    SHOW(option(client, SOL_SOCKET, SO_ERROR));
    SHOW(send(client, "x", 1, 0));
    IS(broken == SIGPIPE);
    broken = 0;
    SHOW(send(client, "x", 1, MSG_NOSIGNAL));
    VALUE(broken);
}

CASE(closed_with_data_unread) {
    int client, server;
    char text[10];
    pair(&client, &server);
    MUST(send(client, "unread", 6, 0));
    show_poll("arrived", server, POLLIN, 5000);
    close(server);
    show_poll("reset", client, POLLIN, 5000);
    SHOW(recv(client, text, 10, 0));
    SHOW(recv(client, text, 10, 0));
}

CASE(closed_at_once) {
    int client, server;
    char text[10];
    struct linger linger = {1, 0};
    pair(&client, &server);
    SHOW(setsockopt(server, SOL_SOCKET, SO_LINGER, &linger, sizeof linger));
    close(server);
    show_poll("reset", client, POLLIN | POLLOUT | POLLRDHUP, 5000);
    SHOW(option(client, SOL_SOCKET, SO_ERROR) == ECONNRESET);
    SHOW(recv(client, text, 10, 0));
}

CASE(refused) {
    int listener = listener_on(0), port = port_of(listener), client = MUST(socket(AF_INET, SOCK_STREAM, 0));
    close(listener);
    SHOW(connect_to(client, port));
    client = MUST(socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0));
    int failed = connect_to(client, port) == -1 ? errno : 0;
    IS(failed == ECONNREFUSED || failed == EINPROGRESS);
    if (failed == EINPROGRESS) {
        struct pollfd polled = {client, POLLOUT, 0};
        poll(&polled, 1, 5000);
        failed = option(client, SOL_SOCKET, SO_ERROR);
    }
    IS(failed == ECONNREFUSED);
}

CASE(without_waiting) {
    int listener = listener_on(SOCK_NONBLOCK), client = MUST(socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0));
    char text[10];
    SHOW(accept(listener, NULL, NULL));
    int failed = connect_to(client, port_of(listener)) == -1 ? errno : 0;
    IS(failed == 0 || failed == EINPROGRESS);
    show_poll("connected", client, POLLOUT, 5000);
    SHOW(option(client, SOL_SOCKET, SO_ERROR));
    SHOW(connect_to(client, port_of(listener)) == 0 || errno == EISCONN);
    SHOW(recv(client, text, 10, 0));
    show_poll("listener", listener, POLLIN, 5000);
    int server = MUST(accept4(listener, NULL, NULL, SOCK_CLOEXEC));
    printf("%o %d\n", fcntl(server, F_GETFL), fcntl(server, F_GETFD));
    SHOW(accept(listener, NULL, NULL));
}

CASE(options) {
    int fd = MUST(socket(AF_INET, SOCK_STREAM, 0)), on = 1;
    VALUE(option(fd, SOL_SOCKET, SO_TYPE));
    VALUE(option(fd, SOL_SOCKET, SO_DOMAIN));
    VALUE(option(fd, SOL_SOCKET, SO_PROTOCOL));
    VALUE(option(fd, SOL_SOCKET, SO_ACCEPTCONN));
    VALUE(option(fd, SOL_SOCKET, SO_REUSEADDR));
    VALUE(option(fd, SOL_SOCKET, SO_KEEPALIVE));
    VALUE(option(fd, SOL_SOCKET, SO_ERROR));
    VALUE(option(fd, SOL_SOCKET, SO_BROADCAST));
    VALUE(option(fd, IPPROTO_TCP, TCP_NODELAY));
    IS(option(fd, SOL_SOCKET, SO_RCVBUF) > 1000);
    IS(option(fd, SOL_SOCKET, SO_SNDBUF) > 1000);
    SHOW(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on));
    SHOW(setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on));
    SHOW(setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on));
    SHOW(setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on));
    SHOW(setsockopt(fd, IPPROTO_TCP, TCP_CORK, &on, sizeof on));
    SHOW(setsockopt(fd, IPPROTO_TCP, TCP_DEFER_ACCEPT, &on, sizeof on));
    SHOW(setsockopt(fd, IPPROTO_TCP, TCP_QUICKACK, &on, sizeof on));
    SHOW(setsockopt(fd, IPPROTO_TCP, TCP_FASTOPEN, &on, sizeof on));
    VALUE(option(fd, SOL_SOCKET, SO_REUSEADDR));
    VALUE(option(fd, SOL_SOCKET, SO_REUSEPORT));
    VALUE(option(fd, SOL_SOCKET, SO_KEEPALIVE));
    VALUE(option(fd, IPPROTO_TCP, TCP_NODELAY));
    int seconds = 30;
    SHOW(setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &seconds, sizeof seconds));
    SHOW(setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &seconds, sizeof seconds));
    SHOW(setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &seconds, sizeof seconds));
    SHOW(setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &seconds, sizeof seconds));
    VALUE(option(fd, IPPROTO_TCP, TCP_KEEPIDLE));
    VALUE(option(fd, IPPROTO_TCP, TCP_KEEPCNT));
    int zero = 0;
    SHOW(setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &zero, sizeof zero));
    SHOW(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, 2));
    SHOW(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, (int *)8, sizeof on));
    SHOW(setsockopt(fd, 255, 1, &on, sizeof on));
    SHOW(setsockopt(fd, IPPROTO_TCP, 999, &on, sizeof on));
    struct linger linger = {1, 5}, told;
    socklen_t length = sizeof told;
    SHOW(setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof linger));
    SHOW(getsockopt(fd, SOL_SOCKET, SO_LINGER, &told, &length));
    printf("%d %d\n", told.l_onoff, told.l_linger);
    int buffer = 20000;
    SHOW(setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &buffer, sizeof buffer));
    IS(option(fd, SOL_SOCKET, SO_RCVBUF) >= 20000);
    short few;
    length = sizeof few;
    SHOW(getsockopt(fd, SOL_SOCKET, SO_TYPE, &few, &length));
    VALUE(length);
    length = -1;
    SHOW(getsockopt(fd, SOL_SOCKET, SO_TYPE, &few, &length));
}

CASE(addresses_in_use) {
    int one = listener_on(0), other = MUST(socket(AF_INET, SOCK_STREAM, 0)), on = 1;
    struct sockaddr_in address = loopback(port_of(one));
    SHOW(bind(other, (struct sockaddr *)&address, sizeof address));
    SHOW(setsockopt(other, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on));
    SHOW(bind(other, (struct sockaddr *)&address, sizeof address));
    address.sin_port = 0;
    SHOW(bind(other, (struct sockaddr *)&address, sizeof address));
    SHOW(bind(other, (struct sockaddr *)&address, sizeof address));
    IS(port_of(other) > 0);
    inet_aton("192.0.2.1", &address.sin_addr);
    SHOW(bind(MUST(socket(AF_INET, SOCK_STREAM, 0)), (struct sockaddr *)&address, sizeof address));
    address.sin_family = AF_UNIX;
    SHOW(bind(MUST(socket(AF_INET, SOCK_STREAM, 0)), (struct sockaddr *)&address, sizeof address));
    address.sin_family = AF_INET;
    SHOW(bind(MUST(socket(AF_INET, SOCK_STREAM, 0)), (struct sockaddr *)&address, 8));
}

CASE(shared_ports) {
    int on = 1, fds[2];
    struct sockaddr_in address = loopback(0);
    for (int index = 0; index < 2; index++) {
        fds[index] = MUST(socket(AF_INET, SOCK_STREAM, 0));
        MUST(setsockopt(fds[index], SOL_SOCKET, SO_REUSEPORT, &on, sizeof on));
        SHOW(bind(fds[index], (struct sockaddr *)&address, sizeof address));
        SHOW(listen(fds[index], 5));
        address = loopback(port_of(fds[0]));
    }
    int client = MUST(socket(AF_INET, SOCK_STREAM, 0));
    SHOW(connect_to(client, port_of(fds[0])));
    struct pollfd polled[2] = {{fds[0], POLLIN, 0}, {fds[1], POLLIN, 0}};
    SHOW(poll(polled, 2, 5000));
}

CASE(bound_again_after_a_connection) {
    int listener = MUST(socket(AF_INET, SOCK_STREAM, 0)), client = MUST(socket(AF_INET, SOCK_STREAM, 0)), on = 1;
    struct sockaddr_in address = loopback(0);
    char text[2];
    MUST(setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on));
    MUST(bind(listener, (struct sockaddr *)&address, sizeof address));
    MUST(listen(listener, 5));
    int port = port_of(listener);
    MUST(connect_to(client, port));
    int server = MUST(accept(listener, NULL, NULL));
    close(listener);
    close(server);
    SHOW(recv(client, text, 1, 0));
    close(client);
    address = loopback(port);
    listener = MUST(socket(AF_INET, SOCK_STREAM, 0));
    MUST(setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on));
    SHOW(bind(listener, (struct sockaddr *)&address, sizeof address));
    SHOW(listen(listener, 5));
}

CASE(wrong_order) {
    int fd = MUST(socket(AF_INET, SOCK_STREAM, 0)), client, server;
    char text[2];
    SHOW(recv(fd, text, 1, 0));
    SHOW(send(fd, text, 1, MSG_NOSIGNAL));
    SHOW(accept(fd, NULL, NULL));
    SHOW(shutdown(fd, SHUT_RDWR));
    SHOW(listen(fd, 5));
    IS(port_of(fd) > 0);
    SHOW(listen(fd, 7));
    SHOW(connect_to(fd, 1));
    SHOW(send(fd, text, 1, MSG_NOSIGNAL));
    SHOW(recv(fd, text, 1, 0));
    pair(&client, &server);
    SHOW(connect_to(client, port_of(fd)));
    SHOW(listen(client, 5));
    SHOW(accept(client, NULL, NULL));
    SHOW(shutdown(client, 7));
    SHOW(syscall(SYS_accept4, fd, NULL, NULL, 0x123));
    struct sockaddr_in address = loopback(1);
    SHOW(connect(MUST(socket(AF_INET, SOCK_STREAM, 0)), (struct sockaddr *)&address, 3));
    address.sin_family = 77;
    SHOW(connect(MUST(socket(AF_INET, SOCK_STREAM, 0)), (struct sockaddr *)&address, sizeof address));
    SHOW(socket(AF_INET, SOCK_STREAM, 99));
    SHOW(socket(AF_INET, SOCK_STREAM, IPPROTO_UDP));
    SHOW(socket(AF_INET, SOCK_SEQPACKET, 0));
}

CASE(a_listener_that_closes) {
    int listener = listener_on(0), client = MUST(socket(AF_INET, SOCK_STREAM, 0));
    char text[2];
    MUST(connect_to(client, port_of(listener)));
    SHOW(send(client, "x", 1, 0));
    close(listener);
    show_poll("reset", client, POLLIN, 5000);
    SHOW(recv(client, text, 1, 0));
}

CASE(large_amounts) {
    static char block[300000];
    int client, server;
    pair(&client, &server);
    for (size_t at = 0; at < sizeof block; at++) block[at] = at * 7 % 251;
    fcntl(client, F_SETFL, O_NONBLOCK);
    size_t sent = 0, received = 0;
    unsigned long sum = 0;
    static char in[50000];
    while (received < sizeof block) {
        if (sent < sizeof block) {
            ssize_t count = send(client, block + sent, sizeof block - sent, 0);
            if (count > 0) sent += count;
            else if (errno != EAGAIN) { printf("send: %s\n", error_name(errno)); return; }
        }
        struct pollfd polled = {server, POLLIN, 0};
        if (poll(&polled, 1, 5000) != 1) { printf("nothing comes after %zu of %zu\n", received, sent); return; }
        ssize_t count = recv(server, in, sizeof in, 0);
        for (ssize_t at = 0; at < count; at++) sum = sum * 31 + (unsigned char)in[at];
        received += count > 0 ? count : 0;
    }
    printf("%lx\n", sum);
}

CASE(messages) {
    int client, server;
    char one[4] = {0}, two[10] = {0};
    struct iovec out[2] = {{"abc", 3}, {"defgh", 5}}, in[2] = {{one, 3}, {two, 9}};
    struct msghdr message = {.msg_iov = out, .msg_iovlen = 2};
    pair(&client, &server);
    SHOW(sendmsg(client, &message, MSG_NOSIGNAL));
    struct sockaddr_in from;
    message = (struct msghdr){.msg_name = &from, .msg_namelen = sizeof from, .msg_iov = in, .msg_iovlen = 2};
    show_poll("arrived", server, POLLIN, 5000);
    SHOW(recvmsg(server, &message, 0));
    printf("%s %s, %d bytes of name, flags %x\n", one, two, message.msg_namelen, message.msg_flags);
    struct sockaddr_in elsewhere = loopback(1);
    SHOW(sendto(client, "x", 1, 0, (struct sockaddr *)&elsewhere, sizeof elsewhere));
    message.msg_iovlen = 2000;
    SHOW(syscall(SYS_sendmsg, client, &message, 0));
    SHOW(syscall(SYS_sendmsg, client, 8, 0));
    struct mmsghdr several[2] = {{.msg_hdr = {.msg_iov = out, .msg_iovlen = 1}}, {.msg_hdr = {.msg_iov = out + 1, .msg_iovlen = 1}}};
    SHOW(sendmmsg(client, several, 2, 0));
    printf("%u %u\n", several[0].msg_len, several[1].msg_len);
}

CASE(counted_bytes) {
    int client, server, count = -1;
    char text[10];
    pair(&client, &server);
    MUST(send(client, "12345", 5, 0));
    show_poll("arrived", server, POLLIN, 5000);
    SHOW(ioctl(server, FIONREAD, &count));
    VALUE(count);
    int on = 1;
    SHOW(ioctl(server, FIONBIO, &on));
    SHOW(recv(server, text, 10, 0));
    SHOW(recv(server, text, 10, 0));
}

CASE(waiting_has_an_end) {
    int client, server, listener = listener_on(0);
    char text[2];
    struct timeval limit = {0, 20000};
    pair(&client, &server);
    MUST(setsockopt(server, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit));
    MUST(setsockopt(listener, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit));
    SHOW(recv(server, text, 1, 0));
    SHOW(accept(listener, NULL, NULL));
}

static int served;
static void *answers(void *unused) {
    char text[10];
    int server = accept(served, NULL, NULL);
    ssize_t count = recv(server, text, 10, 0);
    sleep_ms(20);
    send(server, text, count, 0);
    close(server);
    return unused;
}
CASE(a_server_in_a_thread) {
    pthread_t thread;
    char text[10] = {0};
    served = listener_on(0);
    pthread_create(&thread, NULL, answers, NULL);
    int client = MUST(socket(AF_INET, SOCK_STREAM, 0));
    MUST(connect_to(client, port_of(served)));
    MUST(send(client, "echo", 4, 0));
    SHOW(recv(client, text, 10, 0));
    printf("%s\n", text);
    SHOW(recv(client, text, 10, 0));
    pthread_join(thread, NULL);
}

static void on_signal(int signal) { (void)signal; }
CASE(interrupted) {
    int client, server;
    char text[2];
    struct sigaction action = {.sa_handler = on_signal};
    pair(&client, &server);
    sigaction(SIGALRM, &action, NULL);
    struct itimerspec time = {{0, 0}, {0, 20000000}};
    struct sigevent how = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGALRM};
    timer_t timer;
    MUST(timer_create(CLOCK_MONOTONIC, &how, &timer));
    MUST(timer_settime(timer, 0, &time, NULL));
    SHOW(recv(server, text, 1, 0));
    timer_delete(timer);
}

CASE(a_wildcard) {
    struct sockaddr_in address = {.sin_family = AF_INET};
    int listener = MUST(socket(AF_INET, SOCK_STREAM, 0)), client = MUST(socket(AF_INET, SOCK_STREAM, 0));
    MUST(bind(listener, (struct sockaddr *)&address, sizeof address));
    MUST(listen(listener, 5));
    SHOW(connect_to(client, port_of(listener)));
    int server = MUST(accept(listener, NULL, NULL));
    socklen_t length = sizeof address;
    MUST(getsockname(server, (struct sockaddr *)&address, &length));
    printf("%s\n", inet_ntoa(address.sin_addr));
    MUST(getsockname(listener, (struct sockaddr *)&address, &length));
    printf("%s\n", inet_ntoa(address.sin_addr));
    client = MUST(socket(AF_INET, SOCK_STREAM, 0));
    address = loopback(port_of(listener));
    address.sin_addr.s_addr = htonl(INADDR_ANY);
    SHOW(connect(client, (struct sockaddr *)&address, sizeof address));
    client = MUST(socket(AF_INET, SOCK_STREAM, 0));
    inet_aton("127.9.8.7", &address.sin_addr);
    SHOW(connect(client, (struct sockaddr *)&address, sizeof address));
}

CASE(many_connections) {
    int listener = listener_on(0), clients[100], servers[100], echoed = 0;
    for (int index = 0; index < 100; index++) {
        clients[index] = MUST(socket(AF_INET, SOCK_STREAM, 0));
        MUST(connect_to(clients[index], port_of(listener)));
        servers[index] = MUST(accept(listener, NULL, NULL));
    }
    for (int index = 0; index < 100; index++) {
        char sent = index, received = -1;
        MUST(send(clients[index], &sent, 1, 0));
        MUST(recv(servers[index], &received, 1, 0));
        echoed += sent == received;
    }
    VALUE(echoed);
    for (int index = 0; index < 100; index++) {
        close(clients[index]);
        close(servers[index]);
    }
}

CASE(looked_at_as_a_whole) {
    static char sent[20000], seen[30000];
    int client, server, there = 0;
    pair(&client, &server);
    for (size_t at = 0; at < sizeof sent; at++) sent[at] = at * 7 / 5;
    SHOW(send(client, sent, sizeof sent, 0));
    while (there < (int)sizeof sent) {
        struct pollfd polled = {server, POLLIN, 0};
        MUST(poll(&polled, 1, 10));
        MUST(ioctl(server, FIONREAD, &there));
    }
    SHOW(recv(server, seen, 5000, MSG_PEEK));
    SHOW(recv(server, (char *)8, 5000, MSG_PEEK));
    SHOW(recv(server, seen, sizeof seen, MSG_PEEK));
    IS(memcmp(seen, sent, sizeof sent) == 0);
    SHOW(recv(server, seen, 15000, MSG_WAITALL));
    memset(seen, 0, sizeof seen);
    SHOW(recv(server, seen, sizeof seen, MSG_PEEK));
    IS(memcmp(seen, sent + 15000, 5000) == 0);
    SHOW(recv(server, seen, sizeof seen, 0));
    SHOW(recv(server, seen, sizeof seen, MSG_PEEK | MSG_DONTWAIT));
}

static int sends_late;
static void *sends_the_rest(void *text) {
    sleep_ms(20);
    MUST(send(sends_late, text, strlen(text), 0));
    return NULL;
}
CASE(seen_once_all_is_there) {
    int client, server;
    char text[10] = {0};
    pthread_t thread;
    struct timeval short_time = {0, 20000}, none = {0, 0};
    pair(&client, &server);
    MUST(send(client, "ab", 2, 0));
    sends_late = client;
    pthread_create(&thread, NULL, sends_the_rest, "cdef");
    SHOW(recv(server, text, 6, MSG_PEEK | MSG_WAITALL));
    printf("%s\n", text);
    pthread_join(thread, NULL);
    SHOW(recv(server, text, 9, 0));
    MUST(send(client, "gh", 2, 0));
    show_poll("arrived", server, POLLIN, 5000);
    SHOW(recv(server, text, 6, MSG_PEEK | MSG_WAITALL | MSG_DONTWAIT));
    MUST(setsockopt(server, SOL_SOCKET, SO_RCVTIMEO, &short_time, sizeof short_time));
    SHOW(recv(server, text, 6, MSG_PEEK | MSG_WAITALL));
    MUST(setsockopt(server, SOL_SOCKET, SO_RCVTIMEO, &none, sizeof none));
    shutdown(client, SHUT_WR);
    SHOW(recv(server, text, 6, MSG_PEEK | MSG_WAITALL));
    SHOW(recv(server, text, 6, MSG_WAITALL));
    SHOW(recv(server, text, 6, MSG_PEEK | MSG_WAITALL));
}

CASE(from_memory_that_nobody_touched) {
    int client, server, fd = file_with("f", "");
    static char all[3 * PAGE];
    pair(&client, &server);
    fcntl(client, F_SETFL, O_NONBLOCK);
    SHOW(write(client, pages(2000), 2000 * PAGE) > 0);
    pair(&client, &server);
    SHOW(write(client, pages(3), 3 * PAGE));
    SHOW(recv(server, all, sizeof all, MSG_WAITALL));
    MUST(ftruncate(fd, 2 * PAGE));
    MUST(pwrite(fd, "end", 3, 2 * PAGE - 3));
    char *file = mmap(NULL, 2 * PAGE, PROT_READ, MAP_SHARED, fd, 0);
    SHOW(write(client, file, 2 * PAGE));
    SHOW(recv(server, all, 2 * PAGE, MSG_WAITALL));
    printf("%.3s\n", all + 2 * PAGE - 3);
    SHOW(write(client, (char *)8, 10));
}

CASE(a_peer_that_is_gone_has_no_name) {
    int listener = listener_on(0), port = port_of(listener), client = MUST(socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0));
    struct sockaddr_in name;
    socklen_t length = sizeof name;
    close(listener);
    connect_to(client, port);
    show_poll("refused", client, POLLIN, 5000);
    SHOW(getpeername(client, (struct sockaddr *)&name, &length));
    struct linger linger = {1, 0};
    int one, other;
    pair(&one, &other);
    MUST(setsockopt(one, SOL_SOCKET, SO_LINGER, &linger, sizeof linger));
    close(one);
    show_poll("reset", other, POLLIN, 5000);
    SHOW(getpeername(other, (struct sockaddr *)&name, &length));
    SHOW(connect_to(MUST(socket(AF_INET, SOCK_STREAM, 0)), 0));
}

CASE(closing_waits_until_all_has_arrived) {
    int client, server;
    static char all[8000];
    struct linger linger = {1, 100};
    pair(&client, &server);
    MUST(setsockopt(client, SOL_SOCKET, SO_LINGER, &linger, sizeof linger));
    MUST(send(client, all, sizeof all, 0));
    long start = now_ms();
    SHOW(close(client));
    IS(now_ms() - start < 50000);
    SHOW(recv(server, all, sizeof all, MSG_WAITALL));
    SHOW(recv(server, all, 1, 0));
}
