"""The templates that name containers, as far as they are refused: actions that are none, and fields that nothing has
(text/template; metav1.ObjectMeta). What emu fills in is `{{.Name}}` alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

_OWN = ("Name", "GenerateName", "Namespace", "SelfLink", "UID", "ResourceVersion", "Generation")
_TIMES = ("CreationTimestamp", "DeletionTimestamp", "DeletionGracePeriodSeconds")
_FIELDS = (*_OWN, *_TIMES, "Labels", "Annotations", "OwnerReferences", "Finalizers", "ManagedFields")
_OPENING = ("if", "range", "with")
_GO_NAME = "container-template"
_NAME = re.compile(r"\{\{-?\s*\.Name\s*-?\}\}")
_FIELD = re.compile(r"\.([A-Za-z_][A-Za-z0-9_]*)")


def check_form(template: str) -> None:
    """ValueError, in Go's words, for what does not parse."""
    for line, _, action in _actions(template):
        if not action or action in _OPENING:
            raise ValueError(f"template: {_GO_NAME}:{line}: missing value for {action or 'command'}")
        if action == "end" and not any(f"{{{{{word}" in template for word in _OPENING):
            raise ValueError(f"template: {_GO_NAME}:{line}: unexpected {{{{end}}}}")


def check_fields(template: str) -> None:
    """ValueError, in Knative's words, for a field that no object's metadata has."""
    for line, column, action in _actions(template):
        found = _FIELD.fullmatch(action)
        if found and found[1] not in _FIELDS:
            raise ValueError(
                f'error executing template: template: {_GO_NAME}:{line}:{column}: executing "{_GO_NAME}" at '
                f"<{action}>: can't evaluate field {found[1]} in type v1.ObjectMeta"
            )


def filled_in(template: str, name: str) -> str:
    """With the name of the Service or Configuration."""
    return _NAME.sub(lambda _: name, template)


def _actions(template: str) -> Iterator[tuple[int, int, str]]:
    """What stands between braces, with its line and the byte in it."""
    at = 0
    while (start := template.find("{{", at)) >= 0:
        line = template.count("\n", 0, start) + 1
        end = template.find("}}", start)
        if end < 0:
            why = "bad character U+007D '}'" if "}" in template[start:] else "unclosed action"
            raise ValueError(f"template: {_GO_NAME}:{line}: {why}")
        inside = re.sub(r"^-\s+|\s+-$", "", template[start + 2 : end])
        action = inside.strip()
        before = template[: template.index(action, start + 2)]
        yield line, len(before.rpartition("\n")[2].encode()), action
        at = end + 2
