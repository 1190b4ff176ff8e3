"""A systemd guest's job, and the files that carry it into the guest."""

from __future__ import annotations

import compileall
import py_compile
import shlex
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from emu.errors import EmuError
from emu.machine import command
from emu.sandbox.qemu.image import GUEST_FILES

_NEVER_COPIED = (".git", ".venv", "runs", "build", "dist", "__pycache__", "*.egg-info", ".*_cache", ".hypothesis")
_PROGRAM = ("cgroups", "emu", "images", "profiles")
_STDIN = "/sys/firmware/qemu_fw_cfg/by_name/{}/raw"
STDIN_NAME = "opt/emu/stdin"
"""Under this name QEMU hands the guest what its command reads (fw_cfg)."""


@dataclass(frozen=True)
class Share:
    """A directory of the host's, mounted in the guest by 9p; read-only unless `writable`."""

    host: Path
    guest: str
    writable: bool = False

    @classmethod
    def parse(cls, text: str) -> Share:
        """`HOST_DIR[:GUEST_DIR]`; without the second it has the same name inside."""
        host, _, guest = text.partition(":")
        path = Path(host).resolve()
        share = cls(path, guest or str(path))
        if not path.is_dir():
            raise EmuError(f"cannot share {host} with the guest", "it is not a directory", "name a directory")
        if not share.guest.startswith("/") or share.guest != share.guest.strip() or "\n" in share.guest:
            raise EmuError(
                f"cannot share {host} with the guest as {share.guest!r}",
                "its name in the guest is not an absolute path in one line",
                f"name one: {host}:/mnt/name",
            )
        return share


@dataclass(frozen=True)
class Job:
    """What the guest is for. `timeout_s` counts from when it is up; `None` waits for ever. `stdin`: what its command
    reads, which reaches the guest without a file on this machine. `docker`: it begins only when Docker is up.
    """

    argv: Sequence[str]
    env: Mapping[str, str] = field(default_factory=dict)
    shares: Sequence[Share] = ()
    timeout_s: float | None = None
    stdin: bytes | None = None
    docker: bool = True


def copy_project(project: Path, into: Path, *, python: str) -> None:
    """The working tree, uncommitted files too, without what git ignores; byte code as well if it fits the guest's.

    A tree that git does not know (an unpacked archive) is copied without the directories that tools make.
    """
    try:
        listed = command.run(
            ["git", "-C", str(project), "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
            what="",
            fix="",
        )
    except EmuError:
        shutil.copytree(project, into, symlinks=True, ignore=shutil.ignore_patterns(*_NEVER_COPIED))
    else:
        into.mkdir(parents=True)
        for name in filter(None, listed.split("\0")):
            if (project / name).is_file():  # one that is deleted and not yet committed is listed too
                (into / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(project / name, into / name, follow_symlinks=False)
    _compile(into, python)


def copy_program(project: Path, into: Path, *, python: str) -> None:
    """emu itself and what it reads, from a checkout or from where it is installed; byte code as copy_project."""
    for name in _PROGRAM:
        if (project / name).is_dir():
            shutil.copytree(project / name, into / name, ignore=shutil.ignore_patterns(*_NEVER_COPIED))
    _compile(into, python)


def _compile(into: Path, python: str) -> None:
    if python == f"{sys.version_info.major}.{sys.version_info.minor}":
        for package in ("cgroups", "emu"):
            compileall.compile_dir(
                into / package,
                quiet=2,
                stripdir=str(into.parent),
                prependdir="/job",
                invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH,
            )


def write_job(place: Path, job: Job, *, keep_docker: bool) -> None:
    """What run.sh reads: the mounts, the command, whether Docker is up, and is to leave /var/lib/docker whole."""
    shutil.copy(GUEST_FILES / "run.sh", place / "run.sh")
    with (place / "mounts").open("w") as mounts:
        for number, share in enumerate(job.shares):
            mounts.write(f"share{number} {'rw' if share.writable else 'ro'} {share.guest}\n")
    variables = {
        "HOME": "/root",
        "LANG": "C.UTF-8",
        "PATH": "/job/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "PYTHONPATH": "/job/project:/opt/emu-packages",
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONUNBUFFERED": "1",
        "EMU_SANDBOX": "qemu",
        **job.env,
    }
    exports = [f"export {name}={shlex.quote(value)}\n" for name, value in variables.items()]
    lines = [*exports, "cd /job/project\n"]
    read = ""
    if job.stdin is not None:
        lines.append("modprobe qemu_fw_cfg\n")
        read = f" <{_STDIN.format(STDIN_NAME)}"
    (place / "command.sh").write_text("".join([*lines, f"exec {shlex.join(job.argv)}{read}\n"]))
    emu_program = place / "bin" / "emu"
    emu_program.parent.mkdir()
    emu_program.write_text("#!/usr/bin/python3\nfrom emu.cli.main import main\n\nmain()\n")
    emu_program.chmod(0o755)
    if keep_docker:
        (place / "keep-docker").touch()
    if not job.docker:
        (place / "no-docker").touch()
