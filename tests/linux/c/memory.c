/* Memory: areas that are made, split, moved, given other rights and given back; what touching them comes to. */
#include "cases.h"

#define ANON (MAP_PRIVATE | MAP_ANONYMOUS)
#define RW (PROT_READ | PROT_WRITE)

CASE(fresh_memory_is_zero) {
    char *memory = mmap(NULL, 3 * PAGE, RW, ANON, -1, 0);
    bool is_zero = true;
    for (size_t at = 0; at < 3 * PAGE; at++) is_zero &= memory[at] == 0;
    IS(is_zero);
    IS((uintptr_t)memory % PAGE == 0);
    memory[3 * PAGE - 1] = 7;
    SHOW(munmap(memory, 3 * PAGE));
    READS(memory);
}

CASE(wrong_arguments_of_mmap) {
    TRY(mmap(NULL, 0, RW, ANON, -1, 0));
    TRY(mmap(NULL, PAGE, RW, MAP_ANONYMOUS, -1, 0));
    TRY(mmap((void *)123, PAGE, RW, ANON | MAP_FIXED, -1, 0));
    TRY(mmap(NULL, PAGE, RW, MAP_PRIVATE, -1, 0));
    TRY(mmap(NULL, PAGE, RW, MAP_PRIVATE, 1000, 0));
    TRY(syscall(SYS_mmap, NULL, PAGE, RW, MAP_PRIVATE, file_with("f", "x"), 123));
    TRY(mmap(NULL, SIZE_MAX - PAGE, RW, ANON, -1, 0));
    TRY(mmap((void *)0x7fffffffe000, 4 * PAGE, RW, ANON | MAP_FIXED, -1, 0));
    TRY(mmap((void *)0xffff800000000000, PAGE, RW, ANON | MAP_FIXED, -1, 0));
    int pipe_ends[2];
    MUST(pipe(pipe_ends));
    TRY(mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE, pipe_ends[0], 0));
    TRY(mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE, MUST(open(".", O_RDONLY)), 0));
}

CASE(rights_of_files_limit_mappings) {
    close(file_with("f", "contents"));
    int reads = MUST(open("f", O_RDONLY)), writes = MUST(open("f", O_WRONLY));
    TRY(mmap(NULL, PAGE, PROT_READ, MAP_SHARED, reads, 0));
    TRY(mmap(NULL, PAGE, RW, MAP_SHARED, reads, 0));
    TRY(mmap(NULL, PAGE, RW, MAP_PRIVATE, reads, 0));
    TRY(mmap(NULL, PAGE, PROT_WRITE, MAP_SHARED, writes, 0));
    TRY(mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE, writes, 0));
    char *shared = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, reads, 0);
    TRY(mprotect(shared, PAGE, RW));
}

CASE(a_hint_is_taken_when_it_is_free) {
    char *free = pages(4);
    munmap(free, 4 * PAGE);
    IS(mmap(free, PAGE, RW, ANON, -1, 0) == free);
    char *other = mmap(free, PAGE, RW, ANON, -1, 0);
    IS(other != free && other != MAP_FAILED);
    IS(mmap(free + PAGE + 123, PAGE, RW, ANON, -1, 0) == free + PAGE);
}

CASE(fixed_replaces_and_noreplace_does_not) {
    char *memory = pages(3);
    memset(memory, 'x', 3 * PAGE);
    IS(mmap(memory + PAGE, PAGE, RW, ANON | MAP_FIXED, -1, 0) == memory + PAGE);
    VALUE(memory[PAGE - 1]);
    VALUE(memory[PAGE]);
    VALUE(memory[2 * PAGE]);
    TRY(mmap(memory, PAGE, RW, ANON | MAP_FIXED_NOREPLACE, -1, 0));
    munmap(memory + PAGE, PAGE);
    TRY(mmap(memory + PAGE, PAGE, RW, ANON | MAP_FIXED_NOREPLACE, -1, 0));
    TRY(mmap(memory + PAGE, 2 * PAGE, RW, ANON | MAP_FIXED_NOREPLACE, -1, 0));
}

CASE(unmapping_leaves_holes) {
    char *memory = pages(5);
    memset(memory, 'a', 5 * PAGE);
    SHOW(munmap(memory + PAGE, PAGE));
    SHOW(munmap(memory + 3 * PAGE, 100));
    READS(memory);
    READS(memory + PAGE);
    READS(memory + 2 * PAGE);
    READS(memory + 3 * PAGE);
    READS(memory + 4 * PAGE);
    SHOW(munmap(memory, 5 * PAGE));
    SHOW(munmap(memory, 5 * PAGE));
    SHOW(munmap(memory + 1, PAGE));
    SHOW(munmap(memory, 0));
    SHOW(munmap((void *)0xffff800000000000, PAGE));
}

CASE(rights_are_what_is_asked) {
    char *memory = pages(1);
    *memory = (char)0xc3; /* ret */
    SHOW(mprotect(memory, PAGE, PROT_NONE));
    READS(memory);
    WRITES(memory);
    SHOW(mprotect(memory, PAGE, PROT_READ));
    READS(memory);
    WRITES(memory);
    RUNS(memory);
    SHOW(mprotect(memory, PAGE, PROT_READ | PROT_EXEC));
    RUNS(memory);
    WRITES(memory);
    SHOW(mprotect(memory, PAGE, RW | PROT_EXEC));
    RUNS(memory);
    WRITES(memory);
    SHOW(mprotect(memory, PAGE, PROT_WRITE));
    WRITES(memory);
    READS(memory);
}

CASE(rights_of_a_part) {
    char *memory = pages(5);
    memset(memory, 'a', 5 * PAGE);
    SHOW(mprotect(memory + PAGE, 3 * PAGE, PROT_READ));
    SHOW(mprotect(memory + 2 * PAGE, 1, RW));
    WRITES(memory);
    WRITES(memory + PAGE);
    WRITES(memory + 2 * PAGE);
    WRITES(memory + 3 * PAGE);
    WRITES(memory + 4 * PAGE);
    SHOW(mprotect(memory, 5 * PAGE, RW));
    WRITES(memory + 3 * PAGE);
    VALUE(memory[3 * PAGE + 1]);
}

CASE(wrong_arguments_of_mprotect) {
    char *memory = pages(3);
    SHOW(mprotect(memory + 1, PAGE, PROT_READ));
    SHOW(mprotect(memory, 0, PROT_READ));
    SHOW(mprotect(memory, 4 * PAGE, PROT_READ));
    WRITES(memory);
    munmap(memory + PAGE, PAGE);
    SHOW(mprotect(memory, 3 * PAGE, PROT_READ));
    SHOW(mprotect(memory + PAGE, PAGE, PROT_READ));
    SHOW(mprotect(memory, PAGE, 0x1000));
    SHOW(mprotect((void *)0xffff800000000000, PAGE, PROT_READ));
}

CASE(a_reservation_larger_than_memory) {
    size_t size = 1UL << 40;
    char *memory = mmap(NULL, size, PROT_NONE, ANON | MAP_NORESERVE, -1, 0);
    IS(memory != MAP_FAILED);
    READS(memory);
    char *middle = memory + size / 2;
    SHOW(mprotect(middle, PAGE, RW));
    WRITES(middle);
    READS(middle + PAGE);
    IS(mmap(middle + PAGE, PAGE, RW, ANON | MAP_FIXED, -1, 0) == middle + PAGE);
    WRITES(middle + PAGE);
    SHOW(munmap(memory, size));
    READS(middle);
}

CASE(many_areas) {
    char *memory = pages(400);
    for (int page = 0; page < 400; page += 2) mprotect(memory + page * PAGE, PAGE, PROT_READ);
    int writable = 0;
    for (int page = 0; page < 400; page++) {
        touch_at = memory + page * PAGE;
        struct sigaction action = {.sa_sigaction = touch_handler, .sa_flags = SA_SIGINFO};
        sigaction(SIGSEGV, &action, NULL);
        if (sigsetjmp(touch_jump, 1) == 0) {
            *touch_at = 1;
            writable++;
        }
    }
    VALUE(writable);
    SHOW(mprotect(memory, 400 * PAGE, RW));
    memset(memory, 1, 400 * PAGE);
    SHOW(munmap(memory, 400 * PAGE));
}

CASE(growing_in_place_and_elsewhere) {
    char *memory = pages(6);
    munmap(memory + 2 * PAGE, 4 * PAGE);
    memset(memory, 'm', 2 * PAGE);
    char *same = mremap(memory, 2 * PAGE, 4 * PAGE, 0);
    IS(same == memory);
    VALUE(memory[PAGE]);
    VALUE(memory[2 * PAGE]);
    mmap(memory + 4 * PAGE, PAGE, PROT_READ, ANON | MAP_FIXED, -1, 0);
    TRY(mremap(memory, 4 * PAGE, 6 * PAGE, 0));
    char *moved = mremap(memory, 4 * PAGE, 6 * PAGE, MREMAP_MAYMOVE);
    IS(moved != MAP_FAILED && moved != memory);
    VALUE(moved[0]);
    VALUE(moved[5 * PAGE]);
    READS(memory);
    WRITES(moved + 5 * PAGE);
    IS(mremap(moved, 6 * PAGE, PAGE, 0) == moved);
    READS(moved + PAGE);
}

CASE(moving_to_a_place) {
    char *from = pages(2), *to = pages(4);
    memset(from, 'f', 2 * PAGE);
    memset(to, 't', 4 * PAGE);
    IS(mremap(from, 2 * PAGE, 3 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, to) == to);
    VALUE(to[0]);
    VALUE(to[2 * PAGE]);
    VALUE(to[3 * PAGE]);
    READS(from);
    TRY(mremap(to, PAGE, PAGE, MREMAP_FIXED, from));
    TRY(mremap(to, 2 * PAGE, 2 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, to + PAGE));
    TRY(mremap(to, PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, to + 123));
}

CASE(moving_and_leaving_behind) {
    char *memory = pages(2);
    memset(memory, 'd', 2 * PAGE);
    char *moved = mremap(memory, 2 * PAGE, 2 * PAGE, MREMAP_MAYMOVE | 4 /* MREMAP_DONTUNMAP */, NULL);
    IS(moved != MAP_FAILED && moved != memory);
    VALUE(moved[PAGE]);
    VALUE(memory[PAGE]);
    TRY(mremap(memory, 2 * PAGE, 3 * PAGE, MREMAP_MAYMOVE | 4, NULL));
}

CASE(wrong_arguments_of_mremap) {
    char *memory = pages(3);
    TRY(mremap(memory + 1, PAGE, 2 * PAGE, MREMAP_MAYMOVE));
    TRY(mremap(memory, PAGE, 0, MREMAP_MAYMOVE));
    TRY(mremap(memory, PAGE, 2 * PAGE, 0x100));
    TRY(mremap(memory, 0, PAGE, MREMAP_MAYMOVE));
    munmap(memory + PAGE, PAGE);
    TRY(mremap(memory, 3 * PAGE, 5 * PAGE, MREMAP_MAYMOVE));
    TRY(mremap(memory + PAGE, PAGE, 2 * PAGE, MREMAP_MAYMOVE));
    TRY(mremap(memory, PAGE, SIZE_MAX / 2, MREMAP_MAYMOVE));
}

CASE(rights_move_along) {
    char *memory = pages(1);
    *memory = 'r';
    mprotect(memory, PAGE, PROT_READ);
    char *moved = mremap(memory, PAGE, 4 * PAGE, MREMAP_MAYMOVE);
    VALUE(*moved);
    WRITES(moved);
    WRITES(moved + 2 * PAGE);
}

CASE(dontneed_makes_zeros) {
    char *memory = pages(4);
    memset(memory, 'x', 4 * PAGE);
    SHOW(madvise(memory + PAGE, 2 * PAGE, MADV_DONTNEED));
    VALUE(memory[0]);
    VALUE(memory[PAGE]);
    VALUE(memory[3 * PAGE - 1]);
    VALUE(memory[3 * PAGE]);
    mprotect(memory, PAGE, PROT_READ);
    SHOW(madvise(memory, PAGE, MADV_DONTNEED));
    VALUE(memory[0]);
}

CASE(dontneed_of_a_file_shows_the_file) {
    int fd = file_with("f", "file");
    char *private = mmap(NULL, PAGE, RW, MAP_PRIVATE, fd, 0), *shared = mmap(NULL, PAGE, RW, MAP_SHARED, fd, 0);
    memcpy(private, "mine", 4);
    memcpy(shared, "ours", 4);
    printf("%.4s %.4s\n", private, shared);
    SHOW(madvise(private, PAGE, MADV_DONTNEED));
    SHOW(madvise(shared, PAGE, MADV_DONTNEED));
    printf("%.4s %.4s\n", private, shared);
    show_file("f");
}

CASE(advice_and_its_errors) {
    char *memory = pages(2);
    memory[0] = 'k';
    SHOW(madvise(memory, PAGE, MADV_NORMAL));
    SHOW(madvise(memory, PAGE, MADV_WILLNEED));
    SHOW(madvise(memory, PAGE, MADV_SEQUENTIAL));
    SHOW(madvise(memory, PAGE, MADV_RANDOM));
    SHOW(madvise(memory, PAGE, MADV_DONTDUMP));
    SHOW(madvise(memory, PAGE, MADV_DODUMP));
    SHOW(madvise(memory, PAGE, MADV_DONTFORK));
    SHOW(madvise(memory, PAGE, MADV_HUGEPAGE));
    SHOW(madvise(memory, PAGE, MADV_NOHUGEPAGE));
    VALUE(memory[0]);
    SHOW(madvise(memory, PAGE, 9999));
    SHOW(madvise(memory + 1, PAGE, MADV_DONTNEED));
    SHOW(madvise(memory, 0, MADV_DONTNEED));
    SHOW(madvise(memory, 3 * PAGE, MADV_DONTNEED));
    VALUE(memory[0]);
    SHOW(madvise(memory, PAGE, MADV_FREE));
    memory[0] = 'n';
    VALUE(memory[0]);
}

static char *set_break(char *to) { return (char *)syscall(SYS_brk, to); }
CASE(the_break) {
    char *start = set_break(0);
    IS(set_break(start + 3 * PAGE) == start + 3 * PAGE);
    memset(start, 'b', 3 * PAGE);
    IS(set_break(start) == start);
    IS(set_break(start + 3 * PAGE) == start + 3 * PAGE);
    char *first = (char *)(((uintptr_t)start + PAGE - 1) & ~(PAGE - 1));
    VALUE(first[0]);
    VALUE(first[PAGE]);
    IS(set_break(start) == start);
    IS(set_break(start + 1) == start + 1);
    IS(set_break((char *)1) == start + 1);
    IS(set_break((char *)(1UL << 46)) == start + 1);
    READS(first + PAGE);
    IS(set_break(start) == start);
}

CASE(a_private_mapping_is_ones_own) {
    int fd = file_with("f", "original");
    char *memory = mmap(NULL, PAGE, RW, MAP_PRIVATE, fd, 0);
    printf("%s\n", memory);
    memcpy(memory, "changed ", 8);
    printf("%.8s\n", memory);
    show_file("f");
    MUST(pwrite(fd, "written", 7, 0));
    printf("%.8s\n", memory);
}

CASE(a_shared_mapping_is_the_file) {
    int fd = file_with("f", "original");
    char *one = mmap(NULL, PAGE, RW, MAP_SHARED, fd, 0), *other = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, fd, 0);
    memcpy(one, "changed!", 8);
    printf("%.8s\n", other);
    show_file("f");
    MUST(pwrite(fd, "WRITTEN", 7, 0));
    printf("%.8s %.8s\n", one, other);
    SHOW(msync(one, PAGE, MS_SYNC));
    SHOW(msync(one, PAGE, MS_ASYNC | MS_INVALIDATE));
    SHOW(msync(one, PAGE, MS_SYNC | MS_ASYNC));
    SHOW(msync(one + 1, PAGE, MS_SYNC));
    close(fd);
    one[0] = 'c';
    unlink("f");
    printf("%.8s\n", other);
}

CASE(a_mapping_beyond_the_files_end) {
    int fd = file_with("f", "short");
    char *memory = mmap(NULL, 3 * PAGE, RW, MAP_SHARED, fd, 0);
    VALUE(memory[5]);
    WRITES(memory + PAGE - 1);
    READS(memory + PAGE);
    SHOW(ftruncate(fd, 2 * PAGE));
    READS(memory + PAGE);
    VALUE(memory[PAGE]);
    READS(memory + 2 * PAGE);
    SHOW(ftruncate(fd, 3));
    READS(memory + PAGE);
    printf("%.5s\n", memory);
    SHOW(ftruncate(fd, 5));
    VALUE(memory[3]);
    struct stat status;
    fstat(fd, &status);
    VALUE(status.st_size);
}

CASE(a_mapping_from_the_middle) {
    int fd = file_with("f", "");
    char block[3 * PAGE];
    for (size_t at = 0; at < sizeof block; at++) block[at] = "abc"[at / PAGE];
    MUST(write(fd, block, sizeof block));
    char *memory = mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE, fd, PAGE);
    printf("%c%c\n", memory[0], memory[PAGE - 1]);
    memory = mmap(NULL, 2 * PAGE, RW, MAP_PRIVATE, fd, PAGE);
    memory[PAGE] = 'X';
    SHOW(munmap(memory, PAGE));
    printf("%c%c\n", memory[PAGE], memory[PAGE + 1]);
    char *grown = mremap(memory + PAGE, PAGE, 2 * PAGE, MREMAP_MAYMOVE);
    printf("%c%c\n", grown[0], grown[1]);
    READS(grown + PAGE);
}

CASE(shared_memory_without_a_file) {
    char *memory = mmap(NULL, 2 * PAGE, RW, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    VALUE(memory[PAGE]);
    memory[PAGE] = 's';
    char *moved = mremap(memory, 2 * PAGE, 2 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, pages(2));
    VALUE(moved[PAGE]);
    SHOW(madvise(moved, 2 * PAGE, MADV_DONTNEED));
    VALUE(moved[PAGE]);
}

CASE(a_file_in_memory) {
    int fd = MUST(memfd_create("name", MFD_CLOEXEC | MFD_ALLOW_SEALING));
    SHOW(ftruncate(fd, 2 * PAGE));
    char *memory = mmap(NULL, 2 * PAGE, RW, MAP_SHARED, fd, 0);
    memcpy(memory, "memfd", 5);
    char text[6] = {0};
    SHOW(pread(fd, text, 5, 0));
    printf("%s\n", text);
    SHOW(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE));
    SHOW(munmap(memory, 2 * PAGE));
    SHOW(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SHRINK));
    SHOW(fcntl(fd, F_GET_SEALS));
    SHOW(write(fd, "x", 1));
    SHOW(ftruncate(fd, PAGE));
    SHOW(ftruncate(fd, 3 * PAGE));
    TRY(mmap(NULL, PAGE, RW, MAP_SHARED, fd, 0));
    TRY(mmap(NULL, PAGE, RW, MAP_PRIVATE, fd, 0));
    SHOW(fcntl(fd, F_ADD_SEALS, F_SEAL_SEAL));
    SHOW(fcntl(fd, F_ADD_SEALS, F_SEAL_GROW));
    SHOW(memfd_create("name", 0x8000));
    int plain = MUST(memfd_create("other", 0));
    SHOW(fcntl(plain, F_ADD_SEALS, F_SEAL_WRITE));
    SHOW(fcntl(plain, F_GET_SEALS));
}

CASE(what_is_in_memory) {
    char *memory = pages(3);
    unsigned char in[4] = {9, 9, 9, 9};
    memory[PAGE] = 1;
    SHOW(mincore(memory, 3 * PAGE, in));
    printf("%d %d %d\n", in[0] & 1, in[1] & 1, in[2] & 1);
    SHOW(mincore(memory + 1, PAGE, in));
    SHOW(mincore(memory, 4 * PAGE, in));
    SHOW(mincore(memory, PAGE, (unsigned char *)8));
}

CASE(locking) {
    char *memory = pages(2);
    SHOW(mlock(memory, PAGE));
    SHOW(munlock(memory, PAGE));
    SHOW(mlock(memory, 3 * PAGE));
    SHOW(munlockall());
}

static int depth_reached;
static void __attribute__((noinline)) descend(int depth) {
    volatile char frame[4096];
    frame[0] = (char)depth;
    depth_reached = depth;
    if (depth < 1000) descend(depth + 1);
    frame[1] = frame[0];
}
CASE(the_stack_grows) {
    descend(0); /* 4 MiB */
    VALUE(depth_reached);
}

static sigjmp_buf overflow_jump;
static void overflow_handler(int signal) { siglongjmp(overflow_jump, signal); }
static int bottomless(volatile char *above) {
    volatile char frame[1000];
    frame[0] = above[0];
    frame[1] = above[1];
    return (above[1] ? bottomless(frame) : 0) + frame[0];
}
CASE(the_stack_ends) {
    stack_t stack = {.ss_sp = pages(8), .ss_size = 8 * PAGE};
    MUST(sigaltstack(&stack, NULL));
    struct sigaction action = {.sa_handler = overflow_handler, .sa_flags = SA_ONSTACK};
    MUST(sigaction(SIGSEGV, &action, NULL));
    int signal = sigsetjmp(overflow_jump, 1);
    static volatile char endless[] = "xx";
    if (signal == 0) bottomless(endless);
    IS(signal == SIGSEGV);
    stack.ss_flags = SS_DISABLE;
    MUST(sigaltstack(&stack, NULL));
}

CASE(calls_that_reach_across_what_is_mapped) {
    char *memory = pages(1);
    int fd = file_with("f", "12345678");
    SHOW(pread(fd, memory + PAGE - 4, 8, 0));
    printf("%.4s\n", memory + PAGE - 4);
    SHOW(pread(fd, memory + PAGE, 8, 0));
    SHOW(pwrite(fd, memory + PAGE - 4, 8, 0));
    SHOW(pwrite(fd, memory + PAGE, 8, 0));
    mprotect(memory, PAGE, PROT_READ);
    SHOW(pread(fd, memory, 8, 0));
    SHOW(pwrite(fd, memory, 8, 0));
    mprotect(memory, PAGE, PROT_NONE);
    SHOW(pwrite(fd, memory, 8, 0));
}

CASE(memory_a_call_touches_first) {
    char *memory = pages(600);
    int fd = file_with("f", "");
    SHOW(ftruncate(fd, 600 * PAGE));
    SHOW(pread(fd, memory, 600 * PAGE, 0));
    memset(memory, 'z', 600 * PAGE);
    SHOW(pwrite(fd, memory, 600 * PAGE, 0));
    SHOW(munmap(memory, 600 * PAGE));
}

CASE(resident_beyond_the_answer) {
    size_t bytes = 1UL << 40;
    char *answer = pages(2); /* room for one page of it */
    SHOW(munmap(answer + PAGE, PAGE));
    void *reserved = mmap(NULL, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    IS(reserved != MAP_FAILED);
    SHOW(mincore(reserved, bytes, (unsigned char *)answer));
    SHOW(munmap(reserved, bytes));
}
