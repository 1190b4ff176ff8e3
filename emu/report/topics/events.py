"""Events of pods, as a kubelet would record them."""

from __future__ import annotations

from collections.abc import Iterator

from emu.report.entry import Entry
from emu.report.topics.topic import Alert, Cell, Column, Listing, Part, Topic, View, pod_section
from emu.report.words import moment
from emu.study.model.instances import PodEvent
from emu.study.model.study import Study
from emu.units import format_seconds


def parts(view: View) -> Iterator[Part]:
    """As `kubectl describe pod` lists them; on the terminal only if there is anything beside ordinary starts."""
    events = view.each.pod_events
    worth = list(filter(_is_notable, events))
    if worth:
        heads = ("type", "reason", "at", "container", "message")
        yield Listing(heads, tuple(map(_short, worth)), place="terminal", whole=True)
    if events and view.study.instances:
        heads_ = ("Type", Column("Reason", number=False), "first", "last", "count", Column("container", number=False),
                  Column("Message", number=False))  # fmt: skip
        title = f"Events, as a kubelet would record them ({len(events)})"
        yield Listing(heads_, tuple(map(_whole, events)), title=title, place="page", folded=True)


def _short(event: PodEvent) -> tuple[Cell, ...]:
    at = format_seconds(event.first_s)
    at += f" (x{event.count} to {format_seconds(event.last_s)})" if event.count > 1 else ""
    kind = Alert(event.type) if event.type == "Warning" else event.type
    return (kind, event.reason, at, event.container, event.message)


def _whole(event: PodEvent) -> tuple[Cell, ...]:
    times = (moment(event.first_s), moment(event.last_s))
    return (event.type, event.reason, *times, event.count, event.container, event.message)


def log(study: Study) -> Iterator[Entry]:
    """Warnings, and what was killed."""
    return (_entry(event) for event in study.pod_events if _is_notable(event))


def more_log(study: Study) -> Iterator[Entry]:
    """Ordinary starts too."""
    return (_entry(event) for event in study.pod_events if not _is_notable(event))


def _is_notable(event: PodEvent) -> bool:
    return event.type == "Warning" or event.reason == "Killing"


def _entry(event: PodEvent) -> Entry:
    times = f" ({event.count} times until {event.last_s:.3f} s)" if event.count > 1 else ""
    detail = {"container": event.container, "type": event.type, "reason": event.reason, "count": event.count}
    text = f"{event.type} {event.reason} {event.container}: {event.message}{times}"
    return Entry(event.first_s, "kubelet", text, detail)


EVENTS = Topic("Events", more=parts, section=pod_section, log=log, more_log=more_log)
