"""A pod's priority, by which the scheduler and the kubelet choose whom to remove."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, StringConstraints, model_validator

from emu.policy.kubelet.pod import SYSTEM_CLASSES
from emu.spec.values import Model, SpecError, Whole


class Prioritized(Model):
    """What has a priority."""

    priority: Annotated[Whole, Field(ge=-(2**31), le=10**9)] = 0
    """Kubernetes: the value of its priority class. On a full node the scheduler removes pods of lower priority for
    it. Of pods above their requests, the kubelet evicts those of lower priority first. The kernel does not know it.
    """
    priority_class_name: Annotated[str, StringConstraints(min_length=1, max_length=253)] | None = None
    """Kubernetes: the name of its priority class. `system-node-critical` and `system-cluster-critical` have a value
    of their own; the value of any other is `priority`.
    """
    preemption_policy: Literal["PreemptLowerPriority", "Never"] = "PreemptLowerPriority"
    """Kubernetes: whether the scheduler removes pods of lower priority to make room for it."""

    @property
    def effective_priority(self) -> int:
        """That of a system class where it has one."""
        return SYSTEM_CLASSES.get(self.priority_class_name or "", self.priority)

    @model_validator(mode="after")
    def _system_class_has_its_value(self) -> Self:
        if self.priority_class_name in SYSTEM_CLASSES and self.priority != 0:
            raise SpecError(
                f"the value of {self.priority_class_name} is {SYSTEM_CLASSES[self.priority_class_name]}",
                why="Kubernetes makes this class itself, and its value cannot be changed",
                fix="remove `priority`, or name another class",
                at=("priority",),
            )
        return self
