"""Values of environment variables that stand elsewhere: ConfigMaps, Secrets, fields of the pod."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, Self

from pydantic import BeforeValidator, Field, StringConstraints, ValidationError, model_validator

from emu.policy.kubelet import environment as kubelet
from emu.policy.kubelet.objectfiles import wrong_key
from emu.policy.quantity import json_quantity
from emu.policy.secrets import MASK
from emu.spec.values import Model, SpecError, distinct, listed, raise_each

_Named = Annotated[str, StringConstraints(min_length=1, max_length=253)]


class KeyRefSpec(Model):
    """A key of a ConfigMap or Secret of the pod."""

    name: _Named
    """The ConfigMap's or Secret's name."""
    key: _Named
    """The key."""
    optional: bool = False
    """Where it is missing, true: the container has no such variable; false: the container is not started."""


class FieldRefSpec(Model):
    """A field of the pod."""

    field_path: _Named
    """metadata.name, metadata.namespace, metadata.uid, metadata.labels['…'], metadata.annotations['…'],
    spec.nodeName, spec.serviceAccountName, status.hostIP or status.podIP.
    """

    @model_validator(mode="after")
    def _is_known(self) -> Self:
        if not kubelet.is_field(self.field_path):
            raise SpecError(
                f"{self.field_path!r} is no field that a variable may have",
                why="Kubernetes refuses it too",
                fix="write one such as metadata.name, status.podIP or metadata.labels['app']",
                at=("fieldPath",),
            )
        return self


class ResourceFieldRefSpec(Model):
    """A request or limit of a container, as a number."""

    resource: kubelet.Resource
    """Which one. A limit that is not set is what the node has for pods."""
    container_name: str = ""
    """Whose. Default: the container's own."""
    divisor: str = ""
    """The unit, rounded up: `1Mi`, `1m`. Default: 1, so bytes and whole CPUs."""

    @model_validator(mode="after")
    def _divides(self) -> Self:
        try:
            nano = json_quantity(self.divisor).nano if self.divisor else 0
        except ValueError as error:
            raise SpecError(f"{self.divisor!r} is no quantity", why=str(error), at=("divisor",)) from None
        if nano < 0:
            raise SpecError("a divisor is above 0", fix="write `1`, `1Mi` or `1m`", at=("divisor",))
        return self


class EnvSourceSpec(Model):
    """Where the value of a variable stands: one of these four."""

    config_map_key_ref: KeyRefSpec | None = None
    """A key of `configMaps`."""
    secret_key_ref: KeyRefSpec | None = None
    """A key of `secrets`."""
    field_ref: FieldRefSpec | None = None
    """A field of the pod."""
    resource_field_ref: ResourceFieldRefSpec | None = None
    """A request or limit."""

    @model_validator(mode="after")
    def _is_one(self) -> Self:
        names = tuple(type(self).model_fields)
        if sum(getattr(self, name) is not None for name in names) != 1:
            raise SpecError("there must be exactly one source", why=f"of {listed(names)}", fix="keep one of them")
        return self

    @property
    def value(self) -> kubelet.Value:
        """As the kubelet takes it."""
        if (field := self.field_ref) is not None:
            return kubelet.FieldRef(field.field_path)
        if (amount := self.resource_field_ref) is not None:
            return kubelet.ResourceFieldRef(amount.resource, amount.container_name, amount.divisor)
        if (secret := self.secret_key_ref) is not None:
            return kubelet.KeyRef("Secret", secret.name, secret.key, secret.optional)
        ref = self.config_map_key_ref
        if ref is None:  # one whose mistakes are being looked for; it is never run
            raise AttributeError("no source")
        return kubelet.KeyRef("ConfigMap", ref.name, ref.key, ref.optional)


class ObjectRefSpec(Model):
    """A ConfigMap or Secret of the pod."""

    name: _Named
    """Its name."""
    optional: bool = False
    """Where there is none, true: nothing comes of it; false: the container is not started."""


class EnvFromSpec(Model):
    """A ConfigMap or Secret whose keys all become variables. Exactly one of both."""

    prefix: str = ""
    """What their names begin with."""
    config_map_ref: ObjectRefSpec | None = None
    """One of `configMaps`."""
    secret_ref: ObjectRefSpec | None = None
    """One of `secrets`."""

    @model_validator(mode="after")
    def _is_one(self) -> Self:
        if (self.config_map_ref is None) == (self.secret_ref is None):
            both = listed(("config_map_ref", "secret_ref"))
            raise SpecError("there must be exactly one source", why=f"of {both}", fix="give one of them")
        return self

    @property
    def source(self) -> kubelet.Source:
        """As the kubelet takes it."""
        ref = self.secret_ref or self.config_map_ref
        if ref is None:  # one whose mistakes are being looked for; it is never run
            raise AttributeError("no source")
        return kubelet.Source(
            "ConfigMap" if self.secret_ref is None else "Secret", ref.name, self.prefix, ref.optional
        )


def _env_value(given: Any) -> Any:
    """A text, or a mapping as a source; what is wrong within is said with its place."""
    if isinstance(given, str | EnvSourceSpec):
        return given
    if not isinstance(given, Mapping):
        fix = f'quote it to make it text: "{given}"' if isinstance(given, int | float) else "write text"
        raise SpecError(f"{given if given is not None else 'null'} is not valid", why="it is text", fix=fix)
    try:
        return EnvSourceSpec.model_validate(given)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        wrong = (first.get("ctx") or {}).get("error")
        at = tuple(first["loc"])
        if isinstance(wrong, SpecError):
            raise SpecError(wrong.what, why=wrong.why, fix=wrong.fix, at=(*at, *wrong.at)) from None
        why = "a variable has a text, or " + listed(EnvSourceSpec.model_fields)
        raise SpecError(str(first["msg"]), why=why, at=at) from None


EnvValue = Annotated[str | EnvSourceSpec, BeforeValidator(_env_value)]
"""A variable's value: a text, or where it stands."""
Env = dict[str, EnvValue]


class ObjectSpec(Model):
    """A ConfigMap or a Secret."""

    name: _Named
    """Its name."""
    data: dict[str, str] = Field(default_factory=dict)
    """Its keys, with their values as text; of a Secret, decoded."""

    @model_validator(mode="after")
    def _keys_are_names_of_files(self) -> Self:
        raise_each(
            SpecError(
                f"{key!r} cannot be a key",
                why=f"Kubernetes refuses it: {wrong[0]}",
                fix="rename it; letters, digits, -, _ and . are allowed",
                at=("data", key),
            )
            for key in self.data
            if (wrong := wrong_key(key))
        )
        return self


def values_of(env: Mapping[str, str | EnvSourceSpec]) -> dict[str, kubelet.Value]:
    """As the kubelet takes them."""
    return {name: one if isinstance(one, str) else one.value for name, one in env.items()}


def check(config_maps: Sequence[ObjectSpec], secrets: Sequence[ObjectSpec]) -> None:
    """SpecError where two have one name, or a record has a placeholder for the value of a Secret."""
    distinct((one.name for one in config_maps), "two ConfigMaps have the name", ("configMaps",))
    distinct((one.name for one in secrets), "two Secrets have the name", ("secrets",))
    raise_each(
        SpecError(
            "the value of a Secret is masked here",
            why="emu writes the values of Secrets nowhere",
            fix=f"supply it: in the file, or --set …secrets.{one.name}.data.{key}=…",
            at=("secrets", index, "data", key),
        )
        for index, one in enumerate(secrets)
        for key, value in one.data.items()
        if value == MASK
    )


def wrong_names(env: Mapping[str, object]) -> Iterator[SpecError]:
    """A SpecError for each name that Kubernetes and Docker would not take."""
    for name in env:
        if not re.fullmatch(r"[ -<>-~]+", name):
            yield SpecError(
                f"{name!r} cannot be the name of an environment variable",
                why="a name is printable ASCII characters other than `=`",
                fix="rename it",
                at=("env", name),
            )


def objects(config_maps: Sequence[ObjectSpec], secrets: Sequence[ObjectSpec]) -> dict[kubelet.Kind, kubelet.Data]:
    """As the kubelet takes them."""
    return {
        "ConfigMap": {one.name: one.data for one in config_maps},
        "Secret": {one.name: one.data for one in secrets},
    }
