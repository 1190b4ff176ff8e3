"""A finished run counted again from its raw record: samples.raw.zst, events.jsonl, requests.jsonl and kmsg.log.

It shares no code with `emu.report`, so that the two can be held against each other: `tests.consistency` does.
"""

from __future__ import annotations

import json
import re
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import zstandard

Figures = dict[str, int | float | None]
_STAT = {
    "anon_peak_bytes": ("anon",),
    "kernel_peak_bytes": ("kernel",),
    "sock_peak_bytes": ("sock",),
    "shmem_peak_bytes": ("shmem",),
    "slab_reclaimable_peak_bytes": ("slab_reclaimable",),
    "slab_unreclaimable_peak_bytes": ("slab_unreclaimable",),
    "kernel_stack_peak_bytes": ("kernel_stack",),
    "pagetables_peak_bytes": ("pagetables",),
    "percpu_peak_bytes": ("percpu",),
    "kernel_other_peak_bytes": (
        "kernel",
        "-slab_reclaimable",
        "-slab_unreclaimable",
        "-kernel_stack",
        "-pagetables",
        "-percpu",
        "-zswap",
    ),
    "file_peak_bytes": ("file", "-shmem"),
    "kernel_unreclaimable_peak_bytes": ("kernel", "-slab_reclaimable", "-zswap"),
    "zswap_peak_bytes": ("zswap",),
    "zswapped_peak_bytes": ("zswapped",),
}
"""Peaks of memory.stat: a key, or one less others. A kernel without zswap has none of it: nothing is taken off."""
_STAT_COUNTERS = (
    "workingset_refault_file", "workingset_refault_anon", "pgfault", "pgmajfault", "pgscan", "pgsteal",
    "zswpin", "zswpout", "zswpwb",
)  # fmt: skip
_EVENTS = ("low", "high", "max", "oom", "oom_kill", "oom_group_kill")
_KILLED = re.compile(rb"Killed process (\d+) \(.*\) total-vm:\d+kB, anon-rss:(\d+)kB, file-rss:(\d+)kB")


@dataclass
class Cgroup:
    """All that the samples say of one cgroup's life: the largest of what rises and falls, the last of what counts."""

    label: str
    attempt: int | None
    pod: str = ""
    peaks: Counter[str] = field(default_factory=Counter)
    known: set[str] = field(default_factory=set)
    """Peaks that were measured at all."""
    last: dict[str, int] = field(default_factory=dict)
    kernel_peak: int | None = None
    """memory.peak, which is read less often than memory.current."""

    def most(self, name: str, value: int) -> None:
        """Take a value of something that rises and falls."""
        self.known.add(name)
        self.peaks[name] = max(self.peaks[name], value)


@dataclass
class Recount:
    """A run, counted again. Bytes and counts are ints; latencies are milliseconds in order of size."""

    lives: list[Cgroup]
    owners: dict[str, str]
    """Of each container's id: its name."""
    host: Figures
    requests: list[dict[str, Any]]
    events: list[dict[str, Any]]
    logged: list[tuple[int, int, int]]
    """Of each kill line in the kernel's log: pid, anon-rss and file-rss in bytes."""
    held: frozenset[int]
    """Every figure of memory.stat in the kernel's log, and `file` less `shmem`."""

    def lives_of(self, name: str, pod: str | None = None) -> list[Cgroup]:
        """Of a container, or of the pod: in one pod, or in all of the workload that it is named with. Some cgroups
        were seen before they were known.
        """
        load, _, container = name.rpartition("/")
        found = []
        for life in self.lives:
            known = next((owner for ident, owner in self.owners.items() if ident in life.label), None)
            mine = life.pod == pod if pod is not None else load in ("", workload(life.pod))
            if mine and (known if known and life.attempt is None else life.label) == container:
                found.append(life)
        return found


def workload(pod: str) -> str:
    """The revision of a deployment's pod, or the pod itself."""
    return re.sub(r"-deployment-[a-z0-9]+-[a-z0-9]{5}$", "", pod)


def recount(path: Path) -> Recount:
    """Read a run directory."""
    events = list(_lines(path / "events.jsonl"))
    created = [event for event in events if event.get("kind") == "container-created"]
    owners = {event["id"]: event["container"] for event in created if event.get("id")}
    host: Figures = {}
    lives = _lives(samples_text(path), host)
    _counted_by_events(lives, events)
    return Recount(
        lives,
        owners,
        host,
        _requests(path / "requests.jsonl"),
        events,
        _kills(path / "kmsg.log"),
        _held(path / "kmsg.log"),
    )


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    if not path.exists():
        return
    for line in path.read_text(errors="replace").splitlines():
        try:
            reported = json.loads(line)
        except ValueError:
            continue  # torn
        if isinstance(reported, dict):
            yield reported


# -- samples.raw.zst -------------------------------------------------------------------------------------------


def samples_text(path: Path) -> bytes:
    """The text of the samples, unpacked; of an unfinished last frame what there is."""
    older, packed = path / "samples.raw", path / "samples.raw.zst"
    if not packed.exists():
        return older.read_bytes() if older.exists() else b""
    text, data = b"", packed.read_bytes()
    while data:
        frame = zstandard.ZstdDecompressor().decompressobj()
        text += frame.decompress(data)
        data = frame.unused_data
    return text


def _lives(data: bytes, host: Figures) -> list[Cgroup]:
    """Each cgroup's life: a file that is declared again for the same path begins another one. What was read of a
    cgroup in the sample that found it gone is no whole reading, and is left out.
    """
    lives: dict[str, Cgroup] = {}
    read: list[tuple[Cgroup, str, str]] = []
    """In the sample under way."""
    done: list[Cgroup] = []
    sources: dict[int, tuple[str, str, Cgroup]] = {}
    whole = _whole(data)
    at = 0
    while at < whole:
        end = data.index(b"\n", at)
        words = data[at:end].split(b" ")
        at = end + 1
        if words[0] == b"D":
            number, label, attempt, file = words[1:5]
            group, _, _ = words[5].rpartition(b"/")
            key = group.decode()
            life = lives.get(key)
            if life is None:
                pod, _, owner = label.decode().rpartition("/")  # `pod/container`; once `container` alone
                life = lives[key] = Cgroup(owner or "pod", None if attempt == b"-" else int(attempt), pod)
                done.append(life)
            sources[int(number)] = (file.decode(), key, life)
        elif words[0] == b"F":
            length = int(words[2])
            file_name, _, owner = sources[int(words[1])]
            read.append((owner, file_name, data[at : at + length].decode(errors="replace")))
            at += length + 1
        elif words[0] == b"G":
            _, key, gone = sources[int(words[1])]
            lives.pop(key, None)
            read = [one for one in read if one[0] is not gone]
        elif words[0] == b"E":
            for one in read:
                _take(*one, host)
            read = []
    return done


def _whole(data: bytes) -> int:
    """Where the last sample that is there to its end ends."""
    return max((found.end() for found in re.finditer(rb"\nE( \d+)?\n", data)), default=0)


def held_at(data: bytes, t: float) -> dict[tuple[str, str, int | None], int]:
    """memory.current of each cgroup that is there, by the last sample at or before a time of CLOCK_MONOTONIC: by pod,
    container (empty: the whole pod) and attempt.
    """
    found: dict[tuple[str, str, int | None], int] = {}
    known: dict[int, tuple[str, str, int | None]] = {}
    changed: dict[tuple[str, str, int | None], int | None] = {}
    at = 0
    whole = _whole(data)
    while at < whole:
        end = data.index(b"\n", at)
        words = data[at:end].split(b" ")
        at = end + 1
        if words[0] == b"S" and int(words[1]) > (t + 1e-6) * 1e9:
            break
        if words[0] == b"D" and words[4] == b"memory.current":
            pod, named, container = words[2].decode().rpartition("/")
            is_pod = container == "pod" and not named
            known[int(words[1])] = (pod, "" if is_pod else container, None if words[3] == b"-" else int(words[3]))
        elif words[0] == b"F":
            if int(words[1]) in known:
                changed[known[int(words[1])]] = int(data[at : at + int(words[2])])
            at += int(words[2]) + 1
        elif words[0] == b"G" and int(words[1]) in known:
            changed[known.pop(int(words[1]))] = None
        elif words[0] == b"E":
            found |= {whose: value for whose, value in changed.items() if value is not None}
            found = {whose: value for whose, value in found.items() if changed.get(whose, 0) is not None}
            changed = {}
    return found


def _take(life: Cgroup, file: str, text: str, host: Figures) -> None:
    if life.label == "host":
        if file == "meminfo":
            _meminfo(text, host)
        return
    match file:
        case "memory.current":
            life.most("memory", int(text))
        case "memory.swap.current":
            life.most("swap_peak_bytes", int(text))
        case "memory.peak":
            life.kernel_peak = max(life.kernel_peak or 0, int(text))
        case "memory.stat":
            _stat(life, _flat(text))
        case "memory.events" | "memory.events.local" | "memory.swap.events":
            for name, value in _flat(text).items():
                life.last[f"{file} {name}"] = value
        case "cpu.stat":
            life.last.update({f"cpu {name}": value for name, value in _flat(text).items()})
        case "io.stat":
            for line in text.splitlines():
                device, *pairs = line.split()
                for name, value in (pair.split("=") for pair in pairs if "=" in pair):
                    life.last[f"io {name} {device}"] = int(value)
            life.known.add("io")


def _stat(life: Cgroup, stat: dict[str, int]) -> None:
    for name, (key, *less) in _STAT.items():
        if key in stat and all(other[1:] in stat for other in less if other != "-zswap"):
            life.most(name, max(0, stat[key] - sum(stat.get(other[1:], 0) for other in less)))
    for name in _STAT_COUNTERS:
        if name in stat:
            life.last[name] = stat[name]


def _flat(text: str) -> dict[str, int]:
    return {name: int(value) for name, value in (line.split() for line in text.splitlines())}


def _meminfo(text: str, host: Figures) -> None:
    reported = {line.split(":")[0]: int(line.split()[1]) * 1024 for line in text.splitlines()}
    host["memory_total_bytes"] = reported["MemTotal"]
    before = host.get("memory_available_min_bytes")
    available = reported["MemAvailable"]
    host["memory_available_min_bytes"] = available if before is None else min(before, available)
    if "SwapTotal" in reported:
        used = reported["SwapTotal"] - reported["SwapFree"]
        host["swap_used_peak_bytes"] = max(host.get("swap_used_peak_bytes") or 0, used)


def _counted_by_events(lives: list[Cgroup], events: list[dict[str, Any]]) -> None:
    """The recorder's own events have counters of a cgroup that was gone before the next sample."""
    seen: dict[tuple[str, str, int | None], list[Cgroup]] = defaultdict(list)
    for life in lives:
        seen[(life.pod, life.label, life.attempt)].append(life)
    for event in events:
        if event.get("kind") != "memory-events":
            continue
        mine = seen.get((event.get("pod", ""), event["label"], event["attempt"]), [])
        file = "memory.events.local" if event["local"] else "memory.events"
        if len(mine) == 1:
            for name, value in event["values"].items():
                mine[0].last[f"{file} {name}"] = max(mine[0].last.get(f"{file} {name}", 0), value)


# -- what follows from it --------------------------------------------------------------------------------------


def peaks(lives: list[Cgroup]) -> Figures:
    """The largest over all lives."""
    names = {*_STAT, "swap_peak_bytes"}
    found: Figures = {
        name: max((life.peaks[name] for life in lives if name in life.known), default=None) for name in names
    }
    tops = [max(life.peaks["memory"], life.kernel_peak or 0) for life in lives if life.known]
    return {**found, "memory_peak_bytes": max(tops, default=None)}


def counts(lives: list[Cgroup], page_bytes: int) -> Figures:
    """Counters, over all lives together; each begins at 0. None where none was read."""
    refaults, swapped = _sum(lives, "workingset_refault_file"), _sum(lives, "workingset_refault_anon")
    usec, system = _sum(lives, "cpu usage_usec"), _sum(lives, "cpu system_usec")
    return {
        "refault_bytes": None if refaults is None else refaults * page_bytes,
        "swap_refault_bytes": None if swapped is None else swapped * page_bytes,
        **{
            name: None if (pages := _sum(lives, counter)) is None else pages * page_bytes
            for name, counter in (
                ("reclaim_scanned_bytes", "pgscan"),
                ("reclaimed_bytes", "pgsteal"),
                ("zswap_in_bytes", "zswpin"),
                ("zswap_out_bytes", "zswpout"),
                ("zswap_written_bytes", "zswpwb"),
            )
        },
        "page_faults": _sum(lives, "pgfault"),
        "major_faults": _sum(lives, "pgmajfault"),
        "cpu_s": None if usec is None else usec / 1e6,
        "cpu_system_s": None if system is None else system / 1e6,
        "io_read_bytes": _bytes(lives, "rbytes"),
        "io_write_bytes": _bytes(lives, "wbytes"),
    }


def memory_events(lives: list[Cgroup], file: str = "memory.events") -> Figures:
    """How far each counter of memory.events rose."""
    return {name: _sum(lives, f"{file} {name}") for name in _EVENTS}


def _sum(lives: list[Cgroup], name: str) -> int | None:
    known = [life.last[name] for life in lives if name in life.last]
    return sum(known) if known else None


def _bytes(lives: list[Cgroup], name: str) -> int | None:
    if not any("io" in life.known for life in lives):
        return None
    return sum(value for life in lives for key, value in life.last.items() if key.startswith(f"io {name} "))


# -- requests.jsonl, kmsg.log ----------------------------------------------------------------------------------


def _requests(path: Path) -> list[dict[str, Any]]:
    """Each request, sent and done in one."""
    lines = list(_lines(path))
    done = {line["id"]: line for line in lines if line.get("e") == "done"}
    nothing = {"error": "unanswered", "status": None, "done": None, "first_byte": None}
    return [{**nothing, **line, **done.get(line["id"], {})} for line in lines if line.get("e") == "sent"]


def pods_of(counted: Recount) -> dict[int, str | None]:
    """The pod that each request got to; None for one that an activator kept. Nothing where that is not on record."""
    connections: dict[tuple[int, ...], list[dict[str, Any]]] = defaultdict(list)
    for one in counted.requests:
        connections[tuple(one.get("ports") or ())].append(one)
    found = {one["id"]: one.get("pod") or None for one in counted.requests}
    for line in (event for event in counted.events if event.get("kind") == "requests-forwarded"):
        for at, client in zip(line["at"], line["clients"], strict=True):
            t = line["since"] + at / 1e6 + 1e-5
            before = [one for one in connections[client, line["port"]] if one["sent"] <= t]
            if before:  # else it is of a client that is not on record
                found[max(before, key=lambda one: one["sent"])["id"]] = line["pod"]
    lost = ("reset", "closed", "short-body", "bad-response")
    for one in counted.requests:
        answered = one["error"] is None and one["status"] not in (400, 504)
        if found[one["id"]] is None and (one.get("ports") is None or answered or one["error"] in lost):
            return {}
    return found


def began(request: dict[str, Any]) -> float:
    """From when a request counts: the load generator took it up; in older records, when it was due."""
    begun = request.get("begun")
    return float(request["due"] if begun is None else begun)


def clients(requests: list[dict[str, Any]]) -> dict[str, Any]:
    """What clients saw: counts."""
    whole = [one for one in requests if one["error"] is None]
    return {
        "sent": len(requests),
        "answered": len(whole),
        "by_status": dict(Counter(str(one["status"]) for one in whole)),
        "errors": dict(Counter(one["error"] for one in requests if one["error"] is not None)),
    }


def most_in_flight(requests: list[dict[str, Any]]) -> int:
    """The most that were under way at one time; what is done at the same moment as another is sent makes room."""
    steps = Counter[float]()
    for one in requests:
        steps[one["sent"]] += 1
        if one["done"] is not None:
            steps[one["done"]] -= 1
    most = now = 0
    for _, step in sorted(steps.items()):
        now += step
        most = max(most, now)
    return most


def _held(path: Path) -> frozenset[int]:
    text = path.read_text(errors="replace").replace("\\x0a", "\n") if path.exists() else ""
    stats = re.findall(r"(?:^|[;\s])(\w+) (\d+)$", text, re.MULTILINE)
    found, file, block = set(), 0, dict[str, int]()
    whole, *named = _STAT["kernel_other_peak_bytes"]
    for name, value in stats:
        block = {whole: int(value)} if name == whole else {**block, name: int(value)}
        if {whole, *(part[1:] for part in named if part != "-zswap")} <= {*block}:
            found.add(max(0, block[whole] - sum(block.get(part[1:], 0) for part in named)))
        found.add(int(value))
        file = int(value) if name == "file" else file
        found |= {file - int(value)} if name == "shmem" else set()
    return frozenset(found)


def _kills(path: Path) -> list[tuple[int, int, int]]:
    if not path.exists():
        return []
    found = _KILLED.findall(path.read_bytes())
    return [(int(pid), int(anon) * 1024, int(file) * 1024) for pid, anon, file in found]
