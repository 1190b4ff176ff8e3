"""What variants differ in, in words: the headline of their comparison, and the sentences below it. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from emu.report.compare.rows import FROM_DISK_BYTES, Row
from emu.report.topics.starts import compared as starts_compared
from emu.report.topics.warm_up import compared as warm_ups_compared
from emu.report.words import count, listed
from emu.units import format_bytes, format_number, format_seconds, often

ALIKE = 0.05
"""Variants whose memory differs by less than this share are reported as alike."""
FAR = 5.0
"""A longest wait this many times the median is reported beside it."""
SLOWER = 1.5
"""Variants are compared by times that differ by this factor."""


def words(rows: list[Row]) -> list[str]:
    """The headline, then sentences. What the variants were made to show leads: each headline further down takes the
    place of those before it, which become sentences.
    """
    whole = [row for row in rows if row.state == "played"]
    said = [_held(rows, whole)]
    if scaled := scaled_headline(whole):
        said = _led_by([scaled], said)
    if any(row.oom_kills for row in whole):
        mixed = len({row.spared for row in whole if row.oom_kills}) > 1
        kills = [kills_words(row, mixed=mixed) for row in whole if row.oom_kills is not None]
        said = _led_by([f"OOM kills: {listed(kills)}"], said)
    if len({row.victim for row in whole if row.killed}) > 1:
        said = _led_by(["; ".join(f"{row.name}: {row.killed or _spared(row)}" for row in whole)], said)
    if any(row.made_room for row in whole):
        said = _led_by_room(whole, said)
    if len({row.swapped_by for row in whole if row.swapped_by}) > 1:
        said = _led_by(["; ".join(f"{row.name}: {row.swapped or 'nothing was swapped'}" for row in whole)], said)
    charged = {row.name: row.charged for row in whole if row.charged is not None}
    if len(set(charged.values())) > 1:
        each = "; ".join(f"{whom or 'none'} with {name}" for name, whom in charged.items())
        said = _led_by([f"Page cache charged at the end: {each}"], said)
    if reads := _slow_reads(whole):
        said = _led_by([reads], said)
    if started := starts_compared((row.name, row.starts) for row in whole):
        said = _led_by(started, said)
    if warmed := warm_ups_compared((row.name, row.warm_ups) for row in whole):
        said = _led_by([warmed], said)
    else:
        said += _woken_sentence(whole)
    return [*said, *_cpu(whole), *_not_played(rows)]


def _led_by(new: Sequence[str], said: list[str]) -> list[str]:
    """A new headline, with what belongs below it, in front of what was said so far."""
    return [new[0], *(f"{one}." for one in (*new[1:], said[0])), *said[1:]]


def _held(rows: list[Row], whole: list[Row]) -> str:
    held = {row.name: row.held_gib_s for row in whole if row.held_gib_s is not None}
    if len(held) > 1:
        return _memory_headline(held)
    return f"{len(whole)} of {count(len(rows), 'variant')} {'was' if len(whole) == 1 else 'were'} played to the end"


def _led_by_room(whole: list[Row], said: list[str]) -> list[str]:
    """Whose memory the node took; where that names all who were OOM-killed, it replaces their headline."""
    each = {row.name: ", and ".join(one for one in (row.made_room, row.killed) if one) for row in whole}
    of_node = "; ".join(f"{name}: {one or 'nothing had to make room'}" for name, one in each.items())
    killed = [row for row in whole if row.oom_kills]
    if killed and all(row.node_kills == row.oom_kills for row in killed):
        return [of_node, *_kept_cache(whole), *said[1:]]
    return [of_node, *_kept_cache(whole), f"{said[0]}.", *said[1:]]


def _kept_cache(rows: list[Row]) -> list[str]:
    """`In after-reads web/app read data in 2.1 s (64 MiB from disk) with none and 40 ms (from memory) with low.`: the
    read in which variants differ most by what came from disk; nothing where each found as much in memory.
    """
    common = [name for name in (rows[0].passes if rows else ()) if all(name in row.passes for row in rows)]
    gaps = {name: max(sizes) - min(sizes) for name in common if (sizes := [row.passes[name][1] for row in rows])}
    name = max(gaps, key=lambda one: gaps[one], default="")
    if not name or gaps[name] < FROM_DISK_BYTES or len(rows) < 2:
        return []
    each = []
    for row in rows:
        took_s, size = row.passes[name]
        source = f"{format_bytes(size)} from disk" if size >= FROM_DISK_BYTES else "from memory"
        each.append(f"{format_seconds(took_s)} ({source}) with {row.name}")
    return [f"{name[0].upper()}{name[1:]} in {listed(each)}."]


def _spared(row: Row) -> str:
    return f"{count(row.oom_kills, 'OOM kill')}" if row.oom_kills else "nothing was OOM-killed"


def _woken_sentence(whole: list[Row]) -> list[str]:
    woken = [f"{_woken(row)} with {row.name}" for row in whole if row.woken_p50_ms]
    return [f"The first answer after idleness took {listed(woken)}."] if woken else []


def _cpu(whole: list[Row]) -> list[str]:
    cpu = [f"{format_seconds(row.cpu_s)} with {row.name}" for row in whole if row.cpu_s is not None]
    whose = "all pods" if any(max(row.pods, row.pods_wanted or 0) > 1 for row in whole) else "the pod"
    return [f"CPU time of {whose} while the load lasted: {listed(cpu)}."] if cpu else []


def _not_played(rows: list[Row]) -> list[str]:
    said = []
    for state, how in (("cut off", "Begun, and not played to the end"), ("not played", "Not begun")):
        if names := [row.name for row in rows if row.state == state]:
            said.append(f"{how}: {listed(names)}.")
    return said


def faster(scales: Mapping[str, float]) -> list[str]:
    """A sentence on `timeScale`, by variant; none where no control plane was faster than a cluster's."""
    if all(scale == 1 for scale in scales.values()):
        return []
    alike = len(set(scales.values())) == 1
    each = listed([f"{scale:g} times with {name}" for name, scale in scales.items()])
    how = f"{next(iter(scales.values())):g} times" if alike else each
    return [f"The control plane was faster than in a cluster (timeScale): {how}."]


def kills_words(row: Row, *, mixed: bool = False) -> str:
    """`2 with small (3 s after the load began)`. `mixed`: in other variants child processes alone were killed."""
    when = ""
    if row.oom_kills and row.first_kill_s:
        side = "after" if row.first_kill_s > 0 else "before"
        when = f" ({format_seconds(abs(row.first_kill_s))} {side} the load began)"
    alone = row.oom_kills == 1
    whose = f" of {'the whole container' if alone else 'whole containers'}" if mixed and not row.some_spared else ""
    whose = f" of {'a child process' if alone else 'child processes'}" if row.spared else whose
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
    alike = "No read took much longer with one variant than with another: "
    return said if factors[name] >= SLOWER else f"{alike}{said}"


def _factor(times: Sequence[float]) -> float:
    return max(times) / min(times)


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
