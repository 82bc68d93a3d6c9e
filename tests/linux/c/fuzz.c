/* Throws hostile arguments at every call: `fuzz SEED CALLS ROUNDS`. It never runs on the host.
 *
 * What would end or change the program itself in the ordinary way is left out or bent: its own end, its signal handlers, the
 * memory it runs in. A thread sends signals all the time, so that no call waits for long. Each round makes the same calls and
 * then gives back what it holds: the memory that is free must not become less. Status 7: all calls were made. */
#define OWN_MAIN
#include "cases.h"
#include <dirent.h>
#include <pthread.h>
#include <sched.h>
#include <sys/socket.h>
#include <sys/sysinfo.h>

#define ARENA_PAGES 64
static char *arena;
static uint64_t state;
static sigjmp_buf again;
static pid_t main_thread;

static uint64_t number(void) {
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return state;
}
static uint64_t below(uint64_t limit) { return number() % limit; }

static const char *const PATHS[] = {"f", "g", "d", "d/e", ".", "..", "", "missing/x", "/proc/self/maps", "/proc/self/fd", "/dev/null",
                                    "/dev/zero", "link", "/proc/self/exe", "/tmp", "fifo"};

static uint64_t pointer(void) {
    switch (below(8)) {
    case 0: return below(2) ? 8 : 0;
    case 1: return 0xffff800000000000 + below(1 << 20);
    case 2: return 0x8000000000000000 | number();
    case 3: return (uint64_t)(arena + (ARENA_PAGES * PAGE) - below(64)); /* across its end */
    case 4: return (uint64_t)PATHS[below(sizeof PATHS / sizeof *PATHS)];
    default: return (uint64_t)(arena + below(ARENA_PAGES * PAGE - 4096));
    }
}
static uint64_t argument(void) {
    switch (below(8)) {
    case 0: return below(8);
    case 1: return below(40); /* a descriptor, perhaps */
    case 2: return (uint64_t)-1 - below(3);
    case 3: return 1UL << below(64);
    case 4: return number();
    case 5: return below(70000);
    default: return pointer();
    }
}
/* Small numbers, descriptors and pointers where a call may read structures. */
static void fill(void) {
    for (int rounds = 0; rounds < 40; rounds++) {
        uint64_t value = argument();
        memcpy(arena + below(ARENA_PAGES * PAGE - 8), &value, below(8) + 1);
    }
}
static void in_arena(uint64_t *address, uint64_t *length) {
    uint64_t first = below(ARENA_PAGES), count = 1 + below(ARENA_PAGES - first);
    *address = (uint64_t)arena + first * PAGE;
    *length = count * PAGE;
}

static bool is_left_out(long call) {
    switch (call) {
    case SYS_exit: case SYS_exit_group: case SYS_rt_sigreturn: case SYS_brk: case SYS_arch_prctl: case SYS_setrlimit:
    case SYS_prlimit64: case SYS_fork: case SYS_vfork: case SYS_clone: case SYS_clone3: case SYS_rt_sigaction:
    case SYS_munlockall: case SYS_mlockall: case SYS_pause:
        return true;
    default: return false;
    }
}

static void one_call(void) {
    long call = below(463);
    uint64_t a[6];
    for (int index = 0; index < 6; index++) a[index] = argument();
    if (is_left_out(call)) return;
    switch (call) {
    case SYS_kill: case SYS_tkill: a[1] = below(2) * SIGUSR1; break;
    case SYS_rt_sigqueueinfo: a[1] = below(2) * SIGUSR1; break;
    case SYS_tgkill: case SYS_rt_tgsigqueueinfo: a[2] = below(2) * SIGUSR1; break;
    case SYS_timer_create: a[1] = 0; break;
    case SYS_mmap:
        if (below(2)) in_arena(&a[0], &a[1]);
        else a[0] = 0, a[1] = below(1 << 22), a[3] &= ~0x100010UL; /* not fixed */
        if (below(2)) a[3] = MAP_PRIVATE | MAP_ANONYMOUS | (a[0] ? MAP_FIXED : 0);
        break;
    case SYS_munmap: case SYS_mprotect: case SYS_madvise: case SYS_mlock: case SYS_mlock2: case SYS_munlock: case SYS_msync:
    case SYS_mincore: in_arena(&a[0], &a[1]); break;
    case SYS_mremap:
        in_arena(&a[0], &a[1]);
        a[2] = below(4) ? a[1] : below(1 << 22);
        a[3] = below(2);
        break;
    case SYS_fcntl: if (below(2)) a[1] = below(15); break;
    case SYS_socket: case SYS_socketpair: if (below(2)) a[0] = below(3), a[1] = 1 + below(5), a[2] = 0; break;
    case SYS_rt_sigprocmask: case SYS_rt_sigtimedwait: a[3] = 8; break;
    /* One that waits with all signals blocked waits for ever. */
    case SYS_rt_sigsuspend: a[0] = below(2) ? 8 : (uint64_t)&(uint64_t){0}; a[1] = 8; break;
    case SYS_ppoll: a[3] = below(2) * 8; break;
    case SYS_pselect6: a[5] = below(2) * 8; break;
    case SYS_epoll_pwait: case SYS_epoll_pwait2: a[4] = below(2) * 8; break;
    default: break;
    }
    long result = syscall(call, a[0], a[1], a[2], a[3], a[4], a[5]);
    bool is_elsewhere = result != -1 && ((char *)result < arena || (char *)result >= arena + ARENA_PAGES * PAGE);
    if (call == SYS_mmap && is_elsewhere) munmap((void *)result, a[1]);
    if (call == SYS_mremap && is_elsewhere) munmap((void *)result, a[2]);
}

static void ignores(int signal) { (void)signal; }
static void comes_back(int signal) { siglongjmp(again, signal); }
static void *sends_signals(void *unused) {
    for (;;) {
        usleep(2000);
        syscall(SYS_tgkill, getpid(), main_thread, SIGALRM);
    }
    return unused;
}

static void make_arena(void) {
    munmap(arena, ARENA_PAGES * PAGE);
    mmap(arena, ARENA_PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    fill();
}

static void begin_round(uint64_t seed) {
    state = seed * 2654435761 + 88172645463325252UL;
    make_arena();
    mkdir("d", 0755);
    mkdir("d/e", 0755);
    close(file_with("f", "contents"));
    symlink("f", "link");
    mkfifo("fifo", 0600);
    for (int fd = 3; fd < 12; fd += 2) {
        int ends[2];
        if (fd % 3 == 0) socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends);
        else pipe2(ends, O_NONBLOCK);
    }
}

/* All that is in a directory, and in those below. */
static void empty(const char *path) {
    DIR *directory = opendir(path);
    if (!directory) return;
    for (struct dirent *entry; (entry = readdir(directory));) {
        char name[PATH_MAX];
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) continue;
        snprintf(name, sizeof name, "%s/%s", path, entry->d_name);
        if (unlink(name) && errno == EISDIR) {
            empty(name);
            rmdir(name);
        }
    }
    closedir(directory);
}

static void end_round(const char *home) {
    sigset_t none;
    sigemptyset(&none);
    syscall(SYS_rt_sigprocmask, SIG_SETMASK, &none, NULL, 8L);
    syscall(SYS_close_range, 3, ~0U, 0);
    for (long timer = 0; timer < 5000; timer++) syscall(SYS_timer_delete, timer);
    syscall(SYS_munlockall);
    make_arena();
    if (chdir(home)) _exit(7); /* it has locked itself out: somebody else by setuid, say, for whom the directory is closed */
    empty(".");
}

int main(int count, char **arguments) {
    uint64_t seed = count > 1 ? strtoull(arguments[1], NULL, 0) : 1, calls = count > 2 ? strtoull(arguments[2], NULL, 0) : 1000;
    int rounds = count > 3 ? atoi(arguments[3]) : 1;
    volatile unsigned long free_first = 0;
    main_thread = syscall(SYS_gettid);
    arena = pages(ARENA_PAGES);
    for (int signal = 1; signal < 65; signal++) {
        struct sigaction action = {.sa_handler = ignores};
        if (signal == SIGSEGV || signal == SIGBUS) action = (struct sigaction){.sa_handler = comes_back, .sa_flags = SA_NODEFER};
        sigaction(signal, &action, NULL);
    }
    char home[PATH_MAX];
    getcwd(home, sizeof home);
    pthread_t thread;
    pthread_create(&thread, NULL, sends_signals, NULL);
    for (volatile int round = 0; round < rounds; round++) {
        begin_round(seed);
        for (volatile uint64_t made = 0; made < calls; made++) {
            if (sigsetjmp(again, 1) == 0) {
                if (made % 64 == 0) make_arena();
                one_call();
            }
            sigset_t none = {0};
            syscall(SYS_rt_sigprocmask, SIG_SETMASK, &none, NULL, 8L);
        }
        end_round(home);
        struct sysinfo info;
        sysinfo(&info);
        if (round == 1) free_first = info.freeram;
        if (round > 1 && info.freeram + (4 << 20) < free_first) _exit(9);
    }
    _exit(7);
}
