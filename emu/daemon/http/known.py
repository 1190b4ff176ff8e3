"""Messages that came before, byte for byte: what was made of them is used again.

Clients and apps say the same heads over and over. The parser stays the only judge of what they mean: only what it
has understood is kept, and only for bytes that are equal to the last. What is said once is not kept.
"""

from __future__ import annotations

from typing import Generic, TypeVar

MOST = 256
"""Messages kept; when there are more, all are forgotten and those that still come are learned again."""
LONGEST_BYTES = 2048
"""Nothing longer is kept, so that all of them together stay small."""

Value = TypeVar("Value")


class Known(Generic[Value]):
    """A cache: message bytes → what was made of them."""

    __slots__ = ("_once", "_values", "get")

    def __init__(self) -> None:
        self._values: dict[bytes, Value] = {}
        self._once: set[int] = set()
        self.get = self._values.get
        """(bytes) → what was made of them, or None."""

    def again(self, data: bytes) -> bool:
        """Whether these bytes, which are not known, came before; they did the next time that this is asked."""
        if len(data) > LONGEST_BYTES:
            return False
        mark = hash(data)
        if mark in self._once:
            return True
        if len(self._once) >= MOST:
            self._once.clear()
        self._once.add(mark)
        return False

    def keep(self, data: bytes, value: Value) -> None:
        """Know these bytes from now on."""
        if len(self._values) >= MOST:
            self._values.clear()
        self._values[data] = value
