"""Which names are of secrets, and what is shown in a secret's place."""

from __future__ import annotations

import re
from collections.abc import Mapping

MASK = "********"
_WITHIN = re.compile(
    r"token(?!iz)|secret|passw|passphrase|credential|apikey|accesskey|privatekey|authorization", re.IGNORECASE
)
"""Parts that mean a secret wherever they stand in a name."""
_WORDS = frozenset(("auth", "bearer", "cookie", "dsn", "jwt", "key", "keys", "pass", "pat", "pwd", "signature"))
"""Words that do by themselves."""
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")
_ENV = "env"
_SECRET_HOLDERS = (_ENV, "headers", "httpHeaders")


def is_secret(name: str) -> bool:
    """Whether a variable or header of this name likely holds a secret: `API_TOKEN`, `dbPassword`, `X-Api-Key`."""
    return _WITHIN.search(name) is not None or any(word.lower() in _WORDS for word in _WORD.findall(name))


def masked(values: Mapping[str, str]) -> dict[str, str]:
    """The mapping with a mask in the place of each secret."""
    return {name: MASK if is_secret(name) else value for name, value in values.items()}


def masked_argument(argument: str) -> str:
    """An argument of a command line without a secret in it: `pod.app.env.API_TOKEN=********`."""
    path, equals, _ = argument.partition("=")
    return f"{path}={MASK}" if equals and is_secret(path) else argument
