"""A whole scenario: a question, a pod, a load or starts to measure, and what is expected."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import (
    BeforeValidator,
    Field,
    StringConstraints,
    WithJsonSchema,
    field_validator,
    model_validator,
)

from emu.policy.starts import FROZEN, TEMPERATURES, WARM_SWAP, Temperature
from emu.spec.load import LoadModel
from emu.spec.pod import PodSpec
from emu.spec.request import RequestModel, WorkSpec
from emu.spec.values import LONGEST_NAME, MIB, Bytes, Model, Name, Seconds, SpecError, Whole

_EXPECT = {
    "type": "object",
    "additionalProperties": {"type": ["string", "number", "boolean"]},
    "examples": [{"containers.queue-proxy.oom_kills": ">= 1"}],
}

_VARIANTS = {
    "type": "object",
    "additionalProperties": {"type": ["object", "null"]},
    "examples": [{"small": {"pod.app.resources.limits.memory": "64Mi"}, "large": None}],
}


class StartsSpec(Model):
    """Measure how long a request waits for its answer from each temperature of the pod, instead of a load."""

    temperatures: Annotated[tuple[Temperature, ...], Field(min_length=1)] = TEMPERATURES
    """cold: the app's image is not there, and is loaded from an archive on this machine; warm-disk: it is, none of it
    in the page cache; warm-page-cache: in the page cache too; created: its container is made and not started;
    warm-swap: frozen, its memory reclaimed; warm-memory: frozen; warm-cpu: running.
    """
    trials: Annotated[Whole, Field(ge=1, le=1000)] = 3
    """Of each temperature. A round has one of each."""
    seed: Annotated[Whole, Field(ge=0, lt=2**63)] = 1
    """Of the order within each round; the same seed gives the same order."""
    request: RequestModel = RequestModel()
    """What is asked each time, of a pod that starts and of one that runs."""

    @model_validator(mode="after")
    def _can_be_asked(self) -> Self:
        if self.request.websocket is not None:
            raise SpecError(
                "a start is measured to the first byte of a plain answer",
                fix="remove `websocket`",
                at=("request", "websocket"),
            )
        return self


class NodeSpec(Model):
    """The machine under the pod."""

    image_cache: Literal["warm", "cold"] = "warm"
    """warm: the images' files are in the page cache, charged to nobody's limit, as on a node where the same image
    ran before; cold: the containers read their executables from the disk and pay for the pages themselves.
    """


class SandboxSpec(Model):
    """The size of our own kernel, where the run is in the sandbox; on a host the host is as it is."""

    memory: Annotated[Bytes, Field(ge=512 * MIB)] = 3 * 1024 * MIB
    """The memory of the whole machine."""
    swap: Bytes = 2 * 1024 * MIB
    """Its swap device."""


class RecorderSpec(Model):
    """How closely to look."""

    interval: Annotated[Seconds, Field(ge=0.001, le=10)] = 0.01
    """Between two samples of every cgroup."""


def _changes(value: Any) -> Any:
    return {} if value is None else value


Changes = Annotated[dict[str, Any], BeforeValidator(_changes)]


class ScenarioSpec(Model):
    """One question, asked of a real kernel, with the answer that is expected."""

    name: Name
    """Lower-case letters, digits and `-`; the run directory is named after it."""
    question: Annotated[str, StringConstraints(min_length=1, max_length=500)]
    """What the run shall answer, in a sentence."""
    pod: PodSpec = PodSpec()
    """What runs."""
    load: LoadModel = LoadModel()
    """What is sent to it."""
    starts: StartsSpec | None = None
    """Start it again and again, from each temperature; not at all if not given."""
    node: NodeSpec = NodeSpec()
    """The machine that it runs on."""
    sandbox: SandboxSpec = SandboxSpec()
    """The size of the machine, where it is our own."""
    recorder: RecorderSpec = RecorderSpec()
    """How closely the run is watched."""
    expect: Annotated[dict[str, str], WithJsonSchema(_EXPECT)] = Field(default_factory=dict)
    """The answer: comparisons on names of summary.json. `emu run` exits with 1 if one of them does not hold."""
    variants: Annotated[dict[Name, Changes], WithJsonSchema(_VARIANTS)] = Field(default_factory=dict)
    """The same played several times in one run, to be compared: under each name the keys that it changes, as
    `PATH: VALUE` with the paths of `--set`.
    """

    @field_validator("expect", mode="before")
    @classmethod
    def _as_text(cls, value: Any) -> Any:
        if isinstance(value, dict):
            return {key: _expected(text) for key, text in value.items()}
        return value

    @model_validator(mode="after")
    def _variants_have_names(self) -> Self:
        for variant in self.variants:
            if len(f"{self.name}-{variant}") > LONGEST_NAME:
                raise SpecError(
                    f"{variant!r} is too long for a variant of {self.name!r}",
                    why=f"its run is called {self.name}-{variant}, and a name has at most {LONGEST_NAME} characters",
                    fix="shorten one of them",
                    at=("variants", variant),
                )
        return self

    @model_validator(mode="after")
    def _starts_have_what_they_need(self) -> Self:
        if self.starts is None:
            return self
        if self.load.phases:
            raise SpecError(
                "a scenario has either `starts` or `load`, not both",
                why="a start is measured on a pod that nothing else is asked of",
                fix="remove one of them",
                at=("load", "phases"),
            )
        if self.pod.autoscaling is not None:
            raise SpecError(
                "a pod whose starts are measured is not scaled",
                why="`starts` makes and removes the pod at its own times",
                fix="remove one of them",
                at=("pod", "autoscaling"),
            )
        for temperature in (one for one in self.starts.temperatures if one in FROZEN):
            self._can_be_frozen(temperature)
        return self

    def _can_be_frozen(self, temperature: str) -> None:
        freezer = self.pod.freezer
        if freezer is None or freezer.mode != "own":
            raise SpecError(
                f"nothing makes the pod {temperature}",
                why="a pod is frozen by the freezer, in its own mode, and this one has none",
                fix="add `pod.freezer: {}`, or leave the temperature out",
                at=("starts", "temperatures"),
            )
        if freezer.reclaim:
            raise SpecError(
                "the freezer reclaims by itself what `starts` reclaims at its own times",
                why="warm-memory and warm-swap could not be told apart",
                fix="remove `reclaim`",
                at=("pod", "freezer", "reclaim"),
            )
        if temperature == WARM_SWAP and self.pod.app.memory.swap_max == 0:
            raise SpecError(
                "the app may not use swap, so it never is warm-swap",
                why="memory.swap.max is 0 unless said",
                fix="add `pod.app.memory: {swapMax: max}`, or leave the temperature out",
                at=("starts", "temperatures"),
            )

    @model_validator(mode="after")
    def _phases_wait_for_containers(self) -> Self:
        for index, phase in enumerate(self.load.phases):
            name = None if phase.until is None else phase.until.container
            if name is not None and name not in self.pod.containers:
                raise SpecError(
                    f"there is no container {name!r} in this pod",
                    why=f"there is: {', '.join(self.pod.containers)}",
                    fix="name one of them",
                    at=("load", "phases", index, "until", "container"),
                )
        return self

    @model_validator(mode="after")
    def _files_are_made(self) -> Self:
        if self.pod.app.image is not None:
            return self
        made = [entry.name for entry in self.pod.app.files]
        asked: list[tuple[tuple[str | int, ...], RequestModel]]
        asked = [(("load", "phases", index), phase.request) for index, phase in enumerate(self.load.phases)]
        asked += [] if self.starts is None else [(("starts",), self.starts.request)]
        work = [request.do or WorkSpec() for _, request in asked]
        made += [do.write_file for do in work if do.write_file is not None]
        for (at, _), do in zip(asked, work, strict=True):
            if do.read_file is not None and do.read_file not in made:
                raise SpecError(
                    f"nothing makes the file {do.read_file!r}",
                    why=f"files that there are: {', '.join(made) or 'none'}",
                    fix=f"add it to pod.app.files: {{name: {do.read_file}, size: …}}",
                    at=(*at, "request", "do", "readFile"),
                )
        return self


def _expected(value: Any) -> Any:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, int | float) else value
