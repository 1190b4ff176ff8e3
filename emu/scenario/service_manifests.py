"""A service's `manifest`: what becomes of it takes its place, so that the record of a run has all of it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from emu.errors import EmuError
from emu.files.yamlfile import Mark, Node, parse_documents

_KEY = "manifest"


def take_in(root: Node, source: str) -> None:
    """Put the keys that a manifest makes into each service that has one; its own keys win. `source` is the scenario's
    own path: a file is looked for beside it first. EmuError for a manifest that cannot be read, or is refused.
    """
    services = root.child("services")
    for node in services.value if services is not None and isinstance(services.value, list) else ():
        given = node.child(_KEY) if isinstance(node.value, dict) else None
        if given is None:
            continue
        del node.value[_KEY]
        node.key_marks.pop(_KEY, None)
        if given.value is not None:
            _fill(node, _made(given, source))


def _made(given: Node, source: str) -> Node:
    """The keys of a service that a manifest makes: a file, YAML in a text, or its keys themselves."""
    from emu.manifests.documents import manifests_of, read_manifests  # few scenarios need it
    from emu.manifests.places import put_places
    from emu.manifests.starting import service_of
    from emu.manifests.starting_workload import workload_of

    if isinstance(given.value, str) and "\n" not in given.value:
        beside = Path(source).parent / given.value
        path = beside if os.path.isfile(beside) else Path(given.value)  # noqa: PTH113  never raises
        if not os.path.exists(path):  # noqa: PTH110  never raises
            raise EmuError(
                f"{given.mark}: manifest: there is no file {given.value[:200]!r}",
                f"it is looked for in {Path(source).parent} and in the current directory",
                "name a manifest by its path, or write its YAML here",
            )
        manifests = read_manifests([path])
    elif isinstance(given.value, str):
        manifests = manifests_of(parse_documents(given.value, f"{given.mark} (manifest)"))
    else:
        nodes = given.value if isinstance(given.value, list) else [given]
        manifests = manifests_of([one for one in nodes if isinstance(one, Node)])
    if not manifests.documents:
        raise EmuError(
            f"{given.mark}: manifest: there is no workload in it",
            "a service is made of a Service of Knative, an InferenceService, or a Deployment with its autoscaler",
            "name a manifest by its path, or write its YAML here",
        )
    made = _node(service_of(manifests, str(given.mark)), given.mark)
    put_places(Node(given.mark, {"pod": made}), workload_of(manifests), manifests, otherwise=given.mark)
    return made


def _fill(own: Node, made: Node) -> None:
    for key, value in made.value.items():
        there = own.value.get(key)
        if there is None:
            own.value[key] = value
            own.key_marks[key] = value.mark
        elif isinstance(there.value, dict) and isinstance(value.value, dict):
            _fill(there, value)


def _node(value: Any, mark: Mark) -> Node:
    """Everything is where the manifest is named."""
    if isinstance(value, dict):
        return Node(mark, {key: _node(one, mark) for key, one in value.items()}, key_marks=dict.fromkeys(value, mark))
    if isinstance(value, list):
        return Node(mark, [_node(one, mark) for one in value])
    return Node(mark, value, f"{value}")
