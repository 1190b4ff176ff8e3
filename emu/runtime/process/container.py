"""One container without Docker: a process in a cgroup of its own, followed from its start to its end."""

from __future__ import annotations

import os
import queue
import select
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from signal import SIGKILL, SIGTERM, Signals, pidfd_send_signal
from subprocess import PIPE, STDOUT, Popen, TimeoutExpired

from cgroups import NO_LIMIT, files
from cgroups.errors import CgroupError
from cgroups.group import Cgroup
from emu.errors import EmuError
from emu.machine import command
from emu.policy.kubelet.cpu import PERIOD_USEC, cpu_quota_usec, cpu_weight
from emu.runtime.api import MOST_OUTPUT, ContainerRequest, Executed
from emu.runtime.process import launch, spawning
from emu.runtime.process.journald_lines import JournalLines
from emu.runtime.process.launch import Bind, Start
from emu.runtime.process.spawning import Begun

CONTROLLERS = ("memory", "io", "cpu", "pids")
_KILLED_S = 30.0
_CUT_S = 2.0
_LINGER_S = 0.25
"""How long a cgroup stays after its last process, about as an engine leaves it: its counters are read once more."""
_PART = 1 << 16
_NOT_STARTED = 127
"""The exit code of a container whose program could not be started, as Docker has it."""
_NOT_KNOWN = 255
"""The exit code of one whose end nobody saw, as containerd has it."""

Notify = Callable[[str, Mapping[str, str]], None]
"""Called with each thing that happens, in the words of Docker's events, and its attributes."""


@dataclass(frozen=True)
class Place:
    """Where a container runs."""

    root: Path
    cgroup: Path
    namespace: Path
    hostname: str
    binds: Sequence[Bind]


class Container:
    """A container that was made, and may have been started. No I/O in the constructor."""

    def __init__(
        self,
        ident: str,
        request: ContainerRequest,
        place: Place,
        argv: Sequence[str],
        env: Mapping[str, str],
        notify: Notify,
    ) -> None:
        self.id = ident
        self.request = request
        self.place = place
        self._argv = list(argv)
        self._env = env
        self._notify = notify
        self._begun: Begun | None = None
        self._pidfd = -1
        self._pidfd_lock = threading.Lock()
        self._output: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._journal = JournalLines(request.name, ident) if request.log_driver == "journald" else None
        self._follower: threading.Thread | None = None
        self._ended = threading.Event()
        self.exit_code: int | None = None
        self.started_at = self.finished_at = ""
        self.trouble = ""
        """Why its cgroup could not be removed, if it could not."""

    @property
    def status(self) -> str:
        """As Docker words it: created, running or exited."""
        if self.exit_code is not None:
            return "exited"
        return "created" if self._begun is None else "running"

    @property
    def pid(self) -> int:
        """Its main process; 0 where none runs."""
        return self._begun.pid if self._begun is not None and self.status == "running" else 0

    def start(self) -> None:
        """Start it; returns when the program runs. EmuError where it could not: it counts as ended then."""
        try:
            file = self._find(self._argv[0])
            self._make_cgroup()
            self._launch(file)
        except (CgroupError, EmuError) as error:
            self._give_up()
            raise EmuError(f"cannot start the container {self.request.name}", error.why, error.fix) from error

    def _find(self, name: str) -> str:
        found = launch.find_program(name, self.place.root, self._env)
        if found is None:
            raise EmuError(
                f"cannot run {name!r} in the container {self.request.name}",
                f"emu's images have no program {name!r}",
                "use one that they have, or pod.runtime: docker with an image that has it",
            )
        return found

    def _make_cgroup(self) -> None:
        """With its limits, before anything is in it."""
        group = Cgroup(self.place.cgroup).create()
        request = self.request
        if request.memory_max is not None:
            group.memory.max = request.memory_max
            with suppress(CgroupError):  # a kernel without swap accounting
                group.memory.swap_max = NO_LIMIT if request.swap_max is None else request.swap_max
        if request.millicores is not None:
            files.write(group.path / "cpu.max", f"{cpu_quota_usec(request.millicores)} {PERIOD_USEC}")
        if request.cpu_shares is not None:
            group.cpu.weight = cpu_weight(request.cpu_shares)

    def _launch(self, file: str) -> None:
        place = self.place
        what = Start(
            place.cgroup / "cgroup.procs", self.request.oom_score_adj, place.root, place.namespace, place.hostname,
            place.binds, file, self._argv, self._env,
        )  # fmt: skip
        output, output_end = os.pipe()
        self.started_at = _stamp()
        try:
            begun = spawning.running().start(what, output_end)
        except BaseException:
            os.close(output)
            raise
        finally:
            os.close(output_end)
        # The follower's own, so that `_on_end` may close the other, under its lock, while this one is polled.
        life = os.dup(begun.pidfd)
        self._pidfd, self._begun = begun.pidfd, begun
        # Before it is followed: no `die` may come ahead of its `start`.
        self._notify("start", {})
        follow = threading.Thread(target=self._follow, args=(begun, output, life), name=self.id[:12], daemon=True)
        self._follower = follow
        follow.start()

    def _give_up(self) -> None:
        self.exit_code, self.finished_at = _NOT_STARTED, _stamp()
        self._output.put(None)
        self._remove_cgroup()
        self._ended.set()

    # What happens to it, followed in a thread of its own.

    def _follow(self, begun: Begun, output: int, life: int) -> None:
        poller = select.poll()
        poller.register(output, select.POLLIN)
        poller.register(life, select.POLLIN)
        open_ends = {output, life}
        while open_ends:
            for fd, _ in poller.poll():
                if fd == output and (data := os.read(output, _PART)):
                    self._heard(data)
                    continue
                poller.unregister(fd)
                open_ends.discard(fd)
                os.close(fd)
                if fd == life:
                    self._on_end(begun)
        self._output.put(None)
        if self._journal is not None:
            self._journal.end()
        time.sleep(_LINGER_S)
        self._remove_cgroup()

    def _heard(self, data: bytes) -> None:
        self._output.put(data)
        if self._journal is not None:
            self._journal.take(data)

    def _on_end(self, begun: Begun) -> None:
        """Its main process has ended: whatever it left goes too, as with the first process of a container."""
        status = begun.status()
        with self._pidfd_lock:
            if self._pidfd >= 0:
                os.close(self._pidfd)
            self._pidfd = -1
        with suppress(CgroupError):
            Cgroup(self.place.cgroup).kill()
        self.finished_at = _stamp()
        # Before `_ended`: whoever waits for the end reads the exit code next.
        self.exit_code = _NOT_KNOWN if status is None else _exit_code(os.waitstatus_to_exitcode(status))
        self._ended.set()
        self._notify("die", {"exitCode": str(self.exit_code)})

    def _remove_cgroup(self) -> None:
        group = Cgroup(self.place.cgroup)
        try:
            if group.exists():
                group.kill()
                group.remove()
        except CgroupError as error:
            self.trouble = f"{error.what}: {error.why}"

    # What others do to it.

    def signal(self, number: Signals) -> None:
        """Send its main process a signal; SIGKILL is for all of it. Nothing happens where it does not run."""
        with self._pidfd_lock:
            # Under the lock it is open or -1, never the number of a file that was opened since.
            if self._pidfd < 0:
                return
            self._notify("kill", {"signal": str(int(number))})
            if number == SIGKILL:
                with suppress(CgroupError):
                    Cgroup(self.place.cgroup).kill()
                return
            with suppress(ProcessLookupError):
                pidfd_send_signal(self._pidfd, number)

    def stop(self, grace_s: float) -> None:
        """SIGTERM, then SIGKILL after `grace_s` seconds; returns when it has ended."""
        if self.status != "running":
            return
        self.signal(SIGTERM)
        if not self._ended.wait(grace_s):
            self.signal(SIGKILL)
            if not self._ended.wait(_KILLED_S):
                raise EmuError(
                    f"cannot stop the container {self.request.name}",
                    f"its process {self.pid} is still running {_KILLED_S:g} s after SIGKILL",
                    f"see what it waits for: cat /proc/{self.pid}/stack",
                )
        self._notify("stop", {})

    def remove(self) -> None:
        """Kill it if it runs; when this returns its cgroup is gone."""
        self.signal(SIGKILL)
        if self._follower is not None:
            self._follower.join(_KILLED_S)
        self._notify("destroy", {})
        if self.trouble:
            raise EmuError(f"cannot remove the container {self.request.name}", self.trouble, "try: emu clean")

    def output(self) -> queue.SimpleQueue[bytes | None]:
        """What it prints, part by part; None is the end."""
        return self._output

    def execute(self, argv: Sequence[str], timeout_s: float) -> Executed:
        """Run a command beside its process, in its cgroup."""
        pid = self.pid
        if not pid:
            raise EmuError(
                f"cannot run {argv[0]!r} in the container {self.request.name}",
                "it is not running",
                "wait until it runs",
            )
        self._find(argv[0])
        own, carried = launch.program(argv, self._env)
        procs = self.place.cgroup / "cgroup.procs"
        words = launch.execute_words(procs, self.request.oom_score_adj, pid, own)
        process = command.spawn(words, stdout=PIPE, stderr=STDOUT, env=carried)
        try:
            said, _ = process.communicate(timeout=timeout_s)
        except TimeoutExpired:
            return Executed(None, _text(_cut_short(process)))
        return Executed(_exit_code(process.returncode), _text(said))


def _cut_short(process: Popen[bytes]) -> bytes:
    """Kill what an execution started, as far as it did not leave its session; what it printed by then."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, SIGKILL)
    try:
        return process.communicate(timeout=_CUT_S)[0]
    except TimeoutExpired as late:  # somebody it left behind has its output open
        assert process.stdout is not None
        process.stdout.close()
        return late.output or b""


def _exit_code(status: int) -> int:
    """128+n for signal n."""
    return status if status >= 0 else 128 - status


def _text(said: bytes) -> str:
    return said[:MOST_OUTPUT].decode(errors="replace")


def _stamp() -> str:
    return datetime.now(UTC).isoformat()
