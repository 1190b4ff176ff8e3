"""A HorizontalPodAutoscaler beside a revision's pods: who is in front of them, what it counts, what it records."""

from __future__ import annotations

import socket
from types import SimpleNamespace
from typing import Any, cast

import pytest

from emu.kubelet.template import PodTemplate
from emu.policy.hpa.usage import Point
from emu.record.events import MetricRead, ScaleDecided, now
from emu.run.driving import entrance_of
from emu.scenario.reading import read_scenario
from emu.serving import hpa
from emu.serving.autoscaler import Live
from emu.serving.front import BareService
from emu.serving.hpa import Hpa, requests_of, seen
from emu.serving.template import pod_template
from emu.spec import RevisionPlan, ScenarioSpec

MIB = 2**20
KNATIVE = """
name: it
question: What?
pod:
  app: { resources: { requests: { cpu: 100m }, limits: { memory: 64Mi } } }
  queueProxy: { resources: { requests: { cpu: 25m } } }
  sidecars: [{ name: beside, resources: { requests: { cpu: 10m } } }]
  initContainers:
    - { name: first, resources: { requests: { cpu: 1 } } }
    - { name: log, restartPolicy: Always, resources: { requests: { cpu: 30m } } }
  autoscaling: { class: hpa, metric: memory, target: 20, maxScale: 5, controller: { syncPeriod: 1ms } }
"""
STANDARD = """
name: it
question: What?
pod:
  deploymentMode: Standard
  app: { port: 9000, readinessProbe: { httpGet: { path: /ok } }, resources: { requests: { cpu: 100m } } }
  autoscaling: { class: hpa, horizontalPodAutoscaler: { maxReplicas: 2 } }
"""


def planned(text: str) -> tuple[ScenarioSpec, RevisionPlan, PodTemplate]:
    """A scenario's only revision or Deployment."""
    spec = read_scenario(text, "it")
    (plan,) = spec.each_revision.values()
    return spec, plan, pod_template(plan.spec)


def live(template: PodTemplate, *, ready: bool = True, running: tuple[str, ...] = ("app",)) -> Live:
    """A pod that was made just now."""
    worker = SimpleNamespace(
        pod="a", template=template, running=[SimpleNamespace(container=name) for name in running]
    )
    return Live(cast("Any", worker), 5.0, "", 7.0 if ready else None, 7.0 if ready else 5.0)


def test_requests_are_those_of_what_runs_side_by_side() -> None:
    """A limit counts as a request where there is none; an init container counts if it is a sidecar."""
    _, _, template = planned(KNATIVE)
    assert requests_of(template) == {
        "cpu": {"queue-proxy": 25, "app": 100, "beside": 10, "log": 30},
        "memory": {"queue-proxy": None, "app": 64 * MIB * 1000, "beside": None, "log": None},
    }


def test_a_pod_is_pending_until_one_of_its_containers_runs() -> None:
    """An init container alone does not count."""
    _, _, template = planned(KNATIVE)
    assert seen(live(template, ready=False, running=("first",))).phase == "Pending"
    found = seen(live(template))
    assert (found.phase, found.ready, found.ready_changed_s, found.started_s) == ("Running", "True", 7.0, 5.0)


def test_each_sync_is_on_record_with_what_it_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """The metric of each pod, and the decision of the same time; the activator is in front until a pod is ready."""
    _, plan, template = planned(KNATIVE)
    began = now()
    scraped = {"a": {"app": Point(began - 12.0, began, 0, 50 * MIB)}}
    monkeypatch.setattr(hpa, "scrape", lambda _: scraped)
    one = Hpa(plan, template)
    one.start()
    assert one.proxied
    one.update([live(template)])
    assert not one.proxied
    one._controller.next_scrape_s = began
    while one.pods == 1:
        one.turn([live(template)])
    first, ready, *_, read, decided = one.decisions(0)
    assert isinstance(first, ScaleDecided) and (first.why, first.mode) == ("initial scale", "Proxy")
    assert isinstance(ready, ScaleDecided) and (ready.why, ready.mode) == ("a pod is ready", "Serve")
    assert isinstance(read, MetricRead) and isinstance(decided, ScaleDecided)
    assert read.t == decided.t and read.samples == {"a": (50.0 * MIB, began, 12.0)}
    assert (read.unit, read.target, read.value, read.proposed) == ("bytes", 20.0 * MIB, 50.0 * MIB, 3)
    assert (decided.before, decided.pods, decided.metric, decided.autoscaler) == (1, 3, "memory", "hpa")
    assert one.decisions(0) == []


def test_a_deployments_pods_have_no_queue_proxy() -> None:
    """Requests go to the app; its own readiness probe and no drain hook: both are queue-proxy's affair elsewhere."""
    _, plan, template = planned(STANDARD)
    assert (plan.name, template.names, template.port, template.serving) == ("app", ("app",), 9000, "app")
    app = template.container("app")
    assert not app.probes["readiness"].ours and app.pre_stop is None
    assert "K_SERVICE" not in app.env


def test_a_service_without_ready_pods_refuses_connections() -> None:
    """As kube-proxy does; the port stays taken, so nobody else answers there."""
    with BareService() as service, socket.socket() as client, pytest.raises(ConnectionRefusedError):
        client.connect(("127.0.0.1", service.port))


@pytest.mark.parametrize(("text", "container"), [(STANDARD, "app"), (KNATIVE, "")])
def test_requests_to_a_scaled_deployment_are_recorded_as_its_apps(text: str, container: str) -> None:
    """Which pod an activator chooses is not known beforehand, nor whether it comes to a queue-proxy at all."""
    _, _, template = planned(text)
    workload = SimpleNamespace(entrance=("localhost", 8012), pod="", template=template)
    assert entrance_of(cast("Any", workload)).container == container
