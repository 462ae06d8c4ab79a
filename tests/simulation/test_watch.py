"""What the service tells of itself is counted, and complaints about our own clients break a law."""

from __future__ import annotations

import pytest
from mimc_server.service import CallbackFailed, Dropped, HintLost, LinkEnded, LoginRefused, PacketIgnored, ServiceEvent
from mimc_server.simulation.laws import Laws
from mimc_server.simulation.tally import Tally
from mimc_server.simulation.trace import Trace
from mimc_server.simulation.watch import Watch

from mimc_proto.errors import QueueFull, RemoteProtocolError
from mimc_proto.events import CloseReason
from mimc_proto.testing import VirtualClock


def watch() -> tuple[Watch, Tally]:
    clock = VirtualClock()
    tally = Tally(1)
    return Watch(clock, Laws({}), tally, Trace(clock)), tally


@pytest.mark.parametrize(
    ("event", "name"),
    [
        (LoginRefused(link_id=1, reason="try-again"), "refused: login (try-again)"),
        (
            Dropped(uuid=1, account="ann", resource="pc", what="Kick", error=QueueFull("full")),
            "packets dropped by the service",
        ),
        (LinkEnded(link_id=1, peer="", reason=CloseReason.EOF), "links ended: the peer closed the connection"),
        (PacketIgnored(link_id=1, what="SECMSG"), "packets that crossed a kick"),
    ],
)
def test_what_happens_is_counted(event: ServiceEvent, name: str) -> None:
    looks, tally = watch()
    looks.told(event)
    assert dict(tally.counts) == {name: 1}


def test_what_concerns_other_nodes_does_not_count() -> None:
    looks, tally = watch()
    looks.told(HintLost(what="Committed"))
    assert not tally.counts


@pytest.mark.parametrize(
    ("event", "problem"),
    [
        (PacketIgnored(link_id=1, what="NOTIFY"), "was asked what it does not know"),
        (CallbackFailed(error=ValueError()), "was asked what it does not know"),
        (
            LinkEnded(link_id=1, peer="", reason=CloseReason.PROTOCOL_ERROR, error=RemoteProtocolError("what?")),
            "a client breaks the protocol: what?",
        ),
    ],
)
def test_our_clients_give_it_no_reason_to_complain(event: ServiceEvent, problem: str) -> None:
    with pytest.raises(Laws.Broken, match=problem):
        watch()[0].told(event)
