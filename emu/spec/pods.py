"""The pods of a scenario that has several: each has a name, and its containers with or without a queue-proxy."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, model_validator
from pydantic.alias_generators import to_camel

from emu.spec import pod_resources
from emu.spec.container import AppSpec, ContainerSpec, FileSpec, QueueProxySpec, Resources
from emu.spec.pod import KUBERNETES_GRACE_S, OF_KNATIVE, PodSpec
from emu.spec.probes import ExecSpec
from emu.spec.values import RESERVED, Name, SpecError, Whole, distinct
from emu.spec.volumes import Place


class PlainContainerSpec(ContainerSpec):
    """A container of a pod without a queue-proxy; without `image` and `command` it is emu's app."""

    name: Name
    """Its name in results."""
    port: Annotated[Whole, Field(ge=1, le=65535)] | None = None
    """The port on which it listens. emu's app needs one, and serves HTTP/1.1 on it; other programs get it as PORT."""
    files: tuple[FileSpec, ...] = ()
    """Files for emu's app in a volume on a real block device, created before the run, and not in the page cache. All
    apps of the pod have the same volume. Not with `image` or `command`.
    """

    @property
    def is_app(self) -> bool:
        """Whether it is emu's app."""
        return self.image is None and self.command is None

    @model_validator(mode="after")
    def _has_what_it_needs(self) -> Self:
        if self.name in RESERVED:
            raise SpecError(
                f"a container cannot be called {self.name!r}",
                why="results use that name for something else",
                fix="give it another name",
                at=("name",),
            )
        if self.files and not self.is_app:
            raise SpecError(
                "`files` applies only to emu's app",
                why="with `image` or `command` the container is your own program",
                fix="remove `files`, or `image` and `command`",
                at=("files",),
            )
        if self.is_app and self.port is None:
            raise SpecError(
                "emu's app has no port",
                why="without `image` and `command` the container is emu's app, which serves HTTP",
                fix="add `port: 8080`, or give it `image` or `command`",
                at=("name",),
            )
        for kind, probe in self.probes.items():
            if self.port is None and not isinstance(probe.handler, ExecSpec) and probe.handler.port is None:
                way = probe.way
                raise SpecError(
                    f"the {kind} probe has no port",
                    why=f"the container {self.name} has none either",
                    fix="give it one",
                    at=(f"{kind}Probe", way),
                )
        return self


class NamedPodSpec(PodSpec):
    """One pod of several. Without `containers` it is what `pod` is: a queue-proxy and an app."""

    name: Name
    """The pod's name: in results, and for `to` of a phase."""
    plain: Annotated[tuple[PlainContainerSpec, ...], Field(alias="containers")] = ()
    """The containers of a plain pod, which has no queue-proxy. Requests go to the first one that has a port."""
    files_of: Name | None = None
    """Another pod, whose `files` its app uses too: one volume for both, as a persistent volume that two pods of a
    node mount. Default: a volume of its own.
    """
    resources: Resources | None = None
    """Requests and limits of the pod itself, as in `spec.resources` of Kubernetes 1.34 and later; with `containers`
    only. They take the place of what its containers come to: for the pod's cgroup, its QoS class, oom_score_adj and
    the scheduler. A container without a limit of its own may use all of the pod's. Default: none; those of its
    containers count.
    """

    @property
    def containers(self) -> dict[str, ContainerSpec]:
        """Every container by its name, in the order in which they are started."""
        if not self.plain:
            return super().containers
        own: dict[str, ContainerSpec] = {one.name: one for one in self.plain}
        return {**{one.name: one for one in self.init_containers}, **own}

    @property
    def placed(self) -> list[tuple[Place, ContainerSpec]]:
        """Every container with its place below the pod."""
        if not self.plain:
            return super().placed
        return [*((("containers", index), one) for index, one in enumerate(self.plain)), *self._additional]

    @property
    def own_files(self) -> tuple[FileSpec, ...]:
        """The files that are made for it."""
        return tuple(file for one in self.plain for file in one.files) or super().own_files

    @property
    def serving(self) -> str:
        """The container that does what requests ask for."""
        return next((one.name for one in self.plain if one.port is not None), "app")

    @property
    def serves(self) -> bool:
        """Whether requests can be sent to it."""
        return not self.plain or any(one.port is not None for one in self.plain)

    @property
    def grace_s(self) -> int:
        """Seconds from SIGTERM to SIGKILL during the run."""
        given = self.termination_grace_period_seconds
        return KUBERNETES_GRACE_S if self.plain and given is None else super().grace_s

    def _gives(self, name: str) -> bool:
        return bool(getattr(self, name) != type(self).model_fields[name].default)

    @model_validator(mode="after")
    def _containers_fit(self) -> Self:
        distinct((one.name for one in self.plain), "two containers have the name", ("containers",))
        inits = {one.name for one in self.init_containers}
        ports: dict[int, str] = {}
        for index, one in enumerate(self.plain):
            if one.name in inits:
                raise SpecError(
                    f"an init container has the name {one.name!r} too",
                    why="the names of a pod's containers are distinct, init containers included",
                    fix="give one of them another name",
                    at=("containers", index, "name"),
                )
            if one.port in ports:
                raise SpecError(
                    f"port {one.port} is taken",
                    why=f"{ports[one.port]} listens there, and a pod's containers share one network",
                    fix="give it another port",
                    at=("containers", index, "port"),
                )
            if one.port is not None:
                ports[one.port] = one.name
        return self

    @model_validator(mode="after")
    def _resources_agree(self) -> Self:
        if self.resources is None:
            return self
        if not self.plain:
            raise SpecError(
                "`resources` of a pod needs `containers`",
                why="Knative refuses them for a revision, whose pods these are",
                fix="give them to `app` and `queueProxy`, or make it a plain pod with `containers`",
                at=("resources",),
            )
        inits = {one.name: one.is_sidecar for one in self.init_containers}
        pod_resources.check(self.resources, self.containers, inits)
        return self

    @model_validator(mode="after")
    def _files_once_each(self) -> Self:
        seen: dict[str, str] = {}
        for index, container in enumerate(self.plain):
            for number, file in enumerate(container.files):
                if file.name in seen:
                    raise SpecError(
                        f"two files have the name {file.name!r}",
                        why=f"{seen[file.name]} has one already, and a pod's apps share one volume of files",
                        fix="give one of them another name",
                        at=("containers", index, "files", number, "name"),
                    )
                seen[file.name] = container.name
        return self

    @model_validator(mode="after")
    def _is_one_kind_of_pod(self) -> Self:
        for key, differs in (
            ("queueProxy", self.queue_proxy != QueueProxySpec()),
            ("app", self.app != AppSpec()),
            ("sidecars", bool(self.sidecars)),
        ):
            if self.plain and differs:
                raise SpecError(
                    f"a pod has either `containers` or `{key}`, not both",
                    why="with `containers` it is a plain pod, which has no queue-proxy",
                    fix="remove one of them",
                    at=(key,),
                )
        for name in OF_KNATIVE:
            if self.plain and name not in ("queue_proxy", "freezer") and self._gives(name):
                raise SpecError(
                    f"`{to_camel(name)}` has no effect on a pod with `containers`",
                    why="it is queue-proxy's, and a plain pod has none",
                    fix="remove it",
                    at=(to_camel(name),),
                )
        for key in ("freezer", "autoscaling"):
            if getattr(self, key) is not None:
                raise SpecError(
                    f"`{key}` needs the scenario's only pod",
                    why="the freezer and the autoscaler look after one workload in a run",
                    fix="remove it, or use `pod` instead of `pods`",
                    at=(key,),
                )
        return self
