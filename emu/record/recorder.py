"""Samples cgroups, follows the kernel's log, appends both to the run directory; changes nothing that it watches.

A process of its own (`python -m emu.record.recorder`), so that a run that dies does not take the record along. It
reads the control files of each pod's cgroup and of every cgroup below it, at each tick and at once when memory.events
of one of them changes, and writes the kernel's own text; what the text means is for `emu.study` to say. The tick's
cost is system calls: descriptors are kept open, nothing is parsed that need not be, and a tick is one write.

Which pods there are, and whose a cgroup is, comes on standard input, a JSON line each: the cgroup that all pods are
in, where that is watched; a pod once its cgroup is there; a container before it is started (its directory's name
holds the container's id under both of Docker's cgroup drivers). The end of standard input ends the recording.
The load generator asks for a sample at a socket of its own (asked.py).
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import resource
import select
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from emu.errors import EXIT_NOT_RECORDED
from emu.messages import SANDBOX
from emu.record.asked import Asked
from emu.record.events import (
    CgroupGone,
    CgroupSeen,
    Event,
    EventLog,
    Owner,
    RecorderReport,
    now,
)
from emu.record.kernel_log import KernelLog
from emu.record.machine_files import MachineFiles
from emu.record.pace import Pace
from emu.record.pod_listeners import PodListeners, WatchedPod
from emu.record.rundir import RunDir
from emu.record.samples import NODE, SampleWriter
from emu.record.watched import Watched
from emu.record.writing import NotRecordedError, write_back, writing

REPORT_S = 5.0
_READ_SIZE = 1 << 14
_SYNC_S = 0.5


class Recorder:
    """The recording process. No I/O in the constructor."""

    def __init__(self, run: RunDir, interval_s: float, asks: int | None = None) -> None:
        """`asks`: the descriptor of a socket at which samples are asked for."""
        self._pace = Pace(interval_s)
        self._run = run
        self._log = EventLog(run.events)
        self._writer = SampleWriter(run.samples)
        self._watched: dict[str, Watched] = {}
        self._by_event_fd: dict[int, Watched] = {}
        self._names: dict[str, Owner] = {}
        self._pods: dict[str, WatchedPod] = {}
        """Each pod that is there, by its name."""
        self._poll = select.poll()
        self._kernel_log = KernelLog(run.kmsg, self._poll, self._append)
        self._asked = Asked(asks, self._poll, lambda: self.sample("phase", now()))
        self._machine = MachineFiles()
        self._samples = 0
        self._late = 0
        self._stop = False
        self._input = b""
        self._next_slow = 0.0
        self._next_report = 0.0
        self._next_sync = 0.0

    def record(self) -> None:
        """Record until standard input ends or a signal comes. NotRecordedError: there is no room for more; what is
        there is whole, and nothing is added.
        """
        self.open()
        due = now()
        self.sample("tick", due)
        # Only now: the run makes its first pod when it reads this.
        sys.stdout.write("recording\n")
        sys.stdout.flush()
        gc.collect()  # and no more from here on: a collection would come between two reads of one sample
        gc.freeze()
        gc.disable()
        while not self._stop:
            interval_s = self._pace.interval_s
            due += interval_s
            moment = now()
            if moment > due + interval_s:  # ticks that were missed are counted, and not made up for
                self._late += int((moment - due) / interval_s)
                due = moment
            self._wait_until(due)
            moment = now()
            self.sample("tick", moment)
            if moment >= self._next_report:
                self._report(moment)
            if moment >= self._next_sync:
                self._next_sync = moment + _SYNC_S
                write_back(self._writer.fd, self._log.fd, self._kernel_log.fd)
        self.sample("tick", now())
        self._report(now(), finished=True)
        self._asked.close()
        for pod in self._pods.values():
            pod.listeners.close()
        with writing(self._run.samples):
            self._writer.close()
        self._log.close()

    def open(self) -> None:
        """Open the record and what is watched."""
        self._writer.open()
        os.set_blocking(0, False)
        self._poll.register(0, select.POLLIN)
        for signal_number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(signal_number, self._asked_to_stop)
        self._machine.open(self._writer)
        self._kernel_log.open()
        self._asked.open()

    def follow(self, name: str, path: str) -> None:
        """Watch a pod from now on, until its cgroup is gone."""
        owner = Owner(name, "", None)
        self._pods[name] = WatchedPod(name, path, PodListeners(owner, self._writer, self._append))
        self._watch(path, owner)

    def _asked_to_stop(self, *_: object) -> None:
        self._stop = True

    def _append(self, event: Event) -> None:
        self._log.append(event)

    # waiting

    def _wait_until(self, due: float) -> None:
        """Wait for the next tick; meanwhile serve the kernel's log, changed memory.events and standard input."""
        while not self._stop:
            left_s = due - now()
            if left_s <= 0:
                self._serve(self._poll.poll(0))
                return
            # poll() rounds up to milliseconds: sleep through the last fraction instead of overshooting a tick by it
            ready = self._poll.poll(int(left_s * 1000)) if left_s >= 0.001 else self._poll.poll(0)
            if not ready and left_s < 0.001:
                time.sleep(left_s)
                return
            self._serve(ready)

    def _serve(self, ready: list[tuple[int, int]]) -> None:
        changed: list[Watched] = []
        for fd, _ in ready:
            if fd == 0:
                self._read_names()
            elif fd == self._kernel_log.fileno:
                self._kernel_log.read()
            elif fd == self._asked.fileno:
                self._asked.serve()
            elif fd in self._by_event_fd:
                watched = self._by_event_fd[fd]
                if watched not in changed:
                    changed.append(watched)
        if changed:
            self._kernel_log.read()  # a kill's lines are there before the log wakes its readers
            moment = now()
            for watched in changed:
                self._read(watched, moment)
                self._read_slow(watched, moment)
                if watched.owner.pod in self._pods:  # its containers are still to be read
                    self._pods[watched.owner.pod].changed = True
            self._sample_listeners()
            self._end_sample("event", moment)

    def _read_names(self) -> None:
        try:
            part = os.read(0, 1 << 16)
        except BlockingIOError:
            return
        if not part:
            self._stop = True
            self._poll.unregister(0)
            return
        *lines, self._input = (self._input + part).split(b"\n")
        for line in lines:
            message: dict[str, Any] = json.loads(line)
            if "node" in message:
                self._watch(message["node"], NODE)
            elif "cgroup" in message:
                self.follow(message["pod"], message["cgroup"])
            else:
                self._names[message["id"]] = Owner(message["pod"], message["container"], message["attempt"])

    # sampling

    def sample(self, why: str, moment: float) -> None:
        """Take one sample of everything, now. If nothing changed in a pod's own files, nothing did in those of its
        containers, which are added up in them: these are left out then, unless the slow files are due.
        """
        began = time.process_time()
        for pod in list(self._pods.values()):
            self._find_cgroups(pod)
        self._kernel_log.read()
        slow = moment >= self._next_slow
        # A copy, as `_gone` takes out. In the order in which they came, so a pod is read before its containers.
        for watched in list(self._watched.values()):
            of = self._pods.get(watched.owner.pod)
            if of is None:
                self._read(watched, moment)
            elif not watched.owner.container:
                of.changed = self._read(watched, moment) or of.changed
            elif of.changed or slow:
                self._read(watched, moment)
        for pod in self._pods.values():
            pod.changed = False
        between = time.process_time()
        if slow:
            self._read_slow_files(moment)
        self._end_sample(why, moment)
        self._samples += 1
        ended = time.process_time()
        fast_s, slow_s = (between - began, ended - between) if slow else (ended - began, None)
        self._pace.took(moment, fast_s, slow_s, len(self._watched))
        if slow:
            self._next_slow = moment + self._pace.slow_s

    def _read_slow_files(self, moment: float) -> None:
        for watched in list(self._watched.values()):
            self._read_slow(watched, moment)
        self._machine.read(self._writer)
        self._sample_listeners()

    def _sample_listeners(self) -> None:
        for pod in self._pods.values():
            pod.listeners.sample()

    def _end_sample(self, why: str, moment: float) -> None:
        with writing(self._run.samples):
            begun_ns = int(moment * 1e9)
            self._writer.end(begun_ns, why, time.monotonic_ns() - begun_ns)

    def _read(self, watched: Watched, moment: float) -> bool:
        """Whether anything changed."""
        put = self._writer.put
        pread = os.pread
        changed = False
        try:
            for source, fd in watched.fast:
                text = pread(fd, _READ_SIZE, 0)
                if put(source, text):
                    changed = True
                if source in watched.events and watched.texts.get(source) != text:
                    watched.texts[source] = text
                    rise = watched.rise(source, text, moment)
                    if rise is not None:
                        self._append(rise)
        except OSError:
            self._gone(watched, moment)
        return changed

    def _read_slow(self, watched: Watched, moment: float) -> None:
        try:
            for source, fd in watched.slow:
                self._writer.put(source, os.pread(fd, _READ_SIZE, 0))
        except OSError:
            self._gone(watched, moment)

    # cgroups that come and go

    def _find_cgroups(self, pod: WatchedPod) -> None:
        try:
            links = os.stat(pod.path).st_nlink  # noqa: PTH116  on the hot path, and Path costs ten times as much
        except OSError:
            return
        if links == pod.links:
            return
        pod.links = links
        with os.scandir(pod.path) as entries:
            for entry in entries:
                if entry.path not in self._watched and entry.is_dir(follow_symlinks=False):
                    self._watch(entry.path, self._owner_of(entry.name, pod.name))

    def _owner_of(self, directory: str, pod: str) -> Owner:
        for container_id, owner in self._names.items():
            if container_id in directory:
                return owner
        # Its name may still be in the pipe: it was sent before the container was started.
        if not self._stop:
            self._read_names()
        unknown = Owner(pod, directory, None)
        return next((owner for known, owner in self._names.items() if known in directory), unknown)

    def _watch(self, path: str, owner: Owner) -> None:
        watched = Watched(path, owner)
        watched.open(self._writer)
        self._watched[path] = watched
        for _, fd in watched.events.values():
            self._by_event_fd[fd] = watched
            self._poll.register(fd, select.POLLPRI | select.POLLERR)
        self._append(CgroupSeen(t=now(), **watched.whose()))
        pod = self._pods.get(owner.pod)
        if pod and owner.attempt is not None and owner.container != SANDBOX and not pod.listeners.tried:
            self._open_listeners(pod)

    def _open_listeners(self, pod: WatchedPod) -> None:
        """Look into the pod's network, now that a container of it comes: the sandbox has made it. Processes without a
        sandbox have the machine's.
        """
        watched = (one for one in self._watched.values() if one.owner.pod == pod.name)
        sandbox = next((one for one in watched if one.owner.container == SANDBOX), None)
        if sandbox is not None:
            pod.listeners.open(Path(sandbox.path))

    def _gone(self, watched: Watched, moment: float) -> None:
        for _, fd in watched.events.values():
            self._poll.unregister(fd)
            self._by_event_fd.pop(fd, None)
        for source, _ in (*watched.fast, *watched.slow):
            self._writer.gone(source)
        watched.close()
        self._watched.pop(watched.path, None)
        pod = self._pods.get(watched.owner.pod)
        if pod is not None:
            # The next tick looks again: one may have gone and another come since the links were counted.
            pod.links = -1
            if watched.owner.container in (SANDBOX, ""):
                pod.listeners.forget()
            if not watched.owner.container:
                del self._pods[pod.name]
        self._append(CgroupGone(t=moment, **watched.whose()))

    # the record itself

    def _report(self, moment: float, *, finished: bool = False) -> None:
        self._next_report = moment + REPORT_S
        resident_pages = int(Path("/proc/self/statm").read_text().split()[1])
        self._append(
            RecorderReport(
                t=moment,
                interval_s=self._pace.asked_s,
                longest_interval_s=self._pace.longest_s,
                samples=self._samples,
                late=self._late,
                cpu_s=time.process_time(),
                rss_bytes=resident_pages * os.sysconf("SC_PAGE_SIZE"),
                finished=finished,
            )
        )


def allow_open_files() -> None:
    """As many as may be: some eighteen files of each cgroup stay open."""
    soft, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != most:
        with suppress(ValueError):  # fs.nr_open has been made less than a limit from before: what there is has to do
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def main(argv: list[str] | None = None) -> int:
    """`python -m emu.record.recorder --run DIR [--interval S] [--asks FD]`."""
    parser = argparse.ArgumentParser(prog="emu.record.recorder")
    parser.add_argument("--run", type=Path, required=True)
    parser.add_argument("--interval", type=float, default=0.01)
    parser.add_argument("--asks", type=int, help="the descriptor of a socket at which samples are asked for")
    options = parser.parse_args(argv)
    allow_open_files()
    try:
        Recorder(RunDir(options.run), options.interval, options.asks).record()
    except NotRecordedError as error:
        sys.stdout.write(f"{error}\n")
        sys.stdout.flush()
        return EXIT_NOT_RECORDED
    return 0


if __name__ == "__main__":
    sys.exit(main())
