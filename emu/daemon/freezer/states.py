"""Whether the containers of pods live and are frozen, read from the kernel."""

from __future__ import annotations

from typing import Any

from cgroups.errors import CgroupError
from emu.daemon.freezer.methods import is_frozen, is_live
from emu.daemon.freezer.pods import Pods, Target
from emu.errors import EmuError


def frozen_or_unknown(target: Target) -> bool | None:
    """Whether it is frozen; None where the kernel cannot be asked."""
    try:
        return is_frozen(target)
    except CgroupError:
        return None


def states(pods: Pods) -> dict[str, Any]:
    """Every pod, for JSON: null and an error for a container that cannot be read; an error where the pods cannot be.
    Tokens are left out.
    """
    try:
        known, wrong = pods.all(), ""
    except EmuError as error:
        known, wrong = (), f"{error.what}: {error.why}"
    found = [
        {"name": pod.name, "containers": [{"name": one.name, "id": one.id, **_state(one)} for one in pod.containers]}
        for pod in known
    ]
    return {"pods": found, **({"error": wrong} if wrong else {})}


def _state(target: Target) -> dict[str, Any]:
    try:
        return {"live": is_live(target), "frozen": is_frozen(target)}
    except CgroupError as error:
        return {"live": None, "frozen": None, "error": f"{error.what}: {error.why}"}
