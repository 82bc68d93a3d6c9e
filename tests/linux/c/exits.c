/* How a program can end: the argument says how. */
#define _GNU_SOURCE
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

static void at_exit(void) { puts("at exit"); }
static void *exits_from_a_thread(void *status) { exit((int)(long)status); }
static void *crashes(void *unused) { return *(void *volatile *)unused; }
static void *goes_on(void *unused) {
    usleep(20000);
    puts("the last thread");
    return unused;
}
static void on_term(int signal) {
    (void)signal;
    (void)!write(1, "handled\n", 8);
    _exit(9);
}

int main(int count, char **arguments) {
    const char *how = count > 1 ? arguments[1] : "return";
    pthread_t thread;
    puts("begin");
    if (strcmp(how, "return") == 0) return 3;
    if (strcmp(how, "exit") == 0) {
        atexit(at_exit);
        exit(257);
    }
    if (strcmp(how, "_exit") == 0) _exit(4); /* what is buffered is lost */
    if (strcmp(how, "abort") == 0) fflush(stdout), abort();
    if (strcmp(how, "crash") == 0) fflush(stdout), crashes(NULL);
    if (strcmp(how, "divide") == 0) fflush(stdout), exit(7 / (count - 2));
    if (strcmp(how, "term") == 0) fflush(stdout), raise(SIGTERM);
    if (strcmp(how, "kill") == 0) fflush(stdout), kill(getpid(), SIGKILL);
    if (strcmp(how, "handled") == 0) signal(SIGTERM, on_term), fflush(stdout), raise(SIGTERM);
    if (strcmp(how, "pipe") == 0) {
        int ends[2];
        fflush(stdout);
        if (pipe(ends)) return 1;
        close(ends[0]);
        (void)!write(ends[1], "x", 1);
    }
    if (strcmp(how, "thread-exits") == 0) {
        pthread_create(&thread, NULL, exits_from_a_thread, (void *)6);
        pause();
    }
    if (strcmp(how, "thread-crashes") == 0) {
        fflush(stdout);
        pthread_create(&thread, NULL, crashes, NULL);
        pause();
    }
    if (strcmp(how, "main-ends") == 0) {
        pthread_create(&thread, NULL, goes_on, NULL);
        pthread_exit(NULL);
    }
    if (strcmp(how, "stderr") == 0) {
        fprintf(stderr, "to standard error\n");
        return 0;
    }
    if (strcmp(how, "arguments") == 0)
        for (int index = 1; index < count; index++) printf("%d: <%s>\n", index, arguments[index]);
    if (strcmp(how, "input") == 0) {
        char line[100];
        int lines = 0;
        while (fgets(line, sizeof line, stdin)) printf("%d: %s", ++lines, line);
        printf("%d lines\n", lines);
    }
    if (strcmp(how, "environment") == 0) {
        extern char **environ;
        for (char **each = environ; *each; each++) puts(*each);
    }
    return 0;
}
