"""The pods of a run as `kubectl get pods` would have listed them at some time."""

from __future__ import annotations

from emu.policy.printing import PENDING, TERMINATING, print_age
from emu.study.model.study import Study
from emu.study.pods import every_pod

HEADS = ("NAME", "READY", "STATUS", "RESTARTS", "AGE")


def rows_at(study: Study, t: float) -> list[tuple[str, str, str, str, str]]:
    """A row for each pod that was there at `t`, by name."""
    return [row for pod in sorted(every_pod(study)) if (row := _row(study, pod, t)) is not None]


def _row(study: Study, pod: str, t: float) -> tuple[str, str, str, str, str] | None:
    mine = [one for one in study.instances if one.pod == pod]
    begins = [at for one in mine for at in (one.created_s, one.started_s) if at is not None]
    statuses = [one for one in study.pod_statuses if one.pod == pod]
    begins += [one.t for one in statuses[:1]]
    made = min(begins, default=0.0)
    last = {one.container: one for one in mine}.values()
    ends = [] if mine else [one.t for one in statuses if one.text == TERMINATING]
    ends += [one.exited_s for one in last if one.exited_s is not None and one.stop is not None and one.stop.with_pod]
    if t < made or (ends and len(ends) >= len(last) and t >= max(ends)):
        return None
    so_far = [one for one in statuses if one.t <= t]
    age = print_age(t - made)
    if not so_far:
        return pod, "-", PENDING, "0", age
    shown = so_far[-1]
    return pod, str(shown.detail["ready"]), shown.text, str(shown.detail["restarts"]), age
