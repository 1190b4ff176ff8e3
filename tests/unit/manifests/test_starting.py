"""`emu init`, and `emu run MANIFEST`: the scenario that is made of a manifest."""

from __future__ import annotations

import dataclasses
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from click.testing import CliRunner

from emu.cli.main import main
from emu.errors import EmuError
from emu.manifests.documents import read_manifests
from emu.manifests.starting import scenario_of
from emu.manifests.starting_scaling import HPA
from emu.policy.autoscaling.settings import ClusterConfig, Settings, settings_for
from emu.policy.hpa.spec import Behavior, HpaSpec, Metric, ScalingPolicy, ScalingRules
from emu.policy.kubelet.objectfiles import Content, contents
from emu.scenario.reading import read_scenario
from emu.serving.kpa import rule_of
from emu.spec import ScenarioSpec
from emu.spec.environment import objects

KEPT = Path(__file__).parents[2] / "fixtures" / "manifests"
KSVC = """\
apiVersion: serving.knative.dev/v1
kind: Service
metadata: {name: shop}
spec:
  template:
    metadata: {annotations: {%s}}
    spec:
      containerConcurrency: %d
      containers: [{image: registry.example/shop}]
"""
KPA = "autoscaling.knative.dev"
ISVC = """\
apiVersion: serving.kserve.io/v1beta1
kind: InferenceService
metadata:
  name: scorer
  annotations: {{serving.kserve.io/deploymentMode: Standard, serving.kserve.io/autoscalerClass: {0}}}
spec:
  predictor:
    maxReplicas: 3
    scaleMetric: memory
    scaleTarget: 70
    containers: [{{name: kserve-container, image: registry.example/scorer}}]
"""
DEPLOYMENT = """\
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers:
      - {name: web, image: registry.example/web, resources: {requests: {cpu: 100m}}}
---
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: {name: web}
spec:
  scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: web}
  minReplicas: 1
  maxReplicas: 4
  metrics:
  - type: ContainerResource
    containerResource: {name: cpu, container: web, target: {type: Utilization, averageUtilization: 60}}
  - type: Pods
    pods: {metric: {name: rps}, target: {type: AverageValue, averageValue: "10"}}
  behavior:
    scaleDown: {stabilizationWindowSeconds: 30, policies: [{type: Pods, value: 1, periodSeconds: 15}]}
"""


def of(path: Path) -> ScenarioSpec:
    """The scenario of a file, read as `emu run` reads it."""
    return read_scenario(scenario_of(read_manifests([path])), "it")


def of_service(tmp_path: Path, concurrency: int = 0, **annotations: str) -> ScenarioSpec:
    """The scenario of a Service with these annotations."""
    (tmp_path / "shop.yaml").write_text(
        KSVC
        % (", ".join(f'{KPA}/{name.replace("_", "-")}: "{text}"' for name, text in annotations.items()), concurrency),
        encoding="utf-8",
    )
    return of(tmp_path / "shop.yaml")


def test_a_scenario_is_made_of_a_revision() -> None:
    """`emu init` prints one that `emu run` reads: limits, and a load that the target is for."""
    result = CliRunner().invoke(main, ["init", str(KEPT / "01-ksvc-plain.yaml")])
    assert result.exit_code == 0, result.output
    spec = read_scenario(result.output, "x")
    assert (spec.name, spec.pod.container_concurrency, spec.pod.timeout_seconds) == ("thumbnails", 50, 120)
    assert spec.pod.app.resources.limits.memory == 256 * 2**20
    assert spec.pod.autoscaling is not None
    assert (spec.pod.autoscaling.min_scale, spec.pod.autoscaling.target) == (1, 40)


def test_a_scenario_is_made_of_an_inference_service() -> None:
    """The predictor's revision, as KServe makes it: its numbers, its init container and its volume."""
    spec = of(KEPT / "15-isvc-concurrency.yaml")
    scaling = spec.pod.autoscaling
    assert scaling is not None
    assert (scaling.max_scale, scaling.target, scaling.window, scaling.target_burst_capacity) == (4, 2, 30, -1)
    (first,) = spec.pod.init_containers
    assert (first.name, first.resources.limits.memory) == ("storage-initializer", 2**30)
    assert first.do is not None
    assert first.do.write_bytes > 0
    assert [one.name for one in spec.pod.volumes] == [one.name for one in spec.pod.app.volume_mounts]


def test_other_containers_come_along() -> None:
    """Sidecars with their resources, volumes and images; an app that speaks h2c alone cannot run, and it says so."""
    text = scenario_of(read_manifests([KEPT / "06-ksvc-sidecars.yaml"]))
    spec = read_scenario(text, "it")
    assert [(one.name, one.resources.limits.memory) for one in spec.pod.sidecars] == [("tailer", 64 * 2**20)]
    assert [one.name for one in spec.pod.sidecars[0].volume_mounts] == ["logs"]
    program = spec.pod.sidecars[0].program
    assert program is not None and program.image == "registry.example/tailer:7"
    assert program.args == ("--dir", "/var/log/app")
    assert spec.pod.app.program is None
    assert spec.pod.left_out == (
        "the image registry.example/web:7 (its port is h2c, and emu's load speaks HTTP/1.1 to it), "
        "for which emu's own app stands in",
    )


def test_what_another_autoscaler_scales_has_one_pod(tmp_path: Path) -> None:
    """And the file says so: of a class that nobody here is, or by a metric that takes an adapter."""
    for given in ({"class": "mine.example"}, {"class": HPA, "metric": "queue_length", "target": "5"}):
        spec = of_service(tmp_path, **given)
        assert spec.pod.autoscaling is None
        assert "so there is one pod" in scenario_of(read_manifests([tmp_path / "shop.yaml"]))


def test_knatives_class_hpa_keeps_its_annotations(tmp_path: Path) -> None:
    """Those that have an effect there; the load is for its metric."""
    spec = of(KEPT / "05-ksvc-hpa-memory.yaml")
    asked = spec.pod.autoscaling
    assert asked is not None and asked.is_hpa
    assert (asked.metric, asked.target, asked.min_scale, asked.max_scale) == ("memory", 80, 0, 5)
    assert spec.load.phases[0].request.do is not None and spec.load.phases[0].request.do.hold > 0
    of_service(tmp_path, **{"class": HPA, "target": "70", "window": "20s", "panic_window_percentage": "20"})
    path = tmp_path / "shop.yaml"
    path.write_text(path.read_text().replace("/shop}", "/shop, resources: {requests: {cpu: 100m}}}"))
    spec = of(path)
    asked = spec.pod.autoscaling
    assert asked is not None
    rules = ScalingRules(window_s=20.0)
    assert asked.asked == HpaSpec(10, None, (Metric("cpu", target=70),), Behavior(rules, rules))
    assert spec.load.phases[0].request.do is not None and spec.load.phases[0].request.do.cpu > 0


def test_an_inference_service_in_standard_mode_is_a_deployment(tmp_path: Path) -> None:
    """No queue-proxy; KServe's readiness probe, and the autoscaler that KServe writes, with its empty `behavior`."""
    spec = of(KEPT / "19-isvc-standard-traps.yaml")
    assert list(spec.pod.containers) == ["storage-initializer", "app"]
    assert spec.pod.app.readiness_probe is not None and spec.pod.app.readiness_probe.tcp_socket is not None
    assert spec.pod.autoscaling is not None
    assert spec.pod.autoscaling.asked == HpaSpec(1, 1, (), Behavior())  # without maxReplicas it never scales
    (tmp_path / "isvc.yaml").write_text(ISVC.format("hpa"), encoding="utf-8")
    asked = of(tmp_path / "isvc.yaml").pod.autoscaling
    assert asked is not None and asked.asked == HpaSpec(3, 1, (Metric("memory", target=70),), Behavior())
    (tmp_path / "isvc.yaml").write_text(ISVC.format("none"), encoding="utf-8")
    assert of(tmp_path / "isvc.yaml").pod.autoscaling is None


KEDA = """\
apiVersion: serving.kserve.io/v1beta1
kind: InferenceService
metadata:
  name: scorer
  annotations: {{serving.kserve.io/deploymentMode: Standard, serving.kserve.io/autoscalerClass: keda}}
spec:
  predictor:
    minReplicas: 0
    maxReplicas: 3
    autoScaling: {{metrics: [{0}]}}
    containers: [{{name: kserve-container, image: registry.example/scorer}}]
"""
_CPU = "{type: Resource, resource: {name: cpu, target: {type: Utilization, averageUtilization: 60}}}"
_QUERY = "{type: External, external: {metric: {backend: prometheus, serverAddress: http://p, query: sum(x)}, \
target: {type: Value, value: '4'}}}"


def test_keda_makes_an_autoscaler_of_cpu_and_memory_alone(tmp_path: Path) -> None:
    """Never to zero, as such triggers are always active, and with KServe's stabilization."""
    (tmp_path / "isvc.yaml").write_text(KEDA.format(_CPU), encoding="utf-8")
    asked = of(tmp_path / "isvc.yaml").pod.autoscaling
    behavior = Behavior(ScalingRules(window_s=0.0), ScalingRules(window_s=300.0))
    assert asked is not None and asked.asked == HpaSpec(3, 1, (Metric("cpu", target=60),), behavior)


def test_a_query_takes_keda_itself(tmp_path: Path) -> None:
    """The ScaledObject is that of the scenario; a trigger that emu has not leaves one pod."""
    (tmp_path / "isvc.yaml").write_text(KEDA.format(f"{_CPU}, {_QUERY}"), encoding="utf-8")
    asked = of(tmp_path / "isvc.yaml").pod.autoscaling
    assert asked is not None and asked.scaled_object is not None
    assert (asked.scaled_object.min_replica_count, asked.most) == (0, 3)
    assert [one.type for one in asked.scaled_object.triggers] == ["cpu", "prometheus"]
    other = _QUERY.replace("backend: prometheus", "backend: graphite")
    (tmp_path / "isvc.yaml").write_text(KEDA.format(other), encoding="utf-8")
    text = scenario_of(read_manifests([tmp_path / "isvc.yaml"]))
    assert "KEDA's ScaledObject with triggers of type graphite, so there is one pod" in text
    assert read_scenario(text, "it").pod.autoscaling is None


SCALED = """\
---
apiVersion: keda.sh/v1alpha1
kind: ScaledObject
metadata: {name: web}
spec:
  scaleTargetRef: {name: web}
  pollingInterval: 10
  triggers:
  - type: prometheus
    authenticationRef: {name: secret}
    metadata: {serverAddress: http://p, query: 'sum(rate(http_requests_total[1m]))', threshold: "5", authModes: basic}
"""


def test_a_scaled_object_comes_with_its_deployment(tmp_path: Path) -> None:
    """What it asks of Prometheus itself is left out and named; two autoscalers of one Deployment are refused."""
    deployment = DEPLOYMENT.split("---")[0]
    (tmp_path / "web.yaml").write_text(deployment + SCALED, encoding="utf-8")
    spec = of(tmp_path / "web.yaml")
    asked = spec.pod.autoscaling
    assert asked is not None and asked.scaled_object is not None
    assert (asked.scaled_object.polling_interval, asked.most) == (10, 10)
    assert spec.pod.left_out == ("authModes, authenticationRef of trigger 1 of the ScaledObject",)
    (tmp_path / "web.yaml").write_text(DEPLOYMENT + SCALED, encoding="utf-8")
    with pytest.raises(EmuError, match="KEDA's webhook refuses ScaledObject web"):
        scenario_of(read_manifests([tmp_path / "web.yaml"]))


def test_a_deployment_comes_with_its_autoscaler(tmp_path: Path) -> None:
    """The serving container has another name in a scenario; a metric that takes an adapter is left out and named."""
    (tmp_path / "web.yaml").write_text(DEPLOYMENT, encoding="utf-8")
    text = scenario_of(read_manifests([tmp_path / "web.yaml"]))
    spec = read_scenario(text, "it")
    assert spec.pod.left_out == ("metrics of type Pods, which need an adapter",)
    assert spec.pod.app.program is not None and spec.pod.app.program.image == "registry.example/web"
    asked = spec.pod.autoscaling
    assert asked is not None and asked.initial_scale == 2
    down = ScalingRules((ScalingPolicy("Pods", 1, 15.0),), window_s=30.0)
    metric = Metric("cpu", "ContainerResource", target=60, container="app")
    assert asked.asked == HpaSpec(4, 1, (metric,), Behavior(None, down))
    (phase,) = spec.load.phases
    assert phase.request.do is not None
    assert 2 < phase.rate * phase.request.do.cpu / (0.1 * 0.6) <= 3  # so it wants 3 pods


def test_a_refused_autoscaler_of_a_deployment_is_one_error(tmp_path: Path) -> None:
    """At its place in the manifest."""
    (tmp_path / "web.yaml").write_text(DEPLOYMENT.replace("maxReplicas: 4", "maxReplicas: 0"), encoding="utf-8")
    with pytest.raises(EmuError, match="refuses HorizontalPodAutoscaler web"):
        scenario_of(read_manifests([tmp_path / "web.yaml"]))


@pytest.mark.parametrize(
    ("concurrency", "annotations"),
    [
        (0, {}),
        (1, {}),
        (10, {"target": "7", "target_utilization_percentage": "50", "window": "30s"}),
        (0, {"metric": "rps", "target": "33.5", "max_scale": "5", "min_scale": "2", "initial_scale": "3"}),
        (4, {"target_burst_capacity": "0", "panic_window_percentage": "25", "panic_threshold_percentage": "150"}),
        (4, {"target_burst_capacity": "-1", "activation_scale": "3", "scale_down_delay": "1m", "window": "6s"}),
        (0, {"max_scale": "1", "scale_to_zero_pod_retention_period": "45s"}),
        (0, {"min_scale": "12"}),
    ],
)
def test_its_autoscaler_goes_by_the_numbers_of_the_manifest(
    tmp_path: Path, concurrency: int, annotations: dict[str, str]
) -> None:
    """All of Knative's settings come out as from the annotations; only a `max-scale` without limit gets one."""
    spec = of_service(tmp_path, concurrency, **annotations)
    wanted = settings_for(
        {f"{KPA}/{name.replace('_', '-')}": text for name, text in annotations.items()}, ClusterConfig(), concurrency
    )
    found = rule_of(spec.pod).settings
    most = found.max_scale
    assert most == wanted.max_scale or (wanted.max_scale == 0 and most >= max(10, wanted.min_scale))
    assert dataclasses.asdict(found) == pytest.approx(dataclasses.asdict(dataclasses.replace(wanted, max_scale=most)))


@pytest.mark.parametrize(
    ("annotations", "pods"),
    [({}, 3), ({"max_scale": "2"}, 2), ({"max_scale": "1"}, 1), ({"metric": "rps", "target": "20"}, 3)],
)
def test_its_load_wants_as_many_pods_as_it_says(tmp_path: Path, annotations: dict[str, str], pods: int) -> None:
    """Up to three, within `max-scale`: requests at a time, or per second, by what the autoscaler aims at in a pod."""
    spec = of_service(tmp_path, 0, **annotations)
    rule: Settings = rule_of(spec.pod).settings
    (phase,) = spec.load.phases
    assert phase.request.do is not None
    got = phase.rate if rule.metric == "rps" else phase.rate * phase.request.do.sleep
    assert pods - 1 < got / rule.target <= pods


@pytest.mark.parametrize("path", sorted(KEPT.glob("*.yaml")), ids=lambda path: path.stem)
def test_every_manifest_becomes_a_scenario_or_one_error(path: Path) -> None:
    """What is refused, or is no revision, is one clear error, and nothing on standard output."""
    result = CliRunner().invoke(main, ["init", str(path)])
    if result.exit_code == 0:
        assert read_scenario(result.stdout, "it").pod.app
    else:
        assert (result.exit_code, result.stdout) == (2, "")
        assert result.stderr.startswith("emu: ")


def test_all_that_is_refused_of_a_manifest_is_reported(tmp_path: Path) -> None:
    """Each in its webhook's words, with its own place."""
    path = tmp_path / "service.yaml"
    path.write_text(
        "apiVersion: serving.knative.dev/v1\nkind: Service\nmetadata: {name: hello}\n"
        "spec: {template: {spec: {timeoutSeconds: 900, containers: [{image: x}]}}}\n",
        encoding="utf-8",
    )
    for command in ("init", "run"):
        result = CliRunner().invoke(main, [command, str(path)])
        assert result.exit_code == 2
        assert result.stderr.startswith("emu: 2 problems\n")
        refused = [line for line in result.stderr.splitlines() if "refuses Service hello" in line]
        assert len(refused) == 2
        assert all(line.startswith(f"{path}:4:") for line in refused)
        assert "expected 0 <= 900 <= 600" in result.stderr
        assert "Failed to parse image reference" in result.stderr


def test_run_refuses_a_manifest_that_it_cannot_run(tmp_path: Path) -> None:
    """With what `emu init` says, before anything starts."""
    result = CliRunner().invoke(
        main, ["run", str(KEPT / "09-ksvc-long-timeout.yaml"), "--out", str(tmp_path / "run")]
    )
    assert result.exit_code == 2
    assert "Knative's webhook refuses Service" in result.stderr
    assert not (tmp_path / "run").exists()


def test_run_takes_several_manifests_or_one_scenario(tmp_path: Path) -> None:
    """An autoscaler may be in a file of its own; standard input is a manifest, too."""
    wrong = KEPT / "09-ksvc-long-timeout.yaml"
    config = tmp_path / "features.yaml"
    config.write_text("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}\n", encoding="utf-8")
    result = CliRunner().invoke(main, ["run", str(wrong), str(config), "--out", str(tmp_path / "run")])
    assert (result.exit_code, "Knative's webhook refuses Service" in result.stderr) == (2, True)
    result = CliRunner().invoke(main, ["run", str(config), "app-oom", "--out", str(tmp_path / "run")])
    assert result.exit_code == 2
    assert "emu run takes one scenario, or manifests" in result.stderr


@contextmanager
def _standard_input(text: str) -> Iterator[None]:
    """A pipe with that text as the process's own."""
    end, begin = os.pipe()
    os.write(begin, text.encode())
    os.close(begin)
    try:
        with _from(end):
            yield
    finally:
        os.close(end)


@contextmanager
def _from(fd: int) -> Iterator[None]:
    kept = os.dup(0)
    os.dup2(fd, 0)
    try:
        yield
    finally:
        os.dup2(kept, 0)
        os.close(kept)


def _run_variant(*files: str) -> str:
    """What `emu run` says of them before it refuses a variant that they do not have."""
    result = CliRunner().invoke(main, ["run", *files, "--variant", "none"])
    assert result.exit_code == 2
    return result.stderr


def test_run_reads_standard_input_and_pipes_once() -> None:
    """A manifest or a scenario; what is left of a pipe the second time is nothing."""
    manifest, scenario = KSVC % ("", 0), "name: mine\nquestion: Why?\n"
    with _standard_input(manifest):
        said = _run_variant("-")
    assert "standard input is a manifest" in said
    assert "--variant none: shop has no such variant" in said
    with _standard_input(manifest):
        assert "--variant none: shop has no such variant" in _run_variant("/dev/fd/0")
    with _standard_input(manifest):
        assert "--variant none: shop has no such variant" in _run_variant("/proc/self/fd/0")
    ours, theirs = socket.socketpair()
    with ours, theirs, _from(ours.fileno()):
        theirs.sendall(manifest.encode())
        theirs.shutdown(socket.SHUT_WR)
        assert "--variant none: shop has no such variant" in _run_variant("-")
    with _standard_input(scenario):
        assert "--variant none: mine has no such variant" in _run_variant("-")


@pytest.mark.parametrize("command", ["run", "init", "explain"])
def test_errors_call_standard_input_by_its_name(command: str) -> None:
    """And not /dev/stdin: empty, no text, named twice, or closed."""

    def said(*files: str) -> str:
        result = CliRunner().invoke(main, [command, *files])
        assert result.exit_code == 2
        return result.stderr

    with _standard_input(""):
        assert "standard input: empty" in said("-")
    with _standard_input("kind: \0"):
        assert "standard input:1:7: " in said("-")
    with _standard_input(KSVC % ("", 0)):
        assert "standard input: named twice" in said("-", "-")
        assert "/dev/stdin: the same as standard input\n  why: it can be read once" in said("-", "/dev/stdin")
        assert "/proc/self/fd/0: the same as /dev/fd/0" in said("/dev/fd/0", "/proc/self/fd/0")
    with Path(os.devnull).open() as nothing, _from(nothing.fileno()):
        assert "on standard input\n  why: it is neither a pipe nor a file" in said("-")


def test_variables_come_from_config_maps_among_the_files(tmp_path: Path) -> None:
    """Only those that are named are taken along, and the kubelet has the rest to say."""
    env = """
      envFrom: [{prefix: A_, configMapRef: {name: more}}, {configMapRef: {name: gone}}]
      env:
      - {name: MODE, valueFrom: {configMapKeyRef: {name: more, key: mode}}}
      - {name: A_SIZE, value: $(MODE)}
      - {name: KEY, valueFrom: {secretKeyRef: {name: s, key: k}}}
"""
    text = KSVC.replace(
        "containers: [{image: registry.example/shop}]",
        f"containers:\n      - image: registry.example/shop{env.replace(chr(10), chr(10) + '  ')}",
    )
    maps = "---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: more}\ndata: {mode: a$(MODE), SIZE: '3', URL: x}\n"
    (tmp_path / "shop.yaml").write_text(text % ("", 0) + maps, encoding="utf-8")
    pod = of(tmp_path / "shop.yaml").pod
    assert pod.app.program is not None
    assert [(one.name, one.data) for one in pod.config_maps] == [
        ("more", {"mode": "a$(MODE)", "SIZE": "3", "URL": "x"})
    ]
    assert [one.source.name for one in pod.app.program.env_from] == ["more", "gone"]
    assert list(pod.app.program.env) == ["MODE", "A_SIZE", "KEY"]
    assert pod.secrets == pod.left_out == ()


def test_volumes_of_config_maps_and_secrets_come_along(tmp_path: Path) -> None:
    """With what they name of the objects among the files; one that is missing is left out, and why."""
    path = tmp_path / "m.yaml"
    volumes = (
        "[{name: a, configMap: {name: app, items: [{key: log, path: x, mode: 0440}]}}, {name: b, secret: "
        "{secretName: db, defaultMode: 0400}}, {name: c, projected: {sources: [{configMap: {name: none}}]}}]"
    )
    mounts = ", ".join(f"{{name: {one}, mountPath: /{one}, readOnly: true}}" for one in "abc")
    path.write_text(
        "apiVersion: serving.knative.dev/v1\nkind: Service\nmetadata: {name: it}\nspec: {template: {spec: "
        f"{{containers: [{{image: x/y, volumeMounts: [{mounts}]}}], volumes: {volumes}}}}}}}\n---\n"
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: app}\ndata: {log: debug, more: x}\n---\n"
        "apiVersion: v1\nkind: Secret\nmetadata: {name: db}\nstringData: {password: hunter2}\n",
        encoding="utf-8",
    )
    manifests = read_manifests([path])
    pod = read_scenario(scenario_of(manifests), "made").pod
    data = objects(pod.config_maps, pod.secrets)
    files = {one.name: one.files and contents(one.files, data) for one in pod.volumes}
    assert files == {"a": {"x": Content(b"debug", 0o440)}, "b": {"password": Content(b"hunter2", 0o400)}}
    assert data["ConfigMap"] == {"app": {"log": "debug"}}
    assert any('volume "c" : configmap "none" not found' in one for one in pod.left_out)
    assert "hunter2" not in scenario_of(manifests, masked=True)


def test_the_values_of_secrets_are_printed_nowhere(tmp_path: Path) -> None:
    """`emu init` masks them and says where they are; the run has those that are named, stringData before data."""
    refs = (f"{{name: {key}, valueFrom: {{secretKeyRef: {{name: s, key: {key}}}}}}}" for key in "ku")
    env = f"env: [{', '.join(refs)}]"
    text = KSVC.replace("{image: registry.example/shop}", f"{{image: registry.example/shop, {env}}}") % ("", 0)
    secret = (
        "---\napiVersion: v1\nkind: Secret\nmetadata: {name: s}\n"
        "data: {k: aHVudGVyMg==, u: eA==, other: aHVudGVyMw==}\nstringData: {u: hunter4}\n"
    )
    path = tmp_path / "shop.yaml"
    path.write_text(text + secret, encoding="utf-8")
    assert [(one.name, one.data) for one in of(path).pod.secrets] == [("s", {"k": "hunter2", "u": "hunter4"})]
    shown = [CliRunner().invoke(main, [command, str(path)]) for command in ("init", "explain")]
    assert [one.exit_code for one in shown] == [0, 0]
    for one in shown:
        assert "hunter" not in one.output and "aHV" not in one.output
    assert 'k: "********" # it is at' in shown[0].output
    (tmp_path / "mine.yaml").write_text(shown[0].stdout, encoding="utf-8")
    with pytest.raises(EmuError, match="the value of a Secret is masked here"):
        read_scenario(shown[0].stdout, "mine.yaml")
    assert read_scenario(shown[0].stdout, "it", ["pod.secrets.s.data.k=a", "pod.secrets.s.data.u=b"])


@pytest.mark.parametrize(
    ("more", "refused", "why"),
    [
        ("kind: Secret\nmetadata: {name: s}\ndata: {k: hunter2hunter2!}\n", "Secret s", "illegal base64 data"),
        ("kind: Secret\nmetadata: {name: s}\nstringData: {k: 4711}\n", "Secret s", "cannot unmarshal number"),
    ],
)
def test_a_secret_that_the_api_server_refuses_is_refused(tmp_path: Path, more: str, refused: str, why: str) -> None:
    """The cluster would not have it; without its value."""
    path = tmp_path / "shop.yaml"
    path.write_text(f"{KSVC % ('', 0)}---\napiVersion: v1\n{more}", encoding="utf-8")
    with pytest.raises(EmuError, match=f"the API server refuses {refused}") as wrong:
        of(path)
    assert why in wrong.value.why
    assert "hunter2" not in f"{wrong.value} {wrong.value.why}" and "4711" not in wrong.value.why


def test_a_priority_class_that_the_api_server_refuses_is_refused(tmp_path: Path) -> None:
    """It is among the files, and no pod can have it."""
    path = tmp_path / "shop.yaml"
    made = "apiVersion: scheduling.k8s.io/v1\nkind: PriorityClass\nmetadata: {name: high}\nvalue: 2000000000\n"
    path.write_text(f"{KSVC % ('', 0)}---\n{made}", encoding="utf-8")
    with pytest.raises(EmuError, match="the API server refuses PriorityClass high"):
        of(path)


@pytest.mark.parametrize(
    ("data", "why"),
    [
        ('{"../x": a}', 'data[../x]: Invalid value: "../x": a valid config key must consist of'),
        ("{a: 5}", "cannot unmarshal number"),
    ],
)
def test_a_config_map_that_the_api_server_refuses_is_refused(tmp_path: Path, data: str, why: str) -> None:
    """With the place of the key or the value."""
    path = tmp_path / "shop.yaml"
    path.write_text(
        f"{KSVC % ('', 0)}---\napiVersion: v1\nkind: ConfigMap\nmetadata: {{name: c}}\ndata: {data}\n",
        encoding="utf-8",
    )
    with pytest.raises(EmuError, match="the API server refuses ConfigMap c") as wrong:
        of(path)
    assert why in wrong.value.why


@pytest.mark.parametrize(
    ("volume", "kept"),
    [
        ("secret: {secretName: s, items: [{key: jks, path: a}, {key: pw, path: b}]}", ["b"]),
        ("secret: {secretName: s, items: [{key: jks, path: a}]}", []),
        ("projected: {sources: [{secret: {name: s, items: [{key: jks, path: a}]}}, {configMap: {name: c}}]}", ["x"]),
        ("configMap: {name: c, items: [{key: bin, path: a}, {key: x, path: c}]}", ["c"]),
    ],
)
def test_a_file_that_is_no_text_is_left_out_by_itself(tmp_path: Path, volume: str, kept: list[str]) -> None:
    """A keystore in a Secret, or `binaryData`: in a cluster the pod starts, and so it does here."""
    mounts = "volumeMounts: [{name: v, mountPath: /v, readOnly: true}]"
    text = KSVC.replace("shop}]", f"shop, {mounts}}}]\n      volumes: [{{name: v, {volume}}}]") % ("", 0)
    path = tmp_path / "shop.yaml"
    path.write_text(
        f"{text}---\napiVersion: v1\nkind: Secret\nmetadata: {{name: s}}\ndata: {{jks: /u3+7Q==, pw: eA==}}\n"
        "---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\ndata: {x: text}\nbinaryData: {bin: /u3+7Q==}\n",
        encoding="utf-8",
    )
    pod = of(path).pod
    (made,) = pod.volumes
    assert made.files is not None
    assert list(contents(made.files, objects(pod.config_maps, pod.secrets))) == kept
    assert "the file a of the volume v, whose content is no text" in pod.left_out
    assert not any("wait in ContainerCreating" in one for one in pod.left_out)
