"""The verdict that a person can repeat aloud: a headline, and the sentences that support it.

Every number comes from the study; where something was not recorded the sentence is left out or says so.
"""

from __future__ import annotations

import signal
from dataclasses import dataclass, field
from typing import Any

from emu.report.model import Instance, OomVerdict, Study
from emu.report.oom import DOCKER_FLAG, EXIT_CODE
from emu.report.oom_pieces import KILLED
from emu.report.story_clients import answers_headline, bound_headline, client_sentences
from emu.report.story_freezes import freeze_headline, freeze_sentences
from emu.report.story_memory import cache_headline, memory_sentences, swap_headline
from emu.report.story_reasons import reason_sentences
from emu.report.story_scaling import scale_headline, scale_sentences
from emu.report.story_stalls import stall_headline, stall_sentences
from emu.report.story_start import sidecar_sentences
from emu.report.story_starts import start_headline, start_sentences
from emu.report.words import count, listed, of_limit, often
from emu.units import format_bytes, format_seconds

_PARTS = {
    "anon": "anonymous memory",
    "page_cache": "page cache",
    "shmem": "shared memory",
    "kernel": "kernel memory",
    "sock": "socket buffers",
}
WORTH_TELLING = 0.02
"""Where at least this share of the requests in flight had not been accepted, that is said."""
_WITNESS = {EXIT_CODE: "the exit code 137", DOCKER_FLAG: "Docker's OOMKilled flag"}


@dataclass
class Story:
    """What happened, in words."""

    headline: str
    sentences: list[str] = field(default_factory=list)


def tell(study: Study, summary: dict[str, Any]) -> Story:
    """The story of a run, from its study and its numbers (those of `emu.report.summary`)."""
    if not study.instances and not study.timelines:
        return Story("There is nothing to tell: the run left no record of a container", _notes(study))
    story = Story(f"{_failure(study)}{bound_headline(study)}{_headline(study, summary)}")
    for kill in _one_each(study.kills):
        story.sentences += _kill_sentences(study, kill)
    story.sentences += _at_end(study)
    story.sentences += _flags(study)
    story.sentences += stall_sentences(study)
    story.sentences += _exits(study, summary, skip_first=not study.kills)
    story.sentences += _ended_with_the_engine(study)
    story.sentences += _restarts(study)
    story.sentences += _stops(study)
    story.sentences += client_sentences(summary)
    story.sentences += reason_sentences(summary)
    story.sentences += start_sentences(summary)
    story.sentences += scale_sentences(summary)
    story.sentences += freeze_sentences(study, summary)
    story.sentences += memory_sentences(study, summary)
    story.sentences += sidecar_sentences(study, summary)
    story.sentences += _lost(study)
    story.sentences += _notes(study)
    story.sentences = [text for text in story.sentences if text.rstrip(".") not in story.headline]
    return story


def _failure(study: Study) -> str:
    """Why the run could not go on, before what is known of it."""
    failed = study.failed
    return "" if failed is None else f"The run could not go on after {format_seconds(failed.time_s)}: {failed.what}. "


def _headline(study: Study, summary: dict[str, Any]) -> str:
    if study.kills:
        return _kill_headline(study)
    exits = _exits(study, summary)
    if exits:
        return exits[0].rstrip(".")
    forced = [entry for entry in study.instances if _forced(entry)]
    if forced:
        text = _stop(forced[0]).rstrip(".")
        return "; ".join([text, *answers_headline(study)])
    parts = (
        stall_headline(study)
        or start_headline(summary)
        or scale_headline(summary)
        or freeze_headline(study)
        or [*swap_headline(study, summary), *cache_headline(study, summary)]
    )
    parts = parts or _peaks(study, summary)
    parts += answers_headline(study)
    watched = any(entry["oom_kills"] is not None for entry in summary["containers"].values())
    verdict = "Nothing was killed" if watched else "Whether a process was killed was not recorded"
    verdict = (
        verdict
        if study.ended and study.failed is None
        else f"As far as it was recorded, {verdict[0].lower()}{verdict[1:]}"
    )
    return f"{verdict}: {'; '.join(parts)}" if parts else verdict


def _kill_headline(study: Study) -> str:
    first = study.kills[0]
    mine = study.kills_of(first.container)
    who = f"a child process of {first.container}" if first.child else first.container
    when = (
        f"{format_seconds(first.after_first_request_s)} after the first request"
        if first.after_first_request_s is not None
        else f"{format_seconds(first.time_s)} into the run"
    )
    times = f" {often(len(mine))}, first" if len(mine) > 1 else ""
    still = " while frozen" if first.frozen else " as the run ended it" if first.at_end else ""
    text = f"{who} was OOM-killed{still}{times} {when}: {_cause(first)}"
    if first.in_flight:
        waited = "request was" if first.in_flight == 1 else "requests were"
        text += f" while {first.in_flight:,} {waited} waiting for an answer"
        if (first.in_backlog or 0) >= WORTH_TELLING * first.in_flight:
            text += f", {first.in_backlog:,} of them not accepted yet"
    text += "; the container lived on" if first.child else ""
    others = [kill for kill in _one_each(study.kills) if kill.container != first.container]
    text += "".join(f"; {kill.container} was OOM-killed too" for kill in others)
    told = {kill.container for kill in others} | {first.container}
    return text + "".join(f"; {held}" for held in _others_held(study, first, told))


def _cause(kill: OomVerdict) -> str:
    limit = "" if kill.limit_bytes is None else f" of {format_bytes(kill.limit_bytes)}"
    if kill.level == "host":
        return "the machine itself had no memory left"
    return f"its own limit{limit} was reached" if kill.level == "container" else f"the pod's limit{limit} was reached"


def _others_held(study: Study, kill: OomVerdict, told: set[str]) -> list[str]:
    """What the other containers used at the time of a kill."""
    found = []
    for line in study.timelines.values():
        if line.label in told or line.label not in study.containers:
            continue
        before = [(t, used) for t, used in zip(line.t, line.memory_current, strict=True) if used is not None]
        before = [(t, used) for t, used in before if t <= kill.time_s]
        gone = line.t and line.t[-1] < kill.time_s - 1.0
        if before and not gone:
            limit = next((one.memory_max for one in study.instances if one.key == line.key), None)
            found.append(f"{line.label} used {of_limit(before[-1][1], limit)}")
    return found


def _one_each(kills: list[OomVerdict]) -> list[OomVerdict]:
    """The first kill of each container."""
    return list({kill.container: kill for kill in reversed(kills)}.values())[::-1]


def _kill_sentences(study: Study, kill: OomVerdict) -> list[str]:
    found = []
    if kill.victim is not None and kill.anon_rss_bytes is not None:
        held = f"{format_bytes(kill.anon_rss_bytes)} of anonymous memory"
        if kill.file_rss_bytes:
            held += f" and {format_bytes(kill.file_rss_bytes)} of file pages"
        found.append(f"The killed process, {kill.victim} (pid {kill.pid}), held {held}.")
    found += _made_of(kill)
    if len(kill.pids) > 1:
        found.append(
            f"The kernel killed {count(len(kill.pids), 'process', 'processes')} of {kill.container} together."
        )
    frozen = [one for one in study.kills_of(kill.container) if one.frozen]
    if frozen:
        times = "" if len(frozen) == len(study.kills_of(kill.container)) == 1 else f" {often(len(frozen))}"
        found.append(f"{kill.container} stood still when it was killed{times}: SIGKILL reaches what is frozen.")
    if kill.invoker and kill.invoker != kill.victim:
        found.append(f"{kill.invoker} had asked for the memory that was not there, and {kill.victim} died for it.")
    if kill.level != "container":
        found += _chosen(study, kill)
    if not kill.log:
        witnesses = listed([_WITNESS.get(word, word) for word in kill.evidence])
        found.append(f"Known from {witnesses}; the kernel's log has no line of it.")
    return found


def _at_end(study: Study) -> list[str]:
    """Kills that came only because the run was over."""
    late = [kill for kill in study.kills if kill.at_end]
    if not late:
        return []
    names = listed(list(dict.fromkeys(kill.container for kill in late)))
    whole = len(study.kills)
    of = "The OOM kill" if len(late) == whole == 1 else f"{len(late)} of {count(whole, 'OOM kill')}"
    return [f"{of} came while the run was ending {names}: to stop needs memory too, and nobody asked for anything."]


def _made_of(kill: OomVerdict) -> list[str]:
    """What filled the memory that ran out, the largest part first; parts under a hundredth are left out."""
    whole = sum(kill.held.values())
    parts = sorted(kill.held.items(), key=lambda part: -part[1])
    told = [f"{format_bytes(size)} of {_PARTS[name]}" for name, size in parts if size * 100 > whole]
    who = {"pod": "The pod", "host": kill.container}.get(kill.level, kill.container)
    return [f"{who} held {listed(told)} then."] if told else []


def _chosen(study: Study, kill: OomVerdict) -> list[str]:
    """Why the kernel may have chosen this container: its oom_score_adj against the others'."""
    scores = {one.container: one.oom_score_adj for one in study.instances if one.container in study.containers}
    mine = scores.pop(kill.container, None)
    if mine is None or not scores or mine <= max(scores.values()):
        return []
    others = listed([f"{name} {score}" for name, score in scores.items()])
    return [f"The kernel prefers the process with the higher oom_score_adj: {kill.container} has {mine}, {others}."]


def _flags(study: Study) -> list[str]:
    """Where Docker's flag lied, in either direction."""
    died = [kill for kill in study.kills if not kill.child]
    denied = [kill for kill in died if any(word.startswith(DOCKER_FLAG) for word in kill.contradicts)]
    found = []
    if denied:
        whole = "the kill" if len(died) == 1 else f"{len(denied)} of {len(died)} kills"
        found.append(
            f"Docker's own OOMKilled flag said false for {whole}: it races with the exit, so it proves nothing."
        )
    for entry in study.instances:
        if entry.docker_oom_killed and not any((kill.container, kill.attempt) == entry.key for kill in study.kills):
            found.append(f"Docker calls {entry.container} OOMKilled, but memory.events shows no oom_kill.")
    return found


def _exits(study: Study, summary: dict[str, Any], *, skip_first: bool = False) -> list[str]:
    """Containers that ended by themselves or by another hand, without an OOM kill; those alike in one sentence."""
    alike: dict[tuple[str, int, str | None], list[Instance]] = {}
    for entry in study.instances:
        if entry.exit_code is not None and not entry.asked and not entry.with_engine and entry.reason != "OOMKilled":
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
        return text + ("; Docker was told to kill it" if _asked_docker(study, entry) else "")
    if entry.exit_code is not None and 128 < entry.exit_code < 128 + signal.NSIG:
        name = signal.Signals(entry.exit_code - 128).name
        return f"{entry.container} was ended by {name} {when} (exit code {entry.exit_code})"
    return f"{entry.container} ended by itself {when} with exit code {entry.exit_code}"


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
    text = f"{entry.container} was told to end at {format_seconds(entry.stop.asked_s)}"
    if _forced(entry):
        text += f" and did not: SIGKILL came after {format_seconds(entry.stop.grace_s)} of grace"
    else:
        text += f" and had ended {format_seconds(entry.exited_s - entry.stop.asked_s)} later"
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


def _peaks(study: Study, summary: dict[str, Any]) -> list[str]:
    found = []
    for name in sorted(study.containers, key=lambda name: name != "queue-proxy"):
        figures = summary["containers"][name]
        if figures["memory_peak_bytes"] is not None:
            found.append(f"{name} peaked at {of_limit(figures['memory_peak_bytes'], figures['memory_limit_bytes'])}")
    return found[:1]


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
