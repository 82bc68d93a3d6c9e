/* Signals: who gets them, when, with what, and what a handler may do. */
#include "cases.h"
#include <pthread.h>
#include <sched.h>
#include <sys/time.h>
#include <sys/ucontext.h>

static volatile int seen[65], last_code, last_value, order[20], count;
static volatile bool is_own_pid;
static void note(int signal, siginfo_t *info, void *context) {
    (void)context;
    seen[signal]++;
    last_code = info->si_code;
    last_value = info->si_value.sival_int;
    is_own_pid = info->si_pid == getpid() && info->si_uid == getuid();
    if (count < 20) order[count++] = signal;
}
static void handle(int signal, int flags) {
    struct sigaction action = {.sa_sigaction = note, .sa_flags = SA_SIGINFO | flags};
    if (sigaction(signal, &action, NULL)) printf("sigaction %d: %s\n", signal, error_name(errno));
}
static void begin(void) {
    memset((void *)seen, 0, sizeof seen);
    count = 0;
}
static void block(int how, int first, int second) {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, first);
    if (second) sigaddset(&set, second);
    if (sigprocmask(how, &set, NULL)) printf("sigprocmask: %s\n", error_name(errno));
}
static bool is_pending(int signal) {
    sigset_t set;
    sigpending(&set);
    return sigismember(&set, signal);
}
static bool is_blocked(int signal) {
    sigset_t set;
    sigprocmask(SIG_BLOCK, NULL, &set);
    return sigismember(&set, signal);
}

CASE(sent_to_ourselves) {
    begin();
    handle(SIGUSR1, 0);
    SHOW(kill(getpid(), SIGUSR1));
    VALUE(seen[SIGUSR1]);
    printf("code %d, ours %d\n", last_code, is_own_pid);
    SHOW(raise(SIGUSR1));
    printf("code %d, ours %d\n", last_code, is_own_pid);
    SHOW(syscall(SYS_tkill, syscall(SYS_gettid), SIGUSR1));
    printf("code %d\n", last_code);
    SHOW(kill(0, 0));
    SHOW(kill(getpid(), 0));
    SHOW(kill(getpid(), 99));
    SHOW(kill(999999999, SIGUSR1));
    VALUE(seen[SIGUSR1]);
}

CASE(with_a_value) {
    begin();
    handle(SIGRTMIN, 0);
    union sigval value = {.sival_int = 1234};
    SHOW(sigqueue(getpid(), SIGRTMIN, value));
    printf("code %d, value %d, ours %d\n", last_code, last_value, is_own_pid);
    SHOW(sigqueue(getpid(), 99, value));
    siginfo_t info = {0};
    info.si_code = -5;
    info.si_value.sival_int = 9;
    SHOW(syscall(SYS_rt_sigqueueinfo, getpid(), SIGRTMIN, &info));
    printf("code %d, value %d\n", last_code, last_value);
}

CASE(blocked_and_pending) {
    begin();
    handle(SIGUSR1, 0);
    block(SIG_BLOCK, SIGUSR1, 0);
    kill(getpid(), SIGUSR1);
    kill(getpid(), SIGUSR1);
    VALUE(seen[SIGUSR1]);
    IS(is_pending(SIGUSR1));
    block(SIG_UNBLOCK, SIGUSR1, 0);
    VALUE(seen[SIGUSR1]);
    IS(is_pending(SIGUSR1));
    block(SIG_SETMASK, SIGKILL, SIGSTOP);
    IS(is_blocked(SIGKILL) || is_blocked(SIGSTOP));
    SHOW(syscall(SYS_rt_sigprocmask, SIG_BLOCK, NULL, NULL, 4));
    SHOW(syscall(SYS_rt_sigprocmask, 99, &(sigset_t){0}, NULL, 8));
    SHOW(syscall(SYS_rt_sigprocmask, SIG_BLOCK, (void *)8, NULL, 8));
    SHOW(syscall(SYS_rt_sigpending, (void *)8, 8));
}

CASE(queued_in_order) {
    begin();
    for (int number = 0; number < 3; number++) handle(SIGRTMIN + number, 0);
    handle(SIGUSR1, 0);
    sigset_t all, old;
    sigfillset(&all);
    sigprocmask(SIG_BLOCK, &all, &old);
    union sigval value = {.sival_int = 0};
    sigqueue(getpid(), SIGRTMIN + 2, value);
    sigqueue(getpid(), SIGRTMIN, value);
    sigqueue(getpid(), SIGRTMIN + 1, value);
    sigqueue(getpid(), SIGRTMIN, value);
    kill(getpid(), SIGUSR1);
    sigtimedwait(&(sigset_t){0}, NULL, &(struct timespec){0, 0});
    /* Taken one by one, lowest first, without handlers that nest. */
    sigset_t set = all;
    for (int round = 0; round < 5; round++) {
        siginfo_t info;
        int signal = sigwaitinfo(&set, &info);
        printf("%d\n", signal >= SIGRTMIN ? signal - SIGRTMIN : -signal);
    }
    sigprocmask(SIG_SETMASK, &old, NULL);
    VALUE(count);
}

CASE(dispositions) {
    begin();
    struct sigaction action = {0}, old;
    SHOW(sigaction(SIGUSR1, NULL, &old));
    IS(old.sa_handler == SIG_DFL);
    handle(SIGUSR1, SA_RESTART | SA_NODEFER);
    SHOW(sigaction(SIGUSR1, NULL, &old));
    IS(old.sa_sigaction == note);
    printf("%x\n", old.sa_flags & (SA_RESTART | SA_NODEFER | SA_SIGINFO | SA_ONSTACK | SA_RESETHAND));
    SHOW(sigaction(SIGKILL, &action, NULL));
    SHOW(sigaction(SIGSTOP, &action, NULL));
    SHOW(sigaction(SIGKILL, NULL, &old));
    SHOW(sigaction(0, &action, NULL));
    SHOW(sigaction(65, &action, NULL));
    SHOW(syscall(SYS_rt_sigaction, SIGUSR1, NULL, NULL, 4));
    SHOW(syscall(SYS_rt_sigaction, SIGUSR1, (void *)8, NULL, 8));
    signal(SIGUSR1, SIG_IGN);
    SHOW(raise(SIGUSR1));
    SHOW(raise(SIGCHLD));
    SHOW(raise(SIGWINCH));
    SHOW(raise(SIGURG));
    SHOW(raise(SIGCONT));
    block(SIG_BLOCK, SIGUSR2, 0);
    handle(SIGUSR2, 0);
    raise(SIGUSR2);
    signal(SIGUSR2, SIG_IGN);
    IS(is_pending(SIGUSR2));
}

CASE(once_only) {
    begin();
    handle(SIGWINCH, SA_RESETHAND);
    raise(SIGWINCH);
    raise(SIGWINCH);
    VALUE(seen[SIGWINCH]);
    struct sigaction old;
    sigaction(SIGWINCH, NULL, &old);
    IS(old.sa_handler == SIG_DFL);
}

static volatile int depth, deepest, total;
static void nests(int signal) {
    depth++;
    total++;
    if (depth > deepest) deepest = depth;
    if (total < 3) raise(signal);
    depth--;
}
CASE(nested) {
    struct sigaction action = {.sa_handler = nests};
    deepest = total = 0;
    sigaction(SIGUSR1, &action, NULL);
    raise(SIGUSR1);
    printf("%d of %d\n", deepest, total);
    action.sa_flags = SA_NODEFER;
    deepest = total = 0;
    sigaction(SIGUSR1, &action, NULL);
    raise(SIGUSR1);
    printf("%d of %d\n", deepest, total);
}

static volatile bool blocked_inside[3];
static void looks_at_mask(int signal) {
    blocked_inside[0] = is_blocked(signal);
    blocked_inside[1] = is_blocked(SIGUSR2);
    blocked_inside[2] = is_blocked(SIGALRM);
}
CASE(the_mask_of_a_handler) {
    struct sigaction action = {.sa_handler = looks_at_mask};
    sigaddset(&action.sa_mask, SIGUSR2);
    sigaction(SIGUSR1, &action, NULL);
    raise(SIGUSR1);
    printf("%d %d %d\n", blocked_inside[0], blocked_inside[1], blocked_inside[2]);
    printf("%d %d\n", is_blocked(SIGUSR1), is_blocked(SIGUSR2));
}

static sigjmp_buf jump;
static volatile struct { int signal, code, trap; long error; bool is_address; } fault;
static char *volatile fault_at;
static void on_fault(int signal, siginfo_t *info, void *context) {
    ucontext_t *ucontext = context;
    fault.signal = signal;
    fault.code = info->si_code;
    fault.trap = ucontext->uc_mcontext.gregs[REG_TRAPNO];
    /* Whether a page was there already is the kernel's business; emulators count gates differently. */
    fault.error = ucontext->uc_mcontext.gregs[REG_ERR];
    fault.error = fault.trap == 13 ? fault.error != 0 : fault.error & ~1;
    fault.is_address = info->si_addr == fault_at;
    siglongjmp(jump, 1);
}
#define FAULT(what, act)                                                                                               \
    do {                                                                                                               \
        fault.signal = 0;                                                                                              \
        if (sigsetjmp(jump, 1) == 0) { act; }                                                                          \
        printf("%s: signal %d, code %d, trap %d, error %lx, address %d\n", what, fault.signal, fault.code, fault.trap,  \
               fault.error, fault.is_address);                                                                         \
    } while (0)
CASE(faults) {
    int signals[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP};
    struct sigaction action = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO};
    for (int index = 0; index < 5; index++) sigaction(signals[index], &action, NULL);
    char *memory = pages(1);
    fault_at = NULL;
    FAULT("read null", (void)*(volatile char *)fault_at);
    FAULT("write null", *(volatile char *)fault_at = 1);
    fault_at = memory;
    *memory = 1; /* so that the page is there */
    mprotect(memory, PAGE, PROT_READ);
    FAULT("write constant", *(volatile char *)fault_at = 1);
    FAULT("run data", ((void (*)(void))(uintptr_t)memory)());
    fault_at = (char *)0xffff800000000000;
    FAULT("the kernel's", (void)*(volatile char *)fault_at);
    fault_at = NULL;
    FAULT("no address", (void)*(volatile char *)0x8000000000000000);
    FAULT("divide", ({ volatile int zero = 0; volatile int result = 7 / zero; (void)result; }));
    FAULT("overflow", __asm__ volatile("movl $0x80000000, %%eax; cltd; movl $-1, %%ecx; idivl %%ecx" ::: "eax", "ecx", "edx"));
    FAULT("invalid", __asm__ volatile("ud2"));
    FAULT("privileged", __asm__ volatile("hlt"));
    FAULT("port", __asm__ volatile("inb $0x60, %%al" ::: "eax"));
    FAULT("breakpoint", __asm__ volatile("int3"));
}

CASE(faults_of_sse) {
    struct sigaction action = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO};
    sigaction(SIGFPE, &action, NULL);
    volatile double zero = 0, result;
    unsigned usual = 0x1f80, divide = usual & ~0x200, invalid = usual & ~0x80;
    __asm__ volatile("ldmxcsr %0" ::"m"(divide));
    FAULT("divide", result = 1 / zero);
    __asm__ volatile("ldmxcsr %0" ::"m"(invalid));
    FAULT("invalid", result = zero / zero);
    __asm__ volatile("ldmxcsr %0" ::"m"(usual));
    (void)result;
}

CASE(faults_of_the_x87) {
    struct sigaction action = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO};
    sigaction(SIGFPE, &action, NULL);
    short control = 0x37f & ~4, plain = 0x37f;
    __asm__ volatile("fninit; fldcw %0" ::"m"(control));
    FAULT("x87", __asm__ volatile("fld1; fldz; fdivrp; fwait" ::: "st", "st(1)"));
    __asm__ volatile("fninit; fldcw %0" ::"m"(plain));
}

/* The error code of this is another under QEMU's translator than on a processor, so it is not told. */
CASE(an_interrupt_of_ones_own) {
    struct sigaction action = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO};
    sigaction(SIGSEGV, &action, NULL);
    fault.signal = 0;
    if (sigsetjmp(jump, 1) == 0) __asm__ volatile("int $0x90");
    printf("signal %d, code %d, trap %d\n", fault.signal, fault.code, fault.trap);
}

static void skips(int signal, siginfo_t *info, void *context) {
    (void)signal;
    (void)info;
    greg_t *registers = ((ucontext_t *)context)->uc_mcontext.gregs;
    registers[REG_RIP] += 2; /* over ud2 */
    registers[REG_RAX] += 1;
}
CASE(a_handler_changes_registers) {
    struct sigaction action = {.sa_sigaction = skips, .sa_flags = SA_SIGINFO};
    sigaction(SIGILL, &action, NULL);
    long value = 41;
    __asm__ volatile("ud2" : "+a"(value));
    VALUE(value);
}

static void spoils(int signal) {
    (void)signal;
    __asm__ volatile("xorps %%xmm0, %%xmm0; xorps %%xmm15, %%xmm15; fldz; xor %%ebx, %%ebx; xor %%r12d, %%r12d; xor %%r10d, %%r10d"
                     ::: "xmm0", "xmm15", "rbx", "r12", "r10", "st");
}
CASE(registers_survive_handlers) {
    struct sigaction action = {.sa_handler = spoils};
    sigaction(SIGUSR1, &action, NULL);
    double one = 1.5, other = 2.5;
    long first = 11, second = 22, third = 33, number = SYS_kill;
    register long r10 __asm__("r10") = 44;
    __asm__ volatile("movsd %[one], %%xmm0; movsd %[other], %%xmm15; syscall; movsd %%xmm0, %[one]; movsd %%xmm15, %[other]"
                     : [one] "+m"(one), [other] "+m"(other), "+b"(first), "+a"(number), "+r"(r10)
                     : "D"((long)getpid()), "S"((long)SIGUSR1)
                     : "rcx", "r11", "xmm0", "xmm15", "memory");
    printf("%.1f %.1f %ld %ld %ld\n", one, other, first, number, r10);
    (void)second;
    (void)third;
}

static volatile bool is_on_stack, is_reported;
static char *stack_memory;
static void on_stack(int signal) {
    (void)signal;
    char here;
    stack_t now;
    is_on_stack = &here >= stack_memory && &here < stack_memory + 16 * PAGE;
    sigaltstack(NULL, &now);
    is_reported = now.ss_flags == SS_ONSTACK;
    errno = 0;
    stack_t none = {.ss_flags = SS_DISABLE};
    printf("changed while used: %s\n", sigaltstack(&none, NULL) ? error_name(errno) : "ok");
}
CASE(another_stack) {
    stack_t stack = {.ss_size = 16 * PAGE}, old;
    stack_memory = stack.ss_sp = pages(16);
    SHOW(sigaltstack(NULL, &old));
    VALUE(old.ss_flags);
    SHOW(sigaltstack(&stack, NULL));
    struct sigaction action = {.sa_handler = on_stack, .sa_flags = SA_ONSTACK};
    sigaction(SIGUSR1, &action, NULL);
    raise(SIGUSR1);
    printf("%d %d\n", is_on_stack, is_reported);
    action.sa_flags = 0;
    sigaction(SIGUSR2, &action, NULL);
    raise(SIGUSR2);
    printf("%d %d\n", is_on_stack, is_reported);
    SHOW(sigaltstack(NULL, &old));
    VALUE(old.ss_flags);
    stack.ss_size = 100;
    SHOW(sigaltstack(&stack, NULL));
    stack = (stack_t){.ss_flags = 77};
    SHOW(sigaltstack(&stack, NULL));
    SHOW(syscall(SYS_sigaltstack, (void *)8, NULL));
    stack = (stack_t){.ss_flags = SS_DISABLE};
    SHOW(sigaltstack(&stack, NULL));
}

static int ends[2];
static void *writes_late(void *unused) {
    sleep_ms(40);
    (void)!write(ends[1], "x", 1);
    return unused;
}
CASE(calls_are_restarted) {
    pthread_t thread;
    char text[2];
    begin();
    MUST(pipe(ends));
    struct itimerval soon = {{0, 0}, {0, 10000}};
    handle(SIGALRM, SA_RESTART);
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGALRM);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    pthread_create(&thread, NULL, writes_late, NULL);
    pthread_sigmask(SIG_UNBLOCK, &set, NULL);
    setitimer(ITIMER_REAL, &soon, NULL);
    SHOW(read(ends[0], text, 1));
    VALUE(seen[SIGALRM]);
    pthread_join(thread, NULL);
    handle(SIGALRM, 0);
    setitimer(ITIMER_REAL, &soon, NULL);
    SHOW(read(ends[0], text, 1));
    VALUE(seen[SIGALRM]);
}

CASE(waited_for) {
    begin();
    sigset_t set, none;
    siginfo_t info;
    struct timespec short_time = {0, 20000000}, wrong = {0, -1};
    sigemptyset(&set);
    sigemptyset(&none);
    sigaddset(&set, SIGUSR1);
    sigaddset(&set, SIGUSR2);
    handle(SIGUSR1, 0);
    sigprocmask(SIG_BLOCK, &set, NULL);
    SHOW(sigtimedwait(&set, &info, &short_time));
    SHOW(sigtimedwait(&set, &info, &wrong));
    kill(getpid(), SIGUSR2);
    int signal = 0;
    SHOW(sigwait(&set, &signal));
    IS(signal == SIGUSR2);
    kill(getpid(), SIGUSR1);
    SHOW(sigwaitinfo(&set, &info) == SIGUSR1);
    printf("%d %d\n", info.si_code, info.si_pid == getpid());
    VALUE(seen[SIGUSR1]);
    kill(getpid(), SIGUSR1);
    SHOW(sigsuspend(&none));
    VALUE(seen[SIGUSR1]);
    IS(is_blocked(SIGUSR1));
    handle(SIGALRM, 0);
    struct itimerval soon = {{0, 0}, {0, 10000}};
    setitimer(ITIMER_REAL, &soon, NULL);
    SHOW(sigtimedwait(&set, &info, &(struct timespec){5, 0}));
    SHOW(syscall(SYS_rt_sigtimedwait, &set, NULL, NULL, 4));
    SHOW(syscall(SYS_rt_sigsuspend, &set, 4));
}

static volatile pid_t handled_by;
static void notes_thread(int signal) { (void)signal; handled_by = syscall(SYS_gettid); }
static volatile pid_t thread_number;
static volatile bool stop_waiting;
static void *waits_for_signals(void *unused) {
    thread_number = syscall(SYS_gettid);
    while (!stop_waiting) sleep_ms(1);
    return unused;
}
CASE(signals_of_threads) {
    pthread_t thread;
    struct sigaction action = {.sa_handler = notes_thread};
    sigaction(SIGUSR1, &action, NULL);
    handled_by = thread_number = 0;
    stop_waiting = false;
    pthread_create(&thread, NULL, waits_for_signals, NULL);
    while (!thread_number) sched_yield();
    SHOW(pthread_kill(thread, SIGUSR1));
    while (!handled_by) sched_yield();
    IS(handled_by == thread_number);
    handled_by = 0;
    SHOW(raise(SIGUSR1));
    IS(handled_by == getpid());
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    handled_by = 0;
    SHOW(kill(getpid(), SIGUSR1));
    while (!handled_by) sched_yield();
    IS(handled_by == thread_number); /* the only one that may */
    IS(is_pending(SIGUSR1));
    SHOW(syscall(SYS_tgkill, getpid(), getpid(), SIGUSR1));
    IS(is_pending(SIGUSR1));
    stop_waiting = true;
    pthread_join(thread, NULL);
    pthread_sigmask(SIG_UNBLOCK, &set, NULL);
    IS(handled_by == getpid());
}

static volatile bool keep_spinning;
static void stops_spinning(int signal) { (void)signal; keep_spinning = false; }
CASE(one_that_computes_is_interrupted) {
    struct sigaction action = {.sa_handler = stops_spinning};
    struct itimerval soon = {{0, 0}, {0, 20000}};
    sigaction(SIGALRM, &action, NULL);
    keep_spinning = true;
    setitimer(ITIMER_REAL, &soon, NULL);
    while (keep_spinning) {}
    IS(!keep_spinning);
}

static volatile long interruptions;
static void counts(int signal) { (void)signal; interruptions++; }
CASE(arithmetic_survives_many_interruptions) {
    struct sigaction action = {.sa_handler = counts};
    struct itimerval often = {{0, 300}, {0, 300}}, never = {{0, 0}, {0, 0}};
    sigaction(SIGALRM, &action, NULL);
    interruptions = 0;
    setitimer(ITIMER_REAL, &often, NULL);
    double sum = 0;
    long rounds = 0, wrong = 0;
    while (interruptions < 100) {
        double now = 0;
        for (int index = 1; index < 1000; index++) now += 1.0 / index;
        if (rounds++ == 0) sum = now;
        wrong += now != sum;
    }
    setitimer(ITIMER_REAL, &never, NULL);
    VALUE(wrong);
    printf("%.10f\n", sum);
}

CASE(sent_to_a_file_nobody_has) {
    begin();
    handle(SIGPIPE, 0);
    int broken[2];
    MUST(pipe(broken));
    close(broken[0]);
    SHOW(write(broken[1], "x", 1));
    VALUE(seen[SIGPIPE]);
    printf("code %d\n", last_code);
}
