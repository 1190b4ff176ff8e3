"""What the screen shows of a run under way: the pod a few times a second, and the kubelet's events as they come."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

from cgroups.errors import CgroupError
from cgroups.group import Cgroup
from cgroups.memory import MemoryStat
from emu.helpers.load import RunLoad
from emu.policy.effective import MEMORY
from emu.policy.lifecycle import ContainerState
from emu.record.events import KubeletEvent, now
from emu.run.podfacts import kills_counted
from emu.run.screen import MemoryNow, Now, Screen
from emu.run.workload import Workload

_EVERY_S = 0.25
"""With one pod; with more, as many times as long, for each is read."""
_AT_LEAST_EVERY_S = 2.0
_WORTH_A_LINE = ("Started", "Killing", "Preempted")
"""What the kubelet does to plan and is shown all the same."""


def show_exit(screen: Screen, elapsed_s: float, name: str, state: ContainerState) -> None:
    """A container ended."""
    wait = f"; next start in {state.delay_s:.1f} s" if state.delay_s else ""
    screen.event(f"{elapsed_s:6.1f} s  {name} ended: {state.last_reason}, exit code {state.last_exit_code}{wait}")


class Events:
    """The kubelet's warnings, starts and kills on the screen, each text once: the record has them all."""

    def __init__(self, screen: Screen, began: float, pod: str = "") -> None:
        """`pod`: its name, where there are several."""
        self._pod = f"{pod}: " if pod else ""
        self._screen = screen
        self._began = began
        self._shown: set[tuple[str, str]] = set()

    def show(self, event: KubeletEvent) -> None:
        """Show it if it is news."""
        known = (event.container, event.message)
        if known in self._shown or (event.type == "Normal" and event.reason not in _WORTH_A_LINE):
            return
        self._shown.add(known)
        what = f"{event.reason} {event.container}" if event.container else event.reason
        text = f"{event.t - self._began:6.1f} s  {self._pod}{what}: {event.message}"
        if event.reason == "Started":
            text = f"{event.t - self._began:6.1f} s  {self._pod}{event.message}"
        self._screen.event(text, "dim" if event.type == "Normal" else "yellow")


class Watch:
    """Looks at the pods a few times a second, for the screen only; the record is the recorder's."""

    def __init__(self, workloads: Mapping[str, Workload], screen: Screen, began: float) -> None:
        """`workloads` by their names in the scenario."""
        self._workloads = workloads
        self.screen = screen
        self._began = began
        self._next_at = 0.0

    def look(self, phase: str, load: RunLoad | None) -> None:
        """Show how it is, if that is due."""
        moment = now()
        if moment < self._next_at:
            return
        pods = sum(len(one.each_pod) for one in self._workloads.values())
        self._next_at = moment + min(_EVERY_S * max(1, pods), _AT_LEAST_EVERY_S)
        self.screen.show(self.moment(phase, load))

    def moment(self, phase: str, load: RunLoad | None) -> Now:
        """The state now."""
        moment = now()
        states = {name: _PodsNow(one) for name, one in self._workloads.items()}
        first, several = next(iter(states.values())), len(states) > 1
        said = load.status if load is not None else {}
        return Now(
            elapsed_s=moment - self._began,
            phase=phase,
            ready=_pods(sum(one.pods for one in states.values())) if several else first.ready,
            status=", ".join(f"{name} {one.words}" for name, one in states.items()) if several else first.status,
            restarts=sum(one.restarts for one in states.values()),
            age_s=moment - self._began,
            sent=said.get("sent", 0),
            in_flight=said.get("in_flight", 0),
            connecting=said.get("connecting", 0),
            by_status=said.get("by_status", {}),
            errors=said.get("errors", {}),
            memory=tuple(
                _fullest(
                    [_memory(pod, name) for pod in one.each_pod or (one,)], f"{workload}/{name}" if several else name
                )
                for workload, one in self._workloads.items()
                for name in one.template.names
            ),
        )


class _PodsNow:
    """READY, STATUS and RESTARTS of a workload's pods; with more than one of them, how many have the same."""

    def __init__(self, workload: Workload) -> None:
        views = [pod.view for pod in workload.each_pod] or [workload.view]
        alike = Counter(f"{view.ready} {view.status}" for view in views)
        self.pods = len(workload.each_pod)
        self.restarts = sum(view.restarts for view in views)
        self.words = ", ".join(f"{view} ({number})" if len(views) > 1 else view for view, number in alike.items())
        """Of a workload among others."""
        self.ready, self.status = views[0].ready, views[0].status
        if len(views) > 1:
            self.ready, self.status = _pods(len(views)), next(iter(alike)) if len(alike) == 1 else self.words


def _pods(number: int) -> str:
    return f"{number} pod{'' if number == 1 else 's'}:"


def _fullest(rows: Sequence[MemoryNow], shown: str) -> MemoryNow:
    """The container of that name, of the pods, that holds most; the kills of all of them."""
    row = max(rows, key=lambda one: one.current)
    if len(rows) == 1:
        return replace(row, container=shown)
    ready = sum(one.status == "ready" for one in rows)
    return replace(
        row,
        container=f"fullest {shown}",
        status=f"{ready} of {len(rows)} ready",
        oom_kills=sum(one.oom_kills for one in rows),
    )


def _memory(workload: Workload, name: str) -> MemoryNow:
    state = workload.states[name]
    instance = workload.instance(name)
    stat = MemoryStat({})
    current = swap = kills = 0
    if instance is not None:
        memory = Cgroup(instance.cgroup).memory
        try:
            stat = memory.stat or stat
            current, swap = memory.current or 0, memory.swap_current or 0
            kills = kills_counted(memory.events, oom_group=instance.oom_group)
        except CgroupError:  # it is gone
            stat = MemoryStat({})
    return MemoryNow(
        container=name,
        status="ready" if state.ready else state.phase,
        anon=stat.anon or 0,
        page_cache=stat.page_cache or 0,
        shmem=stat.shmem or 0,
        sock=stat.sock or 0,
        kernel=stat.kernel or 0,
        swap=swap,
        current=current,
        memory_max=workload.template.limit(name, MEMORY),
        oom_kills=kills,
    )
