"""How queue-proxy's container reaches the freezer daemon: a folder that is mounted in it, and its environment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

MOUNT = "/var/run/emu/freezer"
"""Where queue-proxy finds the folder."""


@dataclass(frozen=True)
class Access:
    """What queue-proxy's container needs to reach the daemon."""

    folder: Path
    environment: Mapping[str, str]
