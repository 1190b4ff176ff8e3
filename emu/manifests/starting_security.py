"""A container's securityContext, with its pod's → a scenario's, and what of it has no place there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from emu.manifests.yamltext import Lines

_BOTH = ("runAsUser", "runAsGroup", "runAsNonRoot")
"""The container's go before the pod's."""
_AS_IT_IS = {"privileged": False, "allowPrivilegeEscalation": False}
"""No container of a run has more."""


def security_of(own: Mapping[str, Any], pod: Mapping[str, Any]) -> tuple[Lines, list[str]]:
    """What a container has, and what is left out."""
    made: Lines = {name: own.get(name, pod.get(name)) for name in _BOTH}
    made["readOnlyRootFilesystem"] = own.get("readOnlyRootFilesystem")
    capabilities = own.get("capabilities") or {}
    made["capabilities"] = {name: _plain(capabilities[name]) for name in ("add", "drop") if capabilities.get(name)}
    kept = {name: value for name, value in made.items() if value is not None and value is not False and value != {}}
    left_out = [f"{name} of its containers' securityContext" for name in own if _is_left_out(name, own[name])]
    left_out += [f"{name} of its pods' securityContext" for name in pod if _is_left_out(name, pod[name])]
    return kept, left_out


def _is_left_out(name: str, value: Any) -> bool:
    if name == "seccompProfile":
        return (value or {}).get("type") not in (None, "RuntimeDefault")
    known = (*_BOTH, "readOnlyRootFilesystem", "capabilities")
    return name not in known and not (name in _AS_IT_IS and value == _AS_IT_IS[name])


def _plain(names: list[str]) -> list[str]:
    """With or without CAP_, as containerd takes them."""
    return [name.upper().removeprefix("CAP_") for name in names]
