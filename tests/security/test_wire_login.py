"""Who gets in at the wire: only who has a good token, its key, and says who he is."""

from __future__ import annotations

import base64
import dataclasses
import string
from collections.abc import Callable
from random import Random

import pytest
from mimc_server.tokens import TokenIssuer
from support.http_town import APP, NOON, OTHER
from support.wired_town import WiredTown, heard, sent
from support.wires import Wire, wire

from mimc_proto.crypto import bind_signature
from mimc_proto.packets import Bind, BindAnswer, P2PMessage, User

pytestmark = pytest.mark.anyio

HOUR = 3_600_000
INVALID = ("auto", "invalid-token")
EXPIRED = ("token-expired", "token-expired")


async def answer(client: Wire) -> BindAnswer:
    """The answer to a BIND that was written."""
    return BindAnswer.decode((await client.read("BIND")).payload)


async def verdict(client: Wire) -> tuple[str | None, str | None]:
    """Why a BIND is refused; what follows it on the link is not taken for a user's."""
    refused = await answer(client)
    assert not refused.result
    client.send(P2PMessage(recipient=User(account="carol"), payload=b"not logged in"))
    assert await heard(client) == []
    return refused.error_type, refused.error_reason


# --------------------------------------------------------------------------------------------------- tokens

TokenOf = Callable[[WiredTown], str]


def decoded(token: str) -> bytes:
    return base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))


def forged(town: WiredTown) -> str:
    issuer = TokenIssuer(b"another secret of an issuer", 3600.0, Random(1))
    return issuer.issue(APP.app_id, "alice", town.member("alice").uuid, NOON).token


def signed_for_another_account(town: WiredTown) -> str:
    """As after a store that was begun anew: the same uuid is somebody else here."""
    return town.tokens.issue(APP.app_id, "mallory", town.member("alice").uuid, NOON).token


def of_another_application(town: WiredTown) -> str:
    """An application that is served, and a uuid that is none of its users'."""
    return town.tokens.issue(OTHER.app_id, "alice", town.member("alice").uuid, NOON).token


def of_no_application(town: WiredTown) -> str:
    return town.tokens.issue(7, "alice", town.member("alice").uuid, NOON).token


def of_nobody(town: WiredTown) -> str:
    return town.tokens.issue(APP.app_id, "nobody", 7, NOON).token


def relabelled(town: WiredTown) -> str:
    """Bob's token with alice's uuid written into it, and bob's signature kept."""
    raw = bytearray(decoded(town.token("bob")))
    raw[8:16] = town.member("alice").uuid.to_bytes(8, "big")
    return base64.urlsafe_b64encode(bytes(raw)).rstrip(b"=").decode()


def spare_bits(town: WiredTown) -> str:
    """Another text of the same bytes: the last letter has bits that mean nothing."""
    for account in ("alice", "alice1", "alice12"):
        token = town.token(account)
        if len(token) % 4:
            alphabet = string.ascii_uppercase + string.ascii_lowercase + string.digits + "-_"
            other = token[:-1] + alphabet[alphabet.index(token[-1]) ^ 1]
            assert decoded(other) == decoded(token)
            return other
    raise AssertionError("no token with spare bits")


def outlived(town: WiredTown) -> str:
    token = town.token()
    town.now += HOUR
    return token


def revoked(town: WiredTown) -> str:
    token = town.token()
    town.store.revoke_tokens(town.member("alice").uuid, NOON + 1)
    return token


BAD_TOKENS: dict[TokenOf, tuple[str, str]] = {
    forged: INVALID,
    signed_for_another_account: INVALID,
    of_another_application: INVALID,
    of_no_application: INVALID,
    of_nobody: INVALID,
    relabelled: INVALID,
    spare_bits: INVALID,
    outlived: EXPIRED,
    revoked: EXPIRED,
}
MANGLED: dict[str, Callable[[str], str]] = {
    "truncated": lambda token: token[:-1],
    "truncated to whole bytes": lambda token: token[:-4],
    "halved": lambda token: token[: len(token) // 2],
    "lengthened": lambda token: token + "A",
    "padded": lambda token: token + "=" * (-len(token) % 4 or 4),
    "in the other alphabet": lambda token: token[:20] + "+" + token[20:].replace("_", "/").replace("-", "+"),
    "with a line end": lambda token: token + "\n",
    "with a NUL": lambda token: token + "\0",
    "with spaces": " ".join,
    "in small letters": str.lower,
    "twice": lambda token: token + token,
    "with a letter that looks the same": lambda token: "А" + token[1:],  # noqa: RUF001 (Cyrillic)
    "empty": lambda _: "",
    "as SQL": lambda _: "' OR '1'='1",
}


@pytest.mark.parametrize("make", BAD_TOKENS, ids=lambda make: make.__name__)
async def test_a_token_that_is_no_good_lets_nobody_in(town: WiredTown, make: TokenOf) -> None:
    async with town.shaken() as client:
        peer = client.peer
        peer.token = make(town)
        body = decoded(peer.token)[:-32]
        peer.uuid = int.from_bytes(body[8:16], "big")
        peer.security_key = town.tokens._security_key(body)  # so that nothing is wrong but the token
        client.write(peer.bind())
        assert await verdict(client) == BAD_TOKENS[make]
    assert town.sessions() == []
    assert town.inbox("carol") == []


@pytest.mark.parametrize("mangle", MANGLED.values(), ids=MANGLED)
async def test_a_token_that_was_changed_is_another_one(town: WiredTown, mangle: Callable[[str], str]) -> None:
    async with town.shaken() as client:
        client.peer.token = mangle(client.peer.token)
        client.write(client.peer.bind())
        assert await verdict(client) == INVALID
    assert town.sessions() == []


async def test_a_good_token_is_good_on_two_links_at_a_time(town: WiredTown) -> None:
    """It says who somebody is, and may say so as often as it is asked."""
    token = town.token_answer()
    async with wire(town.address) as pc, wire(town.address) as phone:
        assert (await pc.login(token, "pc")).result
        assert (await phone.login(token, "phone")).result
        assert sorted(info.resource for info in town.sessions()) == ["pc", "phone"]


async def test_who_has_a_token_without_its_key_throws_nobody_out(town: WiredTown) -> None:
    async with town.online("alice") as alice, town.shaken("alice") as thief:
        thief.peer.security_key = base64.b64encode(bytes(16)).decode()
        thief.write(thief.peer.bind())
        assert await verdict(thief) == INVALID
        assert (await sent(alice, P2PMessage(recipient=User(account="bob"), payload=b"still here"))).code == 0


# ------------------------------------------------------------------------------------------------------- signatures


async def test_a_signature_of_another_link_is_no_good_on_this_one(town: WiredTown) -> None:
    """The BIND of a link that was listened to, sent again on another one: the header's id and all else are the same."""
    async with town.shaken() as first, town.shaken() as second:
        assert first.peer.challenge != second.peer.challenge
        second.peer.count, second.peer.prefix = first.peer.count, first.peer.prefix
        second.peer.token, second.peer.security_key = first.peer.token, first.peer.security_key
        heard_bind = first.peer.read(first.peer.bind())
        first.write(first.peer.raw(heard_bind.header_bytes, heard_bind.payload))
        assert (await answer(first)).result
        second.write(second.peer.raw(heard_bind.header_bytes, heard_bind.payload))
        assert await verdict(second) == INVALID
        assert len(town.sessions()) == 1


async def test_the_bytes_of_another_link_mean_nothing_on_this_one(town: WiredTown) -> None:
    """They are encrypted with a key that the challenge is in."""
    async with town.shaken() as first, town.shaken() as second:
        frame = first.peer.bind()
        first.write(frame)
        assert (await answer(first)).result
        second.write(frame)
        assert await second.ended() == b""
        assert len(town.sessions()) == 1


async def test_a_bind_that_is_repeated_on_its_own_link_changes_nothing(town: WiredTown) -> None:
    """C++ does so; who can write into a link needs no BIND of somebody else's."""
    async with town.shaken() as client:
        frame = client.peer.bind()
        for _ in range(2):
            client.write(frame)
            assert (await answer(client)).result
        assert len(town.sessions()) == 1


@dataclasses.dataclass
class Signed:
    """What a BIND is signed over; the header and the fields on the wire are the plain ones."""

    challenge: str
    chid: int
    uuid: int
    resource: str
    packet_id: str
    security_key: str
    token: str
    kick: str = "0"
    method: str = "XIAOMI-PASS"
    client_attrs: str = ""
    cloud_attrs: str = ""


@pytest.mark.parametrize(
    "changes",
    [
        {"challenge": "AAAAAAAAAAAAAAAA"},
        {"chid": 10},
        {"uuid": 0},
        {"uuid": 1_532_000_000_000_001},
        {"resource": "phone"},
        {"resource": ""},
        {"resource": "pc&id=1"},
        {"packet_id": "client_999"},
        {"security_key": "XOF8dTB2dOVVkEdZB9O21w=="},
        {"kick": "1"},
        {"method": "XIAOMI-SASL"},
        {"client_attrs": "a:b,"},
        {"cloud_attrs": "a:b,"},
        {"token": "another"},
    ],
    ids=str,
)
async def test_a_signature_is_over_everything_that_it_is_sent_with(
    town: WiredTown, changes: dict[str, str | int]
) -> None:
    async with town.online("alice", "phone") as phone, town.shaken() as client:
        peer = client.peer
        header = peer.header("BIND")
        plain = Signed(
            challenge=peer.challenge,
            chid=peer.chid,
            uuid=peer.uuid,
            resource=peer.resource,
            packet_id=header.id or "",
            security_key=peer.security_key,
            token=peer.token,
        )
        assert changes.items() - dataclasses.asdict(plain).items() == changes.items()
        sig = bind_signature(**dataclasses.asdict(dataclasses.replace(plain, **changes)))  # type: ignore[arg-type]
        bind = Bind(token=peer.token, kick="0", method="XIAOMI-PASS", client_attrs="", cloud_attrs="", sig=sig)
        client.write(peer.frame(header, bind.encode()))
        assert await verdict(client) == INVALID
        assert [info.resource for info in town.sessions()] == ["phone"]
        assert await heard(phone) == []


@pytest.mark.parametrize("sig", ["", "AAAA", "=", "' OR 1=1", "A" * 28, "é" * 28, "\0" * 28])
async def test_what_is_no_signature_lets_nobody_in(town: WiredTown, sig: str) -> None:
    async with town.shaken() as client:
        client.write(client.peer.bind(sig=sig))
        assert await verdict(client) == INVALID


@pytest.mark.parametrize("field", ["uuid", "resource"])
async def test_a_header_that_says_another_than_was_signed_lets_nobody_in(town: WiredTown, field: str) -> None:
    bob = town.member("bob").uuid
    async with town.online("bob", "pc"), town.online("alice", "phone"), town.shaken() as client:
        found = client.peer.read(client.peer.bind())
        assert found.header is not None
        other: dict[str, str | int] = {"uuid": bob} if field == "uuid" else {"resource": "phone"}
        client.write(client.peer.frame(found.header.replace(**other), found.payload))
        assert await verdict(client) == INVALID
        assert sorted(info.account for info in town.sessions()) == ["alice", "bob"]


async def test_a_user_who_signs_as_another_one_is_not_that_one(town: WiredTown) -> None:
    """Bob's own good token and key, and alice's uuid in the header and in the signature."""
    alice = town.member("alice").uuid
    async with town.shaken("bob") as client:
        client.peer.uuid = alice
        client.write(client.peer.bind())
        assert await verdict(client) == INVALID


async def test_somebody_elses_key_does_not_go_with_ones_own_token(town: WiredTown) -> None:
    async with town.shaken("bob") as bob, town.shaken("alice") as client:
        client.peer.token = bob.peer.token
        client.write(client.peer.bind())
        assert await verdict(client) == INVALID


# --------------------------------------------------------------------------------------------------- not logged in


@pytest.mark.parametrize("command", ["BIND", "SECMSG", "UBND"])
async def test_before_conn_there_is_nobody(town: WiredTown, command: str) -> None:
    async with wire(town.address) as client:
        client.trust(town.token_answer())
        client.write(client.peer.bind() if command == "BIND" else client.peer.command(command))
        assert await client.ended() == b""
    assert town.sessions() == []


async def test_after_a_logout_and_after_a_kick_a_link_is_nobodys(town: WiredTown) -> None:
    async with town.online("alice") as alice:
        alice.write(alice.peer.command("UBND"))
        await alice.read("KICK")
        alice.send(P2PMessage(recipient=User(account="carol"), payload=b"logged out"))
        assert await heard(alice) == []
    async with town.online("alice") as alice:
        uuid = town.member("alice").uuid
        town.messaging.kick(uuid, None, "token-expired", town.runner.now(), town.now)
        town.runner.wake()
        await alice.read("KICK")
        alice.send(P2PMessage(recipient=User(account="carol"), payload=b"kicked"))
        assert await heard(alice) == []
    assert town.inbox("carol") == []
