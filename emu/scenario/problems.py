"""A scenario's faults, as one error with its place, from what the models found."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from emu.errors import EmuError
from emu.files.nearest import nearest
from emu.files.yamlfile import Mark, Node, one_line
from emu.policy.secrets import MASK
from emu.scenario import keys
from emu.scenario.instead import instead_of
from emu.spec import SpecError
from emu.spec.values import IN_WORDS
from emu.units import format_bytes, format_seconds

Path = tuple[str | int, ...]

_LONGEST_SHOWN = 60
_LONGEST_REASON = 120
_MANY_CPUS = 100
"""More than that is probably meant in thousandths."""
_EXAMPLES = {
    "size": "64Mi, 1.5Gi, or bytes",
    "size or `max`": "64Mi, 1.5Gi, bytes, or max for no limit",
    "size, or `max`": "64Mi, 1.5Gi, bytes, or max for no limit",
    "duration": "250ms, 10s, 1m30s, or seconds",
    "duration or `forever`": "10s, or forever",
    "CPU": "0.5 or 500m",
    "whole number": "a number without a fraction or a unit",
    "number": "a number without a unit",
    "true or false": "true or false",
    "name": "lower-case letters, digits and -, as in steady-1, at most 63",
    "file name": "letters, digits, -, _ and ., no folders",
    "file": "a name of letters, digits, -, _ and ., or the path of a file in a mounted volume",
    "folder": "a path from the root, as in /mnt/models: letters, digits, -, _ and .",
    "text": "text; quote a number to make it text",
    keys.NAMED_CHANGES: "a name for each, and below it `PATH: VALUE` pairs, as in `pod.freezer.grace: 2s`",
    "mapping": "`PATH: VALUE` pairs, as in `pod.freezer.grace: 2s`",
    "mapping of text": "`name: text` pairs; quote a number to make it text",
}


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong, where, and what to do."""

    mark: Mark
    path: Path
    what: str
    why: str
    fix: str
    first: bool = False
    """An unknown key: reported before others, as it may be their cause."""

    @property
    def order(self) -> tuple[bool, int, int]:
        """Unknown keys first, then as in the file."""
        return (not self.first, self.mark.line, self.mark.column)


def errors_of(problems: Iterable[Problem]) -> list[EmuError]:
    """Each problem as an error with its place, in the order in which they are reported."""
    return [_error(problem) for problem in sorted(problems, key=lambda problem: problem.order)]


def _error(problem: Problem) -> EmuError:
    place = problem.mark.path or dotted(problem.path)
    if problem.mark.source.startswith("--set ") and problem.mark.source.count(".") == place.count("."):
        place = ""
    what = f"{problem.mark}: {place}: {problem.what}" if place else f"{problem.mark}: {problem.what}"
    return EmuError(one_line(what), one_line(problem.why), one_line(problem.fix))


def dotted(path: Sequence[str | int]) -> str:
    """A path as `--set` takes it: `load.phases.0.rate`."""
    return ".".join(str(step) for step in path)


def problems_of(error: ValidationError, root: Node) -> list[Problem]:
    """Each thing that the models refused, with its place in the file."""
    details: list[dict[str, Any]] = [dict(detail) for detail in error.errors(include_url=False)]
    misspelt = {
        (*detail["loc"][:-1], nearest(str(detail["loc"][-1]), _known(detail["loc"][:-1])))
        for detail in details
        if detail["type"] == "extra_forbidden"
    }
    places = [tuple(detail["loc"]) for detail in details]
    return [
        problem
        for detail in details
        if detail["type"] != "missing" or tuple(detail["loc"]) not in misspelt
        if not (detail["type"] == "too_short" and any(_is_below(one, tuple(detail["loc"])) for one in places))
        for problem in _found(detail, root)
    ]


def _is_below(path: Path, around: Path) -> bool:
    """Of a list whose items are wrong pydantic says that it has none, too."""
    return len(path) > len(around) and path[: len(around)] == around


def mark_of(path: Path, root: Node, *, key: bool = False) -> Mark:
    """The place of a value, or of its key; of the nearest mapping around it where it is not in the file."""
    node = root
    for index, step in enumerate(path):
        below = node.child(step)
        if below is None:
            return node.mark
        if key and index == len(path) - 1:
            return node.key_marks.get(str(step), below.mark)
        node = below
    return node.mark


def _found(detail: dict[str, Any], root: Node) -> list[Problem]:
    if detail["type"] == "value_error":
        return refused(_path(detail), detail["ctx"]["error"], root)
    return [_problem(detail, root)]


def _path(detail: dict[str, Any]) -> Path:
    return tuple(step for step in detail["loc"] if step != "[key]")


def _problem(detail: dict[str, Any], root: Node) -> Problem:
    path = _path(detail)
    kind, context = detail["type"], detail.get("ctx", {})
    detail = {**detail, "input": MASK if "secrets" in path else _as_written(path, root, detail.get("input"))}
    if kind == "extra_forbidden":
        return _unknown_key(path, root)
    if kind == "missing":
        return _missing(path, root)
    key = keys.find(path)
    if kind.startswith("string_"):
        what, why, fix = _mistaken_text(kind, context, detail.get("input"), key)
    else:
        what, why = _mistyped(kind, context, detail, key)
        fix = _remedy(key, detail.get("input"))
    return Problem(mark_of(path, root), path, what, why, fix)


def _as_written(path: Path, root: Node, given: Any) -> Any:
    """The value as its user wrote it: of a scenario that was made of manifests, theirs."""
    node: Node | None = root
    for step in path:
        node = node.child(step) if node is not None else None
    if node is None or not node.mark.path or not node.text:
        return given
    return int(node.text) if node.text.isascii() and node.text.isdigit() and len(node.text) < 20 else node.text


def _unknown_key(path: Path, root: Node) -> Problem:
    known = _known(path[:-1])
    model = keys.model_at(path[:-1])
    meant = nearest(str(path[-1]), known)
    where = f"`{dotted(path[:-1])}`" if path[:-1] else "the top"
    why = f"{where} has: {', '.join(known)}"
    fix = instead_of(str(path[-1]), model) or (f"did you mean `{meant}`?" if meant else _elsewhere(str(path[-1])))
    return Problem(mark_of(path, root, key=True), path, "there is no such key", why, fix, first=True)


def _elsewhere(word: str) -> str:
    plain = word.lower().replace("_", "").replace("-", "")
    places = [path for path, key in keys.all_paths() if key.name.lower() == plain]
    if places:
        return f"it belongs elsewhere: {' or '.join(f'`{place}`' for place in places[:3])}"
    return "remove it; docs/scenario-file.md documents every key"


def _missing(path: Path, root: Node) -> Problem:
    key = keys.find(path)
    why = f"it has no default; {key.meaning[0].lower()}{key.meaning[1:]}".rstrip(".") if key else "it has no default"
    example = key.choices[0] if key and key.choices else "…"
    return Problem(mark_of(path, root), path, "it is missing", why, f"add `{path[-1]}: {example}` here")


def refused(path: Path, error: ValueError, root: Node) -> list[Problem]:
    """What a check of the model at `path` complains of."""
    if isinstance(error, SpecError):
        return [_refused(path, one, root) for one in (error, *error.others)]
    what, _, fix = str(error).partition("; ")
    key = keys.find(path)
    return [Problem(mark_of(path, root), path, what, _reason(key), fix or _remedy(key, None))]


def _refused(path: Path, error: SpecError, root: Node) -> Problem:
    place = (*path, *error.at)
    key = keys.find(place)
    around = keys.find(place[:-1])
    whole = bool(error.at) and around is not None and around.free
    why, fix = error.why or _reason(key), error.fix or _remedy(key, None)
    return Problem(mark_of(place, root, key=whole), place, error.what, why, fix)


def _mistyped(kind: str, context: dict[str, Any], detail: dict[str, Any], key: keys.Key | None) -> tuple[str, str]:
    value = shown(detail.get("input"))
    expects = _reason(key)
    if kind == "literal_error":
        return f"{value} is not an allowed value", f"it is one of {context['expected']}"
    for name, words in (("ge", "at least"), ("gt", "above"), ("le", "at most"), ("lt", "below")):
        if name in context:
            side = "small" if name in ("ge", "gt") else "large"
            return f"{value} is too {side}", f"it must be {words} {_bound(context[name], key)}"
    if kind in ("model_type", "model_attributes_type", "dict_type"):
        return f"{value} instead of a mapping", _below(key)
    if kind == "tuple_type":
        return f"{value} instead of a list", "each item begins with `- `, or the items are in [ ]"
    if kind == "int_from_float":
        return f"{value} is not a whole number", expects
    if kind in ("too_short", "too_long"):
        least, most = context.get("min_length"), context.get("max_length")
        why = f"it needs at least {least}" if kind == "too_short" else f"it may have at most {most}"
        return f"a list with {context['actual_length']} items", why
    if isinstance(detail.get("input"), dict | list):
        return f"{value} instead of {_a(key)}", expects
    return f"{value} is not {_a(key)}", expects


def _mistaken_text(kind: str, context: dict[str, Any], given: Any, key: keys.Key | None) -> tuple[str, str, str]:
    """What, why and fix of a text that is no text, is empty, too long, or not made as it must be."""
    value = shown(given)
    if kind == "string_too_short":
        return (
            f"{value} is empty",
            f"it needs {_counted(context['min_length'])}",
            "fill it in, or remove it",
        )
    if kind == "string_too_long":
        return f"{value} is too long", f"it has at most {_counted(context['max_length'])}", "shorten it"
    if (words := IN_WORDS.get(context.get("pattern", ""))) is not None:
        return f"{value} is not a valid {words[0]}", *words[1:]
    if kind == "string_pattern_mismatch":
        return f"{value} is not a valid {key.kind if key else 'text'}", f"it is {_example(key)}", _remedy(key, None)
    if given == MASK:
        return "it is not text", _reason(key), "write text, in quotes"
    if isinstance(given, bool | int | float):
        return f"{value} is not text", f"without quotes it is {_yaml_kind(given)}", f'quote it: "{value}"'
    return f"{value} instead of {_a(key)}", _reason(key), f"write {_example(key)}"


def _yaml_kind(given: bool | float) -> str:
    return "true or false" if isinstance(given, bool) else "a number"


def _counted(count: int) -> str:
    return "one character" if count == 1 else f"{count} characters"


def _reason(key: keys.Key | None) -> str:
    """What the key means, where that is short; else what its value is."""
    meaning = key.meaning.partition(". ")[0].rstrip(".") if key is not None else ""
    if key is None or not meaning or len(meaning) > _LONGEST_REASON or meaning.startswith("As of a "):
        return f"it is {_a(key)}"
    begin = meaning[0].lower() if meaning[1:2].islower() else meaning[0]
    return f"{key.name}: {begin}{meaning[1:]}"


def _a(key: keys.Key | None) -> str:
    if key is None or key.choices:
        return "a valid value"
    return f"{'' if key.kind in ('CPU', 'text', 'true or false') else 'a '}{key.kind}"


def _bound(bound: Any, key: keys.Key | None) -> str:
    if key is not None and key.kind.startswith("size"):
        return format_bytes(bound)
    if key is not None and key.kind.startswith("duration"):
        return format_seconds(bound)
    if key is not None and key.kind == "CPU":
        return f"{bound // 1000} CPUs" if bound % 1000 == 0 else f"{bound}m"
    return f"{bound:g}" if isinstance(bound, float) else str(bound)


def _remedy(key: keys.Key | None, value: Any) -> str:
    if key is None:
        return "correct it; docs/scenario-file.md documents every key"
    if key.choices:
        meant = nearest(str(value), key.choices)
        return f"did you mean `{meant}`?" if meant else f"write one of {', '.join(key.choices)}"
    if key.kind == "CPU" and isinstance(value, int) and value >= _MANY_CPUS:
        return f"write {value}m if thousandths of a CPU are meant"
    if key.kind == "text" and isinstance(value, int | float):
        return f'quote it to make it text: "{value}"'
    return f"write {_example(key)}"


def _example(key: keys.Key | None) -> str:
    if key is None:
        return "what docs/scenario-file.md documents"
    if key.below is not None:
        names = ", ".join(f"{name}: …" for name in list(keys.keys_of(key.below))[:3])
        return f"its keys below it, indented ({names})" if not key.many else f"a list, its items as `- {names}`"
    if key.kind.startswith("list of "):
        return f"a list: [{key.kind.removeprefix('list of ')}, …]"
    return _EXAMPLES.get(key.kind, key.kind)


def _below(key: keys.Key | None) -> str:
    if key is None or key.below is None:
        return "it has keys below it"
    return f"it has keys: {', '.join(keys.keys_of(key.below))}"


def _known(path: Path) -> list[str]:
    model = keys.model_at(path)
    return list(keys.keys_of(model)) if model is not None else []


def shown(value: Any) -> str:
    """A value found in the file, as a person would name it, never long."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list):
        return "a list"
    text = repr(value)
    return text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]}…"
