"""Autoscalers that can make nothing of their metrics: a cluster takes them, and they do nothing there."""

from __future__ import annotations

from pathlib import Path

import pytest

from emu.manifests.documents import read_manifests
from emu.manifests.starting import scenario_of
from emu.scenario.reading import read_scenario
from emu.spec import ScenarioSpec
from tests.unit.manifests.test_circulating import DEPLOYMENT, HPA, SHARE
from tests.unit.manifests.test_explaining import explained

MEMORY = "{type: Resource, resource: {name: memory, target: {type: AverageValue, averageValue: 200Mi}}}"
PODS = "{type: Pods, pods: {metric: {name: rps}, target: {type: AverageValue, averageValue: 5}}}"
BY_OTHER = (
    "metrics: [{type: ContainerResource, containerResource: {name: cpu, container: other, "
    "target: {type: Utilization, averageUtilization: 70}}}]"
)
REVISION = """\
apiVersion: serving.knative.dev/v1
kind: Service
metadata: {name: web}
spec:
  template:
    metadata:
      annotations:
        autoscaling.knative.dev/class: hpa.autoscaling.knative.dev
        autoscaling.knative.dev/metric: cpu
        autoscaling.knative.dev/target: "70"
        autoscaling.knative.dev/max-scale: "4"
    spec: {containers: [{image: nginx%s}]}
"""


def started(folder: Path, *texts: str) -> ScenarioSpec:
    """The scenario that is made of manifests."""
    paths = [folder / f"{number}.yaml" for number in range(len(texts))]
    for path, text in zip(paths, texts, strict=True):
        path.write_text(text)
    return read_scenario(scenario_of(read_manifests(paths)), "made.yaml")


@pytest.mark.parametrize(
    ("metrics", "resources", "why"),
    [
        (SHARE, "{}", "scales nothing in a cluster either (FailedGetResourceMetric: missing request for cpu in"),
        ("minReplicas: 2", "{requests: {memory: 64Mi}}", "missing request for cpu in container web"),
        (BY_OTHER, "{requests: {cpu: 1}}", "FailedGetContainerResourceMetric: container other not present"),
        (f"{SHARE[:-1]}, {PODS}]", "{}", "the rest of its HorizontalPodAutoscaler (FailedGetResourceMetric"),
    ],
)
def test_one_that_does_nothing_is_left_out(tmp_path: Path, metrics: str, resources: str, why: str) -> None:
    """There is one pod, as without it, and `leftOut` has the controller's words."""
    hpa = HPA % ("v2", "Deployment", metrics)
    spec = started(tmp_path, DEPLOYMENT % ("minReadySeconds: 0", resources), hpa)
    assert spec.pod.autoscaling is None
    assert any(why in one for one in spec.pod.left_out)
    assert ("1 more of the same pods" in spec.pod.left_out) is ("minReplicas: 2" in metrics)


def test_one_with_a_metric_that_counts_stays(tmp_path: Path) -> None:
    """The load is for that metric."""
    hpa = HPA % ("v2", "Deployment", f"{SHARE[:-1]}, {MEMORY}]")
    spec = started(tmp_path, DEPLOYMENT % ("minReadySeconds: 0", "{}"), hpa)
    assert spec.pod.autoscaling is not None
    assert spec.load.phases[0].name == "more-memory"


def test_that_of_a_revision_needs_a_request_beside_queue_proxys(tmp_path: Path) -> None:
    """Knative gives queue-proxy one, and a container that has none makes the share impossible."""
    without = started(tmp_path, REVISION % "")
    assert without.pod.autoscaling is None and "container user-container" in " ".join(without.pod.left_out)
    asked = started(tmp_path, REVISION % ", resources: {requests: {cpu: 100m}}")
    assert asked.pod.autoscaling is not None


def test_an_explanation_says_it_of_each_container(tmp_path: Path) -> None:
    """With the reason of the condition, and the controller's words."""
    deployment = DEPLOYMENT % ("minReadySeconds: 0", "{}")
    found, _ = explained(tmp_path, HPA % ("v2", "Deployment", SHARE), deployment)
    assert "container web of Deployment web requests no cpu" in found.notes[0].text
    assert "FailedGetResourceMetric: missing request for cpu in container web" in found.notes[0].text
    found, _ = explained(tmp_path, HPA % ("v2", "Deployment", BY_OTHER), deployment)
    assert "Deployment web has no container other" in found.notes[0].text
    found, _ = explained(tmp_path, HPA % ("v2", "Deployment", f"metrics: [{PODS}]"), deployment)
    assert not found.notes


SIDECAR = "{initContainers: [{name: other, image: log, restartPolicy: Always, resources: %s}], containers: "


def test_a_sidecar_among_the_init_containers_counts(tmp_path: Path) -> None:
    """Its requests are among the pod's, and an autoscaler may go by it alone."""
    deployment = DEPLOYMENT % ("minReadySeconds: 0", "{requests: {cpu: 1}}")
    bare, asks = (deployment.replace("{containers: ", SIDECAR % one) for one in ("{}", "{requests: {cpu: 1}}"))
    share, by_other = (HPA % ("v2", "Deployment", metrics) for metrics in (SHARE, BY_OTHER))
    found, _ = explained(tmp_path, share, bare)
    assert "container other of Deployment web requests no cpu" in found.notes[0].text
    assert started(tmp_path, bare, share).pod.autoscaling is None
    for hpa in (share, by_other):
        found, _ = explained(tmp_path, hpa, asks)
        assert not found.notes
        assert started(tmp_path, asks, hpa).pod.autoscaling is not None


def test_a_share_may_be_one_of_what_the_pod_itself_requests(tmp_path: Path) -> None:
    """The autoscaler works in a cluster; here it is left out with the pod's resources, which a scaled pod has not."""
    own = "{resources: {requests: {cpu: 1}}, containers: "
    deployment = (DEPLOYMENT % ("minReadySeconds: 0", "{}")).replace("{containers: ", own)
    hpa = HPA % ("v2", "Deployment", SHARE)
    found, _ = explained(tmp_path, hpa, deployment)
    assert not found.notes
    left_out = started(tmp_path, deployment, hpa).pod.left_out
    assert "the resources of the pod itself" in left_out
    assert any("goes by what the pod itself requests" in one for one in left_out)
