"""containerConcurrency and the queue."""

from __future__ import annotations

from emu.conformance.case import Answer, Case, Do
from emu.conformance.cases.wire import FULL, PLAIN_ERROR, PROBE_UA, SWITCHED, UP, ask

ONE = {"CONTAINER_CONCURRENCY": "1"}

CASES: tuple[Case, ...] = (
    Case(
        "queue-full",
        "One runs and ten wait: the twelfth is refused at once",
        (ask(),),
        (Answer(503, FULL.encode(), {**PLAIN_ERROR, "content-length": str(len(FULL))}, lacks=("retry-after",)),),
        settings=ONE,
        crowd=11,
        reached=0,
        closed=False,
        within_s=(0.0, 0.5),
    ),
    Case(
        "queue-full-probe",
        "A probe is answered all the same",
        (ask(PROBE_UA, b"K-Network-Probe: queue"),),
        (Answer(200, b"queue"),),
        settings=ONE,
        crowd=11,
        reached=0,
    ),
    Case(
        "kubelet-header",
        "K-Kubelet-Probe goes past the breaker, to the app",
        (ask(b"K-Kubelet-Probe: queue"),),
        (Answer(200, b"ok"),),
        settings=ONE,
        crowd=11,
        reached=1,
    ),
    Case("no-limit", "containerConcurrency 0 refuses nobody", (ask(),), (Answer(200, b"ok"),), crowd=30, reached=1),
    Case(
        "upgrade-place",
        "An upgraded connection holds its place",
        (UP,),
        (Answer(101),),
        app=(SWITCHED, Do.HOLD),
        settings=ONE,
        closed=False,
    ),
    Case(
        "queue-timeout",
        "Waiting counts towards the revision's time",
        (ask(),),
        (Answer(504, b"request timeout"),),
        app=(Do.HOLD,),
        settings={**ONE, "REVISION_TIMEOUT_SECONDS": "1"},
        crowd=1,
        reached=1,
        within_s=(0.95, 1.3),
    ),
)
