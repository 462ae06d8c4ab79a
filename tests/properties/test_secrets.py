"""No secret is ever shown: not by an event, an error, a link, its configuration or its trace."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.conversations import FRAMINGS, STATES, frame_kinds, talk_in, verb_names
from support.links import (
    CHALLENGE,
    SECURITY_KEY,
    TOKEN,
    client_in,
    credentials,
    new_client,
    new_server,
    refusal,
    server_in,
)
from support.strategies import mutated

from mimc_proto import ClientState, Framing, LocalProtocolError, RemoteProtocolError, ServerState
from mimc_proto.crypto import body_key
from mimc_proto.events import BindRequested

BODY_KEY = body_key(CHALLENGE, "")
SECRETS = [
    TOKEN,
    SECURITY_KEY,
    CHALLENGE,
    base64.b64decode(SECURITY_KEY).hex(),
    repr(base64.b64decode(SECURITY_KEY))[2:-1],
    BODY_KEY.hex(),
    repr(BODY_KEY)[2:-1],
]


def shown(thing: object) -> str:
    """Every way of showing something."""
    parts = [repr(thing), str(thing), f"{thing}"]
    if isinstance(thing, BaseException):
        parts += [repr(thing.args), repr(thing.__cause__), repr(vars(thing))]
    return "\n".join(parts)


@given(st.sampled_from(STATES), FRAMINGS, st.data())
def test_no_secret_in_what_a_link_tells(state: Any, framing: Framing, data: st.DataObject) -> None:
    lines: list[object] = []
    talk = talk_in(state, framing, trace=lambda *line: lines.append(line))
    for step in data.draw(st.lists(st.sampled_from([*frame_kinds(state), *verb_names(state)]), max_size=10)):
        if step in verb_names(state):
            talk.act(step)
        else:
            frame = talk.frame(step)
            talk.receive(data.draw(mutated(st.just(frame))) if data.draw(st.integers(0, 4)) == 0 else frame)
        talk.take()
    signatures = [event.bind.sig for event in talk.events if isinstance(event, BindRequested)]
    told = "\n".join(map(shown, [*talk.events, *talk.errors, *lines, talk.link, talk.link.config, talk.peer]))
    for secret in [*SECRETS, *signatures]:
        assert secret not in told


@given(st.data())
def test_no_secret_in_the_error_of_a_bind_that_was_damaged(data: st.DataObject) -> None:
    link, peer = server_in(ServerState.READY, Framing.WEBSOCKET)
    good = peer.read(peer.bind())
    payload = data.draw(mutated(st.just(good.payload)))
    told: list[object] = []
    try:
        link.receive_data(peer.raw(good.header_bytes, payload), 0.0)
    except RemoteProtocolError as error:
        told.append(shown(error))
    assert TOKEN not in shown([*told, *link.events()])


@given(st.text(max_size=10))
def test_no_secret_in_the_error_of_a_link_that_cannot_be_made(text: str) -> None:
    with pytest.raises(LocalProtocolError) as caught:
        new_server(challenge=CHALLENGE + text + "é")
    assert CHALLENGE not in shown(caught.value)
    with pytest.raises(LocalProtocolError) as caught:
        new_client(udid=CHALLENGE + text + "é")
    assert CHALLENGE not in shown(caught.value)


@given(st.sampled_from(["token", "security_key"]), st.text(min_size=1, max_size=3))
def test_no_secret_in_the_error_of_credentials_that_cannot_be_used(field: str, text: str) -> None:
    link, _ = client_in(ClientState.READY)
    secret = f"{TOKEN}\ud800{text}"
    error = refusal(link, lambda: link.bind(credentials(**{field: secret}), now=0.0))
    assert TOKEN not in shown(error)
