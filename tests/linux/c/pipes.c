/* Pipes: what fits, what waits, what ends them. */
#include "cases.h"
#include <poll.h>
#include <pthread.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/uio.h>

static char block[70000];

static void show_poll(const char *what, int fd) {
    struct pollfd polled = {fd, POLLIN | POLLOUT, 0};
    int ready = poll(&polled, 1, 0);
    printf("%s: %d %x\n", what, ready, polled.revents);
}

CASE(through) {
    int ends[2];
    SHOW(pipe(ends));
    IS(ends[1] == ends[0] + 1);
    SHOW(write(ends[1], "hello", 5));
    char text[10] = {0};
    SHOW(read(ends[0], text, 3));
    SHOW(read(ends[0], text + 3, 7));
    printf("%s\n", text);
    SHOW(read(ends[1], text, 1));
    SHOW(write(ends[0], text, 1));
    SHOW(close(ends[1]));
    SHOW(read(ends[0], text, 1));
    SHOW(pipe((int *)8));
    struct stat status;
    MUST(fstat(ends[0], &status));
    IS(S_ISFIFO(status.st_mode));
}

CASE(flags_of_a_pipe) {
    int ends[2];
    SHOW(pipe2(ends, O_NONBLOCK | O_CLOEXEC));
    printf("%o %o\n", fcntl(ends[0], F_GETFL), fcntl(ends[1], F_GETFL));
    SHOW(fcntl(ends[0], F_GETFD));
    char text[2];
    SHOW(read(ends[0], text, 1));
    SHOW(fcntl(ends[0], F_SETFL, 0));
    printf("%o\n", fcntl(ends[0], F_GETFL));
    SHOW(pipe2(ends, 0x1));
}

CASE(full) {
    int ends[2], count = -1;
    MUST(pipe2(ends, O_NONBLOCK));
    SHOW(fcntl(ends[0], F_GETPIPE_SZ));
    SHOW(write(ends[1], block, 70000));
    SHOW(write(ends[1], block, 1));
    SHOW(ioctl(ends[0], FIONREAD, &count));
    VALUE(count);
    show_poll("full", ends[1]);
    SHOW(read(ends[0], block, 4095));
    show_poll("less than a page is free", ends[1]);
    SHOW(read(ends[0], block, 1));
    show_poll("a page is free", ends[1]);
    SHOW(write(ends[1], block, 4097));
    SHOW(write(ends[1], block, 4096));
}

CASE(small_writes_are_whole) {
    int ends[2];
    MUST(pipe2(ends, O_NONBLOCK));
    MUST(write(ends[1], block, 65536 - 4096));
    SHOW(write(ends[1], block, 4000));
    SHOW(write(ends[1], block, 200));
    SHOW(read(ends[0], block, 70000));
    SHOW(write(ends[1], block, 200));
}

CASE(size_is_changed) {
    int ends[2];
    MUST(pipe2(ends, O_NONBLOCK));
    SHOW(fcntl(ends[0], F_SETPIPE_SZ, 5000));
    SHOW(write(ends[1], block, 70000));
    SHOW(fcntl(ends[0], F_SETPIPE_SZ, 4096));
    SHOW(fcntl(ends[0], F_SETPIPE_SZ, 1 << 20));
    SHOW(write(ends[1], block, 70000));
    SHOW(fcntl(ends[0], F_GETPIPE_SZ));
    SHOW(fcntl(ends[0], F_SETPIPE_SZ, 0));
    SHOW(fcntl(file_with("f", ""), F_GETPIPE_SZ));
}

static int full_end;
static void *enlarges_late(void *unused) {
    sleep_ms(20);
    MUST(fcntl(full_end, F_SETPIPE_SZ, 1 << 17));
    return unused;
}
CASE(size_lets_a_writer_go_on) {
    int ends[2];
    pthread_t thread;
    MUST(pipe(ends));
    full_end = ends[1];
    SHOW(write(ends[1], block, 1 << 16));
    pthread_create(&thread, NULL, enlarges_late, NULL);
    SHOW(write(ends[1], block, 100));
    pthread_join(thread, NULL);
}

static volatile int broken;
static void on_pipe(int signal) { broken = signal; }
CASE(nobody_reads) {
    int ends[2];
    MUST(pipe(ends));
    signal(SIGPIPE, on_pipe);
    close(ends[0]);
    SHOW(write(ends[1], "x", 1));
    IS(broken == SIGPIPE);
    signal(SIGPIPE, SIG_IGN);
    SHOW(write(ends[1], "x", 1));
    SHOW(write(ends[1], "x", 0));
    show_poll("nobody reads", ends[1]);
}

CASE(states) {
    int ends[2];
    MUST(pipe(ends));
    show_poll("empty, to read", ends[0]);
    show_poll("empty, to write", ends[1]);
    MUST(write(ends[1], "x", 1));
    show_poll("not empty, to read", ends[0]);
    close(ends[1]);
    show_poll("last, to read", ends[0]);
    char text[2];
    MUST(read(ends[0], text, 2));
    show_poll("ended, to read", ends[0]);
}

static int given[2];
static void *writes_late(void *unused) {
    sleep_ms(20);
    (void)!write(given[1], "late", 4);
    return unused;
}
CASE(a_reader_waits) {
    pthread_t thread;
    char text[10] = {0};
    MUST(pipe(given));
    pthread_create(&thread, NULL, writes_late, NULL);
    SHOW(read(given[0], text, 10));
    printf("%s\n", text);
    pthread_join(thread, NULL);
}

static void *reads_all(void *sum) {
    static char part[5000];
    ssize_t count;
    while ((count = read(given[0], part, sizeof part)) > 0)
        for (ssize_t at = 0; at < count; at++) *(long *)sum += part[at];
    return sum;
}
CASE(a_writer_waits) {
    pthread_t thread;
    long sum = 0;
    MUST(pipe(given));
    memset(block, 3, sizeof block);
    pthread_create(&thread, NULL, reads_all, &sum);
    for (int round = 0; round < 10; round++) {
        ssize_t count = write(given[1], block, sizeof block);
        if (count != sizeof block) VALUE(count);
    }
    close(given[1]);
    pthread_join(thread, NULL);
    VALUE(sum);
}

static void *closes_late(void *unused) {
    sleep_ms(20);
    close(given[1]);
    return unused;
}
CASE(a_reader_hears_the_end) {
    pthread_t thread;
    char text[2];
    MUST(pipe(given));
    pthread_create(&thread, NULL, closes_late, NULL);
    SHOW(read(given[0], text, 1));
    pthread_join(thread, NULL);
}

CASE(copies_keep_an_end) {
    int ends[2];
    char text[2];
    MUST(pipe2(ends, O_NONBLOCK));
    int copy = dup(ends[1]);
    close(ends[1]);
    SHOW(read(ends[0], text, 1));
    close(copy);
    SHOW(read(ends[0], text, 1));
}

CASE(packets) {
    int ends[2];
    char text[10] = {0};
    SHOW(pipe2(ends, O_DIRECT | O_NONBLOCK));
    MUST(write(ends[1], "one", 3));
    MUST(write(ends[1], "second", 6));
    SHOW(read(ends[0], text, 10));
    SHOW(read(ends[0], text, 3));
    SHOW(read(ends[0], text, 10));
}

CASE(in_pieces) {
    int ends[2];
    char one[3], two[10] = {0};
    struct iovec out[2] = {{"abc", 3}, {"defg", 4}}, in[2] = {{one, 2}, {two, 9}};
    MUST(pipe(ends));
    SHOW(writev(ends[1], out, 2));
    SHOW(readv(ends[0], in, 2));
    printf("%.2s %s\n", one, two);
}

static void *empties_late(void *unused) {
    sleep_ms(20);
    SHOW(read(given[0], block, sizeof block));
    return unused;
}
/* Fills the pipe, and has it emptied by and by. */
static pthread_t full_for_now(void) {
    pthread_t thread;
    MUST(write(given[1], block, 65536));
    pthread_create(&thread, NULL, empties_late, NULL);
    return thread;
}
CASE(both_ends_in_one) {
    MUST(mkfifo("fifo", 0600));
    int fd = given[0] = given[1] = MUST(open("fifo", O_RDWR));
    pthread_t thread = full_for_now();
    ssize_t written = write(fd, "x", 1);
    pthread_join(thread, NULL);
    VALUE(written);
    SHOW(read(fd, block, 1));

    thread = full_for_now();
    struct pollfd polled = {fd, POLLOUT, 0};
    int ready = poll(&polled, 1, 10000);
    pthread_join(thread, NULL);
    VALUE(ready);

    struct epoll_event event = {.events = EPOLLOUT};
    int epoll = MUST(epoll_create1(0));
    thread = full_for_now();
    MUST(epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event));
    ready = epoll_wait(epoll, &event, 1, 10000);
    pthread_join(thread, NULL);
    VALUE(ready);

    pthread_create(&thread, NULL, writes_late, NULL);
    SHOW(read(fd, block, 10));
    pthread_join(thread, NULL);
}

CASE(packets_take_a_page_each) {
    int ends[2], count = 0;
    MUST(pipe2(ends, O_DIRECT | O_NONBLOCK));
    while (write(ends[1], "x", 1) == 1) count++;
    VALUE(count);
    SHOW(fcntl(ends[0], F_GETFL) & O_DIRECT);
    SHOW(fcntl(ends[1], F_SETPIPE_SZ, 4096));
    SHOW(fcntl(ends[1], F_SETPIPE_SZ, -1));
}

CASE(read_without_waiting) {
    int ends[2];
    char text[10] = {0};
    struct iovec piece = {text, 10}, much = {block, 70000};
    MUST(pipe(ends));
    SHOW(syscall(SYS_preadv2, ends[0], &piece, 1, -1L, -1L, 8 /* RWF_NOWAIT */));
    MUST(write(ends[1], "text", 4));
    SHOW(syscall(SYS_preadv2, ends[0], &piece, 1, -1L, -1L, 8));
    printf("%s\n", text);
    SHOW(syscall(SYS_pwritev2, ends[1], &much, 1, -1L, -1L, 8));
}

CASE(packets_into_pieces_that_nobody_touched) {
    int ends[2];
    char small[4], *fresh = pages(3);
    struct iovec pieces[3] = {{small, 4}, {fresh + 4000, 200}, {fresh + 8000, 4000}};
    MUST(pipe2(ends, O_DIRECT | O_NONBLOCK));
    MUST(write(ends[1], block, 1000));
    MUST(write(ends[1], "!", 1));
    SHOW(readv(ends[0], pieces, 3));
    SHOW(read(ends[0], small, 4));
}
