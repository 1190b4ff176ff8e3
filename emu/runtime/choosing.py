"""The runtime that a scenario asks for, ready to run its pod: connected, with our images."""

from __future__ import annotations

from collections.abc import Iterable

from emu.runtime import images
from emu.runtime.api import EngineFacts, Runtime


def open_runtime(name: str, progress: images.Progress, own_images: Iterable[str] = ()) -> tuple[Runtime, EngineFacts]:
    """`docker` or `process`. EmuError where this machine lacks what it takes, or an image cannot be made. Of
    `own_images`, the scenario's, those that were kept (`emu images load`) are loaded where the engine lacks them.
    """
    if name == "process":
        from emu.runtime.process.engine import ProcessRuntime

        processes = ProcessRuntime()
        facts = processes.connect()
        processes.provide(images.prepare(progress), progress)
        return processes, facts
    from emu.runtime import archives
    from emu.runtime.docker import (
        Engine,
    )  # here, because Docker's library takes time to import, and may not be needed

    engine = Engine()
    facts = engine.connect()
    images.ensure(engine, images.prepare(progress), progress)
    archives.provide(engine, own_images, progress)
    return engine, facts
