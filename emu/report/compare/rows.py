"""A run of a scenario with variants, in the figures that are compared: a row for each variant. Pure.

What memory costs is what was held for how long, in GiB-seconds, while the load lasted: the same stretch of the same
traffic in each, without what warmed the pod up.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from emu.policy.expectations import NotMeasuredError, look_up
from emu.report.topics.churn import swap_words
from emu.report.topics.reclaim import reclaim_words
from emu.report.words import labelled, listed
from emu.units import format_bytes

Summary = dict[str, Any]
_NODE = "node"
_LIMITS = {"container": "its own", "pod": "the pod's"}
FROM_DISK_BYTES = 2**20
"""A read that took less than this from disk found the file in memory."""
_WORTH_A_WORD_BYTES = 2**20


@dataclass(frozen=True)
class Row:
    """A variant in the figures that are compared. None is not measured, or does not apply."""

    name: str
    begin_s: float | None = None
    end_s: float | None = None
    """The load's, without what warmed the pod up."""
    held_gib_s: float | None = None
    swap_held_gib_s: float | None = None
    peak_bytes: int | None = None
    """memory.peak of the pod, over the whole run."""
    restarts: int | None = None
    oom_kills: int | None = None
    spared: bool = False
    """Each OOM kill took a child process, and the container lived on."""
    some_spared: bool = False
    """Some did, and others took the container."""
    first_kill_s: float | None = None
    """After the load began; less than 0 before it."""
    victim: tuple[str, str] = ("", "")
    """Which container was OOM-killed first, and on which level."""
    killed: str = ""
    """The same in words, with the limit; empty where a limit of a container or a pod was none of it."""
    node_kills: int = 0
    """OOM kills because the node was full."""
    pods: int = 0
    """All that there were."""
    pods_wanted: int | None = None
    """At most, by the autoscaler, for all services together; None where none is scaled."""
    pods_ready: int | None = None
    """At most, likewise."""
    panics: int | None = None
    cold: int | None = None
    """Requests that waited for a pod that was not ready when they came."""
    direct: int | None = None
    """Requests that clients sent to a pod, past the activator."""
    scaled_by: str = ""
    """The classes of their autoscalers."""
    reaction_s: float | None = None
    """From the beginning of a phase until the first of them wanted more pods."""
    idle_pod_s: float | None = None
    """How long all their pods together stayed after the last request."""
    made_room: str = ""
    """In words, whom the kubelet evicted, and whom the kernel killed or reclaimed from when the node was full; empty
    where none of it happened.
    """
    charged: str | None = None
    """In words, whom page cache is charged to at the end where an init container that is gone touched some first;
    None in other runs.
    """
    reads: Mapping[str, float] = field(default_factory=dict)
    """How long each read of a file from disk took, where io.max held somebody back or pods shared the disk, and the
    answers beside who shared it: `web/app read data`, `99 % of web's answers (beside) came`.
    """
    passes: Mapping[str, tuple[float, int]] = field(default_factory=dict)
    """Where the node was full: each read of a file by its phase, how long it took and how much came from disk."""
    swapped: str = ""
    """In words, what became of pages that had no room, of the container that swapped most; empty where none did."""
    swapped_by: str = ""
    """What took them: `disk`, `zswap` or `zram`."""
    warm_ups: list[Summary] = field(default_factory=list)
    """The first request of each pod that came back from zero and read a file."""
    starts: Summary | None = None
    """What starts took; None in a run without them."""
    cpu_s: float | None = None
    frozen_s: float | None = None
    zero_s: float | None = None
    """How long there was no pod."""
    sent: int | None = None
    ok: int | None = None
    """Answered with a status below 400."""
    latency: Mapping[str, Any] = field(default_factory=dict)
    """In ms, of what was answered with success: how many, and percentiles."""
    woken: int | None = None
    """Requests that came first after idleness; of a policy that does something to an idle pod, those that found it
    frozen or gone.
    """
    woken_p50_ms: float | None = None
    woken_max_ms: float | None = None
    met: int = 0
    expected: int = 0
    state: str = "played"
    """`played`, `cut off` or `not played`."""


def rows_of(played: Mapping[str, Summary | None]) -> list[Row]:
    """A row for each variant, in the scenario's order."""
    return [Row(name, state="not played") if one is None else _row(name, one) for name, one in played.items()]


def is_whole(summary: Summary) -> bool:
    """Whether it was played to its end."""
    return bool(summary["ended"]) and not (summary["interrupted"] or summary["failed"])


def _row(name: str, summary: Summary) -> Row:
    def figure(path: str) -> Any:
        try:
            return look_up(summary, path)
        except NotMeasuredError:
            return None

    by_status = figure("load.requests.by_status") or {}
    services = list((figure("services") or {}).values())

    def together(name: str) -> Any:
        return sum(one[name] or 0 for one in services) if services else None

    swapped = swap_words(summary)
    first_kill_s, load_began_s = figure("oom_kills.0.time_s"), figure("load.begin_s")
    woken = "load.requests.after_idle"
    woken += ".asleep" if figure(f"{woken}.asleep") else ""
    return Row(
        name,
        begin_s=figure("load.begin_s"),
        end_s=figure("load.end_s"),
        held_gib_s=figure("load.pod.memory_held_gib_seconds"),
        swap_held_gib_s=figure("load.pod.swap_held_gib_seconds"),
        peak_bytes=figure("pod.memory_peak_bytes"),
        oom_kills=figure("pod.oom_kills"),
        restarts=figure("pod.restarts"),
        spared=all(kill.get("child") for kill in summary.get("oom_kills") or [{}]),
        some_spared=len({bool(kill.get("child")) for kill in summary.get("oom_kills") or []}) > 1,
        victim=_victim(summary),
        killed=_killed(summary),
        node_kills=sum(kill["level"] == _NODE for kill in summary.get("oom_kills") or []),
        pods=len(summary.get("pods") or {}),
        first_kill_s=None if None in (first_kill_s, load_began_s) else first_kill_s - load_began_s,
        pods_wanted=together("pods_desired_max"),
        pods_ready=together("pods_ready_max"),
        panics=together("panics"),
        cold=together("cold_requests"),
        direct=together("direct_requests"),
        scaled_by=", ".join(dict.fromkeys(str(one["class"]) for one in services)),
        reaction_s=min((one["reaction_s"] for one in services if one["reaction_s"] is not None), default=None),
        idle_pod_s=together("idle_pod_seconds"),
        made_room=_made_room(summary),
        charged=_charged(summary),
        reads=_reads(summary),
        passes=_passes(summary),
        swapped=swapped[1],
        swapped_by=swapped[0],
        warm_ups=summary.get("warm_ups") or [],
        starts=summary.get("starts"),
        cpu_s=figure("load.pod.cpu_s"),
        frozen_s=figure("freezer.frozen_s"),
        zero_s=figure("autoscaling.zero_s"),
        sent=figure("load.requests.sent"),
        ok=sum(number for status, number in by_status.items() if int(status) < 400) if by_status else None,
        latency=figure("load.requests.latency_ms_by_outcome.2xx") or {},
        woken=figure(f"{woken}.sent"),
        woken_p50_ms=figure(f"{woken}.latency_ms.p50"),
        woken_max_ms=figure(f"{woken}.latency_ms.max"),
        met=sum(bool(one["met"]) for one in summary["expectations"]),
        expected=len(summary["expectations"]),
        state="played" if is_whole(summary) else "cut off",
    )


def _victim(summary: Summary) -> tuple[str, str]:
    return next(((one.get("container", ""), one["level"]) for one in summary.get("oom_kills") or []), ("", ""))


def _killed(summary: Summary) -> str:
    """`queue-proxy was OOM-killed at the pod's limit of 96 MiB, then app`."""
    kills = [one for one in summary.get("oom_kills") or [] if one["level"] in _LIMITS]
    if not kills or not kills[0].get("limit_bytes"):
        return ""
    alone = len(summary.get("pods") or {}) < 2
    names = (str(one["container"]) if alone else labelled(one) for one in kills)
    first, *others = dict.fromkeys(
        f"{'a child process of ' if one.get('child') else ''}{name}" for one, name in zip(kills, names, strict=True)
    )
    limit = f"{_LIMITS[kills[0]['level']]} limit of {format_bytes(kills[0]['limit_bytes'])}"
    return f"{first} was OOM-killed at {limit}{''.join(f', then {one}' for one in others)}"


def _made_room(summary: Summary) -> str:
    """`the kubelet evicted a`, `the scheduler preempted b`, `the kernel OOM-killed a/web, then a child process of
    b/web`, in order of time; before that, what the kernel reclaimed from whom.
    """
    said = []
    evicted = [str(one["pod"]) for one in summary.get("evictions") or []]
    if evicted:
        said.append((summary["evictions"][0]["time_s"], f"the kubelet evicted {', then '.join(evicted)}"))
    preempted = [str(one["pod"]) for one in summary.get("preemptions") or []]
    if preempted:
        said.append((summary["preemptions"][0]["time_s"], f"the scheduler preempted {', then '.join(preempted)}"))
    kills = [one for one in summary.get("oom_kills") or [] if one["level"] == _NODE]
    if kills:
        names = [f"{'a child process of ' if one['child'] else ''}{labelled(one)}" for one in kills]
        said.append((kills[0]["time_s"], f"the kernel OOM-killed {', then '.join(names)}"))
    reclaimed = reclaim_words(summary.get("reclaim") or [])
    return ", and ".join([*([reclaimed] if reclaimed else []), *(words for _, words in sorted(said))])


def _reads(summary: Summary) -> dict[str, float]:
    """Each read of a file that came from disk, and the answers beside others, with how long they took; nothing where
    nothing divided the disk.
    """
    holders = [*(summary.get("containers") or {}).values(), summary.get("node") or {}]
    if not summary.get("disk_shares") and not any(
        one["by"] == "io.max" for holder in holders for one in holder.get("held_back") or []
    ):
        return {}
    beside = [one for one in summary.get("disk_shares") or [] if one.get("tail_s") and one["answers"] > 1]
    return {_answers_of(one): one["tail_s"] for one in beside} | {
        f"{labelled(one)} read {one['file']}": one["took_s"]
        for one in (summary.get("page_cache") or {}).get("reads", [])
        if one["took_s"] and (one["disk_read_bytes"] or 0) >= FROM_DISK_BYTES
    }


def _answers_of(one: Summary) -> str:
    part = "99 % of" if one["tail"] == "p99" else "all of"
    return f"{part} {one['parts'][0]['pod']}'s answers ({one['phase']}) came"


def _passes(summary: Summary) -> dict[str, tuple[float, int]]:
    """Each read of a file where the node was full and had to take page cache from somebody."""
    reads = (summary.get("page_cache") or {}).get("reads", []) if summary.get("reclaim") else []
    return {
        f"in {one['phase']} {labelled(one)} read {one['file']}": (one["took_s"], one["disk_read_bytes"] or 0)
        for one in reads
        if one["took_s"]
    }


def _charged(summary: Summary) -> str | None:
    """`181 MiB to app and 19 MiB to the pod alone`: at the end, in a run of one pod with an init container
    that completed; None in other runs.
    """
    containers, whole = summary.get("containers") or {}, (summary.get("pod") or {}).get("file_end_bytes")
    living = {name: one for name, one in containers.items() if not _is_through(one)}
    if whole is None or len(living) == len(containers) or len(summary.get("pods") or {}) > 1:
        return None
    held = {f"to {name}": one["file_end_bytes"] or 0 for name, one in living.items()}
    held["to the pod alone"] = whole - sum(held.values())
    return listed([f"{format_bytes(size)} {whom}" for whom, size in held.items() if size >= _WORTH_A_WORD_BYTES])


def _is_through(container: Mapping[str, Any]) -> bool:
    """Whether it is an init container that completed: no other one is ready once it has ended."""
    return bool(container.get("ready")) and (container.get("state") or {}).get("reason") == "Completed"
