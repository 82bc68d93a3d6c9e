/* A program of cases: each prints what it observes of the kernel, in a form that depends on no address, number of a process,
 * time or host, so that the same lines under Linux and in the guest are the test.
 *
 *     CASE(zero_length) { SHOW(munmap(page(1), 0)); }        munmap(page(1), 0): EINVAL
 *
 * `program list` names the cases, `program NAME..` runs those, `program` runs all. Each begins in an empty directory of its
 * own, with no signal blocked, and what it leaves open is closed. */
#ifndef CASES_H
#define CASES_H
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

struct one_case { const char *name; void (*run)(void); struct one_case *next; };
static struct one_case *first_case, **next_case = &first_case;

#define CASE(name)                                                                                                     \
    static void name(void);                                                                                            \
    __attribute__((constructor)) static void register_##name(void) {                                                   \
        static struct one_case this_case = {#name, name, NULL};                                                        \
        *next_case = &this_case;                                                                                       \
        next_case = &this_case.next;                                                                                   \
    }                                                                                                                  \
    static void name(void)

/* The name of an error, as on both C libraries. */
static const char *error_name(int number) {
    static const struct { int number; const char *name; } names[] = {
#define NAME(error) {error, #error},
        NAME(EPERM) NAME(ENOENT) NAME(ESRCH) NAME(EINTR) NAME(EIO) NAME(ENXIO) NAME(E2BIG) NAME(ENOEXEC) NAME(EBADF)
        NAME(ECHILD) NAME(EAGAIN) NAME(ENOMEM) NAME(EACCES) NAME(EFAULT) NAME(ENOTBLK) NAME(EBUSY) NAME(EEXIST) NAME(EXDEV)
        NAME(ENODEV) NAME(ENOTDIR) NAME(EISDIR) NAME(EINVAL) NAME(ENFILE) NAME(EMFILE) NAME(ENOTTY) NAME(ETXTBSY)
        NAME(EFBIG) NAME(ENOSPC) NAME(ESPIPE) NAME(EROFS) NAME(EMLINK) NAME(EPIPE) NAME(EDOM) NAME(ERANGE) NAME(EDEADLK)
        NAME(ENAMETOOLONG) NAME(ENOLCK) NAME(ENOSYS) NAME(ENOTEMPTY) NAME(ELOOP) NAME(ENODATA) NAME(EOVERFLOW)
        NAME(ENOTSOCK) NAME(EDESTADDRREQ) NAME(EMSGSIZE) NAME(EPROTOTYPE) NAME(ENOPROTOOPT) NAME(EPROTONOSUPPORT)
        NAME(ESOCKTNOSUPPORT) NAME(EOPNOTSUPP) NAME(EPFNOSUPPORT) NAME(EAFNOSUPPORT) NAME(EADDRINUSE) NAME(EADDRNOTAVAIL)
        NAME(ENETDOWN) NAME(ENETUNREACH) NAME(ECONNABORTED) NAME(ECONNRESET) NAME(ENOBUFS) NAME(EISCONN) NAME(ENOTCONN)
        NAME(ESHUTDOWN) NAME(ETOOMANYREFS) NAME(ETIMEDOUT) NAME(ECONNREFUSED) NAME(EHOSTUNREACH) NAME(EALREADY)
        NAME(EINPROGRESS) NAME(ECANCELED) NAME(EOWNERDEAD) NAME(ENOTRECOVERABLE)
#undef NAME
    };
    static char other[32];
    for (size_t index = 0; index < sizeof names / sizeof *names; index++)
        if (names[index].number == number) return names[index].name;
    snprintf(other, sizeof other, "error %d", number);
    return other;
}

/* What a call returns, or its error. */
#define SHOW(call)                                                                                                     \
    do {                                                                                                               \
        errno = 0;                                                                                                     \
        long result_ = (long)(call);                                                                                   \
        if (result_ == -1) printf("%s: %s\n", #call, error_name(errno));                                               \
        else printf("%s = %ld\n", #call, result_);                                                                     \
    } while (0)

/* Whether a call succeeds, when what it returns is nobody's business. */
#define TRY(call)                                                                                                      \
    do {                                                                                                               \
        errno = 0;                                                                                                     \
        long result_ = (long)(call);                                                                                   \
        if (result_ == -1) printf("%s: %s\n", #call, error_name(errno));                                               \
        else printf("%s: ok\n", #call);                                                                                \
    } while (0)

/* What must succeed for the case to mean anything. */
#define MUST(call)                                                                                                     \
    ({                                                                                                                 \
        errno = 0;                                                                                                     \
        __typeof__(call) result_ = (call);                                                                             \
        if ((long)result_ == -1) printf("MUST %s: %s\n", #call, error_name(errno));                                    \
        result_;                                                                                                       \
    })

/* A truth, or a number. */
#define IS(condition) printf("%s: %s\n", #condition, (condition) ? "yes" : "no")
#define VALUE(number) printf("%s: %lld\n", #number, (long long)(number))

#define PAGE 4096UL

/* Fresh memory, and a page that is not mapped behind it. */
__attribute__((unused)) static char *pages(size_t count) {
    char *memory = mmap(NULL, (count + 2) * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED) { printf("no memory: %s\n", error_name(errno)); exit(99); }
    munmap(memory, PAGE);
    munmap(memory + (count + 1) * PAGE, PAGE);
    mprotect(memory + PAGE, count * PAGE, PROT_READ | PROT_WRITE);
    return memory + PAGE;
}

/* A file with these contents, open to read and write. */
__attribute__((unused)) static int file_with(const char *name, const char *contents) {
    int fd = open(name, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (fd < 0 || write(fd, contents, strlen(contents)) != (ssize_t)strlen(contents)) printf("cannot write %s\n", name);
    return fd;
}

/* All of a file, as text. */
__attribute__((unused)) static void show_file(const char *name) {
    char text[400];
    int fd = open(name, O_RDONLY);
    if (fd < 0) { printf("%s: %s\n", name, error_name(errno)); return; }
    ssize_t count = read(fd, text, sizeof text - 1);
    close(fd);
    if (count < 0) { printf("%s: read: %s\n", name, error_name(errno)); return; }
    printf("%s: \"", name);
    for (ssize_t at = 0; at < count; at++) {
        if (text[at] >= ' ' && text[at] < 127) putchar(text[at]);
        else printf("\\x%02x", (unsigned char)text[at]);
    }
    printf("\"\n");
}

/* What touching memory comes to: `TOUCHES` is the signal, or 0, and `touched` what it said. */
static sigjmp_buf touch_jump;
static volatile struct { int signal, code; bool is_address_right; } touched;
static volatile char *touch_at;
__attribute__((unused)) static void touch_handler(int signal, siginfo_t *info, void *context) {
    (void)context;
    touched.signal = signal;
    touched.code = info->si_code;
    touched.is_address_right = info->si_addr == touch_at;
    siglongjmp(touch_jump, 1);
}
enum touch { READ_IT, WRITE_IT, RUN_IT };
__attribute__((unused)) static void touch(const char *what, volatile void *at, enum touch how) {
    struct sigaction action = {.sa_sigaction = touch_handler, .sa_flags = SA_SIGINFO}, segv, bus;
    sigaction(SIGSEGV, &action, &segv);
    sigaction(SIGBUS, &action, &bus);
    touch_at = at;
    touched.signal = 0;
    if (sigsetjmp(touch_jump, 1) == 0) {
        if (how == READ_IT) (void)*touch_at;
        else if (how == WRITE_IT) *touch_at = 1;
        else ((void (*)(void))(uintptr_t)at)();
    }
    if (touched.signal == 0) printf("%s: fine\n", what);
    else
        printf("%s: %s, code %d, address %s\n", what, touched.signal == SIGSEGV ? "SIGSEGV" : "SIGBUS", touched.code,
               touched.is_address_right ? "right" : "wrong");
    sigaction(SIGSEGV, &segv, NULL);
    sigaction(SIGBUS, &bus, NULL);
}
#define READS(at) touch("read " #at, at, READ_IT)
#define WRITES(at) touch("write " #at, at, WRITE_IT)
#define RUNS(at) touch("run " #at, at, RUN_IT)

/* Milliseconds of a clock that goes on. */
__attribute__((unused)) static long now_ms(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

__attribute__((unused)) static void sleep_ms(long ms) {
    struct timespec time = {ms / 1000, ms % 1000 * 1000000};
    while (nanosleep(&time, &time) == -1 && errno == EINTR) {}
}

#ifndef OWN_MAIN
static void run_case(struct one_case *this_case) {
    printf("== %s\n", this_case->name);
    char directory[100];
    snprintf(directory, sizeof directory, "%s.d", this_case->name);
    if (mkdir(directory, 0755) || chdir(directory)) printf("no directory: %s\n", error_name(errno));
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    umask(022);
    this_case->run();
    fflush(stdout);
    for (int fd = 3; fd < 64; fd++) close(fd);
    for (int signal = 1; signal < 65; signal++) {
        struct sigaction action = {.sa_handler = SIG_DFL};
        sigaction(signal, &action, NULL);
    }
    if (chdir("..")) printf("no way back: %s\n", error_name(errno));
}

int main(int count, char **names) {
    setvbuf(stdout, NULL, _IOLBF, 1 << 16);
    if (count == 2 && strcmp(names[1], "list") == 0) {
        for (struct one_case *each = first_case; each; each = each->next) printf("%s\n", each->name);
        return 0;
    }
    for (struct one_case *each = first_case; each; each = each->next) {
        bool is_wanted = count == 1;
        for (int index = 1; index < count; index++) is_wanted |= strcmp(names[index], each->name) == 0;
        if (is_wanted) run_case(each);
    }
    return 0;
}
#endif
#endif
