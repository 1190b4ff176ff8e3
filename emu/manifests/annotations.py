"""Knative's annotations: which there are, which spelling wins, and which values are refused.

After pkg/apis/autoscaling/annotation_validation.go, its register.go, and the annotations of pkg/apis/serving.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from emu.manifests.fielderror import Problem, invalid, out_of_bounds, via
from emu.policy.autoscaling.configmap import AutoscalerConfig
from emu.policy.golang import (
    INT32_MAX,
    SECOND,
    OutOfRangeError,
    format_duration,
    format_float,
    is_whole_seconds,
    parse_duration,
    parse_float,
    parse_int,
    quote,
)
from emu.policy.quantity import parse_amount

GROUP = "autoscaling.knative.dev"
SERVING = "serving.knative.dev"
SIDECAR = f"queue.sidecar.{SERVING}"
KPA = f"kpa.{GROUP}"
HPA = f"hpa.{GROUP}"
_DOMAIN = ".knative.dev"
_NETWORKING = "networking.knative.dev"
WINDOW_MIN, WINDOW_MAX = 6 * SECOND, 3600 * SECOND
_WHOLE_SECONDS = "must be specified with at most second precision"


@dataclass(frozen=True)
class Annotation:
    """One setting, under its key and the older spellings of that, of which the first present counts."""

    keys: tuple[str, ...]

    @property
    def key(self) -> str:
        """The key by its canonical spelling."""
        return self.keys[0]

    def get(self, annotations: Mapping[str, str]) -> tuple[str, str] | None:
        """The key as it is spelt there, and its value; None where the setting is absent."""
        return next(((key, annotations[key]) for key in self.keys if key in annotations), None)


def _named(kebab: str, *, camel: bool = True, group: str = GROUP) -> Annotation:
    words = kebab.split("-")
    other = words[0] + "".join(word.capitalize() for word in words[1:])
    keys = [f"{group}/{kebab}"] + ([f"{group}/{other}"] if camel and other != kebab else [])
    return Annotation(tuple(keys))


CLASS = _named("class")
METRIC = _named("metric")
ALGORITHM = _named("metric-aggregation-algorithm")
MIN_SCALE = _named("min-scale")
MAX_SCALE = _named("max-scale")
INITIAL_SCALE = _named("initial-scale")
ACTIVATION_SCALE = _named("activation-scale", camel=False)
TARGET = _named("target")
UTILIZATION = _named("target-utilization-percentage")
BURST = _named("target-burst-capacity")
WINDOW = _named("window")
PANIC_WINDOW = _named("panic-window-percentage")
PANIC_THRESHOLD = _named("panic-threshold-percentage")
DELAY = _named("scale-down-delay")
RETENTION = _named("scale-to-zero-pod-retention-period")
AUTOSCALING = (
    CLASS,
    METRIC,
    ALGORITHM,
    MIN_SCALE,
    MAX_SCALE,
    INITIAL_SCALE,
    ACTIVATION_SCALE,
    TARGET,
    UTILIZATION,
    BURST,
    WINDOW,
    PANIC_WINDOW,
    PANIC_THRESHOLD,
    DELAY,
    RETENTION,
)
"""All that the autoscalers read."""
ROLLOUT_DURATION = _named("rollout-duration", group=SERVING)
PROGRESS_DEADLINE = _named("progress-deadline", camel=False, group=SERVING)
SIDECAR_PERCENTAGE = _named("resource-percentage", group=SIDECAR)
SIDECAR_RESOURCES = {
    (resource, kind): _named(f"{resource}-resource-{kind}", camel=False, group=SIDECAR)
    for resource in ("cpu", "memory", "ephemeral-storage")
    for kind in ("request", "limit")
}
"""Of queue-proxy, by resource and whether it is the request or the limit."""
NETWORKING = tuple(
    f"{_NETWORKING}/{name}"
    for name in (
        "ingress.class",
        "ingress-class",
        "certificate.class",
        "certificate-class",
        "disableAutoTLS",
        "disable-auto-tls",
        "disable-external-domain-tls",
        "httpOption",
        "http-protocol",
    )
)


def validate_autoscaling(annotations: Mapping[str, str], config: AutoscalerConfig) -> list[Problem]:
    """What the webhook refuses of the autoscaler's annotations."""
    return [
        *_class(annotations),
        *_scales(annotations, config),
        *_floats(annotations),
        *_window(annotations),
        *_short_duration(RETENTION, annotations, whole=False),
        *_short_duration(DELAY, annotations, whole=True),
        *_metric(annotations, config),
        *_algorithm(annotations),
        *_initial_scale(annotations, config),
    ]


def _class(annotations: Mapping[str, str]) -> list[Problem]:
    found = CLASS.get(annotations)
    if found is None or not found[1].endswith(_DOMAIN) or found[1] in (KPA, HPA):
        return []
    return [invalid(found[1], found[0])]


def _whole(setting: Annotation, annotations: Mapping[str, str]) -> tuple[int, list[Problem]]:
    found = setting.get(annotations)
    if found is None:
        return 0, []
    key, text = found
    try:
        value = parse_int(text, 32)
    except OutOfRangeError:
        return 0, [out_of_bounds(text, 0, INT32_MAX, key)]
    except ValueError:
        return 0, [invalid(text, key)]
    return (value, []) if value >= 0 else (0, [out_of_bounds(text, 0, INT32_MAX, key)])


def _scales(annotations: Mapping[str, str], config: AutoscalerConfig) -> list[Problem]:
    least, problems = _whole(MIN_SCALE, annotations)
    most, others = _whole(MAX_SCALE, annotations)
    problems += others
    if most and most < least:
        words = f"max-scale={most} is less than min-scale={least}"
        problems.append(Problem(words, (MAX_SCALE.key, MIN_SCALE.key)))
    found, limit = MAX_SCALE.get(annotations), config.max_scale_limit
    if found is not None and limit:
        if most > limit:
            problems.append(out_of_bounds(most, 1, limit, found[0]))
        if most == 0:
            problems.append(Problem(f"max-scale=0 (unlimited), must be less than {limit}", (found[0],)))
    return problems + _activation_scale(annotations, least, most)


def _activation_scale(annotations: Mapping[str, str], least: int, most: int) -> list[Problem]:
    found = ACTIVATION_SCALE.get(annotations)
    if found is None:
        return []
    key, text = found
    try:
        scale = parse_int(text, 32)
    except ValueError:
        return [invalid(text, key)]
    if least > scale:
        return [Problem(f"min-scale={least} is greater than activation-scale={scale}", (key,))]
    if most and most < scale:
        return [Problem(f"max-scale={most} is less than activation-scale={scale}", (key,))]
    if scale < 2:
        return [Problem(f"activation-scale={scale} must be greater than 1", (key,))]
    return []


def _floats(annotations: Mapping[str, str]) -> list[Problem]:
    problems = _in_range(PANIC_WINDOW, annotations, 1, 100)
    problems += _in_range(PANIC_THRESHOLD, annotations, 110, 1000)
    if (found := TARGET.get(annotations)) is not None:
        value = _float(found[1])
        if value is None:
            problems.append(invalid(found[1], found[0]))
        elif value < 0.01:
            problems.append(Problem(f"target {found[1]} should be at least 0.01", (found[0],)))
    problems += _in_range(UTILIZATION, annotations, 1, 100)
    if (found := BURST.get(annotations)) is not None:
        value = _float(found[1])
        if value is None or (value < 0 and value != -1):
            problems.append(invalid(found[1], found[0]))
    return problems


def _float(text: str) -> float | None:
    try:
        return parse_float(text)
    except ValueError:
        return None


def _in_range(setting: Annotation, annotations: Mapping[str, str], lower: int, upper: int) -> list[Problem]:
    if (found := setting.get(annotations)) is None:
        return []
    value = _float(found[1])
    if value is None:
        return [invalid(found[1], found[0])]
    return [out_of_bounds(found[1], lower, upper, found[0])] if value < lower or value > upper else []


def _duration(text: str) -> int | None:
    try:
        return parse_duration(text)
    except ValueError:
        return None


def _window(annotations: Mapping[str, str]) -> list[Problem]:
    if (found := WINDOW.get(annotations)) is None:
        return []
    value = _duration(found[1])
    if value is None:
        return [invalid(found[1], WINDOW.key)]
    if not WINDOW_MIN <= value <= WINDOW_MAX:
        bounds = format_duration(WINDOW_MIN), format_duration(WINDOW_MAX)
        return [out_of_bounds(found[1], *bounds, WINDOW.key)]
    return [Problem(_WHOLE_SECONDS, (WINDOW.key,))] if value % SECOND else []


def _short_duration(setting: Annotation, annotations: Mapping[str, str], *, whole: bool) -> list[Problem]:
    if (found := setting.get(annotations)) is None:
        return []
    key, text = found
    value = _duration(text)
    if value is None:
        return [invalid(text, key)]
    if not 0 <= value <= WINDOW_MAX:
        return [out_of_bounds(text, format_duration(0), format_duration(WINDOW_MAX), key)]
    return [Problem(_WHOLE_SECONDS, (key,))] if whole and value % SECOND else []


def _metric(annotations: Mapping[str, str], config: AutoscalerConfig) -> list[Problem]:
    found = METRIC.get(annotations)
    if found is None:
        return []
    by = autoscaler_class(annotations, config)
    fine = found[1] in ("concurrency", "rps") if by == KPA else found[1] != "" or by != HPA
    return [] if fine else [invalid(found[1], METRIC.key)]


def autoscaler_class(annotations: Mapping[str, str], config: AutoscalerConfig) -> str:
    """Which autoscaler has the revision."""
    found = CLASS.get(annotations)
    return config.pod_autoscaler_class if found is None else found[1]


def _algorithm(annotations: Mapping[str, str]) -> list[Problem]:
    """Checked only where the class is named and is the KPA: others may have algorithms of their own."""
    if annotations.get(CLASS.key) != KPA:
        return []
    found = ALGORITHM.get(annotations)
    if found is None or found[1] in ("", "linear", "weighted-exponential", "weightedExponential"):
        return []
    return [invalid(found[1], found[0])]


def _initial_scale(annotations: Mapping[str, str], config: AutoscalerConfig) -> list[Problem]:
    if (found := INITIAL_SCALE.get(annotations)) is None:
        return []
    key, text = found
    try:
        value = parse_int(text)
    except ValueError:
        return [invalid(text, key)]
    if value < 0:
        return [invalid(text, f"{key} must be greater than 0")]
    if value == 0 and not config.allow_zero_initial_scale:
        return [invalid(text, f"{key}=0 not allowed by cluster")]
    return []


def validate_none(annotations: Mapping[str, str]) -> list[Problem]:
    """A Service and a Configuration may not carry what belongs on the revision's template."""
    where = 'autoscaling annotations must be put under "spec.template.metadata.annotations" to work'
    return [Problem(f"invalid key name {quote(key)}", ("",), where) for key in annotations if key.startswith(GROUP)]


def validate_networking(annotations: Mapping[str, str]) -> list[Problem]:
    """Of Knative's networking group only known keys are taken."""
    return [
        Problem(f"invalid key name {quote(key)}", ("",))
        for key in annotations
        if key.startswith(_NETWORKING) and key not in NETWORKING
    ]


def validate_sidecar(annotations: Mapping[str, str]) -> list[Problem]:
    """queue-proxy's resources."""
    problems: list[Problem] = []
    if (found := SIDECAR_PERCENTAGE.get(annotations)) is not None:
        key, text = found
        deprecated = (
            "Queue proxy resource percentage annotation is deprecated. Please use the available annotations to "
            "explicitly set resource values per service"
        )
        problems.append(Problem(deprecated, warning=True))
        value = _float(text)
        if value is None:
            problems += via([invalid(text, "")], f"[{key}]")
        elif value < 0.1 or value > 100:
            problems += via([out_of_bounds(format_float(value), 0.1, 100, "")], f"[{key}]")
    for setting in SIDECAR_RESOURCES.values():
        if (found := setting.get(annotations)) is not None:
            try:
                parse_amount(found[1])
            except ValueError:
                problems += via([invalid(found[1], "")], f"[{found[0]}]")
    return problems


def validate_duration(setting: Annotation, annotations: Mapping[str, str], name: str) -> list[Problem]:
    """A duration in whole seconds that is not negative; empty is absent."""
    found = setting.get(annotations)
    if found is None or not found[1]:
        return []
    key, text = found
    value = _duration(text)
    if value is None:
        return [invalid(text, key)]
    if not is_whole_seconds(value):
        return [Problem(f"{name}={text} is not at second precision", (key,))]
    return [Problem(f"{name}={text} must be positive", (key,))] if value < 0 else []
