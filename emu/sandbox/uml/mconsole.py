"""Asks the kernel of a guest that hangs what its tasks wait for, by its management console.

The kernel answers on a datagram socket in its `uml_dir`, from an interrupt: it can while its processes hang. A
request is its magic, version, length and a command; an answer is an error, whether more follows, and its length
(arch/um/drivers/mconsole.h).
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import struct
import time
from pathlib import Path

from emu.machine.proc import fields
from emu.sandbox.uml import keeper, shape

_MAGIC, _VERSION, _MOST = 0xCAFEBABE, 2, 512
_WAIT_S = 5.0
_SHOWN_LINES = 40
_QUESTIONS = {"sysrq w": "its blocked tasks", "sysrq m": "its memory"}
"""The list of all tasks (`sysrq t`) is not among them: it ends the kernel (seen with 6.1)."""


def ask(sockets: Path, command: str) -> str | None:
    """What the kernel answers; None where it does not within 5 s."""
    with contextlib.ExitStack() as stack:
        client = stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM))
        try:
            folder = os.open(sockets, os.O_PATH | os.O_DIRECTORY)
            stack.callback(os.close, folder)
            place = f"/proc/self/fd/{folder}"  # a socket's address has room for 107 bytes
            client.bind("")  # a name without a file, which the kernel can answer to
            client.settimeout(_WAIT_S)
            data = command.encode()
            client.sendto(struct.pack(f"=III{_MOST}s", _MAGIC, _VERSION, len(data), data), f"{place}/guest/mconsole")
            parts, more, deadline = [], 1, time.monotonic() + _WAIT_S
            while more and time.monotonic() < deadline:
                reply = client.recv(_MOST + 64)
                _error, more, length = struct.unpack_from("=III", reply)
                parts.append(reply[12 : 12 + length])
        except (OSError, struct.error):
            return None
    return b"".join(parts).rstrip(b"\0").decode(errors="replace")


def diagnosis(scratch: Path) -> str:
    """What can be said of a guest that hangs, as the rest of a sentence and lines below it: what its kernel does on
    this machine, whether it answers, which of its tasks are blocked, and its memory.
    """
    text = ""
    try:
        found = fields(json.loads((scratch / keeper.KERNEL).read_text())["pid"])
    except (OSError, ValueError):
        found = None
    if found is not None:
        seconds = (int(found[11]) + int(found[12])) / os.sysconf("SC_CLK_TCK")
        text = f"; its kernel is in state {found[0]}, after {seconds:.1f} s of processor time"
    for command, title in _QUESTIONS.items():
        said = ask(scratch / shape.SOCKETS, command)
        if said is None:
            return text + ("" if "\n" in text else "; its kernel does not answer either")
        lines = said.splitlines()[1:] or ["none"]
        text += f"\n  {title}:" + "".join(f"\n    {line.strip()}" for line in lines[:_SHOWN_LINES] if line.strip())
    return text
