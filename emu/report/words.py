"""Numbers as a person says them: counts, sizes beside their limit, shares, lists."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from emu.study.measures import SHARES, says_something
from emu.study.model.study import Study
from emu.units import format_bytes, format_seconds


def count(number: int, one: str, many: str | None = None) -> str:
    """A number with its noun: `1 request`, `3,000 requests`."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


_PLACES = {
    "host": "on this host",
    "sandbox:uml": "in the sandbox (UML)",
    "sandbox:qemu": "in a virtual machine (QEMU)",
}


def place_words(where: str | None, accelerator: str | None) -> str | None:
    """Where a run was, from `where` and the machine's `accelerator` of its record."""
    place = _PLACES.get(where or "", where)
    return f"{place}, emulated: times are not those of hardware" if accelerator == "tcg" else place


NO_KILL = "Nothing was OOM-killed"
"""How the headline of a run without an OOM kill begins: what a program, or the kubelet, ends is not one."""


def all_of(number: int) -> str:
    """`the one request`, `both requests`, `all 3,000 requests`."""
    return {1: "the one request", 2: "both requests"}.get(number, f"all {number:,} requests")


def capital(text: str) -> str:
    """`text` as the begin of a sentence; of a damaged record it may be empty."""
    return text[:1].upper() + text[1:]


def listed(words: Sequence[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    if len(words) < 2:
        return "".join(words)
    return f"{', '.join(words[:-1])} and {words[-1]}"


def labelled(entry: Mapping[str, Any]) -> str:
    """`pod/container` of an entry of summary.json; in a run without names of pods just the container."""
    return f"{entry['pod']}/{entry['container']}" if entry.get("pod") else str(entry["container"])


def of_limit(used: int, limit: int | None) -> str:
    """`21 of 64 MiB`; without a limit just the size."""
    if limit is None:
        return format_bytes(used)
    mine, unit = format_bytes(used).rsplit(" ", 1)
    whole, limit_unit = format_bytes(limit).rsplit(" ", 1)
    return f"{mine} of {whole} {unit}" if unit == limit_unit else f"{mine} {unit} of {whole} {limit_unit}"


def share(part: int, whole: int) -> str:
    """`90 %`; never 0 % or 100 % for what is not quite that."""
    percent = 100 * part / whole
    if 0 < percent < 1:
        return "under 1 %"
    if 99 < percent < 100:
        return "over 99 %"
    return f"{percent:.0f} %"


LATE_SHARE = 0.01
"""Where at least this share of the requests went out late, that is reported."""


def is_late(requests: dict[str, Any]) -> bool:
    """Whether the load generator was late with so many of these requests (`requests` of summary.json) that it
    matters.
    """
    late = requests.get("late") or 0
    return late > 0 and late >= LATE_SHARE * (requests.get("sent") or 0)


def late_text(requests: dict[str, Any]) -> str | None:
    """`120 (at most 3.2 s)`; None where it was not recorded."""
    if requests.get("late") is None:
        return None
    most = requests["lateness_ms"]["max"]
    return f"{requests['late']:,} (at most {format_seconds((most or 0.0) / 1e3)})" if requests["late"] else "0"


def latency_cells(known: dict[str, Any]) -> list[str | None]:
    """Percentiles in milliseconds as cells of a table; None for those that say no more than the longest."""
    n = known.get("n")
    return [
        None if known.get(name) is None or not says_something(name, n) else format_seconds(known[name] / 1e3)
        for name in SHARES
    ]


def moment(t: float | None) -> str | None:
    """A time of the run, to the millisecond."""
    return None if t is None else f"{t:.3f} s"


def milliseconds(value: float | None) -> str | None:
    """`1.4 s` of 1400; None stays None."""
    return None if value is None else format_seconds(value / 1e3)


def size(value: int | None) -> str | None:
    """`31.5 MiB`; None stays None."""
    return None if value is None else format_bytes(value)


def time_scale_words(time_scale: float) -> str:
    """Beside a result whose control plane was faster than usual; empty where it was not."""
    return f"timeScale {time_scale:g}" if time_scale != 1 else ""


def metric_name(metric: str | None) -> str:
    """What an autoscaler goes by, in words."""
    return {"rps": "requests per second", "cpu": "cpu", "memory": "memory"}.get(metric or "", "concurrency")


def amount_text(value: float | None, unit: str) -> str:
    """A HorizontalPodAutoscaler's metric or target: `80 %`, `250m`, `80 MiB`, `2.5`."""
    if value is None:
        return "-"
    if unit in ("", "a pod"):
        return f"{value:.6g}"
    if unit == "bytes":
        return format_bytes(value)
    return f"{value * 1000:.0f}m" if unit == "cores" else f"{value:g} %"


def in_columns(rows: Sequence[Sequence[str]]) -> list[str]:
    """A line for each row, as kubectl prints them."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return ["   ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


MOST_PODS = 12
"""Pods in a table; a busy service may have hundreds."""


def pods_of(summary: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """The rows of pods in a table, and what each is called there: `pod`, with its name where there are several."""
    pods = summary.get("pods") or {}
    if len(pods) < 2:
        return [("pod", summary.get("pod") or {})]
    return [(f"pod {name}", figures) for name, figures in list(pods.items())[:MOST_PODS]]


def asked_pods(summary: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """The same of requests: the pods that were sent any, of several, where it is known to which each request went."""
    rows = [(name, (figures.get("requests") or {})) for name, figures in pods_of(summary) if name != "pod"]
    return [(name, requests) for name, requests in rows if requests.get("sent")]


def pod_words(study: Study, name: str) -> str:
    """`pod`; with its name where there are several."""
    return f"pod {name}" if len(study.pods) > 1 else "pod"
