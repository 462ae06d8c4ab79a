"""The async adapters on virtual time: the real adapter and session, a scripted server, every fault of a pipe.

`anyio.sleep` here is virtual time: the clock jumps to whatever is due next.
"""

from __future__ import annotations

import asyncio
import importlib.util
import itertools
import logging
from collections.abc import Iterable
from typing import Any

import anyio
import pytest
from support.virtual_world import HOST, LIBRARIES, PORT, World

from mimc_proto import (
    LocalProtocolError,
    LoginError,
    LoginTimeout,
    QueueFull,
    SendFailed,
    SendRejected,
    SendTimeout,
    SessionConfig,
    SessionEnded,
)
from mimc_proto.packets import (
    Command,
    OnlineMessage,
    P2PMessage,
    P2TMessage,
    Packet,
    PacketList,
    Pull,
    SequenceAck,
    UcJoin,
    UcMessage,
)
from mimc_proto.session import (
    Acknowledged,
    Ended,
    EndReason,
    GroupDismissed,
    LinkLost,
    Message,
    Offline,
    Online,
    TooManyWaiting,
)
from mimc_proto.testing import AckRule, token_answer


@pytest.fixture(params=LIBRARIES)
def world(request: pytest.FixtureRequest) -> World:
    if importlib.util.find_spec(request.param) is None:
        pytest.skip(f"{request.param} is not installed")
    return World(request.param)


@pytest.fixture
def asyncio_world() -> World:
    return World("asyncio")


async def enter(user: Any) -> None:
    """Log in, and out."""
    async with user:
        pass


# --------------------------------------------------------------------------------------------------------------- login


def test_a_user_is_online_inside_the_block_and_logged_out_behind_it(world: World) -> None:
    async def story() -> None:
        async with world.user() as alice:
            assert alice.online
            assert isinstance(alice.status, Online)
            assert world.server.link_of("alice").resource == "pc"
        assert alice.status == Ended(reason=EndReason.LOGGED_OUT)
        await world.settle()  # the server sees the connection closed
        assert world.clock.waiting == []

    world.run(story)


def test_on_asyncio_a_user_may_be_awaited_instead_of_entered(asyncio_world: World) -> None:
    async def story() -> None:
        alice = await asyncio_world.user()
        assert alice.online
        await alice.logout()
        assert not alice.online

    asyncio_world.run(story)


async def _coroutine() -> str:
    return token_answer("alice")


class _Provider:
    async def fetch_async(self) -> str:
        return token_answer("alice")


@pytest.mark.parametrize("token", [_coroutine, _Provider(), token_answer("alice").encode()], ids=type)
def test_a_token_may_come_from_anything_that_gives_one(world: World, token: Any) -> None:
    async def story() -> None:
        async with world.user(token=token) as alice:
            assert alice.online

    world.run(story)


def test_a_token_function_that_raises_is_asked_again(world: World) -> None:
    calls = []

    async def flaky() -> str:
        calls.append(1)
        if len(calls) < 3:
            raise OSError("no network")
        return token_answer("alice")

    async def story() -> None:
        async with world.user(token=flaky):
            assert len(calls) == 3

    world.run(story)


def test_a_refusal_that_is_not_about_the_token_is_a_login_error(world: World) -> None:
    async def story() -> None:
        world.server.refuse_next_bind("account-forbidden", "not you")
        with pytest.raises(LoginError, match="account-forbidden not you") as caught:
            await enter(world.user())
        assert not isinstance(caught.value, LoginTimeout)
        assert caught.value.error_desc == "not you"

    world.run(story)


def test_a_login_that_takes_too_long_says_what_went_wrong_last(world: World) -> None:
    async def story() -> None:
        world.network.refuse(HOST, PORT)
        with pytest.raises(LoginTimeout, match=r"not online within 7 s; last problem: fe:5222: refused"):
            await enter(world.user(login_timeout=7.0))
        assert world.clock.now == pytest.approx(7.0)

    world.run(story)


def test_a_login_that_is_cancelled_leaves_nothing_behind(world: World) -> None:
    async def story() -> None:
        world.server.silence(Command.BIND)
        login = world.start(enter, world.user())
        await anyio.sleep(1.0)
        await login.cancel()
        await anyio.sleep(60.0)
        assert len(world.network.attempts) == 1

    world.run(story)


def test_a_connection_that_comes_after_its_user_was_given_up_is_dropped(world: World) -> None:
    async def story() -> None:
        world.network.delay(HOST, PORT, 3.0)
        with pytest.raises(LoginTimeout):
            await enter(world.user(login_timeout=1.0))
        await anyio.sleep(10.0)
        assert world.network.pipes == []

    world.run(story)


# ------------------------------------------------------------------------------------------------------------- sending


def test_a_send_returns_the_acknowledgement(world: World) -> None:
    async def story() -> None:
        async with world.user() as alice:
            ack = await alice.send("bob", b"hi", biz_type="TEXT", packet_id="mine")
        assert ack.packet_id == "mine"
        assert ack.sequence
        [message] = world.server.bodies(P2PMessage)
        assert (message.recipient.account, message.payload, message.biz_type) == ("bob", b"hi", "TEXT")

    world.run(story)


def test_group_online_and_unlimited_messages_go_the_same_way(world: World) -> None:
    async def story() -> None:
        async with world.user() as alice:
            assert (await alice.send_group(7, b"to all")).sequence
            assert (await alice.send_online("bob", b"now")).sequence is None
            await alice.join_unlimited(9)
            assert 9 in alice.session.joined_groups
            assert (await alice.send_unlimited(9, b"to everybody")).sequence
            await alice.quit_unlimited(9)
            assert 9 not in alice.session.joined_groups
        assert world.server.bodies(P2TMessage)[0].recipient.topic_id == 7
        assert world.server.bodies(OnlineMessage)[0].payload == b"now"
        assert world.server.bodies(UcMessage)[0].payload == b"to everybody"

    world.run(story)


def test_what_is_sent_in_one_turn_goes_out_in_one_write(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    async def story() -> None:
        writes: list[list[bytes]] = []

        async with world.user() as alice:
            client = world.network.pipe.client
            write = client.write

            def counted(frames: Iterable[bytes]) -> None:
                writes.append(list(frames))
                write(writes[-1])

            monkeypatch.setattr(client, "write", counted)
            sends = [world.start(alice.send, "bob", b"%d" % n) for n in range(20)]
            for send in sends:
                await send.result()
            assert len(writes) == 1
        payloads = {message.payload for message in world.server.bodies(P2PMessage)}
        assert payloads == {b"%d" % n for n in range(20)}

    world.run(story)


def test_a_refused_message_raises_the_servers_code(world: World) -> None:
    async def story() -> None:
        async with world.user() as alice:
            world.server.next_acks.append(AckRule(code=403, error_message="blocked"))
            with pytest.raises(SendRejected, match="code 403: blocked") as caught:
                await alice.send("bob", b"hi")
            assert (caught.value.code, caught.value.text) == (403, "blocked")

    world.run(story)


def test_a_message_without_an_acknowledgement_times_out(world: World) -> None:
    async def story() -> None:
        async with world.user(close_timeout=0.0) as alice:
            world.server.acks = AckRule(times=0)
            start = world.clock.now
            with pytest.raises(SendTimeout) as caught:
                await alice.send("bob", b"hi", timeout=3.0)
            assert world.clock.now == pytest.approx(start + 3.0)
            assert caught.value.may_have_arrived

    world.run(story)


def test_a_lost_link_fails_what_was_taken_and_the_user_comes_back(world: World) -> None:
    async def story() -> None:
        async with world.user() as alice:
            world.network.pipe.up.cut(after_bytes=20)  # in mid-frame
            with pytest.raises(SendFailed, match="may have arrived"):
                await alice.send("bob", b"torn")
            await alice.wait_online()
            await alice.send("bob", b"whole")
        assert [message.payload for message in world.server.bodies(P2PMessage)] == [b"whole"]

    world.run(story)


def test_a_cancelled_send_that_still_waits_is_never_sent(world: World) -> None:
    async def story() -> None:
        async with world.user() as alice:
            world.network.refuse(HOST, PORT)
            world.network.pipe.cut()
            await anyio.sleep(0.1)
            send = world.start(alice.send, "bob", b"never")
            await anyio.sleep(0.1)
            await send.cancel()
            world.network.restore(HOST, PORT)
            await alice.send("bob", b"later", timeout=60.0)
        assert [message.payload for message in world.server.bodies(P2PMessage)] == [b"later"]

    world.run(story)


def test_a_cancelled_send_that_was_taken_only_abandons_the_wait(world: World) -> None:
    async def story() -> None:
        async with world.user() as alice:
            world.server.acks = AckRule(delay=1.0)
            send = world.start(alice.send, "bob", b"on its way")
            await anyio.sleep(0.5)
            await send.cancel()
            await alice.send("bob", b"next")

    world.run(story)


def test_on_asyncio_a_verdict_in_the_turn_of_a_cancellation_harms_nobody(asyncio_world: World) -> None:
    async def story() -> None:
        async with asyncio_world.user() as alice:
            asyncio_world.server.acks = AckRule(delay=1.0)
            sent = alice.send("bob", b"hi")
            task = asyncio.ensure_future(sent)
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            alice._unsettled[next(iter(alice._unsettled))].cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await asyncio.sleep(2.0)
            assert alice.online

    asyncio_world.run(story)


def test_a_send_waits_for_room_and_send_nowait_says_that_there_is_none(world: World) -> None:
    async def story() -> None:
        async with world.user(config=SessionConfig(max_pending=2)) as alice:
            world.server.acks = AckRule(delay=1.0)
            alice.send_nowait("bob", b"1")
            alice.send_nowait("bob", b"2")
            with pytest.raises(QueueFull):
                alice.send_nowait("bob", b"3")
            start = world.clock.now
            await alice.send("bob", b"3")
            assert world.clock.now == pytest.approx(start + 2.0)
        assert [message.payload for message in world.server.bodies(P2PMessage)] == [b"1", b"2", b"3"]

    world.run(story)


def test_a_send_that_waits_for_room_can_be_cancelled(world: World) -> None:
    async def story() -> None:
        async with world.user(config=SessionConfig(max_pending=1)) as alice:
            world.server.acks = AckRule(delay=5.0)
            alice.send_nowait("bob", b"1")
            for _ in range(3):
                with anyio.move_on_after(1.0) as scope:
                    await alice.send("bob", b"2")
                assert scope.cancelled_caught
            await alice.wait_room()
            await alice.send("bob", b"3")
        assert [message.payload for message in world.server.bodies(P2PMessage)] == [b"1", b"3"]

    world.run(story)


def test_too_many_groups_are_not_waited_for(world: World) -> None:
    async def story() -> None:
        async with world.user(config=SessionConfig(max_groups=1)) as alice:
            await alice.join_unlimited(1)
            with pytest.raises(QueueFull, match="max_groups"):
                await alice.join_unlimited(2)

    world.run(story)


def test_verdicts_of_send_nowait_go_to_the_handler_and_the_events(world: World) -> None:
    async def story() -> None:
        told: list[object] = []
        async with world.user(on_verdict=told.append) as alice:
            events = alice.events()
            waiting = world.start(anext, events)
            await world.settle()
            packet_id = alice.send_nowait("bob", b"hi")
            event = await waiting.result()
            assert isinstance(event, Acknowledged)
            assert event.packet_id == packet_id
            assert told == [event]
            group_id = alice.send_group_nowait(7, b"hi")
            assert (await anext(events)).packet_id == group_id
            await events.aclose()

    world.run(story)


# ----------------------------------------------------------------------------------------------------------- receiving


def test_asking_for_the_next_message_acknowledges_the_one_before(world: World) -> None:
    async def story() -> None:
        async with world.user() as alice:
            one, two = (world.server.deliver("alice", text)[0] for text in (b"1", b"2"))
            async for message in alice:
                assert isinstance(message, Message)
                if message.sequence == two:
                    break
            await anyio.sleep(0.1)
            assert [ack.sequence for ack in world.server.bodies(SequenceAck)] == [one]

    world.run(story)


def test_leaving_by_an_exception_acknowledges_nothing(world: World) -> None:
    async def story() -> None:
        with pytest.raises(ZeroDivisionError):
            async with world.user() as alice:
                world.server.deliver("alice", b"1")
                async for _ in alice:
                    raise ZeroDivisionError
        assert world.server.unacknowledged("alice", "pc") == 1
        async with world.user() as alice:
            message = await anext(alice)
            assert isinstance(message, Message)
            assert message.payload == b"1"

    world.run(story)


def test_one_task_at_a_time_iterates(world: World) -> None:
    async def story() -> None:
        async with world.user() as alice:
            first = world.start(anext, alice)
            await world.settle()
            with pytest.raises(LocalProtocolError, match="one consumer"):
                await anext(alice)
            world.server.deliver("alice", b"1")
            assert isinstance(await first.result(), Message)

    world.run(story)


def test_waiting_for_a_message_can_be_cancelled_without_losing_one(world: World) -> None:
    async def story() -> None:
        async with world.user() as alice:
            for _ in range(5):
                with anyio.move_on_after(1.0) as scope:
                    await anext(alice)
                assert scope.cancelled_caught
            world.server.deliver("alice", b"1")
            message = await anext(alice)
            assert isinstance(message, Message)

    world.run(story)


def test_messages_may_be_acknowledged_one_by_one_in_any_order(world: World) -> None:
    async def story() -> None:
        async with world.user(auto_acknowledge=False) as alice:
            world.server.deliver("alice", b"1", b"2")
            world.server.link_of("alice").push_online(b"now")
            one, two, online = [await anext(alice) for _ in range(3)]
            alice.acknowledge(online)
            alice.acknowledge(two)
            await anyio.sleep(1.0)
            assert world.server.bodies(SequenceAck) == []
            alice.acknowledge(one)
            await anyio.sleep(1.0)
            assert world.server.unacknowledged("alice", "pc") == 0
            with pytest.raises(LocalProtocolError, match="not acknowledged yet"):
                alice.acknowledge(one)

    world.run(story)


def test_acknowledging_by_hand_needs_the_option_for_it(world: World) -> None:
    async def story() -> None:
        async with world.user() as alice:
            world.server.deliver("alice", b"1")
            with pytest.raises(LocalProtocolError, match="auto_acknowledge=False"):
                alice.acknowledge(await anext(alice))

    world.run(story)


def test_a_limit_notice_is_skipped_or_pulled(world: World) -> None:
    async def story() -> None:
        async with world.user() as alice:
            world.server.link_of("alice").notice_limit(1, 5000)
            notice = await anext(alice)
            assert isinstance(notice, TooManyWaiting)
            alice.skip(notice)
            with pytest.raises(LocalProtocolError, match="not answered yet"):
                alice.skip(notice)
            await anyio.sleep(1.0)
            assert [ack.sequence for ack in world.server.bodies(SequenceAck)] == [5000]
            world.server.link_of("alice").notice_limit(5001, 6000)
            await anext(alice)
            world.server.deliver("alice", b"1")
            await anext(alice)
            await anyio.sleep(1.0)
            assert len(world.server.bodies(Pull)) == 1

    world.run(story)


def test_pull_asks_the_server(world: World) -> None:
    async def story() -> None:
        async with world.user() as alice:
            alice.pull()
            await anyio.sleep(1.0)
            assert len(world.server.bodies(Pull)) == 1

    world.run(story)


def test_a_list_of_which_nothing_can_be_read_is_acknowledged(world: World) -> None:
    async def story() -> None:
        async with world.user() as alice:
            odd = Packet(packet_id="x", sequence=77, timestamp=1, body=Pull(uuid=1, resource="r"))
            link = world.server.link_of("alice")
            assert link.user is not None
            packets = PacketList(uuid=link.user.uuid, resource="pc", max_sequence=77, packets=(odd,))
            link.raw_packet(Packet(packet_id="y", body=packets))
            await anyio.sleep(1.0)
            assert [ack.sequence for ack in world.server.bodies(SequenceAck)] == [77]
            assert alice.online

    world.run(story)


def test_a_consumer_that_sends_within_its_loop_never_blocks_itself(world: World) -> None:
    async def story() -> None:
        tiny = SessionConfig(max_pending=1, high_messages=2, low_messages=1)
        async with world.user(config=tiny) as alice:
            world.server.deliver("alice", *(b"%d" % n for n in range(100)))
            got = 0
            async for message in alice:
                assert isinstance(message, Message)
                await alice.send(message.from_account, b"echo " + message.payload)
                got += 1
                if got == 100:
                    break
        echoes = [message.payload for message in world.server.bodies(P2PMessage)]
        assert echoes == [b"echo %d" % n for n in range(100)]

    world.run(story)


# ------------------------------------------------------------------------------------------------------------ handlers


def test_handlers_get_messages_and_the_status(world: World) -> None:
    async def story() -> None:
        got: list[object] = []
        seen: list[object] = []

        async def on_message(message: object) -> None:
            await anyio.sleep(0.1)
            got.append(message)

        async with world.user(on_message=on_message, on_status=seen.append) as alice:
            world.server.deliver("alice", b"1", b"2")
            await anyio.sleep(1.0)
            assert [message.payload for message in got] == [b"1", b"2"]  # type: ignore[attr-defined]
            assert world.server.unacknowledged("alice", "pc") == 0
            with pytest.raises(LocalProtocolError, match="one consumer"):
                await anext(alice)
        assert [type(event) for event in seen] == [Online, Offline, Ended]

    world.run(story)


def test_a_handler_that_raises_ends_the_user_with_that_error_and_acknowledges_nothing(world: World) -> None:
    async def story() -> None:
        def on_message(message: object) -> None:
            raise ZeroDivisionError("a bug")

        with pytest.raises(ZeroDivisionError, match="a bug"):
            async with world.user(on_message=on_message) as alice:
                world.server.deliver("alice", b"1")
                await anyio.sleep(1.0)
                assert alice.session.ended is not None
        assert world.server.unacknowledged("alice", "pc") == 1

    world.run(story)


def test_a_handler_that_raises_may_be_logged_instead(world: World, caplog: pytest.LogCaptureFixture) -> None:
    async def story() -> None:
        def on_message(message: object) -> None:
            raise ZeroDivisionError("a bug")

        async with world.user(on_message=on_message, on_handler_error="ack"):
            world.server.deliver("alice", b"1", b"2")
            await anyio.sleep(1.0)
            assert world.server.unacknowledged("alice", "pc") == 0

    with caplog.at_level(logging.ERROR, "mimc"):
        world.run(story)
    assert len(caplog.records) == 2


def test_a_status_handler_that_raises_ends_the_user_with_that_error(world: World) -> None:
    async def story() -> None:
        def on_status(event: object) -> None:
            if isinstance(event, Offline):
                raise ZeroDivisionError("a bug")

        with pytest.raises(ZeroDivisionError, match="a bug"):
            async with world.user(on_status=on_status):
                world.network.pipe.cut()
                await anyio.sleep(5.0)

    world.run(story)


# ----------------------------------------------------------------------------------------------------------- lifecycle


def test_events_tell_of_lost_links_and_end_with_the_session(world: World) -> None:
    async def story() -> None:
        async with world.user() as alice:
            told: list[object] = []

            async def listen() -> None:
                told.extend([event async for event in alice.events()])

            listener = world.start(listen)
            await world.settle()
            world.network.pipe.cut()
            await anyio.sleep(5.0)
            world.server.link_of("alice").dismiss(4)
            await anyio.sleep(1.0)
        await listener.result()
        assert [type(event) for event in told] == [Offline, LinkLost, Online, GroupDismissed, Offline, Ended]
        assert [event async for event in alice.events()] == []

    world.run(story)


def test_a_takeover_ends_iteration_sends_and_waiting_with_session_ended(world: World) -> None:
    async def story() -> None:
        async with world.user() as alice:
            waiting = world.start(anext, alice)
            world.server.acks = AckRule(times=0)
            sending = world.start(alice.send, "bob", b"hi")
            await anyio.sleep(0.1)
            world.server.link_of("alice").kick("single-resource-kick")
            with pytest.raises(SessionEnded, match="another session took this resource") as caught:
                await waiting.result()
            assert caught.value.reason is EndReason.KICKED
            with pytest.raises(SendFailed, match="kicked"):
                await sending.result()
            with pytest.raises(SessionEnded):
                await alice.send("bob", b"late")
            with pytest.raises(SessionEnded):
                await alice.wait_online()

    world.run(story)


def test_iteration_just_ends_after_a_logout(world: World) -> None:
    async def story() -> None:
        async with world.user() as alice:

            async def consume() -> list[object]:
                return [message async for message in alice]

            consumer = world.start(consume)
            await world.settle()
            world.server.deliver("alice", b"last")
            await anyio.sleep(0.1)
            await alice.logout()
            assert len(await consumer.result()) == 1

    world.run(story)


def test_leaving_the_block_waits_for_what_was_sent(world: World) -> None:
    async def story() -> None:
        world.server.acks = AckRule(delay=2.0)
        told: list[object] = []
        async with world.user(on_verdict=told.append) as alice:
            alice.send_nowait("bob", b"hi")
        assert isinstance(told[0], Acknowledged)

    world.run(story)


def test_leaving_the_block_by_an_exception_waits_for_nothing(world: World) -> None:
    async def story() -> None:
        with pytest.raises(ZeroDivisionError):
            async with world.user() as alice:
                alice.send_nowait("bob", b"hi")
                raise ZeroDivisionError
        assert alice.status == Ended(reason=EndReason.CLOSED)

    world.run(story)


def test_a_server_that_does_not_answer_the_logout_delays_it_no_longer_than_the_answer_timeout(world: World) -> None:
    async def story() -> None:
        async with world.user(config=SessionConfig(answer_timeout=4.0)):
            world.server.silence(Command.UBND)
            start = world.clock.now
        assert world.clock.now == pytest.approx(start + 4.0)

    world.run(story)


def test_a_slow_socket_is_not_filled_beyond_its_mark(world: World) -> None:
    async def story() -> None:
        async with world.user() as alice:
            world.network.pipe.up.stall()
            for n in range(200):
                alice.send_nowait("bob", bytes(10_000), packet_id=f"p{n}", timeout=60.0)
            await anyio.sleep(1.0)
            queued = len(alice.session._outbox.queue)
            assert queued > 100  # the rest was not taken, and could still be withdrawn
            world.network.pipe.up.resume()
            await anyio.sleep(5.0)
        assert len(world.server.bodies(P2PMessage)) == 200

    world.run(story)


def test_a_failing_resolver_leads_to_the_domain_of_the_token(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    async def no_resolver(url: str) -> str:
        raise OSError("no network")

    monkeypatch.setattr("mimc_transports._async_user.fetch_resolver_async", no_resolver)
    world.network.listen("fe.example.net", 5222, world.server)

    async def story() -> None:
        async with world.user(addresses=()) as alice:
            assert alice.online
        assert world.network.attempts[0].host == "fe.example.net"

    world.run(story)


def test_unlimited_groups_are_joined_again_after_a_reconnect(world: World) -> None:
    async def story() -> None:
        async with world.user(joined_groups=[5]) as alice:
            await alice.join_unlimited(6)
            world.network.pipe.cut()
            await anyio.sleep(5.0)
            world.server.link_of("alice").push_unlimited(6, b"hello")
            message = await anext(alice)
            assert not isinstance(message, TooManyWaiting)
            assert message.payload == b"hello"
        assert len(world.server.bodies(UcJoin)) == 1

    world.run(story)


# ------------------------------------------------------------------------------------------------------------ recovery


def test_a_user_comes_back_when_the_back_off_says(world: World) -> None:
    config = SessionConfig(connect_backoff=2.0, longest_connect_backoff=8.0)
    told: list[LinkLost] = []
    expected: list[float] = []

    async def listen(alice: Any) -> None:
        async for event in alice.events():
            if isinstance(event, LinkLost):
                told.append(event)
                expected.append(world.clock.now + event.retry_in)

    async def story() -> None:
        async with world.user(config=config) as alice:
            await anyio.sleep(config.stable_after)
            listener = world.start(listen, alice)
            await world.settle()
            world.network.refuse(HOST, PORT)
            world.network.pipe.cut()
            cut_at = world.clock.now
            await anyio.sleep(60.0)
            world.network.restore(HOST, PORT)
            await alice.wait_online()
            assert world.clock.now == pytest.approx(expected[-1])
            assert (await alice.send("bob", b"hi")).sequence
        await listener.result()
        assert expected[0] == pytest.approx(cut_at + told[0].retry_in)
        assert [attempt.at for attempt in world.network.attempts[1:]] == pytest.approx(expected)
        most = [min(2.0 * 2**count, 8.0) for count in range(len(told))]
        assert all(lost.retry_in <= longest for lost, longest in zip(told, most, strict=True))

    world.run(story)


@pytest.mark.parametrize("fault", ["refuse", "black_hole"])
def test_a_server_that_is_reached_later_is_reached_as_the_back_off_says(world: World, fault: str) -> None:
    config = SessionConfig(connect_timeout=3.0, connect_backoff=1.0, longest_connect_backoff=4.0)

    async def story() -> None:
        getattr(world.network, fault)(HOST, PORT)
        alice = world.user(config=config, login_timeout=600.0)
        login = world.start(enter, alice)
        await anyio.sleep(100.0)
        world.network.restore(HOST, PORT)
        await login.result()
        times = [attempt.at for attempt in world.network.attempts]
        spent = config.connect_timeout if fault == "black_hole" else 0.0
        gaps = [later - at - spent for at, later in itertools.pairwise(times)]
        assert len(gaps) > 10
        assert all(-1e-6 <= gap <= config.longest_connect_backoff + 1e-6 for gap in gaps)

    world.run(story)
