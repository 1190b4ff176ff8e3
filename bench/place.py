"""Where benchmarks put what they make."""

from __future__ import annotations

from pathlib import Path


def scratch() -> Path:
    """A folder that git does not see."""
    folder = Path.cwd() / "build"
    folder.mkdir(exist_ok=True)
    return folder
