"""What recording costs: CPU per sample beside a C loop with the same reads, samples on time, when a kill is reported.

Run it where runs take place (`make bench` goes to the sandbox if this host lacks something). It makes a pod-like tree
of cgroups (a pod, two containers, a pause container) with a busy process in each container, and measures

- CPU per sample of the recorder's own sampling code and of `same_reads.c`, alternating, so that both see the same
  minute of a shared machine; the ratio of each pair, its median and spread;
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
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from place import scratch

from cgroups.group import Cgroup, enable_down_to
from cgroups.kmsg import KmsgReader, KmsgRecord
from cgroups.mount import find_cgroup2
from emu.record.events import OomKillLogged, RecorderReport, now, read_events
from emu.record.recorder import Recorder
from emu.record.rundir import RunDir
from emu.record.watched import FAST_FILES

PAIRS = 9
ROUNDS = 300
KILLS = 9
CONTAINERS = ("aaaa", "bbbb", "cccc")
BUSY = "import time\nheld = bytearray(8 << 20)\nprint('ready', flush=True)\nwhile True: time.sleep(0.004)"
"""It runs between any two ticks: of a pod in which nothing happens the recorder leaves the containers out."""
HOG = "held = bytearray(64 << 20)\nfor i in range(0, len(held), 4096): held[i] = 1"


@contextmanager
def pod() -> Iterator[Cgroup]:
    """A pod's cgroup with three containers' cgroups below it, two of them with a process in them."""
    mount = find_cgroup2()
    top = Cgroup(mount.path / f"emu-bench-{os.getpid()}")
    processes: list[subprocess.Popen[bytes]] = []
    with top.create():
        enable_down_to(top.path, "memory", "io", "cpu", "pids", mount=mount)
        top.enable("memory", "io", "cpu", "pids")
        try:
            for name in CONTAINERS:
                child = (top / name).create()
                process = subprocess.Popen(
                    [sys.executable, "-S", "-c", BUSY], stdin=subprocess.PIPE, stdout=subprocess.PIPE
                )
                processes.append(process)
                assert process.stdout is not None and process.stdout.readline() == b"ready\n"
                child.add(process.pid)
            yield top
        finally:
            for process in processes:
                process.kill()
                process.wait()


def sampling_cost(top: Cgroup, folder: Path) -> tuple[list[float], list[float]]:
    """CPU seconds per sample: the recorder's, and C's."""
    program = folder / "same_reads"
    subprocess.run(["cc", "-O2", "-o", str(program), str(Path(__file__).with_name("same_reads.c"))], check=True)
    groups = [top.path, *(top.path / name for name in CONTAINERS)]
    files = [str(group / name) for group in groups for name in FAST_FILES if (group / name).exists()]
    run = RunDir(folder / "cost")
    run.create()
    recorder = Recorder(run, 0.01)
    names, silent = os.pipe()  # where the names of cgroups would come from; held open, and silent
    os.dup2(names, 0)
    recorder.open()
    recorder.follow("pod", str(top.path))
    ours, theirs = [], []
    for _ in range(PAIRS):
        began = time.process_time()
        for _ in range(ROUNDS):
            recorder.sample("tick", now())
        ours.append((time.process_time() - began) / ROUNDS)
        said = subprocess.run([str(program), str(ROUNDS), *files], capture_output=True, text=True, check=True).stdout
        theirs.append(float(said.split()[0]))
    os.close(silent)
    return ours, theirs


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


def on_time(top: Cgroup, folder: Path) -> tuple[RecorderReport, list[int]]:
    """The recorder's own account of ten seconds, and its resident memory as it went on."""
    with recording(top, folder / "time") as run:
        time.sleep(10)
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
    with tempfile.TemporaryDirectory(dir=scratch()) as name, pod() as top:
        folder = Path(name)
        ours, theirs = sampling_cost(top, folder)
        ratios = sorted(one / other for one, other in zip(ours, theirs, strict=True))
        report, resident = on_time(top, folder)
        latencies = sorted(kill_latencies(top, folder))
        print(
            json.dumps(
                {
                    "cpu_per_sample_us": {"recorder": _spread(ours, 1e6), "c": _spread(theirs, 1e6)},
                    "ratio": {"median": statistics.median(ratios), "min": ratios[0], "max": ratios[-1]},
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
