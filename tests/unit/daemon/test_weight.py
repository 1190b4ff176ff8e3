"""The mechanism: memory that is really there, and really given back; a queue-proxy that weighs what is configured."""

from __future__ import annotations

import json
import mmap
import os
import time
from dataclasses import replace
from pathlib import Path

import pytest

from emu.daemon import loop
from emu.daemon.queue_proxy.footprint import PAGE, Arena, Code, Weight, own_memory
from emu.files.profiles import load_profile
from emu.policy.footprint import Profile
from tests.unit.daemon.daemon_wire import DEADLINE_S, Daemon, FakeApp, Wire, wait_for

KNATIVE = load_profile("knative-1.23")


def anon_of(pid: int) -> int:
    """Anonymous bytes of a process."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Anonymous:"):
            return int(line.split()[1]) * 1024
    raise AssertionError("no Anonymous line")


def test_an_arena_is_anonymous_memory_page_by_page() -> None:
    """What it holds is resident and counted as anonymous; what it gives back is gone at once."""
    arena = Arena()
    before = own_memory()[0]
    for size in (PAGE, 40 << 20, 3 << 20, 20 << 20, 0):
        arena.resize(size)
        assert arena.size == size
        assert own_memory()[0] - before == pytest.approx(size, abs=2 << 20)
    arena.resize(PAGE + 1)
    assert arena.size == 2 * PAGE


def test_code_is_mapped_from_a_file_and_read_through(tmp_path: Path) -> None:
    """All of it is touched once; serving touches the part that it needs, and finds it there."""
    path = tmp_path / "executable"
    path.write_bytes(os.urandom(1 << 20))
    before = own_memory()[1]
    code = Code(str(path), 2 << 20, 256 << 10)
    assert code.size == 1 << 20
    assert own_memory()[1] - before >= (1 << 20) - 64 * mmap.PAGESIZE
    assert code.execute(time.monotonic())


def test_queue_proxy_weighs_what_its_profile_says(tmp_path: Path, queue_proxy: object, fake_app: FakeApp) -> None:
    """With 300 requests inside, its anonymous memory is that of Knative's within 3 %; without them it is kept.

    Of a profile that returns nothing, as how much is returned by now depends on how fast this machine is.
    """
    assert callable(queue_proxy)
    keeping = replace(KNATIVE, give_back=replace(KNATIVE.give_back, bytes_per_s=0.0))
    executable = tmp_path / "executable"
    executable.write_bytes(os.urandom(1 << 20))
    daemon: Daemon = queue_proxy(
        EMU_FOOTPRINT=json.dumps(keeping.to_data()), EMU_FOOTPRINT_EXECUTABLE=str(executable)
    )
    wires = [Wire.to(daemon.port) for _ in range(300)]
    for wire in wires:
        wire.send(b"GET / HTTP/1.1\r\nHost: app\r\n\r\n")
    at_app = [fake_app.accept() for _ in wires]
    for wire in at_app:  # all of them are inside: what hangs up before it came is never weighed
        wire.read_head()
    wanted = KNATIVE.anon_bytes(300, 0, 0)
    wait_for(lambda: 0.97 * wanted <= anon_of(daemon.pid) <= 1.03 * wanted, "the weight of 300 requests")
    for wire in wires:
        wire.sock.close()
    wait_for(lambda: len(os.listdir(f"/proc/{daemon.pid}/fd")) < 300, "queue-proxy to hear that all have hung up")  # noqa: PTH208
    # What it gives back of its own is made up for within a second.
    wait_for(lambda: anon_of(daemon.pid) >= 0.95 * wanted, "the weight to be kept")


def test_a_burst_of_clients_leaves_no_heap_behind(queue_proxy: object, fake_app: FakeApp) -> None:
    """Once three thousand of them have hung up, a good part of what they took is the kernel's again."""
    assert callable(queue_proxy)
    loop.raise_descriptor_limit()
    daemon: Daemon = queue_proxy()
    daemon.event("listening")
    idle = anon_of(daemon.pid)
    clients, at_app = [], []
    for _ in range(3000):
        clients.append(Wire.to(daemon.port))
        clients[-1].send(b"GET / HTTP/1.1\r\nHost: app\r\n\r\n")
        at_app.append(fake_app.accept())
    held = anon_of(daemon.pid)
    assert held - idle >= 4 << 20
    for wire in clients:
        wire.sock.close()
    wait_for(lambda: held - anon_of(daemon.pid) >= (held - idle) / 3, "memory given back")


def test_what_we_give_back_is_held_instead(tmp_path: Path) -> None:
    """With a profile the sum stays what it says when our own part of it falls."""
    executable = tmp_path / "executable"
    executable.write_bytes(bytes(PAGE))
    read, write = os.pipe()
    weight = Weight(KNATIVE, loop.Log("queue-proxy", write), str(executable))
    ours = mmap.mmap(-1, 8 << 20, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    ours[::PAGE] = b"1" * ((8 << 20) // PAGE)
    for _ in range(100_000):  # how many it takes until something is added depends on this process's own weight
        weight.arrived(False, 0, time.monotonic())
        if weight.held >= 1 << 20:
            break
    before, sum_before = weight.held, own_memory()[0]
    ours.close()
    weight.own_fell(0, time.monotonic())
    assert weight.held - before >= 7 << 20
    assert own_memory()[0] == pytest.approx(sum_before, rel=0.02)
    # What we take after the last request came is made up for, too.
    more = mmap.mmap(-1, 8 << 20, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    more[::PAGE] = b"1" * ((8 << 20) // PAGE)
    weight.settle(time.monotonic())
    assert own_memory()[0] == pytest.approx(sum_before, rel=0.02)
    more.close()
    weight.settle(time.monotonic())
    assert own_memory()[0] == pytest.approx(sum_before, rel=0.02)
    os.close(read)
    os.close(write)


def test_the_profile_is_what_crosses_into_the_container() -> None:
    """Its JSON fits into an environment variable with room to spare."""
    text = json.dumps(KNATIVE.to_data())
    assert len(text) < 4096
    assert Profile.from_data(json.loads(text)) == KNATIVE


def test_a_footprint_without_its_executable_is_said_to_be_one(queue_proxy: object) -> None:
    """And not a port that is taken."""
    assert callable(queue_proxy)
    daemon: Daemon = queue_proxy(
        EMU_FOOTPRINT=json.dumps(KNATIVE.to_data()), EMU_FOOTPRINT_EXECUTABLE="/nowhere/executable"
    )
    assert daemon.process.wait(DEADLINE_S) == 1
    assert daemon.stderr() == "EMU_FOOTPRINT_EXECUTABLE: /nowhere/executable: No such file or directory\n"
