"""Steps about trouble: lost acks, torn frames, a second login, a slow program; and the end."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Iterable

from mimc_proto.config import KIB, Delivery
from mimc_proto.errors import SendTimeout, SessionEnded
from mimc_proto.session import Ended, EndReason

from ..line import Way
from ..stage import QUICK, DemoError, Guest, Stage, check, soon

__all__ = ["logout", "lost_link", "send_timeout", "slow_consumer", "takeover"]

SHORT = 0.2
"""Seconds that a sender waits for an ack that is held back."""
CUT_AFTER = 30
"""Bytes of a frame that get through: less than any frame with a message has."""
SAME_RESOURCE = "phone"

SLOW_MESSAGES, SLOW_SIZE = 450, KIB
SLOW_LIMIT = 320 * KIB
"""What may come down for a program that consumes nothing: the service's window of 256 KiB, and what is around it."""
SLOW = dataclasses.replace(QUICK, high_messages=100, low_messages=20, pull_interval=0.05)
SLOW_PAUSE = 0.001
DRAIN = 1.0
"""Seconds that a logout waits for the acks of what was sent before."""


async def send_timeout(stage: Stage) -> str:
    """Acks that do not come in time, on a link that lives: the message may have arrived, and has."""
    line = await stage.line("alice")
    async with stage.online("alice") as alice, stage.online("bob") as bob:
        links = line.connections
        line.down.hold()
        try:
            await alice.user.send("bob", b"no answer", timeout=SHORT)
        except SendTimeout as error:
            check("whether the message may have arrived", True, error.may_have_arrived)
        else:
            raise DemoError(f"expected no ack within {SHORT:g} s, as all acks are held back; got one")
        finally:
            line.down.release()
        await bob.gets("no answer", sender="alice")
        await alice.sends("bob", "next")  # the ack that came late did no harm
        await bob.gets("next", sender="alice")
        check("alice's further links", 0, line.connections - links)
    return f"with all acks held back a send failed after {SHORT:g} s, saying that it may have arrived; it had"


async def takeover(stage: Stage) -> str:
    """The same resource a second time: the first is out, and stays out."""
    async with stage.online("alice") as alice, stage.online("bob") as first:
        first.may_be_kicked = True
        async with stage.online("bob", SAME_RESOURCE) as second:
            ended = await soon("the end of bob's first login", _end_of(first))
            check("how bob's first login ended", (EndReason.KICKED, "single-resource-kick"), (ended[0], ended[1]))
            await alice.sends("bob", "to the second")
            await second.gets("to the second", sender="alice")
            try:
                got = type(await first.user.send("alice", b"?")).__name__
            except SessionEnded as error:
                got = type(error).__name__
            check("what bob's first login gets for a send", "SessionEnded", got)
    return "a second login with bob's resource kicked the first, which stayed out; the second got messages"


async def lost_link(stage: Stage) -> str:
    """Links that break within a frame, first the receiver's, then the sender's."""
    at_least_once = dataclasses.replace(QUICK, delivery=Delivery.AT_LEAST_ONCE)
    async with stage.online("bob") as bob, stage.online("alice", config=at_least_once) as alice:
        downward, upward = (await stage.line("bob")).down, (await stage.line("alice")).up
        texts = [f"message {number}" for number in range(20)]
        downward.cut(CUT_AFTER)
        await soon("20 acks", asyncio.gather(*(alice.sends("bob", text) for text in texts)))
        await bob.gets(*texts, sender="alice")
        down = _torn(downward, bob)
        upward.cut(CUT_AFTER)
        await alice.sends("bob", "torn")
        await alice.sends("bob", "whole")
        await bob.gets("torn", "whole", sender="alice")
        up = _torn(upward, alice)
    return f"cut {down} on the way to bob, {up} from alice: both logged in again; 22 messages, each once, in order"


async def slow_consumer(stage: Stage) -> str:
    """A program that lags: the rest waits at the service."""
    line, ready = await stage.line("bob"), asyncio.Event()

    async def take(message: object) -> None:
        await ready.wait()
        await asyncio.sleep(SLOW_PAUSE)
        bob.inbox.put_nowait(message)

    async with stage.online("alice") as alice, stage.online("bob", config=SLOW, on_message=take) as bob:
        before = line.down.carried
        texts = [f"{number:04}".ljust(SLOW_SIZE, ".") for number in range(SLOW_MESSAGES)]
        await soon("all acks", asyncio.gather(*(alice.sends("bob", text) for text in texts)))
        carried = line.down.carried - before
        if carried > SLOW_LIMIT:
            raise DemoError(f"expected at most {SLOW_LIMIT} bytes for bob, who consumes nothing; got {carried}")
        taken = bob.user.session.unconsumed
        if not 0 < taken <= SLOW.high_messages:
            raise DemoError(f"expected bob to take in at most {SLOW.high_messages} messages, and some; got {taken}")
        ready.set()
        await bob.gets(*texts, sender="alice")
    total = SLOW_MESSAGES * SLOW_SIZE // KIB
    return (
        f"{total} KiB for bob, who lagged: {carried // KIB} KiB came ahead of him, {taken} messages were taken in, "
        "the rest when he was ready, in order"
    )


async def logout(stage: Stage) -> str:
    """Verdicts first, then the end; what comes later waits."""
    verdicts: list[object] = []
    async with stage.online("bob") as bob, stage.online("alice", on_verdict=verdicts.append) as alice:
        alice.user.send_nowait("bob", b"Good night")
        await soon("the end of alice's logout", alice.user.logout(drain=DRAIN))
        check("the verdict of what was sent before the logout", ["Acknowledged"], _names(verdicts))
        check("how alice's session ended", EndReason.LOGGED_OUT, (await _end_of(alice))[0])
        await bob.gets("Good night", sender="alice")
        await bob.sends("alice", "Good morning")
    async with stage.online("alice") as alice:
        await alice.gets("Good morning", sender="bob")
    return "alice's last message was acknowledged before she was logged out; what came then waited for her"


async def _end_of(guest: Guest) -> tuple[EndReason, str]:
    while not isinstance(guest.user.status, Ended):
        await asyncio.sleep(0.001)
    return guest.user.status.reason, guest.user.status.error_type


def _torn(way: Way, guest: Guest) -> str:
    """Where a frame was torn; checks that it was, and that the user went offline and online again."""
    if way.torn is None or way.torn[0] >= way.torn[1]:
        raise DemoError(f"expected a link of {guest.name} to break within a frame; got {way.torn} (bytes of bytes)")
    check(f"what {guest.name} went through", ["Online", "Offline", "Online"], _names(guest.statuses))
    return f"{way.torn[0]} bytes into {way.torn[1]}"


def _names(events: Iterable[object]) -> list[str]:
    return [type(event).__name__ for event in events]
