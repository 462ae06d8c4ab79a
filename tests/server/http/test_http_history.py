"""Histories: rest.md 4."""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any

import pytest
from mimc_server.http import history
from mimc_server.store import Kind, StoreConfig
from support.http_town import APP, BY_SECRET, NOON, OTHER, HttpTown
from support.store_bed import DAY

pytestmark = pytest.mark.anyio

PAIR = {"toAccount": "bob", "fromAccount": "alice"}
ALL_DAY = {"utcFromTime": NOON, "utcToTime": NOON + DAY}
ALL = {"startSeq": 0, "stopSeq": (1 << 63) - 1}
SLASHES = pytest.mark.parametrize("slash", ["", "/"])


def payloads(data: Any) -> list[bytes]:
    return [base64.b64decode(message["payload"]) for message in data["messages"]]


def talk(town: HttpTown, *said: tuple[str, str | int], apart: int = 1000, **changes: Any) -> list[int]:
    """The sequences of messages, one a second, with the payloads 0, 1, 2, ...; the first is of noon."""
    sequences = []
    for number, (sender, target) in enumerate(said):
        sequences.append(town.say(sender, target, b"%d" % number, **changes).sequence)
        town.now += apart
    return sequences


# ------------------------------------------------------------------------------------------------------- of two users


@SLASHES
@pytest.mark.parametrize("path", ["query", "queryOnTime"])
async def test_two_users_see_what_they_said_both_ways(town: HttpTown, path: str, slash: str) -> None:
    sequences = talk(town, ("alice", "bob"), ("bob", "alice"), ("alice", "carol"))
    for caller in ("alice", "bob"):
        data = await town.data("POST", f"/api/msg/p2p/{path}{slash}", json={**PAIR, **ALL_DAY}, by=caller)
        assert data == {
            "appId": str(APP.app_id),
            "row": 2,
            "timestamp": NOON,
            "more": False,
            "messages": [
                {
                    "sequence": str(sequences[0]),
                    "payload": "MA==",
                    "ts": NOON,
                    "fromAccount": "alice",
                    "toAccount": "bob",
                    "bizType": "",
                },
                {
                    "sequence": str(sequences[1]),
                    "payload": "MQ==",
                    "ts": NOON + 1000,
                    "fromAccount": "bob",
                    "toAccount": "alice",
                    "bizType": "",
                },
            ],
        }


@pytest.mark.parametrize("convert", [int, str])
@pytest.mark.parametrize(
    ("begin", "end", "expected"),
    [(0, 3000, [b"0", b"1", b"2"]), (1000, 2000, [b"1"]), (1001, 2000, []), (999, 2001, [b"1", b"2"]), (5, 5, [])],
)
async def test_a_time_begins_and_ends_before_its_end(
    town: HttpTown, begin: int, end: int, expected: list[bytes], convert: Any
) -> None:
    talk(town, *[("alice", "bob")] * 3)
    span = {"utcFromTime": convert(NOON + begin), "utcToTime": convert(NOON + end)}
    data = await town.data("POST", "/api/msg/p2p/queryOnTime", json={**PAIR, **span}, by="alice")
    assert payloads(data) == expected
    assert data["row"] == len(expected)


@SLASHES
@pytest.mark.parametrize("path", ["queryOnCount", "queryOnCount/v2"])
async def test_a_count_gives_the_newest_before_a_time_and_goes_on_where_it_began(
    town: HttpTown, path: str, slash: str
) -> None:
    talk(town, *[("alice", "bob")] * 5)
    asked = {**PAIR, "count": "2", "extraFilterMap": {"read": "1"}, "getAllExtra": True}
    before, seen = NOON + 4000, []
    while True:
        body = {**asked, "utcToTime": before}
        data = await town.data("POST", f"/api/msg/p2p/{path}{slash}", json=body, by="bob")
        if not data["row"]:
            break
        seen.append(payloads(data))
        assert data["timestamp"] == data["messages"][0]["ts"]
        before = data["timestamp"]
    assert seen == [[b"2", b"3"], [b"0", b"1"]]
    assert (data["messages"], data["timestamp"], data["more"]) == ([], 0, False)


@SLASHES
async def test_sequences_begin_and_end_before_their_end(town: HttpTown, slash: str) -> None:
    sequences = talk(town, *[("alice", "bob")] * 4)
    for convert in (int, str):
        body = {**PAIR, "startSeq": convert(sequences[1]), "stopSeq": convert(sequences[3])}
        data = await town.data("POST", f"/api/msg/p2p/queryOnSequence{slash}", json=body, by="alice")
        assert payloads(data) == [b"1", b"2"]
        assert [message["sequence"] for message in data["messages"]] == [str(number) for number in sequences[1:3]]


async def test_bytes_of_any_kind_come_as_base64(town: HttpTown) -> None:
    payload = bytes(range(256)) * 60
    town.say("alice", "bob", payload, biz_type="TEXT")
    data = await town.data("POST", "/api/msg/p2p/queryOnTime", json={**PAIR, **ALL_DAY}, by="alice")
    assert (payloads(data), data["messages"][0]["bizType"]) == ([payload], "TEXT")


async def test_a_biz_type_chooses_and_other_extras_do_not(town: HttpTown) -> None:
    for number, biz_type in enumerate(["TEXT", "READ", None, "TEXT"]):
        town.say("alice", "bob", b"%d" % number, biz_type=biz_type)
    for biz_type, expected in (("TEXT", [b"0", b"3"]), ("READ", [b"1"]), ("", 4), (None, 4), ("no", [])):
        body = {**PAIR, **ALL_DAY, "bizType": biz_type, "extra": "x"}
        found = payloads(await town.data("POST", "/api/msg/p2p/queryOnTime", json=body, by="alice"))
        assert found == expected or len(found) == expected
    body = {**PAIR, "utcToTime": NOON + 1, "count": 1, "bizType": "READ"}
    assert payloads(await town.data("POST", "/api/msg/p2p/queryOnCount", json=body, by="alice")) == [b"1"]


async def test_messages_to_oneself_have_a_history(town: HttpTown) -> None:
    talk(town, ("alice", "alice"), ("alice", "bob"))
    body = {"toAccount": "alice", "fromAccount": "alice", **ALL_DAY}
    assert payloads(await town.data("POST", "/api/msg/p2p/query", json=body, by="alice")) == [b"0"]


async def test_with_somebody_unknown_nothing_was_said_and_nobody_is_made(town: HttpTown) -> None:
    body = {"toAccount": "stranger", "fromAccount": "alice", **ALL_DAY}
    data = await town.data("POST", "/api/msg/p2p/queryOnTime", json=body, by="alice")
    assert (data["messages"], data["row"], data["timestamp"]) == ([], 0, 0)
    assert town.accounts() == {"alice"}


async def test_what_was_not_to_be_kept_is_in_no_history(town: HttpTown) -> None:
    talk(town, ("alice", "bob"), is_store=False)
    assert (await town.data("POST", "/api/msg/p2p/query", json={**PAIR, **ALL_DAY}, by="bob"))["row"] == 0


async def test_what_is_older_than_the_history_is_gone(make_town: Callable[..., HttpTown]) -> None:
    town = make_town(StoreConfig(retention=60.0, history=60.0))
    talk(town, ("alice", "bob"), apart=61_000)
    town.store.sweep(town.now)
    assert (await town.data("POST", "/api/msg/p2p/query", json={**PAIR, **ALL_DAY}, by="bob"))["row"] == 0


# ---------------------------------------------------------------------------------------------------------- of groups

FORMS = [
    ("p2t/query", ALL_DAY),
    ("p2t/queryOnTime", ALL_DAY),
    ("p2t/queryOnCount", {"utcToTime": NOON + DAY, "count": 20}),
    ("p2t/queryOnCount/v2", {"utcToTime": NOON + DAY, "count": 20}),
    ("p2t/queryOnSequence", ALL),
    ("p2u/queryOnTime", ALL_DAY),
    ("p2u/queryOnCount", {"utcToTime": NOON + DAY, "count": 20}),
]
GROUP_FORMS = pytest.mark.parametrize(("form", "span"), FORMS, ids=[form for form, _ in FORMS])
PAIR_FORMS = pytest.mark.parametrize(("form", "span"), [(form.replace("p2t", "p2p"), span) for form, span in FORMS[:5]])


async def with_messages(town: HttpTown, form: str) -> str:
    """A group of Alice and Bob, where something was said."""
    if form.startswith("p2u"):
        topic_id = await town.unlimited_group("alice", "bob")
        talk(town, ("alice", int(topic_id)), ("bob", int(topic_id)), kind=Kind.UNLIMITED)
    else:
        topic_id = await town.group("alice", "bob")
        talk(town, ("alice", int(topic_id)), ("bob", int(topic_id)))
    return topic_id


@SLASHES
@GROUP_FORMS
async def test_members_see_what_was_said_in_their_group(town: HttpTown, form: str, span: Any, slash: str) -> None:
    topic_id = await with_messages(town, form)
    for convert in (int, str):
        body = {"account": "bob", "topicId": convert(topic_id), "appId": APP.app_id, **span}
        data = await town.data("POST", f"/api/msg/{form}{slash}", json=body, by="bob")
        messages = data.pop("messages")
        expected = {"appId": str(APP.app_id), "topicId": topic_id, "row": 2, "timestamp": NOON, "more": False}
        assert data == expected
        assert [message["fromAccount"] for message in messages] == ["alice", "bob"]
        assert set(messages[0]) == {"sequence", "payload", "ts", "fromAccount", "bizType"}


@GROUP_FORMS
async def test_others_do_not(town: HttpTown, form: str, span: Any) -> None:
    topic_id = await with_messages(town, form)
    town.member("mallory")
    path = f"/api/msg/{form}"
    for account in ("mallory", "bob", "stranger"):
        body = {"account": account, "topicId": topic_id, **span}
        assert (await town.failure("POST", path, json=body, by="mallory"))[0] == 403
    body = {"account": "bob", "topicId": topic_id, **span}
    assert (await town.failure("POST", path, json={**body, "topicId": "1"}, by="bob"))[0] == 404
    assert (await town.failure("POST", path, json={**body, "appId": OTHER.app_id}, by="bob"))[0] == 404
    assert (await town.failure("POST", path, json=body))[0] == 401
    foreign = {"appKey": "its key", "appSecret": "its secret", "appAccount": "bob"}
    assert (await town.failure("POST", path, json=body, headers=foreign))[0] == 404
    unlimited = form.startswith("p2u")
    assert town.store.remove_members(int(topic_id), [town.member("bob").uuid], unlimited=unlimited) is None
    assert (await town.failure("POST", path, json=body, by="bob"))[0] == 403
    assert "stranger" not in town.accounts()


@GROUP_FORMS
async def test_the_applications_server_sees_what_a_member_does(town: HttpTown, form: str, span: Any) -> None:
    topic_id = await with_messages(town, form)
    server = {**BY_SECRET, "appAccount": "server"}
    body = {"account": "bob", "topicId": topic_id, **span}
    assert (await town.data("POST", f"/api/msg/{form}", json=body, headers=server))["row"] == 2
    body = {"account": "server", "topicId": topic_id, **span}
    assert (await town.failure("POST", f"/api/msg/{form}", json=body, headers=server))[0] == 403


@PAIR_FORMS
async def test_only_the_two_and_their_application_see_what_they_said(town: HttpTown, form: str, span: Any) -> None:
    talk(town, ("alice", "bob"))
    path, body = f"/api/msg/{form}", {**PAIR, **span}
    assert (await town.failure("POST", path, json=body, by="mallory"))[0] == 403
    assert (await town.failure("POST", path, json=body))[0] == 401
    assert (await town.failure("POST", path, json={**body, "appId": OTHER.app_id}, by="bob"))[0] == 404
    server = {**BY_SECRET, "appAccount": "server"}
    assert (await town.data("POST", path, json=body, headers=server))["row"] == 1
    foreign = {"appKey": "its key", "appSecret": "its secret", "appAccount": "bob"}
    assert (await town.data("POST", path, json=body, headers=foreign))["row"] == 0


# ------------------------------------------------------------------------------------------------------------- limits


@pytest.mark.parametrize(
    ("form", "body", "named"),
    [
        ("queryOnTime", {"utcFromTime": NOON, "utcToTime": NOON + DAY + 1}, "a day"),
        ("queryOnTime", {"utcFromTime": 0, "utcToTime": (1 << 63) - 1}, "a day"),
        ("queryOnTime", {"utcFromTime": NOON + 1, "utcToTime": NOON}, "utcFromTime"),
        ("queryOnTime", {"utcFromTime": -1, "utcToTime": NOON}, "utcFromTime"),
        ("queryOnTime", {"utcFromTime": NOON}, "utcToTime"),
        ("queryOnTime", {"utcFromTime": NOON, "utcToTime": 1 << 63}, "utcToTime"),
        ("queryOnTime", {"utcFromTime": float(NOON), "utcToTime": NOON}, "utcFromTime"),
        ("queryOnTime", {**ALL_DAY, "bizType": "x" * 1025}, "bizType"),
        ("queryOnTime", {**ALL_DAY, "bizType": 7}, "bizType"),
        ("queryOnTime", {**ALL_DAY, "toAccount": ""}, "toAccount"),
        ("queryOnTime", {**ALL_DAY, "fromAccount": None}, "fromAccount"),
        ("queryOnCount", {"utcToTime": NOON, "count": 0}, "count"),
        ("queryOnCount", {"utcToTime": NOON, "count": history.MAX_COUNT + 1}, str(history.MAX_COUNT)),
        ("queryOnCount", {"utcToTime": NOON, "count": 1 << 62}, "count"),
        ("queryOnCount", {"utcToTime": NOON}, "count"),
        ("queryOnSequence", {"startSeq": 2, "stopSeq": 1}, "startSeq"),
        ("queryOnSequence", {"startSeq": "1'--", "stopSeq": 1}, "startSeq"),
    ],
)
async def test_what_makes_no_sense_is_named(form: str, body: Any, named: str) -> None:
    code, message = await HttpTown().failure("POST", f"/api/msg/p2p/{form}", json={**PAIR, **body}, by="alice")
    assert (code, named in message) == (400, True), message


async def test_times_far_away_are_times(town: HttpTown) -> None:
    talk(town, ("alice", "bob"))
    body = {**PAIR, "utcToTime": (1 << 63) - 1, "count": 1}
    assert payloads(await town.data("POST", "/api/msg/p2p/queryOnCount", json=body, by="alice")) == [b"0"]


def limited(monkeypatch: pytest.MonkeyPatch, **limits: int) -> None:
    for name, value in limits.items():
        monkeypatch.setattr(history, name, value)


@pytest.mark.parametrize("chunk", [1, 2, 3, 4, 5, 100])
async def test_an_answer_is_bounded_and_says_so(town: HttpTown, monkeypatch: pytest.MonkeyPatch, chunk: int) -> None:
    """By sequence one goes on after the last message, and misses none."""
    limited(monkeypatch, MAX_MESSAGES=2, _CHUNK=chunk)
    talk(town, *[("alice", "bob")] * 5, apart=0)
    start, seen = 0, []
    ends: list[bool] = []
    while not ends or ends[-1]:
        body = {**PAIR, **ALL, "startSeq": start}
        data = await town.data("POST", "/api/msg/p2p/queryOnSequence", json=body, by="alice")
        seen.append(payloads(data))
        ends.append(data["more"])
        start = int(data["messages"][-1]["sequence"]) + 1
    assert (seen, ends) == ([[b"0", b"1"], [b"2", b"3"], [b"4"]], [True, True, False])


@pytest.mark.parametrize("chunk", [1, 2, 3, 100])
async def test_an_answer_is_bounded_in_bytes_as_well(
    town: HttpTown, monkeypatch: pytest.MonkeyPatch, chunk: int
) -> None:
    limited(monkeypatch, MAX_BYTES=20, _CHUNK=chunk)
    for number in range(3):
        town.say("alice", "bob", b"%d" % number * 10)
    data = await town.data("POST", "/api/msg/p2p/queryOnTime", json={**PAIR, **ALL_DAY}, by="alice")
    assert (data["row"], data["more"]) == (2, True)


@pytest.mark.parametrize("chunk", [1, 2, 3, 100])
async def test_the_newest_are_bounded_from_the_other_end(
    town: HttpTown, monkeypatch: pytest.MonkeyPatch, chunk: int
) -> None:
    limited(monkeypatch, _CHUNK=chunk)
    talk(town, *[("alice", "bob")] * 5)
    for count, expected in ((2, [b"3", b"4"]), (5, [b"0", b"1", b"2", b"3", b"4"])):
        body = {**PAIR, "utcToTime": NOON + DAY, "count": count}
        data = await town.data("POST", "/api/msg/p2p/queryOnCount", json=body, by="alice")
        assert (payloads(data), data["more"]) == (expected, count == 2)


async def test_only_so_many_are_looked_at_for_those_of_one_kind(
    town: HttpTown, monkeypatch: pytest.MonkeyPatch
) -> None:
    limited(monkeypatch, _CHUNK=2, MAX_EXAMINED=4)
    talk(town, *[("alice", "bob")] * 5)
    town.say("alice", "bob", b"late", biz_type="TEXT")
    body = {**PAIR, **ALL_DAY, "bizType": "TEXT"}
    data = await town.data("POST", "/api/msg/p2p/queryOnTime", json=body, by="alice")
    assert (data["row"], data["more"]) == (0, True)


async def test_a_clock_set_back_hides_nothing_from_who_goes_on_by_count(town: HttpTown) -> None:
    """A message has the time of its sequence, which never goes back."""
    talk(town, *[("alice", "bob")] * 2)
    town.now = NOON - 1000
    talk(town, *[("alice", "bob")] * 2)
    before, seen = NOON + 1001, []
    for _ in range(2):
        body = {**PAIR, "utcToTime": before, "count": 3}
        data = await town.data("POST", "/api/msg/p2p/queryOnCount", json=body, by="alice")
        seen += [int(text) for text in payloads(data)]
        before = data["timestamp"]
    assert sorted(seen) == [0, 0, 1, 1]
