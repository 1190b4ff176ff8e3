"""Which images of manifests a run has: those that its engine has, else emu's stand-ins. Decided once, before anything
is made; the record of the run has the scenario as it was decided.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from pydantic import ValidationError

from emu.errors import EmuError
from emu.messages import APP
from emu.policy.image_names import Chosen, choose
from emu.spec import AppSpec, InitContainerSpec, PodSpec, ScenarioSpec, SidecarSpec
from emu.spec.keda import ScaledObjectSpec
from emu.spec.program import ProgramSpec
from emu.spec.request import RequestModel
from emu.spec.values import SpecError

SomeContainer = TypeVar("SomeContainer", AppSpec, SidecarSpec, InitContainerSpec)
SomePod = TypeVar("SomePod", bound=PodSpec)
_KEPT = ("startup_probe", "liveness_probe", "readiness_probe", "working_dir", "security_context")


@dataclass(frozen=True)
class Running:
    """An image of a manifest that is run."""

    owner: str
    """The service's or pod's name; empty: the only pod's."""
    container: str
    image: str
    plain_requests: bool = False
    """Its requests have lost what emu's app was to do for them."""

    @property
    def words(self) -> str:
        """For the screen and the report."""
        whose = f" of {self.owner}" if self.owner else ""
        return f"the manifest's image {self.image} runs as {self.container}{whose}"

    @property
    def about_requests(self) -> str:
        """What becomes of the load."""
        plain = "its requests are sent without `do`, which only emu's app understands"
        return plain if self.plain_requests else ""


def names(spec: ScenarioSpec) -> list[str]:
    """The images that its manifests name, where they may be run."""
    may = [pod for pod in _pods(spec) if pod.images != "stand-in" and pod.runtime == "docker"]
    return list(dict.fromkeys(program.image for pod in may for _, _, program in _programs(pod)))


def decide(spec: ScenarioSpec, there: Callable[[], Collection[str] | None]) -> tuple[ScenarioSpec, list[Running]]:
    """The scenario with the images that are `there` (as `image_names` of a runtime) in the place of their stand-ins;
    what stands in for another is in `leftOut`. EmuError where a container cannot be what its image asks for.
    """
    if not any(_programs(pod) for pod in _pods(spec)):
        return spec, []
    found = there()
    pod, ran = _decided(spec.pod, found, "")
    several = {name: [_decided(one, found, one.name) for one in getattr(spec, name)] for name in ("services", "pods")}
    update = {name: tuple(one for one, _ in made) for name, made in several.items()}
    ran += [one for made in several.values() for _, own in made for one in own]
    return _with_plain_requests(spec.model_copy(update={"pod": pod, **update}), ran)


def _pods(spec: ScenarioSpec) -> Sequence[PodSpec]:
    return spec.services or spec.pods or (spec.pod,)


def _programs(pod: PodSpec) -> list[tuple[str, AppSpec | SidecarSpec, ProgramSpec]]:
    """The containers that have something to run of a manifest, by name."""
    own: list[tuple[str, AppSpec | SidecarSpec]] = [(APP, pod.app)]
    own += [(one.name, one) for one in (*pod.init_containers, *pod.sidecars)]
    return [(name, one, one.program) for name, one in own if one.program is not None and one.image is None]


def _decided(pod: SomePod, there: Collection[str] | None, owner: str) -> tuple[SomePod, list[Running]]:
    chosen = {name: choose(program.image, pod.images, there) for name, _, program in _programs(pod)}
    if not chosen:
        return pod, []
    update = {
        "app": _put(pod.app, chosen.get(APP)),
        "init_containers": tuple(_put(one, chosen.get(one.name)) for one in pod.init_containers),
        "sidecars": tuple(_put(one, chosen.get(one.name)) for one in pod.sidecars),
        "left_out": (*_stand_ins(pod, chosen), *pod.left_out),
    }
    made = pod.model_copy(update=update)
    try:
        type(made).model_validate(made.model_dump(mode="json", by_alias=True))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join((*((owner,) if owner else ("pod",)), *map(str, first["loc"])))
        raise EmuError(
            f"{place}: the image of the manifest cannot run beside the other keys",
            str(first["msg"]),
            "correct it, or have a stand-in run: images: stand-in",
        ) from error
    scaling = made.autoscaling
    if scaling is not None and scaling.scaled_object is not None and made.app.image is None:
        _has_the_metrics(scaling.scaled_object, owner)
    return made, [Running(owner, name, one.image) for name, one in chosen.items() if one.image is not None]


def _has_the_metrics(scaled: ScaledObjectSpec, owner: str) -> None:
    """EmuError where emu's app stands in for one whose metrics the ScaledObject's triggers ask for."""
    try:
        scaled.check_metrics()
    except SpecError as wrong:
        place = ".".join((owner or "pod", "autoscaling.scaledObject", *map(str, wrong.at)))
        fix = "put the manifest's image on the engine (emu images load), or ask for one of these"
        raise EmuError(f"{place}: {wrong.what}", wrong.why, fix) from wrong


def _put(container: SomeContainer, chosen: Chosen | None) -> SomeContainer:
    """The image in the container, with what the manifest has it run; keys of the container's own win."""
    given = container.program
    if chosen is None or chosen.image is None or given is None:
        return container
    program: ProgramSpec = given
    names = _KEPT if container.command is not None else ("command", "args", *_KEPT)
    own = {name: getattr(container, name) for name in names}
    update: dict[str, Any] = {name: getattr(program, name) if value is None else value for name, value in own.items()}
    usual = type(container).model_fields["port"].default
    update["port"] = program.port if container.port == usual and program.port is not None else container.port
    update |= {"image": chosen.image, "env": {**program.env, **container.env}}
    update |= {"env_from": (*program.env_from, *container.env_from), "program": None}
    return container.model_copy(update=update)


def _stand_ins(pod: PodSpec, chosen: dict[str, Chosen]) -> Iterator[str]:
    for name, _, program in _programs(pod):
        one = chosen[name]
        if one.image is None:
            without = f", without its {', '.join(program.parts)}" if program.parts else ""
            image = program.image if len(program.image) <= 200 else f"{program.image[:200]}…"
            yield f"the image {image}, {one.why[:150]}, so emu's own program stands in{without}"


def _with_plain_requests(spec: ScenarioSpec, ran: list[Running]) -> tuple[ScenarioSpec, list[Running]]:
    """Without `do` where an image of a manifest gets the requests."""
    foreign = {one.owner for one in ran if one.container == APP}
    if not foreign:
        return spec, ran
    plain, phases = set(), []
    for phase in spec.load.phases:
        asked = spec.asked_service(phase) if spec.services else spec.asked_pod(phase)
        if asked in foreign and phase.request.do is not None:
            plain.add(asked)
            phase = phase.model_copy(update={"request": _plain(phase.request)})
        phases.append(phase)
    starts = spec.starts
    if starts is not None and "" in foreign and starts.request.do is not None:
        plain.add("")
        starts = starts.model_copy(update={"request": _plain(starts.request)})
    load = spec.load.model_copy(update={"phases": tuple(phases)})
    ran = [Running(one.owner, one.container, one.image, one.container == APP and one.owner in plain) for one in ran]
    return spec.model_copy(update={"load": load, "starts": starts}), ran


def _plain(request: RequestModel) -> RequestModel:
    return request.model_copy(update={"do": None})
