"""The pods that the freezer daemon may act on: a file, written by whoever runs the pods, read again when it changes.

    {"pods": [{"name": "my-pod", "token": "…", "containers":
        [{"name": "app", "attempt": 0, "id": "<container id>", "cgroup": "/sys/fs/cgroup/…"}]}]}

It names what is paused (in Kubernetes: every container of the pod but queue-proxy) and holds secrets, so it should be
readable by its owner alone. It does not say what is frozen: the kernel does (cgroup.events).
"""

from __future__ import annotations

import hmac
import json
import os
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from emu.errors import EmuError
from emu.files import typed
from emu.files.regular import read_regular

_MOST_BYTES = 2**24
"""More than any node's pods need."""


@dataclass(frozen=True)
class Target:
    """A container that is paused with its pod."""

    name: str
    attempt: int
    id: str
    """The engine's."""
    cgroup: Path


@dataclass(frozen=True)
class FreezerPod:
    """A pod, and the token of those who may pause it."""

    name: str
    token: str
    containers: tuple[Target, ...]


def write_pods(path: Path, pods: Iterable[FreezerPod]) -> None:
    """Replace the file in one step, so that a reader sees the old one or the new one."""
    unfinished = path.with_name(f".{path.name}.new")
    fd = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with os.fdopen(fd, "w", encoding="utf-8") as file:
        json.dump({"pods": [asdict(pod) for pod in pods]}, file, default=str)
    unfinished.replace(path)


def read_pods(path: Path) -> tuple[FreezerPod, ...]:
    """The pods of a file. EmuError where it cannot be read, or two pods have the same token."""
    what = f"cannot read the freezer's pods from {path}"
    fix = 'write it as {"pods": [{"name": …, "token": …, "containers": [{"name", "attempt", "id", "cgroup"}]}]}'
    try:
        pods = tuple(_pod(entry) for entry in typed.parse_object(read_regular(path, _MOST_BYTES))["pods"])
    except OSError as error:
        raise EmuError(what, error.strerror or str(error), "use --pods to name an existing file") from error
    except KeyError as missing:
        raise EmuError(what, f"{missing} is missing", fix) from missing
    except (ValueError, TypeError, AttributeError, RecursionError) as wrong:
        raise EmuError(what, f"it is invalid: {wrong}", fix) from wrong
    if any(not pod.token for pod in pods):
        raise EmuError(what, "a token is empty", "give each pod its own token")
    cgroups = [os.path.realpath(one.cgroup) for pod in pods for one in pod.containers]  # however it is spelt
    _refuse_twice(what, "token", [pod.token for pod in pods], secret=True)
    _refuse_twice(what, "name", [pod.name for pod in pods])
    _refuse_twice(what, "cgroup", cgroups)
    return pods


def _refuse_twice(what: str, noun: str, values: list[str], *, secret: bool = False) -> None:
    """A pod must never be taken for another."""
    if len(set(values)) < len(values):
        twice = next(value for value, times in Counter(values).items() if times > 1)
        shown = "" if secret else f": {twice!r}"
        raise EmuError(what, f"a {noun} appears twice{shown}", f"give each its own {noun}")


def _pod(entry: dict[str, Any]) -> FreezerPod:
    if any("\0" in str(one["cgroup"]) for one in entry["containers"]):
        raise ValueError("a cgroup's path holds a NUL byte")
    containers = tuple(
        Target(str(one["name"]), int(one.get("attempt", 0)), str(one["id"]), Path(one["cgroup"]))
        for one in entry["containers"]
    )
    return FreezerPod(str(entry["name"]), str(entry["token"]), containers)


class Pods:
    """The file as it is now."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stamp: tuple[int, int, int] | None = None
        self._pods: tuple[FreezerPod, ...] = ()

    def all(self) -> tuple[FreezerPod, ...]:
        """Every pod. EmuError as `read_pods`."""
        try:
            stat = self._path.stat()
            stamp = (stat.st_ino, stat.st_mtime_ns, stat.st_size)
        except OSError:
            stamp = None
        if stamp is None or stamp != self._stamp:
            self._pods = read_pods(self._path)
            self._stamp = stamp
        return self._pods

    def of(self, token: bytes) -> FreezerPod | None:
        """The pod that a token names; every token is compared whole, so that timing reveals nothing of it."""
        found = None
        for pod in self.all():
            if hmac.compare_digest(pod.token.encode(), token):
                found = pod
        return found
