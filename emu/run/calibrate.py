"""Measures what any queue-proxy needs: holds requests in it, a fresh process each time, and reads the kernel's sums.

The app behind it is ours and sleeps. A command runs on this machine; an image runs in a container, with the app in a
second one beside it in the same network, as in a pod.
"""

from __future__ import annotations

import os
import resource
import secrets
import socket
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from subprocess import DEVNULL, Popen
from typing import TYPE_CHECKING, Any

import psutil

from emu.errors import EmuError
from emu.machine import http_client
from emu.machine.command import spawn
from emu.machine.owner import owner
from emu.messages import APP, QUEUE_PORT, QUEUE_PROXY, SANDBOX, USER_PORT
from emu.messages.work import Work
from emu.policy.calibration import WAITING_LIMIT, Held, Idle, Kind, profile
from emu.policy.footprint import Profile
from emu.run.machine import where
from emu.runtime.api import LABEL_OWNER
from emu.serving.template import queue_proxy_environment

if TYPE_CHECKING:
    from emu.runtime.docker import Engine

BODY_BYTES = 64 * 1024
_SLEEP_S = 3600.0
_READY_S = 60.0
_PROBE = b"GET /?sleep=0 HTTP/1.1\r\nHost: app\r\nConnection: close\r\n\r\n"
_TOUCHES = 200
"""Requests served while it is watched which pages of the executable they need."""


@dataclass(frozen=True)
class Running:
    """A queue-proxy that runs and can be asked."""

    address: str
    port: int
    pid: int

    def pids(self) -> list[int]:
        """The queue-proxy's process and its children."""
        try:
            process = psutil.Process(self.pid)
            return [process.pid, *(child.pid for child in process.children(recursive=True))]
        except psutil.NoSuchProcess:
            raise EmuError(
                "the queue-proxy exited during the measurement", "its process is gone", "see its output"
            ) from None


Start = Callable[[int], AbstractContextManager[Running]]
"""Starts a queue-proxy with this containerConcurrency, ready to serve, and ends it."""


def calibrate(
    name: str,
    source: str,
    start: Start,
    counts: Sequence[int],
    settle_s: float,
    say: Callable[[str], None],
) -> Profile:
    """The profile of what `start` runs."""
    _see_descriptors(max(counts))
    with start(0) as running:
        time.sleep(settle_s)
        anon, file = memory(running)
        idle = Idle(anon, file, _code(running))
    needed = f"{idle.code_bytes / 1e6:.1f} MB" if idle.code_bytes else "an unknown part"
    say(f"idle: {anon / 1e6:.1f} MB anonymous, {file / 1e6:.1f} MB of files, {needed} of that needed to serve")
    rows: list[Held] = []
    plan: list[tuple[Kind, int]] = [("plain", count) for count in counts]
    plan += [("body", count) for count in counts]
    plan += [("waiting", 11 * WAITING_LIMIT)]
    for kind, count in plan:
        with start(WAITING_LIMIT if kind == "waiting" else 0) as running, holding(running, kind, count):
            time.sleep(settle_s)
            rows.append(Held(kind, count, memory(running)[0]))
        say(f"{kind}: {count} held, {(rows[-1].anon_bytes - idle.anon_bytes) / count:,.0f} bytes each")
    return profile(name, source, idle, rows)


def _see_descriptors(most: int) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = 2 * most + 200
    if hard < needed:
        raise EmuError(
            f"cannot hold {most} requests",
            f"each takes two descriptors in the queue-proxy, and the limit per process is {hard}",
            f"raise the limit (ulimit -n {needed}), or hold fewer with --counts",
        )
    if soft < hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


@contextmanager
def command(argv: Sequence[str], concurrency: int) -> Iterator[Running]:
    """A command on this machine, and our app behind it."""
    user_port = _free_port()
    with ExitStack() as stack:
        app = [sys.executable, "-m", "emu.daemon.app", "--port", str(user_port), "--host", "127.0.0.1"]
        stack.enter_context(_process(app, dict(os.environ)))
        _await("127.0.0.1", user_port, "our app")
        if _listens("127.0.0.1", QUEUE_PORT):
            raise EmuError(
                f"port {QUEUE_PORT} is taken", "a queue-proxy listens there already", "stop it, and try again"
            )
        env = queue_proxy_environment(concurrency, user_port, "127.0.0.1", "calibrate")
        process = stack.enter_context(_process(argv, {**os.environ, **env}))
        _await("127.0.0.1", QUEUE_PORT, argv[0], lambda: _process_end(process))
        yield Running("127.0.0.1", QUEUE_PORT, process.pid)


@contextmanager
def image(tag: str, argv: Sequence[str] | None, concurrency: int) -> Iterator[Running]:
    """A container of an image that the engine has, in a network of its own, and our app beside it."""
    from emu.runtime import images
    from emu.runtime.docker import LABEL_CONTAINER, LABEL_RUN, ContainerRequest, Engine

    engine = Engine()
    engine.connect()
    images.ensure(engine, images.prepare())
    if engine.image_labels(tag) is None:
        raise EmuError(
            f"the engine has no image {tag}",
            "emu pulls none, so that it measures the image you have",
            f"docker pull {tag}, or docker load; emu images --list shows the engine's images",
        )
    run = f"emu-calibrate-{secrets.token_hex(3)}"
    ours = {LABEL_RUN: run, LABEL_OWNER: owner()}
    with ExitStack() as stack:

        def begin(name: str, image: str, **rest: Any) -> str:
            labels = {**ours, LABEL_CONTAINER: name}
            made = engine.create(ContainerRequest(f"{run}.{name}", image, labels, **rest))
            stack.callback(engine.remove, made)
            engine.start(made)
            return made

        sandbox = begin(SANDBOX, images.BASE, command=["sleep", "infinity"])
        address = engine.address(sandbox)
        begin(APP, images.APP, env={"PORT": str(USER_PORT)}, network_of=sandbox)
        _await(address, USER_PORT, "our app")
        env = queue_proxy_environment(concurrency, USER_PORT, address, run)
        measured = begin(QUEUE_PROXY, tag, command=argv, env=env, network_of=sandbox)
        _await(address, QUEUE_PORT, tag, lambda: _container_end(engine, measured))
        yield Running(address, QUEUE_PORT, engine.state(measured).pid)


def _container_end(engine: Engine, container: str) -> str | None:
    state = engine.state(container)
    if state.phase != "exited":
        return None
    said = b"".join(engine.logs(container)).decode(errors="replace").strip()
    return f"it ended with status {state.exit_code}: {said[-500:] or 'no output'}"


@contextmanager
def _process(argv: Sequence[str], env: dict[str, str]) -> Iterator[Popen[bytes]]:
    try:
        process = spawn(argv, env=env, stdout=DEVNULL)
    except OSError as error:
        raise EmuError(f"cannot run {argv[0]}", str(error), "give an existing program") from error
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def _free_port() -> int:
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        return int(listener.getsockname()[1])


def _listens(address: str, port: int) -> bool:
    try:
        socket.create_connection((address, port), timeout=1.0).close()
        return True
    except OSError:
        return False


def _await(address: str, port: int, who: str, ended: Callable[[], str | None] = lambda: None) -> None:
    """Wait until the port is listened on. EmuError when it is not in time, or `ended` says how it ended before."""
    until = time.monotonic() + _READY_S
    while not _listens(address, port):
        why = ended()
        if why is None and time.monotonic() > until:
            why = f"no process listens after {_READY_S:.0f} s"
        if why is not None:
            raise EmuError(f"{who} does not serve port {port}", why, "see its output")
        time.sleep(0.05)


def _process_end(process: Popen[bytes]) -> str | None:
    ended = process.poll()
    return None if ended is None else f"it ended with status {ended}"


def _request(kind: Kind) -> bytes:
    work = Work(sleep=_SLEEP_S, body="read").to_query()
    if kind != "body":
        return f"GET /?{work} HTTP/1.1\r\nHost: app\r\n\r\n".encode()
    head = f"POST /?{work} HTTP/1.1\r\nHost: app\r\nContent-Length: {BODY_BYTES}\r\n\r\n".encode()
    return head + b"x" * BODY_BYTES


@contextmanager
def holding(running: Running, kind: Kind, count: int) -> Iterator[None]:
    """So many requests inside, until the end of the block."""
    request = _request(kind)
    with ExitStack() as stack:
        for _ in range(count):
            connection = socket.create_connection((running.address, running.port), timeout=_READY_S)
            stack.callback(connection.close)
            connection.sendall(request)
        yield


def _code(running: Running) -> int:
    """Bytes of file-backed pages that serving requests refers to (proc(5), clear_refs and Referenced).

    0 where that cannot be known: in User-Mode Linux a page is marked by the fault that brings it, not by each use.
    """
    if where() == "sandbox:uml":
        return 0
    try:
        for pid in running.pids():
            Path(f"/proc/{pid}/clear_refs").write_text("1\n")
        for _ in range(_TOUCHES):
            http_client.fetch(running.address, running.port, _PROBE, time.monotonic() + 10.0, most_bytes=65536)
        return sum(_referenced_files(Path(f"/proc/{pid}/smaps")) for pid in running.pids())
    except (OSError, ValueError):
        return 0  # another user's process: its weight can be read, what it refers to cannot


def _referenced_files(smaps: Path) -> int:
    found, is_file = 0, False
    for line in smaps.read_text().splitlines():
        words = line.split()
        if not words[0].endswith(":"):
            is_file = len(words) >= 6 and words[5].startswith("/")
        elif is_file and words[0] == "Referenced:":
            found += int(words[1]) * 1024
    return found


def memory(running: Running) -> tuple[int, int]:
    """Anonymous memory, swapped or not, and mapped file pages of all its processes (proc(5), smaps_rollup)."""
    anon = file = 0
    for pid in running.pids():
        values = {}
        for line in _read_rollup(pid).splitlines()[1:]:
            key, value, *_ = line.split()
            values[key.rstrip(":")] = int(value) * 1024
        anon += values.get("Anonymous", 0) + values.get("Swap", 0)
        file += values.get("Rss", 0) - values.get("Anonymous", 0)
    return anon, file


def _read_rollup(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/smaps_rollup").read_text()
    except PermissionError as refused:
        raise EmuError(
            f"cannot read the memory use of process {pid}",
            str(refused),
            "run it as root: a container's processes belong to another user",
        ) from None
    except OSError as gone:
        raise EmuError("the queue-proxy exited during the measurement", str(gone), "see its output") from None
