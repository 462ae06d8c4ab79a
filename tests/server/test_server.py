"""The whole server in one object: what it listens at, what it keeps, what an administrator can do to it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from mimc_server.administration import ApplicationKeys
from mimc_server.server import CannotListen, Server
from mimc_server.service import LoggedIn, LoggedOut, ServiceConfig, ServiceEvent
from mimc_server.settings import Address, Listen, Public, Settings, SettingsError, Tls, Tokens
from mimc_server.store import SqliteStore, StoreConfig, StoreError
from mimc_transports import HttpTokenProvider
from mimc_transports.asyncio import connect
from support.wires import TIMEOUT, Wire, wire

from mimc_proto import SessionConfig
from mimc_proto.errors import LocalProtocolError, LoginError, SendRejected, SessionEnded
from mimc_proto.packets import OnlineMessage, User

pytestmark = pytest.mark.anyio

PEM = Path(__file__).parents[1] / "transports" / "loopback.pem"
OTHER = PEM.with_name("other.pem")
ANY = Address("127.0.0.1", 0)
TRUST = ssl.create_default_context(cafile=str(PEM))
PAYLOAD = b"hello"


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def settings(folder: Path | None = None, **changes: Any) -> Settings:
    listen = changes.pop("listen", Listen(tcp=(ANY,), websocket=(), http=()))
    return Settings(data=folder, memory=folder is None, listen=listen, stop_timeout=1.0, **changes)


@contextlib.asynccontextmanager
async def serving(wanted: Settings, **options: Any) -> AsyncIterator[tuple[Server, ApplicationKeys]]:
    """A server, and an application of it."""
    async with asyncio.timeout(TIMEOUT), Server(wanted, **options) as server:
        yield server, await server.add_application("com.example")


def certificate(file: Path) -> str:
    """The one in a file that has its key as well."""
    text = file.read_text()
    end = "-----END CERTIFICATE-----\n"
    return text[text.index("-----BEGIN CERT") : text.index(end) + len(end)]


def tokens(server: Server, keys: ApplicationKeys, account: str = "alice") -> Callable[[], Awaitable[str]]:
    """Where a user's tokens come from, without HTTP."""

    async def token() -> str:
        application = server.applications.get(keys.app_id)
        assert application is not None
        return json.dumps(await server.perform(lambda: server.issue_token(application, account)))

    return token


def over_http(url: str, keys: ApplicationKeys, account: str = "alice") -> HttpTokenProvider:
    return HttpTokenProvider(
        f"{url}/api/account/token",
        app_id=keys.app_id,
        app_key=keys.app_key,
        app_secret=keys.app_secret,
        app_account=account,
        verify=TRUST,
    )


def user(server: Server, keys: ApplicationKeys, account: str = "alice", **options: Any) -> Any:
    options = {"addresses": [tuple(server.addresses.tcp[0])], "token": tokens(server, keys, account), **options}
    return connect(keys.app_id, account, options.pop("token"), **options)


# ------------------------------------------------------------------------------------------------------ what it serves


async def test_users_log_in_at_every_kind_of_address() -> None:
    listen = Listen(tcp=(ANY, ANY), tls=(ANY,), websocket=(ANY,), websocket_tls=(ANY,), http=(), https=(ANY,))
    async with serving(settings(listen=listen, tls=Tls(certificate=PEM))) as (server, keys):
        bound = server.addresses
        assert len(set(bound.all)) == 6
        assert all(address.port for address in bound.all)
        provider = over_http(f"https://{bound.https[0]}", keys)
        ways: list[tuple[Address, dict[str, Any]]] = [
            (bound.tcp[0], {}),
            (bound.tcp[1], {}),
            (bound.tls[0], {"ssl": TRUST}),
            (bound.websocket[0], {"websocket": True}),
            (bound.websocket_tls[0], {"websocket": True, "ssl": TRUST}),
        ]
        for address, options in ways:
            async with user(server, keys, addresses=[tuple(address)], token=provider, **options) as alice:
                await alice.send("alice", PAYLOAD)
                async for message in alice:
                    assert message.payload == PAYLOAD
                    break


async def test_a_certificate_that_was_renewed_is_that_of_the_next_handshake(tmp_path: Path) -> None:
    file = tmp_path / "cert.pem"
    file.write_bytes(PEM.read_bytes())
    listen = Listen(tcp=(), tls=(ANY,), websocket=(), websocket_tls=(ANY,), http=(), https=(ANY,))
    async with serving(settings(listen=listen, tls=Tls(certificate=file))) as (server, _):

        async def shown() -> set[str]:
            """By all addresses, to clients that name the server and to those that do not."""
            return {
                await asyncio.to_thread(ssl.get_server_certificate, (host, address.port), timeout=TIMEOUT)
                for address in server.addresses.all
                for host in ("127.0.0.1", "localhost")
            }

        old, new = certificate(PEM), certificate(OTHER)
        assert await shown() == {old}
        file.write_bytes(OTHER.read_bytes())
        assert await shown() == {old}
        assert server.renew_certificates()
        assert await shown() == {new}
        file.write_text("half of one")
        with pytest.raises(SettingsError, match=r"^tls\.certificate: expected a certificate and its private key"):
            server.renew_certificates()
        assert await shown() == {new}


async def test_without_tls_there_is_no_certificate_to_renew() -> None:
    async with serving(settings()) as (server, _):
        assert not server.renew_certificates()


async def test_the_resolver_tells_where_it_listens_or_what_it_is_told_to() -> None:
    async def told(wanted: Settings) -> tuple[Server, Any]:
        async with serving(wanted) as (server, _):
            reader, writer = await asyncio.open_connection(*server.addresses.http[0])
            writer.write(b"GET /gslb/?ver=4.0&type=wifi&list=x HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            head, _, body = (await reader.read()).partition(b"\r\n\r\n")
            writer.close()
            await writer.wait_closed()
            assert head.startswith(b"HTTP/1.1 200")
            return server, json.loads(body)["R"]["wifi"]["x"]

    listen = Listen(tcp=(ANY,), websocket=(), http=(ANY,))
    server, here = await told(settings(listen=listen))
    assert here == [str(server.addresses.tcp[0])]
    _, public = await told(settings(listen=listen, public=Public(addresses=(Address("203.0.113.7", 5222),))))
    assert public == ["203.0.113.7:5222"]


async def test_token_answers_name_the_domains_of_the_settings() -> None:
    public = Public(frontend_domain="chat.example.org", relay_domain="relay.example.org")
    async with serving(settings(public=public)) as (server, keys):
        answer = json.loads(await tokens(server, keys)())["data"]
        assert (answer["feDomainName"], answer["relayDomainName"]) == ("chat.example.org", "relay.example.org")


async def test_limits_of_the_settings_are_those_of_the_service() -> None:
    async with serving(settings(store=StoreConfig(max_users=1))) as (server, keys):
        await server.perform(lambda: server.store.user(keys.app_id, "alice", server.wall_ms()))
        with pytest.raises(StoreError, match="max_users"):
            await server.perform(lambda: server.store.user(keys.app_id, "bob", server.wall_ms()))


async def test_events_go_to_all_who_listen_and_one_who_fails_harms_nobody() -> None:
    first: list[ServiceEvent] = []
    second: list[ServiceEvent] = []
    complaints: list[str] = []
    async with serving(settings(), on_event=first.append) as (server, keys):
        asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context["message"]))

        def broken(_: ServiceEvent) -> None:
            raise ValueError("no")

        server.add_listener(broken)
        server.add_listener(second.append)
        async with user(server, keys):
            pass
        server.remove_listener(second.append)
        async with user(server, keys, "bob"):
            pass
    assert [event.account for event in first if isinstance(event, LoggedIn)] == ["alice", "bob"]
    assert [event.account for event in second if isinstance(event, LoggedIn)] == ["alice"]
    assert "a listener of the server failed at LoggedIn" in complaints


# -------------------------------------------------------------------------------------------------------- what is kept


async def test_accounts_messages_and_tokens_outlive_a_restart(tmp_path: Path) -> None:
    async with serving(settings(tmp_path / "kept")) as (server, keys):
        answer = await tokens(server, keys)()
        async with user(server, keys, "bob") as bob:
            sent = await bob.send("alice", PAYLOAD)
    assert (tmp_path / "kept" / "mimc.db").stat().st_mode & 0o077 == 0
    async with asyncio.timeout(TIMEOUT), Server(settings(tmp_path / "kept")) as server:
        assert [one.app_id for one in server.applications] == [keys.app_id]
        async with user(server, keys, token=answer) as alice:
            async for message in alice:
                assert (message.from_account, message.payload, message.sequence) == ("bob", PAYLOAD, sent.sequence)
                break
        again = json.loads(await tokens(server, keys)())["data"]
        assert again["miUserId"] == json.loads(answer)["data"]["miUserId"]


async def test_in_memory_nothing_is_kept_and_old_tokens_are_no_longer_good() -> None:
    async with serving(settings()) as (server, keys):
        answer = await tokens(server, keys)()
    async with asyncio.timeout(TIMEOUT), Server(settings()) as server:
        assert list(server.applications) == []
        await server.add_application(keys.package, app_id=keys.app_id)
        with pytest.raises(LoginError):
            async with user(server, keys, token=answer, login_timeout=0.2):
                pass


async def test_tokens_end_when_the_settings_say() -> None:
    now = [1_700_000_000_000]
    async with serving(settings(tokens=Tokens(lifetime=60.0)), wall_ms=lambda: now[0]) as (server, keys):
        old = await tokens(server, keys)()
        now[0] += 60_000
        with pytest.raises(LoginError):
            async with user(server, keys, token=old, login_timeout=0.2):
                pass


def _application(server: Server, keys: ApplicationKeys) -> Any:
    return server.applications.get(keys.app_id)


async def test_the_store_has_neither_keys_nor_secrets_of_applications(tmp_path: Path) -> None:
    async with serving(settings(tmp_path)) as (_, keys):
        assert keys.app_key not in repr(keys)
        assert keys.app_secret not in repr(keys)
    for file in tmp_path.iterdir():
        content = file.read_bytes()
        assert keys.app_key.encode() not in content
        assert keys.app_secret.encode() not in content


# -------------------------------------------------------------------------------------------------------- what is wrong


async def test_without_a_folder_and_not_in_memory_there_is_no_server() -> None:
    with pytest.raises(SettingsError, match=r"^data: expected a folder for the database"):
        await Server(Settings()).__aenter__()


async def test_an_address_in_use_is_said_and_nothing_stays_behind(tmp_path: Path) -> None:
    with socket.create_server(ANY) as taken:
        address = Address(*taken.getsockname())
        listen = Listen(tcp=(ANY,), websocket=(), http=(ANY, address))
        with pytest.raises(CannotListen) as caught:
            await Server(settings(tmp_path, listen=listen)).__aenter__()
    assert str(caught.value) == f"cannot listen on {address} (listen.http): Address already in use"
    async with serving(settings(tmp_path)):  # the database is free again
        pass


@pytest.mark.parametrize("host", ["no.such.host.invalid", "a..b", "x" * 70])
async def test_a_host_that_cannot_be_is_said(host: str) -> None:
    with pytest.raises(CannotListen, match=rf"^cannot listen on {host}:0 \(listen.tcp\): "):
        await Server(settings(listen=Listen(tcp=(Address(host, 0),), websocket=(), http=()))).__aenter__()


async def test_a_database_that_another_server_uses_is_said(tmp_path: Path) -> None:
    async with serving(settings(tmp_path)):
        with pytest.raises(StoreError, match="another process uses"):
            await Server(settings(tmp_path)).__aenter__()


async def test_a_certificate_that_is_none_is_said_before_anything_is_made(tmp_path: Path) -> None:
    listen = Listen(tcp=(), websocket=(), http=(), https=(ANY,))
    wanted = settings(tmp_path / "kept", listen=listen, tls=Tls(certificate=tmp_path / "none.pem"))
    with pytest.raises(SettingsError, match=r"^tls\.certificate: cannot read"):
        await Server(wanted).__aenter__()
    assert not (tmp_path / "kept").exists()


# ------------------------------------------------------------------------------------------------------ administration


async def test_who_is_online_is_told_and_can_be_kicked() -> None:
    ended = asyncio.Event()
    async with serving(settings()) as (server, keys):
        server.add_listener(lambda event: ended.set() if isinstance(event, LoggedOut) else None)
        async with user(server, keys, resource="pc") as alice:
            [info] = server.sessions()
            assert (info.app_id, info.account, info.resource) == (keys.app_id, "alice", "pc")
            assert await server.kick(keys.app_id, "alice", "phone") == 0
            assert await server.kick(keys.app_id, "nobody") == 0
            assert await server.kick(keys.app_id, "alice", "pc", "single-resource-kick") == 1
            await ended.wait()
            with pytest.raises(SessionEnded):
                async for _ in alice:
                    pass


async def test_a_reason_that_cannot_be_told_kicks_nobody() -> None:
    async with serving(settings()) as (server, keys), user(server, keys):
        with pytest.raises(LocalProtocolError):
            await server.kick(keys.app_id, "alice", reason="")
        assert len(server.sessions()) == 1


async def test_revoked_tokens_are_no_longer_good_and_new_ones_are() -> None:
    fetched: list[str] = []
    online = asyncio.Event()
    async with serving(settings()) as (server, keys):
        issue = tokens(server, keys)

        async def token() -> str:
            fetched.append(await issue())
            return fetched[-1]

        async with user(server, keys, token=token, config=SessionConfig(login_gap=0.001)) as alice:
            server.add_listener(lambda event: online.set() if isinstance(event, LoggedIn) else None)
            assert await server.revoke_tokens(keys.app_id, "alice") == 1
            await online.wait()
            await alice.wait_online()
            assert len(fetched) == 2
        assert await server.revoke_tokens(keys.app_id, "nobody") is None


async def test_tokens_of_a_clock_that_was_set_back_can_be_revoked() -> None:
    now = [1_700_000_000_000]
    async with serving(settings(), wall_ms=lambda: now[0]) as (server, keys):

        async def issued() -> int:
            await server.perform(lambda: server.issue_token(_application(server, keys), "alice"))
            member = await server.perform(lambda: server.store.find_account(keys.app_id, "alice"))
            assert member is not None
            return await server.perform(lambda: server.store.tokens_good_from(member.uuid))

        assert await issued() == 0
        await server.revoke_tokens(keys.app_id, "alice")
        now[0] -= 5_000
        first = await issued()
        await server.revoke_tokens(keys.app_id, "alice")
        assert await issued() > first


async def test_an_application_is_served_from_when_it_is_added_until_it_is_removed(tmp_path: Path) -> None:
    ended = asyncio.Event()
    async with serving(settings(tmp_path)) as (server, keys):
        other = await server.add_application("com.other")
        refused = await tokens(server, other)()
        server.add_listener(lambda event: ended.set() if isinstance(event, LoggedOut) else None)
        async with user(server, other), user(server, keys):
            assert await server.remove_application(other.app_id)
            await ended.wait()
            assert [info.app_id for info in server.sessions()] == [keys.app_id]
        assert not await server.remove_application(other.app_id)
        with pytest.raises(LoginError):
            async with user(server, other, token=refused, login_timeout=0.2):
                pass


async def test_an_application_is_not_replaced_unless_that_is_said() -> None:
    async with serving(settings()) as (server, keys):
        with pytest.raises(LocalProtocolError, match=f"app_id: there is an application {keys.app_id} already"):
            await server.add_application("com.example", app_id=keys.app_id)
        new = await server.add_application("com.example", app_id=keys.app_id, replace=True)
        application = _application(server, keys)
        assert application.check(new.app_key, new.app_secret)
        assert not application.check(keys.app_key, keys.app_secret)


async def test_what_cannot_be_an_application_is_not_added() -> None:
    async with serving(settings()) as (server, keys):
        for given in ({"app_id": 0}, {"app_key": ""}, {"app_secret": "x" * 2000}):
            with pytest.raises(LocalProtocolError):
                await server.add_application("com.example", **given)
        with pytest.raises(LocalProtocolError):
            await server.add_application("")
        assert [one.app_id for one in server.applications] == [keys.app_id]


@pytest.mark.parametrize("unlimited", [False, True], ids=["normal", "unlimited"])
async def test_groups_of_either_kind_are_found_and_dismissed(unlimited: bool) -> None:
    async with serving(settings()) as (server, keys), user(server, keys) as alice:

        def make() -> Any:
            owner = server.store.user(keys.app_id, "alice", server.wall_ms())
            return server.store.create_group(keys.app_id, owner.uuid, "g", [], server.wall_ms(), unlimited=unlimited)

        group = await server.perform(make)
        assert await server.groups_of(keys.app_id, "alice", unlimited=unlimited) == [group]
        assert await server.groups_of(keys.app_id, "nobody") == []
        assert await server.group(keys.app_id, group.topic_id) == group
        assert await server.dismiss_group(keys.app_id, group.topic_id)
        assert not await server.dismiss_group(keys.app_id, group.topic_id)
        assert await server.group(keys.app_id, group.topic_id) is None
        if not unlimited:
            with pytest.raises(SendRejected):
                await alice.send_group(group.topic_id, PAYLOAD)


@pytest.mark.parametrize("kept", [False, True], ids=["memory", "sqlite"])
async def test_statistics_say_how_much_there_is(kept: bool, tmp_path: Path) -> None:
    async with serving(settings(tmp_path if kept else None)) as (server, keys), user(server, keys) as alice:
        await alice.send("bob", PAYLOAD)
        found = await server.statistics()
        assert (found.connections, found.sessions, found.applications) == (1, 1, 1)
        assert (found.store.users, found.store.messages) == (2, 1)
        assert found.uptime > 0
        assert await server.check() == []


async def test_a_backup_is_a_database_with_everything_in_it(tmp_path: Path) -> None:
    async with serving(settings(tmp_path / "kept")) as (server, keys), user(server, keys) as alice:
        await alice.send("bob", PAYLOAD)
        await server.backup(tmp_path / "mimc.db")
        with pytest.raises(StoreError):
            await server.backup(tmp_path / "nowhere" / "mimc.db")
    copy = SqliteStore(tmp_path / "mimc.db")
    try:
        assert [one.app_id for one in copy.applications()] == [keys.app_id]
        assert copy.statistics().messages == 1
        assert copy.check() == []
    finally:
        copy.close()


async def test_there_is_no_backup_of_what_is_in_memory(tmp_path: Path) -> None:
    async with serving(settings()) as (server, _):
        with pytest.raises(StoreError, match="in memory"):
            await server.backup(tmp_path / "copy.db")


# ------------------------------------------------------------------------------------------------------------ the end


async def test_at_the_end_connections_take_what_waits_and_are_closed() -> None:
    async with serving(settings()) as (server, _):
        reader, writer = await asyncio.open_connection(*server.addresses.tcp[0])
        await server.stop()
        assert await reader.read() == b""
        writer.close()
        await writer.wait_closed()
        await server.stop()


async def test_in_a_hurry_those_who_do_not_read_are_cut() -> None:
    unlimited = ServiceConfig(account_rate=None)
    wanted = settings(service=unlimited).model_copy(update={"stop_timeout": 3600.0})
    async with serving(wanted) as (server, keys):
        where = server.addresses.tcp[0]
        async with wire(where) as alice, wire(where) as bob:
            for client, account in ((alice, "alice"), (bob, "bob")):
                await client.login(await tokens(server, keys, account)())
            await flooded(server, alice, bob)
            stopping = asyncio.create_task(server.stop())
            while server._runner.connections > 1:
                await asyncio.sleep(0)
            assert not stopping.done()
            server.hurry()
            server.hurry()
            await stopping


async def flooded(server: Server, alice: Wire, bob: Wire) -> None:
    """Have Alice send to Bob, who does not read, until the server cannot write to him."""
    bob.reader._transport.pause_reading()  # type: ignore[attr-defined]
    while all(connection._writable for connection in server._runner._links.values()):
        alice.send(OnlineMessage(recipient=User(account="bob"), payload=b"x" * 15_000))
        await asyncio.sleep(0)
