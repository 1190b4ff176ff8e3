"""What every event is: a time, and whose it is. A kind of event is known as soon as its class is made."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields, is_dataclass
from typing import ClassVar, NamedTuple

POD_LABEL = "pod"
"""The label of a pod's own cgroup."""
KINDS: dict[str, type[Event]] = {}
"""Every kind of event by its name on a line; a class that has one adds itself."""


class Owner(NamedTuple):
    """Whose something is: a container instance's, or with empty parts a whole pod's. Runs from before pods had names
    have an empty `pod`.
    """

    pod: str
    container: str
    attempt: int | None

    @property
    def label(self) -> str:
        """The container's name, or `pod`."""
        return self.container or POD_LABEL

    @property
    def whole_pod(self) -> Owner:
        """The owner that stands for the whole pod."""
        return Owner(self.pod, "", None)


@dataclass(frozen=True, kw_only=True)
class Event:
    """The base: when, by CLOCK_MONOTONIC."""

    t: float
    kind: ClassVar[str] = ""

    def __init_subclass__(cls) -> None:
        if cls.kind:
            KINDS[cls.kind] = cls

    def to_line(self) -> str:
        """One JSON line with its newline."""
        facts = {each.name: getattr(self, each.name) for each in fields(self)}
        return json.dumps({"kind": self.kind, **facts}, separators=(",", ":"), default=_plain) + "\n"


def _plain(value: object) -> object:
    """What JSON does not know. Only that is copied: an event may be of thousands of requests."""
    return asdict(value) if is_dataclass(value) and not isinstance(value, type) else str(value)


@dataclass(frozen=True, kw_only=True)
class OfPod(Event):
    """An event that names its pod."""

    pod: str = ""
    """The pod's name; empty in runs from before pods had names."""


@dataclass(frozen=True, kw_only=True)
class OfContainer(OfPod):
    """An event of one container instance."""

    container: str
    """`queue-proxy` or `app` (or `sandbox`, the pause container that holds the pod's network)."""
    attempt: int
    """0 for the first instance; a restart makes a new one, as the kubelet does."""

    @property
    def owner(self) -> Owner:
        """Whose event it is."""
        return Owner(self.pod, self.container, self.attempt)


@dataclass(frozen=True, kw_only=True)
class OfCgroup(OfPod):
    """An event that names the cgroup in which it happened."""

    label: str
    """`pod`, `queue-proxy`, `app`, `sandbox`, or the directory's name where the run did not say whose it is."""
    attempt: int | None
    path: str

    @property
    def owner(self) -> Owner:
        """Whose cgroup it is."""
        return Owner(self.pod, "" if self.label == POD_LABEL else self.label, self.attempt)
