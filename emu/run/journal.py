"""A run's story as journald has it: the kernel's lines since the run began, the containers', the freezer's.

Nothing is asked by the wall clock, which may be set during a run: containers and runs have names of their own,
and journald stamps what it receives with CLOCK_MONOTONIC too.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from emu.errors import EmuError
from emu.machine import command
from emu.record.rundir import RunDir

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_SOCKET = Path("/run/systemd/journal/socket")
_EARLY_US = 1_000_000
"""The kernel's own clock and ours differ by less; what was said shortly before a run began does no harm."""
_READ_S = 60


def log_driver() -> str | None:
    """Docker's journald driver where a journald listens, so that `journalctl CONTAINER_NAME=…` works."""
    return "journald" if _SOCKET.exists() else None


def keep_journal(run: RunDir, run_id: str, names: Sequence[str], began: float) -> None:
    """Write journal.jsonl, of the containers with these names; nothing where no journald runs. `began` is on
    CLOCK_MONOTONIC. EmuError where there is no room for it.
    """
    if log_driver() is None:
        return
    containers = [*(f"CONTAINER_NAME={name}" for name in names), "+"] if names else []
    boot = _BOOT_ID.read_text().strip().replace("-", "")
    kernel = ["_TRANSPORT=kernel", f"_BOOT_ID={boot}", "+"]
    lines = list(
        since(_read([*kernel, *containers, f"EMU_RUN={run_id}"]), began)
    )  # once: it reads all of the journal
    if lines:
        run.write_whole(run.journal, "\n".join(lines) + "\n")


def since(lines: Iterable[str], began: float) -> Iterator[str]:
    """Of the kernel's those that journald received from then on; the others have the run's name."""
    for line in lines:
        try:
            entry = json.loads(line)
            received_us = int(entry["__MONOTONIC_TIMESTAMP"])
        except (ValueError, LookupError, TypeError):
            continue
        if entry.get("_TRANSPORT") != "kernel" or received_us >= began * 1e6 - _EARLY_US:
            yield line


def _read(match: Sequence[str]) -> list[str]:
    try:
        text = command.run(
            ["journalctl", *match, "-o", "json", "--no-pager"],
            what="cannot read the journal",
            fix="see whether journalctl works here",
            timeout_s=_READ_S,
        )
    except EmuError:
        return []
    return text.splitlines()
