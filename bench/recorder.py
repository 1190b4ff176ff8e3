"""What recording costs: CPU per sample beside a C loop with the same reads, samples on time, when a kill is reported.

Run it where runs take place (`make bench` goes to the sandbox if this host lacks something). It makes pod-like trees
of cgroups (a pod, two containers, a pause container) with a busy process in each container, and measures

- of one pod and of ten: CPU per sample of the recorder's own sampling code and of `same_reads.c`, alternating, so
  that both see the same minute of a shared machine; the ratio of each pair, its median and spread. Before each sample
  every process touches new memory, for the recorder leaves out containers in which nothing happened;
- the share of samples on time over ten seconds at 10 ms, with the recorder as a process of its own;
- for each of a series of OOM kills, the time from the kernel's stamp on it to the event's own stamp in events.jsonl.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from place import scratch

from cgroups.group import Cgroup, enable_down_to
from cgroups.kmsg import KmsgReader, KmsgRecord
from cgroups.mount import find_cgroup2
from emu.record.events import OomKillLogged, RecorderReport, now, read_events
from emu.record.recorder import Recorder
from emu.record.rundir import RunDir
from emu.record.watched import FAST_FILES, Watched

PAIRS = 9
ROUNDS = 300
KILLS = 9
PODS = 10
CONTAINERS = ("aaaa", "bbbb")
PAUSE = "cccc"
BUSY = """
import mmap, os
print('ready', flush=True)
at, space = 0, None
while os.read(0, 1):
    if space is None or at == len(space):
        at, space = 0, mmap.mmap(-1, 4 << 20, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    space[at] = 1
    at += 4096
    os.write(1, b'.')
"""
"""For each byte that it reads it touches a page."""
HOG = "held = bytearray(64 << 20)\nfor i in range(0, len(held), 4096): held[i] = 1"


@dataclass(frozen=True)
class Pod:
    """Its cgroup, and the processes in it."""

    top: Cgroup
    processes: list[subprocess.Popen[bytes]]

    @property
    def pipes(self) -> list[tuple[int, int]]:
        """Where to ask each of them to do something, and where it says that it has."""
        return [
            (one.stdin.fileno(), one.stdout.fileno())
            for one in self.processes
            if one.stdin is not None and one.stdout is not None
        ]


def stir(pipes: list[tuple[int, int]]) -> None:
    """Have every process do something."""
    for ask, _ in pipes:
        os.write(ask, b".")
    for _, said in pipes:
        os.read(said, 1)


@contextmanager
def pod(name: str) -> Iterator[Pod]:
    """A pod's cgroup with three containers' cgroups below it, two of them with a process in them."""
    mount = find_cgroup2()
    top = Cgroup(mount.path / f"emu-bench-{os.getpid()}-{name}")
    processes: list[subprocess.Popen[bytes]] = []
    with top.create():
        enable_down_to(top.path, "memory", "io", "cpu", "pids", mount=mount)
        top.enable("memory", "io", "cpu", "pids")
        try:
            (top / PAUSE).create()
            for name in CONTAINERS:
                child = (top / name).create()
                process = subprocess.Popen(
                    [sys.executable, "-S", "-c", BUSY], stdin=subprocess.PIPE, stdout=subprocess.PIPE
                )
                processes.append(process)
                assert process.stdout is not None and process.stdout.readline() == b"ready\n"
                child.add(process.pid)
            yield Pod(top, processes)
        finally:
            for process in processes:
                process.kill()
                process.wait()


class CountingRecorder(Recorder):
    """It counts how often it reads a cgroup's files."""

    reads = 0

    def _read(self, watched: Watched, moment: float) -> bool:
        self.reads += 1
        return super()._read(watched, moment)


def sampling_cost(pods: Sequence[Pod], folder: Path) -> dict[str, Any]:
    """CPU per sample, the recorder's and C's, and their ratio."""
    program = folder / "same_reads"
    subprocess.run(["cc", "-O2", "-o", str(program), str(Path(__file__).with_name("same_reads.c"))], check=True)
    tops = [one.top for one in pods]
    pipes = [pair for one in pods for pair in one.pipes]
    groups = [path for top in tops for path in (top.path, *(top.path / name for name in (*CONTAINERS, PAUSE)))]
    files = [str(group / name) for group in groups for name in FAST_FILES if (group / name).exists()]
    run = RunDir(folder / f"cost-{len(tops)}")
    run.create()
    recorder = CountingRecorder(run, 0.01)
    names, silent = os.pipe()  # where the names of cgroups would come from; held open, and silent
    os.dup2(names, 0)
    recorder.open()
    for number, top in enumerate(tops):
        recorder.follow(f"pod-{number}", str(top.path))
    recorder.sample("tick", now())
    recorder.reads = 0
    ours, theirs = [], []
    for _ in range(PAIRS):
        took = 0.0
        for _ in range(ROUNDS):
            stir(pipes)
            began = time.process_time()
            recorder.sample("tick", now())
            took += time.process_time() - began
        ours.append(took / ROUNDS)
        ends = [f"{fd}" for pair in pipes for fd in pair]
        argv = [str(program), str(ROUNDS), str(len(pipes)), *ends, *files]
        said = subprocess.run(argv, capture_output=True, text=True, check=True, pass_fds=[*map(int, ends)]).stdout
        theirs.append(float(said.split()[0]))
    os.close(silent)
    ratios = sorted(one / other for one, other in zip(ours, theirs, strict=True))
    return {
        "pods": len(pods),
        "cgroups": len(groups),
        "cgroups_read_per_sample": round(recorder.reads / PAIRS / ROUNDS, 1),
        "files_read_per_sample_by_c": len(files),
        "cpu_per_sample_us": {"recorder": _spread(ours, 1e6), "c": _spread(theirs, 1e6)},
        "ratio": _spread(ratios, 1),
    }


@contextmanager
def recording(top: Cgroup, folder: Path) -> Iterator[RunDir]:
    """The recorder as a run starts it."""
    run = RunDir(folder)
    run.create()
    process = subprocess.Popen(
        [sys.executable, "-m", "emu.record.recorder", "--run", str(run.path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert process.stdout is not None and process.stdin is not None
    process.stdin.write(json.dumps({"pod": "pod", "cgroup": str(top.path)}).encode() + b"\n")
    process.stdin.flush()
    assert process.stdout.readline() == b"recording\n"
    yield run
    process.stdin.close()
    process.wait()


def on_time(one: Pod, folder: Path) -> tuple[RecorderReport, list[int]]:
    """The recorder's own account of ten seconds, and its resident memory as it went on."""
    with recording(one.top, folder / "time") as run:
        until = time.monotonic() + 10
        while time.monotonic() < until:
            stir(one.pipes)
            time.sleep(0.004)
    reports = [event for event in read_events(run.events) if isinstance(event, RecorderReport)]
    return reports[-1], [report.rss_bytes for report in reports]


def kill_latencies(top: Cgroup, folder: Path) -> list[float]:
    """Seconds from the kernel's stamp on a kill to its event's."""
    offset = printk_offset()
    with recording(top, folder / "kills") as run:
        group = (top / "hog").create()
        group.memory.max = 24 << 20
        group.memory.swap_max = 0
        for _ in range(KILLS):
            process = subprocess.Popen([sys.executable, "-S", "-c", "input()\n" + HOG], stdin=subprocess.PIPE)
            group.add(process.pid)
            process.communicate(b"\n")
        time.sleep(0.2)
    kills = [event for event in read_events(run.events) if isinstance(event, OomKillLogged)]
    return [event.t - (event.kernel_us / 1e6 + offset) for event in kills]


def printk_offset() -> float:
    """CLOCK_MONOTONIC less printk's clock, seconds: from a line that emu writes and reads back."""
    offsets = []
    for number in range(5):
        mark = f"emu bench {os.getpid()} {number}"
        with KmsgReader(facility=None) as reader:
            before = now()
            Path("/dev/kmsg").write_text(mark + "\n")  # without its end a line may be added to, and is held back
            for record in reader.read_available():
                if isinstance(record, KmsgRecord) and mark in record.text:
                    offsets.append(before - record.timestamp_us / 1e6)
    return statistics.median(offsets)


def main() -> None:
    """Measure, print JSON."""
    with tempfile.TemporaryDirectory(dir=scratch()) as name, ExitStack() as stack:
        folder = Path(name)
        one = stack.enter_context(pod("one"))
        costs = [sampling_cost([one], folder)]
        with ExitStack() as more:
            others = [more.enter_context(pod(f"{number}")) for number in range(1, PODS)]
            costs.append(sampling_cost([one, *others], folder))
        report, resident = on_time(one, folder)
        latencies = sorted(kill_latencies(one.top, folder))
        print(
            json.dumps(
                {
                    "sampling": costs,
                    "on_time": 1 - report.late / report.samples,
                    "samples": report.samples,
                    "rss_bytes": resident,
                    "kill_reported_after_ms": _spread(latencies, 1e3),
                    "kills": len(latencies),
                },
                indent=2,
            )
        )


def _spread(values: list[float], factor: float) -> dict[str, float]:
    return {
        "median": round(statistics.median(values) * factor, 3),
        "min": round(min(values) * factor, 3),
        "max": round(max(values) * factor, 3),
    }


if __name__ == "__main__":
    main()
