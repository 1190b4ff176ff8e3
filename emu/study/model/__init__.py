"""A finished run as plain values, made from a run directory by `emu.study.study.read_study`.

All times named `_s`, and every `t` column, are seconds since the run began, on CLOCK_MONOTONIC. Bytes are ints.
What was not measured is None (an absent file, a torn end), never 0. Counters are as the kernel counts them:
they only rise within one cgroup, and begin at 0 again in the cgroup of a restarted container.
"""
