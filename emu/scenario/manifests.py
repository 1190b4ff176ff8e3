"""Manifests of Kubernetes, Knative and KServe given where a scenario belongs: known, and answered as that."""

from __future__ import annotations

import re
from typing import Literal

from emu.errors import EmuError

_FIELD = r"(?m)(?:^|[{{,])[{{ \t]*[\"']?{}[\"']?[ \t]*:[ \t]*[\"']?([\w./-]+)"
_VERSION, _KIND = re.compile(_FIELD.format("apiVersion")), re.compile(_FIELD.format("kind"))
_SCENARIO = re.compile(r"(?m)^question[ \t]*:")
_KEYS = re.compile(r"(?m)^(question|pods?|load|node|expect)[ \t]*:")
_MAKERS = (("serving.knative.dev/", "Knative"), ("serving.kserve.io/", "KServe"))


def kind_of(text: str) -> Literal["scenario", "manifest", ""]:
    """What a text looks like: a scenario, a manifest of one document or several, or neither."""
    if _SCENARIO.search(text):
        return "scenario"
    if _KIND.search(text):
        return "manifest" if _VERSION.search(text) else ""
    return "scenario" if _KEYS.search(text) else ""


def refuse_manifest(text: str, source: str) -> None:
    """EmuError for a text that is a manifest."""
    version, kind = _VERSION.search(text), _KIND.search(text)
    if version is None or kind is None or kind_of(text) != "manifest":
        return
    maker = next((maker for group, maker in _MAKERS if version[1].startswith(group)), "Kubernetes")
    raise EmuError(
        f"{source}: this is a {maker} {kind[1][:60]} manifest, not a scenario",
        "a scenario has a pod, a load or starts, and expectations; a manifest has only the pod",
        "`emu run` takes a Service of Knative, an InferenceService, a Deployment or a Pod, `emu init` prints the "
        "scenario that it makes of it; `emu explain` says what becomes of others; else begin with "
        "`emu scenarios queue-proxy-oom > mine.yaml`, and copy its values: containerConcurrency and timeoutSeconds "
        "to `pod`, image, command, env, resources and probes of the container to `pod.app`",
    )
