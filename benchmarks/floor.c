/* The floor under every lateness: a bare timerfd loop. Usage: floor RATE SECONDS
 * Sleeps until each of RATE * SECONDS absolute times and prints how late it woke, in microseconds. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

static int64_t now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000LL + t.tv_nsec;
}

static int ascending(const void *a, const void *b) {
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

int main(int argc, char **argv) {
    if (argc != 3) return 2;
    long rate = atol(argv[1]), starts = rate * atol(argv[2]);
    int64_t *late = malloc(sizeof *late * starts), zero = now() + 50000000;
    int timer = timerfd_create(CLOCK_MONOTONIC, 0);
    if (!late || timer < 0) return 1;
    for (long i = 0; i < starts; i++) {
        int64_t due = zero + i * 1000000000LL / rate;
        struct itimerspec at = {.it_value = {due / 1000000000LL, due % 1000000000LL}};
        uint64_t fired;
        timerfd_settime(timer, TFD_TIMER_ABSTIME, &at, NULL);
        if (read(timer, &fired, sizeof fired) != sizeof fired) return 1;
        late[i] = now() - due;
    }
    qsort(late, starts, sizeof *late, ascending);
    printf("{\"p50_us\": %.1f, \"p99_us\": %.1f, \"max_us\": %.1f}\n", late[starts / 2] / 1e3,
           late[starts * 99 / 100] / 1e3, late[starts - 1] / 1e3);
    return 0;
}
