"""zswap: a cache in memory, of compressed pages, in front of the swap devices. One switch for the whole machine; how
much of it a cgroup may fill is memory.zswap.max. (The kernel's document: admin-guide/mm/zswap.)
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

PARAMETERS = Path("/sys/module/zswap/parameters")


def is_offered(parameters: Path = PARAMETERS) -> bool:
    """Whether this kernel has it (CONFIG_ZSWAP)."""
    return (parameters / "enabled").exists()


def is_on(parameters: Path = PARAMETERS) -> bool:
    """Whether pages on their way to swap go there first."""
    with suppress(OSError):
        return (parameters / "enabled").read_text().strip() in ("Y", "1")
    return False


def switch(on: bool, parameters: Path = PARAMETERS) -> None:
    """Turn it on, or off: what is in it stays until it is wanted. OSError where that may not be written."""
    (parameters / "enabled").write_text("Y" if on else "N")


def settings(parameters: Path = PARAMETERS) -> dict[str, str]:
    """Its settings that decide what fits: the compressor, the allocator where there is a choice, and how much of the
    machine's memory it may fill, in per cent. Empty where it is off.
    """
    if not is_on(parameters):
        return {}
    found = {}
    for name in ("compressor", "zpool", "max_pool_percent"):
        with suppress(OSError):
            found[name] = (parameters / name).read_text().strip()
    return found
