"""A scenario's load as the load generator takes it; pure."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import NamedTuple

from emu.policy.loadplan import LoadPlan, Phase, RequestSpec, Until, WebSocketSpec
from emu.spec import LoadModel, PhaseModel, RequestModel


class Entrance(NamedTuple):
    """Where requests are sent, and who listens there."""

    host: str
    port: int
    pod: str = ""
    """Empty where an activator chooses one."""
    container: str = ""
    host_header: str = ""
    """Empty: that of the only service."""


def load_plan(
    load: LoadModel, host: str, port: int, entrances: Mapping[str, Entrance] | None = None, *, first: str = ""
) -> LoadPlan:
    """Requests go to `host` and `port`, the `first` of `entrances`; those of a phase that names a pod or a service go
    to that one.
    Phases come one after the other unless they say when they start; seconds from the load's begin. After one that
    ends by what happens, those that follow cannot be timed: each begins when the one before it ends.
    """
    phases: list[Phase] = []
    known = entrances or {}
    own = known.get(first, Entrance("", 0))._replace(host="", port=0)
    end, timed = 0.0, True
    for model in load.phases:
        start = end if model.start is None else model.start
        timed = timed or model.start is not None
        phases.append(
            _phase(
                model,
                start,
                known.get(asked_by(model), own),
                follows=not timed and not model.after_answers,
            )
        )
        end = start + model.duration
        timed = timed and model.until is None and not model.after_answers
    return LoadPlan(host, port, tuple(phases), seed=load.seed, drain_s=load.drain)


def asked_by(phase: PhaseModel) -> str:
    """The name of the entrance to what a phase asks, where it names that: `TAG@SERVICE`, of the first one `TAG@`."""
    return f"{phase.tag}@{phase.service or ''}" if phase.tag else phase.service or phase.to or ""


def _phase(model: PhaseModel, start_s: float, entrance: Entrance, *, follows: bool) -> Phase:
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
        until=None if model.until is None else Until(**model.until.model_dump()),
        follows=follows,
        host=entrance.host,
        port=entrance.port,
        pod=entrance.pod,
        container=entrance.container,
        host_header=entrance.host_header,
    )


def request_spec(model: RequestModel) -> RequestSpec:
    """One kind of request as it is sent."""
    query = model.do.to_work().to_query() if model.do is not None else ""
    content = model.body.content
    return RequestSpec(
        method=model.method or ("POST" if model.body.is_given else "GET"),
        path=model.path or (f"/?{query}" if query else "/"),
        headers=_headers(model),
        body_bytes=model.body.size if content is None else len(content),
        content=None if content is None else base64.b64encode(content).decode(),
        send_rate=float(model.send_rate) if model.send_rate else None,
        read_rate=float(model.read_rate) if model.read_rate else None,
        timeout_s=model.timeout,
        websocket=None
        if model.websocket is None
        else WebSocketSpec(model.websocket.messages, model.websocket.every, model.websocket.size),
    )


def _headers(model: RequestModel) -> dict[str, str]:
    named = {name.lower() for name in model.headers}
    kind = model.body.type
    return model.headers if kind is None or "content-type" in named else {**model.headers, "Content-Type": kind}
