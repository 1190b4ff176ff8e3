"""Settings of a machine that runs have changed, each with what undoes it: the last run that needs one does, and
`emu clean`, if that was killed.

Only where the machine is the run's own, a sandbox or a virtual machine; of somebody's nothing is changed.
"""

from __future__ import annotations

import fcntl
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from emu.errors import EmuError, raise_all
from emu.kubelet import ioweight
from emu.machine import swap, zram, zswap
from emu.machine.owner import lives, owner

HOME = Path("/run/emu/changed")
ZSWAP, SWAP, IO_COST = "zswap", "swap", "io.cost"
Before = Mapping[str, object]
"""What undoes a setting."""


@contextmanager
def changed(
    setting: str,
    find: Callable[[], Before],
    make: Callable[[Before], object] = lambda _: None,
    home: Path | None = None,
) -> Iterator[Before]:
    """While it lasts the setting is on record as this process's; then it is undone. `find` says what undoes it, and
    `make` changes it. Of runs that overlap only the first one calls them, the others wait for it, and the last one
    undoes what the first one found, which all of them get. Where undoing fails the record stays, for `emu clean`.
    EmuError, OSError.
    """
    file, mine = (home or HOME) / setting, owner()
    with _locked(file):
        known = _record(file)
        if known is not None and not any(map(lives, known[0])):
            _undone(setting, known[1])  # a run was killed since `undo` looked, perhaps before it had changed anything
            known = None
        owners, before = ([], find()) if known is None else known
        # On record before it is changed: this process may be killed any time.
        _keep(file, [*filter(lives, owners), mine], before)
        if known is None:
            try:
                make(before)
            except BaseException:
                with suppress(EmuError, OSError):  # what failed is raised, and what cannot be undone stays on record
                    _release(file, mine, before)
                raise
    try:
        yield before
    finally:
        with _locked(file):
            _release(file, mine, before)


def kept(setting: str, home: Path | None = None) -> Before | None:
    """What undoes a setting that a living run has changed; None where none has."""
    known = _record((home or HOME) / setting)
    return known[1] if known is not None and any(map(lives, known[0])) else None


def undo(home: Path | None = None) -> Iterator[tuple[str, str]]:
    """Undo what processes that are gone have changed; each setting, and how it is now. EmuError where one cannot be
    undone: its record stays, and the others are undone all the same.
    """
    folder, failed = home or HOME, list[EmuError]()
    for file in sorted(folder.glob("[!.]*")) if folder.is_dir() else []:
        if file.name not in _UNDONE:
            continue
        with _locked(file):  # a run that begins now waits, and finds all of it undone
            if not file.exists():
                continue
            mine, before = _record(file) or ([], {})
            if any(map(lives, mine)):
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


def _release(file: Path, mine: str, before: Before) -> None:
    """Give the setting up to the others that need it, or undo it."""
    owners, before = _record(file) or ([], before)
    if others := [one for one in owners if lives(one) and one != mine]:
        _keep(file, others, before)
    else:
        _UNDONE[file.name](before)
        file.unlink(missing_ok=True)


@contextmanager
def _locked(file: Path) -> Iterator[None]:
    """One process at a time; where nothing can be recorded there is nothing to lock."""
    with ExitStack() as stack:
        with suppress(OSError):
            file.parent.mkdir(parents=True, exist_ok=True)
            fcntl.flock(stack.enter_context((file.parent / f".{file.name}").open("w")), fcntl.LOCK_EX)
        yield


def _record(file: Path) -> tuple[list[str], Before] | None:
    """Whose a setting is, and what undoes it; None where there is no record that says so."""
    try:
        said = json.loads(file.read_text())
        return [str(one) for one in said["owners"]], dict(said["before"])
    except (OSError, ValueError, LookupError, TypeError):
        return None


def _keep(file: Path, owners: list[str], before: Before) -> None:
    unfinished = file.with_name(f".{file.name}.unfinished")
    with suppress(OSError):  # then the run is none that can be killed and cleaned up after
        unfinished.write_text(json.dumps({"owners": owners, "before": dict(before)}))
        # By rename: a run that is killed here leaves the record of before, or this one.
        unfinished.replace(file)


def _undone(setting: str, before: Before) -> str:
    """How it is now; empty where the record does not say how it was."""
    try:
        return _UNDONE[setting](before)
    except (LookupError, TypeError, ValueError):
        return ""
    except (OSError, EmuError) as error:
        why = error.why if isinstance(error, EmuError) else str(error)
        what = f"{setting}: what a run that was killed has changed cannot be undone"
        raise EmuError(what, why, "leave this sandbox and boot another one") from error


def _zswap_off(before: Before) -> str:
    if before.get("on"):
        return "on"
    if zswap.is_on():
        zswap.switch(False)
    return "off"


def _swap_again(before: Before) -> str:
    areas, area = before["areas"], str(before["area"])
    if not isinstance(areas, list):
        raise TypeError(areas)
    swap.back([str(one) for one in areas], area)
    if zram.is_zram(area):
        zram.remove(Path(area).name)
    else:
        Path(area).unlink(missing_ok=True)
    return f"swap is on {', '.join(map(str, areas)) or 'nothing'}"


def _shared_again(before: Before) -> str:
    qos, model = str(before["qos"]), str(before["model"])
    ioweight.share_again(Path(str(before["root"])), ioweight.Sharing(qos, model))
    return qos


_UNDONE: Mapping[str, Callable[[Before], str]] = {
    ZSWAP: _zswap_off,
    SWAP: _swap_again,
    IO_COST: _shared_again,
}
