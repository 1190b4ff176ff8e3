"""A revision → a scenario for one of its pods: its limits and timeouts, and a load that comes from its target."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

from emu.errors import EmuError
from emu.manifests.containers_explained import serving_container
from emu.manifests.decode import decode
from emu.manifests.documents import SERVING, Manifests
from emu.manifests.explaining import cluster_of, explain
from emu.manifests.explanation import Explanation
from emu.manifests.knative import defaulted, revision_annotations, revision_spec
from emu.manifests.queueproxy import queue_proxy_resources
from emu.policy.autoscaling.settings import cluster_config, settings_for
from emu.policy.quantity import parse_amount

_WORK_S = 0.2
"""What one request takes."""
_MOST_RATE = 100.0
"""Requests per second; more is another question than the one that a first scenario asks."""
_LEAST_MEMORY = 6 * 2**20
"""emu's least limit."""


def scenario_of(manifests: Manifests) -> str:
    """The text of a scenario file. EmuError where there is no one revision, or it is refused."""
    documents = [one for one in manifests.documents if one.group == SERVING]
    if len(documents) != 1:
        found = ", ".join(one.title for one in manifests.documents) or "none"
        raise EmuError(
            "there is no one revision to make a scenario of",
            f"a scenario runs one pod, of a Service, Configuration or Revision of Knative; the files have: {found}",
            "give the file with that one",
        )
    document = documents[0]
    made = next(one for one in explain(manifests) if one.document == document)
    if not made.accepted:
        refusal = made.refusals[0]
        line = refusal.words.split("\n")[0]
        raise EmuError(
            f"{refusal.mark}: {refusal.by} refuses {document.title}", line, "see `emu explain`, and mend it"
        )
    config = cluster_of(manifests.maps)
    whole = defaulted(document.kind, decode(document.node, document.kind).value, config)
    spec, annotations = revision_spec(document.kind, whole), revision_annotations(document.kind, whole)
    serving = serving_container(spec)
    sidecar = queue_proxy_resources(annotations, serving, config)
    data = manifests.maps["config-autoscaler"].child("data") if "config-autoscaler" in manifests.maps else None
    cluster = cluster_config(data.plain() if data is not None else None)
    rule = settings_for(annotations, cluster, spec["containerConcurrency"])
    rate = rule.target if rule.metric == "rps" else rule.target / _WORK_S
    rate = min(_MOST_RATE, max(1.0, math.floor(rate))) if math.isfinite(rate) else _MOST_RATE
    lines = [*_head(document.name, serving, made), "pod:", *_numbers(spec)]
    lines += _resources("queueProxy", {key: text for key, (text, _) in sidecar.items()})
    lines += _resources("app", _given(serving))
    lines += [
        "",
        "load:",
        "  phases:",
        "    - name: steady",
        "      type: constant",
        f"      rate: {rate:g} # what the target of {rule.target:g} is for one pod, at most 100",
        "      duration: 20s",
        "      request:",
        "        do:",
        "          sleep: 200ms",
        "",
        "expect:",
        '  pod.oom_kills: "== 0"',
    ]
    return "\n".join(lines) + "\n"


def _head(name: str, serving: Mapping[str, Any], made: Explanation) -> list[str]:
    slug = re.sub(r"[^a-z0-9-]+", "-", name.lower()).strip("-")[:40] or "revision"
    image = re.sub(r"[^\x20-\x7e]", "?", str(serving.get("image", "")))[:100]
    lines = [
        f"# One pod of {re.sub(r'[^ -~]', '?', made.document.title)[:80]}, as Knative makes it. Made by `emu init`."
    ]
    lines += [
        f"# Its image {image} is not run: emu's own app stands in. `pod.app.image` runs one that the engine has.",
        "# Not emulated: other revisions, more than one pod.",
    ]
    return [
        *lines,
        f"name: {slug}",
        f"question: What does one pod of {slug} do under the load that it is scaled for?",
        "",
    ]


def _numbers(spec: Mapping[str, Any]) -> list[str]:
    names = ("containerConcurrency", "timeoutSeconds", "responseStartTimeoutSeconds", "idleTimeoutSeconds")
    return [f"  {name}: {spec[name]}" for name in names if spec.get(name)]


def _given(container: Mapping[str, Any]) -> dict[tuple[str, str], str]:
    resources = container.get("resources", {})
    return {
        (resource, group[:-1]): text
        for group in ("requests", "limits")
        for resource, text in resources.get(group, {}).items()
    }


def _resources(key: str, given: Mapping[tuple[str, str], str]) -> list[str]:
    lines: list[str] = []
    for kind in ("request", "limit"):
        amounts = []
        for resource in ("memory", "cpu"):
            if (text := given.get((resource, kind))) is None:
                continue
            value = parse_amount(text)
            if resource == "memory":
                amounts.append(f"        memory: {max(int(value), _LEAST_MEMORY if kind == 'limit' else 0)} # {text}")
            elif value > 0:
                amounts.append(f"        cpu: {max(math.ceil(value * 1000), 10 if kind == 'limit' else 1)}m")
        if amounts:
            lines += [f"      {kind}s:", *amounts]
    return [f"  {key}:", "    resources:", *lines] if lines else []
