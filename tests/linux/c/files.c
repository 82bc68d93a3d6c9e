/* Files: how they are opened, read, written, cut and described. */
#include "cases.h"
#include <sys/file.h>
#include <sys/sendfile.h>
#include <sys/statfs.h>
#include <sys/uio.h>

static void show_status(const char *name) {
    struct stat status;
    if (stat(name, &status)) { printf("%s: %s\n", name, error_name(errno)); return; }
    /* What a directory's size and links are is the file system's business. */
    bool is_directory = S_ISDIR(status.st_mode);
    printf("%s: mode %o, %ld bytes, %ld links, owner %d\n", name, status.st_mode, is_directory ? -1L : (long)status.st_size,
           is_directory ? -1L : (long)status.st_nlink, (int)status.st_uid);
}

CASE(how_a_file_is_opened) {
    SHOW(open("f", O_RDONLY));
    SHOW(open("f", O_WRONLY | O_CREAT | O_EXCL, 0640) >= 0);
    show_status("f");
    SHOW(open("f", O_RDWR | O_CREAT | O_EXCL, 0600));
    SHOW(open("f", O_RDWR | O_CREAT, 0777) >= 0);
    show_status("f");
    SHOW(open("f", O_RDONLY | O_DIRECTORY));
    SHOW(open(".", O_RDONLY | O_DIRECTORY) >= 0);
    SHOW(open(".", O_RDWR));
    SHOW(open(".", O_WRONLY | O_CREAT, 0600));
    SHOW(open("f/", O_RDONLY));
    SHOW(open("f/x", O_RDONLY));
    SHOW(open("new/", O_WRONLY | O_CREAT, 0600));
    SHOW(open("missing/f", O_WRONLY | O_CREAT, 0600));
    SHOW(open("", O_RDONLY));
    SHOW(open((char *)8, O_RDONLY));
}

CASE(names_that_are_too_long) {
    char name[300];
    memset(name, 'n', sizeof name);
    name[255] = 0;
    SHOW(open(name, O_WRONLY | O_CREAT, 0600) >= 0);
    name[255] = 'n';
    name[256] = 0;
    SHOW(open(name, O_WRONLY | O_CREAT, 0600));
    char path[5000];
    for (int at = 0; at < 4999; at++) path[at] = at % 2 ? '/' : '.';
    path[4094] = 0;
    SHOW(open(path, O_RDONLY) >= 0);
    path[4094] = '.';
    path[4096] = 0;
    SHOW(open(path, O_RDONLY));
}

CASE(the_mask_of_new_files) {
    umask(0);
    SHOW(open("all", O_WRONLY | O_CREAT, 0666) >= 0);
    SHOW(umask(077));
    SHOW(open("mine", O_WRONLY | O_CREAT, 0666) >= 0);
    SHOW(mkdir("directory", 0777));
    SHOW(open("set", O_WRONLY | O_CREAT, 07777) >= 0);
    SHOW(umask(022));
    show_status("all");
    show_status("mine");
    show_status("directory");
    show_status("set");
}

CASE(flags_are_told) {
    int fd = MUST(open("f", O_RDWR | O_CREAT | O_TRUNC | O_APPEND | O_NONBLOCK | O_CLOEXEC, 0600));
    printf("%o\n", fcntl(fd, F_GETFL));
    SHOW(fcntl(fd, F_GETFD));
    SHOW(fcntl(fd, F_SETFL, O_RDONLY));
    printf("%o\n", fcntl(fd, F_GETFL));
    SHOW(fcntl(fd, F_SETFL, O_APPEND | O_SYNC | O_CREAT));
    printf("%o\n", fcntl(fd, F_GETFL));
    SHOW(fcntl(fd, F_SETFD, 0));
    SHOW(fcntl(fd, F_GETFD));
    SHOW(fcntl(fd, 9999));
    SHOW(fcntl(99, F_GETFL));
    printf("%o\n", fcntl(MUST(open("f", O_WRONLY)), F_GETFL));
    printf("%o\n", fcntl(MUST(open(".", O_PATH)), F_GETFL));
}

CASE(reading_and_writing_take_turns) {
    int fd = file_with("f", "0123456789");
    char text[20] = {0};
    SHOW(read(fd, text, 5));
    SHOW(lseek(fd, 0, SEEK_SET));
    SHOW(read(fd, text, 4));
    printf("%s\n", text);
    SHOW(write(fd, "ABC", 3));
    SHOW(read(fd, text, 20));
    printf("%s\n", text);
    SHOW(read(fd, text, 20));
    show_file("f");
    SHOW(read(fd, text, 0));
    SHOW(write(fd, text, 0));
    SHOW(read(fd, (char *)8, 0));
    SHOW(read(MUST(open("f", O_WRONLY)), text, 1));
    SHOW(write(MUST(open("f", O_RDONLY)), text, 1));
    SHOW(read(MUST(open(".", O_RDONLY)), text, 1));
    SHOW(read(-1, text, 1));
    SHOW(write(1000, text, 1));
}

CASE(seeking) {
    int fd = file_with("f", "0123456789");
    SHOW(lseek(fd, 3, SEEK_SET));
    SHOW(lseek(fd, 3, SEEK_CUR));
    SHOW(lseek(fd, -1, SEEK_END));
    SHOW(lseek(fd, -11, SEEK_END));
    SHOW(lseek(fd, -1, SEEK_SET));
    SHOW(lseek(fd, 100, SEEK_SET));
    SHOW(lseek(fd, 0, 99));
    SHOW(write(fd, "x", 1));
    show_status("f");
    char text[100];
    SHOW(pread(fd, text, 100, 5));
    IS(memcmp(text, "56789\0\0\0", 8) == 0);
    SHOW(lseek(fd, 0, SEEK_CUR));
    SHOW(lseek(fd, LONG_MAX, SEEK_SET));
    SHOW(read(fd, text, 1));
    SHOW(lseek(fd, 1, SEEK_CUR));
    int ends[2];
    MUST(pipe(ends));
    SHOW(lseek(ends[0], 0, SEEK_CUR));
}

CASE(holes) {
    int fd = file_with("f", "");
    SHOW(lseek(fd, 0, SEEK_DATA));
    SHOW(pwrite(fd, "data", 4, 16 * PAGE));
    SHOW(lseek(fd, 0, SEEK_DATA));
    SHOW(lseek(fd, 0, SEEK_HOLE));
    SHOW(lseek(fd, 16 * PAGE, SEEK_HOLE));
    SHOW(lseek(fd, 16 * PAGE + 2, SEEK_DATA));
    SHOW(lseek(fd, 17 * PAGE, SEEK_DATA));
    SHOW(fallocate(fd, 0, 0, 2 * PAGE));
    show_status("f");
    SHOW(fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, 100 * PAGE));
    show_status("f");
    SHOW(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 16 * PAGE + 1, 2));
    char text[4];
    SHOW(pread(fd, text, 4, 16 * PAGE));
    IS(memcmp(text, "d\0\0a", 4) == 0);
    SHOW(fallocate(fd, FALLOC_FL_PUNCH_HOLE, 0, 1));
    SHOW(fallocate(fd, 0, -1, 1));
    SHOW(fallocate(fd, 0, 0, 0));
    SHOW(posix_fallocate(fd, 0, 20 * PAGE));
    show_status("f");
}

CASE(cutting_and_growing) {
    int fd = file_with("f", "0123456789");
    SHOW(ftruncate(fd, 4));
    show_file("f");
    SHOW(ftruncate(fd, 8));
    show_file("f");
    SHOW(ftruncate(fd, -1));
    SHOW(truncate("f", 2));
    show_file("f");
    SHOW(truncate("missing", 2));
    SHOW(truncate(".", 2));
    SHOW(ftruncate(MUST(open("f", O_RDONLY)), 0));
    int ends[2];
    MUST(pipe(ends));
    SHOW(ftruncate(ends[1], 0));
    SHOW(open("f", O_WRONLY | O_TRUNC) >= 0);
    show_status("f");
}

CASE(appending) {
    close(file_with("f", "start"));
    int fd = MUST(open("f", O_RDWR | O_APPEND));
    SHOW(lseek(fd, 0, SEEK_SET));
    SHOW(write(fd, "+1", 2));
    SHOW(lseek(fd, 0, SEEK_CUR));
    SHOW(pwrite(fd, "+2", 2, 0));
    show_file("f");
    SHOW(fcntl(fd, F_SETFL, 0));
    SHOW(pwrite(fd, "S", 1, 0));
    show_file("f");
}

CASE(in_pieces) {
    int fd = file_with("f", "");
    char one[4] = {0}, two[8] = {0};
    struct iovec out[3] = {{"abc", 3}, {"", 0}, {"defgh", 5}}, in[2] = {{one, 3}, {two, 7}};
    SHOW(writev(fd, out, 3));
    SHOW(lseek(fd, 0, SEEK_SET));
    SHOW(readv(fd, in, 2));
    printf("%s %s\n", one, two);
    SHOW(pwritev(fd, out, 1, 10));
    SHOW(preadv(fd, in, 2, 9));
    SHOW(lseek(fd, 0, SEEK_CUR));
    SHOW(writev(fd, out, 0));
    SHOW(syscall(SYS_writev, fd, out, -1));
    SHOW(syscall(SYS_writev, fd, out, 1025));
    struct iovec bad[2] = {{"xyz", 3}, {(void *)8, 4}}, huge[2] = {{one, SSIZE_MAX}, {two, SSIZE_MAX}};
    SHOW(writev(fd, bad, 2));
    SHOW(writev(fd, huge, 2));
    SHOW(readv(fd, (struct iovec *)8, 1));
    SHOW(preadv(fd, in, 1, -1));
    SHOW(syscall(SYS_preadv2, fd, in, 1, -1, -1, 0));
    SHOW(syscall(SYS_pwritev2, fd, out, 1, 0, 0, 0x10 /* RWF_APPEND */));
    show_file("f");
    SHOW(lseek(fd, 2, SEEK_SET));
    SHOW(syscall(SYS_pwritev2, fd, out, 1, -1L, -1L, 0x10));
    SHOW(lseek(fd, 0, SEEK_CUR));
    show_file("f");
    SHOW(syscall(SYS_pwritev2, fd, out, 1, 0, 0, 0x8000));
}

CASE(at_a_place) {
    int fd = file_with("f", "0123456789");
    char text[11] = {0};
    SHOW(pread(fd, text, 3, 4));
    printf("%s\n", text);
    SHOW(lseek(fd, 0, SEEK_CUR));
    SHOW(pwrite(fd, "xy", 2, 12));
    show_file("f");
    SHOW(pread(fd, text, 3, 100));
    SHOW(pread(fd, text, 3, -1));
    SHOW(pwrite(fd, text, 3, -1));
    int ends[2];
    MUST(pipe(ends));
    SHOW(pread(ends[0], text, 3, 0));
    SHOW(pwrite(ends[1], text, 3, 0));
}

CASE(copied_by_the_kernel) {
    int from = file_with("from", "0123456789"), to = file_with("to", "");
    off_t offset = 2;
    SHOW(sendfile(to, from, &offset, 5));
    VALUE(offset);
    SHOW(lseek(from, 0, SEEK_CUR));
    SHOW(lseek(from, 0, SEEK_SET));
    SHOW(sendfile(to, from, NULL, 100));
    SHOW(sendfile(to, from, NULL, 100));
    show_file("to");
    int ends[2];
    MUST(pipe(ends));
    SHOW(lseek(from, 0, SEEK_SET));
    SHOW(sendfile(ends[1], from, NULL, 4));
    char text[10] = {0};
    SHOW(read(ends[0], text, 10));
    printf("%s\n", text);
    SHOW(sendfile(to, ends[0], NULL, 1));
    SHOW(sendfile(99, from, NULL, 1));
    SHOW(sendfile(MUST(open("to", O_RDONLY)), from, NULL, 1));
    loff_t in = 1, out = 0;
    SHOW(syscall(SYS_copy_file_range, from, &in, to, &out, 3, 0));
    show_file("to");
    printf("%ld %ld\n", (long)in, (long)out);
    SHOW(syscall(SYS_copy_file_range, from, &in, to, &out, 3, 1));
    SHOW(syscall(SYS_copy_file_range, from, &in, ends[1], NULL, 3, 0));
}

CASE(modes_and_owners) {
    int fd = file_with("f", "x");
    SHOW(chmod("f", 04711));
    show_status("f");
    SHOW(fchmod(fd, 0600));
    SHOW(fchmodat(AT_FDCWD, "f", 0640, 0));
    show_status("f");
    SHOW(chmod("missing", 0600));
    SHOW(access("f", F_OK));
    SHOW(access("f", R_OK | W_OK));
    SHOW(access("f", X_OK));
    SHOW(access("missing", F_OK));
    SHOW(access("f", 99));
    SHOW(faccessat(AT_FDCWD, "f", R_OK, AT_EACCESS));
    SHOW(mkdir("d", 0));
    SHOW(access("d", X_OK));
    show_status("d");
}

CASE(times_that_are_set) {
    int fd = file_with("f", "x");
    struct timespec times[2] = {{1000000000, 123456789}, {1100000000, 987654321}};
    struct stat status;
    SHOW(utimensat(AT_FDCWD, "f", times, 0));
    MUST(stat("f", &status));
    printf("%ld.%ld %ld.%ld\n", status.st_atim.tv_sec, status.st_atim.tv_nsec, status.st_mtim.tv_sec, status.st_mtim.tv_nsec);
    times[0].tv_nsec = UTIME_OMIT;
    times[1].tv_sec = 1200000000;
    SHOW(futimens(fd, times));
    MUST(fstat(fd, &status));
    printf("%ld %ld\n", status.st_atim.tv_sec, status.st_mtim.tv_sec);
    times[1].tv_nsec = UTIME_NOW;
    SHOW(futimens(fd, times));
    MUST(fstat(fd, &status));
    IS(status.st_mtim.tv_sec > 1600000000);
    times[1].tv_nsec = 2000000000;
    SHOW(futimens(fd, times));
    SHOW(utimensat(AT_FDCWD, "missing", NULL, 0));
    SHOW(utimensat(AT_FDCWD, "f", NULL, 0));
}

CASE(times_that_follow) {
    int fd = file_with("f", "x");
    struct timespec old[2] = {{1000000000, 0}, {1000000000, 0}};
    struct stat status;
    MUST(futimens(fd, old));
    MUST(write(fd, "y", 1));
    MUST(fstat(fd, &status));
    IS(status.st_mtim.tv_sec > 1600000000);
    MUST(futimens(fd, old));
    MUST(ftruncate(fd, 0));
    MUST(fstat(fd, &status));
    IS(status.st_mtim.tv_sec > 1600000000);
    MUST(futimens(fd, old));
    MUST(chmod("f", 0600));
    MUST(fstat(fd, &status));
    IS(status.st_mtim.tv_sec == 1000000000);
    IS(status.st_ctim.tv_sec > 1600000000);
    MUST(mkdir("d", 0755));
    MUST(utimensat(AT_FDCWD, "d", old, 0));
    close(file_with("d/x", ""));
    MUST(stat("d", &status));
    IS(status.st_mtim.tv_sec > 1600000000);
}

CASE(described) {
    int fd = file_with("f", "12345");
    struct stat status, other;
    SHOW(stat("f", &status));
    SHOW(fstat(fd, &other));
    IS(status.st_ino == other.st_ino && status.st_dev == other.st_dev);
    IS(S_ISREG(status.st_mode));
    VALUE(status.st_blksize);
    SHOW(lstat("f", &other));
    SHOW(stat("missing", &status));
    SHOW(syscall(SYS_newfstatat, AT_FDCWD, "f", 8, 0));
    SHOW(fstat(99, &status));
    SHOW(fstatat(AT_FDCWD, "", &status, 0));
    SHOW(fstatat(fd, "", &status, AT_EMPTY_PATH));
    VALUE(status.st_size);
    SHOW(fstatat(fd, "x", &status, 0));
    struct { uint32_t mask, blksize; uint64_t attributes; uint32_t nlink, uid, gid; uint16_t mode, pad; uint64_t ino, size; char rest[256]; } wide;
    SHOW(syscall(SYS_statx, AT_FDCWD, "f", 0, 0x7ff, &wide));
    printf("%x %o %lu %u\n", wide.mask & 0x7ff, wide.mode, (unsigned long)wide.size, wide.nlink);
    SHOW(syscall(SYS_statx, fd, "", AT_EMPTY_PATH, 0x7ff, &wide));
    SHOW(syscall(SYS_statx, AT_FDCWD, "missing", 0, 0x7ff, &wide));
    SHOW(syscall(SYS_statx, AT_FDCWD, "f", 0x4000000, 0x7ff, &wide));
    SHOW(syscall(SYS_statx, AT_FDCWD, "f", 0, 0x80000000, &wide));
}

CASE(the_file_system) {
    struct statfs status;
    SHOW(statfs(".", &status));
    VALUE(status.f_bsize);
    IS(status.f_blocks > 0 && status.f_bfree <= status.f_blocks);
    VALUE(status.f_namelen);
    SHOW(statfs("missing", &status));
    SHOW(fstatfs(0, &status));
    SHOW(fstatfs(99, &status));
}

CASE(locks_of_one_program) {
    int one = file_with("f", "x"), other = MUST(open("f", O_RDWR));
    SHOW(flock(one, LOCK_EX));
    SHOW(flock(other, LOCK_EX | LOCK_NB));
    SHOW(flock(other, LOCK_SH | LOCK_NB));
    SHOW(flock(one, LOCK_UN));
    SHOW(flock(other, LOCK_SH | LOCK_NB));
    SHOW(flock(one, LOCK_SH | LOCK_NB));
    SHOW(flock(one, LOCK_EX | LOCK_NB));
    SHOW(flock(99, LOCK_SH));
    int same = dup(other);
    close(other);
    SHOW(flock(one, LOCK_EX | LOCK_NB));
    close(same);
    SHOW(flock(one, LOCK_EX | LOCK_NB));
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 0, .l_len = 10};
    SHOW(fcntl(one, F_SETLK, &lock));
    int third = MUST(open("f", O_RDWR));
    SHOW(fcntl(third, F_SETLK, &lock));
    SHOW(fcntl(third, F_GETLK, &lock));
    VALUE(lock.l_type);
    lock.l_type = F_UNLCK;
    SHOW(fcntl(one, F_SETLKW, &lock));
    lock.l_type = 99;
    SHOW(fcntl(one, F_SETLK, &lock));
    lock.l_type = F_WRLCK;
    lock.l_pid = 0;
    SHOW(fcntl(one, F_OFD_SETLK, &lock));
    SHOW(fcntl(third, F_OFD_SETLK, &lock));
    SHOW(fcntl(third, F_OFD_GETLK, &lock));
    VALUE(lock.l_type);
    VALUE(lock.l_pid);
    lock.l_type = F_WRLCK;
    lock.l_pid = 0;
    SHOW(fcntl(MUST(open("f", O_RDONLY)), F_SETLK, &lock));
}

CASE(synchronised) {
    int fd = file_with("f", "x");
    SHOW(fsync(fd));
    SHOW(fdatasync(fd));
    SHOW(syncfs(fd));
    SHOW(sync_file_range(fd, 0, 0, 0));
    SHOW(fsync(99));
    int ends[2];
    MUST(pipe(ends));
    SHOW(fsync(ends[0]));
    SHOW(fsync(MUST(open(".", O_RDONLY))));
    SHOW(posix_fadvise(fd, 0, 0, POSIX_FADV_SEQUENTIAL));
    SHOW(posix_fadvise(fd, 0, 0, 99));
    SHOW(posix_fadvise(ends[0], 0, 0, POSIX_FADV_NORMAL));
    SHOW(readahead(fd, 0, 100));
}

CASE(without_a_name) {
    int fd = file_with("f", "kept");
    SHOW(unlink("f"));
    SHOW(access("f", F_OK));
    char text[5] = {0};
    SHOW(pread(fd, text, 4, 0));
    printf("%s\n", text);
    struct stat status;
    MUST(fstat(fd, &status));
    VALUE(status.st_nlink);
    fd = open(".", O_TMPFILE | O_RDWR, 0600);
    IS(fd >= 0);
    SHOW(write(fd, "tmp", 3));
    MUST(fstat(fd, &status));
    VALUE(status.st_nlink);
}

CASE(only_a_path) {
    close(file_with("f", "x"));
    int fd = MUST(open("f", O_PATH));
    char text[2];
    struct stat status;
    SHOW(read(fd, text, 1));
    SHOW(write(fd, text, 1));
    SHOW(fstat(fd, &status));
    SHOW(fchmod(fd, 0600));
    SHOW(fcntl(fd, F_SETFL, 0));
    SHOW(flock(fd, LOCK_SH));
    TRY(dup(fd));
    int directory = MUST(open(".", O_PATH | O_DIRECTORY));
    SHOW(openat(directory, "f", O_RDONLY) >= 0);
    SHOW(fchdir(directory));
}

CASE(large_offsets) {
    int fd = file_with("f", "");
    SHOW(pwrite(fd, "end", 3, 5000000000));
    show_status("f");
    char text[4] = {0};
    SHOW(pread(fd, text, 3, 5000000000));
    printf("%s\n", text);
    SHOW(ftruncate(fd, 0));
}
