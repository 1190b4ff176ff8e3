"""What emu says of a manifest: values with where each comes from, notes, and refusals with their places."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from emu.files.yamlfile import Mark, Node
from emu.manifests.documents import Document
from emu.manifests.fielderror import Problem, merged
from emu.manifests.waysout import of_problem

DEFAULT = "default"
_ENDS = (".", "[", "=", " ")
_VOLUME = re.compile(r"but found \w[\w ]* (?:volume|claim) (\S+)")


@dataclass(frozen=True)
class Value:
    """One setting: what it is, where that comes from, and how it was worked out."""

    name: str
    text: str
    source: str
    """A place in a file, with the annotation or ConfigMap; or `default`."""
    how: str = ""


@dataclass(frozen=True)
class Note:
    """A note on a field that is accepted and has no effect, or another than it seems to have."""

    text: str
    mark: Mark | None = None


@dataclass(frozen=True)
class Refusal:
    """A field that a webhook or the API server refuses, in its words."""

    words: str
    """One line, or two: the second has details."""
    mark: Mark
    by: str
    fix: str = ""


@dataclass
class Explanation:
    """What is said of one document: values with their sources, notes, and refusals."""

    document: Document
    values: list[Value] = field(default_factory=list)
    notes: list[Note] = field(default_factory=list)
    refusals: list[Refusal] = field(default_factory=list)
    passed_over: bool = False
    """emu does not read its kind."""

    @property
    def accepted(self) -> bool:
        """Whether the object would be made."""
        return not self.refusals

    def add(self, name: str, value: Any, source: str = DEFAULT, how: str = "") -> None:
        """One value more."""
        self.values.append(Value(name, plain(value), source, how))

    def note(self, text: str, mark: Mark | None = None) -> None:
        """One note more, each once."""
        if all(note.text != text for note in self.notes):
            self.notes.append(Note(text, mark))

    def as_json(self) -> dict[str, Any]:
        """What `emu explain --json` prints of it."""
        return {
            "kind": self.document.kind,
            "name": self.document.name,
            "source": str(self.document.node.mark),
            "accepted": self.accepted,
            "passed_over": self.passed_over,
            "refusals": [
                {"words": one.words, "place": str(one.mark), "by": one.by, "fix": one.fix} for one in self.refusals
            ],
            "values": [
                {"name": one.name, "value": one.text, "source": one.source, "how": one.how} for one in self.values
            ],
            "notes": [{"text": one.text, "place": str(one.mark) if one.mark else ""} for one in self.notes],
        }


def plain(value: Any) -> str:
    """A value as a reader writes it."""
    if value is None:
        return "none"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:.6f}".rstrip("0").rstrip(".") if abs(value) < 1e15 else f"{value:g}"
    return str(value)


def node_at(root: Node, path: Sequence[str | int]) -> Node | None:
    """The node at the end of a path of keys and indices; None where there is none."""
    node: Node | None = root
    for step in path:
        node = node.child(step) if node is not None else None
    return node


def place(root: Node, path: str) -> Mark:
    """Where the field is that a path of Knative's names, or the deepest part of the way to it that there is. Keys may
    have dots in them, and a path may end in words.
    """
    return _walk(root, path)[1]


def found(root: Node, path: str) -> Node | None:
    """The value there; None where there is none."""
    node, _, rest = _walk(root, path)
    return None if rest else node


def _walk(root: Node, path: str) -> tuple[Node, Mark, str]:
    """As far as the way is there: the node, its place, and what is left of the path."""
    node, mark = root, root.mark
    rest = path
    while rest:
        rest = rest.removeprefix(".")
        step = _step(node, rest)
        below = None if step is None else node.child(step[0])
        if step is None or below is None:
            break
        key, length = step
        mark = node.key_marks.get(str(key), below.mark) if isinstance(node.value, dict) else below.mark
        node, rest = below, rest[length:]
    return node, mark, rest


def _step(node: Node, rest: str) -> tuple[str | int, int] | None:
    """The next key or index of a path, and how long it is there."""
    inside, closing, _ = rest[1:].partition("]") if rest.startswith("[") else ("", "", "")
    if closing:
        if isinstance(node.value, list):
            return (int(inside), len(inside) + 2) if inside.isdecimal() and len(inside) < 9 else None
        if isinstance(node.value, dict):
            return (inside, len(inside) + 2) if inside in node.value else None
    if not isinstance(node.value, dict):
        return None
    fitting = [key for key in node.value if key and (rest == key or rest.startswith(tuple(key + e for e in _ENDS)))]
    best = max(fitting, key=len, default=None)
    return None if best is None else (best, len(best))


def refusals(problems: Iterable[Problem], root: Node, by: str) -> list[Refusal]:
    """The refusals, sorted as the webhook sorts them, each with its place."""
    made = []
    for problem in merged(one for one in problems if not one.warning):
        mark = place(root, problem.paths[0]) if problem.paths else root.mark
        if not problem.paths and (volume := _VOLUME.search(problem.message)) is not None:
            mark = _volume(root, volume[1]) or mark
        quoted = problem.message.partition('"')[2].partition('"')[0]
        if problem.message.startswith("invalid key name") and quoted:
            mark = place(root, f"{problem.paths[0]}.{quoted}")
        made.append(Refusal(problem.line, mark, by, of_problem(problem)))
    return made


def _volume(root: Node, name: str) -> Mark | None:
    """Where the volume of that name is; a claim's is in the volume."""
    spec = node_at(root, ("spec", "template", "spec")) or node_at(root, ("spec",))
    volumes = spec.child("volumes") if spec is not None else None
    for node in volumes.value if volumes is not None and isinstance(volumes.value, list) else ():
        claim = node_at(node, ("persistentVolumeClaim", "claimName"))
        if name in {one.value for one in (node.child("name"), claim) if one is not None}:
            return node.mark if isinstance(node, Node) else None
    return None


def source_of(node: Node | None, *way: str | int) -> str:
    """Where a value stands; `default` where it does not."""
    there = node_at(node, way) if node is not None else None
    return str(there.mark) if there is not None else DEFAULT
