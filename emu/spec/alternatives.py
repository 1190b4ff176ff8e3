"""What a scenario has of `pod`, `pods` and `services`: one of them."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from emu.spec.pod import PodSpec
from emu.spec.pods import NamedPodSpec
from emu.spec.values import SpecError, distinct


def gives_pod(pod: PodSpec, given: Collection[str]) -> bool:
    """Whether the file has `pod`, if only as `{}`; `given`: its keys at the top. The record of a run has it beside
    `services` and `pods` too, with every default.
    """
    filled = {"runtime", "app", "queue_proxy"} <= pod.model_fields_set
    return "pod" in given and (pod != PodSpec() or not filled)


def check(pod: PodSpec, pods: Sequence[NamedPodSpec], *, starts: bool, given: Collection[str]) -> None:
    """SpecError for two of them, and for `pods` that cannot be together. `given`: the keys at the top."""
    if not pods:
        return
    distinct((one.name for one in pods), "two pods have the name", ("pods",))
    if gives_pod(pod, given):
        raise SpecError(
            "a scenario has either `pod` or `pods`, not both",
            why="`pod` is the short form for a scenario with one pod",
            fix="move it into `pods`, with a name",
            at=("pod",),
        )
    if starts:
        raise SpecError(
            "a scenario has either `starts` or `pods`, not both",
            why="starts are measured on one pod",
            fix="remove one of them",
            at=("starts",),
        )
    for index, one in enumerate(pods):
        if one.runtime != pods[0].runtime:
            first = pods[0]
            raise SpecError(
                f"the pod {one.name} has the runtime {one.runtime}, and {first.name} has {first.runtime}",
                why="one runtime runs all pods of a node",
                fix="give all pods the same runtime",
                at=("pods", index, "runtime"),
            )


def check_lists(lists: dict[str, Sequence[object]], given: Collection[str]) -> None:
    """SpecError where all that a file has of them is an empty list."""
    for key, found in lists.items():
        if {"pod", *lists}.intersection(given) == {key} and not found:
            raise SpecError(
                f"`{key}` is empty",
                why="there would be nothing to run",
                fix="add one, or remove it: then it is the pod that emu runs by default",
                at=(key,),
            )
