"""What the API server refuses of a Pod or a Deployment, as far as emu looks (pkg/apis/core/validation,
pkg/apis/apps/validation): names, images, ports, variables, mounts, requests and limits, a Deployment's selector.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

from emu.manifests.names import dns1123_label, dns1123_subdomain
from emu.policy.kubelet.objectfiles import wrong_path
from emu.policy.quantity import json_quantity

Spec = dict[str, Any]
Refused = tuple[str, str]
"""The field's path, and what is wrong with it."""
_REQUIRED = "Required value"
_OF_FILES = (("secret", "secretName"), ("configMap", "name"))
_SHARED = ("cpu", "memory", "ephemeral-storage")
"""Resources of which a container may have a limit above its request."""


def refused_name(metadata: Spec) -> Iterator[Refused]:
    """Of an object's own name."""
    name = metadata.get("name", "")
    if not name and not metadata.get("generateName"):
        yield "metadata.name", "Required value: name or generateName is required"
    yield from (("metadata.name", _invalid(name, words)) for words in (dns1123_subdomain(name) if name else ()))


def refused_deployment(spec: Spec) -> Iterator[Refused]:
    """The faults of a Deployment outside its pods."""
    if spec.get("replicas", 0) < 0:
        yield "spec.replicas", f"Invalid value: {spec['replicas']}: must be greater than or equal to 0"
    selector: Spec | None = spec.get("selector")
    labels: dict[str, str] = (spec.get("template", {}).get("metadata") or {}).get("labels") or {}
    wanted: dict[str, str] = (selector or {}).get("matchLabels") or {}
    if selector is None:
        yield "spec.selector", _REQUIRED
    elif not wanted and not selector.get("matchExpressions"):
        yield "spec.selector", "Invalid value: {}: empty selector is invalid for deployment"
    if selector is None or any(labels.get(name) != value for name, value in wanted.items()):
        shown = json.dumps(labels, sort_keys=True, separators=(",", ":"))
        yield "spec.template.metadata.labels", f"Invalid value: {shown}: `selector` does not match template `labels`"
    restarts = spec.get("template", {}).get("spec", {}).get("restartPolicy", "Always")
    if restarts in ("Never", "OnFailure"):
        words = f'Unsupported value: "{restarts}": supported values: "Always"'
        yield "spec.template.spec.restartPolicy", words


def refused_containers(spec: Spec, path: str, *, whole_images: bool) -> Iterator[Refused]:
    """Of a pod's containers; `path` is where its spec is. `whole_images`: no spaces around the name of an image."""
    if not spec.get("containers"):
        yield f"{path}.containers", _REQUIRED
    yield from _volumes(spec.get("volumes") or (), f"{path}.volumes")
    names: set[str] = set()
    volumes = {one.get("name", "") for one in spec.get("volumes") or () if one.get("name")}
    for group in ("containers", "initContainers"):
        for number, container in enumerate(spec.get(group) or ()):
            found = [*_named(container, names), *_image(container, whole=whole_images), *_lists(container, volumes)]
            for key, words in (*found, *_amounts(container.get("resources") or {})):
                yield f"{path}.{group}[{number}].{key}", words


def _volumes(volumes: Sequence[Spec], path: str) -> Iterator[Refused]:
    """Their names, and the files of ConfigMaps and Secrets."""
    names: set[str] = set()
    for number, volume in enumerate(volumes):
        for key, words in (*_files(volume), *_named(volume, names)):
            yield f"{path}[{number}].{key}", words


def _files(volume: Spec) -> Iterator[Refused]:
    sources = [(key, name, volume[key]) for key, name in _OF_FILES if key in volume]
    projected: Spec = volume.get("projected") or {}
    for number, one in enumerate(projected.get("sources") or ()):
        sources += [(f"projected.sources[{number}].{key}", "name", one[key]) for key, _ in _OF_FILES if key in one]
    for path, name, source in sources:
        if not source.get(name):
            yield f"{path}.{name}", _REQUIRED
        yield from _mode(f"{path}.defaultMode", source.get("defaultMode"))
        for number, item in enumerate(source.get("items") or ()):
            where = f"{path}.items[{number}]"
            if not item.get("key"):
                yield f"{where}.key", _REQUIRED
            if wrong := wrong_path(item.get("path", "")):
                yield f"{where}.path", wrong
            yield from _mode(f"{where}.mode", item.get("mode"))
    yield from _mode("projected.defaultMode", projected.get("defaultMode"))


def _mode(path: str, mode: int | None) -> Iterator[Refused]:
    if mode is not None and not 0 <= mode <= 0o777:
        yield path, f"Invalid value: {mode}: must be a number between 0 and 0777 (octal), both inclusive"


def _named(container: Spec, names: set[str]) -> Iterator[Refused]:
    name = container.get("name", "")
    if not name:
        yield "name", _REQUIRED
    elif wrong := dns1123_label(name):
        yield from (("name", _invalid(name, words)) for words in wrong)
    elif name in names:
        yield "name", f'Duplicate value: "{name}"'
    names.add(name)


def _image(container: Spec, *, whole: bool) -> Iterator[Refused]:
    image = container.get("image", "")
    if not image:
        yield "image", _REQUIRED
    elif whole and image != image.strip():
        yield "image", _invalid(image, "must not have leading or trailing whitespace")


def _lists(container: Spec, volumes: set[str]) -> Iterator[Refused]:
    for number, port in enumerate(container.get("ports") or ()):
        value = port.get("containerPort", 0)
        if not value:
            yield f"ports[{number}].containerPort", _REQUIRED
        elif not 1 <= value <= 65535:
            words = f"Invalid value: {value}: must be between 1 and 65535, inclusive"
            yield f"ports[{number}].containerPort", words
    for number, variable in enumerate(container.get("env") or ()):
        if not variable.get("name"):
            yield f"env[{number}].name", _REQUIRED
        if variable.get("valueFrom") and variable.get("value"):
            yield f"env[{number}].valueFrom", _invalid("", "may not be specified when `value` is not empty")
    for number, mount in enumerate(container.get("volumeMounts") or ()):
        name = mount.get("name", "")
        if not name:
            yield f"volumeMounts[{number}].name", _REQUIRED
        if name not in volumes:
            yield f"volumeMounts[{number}].name", f'Not found: "{name}"'
        if not mount.get("mountPath"):
            yield f"volumeMounts[{number}].mountPath", _REQUIRED


def _amounts(resources: Spec) -> Iterator[Refused]:
    read = {
        side: {name: json_quantity(text) for name, text in (resources.get(side) or {}).items()}
        for side in ("limits", "requests")
    }
    for side, amounts in read.items():
        for name, amount in amounts.items():
            if amount.nano < 0:
                yield f"resources.{side}[{name}]", _invalid(str(amount), "must be greater than or equal to 0")
    for name, request in read["requests"].items():
        limit = read["limits"].get(name)
        if name in _SHARED and limit is not None and request.nano > limit.nano:
            words = f"must be less than or equal to {name} limit of {limit}"
            yield "resources.requests", _invalid(str(request), words)


def _invalid(value: str, words: str) -> str:
    return f'Invalid value: "{value}": {words}'


def all_refused(kind: str, metadata: Spec, spec: Spec, pods: Spec, way: Sequence[str]) -> Iterator[Refused]:
    """All of a Pod or a Deployment; `pods` is the spec of its pods, at `way`."""
    yield from refused_name(metadata)
    if kind == "Deployment":
        yield from refused_deployment(spec)
    yield from refused_containers(pods, ".".join(way), whole_images=kind == "Pod")
