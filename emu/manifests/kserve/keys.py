"""Annotations and names that KServe gives a meaning (pkg/constants/constants.go), and what a finding is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

GROUP = "serving.kserve.io"
INTERNAL = f"internal.{GROUP}"
DEPLOYMENT_MODE = f"{GROUP}/deploymentMode"
AUTOSCALER_CLASS = f"{GROUP}/autoscalerClass"
TAG_ROUTING = f"{GROUP}/enable-tag-routing"
STOP = f"{GROUP}/stop"
METRICS, TARGET_UTILIZATION = f"{GROUP}/metrics", f"{GROUP}/targetUtilizationPercentage"
"""They still have names, and are no longer read."""
STORAGE_SOURCE = f"{INTERNAL}/storage-initializer-sourceuri"
MODEL_FORMAT = "modelFormat"

KNATIVE_GROUP = "autoscaling.knative.dev"
CLASS, TARGET, METRIC = f"{KNATIVE_GROUP}/class", f"{KNATIVE_GROUP}/target", f"{KNATIVE_GROUP}/metric"
MIN_SCALE, MAX_SCALE = f"{KNATIVE_GROUP}/min-scale", f"{KNATIVE_GROUP}/max-scale"
INITIAL_SCALE = f"{KNATIVE_GROUP}/initial-scale"
KPA, HPA = f"kpa.{KNATIVE_GROUP}", f"hpa.{KNATIVE_GROUP}"
ROLLOUT_DURATION = "serving.knative.dev/rollout-duration"
PASSTHROUGH = "serving.knative.openshift.io/enablePassthrough"

KNATIVE, STANDARD, MODEL_MESH = "Knative", "Standard", "ModelMesh"
OLD_MODES = {"Serverless": KNATIVE, "RawDeployment": STANDARD}

DISALLOWED = frozenset(
    {MIN_SCALE, MAX_SCALE, STORAGE_SOURCE, "kubectl.kubernetes.io/last-applied-configuration", MODEL_FORMAT}
)
"""Annotations that never reach a pod template."""

CONTAINER, TRANSFORMER_CONTAINER = "kserve-container", "transformer-container"
MODEL_DIR = "/mnt/models"
FRAMEWORKS = {
    "xgboost": "xgboost",
    "pytorch": "pytorch",
    "triton": "triton",
    "sklearn": "sklearn",
    "tensorflow": "tensorflow",
    "onnx": "onnx",
    "pmml": "pmml",
    "lightgbm": "lightgbm",
    "paddle": "paddle",
    "huggingface": "huggingface",
}
"""The old way to name a framework: a key of the predictor, and the modelFormat that it stands for."""

Yaml = Mapping[str, Any]


@dataclass(frozen=True)
class Finding:
    """Something to say about a manifest: a refusal in KServe's words, or a note about what has no effect."""

    words: str
    path: str = ""
    """The field, in the form of the webhooks: `spec.predictor.containers[0].env[1].name`."""
    by: str = "KServe's webhook"
    """Who says so."""


@dataclass(frozen=True)
class ClusterConfig:
    """What of inferenceservice-config and config-autoscaler decides; the defaults are those that are shipped."""

    default_deployment_mode: str = "Serverless"
    cpu_request: str = "1"
    cpu_limit: str = "1"
    memory_request: str = "2Gi"
    memory_limit: str = "2Gi"
    """Of `inferenceService.resource`; empty turns one off."""
    up_window_s: str = "0"
    down_window_s: str = "300"
    """Of `autoscaler`."""
    allow_zero_initial_scale: bool = False
    otel_scaler: str = "keda-otel-scaler.keda.svc:4318"
    storage_resources: Yaml = field(
        default_factory=lambda: {
            "requests": {"cpu": "100m", "memory": "100Mi"},
            "limits": {"cpu": "1", "memory": "1Gi"},
        }
    )
    agent_resources: Yaml = field(
        default_factory=lambda: {
            "requests": {"cpu": "100m", "memory": "100Mi"},
            "limits": {"cpu": "1", "memory": "1Gi"},
        }
    )


def mapping(value: Any) -> dict[str, Any]:
    """A mapping; empty for what is none, such as an absent key."""
    return dict(value) if isinstance(value, Mapping) else {}


def items(value: Any) -> list[dict[str, Any]]:
    """A list of mappings; empty for what is none."""
    return [mapping(one) for one in value] if isinstance(value, list) else []
