/* What a program does with its processor that others do not: flags, selectors, wild addresses, wide registers. */
#include "cases.h"
#include <cpuid.h>
#include <immintrin.h>
#include <pthread.h>
#include <sched.h>
#include <sys/time.h>
#include <sys/ucontext.h>

static sigjmp_buf jump;
static volatile int caught, caught_code;
static void catches(int signal, siginfo_t *info, void *context) {
    (void)context;
    caught = signal;
    caught_code = info->si_code;
    siglongjmp(jump, 1);
}
static char *other_stack;
static void begin(void) {
    int signals[] = {SIGSEGV, SIGBUS, SIGILL, SIGTRAP, SIGFPE};
    if (!other_stack) other_stack = pages(16);
    stack_t stack = {.ss_sp = other_stack, .ss_size = 16 * PAGE};
    sigaltstack(&stack, NULL);
    struct sigaction action = {.sa_sigaction = catches, .sa_flags = SA_SIGINFO | SA_ONSTACK};
    for (int index = 0; index < 5; index++) sigaction(signals[index], &action, NULL);
}
#define TRIES(what, act)                                                                                               \
    do {                                                                                                               \
        caught = caught_code = 0;                                                                                      \
        if (sigsetjmp(jump, 1) == 0) { act; }                                                                          \
        printf("%s: signal %d, code %d\n", what, caught, caught_code);                                                  \
    } while (0)

#define ENDS(what, act)                                                                                                \
    do {                                                                                                               \
        caught = 0;                                                                                                    \
        if (sigsetjmp(jump, 1) == 0) { act; }                                                                          \
        printf("%s: %s\n", what, caught == SIGSEGV || caught == SIGBUS ? "caught" : "not caught");                     \
    } while (0)

CASE(wild_jumps) {
    begin();
    TRIES("null", ((void (*)(void))0)());
    TRIES("not canonical", __asm__ volatile("movabs $0x8000000000000000, %%rax; jmp *%%rax" ::: "rax"));
    TRIES("the kernel's", __asm__ volatile("movabs $0xffff800000000000, %%rax; jmp *%%rax" ::: "rax"));
    TRIES("return to nowhere", __asm__ volatile("movabs $0x1234567812345678, %%rax; push %%rax; ret" ::: "rax"));
    TRIES("the end of addresses", __asm__ volatile("movabs $0x7fffffffffff, %%rax; jmp *%%rax" ::: "rax"));
}

CASE(wild_stacks) {
    begin();
    TRIES("null", __asm__ volatile("xor %%esp, %%esp; push %%rax" ::: "memory"));
    /* Which of two signals, emulators do not agree on. */
    ENDS("not canonical", __asm__ volatile("movabs $0x8000000000000000, %%rsp; push %%rax" ::: "memory"));
    ENDS("the kernel's", __asm__ volatile("movabs $0xffff800000000000, %%rsp; push %%rax" ::: "memory"));
    TRIES("a call on no stack", __asm__ volatile(
        "mov $39, %%eax; mov %%rsp, %%rbx; xor %%esp, %%esp; syscall; mov %%rbx, %%rsp" ::: "rax", "rbx", "rcx", "r11"));
}

CASE(flags) {
    begin();
    long number = SYS_getpid;
    __asm__ volatile("std; syscall; cld" : "+a"(number)::"rcx", "r11", "memory");
    IS(number == getpid());
    TRIES("a step", __asm__ volatile("pushf; orl $0x100, (%%rsp); popf; nop" ::: "cc", "memory"));
    number = SYS_getpid;
    __asm__ volatile("pushf; orl $0x4000, (%%rsp); popf; syscall; pushf; andl $~0x4000, (%%rsp); popf" : "+a"(number)::"rcx", "r11", "cc", "memory");
    IS(number == getpid());
    unsigned long kept;
    number = SYS_getpid;
    __asm__ volatile("pushf; orl $0x40000, (%%rsp); popf; syscall; pushf; pop %1; pushf; andl $~0x40000, (%%rsp); popf"
                     : "+a"(number), "=r"(kept)::"rcx", "r11", "cc", "memory");
    IS(kept & 0x40000);
    TRIES("interrupts off", __asm__ volatile("cli"));
    TRIES("interrupts on", __asm__ volatile("sti"));
    unsigned long flags;
    __asm__ volatile("pushf; pushf; andl $~0x200, (%%rsp); popf; pushf; pop %0; popf" : "=r"(flags)::"cc", "memory");
    IS(flags & 0x200);
}

CASE(selectors) {
    begin();
    unsigned short code, stack, zero = 0;
    __asm__("mov %%cs, %0; mov %%ss, %1" : "=r"(code), "=r"(stack));
    printf("%x %x\n", code, stack);
    unsigned long self, before;
    __asm__("mov %%fs:0, %0" : "=r"(before));
    __asm__ volatile("mov %0, %%ds; mov %0, %%es" ::"r"(stack));
    __asm__ volatile("mov %0, %%ds; mov %0, %%es" ::"r"(zero));
    __asm__ volatile("mov %0, %%gs" ::"r"(zero));
    long number = SYS_getpid;
    __asm__ volatile("syscall" : "+a"(number)::"rcx", "r11", "memory");
    IS(number == getpid());
    sched_yield();
    sleep_ms(1);
    __asm__("mov %%fs:0, %0" : "=r"(self));
    IS(self == before);
    TRIES("the kernel's code", __asm__ volatile("mov %0, %%ds" ::"r"((short)0x10)));
    TRIES("none that is there", __asm__ volatile("mov %0, %%es" ::"r"((short)0xfff8)));
    TRIES("no stack", __asm__ volatile("mov %0, %%ss" ::"r"((short)0)));
    TRIES("far away", __asm__ volatile("push $0x10; push $0; lretq"));
}

CASE(privileged_instructions) {
    begin();
    TRIES("cr0", __asm__ volatile("mov %%cr0, %%rax" ::: "rax"));
    TRIES("cr3", __asm__ volatile("mov %%rax, %%cr3" ::: "rax"));
    TRIES("rdmsr", __asm__ volatile("rdmsr" ::: "rax", "rdx"));
    TRIES("wrmsr", __asm__ volatile("wrmsr" ::: "rax", "rdx"));
    TRIES("lgdt", __asm__ volatile("lgdt (%%rsp)" ::: "memory"));
    TRIES("invlpg", __asm__ volatile("invlpg (%%rsp)" ::: "memory"));
    TRIES("swapgs", __asm__ volatile("swapgs"));
    TRIES("iretq", __asm__ volatile("push $0x18; push $0; push $0; push $0x10; push $0; iretq"));
    TRIES("sysret", __asm__ volatile("sysretq"));
    TRIES("out", __asm__ volatile("outb %%al, $0x80" ::: "rax"));
    TRIES("wbinvd", __asm__ volatile("wbinvd"));
}

CASE(what_is_allowed) {
    unsigned a, b, c, d;
    __cpuid(0, a, b, c, d);
    IS(a > 0);
    unsigned long one = __rdtsc(), other = __rdtsc();
    IS(other >= one);
    __cpuid(1, a, b, c, d);
    if (c & 1 << 27) {
        unsigned low, high;
        __asm__("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
        IS((low & 3) == 3);
    } else printf("(low & 3) == 3: yes\n");
}

static volatile bool stop;
__attribute__((target("avx"))) static void *uses_avx(void *number) {
    long wrong = 0;
    __m256d mine = _mm256_set1_pd((double)(long)number), now;
    double out[4];
    for (long round = 0; round < 3000; round++) {
        __asm__ volatile("vmovapd %1, %%ymm7; vmovapd %1, %%ymm15; mov %2, %%rax; 1: dec %%rax; jnz 1b; vaddpd %%ymm15, %%ymm7, %0"
                         : "=x"(now) : "x"(mine), "i"(2000) : "rax", "ymm7", "ymm15", "cc");
        _mm256_storeu_pd(out, now);
        for (int lane = 0; lane < 4; lane++) wrong += out[lane] != 2.0 * (double)(long)number;
        if (round % 100 == 0) sched_yield();
    }
    return (void *)wrong;
}
static void *uses_sse(void *number) {
    double sum = 0;
    long wrong = 0;
    for (long round = 0; round < 3000; round++) {
        sum = 0;
        for (int index = 0; index < 300; index++) sum += (double)(long)number;
        wrong += sum != 300.0 * (double)(long)number;
        if (round % 100 == 0) sched_yield();
    }
    return (void *)wrong;
}
CASE(wide_registers_are_a_threads_own) {
    pthread_t threads[4];
    long wrong = 0;
    bool has_avx = __builtin_cpu_supports("avx");
    for (long index = 0; index < 4; index++) pthread_create(&threads[index], NULL, has_avx ? uses_avx : uses_sse, (void *)(index + 1));
    for (int index = 0; index < 4; index++) {
        void *result;
        pthread_join(threads[index], &result);
        wrong += (long)result;
    }
    VALUE(wrong);
}

static void *sets_rounding(void *mode) {
    unsigned control = 0x1f80 | (unsigned)(long)mode << 13, now;
    long wrong = 0;
    __asm__ volatile("ldmxcsr %0" ::"m"(control));
    for (int round = 0; round < 50; round++) {
        sched_yield();
        __asm__ volatile("stmxcsr %0" : "=m"(now));
        wrong += (now & ~0x3f) != (control & ~0x3f);
    }
    return (void *)wrong;
}
CASE(rounding_is_a_threads_own) {
    pthread_t threads[4];
    long wrong = 0;
    for (long index = 0; index < 4; index++) pthread_create(&threads[index], NULL, sets_rounding, (void *)index);
    for (int index = 0; index < 4; index++) {
        void *result;
        pthread_join(threads[index], &result);
        wrong += (long)result;
    }
    VALUE(wrong);
}

static volatile unsigned long frame_magic, frame_size;
static void looks_at_frame(int signal, siginfo_t *info, void *context) {
    (void)signal;
    (void)info;
    ucontext_t *ucontext = context;
    unsigned char *state = (unsigned char *)ucontext->uc_mcontext.fpregs;
    frame_magic = *(unsigned *)(state + 464);
    frame_size = *(unsigned *)(state + 480);
    IS((uintptr_t)state % 64 == 0);
    if (frame_magic == 0x46505853) IS(*(unsigned *)(state + frame_size) == 0x46505845);
    else printf("*(unsigned *)(state + frame_size) == 0x46505845: yes\n");
}
CASE(the_state_in_a_frame) {
    struct sigaction action = {.sa_sigaction = looks_at_frame, .sa_flags = SA_SIGINFO};
    sigaction(SIGUSR1, &action, NULL);
    raise(SIGUSR1);
    IS(frame_size >= 512 || frame_magic == 0);
}
