"""Which pod each request got to, of the record of clients and of the activator."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from emu.messages import QUEUE_PROXY
from emu.record.events import Event, RequestsForwarded
from emu.record.rundir import RunDir
from emu.report.journal import entries
from emu.study.ends import ACTIVATOR as ACTIVATOR_ITSELF
from emu.study.ends import CLIENT_LEFT, End, Ends
from emu.study.model.instances import Instance
from emu.study.model.requests import Request
from emu.study.model.study import Study
from emu.study.pods import asked_of
from emu.study.reached import in_flight_by_pod, with_pods
from emu.study.reasons import give_reasons
from emu.study.requests import count_in_flight

ACTIVATOR = 41000
ORIGIN = 100.0
ONE, OTHER = "app-00001-deployment-abc-aaaaa", "app-00001-deployment-abc-bbbbb"
INSTANCES = [Instance("app", 0, pod=ONE), Instance("app", 0, pod=OTHER)]


def sent(number: int, t: float, port: int | None = None, **facts: Any) -> Request:
    """A request that took a second, to an activator from this port of its client, or from no connection: port 0."""
    ports = None if port is None else (port, ACTIVATOR) if port else ()
    ended = {"done_s": t + 1, "status": 200, "error": None, **facts}
    return Request(number, "it", t, t, None, ended.pop("done_s"), ended.pop("status"), ended.pop("error"),
                   ports=ports, **ended)  # fmt: skip


def forwarded(pod: str, *each: tuple[float, int], port: int = ACTIVATOR, cold: tuple[int, ...] = ()) -> Event:
    """A line of the activator: when it sent on what came from which ports."""
    first = each[0][0]
    at = [round((t - first) * 1e6) for t, _ in each]
    clients = [client for _, client in each]
    return RequestsForwarded(
        t=ORIGIN + first, pod=pod, port=port, since=ORIGIN + first, at=at, clients=clients, cold=list(cold)
    )


def reached(requests: list[Request], *events: Event, scaled: bool = True) -> dict[int, tuple[str, str]]:
    """Of each request its pod, and whether it is known that it got to one."""
    found = with_pods(requests, INSTANCES, list(events), ORIGIN, scaled=scaled)
    assert found is not None
    return {one.id: (one.pod, one.reached) for one in found}


def test_a_request_is_the_last_that_went_out_on_its_connection() -> None:
    """One port has several requests, one after another, and each may go to another pod."""
    requests = [sent(1, 1.0, 500), sent(2, 3.0, 500), sent(3, 3.0, 501)]
    lines = [forwarded(ONE, (2.5, 500), (3.001, 501), cold=(0,)), forwarded(OTHER, (3.001, 500))]
    assert reached(requests, *lines) == {1: (ONE, "pod"), 2: (OTHER, "pod"), 3: (ONE, "pod")}
    found = with_pods(requests, INSTANCES, lines, ORIGIN, scaled=True) or []
    assert [one.cold for one in found] == [True, False, False]
    assert {one.container for one in found} == {QUEUE_PROXY}
    assert [round(one.in_pod_s, 6) for one in found] == [2.5, 3.001, 3.001]


def test_the_same_port_towards_another_activator_is_another_connection() -> None:
    """Two services have an activator each."""
    assert reached([sent(1, 1.0, 500, error="timeout")], forwarded(ONE, (1.5, 500), port=41001)) == {1: ("", "none")}


def test_what_the_activator_kept_reached_no_pod() -> None:
    """It answered 504 itself, the client left, the run ended, or there was no connection to it."""
    kept: list[dict[str, Any]] = [
        {"status": 504},
        {"status": None, "error": "timeout"},
        {"status": None, "error": "unanswered", "done_s": None},
    ]
    requests = [sent(number, 1.0, 500 + number, **facts) for number, facts in enumerate(kept)]
    requests.append(sent(9, 1.0, 0, status=None, error="refused"))
    assert set(reached(requests).values()) == {("", "none")}


def test_an_activator_that_was_killed_leaves_it_open() -> None:
    """What it had sent on just before is not on record: an answer came from some pod; who broke off is open."""
    requests = [sent(1, 1.0, 500), sent(2, 1.0, 501, status=None, error="reset"), sent(3, 1.0, 502)]
    line = forwarded(ONE, (1.0, 502))
    assert reached(requests, line) == {1: ("", "unknown"), 2: ("", "unknown"), 3: (ONE, "pod")}
    assert in_flight_by_pod(with_pods(requests, INSTANCES, [line], ORIGIN, scaled=True) or []) == {}


def test_an_older_record_leaves_it_open_where_pods_were_scaled() -> None:
    """Without scaling and with one pod alone, all went to that one."""
    older = sent(1, 1.0)
    assert reached([older]) == {1: ("", "unknown")}
    found = with_pods([older], INSTANCES[:1], [], ORIGIN, scaled=False) or []
    assert [(one.pod, one.reached) for one in found] == [(ONE, "pod")]


def test_a_pod_has_a_request_from_when_it_was_sent_on() -> None:
    """Not while the activator held it; what reached none is in no pod."""
    requests = [sent(1, 1.0, 500, done_s=4.0), sent(2, 1.0, 501, status=504)]
    found = with_pods(requests, INSTANCES, [forwarded(ONE, (3.0, 500))], ORIGIN, scaled=True) or []
    curves = in_flight_by_pod(found)
    assert list(curves) == [ONE]
    assert ([round(t, 6) for t in curves[ONE].t], curves[ONE].n) == ([3.0, 4.0], [1, 0])


def test_a_pod_that_no_request_reached_has_none() -> None:
    """Where the activator kept them all, they are not counted as a pod's, as those are whose pod is not known."""
    requests = with_pods([sent(1, 1.0, 500, status=504)], INSTANCES, [], ORIGIN, scaled=True) or []
    study = Study(RunDir(Path("run")), duration_s=10.0, requests=requests, instances=list(INSTANCES))
    study.in_flight, study.in_flight_by_pod = count_in_flight(requests), in_flight_by_pod(requests)
    assert asked_of(study, {ONE}).requests == []
    assert study.in_flight_to(ONE).n == []
    assert asked_of(study, {""}).requests == requests


def reasons(tmp_path: Path, requests: list[Request], *ends: End) -> list[str | None]:
    """Why each ended as it did, by what the activator and the pod's queue-proxy recorded."""
    study = Study(RunDir(tmp_path), duration_s=10.0, ended=True, requests=requests)
    study.ends = Ends(tuple(sorted(ends, key=lambda end: end.t)), recorded=True, until_s=10.0)
    return [one.reason for one in give_reasons(study) or []]


def test_of_a_client_that_left_the_pod_says_where_it_was(tmp_path: Path) -> None:
    """The activator notes the same end, and knows less of it."""
    left = sent(1, 1.0, 500, status=None, error="timeout", pod=ONE, reached="pod")
    ends = (
        End(2.001, ACTIVATOR_ITSELF, 0, CLIENT_LEFT, app_s=1.0),
        End(2.002, QUEUE_PROXY, 0, CLIENT_LEFT, app_s=1.0, pod=ONE),
    )
    assert reasons(tmp_path, [left], *ends) == ["client-left-in-app"]
    kept = sent(1, 1.0, 500, status=None, error="timeout", reached="none")
    assert reasons(tmp_path, [kept], ends[0]) == ["activator-client-left"]


def test_an_answer_of_the_activator_is_not_taken_for_the_pods(tmp_path: Path) -> None:
    """Both gave up at the same time; clients have the activator's answer, each of them."""
    mine = [sent(number, 1.0, 500 + number, status=504, pod=ONE, reached="pod") for number in range(2)]
    ends = [End(2.0, ACTIVATOR_ITSELF, 504, "response-timeout", app_s=1.0) for _ in mine]
    ends += [End(1.9999, QUEUE_PROXY, 504, "response-timeout", app_s=1.0, pod=ONE) for _ in mine]
    assert reasons(tmp_path, mine, *ends) == ["activator-response-timeout"] * 2


def test_a_connection_that_the_activator_broke_off_is_not_the_pods_doing(tmp_path: Path) -> None:
    """Its queue-proxy had ended just then; the connection was to the activator."""
    closed = sent(1, 1.0, 500, status=None, error="closed", pod=ONE, container=QUEUE_PROXY, reached="pod")
    assert reasons(tmp_path, [closed]) == ["not-recorded"]


def test_the_journal_says_in_which_pod_requests_went_wrong(tmp_path: Path) -> None:
    """Where a service has several, and all of a burst were in one of them."""
    left = [sent(number, 1.0, 500, status=None, error="timeout", pod=ONE, reached="pod") for number in (1, 2)]
    study = Study(RunDir(tmp_path), duration_s=10.0, ended=True, requests=left, instances=list(INSTANCES))
    study.ends = Ends((End(2.0, QUEUE_PROXY, 0, CLIENT_LEFT, app_s=1.0, pod=ONE),), recorded=True, until_s=10.0)
    study.requests = give_reasons(study)
    said = " ".join(entry.text for entry in entries(study))
    assert f"1 request was given up by the client while waiting for the answer of the app (pod {ONE})" in said
