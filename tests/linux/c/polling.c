/* poll and select. */
#include "cases.h"
#include <poll.h>
#include <pthread.h>
#include <sys/select.h>
#include <sys/socket.h>

CASE(polled) {
    int ends[2];
    MUST(pipe(ends));
    int file = file_with("f", "x");
    struct pollfd fds[] = {{ends[0], POLLIN, 0}, {ends[1], POLLOUT, 0}, {file, POLLIN | POLLOUT | POLLPRI, 0}, {-1, POLLIN, 9}, {99, POLLIN, 0}};
    SHOW(poll(fds, 5, 0));
    for (int index = 0; index < 5; index++) printf("%x\n", fds[index].revents);
    MUST(write(ends[1], "x", 1));
    SHOW(poll(fds, 1, -1));
    printf("%x\n", fds[0].revents);
    fds[0].events = 0;
    SHOW(poll(fds, 1, 0));
    close(ends[1]);
    SHOW(poll(fds, 1, 0));
    printf("%x\n", fds[0].revents);
    fds[0].events = POLLIN | POLLRDNORM | POLLRDHUP;
    SHOW(poll(fds, 1, 0));
    printf("%x\n", fds[0].revents);
}

CASE(polled_for_a_time) {
    int ends[2];
    MUST(pipe(ends));
    struct pollfd fd = {ends[0], POLLIN, 7};
    long start = now_ms();
    SHOW(poll(&fd, 1, 30));
    IS(now_ms() - start >= 30);
    VALUE(fd.revents);
    SHOW(poll(NULL, 0, 10));
    struct timespec time = {0, 5000000};
    SHOW(ppoll(&fd, 1, &time, NULL));
    SHOW(syscall(SYS_ppoll, &fd, 1, &time, NULL, 8));
    printf("%ld %ld\n", time.tv_sec, time.tv_nsec);
    time.tv_nsec = -1;
    SHOW(syscall(SYS_ppoll, &fd, 1, &time, NULL, 8));
    SHOW(syscall(SYS_poll, (void *)8, 1, 0));
    SHOW(syscall(SYS_poll, &fd, -1, 0));
}

static int late_fd;
static void *writes_late(void *unused) {
    sleep_ms(20);
    (void)!write(late_fd, "x", 1);
    return unused;
}
CASE(polled_until_it_comes) {
    int one[2], two[2];
    pthread_t thread;
    MUST(pipe(one));
    MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, two));
    late_fd = two[1];
    struct pollfd fds[] = {{one[0], POLLIN, 0}, {two[0], POLLIN, 0}};
    pthread_create(&thread, NULL, writes_late, NULL);
    SHOW(poll(fds, 2, -1));
    printf("%x %x\n", fds[0].revents, fds[1].revents);
    pthread_join(thread, NULL);
}

static volatile int signals;
static void on_signal(int signal) { (void)signal; signals++; }
CASE(interrupted) {
    sigset_t blocked, none;
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
    sigaction(SIGUSR1, &action, NULL);
    sigemptyset(&blocked);
    sigemptyset(&none);
    sigaddset(&blocked, SIGUSR1);
    sigprocmask(SIG_BLOCK, &blocked, NULL);
    kill(getpid(), SIGUSR1);
    struct timespec time = {5, 0};
    SHOW(poll(NULL, 0, 5));
    VALUE(signals);
    SHOW(ppoll(NULL, 0, &time, &none));
    VALUE(signals);
    kill(getpid(), SIGUSR1);
    SHOW(pselect(0, NULL, NULL, NULL, &time, &none));
    VALUE(signals);
    sigset_t now;
    sigprocmask(SIG_BLOCK, NULL, &now);
    IS(sigismember(&now, SIGUSR1));
}

CASE(selected) {
    int ends[2];
    fd_set in, out, except;
    MUST(pipe(ends));
    MUST(dup2(ends[0], 40));
    MUST(dup2(ends[1], 41));
    FD_ZERO(&in);
    FD_ZERO(&out);
    FD_ZERO(&except);
    FD_SET(40, &in);
    FD_SET(41, &out);
    FD_SET(40, &except);
    struct timeval time = {0, 0};
    SHOW(select(42, &in, &out, &except, &time));
    printf("%d %d %d\n", !!FD_ISSET(40, &in), !!FD_ISSET(41, &out), !!FD_ISSET(40, &except));
    MUST(write(41, "x", 1));
    FD_SET(40, &in);
    SHOW(select(42, &in, &out, NULL, NULL));
    FD_ZERO(&out);
    FD_SET(41, &out);
    FD_SET(40, &in);
    SHOW(select(41, &in, &out, NULL, &time));
    FD_ZERO(&in);
    FD_SET(39, &in);
    SHOW(select(42, &in, NULL, NULL, &time));
    SHOW(select(-1, NULL, NULL, NULL, &time));
    time.tv_usec = 20000;
    long start = now_ms();
    SHOW(select(0, NULL, NULL, NULL, &time));
    IS(now_ms() - start >= 20);
    printf("%ld %ld\n", (long)time.tv_sec, (long)time.tv_usec);
    time.tv_sec = -1;
    SHOW(syscall(SYS_select, 0, NULL, NULL, NULL, &time));
}

CASE(selected_beyond_a_word) {
    fd_set in;
    int ends[2];
    MUST(pipe(ends));
    MUST(dup2(ends[0], 200));
    MUST(write(ends[1], "x", 1));
    FD_ZERO(&in);
    FD_SET(200, &in);
    SHOW(select(201, &in, NULL, NULL, NULL));
    IS(FD_ISSET(200, &in));
    close(200);
}

CASE(selected_for_nothing_that_comes) {
    fd_set out_of_band;
    int ends[2];
    MUST(pipe(ends));
    close(ends[1]); /* readable, and hung up: neither is what is asked for */
    FD_ZERO(&out_of_band);
    FD_SET(ends[0], &out_of_band);
    struct timeval time = {.tv_usec = 20000};
    SHOW(select(ends[0] + 1, NULL, NULL, &out_of_band, &time));
    IS(FD_ISSET(ends[0], &out_of_band));
}
