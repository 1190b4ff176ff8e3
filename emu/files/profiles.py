"""Footprint profiles: small files that say what one queue-proxy weighs (profiles/, or a file of the user's)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from emu.errors import EmuError
from emu.files.named import read_text
from emu.files.nearest import nearest
from emu.files.yamlfile import parse
from emu.machine.paths import profiles_dir
from emu.policy.footprint import Profile, ProfileError

OWN = "own"
_SUFFIXES = (".yaml", ".yml", ".json")


def names() -> list[str]:
    """The profiles that come with emu."""
    return sorted(path.stem for path in profiles_dir().glob("*.yaml"))


def is_path(footprint: str) -> bool:
    """Whether a scenario's `footprint` means a file of the user's."""
    return footprint.endswith(_SUFFIXES) or "/" in footprint


def profile_of(footprint: str | dict[str, Any]) -> Profile | None:
    """The profile that a scenario's `footprint` means; None where queue-proxy's own memory use counts."""
    if footprint == OWN:
        return None
    return load_profile(footprint) if isinstance(footprint, str) else Profile.from_data(footprint)


def load_profile(footprint: str) -> Profile:
    """The profile of a name or a path. EmuError for one that is not there or not right."""
    if is_path(footprint):
        return read_profile(Path(footprint))
    if footprint not in names():
        meant = nearest(footprint, [OWN, *names()])
        raise EmuError(
            f"there is no footprint {footprint!r}",
            f"the profiles are: {', '.join([OWN, *names()])}, or a file by its path",
            f"did you mean {meant}?" if meant else "name one of them, or a file that `emu calibrate` wrote",
        )
    return read_profile(profiles_dir() / f"{footprint}.yaml")


def read_profile(path: Path) -> Profile:
    """The footprint profile in a YAML file. EmuError where it is none."""
    fix = "see profiles/knative-1.23.yaml for one that is right, or let `emu calibrate queue-proxy` write one"
    data: Any = parse(read_text(path, "footprint profile"), str(path)).plain()
    if not isinstance(data, dict):
        raise EmuError(f"{path} is not a footprint profile", "it has no keys", fix)
    try:
        return Profile.from_data(data)
    except ProfileError as error:
        raise EmuError(f"{path} is not a footprint profile", str(error), fix) from error
