"""The scenario that is made of manifests gets their places: an error in it names the file, line and key that its user
wrote. What stands in no manifest (the load, a default) has the place of the workload.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import NamedTuple

from emu.files.yamlfile import Mark, Node
from emu.manifests import annotations as known
from emu.manifests.documents import KSERVE, Document, Manifests
from emu.manifests.kserve.keys import FRAMEWORKS

_OF_KSERVE = {
    "timeoutSeconds": "timeout",
    "responseStartTimeoutSeconds": "timeout",
    "minScale": "minReplicas",
    "maxScale": "maxReplicas",
    "target": "scaleTarget",
    "metric": "scaleMetric",
}
"""Keys of a scenario, and the component's fields that they are made of."""
_SETTINGS = {one.key.rpartition("/")[2].replace("-", ""): one for one in known.AUTOSCALING}
"""By their names in lower case and without hyphens."""


class _There(NamedTuple):
    """A value of a manifest."""

    node: Node
    path: str

    def child(self, *steps: str | int) -> _There | None:
        """What is below; None where nothing is."""
        node, path = self.node, self.path
        for step in steps:
            below = node.child(step)
            if below is None:
                return None
            path += f"[{step}]" if isinstance(step, int) else f".{step}" if path else str(step)
            node = below
        return _There(node, path)

    @property
    def mark(self) -> Mark:
        """Its place, with its path."""
        return replace(self.node.mark, path=self.path)


def put_places(root: Node, workload: Document, manifests: Manifests, otherwise: Mark | None = None) -> None:
    """Onto a scenario, or a mapping with a `pod`, which is the one that is made of the workload. What stands in no
    manifest is `otherwise`, or where the workload is.
    """
    _spread(root, otherwise or workload.node.mark)
    pod = root.child("pod")
    if pod is None:
        return
    top = _There(workload.node, "")
    spec = _spec(workload, top)
    if spec is None:
        return
    kserve = workload.group == KSERVE
    for key, node in pod.value.items():
        given = spec.child(_OF_KSERVE.get(key, key) if kserve else key)
        if given is not None and key not in ("volumes", "initContainers", "securityContext"):
            _lay(pod, key, node, given)
    serving = _serving(spec) if kserve else _of_list(spec, "containers", None)
    if serving is not None and (app := pod.child("app")) is not None:
        _container(app, serving)
    for key, group in (("sidecars", "containers"), ("initContainers", "initContainers")):
        for node in _items(pod, key):
            if (container := _of_list(spec, group, _name(node))) is not None:
                _container(node, container)
    for node in _items(pod, "volumes"):
        if (volume := _of_list(spec, "volumes", _name(node))) is not None:
            _overlay(node, volume)
    _autoscaling(pod, workload, top, spec, manifests)


def _spec(workload: Document, top: _There) -> _There | None:
    """The pod's spec; of an InferenceService the predictor, which has the pod's fields among its own."""
    if workload.group == KSERVE:
        return top.child("spec", "predictor")
    return top.child("spec") if workload.kind in ("Pod", "Revision") else top.child("spec", "template", "spec")


def _serving(component: _There) -> _There | None:
    for key in ("model", *FRAMEWORKS):
        if (found := component.child(key)) is not None:
            return found
    return component.child("containers", 0)


def _of_list(spec: _There, key: str, name: str | None) -> _There | None:
    """The item of that name; without one the container that has ports, else the first."""
    node = spec.node.child(key)
    found = [spec.child(key, number) for number in range(len(node.value))] if _is_list(node) and node else []
    there = [one for one in found if one is not None]
    if name is not None:
        return next((one for one in there if _name(one.node) == name), None)
    return next((one for one in there if one.node.child("ports") is not None), there[0] if there else None)


def _is_list(node: Node | None) -> bool:
    return node is not None and isinstance(node.value, list)


def _items(node: Node, key: str) -> Iterator[Node]:
    below = node.child(key)
    if below is not None and isinstance(below.value, list):
        yield from (one for one in below.value if isinstance(one, Node))


def _name(node: Node) -> str:
    below = node.child("name")
    return below.value if below is not None and isinstance(below.value, str) else ""


def _container(made: Node, given: _There) -> None:
    """A container, and the program in it, whose keys are the container's."""
    _overlay(made, given)
    program = made.child("program")
    if program is None:
        return
    _overlay(program, given)
    port, its_place = program.child("port"), given.child("ports", 0, "containerPort")
    if port is not None and its_place is not None:
        _lay(program, "port", port, its_place)
    env, variables = program.child("env"), given.node.child("env")
    if env is None or variables is None or not isinstance(variables.value, list) or not isinstance(env.value, dict):
        return
    for number, one in enumerate(variables.value):
        variable = env.child(_name(one)) if isinstance(one, Node) else None
        there = given.child("env", number)
        if variable is not None and there is not None:
            _lay(env, _name(there.node), variable, there.child("value") or there)


def _autoscaling(pod: Node, workload: Document, top: _There, spec: _There, manifests: Manifests) -> None:
    made = pod.child("autoscaling")
    if made is None or not isinstance(made.value, dict):
        return
    for key, kind in (("horizontalPodAutoscaler", "HorizontalPodAutoscaler"), ("scaledObject", "ScaledObject")):
        scalers = [one for one in manifests.documents if one.kind == kind]
        given = _There(scalers[0].node, "").child("spec") if len(scalers) == 1 else None
        if (node := made.child(key)) is not None and given is not None:
            _overlay(node, given)
            made.key_marks[key] = given.mark
    way = (
        ("metadata",) if workload.group == KSERVE or workload.kind == "Revision" else ("spec", "template", "metadata")
    )
    annotations = top.child(*way, "annotations")
    for key, node in made.value.items():
        setting = _SETTINGS.get(key.lower())
        there = next(
            (one for name in (setting.keys if setting else ()) if annotations and (one := annotations.child(name))),
            None,
        )
        if workload.group == KSERVE and key in _OF_KSERVE:
            there = spec.child(_OF_KSERVE[key]) or there
        if there is not None:
            _lay(made, key, node, there)


def _lay(parent: Node, key: str, node: Node, given: _There) -> None:
    """A value at a key of the scenario, from one of a manifest."""
    parent.key_marks[key] = given.mark
    _overlay(node, given)


def _overlay(made: Node, given: _There) -> None:
    """The places of what is there; what is not has that of the nearest around it."""
    _spread(made, given.mark)
    if isinstance(made.value, dict) and isinstance(given.node.value, dict):
        for key, node in made.value.items():
            if (below := given.child(key)) is not None:
                made.key_marks[key] = replace(given.node.key_marks.get(key, below.node.mark), path=below.path)
                _overlay(node, below)
    elif isinstance(made.value, list) and _is_list(given.node):
        for number, node in enumerate(made.value):
            if (below := given.child(number)) is not None:
                _overlay(node, below)
    elif given.node.text:
        made.text = given.node.text


def _spread(node: Node, mark: Mark) -> None:
    node.mark = mark
    node.key_marks = dict.fromkeys(node.key_marks, mark)
    below = (
        node.value.values() if isinstance(node.value, dict) else node.value if isinstance(node.value, list) else ()
    )
    for one in below:
        if isinstance(one, Node):
            _spread(one, mark)
