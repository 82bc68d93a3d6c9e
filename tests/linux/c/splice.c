/* Moving bytes between files in the kernel: splice, tee, vmsplice. */
#include "cases.h"
#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <sys/socket.h>
#include <sys/uio.h>

static char block[100000], seen[100000];

static void show_bytes(int fd, int count) {
    ssize_t got = read(fd, seen, count);
    if (got < 0) printf("read: %s\n", error_name(errno));
    else printf("%zd: \"%.*s\"\n", got, (int)got, seen);
}
static void connect_both(int *client, int *server) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof address;
    int listener = MUST(socket(AF_INET, SOCK_STREAM, 0));
    MUST(bind(listener, (struct sockaddr *)&address, length));
    MUST(listen(listener, 1));
    MUST(getsockname(listener, (struct sockaddr *)&address, &length));
    *client = MUST(socket(AF_INET, SOCK_STREAM, 0));
    MUST(connect(*client, (struct sockaddr *)&address, length));
    *server = MUST(accept(listener, NULL, NULL));
    close(listener);
}

CASE(from_a_file_and_to_one) {
    int from = file_with("from", "0123456789"), to = file_with("to", "abcdefghij"), ends[2];
    off_t at = 4, into = 8;
    MUST(pipe2(ends, O_NONBLOCK));
    lseek(from, 0, SEEK_SET);
    SHOW(splice(from, NULL, ends[1], NULL, 3, 0));
    SHOW(lseek(from, 0, SEEK_CUR));
    SHOW(splice(from, &at, ends[1], NULL, 100, 0));
    VALUE(at);
    SHOW(lseek(from, 0, SEEK_CUR));
    SHOW(splice(ends[0], NULL, to, &into, 4, 0));
    VALUE(into);
    lseek(to, 0, SEEK_SET);
    SHOW(splice(ends[0], NULL, to, NULL, 100, 0));
    SHOW(lseek(to, 0, SEEK_CUR));
    show_file("to");
    SHOW(splice(ends[0], NULL, to, NULL, 100, 0));
    at = 100;
    SHOW(splice(from, &at, ends[1], NULL, 3, 0));
    close(ends[1]);
    SHOW(splice(ends[0], NULL, to, NULL, 100, 0));
}

CASE(through_a_connection) {
    int client, server, ends[2];
    connect_both(&client, &server);
    MUST(pipe2(ends, O_NONBLOCK));
    MUST(fcntl(server, F_SETFL, O_NONBLOCK));
    SHOW(splice(server, NULL, ends[1], NULL, 100, SPLICE_F_NONBLOCK));
    MUST(send(client, "hello", 5, 0));
    struct pollfd polled = {server, POLLIN, 0};
    SHOW(poll(&polled, 1, 5000));
    SHOW(splice(server, NULL, ends[1], NULL, 3, SPLICE_F_NONBLOCK));
    SHOW(splice(server, NULL, ends[1], NULL, 100, SPLICE_F_NONBLOCK | SPLICE_F_MOVE));
    SHOW(splice(server, NULL, ends[1], NULL, 100, SPLICE_F_NONBLOCK));
    SHOW(splice(ends[0], NULL, server, NULL, 100, SPLICE_F_NONBLOCK | SPLICE_F_MORE));
    show_bytes(client, 10);
    SHOW(splice(ends[0], NULL, server, NULL, 100, SPLICE_F_NONBLOCK));
    shutdown(client, SHUT_WR);
    SHOW(poll(&polled, 1, 5000));
    SHOW(splice(server, NULL, ends[1], NULL, 100, SPLICE_F_NONBLOCK));
}

/* What finds no room stays in the pipe, in order. */
static int full_client, drained;
static void *drains(void *unused) {
    ssize_t got;
    while ((got = recv(full_client, seen, sizeof seen, 0)) > 0)
        for (ssize_t at = 0; at < got; at++, drained++)
            if (seen[at] != (char)(drained % 251)) {
                printf("byte %d is wrong\n", drained);
                return unused;
            }
    return unused;
}
CASE(a_connection_that_is_full) {
    int server, ends[2], sent = 0, moved;
    pthread_t thread;
    connect_both(&full_client, &server);
    MUST(pipe2(ends, O_NONBLOCK));
    MUST(fcntl(server, F_SETFL, O_NONBLOCK));
    bool was_full = false;
    while (sent < 20000000) {
        for (int at = 0; at < 9000; at++) block[at] = (sent + at) % 251;
        moved = write(ends[1], block, 9000);
        if (moved > 0) sent += moved;
        if (splice(ends[0], NULL, server, NULL, 7000, SPLICE_F_NONBLOCK) < 0 && moved < 0) { was_full = errno == EAGAIN; break; }
    }
    IS(was_full);
    pthread_create(&thread, NULL, drains, NULL);
    MUST(fcntl(server, F_SETFL, 0));
    while (splice(ends[0], NULL, server, NULL, 50000, SPLICE_F_NONBLOCK) > 0) {}
    printf("%s\n", error_name(errno));
    close(server);
    pthread_join(thread, NULL);
    IS(drained == sent);
}

CASE(from_pipe_to_pipe) {
    int one[2], other[2];
    MUST(pipe2(one, O_NONBLOCK));
    MUST(pipe2(other, O_NONBLOCK));
    MUST(write(one[1], "abcdef", 6));
    SHOW(tee(one[0], other[1], 4, SPLICE_F_NONBLOCK));
    SHOW(tee(one[0], other[1], 100, 0));
    show_bytes(other[0], 100);
    SHOW(splice(one[0], NULL, other[1], NULL, 5, 0));
    show_bytes(other[0], 100);
    show_bytes(one[0], 100);
    SHOW(tee(one[0], other[1], 4, SPLICE_F_NONBLOCK));
    SHOW(splice(one[0], NULL, other[1], NULL, 5, SPLICE_F_NONBLOCK));
    while (write(other[1], block, 4096) > 0) {}
    MUST(write(one[1], "x", 1));
    SHOW(tee(one[0], other[1], 4, SPLICE_F_NONBLOCK));
    SHOW(splice(one[0], NULL, other[1], NULL, 5, SPLICE_F_NONBLOCK));
    close(other[0]);
    signal(SIGPIPE, SIG_IGN);
    SHOW(splice(one[0], NULL, other[1], NULL, 5, SPLICE_F_NONBLOCK));
    SHOW(tee(one[0], other[1], 4, SPLICE_F_NONBLOCK));
    show_bytes(one[0], 10);
    close(one[1]);
    SHOW(tee(one[0], other[1], 4, 0));
}

CASE(from_memory) {
    int ends[2];
    char one[6] = {0}, two[20] = {0};
    struct iovec out[2] = {{"first", 5}, {"second", 6}}, in[2] = {{one, 5}, {two, 19}}, much = {block, 70000};
    MUST(pipe2(ends, O_NONBLOCK));
    SHOW(vmsplice(ends[1], out, 2, 0));
    SHOW(vmsplice(ends[0], in, 2, 0));
    printf("%s %s\n", one, two);
    SHOW(vmsplice(ends[1], &much, 1, SPLICE_F_NONBLOCK) > 60000);
    SHOW(vmsplice(ends[1], &much, 1, SPLICE_F_NONBLOCK));
    SHOW(vmsplice(file_with("f", ""), out, 1, 0));
    SHOW(vmsplice(ends[1], out, 1, 99));
}

static int late[2];
static void *writes_late(void *unused) {
    sleep_ms(20);
    MUST(write(late[1], "late", 4));
    return unused;
}
CASE(waits) {
    int ends[2];
    pthread_t thread;
    MUST(pipe(ends));
    MUST(pipe(late));
    pthread_create(&thread, NULL, writes_late, NULL);
    SHOW(splice(late[0], NULL, ends[1], NULL, 100, 0));
    pthread_join(thread, NULL);
    pthread_create(&thread, NULL, writes_late, NULL);
    SHOW(tee(late[0], ends[1], 100, 0));
    pthread_join(thread, NULL);
    show_bytes(ends[0], 100);
}

CASE(wrong_arguments) {
    int ends[2], file = file_with("f", "0123"), appended = MUST(open("f", O_RDWR | O_APPEND));
    off_t at = 0, before = -1;
    MUST(pipe2(ends, O_NONBLOCK));
    SHOW(splice(file, NULL, file, NULL, 3, 0));
    SHOW(splice(ends[0], NULL, ends[1], NULL, 3, 0));
    SHOW(tee(ends[0], ends[1], 3, 0));
    SHOW(tee(file, ends[1], 3, 0));
    SHOW(splice(ends[0], &at, file, NULL, 3, 0));
    SHOW(splice(file, NULL, ends[1], &at, 3, 0));
    SHOW(splice(ends[1], NULL, file, NULL, 3, 0));
    SHOW(splice(file, NULL, ends[0], NULL, 3, 0));
    SHOW(splice(99, NULL, ends[1], NULL, 3, 0));
    SHOW(splice(file, NULL, 99, NULL, 3, 0));
    SHOW(splice(file, NULL, ends[1], NULL, 0, 0));
    SHOW(splice(file, NULL, ends[1], NULL, 3, 99));
    SHOW(splice(file, (off_t *)8, ends[1], NULL, 3, 0));
    SHOW(splice(file, &before, ends[1], NULL, 3, 0));
    MUST(write(ends[1], "x", 1));
    SHOW(splice(ends[0], NULL, appended, NULL, 3, 0));
    off_t one = 0, two = 2;
    SHOW(copy_file_range(file, &one, file, &two, 3, 0));
    SHOW(copy_file_range(file, &one, file, &two, 2, 0));
    show_file("f");
}
