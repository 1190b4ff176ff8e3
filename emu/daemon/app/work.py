"""The heavy parts of a request's work: files through the page cache, memory, CPU. Each blocks; threads run them."""

from __future__ import annotations

import os
import threading
import time
import zlib
from pathlib import Path

from emu.daemon.app.memory import STEP_BYTES, random_block, reserve
from emu.messages import DATA_DIR, VOLUMES_VARIABLE
from emu.messages.work import Work

MAX_SLEEP_S = 3600.0
MAX_CPU_S = 3600.0
MAX_HOLD_BYTES = 64 << 30
MAX_FILE_BYTES = 1 << 40
MAX_ANSWER_BYTES = 1 << 40
MAX_DENTRIES = 10_000_000
MAX_THREADS = 30_000
MAX_PAGE_TABLE_BYTES = 64 << 20
"""They take address space 512 times as large, of which the User-Mode Linux kernel has not much."""
MAX_SOCKETS = 10_000
MAX_PIPES = 100_000

_per_thread = threading.local()


class RefusedWorkError(Exception):
    """Work that is not done, and the status and line that say so."""

    def __init__(self, status: int, line: str) -> None:
        super().__init__(line)
        self.status = status
        self.line = line


def check(work: Work) -> None:
    """RefusedWorkError (400) when the work exceeds its bounds or names a file outside the data directory."""
    bounds: tuple[tuple[str, float, float, str], ...] = (
        ("sleep", work.sleep, MAX_SLEEP_S, "s"),
        ("cpu", work.cpu, MAX_CPU_S, "s"),
        ("hold", work.hold, MAX_HOLD_BYTES, "bytes"),
        ("hold_zeros", work.hold_zeros, 1, "of a page"),
        ("touch", work.touch, MAX_FILE_BYTES, "bytes"),
        ("read_bytes", work.read_bytes, MAX_FILE_BYTES, "bytes"),
        ("write_bytes", work.write_bytes, MAX_FILE_BYTES, "bytes"),
        ("answer", work.answer, MAX_ANSWER_BYTES, "bytes"),
        ("dentries", work.dentries, MAX_DENTRIES, "names"),
        ("threads", work.threads, MAX_THREADS, "threads"),
        ("page_tables", work.page_tables, MAX_PAGE_TABLE_BYTES, "bytes"),
        ("sockets", work.sockets, MAX_SOCKETS, "sockets"),
        ("pipes", work.pipes, MAX_PIPES, "pipes"),
    )
    for name, value, most, unit in bounds:
        if value > most:
            raise RefusedWorkError(400, f"{name} is {value:g} {unit}; at most {most:g}")
    if not 200 <= work.status <= 599:
        raise RefusedWorkError(400, f"status is {work.status}; it must be 200 to 599")
    if work.exit is not None and work.exit > 255:
        raise RefusedWorkError(400, f"exit is {work.exit}; at most 255")
    if work.body == "slow" and work.body_rate == 0:
        raise RefusedWorkError(400, "body_rate is 0; to leave the body unread ask for body=ignore")
    for file in (work.read_file, work.write_file):
        if file is not None:
            data_path(file)


def data_path(name: str) -> Path:
    """Where a file of the data directory is (the variable DATA_DIR, else messages.DATA_DIR). A path may also
    lead into a volume of the pod.
    """
    places = (os.environ.get(VOLUMES_VARIABLE) or "").split(":")
    if ".." not in name.split("/") and any(place and name.startswith(f"{place}/") for place in places):
        return Path(name)
    if not name or name.startswith("/") or "\0" in name or ".." in name.split("/"):
        raise RefusedWorkError(400, f"file {name!r} must be a name within the data directory")
    return Path(os.environ.get("DATA_DIR") or DATA_DIR) / name


def a_folder() -> Path:
    """Where names can be looked up: the data directory; without one, where the program is."""
    data = Path(os.environ.get("DATA_DIR") or DATA_DIR)
    return data if data.is_dir() else Path(__file__).parent


def read_file(path: Path, size: int = 0, begin: int = 0) -> int:
    """Read a file through the page cache into one reused buffer, or `size` bytes from `begin` on as if it repeated
    itself without end; how many bytes that were.
    """
    buffer = getattr(_per_thread, "buffer", None)
    if buffer is None:
        buffer = _per_thread.buffer = reserve(STEP_BYTES)
    total = 0
    with path.open("rb", buffering=0) as file, memoryview(buffer) as room:
        length = os.fstat(file.fileno()).st_size if size else 0
        if length:
            file.seek(begin % length)
        while count := file.readinto(room[: min(STEP_BYTES, size - total)] if length else room):
            total += count
            if length and (begin + total) % length == 0:
                file.seek(0)
    return total


def write_file(path: Path, size: int) -> int:
    """Write `size` random-looking bytes through the page cache, without fsync; how many were written."""
    block = memoryview(random_block())
    total = 0
    with path.open("wb", buffering=0) as file:
        while total < size:
            total += file.write(block[: min(len(block), size - total)]) or 0
    return total


def burn(cpu_s: float) -> None:
    """Use this much CPU time of this thread, without holding the interpreter's lock."""
    until = time.thread_time() + cpu_s
    block = random_block()
    while time.thread_time() < until:
        zlib.crc32(block)


def make_file(path: Path, size: int) -> None:
    """Write a file, wait until it is on its disk, and drop it from the page cache, so that a run reads it cold."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_file(path, size)
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
    finally:
        os.close(fd)
