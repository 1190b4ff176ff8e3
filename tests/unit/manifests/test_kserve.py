"""What KServe makes of an InferenceService: refused in its words, or what runs, and what has no effect."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emu.files.yamlfile import parse
from emu.manifests.kserve.defaulting import defaulted
from emu.manifests.kserve.keys import ClusterConfig
from emu.manifests.kserve.service import Made, Workload, made_of

GROUP, KSERVE = "autoscaling.knative.dev", "serving.kserve.io"


def isvc(predictor: str = "{}", annotations: str = "{}", **more: str) -> dict[str, Any]:
    """An InferenceService whose predictor serves an sklearn model."""
    lines = [f"metadata: {{name: churn, annotations: {annotations}}}", "spec:", f"  predictor: {predictor}"]
    lines += [f"  {key}: {value}" for key, value in more.items()]
    value = parse("\n".join(lines), "isvc.yaml").plain()
    if not {"containers", "sklearn", "triton", "model"} & set(value["spec"]["predictor"]):
        value["spec"]["predictor"]["model"] = {"modelFormat": {"name": "sklearn"}, "storageUri": "s3://m/churn"}
    return dict(value)


def refused(made: Made) -> list[tuple[str, str]]:
    """Words and paths."""
    return [(one.words, one.path) for one in made.refusals]


def notes(made: Made) -> str:
    """All notes, a line each."""
    return "\n".join(one.words for one in made.notes)


def only(made: Made) -> Workload:
    """The one workload of what is accepted."""
    assert made.refusals == ()
    (workload,) = made.workloads
    return workload


def container(workload: Workload) -> Any:
    """The serving container."""
    pod = workload.object["spec"]["template"]["spec"]
    return pod["containers"][0]


STANDARD = f"{{{KSERVE}/deploymentMode: RawDeployment}}"
KEDA = f"{{{KSERVE}/deploymentMode: Standard, {KSERVE}/autoscalerClass: keda}}"
HPA = f"{{{GROUP}/class: hpa.{GROUP}}}"


def test_a_service_for_knative() -> None:
    """Fields become annotations and the revision's fields; other annotations pass; the model is fetched first."""
    made = made_of(
        isvc(
            "{minReplicas: 0, maxReplicas: 4, scaleTarget: 2, scaleMetric: concurrency, containerConcurrency: 4, "
            "timeout: 90}",
            f'{{{GROUP}/target-burst-capacity: "-1"}}',
        )
    )
    workload = only(made)
    assert (workload.name, workload.mode, workload.runtime) == ("churn-predictor", "Knative", "kserve-sklearnserver")
    template = workload.object["spec"]["template"]
    assert {key: value for key, value in template["metadata"]["annotations"].items() if key.startswith(GROUP)} == {
        f"{GROUP}/class": f"kpa.{GROUP}",
        f"{GROUP}/target-burst-capacity": "-1",
        f"{GROUP}/target": "2",
        f"{GROUP}/metric": "concurrency",
        f"{GROUP}/min-scale": "0",
        f"{GROUP}/max-scale": "4",
    }
    spec = template["spec"]
    assert (spec["containerConcurrency"], spec["timeoutSeconds"], spec["responseStartTimeoutSeconds"]) == (4, 90, 90)
    (first,) = workload.init_containers
    assert first["args"] == ["s3://m/churn", "/mnt/models"]
    assert first["resources"]["limits"] == {"cpu": "1", "memory": "1Gi"}
    assert workload.object["spec"]["traffic"] == [{"latestRevision": True, "percent": 100}]


def test_the_models_container_is_the_runtimes_with_what_is_said_over_it() -> None:
    """Amounts key by key, arguments after the runtime's, the version as the image's tag."""
    model = '{model: {modelFormat: {name: xgboost}, args: ["--workers=2"], runtimeVersion: v9, %s}}'
    made = container(only(made_of(isvc(model % "resources: {limits: {memory: 4Gi}}"))))
    assert made["resources"] == {
        "requests": {"cpu": "1", "memory": "2Gi"},
        "limits": {"cpu": "1", "memory": "4Gi"},
    }
    assert made["image"] == "kserve/xgbserver:v9"
    assert made["args"][0] == "--model_name=churn" and made["args"][-1] == "--workers=2"
    above = made_of(isvc(model % "resources: {requests: {memory: 4Gi}}"))
    assert "memory: the request is 4Gi, above the limit of 2Gi by default: Kubernetes refuses the pods" in notes(
        above
    )


def test_resources_beside_the_model_are_the_pods() -> None:
    """The container keeps 1 CPU and 2Gi, so 75 % means 75 % of that."""
    made = made_of(
        isvc("{scaleTarget: 75, scaleMetric: cpu, maxReplicas: 3, resources: {requests: {cpu: 100m}}}", HPA)
    )
    assert container(only(made))["resources"]["requests"] == {"cpu": "1", "memory": "2Gi"}
    assert "resources" not in only(made).object["spec"]["template"]["spec"]
    assert "the model's container keeps requests = limits = 1 CPU, 2Gi" in notes(made)
    assert made.notes[0].path == "spec.predictor.resources"


def test_memory_of_the_class_hpa_is_in_mib() -> None:
    """And more than 100 is refused, as if it were percent."""
    made = made_of(isvc("{scaleMetric: memory, scaleTarget: 1500, maxReplicas: 3}", HPA))
    assert refused(made) == [
        ("the target utilization percentage should be a [1-100] integer", "spec.predictor.scaleTarget")
    ]
    assert "MiB a pod here, not percent" in notes(made)


def test_a_deployment_mode_that_is_none_is_noted() -> None:
    """The cluster's default applies then, which is what nobody looks for."""
    made = made_of(isvc("{minReplicas: 1}", f"{{{KSERVE}/deploymentMode: RawDeploment}}"))
    assert (
        "RawDeploment is no deployment mode, and has no effect: the mode is Knative; is RawDeployment meant?"
        in notes(made).splitlines()
    )


def test_standard_mode_has_traps() -> None:
    """Nothing checks the metric; the old name is renamed; bounds and what has no effect are said."""
    made = made_of(
        isvc(
            "{minReplicas: 0, scaleMetric: concurrency, scaleTarget: 5, timeout: 900, "
            "deploymentStrategy: {type: Recreate}}",
            f'{{{KSERVE}/deploymentMode: RawDeployment, {GROUP}/target: "5"}}',
        )
    )
    workload = only(made)
    assert workload.object["spec"]["strategy"] == {"type": "Recreate"}
    assert workload.scaled_by is not None
    assert workload.scaled_by["spec"] == {
        "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "churn-predictor"},
        "minReplicas": 1,
        "maxReplicas": 1,
        "behavior": {},
    }
    assert container(workload)["readinessProbe"]["tcpSocket"] == {"port": 8080}
    assert notes(made).splitlines() == [
        "deployment mode RawDeployment is called Standard now",
        "timeout goes into the HTTPRoute only; nothing in the pod ends a request",
        "deploymentStrategy Recreate goes into the Deployment",
        "minReplicas 0 becomes 1: a HorizontalPodAutoscaler does not scale to zero",
        "maxReplicas is absent and becomes minReplicas, 1: it never scales",
        "scaleMetric concurrency is none of a HorizontalPodAutoscaler's: Kubernetes scales by cpu at 80 % instead",
        f"{GROUP}/target has no effect in Standard mode: there is no Knative",
    ]


def test_keda_scales_by_its_own_triggers() -> None:
    """scaleMetric is refused; a query becomes a prometheus trigger; the cluster's window fills in."""
    scaling = (
        "autoScaling: {metrics: [{type: External, external: {metric: {backend: prometheus, serverAddress: http://p, "
        'query: waiting}, target: {type: Value, value: "8"}}}], '
        "behavior: {scaleDown: {stabilizationWindowSeconds: 60}}}"
    )
    assert refused(made_of(isvc(f"{{scaleMetric: rps, {scaling}}}", KEDA))) == [
        ("ScaleMetric is not supported for KEDA", "spec.predictor.scaleMetric")
    ]
    scaled = only(made_of(isvc(f"{{minReplicas: 0, maxReplicas: 6, {scaling}}}", KEDA))).scaled_by
    assert scaled is not None and scaled["kind"] == "ScaledObject"
    spec = scaled["spec"]
    assert (spec["minReplicaCount"], spec["maxReplicaCount"]) == (0, 6)
    assert spec["triggers"][0]["metadata"] == {"serverAddress": "http://p", "query": "waiting", "threshold": "8"}
    assert spec["advanced"]["horizontalPodAutoscalerConfig"]["behavior"] == {
        "scaleUp": {"stabilizationWindowSeconds": 0},
        "scaleDown": {"stabilizationWindowSeconds": 60},
    }


def test_a_transformer_is_a_workload_of_its_own() -> None:
    """With its own bounds, arguments, and defaults above the limits that it was given."""
    made = made_of(
        isvc(
            "{triton: {storageUri: gs://m, runtimeVersion: 24.05-py3}, batcher: {maxBatchSize: 16}, "
            "canaryTrafficPercent: 10}",
            transformer="{containerConcurrency: 20, scaleMetric: rps, scaleTarget: 50, "
            "containers: [{image: registry.example/pre, resources: {limits: {cpu: 500m}}}]}",
        )
    )
    assert made.refusals == ()
    predictor, transformer = made.workloads
    assert predictor.runtime == "kserve-tritonserver"
    assert [one["name"] for one in predictor.sidecars] == ["agent"]
    assert container(transformer)["args"][:4] == [
        "--model_name",
        "churn",
        "--predictor_host",
        "churn-predictor.default",
    ]
    assert container(transformer)["args"][-2:] == ["--workers", "20"]
    said = notes(made)
    assert "`triton:` is the old form" in said
    assert "canaryTrafficPercent has no effect on the first revision" in said
    assert "cpu: the request is 1 by default" not in said
    assert "cpu: the request is 1, above the limit of 500m" in said
    assert "the target in rps is not cut by it" in said


def test_a_given_runtime_comes_before_the_built_in_ones() -> None:
    """By its formats, or by its name; a name that nobody knows is refused as the controller does."""
    mine = {
        "mine": {
            "supportedModelFormats": [{"name": "sklearn", "autoSelect": True}],
            "containers": [{"name": "kserve-container", "image": "registry.example/mine"}],
        }
    }
    workload = only(made_of(isvc(), runtimes=mine))
    assert (workload.runtime, container(workload)["image"]) == ("mine", "registry.example/mine")
    named = "{model: {modelFormat: {name: %s}, runtime: %s}}"
    assert only(made_of(isvc(named % ("sklearn", "kserve-mlserver")))).runtime == "kserve-mlserver"
    assert refused(made_of(isvc(named % ("sklearn", "nobody"))))[0][0] == (
        "No ServingRuntimes or ClusterServingRuntimes with the name: nobody"
    )
    assert refused(made_of(isvc(named % ("onnx", "kserve-sklearnserver"))))[0][0] == (
        "specified runtime kserve-sklearnserver does not support specified framework/version"
    )
    assert refused(made_of(isvc("{model: {modelFormat: {name: caffe}}}")))[0][0] == (
        "no runtime found to support predictor with model type: {caffe <nil>}"
    )
    assert made_of(isvc(named % ("sklearn", "nobody"))).refusals[0].by == "KServe's controller"


@pytest.mark.parametrize(
    ("model", "runtime"),
    [
        ("modelFormat: {name: pytorch}, runtime: kserve-tritonserver, protocolVersion: v2", "kserve-tritonserver"),
        ("modelFormat: {name: pytorch}, protocolVersion: v2", "kserve-torchserve"),
        ("modelFormat: {name: sklearn}, runtime: kserve-predictiveserver", "kserve-predictiveserver"),
        ("modelFormat: {name: sklearn}", "kserve-sklearnserver"),
        ("modelFormat: {name: huggingface}", "kserve-huggingfaceserver"),
    ],
)
def test_a_runtime_that_is_not_chosen_for_a_format_may_be_named_for_it(model: str, runtime: str) -> None:
    """Formats without autoSelect, and the runtime of several nodes, which needs a workerSpec."""
    assert only(made_of(isvc(f"{{model: {{{model}}}}}"))).runtime == runtime


def test_an_explainer_of_the_kind_art_has_kserves_container() -> None:
    """Its image, its arguments and KServe's amounts."""
    whole = isvc("{model: {modelFormat: {name: sklearn}}}")
    whole["spec"]["explainer"] = {"art": {"type": "SquareAttack", "config": {"nb_classes": "10"}}}
    explainer = made_of(whole).workloads[1]
    made = container(explainer)
    assert (explainer.part, made["image"]) == ("explainer", "kserve/art-explainer:latest")
    assert made["args"][-4:] == ["--adversary_type", "SquareAttack", "--nb_classes", "10"]
    assert made["resources"]["limits"] == {"cpu": "1", "memory": "2Gi"}


@pytest.mark.parametrize(
    ("given", "words", "path"),
    [
        (isvc("{minReplicas: 3, maxReplicas: 2}"), "'MinReplicas' cannot be greater than MaxReplicas", "minReplicas"),
        (isvc("{containerConcurrency: -1}"), "parallelism cannot be less than 0", "containerConcurrency"),
        (isvc("{scaleMetric: cpu}"), "[cpu] is not a supported metric", "scaleMetric"),
        (isvc("{logger: {mode: some}}"), "invalid logger type", "logger.mode"),
        (
            isvc("{containers: [{name: a, env: [{name: PYTHONPATH, value: x}]}]}"),
            'the InferenceService "churn" is invalid: setting PYTHONPATH in container "kserve-container" is not '
            "allowed for security reasons",
            "containers[0].env[0].name",
        ),
        (
            isvc("{model: {name: x, modelFormat: {name: sklearn}}}"),
            "the 'name' field is not allowed in standard predictor",
            "model.name",
        ),
        (
            isvc('{scaleTarget: "2"}'),
            'spec.predictor.scaleTarget: Invalid value: "string": spec.predictor.scaleTarget in body must be of type '
            'integer: "string"',
            "scaleTarget",
        ),
        (
            isvc("{scaleMetric: qps}"),
            'spec.predictor.scaleMetric: Unsupported value: "qps": supported values: "cpu", "memory", "concurrency", '
            '"rps"',
            "scaleMetric",
        ),
    ],
)
def test_what_is_refused(given: dict[str, Any], words: str, path: str) -> None:
    """In KServe's or the API server's words, with the field."""
    assert refused(made_of(given)) == [(words, f"spec.predictor.{path}")]


def test_whole_objects_are_refused() -> None:
    """A name, an autoscaler class, a canary, a predictor that serves nothing."""
    bad = isvc()
    bad["metadata"]["name"] = "9lives"
    assert (
        made_of(bad).refusals[0].words.startswith('the InferenceService "9lives" is invalid: a InferenceService name')
    )
    assert refused(made_of(isvc(annotations=f"{{{KSERVE}/autoscalerClass: vpa}}"))) == [
        ("[vpa] is not a supported autoscaler class type", f"metadata.annotations.{KSERVE}/autoscalerClass")
    ]
    assert made_of(isvc(canary="[{trafficPercent: 5}]")).refusals[0].words == (
        "canary is only supported in Standard deployment mode"
    )
    nothing = isvc()
    nothing["spec"]["predictor"] = {}
    assert made_of(nothing).refusals[0].words.startswith("exactly one of [")


def worker(resources: str = "{}", types: str | None = None) -> dict[str, Any]:
    """A predictor on several nodes, without a model: what its worker asks for, and the annotation about GPUs."""
    containers = f"[{{image: x, resources: {{limits: {resources}}}}}]"
    given = "{}" if types is None else f"{{{KSERVE}/gpu-resource-types: '{types}'}}"
    return isvc(f"{{containers: [{{image: x}}], workerSpec: {{containers: {containers}}}}}", given)


@pytest.mark.parametrize("name", ["nvidia.com/mig-1g.5gb", "example.com/npu", "hugepages-2Mi"])
def test_a_gpu_that_kserve_does_not_know_is_refused(name: str) -> None:
    """Parts of a GPU too, which no pattern names; the annotation makes each known."""
    unknown = (
        'the InferenceService "churn" is invalid: Unknown GPU resource type. Set '
        f"'{KSERVE}/gpu-resource-types' annotation to use custom gpu resource type"
    )
    path = f"spec.predictor.workerSpec.containers[0].resources.limits.{name}"
    assert refused(made_of(worker(f"{{{name}: 1}}"))) == [(unknown, path)]
    assert refused(made_of(worker(f"{{{name}: 1}}", f'["{name}"]'))) == []
    assert refused(made_of(worker("{nvidia.com/gpu: 1, ephemeral-storage: 1Gi}"))) == []


@pytest.mark.parametrize("types", ["npu", "[]", '[""]', "[1]", '{"a": 1}', "null", "[" * 100_000])
def test_gpu_types_are_a_list_in_json(types: str) -> None:
    """With one text at least, and none empty."""
    key = f"{KSERVE}/gpu-resource-types"
    words = f"invalid GPU format({types}) for {key} annotation: must be a valid JSON array"
    assert refused(made_of(worker(types=types))) == [(words, f"metadata.annotations.{key}")]


def test_modelmeshs_predictor_is_not_filled_in() -> None:
    """Neither the name of its container nor any amounts, as in KServe."""
    given = isvc("{containers: [{image: x, name: mine}]}", f"{{{KSERVE}/deploymentMode: ModelMesh}}")
    kept = defaulted(given, ClusterConfig())["spec"]["predictor"]["containers"]
    assert kept == [{"image": "x", "name": "mine"}]


def test_the_clusters_default_mode_counts() -> None:
    """Where no annotation says otherwise."""
    standard = ClusterConfig(default_deployment_mode="RawDeployment")
    assert only(made_of(isvc(), standard)).mode == "Standard"
    assert only(made_of(isvc(annotations=f"{{{KSERVE}/deploymentMode: Serverless}}"), standard)).mode == "Knative"


def test_kubernetes_refuses_a_metric_without_a_target() -> None:
    """`Value` for memory is dropped on the way, and what is left has no type."""
    metric = "{type: Resource, resource: {name: memory, target: {type: Value}}}"
    scaling = f"{{maxReplicas: 2, autoScaling: {{metrics: [{metric}]}}}}"
    words = [one.words for one in made_of(isvc(scaling, STANDARD)).refusals]
    assert words == ["spec.metrics[0].resource.target.type: Required value: must specify a metric target type"]


WHOLE = isvc(
    "{minReplicas: 1, maxReplicas: 2, scaleTarget: 2, scaleMetric: rps, containerConcurrency: 4, timeout: 9, "
    "logger: {mode: all}, batcher: {maxLatency: 1}, resources: {requests: {cpu: 1}}, "
    "autoScaling: {metrics: [{type: Resource, resource: {name: cpu, target: {type: Utilization, "
    "averageUtilization: 5}}}], behavior: {scaleUp: {stabilizationWindowSeconds: 1}}}}",
    STANDARD,
    transformer="{containers: [{image: registry.example/x, args: [a], env: [{name: A, value: b}]}]}",
    canary="[{trafficPercent: 1, predictor: {name: b, model: {modelFormat: {name: sklearn}}}}]",
)


def paths(value: Any) -> list[tuple[Any, Any]]:
    """Every place in a value: what it is in, and its key."""
    found = []
    for key, below in (
        value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    ):
        found += [(value, key), *paths(below)]
    return found


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_any_value_anywhere_is_answered(data: st.DataObject) -> None:
    """Whatever stands in a field, there is a result or a refusal, and never an exception; and the input stays."""
    given_isvc = copy.deepcopy(WHOLE)
    for _ in range(data.draw(st.integers(1, 3))):
        where, key = data.draw(st.sampled_from(paths(given_isvc)))
        value = data.draw(
            st.sampled_from([None, 0, -1, 101, 2**40, 1.5, True, "", "x", "1Gi", "keda", [], {}, [1], {"a": 1}])
        )
        where[key] = value
    before = copy.deepcopy(given_isvc)
    made = made_of(given_isvc)
    assert bool(made.workloads) != bool(made.refusals)
    assert given_isvc == before
