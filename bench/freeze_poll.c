/* Freezes and thaws a cgroup as directly as can be: writes cgroup.freeze, polls cgroup.events until the kernel says
 * so, and prints how long each thaw took, in microseconds: the floor under what a freezer daemon adds to.
 *
 *     freeze_poll CGROUP ROUNDS
 */
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static double now_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1e6 + t.tv_nsec / 1e3;
}

static double set(int freeze, int events, int frozen)
{
    char text[256];
    double began = now_us();
    struct pollfd changed = {.fd = events, .events = POLLPRI};
    if (pwrite(freeze, frozen ? "1" : "0", 1, 0) != 1)
        exit(1);
    for (;;) {
        ssize_t got = pread(events, text, sizeof text - 1, 0);
        if (got < 0)
            exit(1);
        text[got] = 0;
        if (strstr(text, frozen ? "frozen 1" : "frozen 0"))
            return now_us() - began;
        poll(&changed, 1, 1000);
    }
}

int main(int argc, char **argv)
{
    char path[4096];
    if (argc != 3)
        return 2;
    snprintf(path, sizeof path, "%s/cgroup.freeze", argv[1]);
    int freeze = open(path, O_WRONLY);
    snprintf(path, sizeof path, "%s/cgroup.events", argv[1]);
    int events = open(path, O_RDONLY);
    if (freeze < 0 || events < 0)
        return 1;
    for (int round = 0; round < atoi(argv[2]); round++) {
        set(freeze, events, 1);
        printf("%.1f\n", set(freeze, events, 0));
    }
    return 0;
}
