"""Receiving, told to every adapter on virtual time: by iteration or by handlers, and what is acknowledged when."""

from __future__ import annotations

import logging

import anyio
import pytest
from support.virtual_world import World

from mimc_proto import (
    LocalProtocolError,
    SessionConfig,
)
from mimc_proto.packets import (
    P2PMessage,
    Packet,
    PacketList,
    Pull,
    SequenceAck,
)
from mimc_proto.session import (
    Ended,
    Message,
    Offline,
    Online,
    TooManyWaiting,
)


def test_asking_for_the_next_message_acknowledges_the_one_before(world: World) -> None:
    async def story() -> None:
        async with world.user() as alice:
            one, two = (world.server.deliver("alice", text)[0] for text in (b"1", b"2"))
            async for message in alice:
                assert isinstance(message, Message)
                if message.sequence == two:
                    break
            await world.sleep(0.1)
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


def test_waiting_for_a_message_can_be_cancelled_without_losing_one(async_world: World) -> None:
    world = async_world

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
            await world.sleep(1.0)
            assert world.server.bodies(SequenceAck) == []
            alice.acknowledge(one)
            await world.sleep(1.0)
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
            await world.sleep(1.0)
            assert [ack.sequence for ack in world.server.bodies(SequenceAck)] == [5000]
            world.server.link_of("alice").notice_limit(5001, 6000)
            await anext(alice)
            world.server.deliver("alice", b"1")
            await anext(alice)
            await world.sleep(1.0)
            assert len(world.server.bodies(Pull)) == 1

    world.run(story)


def test_pull_asks_the_server(world: World) -> None:
    async def story() -> None:
        async with world.user() as alice:
            alice.pull()
            await world.sleep(1.0)
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
            await world.sleep(1.0)
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


def test_a_handler_may_be_a_coroutine_function_where_there_is_a_loop(async_world: World) -> None:
    world, got = async_world, list[bytes]()

    async def on_message(message: Message) -> None:
        await world.sleep(0.1)
        got.append(message.payload)

    async def story() -> None:
        async with world.user(on_message=on_message):
            world.server.deliver("alice", b"1", b"2")
            await world.sleep(0.15)
            assert got == [b"1"]
            await world.sleep(0.1)
            assert got == [b"1", b"2"]
            assert world.server.unacknowledged("alice", "pc") == 0

    world.run(story)


def test_handlers_get_messages_and_the_status(world: World) -> None:
    async def story() -> None:
        got: list[object] = []
        seen: list[object] = []

        async with world.user(on_message=got.append, on_status=seen.append) as alice:
            world.server.deliver("alice", b"1", b"2")
            await world.sleep(1.0)
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
                await world.sleep(1.0)
                assert alice.session.ended is not None
        assert world.server.unacknowledged("alice", "pc") == 1

    world.run(story)


def test_a_handler_that_raises_may_be_logged_instead(world: World, caplog: pytest.LogCaptureFixture) -> None:
    async def story() -> None:
        def on_message(message: object) -> None:
            raise ZeroDivisionError("a bug")

        async with world.user(on_message=on_message, on_handler_error="ack"):
            world.server.deliver("alice", b"1", b"2")
            await world.sleep(1.0)
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
                await world.sleep(5.0)

    world.run(story)
