"""Sending, told to every adapter on virtual time: verdicts, room, and what becomes of a message that is given up."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

import anyio
import pytest
from support.virtual_world import HOST, PORT, World

from mimc_proto import QueueFull, SendFailed, SendRejected, SendTimeout, SessionConfig, SessionEnded
from mimc_proto.packets import Command, OnlineMessage, P2PMessage, P2TMessage, UcMessage
from mimc_proto.session import Acknowledged, EndReason
from mimc_proto.testing import AckRule


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


def test_what_is_sent_in_one_turn_goes_out_in_one_write(async_world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world = async_world

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
            assert (caught.value.code, caught.value.text, caught.value.may_have_arrived) == (403, "blocked", False)

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


def test_a_cancelled_send_that_still_waits_is_never_sent(async_world: World) -> None:
    world = async_world

    async def story() -> None:
        async with world.user() as alice:
            world.network.refuse(HOST, PORT)
            world.network.pipe.cut()
            await world.sleep(0.1)
            send = world.start(alice.send, "bob", b"never")
            await world.sleep(0.1)
            await send.cancel()
            world.network.restore(HOST, PORT)
            await alice.send("bob", b"later", timeout=60.0)
        assert [message.payload for message in world.server.bodies(P2PMessage)] == [b"later"]

    world.run(story)


def test_a_cancelled_send_that_was_taken_only_abandons_the_wait(async_world: World) -> None:
    world = async_world

    async def story() -> None:
        async with world.user() as alice:
            world.server.acks = AckRule(delay=1.0)
            send = world.start(alice.send, "bob", b"on its way")
            await world.sleep(0.5)
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


def test_a_send_that_waits_for_room_can_be_cancelled(async_world: World) -> None:
    world = async_world

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


def test_the_time_of_a_send_goes_on_while_it_waits_for_room(world: World) -> None:
    async def story() -> None:
        async with world.user(config=SessionConfig(max_pending=1), close_timeout=10.0) as alice:
            world.server.acks = AckRule(delay=3.0)
            start = world.clock.now
            alice.send_nowait("bob", b"1")
            with pytest.raises(SendTimeout, match="no room in time; it was never sent") as caught:
                await alice.send("bob", b"2", timeout=2.0)
            assert world.clock.now == pytest.approx(start + 2.0)
            assert (caught.value.packet_id, caught.value.may_have_arrived) == ("", False)
            with pytest.raises(SendTimeout, match="it may have arrived") as caught:
                await alice.send("bob", b"3", timeout=2.0, packet_id="third")
            assert world.clock.now == pytest.approx(start + 4.0)
            assert caught.value.packet_id == "third"
        assert [message.payload for message in world.server.bodies(P2PMessage)] == [b"1", b"3"]

    world.run(story)


def test_a_send_of_who_is_leaving_or_has_left_says_so(world: World) -> None:
    async def story() -> None:
        world.server.silence(Command.UBND)
        async with world.user() as alice:
            leaving = world.start(alice.logout)
            await world.settle()
            for left in (False, True):
                assert (alice.session.ended is not None) is left
                with pytest.raises(SessionEnded) as caught:
                    await alice.send("bob", b"late")
                assert caught.value.reason is EndReason.LOGGED_OUT
                for send, target in ((alice.send_nowait, "bob"), (alice.send_group_nowait, 7)):
                    with pytest.raises(SessionEnded):
                        send(target, b"late")
                await leaving.result()

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
            await world.settle()
            assert told == [event]
            group_id = alice.send_group_nowait(7, b"hi")
            assert (await anext(events)).packet_id == group_id
            await events.aclose()

    world.run(story)
