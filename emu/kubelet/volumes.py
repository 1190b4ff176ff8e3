"""The volumes of a template's pods, and the files in them, made before the first of the pods is.

They live as long as the run: a pod that takes another's place finds what that one left, as on a persistent volume.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from types import TracebackType
from typing import Self

from emu.errors import EmuError
from emu.kubelet.template import PodTemplate
from emu.messages import DATA_DIR
from emu.record.events import now
from emu.runtime import images
from emu.runtime.api import LABEL_CONTAINER, LABEL_OWNER, LABEL_RUN, ContainerRequest, Runtime, VolumeMount
from emu.spec import FileSpec

_DEADLINE_S = 900.0
_LOOK_S = 0.1


class Volumes:
    """Of one template. A context manager: they are made on entering, and removed on leaving."""

    def __init__(self, engine: Runtime, template: PodTemplate, run_id: str, prefix: str, owner: str) -> None:
        """`prefix` keeps them apart from those of the run's other templates."""
        self._engine = engine
        self._template = template
        self._run_id = run_id
        self._prefix = f"{run_id}-{prefix}"
        self._labels = {LABEL_RUN: run_id, LABEL_OWNER: owner}
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as stack:  # undoing is noted before doing: an interrupt may come between the two
            for volume in self._template.volumes:
                stack.callback(self._engine.remove_volume, self.named(volume.name))
                self._engine.create_volume(self.named(volume.name), self._labels)
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def named(self, volume: str) -> str:
        """What the engine calls a volume of the template."""
        return f"{self._prefix}-{volume}"

    def make_files(self, check: Callable[[], None]) -> None:
        """Make the files in them. `check` is called while that takes its time, and may raise."""
        for volume in self._template.volumes:
            for file in volume.files:
                make_file(self._engine, file, self.named(volume.name), self._run_id, self._labels, check)


def make_file(
    engine: Runtime, file: FileSpec, volume: str, run_id: str, labels: Mapping[str, str], check: Callable[[], None]
) -> None:
    """Make a file with a container outside any pod, so that its page cache is charged to none; it is dropped besides.
    `check` is called while that takes its time, and may raise.
    """
    made = engine.create(
        ContainerRequest(
            name=f"{run_id}.make-{file.name}"[:120],
            image=images.APP,
            labels={**labels, LABEL_CONTAINER: "make-file"},
            command=[
                "/usr/bin/python3", "-m", "emu.daemon.app", "make-file", f"{DATA_DIR}/{file.name}", str(file.size),
            ],
            mounts=[VolumeMount(volume, DATA_DIR, filled=True)],
        )
    )  # fmt: skip
    try:
        engine.start(made)
        code = _exit_code(engine, made, check)
        said = b"".join(engine.logs(made)).decode(errors="replace").strip()
    finally:  # an interrupt too: what it is mounted in cannot be removed before it
        engine.remove(made)
    if code != 0:
        raise EmuError(
            f"cannot make the app's file {file.name!r} of {file.size} bytes",
            said or f"the process that creates it exited with status {code}",
            "free space on the engine's disk, or configure a smaller file (pod.app.files)",
        )


def _exit_code(engine: Runtime, container_id: str, check: Callable[[], None]) -> int:
    deadline = now() + _DEADLINE_S
    while (state := engine.state(container_id)).phase in ("created", "running") and now() < deadline:
        check()
        time.sleep(_LOOK_S)
    return state.exit_code if state.phase == "exited" else -1
