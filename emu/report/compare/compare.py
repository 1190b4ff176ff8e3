"""A run of a scenario with variants, in numbers and words: what each gave, side by side. Pure, from their summaries.

What memory costs is what was held for how long, in GiB-seconds, while the load lasted: the same stretch of the same
traffic in each, without what warmed the pod up.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from emu.policy.expectations import VARIANTS, Expectation, NotMeasuredError, look_up
from emu.record.rundir import FORMAT
from emu.report.topics.churn import swap_words
from emu.report.topics.reclaim import reclaim_words
from emu.report.topics.starts import compared as starts_compared
from emu.report.topics.warm_up import compared
from emu.report.words import count, labelled, listed
from emu.units import format_number, format_seconds, often

Summary = dict[str, Any]
ALIKE = 0.05
"""Variants whose memory differs by less than this share are reported as alike."""
_NODE = "node"
FAR = 5.0
"""A longest wait this many times the median is reported beside it."""
FROM_DISK_BYTES = 2**20
"""A read that took less than this from disk found the file in memory."""
SLOWER = 1.5
"""Variants are compared by times that differ by this factor."""


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
    oom_kills: int | None = None
    spared: bool = False
    """Each OOM kill took a child process, and the container lived on."""
    first_kill_s: float | None = None
    """After the load began; less than 0 before it."""
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
    reads: Mapping[str, float] = field(default_factory=dict)
    """How long each read of a file from disk took, where io.max held somebody back or pods shared the disk by weight:
    `web/app read data`.
    """
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


def compare(played: Mapping[str, Summary | None], expectations: Sequence[Expectation], scenario: str) -> Summary:
    """summary.json of the whole. `met`: each variant was played to its end and did what was expected of it, and every
    comparison came true. `interrupted` also where it was between two variants.
    """
    done = [one for one in played.values() if one is not None]
    ended = bool(done) and all(one["ended"] for one in done)
    failed = next((one["failed"] for one in done if one["failed"] is not None), None)
    cut_off = ended and failed is None and len(done) < len(played)
    interrupted = any(one["interrupted"] for one in done) or cut_off
    summary: Summary = {
        "format": FORMAT,
        "emu": _first(done, "emu"),
        "scenario": scenario,
        "met": None,
        "expectations": [],
        "verdict": {},
        "where": _first(done, "where"),
        "wall_time": _first(done, "wall_time"),
        "duration_s": sum(one["duration_s"] for one in done),
        "ended": ended,
        "interrupted": interrupted,
        "failed": failed,
        "machine": _first(done, "machine"),
        VARIANTS: dict(played),
    }
    cut = {name for name, one in played.items() if one is None or not _whole(one)}
    outcomes = [
        one.check(summary, whole=not any(name.split(".")[1] in cut for name in one.names if name.count(".")))
        for one in expectations
        if one.compares_variants
    ]
    summary["expectations"] = [one.to_data() for one in outcomes]
    whole = ended and not interrupted and failed is None
    summary["met"] = whole and all(one.met for one in outcomes) and all(one["met"] for one in done)
    headline, *sentences = _words(rows_of(played))
    sentences += _faster({name: one["time_scale"] for name, one in played.items() if one})
    summary["verdict"] = {"headline": headline, "sentences": [*sentences, *_unmet(played)]}
    return summary


def unmet(played: Mapping[str, Summary | None], *, undecided: bool = False) -> list[tuple[str, dict[str, Any]]]:
    """Expectations of single variants that did not come true, with the variant's name; what is `undecided`
    too.
    """
    return [
        (name, one)
        for name, summary in played.items()
        for one in (summary or {}).get("expectations", [])
        if one["met"] is not True and (undecided or one["met"] is False)
    ]


def _whole(summary: Summary) -> bool:
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
        spared=all(kill.get("child") for kill in summary.get("oom_kills") or [{}]),
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
        reads=_reads(summary),
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
        state="played" if _whole(summary) else "cut off",
    )


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
    """Each read of a file that came from disk, and how long it took; nothing where nothing divided the disk."""
    holders = [*(summary.get("containers") or {}).values(), summary.get("node") or {}]
    if not summary.get("disk_shares") and not any(
        one["by"] == "io.max" for holder in holders for one in holder.get("held_back") or []
    ):
        return {}
    return {
        f"{labelled(one)} read {one['file']}": one["took_s"]
        for one in (summary.get("page_cache") or {}).get("reads", [])
        if one["took_s"] and (one["disk_read_bytes"] or 0) >= FROM_DISK_BYTES
    }


def _slow_reads(rows: list[Row]) -> str:
    """`web/app read data in 4 s with shared and 1.3 s with limited`: the read in which the variants differ
    most, introduced as such where even that differs little; empty where there is none to compare.
    """
    common = [name for name in (rows[0].reads if rows else ()) if all(name in row.reads for row in rows)]
    factors = {name: _factor([row.reads[name] for row in rows]) for name in common}
    name = max(factors, key=lambda one: factors[one], default="")
    if not name or len(rows) < 2:
        return ""
    said = f"{name} in {listed([f'{format_seconds(row.reads[name])} with {row.name}' for row in rows])}"
    alike = "No read of a file took much longer with one variant than with another: "
    return said if factors[name] >= SLOWER else f"{alike}{said}"


def _factor(times: Sequence[float]) -> float:
    return max(times) / min(times)


def _first(done: list[Summary], name: str) -> Any:
    return done[0][name] if done else None


def _words(rows: list[Row]) -> list[str]:
    whole = [row for row in rows if row.state == "played"]
    held = {row.name: row.held_gib_s for row in whole if row.held_gib_s is not None}
    variants = count(len(rows), "variant")
    if len(held) > 1:
        said = [_memory_headline(held)]
    else:
        said = [f"{len(whole)} of {variants} {'was' if len(whole) == 1 else 'were'} played to the end"]
    if scaled := scaled_headline(whole):
        said = [scaled, f"{said[0]}."]
    if any(row.oom_kills for row in whole):
        kills = [_kills(row) for row in whole if row.oom_kills is not None]
        said = [f"OOM kills: {listed(kills)}", f"{said[0]}.", *said[1:]]
    if any(row.made_room for row in whole):
        of_node = "; ".join(f"{row.name}: {row.made_room or 'nothing had to make room'}" for row in whole)
        killed = [row for row in whole if row.oom_kills]
        shown = bool(killed) and all(row.made_room for row in killed)
        said = [of_node, *(said[1:] if shown else [f"{said[0]}.", *said[1:]])]
    if len({row.swapped_by for row in whole if row.swapped_by}) > 1:
        said = [
            "; ".join(f"{row.name}: {row.swapped or 'nothing was swapped'}" for row in whole),
            f"{said[0]}.",
            *said[1:],
        ]
    if reads := _slow_reads(whole):
        said = [reads, f"{said[0]}.", *said[1:]]
    if started := starts_compared((row.name, row.starts) for row in whole):
        said = [started[0], *(f"{one}." for one in started[1:]), f"{said[0]}.", *said[1:]]
    warmed = compared((row.name, row.warm_ups) for row in whole)
    if warmed:
        said = [warmed, f"{said[0]}.", *said[1:]]
    woken = [f"{_woken(row)} with {row.name}" for row in whole if row.woken_p50_ms]
    if woken and not warmed:
        said.append(f"The first answer after idleness took {listed(woken)}.")
    cpu = [f"{format_seconds(row.cpu_s)} with {row.name}" for row in whole if row.cpu_s is not None]
    if cpu:
        whose = "all pods" if any((row.pods_wanted or 0) > 1 for row in whole) else "the pod"
        said.append(f"CPU time of {whose} while the load lasted: {listed(cpu)}.")
    for state, words in (("cut off", "Begun, and not played to the end"), ("not played", "Not begun")):
        names = [row.name for row in rows if row.state == state]
        said += [f"{words}: {listed(names)}."] if names else []
    return said


def _faster(scales: Mapping[str, float]) -> list[str]:
    if all(scale == 1 for scale in scales.values()):
        return []
    alike = len(set(scales.values())) == 1
    each = listed([f"{scale:g} times with {name}" for name, scale in scales.items()])
    how = f"{next(iter(scales.values())):g} times" if alike else each
    return [f"The control plane was faster than in a cluster (timeScale): {how}."]


def _kills(row: Row) -> str:
    when = ""
    if row.oom_kills and row.first_kill_s:
        side = "after" if row.first_kill_s > 0 else "before"
        when = f" ({format_seconds(abs(row.first_kill_s))} {side} the load began)"
    whose = f" of {'a child process' if row.oom_kills == 1 else 'child processes'}" if row.spared else ""
    return f"{row.oom_kills or 'none'}{whose} with {row.name}{when}"


def scaled_headline(rows: Sequence[Row]) -> str:
    """Of variants of a service, by what they differ in: how many pods it had, how soon another class of autoscaler
    wanted more, how long requests took, or how long its pods stayed afterwards; empty where nothing does.
    """
    scaled = [row for row in rows if row.pods_wanted is not None]
    if len(scaled) < max(2, len(rows)):
        return ""
    if len({row.pods_wanted for row in scaled}) > 1:
        return f"Pods that the autoscaler wanted: {listed([f'{row.pods_wanted} with {row.name}' for row in scaled])}"
    reacted = {row.name: row.reaction_s for row in scaled if row.reaction_s is not None}
    if len({row.scaled_by for row in scaled}) > 1 and len(reacted) == len(scaled):
        each = listed([f"{format_seconds(value)} with {name}" for name, value in reacted.items()])
        return f"The autoscaler first wanted more pods after {each}"
    slow = {row.name: row.latency.get("p90") for row in scaled}
    times = [value for value in slow.values() if value]
    if len(times) == len(scaled) and max(times) > SLOWER * min(times):
        each = listed([f"{format_seconds(value / 1e3)} with {name}" for name, value in slow.items() if value])
        return f"90 % of the answers came within {each}"
    stayed = {row.name: row.idle_pod_s or 0.0 for row in scaled}
    if max(stayed.values()) > SLOWER * min(stayed.values()):
        each = listed([f"{format_seconds(value)} with {name}" for name, value in stayed.items()])
        return f"After the last request all pods together stayed for {each}"
    if len({bool(row.direct) for row in scaled}) > 1:
        each = listed([f"{row.direct or 'none'} of {row.sent} with {row.name}" for row in scaled])
        pods = f"all variants had {count(scaled[0].pods_wanted or 0, 'pod')} at most"
        panicked = f", and panicked {often(scaled[0].panics)}" if scaled[0].panics else ""
        alike = f"{pods}{panicked}" if len({row.panics for row in scaled}) == 1 else pods
        return f"Requests that went to a pod past the activator: {each}; {alike}"
    return ""


def _woken(row: Row) -> str:
    """The one time that there was, or the median with the longest where that is far from it."""
    median, longest = row.woken_p50_ms or 0.0, row.woken_max_ms or 0.0
    most = f", at most {format_seconds(longest / 1e3)}" if longest > FAR * median else ""
    of = "" if row.woken == 1 else f" (median of {row.woken}{most})"
    return f"{format_seconds(median / 1e3)}{of}"


def _memory_headline(held: dict[str, float]) -> str:
    least, most = min(held, key=lambda name: held[name]), max(held, key=lambda name: held[name])
    first = next(iter(held))
    alike = held[least] / (1 - ALIKE)
    if held[most] < alike:
        least_held, most_held = (format_number(held[name], 3) for name in (least, most))
        return f"All variants held about the same memory: {least_held} to {most_held} GiB-seconds"
    other = first if held[first] >= alike else most
    less = 100 * (1 - held[least] / held[other])
    return (
        f"{least} held {format_number(held[least], 3)} GiB-seconds of memory, {less:.0f} % less than {other} with "
        f"{format_number(held[other], 3)} GiB-seconds"
    )


def _unmet(played: Mapping[str, Summary | None]) -> list[str]:
    return [f"{name}: {one['what']} was not {one['wanted']}." for name, one in unmet(played)]
