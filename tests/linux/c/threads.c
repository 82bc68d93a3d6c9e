/* Threads as the C library makes them, and what they wait for. */
#include "cases.h"
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <sys/prctl.h>

static void show_error(const char *what, int error) { printf("%s: %s\n", what, error ? error_name(error) : "ok"); }
#define CHECK(call) show_error(#call, call)

static void *returns(void *value) { return (void *)((uintptr_t)value + 1); }
CASE(made_and_joined) {
    pthread_t thread;
    void *result;
    CHECK(pthread_create(&thread, NULL, returns, (void *)41));
    CHECK(pthread_join(thread, &result));
    VALUE((uintptr_t)result);
}

CASE(hundreds_one_after_another) {
    long sum = 0;
    for (long number = 0; number < 300; number++) {
        pthread_t thread;
        void *result;
        if (pthread_create(&thread, NULL, returns, (void *)number) || pthread_join(thread, &result)) break;
        sum += (uintptr_t)result;
    }
    VALUE(sum);
}

static atomic_long counter;
static void *counts(void *rounds) {
    for (long round = 0; round < (long)rounds; round++) atomic_fetch_add(&counter, 1);
    return NULL;
}
CASE(many_at_once) {
    pthread_t threads[60];
    counter = 0;
    int made = 0;
    for (int index = 0; index < 60; index++) made += pthread_create(&threads[index], NULL, counts, (void *)1000) == 0;
    for (int index = 0; index < 60; index++) pthread_join(threads[index], NULL);
    VALUE(made);
    VALUE(counter);
}

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static long guarded;
static void *adds(void *unused) {
    for (int round = 0; round < 20000; round++) {
        pthread_mutex_lock(&mutex);
        guarded++;
        pthread_mutex_unlock(&mutex);
    }
    return unused;
}
CASE(a_contended_lock) {
    pthread_t threads[4];
    guarded = 0;
    for (int index = 0; index < 4; index++) pthread_create(&threads[index], NULL, adds, NULL);
    for (int index = 0; index < 4; index++) pthread_join(threads[index], NULL);
    VALUE(guarded);
}

CASE(kinds_of_locks) {
    pthread_mutexattr_t kind;
    pthread_mutex_t lock;
    pthread_mutexattr_init(&kind);
    pthread_mutexattr_settype(&kind, PTHREAD_MUTEX_RECURSIVE);
    pthread_mutex_init(&lock, &kind);
    CHECK(pthread_mutex_lock(&lock));
    CHECK(pthread_mutex_lock(&lock));
    CHECK(pthread_mutex_unlock(&lock));
    CHECK(pthread_mutex_unlock(&lock));
    CHECK(pthread_mutex_unlock(&lock));
    pthread_mutexattr_settype(&kind, PTHREAD_MUTEX_ERRORCHECK);
    pthread_mutex_init(&lock, &kind);
    CHECK(pthread_mutex_lock(&lock));
    CHECK(pthread_mutex_lock(&lock));
    CHECK(pthread_mutex_trylock(&lock));
    struct timespec past = {1, 0};
    CHECK(pthread_mutex_unlock(&lock));
    pthread_mutex_init(&lock, NULL);
    CHECK(pthread_mutex_lock(&lock));
    CHECK(pthread_mutex_timedlock(&lock, &past));
    CHECK(pthread_mutex_trylock(&lock));
}

static void *dies_with_it(void *lock) {
    pthread_mutex_lock(lock);
    return NULL;
}
CASE(a_robust_lock) {
    pthread_mutexattr_t kind;
    pthread_mutex_t lock;
    pthread_t thread;
    pthread_mutexattr_init(&kind);
    CHECK(pthread_mutexattr_setrobust(&kind, PTHREAD_MUTEX_ROBUST));
    pthread_mutex_init(&lock, &kind);
    pthread_create(&thread, NULL, dies_with_it, &lock);
    pthread_join(thread, NULL);
    CHECK(pthread_mutex_lock(&lock));
    CHECK(pthread_mutex_consistent(&lock));
    CHECK(pthread_mutex_unlock(&lock));
    pthread_create(&thread, NULL, dies_with_it, &lock);
    pthread_join(thread, NULL);
    CHECK(pthread_mutex_lock(&lock));
    CHECK(pthread_mutex_unlock(&lock));
    CHECK(pthread_mutex_lock(&lock));
}

static void *dies_late(void *lock) {
    pthread_mutex_lock(lock);
    sleep_ms(30);
    return NULL;
}
CASE(a_robust_lock_that_is_waited_for) {
    pthread_mutexattr_t kind;
    pthread_mutex_t lock;
    pthread_t thread;
    pthread_mutexattr_init(&kind);
    pthread_mutexattr_setrobust(&kind, PTHREAD_MUTEX_ROBUST);
    pthread_mutex_init(&lock, &kind);
    pthread_create(&thread, NULL, dies_late, &lock);
    sleep_ms(10);
    CHECK(pthread_mutex_lock(&lock));
    pthread_join(thread, NULL);
}

static pthread_cond_t condition = PTHREAD_COND_INITIALIZER;
static int turn, turns;
static void *takes_turns(void *mine) {
    for (int round = 0; round < 500; round++) {
        pthread_mutex_lock(&mutex);
        while (turn != (int)(long)mine) pthread_cond_wait(&condition, &mutex);
        turn = 1 - turn;
        turns++;
        pthread_cond_signal(&condition);
        pthread_mutex_unlock(&mutex);
    }
    return NULL;
}
CASE(conditions) {
    pthread_t threads[2];
    turn = turns = 0;
    for (long index = 0; index < 2; index++) pthread_create(&threads[index], NULL, takes_turns, (void *)index);
    for (int index = 0; index < 2; index++) pthread_join(threads[index], NULL);
    VALUE(turns);
    struct timespec soon;
    clock_gettime(CLOCK_REALTIME, &soon);
    soon.tv_nsec += 20000000;
    if (soon.tv_nsec >= 1000000000) { soon.tv_sec++; soon.tv_nsec -= 1000000000; }
    pthread_mutex_lock(&mutex);
    CHECK(pthread_cond_timedwait(&condition, &mutex, &soon));
    pthread_mutex_unlock(&mutex);
}

static atomic_int awake;
static void *waits_for_all(void *unused) {
    pthread_mutex_lock(&mutex);
    atomic_fetch_add(&awake, 1);
    pthread_cond_wait(&condition, &mutex);
    pthread_mutex_unlock(&mutex);
    return unused;
}
CASE(all_are_woken) {
    pthread_t threads[10];
    awake = 0;
    for (int index = 0; index < 10; index++) pthread_create(&threads[index], NULL, waits_for_all, NULL);
    while (awake < 10) sched_yield();
    pthread_mutex_lock(&mutex);
    CHECK(pthread_cond_broadcast(&condition));
    pthread_mutex_unlock(&mutex);
    for (int index = 0; index < 10; index++) pthread_join(threads[index], NULL);
}

static pthread_rwlock_t shared_lock = PTHREAD_RWLOCK_INITIALIZER;
static long written;
static void *reads_and_writes(void *writes) {
    long seen = 0;
    for (int round = 0; round < 2000; round++) {
        if (writes) {
            pthread_rwlock_wrlock(&shared_lock);
            written++;
        } else {
            pthread_rwlock_rdlock(&shared_lock);
            seen = written;
        }
        pthread_rwlock_unlock(&shared_lock);
    }
    return (void *)seen;
}
CASE(locks_that_readers_share) {
    pthread_t threads[4];
    written = 0;
    for (long index = 0; index < 4; index++) pthread_create(&threads[index], NULL, reads_and_writes, (void *)(index % 2));
    for (int index = 0; index < 4; index++) pthread_join(threads[index], NULL);
    VALUE(written);
    CHECK(pthread_rwlock_tryrdlock(&shared_lock));
    CHECK(pthread_rwlock_trywrlock(&shared_lock));
}

static pthread_barrier_t barrier;
static atomic_int serial;
static void *meets(void *unused) {
    for (int round = 0; round < 50; round++)
        if (pthread_barrier_wait(&barrier) == PTHREAD_BARRIER_SERIAL_THREAD) atomic_fetch_add(&serial, 1);
    return unused;
}
CASE(barriers) {
    pthread_t threads[3];
    serial = 0;
    pthread_barrier_init(&barrier, NULL, 3);
    for (int index = 0; index < 3; index++) pthread_create(&threads[index], NULL, meets, NULL);
    for (int index = 0; index < 3; index++) pthread_join(threads[index], NULL);
    VALUE(serial);
}

static sem_t semaphore;
static void *posts(void *unused) {
    sleep_ms(20);
    sem_post(&semaphore);
    return unused;
}
CASE(semaphores) {
    pthread_t thread;
    SHOW(sem_init(&semaphore, 0, 1));
    SHOW(sem_wait(&semaphore));
    SHOW(sem_trywait(&semaphore));
    struct timespec past = {1, 0};
    SHOW(sem_timedwait(&semaphore, &past));
    pthread_create(&thread, NULL, posts, NULL);
    SHOW(sem_wait(&semaphore));
    pthread_join(thread, NULL);
}

static __thread int own = 7;
static __thread char zeroed[5000];
static void *has_its_own(void *expected) {
    bool is_fresh = own == 7 && zeroed[4999] == 0;
    own = (int)(long)expected;
    zeroed[4999] = 1;
    sched_yield();
    return (void *)(long)(is_fresh && own == (int)(long)expected);
}
CASE(memory_of_a_thread) {
    pthread_t threads[5];
    long right = 0;
    own = 99;
    for (long index = 0; index < 5; index++) pthread_create(&threads[index], NULL, has_its_own, (void *)index);
    for (int index = 0; index < 5; index++) {
        void *result;
        pthread_join(threads[index], &result);
        right += (long)result;
    }
    VALUE(right);
    VALUE(own);
    own = 7;
}

static pthread_key_t key;
static atomic_int destroyed;
static void destroy(void *value) { atomic_fetch_add(&destroyed, (int)(long)value); }
static void *keeps(void *value) {
    pthread_setspecific(key, value);
    return pthread_getspecific(key) == value ? value : NULL;
}
CASE(keys) {
    pthread_t thread;
    void *result;
    destroyed = 0;
    CHECK(pthread_key_create(&key, destroy));
    pthread_create(&thread, NULL, keeps, (void *)5);
    pthread_join(thread, &result);
    VALUE((long)result);
    VALUE(destroyed);
    IS(pthread_getspecific(key) == NULL);
}

static void *ends_early(void *unused) {
    pthread_exit((void *)3);
    return unused;
}
static void *is_cancelled(void *unused) {
    for (;;) sleep_ms(1000);
    return unused;
}
static atomic_int cleaned;
static void clean(void *unused) { (void)unused; atomic_fetch_add(&cleaned, 1); }
static void *cleans(void *unused) {
    char text[1];
    int ends[2];
    (void)!pipe(ends);
    pthread_cleanup_push(clean, NULL);
    (void)!read(ends[0], text, 1);
    pthread_cleanup_pop(0);
    return unused;
}
CASE(ended_otherwise) {
    pthread_t thread;
    void *result;
    pthread_create(&thread, NULL, ends_early, NULL);
    pthread_join(thread, &result);
    VALUE((long)result);
    pthread_create(&thread, NULL, is_cancelled, NULL);
    sleep_ms(10);
    CHECK(pthread_cancel(thread));
    pthread_join(thread, &result);
    IS(result == PTHREAD_CANCELED);
    cleaned = 0;
    pthread_create(&thread, NULL, cleans, NULL);
    sleep_ms(10);
    CHECK(pthread_cancel(thread));
    pthread_join(thread, &result);
    IS(result == PTHREAD_CANCELED);
    VALUE(cleaned);
}

static atomic_int done;
static void *finishes(void *unused) {
    atomic_store(&done, 1);
    return unused;
}
CASE(detached) {
    pthread_t thread;
    pthread_attr_t attributes;
    done = 0;
    pthread_attr_init(&attributes);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    CHECK(pthread_create(&thread, &attributes, finishes, NULL));
    while (!done) sched_yield();
    VALUE(done);
}

static void *uses_stack(void *size) {
    volatile char frame[200000];
    memset((char *)frame, 1, sizeof frame);
    return (void *)(long)(frame[(long)size % sizeof frame]);
}
CASE(stacks) {
    pthread_t thread;
    pthread_attr_t attributes;
    void *result;
    pthread_attr_init(&attributes);
    CHECK(pthread_attr_setstacksize(&attributes, 1 << 18));
    CHECK(pthread_create(&thread, &attributes, uses_stack, (void *)100));
    pthread_join(thread, &result);
    VALUE((long)result);
    char *memory = pages(100);
    CHECK(pthread_attr_setstack(&attributes, memory, 100 * PAGE));
    CHECK(pthread_create(&thread, &attributes, uses_stack, (void *)100));
    pthread_join(thread, &result);
    VALUE((long)result);
}

static pthread_once_t once = PTHREAD_ONCE_INIT;
static void only_once(void) { atomic_fetch_add(&counter, 1); }
static void *calls_once(void *unused) { pthread_once(&once, only_once); return unused; }
CASE(only_one_of_them) {
    pthread_t threads[5];
    counter = 0;
    for (int index = 0; index < 5; index++) pthread_create(&threads[index], NULL, calls_once, NULL);
    for (int index = 0; index < 5; index++) pthread_join(threads[index], NULL);
    VALUE(counter);
}

static void *tells_numbers(void *own_number) {
    *(pid_t *)own_number = syscall(SYS_gettid);
    return (void *)(long)getpid();
}
CASE(numbers) {
    pthread_t thread;
    pid_t number = 0;
    void *process;
    IS(syscall(SYS_gettid) == getpid());
    pthread_create(&thread, NULL, tells_numbers, &number);
    pthread_join(thread, &process);
    IS(number > 0 && number != getpid());
    IS((pid_t)(long)process == getpid());
    SHOW(syscall(SYS_tgkill, getpid(), number, 0));
    SHOW(syscall(SYS_tgkill, getpid(), getpid(), 0));
    SHOW(syscall(SYS_tgkill, getpid(), -1, 0));
    SHOW(syscall(SYS_tkill, getpid(), 65));
}

CASE(names) {
    char name[20] = {0};
    SHOW(prctl(PR_SET_NAME, "a name that is too long"));
    SHOW(prctl(PR_GET_NAME, name));
    printf("%s\n", name);
    show_file("/proc/self/comm");
    SHOW(prctl(PR_SET_NAME, (char *)8));
}

CASE(processors) {
    cpu_set_t set, again;
    CPU_ZERO(&set);
    SHOW(sched_getaffinity(0, sizeof set, &set));
    IS(CPU_COUNT(&set) >= 1);
    IS(CPU_ISSET(sched_getcpu(), &set));
    int first = 0;
    while (!CPU_ISSET(first, &set)) first++;
    CPU_ZERO(&again);
    CPU_SET(first, &again);
    SHOW(sched_setaffinity(0, sizeof again, &again));
    IS(sched_getcpu() == first);
    SHOW(sched_setaffinity(0, sizeof set, &set));
    CPU_ZERO(&again);
    SHOW(sched_setaffinity(0, sizeof again, &again));
    SHOW(syscall(SYS_sched_getaffinity, 0, 0, &set));
    SHOW(syscall(SYS_sched_getaffinity, 0, 128, (void *)8));
    SHOW(syscall(SYS_sched_getaffinity, 999999999, 128, &set));
    SHOW(sched_yield());
    SHOW(sched_getscheduler(0));
    SHOW(sched_get_priority_max(SCHED_OTHER));
    SHOW(sched_get_priority_max(SCHED_FIFO));
    SHOW(sched_get_priority_max(99));
}

static volatile bool stop_spinning;
static void *spins(void *unused) {
    while (!stop_spinning) {}
    return unused;
}
CASE(one_that_computes_holds_nobody_up) {
    pthread_t threads[3];
    stop_spinning = false;
    for (int index = 0; index < 3; index++) pthread_create(&threads[index], NULL, spins, NULL);
    sleep_ms(30);
    stop_spinning = true;
    for (int index = 0; index < 3; index++) CHECK(pthread_join(threads[index], NULL));
}
