"""Whether KVM works here. /dev/kvm proves little: it may open, start a machine, and then never get through a boot."""

from __future__ import annotations

import os
import subprocess
import tempfile
from pathlib import Path

from emu.machine import command

KVM = ("-accel", "kvm", "-cpu", "host")
"""QEMU's words for a guest at nearly the machine's own speed."""
TCG = ("-accel", "tcg,thread=multi", "-cpu", "max")
"""QEMU's words for a guest whose every instruction is translated: about ten times slower, and it works anywhere."""

MEMORY = "accelerator"
"""The file in the guest's cache that keeps the answer."""
_DEADLINE_S = 12.0


def accelerator(kernel: Path, memory: Path, *, deadline_s: float = _DEADLINE_S) -> tuple[str, ...]:
    """`KVM` if a guest with this very kernel gets as far as looking for a root disk in time, else `TCG`.

    The answer is kept in the file `memory` until the machine's next boot, because a no takes the whole deadline.
    """
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        return TCG
    boot = f"{_boot_id()} {kernel}"
    try:
        known_boot, _, known = memory.read_text().rpartition(" ")
    except FileNotFoundError:
        known_boot, known = "", ""
    if known_boot != boot:
        known = "kvm" if kvm_boots(kernel, deadline_s=deadline_s) else "tcg"
        memory.write_text(f"{boot} {known}")
    return KVM if known == "kvm" else TCG


def remembered(memory: Path) -> str | None:
    """`kvm` or `tcg`, as it was found out since this machine's boot; None if it was not."""
    try:
        boot, *_kernel, known = memory.read_text().split(" ")
    except (OSError, ValueError):
        return None
    return known if boot == _boot_id() else None


def _boot_id() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def kvm_boots(kernel: Path, *, deadline_s: float = _DEADLINE_S) -> bool:
    """Whether this kernel, given no root disk, gets to its panic about that and to the reset after it in time."""
    with tempfile.TemporaryDirectory() as scratch:
        console = Path(scratch) / "console"
        words = ["qemu-system-x86_64", *KVM, "-m", "256", "-nodefaults", "-no-user-config", "-display", "none"]
        words += ["-nic", "none", "-no-reboot", "-serial", f"file:{console}"]
        words += ["-kernel", str(kernel), "-append", "console=ttyS0 panic=-1"]
        machine = command.spawn(
            ["setpriv", "--pdeathsig", "KILL", *words],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            machine.wait(deadline_s)
        except subprocess.TimeoutExpired:
            return False
        finally:
            machine.kill()
            machine.wait()
        return console.exists() and "Unable to mount root fs" in console.read_text(errors="replace")
