"""What a guest is made of, short of booting it: its sizes, its environment, what it sees and what it may write."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import emu
from emu.errors import EmuError
from emu.sandbox.uml import leftovers
from emu.sandbox.uml.parts import Parts
from emu.units import format_bytes

SOCKETS = "sockets"
"""In the scratch directory: where the kernel has its own."""
_LEAST_MEMORY = 128 * 2**20
_MOST_SWAP = 64
_SYSTEM = frozenset(
    map(
        Path,
        ("/", "/usr", "/bin", "/sbin", "/lib", "/lib64", "/etc", "/var", "/run", "/dev", "/proc", "/sys", "/boot"),
    )
)
_NOT_FOR_GUEST = frozenset(
    (
        "DOCKER_HOST",
        "DOCKER_CONTEXT",
        "DOCKER_CONFIG",
        "DOCKER_TLS_VERIFY",
        "DOCKER_CERT_PATH",
        "XDG_RUNTIME_DIR",
        "DBUS_SESSION_BUS_ADDRESS",
        "SSH_AUTH_SOCK",
        "TMPDIR",
        "TMP",
        "TEMP",
        "INVOCATION_ID",
        "JOURNAL_STREAM",
    )
)


def shared_directories(wanted: Iterable[Path]) -> list[Path]:
    """The directories to mount through: those wanted, resolved, none twice and none below another.

    The system's own directories (`/usr`, `/etc`, …) are seen in the guest anyway and are never written through.
    """
    resolved = {path.resolve() for path in wanted} - _SYSTEM
    for path in resolved:
        if not path.is_dir():
            raise EmuError(f"cannot share {path} with the sandbox", "it is not a directory", "name a directory")
        if "\n" in str(path):
            raise EmuError(f"cannot share {str(path)!r} with the sandbox", "its name has a line break", "rename it")
    return sorted(path for path in resolved if not any(parent in resolved for parent in path.parents))


def programs(shares: Sequence[Path], shown: Iterable[Path] = ()) -> list[Path]:
    """What every guest sees and may not write, unless it lies in a share: emu itself, its Python, `shown`."""
    wanted = shared_directories([Path(emu.__file__).parents[1], Path(sys.prefix), Path(sys.base_prefix), *shown])
    return [path for path in wanted if not any(path.is_relative_to(share) for share in shares)]


def guest_environment(env: Mapping[str, str]) -> dict[str, str]:
    """The caller's environment without what would point outside the guest, and with the guest's programs first."""
    kept = {name: value for name, value in env.items() if name not in _NOT_FOR_GUEST}
    path = env.get("PATH", "/usr/local/bin:/usr/bin:/bin").split(":")
    path += [place for place in ("/usr/local/sbin", "/usr/sbin", "/sbin") if place not in path]
    return {"HOME": "/root", **kept, "PATH": ":".join(["/run/emu/bin", *path]), "EMU_SANDBOX": "uml"}


def kernel_command_line(
    parts: Parts, *, memory_bytes: int, swap: bool, scratch: Path, line_in: int, line_out: int
) -> list[str]:
    """The words that start the guest's kernel in its scratch directory."""
    return [
        str(parts.kernel),
        f"mem={memory_bytes // 2**20}M",
        "root=/dev/root",
        "rootfstype=hostfs",
        "rootflags=/",
        "rw",
        # It runs its processes under seccomp where this machine can, which is faster than ptrace.
        *(["seccomp=auto"] if parts.libc is not None else []),
        "log_buf_len=4M",  # the kernel's own choice holds four OOM reports
        # It would measure for most of a second how best to compute RAID 6, which no guest has. (In 7.2 and 6.1.)
        "initcall_blacklist=raid6_init,raid6_select_algo",
        f'init="{scratch}/init.sh"',
        f'EMU_BOOT="{scratch}"',
        "ubda=docker.ext4",
        *(["ubdb=swap.img"] if swap else []),
        "con=null",
        "con0=null,fd:1",
        "ssl=null",
        f"ssl0=fd:{line_in},fd:{line_out}",
        f"uml_dir={SOCKETS}",
        "umid=guest",
    ]


def memory_directory(memory_bytes: int, candidates: Sequence[Path] | None = None) -> Path:
    """Where the guest's memory file can be: executable, writable and with room for all of it. EmuError if nowhere.

    UML maps its memory from a file. A file system that fills up ends the guest with SIGBUS, so room is checked first.
    """
    seen = []
    for place in leftovers.memory_places() if candidates is None else candidates:
        try:
            facts = os.statvfs(place)
        except OSError:
            continue
        free = facts.f_bavail * facts.f_frsize
        if facts.f_flag & os.ST_NOEXEC or not os.access(place, os.W_OK):
            seen.append(f"{place} is not writable, or mounted noexec")
        elif free < memory_bytes:
            seen.append(f"{place} has {format_bytes(free)} free")
        else:
            return place
    raise EmuError(
        f"no room for {format_bytes(memory_bytes)} of guest memory",
        f"the guest's memory is a file, and {'; '.join(seen) or 'there is no directory for it'}",
        "give the guest less (--memory 1Gi), enlarge /dev/shm (mount -o remount,size=4G /dev/shm), "
        "or set TMPDIR to a directory with room",
    )


def check_sizes(memory_bytes: int, swap_bytes: int) -> None:
    """EmuError for a guest that would panic instead of booting."""
    fix = "give it another size: sandbox.memory and sandbox.swap in a scenario, --memory and --swap of emu sandbox"
    if memory_bytes < _LEAST_MEMORY:
        least = format_bytes(_LEAST_MEMORY)
        raise EmuError("the sandbox cannot boot", f"{format_bytes(memory_bytes)} of memory is below {least}", fix)
    if swap_bytes > memory_bytes * _MOST_SWAP:
        raise EmuError(
            "the sandbox cannot boot",
            f"{format_bytes(swap_bytes)} of swap is more than {_MOST_SWAP} times its memory "
            f"({format_bytes(memory_bytes)}), in which the kernel tracks each page of it",
            fix,
        )
