"""Manifests as they circulate with one mistake each: what is said of it, where, and what to do."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from emu.cli.main import main
from emu.errors import EmuError
from emu.manifests.documents import read_manifests
from emu.manifests.starting import scenario_of
from tests.unit.manifests.test_circulating import DEPLOYMENT, HPA, ISVC
from tests.unit.manifests.test_explaining import SERVICE, explained

CONTAINER = "      - image: registry.example/shop\n"
WITH_KEDA = """\
---
apiVersion: keda.sh/v1alpha1
kind: ScaledObject
metadata: {name: web}
spec:
  scaleTargetRef: {%s}
  triggers: [%s]
"""
CPU = "{type: cpu, metricType: Utilization, metadata: {value: '%s'}}"
GROUP, SIDECAR = "autoscaling.knative.dev", "queue.sidecar.serving.knative.dev"


@pytest.mark.parametrize(
    ("more", "fix"),
    [
        ("timeoutSeconds: 120s", "write 120: it is in seconds"),
        ('containerConcurrency: "5"', "write 5, without quotes"),
        ("containerConcurrency: 5s", "write a whole number"),
        ("timeoutSeconds: '²'", "write a whole number"),
        ("containers: [{image: a/b, command: python app.py}]", 'write a list: ["python", "app.py"]'),
        ("containers: [{image: a/b, ports: ['8080:80']}]", "write containerPort: 80"),
        ("containers: [{image: a/b, resources: {limits: {memory: 512MB}}}]", 'write "512Mi"'),
        ("containers: [{image: a/b, resources: {limits: {cpu: 2 cores}}}]", 'write "2"'),
        (
            "containers: [{image: a/b, resources: {limits: {memory: '${MEM}'}}}]",
            "it is a placeholder: put the value in its place",
        ),
        ("containers: [{image: a/b, env: [{name: A, value: 4}]}]", "quote it"),
        ("containers: [{image: a/b, stdin: 'yes'}]", "write true or false, without quotes"),
    ],
)
def test_a_value_of_the_wrong_type_has_a_fix(tmp_path: Path, more: str, fix: str) -> None:
    """It is made of what was written."""
    key = more.partition(":")[0]
    text = "".join(line for line in (SERVICE % "{}").splitlines(keepends=True) if not line.strip().startswith(key))
    text = text.replace(CONTAINER, "") if key == "containers" else text
    (found,) = explained(tmp_path, f"{text}      {more}\n")
    assert [one.fix for one in found.refusals] == [fix]


@pytest.mark.parametrize(
    ("annotation", "fix"),
    [
        (f'{GROUP}/window: "60"', 'write a duration with its unit, as in "60s"'),
        (f'{GROUP}/targetUtilizationPercentage: "70%"', "write a number without a unit or a percent sign"),
        (f'{GROUP}/maxScale: ""', 'write a whole number, "0" for no limit'),
        (f'{GROUP}/initial-scale: "0"', 'write 1 or more, or set allow-zero-initial-scale: "true" in the ConfigMap'),
        (f'{GROUP}/metric: "cpu"', "write concurrency or rps"),
        (f'{GROUP}/max-scale: "1", {GROUP}/min-scale: "2"', "raise max-scale, or lower min-scale"),
        (f'{GROUP}/target-burst-capacity: "-2"', 'write 0 or more, or "-1" to keep the activator in the path'),
        (f'{SIDECAR}/memory-resource-limit: "1x"', 'write an amount, as in "100m" or "64Mi"'),
    ],
)
def test_an_annotation_that_is_refused_has_a_fix(tmp_path: Path, annotation: str, fix: str) -> None:
    """By the kind of value that it has."""
    (found,) = explained(tmp_path, SERVICE % f"{{{annotation}}}")
    assert len(found.refusals) == 1 and found.refusals[0].fix.startswith(fix)


@pytest.mark.parametrize(
    ("more", "fix"),
    [
        ("        ports: [{name: grpc, containerPort: 80}]", "name it h2c for gRPC and HTTP/2 without TLS"),
        ("        volumeMounts: [{name: m, mountPath: /m}]", "add that volume to the pod's volumes"),
        ("        livenessProbe: {periodSeconds: 5}", "give exactly one of these"),
        ("        env: [{name: PORT, value: '1'}]", "remove it: Knative sets it"),
        ("      terminationGracePeriodSeconds: 9", "remove what no revision has (terminationGracePeriodSeconds: "),
        ("      hostNetwork: true", "enable kubernetes.podspec-hostnetwork in the ConfigMap config-features"),
        ("      hostPID: true", "enable kubernetes.podspec-hostpid in the ConfigMap config-features"),
        ("      dnsConfig: {}", "enable kubernetes.podspec-dnsconfig in the ConfigMap config-features"),
        ("  traffic: [{latestRevision: true, percent: 90}]", "make the percentages add up to 100"),
    ],
)
def test_what_knative_refuses_has_a_fix(tmp_path: Path, more: str, fix: str) -> None:
    """Beside its own words."""
    (found,) = explained(tmp_path, (SERVICE % "{}") + f"{more}\n")
    assert len(found.refusals) == 1 and found.refusals[0].fix.startswith(fix)


def test_bounds_of_a_probe_are_not_those_of_the_revision(tmp_path: Path) -> None:
    """Only timeoutSeconds of the revision's spec has a limit in config-defaults."""
    probe = "        readinessProbe: {periodSeconds: 5, timeoutSeconds: -1, httpGet: {path: /}}\n"
    (found,) = explained(tmp_path, (SERVICE % "{}") + probe)
    assert found.refusals[0].words.startswith("expected 1 <= -1 <=") and not found.refusals[0].fix
    (found,) = explained(tmp_path, (SERVICE % "{}") + "      timeoutSeconds: 999\n")
    assert "max-revision-timeout-seconds in the ConfigMap config-defaults" in found.refusals[0].fix


def test_a_volume_that_is_off_is_refused_where_it_is(tmp_path: Path) -> None:
    """Knative names it, and no field."""
    more = "        volumeMounts: [{name: m, mountPath: /m}]\n      volumes:\n      - name: m\n        hostPath: {}\n"
    (found,) = explained(tmp_path, (SERVICE % "{}") + more)
    assert {one.mark.line for one in found.refusals} == {14, 15}


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ("        timeoutSeconds: 5", "`spec.template.spec.containers[0].timeoutSeconds` is no field"),
        ("        timeoutSeconds: 5", "; it belongs under spec.template.spec"),
        ("        imagePullSecrets: []", "; it belongs under spec.template.spec"),
        ("    containers: []", "; it belongs under spec.template.spec"),
        ("      image: x", "; it belongs under spec.template.spec.containers[0]"),
        ("        livenessProbe: {path: /, tcpSocket: {}}", "containers[0].livenessProbe.httpGet"),
        ("  replicas: 3", "; the annotations autoscaling.knative.dev/min-scale and max-scale of the template say"),
        ("  runLatest: {}", "what is in its configuration.revisionTemplate belongs under spec.template"),
    ],
)
def test_a_field_in_the_wrong_place_is_sent_to_the_right_one(tmp_path: Path, more: str, words: str) -> None:
    """Above or below where it stands, or what there is of it in this kind."""
    (found,) = explained(tmp_path, (SERVICE % "{}") + f"{more}\n")
    assert any(words in note.text for note in found.notes)


@pytest.mark.parametrize(
    ("annotation", "words"),
    [
        (f"{GROUP}/panicWindow", "panic-window-percentage is meant: a share of the window"),
        (f"{GROUP}/scale-up-delay", "it has no delay upwards"),
        (f"{SIDECAR}/request-timeout-seconds", "timeoutSeconds, a field of the revision's spec, is meant"),
        (f"{SIDECAR}/cpuRequest", f"{SIDECAR}/cpu-resource-request is meant"),
        ("serving.knative.dev/rolloutDuration", "has no effect here: it is an annotation of the Service"),
        (
            "run.googleapis.com/minScale",
            "is Cloud Run's, and nothing in Knative reads it; autoscaling.knative.dev/min-",
        ),
    ],
)
def test_an_annotation_that_nothing_reads_is_said(tmp_path: Path, annotation: str, words: str) -> None:
    """With what was meant."""
    (found,) = explained(tmp_path, SERVICE % f'{{{annotation}: "5"}}')
    assert any(words in note.text for note in found.notes)


def test_an_annotation_of_cloud_run_is_said_on_the_service_too(tmp_path: Path) -> None:
    """Where its users write it."""
    above = "metadata: {name: shop, annotations: {run.googleapis.com/minScale: '1'}}"
    (found,) = explained(tmp_path, (SERVICE % "{}").replace("metadata: {name: shop}", above))
    assert found.accepted and any("is Cloud Run's" in note.text for note in found.notes)


@pytest.mark.parametrize("kind", ["Service", "Configuration", "Revision"])
def test_versions_of_knative_that_are_gone(tmp_path: Path, kind: str) -> None:
    """As the API server says it."""
    with pytest.raises(EmuError) as refused:
        explained(tmp_path, f"apiVersion: serving.knative.dev/v1alpha1\nkind: {kind}\nmetadata: {{name: x}}\n")
    assert refused.value.why.endswith('in version "serving.knative.dev/v1alpha1": it is gone since Knative 0.19')


@pytest.mark.parametrize("text", ["kind: A\nname: {{ .Release.Name }}\n", "kind: A\n{{- if x }}\na: b\n{{- end }}\n"])
def test_a_template_is_to_be_filled_in_first(tmp_path: Path, text: str) -> None:
    """A chart's file is no YAML."""
    with pytest.raises(EmuError) as refused:
        explained(tmp_path, text)
    assert refused.value.fix == "it is a template: fill it in first, a chart with `helm template`"


def test_a_template_in_quotes_is_not_what_is_wrong(tmp_path: Path) -> None:
    """Of a log's lines, or of an alert's text: the mistake is elsewhere."""
    with pytest.raises(EmuError) as refused:
        explained(tmp_path, 'line: \'{"method": "{{.Request.Method}}"}\'\npod:\n\tname: a\n')
    assert refused.value.fix == "indent with spaces: YAML allows no tabs there"


def test_what_kserve_does_not_read_is_said(tmp_path: Path) -> None:
    """A field as an annotation, one of v1alpha2, a container's in the user's own path."""
    annotations = '{serving.kserve.io/scaleTarget: "1", serving.kserve.io/min-scale: "0"}'
    (found,) = explained(tmp_path, ISVC % (annotations, "") + "  default: {}\n")
    said = " ".join(note.text for note in found.notes)
    assert "serving.kserve.io/scaleTarget is no annotation of KServe" in said
    assert "minReplicas is a field of the predictor" in said
    assert "that is v1alpha2: v1beta1 has spec.predictor" in said
    text = "apiVersion: serving.kserve.io/v1beta1\nkind: InferenceService\nmetadata: {name: x}\nspec: {predictor: "
    (found,) = explained(tmp_path, text + "{containers: [{name: c, image: a/b, storageUri: s3://x}]}}\n")
    assert any("`spec.predictor.containers[0].storageUri` is no field" in note.text for note in found.notes)


def test_numbers_of_kserve_as_texts_have_a_fix(tmp_path: Path) -> None:
    """By what was written."""
    (found,) = explained(tmp_path, ISVC % ("{}", 'timeout: 60s\n    minReplicas: "1"'))
    assert [one.fix for one in found.refusals] == ["write 60: it is in seconds", "write 1, without quotes"]


def test_a_sidecar_of_a_predictor_is_refused_where_it_is(tmp_path: Path) -> None:
    """As its serving container is; the rest of the Service has its place in none of the files."""
    text = "apiVersion: serving.kserve.io/v1beta1\nkind: InferenceService\nmetadata: {name: x}\nspec: {predictor: "
    containers = (
        "[{name: c, image: a/b, ports: [{containerPort: 80}]}, {name: d, image: a, env: [{name: A, value: 4}]}]"
    )
    (found,) = explained(tmp_path, f"{text}{{containers: {containers}}}}}\n")
    (refusal,) = found.refusals
    assert "containers[1].env[0].value" in refusal.words and refusal.mark.line == 4


def test_a_scale_that_kserve_drops_is_not_its_source(tmp_path: Path) -> None:
    """min-scale comes from minReplicas, and from KServe's default where that is absent."""
    (found,) = explained(tmp_path, ISVC % (f'{{{GROUP}/min-scale: "3"}}', ""))
    (scale,) = [value for value in found.values if value.name == "predictor: min-scale"]
    assert (scale.text, scale.source.startswith("KServe")) == ("1", True)


def test_two_autoscalers_of_one_deployment_are_refused(tmp_path: Path) -> None:
    """By KEDA, unless it is to take over."""
    web = DEPLOYMENT % ("minReadySeconds: 0", "{requests: {cpu: 1}}")
    hpa, keda = HPA % ("v2", "Deployment", "minReplicas: 1"), WITH_KEDA % ("name: web", CPU % "50")
    *_, found = explained(tmp_path, web, hpa, keda)
    assert found.refusals[0].words == (
        "the workload 'web' of type 'apps/v1.Deployment' is already managed by the hpa 'web'"
    )
    over = "metadata: {name: web, annotations: {scaledobject.keda.sh/transfer-hpa-ownership: 'true'}}"
    taken = keda.replace("metadata: {name: web}", over)
    *_, found = explained(tmp_path, web, hpa, taken)
    assert found.refusals[0].words.endswith(
        "must be specified by name in advanced settings to enable ownership transfer"
    )
    by_name = "spec:\n  advanced: {horizontalPodAutoscalerConfig: {name: web}}\n"
    *_, found = explained(tmp_path, web, hpa, taken.replace("spec:\n", by_name))
    assert found.accepted


@pytest.mark.parametrize(
    "metadata",
    ["{name: web, namespace: b}", "{name: web, annotations: {validations.keda.sh/hpa-ownership: 'false'}}"],
)
def test_an_autoscaler_that_keda_does_not_look_at_is_none(tmp_path: Path, metadata: str) -> None:
    """One of another namespace, or one that says so."""
    web = DEPLOYMENT % ("minReadySeconds: 0", "{requests: {cpu: 1}}")
    hpa = (HPA % ("v2", "Deployment", "minReplicas: 1")).replace("metadata: {name: web}", f"metadata: {metadata}")
    *_, found = explained(tmp_path, web, hpa, WITH_KEDA % ("name: web", CPU % "50"))
    assert metadata in hpa and found.accepted


def test_memory_that_keda_cannot_read_has_its_unit_mended(tmp_path: Path) -> None:
    """512MB is not 512 bytes."""
    trigger = "{type: memory, metricType: AverageValue, metadata: {value: 512MB}}"
    *_, found = explained(tmp_path, WITH_KEDA % ("name: web", trigger))
    assert any(note.text.endswith('makes no HorizontalPodAutoscaler: write "512Mi"') for note in found.notes)


def test_what_keda_cannot_scale_by_is_said(tmp_path: Path) -> None:
    """A percent sign, a threshold of 0, a target without a name."""
    said = []
    for trigger in (CPU % "50%", "{type: prometheus, metadata: {serverAddress: a, query: up, threshold: '0'}}"):
        *_, found = explained(tmp_path, WITH_KEDA % ("name: web", trigger))
        assert found.accepted
        said += [note.text for note in found.notes if "keeps it from scaling" in note.text]
    assert said[0].endswith('write "50"') and said[1].endswith("must be positive")
    *_, found = explained(tmp_path, WITH_KEDA % ("deploymentName: web", CPU % "50"))
    assert found.refusals[0].words == "spec.scaleTargetRef.name: Required value"


def test_fields_of_an_older_autoscaler_name_the_new_ones(tmp_path: Path) -> None:
    """v2 has a target in their place; a target that is not among the files is compared with those that are."""
    more = "metrics: [{type: Resource, resource: {name: cpu, targetAverageUtilization: 5}}]"
    (found,) = explained(tmp_path, HPA % ("v2", "Deployment", more))
    assert any("v2 has target: {type: Utilization" in note.text for note in found.notes)
    text = (HPA % ("v2", "Deployment", "minReplicas: 1")).replace("name: web}\n  max", "name: weeb}\n  max")
    found, _ = explained(tmp_path, text, DEPLOYMENT % ("replicas: 0", "{}"))
    assert any(note.text.endswith("; is web meant?") for note in found.notes)


def test_nothing_that_runs_at_no_replicas_is_said(tmp_path: Path) -> None:
    """emu runs one pod all the same; a memory limit of 0 is none."""
    path = tmp_path / "web.yaml"
    path.write_text(DEPLOYMENT % ("replicas: 0", "{limits: {memory: 0}}"), encoding="utf-8")
    made = scenario_of(read_manifests([path]))
    assert "replicas 0: in a cluster nothing runs" in made and "limits" not in made
    path.write_text(path.read_text() + "---\n" + HPA % ("v2", "Deployment", "minReplicas: 1"), encoding="utf-8")
    assert "the autoscaler is switched off (ScalingDisabled)" in scenario_of(read_manifests([path]))


def test_the_pods_rights_are_left_out_with_a_port_of_h2c_too(tmp_path: Path) -> None:
    """Whether the image runs or not."""
    path = tmp_path / "shop.yaml"
    features = "---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: config-features}\ndata: "
    features += "{kubernetes.podspec-securitycontext: enabled}\n"
    more = "        ports: [{name: h2c, containerPort: 80}]\n      securityContext: {fsGroup: 5}\n"
    path.write_text((SERVICE % "{}") + more + features, encoding="utf-8")
    made = scenario_of(read_manifests([path]))
    assert "fsGroup of its pods' securityContext" in made and "its port is h2c" in made


@pytest.mark.parametrize(
    ("more", "place", "what"),
    [
        (
            "        resources: {requests: {memory: 2Gi}, limits: {memory: 1Gi}}",
            ":12:40: spec.template.spec.containers[0].resources.requests.memory: ",
            "the memory request is above the memory limit",
        ),
        (
            "        resources: {limits: {cpu: 5000}}",
            ":12:35: spec.template.spec.containers[0].resources.limits.cpu: ",
            "5000 is too large",
        ),
        ("        workingDir: x", ":12:21: spec.template.spec.containers[0].workingDir: ", "is not a valid path"),
        (
            "      initContainers: [{name: app, image: a/b}]",
            ":12:31: spec.template.spec.initContainers[0].name: ",
            "this container cannot be called 'app'",
        ),
    ],
)
def test_what_a_run_refuses_is_named_in_the_manifest(tmp_path: Path, more: str, place: str, what: str) -> None:
    """With its line and key there, not in the scenario that is made of it."""
    features = "---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: config-features}\ndata: "
    features += "{kubernetes.podspec-init-containers: enabled}\n"
    path = tmp_path / "shop.yaml"
    path.write_text((SERVICE % "{}") + f"{more}\n{features}", encoding="utf-8")
    for command in (["init", str(path)], ["run", str(path)]):
        result = CliRunner().invoke(main, command)
        assert result.exit_code == 2
        assert f"{path}{place}" in result.output and what in result.output


def test_a_refusal_of_an_autoscaler_is_named_in_its_document(tmp_path: Path) -> None:
    """Of KEDA's trigger, once; of an InferenceService's field."""
    path = tmp_path / "web.yaml"
    web = DEPLOYMENT % ("minReadySeconds: 0", "{requests: {cpu: 1}}")
    path.write_text(web + WITH_KEDA % ("name: web", CPU % "50%"), encoding="utf-8")
    result = CliRunner().invoke(main, ["init", str(path)])
    assert result.output.startswith(f"emu: {path}:16:69: spec.triggers[0].metadata.value: '50%' is no percentage")
    assert result.output.rstrip().endswith('write "50"')
    path.write_text(ISVC % ("{}", "maxReplicas: 2000"), encoding="utf-8")
    result = CliRunner().invoke(main, ["init", str(path)])
    assert result.output.startswith(f"emu: {path}:7:18: spec.predictor.maxReplicas: 2000 is too large")


def test_a_service_of_a_manifest_is_refused_where_that_is(tmp_path: Path) -> None:
    """In the file that the scenario names."""
    (tmp_path / "shop.yaml").write_text((SERVICE % "{}") + "        workingDir: x\n", encoding="utf-8")
    path = tmp_path / "mine.yaml"
    path.write_text(
        "name: a\nquestion: b?\nservices: [{manifest: shop.yaml}]\nload: {phases: []}\n", encoding="utf-8"
    )
    result = CliRunner().invoke(main, ["explain", str(path)])
    assert f"{tmp_path}/shop.yaml:12:21: spec.template.spec.containers[0].workingDir" in result.output


def test_an_empty_port_of_a_probe_is_no_port_0(tmp_path: Path) -> None:
    """Kubernetes takes it for a name."""
    pod = "apiVersion: v1\nkind: Pod\nmetadata: {name: it}\nspec: {containers: [{name: c, image: x, %s}]}\n"
    (found,) = explained(tmp_path, pod % 'livenessProbe: {tcpSocket: {port: ""}}')
    assert all('tcpSocket.port: Invalid value: ""' in one.words for one in found.refusals) and found.refusals
    assert not found.notes


def test_half_a_gpu_is_refused(tmp_path: Path) -> None:
    """Of the Deployment that Knative makes; its own webhook lets it pass."""
    (found,) = explained(tmp_path, (SERVICE % "{}") + '        resources: {limits: {nvidia.com/gpu: "0.5"}}\n')
    (refusal,) = found.refusals
    assert refusal.words.endswith(
        'containers[0].resources.limits[nvidia.com/gpu]: Invalid value: "500m": must be an integer'
    )
    assert refusal.mark.line == 12
