"""Names that Kubernetes takes for an object, a label or an image, and its words for those it does not."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

_LABEL = "[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_SUBDOMAIN = rf"{_LABEL}(\.{_LABEL})*"
_DNS1035 = "[a-z]([-a-z0-9]*[a-z0-9])?"
_QUALIFIED = "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]"
_LABEL_WORDS = (
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end "
    "with an alphanumeric character"
)
_SUBDOMAIN_WORDS = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start "
    "and end with an alphanumeric character"
)
_DNS1035_WORDS = (
    "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, "
    "and end with an alphanumeric character"
)
_QUALIFIED_WORDS = (
    "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character"
)
_REPOSITORY = re.compile(r"[a-z0-9_\-./]{2,255}")
_TAG = re.compile(r"[A-Za-z0-9_\-.]{1,128}")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_HOST_LETTERS = r"""A-Za-z0-9_.~!$&'()*+,;=<>"\x80-\U0010ffff-"""
_HOST = re.compile(rf"[{_HOST_LETTERS}]*|[{_HOST_LETTERS}:]*:[0-9]*|\[[0-9A-Fa-f:.]+\](:[0-9]*)?")


def _form(words: str, pattern: str, *examples: str) -> str:
    shown = " or ".join(f"'{example}', " for example in examples)
    return f"{words} (e.g. {shown}regex used for validation is '{pattern}')"


def _longer(name: str, most: int, unit: str = "characters") -> list[str]:
    return [f"must be no more than {most} {unit}"] if len(name.encode()) > most else []


def dns1035(name: str, *, prefix: bool = False) -> list[str]:
    """Its faults as the name of a Knative object; as a prefix it may end in a dash."""
    if prefix and len(name) > 1 and name.endswith("-"):
        name = f"{name[:-2]}a"
    wrong = [] if re.fullmatch(_DNS1035, name) else [_form(_DNS1035_WORDS, _DNS1035, "my-name", "abc-123")]
    return _longer(name, 63) + wrong


def dns1123_label(name: str) -> list[str]:
    """Its faults as a label, such as a volume's name."""
    wrong = []
    if not re.fullmatch(_LABEL, name):
        dotted = re.fullmatch(_SUBDOMAIN, name)
        wrong = ["must not contain dots" if dotted else _form(_LABEL_WORDS, _LABEL, "my-name", "123-abc")]
    return _longer(name, 63) + wrong


def dns1123_subdomain(name: str, unit: str = "characters") -> list[str]:
    """Its faults as a name such as a service account's."""
    pattern = _SUBDOMAIN.replace(r"\.", "\\.")
    wrong = [] if re.fullmatch(_SUBDOMAIN, name) else [_form(_SUBDOMAIN_WORDS, pattern, "example.com")]
    return _longer(name, 253, unit) + wrong


def qualified(name: str) -> list[str]:
    """Its faults as the name of a revision in a traffic target."""
    form = _form(_QUALIFIED_WORDS, _QUALIFIED, "MyName", "my.name", "123-abc")
    prefix, slash, rest = name.partition("/")
    if "/" in rest:
        also = " with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')"
        return [f"a valid label key {form}{also}"]
    wrong, last = [], rest if slash else prefix
    if slash and not prefix:
        wrong.append("prefix part must be non-empty")
    elif slash:
        wrong += [f"prefix part {one}" for one in dns1123_subdomain(prefix, "bytes")]
    if not last:
        wrong.append("name part must be non-empty")
    wrong += [f"name part {one}" for one in _longer(last, 63, "bytes")]
    return wrong if re.fullmatch(_QUALIFIED, last) else [*wrong, f"name part {form}"]


def is_image(reference: str) -> bool:
    """Whether an image can be called that: registry, repository, tag or digest."""
    if _is_tagged(reference):
        return True
    base, at, digest = reference.partition("@")
    if not at or not _DIGEST.fullmatch(digest):
        return False
    return _is_tagged(base) or _is_repository(base)


def _is_tagged(reference: str) -> bool:
    base, colon, tag = reference.rpartition(":")
    if not colon or "/" in tag:
        base, tag = reference, ""
    return (not tag or _TAG.fullmatch(tag) is not None) and _is_repository(base)


def _is_repository(name: str) -> bool:
    first, slash, rest = name.partition("/")
    registry, repository = (first, rest) if slash and ("." in first or ":" in first) else ("", name)
    return _REPOSITORY.fullmatch(repository) is not None and _is_host(registry)


def _is_host(registry: str) -> bool:
    if not _HOST.fullmatch(registry):
        return False
    try:
        return urlsplit(f"//{registry}").netloc == registry
    except ValueError:
        return False
