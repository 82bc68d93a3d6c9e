/* Clocks, sleeps and timers. */
#include "cases.h"
#include <pthread.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <sys/times.h>

static long long nanoseconds(clockid_t clock) {
    struct timespec time = {0, 0};
    if (clock_gettime(clock, &time)) printf("clock %d: %s\n", clock, error_name(errno));
    return time.tv_sec * 1000000000LL + time.tv_nsec;
}

CASE(clocks_go_on) {
    clockid_t clocks[] = {CLOCK_REALTIME, CLOCK_MONOTONIC, CLOCK_MONOTONIC_RAW, CLOCK_BOOTTIME, CLOCK_REALTIME_COARSE,
                          CLOCK_MONOTONIC_COARSE, CLOCK_PROCESS_CPUTIME_ID, CLOCK_THREAD_CPUTIME_ID, CLOCK_TAI};
    for (size_t index = 0; index < sizeof clocks / sizeof *clocks; index++) {
        long long before = nanoseconds(clocks[index]), after = nanoseconds(clocks[index]);
        printf("%d: %s\n", clocks[index], after >= before && before > 0 ? "goes on" : "goes back");
        struct timespec resolution;
        SHOW(clock_getres(clocks[index], &resolution));
    }
    long long last = nanoseconds(CLOCK_MONOTONIC);
    int backwards = 0;
    for (int round = 0; round < 10000; round++) {
        long long now = nanoseconds(CLOCK_MONOTONIC);
        backwards += now < last;
        last = now;
    }
    VALUE(backwards);
}

CASE(clocks_agree) {
    struct timeval day;
    SHOW(gettimeofday(&day, NULL));
    long long real = nanoseconds(CLOCK_REALTIME) / 1000000000;
    IS(real - day.tv_sec >= 0 && real - day.tv_sec <= 1);
    IS(time(NULL) - real >= 0 && time(NULL) - real <= 1);
    IS(day.tv_usec >= 0 && day.tv_usec < 1000000);
    long long coarse = nanoseconds(CLOCK_MONOTONIC_COARSE), fine = nanoseconds(CLOCK_MONOTONIC);
    IS(fine - coarse >= 0 && fine - coarse < 1000000000);
    struct timezone zone = {7, 7};
    SHOW(syscall(SYS_gettimeofday, &day, &zone));
    SHOW(syscall(SYS_gettimeofday, NULL, NULL));
    SHOW(syscall(SYS_gettimeofday, (void *)8, NULL));
    IS(syscall(SYS_time, NULL) - real <= 1);
    SHOW(syscall(SYS_time, (void *)8));
}

CASE(wrong_clocks) {
    struct timespec time = {0, 0};
    SHOW(syscall(SYS_clock_gettime, 99, &time));
    SHOW(syscall(SYS_clock_gettime, CLOCK_MONOTONIC, (void *)8));
    SHOW(syscall(SYS_clock_getres, 99, &time));
    SHOW(syscall(SYS_clock_getres, CLOCK_MONOTONIC, NULL));
    SHOW(clock_settime(CLOCK_MONOTONIC, &time));
    SHOW(clock_nanosleep(CLOCK_THREAD_CPUTIME_ID, 0, &time, NULL));
    SHOW(clock_nanosleep(99, 0, &time, NULL));
}

CASE(sleeping) {
    struct timespec time = {0, 20000000}, left = {9, 9};
    long start = now_ms();
    SHOW(nanosleep(&time, &left));
    IS(now_ms() - start >= 20);
    time = (struct timespec){0, 1000000000};
    SHOW(nanosleep(&time, NULL));
    time = (struct timespec){-1, 0};
    SHOW(nanosleep(&time, NULL));
    SHOW(syscall(SYS_nanosleep, (void *)8, NULL));
    time = (struct timespec){0, 0};
    SHOW(nanosleep(&time, NULL));
    clock_gettime(CLOCK_MONOTONIC, &time);
    time.tv_nsec += 20000000;
    if (time.tv_nsec >= 1000000000) { time.tv_sec++; time.tv_nsec -= 1000000000; }
    start = now_ms();
    SHOW(clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &time, NULL));
    IS(now_ms() - start >= 19);
    SHOW(clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &time, NULL));
    clock_gettime(CLOCK_REALTIME, &time);
    SHOW(clock_nanosleep(CLOCK_REALTIME, TIMER_ABSTIME, &time, NULL));
    SHOW(usleep(1000));
}

static volatile int rings;
static void on_alarm(int signal) { (void)signal; rings++; }
CASE(sleep_that_is_interrupted) {
    struct sigaction action = {.sa_handler = on_alarm};
    sigaction(SIGALRM, &action, NULL);
    struct itimerval interval = {{0, 0}, {0, 20000}};
    struct timespec time = {10, 0}, left = {0, 0};
    SHOW(setitimer(ITIMER_REAL, &interval, NULL));
    SHOW(nanosleep(&time, &left));
    IS(left.tv_sec == 9 && left.tv_nsec > 500000000);
    SHOW(setitimer(ITIMER_REAL, &interval, NULL));
    SHOW(clock_nanosleep(CLOCK_MONOTONIC, 0, &time, &left));
    IS(left.tv_sec == 9);
    SHOW(setitimer(ITIMER_REAL, &interval, NULL));
    SHOW(pause());
    VALUE(rings);
}

CASE(the_interval_timer) {
    struct sigaction action = {.sa_handler = on_alarm};
    struct itimerval interval = {{0, 5000}, {0, 5000}}, old, none = {{0, 0}, {0, 0}};
    sigaction(SIGALRM, &action, NULL);
    rings = 0;
    SHOW(setitimer(ITIMER_REAL, &interval, NULL));
    while (rings < 3) pause();
    SHOW(getitimer(ITIMER_REAL, &old));
    printf("%ld %ld\n", (long)old.it_interval.tv_sec, (long)old.it_interval.tv_usec);
    IS(old.it_value.tv_usec > 0 && old.it_value.tv_usec <= 5000);
    SHOW(setitimer(ITIMER_REAL, &none, &old));
    SHOW(setitimer(99, &none, NULL));
    interval.it_value.tv_usec = 1000000;
    SHOW(setitimer(ITIMER_REAL, &interval, NULL));
    SHOW(alarm(100));
    SHOW(alarm(0) >= 99);
    SHOW(alarm(0));
}

static volatile int given_value, given_code;
static void on_timer(int signal, siginfo_t *info, void *context) {
    (void)signal;
    (void)context;
    given_value = info->si_value.sival_int;
    rings++;
    given_code = info->si_code;
}
CASE(timers) {
    struct sigaction action = {.sa_sigaction = on_timer, .sa_flags = SA_SIGINFO};
    sigaction(SIGRTMIN, &action, NULL);
    struct sigevent how = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGRTMIN, .sigev_value.sival_int = 55};
    struct itimerspec time = {{0, 0}, {0, 10000000}}, told;
    timer_t timer;
    rings = 0;
    SHOW(timer_create(CLOCK_MONOTONIC, &how, &timer));
    SHOW(timer_gettime(timer, &told));
    printf("%ld %ld\n", told.it_value.tv_sec, told.it_value.tv_nsec);
    SHOW(timer_settime(timer, 0, &time, NULL));
    while (rings == 0) sleep_ms(1);
    VALUE(given_value);
    VALUE(given_code);
    SHOW(timer_getoverrun(timer));
    time.it_interval.tv_nsec = 2000000;
    rings = 0;
    sigset_t blocked;
    sigemptyset(&blocked);
    sigaddset(&blocked, SIGRTMIN);
    SHOW(timer_settime(timer, 0, &time, NULL));
    sigprocmask(SIG_BLOCK, &blocked, NULL);
    sleep_ms(50);
    sigprocmask(SIG_UNBLOCK, &blocked, NULL);
    IS(rings >= 1);
    IS(timer_getoverrun(timer) >= 3 || rings > 1);
    SHOW(timer_delete(timer));
    SHOW(timer_delete(timer));
    SHOW(timer_settime(timer, 0, &time, NULL));
    SHOW(timer_create(99, &how, &timer));
    how.sigev_signo = 99;
    SHOW(timer_create(CLOCK_MONOTONIC, &how, &timer));
    how.sigev_notify = SIGEV_NONE;
    SHOW(timer_create(CLOCK_REALTIME, &how, &timer));
    time = (struct itimerspec){{0, 0}, {1000, 0}};
    SHOW(timer_settime(timer, 0, &time, NULL));
    SHOW(timer_gettime(timer, &told));
    IS(told.it_value.tv_sec == 999);
    SHOW(timer_delete(timer));
}

CASE(time_that_was_used) {
    struct rusage usage;
    struct tms used;
    volatile long sum = 0;
    while (nanoseconds(CLOCK_PROCESS_CPUTIME_ID) < 5000000) sum++;
    SHOW(getrusage(RUSAGE_SELF, &usage));
    IS(usage.ru_utime.tv_sec * 1000000 + usage.ru_utime.tv_usec + usage.ru_stime.tv_sec * 1000000 + usage.ru_stime.tv_usec > 0);
    IS(usage.ru_maxrss > 0);
    SHOW(getrusage(RUSAGE_THREAD, &usage));
    SHOW(getrusage(RUSAGE_CHILDREN, &usage));
    SHOW(getrusage(99, &usage));
    SHOW(syscall(SYS_getrusage, RUSAGE_SELF, (void *)8));
    IS(times(&used) != -1);
    IS(used.tms_cutime == 0);
    long long before = nanoseconds(CLOCK_THREAD_CPUTIME_ID);
    sleep_ms(30);
    IS(nanoseconds(CLOCK_THREAD_CPUTIME_ID) - before < 20000000);
}

CASE(a_timer_that_never_rests) {
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1};
    struct itimerspec setting = {.it_interval = {0, 1}, .it_value = {0, 1}};
    timer_t timer;
    signal(SIGUSR1, SIG_IGN);
    SHOW(timer_create(CLOCK_MONOTONIC, &event, &timer));
    SHOW(timer_settime(timer, 0, &setting, NULL));
    sleep_ms(20);
    SHOW(timer_delete(timer));
}
