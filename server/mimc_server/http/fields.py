"""What the fields of requests and answers are made of; names of the wire (``topicId``) are ours in camel case."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema
from pydantic.alias_generators import to_camel
from pydantic_core import PydanticCustomError

from mimc_proto._checks import MAX_NAME

__all__ = ["MAX_EXTRA", "Answered", "Asked", "Extra", "Id", "Name", "Number", "Text", "whole_number"]

MAX_EXTRA = 10 * 1024
"""Bytes of a group's ``extra`` (rest.md, Numbers)."""

_END = 1 << 63
_MOST_DIGITS = 19


def whole_number(value: Any) -> int:
    """A number, or the same as text: nothing else that Python would take for one. Raises `PydanticCustomError`."""
    if type(value) is str and value.isascii() and value.isdigit() and len(value) <= _MOST_DIGITS:
        value = int(value)
    if type(value) is not int or not 0 <= value < _END:
        problem = "expected a whole number from 0 to 2**63 - 1, or the same as text"
        raise PydanticCustomError("whole_number", problem)
    return value


def _schema(least: int) -> WithJsonSchema:
    number = {"type": "integer", "minimum": least, "maximum": _END - 1}
    return WithJsonSchema({"anyOf": [number, {"type": "string", "pattern": "^[0-9]{1,18}$"}]})


def _of_bytes(most: int) -> AfterValidator:
    def check(text: str) -> str:
        size = len(text.encode())
        if size > most:
            raise PydanticCustomError(
                "too_long", "expected at most {most} bytes, got {size}", {"most": most, "size": size}
            )
        return text

    return AfterValidator(check)


Number = Annotated[int, BeforeValidator(whole_number), _schema(0)]
"""From 0: a time in Unix milliseconds, a sequence, a count."""

Id = Annotated[int, BeforeValidator(whole_number), Field(gt=0), _schema(1)]
"""Of an application, a group or a user."""

Text = Annotated[str, Field(max_length=MAX_NAME), _of_bytes(MAX_NAME)]
"""At most 1 024 bytes of UTF-8."""

Name = Annotated[str, Field(min_length=1, max_length=MAX_NAME), _of_bytes(MAX_NAME)]
"""An account."""

Extra = Annotated[str, Field(max_length=MAX_EXTRA), _of_bytes(MAX_EXTRA)]
"""An application's own data."""


class Asked(BaseModel):
    """The body of a request; fields that it does not know are ignored."""

    model_config = ConfigDict(alias_generator=to_camel)


class Answered(BaseModel):
    """The data of an answer; ids are text, because JavaScript rounds numbers of 64 bits."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True)
