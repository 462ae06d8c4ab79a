"""The tables are complete, and are drawn as they are."""

from __future__ import annotations

from typing import Any

import pytest

from mimc_proto.states import (
    CLIENT_TABLE,
    SERVER_TABLE,
    SESSION_TABLE,
    ClientInput,
    ClientState,
    Outcome,
    ServerInput,
    ServerState,
    SessionInput,
    SessionState,
    mermaid,
)

TABLES = pytest.mark.parametrize(
    ("table", "states", "inputs"),
    [
        (CLIENT_TABLE, ClientState, ClientInput),
        (SERVER_TABLE, ServerState, ServerInput),
        (SESSION_TABLE, SessionState, SessionInput),
    ],
    ids=["client", "server", "session"],
)
LINKS = pytest.mark.parametrize(
    ("table", "states", "inputs"),
    [(CLIENT_TABLE, ClientState, ClientInput), (SERVER_TABLE, ServerState, ServerInput)],
    ids=["client", "server"],
)


@TABLES
def test_there_is_a_cell_for_every_state_and_input(table: Any, states: Any, inputs: Any) -> None:
    assert set(table) == {(state, item) for state in states for item in inputs}
    assert all(isinstance(cell, (states, Outcome)) for cell in table.values())


@pytest.mark.parametrize("table", [CLIENT_TABLE, SERVER_TABLE, SESSION_TABLE], ids=["client", "server", "session"])
def test_verbs_are_done_or_refused_and_what_comes_is_taken_ignored_or_fatal(
    table: Any,
) -> None:
    for (state, item), cell in table.items():
        verb = item.value.endswith("()")
        assert cell is not (Outcome.FATAL if verb else Outcome.REFUSE), (state, item)
        assert not (verb and cell is Outcome.IGNORE), (state, item)


@TABLES
def test_nothing_leads_out_of_the_last_state(table: Any, states: Any, inputs: Any) -> None:
    last = list(states)[-1]
    assert all(table[last, item] in (last, Outcome.REFUSE, Outcome.IGNORE) for item in inputs)


@TABLES
def test_every_state_can_be_reached_from_the_first(table: Any, states: Any, inputs: Any) -> None:
    assert {item for _, item in table} == set(inputs)
    reached = {next(iter(states))}
    for _ in states:
        reached |= {cell for (state, _), cell in table.items() if state in reached and isinstance(cell, states)}
    assert reached == set(states)


@LINKS
def test_from_every_state_the_link_can_be_closed_and_lost(table: Any, states: Any, inputs: Any) -> None:
    last = list(states)[-1]
    for state in states:
        assert table[state, inputs.CLOSE].name in ("CLOSING", "CLOSED")
        assert state is last or table[state, inputs.LOST] is last


def test_members_of_states_and_inputs_are_told_apart_by_identity() -> None:
    assert len({hash(state) for state in ClientState}) == len(ClientState)
    assert len({*ClientState, *ServerState}) == len(ClientState) + len(ServerState)
    assert len({hash(state) for state in SessionState}) == len(SessionState)


def session(item: SessionInput) -> list[str]:
    """Where an input leads from each state of a session."""
    return [SESSION_TABLE[state, item].name for state in SessionState]


def test_a_session_can_be_ended_in_every_state() -> None:
    assert session(SessionInput.END) == ["ENDED"] * len(SessionState)


def test_a_session_connects_once() -> None:
    assert session(SessionInput.CONNECT) == ["CONNECTING", *["REFUSE"] * 5]


def test_a_session_takes_sends_until_it_logs_out() -> None:
    assert session(SessionInput.SEND) == ["NEW", "CONNECTING", "ONLINE", "OFFLINE", "REFUSE", "REFUSE"]


def test_a_session_can_log_out_in_every_state_and_that_has_no_effect_at_the_end() -> None:
    assert session(SessionInput.LOGOUT) == [*["LEAVING"] * 5, "ENDED"]


def test_a_session_that_is_leaving_comes_back_to_no_other_state() -> None:
    assert {SESSION_TABLE[SessionState.LEAVING, item] for item in SessionInput} == {
        SessionState.LEAVING,
        SessionState.ENDED,
        Outcome.REFUSE,
    }


def test_only_a_session_that_was_online_is_offline() -> None:
    assert session(SessionInput.ACCEPTED) == ["IGNORE", "ONLINE", "IGNORE", "ONLINE", "LEAVING", "IGNORE"]
    assert session(SessionInput.LOST) == ["IGNORE", "CONNECTING", "OFFLINE", "OFFLINE", "LEAVING", "IGNORE"]


def test_a_diagram_begins_at_the_first_state_and_leaves_out_what_changes_none() -> None:
    table: dict[tuple[ClientState, ClientInput], ClientState | Outcome] = {
        (ClientState.HANDSHAKE, ClientInput.CONN_ANSWER): ClientState.READY,
        (ClientState.HANDSHAKE, ClientInput.PONG): Outcome.IGNORE,
        (ClientState.HANDSHAKE, ClientInput.OTHER): ClientState.HANDSHAKE,
        (ClientState.HANDSHAKE, ClientInput.LOST): ClientState.CLOSED,
        (ClientState.HANDSHAKE, ClientInput.CLOSE): ClientState.CLOSED,
    }
    assert mermaid(table).splitlines() == [
        "stateDiagram-v2",
        "    [*] --> HANDSHAKE",
        "    HANDSHAKE --> READY: CONN answer",
        "    HANDSHAKE --> CLOSED: end of input, failed write or deadline / close()",
    ]
