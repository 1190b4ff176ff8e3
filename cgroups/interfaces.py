"""Control files of cgroup v2 as descriptors, on cgroupspy's interfaces.

cgroupspy's interface turns a file of a controller into an attribute: reading it reads the file, setting it writes.
Its files are those of cgroup v1. Here a file that the kernel does not have reads as `None`, "max" reads as
`NO_LIMIT`, a result is a typed value, and a value that cannot be is refused before the kernel sees it.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, Generic, Self, TypeVar, overload

from cgroupspy import interfaces

from cgroups import parse
from cgroups.errors import BadValue
from cgroups.values import NO_LIMIT, Limit

Got = TypeVar("Got")
Put = TypeVar("Put")


class ControlFile(interfaces.BaseFileInterface, Generic[Got, Put]):  # type: ignore[misc]  # cgroupspy has no types
    """A control file as an attribute. Reading gives the typed value, or `None` where this kernel has no such file.

    Raises what `cgroups.files` raises, and `BadValue` for a text or a value that is not in the file's format.
    """

    filename: bytes

    @overload
    def __get__(self, instance: None, owner: type) -> Self: ...
    @overload
    def __get__(self, instance: Any, owner: type) -> Got | None: ...
    def __get__(self, instance: Any, owner: type) -> Self | Got | None:
        if instance is None:
            return self
        if self.writeonly:
            raise AttributeError(f"{self.name} can only be written")
        text: str | None = instance.get_property(self.filename)
        if text is None:
            return None
        try:
            return self.sanitize_get(text)
        except BadValue as error:
            raise BadValue(
                f"{error.what} of {os.fsdecode(instance.filepath(self.filename))}", error.why, error.fix
            ) from error

    def __set__(self, instance: Any, value: Put) -> None:
        if self.readonly:
            raise AttributeError(f"{self.name} can only be read")
        instance.set_property(self.filename, self.sanitize_set(value))

    @property
    def name(self) -> str:
        """The file's name, "memory.max"."""
        return os.fsdecode(self.filename)

    def sanitize_get(self, value: str) -> Got:
        """The typed value of the file's text."""
        raise NotImplementedError

    def sanitize_set(self, value: Put) -> object:
        """What to write for a value; str() of it goes to the kernel."""
        return value


class ReadFile(ControlFile[Got, None]):
    """A file to read only, parsed by a function of `cgroups.parse`."""

    readonly = True

    def __init__(self, filename: str, parse_text: Callable[[str], Got]) -> None:
        super().__init__(filename)
        self.parse_text = parse_text

    def sanitize_get(self, value: str) -> Got:
        """The typed value of the file's text."""
        return self.parse_text(value)


class FlagFile(ControlFile[bool, bool], interfaces.FlagFile):  # type: ignore[misc]
    """A switch, 0 or 1, as a `bool`; written as cgroupspy's FlagFile writes it."""

    def sanitize_get(self, value: str) -> bool:
        """0 is `False`, 1 is `True`; anything else is refused."""
        return parse.parse_flag(value)

    def sanitize_set(self, value: bool) -> object:
        return interfaces.FlagFile.sanitize_set(self, value)


class NumberFile(ControlFile[int, int], interfaces.IntegerFile):  # type: ignore[misc]
    """A number that is never "max" (cpu.weight). -1 has no meaning of its own here, as it had in v1."""

    def sanitize_get(self, value: str) -> int:
        return parse.parse_int(value)

    def sanitize_set(self, value: int) -> object:
        """The number; a negative one is refused."""
        return _number(value, self.name)


class LimitFile(ControlFile[Limit, Limit]):
    """A limit in bytes, or `NO_LIMIT`. The kernel rounds what is written down to whole pages."""

    def sanitize_get(self, value: str) -> Limit:
        """The number, or `NO_LIMIT` for "max"."""
        return parse.parse_limit(value)

    def sanitize_set(self, value: Limit) -> object:
        """The number, or "max"; a negative number and `None` are refused."""
        return value if value is NO_LIMIT else _number(value, self.name)


class WriteFile(ControlFile[None, Put]):
    """A file to write only (memory.reclaim, cgroup.kill)."""

    writeonly = True


class LineFile(ControlFile[Got, object], Generic[Got]):
    """A file that is read parsed and written as str() of one value: cpu.max, one device's line of io.max."""

    def __init__(self, filename: str, parse_text: Callable[[str], Got]) -> None:
        super().__init__(filename)
        self.parse_text = parse_text

    def sanitize_get(self, value: str) -> Got:
        """The typed value of the file's text."""
        return self.parse_text(value)


def _number(value: object, name: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise BadValue(
            f"cannot set {name} to {value!r}",
            "it takes a whole number of at least 0, or NO_LIMIT where the file knows max",
            "pass bytes as an int; for no limit pass cgroups.NO_LIMIT",
        )
    return value
