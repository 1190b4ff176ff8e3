"""What the models are made of: sizes, durations, limits, names, and an error that says where it is."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetJsonSchemaHandler,
    PlainSerializer,
    StringConstraints,
    WithJsonSchema,
)
from pydantic.alias_generators import to_camel
from pydantic_core import CoreSchema

from emu.messages import SANDBOX
from emu.messages.work import FOREVER
from emu.policy.secrets import MASK
from emu.units import format_bytes, parse_bytes, parse_seconds

MIB = 2**20
DOCKER_MINIMUM_BYTES = 6 * MIB
"""Docker refuses a smaller memory limit (moby daemon: "Minimum memory limit allowed is 6MB")."""
NO_LIMIT = "max"
"""The kernel's word in memory.max and its kin."""
LARGEST_BYTES = 2**46
"""64 TiB: a size above this is taken for a typo."""
LONGEST_S = 24 * 3600.0


HEADER_NAME = r"^[!#$%&'*+.^_`|~0-9A-Za-z-]+$"
HEADER_VALUE = r"^[\t -~]*$"
REQUEST_PATH = r"^/[!-~]*$"
ABSOLUTE = r"^/"
READY = r"^[0-9]+/[0-9]+$"
CAPABILITY = r"^[A-Z_]{1,40}$"
IN_WORDS = {
    HEADER_NAME: ("name of an HTTP header", "it is letters, digits and a few signs", "write it as in X-Request-Id"),
    HEADER_VALUE: ("value of an HTTP header", "it is one line of ASCII", "encode or remove the other characters"),
    REQUEST_PATH: ("path", "it begins with / and is ASCII without spaces", "percent-encode the rest: /caf%C3%A9"),
    ABSOLUTE: ("path", "it is an absolute one", "begin it with /"),
    READY: ("READY column", "it has the ready containers and all of them", "write it as in 1/2"),
    CAPABILITY: ("capability", "it is a name in capitals without CAP_, or ALL", "write it as in NET_BIND_SERVICE"),
}
"""Patterns of texts, for people: what such a text is called, why one is refused, what to do."""
_SIZE: dict[str, Any] = {
    "anyOf": [{"type": "integer", "minimum": 0}, {"type": "string"}],
    "examples": ["64Mi", "1.5Gi", 4096],
}
_DURATION = {"anyOf": [{"type": "number", "minimum": 0}, {"type": "string"}], "examples": ["250ms", "10s", "1m30s"]}

RESERVED = (SANDBOX, "pod", "host")
"""What results use for something else than a container of the scenario."""


class OrSize:
    """A mapping that may be written as a size alone, in the schema."""

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        """Either of both."""
        return {"anyOf": [*_SIZE["anyOf"], handler(schema)]}


LONGEST_NAME = 63
"""The limit for a label of a Kubernetes object."""


class SpecError(ValueError):
    """A value that a model refuses. `at` leads from that model to it, by the names in the file; `why` and `fix`
    are as in EmuError. `others` of the model are wrong as well.
    """

    def __init__(self, what: str, *, why: str = "", fix: str = "", at: tuple[str | int, ...] = ()) -> None:
        super().__init__("; ".join(part for part in (what, why, fix) if part))
        self.what = what
        self.why = why
        self.fix = fix
        self.at = at
        self.others: tuple[SpecError, ...] = ()


def raise_each(wrong: Iterable[SpecError]) -> None:
    """Raise the first, with the others; nothing is raised for none."""
    found = list(wrong)
    if found:
        found[0].others = tuple(found[1:])
        raise found[0]


def without(key: str, needs: str) -> SpecError:
    """A key that means nothing by itself."""
    return SpecError(
        f"`{key}` has no effect without `{needs}`",
        why=f"it says how `{needs}` is done",
        fix=f"add `{needs}`, or remove `{key}`",
        at=(key,),
    )


def number(value: Any) -> Any:
    """The value, unless it is true or false, which Python would count as 1 and 0."""
    if isinstance(value, bool):
        raise SpecError(f"{str(value).lower()} is not a number", fix="write a number")
    return value


def _limit(value: Any) -> Any:
    return None if value is None or value == NO_LIMIT else parse_bytes(value)


def _control(value: Any) -> Any:
    if value is None or value == NO_LIMIT:
        return value
    size = parse_bytes(value)
    if size > LARGEST_BYTES:
        raise SpecError(f"{value!r} is too large", why=f"it must be at most {format_bytes(LARGEST_BYTES)}")
    return size


def _hold_for(value: Any) -> Any:
    return None if value is None or value == FOREVER else parse_seconds(value)


def _millicores(value: Any) -> int:
    match = (
        None if isinstance(value, bool) else re.fullmatch(r"([0-9]{1,9}(?:\.[0-9]{1,9})?)(m?)", str(value).strip())
    )
    if match is None:
        raise SpecError(f"{value!r} is not an amount of CPU", fix="write cores (0.5) or millicores (500m)")
    return round(float(match[1]) * (1 if match[2] else 1000))


def startable(value: int | None, *at: str) -> int | None:
    """A memory limit, in bytes, under which a container can be started; SpecError at this key if it cannot."""
    if value is not None and value < DOCKER_MINIMUM_BYTES:
        raise SpecError(
            f"a memory limit of {format_bytes(value)} is too small to start a container in",
            why="Docker refuses a limit below 6 MiB",
            fix="raise it to 6Mi or more",
            at=at,
        )
    return value


def masks(values: Mapping[str, object], at: str) -> Iterator[SpecError]:
    """A SpecError for each placeholder that a record has in place of a secret, by the names of the values."""
    for name, value in values.items():
        if value == MASK:
            yield SpecError(
                "its value was masked in the record",
                why="its name looks like a secret, and records do not store secrets",
                fix="supply it, in the file or with --set",
                at=(at, name),
            )


def distinct(names: Iterable[str], complaint: str, where: tuple[str, ...]) -> None:
    """SpecError at the second of two entries of the list `where` with the same name."""
    seen: dict[str, int] = {}
    for index, name in enumerate(names):
        if name in seen:
            raise SpecError(
                f"{complaint} {name!r}",
                why=f"{where[-1]}.{seen[name]} and {where[-1]}.{index} would be indistinguishable",
                fix="give one of them another name",
                at=(*where, index, "name"),
            )
        seen[name] = index


def listed(names: Iterable[str]) -> str:
    """Names of fields as people write them: `rate` and `rateTo`."""
    return in_a_row(f"`{to_camel(name)}`" for name in names)


def in_a_row(words: Iterable[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    found = list(words)
    return f"{', '.join(found[:-1])} and {found[-1]}" if len(found) > 1 else "".join(found)


Bytes = Annotated[int, BeforeValidator(parse_bytes), Field(ge=0, le=LARGEST_BYTES), WithJsonSchema(_SIZE)]
Limit = Annotated[
    Annotated[int, Field(ge=0, le=LARGEST_BYTES)] | None,
    BeforeValidator(_limit),
    PlainSerializer(lambda value: NO_LIMIT if value is None else value, when_used="json"),
    WithJsonSchema({**_SIZE, "examples": ["64Mi", NO_LIMIT]}),
]
Control = Annotated[
    int | Literal["max"] | None,
    BeforeValidator(_control),
    WithJsonSchema({"anyOf": [*_SIZE["anyOf"], {"type": "null"}], "examples": ["64Mi", NO_LIMIT]}),
]
"""A control file's value; None: the scenario leaves it to the kubelet."""
Seconds = Annotated[float, BeforeValidator(parse_seconds), Field(ge=0, le=LONGEST_S), WithJsonSchema(_DURATION)]
HoldFor = Annotated[
    Annotated[float, Field(ge=0, le=LONGEST_S)] | None,
    BeforeValidator(_hold_for),
    PlainSerializer(lambda value: FOREVER if value is None else value, when_used="json"),
    WithJsonSchema({**_DURATION, "examples": ["10s", FOREVER]}),
]
Millicores = Annotated[
    int,
    BeforeValidator(_millicores),
    Field(ge=1, le=1_000_000),
    PlainSerializer(lambda value: f"{value}m", when_used="json"),
    WithJsonSchema({"anyOf": [{"type": "number"}, {"type": "string"}], "examples": ["500m", 1]}),
]
Name = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$", max_length=LONGEST_NAME)]
FileName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][-A-Za-z0-9_.]*$", max_length=128)]
_FILE = r"[A-Za-z0-9][-A-Za-z0-9_.]*"
FileRef = Annotated[str, StringConstraints(pattern=rf"^(?:{_FILE}|(?:/{_FILE})+)$", max_length=512)]
"""A file of the app's own volume, by its name, or one of a volume of the pod, by its path."""
Folder = Annotated[str, StringConstraints(pattern=r"^(/[A-Za-z0-9_][-A-Za-z0-9_.]*)+$", max_length=256)]
Whole = Annotated[int, BeforeValidator(number)]
Rate = Annotated[float, BeforeValidator(number), Field(ge=0, le=100_000, allow_inf_nan=False)]


def _changes(value: Any) -> Any:
    return {} if value is None else value


Changes = Annotated[dict[str, Any], BeforeValidator(_changes)]
"""Keys with other values, by their paths."""


UNDESCRIBED = "EMU_UNDESCRIBED"
"""With this variable keys have no descriptions, for a process that prints none: pydantic reads them from the source,
which is a quarter of the time that the models take to import.
"""


class Model(BaseModel):
    """Frozen, in camelCase outside, and a key it does not know is an error."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        alias_generator=to_camel,
        validate_default=True,
        hide_input_in_errors=True,  # a traceback that is kept would have it, and it may be a Secret's
        use_attribute_docstrings=UNDESCRIBED not in os.environ,
    )

    def __deepcopy__(self, memo: dict[int, Any] | None = None) -> Self:
        """Itself, as nothing changes it: pydantic copies what is a default with each model that is made."""
        return self


Port = Annotated[Whole, Field(ge=1, le=65535)]
Command = Annotated[tuple[str, ...], Field(min_length=1)]
