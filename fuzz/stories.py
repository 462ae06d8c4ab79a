"""Conversations after a login that were made for one thing each: a limit that is passed, commands that cross."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import conversations as base
import program
from mimc_cli.fuzzing import Piece, join, split

from mimc_proto import Framing
from mimc_proto._requests import MAX_PACKET
from mimc_proto.framing import EMPTY_FRAME
from mimc_proto.packets import (
    BindAnswer,
    Body,
    Command,
    Group,
    Kick,
    KickReason,
    OnlineMessage,
    P2PMessage,
    Packet,
    PacketList,
    UcMessage,
    UcMessageList,
    UcPacket,
    User,
)
from mimc_proto.server import MOST_COMMANDS
from mimc_proto.session._traffic import MOST_UNCONFIRMED

__all__ = ["of_programs", "of_servers", "of_sessions", "of_starts"]

KEYS = base.keys(Framing.TCP)
SENDER = User(uuid=77)
ONLINE = OnlineMessage(sender=SENDER, recipient=base.ME, payload=b"now")
TOO_MANY = MOST_UNCONFIRMED + 1
"""Messages that are remembered: it is asked whether their acknowledgement arrived."""


def of_servers() -> list[bytes]:
    """What a server's link reads: a client that does not read asks again and again."""
    *_, unbind = split(base.upward(Framing.TCP)[0], KEYS)
    return [join([unbind] * (MOST_COMMANDS + 1), KEYS)]


def of_sessions() -> list[bytes]:
    """What a session with small limits reads at once."""
    return [
        _said(_list(9, 0), _list(7, 3), _list(8, 1)),  # the acknowledgement of 9 waits when 8 is dropped
        _said(*[ONLINE] * 4),  # one more than may wait
        _said(ONLINE, packet_id="m" * MAX_PACKET),  # an answer with this id would be too large
    ]


def of_starts() -> list[bytes]:
    """What a session reads from the login on: an answer waits there when another user logs in."""
    return [base.login_of(base.downward(Framing.TCP)[0]) + _said(ONLINE) + KICK]


def of_programs() -> list[bytes]:
    """What a session with a program reads between what that does: for programs of one kind each."""
    bound = _command(Command.BIND, BindAnswer(result=True).encode())
    full, more = _list(3, 3), _list(4, 1)
    again: list[Body] = [full, more, ONLINE, _unlimited(3), ONLINE, ONLINE, more]  # consumed with the last but one
    return [
        KICK + KICK + bound,  # the second crosses a BIND
        _found(lambda tag: _said(*again, tag=tag), lambda kind: kind.config.high_messages == 3 and kind.at_once == 4),
        _found(
            lambda tag: _said(_list(1, 1), tag=tag) + _command(Command.UBND),
            lambda kind: kind.at_once == 4 and kind.drain == 0.0,
        ),
        _found(lambda tag: _said(_list(TOO_MANY, TOO_MANY), tag=tag) + EMPTY_FRAME, lambda kind: kind.at_once == 1),
    ]


def _found(make: Callable[[str], bytes], fits: Callable[[program.Kind], bool]) -> bytes:
    """The first of these streams that is read by such a program; the ids in it begin with the text."""
    return next(stream for number in itertools.count() if fits(program.kind_of(stream := make(f"{number}s"))))


def _said(*bodies: Body, tag: str = "s", packet_id: str = "p") -> bytes:
    """A frame of a server for each."""
    packets = [Packet(packet_id=packet_id, package=base.ALICE.package, body=body).encode() for body in bodies]
    return join([base.secmsg(f"{tag}{number}", packet) for number, packet in enumerate(packets)], KEYS)


def _command(command: Command, payload: bytes = b"") -> bytes:
    return join([Piece(base.header_of(command, "c").encode(), payload)], KEYS)


def _list(last: int, count: int) -> PacketList:
    """So many short messages, up to a sequence."""
    body = P2PMessage(sender=SENDER, recipient=User())
    packets = tuple(Packet(packet_id="m", sequence=number, body=body) for number in range(last - count + 1, last + 1))
    return PacketList(uuid=base.ALICE.uuid, resource=base.RESOURCE, max_sequence=last, packets=packets)


def _unlimited(count: int) -> UcPacket:
    group = Group(app_id=base.ALICE.app_id, topic_id=21)
    messages = tuple(
        UcMessage(packet_id="u", group=group, user=SENDER, payload=b"uc", sequence=number)
        for number in range(1, count + 1)
    )
    return UcPacket(user=base.ME, packet_id="u", body=UcMessageList(group=group, max_sequence=count, messages=messages))


KICK = _command(Command.KICK, Kick(type=KickReason.TOKEN_EXPIRED, reason=KickReason.TOKEN_EXPIRED).encode())
"""For a new token."""
