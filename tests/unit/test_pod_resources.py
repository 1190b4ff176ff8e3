"""Resources of a pod itself: what they make of its cgroups, and what the API server refuses of them."""

from __future__ import annotations

import pytest

from emu.errors import EmuError
from emu.policy.effective import CPU, MEMORY
from emu.policy.kubelet.derived import NodeRules, as_files
from emu.policy.qos import qos_class
from emu.scenario.needs import needs
from emu.scenario.reading import read_scenario
from emu.serving.template import pod_template
from emu.spec import ScenarioSpec
from emu.spec.fitting import requests_of
from emu.spec.limits import memory_limit

MIB = 2**20
NODE = NodeRules(memory_bytes=1024 * MIB)
OWN = "{requests: {memory: 64Mi}, limits: {memory: 96Mi}}"
BESIDE = "{requests: {memory: 16Mi}, limits: {memory: 48Mi}}"
POD = f"""
  - name: a
    runtime: process
    resources: {OWN}
    containers:
      - {{name: app, port: 8080}}
      - {{name: beside, port: 8081, resources: {BESIDE}}}
"""
LOAD = "load: {phases: [{name: p, type: burst, size: 1, duration: 1s, request: {do: {hold: 1Gi, holdFor: forever}}}]}"


def read(pod: str = POD, version: str = "1.36") -> ScenarioSpec:
    """A scenario of one such pod."""
    return read_scenario(
        f'name: own\nquestion: q?\nnode: {{kubernetes: "{version}"}}\npods:{pod}\n{LOAD}\n', "own.yaml"
    )


def test_the_pod_s_own_resources_take_the_place_of_its_containers() -> None:
    """In its cgroup, for the scheduler, and in those of containers without a limit."""
    spec = read()
    template = pod_template(spec.each_pod["a"])
    files = as_files(template.values(NODE))
    assert files["memory.max"] == f"{96 * MIB}"
    assert [as_files(template.container_values(name, NODE))["memory.max"] for name in template.names] == [
        f"{96 * MIB}", f"{48 * MIB}",
    ]  # fmt: skip
    assert (template.limit("app", MEMORY), template.limit("app", CPU)) == (96 * MIB, None)
    assert requests_of(spec.each_pod["a"]) == {MEMORY: 64 * MIB}
    adj = [int(as_files(template.container_values(name, NODE))["oom_score_adj"]) for name in template.names]
    assert adj == [1000 - 1000 * 24 // 1024, 1000 - 1000 * 40 // 1024]  # 48 MiB more than the containers, halved


def test_they_alone_decide_the_class() -> None:
    """Whatever the containers have."""
    whole = "{requests: {memory: 96Mi, cpu: 500m}, limits: {memory: 96Mi, cpu: 500m}}"
    for own, qos in ((OWN, "Burstable"), (whole, "Guaranteed")):
        pod = pod_template(read(POD.replace(OWN, own)).each_pod["a"]).stored(NODE.version)
        assert qos_class(pod) == qos


def test_what_a_run_needs_ends_at_the_pod_s_limit() -> None:
    """The app is asked to hold 1 GiB, and both containers together may have no more than the pod."""
    spec = read()
    assert [memory_limit(spec.each_pod["a"], name) for name in ("app", "beside")] == [96 * MIB, 48 * MIB]
    assert str(needs([spec], "host", 2**31, 0)).startswith("needs up to 96 MiB of memory;")


@pytest.mark.parametrize(
    ("before", "after", "what", "place"),
    [
        ("{memory: 64Mi}, limits: {memory: 96Mi}", "{memory: 8Mi}", "requests less memory than", "requests.memory"),
        ("limits: {memory: 96Mi}", "limits: {memory: 64Mi, cpu: 20m}", None, ""),
        (OWN, "{requests: {memory: 64Mi, cpu: 10m}, limits: {memory: 96Mi, cpu: 20m}}", None, ""),
        ("limits: {memory: 48Mi}", "limits: {memory: 128Mi}", "limit of beside is above the pod's", "limits.memory"),
        (OWN, "{requests: {memory: 99Mi}, limits: {memory: 96Mi}}", "request is above the memory limit", "requests"),
    ],
)
def test_what_the_api_server_refuses_is_one_error(before: str, after: str, what: str | None, place: str) -> None:
    """At the pod's key."""
    if what is None:
        read(POD.replace(before, after, 1))
        return
    with pytest.raises(EmuError) as refused:
        read(POD.replace(before, after, 1))
    assert len(getattr(refused.value, "errors", [refused.value])) == 1
    assert what in refused.value.what and f"pods.0.resources.{place}" in refused.value.what


def test_a_version_without_them_is_named() -> None:
    """Its API server would drop them."""
    with pytest.raises(EmuError, match=r"no resources of its own in Kubernetes 1\.33"):
        read(version="1.33")
    read(version="1.34")


def test_a_revision_s_pods_have_none() -> None:
    """Nor does emu resize a pod that has them."""
    with pytest.raises(EmuError, match="needs `containers`"):
        read(f"\n  - {{name: a, runtime: process, resources: {OWN}}}\n")
    resize = "resize: {container: app, resources: {limits: {memory: 48Mi}}}"
    text = (
        f"name: own\nquestion: q?\npods:{POD}\nload: {{phases: [{{name: p, type: pause, duration: 1s, {resize}}}]}}\n"
    )
    with pytest.raises(EmuError, match="resources of its own is not resized"):
        read_scenario(text, "own.yaml")
