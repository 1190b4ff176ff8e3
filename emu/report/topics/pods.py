"""Pods, in kubectl's words: each with its status and its containers'."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import asdict
from typing import Any

from emu.policy.kubelet.environment import CONFIG_ERROR
from emu.policy.printing import print_age
from emu.record.events import GONE_PREEMPTED, POD_LABEL, SCALED_DOWN
from emu.report.describe import describe, gone_as, pod_age_s, still_there
from emu.report.entry import Entry
from emu.report.topics.containers import container_figures, kill_count
from emu.report.topics.memory import end_figures, last_alive, memory_figures
from emu.report.topics.topic import Cell, Column, Figures, Listing, Name, Note, Part, Topic, View, of_pod, pod_section
from emu.report.words import MOST_PODS, count, pod_words
from emu.study.measures import Window, add, last, limit_at_peak, startup_s
from emu.study.model.instances import container_of
from emu.study.model.study import Happening, Study
from emu.study.pods import named, of_pods, pending, requests_known_by_pod, workloads
from emu.study.request_figures import request_figures
from emu.study.restraints import held_back


def figures(study: Study) -> Figures:
    """`pod`, all of them together, and `pods`, each by itself with its containers."""
    return {
        "pod": _pod(named(study)),
        "pods": {pod.pod: _one_pod(study, pod.pod) for pod in study.pods if pod.pod},
    }


def _one_pod(every: Study, pod: str) -> dict[str, Any]:
    """The figures of a pod, of its containers, and of the requests that it got; null where it is not
    known of each request which pod got it.
    """
    study = of_pods(every, {pod})
    mine = study.requests if requests_known_by_pod(every) else None
    return {
        **_pod(study),
        "containers": {name: container_figures(study, name) for name in study.containers},
        "requests": request_figures(study, mine, 0.0, study.duration_s),
        "cold_requests": None if mine is None else sum(one.cold for one in mine),
    }


def _pod(study: Study) -> dict[str, Any]:
    """Of pods as a whole, as of the instances of a container: peaks are the largest of any, counters of all together.
    What kubectl shows of one is null where there are several workloads.
    """
    lines = study.pod_timelines
    own = [pod for pod in study.pods if pod in study.timelines or any(one.owner == pod for one in study.memory_marks)]
    loads = workloads(study)
    status, ready = _pod_status(study) if len(loads) < 2 else (None, None)
    figures = memory_figures(Window(study), lines, study)
    limit = last(lines[-1].memory_max) if lines and len(loads) < 2 else None
    return {
        "oom_kills": add(kill_count(study, name) for name in study.containers),
        "restarts": add(study.restarts_of(name) for name in study.containers),
        "status": status,
        "ready": ready,
        "age_s": pod_age_s(study) if len(loads) < 2 else None,
        "held_back": [asdict(one) for one in held_back(study, POD_LABEL)] if len(loads) < 2 else [],
        "startup_s": startup_s(study, list(study.containers)),
        "events": [of_pod(event) for event in study.pod_events],
        "memory_limit_bytes": limit,
        "memory_limit_at_peak_bytes": None if limit is None else limit_at_peak(lines, limit),
        **figures,
        "memory_peak_bytes": max((line.memory_peak for line in lines if line.memory_peak is not None), default=None),
        **end_figures(study, lines, last_alive(study, None)),
        "memory_events": Window(study).events(own, below=True),
        "memory_events_local": Window(study).events(own, below=False),
    }


def _pod_status(study: Study) -> tuple[str | None, str | None]:
    """STATUS and READY, as kubectl showed them last. It shows none of a pod that was scaled away."""
    if not study.pod_statuses:
        return None, None
    pods = {one.pod for name in study.containers for one in still_there(study.instances_of(name))}
    shown = [one for one in study.pod_statuses if not _after_the_run(study, one)] or study.pod_statuses
    newest = next((one for one in reversed(shown) if one.pod in pods), shown[-1])
    gone = None
    # Of a damaged run there may be samples of containers that no event knows.
    started = study.instances_of(study.containers[-1]) if study.containers else []
    if started and newest.pod and pod_age_s(study) is None:
        gone = gone_as(started[-1])
    return (newest.text, newest.detail["ready"]) if gone is None else (gone, "0/0")


def _after_the_run(study: Study, status: Happening) -> bool:
    """Whether it came of how the run's end ended a pod that was still to end."""
    cuts = (one.stop.cut_s for one in study.instances if one.pod == status.pod and one.stop is not None)
    return any(cut is not None and status.t >= cut for cut in cuts)


def parts(view: View) -> Iterator[Part]:
    """As `kubectl get pods` lists them; on the page also each change, and `kubectl describe` of the containers."""
    if view.summary:
        yield from _on_terminal(view)
    if not view.study.instances:
        yield Note("No container was started.", style="missing")
        return
    if view.study.pod_statuses:
        yield from _statuses(view)
    yield _described(view.each)


def _on_terminal(view: View) -> Iterator[Part]:
    study, summary = view.study, view.summary
    unnamed = {study.run_id or study.run.path.name: {**summary["pod"], "containers": summary["containers"]}}
    pods = summary["pods"] or unnamed
    rows: list[tuple[Cell, ...]] = []
    inits = {one.container for one in study.instances if one.role == "init"}
    for name, pod in list(pods.items())[:MOST_PODS]:
        ready, status, restarts, age = _kubectl(pod)
        rows.append((name, ready, status, restarts, "", age))
        there = {} if status in (SCALED_DOWN, GONE_PREEMPTED) else pod["containers"]
        rows += [_container_row(one, known, init=one in inits) for one, known in there.items()]
        rows += [(f"  {one}", "no", CONFIG_ERROR, 0, "", None) for one in _never_made(study, name, pods)]
    rows += [(name, *cells[:3], "", cells[3]) for name, *cells in _pending(study)]
    heads = ("name", "ready", "status", "restarts", "last state", "age")
    yield Listing(heads, tuple(rows), place="terminal", whole=True)
    if len(pods) > MOST_PODS:
        yield Note(f"… and {len(pods) - MOST_PODS:,} more in summary.json", "terminal", "rest")


def _never_made(study: Study, pod: str, pods: Collection[str]) -> list[str]:
    """The containers of a pod that the kubelet could not make: no event speaks of an instance of them."""
    mine = [one for one in study.pod_events if len(pods) == 1 or one.pod == pod]
    failed = dict.fromkeys(container_of(one.container) for one in mine if one.reason == "Failed")
    made = {container_of(one.container) for one in study.instances if len(pods) == 1 or one.pod == pod}
    return [name for name in failed if name and name not in made]


def _pending(study: Study) -> list[tuple[Cell, ...]]:
    """The pods without a node: they have no container, and so no figures."""
    last = {one.pod: one for one in study.pod_statuses}
    return [
        (Name(name), str(last[name].detail["ready"]), last[name].text, 0, print_age(study.duration_s - since))
        for name, since in pending(study)
    ]


def _container_row(name: str, known: dict[str, Any], *, init: bool) -> tuple[Cell, ...]:
    """The state is what kubectl would show of this container alone: `Running`, `CrashLoopBackOff`. One that has ended
    is not ready, unless it is an init container that did its work.
    """
    newest, state = known["last_state"], known["state"]
    last_state = f"{newest['reason']} (exit code {newest['exit_code']})" if newest else ""
    ended = state is not None and state["state"] == "Terminated" and not init
    ready = None if known["ready"] is None else "yes" if known["ready"] and not ended else "no"
    shown = "" if state is None else state["reason"] or state["state"]
    return (f"  {name}", ready, shown, known["restarts"], last_state, _age(known))


def _kubectl(pod: dict[str, Any]) -> tuple[Cell, ...]:
    return (pod["ready"], pod["status"], pod["restarts"], _age(pod))


def _age(known: dict[str, Any]) -> str | None:
    return None if known["age_s"] is None else print_age(known["age_s"])


def _statuses(view: View) -> Iterator[Listing]:
    """Each pod, and each change."""
    pods, unplaced = view.summary["pods"], _pending(view.study)
    several = len(view.study.pods) + len(unplaced) > 1
    name = ("NAME",) if several else ()
    heads = (*name, Column("READY", number=False), Column("STATUS", number=False), "RESTARTS")
    rows = (
        tuple((Name(one), *_kubectl(pod)) for one, pod in pods.items()) + tuple(unplaced)
        if several
        else (_kubectl(view.summary["pod"]),)
    )
    yield Listing((*heads, Column("AGE", number=False)), rows, place="page", rest="all pods")
    changes = view.study.pod_statuses
    if len(changes) > len(rows):
        changed = tuple((f"{one.t:.3f} s", *((one.pod,) if several else ()), *_status(one)) for one in changes)
        title = f"each change of {'them' if several else 'it'} ({len(changes)})"
        pod = (Column("NAME", number=False),) if several else ()
        yield Listing((Column("at"), *pod, *heads[-3:]), changed, title=title, place="page", folded=True)


def _status(one: Happening) -> tuple[Cell, ...]:
    return (one.detail.get("ready"), one.text, one.detail.get("restarts"))


def _described(study: Study) -> Listing:
    """In the words of `kubectl describe pod`."""
    heads = (
        "",
        "State",
        "Reason",
        "Exit Code",
        "Last State",
        "Last Reason",
        "Last Exit Code",
        "Ready",
        "Restart Count",
    )
    numbers = ("Exit Code", "Last Exit Code", "Restart Count")
    rows: list[tuple[Cell, ...]] = []
    for name in study.containers:
        described = describe(study, name)
        if described is not None:
            newest = described.last_state
            row = (Name(name), described.state.state, described.state.reason, described.state.exit_code)
            before = (None, None, None) if newest is None else (newest.state, newest.reason, newest.exit_code)
            rows.append((*row, *before, bool(described.ready), described.restart_count))
    return Listing(
        tuple(Column(head, number=head in numbers) for head in heads), tuple(rows), place="page", whole=True
    )


def log(study: Study) -> Iterator[Entry]:
    """Each change of what kubectl shows of a pod."""
    for one in study.pod_statuses:
        restarts = count(int(one.detail["restarts"]), "restart")
        text = f"{pod_words(study, one.pod)} is {one.detail['ready']} {one.text}, {restarts}"
        yield Entry(one.t, "emu", text, one.detail)


PODS = Topic("Pod", figures, more=parts, section=pod_section, log=log)
