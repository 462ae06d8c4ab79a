"""Every input in every state of a client's link, against an expectation made from the specification alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from support.expectations import Case, cases
from support.links import (
    RESOURCE,
    UUID,
    ScriptedServer,
    breakage,
    client_in,
    credentials,
    inside,
    message,
    refusal,
)

from mimc_proto import ClientConnection, ClientState, Framing
from mimc_proto.events import LinkClosed
from mimc_proto.framing import EMPTY_FRAME
from mimc_proto.packets import ListStatus, PacketAck, PacketList
from mimc_proto.states import CLIENT_TABLE, ClientInput, Outcome

# Links are brought into a state at time 0, the input comes at time 1, and what is to be sent is then taken.
EXPECTED = """
bind()
    READY                                          BINDING >BIND @6
    HANDSHAKE BINDING BOUND UNBINDING CLOSED       refused
send()
    BOUND                                          BOUND >SECMSG @11
    HANDSHAKE READY BINDING UNBINDING CLOSED       refused
ping()
    READY BOUND                                    = >PING @11
    BINDING UNBINDING                              = >PING
    HANDSHAKE CLOSED                               refused
unbind()
    BINDING BOUND                                  UNBINDING >UBND @11
    HANDSHAKE READY UNBINDING CLOSED               refused
close()
    HANDSHAKE READY BINDING BOUND UNBINDING        CLOSED +LinkClosed:LOCAL
    CLOSED                                         deaf
CONN answer
    HANDSHAKE                                      READY +HandshakeCompleted
    READY BINDING BOUND UNBINDING                  fatal
    CLOSED                                         deaf
BIND accepted
    BINDING                                        BOUND +BindAccepted
    READY BOUND UNBINDING                          = +Ignored
    HANDSHAKE                                      fatal
    CLOSED                                         deaf
BIND refused
    BINDING BOUND                                  READY +BindRefused
    UNBINDING                                      CLOSED +LinkClosed:LOGGED_OUT
    READY                                          = +Ignored
    HANDSHAKE                                      fatal
    CLOSED                                         deaf
empty frame [tcp]
    READY BINDING BOUND UNBINDING                  = +PongReceived
    HANDSHAKE                                      =
    CLOSED                                         deaf
PING
    READY BINDING BOUND UNBINDING                  = +PongReceived
    HANDSHAKE                                      =
    CLOSED                                         deaf
KICK
    READY BINDING BOUND                            READY +Kicked
    UNBINDING                                      CLOSED +LinkClosed:LOGGED_OUT
    HANDSHAKE                                      fatal
    CLOSED                                         deaf
KICK without a reason
    READY BINDING BOUND                            READY +Kicked
    UNBINDING                                      CLOSED +LinkClosed:LOGGED_OUT
    HANDSHAKE                                      fatal
    CLOSED                                         deaf
UBND
    UNBINDING                                      CLOSED +LinkClosed:LOGGED_OUT
    READY BINDING BOUND                            = +Ignored
    HANDSHAKE                                      fatal
    CLOSED                                         deaf
SECMSG
    BOUND UNBINDING                                = +AckReceived
    READY BINDING                                  = +Ignored
    HANDSHAKE                                      fatal
    CLOSED                                         deaf
SECMSG with a list
    BOUND UNBINDING                                = +MessagesReceived
    READY BINDING                                  = +Ignored
    HANDSHAKE                                      fatal
    CLOSED                                         deaf
SECMSG with a limit notice
    BOUND UNBINDING                                = +LimitReached
    READY BINDING                                  = +Ignored
    HANDSHAKE                                      fatal
    CLOSED                                         deaf
SECMSG that cannot be read
    BOUND UNBINDING                                = +BadPacket
    READY BINDING                                  = +Ignored
    HANDSHAKE                                      fatal
    CLOSED                                         deaf
NOTIFY
    HANDSHAKE READY BINDING BOUND UNBINDING        = +Ignored
    CLOSED                                         deaf
SYNC
    HANDSHAKE READY BINDING BOUND UNBINDING        = +Ignored
    CLOSED                                         deaf
a command that nobody knows
    HANDSHAKE READY BINDING BOUND UNBINDING        = +Ignored
    CLOSED                                         deaf
end of input
    HANDSHAKE READY BINDING BOUND UNBINDING        CLOSED +LinkClosed:EOF
    CLOSED                                         deaf
failed write
    HANDSHAKE READY BINDING BOUND UNBINDING        CLOSED +LinkClosed:SEND_FAILED
    CLOSED                                         deaf
"""

TIMERS = {"HANDSHAKE": 5.0, "READY": 15.0, "BINDING": 5.0, "BOUND": 15.0, "UNBINDING": 10.0, "CLOSED": None}

Verb = Callable[[ClientConnection], object]
VERBS: dict[str, Verb] = {
    "bind()": lambda link: link.bind(credentials(), now=1.0),
    "send()": lambda link: link.send_p2p("bob", b"hi", now=1.0),
    "ping()": lambda link: link.ping(now=1.0),
    "unbind()": lambda link: link.unbind(now=1.0),
    "close()": lambda link: link.close(now=1.0),
    "end of input": lambda link: link.receive_eof(now=1.0),
    "failed write": lambda link: link.send_failed(now=1.0),
}
FRAMES: dict[str, Callable[[ScriptedServer], bytes]] = {
    "CONN answer": lambda peer: peer.conn_answer() if peer.body_key is None else peer.answer("CONN", b"\n\x02ab"),
    "BIND accepted": lambda peer: peer.bind_answer(),
    "BIND refused": lambda peer: peer.bind_answer(False, "auto", "invalid-token"),
    "empty frame": lambda _: EMPTY_FRAME,
    "PING": lambda peer: peer.answer("PING"),
    "KICK": lambda peer: peer.kick("single-resource-kick"),
    "KICK without a reason": lambda peer: peer.kick(),
    "UBND": lambda peer: peer.answer("UBND"),
    "SECMSG": lambda peer: peer.push(PacketAck(packet_id="1", code=0)),
    "SECMSG with a list": lambda peer: peer.push(the_list(packets=(message(5),))),
    "SECMSG with a limit notice": lambda peer: peer.push(the_list(status=ListStatus.EXCEED_COUNT_LIMIT)),
    "SECMSG that cannot be read": lambda peer: peer.push(b"\xff"),
    "NOTIFY": lambda peer: peer.answer("NOTIFY", b"\x08\x01"),
    "SYNC": lambda peer: peer.answer("SYNC", b"\n\x04http"),
    "a command that nobody knows": lambda peer: peer.answer("WHAT"),
}

CASES = cases(EXPECTED, list(ClientState.__members__))


def the_list(**changes: Any) -> PacketList:
    """A list for the user of these tests."""
    return PacketList(uuid=UUID, resource=RESOURCE, max_sequence=5, **changes)


def check(case: Case, link: ClientConnection, peer: ScriptedServer) -> None:
    """Compare a link with what a case expects after its input."""
    closed = case.next_state == "CLOSED"
    frames = [peer.read(frame).command for frame in link.data_to_send()]
    events = [_shown(event) for event in link.events()]
    timer = float(case.timer) if case.timer else TIMERS[case.next_state]
    found = (link.state.name, events, frames, link.get_timer(), link.close_expected())
    assert found == (case.next_state, case.events, case.frames, timer, 1.0 if closed else None)


def _shown(event: object) -> str:
    return f"LinkClosed:{event.reason.name}" if isinstance(event, LinkClosed) else type(event).__name__


@pytest.mark.parametrize("case", CASES, ids=str)
def test_every_input_does_in_every_state_what_the_specification_says(case: Case) -> None:
    link, peer = client_in(ClientState[case.state], case.framing)
    if case.item in VERBS:
        verb = VERBS[case.item]
        if case.verdict == "refused":
            refusal(link, lambda: verb(link))
            return
        before = inside(link)
        verb(link)
    else:
        frame = FRAMES[case.item](peer)
        if case.verdict == "fatal":
            breakage(link, frame, 1.0)
            over = case._replace(next_state="CLOSED", events=["LinkClosed:PROTOCOL_ERROR"])
            check(over, link, peer)
            return
        before = inside(link)
        link.receive_data(frame, 1.0)
    if case.verdict == "deaf":
        assert inside(link) == before
    else:
        check(case, link, peer)


@pytest.mark.parametrize("framing", Framing, ids=lambda framing: framing.value)
@pytest.mark.parametrize(
    ("state", "reason"),
    [("HANDSHAKE", "HANDSHAKE_TIMEOUT"), ("BINDING", "LOGIN_TIMEOUT"), ("UNBINDING", "LOGOUT_TIMEOUT")],
)
def test_a_deadline_of_a_phase_ends_the_link(state: str, reason: str, framing: Framing) -> None:
    link, _ = client_in(ClientState[state], framing)
    due = link.get_timer()
    assert due is not None
    link.handle_timer(due - 0.001)
    assert (link.state.name, link.events()) == (state, [])
    link.handle_timer(due)
    assert (link.state, [_shown(event) for event in link.events()]) == (ClientState.CLOSED, [f"LinkClosed:{reason}"])
    assert (link.get_timer(), link.close_expected()) == (None, due)


@pytest.mark.parametrize("framing", Framing, ids=lambda framing: framing.value)
@pytest.mark.parametrize("state", ["READY", "BOUND"])
def test_silence_brings_a_ping_and_its_missing_answer_the_end(state: str, framing: Framing) -> None:
    link, peer = client_in(ClientState[state], framing)
    link.handle_timer(15.0)
    assert [peer.read(frame).command for frame in link.data_to_send()] == ["PING"]
    assert link.get_timer() == 25.0
    link.handle_timer(25.0)
    assert [_shown(event) for event in link.events()] == ["LinkClosed:ANSWER_TIMEOUT"]
    assert link.state is ClientState.CLOSED


def test_time_means_nothing_to_a_closed_link() -> None:
    link, _ = client_in(ClientState.CLOSED)
    before = inside(link)
    link.handle_timer(1e9)
    assert inside(link) == before


def test_the_expectation_covers_the_whole_table_and_the_table_agrees() -> None:
    inputs = {
        ClientInput.BIND: "bind()",
        ClientInput.SEND: "send()",
        ClientInput.PING: "ping()",
        ClientInput.UNBIND: "unbind()",
        ClientInput.CLOSE: "close()",
        ClientInput.CONN_ANSWER: "CONN answer",
        ClientInput.BIND_ACCEPTED: "BIND accepted",
        ClientInput.BIND_REFUSED: "BIND refused",
        ClientInput.PONG: "PING",
        ClientInput.KICK: "KICK",
        ClientInput.UNBOUND: "UBND",
        ClientInput.PACKET: "SECMSG",
        ClientInput.OTHER: "NOTIFY",
        ClientInput.LOST: "end of input",
    }
    expected = {(case.state, case.item): case for case in CASES if case.framing is Framing.TCP}
    seen = set()
    for (state, item), cell in CLIENT_TABLE.items():
        case = expected[state.name, inputs[item]]
        seen.add((state, item))
        if isinstance(cell, Outcome):
            stays = case.verdict == "steps" and case.next_state == state.name
            assert {Outcome.REFUSE: case.verdict == "refused", Outcome.FATAL: case.verdict == "fatal"}.get(
                cell, stays or case.verdict == "deaf"
            ), (state, item)
        else:
            assert cell.name == (case.next_state or state.name), (state, item)
    assert seen == {(state, item) for state in ClientState for item in ClientInput}


def test_closing_drops_what_waits() -> None:
    link, _ = client_in(ClientState.BOUND)
    link.send_p2p("bob", b"hi", now=1.0)
    link.ping(now=1.0)
    link.close(now=1.0)
    assert (link.data_to_send(), link.pending) == ([], 0)
