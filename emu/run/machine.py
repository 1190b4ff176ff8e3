"""Facts of the machine that a run is on; they head every report."""

from __future__ import annotations

import os
import platform
from pathlib import Path
from typing import Any

import psutil

from emu.machine import disks, zswap
from emu.machine.paths import ACCELERATOR, IN_SANDBOX
from emu.record.events.run import BOTH
from emu.runtime.api import EngineFacts
from emu.spec.node import SandboxSpec
from emu.units import format_bytes


def where() -> str:
    """`host`, or `sandbox:` and its kind."""
    kind = os.environ.get(IN_SANDBOX)
    return f"sandbox:{kind}" if kind else "host"


def machine_facts(engine: EngineFacts) -> dict[str, Any]:
    """What `emu.record.events.RunBegan.machine` holds. Bytes; devices by the numbers that io.stat uses."""
    return {
        "kernel": platform.release(),
        "architecture": platform.machine(),
        "system": _system(),
        "runtime": engine.runtime,
        "docker": engine.version or None,
        "cgroup_driver": engine.cgroup_driver,
        "storage_driver": engine.storage_driver,
        "accelerator": os.environ.get(ACCELERATOR),
        "cpus": psutil.cpu_count() or 1,
        "memory_bytes": psutil.virtual_memory().total,
        "swap_bytes": psutil.swap_memory().total,
        "psi": Path("/proc/pressure/memory").exists(),
        "zswap": zswap.settings(),
        "page_size": os.sysconf("SC_PAGE_SIZE"),
        "devices": block_devices(Path(engine.root_dir), engine.runtime),
    }


def not_applied(wanted: SandboxSpec, memory_bytes: int, swap_bytes: int) -> str | None:
    """What of a scenario's `sandbox` this machine is not, in words; None where it is as asked, or nothing was. One
    that is there already (a host, a sandbox with a shell in it) keeps its size.
    """
    usual, parts = type(wanted)(), []
    if wanted.memory != usual.memory and not 0.85 * wanted.memory <= memory_bytes <= 1.02 * wanted.memory:
        parts.append(f"memory {format_bytes(wanted.memory)} is configured, and it has {format_bytes(memory_bytes)}")
    if wanted.swap != usual.swap and abs(wanted.swap - swap_bytes) > 2**20:
        parts.append(f"swap {format_bytes(wanted.swap)} is configured, and it has {format_bytes(swap_bytes)}")
    return "; ".join(parts) or None


def _system() -> str:
    try:
        return platform.freedesktop_os_release().get("PRETTY_NAME", "Linux")
    except OSError:
        return "Linux"


def block_devices(runtime_root: Path, runtime: str) -> dict[str, dict[str, str]]:
    """Each whole disk by its number (`98:0`), with its name and what it is for: `swap`, the runtime's (`docker` or
    `process`), `files and swap` or `other`.
    """
    roles: dict[str, str] = {}
    if runtime_root.exists():
        roles[disks.disk_of(runtime_root.stat().st_dev)] = runtime
    swap = disks.swap_disks()
    roles |= {number: BOTH if number in roles else "swap" for number in swap}
    roles |= dict.fromkeys(disks.swap_file_disks(), BOTH)
    return {
        number: {"name": name, "role": roles.get(number, "other")}
        for number, name in disks.disk_names().items()
        if number in roles or not name.startswith(("loop", "ram"))
    }
