"""What an admin can ask of a server that runs, and what comes of it."""

from __future__ import annotations

import asyncio
import json
import logging
import stat
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import pytest
from mimc_server.http import MAX_BODY
from mimc_server.observing.lines import TextFormatter
from mimc_server.service import LoginRefused, ServiceEvent
from mimc_server.store import Kind, NewMessage, SqliteStore, StoreConfig, StoreError
from mimc_transports.asyncio import connect

from mimc_proto.errors import SessionEnded

pytestmark = pytest.mark.anyio

Open = Callable[..., AbstractAsyncContextManager[Any]]


# -------------------------------------------------------------------------------------------------------- applications


async def test_an_application_is_served_as_soon_as_it_is_added(office: Open) -> None:
    async with office() as it:
        made = await it.post("/v1/applications", package="com.example.second")
        assert {"app_id": made["app_id"], "package": "com.example.second"} in await it.get("/v1/applications")
        application = it.server.applications.get(int(made["app_id"]))
        assert application.check(made["app_key"], made["app_secret"])
        await it.ask("POST", "/v1/applications", 409, json={"package": "x", "app_id": made["app_id"]})


async def test_ids_that_are_large_come_through_unharmed(office: Open) -> None:
    async with office() as it:
        made = await it.post("/v1/applications", package="com.example", app_id=2882303761500000001)
        assert made["app_id"] == "2882303761500000001"


async def test_a_rotated_application_has_another_key_and_secret(office: Open) -> None:
    async with office() as it:
        keys = await it.post(f"/v1/applications/{it.keys.app_id}/rotate")
        application = it.server.applications.get(it.keys.app_id)
        assert application.package == keys["package"] == "com.example"
        assert application.check(keys["app_key"], keys["app_secret"])
        assert not application.check(it.keys.app_key, it.keys.app_secret)
        assert "no application 7 is served" in await it.ask("POST", "/v1/applications/7/rotate", 404)


async def test_a_removed_application_is_served_no_more(office: Open) -> None:
    async with office() as it:
        async with it.user("alice") as alice:
            await it.ask("DELETE", f"/v1/applications/{it.keys.app_id}")
            assert await it.get("/v1/applications") == []
            while alice.online:
                await asyncio.sleep(0)
        assert "no application" in await it.ask("DELETE", f"/v1/applications/{it.keys.app_id}", 404)


async def test_of_several_applications_one_has_to_be_named(office: Open) -> None:
    async with office() as it:
        other = await it.server.add_application("com.other")
        assert "(--app), as 2 are served here" in await it.ask("GET", "/v1/accounts", 400)
        await it.group("alice", app_id=other.app_id)
        found = await it.get("/v1/accounts", app_id=other.app_id)
        assert [account["account"] for account in found["items"]] == ["alice"]
        assert (await it.get("/v1/accounts", app_id=it.keys.app_id))["items"] == []
        assert "no application 7" in await it.ask("GET", "/v1/accounts", 404, params={"app_id": 7})
        await it.ask("DELETE", f"/v1/applications/{other.app_id}")
        await it.ask("DELETE", f"/v1/applications/{it.keys.app_id}")
        assert "no application is served here yet" in await it.ask("GET", "/v1/accounts", 404)


# ------------------------------------------------------------------------------------------------ accounts and sessions


async def test_accounts_are_listed_in_pieces_with_their_sessions(office: Open) -> None:
    async with office() as it:
        await it.group("alice", "bob", "carol")
        async with it.user("bob", "pc"), it.user("bob", "phone"):
            first = await it.get("/v1/accounts", most=2)
            second = await it.get("/v1/accounts", most=2, after=first["next"])
        seen = [(one["account"], one["sessions"]) for one in first["items"] + second["items"]]
        assert seen == [("alice", 0), ("bob", 2), ("carol", 0)]
        assert second["next"] is None
        assert (await it.get("/v1/accounts", most=3))["next"] is None


async def test_an_account_is_shown_with_its_sessions_and_groups(office: Open) -> None:
    async with office() as it:
        team, everybody = await it.group("alice", "bob"), await it.group("bob", unlimited=True)
        async with it.user("alice") as alice, it.user("bob", "tablet"):
            await alice.send("bob", b"not for the log")
            found = await it.get("/v1/account", account="bob")
        assert (found["account"], found["received"], found["tokens_good_from"]) == ("bob", 1, 0)
        [session] = found["sessions"]
        assert (session["resource"], session["peer"], session["waiting"]) == ("tablet", "127.0.0.1", 1)
        assert [(group["topic_id"], group["kind"], group["size"]) for group in found["groups"]] == [
            (str(team), "normal", 2),
            (str(everybody), "unlimited", 1),
        ]
        assert "no such account" in await it.ask("GET", "/v1/account", 404, params={"account": "nobody"})


async def test_sessions_are_listed_in_pieces_and_by_account(office: Open) -> None:
    async with office() as it, it.user("alice"), it.user("bob"), it.user("bob", "phone"):
        first = await it.get("/v1/sessions", most=2)
        second = await it.get("/v1/sessions", most=2, after=first["next"])
        listed = [(one["account"], one["resource"]) for one in first["items"] + second["items"]]
        assert listed == [("alice", "pc"), ("bob", "pc"), ("bob", "phone")]
        of_bob = await it.get("/v1/sessions", account="bob")
        assert [one["resource"] for one in of_bob["items"]] == ["pc", "phone"]
        assert (await it.get("/v1/sessions", app_id=7))["items"] == []


async def test_a_kick_takes_one_resource_or_all_offline(office: Open) -> None:
    async with office() as it, it.user("bob", "pc") as pc, it.user("bob", "phone") as phone:
        answer = await it.post("/v1/kick", account="bob", resource="pc", reason="single-resource-kick")
        assert answer == {"kicked": 1}
        with pytest.raises(SessionEnded):
            await anext(pc)
        assert phone.online
        assert await it.post("/v1/kick", account="bob", reason="single-resource-kick") == {"kicked": 1}
        with pytest.raises(SessionEnded):
            await anext(phone)
        assert await it.post("/v1/kick", account="bob") == {"kicked": 0}
        assert "no such account" in await it.ask("POST", "/v1/kick", 404, json={"account": "nobody"})


# -------------------------------------------------------------------------------------------------------------- tokens


async def test_nobody_is_no_account(office: Open) -> None:
    async with office() as it:
        nobody = await it.ask("POST", "/v1/tokens/issue", 400, json={"account": ""})
        assert nobody == "body.account: String should have at least 1 character"


async def test_a_token_that_is_issued_logs_in_until_it_is_revoked(office: Open) -> None:
    async with office() as it:
        answer = await it.post("/v1/tokens/issue", account="alice")
        refused = asyncio.Event()

        def heard(event: ServiceEvent) -> None:
            if isinstance(event, LoginRefused):
                assert event.reason == "token-expired"
                refused.set()

        async def token() -> str:
            return json.dumps(answer)

        async def stay() -> None:
            addresses = [it.server.addresses.tcp[0]]
            async with connect(it.keys.app_id, "alice", token, addresses=addresses):
                await asyncio.Event().wait()

        it.server.add_listener(heard)
        client = asyncio.create_task(stay())
        while not it.server.sessions():
            await asyncio.sleep(0)
        assert await it.post("/v1/tokens/revoke", account="alice") == {"kicked": 1}
        await refused.wait()  # it has no other one
        client.cancel()
        shown = await it.get("/v1/account", account="alice")
        assert shown["tokens_good_from"] > 0
        assert "no such account" in await it.ask("POST", "/v1/tokens/revoke", 404, json={"account": "nobody"})


# -------------------------------------------------------------------------------------------------------------- groups


async def test_groups_of_both_kinds_are_listed_in_pieces(office: Open) -> None:
    async with office() as it:
        ids = [await it.group("alice", "bob"), await it.group("bob", unlimited=True), await it.group("carol")]
        first = await it.get("/v1/groups", most=2)
        second = await it.get("/v1/groups", most=2, after=first["next"])
        listed = [(one["topic_id"], one["kind"], one["owner"], one["size"]) for one in first["items"] + second["items"]]
        assert listed == [
            (str(ids[0]), "normal", "alice", 2),
            (str(ids[1]), "unlimited", "bob", 1),
            (str(ids[2]), "normal", "carol", 1),
        ]
        assert second["next"] is None


@pytest.mark.parametrize("unlimited", [False, True])
async def test_a_group_is_shown_with_its_members_in_pieces_and_dismissed(office: Open, unlimited: bool) -> None:
    async with office() as it:
        group = await it.group("alice", "bob", "carol", unlimited=unlimited)
        found = await it.get(f"/v1/groups/{group}", most=2)
        assert (found["name"], found["size"], found["app_id"]) == ("team", 3, str(it.keys.app_id))
        rest = await it.get(f"/v1/groups/{group}", most=2, after=found["members"]["next"])
        members = [one["account"] for one in found["members"]["items"] + rest["members"]["items"]]
        assert members == ["alice", "bob", "carol"]
        await it.ask("DELETE", f"/v1/groups/{group}")
        assert "has no group" in await it.ask("GET", f"/v1/groups/{group}", 404)
        assert "has no group" in await it.ask("DELETE", f"/v1/groups/{group}", 404)


# ----------------------------------------------------------------------------------------------------------- the whole


@pytest.mark.parametrize("kept", [False, True], ids=["memory", "file"])
async def test_statistics(office: Open, tmp_path: Path, kept: bool) -> None:
    async with office(tmp_path if kept else None) as it, it.user("alice") as alice:
        await alice.send("bob", b"hi")
        await it.group("alice", "bob")
        found = await it.get("/v1/statistics")
    for name in ("uptime", "bytes", "version"):
        assert found.pop(name)
    assert found == {
        "links": 1,
        "sessions": 1,
        "users_online": 1,
        "applications": 1,
        "users": 2,
        "groups": 1,
        "messages": 1,
        "bytes_limit": 1 << 30,
    }


async def test_a_backup_is_made_while_users_send(office: Open, tmp_path: Path) -> None:
    async with office(tmp_path / "data") as it, it.user("alice") as alice:
        sent = 0

        async def send_on() -> None:
            nonlocal sent
            while True:
                await alice.send("bob", b"%d" % sent)
                sent += 1

        sending = asyncio.create_task(send_on())
        while sent < 5:
            await asyncio.sleep(0)
        at_least = sent
        answer = await it.post("/v1/backup", path=str(tmp_path / "copy.db"))
        sending.cancel()
        assert answer == {"path": str(tmp_path / "copy.db"), "bytes": (tmp_path / "copy.db").stat().st_size}
        bob = await it.server.perform(lambda: it.server.store.find_account(it.keys.app_id, "bob"))
    assert stat.S_IMODE((tmp_path / "copy.db").stat().st_mode) == 0o600
    copy = SqliteStore(tmp_path / "copy.db")
    payloads = [message.payload for message in copy.read_inbox(bob.uuid, 0, 100_000, 1 << 30).messages]
    copy.close()
    assert len(payloads) >= at_least
    assert payloads == [b"%d" % number for number in range(len(payloads))]


async def test_what_cannot_be_copied_to_is_said(office: Open, tmp_path: Path) -> None:
    async with office(tmp_path / "data") as it:
        relative = await it.ask("POST", "/v1/backup", 400, json={"path": "copy.db"})
        assert "expected an absolute path" in relative
        missing = await it.ask("POST", "/v1/backup", 500, json={"path": str(tmp_path / "none" / "copy.db")})
        assert missing.endswith("none/copy.db: No such file or directory")
        itself = await it.ask("POST", "/v1/backup", 500, json={"path": str(tmp_path / "data" / "mimc.db")})
        assert "expected another file than the database" in itself
        assert (await it.post("/v1/check"))["problems"] == []


async def test_a_broken_database_is_told(office: Open, tmp_path: Path) -> None:
    async with office(tmp_path) as it:
        await it.group("alice", "bob")
        damage = "UPDATE topic SET size = 7"
        await it.server.perform(lambda: it.server.store._connection.execute(damage))
        assert (await it.post("/v1/check"))["problems"] == []  # that is no matter of SQLite's
        await it.server.perform(lambda: it.server.store._connection.execute("PRAGMA writable_schema = ON"))
        damage = "UPDATE sqlite_schema SET sql = replace(sql, 'account TEXT NOT NULL', 'account TEXT UNIQUE')"
        await it.server.perform(lambda: it.server.store._connection.execute(damage + " WHERE name = 'user'"))
        assert (await it.post("/v1/check"))["problems"] != []


async def test_in_memory_there_is_nothing_to_copy_or_check(office: Open, tmp_path: Path) -> None:
    async with office() as it:
        for path in ("/v1/backup", "/v1/check"):
            said = await it.ask("POST", path, 409, json={"path": str(tmp_path / "copy.db")})
            assert said == "this server keeps everything in memory: there is no database"


async def test_figures_for_prometheus_are_here_too(office: Open, tmp_path: Path) -> None:
    async with office(tmp_path) as it, it.user("alice") as alice:
        await alice.send("bob", b"hi")
        await alice.send("bob", b"hi")
        text = (await it._client.get("/metrics")).text
    assert "\nmimc_links 1.0\n" in text
    assert "\nmimc_store_messages 2.0\n" in text
    assert "\nmimc_commit_messages_sum 2.0\n" in text
    assert "\nmimc_commit_seconds_count 0.0\n" not in text


# ------------------------------------------------------------------------------------------------------- what is wrong


@pytest.mark.parametrize(
    ("method", "path", "options", "status", "said"),
    [
        ("POST", "/v1/kick", {"json": {}}, 400, "body.account: Field required"),
        ("POST", "/v1/kick", {"json": {"account": ""}}, 400, "body.account: "),
        ("POST", "/v1/kick", {"json": {"account": "a", "acount": 1}}, 400, "body.acount: Extra inputs"),
        ("POST", "/v1/kick", {"content": b"{"}, 400, "body.1: "),
        ("POST", "/v1/kick", {"json": {"account": "a", "x\n2023 INFO": 1}}, 400, r"body.'x\n2023 INFO': "),
        ("POST", "/v1/applications", {"json": {"package": "p", "app_id": "no"}}, 400, "body.app_id: "),
        ("GET", "/v1/accounts?most=1001", {}, 400, "query.most: "),
        ("GET", "/v1/accounts?most=0", {}, 400, "query.most: "),
        ("GET", "/v1/accounts?after=-1", {}, 400, "query.after: "),
        ("GET", "/v1/groups/9223372036854775808", {}, 400, "path.topic_id: "),
        ("GET", "/v2/accounts", {}, 404, "no such path: GET /v2/accounts"),
        ("PUT", "/v1/kick", {}, 405, "Method Not Allowed"),
        ("POST", "/v1/kick", {"content": b"x" * (MAX_BODY + 1)}, 413, "expected a body of at most"),
    ],
)
async def test_a_request_that_makes_no_sense_is_told_why(
    office: Open, method: str, path: str, options: dict[str, Any], status: int, said: str
) -> None:
    async with office() as it:
        assert (await it.ask(method, path, status, **options)).startswith(said)


async def test_a_store_that_fails_says_so_in_its_own_words(office: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> Any:
        raise StoreError("the disk is full")

    async with office() as it:
        monkeypatch.setattr(it.server.store, "users", fail)
        assert await it.ask("GET", "/v1/accounts", 500) == "the disk is full"


async def test_a_store_without_room_for_another_user_says_so(office: Open) -> None:
    async with office(store=StoreConfig(max_users=1)) as it:
        await it.group("bob")
        said = await it.ask("POST", "/v1/tokens/issue", 507, json={"account": "alice"})
        assert "max_users" in said


async def test_a_reason_that_cannot_be_told_is_refused(office: Open) -> None:
    async with office() as it:
        await it.group("alice")
        said = await it.ask("POST", "/v1/kick", 400, json={"account": "alice", "reason": "é" * 200})
        assert said.startswith("reason: ")


# ------------------------------------------------------------------------------------------------------------ the log


async def test_what_an_admin_changes_is_logged_and_no_secret_is(
    office: Open, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "mimc.server")
    secrets = []
    async with office(tmp_path / "data") as it:
        group = await it.group("alice")
        keys = await it.post("/v1/applications", package="com.second", app_id=5)
        rotated = await it.post("/v1/applications/5/rotate")
        await it.ask("DELETE", "/v1/applications/5")
        answer = (await it.post("/v1/tokens/issue", account="alice"))["data"]
        async with it.user("alice", "a=b c\nd") as alice:
            await alice.send("bob", b"not for the log")
            await it.post("/v1/kick", account="alice")
            await it.post("/v1/tokens/revoke", account="alice")
        await it.ask("DELETE", f"/v1/groups/{group}")
        await it.post("/v1/backup", path=str(tmp_path / "copy.db"))
        await it.get("/v1/accounts")
        secrets += [made[name] for made in (keys, rotated) for name in ("app_key", "app_secret")]
        secrets += [answer["token"], answer["miUserSecurityKey"], it.keys.app_key, it.keys.app_secret]
        secret = await it.server.perform(lambda: it.server.store.setting("token-secret"))
        secrets += [secret.hex(), "not for the log"]
        app = it.keys.app_id
    lines = [TextFormatter().format(record).partition(" ")[2] for record in caplog.records]
    assert [line.partition("admin ")[2] for line in lines if " admin " in line] == [
        "work=add-application app=5 package=com.second",
        "work=rotate-application app=5",
        "work=remove-application app=5",
        f"work=issue-token app={app} account=alice",
        f"work=kick app={app} account=alice kicked=1",
        f"work=revoke-tokens app={app} account=alice kicked=0",
        f"work=dismiss-group app={app} group={group}",
        f"work=backup path={tmp_path / 'copy.db'}",
    ]
    assert any(r"resource='a=b c\nd'" in line for line in lines)
    everything = "\n".join(lines) + "".join(repr(vars(record)) for record in caplog.records)
    assert not [text for text in secrets if text in everything]


async def test_no_answer_but_those_that_are_for_it_holds_a_secret(office: Open, tmp_path: Path) -> None:
    async with office(tmp_path) as it, it.user("alice"):
        group = await it.group("alice")
        told = [
            await it.get(path)
            for path in (
                *("/v1/applications", "/v1/accounts", "/v1/account?account=alice", "/v1/sessions", "/v1/groups"),
                *(f"/v1/groups/{group}", "/v1/statistics"),
            )
        ]
        kept = await it.server.perform(lambda: it.server.store.applications())
        secret = await it.server.perform(lambda: it.server.store.setting("token-secret"))
    everything = json.dumps(told)
    assert it.keys.app_key not in everything
    assert it.keys.app_secret not in everything
    assert secret.hex() not in everything
    assert kept[0].key_digest.hex() not in everything


async def test_a_message_kept_for_nobody_is_not_shown(office: Open) -> None:
    async with office() as it, it.user("alice"):
        await it.group("alice", "bob")
        store, app = it.server.store, it.keys.app_id
        message = NewMessage(
            app_id=app, sender=store.find_account(app, "alice"), resource="", epoch=0, packet_id="1",
            kind=Kind.P2P, target="bob", payload=b"what it says", biz_type="secret-kind", is_store=True,
        )  # fmt: skip
        store.append([message], it.server.wall_ms())
        shown = json.dumps([await it.get("/v1/account", account="bob"), await it.get("/v1/sessions")])
        assert "what it says" not in shown
        assert "secret-kind" not in shown
