/* Descriptors: numbers, copies, flags, limits, and what two of them share. */
#include "cases.h"
#include <netinet/in.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/socket.h>

CASE(the_lowest_number_is_taken) {
    int one = MUST(open("/dev/null", O_RDWR)), two = MUST(open("/dev/null", O_RDWR));
    printf("%d\n", two - one);
    close(one);
    IS(open("/dev/null", O_RDWR) == one);
    IS(open("/dev/null", O_RDWR) == two + 1);
    SHOW(close(two));
    SHOW(close(two));
    SHOW(close(-1));
    SHOW(close(100000));
}

CASE(copies) {
    int fd = file_with("f", "0123456789");
    int copy = MUST(dup(fd));
    SHOW(lseek(fd, 4, SEEK_SET));
    SHOW(lseek(copy, 0, SEEK_CUR));
    int again = MUST(open("f", O_RDONLY));
    SHOW(lseek(again, 0, SEEK_CUR));
    SHOW(fcntl(fd, F_SETFL, O_APPEND));
    printf("%o\n", fcntl(copy, F_GETFL) & O_APPEND);
    SHOW(fcntl(fd, F_SETFD, FD_CLOEXEC));
    SHOW(fcntl(copy, F_GETFD));
    SHOW(dup2(fd, 40));
    SHOW(dup2(fd, fd) == fd);
    SHOW(dup2(99, 99));
    SHOW(dup2(fd, -1));
    SHOW(dup2(fd, 1 << 30));
    SHOW(dup(99));
    SHOW(dup3(fd, 41, O_CLOEXEC));
    SHOW(fcntl(41, F_GETFD));
    SHOW(dup3(fd, fd, 0));
    SHOW(dup3(fd, 41, O_APPEND));
    SHOW(fcntl(fd, F_DUPFD, 50));
    SHOW(fcntl(fd, F_DUPFD_CLOEXEC, 50));
    SHOW(fcntl(51, F_GETFD));
    SHOW(fcntl(fd, F_DUPFD, -1));
    SHOW(fcntl(fd, F_DUPFD, 1 << 30));
}

CASE(dup2_closes_what_is_there) {
    int ends[2];
    MUST(pipe(ends));
    MUST(write(ends[1], "x", 1));
    int null = MUST(open("/dev/null", O_RDWR));
    SHOW(dup2(null, ends[1]) == ends[1]);
    char text[2];
    SHOW(read(ends[0], text, 2));
    SHOW(read(ends[0], text, 2));
}

CASE(closed_by_ranges) {
    for (int fd = 20; fd < 30; fd++) MUST(dup2(1, fd));
    SHOW(syscall(SYS_close_range, 22, 25, 0));
    for (int fd = 20; fd < 30; fd++) printf("%d", fcntl(fd, F_GETFD) != -1);
    printf("\n");
    SHOW(syscall(SYS_close_range, 28, 29, 4 /* CLOSE_RANGE_CLOEXEC */));
    SHOW(fcntl(28, F_GETFD));
    SHOW(fcntl(27, F_GETFD));
    SHOW(syscall(SYS_close_range, 30, 20, 0));
    SHOW(syscall(SYS_close_range, 20, 29, 0x100));
    SHOW(syscall(SYS_close_range, 20, ~0U, 0));
    SHOW(fcntl(20, F_GETFD));
}

CASE(no_more_than_the_limit) {
    struct rlimit old, few;
    MUST(getrlimit(RLIMIT_NOFILE, &old));
    few = old;
    few.rlim_cur = 20;
    SHOW(setrlimit(RLIMIT_NOFILE, &few));
    int opened = 0, fd;
    while ((fd = open("/dev/null", O_RDONLY)) >= 0) opened++;
    printf("%s\n", error_name(errno));
    IS(opened <= 17 && opened >= 10);
    int ends[2];
    SHOW(pipe(ends));
    SHOW(dup(1));
    SHOW(dup2(1, 30));
    SHOW(dup2(1, 19));
    SHOW(fcntl(1, F_DUPFD, 5));
    few.rlim_cur = 5;
    SHOW(setrlimit(RLIMIT_NOFILE, &few));
    SHOW(fcntl(19, F_GETFD));
    SHOW(close(19));
    for (int number = 3; number < 20; number++) close(number);
    SHOW(setrlimit(RLIMIT_NOFILE, &old));
    IS(open("/dev/null", O_RDONLY) >= 3);
}

CASE(many) {
    int last = -1, count = 0;
    for (int number = 0; number < 900; number++) {
        int fd = open("/dev/null", O_RDONLY);
        if (fd < 0) break;
        last = fd;
        count++;
    }
    VALUE(count);
    IS(last >= 900);
    SHOW(syscall(SYS_close_range, 3, ~0U, 0));
}

CASE(ioctls_of_no_device) {
    int fd = file_with("f", "12345"), on = 1, count = -1;
    struct { short rows, columns, x, y; } size;
    SHOW(ioctl(fd, TIOCGWINSZ, &size));
    SHOW(ioctl(fd, TCGETS, &size));
    SHOW(ioctl(fd, FIONBIO, &on));
    IS(fcntl(fd, F_GETFL) & O_NONBLOCK);
    SHOW(ioctl(fd, FIOCLEX));
    SHOW(fcntl(fd, F_GETFD));
    SHOW(ioctl(fd, FIONCLEX));
    SHOW(fcntl(fd, F_GETFD));
    lseek(fd, 2, SEEK_SET);
    SHOW(ioctl(fd, FIONREAD, &count));
    VALUE(count);
    SHOW(ioctl(fd, 0x12345678, NULL));
    SHOW(ioctl(99, FIONREAD, &count));
    SHOW(ioctl(fd, FIONREAD, (int *)8));
}

CASE(devices) {
    char text[8] = "xxxxxxx";
    int null = MUST(open("/dev/null", O_RDWR)), zero = MUST(open("/dev/zero", O_RDWR)), full = MUST(open("/dev/full", O_RDWR));
    SHOW(read(null, text, 4));
    SHOW(write(null, text, 4));
    SHOW(read(zero, text, 4));
    IS(memcmp(text, "\0\0\0\0xxx", 7) == 0);
    SHOW(write(zero, text, 4));
    SHOW(read(full, text, 8));
    SHOW(write(full, text, 4));
    SHOW(lseek(null, 100, SEEK_SET));
    int random = MUST(open("/dev/urandom", O_RDONLY));
    SHOW(read(random, text, 8));
    SHOW(read(MUST(open("/dev/random", O_RDONLY)), text, 8));
    struct stat status;
    MUST(fstat(null, &status));
    printf("%o %lx\n", status.st_mode, (unsigned long)status.st_rdev);
    MUST(fstat(random, &status));
    printf("%o %lx\n", status.st_mode, (unsigned long)status.st_rdev);
    SHOW(ftruncate(null, 0));
    SHOW(open("/dev/null/x", O_RDONLY));
    IS(mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, zero, 0) != MAP_FAILED);
    struct pollfd polled = {null, POLLIN | POLLOUT, 0};
    SHOW(poll(&polled, 1, 0));
    VALUE(polled.revents);
}

CASE(descriptors_as_files) {
    int fd = file_with("f", "0123456789");
    char path[40], text[20] = {0}, target[PATH_MAX] = {0};
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    MUST(lseek(fd, 5, SEEK_SET));
    int again = MUST(open(path, O_RDONLY));
    SHOW(read(again, text, 3));
    printf("%s\n", text);
    IS(readlink(path, target, sizeof target - 1) > 0);
    char *name = strrchr(target, '/');
    printf("%s\n", name ? name : target);
    snprintf(path, sizeof path, "/dev/fd/%d", fd);
    SHOW(open(path, O_RDONLY) >= 0);
    SHOW(open("/proc/self/fd/99", O_RDONLY));
    unlink("f");
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    memset(target, 0, sizeof target);
    IS(readlink(path, target, sizeof target - 1) > 0);
    IS(strstr(target, " (deleted)") != NULL);
    int ends[2];
    MUST(pipe(ends));
    snprintf(path, sizeof path, "/proc/self/fd/%d", ends[0]);
    memset(target, 0, sizeof target);
    IS(readlink(path, target, sizeof target - 1) > 0);
    IS(strncmp(target, "pipe:[", 6) == 0);
}

/* A connection waits while no descriptor is left for it. */
static void accepts_later(int family) {
    struct sockaddr_storage address = {.ss_family = family};
    socklen_t length = family == AF_INET ? sizeof(struct sockaddr_in) : sizeof(sa_family_t);
    int listener = MUST(socket(family, SOCK_STREAM, 0)), client = MUST(socket(family, SOCK_STREAM, 0));
    MUST(bind(listener, (struct sockaddr *)&address, length));
    MUST(listen(listener, 5));
    length = sizeof address;
    MUST(getsockname(listener, (struct sockaddr *)&address, &length));
    struct rlimit old, few;
    MUST(getrlimit(RLIMIT_NOFILE, &old));
    few = (struct rlimit){client + 1, old.rlim_max};
    MUST(setrlimit(RLIMIT_NOFILE, &few));
    SHOW(accept(listener, NULL, NULL));
    MUST(connect(client, (struct sockaddr *)&address, length));
    SHOW(accept(listener, NULL, NULL));
    SHOW(accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC));
    struct pollfd polled = {listener, POLLIN, 0};
    SHOW(poll(&polled, 1, 5000));
    MUST(setrlimit(RLIMIT_NOFILE, &old));
    int server = MUST(accept4(listener, NULL, NULL, SOCK_CLOEXEC));
    IS(server == client + 1);
    SHOW(fcntl(server, F_GETFD));
    char text[2];
    MUST(write(client, "x", 1));
    SHOW(read(server, text, 2));
    MUST(fcntl(listener, F_SETFL, O_NONBLOCK));
    SHOW(accept(listener, NULL, NULL));
    IS(dup(listener) == server + 1);
}
CASE(accepted_once_there_is_room) {
    syscall(SYS_close_range, 3, ~0U, 0); // what whoever started this left open
    accepts_later(AF_INET);
    accepts_later(AF_UNIX);
}
