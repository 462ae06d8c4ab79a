"""Packets of unlimited groups, byte for byte."""

import pytest

from mimc_proto import pb
from mimc_proto.packets import (
    Group,
    UcBody,
    UcDismiss,
    UcJoin,
    UcJoinAnswer,
    UcMessage,
    UcMessageList,
    UcOnlineUsersAnswer,
    UcOnlineUsersQuery,
    UcPacket,
    UcPing,
    UcPong,
    UcQuit,
    UcQuitAnswer,
    UcSequenceAck,
    UcType,
    UnknownBody,
    User,
)

GROUP, GROUP_HEX = Group(app_id=1, topic_id=2), "08011002"
MESSAGE = UcMessage(
    group=GROUP,
    payload=b"hi",
    sequence=5,
    is_store=True,
    user=User(account="a"),
    timestamp=6,
    packet_id="p",
    biz_type="",
)
MESSAGE_HEX = f"0a04{GROUP_HEX} 12026869 1805 2001 2a03120161 3006 3a0170 4200"

WIRE: list[tuple[UcType, UcBody, str]] = [
    (UcType.PING, UcPing(groups=(GROUP, GROUP)), f"0a04{GROUP_HEX} 0a04{GROUP_HEX}"),
    (UcType.PONG, UcPong(payload=b"any"), "616e79"),
    (UcType.JOIN, UcJoin(group=GROUP), f"0a04{GROUP_HEX}"),
    (UcType.JOIN_RESP, UcJoinAnswer(group=GROUP, code=0, text="success"), f"0a04{GROUP_HEX} 1000 1a0773756363657373"),
    (UcType.QUIT, UcQuit(group=GROUP), f"0a04{GROUP_HEX}"),
    (UcType.QUIT_RESP, UcQuitAnswer(group=GROUP, code=-1), f"0a04{GROUP_HEX} 10ffffffffffffffffff01"),
    (UcType.SEQ_ACK, UcSequenceAck(group=GROUP, sequence=7), f"0a04{GROUP_HEX} 1007"),
    (UcType.MESSAGE, MESSAGE, MESSAGE_HEX),
    (
        UcType.MESSAGE_LIST,
        UcMessageList(group=GROUP, messages=(MESSAGE,), max_sequence=5),
        f"0a04{GROUP_HEX} 121a {MESSAGE_HEX} 1805",
    ),
    (UcType.DISMISS, UcDismiss(group=GROUP), f"0a04{GROUP_HEX}"),
    (UcType.QUERY_ONLINE_USERS, UcOnlineUsersQuery(group=GROUP), f"0a04{GROUP_HEX}"),
    (UcType.QUERY_ONLINE_USERS_RESP, UcOnlineUsersAnswer(group=GROUP, user_count=3), f"0a04{GROUP_HEX} 1003"),
]


@pytest.mark.parametrize(("kind", "body", "encoded"), WIRE, ids=lambda value: getattr(value, "name", ""))
def test_a_body_is_written_as_the_official_clients_write_it(kind: UcType, body: UcBody, encoded: str) -> None:
    packet = pb.UCPacket.FromString(UcPacket(user=User(), packet_id="p", body=body).encode())
    assert (packet.type, packet.payload) == (kind, bytes.fromhex(encoded))


@pytest.mark.parametrize(("kind", "body", "encoded"), WIRE, ids=lambda value: getattr(value, "name", ""))
def test_a_body_is_read_as_the_official_clients_write_it(kind: UcType, body: UcBody, encoded: str) -> None:
    packet = pb.UCPacket(type=kind.value, payload=bytes.fromhex(encoded), packetId="p")
    packet.user.SetInParent()
    assert UcPacket.decode(packet.SerializeToString()) == UcPacket(user=User(), packet_id="p", body=body)


def test_there_is_an_example_of_every_type_here() -> None:
    assert [kind for kind, _, _ in WIRE] == list(UcType)


def test_the_types_are_those_of_protobuf() -> None:
    assert {kind.name: int(kind) for kind in UcType} == dict(pb.UC_MSG_TYPE.items())


def test_the_envelope_is_user_type_payload_and_id() -> None:
    packet = UcPacket(user=User(account="a"), packet_id="p", body=UcPing())
    assert packet.encode() == bytes.fromhex("0a03120161 1001 1a00 220170")


def test_a_ping_of_no_groups_is_empty() -> None:
    assert UcPing.decode(b"") == UcPing(groups=())


def test_a_pong_may_be_empty() -> None:
    assert UcPacket.decode(bytes.fromhex("0a00 1002 220170")).body == UcPong()


def test_a_type_that_nobody_knows_is_kept() -> None:
    body = UcPacket.decode(bytes.fromhex("0a00 1063 1a0178 220170")).body
    assert body == UnknownBody(type=99, payload=b"x")


def test_a_message_as_a_client_sends_it_has_no_sequence() -> None:
    message = UcMessage.decode(bytes.fromhex("0a00 12026869"))
    assert (message.sequence, message.timestamp, message.user) == (None, None, None)
