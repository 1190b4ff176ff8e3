"""What plays each family of decision cases: one module for a topic.

A module has `FAMILIES`, from a family's name to a function that takes a case's `in` and returns what is compared with
its `expect`. It translates and calls; what is decided, emu's policies decide.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Mapping
from typing import Any

Play = Callable[[Mapping[str, Any]], Mapping[str, Any]]


class UnplayableError(ValueError):
    """A case's `in` is not of its family's form, or asks for more than can be played."""


def played() -> dict[str, Play]:
    """Every family that a module plays, by name."""
    found: dict[str, Play] = {}
    for module in pkgutil.iter_modules(__path__):
        found.update(importlib.import_module(f"{__name__}.{module.name}").FAMILIES)
    return found
