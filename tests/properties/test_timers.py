"""Timers are None, due or in the future, and doing what is due moves them on, whatever the clock shows."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from support.conversations import FRAMINGS, STATES, frame_kinds, talk_in, verb_names
from support.links import refusal

from mimc_proto import ClientConfig, ClientState, Framing, ServerConfig

STEPS = st.sampled_from([0.0, 0.001, 1.0, 5.0, 9.9, 10.0, 16.0, 250.0, -1.0, -1000.0]) | st.floats(-10.0, 300.0)


TIMES = st.sampled_from([0.001, 0.1, 1.0, 10.0, 1000.0])
CLIENTS = st.builds(
    ClientConfig, handshake_timeout=TIMES, login_timeout=TIMES, answer_timeout=TIMES, ping_interval=TIMES
)
SERVERS = st.builds(ServerConfig, handshake_timeout=TIMES, bind_timeout=TIMES, idle_timeout=TIMES, close_delay=TIMES)


@given(st.sampled_from(STATES), FRAMINGS, st.data())
def test_handling_a_timer_moves_it_on(state: Any, framing: Framing, data: st.DataObject) -> None:
    talk = talk_in(state, framing, config=data.draw(CLIENTS if isinstance(state, ClientState) else SERVERS))
    largest = 0.0
    for step in data.draw(st.lists(st.sampled_from(["tick", *frame_kinds(state), *verb_names(state)]), max_size=15)):
        talk.now += data.draw(STEPS)
        largest = max(largest, talk.now)
        if step in frame_kinds(state):
            talk.receive(talk.frame(step))
        elif step != "tick":
            talk.act(step)
        talk.take()
        talk.link.handle_timer(talk.now)
        talk.take()
        timer = talk.link.get_timer()
        assert timer is None or (math.isfinite(timer) and timer > largest)


@given(st.sampled_from(STATES), FRAMINGS)
def test_a_driver_that_only_follows_the_timers_comes_to_an_end(state: Any, framing: Framing) -> None:
    talk = talk_in(state, framing)
    turns = 0
    while (timer := talk.link.get_timer()) is not None:
        talk.link.handle_timer(timer)
        talk.take()
        turns += 1
        assert turns < 10
    talk.look()
    assert talk.link.state.name == "CLOSED"
    assert [type(event).__name__ for event in talk.events] == ["LinkClosed"]


@given(st.sampled_from(STATES), st.floats() | st.sampled_from([math.nan, math.inf, -math.inf, 1e12, 1e308]), st.data())
def test_any_float_is_a_time_or_refused(state: Any, now: float, data: st.DataObject) -> None:
    talk = talk_in(state, Framing.TCP)
    acts: list[Callable[[], None]] = [
        lambda: talk.link.handle_timer(now),
        lambda: talk.link.receive_data(b"\xc2", now),
        lambda: talk.link.receive_eof(now),
        lambda: talk.link.close(now),
    ]
    act = data.draw(st.sampled_from(acts))
    if math.isnan(now) or now > 1e12:
        assert refusal(talk.link, act).where == "now"
    else:
        act()
    timer = talk.link.get_timer()
    assert timer is None or math.isfinite(timer)
    closing = talk.link.close_expected()
    assert closing is None or math.isfinite(closing)
