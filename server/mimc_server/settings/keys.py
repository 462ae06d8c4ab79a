"""All keys there are, found in the model: for the loader, and for whoever prints them."""

from __future__ import annotations

import dataclasses
import functools
import inspect
import types
import typing
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import BaseModel, SecretStr

from .model import BESIDE, Settings
from .sections import descriptions

__all__ = ["PREFIX", "Key", "Section", "environment_name", "keys", "sections"]

PREFIX = "MIMC_"


class Key(NamedTuple):
    """Something that can be set. ``kind`` is its type without None, which ``optional`` stands for; ``beside``: a path
    that in a file is relative to its folder."""

    name: str
    kind: Any
    optional: bool
    beside: bool
    default: object
    text: str

    @property
    def secret(self) -> bool:
        """Whether its value may not be shown."""
        return self.kind is SecretStr

    @property
    def expected(self) -> str:
        """What its value has to be, for people."""
        if typing.get_origin(self.kind) is Literal:
            return " or ".join(f'"{choice}"' for choice in typing.get_args(self.kind))
        return _EXPECTED.get(self.kind, "a list of HOST:PORT")

    def of(self, settings: Settings) -> Any:
        """Its value."""
        return functools.reduce(getattr, self.name.split("."), settings)


class Section(NamedTuple):
    """A table of the file with its keys; the first has no name."""

    name: str
    text: str
    keys: list[Key]


_EXPECTED = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "text",
    Path: "a path as text",
    SecretStr: "text",
}


def environment_name(key: str) -> str:
    """The environment variable of a key.

    Two underscores stand for the dot: with one, ``MIMC_SERVICE_HOST`` would be ``service.host``, and Kubernetes sets
    that in every container if a service there is named ``mimc``.
    """
    return PREFIX + key.replace(".", "__").upper()


@functools.cache
def sections() -> list[Section]:
    """All of them, in the order of the model."""
    return _of_model(Settings, Settings(), "", inspect.cleandoc("Of the server as a whole."))


def _of_model(kind: type[Any], values: Any, path: str, text: str) -> list[Section]:
    """The section of a model or a dataclass, and those within it."""
    own, inner = Section(path, text, []), []
    below = descriptions(kind)
    for name, declared, marks in _fields(kind):
        value, full = getattr(values, name), f"{path}.{name}" if path else name
        if isinstance(value, BaseModel) or (dataclasses.is_dataclass(value) and not isinstance(value, type)):
            about = below.get(name) or inspect.cleandoc(type(value).__doc__ or "").split("\n\n")[0]
            inner += _of_model(type(value), value, full, about)
        else:
            plain, optional = _without_none(declared)
            own.keys.append(Key(full, plain, optional, BESIDE in marks, value, below[name]))
    return [own, *inner]


def _fields(kind: type[Any]) -> list[tuple[str, Any, list[Any]]]:
    """Names, types and what the types are marked with."""
    if issubclass(kind, BaseModel):
        return [(name, field.annotation, field.metadata) for name, field in kind.model_fields.items()]
    declared = typing.get_type_hints(kind)
    return [(field.name, declared[field.name], []) for field in dataclasses.fields(kind)]


def _without_none(declared: Any) -> tuple[Any, bool]:
    if typing.get_origin(declared) not in (typing.Union, types.UnionType):
        return declared, False
    [plain] = [one for one in typing.get_args(declared) if one is not type(None)]
    return plain.__origin__ if typing.get_origin(plain) is Annotated else plain, True


@functools.cache
def keys() -> dict[str, Key]:
    """All keys by their names."""
    return {key.name: key for section in sections() for key in section.keys}
