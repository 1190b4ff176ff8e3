"""Connections that wait to be accepted, as the kernel counts them."""

from __future__ import annotations

import os
import socket
import subprocess
from contextlib import ExitStack, closing

import pytest

from emu.machine.listeners import Listeners

OURS = "/proc/self/ns/net"


def rows(listeners: Listeners) -> dict[int, tuple[int, int]]:
    """By port: how many wait, and for how many there is room."""
    lines = [line.split() for line in listeners.read().decode().splitlines()]
    return {int(port): (int(waiting), int(room)) for port, waiting, room in lines}


@pytest.fixture
def listeners() -> Listeners:
    """Those of this process' network; entering it takes a right that root has."""
    made = Listeners(OURS)
    try:
        made.open()
    except PermissionError:
        pytest.skip("needs CAP_SYS_ADMIN: run it as root, as `make test` does in the sandbox")
    return made


@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
def test_who_waits_is_counted_until_it_is_accepted(listeners: Listeners, address: str) -> None:
    """For both families."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with ExitStack() as stack:
        try:
            listener = stack.enter_context(socket.create_server((address, 0), family=family, backlog=50))
        except OSError as absent:
            pytest.skip(f"this machine has no {address}: {absent}")
        port = listener.getsockname()[1]
        assert rows(listeners)[port] == (0, 50)
        for _ in range(7):
            stack.enter_context(socket.create_connection((address, port)))
        assert rows(listeners)[port] == (7, 50)
        stack.enter_context(listener.accept()[0])
        assert rows(listeners)[port] == (6, 50)
    assert port not in rows(listeners)
    listeners.close()


def test_another_namespace_has_its_own(listeners: Listeners) -> None:
    """What listens here is not there; and this process has not moved."""
    with ExitStack() as stack:
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        try:
            other = stack.enter_context(
                subprocess.Popen(
                    ["unshare", "--net", "sh", "-c", "echo; exec cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
                )
            )
        except OSError as absent:
            pytest.skip(f"needs unshare: {absent}")
        assert other.stdout is not None
        if not other.stdout.readline():
            pytest.skip("no new network namespace can be made here")
        here = os.readlink(OURS)  # noqa: PTH115  a name that is no path
        there = stack.enter_context(closing(Listeners(f"/proc/{other.pid}/ns/net")))
        there.open()
        assert rows(there) == {}
        assert listener.getsockname()[1] in rows(listeners)
        assert os.readlink(OURS) == here  # noqa: PTH115
        other.kill()


def test_a_namespace_that_is_gone_is_an_error() -> None:
    """Known by its name."""
    with pytest.raises(FileNotFoundError):
        Listeners("/proc/0/ns/net").open()
