"""Sections of the configuration that are config objects of the service's parts, with the names that those have."""

from __future__ import annotations

import ast
import dataclasses
import inspect
import textwrap
import typing
from collections.abc import Callable
from typing import Annotated, Any

from pydantic import AllowInfNan, BaseModel, ConfigDict, GetPydanticSchema, Strict, create_model
from pydantic_core import PydanticCustomError, core_schema

from mimc_proto.errors import LocalProtocolError

__all__ = ["OUT_OF_RANGE", "Flag", "Number", "Whole", "descriptions", "section"]

OUT_OF_RANGE = "out_of_range"
"""The type of the validation error for what a config object refuses; ``where`` of its context is the key."""


Whole = Annotated[int, Strict()]
"""Not the text of a number, nor true, which pydantic takes for 1."""
Number = Annotated[float, Strict(), AllowInfNan(False)]
Flag = Annotated[bool, Strict()]


_CONFIG = ConfigDict(extra="forbid", hide_input_in_errors=True)


def section(kind: type[Any]) -> GetPydanticSchema:
    """How a config object is read from a table of its fields; every field, and nothing else, may be in it."""
    model = _model(kind)

    def build(value: Any, validate: Callable[[Any], Any]) -> Any:
        if isinstance(value, kind):
            return value
        read = validate(value)
        try:
            return kind(**{name: getattr(read, name) for name in read.model_fields_set})
        except LocalProtocolError as error:
            where = error.where.partition(".")[2]
            raise PydanticCustomError(OUT_OF_RANGE, "{problem}", {"problem": error.problem, "where": where}) from None

    return GetPydanticSchema(
        lambda _, handler: core_schema.no_info_wrap_validator_function(build, handler.generate_schema(model))
    )


def _model(kind: type[Any]) -> type[BaseModel]:
    """The same fields, each of which may be missing."""
    types = typing.get_type_hints(kind)
    fields: dict[str, Any] = {}
    for field in dataclasses.fields(kind):
        declared = types[field.name]
        how = section(typing.cast(type[Any], declared)) if dataclasses.is_dataclass(declared) else Strict()
        fields[field.name] = (Annotated[declared, how], None)
    made: type[BaseModel] = create_model(kind.__name__, __config__=_CONFIG, **fields)
    return made


def descriptions(kind: type[Any]) -> dict[str, str]:
    """What stands below each field of a class and of those that it is made from, as one line each."""
    found: dict[str, str] = {}
    for base in reversed(kind.__mro__):
        if base.__module__.partition(".")[0].startswith("mimc"):
            found.update(_below_fields(base))
    return found


def _below_fields(kind: type[Any]) -> dict[str, str]:
    [tree] = ast.parse(textwrap.dedent(inspect.getsource(kind))).body
    assert isinstance(tree, ast.ClassDef)
    found: dict[str, str] = {}
    for field, below in zip(tree.body, tree.body[1:], strict=False):
        match field, below:
            case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(text))):
                found[name] = " ".join(text.split())
    return found
