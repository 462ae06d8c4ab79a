"""JSON answers of HTTP services, read without trust: bounded, each key once, every mistake with its place.

Errors show values only where they are no secret. No error keeps the one of the JSON decoder as its context: that
one holds the whole text, token and all.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping
from typing import NoReturn

from .._checks import check_text
from ..errors import LocalProtocolError, ProtocolError, shown, shown_name

__all__ = ["MAX_BODY", "MAX_DEPTH", "JsonObject", "described"]

MAX_BODY = 64 * 1024
"""Bytes of an answer: a token answer has about 600, a resolver answer with 64 addresses less than 4 KiB."""

MAX_DEPTH = 32
"""Levels of objects and lists; answers have five at most."""

_NOTHING = object()
_LONGEST_KEY = 32
_DIGITS = re.compile("0|[1-9][0-9]{0,18}")
_STRINGS_AND_BRACKETS = re.compile(r'"(?:[^"\\]|\\.)*+"?+|[\[{\]}]', re.DOTALL)


class JsonObject:
    """One object of an answer. It knows its place, and the error that is raised for what is wrong in it."""

    __slots__ = ("_error", "_values", "where")

    def __init__(self, values: Mapping[str, object], where: str, error: type[ProtocolError]) -> None:
        self._values = values
        self._error = error
        self.where = where

    @classmethod
    def read(cls, body: object, where: str, error: type[ProtocolError]) -> JsonObject:
        """The object that a whole answer is: JSON text, as bytes or not, or an object that was read before."""
        try:
            value = body if isinstance(body, Mapping) else _parse(_text(body))
        except _RefusedError as refused:
            problem = str(refused)
        else:
            if isinstance(value, Mapping):
                return cls(value, where, error)
            problem = f"expected a JSON object, got {described(value, secret=True)}"
        raise error(problem, where=where)

    def __contains__(self, key: str) -> bool:
        return key in self._values

    def place(self, key: str) -> str:
        """Where a field is, as errors say it."""
        return f"{self.where}.{key}"

    def value(self, key: str) -> object:
        """The value of a field; of one that is absent a value that is described as "nothing"."""
        return self._values.get(key, _NOTHING)

    def absent(self, key: str) -> bool:
        """Whether a field is missing or null."""
        return self._values.get(key) is None

    def wrong(self, key: str, problem: str) -> ProtocolError:
        """The error to raise for what is wrong with a field."""
        return self._error(problem, where=self.place(key))

    def object(self, key: str) -> JsonObject:
        """The object in a field."""
        value = self.value(key)
        if not isinstance(value, Mapping):
            # what is there instead may be anything, also a token
            raise self.wrong(key, f"expected an object, got {described(value, secret=True)}")
        return JsonObject(value, self.place(key), self._error)

    def text(self, key: str, most: int, *, empty: bool = False, secret: bool = False) -> str:
        """The text in a field, of 1 (``empty``: 0) to ``most`` bytes."""
        value = self.value(key)
        if type(value) is not str:
            raise self.wrong(key, f"expected text, got {described(value, secret=secret)}")
        try:
            return check_text(value, key, most, empty=empty, secret=secret)
        except LocalProtocolError as error:
            problem = error.problem
        raise self.wrong(key, problem)

    def whole(self, key: str, least: int, most: int) -> int:
        """The whole number in a field, or in the text in it: JavaScript would round a large number (rest.md)."""
        value = self.value(key)
        number = int(value) if type(value) is str and _DIGITS.fullmatch(value) else value
        if type(number) is not int or not least <= number <= most:
            raise self.wrong(key, f"expected a whole number from {least} to {most}, got {described(value)}")
        return number


def described(value: object, *, secret: bool = False) -> str:
    """What a value is, short and without what is inside objects and lists; of a ``secret`` only type and length."""
    if isinstance(value, Mapping):
        return f"an object with {len(value)} keys"
    if isinstance(value, (list, tuple)):
        return f"a list of {len(value)}"
    if value is _NOTHING:
        return "nothing"
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if type(value) is str:
        return f"text of {len(value)} characters" if secret else shown(value)
    if type(value) is int and value.bit_length() <= 64:  # Python refuses to write down a very long one
        return "a number" if secret else str(value)
    if type(value) in (int, float):
        return "a number" if secret or type(value) is int else shown(value)
    return f"a {type(value).__name__}"


class _RefusedError(ValueError):
    """The text is no JSON that we take; says why, without the text."""


def _text(body: object) -> str:
    if not isinstance(body, (str, bytes)):
        raise _RefusedError(f"expected JSON as text or bytes, or the object in it, got a {type(body).__name__}")
    data = body if isinstance(body, bytes) else body[: MAX_BODY + 1].encode("utf-8", "surrogatepass")
    if len(data) > MAX_BODY:
        raise _RefusedError(f"expected at most {MAX_BODY} bytes, got more")
    try:
        return data.decode().removeprefix("\ufeff")  # the mark that some servers put before their UTF-8
    except UnicodeDecodeError as error:
        problem = f"expected UTF-8, got {len(data)} bytes that are none from byte {error.start} on"
    raise _RefusedError(problem)


def _parse(text: str) -> object:
    if _depth(text) > MAX_DEPTH:
        raise _RefusedError(f"expected objects and lists to be nested at most {MAX_DEPTH} deep")
    try:
        return json.loads(text, object_pairs_hook=_each_once, parse_constant=_no_constant)
    except _RefusedError:
        raise
    except json.JSONDecodeError as error:
        problem = f"expected JSON, got {len(text)} characters that are none: {error.msg} at character {error.pos}"
    except ValueError:  # so many digits that Python does not count them
        problem = "expected JSON, got a number that is too long"
    raise _RefusedError(problem)


def _depth(text: str) -> int:
    """How deep objects and lists are nested, known before the decoder recurses that deep."""
    depth = deepest = 0
    for match in _STRINGS_AND_BRACKETS.finditer(text):
        if match[0] in "[{":
            depth += 1
            deepest = max(deepest, depth)
        elif match[0] in "]}":
            depth -= 1
    return deepest


def _each_once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    values = dict(pairs)
    if len(values) != len(pairs):
        [(key, _)] = Counter(key for key, _ in pairs).most_common(1)
        name = shown_name(key) if len(key) <= _LONGEST_KEY else f"one of {len(key)} characters"
        raise _RefusedError(f"expected each key of an object once, got {name} more than once")
    return values


def _no_constant(name: str) -> NoReturn:
    raise _RefusedError(f"expected JSON, which has no {name}")
