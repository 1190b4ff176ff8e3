"""A scenario's load as the load generator takes it; pure."""

from __future__ import annotations

from emu.messages import LoadPlan, Phase, RequestSpec, WebSocketSpec
from emu.spec import LoadModel, PhaseModel, RequestModel


def load_plan(load: LoadModel, host: str, port: int, *, begin_at: float | None = None) -> LoadPlan:
    """Phases one after the other unless they say when they start; seconds from the load's begin."""
    phases: list[Phase] = []
    end = 0.0
    for model in load.phases:
        start = end if model.start is None else model.start
        phases.append(_phase(model, start))
        end = start + model.duration
    return LoadPlan(host, port, tuple(phases), seed=load.seed, begin_at=begin_at, drain_s=load.drain)


def _phase(model: PhaseModel, start_s: float) -> Phase:
    return Phase(
        name=model.name,
        kind=model.type,
        start_s=start_s,
        duration_s=model.duration,
        request=request_spec(model.request),
        rate=model.rate,
        rate_to=model.rate_to,
        rates=model.rates,
        size=model.size,
        clients=model.clients,
        think_s=model.think,
        count=model.count,
        keep_alive=model.keep_alive,
        after_answers=model.after_answers,
    )


def request_spec(model: RequestModel) -> RequestSpec:
    """One kind of request as it is sent."""
    query = model.do.to_work().to_query() if model.do is not None else ""
    return RequestSpec(
        method=model.method or ("POST" if model.body else "GET"),
        path=model.path or (f"/?{query}" if query else "/"),
        headers=model.headers,
        body_bytes=model.body,
        send_rate=float(model.send_rate) if model.send_rate else None,
        timeout_s=model.timeout,
        websocket=None
        if model.websocket is None
        else WebSocketSpec(model.websocket.messages, model.websocket.every, model.websocket.size),
    )
