"""What threads find out about a pod's containers, for whoever decides."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from emu.kubelet.pod import Instance
from emu.kubelet.prober import Answer
from emu.kubelet.template import PodProbe
from emu.policy.probing import Kind
from emu.runtime.api import EngineGone


@dataclass(frozen=True)
class EngineActed:
    """The engine did something to a container."""

    action: str
    """In the words of Docker's events: kill, die, …"""
    container_id: str
    attributes: Mapping[str, str]
    time_nano: int


@dataclass(frozen=True)
class EngineLost:
    """The engine answers no more."""

    error: EngineGone


@dataclass(frozen=True)
class ProbeAnswered:
    """A probe has its answer."""

    instance: Instance
    kind: Kind
    probe: PodProbe
    answer: Answer


@dataclass(frozen=True)
class HookFailed:
    """A container's preStop hook failed; the container ends all the same."""

    container: str
    why: str


Fact = EngineActed | EngineLost | ProbeAnswered | HookFailed
