"""`starts` of a scenario: what is measured instead of a load."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, model_validator

from emu.policy.starts import TEMPERATURES, Temperature
from emu.spec.request import RequestModel
from emu.spec.values import Model, SpecError, Whole


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
        return self
