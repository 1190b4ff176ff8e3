"""Variables whose values are in ConfigMaps among the files → variables with their values, as the kubelet makes them
(pkg/kubelet/kubelet_pods.go).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from emu.manifests.decode import decode
from emu.manifests.documents import Document

Data = Mapping[str, Mapping[str, str]]
"""Of each ConfigMap, by its name."""


def data_of(maps: Sequence[Document]) -> Data:
    """Their data."""
    return {one.name: decode(one.node, one.kind).value.get("data") or {} for one in maps}


def with_values(spec: Mapping[str, Any], data: Data) -> dict[str, Any]:
    """A pod's spec with `envFrom` and `configMapKeyRef` filled in where the ConfigMap is among the files."""
    groups = (group for group in ("initContainers", "containers") if spec.get(group))
    return {**spec, **{group: [_container(one, data) for one in spec[group]] for group in groups}}


def _container(container: Mapping[str, Any], data: Data) -> dict[str, Any]:
    sources = container.get("envFrom") or []
    read = [one for one in sources if _map_of(one.get("configMapRef")) in data]
    taken = {
        f"{one.get('prefix', '')}{key}": value
        for one in read
        for key, value in data[_map_of(one["configMapRef"])].items()
    }
    env = [_variable(one, data) for one in container.get("env") or ()]
    named = {one.get("name") for one in env}
    first = [{"name": key, "value": _literal(value)} for key, value in taken.items() if key not in named]
    made = {**container, "env": [*first, *env], "envFrom": [one for one in sources if one not in read]}
    return {key: value for key, value in made.items() if value or key not in ("env", "envFrom")}


def _variable(one: Mapping[str, Any], data: Data) -> Mapping[str, Any]:
    reference = (one.get("valueFrom") or {}).get("configMapKeyRef") or {}
    value = data.get(_map_of(reference), {}).get(str(reference.get("key")))
    return one if value is None else {"name": one["name"], "value": _literal(value)}


def _map_of(reference: Mapping[str, Any] | None) -> str:
    return str((reference or {}).get("name", ""))


def _literal(value: str) -> str:
    """No variable is filled in in what a ConfigMap has."""
    return value.replace("$", "$$")
