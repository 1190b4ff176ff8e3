"""The verdict that a person can repeat aloud: a headline, and the sentences that support it.

Every number comes from the study; where something was not recorded the sentence is left out or says so.
"""

from __future__ import annotations

import signal
from dataclasses import dataclass, field
from typing import Any

from emu.report.topics.clients import BROUGHT, TOO_SLOW, answers_headline, bound_headline, client_sentences
from emu.report.topics.inits import init_sentences
from emu.report.topics.kills import kill_headline, kill_sentences
from emu.report.topics.machine import machine_headline, machine_sentences
from emu.report.topics.memory import cache_headline, memory_sentences, swap_headline
from emu.report.topics.reasons import wait_sentences
from emu.report.topics.registry import TOPICS
from emu.report.topics.sidecars import sidecar_sentences
from emu.report.topics.stalls import stall_headline, stall_sentences
from emu.report.topics.starts import start_headline, start_sentences
from emu.report.words import listed, of_limit
from emu.study.model.instances import SANDBOX, Instance
from emu.study.model.study import Study
from emu.study.oom_pieces import KILLED
from emu.study.restraints import bound, describe, held_back, hinders, restraint_sentences
from emu.study.stalls import stalls
from emu.units import format_bytes, format_seconds, often

SHM_BYTES = 64 * 2**20
"""What /dev/shm holds unless somebody mounts more there: the runtimes' default."""
NEARLY = 0.95


@dataclass
class Story:
    """What happened, in words."""

    headline: str
    sentences: list[str] = field(default_factory=list)


def compose(study: Study, summary: dict[str, Any]) -> Story:
    """The story of a run, from its study and its numbers (those of `emu.report.summary`)."""
    if not study.instances and not study.timelines:
        return Story("Nothing to report: the run has no record of a container", _notes(study))
    story = Story(f"{_failure(study)}{bound_headline(study)}{_headline(study, summary)}")
    story.sentences += kill_sentences(study)
    story.sentences += stall_sentences(study)
    story.sentences += _exits(study, summary, skip_first=not study.kills)
    story.sentences += _ended_with_the_engine(study)
    story.sentences += _restarts(study)
    story.sentences += _stops(study)
    story.sentences += client_sentences(summary)
    story.sentences += wait_sentences(summary)
    story.sentences += start_sentences(summary)
    for topic in TOPICS:
        story.sentences += topic.sentences(study, summary)
    story.sentences += restraint_sentences(study, summary)
    story.sentences += memory_sentences(study, summary)
    story.sentences += machine_sentences(study)
    story.sentences += init_sentences(study, summary)
    story.sentences += sidecar_sentences(study, summary)
    story.sentences += _lost(study)
    story.sentences += _notes(study)
    story.sentences = [text for text in story.sentences if text.rstrip(".") not in story.headline]
    if story.headline.startswith(TOO_SLOW):  # with the figures of the phase that this is about
        story.sentences = [text for text in story.sentences if not text.startswith(BROUGHT)]
    return story


def _failure(study: Study) -> str:
    """Why the run could not go on, before what is known of it."""
    failed = study.failed
    return (
        "" if failed is None else f"The run could not continue after {format_seconds(failed.time_s)}: {failed.what}. "
    )


def _headline(study: Study, summary: dict[str, Any]) -> str:
    if study.kills:
        return kill_headline(study)
    exits = _exits(study, summary)
    if exits:
        return "; ".join([exits[0].rstrip("."), *stall_headline(study), *_hindered(study)])
    forced = [entry for entry in study.instances if _forced(entry)]
    if forced:
        text = _stop(forced[0]).rstrip(".")
        return "; ".join([text, *answers_headline(study)])
    parts = (
        stall_headline(study)
        or start_headline(summary)
        or next((said for topic in TOPICS if (said := topic.headline(study, summary))), [])
        or [*swap_headline(study, summary), *cache_headline(study, summary)]
    )
    parts = [*parts, *_hindered(study)] or _nearest(study, summary)
    parts += machine_headline(study)
    parts += answers_headline(study)
    watched = any(entry["oom_kills"] is not None for entry in summary["containers"].values())
    verdict = "Nothing was killed" if watched else "Whether a process was killed was not recorded"
    verdict = (
        verdict
        if study.ended and study.failed is None
        else f"As far as it was recorded, {verdict[0].lower()}{verdict[1:]}"
    )
    return f"{verdict}: {'; '.join(parts)}" if parts else verdict


def _exits(study: Study, summary: dict[str, Any], *, skip_first: bool = False) -> list[str]:
    """Containers that ended by themselves or by another hand, without an OOM kill; those alike in one sentence."""
    alike: dict[tuple[str, int, str | None], list[Instance]] = {}
    for entry in study.instances:
        if entry.exit_code is not None and not (
            entry.asked or entry.completed or entry.with_engine or entry.oom_ended
        ):
            alike.setdefault((entry.container, entry.exit_code, entry.killed_for), []).append(entry)
    found = [f"{_exit(study, summary, entries)}." for entries in alike.values()]
    return found[1:] if skip_first else found


def _exit(study: Study, summary: dict[str, Any], entries: list[Instance]) -> str:
    entry = entries[0]
    at = f"at {format_seconds(entry.exited_s)}"
    when = at if len(entries) == 1 else f"{often(len(entries))}, first {at}"
    if entry.killed_for is not None:
        return _killed_for_a_probe(entries, when)
    if entry.exit_code == KILLED:
        events = summary["containers"].get(entry.container, {}).get("memory_events", {}).get("oom_kill")
        text = f"{entry.container} was ended by SIGKILL from outside {when} (exit code {KILLED})"
        text += ", not by the kernel's OOM killer: memory.events shows no oom_kill" if events == 0 else ""
        text += "; memory.events was not recorded, so why is not known" if events is None else ""
        return text + ("; Docker had received a kill request for it" if _asked_docker(study, entry) else "")
    if entry.exit_code is not None and 128 < entry.exit_code < 128 + signal.NSIG:
        number = signal.Signals(entry.exit_code - 128)
        text = f"{entry.container} was ended by {number.name} {when} (exit code {entry.exit_code})"
        return f"{text}{_full_tmpfs(study, entry)}" if number is signal.SIGBUS else text
    return f"{entry.container} ended by itself {when} with exit code {entry.exit_code}"


def _full_tmpfs(study: Study, entry: Instance) -> str:
    """SIGBUS comes where a mapped file has no room for a page: no limit of memory is in play."""
    line = study.timelines.get(entry.owner)
    held = max((value for value in line.shmem if value is not None), default=0) if line is not None else 0
    size = next((one.shm_bytes for one in study.instances_of(SANDBOX) if one.shm_bytes), SHM_BYTES)
    if held < NEARLY * size:
        return ""
    default = " by default" if size == SHM_BYTES else ""
    return (
        f", with {format_bytes(held)} of shared memory: /dev/shm has {format_bytes(size)}{default}, "
        "and a page beyond that is a bus error, whatever memory there is"
    )


def _ended_with_the_engine(study: Study) -> list[str]:
    ended = list(dict.fromkeys(one.container for one in study.instances if one.with_engine))
    names = listed([name for name in ended if name in study.containers])
    return (
        [f"{names} ended because the engine ended {'it' if len(ended) == 1 else 'them'} on its way out."]
        if names
        else []
    )


def _killed_for_a_probe(entries: list[Instance], when: str) -> str:
    entry = entries[0]
    text = f"{entry.container} was killed for its failing {entry.killed_for} probe {when}"
    forced = [one.stop for one in entries if one.stop is not None and one.stop.sigkill_s is not None]
    if forced:
        text += f": it did not end on SIGTERM, SIGKILL came after {format_seconds(forced[0].grace_s)} of grace"
    return f"{text} (exit code {entry.exit_code})"


def _stops(study: Study) -> list[str]:
    """How containers ended that the pod's end told to."""
    ended = [one for one in study.instances if one.stop is not None and one.exited_s is not None]
    return [_stop(entry) for entry in ended if entry.stop is not None and entry.stop.why == "pod"]


def _stop(entry: Instance) -> str:
    assert entry.stop is not None and entry.exited_s is not None
    text = f"{entry.container} was asked to stop at {format_seconds(entry.stop.asked_s)}"
    if _forced(entry):
        text += f" and did not: SIGKILL came after {format_seconds(entry.stop.grace_s)} of grace"
    else:
        text += f" and exited {format_seconds(entry.exited_s - entry.stop.asked_s)} later"
    return f"{text} (exit code {entry.exit_code})."


def _forced(entry: Instance) -> bool:
    """It was told to end with its pod, and SIGKILL had to do it."""
    stop = entry.stop
    return stop is not None and stop.why == "pod" and stop.sigkill_s is not None and entry.exited_s is not None


def _asked_docker(study: Study, entry: Instance) -> bool:
    """Whether the engine told of a kill that someone asked it for, shortly before the end."""
    told = (event for event in study.docker_events if event.text == "kill" and event.detail.get("id") == entry.id)
    return any(event.t <= (entry.exited_s or 0.0) for event in told)


def _restarts(study: Study) -> list[str]:
    found = []
    for name in study.containers:
        restarts = study.restarts_of(name)
        if not restarts:
            continue
        waits = [wait for wait in study.back_offs if wait.subject == name and wait.detail["delay_s"] > 0]
        text = f"{name} was restarted {often(restarts)}"
        if waits:
            longest = format_seconds(max(float(wait.detail["delay_s"]) for wait in waits))
            text += f", the longest back-off was {longest} (CrashLoopBackOff)"
        found.append(f"{text}.")
    return found


def _hindered(study: Study) -> list[str]:
    """What held containers back, as far as it slowed them, and is not told with a stall."""
    told = {(stall.container, stall.why) for stall in stalls(study)}
    return [
        describe(name, one)
        for name in study.containers
        for one in held_back(study, name)
        if hinders(one) and (name, one.by) not in told
    ]


def _nearest(study: Study, summary: dict[str, Any]) -> list[str]:
    """The container that came nearest to its limit; without limits, the one that held most."""
    known = []
    for name in study.containers:
        figures = summary["containers"][name]
        peak, (limit, which) = figures["memory_peak_bytes"], bound(figures)
        if peak is not None:
            near = peak / limit if limit else 0.0
            known.append((near, peak, f"{name} peaked at {of_limit(peak, limit)}{f' ({which})' if which else ''}"))
    return [max(known)[2]] if known else []


def _lost(study: Study) -> list[str]:
    """What was lost on the way, and why."""
    return (
        []
        if study.failed is None
        else [f"{study.failed.what[0].upper()}{study.failed.what[1:]}: {study.failed.why}."]
    )


def _notes(study: Study) -> list[str]:
    serious = [note for note in study.notes if note.detail.get("level") in ("warning", "error")]
    words = [f"{note.text} ({note.detail['why']})" if note.detail.get("why") else note.text for note in serious]
    return [f"Note: {text}." for text in dict.fromkeys(words)]
