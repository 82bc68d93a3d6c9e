/* eventfd, timerfd and signalfd: descriptors that are counters, clocks and signals. */
#include "cases.h"
#include <poll.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <sys/timerfd.h>

static void show_poll(const char *what, int fd) {
    struct pollfd polled = {fd, POLLIN | POLLOUT, 0};
    int ready = poll(&polled, 1, 0);
    printf("%s: %d %x\n", what, ready, polled.revents);
}

CASE(a_counter) {
    uint64_t value;
    int fd = eventfd(3, EFD_NONBLOCK | EFD_CLOEXEC);
    SHOW(fcntl(fd, F_GETFD));
    SHOW(read(fd, &value, 8));
    VALUE(value);
    SHOW(read(fd, &value, 8));
    value = 5;
    SHOW(write(fd, &value, 8));
    SHOW(write(fd, &value, 8));
    SHOW(read(fd, &value, 8));
    VALUE(value);
    SHOW(write(fd, &value, 7));
    SHOW(read(fd, &value, 7));
    SHOW(write(fd, &value, 16));
    value = UINT64_MAX;
    SHOW(write(fd, &value, 8));
    value = UINT64_MAX - 1;
    SHOW(read(fd, &value, 8));
    value = UINT64_MAX - 1;
    SHOW(write(fd, &value, 8));
    value = 1;
    SHOW(write(fd, &value, 8));
    show_poll("full", fd);
    SHOW(read(fd, &value, 16));
    show_poll("empty", fd);
    value = 0;
    SHOW(write(fd, &value, 8));
    show_poll("nothing added", fd);
    SHOW(eventfd(0, 0x100));
}

CASE(a_semaphore) {
    uint64_t value = 0;
    int fd = eventfd(2, EFD_SEMAPHORE | EFD_NONBLOCK);
    SHOW(read(fd, &value, 8));
    VALUE(value);
    SHOW(read(fd, &value, 8));
    SHOW(read(fd, &value, 8));
}

static int shared;
static void *adds_late(void *unused) {
    uint64_t value = 7;
    sleep_ms(20);
    (void)!write(shared, &value, 8);
    return unused;
}
CASE(a_counter_is_waited_for) {
    uint64_t value;
    pthread_t thread;
    shared = eventfd(0, 0);
    pthread_create(&thread, NULL, adds_late, NULL);
    SHOW(read(shared, &value, 8));
    VALUE(value);
    pthread_join(thread, NULL);
}

CASE(a_clock) {
    uint64_t count = 0;
    struct itimerspec time = {.it_value = {0, 500000000}}, left;
    int fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    SHOW(read(fd, &count, 8));
    show_poll("not set", fd);
    SHOW(timerfd_gettime(fd, &left));
    printf("%ld %ld\n", left.it_value.tv_sec, left.it_value.tv_nsec);
    SHOW(timerfd_settime(fd, 0, &time, NULL));
    SHOW(read(fd, &count, 8));
    SHOW(timerfd_gettime(fd, &left));
    IS(left.it_value.tv_sec == 0 && left.it_value.tv_nsec > 0 && left.it_value.tv_nsec <= 500000000);
    struct pollfd polled = {fd, POLLIN, 0};
    SHOW(poll(&polled, 1, 5000));
    SHOW(read(fd, &count, 7));
    SHOW(read(fd, &count, 8));
    VALUE(count);
    SHOW(read(fd, &count, 8));
    SHOW(timerfd_gettime(fd, &left));
    printf("%ld %ld\n", left.it_value.tv_sec, left.it_value.tv_nsec);
    SHOW(write(fd, &count, 8));
}

CASE(a_clock_that_repeats) {
    uint64_t count = 0, sum = 0;
    struct itimerspec time = {{0, 2000000}, {0, 1}}, old;
    int fd = timerfd_create(CLOCK_MONOTONIC, 0);
    MUST(timerfd_settime(fd, 0, &time, NULL));
    while (sum < 5 && read(fd, &count, 8) == 8) sum += count;
    IS(sum >= 5);
    sleep_ms(20);
    SHOW(read(fd, &count, 8));
    IS(count >= 5);
    time.it_value.tv_nsec = 0;
    SHOW(timerfd_settime(fd, 0, &time, &old));
    printf("%ld %ld\n", old.it_interval.tv_sec, old.it_interval.tv_nsec);
    show_poll("unset", fd);
}

CASE(a_clock_at_a_moment) {
    uint64_t count = 0;
    struct itimerspec time = {{0, 0}, {0, 0}};
    int fd = timerfd_create(CLOCK_REALTIME, 0);
    clock_gettime(CLOCK_REALTIME, &time.it_value);
    time.it_value.tv_sec -= 5;
    SHOW(timerfd_settime(fd, TFD_TIMER_ABSTIME, &time, NULL));
    SHOW(read(fd, &count, 8));
    VALUE(count);
    clock_gettime(CLOCK_REALTIME, &time.it_value);
    if ((time.it_value.tv_nsec += 10000000) >= 1000000000) {
        time.it_value.tv_sec++;
        time.it_value.tv_nsec -= 1000000000;
    }
    SHOW(timerfd_settime(fd, TFD_TIMER_ABSTIME, &time, NULL));
    SHOW(read(fd, &count, 8));
    VALUE(count);
}

CASE(wrong_clocks) {
    struct itimerspec time = {{0, 0}, {0, 1000000000}};
    SHOW(timerfd_create(99, 0));
    SHOW(timerfd_create(CLOCK_PROCESS_CPUTIME_ID, 0));
    SHOW(timerfd_create(CLOCK_MONOTONIC, 0x100));
    int fd = timerfd_create(CLOCK_BOOTTIME, 0);
    IS(fd >= 0);
    SHOW(timerfd_settime(fd, 0, &time, NULL));
    time.it_value.tv_nsec = -1;
    SHOW(timerfd_settime(fd, 0, &time, NULL));
    SHOW(timerfd_settime(fd, 0x100, &time, NULL));
    SHOW(timerfd_settime(99, 0, &time, NULL));
    SHOW(timerfd_settime(0, 0, &time, NULL));
    SHOW(timerfd_settime(fd, 0, (struct itimerspec *)8, NULL));
    SHOW(timerfd_gettime(0, &time));
}

CASE(signals_as_a_file) {
    sigset_t set;
    struct signalfd_siginfo info[3];
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    sigaddset(&set, SIGRTMIN + 1);
    sigprocmask(SIG_BLOCK, &set, NULL);
    int fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
    SHOW(read(fd, info, sizeof info));
    show_poll("none", fd);
    kill(getpid(), SIGUSR1);
    kill(getpid(), SIGUSR1);
    union sigval value = {.sival_int = 77};
    sigqueue(getpid(), SIGRTMIN + 1, value);
    sigqueue(getpid(), SIGRTMIN + 1, value);
    show_poll("some", fd);
    SHOW(read(fd, info, sizeof info) / (long)sizeof *info);
    for (int index = 0; index < 3; index++)
        printf("%d %d %d %d\n", info[index].ssi_signo, info[index].ssi_code, info[index].ssi_int,
               info[index].ssi_pid == (uint32_t)getpid());
    SHOW(read(fd, info, 100));
    sigset_t other;
    sigemptyset(&other);
    sigaddset(&other, SIGUSR2);
    SHOW(signalfd(fd, &other, 0) == fd);
    kill(getpid(), SIGUSR1);
    show_poll("not this one", fd);
    sigset_t pending;
    sigpending(&pending);
    IS(sigismember(&pending, SIGUSR1));
    signal(SIGUSR1, SIG_IGN);
    sigpending(&pending);
    IS(sigismember(&pending, SIGUSR1));
    SHOW(signalfd(0, &set, 0));
    SHOW(signalfd(-1, &set, 0x100));
}
