"""What a scenario may say: frozen models, checked when made. `emu.scenario.reading` reads them from YAML.

Names are Kubernetes' and Knative's where they have one (containerConcurrency, timeoutSeconds, resources,
restartPolicy) and the kernel's where the kernel has one (memory.high is `memory: {high: …}`). Sizes are bytes,
durations seconds once read; no limit ("max") is None. The docstring below a field is its text in
docs/scenario-file.md and in editors; `model_dump(mode="json", by_alias=True)` gives what may be read again.
"""

from __future__ import annotations

from emu.spec.container import (
    OWN_FOOTPRINT,
    AppSpec,
    ContainerSpec,
    FileSpec,
    InitContainerSpec,
    QueueProxySpec,
    Resources,
    SidecarSpec,
    TaskSpec,
)
from emu.spec.freezer import FreezerSpec
from emu.spec.io import IoControls, IoCostSpec, IoMaxSpec, IoRates, NodeIo
from emu.spec.kubelet import KubeletSpec
from emu.spec.load import LoadModel, PhaseModel
from emu.spec.memory import MemoryControls
from emu.spec.pod import PodMemory, PodSpec, RestartPolicy
from emu.spec.pods import NamedPodSpec, PlainContainerSpec
from emu.spec.probes import ExecSpec, GrpcSpec, HeaderSpec, HttpGetSpec, ProbeSpec, SleepSpec, TcpSocketSpec
from emu.spec.request import BodyModel, RequestModel, WorkSpec
from emu.spec.scenario import ScenarioSpec
from emu.spec.services import RevisionPlan, ServicePlan, ServiceSpec, revision_name
from emu.spec.starts import StartsSpec
from emu.spec.values import (
    MIB,
    NO_LIMIT,
    Bytes,
    Control,
    FileName,
    FileRef,
    Folder,
    HoldFor,
    Limit,
    Millicores,
    Model,
    Name,
    Rate,
    Seconds,
    SpecError,
)
from emu.spec.volumes import VolumeMountSpec, VolumeSpec

__all__ = [
    "MIB",
    "NO_LIMIT",
    "OWN_FOOTPRINT",
    "AppSpec",
    "BodyModel",
    "Bytes",
    "ContainerSpec",
    "Control",
    "ExecSpec",
    "FileName",
    "FileRef",
    "FileSpec",
    "Folder",
    "FreezerSpec",
    "GrpcSpec",
    "HeaderSpec",
    "HoldFor",
    "HttpGetSpec",
    "InitContainerSpec",
    "IoControls",
    "IoCostSpec",
    "IoMaxSpec",
    "IoRates",
    "KubeletSpec",
    "Limit",
    "LoadModel",
    "MemoryControls",
    "Millicores",
    "Model",
    "Name",
    "NamedPodSpec",
    "NodeIo",
    "PhaseModel",
    "PlainContainerSpec",
    "PodMemory",
    "PodSpec",
    "ProbeSpec",
    "QueueProxySpec",
    "Rate",
    "RequestModel",
    "Resources",
    "RestartPolicy",
    "RevisionPlan",
    "ScenarioSpec",
    "Seconds",
    "ServicePlan",
    "ServiceSpec",
    "SidecarSpec",
    "SleepSpec",
    "SpecError",
    "StartsSpec",
    "TaskSpec",
    "TcpSocketSpec",
    "VolumeMountSpec",
    "VolumeSpec",
    "WorkSpec",
    "revision_name",
]
