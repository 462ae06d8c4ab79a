"""Every input in every state of a server's link, against an expectation made from the specification alone."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from support.expectations import Case, cases
from support.links import ScriptedClient, accept, breakage, inside, names, refusal, server_in

from mimc_proto import Framing, ServerConnection, ServerState
from mimc_proto.events import LinkClosed
from mimc_proto.framing import EMPTY_FRAME
from mimc_proto.packets import Conn, PacketAck, Pull
from mimc_proto.states import SERVER_TABLE, Outcome, ServerInput

# Links are brought into a state at time 0, the input comes at time 1, and what is to be sent is then taken.
EXPECTED = """
accept_bind()
    BINDING REBINDING                                       BOUND >BIND @240
    HANDSHAKE READY BOUND CLOSING CLOSED                    refused
refuse_bind()
    BINDING                                                 READY >BIND
    REBINDING                                               READY >BIND @241
    HANDSHAKE READY BOUND CLOSING CLOSED                    refused
send()
    BOUND REBINDING                                         = >SECMSG
    HANDSHAKE READY BINDING CLOSING CLOSED                  refused
kick()
    BINDING                                                 READY >KICK
    BOUND REBINDING                                         READY >KICK @241
    HANDSHAKE READY CLOSING CLOSED                          refused
close()
    HANDSHAKE READY BINDING BOUND REBINDING                 CLOSING +LinkClosed:LOCAL @2
    CLOSING CLOSED                                          deaf
CONN
    HANDSHAKE                                               READY +ClientConnected >CONN @241
    READY BINDING BOUND REBINDING                           fatal
    CLOSING CLOSED                                          deaf
BIND
    READY BINDING                                           BINDING +BindRequested
    BOUND REBINDING                                         REBINDING +BindRequested @241
    HANDSHAKE                                               fatal
    CLOSING CLOSED                                          deaf
empty frame [tcp]
    HANDSHAKE READY BINDING                                 = +PingReceived >empty
    BOUND REBINDING                                         = +PingReceived >empty @241
    CLOSING CLOSED                                          deaf
PING [tcp]
    HANDSHAKE READY BINDING                                 = +PingReceived >empty
    BOUND REBINDING                                         = +PingReceived >empty @241
    CLOSING CLOSED                                          deaf
PING [websocket]
    HANDSHAKE READY BINDING                                 = +PingReceived >PING
    BOUND REBINDING                                         = +PingReceived >PING @241
    CLOSING CLOSED                                          deaf
UBND [tcp]
    READY BINDING                                           READY +Unbound >KICK
    BOUND REBINDING                                         READY +Unbound >KICK @241
    HANDSHAKE                                               fatal
    CLOSING CLOSED                                          deaf
UBND [websocket]
    READY BINDING BOUND REBINDING                           CLOSING +Unbound +LinkClosed:LOGGED_OUT >KICK @2
    HANDSHAKE                                               fatal
    CLOSING CLOSED                                          deaf
SECMSG
    BOUND REBINDING                                         = +PacketReceived @241
    READY BINDING                                           = +Ignored
    HANDSHAKE                                               fatal
    CLOSING CLOSED                                          deaf
SECMSG that is not encrypted
    BOUND REBINDING                                         = +PacketReceived @241
    READY BINDING                                           = +Ignored
    HANDSHAKE                                               fatal
    CLOSING CLOSED                                          deaf
SECMSG that cannot be read
    BOUND REBINDING                                         = +BadPacket @241
    READY BINDING                                           = +Ignored
    HANDSHAKE                                               fatal
    CLOSING CLOSED                                          deaf
KICK
    BOUND REBINDING                                         = +Ignored @241
    READY BINDING                                           = +Ignored
    HANDSHAKE                                               fatal
    CLOSING CLOSED                                          deaf
a command that nobody knows
    BOUND REBINDING                                         = +Ignored @241
    READY BINDING                                           = +Ignored
    HANDSHAKE                                               fatal
    CLOSING CLOSED                                          deaf
end of input
    HANDSHAKE READY BINDING BOUND REBINDING                 CLOSED +LinkClosed:EOF
    CLOSING                                                 CLOSED
    CLOSED                                                  deaf
failed write
    HANDSHAKE READY BINDING BOUND REBINDING                 CLOSED +LinkClosed:SEND_FAILED
    CLOSING                                                 CLOSED
    CLOSED                                                  deaf
"""

TIMERS = {"HANDSHAKE": 10.0, "READY": 240.0, "BINDING": 240.0, "BOUND": 240.0, "REBINDING": 240.0, "CLOSED": None}

Verb = Callable[[ServerConnection], object]
VERBS: dict[str, Verb] = {
    "accept_bind()": lambda link: accept(link, now=1.0),
    "refuse_bind()": lambda link: link.refuse_bind("token-expired", now=1.0),
    "send()": lambda link: link.send(PacketAck(packet_id="client_3"), now=1.0),
    "kick()": lambda link: link.kick("single-resource-kick", now=1.0),
    "close()": lambda link: link.close(now=1.0),
    "end of input": lambda link: link.receive_eof(now=1.0),
    "failed write": lambda link: link.send_failed(now=1.0),
}
FRAMES: dict[str, Callable[[ScriptedClient], bytes]] = {
    "CONN": lambda peer: peer.conn() if not peer.count else peer.command("CONN", Conn(version=106).encode()),
    "BIND": lambda peer: peer.bind(),
    "empty frame": lambda _: EMPTY_FRAME,
    "PING": lambda peer: peer.command("PING"),
    "UBND": lambda peer: peer.command("UBND"),
    "SECMSG": lambda peer: peer.send(Pull(uuid=1, resource="r"), cipher=1),
    "SECMSG that is not encrypted": lambda peer: peer.send(Pull(uuid=1, resource="r"), cipher=0),
    "SECMSG that cannot be read": lambda peer: peer.send(b"\xff"),
    "KICK": lambda peer: peer.command("KICK"),
    "a command that nobody knows": lambda peer: peer.command("WHAT"),
}

CASES = cases(EXPECTED, list(ServerState.__members__))


def check(case: Case, link: ServerConnection, peer: ScriptedClient) -> None:
    """Compare a link with what a case expects after its input."""
    frames = [peer.read(frame).command or "empty" for frame in link.data_to_send()]
    events = [_shown(event) for event in link.events()]
    timer = float(case.timer) if case.timer else TIMERS[case.next_state]
    closing = {"CLOSED": 1.0, "CLOSING": 2.0}.get(case.next_state)
    found = (link.state.name, events, frames, link.get_timer(), link.close_expected())
    assert found == (case.next_state, case.events, case.frames, timer, closing)


def _shown(event: object) -> str:
    return f"LinkClosed:{event.reason.name}" if isinstance(event, LinkClosed) else type(event).__name__


@pytest.mark.parametrize("case", CASES, ids=str)
def test_every_input_does_in_every_state_what_the_specification_says(case: Case) -> None:
    link, peer = server_in(ServerState[case.state], case.framing)
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
            check(case._replace(next_state="CLOSING", events=["LinkClosed:PROTOCOL_ERROR"], timer="2"), link, peer)
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
    [
        ("HANDSHAKE", "HANDSHAKE_TIMEOUT"),
        ("READY", "LOGIN_TIMEOUT"),
        ("BINDING", "LOGIN_TIMEOUT"),
        ("BOUND", "IDLE_TIMEOUT"),
        ("REBINDING", "IDLE_TIMEOUT"),
    ],
)
def test_a_deadline_ends_the_link(state: str, reason: str, framing: Framing) -> None:
    link, _ = server_in(ServerState[state], framing)
    due = link.get_timer()
    assert due is not None
    link.handle_timer(due - 0.001)
    assert (link.state.name, link.events()) == (state, [])
    link.handle_timer(due)
    assert (link.state, [_shown(event) for event in link.events()]) == (ServerState.CLOSED, [f"LinkClosed:{reason}"])
    assert (link.get_timer(), link.close_expected()) == (None, due)


def test_a_link_that_closes_is_closed_when_its_time_is_over() -> None:
    link, _ = server_in(ServerState.BOUND)
    link.send(PacketAck(packet_id="client_3"), now=0.0)
    link.close(now=0.0)
    assert names(link.events()) == ["LinkClosed"]
    link.handle_timer(0.999)
    assert link.state is ServerState.CLOSING
    link.handle_timer(1.0)
    assert (link.state, link.events(), link.data_to_send()) == (ServerState.CLOSED, [], [])


def test_a_link_that_closes_still_flushes_what_waits() -> None:
    link, peer = server_in(ServerState.BOUND)
    link.send(PacketAck(packet_id="client_3"), now=0.0)
    link.close(now=0.0)
    [frame] = link.data_to_send()
    assert peer.read(frame).command == "SECMSG"


def test_time_means_nothing_to_a_closed_link() -> None:
    link, _ = server_in(ServerState.CLOSED)
    before = inside(link)
    link.handle_timer(1e9)
    assert inside(link) == before


def test_the_expectation_covers_the_whole_table_and_the_table_agrees() -> None:
    inputs = {
        ServerInput.ACCEPT: "accept_bind()",
        ServerInput.REFUSE: "refuse_bind()",
        ServerInput.SEND: "send()",
        ServerInput.KICK: "kick()",
        ServerInput.CLOSE: "close()",
        ServerInput.CONN: "CONN",
        ServerInput.BIND: "BIND",
        ServerInput.PING: "PING",
        ServerInput.UNBIND: "UBND",
        ServerInput.UNBIND_WEBSOCKET: "UBND",
        ServerInput.PACKET: "SECMSG",
        ServerInput.OTHER: "a command that nobody knows",
        ServerInput.LOST: "end of input",
    }
    expected = {(case.framing, case.state, case.item): case for case in CASES}
    for (state, item), cell in SERVER_TABLE.items():
        framing = Framing.WEBSOCKET if item is ServerInput.UNBIND_WEBSOCKET else Framing.TCP
        case = expected[framing, state.name, inputs[item]]
        if isinstance(cell, Outcome):
            stays = case.verdict == "steps" and case.next_state == state.name
            assert {Outcome.REFUSE: case.verdict == "refused", Outcome.FATAL: case.verdict == "fatal"}.get(
                cell, stays or case.verdict == "deaf"
            ), (state, item)
        else:
            assert cell.name == (case.next_state or state.name), (state, item)
    assert set(SERVER_TABLE) == {(state, item) for state in ServerState for item in ServerInput}
