"""JSON of HTTP answers: what is refused, and how errors speak of it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mimc_proto.errors import TokenError
from mimc_proto.session._json import MAX_BODY, MAX_DEPTH, JsonObject, described


def read(body: object) -> JsonObject:
    return JsonObject.read(body, "answer", TokenError)


def problem_of(body: object) -> str:
    with pytest.raises(TokenError) as caught:
        read(body)
    assert caught.value.where == "answer"
    assert caught.value.__context__ is None
    return caught.value.problem


@pytest.mark.parametrize("body", ['{"a": 1}', b'{"a": 1}', {"a": 1}, '\ufeff{"a": 1}', b'\xef\xbb\xbf{"a": 1}'])
def test_an_object_may_be_text_or_bytes_or_read_already(body: object) -> None:
    assert read(body).value("a") == 1


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        ("", "expected JSON, got 0 characters that are none: Expecting value at character 0"),
        ('{"a": 1', "expected JSON, got 7 characters that are none: Expecting ',' delimiter at character 7"),
        ("<html>", "expected JSON, got 6 characters that are none: Expecting value at character 0"),
        (b"{\xff}", "expected UTF-8, got 3 bytes that are none from byte 1 on"),
        ('{"\ud800": 1}', "expected UTF-8, got 10 bytes that are none from byte 2 on"),
        ("[1, 2]", "expected a JSON object, got a list of 2"),
        ('"secret"', "expected a JSON object, got text of 6 characters"),
        ("7", "expected a JSON object, got a number"),
        ("null", "expected a JSON object, got null"),
        ('{"a": NaN}', "expected JSON, which has no NaN"),
        ('{"a": -Infinity}', "expected JSON, which has no -Infinity"),
        ('{"a": 1, "b": 2, "a": 1}', "expected each key of an object once, got a more than once"),
        ('{"x": {"a\\n": 1, "a\\n": 1}}', "expected each key of an object once, got 'a\\n' more than once"),
        (f'{{"{"k" * 33}": 1, "{"k" * 33}": 1}}', "expected each key of an object once, got one of 33 characters more"),
        (f'{{"a": {"9" * 5000}}}', "expected JSON, got a number that is too long"),
        (7, "expected JSON as text or bytes, or the object in it, got a int"),
        (None, "expected JSON as text or bytes, or the object in it, got a NoneType"),
        (bytearray(b"{}"), "expected JSON as text or bytes, or the object in it, got a bytearray"),
    ],
)
def test_what_is_no_object_is_refused(body: object, problem: str) -> None:
    assert problem_of(body).startswith(problem)


@pytest.mark.parametrize("fill", ["x", "é", "\U0001f600"])
def test_a_body_has_at_most_64_kib(fill: str) -> None:
    room = MAX_BODY - len('{"a":""}')
    text = '{"a":"' + fill * (room // len(fill.encode())) + '"}'
    spaces = " " * (MAX_BODY - len(text.encode()))
    for body in (text + spaces, (text + spaces).encode()):
        assert read(body).value("a")
    for body in (text + spaces + " ", (text + spaces).encode() + b" "):
        assert problem_of(body) == "expected at most 65536 bytes, got more"


@pytest.mark.parametrize(("opening", "closing"), [("[", "]"), ('{"k":', "}")])
def test_a_body_is_nested_at_most_32_deep(opening: str, closing: str) -> None:
    def nested(levels: int) -> str:
        return '{"a":' + opening * (levels - 1) + "0" + closing * (levels - 1) + "}"

    assert "a" in read(nested(MAX_DEPTH))
    assert problem_of(nested(MAX_DEPTH + 1)) == "expected objects and lists to be nested at most 32 deep"
    assert problem_of('{"a":' + opening * 10_000).startswith("expected objects and lists to be nested")


def test_objects_and_lists_beside_each_other_do_not_nest() -> None:
    assert "a" in read({"a": [[{}], {}] * MAX_DEPTH})
    assert "a" in read(json.dumps({"a": [[{}], {}] * MAX_DEPTH}))


def test_what_was_closed_makes_no_room_for_more_depth() -> None:
    too_deep = "[" * MAX_DEPTH + "]" * MAX_DEPTH
    assert problem_of(f'{{"a": [{"[], {}, " * MAX_DEPTH}{too_deep}]}}').startswith("expected objects and lists to be")


def test_brackets_in_texts_do_not_nest() -> None:
    text = json.dumps({"a": '["\\{' * 100})
    assert read(text).value("a") == '["\\{' * 100
    assert "characters that are none" in problem_of('{"a": "' + "[" * 100)


def test_a_field_is_named_with_its_place() -> None:
    inner = read({"a": {"b": {}}}).object("a").object("b")
    assert inner.where == "answer.a.b"
    assert str(inner.wrong("c", "expected 1, got 2")) == "answer.a.b.c: expected 1, got 2"


def test_null_is_as_good_as_absent_and_not_the_same() -> None:
    values = read('{"a": null, "b": 0}')
    assert [values.absent(key) for key in "abc"] == [True, False, True]
    assert [key in values for key in "abc"] == [True, True, False]


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ({}, "expected an object, got nothing"),
        ({"k": "secret"}, "expected an object, got text of 6 characters"),
        ({"k": [1]}, "expected an object, got a list of 1"),
    ],
)
def test_an_object_is_an_object(value: Any, problem: str) -> None:
    with pytest.raises(TokenError) as caught:
        read(value).object("k")
    assert (caught.value.where, caught.value.problem) == ("answer.k", problem)


def test_a_text_is_checked_for_its_bytes() -> None:
    assert read({"k": "é"}).text("k", 2) == "é"
    assert read({"k": ""}).text("k", 2, empty=True) == ""


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ("", "expected 1 to 3 bytes, got 0"),
        ("éé", "expected 1 to 3 bytes, got 4"),
        ("\ud800", "expected text that UTF-8 can carry, got '\\ud800'"),
        (7, "expected text, got 7"),
        (None, "expected text, got null"),
        ({"token": "secret"}, "expected text, got an object with 1 keys"),
    ],
)
def test_what_is_no_such_text_is_named(value: object, problem: str) -> None:
    with pytest.raises(TokenError) as caught:
        read({"k": value}).text("k", 3)
    assert (caught.value.where, caught.value.problem) == ("answer.k", problem)
    assert caught.value.__context__ is None


@pytest.mark.parametrize("value", ["secret", "sec\ud800", 5463, 54.63])
def test_a_secret_text_is_not_shown(value: object) -> None:
    with pytest.raises(TokenError) as caught:
        read({"k": value}).text("k", 3, secret=True)
    assert "sec" not in repr(caught.value)
    assert "54" not in repr(caught.value)


@pytest.mark.parametrize("value", [0, 12, "0", "12", 2**63 - 1, "9223372036854775807"])
def test_a_number_may_be_a_text(value: int | str) -> None:
    assert read({"k": value}).whole("k", 0, 2**63 - 1) == int(value)


@pytest.mark.parametrize(
    ("value", "got"),
    [
        (-1, "-1"),
        (2**63, "9223372036854775808"),
        ("9223372036854775808", "'9223372036854775808'"),
        ("007", "'007'"),
        ("+7", "'+7'"),
        ("\u0667", "'\u0667'"),
        (" 7", "' 7'"),
        ("", "''"),
        ("9" * 5000, "'" + "9" * 76 + "..."),
        (7.0, "7.0"),
        (True, "true"),
        (None, "null"),
        ([7], "a list of 1"),
    ],
)
def test_what_is_no_such_number_is_shown(value: object, got: str) -> None:
    with pytest.raises(TokenError) as caught:
        read({"k": value}).whole("k", 0, 2**63 - 1)
    assert caught.value.problem == f"expected a whole number from 0 to 9223372036854775807, got {got}"


def test_a_number_that_python_does_not_write_down_is_only_named() -> None:
    with pytest.raises(TokenError, match="got a number"):
        read({"k": 10**5000}).whole("k", 0, 2**63 - 1)


def test_a_missing_number_is_nothing() -> None:
    with pytest.raises(TokenError, match=r"answer\.k: expected a whole number from 1 to 2, got nothing"):
        read({}).whole("k", 1, 2)


@pytest.mark.parametrize(
    ("value", "shown", "of_a_secret"),
    [
        ("abc", "'abc'", "text of 3 characters"),
        (7, "7", "a number"),
        (7.5, "7.5", "a number"),
        (1 << 64, "a number", "a number"),
        (False, "false", "false"),
        (None, "null", "null"),
        ((1, 2), "a list of 2", "a list of 2"),
        ({"a": 1}, "an object with 1 keys", "an object with 1 keys"),
        (b"abc", "a bytes", "a bytes"),
    ],
)
def test_values_are_described_by_what_they_are(value: object, shown: str, of_a_secret: str) -> None:
    assert described(value) == shown
    assert described(value, secret=True) == of_a_secret


@given(st.one_of(st.text(), st.binary(), st.text(alphabet='[]{}":,\\1eN \ud800')))
def test_nothing_undeclared_is_raised(body: str | bytes) -> None:
    try:
        found = read(body)
    except TokenError:
        return
    assert isinstance(json.loads(body.strip().removeprefix("\ufeff") if isinstance(body, str) else body), Mapping)
    assert found.where == "answer"
