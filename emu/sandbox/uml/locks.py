"""Lock files: a lock that the kernel drops with its last holder, however that ends."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path


def locked(path: Path) -> int | None:
    """A descriptor that holds the lock of a file, which is made if it is not there; None if someone else holds it."""
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(fd)
        return None
    return fd
