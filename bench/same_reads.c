/* What sampling costs at least: the reads of the recorder, from C. usage: same_reads ROUNDS PIPES [ASK SAID]... FILE...
 * Opens each file once, then reads each from its start ROUNDS times; prints CPU seconds (user + system) per round.
 * Before each round it writes a byte to each ASK and waits for one from its SAID, which it does not count. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

enum { MOST = 1024 };

static double cpu_seconds(void)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return usage.ru_utime.tv_sec + usage.ru_stime.tv_sec + (usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

static int stir(char **pipes, int count)
{
    char byte = '.';
    for (int i = 0; i < count; i++)
        if (write(atoi(pipes[2 * i]), &byte, 1) != 1)
            return -1;
    for (int i = 0; i < count; i++)
        if (read(atoi(pipes[2 * i + 1]), &byte, 1) != 1)
            return -1;
    return 0;
}

int main(int count, char **words)
{
    static char text[1 << 14];
    static int files[MOST];
    int known = 0, pipes = count > 2 ? atoi(words[2]) : 0;
    long rounds = count > 1 ? atol(words[1]) : 0;
    double took = 0;

    for (int i = 3 + 2 * pipes; i < count && known < MOST; i++) {
        files[known] = open(words[i], O_RDONLY | O_CLOEXEC);
        if (files[known] >= 0)
            known++;
    }
    for (long round = 0; round < rounds; round++) {
        if (stir(words + 3, pipes) < 0)
            return 1;
        double began = cpu_seconds();
        for (int i = 0; i < known; i++)
            if (pread(files[i], text, sizeof text, 0) < 0)
                return 1;
        took += cpu_seconds() - began;
    }
    printf("%.9f %d\n", rounds ? took / rounds : 0.0, known);
    return 0;
}
