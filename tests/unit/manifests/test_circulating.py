"""Manifests as they are handed around: what is wrong with them is said, and what is right is read."""

from __future__ import annotations

from pathlib import Path

import pytest

from emu.errors import EmuError
from emu.manifests.documents import read_manifests
from emu.manifests.starting import scenario_of
from emu.scenario.reading import read_scenario
from tests.unit.manifests.test_explaining import SERVICE, explained, values

DEPLOYMENT = """\
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  %s
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: web, image: nginx, resources: %s}]}
"""
ADVANCED = "horizontalPodAutoscalerConfig"
HPA = """\
apiVersion: autoscaling/%s
kind: HorizontalPodAutoscaler
metadata: {name: web}
spec:
  scaleTargetRef: {apiVersion: apps/v1, kind: %s, name: web}
  maxReplicas: 5
  %s
"""
SHARE = "metrics: [{type: Resource, resource: {name: cpu, target: {type: Utilization, averageUtilization: 70}}}]"
ISVC = """\
apiVersion: serving.kserve.io/v1beta1
kind: InferenceService
metadata: {name: iris, annotations: %s}
spec:
  predictor:
    model: {modelFormat: {name: sklearn}, storageUri: "gs://x/y"}
    %s
"""
CONFIG = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: %s}\ndata: {%s}\n"


def test_an_autoscaler_of_v1_is_one_of_v2(tmp_path: Path) -> None:
    """Its percentage is a metric of cpu, in an explanation and in a scenario."""
    hpa = HPA % ("v1", "Deployment", "targetCPUUtilizationPercentage: 50")
    deployment = DEPLOYMENT % ("minReadySeconds: 0", "{requests: {cpu: 100m}}")
    found, _ = explained(tmp_path, hpa, deployment)
    assert values(found)["metric 1"] == "Resource cpu averageUtilization 50, type Utilization"
    assert not found.notes
    scenario = scenario_of(read_manifests([tmp_path / "0.yaml", tmp_path / "1.yaml"]))
    assert "averageUtilization: 50" in scenario


@pytest.mark.parametrize(
    ("version", "more", "field"),
    [
        ("v2", "targetCPUUtilizationPercentage: 50", "spec.targetCPUUtilizationPercentage"),
        ("v1", SHARE, "spec.metrics"),
    ],
)
def test_a_field_of_the_other_version_is_none(tmp_path: Path, version: str, more: str, field: str) -> None:
    """Then cpu at 80 % is what counts."""
    (found,) = explained(tmp_path, HPA % (version, "Deployment", more))
    assert any(f"`{field}` is no field" in note.text for note in found.notes)
    assert values(found)["metric 1"] == "cpu Utilization 80 %"


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ("minReplicas: 0", "spec.minReplicas: Invalid value: 0: must be greater than or equal to 1"),
        ("minReplicas: 6", "spec.maxReplicas: Invalid value: 5: must be greater than or equal to `minReplicas`"),
        (
            "metrics: [{type: Resource, resource: {name: cpu, target: {type: Utilization}}}]",
            "spec.metrics[0].resource.target.averageUtilization: Required value: must set either a target raw value "
            "or a target utilization",
        ),
        (
            "metrics: [{type: Resource}]",
            "spec.metrics[0].resource: Required value: must populate information for the given metric source",
        ),
        (
            "metrics: [{type: cpu}]",
            'spec.metrics[0].type: Unsupported value: "cpu": supported values: "ContainerResource", "External", '
            '"Object", "Pods", "Resource"',
        ),
        (
            "behavior: {scaleDown: {stabilizationWindowSeconds: 7200}}",
            "spec.behavior.scaleDown.stabilizationWindowSeconds: Invalid value: 7200: must be less than or equal to "
            "3600",
        ),
        (
            "behavior: {scaleUp: {policies: [{type: Pods, value: 4}]}}",
            "spec.behavior.scaleUp.policies[0].periodSeconds: Invalid value: 0: must be greater than zero",
        ),
    ],
)
def test_what_the_api_server_refuses_of_an_autoscaler(tmp_path: Path, more: str, words: str) -> None:
    """In its words."""
    (found,) = explained(tmp_path, HPA % ("v2", "Deployment", more))
    assert words in [one.words for one in found.refusals]


def test_what_keeps_an_autoscaler_from_scaling_is_said(tmp_path: Path) -> None:
    """A container without a request, replicas in the Deployment, a Knative Service as the target."""
    hpa = HPA % ("v2", "Deployment", SHARE)
    found, _ = explained(tmp_path, hpa, DEPLOYMENT % ("replicas: 2", "{}"))
    said = " ".join(note.text for note in found.notes)
    assert "missing request for cpu in container web" in said
    assert "Deployment web says replicas 2" in said
    (found,) = [
        one
        for one in explained(tmp_path, HPA % ("v2", "Service", SHARE), (SERVICE % "{}").replace("shop", "web"))
        if one.document.kind == "HorizontalPodAutoscaler"
    ]
    assert any("Service has no scale subresource" in note.text for note in found.notes)


def test_the_behavior_is_shown_as_kubernetes_stores_it(tmp_path: Path) -> None:
    """The half that is absent has its defaults."""
    more = "behavior: {scaleDown: {policies: [{type: Percent, value: 50, periodSeconds: 15}]}}"
    (found,) = explained(tmp_path, HPA % ("v2", "Deployment", more))
    shown = values(found)
    assert shown["behavior: scaleDown"] == "stabilised over 300 s (the controller's); at most 50 % in 15 s"
    assert shown["behavior: scaleUp"] == (
        "stabilised over 0 s; at most 4 pods in 15 s or 100 % in 15 s, whichever allows most"
    )


@pytest.mark.parametrize(
    ("version", "kind", "since"),
    [
        ("autoscaling/v2beta2", "HorizontalPodAutoscaler", "Kubernetes 1.26"),
        ("extensions/v1beta1", "Deployment", "Kubernetes 1.16"),
        ("serving.kubeflow.org/v1beta1", "InferenceService", "KServe 0.7"),
    ],
)
def test_a_version_that_is_gone_is_said_to_be(tmp_path: Path, version: str, kind: str, since: str) -> None:
    """As the API server says it."""
    with pytest.raises(EmuError) as refused:
        explained(tmp_path, f"apiVersion: {version}\nkind: {kind}\nmetadata: {{name: x}}\n")
    assert refused.value.why == f'no matches for kind "{kind}" in version "{version}": it is gone since {since}'


@pytest.mark.parametrize(("text", "number"), [("0440", 0o440), ("0400", 256), ("089", 89)])
def test_a_leading_zero_is_read_as_kubernetes_reads_it(tmp_path: Path, text: str, number: int) -> None:
    """In base 8, and in base 10 what can only be that."""
    (found,) = explained(tmp_path, DEPLOYMENT % (f"minReadySeconds: {text}", "{}"))
    assert found.accepted
    (node,) = read_manifests([tmp_path / "0.yaml"]).documents
    assert node.node.plain()["spec"]["minReadySeconds"] == number


def test_a_key_that_knative_does_not_read_is_said(tmp_path: Path) -> None:
    """Of a cluster's ConfigMap; what begins with `_` is a comment, and older spellings count."""
    texts = (
        CONFIG % ("config-autoscaler", 'scale-to-zero: "true", _example: x'),
        CONFIG % ("config-deployment", "queueSidecarCPURequest: 50m"),
        SERVICE % "{}",
    )
    config, service = explained(tmp_path, *texts)
    assert config.accepted
    assert [note.text.partition(", ")[0] for note in config.notes] == ["config-autoscaler has no key `scale-to-zero`"]
    assert values(service)["queue-proxy: cpu request"] == "0.05"


@pytest.mark.parametrize(
    ("annotation", "meant"),
    [
        ("targetConcurrency", "autoscaling.knative.dev/target, with metric concurrency, is meant"),
        ("maxReplicas", "autoscaling.knative.dev/max-scale is meant"),
        ("scale-to-zero-grace-period", "scale-to-zero-grace-period is a key of the ConfigMap config-autoscaler"),
    ],
)
def test_an_annotation_from_somewhere_else_is_named(tmp_path: Path, annotation: str, meant: str) -> None:
    """It says where the setting is."""
    (found,) = explained(tmp_path, SERVICE % f'{{autoscaling.knative.dev/{annotation}: "5"}}')
    assert any(meant in note.text for note in found.notes)


def test_a_class_that_is_cut_short_is_none(tmp_path: Path) -> None:
    """Knative accepts it, and nothing scales."""
    (found,) = explained(tmp_path, SERVICE % "{autoscaling.knative.dev/class: kpa}")
    assert any("is kpa.autoscaling.knative.dev meant?" in note.text for note in found.notes)


def test_what_an_inference_service_has_in_the_wrong_place_is_said(tmp_path: Path) -> None:
    """A field of a component above it, one of the model beside it, an annotation that a field overrides."""
    text = ISVC % ('{autoscaling.knative.dev/target: "5"}', "scaleTarget: 10\n    storageUri: x\n  minReplicas: 2")
    (found,) = explained(tmp_path, text)
    said = [note.text for note in found.notes]
    assert any(one.startswith("`spec.minReplicas` is no field") and "under spec.predictor" in one for one in said)
    assert any("`spec.predictor.storageUri` is no field" in one and "spec.predictor.model" in one for one in said)
    assert "autoscaling.knative.dev/target 5 has no effect: KServe writes it from scaleTarget" in said


def test_an_unknown_word_is_refused_by_the_api_server(tmp_path: Path) -> None:
    """KServe's validating webhook never sees it."""
    (found,) = explained(tmp_path, ISVC % ("{}", "scaleMetric: qps"))
    assert [one.by for one in found.refusals] == ["the API server"]


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("5", "json: cannot unmarshal number into Go value of type string"),
        ('"%zz"', 'parse "%zz": invalid URL escape "%zz"'),
        ('":x"', 'parse ":x": missing protocol scheme'),
        ('"http://[::1"', "parse \"http://[::1\": missing ']' in host"),
        ('"http://a:b"', 'parse "http://a:b": invalid port ":b" after host'),
        ('"a b:c"', 'parse "a b:c": first path segment in URL cannot contain colon'),
        ('"http://x"', "must not set the field(s): spec.traffic[0].url"),
        ('""', ""),
        ("null", ""),
    ],
)
def test_a_traffic_target_has_no_url(tmp_path: Path, url: str, words: str) -> None:
    """What is none, is refused as Go says it; one that is, by the webhook."""
    text = (SERVICE % "{}") + f"  traffic: [{{latestRevision: true, percent: 100, url: {url}}}]\n"
    (found,) = explained(tmp_path, text)
    assert [one.words for one in found.refusals] == ([words] if words else [])


@pytest.mark.parametrize(
    ("annotations", "uri", "left_out"),
    [
        ('{serving.kserve.io/stop: "true"}', "gs://x/y", "serving.kserve.io/stop: in a cluster nothing runs"),
        ("{}", "pvc://models/iris", "the model at pvc://models/iris"),
    ],
)
def test_what_a_run_has_that_the_cluster_has_not(tmp_path: Path, annotations: str, uri: str, left_out: str) -> None:
    """And the other way round: it is left out, and the run says so."""
    path = tmp_path / "isvc.yaml"
    path.write_text(ISVC.replace("gs://x/y", uri) % (annotations, ""), encoding="utf-8")
    assert left_out in scenario_of(read_manifests([path]))


def test_a_metric_of_an_object_that_is_none_is_refused(tmp_path: Path) -> None:
    """With its place, and without a traceback."""
    (found,) = explained(tmp_path, HPA % ("v2", "Deployment", "metrics: [{type: Object, object: {target: 5}}]"))
    assert "cannot unmarshal number into Go struct field .spec.metrics.0.object.target" in found.refusals[0].words


def test_a_volume_without_a_kind_is_an_empty_one(tmp_path: Path) -> None:
    """So is `emptyDir:` with nothing behind it: Kubernetes fills it in."""
    path = tmp_path / "web.yaml"
    text = DEPLOYMENT % ("minReadySeconds: 0", "{}, volumeMounts: [{name: a, mountPath: /a}]")
    path.write_text(text.replace("}]}\n", "}], volumes: [{name: a, emptyDir: }, {name: b}]}\n"), encoding="utf-8")
    made = scenario_of(read_manifests([path]))
    assert made.count("emptyDir: {}") == 2 and "leftOut" not in made


@pytest.mark.parametrize("tolerance", ["0.05", "50m"])
def test_a_tolerance_of_a_behavior_is_left_out(tmp_path: Path, tolerance: str) -> None:
    """Kubernetes has it since 1.35, as an amount; the rest of the autoscaler runs."""
    hpa = HPA % (
        "v2",
        "Deployment",
        f"behavior: {{scaleUp: {{tolerance: {tolerance}, stabilizationWindowSeconds: 7}}}}",
    )
    path = tmp_path / "web.yaml"
    path.write_text(f"{DEPLOYMENT % ('minReadySeconds: 0', '{requests: {cpu: 1}}')}---\n{hpa}", encoding="utf-8")
    made = scenario_of(read_manifests([path]))
    assert "stabilizationWindowSeconds: 7" in made and "tolerance:" not in made
    assert "the tolerance of its behavior: the controller's own counts" in made


@pytest.mark.parametrize(
    "trigger", ["{type: cpu, metricType: Utilization, metadata: {value: '50'}}", "{type: prometheus, metadata: %s}"]
)
def test_a_tolerance_of_a_scaled_objects_behavior_is_left_out(tmp_path: Path, trigger: str) -> None:
    """Whether KEDA's autoscaler alone scales the Deployment, or KEDA with a query too."""
    query = "{serverAddress: http://p, query: 'sum(rate(http_requests_total[2m]))', threshold: '2'}"
    behavior = "{scaleDown: {tolerance: 50m, stabilizationWindowSeconds: 7}}"
    keda = (
        "apiVersion: keda.sh/v1alpha1\nkind: ScaledObject\nmetadata: {name: web}\nspec: {"
        f"scaleTargetRef: {{name: web}}, triggers: [{trigger.replace('%s', query)}], "
        f"advanced: {{horizontalPodAutoscalerConfig: {{behavior: {behavior}}}}}}}\n"
    )
    path = tmp_path / "web.yaml"
    path.write_text(f"{DEPLOYMENT % ('minReadySeconds: 0', '{requests: {cpu: 1}}')}---\n{keda}", encoding="utf-8")
    made = scenario_of(read_manifests([path]))
    assert read_scenario(made, "made").pod.autoscaling is not None
    assert "stabilizationWindowSeconds: 7" in made and "tolerance:" not in made
    assert "the tolerance of its behavior: the controller's own counts" in made


def test_a_trigger_whose_value_is_no_percentage_is_an_error(tmp_path: Path) -> None:
    """KEDA takes the object, and makes no autoscaler of it."""
    path = tmp_path / "web.yaml"
    keda = "apiVersion: keda.sh/v1alpha1\nkind: ScaledObject\nmetadata: {name: web}\nspec: {scaleTargetRef: "
    keda += "{name: web}, triggers: [{type: cpu, metricType: Utilization, metadata: {value: 50%}}]}\n"
    path.write_text(f"{DEPLOYMENT % ('minReadySeconds: 0', '{requests: {cpu: 1}}')}---\n{keda}", encoding="utf-8")
    with pytest.raises(EmuError) as caught:
        read_scenario(scenario_of(read_manifests([path])), "made")
    assert "'50%' is no percentage" in caught.value.what


def test_a_policy_of_a_scaled_object_without_a_key_is_refused(tmp_path: Path) -> None:
    """By the schema that KEDA gives the API server, at the policy's place."""
    policies = "{scaleUp: {policies: [{type: Pods, value: 1}]}}"
    keda = "apiVersion: keda.sh/v1alpha1\nkind: ScaledObject\nmetadata: {name: web}\nspec:\n  scaleTargetRef: {name: "
    keda += "web}\n  triggers: [{type: cpu, metricType: Utilization, metadata: {value: '50'}}]\n"
    keda += f"  advanced:\n    {ADVANCED}: {{behavior: {policies}}}\n"
    (found,) = explained(tmp_path, keda)
    (refusal,) = found.refusals
    assert refusal.words == f"spec.advanced.{ADVANCED}.behavior.scaleUp.policies[0].periodSeconds: Required value"
    assert (refusal.by, refusal.mark.line) == ("the API server", 8)


def test_an_autoscaler_is_explained_beside_a_workload_that_is_refused(tmp_path: Path) -> None:
    """Without a word on containers that are none."""
    text = (DEPLOYMENT % ("minReadySeconds: 0", "{}")).replace("[{name: web, image: nginx, resources: {}}]", "[web]")
    found, hpa = explained(tmp_path, f"{text}---\n{HPA % ('v2', 'Deployment', 'minReplicas: 1')}")
    assert (found.accepted, hpa.accepted, hpa.notes) == (False, True, [])


def test_a_pod_by_itself_is_one_that_nothing_scales(tmp_path: Path) -> None:
    """With its restartPolicy, its grace period, and its init containers, of which one may be a sidecar."""
    path = tmp_path / "pod.yaml"
    path.write_text(
        "apiVersion: v1\nkind: Pod\nmetadata: {name: it}\nspec: {restartPolicy: Never, "
        "terminationGracePeriodSeconds: 5, "
        "containers: [{name: c, image: x, resources: {limits: {memory: 50Mi, cpu: 100m}}}], "
        "initContainers: [{name: first, image: x}, {name: beside, image: x, restartPolicy: Always}]}\n"
        "---\nkind: Service\napiVersion: v1\n---\nkind: LimitRange\napiVersion: v1\nmetadata: {name: few}\n",
        encoding="utf-8",
    )
    made = scenario_of(read_manifests([path]))
    assert "rate: 1 # 50m of CPU; nothing scales the pod" in made
    pod = read_scenario(made, "made").pod
    assert (pod.restart_policy, pod.termination_grace_period_seconds, pod.autoscaling) == ("Never", 5, None)
    assert [(one.name, one.is_sidecar) for one in pod.init_containers] == [("first", False), ("beside", True)]
    assert pod.app.resources.limits.memory == 50 * 2**20
    assert pod.left_out == ("what emu does not read: LimitRange few",)


def test_a_pod_as_kubectl_prints_it_has_its_token_left_out(tmp_path: Path) -> None:
    """Kubernetes adds that volume, and puts the ConfigMap in it into every namespace: no pod waits for it."""
    token = "{serviceAccountToken: {path: token}}, {configMap: {name: kube-root-ca.crt}}, {downwardAPI: {}}"
    text = (
        "apiVersion: v1\nkind: Pod\nmetadata: {name: it}\nspec: {containers: [{name: c, image: x, "
        "volumeMounts: [{name: t, mountPath: /run/t}]}], volumes: [{name: t, projected: {sources: [%s]}}]}\n"
    )
    path = tmp_path / "pod.yaml"
    path.write_text(text % token, encoding="utf-8")
    pod = read_scenario(scenario_of(read_manifests([path])), "made").pod
    assert (pod.volumes, pod.app.volume_mounts) == ((), ())
    assert pod.left_out == ("the volume t of serviceAccountToken, kube-root-ca.crt, downwardAPI",)
    assert explained(tmp_path, text % token)[0].notes == []
    own = (
        f"{text % token}---\napiVersion: v1\nkind: ConfigMap\nmetadata: {{name: kube-root-ca.crt}}\ndata: {{a: b}}\n"
    )
    path.write_text(own, encoding="utf-8")
    assert [one.name for one in read_scenario(scenario_of(read_manifests([path])), "made").pod.config_maps] == [
        "kube-root-ca.crt"
    ]


def test_mounts_are_where_the_kubelet_has_them_or_left_out(tmp_path: Path) -> None:
    """A path from the root, without a slash at its end; at /emu-data emu's app has its own files."""
    path = tmp_path / "web.yaml"
    paths = ("/emu-data", "/data", "/hello/", "cache")
    mounts = f"[{', '.join(f'{{name: a, mountPath: {path}}}' for path in paths)}]"
    text = DEPLOYMENT % ("minReadySeconds: 0", f"{{}}, volumeMounts: {mounts}")
    path.write_text(text.replace("}]}\n", "}], volumes: [{name: a}]}\n"), encoding="utf-8")
    pod = read_scenario(scenario_of(read_manifests([path])), "made").pod
    assert [one.mount_path for one in pod.app.volume_mounts] == ["/data", "/hello", "/cache"]
    assert pod.left_out[0].startswith(
        "web's volumeMounts at /emu-data, where a container of a run has something else"
    )
    (found,) = explained(tmp_path, path.read_text(encoding="utf-8"))
    assert values(found)["volume a"] == "emptyDir"


def test_a_variable_that_no_container_can_have_is_refused_at_its_place(tmp_path: Path) -> None:
    """Knative's webhook lets it pass, and the API server refuses the Deployment that Knative makes."""
    text = (SERVICE % "{}") + '        env: [{name: "A=B", value: c}]\n'
    (found,) = explained(tmp_path, text)
    (refusal,) = found.refusals
    assert refusal.by.startswith("the API server, of the Deployment that Knative makes")
    assert refusal.words.startswith('spec.template.spec.containers[0].env[0].name: Invalid value: "A=B":')
