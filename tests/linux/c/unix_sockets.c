/* Sockets of one machine: pairs, names, datagrams, packets, and descriptors that are sent along. */
#include "cases.h"
#include <poll.h>
#include <pthread.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/sysinfo.h>
#include <sys/un.h>

static socklen_t address_of(struct sockaddr_un *address, const char *path) {
    memset(address, 0, sizeof *address);
    address->sun_family = AF_UNIX;
    if (path[0] == '@') { /* no file */
        memcpy(address->sun_path + 1, path + 1, strlen(path) - 1);
        return offsetof(struct sockaddr_un, sun_path) + strlen(path);
    }
    strcpy(address->sun_path, path);
    return offsetof(struct sockaddr_un, sun_path) + strlen(path) + 1;
}
static int bind_to(int fd, const char *path) {
    struct sockaddr_un address;
    socklen_t length = address_of(&address, path);
    return bind(fd, (struct sockaddr *)&address, length);
}
static int connect_to(int fd, const char *path) {
    struct sockaddr_un address;
    socklen_t length = address_of(&address, path);
    return connect(fd, (struct sockaddr *)&address, length);
}
static void show_name(const char *what, int fd, int (*of)(int, struct sockaddr *, socklen_t *)) {
    struct sockaddr_un address = {0};
    socklen_t length = sizeof address;
    if (of(fd, (struct sockaddr *)&address, &length)) { printf("%s: %s\n", what, error_name(errno)); return; }
    printf("%s: family %d, %d bytes, %s\n", what, address.sun_family, (int)length,
           length > 2 ? address.sun_path[0] ? address.sun_path : address.sun_path + 1 : "no name");
}
static void show_poll(const char *what, int fd) {
    struct pollfd polled = {fd, POLLIN | POLLOUT | POLLRDHUP, 0};
    int ready = poll(&polled, 1, 0);
    printf("%s: %d %x\n", what, ready, polled.revents);
}

CASE(a_stream_pair) {
    int ends[2];
    char text[20] = {0};
    SHOW(socketpair(AF_UNIX, SOCK_STREAM, 0, ends));
    SHOW(write(ends[0], "hello", 5));
    SHOW(send(ends[0], " you", 4, 0));
    SHOW(recv(ends[1], text, 3, MSG_PEEK));
    SHOW(read(ends[1], text, 20));
    printf("%s\n", text);
    SHOW(recv(ends[1], text, 20, MSG_DONTWAIT));
    SHOW(shutdown(ends[0], SHUT_WR));
    SHOW(read(ends[1], text, 20));
    signal(SIGPIPE, SIG_IGN);
    SHOW(write(ends[0], "x", 1));
    SHOW(write(ends[1], "back", 4));
    SHOW(read(ends[0], text, 20));
    close(ends[0]);
    SHOW(write(ends[1], "x", 1));
    SHOW(send(ends[1], "x", 1, MSG_NOSIGNAL));
    show_poll("alone", ends[1]);
    show_name("ours", ends[1], getsockname);
    show_name("theirs", ends[1], getpeername);
    SHOW(lseek(ends[1], 0, SEEK_SET));
}

CASE(unread_data_resets) {
    int ends[2];
    char text[2];
    MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, ends));
    MUST(write(ends[0], "x", 1));
    close(ends[1]);
    SHOW(read(ends[0], text, 1));
    SHOW(read(ends[0], text, 1));
}

CASE(datagrams_and_packets) {
    int kinds[] = {SOCK_DGRAM, SOCK_SEQPACKET};
    for (int index = 0; index < 2; index++) {
        int ends[2];
        char text[20] = {0};
        MUST(socketpair(AF_UNIX, kinds[index] | SOCK_NONBLOCK, 0, ends));
        SHOW(send(ends[0], "first", 5, 0));
        SHOW(send(ends[0], "", 0, 0));
        SHOW(send(ends[0], "second", 6, 0));
        SHOW(recv(ends[1], text, 3, 0));
        SHOW(recv(ends[1], text, 20, 0));
        SHOW(recv(ends[1], text, 3, MSG_TRUNC | MSG_PEEK));
        SHOW(recv(ends[1], text, 20, 0));
        SHOW(recv(ends[1], text, 20, 0));
        struct iovec piece = {text, 2};
        struct msghdr message = {.msg_iov = &piece, .msg_iovlen = 1};
        MUST(send(ends[0], "long", 4, 0));
        SHOW(recvmsg(ends[1], &message, 0));
        SHOW(message.msg_flags & MSG_TRUNC);
        close(ends[0]);
        SHOW(recv(ends[1], text, 20, 0));
        SHOW(send(ends[1], "x", 1, MSG_NOSIGNAL));
        show_poll("alone", ends[1]);
    }
}

CASE(by_name) {
    char text[20] = {0};
    int listener = MUST(socket(AF_UNIX, SOCK_STREAM, 0)), client = MUST(socket(AF_UNIX, SOCK_STREAM, 0));
    SHOW(connect_to(client, "socket"));
    SHOW(bind_to(listener, "socket"));
    struct stat status;
    MUST(stat("socket", &status));
    printf("%o\n", status.st_mode);
    SHOW(connect_to(client, "socket"));
    SHOW(listen(listener, 1));
    show_name("listener", listener, getsockname);
    SHOW(connect_to(client, "socket"));
    show_poll("listener", listener);
    SHOW(write(client, "early", 5));
    struct sockaddr_un address;
    socklen_t length = sizeof address;
    int server = accept4(listener, (struct sockaddr *)&address, &length, SOCK_CLOEXEC);
    VALUE(length);
    SHOW(fcntl(server, F_GETFD));
    SHOW(read(server, text, 20));
    show_name("server", server, getsockname);
    show_name("peer of client", client, getpeername);
    SHOW(connect_to(client, "socket"));
    SHOW(open("socket", O_RDONLY));
    int other = MUST(socket(AF_UNIX, SOCK_STREAM, 0));
    SHOW(bind_to(other, "socket"));
    SHOW(bind_to(listener, "again"));
    close(listener);
    SHOW(connect_to(other, "socket"));
    SHOW(unlink("socket"));
    SHOW(connect_to(other, "socket"));
    SHOW(write(server, "still", 5));
    SHOW(read(client, text, 20));
}

CASE(without_a_file) {
    char text[20];
    int listener = MUST(socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0)), client = MUST(socket(AF_UNIX, SOCK_STREAM, 0));
    SHOW(bind_to(listener, "@toro-test-abstract"));
    show_name("listener", listener, getsockname);
    SHOW(accept(listener, NULL, NULL));
    SHOW(listen(listener, 5));
    SHOW(accept(listener, NULL, NULL));
    int other = MUST(socket(AF_UNIX, SOCK_STREAM, 0));
    SHOW(bind_to(other, "@toro-test-abstract"));
    SHOW(connect_to(client, "@toro-test-abstract"));
    int server = MUST(accept(listener, NULL, NULL));
    SHOW(fcntl(server, F_GETFL) & O_NONBLOCK);
    SHOW(write(client, "x", 1));
    SHOW(read(server, text, 20));
    close(listener);
    SHOW(bind_to(other, "@toro-test-abstract"));
    int chosen = MUST(socket(AF_UNIX, SOCK_DGRAM, 0));
    sa_family_t family = AF_UNIX;
    SHOW(bind(chosen, (struct sockaddr *)&family, sizeof family));
    struct sockaddr_un address;
    socklen_t length = sizeof address;
    MUST(getsockname(chosen, (struct sockaddr *)&address, &length));
    VALUE(length);
}

CASE(datagrams_by_name) {
    char text[20] = {0};
    int one = MUST(socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0)), two = MUST(socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0));
    MUST(bind_to(one, "one"));
    struct sockaddr_un address;
    socklen_t length = address_of(&address, "one");
    SHOW(sendto(two, "anonymous", 9, 0, (struct sockaddr *)&address, length));
    MUST(bind_to(two, "two"));
    SHOW(sendto(two, "named", 5, 0, (struct sockaddr *)&address, length));
    struct sockaddr_un from;
    length = sizeof from;
    SHOW(recvfrom(one, text, 20, 0, (struct sockaddr *)&from, &length));
    VALUE(length);
    length = sizeof from;
    SHOW(recvfrom(one, text, 20, 0, (struct sockaddr *)&from, &length));
    printf("%s\n", from.sun_path);
    SHOW(sendto(one, "back", 4, 0, (struct sockaddr *)&from, length));
    SHOW(recv(two, text, 20, 0));
    SHOW(send(one, "x", 1, 0));
    SHOW(connect_to(two, "one"));
    SHOW(send(two, "connected", 9, 0));
    SHOW(recv(one, text, 20, 0));
    close(one);
    SHOW(send(two, "x", 1, 0));
    SHOW(send(two, "x", 1, 0));
    length = address_of(&address, "missing");
    SHOW(sendto(two, "x", 1, 0, (struct sockaddr *)&address, length));
    int stream = MUST(socket(AF_UNIX, SOCK_STREAM, 0));
    SHOW(connect_to(stream, "two"));
}

CASE(full) {
    static char block[100000];
    int ends[2], sent = 0;
    MUST(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends));
    long total = 0;
    for (ssize_t count; (count = send(ends[0], block, sizeof block, 0)) > 0;) total += count;
    IS(total >= 50000);
    SHOW(send(ends[0], block, 1, 0));
    show_poll("full", ends[0]);
    for (ssize_t count; (count = recv(ends[1], block, sizeof block, 0)) > 0;) total -= count;
    VALUE(total);
    show_poll("empty", ends[0]);
    MUST(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0, ends));
    while (send(ends[0], "x", 1, 0) == 1) sent++;
    printf("%s\n", error_name(errno));
    IS(sent >= 1);
}

CASE(descriptors_are_sent) {
    int ends[2], pipe_ends[2], file = file_with("f", "0123456789");
    char text[20] = {0};
    MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, ends));
    MUST(pipe(pipe_ends));
    union { struct cmsghdr header; char bytes[CMSG_SPACE(2 * sizeof(int))]; } control = {0};
    struct iovec piece = {"take", 4};
    struct msghdr message = {.msg_iov = &piece, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(2 * sizeof(int));
    int both[2] = {file, pipe_ends[1]}, received[2];
    memcpy(CMSG_DATA(header), both, sizeof both);
    SHOW(sendmsg(ends[0], &message, 0));
    close(pipe_ends[1]);
    lseek(file, 4, SEEK_SET);
    memset(&control, 0, sizeof control);
    piece = (struct iovec){text, 20};
    message.msg_controllen = sizeof control;
    SHOW(recvmsg(ends[1], &message, MSG_CMSG_CLOEXEC));
    printf("%s, flags %x\n", text, message.msg_flags);
    header = CMSG_FIRSTHDR(&message);
    printf("%d %d %d\n", header->cmsg_level, header->cmsg_type, (int)(header->cmsg_len - CMSG_LEN(0)));
    memcpy(received, CMSG_DATA(header), sizeof received);
    SHOW(read(received[0], text, 3));
    printf("%.3s\n", text);
    SHOW(fcntl(received[0], F_GETFD));
    SHOW(write(received[1], "through", 7));
    SHOW(read(pipe_ends[0], text, 20));
    close(received[1]);
    SHOW(read(pipe_ends[0], text, 20));
}

static ssize_t send_with(int socket, int fd) {
    union { struct cmsghdr header; char bytes[CMSG_SPACE(sizeof(int))]; } control = {0};
    struct iovec piece = {"x", 1};
    struct msghdr message = {.msg_iov = &piece, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
    control.header.cmsg_level = SOL_SOCKET;
    control.header.cmsg_type = SCM_RIGHTS;
    control.header.cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(&control.header), &fd, sizeof fd);
    return sendmsg(socket, &message, 0);
}

CASE(descriptors_that_are_not_taken) {
    int ends[2], pipe_ends[2];
    char text[20];
    MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, ends));
    SHOW(send_with(ends[0], 99));
    MUST(pipe(pipe_ends));
    SHOW(send_with(ends[0], pipe_ends[1]));
    close(pipe_ends[1]);
    SHOW(fcntl(pipe_ends[0], F_SETFL, O_NONBLOCK));
    SHOW(read(pipe_ends[0], text, 1));
    SHOW(read(ends[1], text, 20)); /* without asking for it */
    SHOW(read(pipe_ends[0], text, 1));
    MUST(pipe2(pipe_ends, O_NONBLOCK));
    MUST(send_with(ends[0], pipe_ends[1]));
    close(pipe_ends[1]);
    close(ends[1]); /* with it in the queue */
    SHOW(read(pipe_ends[0], text, 1));
    MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, ends));
    MUST(send_with(ends[0], 1));
    struct iovec piece = {text, 20};
    char small[8];
    struct msghdr message = {.msg_iov = &piece, .msg_iovlen = 1, .msg_control = small, .msg_controllen = sizeof small};
    SHOW(recvmsg(ends[1], &message, 0));
    IS(message.msg_flags & MSG_CTRUNC);
}

/* A socket in a socket in a socket: closing the last closes them all. */
CASE(sockets_in_sockets) {
    int ends[2], last[2];
    char text[2];
    MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, last));
    int inner = last[1];
    for (int index = 0; index < 500; index++) {
        MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, ends));
        MUST(send_with(ends[1], inner));
        close(inner);
        close(ends[1]);
        inner = ends[0];
    }
    SHOW(recv(last[0], text, 1, MSG_DONTWAIT));
    close(inner);
    struct pollfd polled = {last[0], POLLIN, 0};
    SHOW(poll(&polled, 1, 5000));
    SHOW(recv(last[0], text, 1, MSG_DONTWAIT));
}

/* Listeners in sockets that wait to be accepted at listeners. */
CASE(listeners_in_sockets) {
    int inner = MUST(socket(AF_UNIX, SOCK_STREAM, 0));
    char name[20];
    for (int index = 0; index < 200; index++) {
        int client = MUST(socket(AF_UNIX, SOCK_STREAM, 0)), listener = MUST(socket(AF_UNIX, SOCK_STREAM, 0));
        snprintf(name, sizeof name, "%d", index);
        MUST(bind_to(listener, name));
        MUST(listen(listener, 1));
        MUST(connect_to(client, name));
        MUST(send_with(client, inner));
        close(client);
        close(inner);
        inner = listener;
    }
    SHOW(close(inner));
    int client = MUST(socket(AF_UNIX, SOCK_STREAM, 0));
    SHOW(connect_to(client, name));
}

CASE(who_is_there) {
    int ends[2], on = 1;
    struct ucred who;
    socklen_t length = sizeof who;
    MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, ends));
    SHOW(getsockopt(ends[0], SOL_SOCKET, SO_PEERCRED, &who, &length));
    IS(who.pid == getpid() && who.uid == getuid() && who.gid == getgid());
    SHOW(setsockopt(ends[1], SOL_SOCKET, SO_PASSCRED, &on, sizeof on));
    MUST(write(ends[0], "x", 1));
    union { struct cmsghdr header; char bytes[CMSG_SPACE(sizeof(struct ucred))]; } control = {0};
    char text[2];
    struct iovec piece = {text, 2};
    struct msghdr message = {.msg_iov = &piece, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
    SHOW(recvmsg(ends[1], &message, 0));
    printf("%d %d\n", control.header.cmsg_level, control.header.cmsg_type);
    memcpy(&who, CMSG_DATA(&control.header), sizeof who);
    IS(who.pid == getpid() && who.uid == getuid());
}

CASE(options) {
    int fd = MUST(socket(AF_UNIX, SOCK_STREAM, 0)), value = -1;
    socklen_t length = sizeof value;
    SHOW(getsockopt(fd, SOL_SOCKET, SO_TYPE, &value, &length));
    VALUE(value);
    SHOW(getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &value, &length));
    VALUE(value);
    SHOW(getsockopt(fd, SOL_SOCKET, SO_PROTOCOL, &value, &length));
    VALUE(value);
    SHOW(getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &value, &length));
    VALUE(value);
    SHOW(getsockopt(fd, SOL_SOCKET, SO_ERROR, &value, &length));
    VALUE(value);
    SHOW(getsockopt(fd, 6, 1, &value, &length));
    SHOW(setsockopt(fd, SOL_SOCKET, 9999, &value, length));
    SHOW(getsockopt(0, SOL_SOCKET, SO_TYPE, &value, &length));
    MUST(bind_to(fd, "s"));
    MUST(listen(fd, 1));
    MUST(getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &value, &length));
    VALUE(value);
    int ends[2], count = -1;
    MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, ends));
    MUST(write(ends[0], "12345", 5));
    SHOW(ioctl(ends[1], FIONREAD, &count));
    VALUE(count);
}

CASE(wrong_arguments) {
    int ends[2], fd = MUST(socket(AF_UNIX, SOCK_STREAM, 0));
    char text[2];
    SHOW(socket(AF_UNIX, 99, 0));
    SHOW(socket(99, SOCK_STREAM, 0));
    SHOW(socket(AF_UNIX, SOCK_STREAM, 99));
    SHOW(socketpair(AF_UNIX, SOCK_STREAM | 0x100000, 0, ends));
    SHOW(socketpair(AF_INET, SOCK_STREAM, 0, ends));
    SHOW(socketpair(AF_UNIX, SOCK_STREAM, 0, (int *)8));
    SHOW(recv(fd, text, 1, 0));
    SHOW(send(fd, text, 1, MSG_NOSIGNAL));
    SHOW(accept(fd, NULL, NULL));
    SHOW(listen(fd, 1));
    show_name("peer", fd, getpeername);
    SHOW(shutdown(fd, SHUT_RDWR));
    SHOW(shutdown(fd, 99));
    SHOW(shutdown(0, SHUT_RD));
    SHOW(accept(0, NULL, NULL));
    SHOW(recv(99, text, 1, 0));
    struct sockaddr_un address = {.sun_family = AF_INET};
    SHOW(bind(fd, (struct sockaddr *)&address, sizeof address));
    address.sun_family = AF_UNIX;
    SHOW(bind(fd, (struct sockaddr *)&address, 300));
    SHOW(bind(fd, (struct sockaddr *)8, sizeof address));
    SHOW(bind_to(fd, "missing/socket"));
    SHOW(connect(fd, (struct sockaddr *)&address, 1));
}

static void *connects(void *unused) {
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    sleep_ms(20);
    connect_to(fd, "late");
    (void)!write(fd, "from the thread", 15);
    sleep_ms(20);
    close(fd);
    return unused;
}
CASE(accepting_waits) {
    pthread_t thread;
    char text[20] = {0};
    int listener = MUST(socket(AF_UNIX, SOCK_STREAM, 0));
    MUST(bind_to(listener, "late"));
    MUST(listen(listener, 1));
    pthread_create(&thread, NULL, connects, NULL);
    int server = MUST(accept(listener, NULL, NULL));
    SHOW(recv(server, text, 20, 0));
    printf("%s\n", text);
    SHOW(recv(server, text, 20, MSG_WAITALL));
    pthread_join(thread, NULL);
}

CASE(waiting_has_an_end) {
    int ends[2];
    char text[2];
    struct timeval limit = {0, 20000}, told;
    socklen_t length = sizeof told;
    MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, ends));
    SHOW(setsockopt(ends[0], SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit));
    long start = now_ms();
    SHOW(recv(ends[0], text, 1, 0));
    IS(now_ms() - start >= 19);
    SHOW(getsockopt(ends[0], SOL_SOCKET, SO_RCVTIMEO, &told, &length));
    IS(told.tv_usec >= 16000 && told.tv_usec <= 24000);
    limit.tv_usec = 2000000;
    SHOW(setsockopt(ends[0], SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit));
}

static void receive_with_files(int socket) {
    union { struct cmsghdr header; char bytes[CMSG_SPACE(sizeof(int))]; } control = {0};
    char text[20] = {0};
    struct iovec piece = {text, 20};
    struct msghdr message = {.msg_iov = &piece, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
    SHOW(recvmsg(socket, &message, MSG_DONTWAIT));
    printf("%s, %d bytes of control\n", text, (int)message.msg_controllen);
}
CASE(descriptors_amid_a_stream) {
    int ends[2], file = file_with("f", "");
    MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, ends));
    MUST(send(ends[0], "ab", 2, 0));
    MUST(send_with(ends[0], file));
    MUST(send(ends[0], "cd", 2, 0));
    MUST(send(ends[0], "ef", 2, 0));
    MUST(send_with(ends[0], file));
    MUST(send_with(ends[0], file));
    for (int each = 0; each < 4; each++) receive_with_files(ends[1]);
}

CASE(nobody_accepted) {
    struct sockaddr_un address = {AF_UNIX, "name"};
    int listener = MUST(socket(AF_UNIX, SOCK_STREAM, 0)), client = MUST(socket(AF_UNIX, SOCK_STREAM, 0));
    char byte;
    MUST(bind(listener, (struct sockaddr *)&address, sizeof address));
    MUST(listen(listener, 5));
    MUST(connect(client, (struct sockaddr *)&address, sizeof address));
    close(listener);
    SHOW(recv(client, &byte, 1, 0));
    SHOW(recv(client, &byte, 1, 0));
    SHOW(send(client, &byte, 1, MSG_NOSIGNAL));
}

CASE(many_short_pieces) {
    int ends[2];
    struct sysinfo before, after;
    MUST(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends));
    MUST(sysinfo(&before));
    while (send(ends[0], "x", 1, 0) == 1) {}
    printf("%s\n", error_name(errno));
    MUST(sysinfo(&after));
    IS((long)(before.freeram - after.freeram) * before.mem_unit < 8 << 20);
}

static volatile int broken;
static void on_pipe(int signal) { broken = signal; }
CASE(only_streams_break_with_a_signal) {
    int kinds[] = {SOCK_STREAM, SOCK_SEQPACKET, SOCK_DGRAM};
    for (int each = 0; each < 3; each++) {
        int ends[2];
        MUST(socketpair(AF_UNIX, kinds[each], 0, ends));
        signal(SIGPIPE, on_pipe);
        broken = 0;
        SHOW(shutdown(ends[0], SHUT_WR));
        SHOW(send(ends[0], "x", 1, 0));
        VALUE(broken);
        broken = 0;
        SHOW(write(ends[0], "x", 1));
        VALUE(broken);
    }
}

CASE(into_pieces_that_nobody_touched) {
    int kinds[] = {SOCK_DGRAM, SOCK_SEQPACKET, SOCK_STREAM};
    static char sent[1000];
    memset(sent, 'x', sizeof sent);
    for (int each = 0; each < 3; each++) {
        int ends[2];
        char small[4], *fresh = pages(3);
        struct iovec pieces[3] = {{small, 4}, {fresh + 4000, 200}, {fresh + 8000, 4000}};
        MUST(socketpair(AF_UNIX, kinds[each], 0, ends));
        MUST(send(ends[0], sent, 1000, 0));
        MUST(send(ends[0], "!", 1, 0));
        SHOW(readv(ends[1], pieces, 3));
        IS(memcmp(fresh + 4000, sent, 200) == 0 && memcmp(fresh + 8000, sent, 796) == 0);
        SHOW(recv(ends[1], small, 4, MSG_DONTWAIT));
    }
}
