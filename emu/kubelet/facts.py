"""What threads find out about a pod's containers, for whoever decides."""

from __future__ import annotations

from dataclasses import dataclass

from emu.kubelet.pod import Instance
from emu.kubelet.prober import Answer
from emu.kubelet.template import PodProbe
from emu.policy.probing import Kind
from emu.runtime.api import EngineGone, RuntimeEvent


@dataclass(frozen=True)
class EngineLost:
    """The engine answers no more."""

    error: EngineGone


@dataclass(frozen=True)
class ProbeAnswered:
    """A probe was answered, or its time was over."""

    instance: Instance
    kind: Kind
    probe: PodProbe
    answer: Answer


@dataclass(frozen=True)
class Printed:
    """A container printed something before its pod was ready."""

    instance: Instance


@dataclass(frozen=True)
class HookFailed:
    """A container's preStop hook failed; the container ends all the same."""

    container: str
    why: str


Fact = RuntimeEvent | EngineLost | ProbeAnswered | Printed | HookFailed
