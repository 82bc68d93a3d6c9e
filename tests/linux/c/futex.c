/* The futex call, by hand. */
#include "cases.h"
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>

static _Atomic uint32_t word, other;

static long futex(_Atomic uint32_t *at, int what, uint32_t value, const void *time, _Atomic uint32_t *second, uint32_t third) {
    return syscall(SYS_futex, at, what, value, time, second, third);
}
static struct timespec after(clockid_t clock, long ms) {
    struct timespec time;
    clock_gettime(clock, &time);
    time.tv_sec += ms / 1000;
    time.tv_nsec += ms % 1000 * 1000000;
    if (time.tv_nsec >= 1000000000) { time.tv_sec++; time.tv_nsec -= 1000000000; }
    return time;
}

CASE(waiting_that_ends_at_once) {
    struct timespec short_time = {0, 10000000}, none = {0, 0}, wrong = {0, 1000000000};
    word = 5;
    SHOW(futex(&word, FUTEX_WAIT, 6, NULL, NULL, 0));
    SHOW(futex(&word, FUTEX_WAIT_PRIVATE, 6, &short_time, NULL, 0));
    long start = now_ms();
    SHOW(futex(&word, FUTEX_WAIT_PRIVATE, 5, &short_time, NULL, 0));
    IS(now_ms() - start >= 9);
    SHOW(futex(&word, FUTEX_WAIT, 5, &none, NULL, 0));
    SHOW(futex(&word, FUTEX_WAIT, 5, &wrong, NULL, 0));
    wrong = (struct timespec){-1, 0};
    SHOW(futex(&word, FUTEX_WAIT, 5, &wrong, NULL, 0));
    struct timespec past = {1, 0}, soon = after(CLOCK_MONOTONIC, 20);
    SHOW(futex(&word, FUTEX_WAIT_BITSET_PRIVATE, 5, &past, NULL, FUTEX_BITSET_MATCH_ANY));
    SHOW(futex(&word, FUTEX_WAIT_BITSET_PRIVATE, 5, &soon, NULL, FUTEX_BITSET_MATCH_ANY));
    soon = after(CLOCK_REALTIME, 20);
    SHOW(futex(&word, FUTEX_WAIT_BITSET_PRIVATE | FUTEX_CLOCK_REALTIME, 5, &soon, NULL, FUTEX_BITSET_MATCH_ANY));
}

CASE(wrong_arguments) {
    SHOW(futex((void *)((char *)&word + 1), FUTEX_WAIT, 0, NULL, NULL, 0));
    SHOW(futex((void *)8, FUTEX_WAIT, 0, NULL, NULL, 0));
    SHOW(futex((void *)0xffff800000000000, FUTEX_WAIT, 0, NULL, NULL, 0));
    SHOW(futex((void *)8, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0));
    SHOW(futex((void *)8, FUTEX_WAKE, 1, NULL, NULL, 0));
    SHOW(futex(&word, FUTEX_WAIT, word, (void *)8, NULL, 0));
    SHOW(futex(&word, FUTEX_WAIT_BITSET, 0, NULL, NULL, 0));
    SHOW(futex(&word, FUTEX_WAKE_BITSET, 1, NULL, NULL, 0));
    SHOW(futex(&word, FUTEX_WAKE, -1, NULL, NULL, 0));
    SHOW(futex(&word, 99, 0, NULL, NULL, 0));
    SHOW(futex(&word, FUTEX_WAKE | FUTEX_CLOCK_REALTIME, 0, NULL, NULL, 0));
    SHOW(futex(&word, FUTEX_WAKE, 1, NULL, NULL, 0));
}

struct waiter { pthread_t thread; uint32_t bits; bool is_shared; long result; int error; };
static atomic_int waiting, woken;
static void *waits(void *given) {
    struct waiter *self = given;
    int private = self->is_shared ? 0 : FUTEX_PRIVATE_FLAG;
    atomic_fetch_add(&waiting, 1);
    self->result = self->bits ? futex(&word, FUTEX_WAIT_BITSET | private, 0, NULL, NULL, self->bits)
                              : futex(&word, FUTEX_WAIT | private, 0, NULL, NULL, 0);
    self->error = errno;
    atomic_fetch_add(&woken, 1);
    return NULL;
}
static void start(struct waiter *waiters, int count) {
    waiting = woken = 0;
    for (int index = 0; index < count; index++) pthread_create(&waiters[index].thread, NULL, waits, &waiters[index]);
    while (waiting < count) sched_yield();
    sleep_ms(30);
}
static void finish(struct waiter *waiters, int count) {
    for (int index = 0; index < count; index++) {
        pthread_join(waiters[index].thread, NULL);
        if (waiters[index].result) printf("waiter %d: %s\n", index, error_name(waiters[index].error));
    }
}
static void expect_woken(int count) {
    for (int round = 0; round < 2000 && woken < count; round++) sleep_ms(1);
    sleep_ms(10);
    VALUE(woken);
}

CASE(some_are_woken) {
    struct waiter waiters[5] = {0};
    word = 0;
    start(waiters, 5);
    SHOW(futex(&word, FUTEX_WAKE_PRIVATE, 0, NULL, NULL, 0));
    SHOW(futex(&word, FUTEX_WAKE_PRIVATE, 2, NULL, NULL, 0));
    expect_woken(3); /* none asked for wakes one more */
    SHOW(futex(&word, FUTEX_WAKE_PRIVATE, 100, NULL, NULL, 0));
    finish(waiters, 5);
    SHOW(futex(&word, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0));
}

CASE(by_bits) {
    struct waiter waiters[3] = {{.bits = 1}, {.bits = 2}, {.bits = 6}};
    word = 0;
    start(waiters, 3);
    SHOW(futex(&word, FUTEX_WAKE_BITSET_PRIVATE, 10, NULL, NULL, 8));
    SHOW(futex(&word, FUTEX_WAKE_BITSET_PRIVATE, 10, NULL, NULL, 4));
    expect_woken(1);
    SHOW(futex(&word, FUTEX_WAKE_PRIVATE, 10, NULL, NULL, 0));
    finish(waiters, 3);
}

CASE(shared_and_private_are_apart) {
    struct waiter waiters[2] = {{.is_shared = true}, {.is_shared = false}};
    word = 0;
    start(waiters, 2);
    SHOW(futex(&word, FUTEX_WAKE, 10, NULL, NULL, 0));
    expect_woken(1);
    SHOW(futex(&word, FUTEX_WAKE_PRIVATE, 10, NULL, NULL, 0));
    finish(waiters, 2);
}

CASE(moved_to_another_word) {
    struct waiter waiters[4] = {0};
    word = other = 0;
    start(waiters, 4);
    SHOW(futex(&word, FUTEX_CMP_REQUEUE_PRIVATE, 1, (void *)2, &other, 7));
    SHOW(futex(&word, FUTEX_CMP_REQUEUE_PRIVATE, 1, (void *)2, &other, 0));
    expect_woken(1);
    SHOW(futex(&other, FUTEX_WAKE_PRIVATE, 10, NULL, NULL, 0));
    expect_woken(3);
    SHOW(futex(&word, FUTEX_REQUEUE_PRIVATE, 0, (void *)10, &other, 0));
    SHOW(futex(&word, FUTEX_WAKE_PRIVATE, 10, NULL, NULL, 0));
    SHOW(futex(&other, FUTEX_WAKE_PRIVATE, 10, NULL, NULL, 0));
    finish(waiters, 4);
    SHOW(futex(&word, FUTEX_CMP_REQUEUE_PRIVATE, -1, (void *)2, &other, 0));
}

CASE(woken_and_changed) {
    struct waiter waiters[2] = {0};
    word = 0;
    other = 5;
    start(waiters, 2);
    SHOW(futex(&other, FUTEX_WAKE_OP_PRIVATE, 1, (void *)1, &word, FUTEX_OP(FUTEX_OP_ADD, 3, FUTEX_OP_CMP_EQ, 9)));
    VALUE(word);
    SHOW(futex(&other, FUTEX_WAKE_OP_PRIVATE, 1, (void *)1, &word, FUTEX_OP(FUTEX_OP_SET, 10, FUTEX_OP_CMP_EQ, 3)));
    VALUE(word);
    expect_woken(1);
    SHOW(futex(&other, FUTEX_WAKE_OP_PRIVATE, 1, (void *)1, &word, FUTEX_OP(FUTEX_OP_OR | 8, 4, FUTEX_OP_CMP_GT, 9)));
    VALUE(word);
    SHOW(futex(&other, FUTEX_WAKE_OP_PRIVATE, 1, (void *)1, &word, FUTEX_OP(FUTEX_OP_ANDN, 2, FUTEX_OP_CMP_LT, 0)));
    VALUE(word);
    SHOW(futex(&other, FUTEX_WAKE_OP_PRIVATE, 1, (void *)1, &word, FUTEX_OP(FUTEX_OP_XOR, 0xff, FUTEX_OP_CMP_NE, 0)));
    VALUE(word);
    SHOW(futex(&other, FUTEX_WAKE_OP_PRIVATE, 1, (void *)1, &word, FUTEX_OP(7, 0, 0, 0)));
    finish(waiters, 2);
}

static void on_signal(int signal) { (void)signal; }
CASE(interrupted) {
    struct sigaction action = {.sa_handler = on_signal};
    sigaction(SIGALRM, &action, NULL);
    struct itimerspec time = {{0, 0}, {0, 20000000}};
    struct sigevent how = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGALRM};
    timer_t timer;
    word = 0;
    MUST(timer_create(CLOCK_MONOTONIC, &how, &timer));
    MUST(timer_settime(timer, 0, &time, NULL));
    SHOW(futex(&word, FUTEX_WAIT_PRIVATE, 0, NULL, NULL, 0));
    timer_delete(timer);
}

static char thread_stack[65536] __attribute__((aligned(16)));
static _Atomic uint32_t thread_number;
CASE(a_threads_end_is_told) {
    /* What the C library does: the kernel clears the number and wakes who waits for it. */
    thread_number = 0;
    pthread_t thread;
    struct waiter waiter = {0};
    word = 1; /* so that it does not wait */
    pthread_create(&thread, NULL, waits, &waiter);
    pthread_join(thread, NULL);
    printf("%s\n", error_name(waiter.error));
    SHOW(syscall(SYS_set_tid_address, &thread_number) == getpid());
    (void)thread_stack;
}

CASE(lists_of_robust_locks) {
    void *head = NULL;
    size_t length = 0;
    SHOW(syscall(SYS_get_robust_list, 0, &head, &length));
    VALUE(length);
    SHOW(syscall(SYS_set_robust_list, head, 23));
    SHOW(syscall(SYS_set_robust_list, head, 24));
    SHOW(syscall(SYS_get_robust_list, 999999999, &head, &length));
}
