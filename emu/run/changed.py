"""Settings of a machine that a run has changed, each with what undoes it: `emu clean` does, if the run was killed.

Only where the machine is the run's own, a sandbox or a virtual machine; of somebody's nothing is changed.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from emu.errors import EmuError, raise_all
from emu.kubelet import ioweight
from emu.machine import zram, zswap
from emu.machine.owner import lives, owner

HOME = Path("/run/emu/changed")
ZSWAP, ZRAM, IO_COST = "zswap", "zram", "io.cost"


@contextmanager
def changed(setting: str, before: Mapping[str, object] | None = None, home: Path | None = None) -> Iterator[None]:
    """While it lasts the setting is on record as this process's; then it is undone, which takes `before`. Where that
    fails the record stays, for `emu clean`. EmuError, OSError.
    """
    file = (home or HOME) / setting
    with suppress(OSError):  # then the run is none that can be killed and cleaned up after
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps({"owner": owner(), "before": before or {}}))
    try:
        yield
    finally:
        _UNDONE[setting](before or {})
        file.unlink(missing_ok=True)


def undo(home: Path | None = None) -> Iterator[tuple[str, str]]:
    """Undo what processes that are gone have changed; each setting, and how it is now. EmuError where one cannot be
    undone: its record stays, and the others are undone all the same.
    """
    folder, failed = home or HOME, list[EmuError]()
    for file in sorted(folder.iterdir()) if folder.is_dir() else []:
        try:
            said = json.loads(file.read_text())
            mine, before = str(said["owner"]), dict(said["before"])
        except (OSError, ValueError, LookupError, TypeError):
            mine, before = "", {}
        if lives(mine) or file.name not in _UNDONE:
            continue
        try:
            now = _undone(file.name, before)
        except EmuError as error:
            failed.append(error)
            continue
        file.unlink(missing_ok=True)
        if now:
            yield file.name, now
    raise_all(failed)


def _undone(setting: str, before: Mapping[str, object]) -> str:
    """How it is now; empty where the record does not say how it was."""
    try:
        return _UNDONE[setting](before)
    except (LookupError, TypeError, ValueError):
        return ""
    except (OSError, EmuError) as error:
        why = error.why if isinstance(error, EmuError) else str(error)
        what = f"{setting}: what a run that was killed has changed cannot be undone"
        raise EmuError(what, why, "leave this sandbox and boot another one") from error


def _zswap_off(_: Mapping[str, object]) -> str:
    if zswap.is_on():
        zswap.switch(False)
    return "off"


def _disks_again(before: Mapping[str, object]) -> str:
    areas, device = before["areas"], str(before["device"])
    if not isinstance(areas, list):
        raise TypeError(areas)
    zram.back([str(one) for one in areas], device)
    return f"swap is on {', '.join(map(str, areas)) or 'nothing'}"


def _shared_again(before: Mapping[str, object]) -> str:
    qos, model = str(before["qos"]), str(before["model"])
    ioweight.share_again(Path(str(before["root"])), ioweight.Sharing(qos, model))
    return qos


_UNDONE: Mapping[str, Callable[[Mapping[str, object]], str]] = {
    ZSWAP: _zswap_off,
    ZRAM: _disks_again,
    IO_COST: _shared_again,
}
