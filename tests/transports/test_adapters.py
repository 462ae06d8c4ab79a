"""What every adapter does for an application, told to all of them: the real service on loopback, real sockets."""

from __future__ import annotations

import socket
from typing import Any

import pytest
from support.town import Town

from mimc_proto import (
    LocalProtocolError,
    LoginError,
    LoginTimeout,
    QueueFull,
    SendRejected,
    SessionConfig,
    SessionEnded,
)
from mimc_proto.session import (
    Acknowledged,
    Ended,
    EndReason,
    GroupMessage,
    Message,
    Offline,
    Online,
    OnlineMessage,
    UnlimitedMessage,
)


def test_messages_go_both_ways_and_are_acknowledged(town: Town) -> None:
    async def story() -> None:
        async with town.user("alice") as alice, town.user("bob") as bob:
            assert alice.online
            assert isinstance(alice.status, Online)
            for sender, receiver in ((alice, bob), (bob, alice)):
                name = receiver.session.account
                ack = await sender.send(name, b"hi", biz_type="TEXT", packet_id="mine")
                assert isinstance(ack, Acknowledged)
                assert ack.packet_id == "mine"
                async for message in receiver:
                    assert isinstance(message, Message)
                    assert (message.payload, message.biz_type, message.sequence) == (b"hi", "TEXT", ack.sequence)
                    break
        assert alice.status == Ended(reason=EndReason.LOGGED_OUT)
        assert not alice.online

    town.adapter.run(story)


def test_many_messages_arrive_once_and_in_order(town: Town) -> None:
    async def story() -> None:
        async with town.user("alice") as alice, town.user("bob") as bob:

            async def send() -> None:
                for number in range(500):
                    while True:
                        try:
                            alice.send_nowait(town.name("bob"), b"%d" % number)
                            break
                        except QueueFull:
                            await alice.wait_room()

            got = []

            async def receive() -> None:
                async for message in bob:
                    got.append(int(message.payload))
                    if len(got) == 500:
                        return

            await town.adapter.together(send, receive)
            assert got == list(range(500))

    town.adapter.run(story)


def test_a_consumer_that_sends_in_its_loop_with_a_tiny_queue_does_not_wait_for_ever(town: Town) -> None:
    async def story() -> None:
        config = SessionConfig(max_pending=1)
        async with town.user("alice") as alice, town.user("bob", config=config) as bob:

            async def echo() -> None:
                count = 0
                async for message in bob:
                    await bob.send(town.name("alice"), message.payload)
                    count += 1
                    if count == 50:
                        return

            async def talk() -> None:
                for number in range(50):
                    await alice.send(town.name("bob"), b"%d" % number)
                count = 0
                async for _ in alice:
                    count += 1
                    if count == 50:
                        return

            await town.adapter.together(echo, talk)

    town.adapter.run(story)


def test_groups_online_messages_and_unlimited_groups(town: Town) -> None:
    team = town.service.group(town.name("alice"), [town.name("bob")])
    crowd = town.service.unlimited_group(town.name("alice"))

    async def story() -> None:
        async with town.user("alice") as alice, town.user("bob") as bob:
            await alice.join_unlimited(crowd)
            await bob.join_unlimited(crowd)
            await alice.send_group(team, b"group")
            await alice.send_online(town.name("bob"), b"online")
            await alice.send_unlimited(crowd, b"crowd")
            alice.send_group_nowait(team, b"later")
            got = {}
            async for message in bob:
                got[message.payload] = type(message)
                if len(got) == 4:
                    break
            assert got == {
                b"group": GroupMessage,
                b"online": OnlineMessage,
                b"crowd": UnlimitedMessage,
                b"later": GroupMessage,
            }
            await bob.quit_unlimited(crowd)
            assert crowd not in bob.session.joined_groups

    town.adapter.run(story)


def test_what_was_not_consumed_comes_again_and_what_was_consumed_does_not(town: Town) -> None:
    async def story() -> None:
        async with town.user("alice") as alice:
            for payload in (b"one", b"two"):
                await alice.send(town.name("bob"), payload)
        with pytest.raises(KeyError):
            async with town.user("bob") as bob:
                got = [(await anext(aiter(bob))).payload, (await anext(aiter(bob))).payload]
                raise KeyError
        assert got == [b"one", b"two"]
        async with town.user("bob") as bob:
            again = [message.payload async for message in _first(bob, 2)]
            assert again == [b"one", b"two"]  # they were pushed in one list, of which the second was in hands
            await alice_sends(town, b"three")
            assert (await anext(aiter(bob))).payload == b"three"
        async with town.user("bob") as bob:
            assert (await anext(aiter(bob))).payload == b"three"

    async def alice_sends(town: Town, payload: bytes) -> None:
        async with town.user("alice") as alice:
            await alice.send(town.name("bob"), payload)

    town.adapter.run(story)


async def _first(user: Any, count: int) -> Any:
    async for message in user:
        yield message
        count -= 1
        if not count:
            return


def test_messages_can_be_acknowledged_one_by_one(town: Town) -> None:
    async def story() -> None:
        async with town.user("alice") as alice:
            for payload in (b"one", b"two"):
                await alice.send(town.name("bob"), payload)
        async with town.user("bob", auto_acknowledge=False) as bob:
            one, two = await anext(aiter(bob)), await anext(aiter(bob))
            bob.acknowledge(two)
            bob.acknowledge(one)
            with pytest.raises(LocalProtocolError, match="not acknowledged yet"):
                bob.acknowledge(one)
        async with town.user("alice") as alice, town.user("bob") as bob:
            await alice.send(town.name("bob"), b"three")
            assert (await anext(aiter(bob))).payload == b"three"

    town.adapter.run(story)


def test_handlers_get_messages_verdicts_and_states(town: Town) -> None:
    async def story() -> None:
        messages, verdicts, states = [], [], list[Any]()
        through = town.adapter.event()

        def on_message(message: Any) -> None:
            messages.append(message.payload)
            if len(messages) == 3:
                through.set()

        def on_verdict(verdict: Any) -> None:
            verdicts.append(verdict)
            if len(verdicts) == 3:
                bob_may_go.set()

        bob_may_go = town.adapter.event()
        async with town.user("bob", on_message=on_message, on_status=states.append):
            async with town.user("alice", on_verdict=on_verdict) as alice:
                ids = [alice.send_nowait(town.name("bob"), b"%d" % number) for number in range(3)]
                await bob_may_go.wait()
            await through.wait()
        assert messages == [b"0", b"1", b"2"]
        assert [verdict.packet_id for verdict in verdicts] == ids
        assert [type(state) for state in states] == [Online, Offline, Ended]

    town.adapter.run(story)


def test_a_message_handler_that_raises_ends_the_user_and_the_message_comes_again(town: Town) -> None:
    async def story() -> None:
        def on_message(message: Any) -> None:
            raise KeyError(message.payload)

        async with town.user("alice") as alice:
            await alice.send(town.name("bob"), b"hi")
        with pytest.raises(KeyError, match="hi"):
            async with town.user("bob", on_message=on_message) as bob:
                async for _ in bob.events():
                    pass
                assert bob.status == Ended(reason=EndReason.CLOSED)
        async with town.user("bob") as bob:
            assert (await anext(aiter(bob))).payload == b"hi"

    town.adapter.run(story)


def test_a_message_handler_that_raises_may_count_as_through_with_its_message(town: Town) -> None:
    async def story() -> None:
        called = {payload: town.adapter.event() for payload in (b"one", b"two")}

        def on_message(message: Any) -> None:
            called[message.payload].set()
            raise KeyError(message.payload)

        async with town.user("alice") as alice:
            async with town.user("bob", on_message=on_message, on_handler_error="ack"):
                for payload, event in called.items():
                    await alice.send(town.name("bob"), payload)
                    await event.wait()
            await alice.send(town.name("bob"), b"three")
        async with town.user("bob") as bob:  # perhaps the block was left before its handler was through with "two"
            assert (await anext(aiter(bob))).payload in (b"two", b"three")

    town.adapter.run(story)


def test_a_takeover_ends_iteration_and_sends(town: Town) -> None:
    async def story() -> None:
        async with town.user("bob") as first, town.user("bob"):
            with pytest.raises(SessionEnded, match="single-resource-kick"):
                await anext(aiter(first))
            with pytest.raises(SessionEnded):
                await first.send(town.name("alice"), b"hi")
            with pytest.raises(SessionEnded):
                await first.wait_online()

    town.adapter.run(story)


def test_events_are_told_while_the_session_lives(town: Town) -> None:
    async def story() -> None:
        async with town.user("alice") as alice:
            events = alice.events()
            town.service.kick(town.name("alice"))
            kinds = []
            async for event in events:
                kinds.append(type(event))
                if isinstance(event, Offline):
                    break
            assert kinds[-1] is Offline
            await events.aclose()
            await alice.logout()
            assert isinstance(alice.status, Ended)

    town.adapter.run(story)


def test_a_send_that_is_refused_says_why(town: Town) -> None:
    async def story() -> None:
        async with town.user("alice") as alice:
            with pytest.raises(SendRejected) as caught:
                await alice.send_group(4711, b"hi")
            assert caught.value.code != 0
            with pytest.raises(LocalProtocolError, match="payload"):
                await alice.send(town.name("bob"), bytes(1_000_000))

    town.adapter.run(story)


@pytest.mark.parametrize("kind", ["value", "function", "coroutine function"])
def test_tokens_come_from_anything_that_gives_them(town: Town, kind: str) -> None:
    answer = town.service.token(town.name("alice"))()

    async def coroutine() -> Any:
        return answer

    token = {"value": answer, "function": lambda: answer, "coroutine function": coroutine}[kind]

    async def story() -> None:
        if kind == "coroutine function" and town.adapter.name == "blocking":
            with pytest.raises(LoginTimeout, match="got one to await"):
                async with town.user("alice", token=token, login_timeout=1.0):
                    pass
            return
        async with town.user("alice", token=token) as alice:
            assert alice.online

    town.adapter.run(story)


def test_nobody_who_listens_is_a_login_that_takes_too_long(town: Town) -> None:
    async def story() -> None:
        with pytest.raises(LoginTimeout, match=r"not online within 1 s; last problem: 127.0.0.1:1: "):
            async with town.user("alice", addresses=[("127.0.0.1", 1)], login_timeout=1.0):
                pass

    town.adapter.run(story)


def test_a_name_that_cannot_be_is_no_reason_not_to_try_the_next_address(town: Town) -> None:
    async def story() -> None:
        addresses = [("fe..example", 5222), ("127.0.0.1", 1), town.service.address]
        async with town.user("alice", addresses=addresses) as alice:
            assert alice.online

    town.adapter.run(story)


def test_leaving_by_an_exception_passes_it_on_as_it_is(town: Town) -> None:
    async def story() -> None:
        with pytest.raises(KeyError, match="mine"):
            async with town.user("alice") as alice:
                raise KeyError("mine")
        assert alice.status == Ended(reason=EndReason.CLOSED)

    town.adapter.run(story)


def test_one_consumer_at_a_time(town: Town) -> None:
    async def story() -> None:
        async with town.user("alice") as alice:
            waiting = town.adapter.event()

            async def first() -> None:
                waiting.set()
                with pytest.raises((SessionEnded, StopAsyncIteration)):
                    await anext(aiter(alice))

            async def second() -> None:
                await waiting.wait()
                while not _iterates(alice):
                    await alice.send(town.name("bob"), b"time passes")
                with pytest.raises(LocalProtocolError, match="one consumer at a time"):
                    await anext(aiter(alice))
                alice.abort()

            await town.adapter.together(first, second)

    town.adapter.run(story)


def _iterates(user: Any) -> bool:
    return bool(getattr(user, "inner", user)._iterating)


def test_a_user_that_is_aborted_inside_its_block_lets_the_block_go_on(town: Town) -> None:
    async def story() -> None:
        async with town.user("alice") as alice:
            alice.abort()
            async with town.user("bob") as bob:
                await bob.send(town.name("alice"), b"hi")
            with pytest.raises(SessionEnded):
                await alice.send(town.name("bob"), b"hi")

    town.adapter.run(story)


def test_a_login_that_is_refused_is_an_error(town: Town) -> None:
    async def story() -> None:
        with pytest.raises((LoginError, LoginTimeout)):
            async with town.user("alice", token='{"code": 500, "message": "no"}', login_timeout=1.0):
                pass

    town.adapter.run(story)


def test_small_frames_do_not_wait_for_others(town: Town) -> None:
    async def story() -> None:
        async with town.user("alice") as alice:
            link = getattr(alice, "inner", alice)._link
            connection = link.socket if town.adapter.name == "blocking" else link._transport.get_extra_info("socket")
            assert connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)

    if town.adapter.name == "trio":
        pytest.skip("trio sets it for every stream")
    town.adapter.run(story)


def test_messages_go_to_the_handler_or_to_who_iterates(town: Town) -> None:
    async def story() -> None:
        async with town.user("alice", on_message=print) as alice:
            with pytest.raises(LocalProtocolError, match="messages go to on_message"):
                await anext(aiter(alice))

    town.adapter.run(story)


def test_one_message_may_be_asked_for_without_a_loop(town: Town) -> None:
    async def story() -> None:
        async with town.user("alice") as alice:
            await alice.send(town.name("alice"), b"to myself")
            message = await alice.receive()
            assert message.payload == b"to myself"
        with pytest.raises(SessionEnded):
            await alice.receive()

    town.adapter.run(story)
