// Exceptions of C++: across frames and threads, out of signals (-fnon-call-exceptions), and those that nobody catches.
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <memory>
#include <new>
#include <pthread.h>
#include <stdexcept>
#include <string>
#include <vector>

static volatile int zero;
static volatile int *volatile nothing;

struct Noted {
	const char *name;
	~Noted() { std::printf("~%s ", name); }
};

struct Fault {
	int signal, code;
	bool near_null;
};

__attribute__((noinline)) static int deep(int level)
{
	Noted noted{level % 2 ? "odd" : "even"};
	if (level == 0)
		throw std::runtime_error("deep down");
	return deep(level - 1) + 1;
}

static void thrown()
{
	try {
		deep(5);
	} catch (const std::exception &error) {
		std::printf("\ncaught: %s\n", error.what());
	}
	try {
		try {
			std::vector<int>(3).at(7);
		} catch (const std::out_of_range &) {
			std::throw_with_nested(std::logic_error("outer"));
		}
	} catch (const std::logic_error &error) {
		std::printf("nested: %s\n", error.what());
		try {
			std::rethrow_if_nested(error);
		} catch (const std::out_of_range &) {
			std::puts("inner: out of range");
		}
	}
	try {
		throw 42;
	} catch (int number) {
		std::printf("number: %d\n", number);
	}
	try {
		std::unique_ptr<char[]> much(new char[static_cast<std::size_t>(1) << 60]);
	} catch (const std::bad_alloc &) {
		std::puts("memory: bad_alloc");
	}
}

static void handle(int signal, siginfo_t *info, void *)
{
	sigset_t set;
	sigemptyset(&set);
	sigaddset(&set, signal);
	pthread_sigmask(SIG_UNBLOCK, &set, nullptr);
	throw Fault{signal, info->si_code, signal == SIGSEGV && info->si_addr < reinterpret_cast<void *>(4096)};
}

__attribute__((noinline)) static int divide(int by)
{
	Noted noted{"divide"};
	return 10 / by;
}

__attribute__((noinline)) static int read_from(volatile int *place)
{
	Noted noted{"read"};
	return *place;
}

static void out_of_signals()
{
	struct sigaction action = {};
	action.sa_sigaction = handle;
	action.sa_flags = SA_SIGINFO | SA_NODEFER;
	sigaction(SIGSEGV, &action, nullptr);
	sigaction(SIGFPE, &action, nullptr);
	int caught = 0;
	for (int round = 0; round < 4; round++) {
		try {
			std::printf("%d\n", round % 2 ? divide(zero) : read_from(nothing));
		} catch (const Fault &fault) {
			std::printf("signal %d, code %d, near null: %d\n", fault.signal, fault.code, fault.near_null);
			caught++;
		}
	}
	std::printf("caught: %d\n", caught);
}

static void *work(void *)
{
	out_of_signals();
	try {
		deep(2);
	} catch (...) {
		std::puts("\nin a thread: caught");
	}
	return nullptr;
}

static void never_throws() noexcept
{
	deep(1);
}

int main(int count, char **words)
{
	std::string how = count > 1 ? words[1] : "";
	std::setvbuf(stdout, nullptr, _IONBF, 0);
	if (how == "throw")
		throw std::runtime_error("nobody catches");
	if (how == "number")
		throw 42;
	if (how == "noexcept")
		never_throws();
	if (how == "pure")
		std::terminate();
	if (how == "exit") {
		std::atexit([] { std::puts("at exit"); });
		std::exit(3);
	}
	thrown();
	out_of_signals();
	pthread_t thread;
	pthread_create(&thread, nullptr, work, nullptr);
	pthread_join(thread, nullptr);
	return 0;
}
