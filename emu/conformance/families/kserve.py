"""KServe's families: what it makes of a component for Knative and in Standard mode, and what it refuses."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from emu.manifests.kserve.autoscaling import autoscaler, filtered, knative_annotations
from emu.manifests.kserve.validation import component_refusal
from emu.policy.hpa.form import written

_TARGET = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "m-predictor"}


def kserve_to_knative(given: Mapping[str, Any]) -> dict[str, Any]:
    """A component and the service's annotations → the template's annotations and two fields."""
    component = given.get("component") or {}
    annotations = filtered(given.get("isvc_annotations") or {})
    return {
        "template_annotations": knative_annotations(
            component, annotations, given["cluster_allow_zero_initial_scale"]
        ),
        "containerConcurrency": component.get("containerConcurrency"),
        "timeoutSeconds_and_responseStartTimeoutSeconds": component.get("timeout"),
    }


def kserve_to_hpa(given: Mapping[str, Any]) -> dict[str, Any]:
    """A component → the spec that KServe writes, and what Kubernetes takes where that has no metric."""
    spec = written(autoscaler(given.get("component") or {})) | {"scaleTargetRef": _TARGET}
    made: dict[str, Any] = {"hpa_spec_before_kubernetes_defaults": spec}
    if "metrics" not in spec:
        made["kubernetes_then_adds"] = "cpu Utilization 80 (no metrics given)"
    return made


def kserve_validation(given: Mapping[str, Any]) -> dict[str, Any]:
    """A component and annotations, as they are after defaulting → the refusal."""
    found = component_refusal(given.get("component") or {}, given.get("isvc_annotations") or {})
    return {"refused_with": found and found.words}


FAMILIES = {
    "kserve_to_knative": kserve_to_knative,
    "kserve_to_hpa": kserve_to_hpa,
    "kserve_validation": kserve_validation,
}
