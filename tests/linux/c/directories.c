/* Directories: what is in them, and how names are made, moved, linked and taken away. */
#include "cases.h"
#include <dirent.h>

static int by_name(const void *one, const void *other) { return strcmp(*(char **)one, *(char **)other); }

/* Names and types of what is in a directory, in order. */
static void list(const char *name) {
    DIR *directory = opendir(name);
    if (!directory) { printf("%s: %s\n", name, error_name(errno)); return; }
    char *lines[600];
    int count = 0;
    for (struct dirent *entry; (entry = readdir(directory)) && count < 600;) {
        char line[300];
        snprintf(line, sizeof line, "%s%s", entry->d_name,
                 entry->d_type == DT_DIR ? "/" : entry->d_type == DT_LNK ? "@" : entry->d_type == DT_REG ? "" : "?");
        lines[count++] = strdup(line);
    }
    closedir(directory);
    qsort(lines, count, sizeof *lines, by_name);
    printf("%s:", name);
    for (int index = 0; index < count; index++) printf(" %s", lines[index]);
    printf("\n");
}

static void show_links(const char *name) {
    struct stat status;
    if (lstat(name, &status)) printf("%s: %s\n", name, error_name(errno));
    else printf("%s: %ld links\n", name, (long)status.st_nlink);
}

static void touch_file(const char *name) { close(file_with(name, name)); }

CASE(made_and_removed) {
    SHOW(mkdir("d", 0755));
    SHOW(mkdir("d", 0755));
    SHOW(mkdir("d/", 0755));
    SHOW(mkdir("x/y", 0755));
    SHOW(mkdir("e/", 0755));
    touch_file("d/f");
    SHOW(rmdir("d"));
    SHOW(rmdir("d/f"));
    SHOW(unlink("d"));
    SHOW(unlink("d/f"));
    SHOW(rmdir("d/."));
    SHOW(rmdir("d/.."));
    SHOW(rmdir("d"));
    SHOW(rmdir("d"));
    SHOW(rmdir(""));
    SHOW(unlink(""));
    SHOW(mkdir("", 0755));
    list(".");
}

CASE(counted_links) {
    struct stat status;
    MUST(mkdir("d", 0755));
    show_links("d");
    MUST(mkdir("d/one", 0755));
    MUST(mkdir("d/two", 0755));
    touch_file("d/file");
    show_links("d");
    MUST(rmdir("d/one"));
    show_links("d");
    MUST(stat("d/two/..", &status));
    struct stat other;
    MUST(stat("d", &other));
    IS(status.st_ino == other.st_ino);
}

CASE(listed) {
    MUST(mkdir("d", 0755));
    touch_file("d/b");
    touch_file("d/a");
    MUST(mkdir("d/c", 0755));
    MUST(symlink("nowhere", "d/link"));
    MUST(mkfifo("d/fifo", 0600));
    list("d");
    list("d/c");
    list("d/a");
    list("missing");
}

CASE(listed_in_pieces) {
    MUST(mkdir("d", 0755));
    for (int number = 0; number < 500; number++) {
        char name[40];
        snprintf(name, sizeof name, "d/a-file-with-number-%d", number);
        touch_file(name);
    }
    int fd = MUST(open("d", O_RDONLY | O_DIRECTORY)), count = 0, calls = 0;
    char buffer[1000];
    long bytes;
    while ((bytes = syscall(SYS_getdents64, fd, buffer, sizeof buffer)) > 0) {
        calls++;
        for (long at = 0; at < bytes; count++) {
            unsigned short length;
            memcpy(&length, buffer + at + 16, 2);
            if (length % 8 || length < 24) printf("length %d\n", length);
            at += length;
        }
    }
    VALUE(count);
    IS(calls > 10);
    SHOW(bytes);
    SHOW(syscall(SYS_getdents64, fd, buffer, sizeof buffer));
    SHOW(lseek(fd, 0, SEEK_SET));
    IS(syscall(SYS_getdents64, fd, buffer, sizeof buffer) > 0);
    SHOW(syscall(SYS_getdents64, fd, buffer, 10));
    SHOW(syscall(SYS_getdents64, fd, (char *)8, 1000));
    SHOW(syscall(SYS_getdents64, MUST(open("d/a-file-with-number-7", O_RDONLY)), buffer, sizeof buffer));
    SHOW(syscall(SYS_getdents64, 99, buffer, sizeof buffer));
}

CASE(removed_while_listed) {
    MUST(mkdir("d", 0755));
    for (int number = 0; number < 200; number++) {
        char name[20];
        snprintf(name, sizeof name, "d/%d", number);
        touch_file(name);
    }
    DIR *directory = opendir("d");
    int count = 0;
    for (struct dirent *entry; (entry = readdir(directory));) {
        if (entry->d_name[0] == '.') continue;
        char name[300];
        snprintf(name, sizeof name, "d/%s", entry->d_name);
        count += unlink(name) == 0;
    }
    closedir(directory);
    VALUE(count);
    SHOW(rmdir("d"));
}

CASE(renamed) {
    touch_file("a");
    SHOW(rename("a", "b"));
    show_file("b");
    touch_file("c");
    SHOW(rename("b", "c"));
    show_file("c");
    SHOW(rename("c", "c"));
    SHOW(rename("missing", "x"));
    MUST(mkdir("d", 0755));
    MUST(mkdir("e", 0755));
    SHOW(rename("c", "d"));
    SHOW(rename("d", "c"));
    SHOW(rename("d", "e"));
    MUST(mkdir("e/sub", 0755));
    MUST(mkdir("g", 0755));
    SHOW(rename("g", "e"));
    SHOW(rename("e", "e/sub/x"));
    SHOW(rename("e", "e/x"));
    SHOW(rename("e/.", "h"));
    SHOW(rename("g", "e/.."));
    SHOW(rename("c", "e/sub/c"));
    SHOW(rename("c/", "i"));
    SHOW(rename("e/sub", "i/"));
    show_file("i/c");
    list(".");
}

CASE(renamed_with_flags) {
    touch_file("a");
    touch_file("b");
    SHOW(syscall(SYS_renameat2, AT_FDCWD, "a", AT_FDCWD, "b", 1 /* RENAME_NOREPLACE */));
    SHOW(syscall(SYS_renameat2, AT_FDCWD, "a", AT_FDCWD, "b", 2 /* RENAME_EXCHANGE */));
    show_file("a");
    show_file("b");
    SHOW(syscall(SYS_renameat2, AT_FDCWD, "a", AT_FDCWD, "c", 2));
    SHOW(syscall(SYS_renameat2, AT_FDCWD, "a", AT_FDCWD, "c", 1));
    SHOW(syscall(SYS_renameat2, AT_FDCWD, "b", AT_FDCWD, "c", 3));
    SHOW(syscall(SYS_renameat2, AT_FDCWD, "b", AT_FDCWD, "c", 0x100));
    list(".");
}

CASE(open_files_outlive_names) {
    touch_file("old");
    touch_file("new");
    int fd = MUST(open("old", O_RDONLY));
    MUST(rename("new", "old"));
    char text[10] = {0};
    SHOW(read(fd, text, 9));
    printf("%s\n", text);
    show_file("old");
}

CASE(hard_links) {
    touch_file("a");
    SHOW(link("a", "b"));
    show_links("a");
    int fd = MUST(open("b", O_WRONLY | O_TRUNC));
    MUST(write(fd, "through b", 9));
    show_file("a");
    SHOW(unlink("a"));
    show_links("b");
    SHOW(link("missing", "c"));
    SHOW(link("b", "b"));
    MUST(mkdir("d", 0755));
    SHOW(link("d", "e"));
    SHOW(link("b", "d/c"));
    SHOW(rename("b", "d/c"));
    list(".");
    SHOW(linkat(AT_FDCWD, "b", AT_FDCWD, "x", 0x8000));
}

CASE(symbolic_links) {
    touch_file("target");
    SHOW(symlink("target", "link"));
    SHOW(symlink("other", "link"));
    char text[100] = {0};
    SHOW(readlink("link", text, sizeof text));
    printf("%s\n", text);
    memset(text, 0, sizeof text);
    SHOW(readlink("link", text, 3));
    printf("%s\n", text);
    SHOW(readlink("link", text, 0));
    SHOW(readlink("target", text, sizeof text));
    SHOW(readlink("missing", text, sizeof text));
    show_file("link");
    struct stat status;
    MUST(lstat("link", &status));
    printf("%o %ld\n", status.st_mode, (long)status.st_size);
    SHOW(open("link", O_RDONLY | O_NOFOLLOW));
    SHOW(open("link", O_PATH | O_NOFOLLOW) >= 0);
    SHOW(symlink("", "empty"));
    SHOW(symlink("made-by-open", "dangling"));
    SHOW(open("dangling", O_RDONLY));
    SHOW(open("dangling", O_WRONLY | O_CREAT | O_EXCL, 0600));
    SHOW(open("dangling", O_WRONLY | O_CREAT, 0600) >= 0);
    list(".");
    SHOW(unlink("link"));
    show_file("target");
}

CASE(links_that_lead_on) {
    MUST(mkdir("d", 0755));
    touch_file("d/f");
    MUST(symlink("d", "to-directory"));
    MUST(symlink("to-directory/f", "to-file"));
    show_file("to-file");
    show_file("to-directory/f");
    SHOW(open("to-directory/../d/f", O_RDONLY) >= 0);
    SHOW(mkdir("to-directory", 0755));
    SHOW(rmdir("to-directory"));
    SHOW(unlink("to-directory/"));
    SHOW(rename("to-directory", "renamed"));
    MUST(symlink("b", "a"));
    MUST(symlink("a", "b"));
    SHOW(open("a", O_RDONLY));
    SHOW(open("a/x", O_RDONLY));
    char name[20], target[20];
    touch_file("l0");
    for (int number = 1; number <= 41; number++) {
        snprintf(name, sizeof name, "l%d", number);
        snprintf(target, sizeof target, "l%d", number - 1);
        MUST(symlink(target, name));
    }
    SHOW(open("l40", O_RDONLY) >= 0);
    SHOW(open("l41", O_RDONLY));
    SHOW(link("l1", "hard"));
    struct stat status;
    MUST(lstat("hard", &status));
    IS(S_ISLNK(status.st_mode));
    SHOW(linkat(AT_FDCWD, "l1", AT_FDCWD, "followed", AT_SYMLINK_FOLLOW));
    MUST(lstat("followed", &status));
    IS(S_ISREG(status.st_mode));
}

CASE(relative_to_a_directory) {
    MUST(mkdir("d", 0755));
    int d = MUST(open("d", O_RDONLY | O_DIRECTORY));
    SHOW(mkdirat(d, "sub", 0755));
    SHOW(openat(d, "f", O_WRONLY | O_CREAT, 0600) >= 0);
    SHOW(symlinkat("f", d, "link"));
    SHOW(linkat(d, "f", d, "hard", 0));
    SHOW(renameat(d, "hard", d, "sub/hard"));
    char text[10];
    SHOW(readlinkat(d, "link", text, sizeof text));
    SHOW(faccessat(d, "f", F_OK, 0));
    SHOW(unlinkat(d, "sub", 0));
    SHOW(unlinkat(d, "sub", AT_REMOVEDIR));
    SHOW(unlinkat(d, "f", AT_REMOVEDIR));
    SHOW(unlinkat(d, "f", 0x8000));
    SHOW(unlinkat(d, "sub/hard", 0));
    SHOW(unlinkat(d, "sub", AT_REMOVEDIR));
    list("d");
    SHOW(openat(99, "f", O_RDONLY));
    int file = MUST(openat(d, "f", O_RDONLY));
    SHOW(openat(file, "f", O_RDONLY));
    MUST(rename("d", "moved"));
    SHOW(openat(d, "f", O_RDONLY) >= 0);
    MUST(unlinkat(d, "f", 0));
    MUST(unlinkat(d, "link", 0));
    MUST(rmdir("moved"));
    SHOW(openat(d, "f", O_WRONLY | O_CREAT, 0600));
    SHOW(openat(d, ".", O_RDONLY) >= 0);
    SHOW(mkdirat(d, "x", 0755));
}

CASE(where_we_are) {
    char before[PATH_MAX], after[PATH_MAX];
    MUST(mkdir("d", 0755));
    MUST(mkdir("d/e", 0755));
    IS(getcwd(before, sizeof before) != NULL);
    SHOW(chdir("d/e"));
    IS(getcwd(after, sizeof after) != NULL);
    IS(strncmp(before, after, strlen(before)) == 0);
    printf("%s\n", after + strlen(before));
    SHOW(chdir(".."));
    getcwd(after, sizeof after);
    printf("%s\n", after + strlen(before));
    SHOW(syscall(SYS_getcwd, after, 3));
    SHOW(syscall(SYS_getcwd, after, sizeof after) == (long)strlen(before) + 3);
    touch_file("f");
    SHOW(chdir("f"));
    SHOW(chdir("missing"));
    SHOW(chdir(""));
    int here = MUST(open(".", O_RDONLY));
    SHOW(chdir("../.."));
    SHOW(fchdir(here));
    SHOW(access("f", F_OK));
    SHOW(fchdir(99));
    SHOW(fchdir(MUST(open("f", O_RDONLY))));
    MUST(chdir("e"));
    MUST(rmdir("../e"));
    SHOW(syscall(SYS_getcwd, after, sizeof after));
    SHOW(open("x", O_WRONLY | O_CREAT, 0600));
    SHOW(chdir(".."));
    MUST(chdir(".."));
}

CASE(special_files) {
    SHOW(mkfifo("fifo", 0640));
    struct stat status;
    MUST(stat("fifo", &status));
    printf("%o\n", status.st_mode);
    SHOW(mkfifo("fifo", 0640));
    SHOW(mknod("regular", S_IFREG | 0600, 0));
    MUST(stat("regular", &status));
    printf("%o\n", status.st_mode);
    SHOW(mknod("wrong", 0170000, 0));
    SHOW(open("fifo", O_WRONLY | O_NONBLOCK));
    int reader = MUST(open("fifo", O_RDONLY | O_NONBLOCK)), writer = MUST(open("fifo", O_WRONLY));
    SHOW(write(writer, "through", 7));
    char text[10] = {0};
    SHOW(read(reader, text, 9));
    printf("%s\n", text);
    SHOW(read(reader, text, 9));
    close(writer);
    SHOW(read(reader, text, 9));
}

CASE(a_deep_path) {
    char path[2000] = "";
    for (int depth = 0; depth < 100; depth++) {
        strcat(path, depth ? "/directory" : "directory");
        if (mkdir(path, 0755)) printf("%d: %s\n", depth, error_name(errno));
    }
    strcat(path, "/file");
    touch_file(path);
    SHOW(access(path, R_OK));
}
