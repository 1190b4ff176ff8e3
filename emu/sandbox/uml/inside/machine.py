"""The guest as a machine: what failed in its boot, its Docker engine, its end."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import socket
import time
from pathlib import Path

_RUN = Path("/run/emu")
_CGROUP = Path("/sys/fs/cgroup")
_RB_POWER_OFF = 0x4321FEDC
_MCL_CURRENT_AND_FUTURE = 3

_libc = ctypes.CDLL(None, use_errno=True)


def stay_alive() -> None:
    """Lock this process into memory, and exempt it from the OOM killer."""
    Path("/proc/self/oom_score_adj").write_text("-1000")
    _libc.mlockall(_MCL_CURRENT_AND_FUTURE)


def is_ready() -> bool:
    """Whether the boot is at its end without an engine."""
    return (_RUN / "ready").exists()


def disk_stats() -> dict[str, str]:
    """What the kernel has counted of each of the guest's disks."""
    found = {}
    for path in Path("/sys/block").glob("ubd*/stat"):
        with contextlib.suppress(OSError):
            found[path.parent.name] = path.read_text()
    return found


def trouble() -> str | None:
    """What has failed in the boot, or None."""
    failed = _RUN / "failed"
    if failed.exists():
        return failed.read_text().strip() + tails()
    try:
        pid = int((_RUN / "dockerd.pid").read_text())
    except (FileNotFoundError, ValueError):
        return None
    return None if _runs(pid) else f"dockerd ended{tails()}"


def _runs(pid: int) -> bool:
    """Whether a process runs: one that ended is a zombie until the guest's first process has reaped it, then gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def tails() -> str:
    """The last lines of what the boot's programs wrote."""
    said = ""
    for name in ("e2fsck.log", "modprobe.log", "journald.log", "dockerd.log"):
        with contextlib.suppress(OSError):
            lines = (_RUN / name).read_text(errors="replace").strip().splitlines()[-8:]
            said += "".join(f"\n[{name}] {line}" for line in lines)
    return said


def docker(method: str, path: str) -> bytes | None:
    """The body of one answer of the engine's; None while it does not answer, or answers with an error."""
    head, body = _ask_docker(method, path)
    return body if b" 200 " in head[:20] or b" 204 " in head[:20] else None


def _ask_docker(method: str, path: str) -> tuple[bytes, bytes]:
    """Head and body of one answer, empty while there is none."""
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(30)
        connection.connect("/run/docker.sock")
        connection.sendall(f"{method} {path} HTTP/1.0\r\nHost: docker\r\n\r\n".encode())
        answer = b""
        while data := connection.recv(65536):
            answer += data
        head, _, body = answer.partition(b"\r\n\r\n")
        return head, body
    return b"", b""


def docker_version() -> str | None:
    """The engine's version, by the name that it puts above its answers: `Server: Docker/20.10.24 (linux)`. To answer
    /version it would run three programs first.
    """
    head, _body = _ask_docker("GET", "/_ping")
    for line in head.decode(errors="replace").splitlines():
        name, _, value = line.partition(":")
        if name.lower() == "server":
            return value.strip().removeprefix("Docker/").partition(" ")[0] or None
    return None


def _stop_docker(wait_s: float) -> None:
    """Kill every container at once, then let dockerd end in order, so that the image disk is whole."""
    for group in _CGROUP.iterdir():
        if group.is_dir() and group.name != "system.slice":
            with contextlib.suppress(OSError):
                (group / "cgroup.kill").write_text("1")
    with contextlib.suppress(OSError, ValueError):
        pid = int((_RUN / "dockerd.pid").read_text())
        os.kill(pid, signal.SIGTERM)
        deadline = time.monotonic() + wait_s
        while time.monotonic() < deadline and _runs(pid):
            time.sleep(0.02)


def power_off() -> None:
    """End the guest with everything written to its disks."""
    _stop_docker(wait_s=10)
    os.sync()
    _libc.umount2(b"/var/lib/emu", 2)
    _libc.umount2(b"/var/lib/docker", 2)
    os.sync()
    _libc.reboot(_RB_POWER_OFF)
    time.sleep(60)
