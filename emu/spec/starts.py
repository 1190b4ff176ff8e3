"""`starts` of a scenario: what is measured instead of a load."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from emu.policy.starts import FROZEN, TEMPERATURES, WARM_SWAP, Temperature
from emu.spec.load import PhaseModel
from emu.spec.pod import PodSpec
from emu.spec.request import RequestModel
from emu.spec.values import Bytes, Model, SpecError, Whole


class StartImage(Model):
    """What the app's image has beside its own files."""

    filler: Bytes = 0
    """Bytes of files that the app never opens, as most of a large image is."""
    layers: Annotated[Whole, Field(ge=1, le=100)] = 1
    """How many layers they are in, above the one with the app's own files. Without Docker an image has no layers."""


class StartsSpec(Model):
    """Measure how long a request waits for its answer from each temperature of the pod, instead of a load."""

    temperatures: Annotated[tuple[Temperature, ...], Field(min_length=1)] = TEMPERATURES
    """cold: the app's image is absent, and emu loads it from an archive on this machine; warm-disk: the image is
    present, but not in the page cache; warm-page-cache: it is in the page cache too; created: its container exists,
    not started; warm-swap: frozen, its memory reclaimed; warm-memory: frozen; warm-cpu: running.
    """
    trials: Annotated[Whole, Field(ge=1, le=1000)] = 3
    """Number of trials of each temperature. A round has one of each."""
    seed: Annotated[Whole, Field(ge=0, lt=2**63)] = 1
    """The seed for the order within each round; the same seed gives the same order."""
    image: StartImage = StartImage()
    """The app's image."""
    image_pull_policy: Literal["IfNotPresent", "Always"] = "IfNotPresent"
    """Kubernetes' imagePullPolicy of the app. IfNotPresent: the image is loaded from the archive where it is absent
    (`cold`). Always: before each container of the app is created; the engine takes in what it lacks.
    """
    request: RequestModel = RequestModel()
    """The request to send each time, to a starting pod and to a running one."""

    @model_validator(mode="after")
    def _can_be_asked(self) -> Self:
        if self.request.websocket is not None:
            raise SpecError(
                "a start is measured to the first byte of a plain answer",
                fix="remove `websocket`",
                at=("request", "websocket"),
            )
        twice = next((one for one in self.temperatures if self.temperatures.count(one) > 1), None)
        if twice is not None:
            raise SpecError(
                f"the temperature {twice} is there twice",
                why="a round has one start of each",
                fix="name it once, and raise `trials` for more",
                at=("temperatures",),
            )
        return self


def check(starts: StartsSpec, pod: PodSpec, phases: Sequence[PhaseModel], *, may_swap: bool) -> None:
    """SpecError where the scenario's pod or its load conflicts with `starts`. `may_swap`: the app may use swap."""
    if phases:
        raise SpecError(
            "a scenario has either `starts` or `load`, not both",
            why="a start is measured on a pod that gets no other request",
            fix="remove one of them",
            at=("load", "phases"),
        )
    if pod.autoscaling is not None:
        raise SpecError(
            "a scenario has either `starts` or `pod.autoscaling`, not both",
            why="`starts` creates and removes the pod at its own times",
            fix="remove one of them",
            at=("pod", "autoscaling"),
        )
    for key, used in (("initContainers", pod.init_containers), ("volumes", pod.volumes)):
        if used:
            raise SpecError(
                f"`starts` measures pods without `{key}`",
                why="its stages are those of queue-proxy and the app alone, over one volume",
                fix=f"remove `{key}`, or measure the start of a single pod: `pod.startup_s` of a run with `load`",
                at=("pod", key),
            )
    for temperature in (one for one in starts.temperatures if one in FROZEN):
        _check_frozen(temperature, pod, may_swap=may_swap)


def _check_frozen(temperature: Temperature, pod: PodSpec, *, may_swap: bool) -> None:
    """SpecError where the pod cannot be frozen as this temperature needs it."""
    freezer = pod.freezer
    if freezer is None or freezer.mode != "own":
        raise SpecError(
            f"the pod cannot become {temperature}",
            why="only a freezer in mode `own` freezes a pod, and this pod has none",
            fix="add `pod.freezer: {}`, or leave the temperature out",
            at=("starts", "temperatures"),
        )
    if freezer.reclaim:
        raise SpecError(
            "`freezer.reclaim` conflicts with `starts`, which reclaims at its own times",
            why="warm-memory and warm-swap would be indistinguishable",
            fix="remove `reclaim`",
            at=("pod", "freezer", "reclaim"),
        )
    if temperature == WARM_SWAP and not may_swap:
        raise SpecError(
            "the app may not use swap, so it can never be warm-swap",
            why="memory.swap.max is 0 by default",
            fix="add `pod.app.memory: {swapMax: max}`, or leave the temperature out",
            at=("starts", "temperatures"),
        )
