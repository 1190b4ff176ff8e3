"""What scales the workload of a manifest → the autoscaler's keys of a scenario, and a load for it."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from emu.manifests.documents import Manifests
from emu.manifests.explaining import cluster_of
from emu.manifests.starting_hpa import APP, RESOURCES, counting, knative_keys, plain_load, requested_by, standard_keys
from emu.manifests.starting_hpa import load_for as hpa_load
from emu.manifests.starting_keda import keda_keys
from emu.manifests.starting_load import load_for
from emu.manifests.starting_pod import Resources, autoscaling_of
from emu.manifests.starting_workload import Chosen
from emu.manifests.yamltext import Lines
from emu.messages import QUEUE_PROXY
from emu.policy.autoscaling.settings import GROUP, KPA, cluster_config, settings_for
from emu.policy.golang import SECOND
from emu.policy.hpa.knative import autoscaler as knative_autoscaler
from emu.policy.hpa.knative import settings_of
from emu.policy.hpa.measurable import stuck
from emu.policy.hpa.spec import HpaSpec
from emu.policy.quantity import parse_amount

HPA = "hpa.autoscaling.knative.dev"


@dataclass(frozen=True)
class Scaling:
    """The autoscaler's keys, and a load for it."""

    keys: Lines | None
    phases: list[Lines]
    several: bool
    left_out: tuple[str, ...] = ()


def of_revision(chosen: Chosen, manifests: Manifests, serving: Mapping[str, Any], sidecar: Resources) -> Scaling:
    """What Knative's classes make of a revision's annotations; `sidecar` are queue-proxy's resources."""
    data = manifests.maps["config-autoscaler"].child("data") if "config-autoscaler" in manifests.maps else None
    cluster = cluster_config(data.plain() if data is not None else None)
    deployment = cluster_of(manifests.maps).deployment
    cluster = replace(cluster, progress_deadline_s=deployment.progress_deadline / SECOND)
    rule = settings_for(chosen.annotations, cluster, chosen.spec["containerConcurrency"])
    kind = chosen.annotations.get(f"{GROUP}/class", cluster.autoscaler_class)
    alone = [load_for(rule, scales=False)]
    if kind == HPA:
        settings = settings_of(chosen.annotations, cluster)
        if settings.target is None or settings.metric in RESOURCES:
            spec = knative_autoscaler(settings)
            containers = [{"name": QUEUE_PROXY, "resources": {"requests": _requests(sidecar)}}, *_all(chosen)]
            if (nothing := _does_nothing(spec, containers)) is not None:
                return Scaling(None, plain_load(serving), several=False, left_out=(nothing,))
            phases = hpa_load(spec, containers, _limit(serving))
            return Scaling(knative_keys(settings, rule.initial_scale), phases, spec.max_replicas != 1)
        why = f"the metric {settings.metric}, which only an adapter has, so there is one pod"
        return Scaling(None, alone, several=False, left_out=(why,))
    if kind == KPA:
        return Scaling(autoscaling_of(rule), [load_for(rule, scales=True)], rule.max_scale != 1)
    why = "the autoscaler of its class, so there is one pod"
    return Scaling(None, alone, several=False, left_out=(why,))


def of_deployment(chosen: Chosen, serving: Mapping[str, Any]) -> Scaling:
    """What a HorizontalPodAutoscaler or a ScaledObject makes of a Deployment, or of a Pod nothing does."""
    if chosen.keda is not None:
        scaled = keda_keys(chosen.keda, str(serving.get("name", "")), APP)
        if scaled.keys is not None:
            initial = {} if chosen.replicas == 1 else {"initialScale": chosen.replicas}
            several = chosen.keda.get("maxReplicaCount") != 1
            return Scaling({**scaled.keys, **initial}, list(scaled.phases), several, scaled.left_out)
        return Scaling(None, plain_load(serving), several=False, left_out=scaled.left_out)
    spec = chosen.hpa
    if spec is None:
        return Scaling(None, plain_load(serving), several=False, left_out=_more(chosen.replicas))
    own = requested_by(chosen.spec)
    if (nothing := _does_nothing(spec, _all(chosen), others=chosen.other_metrics, of_pod=own)) is not None:
        there = min(max(chosen.replicas, spec.least), spec.max_replicas)  # its bounds hold all the same
        return Scaling(None, plain_load(serving), several=False, left_out=(nothing, *_more(there)))
    keys = standard_keys(spec, chosen.replicas, str(serving.get("name", "")))
    phases = hpa_load(spec, _all(chosen), _limit(serving))
    return Scaling(keys, phases, spec.max_replicas != 1)


def _more(pods: int) -> tuple[str, ...]:
    """The pods beside the one that runs."""
    return (f"{pods - 1} more of the same pods",) if pods > 1 else ()


def _all(chosen: Chosen) -> list[Mapping[str, Any]]:
    """Its containers that run beside each other, those that KServe adds among them."""
    return [*counting(chosen.spec), *chosen.sidecars]


def _does_nothing(
    spec: HpaSpec,
    containers: Iterable[Mapping[str, Any]],
    *,
    others: bool = False,
    of_pod: Collection[str] = (),
) -> str | None:
    """Why the autoscaler leaves the number of pods as it is, in the words of `leftOut`; None where it does not.
    `others`: it has metrics in a cluster that are left out here. `of_pod`: what the pod itself requests, which is
    left out too.
    """
    requested = {str(one.get("name", "")): requested_by(one) for one in containers}
    found = stuck(spec, requested)
    if found is not None and of_pod and stuck(spec, requested, of_pod) is None:
        return "its HorizontalPodAutoscaler, which goes by what the pod itself requests, so there is one pod"
    if found is None:
        return None
    why = f"{found.reason}: {found.words}"
    if others:
        return f"the rest of its HorizontalPodAutoscaler ({why}), so there is one pod"
    return f"its HorizontalPodAutoscaler, which scales nothing in a cluster either ({why}), so there is one pod"


def _requests(sidecar: Resources) -> dict[str, str]:
    return {resource: text for (resource, kind), (text, _) in sidecar.items() if kind == "request"}


def _limit(serving: Mapping[str, Any]) -> int | None:
    text = ((serving.get("resources") or {}).get("limits") or {}).get("memory")
    return None if text is None else int(parse_amount(str(text)))
