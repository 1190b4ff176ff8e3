"""What runs a pod's containers, and what of the pod that can do: an engine runs images, plain processes do not."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from pydantic.alias_generators import to_camel

from emu.policy.image_names import ImageChoice
from emu.spec.container import AppSpec, ContainerSpec, SidecarSpec
from emu.spec.freezer import FreezerSpec
from emu.spec.values import SpecError
from emu.spec.volumes import Place


def check(
    runtime: Literal["docker", "process"],
    images: ImageChoice,
    placed: Sequence[tuple[Place, ContainerSpec]],
    freezer: FreezerSpec | None,
) -> None:
    """SpecError where the runtime cannot do what the pod asks for. `placed`: its containers with their places."""
    if runtime == "process":
        _check_process(images, placed, freezer)
    own = [one for _, one in placed if one.image or (isinstance(one, AppSpec | SidecarSpec) and one.program)]
    if images == "engine" and not own:
        raise SpecError(
            "`images: engine` has no effect: no container has an `image` or a `program`",
            why="it is about the images of a manifest, which `emu init` puts there",
            fix="remove it, or give a container an image",
            at=("images",),
        )


def _check_process(
    images: ImageChoice, placed: Sequence[tuple[Place, ContainerSpec]], freezer: FreezerSpec | None
) -> None:
    if images == "engine":
        raise SpecError(
            "`images: engine` needs Docker",
            why="with `runtime: process` a container runs a program of emu's own images",
            fix="remove it, or use `runtime: docker`",
            at=("images",),
        )
    for at, container in placed:
        for key in ("image", "working_dir", "security_context"):
            if getattr(container, key) is not None:
                raise SpecError(
                    f"{container.image or to_camel(key)!r} needs Docker",
                    why="with `runtime: process` a container runs a program of emu's own images",
                    fix=f"remove `{to_camel(key)}`, or use `runtime: docker`",
                    at=(*at, to_camel(key)),
                )
    if freezer is not None and freezer.method == "docker":
        raise SpecError(
            "Docker can pause only the containers that it runs",
            why="with `runtime: process` there is no engine, and the freezer's default method is docker",
            fix="add `method: cgroup` to pod.freezer, or use `runtime: docker`",
            at=("freezer", "method"),
        )
