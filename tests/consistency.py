"""Whether a finished run says the same everywhere: each figure that stands in two places, and counted again.

`disagreements` reads a run directory (and makes nothing in it) and returns a line for each figure that differs, none
for a run that is consistent. The record is counted again by `tests.recount`; the places are summary.json, its
headline and sentences, the tables on the terminal, the journal, the export and report.html.
"""

from __future__ import annotations

import base64
import csv
import html
import io
import json
import math
import re
import zlib
from array import array
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rich.console import Console

from emu.record.rundir import RunDir
from emu.report.finish import RunReport, look, render
from emu.report.journal import entries
from emu.report.kperf import scaling_csv
from emu.study.model.study import Study
from emu.study.tree import moments, places
from emu.units import format_bytes
from tests.recount import (
    Recount,
    began,
    clients,
    counts,
    held_at,
    memory_events,
    most_in_flight,
    peaks,
    pods_of,
    recount,
    samples_text,
    workload,
)

_SHARES = {"p50": 0.5, "p90": 0.9, "p99": 0.99, "max": 1.0}
_TIMES = {"once": 1, "twice": 2}
_WIDE = 400
_TABLE_GAP = re.compile(r" {3,}")


def disagreements(run: RunDir) -> list[str]:
    """A line for each figure that is reported in two ways; of a run with variants, of each of them."""
    if run.has_variants():
        return [
            f"{path.name}: {one}" for path in sorted(run.variants.iterdir()) for one in disagreements(RunDir(path))
        ]
    summary = json.loads(run.summary.read_text())
    counted = recount(run.path)
    reported = look(run)
    assert reported.study is not None
    found = [
        *_again(summary, reported.summary),
        *_memory(summary, counted),
        *_requests(summary, counted),
        *_kills(summary, counted),
        *_ends(summary, counted),
        *_words(summary),
        *_terminal(reported, summary),
        *_journal(reported.study, summary),
        *_export(reported.study, counted),
    ]
    return [*found, *_page(run, summary), *_tree(run, reported.study)] if run.report.exists() else found


def _differ(where: str, reported: Any, counted: Any) -> Iterator[str]:
    same = reported == counted
    if isinstance(reported, float) and isinstance(counted, int | float):
        same = math.isclose(reported, counted, rel_tol=1e-6, abs_tol=2e-6)
    if not same:
        yield f"{where}: {reported!r}, and again: {counted!r}"


def _again(summary: dict[str, Any], made: dict[str, Any]) -> Iterator[str]:
    """summary.json made again from the record is the same to the last figure."""
    again = json.loads(json.dumps(made))
    for name in sorted({*summary, *again}):
        if summary.get(name) != again.get(name):
            yield f"summary.json's {name!r} made again: {summary.get(name)!r} is {again.get(name)!r}"


# -- the record, counted again ---------------------------------------------------------------------------------


def _memory(summary: dict[str, Any], counted: Recount) -> Iterator[str]:
    page_bytes = summary["machine"].get("page_bytes") or 4096
    every: list[tuple[str | None, str, dict[str, Any]]] = [(None, "pod", summary["pod"])]
    every += [(None, name, figures) for name, figures in summary["containers"].items()]
    for pod, known in summary["pods"].items():
        every += [(pod, "pod", known), *((pod, name, figures) for name, figures in known["containers"].items())]
    for pod, name, figures in every:
        lives = counted.lives_of(name, pod)
        if not lives:
            continue
        name = name if pod is None else f"pods.{pod} {name}"
        for figure, value in {**peaks(lives), **counts(lives, page_bytes)}.items():
            if figure not in figures:
                continue  # of an earlier emu; that it is missing is said above
            if not _is_logged(counted, figure, figures[figure], value):
                yield from _differ(f"{name}.{figure}", figures[figure], value)
        for counter, value in memory_events(lives).items():
            yield from _differ(f"{name}.memory_events.{counter}", figures["memory_events"][counter], value)
    for figure, value in counted.host.items():
        yield from _differ(f"host.{figure}", summary["host"][figure], value)


def _is_logged(counted: Recount, figure: str, reported: Any, sampled: Any) -> bool:
    """A peak may be what the kernel's log says of an OOM kill, where that is more than any sample."""
    larger = figure.endswith("_peak_bytes") and reported is not None and sampled is not None and reported > sampled
    return larger and reported in counted.held


def _requests(summary: dict[str, Any], counted: Recount) -> Iterator[str]:
    reported, every = summary["requests"], counted.requests
    if reported["sent"] is None:
        yield from _differ("requests.sent", 0, len(every))
        return
    yield from _seen("requests", reported, every)
    yield from _differ("requests.in_flight_peak", reported["in_flight_peak"], most_in_flight(every))
    for name, phase in summary["phases"].items():
        mine = [one for one in every if one["phase"] == name]
        yield from _seen(f"phases.{name}.requests", phase["requests"], mine)
    known = pods_of(counted)
    for name, pod in summary["pods"].items():
        if known:
            mine = [one for one in every if known[one["id"]] == name]
            yield from _seen(f"pods.{name}.requests", pod["requests"], mine)
            if not any(one.get("ports") for one in mine):  # from its client on, or from the activator on
                peak = pod["requests"]["in_flight_peak"]
                yield from _differ(f"pods.{name}.requests peak", peak, most_in_flight(mine))
            alone = sum(kind["count"] for kind in reported["failure_kinds"] if kind["pod"] == name)
            shared = any(kind["pod"] is None for kind in reported["failure_kinds"])  # of several pods of a workload
            counted_here = sum(sum(some.values()) for some in pod["requests"]["reasons"].values())
            if counted_here < alone or not shared:
                yield from _differ(f"pods.{name}.requests.reasons", counted_here, alone)
    if known:
        yield from _sums(summary, sum(pod is None for pod in known.values()))


def _sums(summary: dict[str, Any], kept: int) -> Iterator[str]:
    """What the pods got is what was sent, less what an activator kept; a service's requests are those of its pods,
    which bear a revision's name, or the service's where it has no revision.
    """
    requests, pods = summary["requests"], summary["pods"]
    got = {name: pod["requests"]["sent"] for name, pod in pods.items()}
    yield from _differ("requests.reached_no_pod", requests["reached_no_pod"], kept)
    yield from _differ("the pods' requests", sum(got.values()), requests["sent"] - kept)
    for name, service in summary["services"].items():
        mine = [pod for pod in pods if name in (workload(pod), workload(pod).rpartition("-")[0])]
        yield from _differ(f"services.{name}.requests", service["requests"], sum(got[pod] for pod in mine))
        cold = sum(pods[pod]["cold_requests"] for pod in mine)
        if (service.get("memory_used_gib_seconds") or 0.0) > (service["memory_gib_seconds"] or 0.0):
            yield f"{name} used more than its pods held"
        waits = service.get("cold_waits_ms")  # older runs have none
        if waits is not None:
            yield from _differ(f"services.{name}.cold_waits_ms.n", waits["n"], service["cold_requests"])
        if cold > service["cold_requests"]:
            yield f"{cold} cold requests in the pods of {name}, and {service['cold_requests']} in all"


def _seen(where: str, reported: dict[str, Any], requests: list[dict[str, Any]]) -> Iterator[str]:
    for name, value in clients(requests).items():
        yield from _differ(f"{where}.{name}", reported[name], value)
    times = sorted((one["done"] - began(one)) * 1e3 for one in requests if one["error"] is None)
    yield from _differ(f"{where}.latency_ms.n", reported["latency_ms"]["n"], len(times))
    for name, share in _SHARES.items():
        yield from _differ(f"{where}.latency_ms.{name}", reported["latency_ms"][name], _quantile(times, share))


def _quantile(ordered: list[float], share: float) -> float | None:
    """Between the two nearest, in proportion."""
    if not ordered:
        return None
    place = share * (len(ordered) - 1)
    low, high = ordered[math.floor(place)], ordered[math.ceil(place)]
    return low + (high - low) * (place - math.floor(place))


def _kills(summary: dict[str, Any], counted: Recount) -> Iterator[str]:
    logged = {pid: (anon, file) for pid, anon, file in counted.logged}
    for kill in summary["oom_kills"]:
        where = f"oom_kills at {kill['time_s']}"
        if kill["pid"] is not None and logged:
            reported = (kill["anon_rss_bytes"], kill["file_rss_bytes"])
            yield from _differ(f"{where}, the kernel's log", reported, logged.get(kill["pid"]))
    for name, figures in summary["containers"].items():
        mine = [kill for kill in summary["oom_kills"] if _is(name, kill["pod"], kill["container"])]
        yield from _differ(f"{name}.oom_kills", figures["oom_kills"] or 0, len(mine))
        killed = figures["memory_events"]["oom_kill"]
        if killed is not None and killed < len([kill for kill in mine if "memory.events" in kill["evidence"]]):
            pod = summary["pod"]["memory_events"]["oom_kill"]
            if pod is None or pod < len(summary["oom_kills"]):
                yield f"{name}: {len(mine)} OOM kills, and memory.events counts {killed} (the pod's {pod})"
    yield from _differ("pod.oom_kills", summary["pod"]["oom_kills"] or 0, len(summary["oom_kills"]))


def _ends(summary: dict[str, Any], counted: Recount) -> Iterator[str]:
    """Exits, restarts and the pod's status, from events.jsonl."""
    of = {kind: [event for event in counted.events if event.get("kind") == kind] for kind in _EVENTS}
    for name, figures in summary["containers"].items():
        mine = {
            kind: {
                (event.get("pod"), event["attempt"]): event
                for event in of[kind]
                if _is(name, event.get("pod"), event["container"])
            }
            for kind in ("container-created", "container-exited")
        }
        ended = mine["container-exited"]
        for reported in figures["exits"]:
            yield from _differ(
                f"{name}.exits", reported["exit_code"], ended[reported["pod"], reported["attempt"]]["exit_code"]
            )
        last = dict(sorted(mine["container-created"], key=lambda key: key[1]))
        own = sum(
            key in ended and not ended[key]["asked"] for key in mine["container-created"] if key[1] != last[key[0]]
        )
        yield from _differ(f"{name}.restarts", figures["restarts"], own)
    cuts = _cut_short(of["container-stopping"])
    shown = [event for event in of["pod-status"] if event["t"] < cuts.get(event.get("pod"), math.inf)]
    for newest in {event.get("pod"): event for event in shown}.values():
        name = newest.get("pod")
        if summary["pods"] and name not in summary["pods"]:  # it never had a node, and so no container
            if any(event.get("pod") == name for event in of["container-created"]):
                yield f"the pod {name} had containers, and is not in summary.json"
            continue
        pod = summary["pods"].get(name, summary["pod"])
        if pod["age_s"] is not None:
            yield from _differ("a pod's status", (pod["status"], pod["ready"]), (newest["status"], newest["ready"]))


def _is(name: str, pod: str | None, container: str) -> bool:
    """Whether a container of a pod is the one of this name, which may be `workload/container`."""
    return name in (container, f"{workload(pod or '')}/{container}")


_EVENTS = ("container-created", "container-exited", "container-stopping", "pod-status")


# -- the same figure in words ----------------------------------------------------------------------------------


def _cut_short(stops: list[dict[str, Any]]) -> dict[str | None, float]:
    """When the run's end ended each pod of which a container was still to end: what came of that is not kubectl's."""
    begun: set[tuple[Any, ...]] = set()
    cuts: dict[str | None, float] = {}
    for event in stops:
        instance = (event.get("pod"), event["container"], event["attempt"])
        if event["why"] == "run" and instance in begun:
            cuts.setdefault(event.get("pod"), event["t"])
        begun.add(instance)
    return cuts


def _words(summary: dict[str, Any]) -> Iterator[str]:
    """What headline and sentences say of peaks, kills and requests."""
    verdict = summary["verdict"]
    said = ". ".join([verdict["headline"], *verdict["sentences"]])
    for name, peak in re.findall(r"(?:^|[;:.] )([\w/-]+) peaked at ((?:[\d.]+ (?:\w+ )?of )?[\d.]+ \w+)", said):
        figures = summary["containers"].get(name)
        if figures is not None:
            limits = (figures["memory_limit_at_peak_bytes"], figures["memory_high_bytes"])
            choices = {_of(figures["memory_peak_bytes"], limit) for limit in limits}
            if peak not in choices:
                yield f"{name} peaked at {peak!r} in words, and in figures at one of {sorted(choices)}"
    for name, often in re.findall(r"([\w/-]+) was OOM-killed (?:while frozen )?(once|twice|[\d,]+ times)", said):
        yield from _differ(f"{name} was OOM-killed", _number(often), summary["containers"][name]["oom_kills"])
    for name, often in re.findall(r"([\w/-]+) was restarted (once|twice|[\d,]+ times)", said):
        yield from _differ(f"{name} was restarted", _number(often), summary["containers"][name]["restarts"])
    requests = summary["requests"]
    for number in re.findall(r"Of ([\d,]+) requests?, ", said):
        yield from _differ("Of N requests", _number(number), requests["sent"])
    for number in re.findall(r"all ([\d,]+) requests were answered", said):
        yield from _differ("all N requests were answered", _number(number), requests["answered"])
    in_all = r"(?:^|[;:,] |and )([\d,]+)(?: of ([\d,]+) requests?)? (?:was|were) answered (\d{3})"
    for number, whole, status in re.findall(in_all, verdict["headline"]):
        yield from _differ(f"requests answered {status}", _number(number), requests["by_status"].get(status))
        if whole:
            yield from _differ("of N requests", _number(whole), requests["sent"])


def _number(text: str) -> int:
    return _TIMES.get(text) or int(text.split()[0].replace(",", ""))


def _of(used: int | None, limit: int | None) -> str:
    if used is None:
        return "-"
    if limit is None:
        return format_bytes(used)
    (mine, unit), (whole, other) = (format_bytes(value).rsplit(" ", 1) for value in (used, limit))
    return f"{mine} of {whole} {unit}" if unit == other else f"{mine} {unit} of {whole} {other}"


# -- the other places ------------------------------------------------------------------------------------------


def _terminal(reported: RunReport, summary: dict[str, Any]) -> Iterator[str]:
    """`emu show`: its headline, and its tables of the pod, memory and requests."""
    shown_on = io.StringIO()
    render(reported, Console(file=shown_on, width=_WIDE))
    said = shown_on.getvalue()
    if summary["verdict"]["headline"] not in said:
        yield f"emu show has another headline: {said.splitlines()[0]!r}"
    rows = [_TABLE_GAP.split(line.strip()) for line in said.splitlines()]
    for name, figures in summary["containers"].items():
        for row in (row for row in rows if row[0] == name and len(row) > 3 and " of " in row[-2]):
            shown, high = row[-2].removesuffix(" (memory.high)"), row[-2].endswith(" (memory.high)")
            limit = figures["memory_high_bytes" if high else "memory_limit_at_peak_bytes"]
            yield from _differ(f"{name} in the table", shown, _of(figures["memory_peak_bytes"], limit))
    for row in [row for row in rows if row[0] == "all" and len(row) > 3][:1]:  # the next ones are of latency
        shown = [int(cell.replace(",", "")) for cell in row[1:3]]
        yield from _differ("requests in the table", shown, [summary["requests"][one] for one in ("sent", "answered")])
    pods = summary["pods"] or {summary["run_id"]: summary["pod"]}
    for name, pod in summary["pods"].items() if len(summary["pods"]) > 1 else ():
        mine = [row for row in rows if row[0] == f"pod {name}" and len(row) > 3]
        for row in [row for row in mine if " of " in row[-2]][:1]:
            peak = _of(pod["memory_peak_bytes"], pod["memory_limit_at_peak_bytes"])
            yield from _differ(f"{name} in the table", row[-2], peak)
        counts = [[cell.replace(",", "") for cell in row[1:3]] for row in mine]
        counts = [row for row in counts if all(cell.isdigit() for cell in row)]
        for row in counts[:1]:  # the next ones are of latency
            sent = [str(pod["requests"][one]) for one in ("sent", "answered")]
            yield from _differ(f"requests to {name} in the table", row, sent)
    for row in (row for row in rows if row[0] in pods and len(row) > 3 and "/" in row[1]):  # a phase may be named so
        pod = pods[row[0]]
        known = [pod["ready"] or "-", pod["status"] or "-", "-" if pod["restarts"] is None else str(pod["restarts"])]
        yield from _differ("the pod in the table", row[1:4], known)


def _journal(study: Study, summary: dict[str, Any]) -> Iterator[str]:
    """`emu journal`: its kills and ends."""
    lines = entries(study)
    kills = [entry.time_s or 0.0 for entry in lines if entry.text.startswith("OOM kill: ")]
    reported = [kill["time_s"] for kill in summary["oom_kills"]]
    if len(kills) != len(reported) or any(
        abs(a - b) > 1e-3 for a, b in zip(sorted(kills), sorted(reported), strict=True)
    ):
        yield f"OOM kills in the journal at {kills}, in summary.json at {reported}"
    ends = sum(" ended with exit code " in entry.text for entry in lines)
    exits = sum(len(figures["exits"]) for figures in summary["containers"].values())
    if ends < exits:
        yield f"{ends} ends in the journal, {exits} in summary.json"


def _export(study: Study, counted: Recount) -> Iterator[str]:
    """kperf's table of scaling: the first bytes of all answers, from when their requests were sent; of each service
    where there are several.
    """
    rows, pods = list(csv.DictReader(io.StringIO(scaling_csv(study)))), pods_of(counted)
    for row in rows:
        mine = [one for one in counted.requests if len(rows) == 1 or _is_of(row["svc_name"], pods.get(one["id"]))]
        waits = [one["first_byte"] - began(one) for one in mine if one["first_byte"] is not None]
        for name, value in (("min", min(waits, default=None)), ("max", max(waits, default=None))):
            shown = row[f"svc_latency_{name}"]
            where = f"export {row['svc_name']} {name}"
            yield from _differ(where, float(shown) if shown else None, _rounded(value))


def _is_of(service: str, pod: str | None) -> bool:
    load = workload(pod or "")
    return service in (load, load.rpartition("-")[0])


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 6)


def _page(run: RunDir, summary: dict[str, Any]) -> Iterator[str]:
    """report.html: its headline, the sizes in its tables, and the tops of what it draws."""
    page = run.report.read_text(encoding="utf-8")
    plain = html.unescape(re.sub(r"<[^>]+>", "", page.replace("\u00a0", " "))).replace("\u00a0", " ")
    if not all(part in plain for part in summary["verdict"]["headline"].split(": ")):  # in two lines there
        yield "report.html has another headline"
    sizes = {int(one.replace(",", "")) for one in re.findall(r'title="([\d,]+) bytes"', page)}
    for name, figures in summary["containers"].items():
        for figure in ("memory_peak_bytes", "anon_peak_bytes", "kernel_peak_bytes"):
            if figures[figure] is not None and figures[figure] not in sizes:
                yield f"report.html has no cell with {name}.{figure} ({figures[figure]})"
    for label, top in _drawn(page):
        figures = summary["pod"] if label == "pod" else summary["containers"].get(label)
        most = None if figures is None else figures["memory_peak_bytes"]
        if most is not None and top > most * (1 + 1e-6):
            yield f"report.html draws {label} up to {top:.0f} bytes, and its peak is {most}"


def _tree(run: RunDir, study: Study) -> Iterator[str]:
    """report.html: what each cgroup of the tree is charged, against the samples' own text."""
    rows = places(study)
    begin = moments(study, rows)
    if not begin:
        return
    charged = re.findall(r'<td class="n charged">([^<]*)</td>', run.report.read_text(encoding="utf-8"))
    raw = held_at(samples_text(run.path), study.origin + begin[0].t)
    yield from _differ("rows of the tree", len(charged), len(rows))
    for row, shown in zip(rows, charged, strict=False):
        stay = row.stay_at(begin[0].t)
        if stay is not None and stay.owner in raw:
            yield from _differ(f"{row.name} in the tree is charged", shown, format_bytes(raw[stay.owner]))


def _drawn(page: str) -> Iterator[tuple[str, float]]:
    """Of each line of memory.current: whose it is, and its largest value in bytes."""
    found = re.search(r'<script id="figure-data"[^>]*>(.*?)</script>', page, re.DOTALL)
    if found is None:
        return
    figure = json.loads(zlib.decompress(base64.b64decode(found[1])))
    for trace in figure["data"]:
        meta = trace.get("meta") or {}
        if meta.get("kind") == "current":
            values = [value for value in _column(trace["y"], figure["arrays"]) if value is not None]
            known = [value for value in values if not math.isnan(value)]
            yield meta["of"], max(known, default=0.0) * meta["factor"]


def _column(values: Any, arrays: list[dict[str, str]]) -> list[float | None]:
    if isinstance(values, list):
        return values
    packed = arrays[values["$a"]]
    numbers = array("f" if packed["k"] == "f4" else "d")
    numbers.frombytes(base64.b64decode(packed["b"]))
    return list(numbers)


def check(path: Path) -> None:
    """AssertionError with all that a run contradicts itself in."""
    found = disagreements(RunDir(path))
    assert not found, f"{path} contradicts itself:\n" + "\n".join(found)
