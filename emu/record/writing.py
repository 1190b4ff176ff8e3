"""Writes of the record: one that fails ends the recording, so that what is there has no gap."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class NotRecordedError(Exception):
    """A part of the record could not be written; the text says which and why."""


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Raises NotRecordedError where the file takes no more."""
    try:
        yield
    except OSError as error:
        raise NotRecordedError(f"{path.name}: {error.strerror or error}") from error
