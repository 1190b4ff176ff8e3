"""Files of manifests → an explanation for each object in them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from emu.files.nearest import hint
from emu.files.yamlfile import Node
from emu.manifests.clusterconfig import ClusterConfig, read_cluster
from emu.manifests.clusterkeys import ignored_keys, known_keys
from emu.manifests.decode import decode
from emu.manifests.documents import KSERVE, SCHEDULING, SERVING, Document, Manifests, read_manifests
from emu.manifests.explanation import Explanation, Refusal, place
from emu.manifests.knative_explained import explain_knative
from emu.manifests.kserve_explained import explain_kserve
from emu.manifests.kubernetes_explained import explain_kubernetes
from emu.manifests.priority import explain_class, explain_priority
from emu.manifests.starting_env import objects_of
from emu.manifests.variables_explained import explain_map, explain_secret


def explain_files(paths: Sequence[Path], piped: Mapping[Path, str] | None = None) -> list[Explanation]:
    """What the files hold; the ConfigMaps among them are the cluster's. `piped`: the texts of those that were read
    before. EmuError for what is no manifest.
    """
    return explain(read_manifests(paths, piped))


def explain(manifests: Manifests) -> list[Explanation]:
    """Each object of the manifests, each Secret, and each ConfigMap that is refused or unknown."""
    config, found = _cluster(manifests.maps)
    for document in manifests.other_maps:
        entry = explain_map(document)
        what = "is none that configures Knative or KServe: emu reads it for variables and volumes alone"
        entry.note(f"ConfigMap {document.name} {what}")
        found.append(entry)
    found += [explain_secret(document) for document in manifests.secrets]
    found += [_one(document, config, manifests) for document in manifests.documents]
    return found + [_passed_over(document) for document in manifests.passed_over]


def _passed_over(document: Document) -> Explanation:
    made = Explanation(document, passed_over=True)
    version = f"{document.group}/{document.version}".strip("/")
    without = "a run is without what it does"
    if (document.kind, version) == ("Service", "v1"):
        without = "requests are spread over the ready pods, whatever it selects"
    made.note(f"emu reads no {document.kind} of {version}: {without}")
    return made


def cluster_of(maps: dict[str, Node]) -> ClusterConfig:
    """The cluster's settings; a ConfigMap that Knative refuses counts as absent."""
    return _cluster(dict(maps))[0]


def _one(document: Document, config: ClusterConfig, manifests: Manifests) -> Explanation:
    if document.group == SCHEDULING:
        return explain_class(document, manifests)
    made = _object(document, config, manifests)
    if made.accepted:
        explain_priority(made, manifests)
    return made


def _object(document: Document, config: ClusterConfig, manifests: Manifests) -> Explanation:
    if document.group == SERVING:
        objects = objects_of((*manifests.other_maps, *manifests.secrets))
        return explain_knative(document, config, manifests.maps, objects)
    if document.group == KSERVE:
        return explain_kserve(document, config, manifests)
    return explain_kubernetes(document, manifests)


def _cluster(maps: dict[str, Node]) -> tuple[ClusterConfig, list[Explanation]]:
    """The cluster's settings, and the ConfigMaps of which there is something to say; those that Knative refuses count
    as absent.
    """
    data: dict[str, dict[str, str]] = {}
    found = []
    for name in list(maps):
        entry = Explanation(Document("ConfigMap", "", maps[name]))
        read = decode(maps[name], "ConfigMap")
        entry.refusals = [
            Refusal(one.words, one.mark, "the API server", "quote it: every value of a ConfigMap is a text")
            for one in read.misfits
        ]
        if not read.misfits:
            data[name] = read.value.get("data", {})
            try:
                read_cluster({name: data[name]})
            except ValueError as error:
                key = next((key for key in sorted(data[name], key=len, reverse=True) if key in str(error)), "")
                mark = place(maps[name], f"data.{key}")
                entry.refusals = [Refusal(str(error), mark, "Knative's webhook")]
        if entry.refusals:
            data.pop(name, None)
            maps.pop(name)
            entry.note("the documents below are explained with the defaults in its place")
        for key in ignored_keys(name, data.get(name, {})):
            mark = place(maps[name], f"data.{key}")
            entry.note(f"{name} has no key `{key}`, and it has no effect{hint(key, known_keys(name))}", mark)
        if entry.refusals or entry.notes:
            found.append(entry)
    return read_cluster(data), found
