"""How containers ended, in words: by themselves, by a signal, for a failed probe or with their pod; and restarts."""

from __future__ import annotations

import re
import signal
from typing import Any

from emu.messages import SANDBOX
from emu.policy.kubelet.ending import KILLED, LEAST_GRACE_S
from emu.record.events import SCALE_DOWN
from emu.report.words import listed
from emu.study.logs import drain_s
from emu.study.model.instances import Instance, Stop, container_of
from emu.study.model.study import Study
from emu.units import format_bytes, format_seconds, often

SHM_BYTES = 64 * 2**20
"""What /dev/shm holds unless somebody mounts more there: the runtimes' default."""
NEARLY = 0.95
PROBE_S = 0.5
"""A probe's failure is on record so much later than what the kubelet does about it, at most."""
_FAILED = (
    (r"Client\.Timeout|did not complete within|i/o timeout", "no answer in time"),
    (r" timed out$", "its command took too long"),
    (r"connection refused", "connection refused"),
    (r"service unhealthy", "not SERVING"),
)
"""What the kubelet's words for a failed probe come to."""
HOOK_S = 0.5
"""A preStop hook that was shorter gets no word: SIGTERM came at once."""


def end_sentences(study: Study, summary: dict[str, Any]) -> list[str]:
    """All ends that no OOM kill explains, and the restarts. What the headline says is left out later."""
    return [
        *exits(study, summary),
        *_ended_with_the_engine(study),
        *_restarts(study),
        *_stops(study),
    ]


def exits_headline(study: Study, summary: dict[str, Any]) -> list[str]:
    """The first of them, and which other containers ended as well; nothing where none did."""
    said = exits(study, summary)
    if not said:
        return []
    entries = ended(study)
    first = next((one for one in entries if one.exit_code != 0), entries[0]).container if entries else ""
    others = list(dict.fromkeys(one.container for one in entries if one.container != first))
    return [said[0].rstrip("."), *([f"{listed(others)} ended too"] if others else [])]


def exits(study: Study, summary: dict[str, Any]) -> list[str]:
    """Containers that ended by themselves or by another hand, without an OOM kill, those alike in one sentence; and
    those that a failed probe should have ended.
    """
    alike: dict[tuple[str, int | None, str | None, bool], list[Instance]] = {}
    for entry in ended(study):
        code = None if entry.killed_for else entry.exit_code
        key = (entry.container, code, entry.killed_for, entry.started_s is None)
        alike.setdefault(key, []).append(entry)
    worst_first = sorted(alike.values(), key=lambda entries: entries[0].exit_code == 0)
    found = [f"{_exit(study, summary, entries)}." for entries in worst_first]
    found += [f"{_not_ended(entry, entry.stop)}." for entry in study.instances if entry.stop and _lingers(entry)]
    return found


def _lingers(entry: Instance) -> bool:
    """It was to be restarted for a failed probe, and only the run's end ended it."""
    return (
        entry.stop is not None and entry.stop.why in ("liveness", "startup") and (entry.asked or not entry.exited_s)
    )


def _not_ended(entry: Instance, stop: Stop) -> str:
    text = f"{entry.container} failed its {stop.why} probe at {format_seconds(stop.asked_s)}"
    if entry.exited_s is None:
        return f"{text} and had not ended when the record did"
    text += f" and still ran {format_seconds(entry.exited_s - stop.asked_s)} later, when the run ended"
    hook_s = _until_sigterm_s(stop)
    why = "it had not got SIGTERM yet" if hook_s is None else "SIGTERM did not end it"
    least_s = 0.0 if hook_s is None else hook_s + LEAST_GRACE_S
    due = format_seconds(max(stop.grace_s, least_s))
    of = "its grace period" if least_s <= stop.grace_s else f"{format_seconds(LEAST_GRACE_S)} after its preStop hook"
    return f"{text}: {why}, and SIGKILL was due {due} after the probe failed ({of})"


def ended(study: Study) -> list[Instance]:
    """Those that ended by themselves or by another hand, without an OOM kill."""
    return [
        entry
        for entry in study.instances
        if entry.exit_code is not None
        and not (entry.asked or entry.completed or entry.with_engine or entry.oom_ended)
    ]


def _exit(study: Study, summary: dict[str, Any], entries: list[Instance]) -> str:
    entry = entries[0]
    at = f"at {format_seconds(entry.exited_s)}"
    when = at if len(entries) == 1 else f"{often(len(entries))}, first {at}"
    if entry.killed_for is not None:
        return _killed_for_a_probe(study, entries, when)
    if entry.started_s is None:
        names = (entry.container, container_of(entry.container))
        events = (one for one in study.pod_events if one.pod == entry.pod and one.container in names)
        failed = [one.message for one in events if one.reason == "Failed"]
        why = f": {failed[0].removeprefix('Error: ')}" if failed else ""
        return f"{entry.container} could not be started {when} (exit code {entry.exit_code}){why}"
    if entry.exit_code == KILLED:
        events = summary["containers"].get(entry.container, {}).get("memory_events", {}).get("oom_kill")
        text = f"{entry.container} was ended by SIGKILL from outside {when} (exit code {KILLED})"
        text += ", not by the kernel's OOM killer: memory.events shows no oom_kill" if events == 0 else ""
        text += "; memory.events was not recorded, so why is not known" if events is None else ""
        return text + ("; Docker had received a kill request for it" if _asked_docker(study, entry) else "")
    number = (entry.exit_code or 0) - 128
    if number in list(signal.Signals):  # not each number up to the last has a name
        text = f"{entry.container} was ended by {signal.Signals(number).name} {when} (exit code {entry.exit_code})"
        return f"{text}{_full_tmpfs(study, entry)}" if number == signal.SIGBUS else text
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


def _killed_for_a_probe(study: Study, entries: list[Instance], when: str) -> str:
    entry = entries[0]
    text = (
        f"{entry.container} was killed for its failing {entry.killed_for} probe{_why_it_failed(study, entry)} {when}"
    )
    forced = [one.stop for one in entries if one.stop is not None and one.stop.sigkill_s is not None]
    if forced:
        text += f": {'' if len(forced) == len(entries) else f'{often(len(forced))} '}{_forced_words(forced[0])}"
    codes = list(dict.fromkeys(str(one.exit_code) for one in entries))
    return f"{text} (exit code{'s' if len(codes) > 1 else ''} {listed(codes)})"


def _why_it_failed(study: Study, entry: Instance) -> str:
    """` (no answer in time)`: of the last probe that it was killed for; empty where that is not known."""
    said = f"{(entry.killed_for or '').capitalize()} probe failed: "
    begin, until = entry.started_s or 0.0, (entry.exited_s or 0.0 if entry.stop is None else entry.stop.asked_s)
    mine = [one for one in study.failed_probes if (one.pod, one.subject) == (entry.pod, entry.container)]
    texts = [one.text for one in mine if one.text.startswith(said) and begin <= one.t <= until + PROBE_S]
    if status := re.search(r"statuscode: (\d+)$", texts[-1] if texts else ""):
        return f" (status {status[1]})"
    words = next((words for sign, words in _FAILED if texts and re.search(sign, texts[-1])), "")
    return f" ({words})" if words else ""


def _forced_words(stop: Stop) -> str:
    hook = _hook_s(stop)
    if hook is None or stop.sigterm_s is None or stop.sigkill_s is None:
        return f"it did not end on SIGTERM, so SIGKILL came after {format_seconds(stop.grace_s)} of grace"
    left = format_seconds(stop.sigkill_s - stop.sigterm_s)
    return (
        f"its preStop hook took {format_seconds(hook)}, and SIGKILL came {left} after SIGTERM, which did not end it"
    )


def _stops(study: Study) -> list[str]:
    """How containers ended that were stopped with the pod."""
    ended = [one for one in study.instances if one.stop is not None and one.exited_s is not None]
    found = [stop_words(study, entry) for entry in ended if entry.stop is not None and entry.stop.why == "pod"]
    return [*found, *_scaled_away(study)]


def _scaled_away(study: Study) -> list[str]:
    """Containers that only SIGKILL ended as their pods were scaled away, or not even that, each in a sentence."""
    found = []
    for name in study.containers:
        ended = [one for one in study.instances_of(name) if one.stop is not None and one.exited_s is not None]
        ended = [one for one in ended if one.stop is not None and one.stop.why == SCALE_DOWN]
        stops = [one.stop for one in ended if one.stop is not None]
        waits = [one.sigkill_s - one.asked_s for one in stops if one.sigkill_s is not None]
        if waits:
            times = f" {often(len(waits))}" if len(waits) > 1 else ""
            most = f"{'up to ' if times else ''}{format_seconds(max(waits))}"
            text = f"{name} did not end on SIGTERM as its pod was scaled away{times}"
            found.append(f"{text}: SIGKILL came {most} after it was asked to stop.")
        cut = [one.stop for one in ended if one.cut_short and one.stop is not None and _had_sigterm(one.stop)]
        found += [f"{_cut_short(name, one, ' as its pod was scaled away')}." for one in cut]
    return found


def _had_sigterm(stop: Stop) -> bool:
    """It had been sent SIGTERM a while ago when the run ended it."""
    return stop.cut_s is not None and stop.sigterm_s is not None and stop.cut_s - stop.sigterm_s >= LEAST_GRACE_S


def _cut_short(name: str, stop: Stop, when: str = "") -> str:
    """Of one that was still to end as the run did; `when` it was asked."""
    assert stop.cut_s is not None
    text = f"{name} was asked to stop{when} at {format_seconds(stop.asked_s)}"
    since, due = format_seconds(stop.cut_s - stop.asked_s), format_seconds(stop.grace_s)
    return f"{text} and still ran {since} later, when the run ended: SIGKILL was due {due} after it was asked"


def stop_words(study: Study, entry: Instance) -> str:
    """When it was asked to stop, and whether SIGTERM was enough."""
    assert entry.stop is not None and entry.exited_s is not None
    stop = entry.stop
    if entry.cut_short:
        return f"{_cut_short(entry.container, stop)}."
    text = f"{entry.container} was asked to stop at {format_seconds(stop.asked_s)}"
    if (hook := _hook_s(stop)) is not None:
        grace = format_seconds(stop.grace_s)
        took = f"all of its {grace}" if hook >= NEARLY * stop.grace_s else f"{format_seconds(hook)} of its {grace}"
        text += f": its preStop hook took {took} of grace, and it {_after_sigterm(entry, stop)}"
    elif forced(entry):
        drain = drain_s(study, entry)
        takes = "" if drain is None else f"which takes {format_seconds(drain)} without a request"
        still = f", while it still drained, {takes}" if takes else ""
        text += f" and did not: SIGKILL came after {format_seconds(stop.grace_s)} of grace{still}"
    else:
        text += f" and exited {format_seconds(entry.exited_s - stop.asked_s)} later"
    return f"{text} (exit code {entry.exit_code})."


def _until_sigterm_s(stop: Stop) -> float | None:
    """How long its preStop hook kept SIGTERM back; None where there was no SIGTERM."""
    return None if stop.sigterm_s is None else stop.sigterm_s - stop.asked_s


def _hook_s(stop: Stop) -> float | None:
    """The same; None also where that is not worth a word."""
    hook_s = _until_sigterm_s(stop)
    return hook_s if hook_s is not None and hook_s >= HOOK_S else None


def _after_sigterm(entry: Instance, stop: Stop) -> str:
    """What it did once its hook was over; the kubelet leaves it 2 s at least."""
    assert stop.sigterm_s is not None and entry.exited_s is not None
    if stop.sigkill_s is None:
        return f"exited {format_seconds(entry.exited_s - stop.sigterm_s)} after SIGTERM"
    return f"did not end on SIGTERM: SIGKILL came {format_seconds(stop.sigkill_s - stop.sigterm_s)} after that"


def forced(entry: Instance) -> bool:
    """It was stopped with its pod, and only SIGKILL ended it."""
    stop = entry.stop
    return stop is not None and stop.why == "pod" and stop.sigkill_s is not None and entry.exited_s is not None


def _asked_docker(study: Study, entry: Instance) -> bool:
    """Whether the engine reported a kill on request, shortly before the end."""
    kills = (event for event in study.docker_events if event.text == "kill" and event.detail.get("id") == entry.id)
    return any(event.t <= (entry.exited_s or 0.0) for event in kills)


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
            how = "a back-off of" if len(waits) == 1 else "back-offs of up to"
            text += f" with {how} {longest} (CrashLoopBackOff)"
        found.append(f"{text}.")
    return found
