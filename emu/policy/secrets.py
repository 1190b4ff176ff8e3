"""Which names are of secrets, and what is shown in a secret's place."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

MASK = "********"
_WITHIN = re.compile(
    r"token(?!iz)|secret|passw|passphrase|credential|apikey|accesskey|privatekey|authorization", re.IGNORECASE
)
"""Parts that mean a secret wherever they stand in a name."""
_SECRETS = "secrets"
"""The key with the data of Kubernetes' Secrets."""
_WORDS = frozenset(("auth", "bearer", "cookie", "dsn", "jwt", "key", "keys", "pass", "pat", "pwd", "signature"))
"""Words that do by themselves."""
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")


def is_secret(name: str) -> bool:
    """Whether a variable or header of this name likely holds a secret: `API_TOKEN`, `dbPassword`, `X-Api-Key`."""
    return _WITHIN.search(name) is not None or any(word.lower() in _WORDS for word in _WORD.findall(name))


def masked(values: Mapping[str, Any]) -> dict[str, Any]:
    """The mapping with a mask in the place of each secret; a value that is no text says only where it stands."""
    return {name: MASK if isinstance(value, str) and is_secret(name) else value for name, value in values.items()}


def masked_argument(argument: str) -> str:
    """An argument of a command line without a secret in it: `pod.app.env.API_TOKEN=********`. Of a mapping or a list
    that seems to hold one nothing is left.
    """
    path, equals, value = argument.partition("=")
    holds = value.lstrip()[:1] in ("{", "[") and is_secret(value)
    return f"{path}={MASK}" if equals and (is_secret(path) or holds) else argument


def masked_tree(data: Any) -> Any:
    """A scenario's data with a mask in the place of each value of its `secrets`, and of each secret of its `env`,
    `headers` and `httpHeaders`, those that variants change by a path among them.
    """
    if isinstance(data, list):
        return [masked_tree(entry) for entry in data]
    if not isinstance(data, dict):
        return data
    return {name: _masked_below(str(name), value) for name, value in data.items()}


def _masked_below(name: str, value: Any) -> Any:
    holder, _, own = name.rpartition(".")
    last = own or name
    if _SECRETS in name.split("."):
        return _masked_object(value)
    if last in ("env", "headers") and isinstance(value, dict):
        return masked({str(key): below for key, below in value.items()})
    if holder.rpartition(".")[2] in ("env", "headers") and is_secret(own):
        return MASK if isinstance(value, str) else value
    if last == "httpHeaders" and isinstance(value, list):
        return [_masked_header(entry) for entry in value]
    return masked_tree(value)


def _masked_object(value: Any) -> Any:
    """Of Secrets, one or its data, only names and keys are left."""
    if isinstance(value, list):
        return [_masked_object(entry) for entry in value]
    if not isinstance(value, dict):
        return MASK
    data = value.get("data")
    return {**value, "data": dict.fromkeys(data, MASK)} if isinstance(data, dict) else dict.fromkeys(value, MASK)


def _masked_header(entry: Any) -> Any:
    if isinstance(entry, dict) and is_secret(str(entry.get("name", ""))):
        return {**entry, "value": MASK}
    return entry
