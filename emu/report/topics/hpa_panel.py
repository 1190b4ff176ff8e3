"""A HorizontalPodAutoscaler in the picture: what it read at each sync, against its targets."""

from __future__ import annotations

from emu.report.page.canvas import SCALING_LEGEND, Canvas, safe
from emu.study.model.services import Service


def hpa_panel(canvas: Canvas, service: Service, called: str) -> None:
    """Each metric of a HorizontalPodAutoscaler at its syncs, against its target; a point for each pod's sample."""
    for name, container in dict.fromkeys((one.name, one.container) for one in service.metrics):
        mine = [one for one in service.metrics if (one.name, one.container) == (name, container)]
        unit, target = mine[0].unit, mine[0].target or 0.0
        scale, shown = {"bytes": (2.0**20, "MiB"), "cores": (1e-3, "m"), "%": (1.0, "% of the requests")}.get(
            unit, (1.0, "in all" if unit == "" else "a pod")
        )
        points = [(one.t, one.value / scale) for one in mine if one.value is not None]
        top = max([target / scale, *(value for _, value in points)])
        whose = f" of {safe(container)}" if container else ""
        title = f"<b>{safe(name)}{whose} of a pod of {safe(called)}</b>, {shown}, at each sync, and its target"
        panel = canvas.panel(title, 92, range=[0, top * 1.2 or 1], nticks=4, tickformat=",~g")
        if points:
            canvas.trace(
                panel, SCALING_LEGEND, name=f"{name} at a sync", x=[round(t, 6) for t, _ in points],
                y=[round(value, 6) for _, value in points], mode="lines+markers",
                line={"width": 1.3, "shape": "hv", "color": "var(--traffic)"}, marker={"size": 5},
                hovertemplate=f"{name}: %{{y:,.4~r}} {shown}<extra></extra>", meta={"kind": "metric", "of": name},
            )  # fmt: skip
        canvas.trace(
            panel, SCALING_LEGEND, name="target", x=[round(mine[0].t, 6), canvas.end_s], y=[target / scale] * 2,
            mode="lines", line={"width": 1, "color": "var(--limit)", "dash": "dash"},
            hovertemplate=f"target: %{{y:,.4~r}} {shown}<extra></extra>", meta={"kind": "metric", "of": "target"},
        )  # fmt: skip
