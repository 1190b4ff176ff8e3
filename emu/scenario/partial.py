"""Of a scenario with mistakes: what the checks across its keys say where the keys that they read are right.

pydantic does not begin with such a check while anything below it is wrong, and ends at the first that fails. Here a
model is made of the values that are right; a check that asks for one that is not is left out.
"""

from __future__ import annotations

import typing
from collections.abc import Iterator
from functools import cache
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, TypeAdapter, ValidationError

from emu.files.nearest import nearest

Path = tuple[str | int, ...]
M = TypeVar("M", bound=BaseModel)
UNREADABLE = (AttributeError, TypeError, KeyError, IndexError, StopIteration)
"""What a check meets that asks for a value which is not there."""


def partial(model: type[M], data: dict[str, Any]) -> M:
    """The model with what is right in `data`; asking it for anything else is an AttributeError."""
    made = model.model_construct()
    names = {field.alias or name: name for name, field in model.model_fields.items()}
    for key in data:
        if key not in names and (meant := nearest(key, list(names))) is not None:
            made.__dict__.pop(names[meant], None)  # its value stands under the misspelt key
            made.model_fields_set.add(names[meant])
    for name, field in model.model_fields.items():
        key = field.alias or name
        if key not in data:
            continue
        made.model_fields_set.add(name)
        try:
            made.__dict__[name] = _value(model, name, data[key])
        except ValueError:
            made.__dict__.pop(name, None)
    return made


@cache
def _adapter(model: type[BaseModel], name: str) -> TypeAdapter[Any]:
    """What reads one field: made once, which takes longer than to read."""
    field = model.model_fields[name]
    kind: Any = field.annotation
    for part in field.metadata:
        kind = Annotated[kind, part]
    return TypeAdapter(kind)


def _value(model: type[BaseModel], name: str, value: Any) -> Any:
    """A field's value, models in it as far as they are right. ValueError where it is not."""
    try:
        return _adapter(model, name).validate_python(value)
    except ValidationError:
        below = _model_in(model.model_fields[name].annotation)
        if below is not None and isinstance(value, dict):
            return partial(below, value)
        if below is not None and isinstance(value, list) and all(isinstance(one, dict) for one in value):
            return tuple(partial(below, one) for one in value)
        raise


def _model_in(kind: Any) -> type[BaseModel] | None:
    """The one model that an annotation is about."""
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return kind
    if typing.get_origin(kind) is dict:  # its keys are the user's own
        return None
    found = [model for part in typing.get_args(kind) if (model := _model_in(part)) is not None]
    return found[0] if len(found) == 1 else None


def complaints(made: BaseModel, path: Path = ()) -> Iterator[tuple[Path, ValueError]]:
    """What the checks of a partial model and of those below it say, each with the model's path."""
    for name, check in type(made).__pydantic_decorators__.model_validators.items():
        if check.info.mode == "after":
            try:
                getattr(made, name)()
            except ValueError as error:
                yield path, error
            except UNREADABLE:
                continue
    for name, field in type(made).model_fields.items():
        value = made.__dict__.get(name)
        at = (*path, field.alias or name)
        if isinstance(value, BaseModel):
            yield from complaints(value, at)
        elif isinstance(value, tuple):
            for index, one in enumerate(value):
                if isinstance(one, BaseModel):
                    yield from complaints(one, (*at, index))
