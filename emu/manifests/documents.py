"""Files of manifests → documents, each of a known kind. A file may have several, and a List holds more."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from difflib import SequenceMatcher
from functools import partial
from pathlib import Path

from emu.errors import EmuError, raise_all
from emu.files.named import read_once, read_text, source_name
from emu.files.nearest import nearest
from emu.files.yamlfile import Mark, Node, bad, parse_documents
from emu.manifests.clusterconfig import CONFIG_MAPS

SERVING, KSERVE, KEDA = "serving.knative.dev", "serving.kserve.io", "keda.sh"
SCHEDULING = "scheduling.k8s.io"
KSERVE_CONFIG = "inferenceservice-config"
KNOWN_MAPS = (*CONFIG_MAPS, KSERVE_CONFIG)
_VERSIONS = {
    ("Service", SERVING): ("v1",),
    ("Configuration", SERVING): ("v1",),
    ("Revision", SERVING): ("v1",),
    ("InferenceService", KSERVE): ("v1beta1",),
    ("ServingRuntime", KSERVE): ("v1alpha1",),
    ("ClusterServingRuntime", KSERVE): ("v1alpha1",),
    ("Deployment", "apps"): ("v1",),
    ("HorizontalPodAutoscaler", "autoscaling"): ("v2", "v1"),
    ("ScaledObject", KEDA): ("v1alpha1",),
    ("Pod", ""): ("v1",),
    ("PriorityClass", SCHEDULING): ("v1",),
    ("ConfigMap", ""): ("v1",),
    ("Secret", ""): ("v1",),
}
_OF_KNATIVE = ("Service", "Configuration", "Revision")
_GONE = {
    ("HorizontalPodAutoscaler", "autoscaling/v2beta1"): "Kubernetes 1.25",
    ("HorizontalPodAutoscaler", "autoscaling/v2beta2"): "Kubernetes 1.26",
    ("Deployment", "extensions/v1beta1"): "Kubernetes 1.16",
    ("Deployment", "apps/v1beta1"): "Kubernetes 1.16",
    ("Deployment", "apps/v1beta2"): "Kubernetes 1.16",
    **{(kind, f"{SERVING}/{version}"): "Knative 0.19" for kind in _OF_KNATIVE for version in ("v1alpha1", "v1beta1")},
    ("InferenceService", "serving.kubeflow.org/v1alpha2"): "KServe 0.7",
    ("InferenceService", "serving.kubeflow.org/v1beta1"): "KServe 0.7",
}
"""The release that dropped each."""
_OTHERS = {
    "LLMInferenceService": "KServe makes Deployments and a scheduler of it; of KServe's kinds emu reads an "
    "InferenceService",
    "InferenceGraph": "KServe makes a router of it, in front of InferenceServices, each of which emu reads by itself",
    "TrainedModel": "it loads a model into the pods of an InferenceService, which emu reads",
    "DomainMapping": "it gives a Service of Knative another address, and changes no pod",
    "Route": "it splits requests between revisions; a Service of Knative has a Route and a Configuration in one",
    "KnativeServing": "it is Knative's operator's: what is in its spec.config stands in ConfigMaps such as "
    "config-autoscaler, which emu reads",
    "Kustomization": "it names files: give emu what `kubectl kustomize` prints",
    "ScaledJob": "KEDA makes Jobs of it, which end by themselves; emu reads a ScaledObject",
    "StatefulSet": "of what runs pods emu reads a Deployment, a Pod, and Knative's and KServe's objects",
    "DaemonSet": "of what runs pods emu reads a Deployment, a Pod, and Knative's and KServe's objects",
    "Job": "of what runs pods emu reads a Deployment, a Pod, and Knative's and KServe's objects",
    "VerticalPodAutoscaler": "it changes requests of pods, and not their number; emu reads a HorizontalPodAutoscaler",
}
"""Kinds that are taken for ones that emu reads, and what they are."""
_NEAR = 0.8
_LISTED = 6
KINDS = tuple(
    f"{kind} ({group + '/' if group else ''}{' or '.join(versions)})" for (kind, group), versions in _VERSIONS.items()
)
"""What is read, for errors and documentation."""


@dataclass(frozen=True)
class Document:
    """One object of a manifest."""

    kind: str
    group: str
    node: Node = field(repr=False)
    version: str = ""
    """Of its apiVersion, without the group."""

    @property
    def name(self) -> str:
        """Its name; `?` where it has none."""
        metadata = self.node.child("metadata")
        node = metadata.child("name") if metadata is not None else None
        return node.value if node is not None and isinstance(node.value, str) and node.value else "?"

    @property
    def title(self) -> str:
        """How it is named to a reader."""
        return f"{self.kind} {self.name}"


@dataclass(frozen=True)
class Manifests:
    """What the files hold."""

    documents: tuple[Document, ...]
    """All but the ConfigMaps and Secrets."""
    maps: dict[str, Node]
    """The `data` of those ConfigMaps that a cluster is configured with."""
    other_maps: tuple[Document, ...]
    """ConfigMaps that are none of them."""
    secrets: tuple[Document, ...] = ()
    passed_over: tuple[Document, ...] = ()
    """Of kinds that emu does not read, beside others that it does."""


def read_manifests(paths: Sequence[Path], piped: Mapping[Path, str] | None = None) -> Manifests:
    """The files' documents; `piped` are the texts of those that were read before. EmuError or SeveralErrors for what
    is none.
    """
    read_once(paths)
    read = piped or {}
    return _manifests(
        (path, partial(str, read[path]) if path in read else partial(read_text, path, "manifest")) for path in paths
    )


def manifests_in(texts: Iterable[tuple[Path, str]]) -> Manifests:
    """The documents of texts, each with the file that it was read from."""
    return _manifests((path, partial(str, text)) for path, text in texts)


def _manifests(files: Iterable[tuple[Path, Callable[[], str]]]) -> Manifests:
    nodes: list[Node] = []
    errors: list[EmuError] = []
    for path, text in files:
        try:
            nodes += parse_documents(text(), source_name(path))
        except EmuError as error:
            errors.append(error)
    return manifests_of(nodes, errors)


def manifests_of(nodes: Iterable[Node], errors: Iterable[EmuError] = ()) -> Manifests:
    """The documents that were read, after those `errors`."""
    documents, passed_over, found = [], list[tuple[Document, EmuError]](), list(errors)
    for node in _items(nodes):
        try:
            documents.append(_document(node))
        except UnreadError as error:
            passed_over.append((error.document, error))
        except EmuError as error:
            found.append(error)
    raise_all(found if documents else [*found, *_unread(passed_over)])
    return replace(_sorted(documents), passed_over=tuple(document for document, _ in passed_over))


def _unread(passed_over: Sequence[tuple[Document, EmuError]]) -> list[EmuError]:
    """One error for all objects of files that have none of those that emu reads."""
    if len(passed_over) < 2:
        return [error for _, error in passed_over]
    first = passed_over[0][1]
    others = ", ".join(f"{document.title} ({document.node.mark})" for document, _ in passed_over[1:_LISTED])
    more = len(passed_over) - _LISTED
    what = f"{first.what}, nor the others: {others}{f' and {more} more' if more > 0 else ''}"
    return [EmuError(what, first.why, first.fix)]


class UnreadError(EmuError):
    """An object of a kind that emu does not read: passed over beside one that it does."""

    def __init__(self, document: Document, error: EmuError) -> None:
        super().__init__(error.what, error.why, error.fix)
        self.document = document


def _items(nodes: Iterable[Node]) -> list[Node]:
    """Documents, and in place of a List what it holds."""
    found = []
    for node in nodes:
        kind, items = node.child("kind"), node.child("items")
        if kind is not None and kind.value == "List" and items is not None and isinstance(items.value, list):
            found += [item for item in items.value if isinstance(item, Node)]
        else:
            found.append(node)
    return found


def _document(node: Node) -> Document:
    if not isinstance(node.value, dict):
        raise bad(node.mark, "not a manifest", "it is no mapping with apiVersion and kind", MANIFEST_FORM)
    kind, version = (_text(node, name) for name in ("kind", "apiVersion"))
    group, _, number = version.rpartition("/")
    if (kind, version) in _GONE:
        right = next(entry for entry in KINDS if entry.startswith(f"{kind} ")).split("(")[1].removesuffix(")")
        why = f'no matches for kind "{kind}" in version "{version}": it is gone since {_GONE[kind, version]}'
        fix = f"write {right}, whose fields differ"
        raise bad(_mark(node, "apiVersion"), f"apiVersion: {version}", why, fix)
    if (kind, group) in _VERSIONS:
        if number not in _VERSIONS[kind, group]:
            right = f"{group + '/' if group else ''}{_VERSIONS[kind, group][0]}"
            why = f"{kind} is read as {right}"
            raise bad(_mark(node, "apiVersion"), f"apiVersion: {version[:80]}", why, f"write {right}")
        return Document(kind, group, node, number)
    why = _OTHERS.get(kind) or f"known are {', '.join(KINDS)}"
    what = f"kind: emu does not read {article(kind)} {kind[:80]} of {version[:80]}"
    meant = _misspelt(kind)
    if any(kind == known for known, _ in _VERSIONS):
        fix = f"write apiVersion: {next(entry for entry in KINDS if entry.startswith(f'{kind} ')).split('(')[1][:-1]}"
        error = bad(_mark(node, "kind"), what, why, fix)
        raise UnreadError(Document(kind, group, node, number), error) if _is_plain_service(node, version) else error
    if meant is not None:
        raise bad(_mark(node, "kind"), what, why, f"is {meant} meant?")
    fix = "give a file with one of these; others may stand beside it"
    fix = "docs/manifests.md lists the kinds that emu reads; others may stand beside them" if kind in _OTHERS else fix
    error = bad(_mark(node, "kind"), what, why, fix)
    raise UnreadError(Document(kind, group, node, number), error)


def _misspelt(kind: str) -> str | None:
    """The kind that was probably meant: a few letters off. A longer name that has one in it is another kind."""
    meant = nearest(kind, [known for known, _ in _VERSIONS])
    if meant is None or SequenceMatcher(None, kind.lower(), meant.lower()).ratio() < _NEAR:
        return None
    longer = meant.lower() in kind.lower() and kind.lower() not in (meant.lower(), f"{meant.lower()}s")
    return None if longer else meant


def article(word: str) -> str:
    """`a` or `an`, by how the word is said."""
    return "an" if word[:1].upper() in "AEIO" or word.startswith(("LLM", "HTTP")) else "a"


def _is_plain_service(node: Node, version: str) -> bool:
    """Kubernetes' own Service, and not one of Knative with a wrong version."""
    kind, spec = node.child("kind"), node.child("spec")
    template = spec.child("template") if spec is not None else None
    return kind is not None and (kind.value, version) == ("Service", "v1") and template is None


MANIFEST_FORM = "begin it with apiVersion and kind; docs/manifests.md shows what is read"


def _text(node: Node, name: str) -> str:
    below = node.child(name)
    if below is None or not isinstance(below.value, str) or not below.value:
        raise bad(_mark(node, name), f"{name}: missing", "apiVersion and kind name what a manifest is", MANIFEST_FORM)
    return below.value


def _mark(node: Node, name: str) -> Mark:
    below = node.child(name)
    return node.mark if below is None else below.mark


def _sorted(documents: list[Document]) -> Manifests:
    maps: dict[str, Node] = {}
    others: list[Document] = []
    rest: list[Document] = []
    secrets: list[Document] = []
    errors: list[EmuError] = []
    for document in documents:
        if document.kind != "ConfigMap":
            (secrets if document.kind == "Secret" else rest).append(document)
            continue
        if document.name not in KNOWN_MAPS:
            others.append(document)
            continue
        if document.name in maps:
            why = f"it stands at {maps[document.name].mark} already"
            errors.append(bad(document.node.mark, f"a second ConfigMap {document.name}", why, "keep one of them"))
            continue
        maps[document.name] = document.node
    raise_all(errors)
    return Manifests(tuple(rest), maps, tuple(others), tuple(secrets))
