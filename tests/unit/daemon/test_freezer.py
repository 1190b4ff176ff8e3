"""The freezer daemon's protocol and its care for several containers, with a method of freezing that is made up."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cgroups.errors import CgroupError
from emu.daemon import loop
from emu.daemon.freezer import main as daemon
from emu.daemon.freezer import methods, reclaimer, states
from emu.daemon.freezer.methods import Method, Reclaimed, Took
from emu.daemon.freezer.pods import FreezerPod, Pods, Target, read_pods, write_pods
from emu.errors import EmuError
from emu.machine import journald
from emu.policy.reclaiming import Held
from emu.record.events import (
    ContainerPaused,
    ContainerResumed,
    Event,
    EventLog,
    FreezerFailed,
    MemoryReclaimed,
    OfPod,
    read_events,
)
from tests.unit.daemon.daemon_wire import DEADLINE_S

PAUSE, RESUME = b'{ "action": "pause" }', b'{"action":"resume"}'


class FakeMethod(Method):
    """Remembers what is frozen; `broken` are the containers that it fails on."""

    name = "cgroup"

    def __init__(self) -> None:
        self.frozen: set[str] = set()
        self.dead: set[str] = set()
        self.broken: set[str] = set()
        self.done: list[str] = []

    def freeze(self, target: Target) -> Took:
        """Frozen, or an error."""
        return self._switch(target, "freeze")

    def thaw(self, target: Target) -> Took:
        """Not frozen any more, or an error."""
        return self._switch(target, "thaw")

    def _switch(self, target: Target, verb: str) -> Took:
        if target.name in self.broken:
            raise CgroupError(f"cannot {verb} {target.name}", "it will not", "ask again")
        self.done.append(f"{verb} {target.name}")
        (self.frozen.add if verb == "freeze" else self.frozen.discard)(target.name)
        return Took(None, 0.001)


@pytest.fixture
def method(monkeypatch: pytest.MonkeyPatch) -> FakeMethod:
    """Instead of the kernel."""
    made = FakeMethod()
    for module in (daemon, states):
        monkeypatch.setattr(module, "is_frozen", lambda target: target.name in made.frozen)
        monkeypatch.setattr(module, "is_live", lambda target: target.name not in made.dead)
    return made


@pytest.fixture
def pods(tmp_path: Path) -> Path:
    """Two pods, the first of two containers."""
    path = tmp_path / "pods.json"
    one = tuple(Target(name, 0, f"id-{name}", tmp_path / name) for name in ("app", "sidecar"))
    two = (Target("other", 0, "id-other", tmp_path / "other"),)
    write_pods(path, [FreezerPod("one", "token-1", one), FreezerPod("two", "token-2", two)])
    return path


class Running:
    """A daemon without sockets."""

    def __init__(self, pods: Path, method: Method, log: Path, **more: Any) -> None:
        self.events_path = log / "events.jsonl"
        self.log_path = log / "log"
        self._fd = os.open(self.log_path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        self.freezer = daemon.Freezer(
            Pods(pods), method, events=EventLog(self.events_path), log=loop.Log("freezer", self._fd), **more
        )

    def ask(self, body: bytes, token: bytes = b"token-1") -> tuple[int, str]:
        """One request to its end."""
        return asyncio.run(self.freezer.handle(token, body))

    def events(self) -> list[Event]:
        """What it recorded."""
        return list(read_events(self.events_path))

    def lines(self) -> list[dict[str, Any]]:
        """What it logged."""
        return [json.loads(line) for line in self.log_path.read_text().splitlines()]

    def close(self) -> None:
        """The end."""
        self.freezer.close()
        os.close(self._fd)


@pytest.fixture
def running(pods: Path, method: FakeMethod, tmp_path: Path) -> Iterator[Running]:
    """The daemon in its own mode."""
    made = Running(pods, method, tmp_path)
    yield made
    made.close()


def pods_of(running: Running) -> set[str]:
    """Which pods its events are about."""
    return {event.pod for event in running.events() if isinstance(event, OfPod)}


def test_a_pause_freezes_every_container_of_the_tokens_pod_and_no_others(
    running: Running, method: FakeMethod
) -> None:
    """Twice is as good as once; the resume lets all of them run."""
    assert running.ask(PAUSE) == (200, "")
    assert method.frozen == {"app", "sidecar"}
    assert running.ask(PAUSE) == (200, "")
    assert running.ask(RESUME, b"token-2") == (200, "")
    assert method.frozen == {"app", "sidecar"}
    assert running.ask(RESUME) == (200, "")
    assert running.ask(RESUME) == (200, "")
    assert method.done == ["freeze app", "freeze sidecar", "thaw app", "thaw sidecar"]
    kinds = [type(event) for event in running.events()]
    assert kinds == [ContainerPaused, ContainerPaused, ContainerResumed, ContainerResumed]
    assert pods_of(running) == {"one"}


@pytest.mark.parametrize(
    ("token", "body", "status"),
    [
        (b"", PAUSE, 400),
        (b"token-3", PAUSE, 403),
        (b"token-", PAUSE, 403),
        (b"token-1", b"", 400),
        (b"token-1", b"pause", 400),
        (b"token-1", b"[]", 400),
        (b"token-1", b'{"action": 1}', 400),
        (b"token-1", b'{"action": "restart"}', 404),
    ],
)
def test_what_makes_no_sense_is_refused_and_nothing_is_done(
    running: Running, method: FakeMethod, token: bytes, body: bytes, status: int
) -> None:
    """400 without a token or with another body, 403 for an unknown token, 404 for another action."""
    got, words = running.ask(body, token)
    assert got == status
    assert words
    assert method.done == []


def test_a_failed_pause_is_500_and_leaves_nothing_frozen(running: Running, method: FakeMethod) -> None:
    """The container before the one that failed is thawed again."""
    method.broken.add("sidecar")
    status, words = running.ask(PAUSE)
    assert status == 500
    assert "cannot freeze sidecar: it will not" in words
    assert method.frozen == set()
    assert [event.container for event in running.events() if isinstance(event, FreezerFailed)] == ["sidecar"]
    assert pods_of(running) == {"one"}
    assert running.lines()[-1]["event"] == "pause-failed"


def test_a_failed_resume_is_500_and_the_others_are_resumed(running: Running, method: FakeMethod) -> None:
    """Once it is mended, asking again resumes the rest."""
    running.ask(PAUSE)
    method.broken.add("app")
    status, words = running.ask(RESUME)
    assert (status, method.frozen) == (500, {"app"})
    assert "cannot thaw app" in words
    method.broken.clear()
    assert running.ask(RESUME) == (200, "")


def test_a_pod_without_a_running_container_cannot_be_paused(running: Running, method: FakeMethod) -> None:
    """500 for the pause; there is nothing to resume, so that is done."""
    method.dead.update(("app", "sidecar"))
    assert running.ask(PAUSE) == (500, "no container of one is running")
    assert running.ask(RESUME) == (200, "")


def test_an_ended_container_does_not_keep_the_others_from_being_paused(running: Running, method: FakeMethod) -> None:
    """The original failed then, for it listed ended instances too."""
    method.dead.add("app")
    assert running.ask(PAUSE) == (200, "")
    assert method.frozen == {"sidecar"}


def test_knatives_habit_is_200_after_a_failure(pods: Path, method: FakeMethod, tmp_path: Path) -> None:
    """And what was frozen before the failure stays frozen; the journal has the truth."""
    method.broken.add("sidecar")
    running = Running(pods, method, tmp_path, mode="knative")
    assert running.ask(PAUSE) == (200, "")
    assert method.frozen == {"app"}
    assert running.lines()[-1]["event"] == "pause-failed"
    assert 'code="500"' in running.freezer.metrics_text().decode()
    running.close()


def test_a_restarted_daemon_finds_what_is_frozen(
    pods: Path, method: FakeMethod, running: Running, tmp_path: Path
) -> None:
    """From the kernel, not from its memory: status shows it, and a resume works."""
    running.ask(PAUSE)
    (tmp_path / "second").mkdir()
    second = Running(pods, method, tmp_path / "second")
    assert second.freezer.found() == ["app", "sidecar"]
    status = second.freezer.status()
    assert [one["frozen"] for one in status["pods"][0]["containers"]] == [True, True]
    assert "token" not in json.dumps(status)
    assert second.ask(RESUME) == (200, "")
    assert method.frozen == set()
    second.close()


def test_the_pods_file_is_read_again_when_it_changes(running: Running, pods: Path, method: FakeMethod) -> None:
    """A container's next instance is the one that is paused; a file that cannot be read is 500, not an old answer."""
    running.ask(PAUSE)
    method.frozen.clear()
    write_pods(pods, [FreezerPod("one", "token-1", (Target("app", 1, "id-2", pods.parent / "app2"),))])
    running.ask(PAUSE)
    last = running.events()[-1]
    assert isinstance(last, ContainerPaused)
    assert (last.attempt, last.id) == (1, "id-2")
    pods.write_text("{")
    assert running.ask(PAUSE)[0] == 500


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[]",
        '{"pods": [{"name": "a", "containers": []}]}',
        '{"pods": [{"name": "a", "token": "", "containers": []}]}',
        '{"pods": [{"name": "a", "token": "t", "containers": []}, {"name": "b", "token": "t", "containers": []}]}',
        '{"pods": [{"name": "a", "token": "s", "containers": []}, {"name": "a", "token": "t", "containers": []}]}',
        '{"pods": [{"name": "a", "token": "t", "containers": [{"name": "x", "id": "1", "cgroup": "/c"},'
        ' {"name": "y", "id": "2", "cgroup": "/c"}]}]}',
    ],
)
def test_a_broken_pods_file_is_refused(tmp_path: Path, text: str) -> None:
    """Also one with an empty token, or the same token, name or cgroup twice: a pod is never taken for another."""
    path = tmp_path / "pods.json"
    path.write_text(text)
    with pytest.raises(EmuError, match="cannot read the freezer's pods"):
        read_pods(path)


def test_the_pods_file_is_its_owners_alone(pods: Path) -> None:
    """It holds the tokens."""
    assert pods.stat().st_mode & 0o077 == 0


def test_a_pause_under_way_is_on_record_when_the_daemon_ends(running: Running, method: FakeMethod) -> None:
    """Its client may be gone by then; the engine did it, and has it among its events."""
    slow, begun = threading.Event(), threading.Event()
    freeze = method.freeze

    def freeze_slowly(target: Target) -> Took:
        begun.set()
        assert slow.wait(DEADLINE_S)
        return freeze(target)

    async def play() -> None:
        asked = asyncio.create_task(running.freezer.handle(b"token-2", PAUSE))
        await asyncio.to_thread(begun.wait, DEADLINE_S)
        asyncio.get_running_loop().call_soon(slow.set)
        await running.freezer.finish(DEADLINE_S)
        assert asked.done()

    method.freeze = freeze_slowly  # type: ignore[method-assign]
    asyncio.run(play())
    assert [event.container for event in running.events() if isinstance(event, ContainerPaused)] == ["other"]


def test_memory_is_reclaimed_after_the_pause_step_by_step_until_the_resume(
    pods: Path, method: FakeMethod, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each step at its time; a resume ends them, and the record has what came back and why no more."""
    asked: list[tuple[str, str]] = []

    def reclaim(target: Target, amount: str, stop: Any) -> Reclaimed:
        asked.append((target.name, amount))
        return Reclaimed(100, Held(100, 80, 20, 0), Held(80, 80, 0, 0), 0.01, "no swap", False)

    monkeypatch.setattr(reclaimer, "reclaim", reclaim)
    steps = [reclaimer.read_step("all@3600"), reclaimer.read_step("25%")]
    running = Running(pods, method, tmp_path, steps=steps)

    async def story() -> None:
        assert await running.freezer.handle(b"token-1", PAUSE) == (200, "")
        while len(asked) < 2:
            await asyncio.sleep(0.005)
        assert await running.freezer.handle(b"token-1", RESUME) == (200, "")

    asyncio.run(asyncio.wait_for(story(), DEADLINE_S))
    assert asked == [("app", "25%"), ("sidecar", "25%")]
    (event, _) = (event for event in running.events() if isinstance(event, MemoryReclaimed))
    assert (event.before["current"], event.after["current"], event.why) == (100, 80, "no swap")
    assert "emu_freezer_reclaimed_bytes_total 40" in running.freezer.metrics_text().decode()
    running.close()


def test_steps_are_read_as_they_are_written() -> None:
    """An amount, and when."""
    assert reclaimer.read_step("50%@1m") == reclaimer.ReclaimStep("50%", 60.0)
    with pytest.raises(EmuError, match="not a reclaim step"):
        reclaimer.read_step("some@1")


def test_the_wire(pods: Path, method: FakeMethod, tmp_path: Path) -> None:
    """Over a unix socket: any path and method is an action, apart from the two pages; a failure has its words."""
    running = Running(pods, method, tmp_path)
    address = str(tmp_path / "socket")

    async def exchange(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, said: bytes) -> tuple[int, bytes]:
        writer.write(said)
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
        return int(head.split()[1]), await reader.readexactly(length)

    def post(line: bytes, token: bytes, body: bytes) -> bytes:
        return b"%b HTTP/1.1\r\nHost: f\r\nToken: %b\r\nContent-Length: %d\r\n\r\n%b" % (line, token, len(body), body)

    async def story() -> None:
        server = daemon.Server(lambda conn, head: daemon.FreezerExchange(running.freezer, conn, head))
        await server.listen_unix(address, 8)
        await server.stop(1)  # a socket that a dead daemon left is no hindrance
        server = daemon.Server(lambda conn, head: daemon.FreezerExchange(running.freezer, conn, head))
        await server.listen_unix(address, 8)
        reader, writer = await asyncio.open_unix_connection(address)
        assert await exchange(reader, writer, post(b"POST /", b"token-1", PAUSE)) == (200, b"")
        assert await exchange(reader, writer, post(b"PUT /any/where", b"token-1", RESUME)) == (200, b"")
        assert (await exchange(reader, writer, post(b"POST /", b"nobody", PAUSE)))[0] == 403
        assert (await exchange(reader, writer, post(b"POST /", b"token-1", b"x" * 100_000)))[0] == 400
        method.broken.add("app")
        status, words = await exchange(reader, writer, post(b"POST /", b"token-1", PAUSE))
        assert (status, words) == (500, b"cannot freeze app: it will not\n")
        status, page = await exchange(reader, writer, b"GET /status HTTP/1.1\r\nHost: f\r\n\r\n")
        assert (status, json.loads(page)["pods"][1]["name"]) == (200, "two")
        status, page = await exchange(reader, writer, b"GET /metrics HTTP/1.1\r\nHost: f\r\n\r\n")
        assert b'emu_freezer_actions_total{action="pause",code="500"} 1' in page
        writer.close()
        await server.stop(1)

    asyncio.run(asyncio.wait_for(story(), DEADLINE_S))
    running.close()


def test_the_journal_gets_fields_of_its_own(pods: Path, method: FakeMethod, tmp_path: Path) -> None:
    """`journalctl EMU_RUN=…` finds them; where no journald listens, nothing happens."""
    path = str(tmp_path / "journal")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(path)
        listener.settimeout(DEADLINE_S)
        running = Running(pods, method, tmp_path, journal=journald.Journald("emu-freezer", path), run="run-1")
        running.ask(PAUSE)
        entry = dict(line.split(b"=", 1) for line in listener.recv(65536).splitlines())
    assert entry[b"EMU_RUN"] == b"run-1"
    assert (entry[b"EMU_POD"], entry[b"EMU_ACTION"]) == (b"one", b"pause")
    assert entry[b"SYSLOG_IDENTIFIER"] == b"emu-freezer"
    assert journald.Journald("x", str(tmp_path / "nobody")).send("words", {}) is False
    running.close()


def test_several_lines_are_one_field() -> None:
    """By length, as the journal's native protocol has it."""
    assert journald._field("A", "b\nc") == b"A\n" + (3).to_bytes(8, "little") + b"b\nc\n"


def test_frozen_and_live_are_read_from_the_kernels_file(tmp_path: Path) -> None:
    """cgroup.events; a cgroup that is gone is neither."""
    target = Target("app", 0, "id", tmp_path)
    (tmp_path / "cgroup.events").write_text("populated 1\nfrozen 1\n")
    assert methods.is_live(target) and methods.is_frozen(target)
    gone = Target("app", 0, "id", tmp_path / "gone")
    assert not methods.is_live(gone) and not methods.is_frozen(gone)


@pytest.mark.parametrize("body", [b"[" * 4096, b'{"a":' * 800, b"\xff\xfe", b"nonsense"])
def test_a_body_that_is_no_action(running: Running, body: bytes) -> None:
    """However deep it is nested, it gets its answer."""
    assert running.ask(body)[0] == 400


def test_a_container_that_cannot_be_read(tmp_path: Path) -> None:
    """The daemon starts, and reports the other pods; that one is unknown. A pause of it fails."""
    good, bad = tmp_path / "good", tmp_path / "bad"
    good.mkdir()
    (good / "cgroup.events").write_text("populated 1\nfrozen 1\n")
    (bad / "cgroup.events").mkdir(parents=True)
    pods = tmp_path / "pods.json"
    write_pods(
        pods,
        [
            FreezerPod("one", "token-1", (Target("app", 0, "id-1", bad),)),
            FreezerPod("two", "token-2", (Target("app", 0, "id-2", good),)),
        ],
    )
    running = Running(pods, FakeMethod(), tmp_path)
    assert running.freezer.found() == ["app"]
    one, two = (pod["containers"][0] for pod in running.freezer.status()["pods"])
    assert (one["live"], one["frozen"]) == (None, None) and "cannot read" in one["error"]
    assert (two["live"], two["frozen"]) == (True, True)
    assert b'pod="two"} 1' in running.freezer.metrics_text()
    status, why = running.ask(PAUSE)
    assert status == 500 and "cannot read" in why
    assert running.ask(RESUME)[0] == 500
    running.close()


def test_a_cgroup_under_two_spellings(tmp_path: Path) -> None:
    """It is one, and refused as one that is there twice."""
    (tmp_path / "group").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "group")
    for spelling in ("link", "./group", "x/../group"):
        pods = [
            FreezerPod("one", "token-1", (Target("app", 0, "id-1", tmp_path / "group"),)),
            FreezerPod("two", "token-2", (Target("app", 0, "id-2", Path(f"{tmp_path}/{spelling}")),)),
        ]
        write_pods(tmp_path / "pods.json", pods)
        with pytest.raises(EmuError, match="a cgroup appears twice"):
            read_pods(tmp_path / "pods.json")
