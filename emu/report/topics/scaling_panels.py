"""Autoscaling in the picture: the pods of each revision by state, and what its autoscaler went by."""

from __future__ import annotations

from emu.report.page.canvas import SCALING_LEGEND, Canvas, Panel, safe
from emu.report.topics.hpa_panel import hpa_panel
from emu.report.why_hpa import CLASSES as HPA
from emu.report.words import count, metric_name
from emu.study.model.services import Service, State, by_service
from emu.study.model.study import Study
from emu.units import format_seconds

_STATES: tuple[tuple[State, str], ...] = (
    ("ready", "var(--ok)"),
    ("starting", "var(--event-high)"),
    ("pending", "var(--swap)"),
    ("terminating", "var(--redirect)"),
)


def panels(canvas: Canvas, study: Study) -> None:
    """A panel of pods and one of the metric for each revision that scaled."""
    for service in _scaled(study):
        name = service.name if len(by_service(study.services)[service.name]) == 1 else service.revision
        _pods(canvas, service, name)
        draw = hpa_panel if service.scaled_by in HPA else _metric
        draw(canvas, service, name)


def _scaled(study: Study) -> list[Service]:
    """The revisions that are worth a picture: of several one for each."""
    several = len(study.services) > 1
    return [one for one in study.services if several or any(pods > 1 for _, pods in one.wanted)]


def _pods(canvas: Canvas, service: Service, name: str) -> None:
    """Pods by state, stacked, under the number that was wanted; bands where it panicked."""
    steps = service.steps
    wanted = service.wanted
    top = max([sum(states.values()) for _, states in steps] + [pods for _, pods in wanted])
    axis = {"range": [0, top * 1.2 or 1], "dtick": max(1, top // 4), "tickformat": ",d"}
    title = f"<b>pods of {safe(name)}</b>" + (" · bands: panic" if service.panics else "")
    panel = canvas.panel(title, 92, **axis)
    for since, until in service.panics:
        canvas.band(panel, since, canvas.end_s if until is None else until, "var(--panic)")
    for state, colour in _STATES:
        numbers = [states[state] + (states["not ready"] if state == "starting" else 0) for _, states in steps]
        if any(numbers):
            canvas.trace(
                panel, SCALING_LEGEND, name=state, x=[*(round(t, 6) for t, _ in steps), canvas.end_s],
                y=[*numbers, numbers[-1]], mode="lines", stackgroup=f"pods {name}",
                line={"width": 0, "shape": "hv", "color": colour}, hovertemplate=f"{state}: %{{y:,d}}<extra></extra>",
                meta={"kind": "pods", "of": state},
            )  # fmt: skip
    canvas.trace(
        panel, SCALING_LEGEND, name="wanted", x=[*(round(t, 6) for t, _ in wanted), canvas.end_s],
        y=[*(pods for _, pods in wanted), wanted[-1][1]], mode="lines",
        line={"width": 1.4, "shape": "hv", "color": "var(--ink)"}, hovertemplate="wanted: %{y:,d}<extra></extra>",
        meta={"kind": "pods", "of": "wanted"},
    )  # fmt: skip


def _metric(canvas: Canvas, service: Service, name: str) -> None:
    """The metric for one ready pod against its target, and who waited; bands where the activator was in the path."""
    made, waiting = service.made, service.waiting
    if not made:
        return
    stable = [(one.stable or 0.0) / max(1, one.ready) for one in made]
    panic = [(one.panic or 0.0) / max(1, one.ready) for one in made]
    target = made[-1].target or 0.0
    top = max([*stable, *panic, target, *(number for _, number in waiting)])
    what = f"{metric_name(made[-1].metric)} of a pod of {safe(name)}"
    title = f"<b>{what}</b> against its target · bands: activator in the path"
    panel = canvas.panel(title, 92, range=[0, top * 1.2 or 1], nticks=4, tickformat=",~g")
    for since, until in service.proxied:
        canvas.band(panel, since, canvas.end_s if until is None else until, "var(--phase)")
    times = [round(one.t, 6) for one in made]
    lines = (("stable window", stable, "var(--traffic)", "solid"), ("panic window", panic, "var(--event-oom)", "dot"))
    for window, values, colour, dash in lines:
        canvas.trace(
            panel, SCALING_LEGEND, name=window, x=times, y=[round(value, 6) for value in values], mode="lines",
            line={"width": 1.3, "color": colour, "dash": dash},
            hovertemplate=f"{window}: %{{y:,.4~r}}<extra></extra>", meta={"kind": "metric", "of": window},
        )  # fmt: skip
    canvas.trace(
        panel, SCALING_LEGEND, name="target", x=[times[0], canvas.end_s], y=[target, target], mode="lines",
        line={"width": 1, "color": "var(--limit)", "dash": "dash"}, hovertemplate="target: %{y:,.4~r}<extra></extra>",
        meta={"kind": "metric", "of": "target"},
    )  # fmt: skip
    if waiting:
        canvas.trace(
            panel, SCALING_LEGEND, name="waiting in the activator", x=[round(t, 6) for t, _ in waiting],
            y=[number for _, number in waiting], mode="lines",
            line={"width": 1, "shape": "hv", "color": "var(--server-error)"},
            hovertemplate="waiting: %{y:,d}<extra></extra>", meta={"kind": "waiting"},
        )  # fmt: skip
    _cold(canvas, panel, service)


def _cold(canvas: Canvas, panel: Panel, service: Service) -> None:
    """A mark for each request for which there was no pod as it came; those of the same moment share one."""
    longest: dict[float, list[float]] = {}
    for wait in service.waits:
        if wait.cold:
            longest.setdefault(round(wait.since_s, 2), []).append(wait.until_s - wait.since_s)
    if longest:
        texts = [f"{count(len(one), 'cold request')}, waited {format_seconds(max(one))}" for one in longest.values()]
        canvas.trace(
            panel, SCALING_LEGEND, name="cold request", x=list(longest), y=[0] * len(longest), text=texts,
            mode="markers", marker={"symbol": "triangle-up", "size": 8, "color": "var(--server-error)"},
            cliponaxis=False, hovertemplate="%{text}<extra></extra>", meta={"kind": "cold"},
        )  # fmt: skip
