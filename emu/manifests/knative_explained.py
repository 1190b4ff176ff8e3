"""A Service, Configuration or Revision, explained: the revision's numbers, where each comes from, and the traps."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from emu.files.nearest import hint
from emu.files.yamlfile import Mark, Node
from emu.manifests import annotations as known
from emu.manifests.clusterconfig import ClusterConfig
from emu.manifests.containers_explained import explain_containers
from emu.manifests.decode import decode
from emu.manifests.documents import Document
from emu.manifests.explanation import DEFAULT, Explanation, Refusal, node_at, place, refusals
from emu.manifests.knative import defaulted, revision_annotations, revision_spec, rollout_seconds, validated
from emu.manifests.knative_notes import annotation_notes, unknown_notes
from emu.manifests.kubernetes_containers import refused_devices, refused_variables
from emu.manifests.starting_env import Objects
from emu.manifests.starting_hpa import requested_by
from emu.manifests.waysout import of_type
from emu.messages import QUEUE_PROXY
from emu.policy.autoscaling import settings as scaling
from emu.policy.golang import format_duration, parse_duration, parse_float
from emu.policy.hpa import knative as hpa
from emu.policy.hpa.form import quantity
from emu.policy.hpa.measurable import unmeasurable
from emu.policy.hpa.spec import HpaSpec, Metric
from emu.policy.quantity import parse_amount

_WEBHOOK = "Knative's webhook"
_DECODER = "the API server"
_OF_DEPLOYMENT = "the API server, of the Deployment that Knative makes,"
_INSECURE = "Kubernetes default value is insecure"


def explain_knative(
    document: Document, config: ClusterConfig, maps: Mapping[str, Node], objects: Objects | None = None
) -> Explanation:
    """What Knative makes of one of its objects in a cluster with these ConfigMaps. `objects`: ConfigMaps and Secrets
    of its containers.
    """
    made = Explanation(document)
    read = decode(document.node, document.kind)
    unknown_notes(made, read.unknown)
    if read.misfits:
        made.refusals = [Refusal(one.words, one.mark, _DECODER, of_type(one.words, one.node)) for one in read.misfits]
        return made
    whole = defaulted(document.kind, read.value, config)
    problems = validated(document.kind, whole, config)
    made.refusals = refusals(problems, document.node, _WEBHOOK)
    for problem in problems:
        if problem.warning and not problem.message.startswith(_INSECURE):
            made.note(problem.line.replace("\n", " "))
    revision = _Revision(made, document, whole, config, maps, objects or {})
    annotation_notes(made, revision.annotations, document)
    if made.accepted:
        revision.explain()
        _refuse_deployment(made, revision.spec, revision.spec_node)
    return made


def _refuse_deployment(made: Explanation, spec: dict[str, Any], node: Node | None) -> None:
    """What the webhook lets pass, and the API server refuses of the Deployment that is made of it."""
    for group in ("initContainers", "containers"):
        for number, container in enumerate(spec.get(group, [])):
            for key, words in (*refused_variables(container), *refused_devices(container)):
                path = f"{group}[{number}].{key}"
                mark = made.document.node.mark if node is None else place(node, path)
                made.refusals.append(Refusal(f"spec.template.spec.{path}: {words}", mark, _OF_DEPLOYMENT))


class _Revision:
    """The revision in an object, with the places of its settings."""

    def __init__(
        self,
        made: Explanation,
        document: Document,
        whole: dict[str, Any],
        config: ClusterConfig,
        maps: Mapping[str, Node],
        objects: Objects,
    ) -> None:
        self.objects = objects
        self.made, self.config, self.maps = made, config, maps
        self.whole = whole
        self.spec = revision_spec(document.kind, whole)
        self.annotations = revision_annotations(document.kind, whole)
        self.traffic: list[dict[str, Any]] = whole["spec"].get("traffic", [])
        self.document = document
        way = () if document.kind == "Revision" else ("spec", "template")
        self.spec_node = node_at(document.node, (*way, "spec"))
        self.annotation_node = node_at(document.node, (*way, "metadata", "annotations"))
        self.revision_name = whole["spec"].get("template", {}).get("metadata", {}).get("name", "")

    def explain(self) -> None:
        """Explain the revision in the order in which the manifest's reader meets it: limits, scaling, containers."""
        self._limits()
        if known.autoscaler_class(self.annotations, self.config.autoscaler) == known.HPA:
            self._hpa()
        else:
            self._kpa()
        explain_containers(
            self.made, self.spec, self.spec_node, self.annotations, self.source, self.config, self.objects
        )
        self._rollout()
        self._traffic()

    def source(self, annotation: str) -> str:
        """Where an annotation stands, or a key of a ConfigMap, given as its name and the key."""
        name, space, key = annotation.partition(" ")
        if space:
            return self.from_map(name, key)
        node = self.annotation_node.child(annotation) if self.annotation_node is not None else None
        return f"{node.mark}, {annotation}" if node is not None else DEFAULT

    def from_map(self, name: str, key: str) -> str:
        """Where a key of a ConfigMap stands, or that it is the default."""
        node = node_at(self.maps[name], ("data", key)) if name in self.maps else None
        return f"{node.mark}, {name} {key}" if node is not None else DEFAULT

    def _setting(self, setting: known.Annotation, key: str) -> str:
        """Where a setting of the autoscaler comes from: the annotation, else config-autoscaler's key."""
        found = setting.get(self.annotations)
        if found is not None:
            return self.source(found[0])
        return self.from_map("config-autoscaler", key) if key else DEFAULT

    def _field(self, name: str, otherwise: str) -> str:
        node = self.spec_node.child(name) if self.spec_node is not None else None
        return str(node.mark) if node is not None and node.value else otherwise

    def _limits(self) -> None:
        spec, made = self.spec, self.made
        concurrency = spec["containerConcurrency"]
        source = self._field("containerConcurrency", self.from_map("config-defaults", "container-concurrency"))
        how = "requests at a time in a pod" if concurrency else "no limit"
        made.add("containerConcurrency", concurrency, source, how)
        timeout = spec["timeoutSeconds"]
        made.add(
            "timeoutSeconds",
            timeout,
            self._field("timeoutSeconds", self.from_map("config-defaults", "revision-timeout-seconds")),
            "also the pod's terminationGracePeriodSeconds",
        )
        for name, key in (
            ("responseStartTimeoutSeconds", "revision-response-start-timeout-seconds"),
            ("idleTimeoutSeconds", "revision-idle-timeout-seconds"),
        ):
            source = self._field(name, self.from_map("config-defaults", key))
            made.add(name, spec.get(name), source, "" if spec.get(name) else "off")
            given = self.spec_node.child(name) if self.spec_node is not None else None
            if spec.get(name) and given is None:
                made.note(
                    f"{name} {spec[name]} was filled in because timeoutSeconds {timeout} is above that default: a "
                    "request that has no byte by then is ended; set it to 0 to have none"
                )
            elif spec.get(name, 0) >= timeout > 0 and given is not None:
                made.note(f"{name} {spec[name]} never fires before timeoutSeconds {timeout}", given.mark)
        self._deadline()

    def _deadline(self) -> None:
        found = known.PROGRESS_DEADLINE.get(self.annotations)
        if found is not None and found[1]:
            text, source = format_duration(parse_duration(found[1])), self.source(found[0])
        else:
            text = format_duration(self.config.deployment.progress_deadline)
            source = self.from_map("config-deployment", "progress-deadline")
        self.made.add("progress-deadline", text, source, "a pod that is not ready by then is given up 30s later")

    def _cluster(self) -> scaling.ClusterConfig:
        data = self.maps["config-autoscaler"].child("data") if "config-autoscaler" in self.maps else None
        return scaling.cluster_config(data.plain() if data is not None else None)

    def _kpa(self) -> None:
        made, cluster = self.made, self._cluster()
        by = known.autoscaler_class(self.annotations, self.config.autoscaler)
        made.add("class", by, self._setting(known.CLASS, "pod-autoscaler-class"))
        if by != known.KPA:
            meant = hint(by, (known.KPA, known.HPA)) or hint(f"{by}.{known.GROUP}", (known.KPA, known.HPA))
            made.note(
                f"no autoscaler of Knative's is {by}: nothing scales the revision unless another one does{meant}"
            )
            return
        rule = scaling.settings_for(self.annotations, cluster, self.spec["containerConcurrency"])
        made.add("metric", rule.metric, self._setting(known.METRIC, ""))
        self._target(rule, cluster)
        made.add("min-scale", rule.min_scale, self._setting(known.MIN_SCALE, "min-scale"))
        most = rule.max_scale or "no limit"
        made.add("max-scale", most, self._setting(known.MAX_SCALE, "max-scale"))
        made.add("initial-scale", rule.initial_scale, self._setting(known.INITIAL_SCALE, "initial-scale"))
        if rule.activation_scale:
            made.add("activation-scale", rule.activation_scale, self._setting(known.ACTIVATION_SCALE, ""))
        self._windows(rule, cluster)
        self._burst(rule)

    def _target(self, rule: scaling.Settings, cluster: scaling.ClusterConfig) -> None:
        made, concurrency = self.made, self.spec["containerConcurrency"]
        asked, source = known.TARGET.get(self.annotations), self._setting(known.TARGET, "")
        how = ""
        if asked is None:
            rps, key = rule.metric == "rps", "container-concurrency-target-default"
            source = self.from_map("config-autoscaler", "requests-per-second-target-default" if rps else key)
            if concurrency and not rps:
                source, how = self._field("containerConcurrency", source), "containerConcurrency"
        elif concurrency and rule.metric == "concurrency":
            above = rule.total < parse_float(asked[1])
            how = (
                f"capped by containerConcurrency {concurrency}"
                if above
                else (f"within containerConcurrency {concurrency}")
            )
            if above:
                made.note(f"target {asked[1]} is above containerConcurrency {concurrency}, which counts instead")
        elif concurrency and rule.metric == "rps":
            made.note(f"containerConcurrency {concurrency} has no part in the target: the metric is rps")
        made.add("total", rule.total, source, how or "what one pod can take")
        share = known.UTILIZATION.get(self.annotations)
        utilization = (
            parse_float(share[1]) / 100
            if share is not None
            else (cluster.rps_utilization if rule.metric == "rps" else cluster.concurrency_utilization)
        )
        key = "" if rule.metric == "rps" else "container-concurrency-target-percentage"
        made.add("utilization", f"{utilization * 100:g} %", self._setting(known.UTILIZATION, key))
        formula = f"{rule.total:g} x {utilization:g}"
        made.add("target", rule.target, "derived", f"{formula}: what the autoscaler aims at in each pod")
        if rule.metric == "concurrency" and 0 < rule.target < 1:
            made.note(f"one request is enough for {math.ceil(1 / rule.target)} pods: 1 / {rule.target:g}, rounded up")

    def _windows(self, rule: scaling.Settings, cluster: scaling.ClusterConfig) -> None:
        made = self.made
        made.add("window", f"{rule.stable_window_s:g} s", self._setting(known.WINDOW, "stable-window"))
        found = known.PANIC_WINDOW.get(self.annotations)
        percentage = parse_float(found[1]) if found is not None else cluster.panic_window_percentage
        exact = rule.stable_window_s * percentage / 100
        made.add(
            "panic window",
            f"{rule.panic_window_s:g} s",
            "derived",
            f"{rule.stable_window_s:g} s x {percentage:g} % = {exact:g}, in whole seconds",
        )
        made.add(
            "panic threshold",
            f"{rule.panic_threshold * 100:g} %",
            self._setting(known.PANIC_THRESHOLD, "panic-threshold-percentage"),
        )
        made.add("scale-down-delay", f"{rule.scale_down_delay_s:g} s", self._setting(known.DELAY, "scale-down-delay"))
        if rule.scale_to_zero and rule.min_scale == 0:
            made.add(
                "scale-to-zero retention",
                f"{rule.retention_s:g} s",
                self._setting(known.RETENTION, "scale-to-zero-pod-retention-period"),
            )
            grace = self.from_map("config-autoscaler", "scale-to-zero-grace-period")
            made.add("scale-to-zero grace", f"{rule.grace_s:g} s", grace)
        elif known.RETENTION.get(self.annotations) is not None:
            made.note("scale-to-zero-pod-retention-period has no effect: the revision never scales to zero")

    def _burst(self, rule: scaling.Settings) -> None:
        burst = rule.target_burst_capacity
        how = (
            f"the activator leaves the path when ready x {rule.total:g} - {burst:g} - requests under way is 0 or more"
        )
        if burst == 0:
            how = "the activator is in the path only while no pod is ready"
        elif burst < 0:
            how = "the activator is always in the path, and pods are not asked for their figures"
        self.made.add("target-burst-capacity", burst, self._setting(known.BURST, "target-burst-capacity"), how)

    def _hpa(self) -> None:
        made = self.made
        settings = hpa.settings_of(self.annotations, self._cluster())
        spec = hpa.autoscaler(settings)
        made.add("class", known.HPA, self._setting(known.CLASS, "pod-autoscaler-class"))
        made.add(
            "HPA minReplicas",
            spec.min_replicas or "none",
            self._setting(known.MIN_SCALE, "min-scale"),
            ("" if spec.min_replicas else "Kubernetes: 1"),
        )
        made.add("HPA maxReplicas", spec.max_replicas, self._setting(known.MAX_SCALE, "max-scale"))
        source = self._setting(known.TARGET, "")
        if not spec.metrics:
            made.add("HPA metric", "cpu Utilization 80 %", DEFAULT, "no target: Kubernetes fills this in")
            if settings.metric != "cpu":
                made.note(f"metric {settings.metric} without a target has no effect: Kubernetes scales on cpu, 80 %")
        for metric in spec.metrics:
            made.add("HPA metric", _metric_text(metric), source, self._share(metric))
        made.add(
            "HPA behavior",
            "none" if spec.behavior is None else f"stabilisation {settings.window_s:g} s up and down",
            self._setting(known.WINDOW, ""),
            "nil: Kubernetes' older rules" if spec.behavior is None else "",
        )
        self._hpa_notes(settings, spec)

    def _share(self, metric: Metric) -> str:
        """What a percentage of the CPU comes to."""
        if metric.name != "cpu" or metric.type != "Utilization":
            return ""
        asked = [_asked(one, "cpu") for one in self.spec["containers"]]
        sidecar = self.config.deployment.queue_requests.get("cpu", "0")
        if not all(asked):
            return ""
        share = sum(asked) * (metric.target or 0) / 100
        return f"{share:g} CPU of the containers' {sum(asked):g}, and of queue-proxy's {sidecar}"

    def _hpa_notes(self, settings: hpa.HpaSettings, spec: HpaSpec) -> None:
        made = self.made
        for words in _without_requests(spec, self.spec["containers"], self.config):
            made.note(words)
        mark = self._mark_of(known.TARGET)
        if settings.metric == "memory" and settings.target is not None:
            made.note(f"target {settings.target:g} is MiB for memory, not a percentage", mark)
            asked = sum(_asked(one, "memory") for one in self.spec["containers"]) / 2**20
            if asked > settings.target:
                most = (
                    f"takes it to its maximum of {settings.max_scale}"
                    if settings.max_scale
                    else "keeps it scaling up"
                )
                made.note(
                    f"target {settings.target:g}Mi is below the {asked:g}Mi that the containers request: a pod that "
                    f"uses what it requests {most}",
                    mark,
                )
        found = known.MIN_SCALE.get(self.annotations)
        if found is not None and not settings.min_scale:
            made.note("min-scale 0 does not scale to zero with the class hpa", self._mark_of(known.MIN_SCALE))
        unused = (known.UTILIZATION, known.ACTIVATION_SCALE, known.DELAY, known.RETENTION, known.BURST)
        for setting in (*unused, known.PANIC_WINDOW, known.PANIC_THRESHOLD):
            if setting.get(self.annotations) is not None:
                made.note(f"{setting.key.split('/')[1]} has no effect with the class hpa", self._mark_of(setting))

    def _mark_of(self, setting: known.Annotation) -> Mark | None:
        found = setting.get(self.annotations)
        node = self.annotation_node.child(found[0]) if found and self.annotation_node is not None else None
        return node.mark if node is not None else None

    def _rollout(self) -> None:
        """Of a Service, where it is on."""
        seconds = rollout_seconds(self.whole, self.config) if self.document.kind == "Service" else 0
        if seconds:
            found = known.ROLLOUT_DURATION.get(self.whole["metadata"].get("annotations", {}))
            node = node_at(self.document.node, ("metadata", "annotations", found[0])) if found else None
            own = f"{node.mark}, {found[0]}" if found and node is not None else ""
            source = own or self.from_map("config-network", "rollout-duration")
            how = "a new latest revision gets 1 % of its traffic at once, and the rest step by step"
            self.made.add("rollout-duration", f"{seconds} s", source, how)

    def _traffic(self) -> None:
        node = node_at(self.document.node, ("spec", "traffic"))
        for number, target in enumerate(self.traffic):
            entry = node.child(number) if node is not None else None
            name = target.get("revisionName") or "latest"
            tag = f", tag {target['tag']}" if target.get("tag") else ""
            source = str(entry.mark) if entry is not None else DEFAULT
            self.made.add(f"traffic to {name}", f"{target['percent']} %{tag}", source)
            if name not in ("latest", self.revision_name):
                self.made.note(
                    f"revision {name} must exist, else the Route says RevisionMissing; emu runs the template alone, "
                    "and the split is not emulated",
                    entry.mark if entry is not None else None,
                )


def _metric_text(metric: Metric) -> str:
    """A metric of an HPA in words."""
    if metric.type == "AverageValue":
        return f"{metric.name} AverageValue {quantity(metric)}"
    return f"{metric.name} Utilization {metric.target or 0} %"


def _asked(container: Mapping[str, Any], resource: str) -> float:
    """What a container requests; a limit without a request is one."""
    resources = container.get("resources", {})
    given = resources.get("requests", {}).get(resource) or resources.get("limits", {}).get(resource)
    return float(parse_amount(given)) if given else 0.0


def _without_requests(spec: HpaSpec, containers: list[dict[str, Any]], config: ClusterConfig) -> Iterator[str]:
    """What is said of each container without a request that a share is made of."""
    asked = {QUEUE_PROXY: set(config.deployment.queue_requests)}
    asked |= {str(one.get("name", "?")): requested_by(one) for one in containers}
    for one in unmeasurable(spec, asked):
        for container in one.containers:
            yield (
                f"container {container} requests no {one.metric.name}: no share of its requests can be made "
                f"({one.reason}: missing request for {one.metric.name} in container {container}), and nothing scales"
            )
