/* epoll: level, edge and once, on every kind of descriptor. */
#include "cases.h"
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/timerfd.h>

static int set;

static void watch(int fd, uint32_t events) {
    struct epoll_event event = {.events = events, .data.u32 = fd};
    if (epoll_ctl(set, EPOLL_CTL_ADD, fd, &event)) printf("watch: %s\n", error_name(errno));
}

static void change(int fd, uint32_t events) {
    struct epoll_event event = {.events = events, .data.u32 = fd};
    if (epoll_ctl(set, EPOLL_CTL_MOD, fd, &event)) printf("change: %s\n", error_name(errno));
}

/* What is ready: names instead of numbers. */
static struct { int fd; const char *name; } known[8];
static void name(int fd, const char *as) {
    for (int index = 0; index < 8; index++)
        if (!known[index].name || known[index].fd == fd) {
            known[index].fd = fd;
            known[index].name = as;
            return;
        }
}
static void ready(const char *when, int timeout) {
    struct epoll_event events[8];
    int count = epoll_wait(set, events, 8, timeout);
    printf("%s:", when);
    if (count < 0) printf(" %s", error_name(errno));
    for (int slot = 0; slot < 8; slot++)
        for (int index = 0; index < count; index++)
            if (known[slot].name && known[slot].fd == (int)events[index].data.u32)
                printf(" %s %x", known[slot].name, events[index].events);
    printf("\n");
}
static void begin(void) {
    memset(known, 0, sizeof known);
    set = MUST(epoll_create1(EPOLL_CLOEXEC));
}

CASE(level_of_a_pipe) {
    int ends[2];
    char text[10];
    begin();
    MUST(pipe2(ends, O_NONBLOCK));
    name(ends[0], "reader");
    name(ends[1], "writer");
    watch(ends[0], EPOLLIN);
    watch(ends[1], EPOLLOUT);
    ready("empty", 0);
    MUST(write(ends[1], "ab", 2));
    ready("written", 0);
    ready("again", 0);
    MUST(read(ends[0], text, 1));
    ready("one is left", 0);
    MUST(read(ends[0], text, 1));
    ready("read", 0);
    close(ends[1]);
    ready("closed", 0);
}

CASE(edge_of_a_pipe) {
    int ends[2];
    char text[10];
    begin();
    MUST(pipe2(ends, O_NONBLOCK));
    name(ends[0], "reader");
    watch(ends[0], EPOLLIN | EPOLLET);
    ready("empty", 0);
    MUST(write(ends[1], "ab", 2));
    ready("written", 0);
    ready("again", 0);
    MUST(read(ends[0], text, 1));
    ready("one is left", 0);
    MUST(write(ends[1], "c", 1));
    ready("more", 0);
    ready("again", 0);
    MUST(read(ends[0], text, 10));
    SHOW(read(ends[0], text, 10));
    ready("empty", 0);
    change(ends[0], EPOLLIN | EPOLLET);
    ready("changed while empty", 0);
    MUST(write(ends[1], "d", 1));
    ready("written", 0);
    change(ends[0], EPOLLIN | EPOLLET);
    ready("changed while ready", 0);
    close(ends[1]);
    ready("closed", 0);
    ready("again", 0);
}

CASE(once) {
    int ends[2];
    begin();
    MUST(pipe2(ends, O_NONBLOCK));
    name(ends[0], "reader");
    watch(ends[0], EPOLLIN | EPOLLONESHOT);
    MUST(write(ends[1], "a", 1));
    ready("written", 0);
    ready("again", 0);
    MUST(write(ends[1], "b", 1));
    ready("more", 0);
    change(ends[0], EPOLLIN | EPOLLONESHOT);
    ready("armed", 0);
    ready("again", 0);
    change(ends[0], EPOLLIN | EPOLLONESHOT | EPOLLET);
    ready("armed for edges", 0);
    ready("again", 0);
}

CASE(a_counter) {
    uint64_t value = 1;
    begin();
    int fd = MUST(eventfd(0, EFD_NONBLOCK)), edge = dup(fd);
    name(fd, "level");
    name(edge, "edge");
    watch(fd, EPOLLIN);
    watch(edge, EPOLLIN | EPOLLOUT | EPOLLET);
    ready("new", 0);
    ready("again", 0);
    MUST(write(fd, &value, 8));
    ready("added", 0);
    ready("again", 0);
    MUST(write(fd, &value, 8));
    ready("added to", 0);
    MUST(read(fd, &value, 8));
    ready("read", 0);
    ready("again", 0);
}

CASE(a_clock) {
    struct itimerspec time = {{0, 0}, {0, 1000000}};
    uint64_t count;
    begin();
    int fd = MUST(timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK));
    name(fd, "clock");
    watch(fd, EPOLLIN | EPOLLET);
    ready("not set", 0);
    MUST(timerfd_settime(fd, 0, &time, NULL));
    ready("set", 5000);
    ready("again", 0);
    MUST(timerfd_settime(fd, 0, &time, NULL));
    ready("set, not read", 5000);
    MUST(read(fd, &count, 8));
    ready("read", 0);
}

static void show_pair(int kind) {
    int ends[2];
    char text[10];
    begin();
    MUST(socketpair(AF_UNIX, kind | SOCK_NONBLOCK, 0, ends));
    name(ends[0], "one");
    watch(ends[0], EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET);
    ready("new", 0);
    MUST(send(ends[1], "abc", 3, 0));
    ready("sent", 0);
    ready("again", 0);
    MUST(recv(ends[0], text, 2, 0));
    ready("read some", 0);
    MUST(send(ends[1], "d", 1, 0));
    ready("sent more", 0);
    while (recv(ends[0], text, 10, 0) > 0) {}
    ready("read all", 0);
    shutdown(ends[1], SHUT_WR);
    ready("no more will come", 0);
    close(ends[1]);
    ready("closed", 0);
    ready("again", 0);
    change(ends[0], EPOLLIN);
    ready("by level", 0);
}
CASE(a_stream_pair) { show_pair(SOCK_STREAM); }
CASE(a_packet_pair) { show_pair(SOCK_SEQPACKET); }

static int connect_to_ourselves(int *listener, int *client) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof address;
    *listener = MUST(socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0));
    MUST(bind(*listener, (struct sockaddr *)&address, length));
    MUST(listen(*listener, 5));
    MUST(getsockname(*listener, (struct sockaddr *)&address, &length));
    *client = MUST(socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0));
    name(*listener, "listener");
    name(*client, "client");
    watch(*listener, EPOLLIN | EPOLLET);
    watch(*client, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET);
    ready("not connected", 0);
    return connect(*client, (struct sockaddr *)&address, length) == -1 ? errno : 0;
}

/* Loopback may hand on in steps: waits until nothing changes, and tells what was ready in all. */
static void settle(const char *when) {
    struct epoll_event events[8];
    uint32_t all[8] = {0};
    for (int count, rounds = 0; rounds < 50 && (count = epoll_wait(set, events, 8, 30)) > 0; rounds++)
        for (int index = 0; index < count; index++)
            for (int slot = 0; slot < 8; slot++)
                if (known[slot].name && known[slot].fd == (int)events[index].data.u32) all[slot] |= events[index].events;
    printf("%s:", when);
    for (int slot = 0; slot < 8; slot++)
        if (all[slot]) printf(" %s %x", known[slot].name, all[slot]);
    printf("\n");
}

CASE(a_connection) {
    int listener, client, error;
    char text[10];
    begin();
    error = connect_to_ourselves(&listener, &client);
    IS(error == 0 || error == EINPROGRESS);
    settle("connected");
    int server = MUST(accept4(listener, NULL, NULL, SOCK_NONBLOCK));
    name(server, "server");
    watch(server, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET);
    settle("accepted");
    MUST(send(client, "abc", 3, 0));
    settle("sent");
    MUST(recv(server, text, 2, 0));
    settle("read some");
    MUST(send(client, "d", 1, 0));
    settle("sent more");
    MUST(recv(server, text, 10, 0));
    MUST(shutdown(client, SHUT_WR));
    settle("no more will come");
    SHOW(recv(server, text, 10, 0));
    close(server);
    settle("closed");
    SHOW(recv(client, text, 10, 0));
}

CASE(a_full_connection) {
    int listener, client;
    static char block[65536];
    begin();
    connect_to_ourselves(&listener, &client);
    settle("connected");
    int server = MUST(accept4(listener, NULL, NULL, SOCK_NONBLOCK));
    /* What was sent may move on to the other end's buffer, which makes room, and an event. */
    struct epoll_event event;
    do {
        while (send(client, block, sizeof block, 0) > 0) {}
    } while (epoll_wait(set, &event, 1, 30) > 0);
    long total = 0;
    ssize_t count;
    for (int rounds = 0; rounds < 100; rounds++) {
        while ((count = recv(server, block, sizeof block, 0)) > 0) total += count;
        sleep_ms(1);
    }
    IS(total > 100000);
    settle("room again");
}

CASE(a_connection_refused) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof address;
    begin();
    int taken = MUST(socket(AF_INET, SOCK_STREAM, 0));
    MUST(bind(taken, (struct sockaddr *)&address, length));
    MUST(getsockname(taken, (struct sockaddr *)&address, &length));
    int client = MUST(socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0));
    name(client, "client");
    watch(client, EPOLLIN | EPOLLOUT | EPOLLRDHUP);
    ready("not connected", 0);
    int failed = connect(client, (struct sockaddr *)&address, length) == -1 ? errno : 0;
    IS(failed == EINPROGRESS || failed == ECONNREFUSED);
    if (failed == EINPROGRESS) ready("refused", 5000);
    else printf("refused: client 201d\n");
    int error = 0;
    length = sizeof error;
    MUST(getsockopt(client, SOL_SOCKET, SO_ERROR, &error, &length));
    IS(failed == ECONNREFUSED || error == ECONNREFUSED);
}

CASE(a_set_in_a_set) {
    int ends[2], inner, outer;
    char text[2];
    begin();
    inner = set;
    MUST(pipe2(ends, O_NONBLOCK));
    name(ends[0], "reader");
    watch(ends[0], EPOLLIN);
    outer = set = MUST(epoll_create1(0));
    name(inner, "inner");
    watch(inner, EPOLLIN);
    ready("empty", 0);
    MUST(write(ends[1], "x", 1));
    ready("written", 0);
    struct pollfd polled = {outer, POLLIN | POLLOUT, 0};
    SHOW(poll(&polled, 1, 0));
    VALUE(polled.revents);
    set = inner;
    ready("inner", 0);
    MUST(read(ends[0], text, 1));
    set = outer;
    ready("read", 0);
    struct epoll_event event = {.events = EPOLLIN};
    SHOW(epoll_ctl(inner, EPOLL_CTL_ADD, outer, &event));
    SHOW(epoll_ctl(inner, EPOLL_CTL_ADD, inner, &event));
}

static int set_in(int outer, int inner) {
    struct epoll_event event = {.events = EPOLLIN};
    return epoll_ctl(outer, EPOLL_CTL_ADD, inner, &event);
}

static void fresh_sets(int *sets, int count) {
    for (int index = 0; index < count; index++) sets[index] = MUST(epoll_create1(0));
}

CASE(sets_in_sets_from_the_top_down) {
    int sets[7], ends[2];
    struct epoll_event event = {.events = EPOLLIN};
    fresh_sets(sets, 7);
    for (int index = 0; index < 6; index++) SHOW(set_in(sets[index], sets[index + 1]));
    MUST(pipe(ends));
    MUST(write(ends[1], "x", 1));
    MUST(epoll_ctl(sets[4], EPOLL_CTL_ADD, ends[0], &event));
    SHOW(epoll_wait(sets[0], &event, 1, 0));
    SHOW(epoll_wait(sets[5], &event, 1, 0));
}

CASE(sets_in_sets_from_the_bottom_up) {
    int sets[7];
    fresh_sets(sets, 7);
    for (int index = 5; index >= 0; index--) SHOW(set_in(sets[index], sets[index + 1]));
}

CASE(sets_in_sets_from_the_middle) {
    int sets[7];
    fresh_sets(sets, 7);
    SHOW(set_in(sets[0], sets[1]));
    SHOW(set_in(sets[1], sets[2]));
    SHOW(set_in(sets[3], sets[4]));
    SHOW(set_in(sets[4], sets[5]));
    SHOW(set_in(sets[2], sets[3]));
    SHOW(set_in(sets[2], sets[4]));
    SHOW(set_in(sets[2], sets[4]));
    SHOW(set_in(sets[4], sets[0]));
    SHOW(epoll_ctl(sets[0], EPOLL_CTL_DEL, sets[1], NULL));
    SHOW(set_in(sets[2], sets[3]));
    close(sets[2]);
    SHOW(set_in(sets[1], sets[3]));
}

/* Each watches all of the level below: many ways lead down, though few sets are there. */
CASE(sets_in_sets_by_many_ways) {
    int sets[5][3], refused = 0;
    for (int level = 4; level >= 0; level--) {
        fresh_sets(sets[level], 3);
        for (int outer = 0; outer < 3 && level < 4; outer++)
            for (int inner = 0; inner < 3; inner++) refused += set_in(sets[level][outer], sets[level + 1][inner]) != 0;
    }
    VALUE(refused);
    SHOW(set_in(sets[4][0], sets[0][0]));
    SHOW(set_in(MUST(epoll_create1(0)), sets[0][0]));
}

CASE(closed_sets_are_forgotten) {
    uint64_t value = 1;
    struct epoll_event event = {.events = EPOLLIN};
    int fd = MUST(eventfd(0, EFD_NONBLOCK));
    for (int index = 0; index < 2000; index++) {
        int each = MUST(epoll_create1(0)), other = dup(each);
        MUST(epoll_ctl(each, EPOLL_CTL_ADD, fd, &event));
        close(each);
        if (index == 0) {
            MUST(write(fd, &value, 8));
            SHOW(epoll_wait(other, &event, 1, 0));
            MUST(read(fd, &value, 8));
        }
        close(other);
    }
    for (int index = 0; index < 20000; index++) {
        MUST(write(fd, &value, 8));
        MUST(read(fd, &value, 8));
    }
    begin();
    name(fd, "counter");
    watch(fd, EPOLLIN);
    MUST(write(fd, &value, 8));
    ready("written", 0);
}

CASE(wrong_arguments) {
    struct epoll_event event = {.events = EPOLLIN}, events[2];
    int ends[2];
    begin();
    MUST(pipe(ends));
    SHOW(epoll_create(0));
    SHOW(epoll_create1(1));
    SHOW(epoll_ctl(set, EPOLL_CTL_ADD, ends[0], &event));
    SHOW(epoll_ctl(set, EPOLL_CTL_ADD, ends[0], &event));
    SHOW(epoll_ctl(set, EPOLL_CTL_MOD, ends[1], &event));
    SHOW(epoll_ctl(set, EPOLL_CTL_DEL, ends[1], &event));
    SHOW(epoll_ctl(set, EPOLL_CTL_DEL, ends[0], NULL));
    SHOW(epoll_ctl(set, EPOLL_CTL_ADD, ends[0], (struct epoll_event *)8));
    SHOW(epoll_ctl(set, 99, ends[0], &event));
    SHOW(epoll_ctl(set, EPOLL_CTL_ADD, 99, &event));
    SHOW(epoll_ctl(99, EPOLL_CTL_ADD, ends[0], &event));
    SHOW(epoll_ctl(ends[0], EPOLL_CTL_ADD, ends[1], &event));
    SHOW(epoll_ctl(set, EPOLL_CTL_ADD, file_with("f", ""), &event));
    SHOW(epoll_ctl(set, EPOLL_CTL_ADD, MUST(open(".", O_RDONLY)), &event));
    SHOW(epoll_ctl(set, EPOLL_CTL_ADD, MUST(open("/dev/null", O_RDONLY)), &event));
    SHOW(epoll_wait(set, events, 0, 0));
    SHOW(epoll_wait(set, events, -1, 0));
    SHOW(epoll_wait(ends[0], events, 1, 0));
    SHOW(epoll_wait(99, events, 1, 0));
    watch(ends[0], EPOLLIN);
    MUST(write(ends[1], "x", 1));
    SHOW(epoll_wait(set, (struct epoll_event *)8, 1, 0));
    SHOW(read(set, events, sizeof events));
    SHOW(write(set, events, sizeof events));
}

CASE(no_events_but_failures) {
    int ends[2];
    begin();
    MUST(pipe(ends));
    name(ends[0], "reader");
    name(ends[1], "writer");
    watch(ends[0], 0);
    watch(ends[1], 0);
    MUST(write(ends[1], "x", 1));
    ready("written", 0);
    close(ends[0]);
    ready("closed", 0);
}

CASE(gone_with_its_last_descriptor) {
    int ends[2];
    begin();
    MUST(pipe(ends));
    name(ends[0], "reader");
    watch(ends[0], EPOLLIN);
    MUST(write(ends[1], "x", 1));
    int copy = dup(ends[0]);
    close(ends[0]);
    ready("a copy is left", 0);
    close(copy);
    ready("none is left", 0);
}

CASE(more_than_asked_for) {
    int ends[2][2], seen = 0;
    struct epoll_event event;
    begin();
    for (int index = 0; index < 2; index++) {
        MUST(pipe(ends[index]));
        watch(ends[index][0], EPOLLIN);
        MUST(write(ends[index][1], "x", 1));
    }
    int first = -1;
    for (int round = 0; round < 4; round++) {
        if (epoll_wait(set, &event, 1, 0) == 1) seen++;
        if (round == 0) first = event.data.u32;
        else if (round == 1) IS((int)event.data.u32 != first);
    }
    VALUE(seen);
}

static int late_fd;
static void *writes_late(void *unused) {
    sleep_ms(20);
    (void)!write(late_fd, "x", 1);
    return unused;
}
CASE(waited_for) {
    int ends[2];
    pthread_t thread;
    begin();
    MUST(pipe(ends));
    late_fd = ends[1];
    name(ends[0], "reader");
    watch(ends[0], EPOLLIN | EPOLLET);
    long start = now_ms();
    ready("for a time", 30);
    IS(now_ms() - start >= 30);
    pthread_create(&thread, NULL, writes_late, NULL);
    ready("for ever", -1);
    pthread_join(thread, NULL);
}

static int added_late;
static void *adds_late(void *unused) {
    sleep_ms(20);
    watch(added_late, EPOLLIN);
    return unused;
}
CASE(added_while_waited_for) {
    int ends[2];
    pthread_t thread;
    begin();
    MUST(pipe(ends));
    MUST(write(ends[1], "x", 1));
    added_late = ends[0];
    name(ends[0], "reader");
    pthread_create(&thread, NULL, adds_late, NULL);
    ready("added", 5000);
    pthread_join(thread, NULL);
}

static void on_signal(int signal) { (void)signal; }
CASE(interrupted) {
    struct epoll_event event;
    begin();
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
    sigaction(SIGALRM, &action, NULL);
    struct itimerspec time = {{0, 0}, {0, 20000000}};
    struct sigevent how = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGALRM};
    timer_t timer;
    MUST(timer_create(CLOCK_MONOTONIC, &how, &timer));
    MUST(timer_settime(timer, 0, &time, NULL));
    SHOW(epoll_wait(set, &event, 1, 5000));
    sigset_t blocked, open_mask;
    sigemptyset(&blocked);
    sigaddset(&blocked, SIGALRM);
    sigemptyset(&open_mask);
    sigprocmask(SIG_BLOCK, &blocked, NULL);
    kill(getpid(), SIGALRM);
    SHOW(epoll_wait(set, &event, 1, 0));
    SHOW(epoll_pwait(set, &event, 1, 5000, &open_mask));
    SHOW(epoll_pwait(set, &event, 1, 0, &open_mask));
    timer_delete(timer);
}

CASE(to_the_nanosecond) {
    struct epoll_event event;
    struct timespec time = {0, 5000000};
    begin();
    long start = now_ms();
    SHOW(syscall(SYS_epoll_pwait2, set, &event, 1, &time, NULL, 0));
    IS(now_ms() - start >= 4);
    time.tv_nsec = 1000000000;
    SHOW(syscall(SYS_epoll_pwait2, set, &event, 1, &time, NULL, 0));
}

CASE(exclusive) {
    int ends[2];
    struct epoll_event event = {.events = EPOLLIN | EPOLLEXCLUSIVE};
    begin();
    MUST(pipe(ends));
    SHOW(epoll_ctl(set, EPOLL_CTL_ADD, ends[0], &event));
    SHOW(epoll_ctl(set, EPOLL_CTL_MOD, ends[0], &event));
    event.events = EPOLLIN | EPOLLEXCLUSIVE | EPOLLONESHOT;
    SHOW(epoll_ctl(set, EPOLL_CTL_ADD, ends[1], &event));
}

/* Threads take turns with what is told once to one of them. */
enum { TURNS = 3000, THREADS = 3 };
static int counter, inside, turns_taken, several_at_once, is_over;
static void *takes_turns(void *unused) {
    struct epoll_event event;
    while (!__atomic_load_n(&is_over, __ATOMIC_SEQ_CST)) {
        if (epoll_wait(set, &event, 1, -1) != 1) continue;
        if (__atomic_add_fetch(&inside, 1, __ATOMIC_SEQ_CST) > 1) several_at_once = 1;
        for (volatile int spin = 0; spin < 30; spin++) {}
        if (__atomic_add_fetch(&turns_taken, 1, __ATOMIC_SEQ_CST) >= TURNS) __atomic_store_n(&is_over, 1, __ATOMIC_SEQ_CST);
        __atomic_sub_fetch(&inside, 1, __ATOMIC_SEQ_CST);
        change(counter, EPOLLIN | EPOLLONESHOT);
    }
    return unused;
}
static void *counts(void *unused) {
    uint64_t one = 1;
    while (!__atomic_load_n(&is_over, __ATOMIC_SEQ_CST)) (void)!write(counter, &one, sizeof one);
    return unused;
}
CASE(once_among_threads) {
    pthread_t threads[THREADS + 1];
    begin();
    counter = MUST(eventfd(1, EFD_NONBLOCK));
    watch(counter, EPOLLIN | EPOLLONESHOT);
    for (int each = 0; each < THREADS; each++) pthread_create(&threads[each], NULL, takes_turns, NULL);
    pthread_create(&threads[THREADS], NULL, counts, NULL);
    for (int each = 0; each <= THREADS; each++) pthread_join(threads[each], NULL);
    VALUE(several_at_once);
}
