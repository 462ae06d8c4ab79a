"""What becomes of a user, told to every adapter on virtual time: events, lost links, takeovers, and leaving."""

from __future__ import annotations

import pytest
from support.virtual_world import World

from mimc_proto import (
    SendFailed,
    SessionConfig,
    SessionEnded,
)
from mimc_proto.packets import (
    Command,
    P2PMessage,
    UcJoin,
)
from mimc_proto.session import (
    Acknowledged,
    Ended,
    EndReason,
    GroupDismissed,
    LinkLost,
    Offline,
    Online,
    TooManyWaiting,
)
from mimc_proto.testing import AckRule


def test_events_tell_of_lost_links_and_end_with_the_session(world: World) -> None:
    async def story() -> None:
        async with world.user() as alice:
            told: list[object] = []

            async def listen() -> None:
                told.extend([event async for event in alice.events()])

            listener = world.start(listen)
            await world.settle()
            world.network.pipe.cut()
            await world.sleep(5.0)
            world.server.link_of("alice").dismiss(4)
            await world.sleep(1.0)
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
            await world.sleep(0.1)
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
            await world.sleep(0.1)
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
            await world.sleep(1.0)
            queued = len(alice.session._outbox.queue)
            assert queued > 100  # the rest was not taken, and could still be withdrawn
            world.network.pipe.up.resume()
            await world.sleep(5.0)
        assert len(world.server.bodies(P2PMessage)) == 200

    world.run(story)


def test_a_failing_resolver_leads_to_the_domain_of_the_token(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_resolver(url: str) -> str:
        raise OSError("no network")

    async def no_resolver_async(url: str) -> str:
        return no_resolver(url)

    monkeypatch.setattr("mimc_transports._async_user.fetch_resolver_async", no_resolver_async)
    monkeypatch.setattr("mimc_transports._blocking_threads.fetch_resolver", no_resolver)
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
            await world.sleep(5.0)
            world.server.link_of("alice").push_unlimited(6, b"hello")
            message = await anext(alice)
            assert not isinstance(message, TooManyWaiting)
            assert message.payload == b"hello"
        assert len(world.server.bodies(UcJoin)) == 1

    world.run(story)
