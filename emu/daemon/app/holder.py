"""The process that holds memory for `child.py`: fill, say so, wait until standard input closes.

    python -m emu.daemon.app.holder BYTES ZEROS

It imports next to nothing, so that it weighs little beyond what it holds.
"""

from __future__ import annotations

import os
import sys

from emu.daemon.app.memory import fill, reserve

FILLED = b"f"
MOST_KILLABLE = b"1000"
"""oom_score_adj: the kernel's first choice (proc(5)); raising it needs no privilege."""


def main(size: int, zeros: float) -> int:
    """Hold `size` bytes, `zeros` of each page zero bytes, until standard input ends."""
    _volunteer()
    space = reserve(size)
    fill(space, zeros=zeros)
    os.write(1, FILLED)
    while os.read(0, 1):
        pass
    return 0


def _volunteer() -> None:
    """Offer to be killed first. Where /proc forbids it we are still the process with the most memory, most often."""
    try:
        fd = os.open("/proc/self/oom_score_adj", os.O_WRONLY)
    except OSError:
        return
    try:
        os.write(fd, MOST_KILLABLE)
    finally:
        os.close(fd)


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), float(sys.argv[2])))
