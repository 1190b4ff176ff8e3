"""The name of every file in a run directory, and what each holds. docs/run-directory.md explains them."""

from __future__ import annotations

import errno
import os
import shutil
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from emu.errors import EmuError
from emu.files import outfile
from emu.files.regular import read_regular
from emu.record.events.log import REPLACED

RESERVE_BYTES = 8 * 2**20
"""So much is kept free for what a run says last: its end, the summary, and the report with its 2 MB."""
MOST_SCENARIO_BYTES = 2**20
"""No resolved scenario is longer."""
NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS)
"""What the kernel says where nothing more can be written to a place."""


FORMAT = 1
"""Of a run directory. Counts up when its files come to mean something else; what is only added does not count."""


class AlreadyRecorded(EmuError):  # noqa: N818  it is not an error of the machine
    """A folder is there already under a run directory's name."""


@dataclass(frozen=True)
class RunDir:
    """`runs/<utc time>-<name>/`, or what `--out` named. No I/O in the constructor."""

    path: Path

    @property
    def scenario(self) -> Path:
        """The scenario as resolved: defaults filled in, `--set` applied, sizes in bytes. It can be run again."""
        return self.path / "scenario.yaml"

    def scenario_text(self) -> str | None:
        """The scenario's file as it is; None where it cannot be read."""
        try:
            return read_regular(self.scenario, MOST_SCENARIO_BYTES).decode(errors="replace")
        except OSError:
            return None

    @property
    def summary(self) -> Path:
        """The run in numbers; its names are what expectations speak of."""
        return self.path / "summary.json"

    @property
    def events(self) -> Path:
        """What happened, one JSON object a line (`emu.record.events`), appended by several processes."""
        return self.path / "events.jsonl"

    @property
    def samples(self) -> Path:
        """Control files as the kernel gave them, at each sample (samples.py). Older runs have them unpacked."""
        packed, older = self.path / "samples.raw.zst", self.path / "samples.raw"
        return older if older.exists() and not packed.exists() else packed

    @property
    def requests(self) -> Path:
        """Each request: a line when it was sent, a line when it ended (`emu.messages`)."""
        return self.path / "requests.jsonl"

    @property
    def kmsg(self) -> Path:
        """The kernel's log lines of this run from /dev/kmsg, raw records as the kernel gave them, a line each."""
        return self.path / "kmsg.log"

    @property
    def journal(self) -> Path:
        """`journalctl -o json` of this run (kernel and containers); absent where no journald runs."""
        return self.path / "journal.jsonl"

    @property
    def load_plan(self) -> Path:
        """The load generator's instructions."""
        return self.path / "load-plan.json"

    @property
    def logs(self) -> Path:
        """A folder: `<pod>/<container>.<attempt>.log`, what each container instance printed."""
        return self.path / "logs"

    @property
    def processes(self) -> Path:
        """A folder: what the run's own helper processes printed on standard error."""
        return self.path / "processes"

    @property
    def reserve(self) -> Path:
        """Room for a run's last words, should the disk become full; it is gone when the run has ended."""
        return self.path / "reserve"

    @property
    def report(self) -> Path:
        """The picture of the run: one HTML file that opens offline."""
        return self.path / "report.html"

    @property
    def library(self) -> Path:
        """What draws the pictures, in a run with variants: one copy for all its pages."""
        return self.path / "plotly-basic.min.js"

    @property
    def variants(self) -> Path:
        """A folder, in a run of a scenario with variants: a run directory for each, and no record beside them."""
        return self.path / "variants"

    def has_variants(self) -> bool:
        """Whether this is the run of a scenario with variants."""
        return self.variants.is_dir()

    def variant(self, name: str) -> RunDir:
        """The run directory of one variant, whose name leads nowhere else."""
        return RunDir(self.variants / name.replace("/", "_"))

    def begun(self) -> bool:
        """Something is on record here, or of one of the variants."""
        return self.events.exists() or any(self.variants.glob(f"*/{self.events.name}"))

    def identity(self) -> tuple[int, int] | None:
        """Which folder it is, whatever its name leads to later; None where there is none."""
        try:
            facts = self.path.lstat()
        except OSError:
            return None
        return facts.st_dev, facts.st_ino

    def discard(self, made: tuple[int, int] | None) -> None:
        """Remove the folder that was made for a run that never began; not what somebody has put in its place."""
        if made is not None and self.identity() == made:
            shutil.rmtree(self.path, ignore_errors=True)

    def beat(self) -> None:
        """Leave a sign that the run is alive: the time of a folder, which nothing else reads."""
        with suppress(OSError):
            os.utime(self.processes)

    def pulse(self) -> list[int]:
        """The last sign of each run in here."""
        folders = [self.processes, *self.variants.glob(f"*/{self.processes.name}")]
        return [folder.stat().st_mtime_ns for folder in folders if folder.is_dir()]

    def new_log(self, pod: str, container: str, attempt: int) -> Path:
        """Where the output of one instance of a container goes, in a folder for its pod, which is made."""
        path = self.logs / _inside(pod) / f"{_inside(container)}.{attempt}.log"
        path.parent.mkdir(exist_ok=True)
        return path

    def container_log(self, pod: str, container: str, attempt: int) -> Path:
        """Where the output of one instance of a container is. Runs from before each pod had a folder have it in
        `logs/` itself.
        """
        name = f"{_inside(container)}.{attempt}.log"
        path = self.logs / _inside(pod) / name
        return path if path.exists() else self.logs / name

    def container_logs(self, container: str) -> list[Path]:
        """The output of every instance of a container, in all pods; each pod's in order."""
        name = f"{_inside(container)}.*.log"
        # No deeper, and through no link: a folder that somebody put there may have a whole machine below it.
        folders = [] if self.logs.is_symlink() else [self.logs, *_folders(self.logs)]
        found = (path for folder in folders for path in folder.glob(name))
        return sorted(found, key=lambda path: (str(path.parent), len(path.name), path.name))

    def create(self, *, variants: bool = False) -> None:
        """Make the folder, with one for variants if there will be any. EmuError when something is there already: a
        recorded run is never overwritten.
        """
        try:
            self.path.mkdir(parents=True)
        except FileExistsError as there:
            if not self.path.is_dir():
                raise EmuError(
                    f"cannot record into {self.path}",
                    "it is not a folder; each run needs a new one",
                    "name another folder with --out",
                ) from there
            raise AlreadyRecorded(
                f"cannot record into {self.path}",
                "it already exists, and emu never overwrites a recorded run",
                "name another folder with --out, or remove this one",
            ) from there
        except OSError as error:
            raise EmuError(
                f"cannot make the run directory {self.path}",
                f"{error.strerror or error}",
                "use --out DIR to name a folder that you can write to",
            ) from error
        try:
            (self.variants if variants else self.logs).mkdir()
            self.processes.mkdir()
            self._set_room_aside()
        except OSError as error:
            why = no_room(error, self.path)  # before there is room again
            shutil.rmtree(self.path, ignore_errors=True)
            raise EmuError(
                f"cannot record into {self.path}",
                why,
                f"{_first(error)}, or use --out DIR to name another folder",
            ) from error

    def write_scenario(self, text: str, *, private: bool) -> None:
        """Write scenario.yaml; `private` for its owner's eyes only."""
        write_new(self.scenario, text, private=private)

    def _set_room_aside(self) -> None:
        with self.reserve.open("wb") as file:
            file.write(os.urandom(RESERVE_BYTES))  # as zeros some file systems would take no room for them
            file.flush()
            os.fsync(file.fileno())

    def release(self) -> None:
        """Give up the room that was set aside: what is to be written now is what it was for."""
        with suppress(OSError):  # somebody may have put something else in the place of the run directory
            self.reserve.unlink()

    def write_whole(self, path: Path, text: str) -> None:
        """Write a file made from the record whole or not at all; what was there stays until then. EmuError."""
        try:
            outfile.write(path, text)
        except OSError as error:
            raise EmuError(
                f"cannot write {path}",
                no_room(error, path.parent),
                f"{_first(error)}, then: emu report {self.path}",
            ) from error


def no_room(error: OSError, place: Path) -> str:
    """Why nothing can be written there, in words: a disk may have room and no inode."""
    words = error.strerror or str(error)
    with suppress(OSError):
        if error.errno == errno.ENOSPC and os.statvfs(place).f_files and not os.statvfs(place).f_favail:
            return f"{words}: it has no free inode, which each file needs one of (df -i)"
    return words


def _first(error: OSError) -> str:
    """What to do about a file that cannot be written, before it is tried again."""
    full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
    return "free space there" if full else "see to it that a file can be written there"


def _folders(place: Path) -> list[Path]:
    try:
        return [path for path in place.iterdir() if path.is_dir() and not path.is_symlink()]
    except OSError:
        return []


def _inside(name: str) -> str:
    """A name that leads nowhere else."""
    return name.replace("/", "_") if name not in ("", ".", "..") else "_"


def write_new(path: Path, text: str, *, private: bool) -> None:
    """Write a file that others may read, or that only its owner may from its first moment on. OSError."""
    mode = 0o600 if private else 0o644
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, mode), "w") as file:
        if private:
            os.fchmod(file.fileno(), mode)
        file.write(text)


def cannot_record(why: str) -> EmuError:
    """The error of a run whose record cannot be written any more."""
    fix = "free space there, or use --out DIR to name another folder"
    gone = (REPLACED, *map(os.strerror, (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ESTALE)))
    if any(words in why for words in gone):
        fix = "leave the run directory alone until the run has ended"
    elif os.strerror(errno.EMFILE) in why:
        fix = "let a process have more files open (ulimit -n 4096)"
    return EmuError("the record can no longer be written", why, f"{fix}, and run it again")
