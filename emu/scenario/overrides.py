"""`--set PATH=VALUE`: changes to a scenario after it was read, before it is checked.

A path is as in `pod.queueProxy.resources.limits.memory`; an item of a list is its index or its name
(`load.phases.0.rate`, `load.phases.steady.rate`); below `env`, `headers` and `expect` the rest of the path is one
key, and so it is below the name of a variant. The changes that a variant makes have the same paths.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from emu.errors import EmuError
from emu.files.nearest import nearest
from emu.files.yamlfile import CONTROL, Mark, Node, one_line, parse
from emu.policy.secrets import masked_argument
from emu.scenario import keys
from emu.scenario.instead import instead_of
from emu.spec import Model, ScenarioSpec

_EXAMPLE = "for example --set pod.queueProxy.resources.limits.memory=32Mi"
_PATHS = "correct it; a path is the keys joined by dots, and an item of a list is its number or its name"


def apply(root: Node, overrides: Sequence[str]) -> None:
    """Make each change, in order, in place. EmuError when a path leads nowhere or a value is not YAML."""
    for override in overrides:
        path, equals, text = override.partition("=")
        unfit = CONTROL.search(override)
        if unfit is not None:
            what = one_line(f"--set {masked_argument(override)!r}: a control character ({unfit[0]!r})")
            raise EmuError(what, "values of a scenario cannot contain one", "remove it")
        if not equals or not path:
            what = one_line(f"--set {override}: not in the form PATH=VALUE")
            raise EmuError(what, "there is no `=` after a path", _EXAMPLE)
        _Setter(path, root, Mark(f"--set {path}")).put(_Given(path, text))


def put(root: Node, path: str, value: Node, place: Mark) -> None:
    """Make one change in place, its value read already. `place` is where errors say it is."""
    _Setter(path, root, place).put(lambda _key: value)


@dataclass(frozen=True)
class _Given:
    """The value of a `--set`, read once it is known whether text belongs there."""

    path: str
    text: str

    def __call__(self, key: keys.Key | None) -> Node:
        if key is None or (key.kind == "text" and (key.required or self.text not in ("", "null"))):
            return _text(self.path, self.text)
        return _value(self.path, self.text)


def _value(path: str, text: str) -> Node:
    source = f"--set {path}"
    if not text.strip():
        return Node(Mark(source), None)
    return parse(text, source, lines=False)


def _text(path: str, text: str) -> Node:
    """Where text belongs, it is taken as it stands: a shell takes quotes away, and it could be nothing else. Quotes
    that are still there are YAML's.
    """
    if text[:1] in ("'", '"'):
        return _value(path, text)
    return Node(Mark(f"--set {path}"), text, text)


class _Setter:
    """Walks a path down the file and the models at once, making mappings on the way."""

    def __init__(self, path: str, root: Node, mark: Mark) -> None:
        self._mark = mark
        self._place = f"{mark}: {path}" if mark.line else str(mark)
        self._steps = path.split(".")
        self._root = root

    def put(self, value_for: Callable[[keys.Key | None], Node]) -> None:
        """Put the value where the path leads; `value_for` gives it for the key (None: one of the user's own)."""
        node = self._root
        model: type[Model] = ScenarioSpec
        index = 0
        while True:
            key = self._key(model, index)
            index += 1
            if index == len(self._steps):
                self._put_in(node, key.name, value_for(key))
                return
            if key.free:
                node = self._mapping_below(node, key.name)
                if key.kind == keys.NAMED_CHANGES:
                    if index + 1 < len(self._steps):
                        node = self._mapping_below(node, self._steps[index])
                        index += 1
                    self._put_in(node, ".".join(self._steps[index:]), value_for(key))
                else:
                    self._put_in(node, ".".join(self._steps[index:]), value_for(None))
                return
            if key.many:
                items = self._items(node.child(key.name))
                item = self._item(items, index)
                index += 1
                if index == len(self._steps):
                    items[item] = value_for(key)
                    return
            if key.below is None:
                raise self._error(f"`{self._before(index)}` has no keys below it", f"it is a {key.kind}")
            node = self._mapping(items[item]) if key.many else self._mapping_below(node, key.name)
            model = key.below

    def _key(self, model: type[Model], index: int) -> keys.Key:
        known = keys.keys_of(model)
        step = self._steps[index]
        if step in known:
            return known[step]
        before = self._before(index)
        meant = nearest(step, list(known))
        near = f"did you mean `{'.'.join(part for part in (before, meant) if part)}`?" if meant else _EXAMPLE
        fix = instead_of(step, model) or near
        where = f"`{before}`" if before else "the top"
        raise self._error(f"there is no key {step!r}", f"{where} has: {', '.join(known)}", fix=fix)

    def _item(self, items: list[Node], index: int) -> int:
        names = [str(name.value) if (name := item.child("name")) is not None else "" for item in items]
        step = self._steps[index]
        if step in names:
            return names.index(step)
        if step.isascii() and step.isdigit() and len(step) < 6 and int(step) < len(items):
            return int(step)
        there = [name or str(number) for number, name in enumerate(names)]
        before = self._before(index)
        what = f"`{before}` has no item {step!r}"
        if not there:
            raise self._error(what, "it has none in this scenario", fix=f"add it to `{before}` in the file")
        raise self._error(
            what, f"it has: {', '.join(there)}", nearest(step, there), f"name one of these under `{before}`"
        )

    def _error(self, what: str, why: str, meant: str | None = None, fix: str = _EXAMPLE) -> EmuError:
        if fix is _EXAMPLE and self._mark.line:
            fix = _PATHS
        fix = f"did you mean `{meant}`?" if meant else fix
        return EmuError(one_line(f"{self._place}: {what}"), one_line(why), one_line(fix))

    def _before(self, index: int) -> str:
        return ".".join(self._steps[:index])

    def _items(self, node: Node | None) -> list[Node]:
        return node.value if node is not None and isinstance(node.value, list) else []

    def _mapping_below(self, node: Node, name: str) -> Node:
        below = node.child(name)
        if below is None or below.value is None:
            below = Node(self._mark, {})
            self._put_in(node, name, below)
        return self._mapping(below)

    def _mapping(self, node: Node) -> Node:
        if not isinstance(node.value, dict):
            why = f"the value at {node.mark} is not a mapping"
            raise self._error("cannot go below it", why, fix="correct that value first")
        return node

    def _put_in(self, node: Node, name: str, value: Node) -> None:
        node.value[name] = value
        node.key_marks[name] = self._mark
