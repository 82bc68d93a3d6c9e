// Leaving handlers by siglongjmp, from an alternate stack among others, where the ordinary one is full.
#include "cases.h"
#include <pthread.h>
#include <setjmp.h>
#include <sys/mman.h>
#include <sys/resource.h>

static sigjmp_buf back;
static volatile sig_atomic_t heard, was_on_stack;
static volatile int zero;

static void leave(int signal, siginfo_t *info, void *context)
{
	stack_t now;
	sigaltstack(NULL, &now);
	was_on_stack = (now.ss_flags & SS_ONSTACK) != 0;
	heard = signal;
	siglongjmp(back, info->si_code + 1000);
}

static void listen_for(int signal, int flags)
{
	struct sigaction action = {.sa_sigaction = leave, .sa_flags = SA_SIGINFO | flags};
	sigaction(signal, &action, NULL);
}

static void use_alternate_stack(void)
{
	stack_t stack = {.ss_sp = malloc(64 << 10), .ss_size = 64 << 10};
	SHOW(sigaltstack(&stack, NULL));
}

static int is_blocked(int signal)
{
	sigset_t set;
	pthread_sigmask(SIG_SETMASK, NULL, &set);
	return sigismember(&set, signal);
}

__attribute__((noinline)) static int deeper(int level)
{
	volatile char room[4096];
	room[level % 4096] = (char)level;
	return deeper(level + 1) + room[level % 4096];
}

static void tell(const char *what, int code)
{
	printf("%s: signal %d, code %d, on the alternate stack: %d, blocked: %d\n", what, heard, code - 1000, was_on_stack,
	       is_blocked(heard));
}

static void faults(int flags)
{
	listen_for(SIGSEGV, flags);
	listen_for(SIGFPE, flags);
	listen_for(SIGILL, flags);
	listen_for(SIGTRAP, flags);
	listen_for(SIGABRT, flags);
	int code;
	if (!(code = sigsetjmp(back, 1)))
		printf("%d\n", *(volatile int *)16);
	else
		tell("null", code);
	if (!(code = sigsetjmp(back, 1)))
		printf("%d\n", 10 / zero);
	else
		tell("divide", code);
	if (!(code = sigsetjmp(back, 1)))
		__asm__ volatile("ud2");
	else
		tell("invalid", code);
	if (!(code = sigsetjmp(back, 1)))
		__asm__ volatile("int3");
	else
		tell("breakpoint", code);
	if (!(code = sigsetjmp(back, 1)))
		abort();
	else
		tell("abort", code);
	// Without the mask the signal stays blocked.
	if (!(code = sigsetjmp(back, 0)))
		printf("%d\n", 10 / zero);
	else
		tell("mask kept", code);
	sigset_t none;
	sigemptyset(&none);
	pthread_sigmask(SIG_SETMASK, &none, NULL);
}

CASE(on_this_stack)
{
	faults(0);
}

CASE(on_another_stack)
{
	use_alternate_stack();
	faults(SA_ONSTACK);
}

static void overflow(void)
{
	use_alternate_stack();
	listen_for(SIGSEGV, SA_ONSTACK);
	// Over and over: nothing of the alternate stack stays in use.
	for (int round = 0; round < 3; round++) {
		int code = sigsetjmp(back, 1);
		if (!code)
			printf("%d\n", deeper(0));
		else
			tell("full", code);
	}
}

CASE(full_stack)
{
	overflow();
}

static void *work(void *argument)
{
	overflow();
	return NULL;
}

CASE(full_stack_of_a_thread)
{
	pthread_t thread;
	pthread_create(&thread, NULL, work, NULL);
	SHOW(pthread_join(thread, NULL));
}

CASE(many)
{
	listen_for(SIGSEGV, 0);
	volatile int caught = 0;
	for (volatile int round = 0; round < 10000; round++) {
		if (!sigsetjmp(back, 1))
			*(volatile int *)8 = 1;
		else
			caught++;
	}
	printf("caught %d\n", caught);
}

#define RAISES(what, ...)                                                                                              \
	do {                                                                                                           \
		int code_ = sigsetjmp(back, 1);                                                                        \
		if (!code_) {                                                                                          \
			__asm__ volatile(__VA_ARGS__);                                                                 \
			puts(what ": nothing");                                                                        \
		} else {                                                                                               \
			tell(what, code_);                                                                             \
		}                                                                                                      \
	} while (0)

CASE(what_a_processor_raises)
{
	listen_for(SIGSEGV, 0);
	listen_for(SIGBUS, 0);
	listen_for(SIGILL, 0);
	listen_for(SIGTRAP, 0);
	RAISES("overflow", "int $4" ::: "rax", "memory");
	RAISES("bound", "int $5" ::: "rax", "memory");
	RAISES("no device", "int $7" ::: "rax", "memory");
	RAISES("double fault", "int $8" ::: "rax", "memory");
	RAISES("system call of old", "int $0x21" ::: "rax", "memory");
	RAISES("step", "pushf; orq $0x100, (%%rsp); popf; nop" ::: "rax", "memory");
	RAISES("halt", "hlt" ::: "rax", "memory");
	RAISES("port", "inb $0x80, %%al" ::: "rax", "memory");
	RAISES("selector", "mov $0x50, %%eax; mov %%eax, %%ds" ::: "rax", "memory");
	RAISES("not an address", "movabs $0x1000000000000000, %%rax; mov (%%rax), %%rax" ::: "rax", "memory");
	RAISES("an address of the kernel", "movabs $0xffff800000000000, %%rax; mov (%%rax), %%rax" ::: "rax", "memory");
	RAISES("a jump to none", "movabs $0x1000000000000000, %%rax; jmp *%%rax" ::: "rax", "memory");
	RAISES("its own code", "lea 0(%%rip), %%rax; mov %%rax, (%%rax)" ::: "rax", "memory");
	RAISES("its own data", "jmp *%%rsp" ::: "rax", "memory");
}

CASE(what_nobody_may_do)
{
	listen_for(SIGSEGV, 0);
	char *anywhere = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_ANONYMOUS | MAP_PRIVATE, -1, 0);
	char *heap = malloc(64), stack[64];
	anywhere[0] = heap[0] = stack[0] = (char)0xc3; /* ret */
	RAISES("code in mapped memory", "call *%0" ::"r"(anywhere) : "memory");
	RAISES("code on the heap", "call *%0" ::"r"(heap) : "memory");
	RAISES("code on the stack", "call *%0" ::"r"((char *)stack) : "memory");
	RAISES("a write to the kernel", "movabs $0xffff800000101000, %%rax; movb $0xcc, (%%rax)" ::: "rax", "memory");
	RAISES("a write to the first page", "movb $1, 8" ::: "rax", "memory");
	RAISES("constants", "movb $1, (%0)" ::"r"("constant") : "memory");
	RAISES("code", "movb $1, (%0)" ::"r"(leave) : "memory");
	munmap(anywhere, 4096);
	RAISES("memory that was given back", "movb $1, (%0)" ::"r"(anywhere) : "memory");
}
