"""Variants of a scenario: the same question asked several times, each time with a few keys changed.

    variants:
      never: {}
      at-once:
        pod.freezer.grace: 0s

A variant is a scenario of its own, called `<scenario>-<variant>`. What is expected without naming a variant is
expected of each; lines that speak of `variants.NAME.…` compare them, and belong to the whole.
"""

from __future__ import annotations

import re

from emu.errors import EmuError
from emu.files.yamlfile import Mark, Node, one_line
from emu.policy.expectations import VARIANTS
from emu.scenario import overrides

_NAMES_ONE = re.compile(rf"(?<![^\s*<>=]){VARIANTS}\.")
_CHANGEABLE = ("pod", "pods", "services", "load", "starts", "node", "recorder", "expect")


def variant_root(root: Node, name: str) -> Node:
    """The scenario that a variant is: `root` without its variants, and with the changes of this one, each with its
    place in the file. EmuError for a path that leads nowhere, or that no variant can change.
    """
    made = root.copy()
    changes = _taken(made, VARIANTS).child(name)
    assert changes is not None
    _keep_own_expectations(made)
    title = made.child("name")
    if title is not None:
        made.value["name"] = Node(title.mark, f"{title.value}-{name}", f"{title.value}-{name}")
    for path, value in (changes.value or {}).items():
        place = changes.key_marks.get(path, value.mark)
        _check_path(path, place)
        overrides.put(made, path, value, place)
    return made


def _taken(node: Node, key: str) -> Node:
    node.key_marks.pop(key, None)
    taken = node.value.pop(key)
    assert isinstance(taken, Node)
    return taken


def _keep_own_expectations(root: Node) -> None:
    expect = root.child("expect")
    if expect is None or not isinstance(expect.value, dict):
        return
    for name, text in list(expect.value.items()):
        if is_comparison(name, str(text.plain())):
            del expect.value[name]


def is_comparison(name: str, text: str) -> bool:
    """Whether a line of `expect` speaks of variants by name."""
    return _NAMES_ONE.search(f"{name} {text}") is not None


def _check_path(path: str, place: Mark) -> None:
    first = path.split(".")[0]
    if first in _CHANGEABLE:
        return
    why = f"a variant changes {', '.join(_CHANGEABLE)}; all of them run on one machine and answer one question"
    known = first in ("name", "question", "sandbox", VARIANTS)
    what = f"{place}: {path}: " + ("no variant can change that" if known else f"there is no key {first!r}")
    raise EmuError(one_line(what), why, "move it to the top of the file, or correct the path")
