"""The files of a pod's volumes, made before the pod starts."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

from emu.errors import EmuError
from emu.messages import DATA_DIR
from emu.record.events import now
from emu.runtime import images
from emu.runtime.api import LABEL_CONTAINER, ContainerRequest, Runtime
from emu.spec import FileSpec

_DEADLINE_S = 900.0
_LOOK_S = 0.1


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
            volume=(volume, DATA_DIR),
        )
    )  # fmt: skip
    engine.start(made)
    code = _exit_code(engine, made, check)
    said = b"".join(engine.logs(made)).decode(errors="replace").strip()
    engine.remove(made)
    if code != 0:
        raise EmuError(
            f"cannot make the app's file {file.name!r} of {file.size} bytes",
            said or f"the process that creates it exited with status {code}",
            "free space on the engine's disk, or configure a smaller file (pod.app.files)",
        )


def _exit_code(engine: Runtime, container_id: str, check: Callable[[], None]) -> int:
    deadline = now() + _DEADLINE_S
    while (state := engine.state(container_id))["Status"] in ("created", "running") and now() < deadline:
        check()
        time.sleep(_LOOK_S)
    return int(state["ExitCode"]) if state["Status"] == "exited" else -1
