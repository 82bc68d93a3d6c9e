/* What a program asks of its machine and of itself. */
#include "cases.h"
#include <elf.h>
#include <sched.h>
#include <sys/auxv.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/sysinfo.h>
#include <sys/utsname.h>
#include <sys/wait.h>

CASE(the_system) {
    struct utsname names;
    SHOW(uname(&names));
    printf("%s %s\n", names.sysname, names.machine);
    int major = 0, minor = 0;
    IS(sscanf(names.release, "%d.%d", &major, &minor) == 2 && major >= 4);
    IS(strlen(names.nodename) > 0);
    SHOW(syscall(SYS_uname, (void *)8));
    struct sysinfo info;
    SHOW(sysinfo(&info));
    IS(info.totalram > 0 && info.freeram <= info.totalram && info.mem_unit > 0);
    IS(info.uptime >= 0 && info.procs >= 1);
    SHOW(syscall(SYS_sysinfo, (void *)8));
    VALUE(sysconf(_SC_PAGESIZE));
    VALUE(sysconf(_SC_CLK_TCK));
    IS(sysconf(_SC_NPROCESSORS_ONLN) >= 1);
    IS(sysconf(_SC_PHYS_PAGES) > 100);
    IS(gethostname(names.nodename, sizeof names.nodename) == 0);
}

CASE(who_we_are) {
    IS(getpid() > 0);
    IS(getppid() >= 0);
    IS(getpid() == syscall(SYS_gettid));
    uid_t real, effective, saved;
    SHOW(getresuid(&real, &effective, &saved));
    IS(real == getuid() && effective == geteuid() && saved == real);
    IS(getgid() == getegid());
    SHOW(setuid(getuid()));
    SHOW(setgid(getgid()));
    SHOW(setresuid(-1, -1, -1));
    SHOW(syscall(SYS_getgroups, -1, NULL));
    IS(getpgid(0) == getpgrp());
    IS(getsid(0) >= 0);
    SHOW(getpgid(999999999));
}

CASE(limits) {
    struct rlimit limit, old;
    SHOW(getrlimit(RLIMIT_STACK, &limit));
    IS(limit.rlim_cur >= 1 << 20);
    SHOW(getrlimit(RLIMIT_NOFILE, &old));
    IS(old.rlim_cur >= 256 && old.rlim_cur <= old.rlim_max);
    limit = old;
    limit.rlim_cur = 100;
    SHOW(setrlimit(RLIMIT_NOFILE, &limit));
    SHOW(syscall(SYS_prlimit64, 0, RLIMIT_NOFILE, &old, &limit));
    VALUE(limit.rlim_cur);
    limit.rlim_cur = 200;
    limit.rlim_max = 100;
    SHOW(setrlimit(RLIMIT_NOFILE, &limit));
    SHOW(getrlimit(99, &limit));
    SHOW(syscall(SYS_getrlimit, RLIMIT_NOFILE, (void *)8));
    SHOW(syscall(SYS_prlimit64, 999999999, RLIMIT_NOFILE, NULL, &limit));
    SHOW(getrlimit(RLIMIT_AS, &limit));
    SHOW(getrlimit(RLIMIT_CORE, &limit));
}

CASE(no_other_programs) {
    int status;
    SHOW(wait(&status));
    SHOW(waitpid(-1, &status, WNOHANG));
    SHOW(waitpid(999999999, &status, 0));
    SHOW(wait4(-1, &status, 0x12345, NULL));
    siginfo_t info;
    SHOW(waitid(P_ALL, 0, &info, WEXITED | WNOHANG));
}

CASE(random_numbers) {
    unsigned char one[16] = {0}, two[16] = {0};
    SHOW(getrandom(one, 16, 0));
    SHOW(getrandom(two, 16, GRND_NONBLOCK));
    IS(memcmp(one, two, 16) != 0);
    SHOW(getrandom(one, 16, GRND_RANDOM));
    SHOW(getrandom(one, 0, 0));
    SHOW(getrandom(one, 1, 0x100));
    SHOW(syscall(SYS_getrandom, (void *)8, 16, 0));
    static char large[100000];
    SHOW(getrandom(large, sizeof large, 0));
}

CASE(what_the_kernel_passes) {
    VALUE(getauxval(AT_PAGESZ));
    VALUE(getauxval(AT_CLKTCK));
    IS(getauxval(AT_PHDR) != 0 && getauxval(AT_PHENT) == 56 && getauxval(AT_PHNUM) > 0);
    IS(getauxval(AT_RANDOM) != 0);
    IS(getauxval(AT_ENTRY) != 0);
    IS(getauxval(AT_UID) == getuid() && getauxval(AT_GID) == getgid());
    VALUE(getauxval(AT_SECURE));
    IS(getauxval(AT_SYSINFO_EHDR) != 0 && memcmp((char *)getauxval(AT_SYSINFO_EHDR), "\177ELF", 4) == 0);
    IS(strcmp((char *)getauxval(AT_PLATFORM), "x86_64") == 0);
    IS(strrchr((char *)getauxval(AT_EXECFN), '/') != NULL);
    IS(getauxval(AT_MINSIGSTKSZ) >= 1000);
    IS(getauxval(AT_HWCAP) != 0);
    printf("%s\n", getenv("TORO_TEST") ? getenv("TORO_TEST") : "not set");
    int variables = 0;
    for (char **each = environ; *each; each++) variables++;
    VALUE(variables);
}

CASE(controls) {
    SHOW(prctl(PR_GET_DUMPABLE));
    SHOW(prctl(PR_GET_KEEPCAPS));
    SHOW(prctl(PR_SET_PDEATHSIG, 0));
    SHOW(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
    SHOW(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0));
    SHOW(prctl(PR_CAPBSET_READ, 0) >= 0);
    SHOW(prctl(99999));
    SHOW(personality(0xffffffff));
    SHOW(syscall(SYS_arch_prctl, 0x9999, 0));
    unsigned long base = 0;
    SHOW(syscall(SYS_arch_prctl, 0x1003 /* ARCH_GET_FS */, &base));
    unsigned long self;
    __asm__("mov %%fs:0, %0" : "=r"(self));
    IS(base == self);
    SHOW(syscall(SYS_arch_prctl, 0x1003, 8));
    SHOW(syscall(SYS_arch_prctl, 0x1002, 0xffff800000000000));
    unsigned cpu = 99, node = 99;
    SHOW(syscall(SYS_getcpu, &cpu, &node, NULL));
    IS(cpu < 1024);
    SHOW(syscall(SYS_getcpu, (void *)8, NULL, NULL));
    SHOW(syscall(SYS_getcpu, NULL, NULL, NULL));
    SHOW(getpriority(PRIO_PROCESS, 0));
    SHOW(syscall(SYS_membarrier, 0, 0, 0) >= 0);
}

CASE(calls_that_do_not_exist) {
    SHOW(syscall(10000));
    SHOW(syscall(-1));
    SHOW(syscall(SYS_create_module));
    SHOW(syscall(SYS_tuxcall));
    SHOW(syscall(400));
    SHOW(syscall(1L << 32 | SYS_getpid) == getpid() || errno == ENOSYS);
}

static void show_lines(const char *name, const char **wanted) {
    char *line = NULL;
    size_t size = 0;
    FILE *file = fopen(name, "r");
    if (!file) { printf("%s: %s\n", name, error_name(errno)); return; }
    unsigned found = 0;
    while (getline(&line, &size, file) > 0)
        for (int index = 0; wanted[index]; index++)
            if (strncmp(line, wanted[index], strlen(wanted[index])) == 0) found |= 1 << index;
    fclose(file);
    free(line);
    printf("%s:", name);
    for (int index = 0; wanted[index]; index++) printf(" %s%s", wanted[index], found & 1 << index ? "" : "(missing)");
    printf("\n");
}
CASE(files_about_ourselves) {
    char text[PATH_MAX] = {0}, own[PATH_MAX] = {0};
    IS(readlink("/proc/self/exe", text, sizeof text - 1) > 0);
    IS(access(text, X_OK) == 0);
    snprintf(own, sizeof own, "/proc/%d/exe", getpid());
    IS(access(own, X_OK) == 0);
    IS(getcwd(text, sizeof text) != NULL);
    memset(own, 0, sizeof own);
    IS(readlink("/proc/self/cwd", own, sizeof own - 1) > 0);
    IS(strcmp(text, own) == 0);
    int fd = MUST(open("/proc/self/cmdline", O_RDONLY));
    memset(text, 0, sizeof text);
    IS(read(fd, text, sizeof text) > 0);
    IS(strlen(text) > 0);
    show_lines("/proc/self/status", (const char *[]){"Name:", "Pid:", "Uid:", "VmRSS:", "Threads:", NULL});
    show_lines("/proc/meminfo", (const char *[]){"MemTotal:", "MemFree:", "MemAvailable:", NULL});
    show_lines("/proc/cpuinfo", (const char *[]){"processor", "flags", NULL});
    show_lines("/proc/stat", (const char *[]){"cpu ", "cpu0 ", "btime ", NULL});
    show_lines("/proc/self/limits", (const char *[]){"Max open files", NULL});
    IS(access("/proc/self/maps", R_OK) == 0);
    IS(access("/proc/self/stat", R_OK) == 0);
    IS(access("/proc/uptime", R_OK) == 0);
    IS(access("/proc/loadavg", R_OK) == 0);
    IS(access("/proc/self/task", R_OK) == 0);
    IS(access("/proc/sys/vm/overcommit_memory", R_OK) == 0);
    IS(access("/proc/sys/net/core/somaxconn", R_OK) == 0);
    IS(access("/proc/sys/kernel/osrelease", R_OK) == 0);
    IS(access("/proc/self/nothing", R_OK) == 0);
    SHOW(open("/proc/self/maps", O_WRONLY | O_CREAT, 0600) >= 0 || errno == EACCES || errno == EPERM);
    IS(access("/sys/devices/system/cpu/online", R_OK) == 0);
}

CASE(memory_as_it_is_listed) {
    char *memory = pages(3), *line = NULL;
    size_t size = 0;
    mprotect(memory + PAGE, PAGE, PROT_READ);
    FILE *file = fopen("/proc/self/maps", "r");
    if (!file) { printf("no maps: %s\n", error_name(errno)); return; }
    bool has_stack = false, is_ordered = true;
    unsigned long last = 0;
    while (getline(&line, &size, file) > 0) {
        unsigned long start, end;
        char rights[5];
        if (sscanf(line, "%lx-%lx %4s", &start, &end, rights) != 3) { printf("odd line\n"); continue; }
        is_ordered &= start >= last && start < end;
        last = end;
        if (start == (unsigned long)memory + PAGE) printf("%lx %s\n", end - start, rights);
        has_stack |= start <= (unsigned long)&line && (unsigned long)&line < end && strstr(line, "[stack]");
    }
    fclose(file);
    IS(is_ordered);
    IS(has_stack);
}

CASE(files_of_every_system) {
    const char *files[] = {"/etc/passwd", "/etc/group", "/etc/hosts", "/dev/null", "/dev/zero", "/dev/urandom", "/dev/stdout",
                           "/dev/fd", "/proc/self", "/proc/mounts", "/tmp"};
    for (size_t index = 0; index < sizeof files / sizeof *files; index++)
        printf("%s: %s\n", files[index], access(files[index], R_OK) ? error_name(errno) : "there");
    int fd = open("/tmp/toro-test-file", O_RDWR | O_CREAT | O_TRUNC, 0600);
    IS(fd >= 0);
    SHOW(unlink("/tmp/toro-test-file"));
}

static unsigned long long set_in_status(const char *name) {
    char line[200];
    unsigned long long set = 0;
    FILE *file = fopen("/proc/self/status", "r");
    while (file && fgets(line, sizeof line, file))
        if (strncmp(line, name, strlen(name)) == 0) set = strtoull(line + strlen(name), NULL, 16);
    if (file) fclose(file);
    return set;
}
static void unused(int signal) {}
CASE(what_becomes_of_signals) {
    signal(SIGUSR1, unused);
    signal(SIGHUP, SIG_IGN);
    unsigned long long three = 1 << (SIGUSR1 - 1) | 1 << (SIGHUP - 1) | 1 << (SIGTERM - 1);
    printf("%llx %llx\n", set_in_status("SigIgn:") & three, set_in_status("SigCgt:") & three);
    printf("%llx %llx\n", set_in_status("CapEff:") & 0xff, set_in_status("CapInh:"));
}
