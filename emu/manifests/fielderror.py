"""What a webhook refuses: a message, the paths of the fields that it is about, and the form in which Knative prints
several (pkg/apis/field_error.go): merged by message, sorted, one a line.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong with a manifest."""

    message: str
    paths: tuple[str, ...] = ()
    details: str = ""
    warning: bool = False
    """It is said, and the manifest is accepted."""

    @property
    def line(self) -> str:
        """As it is printed; the details are a line of their own."""
        text = f"{self.message}: {', '.join(self.paths)}"
        return f"{text}\n{self.details}" if self.details else text


def via(problems: Iterable[Problem], *prefix: str | int) -> list[Problem]:
    """Problems of a part, with the way to it before their paths; an int is an index."""
    steps = [f"[{step}]" if isinstance(step, int) else step for step in prefix]
    return [replace(one, paths=tuple(_joined([*steps, path]) for path in one.paths)) for one in problems]


def _joined(parts: list[str]) -> str:
    steps: list[str] = []
    for step in (step for part in parts for step in part.split(".")):
        if not step:
            continue
        if steps and step.startswith("[") and step.endswith("]"):
            steps[-1] += step
        else:
            steps.append(step)
    return ".".join(steps)


def merged(problems: Iterable[Problem]) -> list[Problem]:
    """Those of the same words as one, with all their paths, in the order in which they are printed."""
    found: dict[tuple[bool, str, str], list[str]] = {}
    for one in problems:
        paths = found.setdefault((one.warning, one.message, one.details), [])
        paths += [path for path in one.paths if path not in paths]
    ordered = sorted(found, key=lambda key: (key[1], key[2], key[0]))
    return [Problem(key[1], tuple(sorted(found[key])), key[2], warning=key[0]) for key in ordered]


def lines(problems: Iterable[Problem]) -> list[str]:
    """The faults, a line each; details are lines too."""
    return "\n".join(one.line for one in merged(one for one in problems if not one.warning)).split("\n")


def missing(*paths: str) -> Problem:
    """A field that there must be."""
    return Problem("missing field(s)", paths)


def invalid(value: Any, path: str, details: str = "") -> Problem:
    """A value that cannot be."""
    return Problem(f"invalid value: {value}", (path,), details)


def disallowed(*paths: str) -> Problem:
    """Fields that may not be set."""
    return Problem("must not set the field(s)", paths)


def out_of_bounds(value: Any, lower: Any, upper: Any, path: str) -> Problem:
    """A number beyond its bounds."""
    return Problem(f"expected {lower} <= {value} <= {upper}", (path,))


def one_of(paths: Iterable[str], *, neither: bool) -> Problem:
    """Several of which exactly one is to be set."""
    return Problem(f"expected exactly one, got {'neither' if neither else 'both'}", tuple(paths))


def only(value: dict[str, Any], allowed: Iterable[str]) -> list[Problem]:
    """The fields of a decoded object that are set and may not be."""
    extra = sorted(value.keys() - set(allowed))
    return [disallowed(*extra)] if extra else []
