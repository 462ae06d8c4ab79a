"""Any text that a client may choose is data: it comes back as it was, and nothing else happens to the store."""

from __future__ import annotations

import base64
import itertools
import json
import unicodedata
from typing import Any

import pytest
from mimc_server.store import AckCode, Conversation, Kind, SqliteStore
from support.http_town import APP, LOGIN, OTHER
from support.wired_town import WiredTown, heard, messages, sent

from mimc_proto.packets import Group, P2PMessage, P2TMessage, Packet, PacketAck, UcMessage, UcPacket, User

pytestmark = pytest.mark.anyio

TEXTS = [
    "'; DROP TABLE message; --",
    "' OR '1'='1",
    '" OR ""="',
    "x') ON CONFLICT DO NOTHING; DELETE FROM user; --",
    "1; ATTACH DATABASE '/tmp/x' AS y",
    "?1 :name @x $y",
    "%",
    "_____",
    "*",
    "a\0b",
    "\0",
    "\\",
    "`[]`",
    "\x1b[31m\r\nSet-Cookie: a=b",
    "\ufeffalice",
    "\u202ecilbup",
    "e\u0301",
    "\u00e9",
    "\uffff",
    "\U0010fffd",
    "米聊🙂",
    "NULL",
    "0",
    "1e3",
    "ALICE",
    "alice ",
    " alice",
]
TABLES = {"application", "block", "conversation", "counter", "cursor", "inbox", "member", "message"}
TABLES |= {"repeat", "sequence", "setting", "topic", "topic_block", "user"}


def assert_whole(town: WiredTown) -> None:
    """The database is as this program makes it."""
    store = town.store
    if isinstance(store, SqliteStore):
        rows = store._connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
        assert {name for (name,) in rows} == TABLES
        assert store.check() == []
        attached = {name for _, name, _ in store._connection.execute("PRAGMA database_list").fetchall()}
        assert attached <= {"main", "temp"}


async def asked(town: WiredTown, method: str, path: str, **options: Any) -> Any:
    return await town.data(method, path, **options)


async def test_any_text_may_be_an_account_and_is_nobody_elses(town: WiredTown) -> None:
    """Not even of one that looks the same: there is no folding of case, of spaces, or of what is made of two signs."""
    assert unicodedata.normalize("NFC", "e\u0301") == "\u00e9"
    uuids = {}
    for text in TEXTS:
        data = await asked(town, "POST", "/api/account/token", json={**LOGIN, "appAccount": text})
        assert data["appAccount"] == text
        uuids[text] = int(data["miUserId"])
    assert len(set(uuids.values())) == len(TEXTS)
    for text, uuid in uuids.items():
        member = town.store.find_user(APP.app_id, uuid)
        assert member is not None
        assert member.account == text
        assert town.store.find_account(APP.app_id, text) == member
    assert town.accounts() == set(TEXTS)
    assert_whole(town)


@pytest.mark.parametrize("text", TEXTS, ids=ascii)
async def test_a_user_of_any_name_on_any_resource_sends_and_is_sent_to(town: WiredTown, text: str) -> None:
    async with town.online(text, "pc") as writer, town.online("alice", text) as alice:
        body = P2PMessage(recipient=User(account="alice"), payload=text.encode(), biz_type=text)
        packet = Packet(packet_id=text, package=text, body=body).encode()
        writer.write(writer.peer.send(packet))
        [ack] = [packet.body for packet in await heard(writer)]
        assert isinstance(ack, PacketAck)
        assert (ack.packet_id, ack.code) == (text, AckCode.OK)
        [got] = await messages(alice)
        assert (got.packet_id, got.package) == (text, APP.package)
        assert isinstance(got.body, P2PMessage)
        assert got.body.sender is not None
        assert (got.body.sender.account, got.body.payload, got.body.biz_type) == (text, text.encode(), text)
        answer = await sent(alice, P2PMessage(recipient=User(account=text), payload=b"back"))
        assert (answer.code, answer.resource) == (AckCode.OK, text)
        [back] = await messages(writer)
        assert isinstance(back.body, P2PMessage)
        assert back.body.sender is not None
        assert (back.body.sender.resource, back.body.recipient.account) == (text, text)
        assert {(info.account, info.resource) for info in town.sessions()} == {(text, "pc"), ("alice", text)}
    one, other = town.member(text).uuid, town.member("alice").uuid
    conversation = Conversation(app_id=APP.app_id, kind=Kind.P2P, one=one, other=other)
    [first, second] = town.store.history(conversation, 0, 1 << 62, 10)
    assert (first.packet_id, first.biz_type, first.target, second.target) == (text, text, "alice", text)
    assert (first.sender.account, second.resource) == (text, text)
    assert_whole(town)


@pytest.mark.parametrize("text", TEXTS, ids=ascii)
async def test_a_group_may_be_called_anything(town: WiredTown, text: str) -> None:
    headers = {
        "appId": str(APP.app_id),
        "appKey": "a key",
        "appSecret": "a secret",
        "appAccount": base64.b64encode(text.encode()).decode(),
        "appAccountEncode": "base64",
    }
    groups = f"/api/topic/{APP.app_id}"
    body = {"topicName": text, "accounts": "bob", "extra": text}
    made = (await asked(town, "POST", groups, json=body, headers=headers))["topicInfo"]
    assert (made["topicName"], made["extra"], made["ownerAccount"]) == (text, text, text)
    shown = (await asked(town, "PUT", f"{groups}/{made['topicId']}", json={"bulletin": text}, headers=headers))[
        "topicInfo"
    ]
    assert shown == {**made, "bulletin": text}
    listed = await asked(town, "GET", f"{groups}/account", headers=headers)
    assert listed == [shown]
    body = {"topicName": text, "extra": text}
    unlimited = await asked(town, "POST", "/api/uctopic", json=body, headers=headers)
    assert (unlimited["topicName"], unlimited["extra"], unlimited["ownerAccount"]) == (text, text, text)
    async with town.online(text) as owner:
        to_group = P2TMessage(recipient=Group(topic_id=int(made["topicId"])), payload=b"hi", biz_type=text)
        assert (await sent(owner, to_group)).code == AckCode.OK
        said = UcMessage(group=Group(topic_id=int(unlimited["topicId"])), payload=b"hi", biz_type=text, packet_id=text)
        assert (await sent(owner, UcPacket(user=User(), packet_id=text, body=said))).code == AckCode.OK
    for kind, group in ((Kind.P2T, made), (Kind.UNLIMITED, unlimited)):
        conversation = Conversation(app_id=APP.app_id, kind=kind, one=int(group["topicId"]))
        [message] = town.store.history(conversation, 0, 1 << 62, 10)
        assert (message.biz_type, message.sender.account) == (text, text)
    assert_whole(town)


@pytest.mark.parametrize("text", TEXTS, ids=ascii)
async def test_what_is_asked_for_by_any_name_is_what_has_that_name(town: WiredTown, text: str) -> None:
    """Members by a query, histories by a body: none of them is a pattern, and none opens what is others'."""
    topic_id = await town.group("alice", "bob")
    town.say("alice", "bob", b"private")
    path = f"/api/topic/{APP.app_id}/{topic_id}/accounts"
    if text.strip() == text:  # spaces around an account in a list are none of it
        await asked(town, "POST", path, json={"accounts": text}, by="alice")
        shown = await asked(town, "DELETE", path, params={"accounts": text}, by="alice")
        assert [member["account"] for member in shown["members"]] == ["alice", "bob"]
    window = {"utcFromTime": town.now - 1, "utcToTime": town.now + 1}
    for pair in itertools.permutations(["bob", text]):
        body = {"fromAccount": pair[0], "toAccount": pair[1], **window, "bizType": text, "extra": text}
        assert (await town.failure("POST", "/api/msg/p2p/queryOnTime", json=body, by="mallory"))[0] == 403
        assert (await asked(town, "POST", "/api/msg/p2p/queryOnTime", json=body, by="bob"))["messages"] == []
    secret = {"appId": APP.app_id, "appKey": text, "appSecret": text, "appAccount": "alice"}
    assert (await town.failure("POST", "/api/account/token", json=secret))[0] == 401
    assert (await town.answer("GET", "/gslb", params={"list": text}))["S"] == "Ok"
    assert_whole(town)


FIELDS: list[tuple[str, str, str]] = [
    ("POST", "/api/account/token", "appAccount"),
    ("POST", "/api/account/token", "appKey"),
    ("POST", "/api/account/token", "appSecret"),
    ("POST", f"/api/topic/{APP.app_id}", "topicName"),
    ("POST", f"/api/topic/{APP.app_id}", "accounts"),
    ("POST", f"/api/topic/{APP.app_id}", "extra"),
    ("POST", f"/api/topic/{APP.app_id}/TOPIC/accounts", "accounts"),
    ("PUT", f"/api/topic/{APP.app_id}/TOPIC", "topicName"),
    ("PUT", f"/api/topic/{APP.app_id}/TOPIC", "bulletin"),
    ("PUT", f"/api/topic/{APP.app_id}/TOPIC", "extra"),
    ("PUT", f"/api/topic/{APP.app_id}/TOPIC", "ownerAccount"),
    ("POST", "/api/uctopic", "topicName"),
    ("POST", "/api/uctopic", "extra"),
    ("POST", "/api/uctopic/update", "topicName"),
    ("POST", "/api/uctopic/update", "ownerAccount"),
    ("POST", "/api/msg/p2p/queryOnTime", "toAccount"),
    ("POST", "/api/msg/p2p/queryOnTime", "bizType"),
    ("POST", "/api/msg/p2t/queryOnTime", "account"),
]
USUAL = {
    **LOGIN,
    "accounts": "bob",
    "toAccount": "alice",
    "fromAccount": "bob",
    "account": "alice",
    "utcFromTime": 0,
    "utcToTime": 1,
    "topicId": "TOPIC",
}


@pytest.mark.parametrize(("method", "path", "field"), FIELDS)
async def test_half_a_character_is_no_text_and_nothing_is_done(
    town: WiredTown, method: str, path: str, field: str
) -> None:
    """JSON can say what no UTF-8 can carry, and no database of text either."""
    topic_id = await (town.unlimited_group if "uctopic" in path else town.group)("alice", "bob")
    body = json.dumps({**USUAL, field: "HALF"}).replace("TOPIC", topic_id)
    before = (town.accounts(), await asked(town, "GET", f"/api/topic/{APP.app_id}/account", by="alice"))
    for broken in (r"\ud800", r"\udfff\ud800", r"bob\udc00"):
        content = body.replace("HALF", broken)
        code, message = await town.failure(method, path.replace("TOPIC", topic_id), content=content, by="alice")
        assert code == 400, message
    assert (town.accounts(), await asked(town, "GET", f"/api/topic/{APP.app_id}/account", by="alice")) == before
    assert_whole(town)


@pytest.mark.parametrize("field", ["account", "packet id", "biz type"])
async def test_what_is_no_utf_8_is_no_text_at_the_wire(town: WiredTown, field: str) -> None:
    async with town.online("mallory") as mallory, town.online("alice") as alice:
        marks = {"account": "alice" if field != "account" else "MARK", "biz type": None, "packet id": "p1"}
        marks[field] = "MARK"
        body = P2PMessage(recipient=User(account=marks["account"]), payload=b"hi", biz_type=marks["biz type"])
        packet = Packet(packet_id=marks["packet id"], body=body).encode()
        mallory.write(mallory.peer.send(packet.replace(b"MARK", b"\xed\xa0\x80\xff")))
        assert await heard(mallory) == await heard(alice) == []
        assert (await sent(mallory, P2PMessage(recipient=User(account="alice"), payload=b"hi"))).code == AckCode.OK


IDS: list[Any] = [
    1.0,
    1.5,
    True,
    False,
    "1.0",
    " 1",
    "1 ",
    "+1",
    "-1",
    -1,
    "0x1",
    "1e3",
    "1_0",
    "\u0661",
    "\u00b2",
    "",
    "x",
]
IDS += [1 << 63, 1 << 64, 10**18 * 10**18, str(1 << 63), "9" * 400, None, [], {}, [1], {"id": 1}]
PLACES = [
    ("POST", "/api/account/token", "appId"),
    ("PUT", f"/api/topic/{APP.app_id}/TOPIC", "topicId"),
    ("PUT", f"/api/topic/{APP.app_id}/TOPIC", "ownerUuid"),
    ("POST", "/api/uctopic/update", "topicId"),
    ("POST", "/api/msg/p2p/queryOnTime", "utcFromTime"),
    ("POST", "/api/msg/p2p/queryOnTime", "utcToTime"),
    ("POST", "/api/msg/p2p/queryOnTime", "appId"),
    ("POST", "/api/msg/p2p/queryOnCount", "count"),
    ("POST", "/api/msg/p2p/queryOnSequence", "startSeq"),
    ("POST", "/api/msg/p2p/queryOnSequence", "stopSeq"),
    ("POST", "/api/msg/p2t/queryOnTime", "topicId"),
    ("POST", "/api/msg/p2u/queryOnCount", "topicId"),
]
MAY_BE_NULL = {"ownerUuid", "appId"}


@pytest.mark.parametrize(("method", "path", "field"), PLACES)
async def test_an_id_is_a_whole_number_or_its_digits_and_nothing_that_python_would_take_for_one(
    town: WiredTown, method: str, path: str, field: str
) -> None:
    topic_id = await (town.unlimited_group if "uctopic" in path or "p2u" in path else town.group)("alice", "bob")
    usual = {**USUAL, "startSeq": 0, "stopSeq": 0, "count": 1, "topicId": topic_id}
    for wrong in IDS:
        if wrong is None and (field in MAY_BE_NULL or (method == "PUT" and field == "topicId")) and "token" not in path:
            continue
        body = {**usual, field: wrong}
        code, message = await town.failure(method, path.replace("TOPIC", topic_id), json=body, by="alice")
        assert (code, field in message) == (400, True), (wrong, message)
    for text in ("NaN", "Infinity", "1e999", "1e2", "9" * 5000):
        content = json.dumps({**usual, field: "HERE"}).replace('"HERE"', text)
        code, message = await town.failure(method, path.replace("TOPIC", topic_id), content=content, by="alice")
        assert code == 400, (text, message)


@pytest.mark.parametrize("header", ["topicId", "startUuid", "appId"])
@pytest.mark.parametrize(
    "wrong", ["", "0x1", "1.0", "+1", "-1", "1 OR 1=1", "9" * 400, "1,2", "\xb2", "\u0663".encode()]
)
async def test_an_id_in_a_header_is_digits(town: WiredTown, header: str, wrong: str | bytes) -> None:
    topic_id = await town.unlimited_group("alice")
    headers = {"topicId": topic_id, "startUuid": "0", "appId": str(APP.app_id)}
    secret = {"appKey": "a key", "appSecret": "a secret", "appAccount": "alice"}
    encoded = {name: value.encode() for name, value in (headers | secret).items()}
    assert (await town.answer("GET", "/api/uctopic/userlist", headers=encoded))["code"] == 200
    encoded[header] = wrong if isinstance(wrong, bytes) else wrong.encode("latin-1")
    code, message = await town.failure("GET", "/api/uctopic/userlist", headers=encoded)
    assert (code, header in message) == (400, True)


async def test_another_applications_users_of_the_same_name_are_others(town: WiredTown) -> None:
    for text in TEXTS:
        assert town.member(text).uuid != town.member(text, OTHER.app_id).uuid
