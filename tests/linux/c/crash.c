// Ends by a signal, in the way that its argument names, below functions whose names a report has to tell. With `places` it tells
// where it is instead: its code, its stack, its heap and what is mapped.
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static volatile int zero;

__attribute__((noinline)) int read_from(volatile int *place)
{
	return *place + 1;
}

__attribute__((noinline)) int end_as(const char *how)
{
	if (!strcmp(how, "read"))
		return read_from((int *)8) + 1;
	if (!strcmp(how, "divide"))
		return 10 / zero + 1;
	if (!strcmp(how, "abort"))
		abort();
	if (!strcmp(how, "jump"))
		return ((int (*)(void))(long)zero)() + 1;
	if (!strcmp(how, "trap"))
		__builtin_trap();
	if (!strcmp(how, "no stack"))
		__asm__ volatile("movabs $0x700000000008, %rsp; mov %rsp, %rbp; pop %rax");
	if (!strcmp(how, "spin"))
		while (!zero)
			;
	if (!strcmp(how, "kill"))
		return raise(SIGKILL) + 1;
	return 0;
}

static void on_signal(int number)
{
	zero = number - number;
	abort();
}

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_barrier_t all;
static volatile int is_spinning;

static void *reads_a_pipe(void *ends)
{
	char byte;
	pthread_barrier_wait(&all);
	return (void *)read(*(int *)ends, &byte, 1);
}

static void *takes_a_lock(void *unused)
{
	pthread_barrier_wait(&all);
	pthread_mutex_lock(&lock);
	return unused;
}

static void *spins(void *unused)
{
	pthread_barrier_wait(&all);
	__asm__ volatile("movq %1, %%xmm15\n movl $1, %0\n1: pause\n jmp 1b"
			 : "=m"(is_spinning) : "r"(0x123456789abcdefL) : "xmm15");
	return unused;
}

/* Ends while other threads wait and compute. */
static int end_beside_others(void)
{
	int ends[2];
	pthread_t thread;
	if (pipe(ends))
		return 1;
	pthread_mutex_lock(&lock);
	pthread_barrier_init(&all, NULL, 4);
	pthread_create(&thread, NULL, reads_a_pipe, ends);
	pthread_create(&thread, NULL, takes_a_lock, NULL);
	pthread_create(&thread, NULL, spins, NULL);
	pthread_barrier_wait(&all);
	while (!is_spinning)
		sched_yield();
	return read_from((int *)8) + 1;
}

static int tell_places(void)
{
	int on_stack;
	void *mapped = mmap(NULL, 4096, PROT_READ, MAP_ANONYMOUS | MAP_PRIVATE, -1, 0);
	printf("%p %p %p %p\n", (void *)tell_places, (void *)&on_stack, malloc(16), mapped);
	return 0;
}

int main(int count, char **words)
{
	if (count > 1 && !strcmp(words[1], "places"))
		return tell_places();
	puts("begun");
	fflush(stdout);
	if (count > 1 && !strcmp(words[1], "threads"))
		return end_beside_others();
	if (count > 1 && !strcmp(words[1], "handler")) {
		signal(SIGSEGV, on_signal);
		return end_as("read") + 1;
	}
	return end_as(count > 1 ? words[1] : "");
}
