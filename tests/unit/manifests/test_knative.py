"""What Knative's webhook refuses and fills in; answers of the real one are in tests/fixtures/decisions."""

from __future__ import annotations

import re
from typing import Any

import pytest

from emu.files.yamlfile import parse
from emu.manifests.clusterconfig import ClusterConfig, read_cluster, read_defaults, read_deployment
from emu.manifests.decode import decode
from emu.manifests.fielderror import Problem, lines, merged, via
from emu.manifests.knative import defaulted, revision_spec, rollout_seconds, validated
from emu.policy.golang import SECOND
from emu.policy.quantity import number_text, parse_amount


def service(spec: str, config: ClusterConfig | None = None) -> tuple[dict[str, Any], list[str]]:
    """A Service with this revision spec, defaulted, and the lines of its refusal."""
    text = f"metadata: {{name: shop}}\nspec: {{template: {{spec: {spec}}}}}"
    read = decode(parse(text, "x.yaml"), "Service")
    made = defaulted("Service", read.value, config or ClusterConfig())
    problems = [one for one in validated("Service", made, config or ClusterConfig()) if not one.warning]
    return revision_spec("Service", made), lines(problems) if problems else []


def test_a_feature_opens_what_is_closed() -> None:
    """Init containers are refused until the flag is on; then their probes are."""
    spec = "{initContainers: [{image: reg/app, readinessProbe: {}}], containers: [{image: reg/app}]}"
    _, refused = service(spec)
    assert "pod spec support for init-containers is off, but found 1 init containers: " in refused
    on = read_cluster({"config-features": {"kubernetes.podspec-init-containers": "enabled"}})
    _, refused = service(spec, on)
    assert refused == [
        "field not allowed in an init container: spec.template.spec.containers[0].readinessProbe",
    ]


def test_a_timeout_above_300_gets_a_response_start_timeout() -> None:
    """The default for the first byte is applied where it is below the timeout."""
    spec, _ = service("{timeoutSeconds: 600, containers: [{image: reg/app}]}")
    assert spec["responseStartTimeoutSeconds"] == 300
    spec, _ = service("{timeoutSeconds: 300, containers: [{image: reg/app}]}")
    assert "responseStartTimeoutSeconds" not in spec


def test_containers_without_a_name_are_numbered() -> None:
    """Around the names that are taken."""
    spec, _ = service(
        "{containers: [{image: reg/app, ports: [{containerPort: 80}]}, {image: reg/b, name: user-container-0}, "
        "{image: reg/c}]}"
    )
    assert [one["name"] for one in spec["containers"]] == ["user-container-1", "user-container-0", "user-container-2"]


def test_refusals_of_the_same_words_are_one_line() -> None:
    """Their paths are merged and sorted, and lines are sorted by their words."""
    problems = [Problem("must not", ("b",)), Problem("a first", ("x",)), Problem("must not", ("a",))]
    assert lines(problems) == ["a first: x", "must not: a, b"]
    assert merged(problems)[1].paths == ("a", "b")


def test_a_path_grows_from_the_inside() -> None:
    """Indices hang on the name before them."""
    problems = via(via([Problem("no", ("name",))], "env", 1), "containers", 0)
    assert problems[0].paths == ("containers[0].env[1].name",)


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("0.5Gi", "536870912"),
        ("256M", "256000000"),
        ("1500m", "1.5"),
        ("1e3", "1000"),
        ("0.25", "0.25"),
        ("-1Ki", "-1024"),
    ],
)
def test_quantities(text: str, number: str) -> None:
    """Binary and decimal suffixes, exponents, signs."""
    assert number_text(parse_amount(text)) == number


@pytest.mark.parametrize("text", ["", "1x", "1 Gi", "1Gib", "--1", "1kk", "Mi1"])
def test_what_is_no_quantity(text: str) -> None:
    """It is refused in the words of Kubernetes."""
    with pytest.raises(ValueError, match="quantit"):
        parse_amount(text)


def test_a_value_of_the_wrong_type_is_refused_where_it_stands() -> None:
    """As Go's decoder says it; each has its place in the file."""
    text = "metadata: {annotations: {a: 1}}\nspec:\n  template:\n    spec: {timeoutSeconds: '5', volumes: {}}\n"
    read = decode(parse(text, "x.yaml"), "Service")
    assert [(one.mark.line, one.words) for one in read.misfits] == [
        (1, "json: cannot unmarshal number into Go struct field .metadata.annotations.a of type string"),
        (4, "json: cannot unmarshal string into Go struct field .spec.template.spec.timeoutSeconds of type int64"),
        (4, "json: cannot unmarshal object into Go struct field .spec.template.spec.volumes of type []v1.Volume"),
    ]


def test_go_takes_a_path_that_ends_in_a_number_for_an_index() -> None:
    """Then it does not call it a struct's field."""
    text = "spec: {template: {spec: {containers: [{args: [1]}]}}}\n"
    words = decode(parse(text, "x.yaml"), "Service").misfits[0].words
    assert words == "json: cannot unmarshal number into .spec.template.spec.containers.0.args.0 of type string"


@pytest.mark.parametrize(
    ("fields", "name"),
    [
        ("resources: {limits: 5}", "v1.ResourceList"),
        ("readinessProbe: {exec: x}", "v1.ExecAction"),
        ("envFrom: [{secretRef: x}]", "v1.SecretEnvSource"),
        ("securityContext: {capabilities: {add: 5}}", "[]v1.Capability"),
        ("imagePullPolicy: 5", "v1.PullPolicy"),
    ],
)
def test_types_have_the_names_that_go_has_for_them(fields: str, name: str) -> None:
    """Also where several are of one shape."""
    text = f"spec: {{template: {{spec: {{containers: [{{{fields}}}]}}}}}}\n"
    assert decode(parse(text, "x.yaml"), "Service").misfits[0].words.endswith(f" of type {name}")


def test_blanks_around_a_quantity_are_no_part_of_it() -> None:
    """Kubernetes trims the text of a manifest, and no annotation's."""
    text = "spec: {template: {spec: {containers: [{resources: {limits: {memory: ' 1Gi '}}}]}}}\n"
    read = decode(parse(text, "x.yaml"), "Service")
    assert not read.misfits
    assert read.value["spec"]["template"]["spec"]["containers"][0]["resources"]["limits"] == {"memory": "1Gi"}


def test_a_field_that_there_is_not_is_reported() -> None:
    """It is dropped, with its place."""
    read = decode(parse("spec:\n  template:\n    spec:\n      containerConcurency: 5\n", "x.yaml"), "Service")
    assert read.value == {}
    assert [(one.mark.line, one.path) for one in read.unknown] == [(4, "spec.template.spec.containerConcurency")]


@pytest.mark.parametrize(
    ("annotation", "network", "seconds"),
    [
        ({}, {}, 0),
        ({"serving.knative.dev/rollout-duration": "1m30s"}, {"rollout-duration": "5"}, 90),
        ({"serving.knative.dev/rolloutDuration": "2s"}, {}, 2),
        ({"serving.knative.dev/rollout-duration": "0s"}, {"rollout-duration": "5"}, 5),
        ({}, {"rolloutDuration": "7"}, 7),
        ({}, {"rolloutDuration": "7", "rollout-duration": "8"}, 8),
    ],
)
def test_how_long_a_rollout_takes(annotation: dict[str, str], network: dict[str, str], seconds: int) -> None:
    """The Service's own annotation, in its older spelling too; else, or where that is 0, the cluster's."""
    made = {"metadata": {"annotations": annotation}}
    assert rollout_seconds(made, read_cluster({"config-network": network})) == seconds


def test_a_rollout_duration_below_zero_is_refused() -> None:
    """In Knative's words."""
    with pytest.raises(ValueError, match="rollout-duration must be a positive integer, but was -5"):
        read_cluster({"config-network": {"rollout-duration": "-5"}})


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (
            {"progressDeadline": "5", "progress-deadline": "5s"},
            'failed to parse "progressDeadline": time: missing unit',
        ),
        ({"queue-sidecar-cpu-request": "", "progress-deadline": "x"}, 'failed to parse "progress-deadline"'),
        (
            {"digest-resolution-timeout": "-1s"},
            "digest-resolution-timeout cannot be a non-positive duration, was -1s",
        ),
        ({"pod-is-always-schedulable": "perhaps"}, 'failed to parse "pod-is-always-schedulable"'),
        ({"default-affinity-type": "near"}, 'unsupported default-affinity-type value: "near"'),
    ],
)
def test_config_deployment_is_refused_for_its_first_fault(data: dict[str, str], words: str) -> None:
    """The older spelling of each key is read first, and counts where there is no newer one."""
    with pytest.raises(ValueError, match=re.escape(words)):
        read_deployment(data)
    read = read_deployment(
        {"queueSidecarMemoryLimit": "1Gi", "queueSidecarCPURequest": "1", "progressDeadline": "5s"}
    )
    assert (read.queue_limits, read.queue_requests) == ({"memory": "1Gi"}, {"cpu": "1"})
    assert read.progress_deadline == 5 * SECOND


@pytest.mark.parametrize(
    ("template", "words"),
    [
        ("{{", "template: container-template:1: unclosed action"),
        ("{{.Name", "template: container-template:1: unclosed action"),
        ("{{.Name}", "template: container-template:1: bad character U+007D '}'"),
        ("{{ }}", "template: container-template:1: missing value for command"),
        ("{{ if }}", "template: container-template:1: missing value for if"),
        ("a\n{{end}}", "template: container-template:2: unexpected {{end}}"),
        (
            "é{{.Foo}}",
            'error executing template: template: container-template:1:4: executing "container-template" at <.Foo>: '
            "can't evaluate field Foo in type v1.ObjectMeta",
        ),
    ],
)
def test_a_name_that_is_no_template_is_refused(template: str, words: str) -> None:
    """In Knative's words; what does not parse comes before the numbers, what cannot be filled in after them."""
    for key in ("container-name-template", "init-container-name-template"):
        with pytest.raises(ValueError, match=re.escape(words)):
            read_defaults({key: template})
    with pytest.raises(ValueError, match="cannot be greater" if "Foo" in template else re.escape(words)):
        read_defaults({"container-name-template": template, "revision-timeout-seconds": "1000"})


def test_templates_of_names_are_kept() -> None:
    """Also where emu does not fill them in."""
    for template in ("{{.Name}}", "c-{{- .Name -}}", "{{.Labels.x}}", "{{if.Name}}b{{end}}", "plain", "{{/* x */}}"):
        assert read_defaults({"container-name-template": template}).container_name == template
