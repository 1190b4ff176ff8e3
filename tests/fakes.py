"""Run directories made up for tests, written through the very writers that a real run uses.

    run = FakeRun(tmp_path / "run")
    run.start("queue-proxy", memory_max=64 * MIB)
    run.advance(2.0, {"queue-proxy": {"anon": 60 * MIB}})   # samples on the way, values move in a straight line
    run.oom("queue-proxy")                                   # counters, kernel log, exit 137, restart not included
    study = read_study(run.finish())

What a real kernel would say is imitated where readers look: hierarchical and local counters, an OOM block in
/dev/kmsg's words, a cgroup that is gone after its last process, printk's clock running behind CLOCK_MONOTONIC.
"""

from __future__ import annotations

import copy
import queue
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from cgroups.kmsg import parse_record
from cgroups.mount import Mount
from cgroups.oom import OomParser
from emu.kubelet.host import Host
from emu.kubelet.pod import Pod
from emu.kubelet.template import PodTemplate
from emu.kubelet.volumes import Volumes
from emu.messages.requests import RequestDone, RequestError, RequestSent, to_line
from emu.policy.kubelet.derived import NodeRules
from emu.policy.kubelet.objectfiles import Content
from emu.record.events import (
    SCALE_DOWN,
    SCALED_TO_ZERO,
    BackOffBegan,
    CgroupGone,
    CgroupSeen,
    CommandRan,
    ContainerCreated,
    ContainerExited,
    ContainerReady,
    ContainerStarted,
    ContainerStopping,
    DockerEvent,
    Event,
    EventLog,
    KubeletEvent,
    MemoryEventsRose,
    Note,
    OfCgroup,
    OfPod,
    OomKillLogged,
    Owner,
    PhaseBegan,
    PhaseEnded,
    PodScaled,
    PodStatus,
    RecorderReport,
    RunBegan,
    RunEnded,
    RunFailed,
)
from emu.record.rundir import RunDir
from emu.record.samples import HOST, NODE, SampleWriter
from emu.runtime.api import OWN_VOLUME, ContainerStatus, Labelled, RuntimeEvent, VolumeKind
from emu.runtime.docker import ContainerRequest, Executed
from emu.runtime.podcgroup import PodCgroup

MIB = 2**20
PAGE = 4096
DATA_DISK = "98:16"
SWAP_DISK = "98:32"
_NO_LIMIT_KB = (1 << 63) // 1024 - 4
"""As the kernel's log has no limit."""
ORIGIN = 5000.0
"""CLOCK_MONOTONIC when the run began."""
READ_AFTER = 0.0004
"""The recorder reads a kernel line this long after it was written."""
PRINTK_BEHIND = 0.25
"""printk's clock shows this much less than CLOCK_MONOTONIC."""
LEVELS = ("anon", "file", "shmem", "kernel", "sock", "swap")
PARTS = ("slab_reclaimable", "slab_unreclaimable", "kernel_stack", "pagetables", "percpu")
"""Of `kernel`; and what is dirty, written back and in the swap cache."""
WRITING = ("file_dirty", "file_writeback", "swapcached")
COUNTERS = (
    "refault_file", "refault_anon", "pgmajfault", "cpu_usec", "throttled_usec", "io_full_usec", "read", "write",
    "swap_in", "swap_out", "swap_event_high", "swap_event_max", "swap_event_fail",
)  # fmt: skip
EVENTS = ("low", "high", "max", "oom", "oom_kill", "oom_group_kill")


POD_NAME = "emu-fake"


def owner(container: str = "", attempt: int | None = None) -> Owner:
    """An instance of a container in the pod of a made-up run; the pod itself by default."""
    return Owner(POD_NAME, container, attempt)


@dataclass
class FakeCgroup:
    """One cgroup's numbers as of now."""

    owner: Owner
    path: str
    limit: int | None = None
    swap_limit: int | None = None
    high: int | None = None
    values: dict[str, float] = field(
        default_factory=lambda: dict.fromkeys((*LEVELS, *PARTS, *WRITING, *COUNTERS), 0.0)
    )
    local: dict[str, int] = field(default_factory=lambda: dict.fromkeys(EVENTS, 0))
    whole: dict[str, int] = field(default_factory=lambda: dict.fromkeys(EVENTS, 0))
    pids: list[int] = field(default_factory=list)
    rss_pages: dict[int, int] = field(default_factory=dict)
    """What the kernel's table of tasks says of each process; empty: of the victim alone."""
    frozen: bool | None = None
    """None: the recorder did not read cgroup.events."""
    peak: int = 0
    peak_is_old: bool = False
    """memory.peak was not read again."""
    sources: dict[str, int] = field(default_factory=dict)

    @property
    def current(self) -> int:
        """memory.current."""
        return int(sum(self.values[name] for name in LEVELS if name != "swap"))

    def texts(self, psi: bool) -> dict[str, str]:
        """Its control files as the kernel would print them."""
        now = {name: int(value) for name, value in self.values.items()}
        if not self.peak_is_old:
            self.peak = max(self.peak, self.current)
        file = now["file"] + now["shmem"]
        stat = {
            "anon": now["anon"], "file": file, "kernel": now["kernel"], "sock": now["sock"],
            "shmem": now["shmem"], "inactive_file": now["file"], **{name: now[name] for name in (*PARTS, *WRITING)},
            "active_file": 0, "workingset_refault_anon": now["refault_anon"],
            "workingset_refault_file": now["refault_file"], "pgfault": 1000, "pgmajfault": now["pgmajfault"],
        }  # fmt: skip
        devices = []
        if now["read"] or now["write"]:
            devices.append(_io_line(DATA_DISK, now["read"], now["write"]))
        if now["swap_in"] or now["swap_out"]:
            devices.append(_io_line(SWAP_DISK, now["swap_in"], now["swap_out"]))
        texts = {
            "memory.current": f"{self.current}\n",
            "memory.peak": f"{self.peak}\n",
            "memory.max": "max\n" if self.limit is None else f"{self.limit}\n",
            "memory.high": "max\n" if self.high is None else f"{self.high}\n",
            "memory.swap.max": "max\n" if self.swap_limit is None else f"{self.swap_limit}\n",
            "memory.swap.events": _flat({name: now[f"swap_event_{name}"] for name in ("high", "max", "fail")}),
            "memory.swap.current": f"{now['swap']}\n",
            "memory.stat": _flat(stat),
            "memory.events": _flat(self.whole),
            "memory.events.local": _flat(self.local),
            "io.stat": "".join(devices),
            "cpu.stat": _flat({"usage_usec": now["cpu_usec"], "throttled_usec": now["throttled_usec"]}),
            "cgroup.procs": "".join(f"{pid}\n" for pid in self.pids),
            **({} if self.frozen is None else {"cgroup.events": _flat({"populated": 1, "frozen": int(self.frozen)})}),
        }
        if psi:
            zeros = "avg10=0.00 avg60=0.00 avg300=0.00 total"
            texts["memory.pressure"] = f"some {zeros}=0\nfull {zeros}=0\n"
            texts["io.pressure"] = f"some {zeros}={now['io_full_usec']}\nfull {zeros}={now['io_full_usec']}\n"
        return texts


INTERVAL_S = 0.05
"""Between samples of a run that is given no other."""


class FakeRun:
    """Writes one run directory as a scripted run goes along. `now` is seconds since the run began."""

    def __init__(
        self,
        path: Path,
        *,
        name: str = "fake",
        pod: str = POD_NAME,
        where: str = "host",
        psi: bool = True,
        pod_limit: int | None = None,
        interval_s: float | None = None,
        machine: Mapping[str, Any] | None = None,
    ) -> None:
        """`machine`: what else is recorded of it, or otherwise."""
        self.run = RunDir(path)
        self.run.create()
        self.run.release()  # as at a run's end
        self._clock = [0.0]
        self.psi = psi
        self.interval_s = interval_s or INTERVAL_S
        self.samples_taken = 0
        self.away = False
        """There is no pod."""
        self.available_kb: int | None = None
        """The machine's MemAvailable; None: what the pod leaves of it."""
        self.stalls = 100
        """Allocations that ever found no free memory on the machine."""
        self.swap_free_kb = 524_288
        """Of the machine's 512 MiB."""
        self.backlog: int | None = None
        """Connections that queue-proxy has not accepted yet; None where nobody counts them."""
        self._events = EventLog(self.run.events)
        self._samples = SampleWriter(self.run.samples)
        self._samples.open()
        self._next_pid = 4000
        self._next_request = 0
        self._oom = OomParser()
        self._sequence = 900
        self.attempts: dict[str, int] = {}
        self.name = pod
        self._first = self
        self._others: list[FakeRun] = []
        self.pod = FakeCgroup(Owner(pod, "", None), f"/emu.slice/{pod}.slice", limit=pod_limit)
        self.live: dict[str, FakeCgroup] = {}
        self._ended = dict.fromkeys(COUNTERS, 0.0)
        devices = {DATA_DISK: {"name": "ubdb", "role": "docker"}, SWAP_DISK: {"name": "ubdc", "role": "swap"}}
        machine = {
            "kernel": "6.1.0-fake", "cgroup_driver": "cgroupfs", "docker": "29.0.0", "cpus": 2, "psi": psi,
            "memory_bytes": 1024 * MIB, "swap_bytes": 512 * MIB, "devices": devices, **(machine or {}),
        }  # fmt: skip
        self.event(
            RunBegan(
                t=self.t,
                run_id=f"20260101T000000Z-{name}",
                scenario=name,
                where=where,
                wall_time="2026-01-01T00:00:00Z",
                machine=machine,
                pod_cgroup=self.pod.path,
            )
        )
        self._see(self.pod)
        self._host = self._samples.declare(HOST, "meminfo", "/proc/meminfo")
        self._vmstat = self._samples.declare(HOST, "vmstat", "/proc/vmstat")

    def beside(self, pod: str, *, pod_limit: int | None = None) -> FakeRun:
        """A further pod of this run, to be used as the first is; all share one clock, and each sample is of all."""
        other = copy.copy(self)
        other.name, other._others, other.attempts, other.live = pod, [], {}, {}
        other._ended = dict.fromkeys(COUNTERS, 0.0)
        other.pod = FakeCgroup(Owner(pod, "", None), f"/emu.slice/{pod}.slice", limit=pod_limit)
        self._first._others.append(other)
        other._next_pid += 1000 * len(self._first._others)
        other._see(other.pod)
        return other

    @property
    def now(self) -> float:
        """Seconds since the run began."""
        return self._clock[0]

    @now.setter
    def now(self, seconds: float) -> None:
        self._clock[0] = seconds

    @property
    def t(self) -> float:
        """Now, on CLOCK_MONOTONIC."""
        return ORIGIN + self.now

    def event(self, event: Event) -> None:
        """Append any event; those of a pod are of this one. The node's is of none."""
        mine = isinstance(event, OfPod) and not (isinstance(event, OfCgroup) and event.owner == NODE)
        self._events.append(replace(event, pod=self.name) if mine else event)

    def start(
        self,
        container: str,
        *,
        memory_max: int | None = None,
        swap_max: int | None = 0,
        high: int | None = None,
        high_from: str = "",
        probes: list[str] | None = None,
        processes: int = 1,
        ready: bool = True,
        named: bool = True,
        io_max: Sequence[str] = (),
    ) -> FakeCgroup:
        """Make and start the next instance of a container. `named` False: the recorder saw its cgroup before it was
        named.
        """
        attempt = self.attempts[container] = self.attempts.get(container, -1) + 1
        ident = self._id(container, attempt)
        whose = Owner(self.name, container, attempt) if named else Owner(self.name, ident, None)
        group = FakeCgroup(whose, f"{self.pod.path}/{ident}", memory_max, swap_max, high)
        for _ in range(processes):
            group.pids.append(self._next_pid)
            self._next_pid += 1
        name = f"emu-fake-{container}-{attempt}"
        self.event(
            ContainerCreated(
                t=self.t,
                container=container,
                attempt=attempt,
                id=ident,
                name=name,
                image=f"emu/{container}",
                memory_max=memory_max,
                memory_high=high,
                memory_high_from=high_from,
                swap_max=swap_max,
                oom_score_adj=999 if container == "queue-proxy" else 900,
                probes=probes,
                io_max=list(io_max),
            )
        )
        self.event(
            ContainerStarted(
                t=self.t, container=container, attempt=attempt, id=ident, pid=group.pids[0], cgroup=group.path
            )
        )
        if ready:
            self.ready(container)
        self.live[container] = group
        self._see(group)
        return group

    def ready(self, container: str, ready: bool = True) -> None:
        """Its readiness changes."""
        self.event(
            ContainerReady(t=self.t + 0.01, container=container, attempt=self.attempts[container], ready=ready)
        )

    def advance(self, to_s: float, moves: dict[str, dict[str, float]] | None = None) -> None:
        """Sample until `to_s`; what `moves` names per container goes there in a straight line on the way."""
        groups = [(self.live[name], values) for name, values in (moves or {}).items()]
        starts = [{key: group.values[key] for key in values} for group, values in groups]
        steps = max(1, round((to_s - self.now) / self.interval_s))
        begin = self.now
        for step in range(1, steps + 1):
            for (group, values), start in zip(groups, starts, strict=True):
                for key, target in values.items():
                    group.values[key] = start[key] + (target - start[key]) * step / steps
            self.now = begin + (to_s - begin) * step / steps
            self.sample()

    def sample(self, why: str = "tick") -> None:
        """Take one sample now, of all pods."""
        if self._first is not self:
            self._first.sample(why)
            return
        for other in self._others:
            other._put()
        self._put()
        used = sum(one.pod.current for one in (self, *self._others)) // 1024
        available = 950_000 - used if self.available_kb is None else self.available_kb
        self._samples.put(
            self._host,
            f"MemTotal: 1048576 kB\nMemFree: {900_000 - used} kB\nMemAvailable: {available} kB\n"
            f"Cached: {used} kB\nAnonPages: {used} kB\nSwapTotal: 524288 kB\n"
            f"SwapFree: {self.swap_free_kb} kB\n".encode(),
        )
        self._samples.put(self._vmstat, f"allocstall_normal {self.stalls}\nallocstall_movable 5\n".encode())
        self._samples.end(round(self.t * 1e9), why)
        self.samples_taken += 1

    def put(self, whose: Owner, file: str, path: str, text: str) -> None:
        """Have the next sample hold another control file, which does not change."""
        self._samples.put(self._samples.declare(whose, file, path), text.encode())

    def _put(self) -> None:
        for name in LEVELS:
            self.pod.values[name] = sum(group.values[name] for group in self.live.values())
        for name in COUNTERS:
            self.pod.values[name] = self._ended[name] + sum(group.values[name] for group in self.live.values())
        for group in (*([] if self.away else [self.pod]), *self.live.values()):
            texts = group.texts(self.psi)
            if group is self.pod and self.backlog is not None:
                texts["listeners"] = f"8012 {self.backlog} 4096\n8080 3 4096\n8022 0 4096\n"
            for file, text in texts.items():
                if file not in group.sources:
                    path = f"/sys/fs/cgroup{group.path}/{file}"
                    group.sources[file] = self._samples.declare(group.owner, file, path)
                self._samples.put(group.sources[file], text.encode())

    def count(self, container: str, local: bool = True, **delta: int) -> None:
        """Raise memory.events counters of a container, and the pod's hierarchical ones; `local` False: pod's own."""
        group = self.live[container] if local else self.pod
        changed = [(group, True, group.local), (group, False, group.whole)]
        if group is not self.pod:
            changed.append((self.pod, False, self.pod.whole))
        for cgroup, is_local, values in changed:
            for name, rise in delta.items():
                values[name] += rise
            self.event(
                MemoryEventsRose(
                    t=self.t,
                    label=cgroup.owner.label,
                    attempt=cgroup.owner.attempt,
                    path=cgroup.path,
                    local=is_local,
                    delta=dict(delta),
                    values=dict(values),
                )
            )

    def oom(
        self,
        container: str,
        *,
        level: str = "container",
        log: str = "full",
        invoker: str | None = None,
        child: bool = False,
        group: bool = False,
        seen: bool = True,
        late: bool = False,
        docker_flag: bool = True,
        exit_code: int | None = 137,
    ) -> None:
        """The kernel kills in a container, now. `level`: whose memory ran out; `log`: `full`, `kill` (the rest was
        rate limited) or `none`; `child`: not its main process; `group`: all its processes; `seen`: False when its
        cgroup went before the recorder read its counters; `late`: the pod's own counter is not read yet; `exit_code`
        None: it lives on.
        """
        victim = self.live[container]
        comm = container.replace("-", "_")[:15]
        pids = list(victim.pids) if group else [victim.pids[-1] if child else victim.pids[0]]
        kills = len(pids) + 1 if group else 1
        rise = {"oom_kill": kills, **({"oom_group_kill": 1} if group else {})}
        if level == "container":
            rise = {"oom": 1, **rise}
        elif level == "pod" and not late:
            self.count(container, local=False, oom=1)
        if seen:
            self.count(container, **rise)
            self.sample("event")
        else:
            for name, number in rise.items():
                self.pod.whole[name] += number
            self.event(
                MemoryEventsRose(
                    t=self.t,
                    label="pod",
                    attempt=None,
                    path=self.pod.path,
                    local=False,
                    delta=rise,
                    values=dict(self.pod.whole),
                )
            )
        self._log_oom(victim, comm, pids, level, log, invoker or comm, group)
        for pid in pids:
            victim.pids.remove(pid)
        if exit_code is not None and not (child and victim.pids):
            self.now = round(self.now + 0.02, 6)
            self.exit(container, exit_code, docker_oom_killed=docker_flag)

    def stop(self, container: str, why: str, grace_s: float) -> None:
        """It is asked to end."""
        self.event(
            ContainerStopping(
                t=self.t, container=container, attempt=self.attempts[container], why=why, grace_s=grace_s
            )
        )

    def signal(self, container: str, number: int) -> None:
        """Docker sends it a signal."""
        ident = self._id(container, self.attempts[container])
        attributes = {"signal": str(number)}
        self.event(
            DockerEvent(
                t=self.t,
                action="kill",
                id=ident,
                name=f"emu-fake-{container}",
                attributes=attributes,
                time_nano=round(self.t * 1e9),
            )
        )

    def pod_event(self, container: str, reason: str, message: str, *, kind: str = "Warning") -> None:
        """The kubelet records an event."""
        self.event(
            KubeletEvent(
                t=self.t,
                type=kind,
                reason=reason,
                message=message,
                container=container,
                attempt=self.attempts[container],
            )
        )

    def command(self, container: str, why: str, command: list[str], began_s: float, pids: list[int]) -> None:
        """What a probe or a hook ran in a container has ended."""
        began = ORIGIN + began_s
        self.event(
            CommandRan(
                t=self.t,
                container=container,
                attempt=self.attempts[container],
                why=why,
                command=command,
                began=began,
                pids=pids,
                exit_code=137,
            )
        )

    def exit(
        self,
        container: str,
        code: int,
        *,
        docker_oom_killed: bool = False,
        asked: bool = False,
        killed_for: str | None = None,
    ) -> None:
        """An instance ends, and its cgroup with it."""
        group = self.live.pop(container)
        for name in COUNTERS:
            self._ended[name] += group.values[name]
        attempt = self.attempts[container]
        ident = self._id(container, attempt)
        for source in group.sources.values():
            self._samples.gone(source)
        self.event(CgroupGone(t=self.t, label=group.owner.label, attempt=group.owner.attempt, path=group.path))
        attributes = {"exitCode": str(code)}
        self.event(
            DockerEvent(
                t=self.t,
                action="die",
                id=ident,
                name=f"emu-fake-{container}",
                attributes=attributes,
                time_nano=round(self.t * 1e9),
            )
        )
        exited = ContainerExited(
            t=self.t,
            container=container,
            attempt=attempt,
            id=ident,
            exit_code=code,
            docker_oom_killed=docker_oom_killed,
            asked=asked,
        )
        self.event(replace(exited, killed_for=killed_for))
        self.sample("event")

    def scale_to_zero(self) -> None:
        """The pod is asked to end, and is gone with its cgroup a second later."""
        self.event(PodScaled(t=self.t, pods=0, reached=False, why="nobody asked", concurrency=0.0))
        self.remove()
        self.event(PodScaled(t=self.t, pods=0, reached=True))
        self.status("0/0", SCALED_TO_ZERO)

    def remove(self) -> None:
        """The pod is scaled away: its containers are asked to end, and a second later it is gone with its cgroup."""
        for container in list(self.live):
            self.stop(container, SCALE_DOWN, 300)
        self.advance(self.now + 1.0)
        for container in list(self.live):
            self.exit(container, 0, asked=True)
        for source in self.pod.sources.values():
            self._samples.gone(source)
        self.pod.sources.clear()
        self.away = True
        self.event(CgroupGone(t=self.t, label="pod", attempt=None, path=self.pod.path))

    def scale_from_zero(self) -> None:
        """There is to be a pod again: a cgroup whose counters begin at 0."""
        self.event(PodScaled(t=self.t, pods=1, reached=False, why="a request came", concurrency=1.0, waiting=1))
        self.pod = FakeCgroup(Owner(self.name, "", None), self.pod.path, limit=self.pod.limit)
        self._ended = dict.fromkeys(COUNTERS, 0.0)
        self.away = False
        self._see(self.pod)

    def back_off(self, container: str, restarts: int, delay_s: float) -> None:
        """The next start waits."""
        self.event(BackOffBegan(t=self.t, container=container, restarts=restarts, delay_s=delay_s))
        self.event(PodStatus(t=self.t, ready="1/2", status="CrashLoopBackOff", restarts=restarts))

    def status(self, ready: str, status: str, restarts: int = 0) -> None:
        """The pod as kubectl would show it."""
        self.event(PodStatus(t=self.t, ready=ready, status=status, restarts=restarts))

    def phase(
        self,
        name: str,
        begin_s: float,
        end_s: float,
        *,
        until: str | None = None,
        met: bool | None = None,
        unsent: int = 0,
    ) -> None:
        """A phase of the load."""
        self.event(PhaseBegan(t=ORIGIN + begin_s, phase=name, duration_s=end_s - begin_s, until=until))
        self.event(PhaseEnded(t=ORIGIN + end_s, phase=name, met=met, unsent=unsent))

    def requests(
        self,
        count: int,
        begin_s: float,
        end_s: float,
        *,
        phase: str = "load",
        takes_s: float = 0.01,
        done_s: float | None = None,
        status: int | None = 200,
        error: RequestError | None = None,
        ended: bool = True,
        late_s: float = 0.0,
        to: str = "",
        container: str = "",
    ) -> None:
        """Requests due evenly from begin to end, and begun `late_s` after that; each takes `takes_s`, or all end at
        `done_s`, or never. `to` is the pod, where the record says so, and `container` the one of it that was asked.
        """
        with self.run.requests.open("a") as lines:
            for index in range(count):
                ident, self._next_request = self._next_request, self._next_request + 1
                due = ORIGIN + begin_s + (end_s - begin_s) * index / count
                begun = due + late_s
                lines.write(to_line(RequestSent(ident, phase, due, begun + 0.0001, begun, to, container)))
                if ended:
                    done = begun + takes_s if done_s is None else ORIGIN + done_s
                    first = done if status is not None else None
                    lines.write(to_line(RequestDone(ident, done, first, status, error, 2 if status else 0)))

    def note(self, what: str, why: str = "", level: str = "warning") -> None:
        """Something a reader should know."""
        self.event(Note(t=self.t, what=what, why=why, level=level))

    def kernel(self, level: int, text: str, dt: float = 0.0) -> None:
        """A record of /dev/kmsg, as the recorder keeps it."""
        if self._first is not self:
            self._first.kernel(level, text, dt)
            return
        kernel_us = round((self.t + dt - PRINTK_BEHIND) * 1e6)
        raw = f"{level},{self._sequence},{kernel_us},-;{text}"
        read_at = self.t + dt + READ_AFTER
        with self.run.kmsg.open("a") as lines:
            lines.write(f"{read_at:.6f} {raw}\n")
        if (kill := self._oom.feed(parse_record(f"{raw}\n".encode()))) is not None:
            self.event(OomKillLogged(t=read_at, kernel_us=kernel_us, log=asdict(kill)))
        self._sequence += 1

    def fail(self, what: str, why: str) -> None:
        """The run cannot go on."""
        self.event(RunFailed(t=self.t, what=what, why=why, fix="mend it"))

    def finish(self, interrupted: bool = False) -> RunDir:
        """End in order: everything still alive is stopped."""
        for one in (self, *self._others):
            for container in list(one.live):
                one.exit(container, 0, asked=True)
        self.event(
            RecorderReport(
                t=self.t,
                interval_s=self.interval_s,
                samples=self.samples_taken,
                late=0,
                cpu_s=0.12,
                rss_bytes=20 * MIB,
                finished=True,
            )
        )
        self.event(RunEnded(t=self.t, interrupted=interrupted))
        return self.cut()

    def cut(self) -> RunDir:
        """End without a word, as after a power cut."""
        self._events.close()
        self._samples.close()
        return self.run

    def _id(self, container: str, attempt: int) -> str:
        return container_id(container if self.name == POD_NAME else f"{self.name}.{container}", attempt)

    def _see(self, group: FakeCgroup) -> None:
        self.event(CgroupSeen(t=self.t, label=group.owner.label, attempt=group.owner.attempt, path=group.path))

    def _log_oom(
        self, victim: FakeCgroup, comm: str, pids: list[int], level: str, log: str, invoker: str, group: bool
    ) -> None:
        if log == "none":
            return
        cause = self.pod if level == "pod" else victim
        if log == "full":
            self._log_block(victim, cause, comm, pids[0], level, invoker)
        self._log_kill(victim, comm, pids[0], level, 0.0009)
        if group:
            self.kernel(6, f"Tasks in {victim.path} are going to be killed due to memory.oom.group set", 0.001)
            for index, pid in enumerate(pids):
                self._log_kill(victim, comm, pid, level, 0.0011 + index * 1e-4)

    def _log_kill(self, victim: FakeCgroup, comm: str, pid: int, level: str, dt: float) -> None:
        head = "Out of memory" if level == "host" else "Memory cgroup out of memory"
        rss = victim.rss_pages[pid] * PAGE // 1024 if pid in victim.rss_pages else int(victim.values["anon"]) // 1024
        self.kernel(
            3,
            f"{head}: Killed process {pid} ({comm}) total-vm:{rss * 3}kB, anon-rss:{rss}kB, file-rss:4096kB, "
            f"shmem-rss:0kB, UID:0 pgtables:168kB oom_score_adj:999",
            dt,
        )

    def _log_block(
        self, victim: FakeCgroup, cause: FakeCgroup, comm: str, pid: int, level: str, invoker: str
    ) -> None:
        self.kernel(4, f"{invoker} invoked oom-killer: gfp_mask=0xcc0(GFP_KERNEL), order=0, oom_score_adj=999")
        self.kernel(4, "CPU: 0 PID: 4001 Comm: fake Not tainted 6.1.0-fake #1", 0.0001)
        constraint, where = "CONSTRAINT_NONE", "global_oom"
        if level != "host":
            limit = (cause.limit or 0) // 1024
            self.kernel(6, f"memory: usage {limit}kB, limit {limit}kB, failcnt 24", 0.0003)
            swapped, may_swap = int(cause.values["swap"]) // 1024, cause.swap_limit
            swap_limit = _NO_LIMIT_KB if may_swap is None else may_swap // 1024
            self.kernel(6, f"swap: usage {swapped}kB, limit {swap_limit}kB, failcnt 0", 0.0003)
            self.kernel(6, f"Memory cgroup stats for {cause.path}:", 0.0004)
            stat = {name: int(cause.values[name]) for name in ("anon", "file", "kernel", "sock", "shmem", *PARTS)}
            stat["file"] += stat["shmem"]
            self.kernel(6, "\\x0a".join(f"{name} {value}" for name, value in stat.items()), 0.0004)
            constraint, where = "CONSTRAINT_MEMCG", f"oom_memcg={cause.path}"
        self.kernel(6, "Tasks state (memory values in pages):", 0.0005)
        self.kernel(6, "[  pid  ]   uid  tgid total_vm      rss pgtables_bytes swapents oom_score_adj name", 0.0005)
        for task, pages in (victim.rss_pages or {pid: 16450}).items():
            self.kernel(
                6, f"[ {task:6d}]     0 {task:5d}    38655 {pages:8d}   172032        0           999 {comm}", 0.0006
            )
        self.kernel(
            6,
            f"oom-kill:constraint={constraint},nodemask=(null),cpuset=/,mems_allowed=0,{where},"
            f"task_memcg={victim.path},task={comm},pid={pid},uid=0",
            0.0007,
        )


def container_id(container: str, attempt: int) -> str:
    """A believable container id, the same each time."""
    return f"{sum(container.encode()):04x}{attempt:04x}" * 8


def _flat(pairs: dict[str, int]) -> str:
    return "".join(f"{name} {value}\n" for name, value in pairs.items())


def _io_line(device: str, read: int, write: int) -> str:
    return f"{device} rbytes={read} wbytes={write} rios={read // PAGE} wios={write // PAGE} dbytes=0 dios=0\n"


class FakePodCgroup(PodCgroup):
    """A pod's cgroup of plain files in a folder, each container's below it by its id."""

    def __init__(self, folder: Path) -> None:
        super().__init__(Mount(folder, frozenset({"memory"}), False), "fake")
        self._folder = folder

    def child(self, name: str) -> FakePodCgroup:
        """A pod's, in a folder of its own."""
        folder = self._folder / name
        folder.mkdir(exist_ok=True)
        return type(self)(folder)

    @property
    def path(self) -> Path:
        """The folder."""
        return self._folder

    @property
    def docker_parent(self) -> str:
        """A name."""
        return "fake"

    def container_path(self, container_id: str) -> Path:
        """A folder in it."""
        return self._folder / container_id

    def create(self) -> None:
        """It is there."""

    def control(self, wanted: Mapping[str, str]) -> None:
        """Nothing enforces it."""

    def remove(self) -> None:
        """The test's folder goes by itself."""


def fake_pod(template: PodTemplate, engine: FakeEngine, cgroup: PodCgroup, log: EventLog, name: str = "pod") -> Pod:
    """A pod of the run `it`; its containers are `it.<name>.<container>.<number>`."""
    volumes = Volumes(engine, template, "it", name, "1:0")
    return Pod(template, name, Host(engine, "it", NodeRules(2**30), "1:0"), cgroup, log, volumes)


class FakeEngine:
    """A runtime whose containers are entries in a list: they start at once, and end on SIGTERM or a test's word. It
    is no Engine: what it lacks fails, and no test reaches a real one through it.
    """

    def __init__(self) -> None:
        self.made: list[ContainerRequest] = []
        self.running: dict[str, bool] = {}
        self.exit_codes: dict[str, int] = {}
        self.filled: dict[str, dict[str, Content]] = {}
        self.oom_killed: dict[str, bool | None] = {}
        self.calls: list[tuple[str, str]] = []
        """What was asked of it: (what, container's id)."""
        self.executed: Callable[[Sequence[str]], Executed] = lambda _: Executed(0, "")
        self.unpaused: Callable[[str], None] = lambda _: None
        self._events: queue.SimpleQueue[RuntimeEvent | None] = queue.SimpleQueue()

    def create(self, request: ContainerRequest) -> str:
        """Make one; its id is its name."""
        self.made.append(request)
        return request.name

    def start(self, container_id: str) -> None:
        """It runs."""
        self.running[container_id] = True

    def end(self, container_id: str, exit_code: int, oom_killed: bool | None = None) -> None:
        """It ends, and the engine reports it."""
        if self.running.pop(container_id, False):
            self.exit_codes[container_id] = exit_code
            self.oom_killed[container_id] = oom_killed
            self.emit("die", container_id)

    def create_volume(self, name: str, labels: Mapping[str, str], kind: VolumeKind = OWN_VOLUME) -> None:
        """It is there."""

    def fill_volume(self, name: str, files: Mapping[str, Content]) -> None:
        """It has them."""
        self.filled[name] = dict(files)

    def remove_volume(self, name: str) -> None:
        """It is gone."""

    def labelled(self, label: str) -> list[Labelled]:
        """None is looked for."""
        return []

    def emit(self, action: str, container_id: str) -> None:
        """The engine reports something."""
        self._events.put(RuntimeEvent(action, container_id))

    def address(self, container_id: str) -> str:
        """Nobody is there."""
        return "127.0.0.1"

    def state(self, container_id: str) -> ContainerStatus:
        """As far as it is asked for."""
        code = self.exit_codes.get(container_id, 0)
        status = "running" if container_id in self.running else "exited"
        return ContainerStatus(status, 1, code, self.oom_killed.get(container_id))

    def stop(self, container_id: str, grace_s: int) -> None:
        """SIGTERM, on which it ends well."""
        self.calls.append((f"stop {grace_s}", container_id))
        self.end(container_id, 0)

    def execute(self, container_id: str, command: Sequence[str], timeout_s: float) -> Executed:
        """What the test wants it to come to."""
        self.calls.append(("execute", container_id))
        return self.executed(command)

    def unpause(self, container_id: str) -> bool:
        """Noted, and the test's to do."""
        self.calls.append(("unpause", container_id))
        self.unpaused(container_id)
        return True

    def kill(self, container_id: str, signal: str = "KILL") -> None:
        """It ends of it."""
        self.calls.append((f"kill {signal}", container_id))
        self.end(container_id, 137)

    def remove(self, container_id: str) -> None:
        """Noted; one that runs is killed."""
        self.calls.append(("remove", container_id))
        self.end(container_id, 137)

    def logs(self, container_id: str) -> Iterator[bytes]:
        """Containers say nothing."""
        return iter(())

    def events(self, label: str, on_open: Callable[[Any], None]) -> Iterator[RuntimeEvent]:
        """Each container's end, until it is closed."""
        on_open(self)
        while (event := self._events.get()) is not None:
            yield event

    def close(self) -> None:
        """End the events."""
        self._events.put(None)
