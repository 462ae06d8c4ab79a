"""How a session gets online and stays so: token, address, link, BIND, kicks, losses and the end."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from random import Random
from string import ascii_letters, digits
from typing import Any

import pytest
from support.links import RESOURCE, UUID, credentials, message
from support.session_bed import (
    HERE,
    THERE,
    Bed,
    CloseLink,
    FetchToken,
    Hand,
    OpenLink,
    Resolve,
    group_messages,
    in_state,
    kinds,
    other_user,
)

from mimc_proto import Framing, LocalProtocolError
from mimc_proto.errors import TokenError
from mimc_proto.packets import Command, PacketList
from mimc_proto.session import ClientSession
from mimc_proto.session.events import (
    Ended,
    EndReason,
    Failed,
    FailReason,
    LinkLost,
    LoginRefused,
    Offline,
    Online,
    ResolverFailed,
    TokenFailed,
)
from mimc_proto.states import SESSION_TABLE, Outcome, SessionInput, SessionState
from mimc_proto.testing import APP_ID, FRONTEND, example_user, token_answer

TAKEN_OVER = "single-resource-kick"
NEW_TOKEN = token_answer(credentials(token="new"))

# ------------------------------------------------------------------------------------------------------- making one


@pytest.mark.parametrize(
    ("options", "where"),
    [
        ({"config": object()}, "config"),
        ({"framing": "tcp"}, "framing"),
        ({"app_id": "1"}, "app_id"),
        ({"account": ""}, "account"),
        ({"resource": "x" * 129}, "resource"),
        ({"now": float("nan")}, "now"),
        ({"addresses": [("host", 0)]}, "addresses"),
        ({"resolver": "ftp://resolver"}, "resolver URL"),
        ({"joined_groups": [-1]}, "joined_groups"),
    ],
)
def test_arguments_that_cannot_be_meant_are_refused_by_name(options: dict[str, Any], where: str) -> None:
    plain: dict[str, Any] = {"app_id": APP_ID, "account": "alice", "rng": Random(1), "now": 0.0}
    with pytest.raises(LocalProtocolError) as caught:
        ClientSession(**{**plain, **options})
    assert caught.value.where == where


def test_a_kept_token_that_cannot_be_read_is_an_error_at_once() -> None:
    with pytest.raises(TokenError, match="miUserId"):
        ClientSession(APP_ID, "alice", rng=Random(1), now=0.0, token=token_answer(omit=["miUserId"]))


def test_a_resource_is_made_up_if_none_is_given() -> None:
    session = ClientSession(APP_ID, "alice", rng=Random(1), now=0.0)
    assert session.resource.startswith("mimc_py_")
    assert len(session.resource) == 18
    assert ClientSession(APP_ID, "alice", rng=Random(1), now=0.0, resource="pc").resource == "pc"


def test_resources_that_are_made_up_are_different() -> None:
    made_up = [ClientSession(APP_ID, "alice", rng=Random(seed), now=0.0).resource for seed in range(100)]
    assert len(set(made_up)) == 100
    assert {letter for name in made_up for letter in name.removeprefix("mimc_py_")} == {*ascii_letters, *digits}


@pytest.mark.parametrize("state", SessionState)
@pytest.mark.parametrize("item", [SessionInput.CONNECT, SessionInput.SEND, SessionInput.LOGOUT])
def test_verbs_do_what_the_table_says(state: SessionState, item: SessionInput) -> None:
    hand = in_state(state)
    session = hand.session
    verbs: dict[SessionInput, Callable[[], object]] = {
        SessionInput.CONNECT: lambda: session.connect(0.0),
        SessionInput.SEND: lambda: session.send("bob", b"hi", now=0.0),
        SessionInput.LOGOUT: lambda: session.logout(0.0),
    }
    if isinstance(SESSION_TABLE[state, item], Outcome):
        with pytest.raises(LocalProtocolError, match=state.name):
            verbs[item]()
        assert session.state is state
    else:
        verbs[item]()


# ------------------------------------------------------------------------------------------------------------ login


def test_token_and_link_are_asked_for_side_by_side() -> None:
    hand = Hand(token=None)
    hand.session.connect(0.0)
    assert kinds(hand.session.requests()) == ["FetchToken", "OpenLink"]


def test_without_addresses_the_domain_of_the_token_is_resolved() -> None:
    bed = Bed(addresses=())
    bed.login()
    [resolve] = bed.driver.resolver.asked
    assert resolve.url.endswith(f"list={FRONTEND}")
    assert bed.network.attempts[0].host == HERE[0]
    assert bed.session.known_addresses == (HERE,)
    assert bed.of(ResolverFailed) == []
    assert bed.of(Online) == [Online(uuid=example_user("alice").uuid, resource="pc")]


def test_without_addresses_the_token_is_all_that_is_waited_for_and_its_domain_comes_next() -> None:
    hand = Hand(token=None, addresses=(), settings={"token_timeout": 7.0, "resolve_timeout": 3.0})
    hand.session.connect(0.0)
    fetch = hand.asked(FetchToken)
    assert hand.session.get_timer() == 7.0
    assert hand.timer(6.9) == []
    hand.session.token_fetched(fetch.request_id, NEW_TOKEN, 6.9)
    resolve = hand.asked(Resolve)
    assert hand.timer(9.8) == []
    hand.session.resolved(resolve.request_id, OSError("down"), 9.8)
    assert kinds(hand.session.requests()) == ["OpenLink"]


def test_bind_waits_for_a_token_that_comes_after_the_handshake() -> None:
    hand = Hand(token=None)
    hand.session.connect(0.0)
    fetch, link = hand.session.requests()
    assert isinstance(fetch, FetchToken)
    assert isinstance(link, OpenLink)
    hand.link_id = link.link_id
    hand.session.link_opened(link.link_id, 0.0)
    assert hand.commands() == ["CONN"]
    hand.say(hand.peer.conn_answer())
    assert hand.commands() == []
    hand.session.token_fetched(fetch.request_id, NEW_TOKEN, 1.0)
    assert hand.commands() == ["BIND"]


def test_a_kept_token_is_not_fetched_again() -> None:
    bed = Bed(options={"token": token_answer("alice")})
    bed.login()
    assert bed.driver.tokens.asked == []


def test_login_works_on_websocket() -> None:
    bed = Bed(framing=Framing.WEBSOCKET).login()
    assert bed.session.online


def test_time_may_start_anywhere() -> None:
    session = ClientSession(APP_ID, "alice", rng=Random(1), now=-5000.0)
    session.connect(-5000.0)
    assert kinds(session.requests()) == ["FetchToken"]


def test_nothing_is_due_before_connect_and_after_the_end() -> None:
    hand = Hand()
    assert hand.session.get_timer() is None
    assert hand.timer(100.0) == []
    hand.session.withdraw(hand.session.send("bob", b"hi", now=100.0), 100.0)
    assert hand.session.requests() == []
    hand.session.close(100.0)
    assert hand.session.get_timer() is None


# ------------------------------------------------------------------------------------------- the time of what happens


def test_a_link_that_is_asked_for_is_due_after_connect() -> None:
    hand = Hand(settings={"connect_timeout": 10.0})
    hand.session.connect(3.0)
    assert hand.session.get_timer() == 13.0


def test_the_handshake_is_due_after_the_link_was_opened() -> None:
    hand = Hand(settings={"handshake_timeout": 2.0})
    hand.session.connect(0.0)
    hand.session.link_opened(hand.asked(OpenLink).link_id, 3.0)
    assert hand.session.get_timer() == 5.0


def test_the_pause_before_the_next_token_begins_when_the_last_one_failed() -> None:
    hand = Hand(token=None, addresses=())
    hand.session.connect(0.0)
    hand.session.token_fetched(hand.asked(FetchToken).request_id, OSError(), 3.0)
    assert hand.session.get_timer() == 3.05


def test_a_link_is_due_after_the_resolver_answered() -> None:
    hand = Hand(addresses=(), settings={"connect_timeout": 10.0})
    hand.session.connect(0.0)
    hand.session.resolved(hand.asked(Resolve).request_id, OSError(), 3.0)
    assert hand.session.get_timer() == 13.0


def test_a_drain_begins_with_the_logout() -> None:
    hand = Hand().bound()
    hand.session.send("bob", b"hi", now=0.0)
    hand.session.logout(3.0, 4.0)
    assert hand.session.get_timer() == 7.0


def test_what_is_left_on_a_link_may_be_written_until_the_time_of_close() -> None:
    hand = Hand().bound()
    hand.session.close(3.0)
    assert hand.session.requests() == [CloseLink(link_id=hand.link_id, flush_until=3.0)]


# ------------------------------------------------------------------------------------------------ tokens, addresses


def test_a_failed_token_is_fetched_again_after_a_growing_pause() -> None:
    bed = Bed()
    bed.driver.tokens.answers.extend([OSError("secret detail"), token_answer("alice", token=7), "{"])
    bed.login()
    assert bed.now == pytest.approx(0.05 + 0.1 + 0.2)
    assert [event.problem for event in bed.of(TokenFailed)][:2] == [
        "token: OSError",
        "token answer.data.token: expected text, got a number",
    ]


def test_a_token_that_does_not_come_is_given_up_and_fetched_again() -> None:
    bed = Bed(token_timeout=7.0)
    bed.driver.tokens.delay = None
    bed.connect(7.0)
    [failed] = bed.of(TokenFailed)
    assert "7 s (token_timeout)" in failed.problem
    bed.driver.tokens.delay = 0.0
    bed.run(0.05)
    assert bed.session.online


def test_a_kept_token_that_is_refused_is_replaced_at_once_a_fresh_one_after_a_pause() -> None:
    bed = Bed(options={"token": token_answer("alice")})
    bed.server.refuse_next_bind("token-expired")
    bed.server.refuse_next_bind("invalid-token")
    bed.login()
    assert [at for at, _ in bed.binds()] == pytest.approx([0.0, 0.0, 0.05])
    assert {link for _, link in bed.binds()} == {1}
    assert len(bed.of(LoginRefused)) == 2


def test_an_answer_with_an_old_id_is_ignored() -> None:
    hand = Hand(token=None, addresses=())
    hand.session.connect(0.0)
    fetch = hand.asked(FetchToken)
    hand.session.token_fetched(fetch.request_id + 1, NEW_TOKEN, 0.0)
    assert hand.session.requests() == []
    hand.session.token_fetched(fetch.request_id, NEW_TOKEN, 0.0)
    resolve = hand.asked(Resolve)
    hand.session.resolved(resolve.request_id + 1, OSError(), 0.0)
    hand.session.token_fetched(fetch.request_id, OSError(), 0.0)
    assert hand.session.requests() == []
    assert hand.session.events() == []


@pytest.mark.parametrize("answer", [OSError("down"), "{}", None])
def test_without_a_usable_answer_of_the_resolver_the_domain_itself_is_the_address(answer: object) -> None:
    bed = Bed(addresses=())
    bed.network.listen(FRONTEND, 5222, bed.server)
    if answer is None:
        bed.driver.resolver.delay = None
    else:
        bed.driver.resolver.answers.append(answer)  # type: ignore[arg-type]
    bed.login()
    assert [(item.host, item.port) for item in bed.network.attempts] == [(FRONTEND, 5222)]
    assert len(bed.of(ResolverFailed)) == 1
    assert bed.now == (5.0 if answer is None else 0.0)


def test_addresses_are_tried_in_turn_with_a_pause_after_each_round() -> None:
    bed = Bed(addresses=(HERE, THERE))
    bed.network.refuse(*HERE)
    bed.connect(4.0)
    assert [item.host for item in bed.network.attempts[:6]] == [HERE[0], THERE[0]] * 3
    assert [item.at for item in bed.network.attempts[:6]] == pytest.approx([0.0, 0.0, 0.5, 0.5, 1.5, 1.5])
    assert [event.retry_in for event in bed.of(LinkLost)[:4]] == [0.0, 0.5, 0.0, 1.0]


def test_the_next_address_is_tried_at_once() -> None:
    hand = Hand(addresses=(HERE, THERE))
    hand.session.connect(0.0)
    hand.session.link_lost(hand.asked(OpenLink).link_id, OSError(), 0.0)
    assert hand.asked(OpenLink).host == THERE[0]


def test_after_known_addresses_that_fail_the_domain_of_a_token_that_came_meanwhile_is_resolved() -> None:
    hand = Hand(token=None, addresses=(), known_addresses=[THERE])
    hand.session.connect(0.0)
    fetch, link = hand.session.requests()
    assert isinstance(fetch, FetchToken)
    assert isinstance(link, OpenLink)
    hand.session.link_lost(link.link_id, OSError(), 0.0)
    hand.session.token_fetched(fetch.request_id, NEW_TOKEN, 0.1)
    assert hand.session.requests() == []
    assert hand.session.get_timer() == 0.5
    hand.timer(0.5)
    hand.asked(Resolve)


def test_the_domain_of_an_expired_token_is_resolved_while_the_next_token_is_fetched() -> None:
    hand = Hand(addresses=(), known_addresses=[THERE]).bound()
    hand.say(hand.peer.kick("token-expired"))
    hand.asked(FetchToken)
    hand.session.link_lost(hand.link_id, None, 0.0)
    assert hand.session.get_timer() == 0.5
    hand.timer(0.5)
    hand.asked(Resolve)


@pytest.mark.parametrize("settings", [{"max_pending": 1}, {"max_pending_bytes": 1}])
def test_a_small_outbox_does_not_get_in_the_way_of_a_login(settings: dict[str, Any]) -> None:
    assert Bed(**settings).login().session.online


@pytest.mark.parametrize("settings", [{"max_pending": 1}, {"max_pending_bytes": 1}])
def test_a_small_outbox_leaves_room_for_what_the_session_says_itself(settings: dict[str, Any]) -> None:
    hand = Hand(settings={"answer_timeout": 4.0, **settings}).bound()
    for topic in range(20):
        hand.push(group_messages(1, topic=topic))
    assert len(hand.bodies()) == 20
    hand.session.logout(0.0)
    hand.frames()
    assert hand.session.get_timer() == 4.0


# --------------------------------------------------------------------------------------------------------- refusals


def test_the_first_login_refused_for_good_ends_the_session() -> None:
    bed = Bed()
    bed.server.refuse_next_bind("no-such-app", "ask your admin")
    bed.connect(1.0)
    told = {"error_type": "no-such-app", "error_reason": "no-such-app", "error_desc": "ask your admin"}
    assert bed.driver.events == [LoginRefused(**told), Ended(reason=EndReason.LOGIN_REFUSED, **told)]
    assert bed.session.ended == bed.driver.events[-1]


def test_a_later_login_that_is_refused_is_tried_again_for_ever() -> None:
    bed = Bed().login()
    bed.run(20.0)
    bed.network.pipe.cut()
    for _ in range(3):
        bed.server.refuse_next_bind("overloaded")
    bed.run(20.0)
    assert bed.session.online
    assert [event.error_reason for event in bed.of(LoginRefused)] == ["overloaded"] * 3
    again = [at for at, link in bed.binds() if link == 2]
    assert [late - early for early, late in itertools.pairwise(again)] == pytest.approx([0.5, 1.0, 2.0])
    bed.network.pipe.cut()
    bed.server.refuse_next_bind("overloaded")
    bed.run(20.0)
    again = [at for at, link in bed.binds() if link == 3]
    assert again[1] - again[0] == pytest.approx(0.5)  # from the beginning


@pytest.mark.parametrize("before", [True, False])
def test_a_refusal_because_another_session_holds_the_resource_ends_this_one(before: bool) -> None:
    bed = Bed()
    if not before:
        bed.login()
        bed.network.pipe.cut()
    bed.server.refuse_next_bind(TAKEN_OVER)
    if before:
        bed.connect()
    bed.run(60.0)
    assert bed.of(Ended) == [Ended(reason=EndReason.KICKED, error_type=TAKEN_OVER, error_reason=TAKEN_OVER)]


@pytest.mark.parametrize(("reason", "next_step"), [("token-expired", "FetchToken"), ("overloaded", None)])
def test_a_refusal_that_comes_while_online_ends_that(reason: str, next_step: str | None) -> None:
    hand = Hand().bound()
    assert hand.say(hand.peer.bind_answer(False, reason, "why")) == [
        Offline(error_type=reason, error_reason="why"),
        LoginRefused(error_type=reason, error_reason="why", error_desc=""),
    ]
    assert hand.session.state is SessionState.OFFLINE
    assert kinds(hand.session.requests()) == ([next_step] if next_step else [])


def test_a_kick_over_a_token_that_was_refused_already_does_not_delay_the_next_login() -> None:
    hand = Hand().ready()
    hand.frames()
    hand.say(hand.peer.bind_answer(False, "token-expired"))
    fetch = hand.asked(FetchToken)
    assert hand.say(hand.peer.kick("token-expired")) == []
    hand.session.token_fetched(fetch.request_id, NEW_TOKEN, 0.0)
    assert hand.commands() == ["BIND"]


# ------------------------------------------------------------------------------------------------------------ kicks


def test_another_session_that_takes_over_ends_this_one() -> None:
    bed = Bed().login()
    bed.server.link.kick(TAKEN_OVER, "bye")
    bed.run(100.0)
    told = {"error_type": TAKEN_OVER, "error_reason": TAKEN_OVER, "error_desc": "bye"}
    assert bed.driver.events[1:] == [Offline(**told), Ended(reason=EndReason.KICKED, **told)]
    assert len(bed.binds()) == 1


def test_an_end_is_the_end_also_of_the_read_that_brought_it() -> None:
    hand = Hand().bound()
    events = hand.say(hand.peer.kick(TAKEN_OVER), hand.peer.kick("other"), b"GET / HTTP/1.1")
    assert kinds(events) == ["Offline", "Ended"]
    assert hand.session.requests() == [CloseLink(link_id=hand.link_id, flush_until=0.0)]


@pytest.mark.parametrize("reason", ["token-expired", "invalid-token"])
def test_a_kick_over_the_token_fetches_one_and_binds_on_the_same_link(reason: str) -> None:
    bed = Bed().login()
    bed.run(1.0)
    bed.server.link.kick(reason)
    bed.run(0.0)
    assert bed.session.online
    assert bed.binds() == [(0.0, 1), (1.0, 1)]
    assert len(bed.driver.tokens.asked) == 2


def test_a_kick_without_a_word_is_one() -> None:
    hand = Hand().bound()
    assert hand.say(hand.peer.kick()) == [Offline()]
    assert hand.session.state is SessionState.OFFLINE


def test_a_kick_while_bind_is_on_its_way_is_no_end_of_it() -> None:
    hand = Hand().ready()
    hand.frames()
    assert hand.say(hand.peer.kick("busy")) == []
    assert hand.session.get_timer() == 5.0
    assert hand.timer(5.0) == []
    assert hand.commands() == ["BIND"]
    assert hand.say(hand.peer.bind_answer()) == [Online(uuid=UUID, resource=RESOURCE)]


def rebinding() -> Hand:
    """A session whose token expired while it was bound; BIND with a fresh one is on its way."""
    hand = Hand().bound()
    hand.now = 1.0
    hand.say(hand.peer.kick("token-expired"))
    hand.session.token_fetched(hand.asked(FetchToken).request_id, NEW_TOKEN, 1.0)
    assert hand.commands() == ["BIND"]
    return hand


def test_a_late_kick_about_an_older_token_does_not_cost_the_fresh_one() -> None:
    hand = rebinding()
    assert hand.say(hand.peer.kick("token-expired")) == []
    assert hand.session.requests() == []
    assert hand.commands() == []  # one BIND is out
    hand.say(hand.peer.bind_answer())  # to the BIND that the link has forgotten over the KICK
    assert hand.commands() == ["BIND"]
    assert kinds(hand.say(hand.peer.bind_answer())) == ["Online"]
    assert hand.session.requests() == []


def test_a_bind_that_a_late_kick_crossed_and_nobody_answers_is_sent_again_after_its_deadline() -> None:
    hand = rebinding()
    hand.say(hand.peer.kick("token-expired"))
    assert hand.session.get_timer() == 6.0
    assert hand.timer(6.0) == []
    assert hand.commands() == ["BIND"]
    hand.say(hand.peer.kick("token-expired"))  # the second BIND with this token: now it is meant
    assert hand.session.get_timer() == 6.05
    hand.timer(6.05)
    assert kinds(hand.session.requests()) == ["FetchToken"]


def test_a_bind_that_a_late_kick_crossed_is_not_waited_for_on_the_next_link() -> None:
    hand = rebinding()
    hand.say(hand.peer.kick("token-expired"))
    hand.session.link_lost(hand.link_id, None, 1.0)
    hand.timer(1.5)
    hand.ready()
    assert hand.commands() == ["BIND"]


def test_a_kick_on_the_next_link_is_about_the_token_that_was_bound_there() -> None:
    hand = Hand().bound()
    hand.say(hand.peer.kick("token-expired"))
    fetch = hand.asked(FetchToken)
    hand.session.link_lost(hand.link_id, None, 0.0)
    hand.session.token_fetched(fetch.request_id, NEW_TOKEN, 0.0)
    hand.timer(0.5)
    hand.ready()
    assert hand.commands() == ["BIND"]
    hand.say(hand.peer.kick("token-expired"))
    hand.timer(0.55)
    hand.asked(FetchToken)


def test_a_second_kick_about_a_token_that_is_being_replaced_asks_for_no_other() -> None:
    hand = Hand().bound()
    hand.say(hand.peer.kick("token-expired"))
    fetch = hand.asked(FetchToken)
    assert hand.say(hand.peer.kick("token-expired")) == []
    hand.session.token_fetched(fetch.request_id, OSError("down"), 0.0)
    hand.session.events()
    assert hand.say(hand.peer.kick("token-expired")) == []
    assert hand.session.requests() == []
    assert hand.session.get_timer() == 0.05


def test_a_session_that_ends_wants_no_token_any_more() -> None:
    hand = Hand().bound()
    hand.session.requests()
    hand.session.receive_data(hand.link_id, hand.peer.kick("invalid-token") + hand.peer.kick(TAKEN_OVER), 0.0)
    together = hand.session.requests()
    hand = Hand().bound()
    hand.session.requests()
    for reason in ("invalid-token", TAKEN_OVER):
        hand.session.receive_data(hand.link_id, hand.peer.kick(reason), 0.0)
    assert kinds(hand.session.requests()) == kinds(together) == ["CloseLink"]


def test_a_kick_as_the_answer_to_the_first_bind_of_a_link_is_about_its_token() -> None:
    hand = Hand().ready()
    hand.frames()
    assert hand.say(hand.peer.kick("invalid-token")) == []
    hand.session.token_fetched(hand.asked(FetchToken).request_id, NEW_TOKEN, 0.0)
    assert hand.commands() == ["BIND"]


def test_a_fresh_token_that_is_refused_after_a_kick_is_replaced_after_a_pause() -> None:
    hand = rebinding()
    assert kinds(hand.say(hand.peer.bind_answer(False, "token-expired"))) == ["LoginRefused"]
    assert hand.session.requests() == []
    assert hand.session.get_timer() == 1.05


def test_a_token_of_another_uuid_gets_a_link_of_its_own_while_packets_of_the_first_wait() -> None:
    hand = Hand(settings={"send_timeout": 99.0}).bound()
    hand.session.pull(0.0)
    hand.timer(0.0)  # PULL waits to be written
    hand.say(hand.peer.kick("token-expired"))
    fetch = hand.asked(FetchToken)
    hand.session.token_fetched(fetch.request_id, token_answer(other_user()), 0.0)
    assert kinds(hand.session.events()) == ["LinkLost"]
    assert kinds(hand.session.requests()) == ["CloseLink"]
    hand.timer(60.0)
    assert kinds(hand.session.requests()) == ["OpenLink"]


# ------------------------------------------------------------------------------------------------------ lost links


def test_a_link_that_cannot_be_opened_is_not_closed_as_well() -> None:
    hand = Hand()
    hand.session.connect(0.0)
    link = hand.asked(OpenLink)
    hand.session.link_lost(link.link_id, ConnectionRefusedError("nobody"), 0.0)
    assert hand.session.events() == [LinkLost(host=HERE[0], port=HERE[1], problem="nobody", retry_in=0.5)]
    assert hand.session.requests() == []
    hand.timer(0.5)
    assert kinds(hand.session.requests()) == ["OpenLink"]


@pytest.mark.parametrize(
    ("error", "problem"),
    [(None, "the peer closed the connection"), (OSError(), "OSError"), ("broken", "broken"), (OSError("x"), "x")],
)
@pytest.mark.parametrize("stage", ["handshake", "ready", "binding", "bound"])
def test_a_link_lost_at_any_stage_is_told_and_replaced(stage: str, error: Any, problem: str) -> None:
    hand = Hand(token=None if stage == "ready" else token_answer(credentials()))
    if stage == "bound":
        hand.bound()
    elif stage == "handshake":
        hand.session.connect(0.0)
        hand.open()
    else:
        hand.ready()
        assert hand.commands() == (["BIND"] if stage == "binding" else [])
    hand.session.link_lost(hand.link_id, error, 1.0)
    *others, lost = hand.session.events()
    assert others == ([Offline()] if stage == "bound" else [])
    assert lost == LinkLost(host=HERE[0], port=HERE[1], problem=problem, retry_in=0.5)
    assert hand.session.requests() == []
    assert hand.session.get_timer() == 1.5
    hand.timer(1.5)
    assert kinds(hand.session.requests()) == ["OpenLink"]


def test_a_connection_that_is_not_made_in_time_is_given_up() -> None:
    bed = Bed(connect_timeout=3.0)
    bed.network.black_hole(*HERE)
    bed.connect(2.9)
    bed.session.handle_timer(bed.now)  # nothing is due
    assert bed.session.events() == []
    bed.run(0.1)
    [lost] = bed.of(LinkLost)
    assert lost.problem == "no connection within 3 s (connect_timeout)"
    bed.network.restore(*HERE)
    bed.run(0.5)
    assert bed.session.online


@pytest.mark.parametrize(
    ("silent", "after", "problem"),
    [
        (Command.CONN, 2.0, "the handshake took too long"),
        (Command.BIND, 3.0, "no login in time"),
        (Command.PING, 15.0 + 4.0, "an answer stayed out"),
    ],
)
def test_an_answer_that_stays_out_ends_the_link(silent: Command, after: float, problem: str) -> None:
    bed = Bed(handshake_timeout=2.0, login_timeout=3.0, answer_timeout=4.0)
    bed.server.silence(silent)
    bed.connect(after)
    assert [(event.problem) for event in bed.of(LinkLost)] == [problem]
    bed.server.speak()
    bed.run(5.0)
    assert bed.session.online


def test_a_peer_that_breaks_the_protocol_loses_the_link_and_nothing_is_raised() -> None:
    bed = Bed().login()
    bed.server.link.raw(b"HTTP/1.1 400 Bad Request\r\n")
    bed.run(0.0)
    [lost] = bed.of(LinkLost)
    assert "expected magic c2fe" in lost.problem
    bed.run(1.0)
    assert bed.session.online


def test_what_belongs_to_an_old_link_is_ignored() -> None:
    hand = Hand().bound()
    old = hand.link_id
    hand.session.link_lost(old, None, 0.0)
    hand.session.events()
    hand.now = 1.0
    hand.session.handle_timer(1.0)
    new = hand.asked(OpenLink).link_id
    hand.session.receive_data(old, b"garbage", 1.0)
    hand.session.link_lost(old, OSError(), 1.0)
    hand.session.link_opened(old, 1.0)
    assert hand.session.data_to_send(old) == []
    assert hand.session.data_to_send(new) == []
    assert hand.session.events() == []
    hand.session.link_opened(new, 1.0)
    assert len(hand.session.data_to_send(new)) == 1
    hand.session.link_opened(new, 1.0)  # told twice
    assert hand.session.data_to_send(new) == []


# ----------------------------------------------------------------------------------------------------- the end


@pytest.mark.parametrize("drain", [-1.0, float("nan"), 1e12, "1"])
def test_a_drain_that_is_no_time_is_refused(drain: Any) -> None:
    hand = Hand().bound()
    with pytest.raises(LocalProtocolError, match="expected seconds from 0") as caught:
        hand.session.logout(0.0, drain)
    assert caught.value.where == "drain"
    assert hand.session.online


def test_without_a_drain_a_logout_does_not_wait_for_verdicts() -> None:
    hand = Hand().bound()
    hand.session.send("bob", b"hi", now=0.0)
    assert len(hand.frames()) == 1
    hand.session.logout(0.0)
    assert hand.commands() == ["UBND"]


def test_a_session_that_never_connected_has_no_drain() -> None:
    hand = Hand()
    hand.session.send("bob", b"hi", now=0.0)
    hand.session.logout(0.0, 5.0)
    assert kinds(hand.session.events()) == ["Failed", "Ended"]
    assert hand.session.requests() == []


def test_logout_says_so_and_ends_when_it_was_answered() -> None:
    bed = Bed().login()
    bed.session.logout(bed.now)
    bed.run(0.0)
    assert bed.driver.events[1:] == [Offline(), Ended(reason=EndReason.LOGGED_OUT)]
    assert [type(item.event).__name__ for item in bed.server.received][-2:] == ["Unbound", "LinkClosed"]


@pytest.mark.parametrize("how", ["eof", "timeout", "garbage", "kick"])
def test_whatever_ends_the_link_of_a_logout_is_a_logout(how: str) -> None:
    hand = Hand(settings={"answer_timeout": 4.0}).bound()
    hand.session.logout(0.0)
    hand.session.logout(0.0)  # once more is not twice
    assert hand.commands() == ["UBND"]
    assert hand.session.get_timer() == 4.0
    assert kinds(hand.push(PacketList(uuid=UUID, resource=RESOURCE, packets=(message(1),), max_sequence=1))) == [
        "MessagesDelivered"
    ]
    if how == "eof":
        hand.session.link_lost(hand.link_id, None, 1.0)
    elif how == "timeout":
        hand.session.handle_timer(4.0)
    else:
        hand.session.receive_data(hand.link_id, b"garbage!" if how == "garbage" else hand.peer.kick(TAKEN_OVER), 1.0)
    assert hand.session.events() == [Offline(), Ended(reason=EndReason.LOGGED_OUT)]
    assert kinds(hand.session.requests()) == ([] if how == "eof" else ["CloseLink"])


@pytest.mark.parametrize("state", [SessionState.NEW, SessionState.CONNECTING, SessionState.OFFLINE])
def test_who_is_not_logged_in_is_logged_out_at_once(state: SessionState) -> None:
    session = in_state(state).session
    session.logout(0.0, 5.0 if state is SessionState.NEW else 0.0)
    assert session.events() == [Ended(reason=EndReason.LOGGED_OUT)]
    assert session.state is SessionState.ENDED


@pytest.mark.parametrize("state", SessionState)
def test_close_ends_the_session_in_every_state_and_once(state: SessionState) -> None:
    session = in_state(state).session
    session.close(0.0)
    session.close(0.0)
    was_online = state in (SessionState.ONLINE, SessionState.LEAVING)
    ended = [] if state is SessionState.ENDED else [Ended(reason=EndReason.CLOSED)]
    assert session.events() == ([Offline()] if was_online else []) + ended
    assert session.state is SessionState.ENDED


def test_a_drain_waits_for_the_verdicts_also_over_a_lost_link_and_a_new_login() -> None:
    bed = Bed().login()
    bed.network.pipe.cut()
    bed.run(0.0)
    packet_id = bed.send()
    bed.session.logout(bed.now, 20.0)
    with pytest.raises(LocalProtocolError, match="LEAVING"):
        bed.send()
    bed.run(1.0)
    assert type(bed.verdict(packet_id)).__name__ == "Acknowledged"
    assert bed.of(Ended) == [Ended(reason=EndReason.LOGGED_OUT)]


def test_a_drain_has_an_end() -> None:
    bed = Bed(send_timeout=99.0).login()
    bed.network.refuse(*HERE)
    bed.network.pipe.cut()
    bed.run(0.0)
    packet_id = bed.send()
    bed.session.logout(bed.now, 4.0)
    bed.run(3.9)
    assert bed.of(Ended) == []
    bed.run(0.1)
    assert bed.of(Ended) == [Ended(reason=EndReason.LOGGED_OUT)]
    assert bed.verdict(packet_id) == Failed(packet_id=packet_id, reason=FailReason.CLOSED, may_have_arrived=False)


def test_a_kick_while_logging_out_is_a_logout() -> None:
    hand = Hand().bound()
    hand.session.send("bob", b"hi", now=0.0)
    hand.session.logout(0.0, 5.0)
    assert kinds(hand.say(hand.peer.kick("maintenance"))) == ["Offline", "Failed", "Ended"]
    assert hand.session.ended == Ended(reason=EndReason.LOGGED_OUT)


def test_a_login_refused_while_logging_out_is_tried_again_until_the_drain_ends() -> None:
    hand = Hand().bound()
    hand.session.send("bob", b"hi", now=0.0)
    hand.session.link_lost(hand.link_id, None, 0.0)
    hand.session.logout(0.0, 5.0)
    hand.session.events()
    hand.timer(0.5)
    hand.ready()
    hand.frames()
    assert kinds(hand.say(hand.peer.bind_answer(False, "overloaded"))) == ["LoginRefused"]
    assert hand.session.state is SessionState.LEAVING
    assert kinds(hand.timer(5.0)) == ["Failed", "Ended"]


def test_what_was_asked_for_before_the_end_is_of_no_interest_after_it() -> None:
    hand = Hand(token=None, addresses=())
    hand.session.connect(0.0)
    fetch = hand.asked(FetchToken)
    hand.session.token_fetched(fetch.request_id, NEW_TOKEN, 0.0)
    resolve = hand.asked(Resolve)
    hand.session.close(0.0)
    hand.session.events()
    hand.session.resolved(resolve.request_id, OSError(), 0.0)
    assert hand.timer(1e6) == []
    assert hand.session.requests() == []
    other = Hand(token=None)
    other.session.connect(0.0)
    request_id = other.session.requests()[0].request_id  # type: ignore[union-attr]
    other.session.close(0.0)
    other.session.events()
    other.session.token_fetched(request_id, OSError(), 0.0)
    assert other.timer(1e6) == []
