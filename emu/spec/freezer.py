"""A freezer daemon beside the pod: when it pauses, what it reclaims, what it reads back before a resume."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, WithJsonSchema, model_validator

from emu.policy.prefetching import NEEDS_RECLAIM, NONE, TOUCHED, read_prefetch
from emu.policy.reclaiming import ALL, read_amount
from emu.spec.values import Model, Seconds, SpecError

_SHARE = {"anyOf": [{"type": "integer", "minimum": 0}, {"type": "string"}], "examples": [ALL, "50%", "64Mi"]}
_PREFETCH = {**_SHARE, "examples": [TOUCHED, ALL, "25%", "16Mi", NONE]}


class ReclaimSpec(Model):
    """Memory to reclaim from a frozen container, through memory.reclaim: the kernel drops page cache, and moves
    anonymous memory to swap as far as `memory.swapMax` and the machine have room.
    """

    amount: Annotated[str, BeforeValidator(read_amount), WithJsonSchema(_SHARE)] = ALL
    """`all`, a size, or a share of each container's memory at that time (`50%`)."""
    after: Seconds = 0.0
    """How long after the freeze."""


class FreezerSpec(Model):
    """A freezer daemon beside the pod: it pauses all containers except queue-proxy when no request is in flight, and
    resumes them when one arrives, as Knative's container-freezer did.
    """

    method: Literal["docker", "cgroup"] = "docker"
    """docker: the engine's pause, so `docker ps` shows Paused; cgroup: writes cgroup.freeze directly, which is
    faster.
    """
    mode: Literal["own", "knative"] = "own"
    """own: pauses only an app that was ready, after `grace`, and reports failures; knative: as in Serving 1.1 to 1.9:
    the app is frozen from the start, no grace period, readiness is not checked, and a failed pause is answered 200.
    """
    grace: Seconds | None = None
    """The time from the last response to the pause. Default: 1 s, or 0 with `mode: knative`."""
    patience: Seconds = 10.0
    """How long a request waits for the app to be resumed before it gets 503."""
    reclaim: tuple[ReclaimSpec, ...] = ()
    """The steps in which frozen memory is reclaimed. Default: none."""
    prefetch: Annotated[str, BeforeValidator(read_prefetch), WithJsonSchema(_PREFETCH)] = NONE
    """Memory to read back from swap before a resume: `touched`, what the last wake touched; `all`, a size or a share
    (`25%`): that first, then more; or `none`.
    """

    @model_validator(mode="after")
    def _prefetches_what_was_reclaimed(self) -> Self:
        if self.prefetch != NONE and not self.reclaim:
            raise SpecError(
                "there is no reclaimed memory to prefetch",
                why=NEEDS_RECLAIM,
                fix="add `reclaim: [{amount: all, after: 5s}]`, or remove `prefetch`",
                at=("prefetch",),
            )
        return self
