"""The words with which a container's process is made, and a command run beside it. Pure: nothing is started here.

A process is prepared by a chain of programs of this machine, each of which becomes the next: nsenter(1) joins the
pod's network, unshare(1) makes mounts of its own, a shell mounts what the container sees. A second shell stays to
report how it ended; its only child is the first process of a namespace of pids, where setpriv(1) and chroot(1) leave
root's rights and the machine's files behind. The last step is a shell of the container's own root. It moves itself
into the container's cgroup and becomes the program, so that the container pays for what the program needs, from its
first page on, and for nothing that happened before.

The cgroup is opened while the chain is still root, and written to when it no longer is: since Linux 5.16 (and in the
stable kernels from then on) the kernel asks who opened the file.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from emu.errors import EmuError
from emu.runtime.api import NOFILE, USER

READY = b"ready\n"
"""What the chain says on its standard input, which is a pipe to us, just before it becomes the program; and before
that, the program's pid.
"""
TOOLS = ("sh", "nsenter", "unshare", "setpriv", "chroot", "mount", "ip", "tar", "cp")
INSTALL = "install util-linux, iproute2, coreutils and tar, or take pod.runtime: docker"
"""How to get them."""
_SBIN = "/usr/local/sbin:/usr/sbin:/sbin"
_PATH = f"/usr/local/bin:/usr/bin:/bin:{_SBIN}"
_ENTER = 'echo 0 >&3; exec 3>&-; exec "$@"'
"""In the container's own shell: into the cgroup, then become the program."""
_BEGIN = f'echo 0 >&3; echo {READY.decode().strip()} >&0; exec </dev/null 3>&-; exec "$@"'
_PREPARE = """
set -e
procs=$1 adj=$2 root=$3
echo "$4" >/proc/sys/kernel/hostname
shift 4
mount --bind "$root" "$root"
mount -o remount,bind,ro "$root"
mount -t tmpfs -o nosuid,nodev,size=16m,mode=1777 tmpfs "$root/tmp"
mount -t tmpfs -o nosuid,nodev,noexec,size=64m,mode=1777 shm "$root/dev/shm"
while [ "$1" != -- ]; do
    mount --bind "$1" "$root$2"
    [ "$3" = rw ] || mount -o remount,bind,ro "$root$2"
    shift 3
done
shift
exec unshare --pid sh -c "$KEEP" emu "$procs" "$adj" "$root" "$@"
"""
_KEEP = """
exec 4>&2 2>/dev/null # this shell's own word on how its child ended is not the container's output
(exec sh -c "$FIRST" emu "$@" 2>&4 4>&-)
exit $?
"""
_FIRST = f"""
set -e
procs=$1 adj=$2 root=$3
shift 3
mount -t proc -o nosuid,nodev,noexec proc "$root/proc"
echo "$adj" >/proc/self/oom_score_adj
ulimit -n {NOFILE}
read -r pid rest </proc/self/stat # of the machine's own /proc: the pid that the machine knows
echo "$pid" >&0
exec 3>"$procs"
cd /
exec setpriv --no-new-privs --inh-caps=-all --bounding-set=-all,+sys_chroot,+setuid,+setgid \\
    chroot --userspec={USER}:{USER} --groups= "$root" "$@"
"""
_JOIN = """
procs=$1 adj=$2
shift 2
echo "$adj" >/proc/self/oom_score_adj
exec 3>"$procs"
exec setpriv --no-new-privs nsenter "$@"
"""
CHAIN_ENVIRONMENT = {"PATH": _PATH, "LC_ALL": "C", "KEEP": _KEEP, "FIRST": _FIRST}
"""Of the chain, besides what it carries; the program gets its own."""


@dataclass(frozen=True)
class Bind:
    """A folder of this machine, and where it is mounted in the container."""

    source: Path
    target: str
    writable: bool = False


def missing_tools() -> list[str]:
    """The programs of the chain that are not installed."""
    return [name for name in TOOLS if shutil.which(name, path=_PATH) is None]


def tool(name: str) -> str:
    """A program of the chain by its path; a container's environment cannot put another in its place."""
    found = shutil.which(name, path=_PATH)
    if found is None:
        raise EmuError(
            f"cannot run pods as processes: {name} is missing",
            f"it is not in {_PATH}",
            INSTALL,
        )
    return found


def program(command: Sequence[str], env: Mapping[str, str]) -> tuple[list[str], dict[str, str]]:
    """A command that gets its environment, and what the chain has to carry for it. Values are in no argument, since
    any process may read those; env(1) takes them from variables of the chain's own, which the command does not get.
    A shell on the way knows only some names, so names are arguments.
    """
    carried = {f"EMU_{number}": value for number, value in enumerate(env.values())}
    given = [f"'{_quoted(name)}'=${{{own}}}" for name, own in zip(env, carried, strict=True)]
    becomes = [] if "=" not in command[0] else ["/usr/bin/nice", "-n", "0"]  # env(1) would take it for a variable
    return ["/usr/bin/env", "-S", " ".join(["-i --", *given]), *becomes, *command], {**CHAIN_ENVIRONMENT, **carried}


def _quoted(name: str) -> str:
    """For single quotes of env(1)'s -S."""
    return name.replace("\\", "\\\\").replace("'", "\\'")


def start_words(
    procs: Path, adj: int, root: Path, namespace: Path, hostname: str, binds: Sequence[Bind], argv: Sequence[str]
) -> list[str]:
    """The chain that becomes the container's process."""
    mounts = [word for bind in binds for word in (str(bind.source), bind.target, "rw" if bind.writable else "ro")]
    return [
        tool("nsenter"), f"--net={namespace}", tool("unshare"), "--mount", "--ipc", "--uts",
        tool("sh"), "-c", _PREPARE, "emu", str(procs), str(adj), str(root), hostname, *mounts, "--",
        "/bin/sh", "-c", _BEGIN, "sh", *argv,
    ]  # fmt: skip


def execute_words(procs: Path, adj: int, pid: int, argv: Sequence[str]) -> list[str]:
    """The chain that becomes a command beside the container's process `pid`."""
    return [
        tool("sh"), "-c", _JOIN, "emu", str(procs), str(adj),
        "--target", str(pid), "--mount", "--ipc", "--uts", "--net", "--pid", "--root", "--wd",
        f"--setgid={USER}", f"--setuid={USER}", "--",
        "/bin/sh", "-c", _ENTER, "sh", *argv,
    ]  # fmt: skip


def find_program(name: str, root: Path, env: Mapping[str, str]) -> str | None:
    """Where a container's program is in its root, as execvp(3) would look; None where it is not."""
    places = [""] if "/" in name else env.get("PATH", "").split(":")
    for place in places:
        path = f"{place}/{name}" if place else name
        if (root / path.lstrip("/")).is_symlink() or (root / path.lstrip("/")).is_file():
            return path
    return None
