"""How a run ends: to plan, interrupted, or because it cannot continue; in order each time, and recorded."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType

from emu.errors import EXIT_BAD_INPUT, EXIT_INTERRUPTED, EXIT_OK, EmuError
from emu.machine.toplevel import as_error
from emu.record.events import EventLog, Note, RunEnded, RunFailed, now, read_events
from emu.record.rundir import NO_ROOM, RunDir, cannot_record
from emu.run.screen import Screen


def cut_short(run: RunDir, error: EmuError) -> None:
    """Put on record that a run, or the variant that was under way, ended by something that its own process could not
    record. Nothing is added to a record that has an end. Where it cannot be written the error itself is raised.
    """
    records = [run.events, *run.variants.glob(f"*/{run.events.name}")]
    try:
        newest = max((path for path in records if path.exists()), key=lambda path: path.stat().st_mtime_ns)
        events = list(read_events(newest))
        if any(isinstance(event, RunEnded | RunFailed) for event in events):
            return
        RunDir(newest.parent).release()  # what is said now is what that room was kept for
        at = events[-1].t if events else now()  # by the clock of the record, which is the guest's
        with newest.open("a", encoding="utf-8") as file:
            file.write("\n" + RunFailed(t=at, what=error.what, why=error.why, fix=error.fix).to_line())
    except (OSError, ValueError) as unwritten:  # ValueError: somebody has removed it
        raise error from unwritten


class Ending:
    """How a run ends. An error before its first event is an error of the set-up, and is raised; after it, it is part
    of the record. Around all of a run, so that what goes wrong while things are undone counts too.
    """

    def __init__(self, run: RunDir, log: EventLog, screen: Screen) -> None:
        self._run = run
        self._log = log
        self._screen = screen
        self.begun = False
        """Its first event is on record."""
        self.interrupted = False
        self._failure: EmuError | None = None

    @property
    def status(self) -> int:
        """The exit status that this end comes to."""
        return EXIT_BAD_INPUT if self._failure else EXIT_INTERRUPTED if self.interrupted else EXIT_OK

    def write(self) -> None:
        """The record's last lines. Where they cannot be written, the error that ended the run is raised instead."""
        if self._log.lost:
            self._log.append(
                Note(t=now(), what="events were lost", why=f"{self._log.lost} could not be recorded", level="error")
            )
        self._log.append(RunEnded(t=now(), interrupted=self.interrupted))
        self._log.close()
        if self._log.failure is not None:
            raise self._failure or cannot_record(str(self._log.failure.strerror))

    @contextmanager
    def early(self, interrupted: Callable[[], bool] = lambda: False) -> Iterator[None]:
        """Around what is cut short by an interrupt, or because it cannot continue; then things are undone in order.
        `interrupted`: a signal came and was not acted on yet. An error after that is its consequence: Ctrl-C ends
        a child that had no time to leave the terminal's process group.
        """
        try:
            yield
        except KeyboardInterrupt:
            if not self.begun:
                raise
            self._interrupt()
        except Exception as error:  # also what nobody foresaw: what was recorded until then is studied all the same
            if not self.begun:
                raise
            if interrupted():
                self._interrupt()
            else:
                self._fail(self._unforeseen(error))

    def __enter__(self) -> None:
        return

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        if not self.begun or not isinstance(error, Exception):
            return False
        if self._failure is None:
            self._fail(self._unforeseen(error))
        return True

    def _unforeseen(self, error: Exception) -> EmuError:
        """The error for the record, whatever it is."""
        if isinstance(error, OSError) and error.errno in NO_ROOM:
            self._run.release()
            return cannot_record(str(error))
        return as_error(error, "the run cannot continue")

    def _interrupt(self) -> None:
        self.interrupted = True
        self._screen.end_live()
        self._screen.event("interrupted: stopping in order; the report will show what was recorded", "yellow")
        self._log.append(Note(t=now(), what="the run was interrupted", why="a signal asked it to stop", level="info"))

    def _fail(self, error: EmuError) -> None:
        self._failure = error
        self._log.append(RunFailed(t=now(), what=error.what, why=error.why, fix=error.fix))
        self._screen.end_live()
        self._screen.event(f"{error.what}: stopping in order; the report will show what was recorded", "red")
