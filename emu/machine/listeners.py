"""How many connections wait in a pod to be accepted: the queues of its listening sockets, asked of the kernel.

A client counts a request as sent once the kernel has its connection, though the process that listens may be too busy,
or too short of memory, to accept it. sock_diag(7) reports how many there are; it speaks of the network namespace in
which its socket was made, and a container's is another than ours. It answers with struct inet_diag_msg of
linux/inet_diag.h, where for a listening socket rqueue is how many wait and wqueue for how many there is room.
"""

from __future__ import annotations

import ctypes
import os
import socket
import struct
import threading

_CLONE_NEWNET = 0x40000000
_NETLINK_SOCK_DIAG = 4
_SOCK_DIAG_BY_FAMILY = 20
_REQUEST, _DUMP = 0x1, 0x300
_DONE, _ERROR = 3, 2
_LISTENING = 1 << 10
_HEADER = struct.Struct("=IHHII")
"""struct nlmsghdr: length, type, flags, sequence, port."""
_ASK = struct.Struct("=BBBBI48x")
"""struct inet_diag_req_v2: family, protocol, extensions, -, states, any socket."""
_PORT = struct.Struct("!H")
_QUEUES = struct.Struct("=II")
_PORT_AT = _HEADER.size + 4
_QUEUES_AT = _PORT_AT + 48 + 4
_PATIENCE_S = 1.0
_ANSWER_BYTES = 1 << 16


class Listeners:
    """The listening TCP sockets of one network namespace. No I/O in the constructor."""

    def __init__(self, namespace: str) -> None:
        self._namespace = namespace
        """A file that stands for it, such as /proc/PID/ns/net."""
        self._socket: socket.socket | None = None

    def open(self) -> None:
        """Make the socket there. OSError where there is no such namespace, or no right to enter it."""
        failed: list[OSError] = []

        def enter() -> None:  # in a thread of its own, so that only that one is elsewhere, and for a moment
            try:
                self._socket = _socket_in(self._namespace)
            except OSError as error:
                failed.append(error)

        entering = threading.Thread(target=enter)
        entering.start()
        entering.join()
        if failed:
            raise failed[0]

    def read(self) -> bytes:
        """A line for each: port, connections that wait, room for them. OSError when the kernel does not answer."""
        assert self._socket is not None, "open() comes first"
        found: list[tuple[int, int, int]] = []
        for family in (socket.AF_INET, socket.AF_INET6):
            found += _ask(self._socket, family)
        return b"".join(b"%d %d %d\n" % row for row in sorted(found))

    def close(self) -> None:
        """Let go of the namespace."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None


def _socket_in(namespace: str) -> socket.socket:
    libc = ctypes.CDLL(None, use_errno=True)
    fd = os.open(namespace, os.O_RDONLY | os.O_CLOEXEC)
    try:
        if libc.setns(fd, _CLONE_NEWNET) != 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number), namespace)
        # It answers for the namespace in which it was made, whoever uses it later.
        made = socket.socket(socket.AF_NETLINK, socket.SOCK_DGRAM, _NETLINK_SOCK_DIAG)
    finally:
        os.close(fd)
    made.settimeout(_PATIENCE_S)
    return made


def _ask(connection: socket.socket, family: int) -> list[tuple[int, int, int]]:
    ask = _ASK.pack(family, socket.IPPROTO_TCP, 0, 0, _LISTENING)
    connection.send(_HEADER.pack(_HEADER.size + len(ask), _SOCK_DIAG_BY_FAMILY, _REQUEST | _DUMP, 1, 0) + ask)
    found: list[tuple[int, int, int]] = []
    while True:
        answer = connection.recv(_ANSWER_BYTES)
        at = 0
        while at < len(answer):
            length, kind = struct.unpack_from("=IH", answer, at)
            if kind == _DONE:
                return found
            if kind == _ERROR:
                number = -struct.unpack_from("=i", answer, at + _HEADER.size)[0]
                raise OSError(number, os.strerror(number), "sock_diag")
            waiting, room = _QUEUES.unpack_from(answer, at + _QUEUES_AT)
            found.append((_PORT.unpack_from(answer, at + _PORT_AT)[0], waiting, room))
            at += (length + 3) & ~3
