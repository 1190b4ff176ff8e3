"""What the freezer daemon says: events for the record, lines of its log, and the journal."""

from __future__ import annotations

from typing import Any, TypedDict

from emu.daemon.freezer.pods import FreezerPod, Target
from emu.daemon.loop import Log
from emu.machine.journald import Journald
from emu.record.events import Event, EventLog, FreezerFailed, now


class Reports:
    """Of one daemon. Without `events` or `journal` nothing goes there."""

    def __init__(self, log: Log, events: EventLog | None, journal: Journald | None, run: str) -> None:
        self._log = log
        self._events = events
        self._journal = journal
        self._run = run

    def record(self, event: Event) -> None:
        """For the run's record."""
        if self._events is None:
            return
        self._events.append(event)
        if self._events.failure is not None:
            self._log.seldom("not-recorded", why=str(self._events.failure))

    def record_failure(self, pod: FreezerPod, action: str, container: str, why: str) -> None:
        """For the run's record: an action that was not done."""
        self.record(FreezerFailed(t=now(), pod=pod.name, action=action, container=container, why=why))

    def report(
        self,
        event: str,
        words: str = "",
        priority: int = 6,
        pod: FreezerPod | None = None,
        facts: dict[str, Any] | None = None,
    ) -> None:
        """For the log and the journal; `priority` is syslog's."""
        name = "" if pod is None else pod.name
        self._log.event(event, **({"pod": name} if name else {}), **(facts or {}))
        if self._journal is not None:
            fields = {"EMU_RUN": self._run, "EMU_POD": name, "EMU_ACTION": event}
            text = " ".join(part for part in (event, name, words) if part)
            self._journal.send(text, fields, priority=priority)

    def close(self) -> None:
        if self._events is not None:
            self._events.close()


class Who(TypedDict):
    """Whom an event is about."""

    pod: str
    container: str
    attempt: int
    id: str


def who(pod: FreezerPod, target: Target) -> Who:
    """A container of a pod, as events name it."""
    return {"pod": pod.name, "container": target.name, "attempt": target.attempt, "id": target.id}
