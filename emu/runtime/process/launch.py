"""What a container's process is made from, and the words with which a command is run beside it. Pure: nothing is
started here.

Such a command is the end of a chain of programs of this machine, each of which becomes the next. The last step is a
shell of the container's own root: it moves itself into the container's cgroup, which was opened by root, and becomes
the command.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from emu.errors import EmuError
from emu.runtime.api import NOFILE, USER

TOOLS = ("sh", "nsenter", "setpriv", "chroot", "ip", "tar", "cp", "sync")
INSTALL = "install util-linux, iproute2, coreutils and tar, or take pod.runtime: docker"
"""How to get them."""
_SBIN = "/usr/local/sbin:/usr/sbin:/sbin"
_PATH = f"/usr/local/bin:/usr/bin:/bin:{_SBIN}"
_ENTER = 'echo 0 >&3; exec 3>&-; exec "$@"'
"""In the container's own shell: into the cgroup, then become the program."""
_JOIN = """
procs=$1 adj=$2
umask 022
ulimit -n "$3"
shift 3
echo "$adj" >/proc/self/oom_score_adj
exec 3>"$procs"
exec setpriv --no-new-privs nsenter "$@"
"""
CHAIN_ENVIRONMENT = {"PATH": _PATH, "LC_ALL": "C"}
"""Of the chain, besides what it carries; the program gets its own."""


@dataclass(frozen=True)
class Bind:
    """A folder of this machine, and where it is mounted in the container."""

    source: Path
    target: str
    writable: bool = False


@dataclass(frozen=True)
class Start:
    """A container's process to be."""

    procs: Path
    """The cgroup.procs of its cgroup."""
    oom_score_adj: int
    root: Path
    network: Path
    """The file that stands for the pod's network namespace."""
    hostname: str
    binds: Sequence[Bind]
    file: str
    """The program, in its root."""
    argv: Sequence[str]
    env: Mapping[str, str]

    def to_json(self) -> str:
        """For `emu.runtime.process.spawner`."""
        return json.dumps(
            {
                "procs": str(self.procs),
                "oom_score_adj": self.oom_score_adj,
                "root": str(self.root),
                "network": str(self.network),
                "hostname": self.hostname,
                "binds": [(str(one.source), one.target, one.writable) for one in self.binds],
                "file": self.file,
                "argv": list(self.argv),
                "env": dict(self.env),
                "user": USER,
                "files": NOFILE,
            }
        )


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
    A shell on the way knows only some names, so names are arguments. No signal that emu ignores stays ignored: under
    nohup, for example.
    """
    carried = {f"EMU_{number}": value for number, value in enumerate(env.values())}
    given = [f"'{_quoted(name)}'=${{{own}}}" for name, own in zip(env, carried, strict=True)]
    becomes = [] if "=" not in command[0] else ["/usr/bin/nice", "-n", "0"]  # env(1) would take it for a variable
    words = ["/usr/bin/env", "-S", " ".join(["--default-signal -i --", *given]), *becomes, *command]
    return words, {**CHAIN_ENVIRONMENT, **carried}


def _quoted(name: str) -> str:
    """For single quotes of env(1)'s -S."""
    return name.replace("\\", "\\\\").replace("'", "\\'")


def execute_words(procs: Path, adj: int, pid: int, argv: Sequence[str]) -> list[str]:
    """The chain that becomes a command beside the container's process `pid`, with the container's mask for new files
    and its limit of open ones.
    """
    return [
        tool("sh"), "-c", _JOIN, "emu", str(procs), str(adj), str(NOFILE),
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
