/* Pointers that are not the program's: an error, and nothing of the kernel is touched. */
#include "cases.h"
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/uio.h>

static void *const WRONG[] = {(void *)8, (void *)0x7ffffffff000, (void *)0x800000000000, (void *)0xffff800000000000, (void *)-8};
#define EACH(call)                                                                                                     \
    for (size_t index = 0; index < sizeof WRONG / sizeof *WRONG; index++) {                                            \
        void *at = WRONG[index];                                                                                       \
        errno = 0;                                                                                                     \
        long result = (long)(call);                                                                                    \
        if (index == 0 || result != -1 || errno != EFAULT)                                                             \
            printf("%s, %zu: %s\n", #call, index, result == -1 ? error_name(errno) : "succeeds");                      \
    }

CASE(files) {
    int fd = file_with("f", "0123456789");
    lseek(fd, 0, SEEK_SET);
    EACH(syscall(SYS_read, fd, at, 4));
    EACH(syscall(SYS_write, fd, at, 4));
    EACH(syscall(SYS_pread64, fd, at, 4, 0L));
    EACH(syscall(SYS_pwrite64, fd, at, 4, 0L));
    EACH(syscall(SYS_readv, fd, at, 1));
    EACH(syscall(SYS_writev, fd, at, 1));
    EACH(syscall(SYS_open, at, O_RDONLY));
    EACH(syscall(SYS_openat, AT_FDCWD, at, O_RDONLY));
    EACH(syscall(SYS_stat, at, at));
    EACH(syscall(SYS_stat, "f", at));
    EACH(syscall(SYS_fstat, fd, at));
    EACH(syscall(SYS_newfstatat, AT_FDCWD, "f", at, 0));
    EACH(syscall(SYS_statx, AT_FDCWD, "f", 0, 0x7ff, at));
    EACH(syscall(SYS_access, at, 0));
    EACH(syscall(SYS_unlink, at));
    EACH(syscall(SYS_rename, "f", at));
    EACH(syscall(SYS_mkdir, at, 0700));
    EACH(syscall(SYS_readlink, at, at, 10L));
    EACH(syscall(SYS_symlink, "f", at));
    EACH(syscall(SYS_truncate, at, 0L));
    EACH(syscall(SYS_chmod, at, 0600));
    EACH(syscall(SYS_utimensat, AT_FDCWD, "f", at, 0));
    EACH(syscall(SYS_statfs, ".", at));
    EACH(syscall(SYS_chdir, at));
    EACH(syscall(SYS_fcntl, fd, F_SETLK, at));
    EACH(syscall(SYS_getdents64, MUST(open(".", O_RDONLY)), at, 1000L));
    EACH(syscall(SYS_memfd_create, at, 0));
    EACH(syscall(SYS_pipe2, at, 0));
    EACH(syscall(SYS_getcwd, at, 1000L));
    struct iovec wrong = {(void *)8, 4};
    SHOW(writev(fd, &wrong, 1));
    show_file("f");
}

CASE(waiting) {
    int set = MUST(epoll_create1(0)), fd[2];
    MUST(pipe(fd));
    MUST(write(fd[1], "x", 1));
    struct epoll_event event = {.events = EPOLLIN};
    MUST(epoll_ctl(set, EPOLL_CTL_ADD, fd[0], &event));
    EACH(syscall(SYS_poll, at, 1, 0));
    EACH(syscall(SYS_ppoll, NULL, 0, at, NULL, 8L));
    EACH(syscall(SYS_select, 5, at, NULL, NULL, NULL));
    EACH(syscall(SYS_epoll_wait, set, at, 1, 0));
    EACH(syscall(SYS_epoll_ctl, set, EPOLL_CTL_MOD, fd[0], at));
    EACH(syscall(SYS_nanosleep, at, NULL));
    EACH(syscall(SYS_clock_gettime, CLOCK_REALTIME, at));
    EACH(syscall(SYS_clock_nanosleep, CLOCK_REALTIME, 0, at, NULL));
    EACH(syscall(SYS_gettimeofday, at, NULL));
    EACH(syscall(SYS_futex, at, 0, 0, NULL, NULL, 0));
    EACH(syscall(SYS_futex, at, 128, 0, NULL, NULL, 0));
    EACH(syscall(SYS_timer_create, CLOCK_REALTIME, at, at));
    EACH(syscall(SYS_setitimer, 0, at, NULL));
}

CASE(sockets) {
    int pair[2], fd = MUST(socket(AF_INET, SOCK_STREAM, 0));
    MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
    MUST(write(pair[0], "0123456789", 10));
    EACH(syscall(SYS_bind, fd, at, 16));
    EACH(syscall(SYS_connect, fd, at, 16));
    EACH(syscall(SYS_getsockname, fd, at, at));
    EACH(syscall(SYS_recvfrom, pair[1], at, 4L, 0, NULL, NULL));
    EACH(syscall(SYS_sendto, pair[1], at, 4L, 0, NULL, 0));
    EACH(syscall(SYS_recvmsg, pair[1], at, 0));
    EACH(syscall(SYS_sendmsg, pair[1], at, 0));
    EACH(syscall(SYS_setsockopt, fd, SOL_SOCKET, SO_REUSEADDR, at, 4));
    EACH(syscall(SYS_getsockopt, fd, SOL_SOCKET, SO_TYPE, at, at));
    EACH(syscall(SYS_socketpair, AF_UNIX, SOCK_STREAM, 0, at));
    char text[20] = {0};
    SHOW(read(pair[1], text, 19));
    printf("%s\n", text);
}

CASE(the_rest) {
    EACH(syscall(SYS_rt_sigaction, SIGUSR1, at, NULL, 8L));
    EACH(syscall(SYS_rt_sigprocmask, SIG_BLOCK, at, NULL, 8L));
    EACH(syscall(SYS_sigaltstack, at, NULL));
    EACH(syscall(SYS_uname, at));
    EACH(syscall(SYS_sysinfo, at));
    EACH(syscall(SYS_getrlimit, 0, at));
    EACH(syscall(SYS_prlimit64, 0, 0, at, NULL));
    EACH(syscall(SYS_getrusage, 0, at));
    EACH(syscall(SYS_getrandom, at, 16L, 0));
    EACH(syscall(SYS_sched_getaffinity, 0, 128L, at));
    EACH(syscall(SYS_prctl, 15, at));
    EACH(syscall(SYS_getresuid, at, at, at));
    EACH(syscall(SYS_clone3, at, 88L));
}
