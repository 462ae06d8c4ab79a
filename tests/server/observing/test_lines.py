"""Log lines: what peers chose forges neither a line nor a field, for people and for programs."""

from __future__ import annotations

import json
import logging
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mimc_server.observing import JsonFormatter, TextFormatter
from mimc_server.observing.lines import FIELDS, LONGEST

TIME = "2023-11-15T12:00:00.250Z"


def record(message: str, fields: dict[str, Any] | None = None, **options: Any) -> logging.LogRecord:
    made = logging.LogRecord("mimc.server", logging.INFO, "here.py", 1, message, (), options.get("exc_info"))
    made.created = 1_700_049_600.25
    if fields is not None:
        setattr(made, FIELDS, fields)
    return made


def as_text(message: str, fields: dict[str, Any] | None = None, **options: Any) -> str:
    return TextFormatter().format(record(message, fields, **options))


def as_json(message: str, fields: dict[str, Any] | None = None, **options: Any) -> Any:
    return json.loads(JsonFormatter().format(record(message, fields, **options)))


def test_a_line_for_people_has_time_level_event_and_fields() -> None:
    line = as_text("login", {"account": "alice", "peer": "2001:db8::7", "suppressed": None})
    assert line == f"{TIME} INFO    login account=alice peer=2001:db8::7"


def test_a_line_for_programs_has_the_same() -> None:
    assert as_json("login", {"account": "alice", "uuid": 7, "suppressed": None}) == {
        "time": TIME,
        "level": "info",
        "logger": "mimc.server",
        "event": "login",
        "account": "alice",
        "uuid": 7,
    }


def test_names_of_all_languages_stay_readable() -> None:
    assert as_text("login", {"account": "小明"}).endswith("account=小明")


@pytest.mark.parametrize(
    "name",
    [
        "alice\n2023-11-15T12:00:00.250Z INFO    login account=root",
        "a b",
        "a=b",
        "\x1b[2J",
        "a\u2028b",
        "\u202eabc",
        "",
    ],
)
def test_what_is_more_than_a_word_is_quoted(name: str) -> None:
    line = as_text("login", {"account": name})
    assert line == f"{TIME} INFO    login account={name!r}"[: len(line)]
    assert len(line.splitlines()) == 1


@given(st.text(), st.text())
def test_no_value_makes_a_line_or_a_field(account: str, resource: str) -> None:
    fields = {"account": account, "resource": resource}
    line = as_text("login", fields)
    assert line.isprintable()
    head, _, told = line.partition(" login ")
    assert head.startswith(TIME)
    # a field begins where a word does outside of quotes, and only ours do
    names, quote, last = [], "", " "
    for at, char in enumerate(told):
        if quote:
            escaped = (len(told[:at]) - len(told[:at].rstrip("\\"))) % 2
            quote = "" if char == quote and not escaped else quote
        elif char in "'\"":
            quote = char
        elif last == " ":
            names.append(told[at:].partition("=")[0])
        last = char
    assert names == ["account", "resource"]
    shown = JsonFormatter().format(record("login", fields))
    assert shown.isascii()
    assert shown.isprintable()
    assert {name: json.loads(shown)[name] for name in fields} == fields


def test_lines_of_other_libraries_are_one_line_each() -> None:
    forged = "x\n2023 INFO login"
    assert as_text(forged) == f"{TIME} INFO    mimc.server: x\\n2023 INFO login"
    assert as_json(forged)["message"] == forged
    assert len(as_text("x" * 5000)) < LONGEST + 100


def test_tracebacks_follow_their_line_and_begin_like_none() -> None:
    try:
        raise ValueError("one\ntwo")
    except ValueError:
        error = sys.exc_info()
    first, *others = as_text("it failed", exc_info=error).splitlines()
    assert first == f"{TIME} INFO    mimc.server: it failed"
    assert {line[:6] for line in others} == {"    | "}
    assert others[-2:] == ["    | ValueError: one", "    | two"]
    assert as_json("it failed", exc_info=error)["exception"].endswith("ValueError: one\ntwo")
