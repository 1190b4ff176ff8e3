"""A whole scenario: a question, a pod, a load or starts to measure, and what is expected."""

from __future__ import annotations

from typing import Annotated, Any, Self

from pydantic import (
    BeforeValidator,
    Field,
    StringConstraints,
    WithJsonSchema,
    field_validator,
    model_validator,
)

from emu.policy.effective import CPU, MEMORY
from emu.policy.kubelet.version import SIDECARS, shown
from emu.spec import alternatives, files, fitting, freezing, pod_resources, resizing, waiting
from emu.spec import services as of_services
from emu.spec import starts as of_starts
from emu.spec.container import ContainerSpec
from emu.spec.load import LoadModel, PhaseModel
from emu.spec.node import NodeSpec, RecorderSpec, SandboxSpec
from emu.spec.pod import PodSpec
from emu.spec.pods import NamedPodSpec
from emu.spec.request import RequestModel
from emu.spec.services import RevisionPlan, ServicePlan, ServiceSpec
from emu.spec.starts import StartsSpec
from emu.spec.values import (
    LONGEST_NAME,
    Changes,
    Model,
    Name,
    SpecError,
    number,
)
from emu.spec.volumes import Place
from emu.units import format_seconds

_EXPECT = {
    "type": "object",
    "additionalProperties": {"type": ["string", "number", "boolean"]},
    "examples": [{"containers.queue-proxy.oom_kills": ">= 1"}],
}

_VARIANTS = {
    "type": "object",
    "additionalProperties": {"type": ["object", "null"]},
    "examples": [{"small": {"pod.app.resources.limits.memory": "64Mi"}, "large": None}],
}


class ScenarioSpec(Model):
    """One question to a real kernel, with the expected answer."""

    name: Name
    """Lower-case letters, digits and `-`; the run directory is named after it."""
    question: Annotated[str, StringConstraints(min_length=1, max_length=500)]
    """The question that the run answers, in one sentence."""
    pod: PodSpec = PodSpec()
    """The pod to run, where there is only one."""
    pods: tuple[NamedPodSpec, ...] = ()
    """Several pods instead, side by side in one cgroup. All start together and end together."""
    services: tuple[ServiceSpec, ...] = ()
    """Services instead, side by side on the node: each has as many pods as its autoscaler wants."""
    load: LoadModel = LoadModel()
    """The load to send to it."""
    starts: StartsSpec | None = None
    """Measure its starts, from each temperature. Default: do not."""
    node: NodeSpec = NodeSpec()
    """The machine on which it runs."""
    sandbox: SandboxSpec = SandboxSpec()
    """The size of the sandbox or of the virtual machine, if the run takes place there."""
    time_scale: Annotated[float, BeforeValidator(number), Field(ge=1, le=10)] = 1.0
    """How many times as fast as usual the control plane is, 1 to 10. Every time of the autoscaler is divided by it
    (windows, ticks, scrapes, reports, delays, grace periods), and so is the scheduler's back-off. What a pod and its
    kubelet do takes as long as ever.
    """
    recorder: RecorderSpec = RecorderSpec()
    """How often the run is sampled."""
    expect: Annotated[dict[str, str], WithJsonSchema(_EXPECT)] = Field(default_factory=dict)
    """The expected answer: comparisons on names in summary.json. `emu run` exits 1 if one of them does not hold."""
    variants: Annotated[dict[Name, Changes], WithJsonSchema(_VARIANTS)] = Field(default_factory=dict)
    """Variants of this scenario to play in one run and compare: each name has the keys that it changes, as
    `PATH: VALUE` with the paths of `--set`.
    """

    @field_validator("expect", mode="before")
    @classmethod
    def _as_text(cls, value: Any) -> Any:
        if isinstance(value, dict):
            return {key: _expected(text) for key, text in value.items()}
        return value

    @model_validator(mode="after")
    def _variants_have_names(self) -> Self:
        for variant in self.variants:
            if len(f"{self.name}-{variant}") > LONGEST_NAME:
                raise SpecError(
                    f"{variant!r} is too long for a variant of {self.name!r}",
                    why=f"its run is called {self.name}-{variant}, and a name has at most {LONGEST_NAME} characters",
                    fix="shorten one of them",
                    at=("variants", variant),
                )
        return self

    @model_validator(mode="after")
    def _starts_have_what_they_need(self) -> Self:
        if self.starts is None or self.pods or self.services:
            return self
        of_starts.check(self.starts, self.pod, self.load.phases, may_swap=self.may_swap(self.pod.app))
        return self

    def may_swap(self, container: ContainerSpec) -> bool:
        """Whether a container may use swap, as far as the scenario alone says; by LimitedSwap it depends on more."""
        own = container.memory.swap_max
        return self.node.memory_swap.swap_behavior != "NoSwap" if own is None else own != 0

    @property
    def each_pod(self) -> dict[str, PodSpec]:
        """Every pod by its name; the short form's has none, and those of a service have their revision's."""
        if self.services:
            return {name: spec for one in self.services for name, spec in one.each_revision.items()}
        return {one.name: one for one in self.pods} or {"": self.pod}

    @property
    def each_service(self) -> dict[str, ServicePlan]:
        """Every service by its name; `pod` is the short form of one. None where there are `pods`."""
        return {} if self.pods else of_services.plans(self.pod, self.services)

    @property
    def each_revision(self) -> dict[str, RevisionPlan]:
        """Every revision, by the name of its pods in `each_pod`."""
        return {one.pod: one for service in self.each_service.values() for one in service.revisions}

    @property
    def watches_node(self) -> bool:
        """Whether the cgroup above all pods says more than the only pod's own."""
        scaled = any(one.autoscaling is not None and one.autoscaling.most != 1 for one in self.each_pod.values())
        slow = bool(self.node.io.max.disk.given or self.node.io.max.swap.given)
        return scaled or len(self.each_pod) > 1 or self.node.memory is not None or slow or self.node.evicts

    def holder_of_files(self, pod: str) -> str:
        """The pod whose volume has the files that a pod's app uses: another one's with `filesOf`."""
        spec = self.each_pod[pod]
        return (spec.files_of if isinstance(spec, NamedPodSpec) else None) or pod

    def asked_pod(self, phase: PhaseModel) -> str:
        """The name of the pod that a phase sends to; of a service, its first revision's."""
        if self.services:
            return self.each_service[self.asked_service(phase)].revisions[0].pod
        return phase.to or next(iter(self.each_pod))

    def asked_service(self, phase: PhaseModel) -> str:
        """The name of the service that a phase sends to."""
        return phase.service or next(iter(self.each_service))

    @model_validator(mode="after")
    def _services_fit(self) -> Self:
        if self.services:
            gives_pod = alternatives.gives_pod(self.pod, self.model_fields_set)
            given = {"pod": gives_pod, "pods": bool(self.pods), "starts": self.starts is not None}
            of_services.check(self.services, given)
        of_services.check_phases(self.services, self.load.phases)
        return self

    @model_validator(mode="after")
    def _pod_or_pods(self) -> Self:
        alternatives.check_lists({"pods": self.pods, "services": self.services}, self.model_fields_set)
        alternatives.check(self.pod, self.pods, starts=self.starts is not None, given=self.model_fields_set)
        return self

    @model_validator(mode="after")
    def _pods_can_be_evicted(self) -> Self:
        scaled = any(pod.autoscaling is not None for pod in self.each_pod.values())
        if self.node.evicts and (scaled or self.starts is not None):
            key = "autoscaling" if scaled else "starts"
            threshold = "evictionHard" if self.node.eviction_hard else "evictionSoft"
            raise SpecError(
                f"a scenario has either `{threshold}` or `{key}`, not both",
                why="an evicted pod stays as it is: no controller makes another",
                fix="remove one of them",
                at=("node", threshold),
            )
        return self

    @model_validator(mode="after")
    def _swap_device_has_a_size(self) -> Self:
        if self.node.swap_device != "disk" and not self.sandbox.swap:
            raise SpecError(
                f"`swapDevice: {self.node.swap_device}` would have no size",
                why="it is as large as sandbox.swap, which is 0",
                fix="raise sandbox.swap, or remove `swapDevice`",
                at=("node", "swapDevice"),
            )
        return self

    @model_validator(mode="after")
    def _time_is_the_autoscalers(self) -> Self:
        if self.time_scale != 1 and all(pod.autoscaling is None for pod in self.each_pod.values()):
            raise SpecError(
                "`timeScale` has nothing to make faster",
                why="it divides the times of the autoscaler, and no pod has one",
                fix="remove it, or give a pod `autoscaling`",
                at=("timeScale",),
            )
        return self

    @model_validator(mode="after")
    def _pods_fit_on_the_node(self) -> Self:
        fitting.check(self.each_pod, self.node.kubepods_max, self.allocatable)
        return self

    @property
    def allocatable(self) -> dict[str, int]:
        """What the scheduler has to give, as far as the scenario bounds it: bytes and millicores."""
        found = {} if self.node.cpu is None else {CPU: self.node.cpu}
        if self.node.memory is not None:
            found[MEMORY] = self.node.rules(self.node.memory, 0).allocatable
        return found

    @model_validator(mode="after")
    def _sidecars_are_known(self) -> Self:
        for place, pod in enumerate(self.services or self.pods or (self.pod,)):
            for index, one in enumerate(pod.init_containers):
                if one.is_sidecar and self.node.version < SIDECARS:
                    several = "services" if self.services else "pods"
                    before = (several, place) if self.services or self.pods else ("pod",)
                    raise SpecError(
                        f"Kubernetes {self.node.kubernetes} has no sidecar containers",
                        why=f"before {shown(SIDECARS)} the API server drops `restartPolicy` of an init container",
                        fix="remove `restartPolicy`, or raise node.kubernetes",
                        at=(*before, "initContainers", index, "restartPolicy"),
                    )
        return self

    @model_validator(mode="after")
    def _resources_of_pods_are_known(self) -> Self:
        for index, pod in enumerate(self.pods):
            pod_resources.check_version(pod.resources, self.node.version, ("pods", index))
        return self

    @model_validator(mode="after")
    def _files_are_some_pod_s(self) -> Self:
        files.check_holders(self.pods)
        return self

    @model_validator(mode="after")
    def _phases_ask_pods(self) -> Self:
        for index, phase in enumerate(self.load.phases if not self.services else ()):
            at = ("load", "phases", index, "to")
            if phase.to is not None and phase.to not in self.each_pod:
                names = ", ".join(self.each_pod) if self.pods else "none: the only pod is asked by every phase"
                raise SpecError(
                    f"there is no pod {phase.to!r}",
                    why=f"pods with a name are: {names}",
                    fix="name one of them" if self.pods else "remove `to`",
                    at=at,
                )
            pod = self.each_pod[self.asked_pod(phase)]
            if isinstance(pod, NamedPodSpec) and not pod.serves and phase.type != "pause":
                raise SpecError(
                    f"no container of the pod {pod.name} has a port",
                    why="requests are sent to the first container that has one",
                    fix="give a container `port`, or send them to another pod with `to`",
                    at=at if phase.to is not None else at[:-1],
                )
        return self

    @model_validator(mode="after")
    def _stops_before_the_load_ends(self) -> Self:
        if any(phase.after_answers for phase in self.load.phases):
            return self  # how long the load takes is not planned then
        end, awaited = self.load.planned_s, self.load.drain if self.load.phases else 0.0
        for index, pod in enumerate(self.each_pod.values() if not self.services else ()):
            if pod.stop_after is not None and pod.stop_after >= end + awaited:
                waits = f" and answers are awaited for {format_seconds(awaited)} more" if awaited else ""
                raise SpecError(
                    f"the pod would never be stopped: `stopAfter` is {format_seconds(pod.stop_after)}",
                    why=f"the load's phases take {format_seconds(end)}{waits}; the run stops every pod after that",
                    fix="lower `stopAfter`, or add a phase of type pause that lasts until then",
                    at=("pods", index, "stopAfter") if self.pods else ("pod", "stopAfter"),
                )
        return self

    @model_validator(mode="after")
    def _phases_wait_for_containers(self) -> Self:
        for index, phase in enumerate(self.load.phases):
            name = None if phase.until is None else phase.until.container
            if name is None or (self.services and phase.service not in (None, *self.each_service)):
                continue
            pod = self.each_pod.get(self.asked_pod(phase), self.pod)
            if name not in pod.containers:
                raise SpecError(
                    f"there is no container {name!r} in this pod",
                    why=f"its containers are: {', '.join(pod.containers)}",
                    fix="name one of them",
                    at=("load", "phases", index, "until", "container"),
                )
        return self

    @model_validator(mode="after")
    def _phases_wait_for_what_can_happen(self) -> Self:
        if self.variants:  # it is not played itself, and a variant may have more pods
            return self
        known = (phase.service in (None, *self.each_service) for phase in self.load.phases)
        looked_at = [
            self._looked_at(phase) if there else [] for phase, there in zip(self.load.phases, known, strict=True)
        ]
        waiting.check(self.load.phases, looked_at, self.each_pod, self.time_scale)
        return self

    def _looked_at(self, phase: PhaseModel) -> list[str]:
        """The pods that `until` of a phase is about, by their names in `each_pod`."""
        if not self.services:
            return [self.asked_pod(phase)]
        revision = None if phase.until is None else phase.until.revision
        plans = self.each_service[self.asked_service(phase)].revisions
        return [one.pod for one in plans if revision in (None, one.name)]

    @model_validator(mode="after")
    def _phases_wait_for_a_freezer(self) -> Self:
        freezing.check(self.load.phases, None if self.pods or self.services else self.pod.freezer)
        return self

    @model_validator(mode="after")
    def _resizes_are_allowed(self) -> Self:
        asked = {phase.name: self.asked_pod(phase) for phase in self.load.phases}
        resizing.check(self.load.phases, asked, self.each_pod, self.node.version)
        return self

    @model_validator(mode="after")
    def _files_are_made(self) -> Self:
        if not self.pods and not self.services:
            asked: list[tuple[Place, RequestModel]]
            asked = [(("load", "phases", index), phase.request) for index, phase in enumerate(self.load.phases)]
            asked += [] if self.starts is None else [(("starts",), self.starts.request)]
            files.check(self.pod, asked)
        return self


def _expected(value: Any) -> Any:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, int | float) else value
