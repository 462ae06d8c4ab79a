"""Steps about messages: who gets what, and how the sender knows."""

from __future__ import annotations

from mimc_proto.errors import SendTimeout

from ..stage import DemoError, Stage, check, soon

__all__ = ["group", "offline", "online_message", "p2p", "resources", "unlimited_group"]

GREETING = "你好, Alice"
MEMBERS = ("bob", "carol")
ABSENT = "zoe"
"""Who never logs in."""
SHORT = 0.2
"""Seconds that a sender waits for an answer that cannot come."""


async def p2p(stage: Stage) -> str:
    """Two users, both ways."""
    async with stage.online("alice") as alice, stage.online("bob") as bob:
        acked = await alice.sends("bob", "Hi, Bob")
        got = await bob.gets("Hi, Bob", sender="alice")
        check("the sequence that bob got and the one in alice's ack", acked, got.sequence)
        acked = await bob.sends("alice", GREETING)
        got = await alice.gets(GREETING, sender="bob")
        check("the sequence that alice got and the one in bob's ack", acked, got.sequence)
    return "alice and bob wrote to each other; both were acknowledged, and got with the sequence of the ack"


async def group(stage: Stage) -> str:
    """A normal group of three: the two others get what one sends, and the sender does not."""
    topic = stage.service.group("alice", MEMBERS)
    async with stage.online("alice") as alice, stage.online("bob") as bob, stage.online("carol") as carol:
        await soon("the ack of alice's group message", alice.user.send_group(topic, b"Hi, all"))
        for member in (bob, carol):
            await member.gets("Hi, all", sender="alice", kind="GroupMessage")
        await soon("the ack of bob's group message", bob.user.send_group(topic, b"Hi, Alice"))
        for member in (alice, carol):  # alice's own would have come first
            await member.gets("Hi, Alice", sender="bob", kind="GroupMessage")
    return "in a group of three the two others got each message, its sender did not"


async def offline(stage: Stage) -> str:
    """What waits is there at login."""
    texts = ["one", "two", "three"]
    async with stage.online("alice") as alice:
        for text in texts:
            await alice.sends("dave", text)
    async with stage.online("dave") as dave:
        await dave.gets(*texts, sender="alice")
    return f"{len(texts)} messages to dave waited for him and came at his login, in order"


async def resources(stage: Stage) -> str:
    """Two devices of one user: each gets everything, and has its own place."""
    async with stage.online("alice") as alice, stage.online("bob", "pc") as pc:
        async with stage.online("bob", "phone") as phone:
            await alice.sends("bob", "to both")
            for device in (phone, pc):
                await device.gets("to both", sender="alice")
        await alice.sends("bob", "while the phone is off")
        await pc.gets("while the phone is off", sender="alice")
        async with stage.online("bob", "phone") as phone:
            await phone.gets("while the phone is off", sender="alice")
    return "bob's phone and pc both got a message; the phone, off for a while, got what it had missed and no more"


async def online_message(stage: Stage) -> str:
    """A message for whoever is there now: the receiver itself acknowledges it, and it waits for nobody."""
    async with stage.online("alice") as alice:
        async with stage.online("bob") as bob:
            ack = await soon("bob's ack of an online message", alice.user.send_online("bob", b"there?"))
            check("the sequence of an online message", None, ack.sequence)
            await bob.gets("there?", sender="alice", kind="OnlineMessage")
        try:
            await alice.user.send_online(ABSENT, b"there?", timeout=SHORT)
        except SendTimeout:
            return f"bob had it and said so; {ABSENT} is offline, and the sender was told so after {SHORT:g} s"
        raise DemoError(f"expected a timeout of the online message to {ABSENT}, who is offline; got an ack")


async def unlimited_group(stage: Stage) -> str:
    """Join, write to all, quit."""
    topic = stage.service.unlimited_group("carol")
    async with stage.online("alice") as alice, stage.online("bob") as bob:
        for member in (alice, bob):
            await soon(f"the answer to the join of {member.name}", member.user.join_unlimited(topic))
        await soon("the ack of alice's message", alice.user.send_unlimited(topic, b"Hi, all"))
        for member in (alice, bob):
            await member.gets("Hi, all", sender="alice", kind="UnlimitedMessage")
        await soon("the answer to bob's quit", bob.user.quit_unlimited(topic))
        await soon("the ack of alice's message", alice.user.send_unlimited(topic, b"Without Bob"))
        await alice.gets("Without Bob", sender="alice", kind="UnlimitedMessage")
        await alice.sends("bob", "You missed it")
        await bob.gets("You missed it", sender="alice")  # what he had got of the group would have come first
    return "alice and bob joined and got alice's message, she as well; when bob had quit, only she got the next"
