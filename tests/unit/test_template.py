"""What Knative makes of a revision: the template of its pods, and what the kubelet makes of any template."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from emu.helpers.freezer_access import MOUNT, Access
from emu.kubelet.environment import program_of
from emu.kubelet.template import ContainerTemplate, PodTemplate, Volume
from emu.messages import APP, DATA_DIR, QUEUE_PROXY
from emu.policy.kubelet.derived import NodeRules
from emu.policy.lifecycle import BackOffRule
from emu.policy.probing import ProbeRule
from emu.record.events import ContainerCreated, EventLog, read_events
from emu.runtime import images
from emu.runtime.api import ContainerRequest, VolumeMount
from emu.scenario.reading import read_scenario
from emu.serving.template import pod_template, queue_proxy_environment
from emu.spec import ExecSpec, HttpGetSpec, MemoryControls, Resources, SleepSpec, TcpSocketSpec
from tests.fakes import FakeEngine, FakePodCgroup, fake_pod

MIB = 2**20


def template_of(pod: str) -> PodTemplate:
    """The template of a scenario with this under `pod:`."""
    return pod_template(read_scenario(f"name: it\nquestion: What?\npod: {pod}\n", "it").pod)


def environment(template: PodTemplate, container: str) -> dict[str, str]:
    """What a container finds in its environment."""
    return program_of(template.container(container), template, "pod-1", "10.0.0.2", NodeRules(0)).env


def test_without_probes_we_look_often() -> None:
    """queue-proxy is asked as Knative has it, the app and a sidecar with a port by TCP: emu's own probes."""
    template = template_of("{sidecars: [{name: mesh, port: 15021}, {name: agent}]}")
    probes = {one.name: one.probes for one in template.containers}
    assert {name: set(of) for name, of in probes.items()} == {
        "queue-proxy": {"readiness"}, "app": {"readiness"}, "mesh": {"readiness"}, "agent": set(),
    }  # fmt: skip
    asked = probes[QUEUE_PROXY]["readiness"].handler
    assert isinstance(asked, HttpGetSpec)
    assert ("K-Network-Probe", "queue") in [(one.name, one.value) for one in asked.http_headers]
    assert isinstance(probes[APP]["readiness"].handler, TcpSocketSpec)
    assert all(probe.ours for of in probes.values() for probe in of.values())


def test_the_apps_readiness_is_queue_proxys_affair() -> None:
    """As Knative's controller rewrites it: queue-proxy gets the probe as JSON and is asked in its rhythm; the record
    says whose it was.
    """
    probe = "{httpGet: {path: /r}, periodSeconds: 3, failureThreshold: 5, timeoutSeconds: 2}"
    template = template_of(f"{{app: {{port: 9000, readinessProbe: {probe}}}}}")
    asked = template.container(QUEUE_PROXY).probes["readiness"]
    assert isinstance(asked.handler, HttpGetSpec) and asked.handler.port == 8012
    assert (asked.rule, asked.timeout_s) == (ProbeRule(period_s=3, failure_threshold=5), 2)
    assert template.container(APP).probes["readiness"].ours
    assert [one.declared_probes for one in template.containers] == [(), ("readiness",)]
    passed = json.loads(environment(template, QUEUE_PROXY)["SERVING_READINESS_PROBE"])
    assert passed["httpGet"] == {
        "path": "/r", "port": 9000, "host": "127.0.0.1", "scheme": "HTTP", "httpHeaders": [],
    }  # fmt: skip
    assert (passed["periodSeconds"], passed["timeoutSeconds"], passed["failureThreshold"]) == (3, 2, 5)


def test_an_exec_readiness_probe_stays_with_the_app() -> None:
    """queue-proxy cannot run a command in another container: it connects to the port, the kubelet asks the app."""
    template = template_of("{app: {readinessProbe: {exec: {command: [x]}}}}")
    assert isinstance(template.container(APP).probes["readiness"].handler, ExecSpec)
    assert template.container(QUEUE_PROXY).probes["readiness"].ours
    assert "tcpSocket" in json.loads(environment(template, QUEUE_PROXY)["SERVING_READINESS_PROBE"])


def test_queue_proxys_own_probe_goes_first() -> None:
    """What the scenario gives it is asked, whatever the app's says."""
    template = template_of("{queueProxy: {readinessProbe: {tcpSocket: {}}}, app: {readinessProbe: {httpGet: {}}}}")
    assert isinstance(template.container(QUEUE_PROXY).probes["readiness"].handler, TcpSocketSpec)


def test_the_apps_hook_waits_for_the_drain() -> None:
    """Knative's, unless the scenario has another; other containers have none of their own accord."""
    template = template_of("{sidecars: [{name: agent, lifecycle: {preStop: {sleep: {seconds: 2}}}}]}")
    assert template.container(APP).pre_stop == HttpGetSpec(port=8022, path="/wait-for-drain")
    assert template.container("agent").pre_stop == SleepSpec(seconds=2)
    assert template.container(QUEUE_PROXY).pre_stop is None
    own = template_of("{app: {lifecycle: {preStop: {sleep: {seconds: 2}}}}}")
    assert own.container(APP).pre_stop == SleepSpec(seconds=2)


def test_queue_proxys_environment() -> None:
    """The controller's, with the revision's timeouts and the pod's name and address; the scenario's goes first."""
    revision = "containerConcurrency: 10, timeoutSeconds: 60, responseStartTimeoutSeconds: 5, idleTimeoutSeconds: 7"
    template = template_of(f"{{{revision}, queueProxy: {{env: {{SERVING_SERVICE: mine, EXTRA: '1'}}}}}}")
    assert environment(template, QUEUE_PROXY) == {
        **queue_proxy_environment(10, 8080, "10.0.0.2", "pod-1"),
        "REVISION_TIMEOUT_SECONDS": "60",
        "REVISION_RESPONSE_START_TIMEOUT_SECONDS": "5",
        "REVISION_IDLE_TIMEOUT_SECONDS": "7",
        "SERVING_SERVICE": "mine",
        "EXTRA": "1",
    }
    pod = {name: environment(template, QUEUE_PROXY)[name] for name in ("SERVING_POD", "SERVING_POD_IP", "HOST_IP")}
    assert pod == {"SERVING_POD": "pod-1", "SERVING_POD_IP": "10.0.0.2", "HOST_IP": "10.0.0.2"}
    assert environment(template, APP) == {
        "PORT": "8080",
        "K_SERVICE": "app",
        "K_CONFIGURATION": "app",
        "K_REVISION": "app-00001",
    }


def test_a_sidecar_knows_its_revision() -> None:
    """Knative gives it to each container but queue-proxy and the init containers, a port to the serving one alone; a
    pod without a queue-proxy is none of a revision's.
    """
    more = "sidecars: [{name: mesh, env: {A: '1'}}], initContainers: [{name: first}]"
    template = template_of(f"{{{more}}}")
    of = {"K_SERVICE": "app", "K_CONFIGURATION": "app", "K_REVISION": "app-00001"}
    found = environment(template, "mesh")
    assert found.items() >= {"A": "1", **of}.items()
    assert "K_SERVICE" not in environment(template, "first")
    assert "K_SERVICE" not in environment(template_of(f"{{deploymentMode: Standard, {more}}}"), "mesh")


def test_a_footprint_is_passed_to_queue_proxy() -> None:
    """As JSON, whole; without one there is no such variable."""
    passed = environment(template_of("{queueProxy: {footprint: knative-1.23}}"), QUEUE_PROXY)["EMU_FOOTPRINT"]
    assert json.loads(passed)["name"] == "knative-1.23"
    assert "EMU_FOOTPRINT" not in environment(template_of("{}"), QUEUE_PROXY)


def test_a_freezer_is_reached_by_queue_proxy_alone() -> None:
    """Its folder is mounted there, and its variables are set there."""
    spec = read_scenario("name: it\nquestion: What?\npod: {freezer: {}}\n", "it").pod
    template = pod_template(spec, freezer=Access(Path("/run/it/pod"), {"EMU_FREEZER": "unix:x"}))
    assert [one.bind for one in template.containers] == [("/run/it/pod", MOUNT), None]
    assert [one.env.get("EMU_FREEZER") for one in template.containers] == ["unix:x", None]


def test_images_and_programs() -> None:
    """emu's own unless the scenario names one; a start's app has its own; a stand-in is a program of emu's."""
    pod = "{app: {image: mine:1, args: [a]}, sidecars: [{name: agent}, {name: mesh, command: [m], args: [n]}]}"
    spec = read_scenario(f"name: it\nquestion: What?\npod: {pod}\n", "it").pod
    made = pod_template(spec)
    assert [one.image for one in made.containers] == [images.QUEUE_PROXY, "mine:1", images.APP, images.APP]
    assert [one.command for one in made.containers] == [None, None, None, ("m",)]
    programs = [one.args for one in made.containers]
    assert programs == [None, ("a",), ("/usr/bin/python3", "-S", "-m", "emu.daemon.app.sidecar"), ("n",)]
    assert pod_template(spec, app_image="other:1").container(APP).image == "other:1"


def test_a_volume_is_for_emus_app_or_for_files() -> None:
    """Another image has one only if the scenario makes files for it."""
    assert template_of("{}").volumes == (Volume("data"),)
    assert template_of("{app: {image: mine:1}}").volumes == ()
    with_files = template_of("{app: {image: mine:1, files: [{name: model, size: 1Mi}]}}")
    assert [file.name for volume in with_files.volumes for file in volume.files] == ["model"]
    assert [one.volume for one in with_files.containers] == [None, ("data", DATA_DIR)]


def test_grace_and_restarts() -> None:
    """The grace period is the revision's timeout unless one is given; at a run's end only a given one counts."""
    template = template_of("{timeoutSeconds: 60, restartPolicy: Never, backOff: {initial: 4s, scale: 0.5}}")
    assert (template.grace_s, template.last_grace_s, template.restart_policy) == (60, 0, "Never")
    assert template.back_off == BackOffRule(2.0, 150.0, 300.0)
    given = template_of("{terminationGracePeriodSeconds: 5}")
    assert (given.grace_s, given.last_grace_s) == (5, 5)


def requests_of(template: PodTemplate, folder: Path) -> dict[str, ContainerRequest]:
    """What the engine is asked to make for a pod, by container."""
    engine, log = FakeEngine(), EventLog(folder / "events.jsonl")
    pod = fake_pod(template, engine, FakePodCgroup(folder), log)
    pod.open()
    for name in pod.containers:
        pod.create(name, 0)
    log.close()
    return {request.labels["emu.container"]: request for request in engine.made}


def test_the_kubelet_runs_a_pod_without_a_queue_proxy(tmp_path: Path) -> None:
    """A template of one plain container: what is asked of the engine is in the template, and nothing else."""
    resources = Resources.model_validate({"limits": {"memory": "64Mi", "cpu": "500m"}})
    job = ContainerTemplate(
        name="job", image="batch:1", command=("work",), args=("fast",), env={"A": "b"}, resources=resources
    )
    made = requests_of(PodTemplate(containers=(job,)), tmp_path)
    assert set(made) == {"sandbox", "job"}
    request = made["job"]
    assert (request.image, request.entrypoint, request.command) == ("batch:1", ("work",), ("fast",))
    assert (request.env, request.memory_max, request.millicores) == ({"A": "b"}, 64 * MIB, 500)
    assert (request.network_of, request.mounts, request.bind) == ("it.pod.sandbox.0", [], None)
    assert request.oom_score_adj == -997


def test_rights_reach_the_engine(tmp_path: Path) -> None:
    """As they are asked for, and without them as ever."""
    asked = (
        "{app: {image: web, workingDir: /srv, securityContext: {runAsUser: 1000, runAsGroup: 3000, "
        "readOnlyRootFilesystem: true, capabilities: {drop: [ALL], add: [CHOWN]}}}}"
    )
    made = requests_of(template_of(asked), tmp_path)
    app, proxy = made[APP], made[QUEUE_PROXY]
    assert (app.user, app.working_dir, app.read_only, app.confined) == ("1000:3000", "/srv", True, False)
    assert (app.cap_add, app.cap_drop) == (("CHOWN",), ("ALL",))
    assert (proxy.user, proxy.working_dir, proxy.read_only, proxy.cap_add, proxy.cap_drop) == (
        None,
        None,
        False,
        (),
        (),
    )


def test_what_a_revisions_containers_are_made_with(tmp_path: Path) -> None:
    """Limits, swap, oom_score_adj, volume and the pause container's network, and the record's words on them."""
    pod = (
        "{queueProxy: {resources: {limits: {memory: 64Mi, cpu: 100m}, requests: {memory: 32Mi, cpu: 25m}}, "
        "memory: {high: 60Mi}}, app: {livenessProbe: {httpGet: {}}}}"
    )
    made = requests_of(template_of(pod), tmp_path)
    queue_proxy, app = made[QUEUE_PROXY], made[APP]
    assert (queue_proxy.memory_max, queue_proxy.swap_max, queue_proxy.millicores) == (64 * MIB, 0, 100)
    assert (queue_proxy.cpu_shares, app.cpu_shares, made["sandbox"].cpu_shares) == (25, 2, 2)
    assert (queue_proxy.oom_score_adj, app.oom_score_adj) == (1000 - 1000 * 32 // 1024, 999)
    assert (queue_proxy.mounts, app.mounts) == ([], [VolumeMount("it-pod-data", DATA_DIR, filled=True)])
    assert {request.network_of for request in (queue_proxy, app)} == {"it.pod.sandbox.0"}
    assert queue_proxy.env["SERVING_POD_IP"] == "127.0.0.1"
    created = [one for one in read_events(tmp_path / "events.jsonl") if isinstance(one, ContainerCreated)]
    assert [(one.container, one.memory_max, one.memory_high, one.probes) for one in created] == [
        ("sandbox", None, None, []),
        (QUEUE_PROXY, 64 * MIB, 60 * MIB, []),
        (APP, None, None, ["liveness"]),
    ]


class ManagedCgroup(FakePodCgroup):
    """One that somebody else manages, as systemd does."""

    manager_writes_controls = True

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.reported: list[dict[str, str]] = []

    def manage_controls(self, container_id: str, wanted: Mapping[str, str]) -> None:
        """Remembered."""
        self.reported.append(dict(wanted))


@pytest.mark.parametrize(("least", "swap"), [(MIB, {"memory.swap.max": "0"}), (None, {})])
def test_systemd_knows_that_there_is_no_swap(tmp_path: Path, least: int | None, swap: dict[str, str]) -> None:
    """Docker writes a memory.swap.max of 0 past systemd, which would undo it with any other property that it sets."""
    limits = Resources.model_validate({"limits": {"memory": "64Mi"}})
    one = ContainerTemplate(name="job", image="batch:1", resources=limits, memory=MemoryControls(min=least))
    cgroup, log = ManagedCgroup(tmp_path), EventLog(tmp_path / "events.jsonl")
    pod = fake_pod(PodTemplate(containers=(one,)), FakeEngine(), cgroup, log)
    made = pod.create("job", 0)
    made.cgroup.mkdir()
    (made.cgroup / "memory.swap.max").write_text("0\n")
    pod.start(made)
    log.close()
    given = {} if least is None else {"memory.min": str(least)}
    assert cgroup.reported == [{**given, "memory.oom.group": "1", **swap}]
