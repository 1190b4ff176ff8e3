"""Which pods of a revision are ready, and whether requests may reach one before the kubelet says so."""

from __future__ import annotations

from collections.abc import Mapping

from emu.kubelet.template import PodTemplate
from emu.messages import QUEUE_PROXY
from emu.policy.lifecycle import ContainerState
from emu.spec import PodSpec


def is_pod_ready(template: PodTemplate, states: Mapping[str, ContainerState]) -> bool:
    """Whether a pod is ready, by the states of its containers."""
    return all(_is_container_ready(template, name, state) for name, state in states.items())


def _is_container_ready(template: PodTemplate, name: str, state: ContainerState) -> bool:
    """As Kubernetes has it: a container without probes of its own is ready once it runs. Our own look at its port
    is not asked for, since it waits while a freezer has the app.
    """
    probes = template.container(name).probes
    ours = name != QUEUE_PROXY and "readiness" in probes and probes["readiness"].ours
    return state.phase == "running" and state.up if ours and "startup" not in probes else state.ready


def is_probed_early(spec: PodSpec) -> bool:
    """Whether the activator probes a pod before the kubelet says that it is ready: not where only the kubelet can
    know (revision_backends.go).
    """
    waits = spec.app.readiness_probe is not None and spec.app.readiness_probe.exec is not None
    return not waits and all(one.startup_probe is None for one in spec.containers.values())
