"""A container's output on its way into the run directory."""

from __future__ import annotations

from collections.abc import Callable

from emu.kubelet.pod import Instance
from emu.record.events import Note, now
from emu.record.rundir import RunDir
from emu.runtime.api import Runtime


def keep_output(
    engine: Runtime, run: RunDir, instance: Instance, heard: Callable[[Instance], None] = lambda _: None
) -> None:
    """Write what an instance prints to its log until it ends, and call `heard` each time. EngineGone, and what the
    engine's stream raises.
    """
    path = run.new_log(instance.pod, instance.container, instance.attempt)
    with path.open("ab", buffering=0) as file:
        for part in engine.logs(instance.id):
            file.write(part)
            heard(instance)


def not_followed(instance: Instance, error: Exception) -> Note:
    """The event for output that is lost from here on."""
    return Note(t=now(), what=f"the output of {instance.name} could not be followed", why=str(error))
